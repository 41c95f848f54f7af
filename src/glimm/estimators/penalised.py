"""Penalised GLM: finite, less biased estimates from an adjusted score, U*(beta) = X'(d1 + phi h r) = 0, h the leverages.

Firth: r = mu'' / (2 mu'), which removes the bias of order 1/n. Jeffreys: r = (log w)' / 2, the maximum of l / phi + 1/2 log |X'WX|; the
two are one where the link is canonical. phi is Pearson's where the family has a dispersion.
Sources: Firth (1993), Biometrika 80, 27-38; Kosmidis and Firth (2009), Biometrika 96, 793-804, eq. (13); (2021), Biometrika 108, 71-82.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..design.coordinates import to_named
from ..design.records import Design
from ..errors import GlimmError, NotYetError
from ..family import Family, Link
from ..kernels import inverse_or_nan, log_determinant, mean, positive_definite, solve, working
from ..kernels.matrix import Floats
from ..records import DEFAULT, GlmRecord, Scale, Solution, SolutionCode
from ..version import VERSION
from .at_means import at_means
from .control import Control
from .glm import blocks_of, bread_of, exact, fit_glm
from .irls import LINEAR, STEEP, mean_rows, row_unit, score_iterations, start
from .scale import constants_at, likelihood, scale_of, total_deviance
from .separation import PENALISED, edge, takes_penalty
from .source import row_source

PENALTIES = ("firth", "jeffreys")
CANONICAL = {
    ("gaussian", "identity"),
    ("binomial", "logit"),
    ("poisson", "log"),
    ("gamma", "inverse"),
    ("inverse_gaussian", "inverse_squared"),
}
SETTLED, ROUNDING = 1e-12, 1e-12
RISE, PATIENCE, DIFFERENCE = 4.0, 8, 1e-4
FARTHEST, ENOUGH, HALVINGS = 8.0, 1e-4, 30
ROUNDS, SLOW = 100, 0.1
MANY, STEPS = 10_000, 6


def check_penalty(penalty: Any, family: Family, rule: Scale = DEFAULT, weights_kind: str = "precision") -> None:
    """Raises GlimmError for what is no penalty, NotYetError for families, dispersions and weights that it is not there for."""
    if not isinstance(penalty, str) or penalty not in PENALTIES:
        given = repr(penalty) if isinstance(penalty, str) else type(penalty).__name__
        raise GlimmError(f"penalty must be 'firth', 'jeffreys' or None, not {given}")
    if not takes_penalty(family):
        given_k = family.name in PENALISED and family.shaped
        remedy = f"give it, such as family='{family.name}({'1.5' if family.name == 'tweedie' else '2'})'" if given_k else "leave it out"
        own = f" with {' and '.join(family.estimated)} estimated" if family.estimated else ""
        raise NotYetError(f"penalty={penalty!r} is not there for family {family.name!r}{own}: {remedy}")
    if rule.kind == "ml":
        raise NotYetError(f"penalty={penalty!r} is not there with scale='ml': use scale='pearson'")
    if weights_kind == "sampling":
        raise NotYetError(f"penalty={penalty!r} is not there for sampling weights, which have no likelihood: leave one of them out")


def fit_penalised(design: Design, family: Family, penalty: str, control: Control, rule: Scale = DEFAULT) -> GlmRecord:
    """Fit a GLM with a penalty.

    Returns the record, its log-likelihood that of the estimates without the penalty. Raises GlimmError for another penalty or family, where
    no row is left to estimate the dispersion from, and if no starting values are inside the family's range.
    """
    check_penalty(penalty, family, rule, design.weights_kind)
    part = design.mean
    if rule.estimated(family) and design.nobs <= part.matrix.p:
        raise GlimmError(f"penalty: {design.nobs} rows for {part.matrix.p} coefficients leave nothing to estimate the dispersion from")
    model = Penalised(design, family, penalty, control.n_threads, rule)
    end = model.fit(model.begin(control), control.max_iter)
    if not (end.converged or model.ascends):  # no function that rises leads there, but the maximum of Jeffreys' is near
        near = Penalised(design, family, "jeffreys", control.n_threads, rule)
        end = model.fit(near.fit(near.begin(control), control.max_iter).point.beta, control.max_iter)
    point = end.point
    source = row_source(design, control.n_threads)
    etas = source.etas(point.beta)
    eta = next(iter(etas()))[1]
    found = at_means(etas, family, model.psi, rule.of(family) == "pearson", constants_at(design, family, rule))
    deviance = total_deviance(design, found)
    llf, psi, psi_cov, likely = likelihood(source, family, rule, control, point.beta, point.loglik, found)
    said = edge(family, part.link, mean(part.link.kernel, eta)[0])
    words = said or f"{'converged' if end.converged else 'no convergence'} in {end.passes} passes"
    code: SolutionCode = "converged" if end.converged and not said else "not_converged"
    left = exact(design, family, llf, point.loglik)
    solution = Solution(code, words, end.passes, 2.0 * end.decrement, point.score, evidence=left)
    logdet = point.logdet + 2.0 * float(np.log(part.scale).sum()) - part.matrix.p * (np.log(end.phi) if end.phi > 0.0 else -np.inf)
    return GlmRecord(
        design=design,
        family=family,
        vector=np.concatenate([to_named(part) @ point.beta, psi]),
        blocks=blocks_of(part.matrix.p, psi),
        bread=bread_of(etas, family, model.psi, point.information, part),
        eta=eta,
        llf=llf,
        deviance=deviance,
        scale=scale_of(design, family, rule, found, deviance, likely),
        solution=solution,
        version=VERSION,
        psi_cov=psi_cov,
        scale_rule=rule,
        penalty=penalty,
        penalized_llf=llf + 0.5 * logdet if has_likelihood(penalty, family, part.link) else np.nan,
    )


def refit_glm(record: GlmRecord, design: Design, control: Control) -> GlmRecord:
    """The same model of another design, with the record's penalty."""
    if record.penalty:
        return fit_penalised(design, record.family, record.penalty, control, record.scale_rule)
    return fit_glm(design, record.family, control, record.scale_rule)


