"""Searches of which the gradient is known up to random probes, and their ends: exact, or with what the probes leave open.

g_(x) = g(x0) + G(x) - G(x0), G with fixed probes and g exact: its root is the optimum to second order in x - x0.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from ..covariance.layout import Shapes
from ..errors import GlimmError
from ..kernels import Limits, Optimum, minimise
from ..kernels.krylov import WIDE, System
from ..kernels.matrix import Floats
from ..records import Stochastic
from .boundary import FLOOR, Search, Settled, limits, release, settle
from .control import Control
from .mixed_engines import Value

DENSE = 2.6e-11  # seconds of a dense factor and its inverse, by side^3
PASS = 2e-7  # seconds of an evaluation by conjugate gradients, by row and effect
ROUGH = 1e-6
CLOSE, CLOSER = 1e-4, 1e-7
END = 1e-9
ROUNDS = 6
FAR = 1.0
BATCHES, FEWEST = 12, 6  # gradients by other probes at an end that is not exact: at most, and before their spread is believed
SETTLED = 0.02
VALUES, VALUE_TOL = 8, 1e-5
VALUE_BATCH, BLOCK_BATCH = 1000, 2000
BLOCKS, BLOCK_TOL = 8, 1e-3
CAP, MOVES = 4.0, 20
FEW = 2000  # effects of which a factorisation is a matter of a second: more of them are made

Evaluate = Callable[[Shapes, Floats], Value]


UNSOLVED = (
    "a linear system of the crossed random effects was not solved by conjugate gradients in 2,000 steps: the groupings are poorly "
    "connected; use control=glimm.Control(engine='exact')"
)


@dataclass(frozen=True, slots=True)
class Plan:
    """groups of WIDE probes; seed; block : effects of all terms but the one with most levels; exact : whether S is factored at the end."""

    groups: int
    seed: int
    block: int
    exact: bool

    def cheap(self, n: int, effects: int) -> bool:
        """Whether a factorisation of S takes little time, or no more than a gradient by probes of n rows with some effects each."""
        return self.exact and (self.block <= FEW // 2 or DENSE * float(self.block) ** 3 < PASS * n * effects)

    @property
    def probes(self) -> int:
        """Random vectors."""
        return self.groups * WIDE


def planned(control: Control, block: int) -> Plan:
    """What `control` asks for; probes come in eights."""
    return Plan(max(1, -(-(control.probes or WIDE) // WIDE)), control.seed, block, block <= control.exact_block)


@dataclass(slots=True)
class Path:
    """-2 log L along a search: differences by the trapezoidal rule where they are small, which fits the gradient; else as estimated.

    What is small by that rule alone may be a way from one optimum to another.

    Differences are from the lowest place so far, which is where the search stands.
    """

    x: Floats = field(default_factory=lambda: np.zeros(0))
    gradient: Floats = field(default_factory=lambda: np.zeros(0))
    estimate: float = np.nan
    value: float = np.nan

    def along(self, x: Floats, gradient: Floats) -> float:
        """The value at x by the trapezoidal rule alone."""
        return self.at(x, gradient, self.estimate + 0.5 * float((gradient + self.gradient) @ (x - self.x)))

    def at(self, x: Floats, gradient: Floats, estimate: float, joined: bool = True) -> float:
        """The value at x; joined : whether x has the coordinates of the place before."""
        value = estimate
        if np.isfinite(self.value):
            value = self.value + estimate - self.estimate
            if joined and len(self.x) == len(x):
                change = 0.5 * float((gradient + self.gradient) @ (x - self.x))
                near = abs(change) < FAR and abs(change - (estimate - self.estimate)) < FAR
                value = self.value + change if near else value
        if not value > self.value:
            self.x, self.gradient, self.estimate, self.value = x.copy(), gradient, estimate, value
        return value


def estimated(deviance: float, quadratures: Floats) -> float:
    """-2 log L, from what is exact of it and (probes, 3) quadratures: e'(I - S_)e goes along with -log."""
    return deviance + float(np.mean(quadratures[:, 0] + quadratures[:, 1]))


def log_trace(quadratures: Floats, square_norm: float) -> tuple[float, float]:
    """tr log S_ and its standard error: log regressed on e'(I - S_)e and e'(I - S_)^2 e, whose expectations are known (the first is 0).

    square_norm : tr (I - S_)^2, NaN where it is not
    """
    y = quadratures[:, 0]
    known = quadratures[:, 1:2] if np.isnan(square_norm) else quadratures[:, 1:] - np.array([0.0, square_norm])
    design = np.column_stack([np.ones(len(y)), known])
    coefficients, *_ = np.linalg.lstsq(design, y, rcond=None)
    left = y - design @ coefficients
    free = max(len(y) - design.shape[1], 1)
    inverse = np.linalg.pinv(design.T @ design)
    return float(coefficients[0]), float(np.sqrt(left @ left / free * inverse[0, 0]))


