"""A fit's parameters other than coefficients, on their natural scale; errors by the delta method, se(f(psi)) = |f'(psi)| se(psi)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..kernels.matrix import Floats
from ..records import GlmRecord, MixedRecord, Record
from .covariance import working_covariance


@dataclass(frozen=True, slots=True)
class Parameters:
    """names (k,), values (k,), errors (k,)."""

    names: tuple[str, ...]
    values: Floats
    errors: Floats


def family_parameters(record: Record) -> Parameters | None:
    """Those of the family that were estimated by maximum likelihood; None where there are none (sigma is `scale`)."""
    block = record.blocks.get("family", slice(0, 0))
    psi, family = record.vector[block], record.family
    if not len(psi) or family.name == "gaussian":
        return None
    values, slopes = family.natural(psi)
    if isinstance(record, GlmRecord):
        cov = record.psi_cov
    elif isinstance(record, MixedRecord):
        cov = working_covariance(record)[-len(psi) :, -len(psi) :]
    else:
        return None
    variances = np.diag(cov)
    errors = np.sqrt(np.where(variances >= 0.0, variances, np.nan)) * np.abs(slopes)
    return Parameters(family.estimated, values, errors)
