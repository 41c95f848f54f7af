"""Families as distributions: Y_i ~ F(mu_i; parameters, w_i), with draws and Var Y = phi v(mu) / w.

Weights divide the dispersion of families that have one, and are not part of any other distribution.
Source: Dunn and Smyth (2018), Generalized Linear Models With Examples in R, chapters 5 and 12 (Tweedie: a Poisson sum of gammas).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from ..errors import GlimmError
from ..family import Family
from ..kernels.matrix import Floats
from ..records import Record

Values = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Distribution:
    """One family.

    draw : (generator, mu, values of the parameters, weights or 1, trials or 1) -> responses on the scale of the mean, shaped as mu
    variance : (mu, values) -> variance of one response with weight and trials 1
    low, high : means are inside; closed : the ends are means too
    weighted : weights divide the dispersion
    """

    draw: Callable[[np.random.Generator, Floats, Values, Any, Any], Floats]
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


DISTRIBUTIONS: Final[dict[str, Distribution]] = {
    "gaussian": Distribution(_gaussian, lambda mu, v: np.full_like(mu, v["phi"]), low=-np.inf, weighted=True),
    "binomial": Distribution(_binomial, lambda mu, v: mu * (1.0 - mu), high=1.0, closed=True),
    "poisson": Distribution(_poisson, lambda mu, v: mu, high=1e18, closed=True),
    "gamma": Distribution(_gamma, lambda mu, v: v["phi"] * mu**2, weighted=True),
    "inverse_gaussian": Distribution(_inverse_gaussian, lambda mu, v: v["phi"] * mu**3, weighted=True),
    "negative_binomial": Distribution(_negative_binomial, lambda mu, v: mu + mu**2 / v["k"], high=1e17),
    "negative_binomial1": Distribution(_negative_binomial1, lambda mu, v: (1.0 + v["alpha"]) * mu, high=1e17),
    "beta": Distribution(_beta, lambda mu, v: mu * (1.0 - mu) / (1.0 + v["precision"]), high=1.0),
    "tweedie": Distribution(_tweedie, lambda mu, v: v["phi"] * mu ** v["power"], weighted=True),
}


def distribution(family: Family, asked: str) -> Distribution:
    """The distribution of a family; raises GlimmError for one that has none, naming what was asked."""
    if family.name not in DISTRIBUTIONS:
        raise GlimmError(f"{asked}: family {family.name!r} has no distribution to draw from; those that have: {', '.join(DISTRIBUTIONS)}")
    return DISTRIBUTIONS[family.name]


def parameter_values(record: Record) -> dict[str, float]:
    """The family's own parameters, estimated or given; phi is the dispersion."""
    family = record.family
    values = {
        "phi": record.scale,
        **{name: value for name, value in zip(family.parameters, family.fixed, strict=False) if value is not None},
    }
    psi = record.vector[record.blocks["family"]] if "family" in record.blocks else np.zeros(0)
    if len(psi):
        values |= dict(zip(family.estimated, family.natural(psi)[0].tolist(), strict=True))
    return values
