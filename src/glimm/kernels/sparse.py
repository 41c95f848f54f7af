"""Mixed models of any design: one elimination of all levels, under the LMM and under Laplace (native/elimination.cpp).

lambdas: the factors Lambda of all terms (of all patterns of a term) one after the other, each row by row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from .families import FamilyKernel, LinkKernel, floats, maybe_shaped, shaped
from .matrix import Codes, Floats, Ints
from .native import native
from .rows import Rows


@dataclass(frozen=True, slots=True)
class SparseTerm:
    """One random term: refs (n,) level of each row; z (n, q) row-major or None for 1.

    place : (n,) the one effect of its level that a row has, None for all; pattern : (levels,) which Lambda a level has, None for the
    first; sizes : effects per level, by pattern
    """

    refs: Codes
    levels: int
    z: Floats | None
    place: Codes | None
    pattern: Codes | None
    sizes: Ints

    def packed(self) -> tuple[Any, ...]:
        """As the kernel takes it."""
        z = None if self.z is None else np.ascontiguousarray(self.z, dtype=np.float64)
        return self.refs, self.levels, z, self.place, self.pattern, self.sizes


@dataclass(frozen=True, slots=True)
class Directions:
    """Derivatives of lambdas: parameter k moves entries at[k] .. at[k] + size[k] by the next size[k] of values."""

    at: Ints
    size: Ints
    values: Floats

    def packed(self) -> tuple[Ints, Ints, Floats]:
        """As the kernel takes them."""
        return self.at, self.size, self.values


def checked_terms(rows: Rows, terms: list[SparseTerm]) -> tuple[list[tuple[Any, ...]], int]:
    """The terms as the kernel takes them, and the size of all lambdas; raises ValueError for arrays that are not by row."""
    if not terms:
        raise ValueError("a mixed model needs a random term")
    for t in terms:
        wide = 1 if t.place is not None else int(t.sizes[0])
        by_row = [t.refs.shape == (rows.n,), t.z is None or t.z.shape == (rows.n, wide), t.place is None or t.place.shape == (rows.n,)]
        if not all(by_row) or (t.z is None and wide != 1) or (t.pattern is not None and t.pattern.shape != (t.levels,)):
            raise ValueError(f"a random term of {rows.n} rows needs as many refs and rows of z, {wide} columns each")
    return [t.packed() for t in terms], int(sum((t.sizes**2).sum() for t in terms))


NOWHERE = Directions(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64), np.zeros(0))


class SparseLmm(NamedTuple):
    """Profiled deviance; beta (p,), X'V^-1X at sigma = 1; derivatives in the parameters; half the gradient in lambdas; u by term."""

    ok: bool
    deviance: float
    r2: float
    beta: Floats
    information: Floats
    gradient: Floats | None
    hessian: Floats | None
    pulled: Floats | None
    u: list[Floats]


class SparseMixed(NamedTuple):
    """-2 log L by Laplace; gradient and model Hessian in (beta | parameters of lambdas | psi); modes u by term."""

    ok: bool
    deviance: float
    gradient: Floats
    hessian: Floats
    u: list[Floats]


def elimination_cost(n: int, terms: list[SparseTerm]) -> tuple[float, int]:
    """Products of the sparse part of a factorisation of M, and effects in the dense block at its end."""
    products, tail = native().elimination_cost(n, [t.packed() for t in terms])
    return float(products), int(tail)


