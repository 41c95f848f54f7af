"""Too few clusters for standard errors that are sums over clusters, or too few that inform a coefficient.

Effective number for coefficient a: 1 / sum_j h_j^2, h_j = (M A_j)_aa, A_j the curvature of cluster j, M = (sum_j A_j)^-1.
Source: Carter, Schnepel and Steigerwald (2017), Rev. Econ. Stat. 99, 698-709 (an effective number of clusters).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..estimators import gee as gee_estimator
from ..estimators.glm import row_terms
from ..inference.small_sample import FEW, REMEDY
from ..kernels import positive_definite
from ..kernels.matrix import Floats
from ..records import GeeRecord, GlmRecord
from ..text import counted, figures
from .findings import Finding
from .sight import MOST_CELLS, Sight
from .simpler import ticked

EFFECTIVE = 8.0


def few(sight: Sight) -> Iterator[Finding]:
    """Few clusters, or few that count."""
    if not sight.robust or not (isinstance(sight.record, GeeRecord) or "cluster" in sight.vcov):
        return
    assert sight.clusters is not None
    fewest = min(sight.record.design.clusters.values(), key=lambda c: len(c.levels), default=sight.clusters)
    count, p = len(fewest.levels), sight.record.design.mean.matrix.p
    if sight.kind not in ("robust", "clustered") and count > p:
        return
    evidence: dict[str, object] = {"clusters": count, "coefficients": p}
    said, effective = f"{fewest.name} has {count} clusters for {counted(p, 'coefficient')}", float(count)
    if count >= FEW:
        found = weighty(sight)
        if found is None:
            return
        said, more = found
        effective = float(more["effective"])
        evidence |= more
    if count <= p:
        consequence = "With as many coefficients as clusters these errors are zero in some direction."
    elif count < FEW:
        consequence = f"With fewer than {FEW} clusters robust standard errors are too small, and p-values with them."
    else:
        consequence = "Where so few clusters count, robust standard errors are too small, and p-values with them."
    if sight.terms:
        instead = "Use the errors of the model, vcov='model'."
    elif isinstance(sight.record, GeeRecord) and count > p:
        corrected = REMEDY if count < FEW else 'vcov={"type": "fay_graubard", "df": "fay_graubard"}'
        instead = f"Use standard errors that allow for few clusters: glimm.gee(..., {corrected})."
    else:
        term = f"(1 | {ticked(fewest.name)})"
        instead = (
            f"Use a model whose standard errors do not come from sums over clusters: glimm.glmm(... + {term}), with fit.marginal_params() "
            "for averages over the population."
        )
    yield Finding(
        "few_clusters",
        "error" if count <= p else "warning",
        f"{said}, and the standard errors are sums over clusters.",
        consequence,
        f"{instead} Where a predictor differs between clusters only, no model makes up for few of them: say how many there are.",
        evidence,
        1.0 / effective,
    )


def weighty(sight: Sight) -> tuple[str, dict[str, float | str]] | None:
    """What is to be said where so few of many clusters inform a coefficient that they count as few."""
    record, clusters = sight.record, sight.clusters
    if clusters is None or len(record.design.clusters) != 1 or not sight.usable:
        return None
    shares = shares_of(sight)
    if shares is None:
        return None
    effective = 1.0 / np.maximum(np.sum(shares**2, axis=0), 1e-300)
    a = int(np.argmin(effective))
    if not effective[a] < EFFECTIVE:
        return None
    j = int(np.argmax(shares[:, a]))
    name = record.design.mean.names[a]
    said = (
        f"{len(clusters.levels)} clusters of {clusters.name} count as {figures(float(effective[a]), 2)} for {name}: cluster "
        f"{clusters.levels[j]}, with {int(clusters.sizes[j])} of {record.design.n} rows, gives {100.0 * shares[j, a]:.0f} % of what is "
        "known of it"
    )
    return said, {"effective": float(effective[a]), "term": name, "largest_share": float(shares[j, a])}


def shares_of(sight: Sight) -> Floats | None:
    """(K, p) share of each cluster in the information on each coefficient; None where that is not at hand or dear."""
    record, clusters = sight.record, sight.clusters
    assert clusters is not None
    part = record.design.mean
    if isinstance(record, GlmRecord) and record.design.n * part.matrix.p <= MOST_CELLS // 4:
        x, w = (part.matrix.dense() - part.center) / part.scale, row_terms(record)[1]
        gram = (x * w[:, None]).T @ x
        if not positive_definite(gram):
            return None
        rows = (x @ np.linalg.inv(gram)) * x * w[:, None]
        return np.stack([np.bincount(sight.codes, column, minlength=len(clusters.levels)) for column in rows.T], axis=1)
    if isinstance(record, GeeRecord) and len(clusters.levels) * part.matrix.p**2 <= MOST_CELLS // 4:
        curvature = np.concatenate([a for a, _ in gee_estimator.pieces(record, clusters.name, True) if a is not None])
        total = curvature.sum(axis=0)
        return np.einsum("ab,jba->ja", np.linalg.inv(total), curvature) if positive_definite(total) else None
    return None
