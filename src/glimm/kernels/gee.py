"""GEE: the pass over clusters, and sums over pairs of residuals. Batches of whole blocks of clusters add up to the bits of one call.

Everything is in working columns (x - center) / scale, rows in cluster order.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .families import FamilyKernel, LinkKernel, Psi, floats, maybe_shaped, own, shaped
from .matrix import Codes, Floats, Ints
from .native import native
from .rows import Rows, up_to

INDEPENDENCE, EXCHANGEABLE, AR1, BAND, FILTER, NESTED = range(6)
BLOCK_ROWS = 8192


def cluster_blocks(starts: Ints) -> list[int]:
    """Clusters at which blocks begin, and their number: a block ends with the cluster that brings it to 8,192 rows."""
    edges = [0]
    while edges[-1] < len(starts) - 1:
        end = int(np.searchsorted(starts, starts[edges[-1]] + BLOCK_ROWS))
        edges.append(min(end, len(starts) - 1))
    return edges


class Whitening(NamedTuple):
    """A working correlation as what makes the rows of a cluster uncorrelated; kinds and fields as in native/gee.hpp.

    place : (n,) times, or inner clusters; table : (m,) or (m + 1, m + 1)
    pattern : (K,) which packed factor in roots a cluster has, -1 by kind; first : where each begins
    """

    kind: int
    alpha: float = 0.0
    across: float = 0.0
    place: Floats | None = None
    order: int = 0
    table: Floats | None = None
    pattern: Codes | None = None
    first: Ints | None = None
    roots: Floats | None = None


class GeePass(NamedTuple):
    """score (p,), bread (p, p); Pearson residuals (n,) in the order of rows; per cluster scores (K, p), curvatures (K, p, p) on request.

    quadratic : sum e'R^-1e; log_det : sum log|R_i|, where asked for
    """

    score: Floats
    bread: Floats
    pearson: Floats
    scores: Floats | None
    curvatures: Floats | None
    quadratic: float
    log_det: float


def gee_pass(
    rows: Rows,
    family: FamilyKernel,
    link: LinkKernel,
    psi: Psi,
    beta: Floats,
    starts: Ints,
    whitening: Whitening,
    *,
    scores: bool = False,
    curvatures: bool = False,
    determinants: bool = False,
    before: GeePass | None = None,
) -> GeePass:
    """One pass at beta (p,), its sums added to those of `before`."""
    w = whitening
    return GeePass(
        *native().gee_pass(
            rows.handle,
            family,
            link,
            shaped(beta, rows.p),
            own(psi),
            up_to(starts, rows.n),
            w.kind,
            w.alpha,
            w.across,
            maybe_shaped(w.place, rows.n),
            w.order,
            None if w.table is None else floats(w.table).ravel(),
            w.pattern,
            w.first,
            w.roots,
            None if before is None else (before.score, before.bread, before.quadratic, before.log_det),
            scores,
            curvatures,
            determinants,
            rows.threads,
        )
    )


class PairSums(NamedTuple):
    """Sums over Pearson residuals: squares; products of all pairs in a cluster and their number; of pairs one unit of time apart."""

    squares: float
    pairs: float
    n_pairs: float
    next: float
    n_next: float


NO_PAIRS = PairSums(0.0, 0.0, 0.0, 0.0, 0.0)


def pair_sums(pearson: Floats, starts: Ints, time: Floats | None, threads: int = 1, before: PairSums = NO_PAIRS) -> PairSums:
    """Sums over pairs of residuals in clusters; pearson and time (n,) in cluster order."""
    n = len(pearson)
    out = native().pair_sums(floats(pearson), up_to(starts, n), maybe_shaped(time, n), np.array(before), threads)
    return PairSums(*out.tolist())


def lag_sums(pearson: Floats, starts: Ints, time: Floats | None, max_lag: int, before: Floats | None = None) -> Floats:
    """(2, max_lag + 1) products of residuals above their counts, by whole-number distance in time, over the pairs of a cluster."""
    n = len(pearson)
    start = np.zeros((2, max_lag + 1)) if before is None else before
    out: Floats = native().lag_sums(floats(pearson), up_to(starts, n), maybe_shaped(time, n), start)
    return out


def wave_sums(pearson: Floats, starts: Ints, wave: Codes, waves: int, before: Floats | None = None) -> Floats:
    """(2 waves, waves) products of residuals above their counts, by pair of waves j < k; wave (n,) rises inside a cluster."""
    start = np.zeros((2 * waves, waves)) if before is None else before
    out: Floats = native().wave_sums(floats(pearson), up_to(starts, len(pearson)), wave, start)
    return out


def inner_sums(pearson: Floats, starts: Ints, inner: Floats, before: Floats | None = None) -> Floats:
    """(2,) products of residuals of pairs in one inner cluster, and their number; inner (n,) is in runs."""
    n = len(pearson)
    start = np.zeros(2) if before is None else before
    out: Floats = native().inner_sums(floats(pearson), up_to(starts, n), shaped(inner, n), start)
    return out
