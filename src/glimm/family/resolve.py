"""Names of families and links -> records: "gamma", "tweedie(1.5)", "power(0.5)"."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final

from ..errors import GlimmError, suggest
from .own import CustomFamily
from .records import FAMILIES, LEVELS, LINKS, NUMBERED, ODDS_POWER, POWER, QUASI, REAL, Family, Link, names

KNOWN: Final = {**FAMILIES, **QUASI, **LEVELS}
ELSEWHERE: Final = {
    "normal": "gaussian",
    "bernoulli": "binomial",
    "logistic": "binomial",
    "nb": "negative_binomial",
    "nb2": "negative_binomial",
    "nbinom": "negative_binomial",
    "nbinom2": "negative_binomial",
    "negbin": "negative_binomial",
    "negbinomial": "negative_binomial",
    "nb1": "negative_binomial1",
    "nbinom1": "negative_binomial1",
    "beta_family": "beta",
    "betareg": "beta",
    "wald": "inverse_gaussian",
    "cumulative": "ordinal",
    "ologit": "ordinal",
    "proportional_odds": "ordinal",
    "nominal": "multinomial",
    "categorical": "multinomial",
    "mlogit": "multinomial",
}
"""What R, Stata, SAS and SPSS call families."""
_CALL = re.compile(r"\s*(\w+)\s*\((.*)\)\s*")
_SPECIAL = {0.0: "log", 1.0: "identity", -1.0: "inverse", -2.0: "inverse_squared", 0.5: "sqrt"}


def resolve(family: str | Family | CustomFamily, link: str | Link | None = None) -> tuple[Family, Link]:
    """The records for the names that a user wrote.

    Raises GlimmError for an unknown name or a pair that has no meaning.

    >>> resolve("binomial", "probit")[1].name
    'probit'
    >>> resolve("tweedie(1.5)", "power(0.5)")[1].name
    'sqrt'
    """
    found = _family(family)
    chosen = link if isinstance(link, Link) else _link(found.default_link if link is None else link)
    kind = chosen.name.partition("(")[0]
    if kind not in found.links:
        raise GlimmError(f"link {chosen.name!r} does not go with family {found.name!r}: use one of {names(found.links)}")
    return found, chosen


def _family(given: Any) -> Family:
    if isinstance(given, CustomFamily):
        return given.record()
    if isinstance(given, Family):
        return given
    name, number = _called(given, "family")
    if name not in KNOWN:
        raise _unknown("family", given, KNOWN)
    family = KNOWN[name]
    if name == "quasi":
        return _quasi(given, family, number)
    if number is None:
        return family
    if name == "tweedie":
        if not 1.0 < number < 2.0:
            raise GlimmError(f"family {given!r}: the power must lie between 1 and 2 (1 is poisson, 2 is gamma, 3 is inverse_gaussian)")
        return replace(family, fixed=(None, number))
    if name == "negative_binomial":
        if not number > 0.0:
            raise GlimmError(f"family {given!r}: k must be positive, the variance is mu + mu^2 / k")
        return replace(family, fixed=(number,))
    raise GlimmError(
        f"family {given!r}: {name} takes no number (tweedie(power), quasi(power) and negative_binomial(k) do); write family={name!r}"
    )


def _quasi(given: Any, family: Family, number: float | None) -> Family:
    """Variance phi mu^p; responses of 0 have no deviance from p = 2 on, and at p = 0 any number is a response."""
    if number is None:
        raise GlimmError(f"family {given!r} needs the power of its variance: write family='quasi(1.5)' for variance phi mu^1.5")
    if not 0.0 <= number < math.inf:
        raise GlimmError(f"family {given!r}: the power of the variance phi mu^p must be a number of at least 0")
    if number == 0.0:
        return replace(family, fixed=(None, 0.0), support="real", links=REAL, default_link="identity")
    return replace(family, fixed=(None, number), support="positive" if number >= 2.0 else "nonnegative")


def _link(given: Any) -> Link:
    name, number = _called(given, "link")
    if number is None and name in LINKS:
        return LINKS[name]
    if name not in NUMBERED:
        if name in LINKS:
            raise GlimmError(f"link {given!r}: {name} takes no number; write link={name!r}")
        raise _unknown("link", given, [*LINKS, *NUMBERED])
    if number is None:
        raise GlimmError(f"link {given!r} needs its number: write link='{name}(0.5)'")
    if name == "odds_power":
        return LINKS["logit"] if number == 0.0 else Link(f"odds_power({number:g})", (ODDS_POWER, number))
    return LINKS[_SPECIAL[number]] if number in _SPECIAL else Link(f"power({number:g})", (POWER, number))


def _called(given: Any, what: str) -> tuple[Any, float | None]:
    """ "name(number)" taken apart; the number is None where there is none."""
    call = _CALL.fullmatch(given) if isinstance(given, str) else None
    if call is None:
        return (given.strip() if isinstance(given, str) else None), None
    try:
        return call[1], float(call[2].partition("=")[2] or call[2])
    except ValueError:
        raise GlimmError(f"{what} {given!r}: {call[2]!r} is not a number") from None


def _unknown(what: str, given: object, known: Iterable[str]) -> GlimmError:
    """The error for a name that is not there, with the nearest one."""
    if not isinstance(given, str):
        return GlimmError(f"{what} must be a name such as {next(iter(known))!r}, not {type(given).__name__}: have {names(known)}")
    bare = given.partition("(")[0].strip()
    if what == "family" and bare.lower() in ELSEWHERE:
        return GlimmError(f"unknown family {given!r}: did you mean {ELSEWHERE[bare.lower()]!r}? (have: {names(known)})")
    return GlimmError(f"unknown {what} {given!r}: {suggest(given, known)}")
