"""LMM: profiled (restricted) likelihood d(theta) = log|M| [+ log|X'V^-1X|] + ne (1 + log(2 pi r2 / ne)), Newton in theta.

Source: Bates, Maechler, Bolker and Walker (2015), J. Stat. Softw. 67(1), section 3; gradient and average information in native/lmm.cpp.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..covariance.correlated import CORRELATED
from ..covariance.layout import Shapes, slices, start_of
from ..design.coordinates import to_named
from ..design.records import Design, RandomTerm
from ..errors import GlimmError
from ..family import Family
from ..kernels import Optimum
from ..kernels.matrix import Floats
from ..progress import Progress
from ..records import MixedRecord, Solution
from ..version import VERSION
from .boundary import FLOOR, Search, Settled, limits, settle
from .control import Control
from .ending import mixed_solution
from .engines import Step, linear_engine, silent
from .krylov_engines import LargeLinear
from .linear_engines import LinearEnd, LinearEngine
from .terms import Effects, reported, reported_many, roots, working_effects

CAP = 4.0
EXACT = 1e-13
NOISE = 1e-6
EVALUATIONS = 7
FLAT = 1e-5
VANISHING = 1e3
NEAR, CONSTANT = 10.0, 1e-9


@dataclass(frozen=True, slots=True)
class LinearProblem:
    """One LMM ready for the search."""

    design: Design
    family: Family
    reml: bool
    control: Control
    terms: tuple[Effects, ...]
    engine: LinearEngine


def fit_lmm(design: Design, family: Family, reml: bool, control: Control) -> MixedRecord:
    """Fit a linear mixed model by ML or REML.

    Returns the record; raises GlimmError if fewer rows than coefficients are left, or nothing varies.
    """
    with Progress("fit", EVALUATIONS, control.progress) as bar:
        return solve_lmm(prepare_lmm(design, family, reml, control, bar.step))


def prepare_lmm(design: Design, family: Family, reml: bool, control: Control, step: Step = silent) -> LinearProblem:
    """What `solve_lmm` and `refit_lmm` work on."""
    n, p = design.n, design.mean.matrix.p
    if n - p < 1:
        raise GlimmError(f"{n} rows for {p} coefficients: nothing is left to estimate variances from")
    terms = tuple(working_effects(t) for t in design.mean.random)
    return LinearProblem(design, family, reml, control, terms, linear_engine(design, terms, reml, control, step))


def refit_lmm(problem: LinearProblem, y: Floats, near: MixedRecord) -> MixedRecord:
    """The same model of another response (n,): only what depends on it is done again, from where `near` ended."""
    problem.engine.respond(y)
    again = replace(problem, design=replace(problem.design, y=y))
    return solve_lmm(again, near.work_theta if all(s.complete for s in near.layouts) else None)


def solve_lmm(problem: LinearProblem, theta: Floats | None = None) -> MixedRecord:
    """Search from theta, by default from effects as large as a level can tell, and the record of where it ended."""
    return _record(problem, *settled_lmm(problem, theta))


def settled_lmm(problem: LinearProblem, theta: Floats | None) -> tuple[Settled, LinearEnd]:
    """Where the search ended, and the solution there."""
    control, engine = problem.control, problem.engine
    shapes = tuple(t.shape() for t in problem.terms)
    left, before = engine.removed()
    if left <= EXACT * before:
        raise GlimmError("the predictors fit every row exactly, so there is no variation left to estimate variances from: use glimm.glm")
    typical = engine.typical()
    start = np.concatenate([start_of(s, sd) for s, sd in zip(shapes, engine.start(shapes), strict=True)]) if theta is None else theta
    search = Search(engine.run, engine.slope, 0, typical, CAP, control.tol, control.max_iter)
    if problem.reml and isinstance(engine, LargeLinear):  # by probes nothing is constant along the search
        _check_known(problem, engine.informed(shapes, start), typical)
    settled = engine.finish(search, settle(search, shapes, start))
    if problem.reml:
        _check_known(problem, settled, typical)
    last = engine.end(settled.shapes, settled.optimum.x)
    if not last.ok or last.r2 <= problem.design.n * (NOISE * left) ** 2:
        raise GlimmError(
            "the random effects fit every row exactly, or to rounding, so there is no residual variation: use glimm.glm, or fewer terms"
        )
    return settled, last


def _check_known(problem: LinearProblem, settled: Settled, typical: tuple[Floats, ...]) -> None:
    """Raises GlimmError where REML is constant in a standard deviation: the predictors then span the effects."""
    x, curved = settled.optimum.x, np.diag(settled.optimum.hessian)
    for term, shape, sds, at in zip(problem.design.mean.random, settled.shapes, typical, slices(settled.shapes), strict=True):
        size = start_of(shape, sds)
        if (shape.scales & (x[at] <= NEAR * size) & (np.abs(curved[at]) * np.maximum(x[at], size) ** 2 < CONSTANT)).any():
            raise GlimmError(
                f"random effects of {term.group!r}: the predictors take up all that differs between its levels, so the data say nothing of "
                f"the variance of the effects: leave out the term, or the predictors that have a column for every level of {term.group!r}"
            )


def solve_many(
    problem: LinearProblem, near: MixedRecord, responses: Floats, vectors: Floats, scale: Floats, llf: Floats
) -> NDArray[np.int64]:
    """Solve for each of (B, n) responses from where `near` ended, into vectors (B, P), scale (B,) and llf (B,).

    In native code; those that end at a bound there are searched on from it. Returns the positions of what is left to `refit_lmm`.
    """
    shapes, engine, control = near.layouts, problem.engine, problem.control
    everything = np.arange(len(responses))
    if not all(s.complete for s in shapes):
        return everything
    search = Search(engine.run, engine.slope, 0, engine.typical(), CAP, control.tol, control.max_iter)
    at = limits(search, shapes, len(near.work_theta), FLOOR, control.max_iter)
    found = engine.many(shapes, near.work_theta, at, responses, control.n_threads)
    if found is None:
        return everything
    thetas, betas, rest = found
    part = problem.design.mean
    p = part.matrix.p
    vectors[:, :p] = betas @ to_named(part).T
    vectors[:, p:] = reported_many(problem.terms, shapes, thetas)
    scale[:] = rest[:, 1] / (problem.design.n - p if problem.reml else problem.design.n)
    constant = 2.0 * float(np.sum(np.log(part.scale))) if problem.reml else 0.0
    llf[:] = -0.5 * (rest[:, 0] + constant)
    held = np.flatnonzero(rest[:, 2] == 0.0)
    lost = []
    for i in held:
        engine.respond(responses[i])
        settled, last = settled_lmm(problem, thetas[i])
        vectors[i], scale[i], llf[i] = estimates(problem, settled, last)
        if not settled.optimum.converged:
            lost.append(i)
    return np.array(lost, dtype=np.int64)


def estimates(problem: LinearProblem, settled: Settled, last: LinearEnd) -> tuple[Floats, float, float]:
    """The record's vector, sigma^2 and log-likelihood."""
    part, n, p = problem.design.mean, problem.design.n, problem.design.mean.matrix.p
    constant = 2.0 * float(np.sum(np.log(part.scale))) if problem.reml else 0.0  # |X'V^-1X| of the columns as named
    theta = reported(problem.terms, settled.shapes, settled.optimum.x)
    s2 = last.r2 / (n - p if problem.reml else n)
    return np.concatenate([to_named(part) @ last.beta, theta]), s2, -0.5 * (last.deviance + constant)


