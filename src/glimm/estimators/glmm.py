"""GLMM: maximise log L(beta, theta, psi), the integral over each cluster's effects by Laplace (K = 1) or K adaptive Gauss-Hermite points.

All parameters are optimised together with the exact gradient. Standard errors come from the Hessian: exact for Laplace, by
differences of the exact gradient for quadrature.
Source: Pinheiro and Chao (2006), J. Comput. Graph. Stat. 15, 58-81; the gradient is in native/laplace.cpp and native/quadrature.cpp.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..covariance.layout import Shapes, start_of, total
from ..design.coordinates import to_named, to_working
from ..design.records import Design, RandomTerm
from ..errors import GlimmError
from ..family import Family
from ..kernels import Limits, Optimum, Rows, mean, minimise, positive_definite
from ..kernels.matrix import Floats
from ..progress import Progress
from ..records import MixedRecord, Solution
from ..version import VERSION
from .boundary import Search, Settled, settle
from .control import Control
from .ending import mixed_solution, parameter_names, weakest
from .engines import mixed_engine
from .irls import mean_rows
from .joint import begin, blurred, vanished, without_end
from .mixed_engines import MixedEnd, MixedEngine, OneFactor, model_errors
from .points import CHECK_SHIFT, MOST_EFFECTS, POINTS, SETTLED, affordable, checked_points, control_points
from .separation import bounded, limiting, separated, separated_rows, unchanging
from .terms import Effects, reported, roots, working_effects

CAP = 4.0
NEAR = 1e-2
ROUGH = 1e-2
EVALUATIONS = 15
STEEP = 1e-2
EDGE = "the estimates lie next to impossible fitted means"
NOWHERE = "the estimates lie where the log-likelihood cannot be evaluated"


@dataclass(frozen=True, slots=True)
class Correction:
    """What the model of the Hessian lacks (P, P), for vectors of one set of shapes."""

    shapes: Shapes
    hessian: Floats

    def fits(self, shapes: Shapes) -> bool:
        """Whether it is for these."""
        return all(a.same(b) for a, b in zip(self.shapes, shapes, strict=True))


@dataclass(frozen=True, slots=True)
class Problem:
    """One GLMM ready for the search: vectors are (working beta | theta of each term | psi)."""

    design: Design
    family: Family
    terms: tuple[Effects, ...]
    control: Control
    engine: MixedEngine
    bar: Progress
    correction: Correction | None = None

    @property
    def p(self) -> int:
        """Coefficients."""
        return self.design.mean.matrix.p

    def search(self, points: int) -> Search:
        """The minimisation of -2 log L with that many points."""

        def run(shapes: Shapes, x: Floats, limits: Limits) -> Optimum:
            added = self.correction.hessian if self.correction is not None and self.correction.fits(shapes) else 0.0

            def evaluate(v: Floats) -> tuple[bool, float, Floats, Floats]:
                e = self.engine.evaluate(shapes, v, points, 2)
                self.bar.step(e.deviance if e.ok else None)
                return (True, e.deviance, e.gradient, e.hessian + added) if e.ok else (False, np.inf, np.zeros(len(v)), np.eye(len(v)))

            return minimise(evaluate, x, limits)

        def slope(shapes: Shapes, x: Floats) -> Floats:
            e = self.engine.evaluate(shapes, x, points, 1)
            return e.gradient if e.ok else np.zeros(len(x))

        return Search(run, slope, self.p, self.typical, CAP, self.control.tol, self.control.max_iter)

    @property
    def typical(self) -> tuple[Floats, ...]:
        """Per term (k,) standard deviations that move the linear predictor by one unit."""
        n = self.design.n
        return tuple(np.sqrt(n / np.maximum(t.squares(None)[0], 1e-300)) for t in self.terms)


def fit_glmm(design: Design, family: Family, points: int | str, control: Control, near: MixedRecord | None = None) -> MixedRecord:
    """Fit a generalised linear mixed model.

    points : 1 for Laplace, K for adaptive Gauss-Hermite, "auto" raises K until nothing that is reported changes.
    near : a fit of the same model to start from
    Returns the record; raises GlimmError for too many points, or means that are impossible from the start.
    """
    terms = tuple(working_effects(t) for t in design.mean.random)
    with Progress("fit", EVALUATIONS, control.progress) as bar:
        engine = mixed_engine(design, family, terms, control, bar.step)
        return _fitted(Problem(design, family, terms, control, engine, bar), points, near)


def _fitted(problem: Problem, points: int | str, near: MixedRecord | None) -> MixedRecord:
    """Search, with more points where that is asked for, and the record of where it ended."""
    design, terms, q = problem.design, problem.terms, problem.engine.quadrature
    used = 1 if isinstance(points, str) else checked_points(points, q)
    shapes = tuple(t.shape() for t in terms)
    engine = problem.engine.fewer() if near is None else None
    few = problem if engine is None else replace(problem, engine=engine)
    x = _feasible(few, shapes, _start(few, shapes) if near is None else _from(near, shapes, _start(few, shapes)))
    if few is not problem:
        rough = settle(replace(few.search(1), tol=ROUGH), shapes, x)
        x = _feasible(problem, shapes, _back_to(shapes, rough, x, problem.p))
        problem = replace(problem, correction=_correction(few, rough, design.n / _rows_of(few)))
    note = ""
    if isinstance(points, str) and 0 < q <= MOST_EFFECTS:
        found, used, note = _auto(problem, shapes, x)
    else:
        search = problem.search(used)
        found = problem.engine.finish(search, settle(search, shapes, x))
        note = _held_against_more(problem, found, used)
    return _record(problem, found, used, note)


def _from(near: MixedRecord, shapes: Shapes, x: Floats) -> Floats:
    """The vector where another fit ended; x where that one had lost rank, whose zeros no search leaves."""
    p = near.blocks["mean"].stop
    if len(near.work_theta) != total(shapes):
        return x
    psi = near.vector[near.blocks["family"]]
    return np.concatenate([to_working(near.design.mean, near.vector[:p]), near.work_theta, psi])


def _rows_of(problem: Problem) -> int:
    """Rows that a search sees."""
    return len(problem.engine.order) if isinstance(problem.engine, OneFactor) else problem.design.n


def _back_to(shapes: Shapes, rough: Settled, x: Floats, p: int) -> Floats:
    """A start for the whole shapes: where the search on fewer levels ended, or x where it lost rank."""
    return rough.optimum.x if len(rough.optimum.x) == len(x) else np.concatenate([rough.optimum.x[:p], x[p:]])


def _correction(few: Problem, rough: Settled, times: float) -> Correction | None:
    """What the model of the Hessian lacks, as seen on fewer levels."""
    x = rough.optimum.x
    model = few.engine.evaluate(rough.shapes, x, 1, 2)
    if not model.ok:
        return None
    exact = few.engine.hessian(rough.shapes, x, model.hessian, 1)
    if not np.isfinite(exact).all():
        return None
    lacking = np.asarray(times * (exact - model.hessian))
    if few.family.scale_known:  # the curvature in k or alpha vanishes as they run away
        own = few.p + total(rough.shapes)
        lacking[own:, :] = lacking[:, own:] = 0.0
    return Correction(rough.shapes, lacking)


def _start(problem: Problem, shapes: Shapes) -> Floats:
    """The GLM's coefficients, effects of half a unit on the scale of the linear predictor, the residual spread."""
    design, family, part = problem.design, problem.family, problem.design.mean
    order = problem.engine.order if isinstance(problem.engine, OneFactor) and _rows_of(problem) < design.n else None
    rows = mean_rows(design, problem.control.n_threads, order)
    scoring, psi = begin(design, family, part.link, problem.control, rows, NEAR)
    size = 0.5 if family.scale_known else 0.2
    if family.name == "gaussian":
        residual = np.sqrt(max(-2.0 * scoring.last.loglik / rows.n, 1e-300))
        psi = np.array([np.log(residual) - 0.2])
        size = 0.5 * residual if part.link.name == "identity" else 0.2
    size /= np.sqrt(len(shapes))
    sds = problem.engine.start(shapes, scoring.beta, psi) or tuple(size * sd for sd in problem.typical)
    theta = [start_of(s, sd) for s, sd in zip(shapes, sds, strict=True)]
    return np.concatenate([scoring.beta, *theta, psi])


