"""Pictures as drawn: words that are true, labels that do not touch, notebooks, the demo."""

from __future__ import annotations

import builtins
import io
from dataclasses import replace
from itertools import pairwise

import matplotlib
import numpy as np
import pytest

import glimm
from glimm import demo
from glimm.family import LINKS
from glimm.plots.curves import most_ordinary
from glimm.plots.draw import apart, opacity
from glimm.plots.words import finding
from pictures import arrays, texts, told


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
    assert finding(c, LINKS["logit"], "child")[0].endswith("flatter than any child's curve")
    bent = c.average.mean.copy()
    bent[20] *= 1.2
    assert "flatter" not in finding(replace(c, average=replace(c.average, mean=bent)), LINKS["logit"], "child")[0]


def test_parallel_lines_are_called_parallel(counts):
    data = counts.dropna()
    assert told(glimm.glmm("n ~ x + (1 | g)", data), "x")[0] == "The population average is parallel to every g's curve"
    log = glimm.glmm("n ~ x + (1 | g)", data, family="poisson")
    assert told(log, "x")[0] == "In the log of the mean, the population average is parallel to every g's curve"


def test_words_of_two_categories(parallel, ohio):
    fit = glimm.glmm("resp ~ late + (1 | id)", ohio.assign(late=(ohio["age"] >= 0).astype(int)), family="binomial", points=9)
    title, detail = told(fit, "late")
    assert title == "In log odds, late = 0 and late = 1 differ less in the population average than for any id"
    assert f"{fit.params['late']:+.2f} for every id" in detail
    title, detail = told(parallel, "smoke")
    assert title == "Lines of single clusters, and the population average"
    assert "smoke does not change within any id: a line joins two clusters with the same random effect." in detail


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
