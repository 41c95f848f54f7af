"""Covariance structures: parameters -> a small factor T, and b ~ N(0, sigma^2 T T').

A structure is stateless and final. The same classes serve random effects (T) and, for working correlations, R(alpha).
"""

from __future__ import annotations

import math
from functools import cache
from typing import Final, Protocol, final

import numpy as np

from ..errors import GlimmError, suggest
from ..kernels.matrix import Bools, Floats, Index


class Structure(Protocol):
    """What every covariance structure of random effects answers; k is the number of effects per level."""

    name: str

    def size(self, k: int) -> int:
        """Number of parameters."""

    def entries(self, k: int) -> tuple[Index, Index]:
        """Rows and columns, each (size,), of the entries of T that are the parameters; the others are 0."""

    def names(self, effects: tuple[str, ...], group: str) -> tuple[str, ...]:
        """(size,) names of the parameters."""

    def factor(self, theta: Floats, k: int) -> Floats:
        """(k, k) lower-triangular T."""

    def dfactor(self, theta: Floats, k: int) -> Floats:
        """(size, k, k) derivatives of T."""

    def parameters(self, root: Floats) -> Floats:
        """(size,) theta with T T' = root root', root (k, m): a square root of any shape."""


@final
class Unstructured:
    """us: T is any lower-triangular matrix; theta are its entries, column by column, as in lme4."""

    name = "us"

    def size(self, k: int) -> int:
        """k (k + 1) / 2 entries."""
        return k * (k + 1) // 2

    def entries(self, k: int) -> tuple[Index, Index]:
        """The lower triangle, column by column."""
        return lower_entries(k)

    def names(self, effects: tuple[str, ...], group: str) -> tuple[str, ...]:
        """group.effect for a diagonal entry, group.effect_r.effect_c below it."""
        rows, columns = lower_entries(len(effects))
        return tuple(
            f"{group}.{effects[r]}" if r == c else f"{group}.{effects[r]}.{effects[c]}" for r, c in zip(rows, columns, strict=True)
        )

    def factor(self, theta: Floats, k: int) -> Floats:
        """The entries in place."""
        return placed(theta, self.entries(k), k)

    def dfactor(self, theta: Floats, k: int) -> Floats:
        """One entry each."""
        return unit_matrices(self.entries(k), k)

    def parameters(self, root: Floats) -> Floats:
        """The entries of L, root = L Q with a diagonal of L that is not negative."""
        k = len(root)
        if root.shape == (k, k) and not root[lower_entries(k)[::-1]][_below(k)].any() and bool((root.diagonal() >= 0.0).all()):
            return root[lower_entries(k)]
        if root.shape == (2, 2):
            (a, b), (c, d) = root.tolist()
            first = math.hypot(a, b)
            return np.array([first, (a * c + b * d) / first, abs(a * d - b * c) / first] if first > 0.0 else [0.0, math.hypot(c, d), 0.0])
        wide = np.hstack([root, np.zeros((k, max(0, k - root.shape[1])))])
        upper: Floats = np.asarray(np.linalg.qr(wide.T, mode="r"))
        low = upper.T[:, :k]
        low = low * np.where(np.diag(low) < 0.0, -1.0, 1.0)
        return np.asarray(low[lower_entries(k)])


@final
class Diagonal:
    """diag: independent effects; theta are the diagonal of T, their standard deviations."""

    name = "diag"

    def size(self, k: int) -> int:
        """One per effect."""
        return k

    def entries(self, k: int) -> tuple[Index, Index]:
        """The diagonal."""
        return np.arange(k), np.arange(k)

    def names(self, effects: tuple[str, ...], group: str) -> tuple[str, ...]:
        """group.effect."""
        return tuple(f"{group}.{effect}" for effect in effects)

    def factor(self, theta: Floats, k: int) -> Floats:
        """diag(theta)."""
        return placed(theta, self.entries(k), k)

    def dfactor(self, theta: Floats, k: int) -> Floats:
        """One entry each."""
        return unit_matrices(self.entries(k), k)

    def parameters(self, root: Floats) -> Floats:
        """The lengths of the rows."""
        return np.asarray(np.linalg.norm(root, axis=1))


STRUCTURES: Final[dict[str, Structure]] = {"us": Unstructured(), "diag": Diagonal()}


def structure(name: str) -> Structure:
    """us or diag; raises GlimmError for an unknown name."""
    if name in STRUCTURES:
        return STRUCTURES[name]
    raise GlimmError(f"unknown covariance structure {name!r}: {suggest(name, STRUCTURES)}")


@cache
def lower_entries(k: int) -> tuple[Index, Index]:
    """Row and column of the lower triangle's entries, column by column."""
    columns, rows = np.triu_indices(k)
    return rows, columns


@cache
def _below(k: int) -> Bools:
    """Which of the lower triangle's entries are below the diagonal."""
    rows, columns = lower_entries(k)
    return np.asarray(rows > columns)


def placed(theta: Floats, entries: tuple[Index, Index], k: int) -> Floats:
    """(k, k) zeros with theta at the entries."""
    t = np.zeros((k, k))
    t[entries] = theta
    return t


def unit_matrices(entries: tuple[Index, Index], k: int) -> Floats:
    """(m, k, k) matrices with a one at an entry each."""
    out = np.zeros((len(entries[0]), k, k))
    out[np.arange(len(entries[0])), entries[0], entries[1]] = 1.0
    return out
