"""Variances at zero, correlations at their limits, a residual that vanishes: what is found, said and answered.

A model at a limit is a simpler model, or its log-likelihood is that of a dense multivariate normal.
"""

import numpy as np
import pytest
from scipy import optimize, stats

import glimm


def visits(levels=30, occasions=5, effects=None, noise=1.0, seed=4, even=False):
    """Levels with each occasion twice; effects : (levels, occasions); even : errors that sum to zero in each pair."""
    rng = np.random.default_rng(seed)
    g, visit = np.repeat(np.arange(levels), 2 * occasions), np.tile(np.arange(occasions), 2 * levels)
    frame = {"x": rng.normal(size=len(g)), "g": g, "visit": visit, "t": visit * 1.0, "h": rng.integers(0, 8, len(g))}
    error = noise * rng.normal(size=len(g))
    if even:
        error -= (np.bincount(5 * g + visit, error) / 2)[5 * g + visit]
    eta = 0.5 * frame["x"] + (0.0 if effects is None else effects[g, visit]) + 0.6 * rng.normal(size=8)[frame["h"]]
    return {**frame, "y": eta + error, "b": (rng.logistic(size=len(g)) < eta).astype(int)}


def constant(seed=5):
    return np.tile(np.random.default_rng(seed).normal(size=(30, 1)), 5)


def fit_warned(formula, data, words, **more):
    with pytest.warns(glimm.GlimmWarning, match=words):
        fit = glimm.glmm(formula, data, **more)
    assert fit.record.solution.code == "boundary"
    assert fit.converged
    assert np.isfinite(fit.bse).all()
    return fit


def dense(frame, covariance):
    """Log-likelihood (ML) of a normal response with the covariance, beta by generalised least squares."""
    x = np.column_stack([np.ones(len(frame["y"])), frame["x"]])
    w = np.linalg.solve(covariance, x)
    return stats.multivariate_normal.logpdf(frame["y"], x @ np.linalg.solve(x.T @ w, w.T @ frame["y"]), covariance)


@pytest.mark.parametrize("family", ["gaussian", "binomial"])
@pytest.mark.parametrize("structure", ["homcs(0 + C(visit) | g)", "ar1(0 + C(visit) | g)", "ou(0 + t | g)"])
def test_effects_that_do_not_change_are_an_intercept(structure, family):
    data, response = visits(effects=constant(), even=True), {"gaussian": "y", "binomial": "b"}[family]
    more = {"family": family, "points": 1} if family == "binomial" else {"reml": False}
    fit = fit_warned(f"{response} ~ x + {structure} + (1 | h)", data, r"the estimate of g\.(rho|rate) is (1|0), the limit", **more)
    same = glimm.glmm(f"{response} ~ x + (1 | g) + (1 | h)", data, **more)
    assert abs(fit.llf - same.llf) < 1e-5
    np.testing.assert_allclose(fit.params, same.params, atol=1e-5)
    np.testing.assert_allclose(fit.bse, same.bse, rtol=1e-4)
    assert abs(fit.theta[0] - same.theta[0]) < 1e-4
    np.testing.assert_allclose(fit.predict(data), same.predict(data), atol=1e-4)
    np.testing.assert_allclose(fit.predict(data, target="marginal"), same.predict(data, target="marginal"), atol=1e-5)
    assert np.isfinite(fit.marginal_params().std_error).all()
    assert "the limit of what" in fit.summary()
    assert np.isfinite(np.asarray(fit.simulate(2, 1))).all()


def test_effects_that_sum_to_zero_reach_the_lower_limit():
    rng = np.random.default_rng(1)
    effects = rng.normal(size=(30, 5))
    data = visits(effects=effects - effects.mean(axis=1, keepdims=True), even=True)
    fit = fit_warned("y ~ x + homcs(0 + C(visit) | g)", data, r"the estimate of g\.rho is -0\.25, the limit", reml=False)
    sd, rho = fit.theta[0] * fit.sigma, fit.theta[1]
    assert rho == pytest.approx(-0.25, abs=1e-7)

    def covariance(sd, rho, sigma):
        same, cell = np.equal.outer(data["g"], data["g"]), np.equal.outer(data["visit"], data["visit"])
        return sigma**2 * np.eye(len(same)) + sd**2 * same * np.where(cell, 1.0, rho)

    assert fit.llf == pytest.approx(dense(data, covariance(sd, rho, fit.sigma)), abs=1e-6)
    best = optimize.minimize(
        lambda v: -dense(data, covariance(np.exp(v[0]), -0.25, np.exp(v[1]))), np.log([sd, fit.sigma]) + 0.1, method="Nelder-Mead", tol=1e-7
    )
    assert fit.llf >= -best.fun - 1e-6
    assert fit.llf > dense(data, covariance(sd, -0.24, fit.sigma))


