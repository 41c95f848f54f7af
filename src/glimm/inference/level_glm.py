"""Covariance of the parameters of a GLM of levels: the inverse observed information M, or sandwiches M (sum U U') M of rows or clusters.

Source: MacKinnon and White (1985), J. Econometrics 29, 305-325; Freedman (2006), Am. Stat. 60, 299-302 (with maximum likelihood).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..design.clusters import row_codes
from ..design.records import Clusters
from ..errors import GlimmError, NotYetError
from ..estimators import ordinal
from ..family import Family
from ..kernels.matrix import Codes, Floats
from ..records import LevelsRecord
from .covariance import known_clusters

KINDS = ("model", "HC0", "HC1")


def check_level_vcov(family: Family, vcov: Any) -> None:
    """Raises NotYetError for a covariance of other GLM that those of levels have not."""
    if isinstance(vcov, str) and vcov not in KINDS:
        raise NotYetError(
            f"vcov={vcov!r} is not there for family {family.name!r}: use {', '.join(map(repr, KINDS))} or {{'cluster': 'column'}}"
        )
    if isinstance(vcov, Mapping) and not isinstance(vcov["cluster"], str) and len(vcov["cluster"]) > 1:
        raise NotYetError(f"vcov: clusters in two directions are not there for family {family.name!r}: name one column")


def level_covariance(record: LevelsRecord, vcov: Any) -> tuple[Floats, str]:
    """(P, P) of the working parameters, and which it is in words; raises GlimmError for one that the record cannot have."""
    if isinstance(vcov, str) and vcov == "model":
        return record.bread, "model-based, from the observed information"
    if not (isinstance(vcov, str) and vcov in KINDS) and not (isinstance(vcov, Mapping) and "cluster" in vcov):
        raise GlimmError(f"vcov={vcov!r} is not a covariance of this fit: use {', '.join(map(repr, KINDS))} or {{'cluster': 'column'}}")
    check_level_vcov(record.family, vcov)
    steps = np.concatenate([scores for _, scores in ordinal.pieces(record, independent(record, vcov))]) @ record.bread
    n, p, factor = record.design.n, len(record.vector), 1.0
    if isinstance(vcov, str):
        label, small = f"heteroscedasticity-robust ({vcov})", vcov == "HC1"
        counted = n / (n - p) if n > p else np.nan
    else:
        name, small = independent(record, vcov).name, bool(vcov.get("small", False))
        label = f"cluster-robust by {name}" + (" (small-sample factor)" if small else "")
        counted = len(steps) / (len(steps) - 1.0) * (n - 1.0) / (n - p) if n > p and len(steps) > 1 else np.nan
    if small:
        if not np.isfinite(counted):
            raise GlimmError(f"vcov: the factor for small samples does not exist for {n} rows and {p} parameters: use 'HC0' or no 'small'")
        factor = float(counted)
    return factor * np.asarray(steps.T @ steps), label


def independent(record: LevelsRecord, vcov: Any) -> Clusters:
    """What is independent: the clusters of a GEE, of vcov={"cluster": ...}, else the rows."""
    design = record.design
    if record.door == "gee":
        return next(iter(design.clusters.values()))
    if isinstance(vcov, Mapping) and "cluster" in vcov:
        given = vcov["cluster"]
        return known_clusters(design, given if isinstance(given, str) else given[0])
    return Clusters("row", design.rows, np.arange(design.n, dtype=np.int64), np.arange(design.n + 1, dtype=np.int64))


def influence(record: LevelsRecord, vcov: Any) -> tuple[Codes, Floats]:
    """(unit of each row (n,), M U of each unit (K, P)): what each adds to the error of the working parameters."""
    units = independent(record, vcov)
    scores = np.concatenate([scores for _, scores in ordinal.pieces(record, units)])
    return row_codes(units).astype(np.int32), scores @ record.bread
