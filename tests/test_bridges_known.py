"""target="conditional": averages over rows with their own clusters' predicted effects, and their errors given theta.

LMM: L C L', C the inverse of Henderson's mixed model equations written out (Henderson 1975). GLMM: l V l' + (g + l D) Cov(beta) (g + l D)',
V = (Z'WZ + G^-1)^-1, D = -V Z'WX, at modes found here by Newton's method on the dense matrices.
"""

from __future__ import annotations

import warnings
from functools import cache

import numpy as np
import pandas as pd
import pytest
from scipy import linalg, special, stats

import glimm
from support import assert_relative
from support_bridges import Model, Term, fixed, random_columns

SLOPES, ITEM = Term("g", "us", "1x", (0.8, 0.3, 0.6)), Term("item", "us", "1", (0.7,))
BARS = {"slopes": ("(1 + x | g)", (SLOPES,)), "slopes and items": ("(1 + x | g) + (1 | item)", (SLOPES, ITEM))}


@cache
def frame() -> pd.DataFrame:
    """30 clusters of 5 to 12 rows, 7 items across them."""
    rng = np.random.default_rng(61)
    g = np.repeat(np.arange(30), rng.integers(5, 13, 30))
    n = len(g)
    out = pd.DataFrame({"g": g, "item": rng.integers(0, 7, n), "w": rng.integers(0, 2, n), "x": rng.normal(size=n)})
    out["weight"] = rng.uniform(0.5, 2.0, n)
    b = rng.normal(size=(30, 2)) @ np.array([[0.8, 0.3], [0.0, 0.6]])
    eta = fixed(out) @ [0.2, 0.5, 0.6, -0.3] + b[g, 0] + b[g, 1] * out["x"] + 0.7 * rng.normal(size=7)[out["item"]]
    out["y"], out["b"] = 9.0 + eta + rng.normal(size=n), (rng.random(n) < special.expit(eta)).astype(int)
    out["c"] = rng.poisson(np.exp(0.6 * eta))
    return out.sample(frac=1.0, random_state=6).reset_index(drop=True)


def fitted(response: str, bars: str, **more) -> glimm.fit.GlmmFit:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings(
            "ignore", message="(Laplace is not accurate|[0-9]+ points are not enough) here", category=glimm.GlimmWarning
        )
        return glimm.glmm(f"{response} ~ w * x + {bars}", frame(), **more)


def columns(terms: tuple[Term, ...], data: pd.DataFrame) -> np.ndarray:
    """(n, effects) Z, by term, level and effect."""
    unit = {1: (1.0,), 2: (1.0, 0.0, 1.0)}
    return random_columns(Model("", "", terms), np.concatenate([unit[term.k] for term in terms]), data)


def covariance(terms: tuple[Term, ...], theta: np.ndarray) -> np.ndarray:
    """G of all effects."""
    parts = Model("", "", terms).parts(theta)
    counts = [frame()[term.group].nunique() for term in terms]
    return linalg.block_diag(*[v for v, count in zip(parts, counts, strict=True) for _ in range(count)])


def shares_of(by: str | None, weights: np.ndarray) -> dict:
    """Subgroup -> (n,) weights that add up to 1 in it."""
    data = frame()
    groups = {None: np.ones(len(data), dtype=bool)} if by is None else {key: (data[by] == key).to_numpy() for key in np.unique(data[by])}
    return {key: inside * weights / weights[inside].sum() for key, inside in groups.items()}


SETTINGS = (0.0, 1.0)
ASKED = {"x": lambda value: frame().assign(x=value), "w": lambda value: frame().assign(w=int(value))}


@pytest.mark.parametrize("weights", [None, "weight"])
@pytest.mark.parametrize("by", [None, "g", "w"])
@pytest.mark.parametrize("bars", BARS)
def test_lmm_against_henderson(bars, by, weights):
    text, terms = BARS[bars]
    data, fit = frame(), fitted("y", text, **({"weights": weights} if weights else {}))
    x, z = fixed(data), columns(terms, data)
    size = data["weight"].to_numpy() if weights else np.ones(len(data))
    r = (size / fit.sigma**2)[:, None]
    g = fit.sigma**2 * covariance(terms, np.asarray(fit.theta))
    both = np.hstack([x, z])
    equations = both.T @ (r * both)
    equations[4:, 4:] += np.linalg.inv(g)
    c = np.linalg.inv(equations)
    solved = c @ both.T @ (r[:, 0] * data["y"].to_numpy())
    for variable, moved in ASKED.items():
        rows = [np.hstack([fixed(one), columns(terms, one)]) for one in map(moved, SETTINGS)]
        for contrast in ("difference", "ratio"):
            table = fit.effect(variable, contrast, values=SETTINGS, target="conditional", by=by)
            for k, share in enumerate(shares_of(by, size).values()):
                averages = [share @ one for one in rows]
                a0, a1 = (one @ solved for one in averages)
                along = averages[1] - averages[0] if contrast == "difference" else averages[1] / a1 - averages[0] / a0
                estimate = a1 - a0 if contrast == "difference" else a1 / a0
                se = np.sqrt(along @ c @ along) * (1.0 if contrast == "difference" else estimate)
                assert_relative([table["estimate"].iloc[k]], [estimate], 1e-6, f"{variable} {contrast}")
                assert_relative([table["std_error"].iloc[k]], [se], 1e-6, f"error of {variable} {contrast}")


