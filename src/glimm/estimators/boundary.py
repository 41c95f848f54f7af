"""Covariance matrices that lose rank: where a standard deviation runs to zero it is set to zero, and the slope there is checked.

With -2 log L = d(Sigma) and G = dd/dSigma: Sigma of less than full rank is a minimum if G is not negative in any direction that
Sigma does not have. In T, Sigma = T T': dd/dT = 2 G T, so a column of T at a small multiple of a unit vector shows its column of G.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from ..covariance.correlated import REACH, n_sds, root
from ..covariance.layout import Curve, Layout, Shape, Shapes, slices, start_of, total, without
from ..covariance.structures import lower_entries
from ..kernels import Limits, Optimum
from ..kernels.matrix import Bools, Floats, Ints

FLOOR = 1e-3
PROBE = 1e-2
RELEASE = 0.1
NEGATIVE = 1e-6
NEARER = (0.6, 0.3, 0.15, 0.08, 0.0)
INSIDE = 0.2
ROUNDS = 30
BURST = 12
WEAK = 0.1
SMALL = 0.05
AGAIN = (1.0, -1.0)
RUGGED = ("toep", "ou")
SIDES = (0.0, -1.0, 1.0, -3.0, 3.0)
LOWER = 1e-4
SAME = 1e-10


@dataclass(frozen=True, slots=True)
class Search:
    """A minimisation over vectors (first | theta of each term | rest), of which theta fills the shapes.

    run : (shapes, x, limits) -> optimum; slope : (shapes, x) -> (P,) gradient; first : parameters before theta
    typical : per term (k,) size of a standard deviation of each effect
    """

    run: Callable[[Shapes, Floats, Limits], Optimum]
    slope: Callable[[Shapes, Floats], Floats]
    first: int
    typical: tuple[Floats, ...]
    cap: float
    tol: float
    max_iter: int


@dataclass(frozen=True, slots=True)
class TermSearch:
    """The same search seen from one term, the other shapes as they are: first counts what stands before its parameters."""

    whole: Search
    shapes: Shapes
    term: int

    @property
    def first(self) -> int:
        """Parameters before the term's own."""
        return self.whole.first + sum(s.size for s in self.shapes[: self.term])

    @property
    def typical(self) -> Floats:
        """(k,) sizes of standard deviations."""
        return self.whole.typical[self.term]

    def swapped(self, shape: Shape) -> Shapes:
        """The shapes with another one for this term."""
        return (*self.shapes[: self.term], shape, *self.shapes[self.term + 1 :])

    def run(self, shape: Shape, x: Floats, limits: Limits) -> Optimum:
        """The minimisation with that shape."""
        return self.whole.run(self.swapped(shape), x, limits)

    def slope(self, shape: Shape, x: Floats) -> Floats:
        """The gradient with that shape."""
        return self.whole.slope(self.swapped(shape), x)


@dataclass(frozen=True, slots=True)
class Settled:
    """Where it ended: an optimum over the parameters of the shapes."""

    optimum: Optimum
    shapes: Shapes

    def theta(self, first: int) -> Floats:
        """All parameters of the shapes."""
        return self.optimum.x[first : first + total(self.shapes)]


def settle(search: Search, shapes: Shapes, x: Floats) -> Settled:
    """The lowest end of a search from x and, for toep, ou and where a structure of several standard deviations ended at a limit, from
    other correlations to either side: likelihoods of such structures have several local optima, and a singular one is often the worse.

    Its evaluations are those of the search that found it.
    """
    best = settle_from(search, shapes, x)
    ended = [isinstance(s, Curve) and (s.structure.name in RUGGED or not (s.structure.one_sd or s.complete)) for s in best.shapes]
    if not any(ended):
        return best
    for shift in AGAIN:
        start = x.copy()
        for at, s, e in zip(slices(shapes, search.first), shapes, ended, strict=True):
            if isinstance(s, Curve) and e:
                start[at] = np.where(s.scales, x[at], s.begin[s.free] + shift)
        other = settle_from(search, shapes, start)
        if other.optimum.converged and other.optimum.value < best.optimum.value - LOWER:
            best = other
    return best


