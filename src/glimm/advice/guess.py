"""The family of a response where none is named, from its values and from how much they vary about a GLM's means.

counts: whole numbers from below 10 on, sum r^2 / (n - p) >= 0.7 about Poisson means; above 1.5 for certain: negative binomial.
"""

from __future__ import annotations

import math

import numpy as np

from ..data.frames import Frame
from ..data.records import Formula
from ..data.text import plain_name
from ..kernels.matrix import Floats
from .facts import Response
from .flags import CERTAIN

LEAST_COUNT = 10.0
LEAST_DISPERSION = 0.7
OVERDISPERSED = 1.5


def first_guess(formula: Formula, frame: Frame) -> str:
    """binomial for trials and for a column of levels, else gaussian, with which the numbers can be read."""
    if formula.successes is not None:
        return "binomial"
    column = plain_name(formula.response)
    return "binomial" if column is not None and frame.variable(column).kind == "factor" else "gaussian"


def guessed(y: Floats) -> str:
    """The family of a response of numbers: binomial for two whole numbers, poisson for what may be counts, else gaussian.

    >>> guessed(np.array([0.0, 1.0, 1.0])), guessed(np.array([0.0, 3.0, 1.0])), guessed(np.array([0.5, 3.0, 1.0]))
    ('binomial', 'poisson', 'gaussian')
    """
    if not np.array_equal(y, np.floor(y)):
        return "gaussian"
    low, high = float(y.min()), float(y.max())
    if ((y == low) | (y == high)).all():
        return "binomial"
    return "poisson" if 0.0 <= low < LEAST_COUNT else "gaussian"


def families(name: str, response: Response, df: int) -> dict[str, str]:
    """The guessed family for each model: a GEE and cluster-robust errors need no second parameter for counts, the others may."""
    if name != "poisson":
        return dict.fromkeys(("glm", "glmm", "gee"), name)
    alone = "negative_binomial" if overdispersed(response.dispersion, df) else name
    clustered = "negative_binomial" if overdispersed(response.within_dispersion, df) else name
    return {"glm": alone, "glmm": clustered, "gee": name}


def overdispersed(dispersion: float, df: int) -> bool:
    """Whether counts vary more than Poisson ones: by half, and by 3 standard errors sqrt(2 / df)."""
    return dispersion > OVERDISPERSED and (dispersion - 1.0) * math.sqrt(max(df, 1) / 2.0) > CERTAIN
