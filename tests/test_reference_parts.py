"""zero= and dispersion= against glmmTMB, pscl::zeroinfl and sandwich (tests/reference/parts.R)."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import glimm

HERE = Path(__file__).parent / "reference"
CASES = json.loads((HERE / "parts.json").read_text(encoding="utf-8"))
SIM = CASES.pop("data")
CASES.pop("versions")
WITH_NEW = [name for name, case in CASES.items() if "new" in case]
ROBUST = [name for name, case in CASES.items() if "hc0" in case]


def table(case):
    if case["data"] == "sim":
        return pd.DataFrame(SIM["sim"])
    data = pd.read_csv(HERE / "data" / f"{case['data']}.csv")
    return data.assign(w=SIM["weights"]) if case["data"] == "glmmTMB_Salamanders" else data


def fitted(name, **more):
    case = CASES[name]
    parts = {part: case.get(part) for part in ("zero", "dispersion", "weights")}
    return glimm.glm(case["formula"], table(case), family=case["family"], link=case["link"], **parts, **more)


@pytest.mark.parametrize("name", CASES)
def test_equals_r(name):
    case, fit = CASES[name], fitted(name)
    assert fit.converged
    assert fit.record.solution.code == "converged"
    assert fit.llf == pytest.approx(case["llf"], abs=1e-7)
    assert fit.aic == pytest.approx(case["aic"], abs=2e-7)
    found = {"mean": (fit.params, fit.bse)} | {part: (e.params, e.bse) for part, e in fit.parts.items()}
    if "family" in found:  # R has its log
        values, errors = found.pop("family")
        found["dispersion"] = np.log(values), errors / values
    for part, theirs in (("mean", "mean"), ("zero", "zero_part"), ("dispersion", "dispersion_part")):
        if case.get(theirs):
            ours, (coef, se) = found.pop(part), (np.ravel(case[theirs][key]) for key in ("coef", "se"))
            np.testing.assert_allclose((np.asarray(ours[0]) - coef) / se, 0.0, atol=1e-5)
            np.testing.assert_allclose(ours[1], se, rtol=1e-4)
    assert not found


@pytest.mark.parametrize("name", WITH_NEW)
def test_predictions_equal_glmmtmb(name):
    case, fit = CASES[name], fitted(name)
    found = fit.predict(pd.DataFrame(case["new"]), interval="confidence")
    np.testing.assert_allclose(found["estimate"], case["predicted"], rtol=1e-7)
    np.testing.assert_allclose(found["std_error"], case["predicted_se"], rtol=1e-4)
    if "zprob" in case:
        np.testing.assert_allclose(fit.predict(pd.DataFrame(case["new"]), scale="zero"), case["zprob"], rtol=1e-6)


@pytest.mark.parametrize("name", ROBUST)
def test_robust_errors_and_residuals_equal_sandwich(name):
    case = CASES[name]
    np.testing.assert_allclose(fitted(name, vcov="HC0").bse, case["hc0"], rtol=1e-6)
    if "cluster" in case:
        np.testing.assert_allclose(fitted(name, vcov={"cluster": case["cluster"]}).bse, case["clustered"], rtol=1e-6)
    np.testing.assert_allclose(fitted(name).resid("pearson").iloc[:5], case["pearson"], rtol=1e-5)


def test_weights_divide_the_dispersion_of_amounts():
    """Weights are an offset of the dispersion: -log(w) / 2 of log sigma, -log w of log phi; glmmTMB's weights are not (PARITY.md)."""
    data = table(CASES["sim_gaussian"]).assign(half=lambda d: -0.5 * np.log(d.w), whole=lambda d: -np.log(d.w))
    for name, offset in (("sim_gaussian_weights", "half"), ("sim_gamma_weights", "whole")):
        case = CASES[name]
        other = glimm.glm(case["formula"], data, family=case["family"], link=case["link"], dispersion=f"~ x + offset({offset})")
        fit = fitted(name)
        np.testing.assert_allclose(fit.params, other.params, rtol=1e-9)
        assert fit.llf == pytest.approx(other.llf, abs=1e-8)
