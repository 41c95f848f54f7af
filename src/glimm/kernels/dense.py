"""Small dense linear algebra on float64: x = A^-1 b."""

from __future__ import annotations

import numpy as np

from .matrix import Floats
from .native import native

SMALLEST_PIVOT = 1e-15
SMALLEST_DIAGONAL = 1e-280
LARGE = 64
"""Side from which the library's own factorisation is taken: it runs in one thread, and others' threads may wait for each other."""


def _factor(a: Floats) -> Floats:
    """L of A = L L'; raises numpy.linalg.LinAlgError where A is not positive definite."""
    if len(a) < LARGE:
        return np.asarray(np.linalg.cholesky(a), dtype=np.float64)
    ok, factor = blocked_cholesky(a)
    if not ok:
        raise np.linalg.LinAlgError("not positive definite")
    return factor


def solve(a: Floats, b: Floats) -> Floats:
    """A^-1 b for a positive definite A, scaled to a unit diagonal first; raises numpy.linalg.LinAlgError for a singular A."""
    root = np.sqrt(np.diag(a))
    if len(a) >= LARGE and b.ndim == 1:
        ok, factor = blocked_cholesky(a / np.outer(root, root))
        if ok:
            return np.asarray(native().solve_positive(factor, np.ascontiguousarray(b / root)) / root)
    return np.asarray(np.linalg.solve(a / np.outer(root, root), b / root) / root, dtype=np.float64)


def inverse(a: Floats) -> Floats:
    """A^-1; raises numpy.linalg.LinAlgError for a singular A."""
    return np.asarray(np.linalg.inv(a), dtype=np.float64)


def inverse_or_nan(a: Floats) -> Floats:
    """A^-1 of a symmetric positive definite A, NaN throughout where A is not that to working precision or its inverse overflows."""
    a = 0.5 * (a + a.T)
    if not (positive_definite(a) and a.diagonal().min(initial=1.0) > SMALLEST_DIAGONAL):
        return np.full_like(a, np.nan)
    root = np.ldexp(1.0, np.rint(0.5 * np.log2(a.diagonal())).astype(np.int64))  # powers of two, which round nothing
    try:
        if len(a) >= LARGE:
            return np.asarray(blocked_inverse(_factor(a / (root[:, None] * root))) / (root[:, None] * root))
        half = inverse(_factor(a / (root[:, None] * root)))
    except np.linalg.LinAlgError:  # at the edge of working precision the other scaling may fail
        return np.full_like(a, np.nan)
    return np.asarray(half.T @ half / (root[:, None] * root))


def positive_solve(a: Floats, b: Floats) -> Floats | None:
    """A^-1 b for a positive definite A (`positive_definite`), None for another."""
    if len(a) >= LARGE:
        return solve(a, b) if positive_definite(a) else None
    ok, x = native().positive_solve(_rows(a), np.ascontiguousarray(b, dtype=np.float64), SMALLEST_PIVOT)
    return x if ok else None


def positive_definite(a: Floats) -> bool:
    """Whether a symmetric A, scaled to a unit diagonal, has a Cholesky factor with pivots that are more than rounding noise."""
    if len(a) < LARGE:
        return bool(native().positive_solve(_rows(a), np.zeros(len(a)), SMALLEST_PIVOT)[0])
    return bool(np.isfinite(log_determinant(a)))


def log_determinant(a: Floats) -> float:
    """log |A| of a symmetric positive definite A, NaN where A is not that to working precision."""
    diagonal = a.diagonal()
    if not (np.isfinite(a).all() and (diagonal > 0.0).all()):
        return float("nan")
    root = np.sqrt(diagonal)
    try:
        pivots = _factor(a / (root[:, None] * root)).diagonal()
    except np.linalg.LinAlgError:
        return float("nan")
    if not pivots.min(initial=1.0) ** 2 > SMALLEST_PIVOT:
        return float("nan")
    return 2.0 * float(np.log(pivots).sum() + np.log(root).sum())


def blocked_cholesky(a: Floats, threads: int = 1) -> tuple[bool, Floats]:
    """Whether the lower triangle of A is positive definite, and L with A = L L' if so; columns beyond the number of rows are not read."""
    out: tuple[bool, Floats] = native().cholesky(_rows(a), threads)
    return out


def blocked_inverse(factor: Floats, threads: int = 1) -> Floats:
    """(L L')^-1 from a lower triangular L; columns beyond the number of rows are not read."""
    out: Floats = native().spd_inverse(_rows(factor), threads)
    return out


def _rows(a: Floats) -> Floats:
    a = np.ascontiguousarray(a, dtype=np.float64)
    if a.ndim != 2 or a.shape[1] < a.shape[0]:
        raise ValueError(f"a square matrix is needed, not an array of shape {a.shape}")
    return a
