"""Degrees of freedom of a contrast c'b of a GEE, for t references.

Pan-Wall: nu = 2 (sum z)^2 / [K / (K - 1) sum (z_i - mean z)^2], z_i = (c'M U_i)^2.
Fay-Graubard: nu = (tr W)^2 / tr W^2, W_il = sum_k a_ik'Psi_k a_lk, a_ik = [i = k] g_i - b_i, b_i = M H_i g_i, g_i = h_i o Mc: with
q_i = Psi_i g_i, W is diag(q_i'g_i) - Q B' - B Q' + B (sum Psi) B', so that neither n_i x n_i nor K x K matrices are made.
Source: Pan and Wall (2002), Stat. Med. 21, 1429-1441; Fay and Graubard (2001), Biometrics 57, 1198-1206 (Psi tilde).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, final

import numpy as np

from ..design.coordinates import from_named, to_named
from ..estimators import gee as gee_estimator
from ..estimators import ordinal
from ..estimators.levels import layout_of
from ..kernels import positive_definite
from ..kernels.matrix import Floats
from ..records import GeeRecord, LevelsRecord

CELLS = 2**21
LARGEST = 1e290
BOUND = 0.75
ALONE = 1e-9
"""1 - an eigenvalue of a cluster's leverage at which no other cluster knows its direction."""


Clustered = GeeRecord | LevelsRecord
"""Fits whose estimating equations are sums over independent clusters."""


class Block(NamedTuple):
    """Some clusters: position of the first, curvatures H_i (k, p, p), scores U_i (k, p)."""

    first: int
    curvature: Floats
    score: Floats


def pieces(record: Clustered, curvatures: bool = False) -> Iterator[tuple[Floats | None, Floats]]:
    """Curvatures H_i (k, p, p) or None and scores U_i (k, p) of some clusters at a time, on working columns."""
    name, clusters = next(iter(record.design.clusters.items()))
    if isinstance(record, LevelsRecord):
        return ordinal.pieces(record, clusters, curvatures)
    return gee_estimator.pieces(record, name, curvatures)


def coordinates(record: Clustered) -> tuple[Floats, Floats]:
    """(p, p) A and its inverse: parameters as named = A times working ones."""
    if isinstance(record, LevelsRecord):
        layout = layout_of(record.design, record.family.support == "ordered")
        return layout.to_named(), layout.from_named()
    return to_named(record.design.mean), from_named(record.design.mean)


