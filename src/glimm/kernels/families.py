"""Families and links row by row: l(y, eta; psi) per row with its derivatives, means and variances.

`family` and `link` are the numbers in the records of glimm.family; size multiplies a row's log-density (None is 1).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .matrix import Floats
from .native import native


def floats(a: Any) -> Floats:
    """The array as contiguous float64; no copy if it is so already."""
    return np.ascontiguousarray(a, dtype=np.float64)


def maybe(a: Any) -> Floats | None:
    """The same for an array that may be None."""
    return None if a is None else floats(a)


def jets(
    family: int, link: int, y: Floats, eta: Floats, size: Floats | None = None, psi: float = 0.0
) -> tuple[Floats, Floats, Floats, Floats]:
    """(l, dl, d2l, d3l), each (n,): log-density without the terms free of eta, and its derivatives in eta."""
    out: tuple[Floats, Floats, Floats, Floats] = native().jets(family, link, psi, floats(y), maybe(size), floats(eta))
    return out


def working(family: int, link: int, y: Floats, eta: Floats, size: Floats | None = None, psi: float = 0.0) -> tuple[Floats, Floats, Floats]:
    """(l, dl, w), each (n,): w is the expected information in eta."""
    out: tuple[Floats, Floats, Floats] = native().working(family, link, psi, floats(y), maybe(size), floats(eta))
    return out


def psi_jets(family: int, link: int, y: Floats, eta: Floats, size: Floats | None = None, psi: float = 0.0) -> tuple[Floats, Floats, Floats]:
    """Derivatives in psi of l, of dl and of -d2l, each (n,)."""
    out: tuple[Floats, Floats, Floats] = native().psi_jets(family, link, psi, floats(y), maybe(size), floats(eta))
    return out


def constant(family: int, y: Floats, trials: Floats | None, weights: Floats | None, psi: float = 0.0) -> float:
    """The terms of the log-likelihood that are free of eta, summed over rows."""
    return float(native().constant(family, psi, floats(y), maybe(trials), maybe(weights)))


def mean(link: int, eta: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """(mu, mu', mu'', mu'''), each (n,): the inverse link and its derivatives."""
    out: tuple[Floats, Floats, Floats, Floats] = native().mean(link, floats(eta))
    return out


def link(link: int, mu: Floats) -> Floats:
    """(n,) eta = g(mu)."""
    out: Floats = native().link(link, floats(mu))
    return out


def variance(family: int, mu: Floats) -> Floats:
    """(n,) the variance function v(mu)."""
    out: Floats = native().variance(family, floats(mu))
    return out


def unit_deviance(family: int, y: Floats, mu: Floats) -> Floats:
    """(n,) the deviance of each row for size 1."""
    out: Floats = native().unit_deviance(family, floats(y), floats(mu))
    return out
