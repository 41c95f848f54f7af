"""Rows whose response is one of C levels: m = C - 1 linear predictors, probabilities of the levels, and sums over rows.

Ordinal: P(Y <= c) = h(t_c - x'b); nominal: log pi_c / pi_0 = x'b_c. With D = d pi / d eta: score D_y / pi_y, information D' diag(1 / pi) D.
The parameters are t, then b (ordinal), or b_1, b_2, ... (nominal); in working columns (x - center) / scale.
Source: McCullagh (1980), J. R. Stat. Soc. B 42, 109-142.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from ..design.coordinates import from_named, to_named
from ..design.records import Design, Part
from ..kernels import Block, Rows
from ..kernels.levels import NOMINAL, level_probabilities
from ..kernels.matrix import Floats, Ints, Matrix

LEAST = 1e-300
BLOCK = 4096


class Jet(NamedTuple):
    """probability (n, C); slope (n, C, m), its derivatives in the linear predictors; relative : slope / probability."""

    probability: Floats
    slope: Floats
    relative: Floats


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the parameters of a design are: thresholds and coefficients, or coefficients by level."""

    part: Part
    levels: int
    ordered: bool

    @property
    def splits(self) -> int:
        """m linear predictors."""
        return self.levels - 1

    @property
    def kernel(self) -> int:
        """The number of its link in native code."""
        link = self.part.link.kernel
        assert isinstance(link, int)
        return link if self.ordered else NOMINAL

    @property
    def free(self) -> Ints:
        """Columns with coefficients: all but the constant of an ordinal model, whose thresholds are the constants."""
        columns = np.arange(self.part.matrix.p)
        return columns[columns != self.part.intercept] if self.ordered and self.part.intercept is not None else columns

    @property
    def size(self) -> int:
        """P parameters."""
        return self.splits + len(self.free) if self.ordered else self.splits * self.part.matrix.p

    def names(self, shown: tuple[str, ...]) -> tuple[str, ...]:
        """Names of the parameters; shown : the levels."""
        if self.ordered:
            return (*(f"{low}|{high}" for low, high in pairwise(shown)), *(self.part.names[j] for j in self.free))
        return tuple(f"{level}: {name}" for level in shown[1:] for name in self.part.names)

    def to_named(self) -> Floats:
        """(P, P) A: parameters as named = A times the working ones."""
        if not self.ordered:
            return np.asarray(np.kron(np.eye(self.splits), to_named(self.part)), dtype=np.float64)
        m, free = self.splits, self.free
        a = np.diag(np.concatenate([np.ones(m), 1.0 / self.part.scale[free]]))
        a[:m, m:] = self.part.center[free] / self.part.scale[free]
        return a

    def from_named(self) -> Floats:
        """(P, P) A^-1."""
        if not self.ordered:
            return np.asarray(np.kron(np.eye(self.splits), from_named(self.part)), dtype=np.float64)
        m, free = self.splits, self.free
        a = np.diag(np.concatenate([np.ones(m), self.part.scale[free]]))
        a[:m, m:] = -self.part.center[free]
        return a

    def predictors(self, matrix: Matrix, offset: Floats | None, vector: Floats) -> Floats:
        """(n, m) linear predictors of rows at parameters as named."""
        if not self.ordered:
            return np.stack([matrix.times(b) for b in vector.reshape(self.splits, -1)], axis=1)
        return self.common(matrix, offset, vector)[:, None] - vector[None, : self.splits]

    def working(self, offset: Floats | None, gamma: Floats, threads: int = 1) -> Floats:
        """(n, m) linear predictors of the design's rows at working parameters, which lose no digits of columns far from zero."""
        rows = Rows(self.part.matrix, self.part.center, self.part.scale, offset=offset, threads=threads)
        if not self.ordered:
            return np.stack([rows.eta(np.ascontiguousarray(b)) for b in gamma.reshape(self.splits, -1)], axis=1)
        beta = np.zeros(self.part.matrix.p)
        beta[self.free] = gamma[self.splits :]
        return np.asarray(rows.eta(beta)[:, None] - gamma[None, : self.splits])

    def common(self, matrix: Matrix, offset: Floats | None, vector: Floats) -> Floats:
        """(n,) x'b + offset of an ordinal model: the linear predictor without its threshold."""
        beta = np.zeros(self.part.matrix.p)
        beta[self.free] = vector[self.splits :]
        return np.asarray(matrix.times(beta) + (0.0 if offset is None else offset))

    def common_jacobian(self, matrix: Matrix) -> Floats:
        """(n, P) derivatives of `common` in the working parameters: for some rows at a time."""
        return np.hstack([np.zeros((matrix.n, self.splits)), matrix.dense()[:, self.free] / self.part.scale[self.free]])

    def sums(self, matrix: Matrix, d: Floats, order: Ints, starts: Ints) -> Floats:
        """(G, P) sums over the rows order[starts[g]:starts[g + 1]] of d_i1 d eta_i1 + d_i2 d eta_i2 + ..., working parameters."""
        rows = Rows(matrix, self.part.center, self.part.scale, order=order)
        if not self.ordered:
            return np.hstack([rows.cluster_scores(np.ascontiguousarray(column), starts) for column in d.T])
        inside = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
        at = np.stack([np.bincount(inside, column[order], len(starts) - 1) for column in d.T], axis=1)
        return np.hstack([-at, rows.cluster_scores(d.sum(axis=1), starts)[:, self.free]])

    def information(self, w: Floats) -> Floats:
        """(P, P) sum of (d eta)' w (d eta) over the design's rows, w (n, m, m)."""
        part, m = self.part, self.splits
        if not self.ordered:
            p = part.matrix.p
            out = np.zeros((m, p, m, p))
            for c in range(m):
                for k in range(c + 1):
                    size = np.ascontiguousarray(w[:, c, k] if c == k else -w[:, c, k])  # never negative: sizes of rows
                    gram = Rows(part.matrix, part.center, part.scale, size=size).gram()
                    out[c, :, k] = out[k, :, c] = gram if c == k else -gram
            return out.reshape(self.size, self.size)
        free, total = self.free, np.ascontiguousarray(w.sum(axis=(1, 2)))
        whole = np.array([0, part.matrix.n], dtype=np.int64)
        rows = Rows(part.matrix, part.center, part.scale, size=np.maximum(total, 0.0))
        less = Rows(part.matrix, part.center, part.scale, size=np.maximum(-total, 0.0)) if total.min() < 0.0 else None
        out = np.zeros((self.size, self.size))
        out[:m, :m] = w.sum(axis=0)
        if len(free):
            columns = w.sum(axis=2)
            cross = np.stack([rows.cluster_scores(np.ascontiguousarray(column), whole)[0, free] for column in columns.T])
            out[:m, m:], out[m:, :m] = -cross, -cross.T
            gram = rows.gram() if less is None else rows.gram() - less.gram()
            out[m:, m:] = gram[np.ix_(free, free)]
        return out

    def jacobian(self, matrix: Matrix) -> Floats:
        """(n, m, P) derivatives of the linear predictors in the working parameters: for some rows at a time."""
        x = (matrix.dense() - self.part.center) / self.part.scale
        n, m = len(x), self.splits
        out = np.zeros((n, m, self.size))
        for c in range(m):
            if self.ordered:
                out[:, c, c] = -1.0
                out[:, c, m:] = x[:, self.free]
            else:
                out[:, c, c * x.shape[1] : (c + 1) * x.shape[1]] = x
        return out


