"""Pictures: the arrays are predictions, the lines are clusters, the words are true; every predictor of every fit has one."""

from __future__ import annotations

import builtins
import io
from dataclasses import replace
from itertools import pairwise

import matplotlib
import numpy as np
import pandas as pd
import polars as pl
import pytest

import glimm
from glimm import demo
from glimm.plots import curves as room
from glimm.plots.curves import compute, most_ordinary
from glimm.plots.draw import apart, opacity
from glimm.plots.words import Wording, finding, labels


@pytest.fixture(scope="module")
def ohio():
    return glimm.load_dataset("ohio")


@pytest.fixture(scope="module")
def crossed(ohio):
    return glimm.glmm("resp ~ age * smoke + (1 | id)", ohio, family="binomial", points=9)


@pytest.fixture(scope="module")
def parallel(ohio):
    return glimm.glmm("resp ~ age + smoke + (1 | id)", ohio, family="binomial", points=9)


@pytest.fixture(scope="module")
def counts():
    rng = np.random.default_rng(3)
    g = np.repeat(np.arange(30), 6)
    data = pd.DataFrame({"x": np.tile(np.arange(6.0), 30), "g": [f"c{k:02d}" for k in g], "arm": np.where(g % 2, "new", "old")})
    data["days"] = rng.uniform(1.0, 3.0, 30)[g]
    data["n"] = rng.poisson(data["days"] * np.exp(0.2 * data["x"] + 0.5 * rng.normal(size=30)[g]))
    data.loc[[0, 7], "x"] = np.nan
    return data


@pytest.fixture(scope="module")
def pupils():
    return glimm.glmm("pass ~ hours + (1 | pupil)", glimm.load_dataset("classroom"), family="binomial", points=9)


def arrays(fit, variable, **more):
    return compute(fit.record, fit.inference, variable, **more)


def told(fit, variable, **more):
    """Title and detail."""
    words = labels(fit.record, fit.inference, arrays(fit, variable, **more), Wording())
    return words.title, words.detail


def texts(figure):
    return [text.get_text().replace("\n", " ") for text in (*figure.texts, *figure.axes[0].texts)]


# the arrays


def test_curves_are_conditional_predictions(crossed, ohio):
    c = arrays(crossed, "age", grid=[-2, -1, 0, 1])
    assert c.clusters.each.shape == (537, 4)
    np.testing.assert_allclose(c.clusters.each.ravel(), crossed.predict(ohio, target="conditional"), rtol=1e-12)


def test_average_is_the_marginal_mean_over_children(crossed, ohio):
    c = arrays(crossed, "age", grid=[-2, -1, 0, 1])
    expected = crossed.predict(ohio, target="marginal").reshape(537, 4).mean(axis=0)
    np.testing.assert_allclose(c.average.mean, expected, rtol=1e-12)
    np.testing.assert_allclose(c.average.mean, ohio.groupby("age")["resp"].mean(), atol=0.02)
    assert c.average.counted == 537


def test_factors_offsets_missing_rows_and_transforms(counts):
    fit = glimm.glmm("n ~ np.log(x + 1) + arm + (1 | g)", counts, family="poisson", exposure="days")
    c = arrays(fit, "x", grid=[2.0, 5.0])
    first = counts.dropna().groupby("g").first().reset_index()
    for k, x in enumerate([2.0, 5.0]):
        np.testing.assert_allclose(c.clusters.each[:, k], fit.predict(first.assign(x=x), target="conditional"), rtol=1e-12)
        np.testing.assert_allclose(c.average.mean[k], fit.predict(first.assign(x=x), target="marginal").mean(), rtol=1e-12)
    assert list(c.clusters.levels) == sorted(counts["g"].unique())


