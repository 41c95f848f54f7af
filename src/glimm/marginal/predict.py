"""Predictions of a fitted model: h(x'beta + offset + sum z'b) conditional on the clusters, typical (b = 0), or averaged over b (marginal).

Standard errors by the delta method; for a marginal mean of a GLMM they include the uncertainty of theta, for a mean of a known cluster
that of its effect. Intervals for new clusters and new responses are in `intervals`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from ..design.records import NewRows
from ..errors import GlimmError
from ..family import Link
from ..inference.covariance import Inference, joint_covariance
from ..inference.known_clusters import known_variance
from ..inference.random import dvariance, variance
from ..inference.wald import quantile
from ..kernels import mean
from ..kernels.matrix import Floats
from ..records import AnyRecord, LevelsRecord, MixedRecord, PartsRecord, Record
from .average import average
from .intervals import Limits, around, carried, check_cluster, check_prediction, of_clusters, of_responses

TARGETS = ("conditional", "typical", "marginal")
INTERVALS = ("confidence", "cluster", "prediction")


@dataclass(frozen=True, slots=True)
class Prediction:
    """Predicted means.

    estimate : (n,), NaN where a predictor is missing; std_error and limits (n,), if an interval was asked for
    unknown : by grouping, the rows of clusters that the fit has not seen, where there are any; unmet : the same for times under ou
    untold : complete rows whose mean is not determined, because a column was left out for rank
    """

    estimate: Floats
    std_error: Floats | None = None
    conf_low: Floats | None = None
    conf_high: Floats | None = None
    unknown: Mapping[str, int] = field(default_factory=dict)
    unmet: Mapping[str, int] = field(default_factory=dict)
    untold: int = 0


def check(record: AnyRecord, scale: str, target: str | None, interval: str | None, asked: str = "predict") -> str:
    """The target to use; raises GlimmError for what cannot be asked of this record; asked : the question's name."""
    if scale not in ("response", "link"):
        raise GlimmError(f"predict: scale must be 'response' or 'link', not {scale!r}")
    mixed = isinstance(record, MixedRecord)
    if target is None and mixed:
        target = "conditional" if interval != "cluster" else "marginal" if scale == "response" else "typical"
    target = target or "marginal"
    if target not in TARGETS:
        raise GlimmError(f"{asked}: target must be one of {', '.join(TARGETS)}, not {target!r}")
    if not mixed and target != "marginal":
        raise GlimmError(
            f"{asked}: this model has no random effects, so its only target is 'marginal', not {target!r}; glimm.glmm has the others"
        )
    if scale == "link" and target == "marginal" and mixed and record.design.mean.link.name != "identity":
        raise GlimmError("predict: a marginal mean is an average on the scale of the response: use scale='response', or target='typical'")
    if interval is not None and interval not in INTERVALS:
        raise GlimmError(f"predict: interval must be one of {', '.join(INTERVALS)}, not {interval!r}")
    if interval == "prediction" and not isinstance(record, LevelsRecord | PartsRecord):
        check_prediction(record, scale)
    if interval == "cluster" and not isinstance(record, LevelsRecord | PartsRecord):
        check_cluster(record, target)
    return target


def needs_effects(target: str, interval: str | None) -> bool:
    """Whether the columns of the random effects are needed."""
    return target != "typical" or interval == "cluster"


