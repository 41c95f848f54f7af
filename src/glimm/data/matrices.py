"""The formula door: fixed part + variables -> model matrix as blocks, and the same for new data.

X = [products over the factors of each term], columns named and ordered as formulaic's; nothing dense is formed for factors.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..errors import GlimmError
from ..kernels.matrix import Block, Codes, Ints, Matrix, Stored, block_of, wide
from .columns import as_factor
from .expressions import check_functions
from .factors import FactorSpec, Piece, encode_factor, learn_factor
from .formula import variables_in
from .records import Factor, Variable
from .terms import Scoped, parse_terms, scope

MAX_COLUMNS = 100_000


@dataclass(frozen=True, slots=True)
class FixedSpec:
    """How the fixed part is read; holds no rows and can be pickled.

    products : what is multiplied, in column order
    factors : each factor's own specification (levels, state), by its expression
    names : all columns; intercept : position of the constant, or None
    terms : (label, first column, one past the last column) of each term
    variables : columns of the data that are needed
    """

    text: str
    products: tuple[Scoped, ...]
    factors: Mapping[str, FactorSpec]
    names: tuple[str, ...]
    intercept: int | None
    terms: tuple[tuple[str, int, int], ...]
    variables: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Fixed:
    """The fixed part on the rows used: matrix, replayable specification, factors, terms without columns and why."""

    matrix: Matrix
    spec: FixedSpec
    factors: tuple[Factor, ...] = ()
    empty: Mapping[str, str] = field(default_factory=dict)


def predictors(fixed: str) -> tuple[str, ...]:
    """Columns that the fixed part needs, in order of appearance.

    Raises GlimmError for text that cannot be parsed and for unknown functions.

    >>> predictors("log(x) * g + `odd name`")
    ('x', 'g', 'odd name')
    """
    terms, plain = parse_terms(fixed)
    found: dict[str, None] = {}
    for expression in dict.fromkeys(f for term in terms for f in term.factors):
        if expression in plain:
            found[expression] = None
            continue
        names = variables_in(expression)
        check_functions(expression)
        found.update(dict.fromkeys(names))
    return tuple(found)


def build(fixed: str, variables: Mapping[str, Variable], rows: Ints | None, n: int) -> Fixed:
    """The fixed part's matrix on the rows used, and how to read new data.

    variables : every column of `predictors(fixed)`, over the caller's rows
    rows : (n,) positions used, none with a missing predictor; None for all

    Raises GlimmError for expressions that cannot be evaluated or are not finite, naming the term and the row.

    >>> from glimm.data.readers import read_column
    >>> columns = {"x": read_column("x", [1.0, 2.0, 4.0]), "g": read_column("g", ["a", "b", "b"])}
    >>> build("x + g", columns, None, 3).spec.names
    ('Intercept', 'x', 'g[T.b]')
    """
    terms, plain = parse_terms(fixed)
    expressions = dict.fromkeys(f for term in terms for f in term.factors)
    specs: dict[str, FactorSpec] = {}
    pieces: dict[tuple[str, bool], Piece] = {}
    for expression in expressions:
        specs[expression] = learn_factor(expression, expression in plain, variables, rows, pieces)
    scoped = scope(terms, {expression: spec.spans for expression, spec in specs.items()})
    for expression, reduced in dict.fromkeys(part for term in scoped for product in term for part in product.factors):
        specs[expression] = encode_factor(specs[expression], reduced, variables, rows, pieces)
    names: list[str] = []
    blocks: list[Block] = []
    spans: list[tuple[str, int, int]] = []
    empty: dict[str, str] = {}
    intercept = None
    for term, products in zip(terms, scoped, strict=True):
        first = len(names)
        for product in products:
            start = len(names)
            if not product.factors and product.scale == 1.0:
                intercept = start
            added = _add(product, pieces, names, blocks)
            if not added:
                empty[":".join(f for f, _ in product.factors)] = _why_empty(product, specs)
        spans.append((term.label, first, len(names)))
    flat = tuple(product for term in scoped for product in term)
    needed = tuple(dict.fromkeys(name for spec in specs.values() for name in spec.variables))
    spec = FixedSpec(fixed, flat, specs, tuple(names), intercept, tuple(spans), needed)
    matrix = Matrix(n, len(names), tuple(blocks))
    return Fixed(matrix, spec, _factors(specs, flat, variables), empty)


def replay(spec: FixedSpec, variables: Mapping[str, Variable], n: int) -> tuple[Matrix, NDArray[np.bool_]]:
    """The matrix of new data, read as in the fit, and which rows are complete (the others hold zeros).

    variables : every column of `spec.variables`, n rows each

    Raises GlimmError for a level that the fit has not seen, naming it, its column and the levels known.
    """
    complete = complete_rows(variables, spec.variables, n)
    rows = None if complete.all() else np.flatnonzero(complete)
    m = n if rows is None else len(rows)
    pieces: dict[tuple[str, bool], Piece] = {}
    names: list[str] = []
    blocks: list[Block] = []
    if m:
        for expression, reduced in dict.fromkeys(part for product in spec.products for part in product.factors):
            encode_factor(spec.factors[expression], reduced, variables, rows, pieces)
        for product in spec.products:
            _add(product, pieces, names, blocks)
    matrix = Matrix(m, len(spec.names), tuple(blocks))
    return (matrix if rows is None else _scatter(matrix, rows, n)), complete


def complete_rows(variables: Mapping[str, Variable], names: tuple[str, ...], n: int) -> NDArray[np.bool_]:
    """(n,) rows in which none of the named variables is missing."""
    complete = np.ones(n, dtype=np.bool_)
    for name in names:
        missing = variables[name].missing
        if missing is not None:
            complete &= ~missing
    return complete


def _add(product: Scoped, pieces: Mapping[tuple[str, bool], Piece], names: list[str], blocks: list[Block]) -> int:
    """Append the columns of one product of factors; the first factor's columns change fastest."""
    start = len(names)
    if not product.factors:
        names.append("Intercept")
        blocks.append(Block(np.array([start]), values=None if product.scale == 1.0 else np.array([product.scale])))
        return 1
    parts = [pieces[part] for part in product.factors]
    sizes = [len(part.names) for part in parts]
    total = int(np.prod([float(size) for size in sizes]))
    if total > MAX_COLUMNS:
        label = ":".join(f for f, _ in product.factors)
        raise GlimmError(f"{label} makes {total} columns: model it as random effects, for example (1 | group), or with fewer levels")
    if total == 0:
        return 0
    labels = list(parts[0].names)
    for part in parts[1:]:
        labels = [f"{left}:{right}" for right in part.names for left in labels]
    names.extend(labels)
    strides = np.concatenate(([1], np.cumprod(sizes)[:-1]))
    codes, cells = _cross(
        [(part.codes, size, stride) for part, size, stride in zip(parts, sizes, strides, strict=True) if part.codes is not None]
    )
    choices: list[tuple[int, Stored | None]] = [(0, None)]
    for part, stride in zip(parts, strides, strict=True):
        if part.codes is None:
            choices = [
                (offset + int(stride) * j, column if values is None else wide(values) * wide(column))
                for j, column in enumerate(part.values)
                for offset, values in choices
            ]
    for offset, values in choices:
        if product.scale != 1.0:
            values = product.scale * wide(values) if values is not None else np.full(len(codes) if codes is not None else 0, product.scale)
        blocks.append(block_of(start + offset + cells, values, codes))
    return total


