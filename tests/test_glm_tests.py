"""Analysis of deviance, score tests, profile limits and residuals of GLMs against R (anova, car, MASS, statmod) and statsmodels."""

from __future__ import annotations

import re
import warnings
from functools import cache

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, special, stats

import glimm
from glimm.errors import GlimmError, GlimmWarning, NotYetError
from glimm.inference.profile import Held, Start, limit
from support import data, stored

R = stored("glm_tests")
FRAME = pd.DataFrame(R["data"])
FITS = [name for name in R if name not in ("data", "nb", "lrt", "versions")]
ESTIMATED = [name for name in FITS if "F" in R[name]["two"]]
RELATIVE = 1e-6


@cache
def fitted(name: str):
    """A stored model, fitted."""
    entry = R[name]
    offset = None if entry["offset"] is None else np.log(FRAME["e"])
    return glimm.glm(entry["formula"], FRAME, family=entry["family"], link=entry["link"], weights=entry["weights"], offset=offset)


def close(mine, theirs, rel=RELATIVE, floor=1e-9):
    np.testing.assert_allclose(np.asarray(mine, dtype=float), np.asarray(theirs, dtype=float), rtol=rel, atol=floor)


@pytest.mark.parametrize("name", FITS)
def test_sequential_deviances_are_those_of_anova(name):
    entry, fit = R[name]["one"], fitted(name)
    table = fit.anova(1)
    assert table["term"].tolist() == entry["term"]
    assert table["df"].tolist()[1:] == entry["df"][1:]
    assert table["resid_df"].tolist() == entry["resid_df"]
    close(table["deviance"][1:], entry["deviance"][1:])
    close(table["resid_deviance"], entry["resid_deviance"])
    if name in ESTIMATED:
        close(table["statistic"][1:], entry["F"][1:])
        close(table["p_value"][1:], entry["F_p"][1:])
    close(fit.anova("I", "chi2")["p_value"][1:], entry["chi2_p"][1:], floor=1e-15)
    rao = fit.anova(1, "score")
    close(rao["statistic"] * np.where(np.isfinite(rao["df_denominator"]), rao["df"], 1), entry["rao"][1:])


@pytest.mark.parametrize("name", FITS)
@pytest.mark.parametrize("type", ["two", "three"])
def test_tests_of_type_two_and_three_are_those_of_car(name, type):
    entry, fit, number = R[name][type], fitted(name), {"two": 2, "three": 3}[type]
    table = fit.anova(number)
    assert table["term"].tolist() == entry["term"]
    assert table["df"].tolist() == entry["df"]
    close(table["deviance"] / fit.scale, entry["lr"])
    chi2 = fit.anova(number, "chi2")
    close(chi2["statistic"], entry["lr"])
    close(chi2["p_value"], entry["lr_p"], floor=1e-15)
    if name in ESTIMATED:
        close(table["statistic"], entry["F"])
        close(table["p_value"], entry["F_p"])
        pd.testing.assert_frame_equal(table, fit.anova(number, "F"))
    else:
        pd.testing.assert_frame_equal(table, chi2)
    wald = fit.anova(number, "wald")
    close(wald["statistic"] * np.where(np.isfinite(wald["df_denominator"]), wald["df"], 1), entry["wald"])


@pytest.mark.parametrize("name", [name for name in FITS if "f" in R[name]["formula"]])
def test_the_coding_of_factors_makes_no_difference_to_type_three(name):
    entry = R[name]
    coded = re.sub(r"\bf\b", "C(f, contr.helmert)", re.sub(r"\bg\b", "C(g, contr.sum)", entry["formula"]))
    offset = None if entry["offset"] is None else np.log(FRAME["e"])
    other = glimm.glm(coded, FRAME, family=entry["family"], link=entry["link"], weights=entry["weights"], offset=offset)
    for test in ("lr", "score"):
        close(other.anova(3, test)["statistic"], fitted(name).anova(3, test)["statistic"], rel=1e-7)


