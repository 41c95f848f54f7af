"""What Laplace leaves out, by importance sampling from its normal approximation q of the random effects.

log L = log E p(y, v) / q(v), v the effects of all terms but the one with most levels: given v those levels are independent, and
p(y, v) is their adaptive quadrature times the density of v.
"""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np

from ..covariance.layout import slices
from ..design.coordinates import to_working
from ..errors import GlimmError
from ..estimators.control import Control
from ..estimators.linear_engines import only
from ..estimators.mixed_engines import AnyDesign, OneFactor, any_design
from ..estimators.points import rule
from ..estimators.terms import ENTRIES, Effects, by_level, lambdas, placed_effects, working_effects
from ..kernels import MixedModel, Rows
from ..kernels.matrix import Floats
from ..records import MixedRecord
from .criteria import llf_error

BATCH = 2**22
POINTS = {1: 15, 2: 9, 3: 7}


@dataclass(frozen=True, slots=True)
class LaplaceError:
    """Laplace against importance sampling.

    error : log L - Laplace log L; std_error : of its Monte-Carlo estimate; effective : share of draws that carry it (1 is best; below
    about 0.05 neither number is to be trusted); draws : how many; points : quadrature points inside each draw, 1 where there are none
    """

    error: float
    std_error: float
    effective: float
    draws: int
    points: int


def laplace_error(record: MixedRecord, n: int, seed: Any) -> LaplaceError:
    """By pairs of mirrored draws, which take out the odd terms."""
    if record.linear:
        raise GlimmError("laplace_error: the log-likelihood of a linear mixed model is exact")
    if record.points != 1:
        raise GlimmError(f"laplace_error: this fit has {record.points} quadrature points; fit it with points=1")
    if llf_error(record) != 0.0:
        how = record.stochastic
        effects = 0 if how is None else how.block
        raise GlimmError(
            f"laplace_error: this log-likelihood is by Monte Carlo, its {effects:,} crossed effects were not factorised: fit with "
            f"control=glimm.Control(exact_block={effects})"
        )
    if isinstance(n, bool) or not isinstance(n, Integral) or n < 4:
        raise GlimmError(f"laplace_error: n, the number of draws, must be a whole number of at least 4, not {n!r}")
    design, rng = record.design, np.random.default_rng(seed)
    terms = tuple(working_effects(t) for t in design.mean.random)
    engine = any_design(design, record.family, terms, Control().n_threads)
    beta = to_working(design.mean, record.vector[record.blocks["mean"]])
    at = beta, lambdas(record.layouts, record.work_theta), record.family.psi(record.vector[record.blocks["family"]])
    if not engine.model.evaluate(engine.kernels, *at).ok:
        raise GlimmError("laplace_error: the likelihood cannot be evaluated at the estimates")
    effects, pairs, logs = engine.model.shape()[1], int(n) // 2, []
    lead = terms[engine.model.leading()]
    points = POINTS.get(lead.q, 1) if lead.term.structure in ENTRIES else 1
    size = max(1, BATCH // effects)
    for begin in range(0, pairs, size):
        draws = rng.standard_normal((min(pairs - begin, size), effects))
        both = draws, -draws
        if points == 1:
            logs += [engine.model.log_ratios(engine.kernels, *at, e) for e in both]
        else:
            logs += [collapsed(record, engine, lead, points, e) for e in both]
    return summed(np.concatenate(logs[::2]), np.concatenate(logs[1::2]), points)


def summed(up: Floats, down: Floats, points: int) -> LaplaceError:
    """log of the mean of exp over all draws, from (pairs,) logs of draws and of their mirror images."""
    logs = np.stack([up, down], axis=1)
    top = float(logs.max())
    weights = np.exp(logs - top)
    pairs = weights.mean(axis=1)
    mean = float(pairs.mean())
    effective = float(weights.sum() ** 2 / (weights.size * (weights**2).sum()))
    return LaplaceError(top + float(np.log(mean)), float(pairs.std(ddof=1) / np.sqrt(len(pairs)) / mean), effective, logs.size, points)


def leading_error(record: MixedRecord) -> float | None:
    """log L by quadrature over the term with most levels minus that by Laplace, effects of the other terms held at their modes.

    None where that term has a structure, or too many effects for quadrature.
    """
    at = max(range(len(record.layouts)), key=lambda k: len(record.design.mean.random[k].levels))
    lead = working_effects(record.design.mean.random[at])
    if lead.term.structure not in ENTRIES or lead.q not in POINTS:
        return None
    eta = np.zeros(record.design.n) if record.design.mean.offset is None else record.design.mean.offset.copy()
    for k, (term, effects) in enumerate(zip(record.design.mean.random, record.effects, strict=True)):
        if k != at:
            eta += np.einsum("ij,ij->i", term.z, effects[term.places])
    given = Given(record, lead, at)
    by_points, by_laplace = (given.deviance(eta, points) for points in (POINTS[lead.q], 1))
    return None if by_points is None or by_laplace is None else -0.5 * (by_points - by_laplace)


class Given:
    """The term `at` alone, with a linear predictor for everything else of the random part."""

    def __init__(self, record: MixedRecord, lead: Effects, at: int) -> None:
        design, part = record.design, record.design.mean
        self.design, self.lead = design, lead
        self.order, self.starts = by_level(lead.term)
        self.arranged = [None if a is None else a[self.order] for a in (design.trials, design.weights)]
        self.layout = only((record.layouts[at],))
        self.one = OneFactor(design, record.family, lead, self.order, self.starts, 1, {})
        x = np.concatenate([to_working(part, record.vector[record.blocks["mean"]]), record.work_theta[slices(record.layouts)[at]]])
        self.vector, _ = self.one.spread_out(self.layout, np.concatenate([x, record.vector[record.blocks["family"]]]))

    def deviance(self, eta: Floats, points: int) -> float | None:
        """-2 log L with eta (n,) as offset; None where it cannot be evaluated."""
        part, design, q = self.design.mean, self.design, self.lead.q
        rows = Rows(part.matrix, part.center, part.scale, design.y, design.size, eta, self.order, 1)
        model = MixedModel(rows, self.starts, self.lead.taken(self.layout.order), q, *self.arranged)
        value = model.quadrature(*self.one.kernels, self.vector, 0, *rule(points, q))
        return value.deviance if value.ok else None


def collapsed(record: MixedRecord, engine: AnyDesign, lead: Effects, points: int, e: Floats) -> Floats:
    """(d,) log p(y, v) - log q(v) - Laplace log L, for v of draws e."""
    design, part = record.design, record.design.mean
    every, squares, half_logdet = engine.model.draws(e)
    leading = engine.model.leading()
    given = Given(record, lead, leading)
    out = np.empty(len(every))
    for d, u in enumerate(every):
        eta = np.zeros(design.n) if part.offset is None else part.offset.copy()
        spheres = 0.0
        for k, (t, s, theta) in enumerate(zip(engine.terms, record.layouts, slices(record.layouts), strict=True)):
            if k != leading:
                b = placed_effects(t, s, record.work_theta[theta], u[k])
                eta += np.einsum("ij,ij->i", t.term.z, b[t.term.places])
                spheres += float(u[k] @ u[k])
        value = given.deviance(eta, points)
        out[d] = -np.inf if value is None else -0.5 * value - 0.5 * spheres - half_logdet + 0.5 * squares[d] - record.llf
    return out
