"""Where the rows of clusters are in time: distinct times (waves), gaps, and clusters with the same occasions.

Built once per design; what a working correlation does not ask for is not computed.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import NamedTuple, final

import numpy as np
from numpy.typing import NDArray

from ..errors import GlimmError
from ..kernels.matrix import Codes, Floats, Ints

BITS = 63
MOST_NUMBERS = 250_000_000


class Patterns(NamedTuple):
    """Clusters with the same occasions: of (K,) the pattern of each cluster, -1 for none; values : the occasions of each pattern."""

    of: Codes
    values: list[NDArray[np.float64]]


@final
class Occasions:
    """Rows of clusters in order: cluster j is starts[j]:starts[j + 1].

    time : (n,) rising inside a cluster, None for 1, 2, ...; inner : (n,) codes of inner clusters in runs, or None
    scope : of all clusters where these are a batch of them; None for these alone
    """

    def __init__(self, starts: Ints, time: Floats | None = None, inner: Floats | None = None, scope: Occasions | None = None) -> None:
        self.starts, self.time, self.inner = starts, time, inner
        self.scope = self if scope is None else scope

    @cached_property
    def sizes(self) -> Ints:
        """(K,) rows of each cluster."""
        return np.diff(self.starts)

    @cached_property
    def largest(self) -> int:
        """Rows of the largest cluster."""
        return int(self.sizes.max(initial=0))

    @cached_property
    def position(self) -> Floats:
        """(n,) 1, 2, ... inside each cluster."""
        return np.arange(1.0, self.starts[-1] + 1.0) - np.repeat(self.starts[:-1], self.sizes)

    @cached_property
    def at(self) -> Floats:
        """(n,) time, or position."""
        return self.position if self.time is None else self.time

    @cached_property
    def whole(self) -> bool:
        """Times are whole numbers, or positions."""
        return self.time is None or bool(np.all(self.time == np.floor(self.time)))

    @cached_property
    def inside(self) -> NDArray[np.bool_]:
        """(n - 1,) whether a row and the next are of one cluster."""
        same = np.ones(max(int(self.starts[-1]) - 1, 0), dtype=bool)
        edges = self.starts[1:-1]
        same[edges[(edges > 0) & (edges < self.starts[-1])] - 1] = False
        return same

    @cached_property
    def unit(self) -> bool:
        """Whether rows of some cluster are one unit of time apart, neighbours in time."""
        if self.time is None:
            return self.largest > 1
        return bool(np.any(np.diff(self.time)[self.inside] == 1.0))

    @cached_property
    def longest(self) -> float:
        """The largest distance in time inside a cluster."""
        if self.time is None:
            return float(max(self.largest - 1, 0))
        filled = self.sizes > 0
        return float((self.time[self.starts[1:][filled] - 1] - self.time[self.starts[:-1][filled]]).max(initial=0.0))

    @cached_property
    def shortest(self) -> float:
        """The smallest distance in time of rows of a cluster; 1 where there are none."""
        steps = np.ones(0) if self.time is None else np.diff(self.time)[self.inside]
        return float(steps.min(initial=np.inf)) if len(steps) else 1.0

    @cached_property
    def gapless(self) -> NDArray[np.bool_]:
        """(K,) clusters whose times follow each other one unit apart."""
        if self.time is None:
            return np.ones(len(self.sizes), dtype=bool)
        jumps = np.concatenate([[0], np.cumsum((np.diff(self.time) != 1.0) & self.inside)])
        last = np.maximum(self.starts[1:] - 1, self.starts[:-1])
        if not len(self.time):
            return np.ones(len(self.sizes), dtype=bool)
        return np.asarray(jumps[np.minimum(last, len(jumps) - 1)] == jumps[np.minimum(self.starts[:-1], len(jumps) - 1)])

    @cached_property
    def times(self) -> Floats:
        """(T,) the distinct times of all clusters, rising."""
        if self.time is None:
            return np.arange(1.0, self.largest + 1.0)
        low = self.time.min()
        if self.whole and self.time.max() - low < 65_536:
            return np.asarray(low + np.flatnonzero(np.bincount((self.time - low).astype(np.int64))), dtype=np.float64)
        return np.unique(self.time)

    @cached_property
    def wave(self) -> Codes:
        """(n,) place of each row's time among the times of all clusters."""
        if self.time is None:
            return (self.position - 1.0).astype(np.int32)
        return np.searchsorted(self.scope.times, self.time).astype(np.int32)

    @cached_property
    def by_wave(self) -> Patterns:
        """Clusters with the same waves; values are waves."""
        return self.alike(self.wave, len(self.scope.times))

    def alike(self, codes: NDArray[np.int32] | Floats, bound: int | None, among: NDArray[np.bool_] | None = None) -> Patterns:
        """Clusters whose rows have the same codes (n,), rising inside a cluster and below `bound` where that is given; `among` (K,)."""
        chosen = np.flatnonzero((self.sizes > 0) if among is None else among & (self.sizes > 0))
        of = np.full(len(self.sizes), -1, dtype=np.int32)
        values: list[NDArray[np.float64]] = []
        if bound is not None and bound <= BITS and len(chosen) == len(self.sizes):
            masks = np.bitwise_or.reduceat(np.int64(1) << codes.astype(np.int64), self.starts[:-1])
            distinct, of64 = np.unique(masks, return_inverse=True)
            bits = (distinct[:, None] >> np.arange(bound)) & 1
            return Patterns(of64.astype(np.int32), [np.flatnonzero(row).astype(np.float64) for row in bits])
        for size in np.unique(self.sizes[chosen]):
            members = chosen[self.sizes[chosen] == size]
            rows = np.ascontiguousarray(codes[self.starts[members][:, None] + np.arange(size)])
            keys = rows.view(np.dtype((np.void, rows.dtype.itemsize * int(size)))).ravel()
            _, first, back = np.unique(keys, return_index=True, return_inverse=True)
            of[members] = len(values) + back.ravel()
            values.extend(rows[first].astype(np.float64))
        return Patterns(of, values)


