"""fit.icc and fit.r2: against R's performance, closed forms, and integrals done densely."""

from __future__ import annotations

import math
import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy.special import polygamma

import glimm
from glimm.inference.variance_explained import components, icc
from support import data, stored

STORED = stored("variance_explained")


@pytest.fixture(scope="module")
def frame():
    rng = np.random.default_rng(41)
    g = np.repeat(np.arange(40), 10)
    x = rng.normal(size=400)
    eta = 0.2 + 0.5 * x + 0.7 * rng.normal(size=40)[g]
    return pd.DataFrame(
        {
            "g": g,
            "h": np.tile(np.arange(10), 40),
            "row": np.arange(400),
            "x": x,
            "t": rng.uniform(1.0, 2.0, 400),
            "y": eta + rng.normal(size=40)[g] * x + rng.normal(size=400),
            "b": (rng.random(400) < 1.0 / (1.0 + np.exp(-eta))).astype(int),
            "c": rng.poisson(np.exp(eta)),
        }
    )


def mixed(formula, frame, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", glimm.GlimmWarning)
        return glimm.glmm(formula, frame, **options)


@pytest.mark.parametrize("name", STORED)
def test_against_r(name):
    """R's optimisers stop with five digits in the variances."""
    entry = STORED[name]
    options = {} if entry["family"] == "gaussian" else {"family": entry["family"], "link": entry["link"], "points": entry["points"]}
    fit = mixed(entry["formula"], data(entry["data"]), **options)
    r2, icc = fit.r2(), fit.icc()
    got = [r2[key][0] for key in ("marginal", "conditional", "var_fixed", "var_random", "var_distribution")]
    want = [entry[key] for key in ("marginal", "conditional", "fixed", "random", "distribution")]
    assert got == pytest.approx(want, rel=5e-5)
    assert list(icc["group"])[-1] == "total"
    for row in range(2):
        assert [icc["adjusted"][row], icc["conditional"][row]] == pytest.approx([entry["icc_adjusted"], entry["icc_conditional"]], rel=5e-5)
    for method in ("delta", "trigamma"):
        if method in entry:
            table = fit.r2(method=method)
            got = [table[key][0] for key in ("var_distribution", "marginal", "conditional")]
            assert got == pytest.approx([entry[method][key] for key in ("distribution", "marginal", "conditional")], rel=5e-5)
            assert table["method"][0] == method


def test_slopes_by_hand(frame):
    fit = glimm.glmm("y ~ x + (1 + x | g)", frame)
    v = fit.varcorr()
    a, b, sigma2 = v["variance"]
    cross = v["corr_Intercept"][1] * math.sqrt(a * b)
    x = frame["x"].to_numpy()
    random, fixed = np.mean(a + 2.0 * cross * x + b * x**2), np.var(fit.params["x"] * x, ddof=1)
    table = fit.r2()
    assert table["marginal"][0] == pytest.approx(fixed / (fixed + random + sigma2), rel=1e-12)
    assert table["conditional"][0] == pytest.approx((fixed + random) / (fixed + random + sigma2), rel=1e-12)
    assert fit.icc()["adjusted"].tolist() == pytest.approx([random / (random + sigma2)] * 2, rel=1e-12)
    assert fit.icc()["method"].tolist() == ["exact"] * 2
    assert fit.r2(method="delta")["var_distribution"][0] == pytest.approx(sigma2, rel=1e-12)


@pytest.mark.parametrize(("link", "variance"), [("logit", math.pi**2 / 3.0), ("probit", 1.0), ("cloglog", math.pi**2 / 6.0)])
def test_binary_responses(link, variance, frame):
    fit = mixed("b ~ x + (1 | g)", frame, family="binomial", link=link, points=5)
    s2 = fit.theta[0] ** 2
    assert fit.icc()["adjusted"][0] == pytest.approx(s2 / (s2 + variance), rel=1e-12)
    null = mixed("b ~ 1 + (1 | g)", frame, family="binomial", link=link, points=5)
    z = np.linspace(-9.0, 9.0, 4001)
    eta = null.params.iloc[0] + null.theta[0] * z
    cdf = {"logit": lambda e: 1.0 / (1.0 + np.exp(-e)), "probit": lambda e: np.vectorize(math.erfc)(-e / math.sqrt(2.0)) / 2.0}
    h = cdf.get(link, lambda e: -np.expm1(-np.exp(e)))
    p = float(np.sum(h(eta) * np.exp(-0.5 * z**2)) / np.sum(np.exp(-0.5 * z**2)))
    grid = np.linspace(-8.0, 8.0, 2_000_001)
    at = float(np.interp(p, h(grid), grid))
    slope = (h(np.array([at + 1e-5]))[0] - h(np.array([at - 1e-5]))[0]) / 2e-5
    assert fit.r2(method="delta")["var_distribution"][0] == pytest.approx(p * (1.0 - p) / slope**2, rel=1e-5)


def test_counts_with_an_offset(frame):
    fit = mixed("c ~ x + (1 | g)", frame, family="poisson", exposure="t", points=5)
    null = mixed("c ~ 1 + (1 | g)", frame, family="poisson", exposure="t", points=5)
    mu = np.mean(np.exp(null.params.iloc[0] + np.log(frame["t"]) + 0.5 * null.theta[0] ** 2))
    for method, variance in (("lognormal", np.log1p(1.0 / mu)), ("delta", 1.0 / mu), ("trigamma", polygamma(1, mu))):
        assert fit.r2(method=method)["var_distribution"][0] == pytest.approx(float(variance), rel=1e-5)
    assert fit.r2()["var_fixed"][0] == pytest.approx(np.var(fit.params["x"] * frame["x"], ddof=1), rel=1e-12)


def test_a_gaussian_response_with_a_log_link(frame):
    positive = frame.assign(y=np.exp(0.3 * frame["y"]) + 3.0)
    fit = mixed("y ~ x + (1 | g)", positive, link="log", points=1)
    null = mixed("y ~ 1 + (1 | g)", positive, link="log", points=1)
    mu = math.exp(null.params.iloc[0] + 0.5 * null.theta[0] ** 2)
    assert fit.r2()["var_distribution"][0] == pytest.approx(math.log1p(fit.scale / mu**2), rel=1e-5)


def test_effects_of_single_rows_are_dispersion(frame):
    fit = mixed("c ~ x + (1 | row)", frame, family="poisson", points=1)
    assert fit.icc()["group"].tolist() == ["total"]
    assert fit.icc()["adjusted"][0] == 0.0
    table = fit.r2()
    v = fit.theta[0] ** 2
    assert table["var_observation"][0] == pytest.approx(v, rel=1e-12)
    assert table["marginal"][0] == table["conditional"][0]
    assert table["marginal"][0] == pytest.approx(table["var_fixed"][0] / (table["var_fixed"][0] + v + table["var_distribution"][0]))


def test_several_grouping_factors(frame):
    """A record with two terms: shares of each group, and terms of one group added up."""
    one = mixed("b ~ x + (1 | g)", frame, family="binomial", points=1).record
    other = mixed("b ~ x + (1 | h)", frame, family="binomial", points=1).record
    terms = (one.design.mean.random[0], other.design.mean.random[0], replace(one.design.mean.random[0]))
    design = replace(one.design, parts={"mean": replace(one.design.mean, random=terms)})
    record = replace(one, design=design, roots=(np.array([[1.5]]), np.array([[0.5]]), np.array([[2.0]])))
    table = icc(components(record, None, lambda: math.nan, "icc"))
    assert table["group"] == ["g", "h", "total"]
    v, d = np.array([6.25, 0.25, 6.5]), math.pi**2 / 3.0
    assert np.allclose(table["adjusted"], v / (6.5 + d), rtol=1e-12)
    assert np.allclose(table["conditional"], v / (np.var(one.vector[1] * frame["x"], ddof=1) + 6.5 + d), rtol=1e-12)


def test_the_kind_of_frame(frame):
    fit = glimm.glmm("y ~ x + (1 | g)", pl.DataFrame(frame))
    assert isinstance(fit.icc(), pl.DataFrame)
    assert isinstance(fit.r2(), pl.DataFrame)


def test_models_without_random_effects(frame):
    for question in ("icc", "r2"):
        with pytest.raises(glimm.GlimmError, match=f"{question}: a GLM has no random effects.*fit glimm.glmm"):
            getattr(glimm.glm("y ~ x", frame), question)()
        with pytest.raises(glimm.GlimmError, match=f"{question}: a GEE has no random effects.*corr_params"):
            getattr(glimm.gee("y ~ x", frame, groups="g"), question)()


@pytest.mark.parametrize(
    ("formula", "options", "method", "words"),
    [
        (
            "y ~ x + (1 | g)",
            {},
            "lognormal",
            "'lognormal' has no meaning for family 'gaussian' with link 'identity': use method='exact' or 'delta'",
        ),
        ("b ~ x + (1 | g)", {"family": "binomial"}, "trigamma", "use method='theoretical' or 'delta'"),
        ("c ~ x + (1 | g)", {"family": "poisson"}, "theoretical", "use method='lognormal' or 'trigamma' or 'delta'"),
        ("c ~ x + (1 | g)", {"family": "poisson"}, "logn", "method must be one of lognormal, trigamma, delta, not 'logn'"),
        (
            "I(c + 9) ~ 1 + (1 | g)",
            {"family": "poisson", "link": "identity"},
            None,
            "no distribution-specific variance is agreed on.*use method='delta'",
        ),
    ],
)
def test_methods_without_meaning(formula, options, method, words, frame):
    fit = mixed(formula, frame, **options, **({"points": 1} if options else {}))
    with pytest.raises(glimm.GlimmError, match=words):
        fit.r2(method=method)


def test_an_identity_link_by_the_delta_method(frame):
    fit = mixed("I(c + 9) ~ x + (1 | g)", frame, family="poisson", link="identity", points=1)
    null = mixed("I(c + 9) ~ 1 + (1 | g)", frame, family="poisson", link="identity", points=1)
    assert fit.r2(method="delta")["var_distribution"][0] == pytest.approx(null.params.iloc[0], rel=1e-5)


def test_tweedie_and_a_users_family(frame):
    """log(1 + phi mu^(power - 2)) with the reported parameters; a Poisson written by hand has the built-in's shares."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = glimm.glmm("c ~ 1 + (1 | g)", frame, family="tweedie(1.5)", points=1)
    phi, mu = fit.parts["family"].params["phi"], np.exp(fit.params["Intercept"] + fit.varcorr()["variance"][0] / 2.0)
    assert fit.icc()["var_distribution"][0] == pytest.approx(math.log1p(phi * mu**-0.5), rel=1e-5)

    def loglik(y, mu):
        return y * np.log(mu) - mu

    pair = []
    for variance in (lambda mu: mu, None):
        own = glimm.CustomFamily("own", loglik, link="log", support="count", variance=variance)
        pair.append(glimm.glmm("c ~ x + (1 | g)", frame, family=own, points=1))
    built_in = glimm.glmm("c ~ x + (1 | g)", frame, family="poisson", points=1)
    assert pair[0].r2()["conditional"][0] == pytest.approx(built_in.r2()["conditional"][0], rel=1e-5)
    with pytest.raises(glimm.GlimmError, match="family 'own' has no variance: give it"):
        pair[1].icc()
