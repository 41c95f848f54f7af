"""Predictions against closed forms, brute-force integration, simulation-free delta methods and R-like identities."""

import numpy as np
import pandas as pd
import pytest
from scipy import integrate, special, stats

import glimm
from glimm.family import LINKS
from glimm.inference.covariance import named, working_covariance
from glimm.marginal.average import average

MEAN = {
    "identity": lambda e: e,
    "log": np.exp,
    "logit": lambda e: 1 / (1 + np.exp(-e)),
    "probit": stats.norm.cdf,
    "cloglog": lambda e: -np.expm1(-np.exp(np.minimum(e, 700.0))),
    "loglog": lambda e: np.exp(-np.exp(np.minimum(-e, 700.0))),
    "cauchit": lambda e: 0.5 + np.arctan(e) / np.pi,
    "logc": lambda e: -np.expm1(e),
    "sqrt": lambda e: e**2,
}


def brute_force(link, eta, sd):
    ends = 38.0
    return integrate.quad(
        lambda z: MEAN[link](eta + sd * z) * stats.norm.pdf(z), -ends, ends, points=[-eta / sd, 0.0], limit=800, epsabs=1e-14
    )[0]


@pytest.mark.parametrize(
    ("link", "sd"), [(link, sd) for link in MEAN for sd in (0.1, 1.0, 2.166, 4.0, 9.0) if link not in ("log", "logc") or sd <= 4]
)
def test_averages_equal_brute_force_integration(link, sd):
    eta = np.array([-6.0, -1.3, 0.0, 0.4, 3.0])
    m, _, _ = average(LINKS[link], eta, np.full(5, sd))
    np.testing.assert_allclose(m, [brute_force(link, e, sd) for e in eta], rtol=2e-10, atol=2e-13)


def test_some_averages_do_not_exist():
    assert set(LINKS) - set(MEAN) == {"inverse", "inverse_squared"}
    far = average(LINKS["inverse"], np.array([30.0]), np.array([0.5]))[0]  # far from where it ends: E 1/X by its series
    np.testing.assert_allclose(far, (1 + 0.25 / 900 + 3 * 0.0625 / 810000) / 30.0, rtol=1e-9)
    with pytest.raises(glimm.GlimmError, match=r"no average over clusters here.*target='typical'"):
        average(LINKS["inverse"], np.array([1.0]), np.array([0.5]))


@pytest.mark.parametrize("link", list(MEAN))
def test_derivatives_of_averages_equal_differences(link):
    eta, sd, h = np.array([-2.0, 0.3, 1.5]), np.array([0.5, 1.7, 2.4]), 1e-6
    _, by_eta, by_sd = average(LINKS[link], eta, sd)
    np.testing.assert_allclose(by_eta, (average(LINKS[link], eta + h, sd)[0] - average(LINKS[link], eta - h, sd)[0]) / (2 * h), rtol=1e-7)
    numeric = (average(LINKS[link], eta, sd + h)[0] - average(LINKS[link], eta, sd - h)[0]) / (2 * h)
    np.testing.assert_allclose(by_sd, numeric, rtol=1e-7, atol=1e-10)


def test_no_spread_is_the_mean_itself():
    for link in MEAN:
        eta = np.array([-1.0, 0.2])
        np.testing.assert_allclose(average(LINKS[link], eta, np.zeros(2))[0], MEAN[link](eta), rtol=1e-14)


@pytest.fixture(scope="module")
def ohio():
    return glimm.load_dataset("ohio")


@pytest.fixture(scope="module")
def glmm(ohio):
    return glimm.glmm("resp ~ age * smoke + (1 | id)", ohio, family="binomial", points=25)


def test_the_three_targets_of_a_glmm(ohio, glmm):
    new = ohio.iloc[[0, 5, 2147]]
    eta = (
        glmm.params["Intercept"]
        + glmm.params["age"] * new.age
        + glmm.params["smoke"] * new.smoke
        + glmm.params["age:smoke"] * new.age * new.smoke
    )
    b = glmm.ranef().set_index("level")["estimate"].reindex(new.id).to_numpy()
    np.testing.assert_allclose(glmm.predict(new, target="typical"), MEAN["logit"](eta), rtol=1e-12)
    np.testing.assert_allclose(glmm.predict(new), MEAN["logit"](eta + b), rtol=1e-12)
    np.testing.assert_allclose(glmm.predict(new, scale="link"), eta + b, rtol=1e-12)
    marginal = [brute_force("logit", e, glmm.theta[0]) for e in eta]
    np.testing.assert_allclose(glmm.predict(new, target="marginal"), marginal, rtol=1e-9)
    np.testing.assert_allclose(glmm.fittedvalues.to_numpy(), glmm.predict(ohio), rtol=1e-12)


def test_unknown_clusters_are_counted(glmm, ohio):
    new = ohio.head(3).assign(id=[10_000, 0, 10_001])
    with pytest.warns(glimm.GlimmWarning, match="2 rows have no cluster that the fit knows"):
        out = glmm.predict(new)
    typical = glmm.predict(new, target="typical")
    assert out[0] == typical[0]
    assert out[2] == typical[2]
    assert out[1] != typical[1]