def test_the_offset_may_be_an_array_or_depend_on_the_variable(counts):
    by_array = glimm.glmm("n ~ x + (1 | g)", counts, family="poisson", exposure=counts["days"].to_numpy())
    by_name = glimm.glmm("n ~ x + (1 | g)", counts, family="poisson", exposure="days")
    grid = [1.0, 3.0]
    np.testing.assert_allclose(arrays(by_array, "x", grid=grid).clusters.each, arrays(by_name, "x", grid=grid).clusters.each, rtol=1e-8)
    both = glimm.glm("n ~ x + offset(0.1 * x)", counts, family="poisson")
    np.testing.assert_allclose(arrays(both, "x", grid=grid).average.mean, both.predict({"x": grid}), rtol=1e-12)
    glm = glimm.glm("n ~ x", counts, family="poisson", exposure=counts["days"].to_numpy())
    used = counts.dropna()
    expected = [glm.predict({"x": np.full(len(used), x)}, exposure=used["days"].to_numpy()).mean() for x in grid]
    np.testing.assert_allclose(arrays(glm, "x", grid=grid).average.mean, expected, rtol=1e-10)


def test_clusters_keep_their_own_mean_and_most_frequent_level():
    rng = np.random.default_rng(8)
    g = np.repeat(np.arange(20), 5)
    data = pd.DataFrame({"x": rng.normal(size=100), "z": rng.normal(size=100), "f": rng.choice(["a", "b", "c"], 100), "g": g})
    data["y"] = data["x"] + data["z"] + rng.normal(size=20)[g] + rng.normal(size=100)
    fit = glimm.glmm("y ~ x + z + f + (1 | g)", data)
    profile = data.groupby("g").agg(z=("z", "mean"), f=("f", lambda f: sorted(f.mode())[0])).reset_index()
    c = arrays(fit, "x", grid=[0.0, 1.0, 2.0])
    for k, x in enumerate([0.0, 1.0, 2.0]):
        np.testing.assert_allclose(c.clusters.each[:, k], fit.predict(profile.assign(x=x), target="conditional"), rtol=1e-12)
        np.testing.assert_allclose(c.average.mean[k], fit.predict(profile.assign(x=x), target="marginal").mean(), rtol=1e-12)
    assert "own mean or most frequent level" in told(fit, "x")[1]


@pytest.mark.parametrize("door", ["glm", "gee"])
def test_average_and_band_of_fits_without_clusters(door, ohio):
    more = {"groups": "id"} if door == "gee" else {}
    fit = getattr(glimm, door)("resp ~ age", ohio, family="binomial", **more)
    c = arrays(fit, "age", grid=[-2, -1, 0, 1])
    expected = fit.predict({"age": [-2, -1, 0, 1]}, interval="confidence")
    assert c.clusters is None
    np.testing.assert_allclose(c.average.mean, expected["estimate"], rtol=1e-12)
    np.testing.assert_allclose(c.average.low, expected["conf_low"], rtol=1e-9)
    np.testing.assert_allclose(c.average.high, expected["conf_high"], rtol=1e-9)


def test_band_of_an_average_over_rows_by_finite_differences(ohio):
    fit = glimm.gee("resp ~ age * smoke", ohio, groups="id", family="binomial")
    c = arrays(fit, "age", grid=[-2.0, 0.5])
    rows = ohio.assign(age=0.5)
    assert c.average.mean[1] == pytest.approx(fit.predict(rows).mean(), rel=1e-12)
    x = np.column_stack([np.ones(len(rows)), rows["age"], rows["smoke"], rows["age"] * rows["smoke"]])
    beta, h = fit.params.to_numpy(), 1e-6

    def logit_of_average(b):
        m = (1.0 / (1.0 + np.exp(-x @ b))).mean()
        return np.log(m / (1.0 - m))

    slope = [(logit_of_average(beta + h * e) - logit_of_average(beta - h * e)) / (2.0 * h) for e in np.eye(4)]
    half = 1.959963984540054 * np.sqrt(slope @ fit.cov_params().to_numpy() @ np.array(slope))
    for got, sign in ((c.average.low[1], -1.0), (c.average.high[1], 1.0)):
        assert got == pytest.approx(1.0 / (1.0 + np.exp(-(logit_of_average(beta) + sign * half))), rel=1e-7)


def test_a_gaussian_band_uses_the_t_distribution(counts):
    data = counts.dropna()
    fit = glimm.glm("n ~ x", data)
    expected = fit.predict({"x": [0.0, 5.0]}, interval="confidence")
    c = arrays(fit, "x", grid=[0.0, 5.0])
    np.testing.assert_allclose([c.average.low, c.average.high], [expected["conf_low"], expected["conf_high"]], rtol=1e-9)


