"""The groupings of a call: the columns that make them, which of them add something, and how they lie to each other.

a is inside b: each cluster of a has one cluster of b; a and b cross: neither is inside the other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..data.columns import cross, take, used_codes
from ..data.frames import Frame, check_names
from ..data.records import Formula, Missing, Variable
from ..design.records import Design
from ..diagnostics import measure
from ..errors import GlimmError
from ..kernels.matrix import Codes, Floats, Ints
from ..text import counted, listed
from .facts import Crossing


@dataclass(frozen=True, slots=True)
class Grouping:
    """A grouping on the rows used: its columns and the cluster of each row."""

    name: str
    factors: tuple[str, ...]
    codes: Codes
    variable: Variable


def grouping_paths(formula: Formula, groups: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    """The columns of each grouping, of `groups` and of the formula's random effects."""
    return tuple(dict.fromkeys([*((name,) for name in groups), *(bar.factors for bar in formula.bars)]))


def read_groupings(frame: Frame, columns: tuple[str, ...]) -> dict[str, Variable]:
    """Columns of groupings as factors; raises GlimmError for unknown ones."""
    check_names(frame, columns, ", needed by groups=")
    return {name: frame.factor(name) for name in columns}


def check_clusters(factors: dict[str, Variable], rows: Ints | None, missing: Missing) -> None:
    """Raise GlimmError for a grouping that is one cluster in the rows used."""
    where = "all rows"
    if missing.n_dropped:
        lost = listed([f"{name} in {count}" for name, count in missing.by_variable.items()])
        where = f"the {counted(missing.n_used, 'row')} without a missing value (of {missing.n_rows}; missing: {lost})"
    for name, variable in factors.items():
        levels = used_codes(variable, rows)[1]
        if len(levels) == 1:
            raise GlimmError(
                f"groups: {name!r} is {levels[0]!r} in {where}, one cluster, which has nothing to be compared with: leave it out "
                "for a GLM of independent rows, or name the column that says which rows belong together"
            )


def groupings(
    paths: tuple[tuple[str, ...], ...], factors: dict[str, Variable], design: Design
) -> tuple[tuple[Grouping, ...], tuple[str, ...], dict[str, str], dict[str, str]]:
    """Groupings to model, fewest clusters first; those of one row each; those that repeat an earlier one; those with coefficients."""
    used: list[Grouping] = []
    own: list[str] = []
    double: dict[str, str] = {}
    fixed: dict[str, str] = {}
    terms = level_terms(design)
    for path in paths:
        variable = factors[path[0]]
        for j in range(1, len(path)):
            variable = cross(":".join(path[: j + 1]), variable, factors[path[j]])
        codes, levels = used_codes(variable, design.rows)
        name = ":".join(path)
        if len(levels) == design.n:
            own.append(name)
            continue
        term = next((label for label, finer in terms.items() if measure.nested(finer, codes)), None)
        if term is not None:
            fixed[name] = term
            continue
        same = [g.name for g in used if int(g.codes.max()) + 1 == len(levels) and measure.nested(codes, g.codes)]
        if same:
            double[name] = same[0]
        else:
            used.append(Grouping(name, path, codes, variable))
    return tuple(sorted(used, key=lambda g: int(g.codes.max()))), tuple(own), double, fixed


def level_terms(design: Design) -> dict[str, Codes]:
    """Terms that give each level of a column a coefficient of its own, with the codes of the rows used."""
    fixed = design.spec.fixed
    factors = {label: fixed.factors[label] for label, _, _ in fixed.terms if label in fixed.factors}
    return {
        label: used_codes(take(design.columns[factor.variables[0]], design.rows), None)[0]
        for label, factor in factors.items()
        if factor.levels and len(factor.variables) == 1
    }


def crosses(a: Grouping, b: Grouping) -> bool:
    """Whether neither grouping is inside the other."""
    return not measure.nested(a.codes, b.codes) and not measure.nested(b.codes, a.codes)


def without_crossing(r: Floats, g: Grouping, others: tuple[Grouping, ...]) -> tuple[Floats, int]:
    """r less the means of each grouping that crosses g, one after the other, and the number of these means."""
    lost = 0
    for o in others:
        if o is not g and crosses(g, o):
            sizes = np.bincount(o.codes)
            r, lost = r - (np.bincount(o.codes, r) / sizes)[o.codes], lost + len(sizes)
    return r, lost


def crossings(used: tuple[Grouping, ...]) -> tuple[Crossing, ...]:
    """Pairs of groupings of which neither is inside the other, fewest clusters first."""
    out = []
    for j, b in enumerate(used):
        for a in used[:j]:
            if not measure.nested(b.codes, a.codes):
                cells = np.unique(a.codes.astype(np.int64) * (int(b.codes.max()) + 1) + b.codes)
                out.append(Crossing(a.name, b.name, len(cells)))
    return tuple(out)
