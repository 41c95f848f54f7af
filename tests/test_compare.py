"""glimm.compare: each clause of its specification, on the text and in the table; its numbers are those of the fits."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pytest

import glimm
from glimm.marginal.attenuation import LOGIT_C, attenuate


@pytest.fixture(scope="module")
def visits():
    rng = np.random.default_rng(7)
    data = pd.DataFrame(
        {
            "y": rng.normal(size=80) + np.repeat(rng.normal(size=20), 4),
            "x": rng.normal(size=80),
            "z": rng.normal(size=80),
            "g": np.repeat([f"s{k:02d}" for k in range(20)], 4).astype(object),
        }
    )
    data.loc[[0, 9, 10], "y"] = np.nan
    data.loc[[10, 40, 41, 42, 43], "x"] = np.nan
    return data


def flat(comparison) -> str:
    text = str(comparison)
    assert max(map(len, text.splitlines())) <= 120
    assert all(line == line.rstrip() for line in text.splitlines())
    return " ".join(text.split())


def cells(comparison, label: str) -> str:
    """The lines of the row that starts with a label, joined."""
    lines = str(comparison).splitlines()
    at = next(k for k, line in enumerate(lines) if line.startswith(label))
    rest = [line for k, line in enumerate(lines[at:]) if k == 0 or line.startswith(" " * 12)]
    stop = next((k for k, line in enumerate(lines[at + 1 :], 1) if not line.startswith(" " * 12)), len(lines))
    return " ".join(" ".join(rest[:stop]).split())


def test_same_terms_side_by_side_with_intervals(three):
    text = str(glimm.compare(*three))
    lines = text.splitlines()
    at = next(k for k, line in enumerate(lines) if line.startswith("smoke "))
    shown = [three[0].params["smoke"]] * 2 + [fit.params["smoke"] for fit in three[1:]]
    assert lines[at].split()[1:] == [f"{v:.3f}" for v in shown]
    for fit in three:
        low, high = fit.conf_int().loc["smoke"]
        assert f"({low:.3f}, {high:.3f})" in lines[at + 1]


def test_glm_stands_with_model_based_and_cluster_robust_errors(three, ohio):
    table = glimm.compare(*three).table
    robust = glimm.glm("resp ~ age * smoke", ohio, family="binomial", vcov={"cluster": "id"})
    of_glm = table[table["fit"] == 1]
    assert list(of_glm["se_kind"].unique()) == ["model-based", "cluster-robust by id"]
    np.testing.assert_allclose(of_glm.loc[of_glm["se_kind"] == "model-based", "std_error"], three[0].bse, rtol=1e-12)
    np.testing.assert_allclose(of_glm.loc[of_glm["se_kind"] != "model-based", "std_error"], robust.bse, rtol=1e-12)
    line = next(line for line in str(glimm.compare(*three)).splitlines() if line.startswith("standard errors"))
    assert " ".join(line.split()) == "standard errors model-based cluster-robust by id model-based, from the robust (sandwich) by"


def test_words_about_meaning_and_rows(three):
    comparison = glimm.compare(*three)
    text = flat(comparison)
    assert "event modelled: resp = 1" in text
    meaning = cells(comparison, "a coefficient is")
    assert meaning.count("marginal: compares") == 3
    assert meaning.count("conditional: compares") == 1
    rows = cells(comparison, "rows of one id")
    assert "independent for the" in rows
    assert "share a normal random" in rows
    assert "the same working" in rows


def test_random_sd_and_working_correlation(three):
    comparison = glimm.compare(*three)
    assert cells(comparison, "sd of id Intercept").endswith(f"{three[1].varcorr()['std_dev'][0]:.3f}")
    assert cells(comparison, "working correlation alpha").endswith(f"{three[2].corr_params['alpha']:.4f}")


def test_many_correlations_stand_as_their_range(ohio):
    more = {"groups": "id", "time": "age", "family": "binomial"}
    wide, odds, one = (glimm.gee("resp ~ age * smoke", ohio, corr=c, **more) for c in ("unstructured", "odds_ratio(pairs)", "exchangeable"))
    text = str(glimm.compare(wide, odds, one))
    assert "working correlations 6, 0.3053 to 0.4720" in " ".join(text.split())  # R's glmtoolbox 0.1.9
    assert "log odds ratios" in text
    assert "working correlation alpha" in text
    assert "alpha[" not in text


def test_missing_assumptions(three):
    text = flat(glimm.compare(*three))
    row = cells(glimm.compare(*three), "missing values")
    assert row.count("completely at random") >= 3
    assert "assumed missing at" in row
    assert "A cluster with some visits (rows) missing stays in all three" in text
    assert "A row with a missing predictor is lost to all three." in text
    assert "nothing missing" in text
    assert "GEE estimates stay consistent if the working correlation is wrong" in text


def test_attenuation_line(three):
    text = flat(glimm.compare(*three))
    sd = float(np.sqrt(three[1].varcorr()["variance"][0]))
    factor = np.sqrt(1.0 + (16.0 * np.sqrt(3.0) / (15.0 * np.pi)) ** 2 * sd**2)
    assert f"= {factor:.3f} are approximately the marginal ones" in text
    numbers = ", ".join(f"{name} {value / factor:.3f}" for name, value in three[1].params.items())
    assert f"GLMM coefficients on the marginal scale (approximate): {numbers}" in text
    assert pytest.approx(0.588, abs=1e-3) == LOGIT_C
    np.testing.assert_allclose(three[1].params / factor, three[2].params, atol=0.05)


def test_probit_is_exact(ohio):
    mixed = glimm.glmm("resp ~ age + (1 | id)", ohio, family="binomial", link="probit")
    marginal = glimm.gee("resp ~ age", ohio, groups="id", family="binomial", link="probit")
    text = flat(glimm.compare(mixed, marginal))
    found = attenuate(mixed.record)
    assert found.factor == pytest.approx(np.sqrt(1.0 + mixed.theta[0] ** 2))
    assert "exactly the marginal ones" in text
    assert "odds" not in text
    probability = mixed.predict(pd.DataFrame({"age": [1.0], "id": [0]}), target="marginal")[0]
    from scipy.stats import norm

    assert norm.cdf(found.params @ [1.0, 1.0]) == pytest.approx(probability, rel=1e-10)


def test_log_link_differs_in_the_intercept_only():
    rng = np.random.default_rng(3)
    g = np.repeat(np.arange(40), 5)
    x = rng.normal(size=200)
    data = pd.DataFrame({"n": rng.poisson(np.exp(0.5 + 0.3 * x + 0.6 * rng.normal(size=40)[g])), "x": x, "g": g})
    mixed = glimm.glmm("n ~ x + (1 | g)", data, family="poisson")
    text = flat(glimm.compare(mixed, glimm.gee("n ~ x", data, groups="g", family="poisson")))
    assert f"sd^2 / 2 = {0.5 * mixed.theta[0] ** 2:.4f}" in text
    assert "on the marginal scale" not in text
    assert "sqrt(1 +" not in text


def test_identity_link_means_the_same(visits):
    comparison = glimm.compare(glimm.glm("y ~ x", visits), glimm.glmm("y ~ x + (1 | g)", visits), glimm.gee("y ~ x", visits, groups="g"))
    text = flat(comparison)
    assert "With an identity link the coefficients of (2) LMM and (1) and (3) mean the same" in text
    assert "on the marginal scale" not in text
    assert "residual sd" in text
    assert "REML" in cells(comparison, "estimated by")


def test_losses_by_variable_and_cluster(visits):
    comparison = glimm.compare(glimm.glm("y ~ x", visits), glimm.glmm("y ~ x + (1 | g)", visits), glimm.gee("y ~ x", visits, groups="g"))
    assert cells(comparison, "rows used").count("73 of 80") == 4
    lost = cells(comparison, "rows lost")
    assert lost.count("7 rows left out") == 4
    assert "y missing in 3 and x missing in 5" in flat(
        glimm.compare(glimm.glmm("y ~ x + (1 | g)", visits), glimm.gee("y ~ x", visits, groups="g"))
    )
    assert cells(comparison, "clusters lost").count("of 20 clusters 2") == 2
    assert "g: 19 clusters" in flat(comparison)


def test_clusters_go_by_the_rows_of_the_data(visits):
    """The other fit left out more rows than the GLM needs, or fewer: either way each row keeps its own cluster."""
    small = glimm.glm("y ~ x", visits)
    large = glimm.gee("y ~ 1", visits, groups="g")
    table = glimm.compare(small, large).table
    robust = glimm.glm("y ~ x", visits, vcov={"cluster": "g"})
    np.testing.assert_allclose(table.loc[table["se_kind"] == "cluster-robust by g", "std_error"], robust.bse, rtol=1e-10)
    text = flat(glimm.compare(large, small))
    assert "The fits did not use the same rows" in text
    assert "lost to every fit that has this predictor" in text


def test_rows_without_a_cluster_are_said(visits):
    everything = glimm.glm("y ~ z", visits)
    fewer = glimm.gee("y ~ x", visits, groups="g")
    comparison = glimm.compare(everything, fewer)
    assert "(1) GLM has no cluster-robust standard errors by g here: 4 of its rows have no g in fit (2), which left them out." in flat(
        comparison
    )
    assert list(comparison.table.loc[comparison.table["fit"] == 1, "se_kind"].unique()) == ["model-based"]
    third = glimm.glmm("y ~ 1 + (1 | g)", visits)
    assert "no cluster-robust" not in flat(glimm.compare(everything, fewer, third))


def test_a_glm_with_other_errors_keeps_them(visits):
    gee = glimm.gee("y ~ x", visits, groups="g")
    kinds = glimm.compare(glimm.glm("y ~ x", visits, vcov="HC1"), gee).table["se_kind"].unique()
    assert list(kinds) == ["model-based", "heteroscedasticity-robust (HC1)", "cluster-robust by g", "robust by g"]
    kinds = glimm.compare(glimm.glm("y ~ x", visits, vcov={"cluster": "g"}), gee).table["se_kind"].unique()
    assert list(kinds) == ["model-based", "cluster-robust by g", "robust by g"]


def test_the_same_clusters_under_two_names_stand_once(three, ohio):
    other = glimm.gee("resp ~ age", ohio, groups=(2 * ohio["id"]).to_numpy(), family="binomial")
    table = glimm.compare(*three, other).table
    assert list(table.loc[table["fit"] == 1, "se_kind"].unique()) == ["model-based", "cluster-robust by id"]


def test_trouble_in_a_fit_is_said(three, ohio):
    with pytest.warns(glimm.GlimmWarning):
        stopped = glimm.glmm(
            "resp ~ age + (1 | id)", ohio, family="binomial", points=5, control=glimm.Control(max_iter=1, start={"Intercept": 4.0})
        )
    text = flat(glimm.compare(stopped, three[2]))
    assert "- (1) GLMM: no convergence in" in text
    assert "(no interval)" in text
    assert " none none none none " in " ".join(stopped.summary().split())


def test_terms_that_only_some_fits_have(visits):
    comparison = glimm.compare(glimm.glm("y ~ x + z", visits), glimm.glm("y ~ x", visits))
    line = next(line for line in str(comparison).splitlines() if line.startswith("z "))
    assert len(line.split()) == 2
    assert "The fits do not have the same terms" in flat(comparison)
    assert "cluster" not in str(comparison)
    assert set(comparison.table.loc[comparison.table["term"] == "z", "fit"]) == {1}


def test_six_fits_stand_in_blocks(three, ohio):
    more = [glimm.gee("resp ~ age * smoke", ohio, groups="id", corr=c, family="binomial", vcov="model") for c in ("ar1", "independence")]
    comparison = glimm.compare(*three, *more, glimm.glm("resp ~ age", ohio, family="binomial"))
    text = flat(comparison)
    assert str(comparison).count("(95 % interval)") == 2
    assert "(4) GEE, ar1" in text
    assert "(5) GEE, independence" in text
    assert "The model-based standard errors of (4) and (5) do not." in text
    assert comparison.table["fit"].nunique() == 6
    assert list(comparison.table.columns) == ["fit", "model", "target", "term", "estimate", "std_error", "conf_low", "conf_high", "se_kind"]


def test_different_links_are_a_note(three, ohio):
    text = flat(glimm.compare(three[0], glimm.glm("resp ~ age", ohio, family="binomial", link="cloglog")))
    assert "Families or links differ, so the coefficients are on different scales: (1) binomial logit, (2) binomial cloglog." in text
    assert "(2) GLM, cloglog" in text


def test_reml_beside_ml(visits):
    text = flat(glimm.compare(glimm.glmm("y ~ x + (1 | g)", visits), glimm.glmm("y ~ x + (1 | g)", visits, reml=False)))
    assert "REML and ML fits are shown together" in text


def test_the_caller_gets_its_own_kind_of_frame(ohio):
    data = pl.from_pandas(ohio)
    a, b = glimm.glm("resp ~ age", data, family="binomial"), glimm.gee("resp ~ age", data, groups="id", family="binomial")
    assert isinstance(glimm.compare(a, b).table, pl.DataFrame)


def test_repr_is_the_text(three):
    comparison = glimm.compare(*three)
    assert repr(comparison) == str(comparison)


def test_long_names_stay_inside_the_page():
    rng = np.random.default_rng(4)
    name = "systolic_blood_pressure_at_the_second_visit_of_the_year"
    data = pd.DataFrame(
        {"y": 1e6 * rng.normal(size=40), name: rng.normal(size=40), "a_long_name_for_a_school": np.repeat(np.arange(10), 4)}
    )
    fits = [
        glimm.glm(f"y ~ {name}", data),
        glimm.gee(f"y ~ {name}", data, groups="a_long_name_for_a_school"),
        glimm.gee(f"y ~ {name}", data, groups="a_long_name_for_a_school", corr="ar1"),
    ]
    flat(glimm.compare(*fits))


def test_fits_that_cannot_be_compared(three, ohio):
    with pytest.raises(glimm.GlimmError, match="different responses, 'resp' in fit 1 and 'smoke' in fit 2"):
        glimm.compare(three[0], glimm.glm("smoke ~ age", ohio, family="binomial"))
    with pytest.raises(glimm.GlimmError, match="2148 rows in fit 1 and 1000 in fit 2: fit all models to the same data"):
        glimm.compare(three[0], glimm.glm("resp ~ age", ohio.head(1000), family="binomial"))
    with pytest.raises(glimm.GlimmError, match=r"has the response 0 in fit 1 and 1 in fit 2.*same order of rows"):
        glimm.compare(three[0], glimm.glm("resp ~ age", ohio.iloc[::-1], family="binomial"))
    with pytest.raises(glimm.GlimmError, match="two or more"):
        glimm.compare(three[0])
