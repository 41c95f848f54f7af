"""Rows of a design as arrays that can be put together and cut: what is between a file's pieces and the batches of a fit.

lot = (y, size, offset, X, clusters), in the order of the file; clusters are runs of rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ..kernels.matrix import Block, Codes, Floats, Ints, Matrix

T = TypeVar("T", bound=np.generic)


@dataclass(frozen=True, slots=True)
class Lot:
    """Rows used, of whole clusters where there are clusters.

    matrix : all columns; rows : (n,) their places in the data; sizes, levels : (K,) of the clusters, empty after `between`
    time, inner : (n,) or None; marks : for each column named by vcov, (n,) the level of each row
    """

    y: Floats
    trials: Floats | None
    weights: Floats | None
    offset: Floats | None
    matrix: Matrix
    rows: Ints
    sizes: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    levels: NDArray[np.generic] = field(default_factory=lambda: np.zeros(0))
    time: Floats | None = None
    inner: Floats | None = None
    marks: tuple[Ints, ...] = ()

    @property
    def n(self) -> int:
        """Rows."""
        return len(self.y)

    @property
    def size(self) -> Floats | None:
        """(n,) weights times trials, or None."""
        if self.trials is None or self.weights is None:
            return self.weights if self.trials is None else self.trials
        return self.trials * self.weights

    @property
    def starts(self) -> Ints:
        """(K + 1,) where clusters begin."""
        return np.concatenate([[0], np.cumsum(self.sizes)]).astype(np.int64)

    @property
    def refs(self) -> Codes:
        """(n,) cluster of each row."""
        return np.repeat(np.arange(len(self.sizes), dtype=np.int32), self.sizes)

    def between(self, a: int, b: int) -> Lot:
        """Rows a to b; what they are of is left aside."""
        return self._part(slice(a, b), slice(0, 0))

    def _part(self, rows: slice, clusters: slice) -> Lot:
        columns = tuple(Block(k.positions, _at(k.values, rows), _at(k.codes, rows)) for k in self.matrix.blocks)
        y = self.y[rows]
        return Lot(
            y,
            _at(self.trials, rows),
            _at(self.weights, rows),
            _at(self.offset, rows),
            Matrix(len(y), self.matrix.p, columns),
            self.rows[rows],
            self.sizes[clusters],
            self.levels[clusters],
            _at(self.time, rows),
            _at(self.inner, rows),
            tuple(mark[rows] for mark in self.marks),
        )


def cut(lot: Lot, clusters: int) -> tuple[Lot, Lot]:
    """The first clusters, and the others."""
    row = int(lot.starts[clusters])
    return lot._part(slice(0, row), slice(0, clusters)), lot._part(slice(row, lot.n), slice(clusters, None))


def join(a: Lot, b: Lot) -> Lot:
    """The rows of a, then those of b."""
    if not a.n or not b.n:
        return b if not a.n else a
    pairs = zip(a.matrix.blocks, b.matrix.blocks, strict=True)
    columns = tuple(Block(x.positions, _both(x.values, y.values), _both(x.codes, y.codes)) for x, y in pairs)
    levels = (a.levels, b.levels)
    if any(part.dtype.kind == "O" for part in levels):
        levels = (a.levels.astype(object), b.levels.astype(object))
    return Lot(
        np.concatenate([a.y, b.y]),
        _both(a.trials, b.trials),
        _both(a.weights, b.weights),
        _both(a.offset, b.offset),
        Matrix(a.n + b.n, a.matrix.p, columns),
        np.concatenate([a.rows, b.rows]),
        np.concatenate([a.sizes, b.sizes]),
        np.concatenate(levels),
        _both(a.time, b.time),
        _both(a.inner, b.inner),
        tuple(np.concatenate(pair) for pair in zip(a.marks, b.marks, strict=True)),
    )


def even(lots: Iterable[Lot], rows: int) -> Iterator[Lot]:
    """The same rows so many at a time, clusters left aside."""
    held: Lot | None = None
    for lot in lots:
        held = lot if held is None else join(held, lot)
        at = 0
        while held.n - at >= rows:
            yield held.between(at, at + rows)
            at += rows
        held = held.between(at, held.n)
    if held is not None and held.n:
        yield held


def _at(values: NDArray[T] | None, rows: slice) -> NDArray[T] | None:
    return None if values is None else values[rows]


def _both(a: NDArray[T] | None, b: NDArray[T] | None) -> NDArray[T] | None:
    return None if a is None or b is None else np.concatenate([a, b])