@pytest.mark.parametrize("name", FITS)
def test_profile_limits_are_where_the_deviance_of_r_has_risen(name):
    """R's cut is the normal quantile; ours is t where the dispersion is estimated, so the level is the one that gives R's cut."""
    entry, fit = R[name], fitted(name)
    level = 0.95 if name not in ESTIMATED else float(2.0 * stats.t.cdf(stats.norm.ppf(0.975), fit.df_resid) - 1.0)
    mine = fit.conf_int(level=level, method="profile").to_numpy()
    se = fit.bse.to_numpy()[:, None]
    assert np.abs((mine - np.array(entry["limits"])) / se).max() < 1e-6
    assert np.abs((mine - np.array(entry["mass"])) / se).max() < 2e-3  # MASS interpolates


def test_profile_limits_of_a_linear_model_are_those_of_t():
    fit = fitted("gaussian")
    np.testing.assert_allclose(fit.conf_int(method="profile"), fit.conf_int(), rtol=1e-8)


def test_negative_binomial_has_its_parameter_estimated_in_every_model():
    entry = R["nb"]
    fit = glimm.glm(entry["formula"], FRAME, family="negative_binomial")
    table = fit.anova(1)
    close(table["resid_deviance"], -2.0 * np.array(entry["llf"]), rel=1e-9)
    close(table["deviance"][1:], 2.0 * np.diff(entry["llf"]), rel=RELATIVE, floor=1e-7)
    assert table["df_denominator"].isna().all()
    low, high = glimm.glm(entry["profile_formula"], FRAME, family="negative_binomial").conf_int(method="profile").loc["x"]
    close([low, high], entry["x"])


def test_negative_binomial_with_its_parameter_given_is_that_of_anova_negbin():
    entry = R["nb"]
    table = glimm.glm(entry["formula"], FRAME, family="negative_binomial(2)").anova(1)
    close(table["deviance"][1:], entry["fixed_deviance"][1:])
    close(table["p_value"][1:], entry["fixed_p"][1:])


@pytest.mark.parametrize(("family", "response"), [("beta", "u"), ("negative_binomial1", "k"), ("tweedie", "t")])
def test_a_profile_is_the_likelihood_of_a_model_with_the_coefficient_in_the_offset(family, response):
    frame = FRAME.assign(u=special.expit(FRAME["y"] - 2.0), t=np.where(FRAME["z"] < 0.9, 0.0, FRAME["z"]))
    fit = glimm.glm(f"{response} ~ x + f", frame, family=family)
    cut = stats.chi2.ppf(0.95, 1)

    def rise(value):
        return 2.0 * (fit.llf - glimm.glm(f"{response} ~ f", frame, family=family, offset=value * frame["x"]).llf) - cut

    estimate, reach = fit.params["x"], 4.0 * fit.bse["x"]
    expected = [optimize.brentq(rise, estimate, estimate + side * reach, xtol=1e-10) for side in (-1, 1)]
    np.testing.assert_allclose(fit.conf_int(method="profile").loc["x"], expected, rtol=1e-5, atol=1e-7)
    small = glimm.glm(f"{response} ~ x", frame, family=family)
    assert fit.anova(2).set_index("term").loc["f", "statistic"] == pytest.approx(2.0 * (fit.llf - small.llf), rel=1e-6)


def test_the_profile_of_the_constant_holds_it_however_far_the_predictors_are():
    frame = FRAME.assign(far=FRAME["x"] + 50.0)
    near, far = (glimm.glm(f"b ~ {name}", frame, family="binomial") for name in ("x", "far"))
    np.testing.assert_allclose(near.conf_int(method="profile").loc["x"], far.conf_int(method="profile").loc["far"], rtol=1e-7)
    cut = stats.chi2.ppf(0.95, 1)
    for end in far.conf_int(method="profile").loc["Intercept"]:
        held = glimm.glm("b ~ 0 + far", frame, family="binomial", offset=np.full(len(frame), end))
        assert 2.0 * (far.llf - held.llf) == pytest.approx(cut, rel=1e-6)


