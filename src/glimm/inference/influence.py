"""Influence of each independent cluster on the estimates: IF_c = M U_c (GLM, GEE), H^-1 s_c (mixed models).

Their squares sum to the sandwich.
Source: Hampel (1974), J. Am. Stat. Assoc. 69, 383-393; Stefanski and Boos (2002), Am. Stat. 56, 29-38.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..design.clusters import gather, row_codes
from ..design.records import Clusters
from ..errors import GlimmError, NotYetError
from ..estimators import gee as gee_estimator
from ..estimators import glm as glm_estimator
from ..estimators.scores import outermost
from ..kernels.matrix import Codes, Floats
from ..records import GeeRecord, GlmRecord, MixedRecord, Record
from .covariance import Inference, mixed_influence


def independent_clusters(record: Record, vcov: Any) -> Clusters:
    """What is independent: the clusters of a GEE, of vcov={"cluster": ...}, a mixed model's outermost grouping, else the rows of a GLM."""
    design = record.design
    if isinstance(record, GeeRecord):
        return next(iter(design.clusters.values()))
    if isinstance(vcov, Mapping) and "cluster" in vcov:
        names = [vcov["cluster"]] if isinstance(vcov["cluster"], str) else list(vcov["cluster"])
        if len(names) > 1:
            raise NotYetError("clusters in two directions cannot be sampled as one: fit with vcov={'cluster': 'column'}, or errors='delta'")
        return design.clusters[names[0]]
    if isinstance(record, GlmRecord):
        rows = np.arange(design.n, dtype=np.int64)
        return Clusters("row", design.rows, rows, np.arange(design.n + 1, dtype=np.int64))
    name = outermost(design)
    if name is None:
        groups = ", ".join(dict.fromkeys(term.group for term in design.mean.random))
        raise GlimmError(f"the groupings {groups} cross, so no clusters of rows are independent to be sampled: use errors='delta'")
    term = next(t for t in design.mean.random if t.group == name)
    return Clusters(name, term.levels, *gather(term.refs, len(term.levels)))


def row_influence(record: Record, inference: Inference) -> tuple[Codes, Floats]:
    """(cluster of each row (n,), influence of each cluster on (working beta, theta, psi) (K, P))."""
    clusters = independent_clusters(record, inference.vcov)
    codes = row_codes(clusters).astype(np.int32)
    if isinstance(record, MixedRecord):
        return codes, mixed_influence(record, clusters)
    if isinstance(record, GeeRecord):
        found = gee_estimator.pieces(record, clusters.name)
    elif record.family.orthogonal:
        found = glm_estimator.pieces(record, clusters)
    else:
        raise NotYetError(
            f"errors='sampled' is not there for family {record.family.name!r}, whose coefficients and parameters are estimated together: "
            "use errors='bootstrap'"
        )
    return codes, np.concatenate([scores for _, scores in found]) @ record.bread
