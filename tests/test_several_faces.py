"""What is said and drawn of fits with several random terms, and predictions from them, against dense algebra and integration."""

import warnings
from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import integrate, stats

import glimm
from glimm.cli import _only_group
from glimm.data.formula import split
from glimm.design.coordinates import to_named
from glimm.estimators.conditional import conditional_variances
from glimm.fit import GlmmFit
from glimm.inference import random
from glimm.inference.covariance import infer, theta_covariance
from glimm.output import compare
from glimm.output.page import fit_page
from glimm.output.plain import fit_numbers
from glimm.output.side_by_side import other_parameters
from glimm.plots.curves import compute
from glimm.plots.words import Wording, labels


@cache
def columns(rows=720):
    """Pupils in schools and classes seen by raters on visits, with effects of all of them; nothing belongs to `chance`."""
    rng = np.random.default_rng(2)
    i = np.arange(rows)
    school, cl, visit, many, rater = i % 6, i // 6 % 3, i // 18 % 4, i // 18 % 10, rng.integers(0, 5, rows)
    frame = {
        "x": rng.normal(size=rows),
        "school": school + 1,
        "cl": cl + 1,
        "rater": np.array(["ann", "bob", "cy", "di", "ed"])[rater],
        "t": rng.integers(0, 5, rows) / 2.0,
        "visit": visit,
        "many": many,
        "pupil": i // 4 % 60,
        "chance": i // 7 % 12,
    }
    falls = np.linalg.cholesky(0.6 ** np.abs(np.subtract.outer(i[:10], i[:10])))
    places = frame["pupil"], (2 * frame["t"]).astype(int)
    eta = 0.4 * frame["x"] + rng.normal(size=6)[school] + 0.7 * rng.normal(size=(6, 3))[school, cl]
    eta += 0.8 * rng.normal(size=5)[rater] + 0.6 * rng.normal(size=5)[rater] * frame["x"]
    eta += 0.8 * (rng.normal(size=(6, 10)) @ falls.T)[school, many] + 0.7 * (rng.normal(size=(60, 5)) @ falls[:5, :5].T)[places]
    eta += 0.8 * (rng.normal(size=(3, 4)) @ falls[:4, :4].T)[cl, visit]
    noise = rng.normal(size=rows)
    return {**frame, "y": eta + noise, "b": (rng.logistic(size=rows) < eta).astype(int), "n": rng.poisson(np.exp(0.4 * eta))}


def data():
    return dict(columns())


@cache
def fitted(formula, family="binomial"):
    return fit_to(data(), formula, family)


def fit_to(frame, formula, family="binomial"):
    points = {} if family == "gaussian" else {"points": 1}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", glimm.GlimmWarning)
        return glimm.glmm(formula, frame, family=family, **points)


def triangles(fit, theta=None):
    """T of each term, from theta as it is reported; under ou the standard deviation."""
    theta = fit.theta if theta is None else theta
    out, at = [], 0
    for term in fit.record.design.mean.random:
        k = len(term.names)
        t = np.zeros((k, k))
        if term.structure == "ou":
            t[0, 0], at = theta[at], at + 2
        elif term.structure == "ar1":
            t = theta[at] * np.linalg.cholesky(theta[at + 1] ** np.abs(np.subtract.outer(np.arange(k), np.arange(k))))
            at += 2
        elif term.structure == "diag":
            t, at = np.diag(theta[at : at + k]), at + k
        else:
            for c in range(k):
                t[c:, c], at = theta[at : at + k - c], at + k - c
        out.append(t)
    assert at == len(theta)
    return out


NESTED = "b ~ x + (1 | school/cl) + (1 + x | rater)"


# tables


