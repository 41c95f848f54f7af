"""GLMM: maximise log L(beta, theta, psi), the integral over each cluster's effects by Laplace (K = 1) or K adaptive Gauss-Hermite points.

All parameters are optimised together with the exact gradient. Standard errors come from the Hessian: exact for Laplace, by
differences of the exact gradient for quadrature.
Source: Pinheiro and Chao (2006), J. Comput. Graph. Stat. 15, 58-81; the gradient is in native/laplace.cpp and native/quadrature.cpp.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..covariance.layout import Layout, whole
from ..covariance.structures import structure
from ..design.coordinates import to_named, to_working
from ..design.records import Design, RandomTerm
from ..errors import GlimmError
from ..family import Family
from ..kernels import Limits, MixedEvaluation, MixedModel, Optimum, Rows, inverse, mean, minimise, positive_definite
from ..kernels.families import FamilyKernel, LinkKernel
from ..kernels.matrix import Floats, Ints
from ..records import MixedRecord, Solution
from ..version import VERSION
from .boundary import Search, Settled, settle
from .control import Control
from .ending import mixed_solution
from .irls import mean_rows
from .joint import begin, without_end
from .points import CHECK_POINTS, CHECK_SHIFT, MOST_EFFECTS, POINTS, SETTLED, affordable, checked_points, rule
from .separation import bounded, separated, separated_rows
from .terms import Effects, by_level, working_effects

CAP = 4.0
DIFFERENCE = 3e-3
NEAR = 1e-2
ROUGH = 1e-2
MANY_LEVELS, FEW_LEVELS = 4000, 1000


@dataclass(frozen=True, slots=True)
class Correction:
    """What the model of the Hessian lacks (P, P), for vectors with the entries of one layout."""

    layout: Layout
    hessian: Floats


@dataclass(frozen=True, slots=True)
class Problem:
    """One GLMM ready for the kernels: vectors are (working beta | theta of a layout | psi).

    models : the rows for each order of the effects that was needed; correction : what to add to the model of the Hessian, if known
    """

    design: Design
    family: Family
    term: RandomTerm
    effects: Effects
    order: Ints
    starts: Ints
    control: Control
    models: dict[tuple[int, ...], MixedModel]
    correction: Correction | None = None

    @property
    def p(self) -> int:
        """Coefficients."""
        return self.design.mean.matrix.p

    @property
    def kernels(self) -> tuple[FamilyKernel, LinkKernel]:
        """Of family and link."""
        return self.family.kernel, self.design.mean.link.kernel

    def model(self, layout: Layout) -> MixedModel:
        """The rows with the effects in the layout's order."""
        key = tuple(layout.order.tolist())
        if key not in self.models:
            design, part, threads = self.design, self.design.mean, self.control.n_threads
            rows = Rows(part.matrix, part.center, part.scale, design.y, design.size, part.offset, self.order, threads)
            arranged = [None if a is None else a[self.order] for a in (design.trials, design.weights)]
            self.models[key] = MixedModel(rows, self.starts, self.effects.taken(layout.order), self.effects.q, *arranged)
        return self.models[key]

    def spread_out(self, layout: Layout, x: Floats) -> tuple[Floats, Ints]:
        """The kernel's vector (beta | all entries of T | psi), and the positions of x in it."""
        p, m, q = self.p, layout.size, self.effects.q
        entries = q * (q + 1) // 2
        own = p + entries + np.array(self.family.free, dtype=np.int64)
        places = np.concatenate([np.arange(p), p + layout.places, own])
        vector = np.concatenate([np.zeros(p + entries), self.family.psi(x[p + m :])])
        vector[places] = x
        return vector, places

    def evaluate(self, layout: Layout, x: Floats, points: int, order: int, blocks: bool = False) -> MixedEvaluation:
        """-2 log L at x with `points` nodes per dimension."""
        vector, places = self.spread_out(layout, x)
        if points == 1:
            e = self.model(layout).laplace(*self.kernels, vector, order, blocks)
        else:
            e = self.model(layout).quadrature(*self.kernels, vector, order, *rule(points, self.effects.q), blocks=blocks)
        if order == 0 or not e.ok:
            return e
        return e._replace(gradient=e.gradient[places], hessian=e.hessian[np.ix_(places, places)] if order > 1 else e.hessian)

    def search(self, points: int) -> Search:
        """The minimisation of -2 log L with that many points."""

        def run(layout: Layout, x: Floats, limits: Limits) -> Optimum:
            def evaluate(v: Floats) -> tuple[bool, float, Floats, Floats]:
                e = self.evaluate(layout, v, points, 2)
                if not e.ok:
                    return False, np.inf, np.zeros(len(v)), np.eye(len(v))
                known = self.correction is not None and self.correction.layout.same(layout)
                return True, e.deviance, e.gradient, e.hessian + self.correction.hessian if known and self.correction else e.hessian

            return minimise(evaluate, x, limits)

        def slope(layout: Layout, x: Floats) -> Floats:
            e = self.evaluate(layout, x, points, 1)
            return e.gradient if e.ok else np.zeros(len(x))

        return Search(run, slope, self.p, self.typical, CAP, self.control.tol, self.control.max_iter)

    @property
    def typical(self) -> Floats:
        """(k,) standard deviations that move the linear predictor by one unit."""
        z = self.effects.z
        return np.ones(1) if z is None else 1.0 / np.sqrt((z**2).mean(axis=0))


