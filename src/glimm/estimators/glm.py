"""GLM: maximum likelihood by Fisher scoring, l(beta) = sum size_i l(y_i, offset_i + x_i'beta).

Families with parameters of their own are fitted in joint.py. A gaussian identity model with ill-conditioned columns is refined
with residuals in doubled precision.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from ..design.clusters import gather
from ..design.coordinates import to_named
from ..design.records import Clusters, Design, Part
from ..design.stream import StreamedDesign
from ..errors import GlimmError
from ..family import Family
from ..kernels import GlmPass, Optimum, Rows, inverse, inverse_or_nan, mean, positive_definite, working
from ..kernels.matrix import Floats, Ints
from ..records import DEFAULT, GlmRecord, Linear, Scale, Solution, SolutionCode
from ..version import VERSION
from .at_means import at_means
from .control import Control
from .glm_ending import End, separates
from .irls import Scoring, row_unit, score_iterations, start
from .joint import blurred, fit_joint, without_end
from .many_rows import score_many
from .scale import constants_at, likelihood, scale_of, total_deviance
from .separation import END_OF_LINK
from .source import Etas, RowSource, row_source

ILL_CONDITIONED = 1e-3
CLEAR_PIVOT = 1e-12
FLAT = (
    "the search ended where the likelihood is flat to working precision, so that the data do not tell these coefficients apart: "
    "there are no standard errors; use fewer terms or another link"
)
LARGEST = 1e150
NOISE = 1e-29
WITHOUT_END = 1e12
"""A mean this many times the least has no end."""


def fit_glm(design: Design, family: Family, control: Control, rule: Scale = DEFAULT) -> GlmRecord:
    """Fit a GLM, of rows that are held or not; rule : how the dispersion is found.

    Returns the record; raises GlimmError if no starting values are inside the family's range.
    Source: McCullagh and Nelder (1989), Generalized Linear Models, section 2.5.
    """
    source = row_source(design, control.n_threads)
    if family.shaped or not isinstance(family.kernel, int):
        return _shaped(source, family, control, rule)
    part, at_unit = design.mean, family.psi()
    scoring = _scored(source, family, control, at_unit)
    a = to_named(part)
    beta, information, known = a @ scoring.beta, scoring.last.information, scoring.last.eta
    etas = source.etas(scoring.beta) if known is None else lambda: ((design, known),)
    again = Linear(scoring.beta)
    if family.name == "gaussian" and part.link.name == "identity" and _ill_conditioned(information):
        beta, bread = _refine(source, a, scoring.beta)
        etas, again = source.etas(beta, raw=True), Linear(beta, raw=True)
    else:
        bread = bread_of(etas, family, at_unit, information, part)
    means = source.means_of(etas)
    found = at_means(etas, family, at_unit, rule.of(family) == "pearson", constants_at(design, family, rule))
    llf, psi, psi_cov, likely = likelihood(source, family, rule, control, scoring.beta, scoring.last.loglik, found)
    deviance = total_deviance(design, found)
    end = End(source, family, etas, means, found, at_unit, scoring.last, scoring.last, scoring.converged)
    return GlmRecord(
        design=design,
        family=family,
        vector=np.concatenate([beta, psi]),
        blocks=blocks_of(part.matrix.p, psi),
        bread=bread,
        eta=_held(etas, design),
        llf=llf,
        deviance=deviance,
        scale=scale_of(design, family, rule, found, deviance, likely),
        solution=_solution(scoring, end, llf),
        version=VERSION,
        psi_cov=psi_cov,
        again=again,
        scale_rule=rule,
    )


def _scored(source: RowSource, family: Family, control: Control, psi: Floats) -> Scoring:
    """The coefficients of maximum likelihood."""
    design, rows = source.design, source.natural
    link, unit = design.mean.link, row_unit(design, family)
    found = score_many(design, family, control, rows, psi, unit) if isinstance(rows, Rows) else None
    if found is not None:
        return found
    first = start(design, family, link, control, rows, psi, source.parts)
    return score_iterations(rows, family, link, first, control, None, psi, unit)


def _held(etas: Etas, design: Design) -> Floats:
    """(n,) linear predictors, none of rows that are not held."""
    return np.zeros(0) if isinstance(design, StreamedDesign) else next(iter(etas()))[1]


def bread_of(etas: Etas, family: Family, psi: Floats, information: Floats, part: Part) -> Floats:
    """The inverse information; from the QR of the weighted columns where their cross-product has lost too many digits, else NaN."""
    if positive_definite(information) or not len(information):
        return inverse_or_nan(information)
    r = np.zeros_like(information)
    for design, eta in etas():
        w = working(family.kernel, part.link.kernel, design.y, eta, design.size, psi)[2]
        r = Rows(design.mean.matrix, part.center, part.scale, size=np.maximum(w, 0.0)).qr(r)
    if not (len(r) == part.matrix.p and np.abs(r).max() < LARGEST):
        return np.full_like(information, np.nan)
    pivots = np.abs(np.diag(r)) / np.maximum(np.linalg.norm(r, axis=0), np.finfo(np.float64).tiny)
    if not pivots.min() > CLEAR_PIVOT:
        return np.full_like(information, np.nan)
    root = inverse(r)
    return np.asarray(root @ root.T)


def blocks_of(p: int, psi: Floats) -> dict[str, slice]:
    """Blocks of (beta, psi)."""
    return {"mean": slice(0, p)} | ({"family": slice(p, p + len(psi))} if len(psi) else {})


def _shaped(source: RowSource, family: Family, control: Control, rule: Scale) -> GlmRecord:
    """A family with parameters of its own, or a user's: everything by maximum likelihood together."""
    design, rows = source.design, source.natural
    part, p = design.mean, rows.p
    found = fit_joint(source, family, control)
    beta, free = found.x[:p], found.x[p:]
    psi, etas = family.psi(free), source.etas(beta)
    means = source.means_of(etas)
    joint = inverse_or_nan(0.5 * found.hessian)
    if without_end(family, free) and not np.isfinite(joint).all():  # its curvature is gone there, and with it that between it and beta
        joint[:p, :p] = inverse_or_nan(0.5 * found.hessian[:p, :p])
    last = rows.glm(family.kernel, part.link.kernel, beta, family.at_unit(free))
    sums = at_means(etas, family, psi, rule.of(family) == "pearson", None)
    deviance = total_deviance(design, sums)
    slope = GlmPass(last.loglik, -0.5 * found.gradient[:p], 0.5 * found.hessian[:p, :p])
    end = End(source, family, etas, means, sums, family.at_unit(free), last, slope, found.converged)
    bread = inverse_or_nan(last.information) if family.orthogonal else joint[:p, :p]
    return GlmRecord(
        design=design,
        family=family,
        vector=np.concatenate([to_named(part) @ beta, free]),
        blocks=blocks_of(p, free),
        bread=bread,
        eta=_held(etas, design),
        llf=-0.5 * found.value,
        deviance=deviance,
        scale=scale_of(design, family, rule, sums, deviance, family.scale(free)),
        solution=_joint_solution(found, family, free, end, bool(np.isfinite(bread).all())),
        version=VERSION,
        psi_cov=joint[p:, p:],
        again=Linear(beta),
        scale_rule=rule,
    )


