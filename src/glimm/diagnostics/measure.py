"""Numbers from residuals and codes of clusters, each in a few passes over the rows.

corr = (sum over pairs of a cluster of r_j r_k) / (pairs - p) / phi, phi = sum r^2 / (n - p).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..kernels.matrix import Codes, Floats, Ints

MOST_LAGS = 20
LEAST_PAIRS = 20
GRID = 400
ROUNDING = 1e-14


@dataclass(frozen=True, slots=True)
class Lag:
    """Correlation of residuals `lag` rows apart in a cluster, whose mean distance in time is `gap`."""

    lag: int
    gap: float
    pairs: int
    correlation: float


@dataclass(frozen=True, slots=True)
class Pattern:
    """How well constant and falling correlations describe the lags.

    alpha, rho : the best constant and the best rho^gap; constant, falling : root mean squares that they leave, over pairs; gain : the
    difference of their sums of squares, on the scale of a chi-square statistic
    """

    alpha: float
    rho: float
    constant: float
    falling: float
    gain: float


@dataclass(frozen=True, slots=True)
class Dropout:
    """Clusters whose last row is before the last occasion, against those that went on.

    difference : mean residual at the last row minus that of the others at the same occasion; z : over its standard error
    """

    clusters: int
    difference: float
    z: float


def pair_correlation(r: Floats, codes: Codes, p: int) -> tuple[int, float, float]:
    """Pairs of rows in one cluster, their residuals' correlation, and z = sum r_j r_k / (phi sqrt(pairs)) of independence.

    >>> pairs, correlation, z = pair_correlation(np.array([1.0, 1.0, -1.0, -1.0]), np.array([0, 0, 1, 1], dtype=np.int32), 0)
    >>> pairs, correlation, round(z, 3)
    (2, 1.0, 1.414)
    """
    m = np.bincount(codes).astype(np.float64)
    sums, squares = np.bincount(codes, r), float(r @ r)
    pairs = int(m @ (m - 1.0)) // 2
    phi = squares / max(len(r) - p, 1)
    if not pairs or not phi > 0.0:
        return pairs, math.nan, math.nan
    total = 0.5 * (float(sums @ sums) - squares)
    return pairs, total / (pairs - p if pairs > p else pairs) / phi, total / (phi * math.sqrt(pairs))


def within_share(values: Floats, codes: Codes) -> float:
    """Share of a column's sum of squares about its mean that is inside clusters; 0 for a constant column."""
    m = np.bincount(codes)
    centred = values - values.mean()
    total = float(centred @ centred)
    means = np.bincount(codes, centred) / np.maximum(m, 1)
    inside = float(np.sum((centred - means[codes]) ** 2))
    return inside / total if total > 0.0 and inside > 1e-12 * total else 0.0


