"""Wald and score tests against a dense brute force and R, type III hypotheses against cell means, and what hypotheses may be."""

from __future__ import annotations

import re
import warnings
from functools import cache

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import glimm
from glimm.errors import GlimmError
from support import data, stored
from test_quasi_information import BRUTE_FORCE, problem

TESTS = stored("gee_tests")["tests"]
R = {name: entry for name, entry in stored("hypotheses").items() if name != "note" and not name.startswith("qic")}
SMALLER = {  # columns held at 0 -> the formula without them
    ("ohio", "3"): "resp ~ age + smoke",
    ("ohio", "2 3"): "resp ~ age",
    ("ohio", "1 3"): "resp ~ smoke",
    ("toenail_month", "3"): "y ~ C(treatment) + month",
    ("toenail_month", "1 3"): "y ~ month",
    ("epil", "3"): "y ~ lbase + I(trt == 'progabide') + V4",
    ("epil", "2 3"): "y ~ lbase + V4",
    ("epil", "4"): "y ~ lbase * I(trt == 'progabide')",
}


@pytest.mark.parametrize("name", TESTS)
@pytest.mark.parametrize("vcov", ["robust", "model"])
def test_dense_values(name, vcov):
    data_name, corr, held = name.split(" ", 2)
    entry, end = TESTS[name], "_model" if vcov == "model" else ""
    large = problem(data_name, corr, vcov=vcov)
    small = problem(data_name, corr, formula=SMALLER[data_name, held], vcov=vcov)
    order = position(large)
    matrix = np.eye(len(large.params))[[order[int(j)] for j in held.split()]]
    wald = large.wald_test(matrix)
    for test, kind in ((wald, "wald"), (large.compare_wald_test(small), "wald"), (large.compare_score_test(small), "score")):
        assert (test.kind, test.distribution, test.df, test.df_denominator, test.note) == (kind, "chi2", entry["df"], None, "")
        assert test.statistic == pytest.approx(entry[kind + end], rel=BRUTE_FORCE)
        assert test.p_value == pytest.approx(entry[f"{kind}{end}_p"], rel=BRUTE_FORCE)
    terms = large.score_test_terms().set_index("term")
    if len(matrix) == 1:
        term = large.params.index[order[int(held)]].replace("[T.terbinafine]", "").replace("[T.True]", "")
        assert terms.loc[term, "statistic"] == pytest.approx(entry["score" + end], rel=BRUTE_FORCE)


def position(fit) -> list[int]:
    """Where the columns of the dense script are: the epilepsy formula has its interaction last."""
    names = list(fit.params.index)
    order = [*(j for j, name in enumerate(names) if ":" not in name), *(j for j, name in enumerate(names) if ":" in name)]
    return [*order[:3], order[4], order[3]] if len(order) == 5 else order


@cache
def of_r(name):
    entry = R[name]
    frame = data(entry["data"])
    if entry["kind"] == "gee":
        frame = frame.assign(cluster=frame["center"] * 1000 + frame["id"])
        more = {"groups": "cluster", "moments": "geepack"}
    else:
        more = {"points": 1} if entry["kind"] == "glmm" and entry["family"] != "gaussian" else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return getattr(glimm, entry["kind"])(entry["formula"], frame, family=entry["family"], **more)


@pytest.mark.parametrize("name", R)
def test_type3_of_r(name):
    """R's are sums over terms in sum-to-zero coding; ours are of treatment coding."""
    entry, fit = R[name], of_r(name)
    gaussian_glm = entry["kind"] == "glm" and entry["family"] == "gaussian"
    tolerance = {"glm": 1e-8, "gee": 2e-6, "glmm": 2e-3}[entry["kind"]]
    table = fit.wald_test_terms()
    assert [re.sub(r"C\((\w+)\)", r"\1", term) for term in table["term"]] == [term["term"] for term in entry["terms"]]
    for row, term in zip(table.to_dict("records"), entry["terms"], strict=True):
        assert row["df"] == term["df"]
        assert row["note"] == ""
        statistic = term["chi2"] / (term["df"] if gaussian_glm else 1)
        assert row["statistic"] == pytest.approx(statistic, rel=tolerance)
        p = stats.f.sf(statistic, term["df"], fit.df_resid) if gaussian_glm else stats.chi2.sf(statistic, term["df"])
        assert row["p_value"] == pytest.approx(p, rel=10 * tolerance, abs=1e-12)
    pair = fit.wald_test(entry["equal"])
    assert pair.distribution == ("F" if gaussian_glm else "chi2")
    assert pair.statistic == pytest.approx(entry["pair_chi2"], rel=tolerance)


