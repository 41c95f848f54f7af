"""Quantile residuals: u_i = (#{y*_ib < y_i} + V (#{y*_ib = y_i} + 1)) / (n + 1), y*_i1, ..., y*_in drawn at row i, V ~ U(0, 1).

Uniform where the model is right. Source: Dunn and Smyth (1996), J. Comput. Graph. Stat. 5, 236-244; Gelman and Hill (2007), Data
Analysis Using Regression and Multilevel/Hierarchical Models, section 8.3 (replicated data).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from numbers import Integral
from typing import Any

import numpy as np

from ..errors import GlimmError, GlimmWarning
from ..inference.criteria import fitted
from ..inference.distributions import distribution, parameter_values
from ..inference.simulate import EFFECTS, drawn, generator, simulate
from ..kernels.matrix import Floats
from ..records import GeeRecord, Record

CELLS = 4_000_000


def quantile_residuals(record: Record, n: int, seed: Any, effects: str) -> Floats:
    """(rows used,) ranks among n draws, ties broken at random, in (0, 1).

    Raises GlimmError for a family without draws, and for a fit without finite estimates.
    """
    check(record, "quantile_residuals", n, effects)
    rng = generator(seed)
    y = whole(record, record.design.y)
    below, equal = np.zeros(len(y)), np.zeros(len(y))
    for responses in batches(record, n, rng, effects):
        counts = whole(record, responses)
        below += np.sum(counts < y[:, None], axis=1)
        equal += np.sum(counts == y[:, None], axis=1)
    return np.asarray((below + open_uniform(rng, (len(y),)) * (equal + 1.0)) / (n + 1.0))


def check(record: Record, asked: str, n: Any, effects: Any) -> None:
    """Raise GlimmError where responses cannot be drawn from the fit as asked."""
    if isinstance(n, bool) or not isinstance(n, Integral) or n < 20:
        raise GlimmError(f"{asked}: n, the number of simulated responses, must be a whole number of at least 20, not {n!r}")
    if effects not in EFFECTS:
        raise GlimmError(f"{asked}: effects must be 'new' (random effects drawn) or 'fitted' (as predicted), not {effects!r}")
    distribution(record.family, asked)
    if isinstance(record, GeeRecord) and record.family.name in ("beta", "negative_binomial1"):
        raise GlimmError(
            f"{asked}: a GEE of family {record.family.name!r} estimates a variance and no distribution, so no responses can be drawn: "
            "use glimm.glm, or glimm.glmm with a random intercept of the cluster"
        )
    if not (np.all(np.isfinite(record.vector)) and np.isfinite(record.scale)):
        why = "no rows are left over to estimate the dispersion from" if not np.isfinite(record.scale) else record.solution.message
        raise GlimmError(f"{asked}: the fit has no finite estimates to draw responses from: {why}; leave out terms of the formula")


def batches(record: Record, n: int, rng: np.random.Generator, effects: str) -> Iterator[Floats]:
    """(rows, b) draws until there are n, each batch of a bounded number of cells."""
    size = max(1, CELLS // record.design.n)
    for start in range(0, n, size):
        with warnings.catch_warnings():
            if start:
                warnings.simplefilter("ignore", GlimmWarning)
            yield draws(record, min(size, n - start), rng, effects)


def draws(record: Record, n: int, rng: np.random.Generator, effects: str) -> Floats:
    """(rows, n) responses; of a GEE from its margins, rows independent."""
    if not isinstance(record, GeeRecord):
        return simulate(record, n, rng, effects)
    mu = np.broadcast_to(fitted(record), (n, record.design.n))
    return drawn(record, "quantile_residuals", rng, mu, parameter_values(record))


def whole(record: Record, y: Floats) -> Floats:
    """Responses as they can be compared: successes for proportions. y : (n,) or (n, B)."""
    trials = record.design.trials
    if record.family.support != "binomial" or trials is None:
        return y
    return np.asarray(np.rint(y * (trials if y.ndim == 1 else trials[:, None])))


def open_uniform(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Uniform numbers that are neither 0 nor 1."""
    return np.asarray(np.clip(rng.random(shape), 1e-12, 1.0 - 1e-12))