def factor_within_share(levels: Codes, codes: Codes) -> float:
    """The same for a factor: over the sum of its indicators' sums of squares."""
    m, n = np.bincount(codes).astype(np.float64), len(codes)
    width = int(levels.max()) + 1
    cells, counts = np.unique(codes.astype(np.int64) * width + levels, return_counts=True)
    inside = n - float(np.sum(counts.astype(np.float64) ** 2 / m[cells // width]))
    total = n - float(np.sum(np.bincount(levels).astype(np.float64) ** 2)) / n
    return inside / total if total > 0.0 and inside > 1e-12 * total else 0.0


def nested(inner: Codes, outer: Codes) -> bool:
    """Whether every cluster of `inner` lies in one cluster of `outer`."""
    of = np.empty(int(inner.max()) + 1, dtype=outer.dtype)
    of[inner] = outer
    return bool((of[inner] == outer).all())


def constant_clusters(y: Floats, codes: Codes) -> int:
    """Clusters of two rows or more in which y has one value."""
    m = np.bincount(codes)
    low, high = np.full(len(m), np.inf), np.full(len(m), -np.inf)
    np.minimum.at(low, codes, y)
    np.maximum.at(high, codes, y)
    return int(np.sum((m > 1) & (low == high)))


def size_relation(r: Floats, codes: Codes) -> tuple[float, float]:
    """Correlation of cluster sizes with mean residuals, and z of their covariance with a variance that may differ by cluster."""
    m = np.bincount(codes).astype(np.float64)
    mean = np.bincount(codes, r) / np.maximum(m, 1.0)
    a, b = m - m.mean(), mean - mean.mean()
    scale = math.sqrt(float(a @ a) * float(b @ b))
    spread = math.sqrt(float(np.sum((a * b) ** 2)))
    return (float(a @ b) / scale, float(a @ b) / spread) if scale > 0.0 and spread > 0.0 else (math.nan, math.nan)


def slopes_tests(r: Floats, x: Floats, codes: Codes, outer: Codes | None = None, lost: int = 0) -> tuple[tuple[float, float], ...]:
    """(F, p) of equal slopes of r in x over the clusters of three rows or more in which x varies; NaN for too few of them, or no residual.

    outer : groups of clusters: then F of the slopes inside them, over the residual, and F of the slopes between them, over those inside
    lost : degrees of freedom already taken from r
    Source: Searle (1971), Linear Models, section 8.2.
    """
    whole = float(r @ r)
    m = np.bincount(codes).astype(np.float64)
    size = np.maximum(m, 1.0)
    x = x - (np.bincount(codes, x) / size)[codes]
    r = r - (np.bincount(codes, r) / size)[codes]
    sxx, sxr, srr = (np.bincount(codes, a * b) for a, b in ((x, x), (x, r), (r, r)))
    used = (m >= 3) & (sxx > 1e-9 * float(x @ x) / len(m))
    df, df_left = int(used.sum()) - 1, float(np.sum(m[used] - 2.0)) - lost
    slope, w = sxr[used] / np.where(used, sxx, 1.0)[used], sxx[used]
    left = float(np.sum(srr[used] - slope * sxr[used]))
    if df < 1 or not left > ROUNDING * whole:
        return ((math.nan, math.nan),) * (1 if outer is None else 2)
    total = float(w @ (slope - w @ slope / w.sum()) ** 2)
    if outer is None:
        return (f_test(total, df, left, df_left),)
    of_cluster = np.empty(len(m), dtype=np.int64)
    of_cluster[codes] = outer
    which = np.unique(of_cluster[used], return_inverse=True)[1]
    inside = float(w @ (slope - (np.bincount(which, w * slope) / np.bincount(which, w))[which]) ** 2)
    df_outer = int(which.max())
    return f_test(inside, df - df_outer, left, df_left), f_test(total - inside, df_outer, inside, df - df_outer)


def f_test(above: float, df1: float, below: float, df2: float) -> tuple[float, float]:
    """F = (above / df1) / (below / df2) and its p; NaN for few degrees of freedom."""
    if df1 < 4 or df2 < 10 or not below > 0.0:
        return math.nan, math.nan
    from scipy.special import fdtrc

    f = above / df1 / (below / df2)
    return f, float(fdtrc(df1, df2, f))


def spread_test(size: Floats, x: Floats) -> float:
    """p of residuals of one size along x: the F test of |r| between five to ten groups of rows; NaN for few rows or values of x.

    Source: Levene (1960), in Olkin (ed.), Contributions to Probability and Statistics, 278-292.
    """
    count = min(max(len(x) // 20, 5), 10)
    which = np.unique(x, return_inverse=True)[1]
    below = np.cumsum(np.bincount(which)) - 1
    groups = np.unique((count * below // len(x))[which], return_inverse=True)[1]
    m = np.bincount(groups).astype(np.float64)
    means = np.bincount(groups, size) / m
    left = float(np.sum((size - means[groups]) ** 2))
    return f_test(float(m @ (means - size.mean()) ** 2), len(m) - 1, left, len(x) - len(m))[1]


def context_score(x: Floats, codes: Codes, dense: Floats, d1: Floats, w: Floats) -> float:
    """z of the score test that cluster means of x add to a GLM, its variance from sums over clusters.

    dense : (n, p) the model matrix; d1, w : (n,) scores and weights of the rows
    """
    m = np.bincount(codes).astype(np.float64)
    means = (np.bincount(codes, x) / np.maximum(m, 1.0))[codes]
    root = np.sqrt(w)
    fitted = dense @ np.linalg.lstsq(dense * root[:, None], means * root, rcond=None)[0]
    extra = means - fitted
    if float(extra @ extra) <= 1e-8 * float(np.sum((means - means.mean()) ** 2)):
        return math.nan
    scores = np.bincount(codes, extra * d1)
    spread = math.sqrt(float(scores @ scores))
    return float(scores.sum()) / spread if spread > 0.0 else math.nan


def within_dispersion(y: Floats, mu: Floats, size: Floats | None, codes: Codes, p: int) -> float:
    """Pearson dispersion of counts about mu_ij T_i / sum_j mu_ij, T_i the count of cluster i: what its own mean leaves."""
    weight = np.ones(len(y)) if size is None else size
    total, expected = np.bincount(codes, weight * y), np.bincount(codes, weight * mu)
    known = (total > 0.0) & (np.bincount(codes) > 1)
    df = float(np.sum(np.bincount(codes)[known] - 1)) - p
    if df < 10.0:
        return math.nan
    rows = known[codes]
    mean = mu[rows] * (total / np.where(expected > 0.0, expected, 1.0))[codes[rows]]
    return float(np.sum(weight[rows] * (y[rows] - mean) ** 2 / mean)) / df


def lag_correlations(r: Floats, order: Ints, starts: Ints, time: Floats, phi: float) -> tuple[Lag, ...]:
    """Correlations of residuals 1, 2, ... rows apart in clusters ordered by time; lags of at least 20 pairs, at most 20 of them."""
    e, t = r[order], time[order]
    cluster = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    out: list[Lag] = []
    for lag in range(1, MOST_LAGS + 1):
        same = np.flatnonzero(cluster[lag:] == cluster[:-lag])
        if len(same) < LEAST_PAIRS:
            break
        out.append(Lag(lag, float(np.mean(t[same + lag] - t[same])), len(same), float(np.mean(e[same] * e[same + lag])) / phi))
    return tuple(out)


def pattern(lags: tuple[Lag, ...]) -> Pattern | None:
    """A constant and rho^gap fitted to the correlations by least squares, weights being pairs; None for fewer than two lags."""
    if len(lags) < 2:
        return None
    c, w = np.array([lag.correlation for lag in lags]), np.array([float(lag.pairs) for lag in lags])
    gap = np.array([lag.gap for lag in lags])
    alpha = float(w @ c / w.sum())
    half = np.geomspace(gap[0] / 20.0, gap[-1] * 20.0, GRID)
    curves = 0.5 ** (gap[None, :] / half[:, None])
    left = ((curves - c) ** 2) @ w
    best = int(np.argmin(left))
    constant, falling, pairs = float(w @ (c - alpha) ** 2), float(left[best]), float(w.sum())
    rho = float(0.5 ** (1.0 / half[best]))
    return Pattern(alpha, rho, math.sqrt(constant / pairs), math.sqrt(falling / pairs), constant - falling)


def attendance(positions: Ints, codes: Codes, occasions: int) -> tuple[int, int, int]:
    """Clusters with all occasions, with the first few only, with others. positions : (n,) of each row's time among all times."""
    m = np.bincount(codes)
    last = np.zeros(len(m), dtype=np.int64)
    np.maximum.at(last, codes, positions)
    complete = m == occasions
    stopped = ~complete & (last == m - 1)
    return int(complete.sum()), int(stopped.sum()), int(np.sum(~complete & ~stopped))


def dropout(r: Floats, positions: Ints, codes: Codes, occasions: int) -> Dropout | None:
    """Last residuals of the clusters that end early against those of clusters that go on at the same occasion; None for fewer than 10.

    z = mean difference / sqrt(s_d^2 / D + sum_k (D_k / D)^2 s_k^2 / n_k), D_k ending and n_k going on after occasion k.
    """
    last = np.zeros(int(codes.max()) + 1, dtype=np.int64)
    np.maximum.at(last, codes, positions)
    ending = positions == last[codes]
    differences: list[NDArray[np.float64]] = []
    noise = 0.0
    for k in range(occasions - 1):
        here = positions == k
        gone, on = r[here & ending], r[here & ~ending]
        if len(gone) and len(on) > 1:
            differences.append(gone - on.mean())
            noise += len(gone) ** 2 * float(on.var(ddof=1)) / len(on)
    d = np.concatenate(differences) if differences else np.zeros(0)
    if len(d) < 10:
        return None
    error = math.sqrt(float(d.var(ddof=1)) / len(d) + noise / len(d) ** 2)
    return Dropout(len(d), float(d.mean()), float(d.mean()) / error if error > 0.0 else math.nan)


def skewness(r: Floats) -> float:
    """Third standardised moment."""
    centred = r - r.mean()
    spread = float(np.mean(centred**2))
    return float(np.mean(centred**3)) / spread**1.5 if spread > 0.0 else math.nan