@pytest.mark.parametrize("family", ["gaussian", "binomial"])
def test_varcorr_has_all_terms(family):
    fit = fitted(NESTED.replace("b ~", "y ~") if family == "gaussian" else NESTED, family)
    table = fit.varcorr()
    a, b, c = triangles(fit)
    sigma = fit.sigma if family == "gaussian" else 1.0
    expected = [a[0, 0], b[0, 0], *np.linalg.norm(c, axis=1)]
    kept = table[table.group != "Residual"]
    assert kept.group.tolist() == ["school", "school:cl", "rater", "rater"]
    assert kept.term.tolist() == ["Intercept", "Intercept", "Intercept", "x"]
    np.testing.assert_allclose(kept.std_dev, sigma * np.abs(expected))
    np.testing.assert_allclose(kept.variance, kept.std_dev**2)
    np.testing.assert_allclose(kept.corr_Intercept.iloc[3], c[1, 0] / np.hypot(*c[1]))
    assert (table.group == "Residual").sum() == (family == "gaussian")
    assert fit.theta_names == ("school.Intercept", "school:cl.Intercept", "rater.Intercept", "rater.x.Intercept", "rater.x")


def test_ranef_has_all_terms():
    fit = fitted(NESTED)
    table, terms = fit.ranef(), fit.record.design.mean.random
    assert table.columns.tolist() == ["group", "level", "term", "estimate", "std_error"]
    for term, effects, posterior in zip(terms, fit.record.effects, conditional_variances(fit.record), strict=True):
        own = table[table.group == term.group]
        assert own.level.tolist() == [str(level) for level in np.repeat(term.levels, len(term.names))]
        np.testing.assert_array_equal(own.estimate, effects.ravel())
        np.testing.assert_allclose(own.std_error, np.sqrt([np.diag(v) for v in posterior]).ravel())
    frame = data()
    frame["cl"] = frame["cl"] * 7
    numbers = fit_to(frame, "b ~ x + (1 | school) + (1 | cl)").ranef()
    assert numbers.level.tolist() == [1, 2, 3, 4, 5, 6, 7, 14, 21]
    polars = fit_to(pl.DataFrame(data()), NESTED).ranef()
    assert isinstance(polars, pl.DataFrame)
    assert polars["level"].dtype == pl.String


def test_ranef_of_times():
    table = fitted("b ~ x + (1 | rater) + ou(0 + t | school)").ranef()
    own = table[table.group == "school"]
    cells = pd.DataFrame(data())[["school", "t"]].drop_duplicates().sort_values(["school", "t"])
    assert own.level.tolist() == [str(s) for s in cells.school]
    assert own.term.tolist() == [f"t = {t:g}" for t in cells.t]


def test_correlations_by_name():
    fit = fitted("b ~ x + ar1(0 + C(many) | school) + ou(0 + t | rater) + ar1(0 + C(visit) | cl)", family="gaussian")
    table, (s1, r1, s2, r2, s3, r3) = fit.varcorr(), fit.theta
    sigma = fit.sigma
    many = table[table.group == "school"]
    assert many.term.tolist() == [*(f"C(many)[{j}]" for j in range(10)), "correlation at lag 1"]
    np.testing.assert_allclose(many.std_dev.iloc[:10], sigma * s1)
    np.testing.assert_allclose(many.correlation.iloc[10], r1)
    ou = table[table.group == "rater"]
    assert ou.term.tolist() == ["t", "correlation at distance 1"]
    np.testing.assert_allclose([ou.std_dev.iloc[0], ou.correlation.iloc[1]], [sigma * s2, np.exp(-r2)])
    few = table[table.group == "cl"]
    np.testing.assert_allclose(few["corr_C(visit)[0]"].iloc[1:], r3 ** np.arange(1, 4))
    np.testing.assert_allclose(few.std_dev, sigma * s3)
    text = fit.summary()
    assert "correlation at distance 1" in text
    assert "nan" not in text
    assert [name for name, _ in other_parameters(fit.record)] == [
        "sd of school C(many)",
        "correlation at lag 1 of school",
        "sd of rater t",
        "correlation at distance 1 of rater",
        "sd of cl C(visit)",
        "correlation at lag 1 of cl",
        "residual sd",
    ]
    assert "ou of rater: one variance, correlations r^d at distance d in time" in text
    assert fit_numbers(fit.record, fit.inference, 0.95)["varcorr"][10]["std_dev"] is None


