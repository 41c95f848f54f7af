"""Searches of which the gradient is known up to random probes, and their ends: exact, or with what the probes leave open.

g_(x) = g(x0) + G(x) - G(x0), G with fixed probes and g exact: its root is the optimum to second order in x - x0.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from ..errors import GlimmError
from ..kernels import Limits, Optimum, minimise
from ..kernels.krylov import WIDE, System
from ..kernels.matrix import Floats
from ..records import Stochastic
from .control import Control
from .mixed_engines import Value

DENSE = 2.6e-11  # seconds of a dense factor and its inverse, by side^3
PASS = 2e-7  # seconds of an evaluation by conjugate gradients, by row and effect
ROUGH = 1e-6
CLOSE = 1e-4
END = 1e-9
ROUNDS = 4
FAR = 1.0
BATCHES = 8
SETTLED = 0.02
VALUES = 4
BLOCKS, BLOCK_TOL = 8, 1e-3
CAP, MOVES = 4.0, 20


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
        """Whether a factorisation of S and its inverse take no longer than a gradient by probes, of n rows with some effects each."""
        return self.exact and DENSE * float(self.block) ** 3 < PASS * n * effects

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

    Differences are from the lowest place so far, which is where the search stands.
    """

    x: Floats = field(default_factory=lambda: np.zeros(0))
    gradient: Floats = field(default_factory=lambda: np.zeros(0))
    estimate: float = np.nan
    value: float = np.nan

    def at(self, x: Floats, gradient: Floats, estimate: float) -> float:
        """The value at x."""
        value = estimate
        if len(self.x) == len(x) and np.isfinite(self.value):
            change = 0.5 * float((gradient + self.gradient) @ (x - self.x))
            value = self.value + (change if abs(change) < FAR else estimate - self.estimate)
        if not value > self.value:
            self.x, self.gradient, self.estimate, self.value = x.copy(), gradient, estimate, value
        return value


def estimated(deviance: float, quadratures: Floats) -> float:
    """-2 log L, from what is exact of it and (probes, 3) quadratures: e'(I - S_)e has expectation 0 and goes along with -log."""
    return deviance + float(np.mean(quadratures[:, 0] + quadratures[:, 1]))


def log_trace(quadratures: Floats, square_norm: float) -> tuple[float, float]:
    """tr log S_ and its standard error: log regressed on e'(I - S_)e and e'(I - S_)^2 e, whose expectations are known.

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
        system.redraw(1, other_seed(plan, 2 * BATCHES + batch))
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
    """Where a search ended: the optimum, and what is random about it."""

    optimum: Optimum
    stochastic: Stochastic


def newton_step(hessian: Floats, gradient: Floats) -> tuple[Floats, float]:
    """H^-1 g and g'H^-1 g, by absolute eigenvalues of the scaled matrix; parameters without curvature stay."""
    root = np.sqrt(np.abs(np.diag(hessian)))
    root[root == 0.0] = 1.0
    w, v = np.linalg.eigh(0.5 * (hessian + hessian.T) / np.outer(root, root))
    size = np.maximum(np.abs(w), 1e-10 * np.abs(w).max(initial=1e-300))
    step = (v @ ((v.T @ (gradient / root)) / size)) / root
    return step, float(gradient @ step)


def exact_end(plan: Plan, system: System, found: Optimum, exact: Callable[[Floats], Value], rough: Callable[[Floats], Value]) -> End:
    """The optimum of the exact likelihood near the one that probes found.

    One factorisation gives value and gradient there; what is left to go is made with the gradient that probes tell, corrected by it.
    Where that was more than CLOSE in -2 log L, another factorisation follows.
    """
    x, evaluations, e = found.x, found.evaluations, Value(False, np.inf, found.gradient, found.hessian)
    optimum, size = found, len(x)
    limits = Limits(np.full(size, -np.inf), np.zeros(size, dtype=bool), np.ones(size, dtype=bool), CAP, END, MOVES)
    for _ in range(ROUNDS):
        e = exact(x)
        evaluations += 1
        if not e.ok:
            break
        decrement = newton_step(e.hessian, e.gradient)[1] if len(x) else 0.0
        optimum = Optimum(x, e.deviance, e.gradient, e.hessian, decrement, evaluations, found.iterations, True, found.floor)
        if decrement < END:
            break
        base, path, at = rough(x), Path(), e

        def corrected(v: Floats, at: Value = at, base: Value = base, path: Path = path) -> tuple[bool, float, Floats, Floats]:
            g = at.gradient if np.array_equal(v, x) else at.gradient + rough(v).gradient - base.gradient  # noqa: B023
            change = path.value if np.isfinite(path.value) else at.deviance
            return True, path.at(v, g, change), g, at.hessian

        moved = minimise(corrected, x, limits)
        evaluations += moved.evaluations
        close = decrement < CLOSE
        optimum = replace(optimum, x=moved.x, value=moved.value, gradient=moved.gradient, decrement=moved.decrement)
        optimum = replace(optimum, evaluations=evaluations, converged=moved.converged and close)
        x = moved.x
        if close:
            break
    return End(optimum, Stochastic(plan.probes, plan.seed, plan.block, True, iterations=system.most_steps()))


def random_end(plan: Plan, system: System, found: Optimum, rough: Callable[[Floats], Value], value: Callable[[Floats], float]) -> End:
    """The optimum by more probes, -2 log L with its Monte-Carlo error.

    Gradients with other probes at the same place say how far from the optimum it is, and a step along their mean brings it nearer;
    value : -2 log L without tr log S_, at which the system then stands.
    """
    x, gradients = found.x, [found.gradient]
    step, error = np.zeros(len(x)), 0.0
    for batch in range(1, BATCHES if len(x) else 1):
        system.redraw(plan.groups, other_seed(plan, batch))
        gradients.append(rough(x).gradient)
        mean, spread = np.mean(gradients, axis=0), np.std(gradients, axis=0, ddof=1) / np.sqrt(len(gradients))
        step = newton_step(found.hessian, mean)[0]
        sizes = np.sqrt(2.0 / np.maximum(np.abs(np.diag(found.hessian)), 1e-300))
        error = float(np.max(np.abs(newton_step(found.hessian, spread)[0]) / sizes))
        if batch >= 2 and error < SETTLED:
            break
    at = x - step
    left = np.mean(gradients, axis=0) + rough(at).gradient - gradients[-1]
    base = value(at)
    drawn = []
    for batch in range(VALUES):
        system.redraw(plan.groups, other_seed(plan, BATCHES + batch))
        if not system.probe(1e-5):
            raise GlimmError(UNSOLVED)
        drawn.append(system.log_quadratures())
    trace, llf_error = log_trace(np.concatenate(drawn), system.square_norm())
    optimum = replace(
        found,
        x=at,
        value=base + trace,
        gradient=left,
        decrement=newton_step(found.hessian, left)[1],
        evaluations=found.evaluations + len(gradients),
    )
    return End(optimum, Stochastic(plan.probes, plan.seed, plan.block, False, 0.5 * llf_error, error, system.most_steps()))