class SparseLinear:
    """The cross-products of an LMM with any number of random terms, ready to be evaluated at any lambdas."""

    __slots__ = ("handle", "n", "p", "size")

    def __init__(self, rows: Rows, terms: list[SparseTerm]) -> None:
        packed, self.size = checked_terms(rows, terms)
        self.n, self.p = rows.n, rows.p
        self.handle: Any = native().SparseLinear(rows.handle, packed, rows.threads)

    def evaluate(self, lambdas: Floats, reml: bool, directions: Directions = NOWHERE, order: int = 0) -> SparseLmm:
        """order 0: value; 1: with gradient; 2: with model Hessian."""
        return SparseLmm(*self.handle.evaluate(shaped(lambdas, self.size), reml, *directions.packed(), order))

    def inverse_blocks(self) -> list[Floats]:
        """Blocks of M^-1 at the last evaluation, by term: levels one after the other."""
        out: list[Floats] = self.handle.inverse_blocks()
        return out

    def moments(self) -> Floats:
        """By diagonal entry of lambdas: the standard deviation, relative to that of the residual, that sums by level tell; 0 if none."""
        out: Floats = self.handle.moments()
        return out

    def respond(self, y: Floats) -> None:
        """Put another response in the place of the rows' own."""
        self.handle.respond(shaped(y, self.n))

    def removed(self) -> tuple[float, float]:
        """Root mean squares of what the least-squares fit leaves of the response, and of response - offset."""
        out: tuple[float, float] = self.handle.removed()
        return out

    def shape(self) -> tuple[int, int, int]:
        """Levels, effects, and effects in the dense block at the end."""
        out: tuple[int, int, int] = self.handle.shape()
        return out


class SparseLaplace:
    """The rows of a GLMM with any number of random terms; starts each inner iteration at the last modes."""

    __slots__ = ("handle", "n", "p", "size")

    def __init__(self, rows: Rows, terms: list[SparseTerm], trials: Floats | None, weights: Floats | None) -> None:
        packed, self.size = checked_terms(rows, terms)
        self.n, self.p = rows.n, rows.p
        own = maybe_shaped(trials, rows.n), maybe_shaped(weights, rows.n)
        self.handle: Any = native().SparseLaplace(rows.handle, packed, *own, rows.threads)

    def evaluate(
        self,
        kernels: tuple[FamilyKernel, LinkKernel],
        beta: Floats,
        lambdas: Floats,
        psi: Floats,
        directions: Directions = NOWHERE,
        order: int = 0,
        tol: float = 1e-16,
    ) -> SparseMixed:
        """kernels : numbers of family and link; order 0: value, 1: with gradient, 2: with model Hessian; tol : decrement of the modes."""
        at = shaped(beta, self.p), shaped(lambdas, self.size), floats(psi)
        return SparseMixed(*self.handle.evaluate(*kernels, *at, *directions.packed(), order, tol))

    def inverse_blocks(self) -> list[Floats]:
        """Blocks of M^-1 at the last evaluation, by term: levels one after the other."""
        out: list[Floats] = self.handle.inverse_blocks()
        return out

    def moments(self, kernels: tuple[FamilyKernel, LinkKernel], beta: Floats, psi: Floats) -> Floats:
        """By diagonal entry of lambdas: the standard deviation that the scores without random effects tell; 0 if none."""
        out: Floats = self.handle.moments(*kernels, shaped(beta, self.p), floats(psi))
        return out

    def leading(self) -> int:
        """The term whose levels are eliminated first: the one with most of them."""
        out: int = self.handle.leading()
        return out

    def draws(self, e: Floats) -> tuple[list[list[Floats]], Floats, float]:
        """u = mode + L^-T e for e (d, effects), by draw and term; |e|^2 (d,) and log |L| of all but the leading term."""
        out: tuple[list[list[Floats]], Floats, float] = self.handle.draws(np.ascontiguousarray(e))
        return out

    def log_ratios(self, kernels: tuple[FamilyKernel, LinkKernel], beta: Floats, lambdas: Floats, psi: Floats, draws: Floats) -> Floats:
        """(d,) log p(y, u) - log q(u), less its value at the mode, for u = mode + L^-T e, e (d, effects), at the last evaluation."""
        out: Floats = self.handle.log_ratios(
            *kernels, shaped(beta, self.p), shaped(lambdas, self.size), floats(psi), np.ascontiguousarray(draws)
        )
        return out

    def shape(self) -> tuple[int, int, int]:
        """Levels, effects, and effects in the dense block at the end."""
        out: tuple[int, int, int] = self.handle.shape()
        return out
