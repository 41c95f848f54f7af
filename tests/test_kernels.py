"""Kernels against independent mathematics: mpmath, dense algebra, numerical integration and finite differences."""

import mpmath as mp
import numpy as np
import pytest

from glimm.estimators.points import rule
from glimm.family import FAMILIES
from glimm.kernels import (
    Block,
    Limits,
    LinearMixed,
    Matrix,
    MixedModel,
    Rows,
    constant,
    jets,
    mean,
    minimise,
    unit_deviance,
)
from glimm.kernels.gee import Whitening, gee_pass
from glimm.kernels.native import native
from kernel_cases import PSI, kernels_of
from oracle.families import derivatives, log_density
from oracle.mixed import cluster_loglik, lmm_minus2loglik


def builds():
    """Every compiled build that this machine can run."""
    from glimm.kernels import _native

    return [_native, native()] if native() is not _native else [_native]


@pytest.mark.parametrize("build", builds(), ids=lambda b: b.__name__.rsplit(".", 1)[-1])
def test_vector_exp_and_log_agree_with_libm(build):
    x = np.concatenate([np.linspace(-708, 709, 40001), np.linspace(-1, 1, 40001)])
    assert np.max(np.abs(build.vector_exp(x) / np.exp(x) - 1)) < 5e-16
    x = np.concatenate([10.0 ** np.linspace(-300, 300, 40001), 1 + np.linspace(-0.3, 0.5, 40001)])
    exact = np.log(x)
    assert np.max(np.abs(build.vector_log(x) - exact) / np.where(exact == 0, 1, np.abs(exact))) < 7e-16
    assert np.isnan(build.vector_exp(np.array([np.nan]))[0])
    assert np.isnan(build.vector_log(np.array([np.nan, -1.0]))).all()


def test_tails_lose_no_digit():
    with mp.workdps(50):
        for e in (-30.0, -12.0, -8.1, -7.9, 6.0, 12.0):
            exact = [float(d) for d in derivatives(log_density("binomial", "probit", 1.0, 1.0), e)]
            ours = [float(a[0]) for a in jets(1, 3, np.ones(1), np.array([e]))]
            np.testing.assert_allclose(ours[:3], exact[:3], rtol=1e-9)
    for link in (2, 3, 4, 5, 6):
        out = jets(1, link, np.array([0.0, 1.0, 0.0, 1.0]), np.array([-700.0, -30.0, 5.0, 700.0]))
        assert all(np.all(np.isfinite(a)) for a in out)


def test_full_densities_equal_scipy():
    from scipy import stats

    eta, y = np.array([0.3, -0.4]), np.array([0.25, 0.75])
    trials, weights = np.array([8.0, 4.0]), np.array([2.0, 3.0])
    p = mean(2, eta)[0]
    ours = jets(1, 2, y, eta, trials)[0].sum() + constant(1, y, trials, None)
    assert ours == pytest.approx(stats.binom.logpmf(y * trials, trials, p).sum(), rel=1e-12)
    counts = np.array([0.0, 7.0])
    ours = jets(2, 1, counts, eta)[0].sum() + constant(2, counts, None, None)
    assert ours == pytest.approx(stats.poisson.logpmf(counts, np.exp(eta)).sum(), rel=1e-12)
    ours = jets(0, 0, y, eta, weights, 0.2)[0].sum() + constant(0, y, None, weights, 0.2)
    assert ours == pytest.approx(stats.norm.logpdf(y, eta, np.exp(0.2) / np.sqrt(weights)).sum(), rel=1e-12)


def test_unit_deviance_is_twice_the_loss_of_log_likelihood():
    y, mu = np.array([0.0, 0.3, 1.0]), np.array([0.2, 0.5, 0.9])
    saturated = np.array([0.0, 0.3 * np.log(0.3) + 0.7 * np.log(0.7), 0.0])
    np.testing.assert_allclose(unit_deviance(1, y, mu), 2 * (saturated - (y * np.log(mu) + (1 - y) * np.log(1 - mu))), rtol=1e-13)


@pytest.fixture(scope="module")
def small():
    """25 levels, an intercept and a slope: levels of one row among them."""
    rng = np.random.default_rng(11)
    refs = np.repeat(np.arange(25), rng.integers(1, 7, 25))
    n = len(refs)
    x = np.column_stack([np.ones(n), rng.normal(size=(n, 2))])
    z = np.column_stack([np.ones(n), rng.normal(size=n)])
    eta = x @ [0.3, 0.5, -0.4] + (z * rng.normal(size=(25, 2))[refs]).sum(axis=1)
    matrix = Matrix(n, 3, (Block(np.array([0])), Block(np.array([1]), x[:, 1].copy()), Block(np.array([2]), x[:, 2].copy())))
    starts = np.concatenate([[0], np.cumsum(np.bincount(refs))]).astype(np.int64)
    return {"refs": refs, "x": x, "z": z, "eta": eta, "matrix": matrix, "starts": starts, "weights": rng.uniform(0.5, 2.0, n), "rng": rng}