@pytest.mark.parametrize(
    ("family", "link", "response"), [("gaussian", "log", "z"), ("gamma", "log", "z"), ("inverse_gaussian", "log", "z")]
)
@pytest.mark.parametrize("unit", [1e-12, 1e9])
def test_the_unit_of_the_response_changes_nothing(family, link, response, unit):
    plain, other = (
        glimm.glm(f"{response} ~ x + f", FRAME.assign(**{response: FRAME[response] * u}), family=family, link=link) for u in (1.0, unit)
    )
    close(other.conf_int(method="profile").loc["x"], plain.conf_int(method="profile").loc["x"], rel=1e-8)
    for test in ("lr", "score"):
        close(other.anova(3, test)["statistic"], plain.anova(3, test)["statistic"], rel=1e-8)


def test_a_search_of_limits_takes_any_function():
    """r(b) = sinh(b - 2): its limits at r = 3 are 2 -+ arsinh(3)."""
    seen = []

    def hold(value, state):
        seen.append(state)
        return Held(np.sinh(value - 2.0) ** 2, 2.0 * np.sinh(value - 2.0) * np.cosh(value - 2.0), value)

    start = Start(estimate=2.0, step=0.1, unit=1.0, state="first")
    assert limit(hold, start, 1, 3.0) == pytest.approx(2.0 + np.arcsinh(3.0), rel=1e-12)
    assert seen[0] == "first"
    assert seen[1] == 2.1
    assert limit(hold, start, -1, 3.0) == pytest.approx(2.0 - np.arcsinh(3.0), rel=1e-12)
    level = Start(estimate=2.0, step=1.0, unit=1.0, state=None)
    assert (
        limit(lambda v, _: Held(4.0 * np.tanh(v - 2.0) ** 2, 8.0 * np.tanh(v - 2.0) / np.cosh(v - 2.0) ** 2, None), level, 1, 3.0) == np.inf
    )
    assert np.isnan(limit(lambda v, _: Held(v**2 if v < 1.0 else np.inf, 2.0 * v, None), Start(0.0, 0.5, 1.0, None), 1, 2.0))


def test_separation_has_one_infinite_limit_and_a_finite_one():
    frame = {"y": [0, 0, 0, 1, 0, 1, 1, 1, 1, 1], "x": [0, 0, 0, 0, 0, 0, 1, 1, 1, 1], "z": [1.0, 2, 3, 4, 5, 6, 7, 2, 3, 4]}
    with pytest.warns(GlimmWarning):
        fit = glimm.glm("y ~ x", frame, family="binomial")
    with pytest.warns(GlimmWarning, match="of x has no end on one side") as seen:
        limits = fit.conf_int(method="profile")
    assert len(seen) == 1
    assert limits.loc["x", "conf_high"] == np.inf
    sup = 2.0 * np.log(1.0 / 3.0) + 4.0 * np.log(2.0 / 3.0)  # log-likelihood as x goes to infinity: 2 of 6 in the other group

    def rise(b):
        def minus(a):
            low, high = special.expit(a), special.expit(a + b)
            return -(2.0 * np.log(low) + 4.0 * np.log1p(-low) + 4.0 * np.log(high))

        return 2.0 * (sup + optimize.minimize_scalar(minus, bounds=(-30, 30), method="bounded", options={"xatol": 1e-12}).fun)

    expected = optimize.brentq(lambda b: rise(b) - stats.chi2.ppf(0.95, 1), -2.0, 30.0)
    assert limits.loc["x", "conf_low"] == pytest.approx(expected, rel=1e-4)
    assert np.isfinite(limits.loc["Intercept"]).all()


def test_a_score_test_needs_no_finite_estimate():
    """Pearson's chi-squared of a table is the score test of its logistic regression."""
    frame = {"y": [0] * 12 + [1] * 3 + [1] * 6, "x": [0] * 15 + [1] * 6}
    with pytest.warns(GlimmWarning):
        fit = glimm.glm("y ~ x", frame, family="binomial")
    expected = stats.chi2_contingency([[12, 3], [0, 6]], correction=False)
    test = fit.score_test("x = 0")
    assert (test.statistic, test.p_value) == (pytest.approx(expected.statistic, rel=1e-8), pytest.approx(expected.pvalue, rel=1e-7))


