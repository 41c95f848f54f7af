"""Responses of C levels in m = C - 1 linear predictors: rows, and sums over rows.

link is the kernel of the link of P(Y <= c), or NOMINAL for log pi_c / pi_0 = eta_c. eta is (n, m): of an ordinal response P(Y > c) rises
with eta_c, which falls in c.
Second derivatives are lower triangles, (1,1), (2,1), (2,2), (3,1), ..., by predictor: (m(m+1)/2, n).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .families import floats, maybe_shaped, shaped
from .matrix import Floats
from .native import native
from .rows import Rows

NOMINAL = -1


class LevelPass(NamedTuple):
    """loglik; score (P,) and information (P, P): thresholds then p coefficients, or p coefficients for each of m levels."""

    loglik: float
    score: Floats
    information: Floats


def level_jets(link: int, y: Floats, eta: Floats, size: Floats | None = None) -> tuple[Floats, Floats, Floats]:
    """(l (n,), d1 (m, n), d2 (m(m+1)/2, n)) of size log pi_y; y : positions of levels, ValueError for another."""
    if not np.isin(y, np.arange(eta.shape[1] + 1)).all():
        raise ValueError(f"y must be positions of levels, 0 to {eta.shape[1]}")
    out: tuple[Floats, Floats, Floats] = native().level_jets(link, shaped(y, len(eta)), maybe_shaped(size, len(eta)), _by_predictor(eta))
    return out


def level_information(link: int, eta: Floats, size: Floats | None = None) -> Floats:
    """(m(m+1)/2, n) expected information of each row in its predictors."""
    out: Floats = native().level_information(link, maybe_shaped(size, len(eta)), _by_predictor(eta))
    return out


def level_probabilities(link: int, eta: Floats) -> tuple[Floats, Floats]:
    """(pi (n, C), relative (n, C, m)): probabilities, and their derivatives in the predictors divided by them."""
    out: tuple[Floats, Floats] = native().level_probabilities(link, _by_predictor(eta))
    return out


def level_pass(rows: Rows, link: int, splits: int, parameters: Floats, expected: bool = False) -> LevelPass:
    """One pass at the parameters (P,) over rows whose response is the position of a level below splits + 1.

    expected : the expected information; otherwise minus the second derivatives, the same for nominal levels
    """
    size = splits + rows.p if link != NOMINAL else splits * rows.p
    return LevelPass(*native().level_pass(rows.handle, link, splits, shaped(parameters, size), expected, rows.threads))


def _by_predictor(eta: Floats) -> Floats:
    return floats(np.transpose(eta))
