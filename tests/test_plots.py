"""Pictures: the arrays are predictions, the lines are clusters, the words are true; every predictor of every fit has one."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pytest

import glimm
from glimm.family import LINKS
from glimm.plots import curves as room
from glimm.plots.words import finding
from pictures import arrays, told


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


@pytest.mark.parametrize(("family", "link"), [("gamma", "inverse"), ("inverse_gaussian", "inverse_squared"), ("binomial", "logc")])
def test_the_band_of_a_decreasing_link_has_its_lower_end_below(family, link):
    x = np.repeat([0.0, 1.0, 2.0], 20)
    mean = 0.3 + 0.2 * x
    y = np.tile([0, 1, 0, 1, 1], 12) if family == "binomial" else mean * np.tile([0.5, 1.5, 0.8, 1.2], 15)
    fit = glimm.glm("y ~ C(x)", {"y": y, "x": x}, family=family, link=link)
    c = arrays(fit, "x")
    expected = fit.predict({"x": [0.0, 1.0, 2.0]}, interval="confidence")
    assert (c.average.low < c.average.high).all()
    np.testing.assert_allclose(c.average.low, expected["conf_low"], rtol=1e-9)
    np.testing.assert_allclose(c.average.high, expected["conf_high"], rtol=1e-9)
    pytest.importorskip("matplotlib")
    fit.plot("x")


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
    title, detail = finding(c, LINKS["logit"], "class")
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
