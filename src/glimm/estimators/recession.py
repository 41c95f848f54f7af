"""Separation, exactly: d != 0 with s_i x_i'd >= 0 where the outcome is at an end of its range and x_i'd = 0 where it is not.

Along such a d no row's likelihood falls and that of the rows with s_i x_i'd > 0 rises for ever: there is no finite estimate. A linear
programme finds all these rows, max sum z_i, z_i <= s_i x_i'd, 0 <= z_i <= 1, with cutting planes where there are many rows.
Sources: Albert and Anderson (1984), Biometrika 71, 1-10; Konis (2007), thesis, Oxford, chapter 4; Geyer (2009), Electronic Journal of
Statistics 3, 259-289; Correia, Guimaraes and Zylkin (2021), arXiv:1903.01633.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..design.coordinates import to_named
from ..design.records import Design
from ..design.take import take_matrix
from ..family import Family, Link
from ..kernels import Rows
from ..kernels.matrix import Bools, Floats, Ints

TIED = 1e-9
RANK = 1e-9
MOVED = 1e-6
FARTHEST = 1e4
NO_SQUARE, CLEAR_SQUARE = 1e-12, 1e-6
DIGITS, PROBES = 12, 4
FIRST_ROWS, MORE_ROWS, ROUNDS = 800, 1000, 100
TIGHT = {"primal_feasibility_tolerance": 1e-9, "dual_feasibility_tolerance": 1e-9}
TWO_ENDS = ("logit", "probit", "cloglog", "loglog", "cauchit")


@dataclass(frozen=True, slots=True)
class Separation:
    """What separates.

    rows : (n,) bool, those that are told with certainty; complete : they are all rows
    terms : coefficients without a finite estimate; direction : named coefficients -> how they run off, the largest of size one
    """

    rows: Bools
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
    return link.name == "log" and (family.support in ("count", "nonnegative", "binomial") or family.name == "gaussian")


def ends(design: Design, link: Link) -> Floats:
    """(n,) +1 or -1 where the likelihood rises to its end as eta goes to +inf or -inf, 0 where it falls both ways, NaN at weight zero."""
    s = np.zeros(design.n)
    if link.name == "logc":
        s[design.y >= 1.0] = -1.0
    else:
        s[design.y <= 0.0] = -1.0
        s[(design.y >= 1.0) & (link.name in TWO_ENDS)] = 1.0
    if design.size is not None:
        s[design.size <= 0.0] = np.nan
    return s


def find(design: Design, s: Floats) -> Separation | Literal["undecided"] | None:
    """The separation of a design whose outcomes have the ends s (n,); None where the rows overlap."""
    part = design.mean
    programme = Programme(design, s)
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
    return Separation(cone.told, bool(np.all(cone.told | np.isnan(s))), terms, direction)


def overlap(design: Design, s: Floats, d1: Floats, w: Floats, score: Floats) -> bool:
    """Whether the scores at the estimates prove that nothing separates; False proves nothing.

    Rows overlap if sum s_i l_i x_i + sum m_i x_i = 0 for some l_i > 0 (rows at an end) and m_i (others). The rows' own scores d1 are such
    numbers at a maximum, and near one they are after a correction, l_i (1 - s_i x_i'u), G u = score, that leaves them positive.
    """
    part, one_sided = design.mean, np.abs(s) == 1.0
    weight = np.where(one_sided, s * d1, np.where(s == 0.0, w, 0.0))
    if not (np.isfinite(score).all() and np.isfinite(weight).all() and np.all(weight[~np.isnan(s)] > 0.0)):
        return False
    columns = part.matrix, part.center, part.scale
    g = Rows(*columns, size=weight).gram()
    root = np.sqrt(g.diagonal())
    if not (root > 0.0).all():
        return False
    values, vectors = np.linalg.eigh(g / root[:, None] / root)
    reach = np.sqrt(design.n * np.sum(1.0 / root**2))
    noise = 100.0 * np.finfo(np.float64).eps * np.sqrt(len(root) * max(float(weight.sum()), 1e-300))
    if not values[0] > noise * reach:
        return False
    u = vectors @ ((vectors.T @ (score / root)) / values) / root
    return bool(np.max(np.abs(Rows(*columns).eta(u)[one_sided]), initial=0.0) < 0.5)


@dataclass(frozen=True, slots=True)
class Cone:
    """Directions along which no likelihood falls.

    told : (n,) the rows that some of them move; d : (p,) one that moves all these; span : (p, k) a basis of what they span
    """

    told: Bools
    d: Floats
    span: Floats


class Programme:
    """The linear programme of a design: working columns, rows at an end of the range, directions that the other rows leave."""

    def __init__(self, design: Design, s: Floats) -> None:
        part = design.mean
        self.part, self.s = part, np.where(np.isnan(s), 0.0, s)
        columns = part.matrix, part.center, part.scale
        self.rows, self.at_end, self.free = Rows(*columns), np.flatnonzero(self.s), np.eye(part.matrix.p)
        if (s == 0.0).any():
            self.free = unmoved(Rows(*columns, size=(s == 0.0).astype(np.float64)))

    def slack(self, d: Floats) -> Floats:
        """(n,) s_i x_i'd, 0 for the rows between."""
        return self.s * self.rows.eta(np.ascontiguousarray(d))

    def chosen(self, rows: Ints, among: Floats) -> Floats:
        """(m, k) different s_i x_i'N of some rows, the largest entry of each 1; rows that do not move along N left out."""
        x = (take_matrix(self.part.matrix, rows).dense() - self.part.center) / self.part.scale
        a = np.asarray((x * self.s[rows, None]) @ among)
        size = np.abs(a).max(axis=1, initial=0.0)
        a, size = a[size > TIED], size[size > TIED]
        return np.asarray(np.unique(np.round(a / size[:, None], DIGITS), axis=0))

    def cone(self) -> Cone | Literal["undecided"] | None:
        """The cone of all rows, by those of some of them; None where it is a point."""
        rows = self.at_end[spread(len(self.at_end), FIRST_ROWS)]
        for _ in range(ROUNDS if self.free.shape[1] else 0):
            found = self.generic(rows)
            if not isinstance(found, Cone):
                return found
            slack, reach = self.slack(found.d), self.reach(found.span)
            loose = self.at_end[reach[self.at_end] > TIED]
            wrong = loose[slack[loose] <= TIED * reach[loose]]
            if not len(wrong):
                found.told[loose] = True
                return found
            more = np.union1d(rows, wrong[distinct(slack[wrong] / reach[wrong])])
            if len(more) == len(rows):
                return "undecided"
            rows = more
        return "undecided" if self.free.shape[1] else None

    def generic(self, rows: Ints) -> Cone | Literal["undecided"] | None:
        """The cone that these rows allow, told left empty."""
        a = self.chosen(rows, self.free)
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
        return Cone(np.zeros(len(self.s), dtype=np.bool_), d / np.linalg.norm(d), self.free @ basis)

    def reach(self, span: Floats) -> Floats:
        """(n,) how far a row can move along a span: 0 where it cannot. Of a large span some combinations stand for all."""
        if span.shape[1] > PROBES:
            span = span @ np.random.default_rng(0).normal(size=(span.shape[1], PROBES))
        return np.asarray(np.max([np.abs(self.slack(column / np.linalg.norm(column))) for column in span.T], axis=0))

    def plainest(self, cone: Cone) -> Floats:
        """(p,) a direction that moves every row told, with the smallest named coefficients: few of them where few will do."""
        from scipy.optimize import linprog

        at, k = np.flatnonzero(cone.told), cone.span.shape[1]
        if k == 1:
            return cone.d
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
        return d if np.all(self.slack(d)[at] > TIED) else cone.d


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


def unmoved(rows: Rows) -> Floats:
    """(p, k) the directions in which rows of size 0 or 1 do not move: by their cross-product where that is clear, else by their QR."""
    gram = rows.gram()
    root = np.sqrt(np.where(gram.diagonal() > 0.0, gram.diagonal(), 1.0))
    values, vectors = np.linalg.eigh(gram / root[:, None] / root)
    if np.any((values > NO_SQUARE) & (values < CLEAR_SQUARE)):
        return null(rows.qr(), np.eye(rows.p))
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
