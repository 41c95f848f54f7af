"""Correlations of Pearson residuals e of pairs of rows of a cluster, by occasions or distance, beside the working correlation.

r_g = sum e_j e_k / (phi (pairs - p)) over the pairs of a group g, divisors by the moment rule of the fit. Its variance is the sum over
clusters of ((S_ig - r_g phi m_ig) / (phi m_g) - r_g (sum e_i^2 - phi n_i) / (phi N))^2, S_ig and m_ig the products and pairs of cluster i.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

import numpy as np

from ..covariance.by_wave import MOST_WAVES
from ..covariance.moments import Rule, ratios
from ..covariance.occasions import Occasions
from ..design.clusters import occasions
from ..design.coordinates import to_working
from ..errors import GlimmError
from ..estimators.control import Control
from ..estimators.gee import Equations
from ..kernels.matrix import Floats, Ints
from ..records import GeeRecord

MOST_PAIRS, MOST_GROUPS, FEW_OCCASIONS, NEAR, DISTANCES, CHUNK = 4_000_000, 20, 12, 30, 3000, 250
KINDS: Final = ("occasions", "lag")


@dataclass(frozen=True, slots=True)
class Correlations:
    """Correlations of g groups of pairs; kind : "occasions", "lag" or "inner" (of one inner cluster or of two).

    first, second : (g,) times of a pair of occasions, or the shortest and longest distance; lag : (g,) mean distances, 0 and 1 of "inner"
    pairs : (g,) numbers; empirical, error : (g,) correlations and their standard errors between clusters; working : (g,) mean working ones
    """

    kind: str
    first: Floats
    second: Floats
    lag: Floats
    pairs: Ints
    empirical: Floats
    error: Floats
    working: Floats


@dataclass(frozen=True)
class Pairs:
    """Pairs of rows of a GEE's clusters, in cluster order: rows i and j, the cluster of each; `whole` where these are all pairs."""

    record: GeeRecord
    at: Occasions
    i: Ints
    j: Ints
    cluster: Ints
    whole: bool
    working: Floats = field(repr=False)

    @cached_property
    def residuals(self) -> Floats:
        """(n,) as the moments have them."""
        record, p = self.record, self.record.blocks["mean"].stop
        equations = Equations(record.design, record.family, record.clusters, record.working, record.moments, Control().n_threads)
        beta = to_working(record.design.mean, record.vector[:p])
        return equations.at(beta, record.alpha if not len(record.alpha) else np.zeros(len(record.alpha))).pearson

    @cached_property
    def rule(self) -> Rule:
        """The fit's; that of R's gee, by position, without its averages over clusters."""
        return Rule("standard" if self.record.moments == "standard" else "geepack", self.record.blocks["mean"].stop)

    def of_occasions(self) -> Correlations:
        """Of each pair of times that some cluster has."""
        times = self.at.times
        group = self.at.wave[self.i].astype(np.int64) * len(times) + self.at.wave[self.j]
        found, codes = np.unique(group, return_inverse=True)
        first, second = times[found // len(times)], times[found % len(times)]
        return self._of("occasions", codes, first, second)

    def of_lags(self) -> Correlations:
        """Of each distance in time; neighbouring distances together where there are many."""
        lag = np.abs(self.at.at[self.j] - self.at.at[self.i])
        found, codes = np.unique(lag, return_inverse=True)
        if len(found) > MOST_GROUPS:
            edges = np.unique(np.quantile(lag, np.arange(1, MOST_GROUPS // 2) / (MOST_GROUPS // 2), method="lower"))
            codes = np.searchsorted(edges, lag, side="left")
            _, codes = np.unique(codes, return_inverse=True)
        count = int(codes.max(initial=-1)) + 1
        first, second = np.full(count, np.inf), np.zeros(count)
        np.minimum.at(first, codes, lag)
        np.maximum.at(second, codes, lag)
        return self._of("lag", codes, first, second, lag)

    def of_inner(self) -> Correlations:
        """Of rows of one inner cluster, and of rows of two."""
        assert self.at.inner is not None
        apart = (self.at.inner[self.i] != self.at.inner[self.j]).astype(np.int64)
        found, codes = np.unique(apart, return_inverse=True)
        return self._of("inner", codes, found.astype(np.float64), found.astype(np.float64))

    def _of(self, kind: str, codes: Ints, first: Floats, second: Floats, lag: Floats | None = None) -> Correlations:
        e, groups, clusters = self.residuals, len(first), len(self.at.sizes)
        products = e[self.i] * e[self.j]
        pairs = np.bincount(codes, minlength=groups)
        totals = np.bincount(codes, products, minlength=groups)
        squares = float(e @ e)
        phi = squares / (len(e) if self.rule.name == "geepack" or len(e) <= self.rule.p else len(e) - self.rule.p)
        empirical, _ = ratios(totals, pairs, phi, self.rule, tuple(map(str, range(groups))))
        plain = phi * (len(e) - self.rule.p if self.rule.name == "standard" and len(e) > self.rule.p else len(e)) / len(e)
        own = np.zeros(clusters)
        filled = self.at.sizes > 0
        own[filled] = np.add.reduceat(e * e, self.at.starts[:-1][filled]) - plain * self.at.sizes[filled]
        error = np.empty(groups)
        order = np.argsort(codes, kind="stable")
        ends = np.concatenate([[0], np.cumsum(pairs)])
        for g in range(groups):
            of = order[ends[g] : ends[g + 1]]
            r = totals[g] / (plain * pairs[g])
            part = np.bincount(self.cluster[of], products[of] - r * plain, minlength=clusters) / (plain * pairs[g])
            part -= r * own / (plain * len(e))
            error[g] = np.sqrt(float(part @ part))
        mean = np.bincount(codes, self.working, minlength=groups) / np.maximum(pairs, 1)
        between = np.abs(second - first) if lag is None else np.bincount(codes, lag, minlength=groups) / np.maximum(pairs, 1)
        return Correlations(kind, first, second, first if kind == "inner" else between, pairs, empirical, error, mean)


def pairs_of(record: GeeRecord, most: int = MOST_PAIRS) -> Pairs:
    """The pairs of a fit: all, or of large clusters those up to 30 rows apart and some further ones, of clusters evenly drawn."""
    at = occasions(record.clusters, record.moments)
    n, sizes = int(at.starts[-1]), at.sizes
    cluster = np.repeat(np.arange(len(sizes)), sizes)
    every = int(np.sum(sizes * (sizes - 1) // 2))
    offsets = np.arange(1, at.largest)
    whole = every <= most
    if not whole and at.largest > NEAR:
        far = np.geomspace(NEAR, at.largest - 1, NEAR).astype(np.int64)
        offsets = np.unique(np.concatenate([np.arange(1, NEAR), far]))
    count = sum(int(np.maximum(sizes - d, 0).sum()) for d in offsets.tolist())
    step = max(1, -(-count // most))
    rows = np.arange(n) if step == 1 else np.flatnonzero(cluster % step == 0)
    i, j = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
    for d in offsets.tolist():
        first = rows[rows < n - d]
        first = first[cluster[first] == cluster[first + d]]
        i.append(first)
        j.append(first + d)
    first, second = np.concatenate(i), np.concatenate(j)
    return Pairs(record, at, first, second, cluster[first], whole and step == 1, working_of(record, at, first, second))


def working_of(record: GeeRecord, at: Occasions, i: Ints, j: Ints) -> Floats:
    """(m,) the working correlation of rows i and j of a cluster."""
    alpha, working = record.alpha, record.working
    if not len(i):
        return np.zeros(0)
    if at.inner is not None:
        return np.asarray(working.matrix(alpha, np.array([0.0, 0.0, 1.0]), at)[0, np.where(at.inner[i] == at.inner[j], 1, 2)])
    if len(at.times) <= MOST_WAVES:
        return np.asarray(working.matrix(alpha, at.times, at)[at.wave[i], at.wave[j]])
    distance = np.abs(at.at[j] - at.at[i])
    found, codes = np.unique(distance, return_inverse=True)
    if len(found) > DISTANCES and not at.whole:
        found = np.unique(np.quantile(distance, (np.arange(DISTANCES) + 0.5) / DISTANCES))
        codes = np.searchsorted(0.5 * (found[1:] + found[:-1]), distance)
    values = [
        working.matrix(alpha, np.concatenate([[0.0], found[a : a + CHUNK]]), at)[0, 1:] for a in range(0, len(found), CHUNK)
    ]
    return np.asarray(np.concatenate(values)[codes])


def correlations(record: GeeRecord, by: str | None = None) -> Correlations:
    """Residual correlations; see `GeeFit.residual_corr`. Raises GlimmError for another `by`, and where no cluster has two rows."""
    if by is not None and by not in KINDS:
        raise GlimmError(f"residual_corr: by must be 'occasions' or 'lag', not {by!r}")
    found = pairs_of(record)
    if not len(found.i):
        raise GlimmError("residual_corr: no cluster has two rows, so there are no pairs to correlate")
    if found.at.inner is not None:
        if by is not None:
            raise GlimmError(f"residual_corr: by={by!r}: rows of corr='nested' have no times; leave out by=")
        return found.of_inner()
    times = len(found.at.times)
    if by is None:
        by = "occasions" if times <= FEW_OCCASIONS else "lag"
    if by == "occasions" and times > MOST_WAVES:
        raise GlimmError(f"residual_corr: {times} different times make too many pairs of occasions: use by='lag'")
    return found.of_occasions() if by == "occasions" else found.of_lags()
