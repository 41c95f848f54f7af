"""Linear predictors beside the mean: their columns on the rows of a design, and on new data.

Each has a matrix, rank, centre and scale of its own; rows with a missing value in any part are left out of all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..data.matrices import build
from ..data.records import Encoding, Formula, Variable
from .build import build_design, check_columns, encoding, mean_part, total_offset
from .part_formulas import PART_LINKS, part_formulas
from .rank import decide
from .records import Design, Inputs, NewRows, Part, Spec
from .replay import Population, moved, read_rows


def build_parts(spec: Spec, data: Any) -> Design:
    """A design with every part that the call has; raises GlimmError as `build_design` does.

    >>> from glimm.family import resolve
    >>> family, link = resolve("poisson")
    >>> design = build_parts(Spec("glm", "y ~ x", family, link, zero="~ 1"), {"y": [1, 0, 4], "x": [0, 1, 2]})
    >>> design.parts["zero"].names
    ('Intercept',)
    """
    design = build_design(spec, data)
    parts, encodings = dict(design.parts), {}
    for name, formula in part_formulas(spec).items():
        parts[name], encodings[name] = _part(name, formula, spec, design)
    return replace(design, parts=parts, spec=replace(design.spec, parts=encodings))


def _part(name: str, formula: Formula, spec: Spec, design: Design) -> tuple[Part, Encoding]:
    """A part's columns, and how to read them again."""
    rows = None if design.n == design.missing.n_rows else design.rows
    own = replace(spec, formula=f"{name}={getattr(spec, name)!r}", link=PART_LINKS[name], offset=None, exposure=None)
    fixed = build(formula.fixed, design.columns, rows, design.n)
    check_columns(fixed, own)
    decided = decide(fixed.matrix, fixed.spec.intercept)
    offset, offsets = total_offset(formula, Inputs(design.columns, {}, {}, {}, None), rows)
    needed = tuple(dict.fromkeys([*fixed.spec.variables, *(column for o in offsets for column in o.variables)]))
    part = mean_part(fixed, own, offset, (), decided)
    return part, encoding(own, formula, fixed, decided, offsets, needed, design.spec.frame)


def view(design: Design, name: str) -> Design:
    """The design with one of its parts in the place of the mean, so that what reads new data for the mean reads them for the part."""
    return design if name == "mean" else replace(design, parts={"mean": design.parts[name]}, spec=design.spec.parts[name])


def read_parts(design: Design, data: Any, offset: Any = None, exposure: Any = None) -> dict[str, NewRows]:
    """New data, or the rows used where data is None, as every part reads them; offset and exposure are the mean's."""
    out = {"mean": read_rows(design, data, offset, exposure, False)}
    return out | {name: read_rows(view(design, name), data, effects=False) for name in design.spec.parts}


def moved_parts(design: Design, population: Population, changes: Mapping[str, Variable]) -> dict[str, NewRows]:
    """The rows of a population with some of its columns replaced, as every part reads them."""
    out = {"mean": moved(design, population, changes, False)}
    for name, spec in design.spec.parts.items():
        out[name] = moved(view(design, name), replace(population, spec=spec, extra=None), changes, False)
    return out