def has_likelihood(penalty: str, family: Family, link: Link) -> bool:
    """Whether the adjusted score is the gradient of a penalised likelihood."""
    return penalty == "jeffreys" or (family.name, link.name) in CANONICAL


def variance_slope(family: Family, mu: Floats) -> Floats:
    """(n,) v'(mu)."""
    if family.name == "binomial":
        return np.asarray(1.0 - 2.0 * mu)
    if family.name == "negative_binomial":
        return np.asarray(1.0 + 2.0 * mu / float(family.fixed[0] or 0.0))
    power = {"gaussian": 0.0, "poisson": 1.0, "gamma": 2.0, "inverse_gaussian": 3.0}.get(family.name)
    power = float(family.fixed[1] or 0.0) if power is None else power
    return np.asarray(power * mu ** (power - 1.0)) if power else np.zeros_like(mu)


@dataclass(frozen=True, slots=True)
class Point:
    """Working beta; loglik at dispersion 1; score (p,), adjusted; information (p, p) and its log determinant; all NaN outside the range."""

    beta: Floats
    loglik: float
    score: Floats
    information: Floats
    logdet: float

    def value(self, phi: float) -> float:
        """phi times the penalised log-likelihood."""
        return self.loglik + 0.5 * phi * self.logdet


@dataclass(frozen=True, slots=True)
class End:
    """Where a search ended, at which dispersion, with which decrement (log-likelihood units)."""

    point: Point
    phi: float
    decrement: float
    passes: int
    converged: bool