@pytest.mark.parametrize("name", ["binomial", "poisson", "gamma_weights", "gaussian"])
def test_score_tests_of_hypotheses_and_of_smaller_fits_are_the_same(name):
    entry, fit = R[name], fitted(name)
    reduced = entry["formula"].replace("f * g", "f + g").replace("f + x", "x").replace("f * x", "f + x")
    small = glimm.glm(reduced, FRAME, family=entry["family"], link=entry["link"], weights=entry["weights"])
    extra = [term for term in fit.params.index if term not in small.params.index]
    by_name, by_fit = fit.score_test(extra), fit.compare_score_test(small)
    assert by_name.df == by_fit.df == len(extra)
    assert by_name.statistic == pytest.approx(by_fit.statistic, rel=1e-8)
    assert fit.compare_wald_test(small).statistic == pytest.approx(fit.wald_test(extra).statistic, rel=1e-8)
    last = fit.score_test_terms(1).iloc[-1]
    if name != "gamma_weights":
        wanted = last["statistic"] if reduced.count("g") != entry["formula"].count("g") or "f * x" not in entry["formula"] else None
        if entry["formula"].endswith(("f * g", "x + v")) and wanted is not None and len(extra) == last["df"]:
            assert by_fit.statistic == pytest.approx(wanted, rel=1e-8)


def test_the_score_test_of_a_value_is_that_of_a_fit_with_it_in_the_offset():
    fit = glimm.glm("k ~ x + v", FRAME, family="poisson")
    small = glimm.glm("k ~ v", FRAME, family="poisson", offset=0.3 * FRAME["x"])
    mu, design = small.fittedvalues.to_numpy(), np.column_stack([np.ones(len(FRAME)), FRAME["x"], FRAME["v"]])
    score, information = design.T @ (FRAME["k"] - mu), design.T @ (design * mu[:, None])
    expected = float(score @ np.linalg.solve(information, score))
    assert fit.score_test("x = 0.3").statistic == pytest.approx(expected, rel=1e-8)
    assert fit.score_test("x", 0.3).statistic == pytest.approx(expected, rel=1e-8)


def test_robust_score_tests_of_clusters_are_those_of_an_independence_gee():
    ohio = glimm.load_dataset("ohio")
    glm = glimm.glm("resp ~ age * smoke", ohio, family="binomial", vcov={"cluster": "id"})
    gee = glimm.gee("resp ~ age * smoke", ohio, groups="id", family="binomial", corr="independence")
    np.testing.assert_allclose(glm.score_test_terms()["statistic"], gee.score_test_terms()["statistic"].tail(3), rtol=1e-6)
    singles = glimm.glm("resp ~ age * smoke", ohio.assign(row=range(len(ohio))), family="binomial", vcov={"cluster": "row"})
    rows = glimm.glm("resp ~ age * smoke", ohio, family="binomial", vcov="HC0")
    np.testing.assert_allclose(rows.score_test_terms()["statistic"], singles.score_test_terms()["statistic"], rtol=1e-10)


def test_columns_left_out_for_rank_are_tested_by_what_they_span():
    frame = FRAME.assign(sum=FRAME["x"] + FRAME["v"])
    fit = glimm.glm("k ~ x + v + sum", frame, family="poisson")
    table = fit.anova(2).set_index("term")
    assert table["df"].tolist() == [0, 0, 0]
    assert table.loc["x", "note"].startswith("nothing to test")
    sequential = fit.anova(1).set_index("term")
    whole = glimm.glm("k ~ x + v", FRAME, family="poisson").anova(1).set_index("term")
    np.testing.assert_allclose(sequential.loc[["x", "v"], "statistic"], whole.loc[["x", "v"], "statistic"], rtol=1e-9)
    assert sequential.loc["sum", "df"] == 0


@pytest.mark.parametrize("scale", ["deviance", "ml", 0.7])
def test_the_dispersion_is_that_of_the_fit(scale):
    """Type II deviances are R's whatever the dispersion; a given one makes chi-squared tests."""
    entry = R["gamma"]
    fit = glimm.glm(entry["formula"], FRAME, family="gamma", link="log", scale=scale)
    table, changes = fit.anova(2), np.array(entry["two"]["lr"]) * entry["scale"]
    df = np.array(entry["two"]["df"])
    close(table["deviance"], changes)
    if scale == 0.7:
        close(table["statistic"], changes / 0.7)
        close(table["p_value"], stats.chi2.sf(changes / 0.7, df))
    else:
        close(table["statistic"], changes / fit.scale / df)
        close(table["p_value"], stats.f.sf(changes / fit.scale / df, df, fit.df_resid))


