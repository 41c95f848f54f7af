"""GEE of a response with C levels: solve sum D_i'V_i^-1 (o_i - mu_i) = 0, o_ic = 1(Y_i > c) or 1(Y_i = c), by Fisher scoring.

Inside an occasion V_i is that of the multinomial distribution. Between occasions it is 0 (independence: maximum likelihood), or follows
from one global odds ratio of all pairs of 1(Y_j > c) and 1(Y_k > d), estimated by the score of the pairs' 2 x 2 tables, or from one
correlation of nominal levels.
Source: Heagerty and Zeger (1996), J. Am. Stat. Assoc. 91, 1024-1036; Williamson, Kim and Lipsitz (1995), J. Am. Stat. Assoc. 90, 1432-1437.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..covariance.odds_ratios import OddsRatio
from ..data.columns import level_name
from ..design.records import Clusters, Design
from ..errors import GlimmError, NotYetError
from ..family import Family
from ..kernels import inverse_or_nan, positive_definite, solve
from ..kernels.association import AssociationPass
from ..kernels.levels import level_jets
from ..kernels.matrix import Floats
from ..records import LevelsRecord, Solution, SolutionCode
from ..version import VERSION
from .control import Control
from .global_odds import LARGEST, GlobalOdds
from .level_correlation import CorrelationPass, LevelCorrelation
from .level_likelihood import (
    CONVERGED,
    MOST_HALVINGS,
    TOLERANCE,
    LevelLikelihood,
    ascend,
    checked_layout,
    in_order,
    limit,
    separated,
)
from .levels import Layout, cluster_information, jet, layout_of, row_information
from .levels_glm import fit_levels_glm

HELD, PATIENCE, SHORTEST = 5, 8, 0.25
ENOUGH = 1e-8
ASSOCIATED = ("exchangeable", "odds_ratio")
CORRELATIONS = ("independence", *ASSOCIATED)
WHAT = {"ordered": "global odds ratio", "nominal": "correlation"}

Association = GlobalOdds | LevelCorrelation


@dataclass(frozen=True, slots=True)
class Reached:
    """Where scoring is: working parameters, association, squared standard errors of the last step, passes, whether all has settled."""

    gamma: Floats
    alpha: Floats
    change: float
    passes: int
    settled: bool


def check_levels(family: Family, corr: Any, moments: Any, weighted: bool) -> None:
    """Raises GlimmError for arguments of the door that have no meaning for a response with levels."""
    several = isinstance(corr, OddsRatio) or (isinstance(corr, str) and corr.startswith("odds_ratio("))
    if family.support != "ordered" and (several or (isinstance(corr, str) and corr == "odds_ratio")):
        raise GlimmError(
            f"corr: an odds ratio has no meaning for family {family.name!r}, as without an order the same one cannot hold for equal and "
            "for different levels: use corr='exchangeable' (one correlation between occasions) or 'independence'"
        )
    if several:
        raise NotYetError(
            f"family {family.name!r} has one odds ratio for all pairs of occasions, or none: corr='odds_ratio' or 'independence'"
        )
    if not isinstance(corr, str) or corr not in CORRELATIONS:
        given = repr(corr) if isinstance(corr, str) else type(corr).__name__
        raise GlimmError(
            f"corr={given} is a correlation of numbers, which levels have not: family {family.name!r} takes corr='independence'"
            f" or 'exchangeable' (one {WHAT[family.support]} for all pairs of occasions)"
        )
    if corr in ASSOCIATED and weighted:
        raise NotYetError(f"weights with corr={corr!r} are not there for family {family.name!r}: use corr='independence'")
    if not (isinstance(moments, str) and moments == "standard"):
        raise GlimmError(f"moments={moments!r} has no meaning for family {family.name!r}, whose association is an odds ratio: leave it out")


def fit_levels(design: Design, family: Family, groups: str, corr: str, control: Control) -> LevelsRecord:
    """Fit an ordinal or a nominal GEE.

    groups : key of design.clusters; corr : one of `CORRELATIONS`
    Returns the record; raises GlimmError for an offset of a nominal model, and for a cluster too large for an association.
    """
    layout, clusters = checked_layout(design, family, control), design.clusters[groups]
    likelihood = LevelLikelihood(design, layout, control.n_threads)
    found = ascend(likelihood, control)
    reached = Reached(found.gamma, np.zeros(0), found.change, found.passes, found.settled)
    bread, endless = limit(design, layout, likelihood.at(reached.gamma, expected=True).information)
    if corr in ASSOCIATED and not endless and reached.settled:
        reached, bread = _associated(_association(design, layout, clusters, control.n_threads), reached, control)
    vector = layout.to_named() @ reached.gamma
    names = layout.names(tuple(level_name(level) for level in design.response.levels))
    return LevelsRecord(
        design=design,
        family=family,
        names=names,
        vector=vector,
        blocks={"mean": slice(0, layout.size)},
        bread=bread,
        eta=layout.working(design.mean.offset, reached.gamma),
        corr=corr,
        alpha=reached.alpha,
        scale=1.0,
        solution=_solution(design, reached, tuple(names[j] for j in endless), corr),
        version=VERSION,
    )


def refit_levels(record: LevelsRecord, design: Design, control: Control) -> LevelsRecord:
    """The same model of some of its rows; raises GlimmError where a level has none of them."""
    seen = np.bincount(design.y.astype(np.int64), minlength=len(design.response.levels))
    if not seen.all():
        absent = level_name(design.response.levels[int(np.argmin(seen))])
        raise GlimmError(f"no row of these has {design.response.name} = {absent}: leave the level out")
    if record.door == "glm":
        return fit_levels_glm(design, record.family, control)
    return fit_levels(design, record.family, next(iter(design.clusters)), record.corr, control)


def pieces(record: LevelsRecord, clusters: Clusters, curvatures: bool = False) -> Iterator[tuple[Floats | None, Floats]]:
    """Blocks of per-cluster (curvature (K, P, P) or None, score (K, P)) in working parameters."""
    design = record.design
    layout = layout_of(design, record.family.support == "ordered")
    if len(record.alpha):
        gamma = layout.from_named() @ record.vector
        done = _association(design, layout, clusters, 1).at(gamma, record.alpha, scores=True, curvatures=curvatures)
        assert done.scores is not None
        yield done.curvatures, done.scores
        return
    slopes = level_jets(layout.kernel, design.y, record.eta, design.size)[1].T
    scores = layout.sums(design.mean.matrix, slopes, clusters.order, clusters.starts)
    if not curvatures:
        yield None, scores
        return
    w = row_information(jet(layout, record.eta), design.size)
    yield cluster_information(layout, w, clusters.order, clusters.sizes), scores


def joint_pass(record: LevelsRecord, clusters: Clusters) -> AssociationPass | CorrelationPass:
    """The pass at the estimates with the scores of the association, and what they owe to the other parameters."""
    layout = layout_of(record.design, record.family.support == "ordered")
    gamma = layout.from_named() @ record.vector
    return _association(record.design, layout, clusters, 1).at(gamma, record.alpha, scores=True, association=True, joint=True)


def _association(design: Design, layout: Layout, clusters: Clusters, threads: int) -> Association:
    """The equations of levels that are tied between occasions."""
    return GlobalOdds(design, layout, clusters, threads) if layout.ordered else LevelCorrelation(design, layout, clusters)


def _associated(odds: Association, r: Reached, control: Control) -> tuple[Reached, Floats]:
    """Fisher steps of the parameters and of the association together, from independence; and the bread at their end.

    Steps that go round in a circle are shortened.
    """
    r = Reached(r.gamma, odds.start(), np.inf, r.passes, False)
    held, length, before, moved = 0, 1.0, r.alpha, np.inf
    for iteration in range(2 * control.max_iter):
        done, alpha = odds.feasible(r.gamma, r.alpha, before)
        held = held + 1 if not np.array_equal(alpha, r.alpha) else 0
        r, before = replace(r, alpha=alpha), alpha
        if held >= HELD:
            odds.refuse(r.alpha)
        if not positive_definite(done.bread):
            break
        step = solve(done.bread, done.score)
        change = float(step @ done.bread @ step)
        if iteration > PATIENCE and change > 0.8 * r.change:
            length = max(0.5 * length, SHORTEST)
        fraction = next((f for f in length * 0.5 ** np.arange(MOST_HALVINGS) if in_order(odds.layout, r.gamma + f * step)), None)
        if fraction is None:
            break
        alpha = r.alpha + length * (odds.step(r.alpha, done) - r.alpha)
        moved = float(np.abs(alpha - r.alpha).max(initial=0.0))
        small = change < TOLERANCE**2 * odds.layout.size or (change < CONVERGED and change > 0.25 * r.change)
        r = Reached(r.gamma + fraction * step, alpha, change, r.passes + 1, small and moved < TOLERANCE)
        if r.settled:
            break
    if r.change < CONVERGED and moved < ENOUGH:
        r = replace(r, settled=True)
    return r, inverse_or_nan(odds.at(r.gamma, r.alpha).bread)


def _solution(design: Design, r: Reached, endless: tuple[str, ...], corr: str) -> Solution:
    code: SolutionCode = "converged"
    message = f"converged in {r.passes} passes"
    evidence: dict[str, Any] = {}
    if design.response.note:
        evidence["note"] = design.response.note
    if endless:
        code, message = "separated", separated(design, endless)
        if corr in ASSOCIATED:
            message += "; the association is not estimated and taken as none"
        evidence["infinite"] = endless
    elif not r.settled:
        code = "not_converged"
        message = f"no convergence in {r.passes} passes (last change {r.change:.1e} in squared standard errors)"
        if len(r.alpha) and not np.isfinite(r.change):
            message = "no convergence: the equations are singular, some level is next to impossible in most rows; use corr='independence'"
    elif len(r.alpha) and abs(r.alpha[0]) >= LARGEST:
        code = "boundary"
        message = f"the log global odds ratio has no end and is held at {r.alpha[0]:g}: some pair of levels never occurs together"
    return Solution(code, message, r.passes, r.change, np.zeros(len(r.gamma)), evidence=evidence)
