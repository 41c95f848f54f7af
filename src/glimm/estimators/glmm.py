"""GLMM: maximise log L(beta, theta, psi), the integral over each cluster's effects by Laplace (K = 1) or K adaptive Gauss-Hermite points.

All parameters are optimised together with the exact gradient; standard errors come from differences of that gradient.
Source: Pinheiro and Chao (2006), J. Comput. Graph. Stat. 15, 58-81; the gradient is in native/laplace.cpp and native/quadrature.cpp.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from ..covariance.structures import structure
from ..design.coordinates import to_named
from ..design.records import Design, RandomTerm
from ..errors import GlimmError
from ..family import Family
from ..kernels import MixedEvaluation, MixedModel, Rows, inverse, mean, positive_definite
from ..kernels.matrix import Floats
from ..records import MixedRecord, Solution
from ..version import VERSION
from .control import Control
from .irls import mean_rows, score_iterations, start
from .lmm import mixed_solution
from .optimize import Bounds, Evaluation, Optimum, minimise
from .separation import bounded, separated, separated_rows
from .terms import TermRows, order_by_level

POINTS = (1, 5, 9, 15, 25, 35, 51, 71, 101)
MOST_NODES = 2000
MOST_POINTS = 151
SETTLED = 0.01
CHECK_POINTS = 9
CHECK_SHIFT = 0.1
FLOOR = 1e-4
CAP = 2.0
DIFFERENCE = 3e-3


@dataclass(frozen=True, slots=True)
class Problem:
    """One GLMM ready for the kernels: vectors are (working beta | theta | psi)."""

    design: Design
    family: Family
    term: RandomTerm
    ordered: TermRows
    model: MixedModel

    @property
    def p(self) -> int:
        """Coefficients."""
        return self.design.mean.matrix.p

    @property
    def k(self) -> int:
        """Covariance parameters."""
        return structure(self.term.structure).size(self.ordered.q)

    def names(self) -> tuple[str, ...]:
        """(P,) names of all parameters."""
        theta = structure(self.term.structure).names(self.term.names, self.term.group)
        return (*self.design.mean.names, *theta, *(f"log {name}" for name in self.family.parameters))

    def evaluate(self, x: Floats, points: int, order: int) -> MixedEvaluation:
        """-2 log L at x with `points` nodes per dimension."""
        cov, p, k = structure(self.term.structure), self.p, self.k
        t = cov.factor(x[p : p + k], self.ordered.q)
        entries = t.T[np.triu_indices(self.ordered.q)]
        vector = np.concatenate([x[:p], entries, x[p + k :]])
        kernels = self.family.kernel, self.design.mean.link.kernel
        if points == 1:
            e = self.model.laplace(*kernels, vector, order)
        else:
            e = self.model.quadrature(*kernels, vector, order, *rule(points, self.ordered.q))
        if order == 0 or not e.ok:
            return e
        chain = _chain(cov.dfactor(x[p : p + k], self.ordered.q), p, len(x))
        return e._replace(gradient=chain @ e.gradient, hessian=chain @ e.hessian @ chain.T if order > 1 else e.hessian)


def fit_glmm(design: Design, family: Family, points: int | str, control: Control) -> MixedRecord:
    """Fit a generalised linear mixed model with one random term.

    points : 1 for Laplace, K for adaptive Gauss-Hermite, "auto" raises K until nothing that is reported changes.
    Returns the record; raises GlimmError for too many points, or means that are impossible from the start.
    """
    problem = _problem(design, family, control)
    q = problem.ordered.q
    x = _feasible(problem, _start(problem, control))
    if isinstance(points, str):
        found, used, note = _auto(problem, x, control)
    else:
        used, note = _checked_points(points, q), ""
        found = _search(problem, x, used, control)
    if points == 1:
        shift = problem.evaluate(found.x, CHECK_POINTS, 0).deviance - found.value
        if abs(shift) > CHECK_SHIFT:
            note = (
                f"Laplace is not accurate here: with {CHECK_POINTS} points -2 log L moves by {shift:.3g} at the same parameters; "
                "use points='auto'"
            )
    return _record(problem, found, used, note)


def _problem(design: Design, family: Family, control: Control) -> Problem:
    part, term = design.mean, design.mean.random[0]
    ordered = order_by_level(term)
    rows = Rows(part.matrix, part.center, part.scale, design.y, design.size, part.offset, ordered.order, control.n_threads)
    arranged = [None if a is None else a[ordered.order] for a in (design.trials, design.weights)]
    return Problem(design, family, term, ordered, MixedModel(rows, ordered.starts, ordered.z, ordered.q, *arranged))


def _start(problem: Problem, control: Control) -> Floats:
    """The GLM's coefficients, effects of half a unit on the scale of the linear predictor, the residual spread."""
    design, family, part = problem.design, problem.family, problem.design.mean
    rows = mean_rows(design, control.n_threads)
    scoring = score_iterations(rows, family, part.link, start(design, family, part.link, control, rows), control)
    z = problem.ordered.z
    typical = np.ones(1) if z is None else 1.0 / np.sqrt((z**2).mean(axis=0))
    size = 0.5
    psi = np.zeros(0)
    if not family.scale_known:
        residual = np.sqrt(max(-2.0 * scoring.last.loglik / design.n, 1e-300))
        psi = np.array([np.log(residual) - 0.2])
        size = 0.5 * residual if part.link.name == "identity" else 0.2
    return np.concatenate([scoring.beta, structure(problem.term.structure).start(size * typical), psi])


