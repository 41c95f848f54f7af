"""Working correlations of a GEE: R_jk(alpha), with the moment equations that estimate alpha from Pearson residuals.

standard: corrected sums, phi = sum e^2 / (N - p) (SAS/STAT, PROC GENMOD, "Working Correlation Matrix").
geepack: divisors N and pairs; AR(1) solves sum_l l a^(l-1) (S_l / phi - N_l a^l) = 0 over all lags (Yan and Fine 2004).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol, final

import numpy as np

from ..errors import GlimmError, NotYetError, suggest
from ..kernels import lag_sums, pair_sums
from ..kernels.matrix import Floats, Ints

MOST_LAGS = 100_000


@dataclass(frozen=True, slots=True)
class Residuals:
    """Pearson residuals (n,) in cluster order with the cluster starts (K + 1,), time (n,) or None, and p for the divisors."""

    pearson: Floats
    starts: Ints
    time: Floats | None
    p: int
    threads: int = 1

    @property
    def whole_times(self) -> bool:
        """Times are whole numbers (or positions)."""
        return self.time is None or bool(np.all(self.time == np.round(self.time)))


@dataclass(frozen=True, slots=True)
class Moments:
    """Dispersion and correlation parameters of one residual vector.

    note : what could not be done as asked, for a warning; how : which way was taken, where there is a choice
    """

    phi: float
    alpha: Floats
    note: str = ""
    how: str = ""


class Working(Protocol):
    """What every working correlation answers. kernel : its number in native/gee.hpp."""

    name: str
    kernel: int

    def size(self) -> int:
        """Number of correlation parameters."""

    def names(self) -> tuple[str, ...]:
        """Their names."""

    def estimate(self, r: Residuals, rule: str) -> Moments:
        """phi and alpha by a moment rule."""

    def bounds(self, largest: int, whole_times: bool) -> tuple[float, float]:
        """Open interval in which R is a correlation matrix for clusters of up to `largest` rows."""

    def matrix(self, alpha: Floats, time: Floats) -> Floats:
        """(m, m) R at times (m,)."""


def dispersion(squares: float, n: int, p: int, rule: str) -> float:
    """phi = sum e^2 / (N - p), or / N by geepack's rule."""
    return squares / (n if rule == "geepack" or n <= p else n - p)


@final
class Independence:
    """R = I."""

    name = "independence"
    kernel = 0

    def size(self) -> int:
        """No parameter."""
        return 0

    def names(self) -> tuple[str, ...]:
        """None."""
        return ()

    def estimate(self, r: Residuals, rule: str) -> Moments:
        """Dispersion only."""
        return Moments(dispersion(float(r.pearson @ r.pearson), len(r.pearson), r.p, rule), np.zeros(0))

    def bounds(self, largest: int, whole_times: bool) -> tuple[float, float]:
        """No bound."""
        return (-np.inf, np.inf)

    def matrix(self, alpha: Floats, time: Floats) -> Floats:
        """The identity."""
        return np.eye(len(time))


@final
class Exchangeable:
    """R_jk = alpha for every pair of a cluster."""

    name = "exchangeable"
    kernel = 1

    def size(self) -> int:
        """One."""
        return 1

    def names(self) -> tuple[str, ...]:
        """alpha."""
        return ("alpha",)

    def estimate(self, r: Residuals, rule: str) -> Moments:
        """alpha = S / (phi (pairs - p)), or / (phi pairs) by geepack's rule."""
        s = pair_sums(r.pearson, r.starts, None, r.threads)
        phi = dispersion(s.squares, len(r.pearson), r.p, rule)
        return _ratio(phi, s.pairs, s.n_pairs, r.p, rule)

    def bounds(self, largest: int, whole_times: bool) -> tuple[float, float]:
        """(-1 / (largest - 1), 1)."""
        return (-1.0 / max(largest - 1, 1), 1.0)

    def matrix(self, alpha: Floats, time: Floats) -> Floats:
        """1 on the diagonal, alpha elsewhere."""
        m = len(time)
        return np.asarray(np.full((m, m), alpha[0]) + (1.0 - alpha[0]) * np.eye(m))


@final
class Ar1:
    """R_jk = alpha^|t_j - t_k|."""

    name = "ar1"
    kernel = 2

    def size(self) -> int:
        """One."""
        return 1

    def names(self) -> tuple[str, ...]:
        """alpha."""
        return ("alpha",)

    def estimate(self, r: Residuals, rule: str) -> Moments:
        """standard: from pairs one unit of time apart, else from neighbouring pairs by least squares. geepack: from all lags."""
        s = pair_sums(r.pearson, r.starts, r.time, r.threads)
        phi = dispersion(s.squares, len(r.pearson), r.p, rule)
        if s.n_pairs == 0:
            return Moments(phi, np.zeros(1), "no cluster has two rows: the correlation is not estimated and taken as 0")
        if rule == "geepack":
            alpha, note = _all_lags(r, phi)
            return Moments(phi, np.array([alpha]), note)
        if r.whole_times and s.n_next > 0:
            return _ratio(phi, s.next, s.n_next, r.p, rule)
        how = "no rows of a cluster are one unit of time apart, so alpha is from neighbouring rows by least squares"
        alpha, note = _neighbours(r, phi)
        return Moments(phi, np.array([alpha]), note, how)

    def bounds(self, largest: int, whole_times: bool) -> tuple[float, float]:
        """(-1, 1); never negative where times are not whole numbers."""
        return (-1.0, 1.0)

    def matrix(self, alpha: Floats, time: Floats) -> Floats:
        """alpha to the power of the distances."""
        return np.asarray(alpha[0] ** np.abs(np.subtract.outer(time, time)))


