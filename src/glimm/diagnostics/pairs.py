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
from ..covariance.odds_ratios import OddsRatios, gammas
from ..design.clusters import occasions
from ..design.coordinates import to_working
from ..design.records import NO_ROWS
from ..errors import GlimmError
from ..estimators.association import AssociationEquations
from ..estimators.control import Control
from ..estimators.gee import Equations
from ..estimators.residuals import pearson_residuals
from ..inference.criteria import fitted, own_psi
from ..kernels.association import odds_cells
from ..kernels.matrix import Floats, Ints
from ..records import GeeRecord

MOST_PAIRS, MOST_GROUPS, FEW_OCCASIONS, NEAR, DISTANCES, CHUNK = 4_000_000, 20, 12, 30, 3000, 250
KINDS: Final = ("occasions", "lag")


@dataclass(frozen=True, slots=True)
class Correlations:
    """Correlations of g groups of pairs; kind : "occasions", "lag" or "inner" (of one inner cluster or of two).

    first, second : (g,) times of a pair of occasions, or the shortest and longest distance; lag : (g,) mean distances, 0 and 1 of "inner"
    pairs : (g,) numbers; empirical, error : (g,) correlations and their standard errors between clusters; working : (g,) mean working ones
    effective : (g,) how many clusters of one size the clusters count as, (sum m)^2 / sum m^2 of their pairs m
    """

    kind: str
    first: Floats
    second: Floats
    lag: Floats
    pairs: Ints
    empirical: Floats
    error: Floats
    working: Floats
    effective: Floats


@dataclass(frozen=True)
class Pairs:
    """Pairs of rows of a GEE's clusters, in cluster order: rows i and j, the cluster of each; `whole` where these are all.

    weight : (m,) how many pairs each stands for"""

    record: GeeRecord
    at: Occasions
    i: Ints
    j: Ints
    cluster: Ints
    weight: Floats
    whole: bool
    working: Floats = field(repr=False)

    @cached_property
    def residuals(self) -> Floats:
        """(n,) as the moments have them."""
        record, p = self.record, self.record.blocks["mean"].stop
        if isinstance(record.working, OddsRatios):
            return pearson_residuals(record.design, record.family, fitted(record), own_psi(record))[record.clusters.order]
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
        e, groups, clusters, w = self.residuals, len(first), len(self.at.sizes), self.weight
        products = e[self.i] * e[self.j]
        pairs: Ints = np.bincount(codes, minlength=groups)
        weights, totals = summed(codes, w, groups), summed(codes, w * products, groups)
        n, p = len(e), self.rule.p if self.rule.name == "standard" else 0
        plain = float(e @ e) / n
        phi = plain * n / (n - p if n > p else n)
        empirical, _ = ratios(totals, weights, phi, self.rule, lambda: tuple(map(str, range(groups))))
        own = np.zeros(clusters)
        filled = self.at.sizes > 0
        own[filled] = np.add.reduceat(e * e, self.at.starts[:-1][filled]) - plain * self.at.sizes[filled]
        error, effective = np.empty(groups), np.empty(groups)
        order = np.argsort(codes, kind="stable")
        ends = np.concatenate([[0], np.cumsum(pairs)])
        for g in range(groups):
            of = order[ends[g] : ends[g + 1]]
            r = totals[g] / (plain * weights[g])
            part = summed(self.cluster[of], w[of] * (products[of] / plain - r), clusters) / weights[g] - r * own / (plain * n)
            error[g] = np.sqrt(float(part @ part))
            share = summed(self.cluster[of], w[of], clusters) / weights[g]
            effective[g] = 1.0 / float(share @ share)
        mean = summed(codes, w * self.working, groups) / weights
        between = np.abs(second - first) if lag is None else summed(codes, w * lag, groups) / weights
        return Correlations(kind, first, second, first if kind == "inner" else between, pairs, empirical, error, mean, effective)


def summed(codes: Ints, values: Floats, count: int) -> Floats:
    """(count,) sums of values by code."""
    return np.asarray(np.bincount(codes, values, minlength=count), dtype=np.float64)


