"""Coefficients of a random-intercept GLMM on the scale of averages over clusters: beta / sqrt(1 + c^2 sd^2).

Probit: c = 1, exact. Logit: c = 16 sqrt(3) / (15 pi), approximate. Log: slopes stay as they are, the intercept gains sd^2 / 2.
Source: Zeger, Liang and Albert (1988), Biometrics 44, 1049-1060.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..covariance.structures import structure
from ..kernels.matrix import Floats
from ..records import MixedRecord

LOGIT_C = 16.0 * math.sqrt(3.0) / (15.0 * math.pi)


@dataclass(frozen=True, slots=True)
class Attenuated:
    """Coefficients on the marginal scale.

    sd : of the random intercept; factor : what coefficients are divided by; params : (p,) the result; exact : or approximate
    """

    sd: float
    factor: float
    params: Floats
    exact: bool


def intercept_sd(record: MixedRecord) -> float | None:
    """Standard deviation of the one random intercept; None where the random effects are anything else."""
    terms = record.design.mean.random
    if len(terms) != 1 or terms[0].names != ("Intercept",):
        return None
    theta = record.vector[record.blocks["theta"]]
    root = math.sqrt(record.scale) if record.linear else 1.0
    return root * abs(float(structure(terms[0].structure).factor(theta, 1)[0, 0]))


def attenuate(record: MixedRecord) -> Attenuated | None:
    """The coefficients on the marginal scale for logit, probit and log links; None where there is no such formula."""
    sd, link = intercept_sd(record), record.design.mean.link.name
    if sd is None:
        return None
    if link == "log":
        params = record.vector[record.blocks["mean"]].copy()
        if record.design.mean.intercept is None:
            return None
        params[record.design.mean.intercept] += 0.5 * sd**2
        return Attenuated(sd, 1.0, params, True)
    c = {"logit": LOGIT_C, "probit": 1.0}.get(link)
    if c is None:
        return None
    factor = math.sqrt(1.0 + (c * sd) ** 2)
    return Attenuated(sd, factor, np.asarray(record.vector[record.blocks["mean"]] / factor), c == 1.0)
