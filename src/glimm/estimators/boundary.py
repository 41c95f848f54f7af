"""Covariance matrices that lose rank: where a standard deviation runs to zero it is set to zero, and the slope there is checked.

With -2 log L = d(Sigma) and G = dd/dSigma: Sigma of less than full rank is a minimum if G is not negative in any direction that
Sigma does not have. In T, Sigma = T T': dd/dT = 2 G T, so a column of T at a small multiple of a unit vector shows its column of G.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from ..covariance.layout import Layout
from ..covariance.structures import lower_entries
from ..kernels import Limits, Optimum
from ..kernels.matrix import Bools, Floats, Ints

FLOOR = 1e-3
PROBE = 1e-2
RELEASE = 0.1
NEGATIVE = 1e-6
ROUNDS = 30
BURST = 12
WEAK = 0.1


@dataclass(frozen=True, slots=True)
class Search:
    """A minimisation over vectors (first | theta | rest) of which theta fills the layout.

    run : (layout, x, limits) -> optimum; slope : (layout, x) -> (P,) gradient; first : parameters before theta
    typical : (k,) size of a standard deviation of each effect
    """

    run: Callable[[Layout, Floats, Limits], Optimum]
    slope: Callable[[Layout, Floats], Floats]
    first: int
    typical: Floats
    cap: float
    tol: float
    max_iter: int


@dataclass(frozen=True, slots=True)
class Settled:
    """Where it ended: an optimum over the entries of a layout."""

    optimum: Optimum
    layout: Layout

    def theta(self, first: int) -> Floats:
        """The layout's parameters."""
        return self.optimum.x[first : first + self.layout.size]


def settle(search: Search, layout: Layout, x: Floats) -> Settled:
    """Minimise; set to zero what runs there, and let go what should not have been.

    A long run is interrupted to take the effects in the order of pivots: a small entry on the diagonal of T above large ones makes
    the coordinates bad, and where the last pivot is small the search goes on without it.
    """
    floor, evaluations, left, tried = FLOOR, 0, search.max_iter, False
    best: Settled | None = None
    for _ in range(ROUNDS):
        burst = left if layout.independent or layout.rank == 1 else min(BURST, left)
        optimum = search.run(layout, x, limits(search, layout, len(x), floor, burst))
        evaluations += optimum.evaluations
        left -= max(optimum.iterations, 1)
        if best is None or optimum.value <= best.optimum.value + 1e-11 * abs(optimum.value) + 1e-7:
            best = Settled(optimum, layout)
        held = optimum.floor[search.first : search.first + layout.size]
        if not held.any() and optimum.converged:
            freed = None
            if layout.rank < layout.k:
                freed = released(search, layout, optimum.x)
                evaluations += 1
            if freed is None:
                break
            layout, x = freed
            floor *= 1e-3
        elif left <= 0 or not np.isfinite(optimum.value):
            break
        elif held.any():
            layout, x = reduced(search, layout, optimum.x, held)
        else:
            layout, x, weakest = pivoted_order(search, layout, optimum.x)
            if weakest < WEAK and not tried:
                tried = True
                trial = without_last(search, layout, x, floor)
                evaluations += trial.optimum.evaluations + 1
                if trial.optimum.value <= optimum.value and released(search, trial.layout, trial.optimum.x) is None:
                    layout, x = trial.layout, trial.optimum.x
    assert best is not None
    if best.optimum is not optimum and not best.optimum.converged and left > 0:  # a way that led higher: back to where it branched off
        x = best.optimum.x
        best = Settled(search.run(best.layout, x, limits(search, best.layout, len(x), floor, left)), best.layout)
        evaluations += best.optimum.evaluations
    return replace(best, optimum=replace(best.optimum, evaluations=evaluations))


def without_last(search: Search, layout: Layout, x: Floats, floor: float) -> Settled:
    """A short search without the last pivot."""
    last = (layout.rows == layout.columns) & (layout.columns == layout.rank - 1)
    smaller, x = reduced(search, layout, x, last)
    return Settled(search.run(smaller, x, limits(search, smaller, len(x), floor, BURST)), smaller)


def pivoted_order(search: Search, layout: Layout, x: Floats) -> tuple[Layout, Floats, float]:
    """The same matrix with the effects in the order of its pivots, and the last pivot's share of the first."""
    size = search.typical[layout.order]
    t = layout.factor(x[search.first : search.first + layout.size]) / size[:, None]
    pivots, low = pivoted(t @ t.T, layout.rank)
    ordered = trapezoid(layout.order[pivots], layout.rank)
    values = (low * size[pivots][:, None])[ordered.rows, ordered.columns]
    last = layout.rank - 1
    return ordered, _with(search, x, layout.size, values), float(low[last, last] / low[0, 0])


