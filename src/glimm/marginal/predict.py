"""Predictions of a fitted model: h(x'beta + offset + sum z'b) conditional on the clusters, typical (b = 0), or averaged over b (marginal).

Standard errors by the delta method; for a marginal mean of a GLMM they include the uncertainty of theta.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from ..design.records import NewRows
from ..errors import GlimmError, NotYetError
from ..inference.covariance import Inference, theta_covariance
from ..inference.random import dvariance, variance
from ..inference.wald import quantile
from ..kernels import mean
from ..kernels.matrix import Floats
from ..records import MixedRecord, Record
from .average import average

TARGETS = ("conditional", "typical", "marginal")


@dataclass(frozen=True, slots=True)
class Prediction:
    """Predicted means.

    estimate : (n,), NaN where a predictor is missing; std_error and limits (n,), if an interval was asked for
    unknown : by grouping, the rows of clusters that the fit has not seen, where there are any; unmet : the same for times under ou
    """

    estimate: Floats
    std_error: Floats | None = None
    conf_low: Floats | None = None
    conf_high: Floats | None = None
    unknown: Mapping[str, int] = field(default_factory=dict)
    unmet: Mapping[str, int] = field(default_factory=dict)


def check(record: Record, scale: str, target: str | None, interval: str | None) -> str:
    """The target to use; raises GlimmError for what cannot be asked of this record."""
    if scale not in ("response", "link"):
        raise GlimmError(f"predict: scale must be 'response' or 'link', not {scale!r}")
    mixed = isinstance(record, MixedRecord)
    target = target or ("conditional" if mixed else "marginal")
    if target not in TARGETS:
        raise GlimmError(f"predict: target must be one of {', '.join(TARGETS)}, not {target!r}")
    if not mixed and target != "marginal":
        raise GlimmError(
            f"predict: this model has no random effects, so its only target is 'marginal', not {target!r}; glimm.glmm has the others"
        )
    if scale == "link" and target == "marginal" and mixed and record.design.mean.link.name != "identity":
        raise GlimmError("predict: a marginal mean is an average on the scale of the response: use scale='response', or target='typical'")
    if interval not in (None, "confidence", "prediction"):
        raise GlimmError(f"predict: interval must be 'confidence' or 'prediction', not {interval!r}")
    if interval == "prediction":
        raise NotYetError("predict: interval='prediction' is not in this release: use interval='confidence'")
    if interval is not None and target == "conditional":
        raise NotYetError(
            "predict: intervals of conditional predictions are not in this release: use target='typical' or target='marginal'"
        )
    return target


def predict(record: Record, inference: Inference, new: NewRows, scale: str, target: str, interval: str | None, level: float) -> Prediction:
    """Predict for rows read by design.replay; `target` comes from check()."""
    part = record.design.mean
    beta = record.vector[record.blocks["mean"]]
    eta = new.matrix.times(beta) + (0.0 if new.offset is None else new.offset)
    unknown: dict[str, int] = {}
    unmet: dict[str, int] = {}
    if isinstance(record, MixedRecord) and target != "typical":
        there = [~np.isnan(z).any(axis=1) for z in new.z]
        new = replace(new, complete=np.logical_and.reduce([new.complete, *there]), z=tuple(np.nan_to_num(z) for z in new.z))
    if isinstance(record, MixedRecord) and target == "conditional":
        eta = eta + random_part(record, new)
        unknown, unmet = strangers(record, new)
    sd = spread(record, new) if isinstance(record, MixedRecord) and target == "marginal" else None
    if scale == "link":
        estimate, by_eta, by_sd = eta, np.ones(len(eta)), None
    elif sd is not None:
        estimate, by_eta, by_sd = average(part.link, eta, sd)
    else:
        estimate, by_eta = mean(part.link.kernel, eta)[:2]
        by_sd = None
    estimate = np.where(new.complete, estimate, np.nan)
    if interval is None:
        return Prediction(estimate, unknown=unknown, unmet=unmet)
    jacobian = by_eta[:, None] * ((new.matrix.dense() - part.center) / part.scale)
    cov = inference.work
    if by_sd is not None and isinstance(record, MixedRecord):
        cov = theta_covariance(record)
        rest = np.zeros((len(eta), len(cov) - jacobian.shape[1]))
        rest[:, : record.blocks["theta"].stop - record.blocks["theta"].start] = by_sd[:, None] * dspread(record, new)
        jacobian = np.hstack([jacobian, rest])
    variance = np.einsum("ij,jk,ik->i", jacobian, cov, jacobian)
    se = np.where(new.complete, np.sqrt(np.maximum(variance, 0.0)), np.nan)
    half = quantile(level, inference.df) * se
    if scale == "response" and part.link.name != "identity" and by_sd is None:  # the interval of eta, carried to the mean
        half_eta = quantile(level, inference.df) * np.sqrt(np.maximum(variance, 0.0)) / np.where(by_eta == 0.0, np.inf, np.abs(by_eta))
        ends = mean(part.link.kernel, eta - half_eta)[0], mean(part.link.kernel, eta + half_eta)[0]
        low, high = (np.where(new.complete, e, np.nan) for e in ends)
        return Prediction(estimate, se, low, high, unknown, unmet)
    return Prediction(estimate, se, estimate - half, estimate + half, unknown, unmet)


def random_part(record: MixedRecord, new: NewRows) -> Floats:
    """(n,) sum over terms of z'b, zero for a term where the row's cluster or time is not known."""
    total = np.zeros(len(new.complete))
    for places, z, effects in zip(new.places, new.z, record.effects, strict=True):
        known = places >= 0
        total += np.where(known, np.einsum("ij,ij->i", z, effects[np.where(known, places, 0)]), 0.0)
    return total


def strangers(record: MixedRecord, new: NewRows) -> tuple[dict[str, int], dict[str, int]]:
    """By grouping, complete rows of clusters that the fit does not know, and of times at which it has no effect of theirs."""
    unknown: dict[str, int] = {}
    unmet: dict[str, int] = {}
    for term, refs, places in zip(record.design.mean.random, new.refs, new.places, strict=True):
        for found, which in ((unknown, refs < 0), (unmet, (refs >= 0) & (places < 0))):
            count = int(np.sum(which & new.complete))
            if count:
                found[term.group] = max(count, found.get(term.group, 0))
    return unknown, unmet


def spread(record: MixedRecord, new: NewRows) -> Floats:
    """(n,) sd of the random part."""
    return np.sqrt(variance(record, new.z))


def dspread(record: MixedRecord, new: NewRows) -> Floats:
    """(n, size of theta) derivatives of the spread, zero where it is zero."""
    sd = spread(record, new)
    return np.asarray(0.5 * dvariance(record, new.z) / np.where(sd == 0.0, np.inf, sd)[:, None])
