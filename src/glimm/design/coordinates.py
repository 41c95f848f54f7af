"""Between the columns as named and the working columns (x - center) / scale.

beta = A beta_work, A = S^-1 with -center'S^-1 in the intercept's row.
"""

from __future__ import annotations

import numpy as np

from ..kernels.matrix import Floats
from .records import Part


def to_named(part: Part) -> Floats:
    """(p, p) A with beta = A beta_work; covariances go as A V A'."""
    a = np.diag(1.0 / part.scale)
    if part.intercept is not None:
        a[part.intercept] -= part.center / part.scale
    return a


def to_working(part: Part, beta: Floats) -> Floats:
    """(p,) the working coefficients of beta."""
    work = beta * part.scale
    if part.intercept is not None:
        work[part.intercept] += float(part.center @ beta)
    return work