@pytest.mark.parametrize("kind", ["string", "categorical", "boolean", "coded", "numbers", "polars"])
def test_categories_of_every_kind_of_factor(kind, counts):
    data = counts.dropna().reset_index(drop=True)
    formula, levels = "n ~ arm + (1 | g)", ["new", "old"]
    if kind == "categorical":
        data["arm"] = pd.Categorical(data["arm"], categories=["old", "new", "never"])
        levels = ["old", "new"]
    elif kind == "boolean":
        data["arm"], levels = data["arm"] == "old", [False, True]
    elif kind == "coded":
        data["arm"], levels, formula = np.arange(len(data)) % 3 + 1, [1, 2, 3], "n ~ C(arm) + (1 | g)"
    elif kind == "numbers":
        data["arm"], levels = (data["arm"] == "old") + 1.5, [1.5, 2.5]
    fit = glimm.glmm(formula, pl.DataFrame(data) if kind == "polars" else data, family="poisson")
    c = arrays(fit, "arm")
    assert c.axis.names == tuple(f"{v:g}" if isinstance(v, int | float) and not isinstance(v, bool) else str(v) for v in levels)
    clusters = data.groupby("g").first().reset_index()
    for k, level in enumerate(levels):
        rows = {"g": clusters["g"].tolist(), "arm": [level] * len(clusters)}
        np.testing.assert_allclose(c.clusters.each[:, k], fit.predict(rows, target="conditional"), rtol=1e-12)
    figure = fit.plot("arm")
    assert [tick.get_text() for tick in figure.axes[0].get_xticklabels()] == list(c.axis.names)


def test_at_holds_other_predictors(crossed, ohio):
    c = arrays(crossed, "age", at={"smoke": 1}, grid=[-2, 1])
    one = ohio[ohio.age.isin([-2, 1])].assign(smoke=1)
    np.testing.assert_allclose(c.clusters.each.ravel(), crossed.predict(one, target="conditional"), rtol=1e-12)
    assert "Held at smoke = 1." in told(crossed, "age", at={"smoke": 1})[1]


def test_draws_come_from_the_estimated_distribution(pupils):
    c = arrays(pupils, "hours", clusters="draws", seed=4)
    logits = np.log(c.clusters.each[:, 20] / (1.0 - c.clusters.each[:, 20]))
    sd = np.sqrt(pupils.varcorr()["variance"][0])
    assert len(logits) == 100
    assert 0.8 * sd < logits.std() < 1.2 * sd
    assert abs(logits.mean() - pupils.predict({"hours": [c.axis.x[20]]}, target="typical", scale="link")[0]) < 0.35 * sd
    np.testing.assert_array_equal(c.clusters.each, arrays(pupils, "hours", clusters="draws", seed=4).clusters.each)
    assert not np.array_equal(c.clusters.each, arrays(pupils, "hours", clusters="draws", seed=5).clusters.each)
    np.testing.assert_array_equal(c.average.mean, arrays(pupils, "hours").average.mean)
    assert "100 clusters drawn from the estimated normal distribution" in told(pupils, "hours", clusters="draws")[1]


def test_many_clusters_are_sampled_and_said(crossed, monkeypatch):
    everyone = arrays(crossed, "age")
    monkeypatch.setattr(room, "MOST_CURVES", 300)
    c = arrays(crossed, "age")
    assert len(c.clusters.each) == len(set(c.clusters.levels)) == 200
    np.testing.assert_array_equal(c.clusters.each, everyone.clusters.each[np.searchsorted(everyone.clusters.levels, c.clusters.levels)])
    np.testing.assert_array_equal(c.average.mean, everyone.average.mean)
    assert c.clusters.change == everyone.clusters.change
    assert {c.clusters.each.min(), c.clusters.each.max()} == {everyone.clusters.each.min(), everyone.clusters.each.max()}
    assert (
        "Grey: 200 of 537 clusters (id), evenly spaced by their predicted random effects; the average is over all."
        in told(crossed, "age")[1]
    )