def _feasible(problem: Problem, x: Floats) -> Floats:
    """x, with smaller effects if fitted means are impossible there."""
    p, k = problem.p, problem.k
    for _ in range(6):
        if problem.evaluate(x, 1, 0).ok:
            return x
        x = np.concatenate([x[:p], 0.25 * x[p : p + k], x[p + k :]])
    family, link = problem.family.name, problem.design.mean.link.name
    raise GlimmError(
        f"with family {family!r} and link {link!r} the random effects lead to impossible means from the start: "
        f"use link={problem.family.default_link!r}, or give starting values with control=glimm.Control(start={{...}})"
    )


def _search(problem: Problem, x: Floats, points: int, control: Control) -> Optimum:
    p, k = problem.p, problem.k
    scales = np.zeros(len(x), dtype=bool)
    scales[p : p + k] = structure(problem.term.structure).scales(problem.ordered.q)
    lower = np.where(scales, FLOOR, -np.inf)
    x = np.where(scales, np.maximum(x, 2.0 * FLOOR), x)

    def evaluate(v: Floats) -> Evaluation:
        e = problem.evaluate(v, points, 2)
        return (e.ok, e.deviance, e.gradient, e.hessian) if e.ok else (False, np.inf, np.zeros(len(v)), np.eye(len(v)))

    everything = np.ones(len(x), dtype=bool)
    first = minimise(evaluate, x, Bounds(lower, scales, CAP), everything, tol=control.tol, max_iter=control.max_iter)
    if not first.floor.any():
        return first
    pinned = np.where(first.floor, 0.0, first.x)
    bounds = Bounds(np.where(first.floor, 0.0, lower), scales & ~first.floor, CAP)
    rest = minimise(evaluate, pinned, bounds, ~first.floor, tol=control.tol, max_iter=control.max_iter)
    return replace(rest, floor=first.floor, evaluations=first.evaluations + rest.evaluations)


def _auto(problem: Problem, x: Floats, control: Control) -> tuple[Optimum, int, str]:
    """Raise K until two successive rises change -2 log L by less than 0.01 and every estimate by less than 0.01 standard errors."""
    q = problem.ordered.q
    found, calm, used = _search(problem, x, 1, control), 0, 1
    for points in POINTS[1:]:
        if points**q > MOST_NODES:
            return found, used, f"points stopped at {used} per effect ({used**q} nodes) before the likelihood had settled"
        raised = _search(problem, found.x, points, control)
        raised = replace(raised, evaluations=found.evaluations + raised.evaluations)
        if not np.isfinite(raised.value):
            return found, used, f"points stopped at {used}: with {points} some fitted means would be impossible for this link"
        free = ~raised.floor
        se = model_errors(raised.hessian[np.ix_(free, free)])
        still = abs(raised.value - found.value) < SETTLED and bool(np.all(np.abs(raised.x - found.x)[free] < SETTLED * se))
        calm = calm + 1 if still else 0
        found, used = raised, points
        if calm == 2:
            return found, used, ""
    return found, used, f"points stopped at {used} before the likelihood had settled"


def model_errors(hessian: Floats) -> Floats:
    """(m,) standard errors from a model Hessian of -2 log L, or from its diagonal where it has no inverse."""
    try:
        return np.sqrt(np.abs(np.diag(2.0 * inverse(hessian))))
    except np.linalg.LinAlgError:
        return np.asarray(np.sqrt(2.0 / np.maximum(np.abs(np.diag(hessian)), 1e-12)))


def _curvature(problem: Problem, optimum: Optimum, points: int) -> Floats:
    """Hessian of -log L by central differences of the exact gradient, steps in units of the model's standard errors."""
    x = optimum.x
    free = np.flatnonzero(~optimum.floor)
    out = np.zeros((len(x), len(x)))
    if not optimum.converged:
        return out
    se = model_errors(optimum.hessian[np.ix_(free, free)])
    scales = structure(problem.term.structure).scales(problem.ordered.q)
    for j, step in zip(free, DIFFERENCE * se, strict=True):
        if problem.p <= j < problem.p + problem.k and scales[j - problem.p]:
            step = min(step, 0.5 * x[j])
        sides = []
        for sign in (1.0, -1.0):
            v = x.copy()
            v[j] += sign * step
            e = problem.evaluate(v, points, 1)
            if not e.ok:
                return np.full((len(x), len(x)), np.nan)
            sides.append(e.gradient[free])
        out[j, free] = 0.25 * (sides[0] - sides[1]) / step
    return np.asarray(0.5 * (out + out.T))