def settle_from(search: Search, shapes: Shapes, x: Floats) -> Settled:
    """Minimise; set to zero what runs there, and let go what should not have been.

    A long run is interrupted to take the effects in the order of pivots: a small entry on the diagonal of T above large ones makes
    the coordinates bad, and where the last pivot is small the search goes on without it.
    """
    floor, evaluations, left = FLOOR, 0, search.max_iter
    tried: set[int] = set()
    best: Settled | None = None
    for _ in range(ROUNDS):
        burst = left if all(s.simple for s in shapes) else min(BURST, left)
        optimum = search.run(shapes, x, limits(search, shapes, len(x), floor, burst))
        evaluations += optimum.evaluations
        left -= max(optimum.iterations, 1)
        if best is None or optimum.value <= best.optimum.value + 1e-11 * abs(optimum.value) + 1e-7:
            best = Settled(optimum, shapes)
        held = [
            (optimum.floor[at] & s.scales)
            | (s.flat(optimum.x[at]) if isinstance(s, Curve) and optimum.converged else np.zeros(s.size, dtype=bool))
            for at, s in zip(slices(shapes, search.first), shapes, strict=True)
        ]
        gone = any(h.any() for h in held)
        if not gone and optimum.converged:
            better, x = well_placed(search, shapes, optimum.x)
            if better is not shapes:
                shapes = better
                continue
            freed, tests = release(search, shapes, optimum.x)
            evaluations += tests
            if freed is None:
                break
            shapes, x = freed
            floor *= 1e-3
        elif left <= 0 or not np.isfinite(optimum.value):
            break
        elif gone:
            x = optimum.x
            for t, h in enumerate(held):
                if h.any():
                    one = TermSearch(search, shapes, t)
                    smaller, x = reduced(one, shapes[t], x, h)
                    shapes = one.swapped(smaller)
        else:
            shapes, x, extra = pivot_all(search, shapes, optimum, floor, tried)
            evaluations += extra
    assert best is not None
    if best.optimum is not optimum and not best.optimum.converged and left > 0:  # a way that led higher: back to where it branched off
        x = best.optimum.x
        best = Settled(search.run(best.shapes, x, limits(search, best.shapes, len(x), floor, left)), best.shapes)
        evaluations += best.optimum.evaluations
    return replace(best, optimum=replace(best.optimum, evaluations=evaluations))


def release(search: Search, shapes: Shapes, x: Floats) -> tuple[tuple[Shapes, Floats] | None, int]:
    """The first term that should have more than it has, with a little of it, and how many slopes were tried."""
    tests = 0
    for t, s in enumerate(shapes):
        one = TermSearch(search, shapes, t)
        freed: tuple[Shape, Floats] | None = None
        if isinstance(s, Curve) and s.at_limit.any():
            freed = released_correlation(one, s, x)
            tests += 1
        if freed is None and s.rank < s.k:
            freed = released(one, s, x) if isinstance(s, Layout) else released_sd(one, s, x)
            tests += 1
        if freed is not None:
            return (one.swapped(freed[0]), freed[1]), tests
    return None, tests


def pivot_all(search: Search, shapes: Shapes, optimum: Optimum, floor: float, tried: set[int]) -> tuple[Shapes, Floats, int]:
    """Every term in the order of its pivots, and without its last where that is small and not needed."""
    x, evaluations = optimum.x, 0
    for t, s in enumerate(shapes):
        if not isinstance(s, Layout) or s.simple:
            continue
        one = TermSearch(search, shapes, t)
        ordered, x, weakest = pivoted_order(one, s, x)
        shapes = one.swapped(ordered)
        if weakest < WEAK and t not in tried:
            tried.add(t)
            one = TermSearch(search, shapes, t)
            trial, smaller = without_last(one, ordered, x, floor)
            evaluations += trial.evaluations + 1
            at = TermSearch(search, one.swapped(smaller), t)
            if trial.value <= optimum.value and released(at, smaller, trial.x) is None:
                shapes, x = at.shapes, trial.x
    return shapes, x, evaluations


def well_placed(search: Search, shapes: Shapes, x: Floats) -> tuple[Shapes, Floats]:
    """The same shapes, or with terms in the order of their pivots where an entry on the diagonal of T stands above large ones."""
    for t, s in enumerate(shapes):
        if not isinstance(s, Layout) or s.simple:
            continue
        one = TermSearch(search, shapes, t)
        low = np.abs(s.factor(x[one.first : one.first + s.size]) / one.typical[s.order][:, None])
        if np.any(low.diagonal()[: s.rank] < SMALL * low.max(axis=0)[: s.rank]):
            ordered, x, _ = pivoted_order(one, s, x)
            shapes = one.swapped(ordered)
    return shapes, x


def without_last(search: TermSearch, layout: Layout, x: Floats, floor: float) -> tuple[Optimum, Layout]:
    """A short search without the last pivot."""
    last = (layout.rows == layout.columns) & (layout.columns == layout.rank - 1)
    smaller, x = reduced(search, layout, x, last)
    assert isinstance(smaller, Layout)
    return search.run(smaller, x, limits(search.whole, search.swapped(smaller), len(x), floor, BURST)), smaller


def pivoted_order(search: TermSearch, layout: Layout, x: Floats) -> tuple[Layout, Floats, float]:
    """The same matrix with the effects in the order of its pivots, and the last pivot's share of the first."""
    size = search.typical[layout.order]
    t = layout.factor(x[search.first : search.first + layout.size]) / size[:, None]
    pivots, low = pivoted(t @ t.T, layout.rank)
    ordered = trapezoid(layout.order[pivots], layout.rank)
    values = (low * size[pivots][:, None])[ordered.rows, ordered.columns]
    last = layout.rank - 1
    return ordered, _with(search, x, layout.size, values), float(low[last, last] / low[0, 0])


