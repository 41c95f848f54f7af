"""The predictors of a model by name: which can be moved, which are taken as levels, and what another name is instead."""

from __future__ import annotations

from typing import Any, NoReturn

import numpy as np

from ..data.records import Encoding
from ..data.terms import parse_terms
from ..errors import GlimmError, suggest
from .records import Design


def as_levels(design: Design) -> set[str]:
    """Columns whose values the model takes as levels, such as age in C(age)."""
    parts = [*(own.fixed for own in design.spec.every), *(term.spec for term in design.mean.random if term.spec is not None)]
    return {name for part in parts for spec in part.factors.values() if spec.levels for name in spec.variables}


def predictors_of(design: Design) -> tuple[str, ...]:
    """The predictors that can be moved, in the formula's order: those with a coefficient that was kept or a random slope."""
    moving = (term.spec for term in design.mean.random if term.spec is not None and term.times is None)
    found = with_coefficient(design) | {name for random in moving for name in random.variables}
    return tuple(name for name in design.spec.variables if name in found and not constant(design, name))


def with_coefficient(design: Design) -> set[str]:
    """Columns of the fixed terms of which a coefficient was kept, in any part."""
    return {name for spec in design.spec.every for name in _with_coefficient(spec)}


def _with_coefficient(spec: Encoding) -> set[str]:
    fixed, kept = spec.fixed, set(spec.keep)
    return {
        name
        for term, (_, first, last) in zip(parse_terms(fixed.text)[0], fixed.terms, strict=True)
        if kept & set(range(first, last))
        for factor in term.factors
        for name in fixed.factors[factor].variables
    }


def constant(design: Design, name: str) -> bool:
    """Whether a column has one value in all rows used."""
    column = design.columns[name]
    values = column.codes if column.values is None else column.values
    assert values is not None
    used = values[design.rows]
    return bool(np.all(used == used[0]))


def check_predictor(design: Design, variable: Any, asked: str) -> None:
    """Raise GlimmError, saying what the name is, unless it is a predictor with a coefficient; asked : the question's name."""
    known = predictors_of(design)
    if not isinstance(variable, str):
        given = f"the variable must be the name of a predictor, not {type(variable).__name__}"
        raise GlimmError(f"{asked}: {given}: {suggest('', known) if known else 'this model has none'}")
    if variable not in known:
        _refuse(design, variable, known, asked)


def check_coefficient(design: Design, variable: Any, asked: str) -> None:
    """The same, and for a predictor that has random effects but no coefficient of its own: its mean effect was taken to be zero."""
    check_predictor(design, variable, asked)
    if variable not in with_coefficient(design):
        raise GlimmError(
            f"{asked}: {variable!r} has random effects but no coefficient, so the model takes its mean effect to be zero: "
            "add it to the fixed part of the formula"
        )


def _refuse(design: Design, variable: str, known: tuple[str, ...], asked: str) -> NoReturn:
    """The error for a name that is no predictor with a coefficient."""
    remedy = suggest(variable, known) if known else "the model has no predictor that varies"
    formula, spec = design.spec.formula, design.spec
    if variable in (design.response.name, formula.response, formula.successes, formula.trials, formula.failures):
        why = "is the response, not a predictor"
    elif variable in spec.variables and constant(design, variable):
        why = "has one value in all rows used, so nothing can be said of other values"
    elif variable in spec.fixed.variables:
        equals = design.mean.dropped.get(variable, "a combination of other columns")
        why = f"was left out of the model ({equals}), so it has no effect there"
    elif any(term.times is not None and variable in term.spec.variables for term in design.mean.random):
        why = "orders the random effects in time and has no coefficient"
    elif variable in spec.variables:
        why = "is in the model as an offset or exposure only: its effect is given, not estimated"
    elif variable in (*design.clusters, *(name for bar in formula.bars for name in bar.factors)):
        why = "says which rows belong together, and is no predictor"
    else:
        raise GlimmError(f"{asked}: no predictor {variable!r} in the model: {remedy}")
    raise GlimmError(f"{asked}: {variable!r} {why}: {remedy}")
