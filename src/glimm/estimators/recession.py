"""Separation, exactly: d != 0 with s_i x_i'd >= 0 where the outcome is at an end of its range and x_i'd = 0 where it is not.

Along such a d no row's likelihood falls and that of the rows with s_i x_i'd > 0 rises for ever: there is no finite estimate. A linear
programme finds all these rows, max sum z_i, z_i <= s_i x_i'd, 0 <= z_i <= 1. With cutting planes it holds some of them only: the others
are passed through, in memory or in a file, and are told alike.
Sources: Albert and Anderson (1984), Biometrika 71, 1-10; Konis (2007), thesis, Oxford, chapter 4; Geyer (2009), Electronic Journal of
Statistics 3, 259-289; Correia, Guimaraes and Zylkin (2021), arXiv:1903.01633.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..design.coordinates import to_named
from ..design.records import Design, Part
from ..design.take import take_matrix
from ..design.totals import block_sum
from ..family import Family, Link
from ..family.records import POWER
from ..kernels import Rows
from ..kernels.matrix import Bools, Floats, Ints

TIED = 1e-9
RANK = 1e-9
MOVED = 1e-6
FARTHEST = 1e4
NO_SQUARE, CLEAR_SQUARE = 1e-12, 1e-6
SMALL = 0.5
DIGITS, PROBES = 12, 4
FIRST_ROWS, MORE_ROWS, ROUNDS = 800, 1000, 100
TIGHT = {"primal_feasibility_tolerance": 1e-9, "dual_feasibility_tolerance": 1e-9}
TWO_ENDS = ("logit", "probit", "cloglog", "loglog", "cauchit")
Sided = Callable[[], Iterable[tuple[Design, Floats]]]
"""Rows in order, in pieces of whole blocks: designs with the `ends` (n,) of their outcomes."""
Scored = Callable[[], Iterable[tuple[Design, Floats, Floats, Floats]]]
"""The same with d1 and w, each (n,): x_i d1_i is a row's score, x_i x_i' w_i its information."""


@dataclass(frozen=True, slots=True)
class Separation:
    """What separates.

    rows : (m,) those that are told with certainty, by their numbers in the caller's data; complete : they are all rows
    terms : coefficients without a finite estimate; direction : named coefficients -> how they run off, the largest of size one
    """

    rows: Ints
    complete: bool
    terms: tuple[str, ...]
    direction: dict[str, float]

    @property
    def kind(self) -> Literal["complete", "quasi-complete"]:
        """Albert and Anderson's word for it."""
        return "complete" if self.complete else "quasi-complete"


def has_ends(family: Family, link: Link) -> bool:
    """Whether likelihoods of single rows rise to an end as eta goes to infinity; False too of a user's own, which are not known."""
    if not isinstance(family.kernel, int):
        return False
    if link.name in TWO_ENDS:
        return family.support == "binomial" or family.name == "gaussian"
    if link.name == "logc":
        return family.support == "binomial"
    if falls(link):
        return family.support in ("count", "nonnegative")
    return link.name == "log" and (family.support in ("count", "nonnegative", "binomial") or family.name == "gaussian")


def falls(link: Link) -> bool:
    """Whether means go to 0 as eta goes to infinity: 1 / mu and other negative powers."""
    return isinstance(link.kernel, tuple) and link.kernel[0] == POWER and link.kernel[1] < 0.0


def ends(design: Design, link: Link) -> Floats:
    """(n,) +1 or -1 where the likelihood rises to its end as eta goes to +inf or -inf, 0 where it falls both ways, NaN at weight zero."""
    s = np.zeros(design.n)
    if link.name == "logc":
        s[design.y >= 1.0] = -1.0
    else:
        s[design.y <= 0.0] = 1.0 if falls(link) else -1.0
        s[(design.y >= 1.0) & (link.name in TWO_ENDS)] = 1.0
    if design.size is not None:
        s[design.size <= 0.0] = np.nan
    return s


def row_numbers(design: Design, first: int = 0) -> Ints:
    """(n,) numbers of a design's rows in the caller's data; first : rows used before them."""
    return design.rows if len(design.rows) == design.n else np.arange(first, first + design.n)