def limits(search: Search, shapes: Shapes, size: int, floor: float, max_iter: int) -> Limits:
    """Standard deviations stay above a share of their typical size."""
    scales = np.zeros(size, dtype=bool)
    lower = np.full(size, -np.inf)
    for at, s, typical in zip(slices(shapes, search.first), shapes, search.typical, strict=True):
        scales[at] = s.scales
        lower[at] = np.where(s.scales, floor * start_of(s, typical), -np.inf)
    return Limits(lower, scales, np.ones(size, dtype=bool), search.cap, search.tol, max_iter)


def reduced(search: TermSearch, shape: Shape, x: Floats, held: Bools) -> tuple[Shape, Floats]:
    """The shape without what is held at its floor, and the vector there."""
    theta = x[search.first : search.first + shape.size]
    smaller: Shape
    if isinstance(shape, Curve):
        smaller = without(shape, theta, held)
        values = theta[smaller.free[shape.free]]
    elif shape.independent:
        smaller, values = Layout(shape.order, shape.rows[~held], shape.columns[~held]), theta[~held]
    else:
        size = search.typical[shape.order]
        t = shape.factor(np.where(held, 0.0, theta)) / size[:, None]
        rank = shape.rank - int(held.sum())
        pivots, low = pivoted(t @ t.T, rank)
        smaller = trapezoid(shape.order[pivots], rank)
        values = (low * size[pivots][:, None])[smaller.rows, smaller.columns]
    return smaller, np.concatenate([x[: search.first], values, x[search.first + shape.size :]])


def released_sd(search: TermSearch, curve: Curve, x: Floats) -> tuple[Curve, Floats] | None:
    """The curve with its standard deviations back if -2 log L falls as one of them grows; None at a minimum.

    How it falls depends on correlations, which may mean nothing yet: other values of those are tried as well.
    """
    m = n_sds(curve.structure, curve.k)
    theta = x[search.first : search.first + curve.size]
    typical = search.typical if m > 1 else np.array([search.typical.mean()])
    zero = np.flatnonzero(~curve.free[:m])
    probe = FLOOR * PROBE * typical[zero]
    for par, idle in beside_zero(curve, theta):
        back = curve.free.copy()
        back[:m] = True
        if idle or curve.structure.one_sd:
            back[:] = True
        full = replace(curve, free=back)
        par[zero] = probe
        slope = search.slope(full, _with(search, x, curve.size, par[back]))[search.first : search.first + full.size]
        along = slope[np.searchsorted(np.flatnonzero(back), zero)] / probe * typical[zero] ** 2
        if along.min() <= -NEGATIVE:
            par[zero] = RELEASE * typical[zero]
            return full, _with(search, x, curve.size, par[back])
    return None


def beside_zero(curve: Curve, theta: Floats) -> Iterator[tuple[Floats, bool]]:
    """The curve's parameters, and those with other correlations and the same Sigma: (par, whether correlations are others)."""
    m = n_sds(curve.structure, curve.k)
    par = curve.par(theta)
    yield par.copy(), False
    sigma = products(curve, par)
    for side in SIDES:
        other = np.concatenate([par[:m], curve.begin[m:] + side])
        if all(np.abs(a - b).max() <= SAME * np.abs(a).max() for a, b in zip(sigma, products(curve, other), strict=True)):
            yield other, True


def products(curve: Curve, par: Floats) -> list[Floats]:
    """Sigma of each pattern."""
    roots = (root(curve.structure, par, times) for times in curve.patterns)
    return [r @ r.T for r in roots]


def released_correlation(search: TermSearch, curve: Curve, x: Floats) -> tuple[Curve, Floats] | None:
    """The curve with a correlation back from its limit if -2 log L falls on the way from there; None at a minimum."""
    theta = x[search.first : search.first + curve.size]
    for c in np.flatnonzero(curve.at_limit):
        back = curve.free.copy()
        back[c] = True
        full, par = replace(curve, free=back), curve.par(theta)
        side = np.sign(par[c] - curve.begin[c])
        for share in NEARER:
            par[c] = curve.begin[c] + side * share * REACH
            if not full.flat(par[back])[int(back[:c].sum())]:
                break
        slope = search.slope(full, _with(search, x, curve.size, par[back]))[search.first : search.first + full.size]
        if side * slope[int(back[:c].sum())] > NEGATIVE:
            par[c] = curve.begin[c] + side * min(share, INSIDE) * REACH
            return full, _with(search, x, curve.size, par[back])
    return None


def released(search: TermSearch, layout: Layout, x: Floats) -> tuple[Layout, Floats] | None:
    """A layout with one more direction if -2 log L falls along it, and a vector a little way into it; None at a minimum."""
    theta, k = x[search.first : search.first + layout.size], layout.k
    size = search.typical[layout.order]
    null = np.setdiff1d(np.arange(k), layout.columns)
    full = Layout(layout.order, np.arange(k), np.arange(k)) if layout.independent else Layout(layout.order, *lower_entries(k))
    t = layout.factor(theta)
    probe = FLOOR * PROBE * size[null]
    t[null, null] = probe
    slope = search.slope(full, _with(search, x, layout.size, t[full.rows, full.columns]))[search.first : search.first + full.size]
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


def _with(search: TermSearch, x: Floats, old: int, theta: Floats) -> Floats:
    return np.concatenate([x[: search.first], theta, x[search.first + old :]])
