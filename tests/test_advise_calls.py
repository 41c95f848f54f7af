"""glimm.advise on other responses, groupings, names and frames, and what it refuses."""

from __future__ import annotations

import time
import warnings

import numpy as np
import pandas as pd
import pytest

import glimm
from support_advise import REFERENCE, codes, evidence, exchangeable, logistic, long, nested, overdispersed_counts


@pytest.mark.parametrize(
    ("y", "family", "code"),
    [
        (lambda rng: rng.choice(["no", "yes"], 200), "binomial", "family_binomial"),
        (lambda rng: rng.uniform(size=200) < 0.4, "binomial", "family_binomial"),
        (lambda rng: rng.poisson(3.0, 200), "poisson", "family_counts"),
        (lambda rng: rng.negative_binomial(1, 0.2, 200), "negative_binomial", "family_negative_binomial"),
        (lambda rng: rng.integers(2, 5, 200), "gaussian", "family_gaussian"),
        (lambda rng: rng.integers(1400, 1600, 200), "gaussian", "family_gaussian"),
        (lambda rng: rng.normal(size=200), "gaussian", "family_gaussian"),
    ],
)
def test_the_family_is_guessed(y, family, code):
    rng = np.random.default_rng(21)
    data = {"y": y(rng), "x": rng.normal(size=200)}
    advice = glimm.advise("y ~ x", data)
    assert code in codes(advice.reasons)
    assert eval(advice.call, {"glimm": glimm, "data": data}).record.family.name == family
    assert not advice.doubts


def test_responses_of_another_shape_are_doubted():
    rng = np.random.default_rng(22)
    x = rng.normal(size=300)
    skewed = glimm.advise("y ~ x", {"y": np.exp(1.0 + rng.normal(size=300)), "x": x})
    assert codes(skewed.doubts) == {"skewed_response"}
    assert codes(glimm.advise("y ~ x", {"y": rng.beta(2.0, 3.0, 300), "x": x}).doubts) == {"proportion_response"}
    counts = {"y": rng.negative_binomial(1, 0.2, 300), "x": x}
    assert codes(glimm.advise("y ~ x", counts, family="poisson").doubts) == {"overdispersed"}
    rare = {"y": np.r_[np.ones(7), np.zeros(293)], "x": x}
    assert evidence(glimm.advise("y ~ x", rare).doubts, "few_events")["events"] == 7
    apart = {"y": (x > 0).astype(int), "x": x}
    assert "separated" in codes(glimm.advise("y ~ x", apart).doubts)
    assert codes(glimm.advise("y ~ x + z", {"y": x[:20] + rng.normal(size=20), "x": x[:20], "z": 2 * x[:20]}).doubts) == {"dropped_columns"}
    assert codes(glimm.advise("y ~ x", {"y": rng.normal(size=15), "x": x[:15]}).doubts) == {"few_rows"}


@pytest.mark.parametrize("family", ["negative_binomial", "negative_binomial(2)", "negative_binomial1", "tweedie", "tweedie(1.5)"])
def test_a_gee_takes_a_family_without_parameters_to_estimate(family):
    data = overdispersed_counts()
    advice = glimm.advise("y ~ x", data, groups="g", family=family)
    assert f'family="{family}"' in advice.calls["individual"]
    fit = eval(advice.calls["population"], {"glimm": glimm, "data": data})
    assert fit.converged
    if family == "tweedie":
        power = glimm.glm("y ~ x", data, family="tweedie").parts["family"].params["power"]
        assert fit.record.family.fixed[1] == pytest.approx(power, abs=0.0051)


def test_columns_that_look_like_clusters_are_named():
    ohio = glimm.load_dataset("ohio")
    doubt = evidence(glimm.advise("resp ~ age * smoke", ohio).doubts, "looks_clustered")
    with_id = evidence(glimm.advise("resp ~ age * smoke", ohio, groups="id").reasons, "dependence")
    assert (doubt["column"], doubt["levels"], doubt["rows"]) == ("id", 537, 4.0)
    assert (doubt["correlation"], doubt["z"]) == pytest.approx((with_id["correlation"], with_id["z"]))
    assert codes(glimm.advise("pass ~ hours", glimm.load_dataset("classroom")).doubts) == {"looks_clustered"}


