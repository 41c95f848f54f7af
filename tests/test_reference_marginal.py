"""Marginal means and marginal coefficients of GLMMs against their definitions (marginal.py) and published check values."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import glimm
from glimm.family import LINKS
from glimm.marginal.average import average
from support import assert_covariance, assert_in_units, assert_relative, data, stored, vector_covariance
from support_slopes import frame_of, slopes_fit

AVERAGES = stored("marginal")["averages"]
FITS = stored("marginal")["fits"]
PUBLISHED = [name for name, entry in FITS.items() if "published" in entry]
COLUMNS = ["term", "estimate", "std_error", "statistic", "p_value", "conf_low", "conf_high", "zeger_liang_albert"]


@cache
def fit_of(name: str):
    if name not in PUBLISHED:
        return slopes_fit("aghq_slopes", name)
    entry = FITS[name]
    return glimm.glmm(entry["formula"], data(entry["data"]), family=entry["family"], link=entry["link"], points=entry["points"])


@pytest.mark.parametrize("link", ["logit", "probit", "cloglog", "log"])
def test_averages_over_several_effects(link):
    """One integral over z'b, whatever the number of effects: by quadrature, and by simulation of the effects themselves."""
    cases = [case for case in AVERAGES if case["link"] == link]
    assert len(cases) >= 12
    m, _, _ = average(LINKS[link], np.array([case["eta"] for case in cases]), np.array([case["sd"] for case in cases]))
    assert_relative(m, [case["mean"] for case in cases], 1e-9, "means")
    errors = np.array([case["simulation_error"] for case in cases])
    assert np.all(np.abs(m - [case["simulated"] for case in cases]) <= 5.0 * errors + 1e-12)


@pytest.mark.parametrize("name", FITS)
def test_the_fit_is_the_stored_one(name):
    entry = FITS[name]
    fit = fit_of(name)
    assert abs(fit.llf - entry["loglik"]) < 1e-7
    root = np.sqrt(np.diag(entry["vcov_all"]))
    assert_in_units([*fit.params, *fit.theta], [*entry["beta"], *entry["theta"]], root, 1e-4, "coefficients and theta")
    assert_covariance(vector_covariance(fit), entry["vcov_all"], 1e-4, "joint covariance")


@pytest.mark.parametrize("name", FITS)
def test_marginal_means(name):
    entry = FITS[name]
    rows = entry["means"]["rows"]
    new = frame_of(entry).iloc[rows]
    table = fit_of(name).predict(new, target="marginal", interval="confidence")
    assert_in_units(table["estimate"], entry["means"]["estimate"], np.array(entry["means"]["std_error"]), 1e-3, "means")
    assert_relative(table["std_error"], entry["means"]["std_error"], 1e-3, "standard errors")
    if "simulation" in entry:
        simulation = entry["simulation"]
        m = fit_of(name).predict(frame_of(entry).iloc[simulation["rows"]], target="marginal")
        assert np.all(np.abs(m - simulation["estimate"]) < 5.0 * np.array(simulation["error"]))
    everyone = fit_of(name).predict(target="marginal")
    assert_in_units([everyone.mean()], [entry["average"]["estimate"]], [entry["average"]["std_error"]], 1e-3, "average over the rows")


@pytest.mark.parametrize("name", FITS)
def test_marginal_coefficients(name):
    entry = FITS[name]
    table = pd.DataFrame(fit_of(name).marginal_params())
    want = entry["marginal"]
    assert list(table.columns) == COLUMNS
    assert list(table["term"]) == list(fit_of(name).params.index)
    assert_in_units(table["estimate"], want["estimate"], np.array(want["std_error"]), 1e-3, "marginal coefficients")
    assert_relative(table["std_error"], want["std_error"], 1e-3, "their standard errors")
    assert_relative(table["statistic"], table["estimate"] / table["std_error"], 1e-12, "statistics")
    assert_relative(table["p_value"], 2.0 * stats.norm.sf(np.abs(table["statistic"])), 1e-9, "p-values")
    half = stats.norm.ppf(0.975) * table["std_error"]
    assert_in_units(table["conf_low"], table["estimate"] - half, half, 1e-9, "lower limits")
    assert_in_units(table["conf_high"], table["estimate"] + half, half, 1e-9, "upper limits")


@pytest.mark.parametrize("name", PUBLISHED)
def test_marginal_coefficients_as_published(name):
    """Hedeker, du Toit, Demirtas and Gibbons (2018); Zeger, Liang and Albert (1988)."""
    want, table = FITS[name]["published"], pd.DataFrame(fit_of(name).marginal_params())
    assert_in_units(table["estimate"], want["marginal"], np.array(want["marginal_se"]), 1e-3, "marginal coefficients")
    assert_relative(table["std_error"], want["marginal_se"], 1e-3, "their standard errors")
    assert_in_units(table["zeger_liang_albert"], want["zla"], np.array(want["zla_se"]), 1e-3, "Zeger, Liang and Albert")


@pytest.mark.parametrize("name", [name for name in PUBLISHED if "published_means" in FITS[name]])
def test_marginal_means_as_published(name):
    entry = FITS[name]["published_means"]
    new = pd.DataFrame(entry["new"])
    table = fit_of(name).predict(new, target="marginal", interval="confidence")
    assert_in_units(table["estimate"], entry["estimate"], np.array(entry["std_error"]), 1e-3, "means")
    assert_relative(table["std_error"], entry["std_error"], 1e-3, "standard errors")
    if "typical" in entry:
        assert_relative(fit_of(name).predict(new, target="typical"), entry["typical"], 1e-3, "typical values")


def test_the_identity_link_has_the_same_marginal_coefficients():
    fit = slopes_fit("slopes", "lmm_sleep_us_reml")
    table = pd.DataFrame(fit.marginal_params())
    assert_relative(table["estimate"], fit.params, 1e-9, "coefficients")
    assert_relative(table["std_error"], fit.bse, 1e-9, "standard errors")


def test_the_log_link_moves_only_the_intercept_of_a_random_intercept():
    """E exp(eta + b) = exp(eta + sd^2 / 2), whatever the offset."""
    frame = data("seizure_long").assign(exposed=lambda d: np.log(d["weeks"]))
    fit = glimm.glmm("y ~ trt * post + (1 | id)", frame, family="poisson", offset="exposed", points=5)
    table = pd.DataFrame(fit.marginal_params())
    want = fit.params.to_numpy() + np.array([0.5 * fit.theta[0] ** 2, 0.0, 0.0, 0.0])
    assert_in_units(table["estimate"], want, fit.bse, 1e-8, "coefficients")
    assert_relative(table["std_error"][1:], fit.bse[1:], 1e-8, "standard errors of the slopes")
