"""Marginal means, effects and coefficients of GLMMs of any design against integration by definition, simulation and numerical derivatives.

A mean is E h(eta + sum z'b); its error is J V J', J by central differences of the mean rebuilt here from (beta, theta), V the covariance
of the estimates. The integrals, the covariances of effects and the columns of rows are those of support_bridges.py.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special

import glimm
from glimm.family import LINKS as RECORDS
from glimm.marginal.attenuation import attenuate
from glimm.marginal.average import average
from support import assert_in_units, assert_relative, data, vector_covariance
from support_bridges import (
    LINKS,
    MEANS,
    MODELS,
    by_hermite,
    by_simulation,
    fit_of,
    fixed,
    jacobian,
    over_effects,
    over_sum,
    people,
    simulated,
)

CONTRASTS = {
    "difference": lambda a0, a1: a1 - a0,
    "ratio": lambda a0, a1: np.log(a1 / a0),
    "odds_ratio": lambda a0, a1: special.logit(a1) - special.logit(a0),
}


def some_rows(count):
    return people(count, np.random.default_rng(5))


def estimates(name):
    """(beta, theta, covariance of both, steps for differences)."""
    fit = fit_of(name)
    cov = vector_covariance(fit)
    return fit.params.to_numpy(), np.asarray(fit.theta), cov, 0.02 * np.sqrt(np.diag(cov))


def delta(name, f):
    """(f(beta, theta), its standard errors)."""
    beta, theta, cov, steps = estimates(name)
    p = len(beta)
    j = jacobian(lambda v: np.atleast_1d(f(v[:p], v[p:])), np.concatenate([beta, theta]), steps)
    return np.atleast_1d(f(beta, theta)), np.sqrt(np.einsum("ij,jk,ik->i", j, cov, j))


@pytest.mark.parametrize("link", MEANS)
def test_the_integral_over_the_sum_by_another_rule(link):
    """Gauss and Hermite with 240 nodes; the cauchit, with poles at a distance of 1, has five digits of it."""
    eta, sd = (a.ravel() for a in np.meshgrid([-2.5, -0.4, 0.0, 1.7], [0.3, 1.0, 1.8]))
    m = average(RECORDS[link], eta, sd)[0]
    assert_relative(m, over_sum(MEANS[link], eta, sd, 2001), 1e-11, "trapezoid rule")
    assert_relative(m, by_hermite(MEANS[link], eta, sd), 1e-5 if link == "cauchit" else 1e-9, "Gauss and Hermite")


@pytest.mark.parametrize("name", [name for name in MODELS if name != "everything"])
def test_marginal_means_over_the_grid_of_the_effects(name):
    model, new = MODELS[name], some_rows(5)
    beta, theta, _, _ = estimates(name)
    want = over_effects(MEANS[model.link], model.linear(beta, new), *model.joined(theta, new))
    assert_relative(fit_of(name).predict(new, target="marginal"), want, 1e-9, "marginal means")


@pytest.mark.parametrize("name", ["everything", "cs", "ar1", "ou", "counts"])
def test_marginal_means_of_a_million_clusters(name):
    """Within 5 Monte-Carlo errors."""
    model, new = MODELS[name], some_rows(4)
    beta, theta, _, _ = estimates(name)
    want, error = by_simulation(MEANS[model.link], model.linear(beta, new), *model.joined(theta, new))
    assert (np.abs(fit_of(name).predict(new, target="marginal") - want) < 5.0 * error).all()


@pytest.mark.parametrize("name", MODELS)
def test_marginal_means_and_their_errors(name):
    model, new = MODELS[name], some_rows(20)
    table = fit_of(name).predict(new, target="marginal", interval="confidence")
    m, se = delta(name, lambda beta, theta: model.marginal(beta, theta, new))
    assert_relative(table["estimate"], m, 1e-9, "marginal means")
    assert_relative(table["std_error"], se, 1e-6, "standard errors")


@pytest.mark.parametrize(("name", "contrast"), [(m, c) for m in MODELS for c in CONTRASTS if (m, c) != ("counts", "odds_ratio")])
def test_effects_over_the_rows_used(name, contrast):
    model, frame = MODELS[name], simulated(name)
    ends = [frame.assign(w=w) for w in (0, 1)]
    want, se = delta(name, lambda beta, theta: CONTRASTS[contrast](*(model.marginal(beta, theta, end).mean() for end in ends)))
    table = fit_of(name).effect("w", contrast)
    estimate, error = float(table["estimate"].iloc[0]), float(table["std_error"].iloc[0])
    if contrast != "difference":
        estimate, error = np.log(estimate), error / estimate
    assert_in_units([estimate], want, se, 1e-8, "effect")
    assert_relative([error], se, 1e-6, "standard error")


@pytest.mark.parametrize("name", ["slopes and items", "nested", "cs", "ar1", "counts"])
def test_effects_over_other_people_and_the_grid_of_the_effects(name):
    model, new = MODELS[name], some_rows(4)
    beta, theta, _, _ = estimates(name)
    ends = [new.assign(w=w) for w in (0, 1)]
    want = [over_effects(MEANS[model.link], model.linear(beta, end), *model.joined(theta, end)).mean() for end in ends]
    table = fit_of(name).effect("w", population=new)
    assert_relative([table["mean_from"].iloc[0], table["mean_to"].iloc[0]], want, 1e-9, "averages")


@pytest.mark.parametrize("name", MODELS)
def test_means_and_slopes_over_the_rows_used(name):
    model, frame = MODELS[name], simulated(name)
    asked = [(w, x) for w in (0, 1) for x in (-1.0, 0.5)]
    want, se = delta(name, lambda beta, theta: np.array([model.marginal(beta, theta, frame.assign(w=w, x=x)).mean() for w, x in asked]))
    table = fit_of(name).means({"w": None, "x": [-1.0, 0.5]})
    assert [*zip(table["w"], table["x"], strict=True)] == asked
    assert_relative(table["estimate"], want, 1e-9, "means")
    assert_relative(table["std_error"], se, 1e-6, "their standard errors")

    def slope(beta, theta, h=1e-3):
        return sum(
            a * model.marginal(beta, theta, frame.assign(x=frame["x"] + k * h)).mean() for k, a in ((-2, 1), (-1, -8), (1, 8), (2, -1))
        ) / (12.0 * h)

    want, se = delta(name, slope)
    table = fit_of(name).slope("x")
    assert_relative(table["estimate"], want, 1e-6, "slope")
    assert_relative(table["std_error"], se, 1e-4, "its standard error")


@pytest.mark.parametrize("name", MODELS)
def test_marginal_coefficients(name):
    model, frame = MODELS[name], simulated(name)
    x, offset = fixed(frame), np.log(frame["exposure"].to_numpy()) if model.offset else 0.0

    def projected(beta, theta):
        return np.linalg.lstsq(x, LINKS[model.link](model.marginal(beta, theta, frame)) - offset, rcond=None)[0]

    want, se = delta(name, projected)
    table = fit_of(name).marginal_params()
    assert_in_units(table["estimate"], want, se, 1e-7, "marginal coefficients")
    assert_relative(table["std_error"], se, 1e-6, "their standard errors")


def test_closed_form_of_a_probit():
    """beta / sqrt(1 + v), v the variances of the nested intercepts together; means exactly Phi of it."""
    fit, new = fit_of("nested"), some_rows(30)
    assert fit.params.shape == (4,)

    def closed(beta, theta):
        return beta / np.sqrt(1.0 + theta @ theta)

    want, se = delta("nested", closed)
    table = fit.marginal_params()
    assert_in_units(table["estimate"], want, se, 1e-9, "marginal coefficients")
    assert_relative(table["std_error"], se, 1e-6, "their standard errors")
    assert_relative(table["zeger_liang_albert"], want, 1e-12, "closed form")
    assert attenuate(fit.record).exact
    assert_relative(fit.predict(new, target="marginal"), special.ndtr(fixed(new) @ want), 1e-12, "means")


def test_closed_form_of_counts():
    """exp(eta + v / 2), v of the row."""
    fit, model, new = fit_of("counts"), MODELS["counts"], some_rows(30)
    beta, theta, _, _ = estimates("counts")
    z, v = model.joined(theta, new)
    want = np.exp(model.linear(beta, new) + 0.5 * np.einsum("ij,jk,ik->i", z, v, z))
    assert_relative(fit.predict(new, target="marginal"), want, 1e-12, "means")


def test_toenail_at_planned_months():
    """Published: sd 4.016, attenuation 2.565; the coefficients of Hedeker, du Toit, Demirtas and Gibbons (2018) by exact integration."""
    frame = data("HSAUR3_toenail").assign(trt=lambda d: (d["treatment"] == "terbinafine").astype(int))
    fit = glimm.glmm("y ~ trt * month + (1 | patientID)", frame, family="binomial", points=101)
    assert fit.theta[0] == pytest.approx(4.016, abs=5e-4)
    c = 16.0 * np.sqrt(3.0) / (15.0 * np.pi)
    factor = attenuate(fit.record).factor
    assert factor == pytest.approx(2.565, abs=5e-4)
    assert factor == pytest.approx(np.sqrt(1.0 + (c * fit.theta[0]) ** 2), rel=1e-12)
    table = fit.marginal_params()
    want = [-0.5734206004, -0.01063641162, -0.1646612665, -0.08047497014]
    errors = np.array([0.1519413702, 0.2167757623, 0.0211544581, 0.03474895503])
    assert_in_units(table["estimate"], want, errors, 1e-3, "marginal coefficients")
    assert_relative(table["std_error"], errors, 1e-3, "their standard errors")
    assert_in_units(table["zeger_liang_albert"], [-0.6357782362, -0.04468233983, -0.1576311439, -0.0629076003], errors, 1e-3, "closed form")
