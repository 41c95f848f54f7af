"""Scores of simulated responses at the estimates: S_b = d log L(y*_b) / d(beta, theta, psi), which is zero at the data that were fitted.

T(y*_b) given S_b = S(y) is to first order the distribution of T at estimates from y itself: no model is fitted again.
Source: Pierce (1982), Ann. Stat. 10, 475-478 (statistics at estimated parameters).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from ..design.coordinates import to_named, to_working
from ..estimators.control import Control
from ..estimators.engines import control_of, mixed_engine
from ..estimators.lmm import prepare_lmm
from ..estimators.residuals import pearson_residuals
from ..estimators.terms import working_effects
from ..inference.criteria import fitted, linear_predictor, own_psi
from ..kernels import Rows, psi_jets, working
from ..kernels.matrix import Floats
from ..records import GeeRecord, GlmRecord, MixedRecord, Record


class Scored(NamedTuple):
    """(k,) what the estimating equations make of a response; (n,) eta with the random effects that it predicts; these per term, as named.

    eta is None and effects are () where they were not asked for.
    """

    score: Floats
    eta: Floats | None = None
    effects: tuple[Floats, ...] = ()


Scores = Callable[[Floats], Scored]


def scores_of(record: Record, own_effects: bool) -> Scores:
    """The function of a response (n,); own_effects : also predict the random effects of a mixed model from it."""
    if not isinstance(record, MixedRecord):
        return _Independent(record)
    return _linear(record, own_effects) if record.linear else _nonlinear(record, own_effects)


class _Independent:
    """X'd1 of rows taken as independent, and the score of psi, or sum r^2 for a dispersion by moments."""

    def __init__(self, record: GlmRecord | GeeRecord) -> None:
        self.record, part = record, record.design.mean
        self.rows = Rows(part.matrix, part.center, part.scale, threads=1)
        self.free = record.vector[record.blocks.get("family", slice(0, 0))]
        self.ends = np.array([0, record.design.n], dtype=np.int64)
        self.mu, self.eta = fitted(record), linear_predictor(record)

    def __call__(self, y: Floats) -> Scored:
        record = self.record
        design, family = record.design, record.family
        kernels = family.kernel, design.mean.link.kernel
        _, d1, _ = working(*kernels, y, self.eta, design.size, family.at_unit(self.free))
        beta = self.rows.cluster_scores(d1, self.ends)[0] if self.rows.p else np.zeros(0)
        own = np.zeros(0)
        if len(self.free):
            own = psi_jets(*kernels, y, self.eta, design.size, family.psi(self.free))[0][list(family.free)].sum(axis=1)
        elif not family.scale_known:
            r = pearson_residuals(replace(design, y=y), family, self.mu, own_psi(record))
            own = np.array([float(r @ r)])
        return Scored(np.concatenate([beta, own]))


def _eta(record: MixedRecord, beta: Floats, effects: tuple[Floats, ...]) -> Floats:
    """(n,) of beta and effects as named."""
    part = record.design.mean
    eta = part.matrix.times(beta) + (0.0 if part.offset is None else part.offset)
    for term, b in zip(part.random, effects, strict=True):
        eta = eta + np.einsum("ij,ij->i", term.z, b[term.places])
    return np.asarray(eta)


def _linear(record: MixedRecord, own_effects: bool) -> Scores:
    """beta-hat(y*) and r2 at theta, linear and quadratic in y*, and the slope of the profiled likelihood in theta."""
    part, shapes, x = record.design.mean, record.layouts, record.work_theta
    engine, named = prepare_lmm(record.design, record.family, record.reml, one_thread(record)).engine, to_named(part)

    def scores(y: Floats) -> Scored:
        engine.respond(y)
        last = engine.end(shapes, x)
        score = np.concatenate([last.beta, engine.slope(shapes, x) if len(x) else x, [last.r2]])
        return Scored(score, _eta(record, named @ last.beta, last.effects), last.effects) if own_effects else Scored(score)

    return scores


def _nonlinear(record: MixedRecord, own_effects: bool) -> Scores:
    """The gradient of the Laplace objective, NaN where it has no value."""
    shapes, family = record.layouts, record.family
    beta = record.vector[record.blocks["mean"]]
    x = np.concatenate([to_working(record.design.mean, beta), record.work_theta, record.vector[record.blocks["family"]]])
    terms = tuple(working_effects(t) for t in record.design.mean.random)
    lost = Scored(np.full(len(x), np.nan), np.full(record.design.n, np.nan) if own_effects else None)

    def scores(y: Floats) -> Scored:
        engine = mixed_engine(replace(record.design, y=y), family, terms, one_thread(record))
        if own_effects:
            last = engine.end(shapes, x, 1)
            return Scored(last.gradient, _eta(record, beta, last.effects), last.effects) if last.ok else lost
        found = engine.evaluate(shapes, x, 1, 1)
        return Scored(found.gradient) if found.ok else lost

    return scores


def one_thread(record: MixedRecord) -> Control:
    """The engine that makes many scores at one theta: of an exact fit the one that needs less work."""
    return replace(control_of(record) if record.stochastic is not None else Control(), threads=1)
