"""Expressions that only formulaic can evaluate: columns = f(variables; state), the state learnt from the fit's rows.

learn(expression, rows) -> columns and a replayable Expression; replay(expression, new rows) -> the same columns with that state.
"""

from __future__ import annotations

import builtins
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..covariance.layout import structure_names
from ..errors import GlimmError, suggest
from ..kernels.matrix import Floats, Ints
from .columns import pandas_columns
from .formula import functions_in, variables_in
from .records import Variable
from .text import plain_name, split_at

if TYPE_CHECKING:
    import pandas as pd

_CHECKED_ROWS = 5
_SPLINES = {"ns", "s", "te", "ti", "t2", "rcs", "spline"}


@dataclass(frozen=True, slots=True)
class Expression:
    """An expression with what it learnt from the fit's rows; holds no rows.

    variables : columns that it needs
    reduced, full : formulaic's specification with one column left out to make room for the constant, and in full
        (the same where the columns do not add up to the constant); full is None until asked for
    spans : its columns in full add up to the constant
    logical : the values were booleans
    """

    text: str
    variables: tuple[str, ...]
    reduced: Any
    full: Any
    spans: bool
    logical: bool = False


@dataclass(frozen=True, slots=True)
class Columns:
    """Named columns, each (n,) float64 and finite."""

    names: tuple[str, ...]
    values: tuple[Floats, ...]


def check_functions(expression: str) -> None:
    """Raise GlimmError for a function that formulas do not have, with the nearest one."""
    from formulaic.transforms import TRANSFORMS

    for name in functions_in(expression):
        if name in structure_names() and name not in TRANSFORMS:
            raise GlimmError(f"{expression}: a random term is written {name}(... | group)")
        if name in _SPLINES and name not in TRANSFORMS:
            raise GlimmError(f"unknown function {name!r} in {expression}: for a smooth curve write bs(x, df=4), cr(x, df=4) or poly(x, 2)")
        if name not in TRANSFORMS and not hasattr(builtins, name):
            known = [k for k, value in TRANSFORMS.items() if callable(value)]
            remedy = f"NumPy's is written np.{name}(...)" if callable(getattr(np, name, None)) else "or make the column in the data first"
            raise GlimmError(f"unknown function {name!r} in {expression}: {suggest(name, known)}; {remedy}")


def learn(text: str, variables: Mapping[str, Variable], rows: Ints | None, again: bool = True) -> tuple[Expression, Columns]:
    """Evaluate an expression on the rows used, and keep its state.

    variables : the columns that it needs, among others; rows : positions in the caller's data, all of them complete
    (None for all); again : new data will be read with it. Returned columns are in reduced form where the expression spans the constant.

    Raises GlimmError, naming the expression, for what cannot be evaluated, for values that are not finite (with the row), and
    for expressions such as x - np.mean(x) whose value in a row would change with the other rows of new data.
    """
    needed = variables_in(text)
    if not needed:
        raise GlimmError(f"{text!r} in the formula names no column of the data")
    check_functions(text)
    frame = pandas_columns(variables, needed, rows)
    matrix = _evaluate(text, lambda: _formula(text, constant=True).get_model_matrix(frame, context={}, na_action="ignore", output="pandas"))
    spec = matrix.model_spec
    scoped = spec.structure[-1].scoped_terms
    spans = bool(scoped) and bool(scoped[-1].factors) and bool(scoped[-1].factors[-1].reduced)
    columns = _columns(text, matrix, 1, needed, variables, rows)
    logical = matrix.shape[1] == 2 and matrix.dtypes.iloc[1].kind == "b"
    expression = Expression(text, needed, spec, None if spans else spec, spans, logical)
    if again:
        _check_rowwise(expression, columns, frame)
    return expression, columns


def learn_full(expression: Expression, variables: Mapping[str, Variable], rows: Ints | None) -> tuple[Expression, Columns]:
    """The same expression in full, for where the constant is not in the model."""
    frame = pandas_columns(variables, expression.variables, rows)
    text = expression.text
    matrix = _evaluate(text, lambda: _formula(text, False).get_model_matrix(frame, context={}, na_action="ignore", output="pandas"))
    columns = _columns(text, matrix, 0, expression.variables, variables, rows)
    new = Expression(text, expression.variables, expression.reduced, matrix.model_spec, expression.spans, expression.logical)
    return new, columns


def replay(expression: Expression, reduced: bool, variables: Mapping[str, Variable], rows: Ints | None) -> Columns:
    """Evaluate an expression on new data with the state it learnt.

    Raises GlimmError as `learn` does, and for levels that the fit has not seen.
    """
    frame = pandas_columns(variables, expression.variables, rows)
    spec = expression.reduced if reduced or expression.full is None else expression.full
    first = 0 if spec is expression.full and expression.spans else 1
    try:
        matrix = _evaluate(expression.text, lambda: spec.get_model_matrix(frame, context={}))
    except GlimmError as error:
        outside = _outside(expression, spec.transform_state, variables, rows) if "extend beyond" in str(error) else None
        raise outside or error from error.__cause__
    return _columns(expression.text, matrix, first, expression.variables, variables, rows)


def single(columns: Columns, what: str) -> Floats:
    """The only column of a result that must be one."""
    if len(columns.values) != 1:
        raise GlimmError(f"{what} gives {len(columns.values)} columns: it must give one number per row")
    return columns.values[0]


