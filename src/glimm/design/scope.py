"""Occasions of all clusters without their rows: clusters that stand for those with the same occasions.

Where a working correlation asks for extremes only, four clusters are enough: the largest, the longest, one with rows one unit of time
apart, one with times that are no whole numbers.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..covariance.occasions import Occasions
from ..errors import GlimmError
from ..kernels.matrix import Floats, Ints

MOST_HELD = 5_000_000


class Cluster(NamedTuple):
    """Rows of one cluster, its times and inner clusters where it has any."""

    size: int
    time: Floats | None
    inner: Floats | None


class Scope:
    """Collects them.

    patterns : whether every set of occasions is needed; positions : whether times are left aside
    """

    def __init__(self, patterns: bool, positions: bool) -> None:
        self.patterns, self.positions = patterns, positions
        self.largest, self.span, self.held = 0, -1.0, 0
        self.kept: dict[Any, Cluster] = {}

    def add(self, starts: Ints, time: Floats | None, inner: Floats | None) -> None:
        """More clusters, rows in order: cluster j is starts[j]:starts[j + 1]."""
        at = Occasions(starts, None if self.positions else time, inner)
        if at.largest > self.largest:
            self.largest = at.largest
            self._keep("largest", at, int(np.argmax(at.sizes)))
        if at.time is not None:
            self._extremes(at, at.time)
        if not self.patterns:
            return
        if at.inner is not None:
            for j, key in enumerate(_inner_sizes(at, at.inner)):
                self._new(key, at, j)
        elif at.time is not None:
            found = at.alike(at.time, None)
            for j in np.unique(found.of, return_index=True)[1]:
                self._new(at.time[starts[j] : starts[j + 1]].tobytes(), at, int(j))
        else:
            for j in np.unique(at.sizes, return_index=True)[1]:
                self._new(int(at.sizes[j]), at, int(j))

    def _extremes(self, at: Occasions, time: Floats) -> None:
        if at.longest > self.span:
            self.span = at.longest
            self._keep("longest", at, int(np.argmax(time[at.starts[1:] - 1] - time[at.starts[:-1]])))
        if at.unit:
            self._new("unit", at, _cluster_of(at, int(np.argmax((np.diff(time) == 1.0) & at.inside))))
        if not at.whole:
            self._new("broken", at, _cluster_of(at, int(np.argmax(time != np.floor(time)))))

    def _new(self, key: Any, at: Occasions, j: int) -> None:
        if key not in self.kept:
            self._keep(key, at, j)

    def _keep(self, key: Any, at: Occasions, j: int) -> None:
        rows = slice(int(at.starts[j]), int(at.starts[j + 1]))
        time, inner = (None if v is None else v[rows].copy() for v in (at.time, at.inner))
        self.kept[key] = Cluster(int(at.sizes[j]), time, inner)
        self.held += 0 if time is None and inner is None else int(at.sizes[j])
        if self.held > MOST_HELD:
            raise GlimmError(
                "the clusters have too many different sets of times to be held: number the occasions in time=, or use corr='ar1' or "
                "'exchangeable'"
            )

    def occasions(self) -> Occasions:
        """The clusters that stand for all, the largest first."""
        chosen = [self.kept["largest"], *(cluster for key, cluster in self.kept.items() if key != "largest")]
        starts = np.concatenate([[0], np.cumsum([c.size for c in chosen])]).astype(np.int64)
        times, inner = [c.time for c in chosen if c.time is not None], [c.inner for c in chosen if c.inner is not None]
        return Occasions(starts, np.concatenate(times) if times else None, np.concatenate(inner) if inner else None)


def _cluster_of(at: Occasions, row: int) -> int:
    return int(np.searchsorted(at.starts, row, side="right")) - 1


def _inner_sizes(at: Occasions, inner: Floats) -> list[tuple[int, ...]]:
    """Sizes of the inner clusters of each cluster, in order of size."""
    out = []
    for a, b in zip(at.starts[:-1], at.starts[1:], strict=True):
        edges = np.flatnonzero(np.diff(inner[a:b], prepend=np.nan) != 0.0)
        out.append(tuple(sorted(np.diff(np.append(edges, b - a)).tolist())))
    return out