def _record(problem: LinearProblem, settled: Settled, last: LinearEnd) -> MixedRecord:
    design, shapes, optimum = problem.design, settled.shapes, settled.optimum
    part, x = design.mean, optimum.x
    p, m = part.matrix.p, len(x)
    vector, s2, llf = estimates(problem, settled, last)
    every_root = roots(problem.terms, shapes, x)
    curvature = np.zeros((p + m, p + m))
    curvature[:p, :p] = last.information / s2
    curvature[p:, p:] = 0.5 * optimum.hessian
    return MixedRecord(
        design=design,
        family=problem.family,
        linear=True,
        reml=problem.reml,
        vector=vector,
        blocks={"mean": slice(0, p), "theta": slice(p, len(vector)), "family": slice(len(vector), len(vector))},
        curvature=curvature,
        layouts=shapes,
        work_theta=x,
        roots=every_root,
        effects=last.effects,
        llf=llf,
        scale=s2,
        points=0,
        solution=_solution(optimum, shapes, every_root, part.random),
        version=VERSION,
        stochastic=problem.engine.stochastic(),
    )


def _solution(optimum: Optimum, shapes: Shapes, every_root: tuple[Floats, ...], terms: tuple[RandomTerm, ...]) -> Solution:
    """As of any mixed model, but where a term has an effect for every row the residual variance can run to zero."""
    solution = mixed_solution(optimum, shapes, every_root, terms)
    if solution.code == "not_converged" and optimum.decrement > FLAT:
        return solution
    for term, root in zip(terms, every_root, strict=True):
        if own_effects(term) and float(np.mean(np.sum((term.z @ root) ** 2, axis=1))) > VANISHING:
            said = f"the estimated residual variance runs to zero: the effects of {term.group} take up what differs from row to row"
            return replace(solution, code="boundary", message=said)
    return solution


def own_effects(term: RandomTerm) -> bool:
    """Whether no two rows share an effect."""
    if term.times is not None:
        return len(term.times) == len(term.refs)
    if term.structure not in CORRELATED or bool((np.count_nonzero(term.z, axis=1) != 1).any()):
        return False
    return len(np.unique(term.refs.astype(np.int64) * len(term.names) + np.argmax(term.z != 0.0, axis=1))) == len(term.refs)