def find(rows: Sided, part: Part) -> Separation | Literal["undecided"] | None:
    """The separation of rows with their ends, part their mean model; None where they overlap."""
    programme = Programme(rows, part)
    cone = programme.cone()
    if not isinstance(cone, Cone):
        return cone
    a = to_named(part)
    largest = np.abs(cone.span).max(axis=0)
    moved = np.any(np.abs(a @ cone.span) > MOVED * np.abs(a).sum(axis=1)[:, None] * largest, axis=1)
    d = a @ programme.plainest(cone)
    sized = np.where(moved, np.abs(d * part.scale), 0.0)
    order = [int(j) for j in np.argsort(-sized, kind="stable") if sized[j] > MOVED * sized.max()]
    direction = {part.names[j]: float(d[j] / sized.max()) for j in order}
    terms = tuple(part.names[j] for j in np.flatnonzero(moved))
    complete = bool(cone.told.all()) and not programme.between
    return Separation(programme.numbers(cone.told), complete, terms, direction)


def overlap(rows: Scored, part: Part, score: Floats) -> bool:
    """Whether the scores at the estimates prove that nothing separates; False proves nothing.

    Rows overlap if sum s_i l_i x_i + sum m_i x_i = 0 for some l_i > 0 (rows at an end) and m_i (others). The rows' own scores d1 are such
    numbers at a maximum, and near one they are after a correction, l_i (1 - s_i x_i'u), G u = score, that leaves them positive.
    """
    if not np.isfinite(score).all():
        return False
    g, total, n = np.zeros((part.matrix.p, part.matrix.p)), 0.0, 0
    for design, s, d1, w in rows():
        weight = np.where(np.abs(s) == 1.0, s * d1, np.where(s == 0.0, w, 0.0))
        if not np.all(weight[~np.isnan(s)] > 0.0):
            return False
        g += columns(design, weight).gram()
        total, n = block_sum(weight, total), n + design.n
    root = np.sqrt(g.diagonal())
    if not (root > 0.0).all():
        return False
    values, vectors = np.linalg.eigh(g / root[:, None] / root)
    reach = np.sqrt(n * np.sum(1.0 / root**2))
    noise = 100.0 * np.finfo(np.float64).eps * np.sqrt(len(root) * max(total, 1e-300))
    if not values[0] > noise * reach:
        return False
    u = vectors @ ((vectors.T @ (score / root)) / values) / root
    if np.sqrt(n) * float(np.abs(u).sum()) < SMALL:  # working columns have entries up to sqrt(n)
        return True
    return all(np.max(np.abs(columns(design).eta(u)[np.abs(s) == 1.0]), initial=0.0) < SMALL for design, s, _, _ in rows())


def columns(design: Design, size: Floats | None = None) -> Rows:
    """The working columns of a design's rows, size (n,) their weights."""
    part = design.mean
    return Rows(part.matrix, part.center, part.scale, size=size)


@dataclass(frozen=True, slots=True)
class Cone:
    """Directions along which no likelihood falls.

    told : (m,) of the rows at an end those that some of them move; d : (p,) one that moves all these; span : (p, k) a basis of what they
    span
    """

    told: Bools
    d: Floats
    span: Floats