def test_a_correlation_between_limits_is_found_from_both():
    falls = np.linalg.cholesky(0.5 ** np.abs(np.subtract.outer(np.arange(5), np.arange(5))))
    data = visits(effects=np.random.default_rng(3).normal(size=(30, 5)) @ falls.T)
    fit = glimm.glmm("y ~ x + ar1(0 + C(visit) | g)", data, reml=False)
    same = np.equal.outer(data["g"], data["g"])
    lag = np.abs(np.subtract.outer(data["visit"], data["visit"]))

    def negative(v):
        return -dense(data, np.exp(2 * v[1]) * np.eye(len(lag)) + np.exp(2 * v[0]) * same * np.tanh(v[2]) ** lag)

    best = optimize.minimize(negative, [0.0, 0.0, 0.5], method="Nelder-Mead", options={"xatol": 1e-6, "fatol": 1e-9})
    assert fit.llf == pytest.approx(-best.fun, abs=1e-6)
    np.testing.assert_allclose([fit.theta[0] * fit.sigma, fit.sigma, fit.theta[1]], [*np.exp(best.x[:2]), np.tanh(best.x[2])], rtol=1e-4)


@pytest.mark.parametrize("term", ["(1 | g)", "ou(0 + t | g)"])
def test_a_variance_of_zero_beside_another_term(term):
    data = visits()
    data["g"], data["h"] = np.arange(300) // 2 % 15, np.arange(300) // 30 % 5
    data["y"] = data["y"] + data["h"]
    for name in ("x", "y"):
        data[name] = data[name] - np.bincount(data["g"], data[name])[data["g"]] / 20
    fit = fit_warned(f"y ~ x + {term} + (1 | h)", data, r"the estimated variance of g\.(Intercept|sd) is zero")
    without = glimm.glmm("y ~ x + (1 | h)", data)
    assert fit.llf == pytest.approx(without.llf, abs=1e-7)
    np.testing.assert_allclose(fit.params, without.params, atol=1e-6)
    np.testing.assert_allclose(fit.bse, without.bse, rtol=1e-6)
    assert fit.theta[0] == 0.0
    assert (fit.ranef().query("group == 'g'").estimate == 0.0).all()
    np.testing.assert_allclose(fit.predict(data), without.predict(data), atol=1e-6)
    assert "nan" not in fit.summary()


@pytest.mark.filterwarnings("ignore:Laplace is not accurate")
def test_two_terms_of_one_grouping_of_which_one_is_left():
    data = visits(effects=constant())
    sign = np.tile([1.0, -1.0], 150)
    data["x"] = sign
    data["b"] = (np.repeat(np.random.default_rng(6).normal(size=30), 10) > 0.0).astype(int)
    data["b"][::7] = 1 - data["b"][::7]
    fit = fit_warned("b ~ x + (1 | g) + (0 + x | g)", data, r"the estimated variance of g\.x is zero", family="binomial", points=1)
    without = glimm.glmm("b ~ x + (1 | g)", data, family="binomial", points=1)
    assert fit.llf == pytest.approx(without.llf, abs=1e-6)
    np.testing.assert_allclose(fit.bse, without.bse, rtol=1e-4)


@pytest.mark.parametrize("seed", [0, 2, 7])
def test_a_residual_that_vanishes(seed):
    rng = np.random.default_rng(seed)
    g, visit = np.repeat(np.arange(60), 4), np.tile(np.arange(4), 60)
    effects = rng.normal(size=(60, 4)) + rng.normal(size=(60, 1))
    data = {"g": g, "visit": visit, "x": rng.normal(size=240), "y": (effects * [1.0, 1.5, 0.7, 2.0])[g, visit]}
    fit = fit_warned("y ~ x + cs(0 + C(visit) | g)", data, "the estimated residual variance runs to zero: the effects of g", reml=False)
    sd, rho = fit.theta[:4] * fit.sigma, fit.theta[4]
    r = rho + (1.0 - rho) * np.eye(4)
    covariance = np.kron(np.eye(60), r * np.outer(sd, sd) + fit.sigma**2 * np.eye(4))
    assert fit.llf == pytest.approx(dense(data, covariance), abs=1e-5)

    def negative(v):
        s, q = np.exp(v[:4]), np.tanh(v[4])
        return -dense(data, np.kron(np.eye(60), (q + (1.0 - q) * np.eye(4)) * np.outer(s, s)))

    best = optimize.minimize(negative, [*np.log(sd), np.arctanh(rho)], method="BFGS")
    assert fit.llf >= -best.fun - 1e-5


