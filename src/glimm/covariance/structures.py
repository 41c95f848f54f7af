"""Covariance structures: parameters -> a small factor T, and b ~ N(0, sigma^2 T T').

A structure is stateless and final. The same classes serve random effects (T) and, for working correlations, R(alpha).
"""

from __future__ import annotations

from functools import cache
from typing import Final, Protocol, final

import numpy as np

from ..errors import GlimmError, NotYetError, suggest
from ..kernels.matrix import Bools, Floats, Index


class Structure(Protocol):
    """What every covariance structure of random effects answers; k is the number of effects per level."""

    name: str

    def size(self, k: int) -> int:
        """Number of parameters."""

    def start(self, typical: Floats) -> Floats:
        """Starting values for effects of typical sizes (k,)."""

    def scales(self, k: int) -> Bools:
        """(size,) which parameters are standard deviations, bounded below by zero."""

    def names(self, effects: tuple[str, ...], group: str) -> tuple[str, ...]:
        """(size,) names of the parameters."""

    def factor(self, theta: Floats, k: int) -> Floats:
        """(k, k) lower-triangular T."""

    def dfactor(self, theta: Floats, k: int) -> Floats:
        """(size, k (k + 1) / 2) derivatives of T's entries, column by column."""


@final
class Unstructured:
    """us: T is any lower-triangular matrix; theta are its entries, column by column, as in lme4."""

    name = "us"

    def size(self, k: int) -> int:
        """k (k + 1) / 2 entries."""
        return k * (k + 1) // 2

    def start(self, typical: Floats) -> Floats:
        """Independent effects of the typical sizes."""
        return np.diag(typical)[_entries(len(typical))]

    def scales(self, k: int) -> Bools:
        """The diagonal entries."""
        rows, columns = _entries(k)
        return np.asarray(rows == columns)

    def names(self, effects: tuple[str, ...], group: str) -> tuple[str, ...]:
        """group.effect for a diagonal entry, group.effect_r.effect_c below it."""
        rows, columns = _entries(len(effects))
        return tuple(
            f"{group}.{effects[r]}" if r == c else f"{group}.{effects[r]}.{effects[c]}" for r, c in zip(rows, columns, strict=True)
        )

    def factor(self, theta: Floats, k: int) -> Floats:
        """The entries in place."""
        t = np.zeros((k, k))
        t[_entries(k)] = theta
        return t

    def dfactor(self, theta: Floats, k: int) -> Floats:
        """The identity."""
        return np.eye(self.size(k))


STRUCTURES: Final[dict[str, Structure]] = {"us": Unstructured()}
LATER: Final = ("diag", "cs", "homcs", "ar1", "ou", "toep")


def structure(name: str) -> Structure:
    """The structure of that name; raises NotYetError for those that come later, GlimmError for an unknown name."""
    if name in STRUCTURES:
        return STRUCTURES[name]
    if name in LATER:
        raise NotYetError(f"covariance structure {name!r} is not in this release: have {', '.join(STRUCTURES)}")
    raise GlimmError(f"unknown covariance structure {name!r}: {suggest(name, STRUCTURES)}")


@cache
def _entries(k: int) -> tuple[Index, Index]:
    """Row and column of the lower triangle's entries, column by column."""
    columns, rows = np.triu_indices(k)
    return rows, columns
