"""Families and links: y | eta has log-density size * l(y, eta; psi) + constants, mean mu = h(eta), variance phi v(mu) / size.

A family here is a record; its mathematics is written once, in native/families.hpp.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ..kernels.matrix import Floats

Support = Literal["real", "positive", "nonnegative", "unit", "count", "binomial", "ordered", "nominal"]


@dataclass(frozen=True, slots=True)
class Link:
    """A link function g: eta = g(mu). `kernel` is its number in native code, with its own number where it has one."""

    name: str
    kernel: int | tuple[int, float]


@dataclass(frozen=True, slots=True)
class Family:
    """A response distribution.

    kernel : its number in native code, or a user's functions; None where the response is a factor (`LEVELS`)
    predictors : number m of linear predictors
    parameters : names of the family's own parameters, estimated on the scale named in `transforms` ("log"; "power": logit(p - 1)), or given
        and taken as they are ("plain")
    support : what a response may be
    scale_known : the dispersion is fixed at 1; otherwise the first parameter is the dispersion, phi (gaussian: sigma)
    fixed : natural values of parameters that are given and not estimated, None for the others; empty if all are estimated
    orthogonal : expected information has no block between the mean and the family's parameters
    start : natural values to begin from, where the family gives them
    likelihood : it is a distribution; otherwise only a mean and a variance phi v(mu), estimated by quasi-likelihood
    """

    name: str
    kernel: Any
    default_link: str
    links: tuple[str, ...]
    support: Support
    scale_known: bool
    predictors: int = 1
    parameters: tuple[str, ...] = ()
    transforms: tuple[str, ...] = ()
    fixed: tuple[float | None, ...] = ()
    orthogonal: bool = True
    start: tuple[float, ...] = ()
    likelihood: bool = True

    @property
    def counts(self) -> bool:
        """Whether means are mean counts."""
        return self.support == "count" or self.name == "quasipoisson"

    @property
    def free(self) -> tuple[int, ...]:
        """Positions of the parameters that are estimated."""
        return tuple(k for k in range(len(self.parameters)) if self.likelihood and (not self.fixed or self.fixed[k] is None))

    @property
    def shaped(self) -> bool:
        """Whether a parameter other than a dispersion is estimated."""
        return any(self.scale_known or k > 0 for k in self.free)

    @property
    def estimated(self) -> tuple[str, ...]:
        """Names of the parameters that are estimated."""
        return tuple(self.parameters[k] for k in self.free)

    def psi(self, free: Sequence[float] | Floats = ()) -> Floats:
        """(k,) all parameters on their transformed scale: the estimated ones as given (0 if none are), the others where they are fixed."""
        out = np.zeros(len(self.parameters))
        for k, value in enumerate(self.fixed):
            if value is not None:
                out[k] = transformed(self.transforms[k], value)
        if len(free):
            out[list(self.free)] = free
        return out

    def at_unit(self, free: Sequence[float] | Floats) -> Floats:
        """psi with the dispersion at 1."""
        out = self.psi(free)
        if not self.scale_known and len(out):
            out[0] = 0.0
        return out

    def natural(self, free: Sequence[float] | Floats) -> tuple[Floats, Floats]:
        """The estimated parameters on their natural scale, and the derivatives of these in psi."""
        pairs = [_natural(self.transforms[k], float(v)) for k, v in zip(self.free, free, strict=True)]
        return np.array([value for value, _ in pairs]), np.array([slope for _, slope in pairs])

    def scale(self, free: Sequence[float] | Floats) -> float:
        """The dispersion: phi (gaussian: sigma^2), 1 where the family has none."""
        if self.scale_known:
            return 1.0
        return float(np.exp((2.0 if self.name == "gaussian" else 1.0) * self.psi(free)[0]))


def transformed(transform: str, value: float) -> float:
    """A parameter on the scale on which it is estimated."""
    if transform == "plain":
        return value
    return float(np.log(value) if transform == "log" else np.log(value - 1.0) - np.log(2.0 - value))


def _natural(transform: str, psi: float) -> tuple[float, float]:
    if transform == "log":
        return float(np.exp(psi)), float(np.exp(psi))
    q = float(1.0 / (1.0 + np.exp(-psi)))
    return 1.0 + q, q * (1.0 - q)


POWER, ODDS_POWER = 8, 9
LINKS = {
    link.name: link
    for link in (
        *(Link(name, k) for k, name in enumerate(("identity", "log", "logit", "probit", "cloglog", "loglog", "cauchit", "logc"))),
        Link("inverse", (POWER, -1.0)),
        Link("inverse_squared", (POWER, -2.0)),
        Link("sqrt", (POWER, 0.5)),
    )
}
NUMBERED = ("power", "odds_power")
"""Links with a number of their own, as in power(0.5)."""

UNIT = ("logit", "probit", "cloglog", "loglog", "cauchit", "log", "logc", "identity", "power", "odds_power")
POSITIVE = ("log", "identity", "inverse", "inverse_squared", "sqrt", "power")
REAL = ("identity", "log", "inverse", "inverse_squared", "sqrt", "power", "logit", "probit", "cloglog", "loglog", "cauchit")


def _own(name: str, kernel: int, links: tuple[str, ...], support: Support, parameter: str, **more: Any) -> Family:
    """A family with one parameter, on the log scale."""
    return Family(name, kernel, links[0], links, support, more.pop("scale_known", False), 1, (parameter,), ("log",), **more)


FAMILIES = {
    f.name: f
    for f in (
        _own("gaussian", 0, REAL, "real", "sigma"),
        Family("binomial", 1, "logit", UNIT, "binomial", True),
        Family("poisson", 2, "log", POSITIVE, "count", True),
        _own("gamma", 3, ("inverse", *(link for link in POSITIVE if link != "inverse")), "positive", "phi"),
        _own("inverse_gaussian", 4, ("inverse_squared", *(k for k in POSITIVE if k != "inverse_squared")), "positive", "phi"),
        _own("negative_binomial", 5, POSITIVE, "count", "k", scale_known=True),
        _own("negative_binomial1", 6, POSITIVE, "count", "alpha", scale_known=True, orthogonal=False),
        _own("beta", 7, UNIT, "unit", "precision", scale_known=True, orthogonal=False),
        Family("tweedie", 8, "log", POSITIVE, "nonnegative", False, 1, ("phi", "power"), ("log", "power")),
    )
}

QUASI = {
    f.name: f
    for f in (
        Family("quasibinomial", 1, "logit", UNIT, "binomial", False, likelihood=False),
        Family("quasipoisson", 2, "log", POSITIVE, "nonnegative", False, likelihood=False),
        Family("quasi", 10, "log", POSITIVE, "nonnegative", False, 1, ("phi", "power"), ("log", "plain"), likelihood=False),
    )
}
"""Families that are a mean and a variance only."""

CUMULATIVE = ("logit", "probit", "cloglog", "loglog", "cauchit")
COMPLEMENT = {"logit": "logit", "probit": "probit", "cauchit": "cauchit", "cloglog": "loglog", "loglog": "cloglog"}
"""The link with which 1 - h(-eta) is the mean: P(Y > c) has it where P(Y <= c) = h(t_c - eta)."""

LEVELS = {
    f.name: f
    for f in (
        Family("ordinal", None, "logit", CUMULATIVE, "ordered", True),
        Family("multinomial", None, "logit", ("logit",), "nominal", True),
    )
}
"""Families whose response is a factor: one linear predictor for each level but one."""


def names(known: Iterable[str]) -> str:
    """Names in a list for an error."""
    return ", ".join(f"{name}(p)" if name in NUMBERED else name for name in known)
