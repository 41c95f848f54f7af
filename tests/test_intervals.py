"""Intervals of predictions against closed forms, dense algebra, R (reference/intervals.R) and brute force."""

import json
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import glimm
from glimm.family import LINKS
from glimm.family.records import FAMILIES
from glimm.inference.distributions import DISTRIBUTIONS
from glimm.inference.random import covariances
from glimm.marginal.mixtures import Mixture

REFERENCE = Path(__file__).parent / "reference"
COLUMNS = ["estimate", "std_error", "conf_low", "conf_high"]


@pytest.fixture(scope="module")
def stored():
    return json.loads((REFERENCE / "intervals.json").read_text(encoding="utf-8"))


def data_of(name):
    return pd.read_csv(REFERENCE / "data" / f"{name}.csv")


def quiet(call, *args, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", glimm.GlimmWarning)
        return call(*args, **kwargs)


# ---------------------------------------------------------------- R


@pytest.mark.parametrize("weights", [None, "w"])
def test_glm_intervals_equal_predict_lm(stored, weights):
    sleep = data_of("lme4_sleepstudy").assign(w=lambda d: 0.5 + np.arange(1, len(d) + 1) % 3)
    fit = glimm.glm("Reaction ~ Days", sleep, weights=weights)
    entry = stored["lm" if weights is None else "lm_weights"]
    new = {"Days": [0.0, 4.5, 12.0]}
    names = ["estimate", "conf_low", "conf_high"]
    np.testing.assert_allclose(fit.predict(new, interval="prediction", level=0.9)[names], entry["prediction"], rtol=1e-10)
    np.testing.assert_allclose(fit.predict(new, interval="confidence")[names], entry["confidence"], rtol=1e-10)
    np.testing.assert_allclose(fit.predict(interval="prediction")[names].head(6), entry["own"], rtol=1e-10)


def test_glm_standard_errors_equal_predict_glm(stored):
    fit = glimm.glm("y ~ trt + lbase", data_of("MASS_epil"), family="poisson")
    table = fit.predict(scale="link", interval="confidence").head(5)
    np.testing.assert_allclose(table["estimate"], stored["glm"]["eta"], rtol=1e-9)
    np.testing.assert_allclose(table["std_error"], stored["glm"]["se"], rtol=1e-7)


MODELS = {
    "sleepstudy": ("Reaction ~ Days + (1 + Days | Subject)", "lme4_sleepstudy", "gaussian"),
    "penicillin": ("diameter ~ 1 + (1 | plate) + (1 | sample)", "lme4_Penicillin", "gaussian"),
    "epil": ("y ~ trt + lbase + (1 | subject)", "MASS_epil", "poisson"),
    "seizures": ("y ~ trt * V4 + (1 + V4 | subject)", "MASS_epil", "poisson"),
    "contraception": ("I(use == 'Y') ~ urban + age + (1 | district)", "mlmRev_Contraception", "binomial"),
    "grouseticks": ("TICKS ~ C(YEAR) + h + (1 | BROOD) + (1 | LOCATION)", "lme4_grouseticks", "poisson"),
}


@pytest.mark.parametrize("name", list(MODELS))
def test_known_clusters_equal_glmmtmb(stored, name):
    """An LMM given theta; a GLMM between given and free, because its Var(beta^) has the uncertainty of theta and its modes have not."""
    formula, file, family = MODELS[name]
    data, entry = data_of(file), stored[name]
    if name == "grouseticks":
        data["h"] = (data["HEIGHT"] - 460) / 40
    fit = glimm.glmm(formula, data, family=family, **({"reml": False} if family == "gaussian" else {"points": 1}))
    table = quiet(fit.predict, data.iloc[entry["rows"]], scale="link", interval="confidence")
    np.testing.assert_allclose(table["estimate"], entry["eta"], rtol=1e-3, atol=1e-3)
    if family == "gaussian":
        np.testing.assert_allclose(table["std_error"], entry["given"], rtol=1e-3)
    else:
        np.testing.assert_allclose(table["std_error"], entry["given"], rtol=0.03)
        np.testing.assert_allclose(table["std_error"], entry["free"], rtol=0.03)


# ---------------------------------------------------------------- known clusters by dense algebra


def clusters(seed, levels=12, rows=5):
    rng = np.random.default_rng(seed)
    g = np.repeat(np.arange(levels), rows)
    n = levels * rows
    frame = pd.DataFrame({"g": g, "h": rng.integers(0, 4, n), "x": 30.0 + rng.normal(size=n), "t": np.tile(np.arange(rows), levels)})
    b = rng.multivariate_normal([0, 0], [[0.6, 0.1], [0.1, 0.3]], size=levels)
    frame["eta"] = 0.2 + 0.4 * (frame.x - 30.0) + b[g, 0] + b[g, 1] * (frame.x - 30.0) + 0.5 * rng.normal(size=4)[frame.h]
    return frame.assign(
        y=frame.eta + 0.7 * rng.normal(size=n),
        w=rng.uniform(0.5, 2.0, n),
        c=rng.poisson(np.exp(frame.eta)),
        s=rng.binomial(6, stats.norm.cdf(frame.eta)),
        m=6,
    )


def dense_columns(fit):
    """X, Z with all effects, and their covariance G."""
    part = fit.record.design.mean
    z, g = [], []
    for term, sigma in zip(part.random, covariances(fit.record), strict=True):
        for j in range(len(term.levels)):
            z.append(term.z * (term.refs == j)[:, None])
            g.append(sigma)
    size = sum(len(s) for s in g)
    block, at = np.zeros((size, size)), 0
    for s in g:
        block[at : at + len(s), at : at + len(s)] = s
        at += len(s)
    return part.matrix.dense(), np.hstack(z), block


@pytest.mark.parametrize(
    ("formula", "weights"),
    [
        ("y ~ x + (1 | g)", None),
        ("y ~ x + (1 + x | g)", "w"),
        ("y ~ x + (x || g)", None),
        ("y ~ x + ar1(0 + C(t) | g)", None),
        ("y ~ x + (1 | g) + (1 | h)", "w"),
        ("y ~ x + (1 + x | g) + (1 | h)", None),
        ("y ~ x + (1 | h/g)", None),
    ],
)
def test_an_lmm_has_hendersons_errors(formula, weights):
    data = clusters(3)
    fit = quiet(glimm.glmm, formula, data, weights=weights)
    x, z, g = dense_columns(fit)
    r = (np.ones(len(data)) if weights is None else data.w.to_numpy()) / fit.sigma**2
    xz = np.hstack([x, z])
    left = xz.T @ (xz * r[:, None])
    left[2:, 2:] += np.linalg.inv(g)
    expected = np.sqrt(np.einsum("ij,jk,ik->i", xz, np.linalg.inv(left), xz))
    table = fit.predict(interval="confidence")
    np.testing.assert_allclose(table["std_error"], expected, rtol=2e-6)
    q = stats.norm.ppf(0.975)
    np.testing.assert_allclose(table["conf_low"], table["estimate"] - q * expected, rtol=1e-6, atol=1e-6)
    both = fit.predict(interval="prediction")
    np.testing.assert_allclose(both["std_error"], np.sqrt(expected**2 + 1 / r), rtol=2e-6)


def test_effects_of_lost_rank():
    data = clusters(5).assign(y=lambda d: d.eta.groupby(d.g).transform("mean") + np.random.default_rng(2).normal(size=len(d)))
    fit = quiet(glimm.glmm, "y ~ x + (1 + x | g)", data)
    x, z, g = dense_columns(fit)
    assert np.linalg.matrix_rank(covariances(fit.record)[0], tol=1e-9) == 1
    v = z @ g @ z.T + fit.sigma**2 * np.eye(len(data))
    c = np.linalg.inv(x.T @ np.linalg.solve(v, x))
    a = np.linalg.solve(v, z @ g @ z.T).T
    moved = x - a @ x
    expected = np.diag(z @ g @ z.T - a @ z @ g @ z.T) + np.einsum("ij,jk,ik->i", moved, c, moved)
    np.testing.assert_allclose(fit.predict(interval="confidence")["std_error"], np.sqrt(expected), rtol=1e-5)


DENSITIES = {
    "poisson": (lambda d, eta: stats.poisson.logpmf(d.c, np.exp(eta)), "c"),
    "binomial": (lambda d, eta: stats.binom.logpmf(d.s, d.m, stats.norm.cdf(eta)), "s / m"),
}


@pytest.mark.parametrize("family", list(DENSITIES))
@pytest.mark.parametrize("random", ["(1 + x | g)", "(1 | g) + (1 | h)"])
def test_a_glmm_has_the_errors_of_dense_modes(family, random):
    """V from second differences of the joint log-density, D from modes found anew at moved coefficients."""
    data = clusters(11)
    density, response = DENSITIES[family]
    link = {"poisson": "log", "binomial": "probit"}[family]
    fit = quiet(glimm.glmm, f"{response} ~ x + {random}", data, family=family, link=link, points=1)
    x, z, g = dense_columns(fit)
    precision, h = np.linalg.inv(g), 1e-3

    def derivatives(eta):
        f = [density(data, eta + k * h) for k in (-2, -1, 0, 1, 2)]
        first = (f[0] - 8 * f[1] + 8 * f[3] - f[4]) / (12 * h)
        return first, (-f[0] + 16 * f[1] - 30 * f[2] + 16 * f[3] - f[4]) / (12 * h * h)

    def mode(beta, b):
        for _ in range(60):
            first, second = derivatives(x @ beta + z @ b)
            step = np.linalg.solve(z.T @ (z * -second[:, None]) + precision, z.T @ first - precision @ b)
            b = b + step
            if np.abs(step).max() < 1e-9:
                break
        return b, np.linalg.inv(z.T @ (z * -second[:, None]) + precision)

    beta = fit.params.to_numpy()
    b, v = mode(beta, np.zeros(len(g)))
    moved = [1e-3 * np.array([1.0, 0.0]), 1e-3 * np.array([-30.0, 1.0])]  # the intercept at x = 30 and the slope there
    along = np.column_stack([(mode(beta + m, b)[0] - mode(beta - m, b)[0]) / 2e-3 for m in moved])
    basis = np.column_stack(moved) * 1e3
    cov = np.linalg.inv(basis) @ fit.cov_params().to_numpy() @ np.linalg.inv(basis).T
    total = x @ basis + z @ along
    expected = np.sqrt(np.einsum("ij,jk,ik->i", z, v, z) + np.einsum("ij,jk,ik->i", total, cov, total))
    table = fit.predict(scale="link", interval="confidence")
    np.testing.assert_allclose(table["std_error"], expected, rtol=1e-4)
    response = fit.predict(interval="confidence")
    mean = np.exp if link == "log" else stats.norm.cdf
    slope = np.exp if link == "log" else stats.norm.pdf
    q = stats.norm.ppf(0.975)
    np.testing.assert_allclose(response["std_error"], slope(table["estimate"]) * table["std_error"], rtol=1e-8)
    np.testing.assert_allclose(response["conf_high"], mean(table["estimate"] + q * table["std_error"]), rtol=1e-9)


@pytest.mark.parametrize("formula", ["y ~ x + (1 + x | g)", "y ~ x + (1 | g) + (1 | h)"])
def test_a_new_cluster_has_the_variance_of_its_effect(formula):
    data = clusters(3)
    fit = glimm.glmm(formula, data)
    new = data.head(3).assign(g=[0, 999, 999], h=[1, 1, 999])
    with pytest.warns(glimm.GlimmWarning, match="the interval has the variance of a new cluster's effect"):
        table = fit.predict(new, interval="confidence")
    x = np.column_stack([np.ones(3), new.x])
    fixed = np.einsum("ij,jk,ik->i", x, fit.cov_params().to_numpy(), x)
    cluster = fit.predict(new, target="marginal", interval="cluster")
    np.testing.assert_allclose(table["std_error"][2] ** 2, cluster["std_error"][2] ** 2, rtol=1e-10)
    assert table["std_error"][0] ** 2 < fixed[0] + 0.6
    if "h" in formula:  # the school is known, the other is not
        assert table["std_error"][1] < table["std_error"][2]


def test_what_known_clusters_cannot_have():
    data = clusters(3)
    fit = quiet(glimm.glmm, "y ~ x + ou(0 + t | g)", data)
    with pytest.raises(glimm.GlimmError, match=r"ou.*target='typical' or target='marginal'"):
        fit.predict(interval="confidence")
    rng = np.random.default_rng(0)
    many = pd.DataFrame({"y": rng.normal(size=9000), "a": np.repeat(np.arange(4500), 2), "b": rng.integers(0, 9, 9000)})
    fit = quiet(glimm.glmm, "y ~ 1 + (1 | a) + (1 | b)", many)
    with pytest.raises(glimm.GlimmError, match=r"up to 4000 random effects.*4509.*target='typical'"):
        fit.predict(interval="confidence")


# ---------------------------------------------------------------- new clusters and new rows


def test_an_lmm_has_closed_forms():
    data = clusters(3)
    fit = glimm.glmm("y ~ x + (1 + x | g)", data, weights="w")
    new = data.head(4)
    x = np.column_stack([np.ones(4), new.x])
    s2 = np.einsum("ij,jk,ik->i", x, fit.cov_params().to_numpy(), x)
    v = np.einsum("ij,jk,ik->i", x, covariances(fit.record)[0], x)
    q = stats.norm.ppf(0.95)
    for target in ("typical", "marginal"):
        cluster = fit.predict(new, target=target, interval="cluster", level=0.9)
        np.testing.assert_allclose(cluster["std_error"], np.sqrt(v + s2), rtol=1e-7)
        np.testing.assert_allclose(cluster["conf_low"], x @ fit.params - q * np.sqrt(v + s2), rtol=1e-7)
        part = v if target == "marginal" else 0.0
        for rows, noise in ((new, fit.sigma**2), (None, fit.sigma**2 / data.w.to_numpy()[:4])):
            table = fit.predict(rows, target=target, interval="prediction", level=0.9).head(4)
            np.testing.assert_allclose(table["std_error"], np.sqrt(part + s2 + noise), rtol=1e-7)
            np.testing.assert_allclose(table["conf_high"], x @ fit.params + q * table["std_error"], rtol=1e-7)


SIMULATED = 1_000_000


@pytest.fixture(scope="module")
def slopes():
    """Four GLMMs with slopes: fit, new rows, h, and draws of a response given its mean."""
    rng = np.random.default_rng(20)
    g = np.repeat(np.arange(50), 6)
    x = rng.normal(size=300)
    b = rng.multivariate_normal([0, 0], [[0.4, 0.1], [0.1, 0.15]], size=50)
    eta = 0.8 + 0.3 * x + b[g, 0] + b[g, 1] * x
    mu = np.exp(eta)
    p = 1 / (1 + np.exp(-eta))
    trials = rng.integers(5, 15, 300)
    data = pd.DataFrame({"g": g, "x": x, "m": trials, "s": rng.binomial(trials, p), "c": rng.poisson(mu), "y": rng.gamma(3, mu / 3)})
    data["k"] = rng.negative_binomial(1.5, 1.5 / (1.5 + mu))
    asks = {
        "binomial": ("s / m", "logit", {}),
        "poisson": ("c", "log", {}),
        "gamma": ("y", "log", {}),
        "negative_binomial": ("k", "log", {}),
    }
    new = pd.DataFrame({"x": [-1.0, 0.5, 2.0], "m": [12, 5, 40]})
    return {
        family: (glimm.glmm(f"{y} ~ x + (1 + x | g)", data, family=family, link=link, points=1), new)
        for family, (y, link, _) in asks.items()
    }


@pytest.mark.parametrize("family", ["binomial", "poisson", "gamma", "negative_binomial"])
@pytest.mark.parametrize("target", ["marginal", "typical"])
def test_simulated_clusters_and_rows(slopes, family, target):
    """A million of each: shares within 4.5 Monte-Carlo standard errors of 0.025 and 0.975, sd within 2 % (log link: 5 %)."""
    fit, new = slopes[family]
    rng = np.random.default_rng(7)
    x = np.column_stack([np.ones(3), new.x])
    beta = rng.multivariate_normal(fit.params, fit.cov_params(), size=SIMULATED)
    b = rng.multivariate_normal([0, 0], covariances(fit.record)[0], size=SIMULATED)
    h = np.exp if family != "binomial" else lambda e: 1 / (1 + np.exp(-e))
    tolerance = 4.5 * np.sqrt(0.025 * 0.975 / SIMULATED)
    clusters, rows = (fit.predict(new, target=target, interval=kind) for kind in ("cluster", "prediction"))
    np.testing.assert_allclose(rows["estimate"], fit.predict(new, target=target), rtol=1e-12)
    for i in range(3):
        means = h((beta + b) @ x[i])
        assert means.std() == pytest.approx(clusters["std_error"][i], rel=0.02 if family == "binomial" else 0.05)
        shares = np.mean(means < clusters["conf_low"][i]), np.mean(means <= clusters["conf_high"][i])
        np.testing.assert_allclose(shares, (0.025, 0.975), atol=tolerance)
        mu = means if target == "marginal" else h(beta @ x[i])
        if family == "binomial":
            y, grain = rng.binomial(new.m[i], mu) / new.m[i], 1.0 / new.m[i]
        elif family == "poisson":
            y, grain = rng.poisson(mu), 1.0
        elif family == "gamma":
            shape = 1 / fit.scale
            y, grain = rng.gamma(shape, mu / shape), 0.0
        else:
            k = fit.parts["family"].params["k"]
            y, grain = rng.negative_binomial(k, k / (k + mu)), 1.0
        assert y.std() == pytest.approx(rows["std_error"][i], rel=0.02 if family == "binomial" else 0.05)
        for limit, p in ((rows["conf_low"][i], 0.025), (rows["conf_high"][i], 0.975)):
            at, below = np.mean(y <= limit + 1e-9), np.mean(y <= limit - grain + 1e-9)
            if grain:
                assert at >= p - tolerance
                assert below < p + tolerance
            else:
                assert at == pytest.approx(p, abs=tolerance)


CASES = [
    ("poisson", "log", {}, 13.0, 1.0),
    ("poisson", "log", {}, 13.0, 0.01),
    ("poisson", "log", {}, -3.0, 2.5),
    ("poisson", "sqrt", {}, 5.0, 0.5),
    ("gamma", "log", {"phi": 0.001}, 2.0, 2.0),
    ("gamma", "log", {"phi": 5.0}, 2.0, 0.3),
    ("gamma", "inverse", {"phi": 0.5}, 1.0, 0.2),
    ("inverse_gaussian", "log", {"phi": 0.01}, 1.0, 1.0),
    ("inverse_gaussian", "inverse_squared", {"phi": 0.5}, 1.0, 0.1),
    ("beta", "logit", {"precision": 400.0}, 1.0, 2.0),
    ("beta", "cloglog", {"precision": 3.0}, -0.5, 0.7),
    ("gaussian", "log", {"phi": 4.0}, 0.0, 1.0),
    ("negative_binomial", "log", {"k": 0.2}, 1.0, 1.0),
    ("negative_binomial", "log", {"k": 500.0}, 9.0, 1.0),
    ("negative_binomial1", "log", {"alpha": 3.0}, 6.0, 0.8),
]


def known_cdf(family, y, mu, v):
    """The distribution function by scipy.stats."""
    if family == "poisson":
        return stats.poisson.cdf(y, mu)
    if family == "gamma":
        return stats.gamma.cdf(y, 1 / v["phi"], scale=mu * v["phi"])
    if family == "inverse_gaussian":
        return stats.invgauss.cdf(y, mu * v["phi"], scale=1 / v["phi"])
    if family == "beta":
        return stats.beta.cdf(y, mu * v["precision"], (1 - mu) * v["precision"])
    if family == "gaussian":
        return stats.norm.cdf(y, mu, np.sqrt(v["phi"]))
    if family == "negative_binomial":
        return stats.nbinom.cdf(y, v["k"], v["k"] / (v["k"] + mu))
    if family == "negative_binomial1":
        return stats.nbinom.cdf(y, mu / v["alpha"], 1 / (1 + v["alpha"]))
    size, p = v["phi"] * (v["power"] - 1) * mu ** (v["power"] - 1), v["power"]
    rate = mu ** (2 - p) / (v["phi"] * (2 - p))
    n = np.arange(1, 200)[:, None]
    return np.exp(-rate) + (stats.poisson.pmf(n, rate) * stats.gamma.cdf(y, n * (2 - p) / (p - 1), scale=size)).sum(axis=0)


MEANS = {
    "log": np.exp,
    "sqrt": lambda e: np.where(e > 0, e, np.nan) ** 2,
    "inverse": lambda e: 1 / np.where(e > 0, e, np.nan),
    "inverse_squared": lambda e: np.where(e > 0, e, np.nan) ** -0.5,
    "logit": lambda e: 1 / (1 + np.exp(-e)),
    "cloglog": lambda e: -np.expm1(-np.exp(e)),
}


@pytest.mark.parametrize(
    ("family", "link", "values", "eta", "sd"), [*CASES, ("tweedie", "log", {"phi": 0.5, "power": 1.4}, 1.0, 0.8)], ids=lambda a: str(a)
)
def test_mixtures_equal_brute_force(family, link, values, eta, sd):
    """Limits at which a trapezoid rule of 200,001 points (tweedie: 6,001), with the distribution functions of scipy.stats, gives p."""
    n = 6001 if family == "tweedie" else 200_001
    u = np.linspace(-12, 12, n)
    mu = MEANS[link](eta + sd * u)
    w = np.where(np.isnan(mu), 0.0, stats.norm.pdf(u))
    w, mu = w / w.sum(), np.where(np.isnan(mu), 1.0, np.clip(mu, 1e-12, 1 - 1e-12 if family == "beta" else np.inf))
    one = np.ones(1)
    mixture = Mixture(FAMILIES[family], LINKS[link], DISTRIBUTIONS[family], {"phi": 1.0} | values, eta * one, sd * one, one, one)
    for p in (0.005, 0.025, 0.5, 0.975):
        y = mixture.quantile(p)[0]
        at = w @ known_cdf(family, y, mu, values)
        if FAMILIES[family].support == "count":
            assert at >= p - 1e-9
            assert y == 0 or w @ known_cdf(family, y - 1, mu, values) < p + 1e-9
        elif family == "tweedie" and y == 0.0:
            assert at >= p
        else:
            assert at == pytest.approx(p, abs=2e-6)
    if link.startswith("inverse"):
        w = np.where(np.abs(u) < 0.8 * np.abs(u[np.isnan(MEANS[link](eta + sd * u))]).min(), w, 0.0)  # without it there is no second moment
        w = w / w.sum()
    mean = w @ mu
    v = DISTRIBUTIONS[family].variance(mu, {"phi": 1.0} | values)
    moments = mixture.moments()
    np.testing.assert_allclose(
        moments.variance + moments.within, w @ (mu - mean) ** 2 + w @ v, rtol=0.01 if link.startswith("inv") else 1e-8
    )


def test_concentrated_families_have_quantiles_of_their_own():
    """Without uncertainty of eta: scipy's quantiles, at random parameters."""
    rng = np.random.default_rng(3)
    eta, zero, one = rng.uniform(-2, 4, 40), np.zeros(40), np.ones(40)
    mu = np.exp(eta)
    for p in (0.01, 0.3, 0.9, 0.999):
        made = {
            name: Mixture(FAMILIES[name], LINKS["log"], DISTRIBUTIONS[name], {"phi": 0.6, "k": 1.3}, eta, zero, one, one).quantile(p)
            for name in ("poisson", "gamma", "negative_binomial", "inverse_gaussian")
        }
        np.testing.assert_array_equal(made["poisson"], stats.poisson.ppf(p, mu))
        np.testing.assert_array_equal(made["negative_binomial"], stats.nbinom.ppf(p, 1.3, 1.3 / (1.3 + mu)))
        np.testing.assert_allclose(made["gamma"], stats.gamma.ppf(p, 1 / 0.6, scale=0.6 * mu), rtol=1e-8)
        np.testing.assert_allclose(made["inverse_gaussian"], stats.invgauss.ppf(p, 0.6 * mu, scale=1 / 0.6), rtol=1e-6)
        trials = rng.integers(1, 30, 40).astype(float)
        found = Mixture(FAMILIES["binomial"], LINKS["logit"], DISTRIBUTIONS["binomial"], {}, eta, zero, one, trials).quantile(p)
        np.testing.assert_allclose(found * trials, stats.binom.ppf(p, trials, 1 / (1 + np.exp(-eta))), atol=1e-9)


def test_cluster_means_on_the_scale_of_the_link_and_of_a_log():
    data = clusters(3)
    fit = glimm.glmm("c ~ x + (1 | g)", data, family="poisson", points=9)
    new = data.head(3)
    link = fit.predict(new, scale="link", interval="cluster")
    x = np.column_stack([np.ones(3), new.x])
    v = fit.theta[0] ** 2 + np.einsum("ij,jk,ik->i", x, fit.cov_params().to_numpy(), x)
    np.testing.assert_allclose(link["std_error"], np.sqrt(v), rtol=1e-6)
    default, typical = fit.predict(new, interval="cluster"), fit.predict(new, target="typical", interval="cluster")
    np.testing.assert_allclose(default["estimate"], fit.predict(new, target="marginal"), rtol=1e-12)
    np.testing.assert_allclose(typical["estimate"], np.exp(link["estimate"]), rtol=1e-12)
    np.testing.assert_allclose(default["conf_high"], np.exp(link["conf_high"]), rtol=1e-12)
    lognormal = np.exp(link["estimate"]) * np.sqrt(np.exp(v) * np.expm1(v))
    np.testing.assert_allclose(default["std_error"], lognormal, rtol=1e-9)


# ---------------------------------------------------------------- coverage


def test_intervals_cover_what_they_are_about():
    """200 simulated data sets with 40 clusters of 6: 95 % intervals hold 90 to 99 in 100 of new responses, known means and new means."""
    hits = np.zeros((200, 8))
    for r in range(200):
        rng = np.random.default_rng([31, r])
        g = np.repeat(np.arange(41), 7)
        x = rng.normal(size=len(g))
        b = 0.8 * rng.normal(size=41)
        eta = 0.5 + 0.4 * x + b[g]
        data = pd.DataFrame({"g": g, "x": x, "eta": eta, "y": eta + rng.normal(size=len(g)), "p": rng.gamma(4, np.exp(eta) / 4)})
        last = np.tile(np.arange(7) == 6, 41)  # the seventh row of a known cluster, and a cluster, are held back
        seen, known, new = data[~last & (g < 40)], data[last].iloc[[r % 40]], data[g == 40].iloc[[0]]
        for k, (y, family, h) in enumerate((("y", "gaussian", lambda e: e), ("p", "gamma", np.exp))):
            fit = quiet(
                glimm.glmm, f"{y} ~ x + (1 | g)", seen, **({} if family == "gaussian" else {"family": family, "link": "log", "points": 1})
            )
            truth = [known[y], h(known.eta), new[y], h(new.eta)]
            tables = [
                fit.predict(known, interval="prediction"),
                fit.predict(known, interval="confidence"),
                fit.predict(new, target="marginal", interval="prediction"),
                fit.predict(new, interval="cluster"),
            ]
            for j, (value, table) in enumerate(zip(truth, tables, strict=True)):
                hits[r, 4 * k + j] = table["conf_low"][0] <= value.iloc[0] <= table["conf_high"][0]
    assert ((hits.mean(axis=0) >= 0.9) & (hits.mean(axis=0) <= 0.99)).all(), hits.mean(axis=0)


# ---------------------------------------------------------------- what is asked, and how


def test_one_binary_response_says_little():
    ohio = glimm.load_dataset("ohio")
    fit = glimm.glmm("resp ~ age + (1 | id)", ohio, family="binomial", points=5)
    with pytest.warns(glimm.GlimmWarning, match=r"0/1 response is nearly always 0 to 1.*interval='cluster'") as said:
        table = fit.predict(ohio.head(3), target="marginal", interval="prediction")
    assert len(said) == 1
    assert table[["conf_low", "conf_high"]].to_numpy().tolist() == [[0.0, 1.0]] * 3
    with pytest.warns(glimm.GlimmWarning, match="interval='confidence'"):
        glimm.glm("resp ~ age", ohio, family="binomial").predict(ohio.head(3), interval="prediction")


def test_trials_of_new_rows():
    data = clusters(3).assign(f=lambda d: d.m - d.s)
    fits = [glimm.glm(f"{y} ~ x", data, family="binomial") for y in ("s / m", "cbind(s, f)", "s / 6")]
    tables = [fit.predict(data.head(5), interval="prediction")[COLUMNS] for fit in fits]
    own = fits[0].predict(interval="prediction").head(5)
    for table in tables:
        np.testing.assert_allclose(table, own, rtol=1e-9)
        np.testing.assert_allclose(6 * table["conf_high"], np.round(6 * table["conf_high"]), atol=1e-12)
    part = fits[0].predict({"x": [30.0, 30.0], "m": [6.0, np.nan]}, interval="prediction")
    assert np.isnan(part["conf_low"][1])
    assert np.isfinite(part["conf_low"][0])
    with pytest.raises(glimm.GlimmError, match=r"no column 'm'.*trials of a new response"):
        fits[0].predict({"x": [30.0]}, interval="prediction")
    with pytest.raises(glimm.GlimmError, match=r"whole numbers \(row 1"):
        fits[0].predict({"x": [30.0, 31.0], "m": [6, 2.5]}, interval="prediction")


def test_weights_divide_the_dispersion_only():
    data = clusters(3).assign(p=lambda d: np.random.default_rng(1).gamma(2, np.exp(d.eta) / 2))
    gamma = glimm.glm("p ~ x", data, family="gamma", link="log", weights="w")
    own = gamma.predict(interval="prediction")
    x = np.column_stack([np.ones(len(data)), data.x])
    s2 = np.einsum("ij,jk,ik->i", x, gamma.cov_params().to_numpy(), x)
    e = np.log(gamma.fittedvalues.to_numpy())
    phi = gamma.parts["family"].params["phi"]
    total = np.exp(2 * e + s2) * np.expm1(s2) + phi / data.w * np.exp(2 * e + 2 * s2)
    np.testing.assert_allclose(own["std_error"], np.sqrt(total), rtol=1e-8)
    count = glimm.glm("c ~ x", data, family="poisson", weights="w")
    np.testing.assert_allclose(count.predict(interval="prediction"), count.predict(data, interval="prediction"), rtol=1e-12)


def test_falling_links_have_their_lower_limit_first():
    data = clusters(3).assign(p=lambda d: np.random.default_rng(1).gamma(9, np.exp(d.eta) / 9))
    fit = glimm.glm("p ~ 1", data, family="gamma")
    for kind in ("confidence", "prediction"):
        table = fit.predict(data.head(2), interval=kind)
        assert (table["conf_low"] < table["estimate"]).all()
        assert (table["estimate"] < table["conf_high"]).all()
    eta, se = 1 / table["estimate"][0], float(fit.bse.iloc[0])
    q = stats.t.ppf(0.975, fit.df_resid)
    wanted = fit.predict(data.head(1), interval="confidence")
    np.testing.assert_allclose([wanted["conf_low"][0], wanted["conf_high"][0]], [1 / (eta + q * se), 1 / (eta - q * se)], rtol=1e-9)


def test_means_that_a_family_cannot_have():
    data = pd.DataFrame({"y": [0, 1, 0, 2, 1, 5, 4, 6], "x": [0.0, 0, 1, 1, 2, 2, 3, 3]})
    fit = quiet(glimm.glm, "y ~ x", data, family="poisson", link="identity")
    with pytest.raises(glimm.GlimmError, match=r"link 'identity'.*no mean that family 'poisson' can have.*link='log'"):
        fit.predict({"x": [0.0]}, interval="prediction")


def test_missing_predictors_and_other_frames():
    polars = pytest.importorskip("polars")
    data = clusters(3)
    fit = glimm.glmm("c ~ x + (1 + x | g)", polars.from_pandas(data), family="poisson", points=1)
    new = polars.DataFrame({"x": [30.0, None], "g": [1, 1]})
    for kind in ("confidence", "prediction"):
        table = fit.predict(new, interval=kind)
        assert isinstance(table, polars.DataFrame)
        assert np.isfinite(table.to_numpy()[0]).all()
        assert np.isnan(table.to_numpy()[1]).all()


@pytest.mark.parametrize("kind", [None, "confidence", "cluster", "prediction"])
@pytest.mark.parametrize("target", ["conditional", "typical", "marginal"])
def test_no_rows_give_no_predictions(kind, target):
    if kind == "cluster" and target == "conditional":
        return
    data = clusters(3)
    for formula in ("c ~ x + (1 + x | g)", "c ~ x + (1 | g) + (1 | h)"):
        fit = glimm.glmm(formula, data, family="poisson", points=1)
        for empty in (data.head(0), {"x": [], "g": [], "h": []}):
            assert fit.predict(empty, target=target, interval=kind).shape == ((0,) if kind is None else (0, 4))
        with pytest.raises(glimm.GlimmError, match="no column 'x'"):
            fit.predict({"g": []}, target=target, interval=kind)


def test_a_family_of_your_own():
    family = glimm.CustomFamily("mine", lambda y, mu: y * np.log(mu) - mu, link="log", support="count")
    data = clusters(3)
    fit = glimm.glm("c ~ x", data, family=family)
    with pytest.raises(glimm.GlimmError, match=r"'mine' is your own.*interval='confidence'"):
        fit.predict(interval="prediction")


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        ({"interval": "cluster", "target": "conditional"}, "about a new cluster"),
        ({"interval": "prediction", "scale": "link"}, "scale='response'"),
        ({"interval": "predictive"}, "confidence, cluster, prediction"),
        ({"interval": "cluster", "level": 95}, "level must be between 0 and 1"),
    ],
)
def test_what_cannot_be_asked_of_a_mixed_model(slopes, ask, words):
    with pytest.raises(glimm.GlimmError, match=words):
        slopes["poisson"][0].predict(**ask)


def test_what_cannot_be_asked_of_the_others():
    data = clusters(3)
    gee = glimm.gee("y ~ x", data, groups="g")
    with pytest.raises(glimm.GlimmError, match=r"a GEE states means.*glimm.glm or glimm.glmm"):
        gee.predict(interval="prediction")
    for fit in (gee, glimm.glm("y ~ x", data)):
        with pytest.raises(glimm.GlimmError, match=r"no distribution of clusters.*glimm.glmm"):
            fit.predict(interval="cluster")
