"""Intervals and tests by the penalised likelihood: {b : 2 (l*(beta) - max l*(beta | beta_j = b)) <= q}, l* = l / phi + 1/2 log |I(beta)|.

I is the information of all coefficients, the one that is held among them. phi stays the fit's, and q is of F(1, n - p), else of chi2(1).
Sources: Heinze and Schemper (2002), Statistics in Medicine 21, 2409-2419; Venzon and Moolgavkar (1988), Appl. Stat. 37, 87-94.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np

from ..design.coordinates import to_named, to_working
from ..errors import GlimmError
from ..estimators.penalised import End, Penalised, has_likelihood
from ..kernels.matrix import Floats
from ..records import GlmRecord
from .covariance import Inference
from .glm_covariance import asked_of
from .wald import p_values, quantile

MOST_ROUNDS = 200
DOUBLINGS, CONTINUED = 40, 5
PRECISE = 1e-11


@dataclass(frozen=True, slots=True)
class Tests:
    """(p,) penalised likelihood-ratio statistics of single coefficients being 0, and their p-values; df of the denominator, or None."""

    statistic: Floats
    p_value: Floats
    df: float | None


class Profile:
    """The penalised likelihood of a fit with one coefficient held."""

    def __init__(self, record: GlmRecord) -> None:
        part = record.design.mean
        if not has_likelihood(record.penalty, record.family, part.link):
            raise GlimmError(
                f"penalty='firth' has no penalised likelihood for family {record.family.name!r} with link {part.link.name!r}, which is not "
                "canonical: fit with penalty='jeffreys', or use conf_int(method='wald')"
            )
        self.record, self.part, self.back = record, part, to_named(part)
        self.model = Penalised(record.design, record.family, record.penalty)
        self.phi = record.scale
        self.names, self.named = part.names, record.vector[record.blocks["mean"]]
        self.beta = to_working(part, self.named)
        self.top = self.model.at(self.beta, self.phi).value(self.phi)
        self.se = np.sqrt(np.diag(self.back @ record.bread @ self.back.T) * record.scale)

    def constrained(self, j: int, value: float, near: Floats | None = None, depth: int = CONTINUED) -> End:
        """The maximum with named coefficient j at a value.

        near : (p,) working coefficients to begin from; where that is too far off, by way of a value between
        Raises GlimmError where the maximum is not found.
        """
        row, near = self.back[j], self.beta if near is None else near
        along = self.record.bread @ row
        at = near + along * ((value - row @ near) / (row @ along))
        if np.isfinite(self.model.at(at, self.phi).loglik):
            end = self.model.search(at, self.phi, MOST_ROUNDS, np.linalg.svd(row[None, :], full_matrices=True)[2][1:].T)
            if end.converged:
                return end
        if not depth:
            raise GlimmError(
                f"the penalised likelihood with {self.names[j]} held at {value:.4g} has no maximum that the search finds: "
                "use Wald's method, conf_int(method='wald')"
            )
        between = self.constrained(j, 0.5 * (value + float(row @ near)), near, depth - 1)
        return self.constrained(j, value, between.point.beta, depth - 1)

    def statistic(self, end: End) -> float:
        """Twice the difference of the penalised log-likelihoods."""
        return 2.0 * max(self.top - end.point.value(self.phi), 0.0) / self.phi


def limits(record: GlmRecord, inference: Inference, level: float) -> tuple[Floats, Floats]:
    """(p,) lower and upper profile limits, infinite where the profile does not come down to them.

    Raises GlimmError for robust errors, which have no likelihood, and for a penalty without a penalised likelihood.
    """
    if asked_of(inference.vcov).kind != "model":
        raise GlimmError("conf_int: profile intervals trust the model and its likelihood: fit with vcov='model', or use method='wald'")
    profile, q = Profile(record), float(quantile(level, inference.common_df))
    pairs = [[limit(profile, j, side, q) for side in (-1.0, 1.0)] for j in range(len(profile.named))]
    both = np.array(pairs).reshape(-1, 2)
    return both[:, 0], both[:, 1]


def limit(profile: Profile, j: int, side: float, q: float) -> float:
    """Where the signed root of the statistic of coefficient j is q on one side of the estimate."""
    from scipy.optimize import brentq

    estimate, se, seen = float(profile.named[j]), float(profile.se[j]), [(0.0, profile.beta)]

    @cache  # of the same step from elsewhere, the last digits would be others
    def root(step: float) -> float:
        near = min(seen, key=lambda one: abs(one[0] - step))[1]
        end = profile.constrained(j, estimate + side * step, near)
        seen.append((step, end.point.beta))
        return math.sqrt(profile.statistic(end)) - q

    inner, outer = 0.0, q * se
    for _ in range(DOUBLINGS):
        if root(outer) >= 0.0:
            return estimate + side * float(brentq(root, inner, outer, xtol=PRECISE * se, rtol=PRECISE))
        inner, outer = outer, 2.0 * outer
    return side * math.inf


def ratio_tests(record: GlmRecord, inference: Inference) -> Tests:
    """The penalised likelihood-ratio test of each coefficient. Raises GlimmError for a penalty without a penalised likelihood."""
    profile, df = Profile(record), inference.common_df
    statistic = np.array([profile.statistic(profile.constrained(j, 0.0)) for j in range(len(profile.named))])
    return Tests(statistic, p_values(np.sqrt(statistic), df), df)
