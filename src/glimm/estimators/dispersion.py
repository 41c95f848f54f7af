"""The dispersion of maximum likelihood at given means: log L(phi) = S / phi + C(phi), by Newton's method in log phi."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..family import Family
from ..kernels import dispersion_terms
from ..kernels.families import Terms
from ..kernels.matrix import Floats
from .source import RowSource

MOST, LONGEST, NEAR = 60, 1.0, 1e-9


class Dispersion(NamedTuple):
    """Log-likelihood; psi (1,), log phi; its covariance (1, 1), coefficients held."""

    llf: float
    psi: Floats
    covariance: Floats


def dispersion_alone(source: RowSource, family: Family, fitted: float, first: float, threads: int) -> Dispersion | None:
    """Gamma, inverse gaussian, or tweedie of a given power; None where the search does not end as it should.

    fitted : S, the log-likelihood without constants at dispersion 1; first : a dispersion to begin with
    """
    if family.name not in ("gamma", "inverse_gaussian", "tweedie") or not 0.0 < first < np.inf:
        return None
    log_phi, settled = float(np.log(first)), False
    for _ in range(MOST):
        psi = family.psi([log_phi])
        value, slope, curvature = _terms(source, family, psi, threads)
        part = fitted * float(np.exp(-log_phi))
        slope, curvature = slope - part, curvature + part
        if not (np.isfinite(value) and np.isfinite(slope) and np.isfinite(curvature)):
            return None
        if settled:
            return Dispersion(value + part, np.array([log_phi]), np.array([[-1.0 / curvature]])) if curvature < 0.0 else None
        step = -slope / curvature if curvature < 0.0 else float(np.sign(slope)) * LONGEST
        step = min(max(step, -LONGEST), LONGEST)
        log_phi, settled = log_phi + step, abs(step) < NEAR
    return None


def _terms(source: RowSource, family: Family, psi: Floats, threads: int) -> Terms:
    """C(phi) and its derivatives in log phi, over all rows."""
    out: Terms = (0.0, 0.0, 0.0)
    for part in source.parts():
        out = dispersion_terms(family.kernel, part.y, part.weights, psi, out, threads)
    return out
