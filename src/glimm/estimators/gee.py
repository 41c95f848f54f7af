"""GEE: solve sum X~_i'R_i(alpha)^-1 e_i = 0, alternating a Fisher step for beta with moment estimates of phi and alpha.

Source: Liang and Zeger (1986), Biometrika 73, 13-22, sections 3.1 to 3.3.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from ..covariance.working import Moments, Residuals, Working, working
from ..design.coordinates import to_named, to_working
from ..design.records import Clusters, Design
from ..errors import GlimmError, NotYetError
from ..family import Family
from ..family.own import Functions
from ..kernels import GeePass, Rows, inverse_or_nan, mean, positive_definite, solve, variance
from ..kernels.matrix import Floats
from ..records import GeeRecord, Solution, SolutionCode
from ..version import VERSION
from .control import Control
from .irls import mean_rows
from .joint import begin
from .separation import bounded, edge, separated, separated_rows

TOLERANCE = 1e-11
CONVERGED = 1e-12
EXACT = 1e-24
HUGE = 1e140
PASSES_AT_ZERO = 2


def fit_gee(design: Design, family: Family, groups: str, corr: str, moments: str, control: Control) -> GeeRecord:
    """Fit a GEE.

    groups : key of design.clusters. corr : name of the working correlation. moments : "standard" or "geepack".
    Returns the record; raises GlimmError if the estimated correlation leaves its range, NotYetError for geepack's moments with weights.
    """
    part, clusters, structure = design.mean, design.clusters[groups], working(corr)
    gee_psi(family)
    if moments == "geepack" and design.size is not None:
        raise NotYetError(
            "moments='geepack' with weights or trials is not in this release (geepack weights its moments in its own way): use 'standard'"
        )
    natural = mean_rows(design, control.n_threads)
    scoring, _ = begin(design, family, part.link, control, natural, None)
    mu = mean(part.link.kernel, natural.eta(scoring.beta))[0]
    drifting = 0 if bounded(family, part.link) else separated_rows(design, family, mu, scoring.last.information, scoring.last.score)
    equations = Equations(design, family, clusters, structure, moments, control.n_threads)
    reached = Reached(scoring.beta, np.zeros(structure.size()), np.inf, scoring.passes, False)
    if not drifting:
        reached = _iterate(equations, natural, reached, control)
    final = equations.at(reached.beta, reached.alpha)
    found = equations.moments_of(final)
    return GeeRecord(
        design=design,
        family=family,
        vector=to_named(part) @ reached.beta,
        blocks={"mean": slice(0, part.matrix.p)},
        bread=inverse_or_nan(final.bread),
        eta=natural.eta(reached.beta),
        corr=corr,
        alpha=reached.alpha,
        moments=moments,
        scale=found.phi,
        solution=_solution(design, family, reached, final, found, drifting, mean(part.link.kernel, natural.eta(reached.beta))[0]),
        version=VERSION,
    )


def gee_psi(family: Family) -> Floats:
    """The family's parameters in the variance function; factors of it are left to the dispersion.

    Raises GlimmError for a variance function that depends on an unknown parameter.
    """
    if isinstance(family.kernel, Functions):
        if family.kernel.given.variance is None or family.free:
            need = "variance=" if not family.free else "a variance without unknown parameters"
            raise GlimmError(f"family {family.name!r}: gee needs {need}, because it works with means and variances only")
        return family.psi()
    if family.name in ("negative_binomial1", "beta"):
        return np.array([-np.inf])
    if family.name in ("negative_binomial", "tweedie") and family.shaped:
        number, example, instead = ("k", 2, ", or use family='poisson'") if family.name == "negative_binomial" else ("power", 1.5, "")
        raise GlimmError(
            f"gee does not estimate {number} of family {family.name!r}: give it, family='{family.name}({example})', "
            f"for example the {number} that glimm.glm finds{instead}"
        )
    return family.psi()


@dataclass(frozen=True, slots=True)
class Reached:
    """Where the iterations are: working beta, alpha, the last change in squared standard errors, passes, whether all has settled."""

    beta: Floats
    alpha: Floats
    change: float
    passes: int
    settled: bool


class Equations:
    """The estimating equations of one design: a pass at (beta, alpha), and the moments of its residuals."""

    def __init__(self, design: Design, family: Family, clusters: Clusters, structure: Working, rule: str, threads: int) -> None:
        part = design.mean
        self.design, self.family, self.structure, self.rule, self.clusters = design, family, structure, rule, clusters
        self.time = None if clusters.time is None else clusters.time[clusters.order]
        self.rows = Rows(part.matrix, part.center, part.scale, design.y, design.size, part.offset, order=clusters.order, threads=threads)

    def at(self, beta: Floats, alpha: Floats, scores: bool = False, curvatures: bool = False) -> GeePass:
        """Score, bread and Pearson residuals at working beta."""
        return self.rows.gee(
            self.family.kernel,
            self.design.mean.link.kernel,
            beta,
            self.clusters.starts,
            self.structure.kernel,
            float(alpha[0]) if len(alpha) else 0.0,
            self.time,
            scores,
            curvatures,
            gee_psi(self.family),
        )

    def moments_of(self, done: GeePass) -> Moments:
        """phi and alpha of a pass's residuals; raises GlimmError if there are none to speak of."""
        largest = float(np.abs(done.pearson).max(initial=0.0))
        if not largest < HUGE:
            raise GlimmError(
                f"a Pearson residual is {largest:.3g}, so that no dispersion can be estimated: fitted means are next to impossible for "
                f"link {self.design.mean.link.name!r}; look for extreme values of predictors and offset, or use another link"
            )
        if float(np.mean(done.pearson**2)) <= EXACT * float(np.mean(self.design.y**2)):
            raise GlimmError("the model fits every row exactly, so there are no residuals to estimate a correlation from: use glimm.glm")
        return self.structure.estimate(Residuals(done.pearson, self.clusters.starts, self.time, self.rows.p, self.rows.threads), self.rule)

    def check_range(self, alpha: Floats) -> None:
        """Raises GlimmError for an alpha with which no correlation matrix exists."""
        whole = self.time is None or bool(np.all(self.time == np.round(self.time)))
        low, high = self.structure.bounds(int(self.clusters.sizes.max()), whole)
        for name, value in zip(self.structure.names(), alpha, strict=True):
            if not low < value < high:
                raise GlimmError(
                    f"the estimated {self.structure.name} correlation {name} = {value:.4g} is outside ({low:.4g}, {high:.4g}): for the "
                    "largest cluster no such matrix exists; use corr='independence' (estimates stay consistent) or another structure"
                )


