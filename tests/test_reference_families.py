"""GLMs of gamma, inverse Gaussian and negative binomial, and of further links, against R (tests/reference/families.R)."""

import json
from pathlib import Path

import numpy as np
import pytest

import glimm

CASES = json.loads((Path(__file__).parent / "reference" / "families.json").read_text(encoding="utf-8"))
DATA = CASES.pop("data")
CASES.pop("versions")


@pytest.mark.parametrize("name", CASES)
def test_glm_equals_r(name):
    case = CASES[name]
    fit = glimm.glm(case["formula"], DATA, family=case["family"], link=case["link"], weights=case["weights"])
    np.testing.assert_allclose(fit.params, case["coef"], rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(fit.bse, case["se"], rtol=2e-2 if case["family"] == "tweedie" else 1e-6)  # glmmTMB: observed information
    if "deviance" in case:
        assert fit.deviance == pytest.approx(case["deviance"], rel=1e-8)
        assert fit.scale == pytest.approx(case["scale"], rel=1e-7)
    if "llf" in case:
        assert fit.llf == pytest.approx(case["llf"], abs=1e-7)
    for parameter in ("k", "phi", "alpha", "precision", "power"):
        if parameter in case:
            assert fit.parts["family"].params[parameter] == pytest.approx(case[parameter], rel=1e-6)
        if f"{parameter}_se" in case:
            assert fit.parts["family"].bse[parameter] == pytest.approx(case[f"{parameter}_se"], rel=1e-4)
