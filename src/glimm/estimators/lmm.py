"""LMM: profiled (restricted) likelihood d(theta) = log|M| [+ log|X'V^-1X|] + ne (1 + log(2 pi r2 / ne)), Newton in theta.

Source: Bates, Maechler, Bolker and Walker (2015), J. Stat. Softw. 67(1), section 3; gradient and average information in native/lmm.cpp.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..covariance.layout import Layout, whole
from ..covariance.structures import structure
from ..design.coordinates import to_named
from ..design.records import Design
from ..errors import GlimmError
from ..family import Family
from ..kernels import Limits, LinearMixed, LmmEvaluation, Optimum, Rows
from ..kernels.matrix import Floats
from ..records import MixedRecord
from ..version import VERSION
from .boundary import Search, Settled, settle
from .control import Control
from .ending import mixed_solution
from .terms import Effects, working_effects

CAP = 4.0
EXACT = 1e-13


@dataclass(frozen=True, slots=True)
class LinearProblem:
    """One LMM ready for the kernels; `models` holds the cross-products for each order of the effects that was needed."""

    design: Design
    family: Family
    reml: bool
    control: Control
    effects: Effects
    models: dict[tuple[int, ...], LinearMixed]

    def model(self, layout: Layout) -> LinearMixed:
        """The cross-products with the effects in the layout's order."""
        key = tuple(layout.order.tolist())
        if key not in self.models:
            part, term, effects = self.design.mean, self.design.mean.random[0], self.effects
            rows = Rows(part.matrix, part.center, part.scale, self.design.y, self.design.size, part.offset, threads=self.control.n_threads)
            self.models[key] = LinearMixed(rows, term.refs, len(term.levels), effects.taken(layout.order), effects.q)
        return self.models[key]

    def run(self, layout: Layout, x: Floats, limits: Limits) -> Optimum:
        """Minimise the deviance over the layout's entries."""
        return self.model(layout).search(x, layout.rows, layout.columns, self.reml, limits)

    def slope(self, layout: Layout, x: Floats) -> Floats:
        """Gradient of the deviance."""
        gradient = self.model(layout).evaluate(layout.factor(x), self.reml, derivatives=True).gradient
        return np.zeros(layout.size) if gradient is None else gradient[layout.places]


def fit_lmm(design: Design, family: Family, reml: bool, control: Control) -> MixedRecord:
    """Fit a linear mixed model with one random term by ML or REML.

    Returns the record; raises GlimmError if fewer rows than coefficients are left, or nothing varies.
    """
    return solve_lmm(prepare_lmm(design, family, reml, control))


def prepare_lmm(design: Design, family: Family, reml: bool, control: Control) -> LinearProblem:
    """What `solve_lmm` and `refit_lmm` work on."""
    n, p = design.n, design.mean.matrix.p
    if n - p < 1:
        raise GlimmError(f"{n} rows for {p} coefficients: nothing is left to estimate variances from")
    return LinearProblem(design, family, reml, control, working_effects(design.mean.random[0]), {})


def refit_lmm(problem: LinearProblem, y: Floats, near: MixedRecord) -> MixedRecord:
    """The same model of another response (n,): only what depends on it is done again, from where `near` ended."""
    again = replace(problem, design=replace(problem.design, y=y))
    for model in problem.models.values():
        model.respond(y)
    ended = near.layouts[0]
    full = ended.rank == ended.k and ended.order.tolist() == list(range(ended.k))
    return solve_lmm(again, near.work_theta if full else None)


def solve_lmm(problem: LinearProblem, theta: Floats | None = None) -> MixedRecord:
    """Search from theta, by default from effects as large as a level can tell, and the record of where it ended."""
    term, control = problem.design.mean.random[0], problem.control
    layout = whole(structure(term.structure), problem.effects.q)
    left, before = problem.model(layout).removed()
    if left <= EXACT * before:
        raise GlimmError("the predictors fit every row exactly, so there is no variation left to estimate variances from: use glimm.glm")
    typical = 1.0 / np.sqrt(problem.model(layout).mean_square())
    start = np.where(layout.diagonal, typical[layout.rows], 0.0) if theta is None else theta
    search = Search(problem.run, problem.slope, 0, typical, CAP, control.tol, control.max_iter)
    settled = settle(search, layout, start)
    last = problem.model(settled.layout).evaluate(settled.layout.factor(settled.optimum.x), problem.reml, blocks=True)
    if not last.ok:
        raise GlimmError("the random effects fit every row exactly, so there is no residual variation: use glimm.glm, or fewer terms")
    return _record(problem, settled, last)


def _record(problem: LinearProblem, settled: Settled, last: LmmEvaluation) -> MixedRecord:
    design, layout, optimum = problem.design, settled.layout, settled.optimum
    part, q = design.mean, problem.effects.q
    n, p, m = design.n, part.matrix.p, layout.size
    ne = n - p if problem.reml else n
    s2 = last.r2 / ne
    constant = 2.0 * float(np.sum(np.log(part.scale))) if problem.reml else 0.0  # |X'V^-1X| of the columns as named
    root = problem.effects.back @ layout.root(optimum.x)
    theta = structure(part.random[0].structure).parameters(root)
    assert last.u is not None
    assert last.inverse_blocks is not None
    blocks = last.inverse_blocks.reshape(-1, q, q)
    curvature = np.zeros((p + m, p + m))
    curvature[:p, :p] = last.information / s2
    curvature[p:, p:] = 0.5 * optimum.hessian
    return MixedRecord(
        design=design,
        family=problem.family,
        linear=True,
        reml=problem.reml,
        vector=np.concatenate([to_named(part) @ last.beta, theta]),
        blocks={"mean": slice(0, p), "theta": slice(p, p + len(theta)), "family": slice(p + len(theta), p + len(theta))},
        curvature=curvature,
        layouts=(layout,),
        work_theta=optimum.x,
        roots=(root,),
        effects=(last.u.reshape(-1, q) @ root.T,),
        posterior=(s2 * (root @ blocks @ root.T),),
        llf=-0.5 * (last.deviance + constant),
        scale=s2,
        points=0,
        solution=mixed_solution(optimum, layout, root, part.random[0]),
        version=VERSION,
    )
