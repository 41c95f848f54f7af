"""The profiled deviance of an LMM at shapes and theta: by the kernels of one grouping factor, or by elimination for any design.

d(theta) = log|M| [+ log|X'V^-1X|] + ne (1 + log(2 pi r2 / ne))
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, NamedTuple, Protocol, TypeVar

import numpy as np

from ..covariance.layout import Layout, Shapes, slices
from ..kernels import Limits, LinearMixed, Optimum, Rows, SparseLinear, minimise
from ..kernels.matrix import Floats
from ..records import Stochastic
from .boundary import Search, Settled
from .terms import Effects, by_term, directions, lambdas, placed_effects, placed_variances

WELL = 1e6
START = 3.0
LEAST = 0.2


class LinearEnd(NamedTuple):
    """Everything at the optimum: effects per term, as named."""

    ok: bool
    deviance: float
    r2: float
    beta: Floats
    information: Floats
    effects: tuple[Floats, ...]


class LinearEngine(Protocol):
    """What a search needs of the deviance."""

    def run(self, shapes: Shapes, x: Floats, limits: Limits) -> Optimum:
        """Minimise from x."""

    def slope(self, shapes: Shapes, x: Floats) -> Floats:
        """Gradient."""

    def end(self, shapes: Shapes, x: Floats) -> LinearEnd:
        """The solution at x."""

    def posterior(self, shapes: Shapes, x: Floats) -> tuple[Floats, ...]:
        """Per term (J, k, k) conditional variances of the effects at sigma = 1, as named."""

    def removed(self) -> tuple[float, float]:
        """Root mean squares of what the least-squares fit leaves of the response, and of response - offset."""

    def typical(self) -> tuple[Floats, ...]:
        """Per term (k,) standard deviations, relative to sigma, that a level can just tell."""

    def start(self, shapes: Shapes) -> tuple[Floats, ...]:
        """Per term (k,) standard deviations to begin with."""

    def respond(self, y: Floats) -> None:
        """Another response."""

    def finish(self, search: Search, settled: Settled) -> Settled:
        """The optimum of the likelihood itself, where the search knew it up to random probes."""

    def stochastic(self) -> Stochastic | None:
        """What is random about the last end; None where nothing is."""

    def many(self, shapes: Shapes, x: Floats, limits: Limits, responses: Floats, threads: int) -> tuple[Floats, Floats, Floats] | None:
        """The search for each of (B, n) responses at once, as `LinearMixed.search_many` gives it; None where there is no such kernel."""


@dataclass(frozen=True, slots=True)
class OneFactor:
    """One term under us or diag; models : the cross-products for each order of the effects that was needed; responses : the last given."""

    rows: Rows
    effects: Effects
    reml: bool
    models: dict[tuple[int, ...], LinearMixed]
    responses: list[Floats]

    def model(self, layout: Layout) -> LinearMixed:
        """The cross-products with the effects in the layout's order."""
        key = tuple(layout.order.tolist())
        if key not in self.models:
            term = self.effects.term
            model = LinearMixed(self.rows, term.refs, len(term.levels), self.effects.taken(layout.order), self.effects.q)
            for y in self.responses:
                model.respond(y)
            self.models[key] = model
        return self.models[key]

    def run(self, shapes: Shapes, x: Floats, limits: Limits) -> Optimum:
        """The search in native code."""
        layout = only(shapes)
        return self.model(layout).search(x, layout.rows, layout.columns, self.reml, limits)

    def slope(self, shapes: Shapes, x: Floats) -> Floats:
        """Gradient in the layout's entries."""
        layout = only(shapes)
        gradient = self.model(layout).evaluate(layout.factor(x), self.reml, derivatives=True).gradient
        return np.zeros(layout.size) if gradient is None else gradient[layout.places]

    def end(self, shapes: Shapes, x: Floats) -> LinearEnd:
        """The solution."""
        layout, q = only(shapes), self.effects.q
        e = self.model(layout).evaluate(layout.factor(x), self.reml)
        if not e.ok:
            return LinearEnd(False, e.deviance, e.r2, e.beta, e.information, ())
        assert e.u is not None
        root = self.effects.back @ layout.root(x)
        return LinearEnd(True, e.deviance, e.r2, e.beta, e.information, (e.u.reshape(-1, q) @ root.T,))

    def posterior(self, shapes: Shapes, x: Floats) -> tuple[Floats, ...]:
        """Blocks of M^-1."""
        layout, q = only(shapes), self.effects.q
        blocks = self.model(layout).evaluate(layout.factor(x), self.reml, blocks=True).inverse_blocks
        assert blocks is not None
        root = self.effects.back @ layout.root(x)
        return (root @ blocks.reshape(-1, q, q) @ root.T,)

    def removed(self) -> tuple[float, float]:
        """What is left of the response."""
        return self.any_model().removed()

    def typical(self) -> tuple[Floats, ...]:
        """One over the root mean square of Z'WZ."""
        return (1.0 / np.sqrt(self.any_model().mean_square()),)

    def start(self, shapes: Shapes) -> tuple[Floats, ...]:
        """A few times what a level can just tell."""
        return (START * self.typical()[0],)

    def any_model(self) -> LinearMixed:
        """The cross-products with the effects in their own order."""
        layout = self.effects.shape()
        assert isinstance(layout, Layout)
        return self.model(layout)

    def respond(self, y: Floats) -> None:
        """In all models, and in those that come."""
        self.responses[:] = [y]
        for model in self.models.values():
            model.respond(y)

    def finish(self, search: Search, settled: Settled) -> Settled:
        """As found."""
        return settled

    def stochastic(self) -> Stochastic | None:
        """Nothing is random."""
        return None

    def many(self, shapes: Shapes, x: Floats, limits: Limits, responses: Floats, threads: int) -> tuple[Floats, Floats, Floats]:
        """All in native code."""
        layout = only(shapes)
        return self.model(layout).search_many(responses, x, layout.rows, layout.columns, self.reml, limits, threads)


