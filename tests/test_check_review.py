"""What critical readers of `fit.check()` found: remedies that must run, sentences that must not contradict the fit or each other."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
from scipy.stats import f_oneway, t

import glimm
from glimm.diagnostics.clusters import largest_effect
from glimm.diagnostics.measure import spread_test

pytestmark = pytest.mark.filterwarnings("ignore::glimm.GlimmWarning")


def remedies(finding):
    """Formulas that a remedy writes out."""
    return re.findall(r"'([^']*~[^']*)'", finding.remedy)


def crossed():
    rng = np.random.default_rng(21)
    a, b = np.tile([0, 1], 120), np.tile([1, 1, 2, 2], 60)
    x = rng.normal(size=240)
    return pd.DataFrame({"y": x + 2 * a + 3 * b + 5 * a * b + rng.normal(size=240), "x": x, "hospital no": a, "ward": b})


@pytest.mark.parametrize("bar", ["(1 | `hospital no`)", "(1 | `hospital no`:ward)", "(1 | `hospital no`/ward)"])
def test_few_levels_become_predictors_that_compare_the_levels(bar):
    data = crossed()
    found = [f for f in glimm.glmm(f"y ~ x + {bar}", data).check() if f.code == "few_levels"]
    for finding in found:
        (formula,) = remedies(finding)
        fit = (glimm.glmm if "|" in formula else glimm.glm)(formula, data)
        columns = ["hospital no", "ward"] if "C(ward)" in formula else ["hospital no"]
        assert len(fit.params) == 1 + data.groupby(columns).ngroups  # x, and a mean for each level
    assert found


def test_robust_errors_are_not_called_too_small():
    rng = np.random.default_rng(5)
    x, id_ = rng.normal(size=500), np.repeat(np.arange(100), 5)
    data = {"n": rng.poisson(np.exp(1 + 0.3 * x) * rng.gamma(1, 1, 500)), "x": x, "id": id_}
    trusted = glimm.glm("n ~ x", data, family="poisson").check()["overdispersed"]
    assert trusted.severity == "warning"
    assert "too small" in trusted.consequence
    for vcov in ("HC1", {"cluster": "id"}):
        fit = glimm.glm("n ~ x", data, family="poisson", vcov=vcov)
        found = fit.check()["overdispersed"]
        assert found.severity == "note"
        assert "too small" not in found.consequence + found.remedy
        assert "overdispersed" not in str(fit.summary())


def test_the_response_of_two_parts_keeps_its_backticks():
    rng = np.random.default_rng(6)
    data = pd.DataFrame({"n visits": rng.poisson(3, 400) * (rng.random(400) < 0.5), "x": rng.normal(size=400)})
    found = glimm.glm("`n visits` ~ x", data, family="poisson").check()["zero_inflated"]
    left = re.search(r"glimm\.glm of (I\(.*?\)),", found.remedy)[1]
    assert glimm.glm(f"{left} ~ x", data, family="binomial").nobs == 400


def test_few_clusters_of_the_smaller_direction_and_of_a_mixed_model():
    rng = np.random.default_rng(7)
    x = rng.normal(size=300)
    data = pd.DataFrame({"y": x + rng.normal(size=300), "x": x, "id": np.repeat(np.arange(60), 5), "site no": np.tile(np.arange(10), 30)})
    found = glimm.glm("y ~ x", data, vcov={"cluster": ["id", "site no"]}).check()["few_clusters"]
    assert found.evidence["clusters"] == 10
    assert "(1 | `site no`)" in found.remedy
    mixed = glimm.glmm("y ~ x + (1 | `site no`)", data, vcov={"cluster": "site no"}).check()["few_clusters"]
    assert "vcov='model'" in mixed.remedy
    assert "glmm" not in mixed.remedy


def test_a_hessian_names_the_effect_with_a_dot_in_its_name():
    rng = np.random.default_rng(3)
    sex = np.repeat(rng.choice(["f", "m"], 24), 40)
    person = np.repeat(np.arange(24), 40)
    y = (rng.random(960) < 1 / (1 + np.exp(-1.3 - rng.normal(0, 0.3, 24)[person]))).astype(int)
    fit = glimm.glmm("y ~ sex + (1 + sex | person)", {"y": y, "sex": sex, "person": person}, family="binomial", points=1)
    for code in set(fit.check().codes) & {"hessian_not_positive_definite", "slope_without_variation"}:
        assert "y ~ sex + (1 | person)" in remedies(fit.check()[code])
    assert "slope_without_variation" in fit.check().codes


def test_a_fit_without_residuals_is_not_passed_over():
    x = np.array([1.0, 2.0, 4.0, 7.0, 8.0])
    fit = glimm.glm("y ~ x", {"y": 2 * x + 1, "x": x})
    assert fit.check().codes == ("no_residual_variation",)
    assert "no_residual_variation" in str(fit.summary())


def test_the_edge_of_a_link_of_a_glm_is_not_cured_by_more_passes():
    rng = np.random.default_rng(11)
    x = rng.normal(size=300)
    y = (rng.random(300) < np.minimum(np.exp(-0.7 + 0.5 * x), 1.0)).astype(int)
    fit = glimm.glm("y ~ x", {"y": y, "x": x}, family="binomial", link="log")
    if "edge" in fit.record.solution.message:
        assert fit.check().codes == ("no_curvature",)
        assert "max_iter" not in fit.check()["no_curvature"].remedy
        assert "link='logit'" in fit.check()["no_curvature"].remedy


def test_separation_of_a_reference_level_says_so():
    rng = np.random.default_rng(12)
    exposed = np.arange(300) < 12
    data = {"case": np.where(exposed, 1, rng.random(300) < 0.3).astype(int), "group": np.where(exposed, "exposed", "not")}
    found = glimm.glm("case ~ group", data, family="binomial").check()["separated"]
    assert "case is 1 in all 12 rows outside group[T.not]" in found.sentence
    assert "Other coefficients" in found.consequence
    age = rng.normal(size=300)
    complete = glimm.glm("ill ~ age", {"ill": (age > 0).astype(int), "age": age}, family="binomial").check()["separated"]
    assert "Other coefficients" not in complete.consequence


def test_dropout_is_not_denied_by_the_account_of_rows():
    rng = np.random.default_rng(2)
    rows = [(i, v) for i in range(150) for v in range(5)]
    data = pd.DataFrame(rows, columns=["id", "visit"])
    level = rng.normal(0, 1, 150)
    data["bp"] = 120 + 3 * data.visit + 5 * level[data.id] + rng.normal(0, 4, 750)
    gone = np.zeros(750, dtype=bool)
    for k in range(1, 750):
        if data.visit[k]:
            gone[k] = gone[k - 1] or rng.random() < 1 / (1 + np.exp(4 - 0.15 * (data.bp[k - 1] - 120)))
    data.loc[gone, "bp"] = np.nan
    check = glimm.gee("bp ~ visit", data, groups="id").check()
    assert {"dropout_follows_responses", "losses_follow_responses"} & set(check.codes)
    assert "No clear relation" not in check["rows_lost"].sentence
    assert "informative_cluster_size" not in check.codes


def test_a_simpler_model_is_not_promised_another_likelihood():
    rng = np.random.default_rng(1)
    data = {"y": rng.normal(size=80), "x": rng.normal(size=80), "g": np.repeat(np.arange(16), 5)}
    data["y"] -= np.repeat(data["y"].reshape(16, 5).mean(axis=1), 5)
    fit = glimm.glmm("y ~ x + (1 | g)", data)  # REML, and the simpler model is a GLM with a full likelihood
    found = fit.check()["zero_variance"]
    (formula,) = remedies(found)
    np.testing.assert_allclose(glimm.glm(formula, data).params, fit.params, rtol=1e-8)
    assert "log-likelihood" not in found.remedy


def test_a_column_of_means_is_advised_by_code_only_where_the_code_runs():
    rng = np.random.default_rng(8)
    g = np.repeat(np.arange(60), 8)
    data = pd.DataFrame({"g": g, "lx": rng.normal(size=480) + rng.normal(0, 1, 60)[g]})
    data["y"] = data.lx + 3 * data.lx.groupby(g).transform("mean") + rng.normal(size=480)
    data["x"] = np.exp(data.lx)
    remedy = glimm.glmm("y ~ lx + (1 | g)", data).check()["within_between"].remedy
    exec(re.search(r"data\[.*?'mean'\)", remedy)[0], {"data": data})
    assert "lx_mean" in data
    assert "groupby" not in glimm.glmm("y ~ np.log(x) + (1 | g)", data).check()["within_between"].remedy


def test_one_cluster_far_out_among_few_is_seen():
    rng = np.random.default_rng(9)
    g = np.repeat(np.arange(24), 10)
    effect = rng.normal(0, 1, 24)
    effect[7] = 9.0
    data = {"y": effect[g] + rng.normal(size=240), "g": g}
    assert glimm.glmm("y ~ 1 + (1 | g)", data).check()["outlying_clusters"].evidence["levels"] == ["7"]


def test_the_limit_is_that_of_the_largest_of_few():
    """Of 12 means, z over the standard deviation with its own mean in it; t without it (Beckman and Trussell 1974)."""
    z = largest_effect(12, 12)
    without = z * np.sqrt((11 - 1) / (11 - z**2))
    assert 2 * t.sf(without, 10) * 12 == pytest.approx(2e-4, rel=1e-6)


def test_spread_is_tested_as_an_analysis_of_variance():
    rng = np.random.default_rng(10)
    size = np.abs(rng.normal(size=200))
    assert spread_test(size, np.arange(200.0)) == pytest.approx(f_oneway(*size.reshape(10, 20)).pvalue, rel=1e-9)
    assert np.isnan(spread_test(size, np.ones(200)))