def test_missing_predictors_give_nan_and_unseen_levels_an_error():
    data = pd.DataFrame({"y": [1.0, 2.0, 4.0, 3.0], "f": list("abab"), "x": [0.0, 1.0, 2.0, 4.0]})
    fit = glimm.glm("y ~ f + x", data)
    out = fit.predict(pd.DataFrame({"f": ["a", None, "b"], "x": [1.0, 1.0, np.nan]}))
    assert np.isfinite(out[0])
    assert np.isnan(out[1:]).all()
    with pytest.raises(glimm.GlimmError, match="'z'"):
        fit.predict(pd.DataFrame({"f": ["z"], "x": [1.0]}))
    with pytest.raises(glimm.GlimmError, match="x"):
        fit.predict(pd.DataFrame({"f": ["a"]}))


def test_marginal_intervals_include_the_uncertainty_of_theta(glmm, ohio):
    new = ohio.iloc[[0, 3]]
    table = glmm.predict(new, target="marginal", interval="confidence")
    cov = named(glmm.record.design.mean, working_covariance(glmm.record))
    x = np.column_stack([np.ones(2), new.age, new.smoke, new.age * new.smoke])

    def means(v):
        return np.array([brute_force("logit", e, v[4]) for e in x @ v[:4]])

    v, h = glmm.record.vector, 1e-4
    jacobian = np.column_stack([(means(v + d) - means(v - d)) / (2 * h) for d in np.eye(5) * h])
    np.testing.assert_allclose(table["std_error"], np.sqrt(np.einsum("ij,jk,ik->i", jacobian, cov, jacobian)), rtol=1e-6)
    m, q = table["estimate"], stats.norm.ppf(0.975)
    half = q * table["std_error"] / (m * (1.0 - m))  # of the logit of the average, carried back
    for name, side in (("conf_low", -1.0), ("conf_high", 1.0)):
        np.testing.assert_allclose(table[name], special.expit(special.logit(m) + side * half), rtol=1e-9)


@pytest.mark.parametrize("link", ["logit", "probit", "cloglog"])
def test_glm_intervals_are_those_of_eta_carried_over(ohio, link):
    fit = glimm.glm("resp ~ age", ohio, family="binomial", link=link)
    new = pd.DataFrame({"age": [-2.0, 1.0]})
    on_link = fit.predict(new, scale="link", interval="confidence")
    x = np.column_stack([np.ones(2), new.age])
    se = np.sqrt(np.einsum("ij,jk,ik->i", x, fit.cov_params().to_numpy(), x))
    np.testing.assert_allclose(on_link["std_error"], se, rtol=1e-10)
    response = fit.predict(new, interval="confidence", level=0.9)
    eta, q = on_link["estimate"], stats.norm.ppf(0.95)
    np.testing.assert_allclose(response["conf_low"], MEAN[link](eta - q * se), rtol=1e-9)
    np.testing.assert_allclose(response["conf_high"], MEAN[link](eta + q * se), rtol=1e-9)


def test_gaussian_limits_use_t():
    data = pd.DataFrame({"y": [1.0, 2.5, 2.0, 4.0, 5.5], "x": [0.0, 1.0, 2.0, 3.0, 4.0]})
    fit = glimm.glm("y ~ x", data)
    half = stats.t.ppf(0.975, 3) * fit.bse
    np.testing.assert_allclose(fit.conf_int()["conf_high"], fit.params + half, rtol=1e-12)
    np.testing.assert_allclose(fit.pvalues, 2 * stats.t.sf(np.abs(fit.tvalues), 3), rtol=1e-10)
    ols = stats.linregress(data.x, data.y)
    assert fit.params["x"] == pytest.approx(ols.slope, rel=1e-12)
    assert fit.bse["x"] == pytest.approx(ols.stderr, rel=1e-12)


def test_normal_p_values_equal_scipy(ohio):
    fit = glimm.glm("resp ~ age * smoke", ohio, family="binomial")
    np.testing.assert_allclose(fit.pvalues, 2 * stats.norm.sf(np.abs(fit.tvalues)), rtol=1e-12)
    np.testing.assert_allclose(fit.conf_int(level=0.8)["conf_low"], fit.params - stats.norm.ppf(0.9) * fit.bse, rtol=1e-12)


def test_an_lmm_predicts_the_same_margin_and_typical(ohio):
    data = ohio.assign(y=np.random.default_rng(1).normal(size=len(ohio)) + ohio.id.map(lambda i: np.sin(i)))
    fit = glimm.glmm("y ~ age + (1 | id)", data)
    np.testing.assert_allclose(fit.predict(data, target="marginal"), fit.predict(data, target="typical"), rtol=1e-12)


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        ({"interval": "cluster", "target": "conditional"}, "new cluster"),
        ({"scale": "link", "target": "marginal"}, "scale='response'"),
        ({"target": "population"}, "target must be"),
        ({"interval": "credible"}, "interval must be"),
    ],
)
def test_what_cannot_be_asked(glmm, ask, words):
    with pytest.raises(glimm.GlimmError, match=words):
        glmm.predict(**ask)
