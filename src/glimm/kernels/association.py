"""Association of binary rows by log odds ratios gamma_jk = z_jk'alpha: passes over clusters, and 2 x 2 tables from their margins.

Everything is in working columns (x - center) / scale, as in kernels.rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from .families import FamilyKernel, LinkKernel, floats, shaped
from .matrix import Codes, Floats, Ints
from .native import native
from .rows import Rows, up_to

MOST_ROWS = 500  # of a cluster: its V_i is factorised


@dataclass(frozen=True, slots=True)
class Pairs:
    """What the log odds ratio of each pair of rows depends on. Pairs (j, k), j < k, are numbered cluster by cluster and row by row.

    z : (S, q) distinct rows; codes : (P,) int32 row of z of each pair, None where S is 1
    occasions : (n,) int64 in the order of rows, None where every row is one. Rows of a cluster with equal ones follow each other and are
    the indicators 1(Y > c), c ascending, of one response: they have its multinomial covariance; their pairs have numbers that are not used
    """

    z: Floats
    codes: Codes | None = None
    occasions: Ints | None = None


class AssociationPass(NamedTuple):
    """What a pass gives, as a GeePass, and of the log odds ratios alpha (q,).

    indefinite : first cluster whose V_i is not positive definite, -1 where all are; then score and bread are NaN
    quadratic : sum e'R^-1 e; log_det : sum log |R_i|, R_i the correlations of V_i
    alpha_score (q,), alpha_information (q, q) expected; given (q, q), given_beta (q, p): minus the derivatives of alpha_score in alpha and
    working beta, averaged over both directions of conditioning at the response seen
    """

    score: Floats
    bread: Floats
    pearson: Floats
    scores: Floats | None
    curvatures: Floats | None
    quadratic: float
    log_det: float
    indefinite: int
    alpha_score: Floats | None
    alpha_information: Floats | None
    alpha_scores: Floats | None
    given: Floats | None
    given_beta: Floats | None


def association_pass(
    rows: Rows,
    family: FamilyKernel,
    link: LinkKernel,
    beta: Floats,
    starts: Ints,
    pairs: Pairs,
    alpha: Floats,
    scores: bool = False,
    curvatures: bool = False,
    alpha_equation: bool = False,
    joint: bool = False,
) -> AssociationPass:
    """One pass over clusters of 0/1 rows, at most MOST_ROWS in each; joint : with `given` and `given_beta`."""
    starts = up_to(starts, rows.n)
    sizes = np.diff(starts)
    if sizes.max(initial=0) > MOST_ROWS:
        raise ValueError(f"a cluster of {sizes.max()} rows, where {MOST_ROWS} is the most")
    count = int((sizes * (sizes - 1) // 2).sum())
    z = floats(np.atleast_2d(pairs.z))
    if pairs.codes is None:
        if len(z) != 1:
            raise ValueError("several rows of z need codes")
    elif len(pairs.codes) != count or (count and not 0 <= pairs.codes.min() <= pairs.codes.max() < len(z)):
        raise ValueError(f"codes must be {count} numbers from 0 to {len(z) - 1}")
    codes = None if pairs.codes is None else np.ascontiguousarray(pairs.codes, dtype=np.int32)
    occasions = None if pairs.occasions is None else np.ascontiguousarray(pairs.occasions, dtype=np.int64)
    if occasions is not None and len(occasions) != rows.n:
        raise ValueError(f"occasions must be {rows.n} numbers")
    return AssociationPass(
        **native().association_pass(
            rows.handle,
            family,
            link,
            shaped(beta, rows.p),
            starts,
            z,
            codes,
            occasions,
            shaped(alpha, z.shape[1]),
            scores,
            curvatures,
            alpha_equation,
            joint,
            rows.threads,
        )
    )


def odds_cells(a: Floats, b: Floats, gamma: Floats) -> Floats:
    """(n, 6) P(1, 1), P(1, 0), P(0, 1), P(0, 0), covariance and d P(1, 1) / d gamma from means a, b and log odds ratio gamma."""
    a = floats(a)
    out: Floats = native().association_cells(a, shaped(b, len(a)), shaped(gamma, len(a)))
    return out


def odds_matrix(mu: Floats, gamma: Floats, occasions: Ints | None = None) -> Floats:
    """(m, m) correlations of the rows of one cluster; gamma (m (m - 1) / 2,) row by row."""
    mu = floats(mu)
    m = len(mu)
    given = None if occasions is None else np.ascontiguousarray(occasions, dtype=np.int64)
    if given is not None and len(given) != m:
        raise ValueError(f"occasions must be {m} numbers")
    out: Floats = native().association_matrix(mu, shaped(gamma, m * (m - 1) // 2), given)
    return out
