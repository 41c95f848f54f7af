"""The columns of a random term as the kernels take them, and its rows in the order of levels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..design.clusters import gather
from ..design.coordinates import effects_to_named
from ..design.records import RandomTerm
from ..kernels.matrix import Floats, Ints


@dataclass(frozen=True, slots=True)
class Effects:
    """z (n, q) working columns in the design's row order, row-major, or None for a random intercept; back (q, q) C, b_named = C b_work."""

    z: Floats | None
    q: int
    back: Floats

    def taken(self, order: Ints) -> Floats | None:
        """z with its columns in another order."""
        if self.z is None or np.array_equal(order, np.arange(self.q)):
            return self.z
        return np.ascontiguousarray(self.z[:, order])


def working_effects(term: RandomTerm) -> Effects:
    """((z - center) / scale) mix."""
    back = effects_to_named(term)
    if term.names == ("Intercept",):
        return Effects(None, 1, back)
    k = len(term.names)
    z = np.empty((len(term.refs), k))
    for c in range(k):
        if c == term.intercept:
            z[:, c] = 1.0
        else:
            np.subtract(term.z[:, c], term.center[c], out=z[:, c])
            z[:, c] /= term.scale[c]
    plain = np.array_equal(term.mix, np.eye(len(term.mix)))
    return Effects(z if plain else np.ascontiguousarray(z @ term.mix), k, back)


def by_level(term: RandomTerm) -> tuple[Ints, Ints]:
    """(order (n,), starts (J + 1,)): level j is rows order[starts[j]:starts[j + 1]], stable in their own order."""
    return gather(term.refs, len(term.levels))
