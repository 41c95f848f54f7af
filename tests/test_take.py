"""Designs of some rows: all rows once are the same fit; every cluster twice has twice the log-likelihood and the same estimates."""

from __future__ import annotations

import warnings
from functools import cache

import numpy as np
import pandas as pd
import pytest
from scipy import special

import glimm
from glimm.design.take import take_rows
from glimm.estimators.again import fit_again
from support import assert_relative


@cache
def frame() -> pd.DataFrame:
    """40 clusters of 4 to 9 rows in no order, classes inside them, items across; visits at unequal times."""
    rng = np.random.default_rng(51)
    g = np.repeat(np.arange(40), rng.integers(4, 10, 40))
    n = len(g)
    out = pd.DataFrame({"g": g, "k": rng.integers(0, 3, n), "item": rng.integers(0, 8, n), "visit": rng.integers(0, 4, n)})
    out["t"], out["x"], out["f"] = np.array([0.0, 0.4, 1.5, 2.0])[out["visit"]], rng.normal(size=n), rng.choice(["u", "v", "w"], n)
    out["weight"], out["days"] = rng.uniform(0.5, 2.0, n), rng.uniform(0.5, 2.0, n)
    times = np.array([0.0, 0.4, 1.5, 2.0])
    drift = rng.multivariate_normal(np.zeros(4), np.exp(-0.6 * np.abs(np.subtract.outer(times, times))), 40)[g, out["visit"]]
    eta = 0.3 + 0.5 * out["x"] + (out["f"] == "v") + drift + 0.6 * out["x"] * rng.normal(size=40)[g] + 0.7 * rng.normal(size=8)[out["item"]]
    eta += 0.7 * rng.normal(size=(40, 3))[g, out["k"]]
    out["y"], out["b"] = eta + rng.normal(size=n), (rng.random(n) < special.expit(eta)).astype(int)
    out["c"], out["trials"] = rng.poisson(out["days"] * np.exp(0.5 * eta)), rng.integers(1, 6, n)
    out["s"] = rng.binomial(out["trials"], special.expit(eta))
    return out.sample(frac=1.0, random_state=5).reset_index(drop=True)


def glm(formula, **more):
    return lambda: glimm.glm(formula, frame(), **more)


def gee(formula, **more):
    return lambda: glimm.gee(formula, frame(), groups="g", moments="geepack", **more)


def glmm(formula, **more):
    return lambda: glimm.glmm(formula, frame(), **more)


FITS = {
    "gaussian": glm("y ~ x + f", weights="weight"),
    "trials": glm("s / trials ~ x * f", family="binomial"),
    "negative binomial": glm("c ~ x", family="negative_binomial", exposure="days"),
    "gee": gee("b ~ x + f", family="binomial"),
    "gee, times": gee("c ~ x", family="poisson", corr="ar1", exposure="days"),
    "lmm": glmm("y ~ x + (1 + x | g)", reml=False, weights="weight"),
    "lmm, nested": glmm("y ~ x + f + (1 | g/k)", reml=False),
    "lmm, crossed": glmm("y ~ x + (1 | g) + (1 | item)", reml=False),
    "lmm, ou": glmm("y ~ x + ou(0 + t | g) + (1 | item)", reml=False),
    "lmm, ar1": glmm("y ~ x + ar1(0 + C(visit) | g)", reml=False),
    "glmm": glmm("b ~ x + f + (1 | g)", family="binomial", points=9),
    "glmm, slopes": glmm("s / trials ~ x + (1 + x | g)", family="binomial", points=15),
    "glmm, crossed": glmm("c ~ x + (1 + x | g) + (1 | item)", family="poisson", points=1, exposure="days"),
    "glmm, ou": glmm("c ~ x + ou(0 + t | g) + (1 | item)", family="poisson", points=1),
    "glmm, nested": glmm("c ~ x + (1 | g/k)", family="poisson", points=1),
}


@cache
def fit_of(name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message="Laplace is not accurate here", category=glimm.GlimmWarning)
        return FITS[name]()


def again(name, rows, copy=None):
    record = fit_of(name).record
    return record, fit_again(record, take_rows(record.design, rows, copy))


def assert_same_estimates(one, other, tolerance):
    unit = np.maximum(np.abs(one.vector), 0.1)
    assert np.max(np.abs(one.vector - other.vector) / unit) < tolerance
    assert_relative(one.scale, other.scale, tolerance, "scale")


@pytest.mark.parametrize("name", FITS)
def test_all_rows_once(name):
    n = fit_of(name).record.design.n
    record, same = again(name, np.arange(n))
    assert_same_estimates(record, same, 1e-5)
    if hasattr(record, "llf"):
        assert record.llf == pytest.approx(same.llf, abs=1e-7)


@pytest.mark.parametrize("name", FITS)
def test_rows_in_another_order(name):
    n = fit_of(name).record.design.n
    order = np.random.default_rng(1).permutation(n)
    if name == "gee, times":  # rows of a cluster are at 1, 2, ... as they come
        order = np.argsort(frame()["g"].to_numpy(), kind="stable")
    record, same = again(name, order)
    assert_same_estimates(record, same, 1e-5)
    if hasattr(record, "llf"):
        assert record.llf == pytest.approx(same.llf, abs=1e-7)


@pytest.mark.parametrize("name", FITS)
def test_everything_twice(name):
    n = fit_of(name).record.design.n
    rows, copy = np.tile(np.arange(n), 2), np.repeat([0, 1], n)
    record, double = again(name, rows, copy)
    if name != "gaussian":  # whose dispersion has the divisor n - p
        assert_same_estimates(record, double, 1e-5)
    if hasattr(record, "llf"):
        assert double.llf == pytest.approx(2.0 * record.llf, abs=1e-6)
    for term, twice in zip(record.design.mean.random, double.design.mean.random, strict=True):
        assert len(twice.levels) == 2 * len(term.levels)
    for clusters, twice in zip(record.design.clusters.values(), double.design.clusters.values(), strict=True):
        assert len(twice.levels) == 2 * len(clusters.levels)


@pytest.mark.parametrize("name", ["lmm, nested", "lmm, ar1", "glmm", "glmm, slopes"])
def test_some_clusters_are_the_fit_to_their_rows(name):
    """Against the same call of the rows themselves."""
    fit, data = fit_of(name), frame()
    rows = np.flatnonzero(data["g"] < 30)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", glimm.GlimmWarning)
        calls = {"lmm, nested": ("y ~ x + f + (1 | g/k)", {"reml": False}), "lmm, ar1": ("y ~ x + ar1(0 + C(visit) | g)", {"reml": False})}
        calls |= {"glmm": ("b ~ x + f + (1 | g)", {"family": "binomial", "points": 9})}
        calls |= {"glmm, slopes": ("s / trials ~ x + (1 + x | g)", {"family": "binomial", "points": 15})}
        formula, more = calls[name]
        want = glimm.glmm(formula, data.iloc[rows], **more).record
    got = fit_again(fit.record, take_rows(fit.record.design, rows))
    assert_same_estimates(want, got, 1e-5)
    assert want.llf == pytest.approx(got.llf, abs=2e-6)
