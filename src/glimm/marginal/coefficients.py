"""Marginal coefficients of a mixed model: b_M = (X'X)^-1 X'(g(m) - offset), m = E h(eta + sum z'b) at the rows used.

They are what the model says of averages over clusters, projected on the model's own terms: exact where the terms are saturated, or
the link is identity, log with random intercepts, or probit with them.
Source: Hedeker, du Toit, Demirtas and Gibbons (2018), Biometrics 74, 354-361.
"""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real

import numpy as np

from ..design.coordinates import to_named
from ..design.records import Part
from ..design.replay import read_rows
from ..errors import GlimmError
from ..inference.covariance import Inference, joint_covariance, named
from ..kernels.matrix import Floats
from ..records import MixedRecord, Record
from .attenuation import attenuate, attenuated
from .average import WIDEST, average_inverse, average_on_link
from .predict import dspread, spread

LABEL = "delta method, with the uncertainty of the random effects' covariance"


@dataclass(frozen=True, slots=True)
class Marginal:
    """inference : coefficients of averages over clusters with their covariance; closed : (p,) the closed form, NaN where there is none."""

    inference: Inference
    closed: Floats


def marginal_coefficients(record: Record, inference: Inference) -> Marginal:
    """A GLM's and a GEE's own coefficients; of a mixed model the projection, its covariance with the uncertainty of theta."""
    if not isinstance(record, MixedRecord):
        return Marginal(inference, np.full(len(inference.params), np.nan))
    closed = attenuate(record)
    none = np.full(len(inference.params), np.nan)
    projected = inference if record.design.mean.link.name == "identity" else _project(record, inference)
    return Marginal(projected, none if closed is None else closed.params)


def conditional_coefficients(record: Record, inference: Inference, sd: float) -> Marginal:
    """The way back: eta_c of each row solves E h(eta_c + sd Z) = h(eta); b_C = (X'X)^-1 X'(eta_c - offset), its covariance given sd.

    Raises GlimmError for a mixed model, and for an sd that is no number of at least 0.
    """
    if isinstance(record, MixedRecord):
        raise GlimmError("conditional_params: a mixed model's coefficients are conditional on its clusters already: fit.params")
    if isinstance(sd, bool) or not isinstance(sd, Real) or not 0.0 <= float(sd) <= WIDEST:
        raise GlimmError(f"conditional_params: sd must be a standard deviation, a number of at least 0 and at most {WIDEST:g}, not {sd!r}")
    part = record.design.mean
    offset = np.zeros(record.design.n) if part.offset is None else part.offset
    spread_of = np.full(record.design.n, float(sd))
    eta = part.matrix.times(record.vector[record.blocks["mean"]]) + offset
    inner, slope = average_inverse(part.link, eta, spread_of)
    x, projection = _projection(part)
    jacobian = projection @ ((1.0 / slope)[:, None] * x)
    work = jacobian @ inference.work @ jacobian.T
    params = to_named(part) @ (projection @ (inner - offset))
    closed = attenuated(part, record.vector[record.blocks["mean"]], float(sd), back=True)
    label = "delta method, at the given sd of the random intercept"
    none = np.full(len(params), np.nan)
    return Marginal(
        Inference(inference.names, params, named(part, work), work, label, inference.common_df), none if closed is None else closed.params
    )


def _projection(part: Part) -> tuple[Floats, Floats]:
    """(working X, (X'X)^-1 X')."""
    x = (part.matrix.dense() - part.center) / part.scale
    return x, np.asarray(np.linalg.solve(x.T @ x, x.T))


def _project(record: MixedRecord, inference: Inference) -> Inference:
    part, new = record.design.mean, read_rows(record.design, None)
    p, k = part.matrix.p, record.blocks["theta"].stop - record.blocks["theta"].start
    offset = np.zeros(record.design.n) if part.offset is None else part.offset
    eta = part.matrix.times(record.vector[record.blocks["mean"]]) + offset
    g, by_eta, by_sd = average_on_link(part.link, eta, spread(record, new))
    x, projection = _projection(part)
    cov = joint_covariance(record, inference)
    jacobian = np.zeros((p, len(cov)))
    jacobian[:, :p] = projection @ (by_eta[:, None] * x)
    jacobian[:, p : p + k] = projection @ (by_sd[:, None] * dspread(record, new))
    work = jacobian @ cov @ jacobian.T
    params = to_named(part) @ (projection @ (g - offset))
    return Inference(inference.names, params, named(part, work), work, LABEL, None)
