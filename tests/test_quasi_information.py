"""QIC and its relatives against a dense brute force, geepack::QIC, and quasi-likelihoods by numerical integration."""

from __future__ import annotations

import math
import warnings
from functools import cache

import numpy as np
import pandas as pd
import pytest
from scipy.integrate import quad

import glimm
from glimm.errors import GlimmError, GlimmWarning
from glimm.estimators.gee import gee_psi
from glimm.family import resolve
from glimm.inference.quasi_information import VARIANTS, integrated, quasi
from glimm.kernels import variance
from support import data, stored

BRUTE_FORCE = 1e-8
PROBLEMS = {
    "ohio": ("geepack_ohio", "resp ~ age * smoke", "id", "age", "binomial"),
    "toenail_month": ("HSAUR3_toenail", "y ~ C(treatment) * month", "patientID", "visit", "binomial"),
    "toenail_time": ("HSAUR3_toenail", "y ~ C(treatment) * time", "patientID", "visit", "binomial"),
    "epil": ("MASS_epil", "y ~ lbase * I(trt == 'progabide') + V4", "subject", "period", "poisson"),
}
CRITERIA = stored("gee_tests")["criteria"]


@cache
def problem(name: str, corr: str = "exchangeable", moments: str = "standard", formula: str | None = None, vcov: str = "robust"):
    stem, full, groups, time, family = PROBLEMS[name]
    return glimm.gee(formula or full, data(stem), groups=groups, time=time, corr=corr, moments=moments, family=family, vcov=vcov)


@pytest.mark.parametrize("name", CRITERIA)
def test_dense_values(name):
    problem_name, moments, corr = name.split()
    fit = problem(problem_name, corr, moments)
    assert set(CRITERIA[name]) == set(VARIANTS)
    for variant, values in CRITERIA[name].items():
        found = fit.qic(variant)
        assert found.variant == variant
        assert found.note == ""
        for what, value in values.items():
            assert getattr(found, what) == pytest.approx(value, rel=BRUTE_FORCE, abs=BRUTE_FORCE), what


@pytest.mark.parametrize("name", [n for n, e in stored("hypotheses").items() if n.startswith("qic")])
def test_geepack(name):
    entry = stored("hypotheses")[name]
    fit = glimm.gee(
        entry["formula"],
        data(entry["data"]),
        groups=entry["groups"],
        corr=entry["corr"],
        family=entry["family"],
        link=entry.get("link"),
        moments="geepack",
    )
    found, values = fit.qic("geepack"), entry["values"]
    assert found.cic == pytest.approx(values["CIC"], rel=1e-6)
    assert found.qicc - found.qic == pytest.approx(values["QICC"] - values["QIC"], abs=1e-8)
    shift = GEEPACK_SHIFT.get(entry["family"], lambda y, mu: 0.0)(fit.record.design.y, fit.fittedvalues.to_numpy())
    assert found.qic + shift == pytest.approx(values["QIC"], rel=1e-7)
    assert found.qicu + shift == pytest.approx(values["QICu"], rel=1e-7)


# geepack 1.3.9 takes sum(-y / (mu - log mu)) for gamma, a misplaced bracket: its trace is right
GEEPACK_SHIFT = {"gamma": lambda y, mu: -2.0 * float(np.sum(-y / (mu - np.log(mu)) + y / mu + np.log(mu)))}


def test_it_is_a_number_and_a_tuple():
    found = problem("ohio").qic()
    assert float(found) == found[0] == found.qic
    assert found._fields[:10] == ("qic", "qicu", "cic", "rjc", "dbar", "gp", "agpc", "sgpc", "qicc", "variant")
    assert found.variant == "sas"


INTEGRATED = (
    *("gaussian", "binomial", "poisson", "gamma", "inverse_gaussian"),
    *("negative_binomial(2)", "negative_binomial1", "beta", "tweedie(1.4)"),
)


@pytest.mark.parametrize("name", INTEGRATED)
def test_quasi_likelihood_is_the_integral(name):
    """Q(mu1) - Q(mu2) = integral of (y - t) / v(t), by SciPy's quadrature; and so is our own rule for families of a user."""
    family, _ = resolve(name)
    y = {"binomial": [0.0, 1.0, 0.3, 1.0], "beta": [0.1, 0.9, 0.3, 0.5]}.get(name, [0.5, 3.0, 1.2, 20.0])
    if name in ("poisson", "negative_binomial(2)", "negative_binomial1", "tweedie(1.4)"):
        y[0] = 0.0
    one = np.array([0.2, 0.4, 0.6, 0.5]) * (1.0 if name in ("binomial", "beta") else 10.0)
    two, y = 1.3 * one, np.array(y)

    def slope(t, response):
        return (response - t) / variance(family.kernel, np.array([t]), gee_psi(family))[0]

    want = [quad(slope, b, a, (response,), epsabs=1e-13)[0] for response, a, b in zip(y, one, two, strict=True)]
    np.testing.assert_allclose(quasi(family, y, one) - quasi(family, y, two), want, rtol=1e-9)
    np.testing.assert_allclose(integrated(family, y, one) - integrated(family, y, two), want, rtol=1e-8)


