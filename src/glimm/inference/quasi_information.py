"""Quasi-likelihood under independence: QIC = -2 Q(b_R) + 2 tr(O_I V_R), and what else compares working correlations.

Q = sum w int_y^mu (y - t) / v(t) dt with dispersion 1, O_I = X'diag(w d^2 / v) X, V_R the robust covariance.
Source: Pan (2001), Biometrics 57, 120-125; Hin and Wang (2009), Stat. Med. 28, 642-658 (CIC); Rotnitzky and Jewell (1990), Biometrika
77, 485-497; Hin, Carey and Wang (2007), Am. Stat. 61, 360-364 (RJC, DBAR); Carey and Wang (2011), Stat. Med. 30, 3117-3124 (GP).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from numbers import Real
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import numpy as np

from ..covariance.odds_ratios import OddsRatios
from ..covariance.working import Independence
from ..design.coordinates import to_working
from ..design.records import Design
from ..design.stream import StreamedDesign
from ..errors import GlimmError, suggest
from ..estimators.control import Control
from ..estimators.gee import equations_of, fit_gee, gee_psi
from ..estimators.levels import log_likelihood, row_information
from ..estimators.source import mean_rows
from ..family import Family
from ..family.own import Functions
from ..kernels import Rows, mean, positive_definite, variance
from ..kernels.matrix import Floats
from ..records import GeeRecord, LevelsRecord
from .comparable import same, same_functions
from .degrees_of_freedom import Clustered
from .levels import layout, probabilities
from .small_sample import errors_of

VARIANTS: Final = MappingProxyType(
    {
        "sas": "dispersion 1 everywhere",
        "pan": "both terms divided by this fit's dispersion",
        "common": "both terms divided by one dispersion for all fits",
        "geepack": "Q with dispersion 1, the trace with the independence fit's coefficients and dispersion",
    }
)
NODES: Final = np.linspace(-3.4, 3.4, 103)
BLOCK = 1 << 12


class Qic(NamedTuple):
    """Criteria of one GEE; float() of it is the qic. NaN where one is not defined, and `note` says why.

    qic : -2 Q + 2 trace; qicu : -2 Q + 2 p; cic : the trace. The smaller, the better.
    rjc, dbar : how far the model-based covariance is from the robust one, 0 where they agree
    gp : Gaussian pseudo-log-likelihood without its constant (the larger, the better); agpc, sgpc : -2 of it with the constant, plus
    2 or log K for each of p coefficients, the correlations and the dispersion
    qicc : qic + 2 k (k + 1) / (K - k - 1), k coefficients and correlations; variant : where the dispersion stands
    """

    qic: float
    qicu: float
    cic: float
    rjc: float
    dbar: float
    gp: float
    agpc: float
    sgpc: float
    qicc: float
    variant: str
    note: str = ""

    def __float__(self) -> float:
        return self.qic

    def __repr__(self) -> str:
        values = ", ".join(f"{name} = {value:.3f}" for name, value in zip(self._fields[:9], self[:9], strict=True))
        return f"<{values}; variant {self.variant!r}{f'; {self.note}' if self.note else ''}>"


def qic(record: GeeRecord, variant: str = "sas", phi0: float | None = None) -> Qic:
    """The criteria of a GEE.

    variant : one of VARIANTS; phi0 : the dispersion of "common", None for that of the independence fit
    Raises GlimmError for another variant, and for a phi0 that is no positive number or not wanted.
    """
    _check(variant, phi0)
    if record.solution.code == "separated":
        return _named([math.nan] * 9, variant, ["the fit is separated, so its quasi-likelihood has no maximum"])
    notes = [] if record.solution.code != "not_converged" else ["the fit did not converge"]
    p, k = record.design.mean.matrix.p, len(record.clusters.levels)
    reference = _independence(record) if variant == "geepack" or (variant == "common" and phi0 is None) else record
    scale = {"sas": 1.0, "pan": record.scale}.get(variant, reference.scale if phi0 is None else phi0)
    robust = errors_of(record, "robust").work
    if not np.isfinite(robust).all():
        notes.append("the robust covariance has no value")
    q = -2.0 * quasi_likelihood(record) / (1.0 if variant == "geepack" else scale)
    trace = float(np.sum(independence_information(reference if variant == "geepack" else record) * robust)) / scale
    gp, why = gaussian_pseudo_likelihood(record)
    if why:
        notes.append(f"gp, agpc, sgpc: {why}")
    whole, parameters = -2.0 * gp + record.design.n * math.log(2.0 * math.pi), p + len(record.alpha)
    small, left = math.nan, k - parameters - 1
    if left > 0:
        small = q + 2.0 * trace + 2.0 * parameters * (parameters + 1) / left
    else:
        notes.append(f"qicc: needs more than {parameters + 1} clusters, here are {k}")
    counted = parameters + int(not isinstance(record.working, OddsRatios))  # a dispersion, which odds ratios do not have
    likelihoods = (gp, whole + 2.0 * counted, whole + math.log(k) * counted)
    values = (q + 2.0 * trace, q + 2.0 * p, trace, *rotnitzky_jewell(record, robust), *likelihoods, small)
    return _named([float(value) if math.isfinite(value) else math.nan for value in values], variant, notes)


def qic_of_levels(record: LevelsRecord, variant: str = "sas", phi0: float | None = None) -> Qic:
    """The criteria of a fit to levels, Q = sum w log pi_y at dispersion 1; gp, agpc and sgpc, which are of numbers, are NaN.

    Raises GlimmError for another variant than "sas", and for a phi0.
    """
    _check(variant, phi0)
    if variant != "sas":
        raise GlimmError(f"qic: levels have dispersion 1, so that variant 'sas' is the only one, not {variant!r}")
    if record.solution.code == "separated":
        return _named([math.nan] * 9, variant, ["the fit is separated, so its quasi-likelihood has no maximum"])
    notes = [] if record.solution.code != "not_converged" else ["the fit did not converge"]
    design, found = record.design, probabilities(record)
    p, k, parameters = len(record.bread), len(next(iter(design.clusters.values())).levels), len(record.bread) + len(record.alpha)
    robust = errors_of(record, "robust").work
    q = -2.0 * log_likelihood(found, design.y.astype(np.int64), design.size)
    trace = float(np.sum(layout(record).information(row_information(found, design.size)) * robust))
    small, left = math.nan, k - parameters - 1
    if left > 0:
        small = q + 2.0 * trace + 2.0 * parameters * (parameters + 1) / left
    else:
        notes.append(f"qicc: needs more than {parameters + 1} clusters, here are {k}")
    values = (q + 2.0 * trace, q + 2.0 * p, trace, *rotnitzky_jewell(record, robust), *[math.nan] * 3, small)
    return _named([float(value) if math.isfinite(value) else math.nan for value in values], variant, notes)


def _named(values: Sequence[float], variant: str, notes: Sequence[str]) -> Qic:
    return Qic(**dict(zip(Qic._fields, values, strict=False)), variant=variant, note="; ".join(notes))


def _check(variant: Any, phi0: Any) -> None:
    if not isinstance(variant, str) or variant not in VARIANTS:
        raise GlimmError(f"qic: no variant {variant!r}: {suggest(str(variant), VARIANTS)}")
    if phi0 is None:
        return
    if variant != "common":
        raise GlimmError(f"qic: phi0 is the dispersion of variant 'common'; variant {variant!r} has its own: leave it out")
    if isinstance(phi0, bool) or not isinstance(phi0, Real) or not 0.0 < float(phi0) < math.inf:
        raise GlimmError(f"qic: phi0 must be a positive number, the dispersion of the largest model, not {phi0!r}")


def _independence(record: GeeRecord) -> GeeRecord:
    """The same equations with rows of a cluster taken as independent."""
    if isinstance(record.working, Independence):
        return record
    return fit_gee(record.design, record.family, next(iter(record.design.clusters)), Independence(), record.moments, Control())


def quasi_criteria(record: GeeRecord) -> dict[str, float]:
    """qic and cic with dispersion 1, for tables."""
    found = qic(record)
    return {"qic": found.qic, "cic": found.cic}


def compared_qic(records: Sequence[GeeRecord]) -> tuple[list[Qic], float | None]:
    """Criteria of several fits that may be compared by them, and the dispersion used for all; no criteria where they may not.

    Dispersion 1 where the family has no other, else that of the independence fit of the model with the most coefficients.
    """
    first = records[0]
    for other in records[1:]:
        mine, theirs = first.design, other.design
        alike = (first.family.name, first.family.fixed) == (other.family.name, other.family.fixed) and same_functions(first, other)
        if not (alike and np.array_equal(mine.rows, theirs.rows) and same(mine.size, theirs.size)):
            return [], None
    if first.family.scale_known:
        return [qic(record) for record in records], None
    try:
        scale = _independence(max(records, key=lambda r: r.design.mean.matrix.p)).scale
    except GlimmError:  # the independence fit of this model does not exist
        return [], None
    return [qic(record, "common", scale) for record in records], scale


def _rows(record: GeeRecord) -> Iterator[tuple[Design, Floats]]:
    """Rows with their linear predictor (n,): all that are held, or block by block from a file."""
    design = record.design
    if not isinstance(design, StreamedDesign):
        yield design, record.eta
        return
    beta = to_working(design.mean, record.vector)
    for part in design.stream.parts(design):
        yield part, mean_rows(part, 1).eta(beta)


def independence_information(record: GeeRecord) -> Floats:
    """(p, p) X'diag(w d^2 / v) X at the record's coefficients, on working columns."""
    out = np.zeros_like(record.bread)
    for design, eta in _rows(record):
        part = design.mean
        mu, slope, _, _ = mean(part.link.kernel, eta)
        v = variance(record.family.kernel, mu, gee_psi(record.family))
        with np.errstate(all="ignore"):
            weights = np.where(v > 0.0, slope**2 / v, 0.0) * (1.0 if design.size is None else design.size)
        out += Rows(part.matrix, part.center, part.scale, size=weights).gram()
    return out


def rotnitzky_jewell(record: Clustered, robust: Floats) -> tuple[float, float]:
    """(RJC, DBAR) from G = (phi M)^-1 V_R: distance of tr G / p and tr G^2 / p from 1, and C2 - 2 C1 + 1."""
    model = record.scale * record.bread
    if not (np.isfinite(robust).all() and np.isfinite(model).all() and positive_definite(model)):
        return math.nan, math.nan
    ratio = np.linalg.solve(model, robust)
    c1, c2 = float(np.trace(ratio)) / len(ratio), float(np.sum(ratio * ratio.T)) / len(ratio)
    return math.hypot(1.0 - c1, 1.0 - c2), c2 - 2.0 * c1 + 1.0


def gaussian_pseudo_likelihood(record: GeeRecord) -> tuple[float, str]:
    """(-1/2 sum (r'V^-1 r + log|V|) with V = phi A^1/2 R A^1/2 / w, why it has no value)."""
    log_v = 0.0
    for design, eta in _rows(record):
        mu = mean(design.mean.link.kernel, eta)[0]
        v = variance(record.family.kernel, mu, gee_psi(record.family)) / (1.0 if design.size is None else design.size)
        if not (np.all(v > 0.0) and record.scale > 0.0):
            return math.nan, "a fitted mean leaves no variance"
        log_v += float(np.log(v).sum())
    quadratic, log_det = _normal_terms(record)
    if not (math.isfinite(quadratic) and math.isfinite(log_det)):
        return math.nan, "the working correlation is not positive definite"
    return -0.5 * (quadratic / record.scale + record.design.n * math.log(record.scale) + log_v + log_det), ""


def _normal_terms(record: GeeRecord) -> tuple[float, float]:
    """(sum e'R^-1 e, sum log|R|) over clusters."""
    design = record.design
    equations = equations_of(record, design, record.clusters.name)
    try:
        done = equations.at(to_working(design.mean, record.vector), record.alpha, determinants=True)
    except np.linalg.LinAlgError:
        return math.nan, math.nan
    return done.quadratic, done.log_det


def quasi_likelihood(record: GeeRecord) -> float:
    """Q at the fitted means, dispersion 1."""
    total = 0.0
    for design, eta in _rows(record):
        mu = mean(design.mean.link.kernel, eta)[0]
        with np.errstate(all="ignore"):  # infinite or NaN where a fitted mean is at its limit
            q = quasi(record.family, design.y, mu)
        total += float(q.sum() if design.size is None else (design.size * q).sum())
    return total


def quasi(family: Family, y: Floats, mu: Floats) -> Floats:
    """(n,) an integral of (y - t) / v(t) up to mu, in the usual form of each family (from y for one of your own)."""
    from scipy.special import xlog1py, xlogy

    name = family.name
    if isinstance(family.kernel, Functions):
        return integrated(family, y, mu)
    if name == "gaussian":
        return -0.5 * (y - mu) ** 2
    if name in ("binomial", "beta", "quasibinomial"):
        return np.asarray(xlogy(y, mu) + xlog1py(1.0 - y, -mu))
    if name in ("poisson", "negative_binomial1", "quasipoisson"):
        return np.asarray(xlogy(y, mu) - mu)
    if name == "gamma":
        return -(y / mu + np.log(mu))
    if name == "inverse_gaussian":
        return np.asarray((mu - 0.5 * y) / mu**2)
    given: Mapping[str, float | None] = dict(zip(family.parameters, family.fixed, strict=True))
    if name == "negative_binomial" and (k := given["k"]) is not None:
        return np.asarray(xlogy(y, mu / (mu + k)) - k * np.log1p(mu / k))
    if name in ("tweedie", "quasi") and (power := given["power"]) is not None and power not in (1.0, 2.0):
        return np.asarray(y * mu ** (1.0 - power) / (1.0 - power) - mu ** (2.0 - power) / (2.0 - power))
    return integrated(family, y, mu)


def integrated(family: Family, y: Floats, mu: Floats) -> Floats:
    """(n,) int_y^mu (y - t) / v(t) dt by the double-exponential rule, which the zero of v at an end does not disturb."""
    step = NODES[1] - NODES[0]
    power = 0.5 * math.pi * np.sinh(NODES)
    share = 1.0 / (1.0 + np.exp(-2.0 * power))
    weight = step * 0.5 * math.pi * np.cosh(NODES) * 0.5 / np.cosh(power) ** 2
    out = np.empty(len(y))
    for first in range(0, len(y), BLOCK):
        rows = slice(first, first + BLOCK)
        away = (mu[rows] - y[rows])[:, None]
        t = y[rows][:, None] + away * share
        v = variance(family.kernel, np.ascontiguousarray(t.ravel()), gee_psi(family)).reshape(t.shape)
        part = np.divide(share * weight, v, out=np.zeros_like(v), where=v > 0.0)
        out[rows] = -(away[:, 0] ** 2) * part.sum(axis=1)
    return out
