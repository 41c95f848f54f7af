"""Covariance matrices of the coefficients: of a GLM and a GEE by their own files, and the inverse Hessian of a mixed model.

The only room that makes them: estimators hand over bread, scores and curvature.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..covariance.layout import dnamed_theta, slices
from ..design.coordinates import effects_to_named, to_named
from ..design.records import Clusters, Design, Part
from ..errors import GlimmError, GlimmWarning, NotYetError
from ..estimators import glm as glm_estimator
from ..estimators.glm_ending import rows_left
from ..estimators.scores import check_clusters, mixed_scores
from ..estimators.separation import limiting_over, remaining
from ..kernels import inverse_or_nan, mean
from ..kernels.matrix import Bools, Floats
from ..records import GeeRecord, GlmRecord, MixedRecord, Record
from .degrees_of_freedom import Degrees
from .glm_covariance import glm_covariance, known_clusters
from .small_sample import errors_of


@dataclass(frozen=True, slots=True)
class Inference:
    """Coefficients of the mean model with their covariance.

    names : (p,) terms; params : (p,); cov : (p, p), NaN where there is none
    work : (p, p) covariance of the working coefficients, for predictions
    label : which covariance, in words; vcov : what was asked for; notes : what is to be said below a table
    df : of the t reference, None for the normal; of every coefficient (p,) where they differ, and `degrees` has those of any contrast
    """

    names: tuple[str, ...]
    params: Floats
    cov: Floats
    work: Floats
    label: str
    df: float | Floats | None
    vcov: Any = "model"
    degrees: Degrees | None = None
    notes: tuple[str, ...] = ()

    def df_of(self, contrasts: Floats) -> float | Floats | None:
        """Of contrasts (r, p) of the working coefficients: a number for all, or (r,)."""
        return self.df if self.degrees is None else self.degrees.of(contrasts)

    @property
    def common_df(self) -> float | None:
        """Of what is no single contrast of coefficients (curved functions of them, several contrasts together): K - p of a GEE."""
        if self.degrees is not None:
            return self.degrees.common
        return None if self.df is None else float(self.df)

    @property
    def bse(self) -> Floats:
        """(p,) standard errors."""
        diagonal = np.diag(self.cov)
        noise = 1e-14 * np.abs(diagonal[np.isfinite(diagonal)]).max(initial=0.0)
        return np.sqrt(np.where(diagonal >= -noise, np.maximum(diagonal, 0.0), np.nan))

    @property
    def statistic(self) -> Floats:
        """(p,) coefficients divided by their standard errors, NaN where these are zero."""
        bse = self.bse
        return np.asarray(np.divide(self.params, bse, out=np.full(len(bse), np.nan), where=bse > 0.0))


def infer(record: Record, vcov: Any) -> Inference:
    """The coefficients of a record with the covariance that `vcov` asks for.

    Raises GlimmError for a covariance that the record cannot have.
    """
    part = record.design.mean
    params = record.vector[record.blocks["mean"]]
    df: float | Floats | None = None
    if isinstance(record, GeeRecord):
        found = errors_of(record, vcov)
        df = found.df if found.degrees is None else found.degrees.of(to_named(part))
        return Inference(part.names, params, named(part, found.work), found.work, found.label, df, vcov, found.degrees, found.notes)
    if isinstance(record, GlmRecord):
        own = glm_covariance(record, vcov)
        df = own.df if own.degrees is None else own.degrees.of(to_named(part))
        cov = _separated(record, vcov) if record.solution.code == "separated" else named(part, own.work)
        return Inference(part.names, params, cov, own.work, own.label, df, vcov, own.degrees, own.notes)
    work, label = mixed_covariance(record, vcov)
    cov = named(part, work)
    if record.solution.code == "separated":
        lost = np.isin(part.names, (record.solution.evidence or {}).get("infinite", part.names))
        cov[lost, :] = cov[:, lost] = np.nan
    return Inference(part.names, params, cov, work, label, df, vcov)


def _separated(record: GlmRecord, vcov: Any) -> Floats:
    """(p, p) covariance from the rows that separation leaves, NaN for the coefficients that have no estimate."""
    part = record.design.mean
    etas, evidence = glm_estimator.etas_of(record), record.solution.evidence or {}

    def left() -> Iterator[tuple[Design, Bools, Floats]]:
        for design, eta, kept in rows_left(etas(), evidence):
            yield design, kept, glm_estimator.part_terms(record, design, eta)[1]

    def fitted() -> Iterator[tuple[Design, Floats, Floats]]:
        for design, eta in etas():
            yield design, mean(part.link.kernel, eta)[0], glm_estimator.part_terms(record, design, eta)[1]

    bread, infinite = remaining(left, part) if "positions" in evidence else limiting_over(fitted, record.family, part)
    cov = named(part, glm_covariance(replace(record, bread=bread), vcov).work)
    lost = np.isin(part.names, infinite)
    cov[lost, :] = cov[:, lost] = np.nan
    return cov


def named(part: Part, work: Floats) -> Floats:
    """A V A': the covariance of the coefficients as named from that of the working ones; further parameters stay as they are."""
    a = np.eye(len(work))
    p = part.matrix.p
    a[:p, :p] = to_named(part)
    return np.asarray(a @ work @ a.T)