def blocks(record: Clustered) -> Iterator[Block]:
    """The clusters of a fit on working columns, as many at a time as fit into memory."""
    p = len(record.bread)
    most, first = max(1, CELLS // (p * p)), 0
    for curvature, score in pieces(record, curvatures=True):
        assert curvature is not None
        for a in range(0, len(score), most):
            yield Block(first + a, curvature[a : a + most], score[a : a + most])
        first += len(score)


def half(record: Clustered) -> Floats:
    """(p, p) C with M = C C'."""
    return np.asarray(np.linalg.cholesky(record.bread), dtype=np.float64)


def spectrum(curvature: Floats, root: Floats) -> tuple[Floats, Floats]:
    """Eigenvalues (k, p) and vectors (k, p, p) of A_i = C'H_i C, M = C C': the leverage of each cluster, by direction."""
    reach = np.abs(root).max(initial=0.0) ** 2 * np.abs(curvature).max(axis=(1, 2), initial=0.0)
    lost = ~(reach < LARGEST)  # of a fit that has left the numbers: NaN
    values, vectors = np.linalg.eigh(root.T @ np.where(lost[:, None, None], 0.0, curvature) @ root)
    return np.where(lost[:, None], np.nan, np.clip(values, 0.0, 1.0)), vectors


@final
@dataclass(frozen=True, slots=True)
class PanWall:
    """steps : (K, p) M U_i, working; common : K - p, of what is no contrast of coefficients."""

    steps: Floats
    common: float
    about: str = "Pan-Wall"

    def of(self, contrasts: Floats) -> Floats:
        """(r,) of contrasts (r, p) of the working coefficients."""
        k, rows = len(self.steps), max(1, CELLS // len(self.steps))
        out = []
        for a in range(0, len(contrasts), rows):
            z = (contrasts[a : a + rows] @ self.steps.T) ** 2
            with np.errstate(divide="ignore", invalid="ignore"):
                z /= z.max(axis=1, keepdims=True)
                spread = k / (k - 1.0) * np.sum((z - z.mean(axis=1, keepdims=True)) ** 2, axis=1)
                out.append(2.0 * z.sum(axis=1) ** 2 / spread)
        return np.concatenate([np.zeros(0), *out])


class FayGraubardBlock(NamedTuple):
    """Of some clusters, as named: T'H_i M A' (k, p, p), h_i (k, p), h_i o U_i (k, p)."""

    product: Floats
    factor: Floats
    score: Floats


def fay_graubard_block(record: Clustered, block: Block) -> FayGraubardBlock:
    """h_i = (1 - min(.75, (H_i M)_jj))^-1/2 on the columns as named, which is what makes it depend on their coding."""
    back, there = coordinates(record)
    product = there.T @ block.curvature @ (record.bread @ back.T)
    factor = 1.0 / np.sqrt(1.0 - np.minimum(BOUND, np.einsum("kjj->kj", product)))
    return FayGraubardBlock(product, factor, factor * (block.score @ there))


@final
@dataclass(frozen=True, slots=True)
class FayGraubard:
    """record : whose clusters are passed over again for every set of contrasts; common : K - p, of what is no contrast of coefficients."""

    record: Clustered
    common: float
    about: str = "Fay-Graubard"

    def of(self, contrasts: Floats) -> Floats:
        """(r,) of contrasts (r, p) of the working coefficients."""
        p = len(self.record.bread)
        if not positive_definite(self.record.bread):
            return np.full(len(contrasts), np.nan)
        meat = np.zeros((p, p))
        for block in blocks(self.record):
            u = fay_graubard_block(self.record, block).score
            meat += u.T @ u
        clusters = next(iter(self.record.design.clusters.values()))
        rows = max(1, CELLS // (min(len(clusters.levels), max(1, CELLS // (p * p))) * p))
        found = [self._some(contrasts[a : a + rows], meat) for a in range(0, len(contrasts), rows)]
        return np.concatenate([np.zeros(0), *found])

    def _some(self, contrasts: Floats, meat: Floats) -> Floats:
        """Sums over clusters from which tr W and tr W^2 follow."""
        record, (r, p) = self.record, contrasts.shape
        root = half(record)
        along, moved = contrasts @ root, contrasts @ record.bread @ coordinates(record)[0].T
        weights, diagonal, shifts, squares, crossed, shifted = (np.zeros(r) for _ in range(6))
        gram = np.zeros((r, 2 * p, 2 * p))
        for block in blocks(record):
            own = fay_graubard_block(record, block)
            values, vectors = spectrum(block.curvature, root)
            left = 1.0 - values
            odds = np.divide(values, left, out=np.zeros_like(values), where=left > ALONE)
            w = np.einsum("krj,kj->kr", (along @ vectors) ** 2, odds)
            g = own.factor[:, None, :] * moved
            b, q = g @ own.product, w[:, :, None] * (g @ meat)
            d, qb, bsb = np.sum(q * g, axis=2), np.sum(q * b, axis=2), np.sum((b @ meat) * b, axis=2)
            both = np.concatenate([q, b], axis=2)
            gram += both.transpose(1, 2, 0) @ both.transpose(1, 0, 2)
            weights += w.sum(axis=0)
            diagonal += np.sum(d - 2.0 * qb, axis=0)
            shifts += bsb.sum(axis=0)
            squares += np.sum(d * d, axis=0)
            crossed += np.sum(-2.0 * d * qb, axis=0)
            shifted += np.sum(d * bsb, axis=0)
        inner = np.zeros_like(gram)
        inner[:, :p, p:] = inner[:, p:, :p] = -np.eye(p)
        inner[:, p:, p:] = weights[:, None, None] * meat
        low_rank = inner @ gram
        trace = diagonal + weights * shifts
        square = squares + 2.0 * (crossed + weights * shifted) + np.einsum("rab,rba->r", low_rank, low_rank)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(np.maximum(1.0, trace**2 / square))


Degrees = PanWall | FayGraubard