def test_glance_counts_the_clusters_of_each_grouping():
    row = fitted(NESTED).glance().iloc[0]
    assert (row["clusters_school"], row["clusters_school:cl"], row["clusters_rater"]) == (6, 18, 5)
    assert fitted("b ~ x + (1 | school) + (0 + x | school)").glance()["clusters"].tolist() == [6]


def test_json_has_all_groupings():
    fit = fitted(NESTED)
    numbers = fit_numbers(fit.record, fit.inference, 0.95)
    assert numbers["groups"] == [{"name": "school", "levels": 6}, {"name": "school:cl", "levels": 18}, {"name": "rater", "levels": 5}]
    assert [row["group"] for row in numbers["varcorr"]] == ["school", "school:cl", "rater", "rater"]


# predictions


def conditional(fit, frame):
    """x'beta + sum z'b, by rows."""
    effects = {}
    for term, values in zip(fit.record.design.mean.random, fit.record.effects, strict=True):
        for level, row in zip(term.levels.tolist(), values, strict=True):
            effects[term.group, str(level)] = row
    a, b = fit.record.vector[:2]
    out = []
    for x, school, cl, rater in zip(frame["x"], frame["school"], frame["cl"], frame["rater"], strict=True):
        zero = np.zeros(2)
        r = effects.get(("rater", rater), zero)
        out.append(
            a + b * x + effects.get(("school", str(school)), zero)[0] + effects.get(("school:cl", f"{school}:{cl}"), zero)[0] + r @ [1, x]
        )
    return np.array(out)


def test_conditional_predictions_add_all_terms():
    fit, frame = fitted(NESTED), data()
    np.testing.assert_allclose(fit.predict(scale="link"), conditional(fit, frame))
    np.testing.assert_allclose(fit.fittedvalues, 1 / (1 + np.exp(-conditional(fit, frame))))
    np.testing.assert_allclose(fit.predict(pd.DataFrame(frame), scale="link"), conditional(fit, frame))
    np.testing.assert_allclose(fit.predict(target="typical", scale="link"), fit.record.vector[0] + fit.record.vector[1] * frame["x"])


def test_unknown_clusters_are_counted_by_grouping():
    fit = fitted(NESTED)
    new = {"x": [0.1, 0.2, 0.3, np.nan], "school": [1, 99, 2, 99], "cl": [2, 1, 77, 1], "rater": ["bob", "ann", "zoe", "zoe"]}
    words = r"predict: rows without a cluster that the fit knows \(missing or new\): 1 for school, 2 for school:cl, 1 for rater; the effect"
    with pytest.warns(glimm.GlimmWarning, match=words) as caught:
        found = fit.predict(new, scale="link")
    assert len(caught) == 1
    np.testing.assert_allclose(found, [*conditional(fit, {k: v[:3] for k, v in new.items()}), np.nan])
    one = fitted("b ~ x + (1 | school) + (0 + x | school)")
    with pytest.warns(glimm.GlimmWarning, match="predict: 2 rows have no cluster that the fit knows"):
        one.predict({"x": [0.1, 0.2], "school": [98, 99]})


def test_unknown_times_are_counted():
    fit = fitted("b ~ x + (1 | rater) + ou(0 + t | school)")
    a, b = fit.record.vector[:2]
    term = fit.record.design.mean.random[1]
    at = np.flatnonzero(term.levels[term.cell_refs] == 3)[1]
    new = {"x": [0.0, 0.0, 0.0], "school": [3, 3, 44], "rater": ["bob"] * 3, "t": [float(term.times[at]), 17.0, 17.0]}
    words = r"\(missing or new\): 1 for school; rows at times that the fit does not have of their cluster: 1 for school"
    with pytest.warns(glimm.GlimmWarning, match=words):
        found = fit.predict(new, scale="link")
    np.testing.assert_allclose(found - a - fit.record.effects[0][1, 0], [fit.record.effects[1][at, 0], 0.0, 0.0], atol=1e-12)
    assert b == fit.params["x"]


