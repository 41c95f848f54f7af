"""Profile-likelihood limits: where the signed root r(b) = sign(b - b^) sqrt((D(b) - D(b^)) / phi) is at its quantile.

D(b) is the smallest -2 log L with one coefficient held at b; r is nearly a straight line, so Newton's method with its exact slope
takes few steps, each inside what is known to hold the limit. D need not come from a GLM: a search is a function that holds a value.
Source: Venzon and Moolgavkar (1988), Appl. Stat. 37, 87-94; McCullagh and Nelder (1989), section 7.4.3.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ..design.coordinates import to_named
from ..design.stream import need_rows
from ..errors import GlimmError, GlimmWarning, NotYetError
from ..estimators.constrained import Point, Restricted, restricted
from ..estimators.restricted import null_space
from ..kernels import inverse_or_nan
from ..kernels.matrix import Floats
from ..records import AnyRecord, GeeRecord, GlmRecord, LevelsRecord, PartsRecord
from .glm_covariance import asked_of
from .reference import need_likelihood, reference
from .wald import quantile

CLOSE = 1e-9
WIDER = 4.0
NEAR = 0.01
FLAT = 1e-6
FAR = 100.0
MOST = 80
BETTER = 1e-6
LEAST_SLOPE = 1e-280


class Held(NamedTuple):
    """The model with a coefficient held. rise : (D - D(b^)) / phi, infinite where there is no fit; slope : of rise in the coefficient;
    state : what the next search may begin from; converged : whether the search ended."""

    rise: float
    slope: float
    state: Any
    converged: bool = True


Hold = Callable[[float, Any], Held]
"""(value of the coefficient, state of the search nearest to it) -> the model there."""


@dataclass(frozen=True, slots=True)
class Start:
    """Where a search of a limit begins.

    estimate; step : distance of a first guess; unit : distance that moves linear predictors by about 1; state : of the whole fit
    """

    estimate: float
    step: float
    unit: float
    state: Any


def limit(hold: Hold, start: Start, side: int, target: float) -> float:
    """The limit on one side (-1, 1): infinite where r never gets to the target, NaN where no fit does.

    Raises GlimmError where a held coefficient has a higher likelihood than the estimate.
    """
    distance, state = start.step, start.state
    low, high, last = 0.0, np.inf, 0.0
    wall = False
    for _ in range(MOST):
        found = hold(start.estimate + side * distance, state)
        r = np.sqrt(max(found.rise, 0.0)) if np.isfinite(found.rise) else np.inf
        if np.isfinite(r):
            state = found.state
        wall = wall or not np.isfinite(r)
        rises = np.isfinite(r) and side * found.slope > LEAST_SLOPE
        newton = distance + (target - r) * 2.0 * r / (side * found.slope) if rises else np.nan
        if abs(r - target) < NEAR * target and abs(newton - distance) <= CLOSE * distance:
            return start.estimate + side * newton if found.converged else float("nan")
        if r < target:
            low = distance
            if np.isinf(high) and _flat(r, last, target, distance, start):
                return side * np.inf
            last = r
        else:
            high = distance
        distance = _next(newton, low, high)
        if np.isfinite(high) and high - low <= CLOSE * high:
            return start.estimate + side * distance if found.converged and not wall else float("nan")
    return float("nan")


def _next(newton: float, low: float, high: float) -> float:
    """A step of Newton's method, kept between what is too near and what is too far."""
    if np.isinf(high):
        return float(min(newton, WIDER * low)) if newton > low else 2.0 * low
    return float(newton) if low < newton < high else 0.5 * (low + high)


def _flat(r: float, last: float, target: float, distance: float, start: Start) -> bool:
    """Whether r rises no more, far from the estimate."""
    if r > NEAR * target:
        return r - last < FLAT * target and distance > start.unit
    return distance > 2.0 * abs(start.estimate) + FAR * start.unit