def mixed_covariance(record: MixedRecord, vcov: Any) -> tuple[Floats, str]:
    """(X'V^-1X)^-1 of an LMM given theta, the inverse Hessian's block of a GLMM; or the sandwich by clusters, sum IF IF'."""
    mean = record.blocks["mean"]
    if vcov != "model":
        clusters = mixed_clusters(record.design, vcov)
        if_mean = mixed_influence(record, clusters)[:, mean]
        lost = np.flatnonzero(~np.isfinite(if_mean).all(axis=1))
        if len(lost) and np.isfinite(record.curvature).all():
            others = f" and of {len(lost) - 1} others" if len(lost) > 1 else ""
            warnings.warn(
                f"vcov: the likelihood of {clusters.name} {clusters.levels[lost[0]]!r} alone{others} has no slope at the estimates "
                f"(impossible means), so there are no robust standard errors: use vcov='model', or link={record.family.default_link!r}",
                GlimmWarning,
                stacklevel=2,
            )
        return if_mean.T @ if_mean, f"cluster-robust by {clusters.name}"
    if record.linear:
        return inverse_or_nan(record.curvature[mean, mean]), "model-based, given the variance parameters"
    return working_covariance(record)[mean, mean], "model-based, from the full Hessian"


def mixed_clusters(design: Design, vcov: Any) -> Clusters:
    """The independent clusters that a mixed model's robust covariance is by; raises GlimmError where they are not independent."""
    if not (isinstance(vcov, Mapping) and "cluster" in vcov):
        raise GlimmError(f"vcov={vcov!r} is not a covariance of a mixed model: use 'model' or {{'cluster': 'column'}}")
    name = vcov["cluster"] if isinstance(vcov["cluster"], str) else list(vcov["cluster"])
    if not isinstance(name, str):
        if len(name) != 1:
            raise NotYetError("vcov: a mixed model's robust errors are by clusters in one direction: name one column")
        name = name[0]
    if vcov.get("small", False):
        raise NotYetError("vcov: 'small' is not there for mixed models yet: leave it out")
    clusters = known_clusters(design, name)
    check_clusters(design, clusters)
    return clusters


def mixed_influence(record: MixedRecord, clusters: Clusters) -> Floats:
    """(K, P) what each cluster adds to the error of (working beta, theta, psi): H^-1 s_c; beta alone matters in an LMM, the rest is 0."""
    scores = mixed_scores(record, clusters)
    if record.linear:
        p = record.blocks["mean"].stop
        out = np.zeros((len(scores), len(record.vector)))
        out[:, :p] = scores @ inverse_or_nan(record.curvature[:p, :p])
        return out
    return np.asarray(scores @ working_covariance(record) @ theta_jacobian(record).T)


def joint_covariance(record: Record, inference: Inference) -> Floats:
    """(P, P) covariance of (working beta, theta, psi) under the errors of `inference`; beta alone for GLM and GEE, and in an LMM."""
    if not isinstance(record, MixedRecord):
        return inference.work
    if record.linear:
        p, size = record.blocks["mean"].stop, len(record.vector)
        out = np.zeros((size, size))
        out[:p, :p] = inference.work
        return out
    if inference.vcov == "model":
        return theta_covariance(record)
    influence = mixed_influence(record, mixed_clusters(record.design, inference.vcov))
    return np.asarray(influence.T @ influence)


def working_covariance(record: MixedRecord) -> Floats:
    """(P, P) inverse curvature of (working beta, work_theta, psi), NaN if there is no curvature."""
    return inverse_or_nan(record.curvature)


def theta_covariance(record: MixedRecord) -> Floats:
    """(P, P) covariance of (working beta, theta, psi), theta as named; singular where the random effects have lost rank."""
    wide = theta_jacobian(record)
    return np.asarray(wide @ working_covariance(record) @ wide.T)


def theta_jacobian(record: MixedRecord) -> Floats:
    """(P, Q) derivatives of (working beta, theta, psi) in (working beta, work_theta, psi)."""
    size, p, m = len(record.curvature), record.blocks["mean"].stop, len(record.work_theta)
    parts = [
        dnamed_theta(s, term.structure, record.work_theta[at], effects_to_named(term))
        for s, term, at in zip(record.layouts, record.design.mean.random, slices(record.layouts), strict=True)
    ]
    k = sum(len(j) for j in parts)
    wide = np.zeros((size - m + k, size))
    wide[:p, :p] = np.eye(p)
    row, column = p, p
    for j in parts:
        wide[row : row + len(j), column : column + j.shape[1]] = j
        row, column = row + len(j), column + j.shape[1]
    wide[p + k :, p + m :] = np.eye(size - p - m)
    return wide
