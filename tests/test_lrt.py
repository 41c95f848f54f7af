"""glimm.lrt against likelihoods of R (lm, lme4, glm), closed forms, and what is refused."""

from __future__ import annotations

import re
import warnings
from functools import cache

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import glimm
from glimm.errors import GlimmError, GlimmWarning
from support import data, stored

R = stored("glm_tests")
FRAME = pd.DataFrame(R["data"])


@cache
def sleep(formula: str, reml=False):
    frame = data("lme4_sleepstudy")
    return glimm.glmm(formula, frame, reml=reml) if "|" in formula else glimm.glm(formula, frame)


@cache
def herds(formula: str):
    frame = data("lme4_cbpp").assign(period=lambda d: d["period"].astype(str))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GlimmWarning)  # of points=1
        return glimm.glmm(formula, frame, family="binomial", points=1) if "|" in formula else glimm.glm(formula, frame, family="binomial")


PAIRS = {
    "lm_in_lmm": (lambda: (sleep("Reaction ~ Days"), sleep("Reaction ~ Days + (1 | Subject)"))),
    "fixed": (lambda: (sleep("Reaction ~ 1 + (1 | Subject)"), sleep("Reaction ~ Days + (1 | Subject)"))),
    "slope": (lambda: (sleep("Reaction ~ Days + (1 | Subject)"), sleep("Reaction ~ Days + (Days | Subject)"))),
    "reml_slope": (lambda: (sleep("Reaction ~ Days + (1 | Subject)", True), sleep("Reaction ~ Days + (Days | Subject)", True))),
    "reml_correlation": (lambda: (sleep("Reaction ~ Days + (Days || Subject)", True), sleep("Reaction ~ Days + (Days | Subject)", True))),
    "both": (lambda: (sleep("Reaction ~ Days"), sleep("Reaction ~ Days + (Days | Subject)"))),
    "glm_in_glmm": (lambda: (herds("incidence / size ~ period"), herds("incidence / size ~ period + (1 | herd)"))),
    "glmm_fixed": (lambda: (herds("incidence / size ~ 1 + (1 | herd)"), herds("incidence / size ~ period + (1 | herd)"))),
}


@pytest.mark.parametrize("name", PAIRS)
def test_statistics_are_those_of_r(name):
    """R's glmer is off by 5e-6 in the Laplace log-likelihood."""
    entry = R["lrt"][name]
    test = glimm.lrt(*PAIRS[name]())
    assert test.df == entry["df"]
    assert test.statistic == pytest.approx(entry["statistic"], rel=1e-6, abs=3e-5 if "glmm" in name else 1e-6)
    assert test.p_value == pytest.approx(entry["p"], rel=1e-4 if "glmm" in name else 1e-5)
    mixture = name in ("lm_in_lmm", "slope", "reml_slope", "glm_in_glmm")
    assert test.distribution == ("mixture" if mixture else "chi2")
    assert ("at its limit" in test.note) == mixture
    assert ("too large" in test.note) == (name == "both")


@pytest.mark.parametrize("family", ["gaussian", "poisson", "negative_binomial", "gamma"])
def test_glm_in_glm_in_another_coding(family):
    response = {"gaussian": "y", "gamma": "z"}.get(family, "k")
    link = "log" if family == "gamma" else None
    small = glimm.glm(f"{response} ~ C(f, contr.sum) + x", FRAME, family=family, link=link)
    large = glimm.glm(f"{response} ~ x * f + v", FRAME, family=family, link=link)
    test = glimm.lrt(small, large)
    assert test.df == 3
    assert test.statistic == pytest.approx(2.0 * (large.llf - small.llf), rel=1e-12)
    assert test.p_value == pytest.approx(stats.chi2.sf(test.statistic, 3), rel=1e-12)
    if family == "gaussian":
        assert test.statistic == pytest.approx(len(FRAME) * np.log(small.deviance / large.deviance), rel=1e-9)
    assert (test.distribution, test.note) == ("chi2", "")


def test_a_zero_variance_is_a_statistic_of_zero_and_p_of_one():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"g": np.repeat(np.arange(20), 5), "y": rng.normal(size=100)})
    frame["y"] -= frame.groupby("g")["y"].transform("mean")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GlimmWarning)
        large = glimm.glmm("y ~ 1 + (1 | g)", frame, reml=False)
        test = glimm.lrt(glimm.glm("y ~ 1", frame), large)
    assert test.statistic == pytest.approx(0.0, abs=1e-8)
    assert test.p_value == pytest.approx(1.0, abs=1e-4)