def rows_of(small, y, size=None):
    return Rows(small["matrix"], np.zeros(3), np.ones(3), y, size)


def differences(f, x, h=1e-5):
    return np.array([(f(x + d) - f(x - d)) / (2 * h) for d in np.eye(len(x)) * h])


def factor(theta):
    return np.array([[theta[0], 0.0], [theta[1], theta[2]]])


@pytest.mark.parametrize("reml", [False, True])
def test_lmm_deviance_is_the_dense_normal_likelihood(small, reml):
    y = small["eta"] + np.random.default_rng(1).normal(size=len(small["eta"]))
    model = LinearMixed(rows_of(small, y, small["weights"]), small["refs"].astype(np.int32), 25, small["z"], 2)
    t = factor([0.8, 0.2, 0.6])
    e = model.evaluate(t, reml)
    sigma2 = e.r2 / (len(y) - 3 if reml else len(y))
    dense = lmm_minus2loglik(y, small["x"], small["z"], small["refs"], t, sigma2, small["weights"], reml)
    assert e.deviance == pytest.approx(dense, abs=1e-9)


@pytest.mark.parametrize("reml", [False, True])
def test_lmm_gradient_equals_differences(small, reml):
    y = small["eta"] + np.random.default_rng(1).normal(size=len(small["eta"]))
    model = LinearMixed(rows_of(small, y, small["weights"]), small["refs"].astype(np.int32), 25, small["z"], 2)
    theta = np.array([0.8, 0.2, 0.6])
    e = model.evaluate(factor(theta), reml, derivatives=True)
    np.testing.assert_allclose(e.gradient, differences(lambda v: model.evaluate(factor(v), reml).deviance, theta), atol=1e-6)


def simulated(small, family):
    rng = np.random.default_rng(5)
    eta = small["eta"]
    if family == "gaussian":
        return np.exp(0.3 * eta) + 0.3 * rng.normal(size=len(eta))
    if FAMILIES[family].support == "count":
        return rng.poisson(np.exp(0.4 * eta) * rng.gamma(2.0, 0.5, len(eta))).astype(float)
    if family == "tweedie":
        return np.where(rng.random(len(eta)) < 0.3, 0.0, np.exp(0.4 * eta) * rng.gamma(2.0, 0.5, len(eta)))
    if family == "beta":
        p = 1 / (1 + np.exp(-0.5 * eta))
        return rng.beta(4.0 * p, 4.0 * (1 - p))
    if FAMILIES[family].support == "positive":
        return np.exp(0.4 * eta) * rng.gamma(2.0, 0.5, len(eta))
    return (rng.random(len(eta)) < 1 / (1 + np.exp(-eta))).astype(float)


MIXED = [
    ("binomial", "logit"),
    ("binomial", "probit"),
    ("binomial", "cloglog"),
    ("binomial", "loglog"),
    ("binomial", "cauchit"),
    ("poisson", "log"),
    ("gaussian", "identity"),
    ("gaussian", "log"),
    ("gamma", "log"),
    ("inverse_gaussian", "log"),
    ("negative_binomial", "log"),
    ("negative_binomial1", "log"),
    ("beta", "logit"),
    ("beta", "cauchit"),
    ("tweedie", "log"),
]


def mixed_vector(family):
    return np.array([0.2, 0.2, -0.1, 0.5, 0.1, 0.4, *((-0.4,) if family == "gaussian" else PSI.get(family, ()))])


@pytest.mark.parametrize(("family", "link"), MIXED)
@pytest.mark.parametrize("weighted", [False, True])
def test_mixed_gradients_equal_differences_and_one_point_is_laplace(small, family, link, weighted):
    weights = small["weights"] if weighted else None
    model = MixedModel(rows_of(small, simulated(small, family), weights), small["starts"], small["z"], 2, None, weights)
    kernels, v = kernels_of(family, link), mixed_vector(family)
    laplace = model.laplace(*kernels, v, 1)
    assert laplace.ok
    np.testing.assert_allclose(laplace.gradient, differences(lambda w: model.laplace(*kernels, w, 0).deviance, v), rtol=1e-6, atol=1e-5)
    one = model.quadrature(*kernels, v, 1, *rule(1, 2))
    assert one.deviance == pytest.approx(laplace.deviance, abs=1e-10)
    np.testing.assert_allclose(one.gradient, laplace.gradient, atol=1e-8)
    for count in (2, 7):
        e = model.quadrature(*kernels, v, 1, *rule(count, 2), scores=True)
        numeric = differences(lambda w, count=count: model.quadrature(*kernels, w, 0, *rule(count, 2)).deviance, v)
        np.testing.assert_allclose(e.gradient, numeric, rtol=1e-6, atol=1e-5)
        np.testing.assert_allclose(e.scores.sum(axis=0), e.gradient, atol=1e-9)


