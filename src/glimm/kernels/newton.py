"""The one optimiser: saddle-free damped Newton with a secant update, stopped by its decrement g'H^-1 g (native/newton.cpp)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .families import floats
from .matrix import Bools, Floats
from .native import native

Evaluation = tuple[bool, float, Floats, Floats]


@dataclass(frozen=True, slots=True)
class Limits:
    """How a minimisation is run.

    lower : (P,) bounds; scales : (P,) parameters that are standard deviations; free : (P,) parameters that may move
    cap : no step grows or shrinks a standard deviation by more than this factor; tol : decrement at which to stop
    """

    lower: Floats
    scales: Bools
    free: Bools
    cap: float
    tol: float
    max_iter: int

    def packed(self) -> tuple[Floats, Floats, Floats, float, float, int]:
        """As the kernel takes them."""
        return floats(self.lower), floats(self.scales), floats(self.free), self.cap, self.tol, self.max_iter


@dataclass(frozen=True, slots=True)
class Optimum:
    """Where a minimisation ended. floor : parameters at their lower bound with the objective rising away from it."""

    x: Floats
    value: float
    gradient: Floats
    hessian: Floats
    decrement: float
    evaluations: int
    iterations: int
    converged: bool
    floor: Bools


def optimum(answer: Any) -> Optimum:
    """The kernel's answer."""
    x, value, gradient, hessian, decrement, evaluations, iterations, converged, floor = answer
    square = np.zeros((len(x), len(x))) if hessian is None else hessian
    return Optimum(x, value, gradient, square, decrement, evaluations, iterations, converged, np.asarray(floor, dtype=bool))


def minimise(evaluate: Callable[[Floats], Evaluation], x: Floats, limits: Limits) -> Optimum:
    """Minimise from x; evaluate : x -> (finite, value, gradient (P,), model Hessian (P, P))."""

    def call(v: Floats) -> Evaluation:
        if not np.isfinite(v).all():  # a step along which the Hessian has vanished
            return False, np.inf, np.zeros(len(v)), np.eye(len(v))
        ok, value, gradient, hessian = evaluate(v)
        return ok, value, floats(gradient), floats(hessian)

    return optimum(native().newton(call, floats(x), *limits.packed()))
