"""Alternating logistic regressions: sum D_i'V_i^-1 (y_i - mu_i) = 0 for beta, sum z nu' (+-1) / P(y_j, y_k) = 0 for the log odds ratios.

The second is the score of the pairwise likelihood at the margins, so that it does not matter on which response is conditioned.
Source: Carey, Zeger and Diggle (1993), Biometrika 80, 517-526.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..covariance.odds_ratios import Columns, OddsRatios, gammas
from ..design.clusters import occasions
from ..design.coordinates import to_named
from ..design.records import Clusters, Design
from ..errors import GlimmError
from ..family import Family
from ..kernels import MOST_ROWS, AssociationPass, Rows, association_pass, inverse_or_nan, mean, odds_matrix, positive_definite, solve
from ..kernels.matrix import Bools, Floats
from ..records import GeeRecord, Solution, SolutionCode
from ..text import listed
from ..version import VERSION
from .control import Control
from .irls import mean_rows
from .joint import begin
from .separation import bounded, edge, separated, separated_rows

TOLERANCE = 1e-11
CONVERGED = 1e-12
BOUND = 15.0
FARTHEST = 2.0
LONGEST = 4.0
HALVINGS = 20
REFUSED = 8


def fit_association(
    design: Design, family: Family, groups: str, structure: OddsRatios, control: Control, columns: Columns | None = None
) -> GeeRecord:
    """Fit a GEE of 0/1 responses with odds ratios inside clusters.

    groups : key of design.clusters; columns : (n,) by name, for functions of rows (default: those that the design keeps beside)
    Raises GlimmError for other responses, weights, clusters that are too large, and odds ratios that no covariance matrix has.
    """
    _check(design, family, structure)
    part, clusters = design.mean, design.clusters[groups]
    small_enough(clusters)
    structure = structure.settled(occasions(clusters))
    equations = AssociationEquations(design, family, clusters, structure, control.n_threads, columns)
    natural = mean_rows(design, control.n_threads)
    scoring, _ = begin(design, family, part.link, control, natural, None)
    mu = mean(part.link.kernel, natural.eta(scoring.beta))[0]
    drifting = 0 if bounded(family, part.link) else separated_rows(design, family, mu, scoring.last.information, scoring.last.score)
    reached = Reached(scoring.beta, np.zeros(len(equations.names)), np.inf, scoring.passes, False)
    if not drifting:
        reached = _iterate(equations, natural, reached, control)
    final = equations.at(reached.beta, reached.alpha, alpha_equation=True)
    read = getattr(equations.columns, "read", None)
    return GeeRecord(
        design=design if read is None else replace(design, beside=read),
        family=family,
        vector=to_named(part) @ reached.beta,
        blocks={"mean": slice(0, part.matrix.p)},
        bread=inverse_or_nan(final.bread),
        eta=natural.eta(reached.beta),
        working=structure,
        alpha=reached.alpha,
        moments="standard",
        scale=1.0,
        solution=_solution(equations, reached, final, drifting, mean(part.link.kernel, natural.eta(reached.beta))[0]),
        version=VERSION,
    )


def small_enough(clusters: Clusters, each: int = 1) -> None:
    """Raise GlimmError for a cluster whose covariance matrix is too large; each : indicators of a row."""
    largest = int(np.argmax(clusters.sizes))
    size = int(clusters.sizes[largest])
    if size * each > MOST_ROWS:
        what = f"{size} rows" if each == 1 else f"{size} rows of {each} indicators"
        raise GlimmError(
            f"cluster {clusters.levels.tolist()[largest]!r} of {clusters.name!r} has {what}: odds ratios need the covariance matrix of a "
            f"cluster, and {MOST_ROWS} is the most; use "
            + ("corr='exchangeable', or smaller clusters" if each == 1 else "corr='independence'")
        )


def _check(design: Design, family: Family, structure: OddsRatios) -> None:
    corr = f"corr={structure.name!r}"
    if family.name != "binomial":
        raise GlimmError(f"{corr} is for 0/1 responses, family='binomial', not for {family.name!r}: use corr='exchangeable'")
    if design.weights is not None:
        raise GlimmError(f"{corr}: odds ratios of weighted rows are not defined: leave out weights=, or use corr='exchangeable'")
    if design.trials is not None and np.any(design.trials != 1.0):
        row = int(design.rows[int(np.argmax(design.trials != 1.0))])
        raise GlimmError(
            f"{corr} is for single 0/1 responses, and row {row} (counting from 0) has several trials: give one row for each trial, or use "
            "corr='exchangeable'"
        )
    if not np.isin(design.y, (0.0, 1.0)).all():
        row = int(design.rows[int(np.argmax(~np.isin(design.y, (0.0, 1.0))))])
        raise GlimmError(f"{corr} is for 0/1 responses: row {row} (counting from 0) is neither; use corr='exchangeable'")


class AssociationEquations:
    """Both equations of one design, at (beta, alpha)."""

    def __init__(
        self, design: Design, family: Family, clusters: Clusters, structure: OddsRatios, threads: int, columns: Columns | None = None
    ) -> None:
        part = design.mean
        self.design, self.family, self.clusters, self.structure = design, family, clusters, structure
        self.columns = design.beside if columns is None else columns
        self.occasions = occasions(clusters)
        self.names = structure.names(self.occasions)
        self.pairs = structure.pairs(self.occasions, _Ordered(self.columns, clusters))
        self.rows = Rows(part.matrix, part.center, part.scale, design.y, None, part.offset, order=clusters.order, threads=threads)
        self.indicators = bool(np.isin(self.pairs.z, (0.0, 1.0)).all() and (self.pairs.z.sum(axis=1) <= 1.0).all())

    def at(
        self,
        beta: Floats,
        alpha: Floats,
        *,
        scores: bool = False,
        curvatures: bool = False,
        determinants: bool = False,
        alpha_equation: bool = False,
        joint: bool = False,
    ) -> AssociationPass:
        """A pass at working beta; the quadratic form and the determinants are always there."""
        return association_pass(
            self.rows,
            self.family.kernel,
            self.design.mean.link.kernel,
            beta,
            self.occasions.starts,
            self.pairs,
            alpha,
            scores=scores,
            curvatures=curvatures,
            alpha_equation=alpha_equation,
            joint=joint,
        )

    def directions(self, alpha: Floats, score: Floats, information: Floats) -> tuple[Floats, Bools]:
        """(q, m) directions in which alpha may move, and (q,) what is held: log odds ratios without pairs, and those at the bound whose
        score leads beyond it, stay as they are."""
        told = information.diagonal() > 0.0
        whole = np.eye(len(alpha))[:, told]
        gamma = self.pairs.z @ alpha
        stuck = np.abs(gamma) >= BOUND * (1.0 - 1e-9)
        if not stuck.any():
            return whole, ~told
        rise = score if self.indicators else newton(whole, score, information)
        active = self.pairs.z[stuck & (gamma * (self.pairs.z @ rise) > 0.0)]
        held = ~told | np.any(active != 0.0, axis=0)
        if self.indicators:
            return np.eye(len(alpha))[:, ~held], held
        _, values, right = np.linalg.svd(active @ whole)
        rank = int(np.sum(values > 1e-10 * values.max(initial=1.0)))
        return whole @ right[rank:].T, held

    def moved(self, alpha: Floats, step: Floats) -> Floats:
        """alpha + step, shortened so that no log odds ratio changes by more than 2 or leaves the bounds."""
        far = float(np.abs(self.pairs.z @ step).max(initial=0.0))
        step = step * min(1.0, FARTHEST / far) if far > 0.0 else step
        if self.indicators:
            return np.clip(alpha + step, -BOUND, BOUND)
        gamma, ahead = self.pairs.z @ alpha, self.pairs.z @ step
        beyond = (np.abs(gamma + ahead) > BOUND * (1.0 + 1e-12)) & (ahead != 0.0)
        room = np.divide(np.sign(ahead) * BOUND - gamma, ahead, out=np.ones(len(gamma)), where=beyond)
        return np.asarray(alpha + float(np.clip(room.min(initial=1.0), 0.0, 1.0)) * step)


def cluster_correlation(record: GeeRecord, cluster: int) -> Floats:
    """(m, m) correlations of the rows of a cluster at their fitted means."""
    assert isinstance(record.working, OddsRatios)
    clusters = record.clusters
    rows = clusters.order[clusters.starts[cluster] : clusters.starts[cluster + 1]]
    at = occasions(clusters)
    pairs = record.working.pairs(at, _Ordered(record.design.beside, clusters))
    counts = at.sizes * (at.sizes - 1) // 2
    gamma = gammas(pairs, record.alpha, int(counts[cluster]), int(counts[:cluster].sum()))
    return odds_matrix(mean(record.design.mean.link.kernel, record.eta[rows])[0], gamma)


class _Ordered(dict[str, Any]):
    """Columns in cluster order, taken as they are asked for."""

    def __init__(self, columns: Columns, clusters: Clusters) -> None:
        super().__init__()
        self._columns, self._order = columns, clusters.order

    def __missing__(self, name: str) -> Any:
        self[name] = self._columns[name][self._order]
        return self[name]


@dataclass(frozen=True, slots=True)
class Reached:
    """Where the iterations are: working beta, alpha, the last change in squared standard errors, passes, whether all has settled.

    held : log odds ratios that stand at the bound; cluster : the one without a covariance matrix at the next step, -1 where there is none
    """

    beta: Floats
    alpha: Floats
    change: float
    passes: int
    settled: bool
    held: Bools | None = None
    cluster: int = -1


def _iterate(equations: AssociationEquations, natural: Rows, r: Reached, control: Control) -> Reached:
    """Fisher steps for beta and alpha together, halved where a mean is impossible or a V_i is not positive definite."""
    done = equations.at(r.beta, r.alpha, alpha_equation=True)
    assert done.alpha_information is not None
    _check_terms(equations, done.alpha_information)
    refused = 0
    for _ in range(4 * control.max_iter):
        if not positive_definite(done.bread):
            return replace(r, passes=r.passes + 1)
        assert done.alpha_score is not None
        assert done.alpha_information is not None
        basis, held = equations.directions(r.alpha, done.alpha_score, done.alpha_information)
        step, turn = solve(done.bread, done.score), newton(basis, done.alpha_score, done.alpha_information)
        before, change = r.change, float(step @ done.score + turn @ done.alpha_score)
        far = float(np.abs(natural.eta(r.beta + step) - natural.eta(r.beta)).max(initial=0.0))
        step = step * min(1.0, LONGEST / far) if far > 0.0 else step
        passes, cluster = r.passes, -1
        for halvings in range(HALVINGS):
            part = 0.5**halvings
            beta = r.beta + part * step if cluster < 0 else r.beta  # near the edge of all V_i a step for beta has no size
            alpha = equations.moved(r.alpha, part * turn)
            if not _possible(equations, natural, beta):
                continue
            done = equations.at(beta, alpha, alpha_equation=True)
            passes += 1
            if done.indefinite < 0:
                break
            cluster = done.indefinite
        else:
            return replace(r, passes=passes, cluster=cluster)
        refused = refused + 1 if cluster >= 0 else 0
        if refused == REFUSED:
            return replace(r, passes=passes, cluster=cluster)
        small = change < TOLERANCE**2 * (len(beta) + len(alpha)) or (change < CONVERGED and change > 0.25 * before)  # rounding noise
        r = Reached(beta, alpha, change, passes, small and part == 1.0, held)
        if r.settled:
            break
    return r


def newton(basis: Floats, score: Floats, information: Floats) -> Floats:
    """(q,) the scoring step inside the directions of the basis; zero where there is none, or no information."""
    inside = basis.T @ information @ basis
    if not len(inside) or not positive_definite(inside):
        return np.zeros(len(score))
    return np.asarray(basis @ solve(inside, basis.T @ score))


def _check_terms(equations: AssociationEquations, information: Floats) -> None:
    """Raise GlimmError for a term that is a combination of those before it, over the pairs that there are."""
    if equations.indicators or not len(equations.occasions.starts) or not information.any():
        return
    for j, name in enumerate(equations.names):
        if not positive_definite(information[: j + 1, : j + 1]):
            before = f"a combination of {listed(list(equations.names[:j]))}" if j else "0"
            raise GlimmError(f"OddsRatio: term {name!r} is {before} in every pair of rows: leave it out")


def _possible(equations: AssociationEquations, natural: Rows, beta: Floats) -> bool:
    """Whether all means are probabilities."""
    link = equations.design.mean.link
    if not bounded(equations.family, link):
        return True
    mu = mean(link.kernel, natural.eta(beta))[0]
    return bool(np.all((mu > 0.0) & (mu < 1.0)))


def _solution(equations: AssociationEquations, r: Reached, final: AssociationPass, drifting: int, mu: Floats) -> Solution:
    design, family, clusters = equations.design, equations.family, equations.clusters
    code: SolutionCode = "converged"
    message = f"converged in {r.passes + 1} passes"
    if not r.settled:
        code, message = "not_converged", f"no convergence in {r.passes + 1} passes (last change {r.change:.1e} in squared standard errors)"
        if not positive_definite(final.bread):
            message = "no convergence: the equations became singular, some coefficient is not determined at the fitted means"
        elif r.cluster >= 0:
            raise GlimmError(
                f"the odds ratios that the equations lead to contradict each other: the {clusters.sizes[r.cluster]} rows of cluster "
                f"{clusters.levels.tolist()[r.cluster]!r} of {clusters.name!r} would have no covariance matrix; use corr='odds_ratio' (one "
                "for all pairs), corr='exchangeable' or corr='independence' (estimates stay consistent)"
            )
    if said := edge(family, design.mean.link, mu):
        code, message = "not_converged", said
    evidence: dict[str, Any] = {}
    names: tuple[str, ...] = ()
    assert final.alpha_information is not None
    if drifting:
        code, message = "separated", f"{separated(family, drifting, len(mu))}; the odds ratios are not estimated and taken as 1"
        evidence["rows"] = drifting
    else:
        empty = final.alpha_information.diagonal() == 0.0
        held = np.zeros(len(empty), dtype=np.bool_) if r.held is None else r.held & ~empty
        names = tuple(name for name, stands in zip(equations.names, held, strict=True) if stands)
        if notes := "; ".join(_notes(equations, r.alpha, empty, held)):
            evidence["note"] = notes
    return Solution(code, message, r.passes + 1, r.change, final.score, names, evidence)


def _notes(equations: AssociationEquations, alpha: Floats, empty: Bools, held: Bools) -> list[str]:
    out = []
    if equations.occasions.largest < 2:
        out.append("no cluster has two rows: the odds ratio is not estimated and taken as 1")
    elif empty.any():
        names = [name for name, missing in zip(equations.names, empty, strict=True) if missing]
        out.append(f"no cluster has a pair of rows for {listed(names)}: not estimated and taken as 0")
    if held.any():
        found = [f"{name} = {a:.3g}" for name, a, stands in zip(equations.names, alpha, held, strict=True) if stands]
        out.append(
            f"{listed(found)} {'has' if len(found) == 1 else 'have'} no finite estimate, because some combination of two responses does "
            f"not occur in its pairs of rows: held where a log odds ratio is {BOUND:g}, without a standard error"
        )
    return out
