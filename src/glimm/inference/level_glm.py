"""Covariance of the parameters of a GLM of levels: the inverse observed information M, or sandwiches M (sum U U') M of rows or clusters.

HC1: n / (n - P); a frequency weight w stands for w rows, U U' / w. Corrections for few clusters and the jackknife are those of the GEE
under independence, whose bread is of the expected information.
Source: MacKinnon and White (1985), J. Econometrics 29, 305-325; Freedman (2006), Am. Stat. 60, 299-302 (with maximum likelihood).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ..design.clusters import row_codes
from ..design.records import Clusters, Design, Spec
from ..design.weights import WeightsKind
from ..errors import GlimmError, NotYetError
from ..estimators import ordinal
from ..estimators.level_likelihood import LevelLikelihood
from ..estimators.levels import layout_of
from ..family import Family
from ..kernels import inverse_or_nan
from ..kernels.matrix import Codes, Floats
from ..records import LevelsRecord, Scale
from .glm_covariance import CORRECTIONS, EACH_ROW, FACTORS, JACKKNIVES, Asked, Found, asked_of, known_clusters
from .small_sample import errors_of

KINDS = ("model", "HC0", "HC1", *JACKKNIVES, "cluster")


def check_level_call(spec: Spec, scale: Scale, vcov: Any) -> None:
    """Raises NotYetError for what a GLM of levels has not, of what other GLM have."""
    check_level_vcov(spec.family, asked_of(vcov), spec.weights_kind)
    family = spec.family.name
    if spec.weights_kind == "sampling":
        raise NotYetError(f"glimm.sampling(...) is not there for family {family!r}: use precision weights, or glimm.frequency(...)")
    if spec.zero is not None or spec.dispersion is not None:
        raise NotYetError(
            f"zero= and dispersion= are not there for family {family!r}, whose response is one of several levels: leave them out"
        )
    if scale.kind != "default":
        raise NotYetError(f"scale= is not there for family {family!r}, whose dispersion is 1: leave it out")


def check_level_vcov(of: Family, asked: Asked, weights_kind: WeightsKind) -> None:
    """Raises NotYetError for a covariance that a GLM of levels has not."""
    family = of.name
    if asked.kind not in KINDS:
        raise NotYetError(
            f"vcov={asked.kind!r} is not there for family {family!r}: use 'model', 'HC0', 'HC1', 'jackknife' or {{'cluster': 'column'}}"
        )
    if len(asked.clusters) > 1:
        raise NotYetError(f"vcov: clusters in two directions are not there for family {family!r}: name one column")
    if weights_kind == "frequency" and asked.kind in JACKKNIVES:
        raise NotYetError(
            f"vcov={asked.kind!r} is not there for family {family!r} with frequency weights, whose rows stand for several: use 'HC1'"
        )


def level_covariance(record: LevelsRecord, vcov: Any) -> Found:
    """(P, P) of the working parameters, and which it is in words; raises GlimmError for one that the record cannot have."""
    asked, design = asked_of(vcov), record.design
    check_level_vcov(record.family, asked, design.weights_kind)
    if asked.kind == "model":
        found = Found(record.bread, "model-based, from the observed information", None)
    elif asked.kind in JACKKNIVES or asked.small in CORRECTIONS:
        found = _of_gee(record, _units(design, asked), asked.kind if asked.kind in JACKKNIVES else asked.small)
    else:
        found = _sandwich(record, asked)
    return found if asked.df == "" else found._replace(df=_degrees(record, asked), degrees=None)


def _sandwich(record: LevelsRecord, asked: Asked) -> Found:
    design, units = record.design, _units(record.design, asked)
    steps = _influence(record, units)
    factor = _factor(asked, design.nobs, len(record.vector), len(steps))
    if asked.kind == "cluster":
        said = {"": "", "CR1S": " (small-sample factor)"}.get(asked.small, f" ({asked.small}, factor {FACTORS.get(asked.small, '')})")
        label = f"cluster-robust by {units.name}{said}"
    else:
        label = f"heteroscedasticity-robust ({asked.kind})"
        if design.counted:
            assert design.weights is not None
            steps = steps / np.sqrt(design.weights)[:, None]
    return Found(factor * np.asarray(steps.T @ steps), label, None)


def _factor(asked: Asked, n: int, p: int, k: int) -> float:
    """The small-sample factor."""
    kind = asked.small or asked.kind
    if (kind in ("HC1", "CR1S") and n <= p) or (kind == "CR1p" and k <= p) or (asked.small and k < 2):
        what = f"{n} rows" if kind in ("HC1", "CR1S") else f"{k} clusters"
        raise GlimmError(f"vcov: the factor of {kind} does not exist for {what} and {p} parameters: use 'HC0', or leave 'small' out")
    if kind == "HC1":
        return n / (n - p)
    return {"CR1": k / (k - 1.0), "CR1S": k / (k - 1.0) * (n - 1.0) / (n - p), "CR1p": k / (k - p)}[kind] if asked.small else 1.0


def _of_gee(record: LevelsRecord, clusters: Clusters, kind: str) -> Found:
    """A correction for few clusters, or a jackknife: the GLM is the GEE of these clusters under independence."""
    layout = layout_of(record.design, record.family.support == "ordered")
    h = LevelLikelihood(record.design, layout).at(layout.from_named() @ record.vector, expected=True).information
    gee = replace(record, door="gee", bread=inverse_or_nan(h), design=replace(record.design, clusters={clusters.name: clusters}))
    found = errors_of(gee, kind)
    label = found.label.replace("robust", "cluster-robust", 1)
    if clusters.name == EACH_ROW:
        label = "robust (one-step jackknife)" if kind == "jackknife" else "jackknife, refitted without each row"
    return Found(found.work, label, found.df, found.degrees, found.notes)


def _degrees(record: LevelsRecord, asked: Asked) -> float | None:
    """The degrees of freedom by name."""
    if not isinstance(asked.df, str):
        return asked.df
    if asked.df == "normal":
        return None
    p = len(record.vector)
    left = record.design.nobs - p
    if asked.df != "n_minus_p":
        left = len(known_clusters(record.design, asked.clusters[0]).levels) - (1 if asked.df == "k_minus_1" else p)
    if left <= 0:
        raise GlimmError(f"vcov: 'df': {asked.df!r} leaves {left} degrees of freedom: use 'normal', or fewer predictors")
    return float(left)


def _units(design: Design, asked: Asked) -> Clusters:
    """The clusters that are named, else the rows."""
    if asked.clusters:
        return known_clusters(design, asked.clusters[0])
    rows = np.arange(design.n, dtype=np.int64)
    return Clusters(EACH_ROW, design.rows, rows, np.arange(design.n + 1, dtype=np.int64))


def _influence(record: LevelsRecord, units: Clusters) -> Floats:
    """(K, P) M U of each unit."""
    return np.concatenate([scores for _, scores in ordinal.pieces(record, units)]) @ record.bread


def influence(record: LevelsRecord, vcov: Any) -> tuple[Codes, Floats]:
    """(unit of each row (n,), M U of each unit (K, P)): what clusters, or the rows of a GLM, add to the error of the working parameters."""
    gee = record.door == "gee"
    units = next(iter(record.design.clusters.values())) if gee else _units(record.design, asked_of(vcov))
    return row_codes(units).astype(np.int32), _influence(record, units)
