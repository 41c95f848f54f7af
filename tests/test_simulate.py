"""fit.simulate: moments against closed forms, within five Monte-Carlo standard errors; what it refuses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.special import digamma
from scipy.stats import multivariate_normal, norm

import glimm
from glimm.inference.distributions import DISTRIBUTIONS
from glimm.inference.simulate import draw_effects

N = 20_000


@pytest.fixture(scope="module")
def frame():
    rng = np.random.default_rng(31)
    g = np.repeat(np.arange(25), 4)
    x, m = rng.normal(size=100), rng.integers(2, 9, 100)
    eta = 0.3 + 0.4 * x + 0.6 * rng.normal(size=25)[g]
    return pd.DataFrame(
        {
            "g": g,
            "x": x,
            "m": m,
            "w": rng.integers(1, 4, 100),
            "t": rng.uniform(1.0, 3.0, 100),
            "y": eta + 0.5 * rng.normal(size=100) + 0.5 * rng.normal(size=25)[g] * x,
            "s": rng.binomial(m, norm.cdf(eta)),
            "c": rng.poisson(np.exp(eta)),
        }
    )


def assert_mean(draws, want, n=N):
    error = draws.std(axis=1) / np.sqrt(n)
    assert np.max(np.abs(draws.mean(axis=1) - want) / error) < 5.0


def assert_covariance(a, b, want):
    """Means over simulations of the product of deviations, per pair of rows."""
    product = (a - a.mean(axis=1, keepdims=True)) * (b - b.mean(axis=1, keepdims=True))
    assert np.max(np.abs(product.mean(axis=1) - want) / (product.std(axis=1) / np.sqrt(N))) < 5.0


def marginal_covariance(fit, frame):
    """Z S Z' of the rows, written out from varcorr."""
    v = fit.varcorr()
    sd = v["std_dev"].to_numpy()
    s = np.diag(sd[:-1] ** 2)
    s[0, 1] = s[1, 0] = v["corr_Intercept"].iloc[1] * sd[0] * sd[1]
    z = np.column_stack([np.ones(len(frame)), frame["x"]])
    same = frame["g"].to_numpy()[:, None] == frame["g"].to_numpy()
    return z @ s @ z.T * same, sd[-1] ** 2


def test_a_linear_mixed_model_with_slopes_and_weights(frame):
    fit = glimm.glmm("y ~ x + (1 + x | g)", frame, weights="w")
    draws = fit.simulate(N, 1)
    assert draws.shape == (100, N)
    assert draws.flags.f_contiguous
    assert_mean(draws, fit.predict(target="typical"))
    between, sigma2 = marginal_covariance(fit, frame)
    assert_covariance(draws, draws, np.diag(between) + sigma2 / frame["w"])
    assert_covariance(draws, np.roll(draws, 1, axis=0), np.array([between[i, i - 1] for i in range(100)]))


def test_fitted_effects(frame):
    fit = glimm.glmm("y ~ x + (1 + x | g)", frame)
    draws = fit.simulate(N, 2, effects="fitted")
    assert_mean(draws, fit.fittedvalues)
    assert_covariance(draws, draws, np.full(100, fit.scale))
    assert_covariance(draws, np.roll(draws, 1, axis=0), np.zeros(100))


def test_counts_with_an_exposure(frame):
    fit = glimm.glmm("c ~ x + (1 | g)", frame, family="poisson", exposure="t", points=9)
    draws = fit.simulate(N, 3)
    s2 = fit.theta[0] ** 2
    typical = fit.params.iloc[0] + fit.params.iloc[1] * frame["x"].to_numpy() + np.log(frame["t"].to_numpy())
    mean = np.exp(typical + 0.5 * s2)
    assert_mean(draws, mean)
    assert_covariance(draws, draws, mean + mean**2 * np.expm1(s2))
    same = np.roll(frame["g"], 1) == frame["g"]
    assert_covariance(draws, np.roll(draws, 1, axis=0), same * mean * np.roll(mean, 1) * np.expm1(s2))
    assert np.array_equal(draws, np.rint(draws))


def test_trials_with_a_probit(frame):
    fit = glimm.glmm("s / m ~ x + (1 | g)", frame, family="binomial", link="probit", points=9)
    draws = fit.simulate(N, 4)
    m, s2 = frame["m"].to_numpy(), fit.theta[0] ** 2
    limit = (fit.params.iloc[0] + fit.params.iloc[1] * frame["x"].to_numpy()) / np.sqrt(1.0 + s2)
    p = norm.cdf(limit)
    assert_mean(draws, p)
    r = s2 / (1.0 + s2)
    both = np.array([multivariate_normal.cdf([a, a], cov=[[1.0, r], [r, 1.0]]) for a in limit])
    assert_covariance(draws, draws, (p - both) / m + both - p**2)
    assert np.allclose(draws * m[:, None], np.rint(draws * m[:, None]))
    assert fit.refit(draws[:, 0]).converged