def layout_of(design: Design, ordered: bool) -> Layout:
    """Where the parameters of this design are."""
    return Layout(design.mean, len(design.response.levels), ordered)


def some_rows(matrix: Matrix, rows: Ints) -> Matrix:
    """Some rows of a matrix."""
    blocks = [
        Block(b.positions, None if b.values is None else b.values[rows], None if b.codes is None else b.codes[rows]) for b in matrix.blocks
    ]
    return Matrix(len(rows), matrix.p, tuple(blocks))


def jet(layout: Layout, eta: Floats) -> Jet:
    """Probabilities of rows with these linear predictors (n, m)."""
    probability, relative = level_probabilities(layout.kernel, eta)
    return Jet(probability, probability[:, :, None] * relative, relative)


def row_score(j: Jet, y: Ints, size: Floats | None) -> Floats:
    """(n, m) derivatives of size log pi_y in the linear predictors."""
    d = j.relative[np.arange(len(y)), y]
    return np.asarray(d if size is None else d * size[:, None])


def row_information(j: Jet, size: Floats | None) -> Floats:
    """(n, m, m) expected information in the linear predictors."""
    w = np.einsum("nkc,nkd->ncd", j.slope, j.relative)
    return np.asarray(w if size is None else w * size[:, None, None])


def log_likelihood(j: Jet, y: Ints, size: Floats | None) -> float:
    """Sum of size log pi_y, -inf where a level that occurred is impossible."""
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.log(np.where(j.probability > LEAST, j.probability, 0.0)[np.arange(len(y)), y])
    return float(found.sum() if size is None else (size * found).sum())


def cluster_information(layout: Layout, w: Floats, order: Ints, sizes: Ints) -> Floats:
    """(K, P, P) sums of (d eta)' w (d eta) over clusters: rows in `order`, `sizes` of them in each."""
    out = np.zeros((len(sizes), layout.size, layout.size))
    inside = np.repeat(np.arange(len(sizes)), sizes)
    for first in range(0, len(order), BLOCK):
        rows = order[first : first + BLOCK]
        a = layout.jacobian(some_rows(layout.part.matrix, rows))
        np.add.at(out, inside[first : first + BLOCK], np.einsum("ncp,ncd,ndq->npq", a, w[rows], a, optimize=True))
    return out