def test_effects_that_alternate_have_no_correlation_that_falls():
    alternate = np.linalg.cholesky((-0.6) ** np.abs(np.subtract.outer(np.arange(5), np.arange(5))))
    data = visits(effects=np.random.default_rng(2).normal(size=(30, 5)) @ alternate.T)
    data["cell"] = 5 * data["g"] + data["visit"]
    fit = fit_warned("y ~ x + ou(0 + t | g)", data, r"the estimate of g\.rate is infinite, the limit of what ou can have", reml=False)
    same = glimm.glmm("y ~ x + (1 | cell)", data, reml=False)
    assert fit.llf == pytest.approx(same.llf, abs=1e-7)
    np.testing.assert_allclose(fit.bse, same.bse, rtol=1e-6)
    np.testing.assert_allclose(fit.fittedvalues, same.fittedvalues, atol=1e-6)
    drawn = np.asarray(fit.simulate(2000, 1)) - np.asarray(fit.predict(target="typical"))[:, None]
    first, second = (drawn[np.arange(j, 300, 10)].ravel() for j in (0, 1))
    assert np.mean(first * second) == pytest.approx(0.0, abs=0.03)
    assert np.var(first) == pytest.approx(fit.sigma**2 * (1.0 + fit.theta[0] ** 2), rel=0.02)


@pytest.mark.filterwarnings("ignore::glimm.GlimmWarning")
@pytest.mark.parametrize(("levels", "seed"), [(10, 4), (10, 1)])
def test_a_structure_is_not_below_one_that_it_contains(levels, seed):
    """Effects that nearly sum to zero: the likelihood of toep has a singular local optimum beside a better one."""
    rng = np.random.default_rng(seed)
    data = {"g": np.repeat(np.arange(levels), 8), "visit": np.tile(np.repeat(np.arange(4), 2), levels)}
    effects = rng.multivariate_normal(np.zeros(4), 1.33 * np.eye(4) - 0.33, size=levels)
    data["x"] = rng.normal(size=8 * levels)
    data["y"] = 0.3 * data["x"] + effects[data["g"], data["visit"]] + 0.2 * rng.normal(size=8 * levels)
    llf = {s: glimm.glmm(f"y ~ x + {s}(0 + C(visit) | g)", data, reml=False).llf for s in ("us", "toep", "cs", "homcs", "ar1")}
    for large, small in (("us", "toep"), ("toep", "cs"), ("cs", "homcs"), ("toep", "ar1")):
        assert llf[large] >= llf[small] - 1e-4, (large, small)


@pytest.mark.filterwarnings("ignore::glimm.GlimmWarning")
@pytest.mark.parametrize("seed", range(12))
def test_two_effects_with_any_correlation(seed):
    """cs of two effects is us: a variance is not zero only because the correlation has the other sign."""
    rng = np.random.default_rng(seed)
    data = {"g": rng.integers(0, 6, 60), "x": rng.normal(size=60)}
    data["y"] = 0.5 * data["x"] + 1.5 * rng.normal(size=6)[data["g"]] + rng.normal(size=60)
    one = glimm.glmm("y ~ x + cs(1 + x | g)", data)
    other = glimm.glmm("y ~ x + (1 + x | g)", data)
    assert abs(one.llf - other.llf) < 1e-5


@pytest.mark.parametrize("formula", ["y ~ x + C(g) + (1 | g)", "y ~ C(g):x + (0 + x | g) + (1 | h)", "y ~ C(g) + x + (1 + x | g)"])
def test_predictors_that_span_the_effects(formula):
    with pytest.raises(glimm.GlimmError, match="random effects of 'g': the predictors take up all that differs between its levels"):
        glimm.glmm(formula, visits(levels=6))
