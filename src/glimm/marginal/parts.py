"""Means of responses with extra zeros, E y = (1 - pi) h(eta), predicted for rows and averaged over a population.

Gradients in the working parameters of all parts: dE y = (1 - pi) h'(eta) d eta - pi (1 - pi) h(eta) d zeta. Intervals of a mean are
made on the scale of the link, of a probability on that of the logit, of a dispersion on that of the log.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from ..design.parts import moved_parts
from ..design.records import NewRows
from ..design.replay import Population
from ..errors import GlimmError, NotYetError
from ..family import LINKS, Link
from ..inference.covariance import Inference
from ..inference.parts import influence as influence_of_parts
from ..inference.parts import joint_covariance
from ..inference.wald import quantile
from ..kernels import Rows, mean
from ..kernels.matrix import Floats
from ..records import PartsRecord
from .averages import Averages, Cells, Quantity, by_cell, check_finite, influence
from .intervals import around
from .population import Wish
from .predict import Prediction

SCALES = ("response", "link", "conditional", "zero", "dispersion")


class Slopes(NamedTuple):
    """A number of each row, its derivatives in the linear predictors by part, and the link on whose scale its interval is made."""

    value: Floats
    by: Mapping[str, Floats]
    link: Link


def check_parts(record: PartsRecord, scale: str, target: str | None, interval: str | None) -> None:
    """Raises GlimmError for what cannot be asked of this record."""
    if scale not in SCALES:
        raise GlimmError(f"predict: scale must be one of {', '.join(SCALES)}, not {scale!r}")
    if scale == "zero" and "zero" not in record.eta:
        raise GlimmError("predict: scale='zero' is the probability of an extra zero, and this fit has no zero=")
    if scale == "dispersion" and not record.family.parameters:
        raise GlimmError(f"predict: scale='dispersion': family {record.family.name!r} has no parameter of its own")
    if target not in (None, "marginal"):
        raise GlimmError(f"predict: this model has no random effects, so its only target is 'marginal', not {target!r}")
    if interval in ("prediction", "cluster"):
        raise NotYetError(f"predict: interval={interval!r} is not there with zero= or dispersion=: use 'confidence', or fit.simulate()")
    if interval not in (None, "confidence"):
        raise GlimmError(f"predict: interval must be 'confidence', not {interval!r}")


def check_moves(record: PartsRecord, variables: Iterable[str], asked: str) -> None:
    """Raises GlimmError for a predictor of the dispersion alone, which the mean of a response does not depend on."""
    spec = record.design.spec
    others = {name for part, own in spec.parts.items() if part != "dispersion" for name in own.fixed.variables}
    for name in variables:
        if name in spec.parts.get("dispersion", spec).fixed.variables and name not in others | set(spec.fixed.variables):
            raise GlimmError(
                f"{asked}: {name!r} is in dispersion= only, and the mean of {record.design.response.name} does not depend on it"
            )


def predict_parts(
    record: PartsRecord, joint: Floats, new: Mapping[str, NewRows], scale: str, interval: str | None, level: float
) -> Prediction:
    """Predict for rows read by design.parts."""
    found = numbers(record, new, scale)
    complete = np.logical_and.reduce([rows.complete for rows in new.values()])
    estimate = np.where(complete, found.value, np.nan)
    untold = max(0 if rows.told is None else int(np.sum(complete & ~rows.told)) for rows in new.values())
    if interval is None:
        return Prediction(estimate, untold=untold)
    along = np.zeros((len(complete), len(joint)))
    for name, slope in found.by.items():
        along[:, record.blocks[name]] = slope[:, None] * working_rows(record, name, new)
    se = np.sqrt(np.maximum(np.einsum("np,pq,nq->n", along, joint, along, optimize=True), 0.0))
    half = quantile(level, None) * se
    low, high = (estimate - half, estimate + half) if found.link.name == "identity" else around(found.link, found.value, half)
    se, low, high = (np.where(complete, a, np.nan) for a in (se, low, high))
    return Prediction(estimate, se, low, high, untold=untold)


def working_rows(record: PartsRecord, name: str, new: Mapping[str, NewRows]) -> Floats:
    """(n, p) rows of a part on its working columns."""
    if name == "family":
        return np.ones((len(new["mean"].complete), 1))
    part = record.design.parts[name]
    return (new[name].matrix.dense() - part.center) / part.scale


def numbers(record: PartsRecord, new: Mapping[str, NewRows], scale: str) -> Slopes:
    """What a scale is of each row."""
    eta = {
        name: rows.matrix.times(record.vector[record.blocks[name]]) + (0.0 if rows.offset is None else rows.offset)
        for name, rows in new.items()
    }
    link = record.design.mean.link
    if scale == "link":
        return Slopes(eta["mean"], {"mean": np.ones(len(eta["mean"]))}, LINKS["identity"])
    if scale == "zero":
        pi, slope = mean(LINKS["logit"].kernel, eta["zero"])[:2]
        return Slopes(pi, {"zero": slope}, LINKS["logit"])
    if scale == "dispersion":
        return _dispersion(record, eta)
    mu, by_eta = mean(link.kernel, eta["mean"])[:2]
    if scale == "conditional" or "zero" not in eta:
        return Slopes(mu, {"mean": by_eta}, link)
    pi, slope = mean(LINKS["logit"].kernel, eta["zero"])[:2]
    rest = mean(LINKS["logit"].kernel, -eta["zero"])[0]
    return Slopes(rest * mu, {"mean": rest * by_eta, "zero": -slope * mu}, link)


def _dispersion(record: PartsRecord, eta: Mapping[str, Floats]) -> Slopes:
    """The family's own parameter: sigma, phi, k, alpha, precision."""
    n = len(eta["mean"])
    if "dispersion" in eta:
        value = np.exp(eta["dispersion"])
        return Slopes(value, {"dispersion": value}, LINKS["log"])
    if "family" in record.blocks:
        value = np.full(n, record.family.natural(record.vector[record.blocks["family"]])[0][0])
        return Slopes(value, {"family": value}, LINKS["log"])
    return Slopes(np.full(n, float(np.exp(record.family.psi()[0]))), {}, LINKS["log"])


