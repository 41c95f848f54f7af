"""Rows of a model and the sums over them: GLM and least-squares passes.

Everything is in working columns (x - center) / scale; callers move between those and the columns as named.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .families import FamilyKernel, LinkKernel, Psi, floats, maybe, own, shaped
from .matrix import Block, Codes, Floats, Ints, Matrix, Singles, SparseColumn
from .native import native


def up_to(starts: Ints, n: int) -> Ints:
    """Starts of clusters, the last one the number of rows; raises ValueError where they are not."""
    if len(starts) == 0 or starts[0] != 0 or starts[-1] != n:
        raise ValueError(f"starts must go from 0 to {n}")
    return starts


class GlmPass(NamedTuple):
    """loglik without the terms free of eta; score (p,); information (p, p), expected; eta (n,) where it was asked for."""

    loglik: float
    score: Floats
    information: Floats
    eta: Floats | None = None


Handed = tuple[Ints, Floats | Singles | None, Codes | None, Codes | None]


def _handed(block: Block, ordered: bool, n: int) -> Handed:
    """Positions, values, codes and rows of the entries, as the kernels take them; ordered : rows are visited in another order."""
    positions, stored = np.ascontiguousarray(block.positions, dtype=np.int64), block.stored
    if isinstance(stored, SparseColumn):
        assert stored.n == n
        return (positions, stored.wide(), None, None) if ordered else (positions, stored.entries, None, stored.rows)
    assert all(a is None or len(a) == n for a in (stored, block.codes))
    if stored is not None and stored.dtype == np.float32:
        single: Singles = np.ascontiguousarray(stored, dtype=np.float32)
        return positions, single, None, None
    return positions, maybe(stored), block.codes, None


class Rows:
    """Rows ready for the kernels: matrix, response, size and offset, optionally in another order.

    order : row visited at each position, as many positions as rows or fewer; None for all as they stand
    """

    __slots__ = ("handle", "n", "p", "threads")

    def __init__(
        self,
        matrix: Matrix,
        center: Floats,
        scale: Floats,
        y: Floats | None = None,
        size: Floats | None = None,
        offset: Floats | None = None,
        order: Ints | None = None,
        threads: int = 1,
    ) -> None:
        blocks = [_handed(block, order is not None, matrix.n) for block in matrix.blocks]
        assert all(a is None or len(a) == matrix.n for a in (y, size, offset))
        self.n, self.p, self.threads = matrix.n if order is None else len(order), matrix.p, threads
        self.handle: Any = native().Rows(
            self.n, matrix.p, blocks, floats(center), floats(scale), maybe(y), maybe(size), maybe(offset), order
        )

    def glm(
        self,
        family: FamilyKernel,
        link: LinkKernel,
        beta: Floats,
        psi: Psi = (),
        information: bool = True,
        every: int = 1,
        eta: bool = False,
    ) -> GlmPass:
        """One pass of a GLM at beta (p,) and the family's own parameters psi.

        information : with the information, else that is (0, 0); every : over one chunk of rows in so many; eta : with the linear predictor
        """
        return GlmPass(*self.handle.glm_pass(family, link, shaped(beta, self.p), own(psi), information, every, eta, self.threads))

    def eta(self, beta: Floats) -> Floats:
        """(n,) offset + X beta, in the order of rows."""
        out: Floats = self.handle.linear_predictor(shaped(beta, self.p), self.threads)
        return out

    def leverages(self, w: Floats, c: Floats) -> Floats:
        """(n,) w_i x_i'C x_i."""
        out: Floats = self.handle.leverages(shaped(w, self.n), shaped(c, self.p, self.p), self.threads)
        return out

    def cluster_scores(self, d1: Floats, starts: Ints) -> Floats:
        """(K, p) sums of d1_i x_i over the rows of each cluster; d1 is in the matrix's own row order."""
        out: Floats = self.handle.cluster_scores(floats(d1), up_to(starts, self.n), self.threads)
        return out

    def refined_residual_sums(self, high: Floats, low: Floats, before: Floats | None = None) -> Floats:
        """(2, p) X'W(y - offset - X beta) on the raw columns in doubled precision, beta = high + low; before : that of the rows before."""
        held = None if before is None else shaped(before, 2, self.p).ravel()
        out: Floats = self.handle.refined_residual_score(shaped(high, self.p), shaped(low, self.p), held)
        return out

    def refined_residual_score(self, high: Floats, low: Floats) -> Floats:
        """(p,) the same, its two parts added."""
        parts = self.refined_residual_sums(high, low)
        return np.asarray(parts[0] + parts[1])

    def change(self, a: Floats, b: Floats) -> float:
        """The largest |eta(a) - eta(b)| of a row."""
        return float(np.abs(self.eta(a) - self.eta(b)).max(initial=0.0))

    def qr(self, before: Floats | None = None) -> Floats:
        """(p, p) R of W^1/2 X = QR, W = size, by blocks of rows; before : the R of the rows before."""
        out: Floats = self.handle.qr(None if before is None else shaped(before, self.p, self.p))
        return out

    def gram(self, every: int = 1) -> Floats:
        """(p, p) X'WX, W = size; every : over one chunk of rows in so many."""
        out: Floats = self.handle.gram(every, self.threads)
        return out


def column_sums(values: Floats | Singles, before: float = 0.0) -> tuple[float, float]:
    """(largest absolute value, sum) of a column, the sum by blocks of rows and added to what came before."""
    out: tuple[float, float] = native().column_sums(np.ascontiguousarray(values), before)
    return out


def column_squares(values: Floats | Singles, center: float, unit: float, before: float = 0.0) -> float:
    """Sum of ((x - center) / unit)^2, in the same way."""
    return float(native().column_squares(np.ascontiguousarray(values), center, unit, before))