def _formula(text: str, constant: bool) -> Any:
    """formulaic's formula of the one expression, with or without a constant."""
    from formulaic import Formula
    from formulaic.parser.types import Factor, Term

    terms = [Term([Factor("1", eval_method="literal")])] if constant else []
    return Formula([*terms, Term([Factor(text, eval_method="python")])])


def _evaluate(text: str, compute: Callable[[], Any]) -> Any:
    """Run formulaic, and say in a user's words what went wrong."""
    from formulaic.errors import DataMismatchWarning

    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("error", DataMismatchWarning)
            return compute()
    except DataMismatchWarning as warning:
        levels = str(warning).partition("{")[2].partition("}")[0]
        raise GlimmError(f"{text} met levels that it does not know: {levels}") from None
    except Exception as error:
        reason = str(error.__cause__ or error).strip().splitlines() or [type(error).__name__]
        kind = type(error.__cause__ or error).__name__
        raise GlimmError(f"cannot evaluate {text} in the formula: {reason[0]} ({kind})") from error


def _columns(
    text: str, matrix: pd.DataFrame, first: int, needed: tuple[str, ...], variables: Mapping[str, Variable], rows: Ints | None
) -> Columns:
    """The columns of a formulaic matrix from position `first`, checked to be finite."""
    names, values = [], []
    for j in range(first, matrix.shape[1]):
        try:
            values_j = matrix.iloc[:, j].to_numpy()
            if np.iscomplexobj(values_j):
                raise TypeError
            column = np.ascontiguousarray(values_j, dtype=np.float64)
        except (TypeError, ValueError):
            raise GlimmError(f"{text} in the formula gives values that are not numbers") from None
        finite = np.isfinite(column)
        if not finite.all():
            raise not_finite(text, column, int(np.argmin(finite)), needed, variables, rows)
        names.append(str(matrix.columns[j]))
        values.append(column)
    return Columns(tuple(names), tuple(values))


def not_finite(
    text: str, column: Floats, at: int, needed: tuple[str, ...], variables: Mapping[str, Variable], rows: Ints | None
) -> GlimmError:
    """The error about a value that is no finite number, with its row and the columns there."""
    row = at if rows is None else int(rows[at])
    shown = []
    for name in needed:
        variable = variables[name]
        if variable.values is not None:
            shown.append(f"{name} = {variable.values[row]}")
        elif variable.codes is not None:
            shown.append(f"{name} = {variable.levels[variable.codes[row]]!r}")
    what = "not a number" if np.isnan(column[at]) else "infinite"
    remedy = "make the lagged column in the data" if text.startswith("lag(") else "correct the value or leave the row out"
    return GlimmError(f"{text} is {what} in row {row} (counting from 0), where {', '.join(shown)}: {remedy}")


def _outside(expression: Expression, states: Mapping[str, Any], variables: Mapping[str, Variable], rows: Ints | None) -> GlimmError | None:
    """The error about a new value outside the range that a bs(...) was fitted on; None where that is not the trouble.

    states : call -> what it learnt, with lower_bound and upper_bound for splines
    """
    for call, state in states.items():
        if not call.startswith("bs(") or "lower_bound" not in state or "extrapolation" in call:
            continue
        low, high = float(state["lower_bound"]), float(state["upper_bound"])
        argument = split_at(call[3:-1], ",")[0][1].strip()
        column = plain_name(argument)
        who = f"a new value of {argument}"
        if column is not None:
            values = variables[column].values
            assert values is not None
            positions = np.arange(len(values)) if rows is None else rows
            bad = positions[(values[positions] < low) | (values[positions] > high)]
            if not len(bad):
                continue
            who = f"new value {values[bad[0]]:g} of {column} in row {bad[0]} (counting from 0)"
        return GlimmError(
            f"cannot evaluate {expression.text} in the formula: {who} is outside the range {low:g} to {high:g} that {call} was fitted "
            f"on: leave such rows out, or fit with {call[:-1]}, extrapolation='extend')"
        )
    return None


def _check_rowwise(expression: Expression, columns: Columns, frame: pd.DataFrame) -> None:
    """A few rows on their own must give what they gave among all rows; the first and the extreme rows are not among them."""
    special = {0}
    for name in expression.variables:
        values = frame[name].to_numpy()
        if values.dtype.kind in "if":
            special |= {int(np.argmax(values)), int(np.argmin(values))}
    spread = np.linspace(0, len(frame) - 1, _CHECKED_ROWS + len(special)).astype(int)
    few = np.array([row for row in dict.fromkeys(spread.tolist()) if row not in special][:_CHECKED_ROWS], dtype=int)
    if not len(few):
        return
    part = frame.iloc[few].reset_index(drop=True)
    try:
        matrix = _evaluate(expression.text, lambda: expression.reduced.get_model_matrix(part, context={}))
        alone = [matrix.iloc[:, j].to_numpy().astype(np.float64) for j in range(1, matrix.shape[1])]
    except GlimmError:
        return
    for got, among in zip(alone, columns.values, strict=False):
        if got.shape == (len(few),) and not np.allclose(got, among[few], rtol=1e-7, atol=1e-9, equal_nan=True):
            raise GlimmError(
                f"{expression.text} depends on the other rows of the data, so new data would be read differently: "
                "use center(x), scale(x), poly(x, d) or bs(x, df=d), which remember the fit's rows, or compute the column beforehand"
            )
