"""Covariances of random effects, term by term, as functions of theta: V = sigma^2 T(theta) T(theta)'.

The variance of row i's random part is the sum over terms of z_i'V z_i.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from ..covariance.structures import structure
from ..design.records import RandomTerm
from ..kernels.matrix import Floats
from ..records import MixedRecord

STEP = 1e-6


def parts(record: MixedRecord) -> tuple[slice, ...]:
    """Where each term's parameters are in theta."""
    ends = np.cumsum([0, *(structure(term.structure).size(len(term.names)) for term in record.design.mean.random)])
    return tuple(slice(int(a), int(b)) for a, b in pairwise(ends))


def factor(term: RandomTerm, theta: Floats) -> Floats:
    """(k, k) T of one term; under ou (1, 1), the standard deviation at any time."""
    shape: Any = structure(term.structure)
    found = shape.factor(theta, 1, np.zeros(1)) if term.times is not None else shape.factor(theta, len(term.names))
    return np.asarray(found, dtype=np.float64)


def factors(record: MixedRecord) -> tuple[Floats, ...]:
    """T of each term at the estimates, relative to sigma in an LMM."""
    theta = record.vector[record.blocks["theta"]]
    return tuple(factor(term, theta[part]) for term, part in zip(record.design.mean.random, parts(record), strict=True))


def covariances(record: MixedRecord) -> tuple[Floats, ...]:
    """V of each term, (k, k), effects as named."""
    return tuple(_scale(record) * (t @ t.T) for t in factors(record))


def variance(record: MixedRecord, z: tuple[Floats, ...]) -> Floats:
    """(n,) variance of the random part of rows with the columns z, (n, k) per term."""
    total = np.zeros(len(z[0]))
    for columns, t in zip(z, factors(record), strict=True):
        total += np.einsum("ij,ij->i", columns @ t, columns @ t)
    return _scale(record) * total


def dvariance(record: MixedRecord, z: tuple[Floats, ...]) -> Floats:
    """(n, size of theta) derivatives of `variance`, by central differences of T T', which are exact where T is linear in theta."""
    theta = record.vector[record.blocks["theta"]]
    out = np.empty((len(z[0]), len(theta)))
    for term, part, columns in zip(record.design.mean.random, parts(record), z, strict=True):
        own = theta[part]
        for j in range(len(own)):
            step = STEP * max(1.0, abs(float(own[j])))
            up, down = (factor(term, own + side * step * (np.arange(len(own)) == j)) for side in (1.0, -1.0))
            slope = (up @ up.T - down @ down.T) / (2.0 * step)
            out[:, part.start + j] = np.einsum("ij,ij->i", columns @ slope, columns)
    return _scale(record) * out


def correlation_at(record: MixedRecord, index: int, distance: float) -> float:
    """Correlation of two effects of one level that are `distance` apart in time, under ou."""
    shape: Any = structure(record.design.mean.random[index].structure)
    t = np.asarray(shape.factor(record.vector[record.blocks["theta"]][parts(record)[index]], 2, np.array([0.0, distance])))
    v = t @ t.T
    size = float(np.sqrt(v[0, 0] * v[1, 1]))
    return float(v[0, 1]) / size if size > 0.0 else np.nan


def _scale(record: MixedRecord) -> float:
    return record.scale if record.linear else 1.0
