"""Residual tests of a GEE, which states margins and no joint distribution: T = sum over clusters of g_c, Var T = sum (g_c + D M U_c)^2.

D = -Cov(T, S) of rows drawn independently from the margins, S their score, is what the estimates do to the mean of T; M U_c is a
cluster's influence on them. Reference: t with clusters - p degrees of freedom; uniformity: multipliers of clusters.
Source: Pierce (1982), Ann. Stat. 10, 475-478; Liang and Zeger (1986), Biometrika 73, 13-22; van der Vaart and Wellner (1996), Weak
Convergence and Empirical Processes, section 2.9 (multipliers).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..design.clusters import row_codes
from ..estimators.gee import pieces
from ..kernels.matrix import Codes, Floats
from ..records import GeeRecord
from .neighbours import Neighbours
from .residual_tests import GRID, Simulated, Statistics, Test, counted, dispersed, simulated, statistics

MULTIPLIERS = 999
EXPECTED, WIDEST, CELLS = 20.0, 5, 2_000_000


@dataclass(frozen=True, slots=True)
class Corrected:
    """What each cluster adds to a statistic through the estimates.

    influence : (K, k) of clusters on the scores that the estimates set to zero; coefficients of a statistic on the scores of what was
    drawn; df : clusters - p
    """

    scores: Floats
    influence: Floats
    codes: Codes
    df: int

    def add(self, drawn: Floats, sums: Floats) -> Floats:
        """(K, m) sums of clusters less what the estimates take from them. drawn : (B + 1, m) the statistics of all responses."""
        s = self.scores[1:] - self.scores[1:].mean(axis=0)
        t = drawn[1:] - drawn[1:].mean(axis=0)
        gamma = np.linalg.lstsq(s, t, rcond=None)[0]
        return np.asarray(sums - self.influence @ gamma)

    def by_cluster(self, rows: Floats) -> Floats:
        """(K, m) sums over the rows (n, m) of each cluster."""
        out = np.zeros((len(self.influence), rows.shape[1]))
        for j in range(rows.shape[1]):
            out[:, j] = np.bincount(self.codes, rows[:, j], minlength=len(out))
        return out


def cluster_tests(record: GeeRecord, count: int, rng: np.random.Generator, pairs: Neighbours | None) -> tuple[Test, ...]:
    """The tests of a GEE's margins, and of its correlation where that does not depend on time."""
    drawn = simulated(record, count, rng, False)
    found = statistics(record, drawn, None, rng)
    n, corrected = record.design.n, _corrected(record, drawn, found)
    out = [_uniformity(found, corrected, rng, count)]
    if dispersed(record):
        out.append(_sum_test("dispersion", found.dispersion * n, found.r**2, corrected, n, "mean squared Pearson residual"))
    if counted(record):
        chance = np.mean(drawn.y[:, 1:] == 0.0, axis=1)
        zero = (record.design.y == 0.0).astype(np.float64)
        note = "responses that are 0"
        out.append(_sum_test("zeros", found.zeros, zero - chance, corrected, 1, note))
    out.append(_outliers(found, corrected, n))
    if pairs is not None and record.corr in ("independence", "exchangeable"):
        tested = _autocorrelation(record, found.r, pairs, corrected)
        out += [] if tested is None else [tested]
    return tuple(out)


def _corrected(record: GeeRecord, drawn: Simulated, found: Statistics) -> Corrected:
    """M U_c times the information of independent rows: in the units of their scores; of a dispersion by moments its own excess."""
    clusters = next(iter(record.design.clusters.values()))
    codes = row_codes(clusters).astype(np.int32)
    p = record.blocks["mean"].stop
    u = np.concatenate([scores for _, scores in pieces(record, clusters.name)])
    s = drawn.scores[1:, :p] - drawn.scores[1:, :p].mean(axis=0)
    phi = 1.0 if record.family.scale_known else record.scale
    influence = u @ record.bread @ (s.T @ s / len(s)) / phi
    if drawn.scores.shape[1] > p:
        squares = drawn.scores[0, p] / max(float(found.r @ found.r), 1e-300) * found.r**2
        extra = np.bincount(codes, squares - squares.mean(), minlength=len(u))
        influence = np.column_stack([influence, extra])
    return Corrected(drawn.scores, influence, codes, max(len(u) - p, 1))


