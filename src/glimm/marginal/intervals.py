"""Intervals for what is not yet seen: the mean of a new cluster, h(eta -+ q sqrt(v + s2)), and the response of a new row.

eta ~ N(estimate, v + s2): v is the variance of the random part, s2 that of the estimate. A gaussian response with identity link has
variance v + s2 + phi / weight; other responses are mixtures over eta.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..design.records import NewRows
from ..errors import GlimmError
from ..family import Link
from ..family.own import Functions
from ..inference.distributions import check_units, distribution, known_values
from ..kernels import link as link_eta
from ..kernels import mean
from ..kernels.matrix import Floats
from ..records import GeeRecord, MixedRecord, Record
from .mixtures import CELLS, LOST, REACH, Mixture, inside, trapezoid

ASKED = "predict: interval='prediction'"


class Limits(NamedTuple):
    """(n,) each."""

    std_error: Floats
    low: Floats
    high: Floats


def check_prediction(record: Record, scale: str) -> None:
    """Raises GlimmError where the model has no distribution of a new response, or not on this scale."""
    family = record.family
    if isinstance(record, GeeRecord):
        raise GlimmError(
            f"{ASKED} needs a distribution of responses, and a GEE states means and a working correlation only: use "
            "interval='confidence', or fit glimm.glm or glimm.glmm"
        )
    if scale == "link" and record.design.mean.link.name != "identity":
        raise GlimmError(f"{ASKED}: a response is not on the scale of the linear predictor: use scale='response', or interval='confidence'")
    if isinstance(family.kernel, Functions):
        raise GlimmError(
            f"{ASKED}: family {family.name!r} is your own, a log-density without a distribution function: use interval='confidence'"
            + (" or interval='cluster'" if isinstance(record, MixedRecord) else "")
        )
    distribution(family, ASKED)


def check_cluster(record: Record, target: str) -> None:
    """Raises GlimmError where there is no distribution of clusters."""
    if not isinstance(record, MixedRecord):
        raise GlimmError(
            "predict: interval='cluster' is the range of the means of clusters, and this model has no distribution of clusters: "
            "fit glimm.glmm('... + (1 | cluster)'), or use interval='confidence'"
        )
    if target == "conditional":
        raise GlimmError(
            "predict: interval='cluster' is about a new cluster: use target='marginal' or target='typical', or interval='confidence' for a "
            "cluster of the data"
        )


def carried(link: Link, eta: Floats, half: Floats) -> tuple[Floats, Floats]:
    """h(eta -+ half), the lower end first, NaN where half is; below zero a link that takes positive numbers only has its limit at zero."""
    sides = np.stack([eta - half, eta + half])
    ends = np.stack([mean(link.kernel, side)[0] for side in sides])
    beyond = np.isnan(ends) & ~np.isnan(sides)
    if beyond.any():
        ends[beyond] = 0.0 if mean(link.kernel, np.array([1e-200]))[0][0] < 1.0 else np.inf
    return ends.min(axis=0), ends.max(axis=0)


def around(link: Link, m: Floats, half: Floats) -> tuple[Floats, Floats]:
    """The interval of g(m), m -+ half to first order, carried back to where means are; m -+ half itself where g has no end."""
    eta = link_eta(link.kernel, m)
    slope = np.abs(mean(link.kernel, eta)[1])
    known = np.isfinite(eta) & (slope > 0.0)
    low, high = carried(link, np.where(known, eta, 0.0), np.divide(half, slope, out=np.zeros(len(m)), where=known))
    return np.where(known, low, m - half), np.where(known, high, m + half)


def of_clusters(link: Link, scale: str, eta: Floats, sd: Floats, q: float | Floats) -> Limits:
    """The range of the means of clusters, eta ~ N(eta, sd^2), and their standard deviation."""
    if scale == "link" or link.name == "identity":
        return Limits(sd, eta - q * sd, eta + q * sd)
    return Limits(spread_of_means(link, eta, sd), *carried(link, eta, q * sd))


def spread_of_means(link: Link, eta: Floats, sd: Floats) -> Floats:
    """(n,) sd of h(eta + sd Z): closed for a log link, else by the trapezoid rule; NaN where too many Z lead to no mean."""
    if link.name == "log":
        return np.asarray(np.exp(eta + 0.5 * sd**2) * np.sqrt(np.expm1(sd**2)))
    u, w = trapezoid(float(sd.max(initial=0.0)), REACH)
    out = np.empty(len(eta))
    rows = max(1, CELLS // len(u))
    for r in range(0, len(eta), rows):
        at = slice(r, r + rows)
        grid = eta[at, None] + sd[at, None] * u
        h = mean(link.kernel, grid.ravel())[0].reshape(grid.shape)
        kept, lost = inside(~np.isnan(h), u, w)
        h = np.nan_to_num(h)
        centre = (kept * h).sum(axis=1)
        out[at] = np.where(lost > LOST, np.nan, np.sqrt((kept * (h - centre[:, None]) ** 2).sum(axis=1)))
    return out


def of_responses(record: Record, new: NewRows, eta: Floats, variance: Floats, level: float, q: float | Floats) -> Limits:
    """The response of one more row with its linear predictor N(eta, variance); equal rows are worked out once.

    q : the quantile of the closed form
    """
    family, link = record.family, record.design.mean.link
    found, values = distribution(family, ASKED), known_values(record, ASKED)
    check_units(record.design, ASKED)
    n = len(eta)
    weights = new.weights if found.weighted and new.weights is not None else np.ones(n)
    trials = np.ones(n) if new.trials is None else new.trials
    if family.name == "gaussian" and link.name == "identity":
        sd = np.sqrt(variance + record.scale / weights)
        return Limits(sd, eta - q * sd, eta + q * sd)
    known = new.complete & np.isfinite(eta) & np.isfinite(variance)  # no standard error, no interval: NaN
    rows, back = np.unique(np.stack([eta, np.sqrt(variance), weights, trials], axis=1)[known], axis=0, return_inverse=True)
    mixture = Mixture(family, link, found, values, *(np.ascontiguousarray(column) for column in rows.T))
    m = mixture.moments()
    mixture.check(m.lost, ASKED)
    tail = 0.5 * (1.0 - level)
    out = np.full((3, n), np.nan)
    answer = np.stack([np.sqrt(m.variance + m.within), mixture.quantile(tail), mixture.quantile(1.0 - tail)])
    out[:, known] = answer[:, back.ravel()]
    return Limits(*out)
