"""Families in several linear predictors row by row: mean, zero inflation, and the family's own parameter (native/parts.cpp).

f(y) = pi 1{y = 0} + (1 - pi) g(y; mu, psi), logit pi and psi linear in columns of their own.
"""

from __future__ import annotations

from .families import LinkKernel, floats, maybe_shaped, shaped
from .matrix import Floats
from .native import native


def parts_jets(
    family: int,
    link: LinkKernel,
    y: Floats,
    eta: Floats,
    zero: Floats | None = None,
    psi: Floats | None = None,
    size: Floats | None = None,
    threads: int = 1,
) -> tuple[Floats, Floats, Floats]:
    """(l (n,), d1 (m, n), d2 (m (m + 1) / 2, n)): complete log-densities with derivatives in the m predictors that are there.

    eta, zero, psi : (n,) linear predictors of the mean, the logit of an extra zero and the family's own parameter, in this order
    d2 : the lower triangle. size divides the dispersion of gaussian and gamma, and multiplies the log-density of other families.

    >>> import numpy as np
    >>> l, d1, d2 = parts_jets(2, 1, np.zeros(1), np.zeros(1), zero=np.zeros(1))
    >>> float(l[0].round(6)), d1.shape, d2.shape
    (-0.379885, (2, 1), (3, 1))
    """
    n = len(y)
    out: tuple[Floats, Floats, Floats] = native().parts_jets(
        family, link, floats(y), maybe_shaped(size, n), shaped(eta, n), maybe_shaped(zero, n), maybe_shaped(psi, n), threads
    )
    return out


def pair(a: int, b: int) -> int:
    """Where d2 has the derivative in predictors a and b.

    >>> [pair(a, b) for a in range(3) for b in range(a + 1)], pair(0, 2)
    ([0, 1, 2, 3, 4, 5], 3)
    """
    low, high = min(a, b), max(a, b)
    return high * (high + 1) // 2 + low
