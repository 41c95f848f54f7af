"""Influence of rows and clusters: against R, against fits of the data without the unit, against dense algebra."""

from __future__ import annotations

import warnings
from functools import cache

import numpy as np
import pandas as pd
import pytest
from scipy import special

import glimm
from glimm.diagnostics.one_step_linear import Products, _solution
from glimm.diagnostics.units import find_units
from glimm.estimators.terms import working_effects
from support import HERE, data, stored
from test_take import frame

MODEL = ("row", "rows", "cooks_distance", "leverage")


@cache
def read(name: str) -> pd.DataFrame:
    out = pd.read_csv(HERE / "data" / f"{name}.csv")
    if name == "lme4_sleepstudy":
        out = out.assign(big=(out["Reaction"] > 300).astype(int), w=1 + out["Days"])
    if name == "lme4_cbpp":
        out = out.assign(period=out["period"].astype(str))
    return out.assign(y=out["y"] + 1) if name == "MASS_epil" else out


def quiet(fit, *args, **more) -> pd.DataFrame:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return fit.influence(*args, **more)


def numbers(table: pd.DataFrame) -> pd.DataFrame:
    """The columns that have influence in them."""
    return table[[c for c in table.columns if c == "cooks_distance" or c.startswith(("dfbetas_", "change_"))]]


# ---------------------------------------------------------------- R

GLMS = {
    "lm": lambda: glimm.glm("Reaction ~ Days", read("lme4_sleepstudy"), weights="w"),
    "logit": lambda: glimm.glm("big ~ Days", read("lme4_sleepstudy"), family="binomial"),
    "trials": lambda: glimm.glm("incidence / size ~ period", read("lme4_cbpp"), family="binomial"),
    "gamma": lambda: glimm.glm("y ~ trt + lbase", read("MASS_epil"), family="gamma", link="log"),
}


