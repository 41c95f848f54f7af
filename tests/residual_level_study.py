"""Do residual tests reject right models 5 times in 100, and wrong ones often? Responses are drawn by NumPy from known parameters.

`make residual-levels` (1,000 data sets of each study) prints for each test the share of p-values below 0.05, with its Monte-Carlo error,
and fails where a right model's lies outside 3.5 to 6.5 %, or where a wrong model is found less often than stated. test_residual_tests.py
runs the short form.
"""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

import glimm
from coverage_study import main, pooled

TESTS = ("uniformity", "dispersion", "zeros", "outliers", "autocorrelation")
LEVEL, LOW, HIGH = 0.05, 0.035, 0.065

Columns = dict[str, np.ndarray]


@dataclass(frozen=True)
class Study:
    """A model and what the data are.

    columns : the same in every replicate; draw : the response columns; asked : arguments of residual_tests
    power : test -> the least share of data sets in which it must reject; empty where the model is right
    """

    door: Callable[..., glimm.fit.Fit]
    formula: str
    options: dict[str, object]
    columns: Columns
    draw: Callable[[np.random.Generator], Columns]
    power: dict[str, float] = field(default_factory=dict)
    asked: dict[str, object] = field(default_factory=dict)


def rows(n: int = 200) -> tuple[Columns, np.ndarray]:
    """Three predictors, and a linear predictor of moderate size."""
    rng = np.random.default_rng(501)
    x, w, f = rng.normal(size=n), rng.uniform(-1.0, 1.0, n), rng.integers(0, 2, n).astype(float)
    return {"x": x, "w": w, "f": f}, 0.4 + 0.5 * x - 0.6 * w + 0.3 * f


def groups(many: int, size: int) -> tuple[Columns, np.ndarray, np.ndarray]:
    """Clusters with a predictor inside and one between; codes and the linear predictor."""
    rng, g = np.random.default_rng(502), np.repeat(np.arange(many), size)
    x, w = rng.normal(size=many * size), rng.normal(size=many)[g]
    return {"x": x, "w": w, "g": g}, g, 0.3 + 0.5 * x + 0.3 * w


def logistic(eta: np.ndarray) -> np.ndarray:
    """h."""
    return 1.0 / (1.0 + np.exp(-eta))


FIXED = "x + w + f"


def gaussian() -> Study:
    c, eta = rows()
    return Study(glimm.glm, f"y ~ {FIXED}", {}, c, lambda rng: {"y": eta + 0.8 * rng.normal(size=len(eta))})


def proportions() -> Study:
    c, eta = rows()
    trials = np.random.default_rng(503).integers(3, 12, len(eta))
    options = {"family": "binomial"}
    return Study(glimm.glm, f"s / m ~ {FIXED}", options, c | {"m": trials}, lambda rng: {"s": rng.binomial(trials, logistic(eta - 0.8))})


def poisson() -> Study:
    c, eta = rows()
    return Study(glimm.glm, f"y ~ {FIXED}", {"family": "poisson"}, c, lambda rng: {"y": rng.poisson(np.exp(eta))})


def negative_binomial() -> Study:
    c, eta = rows()

    def draw(rng: np.random.Generator) -> Columns:
        return {"y": rng.poisson(np.exp(eta + 0.5) * rng.gamma(2.0, 0.5, len(eta)))}

    return Study(glimm.glm, f"y ~ {FIXED}", {"family": "negative_binomial"}, c, draw)


def gamma() -> Study:
    c, eta = rows()
    options = {"family": "gamma", "link": "log"}
    return Study(glimm.glm, f"y ~ {FIXED}", options, c, lambda rng: {"y": np.exp(eta) * rng.gamma(3.0, 1.0 / 3.0, len(eta))})


def lmm() -> Study:
    c, g, eta = groups(40, 6)

    def draw(rng: np.random.Generator) -> Columns:
        return {"y": eta + 0.8 * rng.normal(size=40)[g] + rng.normal(size=len(g))}

    return Study(glimm.glmm, "y ~ x + w + (1 | g)", {}, c, draw)


def lmm_conditional() -> Study:
    return _conditional(lmm())


def poisson_glmm() -> Study:
    c, g, eta = groups(40, 6)

    def draw(rng: np.random.Generator) -> Columns:
        return {"y": rng.poisson(np.exp(eta + 0.6 * rng.normal(size=40)[g]))}

    return Study(glimm.glmm, "y ~ x + w + (1 | g)", {"family": "poisson", "points": 7}, c, draw)


def poisson_glmm_conditional() -> Study:
    return _conditional(poisson_glmm())


def binary_glmm() -> Study:
    c, g, eta = groups(60, 8)

    def draw(rng: np.random.Generator) -> Columns:
        return {"y": (rng.random(len(g)) < logistic(eta + 1.1 * rng.normal(size=60)[g])).astype(float)}

    return Study(glimm.glmm, "y ~ x + w + (1 | g)", {"family": "binomial", "points": 9}, c, draw)


def _conditional(study: Study) -> Study:
    return Study(study.door, study.formula, study.options, study.columns, study.draw, study.power, {"effects": "fitted"})


def gee_counts(rng: np.random.Generator, eta: np.ndarray, g: np.ndarray, share: float) -> np.ndarray:
    """Poisson margins, exchangeable: a cluster's common uniform takes the place of a row's own with chance `share`."""
    from scipy.special import pdtrik

    common = np.where(rng.random(len(g)) < share, rng.random(int(g.max()) + 1)[g], rng.random(len(g)))
    return np.ceil(np.maximum(pdtrik(common, np.exp(eta)), 0.0) - 1e-9)


