"""GEE: solve sum X~_i'R_i(alpha)^-1 e_i = 0, alternating a Fisher step for beta with moment estimates of phi and alpha.

Source: Liang and Zeger (1986), Biometrika 73, 13-22, sections 3.1 to 3.3.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from ..covariance.moments import Moments, Residuals, Rule, Sums, collect
from ..covariance.occasions import Occasions
from ..covariance.odds_ratios import OddsRatios
from ..covariance.working import Ar1, Working, check_sums
from ..design.coordinates import to_named, to_working
from ..design.records import Clusters, Design
from ..design.stream import StreamedDesign
from ..errors import GlimmError
from ..family import Family
from ..family.own import Functions
from ..kernels import GeePass, gee_pass, inverse_or_nan, positive_definite, solve, variance
from ..kernels.gee import cluster_blocks
from ..kernels.matrix import Floats
from ..records import GeeRecord, Solution, SolutionCode
from ..version import VERSION
from .association import AssociationEquations, fit_association
from .control import Control
from .joint import scored
from .separation import at_edge, bounded, counted_at_bound, endless, separated
from .source import Batch, mean_rows, source_of

TOLERANCE = 1e-11
CONVERGED = 1e-12
EXACT = 1e-24
HUGE = 1e140
PASSES_AT_ZERO = 2
FLOOR = 1e-6
ROUNDING = 1e-15
SHORTEST = 0.125
ROOM = 0.1
"""Smallest eigenvalue to which what is no correlation matrix is mended: at 1e-4 standard errors can be five times as large (toenail)."""


def fit_gee(design: Design, family: Family, groups: str, structure: Working, moments: str, control: Control) -> GeeRecord:
    """Fit a GEE.

    groups : key of design.clusters; structure : the working correlation; moments : "standard", "geepack" or "gee"
    Returns the record; raises GlimmError for occasions that the structure cannot have.
    """
    part, clusters = design.mean, design.clusters[groups]
    gee_psi(family)
    equations = Equations(design, family, clusters, structure, moments, control.n_threads)
    if isinstance(design, StreamedDesign):
        check_sums(structure, equations.rule, equations.occasions)
    source = equations.source
    scoring, _ = scored(design, family, part.link, control, source.natural, None, source.parts)
    drifting = 0
    if not bounded(family, part.link):
        drifting = endless(source.means(scoring.beta), equations.totals.mean, family, scoring.last.information, scoring.last.score)
    reached = Reached(scoring.beta, np.zeros(len(equations.names)), np.inf, scoring.passes, False)
    if not drifting:
        reached = _iterate(equations, reached, control, 0 if scoring.converged else PASSES_AT_ZERO)
    final, found = equations.solved(reached.beta, reached.alpha)
    held = np.zeros(0) if isinstance(design, StreamedDesign) else mean_rows(design, control.n_threads).eta(reached.beta)
    return GeeRecord(
        design=design,
        family=family,
        vector=to_named(part) @ reached.beta,
        blocks={"mean": slice(0, part.matrix.p)},
        bread=inverse_or_nan(final.bread),
        eta=held,
        working=structure,
        alpha=reached.alpha,
        moments=moments,
        scale=found.phi,
        solution=_solution(equations, reached, final, found, drifting),
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
    """Where the iterations are: working beta, alpha, the last change in squared standard errors, passes, whether all has settled.

    floor : smallest eigenvalue that correlations are held to
    """

    beta: Floats
    alpha: Floats
    change: float
    passes: int
    settled: bool
    floor: float = FLOOR


class Equations:
    """The estimating equations of one design: a pass at (beta, alpha), and the moments of its residuals.

    scope : the occasions that alpha is for, where the design has some of its rows
    """

    def __init__(
        self,
        design: Design,
        family: Family,
        clusters: Clusters,
        structure: Working,
        moments: str,
        threads: int,
        scope: Occasions | None = None,
    ) -> None:
        self.design, self.family, self.structure, self.threads = design, family, structure, threads
        self.source = source_of(design, clusters, moments, threads, scope)
        self.occasions, self.totals = self.source.scope, design.totals
        self.rule = Rule(moments, design.mean.matrix.p)
        self.names = structure.names(self.occasions)

    def passes(
        self, beta: Floats, alpha: Floats, *, scores: bool = False, curvatures: bool = False, determinants: bool = False
    ) -> Iterator[tuple[Batch, GeePass]]:
        """Batch by batch: score and bread up to there, Pearson residuals of its rows."""
        done: GeePass | None = None
        for batch in self.source.batches():
            done = gee_pass(
                batch.rows,
                self.family.kernel,
                self.design.mean.link.kernel,
                gee_psi(self.family),
                beta,
                batch.at.starts,
                batch.whitening(self.structure, alpha),
                scores=scores,
                curvatures=curvatures,
                determinants=determinants,
                before=done,
            )
            yield batch, done

    def at(self, beta: Floats, alpha: Floats, *, scores: bool = False, curvatures: bool = False, determinants: bool = False) -> GeePass:
        """Score, bread and Pearson residuals at working beta; these, scores and curvatures are of the last batch."""
        *_, (_, done) = self.passes(beta, alpha, scores=scores, curvatures=curvatures, determinants=determinants)
        return done

    def solved(self, beta: Floats, alpha: Floats) -> tuple[GeePass, Moments]:
        """`at`, with phi and alpha of its residuals."""
        sums = Sums()
        for batch, done in self.passes(beta, alpha):
            sums = self._add(sums, done, batch)
        return done, self._moments(sums)

    def _add(self, sums: Sums, done: GeePass, batch: Batch) -> Sums:
        return collect(self.structure.own_sums, Residuals(done.pearson, batch.at, self.threads, batch.size), self.rule, sums)

    def _moments(self, sums: Sums) -> Moments:
        """phi and alpha; raises GlimmError if there are no residuals to speak of."""
        if not sums.largest < HUGE:
            raise GlimmError(
                f"a Pearson residual is {sums.largest:.3g}, so that no dispersion can be estimated: fitted means are next to impossible "
                f"for link {self.design.mean.link.name!r}; look for extreme values of predictors and offset, or use another link"
            )
        typical = np.sqrt([self.totals.square / self.totals.n])
        spread = float(variance(self.family.kernel, typical, gee_psi(self.family))[0])
        if sums.pairs.squares / sums.n <= EXACT * float(typical[0]) ** 2 / (spread if 0.0 < spread < np.inf else 1.0):
            raise GlimmError("the model fits every row exactly, so there are no residuals to estimate a correlation from: use glimm.glm")
        return self.structure.estimate(sums, self.rule, self.occasions)

    def feasible(self, alpha: Floats, floor: float) -> Feasible:
        """alpha where the smallest eigenvalue of every R_i is at least `floor`; else drawn towards independence as far as makes it so."""
        if not len(alpha):
            return Feasible(alpha)
        least = self.structure.least(alpha, self.occasions)
        if least >= floor:
            return Feasible(alpha)
        t = (floor - least) / (1.0 - least)
        return Feasible(self.structure.shrunk(alpha, t), alpha, least, t)

    def moved(self, before: Floats, alpha: Floats) -> float:
        """The largest change of a correlation; of AR(1) that of the closest rows, whatever the unit of time."""
        noise = 0.0
        if isinstance(self.structure, Ar1):
            unit = self.occasions.shortest
            before, alpha = (np.sign(a) * np.abs(a) ** unit for a in (before, alpha))
            noise = ROUNDING * unit
        return max(float(np.abs(alpha - before).max(initial=0.0)) - noise, 0.0)


@dataclass(frozen=True, slots=True)
class Feasible:
    """The correlation used. estimated, least eigenvalue, t : what was estimated where that is none, and (1 - t) R + t I is used."""

    alpha: Floats
    estimated: Floats | None = None
    least: float = 1.0
    t: float = 0.0

    def said(self, names: tuple[str, ...], name: str) -> str:
        """The sentence about it, empty where nothing was done."""
        if self.estimated is None:
            return ""
        shown = ", ".join(f"{n} = {v:.4g}" for n, v in zip(names[:4], self.estimated[:4], strict=True)) + (
            ", ..." if len(names) > 4 else ""
        )
        trouble = "belongs to no correlation matrix for these clusters"
        if self.least > 0.0:
            trouble = "is nearly none for these clusters, and becomes none where it is not held"
        return (
            f"the estimated {name} correlation {shown} {trouble} (smallest eigenvalue {self.least:.3g}): it was drawn towards independence "
            f"by the factor {1.0 - self.t:.4g}, so that the smallest eigenvalue is {ROOM:g}; use another structure, or corr='independence'"
        )


def _iterate(equations: Equations, r: Reached, control: Control, at_zero: int) -> Reached:
    """Fisher steps for beta between moment estimates of alpha, which stays 0 for the first `at_zero`.

    What is no correlation matrix is held to ROOM; where the estimates become one they are freed, and if that leads to none, back to held.
    """
    floor, held, still, share, earlier = FLOOR, None, True, 1.0, np.inf
    for iteration in range(2 * control.max_iter + at_zero):
        done, found = equations.solved(r.beta, r.alpha)
        step = solve(done.bread, done.score) if positive_definite(done.bread) else None
        beta = None if step is None else _inside(equations, r.beta, share * step)
        if step is None or beta is None:
            r = replace(r, passes=r.passes + 1, settled=False)
            break
        before, change = r.change, float(step @ done.bread @ step) / found.phi
        if iteration >= at_zero + 3 and change > max(before, earlier, CONVERGED):
            share = max(0.5 * share, SHORTEST)  # the bread is no derivative: whole steps may overshoot for ever
        earlier = before
        alpha, moved = r.alpha, np.inf if len(r.alpha) else 0.0
        if iteration >= at_zero:
            limit = equations.feasible(found.alpha, floor)
            if limit.estimated is not None and floor < ROOM and held is None:
                limit, floor = equations.feasible(found.alpha, ROOM), ROOM
            alpha = limit.alpha
            moved = equations.moved(r.alpha, alpha)
        noise = still and change < CONVERGED and change > 0.25 * before  # not where beta and alpha move in turn
        small, still = change < TOLERANCE**2 * len(beta) or noise, moved < TOLERANCE
        r = Reached(beta, alpha, change, r.passes + 1, small and moved < TOLERANCE, floor)
        if r.settled and floor == ROOM and equations.feasible(found.alpha, FLOOR).estimated is None:
            floor, held = FLOOR, r  # only on the way was it no correlation matrix
        elif r.settled:
            break
    if held is not None and not (r.settled and equations.feasible(found.alpha, FLOOR).estimated is None):
        return replace(held, passes=r.passes)
    return r


def _inside(equations: Equations, beta: Floats, step: Floats) -> Floats | None:
    """beta + step, shortened until all fitted means are possible; None if that takes too many halvings."""
    family, link = equations.family, equations.design.mean.link
    if not bounded(family, link):
        return beta + step
    for halvings in range(12):
        candidate = beta + step * 0.5**halvings
        means = equations.source.means(candidate)
        if all(np.all(np.isfinite(mu)) and np.all(variance(family.kernel, mu, gee_psi(family)) > 0.0) for _, mu in means()):
            return candidate
    return None


def equations_of(
    record: GeeRecord, design: Design, groups: str, threads: int = 1, scope: Occasions | None = None
) -> Equations | AssociationEquations:
    """The equations of a record, of its design or another one with the same columns; groups : key of its clusters; scope : as there."""
    if isinstance(record.working, OddsRatios):
        return AssociationEquations(design, record.family, design.clusters[groups], record.working, threads)
    return Equations(design, record.family, design.clusters[groups], record.working, record.moments, threads, scope)


def refit_gee(record: GeeRecord, design: Design, control: Control) -> GeeRecord:
    """The same model of another design."""
    groups = next(iter(design.clusters))
    if isinstance(record.working, OddsRatios):
        return fit_association(design, record.family, groups, record.working, control)
    return fit_gee(design, record.family, groups, record.working, record.moments, control)


def pieces(record: GeeRecord, groups: str, curvatures: bool = False, threads: int = 1) -> Iterator[tuple[Floats | None, Floats]]:
    """Blocks of per-cluster (curvature (K, p, p) or None, score (K, p)) on the working columns, dispersion left out."""
    design = record.design
    equations, beta = equations_of(record, design, groups, threads), to_working(design.mean, record.vector)
    if isinstance(equations, AssociationEquations):
        done = equations.at(beta, record.alpha, scores=True, curvatures=curvatures)
        assert done.scores is not None
        yield done.curvatures, done.scores
        return
    for batch, out in equations.passes(beta, record.alpha, scores=True, curvatures=curvatures):
        assert out.scores is not None
        for a, b in pairwise(cluster_blocks(batch.at.starts)):
            yield None if out.curvatures is None else out.curvatures[a:b], out.scores[a:b]


def _solution(equations: Equations, r: Reached, final: GeePass, found: Moments, drifting: int) -> Solution:
    design, family = equations.design, equations.family
    code: SolutionCode = "converged"
    message = f"converged in {r.passes + 1} passes" + (f"; {found.how}" if found.how else "")
    if not r.settled:
        code = "not_converged"
        message = f"no convergence in {r.passes + 1} passes (last change {r.change:.1e} in squared standard errors)"
        if not positive_definite(final.bread):
            message = "no convergence: the equations became singular, some coefficient is not determined at the fitted means"
    if bounded(family, design.mean.link):
        there = counted_at_bound(family, equations.source.means(r.beta))
        if said := at_edge(family, design.mean.link, there, design.n):
            code, message = "not_converged", said
    if drifting:
        code, message = "separated", separated(family, drifting, design.n)
        if len(r.alpha):
            message += "; the working correlation is not estimated and taken as 0"
    evidence: dict[str, Any] = {"rows": drifting} if drifting else {}
    limit = Feasible(r.alpha) if drifting else equations.feasible(found.alpha, r.floor)
    said = limit.said(equations.names, equations.structure.name)
    if limit.estimated is not None:
        evidence |= {"estimated": limit.estimated.tolist(), "least_eigenvalue": limit.least, "factor": 1.0 - limit.t}
    if notes := "; ".join(note for note in (found.note, said) if note):
        evidence["note"] = notes
    return Solution(code, message, r.passes + 1, r.change, final.score, evidence=evidence)
