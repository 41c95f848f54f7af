"""Quasi families, dispersions, kinds of weights, covariances of a GLM against glm, survey and sandwich (reference/weights_scale.R)."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import glimm

STORED = json.loads((Path(__file__).parent / "reference" / "weights_scale.json").read_text())
DATA = pd.DataFrame(STORED["data"])


def one_of(entry, **more):
    """The same model by glimm."""
    if entry.get("link"):
        more["link"] = entry["link"]
    return glimm.glm(entry["formula"], DATA, family=entry["family"], **more)


def label(entry):
    return "-".join(str(entry[key]) for key in ("family", "formula", "rule", "weights") if entry.get(key)).replace(" ", "")


def close(ours, theirs, rtol=1e-8):
    np.testing.assert_allclose(ours, theirs, rtol=rtol)


PLAIN = [e for e in STORED["fits"] if not e.get("weights")]
FREQUENCY = [e for e in STORED["fits"] if e.get("weights") == "frequency"]
SAMPLING = [e for e in STORED["fits"] if e.get("weights") == "sampling"]


@pytest.mark.parametrize("entry", PLAIN, ids=label)
def test_quasi_families_and_dispersions(entry):
    rule = entry.get("rule")
    fit = one_of(entry, **({"scale": 2.5 if rule == "fixed" else rule} if rule else {}))
    assert (np.abs(fit.params - entry["coef"]) < 5e-8 * np.array(entry["se"])).all()
    close(fit.bse, entry["se"], 1e-7)
    close(fit.scale, entry["scale"], 1e-7)
    close(fit.deviance, entry["deviance"])
    assert fit.df_resid == entry["df_resid"]
    if "llf" in entry:
        close(fit.llf, entry["llf"])


@pytest.mark.parametrize("entry", FREQUENCY, ids=label)
def test_frequency_weights_are_repeated_rows(entry):
    weights = glimm.frequency("w")
    fit = one_of(entry, weights=weights)
    close(fit.params, entry["coef"])
    close(fit.bse, entry["se"], 1e-7)
    close([fit.scale, fit.deviance], [entry["scale"], entry["deviance"]])
    assert (fit.nobs, fit.df_resid) == (entry["nobs"], entry["df_resid"])
    if entry.get("llf"):
        close([fit.llf, fit.bic], [entry["llf"], entry["bic"]])
    for kind, errors in entry["hc"].items():
        close(one_of(entry, weights=weights, vcov=kind).bse, errors, 1e-7)


FAMILIES = {
    "gaussian": "z",
    "gamma": "z",
    "inverse_gaussian": "z",
    "tweedie": "z",
    "tweedie(1.4)": "z",
    "poisson": "k",
    "negative_binomial": "k",
    "negative_binomial1": "k",
    "beta": "u",
    "quasipoisson": "k",
    "quasi(1.3)": "z",
}


@pytest.mark.parametrize("family", FAMILIES)
def test_frequency_weights_in_every_family(family):
    """All that is reported, parameters of the family too, is that of the repeated rows."""
    long = DATA.loc[DATA.index.repeat(DATA["w"])].reset_index(drop=True)
    link = None if family == "beta" else "log"
    short = glimm.glm(f"{FAMILIES[family]} ~ x + f", DATA, family=family, link=link, weights=glimm.frequency("w"))
    whole = glimm.glm(f"{FAMILIES[family]} ~ x + f", long, family=family, link=link)
    close(short.params, whole.params, 1e-7)
    close(short.bse, whole.bse, 1e-7)
    close([short.scale, short.deviance], [whole.scale, whole.deviance], 1e-7)
    if hasattr(whole, "llf"):
        close([short.llf, short.aic, short.bic], [whole.llf, whole.aic, whole.bic], 1e-9)
    if "family" in whole.parts:
        close(short.parts["family"].params, whole.parts["family"].params, 1e-6)
        close(short.parts["family"].bse, whole.parts["family"].bse, 1e-5)


@pytest.mark.parametrize("small", [True, "CR1", "CR1p", "mancl_derouen", "fay_graubard", "jackknife"])
def test_frequency_weights_in_clusters(small):
    long = DATA.loc[DATA.index.repeat(DATA["w"])].reset_index(drop=True)
    vcov = {"cluster": "g", "small": small}
    short = glimm.glm("k ~ x", DATA, family="poisson", weights=glimm.frequency("w"), vcov=vcov)
    close(short.bse, glimm.glm("k ~ x", long, family="poisson", vcov=vcov).bse, 1e-9)


@pytest.mark.parametrize("entry", SAMPLING, ids=label)
def test_sampling_weights(entry):
    """svyglm, whose errors for drawn clusters have the factor K / (K - 1)."""
    fit = one_of(entry, weights=glimm.sampling("v"))
    close(fit.params, entry["coef"])
    close(fit.bse, entry["se"], 1e-7)
    close(one_of(entry, weights=glimm.sampling("v"), vcov={"cluster": "g", "small": "CR1"}).bse, entry["clustered"], 1e-7)
    assert not hasattr(fit, "llf")
    other = glimm.glm(entry["formula"], DATA, family=entry["family"], link=entry["link"], weights=glimm.sampling(1000.0 * DATA["v"]))
    close(other.bse, fit.bse, 1e-9)
    close([other.scale, other.deviance], [fit.scale, fit.deviance], 1e-9)


@pytest.mark.parametrize("entry", STORED["robust"], ids=label)
def test_robust_errors(entry):
    asked = {kind: kind for kind in ("HC0", "HC1", "HC2", "HC3", "jackknife", "full_jackknife")}
    asked |= {"CR0": {"cluster": "g"}, "two": {"cluster": ["g", "h"]}}
    asked |= {small: {"cluster": "g", "small": small} for small in ("CR1", "CR1p", "CR1S")}
    theirs = {**entry["hc"], **entry}
    for name, vcov in asked.items():
        if "NaN" not in map(str, theirs[name]):  # a negative variance by two clusterings
            close(one_of(entry, vcov=vcov).bse, theirs[name], 1e-7)
    close(one_of(entry, vcov={"cluster": "g", "small": True}).bse, entry["CR1S"], 1e-7)


@pytest.mark.parametrize("small", ["mancl_derouen", "kauermann_carroll", "fay_graubard", "morel", "jackknife", "full_jackknife"])
def test_corrections_are_those_of_an_independence_gee(small):
    ours = glimm.glm("k ~ x", DATA, family="poisson", scale="pearson", vcov={"cluster": "g", "small": small})
    gee = glimm.gee("k ~ x", DATA, family="poisson", groups="g", corr="independence", vcov=small)
    close(ours.bse, gee.bse, 1e-9)
    close(ours.pvalues, gee.pvalues, 1e-9)


def test_reference_distributions():
    from scipy.stats import norm, t

    for df, law in (("normal", norm), ("n_minus_p", t(58)), ("k_minus_1", t(11)), ("k_minus_p", t(10)), (7, t(7))):
        fit = glimm.glm("k ~ x", DATA, family="poisson", vcov={"cluster": "g", "df": df})
        close(fit.pvalues, 2.0 * law.sf(np.abs(fit.tvalues)), 1e-9)
    fit = glimm.glm("z ~ x", DATA, vcov={"type": "HC3", "df": "normal"})
    close(fit.pvalues, 2.0 * norm.sf(np.abs(fit.tvalues)), 1e-9)
    close(
        glimm.glm("k ~ x", DATA, family="poisson", scale="pearson").pvalues, glimm.glm("k ~ x", DATA, family="quasipoisson").pvalues, 1e-9
    )


def test_the_summary_says_which_dispersion_and_weights():
    for scale, said in (("pearson", "Pearson chi-squared / residual"), ("deviance", "deviance / residual"), (2.0, "2.000 (given)")):
        assert said in glimm.glm("k ~ x", DATA, family="poisson", scale=scale).summary()
    assert "maximum likelihood)" in glimm.glm("z ~ x", DATA, scale="ml").summary()
    assert "60 rows stand for 150" in glimm.glm("k ~ x", DATA, family="poisson", weights=glimm.frequency("w")).summary()
    assert "standard errors are robust" in glimm.glm("z ~ x", DATA, weights=glimm.sampling("v")).summary()


def test_no_likelihood_is_an_error_that_names_what_to_use():
    for fit in (glimm.glm("k ~ x", DATA, family="quasipoisson"), glimm.glm("z ~ x", DATA, weights=glimm.sampling("v"))):
        for name in ("llf", "aic", "bic"):
            with pytest.raises(AttributeError, match="use wald_test"):
                getattr(fit, name)
        assert "llf" not in fit.glance().columns
        with pytest.raises(glimm.GlimmError, match="simulate"):
            fit.simulate(2, seed=1)
    with pytest.raises(glimm.GlimmError, match="repeat the rows"):
        glimm.glm("k ~ x", DATA, family="poisson", weights=glimm.frequency("w")).simulate(2, seed=1)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"family": "quasi"}, "needs the power of its variance"),
        ({"family": "quasi(-1)"}, "at least 0"),
        ({"family": "quasibinomial"}, "a binomial response is 0 or 1"),
        ({"scale": "chi2"}, "it must be 'pearson', 'deviance', 'ml' or a positive number"),
        ({"scale": -1.0}, "a positive number"),
        ({"family": "poisson", "scale": "ml"}, "has no dispersion in its likelihood: use scale='pearson'"),
        ({"family": "negative_binomial1", "scale": "pearson"}, "leave it out"),
        ({"weights": glimm.frequency("v")}, r"weights 'v': .* in row 0 .*counts equal rows"),
        ({"weights": glimm.sampling("x")}, "weights must be positive"),
        ({"weights": glimm.frequency("nobody")}, "nobody"),
        ({"vcov": {"cluster": "g", "small": "CR7"}}, "'small' must be True or False, or a name"),
        ({"vcov": {"cluster": ["g", "h"], "small": "mancl_derouen"}}, "clusters in one direction"),
        ({"vcov": {"type": "HC3", "df": "k_minus_1"}}, "counts clusters, and there are none"),
        ({"vcov": {"type": "HC3", "small": True}}, "a factor of errors by cluster"),
        ({"vcov": {"cluster": "g", "df": "many"}}, "'df' must be one of"),
        ({"vcov": {"cluster": "g", "type": "HC3"}}, "is not a covariance of a GLM"),
    ],
)
def test_what_cannot_be_asked(arguments, said):
    with pytest.raises(glimm.GlimmError, match=said):
        glimm.glm("k ~ x", DATA, **arguments)


def test_other_doors_take_precision_weights():
    with pytest.raises(glimm.NotYetError, match="repeat the rows"):
        glimm.gee("k ~ x", DATA, groups="g", weights=glimm.frequency("w"))
    with pytest.raises(glimm.NotYetError, match=r"glimm\.glm takes them"):
        glimm.glmm("k ~ x + (1 | g)", DATA, weights=glimm.sampling("v"))


def test_a_gee_of_a_quasi_family_is_that_of_its_variance():
    close(
        glimm.gee("k ~ x", DATA, family="quasipoisson", groups="g").bse,
        glimm.gee("k ~ x", DATA, family="poisson", groups="g").bse,
        1e-10,
    )
    close(
        glimm.gee("z ~ x", DATA, family="quasi(2)", groups="g").bse,
        glimm.gee("z ~ x", DATA, family="gamma", link="log", groups="g").bse,
        1e-8,
    )
    with pytest.raises(glimm.GlimmError, match="no likelihood"):
        glimm.glmm("k ~ x + (1 | g)", DATA, family="quasipoisson")


def test_quasi_fits_answer_the_usual_questions():
    fit = glimm.glm("z ~ x + f", DATA, family="quasi(1.5)")
    assert fit.check() is not None
    assert len(fit.tidy()) == 4
    assert fit.predict(DATA.head(3), interval="confidence").shape == (3, 4)
    assert np.isfinite(fit.effect("x").estimate).all()
    for kind in ("response", "pearson", "deviance", "working"):
        assert np.isfinite(fit.resid(kind)).all()
    assert "Comparison of 2 fits" in str(glimm.compare(fit, glimm.glm("z ~ x + f", DATA, family="gamma", link="log")))


@pytest.mark.parametrize("family", ["gamma", "inverse_gaussian", "tweedie(1.5)"])
@pytest.mark.parametrize("unit", [1e-30, 1e30])
def test_the_unit_of_the_response_makes_no_fit_exact(family, unit):
    fit = glimm.glm("z ~ x", DATA.assign(z=unit * DATA["z"]), family=family, link="log")
    plain = glimm.glm("z ~ x", DATA, family=family, link="log")
    assert np.isfinite(fit.llf)
    close(fit.bse, plain.bse, 1e-6)
    assert fit.converged