@pytest.mark.parametrize("name", GLMS)
def test_rows_of_a_glm_are_those_of_r(name):
    """R's weights are those of the last but one iterate."""
    entry, fit = stored("influence")[name], GLMS[name]()
    table = quiet(fit)
    np.testing.assert_allclose(table["cooks_distance"], entry["cooks"], rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose(table["leverage"], entry["hat"], rtol=1e-6)
    if "dfbeta" in entry:
        for method in ("one_step", "refit"):
            own = quiet(fit, method=method).filter(like="dfbetas_").to_numpy() * fit.bse.to_numpy()
            np.testing.assert_allclose(own, entry["dfbeta"], rtol=1e-8, atol=1e-10)


LME4 = {
    "sleep": (lambda: glimm.glmm("Reaction ~ Days + (Days | Subject)", read("lme4_sleepstudy")), None),
    "sleep_ml": (lambda: glimm.glmm("Reaction ~ Days + (1 | Subject)", read("lme4_sleepstudy"), reml=False), "Subject"),
    "cbpp": (lambda: glimm.glmm("incidence / size ~ period + (1 | herd)", read("lme4_cbpp"), family="binomial", points=9), "cluster"),
    "penicillin": (lambda: glimm.glmm("diameter ~ 1 + (1 | plate) + (1 | sample)", read("lme4_Penicillin")), "sample"),
    "penicillin_plate": (lambda: glimm.glmm("diameter ~ 1 + (1 | plate) + (1 | sample)", read("lme4_Penicillin")), "plate"),
}


@pytest.mark.parametrize("name", LME4)
def test_levels_by_refits_are_those_of_lme4(name):
    """lme4's own Cook's distance has the factor (levels - p) / levels, and the coarser end of its search."""
    entry, (make, by) = stored("influence")[name], LME4[name]
    fit = make()
    table = quiet(fit, by, "refit")
    assert table.iloc[:, 0].astype(str).tolist() == entry["levels"]
    beta, theta = np.atleast_1d(entry["beta"]), np.atleast_1d(entry["theta"])
    p, m, levels = len(beta), len(theta), len(entry["levels"])
    without = np.array(entry["without"])
    moved = (beta - without[:, :p]) / np.sqrt(np.diag(np.atleast_2d(entry["vcov"])))
    cooks = np.einsum("ki,ij,kj->k", beta - without[:, :p], np.linalg.inv(np.atleast_2d(entry["vcov"])), beta - without[:, :p]) / p
    np.testing.assert_allclose(table["cooks_distance"], cooks, rtol=3e-5)
    np.testing.assert_allclose(table["cooks_distance"] * (levels - p) / levels, entry["lme4"], rtol=2e-2 if name == "cbpp" else 1e-5)
    np.testing.assert_allclose(table.filter(like="dfbetas_"), moved, atol=3e-5)
    changes = table.filter(like="change_").to_numpy()
    np.testing.assert_allclose(changes[:, :m], theta - without[:, p : p + m], atol=5e-6)
    if fit.record.linear:
        np.testing.assert_allclose(changes[:, m], entry["sigma"] - without[:, -1], atol=5e-6)


# ---------------------------------------------------------------- the data without the unit

DOORS = {
    "glm, cluster": (glimm.glm, {"formula": "y ~ x + f", "weights": "weight", "vcov": {"cluster": "g"}}, "cluster", "g"),
    "glm, column": (glimm.glm, {"formula": "b ~ x + visit", "family": "binomial"}, "visit", "visit"),
    "glm, parameters together": (glimm.glm, {"formula": "c ~ x", "family": "negative_binomial1"}, "row", None),
    "gee": (glimm.gee, {"formula": "b ~ x + f", "family": "binomial", "groups": "g"}, None, "g"),
    "gee, offset, geepack": (
        glimm.gee,
        {"formula": "c ~ x", "family": "poisson", "exposure": "days", "groups": "g", "moments": "geepack"},
        "row",
        None,
    ),
    "gee, model-based": (glimm.gee, {"formula": "y ~ x", "groups": "g", "vcov": "model"}, "g", "g"),
    "lmm, row": (glimm.glmm, {"formula": "y ~ x + (1 | g)", "weights": "weight"}, "row", None),
    "lmm, nested": (glimm.glmm, {"formula": "y ~ x + f + (1 | g/k)"}, None, "g"),
    "lmm, crossed": (glimm.glmm, {"formula": "y ~ x + (1 | g) + (1 | item)", "reml": False}, "item", "item"),
    "lmm, ou": (glimm.glmm, {"formula": "y ~ x + ou(0 + t | g)"}, "cluster", "g"),
    "lmm, robust": (glimm.glmm, {"formula": "y ~ x + (1 | g)", "vcov": {"cluster": "g"}}, "cluster", "g"),
    "glmm": (glimm.glmm, {"formula": "b ~ x + f + (1 | g)", "family": "binomial", "points": 9}, None, "g"),
    "glmm, slopes": (glimm.glmm, {"formula": "b ~ x + (1 + x | g)", "family": "binomial", "points": 1}, None, "g"),
    "glmm, family": (glimm.glmm, {"formula": "c ~ x + (1 | g)", "family": "negative_binomial", "exposure": "days"}, "row", None),
    "glmm, crossed": (glimm.glmm, {"formula": "c ~ x + (1 | g) + (1 | item)", "family": "poisson"}, "item", "item"),
    "glmm, nested": (glimm.glmm, {"formula": "b ~ x + (1 | item) + (1 | g:k)", "family": "binomial"}, "item", "item"),
}


@cache
def fitted(name: str):
    door, arguments, by, _ = DOORS[name]
    more = dict(arguments)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", glimm.GlimmWarning)
        return door(more.pop("formula"), frame(), **more), by


@pytest.mark.parametrize("name", DOORS)
def test_refit_is_the_door_on_the_data_without_the_unit(name):
    fit, by = fitted(name)
    table = quiet(fit, by, "refit")
    door, arguments, _, column = DOORS[name]
    more = dict(arguments)
    formula = more.pop("formula")
    for k in range(0, len(table), max(1, len(table) // 4)):
        unit = table.iloc[k, 0]
        keep = frame().index != unit if column is None else frame()[column] != unit
        assert table["rows"][k] == (~keep).sum()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", glimm.GlimmWarning)
            again = door(formula, frame()[keep].reset_index(drop=True), **more)
        moved = fit.params - again.params
        np.testing.assert_allclose(table.filter(like="dfbetas_").iloc[k], moved / fit.bse, atol=2e-4)
        cooks = moved @ np.linalg.inv(fit.cov_params()) @ moved / len(moved)
        np.testing.assert_allclose(table["cooks_distance"][k], cooks, rtol=5e-3, atol=1e-7)
        if isinstance(fit, glimm.fit.GlmmFit):
            own = [*fit.theta - again.theta]
            if fit.record.linear:
                own.append(fit.sigma - again.sigma)
            if "family" in fit.parts:
                own += (fit.parts["family"].params - again.parts["family"].params).tolist()
            np.testing.assert_allclose(table.filter(like="change_").iloc[k], own, atol=5e-4)


# the largest error of a column in units of its largest number, of (Cook's distance and dfbetas, changes of parameters)
STEP = {
    "glm": (0.1, 0.0),
    "gee": (0.1, 0.0),
    "lmm": (0.03, 0.3),
    "glmm": (0.25, 0.3),
    "glm, cluster": (1e-10, 0.0),
    "glmm, slopes": (0.4, 0.2),
}


@pytest.mark.parametrize("name", [name for name in DOORS if name != "glm, parameters together"])
def test_one_step_is_near_the_refit(name):
    fit, by = fitted(name)
    one, full = numbers(quiet(fit, by)), numbers(quiet(fit, by, "refit"))
    most = STEP.get(name, STEP[name.split(",")[0]])
    for column in full:
        if full[column].abs().max() > 1e-8:
            error = (one[column] - full[column]).abs().max() / full[column].abs().max()
            assert error < most[column.startswith("change_")], (column, error)
            assert np.corrcoef(one[column], full[column])[0, 1] > 0.96, column


def test_ohio_one_step_is_within_three_hundredths_of_a_refit():
    fit = glimm.glmm("resp ~ age * smoke + (1 | id)", glimm.load_dataset("ohio"), family="binomial", points=5)
    one, full = numbers(quiet(fit)), numbers(quiet(fit, method="refit"))
    for column in full:
        assert (one[column] - full[column]).abs().max() < 0.035 * full[column].abs().max(), column


# ---------------------------------------------------------------- dense algebra


def test_gee_one_step_is_preisser_and_qaqish():
    """beta - beta_(c) = M D'V^-1 (I - D M D'V^-1)^-1 e, of the cluster's rows."""
    data = frame()
    fit = glimm.gee("b ~ x + f", data, groups="g", family="binomial")
    table = quiet(fit)
    x = np.column_stack([np.ones(len(data)), data["x"], data["f"] == "v", data["f"] == "w"])
    mu = special.expit(x @ fit.params.to_numpy())
    alpha = float(fit.corr_params.iloc[0])
    parts = []
    for level in table["g"]:
        rows = np.flatnonzero(data["g"] == level)
        v = mu[rows] * (1.0 - mu[rows])
        d = x[rows] * v[:, None]
        inverse = np.linalg.inv(np.sqrt(np.outer(v, v)) * ((1.0 - alpha) * np.eye(len(rows)) + alpha))
        parts.append((d, inverse, data["b"].to_numpy()[rows] - mu[rows]))
    m = np.linalg.inv(sum(d.T @ v @ d for d, v, _ in parts))
    moved = [m @ d.T @ v @ np.linalg.solve(np.eye(len(e)) - d @ m @ d.T @ v, e) for d, v, e in parts]
    np.testing.assert_allclose(table.filter(like="dfbetas_"), np.array(moved) / fit.bse.to_numpy(), rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("by", ["g", "row"])
@pytest.mark.parametrize("reml", [True, False])
def test_deviance_and_coefficients_without_a_unit_are_generalised_least_squares(by, reml):
    data = frame()
    fit = glimm.glmm("y ~ x + (1 + x | g)", data, weights="weight", reml=reml)
    record = fit.record
    units = find_units(record, by)
    effects = working_effects(record.design.mean.random[0])
    deviance, found = _solution(Products(record, effects, units), record.layouts[0].root(record.work_theta), reml)
    sigma = fit.varcorr()
    sd, r = sigma["std_dev"][:2].to_numpy() / fit.sigma, sigma.filter(like="corr_").to_numpy()[1, 0]
    cov = np.array([[sd[0] ** 2, r * sd[0] * sd[1]], [r * sd[0] * sd[1], sd[1] ** 2]])
    x = np.column_stack([np.ones(len(data)), data["x"]])
    same = data["g"].to_numpy()[:, None] == data["g"].to_numpy()
    v = np.where(same, x @ cov @ x.T, 0.0) + np.diag(1.0 / data["weight"])
    dense = []
    for unit in units.levels[:6]:
        keep = (data["g"] != unit).to_numpy() if by == "g" else np.arange(len(data)) != unit
        inverse = np.linalg.inv(v[np.ix_(keep, keep)])
        a = x[keep].T @ inverse @ x[keep]
        y = data["y"].to_numpy()[keep]
        beta = np.linalg.solve(a, x[keep].T @ inverse @ y)
        e, ne = y - x[keep] @ beta, keep.sum() - (2 if reml else 0)
        s2 = e @ inverse @ e / ne
        logs = -np.linalg.slogdet(inverse)[1] + (np.linalg.slogdet(a)[1] if reml else 0.0)
        dense.append([*beta, s2, logs + ne * np.log(s2) + np.log(data["weight"].to_numpy()[keep]).sum()])
    dense = np.array(dense)
    part = record.design.mean
    beta = (found[:6, :2] / part.scale) @ np.array([[1.0, 0.0], [-part.center[1], 1.0]]) + fit.params.to_numpy()
    np.testing.assert_allclose(beta, dense[:, :2], rtol=1e-7)
    np.testing.assert_allclose(found[:6, 2], dense[:, 2], rtol=1e-7)
    np.testing.assert_allclose(np.diff(deviance[:6]), np.diff(dense[:, 3]), atol=1e-5)


@pytest.mark.parametrize("by", ["herd", "row"])
def test_glmm_step_is_newtons_on_the_integrated_likelihood(by):
    """x + H^-1 s of the rows that stay; the likelihood by the trapezoid rule, its derivatives by differences."""
    data = read("lme4_cbpp")
    fit = glimm.glmm("incidence / size ~ period + (1 | herd)", data, family="binomial", points=25)
    table = quiet(fit, by)
    x = np.column_stack([np.ones(len(data)), *[data["period"] == k for k in "234"]])
    nodes = np.linspace(-9.0, 9.0, 401)
    density = np.exp(-0.5 * nodes**2)
    herds = [np.flatnonzero(data["herd"] == h) for h in np.unique(data["herd"])]

    def loglik(v, keep):
        eta = (x @ v[:4])[:, None] + v[4] * nodes
        rows = data["incidence"].to_numpy()[:, None] * eta - data["size"].to_numpy()[:, None] * np.logaddexp(0.0, eta)
        return sum(np.log(np.exp(rows[h[keep[h]]].sum(axis=0)) @ density) for h in herds)

    at = np.append(fit.params.to_numpy(), fit.theta)
    h = 2e-3
    steps = h * np.eye(5)
    for k in (0, 5, 7):
        unit = table[by][k]
        keep = (data["herd"] != unit).to_numpy() if by == "herd" else np.arange(len(data)) != unit
        gradient = np.array([(loglik(at + s, keep) - loglik(at - s, keep)) / (2.0 * h) for s in steps])
        curved = [
            [sum(a * b * loglik(at + a * s + b * t, keep) for a in (1, -1) for b in (1, -1)) / (4.0 * h * h) for t in steps] for s in steps
        ]
        moved = np.linalg.solve(np.array(curved), gradient)
        own = np.append(table.filter(like="dfbetas_").iloc[k] * fit.bse.to_numpy(), table.filter(like="change_").iloc[k])
        np.testing.assert_allclose(own, moved, rtol=2e-3, atol=2e-5)


def test_moves_of_the_coefficients_themselves():
    """Without subject 23 and 29 of twelve, one step of b - b_(-i) by dense algebra: tests/reference/gee_small_sample.py."""
    epil = data("MASS_epil")
    fit = glimm.gee("y ~ lbase + trt + V4", epil[epil["subject"].between(23, 34)], groups="subject", family="poisson")
    table = fit.influence(standardized=False).set_index("subject")
    terms = [f"dfbeta_{term}" for term in fit.params.index]
    expected = {
        23: [-0.0791692636, 0.0678947744, 0.0298216237, 0.0423605057],
        29: [0.111028539, -0.234472592, -0.373458178, -0.00791525474],
    }
    for subject, moves in expected.items():
        np.testing.assert_allclose(table.loc[subject, terms].astype(float), moves, rtol=2e-8)