def test_fits_by_quadrature_are_brought_to_the_larger_number_of_points():
    ohio = glimm.load_dataset("ohio")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GlimmWarning)
        few, same, many = (
            glimm.glmm(f"resp ~ {terms} + (1 | id)", ohio, family="binomial", points=points)
            for terms, points in (("age", 5), ("age", 15), ("age + smoke", 15))
        )
    assert glimm.lrt(few, many).statistic == pytest.approx(glimm.lrt(same, many).statistic, abs=1e-6)
    assert glimm.lrt(few, many).models[0].name == "GLMM (15 points)"


@pytest.mark.parametrize(
    ("small", "large", "nested"),
    [
        ("(1 | Subject)", "(1 | Subject) + (0 + Days | Subject)", 1),
        ("(1 | Subject) + (0 + Days | Subject)", "(Days | Subject)", 0),
        ("(I(Days - 3) | Subject)", "(Days | Subject)", None),
        ("(Days || Subject)", "(Days | Subject)", 0),
        ("(0 + Days | Subject)", "(1 | Subject)", "random term"),
        ("(Days | Subject)", "(Days || Subject)", "random term"),
    ],
)
def test_which_random_parts_are_nested(small, large, nested):
    fits = [sleep(f"Reaction ~ Days + {part}") for part in (small, large)]
    if isinstance(nested, int):
        test = glimm.lrt(*fits)
        assert test.distribution == ("mixture" if nested else "chi2")
        assert test.df == 1
    else:
        with pytest.raises(GlimmError, match="random term" if nested else "more parameters"):
            glimm.lrt(*fits)


def test_what_it_says():
    small, large = glimm.glm("k ~ x", FRAME, family="poisson"), glimm.glm("k ~ x + f", FRAME, family="poisson")
    test = glimm.lrt(small, large)
    assert str(test).splitlines()[0] == "likelihood-ratio test"
    assert "k ~ x + f: 4 parameters" in str(test)
    assert f"chi2(2) = {test.statistic:.4g}" in str(test)
    assert list(test.table.columns) == ["model", "formula", "parameters", "llf", "df", "statistic", "p_value"]
    assert test.table["statistic"].iloc[1] == test.statistic
    with pytest.raises(AttributeError):
        test.statistic = 0.0
    polars = pytest.importorskip("polars")
    fits = [glimm.glm(f, polars.DataFrame(R["data"]), family="poisson") for f in ("k ~ x", "k ~ x + f")]
    assert isinstance(glimm.lrt(*fits).table, polars.DataFrame)


