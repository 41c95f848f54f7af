"""The working correlation that `corr=` names: "ar(2)" -> Autoregressive(2)."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from ..errors import GlimmError, suggest
from .by_lag import Autoregressive, Stationary
from .by_wave import CustomCorr, FixedCorr, Unstructured
from .nested import Nested
from .working import Ar1, Exchangeable, Independence, Working

PLAIN: Final[dict[str, Working]] = {w.name: w for w in (Independence(), Exchangeable(), Ar1(), Unstructured(), Nested())}
NUMBERED: Final[dict[str, Callable[[int], Working]]] = {"ar": Autoregressive, "stationary": Stationary, "nonstationary": Unstructured}
KNOWN: Final = (*PLAIN, "ar(2)", "stationary(2)", "nonstationary(2)", "odds_ratio")
OTHERWISE: Final = {
    "mdep": "stationary(m)",
    "m-dependent": "stationary(m)",
    "m_dependent": "stationary(m)",
    "toeplitz": "stationary(m)",
    "ar": "ar1",
    "ar(1)": "ar1",
    "ar-1": "ar1",
    "ar-m": "ar(m)",
    "ar-1m": "ar(m)",
    "cs": "exchangeable",
    "exch": "exchangeable",
    "alr": "odds_ratio",
    "logor": "odds_ratio",
    "odds ratio": "odds_ratio",
    "compound symmetry": "exchangeable",
    "ind": "independence",
    "un": "unstructured",
    "unstr": "unstructured",
    "stat_m_dep": "stationary(m)",
    "non_stat_m_dep": "nonstationary(m)",
    "nested_exchangeable": "nested",
    "fullclust": "odds_ratio(pairs)",
    "nest1": "odds_ratio(nested)",
}


def working(corr: Any) -> Working:
    """The structure; raises GlimmError for what names none.

    >>> working("ar(2)").name, working("exchangeable").name
    ('ar(2)', 'exchangeable')
    """
    if isinstance(corr, FixedCorr | CustomCorr):
        return corr
    if not isinstance(corr, str):
        raise GlimmError(
            f"corr must be the name of a working correlation, such as 'exchangeable', glimm.FixedCorr(matrix) or glimm.CustomCorr(...), "
            f"not {type(corr).__name__}"
        )
    if corr in PLAIN:
        return PLAIN[corr]
    found = re.fullmatch(r"\s*(\w+)\s*\(\s*(\w+)\s*\)\s*", corr)
    if found and found[1] in NUMBERED:
        if not found[2].isdecimal() or int(found[2]) < 1:
            raise GlimmError(f"corr={corr!r}: {found[1]} takes a whole number of at least 1, such as '{found[1]}(2)'")
        if found[1] == "ar" and int(found[2]) == 1:
            return PLAIN["ar1"]
        return NUMBERED[found[1]](int(found[2]))
    if corr in NUMBERED:
        example = "'ar1' or 'ar(2)'" if corr == "ar" else f"'{corr}(2)'"
        raise GlimmError(f"corr={corr!r} needs a number: write {example}")
    if corr == "fixed":
        raise GlimmError("corr='fixed' needs the matrix: corr=glimm.FixedCorr(matrix)")
    if (here := _elsewhere(corr.lower())) is not None:
        raise GlimmError(f"unknown working correlation corr={corr!r}: here it is called {here!r}")
    raise GlimmError(f"unknown working correlation corr={corr!r}: {suggest(corr, KNOWN)}; or FixedCorr, CustomCorr of glimm")


def _elsewhere(corr: str) -> str | None:
    """The name here of what other programs call so, in lower case.

    >>> _elsewhere("mdep(2)"), _elsewhere("ar(2)"), _elsewhere("un")
    ('stationary(2)', 'ar(2)', 'unstructured')
    """
    if corr in OTHERWISE:
        return OTHERWISE[corr]
    name, _, number = (part.strip() for part in corr.rstrip(") ").partition("("))
    if not number.isdecimal():
        return None
    if name in NUMBERED:
        return f"{name}({number})"
    found = OTHERWISE.get(name)
    return None if found is None else found.replace("(m)", f"({number})")
