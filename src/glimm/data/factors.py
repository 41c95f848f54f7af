"""One factor of a term: a numeric column, the indicators of a factor, contrasts of its levels, or an evaluated expression.

learn_factor decides which and remembers levels and state; encode_factor gives its columns, for the fit's rows or for new ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from ..errors import GlimmError
from ..kernels.matrix import Codes, Floats, Ints, SparseColumn, Stored
from .arithmetic import evaluate, is_arithmetic
from .columns import as_factor, recode, take, used_codes
from .expressions import Columns, Expression, learn, learn_full
from .expressions import replay as replay_expression
from .formula import variables_in
from .records import Variable
from .terms import plain_factor


@dataclass(frozen=True, slots=True)
class Piece:
    """Columns of one factor: indicators (`codes` into names, -1 for none) or numeric columns (`values`)."""

    names: tuple[str, ...]
    codes: Codes | None = None
    values: tuple[Stored, ...] = ()


@dataclass(frozen=True, slots=True)
class Coding:
    """Contrasts of a factor's levels: table (levels x columns) and names of the columns."""

    names: tuple[str, ...]
    table: Floats


@dataclass(frozen=True, slots=True)
class FactorSpec:
    """How one factor is read; holds no rows.

    kind : "numeric" (a column as it is), "arithmetic" (of numeric columns), "indicator" (a factor's levels), "coding" (contrasts),
    "expression" (formulaic)
    variables : columns needed, spans : its columns in full add up to the constant
    levels : levels with rows in the fit, reference : the level left out in reduced form (indicator, coding)
    """

    text: str
    kind: Literal["numeric", "arithmetic", "indicator", "coding", "expression"]
    variables: tuple[str, ...]
    spans: bool
    levels: tuple[Any, ...] = ()
    reference: Any = None
    reduced: Coding | None = None
    full: Coding | None = None
    expression: Expression | None = None


Pieces = dict[tuple[str, bool], Piece]


def learn_factor(text: str, plain: bool, variables: Mapping[str, Variable], rows: Ints | None, pieces: Pieces) -> FactorSpec:
    """A factor's specification, learnt from the rows used. Pieces made on the way are put into `pieces`.

    text : the factor as written; plain : it is a column's name
    """
    column = text if plain else plain_factor(text)
    if column is not None:
        variable = variables[column]
        if plain and (variable.kind == "numeric" or variable.boolean):
            return FactorSpec(text, "numeric", (column,), spans=False)
        codes, levels = used_codes(variable, rows)
        pieces[text, False] = Piece(tuple(f"{text}[{level}]" for level in levels), codes)
        return FactorSpec(text, "indicator", (column,), True, levels, levels[0] if levels else None)
    needed = variables_in(text)
    if text.startswith("C(") and text.endswith(")") and len(needed) == 1 and _is_contrast(text, needed[0]):
        return _learn_coding(text, needed[0], variables[needed[0]], rows, pieces)
    if is_arithmetic(text, needed, variables):
        return FactorSpec(text, "arithmetic", needed, spans=False)
    expression, columns = learn(text, variables, rows)
    pieces[text, expression.spans] = Piece(columns.names, values=columns.values)
    return FactorSpec(text, "expression", needed, expression.spans, expression=expression)


def encode_factor(spec: FactorSpec, reduced: bool, variables: Mapping[str, Variable], rows: Ints | None, pieces: Pieces) -> FactorSpec:
    """Put the factor's columns into `pieces`, unless they are there; returns the specification, completed where needed.

    Raises GlimmError for a level that the specification does not have, naming it.
    """
    key = (spec.text, reduced)
    if key in pieces:
        return spec
    if spec.kind == "numeric":
        pieces[key] = Piece((spec.text,), values=(numbers(variables[spec.variables[0]], rows),))
    elif spec.kind == "arithmetic":
        pieces[key] = Piece((spec.text,), values=(evaluate(spec.text, spec.variables, variables, rows),))
    elif spec.kind == "indicator":
        if (spec.text, False) not in pieces:
            codes = known_codes(variables[spec.variables[0]], spec.levels, rows)
            pieces[spec.text, False] = Piece(tuple(f"{spec.text}[{level}]" for level in spec.levels), codes)
        if reduced:
            full = pieces[spec.text, False]
            assert full.codes is not None
            pieces[key] = Piece(
                tuple(f"{spec.text}[T.{level}]" for level in spec.levels[1:]), np.maximum(full.codes - np.int32(1), np.int32(-1))
            )
    elif spec.kind == "coding":
        coding = spec.reduced if reduced else spec.full
        assert coding is not None
        codes = known_codes(variables[spec.variables[0]], spec.levels, rows)
        pieces[key] = _apply(coding, codes)
    else:
        return _encode_expression(spec, reduced, variables, rows, pieces)
    return spec


