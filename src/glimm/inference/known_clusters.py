"""How well the linear predictor of a known cluster is known, given theta: Var(x'beta^ + z'(b~ - b)) = z'V z + (x + D'z)' C (x + D'z).

V = Var(b | y, beta), D = d b~ / d beta = -V Z'W X, C = Var(beta^); W are observed weights at the modes, in an LMM weights / sigma^2.
This is Henderson's inverse of the mixed model equations. Source: Henderson (1975), Biometrics 31, 423-447.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..design.records import NewRows
from ..errors import NotYetError
from ..estimators.conditional import conditional_variances
from ..estimators.control import Control
from ..estimators.terms import by_level
from ..kernels import Rows, inverse, jets
from ..kernels.matrix import Floats
from ..records import MixedRecord
from .criteria import linear_predictor
from .random import covariances

MOST_EFFECTS = 4000
CELLS = 1 << 22


def known_variance(record: MixedRecord, work: Floats, new: NewRows) -> Floats:
    """(n,) the variance for new rows; work : (p, p) Var(beta^) in working columns. A cluster that is not known has that of a new one.

    Raises NotYetError under ou, and for several terms with too many effects.
    """
    terms = record.design.mean.random
    if any(term.times is not None for term in terms):
        raise NotYetError(
            "predict: intervals of known clusters are not there for ou in this release: use target='typical' or target='marginal'"
        )
    part = record.design.mean
    x = (new.matrix.dense() - part.center) / part.scale
    within, moved = _one_term(record, new) if len(terms) == 1 else _several_terms(record, new)
    for places, z, sigma in zip(new.places, new.z, covariances(record), strict=True):
        within += np.where(places < 0, np.einsum("ij,jk,ik->i", z, sigma, z), 0.0)
    x += moved
    return np.asarray(within + np.einsum("ij,jk,ik->i", x, work, x))


def observed_weights(record: MixedRecord) -> Floats:
    """(n,) -d2l/deta2 of the rows used, at the modes."""
    design = record.design
    if record.linear:
        return np.full(design.n, 1.0 / record.scale) if design.size is None else design.size / record.scale
    psi = record.family.psi(record.vector[record.blocks["family"]])
    return -jets(record.family.kernel, design.mean.link.kernel, design.y, linear_predictor(record), design.size, psi)[2]


def _one_term(record: MixedRecord, new: NewRows) -> tuple[Floats, Floats]:
    """z'V z (n,) and D'z (n, p), zero for unknown clusters; levels are independent of each other."""
    part = record.design.mean
    (term,), (places,), (z,) = part.random, new.places, new.z
    (v,) = conditional_variances(record)
    order, starts = by_level(term)
    rows = Rows(part.matrix, part.center, part.scale, order=order, threads=Control().n_threads)
    w = observed_weights(record)
    crossed = np.stack([rows.cluster_scores(w * term.z[:, a], starts) for a in range(z.shape[1])], axis=1)
    d = -v @ crossed
    known = np.flatnonzero(places >= 0)
    within, moved = np.zeros(len(places)), np.zeros((len(places), part.matrix.p))
    at = places[known]
    within[known] = np.einsum("ij,ijk,ik->i", z[known], v[at], z[known])
    for a in range(z.shape[1]):
        moved[known] += z[known, a, None] * d[at, a]
    return within, moved


def _several_terms(record: MixedRecord, new: NewRows) -> tuple[Floats, Floats]:
    """The same with b = Lambda u, u ~ N(0, I): V = Lambda M^-1 Lambda', M = Lambda'Z'W Z Lambda + I."""
    part = record.design.mean
    count = sum(effects.size for effects in record.effects)
    if count > MOST_EFFECTS:
        raise NotYetError(
            f"predict: intervals of known clusters are there for up to {MOST_EFFECTS} random effects where there are several terms, and "
            f"this model has {count}: use target='typical' or target='marginal'"
        )
    a = _columns(record, tuple(term.places for term in part.random), tuple(term.z for term in part.random))
    wa = a.multiply(observed_weights(record)[:, None]).tocsr()
    m = inverse((a.T @ wa).toarray() + np.eye(count))
    d = -m @ (wa.T @ ((part.matrix.dense() - part.center) / part.scale))
    rows = _columns(record, new.places, new.z)
    within = np.empty(len(new.complete))
    step = max(1, CELLS // max(count, 1))
    for r in range(0, len(within), step):
        one = rows[r : r + step]
        within[r : r + step] = np.asarray(one.multiply(one @ m).sum(axis=1)).ravel()
    return within, np.asarray(rows @ d)


def _columns(record: MixedRecord, places: tuple[Any, ...], z: tuple[Floats, ...]) -> Any:
    """(n, all u) Z Lambda as a sparse matrix, nothing where a row's cluster is not known."""
    from scipy import sparse

    scale = np.sqrt(record.scale) if record.linear else 1.0
    parts = []
    for at, columns, root, effects in zip(places, z, record.roots, record.effects, strict=True):
        k = columns.shape[1]
        known = np.flatnonzero(at >= 0)
        values = scale * (columns[known] @ root)
        where = at[known, None].astype(np.int64) * k + np.arange(k)
        shape = (len(at), effects.size)
        parts.append(sparse.csr_matrix((values.ravel(), (np.repeat(known, k), where.ravel())), shape=shape))
    return sparse.hstack(parts, format="csr")
