"""Coefficients of every part of a fit with their joint covariance, T (T'HT)^-1 T' or a sandwich; means, chances of extra zeros, residuals.

E y = (1 - pi) mu, Var y = (1 - pi)(V + pi mu^2), V the family's own variance.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..design.clusters import row_codes
from ..design.coordinates import to_named
from ..design.records import Clusters
from ..errors import GlimmError, GlimmWarning, NotYetError
from ..estimators.parts import pieces, psi_of
from ..family import Family
from ..kernels import inverse_or_nan, mean
from ..kernels.matrix import Codes, Floats
from ..records import PartsRecord
from .covariance import Inference
from .distributions import distribution
from .glm_covariance import Asked, asked_of, known_clusters
from .parameters import Parameters
from .simulate import check_number, generator

RESIDUALS = ("response", "pearson")
LOGIT = 2


@dataclass(frozen=True, slots=True)
class PartsInference:
    """joint : (P, P) covariance of the working parameters; parts : by part its coefficients with their block of it."""

    joint: Floats
    parts: Mapping[str, Inference]


def check_vcov(vcov: Any) -> Asked:
    """What vcov= asks for; raises NotYetError for a covariance of a GLM that fits with zero= or dispersion= do not have."""
    asked = asked_of(vcov)
    if asked.kind not in ("model", "HC0", "cluster"):
        use = "use 'model', 'HC0' or {'cluster': 'column'}"
        raise NotYetError(f"vcov={asked.kind!r} is not there with zero= or dispersion=: {use}")
    if asked.small:
        raise NotYetError("vcov: 'small' is not there with zero= or dispersion=: leave it out")
    if len(asked.clusters) > 1:
        raise NotYetError("vcov: with zero= or dispersion= standard errors are clustered in one direction: name one column")
    if asked.df not in ("", "normal"):
        raise NotYetError("vcov: 'df' is not there with zero= or dispersion=, whose reference is the normal: leave it out")
    return asked


def joint_covariance(record: PartsRecord, vcov: Any) -> tuple[Floats, str]:
    """(P, P) covariance of the working parameters, and what it is called.

    Directions in which the likelihood has no end are left out. Source: White (1982), Econometrica 50, 1-25 (the sandwich).
    """
    t = record.told
    model = t @ inverse_or_nan(t.T @ record.curvature @ t) @ t.T
    if check_vcov(vcov).kind == "model":
        return model, "model-based (observed information)"
    clusters, label = independent(record, vcov)
    each = pieces(record, clusters) @ model
    return each.T @ each, label


def independent(record: PartsRecord, vcov: Any) -> tuple[Clusters, str]:
    """The clusters of a robust covariance, else single rows, and what it is called."""
    for name in check_vcov(vcov).clusters:  # one at most
        return known_clusters(record.design, name), f"cluster-robust by {name}"
    n = record.design.n
    rows = Clusters("row", record.design.rows, np.arange(n, dtype=np.int64), np.arange(n + 1, dtype=np.int64))
    return rows, "heteroscedasticity-robust (HC0)"


def influence(record: PartsRecord, vcov: Any) -> tuple[Codes, Floats]:
    """(cluster of each row (n,), (K, P) what each cluster adds to the error of the working parameters)."""
    clusters, _ = independent(record, vcov)
    return row_codes(clusters).astype(np.int32), pieces(record, clusters) @ joint_covariance(record, "model")[0]


def infer_parts(record: PartsRecord, vcov: Any) -> PartsInference:
    """The coefficients of every part with the covariance that vcov asks for; those without an end have no standard error."""
    joint, label = joint_covariance(record, vcov)
    lost: Mapping[str, tuple[str, ...]] = (record.solution.evidence or {}).get("infinite", {})
    out = {}
    for name, part in record.design.parts.items():
        at = record.blocks[name]
        work, a = joint[at, at], to_named(part)
        cov = a @ work @ a.T
        gone = np.isin(part.names, lost.get(name, ()))
        cov[gone, :] = cov[:, gone] = np.nan
        out[name] = Inference(part.names, record.vector[at], cov, work, label, None, vcov)
    return PartsInference(joint, out)


def family_of_parts(record: PartsRecord, joint: Floats) -> Parameters | None:
    """The family's own parameter where it is one number that was estimated."""
    if "family" not in record.blocks:
        return None
    at = record.blocks["family"]
    values, slopes = record.family.natural(record.vector[at])
    if "family" in (record.solution.evidence or {}).get("infinite", {}):
        return Parameters(record.family.estimated, values, np.full(1, np.nan))
    return Parameters(record.family.estimated, values, np.sqrt(np.maximum(np.diag(joint[at, at]), 0.0)) * np.abs(slopes))


