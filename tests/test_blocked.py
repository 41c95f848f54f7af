"""Large dense Cholesky factors and inverses against LAPACK."""

import numpy as np
import pytest

from glimm.kernels import _native, blocked_cholesky, blocked_inverse
from glimm.kernels.native import native

SIDES = [1, 2, 7, 64, 65, 97, 128, 129, 300, 1000]
BUILDS = [_native, native()] if native() is not _native else [_native]


def positive(n):
    x = np.random.default_rng(n).normal(size=(n, n + 10))
    return x @ x.T / n + 0.1 * np.eye(n)


def padded(a):
    """The lower triangle of A in longer rows, NaN wherever nothing should be read."""
    n = len(a)
    return np.hstack([np.where(np.tri(n, dtype=bool), a, np.nan), np.full((n, 3), np.nan)])


def far(a, b):
    return np.abs(a - b).max() / np.abs(b).max()


@pytest.mark.parametrize("n", SIDES)
@pytest.mark.parametrize("build", BUILDS, ids=lambda b: b.__name__.rsplit(".", 1)[-1])
def test_factor_and_inverse_agree_with_lapack(build, n):
    a = positive(n)
    ok, factor = build.cholesky(padded(a), 1)
    assert ok
    assert far(factor, np.linalg.cholesky(a)) < 1e-12
    inverse = build.spd_inverse(padded(factor), 1)
    assert far(inverse, np.linalg.inv(a)) < 1e-12
    assert np.array_equal(inverse, inverse.T)


@pytest.mark.parametrize("n", [300, 1000])
def test_factor_of_an_ill_conditioned_matrix_gives_it_back(n):
    basis = np.linalg.qr(np.random.default_rng(n).normal(size=(n, n)))[0]
    a = (basis * np.logspace(0, -10, n)) @ basis.T
    a = (a + a.T) / 2
    ok, factor = blocked_cholesky(a)
    assert ok
    assert far(factor @ factor.T, a) < 1e-14


@pytest.mark.parametrize("n", [1, 7, 64, 129, 300, 1000])
@pytest.mark.parametrize("pivot", [-1.0, 0.0, np.nan, np.inf])
def test_no_factor_where_a_pivot_is_not_positive_and_finite(n, pivot):
    for at in {0, n // 2, n - 1}:
        a = positive(n)
        a[at, at] = pivot
        assert not blocked_cholesky(a)[0]


def test_no_factor_of_a_matrix_with_nan_or_infinity_off_its_diagonal():
    for bad in (np.nan, np.inf, -np.inf):
        a = positive(200)
        a[150, 20] = bad
        assert not blocked_cholesky(a)[0]


def test_no_factor_of_an_indefinite_matrix():
    a = positive(300)
    a -= np.linalg.eigvalsh(a)[1] * np.eye(300)
    assert not blocked_cholesky(a)[0]


@pytest.mark.parametrize("n", [129, 900, 1500])
def test_threads_change_no_bit(n):
    a = positive(n)
    factor = blocked_cholesky(a, 1)[1]
    inverse = blocked_inverse(factor, 1)
    for threads in (2, 3):
        assert np.array_equal(blocked_cholesky(a, threads)[1], factor)
        assert np.array_equal(blocked_inverse(factor, threads), inverse)


def test_a_matrix_with_more_rows_than_columns_is_refused():
    with pytest.raises(ValueError, match=r"\(3, 2\)"):
        blocked_cholesky(np.ones((3, 2)))