def fit_glmm(design: Design, family: Family, points: int | str, control: Control, near: MixedRecord | None = None) -> MixedRecord:
    """Fit a generalised linear mixed model with one random term.

    points : 1 for Laplace, K for adaptive Gauss-Hermite, "auto" raises K until nothing that is reported changes.
    near : a fit of the same model to start from
    Returns the record; raises GlimmError for too many points, or means that are impossible from the start.
    """
    term = design.mean.random[0]
    problem = Problem(design, family, term, working_effects(term), *by_level(term), control, {})
    q = problem.effects.q
    used = 1 if isinstance(points, str) else checked_points(points, q)
    layout = whole(structure(term.structure), q)
    few = _fewer_levels(problem) if near is None else problem
    x = _feasible(few, layout, _start(few, layout) if near is None else _from(near, layout, _start(few, layout)))
    if few is not problem:
        rough = settle(replace(few.search(1), tol=ROUGH), layout, x)
        x = _feasible(problem, layout, _back_to(layout, rough, x, problem.p))
        problem = replace(problem, correction=_correction(few, rough, len(problem.order) / len(few.order)))
    note = ""
    if isinstance(points, str) and q <= MOST_EFFECTS:
        found, used, note = _auto(problem, layout, x)
    else:
        found = settle(problem.search(used), layout, x)
    if points == 1 and affordable(CHECK_POINTS, q):
        shift = problem.evaluate(found.layout, found.optimum.x, CHECK_POINTS, 0).deviance - found.optimum.value
        if abs(shift) > CHECK_SHIFT:
            note = (
                f"Laplace is not accurate here: with {CHECK_POINTS} points -2 log L moves by {shift:.3g} at the same parameters; "
                "use points='auto'"
            )
    return _record(problem, found, used, note)


def _from(near: MixedRecord, layout: Layout, x: Floats) -> Floats:
    """The vector where another fit ended; x where that one had lost rank, whose zeros no search leaves."""
    p = near.blocks["mean"].stop
    if near.layout.size != layout.size:
        return x
    psi = near.vector[near.blocks["family"]]
    return np.concatenate([to_working(near.design.mean, near.vector[:p]), near.work_theta, psi])