class Penalised:
    """A design with a penalty: adjusted scores, and searches for where they are zero."""

    def __init__(self, design: Design, family: Family, penalty: str, threads: int = 1, rule: Scale = DEFAULT) -> None:
        self.design, self.family, self.penalty, self.rule = design, family, penalty, rule
        self.link, self.psi, self.rows = design.mean.link, family.psi(), mean_rows(design, threads)
        self.unit = row_unit(design, family)
        self.ascends = has_likelihood(penalty, family, self.link)
        self.passes = 0

    def at(self, beta: Floats, phi: float) -> Point:
        """The adjusted score at working beta (p,)."""
        self.passes += 1
        found = self.rows.glm(self.family.kernel, self.link.kernel, beta, self.psi)
        information = found.information
        logdet, inverse = log_determinant(information), inverse_or_nan(information)
        if not (np.isfinite(found.loglik) and np.isfinite(logdet) and np.isfinite(inverse).all()):
            return Point(beta, np.nan, np.full_like(beta, np.nan), information, np.nan)
        eta, design = self.rows.eta(beta), self.design
        w = working(self.family.kernel, self.link.kernel, design.y, eta, design.size, self.psi)[2]
        h = self.rows.leverages(w, inverse)
        adjusted = found.score + phi * self.rows.cluster_scores(np.where(w > 0.0, h * self.ratio(eta, w), 0.0), self.whole)[0]
        return Point(beta, found.loglik, adjusted, information, logdet)

    @property
    def whole(self) -> Any:
        """All rows as one cluster."""
        return np.array([0, self.rows.n], dtype=np.int64)

    def ratio(self, eta: Floats, w: Floats) -> Floats:
        """(n,) r; 0 for rows without weight."""
        mu, first, second, _ = mean(self.link.kernel, eta)
        steep = np.divide(second, first, out=np.zeros_like(eta), where=w > 0.0)
        if self.penalty == "firth":
            return np.asarray(0.5 * steep)
        size = 1.0 if self.design.size is None else self.design.size
        flat = np.divide(w, size * first, out=np.zeros_like(eta), where=w > 0.0)  # mu' / v, where 1 - mu would lose its digits
        return np.asarray(steep - 0.5 * variance_slope(self.family, mu) * flat)

    def dispersion(self, beta: Floats) -> float:
        """phi by the rule, 1 where the family has none."""
        pair = self.design, self.rows.eta(beta)
        found = at_means(lambda: (pair,), self.family, self.psi, self.rule.of(self.family) == "pearson", None)
        return scale_of(self.design, self.family, self.rule, found, total_deviance(self.design, found), 1.0)

    def begin(self, control: Control) -> Floats:
        """(p,) a plain start; of many rows some steps on to the maximum of the likelihood, that itself where there is a dispersion."""
        beta = start(self.design, self.family, self.link, control, self.rows, self.psi)
        estimated = self.rule.estimated(self.family)
        if not (estimated or self.design.n > MANY):
            return beta
        steps = control if estimated else replace(control, max_iter=min(control.max_iter, STEPS))
        return score_iterations(self.rows, self.family, self.link, beta, steps, None, self.psi, self.unit).beta

    def fit(self, beta: Floats, max_iter: int) -> End:
        """The estimates, coefficients and dispersion in turn. Raises GlimmError if beta is outside the family's range."""
        phi = self.dispersion(beta)
        for _ in range(ROUNDS):
            end = replace(self.search(beta, phi, max_iter), passes=self.passes)
            again = self.dispersion(end.point.beta)
            if not end.converged or abs(again - phi) <= SETTLED * phi:
                return end
            beta, phi = end.point.beta, again
        return replace(end, converged=False)

    def search(self, beta: Floats, phi: float, max_iter: int, along: Floats | None = None) -> End:
        """Where the adjusted score is zero, from beta on.

        along : (p, k) directions in which beta may move; all of them by default
        Steps B U* of B = I^-1, made better by Broyden's updates; where that is slow, B = -(dU*/dbeta)^-1 by differences.
        """
        free = np.eye(len(beta)) if along is None else along
        before, now = self.passes, self.at(beta, phi)
        if not np.isfinite(now.loglik):
            raise GlimmError(
                f"no starting values inside the range of family {self.family.name!r} with link {self.link.name!r} were found: "
                "give some with control=glimm.Control(start={'Intercept': ...}), or use the default link"
            )
        if not free.shape[1]:
            return End(now, phi, 0.0, self.passes - before, True)
        decrement, previous, last_round = self.decrement(now, free), np.inf, False
        b: Floats | None = None
        newton = False
        for done in range(max_iter):
            if last_round or (decrement < 1e-15 * self.unit and decrement > 0.8 * previous):
                return End(now, phi, decrement, self.passes - before, True)
            last_round = decrement < LINEAR * self.unit
            g = free.T @ now.score
            plain = inverse_or_nan(free.T @ now.information @ free)
            if b is None:
                b = self.slope(now, free, phi, plain) if newton else plain
            found = self.moved(now, free, b @ g, phi)
            if found is None and b is not plain and not last_round:
                newton, b = True, plain
                found = self.moved(now, free, b @ g, phi)
            if found is None:
                return End(now, phi, decrement, self.passes - before, last_round or decrement < 1e-12 * self.unit)
            trial, length = found
            change, fall = length * (b @ g), g - free.T @ trial.score
            previous, decrement, now = decrement, self.decrement(trial, free), trial
            newton |= done >= PATIENCE and decrement > SLOW * previous
            b = None if newton or decrement > RISE * previous else broyden(b, change, fall)
        return End(now, phi, decrement, self.passes - before, False)

    def decrement(self, at: Point, free: Floats) -> float:
        """g'I^-1 g of the free directions, in log-likelihood units at dispersion 1."""
        g = free.T @ at.score
        return float(g @ solve(free.T @ at.information @ free, g))

    def slope(self, now: Point, free: Floats, phi: float, otherwise: Floats) -> Floats:
        """(k, k) -(dU*/dbeta)^-1 along the free directions by central differences; `otherwise` where that leads nowhere."""
        ends = [(self.at(now.beta + DIFFERENCE * e, phi), self.at(now.beta - DIFFERENCE * e, phi)) for e in free.T]
        k = np.column_stack([free.T @ (minus.score - plus.score) for plus, minus in ends]) / (2.0 * DIFFERENCE)
        if not np.isfinite(k).all():
            return otherwise
        if self.ascends:
            k = 0.5 * (k + k.T)
            return inverse_or_nan(k) if positive_definite(k) else otherwise
        return np.asarray(np.linalg.pinv(k))

    def moved(self, now: Point, free: Floats, step: Floats, phi: float) -> tuple[Point, float] | None:
        """The first point along a step of the free directions, halved again and again, that leads on, and how much of the step that is."""
        ahead = float(step @ (free.T @ now.score))
        if not (np.isfinite(step).all() and (ahead > 0.0 or not self.ascends)):
            return None
        to, decrement = now.beta + free @ step, self.decrement(now, free)
        length = min(1.0, FARTHEST / max(self.rows.change(to, now.beta), 1e-300)) if self.link.name in STEEP else 1.0
        for _ in range(HALVINGS):
            trial = self.at(now.beta + length * (free @ step), phi)
            if np.isfinite(trial.loglik):
                gain = trial.value(phi) - now.value(phi)
                if self.ascends and gain >= ENOUGH * length * ahead - ROUNDING * (abs(now.value(phi)) + self.unit):
                    return trial, length
                if not self.ascends and self.decrement(trial, free) < (1.0 - ENOUGH * length) * decrement:
                    return trial, length
            length *= 0.5
        return None


def broyden(b: Floats, change: Floats, fall: Floats) -> Floats | None:
    """B with B fall = change (Broyden 1965, Math. Comp. 19, 577-593); None where that is no sound update."""
    expected = b @ fall
    size = float(change @ expected)
    if not abs(size) > 0.1 * float(change @ change):
        return None
    return np.asarray(b + np.outer(change - expected, change @ b) / size)