def test_frequency_weights_are_rows_repeated():
    counts = FRAME.assign(times=1 + np.arange(len(FRAME)) % 3)
    rows = counts.loc[counts.index.repeat(counts["times"])]
    for family, formula in (("poisson", "k ~ x + f"), ("gaussian", "y ~ x + f"), ("negative_binomial", "k ~ x")):
        short = glimm.glm(formula, counts, family=family, weights=glimm.frequency("times"))
        long = glimm.glm(formula, rows, family=family)
        for test in ("lr", "wald", "score"):
            mine, theirs = short.anova(2, test), long.anova(2, test)
            close(mine["statistic"], theirs["statistic"], rel=1e-7)
            close(mine["p_value"], theirs["p_value"], rel=1e-6)
        assert short.anova(1)["resid_df"].tolist() == long.anova(1)["resid_df"].tolist()
        close(short.conf_int(method="profile"), long.conf_int(method="profile"), rel=1e-6)
        if family != "negative_binomial":
            at = np.concatenate([[0], np.cumsum(counts["times"])[:-1]])
            for kind in ("standardized_pearson", "standardized_deviance", "likelihood"):
                close(short.resid(kind), long.resid(kind).to_numpy()[at], rel=1e-7)
            close(short.leverage, long.leverage.to_numpy()[at], rel=1e-7)
    robust = [
        glimm.glm("k ~ x + f", d, family="poisson", vcov="HC0", weights=w) for d, w in ((counts, glimm.frequency("times")), (rows, None))
    ]
    close(robust[0].score_test_terms()["statistic"], robust[1].score_test_terms()["statistic"], rel=1e-7)


def test_sampling_weights_have_wald_tests_only():
    fit = glimm.glm("k ~ x + f", FRAME, family="poisson", weights=glimm.sampling("w"))
    close(fit.anova()["statistic"], fit.wald_test_terms()["statistic"][1:])
    for asked in (
        lambda: fit.anova(3, "lr"),
        lambda: fit.score_test("x = 0"),
        lambda: fit.conf_int(method="profile"),
        lambda: fit.resid("quantile"),
        lambda: fit.resid("standardized_pearson"),
        lambda: glimm.lrt(fit, fit),
    ):
        with pytest.raises(GlimmError, match="sampling weights"):
            asked()
    with pytest.raises(GlimmError, match=r"mean and a variance.*F tests"):
        glimm.lrt(fitted("quasipoisson"), fitted("quasipoisson"))


@pytest.mark.parametrize("kind", ["glmm", "gee"])
def test_wald_tests_of_mixed_models_and_gee(kind):
    contraception = data("mlmRev_Contraception")
    frame = contraception.assign(y=(contraception["use"] == "Y") * 1)
    door = {
        "glmm": lambda f: glimm.glmm(f"{f} + (1 | district)", frame, family="binomial", points=1),
        "gee": lambda f: glimm.gee(f, frame, groups="district", family="binomial"),
    }[kind]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GlimmWarning)
        fit = door("y ~ age * urban + livch")
    three = fit.anova().set_index("term")
    known = fit.wald_test_terms().set_index("term")
    np.testing.assert_allclose(three["statistic"], known.loc[three.index, "statistic"], rtol=1e-12)
    two = fit.anova(2).set_index("term")
    names = [name for name in fit.params.index if name in ("age", "urban[T.Y]")]
    product = next(name for name in fit.params.index if ":" in name)
    for term, name in zip(("age", "urban"), names, strict=True):
        both, beyond = fit.wald_test([name, product]).statistic, fit.wald_test(product).statistic
        assert two.loc[term, "statistic"] == pytest.approx(both - beyond, rel=1e-8)
    with pytest.raises(NotYetError, match="lrt" if kind == "glmm" else "likelihood"):
        fit.anova(3, "lr")


