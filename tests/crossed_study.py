"""Does the Krylov engine find what an exact fit finds, and do its intervals hold the truth? Crossed designs with responses drawn by NumPy.

`make crossed` prints for each design, over replicates: mean and standard deviation of z = (estimate - truth) / standard error and the
coverage of 95 % intervals of every coefficient and standard deviation; then how far fits from four seeds of the probes are from the
exact engine's fit and from each other, and how far a fit that ends without an exact factorisation is, in the errors that it states.
It fails where a bound of BOUNDS is passed or a coverage lies outside 93 to 97 %. test_crossed_study.py runs the short form.

Errors of an LMM's standard deviations come from a model of the curvature, the average information, which engines reach by different ways.
Standard deviations (relative to sigma in an LMM) are taken on the log scale: z = log(estimate / truth) estimate / standard error.
"""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np

import glimm
from coverage_study import Q, Study, main, pooled, stated
from glimm.inference.covariance import theta_covariance

Codes = np.ndarray
SEEDS = (0, 1, 2, 3)
SHARE = 10  # one replicate in so many is compared with the exact engine


def rms(column: np.ndarray) -> float:
    """Root mean square."""
    return float(np.sqrt(np.mean(column**2)))


class Bound(NamedTuple):
    """What is asked of `agreement`: a statistic of its columns, and the largest that is allowed, in the short form as well.

    Root mean squares of a dozen Monte-Carlo errors are themselves uncertain by a third, so the short form allows more.
    """

    statistic: Callable[[dict[str, np.ndarray]], float]
    largest: float
    short: float


COLUMNS = ("criterion", "seeds", "estimates", "errors", "model_errors", "value", "value_error", "distance", "distance_error")
BOUNDS = {
    "-2 log L from exact, largest": Bound(lambda a: a["criterion"].max(), 1e-5, 1e-5),
    "-2 log L between seeds, largest": Bound(lambda a: a["seeds"].max(), 1e-5, 1e-5),
    "estimates from exact in se, largest": Bound(lambda a: a["estimates"].max(), 1e-3, 1e-3),
    "log se from exact, largest": Bound(lambda a: a["errors"].max(), 1e-3, 1e-3),
    "log se of an LMM's sds from exact, largest": Bound(lambda a: a["model_errors"].max(), 0.05, 0.05),
    "noisy log L from exact over stated, rms": Bound(lambda a: rms(a["value"]) / rms(a["value_error"]), 2.0, 3.0),
    "noisy log L from exact over stated, largest": Bound(lambda a: (a["value"] / a["value_error"]).max(), 10.0, 10.0),
    "noisy estimates over stated, rms": Bound(lambda a: rms(a["distance"]) / rms(a["distance_error"]), 2.0, 3.0),
    "noisy estimates in se, largest": Bound(lambda a: a["distance"].max(), 0.1, 0.1),
}


def ring(rng: np.random.Generator, persons: int, firms: int, rows: int) -> tuple[Codes, Codes]:
    """Person and firm of each row: 9 rows in 100 are in one of the two firms beside the person's own."""
    person = np.repeat(np.arange(persons), rows)
    moved = np.where(rng.random(len(person)) < 0.09, rng.choice([-1, 1], len(person)), 0)
    return person, (np.arange(persons)[person] + moved) % firms


def pairs(rng: np.random.Generator, persons: int, firms: int, rows: int) -> tuple[Codes, Codes]:
    """Person and firm of each row, firms drawn anew in each."""
    person = np.repeat(np.arange(persons), rows)
    return person, rng.integers(0, firms, len(person))


def gaussian(rng: np.random.Generator, eta: np.ndarray) -> np.ndarray:
    return eta + rng.normal(size=len(eta))


def binomial(rng: np.random.Generator, eta: np.ndarray) -> np.ndarray:
    return (rng.random(len(eta)) < 1.0 / (1.0 + np.exp(-eta))).astype(float)


def poisson(rng: np.random.Generator, eta: np.ndarray) -> np.ndarray:
    return rng.poisson(np.exp(eta)).astype(float)


def crossed(family: Callable[..., np.ndarray], design: Callable[..., tuple[Codes, Codes]], size: tuple[int, int, int], seed: int) -> Study:
    """Random intercepts of persons and firms; size: persons, firms, rows of a person."""
    beta, sds = (0.3, 0.5, -0.4), (0.6, 0.5)
    rng = np.random.default_rng(seed)
    person, firm = design(rng, *size)
    n = len(person)
    x, w = rng.normal(size=n), rng.normal(size=size[0])[person]

    def draw(rng: np.random.Generator) -> np.ndarray:
        a, b = sds[0] * rng.normal(size=size[0]), sds[1] * rng.normal(size=size[1])
        return family(rng, beta[0] + beta[1] * x + beta[2] * w + a[person] + b[firm])

    options: dict[str, object] = {"reml": False} if family is gaussian else {"family": family.__name__, "points": 1}
    columns = {"x": x, "w": w, "person": person, "firm": firm}
    return Study("y ~ x + w + (1 | person) + (1 | firm)", options, columns, draw, beta, sds)


STUDIES = {
    "gaussian, well connected": partial(crossed, gaussian, pairs, (240, 120, 15), 301),
    "gaussian, poorly connected": partial(crossed, gaussian, ring, (240, 80, 15), 302),
    "logistic, well connected": partial(crossed, binomial, pairs, (240, 120, 40), 303),
    "logistic, poorly connected": partial(crossed, binomial, ring, (240, 80, 40), 304),
    "Poisson, well connected": partial(crossed, poisson, pairs, (240, 120, 15), 305),
    "Poisson, poorly connected": partial(crossed, poisson, ring, (240, 80, 15), 306),
}


