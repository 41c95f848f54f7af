"""Columns outside the formula whose codes repeat, as cluster ids do: a call without groups= is told of them.

id-like: 1.5 to 12 rows per level; or rows that stand together, or strings, with correlated residuals (z > 3).
"""

from __future__ import annotations

import numpy as np

from ..data.columns import used_codes
from ..data.formula import variables_in
from ..data.frames import Frame
from ..data.terms import parse_terms
from ..design.records import Design
from ..design.response import response_variables
from ..diagnostics import measure
from ..errors import GlimmError
from ..kernels.matrix import Codes, Floats
from .facts import Candidate
from .flags import CERTAIN

MOST_READ = 50
MOST_NAMED = 3
FEWEST_LEVELS = 6
FEWEST_ROWS, MOST_ROWS = 1.5, 12.0
TOGETHER = 0.9


def candidates(frame: Frame, design: Design, r: Floats, p: int, mentioned: tuple[str, ...]) -> tuple[Candidate, ...]:
    """At most three columns, those with the most certain correlation first."""
    formula = design.spec.formula
    known = {
        *mentioned,
        *response_variables(formula),
        *design.spec.fixed.variables,
        *(n for text in formula.offsets for n in variables_in(text)),
    }
    known |= {factor for term in parse_terms(formula.fixed)[0] for factor in term.factors}
    out: list[Candidate] = []
    seen: list[Codes] = []
    for name in [name for name in frame.names if name not in known][:MOST_READ]:
        try:
            variable = frame.factor(name)
        except GlimmError:
            continue
        if variable.boolean or (variable.missing is not None and variable.missing[design.rows].any()):
            continue
        codes, levels = used_codes(variable, design.rows)
        if len(levels) < FEWEST_LEVELS or any(isinstance(level, float) and not level.is_integer() for level in levels):
            continue
        if any(len(levels) == int(c.max()) + 1 and measure.nested(codes, c) for c in seen):
            continue
        rows = design.n / len(levels)
        _, correlation, z = measure.pair_correlation(r, codes, p)
        words = isinstance(levels[0], str)
        if rows >= FEWEST_ROWS and (rows <= MOST_ROWS or (z > CERTAIN and (words or stand_together(codes, len(levels))))):
            seen.append(codes)
            out.append(Candidate(name, len(levels), rows, correlation, z))
    return tuple(sorted(out, key=lambda c: -c.z if c.z == c.z else 0.0)[:MOST_NAMED])


def stand_together(codes: Codes, levels: int) -> bool:
    """Whether rows of one level mostly follow each other."""
    return int(np.sum(np.diff(codes) == 0)) >= TOGETHER * (len(codes) - levels)
