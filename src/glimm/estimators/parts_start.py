"""Where a search in several predictors begins: at the plain model, with extra zeros and a dispersion that look right from its residuals.

pi = (share of zeros - mean of e^-mu) / (1 - mean of e^-mu); the dispersion by moments, in one number, or row by row and smoothed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from ..design.records import Design
from ..kernels import Rows, mean, positive_definite, solve
from ..kernels.matrix import Floats
from .control import Control
from .irls import mean_rows
from .joint import begin
from .predictors import Predictors

LEAST, MOST = 0.02, 0.95
HALF = 0.5
FLOOR, CEILING = 0.05, 20.0
LOGISTIC_STEPS = 8
ROWS: dict[str, Callable[[Floats, Floats], Floats]] = {
    "gaussian": lambda square, mu: square,
    "gamma": lambda square, mu: square / mu**2,
    "negative_binomial": lambda square, mu: mu**2 / np.maximum(square - mu, FLOOR * square),
    "negative_binomial1": lambda square, mu: square / mu - 1.0,
    "beta": lambda square, mu: mu * (1.0 - mu) / square - 1.0,
}
"""The family's parameter (gaussian: its square) that one squared residual says."""


def starts(problem: Predictors, control: Control) -> Iterator[Floats]:
    """Working parameters to begin from, the likeliest first; raises GlimmError as `begin` does."""
    design, family = problem.design, problem.family
    rows = mean_rows(design, control.n_threads)
    scoring, psi = begin(design, family, design.mean.link, control, rows)
    if family.name == "gaussian":
        psi = HALF * psi  # of the variance
    mu = mean(design.mean.link.kernel, rows.eta(scoring.beta))[0]
    excess = _excess(design, mu) if "zero" in problem.names else 0.0
    for share, smooth in ((HALF, False), (HALF, True), (1.0, False), (1.0, True)):
        pi = min(max(share * excess, LEAST), MOST)
        v = np.zeros(problem.size)
        v[problem.at(0)] = scoring.beta
        if "zero" in problem.names:
            v[problem.at(1)] = _zeros(problem) if smooth else _nearest(problem, 1, np.full(design.n, np.log(pi / (1.0 - pi))))
            if design.mean.intercept is not None and design.mean.link.name == "log" and control.start is None:
                v[design.mean.intercept] -= np.log1p(-pi)
        if problem.names[-1] in ("dispersion", "family"):
            more = (share if family.name == "negative_binomial" else -share) * ("zero" in problem.names)
            level = np.full(design.n, float(psi[0]) + more)  # what is an extra zero is no variation of counts
            if smooth:
                level = level + _spread(problem, mu)
            v[problem.at(len(problem.names) - 1)] = _nearest(problem, len(problem.names) - 1, level)
        yield v


def _nearest(problem: Predictors, k: int, target: Floats) -> Floats:
    """The coefficients with which predictor k is nearest to the numbers of the rows."""
    part = problem.parts[k]
    left = target - (0.0 if part.offset is None else part.offset)
    found = Rows(part.matrix, part.center, part.scale, left).glm(0, 0, np.zeros(part.matrix.p))
    return solve(found.information, found.score)


def _zeros(problem: Predictors) -> Floats:
    """Of a logistic model of the zeros, some steps of it."""
    part, design = problem.parts[1], problem.design
    rows = Rows(part.matrix, part.center, part.scale, (design.y == 0.0).astype(np.float64), design.size, part.offset)
    beta = np.zeros(part.matrix.p)
    for _ in range(LOGISTIC_STEPS):
        found = rows.glm(1, 2, beta)
        if not positive_definite(found.information):
            break
        beta = beta + solve(found.information, found.score)
    return beta


def _spread(problem: Predictors, mu: Floats) -> Floats:
    """(n,) how far the log of the family's parameter is from its mean, as each row's residual says."""
    name, square = problem.family.name, (problem.design.y - mu) ** 2
    square = np.maximum(square, FLOOR * float(square.mean()) + np.finfo(np.float64).tiny)
    rough = np.log(np.clip(ROWS[name](square, mu) / _middle(ROWS[name](square, mu)), FLOOR, CEILING))
    return np.asarray((HALF if name == "gaussian" else 1.0) * (rough - rough.mean()))


def _middle(values: Floats) -> float:
    positive = values[values > 0.0]
    return float(np.median(positive)) if len(positive) else 1.0


def _excess(design: Design, mu: Floats) -> float:
    """The share of zeros that Poisson counts with these means do not have."""
    size = np.ones(design.n) if design.size is None else design.size
    chance = float(np.exp(-mu) @ size / size.sum())
    seen = float((design.y == 0.0) @ size / size.sum())
    return max(0.0, (seen - chance) / max(1.0 - chance, 1e-8))
