"""Structures of standard deviations and correlations: derivatives against differences, correlations against their definitions."""

import numpy as np
import pytest
from scipy.linalg import solve_toeplitz, toeplitz

from glimm.covariance.correlated import CORRELATED, droot, dtheta, n_sds, root, theta
from glimm.covariance.layout import dnamed_theta, named_theta, shape, start_of, without

SIDES = [2, 3, 5, 8]
TIMES = np.array([0.0, 0.3, 1.7, 2.0, 4.5, 4.6, 9.0, 11.0])


def drawn(name, k, seed, size=1.0):
    """(structure, parameters, times of the effects)."""
    s = CORRELATED[name]
    rng = np.random.default_rng([seed, k])
    par = np.concatenate([rng.uniform(0.2, 3.0, n_sds(s, k)), size * rng.normal(size=s.correlations(k))])
    return s, par, TIMES[:k] if name == "ou" else np.arange(float(k))


def differences(f, x, h=1e-6):
    return np.array([(f(x + d) - f(x - d)) / (2 * h) for d in np.eye(len(x)) * h])


def assert_derivatives(got, f, x, tolerance):
    np.testing.assert_allclose(got, differences(f, x), rtol=1e-6, atol=tolerance)


@pytest.mark.parametrize("k", SIDES)
@pytest.mark.parametrize("name", CORRELATED)
def test_derivatives_equal_differences(name, k):
    for seed in range(5):
        s, par, times = drawn(name, k, seed)
        assert_derivatives(droot(s, par, times), lambda v, s=s, times=times: root(s, v, times), par, 1e-6)
        assert_derivatives(dtheta(s, par, k).T, lambda v, s=s: theta(s, v, k), par, 1e-7)


@pytest.mark.parametrize("k", SIDES)
@pytest.mark.parametrize("name", CORRELATED)
def test_any_parameters_give_a_correlation_matrix(name, k):
    for seed in range(40):
        s, par, times = drawn(name, k, seed, size=3.0)
        w = np.clip(par[n_sds(s, k) :], -6.0, 6.0)
        r = s.correlation(w, times)
        np.testing.assert_array_equal(np.diag(r), np.ones(k))
        np.testing.assert_array_equal(r, r.T)
        assert np.linalg.eigvalsh(r).min() > -1e-14 * k
        low = root(s, np.concatenate([par[: n_sds(s, k)], w]), times)
        if np.isfinite(low).all():
            sds = np.broadcast_to(par[: n_sds(s, k)], k)
            np.testing.assert_allclose(low @ low.T, sds[:, None] * r * sds, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", CORRELATED)
def test_covariances_are_those_of_the_definition(name):
    k = 5
    s, par, times = drawn(name, k, 3, size=0.7)
    sds, natural = np.broadcast_to(par[: n_sds(s, k)], k), theta(s, par, k)[n_sds(s, k) :]
    lag = np.abs(times[:, None] - times)
    want = {
        "cs": lambda: np.where(lag == 0, 1.0, natural[0]),
        "homcs": lambda: np.where(lag == 0, 1.0, natural[0]),
        "ar1": lambda: natural[0] ** lag,
        "ou": lambda: np.exp(-natural[0] * lag),
        "toep": lambda: toeplitz([1.0, *natural]),
    }[name]()
    low = root(s, par, times)
    np.testing.assert_allclose(low @ low.T, np.outer(sds, sds) * want, rtol=1e-12)
    assert not np.triu(low, 1).any()


@pytest.mark.parametrize("order", [1, 2, 4])
def test_partial_autocorrelations_give_those_of_the_autoregression(order):
    """rho of a stationary AR(order): its coefficients solve the Yule-Walker equations, and rho goes on by its recursion."""
    k = 7
    for seed in range(10):
        w = np.zeros(k - 1)
        w[:order] = 1.5 * np.random.default_rng([seed, order]).normal(size=order)
        rho = CORRELATED["toep"].natural(w, k)
        phi = solve_toeplitz(np.concatenate([[1.0], rho[: order - 1]]), rho[:order])
        np.testing.assert_allclose(phi[-1], np.tanh(w[order - 1]), rtol=1e-9)  # the last coefficient is the last partial autocorrelation
        assert np.all(np.abs(np.roots([1.0, *-phi])) < 1.0)  # stationary
        whole = np.concatenate([[1.0], rho])
        for j in range(order, k):
            np.testing.assert_allclose(whole[j], phi @ whole[j - order : j][::-1], rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("k", SIDES)
@pytest.mark.parametrize("name", ["cs", "homcs"])
def test_the_least_correlation_is_the_one_that_k_effects_can_have(name, k):
    s = CORRELATED[name]
    rho = s.natural(np.array([-40.0]), k)[0]
    assert rho == pytest.approx(-1.0 / (k - 1), abs=1e-12)
    assert s.natural(np.array([40.0]), k)[0] == pytest.approx(1.0, abs=1e-12)
    assert s.natural(s.start(k, 1.0), k)[0] == pytest.approx(0.0, abs=1e-15)


@pytest.mark.parametrize("name", CORRELATED)
def test_a_correlation_at_its_limit_has_a_factor_and_derivatives(name):
    k = 4
    s, par, times = drawn(name, k, 1)
    m = n_sds(s, k)
    sds = np.broadcast_to(par[:m], k)
    for c in range(m, len(par)):
        for end in (-60.0, 60.0):
            moved = par.copy()
            moved[c] = end
            low = root(s, moved, times)
            np.testing.assert_allclose(low @ low.T, sds[:, None] * s.correlation(moved[m:], times) * sds, atol=1e-12)
            assert np.isfinite(droot(s, moved, times)).all()


def test_what_is_not_finite_is_nan_and_raises_nothing():
    s = CORRELATED["ou"]
    assert np.isnan(root(s, np.array([1.0, np.inf]), TIMES[:3])).any()
    assert np.isnan(droot(s, np.array([1.0, np.nan]), TIMES[:3])).any()


@pytest.mark.parametrize("name", CORRELATED)
def test_shapes_of_all_and_of_some_parameters(name):
    patterns = (TIMES[:4], TIMES[[1, 6]], TIMES[[2]]) if name == "ou" else None
    k = 4
    whole = shape(name, k, patterns)
    x = start_of(whole, np.full(k, 0.8)) + 0.1 * np.random.default_rng(2).normal(size=whole.size)
    held = np.zeros(whole.size, dtype=bool)
    held[0] = True
    some = without(whole, x, held)
    assert some.size == (whole.size - 1 if name in ("cs", "toep") else 0)
    for s, v in ((whole, x), (some, x[some.free])):
        np.testing.assert_allclose(s.dlambdas(v), differences(s.lambdas, v).reshape(s.size, -1) if s.size else s.dlambdas(v), atol=1e-7)
        want = differences(lambda t, s=s: named_theta(s, name, t, np.eye(k)), v).T if s.size else np.zeros((whole.size, 0))
        np.testing.assert_allclose(dnamed_theta(s, name, v, np.eye(k)), want, atol=1e-7)
    assert some.lambdas(x[some.free])[0] == 0.0
