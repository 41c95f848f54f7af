"""GLMs against R's glm at epsilon = 1e-15 and the sandwich package: everything to 1e-8."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

import glimm
from support import (
    assert_covariance,
    assert_glm,
    assert_in_units,
    assert_relative,
    data,
    finished,
    fitted,
    ids,
    prepared,
    stored,
)

TOLERANCE = 1e-8
ROBUST = ids("more", "glm", lambda name, entry: "robust" in entry)


@pytest.mark.parametrize("name", ids("reference", "glm"))
def test_estimates_of_the_open_cases(name):
    assert_glm(fitted("reference", name), stored("reference")[name])


@pytest.mark.parametrize("name", ids("more", "glm"))
def test_estimates_and_criteria(name):
    assert_glm(fitted("more", name), finished(name))


@pytest.mark.parametrize("kind", ["response", "pearson", "deviance", "working"])
@pytest.mark.parametrize("name", ids("more", "glm", lambda name, entry: "residuals" in entry))
def test_residuals(name, kind):
    fit, want = fitted("more", name), np.array(stored("more")[name]["residuals"][kind])
    assert_in_units(fit.resid(kind), want, np.abs(want).max(), TOLERANCE, kind)


@pytest.mark.parametrize("name", ids("more", "glm", lambda name, entry: "residuals" in entry))
def test_fitted_values(name):
    assert_relative(fitted("more", name).fittedvalues, stored("more")[name]["residuals"]["fitted"], TOLERANCE, "fitted values")


@pytest.mark.parametrize("scale", ["link", "response"])
@pytest.mark.parametrize("name", ids("more", "glm", lambda name, entry: "predict" in entry))
def test_predictions_with_standard_errors(name, scale):
    want = finished(name)["predict"]
    new = pd.DataFrame(want["newdata"])
    if "period" in new:  # R's factor is text in json
        new["period"] = new["period"].astype(int)
    if "logweeks" in new:
        new["offset_column"] = new["logweeks"]
    fit = fitted("more", name)
    assert_relative(fit.predict(new, scale=scale), want[scale], TOLERANCE, "predictions")
    table = fit.predict(new, scale=scale, interval="confidence")
    assert_relative(table["estimate"], want[scale], TOLERANCE, "estimates")
    assert_relative(table["std_error"], want[f"{scale}_se"], TOLERANCE, "standard errors")


@pytest.mark.parametrize("kind", ["HC0", "HC1", "HC2", "HC3"])
@pytest.mark.parametrize("name", ROBUST)
def test_heteroscedasticity_robust_covariance(name, kind):
    fit = fitted("more", name, json.dumps(kind))
    assert_covariance(fit.cov_params(), stored("more")[name]["robust"][kind], TOLERANCE, kind)


@pytest.mark.parametrize("small", [False, True], ids=["plain", "small"])
@pytest.mark.parametrize("name", ROBUST)
def test_cluster_robust_covariance(name, small):
    want = stored("more")[name]["cluster"]
    fit = fitted("more", name, json.dumps({"cluster": want["variable"], "small": small}))
    assert_covariance(fit.cov_params(), want["HC1_cadjust" if small else "HC0"], TOLERANCE, "cluster-robust covariance")
    assert len(fit.record.design.clusters[want["variable"]].levels) == want["n"]


@pytest.mark.parametrize("how", ["argument", "array", "formula", "exposure", "exposure_array"])
def test_every_spelling_of_an_offset(how):
    entry = finished("glm_seizure_offset")
    frame = data("seizure_long").copy()
    frame["logweeks"] = np.log(frame["weeks"])
    formula, arguments = entry["formula"], {}
    if how == "formula":
        formula += " + offset(log(weeks))"
    else:
        values = {
            "argument": "logweeks",
            "array": frame["logweeks"].to_numpy(),
            "exposure": "weeks",
            "exposure_array": frame["weeks"].to_numpy(),
        }
        arguments = {"exposure" if how.startswith("exposure") else "offset": values[how]}
    fit = glimm.glm(formula, frame, family="poisson", **arguments)
    assert_glm(fit, entry)
    new = pd.DataFrame(entry["predict"]["newdata"])
    arrays = {"array": {"offset": new["logweeks"].to_numpy()}, "exposure_array": {"exposure": new["weeks"].to_numpy()}}
    assert_relative(fit.predict(new, **arrays.get(how, {})), entry["predict"]["response"], TOLERANCE, "predictions")


@pytest.mark.parametrize("response", ["cbind(incidence, size - incidence)", "cbind(incidence, healthy)", "incidence / size"])
def test_every_spelling_of_a_binomial_response(response):
    entry = stored("more")["glm_cbpp_full"]
    frame = data("lme4_cbpp").assign(healthy=lambda d: d["size"] - d["incidence"])
    assert_glm(glimm.glm(f"{response} ~ C(period)", frame, family="binomial"), entry)


@pytest.mark.parametrize("coding", ["0/1", "bool", "strings", "categorical"])
def test_every_coding_of_a_binary_response(coding):
    entry = stored("more")["glm_ohio_logit_full"]
    frame, _ = prepared(entry)
    words = frame["resp"].map({0: "calm", 1: "wheeze"})
    frame["resp"] = {
        "0/1": frame["resp"],
        "bool": frame["resp"] == 1,
        "strings": words,
        "categorical": pd.Categorical(words, categories=["calm", "wheeze"]),
    }[coding]
    assert_glm(glimm.glm(entry["formula"], frame, family="binomial"), entry)


@pytest.mark.parametrize("kind", ["pandas", "polars", "pyarrow", "dict"])
def test_every_kind_of_table(kind):
    entry = stored("more")["glm_ohio_logit_full"]
    frame, _ = prepared(entry)
    if kind == "polars":
        frame = pytest.importorskip("polars").from_pandas(frame)
    if kind == "pyarrow":
        frame = pytest.importorskip("pyarrow").Table.from_pandas(frame)
    if kind == "dict":
        frame = {name: frame[name].to_numpy() for name in frame.columns}
    assert_glm(glimm.glm(entry["formula"], frame, family="binomial"), entry)


def test_weights_may_be_an_array():
    entry = stored("more")["glm_sleep_weights"]
    frame = data("lme4_sleepstudy")
    assert_glm(glimm.glm(entry["formula"], frame, weights=1.0 + frame["Days"].to_numpy()), entry)