@cache
def factorial() -> pd.DataFrame:
    rng = np.random.default_rng(7)
    n = 400
    frame = pd.DataFrame(
        {
            "a": rng.choice(list("pqr"), n, p=[0.5, 0.3, 0.2]),
            "b": rng.choice(list("uvwx"), n),
            "c": rng.choice(list("mn"), n, p=[0.7, 0.3]),
            "x": rng.normal(3.0, 1.0, n),
            "z": rng.normal(size=n),
            "g": rng.integers(0, 60, n),
        }
    )
    return frame.assign(y=rng.normal(size=n) + frame["x"] * (frame["a"] == "p") + (frame["b"] == "u") * (frame["c"] == "m"))


@pytest.mark.parametrize("formula", ["y ~ a * b * c + x", "y ~ a * b + a * x + poly(z, 2) * c", "y ~ a * b * x + z", "y ~ x + x:a + b"])
@pytest.mark.parametrize("contrast", ["contr.sum", "contr.helmert", "contr.treatment(base='v')", "contr.poly"])
def test_coding_makes_no_difference(formula, contrast):
    other = formula
    for name in "abc":
        base = {"a": "q", "b": "v", "c": "n"}[name]
        other = re.sub(rf"\b{name}\b", f"C({name}, {contrast.replace(chr(39) + 'v' + chr(39), repr(base))})", other)
    one, two = (glimm.gee(f, factorial(), groups="g") for f in (formula, other))
    for method in ("wald_test_terms", "score_test_terms") if contrast == "contr.sum" else ("wald_test_terms",):
        first, second = (getattr(fit, method)() for fit in (one, two))
        assert first["df"].tolist() == second["df"].tolist()
        np.testing.assert_allclose(first["statistic"], second["statistic"], rtol=1e-7, atol=1e-9)


def test_sum_coding_tests_its_own_coefficients():
    fit = glimm.glm("y ~ C(a, contr.sum) * C(b, contr.sum) + x", factorial())
    table = fit.wald_test_terms().set_index("term")
    for term in table.index:
        assert fit.wald_test([term]).statistic == pytest.approx(table.loc[term, "statistic"], rel=1e-9)


def test_cell_means():
    """a * b of a saturated gaussian model: the means of the cells are independent, and type III is of their unweighted averages."""
    frame = factorial()
    cells = frame.groupby(["a", "b"])["y"].agg(["mean", "size"])
    means, variances = cells["mean"].to_numpy(), 1.0 / cells["size"].to_numpy()
    sigma2 = float(((frame["y"] - frame.groupby(["a", "b"])["y"].transform("mean")) ** 2).sum()) / (len(frame) - 12)
    average, differ = np.full((1, 4), 0.25), np.array([[1.0, -1, 0], [1, 0, -1]])
    left = np.kron(differ, average)
    want = (left @ means) @ np.linalg.solve(left @ np.diag(variances) @ left.T, left @ means) / sigma2 / 2
    table = glimm.glm("y ~ a * b", frame).wald_test_terms().set_index("term")
    assert table.loc["a", "statistic"] == pytest.approx(want, rel=1e-9)
    assert table.loc["a", "df_denominator"] == len(frame) - 12
    whole = glimm.glm("y ~ a:b", frame).wald_test_terms().set_index("term")
    left = np.column_stack([np.ones(11), -np.eye(11)])
    want = (left @ means) @ np.linalg.solve(left @ np.diag(variances) @ left.T, left @ means) / sigma2 / 11
    assert whole.loc["a:b", "df"] == 11
    assert whole.loc["a:b", "statistic"] == pytest.approx(want, rel=1e-9)


def test_without_a_constant_all_means_are_tested():
    fit = glimm.glm("y ~ 0 + a", factorial())
    table = fit.wald_test_terms()
    assert table["df"].tolist() == [3]
    assert table["statistic"][0] == pytest.approx(fit.wald_test("a").statistic, rel=1e-10)


