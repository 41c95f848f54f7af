"""Do intervals of average effects hold the truth, and do GLM, GEE and GLMM agree? Truth: E_b h(eta(x1) + z'b) - E_b h(eta(x0) + z'b).

`make coverage-effects` (4,000 replicates of each study) prints, for each model and contrast, the mean of the estimates against the truth
and the coverage of 95 % intervals with its Monte-Carlo error, and fails outside 93 to 97 %, or where the models' mean estimates differ by
more than a fifth of a standard deviation. test_coverage_effects.py runs the short form.

Where predictors are fixed, errors="delta" must cover. In the study "drawn" they are drawn anew with each response and the truth is the
population's: errors="sampled" must cover, and what "delta" falls short by is printed.
"""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

import glimm
from coverage_study import main, pooled, stated

Columns = dict[str, np.ndarray]
MODELS = ("glm", "gee", "glmm")
KINDS = ("delta", "sampled")
AGREE = 0.2


@dataclass(frozen=True)
class Study:
    """A mixed model with known parameters.

    fixed, bars : of the formula; exposure is 0 or 1, and slopes are asked of x
    predictors : from a generator; draw : a response; truth : E(y) averaged with the exposure at 0 and at 1, and the average slope in x
    drawn : predictors are drawn anew in each replicate
    """

    fixed: str
    bars: str
    family: str
    exposure: str
    points: int
    predictors: Callable[[np.random.Generator], Columns]
    draw: Callable[[Columns, np.random.Generator], np.ndarray]
    truth: Callable[[Columns], tuple[float, float, float]]
    drawn: bool = False

    @property
    def questions(self) -> tuple[str, ...]:
        """Odds are of probabilities."""
        return ("difference", "ratio", *(("odds_ratio",) if self.family == "binomial" else ()), "slope")

    @property
    def answers(self) -> np.ndarray:
        """The truth of each question, predictors that are fixed."""
        a0, a1, slope = self.truth(self.fixed_predictors())
        odds = (a1 / (1.0 - a1) / (a0 / (1.0 - a0)),) if self.family == "binomial" else ()
        return np.array([a1 - a0, a1 / a0, *odds, slope])

    def fixed_predictors(self) -> Columns:
        """The same in every replicate."""
        return self.predictors(np.random.default_rng(301))


def logistic(eta: np.ndarray) -> np.ndarray:
    """h."""
    return 1.0 / (1.0 + np.exp(-eta))


def averaged(h: Callable[[np.ndarray], np.ndarray], eta: np.ndarray | float, sd: np.ndarray | float) -> float:
    """Mean over rows of E h(eta + sd Z), by the trapezoid rule."""
    z = np.linspace(-9.0, 9.0, 721)
    w = np.exp(-0.5 * z * z)
    eta, sd = np.broadcast_arrays(np.atleast_1d(eta), np.atleast_1d(sd))
    return float((h(eta[:, None] + sd[:, None] * z) @ (w / w.sum())).mean())


def slope_of(eta: np.ndarray) -> np.ndarray:
    """h' of the logit."""
    return logistic(eta) * logistic(-eta)


