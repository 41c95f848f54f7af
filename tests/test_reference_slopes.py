"""Random slopes of one grouping factor against the best of lme4 and glmmTMB (slopes.R): public data, and fifty designs near the boundary.

slopes.json holds the best of several optimisers, starts and ranks of the covariance, polished: the optimum to rounding.
"""

from __future__ import annotations

import numpy as np
import pytest

import glimm
from support import assert_covariance, assert_in_units, assert_not_worse, assert_relative, data, ids, stored, vector, vector_covariance
from support_slopes import assert_predicted_effects, assert_slopes, effects_covariance, frame_of, slopes_fit

PUBLIC = ids("slopes", "lmm", lambda name, entry: "design" not in entry)
PUBLIC_GLMM = ids("slopes", "glmm", lambda name, entry: "design" not in entry)
SIMULATED = ids("slopes", "lmm", lambda name, entry: "design" in entry) + ids("slopes", "glmm", lambda name, entry: "design" in entry)
OPEN = ("lmm_sleep_reml", "lmm_sleep_ml", "lmm_sleep_zerocorr")


@pytest.mark.parametrize("name", PUBLIC)
def test_linear(name):
    entry = stored("slopes")[name]
    fit = slopes_fit("slopes", name)
    want = entry["m2loglik"]
    assert -2.0 * fit.llf <= want + 1e-6 + 1e-9 * abs(want), f"-2 log L {-2.0 * fit.llf!r} above {want!r}"
    assert -2.0 * fit.llf >= want - 1e-6 - 1e-9 * abs(want), f"-2 log L {-2.0 * fit.llf!r} below the optimum {want!r}"
    assert_slopes(fit, entry, coef=1e-4, se=1e-4)


@pytest.mark.parametrize("name", PUBLIC_GLMM)
def test_laplace(name):
    entry = stored("slopes")[name]
    fit = slopes_fit("slopes", name)
    assert fit.points == 1
    assert_slopes(fit, entry, coef=1e-4, se=1e-4)
    if "vcov_all" in entry:
        assert_covariance(vector_covariance(fit), entry["vcov_all"], 1e-3, "covariance of coefficients, theta and log sigma")


def test_the_designs_are_near_the_boundary():
    """What the fifty designs are for: if this fails the data were made anew and say less."""
    entries = [stored("slopes")[name] for name in SIMULATED]
    assert len({entry["design"] for entry in entries}) == 50
    assert sum(entry["rank"] < len(entry["cov"]) for entry in entries) >= 40


@pytest.mark.parametrize("name", SIMULATED)
def test_never_worse_than_the_best(name):
    entry = stored("slopes")[name]
    assert_slopes(slopes_fit("slopes", name), entry, coef=1e-3, se=1e-3)


@pytest.mark.parametrize("name", PUBLIC + PUBLIC_GLMM + SIMULATED)
def test_a_singular_covariance_is_said_and_no_other(name):
    entry, fit = stored("slopes")[name], slopes_fit("slopes", name)
    assert fit.record.solution.code == ("boundary" if entry["rank"] < len(entry["cov"]) else "converged"), fit.record.solution
    assert fit.converged


@pytest.mark.parametrize("name", OPEN)
def test_open_cases(name):
    entry = stored("reference")[name]
    fit = glimm.glmm(entry["formula"], data(entry["data"]), reml=entry["extra"]["reml"])
    assert_not_worse(fit.llf, entry["loglik"], 0.5e-6 + 1e-9 * abs(entry["loglik"]), "log-likelihood")
    assert_in_units(fit.params, vector(entry["coef"]), vector(entry["se"]), 1e-3, "coefficients")
    assert_relative(fit.bse, entry["se"], 1e-3, "standard errors")
    deviations = [row["sdcor"] for row in entry["vc"] if row.get("var2") is None]
    assert_relative(fit.varcorr()["std_dev"], deviations, 1e-3, "standard deviations, the residual's last")
    correlations = [row["sdcor"] for row in entry["vc"] if row.get("var2") is not None]
    if correlations:
        assert_in_units(fit.varcorr()["corr_Intercept"][1:2], correlations, 1.0, 1e-3, "correlation")
    assert_in_units(fit.theta, entry["extra"]["theta"], 1.0, 1e-3, "theta")


@pytest.mark.parametrize("name", ["lmm_sleep_us_reml", "lmm_sleep_diag_ml", "lmm_contra_urban_us_reml", "lmm_toenail_unbalanced_ml"])
def test_predicted_effects_by_definition(name):
    """b = G Z'V^-1 (y - X beta), level by level, from the fit's own estimates: dense algebra."""
    entry = stored("slopes")[name]
    fit = slopes_fit("slopes", name)
    frame, design = frame_of(entry), fit.record.design
    term = design.mean.random[0]
    g = effects_covariance(fit, entry)
    residual = design.y - design.mean.matrix.dense() @ fit.params.to_numpy()
    table = fit.ranef()["estimate"].to_numpy().reshape(-1, len(g))
    assert len(frame) == len(residual)
    for j in range(0, len(table), 7):
        rows = np.flatnonzero(term.refs == j)
        z = term.z[rows]
        v = z @ g @ z.T + fit.sigma**2 * np.eye(len(rows))
        np.testing.assert_allclose(table[j], g @ z.T @ np.linalg.solve(v, residual[rows]), rtol=1e-6, atol=1e-8)


def test_levels_and_contrasts_of_a_factor_are_one_model():
    """(0 + f | g) and (1 + f | g) span the same effects; (f || g) does not."""
    levels, contrasts, independent = (slopes_fit("slopes", f"glmm_contra_urban_{kind}") for kind in ("levels", "logit", "diag"))
    assert abs(levels.llf - contrasts.llf) < 1e-8
    assert independent.llf < contrasts.llf - 1.0
    one = np.array([[1.0, 0.0], [1.0, 1.0]])
    entry = stored("slopes")["glmm_contra_urban_logit"]
    want = one @ effects_covariance(contrasts, entry) @ one.T
    np.testing.assert_allclose(effects_covariance(levels, entry), want, rtol=1e-4, atol=1e-6)


def test_effects_of_a_weighted_fit():
    entry = stored("slopes")["lmm_sleep_weights_us_reml"]
    assert_predicted_effects(slopes_fit("slopes", "lmm_sleep_weights_us_reml"), entry, 1e-4)
