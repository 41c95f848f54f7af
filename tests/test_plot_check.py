"""The page of residuals: panels that show what they say, words that do not touch, every kind of fit."""

from __future__ import annotations

import io
from itertools import combinations

import matplotlib
import numpy as np
import pytest
from scipy import stats

import glimm
from glimm.plots.checks import compute, marginal_means

TITLES = {
    "glm": [
        "Distribution",
        "Residuals against fitted means",
        "Residuals by f",
        "Zeros",
        "Rows that follow each other",
        "Residuals against x",
    ],
    "lmm": [
        "Distribution",
        "Residuals against fitted means",
        "Residuals by school",
        "Spread",
        "Rows that follow each other",
        "Random effects",
    ],
}


def data(n=240, seed=3):
    rng = np.random.default_rng(seed)
    x, school = rng.normal(size=n), np.arange(n) // 6
    f = np.array(["north", "south", "the east coast of the island"])[rng.integers(0, 3, n)]
    b = rng.normal(size=n)[school]
    return {
        "x": x,
        "f": f,
        "school": [f"school {k}" for k in school],
        "y": 1.0 + x + b + rng.normal(size=n),
        "k": rng.poisson(np.exp(0.8 + 0.5 * x)) * (rng.random(n) < 0.7),
        "p": (rng.random(n) < 1.0 / (1.0 + np.exp(-x - b))).astype(int),
    }


def tiny():
    return glimm.glm("y ~ x", {"x": [1.0, 2.0, 3.0, 4.0, 5.0], "y": [1.0, 2.5, 2.8, 4.2, 5.1]})


def fits():
    d = data()
    return {
        "glm": lambda: glimm.glm("k ~ x + f", d, family="poisson"),
        "one predictor": lambda: glimm.glm("p ~ f", d, family="binomial"),
        "lmm": lambda: glimm.glmm("y ~ x + (1 | school)", d),
        "glmm": lambda: glimm.glmm("p ~ x + (1 | school)", d, family="binomial", points=5),
        "gee": lambda: glimm.gee("k ~ x + f", d, groups="school", family="poisson"),
        "ar1": lambda: glimm.gee("y ~ x", d, groups="school", corr="ar1"),
        "tiny": tiny,
        "intercept": lambda: glimm.glm("y ~ 1", d),
    }


def words_of(figure):
    """(text, box) of all words that are seen."""
    figure.canvas.draw()
    found = list(figure.texts)
    for axes in figure.axes:
        found += [axes.xaxis.label, axes.yaxis.label, *axes.texts]
        for axis, limits in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim())):
            low, high = sorted(limits)
            room = 1e-9 * (high - low)
            found += [t.label1 for t in axis.get_major_ticks() if low - room <= t.get_loc() <= high + room]
    return [(t.get_text(), t.get_window_extent()) for t in found if t.get_text() and t.get_visible()]


@pytest.mark.parametrize("name", fits())
def test_words_do_not_touch_and_stay_on_the_page(name):
    figure = fits()[name]().plot_check()
    words = words_of(figure)
    for (one, a), (other, b) in combinations(words, 2):
        touch = min(a.x1, b.x1) - max(a.x0, b.x0) > 1.0 and min(a.y1, b.y1) - max(a.y0, b.y0) > 1.0
        assert not touch, (one, other)
    for text, box in words:
        assert box.x0 >= 0.0, text
        assert box.y0 >= 0.0, text
        assert box.x1 <= figure.bbox.x1, text
        assert box.y1 <= figure.bbox.y1, text


@pytest.mark.parametrize("name", TITLES)
def test_the_panels(name):
    fit = fits()[name]()
    panels = compute(fit.record, 0, None)
    assert [p.title for p in panels] == TITLES[name]
    figure = fit.plot_check()
    assert len(figure.axes) == 6
    for p in panels:
        assert p.said in figure.alt
        assert p.said.endswith(".")
    assert all(axes.get_legend() is None for axes in figure.axes)


def test_what_is_drawn_is_what_the_fit_answers():
    fit = fits()["glm"]()
    u, tests = fit.quantile_residuals(), fit.residual_tests()
    qq, against, by, zeros, lags, _ = compute(fit.record, 0, None)
    np.testing.assert_allclose(qq.y, np.sort(u))
    assert set(np.round(against.y, 12)) == set(np.round(u, 12))
    assert zeros.mark == int((fit.record.design.y == 0).sum()) == tests["statistic"][2]
    assert f"p = {tests['p_value'][0]:.3f}" in qq.said
    f = np.array(data()["f"])
    np.testing.assert_allclose(by.y, [np.median(u[f == level]) for level in np.unique(f)])
    r = fit.resid("pearson").to_numpy()
    np.testing.assert_allclose(lags.y[2], np.mean(r[3:] * r[:-3]) / np.mean(r * r))


def test_sentences_are_about_what_is_wrong():
    """Counts with a third of them set to zero."""
    said = fits()["glm"]().plot_check().alt
    assert "more than the model gives" in said
    assert "a clear sign against the model" in said


def test_expected_probabilities_of_a_mixed_model_are_averages():
    """Against a sum over many draws of the cluster's effect."""
    fit = fits()["glmm"]()
    v = fit.varcorr()["variance"][0]
    eta = fit.predict(target="typical", scale="link")
    b = np.sqrt(v) * stats.norm.ppf((np.arange(4000) + 0.5) / 4000)
    np.testing.assert_allclose(marginal_means(fit.record), [np.mean(1 / (1 + np.exp(-e - b))) for e in eta], atol=2e-4)


def test_random_effects_lie_in_the_range_of_simulated_ones():
    panel = compute(fits()["lmm"]().record, 0, None)[5]
    assert np.mean((panel.y >= panel.low) & (panel.y <= panel.high)) > 0.6
    np.testing.assert_allclose(panel.x, stats.norm.ppf((np.arange(40) + 0.5) / 40))


def test_groups_by_the_users_choice():
    d = data()
    fit = glimm.glmm("y ~ x + (1 | school)", d)
    assert compute(fit.record, 0, d["f"])[2].names == ("north", "south", "the east coast of the island")
    assert compute(fit.record, 0, "school")[2].kind == "strip"
    halves = np.array(d["x"]) > 0
    assert compute(fit.record, 0, halves)[2].kind == "boxes"
    assert "Residuals by group" in [p.title for p in compute(fit.record, 0, halves)]


def test_many_rows_are_thinned_and_it_is_said():
    rng = np.random.default_rng(5)
    x = rng.normal(size=30_000)
    fit = glimm.glm("y ~ x", {"x": x, "y": rng.poisson(np.exp(0.2 * x))}, family="poisson")
    panels = compute(fit.record, 0, None)
    assert len(panels[1].x) == 2000
    assert "show 2,000 of them; all 30,000 count" in fit.plot_check().alt


def test_names_are_not_read_as_mathematics_and_style_is_its_own():
    d = data()
    d["a$b$ ^_{"] = np.array([f"${v}" for v in d["f"]])
    fit = glimm.glm("y ~ x + `a$b$ ^_{`", d)
    with matplotlib.rc_context({"axes.facecolor": "black", "lines.linewidth": 9.0}):
        figure = fit.plot_check()
        assert figure.axes[0].get_facecolor() == (1.0, 1.0, 1.0, 1.0)
    figure.savefig(io.BytesIO(), format="png")
    assert figure._repr_png_().startswith(b"\x89PNG")


def test_the_same_seed_draws_the_same_page():
    assert tiny().plot_check(3).alt == tiny().plot_check(3).alt
