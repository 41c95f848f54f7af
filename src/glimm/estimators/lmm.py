"""LMM: profiled (restricted) likelihood d(theta) = log|M| [+ log|X'V^-1X|] + ne (1 + log(2 pi r2 / ne)), Newton in theta.

Source: Bates, Maechler, Bolker and Walker (2015), J. Stat. Softw. 67(1), section 3; gradient and average information in native/lmm.cpp.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..covariance.structures import structure
from ..design.coordinates import to_named
from ..design.records import Design, RandomTerm
from ..errors import GlimmError
from ..family import Family
from ..kernels import LinearMixed, LmmEvaluation, Rows, solve
from ..kernels.matrix import Floats
from ..records import MixedRecord, Solution, SolutionCode
from ..version import VERSION
from .control import Control
from .optimize import Bounds, Evaluation, Optimum, minimise
from .terms import TermRows, order_by_level

FLOOR = 1e-4
CAP = 4.0
EXACT = 1e-13


def fit_lmm(design: Design, family: Family, reml: bool, control: Control) -> MixedRecord:
    """Fit a linear mixed model with one random term by ML or REML.

    Returns the record; raises GlimmError if fewer rows than coefficients are left.
    """
    part, term = design.mean, design.mean.random[0]
    n, p = design.n, part.matrix.p
    if n - p < 1:
        raise GlimmError(f"{n} rows for {p} coefficients: nothing is left to estimate variances from")
    ordered = order_by_level(term)
    offset = np.zeros(n) if part.offset is None else part.offset
    ols, residual = _remove_fixed(design, offset, control.n_threads)
    unit = float(np.sqrt(np.mean(residual**2)))
    if unit <= EXACT * float(np.sqrt(np.mean((design.y - offset) ** 2))):
        raise GlimmError("the predictors fit every row exactly, so there is no variation left to estimate variances from: use glimm.glm")
    rows = Rows(part.matrix, part.center, part.scale, residual / unit, design.size, order=ordered.order, threads=control.n_threads)
    model = LinearMixed(rows, ordered.starts, ordered.z, ordered.q)
    optimum, last = _search(model, design, term, ordered, reml, control)
    theta = optimum.x
    a = to_named(part)
    ne = n - p if reml else n
    s2 = unit**2 * last.r2 / ne
    constant = 2.0 * ne * np.log(unit)
    if reml:  # |X'V^-1X| of the columns as named
        constant += 2.0 * float(np.sum(np.log(part.scale)))
    t = structure(term.structure).factor(theta, ordered.q)
    if not last.ok:
        raise GlimmError("the random effects fit every row exactly, so there is no residual variation: use glimm.glm, or fewer terms")
    u = last.u.reshape(-1, ordered.q)
    assert last.inverse_blocks is not None
    blocks = last.inverse_blocks.reshape(-1, ordered.q, ordered.q)
    curvature = np.zeros((p + len(theta), p + len(theta)))
    curvature[:p, :p] = last.information / s2
    curvature[p:, p:] = 0.5 * optimum.hessian
    curvature[p:][optimum.floor] = 0.0
    curvature[:, p:][:, optimum.floor] = 0.0
    names = structure(term.structure).names(term.names, term.group)
    return MixedRecord(
        design=design,
        family=family,
        linear=True,
        reml=reml,
        vector=np.concatenate([a @ (unit * last.beta + ols), theta]),
        blocks={"mean": slice(0, p), "theta": slice(p, p + len(theta)), "family": slice(p + len(theta), p + len(theta))},
        curvature=curvature,
        effects=unit * u @ t.T,
        posterior=s2 * np.einsum("ab,jbc,dc->jad", t, blocks, t),
        llf=-0.5 * (last.deviance + constant),
        scale=s2,
        points=0,
        solution=mixed_solution(optimum, names),
        version=VERSION,
    )


def mixed_solution(optimum: Optimum, names: tuple[str, ...]) -> Solution:
    """How a mixed model's search ended; names are those of the parameters from which `floor` was taken."""
    active = tuple(name for name, at in zip(names, optimum.floor, strict=True) if at)
    code: SolutionCode = "converged"
    message = f"converged in {optimum.evaluations} evaluations"
    if active:
        code = "boundary"
        message = f"the estimated variance of {', '.join(active)} is zero: clusters differ no more than chance within them explains"
    if not optimum.converged:
        code = "not_converged"
        message = f"no convergence in {optimum.evaluations} evaluations (Newton decrement {optimum.decrement:.1e} in -2 log L)"
    return Solution(code, message, optimum.evaluations, optimum.decrement, optimum.gradient, active)


def _remove_fixed(design: Design, offset: Floats, threads: int) -> tuple[Floats, Floats]:
    """Working weighted least-squares coefficients and y - offset - X b: large means leave the cross-products."""
    part = design.mean
    p = part.matrix.p
    total = np.zeros(p)
    residual = design.y - offset
    for _ in range(2 if p else 0):
        rows = Rows(part.matrix, part.center, part.scale, residual, design.size, threads=threads)
        one = rows.glm(0, 0, np.zeros(p))
        b = solve(one.information, one.score)
        residual = residual - rows.eta(b)
        total = total + b
    return total, residual


def _search(
    model: LinearMixed, design: Design, term: RandomTerm, ordered: TermRows, reml: bool, control: Control
) -> tuple[Optimum, LmmEvaluation]:
    cov, q = structure(term.structure), ordered.q
    theta = cov.start(1.0 / np.sqrt(ordered.mean_square(design.size)))
    scales = cov.scales(q)
    floor = np.where(scales, FLOOR * theta, -np.inf)

    def evaluate(x: Floats) -> Evaluation:
        e = model.evaluate(cov.factor(x, q), reml, derivatives=True)
        if not e.ok:
            return False, np.inf, np.zeros(len(x)), np.eye(len(x))
        assert e.gradient is not None
        assert e.hessian is not None
        chain = cov.dfactor(x, q)
        return True, e.deviance, chain @ e.gradient, chain @ e.hessian @ chain.T

    everything = np.ones(len(theta), dtype=bool)
    optimum = minimise(evaluate, theta, Bounds(floor, scales, CAP), everything, tol=control.tol, max_iter=control.max_iter)
    optimum = replace(optimum, x=np.where(optimum.floor, 0.0, optimum.x))
    return optimum, model.evaluate(cov.factor(optimum.x, q), reml, blocks=True)