def _uniformity(found: Statistics, corrected: Corrected, rng: np.random.Generator, count: int) -> Test:
    n, grid = len(found.u), np.arange(1, GRID) / GRID
    cells = np.minimum((found.u * GRID).astype(np.int64), GRID - 1)
    clusters = len(corrected.influence)
    counts = np.bincount(corrected.codes * np.int64(GRID) + cells, minlength=clusters * GRID).reshape(clusters, GRID)
    sums = np.cumsum(counts, axis=1)[:, :-1] - counts.sum(axis=1)[:, None] * grid
    parts = corrected.add(found.process * n, sums)
    parts -= parts.mean(axis=0)
    parts *= np.sqrt(clusters / corrected.df)
    size = max(1, CELLS // clusters)
    found_null = []
    for start in range(0, MULTIPLIERS, size):
        multipliers = rng.standard_normal((min(size, MULTIPLIERS - start), clusters))
        found_null.append(np.abs(multipliers @ parts).max(axis=1) / n)
    null = np.concatenate(found_null)
    own = float(np.abs(found.process[0]).max())
    p = (1.0 + float(np.sum(null >= own))) / (1.0 + MULTIPLIERS)
    return Test("uniformity", own, float(null.mean()), p, f"largest |F(u) - u| of the margins; ranks among {count} simulated responses")


def _outliers(found: Statistics, corrected: Corrected, n: int) -> Test:
    """Rows at the ends, as many as a normal reference needs, p for more than expected."""
    side = int(np.clip(np.ceil(0.5 * EXPECTED * GRID / n), 1, WIDEST))
    values = n * (found.process[:, side - 1] - found.process[:, -side] + 2.0 * side / GRID)
    end = ((found.u < side / GRID) | (found.u >= 1.0 - side / GRID)).astype(np.float64)
    tested = _sum_test("outliers", values, end, corrected, 1, f"of {n} rows, outside the middle {100 - 2 * side} % of their margins")
    return replace(tested, p_value=_upper_tail(tested, corrected.df))


def _sum_test(name: str, values: Floats, rows: Floats, corrected: Corrected, over: int, note: str) -> Test:
    """A sum over rows (n,) against its mean where rows are drawn, the scores being 0; `values` (B + 1,) of all responses."""
    s = np.column_stack([np.ones(len(values) - 1), corrected.scores[1:], _quadratic(corrected.scores)])
    expected = float(np.linalg.lstsq(s, values[1:], rcond=None)[0] @ np.concatenate([[1.0], corrected.scores[0], [0.0]]))
    parts = corrected.add(values[:, None], corrected.by_cluster(rows[:, None]))[:, 0]
    error = float(np.sqrt(np.sum((parts - parts.mean()) ** 2) * len(parts) / corrected.df))
    difference = float(values[0]) - expected
    p = _two_tails(difference, error, corrected.df)
    null = (expected + error * _normal_scores()) / over
    return Test(name, float(values[0]) / over, expected / over, p, note, null)


def _quadratic(scores: Floats) -> Floats:
    """S'Var(S)^-1 S of what was drawn."""
    s = scores[1:] - scores[1:].mean(axis=0)
    return np.asarray(np.einsum("bj,bj->b", s @ np.linalg.pinv(s.T @ s / len(s)), s))


def _upper_tail(t: Test, df: int) -> float:
    """p for more than expected of a count, by its square root: its variance grows with its mean."""
    from scipy.special import stdtr

    assert t.null is not None
    error = float(np.std(t.null)) / (2.0 * np.sqrt(max(t.statistic, 1.0)))
    if not error > 0.0:
        return 1.0
    return float(stdtr(df, (np.sqrt(max(t.expected, 0.0)) - np.sqrt(max(t.statistic, 0.0))) / error))


def _normal_scores() -> Floats:
    from scipy.special import ndtri

    return np.asarray(ndtri((np.arange(199) + 0.5) / 199.0))


def _two_tails(difference: float, error: float, df: int) -> float:
    from scipy.special import stdtr

    if not error > 0.0:
        return 1.0
    return float(2.0 * stdtr(df, -abs(difference) / error))


def _autocorrelation(record: GeeRecord, r: Floats, pairs: Neighbours, corrected: Corrected) -> Test | None:
    """Products of neighbours against those of all pairs of their clusters, which an exchangeable correlation takes for equal."""
    codes, order = corrected.codes, pairs.order
    clusters = len(corrected.influence)
    m = np.bincount(codes, minlength=clusters).astype(np.float64)
    next_to = pairs.joined * r[order[:-1]] * r[order[1:]]
    near = np.bincount(codes[order[1:]], next_to, minlength=clusters)
    every = 0.5 * (np.bincount(codes, r, minlength=clusters) ** 2 - np.bincount(codes, r * r, minlength=clusters))
    n_near, n_every = np.maximum(m - 1.0, 0.0), m * (m - 1.0) / 2.0
    if n_every.sum() <= n_near.sum() or not float(r @ r) > 0.0:
        return None
    level = float(every.sum() / n_every.sum())
    parts = (near - level * n_near) - n_near.sum() / n_every.sum() * (every - level * n_every)
    error = float(np.sqrt(np.sum(parts**2) * clusters / corrected.df))
    phi = float(r @ r) / len(r)
    p = _two_tails(float(parts.sum()), error, corrected.df)
    note = f"{pairs.note}; expected: of all pairs"
    return Test("autocorrelation", float(near.sum() / n_near.sum()) / phi, level / phi, p, note)
