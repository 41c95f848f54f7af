"""vcov={"cluster": ...} of mixed models: H^-1 sum s_c s_c' H^-1, s_c the score of a cluster.

LMM: s_c = X_c'(V^-1 r)_c with V written out, H = X'V^-1 X. GLMM: s_c by central differences of each cluster's own log-likelihood, which
is an integral over its random effects (trapezoid rule), for several terms Laplace's approximation with Z written out.
"""

from __future__ import annotations

import warnings
from functools import cache

import numpy as np
import pandas as pd
import pytest
from scipy import special

import glimm
from oracle.dense_mixed import DenseLaplace
from support import assert_covariance, assert_relative
from support_bridges import (
    Model,
    Term,
    influences,
    integrated,
    jacobian,
    logistic,
    negative_binomial,
    poisson,
    random_columns,
    random_covariance,
)


def term(group: str, kind: str = "1", structure: str = "us") -> Term:
    """A term whose theta is known from a fit only."""
    return Term(group, structure, kind, (0.0,) * {"1": 1, "1x": 3, "visit": 2}[kind])


def in_order(fit, terms, link: str) -> Model:
    """The terms in the order of theta."""
    order = [t.group for t in fit.record.design.mean.random]
    return Model(link, "", tuple(sorted(terms, key=lambda term: order.index(term.group))))


@cache
def frame() -> pd.DataFrame:
    """24 schools with 2 to 4 rooms (numbered on), 1 to 9 rows each; pupils numbered inside schools; visits at equal distances."""
    rng = np.random.default_rng(31)
    school = np.repeat(np.arange(24), rng.integers(2, 5, 24))
    room = np.repeat(np.arange(len(school)), rng.integers(1, 10, len(school)))
    school = school[room]
    n = len(room)
    out = pd.DataFrame({"school": school, "room": room, "x": rng.normal(size=n), "w": (school % 2), "visit": rng.integers(0, 4, n)})
    out["pupil"], out["rater"] = rng.integers(0, 4, n), rng.integers(0, 6, n)
    out["weight"], out["days"] = rng.uniform(0.5, 2.0, n), rng.uniform(0.5, 2.0, n)
    b = rng.normal(size=(room.max() + 1, 2)) @ np.array([[0.8, 0.2], [0.0, 0.5]])
    eta = 0.4 + 0.5 * out["x"] - 0.5 * out["w"] + b[room, 0] + b[room, 1] * out["x"] + 0.6 * rng.normal(size=24)[school]
    eta += 0.8 * rng.normal(size=(24, 4))[school, out["pupil"]]
    visits = rng.multivariate_normal(np.zeros(4), 0.7 ** np.abs(np.subtract.outer(np.arange(4), np.arange(4))), 24)[school, out["visit"]]
    out["y"] = eta + rng.normal(size=n) * np.where(school % 3 == 0, 2.0, 0.7)
    out["y_visit"] = 0.5 * out["x"] + visits + rng.normal(size=n) * np.where(school % 3 == 0, 1.5, 0.5)
    out["b"] = (rng.random(n) < special.expit(eta)).astype(int)
    out["c"] = rng.poisson(0.8 * out["days"] * np.exp(0.5 * eta))
    return out.sample(frac=1.0, random_state=3).reset_index(drop=True)


@cache
def balanced() -> pd.DataFrame:
    """20 schools of 6 rows."""
    rng = np.random.default_rng(32)
    school = np.repeat(np.arange(20), 6)
    out = pd.DataFrame(
        {"school": school, "room": school, "x": rng.normal(size=120), "w": school % 2, "visit": np.tile(np.arange(6) % 4, 20)}
    )
    out["y"] = 1.0 + 0.4 * out["x"] + rng.normal(size=20)[school] + rng.normal(size=120) * (1.0 + 0.5 * out["w"])
    return out


def fitted(formula: str, data: pd.DataFrame, vcov, **more):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings(
            "ignore", message="(Laplace is not accurate|[0-9]+ points are not enough) here", category=glimm.GlimmWarning
        )
        return glimm.glmm(formula, data, vcov=vcov, **more)


def fixed(data: pd.DataFrame) -> np.ndarray:
    """X of 1 + x + w."""
    return np.column_stack([np.ones(len(data)), data["x"], data["w"]]).astype(float)


