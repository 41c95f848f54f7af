"""What a change of -2 log L of a GLM is held against: divided by the dispersion, chi-squared or F."""

from __future__ import annotations

from dataclasses import dataclass

from ..estimators.constrained import by_likelihood
from ..records import GlmRecord


@dataclass(frozen=True, slots=True)
class Reference:
    """phi divides a change of -2 log L; df : of the denominator where phi is estimated beside the coefficients, None for chi-squared."""

    phi: float
    df: float | None


def reference(record: GlmRecord) -> Reference:
    """The dispersion and the denominator; a family with parameters of its own has them in its likelihood, and phi = 1."""
    if by_likelihood(record) or record.family.scale_known:
        return Reference(1.0, None)
    return Reference(record.scale, float(record.design.n - record.design.mean.matrix.p))
