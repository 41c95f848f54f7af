"""Fisher scoring of many rows: begun on a sample of them, and with an information matrix that is kept while it holds.

beta <- beta + I(b)^-1 X'd(beta), b an earlier beta: steps by a matrix that is off by e shrink the error e times, and X'd is exact.
"""

from __future__ import annotations

import numpy as np

from ..design.records import Design
from ..design.totals import Totals
from ..family import Family
from ..kernels import GlmPass, Rows, positive_definite, solve
from ..kernels import link as link_eta
from ..kernels.families import FamilyKernel, LinkKernel, Psi
from ..kernels.matrix import Floats
from .control import Control
from .irls import Scoring

SAMPLE, BY_COLUMN, FEWEST = 50_000, 100, 3
"""Rows of the sample, at least so many for each column; rows to be worth one, in samples."""
RIDGE = 0.1
HOLDS = 1e-2
NEAR, ENOUGH = 1e-17, 1e-14
MOST = 20
LINKS = dict.fromkeys(("binomial", "quasibinomial"), ("logit", "probit", "cloglog", "loglog")) | dict.fromkeys(
    ("poisson", "quasipoisson", "gamma", "tweedie", "negative_binomial"), ("log",)
)
"""Pairs with one maximum at most."""
UNCHANGING = {("gamma", "log")}
"""Pairs whose expected information is the same at every beta."""


def score_many(design: Design, family: Family, control: Control, rows: Rows, psi: Psi, unit: float) -> Scoring | None:
    """The maximum, with the linear predictor in its last pass; None for few rows, and where anything on the way is out of the ordinary.

    unit : of decrements, `row_unit`
    """
    link, at = design.mean.link, design.mean.intercept
    every = rows.n // max(SAMPLE, BY_COLUMN * rows.p)
    if every < FEWEST or at is None or control.start is not None or control.max_iter < MOST or link.name not in LINKS.get(family.name, ()):
        return None
    kernels = family.kernel, link.kernel
    beta = _sampled(rows, kernels, _constant(family, link.kernel, design.totals, at, rows.p), at, psi, unit, every)
    if beta is None:
        return None
    now = rows.glm(*kernels, beta, psi)
    information, passes, previous = now.information, 1, np.inf
    steady = (family.name, link.name) in UNCHANGING
    while passes < MOST:
        if not (np.isfinite(now.loglik) and positive_definite(information)):
            return None
        step = solve(information, now.score)
        decrement = float(step @ now.score)
        last = decrement < NEAR * unit
        if not (last or decrement < 0.25 * previous):
            if len(now.information):
                return None
            now, previous = rows.glm(*kernels, beta, psi), np.inf
            information, passes = now.information, passes + 1
            continue
        anew = not steady and (last or decrement > HOLDS**2 * float(information[at, at]))
        trial = rows.glm(*kernels, beta + step, psi, information=anew, eta=last)
        passes += 1
        if not trial.loglik >= now.loglik - 1e-10 * abs(now.loglik) - 1e-12 * unit:
            return None
        beta, now, previous = beta + step, trial, decrement
        information = trial.information if anew else information
        if last:
            return _ended(beta, now, information, unit, passes)
    return None


def _ended(beta: Floats, now: GlmPass, information: Floats, unit: float, passes: int) -> Scoring | None:
    """The answer, if a further step would change nothing."""
    if not positive_definite(information):
        return None
    decrement = float(solve(information, now.score) @ now.score)
    return Scoring(beta, now._replace(information=information), decrement, passes, True) if decrement < ENOUGH * unit else None


def _constant(family: Family, link: LinkKernel, totals: Totals, at: int, p: int) -> Floats:
    """(p,) coefficients of the mean response, as `start` has them."""
    center = totals.mean
    mean = (center * totals.n + 0.5) / (totals.n + 1.0) if family.support == "binomial" else center
    beta = np.zeros(p)
    beta[at] = float(link_eta(link, np.array([mean]))[0]) - totals.offset / totals.n
    return beta


def _sampled(
    rows: Rows, kernels: tuple[FamilyKernel, LinkKernel], beta: Floats, at: int, psi: Psi, unit: float, every: int
) -> Floats | None:
    """(p,) near the maximum of a sample's log-likelihood; a small ridge holds what the sample does not determine."""
    ridge = np.full(rows.p, RIDGE * unit)
    ridge[at] = 0.0

    def evaluate(b: Floats) -> tuple[float, GlmPass]:
        one = rows.glm(*kernels, b, psi, every=every)
        return one.loglik - 0.5 * float(ridge @ (b * b)), one

    value, now = evaluate(beta)
    for _ in range(MOST):
        if not np.isfinite(value):
            return None
        score, curvature = now.score - ridge * beta, now.information + np.diag(ridge)
        if not positive_definite(curvature):
            return None
        step = solve(curvature, score)
        if float(step @ score) < unit:
            return beta + step
        for _ in range(8):
            trial, one = evaluate(beta + step)
            if trial >= value:
                break
            step = 0.5 * step
        else:
            return None
        beta, value, now = beta + step, trial, one
    return None