def test_blocks_of_profiles_give_the_same_arrays(crossed, monkeypatch):
    whole = arrays(crossed, "age")
    monkeypatch.setattr(room, "ENTRIES", 1)
    parts = arrays(crossed, "age")
    np.testing.assert_allclose(parts.average.mean, whole.average.mean, rtol=1e-13)
    np.testing.assert_array_equal(parts.clusters.each, whole.clusters.each)
    assert parts.clusters.change == whole.clusters.change


def test_too_many_different_rows_are_sampled_and_said(monkeypatch):
    rng = np.random.default_rng(0)
    data = {"x": rng.normal(size=500), "z": rng.normal(size=500), "y": rng.normal(size=500)}
    fit = glimm.glm("y ~ x + z", data)
    monkeypatch.setattr(room, "MOST_PROFILES", 50)
    c = arrays(fit, "x", grid=[0.0, 1.0])
    rows = np.unique(np.linspace(0, 499, 50).round().astype(int))
    assert c.average.mean[0] == pytest.approx(fit.predict({"x": np.zeros(50), "z": data["z"][rows]}).mean(), rel=1e-12)
    assert "Averaged over 50 of the 500 rows used, evenly spaced." in told(fit, "x")[1]


def test_far_too_many_clusters_are_sampled_with_their_own_predictors(monkeypatch):
    rng = np.random.default_rng(8)
    g = np.repeat(np.arange(90), 4)
    data = pd.DataFrame({"x": rng.normal(size=360), "z": rng.normal(size=90)[g], "g": g})
    data["y"] = data["x"] + data["z"] + rng.normal(size=90)[g] + rng.normal(size=360)
    fit = glimm.glmm("y ~ x + z + (1 | g)", data)
    monkeypatch.setattr(room, "MOST_CLUSTERS", 30)
    c = arrays(fit, "x", grid=[0.0, 1.0])
    rows = pd.DataFrame({"g": c.clusters.levels}).assign(x=1.0, z=lambda d: data.groupby("g")["z"].first()[d["g"]].to_numpy())
    assert len(c.clusters.levels) == 30
    np.testing.assert_allclose(c.clusters.each[:, 1], fit.predict(rows, target="conditional"), rtol=1e-12)
    assert c.average.mean[1] == pytest.approx(fit.predict(rows, target="marginal").mean(), rel=1e-12)
    assert "Grey: 30 of 90 clusters (g)" in told(fit, "x")[1]
    assert "average and changes are over 30 evenly spaced ones" in told(fit, "x")[1]


@pytest.fixture(scope="module")
def sloped():
    rng = np.random.default_rng(5)
    g = np.repeat(np.arange(40), 15)
    data = pd.DataFrame({"x": rng.uniform(-2.0, 2.0, 600), "f": rng.choice(["a", "b"], 600), "g": g})
    eta = 0.4 * data["x"] + rng.normal(size=40)[g] + rng.normal(size=40)[g] * data["x"]
    data["y"] = (rng.random(600) < 1.0 / (1.0 + np.exp(-eta))).astype(int)
    return data


def test_random_slopes(sloped):
    fit = glimm.glmm("y ~ x + (1 + x | g)", sloped, family="binomial", points=1)
    c = arrays(fit, "x", grid=[-1.0, 0.0, 2.0])
    for k, x in enumerate([-1.0, 0.0, 2.0]):
        rows = pd.DataFrame({"x": np.full(40, x), "g": c.clusters.levels})
        np.testing.assert_allclose(c.clusters.each[:, k], fit.predict(rows, target="conditional"), rtol=1e-10)
        assert c.average.mean[k] == pytest.approx(fit.predict(rows, target="marginal").mean(), rel=1e-10)
    effects = fit.ranef()
    slopes = fit.params["x"] + effects[effects["term"] == "x"]["estimate"].to_numpy()
    assert slopes.min() < 0.0 < slopes.max()
    assert c.clusters.change == pytest.approx((3.0 * slopes.min(), 3.0 * slopes.max()))
    title, detail = finding(c, "logit", "class")
    assert title == "Curves of single clusters, and the population average"
    assert f"between {3.0 * slopes.min():+.2f} and {3.0 * slopes.max():+.2f} for one class" in detail