def predict(record: Record, inference: Inference, new: NewRows, scale: str, target: str, interval: str | None, level: float) -> Prediction:
    """Predict for rows read by design.replay; `target` comes from check()."""
    link = record.design.mean.link
    eta = new.matrix.times(record.vector[record.blocks["mean"]]) + (0.0 if new.offset is None else new.offset)
    unknown: dict[str, int] = {}
    unmet: dict[str, int] = {}
    sd = None
    if isinstance(record, MixedRecord) and needs_effects(target, interval):
        there = [~np.isnan(z).any(axis=1) for z in new.z]
        new = replace(new, complete=np.logical_and.reduce([new.complete, *there]), z=tuple(np.nan_to_num(z) for z in new.z))
        if target == "conditional":
            eta = eta + random_part(record, new)
            unknown, unmet = strangers(record, new)
        else:
            sd = spread(record, new)
    by_sd = None
    if scale == "link":
        estimate, by_eta = eta, np.ones(len(eta))
    elif target == "marginal" and sd is not None:
        estimate, by_eta, by_sd = average(link, eta, sd)
    else:
        estimate, by_eta = mean(link.kernel, eta)[:2]
    estimate = np.where(new.complete, estimate, np.nan)
    untold = 0 if new.told is None else int(np.sum(new.complete & ~new.told))
    if interval is None:
        return Prediction(estimate, unknown=unknown, unmet=unmet, untold=untold)
    q = quantile(level, row_df(record, inference, new))
    if interval == "confidence" and by_sd is not None and isinstance(record, MixedRecord):
        limits = of_average(record, joint_covariance(record, inference), new, (estimate, by_eta, by_sd), q)
    else:
        s2 = eta_variance(record, inference, new, target)
        v = 0.0 if sd is None else sd**2
        if interval == "cluster":
            limits = of_clusters(link, scale, eta, np.sqrt(v + s2), q)
        elif interval == "prediction":
            limits = of_responses(record, new, eta, v + s2, level, q)
        else:
            limits = of_mean(link, scale, eta, by_eta, np.sqrt(s2), q)
    se, low, high = (np.where(new.complete, a, np.nan) for a in limits)
    return Prediction(estimate, se, low, high, unknown, unmet, untold)


def row_df(record: Record, inference: Inference, new: NewRows) -> float | Floats | None:
    """Degrees of freedom of the linear predictor's estimate: of each row's own contrast, where they differ between contrasts."""
    if inference.degrees is None:
        return inference.df
    part = record.design.mean
    return inference.df_of((new.matrix.dense() - part.center) / part.scale)


def eta_variance(record: Record, inference: Inference, new: NewRows, target: str) -> Floats:
    """(n,) variance of the linear predictor's estimate; with target "conditional" the cluster's effect is part of it."""
    if isinstance(record, MixedRecord) and target == "conditional":
        found = known_variance(record, inference.work, new)
    else:
        part = record.design.mean
        x = (new.matrix.dense() - part.center) / part.scale
        found = np.einsum("ij,jk,ik->i", x, inference.work, x)
    return np.asarray(np.maximum(found, 0.0))


def of_mean(link: Link, scale: str, eta: Floats, by_eta: Floats, se: Floats, q: float | Floats) -> Limits:
    """The interval of eta, carried to the mean."""
    if scale == "link" or link.name == "identity":
        return Limits(se, eta - q * se, eta + q * se)
    with np.errstate(over="ignore"):  # of a mean without end
        return Limits(np.abs(by_eta) * se, *carried(link, eta, q * se))


def of_average(record: MixedRecord, cov: Floats, new: NewRows, found: tuple[Floats, Floats, Floats], q: float | Floats) -> Limits:
    """The interval of g(mean over clusters), carried back, by its derivatives in beta and in theta.

    cov : (P, P) of (working beta, theta, psi); found : the mean, its derivatives in eta and in the spread
    """
    part, (estimate, by_eta, by_sd) = record.design.mean, found
    x = (new.matrix.dense() - part.center) / part.scale
    rest = np.zeros((len(estimate), len(cov) - x.shape[1]))
    with np.errstate(invalid="ignore", over="ignore"):  # a derivative that does not exist leaves no standard error
        rest[:, : record.blocks["theta"].stop - record.blocks["theta"].start] = by_sd[:, None] * dspread(record, new)
        jacobian = np.hstack([by_eta[:, None] * x, rest])
        se = np.sqrt(np.maximum(np.einsum("ij,jk,ik->i", jacobian, cov, jacobian), 0.0))
    return Limits(se, *around(part.link, estimate, q * se))


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


def untold_words(record: AnyRecord, count: int) -> str:
    """Rows whose mean the fit does not determine."""
    names = [record.design.spec.names[j] for j in record.design.spec.aliases]
    listed = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
    rows = "1 row has" if count == 1 else f"{count} rows have"
    return (
        f"{rows} a combination of predictors that no row of the fit has ({listed} left out for rank, see fit.dropped): "
        "the data do not determine these means, and they are made as if the coefficients left out were zero"
    )


def spread(record: MixedRecord, new: NewRows) -> Floats:
    """(n,) sd of the random part."""
    return np.sqrt(variance(record, new.z))


def dspread(record: MixedRecord, new: NewRows) -> Floats:
    """(n, size of theta) derivatives of the spread, zero where it is zero."""
    sd = spread(record, new)
    return np.asarray(0.5 * dvariance(record, new.z) / np.where(sd == 0.0, np.inf, sd)[:, None])