def _joint_solution(found: Optimum, family: Family, free: Floats, end: End, told: bool) -> Solution:
    """told : whether the information has an inverse."""
    code: SolutionCode = "converged" if found.converged else "not_converged"
    message = f"{'converged' if found.converged else 'no convergence'} in {found.evaluations} evaluations"
    if said := without_end(family, free):
        code, message = "boundary", said
    apart, ended = separates(end)
    if ended:
        code, message = "not_converged", ended
    note = blurred(family, free, end.design.n)
    evidence: dict[str, object] = {"note": note} if note else {}
    if apart:
        code, message = "separated", apart[0]
        evidence |= apart[1]
    elif not told and code != "not_converged":
        code, message = "not_converged", f"{FLAT} ({message})"
    return Solution(code, message, found.evaluations, found.decrement, end.slope.score, evidence=evidence)


def etas_of(record: GlmRecord) -> Etas:
    """Rows of a fit with their linear predictors."""
    if not isinstance(record.design, StreamedDesign):
        pair = record.design, record.eta
        return lambda: (pair,)
    return row_source(record.design, 1).etas(record.again.beta, record.again.raw)


def row_terms(record: GlmRecord) -> tuple[Floats, Floats]:
    """(d1, w), each (n,), at dispersion 1: x_i d1_i is a row's score, x_i x_i' w_i its information."""
    return part_terms(record, record.design, record.eta)


def part_terms(record: GlmRecord, design: Design, eta: Floats) -> tuple[Floats, Floats]:
    """The same of a part of the rows."""
    psi = record.family.at_unit(record.vector[record.blocks.get("family", slice(0, 0))])
    _, d1, w = working(record.family.kernel, design.mean.link.kernel, design.y, eta, design.size, psi)
    return d1, w


