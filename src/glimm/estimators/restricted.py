"""A GEE under linear restrictions L b = 0: the same equations in c with b = C c, C a basis of the null space of L.

phi and alpha are those of the restricted fit, with its number of coefficients in their divisors.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..design.coordinates import to_named
from ..errors import GlimmError
from ..kernels.matrix import Block, Floats, Matrix
from ..records import GeeRecord
from .control import Control
from .gee import refit_gee

FREE = 1e-10


def fit_restricted(record: GeeRecord, contrasts: Floats) -> GeeRecord:
    """The record whose vector, correlations and dispersion meet the restrictions; its bread stays the one of the unrestricted fit.

    contrasts : (r, p) L on the coefficients as named
    Raises GlimmError where no coefficient is left, and as the door does.
    """
    design, part = record.design, record.design.mean
    a = to_named(part)
    free = null_space(contrasts @ a)
    if not free.shape[1]:
        raise GlimmError("no coefficient is left under the hypothesis")
    columns = ((part.matrix.dense() - part.center) / part.scale) @ free
    size = np.sqrt(np.mean(columns**2, axis=0))
    blocks = tuple(Block(np.array([j]), np.ascontiguousarray(columns[:, j])) for j in range(columns.shape[1]))
    narrow = replace(
        part,
        matrix=Matrix(design.n, len(blocks), blocks),
        names=tuple(f"free {j + 1}" for j in range(len(blocks))),
        dropped={},
        intercept=None,
        center=np.zeros(len(blocks)),
        scale=np.where(size > 0.0, size, 1.0),
    )
    found = refit_gee(record, replace(design, parts={**design.parts, "mean": narrow}), Control())
    return replace(record, vector=a @ free @ found.vector, eta=found.eta, alpha=found.alpha, scale=found.scale, solution=found.solution)


def null_space(contrasts: Floats) -> Floats:
    """(p, p - r) orthonormal basis of the vectors that L takes to 0, rows of L scaled to length 1 first."""
    length = np.linalg.norm(contrasts, axis=1, keepdims=True)
    _, values, right = np.linalg.svd(contrasts / np.where(length > 0.0, length, 1.0))
    return np.asarray(right[int(np.sum(values > FREE)) :].T)
