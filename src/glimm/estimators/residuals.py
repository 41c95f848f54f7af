"""How far rows are from their means: Pearson residuals (y - mu) sqrt(size / v(mu)) and unit deviances."""

from __future__ import annotations

import numpy as np

from ..design.records import Design
from ..family import Family
from ..kernels import unit_deviance, variance
from ..kernels.families import Psi
from ..kernels.matrix import Floats

NOTHING = 1e-280


def pearson_residuals(design: Design, family: Family, mu: Floats, psi: Psi = ()) -> Floats:
    """(n,) (y - mu) sqrt(size / v(mu)); 0 where a fitted mean leaves no variance; psi : what v depends on besides."""
    v = variance(family.kernel, mu, psi)
    root = np.sqrt((1.0 if design.size is None else design.size) / np.where(v > NOTHING, v, np.inf))
    return np.asarray((design.y - mu) * root)


def row_deviances(design: Design, family: Family, mu: Floats, psi: Psi = ()) -> Floats:
    """(n,) size times unit deviance."""
    return np.asarray(unit_deviance(family.kernel, design.y, mu, psi) * (1.0 if design.size is None else design.size))
