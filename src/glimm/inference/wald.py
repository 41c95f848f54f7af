"""Wald inference: statistic = estimate / se, interval = estimate +- q se, against the normal or t distribution."""

from __future__ import annotations

import math
from numbers import Real
from statistics import NormalDist
from typing import overload

import numpy as np

from ..errors import GlimmError
from ..kernels.matrix import Floats
from .covariance import Inference


@overload
def quantile(level: float, df: float | None) -> float: ...
@overload
def quantile(level: float, df: Floats) -> Floats: ...
@overload
def quantile(level: float, df: float | Floats | None) -> float | Floats: ...
def quantile(level: float, df: float | Floats | None) -> float | Floats:
    """The two-sided quantile of the normal (df None) or t distribution, one for each of several df.

    >>> round(quantile(0.95, None), 6)
    1.959964
    """
    if isinstance(level, bool) or not isinstance(level, Real) or not 0.0 < level < 1.0:
        raise GlimmError(f"level must be between 0 and 1, for example 0.95, not {level!r}")
    upper = 0.5 + 0.5 * level
    if df is None:
        return NormalDist().inv_cdf(upper)
    from scipy.special import stdtrit

    found = stdtrit(df, upper)
    return np.asarray(found) if isinstance(df, np.ndarray) else float(found)


def p_values(statistic: Floats, df: float | Floats | None) -> Floats:
    """Two-sided p-values.

    >>> float(p_values(np.array([1.959963984540054]), None)[0].round(12))
    0.05
    """
    if df is None:
        return np.array([math.erfc(abs(s) / math.sqrt(2.0)) for s in statistic])
    from scipy.special import stdtr

    return np.asarray(2.0 * stdtr(df, -np.abs(statistic)))


def interval(inference: Inference, level: float) -> tuple[Floats, Floats]:
    """(p,) lower and upper limits."""
    half = quantile(level, inference.df) * inference.bse
    return inference.params - half, inference.params + half