def gee_poisson() -> Study:
    c, g, eta = groups(150, 4)
    options = {"family": "poisson", "groups": "g"}
    return Study(glimm.gee, "y ~ x + w", options, c, lambda rng: {"y": gee_counts(rng, eta, g, 0.6)})


def gee_gaussian() -> Study:
    c, g, eta = groups(150, 4)
    return Study(glimm.gee, "y ~ x + w", {"groups": "g"}, c, lambda rng: {"y": eta + rng.normal(size=150)[g] + rng.normal(size=len(g))})


def overdispersed() -> Study:
    right = negative_binomial()
    power = {"dispersion": 0.9, "uniformity": 0.4, "zeros": 0.9}
    return Study(glimm.glm, right.formula, {"family": "poisson"}, right.columns, right.draw, power)


def zero_inflated() -> Study:
    c, eta = rows()

    def draw(rng: np.random.Generator) -> Columns:
        return {"y": rng.poisson(np.exp(eta + 0.5)) * (rng.random(len(eta)) < 0.8)}

    return Study(glimm.glm, f"y ~ {FIXED}", {"family": "poisson"}, c, draw, {"zeros": 0.9, "dispersion": 0.8})


def skewed() -> Study:
    c, eta = rows()
    return Study(glimm.glm, f"y ~ {FIXED}", {}, c, lambda rng: {"y": eta + rng.exponential(size=len(eta))}, {"uniformity": 0.9})


def heavy() -> Study:
    c, eta = rows()
    return Study(glimm.glm, f"y ~ {FIXED}", {}, c, lambda rng: {"y": eta + rng.standard_t(3, len(eta))}, {"outliers": 0.6})


def curved() -> Study:
    """Counts linear in exp(x) fitted as exp of linear: misfit that the rank's spread shows."""
    c, eta = rows()

    def draw(rng: np.random.Generator) -> Columns:
        return {"y": rng.poisson(np.exp(eta + 0.35 * c["x"] ** 2))}

    return Study(glimm.glm, f"y ~ {FIXED}", {"family": "poisson"}, c, draw, {"dispersion": 0.8})


def serial() -> Study:
    c, g, eta = groups(40, 6)

    def draw(rng: np.random.Generator) -> Columns:
        e = rng.normal(size=(40, 6))
        for t in range(1, 6):
            e[:, t] = 0.6 * e[:, t - 1] + 0.8 * e[:, t]
        return {"y": eta + 0.5 * rng.normal(size=40)[g] + e.ravel()}

    return Study(glimm.glmm, "y ~ x + w + (1 | g)", {}, c, draw, {"autocorrelation": 0.7})


def gee_overdispersed() -> Study:
    right = gee_poisson()
    g = right.columns["g"]

    def draw(rng: np.random.Generator) -> Columns:
        eta = 0.3 + 0.5 * right.columns["x"] + 0.3 * right.columns["w"]
        return {"y": rng.poisson(np.exp(eta) * rng.gamma(2.0, 0.5, 150)[g])}

    return Study(glimm.gee, right.formula, right.options, right.columns, draw, {"dispersion": 0.8, "zeros": 0.5})


STUDIES = {
    f.__name__: f
    for f in (
        gaussian, proportions, poisson, negative_binomial, gamma, lmm, lmm_conditional, poisson_glmm, poisson_glmm_conditional, binary_glmm,
        gee_poisson, gee_gaussian, overdispersed, zero_inflated, skewed, heavy, curved, serial, gee_overdispersed,
    )
}  # fmt: skip


def replicates(name: str, count: int, seed: int) -> np.ndarray:
    """(count, tests) p-values, NaN where there is no such test."""
    study, rng, out = STUDIES[name](), np.random.default_rng([20249, seed]), []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", glimm.GlimmWarning)
        for _ in range(count):
            fit = study.door(study.formula, study.columns | study.draw(rng), **study.options)
            table = fit.residual_tests(seed=rng, **study.asked)
            found = dict(zip(table["test"], table["p_value"], strict=True))
            out.append([found.get(test, np.nan) for test in TESTS])
    return np.array(out)


def run(name: str, count: int, processes: int, ends: tuple[float, float]) -> bool:
    """Print what one study finds; whether levels, or power, are as they must be."""
    began, study = time.perf_counter(), STUDIES[name]()
    p = pooled(replicates, name, count, processes)
    kind = "wrong" if study.power else "right"
    print(f"{name}: {study.formula}, {kind} model, {len(p)} data sets, {time.perf_counter() - began:.0f} s", flush=True)
    good = True
    for test, values in zip(TESTS, p.T, strict=True):
        if np.isnan(values).all():
            continue
        share = float(np.mean(values <= LEVEL))
        fine = share >= study.power.get(test, 0.0) if study.power else LOW <= share <= HIGH
        good &= fine
        error = np.sqrt(share * (1.0 - share) / len(p))
        wide = f"at 20 %: {100 * np.mean(values <= 0.2):5.1f} %{'' if fine else '   OUTSIDE'}"
        print(f"  {test:<16} {100 * share:5.1f} % +- {100 * error:.1f}   {wide}", flush=True)
    return good


if __name__ == "__main__":
    sys.exit(main(__doc__, tuple(STUDIES), run, 1_000))
