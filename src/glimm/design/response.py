"""The left side of a formula as numbers: y on the scale of the mean, trials, and what counts as the event.

y_i = value, 1{level = success}, successes_i / trials_i, or the position of the level (`levels`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.columns import as_factor, recode, take, used_codes
from ..data.expressions import learn, single
from ..data.formula import variables_in
from ..data.records import Formula, Response, Variable
from ..data.terms import plain_factor
from ..data.text import plain_name
from ..errors import GlimmError
from ..family import Family
from ..kernels.matrix import Floats, Ints
from .levels import LEVELS, levels_response

RANGES = {"positive": "positive numbers", "nonnegative": "numbers of at least 0", "unit": "numbers between 0 and 1"}

Made = tuple[Floats, Floats | None, Response]


def response_variables(formula: Formula) -> tuple[str, ...]:
    """Columns that the response needs."""
    return tuple(dict.fromkeys(name for part in parts_of_response(formula) for name in variables_in(part)))


def parts_of_response(formula: Formula) -> tuple[str, ...]:
    """The expressions of the left side, numbers left out."""
    parts = [formula.response] if formula.successes is None else [formula.successes, formula.trials, formula.failures]
    return tuple(part for part in parts if part is not None and _literal(part) is None)


def trials_variables(formula: Formula) -> tuple[str, ...]:
    """Columns that the number of trials needs: of `successes / trials` the second only."""
    parts = [formula.trials] if formula.trials is not None else [formula.successes, formula.failures]
    names = [name for part in parts if part is not None and _literal(part) is None for name in variables_in(part)]
    return tuple(dict.fromkeys(names))


def count_trials(formula: Formula, variables: Mapping[str, Variable], rows: Ints) -> Floats:
    """(n,) trials of rows in which none of them is missing; raises GlimmError for what is no number of trials."""
    parts = [formula.trials] if formula.trials is not None else [formula.successes, formula.failures]
    trials = np.sum([_whole(part, variables, rows, len(rows)) for part in parts if part is not None], axis=0)
    _refuse(trials <= 0, rows, lambda at: f"{formula.response} has no trials")
    return np.asarray(trials, dtype=np.float64)


def make_response(formula: Formula, family: Family, variables: Mapping[str, Variable], rows: Ints | None) -> Made:
    """(y, trials, Response) on the rows used, by what the family's support allows.

    Raises GlimmError, naming the column, the row and the value, for a response that the family cannot have.
    """
    made = read_response(formula, family, variables, rows)
    y = made[0]
    if len(y):
        check_varies(made[2], family, float(y.min()), float(y.max()))
    return made


def read_response(
    formula: Formula, family: Family, variables: Mapping[str, Variable], rows: Ints | None, known: Response | None = None
) -> Made:
    """The same of some rows, which may all be alike; known : the response of all rows."""
    if formula.successes is not None:
        if family.support != "binomial":
            if family.support in LEVELS:
                raise GlimmError(f"the response {formula.response!r} has trials, and family {family.name!r} needs one row per response")
            raise GlimmError(
                f"the response {formula.response!r} has trials, which family {family.name!r} does not: "
                "use family='binomial', or write I(a / b) for a ratio"
            )
        return _trials(formula, variables, rows)
    variable = _evaluate(formula.response, variables, rows)
    if family.support == "binomial":
        return _binary(variable, rows, known, family.likelihood)
    if family.support in LEVELS:
        return levels_response(variable, family)
    y = _numbers(variable, family)
    if family.support == "count":
        _check_counts(variable.name, y, rows, family)
    elif family.support in RANGES:
        _check_range(variable.name, y, rows, family)
    return y, None, Response(variable.name, "numeric")


def check_varies(response: Response, family: Family, least: float, most: float) -> None:
    """Raise GlimmError for responses, between these two, that leave nothing to estimate."""
    if response.kind == "binary" and least == most:
        raise GlimmError(f"the response {response.name!r} is {least:g} in all rows used: there is nothing to estimate")
    if response.kind == "trials" and (most == 0.0 or least == 1.0):
        raise GlimmError(f"the proportion {response.name} is {0 if most == 0.0 else 1} in all rows used: there is nothing to estimate")
    if response.kind == "numeric" and (family.support == "count" or family.support in RANGES) and least == most == 0.0:
        raise GlimmError(f"the response {response.name!r} is 0 in all rows used: there is nothing to estimate")


def _evaluate(text: str, variables: Mapping[str, Variable], rows: Ints | None) -> Variable:
    """The response on the rows used: a column, C(column), or an expression evaluated by formulaic."""
    column = plain_name(text)
    if column is None:
        column = plain_factor(text.replace(" ", ""))
        if column is not None:
            return _rows(as_factor(variables[column]), rows)
        expression, columns = learn(text, variables, rows, again=False)
        values = single(columns, f"the response {text}")
        if expression.logical:
            return Variable(text, "factor", codes=values.astype(np.int32), levels=(False, True), boolean=True)
        return Variable(text, "numeric", values=values)
    return _rows(variables[column], rows)


def _rows(variable: Variable, rows: Ints | None) -> Variable:
    return variable if rows is None else take(variable, rows)


def _numbers(variable: Variable, family: Family) -> Floats:
    """A response that must be a number; booleans are 0 and 1."""
    if variable.kind == "numeric":
        assert variable.values is not None
        return np.ascontiguousarray(variable.values)
    if not variable.boolean:
        shown = ", ".join(repr(level) for level in variable.levels[:3])
        raise GlimmError(
            f"the response {variable.name!r} is not a number (it holds {shown}): family {family.name!r} needs numbers; "
            "for two levels use family='binomial', for more glimm.gee with family='ordinal' or 'multinomial'"
        )
    assert variable.codes is not None
    return variable.codes.astype(np.float64)


def _binary(variable: Variable, rows: Ints | None, known: Response | None, whole: bool) -> Made:
    """0/1, booleans or two levels; where not `whole`, proportions too."""
    name = variable.name
    reference: Any
    success: Any
    if variable.kind == "numeric":
        if not whole and (found := _proportions(variable)) is not None:
            return found, None, Response(name, "numeric", event=f"proportion modelled: {name}")
        y = _zero_one(variable, rows)
        reference, success = 0, 1
    elif known is not None:
        reference, success = known.levels
        y = recode(variable, known.levels)[0].astype(np.float64)
    else:
        codes, levels = used_codes(variable, None)
        if len(levels) > 2:
            shown = ", ".join(repr(level) for level in levels[:6]) + (", ..." if len(levels) > 6 else "")
            raise GlimmError(
                f"the response {name!r} has {len(levels)} levels ({shown}), and a binomial response has two: "
                f"choose the event, for example I({name} == {levels[-1]!r}), or fit all levels by glimm.glm or glimm.gee with "
                "family='ordinal' or 'multinomial'"
            )
        if len(levels) == 1:
            raise GlimmError(f"the response {name!r} is {levels[0]!r} in all rows used: there is nothing to estimate")
        reference, success = levels
        y = codes.astype(np.float64)
    event = f"event modelled: {name} = {success!r} (reference {reference!r})"
    return y, None, Response(name, "binary", success, (reference, success), event)


def _proportions(variable: Variable) -> Floats | None:
    """Numbers between 0 and 1 that are not all 0 or 1; None for others."""
    assert variable.values is not None
    y = np.ascontiguousarray(variable.values)
    return y if len(y) and y.min() >= 0.0 and y.max() <= 1.0 and not ((y == 0.0) | (y == 1.0)).all() else None


def _zero_one(variable: Variable, rows: Ints | None) -> Floats:
    """Numbers that must be 0 and 1; other codings are refused with what to write."""
    assert variable.values is not None
    y = np.ascontiguousarray(variable.values)
    bad = (y != 0) & (y != 1)
    if not bad.any():
        return y
    name = variable.name
    if ((y == 1) | (y == 2)).all():
        raise GlimmError(f"the response {name!r} is coded 1/2, not 0/1: write I({name} == 2) for the event 2")
    at = int(np.argmax(bad))
    where = f"{y[at]:g} in row {_row(rows, at)} (counting from 0)"
    if y.min() >= 0 and y.max() <= 1:
        raise GlimmError(
            f"the response {name!r} is a proportion ({where}), and its number of trials is not given: "
            "write successes / trials, or cbind(successes, failures); proportions of nothing that is counted have family='quasibinomial'"
        )
    distinct = np.unique(y)
    if len(distinct) == 2:
        raise GlimmError(f"the response {name!r} is coded {distinct[0]:g}/{distinct[1]:g}, not 0/1: write I({name} == {distinct[1]:g})")
    raise GlimmError(
        f"the response {name!r} is {where}, and a binomial response is 0 or 1: "
        "write successes / trials for counts, or use family='poisson' or 'gaussian'"
    )


def _trials(formula: Formula, variables: Mapping[str, Variable], rows: Ints | None) -> Made:
    """successes / trials or cbind(successes, failures)."""
    assert formula.successes is not None
    first = _whole(formula.successes, variables, rows, None)
    second = _whole(formula.trials or formula.failures or "", variables, rows, len(first))
    if formula.trials is not None:
        trials = second
        _refuse(
            first > trials,
            rows,
            lambda at: f"successes {formula.successes} = {first[at]:g} exceed trials {formula.trials} = {trials[at]:g}",
        )
        hint = f"'{formula.successes}' out of '{formula.trials}'"
    else:
        trials = first + second
        hint = f"'{formula.successes}' against '{formula.failures}'"
    _refuse(trials <= 0, rows, lambda at: f"{formula.response} has no trials")
    y = first / trials
    return y, np.ascontiguousarray(trials), Response(formula.response, "trials", event=f"event modelled: successes {hint}")


def _whole(text: str, variables: Mapping[str, Variable], rows: Ints | None, n: int | None) -> Floats:
    """Whole, non-negative numbers."""
    number = _literal(text)
    if number is not None and n is not None:
        values = np.full(n, number)
    else:
        variable = _evaluate(text, variables, rows)
        if variable.kind != "numeric" and not variable.boolean:
            raise GlimmError(f"{text!r} in the response is not a number: successes, failures and trials are counts")
        assert variable.values is not None or variable.codes is not None
        values = variable.values if variable.values is not None else np.asarray(variable.codes, dtype=np.float64)
    _refuse(values < 0, rows, lambda at: f"{text} is {values[at]:g}: counts cannot be negative")
    _refuse(values != np.floor(values), rows, lambda at: f"{text} is {values[at]:g}: counts must be whole numbers")
    return values


def _literal(text: str) -> float | None:
    """A number written in the formula, as in `dead / 10`."""
    try:
        return float(text)
    except ValueError:
        return None


def _check_counts(name: str, y: Floats, rows: Ints | None, family: Family) -> None:
    """Counts are whole and not negative."""
    _refuse(y < 0, rows, lambda at: f"the response {name!r} is {y[at]:g}: family {family.name!r} needs counts, which cannot be negative")
    _refuse(
        y != np.floor(y),
        rows,
        lambda at: (
            f"the response {name!r} is {y[at]:g}: counts must be whole numbers; model a rate by its count with exposure= (the denominator)"
        ),
    )


def inside(y: Floats, support: str) -> NDArray[np.bool_]:
    """(n,) whether a response may have this value."""
    if support == "unit":
        return (y > 0.0) & (y < 1.0)
    return y > 0.0 if support == "positive" else y >= 0.0


def _check_range(name: str, y: Floats, rows: Ints | None, family: Family) -> None:
    """Every response inside the family's range."""
    remedy = {
        "positive": "family='tweedie' takes zeros, or leave the row out",
        "nonnegative": "negative values need family='gaussian', or leave the row out",
        "unit": "counts out of a total are successes / trials with family='binomial'; else squeeze, (y (n - 1) + 0.5) / n",
    }[family.support]
    bad = ~inside(y, family.support)
    _refuse(bad, rows, lambda at: f"the response {name!r} is {y[at]:g}: family {family.name!r} needs {RANGES[family.support]}; {remedy}")


def _refuse(bad: NDArray[np.bool_], rows: Ints | None, say: Any) -> None:
    """Raise GlimmError about the first bad row."""
    if bad.any():
        at = int(np.argmax(bad))
        raise GlimmError(f"{say(at)} (row {_row(rows, at)}, counting from 0)")


def _row(rows: Ints | None, at: int) -> int:
    return at if rows is None else int(rows[at])
