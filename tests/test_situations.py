"""Situations that users of lme4 and glmmTMB reported as warnings or failures: here they fit without an alarm, or say what is wrong.

tests/reference/situations.R draws data of their shape and holds what lme4 and glmmTMB say of them.
"""

import json
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, stats

import glimm

HERE = Path(__file__).parent / "reference"


@pytest.fixture(scope="module")
def stored():
    return json.loads((HERE / "situations.json").read_text())


def said(make):
    """The fit, its warnings, and the codes of errors and warnings of its check."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit = make()
    return fit, [str(w.message) for w in caught], [f.code for f in fit.check() if f.severity != "note"]


def test_a_large_hessian_is_no_alarm(stored):
    """lme4 issues 783 and 618: a predictor's unit makes the raw gradient as large as one likes; the Newton decrement does not see it."""
    case = stored["ages"]
    assert "nearly unidentifiable" in case["said_years"]
    assert any("max|grad|" in text for text in case["said_thousandths"])
    data = pd.DataFrame(case["data"])
    years, spoken, codes = said(lambda: glimm.glmm("dead ~ age + (1 | zip)", data, family="binomial", points=1))
    assert years.converged
    assert not codes or codes == ["laplace_inaccurate"]
    assert not [text for text in spoken if "Laplace" not in text]
    small, _, again = said(lambda: glimm.glmm("dead ~ age_small + (1 | zip)", data, family="binomial", points=1))
    assert again == codes
    assert years.llf > case["llf"] - 1e-4
    assert small.llf == pytest.approx(years.llf, abs=1e-7)
    assert small.params["age_small"] * 1000 == pytest.approx(years.params["age"], rel=1e-6)
    assert small.record.solution.decrement < 1e-8


def test_two_clusters_converge_and_are_few(stored):
    """lme4 issue 584: the optimum is found; what is wrong is that two clusters say next to nothing of a variance."""
    case = stored["two"]
    assert "failed to converge" in case["said"]
    fit, spoken, codes = said(lambda: glimm.glmm("y ~ 1 + (1 | g)", pd.DataFrame(case["data"])))
    assert fit.converged
    assert not spoken
    assert codes == ["few_levels"]
    assert fit.llf >= case["llf"] - 1e-9


def test_intercepts_beside_ar1_of_numeric_years_is_refused_with_both_ways_to_write_it(stored):
    """glmmTMB issue 591, as its user wrote it: ar1(year - 1 | id) with years as numbers."""
    data = pd.DataFrame(stored["years"]["data"])
    with pytest.raises(glimm.GlimmError, match=r"ar1.*C\(year\)") as error:
        glimm.glmm("y ~ 1 + (1 | id) + ar1(0 + year | id)", data)
    assert "ou(" in str(error.value)


def test_intercepts_beside_ar1_fit_or_say_which_of_them_is_too_much(stored):
    """glmmTMB issue 591, as it was meant."""
    case = stored["years"]
    fit, spoken, codes = said(lambda: glimm.glmm("y ~ 1 + (1 | id) + ar1(0 + C(year) | id)", pd.DataFrame(case["data"]), reml=False))
    assert np.isfinite(fit.llf)
    assert np.isfinite(fit.bse).all()
    assert fit.llf >= case["llf"] - 1e-5
    assert fit.record.solution.code in ("converged", "boundary")
    assert bool(spoken) == bool(codes) == (fit.record.solution.code == "boundary")


def test_a_rare_event_with_predictors_on_many_scales(stored):
    """glmmTMB issue 1226: no standard errors there; here the fit of the standardised predictors, and no error."""
    case = stored["papers"]
    assert "non-positive-definite Hessian" in case["said"]
    assert case["llf"] is None
    data = pd.DataFrame(case["data"])
    formula = "top ~ isai + log_nauths + log_cost + pubs + area + (isai | project)"
    fit, _, _ = said(lambda: glimm.glmm(formula, data, family="binomial", points=1))
    assert fit.record.solution.code in ("converged", "boundary")
    assert np.isfinite(fit.bse).all()
    assert all(f.severity != "error" for f in fit.check())
    columns = ["log_nauths", "log_cost", "pubs", "area"]
    scaled = data.assign(**{name: (data[name] - data[name].mean()) / data[name].std() for name in columns})
    same = glimm.glmm(formula, scaled, family="binomial", points=1)
    assert same.llf == pytest.approx(fit.llf, abs=1e-6)
    for name in columns:
        assert fit.params[name] / fit.bse[name] == pytest.approx(same.params[name] / same.bse[name], rel=1e-4)


def test_sleepstudy_with_ar1_beside_a_residual(stored):
    """glmmTMB 1.1.5 gives NA for its log-likelihood; here it is that of the dense multivariate normal at its maximum."""
    assert stored["sleepstudy"]["llf"] is None
    data = pd.read_csv(HERE / "data" / "lme4_sleepstudy.csv")
    fit, _, _ = said(lambda: glimm.glmm("Reaction ~ Days + ar1(0 + C(Days) | Subject)", data, reml=False))
    assert fit.converged
    x = np.column_stack([np.ones(10), np.arange(10.0)])
    y = data.sort_values(["Subject", "Days"])["Reaction"].to_numpy().reshape(18, 10)
    lag = np.abs(np.subtract.outer(np.arange(10), np.arange(10)))

    def deviance(v):
        covariance = np.exp(2.0 * v[0]) * np.tanh(v[1]) ** lag + np.exp(2.0 * v[2]) * np.eye(10)
        w = np.linalg.solve(covariance, x)
        beta = np.linalg.solve(x.T @ w, w.T @ y.mean(axis=0))
        return -2.0 * stats.multivariate_normal.logpdf(y, x @ beta, covariance).sum()

    best = min(
        optimize.minimize(deviance, start, method="Nelder-Mead", options={"maxiter": 4000, "xatol": 1e-9, "fatol": 1e-10}).fun
        for start in ([3.5, 0.8, 3.0], [4.0, 1.5, 2.0], [3.0, 0.3, 3.5])
    )
    assert -2.0 * fit.llf == pytest.approx(best, abs=1e-5)
