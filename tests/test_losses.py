"""Findings about rows left out: against closed forms, optima found by SciPy, and data whose losses were made in a known way."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from scipy.optimize import minimize
from scipy.stats import norm

import glimm
from glimm.design.take import take_rows
from glimm.diagnostics import losses
from glimm.diagnostics.occasions import all_rows, before, planned

K, VISITS = 250, 4


def panel(seed: int, k: int = K) -> pd.DataFrame:
    """Clusters of four visits with a normal response: x varies inside clusters, b between them, w is a second covariate."""
    rng = np.random.default_rng(seed)
    g = np.repeat(np.arange(k), VISITS)
    data = pd.DataFrame({"g": g, "t": np.tile(np.arange(VISITS), k), "x": rng.normal(size=len(g)), "w": rng.normal(size=len(g))})
    data["b"] = rng.integers(0, 2, size=k)[g]
    data["y"] = 1.0 + 0.5 * data["x"] + rng.normal(size=k)[g] + rng.normal(size=len(g))
    return data


def hidden(data: pd.DataFrame, odds, seed: int = 1, column: str = "y") -> pd.DataFrame:
    """The column missing with these log odds."""
    out = data.copy()
    lost = np.random.default_rng(seed).uniform(size=len(data)) < 1.0 / (1.0 + np.exp(-np.asarray(odds, dtype=float)))
    out.loc[lost, column] = np.nan
    return out


def codes(findings) -> dict[str, str]:
    return {f.code: f.severity for f in findings}


def one(fit, code: str):
    return next(f for f in losses.find(fit.record) if f.code == code)


def three(data, formula: str = "y ~ x + b"):
    return (
        glimm.glm(formula, data, vcov={"cluster": "g"}),
        glimm.gee(formula, data, groups="g", time="t"),
        glimm.glmm(f"{formula} + (1 | g)", data),
    )


def earlier(data: pd.DataFrame) -> pd.Series:
    return data.groupby("g")["y"].shift(1).fillna(0.0)


def test_nothing_is_said_and_nothing_kept_where_all_is_observed():
    for fit in three(panel(0)):
        assert losses.find(fit.record) == []
        assert fit.record.design.inputs is None


def test_losses_by_chance_are_one_note():
    for fit in three(hidden(panel(2), np.full(K * VISITS, -2.0))):
        (note,) = losses.find(fit.record)
        assert (note.code, note.severity) == ("rows_lost", "note")
        assert note.evidence["lost"] == fit.missing.n_dropped
        assert f"{fit.missing.n_dropped} of 1000 rows" in note.sentence
        assert "No clear relation" in note.sentence


def test_losses_that_follow_a_predictor():
    data = panel(3)
    for fit in three(hidden(data, -2.0 + 1.2 * data["x"])):
        found = one(fit, "losses_follow_predictors")
        assert found.severity == "note"
        assert found.evidence["odds_ratios"]["x"] > 2.0
        assert "losses_follow_responses" not in codes(losses.find(fit.record))


def test_losses_that_follow_a_time_that_is_no_predictor():
    data = panel(3)
    fit = glimm.gee("y ~ x", hidden(data, -3.0 + data["t"]), groups="g", time="t")
    found = one(fit, "losses_follow_predictors")
    assert found.severity == "warning"
    assert found.remedy == "Add t to the formula."


def test_losses_that_follow_the_response_before():
    data = panel(4)
    glm, gee, glmm = three(hidden(data, -2.0 + 1.2 * earlier(data)))
    for fit in (glm, gee):
        found = one(fit, "losses_follow_responses")
        assert found.severity == "warning"
        assert "which this contradicts" in found.consequence
    found = one(glmm, "losses_follow_responses")
    assert found.severity == "note"
    assert found.consequence.startswith("The LMM allows that")
    assert found.evidence["odds_ratios"]["y before"] > 2.0


def test_a_predictor_missing_by_the_response_of_its_row_is_a_warning_for_every_model():
    data = panel(5)
    for fit in three(hidden(data, -2.0 + 1.2 * data["y"], column="x"), "y ~ x + w"):
        found = one(fit, "losses_follow_responses")
        assert found.severity == "warning"
        assert "y of the row" in found.evidence["odds_ratios"]
        assert "Impute x" in found.remedy


def test_earlier_responses_that_were_lost_as_well():
    """b is missing in whole clusters, by their first response: a mixed model has none of their responses."""
    data = panel(6)
    data["b"] = data["b"].astype(float)
    first = data.groupby("g")["y"].transform("first")
    draw = np.repeat(np.random.default_rng(1).uniform(size=K), VISITS)
    data.loc[draw < 1.0 / (1.0 + np.exp(1.5 - 2.0 * first)), "b"] = np.nan
    found = one(glimm.glmm("y ~ x + b + (1 | g)", data), "losses_follow_responses")
    assert found.severity == "warning"


def test_clusters_that_end_early():
    data = panel(7)
    rng = np.random.default_rng(1)
    stop = rng.uniform(size=len(data)) < 1.0 / (1.0 + np.exp(3.0 - 1.5 * data["y"]))
    gone = stop.groupby(data["g"]).cumsum() - stop > 0
    data = data[~gone]
    gee = one(glimm.gee("y ~ x", data, groups="g", time="t"), "dropout_follows_responses")
    assert (gee.severity, gee.evidence["guessed"]) == ("warning", False)
    assert gee.evidence["z"] > 3.5
    glmm = one(glimm.glmm("y ~ x + t + (1 | g)", data), "dropout_follows_responses")
    assert (glmm.severity, glmm.evidence["guessed"]) == ("note", True)
    assert "taken as time" in glmm.sentence


def test_clusters_that_end_early_by_chance():
    data = panel(8)
    last = np.random.default_rng(1).integers(0, VISITS, size=K)[data["g"]]
    assert losses.find(glimm.gee("y ~ x", data[data["t"] <= last], groups="g", time="t").record) == []


def test_odds_ratio_of_a_two_by_two_table():
    rng = np.random.default_rng(9)
    b = rng.integers(0, 2, size=2000)
    y = rng.normal(size=2000)
    y[rng.uniform(size=2000) < np.where(b == 1, 0.3, 0.1)] = np.nan
    lost = np.isnan(y)
    table = [[np.sum(lost & (b == k)), np.sum(~lost & (b == k))] for k in (0, 1)]
    ratio = table[1][0] * table[0][1] / (table[1][1] * table[0][0])
    se = np.sqrt(sum(1.0 / n for row in table for n in row))
    found = one(glimm.glm("y ~ b", {"y": y, "b": b}), "losses_follow_predictors")
    assert found.evidence["odds_ratios"]["b"] == pytest.approx(ratio, rel=1e-6)
    assert found.evidence["z"]["b"] == pytest.approx(np.log(ratio) / se, rel=1e-6)


def test_coefficients_and_tests_against_dense_algebra():
    """Coefficients by SciPy, the cluster-robust covariance and the efficient score by matrices of all rows."""
    data = panel(10)
    data = hidden(data, -2.0 + 0.8 * data["x"])
    fit = glimm.gee("y ~ x + b", data, groups="g")
    last = data.groupby("g")["y"].transform(lambda y: y.ffill().shift(1))
    use = last.notna()
    sd = {"y": last[use].std(ddof=0), "x": data.loc[use, "x"].std(ddof=0)}
    columns = [last / sd["y"], data["x"] / sd["x"], data["b"]]
    x = np.column_stack([np.ones(use.sum()), *(c[use] for c in columns)])
    r, g = data["y"].isna()[use].to_numpy(dtype=float), data["g"][use].to_numpy()

    def fitted(x):
        start = np.zeros(x.shape[1])
        return minimize(lambda a: np.sum(np.logaddexp(0, x @ a)) - r @ (x @ a), start, tol=1e-14, method="BFGS", options={"gtol": 1e-9}).x

    beta = fitted(x)
    mu = 1.0 / (1.0 + np.exp(-x @ beta))
    bread = np.linalg.inv(x.T @ (x * (mu * (1 - mu))[:, None]))
    u = pd.DataFrame(x * (r - mu)[:, None]).groupby(g).sum().to_numpy()
    se = np.sqrt(np.diag(bread @ u.T @ u @ bread))
    found = one(fit, "losses_follow_predictors")
    for name, k in (("x", 2), ("b", 3)):
        assert np.log(found.evidence["odds_ratios"][name]) == pytest.approx(beta[k], rel=1e-5)
        assert found.evidence["z"][name] == pytest.approx(beta[k] / se[k], rel=1e-5)
    base, extra = x[:, :2], x[:, 2:]
    null = 1.0 / (1.0 + np.exp(-base @ fitted(base)))
    w = (null * (1 - null))[:, None]
    left = extra - base @ np.linalg.solve(base.T @ (base * w), base.T @ (extra * w))
    s = pd.DataFrame(left * (r - null)[:, None]).groupby(g).sum().to_numpy()
    assert found.evidence["chi2"] == pytest.approx(s.sum(0) @ np.linalg.solve(s.T @ s, s.sum(0)), rel=1e-5)
    assert found.evidence["rows"] == use.sum()


def test_few_false_alarms_when_losses_are_by_chance():
    """At most 1 of 60 data sets in which nothing decides has more than the note of how many rows (limit 5e-4 for each test)."""
    alarms = 0
    for seed in range(60):
        data = hidden(hidden(panel(100 + seed, 80), np.full(80 * VISITS, -1.5), seed), np.full(80 * VISITS, -2.0), seed + 1, "x")
        found = losses.find(glimm.gee("y ~ x + w", data, groups="g", time="t").record)
        alarms += any(f.code != "rows_lost" for f in found)
    assert alarms <= 1


@pytest.mark.parametrize("make", [lambda d: d, pl.from_pandas, pa.Table.from_pandas, lambda d: {c: d[c].to_numpy() for c in d}])
def test_every_kind_of_frame_gives_the_same(make):
    data = panel(4)
    data = hidden(data, -2.0 + 1.2 * earlier(data))
    here = losses.find(glimm.gee("y ~ x + b", data, groups="g", time="t").record)
    there = losses.find(glimm.gee("y ~ x + b", make(data), groups="g", time="t").record)
    assert [f.sentence for f in here] == [f.sentence for f in there]


def test_binary_strings_expressions_and_trials():
    data = panel(4)
    p = 1.0 / (1.0 + np.exp(-data["y"]))
    data["yes"] = np.where(np.random.default_rng(2).uniform(size=len(data)) < p, "yes", "no")
    data["n"], data["s"] = 10, np.random.default_rng(3).binomial(10, p).astype(float)
    was = (data.groupby("g")["yes"].shift(1) == "yes").to_numpy()
    lost = np.random.default_rng(4).uniform(size=len(data)) < np.where(was, 0.4, 0.05)
    data.loc[lost, ["s", "yes"]] = [np.nan, None]
    for formula in ("yes ~ x", "s / n ~ x", "cbind(s, n) ~ x"):
        found = one(glimm.gee(formula, data, groups="g", time="t", family="binomial"), "losses_follow_responses")
        assert found.severity == "warning"
    data["e"] = np.where(lost, np.nan, np.exp(data["y"]))
    assert "log(e) before" in one(glimm.gee("log(e) ~ x", data, groups="g"), "rows_lost").shown[1][0]


def test_missing_groups_times_weights_and_offsets():
    rng = np.random.default_rng(5)
    data = panel(11).astype({"g": float, "t": float})
    for name in ("g", "t", "w", "x"):
        data.loc[rng.uniform(size=len(data)) < 0.05, name] = np.nan
    data["v"] = np.exp(data["w"])
    fits = [
        glimm.gee("y ~ x", data, groups="g", time="t", weights="v"),
        glimm.glmm("y ~ x + (1 | g)", data, offset="w", weights="v"),
        glimm.glm("y ~ x", data, offset=data["w"].to_numpy(), vcov={"cluster": "g"}),
        glimm.glmm("y ~ x + ou(0 + t | g)", data),
    ]
    for fit in fits:
        (note,) = losses.find(fit.record)
        assert set(note.evidence["by_variable"]) == set(fit.missing.by_variable)


def test_separation_constants_and_too_few_losses_are_said_not_raised():
    data = panel(12)
    data["v"] = data["t"].map({0: "first", 1: "second", 2: "third", 3: "last"})
    never = hidden(data, np.where(data["t"] == 0, -50.0, -0.5))
    found = one(glimm.glm("y ~ v + x", never), "losses_follow_predictors")
    assert found.evidence["df"] == 4
    shown = {row[0]: row[2:] for row in found.shown}
    assert all(shown[f"v[{level}]"] == ("> 1000", "none", "none") for level in ("second", "third"))
    few = data.copy()
    few.loc[[3, 50], "y"] = np.nan
    assert "cannot be told" in one(glimm.glm("y ~ x", few), "rows_lost").sentence
    alone = data.copy()
    alone.loc[np.arange(0, 1000, 5), "y"] = np.nan
    assert codes(losses.find(glimm.glm("y ~ 1", alone).record)) == {"rows_lost": "note"}
    many = data.assign(z=[f"level {k % 60}" for k in range(len(data))])
    assert losses.find(glimm.glm("y ~ z", hidden(many, np.full(len(many), -2.0))).record)


def test_a_predictor_that_is_missing_itself_is_named_not_used():
    data = panel(13)
    data.loc[data.index[::3], ["x", "y"]] = np.nan
    note = one(glimm.glm("y ~ x + w", data), "rows_lost")
    assert all(row[0].split(": ")[-1] != "x" for row in note.shown)
    assert note.evidence["unused"]["x"] == "missing itself"
    assert "x (missing itself)" in note.sentence


def test_before_is_the_last_response_seen():
    data = pd.DataFrame({"g": [1, 1, 1, 1, 2, 2, 2], "t": [3, 1, 2, 4, 1, 2, 3], "x": np.arange(7.0)})
    data["y"] = [5.0, 7.0, np.nan, 6.0, np.nan, 1.0, 2.5]
    rows = all_rows(glimm.gee("y ~ 1", data, groups="g", time="t").record)
    assert before(rows, np.ones(7, dtype=bool)).tolist() == [1, -1, 1, 0, -1, -1, 5]
    assert planned(rows)[1] == 4
    assert planned(rows)[0].tolist() == [2, 0, 1, 3, 0, 1, 2]


def test_pickles_and_parts_of_a_design_keep_their_account():
    data = panel(4)
    fit = glimm.glmm("y ~ x + (1 | g)", hidden(data, -2.0 + 1.2 * earlier(data)))
    again = pickle.loads(pickle.dumps(fit))
    assert [f.sentence for f in losses.find(again.record)] == [f.sentence for f in losses.find(fit.record)]
    part = take_rows(fit.record.design, np.arange(40))
    assert part.inputs is fit.record.design.inputs


def test_numbers_of_a_caller_are_shared_not_copied():
    data = {"y": np.r_[np.nan, np.arange(9.0)], "x": np.arange(10.0) ** 2}
    inputs = glimm.glm("y ~ x", data).record.design.inputs
    assert np.shares_memory(inputs.variables["x"].values, data["x"])


def test_comparison_says_what_follows_for_each_fit_and_shows_the_regression_once():
    data = panel(4)
    data = hidden(data, -2.0 + 1.2 * earlier(data))
    glm, gee, glmm = glimm.glm("y ~ x + b", data), *three(data)[1:]
    text = " ".join(str(glimm.compare(glm, gee, glmm)).split())
    assert text.count("odds ratio 95 % interval") == 1
    assert "In (1) the GLM assumes missing completely at random given the predictors, which this contradicts" in text
    assert "In (2) the GEE assumes missing completely at random" in text
    assert "In (3) the LMM allows that" in text
    quiet = str(glimm.compare(*three(hidden(panel(2), np.full(K * VISITS, -2.0)))))
    assert "odds ratio" not in quiet


def test_comparison_says_how_rows_of_one_fit_only_differ():
    data = hidden(panel(14), np.full(K * VISITS, -2.0), column="w")
    text = " ".join(str(glimm.compare(glimm.glm("y ~ x", data), glimm.glm("y ~ x + w", data))).split())
    lost = data["w"].isna()
    a, b = data.loc[lost, "y"].mean(), data.loc[~lost, "y"].mean()
    assert f"(2) leaves out {lost.sum()} rows that (1) uses (w missing)" in text
    shown = text.partition("rows kept: y ")[2].split()
    assert float(shown[0]) == pytest.approx(a, abs=0.006)
    assert float(shown[2].rstrip(",")) == pytest.approx(b, abs=0.006)


def test_p_values_are_those_of_chi_square():
    data = panel(3)
    found = one(glimm.gee("y ~ x", hidden(data, -2.0 + 0.6 * data["x"]), groups="g"), "losses_follow_predictors")
    assert found.evidence["df"] == 1
    assert found.evidence["p"] == pytest.approx(2.0 * norm.sf(np.sqrt(found.evidence["chi2"])), rel=1e-9)