def test_draws_of_random_slopes_have_their_covariance(sloped, monkeypatch):
    fit = glimm.glmm("y ~ x + (1 + x | g)", sloped, family="binomial", points=1)
    monkeypatch.setattr(room, "DRAWS", 4000)
    p = arrays(fit, "x", clusters="draws", grid=[0.0, 1.0]).clusters.each
    logits = np.log(p / (1.0 - p)) - np.array([fit.params["Intercept"], fit.params["Intercept"] + fit.params["x"]])
    got = np.cov(np.column_stack([logits[:, 0], logits[:, 1] - logits[:, 0]]).T)
    table = fit.varcorr()
    np.testing.assert_allclose(np.diag(got), table["variance"], rtol=0.1)
    assert got[0, 1] / np.sqrt(got[0, 0] * got[1, 1]) == pytest.approx(table["corr_Intercept"][1], abs=0.06)


def test_a_predictor_with_a_random_slope_only(sloped):
    fit = glimm.glmm("y ~ f + (1 + x || g)", sloped, family="binomial", points=1)
    for variable in ("f", "x"):
        assert fit.plot(variable).alt
    c = arrays(fit, "x", grid=[-2.0, 2.0], at={"f": "a"})
    rows = pd.DataFrame({"x": 2.0, "f": "a", "g": c.clusters.levels})
    np.testing.assert_allclose(c.clusters.each[:, 1], fit.predict(rows, target="conditional"), rtol=1e-10)
    assert "flatter" not in told(fit, "x")[0]


def test_a_factor_with_random_effects_of_its_levels(sloped):
    fit = glimm.glmm("y ~ f + (0 + f | g)", sloped, family="binomial", points=1)
    c = arrays(fit, "f")
    for k, level in enumerate(c.axis.names):
        rows = pd.DataFrame({"f": level, "g": c.clusters.levels})
        np.testing.assert_allclose(c.clusters.each[:, k], fit.predict(rows, target="conditional"), rtol=1e-10)


# errors


def test_what_is_no_predictor(counts, ohio, crossed):
    with pytest.raises(glimm.GlimmError, match=r"no predictor 'ag' in the model: did you mean 'age'\? \(have: age, smoke\)"):
        crossed.plot("ag")
    with pytest.raises(glimm.GlimmError, match=r"'resp' is the response.*have: age, smoke"):
        crossed.plot("resp")
    with pytest.raises(glimm.GlimmError, match=r"'id' says which rows belong together.*have: age, smoke"):
        crossed.plot("id")
    with pytest.raises(glimm.GlimmError, match=r"the name of a predictor, not int"):
        crossed.plot(3)
    data = counts.dropna().assign(one=1.0, double=lambda d: 2 * d["x"], f="a")
    fit = glimm.glm("n ~ x + double + one", data, family="poisson", exposure="days")
    with pytest.raises(glimm.GlimmError, match=r"'one' has one value in all rows used.*have: x"):
        fit.plot("one")
    with pytest.raises(glimm.GlimmError, match=r"'double' was left out of the model \(= 2 \* x\)"):
        fit.plot("double")
    with pytest.raises(glimm.GlimmError, match=r"'days' is in the model as an offset or exposure only"):
        fit.plot("days")
    with pytest.raises(glimm.GlimmError, match=r"'x' is in the model as an offset or exposure only.*have: arm"):
        glimm.glm("n ~ arm + offset(0.1 * x)", data, family="poisson").plot("x")
    with pytest.raises(glimm.GlimmError, match="no predictor that varies"):
        glimm.glm("n ~ 1", data).plot("x")
    gee = glimm.gee("resp ~ age", ohio, groups="id", family="binomial")
    with pytest.raises(glimm.GlimmError, match=r"'id' says which rows"):
        gee.plot("id")
    many = glimm.glm("n ~ f", data.assign(f=[f"level {k % 50}" for k in range(len(data))]))
    with pytest.raises(glimm.GlimmError, match="'f' has 50 levels, and a picture has room for 40"):
        many.plot("f")


