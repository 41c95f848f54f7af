"""-2 log L of a GLMM at shapes and x = (working beta | theta of each term | psi): by the kernels of one grouping factor, Laplace and
quadrature, or by elimination for any design, Laplace.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Generic, NamedTuple, Protocol, TypeVar

import numpy as np

from ..covariance.layout import Curve, Layout, Shapes, slices, total
from ..design.records import Design
from ..family import Family, Link
from ..kernels import MixedEvaluation, MixedModel, Rows, SparseLaplace, SparseMixed, inverse
from ..kernels.families import FamilyKernel, LinkKernel
from ..kernels.matrix import Floats, Ints
from ..kernels.sparse import NOWHERE
from ..records import Stochastic
from .boundary import Search, Settled
from .linear_engines import only
from .points import rule
from .terms import Effects, by_term, directions, lambdas, placed_effects, placed_variances

MANY_LEVELS, FEW_LEVELS = 4000, 1000
CENTRAL, FORWARD = 3e-3, 1e-4
SHARP = 1e-22
CURVED = 1e-2
DEAR, MANY_ROWS = 250, 50_000
LEAST, MOST = 0.1, 2.0
STEEPEST = 1e200


class Value(NamedTuple):
    """-2 log L with its gradient and a model of its Hessian (empty where not asked for)."""

    ok: bool
    deviance: float
    gradient: Floats
    hessian: Floats


class MixedEnd(NamedTuple):
    """At the optimum: effects per term, as named."""

    ok: bool
    deviance: float
    gradient: Floats
    hessian: Floats
    effects: tuple[Floats, ...]


class MixedEngine(Protocol):
    """What a search needs of the likelihood."""

    @property
    def quadrature(self) -> int:
        """Effects per cluster where quadrature over them is possible, else 0."""

    def evaluate(self, shapes: Shapes, x: Floats, points: int, order: int) -> Value:
        """order 0: value; 1: with gradient; 2: with model Hessian."""

    def hessian(self, shapes: Shapes, x: Floats, model: Floats, points: int) -> Floats:
        """(P, P) of -2 log L, NaN where it cannot be had; model : the model of it at x."""

    def end(self, shapes: Shapes, x: Floats, points: int) -> MixedEnd:
        """The solution at x."""

    def posterior(self, shapes: Shapes, x: Floats, points: int) -> tuple[Floats, ...]:
        """Per term (J, k, k) conditional variances of the effects, as named."""

    def start(self, shapes: Shapes, beta: Floats, psi: Floats) -> tuple[Floats, ...] | None:
        """Per term (k,) standard deviations to begin with, from the coefficients without random effects; None: the usual ones."""

    def fewer(self) -> MixedEngine | None:
        """The same on some of the clusters, where there are many; None otherwise."""

    def finish(self, search: Search, settled: Settled) -> Settled:
        """The optimum of the likelihood itself, where the search knew it up to random probes."""

    def stochastic(self) -> Stochastic | None:
        """What is random about the last end; None where nothing is."""


def any_design(
    design: Design, family: Family, terms: tuple[Effects, ...], threads: int, step: Callable[[float | None], None] = lambda value: None
) -> AnyDesign:
    """The engine that takes every design."""
    part = design.mean
    rows = Rows(part.matrix, part.center, part.scale, design.y, design.size, part.offset, threads=threads)
    model = SparseLaplace(rows, [t.sparse() for t in terms], design.trials, design.weights)
    return AnyDesign(model, family, part.link, terms, part.matrix.p, step)


@dataclass(frozen=True, slots=True)
class OneFactor:
    """One term under us or diag: rows by level in `order` from `starts`; models for each order of the effects that was needed."""

    design: Design
    family: Family
    effects: Effects
    order: Ints
    starts: Ints
    threads: int
    models: dict[tuple[int, ...], MixedModel]

    @property
    def kernels(self) -> tuple[FamilyKernel, LinkKernel]:
        """Of family and link."""
        return self.family.kernel, self.design.mean.link.kernel

    @property
    def quadrature(self) -> int:
        """All effects of the term."""
        return self.effects.q

    def model(self, layout: Layout) -> MixedModel:
        """The rows with the effects in the layout's order."""
        key = tuple(layout.order.tolist())
        if key not in self.models:
            design, part = self.design, self.design.mean
            rows = Rows(part.matrix, part.center, part.scale, design.y, design.size, part.offset, self.order, self.threads)
            arranged = [None if a is None else a[self.order] for a in (design.trials, design.weights)]
            self.models[key] = MixedModel(rows, self.starts, self.effects.taken(layout.order), self.effects.q, *arranged)
        return self.models[key]

    def spread_out(self, layout: Layout, x: Floats) -> tuple[Floats, Ints]:
        """The kernel's vector (beta | all entries of T | psi), and the positions of x in it."""
        p, m, q = self.design.mean.matrix.p, layout.size, self.effects.q
        entries = q * (q + 1) // 2
        own = p + entries + np.array(self.family.free, dtype=np.int64)
        places = np.concatenate([np.arange(p), p + layout.places, own])
        vector = np.concatenate([np.zeros(p + entries), self.family.psi(x[p + m :])])
        vector[places] = x
        return vector, places

    def answer(self, layout: Layout, x: Floats, points: int, order: int, blocks: bool = False) -> tuple[MixedEvaluation, Ints]:
        """The kernel's answer and the positions of x in its vector."""
        vector, places = self.spread_out(layout, x)
        if points == 1:
            return self.model(layout).laplace(*self.kernels, vector, order, blocks), places
        return self.model(layout).quadrature(*self.kernels, vector, order, *rule(points, self.effects.q), blocks=blocks), places

    def evaluate(self, shapes: Shapes, x: Floats, points: int, order: int) -> Value:
        """Laplace or quadrature."""
        e, places = self.answer(only(shapes), x, points, order)
        if order == 0 or not e.ok:
            return Value(e.ok, e.deviance, np.zeros(0), np.zeros((0, 0)))
        return Value(e.ok, e.deviance, e.gradient[places], e.hessian[np.ix_(places, places)] if order > 1 else np.zeros((0, 0)))

    def hessian(self, shapes: Shapes, x: Floats, model: Floats, points: int) -> Floats:
        """Exact for Laplace, differences of the exact gradient for quadrature."""
        layout = only(shapes)
        if points == 1:
            vector, places = self.spread_out(layout, x)
            exact = self.model(layout).laplace_hessian(*self.kernels, vector, places)
            return np.full((len(x), len(x)), np.nan) if exact is None else exact
        most = most_moves(shapes, self.design.mean.matrix.p, x)
        return differences(lambda v: self.evaluate(shapes, v, points, 1), x, most, np.diag(model_errors(model)), CENTRAL)

    def end(self, shapes: Shapes, x: Floats, points: int) -> MixedEnd:
        """The solution."""
        layout, q = only(shapes), self.effects.q
        e, places = self.answer(layout, x, points, 2)
        if not e.ok:
            return MixedEnd(False, np.inf, np.zeros(0), np.zeros((0, 0)), ())
        named = e.u.reshape(-1, q) @ self.root(layout, x).T
        return MixedEnd(True, e.deviance, e.gradient[places], e.hessian[np.ix_(places, places)], (named,))

    def root(self, layout: Layout, x: Floats) -> Floats:
        """(q, q) b = root u, as named."""
        p = self.design.mean.matrix.p
        return np.asarray(self.effects.back @ layout.root(x[p : p + layout.size]))

    def posterior(self, shapes: Shapes, x: Floats, points: int) -> tuple[Floats, ...]:
        """Blocks of M^-1 at the modes."""
        layout, q = only(shapes), self.effects.q
        e, _ = self.answer(layout, x, points, 0, blocks=True)
        assert e.inverse_blocks is not None
        root = self.root(layout, x)
        return (root @ e.inverse_blocks.reshape(-1, q, q) @ root.T,)

    def start(self, shapes: Shapes, beta: Floats, psi: Floats) -> None:
        """The usual ones."""

    def fewer(self) -> OneFactor | None:
        """Every k-th level: a search there costs little and saves half of the other."""
        levels = len(self.starts) - 1
        if levels < MANY_LEVELS:
            return None
        chosen = np.arange(0, levels, levels // FEW_LEVELS)
        sizes = np.diff(self.starts)[chosen]
        starts = np.concatenate(([0], np.cumsum(sizes))).astype(np.int64)
        positions = np.repeat(self.starts[chosen] - starts[:-1], sizes) + np.arange(starts[-1])
        return replace(self, order=self.order[positions], starts=starts, models={})

    def finish(self, search: Search, settled: Settled) -> Settled:
        """As found."""
        return settled

    def stochastic(self) -> Stochastic | None:
        """Nothing is random."""
        return None


class MixedKernel(Protocol):
    """What the kernels of any number of terms share."""

    def moments(self, kernels: tuple[FamilyKernel, LinkKernel], beta: Floats, psi: Floats) -> Floats:
        """Standard deviations that the scores without random effects tell."""


M = TypeVar("M", bound=MixedKernel)


@dataclass(frozen=True, slots=True)
class Several(Generic[M]):
    """Any number of terms, by Laplace: what does not depend on how systems are solved."""

    model: M
    family: Family
    link: Link
    terms: tuple[Effects, ...]
    p: int
    step: Callable[[float | None], None]

    @property
    def kernels(self) -> tuple[FamilyKernel, LinkKernel]:
        """Of family and link."""
        return self.family.kernel, self.link.kernel

    @property
    def quadrature(self) -> int:
        """None: the levels are not independent of each other."""
        return 0

    def without_known(self, e: SparseMixed, before: int, order: int) -> SparseMixed:
        """Derivatives without the parameters of the family that are known, which stand behind the first ones."""
        if order == 0 or not e.ok or len(self.family.free) == len(self.family.parameters):
            return e
        places = np.concatenate([np.arange(before), before + np.array(self.family.free, dtype=np.int64)])
        return e._replace(gradient=e.gradient[places], hessian=e.hessian[np.ix_(places, places)] if order > 1 else e.hessian)

    def start(self, shapes: Shapes, beta: Floats, psi: Floats) -> tuple[Floats, ...]:
        """By the method of moments, each term as if it were alone; neither tiny nor huge."""
        found = by_term(shapes, self.model.moments(self.kernels, beta, self.family.psi(psi)))
        n = len(self.terms[0].term.refs)
        units = [np.sqrt(n / np.maximum(t.squares(None)[0], 1e-300)) for t in self.terms]
        return tuple(np.clip(sd, LEAST * unit, MOST * unit) for sd, unit in zip(found, units, strict=True))

    def fewer(self) -> None:
        """All rows at once."""


@dataclass(frozen=True, slots=True)
class AnyDesign(Several[SparseLaplace]):
    """By elimination."""

    def answer(self, shapes: Shapes, x: Floats, order: int, tol: float = 1e-16) -> SparseMixed:
        """The kernel's answer."""
        p, m = self.p, total(shapes)
        theta = x[p : p + m]
        moved = directions(shapes, theta) if order else NOWHERE
        e = self.model.evaluate(self.kernels, x[:p], lambdas(shapes, theta), self.family.psi(x[p + m :]), moved, order, tol)
        return self.without_known(e, p + m, order)

    def evaluate(self, shapes: Shapes, x: Floats, points: int, order: int) -> Value:
        """Laplace."""
        e = self.answer(shapes, x, order)
        empty = np.zeros((0, 0))
        return Value(e.ok, e.deviance, np.zeros(0) if order == 0 else e.gradient, empty if order < 2 or e.hessian is None else e.hessian)

    def hessian(self, shapes: Shapes, x: Floats, model: Floats, points: int) -> Floats:
        """Differences of the exact gradient along the columns of model^(-1/2); one-sided where an evaluation is dear."""
        w, v = np.linalg.eigh(model_scaled(model)[0])
        steps = (v * np.sqrt(2.0 / np.maximum(np.abs(w), 1e-8 * np.abs(w).max(initial=1e-300)))) / model_scaled(model)[1][:, None]
        most = most_moves(shapes, self.p, x)

        def gradient(at: Floats) -> Value:
            e = self.answer(shapes, at, 1, SHARP)
            self.step(None)
            return Value(e.ok, e.deviance, e.gradient, np.zeros((0, 0)))

        dear = self.model.shape()[2] > DEAR or len(x) * len(self.terms[0].term.refs) > MANY_ROWS
        return differences(gradient, x, most, steps, FORWARD if dear else CENTRAL, gradient(x).gradient if dear else None)

    def end(self, shapes: Shapes, x: Floats, points: int) -> MixedEnd:
        """The solution."""
        e = self.answer(shapes, x, 2, SHARP)
        if not e.ok:
            return MixedEnd(False, np.inf, np.zeros(0), np.zeros((0, 0)), ())
        theta = x[self.p : self.p + total(shapes)]
        parts = zip(self.terms, shapes, slices(shapes), e.u, strict=True)
        return MixedEnd(True, e.deviance, e.gradient, e.hessian, tuple(placed_effects(t, s, theta[at], u) for t, s, at, u in parts))

    def posterior(self, shapes: Shapes, x: Floats, points: int) -> tuple[Floats, ...]:
        """Blocks of M^-1 at the modes."""
        self.answer(shapes, x, 0)
        theta = x[self.p : self.p + total(shapes)]
        parts = zip(self.terms, shapes, slices(shapes), self.model.inverse_blocks(), strict=True)
        return tuple(placed_variances(t, s, theta[at], b) for t, s, at, b in parts)

    def finish(self, search: Search, settled: Settled) -> Settled:
        """As found."""
        return settled

    def stochastic(self) -> Stochastic | None:
        """Nothing is random."""
        return None


def most_moves(shapes: Shapes, first: int, x: Floats) -> Floats:
    """(P,) how far a difference may move a parameter: a standard deviation by half of itself, a correlation's by little."""
    out = np.full(len(x), np.inf)
    for s, at in zip(shapes, slices(shapes, first), strict=True):
        out[at] = np.where(s.scales, 0.5 * np.abs(x[at]), CURVED if isinstance(s, Curve) else np.inf)
    return out


def model_scaled(hessian: Floats) -> tuple[Floats, Floats]:
    """The matrix with a diagonal of ones, and the roots of its own."""
    root = np.sqrt(np.abs(np.diag(hessian)))
    root[root == 0.0] = 1.0
    return np.asarray(0.5 * (hessian + hessian.T) / np.outer(root, root)), root


def model_errors(hessian: Floats) -> Floats:
    """(m,) standard errors from a model Hessian of -2 log L, or from its diagonal where it has no inverse."""
    try:
        return np.sqrt(np.abs(np.diag(2.0 * inverse(hessian))))
    except np.linalg.LinAlgError:
        return np.asarray(np.sqrt(2.0 / np.maximum(np.abs(np.diag(hessian)), 1e-12)))


def differences(
    gradient: Callable[[Floats], Value], x: Floats, most: Floats, steps: Floats, reach: float, base: Floats | None = None
) -> Floats:
    """(P, P) Hessian H from H S, S the columns of steps (about a standard error long): central, or one-sided from the gradient at x.

    most : (P,) no parameter moves further
    """
    h = np.empty((len(x), len(x)))
    for k, step in enumerate(steps.T):
        if not np.isfinite(step).all():
            return np.full((len(x), len(x)), np.nan)
        along = step != 0.0
        length = min(reach, float(np.min(most[along] / np.abs(step[along]), initial=np.inf)))
        sides = [gradient(x + side * length * step) for side in ((1.0, -1.0) if base is None else (1.0,))]
        if not all(e.ok and np.abs(e.gradient).max(initial=0.0) < STEEPEST for e in sides):
            return np.full((len(x), len(x)), np.nan)
        h[:, k] = (sides[0].gradient - sides[1].gradient) / (2.0 * length) if base is None else (sides[0].gradient - base) / length
    try:
        full = np.linalg.solve(steps.T, h.T).T
    except np.linalg.LinAlgError:
        return np.full_like(h, np.nan)
    return np.asarray(0.5 * (full + full.T))