def limits(search: Search, layout: Layout, size: int, floor: float, max_iter: int) -> Limits:
    """Standard deviations stay above a share of their typical size."""
    scales = np.zeros(size, dtype=bool)
    lower = np.full(size, -np.inf)
    theta = slice(search.first, search.first + layout.size)
    scales[theta] = layout.diagonal
    lower[theta] = np.where(layout.diagonal, floor * search.typical[layout.order][layout.rows], -np.inf)
    return Limits(lower, scales, np.ones(size, dtype=bool), search.cap, search.tol, max_iter)


def reduced(search: Search, layout: Layout, x: Floats, held: Bools) -> tuple[Layout, Floats]:
    """The layout without what is held at its floor, and the vector there."""
    theta = x[search.first : search.first + layout.size]
    if layout.independent:
        smaller, values = Layout(layout.order, layout.rows[~held], layout.columns[~held]), theta[~held]
    else:
        size = search.typical[layout.order]
        t = layout.factor(np.where(held, 0.0, theta)) / size[:, None]
        rank = layout.rank - int(held.sum())
        pivots, low = pivoted(t @ t.T, rank)
        smaller = trapezoid(layout.order[pivots], rank)
        values = (low * size[pivots][:, None])[smaller.rows, smaller.columns]
    return smaller, np.concatenate([x[: search.first], values, x[search.first + layout.size :]])


def released(search: Search, layout: Layout, x: Floats) -> tuple[Layout, Floats] | None:
    """A layout with one more direction if -2 log L falls along it, and a vector a little way into it; None at a minimum."""
    theta, k = x[search.first : search.first + layout.size], layout.k
    size = search.typical[layout.order]
    null = np.setdiff1d(np.arange(k), layout.columns)
    full = Layout(layout.order, np.arange(k), np.arange(k)) if layout.independent else Layout(layout.order, *lower_entries(k))
    t = layout.factor(theta)
    probe = FLOOR * PROBE * size[null]
    t[null, null] = probe
    slope = search.slope(full, _with(search, x, layout.size, t[full.rows, full.columns]))[search.first :]
    g = np.zeros((len(null), len(null)))
    for j, (row, column) in enumerate(zip(full.rows, full.columns, strict=True)):
        at = np.flatnonzero(null == row), np.flatnonzero(null == column)
        if len(at[0]) and len(at[1]):
            r, c = int(at[0][0]), int(at[1][0])
            g[r, c] = g[c, r] = 0.5 * slope[j] / probe[c] * size[null[r]] * size[null[c]]
    values, vectors = np.linalg.eigh(g)
    if values[0] > -NEGATIVE:
        return None
    if layout.independent:
        c = int(null[int(np.argmin(np.diag(g)))])
        more = Layout(layout.order, *(np.sort(np.append(a, c)) for a in (layout.rows, layout.columns)))
        t = layout.factor(theta)
        t[c, c] = RELEASE * size[c]
    else:
        more = trapezoid(layout.order, layout.rank + 1)
        v = vectors[:, 0] * (1.0 if vectors[0, 0] >= 0.0 else -1.0)
        t = layout.factor(theta)
        t[null, null[0]] = RELEASE * size[null] * v
        t[null[0], null[0]] = max(t[null[0], null[0]], PROBE * size[null[0]])
    return more, _with(search, x, layout.size, t[more.rows, more.columns])


def trapezoid(order: Ints, rank: int) -> Layout:
    """The first columns of the lower triangle."""
    rows, columns = lower_entries(len(order))
    return Layout(order, rows[columns < rank], columns[columns < rank])


def pivoted(s: Floats, rank: int) -> tuple[Ints, Floats]:
    """(pivots (k,), L (k, k)) with s[pivots][:, pivots] = L L' to that rank, the largest remaining diagonal first."""
    k = len(s)
    pivots, low, rest = np.arange(k), np.zeros((k, k)), s.copy()
    for c in range(rank):
        best = c + int(np.argmax(np.diag(rest)[c:]))
        swap = np.arange(k)
        swap[[c, best]] = best, c
        pivots, low, rest = pivots[swap], low[swap], rest[np.ix_(swap, swap)]
        low[c:, c] = rest[c:, c] / np.sqrt(max(rest[c, c], 1e-300))
        rest = rest - np.outer(low[:, c], low[:, c])
    return pivots, low


def _with(search: Search, x: Floats, old: int, theta: Floats) -> Floats:
    return np.concatenate([x[: search.first], theta, x[search.first + old :]])
