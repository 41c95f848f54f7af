"""The first picture: its arrays are predictions, its lines are the clusters, its title is true; the demo runs."""

from __future__ import annotations

import builtins
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

import glimm
from glimm import demo
from glimm.plots.curves import compute, curves, finding
from glimm.plots.draw import apart, opacity


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


def test_curves_are_conditional_predictions(crossed, ohio):
    c = compute(crossed.record, ohio, "age", [-2, -1, 0, 1])
    assert c.each.shape == (537, 4)
    np.testing.assert_allclose(c.each.ravel(), crossed.predict(ohio, target="conditional"), rtol=1e-12)


def test_average_is_the_marginal_mean_over_children(crossed, ohio):
    c = compute(crossed.record, ohio, "age", [-2, -1, 0, 1])
    expected = crossed.predict(ohio, target="marginal").reshape(537, 4).mean(axis=0)
    np.testing.assert_allclose(c.average, expected, rtol=1e-12)


def test_average_is_near_what_was_seen(crossed, ohio):
    c = compute(crossed.record, ohio, "age", [-2, -1, 0, 1])
    np.testing.assert_allclose(c.average, ohio.groupby("age")["resp"].mean(), atol=0.02)


def test_factors_offsets_missing_rows_and_transforms(counts):
    fit = glimm.glmm("n ~ np.log(x + 1) + arm + (1 | g)", counts, family="poisson", exposure="days")
    c = compute(fit.record, counts, "x", [2.0, 5.0])
    first = counts.dropna().groupby("g").first().reset_index()
    for k, x in enumerate([2.0, 5.0]):
        np.testing.assert_allclose(c.each[:, k], fit.predict(first.assign(x=x), target="conditional"), rtol=1e-12)
        np.testing.assert_allclose(c.average[k], fit.predict(first.assign(x=x), target="marginal").mean(), rtol=1e-12)
    assert list(c.clusters) == sorted(counts["g"].unique())


def test_the_offset_may_be_an_array_or_depend_on_the_variable(counts):
    by_array = glimm.glmm("n ~ x + (1 | g)", counts, family="poisson", exposure=counts["days"].to_numpy())
    by_name = glimm.glmm("n ~ x + (1 | g)", counts, family="poisson", exposure="days")
    grid = [1.0, 3.0]
    np.testing.assert_allclose(compute(by_array.record, counts, "x", grid).each, compute(by_name.record, counts, "x", grid).each, rtol=1e-8)
    moving = glimm.glmm("n ~ arm + offset(0.1 * x) + (1 | g)", counts, family="poisson")
    c = compute(moving.record, counts, "x", grid)
    np.testing.assert_allclose(c.each[:, 1] / c.each[:, 0], np.exp(0.2), rtol=1e-10)


def test_unknown_and_factor_predictors(counts, ohio, crossed):
    fit = glimm.glmm("n ~ x + arm + (1 | g)", counts, family="poisson")
    with pytest.raises(glimm.GlimmError, match=r"'arm' is a factor.*x"):
        compute(fit.record, counts, "arm")
    with pytest.raises(glimm.GlimmError, match=r"no predictor 'ag' in the model: did you mean 'age'\? \(have: age, smoke\)"):
        compute(crossed.record, ohio, "ag")
    coded = glimm.glmm("resp ~ C(age) + smoke + (1 | id)", ohio, family="binomial", points=9)
    with pytest.raises(glimm.GlimmError, match=r"'age' is a factor.*smoke"):
        compute(coded.record, ohio, "age")


def test_other_fits_and_other_data(ohio, crossed):
    with pytest.raises(glimm.GlimmError, match="mixed model"):
        compute(glimm.glm("resp ~ age", ohio, family="binomial").record, ohio, "age")
    with pytest.raises(glimm.GlimmError, match="give the same data"):
        compute(crossed.record, ohio.head(8), "age")


def test_the_finding_is_said_only_where_it_is_true(crossed, parallel, ohio):
    title, detail = finding(compute(parallel.record, ohio, "age"), "logit", "child", "children")
    assert title == "In log odds, the average over children is flatter than the curve of any child"
    change = 3.0 * parallel.params["age"]
    assert f"{change:+.2f} for every child" in detail
    title, _ = finding(compute(crossed.record, ohio, "age"), "logit", "child", "children")
    assert title == "One curve per child, and the average over children"


def test_parallel_lines_are_not_called_flatter(counts):
    data = counts.dropna()
    linear = glimm.glmm("n ~ x + (1 | g)", data)
    assert finding(compute(linear.record, data, "x"), "identity", "c", "cs")[0] == "One curve per c, and the average over cs"
    log = glimm.glmm("n ~ x + (1 | g)", data, family="poisson")
    assert finding(compute(log.record, data, "x"), "log", "c", "cs")[0] == "One curve per c, and the average over cs"


def test_the_picture(parallel, ohio, tmp_path):
    figure = curves(
        parallel.record,
        ohio,
        "age",
        to_axis=lambda age: age + 9,
        x_label="age in years",
        y_label="probability of wheeze",
        one="child",
        many="children",
    )
    axes = figure.axes[0]
    assert len(axes.collections[0].get_segments()) == 537
    assert len(axes.lines) == 1
    np.testing.assert_allclose(axes.lines[0].get_ydata(), compute(parallel.record, ohio, "age").average)
    np.testing.assert_allclose(axes.get_xticks(), [7, 8, 9, 10])
    assert axes.get_xlabel() == "age in years"
    assert axes.get_ylabel() == "probability of wheeze"
    assert axes.get_legend() is None
    words = [text.get_text() for text in axes.texts]
    assert "average over\nall 537 children" in words
    assert "355 children" in words
    figure.savefig(tmp_path / "ohio.png")
    assert (tmp_path / "ohio.png").stat().st_size > 20_000


def test_labels_do_not_touch(parallel, ohio):
    figure = curves(parallel.record, ohio, "age", one="child", many="children")
    figure.canvas.draw()
    boxes = sorted((text.get_window_extent() for text in figure.axes[0].texts), key=lambda box: box.y0)
    assert all(low.y1 <= high.y0 + 1.0 for low, high in pairwise(boxes))
    assert all(box.x1 <= figure.bbox.x1 for box in boxes)
    assert all(text.get_window_extent().x1 <= figure.bbox.x1 for text in figure.texts)


def test_labels_of_a_fit_that_says_nothing_else(counts):
    data = counts.dropna()
    figure = curves(glimm.glmm("n ~ x + arm + (1 | g)", data).record, data, "x")
    assert figure.axes[0].get_ylabel() == "mean of n"
    assert "one level of g" in [text.get_text() for text in figure.axes[0].texts]


def test_apart_and_opacity():
    moved = apart([0.10, 0.11, 0.12, 0.9], [0.05] * 4, 0.0, 1.0)
    assert np.all(np.diff(moved) >= 0.05 - 1e-6)
    assert moved[3] == 0.9
    a = opacity(np.array([[0.1, 0.2]] * 9 + [[0.3, 0.4]]))
    assert 1.0 - (1.0 - a[0]) ** 9 == pytest.approx(0.9)
    assert a[9] == pytest.approx(0.35)


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
    assert "pip install 'glimm[plot]'" in demo.draw(ohio, tmp_path / "ohio.png")
    assert not (tmp_path / "ohio.png").exists()
