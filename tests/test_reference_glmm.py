"""GLMMs with a random intercept against brute-force integration (aghq.py), glmmTMB and glmer.

aghq.json and the _tmb entries of more.json are optima to 1e-12, so they are held to more than DESIGN.md's contract.
"""

from __future__ import annotations

import pytest

import glimm
from support import (
    OTHER_MODEL,
    assert_glmm,
    assert_in_units,
    assert_not_worse,
    assert_relative,
    data,
    fitted,
    ids,
    stored,
    vector,
)

TIGHT = {"llf": 1e-7, "coef": 1e-5, "se": 1e-4}
CONTRACT = {"llf": 1e-5, "coef": 1e-3, "se": 1e-3}


@pytest.mark.parametrize("name", ids("aghq", "glmm", lambda name, entry: entry["curvature"] == "observed"))
def test_brute_force_integration(name):
    entry = stored("aghq")[name]
    fit = fitted("aghq", name)
    assert abs(fit.llf - entry["loglik"]) < 1e-7
    assert fit.points == entry["points"]
    assert_glmm(fit, entry, **TIGHT)


@pytest.mark.parametrize("name", ids("more", "glmm", lambda name, entry: name.endswith("_tmb") and entry["link"] != "identity"))
def test_laplace_of_glmmtmb(name):
    entry = stored("more")[name]
    fit = fitted("more", name)
    assert abs(fit.llf - entry["loglik"]) < 1e-7
    assert_glmm(fit, entry, **TIGHT)


@pytest.mark.parametrize("name", ids("more", "glmm", lambda name, entry: entry["points"] > 1 and "theta_by_glmer" not in entry))
def test_quadrature_of_glmer(name):
    assert_glmm(fitted("more", name), stored("more")[name], **CONTRACT)


@pytest.mark.parametrize("name", [name for name in OTHER_MODEL if name.endswith("_1")])
def test_laplace_of_glmer_within_the_contract(name):
    fit, entry = fitted("more", name), stored("more")[name]
    assert_not_worse(fit.llf, entry["loglik"], 1e-5, "log-likelihood")
    assert_in_units(fit.params, vector(entry["coef"]), vector(entry["se"]), 1e-3, "coefficients")
    assert_in_units(fit.theta, vector(entry["sd"]), entry["sd_se"], 1e-3, "standard deviation of the effects")


@pytest.mark.parametrize("name", ids("reference", "glmm"))
def test_open_cases(name):
    fit, entry = fitted("reference", name), stored("reference")[name]
    assert_not_worse(fit.llf, entry["loglik"], 1e-5, "log-likelihood")
    assert_in_units(fit.params, vector(entry["coef"]), vector(entry["se"]), 1e-3, "coefficients")
    deviation = entry["extra"]["theta"] if "theta" in entry.get("extra", {}) else [group["sd"] for group in entry["vc"].values()]
    assert_relative(fit.theta, deviation, 1e-3, "standard deviation of the effects")
    assert_relative(fit.bse, entry["se"], 1e-3, "standard errors")


def test_better_than_glmer_where_it_stopped_early():
    glmer, tmb = (stored("reference")[f"glmm_ticks_poisson{end}"] for end in ("", "_tmb"))
    fit = fitted("reference", "glmm_ticks_poisson")
    assert fit.llf > glmer["loglik"] + 1e-3
    assert abs(fit.llf - tmb["loglik"]) < 1e-5


@pytest.mark.parametrize("points", [1, 5])
def test_a_variance_of_zero_is_the_glm_and_is_said(points):
    entry = stored("more")[f"glmm_boundary_{points}"]
    with pytest.warns(glimm.GlimmWarning, match="zero"):
        fit = glimm.glmm(entry["formula"], data(entry["data"]), family="binomial", points=points)
    assert fit.record.solution.code == "boundary"
    assert fit.theta[0] == 0.0
    assert_relative(fit.llf, entry["loglik"], 1e-9, "log-likelihood")
    assert_relative(fit.params, entry["coef"], 1e-6, "coefficients")
    assert_relative(fit.bse, entry["se"], 1e-4, "standard errors")


def test_auto_reaches_the_integral():
    """glmer with 50 points on the data where Laplace is worst, and 30 on ohio."""
    for name, family_points in (("glmm_toenail_50", 50), ("glmm_ohio_aghq30", 30)):
        entry = stored("reference")[name]
        fit = glimm.glmm(entry["formula"], data(entry["data"]), family="binomial", points="auto")
        assert 1 < fit.points <= 101, family_points
        assert abs(fit.llf - entry["loglik"]) < 0.01
        assert_in_units(fit.params, vector(entry["coef"]), vector(entry["se"]), 0.02, "coefficients")


def test_laplace_far_from_the_integral_is_said():
    entry = stored("reference")["glmm_toenail_1"]
    with pytest.warns(glimm.GlimmWarning, match="Laplace is not accurate here"):
        glimm.glmm(entry["formula"], data(entry["data"]), family="binomial", points=1)