def test_wrong_arguments(crossed, ohio):
    with pytest.raises(glimm.GlimmError, match="clusters must be 'real', 'draws' or None, not 'all'"):
        crossed.plot("age", clusters="all")
    with pytest.raises(glimm.GlimmError, match=r"this model has none: fit glimm\.glmm"):
        glimm.glm("resp ~ age", ohio, family="binomial").plot("age", clusters="draws")
    for at, words in (
        ({"smoke": "yes"}, "holds numbers: give one number"),
        ({"smok": 1}, "did you mean 'smoke'"),
        ({"age": 1}, "leave it out of at"),
        ([1], "must map predictors to values"),
    ):
        with pytest.raises(glimm.GlimmError, match=words):
            crossed.plot("age", at=at)
    named = glimm.glm("resp ~ age + who", ohio.assign(who=np.where(ohio.smoke, "yes", "no")), family="binomial")
    with pytest.raises(glimm.GlimmError, match=r"'who' the level 'ye': did you mean 'yes'"):
        named.plot("age", at={"who": "ye"})
    with pytest.raises(glimm.GlimmError, match="drawn as categories"):
        crossed.plot("smoke", to_axis=lambda x: x)
    with pytest.raises(glimm.GlimmError, match="one finite number for each number"):
        crossed.plot("age", to_axis=lambda x: 3.0)


# the words


def test_the_finding_is_said_only_where_it_is_true(crossed, parallel, pupils):
    title, detail = told(parallel, "age")
    assert title == "In log odds, the population average is flatter than any id's curve"
    assert f"{3.0 * parallel.params['age']:+.2f} for every id" in detail
    title, detail = told(crossed, "age")
    assert title == "Curves of single clusters, and the population average"
    slopes = [crossed.params["age"], crossed.params["age"] + crossed.params["age:smoke"]]
    assert f"between {3.0 * min(slopes):+.2f} and {3.0 * max(slopes):+.2f} for one id" in detail
    title, detail = told(pupils, "hours")
    m = arrays(pupils, "hours").average.mean[[0, -1]]
    assert f"{10.0 * pupils.params['hours']:+.2f} for every pupil" in detail
    assert f"{np.diff(np.log(m / (1 - m)))[0]:+.2f} for the population average" in detail
    assert "all 60 clusters (pupil), at their predicted random effects" in detail


def test_flatter_is_said_of_every_step_not_of_the_ends(parallel):
    c = arrays(parallel, "age")
    assert finding(c, "logit", "child")[0].endswith("flatter than any child's curve")
    bent = c.average.mean.copy()
    bent[20] *= 1.2
    assert "flatter" not in finding(replace(c, average=replace(c.average, mean=bent)), "logit", "child")[0]


def test_parallel_lines_are_called_parallel(counts):
    data = counts.dropna()
    assert told(glimm.glmm("n ~ x + (1 | g)", data), "x")[0] == "The population average is parallel to every g's curve"
    log = glimm.glmm("n ~ x + (1 | g)", data, family="poisson")
    assert told(log, "x")[0] == "In the log of the mean, the population average is parallel to every g's curve"


def test_words_of_two_categories(parallel, ohio):
    title, detail = told(parallel, "smoke")
    assert title == "In log odds, smoke = 0 and smoke = 1 differ less in the population average than for any id"
    assert f"{parallel.params['smoke']:+.2f} for every id" in detail


def test_words_of_averages(ohio, counts):
    fit = glimm.gee("resp ~ age + smoke", ohio, groups="id", family="binomial")
    title, detail = told(fit, "age")
    c = arrays(fit, "age")
    first, last = (f"{100 * m:.3g}\N{NO-BREAK SPACE}%" for m in c.average.mean[[0, -1]])
    assert title == f"The average probability of resp = 1 falls from {first} to {last} over age"
    assert "standard errors robust (sandwich) by id" in detail
    assert "A GEE has no curve of one id." in detail
    assert "Averaged over the 2148 rows used." in detail
    title, detail = told(glimm.glm("n ~ arm", counts), "arm")
    means = counts.groupby("arm")["n"].mean()
    assert title == f"The mean of n: {means['new']:.4g} for new, {means['old']:.4g} for old"
    assert "A GLM has no curve of one cluster." in detail
    bent = glimm.glm("n ~ x + I(x**2)", counts.dropna().assign(n=lambda d: (d["x"] - 2.5) ** 2 + d["n"]))
    assert told(bent, "x")[0] == "The mean of n over x"


# the drawing