def random_blocks(plan: Plan, system: System) -> tuple[list[Floats], float]:
    """Blocks of M^-1 by term where S is not factored, and their Monte-Carlo error as a share of them, of the term where it is largest.

    Exact diagonal blocks of S, and what these leave by probes: the mean over batches, whose spread is the error.
    """
    batches = []
    for batch in range(BLOCKS):
        system.redraw(1, other_seed(plan, BLOCK_BATCH + batch))
        if not system.probe(BLOCK_TOL):
            raise GlimmError(UNSOLVED)
        batches.append(system.inverse_blocks(exact=False))
    means = [np.mean(of_term, axis=0) for of_term in zip(*batches, strict=True)]
    spread = [np.std(of_term, axis=0, ddof=1) / np.sqrt(BLOCKS) for of_term in zip(*batches, strict=True)]
    return means, max(float(np.sqrt((s @ s) / (m @ m))) for s, m in zip(spread, means, strict=True))


def other_seed(plan: Plan, batch: int) -> int:
    """Seeds that no other `seed` of a user leads to."""
    return (plan.seed + 1) * 2**20 + batch


class End(NamedTuple):
    """Where a search ended, and what is random about it."""

    settled: Settled
    stochastic: Stochastic


def newton_step(hessian: Floats, gradient: Floats) -> tuple[Floats, float]:
    """H^-1 g and g'H^-1 g, by absolute eigenvalues of the scaled matrix; parameters without curvature stay."""
    root = np.sqrt(np.abs(np.diag(hessian)))
    root[root == 0.0] = 1.0
    w, v = np.linalg.eigh(0.5 * (hessian + hessian.T) / np.outer(root, root))
    size = np.maximum(np.abs(w), 1e-10 * np.abs(w).max(initial=1e-300))
    step = (v @ ((v.T @ (gradient / root)) / size)) / root
    return step, float(gradient @ step)


def exact_end(plan: Plan, system: System, search: Search, settled: Settled, exact: Evaluate, rough: Evaluate) -> End:
    """The optimum of the exact likelihood near the one that probes found.

    Where that is not close, or another rank of a covariance is better, the search goes on with a factorisation for every evaluation.
    """

    def run(shapes: Shapes, x: Floats, limits: Limits) -> Optimum:
        if not len(x):
            return placed(exact(shapes, x), settled.optimum, x)

        def evaluate(v: Floats) -> tuple[bool, float, Floats, Floats]:
            e = exact(shapes, v)
            return (True, e.deviance, e.gradient, e.hessian) if e.ok else (False, np.inf, np.zeros(len(v)), np.eye(len(v)))

        return minimise(evaluate, x, limits)

    def slope(shapes: Shapes, x: Floats) -> Floats:
        e = exact(shapes, x)
        return e.gradient if e.ok else np.zeros(len(x))

    left = search.max_iter - settled.optimum.evaluations
    fine = replace(search, run=run, slope=slope, max_iter=left)
    found = approached(search, settled, exact, rough, CLOSER if plan.block <= FEW else CLOSE)
    if found.converged and release(fine, settled.shapes, found.x)[0] is not None:
        found = replace(found, converged=False)
    end = replace(settled, optimum=found)
    if not found.converged and left > 0 and (settled.optimum.converged or plan.block <= FEW):
        end = settle(fine, settled.shapes, found.x)
    system.release()
    return End(end, Stochastic(plan.probes, plan.seed, plan.block, True, iterations=system.most_steps()))


def placed(e: Value, found: Optimum, x: Floats) -> Optimum:
    """The optimum x, of which e is known; found : what a search took to come near it."""
    decrement = newton_step(e.hessian, e.gradient)[1] if e.ok and len(x) else 0.0
    rest = decrement, found.evaluations + 1, found.iterations, e.ok, np.zeros(len(x), dtype=bool)
    return Optimum(x, e.deviance, e.gradient, e.hessian, *rest)


