"""Mixed models whose crossed terms are too large to be factored: systems with M by conjugate gradients (native/krylov.cpp).

log|M| = log|M_aa| + log|G| + tr log(G^-1/2 S G^-1/2), the last by stochastic Lanczos quadrature.
Source: Ubaru, Chen and Saad (2017), SIAM J. Matrix Anal. Appl. 38, 1075-1099, algorithm 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from .families import FamilyKernel, LinkKernel, floats, maybe_shaped, shaped
from .matrix import Floats
from .native import native
from .rows import Rows
from .sparse import NOWHERE, Directions, SparseLmm, SparseMixed, SparseTerm, checked_terms

WIDE = 8


class How(NamedTuple):
    """How far an evaluation goes.

    tol : relative residual of solves with M; probes : of those for random probes; exact : 0, nothing; 1, log|M| from a dense factor of S;
    2, its inverse too, so that the gradient is exact
    """

    tol: float = 1e-10
    probes: float = 1e-4
    exact: int = 0

    def packed(self) -> tuple[Floats, int]:
        """As the kernel takes it."""
        return np.array([self.tol, self.probes]), self.exact


class System:
    """What both models answer of their system with M, at the last evaluation."""

    __slots__ = ("handle",)
    handle: Any

    def probe(self, tol: float) -> bool:
        """Solve for the probes; whether all were solved."""
        return bool(self.handle.probe(tol))

    def redraw(self, groups: int, seed: int) -> None:
        """Take other probes, groups of WIDE."""
        self.handle.redraw(groups, seed)

    def log_quadratures(self) -> Floats:
        """(probes, 3) e'log(S_)e, e'(I - S_)e less its expectation, and e'(I - S_)^2 e of random signs e, S_ = G^-1/2 S G^-1/2."""
        side, mean = self.shape()[2], np.array([0.0, float(self.handle.remainder()), 0.0])
        values = [side * np.array(quadrature(*column)) for column in columns(self.handle.recurrences())]
        return np.asarray(np.array(values) - mean)

    def square_norm(self) -> float:
        """tr (I - S_)^2 of two random intercepts; NaN for others, and where it takes too many products."""
        return float(self.handle.square_norm())

    def inverse_blocks(self, exact: bool) -> list[Floats]:
        """Blocks of M^-1 by term: levels one after the other; exact after an evaluation with a factor of S."""
        out: list[Floats] = self.handle.inverse_blocks(exact)
        return out

    def release(self) -> None:
        """Give the memory of the dense S back."""
        self.handle.release()

    def shape(self) -> tuple[int, int, int]:
        """Levels, effects, and effects of all terms but the one with most levels."""
        out: tuple[int, int, int] = self.handle.shape()
        return out

    def most_steps(self) -> int:
        """Steps of the longest solve so far."""
        return int(self.handle.most_steps())


def columns(recurrences: list[tuple[Floats, Floats]]) -> Iterator[tuple[Floats, Floats]]:
    """(alpha, beta) of each probe, as far as it went."""
    for alpha, beta in recurrences:
        for k in range(WIDE):
            steps = int(np.argmin(alpha[:, k] != 0.0)) if (alpha[:, k] == 0.0).any() else len(alpha)
            yield alpha[:steps, k], beta[:steps, k]


def quadrature(alpha: Floats, beta: Floats) -> tuple[float, float, float]:
    """Of a unit vector e_1 in the Lanczos basis: e_1'log(T)e_1, e_1'(I - T)e_1 and e_1'(I - T)^2 e_1, from steps of conjugate gradients."""
    steps = len(alpha)
    if not steps:
        return 0.0, 0.0, 0.0
    t = np.zeros((steps, steps))
    below = beta[: steps - 1] / alpha[: steps - 1]
    t[np.arange(steps), np.arange(steps)] = 1.0 / alpha + np.concatenate([[0.0], below])
    off = np.sqrt(beta[: steps - 1]) / alpha[: steps - 1]
    t[np.arange(steps - 1), np.arange(1, steps)] = t[np.arange(1, steps), np.arange(steps - 1)] = off
    values, vectors = np.linalg.eigh(t)
    weights = vectors[0] ** 2
    return (
        float(weights @ np.log(np.maximum(values, np.finfo(np.float64).tiny))),
        float(weights @ (1.0 - values)),
        float(weights @ (1.0 - values) ** 2),
    )


def crossed_terms(rows: Rows, terms: list[SparseTerm]) -> tuple[list[tuple[Any, ...]], int]:
    """As `checked_terms`; raises ValueError for one term, which leaves no system when it is eliminated."""
    if len(terms) < 2:
        raise ValueError("conjugate gradients need two random terms")
    return checked_terms(rows, terms)


class KrylovLinear(System):
    """The cross-products of an LMM, as `SparseLinear`."""

    __slots__ = ("n", "p", "size")

    def __init__(self, rows: Rows, terms: list[SparseTerm], groups: int, seed: int) -> None:
        packed, self.size = crossed_terms(rows, terms)
        self.n, self.p = rows.n, rows.p
        self.handle = native().KrylovLinear(rows.handle, packed, groups, seed, rows.threads)

    def evaluate(self, lambdas: Floats, reml: bool, how: How, directions: Directions = NOWHERE, order: int = 0) -> SparseLmm:
        """As `SparseLinear.evaluate`; without a dense factor the deviance lacks tr log S_."""
        return SparseLmm(*self.handle.evaluate(shaped(lambdas, self.size), reml, *directions.packed(), order, *how.packed()))

    def moments(self) -> Floats:
        """As `SparseLinear.moments`."""
        out: Floats = self.handle.moments()
        return out

    def respond(self, y: Floats) -> None:
        """Put another response in the place of the rows' own."""
        self.handle.respond(shaped(y, self.n))

    def removed(self) -> tuple[float, float]:
        """Root mean squares of what the least-squares fit leaves of the response, and of response - offset."""
        out: tuple[float, float] = self.handle.removed()
        return out


class KrylovLaplace(System):
    """The rows of a GLMM, as `SparseLaplace`."""

    __slots__ = ("n", "p", "size")

    def __init__(self, rows: Rows, terms: list[SparseTerm], own: tuple[Floats | None, Floats | None], groups: int, seed: int) -> None:
        packed, self.size = crossed_terms(rows, terms)
        self.n, self.p = rows.n, rows.p
        given = (maybe_shaped(a, rows.n) for a in own)
        self.handle = native().KrylovLaplace(rows.handle, packed, *given, groups, seed, rows.threads)

    def evaluate(
        self,
        kernels: tuple[FamilyKernel, LinkKernel],
        at: tuple[Floats, Floats, Floats],
        how: How,
        directions: Directions = NOWHERE,
        order: int = 0,
        tol: float = 1e-16,
    ) -> SparseMixed:
        """As `SparseLaplace.evaluate`, at (beta, lambdas, psi); without a dense factor the deviance lacks tr log S_."""
        beta, lambdas, psi = shaped(at[0], self.p), shaped(at[1], self.size), floats(at[2])
        return SparseMixed(*self.handle.evaluate(*kernels, beta, lambdas, psi, *directions.packed(), order, tol, *how.packed()))

    def moments(self, kernels: tuple[FamilyKernel, LinkKernel], beta: Floats, psi: Floats) -> Floats:
        """As `SparseLaplace.moments`."""
        out: Floats = self.handle.moments(*kernels, shaped(beta, self.p), floats(psi))
        return out
