"""Responses whose linear predictor is normal: F(y) = int F(y | h(eta + s u)) phi(u) du, with its quantiles and its standard deviation.

F(y | mu) falls from 1 to 0 around mu = y, within a few standard deviations of Y, which may be a small part of the range of u. So the
integral is by Gauss-Legendre rules on panels that end there and a few such widths away.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from ..errors import GlimmError
from ..family import Family, Link
from ..inference.distributions import Distribution, Values
from ..kernels import link as link_eta
from ..kernels import mean
from ..kernels.matrix import Bools, Floats, Index

REACH = 7.5
NODES = 14
CUTS = (-2.5, 0.0, 2.5)
WIDTHS = 10.0
CELLS = 1 << 18
LOST, CLEAR = 1e-3, 0.8
SMALLEST, LARGEST, NEAREST = 1e-290, 1e90, 1e-16
FLAT, WIDE, WIDEST = 1e-100, 1e2, 1e4
EXPANSIONS, STEPS = 40, 80
TOLERANCE = 1e-10


class Moments(NamedTuple):
    """Mean and variance of h(eta + s u), the mean of Var(Y | h), and the chance of no possible mean, each (n,)."""

    mean: Floats
    variance: Floats
    within: Floats
    lost: Floats


@dataclass(frozen=True, slots=True)
class Mixture:
    """Rows of responses.

    values : the family's own parameters; eta, sd : (n,) of the linear predictor; weights, trials : (n,)
    """

    family: Family
    link: Link
    distribution: Distribution
    values: Values
    eta: Floats
    sd: Floats
    weights: Floats
    trials: Floats

    @property
    def grain(self) -> Floats:
        """(n,) distance of neighbouring values, 0 for responses that are not counts."""
        if self.family.support == "binomial":
            return 1.0 / self.trials
        return np.full(len(self.eta), 1.0 if self.family.support == "count" else 0.0)

    @property
    def highest(self) -> float:
        """Above every mean."""
        return 1.0 if self.distribution.high == 1.0 else np.inf

    def means(self, eta: Floats) -> tuple[Floats, Bools]:
        """h(eta), moved off the ends of its range, and where it is in the range."""
        mu = mean(self.link.kernel, eta.ravel())[0].reshape(eta.shape)
        possible = (mu >= self.distribution.low) & (mu <= self.highest)
        low = -np.inf if self.distribution.low < 0.0 else SMALLEST
        high = 1.0 - NEAREST if self.highest == 1.0 else LARGEST
        return np.clip(np.where(possible, mu, 0.5), low, high), possible

    def variances(self, mu: Floats, at: Index) -> Floats:
        """Var(Y | mu) for rows `at`, mu (rows, ...)."""
        shape = (-1,) + (1,) * (mu.ndim - 1)
        divisor = self.weights[at] if self.distribution.weighted else self.trials[at]
        return np.asarray(self.distribution.variance(mu, self.values) / divisor.reshape(shape))

    def below(self, y: Floats, at: Index) -> Floats:
        """(rows,) F(y) of rows `at`."""
        out = np.empty(len(at))
        x, w = _rule(NODES)
        rows = max(1, CELLS // ((4 + len(CUTS)) * NODES))
        for r in range(0, len(at), rows):
            one, value = at[r : r + rows], y[r : r + rows]
            ends = self.panels(value, one)
            half = 0.5 * np.diff(ends, axis=1)[:, :, None]
            u = (ends[:, :-1, None] + half + half * x).reshape(len(one), -1)
            weight = (half * w).reshape(len(one), -1) * np.exp(-0.5 * u * u)
            mu, possible = self.means(self.eta[one, None] + self.sd[one, None] * u)
            weight = np.where(possible, weight, 0.0)
            given = [np.broadcast_to(a[:, None], mu.shape) for a in (value, self.weights[one], self.trials[one])]
            share = self.distribution.below(given[0], mu, self.values, given[1], given[2])
            out[r : r + rows] = (share * weight).sum(axis=1) / weight.sum(axis=1)
        return out

    def panels(self, y: Floats, at: Index) -> Floats:
        """(rows, ends) of the panels: where h(eta + s u) = y, WIDTHS sd(Y) / (s h') on either side of it, the CUTS, and the REACH."""
        grain = self.grain[at]
        centre = np.clip(y + 0.7 * grain, -np.inf, self.highest * (1.0 - 1e-12) if self.highest == 1.0 else np.inf)
        low = self.distribution.low
        inside = (centre > low) & (centre < min(self.highest, LARGEST))
        eta = link_eta(self.link.kernel, np.where(inside, centre, 0.5))
        slope = np.minimum(np.abs(mean(self.link.kernel, eta)[1]), LARGEST) * np.maximum(self.sd[at], SMALLEST)
        width = np.sqrt(self.variances(np.where(inside, centre, 0.5), at)) / np.where(slope > FLAT, slope, np.inf)
        middle = (eta - self.eta[at]) / np.maximum(self.sd[at], SMALLEST)
        middle = np.where(inside & np.isfinite(middle), middle, 0.0)
        reach = np.where(inside & (width < LARGEST), WIDTHS * np.minimum(width, LARGEST), 0.0)
        fixed = np.broadcast_to(np.array([-REACH, *CUTS, REACH]), (len(at), 2 + len(CUTS)))
        ends = np.concatenate([fixed, np.stack([middle - reach, middle, middle + reach], axis=1)], axis=1)
        return np.sort(np.clip(ends, -REACH, REACH), axis=1)

    def moments(self) -> Moments:
        """By the trapezoid rule."""
        out = np.empty((4, len(self.eta)))
        largest = float(self.sd.max(initial=0.0))
        if largest > (WIDEST if isinstance(self.link.kernel, tuple) or self.link.name == "identity" else WIDE):
            raise GlimmError(
                f"predict: a linear predictor has a standard deviation of {largest:.3g}, so the data do not determine the mean there: read "
                "fit.record.solution, or use interval='confidence'"
            )
        u, w = trapezoid(largest, REACH + (3.0 * largest if self.link.name == "log" else 0.0))  # exp(3 s u) phi(u) is largest at 3 s
        rows = max(1, CELLS // len(u))
        for r in range(0, len(self.eta), rows):
            at = np.arange(r, min(r + rows, len(self.eta)))
            mu, possible = self.means(self.eta[at, None] + self.sd[at, None] * u)
            kept, lost = inside(possible, u, w)
            centre = (kept * mu).sum(axis=1)
            spread = (kept * (mu - centre[:, None]) ** 2).sum(axis=1)
            out[:, at] = centre, spread, (kept * self.variances(mu, at)).sum(axis=1), lost
        return Moments(*out)

    def quantile(self, p: float) -> Floats:
        """(n,) the smallest y with F(y) >= p."""
        everything = np.arange(len(self.eta))
        out = np.zeros(len(self.eta))
        if self.family.support in ("count", "binomial", "nonnegative"):
            everything = everything[self.below(out, everything) < p]
        if not len(everything):
            return out
        scale = _scale(self.family.support)
        start = self.guess(p, everything)
        unit = np.sqrt(self.variances(start, everything)) if self.family.support == "real" else np.ones(len(everything))
        t = root(lambda t, some: self.below(scale.value(t), everything[some]) - p, scale.position(start), 0.5 * unit, scale.ends)
        found = scale.value(t)
        grain = self.grain[everything]
        out[everything] = found if not grain.any() else self.whole(found, grain, everything, p)
        return out

    def whole(self, y: Floats, grain: Floats, at: Index, p: float) -> Floats:
        """The whole number of grains at or above a root of F(y) = p, set right where rounding has moved it."""
        y = np.ceil(y / grain - 1e-6) * grain
        less = np.maximum(y - grain, 0.0)
        y = np.where((y > 0.0) & (self.below(less, at) >= p), less, y)
        return np.where(self.below(y, at) >= p, y, y + grain)

    def guess(self, p: float, at: Index) -> Floats:
        """(rows,) about where F(y) = p: Y as a normal linear predictor with the variance of both."""
        mu, slope = mean(self.link.kernel, self.eta[at])[:2]
        safe, _ = self.means(self.eta[at])
        own = np.sqrt(self.variances(safe, at)) / np.where(np.abs(slope) < FLAT, np.inf, slope)
        moved = np.where(slope < 0.0, -1.0, 1.0) * NormalDist().inv_cdf(p) * np.hypot(self.sd[at], own)
        y = mean(self.link.kernel, self.eta[at] + np.clip(moved, -REACH, REACH))[0]
        inside = (y > self.distribution.low) & (y < self.highest) & np.isfinite(y)
        return np.where(inside, y, np.where((mu > self.distribution.low) & (mu < self.highest), mu, safe))

    def check(self, lost: Floats, asked: str) -> None:
        """Raises GlimmError where the linear predictor is too often outside what the link takes."""
        worst = float(lost.max(initial=0.0))
        if worst > LOST:
            default = self.family.default_link if self.family.default_link != self.link.name else "log"
            raise GlimmError(
                f"{asked}: with link {self.link.name!r} a share of {worst:.2g} of the linear predictors leads to no mean that family "
                f"{self.family.name!r} can have: use interval='confidence', or refit with link={default!r}"
            )


@dataclass(frozen=True, slots=True)
class Scale:
    """Where the search is: y = value(t) for t between the ends."""

    value: Callable[[Floats], Floats]
    position: Callable[[Floats], Floats]
    ends: tuple[float, float]


def _scale(support: str) -> Scale:
    if support == "real":
        return Scale(lambda t: t, lambda y: y, (-np.inf, np.inf))
    if support in ("unit", "binomial"):
        return Scale(lambda t: 1.0 / (1.0 + np.exp(-t)), lambda y: np.log(y) - np.log1p(-y), (-600.0, 36.0))
    return Scale(np.exp, np.log, (-650.0, 650.0))


def _rule(n: int) -> tuple[Floats, Floats]:
    x, w = np.polynomial.legendre.leggauss(n)
    return np.asarray(x), np.asarray(w)


def trapezoid(largest: float, reach: float) -> tuple[Floats, Floats]:
    """Nodes and weights for phi(u) du and functions of sd u, sd at most `largest`."""
    step = min(0.25, 0.08 * np.pi / largest) if largest > 0.0 else 0.25
    u = step * np.arange(-np.ceil(reach / step), np.ceil(reach / step) + 1.0)
    w = np.exp(-0.5 * u * u)
    return u, np.asarray(w / w.sum())


def inside(possible: Bools, u: Floats, w: Floats) -> tuple[Floats, Floats]:
    """Weights (rows, nodes) off the places without a mean, near which a moment would not exist, and the chance (rows,) of these places."""
    end = np.where(possible, np.inf, np.abs(u)).min(axis=1)
    kept = np.where(np.abs(u) <= (CLEAR * end)[:, None], w, 0.0)
    return np.asarray(kept / np.maximum(kept.sum(axis=1), SMALLEST)[:, None]), np.where(possible, 0.0, w).sum(axis=1)


def root(f: Callable[[Floats, Index], Floats], start: Floats, step: Floats, ends: tuple[float, float]) -> Floats:
    """(n,) where rising functions f(x, rows) are zero, or the end that is nearest to it: brackets from start, then Chandrupatla's method.

    Source: Scherer (2010), Computational Physics, section 6.1.7.3.
    """
    low, high = _bracket(f, np.clip(start, *ends), step, ends)
    n = len(start)
    rows = np.arange(n)
    a, b = high.copy(), low.copy()
    fa, fb = f(a, rows), f(b, rows)
    c, fc = b.copy(), fb.copy()
    out = np.where(fa <= 0.0, high, low)
    active = np.flatnonzero((fa > 0.0) & (fb < 0.0))
    t = np.full(n, 0.5)
    for _ in range(STEPS):
        if not len(active):
            break
        i = active
        x = a[i] + t[i] * (b[i] - a[i])
        fx = f(x, i)
        same = np.sign(fx) == np.sign(fa[i])
        c[i], fc[i] = np.where(same, a[i], b[i]), np.where(same, fa[i], fb[i])
        b[i], fb[i] = np.where(same, b[i], a[i]), np.where(same, fb[i], fa[i])
        a[i], fa[i] = x, fx
        best = np.where(np.abs(fb[i]) < np.abs(fa[i]), b[i], a[i])
        out[i] = best
        near = 0.5 * TOLERANCE * (np.abs(best) + step[i]) / np.maximum(np.abs(b[i] - a[i]), SMALLEST)
        xi, phi = (a[i] - b[i]) / (c[i] - b[i]), (fa[i] - fb[i]) / (fc[i] - fb[i])
        inverse = (phi**2 < xi) & ((1.0 - phi) ** 2 < 1.0 - xi)
        with np.errstate(divide="ignore", invalid="ignore"):
            by = fa[i] / (fb[i] - fa[i]) * fc[i] / (fb[i] - fc[i])
            by += (c[i] - a[i]) / (b[i] - a[i]) * fa[i] / (fc[i] - fa[i]) * fb[i] / (fc[i] - fb[i])
        t[i] = np.clip(np.where(inverse & np.isfinite(by), by, 0.5), near, 1.0 - near)
        active = i[(near < 0.5) & (fx != 0.0)]
    return out


def _bracket(f: Callable[[Floats, Index], Floats], start: Floats, step: Floats, ends: tuple[float, float]) -> tuple[Floats, Floats]:
    """(low, high), f(low) <= 0 <= f(high) unless an end is reached."""
    low, high = start.copy(), start.copy()
    sign = f(start, np.arange(len(start)))
    length = step.copy()
    up, down = np.flatnonzero(sign < 0.0), np.flatnonzero(sign >= 0.0)
    for _ in range(EXPANSIONS):
        if not len(up) and not len(down):
            break
        low[up] = high[up]
        high[up] = np.minimum(high[up] + length[up], ends[1])
        high[down] = low[down]
        low[down] = np.maximum(low[down] - length[down], ends[0])
        length *= 2.0
        up = up[(f(high[up], up) < 0.0) & (high[up] < ends[1])] if len(up) else up
        down = down[(f(low[down], down) > 0.0) & (low[down] > ends[0])] if len(down) else down
    return low, high
