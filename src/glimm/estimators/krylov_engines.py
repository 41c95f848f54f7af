"""The likelihood of crossed terms too large to be factored at every step, as `linear_engines` and `mixed_engines` ask for it.

In a search log|M| and its gradient come from random probes; `finish` makes the end exact, or says what is open.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from ..covariance.layout import Shapes, slices, total
from ..kernels import How, KrylovLaplace, KrylovLinear, Limits, Optimum, SparseMixed, minimise
from ..kernels.krylov import System
from ..kernels.matrix import Floats
from ..kernels.sparse import NOWHERE, SparseLmm
from ..records import Stochastic
from .boundary import Search, Settled
from .krylov import ROUGH, End, Evaluate, Path, Plan, estimated, exact_end, random_blocks, random_end
from .linear_engines import LinearEnd, Several, bends
from .mixed_engines import CENTRAL, MixedEnd, Value, differences, model_scaled, most_moves
from .mixed_engines import Several as SeveralMixed
from .terms import directions, lambdas, placed_effects, placed_variances

SEARCH = How(1e-8, 1e-4)
FINE = How(1e-11, 1e-6)
EXACT = How(1e-11, 1e-6, 2)
BARE = How(1e-11, 1e-6, -1)
COARSE_MODES, MODES, SHARP = 1e-9, 1e-14, 1e-20
WIDER = 1e-2
NONE = Value(False, np.inf, np.zeros(0), np.zeros((0, 0)))


@dataclass(slots=True)
class State:
    """Where a large fit stands: the path of the search with its shapes, the last end."""

    plan: Plan
    path: Path = field(default_factory=Path)
    shapes: Shapes = ()
    ended: Stochastic | None = None
    deviance: float = np.nan
    x: Floats = field(default_factory=lambda: np.zeros(0))
    blocks_error: float = 0.0

    def value(self, shapes: Shapes, x: Floats, gradient: Floats, estimate: float) -> float:
        """-2 log L along the search."""
        joined = shapes is self.shapes
        self.shapes = shapes
        return self.path.at(x, gradient, estimate, joined)

    def end(self, end: End) -> Settled:
        """Remember the end."""
        found = end.settled.optimum
        self.ended, self.deviance, self.x = end.stochastic, found.value, found.x
        self.path = Path()
        return end.settled

    def blocks(self, system: System) -> list[Floats]:
        """Blocks of M^-1 by term."""
        if self.plan.exact:
            return system.inverse_blocks(exact=True)
        found, self.blocks_error = random_blocks(self.plan, system)
        return found

    def deviance_at(self, x: Floats) -> float:
        """-2 log L where the last end was."""
        return self.deviance if np.array_equal(x, self.x) else np.nan


@dataclass(frozen=True, slots=True)
class LargeLinear(Several[KrylovLinear]):
    """An LMM."""

    state: State

    def answer(self, shapes: Shapes, theta: Floats, how: How, order: int) -> SparseLmm:
        """The kernel's answer."""
        return self.model.evaluate(lambdas(shapes, theta), self.reml, how, directions(shapes, theta) if order else NOWHERE, order)

    def run(self, shapes: Shapes, x: Floats, limits: Limits) -> Optimum:
        """Newton with the average information and the gradient of fixed probes."""

        def evaluate(theta: Floats) -> tuple[bool, float, Floats, Floats]:
            v = self.value(shapes, theta, SEARCH, 2)
            if not v.ok:
                return False, np.inf, np.zeros(len(theta)), np.eye(len(theta))
            estimate = estimated(v.deviance, self.model.log_quadratures())
            self.step(estimate)
            return True, self.state.value(shapes, theta, v.gradient, estimate), v.gradient, v.hessian

        if not len(x):
            e = self.answer(shapes, x, SEARCH, 0)
            empty = np.zeros(0)
            return Optimum(
                x, estimated(e.deviance, self.model.log_quadratures()), empty, np.zeros((0, 0)), 0.0, 1, 0, e.ok, empty.astype(bool)
            )
        return minimise(evaluate, x, replace(limits, tol=max(limits.tol, ROUGH)))

    def value(self, shapes: Shapes, theta: Floats, how: How, order: int) -> Value:
        """The answer as a value; with order 2 the model Hessian has its second-order term."""
        e = self.answer(shapes, theta, how, order)
        if not e.ok:
            return NONE
        gradient = np.zeros(len(theta)) if e.gradient is None else e.gradient
        if order < 2 or e.hessian is None or e.pulled is None:
            return Value(True, e.deviance, gradient, np.zeros((len(theta), len(theta))))
        return Value(True, e.deviance, gradient, e.hessian + bends(shapes, theta, e.pulled))

    def informed(self, shapes: Shapes, x: Floats) -> Settled:
        """x with the average information alone, in which nothing is random: zero where the restricted likelihood is constant."""
        e = self.answer(shapes, x, SEARCH, 2)
        information = np.ones((len(x), len(x))) if e.hessian is None else e.hessian
        empty = np.zeros(len(x), dtype=bool)
        return Settled(Optimum(x, e.deviance, np.zeros(len(x)), information, np.inf, 1, 0, False, empty), shapes)

    def slope(self, shapes: Shapes, x: Floats) -> Floats:
        """Gradient by probes."""
        e = self.answer(shapes, x, FINE, 1)
        return np.zeros(len(x)) if e.gradient is None else e.gradient

    def finish(self, search: Search, settled: Settled) -> Settled:
        """By factorisations, or by more probes."""
        plan = self.state.plan

        def rough(shapes: Shapes, x: Floats) -> Value:
            self.step(None)
            return self.value(shapes, x, FINE, 1)

        def exact(shapes: Shapes, x: Floats) -> Value:
            self.step(None)
            return self.value(shapes, x, EXACT, 2)

        def value(shapes: Shapes, x: Floats) -> float:
            return self.answer(shapes, x, BARE, 0).deviance

        if plan.exact:
            return self.state.end(exact_end(plan, self.model, search, settled, exact, rough))
        return self.state.end(random_end(plan, self.model, search, settled, rough, value))

    def stochastic(self) -> Stochastic | None:
        """Of the last end."""
        return self.state.ended

    def end(self, shapes: Shapes, x: Floats) -> LinearEnd:
        """The solution."""
        e = self.answer(shapes, x, BARE, 0)
        if not e.ok:
            return LinearEnd(False, e.deviance, e.r2, e.beta, e.information, ())
        parts = zip(self.terms, shapes, slices(shapes), e.u, strict=True)
        effects = tuple(placed_effects(t, s, x[at], u) for t, s, at, u in parts)
        return LinearEnd(True, self.state.deviance_at(x), e.r2, e.beta, e.information, effects)

    def posterior(self, shapes: Shapes, x: Floats) -> tuple[Floats, ...]:
        """Blocks of M^-1, exact where S can be factored."""
        self.answer(shapes, x, How(1e-11, 1e-6, 1 if self.state.plan.exact else -1), 0)
        parts = zip(self.terms, shapes, slices(shapes), self.state.blocks(self.model), strict=True)
        found = tuple(placed_variances(t, s, x[at], b) for t, s, at, b in parts)
        self.model.release()
        return found