def binary(eta: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Bernoulli responses."""
    return (rng.random(len(eta)) < logistic(eta)).astype(float)


def clusters() -> Study:
    """150 clusters of 6 rows: an exposure of clusters, a covariate inside them, random intercepts."""
    g, beta, sd = np.repeat(np.arange(150), 6), (-0.7, 0.9, 0.6), 1.2

    def predictors(rng: np.random.Generator) -> Columns:
        return {"g": g, "w": (rng.permutation(150) % 2)[g], "x": rng.normal(size=900)}

    def draw(c: Columns, rng: np.random.Generator) -> np.ndarray:
        return binary(beta[0] + beta[1] * c["w"] + beta[2] * c["x"] + sd * rng.normal(size=150)[g], rng)

    def truth(c: Columns) -> tuple[float, float, float]:
        base = beta[0] + beta[2] * c["x"]
        own = averaged(slope_of, base + beta[1] * c["w"], sd)
        return averaged(logistic, base, sd), averaged(logistic, base + beta[1], sd), beta[2] * own

    return Study("y ~ w + x", "(1 | g)", "binomial", "w", 9, predictors, draw, truth)


def slopes() -> Study:
    """150 clusters of 10 rows: an exposure inside clusters, whose effect differs between them."""
    g, beta, factor = np.repeat(np.arange(150), 10), (-0.6, 0.8, 0.5), np.array([[1.0, 0.0], [-0.3, 0.8]])
    sds = np.sqrt([factor[0] @ factor[0], (factor[0] + factor[1]) @ (factor[0] + factor[1])])

    def predictors(rng: np.random.Generator) -> Columns:
        return {"g": g, "w": np.tile([0, 1], 750), "x": rng.normal(size=1500)}

    def draw(c: Columns, rng: np.random.Generator) -> np.ndarray:
        b = (rng.normal(size=(150, 2)) @ factor.T)[g]
        return binary(beta[0] + b[:, 0] + (beta[1] + b[:, 1]) * c["w"] + beta[2] * c["x"], rng)

    def truth(c: Columns) -> tuple[float, float, float]:
        base = beta[0] + beta[2] * c["x"]
        own = averaged(slope_of, base + beta[1] * c["w"], sds[c["w"]])
        return averaged(logistic, base, sds[0]), averaged(logistic, base + beta[1], sds[1]), beta[2] * own

    return Study("y ~ w + x", "(1 + w | g)", "binomial", "w", 7, predictors, draw, truth)


def counts() -> Study:
    """150 clusters of 6 counts."""
    g, beta, sd = np.repeat(np.arange(150), 6), (0.3, 0.4, 0.3), 0.5

    def predictors(rng: np.random.Generator) -> Columns:
        return {"g": g, "w": (rng.permutation(150) % 2)[g], "x": rng.uniform(-1.5, 1.5, size=900)}

    def draw(c: Columns, rng: np.random.Generator) -> np.ndarray:
        eta = beta[0] + beta[1] * c["w"] + beta[2] * c["x"] + sd * rng.normal(size=150)[g]
        return rng.poisson(np.exp(eta)).astype(float)

    def truth(c: Columns) -> tuple[float, float, float]:
        base = beta[0] + beta[2] * c["x"]
        own = averaged(np.exp, base + beta[1] * c["w"], sd)
        return averaged(np.exp, base, sd), averaged(np.exp, base + beta[1], sd), beta[2] * own

    return Study("y ~ w + x", "(1 | g)", "poisson", "w", 5, predictors, draw, truth)


def drawn() -> Study:
    """200 clusters of 9 rows, all predictors drawn with them; the exposure's effect goes with v of the cluster."""
    g, beta, sd = np.repeat(np.arange(200), 9), (-0.3, 0.4, 1.6, -0.4, 0.5), 0.6
    totals = [np.sqrt(beta[3] ** 2 + beta[4] ** 2 + sd**2), np.sqrt((beta[2] + beta[3]) ** 2 + beta[4] ** 2 + sd**2)]

    def predictors(rng: np.random.Generator) -> Columns:
        return {"g": g, "w": rng.integers(0, 2, 200)[g], "v": rng.normal(size=200)[g], "x": rng.normal(size=1800)}

    def draw(c: Columns, rng: np.random.Generator) -> np.ndarray:
        eta = beta[0] + beta[1] * c["w"] + beta[2] * c["w"] * c["v"] + beta[3] * c["v"] + beta[4] * c["x"]
        return binary(eta + sd * rng.normal(size=200)[g], rng)

    def truth(_: Columns) -> tuple[float, float, float]:
        ends = [averaged(logistic, beta[0] + beta[1] * w, totals[w]) for w in (0, 1)]
        own = [averaged(slope_of, beta[0] + beta[1] * w, totals[w]) for w in (0, 1)]
        return ends[0], ends[1], beta[4] * 0.5 * (own[0] + own[1])

    return Study("y ~ w * v + x", "(1 | g)", "binomial", "w", 9, predictors, draw, truth, drawn=True)


STUDIES = {"clusters": clusters, "slopes": slopes, "counts": counts, "drawn": drawn}


def asked(fit: glimm.fit.GlmFit, study: Study, errors: str) -> list[tuple[float, float, float]]:
    """(estimate, lower, upper) of each question."""
    tables = [fit.effect(study.exposure, question, errors=errors) for question in study.questions[:-1]]
    return [tuple(table[["estimate", "conf_low", "conf_high"]].iloc[0]) for table in (*tables, fit.slope("x", errors=errors))]


def replicates(name: str, count: int, seed: int) -> np.ndarray:
    """(count, models, questions, 3) estimates, and whether limits by "delta" and by "sampled" hold the truth."""
    study, rng = STUDIES[name](), np.random.default_rng([20245, seed])
    columns, answers, out = study.fixed_predictors(), study.answers, []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", glimm.GlimmWarning)
        for _ in range(count):
            if study.drawn:
                columns = study.predictors(rng)
            data = columns | {"y": study.draw(columns, rng)}
            fits = (
                glimm.glm(study.fixed, data, family=study.family, vcov={"cluster": "g"}),
                glimm.gee(study.fixed, data, family=study.family, groups="g"),
                glimm.glmm(f"{study.fixed} + {study.bars}", data, family=study.family, points=study.points),
            )
            found = np.array([[asked(fit, study, kind) for kind in KINDS] for fit in fits])
            held = (found[..., 1] <= answers) & (answers <= found[..., 2])
            out.append(np.concatenate([found[:, :1, :, 0], held], axis=1).transpose(0, 2, 1))
    return np.array(out)


def apart(found: np.ndarray) -> np.ndarray:
    """(questions,) the largest distance of two models' mean estimates, in standard deviations of an estimate."""
    estimates = found[..., 0]
    return np.ptp(estimates.mean(axis=0), axis=0) / estimates.std(axis=0).mean(axis=0)


def run(name: str, count: int, processes: int, ends: tuple[float, float]) -> bool:
    """Print what one study finds; whether what must cover does, and the models agree."""
    began, study = time.perf_counter(), STUDIES[name]()
    found, must = pooled(replicates, name, count, processes), "sampled" if study.drawn else "delta"
    print(f"{name}: {study.fixed} + {study.bars}, {study.family}, {len(found)} replicates, {time.perf_counter() - began:.0f} s")
    good = True
    for q, (question, answer, distance) in enumerate(zip(study.questions, study.answers, apart(found), strict=True)):
        agree = bool(distance <= AGREE)
        good &= agree
        print(f"  {question}: truth {answer:.5f}, the models {distance:.3f} standard deviations apart{'' if agree else '   APART'}")
        for m, model in enumerate(MODELS):
            estimates = found[:, m, q, 0]
            print(f"    {model:<5} mean {estimates.mean():.5f} +- {estimates.std() / np.sqrt(len(found)):.5f}", end="")
            for k, kind in enumerate(KINDS):
                words, inside = stated(found[:, m, q, 1 + k], ends if kind == must else None)
                good &= inside
                print(f"   {kind} {words}", end="")
            print()
    if study.drawn:
        short = 0.95 - found[..., 1].mean(axis=0)
        print(f"  delta falls short of 95 % by up to {100 * short.max():.1f} points")
    return good


if __name__ == "__main__":
    sys.exit(main(__doc__, tuple(STUDIES), run, 4_000))
