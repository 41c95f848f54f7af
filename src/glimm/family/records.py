"""Families and links: y | eta has log-density size * l(y, eta; psi) + constants, mean mu = h(eta), variance phi v(mu) / size.

A family here is a record; its mathematics is written once, in native/families.hpp.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final, Literal

from ..errors import GlimmError, NotYetError, suggest


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


LATER_FAMILIES: Final = (
    "gamma",
    "inverse_gaussian",
    "negative_binomial",
    "negative_binomial1",
    "tweedie",
    "beta",
    "quasibinomial",
    "quasipoisson",
    "ordinal",
    "multinomial",
)
LATER_LINKS: Final = ("loglog", "cauchit", "inverse", "inverse_squared", "sqrt", "logc", "power", "odds_power")


def resolve(family: str | Family, link: str | Link | None = None) -> tuple[Family, Link]:
    """The records for the names that a user wrote.

    Raises GlimmError for an unknown name or a pair that has no meaning, NotYetError for names that come in a later release.

    >>> resolve("binomial", "probit")[1].name
    'probit'
    """
    if not isinstance(family, Family):
        if not isinstance(family, str) or family not in FAMILIES:
            raise _unknown("family", family, FAMILIES, LATER_FAMILIES)
        family = FAMILIES[family]
    name = family.default_link if link is None else link.name if isinstance(link, Link) else link
    if not isinstance(name, str) or name not in LINKS:
        raise _unknown("link", name, LINKS, LATER_LINKS)
    if name not in family.links:
        raise GlimmError(f"link {name!r} does not go with family {family.name!r}: use one of {', '.join(family.links)}")
    return family, LINKS[name]


def _unknown(what: str, given: object, known: Iterable[str], later: tuple[str, ...]) -> GlimmError:
    """The error for a name that is not there: not in this release, or in no release, with the nearest name of either kind."""
    if not isinstance(given, str):
        return GlimmError(f"{what} must be a name such as {next(iter(known))!r}, not {type(given).__name__}: have {', '.join(known)}")
    bare = given.partition("(")[0].strip()
    if bare in later:
        return NotYetError(f"{what} {given!r} is not in this release: use one of {', '.join(known)}")
    near = get_close_matches(bare.lower(), [*known, *later], n=1, cutoff=0.6)
    if near and near[0] in later:
        return GlimmError(f"unknown {what} {given!r}: if you mean {near[0]!r}, it is not in this release (have: {', '.join(known)})")
    return GlimmError(f"unknown {what} {given!r}: {suggest(given, known)}")
