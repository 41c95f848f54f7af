"""Which parameters of a covariance are searched over, and how they give the parameters of a structure.

b = C Lambda u, Lambda = P'T : P takes the effects in another order, C goes back from working to named effects (design.coordinates).
A covariance matrix of rank r < k is T with its last k - r columns at zero, the effects in an order of pivots.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from ..kernels.matrix import Bools, Floats, Index, Ints
from . import correlated
from .correlated import CORRELATED, REACH, Correlated
from .structures import STRUCTURES, Structure, placed, structure

DIFFERENCE = 1e-5
FLAT = 1e-9


@dataclass(frozen=True, slots=True)
class Layout:
    """Entries (rows, columns) of the lower-triangular T of the effects taken in `order` (k,); all others are 0."""

    order: Ints
    rows: Index
    columns: Index

    @property
    def k(self) -> int:
        """Effects per level."""
        return len(self.order)

    @property
    def size(self) -> int:
        """Parameters."""
        return len(self.rows)

    @property
    def rank(self) -> int:
        """Columns of T that are not 0."""
        return len(set(self.columns.tolist()))

    @property
    def places(self) -> Index:
        """(size,) positions among the entries of the lower triangle, column by column."""
        return np.asarray(self.columns * self.k - self.columns * (self.columns - 1) // 2 + self.rows - self.columns)

    @property
    def diagonal(self) -> Bools:
        """(size,) entries that are standard deviations, bounded below by zero."""
        return np.asarray(self.rows == self.columns)

    @property
    def independent(self) -> bool:
        """Whether no entry lies below the diagonal."""
        return bool((self.rows == self.columns).all())

    @property
    def scales(self) -> Bools:
        """(size,) parameters that are standard deviations."""
        return self.diagonal

    @property
    def simple(self) -> bool:
        """Whether a search needs no order of pivots."""
        return self.independent

    @property
    def complete(self) -> bool:
        """Whether no parameter of the structure has been set to zero and the effects stand in their own order."""
        return self.rank == self.k and bool((self.order == np.arange(self.k)).all())

    def lambdas(self, theta: Floats) -> Floats:
        """(k k,) Lambda, row by row."""
        return self.root(theta).ravel()

    def dlambdas(self, theta: Floats) -> Floats:
        """(size, k k) its derivatives."""
        out = np.zeros((self.size, self.k, self.k))
        out[np.arange(self.size), self.order[self.rows], self.columns] = 1.0
        return out.reshape(self.size, self.k * self.k)

    def droot(self, theta: Floats) -> Floats:
        """(size, k, k) derivatives of the root."""
        return self.dlambdas(theta).reshape(self.size, self.k, self.k)

    def same(self, other: Shape) -> bool:
        """Whether the same entries of the same effects are meant."""
        if not isinstance(other, Layout):
            return False
        mine, theirs = (self.order, self.rows, self.columns), (other.order, other.rows, other.columns)
        return all(np.array_equal(a, b) for a, b in zip(mine, theirs, strict=True))

    def factor(self, theta: Floats) -> Floats:
        """(k, k) T, for effects in `order`."""
        return placed(theta, (self.rows, self.columns), self.k)

    def root(self, theta: Floats) -> Floats:
        """(k, k) P'T: b_work = root u for effects in their own order."""
        out = np.empty((self.k, self.k))
        out[self.order] = self.factor(theta)
        return out


