"""What a picture runs over: a predictor's values on the axis, or an error that says what the name is instead.

x = 41 numbers from the smallest to the largest value used; categories stand at 0, 1, 2, ...
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..design.predictors import as_levels, check_predictor
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
    check_predictor(design, variable, "plot")
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
