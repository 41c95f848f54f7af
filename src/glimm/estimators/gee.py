"""GEE: solve sum X~_i'R_i(alpha)^-1 e_i = 0, alternating a Fisher step for beta with moment estimates of phi and alpha.

Source: Liang and Zeger (1986), Biometrika 73, 13-22, sections 3.1 to 3.3.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..covariance.working import Moments, Residuals, Working, working
from ..design.coordinates import to_named
from ..design.records import Clusters, Design
from ..errors import GlimmError, NotYetError
from ..family import Family
from ..kernels import GeePass, Rows, inverse, mean, solve
from ..kernels.matrix import Floats
from ..records import GeeRecord, Solution, SolutionCode
from ..version import VERSION
from .control import Control
from .irls import mean_rows, rows_at_bound, score_iterations, separated, start

TOLERANCE = 1e-11
CONVERGED = 1e-12
EXACT = 1e-24
PASSES_AT_ZERO = 2


def fit_gee(design: Design, family: Family, groups: str, corr: str, moments: str, control: Control) -> GeeRecord:
    """Fit a GEE.

    groups : key of design.clusters. corr : name of the working correlation. moments : "standard" or "geepack".
    Returns the record; raises GlimmError if the estimated correlation leaves its range, NotYetError for geepack's moments with weights.
    """
    part, clusters, structure = design.mean, design.clusters[groups], working(corr)
    if moments == "geepack" and design.size is not None:
        raise NotYetError(
            "moments='geepack' with weights or trials is not in this release (geepack weights its moments in its own way): use 'standard'"
        )
    natural = mean_rows(design, control.n_threads)
    scoring = score_iterations(natural, family, part.link, start(design, family, part.link, control, natural), control)
    beta = scoring.beta
    rows = _ordered(design, clusters, control.n_threads)
    time = None if clusters.time is None else clusters.time[clusters.order]
    low, high = structure.bounds(int(clusters.sizes.max()), time is None or bool(np.all(time == np.round(time))))
    alpha, passes, change = np.zeros(structure.size()), scoring.passes, np.inf
    at_bound = rows_at_bound(family, mean(part.link.kernel, natural.eta(beta))[0])
    for iteration in range(0 if at_bound else 2 * control.max_iter):
        done = _pass(rows, family, design, beta, clusters, structure, alpha, time)
        passes += 1
        if float(np.mean(done.pearson**2)) <= EXACT * float(np.mean(design.y**2)):
            raise GlimmError("the model fits every row exactly, so there are no residuals to estimate a correlation from: use glimm.glm")
        found = structure.estimate(Residuals(done.pearson, clusters.starts, time, rows.p, rows.threads), moments)
        step = solve(done.bread, done.score)
        beta = beta + step
        before, change = change, float(step @ done.bread @ step) / found.phi
        moved = 0.0
        if iteration >= PASSES_AT_ZERO:
            _check_range(structure, found.alpha, low, high)
            moved = float(np.abs(found.alpha - alpha).max(initial=0.0))
            alpha = found.alpha
        settled = change < TOLERANCE**2 * rows.p or (change < CONVERGED and change > 0.25 * before)  # the latter: rounding noise
        if settled and moved < TOLERANCE and iteration > PASSES_AT_ZERO:
            break
    final = _pass(rows, family, design, beta, clusters, structure, alpha, time)
    found = structure.estimate(Residuals(final.pearson, clusters.starts, time, rows.p, rows.threads), moments)
    a = to_named(part)
    eta = natural.eta(beta)
    return GeeRecord(
        design=design,
        family=family,
        vector=a @ beta,
        blocks={"mean": slice(0, rows.p)},
        bread=a @ inverse(final.bread) @ a.T,
        eta=eta,
        corr=corr,
        alpha=alpha,
        moments=moments,
        scale=found.phi,
        solution=_solution(family, passes + 1, change, final, found, at_bound),
        version=VERSION,
    )


def pieces(record: GeeRecord, groups: str, curvatures: bool = False, threads: int = 1) -> Iterator[tuple[Floats | None, Floats]]:
    """Blocks of per-cluster (curvature (K, p, p) or None, score (K, p)) on the named columns, dispersion left out."""
    design = record.design
    clusters, part = design.clusters[groups], design.mean
    rows = Rows(
        part.matrix,
        np.zeros(part.matrix.p),
        np.ones(part.matrix.p),
        design.y,
        design.size,
        part.offset,
        order=clusters.order,
        threads=threads,
    )
    time = None if clusters.time is None else clusters.time[clusters.order]
    alpha = float(record.alpha[0]) if len(record.alpha) else 0.0
    out = rows.gee(
        record.family.kernel,
        part.link.kernel,
        record.vector,
        clusters.starts,
        working(record.corr).kernel,
        alpha,
        time,
        scores=True,
        curvatures=curvatures,
    )
    assert out.scores is not None
    yield out.curvatures, out.scores


def _ordered(design: Design, clusters: Clusters, threads: int) -> Rows:
    part = design.mean
    return Rows(part.matrix, part.center, part.scale, design.y, design.size, part.offset, order=clusters.order, threads=threads)


def _pass(
    rows: Rows, family: Family, design: Design, beta: Floats, clusters: Clusters, structure: Working, alpha: Floats, time: Floats | None
) -> GeePass:
    out = rows.gee(
        family.kernel,
        design.mean.link.kernel,
        beta,
        clusters.starts,
        structure.kernel,
        float(alpha[0]) if len(alpha) else 0.0,
        time,
    )
    if not np.all(np.isfinite(out.score)):
        raise GlimmError(
            f"the GEE left the range of family {family.name!r} with link {design.mean.link.name!r}, where a fitted mean is impossible: "
            f"use link={family.default_link!r} or corr='independence'"
        )
    return out


def _check_range(structure: Working, alpha: Floats, low: float, high: float) -> None:
    for name, value in zip(structure.names(), alpha, strict=True):
        if not low < value < high:
            raise GlimmError(
                f"the estimated {structure.name} correlation {name} = {value:.4g} is outside ({low:.4g}, {high:.4g}), where no correlation "
                "matrix exists for the largest cluster: use corr='independence' (estimates stay consistent) or another structure"
            )


def _solution(family: Family, passes: int, change: float, final: GeePass, found: Moments, at_bound: int) -> Solution:
    code: SolutionCode = "converged"
    message = f"converged in {passes} passes" + (f"; {found.how}" if found.how else "")
    if not change < CONVERGED:
        code, message = "not_converged", f"no convergence in {passes} passes (last change {change:.1e} in squared standard errors)"
    if at_bound:
        code, message = "separated", separated(family, at_bound, len(final.pearson))
    evidence: dict[str, int | str] = {"rows": at_bound} if at_bound else {}
    if found.note:
        evidence["note"] = found.note
    return Solution(code, message, passes, change, final.score, evidence=evidence)