def test_what_anova_refuses():
    poisson, robust = fitted("poisson"), glimm.glm("k ~ x + f", FRAME, family="poisson", vcov="HC1")
    with pytest.raises(GlimmError, match="type must be 1"):
        poisson.anova(4)
    with pytest.raises(GlimmError, match="test must be one of"):
        poisson.anova(3, "deviance")
    with pytest.raises(GlimmError, match="F test is for families whose dispersion"):
        poisson.anova(3, "F")
    with pytest.raises(GlimmError, match="Wald tests of type 1"):
        poisson.anova(1, "wald")
    with pytest.raises(GlimmError, match="does not use vcov='HC1'"):
        robust.anova(1)
    with pytest.raises(NotYetError, match="vcov='HC1'"):
        robust.score_test("x = 0")
    with pytest.raises(GlimmError, match="knows nothing of vcov='HC1'"):
        robust.conf_int(method="profile")
    with pytest.raises(GlimmError, match="'wald' or 'profile'"):
        robust.conf_int(method="likelihood")
    with pytest.raises(GlimmError, match=r"takes a fit of glimm\.glm"):
        poisson.compare_score_test(3)
    np.testing.assert_allclose(robust.anova()["statistic"], robust.wald_test_terms()["statistic"][1:], rtol=1e-12)


def test_a_frame_is_of_the_callers_kind():
    polars = pytest.importorskip("polars")
    fit = glimm.glm("k ~ x + f", polars.DataFrame(R["data"]), family="poisson")
    assert isinstance(fit.anova(1), polars.DataFrame)


def test_an_offset_alone_is_the_null_model_of_a_formula_without_a_constant():
    fit = glimm.glm("k ~ 0 + x", FRAME, family="poisson", exposure="e")
    mu = FRAME["e"].to_numpy()
    y = FRAME["k"].to_numpy()
    expected = 2.0 * float(np.sum(special.xlogy(y, y / mu) - (y - mu)))
    assert fit.anova(1)["resid_deviance"].iloc[0] == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("name", FITS)
def test_leverages_and_standardised_residuals_are_those_of_r(name):
    entry, fit = R[name], fitted(name)
    close(fit.leverage, entry["hat"])
    close(fit.influence()["leverage"], entry["hat"])
    close(fit.resid("standardized_deviance"), entry["rstandard"])
    close(fit.resid("standardized_pearson"), entry["rstandard_pearson"])
    close(fit.resid("working"), entry["working"])
    if name not in ESTIMATED:
        close(fit.resid("likelihood"), entry["rstudent"])  # R divides by a deletion estimate of the dispersion where there is one
    canonical = {"binomial": "logit", "poisson": "log", "gaussian": "identity", "gamma": "inverse"}
    if canonical.get(entry["family"]) == entry["link"]:
        close(fit.influence()["cooks_distance"], entry["cooks"])
    if entry["quantile"] is not None:
        close(fit.resid("quantile"), entry["quantile"], rel=1e-5, floor=1e-6)


@pytest.mark.parametrize("name", [name for name in stored("anscombe") if name != "note"])
def test_anscombe_residuals_are_those_of_statsmodels(name):
    entry = stored("anscombe")[name]
    fit = glimm.glm(f"{entry['response']} ~ x", FRAME, family=name, link={"gaussian": "identity", "binomial": "logit"}.get(name, "log"))
    close(fit.resid("anscombe"), entry["values"])


@pytest.mark.parametrize(("family", "response"), [("beta", "u"), ("negative_binomial1", "k"), ("negative_binomial", "k")])
def test_anscombe_residuals_are_integrals_of_the_variance(family, response):
    from scipy.integrate import quad

    frame = FRAME.assign(u=special.expit(FRAME["y"] - 2.0))
    fit = glimm.glm(f"{response} ~ x", frame, family=family)
    own = float(fit.parts["family"].params.iloc[0])
    v = {
        "beta": lambda m: m * (1.0 - m) / (1.0 + own),
        "negative_binomial1": lambda m: m * (1.0 + own),
        "negative_binomial": lambda m: m + m**2 / own,
    }[family]
    for row in (0, 7, 31):
        y, mu = float(frame[response].iloc[row]), float(fit.fittedvalues.iloc[row])
        expected = quad(lambda t: v(t) ** (-1.0 / 3.0), mu, y, limit=200)[0] / v(mu) ** (1.0 / 6.0)
        assert fit.resid("anscombe").iloc[row] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(("name", "cdf"), [("poisson", lambda y, mu: stats.poisson.cdf(y, mu)), ("trials", None)])
