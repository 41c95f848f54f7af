"""Which columns of a model matrix are kept: column j goes if |x_j - projection on kept columns| < 1e-9 |x_j|.

Decided on centred and scaled columns, in order: the first of a collinear set stays. A pivoted Cholesky factor of the
cross-products settles the clear cases; a QR factorisation by blocks of rows settles the others.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..kernels import Rows
from ..kernels.matrix import Bools, Floats, Ints, Matrix

TOLERANCE = 1e-9
HUGE = 1e150
CLEAR_PIVOT = 1e-8
CONSTANT = 1e-12


@dataclass(frozen=True, slots=True)
class Rank:
    """keep : positions kept; dropped : position left out -> coefficients (one per kept column, original scale) that rebuild it."""

    keep: Ints
    dropped: dict[int, Floats]
    center: Floats
    scale: Floats


def decide(matrix: Matrix, intercept: int | None) -> Rank:
    """Centre, scale and the columns to keep. center and scale cover all columns of `matrix`."""
    center, scale, empty = centers(matrix, intercept)
    rows = Rows(matrix, center, scale)
    candidates = np.flatnonzero(~empty)
    g = rows.gram()[np.ix_(candidates, candidates)]
    if _clearly_full(g):
        keep = candidates
        coefficients: dict[int, Floats] = {}
        if not empty.any():
            return Rank(keep, {}, center, scale)
    else:
        keep, coefficients = _independent(rows.qr()[:, candidates], candidates)
    dropped = {}
    for j in range(matrix.p):
        if j in coefficients:
            dropped[j] = _original_scale(coefficients[j], j, keep, center, scale, intercept)
        elif empty[j]:
            dropped[j] = np.zeros(len(keep))
            if intercept is not None:
                dropped[j][np.searchsorted(keep, intercept)] = center[j]
    return Rank(keep, dropped, center, scale)


def centers(matrix: Matrix, intercept: int | None) -> tuple[Floats, Floats, Bools]:
    """(center, scale, empty), each (p,): means of numeric columns (with an intercept), root mean squares, columns with nothing left."""
    center, scale = np.zeros(matrix.p), np.ones(matrix.p)
    empty = np.zeros(matrix.p, dtype=bool)
    for block in matrix.blocks:
        if block.values is None:
            continue
        if block.codes is None:
            j = int(block.positions[0])
            size = float(np.abs(block.values).max(initial=0.0))
            if intercept is not None:
                center[j] = block.values.mean()
            left = block.values - center[j]
            rms = float(np.sqrt(np.mean(left**2))) if size < HUGE else size * float(np.sqrt(np.mean((left / size) ** 2)))
            empty[j] = rms <= CONSTANT * size
        else:
            used = block.codes >= 0
            rms = float(np.sqrt(np.mean(block.values[used] ** 2))) if used.any() else 0.0
            empty[block.positions] = rms == 0.0
        scale[block.positions] = rms if rms > 0.0 else 1.0
    return center, scale, empty


def _clearly_full(gram: Floats) -> bool:
    root = np.sqrt(np.diag(gram))
    if not np.all(root > 0.0):
        return False
    try:
        pivots = np.diag(np.linalg.cholesky(gram / np.outer(root, root))) ** 2
    except np.linalg.LinAlgError:
        return False
    return bool(pivots.min(initial=1.0) > CLEAR_PIVOT)


def _independent(r: Floats, candidates: Ints) -> tuple[Ints, dict[int, Floats]]:
    """Columns of R that are not combinations of those before, and the combinations of those that are (working scale)."""
    basis: list[Floats] = []
    keep: list[int] = []
    combinations: dict[int, Floats] = {}
    for j in range(r.shape[1]):
        column = r[:, j].copy()
        norm = np.linalg.norm(column)
        for _ in range(2):
            for q in basis:
                column -= q * (q @ column)
        rest = np.linalg.norm(column)
        if norm > 0.0 and rest > TOLERANCE * norm:
            basis.append(column / rest)
            keep.append(j)
        else:
            solution = np.linalg.lstsq(r[:, keep], r[:, j], rcond=None)[0] if keep else np.zeros(0)
            combinations[int(candidates[j])] = np.asarray(solution, dtype=np.float64)
    n_kept = len(keep)
    padded = {j: np.concatenate([c, np.zeros(n_kept - len(c))]) for j, c in combinations.items()}
    return candidates[keep], padded


def _original_scale(c: Floats, j: int, keep: Ints, center: Floats, scale: Floats, intercept: int | None) -> Floats:
    """(x_j - m_j) / s_j = sum c_k (x_k - m_k) / s_k, written for x_j."""
    out: Floats = c * scale[j] / scale[keep]
    if intercept is not None:
        out[np.searchsorted(keep, intercept)] += center[j] - float(out @ center[keep])
    return out
