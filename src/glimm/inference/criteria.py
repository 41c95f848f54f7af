"""Fit criteria: aic = -2 llf + 2 df, bic = -2 llf + log(nobs) df; residuals and fitted values of a record."""

from __future__ import annotations

import numpy as np

from ..design.stream import need_rows
from ..errors import GlimmError
from ..estimators.gee import gee_psi
from ..estimators.residuals import pearson_residuals, row_deviances
from ..kernels import mean
from ..kernels.matrix import Floats
from ..records import AnyRecord, GeeRecord, GlmRecord, LevelsRecord, MixedRecord, PartsRecord, Record

NO_LIKELIHOOD = "a GEE has no likelihood, so no llf, aic or bic; compare working correlations by qic()"
RESIDUALS = ("response", "pearson", "deviance", "working")


def without_likelihood(record: AnyRecord) -> str:
    """Why a fit has no likelihood, and what to use instead; nothing where it has one."""
    if isinstance(record, GeeRecord) or (isinstance(record, LevelsRecord) and record.door == "gee"):
        return NO_LIKELIHOOD
    if not record.family.likelihood:
        return (
            f"family {record.family.name!r} is a mean and a variance without a likelihood, so no llf, aic or bic; use wald_test, which "
            "allows for the dispersion"
        )
    if record.design.weights is not None and record.design.weights_kind == "sampling":
        return "sampling weights have no likelihood, so no llf, aic or bic; use wald_test"
    return ""


def n_parameters(record: AnyRecord) -> int:
    """Parameters of the likelihood: coefficients, covariance parameters, the family's own where they are estimated."""
    if isinstance(record, PartsRecord):
        return len(record.vector)
    extra = len(record.family.free)
    if isinstance(record, GlmRecord) and record.scale_rule.kind == "fixed" and not record.family.scale_known:
        extra -= 1
    if isinstance(record, MixedRecord):
        theta = record.blocks["theta"]
        return int(record.blocks["mean"].stop + (theta.stop - theta.start) + extra)
    return int(record.blocks["mean"].stop) + extra


def criteria(record: AnyRecord) -> dict[str, float]:
    """llf, aic and bic; raises AttributeError for a fit without a likelihood."""
    why = without_likelihood(record)
    if why or isinstance(record, GeeRecord):
        raise AttributeError(why)
    k = n_parameters(record)
    return {"llf": record.llf, "aic": -2.0 * record.llf + 2.0 * k, "bic": -2.0 * record.llf + np.log(record.design.nobs) * k}


def llf_error(record: AnyRecord) -> float:
    """Monte-Carlo standard error of llf; 0 where the log-likelihood is exact."""
    how = record.stochastic if isinstance(record, MixedRecord) else None
    return 0.0 if how is None or how.exact else how.llf_error


def criteria_errors(record: AnyRecord) -> dict[str, float]:
    """Monte-Carlo standard errors of llf, aic and bic; nothing where the log-likelihood is exact."""
    error = llf_error(record)
    return {} if error == 0.0 else {"llf_error": error, "aic_error": 2.0 * error, "bic_error": 2.0 * error}


def own_psi(record: Record) -> Floats:
    """(k,) the family's own parameters on their transformed scale."""
    if isinstance(record, GeeRecord):
        return gee_psi(record.family)
    return record.family.psi(record.vector[record.blocks.get("family", slice(0, 0))])


def linear_predictor(record: Record) -> Floats:
    """(n,) eta of the rows used; conditional on the clusters for a mixed model."""
    if not isinstance(record, MixedRecord):
        need_rows(record.design)
        return record.eta
    part = record.design.mean
    eta = part.matrix.times(record.vector[record.blocks["mean"]]) + (0.0 if part.offset is None else part.offset)
    for term, effects in zip(part.random, record.effects, strict=True):
        eta = eta + np.einsum("ij,ij->i", term.z, effects[term.places])
    return np.asarray(eta)


def fitted(record: Record) -> Floats:
    """(n,) fitted means of the rows used."""
    return mean(record.design.mean.link.kernel, linear_predictor(record))[0]


def deviance(record: Record) -> float:
    """Sum of size times unit deviance at the fitted means."""
    if isinstance(record, GlmRecord):
        return record.deviance
    _check_deviance(record)
    eta = linear_predictor(record)
    mu = mean(record.design.mean.link.kernel, eta)[0]
    return float(row_deviances(record.design, record.family, mu, own_psi(record), eta).sum())


def _check_deviance(record: Record) -> None:
    """Raises GlimmError where the unit deviance needs a parameter that a GEE leaves to the dispersion."""
    if isinstance(record, GeeRecord) and not np.isfinite(own_psi(record)).all():
        raise GlimmError(
            f"a GEE does not estimate {record.family.estimated[0]} of family {record.family.name!r}, so there is no deviance: "
            "use resid('pearson')"
        )


def residuals(record: Record, kind: str) -> Floats:
    """(n,) residuals of the rows used.

    kind : "response" y - mu; "pearson" (y - mu) sqrt(size / v); "deviance" sign(y - mu) sqrt(size d); "working" (y - mu) / mu'
    """
    if kind not in RESIDUALS:
        raise GlimmError(f"resid: kind must be one of {', '.join(RESIDUALS)}, not {kind!r}")
    design, family = record.design, record.family
    eta = linear_predictor(record)
    mu, slope, _, _ = mean(design.mean.link.kernel, eta)
    if kind == "response":
        return design.y - mu
    if kind == "working":
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):  # infinite where the fitted mean has no slope
            return np.asarray((design.y - mu) / slope)
    if kind == "pearson":
        return pearson_residuals(design, family, mu, own_psi(record))
    _check_deviance(record)
    return np.asarray(np.sign(design.y - mu) * np.sqrt(np.maximum(row_deviances(design, family, mu, own_psi(record), eta), 0.0)))
