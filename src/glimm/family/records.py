"""Families and links: y | eta has log-density size * l(y, eta; psi) + constants, mean mu = h(eta), variance phi v(mu) / size.

A family here is a record; its mathematics is written once, in native/families.hpp.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..errors import GlimmError, suggest


@dataclass(frozen=True, slots=True)
class Link:
    """A link function g: eta = g(mu). `kernel` is its number in native code."""

    name: str
    kernel: int


@dataclass(frozen=True, slots=True)
class Family:
    """A response distribution.

    kernel : its number in native code
    predictors : number m of linear predictors
    parameters : names of the family's own parameters, estimated on the scale named in `transforms`
    support : what a response may be
    scale_known : the dispersion is fixed at 1
    """

    name: str
    kernel: int
    default_link: str
    links: tuple[str, ...]
    support: Literal["real", "count", "binomial"]
    scale_known: bool
    predictors: int = 1
    parameters: tuple[str, ...] = ()
    transforms: tuple[str, ...] = ()


LINKS = {name: Link(name, k) for k, name in enumerate(("identity", "log", "logit", "probit", "cloglog"))}

FAMILIES = {
    f.name: f
    for f in (
        Family("gaussian", 0, "identity", ("identity", "log"), "real", False, parameters=("sigma",), transforms=("log",)),
        Family("binomial", 1, "logit", ("logit", "probit", "cloglog", "log", "identity"), "binomial", True),
        Family("poisson", 2, "log", ("log", "identity"), "count", True),
    )
}


def resolve(family: str | Family, link: str | Link | None = None) -> tuple[Family, Link]:
    """The records for the names that a user wrote.

    Raises GlimmError for an unknown name or a pair that has no meaning.

    >>> resolve("binomial", "probit")[1].name
    'probit'
    """
    if not isinstance(family, Family):
        if not isinstance(family, str) or family not in FAMILIES:
            raise GlimmError(f"unknown family {family!r}: {suggest(str(family), FAMILIES)}")
        family = FAMILIES[family]
    name = link.name if isinstance(link, Link) else link or family.default_link
    if name not in LINKS:
        raise GlimmError(f"unknown link {name!r}: {suggest(str(name), LINKS)}")
    if name not in family.links:
        raise GlimmError(f"link {name!r} does not go with family {family.name!r}: use one of {', '.join(family.links)}")
    return family, LINKS[name]