def sums(rows: np.ndarray, clusters: np.ndarray) -> np.ndarray:
    """(K, p) sums of rows by cluster."""
    return np.array([rows[clusters == c].sum(axis=0) for c in np.unique(clusters)])


LINEAR = {
    "balanced": ("(1 | school)", [term("school")], "school", {}),
    "balanced, ML": ("(1 | school)", [term("school")], "school", {"reml": False}),
    "unbalanced slopes": ("(1 + x | room)", [term("room", "1x")], "room", {}),
    "weights": ("(1 + x | room)", [term("room", "1x")], "room", {"weights": "weight"}),
    "clusters above the grouping": ("(1 | room)", [term("room")], "school", {}),
    "nested": ("(1 | school/room)", [term("school"), term("school:room")], "school", {"weights": "weight"}),
    "crossed inside schools": ("(1 | school:pupil) + (1 + x | room)", [term("school:pupil"), term("room", "1x")], "school", {}),
    "ar1": ("ar1(0 + C(visit) | school)", [term("school", "visit", "ar1")], "school", {}),
}


@pytest.mark.parametrize("name", LINEAR)
def test_linear_models_against_dense_algebra(name):
    bars, terms, by, more = LINEAR[name]
    data = balanced() if name.startswith("balanced") else frame()
    response = "y_visit" if name == "ar1" else "y"
    fit = fitted(f"{response} ~ x + w + {bars}", data, {"cluster": by}, **more)
    weights = data["weight"].to_numpy() if "weights" in more else np.ones(len(data))
    covariance = random_covariance(in_order(fit, terms, "identity"), np.asarray(fit.theta), data)
    v = fit.sigma**2 * (np.diag(1.0 / weights) + covariance)
    x = fixed(data)
    inverse = np.linalg.inv(x.T @ np.linalg.solve(v, x))
    left = np.linalg.solve(v, data[response] - x @ fit.params.to_numpy())
    scores = sums(x * left[:, None], data[by].to_numpy())
    want = inverse @ scores.T @ scores @ inverse
    assert np.abs(scores.sum(axis=0)).max() < 1e-6 * np.abs(scores).max()
    assert_covariance(fit.cov_params(), want, 1e-8, "robust covariance")
    assert_relative(fit.bse, np.sqrt(np.diag(want)), 1e-8, "robust errors")
    assert_covariance(fit.effect("x")["std_error"].to_numpy()[:, None] ** 2, want[1:2, 1:2], 1e-8, "effect of x")
    assert fit.inference.label == f"cluster-robust by {by}"


ONE_TERM = {
    "intercepts": ("b", "(1 | room)", term("room"), logistic, "room", {"family": "binomial", "points": 25}),
    "clusters above": ("b", "(1 | room)", term("room"), logistic, "school", {"family": "binomial", "points": 25}),
    "weights": ("b", "(1 | room)", term("room"), logistic, "room", {"family": "binomial", "points": 25, "weights": "weight"}),
    "slopes": ("b", "(1 + x | school)", term("school", "1x"), logistic, "school", {"family": "binomial", "points": 15}),
    "offset": ("c", "(1 | room)", term("room"), poisson, "school", {"family": "poisson", "points": 25, "exposure": "days"}),
    "own parameter": ("c", "(1 | school)", term("school"), negative_binomial, "school", {"family": "negative_binomial", "points": 25}),
}


def sandwich(fit, by, loglik, data):
    """Sum of the squares of the clusters' influences."""
    found = influences(fit, by, loglik, data)
    return found.T @ found


@pytest.mark.parametrize("name", ONE_TERM)
def test_one_grouping_against_each_clusters_integral(name):
    response, bars, effects, law, by, more = ONE_TERM[name]
    data = frame()
    fit = fitted(f"{response} ~ x + w + {bars}", data, {"cluster": by}, **more)
    x, z, y = fixed(data), effects.columns(data), data[response].to_numpy(dtype=float)
    weights = data["weight"].to_numpy() if "weights" in more else np.ones(len(data))
    offset = np.log(data["days"].to_numpy()) if "exposure" in more else np.zeros(len(data))
    levels, size = effects.levels(data), len(effects.truth)

    def loglik(rows, vector):
        beta, theta, psi = np.split(vector, [3, 3 + size])
        total = 0.0
        for level in np.unique(levels[rows]):
            own = rows[levels[rows] == level]
            total += integrated(law, y[own], weights[own], offset[own] + x[own] @ beta, z[own], effects.covariance(theta), psi)
        return total

    want = sandwich(fit, by, loglik, data)
    assert_covariance(fit.cov_params(), want[:3, :3], 1e-4, "robust covariance")
    assert_relative(fit.bse, np.sqrt(np.diag(want))[:3], 1e-4, "robust errors")


