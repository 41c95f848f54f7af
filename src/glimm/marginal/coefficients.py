"""Marginal coefficients of a mixed model: b_M = (X'X)^-1 X'(g(m) - offset), m = E h(eta + sum z'b) at the rows used.

They are what the model says of averages over clusters, projected on the model's own terms: exact where the terms are saturated, or
the link is identity, log with random intercepts, or probit with them.
Source: Hedeker, du Toit, Demirtas and Gibbons (2018), Biometrics 74, 354-361.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..design.coordinates import to_named
from ..design.replay import read_rows
from ..inference.covariance import Inference, named, theta_covariance
from ..kernels.matrix import Floats
from ..records import MixedRecord, Record
from .attenuation import attenuate
from .average import average_on_link
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


def _project(record: MixedRecord, inference: Inference) -> Inference:
    part, new = record.design.mean, read_rows(record.design, None)
    p, k = part.matrix.p, record.blocks["theta"].stop - record.blocks["theta"].start
    offset = np.zeros(record.design.n) if part.offset is None else part.offset
    eta = part.matrix.times(record.vector[record.blocks["mean"]]) + offset
    g, by_eta, by_sd = average_on_link(part.link, eta, spread(record, new))
    x = (part.matrix.dense() - part.center) / part.scale
    projection = np.linalg.solve(x.T @ x, x.T)
    cov = theta_covariance(record)
    jacobian = np.zeros((p, len(cov)))
    jacobian[:, :p] = projection @ (by_eta[:, None] * x)
    jacobian[:, p : p + k] = projection @ (by_sd[:, None] * dspread(record, new))
    work = jacobian @ cov @ jacobian.T
    params = to_named(part) @ (projection @ (g - offset))
    return Inference(inference.names, params, named(part, work), work, LABEL, None)
