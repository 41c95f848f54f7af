"""-2 log L of a family in several linear predictors as a function of all their coefficients together.

g_a = X_a'd_a, H_ab = X_a'diag(d_ab)X_b; a parameter of the family without predictors is a predictor with a constant column.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from ..design.records import Design, Part
from ..errors import GlimmError, NotYetError
from ..family import LINKS, Family
from ..family.own import Functions
from ..kernels import Rows, pair, parts_jets
from ..kernels.matrix import Block, Floats, Ints, Matrix

LARGEST: Final = 1e290
"""Derivatives beyond this are no place to stay."""
COUNTS: Final = ("poisson", "negative_binomial", "negative_binomial1")
DISPERSED: Final = ("gaussian", "gamma", "beta", "negative_binomial", "negative_binomial1")


def check_parts(family: Family, zero: bool, dispersion: bool) -> None:
    """Raises GlimmError or NotYetError for a family that cannot have the parts asked for, saying what to use."""
    name = family.name.partition("(")[0]
    if isinstance(family.kernel, Functions):
        raise NotYetError(f"zero= and dispersion= are not there for family {family.name!r}, which is your own: they need a built-in family")
    if zero and name not in COUNTS:
        other = "; for amounts with zeros use family='tweedie'" if family.support in ("positive", "nonnegative", "real") else ""
        raise GlimmError(f"zero= is the probability of an extra zero of a count, for {', '.join(COUNTS)}, not {family.name!r}{other}")
    if not dispersion:
        return
    if name == "poisson":
        raise GlimmError(
            "dispersion= needs a family with a parameter of its own, and poisson has none (variance mu): "
            "use family='negative_binomial', whose k it models"
        )
    if name not in DISPERSED:
        kind = NotYetError if family.parameters else GlimmError
        raise kind(f"dispersion= is there for {', '.join(DISPERSED)}, not for {family.name!r}")
    if not family.free:
        raise GlimmError(
            f"family {family.name!r} has a given {family.parameters[0]}, so dispersion= has nothing to model: give one of them"
        )


@dataclass(frozen=True, slots=True)
class Predictors:
    """The likelihood of a design in its parts.

    names : "mean", then "zero", then "dispersion" or "family", those that are there; parts, rows : of each
    psi : (n,) the family's parameter where it is given, None where it is a predictor or there is none
    starts : (m + 1,) where each one's parameters begin
    """

    design: Design
    family: Family
    names: tuple[str, ...]
    parts: tuple[Part, ...]
    rows: tuple[Rows, ...]
    psi: Floats | None
    starts: Ints
    threads: int

    @property
    def size(self) -> int:
        """P, all parameters."""
        return int(self.starts[-1])

    def at(self, k: int) -> slice:
        """The parameters of predictor k."""
        return slice(int(self.starts[k]), int(self.starts[k + 1]))

    def etas(self, v: Floats) -> dict[str, Floats]:
        """The linear predictors (n,) by name."""
        return {name: rows.eta(v[self.at(k)]) for k, (name, rows) in enumerate(zip(self.names, self.rows, strict=True))}

    def jets(self, v: Floats) -> tuple[Floats, Floats, Floats]:
        """(l, d1, d2) of `parts_jets` at v; derivatives in a parameter that is given come last and are not used."""
        eta = self.etas(v)
        psi = eta.get("dispersion", eta.get("family", self.psi))
        design = self.design
        kernels = self.family.kernel, design.mean.link.kernel
        return parts_jets(*kernels, design.y, eta["mean"], eta.get("zero"), psi, design.size, self.threads)

    def evaluate(self, v: Floats) -> tuple[bool, float, Floats, Floats]:
        """(finite, value, gradient, Hessian) of -2 log L."""
        density, d1, d2 = self.jets(v)
        value, m = -2.0 * float(density.sum()), len(self.names)
        gradient, hessian = np.zeros(self.size), np.zeros((self.size, self.size))
        if not (np.isfinite(value) and np.isfinite(d1[:m]).all() and np.isfinite(d2[: m * (m + 1) // 2]).all()):
            return False, np.inf, gradient, np.eye(self.size)
        for a in range(m):
            gradient[self.at(a)] = times(self.rows[a], d1[a])
            for b in range(a + 1):
                found = self.cross(a, b, d2[pair(a, b)])
                hessian[self.at(a), self.at(b)] = found
                hessian[self.at(b), self.at(a)] = found.T
        if not (np.abs(gradient).max(initial=0.0) < LARGEST and np.abs(hessian).max(initial=0.0) < LARGEST):
            return False, np.inf, np.zeros(self.size), np.eye(self.size)
        return True, value, -2.0 * gradient, -2.0 * hessian

    def cross(self, a: int, b: int, w: Floats) -> Floats:
        """X_a'diag(w)X_b of working columns."""
        one, two = self.parts[a], self.parts[b]
        if a == b:
            return Rows(one.matrix, one.center, one.scale, size=w, threads=self.threads).gram()
        center, scale = np.concatenate([one.center, two.center]), np.concatenate([one.scale, two.scale])
        joined = Rows(beside(one.matrix, two.matrix), center, scale, size=w, threads=self.threads).gram()
        return joined[: one.matrix.p, one.matrix.p :]


def predictors(design: Design, family: Family, threads: int) -> Predictors:
    """The parts of a design as predictors of its family's likelihood."""
    parts = dict(design.parts)
    if family.free and "dispersion" not in parts:
        parts["family"] = constant_part(design.n, family.estimated[0])
    given = family.parameters and not family.free
    rows = tuple(Rows(p.matrix, p.center, p.scale, offset=p.offset, threads=threads) for p in parts.values())
    starts = np.concatenate([[0], np.cumsum([p.matrix.p for p in parts.values()])]).astype(np.int64)
    psi = np.full(design.n, family.psi()[0]) if given else None
    return Predictors(design, family, tuple(parts), tuple(parts.values()), rows, psi, starts, threads)


def constant_part(n: int, name: str) -> Part:
    """A predictor that is the same number in every row."""
    matrix = Matrix(n, 1, (Block(np.zeros(1, dtype=np.int64)),))
    return Part(matrix, (name,), {}, 0, np.zeros(1), np.ones(1), None, LINKS["log"])


def beside(a: Matrix, b: Matrix) -> Matrix:
    """The columns of a, then those of b."""
    moved = tuple(Block(block.positions + a.p, block.values, block.codes) for block in b.blocks)
    return Matrix(a.n, a.p + b.p, (*a.blocks, *moved))


def times(rows: Rows, v: Floats) -> Floats:
    """X'v of working columns."""
    if rows.p == 0:
        return np.zeros(0)
    return np.asarray(rows.cluster_scores(v, np.array([0, rows.n], dtype=np.int64))[0])