def test_own_family_is_the_built_in_one():
    """A user's Poisson: Q is from y on, so it differs by what depends on y alone, y log y - y."""
    from scipy.special import gammaln, xlogy

    own = glimm.CustomFamily(
        "mine", lambda y, mu: xlogy(y, mu) - mu - gammaln(y + 1.0), link="log", support="count", variance=lambda mu: mu
    )
    frame = data("seizure_long")
    fits = [glimm.gee("y ~ trt * post", frame, groups="id", family=f, exposure="weeks") for f in ("poisson", own)]
    known, mine = (fit.qic() for fit in fits)
    y = frame["y"].to_numpy(dtype=float)
    assert mine.qic - 2.0 * float(np.sum(xlogy(y, y) - y)) == pytest.approx(known.qic, rel=1e-7)
    assert (mine.cic, mine.gp) == pytest.approx((known.cic, known.gp), rel=1e-6)


def test_weights_and_trials_are_repeated_rows():
    """Independence, trials of a binomial response against one row for each of them in the same cluster."""
    frame = data("lme4_cbpp")
    wide = glimm.gee("incidence / size ~ C(period)", frame, groups="herd", family="binomial", corr="independence")
    long = pd.DataFrame(
        [(h, p, int(i < k)) for h, p, k, n in frame[["herd", "period", "incidence", "size"]].to_numpy() for i in range(n)],
        columns=["herd", "period", "y"],
    )
    narrow = glimm.gee("y ~ C(period)", long, groups="herd", family="binomial", corr="independence")
    assert wide.qic()[:3] == pytest.approx(narrow.qic()[:3], rel=1e-9)


def test_common_dispersion():
    """phi0 given is what the independence fit gives by itself."""
    frame = data("lme4_sleepstudy")
    fits = {c: glimm.gee("Reaction ~ Days", frame, groups="Subject", corr=c) for c in ("independence", "exchangeable")}
    scale = fits["independence"].scale
    fit = fits["exchangeable"]
    a, b, sas = fit.qic("common"), fit.qic("common", phi0=scale), fit.qic()
    assert a[:3] == pytest.approx(b[:3], rel=1e-9)
    assert a.qic == pytest.approx(sas.qic / scale, rel=1e-9)
    assert a.cic == pytest.approx(sas.cic / scale, rel=1e-9)


def test_scale_of_the_response_does_not_matter_to_common():
    frame = data("lme4_sleepstudy")
    other = frame.assign(Reaction=frame["Reaction"] / 1000.0)
    a, b = (glimm.gee("Reaction ~ Days", d, groups="Subject").qic("common") for d in (frame, other))
    assert (a.qic, a.qicu, a.cic) == pytest.approx((b.qic, b.qicu, b.cic), rel=1e-9)


def test_criteria_do_not_depend_on_vcov():
    assert problem("ohio").qic() == problem("ohio", vcov="model").qic()


@pytest.mark.parametrize(
    ("variant", "phi0", "words"),
    [
        ("sass", None, "did you mean 'sas'"),
        (3, None, "no variant"),
        ("sas", 2.0, "leave it out"),
        ("common", -1.0, "positive"),
        ("common", "1", "positive"),
    ],
)
def test_wrong_arguments(variant, phi0, words):
    with pytest.raises(GlimmError, match=words):
        problem("ohio").qic(variant, phi0=phi0)


