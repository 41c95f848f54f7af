"""Mixed models of one random term: the blocked LMM evaluation, Laplace, and adaptive quadrature.

Vectors are (beta | entries of T column by column | psi), beta in working columns; objectives are -2 log L.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .families import floats, maybe
from .matrix import Floats, Ints
from .native import native
from .rows import Rows


class LmmEvaluation(NamedTuple):
    """Profiled deviance at T; beta (p,), u (J q,), X'V^-1X at sigma = 1, derivatives in the entries of T, blocks of M^-1 (J q q,)."""

    ok: bool
    deviance: float
    r2: float
    beta: Floats
    u: Floats
    information: Floats
    gradient: Floats | None
    hessian: Floats | None
    inverse_blocks: Floats | None


class MixedEvaluation(NamedTuple):
    """-2 log L at a vector (P,), gradient (P,), model Hessian (P, P), modes (J q,), blocks of M^-1 (J q q,), scores (J, P) on request."""

    ok: bool
    deviance: float
    gradient: Floats
    hessian: Floats
    u: Floats
    inverse_blocks: Floats
    scores: Floats | None


def _z(z: Floats | None) -> Floats | None:
    return None if z is None else np.ascontiguousarray(z, dtype=np.float64)


class LinearMixed:
    """The cross-products of an LMM, ready to be evaluated at any T.

    rows : ordered by level; its y is the response with offset removed. starts : (J + 1,). z : (n, q) in the rows' own order, None for 1.
    """

    __slots__ = ("handle",)

    def __init__(self, rows: Rows, starts: Ints, z: Floats | None, q: int) -> None:
        self.handle: Any = native().LinearMixed(rows.handle, starts, _z(z), q, rows.threads)

    def evaluate(self, t: Floats, reml: bool, derivatives: bool = False, blocks: bool = False) -> LmmEvaluation:
        """The profiled deviance at T (q, q lower)."""
        return LmmEvaluation(*self.handle.evaluate(floats(t), reml, derivatives, blocks))


class MixedModel:
    """A GLMM's rows by level, evaluated by Laplace or by quadrature; starts each inner iteration at the last modes."""

    __slots__ = ("handle",)

    def __init__(self, rows: Rows, starts: Ints, z: Floats | None, q: int, trials: Floats | None, weights: Floats | None) -> None:
        self.handle: Any = native().MixedModel(rows.handle, starts, _z(z), q, maybe(trials), maybe(weights), rows.threads)

    def laplace(self, family: int, link: int, vector: Floats, order: int) -> MixedEvaluation:
        """order 0: value; 1: with gradient; 2: with model Hessian."""
        return MixedEvaluation(*self.handle.laplace(family, link, floats(vector), order))

    def quadrature(
        self, family: int, link: int, vector: Floats, order: int, nodes: Floats, log_weights: Floats, scores: bool = False
    ) -> MixedEvaluation:
        """nodes (K, q) for the weight exp(-x^2), log_weights (K,) = log w + |x|^2."""
        return MixedEvaluation(*self.handle.quadrature(family, link, floats(vector), order, floats(nodes), floats(log_weights), scores))
