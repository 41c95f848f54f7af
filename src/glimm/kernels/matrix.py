"""A model matrix that is never formed: X = [1 | numeric columns | indicator columns], kept as the arrays it came from.

A block is a run of columns: the constant, one numeric column, or the indicators of a factor (codes, optionally
times a numeric column). Kernels read rows of (X - center) / scale straight from the blocks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Ints = NDArray[np.int64]
Codes = NDArray[np.int32]
Bools = NDArray[np.bool_]
Index = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class SparseColumn:
    """A numeric column of zeros but for a few rows.

    n : rows; rows : (m,) int32, those that are not zero, ascending; entries : (m,) what they hold
    """

    n: int
    rows: Codes
    entries: Floats

    def wide(self) -> Floats:
        """(n,) with its zeros."""
        out = np.zeros(self.n)
        out[self.rows] = self.entries
        return out

    def take(self, rows: Ints) -> SparseColumn:
        """The column in these rows, which ascend."""
        at = np.searchsorted(rows, self.rows)
        there = at < len(rows)
        there[there] = rows[at[there]] == self.rows[there]
        return SparseColumn(len(rows), at[there].astype(np.int32), self.entries[there])


Stored = Floats | Singles | SparseColumn
"""A numeric column as it is kept: in the caller's precision, or by its entries."""


def wide(values: Stored) -> Floats:
    """(n,) float64; no copy if it is so already."""
    return values.wide() if isinstance(values, SparseColumn) else np.asarray(values, dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Block:
    """One run of columns of a model matrix over n rows.

    positions : (k,) columns of the matrix that this block fills
    values : (n,) float64, or None
    codes : (n,) int32 in -1..k-1, or None; row r has a non-zero entry only in column positions[codes[r]],
        and -1 is a row of zeros (the reference level)

    Neither: the constant 1 (k = 1). Only `values`: a numeric column (k = 1). Only `codes`: 0/1 indicators.
    Both: indicators times `values`.
    """

    positions: Ints
    values: Floats | None = None
    codes: Codes | None = None

    @property
    def stored(self) -> Stored | None:
        """What is kept of `values`."""
        return self.values


@dataclass(frozen=True, slots=True)
class StoredBlock(Block):
    """A numeric column that is not kept as float64, which `values` gives anew each time it is asked for."""

    def __getattribute__(self, name: str) -> Any:
        out = object.__getattribute__(self, name)
        return wide(out) if name == "values" else out

    @property
    def stored(self) -> Stored:
        """What is kept."""
        out: Stored = object.__getattribute__(self, "values")
        return out


def block_of(positions: Ints, values: Stored | None, codes: Codes | None = None) -> Block:
    """A block that keeps a numeric column as it is."""
    if codes is not None:
        return Block(positions, None if values is None else wide(values), codes)
    if values is None or (isinstance(values, np.ndarray) and values.dtype == np.float64):
        return Block(positions, None if values is None else wide(values))
    kept: Any = values
    return StoredBlock(positions, kept)


@dataclass(frozen=True, slots=True)
class Matrix:
    """A model matrix of n rows and p columns as blocks."""

    n: int
    p: int
    blocks: tuple[Block, ...]

    def dense(self) -> Floats:
        """(n, p) the matrix written out, column by column: for small uses (predictions, tests), never inside a fit."""
        out = np.zeros((self.n, self.p), order="F")
        for block in self.blocks:
            if block.codes is None:
                out[:, block.positions[0]] = 1.0 if block.values is None else block.values
            else:
                rows = np.flatnonzero(block.codes >= 0)
                out[rows, block.positions[block.codes[rows]]] = 1.0 if block.values is None else block.values[rows]
        return out

    def times(self, beta: Floats) -> Floats:
        """(n,) X beta."""
        out = np.zeros(self.n)
        for block in self.blocks:
            b = beta[block.positions]
            if block.codes is None:
                out += b[0] if block.values is None else b[0] * block.values
            else:
                gathered = np.append(b, 0.0)[block.codes]
                out += gathered if block.values is None else gathered * block.values
        return out

    def select(self, keep: Ints) -> Matrix:
        """The matrix of the columns `keep` (sorted positions); blocks share their arrays with this one."""
        new_position = np.full(self.p, -1, dtype=np.int64)
        new_position[keep] = np.arange(len(keep))
        blocks = []
        for block in self.blocks:
            positions = new_position[block.positions]
            kept = np.flatnonzero(positions >= 0)
            if len(kept) == len(positions):
                blocks.append(block_of(positions, block.stored, block.codes))
            elif len(kept):
                assert block.codes is not None
                recode = np.full(len(positions) + 1, -1, dtype=np.int32)
                recode[kept] = np.arange(len(kept), dtype=np.int32)
                blocks.append(Block(positions[kept], block.values, recode[block.codes]))
        return Matrix(self.n, len(keep), tuple(blocks))
