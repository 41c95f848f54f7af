"""What a predictor is set to: pairs of values to contrast, levels to average at, points to take a derivative through.

Contrast of x1 with x0; x -> x + d; derivative f'(x) = sum_k a_k(x) f(c + k h), k = -2..2, exact for polynomials of degree 4.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import combinations, pairwise
from numbers import Real
from typing import Any, NamedTuple

import numpy as np

from ..data.columns import used_codes
from ..data.records import Variable
from ..design.predictors import as_levels, check_coefficient
from ..design.records import Design
from ..design.replay import Population
from ..errors import GlimmError, suggest
from ..kernels.matrix import Floats
from .averages import Quantity, Setting
from .steps import refuse_steps

MOST_LEVELS = 40
STEP, LEAST_STEP = 1e-3, 1e-7
SCHEMES = ("reference", "pairwise", "sequential")
_STEP = re.compile(r"([+-]\s*[0-9.]+(?:[eE][-+]?[0-9]+)?)\s*$")


class Value(NamedTuple):
    """A value of a predictor: what is said of it, the column that has it everywhere, and the value; None for the row's own plus a step."""

    label: str
    column: Variable
    value: Any = None

    @property
    def key(self) -> Any:
        """The same for the same values alone."""
        return self.label if self.value is None else (type(self.value), self.value)


@dataclass(frozen=True, slots=True)
class Contrast:
    """Everybody at `new` against everybody at `old`."""

    old: Value
    new: Value


def contrasts(design: Design, population: Population, variable: str, values: Any) -> tuple[Contrast, ...]:
    """The contrasts that are asked for; raises GlimmError for what is no predictor and for values that it cannot have.

    values : None is each level against the reference (two numbers: the larger against the smaller), or x + 1 for a number;
    a pair (from, to); "+5" or "sd" for x + 5 or x + its standard deviation; "reference", "pairwise" or "sequential" for levels
    """
    check_coefficient(design, variable, "effect")
    column = design.columns[variable]
    if isinstance(values, tuple | list | np.ndarray):
        if len(values) != 2:
            raise GlimmError(f"effect: values holds {len(values)} values: give two, from and to, such as values=(0, 1)")
        old, new = (at(design, population, variable, v, "effect") for v in values)
        if old.value == new.value:
            raise GlimmError(f"effect: values are {old.label} twice: give two different values of {variable!r}, from and to")
        return (Contrast(old, new),)
    if isinstance(values, bool) or not (values is None or isinstance(values, str | Real)):
        raise GlimmError(f"effect: values must be a pair such as (0, 1), '+1', 'sd', or one of {', '.join(SCHEMES)}, not {values!r}")
    steps = isinstance(values, Real) or values == "sd" or (isinstance(values, str) and _STEP.match(values))
    if column.values is not None and variable not in as_levels(design) and (steps or (values is None and not two_valued(design, variable))):
        return (_step(design, population, variable, values),)
    if steps:
        raise GlimmError(f"effect: values={values!r} adds to a number, but {variable!r} is taken as levels: give a pair of them")
    if values is not None and values not in SCHEMES:
        raise GlimmError(f"effect: values={values!r}: {suggest(str(values), (*SCHEMES, 'sd', '+1'))}; or give a pair such as (0, 1)")
    found = every_level(design, population, variable, "effect")
    if len(found) > 2 and column.values is not None and variable not in as_levels(design):
        raise GlimmError(f"effect: {variable!r} is a number, so values={values!r} has no levels to go through: give a pair, '+1' or 'sd'")
    if values == "pairwise":
        pairs = list(combinations(found, 2))
    elif values == "sequential":
        pairs = list(pairwise(found))
    else:
        base = reference(design, variable, found)
        pairs = [(base, other) for other in found if other is not base]
    return tuple(Contrast(old, new) for old, new in pairs)


def reference(design: Design, variable: str, found: tuple[Value, ...]) -> Value:
    """The reference level of the model, else the first."""
    named = {
        spec.reference for own in design.spec.every for spec in own.fixed.factors.values() if spec.variables == (variable,) and spec.levels
    }
    return next((value for value in found if value.value in named), found[0])


def two_valued(design: Design, variable: str) -> bool:
    """Whether a column of numbers has two values in the rows used, such as 0 and 1."""
    values = design.columns[variable].values
    assert values is not None
    used = values[design.rows]
    low, high = used.min(), used.max()
    return bool(np.all((used == low) | (used == high)))


def every_level(design: Design, population: Population, variable: str, asked: str) -> tuple[Value, ...]:
    """All values that the rows used have, in order."""
    _, levels = used_codes(design.columns[variable], design.rows)
    if len(levels) > MOST_LEVELS:
        raise GlimmError(f"{asked}: {variable!r} has {len(levels)} values, more than {MOST_LEVELS}: name the ones you want with values=")
    return tuple(at(design, population, variable, level, asked) for level in levels)


