"""Families as distributions: Y_i ~ F(mu_i; parameters, w_i), with draws, F itself and Var Y = phi v(mu) / w.

Weights divide the dispersion of families that have one, and are not part of any other distribution.
F of counts and of proportions is the incomplete gamma or beta function, which also joins the whole numbers smoothly.
Source: Dunn and Smyth (2018), Generalized Linear Models With Examples in R, chapters 5 and 12 (Tweedie: a Poisson sum of gammas);
Shuster (1968), J. Am. Stat. Assoc. 63, 1514-1516 (inverse gaussian).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from ..design.records import Design
from ..errors import GlimmError
from ..family import Family
from ..family.own import Functions
from ..kernels.matrix import Floats
from ..records import Record

Values = Mapping[str, float]
TAIL = 9.0
MANY = 1e4
NO_SPREAD = 1e9
"""k at which counts are Poisson counts to more digits than the incomplete beta function has left."""
BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Distribution:
    """One family.

    draw : (generator, mu, values of the parameters, weights or 1, trials or 1) -> responses on the scale of the mean, shaped as mu
    below : (y, mu, values, weights or 1, trials or 1) -> P(Y <= y) at whole numbers of a count, y on the scale of the mean, a smooth
    rising function of y >= 0 between them; arrays of one shape, mu inside (low, high)
    variance : (mu, values) -> variance of one response with weight and trials 1
    low, high : means are inside; closed : the ends are means too
    weighted : weights divide the dispersion
    """

    draw: Callable[[np.random.Generator, Floats, Values, Any, Any], Floats]
    below: Callable[[Floats, Floats, Values, Any, Any], Floats]
    variance: Callable[[Floats, Values], Floats]
    low: float = 0.0
    high: float = np.inf
    closed: bool = False
    weighted: bool = False

    def possible(self, mu: Floats) -> Any:
        """Where mu is a mean of this family."""
        inside = (mu >= self.low) & (mu <= self.high) if self.closed else (mu > self.low) & (mu < self.high)
        return inside & np.isfinite(mu)


def _gaussian(rng: np.random.Generator, mu: Floats, values: Values, w: Any, trials: Any) -> Floats:
    return np.asarray(mu + np.sqrt(values["phi"] / w) * rng.standard_normal(mu.shape))


def _binomial(rng: np.random.Generator, mu: Floats, values: Values, w: Any, trials: Any) -> Floats:
    if np.ndim(trials) == 0:
        return (rng.random(mu.shape) < mu).astype(np.float64)
    counts = np.rint(trials).astype(np.int64)
    return np.asarray(rng.binomial(counts, mu) / np.maximum(counts, 1))


def _poisson(rng: np.random.Generator, mu: Floats, values: Values, w: Any, trials: Any) -> Floats:
    return rng.poisson(mu).astype(np.float64)


def _gamma(rng: np.random.Generator, mu: Floats, values: Values, w: Any, trials: Any) -> Floats:
    phi = values["phi"] / w
    return np.asarray(rng.gamma(1.0 / phi, mu * phi))


def _inverse_gaussian(rng: np.random.Generator, mu: Floats, values: Values, w: Any, trials: Any) -> Floats:
    return np.asarray(rng.wald(mu, w / values["phi"]))


def _negative_binomial(rng: np.random.Generator, mu: Floats, values: Values, w: Any, trials: Any) -> Floats:
    k = values["k"]
    return rng.poisson(rng.gamma(k, mu / k)).astype(np.float64)


def _negative_binomial1(rng: np.random.Generator, mu: Floats, values: Values, w: Any, trials: Any) -> Floats:
    alpha = values["alpha"]
    return rng.poisson(rng.gamma(mu / alpha, alpha)).astype(np.float64)


def _beta(rng: np.random.Generator, mu: Floats, values: Values, w: Any, trials: Any) -> Floats:
    return np.asarray(rng.beta(mu * values["precision"], (1.0 - mu) * values["precision"]))


def _tweedie(rng: np.random.Generator, mu: Floats, values: Values, w: Any, trials: Any) -> Floats:
    power, phi = values["power"], values["phi"] / w
    count = rng.poisson(mu ** (2.0 - power) / (phi * (2.0 - power)))
    return np.asarray(rng.gamma(count * (2.0 - power) / (power - 1.0), phi * (power - 1.0) * mu ** (power - 1.0)))


def _gaussian_below(y: Floats, mu: Floats, values: Values, w: Any, trials: Any) -> Floats:
    from scipy.special import ndtr

    return np.asarray(ndtr((y - mu) / np.sqrt(values["phi"] / w)))


def _binomial_below(y: Floats, mu: Floats, values: Values, w: Any, trials: Any) -> Floats:
    from scipy.special import betainc

    count = y * trials
    return np.asarray(np.where(count < trials, betainc(np.where(count < trials, trials - count, 1.0), count + 1.0, 1.0 - mu), 1.0))


def _poisson_below(y: Floats, mu: Floats, values: Values, w: Any, trials: Any) -> Floats:
    from scipy.special import gammaincc

    return np.asarray(gammaincc(y + 1.0, mu))


def _gamma_below(y: Floats, mu: Floats, values: Values, w: Any, trials: Any) -> Floats:
    from scipy.special import gammainc

    shape = w / values["phi"]
    return np.asarray(gammainc(shape, y / mu * shape))


def _inverse_gaussian_below(y: Floats, mu: Floats, values: Values, w: Any, trials: Any) -> Floats:
    from scipy.special import log_ndtr, ndtr

    shape = w / values["phi"]
    root = np.sqrt(shape / np.maximum(y, 1e-300))
    return np.asarray(ndtr(root * (y / mu - 1.0)) + np.exp(2.0 * shape / mu + log_ndtr(-root * (y / mu + 1.0))))


def _negative_binomial_below(y: Floats, mu: Floats, values: Values, w: Any, trials: Any) -> Floats:
    from scipy.special import betainc

    k = values["k"]
    return _poisson_below(y, mu, values, w, trials) if k > NO_SPREAD else np.asarray(betainc(k, y + 1.0, k / (k + mu)))


def _negative_binomial1_below(y: Floats, mu: Floats, values: Values, w: Any, trials: Any) -> Floats:
    from scipy.special import betainc

    alpha = values["alpha"]
    return (
        _poisson_below(y, mu, values, w, trials)
        if alpha * NO_SPREAD < 1.0
        else np.asarray(betainc(mu / alpha, y + 1.0, 1.0 / (1.0 + alpha)))
    )


def _beta_below(y: Floats, mu: Floats, values: Values, w: Any, trials: Any) -> Floats:
    from scipy.special import betainc

    return np.asarray(betainc(mu * values["precision"], (1.0 - mu) * values["precision"], y))


def _tweedie_below(y: Floats, mu: Floats, values: Values, w: Any, trials: Any) -> Floats:
    """P(N = 0) + sum over n >= 1 of P(N = n) P(Gamma(n shape) <= y / size), the terms that N and the gamma variable have within TAIL sd.

    Beyond a rate of MANY the sum is as good as a shifted gamma variable with the same mean, variance and skewness.
    """
    from scipy.special import gammainc, gammaincc, gammaln, xlogy

    power, phi = values["power"], values["phi"] / w
    shape = (2.0 - power) / (power - 1.0)
    size = np.maximum(phi * (power - 1.0) * mu ** (power - 1.0), 1e-300 * (1.0 + y))
    both = np.broadcast_arrays(mu ** (2.0 - power) / (phi * (2.0 - power)), y / size)
    rate, scaled = (a.ravel() for a in both)
    many = rate > MANY
    if many.any():
        out = np.empty(len(rate))
        y, mu, phi = (np.broadcast_to(a, both[0].shape).ravel() for a in (y, mu, phi))
        centre, sd = mu[many], np.sqrt(phi * mu**power)[many]
        k = 4.0 / (power * sd / centre) ** 2
        out[many] = gammainc(k, np.maximum(k + np.sqrt(k) * (y[many] - centre) / sd, 0.0))
        if not many.all():
            out[~many] = _tweedie_below(y[~many], mu[~many], {"power": power, "phi": 1.0}, 1.0 / phi[~many], trials)
        return out.reshape(both[0].shape)
    first, last = np.maximum(1.0, np.floor(rate - TAIL * np.sqrt(rate))), np.ceil(rate + TAIL * np.sqrt(rate) + 2.0 * TAIL)
    spread = TAIL * np.sqrt(scaled)
    low = np.clip(np.floor((scaled - spread) / shape), first, last)  # the gamma part is 1 below and 0 above
    terms = np.clip(np.ceil((scaled + spread + 2.0 * TAIL) / shape), low, last) - low + 1.0
    step = np.maximum(1.0, np.floor(0.25 * np.sqrt(rate / max(1.0, shape))))  # quarters of a width sum as well as all terms
    wide = np.ceil((last - first + 1.0) / step)
    step, low, terms = np.where(wide < terms, [step, first, wide], [np.ones(len(rate)), low, terms])
    out = gammaincc(low, rate)
    order = np.argsort(-terms, kind="stable")
    start = 0
    while start < len(order):
        most = int(terms[order[start]])
        at = order[start : start + max(1, BLOCK // most)]
        n = low[at, None] + step[at, None] * np.arange(most)
        chance = step[at, None] * np.exp(xlogy(n, rate[at, None]) - rate[at, None] - gammaln(n + 1.0))
        out[at] += np.sum(chance * gammainc(n * shape, scaled[at, None]), axis=1)
        start += len(at)
    return np.asarray(np.minimum(out, 1.0).reshape(both[0].shape))


DISTRIBUTIONS: Final[dict[str, Distribution]] = {
    "gaussian": Distribution(_gaussian, _gaussian_below, lambda mu, v: np.full_like(mu, v["phi"]), low=-np.inf, weighted=True),
    "binomial": Distribution(_binomial, _binomial_below, lambda mu, v: mu * (1.0 - mu), high=1.0, closed=True),
    "poisson": Distribution(_poisson, _poisson_below, lambda mu, v: mu, high=1e18, closed=True),
    "gamma": Distribution(_gamma, _gamma_below, lambda mu, v: v["phi"] * mu**2, weighted=True),
    "inverse_gaussian": Distribution(_inverse_gaussian, _inverse_gaussian_below, lambda mu, v: v["phi"] * mu**3, weighted=True),
    "negative_binomial": Distribution(_negative_binomial, _negative_binomial_below, lambda mu, v: mu + mu**2 / v["k"], high=1e17),
    "negative_binomial1": Distribution(_negative_binomial1, _negative_binomial1_below, lambda mu, v: (1.0 + v["alpha"]) * mu, high=1e17),
    "beta": Distribution(_beta, _beta_below, lambda mu, v: mu * (1.0 - mu) / (1.0 + v["precision"]), high=1.0),
    "tweedie": Distribution(_tweedie, _tweedie_below, lambda mu, v: v["phi"] * mu ** v["power"], weighted=True),
}


def check_units(design: Design, asked: str) -> None:
    """Raises GlimmError where a row does not stand for one response: weights that count rows, or those of a survey."""
    if not design.multiplied:
        return
    remedy = "repeat the rows" if design.counted else "draw from a fit without weights"
    raise GlimmError(
        f"{asked}: with {design.weights_kind} weights a row stands for several responses, which have no distribution here: {remedy}"
    )


def distribution(family: Family, asked: str) -> Distribution:
    """The distribution of a family; raises GlimmError for one that has none, naming what was asked."""
    if isinstance(family.kernel, Functions):
        raise GlimmError(f"{asked}: family {family.name!r} is your own, a log-density without a rule for drawing responses from it")
    if family.name not in DISTRIBUTIONS:
        if not family.likelihood:
            raise GlimmError(f"{asked}: family {family.name!r} is a mean and a variance, and no distribution to draw from")
        raise GlimmError(f"{asked}: family {family.name!r} has no distribution to draw from; those that have: {', '.join(DISTRIBUTIONS)}")
    return DISTRIBUTIONS[family.name]


def parameter_values(record: Record) -> dict[str, float]:
    """The family's own parameters, estimated or given; phi is the dispersion."""
    family, psi = record.family, record.vector[record.blocks.get("family", slice(0, 0))]
    values = {"phi": record.scale}
    values |= {name: v for name, v in zip(family.parameters, family.fixed, strict=False) if v is not None}
    if len(psi):
        values |= dict(zip(family.estimated, family.natural(psi)[0].tolist(), strict=True))
    return values


def known_values(record: Record, asked: str) -> dict[str, float]:
    """The same; raises GlimmError where one is zero, infinite or unknown, as in an exact fit."""
    values = parameter_values(record)
    for name, value in values.items():
        if not 0.0 < value < np.inf:
            what = "the dispersion" if name == "phi" else name
            raise GlimmError(f"{asked}: {what} of the fit is {value:g}, so there is no distribution of responses: read fit.record.solution")
    return values


def response_variance(record: Record, mu: Floats, asked: str) -> Floats:
    """(n,) the variance of a response with weight and trials 1; raises GlimmError for a user's family without one."""
    kernel = record.family.kernel
    if isinstance(kernel, Functions):
        if kernel.given.variance is None:
            raise GlimmError(f"{asked}: family {record.family.name!r} has no variance: give it, glimm.CustomFamily(..., variance=...)")
        return kernel.variance(mu, record.family.psi(record.vector[record.blocks.get("family", slice(0, 0))]))
    return distribution(record.family, asked).variance(mu, parameter_values(record))
