"""Where an estimator's rows come from: a design that holds them, or blocks of rows and batches of clusters that are read in every pass.

sum over rows = ((b_1 + b_2) + b_3) + ..., b over blocks in order: the same to the bit either way.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import numpy as np

from ..covariance.occasions import Occasions
from ..covariance.working import Working
from ..design.clustered import ClusterStream
from ..design.clusters import occasions
from ..design.records import Clusters, Design
from ..design.stream import StreamedDesign
from ..kernels import GlmPass, Rows, Whitening, mean
from ..kernels.families import FamilyKernel, LinkKernel, Psi
from ..kernels.gee import INDEPENDENCE
from ..kernels.matrix import Floats, Ints

T = TypeVar("T")
R = TypeVar("R")
Means = Callable[[], Iterable[tuple[Design, Floats]]]
"""Rows in order, in pieces of whole blocks: designs with their fitted means (n,)."""


Etas = Callable[[], Iterable[tuple[Design, Floats]]]
"""The same with their linear predictors."""


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


class RowSource(Protocol):
    """Rows of a design in the order of the data."""

    @property
    def design(self) -> Design:
        """Theirs."""

    @property
    def natural(self) -> GlmRows:
        """The mean model's rows."""

    def parts(self) -> Iterable[Design]:
        """The same as designs of whole blocks."""

    def rows(self, part: Design) -> Rows:
        """The kernels' rows of a part."""

    def etas(self, beta: Floats, raw: bool = False) -> Etas:
        """Linear predictors at working beta, or at coefficients as named (raw)."""

    def means(self, beta: Floats) -> Means:
        """Fitted means at working beta."""

    def means_of(self, etas: Etas) -> Means:
        """Fitted means."""


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


def _ordered(values: Floats | None, order: Ints) -> Floats | None:
    return None if values is None else values[order]


def raw_eta(design: Design, beta: Floats) -> Floats:
    """(n,) linear predictors at coefficients as named."""
    part = design.mean
    return part.matrix.times(beta) + (0.0 if part.offset is None else part.offset)


class HeldRows:
    """A design that holds its rows."""

    def __init__(self, design: Design, threads: int) -> None:
        self.design, self.threads = design, threads
        self.natural = mean_rows(design, threads)

    def parts(self) -> Iterable[Design]:
        """The design."""
        return (self.design,)

    def rows(self, part: Design) -> Rows:
        """Of the one part."""
        return self.natural

    def etas(self, beta: Floats, raw: bool = False) -> Etas:
        """Once."""
        pair = self.design, raw_eta(self.design, beta) if raw else self.natural.eta(beta)
        return lambda: (pair,)

    def means(self, beta: Floats) -> Means:
        """Once."""
        return self.means_of(self.etas(beta))

    def means_of(self, etas: Etas) -> Means:
        """Once, when they are asked for."""
        found: list[tuple[Design, Floats]] = []

        def means() -> Iterable[tuple[Design, Floats]]:
            if not found:
                found.extend((part, mean(part.mean.link.kernel, eta)[0]) for part, eta in etas())
            return found

        return means


class Held(HeldRows):
    """A design that holds its rows: one batch."""

    def __init__(self, design: Design, clusters: Clusters, moments: str, threads: int, scope: Occasions | None = None) -> None:
        super().__init__(design, threads)
        self.scope = occasions(clusters, moments, scope)
        as_they_stand = np.array_equal(clusters.order, np.arange(len(clusters.order)))
        rows = self.natural if as_they_stand else mean_rows(design, threads, clusters.order)
        self.batch = Batch(rows, self.scope, _ordered(design.size, clusters.order))

    def batches(self) -> Iterable[Batch]:
        """The one batch."""
        return (self.batch,)


