"""How well the linear predictor of a known cluster is known, given theta: Var(x'beta^ + z'(b~ - b)) = z'V z + (x + D'z)' C (x + D'z).

V = Var(b | y, beta), D = d b~ / d beta = -V Z'W X, C = Var(beta^); W are observed weights at the modes, in an LMM weights / sigma^2.
This is Henderson's inverse of the mixed model equations. Source: Henderson (1975), Biometrics 31, 423-447.
"""

from __future__ import annotations

from dataclasses import dataclass
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
REMEDY = "use target='typical' or target='marginal'"


@dataclass(frozen=True, slots=True)
class Joint:
    """The effects of the clusters and the coefficients together.

    v : (E, E) Var(b | y, beta), blocks of levels as a sparse matrix for one term, dense for several; d : (E, p) d b~ / d beta
    roots : per term (k, k) or None: effects are counted as b, or as u with b = root u
    """

    v: Any
    d: Floats
    roots: tuple[Floats | None, ...]

    def columns(self, record: MixedRecord, new: NewRows) -> Any:
        """(n, E) what the effects are multiplied by in each row, sparse; nothing where a row's cluster is not known."""
        return _columns(record, new.places, new.z, self.roots)


def joint(record: MixedRecord) -> Joint:
    """Raises NotYetError under ou, and for several terms with too many effects."""
    terms = record.design.mean.random
    if any(term.times is not None for term in terms):
        raise NotYetError(f"errors of known clusters are not there for ou in this release: {REMEDY}")
    count = sum(effects.size for effects in record.effects)
    if len(terms) == 1:
        return _one_term(record)
    if count > MOST_EFFECTS:
        raise NotYetError(
            f"errors of known clusters are there for up to {MOST_EFFECTS} random effects where there are several terms, and this model has "
            f"{count}: {REMEDY}"
        )
    return _several_terms(record, count)


def known_variance(record: MixedRecord, work: Floats, new: NewRows) -> Floats:
    """(n,) the variance for new rows; work : (p, p) Var(beta^) in working columns. A cluster that is not known has that of a new one.

    Raises NotYetError as `joint` does.
    """
    known, part = joint(record), record.design.mean
    x = (new.matrix.dense() - part.center) / part.scale
    rows = known.columns(record, new)
    within = np.empty(len(x))
    step = max(1, CELLS // rows.shape[1]) if isinstance(known.v, np.ndarray) else len(x)
    for r in range(0, len(x), max(step, 1)):
        one = rows[r : r + step]
        within[r : r + step] = np.asarray(one.multiply(one @ known.v).sum(axis=1)).ravel()
    for places, z, sigma in zip(new.places, new.z, covariances(record), strict=True):
        within += np.where(places < 0, np.einsum("ij,jk,ik->i", z, sigma, z), 0.0)
    x += rows @ known.d
    return np.asarray(within + np.einsum("ij,jk,ik->i", x, work, x))


def observed_weights(record: MixedRecord) -> Floats:
    """(n,) -d2l/deta2 of the rows used, at the modes."""
    design = record.design
    if record.linear:
        return np.full(design.n, 1.0 / record.scale) if design.size is None else design.size / record.scale
    psi = record.family.psi(record.vector[record.blocks["family"]])
    return -jets(record.family.kernel, design.mean.link.kernel, design.y, linear_predictor(record), design.size, psi)[2]


def _one_term(record: MixedRecord) -> Joint:
    """Levels are independent of each other."""
    from scipy import sparse

    part = record.design.mean
    (term,) = part.random
    (v,) = conditional_variances(record)
    order, starts = by_level(term)
    rows = Rows(part.matrix, part.center, part.scale, order=order, threads=Control().n_threads)
    w = observed_weights(record)
    crossed = np.stack([rows.cluster_scores(w * term.z[:, a], starts) for a in range(v.shape[1])], axis=1)
    levels, k = v.shape[:2]
    blocks = sparse.bsr_matrix((v, np.arange(levels), np.arange(levels + 1)), shape=(levels * k, levels * k))
    return Joint(blocks.tocsr(), -(v @ crossed).reshape(levels * k, -1), (None,))


def _several_terms(record: MixedRecord, count: int) -> Joint:
    """b = Lambda u, u ~ N(0, I): V = Lambda M^-1 Lambda', M = Lambda'Z'W Z Lambda + I."""
    part = record.design.mean
    scale = np.sqrt(record.scale) if record.linear else 1.0
    roots = tuple(scale * root for root in record.roots)
    a = _columns(record, tuple(term.places for term in part.random), tuple(term.z for term in part.random), roots)
    wa = a.multiply(observed_weights(record)[:, None]).tocsr()
    m = inverse((a.T @ wa).toarray() + np.eye(count))
    return Joint(m, -m @ (wa.T @ ((part.matrix.dense() - part.center) / part.scale)), roots)


def _columns(record: MixedRecord, places: tuple[Any, ...], z: tuple[Floats, ...], roots: tuple[Floats | None, ...]) -> Any:
    """(n, E) Z, or Z Lambda, as a sparse matrix."""
    from scipy import sparse

    parts = []
    for at, columns, root, effects in zip(places, z, roots, record.effects, strict=True):
        k = columns.shape[1]
        known = np.flatnonzero(at >= 0)
        values = columns[known] if root is None else columns[known] @ root
        where = at[known, None].astype(np.int64) * k + np.arange(k)
        shape = (len(at), effects.size)
        parts.append(sparse.csr_matrix((values.ravel(), (np.repeat(known, k), where.ravel())), shape=shape))
    return sparse.hstack(parts, format="csr")