def pieces(
    record: GlmRecord, clusters: Clusters, threads: int = 1, codes: Callable[[Design], Ints] | None = None
) -> Iterator[tuple[Floats | None, Floats]]:
    """Blocks of per-cluster (curvature, here None, and score (K, p)) on the working columns, at dispersion 1.

    codes : of rows that are not held, the cluster of each row of a part; default those of the column named by vcov
    """
    part = record.design.mean
    if isinstance(record.design, StreamedDesign):
        scores = np.zeros((len(clusters.levels), part.matrix.p))
        for design, eta in etas_of(record)():
            there, refs = np.unique(design.beside[clusters.name] if codes is None else codes(design), return_inverse=True)
            order, starts = gather(refs.astype(np.int32), len(there))
            rows = Rows(design.mean.matrix, part.center, part.scale, order=order)
            scores[there] += rows.cluster_scores(part_terms(record, design, eta)[0], starts)
        yield None, scores
        return
    rows = Rows(part.matrix, part.center, part.scale, order=clusters.order, threads=threads)
    yield None, rows.cluster_scores(row_terms(record)[0], clusters.starts)


def _ill_conditioned(information: Floats) -> bool:
    if not positive_definite(information):
        return False
    root = np.sqrt(np.diag(information))
    return bool(np.diag(np.linalg.cholesky(information / np.outer(root, root))).min(initial=1.0) ** 2 < ILL_CONDITIONED)


def _refine(source: RowSource, a: Floats, beta: Floats) -> tuple[Floats, Floats]:
    """beta = high + low with exact residuals, and the inverse information from QR."""
    r = np.zeros_like(a)
    for part in source.parts():
        r = source.rows(part).qr(r)
    root = inverse(r)
    high, low = a @ beta, np.zeros(len(r))
    for _ in range(6):
        sums = np.zeros((2, len(r)))
        for part in source.parts():
            sums = source.rows(part).refined_residual_sums(high, low, sums)
        step = a @ (root @ (root.T @ (a.T @ (sums[0] + sums[1]))))
        moved = high + (low + step)
        low = (low + step) - (moved - high)
        high = moved
        if np.all(np.abs(step) <= 1e-15 * np.abs(high)):
            break
    return high, root @ root.T


def _solution(scoring: Scoring, end: End, llf: float) -> Solution:
    design, family = end.design, end.family
    code: SolutionCode = "converged" if scoring.converged else "not_converged"
    message = f"{'converged' if scoring.converged else 'no convergence'} in {scoring.passes} passes"
    evidence: dict[str, object] = {}
    apart, ended = separates(end)
    if ended := ended or beyond(end):
        code, message = "not_converged", ended
    if apart:
        (message, evidence), code = apart, "separated"
    evidence |= exact(design, family, llf, scoring.last.loglik)
    return Solution(code, message, scoring.passes, 2.0 * scoring.decrement, scoring.last.score, evidence=evidence)


def beyond(end: End) -> str:
    """The sentence about means without end under link 1 / mu, to which the likelihood of an inverse gaussian response is no barrier.

    l = -(y eta - 1)^2 / (2 phi y): a parabola in eta, whose top may lie below 0.
    """
    link, sums = end.design.mean.link, end.sums
    if end.family.name != "inverse_gaussian" or sums.most <= WITHOUT_END * sums.least or mean(link.kernel, np.ones(1))[1][0] >= 0.0:
        return ""
    rows = sum(int((mu > WITHOUT_END * sums.least).sum()) for _, mu in end.means())
    return (
        f"{END_OF_LINK} {link.name!r} allows, fitted means without end in {rows} of {end.design.n} rows, where neither estimates nor "
        "standard errors hold: use link='log'"
    )


def exact(design: Design, family: Family, llf: float, loglik: float) -> dict[str, object]:
    """The note of a fit that leaves no residual; loglik : at dispersion 1."""
    if not family.scale_known and design.nobs == design.mean.matrix.p:
        return {"note": f"as many coefficients as rows ({design.n}): the fit is exact and there are no standard errors"}
    if (family.likelihood and llf == np.inf) or (family.name == "gaussian" and loglik > -NOISE * design.totals.square):
        return {"note": "the predictors fit every row exactly: the dispersion is zero, and the likelihood and its criteria have no end"}
    return {}


def require_rows(design: Design) -> None:
    """Raises GlimmError if nothing is left to estimate from."""
    if design.mean.matrix.p == 0 and not design.mean.random:
        raise GlimmError("the model has no terms: write at least an intercept, for example 'y ~ 1'")
