"""The kernel of odds ratios against mpmath and dense algebra."""

import itertools

import numpy as np
import pytest
from scipy.stats import norm

from glimm.family import resolve
from glimm.kernels import Block, Matrix, Pairs, Rows, association_pass, odds_cells, odds_matrix
from oracle.association import Dense, covariance, exact_cells

EXPIT = (lambda e: 1 / (1 + np.exp(-e)), lambda e: np.exp(-e) / (1 + np.exp(-e)) ** 2)
PROBIT = (norm.cdf, norm.pdf)
CASES = [("logit", EXPIT, 1), ("probit", PROBIT, 1), ("logit", EXPIT, 3)]


def made(link, mean, levels, each, seed=3):
    """(pass, dense twin, beta, alpha): clusters of 1 to 6 occasions of `levels` rows; z constant or (1, both rows in the first half)."""
    rng = np.random.default_rng(seed)
    sizes = np.array([1, 4, 2, 6, 3, 1, 5, 4])
    starts = np.concatenate([[0], np.cumsum(sizes * levels)])
    n = int(starts[-1])
    occasions = np.repeat(np.arange(sizes.sum()), levels)
    level = np.tile(np.arange(levels), sizes.sum())
    x = (
        np.column_stack([np.ones(n), level, np.repeat(rng.normal(size=sizes.sum()), levels)])
        if levels > 1
        else np.column_stack([np.ones(n), rng.normal(size=n), rng.normal(size=n)])
    )
    category = rng.integers(0, levels + 1, sizes.sum())
    y = (category[occasions] > level).astype(float)
    beta, alpha = np.array([0.4, -0.9, 0.5]), np.array([0.8, -1.7 if levels == 1 else -0.6])[: 2 if each else 1]
    z = np.array([[1.0, 0.0], [1.0, 1.0]]) if each else np.ones((1, 1))

    def code(k, i, j):
        return int(each and i < sizes[k] * levels // 2 and j < sizes[k] * levels // 2)

    codes = [code(k, i, j) for k in range(len(sizes)) for i, j in itertools.combinations(range(sizes[k] * levels), 2)]
    pairs = Pairs(z, np.array(codes, dtype=np.int32) if each else None, occasions if levels > 1 else None)
    order = rng.permutation(n)  # rows stand in another order than they are visited
    at = np.argsort(order)
    blocks = (Block(np.array([0])), Block(np.array([1]), x[at, 1].copy()), Block(np.array([2]), x[at, 2].copy()))
    center, scale = np.array([0.0, 0.3, -0.2]), np.array([1.0, 2.0, 0.5])
    family, link = resolve("binomial", link)

    def run(b=beta, a=alpha, threads=1, **asked):
        rows = Rows(Matrix(n, 3, blocks), center, scale, y[at], order=order, threads=threads)
        return association_pass(rows, family.kernel, link.kernel, b, starts, pairs, a, **asked)

    dense = Dense(y, (x - center) / scale, starts, occasions, lambda k, i, j: z[code(k, i, j)], *mean)
    return run, dense, beta, alpha


@pytest.mark.parametrize("each", [False, True])
@pytest.mark.parametrize(("link", "mean", "levels"), CASES)
def test_a_pass_is_the_dense_sum(link, mean, levels, each):
    run, dense, beta, alpha = made(link, mean, levels, each)
    out = run(scores=True, curvatures=True, alpha_equation=True, joint=True)
    u, h, quadratic, log_det = dense.mean_equation(beta, alpha)
    np.testing.assert_allclose(out.scores, u, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(out.curvatures, h, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(out.score, u.sum(0), rtol=1e-10)
    np.testing.assert_allclose(out.bread, h.sum(0), rtol=1e-10)
    assert out.indefinite == -1
    assert (out.quadratic, out.log_det) == (pytest.approx(quadratic, rel=1e-10), pytest.approx(log_det, rel=1e-10))
    np.testing.assert_allclose(out.alpha_scores, dense.alpha_scores(beta, alpha), rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(out.alpha_score, dense.alpha_scores(beta, alpha).sum(0), rtol=1e-7)
    np.testing.assert_allclose(out.alpha_information, dense.information(beta, alpha), rtol=1e-7)
    a_aa, a_ab = dense.given(beta, alpha)
    np.testing.assert_allclose(out.given, a_aa, rtol=1e-7)
    np.testing.assert_allclose(out.given_beta, a_ab, rtol=1e-6, atol=1e-8)


def test_what_is_not_asked_for_is_not_there_and_threads_change_nothing():
    run, _, _, _ = made("logit", EXPIT, 1, True)
    plain = run()
    full = run(threads=3, scores=True, curvatures=True, alpha_equation=True, joint=True)
    assert plain.scores is plain.curvatures is plain.alpha_score is plain.alpha_scores is plain.given is plain.given_beta is None
    assert np.array_equal(plain.score, full.score)
    assert np.array_equal(plain.bread, full.bread)


@pytest.mark.parametrize("gamma", [0.0, 1e-9, -1e-9, 0.3, -0.3, 2.0, -2.0, 8.0, -8.0, 15.0, -15.0])
def test_tables_keep_their_digits(gamma):
    means = [1e-9, 1e-4, 0.03, 0.4, 0.5, 0.9, 0.999]
    a, b = (np.array(v) for v in zip(*itertools.product(means, means), strict=True))
    got = odds_cells(a, b, np.full(len(a), gamma))
    want = np.array([exact_cells(u, v, gamma) for u, v in zip(a, b, strict=True)])
    np.testing.assert_allclose(got, want, rtol=3e-13)


def test_the_matrix_of_a_cluster():
    mu, occasions = np.array([0.7, 0.3, 0.6, 0.2]), np.array([0, 0, 1, 1])
    gamma = np.array([[0, 0, 0.5, 1.0], [0, 0, -2.0, 0.7], [0.5, -2.0, 0, 0], [1.0, 0.7, 0, 0]])
    v = covariance(mu, gamma, occasions)
    got = odds_matrix(mu, gamma[np.triu_indices(4, 1)], occasions)
    np.testing.assert_allclose(got, v / np.sqrt(np.outer(np.diag(v), np.diag(v))), rtol=1e-12)


def test_a_cluster_without_a_covariance_matrix_is_named():
    y = np.array([0.0, 1.0, 1.0, 0.0, 1.0])
    pairs = Pairs(np.array([[0.0], [1.0], [-1.0]]), np.array([0, 1, 1, 2], dtype=np.int32))  # a and b agree, a and c agree, b and c do not
    rows = Rows(Matrix(5, 1, (Block(np.array([0])),)), np.zeros(1), np.ones(1), y)
    family, link = resolve("binomial")
    out = association_pass(rows, family.kernel, link.kernel, np.zeros(1), np.array([0, 2, 5]), pairs, np.array([6.0]), scores=True)
    assert out.indefinite == 1
    assert np.isnan(out.bread).all()
    assert np.isfinite(out.scores[0]).all()


def test_bad_input_is_refused():
    rows = Rows(Matrix(501, 1, (Block(np.array([0])),)), np.zeros(1), np.ones(1), np.zeros(501))
    family, link = resolve("binomial")

    def run(starts, pairs):
        return association_pass(rows, family.kernel, link.kernel, np.zeros(1), np.array(starts), pairs, np.zeros(1))

    with pytest.raises(ValueError, match="500 is the most"):
        run([0, 501], Pairs(np.ones((1, 1))))
    with pytest.raises(ValueError, match="codes must be 1 numbers"):
        run([0, 2, *range(3, 502)], Pairs(np.ones((2, 1)), np.zeros(3, np.int32)))
    with pytest.raises(ValueError, match="need codes"):
        run(range(502), Pairs(np.ones((2, 1))))
