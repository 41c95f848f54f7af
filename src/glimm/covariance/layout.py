"""Which entries of the factor T are searched over, and how they give the parameters of a structure.

b = C P'T u : P takes the effects in another order, C goes back from working to named effects (design.coordinates).
A covariance matrix of rank r < k is T with its last k - r columns at zero, the effects in an order of pivots.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..kernels.matrix import Bools, Floats, Index, Ints
from .structures import Structure, placed

DIFFERENCE = 1e-5


@dataclass(frozen=True, slots=True)
class Layout:
    """Entries (rows, columns) of the lower-triangular T of the effects taken in `order` (k,); all others are 0."""

    order: Ints
    rows: Index
    columns: Index

    @property
    def k(self) -> int:
        """Effects per level."""
        return len(self.order)

    @property
    def size(self) -> int:
        """Parameters."""
        return len(self.rows)

    @property
    def rank(self) -> int:
        """Columns of T that are not 0."""
        return len(set(self.columns.tolist()))

    @property
    def places(self) -> Index:
        """(size,) positions among the entries of the lower triangle, column by column."""
        return np.asarray(self.columns * self.k - self.columns * (self.columns - 1) // 2 + self.rows - self.columns)

    @property
    def diagonal(self) -> Bools:
        """(size,) entries that are standard deviations, bounded below by zero."""
        return np.asarray(self.rows == self.columns)

    @property
    def independent(self) -> bool:
        """Whether no entry lies below the diagonal."""
        return bool((self.rows == self.columns).all())

    def same(self, other: Layout) -> bool:
        """Whether the same entries of the same effects are meant."""
        mine, theirs = (self.order, self.rows, self.columns), (other.order, other.rows, other.columns)
        return all(np.array_equal(a, b) for a, b in zip(mine, theirs, strict=True))

    def factor(self, theta: Floats) -> Floats:
        """(k, k) T, for effects in `order`."""
        return placed(theta, (self.rows, self.columns), self.k)

    def root(self, theta: Floats) -> Floats:
        """(k, k) P'T: b_work = root u for effects in their own order."""
        out = np.empty((self.k, self.k))
        out[self.order] = self.factor(theta)
        return out


def whole(structure: Structure, k: int) -> Layout:
    """All parameters of a structure, the effects in their own order."""
    return Layout(np.arange(k), *structure.entries(k))


def jacobian(structure: Structure, layout: Layout, theta: Floats, back: Floats) -> Floats:
    """(size of the structure, size of the layout) derivatives of the structure's parameters; back (k, k) is C.

    By central differences where C mixes effects or T has lost rank, exact otherwise.
    """
    plain = np.array_equal(layout.order, np.arange(layout.k)) and np.count_nonzero(back - np.diag(np.diag(back))) == 0
    if plain and layout.size == structure.size(layout.k):
        return np.diag(np.diag(back)[layout.rows])
    out = np.empty((structure.size(layout.k), layout.size))
    for j in range(layout.size):
        step = DIFFERENCE * max(abs(float(theta[j])), float(np.abs(theta).max()))
        moved = [structure.parameters(back @ layout.root(theta + side * step * np.eye(layout.size)[j])) for side in (1.0, -1.0)]
        out[:, j] = (moved[0] - moved[1]) / (2.0 * step)
    return out
