"""Saddle-free damped Newton with one secant update: x <- x - Q |w|^-1 Q'g, H = Q diag(w) Q' the model Hessian.

Stops by the Newton decrement g'H^-1 g, which is in units of the objective and does not depend on scale.
Saddle-free step: Dauphin et al. (2014), Identifying and attacking the saddle point problem, section 4.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..kernels.matrix import Bools, Floats, Index

Evaluation = tuple[bool, float, Floats, Floats]


@dataclass(frozen=True, slots=True)
class Bounds:
    """lower : (P,) bounds; scales : (P,) parameters that are standard deviations; cap : no step changes one by more than this factor."""

    lower: Floats
    scales: Bools
    cap: float


@dataclass(frozen=True, slots=True)
class Optimum:
    """Where a minimisation ended. floor : parameters at their lower bound with the objective rising away from it."""

    x: Floats
    value: float
    gradient: Floats
    hessian: Floats
    decrement: float
    evaluations: int
    converged: bool
    floor: Bools


def minimise(
    evaluate: Callable[[Floats], Evaluation],
    x: Floats,
    bounds: Bounds,
    free: Bools,
    *,
    tol: float,
    max_iter: int,
) -> Optimum:
    """Minimise from x over the parameters in `free`.

    evaluate : x -> (finite, value, gradient (P,), model Hessian (P, P))
    tol : decrement at which to stop
    """
    scales, lower = bounds.scales, bounds.lower
    begin = evaluate(x)
    ok, (_, value, gradient, model) = _usable(begin), begin
    evaluations, damping, decrement, converged = 1, 0.0, np.inf, False
    previous: tuple[Floats, Floats] | None = None
    hessian = model
    for _ in range(max_iter):
        if not ok:
            break
        hessian = _secant(model, previous, gradient)
        moving = np.flatnonzero(free & ~(scales & (x <= lower * (1 + 1e-9)) & (gradient > 0.0)))
        accepted = False
        for _ in range(40):
            step, decrement = _step(hessian, gradient, moving, damping)
            if decrement < tol and damping < 1e-2:
                converged = True
                break
            candidate = np.maximum(x + _shorten(x, step, scales, bounds.cap) * step, lower)
            result = evaluate(candidate)
            evaluations += 1
            if _usable(result) and result[1] <= value + 1e-11 * abs(value) + 1e-12:
                accepted = True
                break
            damping = damping * 8.0 if damping > 0.0 else 1e-2
        if converged or not accepted:
            converged = converged or decrement < 1e-6
            break
        previous = (candidate - x, gradient)
        x = candidate
        ok, value, gradient, model = result
        damping = damping * 0.1 if damping > 1e-6 else 0.0
    at_floor = scales & (x <= lower * (1 + 1e-9)) & (gradient > 0.0)
    return Optimum(x, value, gradient, hessian, decrement, evaluations, converged, at_floor)


def _usable(e: Evaluation) -> bool:
    return e[0] and bool(np.isfinite(e[1]) and np.all(np.isfinite(e[2])) and np.all(np.isfinite(e[3])))


def _step(hessian: Floats, gradient: Floats, moving: Index, damping: float) -> tuple[Floats, float]:
    step = np.zeros(len(gradient))
    if not len(moving):
        return step, 0.0
    h = hessian[np.ix_(moving, moving)]
    root = np.sqrt(np.abs(np.diag(h)))
    root[root == 0.0] = 1.0
    scaled = h / np.outer(root, root)
    if damping:
        scaled = scaled + damping * np.eye(len(moving))
    w, q = np.linalg.eigh(scaled)
    w = np.maximum(np.abs(w), 1e-8 * np.abs(w).max())
    g = gradient[moving] / root
    step[moving] = -(q @ ((q.T @ g) / w)) / root
    return step, float(-gradient[moving] @ step[moving])


def _secant(model: Floats, previous: tuple[Floats, Floats] | None, gradient: Floats) -> Floats:
    """The fresh model, made to agree with the last change of the gradient (one BFGS update)."""
    if previous is None:
        return model
    moved, before = previous
    change = gradient - before
    along = float(moved @ change)
    ms = model @ moved
    bend = float(moved @ ms)
    if along <= 1e-12 * float(np.linalg.norm(moved) * np.linalg.norm(change)) or bend <= 0.0 or not np.isfinite(bend):
        return model
    return np.asarray(model + np.outer(change, change) / along - np.outer(ms, ms) / bend)


def _shorten(x: Floats, step: Floats, scales: Bools, cap: float) -> float:
    """The largest length up to 1 at which no scale grows or shrinks by more than a factor cap."""
    ratio = step[scales] / x[scales] if scales.any() else np.zeros(0)
    ratio = ratio[np.isfinite(ratio)]
    grow = float(ratio.max(initial=0.0))
    shrink = float((-ratio).max(initial=0.0))
    return min(1.0, (cap - 1.0) / grow if grow > 0.0 else 1.0, (1.0 - 1.0 / cap) / shrink if shrink > 0.0 else 1.0)