def natural(family: Family, psi: Floats | None) -> dict[str, Any]:
    """The family's own parameter of each row by the name that its distribution has for it."""
    if psi is None:
        return {}
    if family.name in ("gaussian", "gamma"):
        return {"phi": np.exp((2.0 if family.name == "gaussian" else 1.0) * psi)}
    return {family.parameters[0]: np.exp(psi)}


def extra_zeros(record: PartsRecord) -> Floats:
    """(n,) pi, the probability of an extra zero; 0 without a zero part."""
    return mean(LOGIT, record.eta["zero"])[0] if "zero" in record.eta else np.zeros(record.design.n)


def own_means(record: PartsRecord) -> Floats:
    """(n,) mu, the family's own mean."""
    return mean(record.design.mean.link.kernel, record.eta["mean"])[0]


def fitted_parts(record: PartsRecord) -> Floats:
    """(n,) E y = (1 - pi) mu."""
    return (1.0 - extra_zeros(record)) * own_means(record)


def variance_parts(record: PartsRecord) -> Floats:
    """(n,) Var y of a response with weight 1."""
    mu, pi = own_means(record), extra_zeros(record)
    own = distribution(record.family, "resid").variance(mu, natural(record.family, psi_of(record)))
    return np.asarray((1.0 - pi) * (own + pi * mu**2))


def residuals_of_parts(record: PartsRecord, kind: str) -> Floats:
    """(n,) "response", y - E y, or "pearson", (y - E y) sqrt(weight / Var y)."""
    if kind in ("deviance", "working"):
        raise NotYetError(f"resid: kind {kind!r} is not there with zero= or dispersion=: use 'pearson' or 'response'")
    if kind not in RESIDUALS:
        raise GlimmError(f"resid: kind must be one of {', '.join(RESIDUALS)}, not {kind!r}")
    left = record.design.y - fitted_parts(record)
    if kind == "response":
        return left
    v = variance_parts(record) / (1.0 if record.design.size is None else record.design.size)
    return np.asarray(left / np.sqrt(np.where(v > 0.0, v, np.inf)))


def simulate_parts(record: PartsRecord, n: int, seed: Any) -> Floats:
    """(rows used, n) responses, one simulation a column; weights as in `simulate`."""
    check_number(n)
    rng, design = generator(seed), record.design
    family, values = distribution(record.family, "simulate"), natural(record.family, psi_of(record))
    for name, value in values.items():
        if not (np.isfinite(value) & (value > 0.0)).all():
            raise GlimmError(f"simulate: {name} of the fit is zero or infinite in some rows: read fit.record.solution")
    if design.weights is not None and not family.weighted:
        warnings.warn(
            f"simulate: weights multiply the log-likelihood of family {record.family.name!r} but change no response, so they are left out",
            GlimmWarning,
            stacklevel=3,
        )
    weights: Any = 1.0 if design.weights is None or not family.weighted else design.weights
    mu = np.broadcast_to(own_means(record), (int(n), design.n))
    if not np.all(family.possible(mu)):
        raise GlimmError(f"simulate: a fitted mean is impossible for family {record.family.name!r}: refit with another link")
    y = family.draw(rng, mu, values, weights, 1.0)
    if "zero" in record.eta:
        y = np.where(rng.random(y.shape) < extra_zeros(record), 0.0, y)
    return np.asarray(y.T)
