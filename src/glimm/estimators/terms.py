"""The random terms as the kernels take them: working columns, rows by level, factors of all terms one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..covariance.layout import Layout, Shape, Shapes, named_theta, shape, slices
from ..design.clusters import gather
from ..design.coordinates import effects_to_named
from ..design.records import RandomTerm
from ..kernels import Directions, SparseTerm
from ..kernels.matrix import Codes, Floats, Ints

ENTRIES = ("us", "diag")


@dataclass(frozen=True, slots=True)
class Effects:
    """One term's working columns.

    z : (n, q) in the design's row order, row-major, or None for a random intercept; back : (q, q) C, b_named = C b_work
    place, pattern, patterns : under ou, the effect of each row among those of its level, the pattern of each level, their times
    """

    term: RandomTerm
    z: Floats | None
    q: int
    back: Floats
    place: Codes | None = None
    pattern: Codes | None = None
    patterns: tuple[Floats, ...] | None = None

    def taken(self, order: Ints) -> Floats | None:
        """z with its columns in another order."""
        if self.z is None or np.array_equal(order, np.arange(self.q)):
            return self.z
        return np.ascontiguousarray(self.z[:, order])

    def shape(self) -> Shape:
        """All parameters of the structure."""
        return shape(self.term.structure, self.q, self.patterns)

    def squares(self, size: Floats | None) -> tuple[Floats, int]:
        """(q,) sums over rows of size z^2, and over how many effects of a column they are."""
        n = len(self.term.refs)
        total = float(n) if size is None else float(size.sum())
        count = len(self.term.levels) if self.term.times is None else len(self.term.times)
        if self.z is None:
            return np.full(self.q if self.patterns is None else len(self.patterns[0]), total), count
        return np.asarray(np.einsum("ij,ij->j", self.z, self.z if size is None else self.z * size[:, None])), count

    def sparse(self) -> SparseTerm:
        """The term for the elimination."""
        sizes = [self.q] if self.patterns is None else [len(times) for times in self.patterns]
        return SparseTerm(self.term.refs, len(self.term.levels), self.z, self.place, self.pattern, np.array(sizes, dtype=np.int64))


def working_effects(term: RandomTerm) -> Effects:
    """((z - center) / scale) mix."""
    back = effects_to_named(term)
    if term.times is not None:
        return Effects(term, None, 1, back, *_patterns(term))
    if term.names == ("Intercept",):
        return Effects(term, None, 1, back)
    k = len(term.names)
    z = np.empty((len(term.refs), k))
    for c in range(k):
        if c == term.intercept:
            z[:, c] = 1.0
        else:
            np.subtract(term.z[:, c], term.center[c], out=z[:, c])
            z[:, c] /= term.scale[c]
    plain = np.array_equal(term.mix, np.eye(len(term.mix)))
    return Effects(term, z if plain else np.ascontiguousarray(z @ term.mix), k, back)


def _patterns(term: RandomTerm) -> tuple[Codes, Codes, tuple[Floats, ...]]:
    """Levels with equal times share a pattern."""
    assert term.times is not None
    assert term.cells is not None
    assert term.cell_refs is not None
    starts = np.searchsorted(term.cell_refs, np.arange(len(term.levels) + 1))
    known: dict[bytes, int] = {}
    patterns: list[Floats] = []
    pattern = np.empty(len(term.levels), dtype=np.int32)
    for j in range(len(term.levels)):
        times = np.ascontiguousarray(term.times[starts[j] : starts[j + 1]], dtype=np.float64)
        pattern[j] = known.setdefault(times.tobytes(), len(patterns))
        if pattern[j] == len(patterns):
            patterns.append(times)
    place = (term.cells - starts[term.refs]).astype(np.int32)
    return place, pattern, tuple(patterns)


def by_level(term: RandomTerm) -> tuple[Ints, Ints]:
    """(order (n,), starts (J + 1,)): level j is rows order[starts[j]:starts[j + 1]], stable in their own order."""
    return gather(term.refs, len(term.levels))


def lambdas(shapes: Shapes, theta: Floats) -> Floats:
    """The factors of all terms."""
    return np.concatenate([s.lambdas(theta[at]) for s, at in zip(shapes, slices(shapes), strict=True)])


def directions(shapes: Shapes, theta: Floats) -> Directions:
    """Their derivatives in all parameters."""
    at: list[int] = []
    sizes: list[int] = []
    values: list[Floats] = []
    begin = 0
    for s, part in zip(shapes, slices(shapes), strict=True):
        moved = s.dlambdas(theta[part])
        at += [begin] * s.size
        sizes += [moved.shape[1]] * s.size
        values.append(moved.ravel())
        begin += moved.shape[1]
    return Directions(np.array(at, dtype=np.int64), np.array(sizes, dtype=np.int64), np.concatenate([np.zeros(0), *values]))


def by_term(shapes: Shapes, entries: Floats) -> tuple[Floats, ...]:
    """Per term (k,) the diagonal entries of something laid out as lambdas; the mean over patterns under ou."""
    out = []
    begin = 0
    for s in shapes:
        sizes = [s.k] if isinstance(s, Layout) else [len(times) for times in s.patterns]
        parts = []
        for k in sizes:
            parts.append(entries[begin : begin + k * k].reshape(k, k).diagonal())
            begin += k * k
        out.append(parts[0] if len(parts) == 1 else np.full(sizes[0], float(np.concatenate(parts).mean())))
    return tuple(out)


def one_factor(terms: tuple[Effects, ...]) -> bool:
    """Whether the kernels of a single grouping factor do: one term, under us or diag."""
    return len(terms) == 1 and terms[0].term.structure in ENTRIES


def roots(terms: tuple[Effects, ...], shapes: Shapes, theta: Floats) -> tuple[Floats, ...]:
    """Per term (k, k) with b = root u, effects as named; (1, 1) under ou."""
    return tuple(e.back @ s.root(theta[at]) for e, s, at in zip(terms, shapes, slices(shapes), strict=True))


def reported(terms: tuple[Effects, ...], shapes: Shapes, theta: Floats) -> Floats:
    """All parameters of the structures as they are reported."""
    parts = [named_theta(s, e.term.structure, theta[at], e.back) for e, s, at in zip(terms, shapes, slices(shapes), strict=True)]
    return np.concatenate([np.zeros(0), *parts])


def reported_many(terms: tuple[Effects, ...], shapes: Shapes, thetas: Floats) -> Floats:
    """(B, parameters) as reported, of (B, m) thetas of complete shapes; one factorisation for all under us."""
    parts = []
    for e, s, at in zip(terms, shapes, slices(shapes), strict=True):
        if not isinstance(s, Layout) or s.independent:
            parts.append(np.array([named_theta(s, e.term.structure, theta, e.back) for theta in thetas[:, at]]))
            continue
        t = np.zeros((len(thetas), s.k, s.k))
        t[:, s.rows, s.columns] = thetas[:, at]
        root = e.back @ t
        low = np.linalg.cholesky(root @ np.swapaxes(root, 1, 2))
        parts.append(low[:, s.rows, s.columns])
    return np.concatenate(parts, axis=1)


def placed_effects(effects: Effects, s: Shape, theta: Floats, u: Floats) -> Floats:
    """b = Lambda u (J, k), as named; cells (C, 1) under ou."""
    if effects.patterns is None or isinstance(s, Layout):
        return np.asarray(u.reshape(-1, effects.q) @ (effects.back @ s.root(theta)).T)
    b = np.empty(len(u))
    for low, cells, _ in by_pattern(effects, s, theta):
        b[cells] = u[cells] @ low.T
    return b[:, None]


def placed_variances(effects: Effects, s: Shape, theta: Floats, blocks: Floats) -> Floats:
    """Lambda P Lambda' (J, k, k) of blocks of M^-1, as named; cells (C, 1, 1) under ou."""
    if effects.patterns is None or isinstance(s, Layout):
        root, q = effects.back @ s.root(theta), effects.q
        return np.asarray(root @ blocks.reshape(-1, q, q) @ root.T)
    assert effects.pattern is not None
    variance = np.empty(sum(len(effects.patterns[k]) for k in effects.pattern))
    for low, cells, entries in by_pattern(effects, s, theta):
        q = len(low)
        variance[cells] = np.einsum("ac,jcd,ad->ja", low, blocks[entries].reshape(-1, q, q), low)
    return variance[:, None, None]


def by_pattern(effects: Effects, s: Shape, theta: Floats) -> Iterator[tuple[Floats, Ints, Ints]]:
    """Under ou, for each pattern of times: Lambda (q, q), its levels' cells (levels, q) and entries of the blocks (levels, q q)."""
    assert effects.patterns is not None
    assert effects.pattern is not None
    values = s.lambdas(theta)
    sizes = np.array([len(times) for times in effects.patterns])
    at = np.concatenate([[0], np.cumsum(sizes**2)])
    of_level = sizes[effects.pattern]
    first, block = np.concatenate([[0], np.cumsum(of_level)])[:-1], np.concatenate([[0], np.cumsum(of_level**2)])[:-1]
    for k, q in enumerate(sizes.tolist()):
        levels = np.flatnonzero(effects.pattern == k)
        yield values[at[k] : at[k + 1]].reshape(q, q), first[levels][:, None] + np.arange(q), block[levels][:, None] + np.arange(q * q)