REFUSED = {
    "rows": (
        lambda: (pois("k ~ x"), glimm.glm("k ~ x + f", FRAME.iloc[5:].reset_index(drop=True), family="poisson")),
        "rows, 90 in the first and 85",
    ),
    "column": (lambda: (pois("k ~ v"), pois("k ~ x + f")), "'v' is no combination"),
    "order": (lambda: (pois("k ~ x + f"), pois("k ~ x")), "no combination"),
    "same": (lambda: (pois("k ~ x"), pois("k ~ x")), "more parameters than the first"),
    "response": (lambda: (pois("m ~ x"), pois("k ~ x + f")), "different responses"),
    "family": (lambda: (pois("k ~ x"), glimm.glm("k ~ x + f", FRAME, family="negative_binomial")), "different families or links"),
    "link": (lambda: (glimm.glm("k ~ x", FRAME, family="poisson", link="sqrt"), pois("k ~ x + f")), "different families or links"),
    "weights": (lambda: (glimm.glm("k ~ x", FRAME, family="poisson", weights="w"), pois("k ~ x + f")), "different weights"),
    "offset": (lambda: (glimm.glm("k ~ x", FRAME, family="poisson", exposure="e"), pois("k ~ x + f")), "different offsets"),
    "reml": (lambda: (sleep("Reaction ~ Days"), sleep("Reaction ~ Days + (1 | Subject)", True)), "reml=False"),
    "reml_fixed": (
        lambda: (sleep("Reaction ~ 1 + (1 | Subject)", True), sleep("Reaction ~ Days + (1 | Subject)", True)),
        "different fixed parts.*reml=False",
    ),
    "mixed_in_glm": (lambda: (sleep("Reaction ~ 1 + (1 | Subject)"), sleep("Reaction ~ Days")), "not nested in a GLM"),
    "gee": (
        lambda: (pois("k ~ x"), glimm.gee("k ~ x + f", FRAME.assign(id=np.arange(len(FRAME)) // 3), groups="id", family="poisson")),
        "compare_score_test",
    ),
    "nothing": (lambda: (pois("k ~ x"), None), re.escape("glimm.lrt(small, large), not NoneType")),
}


def pois(formula: str):
    return glimm.glm(formula, FRAME, family="poisson")


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name):
    fits, words = REFUSED[name]
    with pytest.raises(GlimmError, match=words):
        glimm.lrt(*fits())


@pytest.mark.parametrize("family", ["ordinal", "multinomial"])
def test_levels(family):
    """Twice the difference of log-likelihoods that are ordinal's and nnet's (test_levels_glm), on a coefficient for each split or level."""
    frame = FRAME.assign(level=pd.qcut(FRAME["z"], 3, labels=["low", "middle", "high"]))
    small, large = (glimm.glm(f"level ~ {right}", frame, family=family) for right in ("x", "x + f"))
    test = glimm.lrt(small, large)
    assert test.df == (2 if family == "ordinal" else 4)
    assert test.statistic == pytest.approx(2.0 * (large.llf - small.llf), abs=1e-9)
    assert test.p_value == pytest.approx(stats.chi2.sf(test.statistic, test.df), rel=1e-9)
    with pytest.raises(GlimmError, match="not nested"):
        glimm.lrt(glimm.glm("level ~ f", frame, family=family), glimm.glm("level ~ x", frame, family=family))


def test_extra_zeros_and_dispersions():
    """No extra zeros are at the limit of their share: half chi-squared on 1 degree of freedom; a model of the dispersion is regular."""
    rng = np.random.default_rng(4)
    x = rng.normal(size=300)
    frame = pd.DataFrame({"x": x, "n": rng.poisson(np.exp(0.6 + 0.3 * x)) * (rng.random(300) > 0.25), "y": rng.normal(x, np.exp(0.4 * x))})
    plain, zeros, more = (glimm.glm("n ~ x", frame, family="poisson", zero=zero) for zero in (None, "~ 1", "~ x"))
    test = glimm.lrt(plain, zeros)
    assert (test.df, test.distribution) == (1, "mixture")
    assert test.p_value == pytest.approx(0.5 * stats.chi2.sf(2.0 * (zeros.llf - plain.llf), 1), rel=1e-8)
    assert glimm.lrt(zeros, more).p_value == pytest.approx(stats.chi2.sf(2.0 * (more.llf - zeros.llf), 1), rel=1e-8)
    assert "too large" in glimm.lrt(plain, more).note
    one, other = glimm.glm("y ~ x", frame), glimm.glm("y ~ x", frame, dispersion="~ x")
    test = glimm.lrt(one, other)
    assert (test.df, test.distribution) == (1, "chi2")
    assert test.statistic == pytest.approx(2.0 * (other.llf - one.llf), rel=1e-9)
    with pytest.raises(GlimmError, match="the first model has a model of the dispersion and the second has not"):
        glimm.lrt(other, one)


def test_a_gee_of_levels_has_no_likelihood():
    frame = FRAME.assign(o=pd.cut(FRAME["y"], 3, labels=["low", "mid", "high"]), id=np.arange(len(FRAME)) // 3)
    fit = glimm.gee("o ~ x", frame, groups="id", family="ordinal", corr="independence")
    with pytest.raises(GlimmError, match="a GEE has no likelihood"):
        glimm.lrt(fit, fit)


@pytest.mark.parametrize("scale", ["pearson", 2.0])
def test_a_dispersion_that_the_likelihood_does_not_have(scale):
    """-2 log L is not divided by it: the test would say too much."""
    frame = FRAME.assign(n=np.arange(len(FRAME)) % 4)
    fits = [glimm.glm(formula, frame, family="poisson", scale=scale) for formula in ("n ~ 1", "n ~ x")]
    with pytest.raises(GlimmError, match=r"no parameter of the likelihood of family 'poisson'.*use large.anova"):
        glimm.lrt(*fits)
