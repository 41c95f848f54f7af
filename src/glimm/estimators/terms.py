"""The rows of a random term in the order of its levels: level j is rows order[starts[j]:starts[j + 1]]."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..design.clusters import gather
from ..design.coordinates import effects_to_named
from ..design.records import RandomTerm
from ..kernels.matrix import Floats, Ints


@dataclass(frozen=True, slots=True)
class TermRows:
    """order (n,), starts (J + 1,), z (n, q) working columns in the design's row order or None for a random intercept.

    back : (q, q) C, b_named = C b_work
    """

    order: Ints
    starts: Ints
    z: Floats | None
    q: int
    back: Floats

    def mean_square(self, size: Floats | None) -> Floats:
        """(q,) mean over levels of the sum of size z^2: what a level knows of its effects."""
        levels = len(self.starts) - 1
        if self.z is None:
            return np.array([(float(self.starts[-1]) if size is None else float(size.sum())) / levels])
        return np.asarray(((1.0 if size is None else size[:, None]) * self.z**2).sum(axis=0) / levels)

    def taken(self, order: Ints) -> Floats | None:
        """z with its columns in another order."""
        if self.z is None or np.array_equal(order, np.arange(self.q)):
            return self.z
        return np.ascontiguousarray(self.z[:, order])


def order_by_level(term: RandomTerm) -> TermRows:
    """Rows by level, stable in their own order."""
    order, starts = gather(term.refs, len(term.levels))
    plain = term.names == ("Intercept",)
    z = None if plain else np.ascontiguousarray((term.z - term.center) / term.scale)
    return TermRows(order, starts, z, len(term.names), effects_to_named(term))