def _fewer_levels(problem: Problem) -> Problem:
    """The same problem on every k-th level, where there are many: a search there costs little and saves half of the other."""
    levels = len(problem.starts) - 1
    if levels < MANY_LEVELS:
        return problem
    chosen = np.arange(0, levels, levels // FEW_LEVELS)
    sizes = np.diff(problem.starts)[chosen]
    starts = np.concatenate(([0], np.cumsum(sizes))).astype(np.int64)
    positions = np.repeat(problem.starts[chosen] - starts[:-1], sizes) + np.arange(starts[-1])
    return replace(problem, order=problem.order[positions], starts=starts, models={})


def _back_to(layout: Layout, rough: Settled, x: Floats, p: int) -> Floats:
    """A start for the whole layout: where the search on fewer levels ended, or x where it lost rank."""
    return rough.optimum.x if rough.layout.size == layout.size else np.concatenate([rough.optimum.x[:p], x[p:]])


def _correction(few: Problem, rough: Settled, times: float) -> Correction | None:
    """What the model of the Hessian lacks, as seen on fewer levels."""
    x = rough.optimum.x
    vector, places = few.spread_out(rough.layout, x)
    exact = few.model(rough.layout).laplace_hessian(*few.kernels, vector, places)
    model = few.evaluate(rough.layout, x, 1, 2)
    if exact is None or not model.ok:
        return None
    lacking = np.asarray(times * (exact - model.hessian))
    if few.family.scale_known:  # the curvature in k or alpha vanishes as they run away
        lacking[few.p + rough.layout.size :, :] = lacking[:, few.p + rough.layout.size :] = 0.0
    return Correction(rough.layout, lacking)


def _start(problem: Problem, layout: Layout) -> Floats:
    """The GLM's coefficients, effects of half a unit on the scale of the linear predictor, the residual spread."""
    design, family, part = problem.design, problem.family, problem.design.mean
    order = None if len(problem.order) == design.n else problem.order
    rows = mean_rows(design, problem.control.n_threads, order)
    scoring, psi = begin(design, family, part.link, problem.control, rows, NEAR)
    size = 0.5 if family.scale_known else 0.2
    if family.name == "gaussian":
        residual = np.sqrt(max(-2.0 * scoring.last.loglik / rows.n, 1e-300))
        psi = np.array([np.log(residual) - 0.2])
        size = 0.5 * residual if part.link.name == "identity" else 0.2
    theta = np.where(layout.diagonal, size * problem.typical[layout.rows], 0.0)
    return np.concatenate([scoring.beta, theta, psi])


def _feasible(problem: Problem, layout: Layout, x: Floats) -> Floats:
    """x, with smaller effects if fitted means are impossible there."""
    p, m = problem.p, layout.size
    for _ in range(6):
        if problem.evaluate(layout, x, 1, 0).ok:
            return x
        x = np.concatenate([x[:p], 0.25 * x[p : p + m], x[p + m :]])
    family, link = problem.family.name, problem.design.mean.link.name
    raise GlimmError(
        f"with family {family!r} and link {link!r} the random effects lead to impossible means from the start: "
        f"use link={problem.family.default_link!r}, or give starting values with control=glimm.Control(start={{...}})"
    )


def _auto(problem: Problem, layout: Layout, x: Floats) -> tuple[Settled, int, str]:
    """Raise K until two successive rises change -2 log L by less than 0.01 and every estimate by less than 0.01 standard errors."""
    q = problem.effects.q
    found, calm, used = settle(problem.search(1), layout, x), 0, 1
    for points in POINTS[1:]:
        if not affordable(points, q):
            return found, used, f"points stopped at {used} per effect ({used**q} nodes) before the likelihood had settled"
        raised = settle(problem.search(points), found.layout, found.optimum.x)
        before, now = found.optimum, replace(raised.optimum, evaluations=found.optimum.evaluations + raised.optimum.evaluations)
        if not np.isfinite(now.value):
            return found, used, f"points stopped at {used}: with {points} some fitted means would be impossible for this link"
        still = abs(now.value - before.value) < SETTLED and len(now.x) == len(before.x)
        still = still and bool(np.all(np.abs(now.x - before.x) < SETTLED * model_errors(now.hessian)))
        calm = calm + 1 if still else 0
        found, used = replace(raised, optimum=now), points
        if calm == 2:
            return found, used, ""
    return found, used, f"points stopped at {used} before the likelihood had settled"


def model_errors(hessian: Floats) -> Floats:
    """(m,) standard errors from a model Hessian of -2 log L, or from its diagonal where it has no inverse."""
    try:
        return np.sqrt(np.abs(np.diag(2.0 * inverse(hessian))))
    except np.linalg.LinAlgError:
        return np.asarray(np.sqrt(2.0 / np.maximum(np.abs(np.diag(hessian)), 1e-12)))


def _curvature(problem: Problem, found: Settled, points: int) -> Floats:
    """(P, P) Hessian of -log L at the optimum; NaN where it cannot be evaluated."""
    layout, x = found.layout, found.optimum.x
    if points == 1:
        vector, places = problem.spread_out(layout, x)
        exact = problem.model(layout).laplace_hessian(*problem.kernels, vector, places)
        return np.full((len(x), len(x)), np.nan) if exact is None else 0.5 * exact
    errors = model_errors(found.optimum.hessian)
    scales = np.zeros(len(x), dtype=bool)
    scales[problem.p : problem.p + layout.size] = layout.diagonal
    out = np.zeros((len(x), len(x)))
    for j in range(len(x)):
        step = DIFFERENCE * float(errors[j]) if not scales[j] else min(DIFFERENCE * float(errors[j]), 0.5 * float(x[j]))
        sides = [problem.evaluate(layout, x + sign * step * np.eye(len(x))[j], points, 1) for sign in (1.0, -1.0)]
        if not all(e.ok for e in sides):
            return np.full((len(x), len(x)), np.nan)
        out[j] = 0.25 * (sides[0].gradient - sides[1].gradient) / step
    return np.asarray(0.5 * (out + out.T))


def _record(problem: Problem, found: Settled, points: int, note: str) -> MixedRecord:
    design, layout, optimum = problem.design, found.layout, found.optimum
    p, m, q = problem.p, layout.size, problem.effects.q
    curvature = _curvature(problem, found, points)
    last = problem.evaluate(layout, optimum.x, points, 2, blocks=True)
    if not last.ok:
        raise GlimmError(
            f"the likelihood cannot be evaluated with {points} points: fitted means are impossible for link {design.mean.link.name!r}; "
            f"use link={problem.family.default_link!r} or points=1"
        )
    assert last.inverse_blocks is not None
    root = problem.effects.back @ layout.root(found.theta(p))
    theta = structure(problem.term.structure).parameters(root)
    blocks = last.inverse_blocks.reshape(-1, q, q)
    k = len(theta)
    psi = optimum.x[p + m :]
    return MixedRecord(
        design=design,
        family=problem.family,
        linear=False,
        reml=False,
        vector=np.concatenate([to_named(design.mean) @ optimum.x[:p], theta, psi]),
        blocks={"mean": slice(0, p), "theta": slice(p, p + k), "family": slice(p + k, p + k + len(psi))},
        curvature=curvature,
        layout=layout,
        work_theta=found.theta(p),
        effects=last.u.reshape(-1, q) @ root.T,
        posterior=root @ blocks @ root.T,
        llf=-0.5 * optimum.value,
        scale=problem.family.scale(psi),
        points=points,
        solution=_solution(problem, found, root, curvature, last, note),
        version=VERSION,
    )


def _solution(problem: Problem, found: Settled, root: Floats, curvature: Floats, last: MixedEvaluation, note: str) -> Solution:
    solution = mixed_solution(found.optimum, found.layout, root, problem.term)
    if solution.code != "not_converged":
        message = ""
        if not np.all(np.isfinite(curvature)):
            message = "the estimates lie next to impossible fitted means, where the log-likelihood has no curvature: no standard errors"
        elif not positive_definite(curvature):
            w = float(np.linalg.eigvalsh(curvature)[0])
            message = f"the log-likelihood is not curved downwards at the end (eigenvalue {-w:.2g} of its Hessian): no standard errors"
        if message:
            solution = replace(solution, code="not_converged", message=message)
    design, family, p = problem.design, problem.family, problem.p
    if said := without_end(family, found.optimum.x[p + found.layout.size :]):
        solution = replace(solution, code="boundary", message=said)
    drifting = 0
    if not bounded(family, design.mean.link):
        mu = _typical_means(problem, found.optimum.x[:p])
        drifting = separated_rows(design, family, mu, 0.5 * last.hessian[:p, :p], -0.5 * last.gradient[:p])
    if drifting:
        said = separated(family, drifting, design.n)
        message = f"{said}; {solution.message}" if solution.code == "not_converged" else said
        solution = replace(solution, code="separated", message=message)
    return replace(solution, evidence={"note": note} if note else None)


def _typical_means(problem: Problem, beta: Floats) -> Floats:
    """(n,) fitted means with the random effects at zero: what predictors alone can separate."""
    part = problem.design.mean
    return mean(part.link.kernel, Rows(part.matrix, part.center, part.scale, offset=part.offset).eta(beta))[0]
