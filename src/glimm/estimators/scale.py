"""The dispersion of a GLM: phi = sum w (y - mu)^2 / v(mu) / (n - p) (Pearson), deviance / (n - p), that of maximum likelihood, or given.

n counts a row as often as its frequency weight says; sampling weights are brought to a mean of 1.
Source: McCullagh and Nelder (1989), Generalized Linear Models, section 4.5 and 8.3.
"""

from __future__ import annotations

import numpy as np

from ..design.records import Design
from ..errors import GlimmError
from ..family import Family
from ..kernels import inverse_or_nan
from ..kernels.matrix import Floats
from ..records import Scale
from .at_means import AtMeans
from .control import Control
from .dispersion import dispersion_alone
from .irls import variance_power
from .joint import dispersion
from .source import RowSource

EXACT = 1e-14
NOTHING = np.zeros((0, 0))


def check_scale(family: Family, rule: Scale, weights_kind: str) -> None:
    """Raises GlimmError for a dispersion that a family cannot have."""
    if rule.kind == "default":
        return
    if not family.orthogonal:
        raise GlimmError(
            f"scale={shown(rule)}: coefficients and {', '.join(family.estimated)} of family {family.name!r} are estimated together by "
            "maximum likelihood, and there is no other dispersion: leave it out"
        )
    if rule.kind == "ml" and (family.scale_known or not family.likelihood):
        instead = "scale='pearson'" if not family.likelihood else "scale='pearson', or a family with a dispersion"
        raise GlimmError(f"scale='ml': family {family.name!r} has no dispersion in its likelihood: use {instead}")
    if rule.kind == "ml" and weights_kind == "sampling":
        raise GlimmError("scale='ml': sampling weights have no likelihood: use scale='pearson'")


def shown(rule: Scale) -> str:
    """The rule as an argument."""
    return f"{rule.value:g}" if rule.kind == "fixed" else repr(rule.kind)


def row_unit_mean(design: Design) -> float:
    """What weights are divided by: the mean of sampling weights, 1 for others."""
    return design.totals.weights / design.n if design.weights is not None and design.weights_kind == "sampling" else 1.0


def total_deviance(design: Design, found: AtMeans) -> float:
    """The sum of the deviances of the rows."""
    return found.deviance / row_unit_mean(design)


def scale_of(design: Design, family: Family, rule: Scale, found: AtMeans, deviance: float, likely: float) -> float:
    """phi by the rule; likely : that of maximum likelihood, or 1. NaN where no rows are left to estimate it from."""
    kind = rule.of(family)
    if kind == "fixed":
        return rule.value
    if kind in ("ml", "family"):
        return likely
    df = design.nobs - design.mean.matrix.p
    if df <= 0:
        return np.nan
    return deviance / df if kind == "deviance" else found.chi2 / row_unit_mean(design) / df


def constants_at(design: Design, family: Family, rule: Scale) -> Floats | None:
    """Parameters at which `likelihood` wants the terms free of eta; None where it wants none."""
    if not family.likelihood or design.weights_kind == "sampling":
        return None
    if rule.kind == "fixed" and not family.scale_known:
        return family.psi([0.5 * np.log(rule.value) if family.name == "gaussian" else np.log(rule.value)])
    return family.psi() if family.scale_known or family.name == "gaussian" else None


def likelihood(
    source: RowSource, family: Family, rule: Scale, control: Control, beta: Floats, unit: float, found: AtMeans
) -> tuple[float, Floats, Floats, float]:
    """(log-likelihood, psi that is estimated, its covariance, phi) at the maximum-likelihood or given dispersion.

    unit : the sum of l(y, eta) at dispersion 1, without the terms free of eta; found : with these at `constants_at`
    """
    design, nothing, deviance = source.design, np.zeros(0), total_deviance(source.design, found)
    if not family.likelihood or design.weights_kind == "sampling":
        return np.nan, nothing, NOTHING, 1.0
    if family.scale_known:
        return unit + found.constant, nothing, NOTHING, 1.0
    if rule.kind == "fixed":
        return unit / rule.value + found.constant, nothing, NOTHING, rule.value
    if family.name == "gaussian":
        phi = deviance / design.nobs
        return _gaussian(design, found, phi), nothing, NOTHING, phi
    if _relative(design, family, deviance) > EXACT * design.nobs:
        known = None if design.multiplied else dispersion_alone(source, family, unit, deviance / design.nobs, control.n_threads)
        if known is not None:
            return known.llf, known.psi, known.covariance, family.scale(known.psi)
        searched = dispersion(source, family, beta, deviance / design.nobs, control)
        p = source.natural.p
        psi = searched.x[p:]
        return -0.5 * searched.value, psi, inverse_or_nan(0.5 * searched.hessian[p:, p:]), family.scale(psi)
    return np.inf, np.array([-np.inf]), np.full((1, 1), np.nan), 0.0


def _gaussian(design: Design, found: AtMeans, phi: float) -> float:
    """The full log-likelihood at the maximum-likelihood sigma; found : with the terms free of eta at sigma 1."""
    if not phi > 0.0:
        return np.inf
    rows = design.totals.weights if design.multiplied else design.n
    return found.constant - 0.5 * rows * float(np.log(phi)) - 0.5 * design.nobs


def _relative(design: Design, family: Family, deviance: float) -> float:
    """A deviance without the unit of the response."""
    return float(deviance * design.totals.mean ** (variance_power(family) - 2.0))
