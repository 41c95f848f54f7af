"""Families and links row by row: l(y, eta; psi) per row with its derivatives, means and variances.

`family` and `link` are the kernels in the records of glimm.family: numbers, or a user's own family and (number, power) of a link.
size multiplies a row's log-density (None is 1); psi holds the family's own parameters on their transformed scale (default 0).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .matrix import Floats
from .native import native

FamilyKernel = Any  # int, or an object with jets, psi_jets and variance
LinkKernel = int | tuple[int, float]
Psi = ArrayLike


def floats(a: Any) -> Floats:
    """The array as contiguous float64; no copy if it is so already."""
    return np.ascontiguousarray(a, dtype=np.float64)


def maybe(a: Any) -> Floats | None:
    """The same for an array that may be None."""
    return None if a is None else floats(a)


def shaped(a: Any, *shape: int) -> Floats:
    """The array as contiguous float64, of that shape; raises ValueError for another one."""
    out = floats(a)
    if out.shape != shape:
        raise ValueError(f"an array of shape {shape} is needed, not of {out.shape}")
    return out


def maybe_shaped(a: Any, *shape: int) -> Floats | None:
    """The same for an array that may be None."""
    return None if a is None else shaped(a, *shape)


def own(psi: Any) -> Floats:
    """psi as a contiguous array, a single number too."""
    return floats(np.atleast_1d(psi))


def jets(
    family: FamilyKernel, link: LinkKernel, y: Floats, eta: Floats, size: Floats | None = None, psi: Psi = ()
) -> tuple[Floats, Floats, Floats, Floats]:
    """(l, dl, d2l, d3l), each (n,): log-density without the terms free of eta, and its derivatives in eta."""
    out: tuple[Floats, Floats, Floats, Floats] = native().jets(
        family, link, own(psi), floats(y), maybe_shaped(size, len(y)), shaped(eta, len(y))
    )
    return out


def working(
    family: FamilyKernel, link: LinkKernel, y: Floats, eta: Floats, size: Floats | None = None, psi: Psi = ()
) -> tuple[Floats, Floats, Floats]:
    """(l, dl, w), each (n,): w is the expected information in eta (negative_binomial1, a user's own family: 1 / variance)."""
    out: tuple[Floats, Floats, Floats] = native().working(
        family, link, own(psi), floats(y), maybe_shaped(size, len(y)), shaped(eta, len(y))
    )
    return out


def psi_jets(
    family: FamilyKernel,
    link: LinkKernel,
    y: Floats,
    eta: Floats,
    size: Floats | None = None,
    psi: Psi = (),
    constants: bool = True,
    counted: bool = False,
) -> tuple[Floats, Floats, Floats]:
    """Derivatives in each psi of l, of dl and of -d2l, each (k, n); constants : with the terms that are free of eta.

    counted : size counts equal rows, so that it divides no dispersion.
    """
    out: tuple[Floats, Floats, Floats] = native().psi_jets(
        family, link, own(psi), floats(y), maybe_shaped(size, len(y)), shaped(eta, len(y)), constants, counted
    )
    return out


def constant(family: FamilyKernel, y: Floats, trials: Floats | None, weights: Floats | None, psi: Psi = (), counted: bool = False) -> float:
    """The terms of the log-likelihood that are free of eta, summed over rows; counted : weights count equal rows."""
    return float(native().constant(family, own(psi), floats(y), maybe_shaped(trials, len(y)), maybe_shaped(weights, len(y)), counted))


def mean(link: LinkKernel, eta: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """(mu, mu', mu'', mu'''), each (n,): the inverse link and its derivatives."""
    out: tuple[Floats, Floats, Floats, Floats] = native().mean(link, floats(eta))
    return out


def inverse_link(link: LinkKernel, eta: Floats) -> Floats:
    """(n,) mu alone."""
    out: Floats = native().inverse_link(link, floats(eta))
    return out


Terms = tuple[float, float, float]


def dispersion_terms(
    family: FamilyKernel, y: Floats, weights: Floats | None, psi: Psi, before: Terms = (0.0, 0.0, 0.0), threads: int = 1
) -> Terms:
    """The terms of the log-likelihood that are free of eta, and their first two derivatives in log phi; phi stands in psi.

    before : those of the rows before, which end with a block
    """
    out: Terms = native().dispersion_terms(family, own(psi), floats(y), maybe_shaped(weights, len(y)), *before, threads)
    return out


def link(link: LinkKernel, mu: Floats) -> Floats:
    """(n,) eta = g(mu)."""
    out: Floats = native().link(link, floats(mu))
    return out


def variance(family: FamilyKernel, mu: Floats, psi: Psi = ()) -> Floats:
    """(n,) the variance function v(mu); psi holds its parameters, where it has any."""
    out: Floats = native().variance(family, floats(mu), own(psi))
    return out


def unit_deviance(family: FamilyKernel, y: Floats, mu: Floats, psi: Psi = ()) -> Floats:
    """(n,) the deviance of each row for size 1."""
    out: Floats = native().unit_deviance(family, floats(y), shaped(mu, len(y)), own(psi))
    return out
