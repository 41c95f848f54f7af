"""Data whose right model is known by construction, and the numbers of an advice by loops and NumPy alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

REFERENCE = Path(__file__).parent / "reference" / "data"


def logistic(eta):
    return 1.0 / (1.0 + np.exp(-eta))


def long(clusters, rows, seed):
    """A frame of equally large clusters with times, a predictor in rows, one of clusters, and normal effects of clusters."""
    rng = np.random.default_rng(seed)
    data = pd.DataFrame({"g": np.repeat(np.arange(clusters), rows), "t": np.tile(np.arange(rows), clusters)})
    data["x"] = rng.normal(size=len(data))
    data["trt"] = (data["g"] % 2).astype(int)
    return rng, data, rng.normal(size=clusters)[data["g"]]


def exchangeable():
    rng, d, b = long(80, 6, 1)
    return d.assign(y=1.0 + 0.5 * d["x"] + b + rng.normal(size=len(d)))


def autoregressive():
    rng, d, _ = long(150, 8, 2)
    e = rng.normal(size=(150, 8))
    for k in range(1, 8):
        e[:, k] = 0.7 * e[:, k - 1] + np.sqrt(1 - 0.49) * e[:, k]
    return d.assign(y=0.3 * d["x"] + e.ravel())


def independent():
    rng, d, _ = long(60, 5, 3)
    return pd.DataFrame({"y": d["x"] + rng.normal(size=300), "x": d["x"], "z": rng.uniform(size=300)})


def own_cluster():
    return independent().assign(row=lambda d: np.arange(len(d)))


def few():
    rng, d, b = long(8, 25, 4)
    return d.assign(y=(rng.uniform(size=200) < logistic(-0.3 + 0.8 * d["x"] + 1.2 * b)).astype(int))


def randomised_clusters():
    rng, d, b = long(50, 12, 5)
    return d.assign(y=(rng.uniform(size=600) < logistic(-0.5 + 0.6 * d["trt"] + b)).astype(int))


def informative_size():
    rng = np.random.default_rng(6)
    b = rng.normal(size=200)
    sizes = 2 + rng.poisson(np.exp(0.8 + 0.6 * b))
    g = np.repeat(np.arange(200), sizes)
    x = rng.normal(size=len(g))
    return pd.DataFrame({"g": g, "x": x, "y": (rng.uniform(size=len(g)) < logistic(0.5 * x + b[g])).astype(int)})


def dropping_out():
    rng, d, b = long(300, 5, 7)
    y = (0.3 * d["t"] + b + rng.normal(size=len(d))).to_numpy().reshape(300, 5)
    stays = np.ones(300, dtype=bool)
    seen = np.ones((300, 5), dtype=bool)
    for k in range(1, 5):
        stays &= rng.uniform(size=300) > logistic(-3.0 + 1.3 * y[:, k - 1])
        seen[:, k] = stays
    return d.assign(y=np.where(seen, y, np.nan).ravel())


def dropping_out_at_random():
    rng, d, b = long(300, 5, 8)
    last = np.where(rng.uniform(size=300) < 0.3, rng.integers(1, 5, 300), 5)
    y = 0.3 * d["t"] + b + rng.normal(size=len(d))
    return d.assign(y=np.where(d["t"] < last[d["g"]], y, np.nan))


def overdispersed_counts():
    rng, d, b = long(100, 6, 9)
    mean = np.exp(1.0 + 0.3 * d["x"] + 0.5 * b)
    return d.assign(y=rng.poisson(mean * rng.gamma(1.0, 1.0, len(d))))


def poisson_counts():
    rng, d, b = long(100, 6, 10)
    return d.assign(y=rng.poisson(np.exp(0.5 + 0.3 * d["x"] + 0.6 * b)))


def crossed():
    rng = np.random.default_rng(11)
    pupil, item = np.repeat(np.arange(60), 40), np.tile(np.arange(40), 60)
    eta = rng.normal(size=60)[pupil] + rng.normal(size=40)[item]
    x = rng.normal(size=2400)
    return pd.DataFrame({"pupil": pupil, "item": item, "x": x, "y": (rng.uniform(size=2400) < logistic(eta + 0.5 * x)).astype(int)})


def nested():
    rng = np.random.default_rng(12)
    school, room = np.repeat(np.arange(45), 20), np.repeat(np.arange(180), 5)
    x = rng.normal(size=900)
    y = 0.4 * x + 0.7 * rng.normal(size=45)[school] + 0.6 * rng.normal(size=180)[room] + rng.normal(size=900)
    return pd.DataFrame({"school": school, "room": room, "x": x, "y": y})


def two_effects():
    rng, d, b = long(100, 6, 13)
    x = d["x"] + 1.5 * b
    return d.assign(x=x, y=0.5 * x + 2.0 * b + rng.normal(size=len(d)))


def slopes():
    return pd.read_csv(REFERENCE / "lme4_sleepstudy.csv")


def codes(statements):
    return {s.code for s in statements}


def evidence(statements, code, number=0):
    return [s.evidence for s in statements if s.code == code][number]


def residuals(y, x, binomial=False, poisson=False):
    """Pearson residuals of a GLM by Newton's method."""
    beta = np.zeros(x.shape[1])
    if poisson:
        beta[0] = np.log(y.mean())
    for _ in range(50):
        eta = x @ beta
        mu = logistic(eta) if binomial else np.exp(eta) if poisson else eta
        v = mu * (1 - mu) if binomial else mu if poisson else np.ones(len(y))
        beta = beta + np.linalg.solve(x.T @ (v[:, None] * x), x.T @ (y - mu))
    return (y - mu) / np.sqrt(v), mu


def columns(data, *names):
    return np.column_stack([np.ones(len(data)), *(data[name] for name in names)])


def pairs_of(r, g):
    """Products of residuals over all pairs of a cluster, one by one."""
    out = []
    for level in np.unique(g):
        e = r[g == level]
        out += [e[j] * e[k] for j in range(len(e)) for k in range(j)]
    return np.array(out)