def _feasible(problem: Problem, shapes: Shapes, x: Floats) -> Floats:
    """x, with smaller effects if fitted means are impossible there."""
    p = problem.p
    small = x.copy()
    for _ in range(6):
        if problem.engine.evaluate(shapes, small, 1, 0).ok:
            return small
        at = p
        for s in shapes:
            small[at : at + s.size][s.scales] *= 0.25
            at += s.size
    family, link = problem.family.name, problem.design.mean.link.name
    raise GlimmError(
        f"with family {family!r} and link {link!r} the random effects lead to impossible means from the start: "
        f"use link={problem.family.default_link!r}, or give starting values with control=glimm.Control(start={{...}})"
    )


def _auto(problem: Problem, shapes: Shapes, x: Floats) -> tuple[Settled, int, str]:
    """Raise K until two successive rises change -2 log L by less than 0.01 and every estimate by less than 0.01 standard errors."""
    q = problem.engine.quadrature
    found, calm, used = settle(problem.search(1), shapes, x), 0, 1
    for points in POINTS[1:]:
        if not affordable(points, q):
            return found, used, f"points stopped at {used} per effect ({used**q} nodes) before the likelihood had settled"
        raised = settle(problem.search(points), found.shapes, found.optimum.x)
        before, now = found.optimum, replace(raised.optimum, evaluations=found.optimum.evaluations + raised.optimum.evaluations)
        if not np.isfinite(now.value):
            return found, used, f"points stopped at {used}: with {points} some fitted means would be impossible for this link"
        still = abs(now.value - before.value) < SETTLED and len(now.x) == len(before.x)
        still = still and bool(np.all(np.abs(now.x - before.x) < SETTLED * model_errors(now.hessian)))
        calm = calm + 1 if still else 0
        found, used = replace(raised, optimum=now), points
        own = now.x[problem.p + total(found.shapes) :]
        if any(own_levels(t.term) for t in problem.terms) and vanished(problem.family, own, problem.design.y):
            return found, used, ""
        if calm == 2:
            return found, used, ""
    return found, used, f"points stopped at {used} before the likelihood had settled"


