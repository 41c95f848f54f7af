"""Healthy fits: data drawn from the model that is fitted, of sizes that tell its parameters. What a check finds there is a false alarm."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd

import glimm


def clustered(rng, clusters=80, size=8, spread=0.8):
    g = np.repeat(np.arange(clusters), size)
    data = pd.DataFrame({"g": g, "t": np.tile(np.arange(size), clusters), "x": rng.normal(size=len(g))})
    data["z"] = rng.normal(size=clusters)[g]
    data["f"] = rng.choice(["a", "b", "c"], len(g))
    data["u"] = spread * rng.normal(size=clusters)[g]
    data["eta"] = 0.2 + 0.5 * data["x"] - 0.3 * data["z"] + 0.4 * (data["f"] == "b")
    return data


def logistic(eta):
    return 1.0 / (1.0 + np.exp(-eta))


def linear(rng):
    d = clustered(rng)
    return glimm.glm("y ~ x + z + f", d.assign(y=d.eta + rng.normal(size=len(d))))


def binary(rng):
    d = clustered(rng)
    return glimm.glm("y ~ x + z + f", d.assign(y=(rng.random(len(d)) < logistic(d.eta)).astype(int)), family="binomial")


def trials(rng):
    d = clustered(rng, 40, 5)
    d = d.assign(m=rng.integers(2, 20, len(d)))
    return glimm.glm("s / m ~ x + z", d.assign(s=rng.binomial(d.m, logistic(d.eta))), family="binomial")


def counts(rng):
    d = clustered(rng)
    return glimm.glm("y ~ x + z + f", d.assign(y=rng.poisson(np.exp(d.eta))), family="poisson")


def rare_counts(rng):
    d = clustered(rng)
    return glimm.glm("y ~ x + z", d.assign(y=rng.poisson(np.exp(d.eta - 2.0))), family="poisson")


def spread_counts(rng):
    d = clustered(rng)
    mu = np.exp(d.eta)
    return glimm.glm("y ~ x + z", d.assign(y=rng.poisson(rng.gamma(1.5, mu / 1.5))), family="negative_binomial")


def positive(rng):
    d = clustered(rng)
    return glimm.glm("y ~ x + z + f", d.assign(y=rng.gamma(3.0, np.exp(d.eta) / 3.0)), family="gamma", link="log")


def robust(rng):
    d = clustered(rng)
    y = (rng.random(len(d)) < logistic(d.eta + d.u)).astype(int)
    return glimm.glm("y ~ x + z", d.assign(y=y), family="binomial", vcov={"cluster": "g"})


def intercepts(rng):
    d = clustered(rng)
    return glimm.glmm("y ~ x + z + f + (1 | g)", d.assign(y=d.eta + d.u + rng.normal(size=len(d))))


def slopes(rng):
    d = clustered(rng)
    v = 0.7 * rng.normal(size=80)[d.g]
    return glimm.glmm("y ~ x + z + (1 + x | g)", d.assign(y=d.eta + d.u + v * d.x + rng.normal(size=len(d))))


def crossed(rng):
    d = clustered(rng)
    d["h"] = rng.integers(0, 30, len(d))
    y = d.eta + d.u + 0.6 * rng.normal(size=30)[d.h] + rng.normal(size=len(d))
    return glimm.glmm("y ~ x + z + (1 | g) + (1 | h)", d.assign(y=y))


def uneven(rng):
    d = clustered(rng)
    d = d[rng.random(len(d)) < 0.6]
    return glimm.glmm("y ~ x + z + (1 | g)", d.assign(y=d.eta + d.u + rng.normal(size=len(d))))


def mixed_binary(rng):
    d = clustered(rng)
    return glimm.glmm("y ~ x + z + (1 | g)", d.assign(y=(rng.random(len(d)) < logistic(d.eta + d.u)).astype(int)), family="binomial")


def mixed_counts(rng):
    d = clustered(rng)
    return glimm.glmm("y ~ x + z + f + (1 | g)", d.assign(y=rng.poisson(np.exp(d.eta + d.u))), family="poisson")


def mixed_rare_counts(rng):
    d = clustered(rng, 150, 6)
    return glimm.glmm("y ~ x + z + (1 | g)", d.assign(y=rng.poisson(np.exp(d.eta + d.u - 1.0))), family="poisson")


def mixed_trials(rng):
    d = clustered(rng)
    d = d.assign(m=rng.integers(5, 20, len(d)))
    y = rng.binomial(d.m, logistic(d.eta + d.u))
    return glimm.glmm("s / m ~ x + z + (1 | g)", d.assign(s=y), family="binomial")


def crossed_counts(rng):
    d = clustered(rng)
    d["h"] = rng.integers(0, 30, len(d))
    y = rng.poisson(np.exp(d.eta + d.u + 0.6 * rng.normal(size=30)[d.h]))
    return glimm.glmm("y ~ x + z + (1 | g) + (1 | h)", d.assign(y=y), family="poisson")


def gee_exchangeable(rng):
    d = clustered(rng)
    return glimm.gee("y ~ x + z", d.assign(y=(rng.random(len(d)) < logistic(d.eta + d.u)).astype(int)), groups="g", family="binomial")


def gee_counts(rng):
    d = clustered(rng)
    d = d[rng.random(len(d)) < 0.7]
    return glimm.gee("y ~ x + z", d.assign(y=rng.poisson(np.exp(d.eta + 0.5 * d.u))), groups="g", time="t", corr="ar1", family="poisson")


def gee_linear(rng):
    d = clustered(rng)
    return glimm.gee("y ~ x + z + t", d.assign(y=d.eta + d.u + rng.normal(size=len(d))), groups="g", time="t", corr="ar1")


HEALTHY = (
    linear,
    binary,
    trials,
    counts,
    rare_counts,
    spread_counts,
    positive,
    robust,
    intercepts,
    slopes,
    crossed,
    uneven,
    mixed_binary,
    mixed_counts,
    mixed_rare_counts,
    mixed_trials,
    crossed_counts,
    gee_exchangeable,
    gee_counts,
    gee_linear,
)


def alarms(repeats, seed=0):
    """(kind, seed, codes) of every healthy fit in which a check found an error or a warning, and the number of fits."""
    found = []
    for kind in HEALTHY:
        for k in range(repeats):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", glimm.GlimmWarning)
                fit = kind(np.random.default_rng([seed, k]))
            codes = [f.code for f in fit.check() if f.severity != "note"]
            if codes:
                found.append((kind.__name__, k, codes))
    return found, repeats * len(HEALTHY)


if __name__ == "__main__":
    import sys

    found, count = alarms(int(sys.argv[1]) if len(sys.argv) > 1 else 10)
    for one in found:
        print(*one)
    print(f"{len(found)} of {count} healthy fits with a false alarm: {100.0 * len(found) / count:.2f} %")
