"""How far rows are from their means: Pearson residuals (y - mu) sqrt(size / v(mu)) and unit deviances."""

from __future__ import annotations

import numpy as np

from ..design.records import Design
from ..family import LINKS, Family
from ..kernels import jets, link, unit_deviance, variance
from ..kernels.families import Psi
from ..kernels.matrix import Floats, Ints

NOTHING = 1e-280
LOST = 1e-6
THROUGH = {"binomial": "logit", "poisson": "log", "negative_binomial": "log"}
"""Families whose log-density holds where the mean is rounded to the end of its range, and a link for the one at mu = y."""


def pearson_residuals(design: Design, family: Family, mu: Floats, psi: Psi = ()) -> Floats:
    """(n,) (y - mu) sqrt(size / v(mu)); 0 where a fitted mean leaves no variance; psi : what v depends on besides."""
    v = variance(family.kernel, mu, psi)
    root = np.sqrt((1.0 if design.size is None else design.size) / np.where(v > NOTHING, v, np.inf))
    return np.asarray((design.y - mu) * root)


def row_deviances(design: Design, family: Family, mu: Floats, psi: Psi = (), eta: Floats | None = None) -> Floats:
    """(n,) size times unit deviance.

    eta : (n,) linear predictors, which still tell apart what means that are rounded to 0 or 1 do not
    """
    found = np.asarray(unit_deviance(family.kernel, design.y, mu, psi))
    if eta is not None and len(rows := _rounded(family, design.y, mu, found)):
        found[rows] = _by_predictor(design, family, rows, eta[rows], psi)
    return np.asarray(found * (1.0 if design.size is None else design.size))


def _rounded(family: Family, y: Floats, mu: Floats, found: Floats) -> Ints:
    """Rows whose mean has lost the digits that their deviance needs."""
    if family.name not in THROUGH:
        return np.zeros(0, dtype=np.int64)
    lost = ~np.isfinite(found) | ((mu < NOTHING) & (y > 0.0))
    if family.name == "binomial":
        lost |= (mu > 1.0 - LOST) & (y < 1.0)
    return np.flatnonzero(lost)


def _by_predictor(design: Design, family: Family, rows: Ints, eta: Floats, psi: Psi) -> Floats:
    """2 (l at mu = y minus l at eta); infinite where that is beyond all numbers."""
    y, own = design.y[rows], LINKS[THROUGH[family.name]].kernel
    inside = (y > 0.0) & (y < 1.0) if family.name == "binomial" else y > 0.0
    most = np.zeros(len(y))
    most[inside] = jets(family.kernel, own, y[inside], link(own, y[inside]), None, psi)[0]
    return np.asarray(2.0 * (most - jets(family.kernel, design.mean.link.kernel, y, eta, None, psi)[0]))