def test_few_clusters_have_no_qicc():
    frame = pd.DataFrame(
        {"y": [0.0, 1, 3, 2, 5, 4, 7, 9], "x": [0, 1, 0, 1, 0, 1, 0, 1], "z": [0, 0, 1, 1, 1, 0, 0, 1], "g": [1, 1, 2, 2, 3, 3, 4, 4]}
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = glimm.gee("y ~ x + z", frame, groups="g", corr="independence")
    with pytest.warns(GlimmWarning, match="qicc: needs more than 4 clusters, here are 4"):
        found = fit.qic("common")
    assert math.isnan(found.qicc)
    assert math.isfinite(found.qic)


def test_separated_has_none():
    frame = pd.DataFrame({"y": [0, 0, 0, 1, 1, 1] * 4, "x": [1, 2, 3, 4, 5, 6] * 4, "g": np.repeat(np.arange(8), 3)})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = glimm.gee("y ~ x", frame, groups="g", family="binomial", corr="independence")
    with pytest.warns(GlimmWarning, match="separated"):
        found = fit.qic()
    assert all(math.isnan(value) for value in found[:9])


def test_faces():
    fits = [problem("ohio", corr) for corr in ("independence", "exchangeable", "ar1")]
    assert fits[1].glance()["qic"][0] == fits[1].qic().qic
    assert repr(fits[0].qic()).startswith("<qic = 1830.347, qicu = 1827.480, cic = 5.433, ")
    comparison = glimm.compare(*fits)
    table = comparison.criteria
    assert table["qic"].tolist() == [fit.qic().qic for fit in fits]
    assert table["cic"].tolist() == [fit.qic().cic for fit in fits]
    text = str(comparison)
    assert "1830.67" in text
    assert "(1) has the smallest CIC" in text.replace("\n", " ")
    assert "one dispersion" not in text
    fewer = glimm.gee("resp ~ age", data("geepack_ohio"), groups="id", family="binomial")
    assert "(2) has the smallest QIC" in str(glimm.compare(fits[1], fewer)).replace("\n", " ")  # CIC is for the same predictors
    alone = glimm.compare(fits[1], glimm.glm("resp ~ age * smoke", data("geepack_ohio"), family="binomial"))
    assert "QIC" not in str(alone)
    assert "qic" not in alone.criteria


def test_compared_gaussian_fits_share_a_dispersion():
    frame = data("lme4_sleepstudy")
    small, large = (glimm.gee(f, frame, groups="Subject") for f in ("Reaction ~ 1", "Reaction ~ Days"))
    scale = glimm.gee("Reaction ~ Days", frame, groups="Subject", corr="independence").scale
    comparison = glimm.compare(small, large)
    assert comparison.criteria["qic"].tolist() == pytest.approx([f.qic("common", phi0=scale).qic for f in (small, large)], rel=1e-12)
    assert "Both are for one dispersion" in " ".join(str(comparison).split())


def test_printed_by_sas():
    """SAS/STAT User's Guide, PROC GEE, respiratory data, unstructured: QIC 512.34; further digits by the dense script's formulas."""
    frame = data("geepack_respiratory").assign(cluster=lambda d: d["center"] * 1000 + d["id"])
    formula = "outcome ~ I(treat == 'A') + I(center == 2) + I(sex == 'F') + age + baseline"
    fit = glimm.gee(formula, frame, groups="cluster", time="visit", corr="unstructured", family="binomial")
    assert round(fit.qic().qic, 2) == 512.34
    assert fit.qic().qic == pytest.approx(512.3415610, rel=1e-8)


@pytest.mark.parametrize("corr", ["exchangeable", "ar1", "ar(2)", "stationary(2)", "nonstationary(2)", "unstructured"])
def test_pseudo_likelihood_of_every_structure(corr):
    """Against the densities of multivariate normals with the fit's own working correlation."""
    from scipy.stats import multivariate_normal

    fit = problem("ohio", corr)
    r = fit.working_corr().to_numpy()
    design = fit.record.design
    mu = fit.fittedvalues.to_numpy()
    total = 0.0
    for rows in np.split(design.clusters["id"].order, design.clusters["id"].starts[1:-1]):
        root = np.sqrt(fit.scale * mu[rows] * (1.0 - mu[rows]))
        total += multivariate_normal.logpdf(design.y[rows], mu[rows], root[:, None] * r * root)
    k = len(fit.params) + len(fit.corr_params)
    assert fit.qic().agpc == pytest.approx(-2.0 * total + 2.0 * (k + 1), rel=1e-9)
    assert fit.qic().gp == pytest.approx(total + 0.5 * design.n * math.log(2.0 * math.pi), rel=1e-9)


def test_printed_by_sas_for_odds_ratios():
    """The same data by alternating logistic regressions, a log odds ratio per pair of visits: QIC 511.86."""
    frame = data("geepack_respiratory").assign(cluster=lambda d: d["center"] * 1000 + d["id"])
    formula = "outcome ~ I(treat == 'A') + I(center == 2) + I(sex == 'F') + age + baseline"
    fit = glimm.gee(formula, frame, groups="cluster", time="visit", corr="odds_ratio(pairs)", family="binomial")
    assert fit.qic().qic == pytest.approx(511.8589424, rel=1e-8)
    assert fit.qic("common", phi0=1.0).qic == fit.qic().qic