class StreamedRows:
    """A design whose rows are not held: read again in every pass, block by block."""

    design: StreamedDesign

    def __init__(self, design: StreamedDesign, threads: int) -> None:
        self.design, self.threads = design, threads
        self.natural = BlockRows(design, threads)

    def parts(self) -> Iterable[Design]:
        """Blocks of rows."""
        return self.design.stream.parts(self.design)

    def rows(self, part: Design) -> Rows:
        """Of a block."""
        return mean_rows(part, 1)

    def etas(self, beta: Floats, raw: bool = False) -> Etas:
        """Computed again in every pass."""
        return lambda: ((part, raw_eta(part, beta) if raw else self.rows(part).eta(beta)) for part in self.parts())

    def means(self, beta: Floats) -> Means:
        """Computed again in every pass."""
        return self.means_of(self.etas(beta))

    def means_of(self, etas: Etas) -> Means:
        """Computed again in every pass."""
        return lambda: ((part, mean(part.mean.link.kernel, eta)[0]) for part, eta in etas())


class Streamed(StreamedRows):
    """Batches of clusters too."""

    def __init__(self, design: StreamedDesign, clusters: Clusters, moments: str, threads: int) -> None:
        super().__init__(design, threads)
        self.name, self.moments = clusters.name, moments
        self.scope = occasions(clusters, moments)

    def batches(self) -> Iterator[Batch]:
        """Batches of clusters."""
        assert isinstance(self.design.stream, ClusterStream)
        for part in self.design.stream.batches(self.design):
            clusters = part.clusters[self.name]
            at = occasions(clusters, self.moments)
            here = Occasions(at.starts, at.time, at.inner, self.scope)
            yield Batch(mean_rows(part, self.threads, clusters.order), here, _ordered(part.size, clusters.order))


class BlockRows:
    """Rows that are not held, as scoring asks for them: blocks on several threads, their sums added in order."""

    def __init__(self, design: StreamedDesign, threads: int = 1) -> None:
        self.design, self.n, self.p, self.threads = design, design.n, design.mean.matrix.p, threads
        self._last: tuple[tuple[Any, ...], GlmPass] | None = None

    def glm(self, family: FamilyKernel, link: LinkKernel, beta: Floats, psi: Psi = ()) -> GlmPass:
        """Block by block; the last pass is kept."""
        at = family, link, beta.tobytes(), np.asarray(psi, dtype=np.float64).tobytes()
        if self._last is None or self._last[0] != at:
            self._last = at, self._pass(family, link, beta, psi)
        return self._last[1]

    def _pass(self, family: FamilyKernel, link: LinkKernel, beta: Floats, psi: Psi) -> GlmPass:
        out = GlmPass(0.0, np.zeros(self.p), np.zeros((self.p, self.p)))
        for one in in_order(lambda part: mean_rows(part, 1).glm(family, link, beta, psi), self._parts(), self.threads):
            out = GlmPass(out.loglik + one.loglik, out.score + one.score, out.information + one.information)
        return out

    def change(self, a: Floats, b: Floats) -> float:
        """Over blocks."""
        return max((mean_rows(part, 1).change(a, b) for part in self._parts()), default=0.0)

    def _parts(self) -> Iterator[Design]:
        return self.design.stream.parts(self.design)


def in_order(work: Callable[[T], R], items: Iterable[T], threads: int) -> Iterator[R]:
    """work(item) of each item, in their order, on so many threads while the next items are made here.

    >>> list(in_order(lambda x: x * x, range(5), 2))
    [0, 1, 4, 9, 16]
    """
    if threads <= 1:
        yield from map(work, items)
        return
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future[R]] = deque()
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) > 2 * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def row_source(design: Design, threads: int) -> RowSource:
    """Where the rows of a design are."""
    return StreamedRows(design, threads) if isinstance(design, StreamedDesign) else HeldRows(design, threads)


def source_of(design: Design, clusters: Clusters, moments: str, threads: int, scope: Occasions | None = None) -> Source:
    """Where the rows of a design are; scope : the occasions of all, where the design holds some of the rows."""
    if isinstance(design, StreamedDesign):
        return Streamed(design, clusters, moments, threads)
    return Held(design, clusters, moments, threads, scope)
