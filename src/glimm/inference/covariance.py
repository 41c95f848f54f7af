"""Covariance matrices of the coefficients: model-based M phi, sandwiches M (sum U U') M, and the inverse Hessian of a mixed model.

The only place that makes them: estimators hand over bread, scores and curvature.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..design.clusters import gather
from ..design.records import Clusters
from ..errors import GlimmError, NotYetError
from ..estimators import gee as gee_estimator
from ..estimators import glm as glm_estimator
from ..kernels import Rows, inverse, working
from ..kernels.matrix import Floats, Ints
from ..records import GeeRecord, GlmRecord, MixedRecord, Record

HC = ("HC0", "HC1", "HC2", "HC3")


@dataclass(frozen=True, slots=True)
class Inference:
    """Coefficients of the mean model with their covariance.

    names : (p,) terms; params : (p,); cov : (p, p), NaN where there is none
    label : which covariance, in words; df : of the t reference, None for the normal
    """

    names: tuple[str, ...]
    params: Floats
    cov: Floats
    label: str
    df: float | None

    @property
    def bse(self) -> Floats:
        """(p,) standard errors."""
        diagonal = np.diag(self.cov)
        return np.sqrt(np.where(diagonal >= 0.0, diagonal, np.nan))


def infer(record: Record, vcov: Any) -> Inference:
    """The coefficients of a record with the covariance that `vcov` asks for.

    Raises GlimmError for a covariance that the record cannot have.
    """
    part = record.design.mean
    params = record.vector[record.blocks["mean"]]
    if isinstance(record, GlmRecord):
        cov, label = glm_covariance(record, vcov)
        df = None if record.family.scale_known else float(record.design.n - part.matrix.p)
        return Inference(part.names, params, cov, label, df)
    if isinstance(record, GeeRecord):
        cov, label = gee_covariance(record, vcov)
        return Inference(part.names, params, cov, label, None)
    if vcov != "model":
        raise NotYetError(f"vcov={vcov!r} is not there for mixed models yet: use vcov='model' (or glimm.gee for robust standard errors)")
    mean = record.blocks["mean"]
    if record.linear:
        return Inference(part.names, params, inverse(record.curvature[mean, mean]), "model-based, given the variance parameters", None)
    return Inference(part.names, params, full_covariance(record)[mean, mean], "model-based, from the full Hessian", None)


def full_covariance(record: MixedRecord) -> Floats:
    """(P, P) inverse curvature of the whole vector; zero rows for parameters at a bound, NaN if there is no curvature."""
    active = ~np.any(record.curvature != 0.0, axis=1)
    free = np.flatnonzero(~active)
    cov = np.zeros_like(record.curvature)
    if not len(free):
        return np.full_like(cov, np.nan)
    block = record.curvature[np.ix_(free, free)]
    try:
        np.linalg.cholesky(block / np.sqrt(np.outer(np.abs(np.diag(block)), np.abs(np.diag(block)))))
    except np.linalg.LinAlgError:
        return np.full_like(cov, np.nan)
    cov[np.ix_(free, free)] = inverse(block)
    return cov


def glm_covariance(record: GlmRecord, vcov: Any) -> tuple[Floats, str]:
    """Model-based, heteroscedasticity-consistent (MacKinnon and White 1985) or cluster-robust covariance of a GLM."""
    if vcov == "model":
        return record.scale * record.bread, "model-based"
    if isinstance(vcov, str) and vcov in HC:
        return _heteroscedastic(record, vcov), f"heteroscedasticity-robust ({vcov})"
    if isinstance(vcov, Mapping) and "cluster" in vcov:
        names = [vcov["cluster"]] if isinstance(vcov["cluster"], str) else list(vcov["cluster"])
        clusters = [record.design.clusters[name] for name in names]
        small = bool(vcov.get("small", False))
        return cluster_covariance(record, clusters, small), f"cluster-robust by {' and '.join(names)}" + (
            " (small-sample factor)" if small else ""
        )
    raise GlimmError(f"vcov={vcov!r} is not a covariance of a GLM: use 'model', 'HC0', 'HC1', 'HC2', 'HC3' or {{'cluster': 'column'}}")


def cluster_covariance(record: GlmRecord, clusters: Sequence[Clusters], small: bool = False) -> Floats:
    """One-way, or two-way as V_a + V_b - V_ab (Cameron, Gelbach and Miller 2011)."""
    if len(clusters) == 1:
        return _one_way(record, clusters[0], small)
    if len(clusters) == 2:
        both = [row_codes(c) for c in clusters]
        pairs, refs = np.unique(both[0] * len(clusters[1].levels) + both[1], return_inverse=True)
        order, starts = gather(refs.astype(np.int32), len(pairs), None)
        crossed = Clusters("pair", pairs, order, starts)
        return _one_way(record, clusters[0], small) + _one_way(record, clusters[1], small) - _one_way(record, crossed, small)
    raise NotYetError("clusters in more than two directions are not there yet: name one or two columns in vcov={'cluster': ...}")


def row_codes(clusters: Clusters) -> Ints:
    """(n,) the cluster of each row."""
    codes = np.empty(len(clusters.order), dtype=np.int64)
    codes[clusters.order] = np.repeat(np.arange(len(clusters.levels)), clusters.sizes)
    return codes


def _one_way(record: GlmRecord, clusters: Clusters, small: bool) -> Floats:
    meat = sum((u.T @ u for u in glm_estimator.pieces(record, clusters)), np.zeros_like(record.bread))
    n, p, k = record.design.n, len(record.bread), len(clusters.levels)
    factor = k / (k - 1.0) * (n - 1.0) / (n - p) if small else 1.0
    return np.asarray(factor * record.bread @ meat @ record.bread)


def _heteroscedastic(record: GlmRecord, kind: str) -> Floats:
    part, n = record.design.mean, record.design.n
    p = part.matrix.p
    kernels = record.family.kernel, part.link.kernel
    _, d1, w = working(*kernels, record.design.y, record.eta, record.design.size)
    named = np.zeros(p), np.ones(p)
    weights = d1**2
    if kind in ("HC2", "HC3"):
        h = Rows(part.matrix, *named).leverages(w, record.bread)
        if np.any(h > 1.0 - 1e-10):
            row = int(record.design.rows[int(np.argmax(h))])
            raise GlimmError(
                f"{kind} does not exist: row {row} (counting from 0) determines a coefficient alone (leverage 1); use HC0 or HC1"
            )
        weights = weights / (1.0 - h) ** (1 if kind == "HC2" else 2)
    meat = Rows(part.matrix, *named, size=weights).gram()
    factor = n / (n - p) if kind == "HC1" else 1.0
    return np.asarray(factor * record.bread @ meat @ record.bread)


def gee_covariance(record: GeeRecord, vcov: Any) -> tuple[Floats, str]:
    """Model-based phi M or robust M (sum U_i U_i') M (Liang and Zeger 1986, theorem 2)."""
    if vcov == "model":
        return record.scale * record.bread, "model-based (trusts the working correlation)"
    if vcov == "robust":
        name = next(iter(record.design.clusters))
        scores = (u for _, u in gee_estimator.pieces(record, name))
        meat = sum((u.T @ u for u in scores), np.zeros_like(record.bread))
        return record.bread @ meat @ record.bread, f"robust (sandwich) by {name}"
    raise NotYetError(f"vcov={vcov!r} is not there for GEE yet: use 'robust' or 'model'")
