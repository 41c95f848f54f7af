"""glimm.advise where the data cannot tell: no residual, no change inside clusters, one cluster, columns that do not count."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy.stats import f as f_distribution

import glimm
from support_advise import codes, evidence, logistic, long, pairs_of

N, CLUSTERS = 600, 60


def made(**columns):
    rng = np.random.default_rng(1)
    g = np.repeat(np.arange(CLUSTERS), 10)
    d = {"g": g, "s": g // 10, "t": np.tile(np.arange(10.0), CLUSTERS), "x": rng.normal(size=N), "tr": rng.integers(0, 2, N)}
    d |= {"u": rng.normal(size=CLUSTERS)[g], "e": rng.normal(size=N)}
    return pd.DataFrame(d).assign(**columns)


def text(statements, code):
    return next(s.text for s in statements if s.code == code)


def run(call, data):
    return eval(call, {"glimm": glimm, "data": data})


def test_rows_whose_time_is_missing_are_used_by_calls_without_it():
    data = made(y=lambda d: d.x + d.u + d.e, t=lambda d: d.t.where(np.arange(N) % 5 != 0))
    advice = glimm.advise("y ~ x", data, groups="g", time="t")
    assert "time=" not in advice.calls["population"]
    assert advice.facts.n == run(advice.calls["population"], data).record.design.n == N
    assert codes(advice.missing) >= {"nothing_missing", "time_missing"}
    assert evidence(advice.missing, "time_missing") == {"missing": 120, "rows": N}
    known = glimm.advise("y ~ x", data.dropna(), groups="g", time="t")
    assert [(lag.pairs, lag.gap) for lag in advice.facts.lags] == [(lag.pairs, lag.gap) for lag in known.facts.lags]
    assert advice.facts.times.occasions == 8


def test_the_call_with_time_is_said_to_lose_rows_without_it():
    rng, d, _ = long(150, 8, 2)
    e = rng.normal(size=(150, 8))
    for k in range(1, 8):
        e[:, k] = 0.7 * e[:, k - 1] + np.sqrt(1 - 0.49) * e[:, k]
    data = d.assign(y=e.ravel(), t=d["t"].where(d.index % 11 != 0))
    advice = glimm.advise("y ~ x", data, groups="g", time="t", question="population")
    assert "time=" in advice.call
    used = run(advice.call, data).record.design.n
    assert used == data["t"].notna().sum()
    assert f"uses these {used} alone" in text(advice.missing, "time_missing")


def test_a_row_is_left_out_only_by_models_that_need_what_is_missing():
    data = made(y=lambda d: d.x + d.u + d.e).astype({"g": float})
    data.loc[:4, "g"] = np.nan
    advice = glimm.advise("y ~ x", data, groups=["s", "g"])
    assert run(advice.calls["population"], data).record.design.n == N
    assert "a model without g keeps" in text(advice.missing, "rows_lost")
    data = made(y=lambda d: d.x + d.u + d.e, x=lambda d: d.x.where(d.index > 4))
    assert "left out by every model" in text(glimm.advise("y ~ x", data, groups="g").missing, "rows_lost")


@pytest.mark.parametrize("clusters", [6, 60])
def test_a_response_that_never_changes_inside_a_cluster(clusters):
    data = made(y=lambda d: (d.u > 0).astype(int)).query(f"g < {clusters}")
    advice = glimm.advise("y ~ x", data, groups="g")
    changing = int((data.groupby("g")["y"].nunique() > 1).sum())
    assert evidence(advice.doubts, "nothing_inside") == {"changing": changing, "clusters": clusters}
    assert advice.model == "gee"
    assert 'corr="independence"' in advice.call
    assert list(advice.calls) == ["individual", "population"]
    assert codes(advice.reasons).isdisjoint({"within", "slope_candidate", "random_intercept", "averages"})
    assert "mixed model averaged" not in str(advice)
    assert run(advice.call, data).converged


def test_a_linear_response_of_clusters_and_one_that_hardly_changes():
    data = made(y=lambda d: d.u)
    advice = glimm.advise("y ~ x", data, groups="g")
    assert "a linear mixed model has no residual" in text(advice.doubts, "nothing_inside")
    with pytest.raises(glimm.GlimmError, match="no residual variation"):
        glimm.glmm("y ~ x + (1 | g)", data)
    data = made(y=lambda d: ((d.u > 0) ^ (d.index == 0) ^ (d.index == 25)).astype(int))
    advice = glimm.advise("y ~ x", data, groups="g")
    assert evidence(advice.doubts, "little_inside") == {"changing": int((data.groupby("g")["y"].nunique() > 1).sum()), "clusters": 60}
    assert "nothing_inside" not in codes(advice.doubts)


@pytest.mark.parametrize(
    "more", [{"y": lambda d: 2 * d.x + 1}, {"y": lambda d: 2 * d.x + 1e9}, {"y": lambda d: np.exp(d.x), "link": "log", "family": "gamma"}]
)
def test_a_perfect_fit_is_said_first_and_its_rounding_is_not_read(more):
    data = made(y=more["y"])
    given = {name: value for name, value in more.items() if name != "y"}
    advice = glimm.advise("y ~ x", data, groups="g", time="t", **given)
    assert advice.about[0].code == "no_residual"
    assert advice.doubts[0].code == "perfect_fit"
    assert evidence(advice.doubts, "perfect_fit")["unexplained"] < 1e-11
    assert (advice.model, len(advice.answers)) == ("glm", 1)
    assert "correlate" not in str(advice)
    assert "nan" not in str(advice)
    assert "looks_clustered" not in codes(glimm.advise("y ~ x", data, **given).doubts)


def test_nearly_perfect_is_not_perfect():
    data = made(y=lambda d: 2 * d.x + 1e-6 * (d.u + d.e))
    advice = glimm.advise("y ~ x", data, groups="g")
    assert codes(advice.doubts).isdisjoint({"perfect_fit"})
    large = glimm.advise("y ~ x", data.assign(y=lambda d: 1e6 * (d.y - 2 * d.x) + 2 * d.x), groups="g")
    found, expected = (evidence(a.reasons, "dependence")["correlation"] for a in (advice, large))
    assert found == pytest.approx(expected, rel=1e-4)


def test_separation_is_said_first():
    data = made(y=lambda d: (d.x > 0).astype(int))
    whole = glimm.advise("y ~ x", data, groups="g", time="t")
    assert (whole.about[0].code, whole.doubts[0].code, whole.model) == ("no_residual", "separated", "glm")
    assert "correlate" not in str(whole)
    part = glimm.advise("y ~ tr + x", data.assign(y=lambda d: ((d.tr == 1) & (d.x + d.u + d.e > 0)).astype(int)), groups="g")
    assert (part.about[0].code, part.doubts[0].code) == ("no_residual", "separated")
    assert evidence(part.doubts, "separated")["separated"] == int((data["tr"] == 0).sum())
    assert "dependence" in codes(part.about)


def test_a_grouping_among_the_predictors_has_no_random_effect():
    data = made(y=lambda d: d.x + d.u + d.e)
    advice = glimm.advise("y ~ x + C(g)", data, groups="g")
    assert (advice.model, advice.call) == ("glm", 'glimm.glm("y ~ x + C(g)", data)')
    assert evidence(advice.reasons, "fixed_clusters") == {"coefficients": 61}
    assert "negative_correlation" not in codes(advice.doubts)
    assert codes(advice.reasons).isdisjoint({"within", "cluster_level", "dependence"})
    finer = glimm.advise("y ~ x + C(g)", data, groups=["s", "g"])
    assert dict(finer.facts.fixed) == {"s": "C(g)", "g": "C(g)"}
    outer = glimm.advise("y ~ x + C(s)", data, groups=["s", "g"])
    assert outer.calls["individual"] == 'glimm.glmm("y ~ x + C(s) + (1 | g)", data)'
    bars = glimm.advise("y ~ x + C(s) + (1 | s) + (1 | g)", data)
    assert bars.calls["individual"] == 'glimm.glmm("y ~ x + C(s) + (1 | g)", data)'


def test_cluster_coefficients_are_offered_only_to_predictors_that_vary_inside():
    data = made(z=lambda d: d.s % 2, y=lambda d: np.random.default_rng(2).normal(size=6)[d.s] + d.e)
    assert "C(s)" not in text(glimm.advise("y ~ z", data, groups="s").doubts, "few_clusters")
    both = text(glimm.advise("y ~ z + x", data, groups="s").doubts, "few_clusters")
    assert "(of x; z does not vary there)" in both
    assert "C(s) among the predictors compares rows inside these clusters only, and" in text(
        glimm.advise("y ~ x", data, groups="s").doubts, "few_clusters"
    )


def left(y, columns):
    m = np.column_stack(columns)
    return float(np.sum((y - m @ np.linalg.lstsq(m, y, rcond=None)[0]) ** 2))


def test_slopes_that_differ_with_two_groupings():
    data = made(y=lambda d: d.x * (1 + d.u) + d.e)
    advice = glimm.advise("y ~ x", data, groups=["s", "g"])
    assert advice.calls["individual"] == 'glimm.glmm("y ~ x + (1 | s) + (1 + x | g)", data)'
    g, s = (pd.get_dummies(data[name]).to_numpy(float) for name in ("g", "s"))
    x, y = data["x"].to_numpy(), data["y"].to_numpy()
    one, by_s, by_g = left(y, [g, x]), left(y, [g, s * x[:, None]]), left(y, [g, g * x[:, None]])
    found = evidence(advice.reasons, "random_slope")
    f = ((by_s - by_g) / 54) / (by_g / 480)
    assert (found["F"], found["p"]) == pytest.approx((f, f_distribution.sf(f, 54, 480)), rel=1e-8)
    f = ((one - by_s) / 5) / ((by_s - by_g) / 54)
    assert advice.facts.predictors[0].slopes["s"] == pytest.approx((f, f_distribution.sf(f, 5, 54)), rel=1e-8)
    assert [s.text for s in advice.doubts if s.code == "little_dependence" and "of one g " in s.text] == []
    kept = glimm.advise("y ~ x + (1 | s) + (1 | g)", data)
    assert evidence(kept.reasons, "slope_candidate")["F"] == found["F"]


def test_slopes_of_the_outer_and_of_a_crossing_grouping():
    data = made(s=lambda d: d.g // 5, i=lambda d: np.tile(np.arange(10), CLUSTERS))
    v = np.random.default_rng(3).normal(size=12)
    outer = glimm.advise("y ~ x", data.assign(y=lambda d: d.x * (1 + v[d.s]) + d.e), groups=["s", "g"])
    assert outer.calls["individual"] == 'glimm.glmm("y ~ x + (1 + x | s) + (1 | g)", data)'
    crossed = glimm.advise("y ~ x", data.assign(y=lambda d: d.x * (1 + d.u) + v[d.i] + d.e), groups=["i", "g"])
    assert crossed.calls["individual"] == 'glimm.glmm("y ~ x + (1 | i) + (1 + x | g)", data)'
    same = glimm.advise("y ~ x", data.assign(y=lambda d: d.x + d.u + v[d.i] + d.e), groups=["i", "g"])
    assert same.calls["individual"] == 'glimm.glmm("y ~ x + (1 | i) + (1 | g)", data)'


def test_with_a_log_link_only_the_intercept_is_averaged():
    data = made(y=lambda d: np.random.default_rng(4).poisson(np.exp(0.5 + 0.3 * d.x + 0.5 * d.u)))
    advice = glimm.advise("y ~ x", data, groups="g", question="individual")
    assert "but for the intercept" in text(advice.reasons, "averages")
    fit = run(advice.call, data)
    mean = fit.marginal_params()["estimate"].to_numpy()
    assert mean[1] == pytest.approx(fit.params.iloc[1], rel=1e-7)
    assert mean[0] == pytest.approx(fit.params.iloc[0] + 0.5 * fit.theta[0] ** 2, rel=1e-6)
    sloped = glimm.advise("y ~ x + (1 + x | g)", data, question="individual")
    assert "they are not its coefficients" in text(sloped.reasons, "averages")
    binary = data.assign(y=(np.random.default_rng(5).uniform(size=N) < logistic(data["u"])).astype(int))
    assert "they are not its coefficients" in text(glimm.advise("y ~ x", binary, groups="g", question="individual").reasons, "averages")


def test_columns_without_a_coefficient_are_no_predictors():
    data = made(y=lambda d: d.x + d.u + d.e, k=2.0, x2=lambda d: 2 * d.x)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", glimm.GlimmWarning)
        advice = glimm.advise("y ~ x + k + x2", data, groups="g")
    assert [x.name for x in advice.facts.predictors] == ["x"]
    assert "cluster_level" not in codes(advice.reasons)
    assert evidence(advice.doubts, "dropped_columns") == {"columns": 2}


def test_missing_rows_that_leave_one_cluster():
    data = made(y=lambda d: d.x + d.e, x=lambda d: d.x.where(d.g == 0))
    with pytest.raises(glimm.GlimmError, match=r"groups: 'g' is 0 in the 10 rows without a missing value \(of 600; missing: x in 590\)"):
        glimm.advise("y ~ x", data, groups="g")
    with pytest.raises(glimm.GlimmError, match="time 't' is missing in all 600 rows used"):
        glimm.advise("y ~ tr", data.assign(t=np.nan), groups="g", time="t")


def test_the_correlation_beside_a_z_is_the_one_it_tests():
    data = made(i=lambda d: np.tile(np.arange(10), CLUSTERS))
    v = np.random.default_rng(6).normal(size=10)
    data = data.assign(y=lambda d: v[d.i] + d.e)
    advice = glimm.advise("y ~ 1", data, groups=["i", "g"])
    found = next(s for s in advice.doubts if s.code == "little_dependence")
    r = data["y"] - data.groupby("i")["y"].transform("mean")
    products, phi = pairs_of(r.to_numpy(), data["g"].to_numpy()), float(r @ r) / (N - 11)
    assert "less the means of each i" in found.text
    assert found.evidence["correlation"] == pytest.approx(products.sum() / (len(products) - 11) / phi, rel=1e-9)
    assert found.evidence["z"] == pytest.approx(products.sum() / np.sqrt(len(products)) / phi, rel=1e-9)


@pytest.mark.parametrize("y", [lambda d: 1e9 + d.e, lambda d: (1e6 + 100 * d.e).round()])
def test_a_range_tells_its_ends_apart(y):
    data = made(y=y)
    said = text(glimm.advise("y ~ x", data).reasons, "family_gaussian")
    ends = [float(end) for end in said.partition(" from ")[2].partition(":")[0].partition(";")[0].partition(",")[0].split(" to ")]
    spread = np.ptp(data["y"])
    assert ends == pytest.approx([data["y"].min(), data["y"].max()], abs=0.02 * spread, rel=0)
