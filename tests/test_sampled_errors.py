"""errors="sampled" of averages of rows, and errors="bootstrap".

Sampled: psi_c = sum over the rows of a cluster of share_i (m_i - A) + A'IF_c, squares summed, everything written out in NumPy. Bootstrap:
clusters drawn by the same generator and fitted here.
"""

from __future__ import annotations

import warnings
from functools import cache

import numpy as np
import pandas as pd
import pytest
from scipy import special

import glimm
from glimm.marginal.resample import draw
from support import assert_relative
from support_bridges import Model, Term, influences, integrated, jacobian, logistic, random_covariance

Q = 1.959963984540054
BETA = np.array([-0.3, 0.7, 0.5, 0.6])


@cache
def frame() -> pd.DataFrame:
    """90 clusters of 1 to 8 rows in no order; w of the cluster, x inside it; weights; three regions."""
    rng = np.random.default_rng(41)
    g = np.repeat(np.arange(90), rng.integers(1, 9, 90))
    n = len(g)
    out = pd.DataFrame({"g": g, "w": g % 2, "x": rng.normal(size=n) + 0.4 * rng.normal(size=90)[g], "weight": rng.uniform(0.5, 2.0, n)})
    out["region"] = np.array(["north", "south", "west"])[g % 3]
    eta = fixed(out) @ BETA + 0.9 * rng.normal(size=90)[g]
    out["b"] = (rng.random(n) < special.expit(eta)).astype(int)
    out["c"] = rng.poisson(np.exp(0.5 * eta))
    out["y"] = eta + rng.normal(size=n) * (1.0 + out["w"])
    return out.sample(frac=1.0, random_state=4).reset_index(drop=True)


def fixed(data: pd.DataFrame) -> np.ndarray:
    """X of 1 + w * x."""
    return np.column_stack([np.ones(len(data)), data["w"], data["x"], data["w"] * data["x"]]).astype(float)


PROBIT_SLOPE = 1.0 / np.sqrt(2.0 * np.pi)
LINKS = {  # h, h' and the variance function
    "identity": (lambda e: e, np.ones_like, np.ones_like),
    "logit": (special.expit, lambda e: special.expit(e) * special.expit(-e), lambda m: m * (1.0 - m)),
    "probit": (special.ndtr, lambda e: PROBIT_SLOPE * np.exp(-0.5 * e * e), lambda m: m * (1.0 - m)),
    "log": (np.exp, np.exp, lambda m: m),
}


def answers(mean, at, by_cluster, shares, codes):
    """Differences and log ratios of averages (w at 1 and 0) and the mean, with errors: mean(vector, frame) -> (n,).

    by_cluster : (K, P) influence on the vector; shares : (n,) of the average; codes : (n,) cluster of each row
    """
    data = frame()
    settings = [data.assign(w=0), data.assign(w=1), data]
    out = []
    for one in settings:
        m = mean(at, one)
        a = shares @ m
        steps = 1e-3 * np.maximum(np.abs(at), 0.1)
        own = by_cluster @ jacobian(lambda v, one=one: np.atleast_1d(shares @ mean(v, one)), at, steps)[0]
        out.append((a, own + np.bincount(codes, shares * (m - a), len(by_cluster))))
    (a0, p0), (a1, p1), (a, p) = out
    found = {"difference": (a1 - a0, p1 - p0), "means": (a, p)}
    return found | ({"ratio": (np.log(a1 / a0), p1 / a1 - p0 / a0)} if a0 > 0.0 else {})


def assert_answers(fit, want, tolerance, logs=True, **more):
    for contrast in ("difference", *(("ratio",) if logs else ())):
        table = fit.effect("w", contrast, errors="sampled", **more)
        estimate, psi = want[contrast]
        se = np.sqrt(psi @ psi)
        got, error = table["estimate"].iloc[0], table["std_error"].iloc[0]
        if contrast == "ratio":
            got, error = np.log(got), error / got
            assert_relative(np.log(table["conf_high"]), [estimate + Q * se], tolerance, "upper limit")
        assert_relative([got], [estimate], tolerance, contrast)
        assert_relative([error], [se], tolerance, f"error of the {contrast}")
    table = fit.means(errors="sampled", **more)
    assert_relative(table["estimate"], [want["means"][0]], tolerance, "mean")
    assert_relative(table["std_error"], [np.sqrt(want["means"][1] @ want["means"][1])], tolerance, "error of the mean")