def profile_limits(record: AnyRecord, vcov: Any, level: float) -> tuple[Floats, Floats]:
    """(p,) lower and upper limits of the coefficients of a GLM, with one warning about those that are infinite or not found.

    Raises NotYetError for other fits, GlimmError for a robust vcov, which a likelihood knows nothing of.
    """
    if not isinstance(record, GlmRecord):
        kinds = {LevelsRecord: "fits to levels", PartsRecord: "fits with zero= or dispersion=", GeeRecord: "a GEE"}
        what = kinds.get(record.__class__, "mixed models")
        raise NotYetError(f"conf_int: method='profile' is not there for {what}: use method='wald'")
    need_likelihood(record, "conf_int: method='profile'", "method='wald'")
    if asked_of(vcov) != asked_of("model"):
        raise GlimmError(f"conf_int: method='profile' is of the likelihood, which knows nothing of vcov={vcov!r}: use method='wald'")
    low, high = limits_of_glm(record, level)
    names = np.asarray(record.design.mean.names)
    ends, lost = np.isinf(low) | np.isinf(high), np.isnan(low) | np.isnan(high)
    for which, words in ((ends, "no end on one side"), (lost, "limits that no fit reaches")):
        if which.any():
            warnings.warn(f"conf_int: the profile likelihood of {', '.join(names[which])} has {words}", GlimmWarning, stacklevel=3)
    return low, high


def limits_of_glm(record: GlmRecord, level: float) -> tuple[Floats, Floats]:
    """(p,) lower and upper limits of the coefficients, infinite where there is none, NaN where none was found."""
    need_rows(record.design)
    held = reference(record)
    target = float(quantile(level, held.df))
    if not held.phi > 0.0:
        raise GlimmError("conf_int: the dispersion is zero or unknown, so there are no limits: read fit.record.solution")
    problem, a = restricted(record), to_named(record.design.mean)
    whole = problem.estimate()
    low, high = np.empty(len(a)), np.empty(len(a))
    for j, row in enumerate(a):
        start = _start(whole, row, target, held.phi)
        for side, out in ((-1, low), (1, high)):
            out[j] = limit(_holding(problem, whole, row, held.phi), start, side, target)
    return low, high


def _start(whole: Point, row: Floats, target: float, phi: float) -> Start:
    """The Wald limit, where there is one."""
    unit = float(np.linalg.norm(row))
    step = unit
    covariance = _covariance(whole)
    if covariance is not None:
        step = target * np.sqrt(2.0 * phi * float(row @ covariance @ row))
    estimate = float(row @ whole.beta)
    return Start(estimate, float(step) if step < FAR * unit else unit, unit, whole)


def _holding(problem: Restricted, whole: Point, row: Floats, phi: float) -> Hold:
    """A GLM with row'beta held; the search begins where the profile goes from the last one."""
    free, away = null_space(row[None]), float(row @ row)
    slack = BETTER if problem.record.solution.code in ("converged", "boundary") else 1e-2

    def hold(value: float, near: Point) -> Held:
        at = float(row @ near.beta)
        base = near.beta + (value - at) * _along(near, row, value / at if at else 0.0)
        base = base + (value - float(row @ base)) / away * row
        try:
            point = problem.fit(base, free, near._replace(beta=base))
        except GlimmError:
            return Held(np.inf, np.nan, near)
        rise = (point.value - whole.value) / phi
        if rise < -slack * (1.0 + abs(whole.value) / phi * 1e-9):
            raise GlimmError(
                "conf_int: a held coefficient has a higher likelihood than the estimate: the fit has not converged, read record.solution"
            )
        return Held(rise, float(point.slope @ row) / away / phi, point, point.converged)

    return hold


def _along(near: Point, row: Floats, ratio: float) -> Floats:
    """(p,) how the other coefficients follow one that is held: by the curvature; where separation has left none, to infinity with it."""
    covariance = _covariance(near)
    if covariance is not None:
        return _scaled(covariance @ row, row)
    return _scaled(near.beta if ratio > 1.0 else row, row)


def _covariance(point: Point) -> Floats | None:
    """(p, p) the inverse of the curvature; None where the curvature is lost."""
    inverse = inverse_or_nan(point.curvature)
    return inverse if np.isfinite(inverse).all() else None


def _scaled(direction: Floats, row: Floats) -> Floats:
    return np.asarray(direction / float(row @ direction))
