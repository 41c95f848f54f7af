"""Where an estimator's rows come from: a design that holds them, or batches of whole clusters that are read from a file in every pass.

sum over rows = ((b_1 + b_2) + b_3) + ..., b over blocks in order: the same to the bit either way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from ..covariance.occasions import Occasions
from ..covariance.working import Working
from ..design.clusters import occasions
from ..design.records import Clusters, Design
from ..design.clustered import ClusterStream
from ..design.stream import StreamedDesign
from ..kernels import GlmPass, Rows, Whitening, mean
from ..kernels.families import FamilyKernel, LinkKernel, Psi
from ..kernels.gee import INDEPENDENCE
from ..kernels.matrix import Floats, Ints

Means = Callable[[], Iterable[tuple[Design, Floats]]]
"""Rows in order, in pieces of whole blocks: designs with their fitted means (n,)."""


class GlmRows(Protocol):
    """What scoring asks of rows."""

    @property
    def n(self) -> int:
        """Rows."""

    @property
    def p(self) -> int:
        """Columns."""

    def glm(self, family: FamilyKernel, link: LinkKernel, beta: Floats, psi: Psi = ()) -> GlmPass:
        """One pass of a GLM."""

    def change(self, a: Floats, b: Floats) -> float:
        """The largest |eta(a) - eta(b)| of a row."""


@dataclass(slots=True)
class Batch:
    """Whole clusters, rows in their order: the kernels' rows, where they are, weights times trials; the last whitening is kept."""

    rows: Rows
    at: Occasions
    size: Floats | None
    _white: dict[bytes, Whitening] = field(default_factory=dict)

    def whitening(self, structure: Working, alpha: Floats) -> Whitening:
        """What whitens these clusters: independence while alpha is nothing but zeros."""
        key = alpha.tobytes()
        if key not in self._white:
            self._white.clear()
            zero = len(alpha) > 0 and not alpha.any()
            self._white[key] = Whitening(INDEPENDENCE) if zero else structure.whitening(alpha, self.at)
        return self._white[key]


class Source(Protocol):
    """Rows of a design, in the order of the data and in the order of clusters."""

    scope: Occasions

    @property
    def natural(self) -> GlmRows:
        """The mean model's rows in the order of the data."""

    def parts(self) -> Iterable[Design]:
        """The same as designs of whole blocks."""

    def batches(self) -> Iterable[Batch]:
        """Whole clusters in order; a batch ends where a block of clusters ends."""

    def means(self, beta: Floats) -> Means:
        """Fitted means at working beta."""


def mean_rows(design: Design, threads: int, order: Ints | None = None) -> Rows:
    """The mean model's rows in the design's own order, or those that `order` takes."""
    part = design.mean
    return Rows(part.matrix, part.center, part.scale, design.y, design.size, part.offset, order, threads)


def fitted(design: Design, beta: Floats, threads: int) -> Floats:
    """(n,) means at working beta."""
    return mean(design.mean.link.kernel, mean_rows(design, threads).eta(beta))[0]


def _ordered(values: Floats | None, order: Ints) -> Floats | None:
    return None if values is None else values[order]


class Held:
    """A design that holds its rows: one batch."""

    def __init__(self, design: Design, clusters: Clusters, moments: str, threads: int, scope: Occasions | None = None) -> None:
        self.design, self.threads = design, threads
        self.scope = occasions(clusters, moments, scope)
        self.natural = mean_rows(design, threads)
        as_they_stand = np.array_equal(clusters.order, np.arange(len(clusters.order)))
        rows = self.natural if as_they_stand else mean_rows(design, threads, clusters.order)
        self.batch = Batch(rows, self.scope, _ordered(design.size, clusters.order))

    def parts(self) -> Iterable[Design]:
        """The design."""
        return (self.design,)

    def batches(self) -> Iterable[Batch]:
        """The one batch."""
        return (self.batch,)

    def means(self, beta: Floats) -> Means:
        """Once."""
        pair = self.design, fitted(self.design, beta, self.threads)
        return lambda: (pair,)


class Streamed:
    """A design whose rows are in a file: read again in every pass."""

    def __init__(self, design: StreamedDesign, clusters: Clusters, moments: str, threads: int) -> None:
        self.design, self.name, self.moments, self.threads = design, clusters.name, moments, threads
        self.scope = occasions(clusters, moments)
        self.natural = BlockRows(design)

    def parts(self) -> Iterable[Design]:
        """Blocks of rows."""
        return self.design.stream.parts(self.design)

    def batches(self) -> Iterator[Batch]:
        """Batches of clusters."""
        assert isinstance(self.design.stream, ClusterStream)
        for part in self.design.stream.batches(self.design):
            clusters = part.clusters[self.name]
            at = occasions(clusters, self.moments)
            here = Occasions(at.starts, at.time, at.inner, self.scope)
            yield Batch(mean_rows(part, self.threads, clusters.order), here, _ordered(part.size, clusters.order))

    def means(self, beta: Floats) -> Means:
        """Computed again in every pass."""
        return lambda: ((part, fitted(part, beta, 1)) for part in self.parts())


class BlockRows:
    """Rows in a file, as scoring asks for them."""

    def __init__(self, design: StreamedDesign) -> None:
        self.design, self.n, self.p = design, design.n, design.mean.matrix.p

    def glm(self, family: FamilyKernel, link: LinkKernel, beta: Floats, psi: Psi = ()) -> GlmPass:
        """Block by block."""
        out = GlmPass(0.0, np.zeros(self.p), np.zeros((self.p, self.p)))
        for part in self.design.stream.parts(self.design):
            one = mean_rows(part, 1).glm(family, link, beta, psi)
            out = GlmPass(out.loglik + one.loglik, out.score + one.score, out.information + one.information)
        return out

    def change(self, a: Floats, b: Floats) -> float:
        """Over blocks."""
        return max((mean_rows(part, 1).change(a, b) for part in self.design.stream.parts(self.design)), default=0.0)


def source_of(design: Design, clusters: Clusters, moments: str, threads: int, scope: Occasions | None = None) -> Source:
    """Where the rows of a design are; scope : the occasions of all, where the design holds some of the rows."""
    if isinstance(design, StreamedDesign):
        return Streamed(design, clusters, moments, threads)
    return Held(design, clusters, moments, threads, scope)
