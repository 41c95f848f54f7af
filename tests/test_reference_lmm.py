"""Linear mixed models against lme4, polished by Newton steps on its own criterion, and against glmmTMB."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import glimm
from glimm.family import resolve
from support import assert_glmm, assert_lmm, assert_not_worse, assert_relative, data, fitted, ids, stored, vector

POLISHED = 1e-5  # the stored theta is exact to 1e-10, and Control.tol = 1e-10 stops a fit within sqrt(1e-10) standard errors


@pytest.mark.parametrize("name", ids("more", "lmm"))
def test_ml_and_reml(name):
    assert_lmm(fitted("more", name), stored("more")[name], POLISHED)


@pytest.mark.parametrize("name", ids("reference", "lmm"))
def test_open_cases(name):
    fit, entry = fitted("reference", name), stored("reference")[name]
    assert_not_worse(fit.llf, entry["loglik"], 0.5e-6 + 1e-9 * abs(entry["loglik"]), "log-likelihood")
    assert_relative(fit.params, entry["coef"], 1e-6, "coefficients")
    assert_relative(fit.bse, entry["se"], 1e-3, "standard errors")
    variances = [row for row in entry["vc"] if row.get("var2") in (None, "NA")]
    assert_relative(fit.varcorr()["std_dev"], [row["sdcor"] for row in variances], 1e-4, "standard deviations")
    for row in entry["vc"]:
        if row not in variances:
            assert_relative(fit.varcorr()[f"corr_{row['var1'].strip('()')}"].dropna(), [row["sdcor"]], 1e-3, "correlation")
    assert_relative(fit.theta, entry["extra"]["theta"], 1e-4, "theta")


@pytest.mark.parametrize("name", ids("more", "lmm", lambda name, entry: entry["theta"] == 0))
def test_a_variance_of_zero_is_said(name):
    entry = stored("more")[name]
    with pytest.warns(glimm.GlimmWarning, match="zero"):
        fit = glimm.glmm(entry["formula"], data(entry["data"]), reml=entry["reml"])
    assert fit.record.solution.code == "boundary"
    assert fit.converged
    assert fit.theta[0] == 0.0
    assert np.all(fit.ranef()["estimate"] == 0.0)


def test_reml_is_the_default():
    entry = stored("more")["lmm_sleep_ri_reml"]
    assert_lmm(glimm.glmm(entry["formula"], data(entry["data"])), entry, POLISHED)


def test_ml_agrees_with_glmmtmb():
    entry = stored("more")["glmm_sleep_identity_tmb"]
    fit = glimm.glmm(entry["formula"], data(entry["data"]), reml=False)
    assert_not_worse(fit.llf, entry["loglik"], 1e-8, "log-likelihood")
    assert_relative(fit.params, entry["coef"], 1e-8, "coefficients")
    assert_relative(fit.sigma, entry["sigma"], 1e-6, "sigma")
    assert_relative(fit.sigma * fit.theta, entry["sd"], 1e-6, "standard deviation of the intercepts")


def test_the_general_route_at_one_point_is_the_ml_fit_with_full_standard_errors():
    from glimm.design.build import build_design
    from glimm.design.records import Spec
    from glimm.estimators.control import Control
    from glimm.estimators.glmm import fit_glmm

    entry = stored("more")["glmm_sleep_identity_tmb"]
    family, link = resolve("gaussian")
    design = build_design(Spec("glmm", entry["formula"], family, link), data(entry["data"]))
    fit = glimm.fit.GlmmFit(fit_glmm(design, family, 1, Control()), "model")
    assert_glmm(fit, entry, llf=1e-7, coef=1e-5, se=1e-4)


@pytest.mark.parametrize("reml", [False, True], ids=["ml", "reml"])
@pytest.mark.parametrize("shift", ["y + 1e7", "unix seconds"])
def test_the_scale_of_the_data_does_not_matter(shift, reml):
    frame = data("lme4_sleepstudy").copy()
    entry = stored("more")[f"lmm_sleep_ri_{'reml' if reml else 'ml'}"]
    want, day = entry["m2loglik"], 1.0
    if shift == "y + 1e7":
        frame["Reaction"] = np.round(frame["Reaction"], 4) + 1e7
    else:  # the REML criterion has log det X'V^-1 X, which changes by 2 log of the unit
        day = 86400.0
        frame["Days"] = 1.7e9 + day * frame["Days"]
        want += 2.0 * np.log(day) if reml else 0.0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit = glimm.glmm(entry["formula"], frame, reml=reml)
    assert abs(-2.0 * fit.llf - want) < 1e-6
    assert_relative(fit.params.iloc[1] * day, vector(entry["coef"])[1], 1e-8, "slope")
    assert_relative(fit.theta, entry["theta"], 1e-6, "theta")
