"""Between the columns as named and the working columns (x - center) / scale.

beta = A beta_work, A = S^-1 with -center'S^-1 in the intercept's row.
"""

from __future__ import annotations

import numpy as np

from ..kernels.matrix import Floats
from .records import Part, RandomTerm


def to_named(part: Part) -> Floats:
    """(p, p) A with beta = A beta_work; covariances go as A V A'."""
    return _back(part.center, part.scale, part.intercept)


def from_named(part: Part) -> Floats:
    """(p, p) A^-1: beta_work = A^-1 beta; contrasts c'beta of named coefficients are (c'A) beta_work."""
    out = np.diag(part.scale)
    if part.intercept is not None:
        out[part.intercept] += part.center
    return out


def effects_to_named(term: RandomTerm) -> Floats:
    """(k, k) C with b = C b_work."""
    return np.asarray(_back(term.center, term.scale, term.intercept) @ term.mix)


def _back(center: Floats, scale: Floats, intercept: int | None) -> Floats:
    a = np.diag(1.0 / scale)
    if intercept is not None:
        a[intercept] -= center / scale
    return a


def to_working(part: Part, beta: Floats) -> Floats:
    """(p,) the working coefficients of beta."""
    work = beta * part.scale
    if part.intercept is not None:
        work[part.intercept] += float(part.center @ beta)
    return work
