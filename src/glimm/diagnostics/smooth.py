"""Smooth quantiles: q_p(x) has a share p of the kernel's weight at x below it, a tricube kernel over the nearest rows in rank of x.

Source: Cleveland (1979), J. Am. Stat. Assoc. 74, 829-836 (weights); Koenker (2005), Quantile Regression, section 7.1 (local quantiles).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..kernels.matrix import Floats

QUARTERS = (0.25, 0.5, 0.75)
POINTS, MOST = 40, 20_000


def smooth_quantiles(
    x: Floats, u: Floats, shares: Sequence[float] = QUARTERS, span: float = 0.5, points: int = POINTS
) -> tuple[Floats, Floats]:
    """(grid (g,), quantiles (len(shares), g)) of u along x.

    span : share of the rows that a kernel reaches, of more than 20,000 rows an even sample in order of x is taken
    """
    order = np.argsort(x, kind="stable")
    if len(order) > MOST:
        order = order[np.linspace(0, len(order) - 1, MOST).astype(np.int64)]
    a, b = x[order], u[order]
    n = len(a)
    half = max(0.5 * span * n, min(5.0, n))
    places = np.linspace(0.0, n - 1.0, min(points, n))
    out = np.empty((len(shares), len(places)))
    for j, place in enumerate(places):
        low, high = max(0, int(np.ceil(place - half))), min(n, int(np.floor(place + half)) + 1)
        weight = np.maximum(1.0 - np.abs((np.arange(low, high) - place) / (half + 1.0)) ** 3, 0.0) ** 3
        out[:, j] = weighted_quantiles(b[low:high], weight, shares)
    grid = np.interp(places, np.arange(n), a)
    distinct = np.concatenate(([True], np.diff(grid) > 0.0))
    return grid[distinct], out[:, distinct]


def weighted_quantiles(values: Floats, weight: Floats, shares: Sequence[float]) -> Floats:
    """Quantiles of a weighted sample, linear between the middles of the weights.

    >>> weighted_quantiles(np.array([3.0, 1.0, 2.0]), np.ones(3), (0.5,)).tolist()
    [2.0]
    """
    order = np.argsort(values, kind="stable")
    w = weight[order]
    middle = (np.cumsum(w) - 0.5 * w) / w.sum()
    return np.asarray(np.interp(shares, middle, values[order]))