def known_codes(variable: Variable, levels: tuple[Any, ...], rows: Ints | None) -> Codes:
    """Codes of a variable in the levels of the fit.

    Raises GlimmError for a level that the fit has not seen, naming it, its row and the levels known.
    """
    factor = as_factor(variable)
    codes, unknown = recode(factor if rows is None else take(factor, rows), levels)
    if unknown:
        assert factor.codes is not None
        row = int(np.flatnonzero(factor.codes == factor.levels.index(unknown[0]))[0])
        listed = ", ".join(repr(level) for level in levels[:20]) + (", ..." if len(levels) > 20 else "")
        raise GlimmError(
            f"level {unknown[0]!r} of column {variable.name!r} in row {row} (counting from 0) was not in the fit: known levels are {listed}"
        )
    return codes


def numbers(variable: Variable, rows: Ints | None) -> Stored:
    """A numeric or boolean column as it is kept, without a copy where possible; rows ascend."""
    if variable.kind == "factor":
        if not variable.boolean:
            raise GlimmError(f"column {variable.name!r} was a number in the fit and holds {variable.levels[0]!r} now: give numbers")
        assert variable.codes is not None
        return (variable.codes if rows is None else variable.codes[rows]).astype(np.float64)
    stored = variable.stored
    assert stored is not None
    if isinstance(stored, SparseColumn):
        return stored if rows is None else stored.take(rows)
    out: Stored = np.ascontiguousarray(stored if rows is None else stored[rows])  # type: ignore[assignment]
    return out


def _is_contrast(text: str, column: str) -> bool:
    """C(column, ...) with the plain column as its first argument."""
    head = text[2:].lstrip()
    return any(head.startswith(written + ",") for written in (column, f"`{column}`"))


def _learn_coding(text: str, column: str, variable: Variable, rows: Ints | None, pieces: Pieces) -> FactorSpec:
    """Contrasts: formulaic codes one row per level, which is then looked up by code."""
    codes, levels = used_codes(variable, rows)
    k = len(levels)
    if variable.kind == "numeric":
        rehearsal = Variable(column, "numeric", values=np.array(levels, dtype=np.float64), integer=variable.integer)
    elif variable.boolean:
        rehearsal = Variable(
            column, "factor", codes=np.array([int(level) for level in levels], dtype=np.int32), levels=(False, True), boolean=True
        )
    else:
        rehearsal = replace(variable, codes=np.arange(k, dtype=np.int32), levels=levels, missing=None)
    try:
        expression, columns = learn(text, {column: rehearsal}, None)
    except GlimmError as error:
        shown = ", ".join(repr(level) for level in levels[:20]) + (", ..." if k > 20 else "")
        known = "contr.treatment('level'), contr.sum, contr.helmert, contr.poly, contr.diff, contr.SAS"
        raise GlimmError(f"{error}; the levels of {column!r} are {shown}; contrasts are {known}") from error
    coding = _coding(columns, k)
    full = coding
    if expression.spans:
        full = _coding(learn_full(expression, {column: rehearsal}, None)[1], k)
    pieces[text, True], pieces[text, False] = _apply(coding, codes), _apply(full, codes)
    zero = np.flatnonzero(~coding.table.any(axis=1))
    reference = levels[zero[0]] if len(zero) == 1 and _is_unit(coding.table) else None
    return FactorSpec(text, "coding", (column,), expression.spans, levels, reference, coding, full)


def _coding(columns: Columns, k: int) -> Coding:
    return Coding(columns.names, np.column_stack(columns.values) if columns.values else np.zeros((k, 0)))


def _is_unit(table: Floats) -> bool:
    """Each level has at most one 1 and otherwise zeros."""
    return bool(((table == 0) | (table == 1)).all() and (table.sum(axis=1) <= 1).all())


def _apply(coding: Coding, codes: Codes) -> Piece:
    """Contrasts of each row: indicators where the table is one of zeros and ones, else numeric columns."""
    table = coding.table
    if table.shape[1] and _is_unit(table):
        lookup = np.where(table.any(axis=1), table.argmax(axis=1), -1).astype(np.int32)
        return Piece(coding.names, lookup[codes])
    return Piece(coding.names, values=tuple(np.ascontiguousarray(table[:, j])[codes] for j in range(table.shape[1])))


def _encode_expression(spec: FactorSpec, reduced: bool, variables: Mapping[str, Variable], rows: Ints | None, pieces: Pieces) -> FactorSpec:
    """Columns of an evaluated expression; in full form its state is learnt when first asked for."""
    expression = spec.expression
    assert expression is not None
    if not reduced and expression.full is None:
        expression, columns = learn_full(expression, variables, rows)
        spec = replace(spec, expression=expression)
    else:
        columns = replay_expression(expression, reduced, variables, rows)
    pieces[spec.text, reduced] = Piece(columns.names, values=columns.values)
    return spec
