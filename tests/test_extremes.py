"""The kernels at the edge of their domain, against dense algebra: no rows, no columns, one level, levels of one row, no weight, huge.

`make sanitize` runs these first: they are small, and an index beyond its array shows here.
"""

from itertools import pairwise

import numpy as np
import pytest

from glimm.kernels import (
    Block,
    LinearMixed,
    Matrix,
    MixedModel,
    Rows,
    SparseLaplace,
    SparseLinear,
    SparseTerm,
    Whitening,
    blocked_cholesky,
    blocked_inverse,
    gee_pass,
    jets,
    lag_sums,
    minimum_degree,
    pair_sums,
    psi_jets,
    working,
)
from oracle.mixed import lmm_minus2loglik

SIZES = [0, 1, 2, 7, 513, 1025]
FAMILIES = range(9)
GAUSSIAN, IDENTITY = 0, 0


def dense_rows(rng, n, p, y=None, size=None, order=None, threads=1):
    x = rng.normal(size=(n, p))
    blocks = tuple(Block(np.array([c]), np.ascontiguousarray(x[:, c])) for c in range(p))
    return x, Rows(Matrix(n, p, blocks), np.zeros(p), np.ones(p), y, size, None, order, threads)


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("p", [0, 1, 3, 11])
def test_passes(n, p):
    rng = np.random.default_rng([1, n, p])
    y, size = rng.normal(size=n), rng.uniform(size=n) * (rng.uniform(size=n) < 0.8)
    x, rows = dense_rows(rng, n, p, y, size)
    beta = rng.normal(size=p)
    done = rows.glm(GAUSSIAN, IDENTITY, beta, [0.0])
    assert np.allclose(done.score, x.T @ (size * (y - x @ beta)))
    assert np.allclose(done.information, x.T @ (size[:, None] * x))
    assert np.allclose(rows.gram(), x.T @ (size[:, None] * x))
    assert np.allclose(rows.eta(beta), x @ beta)
    r = rows.qr()
    assert np.allclose(r.T @ r, x.T @ (size[:, None] * x))
    c = np.eye(p)
    assert np.allclose(rows.leverages(size, c), size * (x**2).sum(axis=1))
    assert np.allclose(rows.refined_residual_score(beta, np.zeros(p)), x.T @ (size * (y - x @ beta)))
    for starts in (np.arange(n + 1), np.array([0, n]), np.unique([0, n // 2, n])):
        if starts[-1] != n or len(starts) < 1:
            continue
        sums = np.reshape([x[a:b].T @ y[a:b] for a, b in pairwise(starts)], (len(starts) - 1, p))
        assert np.allclose(rows.cluster_scores(y, starts), sums)


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("working_kernel", [0, 1, 2])
def test_gee(n, working_kernel):
    rng = np.random.default_rng([2, n])
    y = rng.normal(size=n)
    x, rows = dense_rows(rng, n, 2, y)
    alpha = 0.0 if working_kernel == 0 else 0.4
    starts = np.unique(np.concatenate([[0], rng.integers(0, n + 1, n // 3), [n]])) if n < 500 else np.array([0, 1, 3, n])
    whitening = Whitening(working_kernel, alpha=alpha)
    done = gee_pass(rows, GAUSSIAN, IDENTITY, (), np.zeros(2), starts, whitening, scores=True, curvatures=True)
    score, bread = np.zeros(2), np.zeros((2, 2))
    for k, (a, b) in enumerate(pairwise(starts)):
        m = b - a
        gaps = np.abs(np.subtract.outer(np.arange(m), np.arange(m)))
        structures = {0: np.eye(m), 1: np.where(gaps == 0, 1.0, alpha), 2: alpha**gaps}
        fits = [np.linalg.solve(structures[w], np.column_stack([x[a:b], y[a:b]])) for w in (working_kernel,)]
        u, h = x[a:b].T @ fits[0][:, 2], x[a:b].T @ fits[0][:, :2]
        assert np.allclose(done.scores[k], u)
        assert np.allclose(done.curvatures[k], h)
        score, bread = score + u, bread + h
    assert np.allclose(done.score, score)
    assert np.allclose(done.bread, bread)
    pairs = pair_sums(y, starts, None)
    assert np.isclose(pairs.squares, y @ y)
    sums, counts = lag_sums(y, starts, None, n)
    assert np.isclose(sums.sum(), pairs.pairs)
    assert counts.sum() == pairs.n_pairs


def levels_of(kind, n):
    return {"one": np.zeros(n), "each": np.arange(n), "pairs": np.arange(n) // 2}[kind].astype(np.int32)


@pytest.mark.parametrize("magnitude", [1e-100, 1.0, 1e100])
@pytest.mark.parametrize("kind", ["one", "each", "pairs"])
@pytest.mark.parametrize("q", [1, 2, 3, 4, 5, 6])
def test_mixed(q, kind, magnitude):
    rng = np.random.default_rng([3, q])
    n, p = 24, 2
    y, z = rng.normal(size=n) * magnitude, rng.normal(size=(n, q))
    refs = levels_of(kind, n)
    levels = int(refs.max()) + 1
    x, rows = dense_rows(rng, n, p, y)
    t = np.tril(rng.uniform(0.2, 0.8, (q, q)))
    term = SparseTerm(refs, levels, z, None, None, np.array([q]))
    one, any_design = LinearMixed(rows, refs, levels, z, q), SparseLinear(rows, [term])
    for reml in (False, True):
        answers = one.evaluate(t, reml), any_design.evaluate(t.ravel(), reml)
        for e in answers:
            assert e.ok
            s2 = e.r2 / (n - p if reml else n) / magnitude**2
            truth = lmm_minus2loglik(y / magnitude, x, z, refs, t, s2, np.ones(n), reml)
            assert np.isclose(e.deviance - 2.0 * (n - p if reml else n) * np.log(magnitude), truth, rtol=1e-9, atol=1e-8)
        assert np.isclose(answers[0].deviance, answers[1].deviance, rtol=1e-12)
        full = one.evaluate(t, reml, derivatives=True, blocks=True)
        assert np.isfinite(full.gradient).all()
        assert np.isfinite(full.hessian).all()
    if magnitude != 1.0:
        return
    starts = np.searchsorted(refs, np.arange(levels + 1))
    model, beta, log_sigma = MixedModel(rows, starts, z, q, None, None), rng.normal(size=p), 0.3
    entries = t.T[np.triu_indices(q)]
    vector = np.concatenate([beta, entries, [log_sigma]])
    v = np.exp(2 * log_sigma) * np.eye(n) + (refs[:, None] == refs) * (z @ t @ t.T @ z.T)
    r = y - x @ beta
    truth = np.linalg.slogdet(v)[1] + r @ np.linalg.solve(v, r) + n * np.log(2 * np.pi)
    assert np.isclose(model.laplace(GAUSSIAN, IDENTITY, vector, 2, True).deviance, truth)
    assert np.isfinite(model.laplace_hessian(GAUSSIAN, IDENTITY, vector)).all()
    nodes, weights = np.zeros((1, q)), np.full(1, q * np.log(np.pi) / 2)
    assert np.isclose(model.quadrature(GAUSSIAN, IDENTITY, vector, 2, nodes, weights, scores=True, blocks=True).deviance, truth)
    sparse = SparseLaplace(rows, [term], None, None)
    assert np.isclose(sparse.evaluate((GAUSSIAN, IDENTITY), beta, t.ravel(), np.array([log_sigma]), order=2).deviance, truth)


@pytest.mark.parametrize("size", [0.0, np.nan, np.inf])
def test_no_weight_and_no_number_end_without_an_answer(size):
    rng = np.random.default_rng(4)
    n = 12
    refs = levels_of("pairs", n)
    _, rows = dense_rows(rng, n, 1, rng.normal(size=n), np.full(n, size))
    assert not (LinearMixed(rows, refs, 6, None, 1).evaluate(np.eye(1), True).ok and size != 0.0)
    answer = SparseLinear(rows, [SparseTerm(refs, 6, None, None, None, np.array([1]))]).evaluate(np.ones(1), True)
    assert not (answer.ok and np.isfinite(answer.deviance))
    model = MixedModel(rows, np.arange(0, n + 1, 2), None, 1, None, None)
    vector = np.array([0.0, 1.0, 0.0])
    if size != 0.0:
        assert not model.laplace(GAUSSIAN, IDENTITY, vector, 2).ok
        assert not model.quadrature(GAUSSIAN, IDENTITY, vector, 1, np.zeros((1, 1)), np.zeros(1)).ok


@pytest.mark.parametrize("n", [0, 1])
def test_next_to_no_rows(n):
    rng = np.random.default_rng(5)
    refs = np.zeros(n, dtype=np.int32)
    _, rows = dense_rows(rng, n, 1, np.ones(n))
    for levels in (n, 3):  # levels that no row has, too
        LinearMixed(rows, refs, levels, None, 1).evaluate(np.eye(1), False, derivatives=True)
        SparseLinear(rows, [SparseTerm(refs, levels, None, None, None, np.array([1]))]).evaluate(np.ones(1), True, order=2)
        starts = np.concatenate([[0], np.full(levels, n)])
        MixedModel(rows, starts, None, 1, None, None).laplace(GAUSSIAN, IDENTITY, np.array([0.0, 1.0, 0.0]), 2)
        sparse = SparseLaplace(rows, [SparseTerm(refs, levels, None, None, None, np.array([1]))], None, None)
        sparse.evaluate((GAUSSIAN, IDENTITY), np.zeros(1), np.ones(1), np.zeros(1), order=2)
    with pytest.raises(ValueError, match="needs a random term"):
        SparseLinear(rows, [])


@pytest.mark.parametrize("family", FAMILIES)
def test_rows_of_extreme_numbers_come_back(family):
    y = np.array([0.0, 1.0, 1.0, 3.0, 1e-300, 1e300, np.inf, np.nan])
    eta = np.array([0.0, 800.0, -800.0, 1e300, -1e300, np.inf, -np.inf, np.nan])
    at, predictor = (a.ravel() for a in np.meshgrid(y, eta))
    for psi in ([0.0, 0.0], [300.0, 3.0], [-300.0, -3.0], [np.nan, np.nan]):
        for link in range(8):
            for made in (jets, working):
                assert len(made(family, link, at, predictor, None, psi)[0]) == len(at)
            psi_jets(family, link, at, predictor, None, psi)


@pytest.mark.parametrize("n", [0, 1, 2, 31, 32, 33, 63, 64, 65, 129])
def test_dense(n):
    rng = np.random.default_rng([6, n])
    a = rng.normal(size=(n, n + 3))
    a = a @ a.T
    ok, factor = blocked_cholesky(a)
    assert ok
    assert np.allclose(factor @ factor.T, a)
    assert np.allclose(blocked_inverse(factor), np.linalg.inv(a))
    if n:
        for wrong in (0.0, -1.0, np.nan, np.inf):
            b = a.copy()
            b[n - 1, n - 1] = wrong
            assert not blocked_cholesky(b)[0]


@pytest.mark.parametrize("n", [0, 1, 2, 9])
def test_ordering(n):
    nothing = minimum_degree(np.zeros(n + 1, dtype=np.int64), np.zeros(0, dtype=np.int32))
    assert sorted(nothing) == list(range(n))
    everything = np.array([j for i in range(n) for j in range(n) if i != j], dtype=np.int32)
    assert sorted(minimum_degree(np.arange(n + 1) * max(n - 1, 0), everything)) == list(range(n))