def _iterate(equations: Equations, natural: Rows, r: Reached, control: Control) -> Reached:
    """Fisher steps for beta between moment estimates of alpha, which stays 0 for the first two."""
    for iteration in range(2 * control.max_iter + PASSES_AT_ZERO):
        done = equations.at(r.beta, r.alpha)
        found = equations.moments_of(done)
        if not positive_definite(done.bread):
            return replace(r, passes=r.passes + 1)
        step = solve(done.bread, done.score)
        beta = _inside(equations, natural, r.beta, step)
        if beta is None:
            return replace(r, passes=r.passes + 1)
        before, change = r.change, float(step @ done.bread @ step) / found.phi
        alpha, moved = r.alpha, np.inf if len(r.alpha) else 0.0
        if iteration >= PASSES_AT_ZERO:
            equations.check_range(found.alpha)
            alpha, moved = found.alpha, float(np.abs(found.alpha - r.alpha).max(initial=0.0))
        small = change < TOLERANCE**2 * len(beta) or (change < CONVERGED and change > 0.25 * before)  # the latter: rounding noise
        r = Reached(beta, alpha, change, r.passes + 1, small and moved < TOLERANCE)
        if r.settled:
            break
    return r


def _inside(equations: Equations, natural: Rows, beta: Floats, step: Floats) -> Floats | None:
    """beta + step, shortened until all fitted means are possible; None if that takes too many halvings."""
    family, link = equations.family, equations.design.mean.link
    if not bounded(family, link):
        return beta + step
    for halvings in range(12):
        candidate = beta + step * 0.5**halvings
        mu = mean(link.kernel, natural.eta(candidate))[0]
        if np.all(np.isfinite(mu)) and np.all(variance(family.kernel, mu, gee_psi(family)) > 0.0):
            return candidate
    return None


def pieces(record: GeeRecord, groups: str, curvatures: bool = False, threads: int = 1) -> Iterator[tuple[Floats | None, Floats]]:
    """Blocks of per-cluster (curvature (K, p, p) or None, score (K, p)) on the working columns, dispersion left out."""
    design = record.design
    equations = Equations(design, record.family, design.clusters[groups], working(record.corr), record.moments, threads)
    out = equations.at(to_working(design.mean, record.vector), record.alpha, scores=True, curvatures=curvatures)
    assert out.scores is not None
    yield out.curvatures, out.scores


def _solution(design: Design, family: Family, r: Reached, final: GeePass, found: Moments, drifting: int, mu: Floats) -> Solution:
    code: SolutionCode = "converged"
    message = f"converged in {r.passes + 1} passes" + (f"; {found.how}" if found.how else "")
    if not r.settled:
        code = "not_converged"
        message = f"no convergence in {r.passes + 1} passes (last change {r.change:.1e} in squared standard errors)"
        if not positive_definite(final.bread):
            message = "no convergence: the equations became singular, some coefficient is not determined at the fitted means"
    if said := edge(family, design.mean.link, mu):
        code, message = "not_converged", said
    if drifting:
        code, message = "separated", separated(family, drifting, len(final.pearson))
        if len(r.alpha):
            message += "; the working correlation is not estimated and taken as 0"
    evidence: dict[str, int | str] = {"rows": drifting} if drifting else {}
    if found.note:
        evidence["note"] = found.note
    return Solution(code, message, r.passes + 1, r.change, final.score, evidence=evidence)
