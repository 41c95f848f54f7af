"""The rows of a random term in the order of its levels: level j is rows order[starts[j]:starts[j + 1]]."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..design.clusters import gather
from ..design.records import RandomTerm
from ..kernels.matrix import Floats, Ints


@dataclass(frozen=True, slots=True)
class TermRows:
    """order (n,), starts (J + 1,), z (n, q) in the design's row order or None for a random intercept, q effects per level."""

    order: Ints
    starts: Ints
    z: Floats | None
    q: int

    def mean_square(self, size: Floats | None) -> Floats:
        """(q,) mean over levels of the sum of size z^2: what a level knows of its effects."""
        levels = len(self.starts) - 1
        if self.z is None:
            return np.array([(float(self.starts[-1]) if size is None else float(size.sum())) / levels])
        return np.asarray(((1.0 if size is None else size[:, None]) * self.z**2).sum(axis=0) / levels)


def order_by_level(term: RandomTerm) -> TermRows:
    """Rows by level, stable in their own order."""
    order, starts = gather(term.refs, len(term.levels))
    ones = term.z.shape[1] == 1 and bool(np.all(term.z == 1.0))
    return TermRows(order, starts, None if ones else np.ascontiguousarray(term.z), term.z.shape[1])
