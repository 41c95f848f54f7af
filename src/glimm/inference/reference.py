"""What a change of -2 log L of a GLM is held against: divided by the dispersion, chi-squared or F."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..errors import GlimmError
from ..estimators.constrained import by_likelihood
from ..records import GlmRecord
from .glm_covariance import asked_of, surveyed


@dataclass(frozen=True, slots=True)
class Reference:
    """phi divides a change of -2 log L; df : of the denominator where phi is estimated beside the coefficients, None for chi-squared."""

    phi: float
    df: float | None


def reference(record: GlmRecord) -> Reference:
    """The dispersion and the denominator: that of the whole fit, by its scale=.

    A family with parameters of its own has them in its likelihood: phi = 1, unless scale= gives or estimates one beside k.
    """
    rule, family = record.scale_rule, record.family
    if (by_likelihood(record) and not family.scale_known) or rule.of(family) == "family":
        return Reference(1.0, None)
    return Reference(record.scale, float(record.design.nobs - record.design.mean.matrix.p) if rule.estimated(family) else None)


def model_based(record: GlmRecord, vcov: Any) -> bool:
    """Whether errors are those of the model, so that tests of its likelihood answer the same question."""
    return asked_of(vcov).kind == "model" and not surveyed(record.design)


def need_likelihood(record: GlmRecord, what: str, instead: str) -> None:
    """Raises GlimmError for sampling weights, whose rows have no likelihood, nor quasi-likelihood, and for estimates with a penalty."""
    if record.penalty:
        raise GlimmError(f"{what}: penalty={record.penalty!r} estimates are not at the maximum of the likelihood: use penalized_lr_tests()")
    if surveyed(record.design):
        raise GlimmError(f"{what}: sampling weights have no likelihood: use {instead}")