def test_the_picture(parallel, tmp_path):
    figure = parallel.plot(
        "age", to_axis=lambda age: age + 9, x_label="age in years", y_label="probability of wheeze", one="child", many="children"
    )
    axes = figure.axes[0]
    assert len(axes.collections[0].get_segments()) == 537
    lines = {line.get_label(): line for line in axes.lines}
    np.testing.assert_allclose(lines["average"].get_ydata(), arrays(parallel, "age").average.mean)
    np.testing.assert_allclose(axes.get_xticks(), [7, 8, 9, 10])
    assert axes.get_xlabel() == "age in years"
    assert axes.get_ylabel() == "probability of wheeze"
    assert axes.get_legend() is None
    words = texts(figure)
    assert "population average" in words
    assert "355 children" in words
    assert any("all 537 children" in text for text in words)
    for name in ("ohio.png", "ohio.svg", "ohio.pdf"):
        figure.savefig(tmp_path / name)
        assert (tmp_path / name).stat().st_size > 10_000


def test_the_teaching_picture(pupils):
    figure = pupils.plot("hours")
    lines = {line.get_label(): line.get_ydata() for line in figure.axes[0].lines}
    words = texts(figure)
    assert {"one pupil", "population average"} <= set(words)
    assert any(np.array_equal(lines["one"], each) for each in arrays(pupils, "hours").clusters.each)
    steepest = {name: np.abs(np.diff(lines[name])).max() for name in ("one", "average")}
    assert steepest["one"] > 2.0 * steepest["average"]


def test_band_and_bars_are_drawn(ohio):
    fit = glimm.glm("resp ~ age * smoke", ohio, family="binomial")
    c = arrays(fit, "age")
    band = fit.plot("age").axes[0].collections[0].get_paths()[0].vertices
    assert band[:, 1].min() == pytest.approx(c.average.low.min())
    assert band[:, 1].max() == pytest.approx(c.average.high.max())
    bars = arrays(fit, "smoke").average
    drawn = np.array(fit.plot("smoke").axes[0].containers[0].lines[2][0].get_segments())
    np.testing.assert_allclose(drawn[:, :, 1], np.column_stack([bars.low, bars.high]))


def test_own_title_and_no_clusters(pupils):
    figure = pupils.plot("hours", title="Mine", clusters=None)
    assert "Mine" in texts(figure)
    assert not figure.axes[0].collections
    assert "one pupil" not in texts(figure)


def test_a_notebook_shows_it_without_pyplot_and_its_style(pupils):
    with matplotlib.rc_context({"text.color": "white", "axes.facecolor": "black", "lines.linewidth": 9.0}):
        figure = pupils.plot("hours")
        assert figure._repr_png_().startswith(b"\x89PNG")
        assert figure.axes[0].get_facecolor() == (1.0, 1.0, 1.0, 1.0)
        assert matplotlib.rcParams["lines.linewidth"] == 9.0
    assert "one pupil" in texts(figure)
    assert "flatter than any pupil's curve" in figure.alt


def test_names_are_not_read_as_mathematics(ohio):
    data = ohio.rename(columns={"age": "a$b$ ^_{", "id": "the_id"})
    fit = glimm.glmm("resp ~ `a$b$ ^_{` + smoke + (1 | the_id)", data, family="binomial", points=5)
    figure = fit.plot("a$b$ ^_{", one="$x", title="costs $5 or $6")
    figure.savefig(io.BytesIO(), format="png")
    assert figure.axes[0].get_xlabel() == "a$b$ ^_{"


def boxes_of(figure):
    figure.canvas.draw()
    return [text.get_window_extent() for text in (*figure.texts, *figure.axes[0].texts)]