class Programme:
    """The linear programme of rows: directions that those between the ends leave free, and some of those at an end.

    Ranks count the rows at an end, in order.
    """

    def __init__(self, rows: Sided, part: Part) -> None:
        self.rows, self.part, self.at_end, self.between = rows, part, 0, 0
        self.ranks, self.kept = np.zeros(0, dtype=np.int64), np.zeros((0, part.matrix.p))
        gram = np.zeros((part.matrix.p, part.matrix.p))
        for design, s in rows():
            self.at_end += int(np.sum(np.abs(s) == 1.0))
            if (s == 0.0).any():
                self.between += int(np.sum(s == 0.0))
                gram += columns(design, (s == 0.0).astype(np.float64)).gram()
        self.free = unmoved(rows, gram) if self.between else np.eye(part.matrix.p)

    def pieces(self) -> Iterator[tuple[Design, Floats, Ints, int]]:
        """(design, ends (n,), its rows at an end (m,), the rank of the first of these)."""
        first = 0
        for design, s in self.rows():
            at = np.flatnonzero(np.abs(s) == 1.0)
            yield design, s, at, first
            first += len(at)

    def numbers(self, told: Bools) -> Ints:
        """Numbers in the caller's data of the rows at an end that are told (m,)."""
        out, before = [], 0
        for design, _, at, first in self.pieces():
            out.append(row_numbers(design, before)[at[told[first : first + len(at)]]])
            before += design.n
        return np.concatenate(out)

    def dense(self, ranks: Ints) -> Floats:
        """(m, p) s_i x_i of rows at an end, by sorted ranks; they are kept."""
        new = np.setdiff1d(ranks, self.ranks)
        if len(new):
            found = [self.kept]
            for design, s, at, first in self.pieces():
                here = at[new[np.searchsorted(new, first) : np.searchsorted(new, first + len(at))] - first]
                if len(here):
                    x = (take_matrix(design.mean.matrix, here).dense() - self.part.center) / self.part.scale
                    found.append(x * s[here, None])
            self.ranks = np.concatenate([self.ranks, new])
            order = np.argsort(self.ranks, kind="stable")
            self.ranks, self.kept = self.ranks[order], np.concatenate(found)[order]
        return self.kept[np.searchsorted(self.ranks, ranks)]

    def chosen(self, ranks: Ints, among: Floats) -> Floats:
        """(m, k) different s_i x_i'N of some rows, the largest entry of each 1; rows that do not move along N left out."""
        a = self.dense(ranks) @ among
        size = np.abs(a).max(axis=1, initial=0.0)
        a, size = a[size > TIED], size[size > TIED]
        return np.asarray(np.unique(np.round(a / size[:, None], DIGITS), axis=0))

    def cone(self) -> Cone | Literal["undecided"] | None:
        """The cone of all rows, by those of some of them; None where it is a point."""
        ranks = spread(self.at_end, FIRST_ROWS)
        for _ in range(ROUNDS if self.free.shape[1] else 0):
            found = self.generic(ranks)
            if not isinstance(found, tuple):
                return found
            told, wrong, slack = self.against(*found)
            if not len(wrong):
                return Cone(told, *found)
            more = np.union1d(ranks, wrong[distinct(slack)])
            if len(more) == len(ranks):
                return "undecided"
            ranks = more
        return "undecided" if self.free.shape[1] else None

    def generic(self, ranks: Ints) -> tuple[Floats, Floats] | Literal["undecided"] | None:
        """(d, span) of the cone that these rows allow."""
        a = self.chosen(ranks, self.free)
        if not len(a):
            return None
        found = furthest(a)
        if found is None:
            return "undecided"
        v, told = found
        basis = null(a[~told], np.eye(a.shape[1]))
        if not (told.any() and basis.shape[1]):
            return None
        d = self.free @ (basis @ np.linalg.lstsq(basis, v, rcond=None)[0])
        return d / np.linalg.norm(d), self.free @ basis

    def against(self, d: Floats, span: Floats) -> tuple[Bools, Ints, Floats]:
        """All rows at an end: which a span moves (m,); ranks of those that d does not move along their end, and s_i x_i'd of these.

        The last in units of how far the span moves them. Of a large span some combinations stand for all.
        """
        probes = span @ np.random.default_rng(0).normal(size=(span.shape[1], PROBES)) if span.shape[1] > PROBES else span
        told = np.zeros(self.at_end, dtype=np.bool_)
        wrong, slacks = [np.zeros(0, dtype=np.int64)], [np.zeros(0)]
        for design, s, at, first in self.pieces():
            x = columns(design)
            slack = (s * x.eta(np.ascontiguousarray(d)))[at]
            reach = np.max([np.abs(x.eta(column / np.linalg.norm(column))) for column in probes.T], axis=0)[at]
            told[first : first + len(at)] = reach > TIED
            here = np.flatnonzero((reach > TIED) & (slack <= TIED * reach))
            wrong.append(first + here)
            slacks.append(slack[here] / reach[here])
        return told, np.concatenate(wrong), np.concatenate(slacks)

    def plainest(self, cone: Cone) -> Floats:
        """(p,) a direction that moves every row told along its end, with the smallest named coefficients: few of them where few will do."""
        from scipy.optimize import linprog

        k = cone.span.shape[1]
        if k == 1:
            return cone.d
        at = np.flatnonzero(cone.told)
        a = self.chosen(at[spread(len(at), MORE_ROWS)], cone.span)
        named = (to_named(self.part) @ cone.span) * self.part.scale[:, None]
        if self.part.intercept is not None:
            named = np.delete(named, self.part.intercept, axis=0)
        m, one = len(named), np.eye(len(named))
        solved = linprog(
            np.append(np.zeros(k), np.ones(m)),
            A_ub=np.block([[-a, np.zeros((len(a), m))], [named, -one], [-named, -one]]),
            b_ub=np.concatenate([-np.ones(len(a)), np.zeros(2 * m)]),
            bounds=[(None, None)] * k + [(0.0, None)] * m,
            method="highs",
            options=TIGHT,
        )
        if solved.x is None or not solved.x[:k].any():
            return cone.d
        d = cone.span @ solved.x[:k]
        d /= np.linalg.norm(d)
        return d if self.moves(d, cone.told) else cone.d

    def moves(self, d: Floats, told: Bools) -> bool:
        """Whether d moves every row told along its end."""
        return all(np.all((s * columns(design).eta(d))[at[told[first : first + len(at)]]] > TIED) for design, s, at, first in self.pieces())