def test_rows_that_are_no_more_or_less_alike_than_chance():
    rng, d, _ = long(80, 4, 23)
    advice = glimm.advise("y ~ x", d.assign(y=rng.normal(size=320)), groups="g")
    assert codes(advice.doubts) == {"little_dependence"}
    e = rng.normal(size=(80, 4))
    unlike = d.assign(y=(e - 0.9 * e.mean(axis=1, keepdims=True)).ravel())
    advice = glimm.advise("y ~ x", unlike, groups="g")
    assert codes(advice.doubts) == {"negative_correlation"}
    assert 'corr="independence"' in advice.calls["population"]
    assert glimm.gee("y ~ x", unlike, groups="g", corr="independence").converged


def test_crossed_groupings_are_judged_apart():
    penicillin = pd.read_csv(REFERENCE / "lme4_Penicillin.csv")
    assert codes(glimm.advise("diameter ~ 1", penicillin, groups=["plate", "sample"]).doubts) == {"few_clusters"}
    pastes = pd.read_csv(REFERENCE / "lme4_Pastes.csv")
    doubts = glimm.advise("strength ~ 1", pastes, groups=["batch", "cask"]).doubts
    assert "(1 | batch/cask)" in next(s.text for s in doubts if s.code == "little_dependence")


def test_random_effects_of_the_formula_are_kept():
    pastes = pd.read_csv(REFERENCE / "lme4_Pastes.csv")
    advice = glimm.advise("strength ~ 1 + (1 | batch/cask)", pastes)
    assert advice.calls["individual"] == 'glimm.glmm("strength ~ 1 + (1 | batch/cask)", data)'
    assert advice.calls["population"] == 'glimm.gee("strength ~ 1", data, groups="batch", vcov="mancl_derouen")'
    assert [(g.name, g.clusters, g.within) for g in advice.facts.groups] == [("batch", 10, ()), ("batch:cask", 30, ("batch",))]
    only = glimm.advise("strength ~ 1 + (1 | batch:cask)", pastes, question="population")
    assert (only.model, only.answers[0].then, codes(only.answers[0].reasons)) == (
        "glmm", "fit.marginal_params()", {"no_single_cluster", "random_effects_given"},
    )  # fmt: skip


def test_groupings_that_add_nothing_are_left_out():
    data = nested().assign(row=lambda d: np.arange(len(d)), code=lambda d: "s" + d["school"].astype(str))
    advice = glimm.advise("y ~ x", data, groups=["school", "code", "row"], question="individual")
    assert advice.call == 'glimm.glmm("y ~ x + (1 | school)", data)'
    assert {"row_per_cluster", "same_clusters"} <= codes(advice.reasons)


def test_odd_names_offsets_weights_and_kinds_of_frames():
    rng, d, b = long(60, 5, 24)
    d = d.assign(days=rng.uniform(1, 9, 300), w=rng.uniform(1, 2, 300)).rename(columns={"g": "my group", "x": "dose given"})
    d["n"] = rng.poisson(d["days"] * np.exp(0.2 * d["dose given"] + 0.5 * b))
    pl = pytest.importorskip("polars")
    for data in (d, pl.from_pandas(d), dict(d)):
        advice = glimm.advise("n ~ `dose given`", data, groups="my group", exposure="days", weights="w", link="log")
        for call in advice.calls.values():
            fit = eval(call, {"glimm": glimm, "data": data})
            assert fit.record.solution.code == "converged"
            assert fit.record.family.name == "poisson"
            assert fit.record.design.mean.offset is not None
    within = glimm.advise("n ~ `dose given` + offset(log(days))", d, groups="my group", question="population")
    assert within.call.startswith('glimm.gee(\n    "n ~ `dose given` + offset(log(days))"')


def test_time_belongs_to_the_grouping_in_which_it_does_not_repeat():
    data = nested().assign(t=lambda d: np.tile(np.arange(5), 180))
    advice = glimm.advise("y ~ x", data, groups=["school", "room"], time="t")
    assert (advice.facts.times.group, advice.facts.times.occasions) == ("room", 5)
    assert "time=" not in advice.calls["population"]
    with pytest.raises(glimm.GlimmError, match="cluster 0 of 'school' has time 0 twice, in rows 0 and 5"):
        glimm.advise("y ~ x", data, groups="school", time="t")