def spreads(fit, frame):
    """Standard deviation of the random part of each row, by the rule for sums of independent terms."""
    total = 0.0
    for term, t in zip(fit.record.design.mean.random, triangles(fit), strict=True):
        z = np.column_stack([np.ones(len(frame["x"])), frame["x"]])[:, : len(term.names)]
        total = total + np.array([row @ t @ t.T @ row for row in z])
    return np.sqrt(total)


def integral(eta, sd):
    return integrate.quad(lambda u: stats.logistic.cdf(eta + sd * u) * stats.norm.pdf(u), -12, 12, epsabs=1e-13, limit=300)[0]


def test_marginal_predictions_integrate_over_all_terms():
    fit, frame = fitted(NESTED), data()
    some = {k: v[:6] for k, v in frame.items()}
    eta = fit.record.vector[0] + fit.record.vector[1] * some["x"]
    expected = [integral(e, s) for e, s in zip(eta, spreads(fit, some), strict=True)]
    np.testing.assert_allclose(fit.predict(some, target="marginal"), expected, rtol=1e-9)


def test_structures_in_marginal_predictions():
    fit = fitted("b ~ x + ou(0 + t | school) + ar1(0 + C(visit) | cl)")
    new = {"x": [0.4], "t": [123.0], "visit": [2]}
    sd = np.hypot(fit.theta[0], fit.theta[2])
    np.testing.assert_allclose(
        fit.predict(new, target="marginal"), integral(fit.params["Intercept"] + 0.4 * fit.params["x"], sd), rtol=1e-9
    )


def moved(fit, index, step):
    """The fit with one of (beta, theta) moved, roots by the formulas of the structures."""
    vector = fit.record.vector.copy()
    vector[index] += step
    return GlmmFit(replace(fit.record, vector=vector, roots=tuple(triangles(fit, vector[fit.record.blocks["theta"]]))), "model")


def jacobian(fit, ask):
    """Derivatives of an answer in (beta, theta), by differences."""
    h = 1e-5
    return np.column_stack([(ask(moved(fit, j, h)) - ask(moved(fit, j, -h))) / (2 * h) for j in range(len(fit.record.vector))])


def in_named(fit, cov):
    """The covariance with coefficients as named."""
    a, p = np.eye(len(cov)), fit.record.design.mean.matrix.p
    a[:p, :p] = to_named(fit.record.design.mean)
    return a @ cov @ a.T


@pytest.mark.parametrize("formula", [NESTED, "b ~ x + ou(0 + t | school) + ar1(0 + C(visit) | cl)"])
def test_intervals_of_marginal_predictions(formula):
    fit, some = fitted(formula), {k: v[:5] for k, v in data().items()}
    found = fit.predict(pd.DataFrame(some), target="marginal", interval="confidence")
    j = jacobian(fit, lambda f: f.predict(some, target="marginal"))
    np.testing.assert_allclose(found.std_error, np.sqrt(np.diag(j @ in_named(fit, theta_covariance(fit.record)) @ j.T)), rtol=1e-6)