def test_generalised_linear_models(frame):
    gaussian = glimm.glm("y ~ x", frame, weights="w")
    draws = gaussian.simulate(N, 5)
    assert_mean(draws, gaussian.fittedvalues)
    assert_covariance(draws, draws, gaussian.scale / frame["w"])
    binary = glimm.glm("I(c > 1) ~ x", frame, family="binomial")
    draws = binary.simulate(N, 6)
    assert_mean(draws, binary.fittedvalues)
    assert set(np.unique(draws)) == {0.0, 1.0}


def test_seeds(frame):
    fit = glimm.glmm("c ~ x + (1 | g)", frame, family="poisson", points=1)
    assert np.array_equal(fit.simulate(3, 8), fit.simulate(3, seed=np.random.default_rng(8)))
    assert not np.array_equal(fit.simulate(3, 8), fit.simulate(3, 9))
    assert fit.simulate().shape == (100, 1)


# Two moments and a third number per family, each with its closed form: mean, variance, E f(Y).
MU, W = np.array([0.3, 0.6]), np.array([1.0, 2.0])
THIRD = {
    "gaussian": ({"phi": 0.5}, lambda y: y**3, lambda m, v, w: m**3 + 3.0 * m * v["phi"] / w),
    "binomial": ({}, lambda y: y**3, lambda m, v, w: m),
    "poisson": ({}, lambda y: y == 0, lambda m, v, w: np.exp(-m)),
    "gamma": ({"phi": 0.5}, np.log, lambda m, v, w: digamma(w / v["phi"]) + np.log(m * v["phi"] / w)),
    "inverse_gaussian": ({"phi": 0.5}, np.reciprocal, lambda m, v, w: 1.0 / m + v["phi"] / w),
    "negative_binomial": ({"k": 1.5}, lambda y: y == 0, lambda m, v, w: (v["k"] / (v["k"] + m)) ** v["k"]),
    "negative_binomial1": ({"alpha": 0.7}, lambda y: y == 0, lambda m, v, w: (1.0 + v["alpha"]) ** (-m / v["alpha"])),
    "beta": ({"precision": 4.0}, np.log, lambda m, v, w: digamma(4.0 * m) - digamma(4.0)),
    "tweedie": ({"phi": 0.8, "power": 1.6}, lambda y: y == 0, lambda m, v, w: np.exp(-(m**0.4) * w / (0.8 * 0.4))),
}


@pytest.mark.parametrize("family", DISTRIBUTIONS)
def test_moments_of_every_distribution(family):
    values, f, third = THIRD[family]
    distribution, n = DISTRIBUTIONS[family], 400_000
    for w in (np.ones(2), W) if distribution.weighted else (np.ones(2),):
        draws = distribution.draw(np.random.default_rng(11), np.tile(MU, (n, 1)), values, w, 1.0).T
        assert_mean(draws, MU, n)
        variance = distribution.variance(MU, values) / w
        square = (draws - MU[:, None]) ** 2
        assert np.max(np.abs(square.mean(axis=1) - variance) / (square.std(axis=1) / np.sqrt(n))) < 5.0
        assert_mean(f(draws).astype(float), third(MU, values, w), n)


@pytest.mark.filterwarnings("ignore::glimm.GlimmWarning")
@pytest.mark.parametrize("family", ["negative_binomial", "negative_binomial(2)", "tweedie", "tweedie(1.5)"])
def test_parameters_that_are_estimated_or_given(family, frame):
    """P(0) of each row; dispersions are those of the likelihood."""
    fit, name = glimm.glm("c ~ x", frame, family=family), family.partition("(")[0]
    own = {"k": 2.0, "power": 1.5} | (dict(fit.parts["family"].params) if "family" in fit.parts else {})
    mu = np.asarray(fit.fittedvalues)
    q = 2.0 - own["power"]
    want = np.exp(-(mu**q) / (own["phi"] * q)) if name == "tweedie" else THIRD[name][2](mu, own, 1.0)
    zero = (fit.simulate(N, 5) == 0).mean(axis=1)
    assert np.max(np.abs(zero - want) / np.sqrt(want * (1.0 - want) / N)) < 5.0


def test_variances_of_families():
    """Written out at mu = 2, of proportions at 1/2."""
    values = {"phi": 0.5, "k": 4.0, "alpha": 0.25, "precision": 3.0, "power": 1.5}
    want = {
        "gaussian": 0.5,
        "poisson": 2.0,
        "gamma": 2.0,
        "inverse_gaussian": 4.0,
        "negative_binomial": 3.0,
        "negative_binomial1": 2.5,
        "tweedie": 0.5 * 2.0**1.5,
    }
    for name, variance in want.items():
        assert DISTRIBUTIONS[name].variance(np.array([2.0]), values)[0] == pytest.approx(variance)
    assert DISTRIBUTIONS["beta"].variance(np.array([0.5]), values)[0] == 0.0625
    assert DISTRIBUTIONS["binomial"].variance(np.array([0.5]), values)[0] == 0.25


