"""Levels drawn from the fitted probabilities of a GLM: Y = the number of cumulated probabilities below a uniform number."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.columns import level_array
from ..errors import GlimmError
from ..records import LevelsRecord
from .levels import probabilities
from .simulate import generator


def simulate_levels(record: LevelsRecord, n: Any, seed: Any) -> NDArray[Any]:
    """(rows used, n) levels; raises GlimmError for a GEE and for what is no number of simulations or seed."""
    if record.door == "gee":
        raise GlimmError("simulate: a GEE states means and an association, which are no distribution to draw from; draw from glimm.glm")
    if isinstance(n, bool) or not isinstance(n, Integral) or n < 1:
        raise GlimmError(f"simulate: n, the number of simulations, must be a whole number of at least 1, not {n!r}")
    rng = generator(seed)
    ends = np.cumsum(probabilities(record).probability, axis=1)[:, :-1]
    out = np.zeros((record.design.n, int(n)), dtype=np.int64)
    for column in out.T:
        u = rng.uniform(size=(record.design.n, 1))
        column[:] = (u > ends).sum(axis=1)
    return level_array(record.design.response.levels)[out]