class LinearModel(Protocol):
    """What the kernels of any number of terms share."""

    def moments(self) -> Floats:
        """Standard deviations that sums by level tell."""

    def removed(self) -> tuple[float, float]:
        """What is left of the response."""

    def respond(self, y: Floats) -> None:
        """Another response."""


M = TypeVar("M", bound=LinearModel)


@dataclass(frozen=True, slots=True)
class Several(Generic[M]):
    """Any number of terms: what does not depend on how systems are solved."""

    model: M
    terms: tuple[Effects, ...]
    size: Floats | None
    reml: bool
    step: Callable[[float | None], None]

    def removed(self) -> tuple[float, float]:
        """What is left of the response."""
        return self.model.removed()

    def typical(self) -> tuple[Floats, ...]:
        """One over the root mean square of Z'WZ; 1 for an effect that no row is left of."""
        squares = [t.squares(self.size) for t in self.terms]
        return tuple(np.sqrt(count / np.where(total > 0.0, total, count)) for total, count in squares)

    def start(self, shapes: Shapes) -> tuple[Floats, ...]:
        """By the method of moments, each term as if it were alone, the residual what they leave; not below what a level can just tell."""
        found = by_term(shapes, self.model.moments())
        typical = self.typical()
        taken = sum(float((sd / size).mean() ** 2) * float((size**2).mean()) for sd, size in zip(found, typical, strict=True))
        left = np.sqrt(max(1.0 - min(taken, 1.0), LEAST))
        return tuple(np.maximum(sd / left, size) for sd, size in zip(found, typical, strict=True))

    def respond(self, y: Floats) -> None:
        """In the one model."""
        self.model.respond(y)

    def many(self, shapes: Shapes, x: Floats, limits: Limits, responses: Floats, threads: int) -> None:
        """One at a time."""


@dataclass(frozen=True, slots=True)
class AnyDesign(Several[SparseLinear]):
    """Any number of terms, by elimination."""

    def run(self, shapes: Shapes, x: Floats, limits: Limits) -> Optimum:
        """Newton with the average information."""

        def evaluate(theta: Floats) -> tuple[bool, float, Floats, Floats]:
            e = self.model.evaluate(lambdas(shapes, theta), self.reml, directions(shapes, theta), 2)
            self.step(e.deviance if e.ok else None)
            if not e.ok or e.gradient is None or e.pulled is None:
                return False, np.inf, np.zeros(len(theta)), np.eye(len(theta))
            hessian = np.zeros((0, 0)) if e.hessian is None else e.hessian + bends(shapes, theta, e.pulled)
            return True, e.deviance, e.gradient, hessian

        if not len(x):
            e = self.model.evaluate(lambdas(shapes, x), self.reml)
            empty = np.zeros(0)
            return Optimum(x, e.deviance, empty, np.zeros((0, 0)), 0.0, 1, 0, e.ok, empty.astype(bool))
        return minimise(evaluate, x, limits)

    def slope(self, shapes: Shapes, x: Floats) -> Floats:
        """Gradient in the shapes' parameters."""
        e = self.model.evaluate(lambdas(shapes, x), self.reml, directions(shapes, x), 1)
        return np.zeros(len(x)) if e.gradient is None else e.gradient

    def end(self, shapes: Shapes, x: Floats) -> LinearEnd:
        """The solution."""
        e = self.model.evaluate(lambdas(shapes, x), self.reml)
        if not e.ok:
            return LinearEnd(False, e.deviance, e.r2, e.beta, e.information, ())
        parts = zip(self.terms, shapes, slices(shapes), e.u, strict=True)
        return LinearEnd(True, e.deviance, e.r2, e.beta, e.information, tuple(placed_effects(t, s, x[at], u) for t, s, at, u in parts))

    def posterior(self, shapes: Shapes, x: Floats) -> tuple[Floats, ...]:
        """Blocks of M^-1."""
        self.model.evaluate(lambdas(shapes, x), self.reml)
        parts = zip(self.terms, shapes, slices(shapes), self.model.inverse_blocks(), strict=True)
        return tuple(placed_variances(t, s, x[at], b) for t, s, at, b in parts)

    def finish(self, search: Search, settled: Settled) -> Settled:
        """As found."""
        return settled

    def stochastic(self) -> Stochastic | None:
        """Nothing is random."""
        return None


def only(shapes: Shapes) -> Layout:
    """The layout of the only term."""
    (layout,) = shapes
    assert isinstance(layout, Layout)
    return layout


def bends(shapes: Shapes, theta: Floats, pulled: Floats) -> Floats:
    """The second-order term of Sigma = Lambda Lambda': 2 tr(dLambda_k' G dLambda_l), where G = pulled Lambda^-1 can be had."""
    out = np.zeros((len(theta), len(theta)))
    begin = 0
    for s, at in zip(shapes, slices(shapes), strict=True):
        values = s.lambdas(theta[at])
        if isinstance(s, Layout) and s.rank == s.k:
            root = values.reshape(s.k, s.k)
            diagonal = np.abs(s.factor(theta[at]).diagonal())
            if diagonal.min() * WELL > diagonal.max():
                g = np.linalg.solve(root.T, pulled[begin : begin + len(values)].reshape(s.k, s.k).T).T
                moved = s.dlambdas(theta[at]).reshape(s.size, s.k, s.k)
                out[at, at] = 2.0 * np.einsum("kab,ac,lcb->kl", moved, 0.5 * (g + g.T), moved, optimize=True)
        begin += len(values)
    return out
