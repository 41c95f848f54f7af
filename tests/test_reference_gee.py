"""GEE against geepack (its own moment rules), R's gee and a dense brute force (the standard rules): everything to 1e-6."""

from __future__ import annotations

import numpy as np
import pytest

import glimm
from support import assert_covariance, assert_gee, assert_relative, fitted, ids, prepared, stored

BRUTE_FORCE = 1e-9  # gee_standard.py iterates to 1e-13


@pytest.mark.parametrize("name", ids("reference", "gee"))
def test_open_cases_of_geepack(name):
    assert_gee(fitted("reference", name), stored("reference")[name])


@pytest.mark.parametrize("name", ids("more", "gee"))
def test_geepack_and_gee(name):
    assert_gee(fitted("more", name), stored("more")[name])


@pytest.mark.parametrize("name", ids("gee_standard", "gee"))
def test_standard_rules_by_brute_force(name):
    assert_gee(fitted("gee_standard", name), stored("gee_standard")[name], BRUTE_FORCE)


@pytest.mark.parametrize(("file", "name"), [(file, name) for file in ("more", "gee_standard") for name in ids(file, "gee")])
def test_model_based_errors(file, name):
    fit, entry = fitted(file, name, '"model"'), stored(file)[name]
    tolerance = BRUTE_FORCE if file == "gee_standard" else 1e-6
    assert_relative(fit.bse, entry["se_model"], tolerance, "model-based standard errors")
    assert_covariance(fit.cov_params(), entry["vcov_model"], tolerance, "model-based covariance")


@pytest.mark.parametrize("name", ids("gee_standard", "gee", lambda name, entry: "ohio" in name or "toenail_month" in name))
def test_rows_in_any_order(name):
    entry = stored("gee_standard")[name]
    frame, arguments = prepared(entry)
    shuffled = frame.sample(frac=1.0, random_state=7)
    fit = glimm.gee(
        entry["formula"], shuffled, groups=entry["groups"], time=entry["waves"], corr=entry["corr"], family=entry["family"], **arguments
    )
    assert_gee(fit, entry, BRUTE_FORCE)


@pytest.mark.parametrize("name", ["ohio_exchangeable", "toenail_month_independence"])
def test_time_does_not_matter_without_a_lag(name):
    entry = stored("gee_standard")[name]
    frame, _ = prepared(entry)
    fit = glimm.gee(entry["formula"], frame, groups=frame[entry["groups"]].to_numpy(), corr=entry["corr"], family=entry["family"])
    assert_gee(fit, entry, BRUTE_FORCE)


@pytest.mark.parametrize("stem", ["ohio", "toenail_month", "seizure", "sleep"])
def test_independence_is_the_glm_with_cluster_errors(stem):
    """An identity between two stored results and both doors: the GLM's coefficients, the cluster sandwich."""
    entry = stored("gee_standard")[f"{stem}_independence"]
    frame, arguments = prepared(entry)
    fit = glimm.glm(entry["formula"], frame, family=entry["family"], vcov={"cluster": entry["groups"]}, **arguments)
    assert_relative(fit.params, entry["coef"], 1e-9, "coefficients")
    assert_covariance(fit.cov_params(), entry["vcov"], 1e-9, "cluster-robust covariance")


def test_a_gee_has_no_likelihood():
    fit = fitted("gee_standard", "ohio_exchangeable")
    for name in ("llf", "aic", "bic"):
        with pytest.raises(AttributeError, match="qic"):
            getattr(fit, name)


def test_working_correlation_of_unequal_gaps():
    """R_jk = alpha^|t_j - t_k| on toenail's months, from the stored alpha."""
    entry = stored("gee_standard")["toenail_month_ar1"]
    matrix = fitted("gee_standard", "toenail_month_ar1").working_corr()
    times = np.asarray(matrix.index, dtype=float)
    want = entry["alpha"] ** np.abs(np.subtract.outer(times, times))
    assert_relative(matrix.to_numpy().ravel(), want.ravel(), 1e-8, "working correlation")
