"""Quadrature points: K^q nodes of the Gauss-Hermite rule, how many are affordable, and how "auto" raises K."""

from __future__ import annotations

from functools import cache

import numpy as np

from ..errors import GlimmError
from ..kernels.matrix import Floats

POINTS = (1, 5, 9, 15, 25, 35, 51, 71, 101)
MOST_NODES = 2000
MOST_POINTS = 151
MOST_EFFECTS = 3
SETTLED = 0.01
CHECK_POINTS = 9
CHECK_SHIFT = 0.1


def affordable(points: int, q: int) -> bool:
    """Whether K^q nodes are within the limit, for up to three effects."""
    return q <= MOST_EFFECTS and points**q <= MOST_NODES


def control_points(points: int, q: int) -> int:
    """The points that a fit with a given number of them is held against: the next more, at least 9; 0 where no more are affordable."""
    if q == 0 or q > MOST_EFFECTS:
        return 0
    most = most_points(q)
    more = [k for k in (*POINTS, most) if k > points and k >= CHECK_POINTS and k <= most]
    return min(more, default=most if most > points else 0)


def most_points(q: int) -> int:
    """The largest rule for q effects."""
    return min(MOST_POINTS, int(MOST_NODES ** (1 / q) + 1e-9))


def checked_points(points: int, q: int) -> int:
    """The points, if there is a rule of K^q nodes (q = 0: none); raises GlimmError if not."""
    if points > 1 and q == 0:
        raise GlimmError(f"points={points}: quadrature is for random effects of one term, under us or diag: use points=1 (Laplace)")
    if points == 1:
        return points
    if q > MOST_EFFECTS:
        raise GlimmError(f"points={points}: quadrature is for up to {MOST_EFFECTS} random effects per cluster, here are {q}: use points=1")
    most = most_points(q)
    if points > most:
        raise GlimmError(f"points={points} is too many for {q} random effects per cluster: use at most {most}")
    return points


@cache
def rule(points: int, q: int) -> tuple[Floats, Floats]:
    """Gauss-Hermite nodes (K^q, q) for the weight exp(-|x|^2) and log w + |x|^2 (K^q,)."""
    x, w = np.polynomial.hermite.hermgauss(points)
    grids = np.meshgrid(*[x] * q, indexing="ij")
    logs = np.meshgrid(*[np.log(w) + x * x] * q, indexing="ij")
    return np.stack([g.ravel() for g in grids], axis=1), np.sum([g.ravel() for g in logs], axis=0)
