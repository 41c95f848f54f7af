"""Coefficients of a random-intercept GLMM on the scale of averages over clusters: beta / sqrt(1 + c^2 sd^2), sd^2 summed over terms.

Probit: c = 1, exact. Logit: c = 16 sqrt(3) / (15 pi), approximate. Log: slopes stay as they are, the intercept gains sd^2 / 2.
Source: Zeger, Liang and Albert (1988), Biometrics 44, 1049-1060.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..design.records import Part
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
    sd = intercept_sd(record)
    return None if sd is None else attenuated(record.design.mean, record.vector[record.blocks["mean"]], sd)


def attenuated(part: Part, beta: Floats, sd: float, back: bool = False) -> Attenuated | None:
    """The formula at an sd; back : from the marginal to the conditional scale."""
    if part.link.name == "log":
        if part.intercept is None:
            return None
        params = beta.copy()
        params[part.intercept] += (-0.5 if back else 0.5) * sd**2
        return Attenuated(sd, 1.0, params, True)
    c = {"logit": LOGIT_C, "probit": 1.0}.get(part.link.name)
    if c is None:
        return None
    factor = math.sqrt(1.0 + (c * sd) ** 2)
    return Attenuated(sd, factor, np.asarray(beta * factor if back else beta / factor), c == 1.0)