def check_room(values: list[NDArray[np.float64]]) -> None:
    """Raise GlimmError for sets of occasions whose matrices are too many or too large to be held."""
    sizes = np.array([len(v) for v in values], dtype=np.int64)
    if int((sizes * sizes).sum()) > MOST_NUMBERS:
        raise GlimmError(
            f"the correlation matrices of clusters of up to {int(sizes.max()):,} rows at different sets of times ({len(values):,}) are too "
            "large to be held: number the occasions in time= without gaps or with fewer values, or use corr='ar1' or 'exchangeable'"
        )


def by_size(values: list[NDArray[np.float64]], make: Callable[[Floats], Floats]) -> list[tuple[Ints, Floats]]:
    """(patterns (P,), matrices (P, m, m)) for each number m of occasions; make : occasions (P, m) -> matrices."""
    check_room(values)
    sizes = np.array([len(v) for v in values], dtype=np.int64)
    out = []
    for size in np.unique(sizes):
        members = np.flatnonzero(sizes == size)
        out.append((members, make(np.stack([values[i] for i in members]))))
    return out


def packed_roots(patterns: int, groups: list[tuple[Ints, Floats]]) -> tuple[Ints, Floats]:
    """(first (patterns,), roots): the packed lower triangle of L^-1 of each pattern's matrix L L'.

    Raises LinAlgError where a matrix is not positive definite.
    """
    first = np.zeros(patterns, dtype=np.int64)
    parts: list[Floats] = []
    end = 0
    for members, matrices in groups:
        m = matrices.shape[-1]
        lower = np.tril_indices(m)
        roots = np.linalg.inv(np.linalg.cholesky(matrices))[:, lower[0], lower[1]]
        first[members] = end + np.arange(len(members)) * roots.shape[1]
        parts.append(roots.ravel())
        end += roots.size
    return first, np.concatenate(parts) if parts else np.zeros(0)
