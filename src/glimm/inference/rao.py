"""Rao's score tests of a GLM: S'M L'(L V L')^-1 L M S at the restricted estimates, M the inverse expected information there.

V = phi M, phi the dispersion of the whole fit (as R's anova(test="Rao")), or M (sum u u') M under a robust vcov. Only the restricted
model is fitted. Source: Rao (1948), Proc. Camb. Phil. Soc. 44, 50-57; Boos (1992), Am. Stat. 46, 327-333.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..design.coordinates import from_named, to_named
from ..design.stream import need_rows
from ..errors import GlimmError, NotYetError
from ..estimators.constrained import Point, Restricted, orthonormal, restricted
from ..estimators.restricted import null_space
from ..kernels import Rows, inverse_or_nan, working
from ..kernels.matrix import Floats
from ..records import GlmRecord
from .glm_covariance import asked_of, known_clusters
from .hypotheses import Hypothesis, HypothesisTest, finished, quadratic_form, without
from .reference import need_likelihood, reference
from .score_tests import in_terms, nested
from .term_spaces import Step

RULE = "no score test"


@dataclass(frozen=True, slots=True)
class Within:
    """A restricted model base + small c inside base + large c, on working coefficients; text : the hypothesis in words."""

    base: Floats
    small: Floats
    large: Floats
    text: tuple[str, ...] = ()


def score_step(problem: Restricted, step: Step, vcov: Any) -> HypothesisTest:
    """The test of one term."""
    if step.df == 0:
        return without("score", reference(problem.record).df, (), "")
    return _tested(problem, Within(np.zeros(len(step.small)), step.small, step.large), vcov)


def score_of_hypothesis(record: GlmRecord, hypothesis: Hypothesis, vcov: Any) -> HypothesisTest:
    """The test of L b = c."""
    need_rows(record.design)
    need_likelihood(record, "score_test", "wald_test")
    left = hypothesis.matrix @ to_named(record.design.mean)
    base = np.linalg.lstsq(left, hypothesis.values, rcond=None)[0]
    return _tested(restricted(record), Within(np.asarray(base), null_space(left), np.eye(left.shape[1]), hypothesis.text), vcov)


def compare_score_of_glm(large: GlmRecord, small: GlmRecord, vcov: Any) -> HypothesisTest:
    """The test of a small fit in a large one, at the small fit's estimates; raises GlimmError as `nested` does."""
    need_likelihood(large, "compare_score_test", "compare_wald_test")
    basis, _ = nested(large, small, "compare_score_test")
    problem = restricted(large)
    work = basis @ (from_named(small.design.mean) @ small.vector[small.blocks["mean"]])
    psi = small.vector[small.blocks["family"]] if problem.estimate().psi.size else np.zeros(0)
    point = problem.at(work, psi, small.solution.code in ("converged", "boundary"))
    return _at(problem, point, Within(work, orthonormal(basis), np.eye(len(work)), in_terms(large, small)), vcov)


def _tested(problem: Restricted, within: Within, vcov: Any) -> HypothesisTest:
    try:
        point = problem.fit(within.base, within.small, problem.estimate())
    except GlimmError as error:
        return without("score", reference(problem.record).df, within.text, f"{RULE}: the restricted model has no fit ({error})")
    return _at(problem, point, within, vcov)


def _at(problem: Restricted, point: Point, within: Within, vcov: Any) -> HypothesisTest:
    """The test at restricted estimates."""
    held, large = reference(problem.record), within.large
    score, information = _expected(problem, point)
    inner = inverse_or_nan(large.T @ information @ large)
    if not np.isfinite(inner).all():
        return without("score", held.df, within.text, f"{RULE}: the information at the restricted estimates is singular")
    moved = null_space((large.T @ within.small).T).T @ inner
    meat = held.phi * information if asked_of(vcov).kind == "model" else _meat(problem, point, vcov)
    statistic, rank = quadratic_form(moved @ (large.T @ score), moved @ (large.T @ meat @ large) @ moved.T)
    note = "" if point.converged else "the restricted fit did not converge"
    return finished("score", statistic, rank, len(moved), held.df, within.text, note)


def _expected(problem: Restricted, point: Point) -> tuple[Floats, Floats]:
    """(score, information) on working coefficients; the observed one where the family's parameters are estimated together with them."""
    record = problem.record
    if not record.family.orthogonal:
        return -0.5 * point.slope, 0.5 * point.curvature
    found = problem.rows.glm(record.family.kernel, record.design.mean.link.kernel, point.beta, record.family.psi(point.psi))
    return found.score, found.information


def _meat(problem: Restricted, point: Point, vcov: Any) -> Floats:
    """(p, p) sum of squared scores of rows (HC0) or clusters at the restricted estimates."""
    record = problem.record
    asked = asked_of(vcov)
    if asked.kind not in ("HC0", "cluster") or asked.small or len(asked.clusters) > 1:
        raise NotYetError(f"a score test is not there with vcov={vcov!r}: use 'model', 'HC0' or {{'cluster': 'column'}} without 'small'")
    design, part = record.design, record.design.mean
    columns = part.matrix, part.center, part.scale
    eta = problem.rows.eta(point.beta)
    d1 = working(record.family.kernel, part.link.kernel, design.y, eta, design.size, record.family.psi(point.psi))[1]
    if asked.kind == "HC0":
        return Rows(*columns, size=d1**2 if design.weights is None or not design.counted else d1**2 / design.weights).gram()
    clusters = known_clusters(design, asked.clusters[0])
    scores = Rows(*columns, order=clusters.order).cluster_scores(d1, clusters.starts)
    return np.asarray(scores.T @ scores)