def pairs_of(record: GeeRecord, most: int = MOST_PAIRS) -> Pairs:
    """The pairs of a fit; of very many a sample, of large clusters rows up to 30 apart and some distances beyond, which count for all."""
    if record.clusters.scope is not None:
        raise GlimmError(NO_ROWS)
    at = occasions(record.clusters, record.moments)
    n, sizes = int(at.starts[-1]), at.sizes
    cluster = np.repeat(np.arange(len(sizes)), sizes)
    every = int(np.sum(sizes * (sizes - 1) // 2))
    offsets, stands = np.arange(1, at.largest), np.ones(max(at.largest - 1, 0))
    rows, whole = np.arange(n), every <= most
    if not whole:
        if at.largest > NEAR:
            far = np.geomspace(NEAR, at.largest - 1, NEAR).astype(np.int64)
            offsets = np.unique(np.concatenate([np.arange(1, NEAR), far]))
            stands = np.diff(np.append(offsets, at.largest)).astype(np.float64)
        counts = np.array([int(np.maximum(sizes - d, 0).sum()) for d in offsets.tolist()])
        if counts.sum() > most:
            rows = np.flatnonzero(np.random.default_rng(0).random(n) < most / counts.sum())
    i, j, weight = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)], [np.zeros(0)]
    for d, stand in zip(offsets.tolist(), stands.tolist(), strict=True):
        first = rows[rows < n - d]
        first = first[cluster[first] == cluster[first + d]]
        i.append(first)
        j.append(first + d)
        weight.append(np.full(len(first), stand))
    one, other = np.concatenate(i), np.concatenate(j)
    return Pairs(record, at, one, other, cluster[one], np.concatenate(weight), whole, working_of(record, at, one, other))


def working_of(record: GeeRecord, at: Occasions, i: Ints, j: Ints) -> Floats:
    """(m,) the working correlation of rows i and j of a cluster."""
    alpha, working = record.alpha, record.working
    if not len(i):
        return np.zeros(0)
    if isinstance(working, OddsRatios):
        return of_odds_ratios(record, at, i, j)
    if at.inner is not None:
        return np.asarray(working.matrix(alpha, np.array([0.0, 0.0, 1.0]), at)[0, np.where(at.inner[i] == at.inner[j], 1, 2)])
    if len(at.times) <= MOST_WAVES:
        return np.asarray(working.matrix(alpha, at.times, at)[at.wave[i], at.wave[j]])
    distance = np.abs(at.at[j] - at.at[i])
    found, codes = np.unique(distance, return_inverse=True)
    if len(found) > DISTANCES and not at.whole:
        found = np.unique(np.quantile(distance, (np.arange(DISTANCES) + 0.5) / DISTANCES))
        codes = np.searchsorted(0.5 * (found[1:] + found[:-1]), distance)
    values = [working.matrix(alpha, np.concatenate([[0.0], found[a : a + CHUNK]]), at)[0, 1:] for a in range(0, len(found), CHUNK)]
    return np.asarray(np.concatenate(values)[codes])


def of_odds_ratios(record: GeeRecord, at: Occasions, i: Ints, j: Ints) -> Floats:
    """(m,) cov / sqrt(v_j v_k) at the fitted means and the odds ratio of the pair."""
    assert isinstance(record.working, OddsRatios)
    equations = AssociationEquations(record.design, record.family, record.clusters, record.working, 1)
    counts = at.sizes * (at.sizes - 1) // 2
    gamma = gammas(equations.pairs, record.alpha, int(counts.sum()))
    cluster = np.searchsorted(at.starts, i, side="right") - 1
    a, b, m = i - at.starts[cluster], j - at.starts[cluster], at.sizes[cluster]
    place = (np.cumsum(counts) - counts)[cluster] + a * m - a * (a + 1) // 2 + b - a - 1
    mu = fitted(record)[record.clusters.order]
    scale = np.sqrt(mu * (1.0 - mu))
    scale = scale[i] * scale[j]
    return np.divide(odds_cells(mu[i], mu[j], gamma[place])[:, 4], scale, out=np.zeros(len(i)), where=scale > 0.0)


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