def test_quantile_residuals_of_counts_lie_in_the_steps_of_their_distribution(name, cdf):
    fit = fitted(name)
    z, mu = fit.resid("quantile", seed=3).to_numpy(), fit.fittedvalues.to_numpy()
    if cdf is None:
        y, size = FRAME["s"].to_numpy(), FRAME["m"].to_numpy()
        low, high = stats.binom.cdf(y - 1, size, mu), stats.binom.cdf(y, size, mu)
    else:
        low, high = cdf(FRAME["k"] - 1, mu), cdf(FRAME["k"], mu)
    u = stats.norm.cdf(z)
    assert ((u >= low - 1e-9) & (u <= high + 1e-9)).all()
    np.testing.assert_array_equal(z, fit.resid("quantile", seed=3))
    assert not np.array_equal(z, fit.resid("quantile", seed=4))
    inside = (u - low) / (high - low)
    assert stats.kstest(inside, "uniform").pvalue > 1e-3


def test_quantile_residuals_of_a_tweedie_response_are_normal():
    rng = np.random.default_rng(5)
    n = 2000
    x = rng.normal(size=n)
    mu = np.exp(0.5 + 0.4 * x)
    count = rng.poisson(mu**0.5 / (1.5 * 0.5))
    y = rng.gamma(np.maximum(count, 1e-300), 1.5 * 0.5 * mu**0.5) * (count > 0)
    fit = glimm.glm("y ~ x", {"y": y, "x": x}, family="tweedie(1.5)")
    assert stats.kstest(fit.resid("quantile", seed=1), "norm").pvalue > 1e-3


@pytest.mark.parametrize(("successes", "eta"), [(0.0, 40.0), (0.0, 30.0), (2.0, -800.0), (1.0, 40.0)])
def test_deviance_residuals_are_finite_where_fitted_probabilities_are_rounded(successes, eta):
    """A row's log-likelihood by log(1 + exp(eta)), two trials; before, a residual of minus infinity."""
    frame = {"s": [successes, 0.0, 1.0, 1.0, 0.0, 1.0], "n": [2.0, 1.0, 1.0, 1.0, 1.0, 1.0], "o": [eta, 0.1, -0.2, 0.3, -0.1, 0.2]}
    fit = glimm.glm("s / n ~ 1", frame, family="binomial", offset="o")
    at = eta + fit.params["Intercept"]
    most = -2.0 * np.log(2.0) if successes == 1.0 else 0.0
    expected = 2.0 * (most + successes * np.logaddexp(0.0, -at) + (2.0 - successes) * np.logaddexp(0.0, at))
    assert fit.resid().iloc[0] == pytest.approx(np.sqrt(expected) * (1.0 if eta < 0.0 else -1.0), rel=1e-12)
    assert fit.deviance == pytest.approx(float((fit.resid() ** 2).sum()), rel=1e-12)


def test_a_count_whose_mean_is_rounded_to_zero_has_a_finite_deviance():
    frame = {"y": [3.0, 2.0, 0.0, 1.0, 4.0], "o": [-800.0, 0.1, -0.2, 0.3, 0.2]}
    fit = glimm.glm("y ~ 1", frame, family="poisson", offset="o")
    at = -800.0 + fit.params["Intercept"]
    assert fit.resid().iloc[0] == pytest.approx(np.sqrt(2.0 * (3.0 * np.log(3.0) - 3.0 - 3.0 * at)), rel=1e-12)


def test_what_residuals_refuse():
    fit = fitted("poisson")
    with pytest.raises(GlimmError, match="kind must be one of response, pearson"):
        fit.resid("student")
    ohio = glimm.load_dataset("ohio")
    gee = glimm.gee("resp ~ age", ohio, groups="id", family="binomial")
    with pytest.raises(NotYetError, match="quantile_residuals"):
        gee.resid("quantile")
    np.testing.assert_allclose(
        gee.resid("anscombe"), glimm.glm("resp ~ age", ohio, family="binomial").resid("anscombe"), rtol=0.05, atol=0.05
    )