def test_empty_cells():
    frame = factorial()
    frame = frame[(frame["a"] != "r") | (frame["b"] != "x")]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = glimm.glm("y ~ a * b", frame)
    table = fit.wald_test_terms().set_index("term")
    assert table["df"].to_dict() == {"Intercept": 0, "a": 1, "b": 2, "a:b": 5}
    assert np.isnan(table.loc["Intercept", "statistic"])
    assert table.loc["Intercept", "note"].startswith("not estimable: a[T.r]:b[T.x] left out of the model")
    assert table.loc["a", "note"].startswith("1 of 2 contrasts are estimable")
    cells = frame.groupby(["a", "b"])["y"].agg(["mean", "size"])
    sigma2 = float(((frame["y"] - frame.groupby(["a", "b"])["y"].transform("mean")) ** 2).sum()) / (len(frame) - 11)
    weights = np.r_[np.full(4, 0.25), np.full(4, -0.25), np.zeros(3)]  # p against q, the levels with all cells
    want = (weights @ cells["mean"]) ** 2 / float(np.sum(weights**2 / cells["size"])) / sigma2
    assert table.loc["a", "statistic"] == pytest.approx(want, rel=1e-9)


def test_collinear_columns():
    frame = factorial().assign(w=lambda d: 2.0 * d["x"] + 1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = glimm.glm("y ~ x + w + a", frame)
    table = fit.wald_test_terms().set_index("term")
    assert table["df"].to_dict() == {"Intercept": 0, "x": 0, "w": 0, "a": 2}
    assert "w left out of the model" in table.loc["x", "note"]
    with pytest.raises(GlimmError, match="'w' was left out of the model for rank"):
        fit.wald_test("w = 0")


OHIO = {
    "age = 0": ([[0, 1, 0, 0]], [0]),
    "age": ([[0, 1, 0, 0]], [0]),
    "age = 0, smoke = age:smoke": ([[0, 1, 0, 0], [0, 0, 1, -1]], [0, 0]),
    "age = smoke = 0.5": ([[0, 1, -1, 0], [0, 0, 1, 0]], [0, 0.5]),
    "2 * (age - smoke) / 4 + 1 = -age:smoke": ([[0, 0.5, -0.5, 1]], [-1]),
    "-age + 3e-1 = --smoke": ([[0, -1, -1, 0]], [-0.3]),
    "`age:smoke` == Intercept": ([[-1, 0, 0, 1]], [0]),
    "age=0,age=0": ([[0, 1, 0, 0]], [0]),
}


@pytest.mark.parametrize("text", OHIO)
def test_text(text):
    fit = problem("ohio")
    left, right = (np.array(part, dtype=float) for part in OHIO[text])
    b, v = fit.params.to_numpy(), fit.cov_params().to_numpy()
    gap = left @ b - right
    want = gap @ np.linalg.solve(left @ v @ left.T, gap)
    for test in (fit.wald_test(text), fit.wald_test(left, right)):
        assert test.df == len(left)
        assert test.statistic == pytest.approx(want, rel=1e-10)
        assert test.p_value == pytest.approx(stats.chi2.sf(want, len(left)), rel=1e-10)


def test_terms_and_lists():
    fit = glimm.glm("y ~ a * x", factorial())
    assert fit.wald_test("a").hypothesis == ("a[T.q] = 0", "a[T.r] = 0")
    assert fit.wald_test("a = 0") == fit.wald_test(["a[T.q]", "a[T.r]"])
    assert fit.wald_test(["a", "x"], 0.5).hypothesis == ("a[T.q] = 0.5", "a[T.r] = 0.5", "x = 0.5")
    assert fit.wald_test("a[T.q] = a[T.r]").df == 1
    assert str(fit.wald_test("a[T.q] = a[T.r]")).startswith(f"wald test: F(1, {fit.df_resid}) = ")


def test_odd_names():
    frame = factorial().rename(columns={"x": "odd name", "z": "z 2"})
    fit = glimm.glm("y ~ `odd name` + `z 2` + I(`z 2` ** 2)", frame)
    names = list(fit.params.index)
    assert fit.wald_test(f"`odd name` = 0, {names[3]} = 2").hypothesis == ("odd name = 0", f"{names[3]} = 2")
    assert fit.wald_test("odd name = z 2").df == 1


@pytest.mark.parametrize(
    ("hypothesis", "words"),
    [
        ("agee = 0", "no coefficient or term 'agee': did you mean 'age'"),
        ("nothing", "no coefficient or term 'nothing'"),
        ("age = 0, age = 1", "'age = 1' contradicts"),
        ("age + smoke = 1, age = 0, smoke = 0", "contradicts"),
        ("age * smoke = 1", "linear"),
        ("age / smoke = 1", "divides"),
        ("age = 1 / 0", "divides"),
        ("age = 0,", "missing at the end"),
        ("age = = 0", "missing before"),
        ("0 = 1", "no coefficient in it"),
        ("(age = 0", "bracket is not closed"),
        ("age = 0 ; smoke = 0", "cannot read"),
        ("age = 0, smoke", "no '='"),
        ([[1, 0]], "4 columns"),
        ([], "text such as"),
        (None, "text such as"),
        ([[1, 0, 0, float("nan")]], "finite numbers"),
        ([[0, 0, 0, 0]], "no coefficient in it"),
    ],
)
def test_wrong_hypotheses(hypothesis, words):
    with pytest.raises(GlimmError, match=words):
        problem("ohio").wald_test(hypothesis)


def test_wrong_values():
    fit = problem("ohio")
    with pytest.raises(GlimmError, match="says its right side itself"):
        fit.wald_test("age = 0", 1.0)
    for value in ([1.0, 2.0], "x", [np.nan]):
        with pytest.raises(GlimmError, match="value must be"):
            fit.wald_test(["age"], value)
    for method in (fit.wald_test_terms, fit.score_test_terms):
        with pytest.raises(GlimmError, match="type must be 3"):
            method(type=2)


def test_terms_of_several_coefficients_stand_alone():
    fit = glimm.glm("y ~ a + x", factorial())
    for text, words in (("a + x = 0", "name the coefficients"), ("2 * a = 0", "name the coefficients"), ("a = x", "set to a number only")):
        with pytest.raises(GlimmError, match=words):
            fit.wald_test(text)


def few_clusters():
    rng = np.random.default_rng(2)
    frame = pd.DataFrame({"g": np.repeat(np.arange(5), 20), "a": np.tile(list("pqrstuvwxy"), 10)})
    return frame.assign(y=rng.normal(size=100))


def test_fewer_clusters_than_contrasts():
    """A sandwich of 5 clusters has rank 5 at most: the generalised inverse, by NumPy's."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = glimm.gee("y ~ a", few_clusters(), groups="g", corr="independence")
    test = fit.wald_test("a")
    b, v = fit.params.to_numpy()[1:], fit.cov_params().to_numpy()[1:, 1:]
    root = np.sqrt(np.diag(v))
    inverse = np.linalg.pinv(v / np.outer(root, root), rcond=1e-10, hermitian=True)
    assert test.df == np.linalg.matrix_rank(v / np.outer(root, root), tol=1e-9) < 9
    assert test.statistic == pytest.approx((b / root) @ inverse @ (b / root), rel=1e-6)
    assert f"of the 9 contrasts has rank {test.df}" in test.note
    row = fit.score_test_terms().iloc[0]
    assert row["df"] < 9
    assert "generalised inverse" in row["note"]


def test_not_nested():
    fit = problem("ohio")
    frame = data("geepack_ohio")
    other = {
        "is no combination of its columns": problem("ohio", formula="resp ~ age + I(age**2)"),
        "nothing to test": fit,
        "same responses": glimm.gee("resp ~ age", frame[frame["age"] < 1], groups="id", time="age", family="binomial"),
        "different families or links": glimm.gee("resp ~ age", frame, groups="id", time="age", family="binomial", link="probit"),
        "different weights": glimm.gee("resp ~ age", frame.assign(w=2.0), groups="id", time="age", family="binomial", weights="w"),
        "different offsets": glimm.gee("resp ~ age", frame, groups="id", time="age", family="binomial", offset=np.ones(len(frame))),
    }
    for words, small in other.items():
        for method in (fit.compare_score_test, fit.compare_wald_test):
            with pytest.raises(GlimmError, match=words):
                method(small)
    for words, small in {
        "corr is 'exchangeable' here and 'ar1'": problem("ohio", "ar1", formula="resp ~ age"),
        "moments is 'standard' here and 'geepack'": problem("ohio", moments="geepack", formula="resp ~ age"),
        "different clusters": glimm.gee("resp ~ age", frame.assign(g=frame["id"] // 3), groups="g", family="binomial"),
    }.items():
        with pytest.raises(GlimmError, match=words):
            fit.compare_score_test(small)
    given = [glimm.FixedCorr(np.full((4, 4), a) + (1.0 - a) * np.eye(4)) for a in (0.3, 0.4)]
    fixed = [glimm.gee(f, frame, groups="id", corr=c, family="binomial") for f in ("resp ~ age", "resp ~ 1") for c in given]
    assert fixed[0].compare_score_test(fixed[2]).df == 1
    with pytest.raises(GlimmError, match="not the same matrix"):
        fixed[0].compare_score_test(fixed[3])
    with pytest.raises(GlimmError, match=r"takes a fit of glimm\.gee, not GlmFit"):
        fit.compare_score_test(glimm.glm("resp ~ age", frame, family="binomial"))


def test_nested_by_column_spaces():
    """The small model in other words: the same spaces, the same tests."""
    frame = data("geepack_ohio").assign(t=lambda d: 10.0 - 3.0 * d["age"])
    large = problem("ohio")
    small = glimm.gee("resp ~ t", frame, groups="id", time="age", family="binomial")
    entry = TESTS["ohio exchangeable 2 3"]
    assert large.compare_score_test(small).statistic == pytest.approx(entry["score"], rel=1e-7)
    assert large.compare_wald_test(small).statistic == pytest.approx(entry["wald"], rel=1e-7)


def test_predictors_far_from_zero():
    """Years around 2000 in place of ages around 0: hypotheses that mean the same have the same tests."""
    frame = data("geepack_ohio").assign(year=lambda d: 2000.0 + d["age"])
    fit = glimm.gee("resp ~ year * smoke", frame, groups="id", time="age", family="binomial")
    small = glimm.gee("resp ~ year + smoke", frame, groups="id", time="age", family="binomial")
    entry = TESTS["ohio exchangeable 3"]
    assert fit.wald_test("year:smoke").statistic == pytest.approx(entry["wald"], rel=1e-6)
    assert fit.compare_score_test(small).statistic == pytest.approx(entry["score"], rel=1e-6)
    assert fit.score_test_terms().iloc[-1]["statistic"] == pytest.approx(entry["score"], rel=1e-6)


def test_nothing_left_under_the_hypothesis():
    fit = glimm.gee("y ~ 0 + x", factorial(), groups="g")
    row = fit.score_test_terms().iloc[0]
    assert np.isnan(row["statistic"])
    assert "no coefficient is left" in row["note"]


def test_separated_coefficient_has_no_test():
    frame = pd.DataFrame({"y": [0, 0, 0, 0, 1, 0, 1, 0, 1, 0], "a": list("ppppqqqqqq"), "x": [1, 2, 3, 1, 2, 3, 1, 2, 3, 2]})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = glimm.glm("y ~ a + x", frame, family="binomial")
    test = fit.wald_test("a")
    assert np.isnan(test.statistic)
    assert "no standard error of a[T.q]" in test.note
    assert np.isfinite(fit.wald_test("x").statistic)


def test_tables_come_in_the_callers_kind():
    polars = pytest.importorskip("polars")
    fit = glimm.glm("y ~ a", polars.from_pandas(factorial()))
    assert isinstance(fit.wald_test_terms(), polars.DataFrame)


@pytest.mark.parametrize("df", ["k_minus_p", "pan_wall", "fay_graubard"])
def test_small_sample_denominators(df):
    """One contrast: the square of its t, with the same p-value; several: K - p."""
    frame = data("MASS_epil")
    fit = glimm.gee("y ~ lbase * trt + V4", frame, groups="subject", family="poisson", vcov={"type": "mancl_derouen", "df": df})
    table = fit.wald_test_terms().set_index("term")
    assert fit.wald_test("V4 = 0").statistic == pytest.approx(fit.tvalues["V4"] ** 2, rel=1e-9)
    assert fit.wald_test("V4 = 0").p_value == pytest.approx(fit.pvalues["V4"], rel=1e-9)
    assert table.loc["V4", "p_value"] == pytest.approx(fit.pvalues["V4"], rel=1e-9)
    test = fit.wald_test(["lbase", "V4"])
    assert (test.distribution, test.df, test.df_denominator) == ("F", 2, 59 - 5)


def test_score_test_of_odds_ratios():
    """The restricted model fitted again is the smaller fit."""
    frame = data("geepack_ohio")
    formulas = ("resp ~ age * smoke", "resp ~ age + smoke")
    large, small = (glimm.gee(f, frame, groups="id", family="binomial", corr="odds_ratio") for f in formulas)
    one, two = large.score_test_terms().iloc[-1], large.compare_score_test(small)
    assert one["statistic"] == pytest.approx(two.statistic, rel=1e-7)
