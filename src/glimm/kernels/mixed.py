"""Mixed models of one random term: the blocked LMM evaluation and search, Laplace, and adaptive quadrature.

Vectors are (beta | entries of T column by column | psi), beta in working columns; objectives are -2 log L.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .families import FamilyKernel, LinkKernel, floats, maybe_shaped, shaped
from .matrix import Codes, Floats, Ints
from .native import native
from .newton import Limits, Optimum, optimum
from .rows import Rows, up_to


class LmmEvaluation(NamedTuple):
    """Profiled deviance at T; beta (p,), X'V^-1X at sigma = 1; derivatives in the entries of T, or u (J q,); blocks of M^-1 (J q q,)."""

    ok: bool
    deviance: float
    r2: float
    beta: Floats
    u: Floats | None
    information: Floats
    gradient: Floats | None
    hessian: Floats | None
    inverse_blocks: Floats | None


class MixedEvaluation(NamedTuple):
    """-2 log L at a vector (P,), gradient (P,), model Hessian (P, P), modes (J q,); on request blocks of M^-1 (J q q,), scores (J, P)."""

    ok: bool
    deviance: float
    gradient: Floats
    hessian: Floats
    u: Floats
    inverse_blocks: Floats | None
    scores: Floats | None


def _z(z: Floats | None) -> Floats | None:
    return None if z is None else np.ascontiguousarray(z, dtype=np.float64)


class LinearMixed:
    """The cross-products of an LMM, ready to be evaluated at any T.

    rows : in any order; inside, offset and least-squares fit are taken off the response.
    refs : (n,) int32 level of each row, levels : how many there are. z : (n, q), None for 1.
    """

    __slots__ = ("handle", "n", "q")

    def __init__(self, rows: Rows, refs: Codes, levels: int, z: Floats | None, q: int) -> None:
        if refs.shape != (rows.n,) or (z is None and q != 1) or (z is not None and z.shape != (rows.n, q)):
            raise ValueError(f"{rows.n} rows need as many refs and rows of z, {q} columns each")
        self.n, self.q = rows.n, q
        self.handle: Any = native().LinearMixed(rows.handle, refs, levels, _z(z), q, rows.threads)

    def mean_square(self) -> Floats:
        """(q,) mean over levels of the sum of size z^2: what a level knows of its effects."""
        out: Floats = self.handle.mean_square()
        return out

    def evaluate(self, t: Floats, reml: bool, derivatives: bool = False, blocks: bool = False) -> LmmEvaluation:
        """The profiled deviance at T (q, q lower)."""
        return LmmEvaluation(*self.handle.evaluate(shaped(t, self.q, self.q), reml, derivatives, blocks))

    def search(self, theta: Floats, rows: Ints, columns: Ints, reml: bool, limits: Limits) -> Optimum:
        """Minimise the deviance over the entries (rows, columns) of T, the others being 0."""
        return optimum(self.handle.search(floats(theta), rows, columns, reml, *limits.packed()))

    def search_many(
        self, responses: Floats, theta: Floats, rows: Ints, columns: Ints, reml: bool, limits: Limits, threads: int
    ) -> tuple[Floats, Floats, Floats]:
        """The search for each of B responses (B, n): theta (B, m), beta (B, p), and (B, 3): deviance, r2, 1 if inside its bounds."""
        given = shaped(responses, len(responses), self.n)
        out: tuple[Floats, Floats, Floats] = self.handle.search_many(given, floats(theta), rows, columns, reml, *limits.packed(), threads)
        return out

    def respond(self, y: Floats) -> None:
        """Put another response in the place of the rows' own."""
        self.handle.respond(shaped(y, self.n))

    def removed(self) -> tuple[float, float]:
        """Root mean squares of what the least-squares fit leaves of the response, and of response - offset."""
        out: tuple[float, float] = self.handle.removed()
        return out


class MixedModel:
    """A GLMM's rows by level, evaluated by Laplace or by quadrature; starts each inner iteration at the last modes."""

    __slots__ = ("handle", "p", "q")

    def __init__(self, rows: Rows, starts: Ints, z: Floats | None, q: int, trials: Floats | None, weights: Floats | None) -> None:
        if (z is None and q != 1) or (z is not None and (z.ndim != 2 or z.shape[1] != q)):
            raise ValueError(f"z needs {q} columns")
        own = maybe_shaped(trials, rows.n), maybe_shaped(weights, rows.n)
        self.p, self.q = rows.p, q
        self.handle: Any = native().MixedModel(rows.handle, up_to(starts, rows.n), _z(z), q, *own, rows.threads)

    def _vector(self, vector: Floats) -> Floats:
        least = self.p + self.q * (self.q + 1) // 2
        if len(vector) < least:
            raise ValueError(f"the vector has {len(vector)} entries, not {least} and those of the family")
        return floats(vector)

    def laplace(self, family: FamilyKernel, link: LinkKernel, vector: Floats, order: int, blocks: bool = False) -> MixedEvaluation:
        """order 0: value; 1: with gradient; 2: with model Hessian."""
        return MixedEvaluation(*self.handle.laplace(family, link, self._vector(vector), order, blocks))

    def laplace_hessian(self, family: FamilyKernel, link: LinkKernel, vector: Floats, places: Ints | None = None) -> Floats | None:
        """(m, m) exact Hessian of the Laplace objective in m entries of the vector, by default all; None where it cannot be evaluated."""
        at = np.arange(len(vector)) if places is None else np.ascontiguousarray(places, dtype=np.int64)
        out: Floats | None = self.handle.laplace_hessian(family, link, self._vector(vector), at)
        return out

    def quadrature(
        self,
        family: FamilyKernel,
        link: LinkKernel,
        vector: Floats,
        order: int,
        nodes: Floats,
        log_weights: Floats,
        *,
        scores: bool = False,
        blocks: bool = False,
    ) -> MixedEvaluation:
        """nodes (K, q) for the weight exp(-x^2), log_weights (K,) = log w + |x|^2."""
        return MixedEvaluation(
            *self.handle.quadrature(
                family, link, self._vector(vector), order, shaped(nodes, len(log_weights), self.q), floats(log_weights), blocks, scores
            )
        )