def at(design: Design, population: Population, variable: str, value: Any, asked: str) -> Value:
    """Everybody at one value; raises GlimmError for a level without rows in the fit, and for what is no number where numbers are needed."""
    column, n = design.columns[variable], population.n
    if column.values is not None:
        if isinstance(value, bool | np.bool_) or not isinstance(value, Real | np.number) or not np.isfinite(float(value)):
            raise GlimmError(f"{asked}: {variable!r} holds numbers, and {value!r} is none")
        number = float(value)
        if variable in as_levels(design) and number not in set(column.values[design.rows].tolist()):
            known = used_codes(column, design.rows)[1]
            raise GlimmError(f"{asked}: {variable!r} has no level {value!r} in the fit: {suggest(str(value), map(str, known))}")
        shown = int(number) if column.integer and number.is_integer() else number
        return Value(f"{number:.15g}", replace(column, values=np.full(n, number), missing=None), shown)
    levels = used_codes(column, design.rows)[1]
    if value not in levels:
        raise GlimmError(f"{asked}: {variable!r} has no level {value!r} in the fit: {suggest(str(value), map(str, levels))}")
    code = column.levels.index(value)
    return Value(str(value), replace(column, codes=np.full(n, code, dtype=np.int32), missing=None), value)


def own_numbers(population: Population, variable: str) -> Floats:
    """(n,) the rows' own values."""
    values = population.columns[variable].values
    assert values is not None
    return values


def spread_of(design: Design, variable: str) -> float:
    """Standard deviation over the rows used, divisor n - 1."""
    values = design.columns[variable].values
    assert values is not None
    return float(np.std(values[design.rows], ddof=1))


def _step(design: Design, population: Population, variable: str, values: Any) -> Contrast:
    """x -> x + d."""
    if values == "sd":
        d = spread_of(design, variable)
        label = f"{variable} + sd ({d:.4g})"
    else:
        match = _STEP.match(values) if isinstance(values, str) else None
        d = 1.0 if values is None else float(match.group(1).replace(" ", "") if match else values)
        label = f"{variable} + {d:g}" if d >= 0.0 else f"{variable} - {-d:g}"
    if d == 0.0 or not np.isfinite(d):
        raise GlimmError(f"effect: values={values!r} moves {variable!r} by {d:g}: give another step")
    own = own_numbers(population, variable)
    column = replace(design.columns[variable], missing=None)
    return Contrast(Value(variable, replace(column, values=own)), Value(label, replace(column, values=own + d, integer=False)))


def derivative(design: Design, population: Population, variable: str) -> Quantity:
    """d mean / dx of each row, by five points that stay inside the range of the fit's rows, which a spline may not leave.

    They are apart by a thousandth of x, or of its standard deviation where that is less: log(x) bends within a share of x.
    Raises GlimmError for levels, and for a predictor in a term with steps.
    """
    check_coefficient(design, variable, "slope")
    column = design.columns[variable]
    if column.values is None or variable in as_levels(design):
        kind = "levels, which have" if column.values is None else "numbers that the model takes as levels, which have"
        raise GlimmError(f"slope: {variable!r} holds {kind} no slope: use effect({variable!r})")
    refuse_steps(design, population, variable)
    used = column.values[design.rows]
    low, high, sd = float(used.min()), float(used.max()), spread_of(design, variable)
    own = own_numbers(population, variable)
    h = np.where(own == 0.0, STEP * sd, np.clip(STEP * np.abs(own), LEAST_STEP * sd, STEP * sd))
    middle = 0.5 * (low + high)
    center = np.clip(own, np.minimum(low + 2.0 * h, middle), np.maximum(high - 2.0 * h, middle))
    center = np.where((own >= low) & (own <= high), center, own)
    weights = stencil((own - center) / h) / h
    fresh = replace(column, missing=None, integer=False)
    return tuple(Setting({variable: replace(fresh, values=center + k * h)}, weights[k + 2]) for k in range(-2, 3))


def stencil(t: Floats) -> Floats:
    """(5, n) derivatives at t of the polynomials of degree 4 that are 1 at one of -2..2 and 0 at the others.

    >>> stencil(np.zeros(1))[:, 0].round(4).tolist()
    [0.0833, -0.6667, 0.0, 0.6667, -0.0833]
    """
    out = np.zeros((5, len(t)))
    for k in range(-2, 3):
        others = [j for j in range(-2, 3) if j != k]
        scale = float(np.prod([k - j for j in others]))
        for left in others:
            out[k + 2] += np.prod([t - j for j in others if j != left], axis=0) / scale
    return out


def moved_to(variable: str, value: Value) -> Quantity:
    """The mean with everybody at a value."""
    return (Setting({variable: value.column}),)


def grid(design: Design, population: Population, asked: Mapping[str, Any]) -> list[tuple[tuple[Value, ...], Quantity]]:
    """All combinations of the values of several predictors, the first changing slowest."""
    out: list[tuple[tuple[Value, ...], dict[str, Variable]]] = [((), {})]
    for variable, values in asked.items():
        check_coefficient(design, variable, "means")
        if values is None:
            column = design.columns[variable]
            if column.values is not None and variable not in as_levels(design) and not two_valued(design, variable):
                raise GlimmError(f"means: {variable!r} holds numbers: say at which, such as means({{{variable!r}: [1, 2, 3]}})")
            found = every_level(design, population, variable, "means")
        else:
            single = isinstance(values, str) or not isinstance(values, tuple | list | np.ndarray | range)
            found = tuple(at(design, population, variable, v, "means") for v in ([values] if single else values))
        if not found:
            raise GlimmError(f"means: no values are given for {variable!r}: leave them out for all levels")
        out = [((*values_before, value), {**changes, variable: value.column}) for values_before, changes in out for value in found]
    return [(values, (Setting(changes),)) for values, changes in out]
