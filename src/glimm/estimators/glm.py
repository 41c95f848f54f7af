"""GLM: maximum likelihood by Fisher scoring, l(beta) = sum size_i l(y_i, offset_i + x_i'beta).

A gaussian identity model with ill-conditioned columns is refined with residuals in doubled precision.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..design.coordinates import to_named
from ..design.records import Clusters, Design
from ..errors import GlimmError
from ..family import Family
from ..kernels import Rows, constant, inverse, inverse_or_nan, mean, positive_definite, working
from ..kernels.matrix import Floats
from ..records import GlmRecord, Solution, SolutionCode
from ..version import VERSION
from .control import Control
from .irls import Scoring, mean_rows, score_iterations, start
from .residuals import pearson_residuals, row_deviances
from .separation import bounded, rows_at_bound, separated, separated_rows

ILL_CONDITIONED = 1e-3


def fit_glm(design: Design, family: Family, control: Control) -> GlmRecord:
    """Fit a GLM.

    Returns the record; raises GlimmError if no starting values are inside the family's range.
    Source: McCullagh and Nelder (1989), Generalized Linear Models, section 2.5.
    """
    part = design.mean
    rows = mean_rows(design, control.n_threads)
    scoring = score_iterations(rows, family, part.link, start(design, family, part.link, control, rows), control)
    a = to_named(part)
    beta, bread, eta = a @ scoring.beta, inverse_or_nan(scoring.last.information), rows.eta(scoring.beta)
    if family.name == "gaussian" and part.link.name == "identity" and _ill_conditioned(scoring.last.information):
        beta, bread, eta = _refine(design, rows, a, scoring)
    mu = mean(part.link.kernel, eta)[0]
    deviance = float(row_deviances(design, family, mu).sum())
    psi = 0.0
    if family.scale_known:
        scale = 1.0
    else:
        chi2 = float(np.sum(pearson_residuals(design, family, mu) ** 2))
        df = design.n - part.matrix.p
        scale = chi2 / df if df > 0 else np.nan
        psi = 0.5 * np.log(deviance / design.n) if deviance > 0.0 else -np.inf
    llf = _loglik(design, family, scoring, deviance, psi)
    return GlmRecord(
        design=design,
        family=family,
        vector=beta,
        blocks={"mean": slice(0, part.matrix.p)},
        bread=bread,
        eta=eta,
        llf=llf,
        deviance=deviance,
        scale=scale,
        solution=_solution(scoring, design, family, mu),
        version=VERSION,
    )


def row_terms(record: GlmRecord) -> tuple[Floats, Floats]:
    """(d1, w), each (n,), at dispersion 1: x_i d1_i is a row's score, x_i x_i' w_i its information."""
    part = record.design.mean
    _, d1, w = working(record.family.kernel, part.link.kernel, record.design.y, record.eta, record.design.size)
    return d1, w


def pieces(record: GlmRecord, clusters: Clusters, threads: int = 1) -> Iterator[tuple[Floats | None, Floats]]:
    """Blocks of per-cluster (curvature, here None, and score (K, p)) on the working columns, at dispersion 1."""
    part = record.design.mean
    rows = Rows(part.matrix, part.center, part.scale, order=clusters.order, threads=threads)
    yield None, rows.cluster_scores(row_terms(record)[0], clusters.starts)


def _loglik(design: Design, family: Family, scoring: Scoring, deviance: float, psi: float) -> float:
    """The full log-likelihood, at the maximum-likelihood dispersion where there is one."""
    free = constant(family.kernel, design.y, design.trials, design.weights, psi)
    if family.scale_known:
        return scoring.last.loglik + free
    return free - 0.5 * design.n if np.isfinite(psi) else np.inf


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


def _solution(scoring: Scoring, design: Design, family: Family, mu: Floats) -> Solution:
    code: SolutionCode = "converged" if scoring.converged else "not_converged"
    message = f"{'converged' if scoring.converged else 'no convergence'} in {scoring.passes} passes"
    link = design.mean.link
    drifting = 0
    if not bounded(family, link):
        drifting = separated_rows(design, family, mu, scoring.last.information, scoring.last.score)
    elif not scoring.converged and rows_at_bound(family, mu):
        message = f"the fit ends at the edge of what link {link.name!r} allows: use link={family.default_link!r}"
    if drifting:
        code, message = "separated", separated(family, drifting, design.n)
    evidence: dict[str, int | str] = {"rows": drifting} if drifting else {}
    if not family.scale_known and design.n == design.mean.matrix.p:
        evidence["note"] = f"as many coefficients as rows ({design.n}): the fit is exact and there are no standard errors"
    return Solution(code, message, scoring.passes, 2.0 * scoring.decrement, scoring.last.score, evidence=evidence)


def require_rows(design: Design) -> None:
    """Raises GlimmError if nothing is left to estimate from."""
    if design.mean.matrix.p == 0 and not design.mean.random:
        raise GlimmError("the model has no terms: write at least an intercept, for example 'y ~ 1'")
