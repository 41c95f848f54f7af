"""Residuals beside those of criteria.py: Anscombe's, quantile residuals, and those divided by their own standard deviation.

Anscombe: (A(y) - A(mu)) sqrt(size) / (A'(mu) sqrt(v(mu))), A' = v^(-1/3). Quantile: the normal quantile of F(y), of a draw from
(F(y-), F(y)) where responses are discrete. Standardised: r / sqrt(phi (1 - h)), h the leverage.
Source: McCullagh and Nelder (1989), Generalized Linear Models, section 2.4; Dunn and Smyth (1996), J. Comput. Graph. Stat. 5, 236-244;
Williams (1987), Appl. Stat. 36, 181-191 (likelihood residuals).
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from ..design.stream import need_rows
from ..errors import GlimmError, NotYetError
from ..estimators.constrained import by_likelihood
from ..estimators.glm import row_terms
from ..kernels import Rows, variance
from ..kernels.matrix import Floats
from ..records import GlmRecord, Record
from .criteria import RESIDUALS, fitted, own_psi, residuals
from .distributions import check_units, distribution, known_values
from .simulate import generator

MORE: Final = ("anscombe", "quantile", "standardized_pearson", "standardized_deviance", "likelihood")
EDGE = 1e-16
ALL_OF_IT = 1e-10
LOST = 1e-6
"""Of a leverage outside (0, 1): at the edge of a link the information has too few digits for it."""


def residuals_of(record: Record, kind: str, seed: Any) -> Floats:
    """(n,) residuals of the rows used; raises GlimmError for another kind, and for what the fit does not have."""
    if kind in RESIDUALS:
        return residuals(record, kind)
    if kind not in MORE:
        raise GlimmError(f"resid: kind must be one of {', '.join((*RESIDUALS, *MORE))}, not {kind!r}")
    if kind == "anscombe":
        return anscombe(record)
    if not isinstance(record, GlmRecord):
        instead = "fit.quantile_residuals()" if kind == "quantile" else "fit.influence(), or kind='pearson'"
        raise NotYetError(f"resid: kind={kind!r} is there for glimm.glm only: use {instead}")
    return quantiles(record, seed) if kind == "quantile" else standardized(record, kind)


def anscombe(record: Record) -> Floats:
    """(n,) Anscombe residuals, whose distribution is nearly symmetric; raises GlimmError for a family without a variance function."""
    design, family = record.design, record.family
    y, mu, psi = design.y, fitted(record), own_psi(record)
    if not isinstance(family.kernel, int):
        raise GlimmError(f"resid: family {family.name!r} is your own, whose Anscombe transformation is not known: use kind='deviance'")
    unit = variance(family.kernel, np.maximum(mu, 1e-300), psi)
    with np.errstate(divide="ignore", invalid="ignore"):  # infinite, or NaN, where a fitted mean leaves no variance
        root = np.sqrt(1.0 if design.size is None else design.size) / unit ** (1.0 / 6.0)
        return np.asarray((_transformed(record, y) - _transformed(record, mu)) * root)


def _transformed(record: Record, t: Floats) -> Floats:
    """A(t), the integral of v^(-1/3)."""
    from scipy.special import beta, betainc, hyp2f1

    name, psi = record.family.name, own_psi(record)
    if name == "gaussian":
        return t
    if name in ("binomial", "quasibinomial", "beta"):
        whole = betainc(2.0 / 3.0, 2.0 / 3.0, t) * beta(2.0 / 3.0, 2.0 / 3.0)
        return np.asarray(whole * (1.0 if name != "beta" else (1.0 + np.exp(psi[0])) ** (1.0 / 3.0)))
    if name == "negative_binomial":
        return np.asarray(1.5 * t ** (2.0 / 3.0) * hyp2f1(1.0 / 3.0, 2.0 / 3.0, 5.0 / 3.0, -t / np.exp(psi[0])))
    power = {"poisson": 1.0, "quasipoisson": 1.0, "negative_binomial1": 1.0, "gamma": 2.0, "inverse_gaussian": 3.0}.get(name)
    factor = (1.0 + np.exp(psi[0])) ** (-1.0 / 3.0) if name == "negative_binomial1" else 1.0
    if power is None:
        power = float(psi[1]) if name == "quasi" else 1.0 + 1.0 / (1.0 + float(np.exp(-psi[1])))  # tweedie
    if power == 3.0:
        return np.log(t)
    return np.asarray(factor * t ** (1.0 - power / 3.0) / (1.0 - power / 3.0))


def quantiles(record: GlmRecord, seed: Any) -> Floats:
    """(n,) randomised quantile residuals: standard normal where the model is right."""
    from scipy.special import ndtri

    design, family = record.design, record.family
    law = distribution(family, "resid")
    check_units(design, "resid")
    values, mu, y = known_values(record, "resid"), fitted(record), design.y
    if not by_likelihood(record):
        values |= {"phi": record.scale}
    w: Any = design.weights if law.weighted and design.weights is not None else 1.0
    trials: Any = 1.0 if design.trials is None else design.trials
    above = np.asarray(law.below(y, mu, values, w, trials))
    below = above.copy()
    if family.support in ("binomial", "count"):
        step = 1.0 / (trials if family.support == "binomial" else 1.0)
        there = y > 0.0
        below = np.where(there, law.below(np.where(there, y - step, y), mu, values, w, trials), 0.0)
    elif family.support == "nonnegative":
        below = np.where(y > 0.0, above, 0.0)
    u = below + generator(seed).random(len(y)) * (above - below)
    return np.asarray(ndtri(np.clip(u, EDGE, 1.0 - EDGE)))


def leverages(record: GlmRecord) -> Floats:
    """(n,) the diagonal of W^1/2 X (X'WX)^-1 X' W^1/2, W the expected information; of one of the rows that a frequency weight counts.

    NaN where rounding leaves no number between 0 and 1.
    """
    need_rows(record.design)
    if not record.family.orthogonal:
        raise NotYetError(
            f"leverage is not there for family {record.family.name!r}, whose coefficients and parameters are estimated together"
        )
    part = record.design.mean
    rows = Rows(part.matrix, part.center, part.scale)
    found = np.asarray(rows.leverages(row_terms(record)[1], record.bread) / copies(record))
    inside = np.clip(found, 0.0, 1.0)
    return np.where(np.abs(found - inside) < LOST, inside, np.nan)


def copies(record: GlmRecord) -> Any:
    """How many equal rows a row stands for: its frequency weight."""
    return record.design.weights if record.design.counted else 1.0


def standardized(record: GlmRecord, kind: str) -> Floats:
    """(n,) Pearson or deviance residuals over sqrt(phi (1 - h)), or likelihood residuals; NaN for a row that decides a coefficient alone.

    "likelihood" : sign(r) sqrt((d + h r^2 / (1 - h)) / phi), about by how much the deviance falls without the row
    """
    if record.design.multiplied and not record.design.counted:
        raise NotYetError(f"resid: kind={kind!r} is not there with sampling weights: use kind='pearson'")
    if not record.scale > 0.0:
        raise GlimmError(f"resid: kind={kind!r} divides by the dispersion, which is zero or unknown here: use kind='deviance' or 'pearson'")
    h, count = leverages(record), copies(record)
    left = np.where(1.0 - h > ALL_OF_IT, 1.0 - h, np.nan)
    if kind == "likelihood":
        pearson, deviance = (residuals(record, each) / np.sqrt(count) for each in ("pearson", "deviance"))
        return np.asarray(np.sign(deviance) * np.sqrt((deviance**2 + h * pearson**2 / left) / record.scale))
    return np.asarray(residuals(record, kind.removeprefix("standardized_")) / np.sqrt(record.scale * left * count))