GLMS = {
    "rows": ("b", "binomial", "logit", None, False),
    "clusters": ("b", "binomial", "logit", "g", False),
    "weights": ("c", "poisson", "log", "g", True),
    "other link": ("b", "binomial", "probit", "g", False),
    "weighted rows": ("y", "gaussian", "identity", None, True),
}


@pytest.mark.parametrize("name", GLMS)
def test_glm(name):
    response, family, link, by, weighted = GLMS[name]
    data = frame()
    more = {"weights": "weight"} if weighted else {}
    vcov = {"cluster": by} if by else "model"
    fit = glimm.glm(f"{response} ~ w * x", data, family=family, link=link, vcov=vcov, **more)
    h, slope, variance = LINKS[link]
    x, y, beta = fixed(data), data[response].to_numpy(dtype=float), fit.params.to_numpy()
    weight = data["weight"].to_numpy() if weighted else np.ones(len(data))
    eta = x @ beta
    w = weight * slope(eta) / variance(h(eta))
    scores = x * (w * (y - h(eta)))[:, None]
    codes = data[by].to_numpy() if by else np.arange(len(data))
    by_cluster = np.array([scores[codes == c].sum(axis=0) for c in range(codes.max() + 1)]) @ np.linalg.inv(
        x.T @ ((w * slope(eta))[:, None] * x)
    )
    want = answers(lambda v, one: h(fixed(one) @ v), beta, by_cluster, weight / weight.sum(), codes)
    normal = family != "gaussian"
    assert_answers(fit, want, 1e-6, logs=normal)


@pytest.mark.parametrize("corr", ["independence", "exchangeable"])
@pytest.mark.parametrize(("response", "family", "link"), [("b", "binomial", "logit"), ("c", "poisson", "log")])
def test_gee(corr, response, family, link):
    data = frame()
    fit = glimm.gee(f"{response} ~ w * x", data, groups="g", corr=corr, family=family)
    h, slope, variance = LINKS[link]
    x, y, beta, codes = fixed(data), data[response].to_numpy(dtype=float), fit.params.to_numpy(), data["g"].to_numpy()
    alpha = float(fit.corr_params.iloc[0]) if corr == "exchangeable" else 0.0
    eta = x @ beta
    bread, scores = np.zeros((4, 4)), []
    for c in range(90):
        rows = np.flatnonzero(codes == c)
        root = np.sqrt(variance(h(eta[rows])))
        v = np.outer(root, root) * ((1.0 - alpha) * np.eye(len(rows)) + alpha)
        d = slope(eta[rows])[:, None] * x[rows]
        bread += d.T @ np.linalg.solve(v, d)
        scores.append(d.T @ np.linalg.solve(v, y[rows] - h(eta[rows])))
    by_cluster = np.array(scores) @ np.linalg.inv(bread)
    want = answers(lambda v, one: h(fixed(one) @ v), beta, by_cluster, np.full(len(data), 1.0 / len(data)), codes)
    assert_answers(fit, want, 1e-6)


def test_lmm():
    data = frame()
    fit = glimm.glmm("y ~ w * x + (1 | g)", data)
    x, beta, codes = fixed(data), fit.params.to_numpy(), data["g"].to_numpy()
    model = Model("identity", "", (Term("g", "us", "1", (0.0,)),))
    v = fit.sigma**2 * (np.eye(len(data)) + random_covariance(model, np.asarray(fit.theta), data))
    scores = x * np.linalg.solve(v, data["y"] - x @ beta)[:, None]
    each = np.array([scores[codes == c].sum(axis=0) for c in range(90)]) @ np.linalg.inv(x.T @ np.linalg.solve(v, x))
    want = answers(lambda v, one: fixed(one) @ v, beta, each, np.full(len(data), 1.0 / len(data)), codes)
    assert_answers(fit, want, 1e-6, logs=False)


def glmm():
    return glimm.glmm("b ~ w * x + (1 | g)", frame(), family="binomial", points=25)