@dataclass(frozen=True, slots=True)
class Curve:
    """Standard deviations and correlations of a structure: Lambda = D chol(R(w)), one for each pattern of times.

    patterns : (k,) times of the effects, one array under all structures but ou; begin : (size of the structure,) where a search starts
    free : parameters searched over; of the others standard deviations are 0, correlations stay at held : (size of the structure,)
    Lambda does not change where a correlation parameter is further than REACH from its start.
    """

    structure: Correlated
    patterns: tuple[Floats, ...]
    begin: Floats
    free: Bools
    held: Floats

    @property
    def k(self) -> int:
        """Effects per level, of the first pattern."""
        return len(self.patterns[0])

    @property
    def size(self) -> int:
        """Parameters."""
        return int(self.free.sum())

    @property
    def rank(self) -> int:
        """Effects with a standard deviation that is not 0."""
        m = correlated.n_sds(self.structure, self.k)
        return int(self.free[:m].sum()) if m > 1 else self.k * int(self.free[0])

    @property
    def scales(self) -> Bools:
        """(size,) parameters that are standard deviations."""
        return correlated.scales(self.structure, self.k)[self.free]

    @property
    def simple(self) -> bool:
        """A search needs no order of pivots."""
        return True

    @property
    def complete(self) -> bool:
        """Whether no standard deviation has been set to zero and no correlation to its limit."""
        return bool(self.free.all())

    @property
    def at_limit(self) -> Bools:
        """(size of the structure,) correlation parameters that stay at a limit, beside standard deviations that are not 0."""
        scales = correlated.scales(self.structure, self.k)
        return ~scales & ~self.free & bool((scales & self.free).any())

    def far(self, theta: Floats) -> Bools:
        """(size,) correlation parameters beyond their reach."""
        return np.asarray(~self.scales & (np.abs(theta - self.begin[self.free]) >= REACH))

    def flat(self, theta: Floats) -> Bools:
        """(size,) correlation parameters beyond their reach, or where Lambda does not change with them any more."""
        moved, size = np.abs(self.dlambdas(theta)), float(np.abs(self.lambdas(theta)).max())
        return np.asarray(~self.scales & (size > 0.0) & (moved.max(axis=1) <= FLAT * size))

    def par(self, theta: Floats) -> Floats:
        """(size of the structure,) all parameters."""
        scales = correlated.scales(self.structure, self.k)
        out = np.where(scales, 0.0, self.held)
        out[self.free] = theta
        return np.where(scales, out, np.clip(out, self.begin - REACH, self.begin + REACH))

    def lambdas(self, theta: Floats) -> Floats:
        """Lambda of each pattern, row by row."""
        par = self.par(theta)
        return np.concatenate([correlated.root(self.structure, par, times).ravel() for times in self.patterns])

    def dlambdas(self, theta: Floats) -> Floats:
        """(size, all entries) its derivatives."""
        par = self.par(theta)
        parts = [correlated.droot(self.structure, par, times).reshape(len(par), -1) for times in self.patterns]
        out = np.concatenate(parts, axis=1)[self.free]
        out[self.far(theta)] = 0.0
        return np.asarray(out)

    def root(self, theta: Floats) -> Floats:
        """(k, k) Lambda of the first pattern; under ou (1, 1), the standard deviation."""
        par = self.par(theta)
        return np.array([[par[0]]]) if self.structure.name == "ou" else correlated.root(self.structure, par, self.patterns[0])

    def droot(self, theta: Floats) -> Floats:
        """(size, k, k) derivatives of the root."""
        if self.structure.name != "ou":
            return self.dlambdas(theta).reshape(self.size, self.k, self.k)
        out = np.zeros((self.size, 1, 1))
        out[: int(self.free[0])] = 1.0
        return out

    def named(self, theta: Floats) -> Floats:
        """(size of the structure,) parameters as they are reported."""
        return correlated.theta(self.structure, self.par(theta), self.k)

    def dnamed(self, theta: Floats) -> Floats:
        """(size of the structure, size) its derivatives."""
        return correlated.dtheta(self.structure, self.par(theta), self.k)[:, self.free]

    def same(self, other: Shape) -> bool:
        """Whether the same parameters are meant."""
        return isinstance(other, Curve) and self.structure is other.structure and np.array_equal(self.free, other.free)


Shape = Layout | Curve
Shapes = tuple[Shape, ...]


def total(shapes: Shapes) -> int:
    """Parameters of all shapes."""
    return sum(s.size for s in shapes)