def fitted(study: Study, y: np.ndarray, **settings: object) -> glimm.fit.GlmmFit:
    """The study's model of one response, by an engine."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", glimm.GlimmWarning)
        return glimm.glmm(study.formula, study.columns | {"y": y}, control=glimm.Control(**settings), **study.options)


def estimates(fit: glimm.fit.GlmmFit) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients and log standard deviations, and their standard errors."""
    p, k = len(fit.params), len(fit.theta)
    se = np.sqrt(np.diag(theta_covariance(fit.record))[p : p + k])
    return np.concatenate([fit.params.to_numpy(), np.log(fit.theta)]), np.concatenate([fit.bse.to_numpy(), se / fit.theta])


def scores(name: str, count: int, seed: int) -> np.ndarray:
    """(count, parameters) z of Krylov fits to drawn responses."""
    study, rng = STUDIES[name](), np.random.default_rng([20269, seed])
    truth = np.concatenate([study.beta, np.log(study.theta)])
    out = []
    for _ in range(count):
        found, se = estimates(fitted(study, study.draw(rng), engine="krylov", seed=seed))
        out.append((found - truth) / se)
    return np.array(out)


def agreement(name: str, count: int, seed: int) -> np.ndarray:
    """(count, len(COLUMNS)) distances of Krylov fits from the exact one; the last four of fits that end without an exact factorisation."""
    study, rng = STUDIES[name](), np.random.default_rng([20270, seed])
    out = []
    for k in range(count):
        y = study.draw(rng)
        exact, fits = fitted(study, y, engine="exact"), [fitted(study, y, engine="krylov", seed=s) for s in SEEDS]
        noisy = fitted(study, y, engine="krylov", seed=1000 * (seed + 1) + k, exact_block=0)
        out.append([*distances(exact, fits), *noise(exact, noisy)])
    return np.array(out)


def distances(exact: glimm.fit.GlmmFit, fits: list[glimm.fit.GlmmFit]) -> tuple[float, ...]:
    """The first five of COLUMNS, the largest over the fits."""
    if exact.record.stochastic is not None or not all(fit.record.stochastic.exact for fit in fits):
        raise AssertionError("a fit was made by another engine than the one asked for")
    centre, se = estimates(exact)
    criterion = np.array([-2.0 * (fit.llf - exact.llf) for fit in fits])
    both = [estimates(fit) for fit in fits]
    off = max(float(np.abs((found - centre) / se).max()) for found, _ in both)
    ratios = np.max([np.abs(np.log(errors / se)) for _, errors in both], axis=0)
    p = len(exact.params)
    same, model = (ratios[:p].max(), ratios[p:].max()) if exact.record.linear else (ratios.max(), 0.0)
    return float(np.abs(criterion).max()), float(np.ptp(criterion)), off, float(same), float(model)


def noise(exact: glimm.fit.GlmmFit, noisy: glimm.fit.GlmmFit) -> tuple[float, ...]:
    """The last four of COLUMNS: distance of the log-likelihood and of the estimates, in standard errors, each with what the fit states."""
    search = noisy.record.stochastic
    if search.exact or not search.llf_error > 0.0 or not search.estimate_error > 0.0:
        raise AssertionError("the fit did not end in noise, or does not say by how much")
    (centre, se), (found, _) = estimates(exact), estimates(noisy)
    return abs(noisy.llf - exact.llf), search.llf_error, float(np.abs((found - centre) / se).max()), search.estimate_error


def judged(apart: np.ndarray, short: bool = False) -> list[tuple[str, bool]]:
    """Each of BOUNDS in words, and whether it is kept."""
    columns = dict(zip(COLUMNS, apart.T, strict=True))
    out = []
    for label, bound in BOUNDS.items():
        found, largest = float(bound.statistic(columns)), bound.short if short else bound.largest
        out.append((f"{label:<44} {found:.1e}{'' if found <= largest else f'   ABOVE {largest:g}'}", found <= largest))
    return out


def labels(study: Study) -> list[str]:
    """The parameters, as columns of `scores`."""
    return ["Intercept", "x", "w", "sd of persons", "sd of firms"][: len(study.beta) + len(study.theta)]


def run(name: str, count: int, processes: int, ends: tuple[float, float]) -> bool:
    """Print what one design gives; whether all of it lies within the bounds."""
    began = time.perf_counter()
    z = pooled(scores, name, count, processes)
    apart = pooled(agreement, name, max(count // SHARE, 2 * processes), processes)
    study = STUDIES[name]()
    print(f"{name}: {len(study.columns['x'])} rows, {len(z)} and {len(apart)} replicates, {time.perf_counter() - began:.0f} s")
    found = [said(label, column, ends) for label, column in zip(labels(study), z.T, strict=True)]
    found += judged(apart)
    for words, _ in found:
        print(f"  {words}")
    return all(inside for _, inside in found)


def said(label: str, z: np.ndarray, ends: tuple[float, float]) -> tuple[str, bool]:
    """Mean, standard deviation and coverage of one parameter, and whether the coverage lies between the ends."""
    words, inside = stated(np.abs(z) <= Q, ends)
    return f"{label:<40} z {z.mean():+.2f}, sd {z.std(ddof=1):.2f}, {words}", inside


if __name__ == "__main__":
    sys.exit(main(__doc__, tuple(STUDIES), run, 2_000))