@cache
def glmm_influences() -> np.ndarray:
    """(K, P) from each cluster's integral."""
    data = frame()
    x, y, codes = fixed(data), data["b"].to_numpy(dtype=float), data["g"].to_numpy()

    def loglik(rows, vector):
        return integrated(
            logistic, y[rows], np.ones(len(rows)), x[rows] @ vector[:4], np.ones((len(rows), 1)), vector[4:] ** 2 * np.eye(1), None
        )

    assert (np.unique(codes) == np.arange(90)).all()
    return influences(glmm(), "g", loglik, data)


@pytest.mark.parametrize("target", ["marginal", "typical"])
def test_glmm(target):
    data, fit = frame(), glmm()
    z = np.linspace(-9.0, 9.0, 121)
    p = np.exp(-0.5 * z * z) / np.exp(-0.5 * z * z).sum()

    def mean(v, one):
        return special.expit((fixed(one) @ v[:4])[:, None] + v[4] * z) @ p if target == "marginal" else special.expit(fixed(one) @ v[:4])

    at = np.concatenate([fit.params, fit.theta])
    want = answers(mean, at, glmm_influences(), np.full(len(data), 1.0 / len(data)), data["g"].to_numpy())
    assert_answers(fit, want, 1e-4, target=target)


def test_subgroups_are_samples_too():
    data, fit = frame(), glimm.glm("b ~ w * x + region", frame(), family="binomial", vcov={"cluster": "g"})
    table = fit.effect("w", by="region", errors="sampled")

    def with_region(one):
        return np.column_stack([fixed(one), one["region"] == "south", one["region"] == "west"]).astype(float)

    x, codes = with_region(data), data["g"].to_numpy()
    beta = fit.params[["Intercept", "w", "x", "w:x", "region[T.south]", "region[T.west]"]].to_numpy()
    mu = special.expit(x @ beta)
    scores = x * (data["b"] - mu).to_numpy()[:, None]
    by_cluster = np.array([scores[codes == c].sum(axis=0) for c in range(90)]) @ np.linalg.inv(x.T @ ((mu * (1.0 - mu))[:, None] * x))
    for region, se in zip(table["region"], table["std_error"], strict=True):
        inside = (data["region"] == region).to_numpy()
        want = answers(lambda v, one: special.expit(with_region(one) @ v), beta, by_cluster, inside / inside.sum(), codes)
        assert_relative([se], [np.sqrt(np.sum(want["difference"][1] ** 2))], 1e-6, region)


def test_crossed_groupings_are_no_sample():
    data = frame().assign(item=lambda d: np.arange(len(d)) % 9)
    data["y"] += np.random.default_rng(1).normal(size=9)[data["item"]]
    fit = glimm.glmm("y ~ w + (1 | g) + (1 | item)", data)
    with pytest.raises(glimm.GlimmError, match="the groupings g, item cross, so no clusters of rows are independent to be sampled"):
        fit.effect("w", errors="sampled")


