"""Coefficients of a random-intercept GLMM on the scale of averages over clusters: beta / sqrt(1 + c^2 sd^2), sd^2 summed over terms.

Probit: c = 1, exact. Logit: c = 16 sqrt(3) / (15 pi), approximate. Log: slopes stay as they are, the intercept gains sd^2 / 2.
Source: Zeger, Liang and Albert (1988), Biometrics 44, 1049-1060.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..inference.random import covariances
from ..kernels.matrix import Floats
from ..records import MixedRecord

LOGIT_C = 16.0 * math.sqrt(3.0) / (15.0 * math.pi)


@dataclass(frozen=True, slots=True)
class Attenuated:
    """Coefficients on the marginal scale.

    sd : of the random intercepts together; factor : what coefficients are divided by; params : (p,) the result; exact : or approximate
    """

    sd: float
    factor: float
    params: Floats
    exact: bool


def intercept_sd(record: MixedRecord) -> float | None:
    """Standard deviation of the sum of the random intercepts; None where there are other random effects."""
    if any(term.names != ("Intercept",) for term in record.design.mean.random):
        return None
    return math.sqrt(sum(float(v[0, 0]) for v in covariances(record)))


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
