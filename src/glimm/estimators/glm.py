"""GLM: maximum likelihood by Fisher scoring, l(beta) = sum size_i l(y_i, offset_i + x_i'beta).

Families with parameters of their own are fitted in joint.py. A gaussian identity model with ill-conditioned columns is refined
with residuals in doubled precision.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..design.coordinates import to_named
from ..design.records import Clusters, Design
from ..errors import GlimmError
from ..family import Family
from ..kernels import GlmPass, Optimum, Rows, inverse, inverse_or_nan, mean, positive_definite, working
from ..kernels.matrix import Floats
from ..records import DEFAULT, GlmRecord, Scale, Solution, SolutionCode
from ..version import VERSION
from .control import Control
from .irls import Scoring, mean_rows, row_unit, score_iterations, start
from .joint import blurred, fit_joint, without_end
from .scale import likelihood, scale_of, total_deviance
from .separation import bounded, edge, evidence_of, judged, limiting, separated, separated_rows, separation_sentence

ILL_CONDITIONED = 1e-3
CLEAR_PIVOT = 1e-12
NOISE = 1e-29


def fit_glm(design: Design, family: Family, control: Control, scale: Scale = DEFAULT) -> GlmRecord:
    """Fit a GLM; scale : how the dispersion is found.

    Returns the record; raises GlimmError if no starting values are inside the family's range.
    Source: McCullagh and Nelder (1989), Generalized Linear Models, section 2.5.
    """
    if family.shaped or not isinstance(family.kernel, int):
        return _shaped(design, family, control, scale)
    part = design.mean
    rows = mean_rows(design, control.n_threads)
    at_unit = family.psi()
    scoring = score_iterations(
        rows, family, part.link, start(design, family, part.link, control, rows, at_unit), control, None, at_unit, row_unit(design, family)
    )
    a = to_named(part)
    beta, eta = a @ scoring.beta, rows.eta(scoring.beta)
    bread = bread_of(design, family, at_unit, eta, scoring.last.information)
    if family.name == "gaussian" and part.link.name == "identity" and _ill_conditioned(scoring.last.information):
        beta, bread, eta = _refine(design, rows, a, scoring)
    mu = mean(part.link.kernel, eta)[0]
    deviance = total_deviance(design, family, mu, at_unit, eta)
    llf, psi, psi_cov, likely = likelihood(design, family, scale, control, rows, scoring.beta, scoring.last.loglik, deviance)
    return GlmRecord(
        design=design,
        family=family,
        vector=np.concatenate([beta, psi]),
        blocks=blocks_of(part.matrix.p, psi),
        bread=bread,
        eta=eta,
        llf=llf,
        deviance=deviance,
        scale=scale_of(design, family, scale, mu, at_unit, deviance, likely),
        solution=_solution(scoring, design, family, eta, llf),
        version=VERSION,
        psi_cov=psi_cov,
        scale_rule=scale,
    )


def bread_of(design: Design, family: Family, psi: Floats, eta: Floats, information: Floats) -> Floats:
    """The inverse information; from the QR of the weighted columns where their cross-product has lost too many digits, else NaN."""
    if positive_definite(information) or not len(information):
        return inverse_or_nan(information)
    part = design.mean
    w = working(family.kernel, part.link.kernel, design.y, eta, design.size, psi)[2]
    r = Rows(part.matrix, part.center, part.scale, size=np.maximum(w, 0.0)).qr()
    pivots = np.abs(np.diag(r)) / np.maximum(np.linalg.norm(r, axis=0), np.finfo(np.float64).tiny)
    if not (len(r) == part.matrix.p and np.isfinite(r).all() and pivots.min() > CLEAR_PIVOT):
        return np.full_like(information, np.nan)
    root = inverse(r)
    return np.asarray(root @ root.T)


def blocks_of(p: int, psi: Floats) -> dict[str, slice]:
    """Blocks of (beta, psi)."""
    return {"mean": slice(0, p)} | ({"family": slice(p, p + len(psi))} if len(psi) else {})


def _shaped(design: Design, family: Family, control: Control, scale: Scale) -> GlmRecord:
    """A family with parameters of its own, or a user's: everything by maximum likelihood together."""
    part = design.mean
    rows, p = mean_rows(design, control.n_threads), part.matrix.p
    found = fit_joint(design, rows, family, control)
    beta, free = found.x[:p], found.x[p:]
    psi, eta = family.psi(free), rows.eta(found.x[:p])
    mu = mean(part.link.kernel, eta)[0]
    joint = inverse_or_nan(0.5 * found.hessian)
    if without_end(family, free) and not np.isfinite(joint).all():  # its curvature is gone there, and with it that between it and beta
        joint[:p, :p] = inverse_or_nan(0.5 * found.hessian[:p, :p])
    last = rows.glm(family.kernel, part.link.kernel, beta, family.at_unit(free))
    deviance = total_deviance(design, family, mu, psi, eta)
    return GlmRecord(
        design=design,
        family=family,
        vector=np.concatenate([to_named(part) @ beta, free]),
        blocks=blocks_of(p, free),
        bread=inverse_or_nan(last.information) if family.orthogonal else joint[:p, :p],
        eta=eta,
        llf=-0.5 * found.value,
        deviance=deviance,
        scale=scale_of(design, family, scale, mu, psi, deviance, family.scale(free)),
        solution=_joint_solution(found, design, family, free, eta, last),
        version=VERSION,
        psi_cov=joint[p:, p:],
        scale_rule=scale,
    )


