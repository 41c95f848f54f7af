"""Sums over rows by blocks of 8,192, added in order: the same to the bit for one array and for its parts of whole blocks.

mean = (((s_1 + s_2) + s_3) + ...) / n, s_b the sum of block b; squares about the mean are joined as in Chan, Golub and LeVeque (1983).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from ..kernels.gee import BLOCK_ROWS
from ..kernels.matrix import Floats


def blocks(n: int) -> Iterator[slice]:
    """Slices of 8,192 rows, the last one shorter."""
    return (slice(at, min(at + BLOCK_ROWS, n)) for at in range(0, n, BLOCK_ROWS))


def block_sum(values: Floats, before: float = 0.0) -> float:
    """The sum of (n,) values, added to what came before.

    >>> block_sum(np.ones(20_000))
    20000.0
    """
    total = before
    with np.errstate(over="ignore", invalid="ignore"):
        for block in blocks(len(values)):
            total += float(values[block].sum())
    return total


def in_order(sums: Floats, before: Floats) -> Floats:
    """(p,) sums (K, p) of blocks, added one after the other to what came before.

    >>> in_order(np.array([[1.0, 2.0], [3.0, 4.0]]), np.zeros(2)).tolist()
    [4.0, 6.0]
    """
    out = before
    for one in sums:
        out = out + one
    return out


@dataclass(frozen=True, slots=True)
class Totals:
    """What an estimator asks of all rows together.

    n : rows; y, square, offset, size, weights : sums of the response, its square, the offset, weights times trials, weights (1 where there
    are none)
    spread : squares of the response about its mean; least, most : smallest and largest response
    """

    n: int = 0
    y: float = 0.0
    square: float = 0.0
    offset: float = 0.0
    size: float = 0.0
    weights: float = 0.0
    spread: float = 0.0
    least: float = np.inf
    most: float = -np.inf

    def add(self, y: Floats, offset: Floats | None, size: Floats | None, weights: Floats | None = None) -> Totals:
        """With more rows, whole blocks but for the last time."""
        out = self
        with np.errstate(over="ignore", invalid="ignore"):
            for block in blocks(len(y)):
                out = out._block(y[block], *(None if part is None else part[block] for part in (offset, size, weights)))
        return out

    def _block(self, y: Floats, offset: Floats | None, size: Floats | None, weights: Floats | None) -> Totals:
        m, total = len(y), float(y.sum())
        apart = 0.0 if self.n == 0 else (total / m - self.y / self.n) ** 2 * (self.n * m / (self.n + m))
        return replace(
            self,
            n=self.n + m,
            y=self.y + total,
            square=self.square + float((y**2).sum()),
            offset=self.offset if offset is None else self.offset + float(offset.sum()),
            size=self.size + (float(m) if size is None else float(size.sum())),
            weights=self.weights + (float(m) if weights is None else float(weights.sum())),
            spread=self.spread + float(((y - total / m) ** 2).sum()) + apart,
            least=min(self.least, float(y.min())),
            most=max(self.most, float(y.max())),
        )

    @property
    def mean(self) -> float:
        """Of the response."""
        return self.y / self.n

    @property
    def largest(self) -> float:
        """The largest absolute response."""
        return max(abs(self.least), abs(self.most))


def total(parts: Iterable[tuple[Floats, Floats | None, Floats | None, Floats | None]]) -> Totals:
    """Of parts (y, offset, size, weights), each of whole blocks but for the last."""
    out = Totals()
    for part in parts:
        out = out.add(*part)
    return out
