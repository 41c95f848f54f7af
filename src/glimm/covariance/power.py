"""The correlation alpha^d of rows d apart, by least squares: min over alpha of sum (e_j e_k / phi - alpha^d)^2."""

from __future__ import annotations

import numpy as np

from ..errors import GlimmError
from ..kernels.matrix import Floats

LEAST = 1e-290
RESOLVED = 1e-11
SOME = 1e-3


def pooled(d: Floats, products: Floats, counts: Floats, whole: bool) -> tuple[float, str]:
    """`power_fit` of pairs at distances d (m,), products (m,) of their residuals over phi, counted so often."""
    distances, at = np.unique(d, return_inverse=True)
    sums = np.asarray(np.bincount(at, products), dtype=np.float64)
    return power_fit(np.asarray(distances, dtype=np.float64), sums, np.asarray(np.bincount(at, counts), dtype=np.float64), whole)


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
    alpha = rho ** (1.0 / unit)
    if (alpha < LEAST and rho > SOME) or (1.0 - alpha < RESOLVED and rho < 1.0 - SOME):
        raise GlimmError(
            f"corr='ar1': the closest rows of a cluster are {unit:g} apart in time with a correlation of {rho:.3g}, so that at distance 1 "
            f"it is too close to {alpha:.0f} to be held: divide times by about {unit:.1g}"
        )
    return sign * alpha, ""


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
        if middle in (a, b):
            break
        if downhill(middle) > 0.0:
            a = middle
        else:
            b = middle
    rho = 0.5 * (a + b)
    return loss(rho), rho