@pytest.mark.parametrize(
    ("formula", "more", "message"),
    [
        ("y ~ x", {"groups": "gg"}, r"no column 'gg' in the data, needed by groups=: did you mean 'g'"),
        ("y ~ xx", {}, r"no column 'xx' in the data: did you mean 'x'"),
        ("yy ~ x", {"groups": "g"}, r"no column 'yy' in the data: did you mean 'y'"),
        ("y ~ x", {"groups": "g", "time": "tt"}, r"no column 'tt' in the data, needed by time="),
        ("y ~ x", {"groups": "g", "question": "populations"}, r"unknown question 'populations': did you mean 'population'"),
        ("y ~ x", {"groups": "g", "question": 1}, r"question must be a name, not int"),
        ("y ~ x", {"groups": "one"}, r"groups: 'one' is 1 in all rows, one cluster"),
        ("one ~ x", {"groups": "g"}, r"the response 'one' is 1 in all 480 rows used: there is nothing to estimate"),
        ("y ~ x", {"groups": np.arange(480)}, r"groups must name a column"),
        ("y ~ x", {"groups": "g", "weights": np.ones(480)}, r"weights must name a column of the data, not ndarray"),
        ("y ~ x", {"time": "t"}, r"time= needs groups="),
        ("y ~ x", {"family": "binomal"}, r"unknown family 'binomal': did you mean 'binomial'"),
        ("half ~ x", {}, r"coded 1/2, not 0/1: write I\(half == 2\)"),
        ("three ~ x", {}, r"has 3 levels \('a', 'b', 'c'\)"),
        (1, {}, r"formula must be text"),
    ],
)
def test_what_cannot_be_advised(formula, more, message):
    data = exchangeable().assign(one=1, half=lambda d: 1 + d["t"] % 2, three=lambda d: d["t"].map(dict(enumerate("abcabc"))))
    with pytest.raises(glimm.GlimmError, match=message):
        glimm.advise(formula, data, **more)


def test_no_rows():
    with pytest.raises(glimm.GlimmError, match="the data have no rows"):
        glimm.advise("y ~ x", pd.DataFrame({"y": [], "x": []}), groups="g")


def test_healthy_data_raise_few_doubts_by_chance():
    doubts = 0
    for seed in range(40):
        rng, d, b = long(60, 5, 100 + seed)
        gone = rng.uniform(size=300) < 0.1
        y = (rng.uniform(size=300) < logistic(0.5 * d["x"] + 1.5 * b)).astype(float)
        advice = glimm.advise("y ~ x + trt + t", d.assign(y=np.where(gone, np.nan, y)), groups="g", time="t")
        assert advice.calls["individual"] == 'glimm.glmm("y ~ x + trt + t + (1 | g)", data, family="binomial")'
        doubts += len(advice.doubts)
    assert doubts <= 2


def test_a_large_data_set_takes_little_time():
    rng, d, b = long(20_000, 5, 25)
    data = d.assign(y=(rng.uniform(size=100_000) < logistic(0.5 * d["x"] + b)).astype(int))
    glimm.advise("y ~ x + trt", data.iloc[:500], groups="g", time="t")
    start = time.process_time()
    glimm.advise("y ~ x + trt", data, groups="g", time="t")
    assert time.process_time() - start < 5.0


def test_few_clusters_of_a_gee_are_corrected_where_there_are_enough_for_it():
    epil = pd.read_csv(REFERENCE / "MASS_epil.csv")
    few = glimm.advise("y ~ lbase * trt", epil.query("subject <= 20"), groups="subject", question="population")
    assert 'vcov="mancl_derouen"' in few.call
    assert 'vcov="mancl_derouen" corrects them' in next(s.text for s in few.reasons if s.code == "robust_errors")
    assert 'vcov="mancl_derouen" corrects them' in next(s.text for s in few.doubts if s.code == "few_clusters")
    assert "vcov" not in glimm.advise("y ~ lbase * trt", epil, groups="subject", question="population").call  # 59 of them
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", glimm.GlimmWarning)
        none = glimm.advise("y ~ lbase * trt", epil.query("subject in (1, 3, 30, 31)"), groups="subject", question="population")
    assert "vcov" not in none.call
    assert "mancl" not in str(none)


def test_a_response_of_few_whole_numbers_may_be_ordered_levels():
    koch = pd.read_csv(REFERENCE / "geepack_koch.csv")
    said = next(s.text for s in glimm.advise("y ~ trt", koch, groups="id").about if s.code == "family_gaussian")
    assert 'If its 3 values are ordered levels and no amounts, a GEE takes family="ordinal".' in said
