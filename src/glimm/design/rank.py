"""Which columns of a model matrix are kept: column j goes if |x_j - projection on kept columns| < 1e-9 |x_j|.

Decided on centred and scaled columns, in order: the first of a collinear set stays. A pivoted Cholesky factor of the
cross-products settles the clear cases; a QR factorisation by blocks of rows settles the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from ..kernels import Rows, blocked_cholesky, column_squares, column_sums
from ..kernels.matrix import Bools, Floats, Ints, Matrix, SparseColumn
from .totals import blocks

TOLERANCE = 1e-9
HUGE = 1e150
CLEAR_PIVOT = 1e-8
SAMPLE = 50_000
CONSTANT = 1e-12


@dataclass(frozen=True, slots=True)
class Rank:
    """keep : positions kept; dropped : position left out -> coefficients (one per kept column, original scale) that rebuild it."""

    keep: Ints
    dropped: dict[int, Floats]
    center: Floats
    scale: Floats


Pieces = Callable[[], Iterable[Matrix]]
"""The rows of a matrix in order, in pieces of whole blocks (`CrossProduct::block_rows`) but for the last; each call begins anew."""


def decide(matrix: Matrix, intercept: int | None) -> Rank:
    """Centre, scale and the columns to keep. center and scale cover all columns of `matrix`."""
    return decide_over(lambda: (matrix,), matrix.p, intercept)


def decide_over(pieces: Pieces, p: int, intercept: int | None) -> Rank:
    """The same of a matrix in pieces, to the bit."""
    center, scale, empty = centers(pieces, p, intercept)
    candidates = np.flatnonzero(~empty)
    g = np.zeros((p, p))
    surely = False
    for piece in pieces():
        rows = Rows(piece, center, scale)
        surely = _sample_is_full(rows, candidates)
        if surely:
            break
        g += rows.gram()
    g = g[np.ix_(candidates, candidates)]
    if surely or _clearly_full(g):
        keep = candidates
        coefficients: dict[int, Floats] = {}
        if not empty.any():
            return Rank(keep, {}, center, scale)
    else:
        r = np.zeros((p, p))
        for piece in pieces():
            r = Rows(piece, center, scale).qr(r)
        keep, coefficients = _independent(r[:, candidates], candidates)
    dropped = {}
    for j in range(p):
        if j in coefficients:
            dropped[j] = _original_scale(coefficients[j], j, keep, center, scale, intercept)
        elif empty[j]:
            dropped[j] = np.zeros(len(keep))
            if intercept is not None:
                dropped[j][np.searchsorted(keep, intercept)] = center[j]
    return Rank(keep, dropped, center, scale)


def centers(pieces: Pieces, p: int, intercept: int | None) -> tuple[Floats, Floats, Bools]:
    """(center, scale, empty), each (p,): means of numeric columns but sparse ones (with an intercept), root mean squares, which are 0."""
    size, total, rows, moved = np.zeros(p), np.zeros(p), np.zeros(p), np.full(p, intercept is not None)
    for piece in pieces():
        for block in piece.blocks:
            stored = block.stored
            if stored is None:
                continue
            j = int(block.positions[0])
            if isinstance(stored, SparseColumn):
                size[j] = max(size[j], column_sums(stored.entries)[0])
                rows[j] += stored.n
                moved[j] = False
            elif block.codes is None:
                largest, total[j] = column_sums(stored, total[j])
                size[j] = max(size[j], largest)
                rows[j] += len(stored)
            else:
                rows[j] += int(np.count_nonzero(block.codes >= 0))
    center = np.divide(total, rows, out=np.zeros(p), where=(rows > 0) & moved)
    unit = np.where(size < HUGE, 1.0, size)
    squares, numeric = np.zeros(p), {}
    for piece in pieces():
        for block in piece.blocks:
            stored = block.stored
            if stored is None:
                continue
            j = int(block.positions[0])
            if isinstance(stored, SparseColumn):
                squares[j] = column_squares(stored.entries, 0.0, unit[j], squares[j])
            elif block.codes is None:
                squares[j] = column_squares(stored, center[j], unit[j], squares[j])
            else:
                for at in blocks(len(stored)):
                    squares[j] += float(np.sum(stored[at][block.codes[at] >= 0] ** 2))
            numeric[j] = block.positions, block.codes is None
    scale, empty = np.ones(p), np.zeros(p, dtype=bool)
    for j, (positions, plain) in numeric.items():
        rms = unit[j] * float(np.sqrt(squares[j] / rows[j])) if rows[j] else 0.0
        empty[positions] = rms <= CONSTANT * size[j] if plain else rms == 0.0
        scale[positions] = rms if rms > 0.0 else 1.0
    return center, scale, empty


def _sample_is_full(rows: Rows, candidates: Ints) -> bool:
    """Whether a sample of the rows shows that `_clearly_full` holds for all of them.

    |x_j - projection|^2 is no smaller over all rows than over some of them, and |x_j|^2 is at most the number of rows.
    """
    every = rows.n // (SAMPLE * max(1, rows.p // 256))
    if every < 2:
        return False
    ok, factor = blocked_cholesky(rows.gram(every)[np.ix_(candidates, candidates)])
    return ok and bool((factor.diagonal() ** 2).min(initial=np.inf) > 10.0 * CLEAR_PIVOT * rows.n)


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
