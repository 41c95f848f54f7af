"""Clusters of rows that are not held: the stream of a GEE, in batches of whole clusters.

A cluster's rows follow each other; a batch ends where a block of clusters of all rows ends.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from ..data.columns import level_array
from ..data.frames import Frame
from ..data.records import Formula, Missing
from ..data.runs import Runs, whole_clusters
from ..data.sources import Source, open_source
from ..errors import GlimmError
from ..kernels.gee import BLOCK_ROWS, cluster_blocks
from ..kernels.matrix import Ints
from .clusters import check_times, gather, read_time
from .lots import Lot, cut, join
from .records import Clusters, Design, Inputs, Spec
from .scope import Scope
from .stream import NOTHING, Stream, StreamedDesign, open_formula

BATCH_ROWS = 8 * BLOCK_ROWS


def stream_clusters(spec: Spec, data: Any, patterns: bool, positions: bool) -> StreamedDesign:
    """The design of a GEE whose data are files or pieces.

    patterns : whether the working correlation needs the occasions of every cluster; positions : whether it takes these by row order
    Raises GlimmError as `build_design` does, for clusters whose rows do not follow each other, and for terms that look at all rows.
    """
    return ClusterStream(spec, open_formula(spec), open_source(data), Scope(patterns, positions)).design()


class ClusterStream(Stream):
    """Rows in pieces of whole clusters; `scope` collects their occasions."""

    def __init__(self, spec: Spec, formula: Formula, source: Source, scope: Scope) -> None:
        groups = [spec.groups]
        if "/" in spec.groups and spec.groups not in source.names:
            groups = [part.strip() for part in spec.groups.split("/")]
        self.outer, self.inner = groups[0], ":".join(groups) if len(groups) > 1 else None
        super().__init__(spec, formula, source, tuple(groups))
        self.scope: Scope | None = scope
        self.runs: Runs | None = Runs(self.outer)
        self.found: tuple[list[Any], list[Ints]] | None = ([], [])

    def pieces(self) -> Iterator[Frame]:
        """Tables of whole clusters."""
        return whole_clusters(self.source.frames(self.columns), self.outer)

    def note(self, inputs: Inputs, rows: Ints) -> None:
        """Which clusters were there."""
        assert self.runs is not None
        self.runs.add(inputs.columns[self.outer])

    def accounted(self, missing: Missing) -> Missing:
        """As it is: no cluster is in two pieces."""
        assert self.runs is not None
        self.runs.check()
        self.runs = None
        return missing

    def check_clusters(self, missing: Missing) -> None:
        """Raise GlimmError for a single cluster."""
        if missing.by_cluster[self.outer].clusters - missing.by_cluster[self.outer].lost < 2:
            raise GlimmError(f"{self.outer!r} has a single cluster in the rows used: a GEE needs many clusters; use glimm.glm(...)")

    def noted(self) -> Iterator[Lot]:
        """Levels, sizes and occasions of the clusters are taken down on the way."""
        assert self.found is not None
        assert self.scope is not None
        for lot in self.lots():
            refs = lot.refs
            order, starts = gather(refs, len(lot.sizes), lot.time if lot.inner is None else lot.inner)
            if lot.time is not None:
                check_times(self.outer, lot.levels.tolist(), refs, order, lot.time, lot.rows)
            self.scope.add(starts, *(None if v is None else v[order] for v in (lot.time, lot.inner)))
            self.found[0].append(lot.levels)
            self.found[1].append(lot.sizes)
            yield lot

    def clusters(self) -> Mapping[str, Clusters]:
        """The groups without their rows."""
        assert self.found is not None
        assert self.scope is not None
        (levels, sizes), scope = self.found, self.scope.occasions()
        self.found = self.scope = None
        named = np.concatenate([part.astype(object) if any(p.dtype.kind == "O" for p in levels) else part for part in levels])
        starts = np.concatenate([[0], np.cumsum(np.concatenate(sizes))]).astype(np.int64)
        inner = NOTHING if self.inner else None
        nowhere = np.zeros(0, dtype=np.int64)
        return {self.outer: Clusters(self.outer, level_array(named.tolist()), nowhere, starts, None, inner, scope)}

    def batches(self, design: StreamedDesign) -> Iterator[Design]:
        """Whole clusters, in batches that end where a block of clusters of all rows ends."""
        held: Lot | None = None
        for lot in self.lots():
            held = lot if held is None else join(held, lot)
            edges = cluster_blocks(held.starts)
            last = edges[-1] if held.starts[edges[-1]] - held.starts[edges[-2]] >= BLOCK_ROWS else edges[-2]
            if held.starts[last] >= BATCH_ROWS:
                ready, held = cut(held, last)
                yield self._clustered(design, ready)
        if held is not None and held.n:
            yield self._clustered(design, held)

    def lot(self, inputs: Inputs, rows: Ints | None, n: int, first: int) -> Lot:
        """With the clusters of the rows, their times, and the clusters inside."""
        places = np.arange(n) if rows is None else rows
        time = inputs.arguments.get("time")
        codes = inputs.groupings[self.outer].codes
        assert codes is not None
        edges = np.flatnonzero(np.diff(codes[places], prepend=-1) != 0)
        inner = None if self.inner is None else inputs.groupings[self.inner].codes
        return replace(
            super().lot(inputs, rows, n, first),
            sizes=np.diff(np.append(edges, n)),
            levels=level_array(inputs.groupings[self.outer].levels)[codes[places][edges]],
            time=None if time is None else read_time(time, places),
            inner=None if inner is None else inner[places].astype(np.float64),
        )

    def _clustered(self, design: StreamedDesign, lot: Lot) -> Design:
        order, starts = gather(lot.refs, len(lot.sizes), lot.time if lot.inner is None else lot.inner)
        clusters = Clusters(self.outer, lot.levels, order, starts, lot.time, lot.inner)
        return self.part(design, lot, {self.outer: clusters})