def test_the_slope_of_a_cluster_is_its_own():
    """beta + b of the cluster, in a model without interactions."""
    fit = glimm.glmm("y ~ w + x + (1 + x | g)", frame())
    table = fit.effect("x", values=SETTINGS, target="conditional", by="g")
    effects = fit.ranef()
    own = effects[effects["term"] == "x"].set_index("level")["estimate"]
    assert_relative(table["estimate"], fit.params["x"] + own.loc[table["g"]].to_numpy(), 1e-9, "slopes")
    assert_relative(fit.slope("x", target="conditional", by="g")["estimate"], table["estimate"], 1e-7, "derivatives")
    assert_relative(fit.slope("x", target="conditional", by="g")["std_error"], table["std_error"], 1e-7, "their errors")


def normal_ratio(t):
    return np.exp(stats.norm.logpdf(t) - stats.norm.logcdf(t))


LAWS = {  # h, h', score and observed weight in eta
    "logit": (
        special.expit,
        lambda e: special.expit(e) * special.expit(-e),
        lambda y, e: y - special.expit(e),
        lambda y, e: special.expit(e) * special.expit(-e),
    ),
    "log": (np.exp, np.exp, lambda y, e: y - np.exp(e), lambda y, e: np.exp(e)),
    "probit": (
        special.ndtr,
        stats.norm.pdf,
        lambda y, e: (2 * y - 1) * normal_ratio((2 * y - 1) * e),
        lambda y, e: normal_ratio((2 * y - 1) * e) * (normal_ratio((2 * y - 1) * e) + (2 * y - 1) * e),
    ),
}
GLMMS = {
    "logit": ("b", "slopes", "logit", {"family": "binomial", "points": 9}),
    "logit, several": ("b", "slopes and items", "logit", {"family": "binomial", "points": 1}),
    "probit": ("b", "slopes", "probit", {"family": "binomial", "link": "probit", "points": 9}),
    "counts, several": ("c", "slopes and items", "log", {"family": "poisson", "points": 1}),
}


@pytest.mark.parametrize("by", [None, "g"])
@pytest.mark.parametrize("name", GLMMS)
def test_glmm_given_theta(name, by):
    response, bars, link, more = GLMMS[name]
    text, terms = BARS[bars]
    data, fit = frame(), fitted(response, text, **more)
    h, slope, score, weight = LAWS[link]
    x, z, y, beta = fixed(data), columns(terms, data), data[response].to_numpy(dtype=float), fit.params.to_numpy()
    precision = np.linalg.inv(covariance(terms, np.asarray(fit.theta)))
    b = np.zeros(z.shape[1])
    for _ in range(60):
        eta = x @ beta + z @ b
        b = b + np.linalg.solve(z.T @ (weight(y, eta)[:, None] * z) + precision, z.T @ score(y, eta) - precision @ b)
    eta = x @ beta + z @ b
    w = weight(y, eta)[:, None]
    v = np.linalg.inv(z.T @ (w * z) + precision)
    d = -v @ z.T @ (w * x)
    c = fit.cov_params().to_numpy()
    for variable, moved in ASKED.items():
        rows = [(fixed(one), columns(terms, one)) for one in map(moved, SETTINGS)]
        for contrast in ("difference", "ratio"):
            table = fit.effect(variable, contrast, values=SETTINGS, target="conditional", by=by)
            for k, share in enumerate(shares_of(by, np.ones(len(data))).values()):
                etas = [one @ beta + own @ b for one, own in rows]
                a0, a1 = (share @ h(e) for e in etas)
                scales = (1.0, 1.0) if contrast == "difference" else (a0, a1)
                signs = [s * share * slope(e) / scale for s, e, scale in zip((-1.0, 1.0), etas, scales, strict=True)]
                g = sum(s @ one for s, (one, _) in zip(signs, rows, strict=True))
                load = sum(s @ own for s, (_, own) in zip(signs, rows, strict=True))
                along = g + load @ d
                se = np.sqrt(load @ v @ load + along @ c @ along)
                estimate = a1 - a0 if contrast == "difference" else a1 / a0
                error = table["std_error"].iloc[k] / (1.0 if contrast == "difference" else estimate)
                assert table["estimate"].iloc[k] == pytest.approx(estimate, abs=1e-6 * se * max(1.0, estimate))
                assert_relative([error], [se], 1e-5, f"error of {variable} {contrast}")