def _cross(factors: list[tuple[Codes, int, np.int64]]) -> tuple[Codes | None, Ints]:
    """Codes of the cells of several factors, and where in the term each cell's column is."""
    if not factors:
        return None, np.zeros(1, dtype=np.int64)
    codes, size, stride = factors[0]
    cells: Ints = np.arange(size, dtype=np.int64) * stride
    for other, width, step in factors[1:]:
        crossed = codes + np.int32(len(cells)) * other
        codes = np.where((codes < 0) | (other < 0), np.int32(-1), crossed)
        cells = (cells[None, :] + (np.arange(width, dtype=np.int64) * step)[:, None]).ravel()
    return codes, cells


def _scatter(matrix: Matrix, rows: Ints, n: int) -> Matrix:
    """The matrix of some rows as one of n rows that holds zeros elsewhere."""
    blocks = []
    for block in matrix.blocks:
        values, codes = block.values, block.codes
        if codes is not None:
            wide = np.full(n, -1, dtype=np.int32)
            wide[rows] = codes
            codes = wide
        if values is not None or codes is None:
            full = np.zeros(n)
            full[rows] = 1.0 if values is None else values
            values = full
        blocks.append(Block(block.positions, values, codes))
    return Matrix(n, matrix.p, tuple(blocks))


def _why_empty(product: Scoped, specs: Mapping[str, FactorSpec]) -> str:
    """The sentence about a product without columns."""
    for expression, reduced in product.factors:
        levels = specs[expression].levels
        if reduced and len(levels) == 1:
            return f"{expression} has a single level {levels[0]!r} in the rows used"
    return "has no columns in the rows used"


def _factors(specs: Mapping[str, FactorSpec], products: tuple[Scoped, ...], variables: Mapping[str, Variable]) -> tuple[Factor, ...]:
    """The factors of the model, for the summary."""
    reduced = {expression for product in products for expression, r in product.factors if r}
    out = []
    for expression, spec in specs.items():
        if not spec.levels:
            continue
        reference = spec.reference if expression in reduced else None
        known = as_factor(variables[spec.variables[0]]).levels
        used = set(spec.levels)
        levels = spec.levels if reference is None else (reference, *(level for level in spec.levels if level != reference))
        out.append(Factor(expression, levels, reference, tuple(level for level in known if level not in used)))
    return tuple(out)