@dataclass(frozen=True, slots=True)
class LargeMixed(SeveralMixed[KrylovLaplace]):
    """A GLMM, by Laplace."""

    state: State

    def asked(self, shapes: Shapes, x: Floats, how: How, order: int, tol: float) -> SparseMixed:
        """The kernel's answer, without parameters of the family that are known."""
        p, m = self.p, total(shapes)
        theta = x[p : p + m]
        moved = directions(shapes, theta) if order else NOWHERE
        at = x[:p], lambdas(shapes, theta), self.family.psi(x[p + m :])
        return self.without_known(self.model.evaluate(self.kernels, at, how, moved, order, tol), p + m, order)

    def answer(self, shapes: Shapes, x: Floats, order: int, tol: float = MODES) -> SparseMixed:
        """By probes; the deviance lacks what they tell of it."""
        return self.asked(shapes, x, BARE if order == 0 else FINE, order, tol)

    def evaluate(self, shapes: Shapes, x: Floats, points: int, order: int) -> Value:
        """As a search asks for it: its value is that along the search."""
        if order == 0:
            e = self.asked(shapes, x, BARE, 0, COARSE_MODES)
            return Value(e.ok, e.deviance, np.zeros(0), np.zeros((0, 0)))
        e = self.asked(shapes, x, SEARCH, order, COARSE_MODES)
        if not e.ok:
            return NONE
        estimate = estimated(e.deviance, self.model.log_quadratures())
        value = self.state.value(shapes, x, e.gradient, estimate) if order > 1 else estimate
        return Value(True, value, e.gradient, np.zeros((0, 0)) if e.hessian is None else e.hessian)

    def hessian(self, shapes: Shapes, x: Floats, model: Floats, points: int) -> Floats:
        """Central differences of the gradient along the columns of model^(-1/2), with fixed probes where the exact one is dear."""
        scaled, root = model_scaled(model)
        w, v = np.linalg.eigh(scaled)
        steps = (v * np.sqrt(2.0 / np.maximum(np.abs(w), 1e-8 * np.abs(w).max(initial=1e-300)))) / root[:, None]
        cheap = self.state.plan.cheap(len(self.terms[0].term.refs), sum(t.q for t in self.terms))

        def gradient(at: Floats) -> Value:
            e = self.asked(shapes, at, EXACT if cheap else FINE, 1, SHARP)
            self.step(None)
            return Value(e.ok, e.deviance, e.gradient, np.zeros((0, 0)))

        return differences(gradient, x, most_moves(shapes, self.p, x), steps, CENTRAL if cheap else WIDER, None)

    def finish(self, search: Search, settled: Settled) -> Settled:
        """By factorisations, or by more probes."""
        plan = self.state.plan

        def gradient(how: How, order: int) -> Evaluate:
            def evaluate(shapes: Shapes, x: Floats) -> Value:
                e = self.asked(shapes, x, how, order, SHARP)
                self.step(None)
                return Value(e.ok, e.deviance, e.gradient, np.zeros((0, 0)) if e.hessian is None else e.hessian) if e.ok else NONE

            return evaluate

        def value(shapes: Shapes, x: Floats) -> float:
            return self.asked(shapes, x, BARE, 0, SHARP).deviance

        if plan.exact:
            return self.state.end(exact_end(plan, self.model, search, settled, gradient(EXACT, 2), gradient(FINE, 1)))
        return self.state.end(random_end(plan, self.model, search, settled, gradient(FINE, 1), value))

    def stochastic(self) -> Stochastic | None:
        """Of the last end."""
        return self.state.ended

    def end(self, shapes: Shapes, x: Floats, points: int) -> MixedEnd:
        """The solution; gradient and model Hessian by probes."""
        e = self.asked(shapes, x, FINE, 2, SHARP)
        if not e.ok:
            return MixedEnd(False, np.inf, np.zeros(0), np.zeros((0, 0)), ())
        theta = x[self.p : self.p + total(shapes)]
        parts = zip(self.terms, shapes, slices(shapes), e.u, strict=True)
        effects = tuple(placed_effects(t, s, theta[at], u) for t, s, at, u in parts)
        return MixedEnd(True, self.state.deviance_at(x), e.gradient, e.hessian, effects)

    def posterior(self, shapes: Shapes, x: Floats, points: int) -> tuple[Floats, ...]:
        """Blocks of M^-1 at the modes, exact where S can be factored."""
        self.asked(shapes, x, How(1e-11, 1e-6, 1 if self.state.plan.exact else -1), 0, MODES)
        theta = x[self.p : self.p + total(shapes)]
        parts = zip(self.terms, shapes, slices(shapes), self.state.blocks(self.model), strict=True)
        found = tuple(placed_variances(t, s, theta[at], b) for t, s, at, b in parts)
        self.model.release()
        return found