@pytest.mark.parametrize("variable", ["age", "smoke", "who"])
@pytest.mark.parametrize("door", ["glm", "glmm", "gee"])
def test_labels_do_not_touch(variable, door, ohio):
    data = ohio.assign(who=np.array(["nobody", "the mother", "the father", "somebody else entirely", "an aunt"])[ohio.id % 5])
    more = {"groups": "id"} if door == "gee" else {}
    formula = "resp ~ age + smoke + who" + (" + (1 | id)" if door == "glmm" else "")
    figure = getattr(glimm, door)(formula, data, family="binomial", **more).plot(variable, one="child", many="children")
    boxes = boxes_of(figure)
    for a, b in ((a, b) for k, a in enumerate(boxes) for b in boxes[k + 1 :]):
        assert a.x1 <= b.x0 + 1 or b.x1 <= a.x0 + 1 or a.y1 <= b.y0 + 1 or b.y1 <= a.y0 + 1
    axes = figure.axes[0]
    ticks = [tick.get_window_extent() for tick in axes.get_xticklabels()]
    assert all(a.x1 <= b.x0 for a, b in pairwise(ticks))
    everything = [*boxes, *ticks, axes.xaxis.label.get_window_extent(), axes.yaxis.label.get_window_extent()]
    assert all(box.x0 >= 0 and box.y0 >= 0 and box.x1 <= figure.bbox.x1 and box.y1 <= figure.bbox.y1 for box in everything)
    assert min(tick.y0 for tick in ticks) > axes.xaxis.label.get_window_extent().y1 - 1


def test_long_words_stay_on_the_page(pupils):
    words = {"title": "A title that goes on and on " * 4, "one": "pupil of the fourth form", "y_label": "probability of passing " * 4}
    figure = pupils.plot("hours", **words)
    assert all(box.x1 <= figure.bbox.x1 and box.y1 <= figure.bbox.y1 for box in boxes_of(figure))
    assert figure.axes[0].yaxis.label.get_window_extent().x0 >= 0


def test_large_numbers_stay_on_the_page(counts):
    data = counts.dropna().assign(n=lambda d: 1e6 * d["n"] + 0.5)
    figure = glimm.glm("n ~ x", data).plot("x", y_label="income")
    figure.canvas.draw()
    axes = figure.axes[0]
    assert 0 <= axes.yaxis.label.get_window_extent().x0 < 60
    assert axes.yaxis.label.get_window_extent().x1 <= min(tick.get_window_extent().x0 for tick in axes.get_yticklabels())


def test_ticks_are_not_rounded():
    axes = glimm.glm("resp ~ age", glimm.load_dataset("ohio"), family="binomial").plot("age").axes[0]
    axes.set_yticks([0.025, 0.05, 0.125])
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["2.5 %", "5 %", "12.5 %"]


def test_apart_and_opacity():
    moved = apart([0.10, 0.11, 0.12, 0.9], [0.05] * 4, 0.0, 1.0)
    assert np.all(np.diff(moved) >= 0.05 - 1e-6)
    assert moved[3] == 0.9
    crowded = apart([0.98, 0.99], [0.1, 0.1], 0.0, 1.0)
    assert crowded[1] - crowded[0] >= 0.1 - 1e-6
    assert crowded[1] <= 0.98
    a = opacity(np.array([[0.1, 0.2]] * 9 + [[0.3, 0.4]]))
    assert 1.0 - (1.0 - a[0]) ** 9 == pytest.approx(0.85)
    assert a[9] == pytest.approx(0.3)


def test_demo(tmp_path, capsys):
    demo.main(["--out", str(tmp_path / "deep" / "ohio.png")])
    said = capsys.readouterr().out
    for words in (
        "537 children",
        "GLM: rows independent",
        "GLMM: conditional",
        "GEE: average",
        "Comparison of 3 fits",
        "Picture written to",
    ):
        assert words in said
    assert (tmp_path / "deep" / "ohio.png").stat().st_size > 20_000


def test_demo_without_matplotlib(tmp_path, ohio, monkeypatch):
    real = builtins.__import__

    def refuse(name, *rest, **more):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(ImportError, match=r"pictures need matplotlib: pip install 'glimm\[plot\]'"):
        glimm.glm("resp ~ age", ohio, family="binomial").plot("age")
    assert "pip install 'glimm[plot]'" in demo.draw(ohio, tmp_path / "ohio.png")
    assert not (tmp_path / "ohio.png").exists()


def test_the_dark_curve_does_not_hang_on_rounding():
    effects = np.array([[-3.0], [1.0], [2.0], [4.0]])  # two are equally near to the median
    rounding = 1e-9 * np.array([[0.0], [1.0], [-1.0], [0.0]])
    assert most_ordinary(effects + rounding) == most_ordinary(effects - rounding) == 1
