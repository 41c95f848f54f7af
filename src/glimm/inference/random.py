"""Covariances of random effects, term by term, as functions of theta: V = sigma^2 T(theta) T(theta)'.

The variance of row i's random part is the sum over terms of z_i'V z_i.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from ..covariance.layout import Curve, dnamed_theta, slices
from ..covariance.structures import structure
from ..design.coordinates import effects_to_named
from ..kernels.matrix import Floats
from ..records import MixedRecord


def parts(record: MixedRecord) -> tuple[slice, ...]:
    """Where each term's parameters are in theta."""
    sizes = [
        len(s.free) if isinstance(s, Curve) else structure(term.structure).size(s.k)
        for s, term in zip(record.layouts, record.design.mean.random, strict=True)
    ]
    return tuple(slice(int(a), int(b)) for a, b in pairwise(np.cumsum([0, *sizes])))


def covariances(record: MixedRecord) -> tuple[Floats, ...]:
    """V of each term, (k, k), effects as named."""
    return tuple(_scale(record) * (t @ t.T) for t in record.roots)


def variance(record: MixedRecord, z: tuple[Floats, ...]) -> Floats:
    """(n,) variance of the random part of rows with the columns z, (n, k) per term."""
    total = np.zeros(len(z[0]))
    for columns, t in zip(z, record.roots, strict=True):
        total += np.einsum("ij,ij->i", columns @ t, columns @ t)
    return _scale(record) * total


def dvariance(record: MixedRecord, z: tuple[Floats, ...]) -> Floats:
    """(n, size of theta) derivatives of `variance` in theta as reported, along what was searched over: v = |root'z|^2."""
    out = np.zeros((len(z[0]), record.blocks["theta"].stop - record.blocks["theta"].start))
    every = zip(record.design.mean.random, record.layouts, record.roots, slices(record.layouts), parts(record), z, strict=True)
    for term, shape, root, at, part, columns in every:
        if not shape.size:
            continue
        work, back = record.work_theta[at], effects_to_named(term)
        moved = np.einsum("nb,nkb->nk", columns @ root, np.einsum("na,kab->nkb", columns, back @ shape.droot(work)))
        out[:, part] = 2.0 * moved @ np.linalg.pinv(dnamed_theta(shape, term.structure, work, back))
    return _scale(record) * out


def correlation_at(record: MixedRecord, index: int, distance: float) -> float:
    """Correlation of two effects of one level that are `distance` apart in time, under ou."""
    sd, rate = record.vector[record.blocks["theta"]][parts(record)[index]]
    return float(np.exp(-rate * distance)) if sd > 0.0 else np.nan


def _scale(record: MixedRecord) -> float:
    return record.scale if record.linear else 1.0