def _ratio(phi: float, total: float, pairs: float, p: int, rule: str) -> Moments:
    if pairs == 0:
        return Moments(phi, np.zeros(1), "no cluster has two rows: the correlation is not estimated and taken as 0")
    note = ""
    divisor = pairs
    if rule == "standard":
        if pairs > p:
            divisor = pairs - p
        else:
            note = f"only {int(pairs)} pairs of rows for {p} coefficients: the correlation's divisor is not reduced by {p}"
    return Moments(phi, np.array([total / (phi * divisor)]), note)


def _all_lags(r: Residuals, phi: float) -> tuple[float, str]:
    longest = int(np.diff(r.starts).max()) if r.time is None else _longest_span(r)
    if r.whole_times and longest <= MOST_LAGS:
        sums, counts = lag_sums(r.pearson, r.starts, r.time, longest)
        lags = np.flatnonzero(counts)
        return power_fit(lags.astype(np.float64), sums[lags] / phi, counts[lags], r.whole_times)
    distances, products = _all_pairs(r)
    return _pooled(distances, products / phi, r.whole_times)


def _neighbours(r: Residuals, phi: float) -> tuple[float, str]:
    assert r.time is not None
    inside = np.ones(len(r.pearson) - 1, dtype=bool)
    inside[r.starts[1:-1] - 1] = False
    products = (r.pearson[1:] * r.pearson[:-1])[inside]
    return _pooled(np.diff(r.time)[inside], products / phi, r.whole_times)


def _longest_span(r: Residuals) -> int:
    assert r.time is not None
    return int((r.time[r.starts[1:] - 1] - r.time[r.starts[:-1]]).max())


def _all_pairs(r: Residuals) -> tuple[Floats, Floats]:
    assert r.time is not None
    distances, products = [], []
    for a, b in zip(r.starts[:-1], r.starts[1:], strict=True):
        i, j = np.triu_indices(b - a, 1)
        distances.append(r.time[a + j] - r.time[a + i])
        products.append(r.pearson[a + i] * r.pearson[a + j])
    return np.concatenate(distances), np.concatenate(products)


def _pooled(d: Floats, products: Floats, whole: bool) -> tuple[float, str]:
    distances, at = np.unique(d, return_inverse=True)
    sums = np.asarray(np.bincount(at, products), dtype=np.float64)
    return power_fit(np.asarray(distances, dtype=np.float64), sums, np.bincount(at).astype(np.float64), whole)


def power_fit(d: Floats, sums: Floats, counts: Floats, whole: bool) -> tuple[float, str]:
    """(a, note): the a in (-1, 1) that minimises the sum over pairs of (product - a^d)^2, pairs pooled by distance d.

    Solved for rho = |a|^u with u the shortest distance, so that the unit of time does not matter. A negative a is considered
    only where some distance is odd, because even distances cannot tell the sign.
    """
    unit = float(d.min())
    found = [(*_rho(d / unit, sums, counts), 1.0)]
    if whole and np.any(d % 2 == 1):
        found.append((*_rho(d / unit, np.where(d % 2 == 1, -sums, sums), counts), -1.0))
    _, rho, sign = min(found, key=lambda f: f[0])
    if rho == 0.0:
        return 0.0, "no positive correlation between rows of a cluster: alpha is taken as 0"
    return sign * rho ** (1.0 / unit), ""


def _rho(d: Floats, sums: Floats, counts: Floats) -> tuple[float, float]:
    """(loss, rho) at the best rho in [0, 1): bisection on the stationary equation around the best point of a grid."""

    def loss(rho: float) -> float:
        power = rho**d
        return float(counts @ (power * power) - 2.0 * (sums @ power))

    def downhill(rho: float) -> float:
        return float(np.sum(d * rho ** (d - 1.0) * (sums - counts * rho**d)))

    grid = np.concatenate([[0.0], np.logspace(-6, -2, 9), np.linspace(0.02, 0.98, 49), 1.0 - np.logspace(-2, -9, 15)])
    best = int(np.argmin([loss(float(rho)) for rho in grid]))
    if best == 0:
        return 0.0, 0.0
    a, b = float(grid[best - 1]), float(grid[min(best + 1, len(grid) - 1)])
    for _ in range(100):
        middle = 0.5 * (a + b)
        if downhill(middle) > 0.0:
            a = middle
        else:
            b = middle
    rho = 0.5 * (a + b)
    return loss(rho), rho


WORKING: Final[dict[str, Working]] = {w.name: w for w in (Independence(), Exchangeable(), Ar1())}


LATER: Final = ("unstructured", "fixed", "stationary", "nonstationary", "nested")


def working(name: str) -> Working:
    """The working correlation of that name; raises GlimmError for an unknown one, NotYetError for one of a later release."""
    if name in LATER:
        raise NotYetError(f"working correlation corr={name!r} is not in this release: use one of {', '.join(WORKING)}")
    if name not in WORKING:
        raise GlimmError(f"unknown working correlation corr={name!r}: {suggest(str(name), WORKING)}")
    return WORKING[name]
