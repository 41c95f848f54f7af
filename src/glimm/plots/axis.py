"""What a picture runs over: a predictor's values on the axis, or an error that says what the name is instead.

x = 41 numbers from the smallest to the largest value used; categories stand at 0, 1, 2, ...
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from ..data.terms import parse_terms
from ..design.records import Design
from ..errors import GlimmError, suggest
from ..kernels.matrix import Floats

STEPS = 41
MOST_CATEGORIES = 40


@dataclass(frozen=True, slots=True)
class Axis:
    """The values that a predictor takes in a picture.

    values : (g,) numbers, or codes of a factor's levels; x : (g,) places on the axis; names : (g,) of categories, () for numbers
    """

    variable: str
    values: NDArray[Any]
    x: Floats
    names: tuple[str, ...] = ()


def make_axis(design: Design, variable: str, grid: Any = None) -> Axis:
    """Where a predictor is drawn: over its range, or as categories (factors, and numbers with two values).

    grid : the numbers of a numeric axis, instead of 41. Raises GlimmError for what is no predictor with a coefficient.
    """
    check_predictor(design, variable)
    column = design.columns[variable]
    if column.values is None:
        assert column.codes is not None
        values: NDArray[Any] = np.unique(column.codes[design.rows])
        names = tuple(str(column.levels[code]) for code in values)
    else:
        values = np.unique(column.values[design.rows])
        if len(values) > 2 and variable not in as_levels(design):
            values = np.linspace(values[0], values[-1], STEPS) if grid is None else np.asarray(grid, dtype=np.float64)
            return Axis(variable, values, values)
        names = tuple(f"{value:g}" for value in values)
    if len(names) > MOST_CATEGORIES:
        raise GlimmError(
            f"plot: {variable!r} has {len(names)} levels, and a picture has room for {MOST_CATEGORIES}: choose another predictor"
        )
    return Axis(variable, values, np.arange(len(names), dtype=np.float64), names)


def as_levels(design: Design) -> set[str]:
    """Columns whose values the model takes as levels, such as age in C(age)."""
    parts = [design.spec.fixed, *(term.spec for term in design.mean.random if term.spec is not None)]
    return {name for part in parts for spec in part.factors.values() if spec.levels for name in spec.variables}


def drawable(design: Design) -> tuple[str, ...]:
    """The predictors that a picture can run over, in the formula's order: those with a coefficient that was kept or a random slope."""
    spec, fixed = design.spec, design.spec.fixed
    moving = (term.spec for term in design.mean.random if term.spec is not None and term.times is None)
    found = {name for random in moving for name in random.variables}
    kept = set(spec.keep)
    for term, (_, first, last) in zip(parse_terms(fixed.text)[0], fixed.terms, strict=True):
        if kept & set(range(first, last)):
            found.update(name for factor in term.factors for name in fixed.factors[factor].variables)
    return tuple(name for name in spec.variables if name in found and not constant(design, name))


def constant(design: Design, name: str) -> bool:
    """Whether a column has one value in all rows used."""
    column = design.columns[name]
    values = column.codes if column.values is None else column.values
    assert values is not None
    used = values[design.rows]
    return bool(np.all(used == used[0]))


def check_predictor(design: Design, variable: Any) -> None:
    """Raise GlimmError, saying what the name is, unless it is a predictor with a coefficient."""
    known = drawable(design)
    if not isinstance(variable, str):
        given = f"the variable must be the name of a predictor, not {type(variable).__name__}"
        raise GlimmError(f"plot: {given}: {suggest('', known) if known else 'this model has none'}")
    if variable not in known:
        _refuse(design, variable, known)


def _refuse(design: Design, variable: str, known: tuple[str, ...]) -> NoReturn:
    """The error for a name that is no predictor with a coefficient."""
    remedy = suggest(variable, known) if known else "the model has no predictor that varies"
    formula, spec = design.spec.formula, design.spec
    if variable in (design.response.name, formula.response, formula.successes, formula.trials, formula.failures):
        why = "is the response, and a picture runs over a predictor"
    elif variable in spec.variables and constant(design, variable):
        why = "has one value in all rows used, so there is nothing to draw over it"
    elif variable in spec.fixed.variables:
        equals = design.mean.dropped.get(variable, "a combination of other columns")
        why = f"was left out of the model ({equals}), so there is no curve over it"
    elif any(term.times is not None and variable in term.spec.variables for term in design.mean.random):
        why = "orders the random effects in time and has no coefficient"
    elif variable in spec.variables:
        why = "is in the model as an offset or exposure only: its effect is given, not estimated"
    elif variable in (*design.clusters, *(name for bar in formula.bars for name in bar.factors)):
        why = "says which rows belong together, and a picture runs over a predictor"
    else:
        raise GlimmError(f"plot: no predictor {variable!r} in the model: {remedy}")
    raise GlimmError(f"plot: {variable!r} {why}: {remedy}")


def check_at(design: Design, variable: str, at: Mapping[str, Any] | None) -> dict[str, float | int]:
    """The predictors that are to stay at one value: a number, or the code of a level.

    Raises GlimmError for a name that is no other predictor, and for a value that the column cannot have.
    """
    if at is not None and not isinstance(at, Mapping):
        raise GlimmError(f"plot: at must map predictors to values, such as at={{'age': 40}}, not {type(at).__name__}")
    known = [name for name in design.spec.variables if name != variable]
    out: dict[str, float | int] = {}
    for name, value in (at or {}).items():
        if name == variable:
            raise GlimmError(f"plot: at holds {name!r} at one value, but the picture runs over it: leave it out of at")
        if name not in known:
            raise GlimmError(
                f"plot: at names {name!r}, which is no other predictor: " + (suggest(name, known) if known else "leave it out")
            )
        column = design.columns[name]
        if column.values is None:
            if value not in column.levels:
                raise GlimmError(f"plot: at gives {name!r} the level {value!r}: {suggest(str(value), map(str, column.levels))}")
            out[name] = column.levels.index(value)
        else:
            if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not np.isfinite(value):
                raise GlimmError(f"plot: at gives {name!r} the value {value!r}, but the column holds numbers: give one number")
            out[name] = float(value)
    return out
