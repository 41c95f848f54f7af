"""glimm.compare(..., effect=...): one exposure in all fits, brought to the same target; the forest plot; criteria that may be compared."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import glimm


def flat(comparison) -> str:
    text = str(comparison)
    assert max(map(len, text.splitlines())) <= 120
    return " ".join(text.split())


def test_the_effects_are_those_of_the_fits(three, ohio):
    table = glimm.compare(*three, effect="smoke").effects
    assert list(table) == [
        *("fit", "model", "target", "variable", "contrast", "estimate", "std_error", "p_value", "conf_low", "conf_high", "se_kind"),
    ]
    robust = glimm.glm("resp ~ age * smoke", ohio, family="binomial", vcov={"cluster": "id"})
    expected = [three[0].effect("smoke"), robust.effect("smoke"), three[1].effect("smoke")]
    expected += [three[1].effect("smoke", target="typical"), three[2].effect("smoke")]
    assert table["target"].tolist() == ["marginal", "marginal", "marginal", "typical", "marginal"]
    for name in ("estimate", "std_error", "p_value", "conf_low", "conf_high"):
        np.testing.assert_allclose(table[name], [e[name][0] for e in expected], rtol=1e-10)
    assert table["se_kind"].tolist()[:2] == ["model-based", "cluster-robust by id"]


def test_the_text_says_what_may_be_compared(three):
    text = flat(glimm.compare(*three, effect="smoke"))
    assert "risk difference (1) GLM (1) GLM (2) GLMM (3) GEE, exchangeable by smoke (95 %)" in text
    assert "1 - 0, population 0.036 0.036 0.034 0.036" in text
    assert "1 - 0, typical cluster 0.021" in text
    assert "everybody in the 2148 rows that all fits used is predicted with each value" in text
    assert "it is no average over clusters" in text
    assert "risk difference" not in flat(glimm.compare(*three))
    assert "risk ratio" in flat(glimm.compare(*three, effect="smoke", contrast="ratio"))


def test_the_population_is_that_of_the_rows_all_used(ohio):
    data = ohio.assign(weight=np.where(ohio["id"] % 7 == 0, np.nan, 1.0 + ohio["id"] % 3))
    small = glimm.glm("resp ~ smoke + age + weight", data, family="binomial")
    whole = glimm.glm("resp ~ smoke + age", data, family="binomial")
    comparison = glimm.compare(small, whole, effect="smoke")
    kept = data.dropna()
    found = comparison.effects["estimate"].tolist()
    for value, fit in zip(found, (small, whole), strict=True):
        expected = np.mean(fit.predict(kept.assign(smoke=1)) - fit.predict(kept.assign(smoke=0)))
        assert value == pytest.approx(float(expected), abs=1e-12)
    assert f"the {len(kept)} rows that every fit used" in flat(comparison)


def test_a_fit_without_the_variable_is_named(ohio, three):
    without = glimm.glm("resp ~ age", ohio, family="binomial")
    comparison = glimm.compare(three[0], without, effect="smoke")
    assert "(2) has no smoke, so no effect of it." in flat(comparison)
    assert comparison.effects["fit"].tolist() == [1]
    with pytest.raises(glimm.GlimmError, match=r"no predictor 'smok'.*did you mean 'smoke'"):
        glimm.compare(*three, effect="smok")


def test_several_contrasts():
    rng = np.random.default_rng(2)
    data = pd.DataFrame({"f": rng.choice(["a", "b", "c"], 300), "x": rng.normal(size=300), "g": np.repeat(np.arange(30), 10)})
    data["y"] = data["x"] + (data["f"] == "b") + rng.normal(size=30)[data["g"]] + rng.normal(size=300)
    fits = glimm.glm("y ~ f + x", data), glimm.glmm("y ~ f + x + (1 | g)", data)
    comparison = glimm.compare(*fits, effect="f", values="pairwise")
    assert comparison.effects["contrast"].tolist() == ["b - a", "c - a", "c - b"] * 3
    assert set(comparison.effects["target"]) == {"marginal"}
    figure = comparison.plot()
    words = [text.get_text() for text in figure.axes[0].texts]
    assert "c - b: (2) LMM" in words
    assert figure.axes[0].get_xlabel() == "difference of means of y by f"


def test_forest_plot(three):
    comparison = glimm.compare(*three, effect="smoke")
    figure = comparison.plot()
    words = [text.get_text() for text in figure.axes[0].texts]
    table = comparison.effects
    assert [w for w in words if w.startswith("(")] == ["(1) GLM", "(1) GLM", "(2) GLMM", "(3) GEE, exchangeable", "(2) GLMM"]
    low, high = table["conf_low"], table["conf_high"]
    drawn = sorted((line.get_xdata()[0], line.get_xdata()[1]) for line in figure.axes[0].lines if len(line.get_xdata()) == 2)
    intervals = sorted(zip(low, high, strict=True))
    np.testing.assert_allclose([d for d in drawn if d != (0.0, 0.0)], intervals)
    assert "0.0341 to 0.0358" in figure.alt
    ratio = glimm.compare(*three, effect="smoke", contrast="odds_ratio").plot()
    assert ratio.axes[0].get_xscale() == "log"


def test_no_effect_was_asked_for(three):
    comparison = glimm.compare(*three)
    for ask in (lambda: comparison.effects, comparison.plot):
        with pytest.raises(glimm.GlimmError, match="effect='variable'"):
            ask()


def test_the_report_has_the_effect_and_its_picture(three, tmp_path):
    page = glimm.report(glimm.compare(*three, effect="smoke"), tmp_path / "c.html").read_text()
    assert "<h2>Effect of smoke</h2>" in page
    assert "In the population, the risk difference by smoke" in page
    assert "print(glimm.compare(fit1, fit2, fit3, effect=&quot;smoke&quot;))" in page
    ratio = glimm.compare(*three, effect="age", contrast="ratio", values=(-2, 1))
    page = glimm.report(ratio, tmp_path / "d.html").read_text()
    assert "effect=&quot;age&quot;, contrast=&quot;ratio&quot;, values=(-2, 1)))" in page


def test_criteria_that_may_be_compared(three, ohio):
    probit = glimm.glmm("resp ~ age * smoke + (1 | id)", ohio, family="binomial", points=1)
    comparison = glimm.compare(*three, probit)
    table = comparison.criteria
    assert table["compare_with"].tolist()[:3] == ["2, 4", "1, 4", ""]
    assert np.isnan(table["llf"][2])
    assert table["llf"][1] == pytest.approx(three[1].llf)
    text = flat(comparison)
    assert "a GEE has no likelihood" in text


@pytest.mark.filterwarnings("ignore::glimm.GlimmWarning")
def test_quadrature_fits_are_brought_to_the_same_points(ohio, three):
    few = glimm.glmm("resp ~ age * smoke + (1 | id)", ohio, family="binomial", points=5)
    many = glimm.glmm("resp ~ age * smoke + (1 | id)", ohio, family="binomial", points=51)
    assert abs(few.llf - many.llf) > 0.01
    table = glimm.compare(few, many).criteria
    assert table["llf"][0] == pytest.approx(table["llf"][1], abs=1e-6)


def test_criteria_that_may_not_be_compared():
    rng = np.random.default_rng(4)
    data = pd.DataFrame({"x": rng.normal(size=120), "z": rng.normal(size=120), "g": np.repeat(np.arange(12), 10)})
    data["y"] = np.exp(0.2 * data["x"] + rng.normal(size=12)[data["g"]] + 0.1 * rng.normal(size=120))
    data.loc[3, "z"] = np.nan
    reml, ml = glimm.glmm("y ~ x + (1 | g)", data), glimm.glmm("y ~ x + (1 | g)", data, reml=False)
    other, rows = glimm.glmm("y ~ 1 + (1 | g)", data), glimm.glm("y ~ x + z", data)
    gamma = glimm.glm("y ~ x", data, family="gamma", link="log")
    table = glimm.compare(reml, ml, other, rows, gamma).criteria
    assert table["compare_with"].tolist() == ["", "5", "", "", "2"]
    text = flat(glimm.compare(reml, ml))
    assert "none here: REML against ML" in text
    assert "none here: REML with other terms" in flat(glimm.compare(reml, other))
    assert "none here: other rows" in flat(glimm.compare(gamma, rows))


def test_a_contrast_without_an_effect_is_refused(three):
    with pytest.raises(glimm.GlimmError, match="contrast and values are of an effect"):
        glimm.compare(*three, contrast="ratio")


def test_own_families_of_one_name_are_not_of_one_density():
    rng = np.random.default_rng(9)
    data = {"y": rng.exponential(size=60), "x": rng.normal(size=60)}
    one = glimm.CustomFamily("mine", lambda y, mu: -y / mu - np.log(mu), link="log")
    two = glimm.CustomFamily("mine", lambda y, mu: -y / mu - np.log(mu) + 7.0, link="log")
    a, b, c = (glimm.glm("y ~ x", data, family=family) for family in (one, two, one))
    assert glimm.compare(a, b, c).criteria["compare_with"].tolist() == ["3", "", "1"]


def test_two_way_errors_are_not_said_to_be_missing():
    rng = np.random.default_rng(10)
    a, b = np.repeat(np.arange(12), 10), np.tile(np.arange(10), 12)
    data = pd.DataFrame({"x": rng.normal(size=120), "a": a, "b": b})
    data["y"] = data["x"] + rng.normal(size=12)[a] + rng.normal(size=10)[b] + rng.normal(size=120)
    mixed = glimm.glmm("y ~ x + (1 | a) + (1 | b)", data)
    both = glimm.glm("y ~ x", data, vcov={"cluster": ["a", "b"]})
    assert "has no cluster-robust standard errors" not in flat(glimm.compare(both, mixed))
    assert "has no cluster-robust standard errors" in flat(glimm.compare(glimm.glm("y ~ x", data), mixed))


def test_ratios_over_a_wide_range_have_few_ticks():
    rng = np.random.default_rng(11)
    f = rng.choice(["a", "b", "c"], 400)
    y = (rng.random(400) < np.select([f == "a", f == "b"], [0.02, 0.5], 0.9)).astype(int)
    fits = [glimm.glm("y ~ f", {"y": y, "f": f}, family="binomial", vcov=vcov) for vcov in ("model", "HC1")]
    axes = glimm.compare(*fits, effect="f", contrast="ratio").plot().axes[0]
    low, high = axes.get_xlim()
    assert 2 <= sum(low <= tick <= high for tick in axes.get_xticks()) <= 8