def _joint_solution(found: Optimum, design: Design, family: Family, free: Floats, eta: Floats, last: GlmPass) -> Solution:
    code: SolutionCode = "converged" if found.converged else "not_converged"
    message = f"{'converged' if found.converged else 'no convergence'} in {found.evaluations} evaluations"
    if said := without_end(family, free):
        code, message = "boundary", said
    p = design.mean.matrix.p
    score, information = -0.5 * found.gradient[:p], 0.5 * found.hessian[:p, :p]
    end = End(design, family, eta, family.at_unit(free), last, GlmPass(last.loglik, score, information), found.converged)
    apart, ended = separates(end)
    if ended:
        code, message = "not_converged", ended
    note = blurred(family, free, design.n)
    evidence: dict[str, object] = {"note": note} if note else {}
    if apart:
        code, message = "separated", apart[0]
        evidence |= apart[1]
    return Solution(code, message, found.evaluations, found.decrement, -0.5 * found.gradient[:p], evidence=evidence)


@dataclass(frozen=True, slots=True)
class End:
    """Where a search ended.

    psi : at dispersion 1; last : the pass there; slope : gradient and Hessian of the search itself, where they are other ones
    """

    design: Design
    family: Family
    eta: Floats
    psi: Floats
    last: GlmPass
    slope: GlmPass
    converged: bool


def separates(end: End) -> tuple[tuple[str, dict[str, Any]] | None, str]:
    """(sentence and evidence of a separation, or None; the sentence about a fit at the edge of its link, or nothing)."""
    design, family, link = end.design, end.family, end.design.mean.link
    settled, found = judged(design, family, end.eta, end.psi, end.last, end.converged)
    if found is not None:
        return (separation_sentence(found, design, family), evidence_of(found, design)), ""
    mu = mean(link.kernel, end.eta)[0]
    if bounded(family, link):
        return None, edge(family, link, mu)
    drifting = 0 if settled else separated_rows(design, family, mu, end.slope.information, end.slope.score)
    if not drifting:
        return None, ""
    names = limiting(design, family, mu, np.ones(design.n))[1]
    return (separated(family, drifting, design.n, names), {"rows": drifting, "terms": names}), ""


def row_terms(record: GlmRecord) -> tuple[Floats, Floats]:
    """(d1, w), each (n,), at dispersion 1: x_i d1_i is a row's score, x_i x_i' w_i its information."""
    part = record.design.mean
    psi = record.family.at_unit(record.vector[record.blocks.get("family", slice(0, 0))])
    _, d1, w = working(record.family.kernel, part.link.kernel, record.design.y, record.eta, record.design.size, psi)
    return d1, w


def pieces(record: GlmRecord, clusters: Clusters, threads: int = 1) -> Iterator[tuple[Floats | None, Floats]]:
    """Blocks of per-cluster (curvature, here None, and score (K, p)) on the working columns, at dispersion 1."""
    part = record.design.mean
    rows = Rows(part.matrix, part.center, part.scale, order=clusters.order, threads=threads)
    yield None, rows.cluster_scores(row_terms(record)[0], clusters.starts)


def _ill_conditioned(information: Floats) -> bool:
    if not positive_definite(information):
        return False
    root = np.sqrt(np.diag(information))
    return bool(np.diag(np.linalg.cholesky(information / np.outer(root, root))).min(initial=1.0) ** 2 < ILL_CONDITIONED)


def _refine(design: Design, rows: Rows, a: Floats, scoring: Scoring) -> tuple[Floats, Floats, Floats]:
    """beta = high + low with exact residuals, and the inverse information from QR."""
    r = rows.qr()
    root = inverse(r)
    high, low = a @ scoring.beta, np.zeros(len(r))
    for _ in range(6):
        step = a @ (root @ (root.T @ (a.T @ rows.refined_residual_score(high, low))))
        moved = high + (low + step)
        low = (low + step) - (moved - high)
        high = moved
        if np.all(np.abs(step) <= 1e-15 * np.abs(high)):
            break
    offset = design.mean.offset
    return high, root @ root.T, design.mean.matrix.times(high) + (0.0 if offset is None else offset)


def _solution(scoring: Scoring, design: Design, family: Family, eta: Floats, llf: float) -> Solution:
    code: SolutionCode = "converged" if scoring.converged else "not_converged"
    message = f"{'converged' if scoring.converged else 'no convergence'} in {scoring.passes} passes"
    evidence: dict[str, object] = {}
    apart, ended = separates(End(design, family, eta, family.psi(), scoring.last, scoring.last, scoring.converged))
    if ended:
        code, message = "not_converged", ended
    if apart:
        (message, evidence), code = apart, "separated"
    if not family.scale_known and design.nobs == design.mean.matrix.p:
        evidence["note"] = f"as many coefficients as rows ({design.n}): the fit is exact and there are no standard errors"
    elif (family.likelihood and llf == np.inf) or (family.name == "gaussian" and scoring.last.loglik > -NOISE * float(design.y @ design.y)):
        evidence["note"] = "the predictors fit every row exactly: the dispersion is zero, and the likelihood and its criteria have no end"
    return Solution(code, message, scoring.passes, 2.0 * scoring.decrement, scoring.last.score, evidence=evidence)


def require_rows(design: Design) -> None:
    """Raises GlimmError if nothing is left to estimate from."""
    if design.mean.matrix.p == 0 and not design.mean.random:
        raise GlimmError("the model has no terms: write at least an intercept, for example 'y ~ 1'")
