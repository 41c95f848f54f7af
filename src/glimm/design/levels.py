"""A response that is one of several levels, in order or not: y_i = position of the level, 0 .. C - 1."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..data.columns import as_factor, level_name, used_codes
from ..data.records import Response, Variable
from ..errors import GlimmError
from ..family import Family
from ..kernels.matrix import Floats

LEVELS = ("ordered", "nominal")
"""Supports of families whose response is a factor."""

MOST_LEVELS = 20


def levels_response(variable: Variable, family: Family) -> tuple[Floats, None, Response]:
    """(y, None, Response) on the rows used: an ordered categorical in its order, numbers in order, text sorted.

    Raises GlimmError for fewer than three levels and for more than 20.
    """
    name = variable.name
    count = len(np.unique(variable.values)) if variable.values is not None else len(variable.levels)
    if count > MOST_LEVELS:
        raise GlimmError(
            f"the response {name!r} has {count} different values, and family {family.name!r} is for at most {MOST_LEVELS} levels: "
            "join levels, or take it as a number, family='gaussian'"
        )
    codes, levels = used_codes(variable, None)
    if len(levels) == 1:
        raise GlimmError(f"the response {name!r} is {levels[0]!r} in all rows used: there is nothing to estimate")
    if len(levels) == 2:
        raise GlimmError(
            f"the response {name!r} has two levels ({levels[0]!r}, {levels[1]!r}) in the rows used, for which "
            "family='binomial' is the model"
        )
    unused = [level for level in as_factor(variable).levels if level not in levels]
    without = f"; without rows, so not in the model: {', '.join(map(level_name, unused))}" if unused else ""
    shown = [level_name(level) for level in levels]
    if family.support == "nominal":
        event = f"levels of {name}: {shown[0]} (reference), {', '.join(shown[1:])}{without}"
        return codes.astype(np.float64), None, Response(name, "levels", None, levels, event)
    event = f"order of levels: {name} = {' < '.join(shown)}{without}"
    return codes.astype(np.float64), None, Response(name, "levels", None, levels, event, _doubt(variable, levels))


def _doubt(variable: Variable, levels: tuple[Any, ...]) -> str:
    """What is to be said of an order that nobody chose: that of the alphabet."""
    if variable.kind != "factor" or variable.ordinal or not all(isinstance(level, str) for level in levels):
        return ""
    if list(levels) != sorted(levels):
        return ""
    return (
        f"the levels of {variable.name} are taken in alphabetical order, {' < '.join(levels)}: if that is not their order, make the column "
        "an ordered categorical, pd.Categorical(..., categories=[...], ordered=True)"
    )