def _record(problem: Problem, optimum: Optimum, points: int, note: str) -> MixedRecord:
    design = problem.design
    p, k, q = problem.p, problem.k, problem.ordered.q
    a = np.eye(len(optimum.x))
    a[:p, :p] = to_named(design.mean)
    curvature = _curvature(problem, optimum, points)
    last = problem.evaluate(optimum.x, points, 2)
    if not last.ok:
        raise GlimmError(
            f"the likelihood cannot be evaluated with {points} points: fitted means are impossible for link {design.mean.link.name!r}; "
            f"use link={problem.family.default_link!r} or points=1"
        )
    t = structure(problem.term.structure).factor(optimum.x[p : p + k], q)
    blocks = last.inverse_blocks.reshape(-1, q, q)
    return MixedRecord(
        design=design,
        family=problem.family,
        linear=False,
        reml=False,
        vector=a @ optimum.x,
        blocks={"mean": slice(0, p), "theta": slice(p, p + k), "family": slice(p + k, len(optimum.x))},
        curvature=curvature,
        effects=last.u.reshape(-1, q) @ t.T,
        posterior=np.einsum("ab,jbc,dc->jad", t, blocks, t),
        llf=-0.5 * optimum.value,
        scale=float(np.exp(2.0 * optimum.x[-1])) if problem.family.parameters else 1.0,
        points=points,
        solution=_solution(problem, optimum, curvature, last, note),
        version=VERSION,
    )


def _solution(problem: Problem, optimum: Optimum, curvature: Floats, last: MixedEvaluation, note: str) -> Solution:
    solution = mixed_solution(optimum, problem.names())
    if solution.code != "not_converged":
        free = ~optimum.floor
        message = ""
        if not np.all(np.isfinite(curvature)):
            message = "the estimates lie next to impossible fitted means, where the log-likelihood has no curvature: no standard errors"
        elif not positive_definite(curvature[np.ix_(free, free)]):
            w = float(np.linalg.eigvalsh(curvature[np.ix_(free, free)])[0])
            message = f"the log-likelihood is not curved downwards at the end (eigenvalue {-w:.2g} of its Hessian): no standard errors"
        if message:
            solution = replace(solution, code="not_converged", message=message)
    design, family, p = problem.design, problem.family, problem.p
    mu = _conditional_means(problem, optimum.x, last)
    drifting = 0
    if not bounded(family, design.mean.link):
        drifting = separated_rows(design, family, mu, 0.5 * last.hessian[:p, :p], -0.5 * last.gradient[:p])
    if drifting:
        solution = replace(solution, code="separated", message=separated(family, drifting, design.n))
    return replace(solution, evidence={"note": note} if note else None)


def _conditional_means(problem: Problem, x: Floats, last: MixedEvaluation) -> Floats:
    """(n,) fitted means with each cluster's predicted effect."""
    part, term = problem.design.mean, problem.term
    t = structure(term.structure).factor(x[problem.p : problem.p + problem.k], problem.ordered.q)
    effects = last.u.reshape(-1, problem.ordered.q) @ t.T
    eta = Rows(part.matrix, part.center, part.scale, offset=part.offset).eta(x[: problem.p])
    return mean(part.link.kernel, eta + np.einsum("ij,ij->i", term.z, effects[term.refs]))[0]


def _checked_points(points: int, q: int) -> int:
    """The points, if K^q nodes are not too many; raises GlimmError if they are."""
    most = min(MOST_POINTS, int(MOST_NODES ** (1 / q)))
    if points > most:
        raise GlimmError(f"points={points} is too many for {q} random effects per cluster: use at most {most}")
    return points


@cache
def rule(points: int, q: int) -> tuple[Floats, Floats]:
    """Gauss-Hermite nodes (K^q, q) for the weight exp(-|x|^2) and log w + |x|^2 (K^q,)."""
    x, w = np.polynomial.hermite.hermgauss(points)
    grids = np.meshgrid(*[x] * q, indexing="ij")
    logs = np.meshgrid(*[np.log(w) + x * x] * q, indexing="ij")
    return np.stack([g.ravel() for g in grids], axis=1), np.sum([g.ravel() for g in logs], axis=0)


def _chain(dfactor: Floats, p: int, size: int) -> Floats:
    """(P, P') Jacobian from the structure's parameters to the entries of T, identity elsewhere."""
    k, entries = dfactor.shape
    out = np.zeros((size, size - k + entries))
    out[:p, :p] = np.eye(p)
    out[p : p + k, p : p + entries] = dfactor
    out[p + k :, p + entries :] = np.eye(size - p - k)
    return out