@pytest.mark.parametrize(("family", "link"), MIXED)
@pytest.mark.parametrize("weighted", [False, True])
def test_the_exact_laplace_hessian_equals_differences_of_the_gradient(small, family, link, weighted):
    weights = small["weights"] if weighted else None
    model = MixedModel(rows_of(small, simulated(small, family), weights), small["starts"], small["z"], 2, None, weights)
    kernels, v = kernels_of(family, link), mixed_vector(family)
    numeric = np.array(
        [(model.laplace(*kernels, v + d, 1).gradient - model.laplace(*kernels, v - d, 1).gradient) / 2e-5 for d in np.eye(len(v)) * 1e-5]
    )
    exact = model.laplace_hessian(*kernels, v)
    np.testing.assert_allclose(exact, 0.5 * (numeric + numeric.T), rtol=1e-5, atol=1e-5 * np.abs(numeric).max())


@pytest.mark.parametrize("reml", [False, True])
def test_the_lmm_gradient_is_right_where_a_column_of_t_is_zero(small, reml):
    y = small["eta"] + np.random.default_rng(1).normal(size=len(small["eta"]))
    model = LinearMixed(rows_of(small, y, small["weights"]), small["refs"].astype(np.int32), 25, small["z"], 2)
    for theta in ([0.8, 0.2, 0.0], [0.0, 0.0, 0.6], [0.0, 0.5, 0.0]):
        e = model.evaluate(factor(theta), reml, derivatives=True)
        numeric = differences(lambda v: model.evaluate(factor(v), reml).deviance, np.array(theta))
        np.testing.assert_allclose(e.gradient, numeric, atol=2e-6)
        assert np.all(np.isfinite(e.hessian))


def test_the_lmm_takes_another_response(small):
    rng = np.random.default_rng(1)
    first, second = (small["eta"] + rng.normal(size=len(small["eta"])) + 1e6 for _ in range(2))
    refs = small["refs"].astype(np.int32)
    model, fresh = (LinearMixed(rows_of(small, y, small["weights"]), refs, 25, small["z"], 2) for y in (first, second))
    model.respond(second)
    a, b = (m.evaluate(factor([0.8, 0.2, 0.6]), True, derivatives=True) for m in (model, fresh))
    assert a.deviance == b.deviance
    np.testing.assert_array_equal(a.gradient, b.gradient)
    np.testing.assert_array_equal(a.beta, b.beta)


def rosenbrock(x):
    a, b = x
    gradient = np.array([-400.0 * a * (b - a * a) - 2.0 * (1.0 - a), 200.0 * (b - a * a)])
    return (
        True,
        100.0 * (b - a * a) ** 2 + (1.0 - a) ** 2,
        gradient,
        np.array([[1200.0 * a * a - 400.0 * b + 2.0, -400.0 * a], [-400.0 * a, 200.0]]),
    )


def limits_of(n, lower=-np.inf, scales=False):
    return Limits(np.full(n, lower), np.full(n, scales), np.ones(n, dtype=bool), 4.0, 1e-14, 200)


def test_newton_finds_a_minimum_past_a_saddle_and_stops_at_a_bound():
    found = minimise(rosenbrock, np.array([-1.2, 1.0]), limits_of(2))
    np.testing.assert_allclose(found.x, [1.0, 1.0], atol=1e-6)
    assert found.converged
    saddle = minimise(lambda x: (True, x[0] ** 4 - x[0] ** 2 + x[1] ** 2, np.array([4 * x[0] ** 3 - 2 * x[0], 2 * x[1]]),
                                 np.diag([12 * x[0] ** 2 - 2, 2.0])), np.array([1e-3, 1.0]), limits_of(2))  # fmt: skip
    np.testing.assert_allclose(np.abs(saddle.x), [np.sqrt(0.5), 0.0], atol=1e-6)
    bound = minimise(lambda x: (True, float(x[0]), np.ones(1), np.full((1, 1), 0.1)), np.array([1.0]), limits_of(1, 0.25, True))
    assert bound.x[0] == 0.25
    assert bound.floor.all()


