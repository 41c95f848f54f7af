"""What a summary says, clause by clause, and that every sentence is true of the fit at hand."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest

import glimm
import support_gee
from glimm.text import decimals, figures, number, p_value


@pytest.fixture(scope="module")
def ohio():
    return glimm.load_dataset("ohio")


@pytest.fixture(scope="module")
def visits():
    """Fifteen clusters of four rows, with missing values, a factor with an unused level, and a column that equals another."""
    rng = np.random.default_rng(1)
    data = pd.DataFrame(
        {
            "y": rng.normal(size=60) + np.repeat(rng.normal(size=15), 4),
            "x": rng.normal(size=60),
            "g": np.repeat([f"s{k:02d}" for k in range(15)], 4),
            "f": pd.Categorical(rng.choice(["a", "b"], 60), categories=["a", "b", "never"]),
            "time": np.tile(np.arange(4), 15),
            "w": rng.uniform(1.0, 2.0, 60),
            "days": rng.uniform(1.0, 9.0, 60),
        }
    )
    data["count"] = rng.poisson(data["days"])
    data["double"] = 2.0 * data["x"] + 1.0
    data.loc[[3, 4, 5, 6, 7, 20], "x"] = np.nan
    data.loc[3, "y"] = np.nan
    return data


def table_row(text: str, term: str) -> str:
    return next(line for line in text.splitlines() if line.startswith(term + " "))


def narrow(text: str) -> str:
    assert max(map(len, text.splitlines())) <= 100
    assert all(line == line.rstrip() for line in text.splitlines())
    return " ".join(text.split())


def test_glm_says_what_was_fitted(ohio):
    text = glimm.glm("resp ~ age * smoke", ohio, family="binomial").summary()
    flat = narrow(text)
    assert text.startswith("GLM: rows independent\n=====")
    assert "formula: resp ~ age * smoke" in flat
    assert "family: binomial, logit link" in flat
    assert "event modelled: resp = 1" in flat
    assert "2148 used of 2148 given; nothing missing" in flat
    assert "maximum likelihood (ML) by Fisher scoring" in flat
    assert "standard errors: model-based; normal reference" in flat
    assert "dispersion: 1.000 (fixed by the family)" in flat
    assert "clusters" not in text
    assert flat.endswith("(exp of a difference is an odds ratio). Rows are taken as independent.")


def test_glm_numbers(ohio):
    fit = glimm.glm("resp ~ age * smoke", ohio, family="binomial")
    text = fit.summary()
    row = table_row(text, "smoke").split()
    assert row == ["smoke", "0.314", "0.139", "2.25", "0.024", "0.041", "to", "0.587"]
    assert table_row(text, "Intercept").split()[4] == "<0.001"
    assert f"log-likelihood: {fit.llf:.2f}   AIC: {fit.aic:.2f}   BIC: {fit.bic:.2f}" in text
    assert f"deviance: {fit.deviance:.1f} on 2144" in text


def test_glm_cluster_errors_are_named_and_explained(ohio):
    flat = narrow(glimm.glm("resp ~ age", ohio, family="binomial", vcov={"cluster": "id"}).summary())
    assert "standard errors: cluster-robust by id" in flat
    assert "clusters: id: 537 clusters of 4 rows each" in flat
    assert flat.endswith("the standard errors allow for any dependence inside a cluster.")


@pytest.mark.parametrize(
    ("link", "said", "unsaid"),
    [
        ("logit", "the log odds (exp of a difference is an odds ratio)", "probit"),
        ("probit", "the probit of the probability.", "odds"),
        ("cloglog", "the complementary log-log of the probability.", "odds"),
        ("log", "the log of the probability (exp of a difference is a risk ratio)", "odds"),
        ("identity", "on the scale of the probability.", "odds"),
    ],
)
def test_scale_of_the_link(ohio, link, said, unsaid):
    flat = narrow(glimm.glm("resp ~ smoke", ohio, family="binomial", link=link).summary())
    assert said in flat
    assert unsaid not in flat


def test_counts_are_rates_only_with_exposure(visits):
    rate = narrow(glimm.glm("count ~ f", visits, family="poisson", exposure="days").summary())
    assert "the log of the rate (exp of a difference is a rate ratio)" in rate
    assert "offset: log of days (exposure)" in rate
    count = narrow(glimm.glm("count ~ f", visits, family="poisson").summary())
    assert "the log of the mean count (exp of a difference is a ratio of mean counts)" in count
    assert "rate ratio" not in count


def test_factors_missing_rows_and_dropped_columns(visits):
    flat = narrow(glimm.glm("y ~ x + double + f", visits, vcov="HC3", weights="w").summary())
    assert "f: reference level a; levels a, b; without rows, so not in the model: never" in flat
    assert "54 used of 60 given; 6 rows left out: y missing in 1 and x missing in 6" in flat
    assert "left out: double, which equals 2 * x + 1 * Intercept" in flat
    assert "weights: precision (prior) weights were given" in flat
    assert "standard errors: heteroscedasticity-robust (HC3); t reference with 51 degrees of freedom" in flat
    assert " t p 95 % interval" in flat


def test_factor_without_reference(visits):
    assert "f: no reference level; levels a, b" in narrow(glimm.glm("y ~ 0 + f", visits).summary())


def test_glmm(ohio):
    fit = glimm.glmm("resp ~ age * smoke + (1 | id)", ohio, family="binomial")
    flat = narrow(fit.summary())
    assert "clusters: id: 537 clusters of 4 rows each" in flat
    assert f"adaptive Gauss-Hermite quadrature with {fit.points} points" in flat
    assert "solution:" not in flat
    sd = fit.varcorr()["std_dev"][0]
    assert f"id Intercept {sd**2:.3f} {sd:.3f}" in flat
    assert "id: 537 levels, 2148 rows" in flat
    assert "Residual" not in flat
    assert "conditional on id: they compare rows of the same cluster, or of clusters with the same random effect" in flat
    assert flat.endswith("(exp of a difference is an odds ratio).")


def test_laplace_is_named_and_its_note_shown(ohio):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", glimm.GlimmWarning)
        flat = narrow(glimm.glmm("resp ~ age + (1 | id)", ohio, family="binomial", points=1).summary())
    assert "maximum likelihood (ML), Laplace approximation" in flat
    assert "solution: Laplace is not accurate here" in flat


def test_lmm_by_reml_and_ml(visits):
    reml = glimm.glmm("y ~ x + f + (1 | g)", visits)
    flat = narrow(reml.summary())
    assert "method: restricted maximum likelihood (REML)" in flat
    assert "REML log-likelihood: " in flat
    assert "g: 14 clusters, sizes 3 to 4, median 4; missing rows: of 15 clusters 2 shortened, 1 lost" in flat
    assert f"Residual {figures(reml.scale)} {figures(reml.sigma)}" in flat
    assert "given the variance parameters" in flat
    assert "the same numbers are differences between averages over the population" in flat
    ml = narrow(glimm.glmm("y ~ x + f + (1 | g)", visits, reml=False).summary())
    assert "method: maximum likelihood (ML)" in ml
    assert "REML" not in ml


def test_boundary_is_said():
    rng = np.random.default_rng(5)
    data = {"y": np.tile([-1.0, 0.0, 1.0], 10) + 1e-3 * rng.normal(size=30), "g": np.repeat(np.arange(10), 3)}
    with pytest.warns(glimm.GlimmWarning, match="zero"):
        fit = glimm.glmm("y ~ 1 + (1 | g)", data)
    assert "solution: the estimated variance of" in narrow(fit.summary())


def test_gee(visits):
    fit = glimm.gee("y ~ x + f", visits, groups="g", time="time", corr="ar1", moments="geepack")
    flat = narrow(fit.summary())
    assert "GEE), ar1 working correlation, moment rule: geepack (sums divided by rows and pairs)" in flat
    assert f"working correlation: ar1, alpha = {figures(fit.corr_params['alpha'])}" in flat
    assert f"dispersion: {figures(fit.scale)}" in flat
    assert "standard errors: robust (sandwich) by g" in flat
    assert "14 clusters, sizes 3 to 4, median 4" in flat
    assert "a GEE has no likelihood" in flat
    assert "AIC:" not in flat
    assert "Coefficients are marginal" in flat


def test_independence_gee_has_no_correlation_parameter(visits):
    assert "working correlation: independence, no parameter" in narrow(
        glimm.gee("y ~ f", visits, groups="g", corr="independence").summary()
    )


def test_correlations_of_many_occasions_stand_in_a_triangle():
    setup = support_gee.SETUPS["toenail_month"]
    toenail, more = support_gee.frame(setup.stem), support_gee.arguments(setup)
    text = glimm.gee(setup.formula, toenail, corr="unstructured", **more).summary()
    narrow(text)
    assert table_row(text, "occasion").split() == ["occasion", "1", "2", "3", "4", "5", "6"]
    assert table_row(text, "2").split() == ["2", "0.877"]  # R's glmtoolbox 0.1.9: .8771924227, and below
    assert table_row(text, "7").split() == ["7", "0.147", "0.215", "0.217", "0.268", "0.456", "0.824"]
    assert "working correlation: unstructured, by pair of occasions; dispersion: 1.074" in text
    with pytest.warns(glimm.GlimmWarning, match="no correlation matrix"):
        near = glimm.gee(setup.formula, toenail, corr="nonstationary(2)", **more).summary()
    assert table_row(near, "4").split()[:2] == ["4", "0"]  # no parameter: more than 2 apart
    twelve = pd.DataFrame({"g": np.repeat(np.arange(40), 12), "t": np.tile(np.arange(12), 40)})
    twelve["y"] = np.random.default_rng(2).normal(size=480) + np.random.default_rng(3).normal(size=40)[twelve["g"]]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", glimm.GlimmWarning)
        fit = glimm.gee("y ~ 1", twelve, groups="g", time="t", corr="unstructured")
    low, high = figures(fit.corr_params.min()), figures(fit.corr_params.max())
    assert f"unstructured, 66 parameters from {low} to {high}: see fit.corr_params, fit.working_corr()" in narrow(fit.summary())


def test_clusters_in_clusters_and_terms_of_odds_ratios_are_told():
    data = pd.DataFrame({"school": np.repeat(np.arange(45), 6), "room": np.tile(np.repeat([1, 2, 3], 2), 45)})
    rng = np.random.default_rng(5)
    data["y"] = rng.normal(size=45)[data["school"]] + rng.normal(size=270)
    flat = narrow(glimm.gee("y ~ 1", data, groups="school/room", corr="nested").summary())
    narrow(glimm.gee("b ~ 1", data.assign(b=data["y"] > 0), groups="school/room", corr="odds_ratio(nested)", family="binomial").summary())
    assert "school: 45 clusters of 6 rows each inside them: 135 clusters of 2 rows each" in flat
    apart = glimm.OddsRatio({"apart": lambda a, b: abs(a["age"] - b["age"])})
    text = glimm.gee("resp ~ age", glimm.load_dataset("ohio"), groups="id", family="binomial", corr=apart).summary()
    assert table_row(text, "association").split() == ["association", "estimate", "std.", "error", "exp"]
    assert "exp of log_odds_ratio is an odds ratio, exp of another term its factor for one unit" in narrow(text)


def test_two_level_response_names_its_event():
    data = {"cured": ["no", "yes", "no", "yes", "yes", "no", "yes", "no"], "x": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]}
    flat = narrow(glimm.glm("cured ~ x", data, family="binomial").summary())
    assert "event modelled: cured = 'yes'" in flat or "event modelled: cured = yes" in flat


def test_long_names_and_many_levels_stay_inside_the_page():
    rng = np.random.default_rng(2)
    levels = [f"a rather long name of level number {k:02d} that nobody would type" for k in range(12)]
    data = pd.DataFrame({"y": rng.normal(size=120), "arm_of_the_trial_at_baseline": np.repeat(levels, 10), "x": 1e7 * rng.normal(size=120)})
    text = glimm.glm("y ~ arm_of_the_trial_at_baseline * x", data).summary()
    narrow(text)
    assert "... (4 more)" in text


def test_numbers_as_text():
    assert number(float("nan"), 3) == "none"
    assert number(-0.0001, 2) == "0.00"
    assert number(2.5e12, 2) == "2.5e+12"
    assert decimals(float("nan")) == 3
    assert p_value(float("nan")) == "none"
    assert figures(0.0) == "0.0"


def test_a_prompt_shows_the_summary_as_it_is_printed(ohio):
    summary = glimm.glm("resp ~ age", ohio, family="binomial").summary()
    assert repr(summary) == str(summary)
    assert summary.startswith("GLM")


def test_random_slopes_are_told():
    rng = np.random.default_rng(4)
    g = np.repeat(np.arange(30), 10)
    data = pd.DataFrame({"x": rng.normal(size=300), "g": g})
    data["y"] = data["x"] * (1.0 + rng.normal(size=30)[g]) + rng.normal(size=30)[g] + rng.normal(size=300)
    fit = glimm.glmm("y ~ x + (1 + x | g)", data)
    flat = narrow(fit.summary())
    assert "they describe a cluster whose random effects are zero, on the scale of the mean of y" in flat
    assert "The effect of x differs between clusters." in flat
    assert "with the same random effect" not in flat
    table = fit.varcorr()
    assert f"g x {figures(table['variance'][1])} {figures(table['std_dev'][1])} {table['corr_Intercept'][1]:.2f}" in flat
    data["count"] = rng.poisson(np.exp(0.3 * data["x"] * (1.0 + rng.normal(size=30)[g])))
    mixed = glimm.glmm("count ~ x + (1 + x | g)", data, family="poisson", points=1)
    said = " ".join(str(glimm.compare(mixed, glimm.glm("count ~ x", data, family="poisson"))).split())
    assert "with random slopes it need not have the shape of one" in said
    assert "flatter" not in said
    assert "share normal random effects" in said