def furthest(a: Floats) -> tuple[Floats, Bools] | None:
    """(v, rows) of max sum z, z <= a v, 0 <= z <= 1: the rows are all those that some v with a v >= 0 moves; None if it is not solved."""
    from scipy.optimize import linprog
    from scipy.sparse import csr_matrix, eye, hstack

    m, k = a.shape
    for farthest in (None, FARTHEST):  # bounds far away cost the solver digits, but some programmes it solves with them only
        solved = linprog(
            np.append(np.zeros(k), -np.ones(m)),
            A_ub=hstack([-csr_matrix(a), eye(m)], format="csr"),
            b_ub=np.zeros(m),
            bounds=[(None if farthest is None else -farthest, farthest)] * k + [(0.0, 1.0)] * m,
            method="highs",
            options=TIGHT,
        )
        if solved.x is not None:
            return np.asarray(solved.x[:k]), np.asarray(solved.x[k:] > 0.5)
    return None


def unmoved(rows: Sided, gram: Floats) -> Floats:
    """(p, k) the directions in which the rows between the ends do not move: by their cross-product, or their QR where that is not clear."""
    root = np.sqrt(np.where(gram.diagonal() > 0.0, gram.diagonal(), 1.0))
    values, vectors = np.linalg.eigh(gram / root[:, None] / root)
    if np.any((values > NO_SQUARE) & (values < CLEAR_SQUARE)):
        r = np.zeros_like(gram)
        for design, s in rows():
            r = columns(design, (s == 0.0).astype(np.float64)).qr(r)
        return null(r, np.eye(len(gram)))
    return np.asarray(vectors[:, values <= NO_SQUARE] / root[:, None])


def null(rows: Floats, among: Floats) -> Floats:
    """(p, k) the directions among the columns of a basis that do not move the rows (m, p)."""
    if not len(rows):
        return among
    moved = rows @ among
    size = np.sqrt((moved**2).sum(axis=0))
    size[size <= RANK * max(float(size.max()), 1e-300)] = 1.0
    _, values, vectors = np.linalg.svd(moved / size, full_matrices=True)
    values = np.append(values, np.zeros(len(vectors) - len(values)))
    return np.asarray(among @ (vectors[values <= RANK * np.sqrt(len(rows))].T / size[:, None]))


def spread(n: int, most: int) -> Ints:
    """Positions 0..n - 1, or at most so many of them at equal distances."""
    return np.unique(np.linspace(0, n - 1, min(n, most)).astype(np.int64)) if n else np.zeros(0, dtype=np.int64)


def distinct(slack: Floats) -> Ints:
    """Positions of rows with different slacks, at most so many, the worst among them."""
    first = np.unique(np.round(slack, DIGITS), return_index=True)[1]
    return np.asarray(np.union1d(first[: MORE_ROWS // 2], first[spread(len(first), MORE_ROWS // 2)]))