def approached(search: Search, settled: Settled, exact: Evaluate, rough: Evaluate, near: float) -> Optimum:
    """The optimum of the same shapes: one factorisation gives value and gradient, what is left to go is made with the gradient that probes
    tell, corrected by it. Where that was more than near in -2 log L, another factorisation follows.

    Not converged where that does not come close, or a standard deviation runs to zero.
    """
    shapes, optimum = settled.shapes, settled.optimum
    x = optimum.x
    bounds = replace(limits(search, shapes, len(x), FLOOR, MOVES), cap=CAP, tol=END)
    for _ in range(ROUNDS):
        e = exact(shapes, x)
        if not e.ok:
            return replace(optimum, converged=False)
        optimum = placed(e, optimum, x)
        if optimum.decrement < END:
            return replace(optimum, converged=settled.optimum.converged)
        close = optimum.decrement < near
        moved = corrected(shapes, e, x, rough, bounds)
        if moved is None or moved.floor.any() or not moved.converged:
            return replace(optimum, converged=False)
        x = moved.x
        if close:
            moved = replace(moved, hessian=e.hessian, iterations=optimum.iterations, evaluations=optimum.evaluations + moved.evaluations)
            return replace(moved, converged=settled.optimum.converged)
    return replace(optimum, converged=False)


def corrected(shapes: Shapes, e: Value, x: Floats, rough: Evaluate, bounds: Limits) -> Optimum | None:
    """The root of e.gradient + G(v) - G(x), G the gradient by probes; None where that cannot be had at x."""
    base, path = rough(shapes, x), Path()
    if not base.ok:
        return None

    def evaluate(v: Floats) -> tuple[bool, float, Floats, Floats]:
        if np.array_equal(v, x):
            return True, path.at(v, e.gradient, e.deviance), e.gradient, e.hessian
        there = rough(shapes, v)
        if not there.ok:
            return False, np.inf, np.zeros(len(v)), np.eye(len(v))
        gradient = e.gradient + there.gradient - base.gradient
        return True, path.along(v, gradient), gradient, e.hessian

    return minimise(evaluate, x, bounds)


def drawn_trace(plan: Plan, system: System) -> tuple[float, float]:
    """tr log S_ and its standard error by batches of probes: twice as many where one of the expectations is not known.

    To stop at a small error would choose draws without the rare large ones.
    """
    norm, drawn = system.square_norm(), []
    for batch in range(VALUES if np.isfinite(norm) else 2 * VALUES):
        system.redraw(plan.groups, other_seed(plan, VALUE_BATCH + batch))
        if not system.probe(VALUE_TOL):
            raise GlimmError(UNSOLVED)
        drawn.append(system.log_quadratures())
    return log_trace(np.concatenate(drawn), norm)


def random_end(
    plan: Plan, system: System, search: Search, settled: Settled, rough: Evaluate, value: Callable[[Shapes, Floats], float]
) -> End:
    """The optimum by more probes, -2 log L with its Monte-Carlo error.

    Gradients with other probes at the same place say how far from the optimum it is, and a step along their mean brings it nearer;
    value : -2 log L without tr log S_, at which the system then stands.
    """
    shapes, found = settled.shapes, settled.optimum
    x, gradients = found.x, [found.gradient]
    step, error = np.zeros(len(x)), 0.0
    spread = np.zeros(len(x))
    for batch in range(1, BATCHES if len(x) else 1):
        system.redraw(plan.groups, other_seed(plan, batch))
        gradients.append(rough(shapes, x).gradient)
        count = len(gradients)
        if count < FEWEST:
            continue
        step = newton_step(found.hessian, np.mean(gradients, axis=0))[0]
        spread = np.std(gradients, axis=0, ddof=1) / np.sqrt(count) * np.sqrt((count - 1) / (count - 3))  # as wide as Student's t
        sizes = np.sqrt(2.0 / np.maximum(np.abs(np.diag(found.hessian)), 1e-300))
        error = float(np.max(np.abs(newton_step(found.hessian, spread)[0]) / sizes))
        if error < SETTLED:
            break
    at = np.maximum(x - step, limits(search, shapes, len(x), FLOOR, 1).lower)
    left = np.mean(gradients, axis=0) + rough(shapes, at).gradient - gradients[-1]
    base = value(shapes, at)
    trace, trace_error = drawn_trace(plan, system)
    llf_error = float(np.hypot(trace_error, 0.5 * newton_step(found.hessian, spread)[1]))  # what lies between the estimates and the optimum
    optimum = replace(
        found,
        x=at,
        value=base + trace,
        gradient=left,
        decrement=newton_step(found.hessian, left)[1],
        evaluations=found.evaluations + len(gradients),
    )
    return End(
        replace(settled, optimum=optimum),
        Stochastic(plan.probes, plan.seed, plan.block, False, 0.5 * llf_error, error, system.most_steps()),
    )