@pytest.mark.parametrize("formula", [NESTED, "b ~ x + (1 | school) + (1 | rater)"])
def test_marginal_coefficients(formula):
    fit, frame = fitted(formula), data()

    def projected(f):
        eta = f.record.vector[0] + f.record.vector[1] * frame["x"]
        m = f.predict(target="marginal")
        return np.linalg.lstsq(np.column_stack([np.ones(len(eta)), frame["x"]]), np.log(m / (1 - m)), rcond=None)[0]

    found = fit.marginal_params()
    np.testing.assert_allclose(found.estimate, projected(fit), rtol=1e-8)
    j = jacobian(fit, projected)
    np.testing.assert_allclose(found.std_error, np.sqrt(np.diag(j @ in_named(fit, theta_covariance(fit.record)) @ j.T)), rtol=1e-5)
    if "1 + x" in formula:
        assert found.zeger_liang_albert.isna().all()
    else:
        c2 = (16 * np.sqrt(3) / (15 * np.pi)) ** 2
        np.testing.assert_allclose(found.zeger_liang_albert, fit.params / np.sqrt(1 + c2 * np.sum(fit.theta**2)))


def test_derivatives_of_the_variance_equal_differences():
    fit = fitted("b ~ x + (1 + x | rater) + ou(0 + t | school) + (x || cl)", "gaussian")
    z = tuple(t.z[:4] for t in fit.record.design.mean.random)
    h = 1e-5
    numeric = [
        (random.variance(moved(fit, 2 + j, h).record, z) - random.variance(moved(fit, 2 + j, -h).record, z)) / (2 * h)
        for j in range(len(fit.theta))
    ]
    np.testing.assert_allclose(random.dvariance(fit.record, z), np.column_stack(numeric), rtol=1e-6, atol=1e-9)


# words


def test_summary_names_all_groupings():
    text = fitted(NESTED).summary()
    for words in (
        "school: 6 clusters of 120 rows each",
        "school:cl: 18 clusters of 40 rows each",
        "rater: 5 clusters",
        "Coefficients are conditional on school, school:cl and rater: they describe clusters whose random effects are zero",
        "The effect of x differs between clusters.",
    ):
        assert words in " ".join(text.split()), words
    text = " ".join(fitted("b ~ x + (1 | school) + (1 | rater)").summary().split())
    assert "conditional on school and rater: they compare rows of the same clusters, or of clusters with the same random effects" in text


def test_summary_of_times():
    text = " ".join(fitted("b ~ x + (1 | school) + ou(0 + t | school) + ar1(0 + C(visit) | rater)").summary().split())
    assert "The random effects of one cluster differ over t and C(visit)." in text
    assert "differs between clusters" not in text


def test_long_names_fit_the_page():
    frame = data()
    long = {"school": "school_district_of_the_north", "cl": "class_within_the_school", "rater": "rater_of_the_examination_2024"}
    renamed = {long.get(k, k): v for k, v in frame.items()}
    renamed["school"] = frame["school"]
    fit = fit_to(renamed, "b ~ x + (1 | {school}/{cl}) + (1 + x | {rater})".format(**long))
    text = fit.summary()
    assert max(map(len, text.splitlines())) <= 100
    assert "class_within_the_school" in text
    page = fit_page("GLMM", fit.record, fit.inference, glimm.output.page.Shown(()))
    assert "school_district_of_the_north:class_within_the_school" in page


def test_comparison_with_nested_groupings():
    fit, frame = fitted("b ~ x + (1 | school/cl)"), data()
    glm, gee = glimm.glm("b ~ x", frame, family="binomial"), glimm.gee("b ~ x", frame, groups="school", family="binomial")
    comparison = glimm.compare(glm, fit, gee)
    assert [c.inference.label for c in comparison.columns if c.model.number == 1] == ["model-based", "cluster-robust by school"]
    text = " ".join(str(comparison).split())
    assert "(2) GLMM describes single clusters (school and school:cl), (1) and (3) the average over the population." in text
    sd = np.sqrt(np.sum(fit.theta**2))
    assert f"With normal random intercepts of sd {sd:.4g} together" in text
    assert "sd of school:cl Intercept" in text
    assert "school: 6 clusters of 120 rows each; school:cl: 18 clusters" in comparison.record.sections[1].groups[4][2][1][2]