@pytest.mark.parametrize(("family", "link"), [pair for pair in MIXED if pair[1] != "cauchit"])
def test_quadrature_converges_to_the_integral(small, family, link):
    refs, y = small["refs"], simulated(small, family)
    model = MixedModel(rows_of(small, y), small["starts"], None, 1, None, None)
    kernels, psi = kernels_of(family, link), PSI.get(family, ())
    v = np.array([0.2, 0.2, -0.1, 0.6, *psi])
    xb = small["x"] @ v[:3]
    total = constant(kernels[0], y, None, None, psi)
    for j in range(25):
        at = refs == j
        total += cluster_loglik(lambda e, at=at: jets(*kernels, y[at], e, None, psi)[0].sum(), xb[at], v[3])
    assert model.quadrature(*kernels, v, 0, *rule(61, 1)).deviance == pytest.approx(
        -2 * total, abs=2e-7 if family != "inverse_gaussian" else 5e-6
    )


def test_sums_do_not_depend_on_threads():
    rng = np.random.default_rng(3)
    n = 70_000
    refs = np.sort(rng.integers(0, 9_000, n))
    starts = np.concatenate([[0], np.cumsum(np.bincount(refs, minlength=9_000))]).astype(np.int64)
    matrix = Matrix(n, 2, (Block(np.array([0])), Block(np.array([1]), rng.normal(size=n))))
    y = (rng.random(n) < 0.4).astype(float)
    beta, v = np.array([0.1, 0.2]), np.array([0.1, 0.2, 0.7])
    results = []
    for threads in (1, 2, 3):
        rows = Rows(matrix, np.zeros(2), np.ones(2), y, threads=threads)
        g = rows.glm(1, 2, beta)
        e = gee_pass(rows, 1, 2, (), beta, starts, Whitening(1, 0.3), scores=True)
        m = MixedModel(rows, starts, None, 1, None, None)
        q = m.quadrature(1, 2, v, 2, *rule(5, 1))
        p = m.laplace(1, 2, v, 2)
        lmm = LinearMixed(rows, refs.astype(np.int32), 9_000, None, 1).evaluate(np.array([[0.5]]), True, derivatives=True)
        results.append([g.loglik, *g.score, *g.information.ravel(), *e.bread.ravel(), *e.score, q.deviance, *q.gradient, *q.hessian.ravel(),
                        p.deviance, *p.gradient, *p.hessian.ravel(), lmm.deviance, *lmm.gradient])  # fmt: skip
    assert results[0] == results[1] == results[2]


def test_indicator_blocks_equal_the_dense_matrix():
    rng = np.random.default_rng(4)
    n = 5_000
    codes = rng.integers(-1, 30, n).astype(np.int32)
    other = rng.integers(-1, 4, n).astype(np.int32)
    x = rng.normal(size=n)
    matrix = Matrix(
        n,
        36,
        (
            Block(np.array([0])),
            Block(np.arange(2, 32), None, codes),
            Block(np.array([1]), x),
            Block(np.arange(32, 36), x, other),
        ),
    )
    dense = matrix.dense()
    y, size = (rng.random(n) < 0.5).astype(float), rng.uniform(0.5, 2, n)
    scale = rng.uniform(0.5, 2.0, 36)
    scale[0] = 1.0  # the constant stays as it is
    center = np.where(np.arange(36) == 1, 0.3, 0.0)
    beta = rng.normal(size=36) * 0.1
    work = (dense - center) / scale
    rows = Rows(matrix, center, scale, y, size)
    g = rows.glm(1, 2, beta)
    p = 1 / (1 + np.exp(-work @ beta))
    np.testing.assert_allclose(g.score, work.T @ (size * (y - p)), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(g.information, (work * (size * p * (1 - p))[:, None]).T @ work, rtol=1e-10, atol=1e-9)
    np.testing.assert_allclose(rows.gram(), (work * size[:, None]).T @ work, rtol=1e-10, atol=1e-9)
    r = rows.qr()
    np.testing.assert_allclose(r.T @ r, (work * size[:, None]).T @ work, rtol=1e-9, atol=1e-8)
    np.testing.assert_allclose(rows.eta(beta), work @ beta, atol=1e-12)
    order = rng.permutation(n)
    shuffled = Rows(matrix, center, scale, y, size, order=order.astype(np.int64))
    np.testing.assert_allclose(shuffled.glm(1, 2, beta).information, g.information, rtol=1e-11)
    np.testing.assert_array_equal(shuffled.eta(beta), rows.eta(beta)[order])