SEVERAL = {
    "nested": ("b", "(1 | school/room)", [term("school"), term("school:room")]),
    "crossed inside schools": ("b", "(1 | school:pupil) + (1 | room)", [term("school:pupil"), term("room")]),
    "nested slopes, counts": ("c", "(1 + x | school) + (1 | school:room)", [term("school", "1x"), term("school:room")]),
}


@pytest.mark.parametrize("name", SEVERAL)
def test_several_groupings_against_laplace_of_each_cluster(name):
    response, bars, terms = SEVERAL[name]
    data, pair, by = frame(), ("binomial", "logit") if response == "b" else ("poisson", "log"), "school"
    more = {"exposure": "days"} if response == "c" else {}
    fit = fitted(f"{response} ~ x + w + {bars}", data, {"cluster": by}, family=pair[0], points=1, **more)
    model = in_order(fit, terms, pair[1])
    x, y = fixed(data), data[response].to_numpy(dtype=float)
    offset = np.log(data["days"].to_numpy()) if more else np.zeros(len(data))

    def loglik(rows, vector):
        part = data.iloc[rows]
        zl = random_columns(model, vector[3:], part)
        return -0.5 * DenseLaplace(pair, y[rows], np.ones(len(rows)), x[rows], offset[rows], vector[:3], zl, np.zeros(0)).deviance

    want = sandwich(fit, by, loglik, data)
    assert_covariance(fit.cov_params(), want[:3, :3], 1e-4, "robust covariance")
    assert_relative(fit.bse, np.sqrt(np.diag(want))[:3], 1e-4, "robust errors")
    if pair[1] == "logit":  # an effect under the same covariance
        ends = [data.assign(w=w) for w in (0, 1)]

        def effect(vector):
            v = sum(vector[3:] ** 2)
            z = np.linspace(-10.0, 10.0, 161)
            weight = np.exp(-0.5 * z * z)
            m = [special.expit((fixed(end) @ vector[:3])[:, None] + np.sqrt(v) * z) @ (weight / weight.sum()) for end in ends]
            return np.atleast_1d((m[1] - m[0]).mean())

        at = np.concatenate([fit.params, fit.theta])
        j = jacobian(effect, at, 0.02 * np.sqrt(np.diag(want)))[0]
        table = fit.effect("w")
        assert_relative(table["estimate"], effect(at), 1e-9, "effect")
        assert_relative(table["std_error"], [np.sqrt(j @ want @ j)], 1e-4, "its robust error")


@pytest.mark.parametrize(("response", "family"), [("y", "gaussian"), ("b", "binomial")])
def test_what_has_no_independent_clusters(response, family):
    data = frame()

    def refused(bars, vcov):
        more = {} if family == "gaussian" else {"family": family, "points": 1}
        with pytest.raises(glimm.GlimmError) as info:
            glimm.glmm(f"{response} ~ x + w + {bars}", data, vcov=vcov, **more)
        return str(info.value)

    said = refused("(1 | room) + (1 | rater)", {"cluster": "room"})
    assert "rows of different room share random effects of rater" in said
    assert "cross" in said
    said = refused("(1 | school)", {"cluster": "room"})
    assert "rows of different room share random effects of school: use {'cluster': 'school'}" in said
    said = refused("(1 | school/room)", {"cluster": "rater"})
    assert "different rater" in said
    assert "use {'cluster': 'school'}, or use vcov='model'" in said
    assert "must be 'model' or {'cluster': 'column'}" in refused("(1 | school)", "HC0")
    assert "one direction" in refused("(1 | school)", {"cluster": ["school", "room"]})
    assert "'small'" in refused("(1 | school)", {"cluster": "school", "small": True})