def test_comparison_with_crossed_groupings():
    fit = fitted("b ~ x + (1 | school) + (1 | rater)")
    comparison = glimm.compare(glimm.glm("b ~ x", data(), family="binomial"), fit)
    assert len(comparison.columns) == 2
    assert "because the groupings school and rater of fit (2) cross; glm(..., vcov={'cluster': ['school', 'rater']}) has them" in " ".join(
        comparison.notes
    )
    assert compare.outermost(fit.record) == ["school", "rater"]
    assert compare.outermost(fitted(NESTED).record) == ["school", "rater"]


@pytest.mark.parametrize(
    ("bars", "group"),
    [
        ("(1 | a/b/c)", "a"),
        ("(1 | a)", "a"),
        ("(1 | a) + (0 + x | a)", "a"),
        ("(1 | a) + (1 | b)", ""),
        ("(1 | a:b)", ""),
        ("(1 | `my a`)", "my a"),
    ],
)
def test_the_command_lines_groups(bars, group):
    assert _only_group(split(f"y ~ x + {bars}")) == group


# pictures


def test_curves_of_the_first_groupings_clusters():
    fit = fitted("b ~ x + (1 | school/cl) + (1 + x | rater)")
    found = compute(fit.record, infer(fit.record, "model"), "x")
    eta = fit.params["Intercept"] + fit.params["x"] * found.axis.x
    np.testing.assert_allclose(found.clusters.each, stats.logistic.cdf(eta + fit.record.effects[0]), rtol=1e-10)
    sd = spreads(fit, {"x": found.axis.x})
    np.testing.assert_allclose(found.average.mean, [integral(e, s) for e, s in zip(eta, sd, strict=True)], rtol=1e-9)
    said = labels(fit.record, infer(fit.record, "model"), found, Wording())
    assert "Effects of school:cl and rater are at zero." in said.detail
    together = fitted("b ~ x + (1 | school) + (0 + x | school) + (1 | rater)")
    found = compute(together.record, infer(together.record, "model"), "x")
    first, second, _ = together.record.effects
    eta = together.params["Intercept"] + together.params["x"] * found.axis.x
    np.testing.assert_allclose(found.clusters.each, stats.logistic.cdf(eta + first + second * found.axis.x), rtol=1e-10)


def test_drawn_clusters_have_all_terms():
    fit = fitted("n ~ x + (1 | school) + (1 | rater)", "poisson")
    found = compute(fit.record, infer(fit.record, "model"), "x", clusters="draws")
    effects = np.log(found.clusters.each) - fit.params["Intercept"] - fit.params["x"] * found.axis.x
    expected = np.random.default_rng(0).normal(size=(100, 2)) @ fit.theta
    np.testing.assert_allclose(effects, np.repeat(expected[:, None], len(found.axis.x), axis=1), rtol=1e-8, atol=1e-10)
    assert "at zero" not in labels(fit.record, infer(fit.record, "model"), found, Wording()).detail


def test_curves_beside_effects_over_time():
    fit = fitted("b ~ x + ou(0 + t | school) + (1 | rater)")
    found = compute(fit.record, infer(fit.record, "model"), "x")
    term = fit.record.design.mean.random[0]
    means = [fit.record.effects[0][term.cell_refs == j, 0].mean() for j in range(6)]
    eta = fit.params["Intercept"] + fit.params["x"] * found.axis.x
    np.testing.assert_allclose(found.clusters.each, stats.logistic.cdf(eta + np.array(means)[:, None]), rtol=1e-10)
    assert (
        "Effects that change over time are at each cluster's mean."
        in labels(fit.record, infer(fit.record, "model"), found, Wording()).detail
    )
    with pytest.raises(glimm.GlimmError, match="'t' orders the random effects in time and has no coefficient"):
        compute(fit.record, infer(fit.record, "model"), "t")
    with pytest.raises(glimm.GlimmError, match="'rater' says which rows belong together"):
        compute(fit.record, infer(fit.record, "model"), "rater")