def estimated(
    record: PartsRecord, inference: Inference, population: Population, quantities: Sequence[Quantity], cells: Cells, wish: Wish
) -> tuple[Averages, Floats]:
    """The averages, and their covariance (G, S, S) by the errors that are asked for."""
    if wish.errors == "bootstrap":
        raise NotYetError(f"{wish.asked}: errors='bootstrap' is not there with zero= or dispersion=: use 'delta' or 'sampled'")
    found = averages_of_parts(record, population, quantities, cells, means=wish.errors == "sampled")
    if wish.errors == "sampled":
        each = influence(found, cells, *influence_of_parts(record, inference.vcov))
        return found, np.einsum("sgk,tgk->gst", each, each)
    cov, _ = joint_covariance(record, inference.vcov)
    return found, np.einsum("sgp,pq,tgq->gst", found.gradient, cov, found.gradient, optimize=True)


def averages_of_parts(
    record: PartsRecord, population: Population, quantities: Sequence[Quantity], cells: Cells, *, means: bool = False
) -> Averages:
    """The averages of E y for each quantity in each cell; means : keep those of the rows."""
    size, share = len(quantities), cells.shares
    order, starts = by_cell(cells)
    inside = np.repeat(np.arange(cells.count), np.diff(starts))
    values, gradient = np.zeros((size, cells.count)), np.zeros((size, cells.count, len(record.vector)))
    rows = np.zeros((size, population.n)) if means else np.zeros((0, 0))
    untold = 0
    for s, quantity in enumerate(quantities):
        for changes, weight in quantity:
            new = moved_parts(record.design, population, changes)
            found = numbers(record, new, "response")
            w = share if weight is None else share * weight
            check_finite(found.value, w, record.design.mean.link.name)
            values[s] += np.bincount(inside, np.where(w == 0.0, 0.0, w * found.value)[order], cells.count)
            for name, slope in found.by.items():
                part = record.design.parts[name]
                each = Rows(new[name].matrix, part.center, part.scale, order=order)
                gradient[s, :, record.blocks[name]] += each.cluster_scores(np.where(w == 0.0, 0.0, w * slope), starts)
            if means:
                rows[s] += found.value if weight is None else weight * found.value
            told = [other.told for other in new.values() if other.told is not None]
            untold = max([untold, *(int(np.sum(~t & (cells.of >= 0))) for t in told)])
    return Averages(values, gradient, rows, untold=untold)