def logit_by_newton(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    beta = np.zeros(x.shape[1])
    for _ in range(12):
        mu = special.expit(x @ beta)
        beta = beta + np.linalg.solve(x.T @ ((mu * (1.0 - mu))[:, None] * x), x.T @ (y - mu))
    return beta


def test_bootstrap_is_of_the_clusters_drawn_by_the_seed():
    """Each draw is as many clusters as there are, with replacement, all of their rows, fitted and averaged over; limits are percentiles."""
    data, draws, slopes = frame(), [], []
    fit = glimm.glm("b ~ w * x", data, family="binomial", vcov={"cluster": "g"})
    table = fit.effect("w", "ratio", errors="bootstrap", draws=40, seed=6)
    rng = np.random.default_rng(6)
    rows = [np.flatnonzero(data["g"] == c) for c in range(90)]
    for _ in range(40):
        drawn = data.iloc[np.concatenate([rows[c] for c in rng.integers(0, 90, 90)])]
        beta = logit_by_newton(fixed(drawn), drawn["b"].to_numpy(dtype=float))
        a = [special.expit(fixed(drawn.assign(w=w)) @ beta).mean() for w in (0, 1)]
        draws.append(np.log(a[1] / a[0]))
        slopes.append((LINKS["logit"][1](fixed(drawn) @ beta) * (beta[2] + beta[3] * drawn["w"])).mean())
    estimate = fit.effect("w", "ratio")["estimate"].iloc[0]
    assert_relative(table["estimate"], [estimate], 1e-12, "estimate")
    assert_relative(table["std_error"] / estimate, [np.std(draws, ddof=1)], 1e-6, "error of the log")
    assert_relative(np.log(table[["conf_low", "conf_high"]].iloc[0]), np.quantile(draws, [0.025, 0.975]), 1e-6, "limits")
    assert_relative(fit.slope("x", errors="bootstrap", draws=40, seed=6)["std_error"], [np.std(slopes, ddof=1)], 1e-6, "error of the slope")
    again = fit.effect("w", "ratio", errors="bootstrap", draws=40, seed=6)
    pd.testing.assert_frame_equal(table, again)
    assert fit.effect("w", "ratio", errors="bootstrap", draws=40, seed=7)["std_error"].iloc[0] != table["std_error"].iloc[0]


FITS = {
    "glm": lambda: glimm.glm("b ~ w * x", frame(), family="binomial", vcov={"cluster": "g"}),
    "gee": lambda: glimm.gee("b ~ w * x", frame(), groups="g", family="binomial"),
    "lmm": lambda: glimm.glmm("y ~ w * x + (1 | g)", frame()),
    "glmm": lambda: glimm.glmm("b ~ w * x + (1 | g)", frame(), family="binomial", points=9),
}


@pytest.mark.parametrize("name", FITS)
def test_bootstrap_and_sampled_errors_agree(name):
    """sd of 400 draws: 3.5 % Monte-Carlo error; 90 clusters let the two differ by some per cent more."""
    fit = FITS[name]()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        if name == "glmm":
            warnings.filterwarnings("ignore", message="bootstrap", category=glimm.GlimmWarning)
        drawn = fit.effect("w", errors="bootstrap", draws=400, seed=2)
    want = fit.effect("w", errors="sampled")
    assert_relative(drawn["std_error"], want["std_error"], 4.0 / np.sqrt(800.0) + 0.04, "standard error")
    half = 0.5 * (drawn["conf_high"] - drawn["conf_low"])
    assert_relative(half, Q * want["std_error"], 0.25, "half of the interval")
    assert (np.abs(0.5 * (drawn["conf_high"] + drawn["conf_low"]) - want["estimate"]) < 0.5 * want["std_error"]).all()


def test_a_cluster_drawn_twice_is_two_clusters():
    fit = FITS["glmm"]()
    clusters = glimm.inference.influence.independent_clusters(fit.record, "model")
    rows, copy = draw(clusters, np.random.default_rng(3))
    counts = np.bincount(np.random.default_rng(3).integers(0, 90, 90), minlength=90)
    g = frame()["g"].to_numpy()
    pairs = pd.DataFrame({"g": g[rows], "copy": copy, "row": rows}).groupby(["g", "copy"])["row"].apply(lambda r: sorted(r.tolist()))
    assert set(pairs.index) == {(c, k) for c in range(90) for k in range(counts[c])}
    assert all(found == np.flatnonzero(g == c).tolist() for (c, _), found in pairs.items())


def test_draws_without_a_subgroup_are_counted():
    """A subgroup of one cluster of 90 is missed by 37 of 100 draws, of two by 13."""
    data = frame()
    fit = glimm.glm("y ~ x + few", data.assign(few=(data["g"] < 1).astype(int)), vcov={"cluster": "g"})
    with pytest.raises(glimm.GlimmError, match=r"bootstrap: \d+ of 100 resampled data sets could not be fitted: use errors='delta'"):
        fit.effect("x", by="few", errors="bootstrap", draws=100, seed=1)
    fit = glimm.glm("y ~ x + few", data.assign(few=(data["g"] < 2).astype(int)), vcov={"cluster": "g"})
    with pytest.warns(glimm.GlimmWarning, match=r"bootstrap: 1?\d of 100 resampled data sets could not be fitted and are left out"):
        fit.effect("x", by="few", errors="bootstrap", draws=100, seed=1)