def test_effects_in_continuous_time(frame):
    term = glimm.glmm("y ~ x + (1 | g)", frame).record.design.mean.random[0]
    times, levels = np.array([0.0, 1.0, 1.5, 4.0, 2.0, 2.25, 7.0]), np.array([0, 0, 0, 0, 1, 2, 2], dtype=np.int32)
    term = replace(term, structure="ou", cells=np.zeros(100, dtype=np.int32), cell_refs=levels, times=times)
    drawn = draw_effects(term, np.array([[1.5]]), np.array([1.5, 0.4]), N, np.random.default_rng(12))
    assert drawn.shape == (1, N, 7)
    want = 2.25 * np.exp(-0.4 * np.abs(times[:, None] - times)) * (levels[:, None] == levels)
    got = np.cov(drawn[0].T)
    error = np.sqrt((2.25**2 + want**2) / N)
    assert np.max(np.abs(got - want) / error) < 5.0


def test_a_gee_has_no_distribution(frame):
    fit = glimm.gee("c ~ x", frame, groups="g", family="poisson")
    with pytest.raises(glimm.GlimmError, match=r"no distribution to draw from; draw from a mixed model.*glimm\.glm"):
        fit.simulate(2, 1)


@pytest.mark.parametrize("n", [0, -1, 2.0, True, "3", None])
def test_numbers_of_simulations(n, frame):
    with pytest.raises(glimm.GlimmError, match="n, the number of simulations, must be a whole number of at least 1"):
        glimm.glm("y ~ x", frame).simulate(n, 1)


@pytest.mark.parametrize("seed", [-1, 1.5, "seed"])
def test_seeds_that_are_none(seed, frame):
    with pytest.raises(glimm.GlimmError, match="seed must be a whole number of at least 0, a numpy Generator or None"):
        glimm.glm("y ~ x", frame).simulate(1, seed)


def test_kinds_of_effects(frame):
    with pytest.raises(glimm.GlimmError, match=r"effects must be 'new' \(drawn\) or 'fitted'"):
        glimm.glmm("y ~ x + (1 | g)", frame).simulate(1, 1, effects="none")


def test_impossible_means(frame):
    fit = glimm.glmm("c ~ x + (1 | g)", frame, family="poisson", points=1)
    part = replace(fit.record.design.mean, link=glimm.family.LINKS["identity"])
    record = replace(fit.record, design=replace(fit.record.design, parts={"mean": part}))
    with pytest.raises(
        glimm.GlimmError, match=r"impossible for family 'poisson', at row \d+.*refit with link='log' or use effects='fitted'"
    ):
        type(fit)(record, "model").simulate(50, 1)


def test_a_family_without_draws(frame):
    fit = glimm.glm("c ~ x", frame, family="poisson")
    record = replace(fit.record, family=replace(fit.record.family, name="quasipoisson"))
    with pytest.raises(glimm.GlimmError, match="family 'quasipoisson' has no distribution to draw from; those that have: gaussian"):
        type(fit)(record, "model").simulate(1, 1)


def test_weights_that_change_no_response(frame):
    fit = glimm.glm("c ~ x", frame, family="poisson", weights="w")
    with pytest.warns(glimm.GlimmWarning, match="weights multiply the log-likelihood of family 'poisson' but change no response") as caught:
        draws = fit.simulate(N, 13)
    assert caught[0].filename == __file__
    assert_covariance(draws, draws, fit.fittedvalues)


@pytest.mark.parametrize("family", ["tweedie(1.5)", "tweedie", "negative_binomial(2)"])
def test_parameters_given_and_estimated(family, frame):
    """Var Y = phi mu^power, or mu + mu^2 / k, with the values that the fit reports or was given."""
    fit = glimm.glm("c ~ 1", frame, family=family)
    draws, mu = fit.simulate(4000, 5), fit.fittedvalues.iloc[0]
    own = {"k": 2.0, "power": 1.5} | (fit.parts["family"].params.to_dict() if fit.parts else {})
    want = mu + mu**2 / own["k"] if family.startswith("neg") else own["phi"] * mu ** own["power"]
    assert_mean(draws.reshape(1, -1), np.array([mu]), draws.size)
    assert_mean((draws.reshape(1, -1) - mu) ** 2, np.array([want]), draws.size)


def test_a_users_family_has_no_draws(frame):
    own = glimm.CustomFamily("own", lambda y, mu: y * np.log(mu) - mu, link="log", support="count")
    with pytest.raises(glimm.GlimmError, match="family 'own' is your own, a log-density without a rule for drawing"):
        glimm.glm("c ~ x", frame, family=own).simulate(2, 1)
