"""What Laplace leaves out: log L = Laplace + log E exp(r(u)), u ~ N(mode, M^-1), r = log p(y, u) - log q(u) less its value at the mode."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np

from ..covariance.layout import total
from ..design.coordinates import to_working
from ..errors import GlimmError
from ..estimators.control import Control
from ..estimators.mixed_engines import any_design
from ..estimators.terms import lambdas, working_effects
from ..records import MixedRecord

BATCH = 2**22


@dataclass(frozen=True, slots=True)
class LaplaceError:
    """Laplace against importance sampling.

    error : log L - Laplace log L; std_error : of its Monte-Carlo estimate; effective : share of draws that carry it (1 is best; below
    about 0.05 neither number is to be trusted); draws : how many
    """

    error: float
    std_error: float
    effective: float
    draws: int


def laplace_error(record: MixedRecord, n: int, seed: Any) -> LaplaceError:
    """By pairs of mirrored draws, which take out all odd terms of r."""
    if record.linear:
        raise GlimmError("laplace_error: the log-likelihood of a linear mixed model is exact")
    if record.points != 1:
        raise GlimmError(f"laplace_error: this fit has {record.points} quadrature points; fit it with points=1")
    if isinstance(n, bool) or not isinstance(n, Integral) or n < 4:
        raise GlimmError(f"laplace_error: n, the number of draws, must be a whole number of at least 4, not {n!r}")
    design, rng = record.design, np.random.default_rng(seed)
    terms = tuple(working_effects(t) for t in design.mean.random)
    engine = any_design(design, record.family, terms, Control().n_threads)
    beta = to_working(design.mean, record.vector[record.blocks["mean"]])
    at = beta, lambdas(record.layouts, record.work_theta), record.vector[record.blocks["family"]]
    assert len(record.work_theta) == total(record.layouts)
    found = engine.model.evaluate(engine.kernels, *at)
    if not found.ok:
        raise GlimmError("laplace_error: the likelihood cannot be evaluated at the estimates")
    effects, pairs, ratios = engine.model.shape()[1], int(n) // 2, []
    for begin in range(0, pairs, max(1, BATCH // effects)):
        draws = rng.standard_normal((min(pairs - begin, max(1, BATCH // effects)), effects))
        both = [engine.model.log_ratios(engine.kernels, *at, side * draws) for side in (1.0, -1.0)]
        ratios.append(np.stack(both, axis=1))
    r = np.concatenate(ratios)
    top = float(r.max())
    weights = np.exp(r - top)
    means = weights.mean(axis=1)
    mean = float(means.mean())
    return LaplaceError(
        top + float(np.log(mean)),
        float(means.std(ddof=1) / np.sqrt(pairs) / mean),
        float(weights.sum() ** 2 / (weights.size * (weights**2).sum())),
        2 * pairs,
    )
