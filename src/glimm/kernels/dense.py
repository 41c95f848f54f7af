"""Small dense linear algebra on float64: x = A^-1 b."""

from __future__ import annotations

import numpy as np

from .matrix import Floats


def solve(a: Floats, b: Floats) -> Floats:
    """A^-1 b; raises numpy.linalg.LinAlgError for a singular A."""
    return np.asarray(np.linalg.solve(a, b), dtype=np.float64)


def inverse(a: Floats) -> Floats:
    """A^-1; raises numpy.linalg.LinAlgError for a singular A."""
    return np.asarray(np.linalg.inv(a), dtype=np.float64)
