"""Do 95 % intervals of a GEE hold the truth with few clusters? Marginal means are exactly h(eta), rows of a cluster exchangeable.

`make coverage-gee` (2,000 replicates of each study) prints, for each kind of standard errors, the coverage for a covariate that varies
inside clusters and for a treatment of whole clusters, with its Monte-Carlo error. It fails where a correction that the study requires lies
outside 93 to 97 % for the first, or is no closer to 95 % than "robust" for the second. test_small_sample.py runs the short form.

Binary responses come from correlated normal variables (a Gaussian copula), so that the marginal means are known.
"""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

import glimm
from coverage_study import main, pooled, stated
from glimm.inference.covariance import infer
from glimm.inference.wald import interval

KINDS = {
    "robust": "robust",
    "robust, t(K - p)": {"type": "robust", "df": "k_minus_p"},
    "mancl_derouen": "mancl_derouen",
    "mancl_derouen, normal": {"type": "mancl_derouen", "df": "normal"},
    "mancl_derouen, pan_wall": {"type": "mancl_derouen", "df": "pan_wall"},
    "kauermann_carroll": "kauermann_carroll",
    "kauermann_carroll, fay_graubard": {"type": "kauermann_carroll", "df": "fay_graubard"},
    "fay_graubard": "fay_graubard",
    "fay_graubard, fay_graubard": {"type": "fay_graubard", "df": "fay_graubard"},
    "morel": "morel",
    "df": "df",
    "jackknife": "jackknife",
}
EQUAL = ("mancl_derouen, pan_wall", "kauermann_carroll", "fay_graubard", "fay_graubard, fay_graubard")
UNEQUAL = ("mancl_derouen, pan_wall", "fay_graubard, fay_graubard")
COVARIATES = ("inside clusters", "of clusters")
RHO = 0.2


@dataclass(frozen=True)
class Study:
    """A marginal model with known coefficients of x (inside clusters) and w (of clusters); required : corrections that are to hold."""

    family: str
    columns: dict[str, np.ndarray]
    draw: Callable[[np.random.Generator], np.ndarray]
    truth: tuple[float, float]
    required: tuple[str, ...]


def study(family: str, sizes: Sequence[int], treated: Sequence[int], required: tuple[str, ...]) -> Study:
    """Clusters of these sizes; treated : 0 or 1 of each."""
    clusters = len(sizes)
    rng = np.random.default_rng(clusters)
    g = np.repeat(np.arange(clusters), sizes)
    x, w = rng.normal(size=len(g)), np.array(treated)[g]
    beta = (-0.3, 0.5, 0.4)
    eta = beta[0] + beta[1] * x + beta[2] * w
    cut = None
    if family == "binomial":
        cut = np.array([NormalDist().inv_cdf(p) for p in 1.0 / (1.0 + np.exp(-eta))])

    def draw(rng: np.random.Generator) -> np.ndarray:
        shared, own = rng.normal(size=clusters)[g], rng.normal(size=len(g))
        latent = np.sqrt(RHO) * shared + np.sqrt(1.0 - RHO) * own
        return eta + latent if cut is None else (latent < cut).astype(float)

    return Study(family, {"g": g, "x": x, "w": w}, draw, beta[1:], required)


LIKE, UNLIKE = (16, 20, 24, 18, 22), (4, 6, 8, 10, 12, 16, 20, 30, 50, 90)
FAMILIES = ("gaussian", "binomial")
STUDIES = {
    **{f"{family}-{k}": (family, LIKE * (k // 5), (0, 1) * (k // 2), EQUAL) for family in FAMILIES for k in (10, 20)},
    **{f"{family}-unequal": (family, UNLIKE * 2, (0, 1) * 10, UNEQUAL) for family in FAMILIES},
    **{f"{family}-few-treated": (family, (20,) * 40, (1,) * 4 + (0,) * 36, UNEQUAL) for family in FAMILIES},
}


def replicates(name: str, count: int, seed: int) -> np.ndarray:
    """(count, kinds, covariates) whether intervals hold the truth."""
    one, rng, out = study(*STUDIES[name]), np.random.default_rng([20247, seed]), []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", glimm.GlimmWarning)
        for _ in range(count):
            fit = glimm.gee("y ~ x + w", one.columns | {"y": one.draw(rng)}, groups="g", family=one.family)
            limits = [interval(infer(fit.record, kind), 0.95) for kind in KINDS.values()]
            out.append([(low[1:] <= one.truth) & (one.truth <= high[1:]) for low, high in limits])
    return np.array(out)


def closer(coverage: np.ndarray) -> dict[str, bool]:
    """Which corrections cover the effect of a treatment of clusters better than "robust" does; coverage (kinds, covariates)."""
    off = np.abs(coverage[:, 1] - 0.95)
    return {kind: bool(off[k] < off[0]) for k, kind in enumerate(KINDS) if k}


def run(name: str, count: int, processes: int, ends: tuple[float, float]) -> bool:
    """Print what one study finds; whether what must hold does."""
    began = time.perf_counter()
    found, required = pooled(replicates, name, count, processes), study(*STUDIES[name]).required
    print(
        f"{name}: y ~ x + w, {len(STUDIES[name][1])} clusters, exchangeable, {len(found)} replicates, {time.perf_counter() - began:.0f} s"
    )
    print(f"  {'':<32} {COVARIATES[0]:<26} {COVARIATES[1]}")
    good, better = True, closer(found.mean(axis=0))
    for k, kind in enumerate(KINDS):
        inside, held = stated(found[:, k, 0], ends if kind in required else None)
        between, _ = stated(found[:, k, 1], None)
        near = kind not in required or better[kind]
        good &= held and near
        print(f"  {kind:<32} {inside:<26} {between}{'' if near else '   NOT CLOSER'}")
    return good


if __name__ == "__main__":
    sys.exit(main(__doc__, tuple(STUDIES), run, 2_000))