def _held_against_more(problem: Problem, found: Settled, points: int) -> str:
    """What is to be said of a given number of points, by one evaluation with more of them."""
    more = control_points(points, problem.engine.quadrature)
    if not more:
        return ""
    value = problem.engine.evaluate(found.shapes, found.optimum.x, more, 0)
    if not value.ok:
        return f"points={points} cannot be checked: with {more} points some fitted means are impossible for this link; use its default link"
    shift = value.deviance - found.optimum.value
    if not abs(shift) > CHECK_SHIFT:
        return ""
    said = "Laplace is not accurate here" if points == 1 else f"{points} points are not enough here"
    return f"{said}: with {more} points -2 log L moves by {shift:.3g} at the same parameters; use points='auto'"


def _record(problem: Problem, found: Settled, points: int, note: str) -> MixedRecord:
    design, shapes, optimum, p = problem.design, found.shapes, found.optimum, problem.p
    m = total(shapes)
    last = problem.engine.end(shapes, optimum.x, points)
    if not last.ok:
        raise GlimmError(
            f"the likelihood cannot be evaluated with {points} points: fitted means are impossible for link {design.mean.link.name!r}; "
            f"use link={problem.family.default_link!r} or points=1"
        )
    curvature = 0.5 * problem.engine.hessian(shapes, optimum.x, optimum.hessian, points)
    work_theta, psi = found.theta(p), optimum.x[p + m :]
    theta = reported(problem.terms, shapes, work_theta)
    k = len(theta)
    every_root = roots(problem.terms, shapes, work_theta)
    return MixedRecord(
        design=design,
        family=problem.family,
        linear=False,
        reml=False,
        vector=np.concatenate([to_named(design.mean) @ optimum.x[:p], theta, psi]),
        blocks={"mean": slice(0, p), "theta": slice(p, p + k), "family": slice(p + k, p + k + len(psi))},
        curvature=curvature,
        layouts=shapes,
        work_theta=work_theta,
        roots=every_root,
        effects=last.effects,
        llf=-0.5 * last.deviance,
        scale=problem.family.scale(psi),
        points=points,
        solution=_solution(problem, found, every_root, curvature, last, note),
        version=VERSION,
        stochastic=problem.engine.stochastic(),
    )