def slices(shapes: Shapes, first: int = 0) -> list[slice]:
    """Where each term's parameters stand in a vector."""
    ends = np.cumsum([first, *(s.size for s in shapes)]).tolist()
    return [slice(a, b) for a, b in pairwise(ends)]


def shape(name: str, k: int, patterns: tuple[Floats, ...] | None = None) -> Shape:
    """All parameters of the structure of that name for k effects, in their own order."""
    if name not in CORRELATED:
        return whole(structure(name), k)
    s = CORRELATED[name]
    times = patterns if patterns is not None else (np.arange(k, dtype=np.float64),)
    gaps = np.concatenate([np.diff(t) for t in times])
    k = len(times[0])
    start = np.concatenate([np.ones(correlated.n_sds(s, k)), s.start(k, float(np.median(gaps)) if len(gaps) else 1.0)])
    return Curve(s, times, start, np.ones(len(start), dtype=bool), start)


def structure_names() -> tuple[str, ...]:
    """What a formula may call a structure."""
    return (*STRUCTURES, *CORRELATED)


def theta_names(name: str, effects: tuple[str, ...], group: str) -> tuple[str, ...]:
    """Names of a term's parameters as they are reported."""
    if name in CORRELATED:
        return correlated.names(CORRELATED[name], effects, group)
    return structure(name).names(effects, group)


def start_of(layout: Shape, sds: Floats) -> Floats:
    """(size,) parameters with those standard deviations (k,) and no correlation to speak of."""
    if isinstance(layout, Curve):
        par = layout.held.copy()
        m = correlated.n_sds(layout.structure, layout.k)
        par[:m] = sds if m > 1 else sds.mean()
        return par[layout.free]
    return np.where(layout.diagonal, sds[layout.order][layout.rows], 0.0)


def without(curve: Curve, theta: Floats, held: Bools) -> Curve:
    """The curve with the held standard deviations at 0 and correlations at their limits; without its only sd these mean nothing."""
    free = curve.free.copy()
    at = np.flatnonzero(curve.free)[held]
    free[at] = False
    if curve.structure.one_sd and not free[0]:
        free[:] = False
    par = curve.par(theta)
    far = at[~correlated.scales(curve.structure, curve.k)[at]]
    par[far] = curve.begin[far] + REACH * np.sign(par[far] - curve.begin[far])
    return replace(curve, free=free, held=par)


def named_theta(layout: Shape, name: str, theta: Floats, back: Floats) -> Floats:
    """(size of the structure,) parameters as they are reported; back (k, k) is C."""
    return layout.named(theta) if isinstance(layout, Curve) else structure(name).parameters(back @ layout.root(theta))


def dnamed_theta(layout: Shape, name: str, theta: Floats, back: Floats) -> Floats:
    """(size of the structure, size of the layout) its derivatives."""
    return layout.dnamed(theta) if isinstance(layout, Curve) else jacobian(structure(name), layout, theta, back)


def whole(structure: Structure, k: int) -> Layout:
    """All parameters of a structure, the effects in their own order."""
    return Layout(np.arange(k), *structure.entries(k))


def jacobian(structure: Structure, layout: Layout, theta: Floats, back: Floats) -> Floats:
    """(size of the structure, size of the layout) derivatives of the structure's parameters; back (k, k) is C.

    By central differences where C mixes effects or T has lost rank, exact otherwise.
    """
    plain = np.array_equal(layout.order, np.arange(layout.k)) and np.count_nonzero(back - np.diag(np.diag(back))) == 0
    if plain and layout.size == structure.size(layout.k):
        return np.diag(np.diag(back)[layout.rows])
    out = np.empty((structure.size(layout.k), layout.size))
    for j in range(layout.size):
        step = DIFFERENCE * max(abs(float(theta[j])), float(np.abs(theta).max()))
        moved = [structure.parameters(back @ layout.root(theta + side * step * np.eye(layout.size)[j])) for side in (1.0, -1.0)]
        out[:, j] = (moved[0] - moved[1]) / (2.0 * step)
    return out