def _solution(problem: Problem, found: Settled, every_root: tuple[Floats, ...], curvature: Floats, last: MixedEnd, note: str) -> Solution:
    design, family, p = problem.design, problem.family, problem.p
    solution = mixed_solution(found.optimum, found.shapes, every_root, design.mean.random)
    note = "; ".join(filter(None, (note, blurred(family, found.optimum.x[p + total(found.shapes) :], design.n))))
    evidence: dict[str, object] = {"note": note} if note else {}
    if bounded(family, design.mean.link) and at_edge(curvature, last.gradient):
        solution = replace(solution, code="not_converged", message=f"{EDGE}, and there is no curvature to take standard errors from")
    elif solution.code != "not_converged":
        message = ""
        if not np.all(np.isfinite(curvature)):
            message = f"{NOWHERE}, and there is no curvature to take standard errors from"
        elif not positive_definite(curvature):
            eigenvalue, direction = weakest(curvature, parameter_names(design.mean, found.shapes, family))
            listed = ", ".join(f"{share:+.2f} {name}" for name, share in direction.items())
            message = (
                "the log-likelihood is not curved downwards at the end "
                f"(eigenvalue {-eigenvalue:.2g} of its scaled Hessian) along {listed}: "
                "the data do not tell these parameters apart; no standard errors"
            )
            evidence |= {"eigenvalue": eigenvalue, "eigenvector": direction}
        if message:
            solution = replace(solution, code="not_converged", message=message)
    if said := without_end(family, found.optimum.x[p + total(found.shapes) :]):
        curved = positive_definite(curvature)
        solution = replace(
            solution, code="boundary" if curved else "not_converged", message=said + ("" if curved else "; no standard errors")
        )
    for term in design.mean.random:
        if own_levels(term) and vanished(family, found.optimum.x[p + total(found.shapes) :], design.y):
            said = (
                "the estimated dispersion runs to zero, and the log-likelihood has no largest value: the effects of "
                f"{term.group}, which has a level for every row, take up what differs from row to row; leave them out"
            )
            solution = replace(solution, code="not_converged", message=said)
    drifting = 0
    if not bounded(family, design.mean.link):
        mu = _typical_means(problem, found.optimum.x[:p])
        extreme = 1e-9 if solution.code == "not_converged" else 1e-6  # a search that was stopped early may be anywhere
        drifting = separated_rows(design, family, mu, 0.5 * last.hessian[:p, :p], -0.5 * last.gradient[:p], extreme)
    if drifting:
        names = limiting(design, family, mu, np.ones(design.n))[1]
        said = unchanging(design) or separated(family, drifting, design.n, names)
        evidence |= {"rows": drifting, "infinite": names}
        unexplained = solution.code == "not_converged" and "eigenvector" not in evidence
        message = f"{said}; {solution.message}" if unexplained else said
        solution = replace(solution, code="separated", message=message)
    return replace(solution, evidence=evidence or None)


def at_edge(curvature: Floats, gradient: Floats) -> bool:
    """Whether the search ended where -2 log L still falls, with no curvature to follow: at the end of possible means."""
    if not np.all(np.isfinite(curvature)):
        return True
    steep = np.abs(gradient) / np.sqrt(np.maximum(np.abs(np.diag(curvature)), 1e-300))
    return bool(not positive_definite(curvature) and steep.max(initial=0.0) > STEEP)


def own_levels(term: RandomTerm) -> bool:
    """Whether every row is a level of its own."""
    return len(term.levels) == len(term.refs)


def _typical_means(problem: Problem, beta: Floats) -> Floats:
    """(n,) fitted means with the random effects at zero: what predictors alone can separate."""
    part = problem.design.mean
    return mean(part.link.kernel, Rows(part.matrix, part.center, part.scale, offset=part.offset).eta(beta))[0]
