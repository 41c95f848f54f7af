"""One global odds ratio between occasions: indicators o_c = 1(Y > c) as binary rows in clusters, m rows for each of the caller's rows.

Means h(x'b - t_c); the pair (c of one occasion, d of another) has log odds ratio alpha, whatever c and d.
"""

from __future__ import annotations

from typing import NoReturn

import numpy as np

from ..data.columns import level_name
from ..design.records import Clusters, Design
from ..errors import GlimmError
from ..family import FAMILIES, LINKS
from ..family.records import COMPLEMENT
from ..kernels import Block, Matrix, Rows
from ..kernels.association import MOST_ROWS, AssociationPass, Pairs, association_pass
from ..kernels.matrix import Floats
from .level_correlation import CorrelationPass
from .levels import Layout

LARGEST = 15.0
HALVINGS, NEAR = 40, 1e-6


class GlobalOdds:
    """The estimating equations of an ordinal design under a global odds ratio."""

    def __init__(self, design: Design, layout: Layout, clusters: Clusters, threads: int) -> None:
        m, part = layout.splits, design.mean
        largest = int(np.argmax(clusters.sizes))
        if clusters.sizes[largest] * m > MOST_ROWS:
            raise GlimmError(
                f"cluster {level_name(clusters.levels[largest])} of {clusters.name} has {clusters.sizes[largest]} rows, and with "
                f"{layout.levels} levels an odds ratio between occasions can have {MOST_ROWS // m}: use corr='independence'"
            )
        self.clusters = clusters
        self.layout, self.pairs = layout, bool((clusters.sizes > 1).any())
        self.starts = clusters.starts * m
        self.link = LINKS[COMPLEMENT[part.link.name]].kernel
        y = (design.y[:, None] > np.arange(m)).astype(np.float64).ravel()
        order = (clusters.order[:, None] * m + np.arange(m)).ravel()
        offset = None if part.offset is None else np.repeat(part.offset, m)
        center, scale = (np.concatenate([np.full(m, value), of[layout.free]]) for value, of in ((0.0, part.center), (1.0, part.scale)))
        self.rows = Rows(expanded(layout), center, scale, y, None, offset, order, threads)
        self.occasions = np.repeat(np.arange(design.n, dtype=np.int64), m)

    def at(
        self, gamma: Floats, alpha: Floats, scores: bool = False, curvatures: bool = False, association: bool = False, joint: bool = False
    ) -> AssociationPass:
        """One pass at working parameters and log odds ratio (1,), or (0,) where no cluster has a pair."""
        return association_pass(
            self.rows,
            FAMILIES["binomial"].kernel,
            self.link,
            gamma,
            self.starts,
            Pairs(np.ones((1, 1)), None, self.occasions),
            alpha if len(alpha) else np.zeros(1),
            scores,
            curvatures,
            association and self.pairs,
            joint and self.pairs,
        )

    def feasible(self, gamma: Floats, alpha: Floats, before: Floats) -> tuple[AssociationPass, Floats]:
        """The pass at alpha, or nearer to the one before it where the working covariance of a cluster is not positive definite.

        Raises GlimmError where none is.
        """
        for _ in range(HALVINGS):
            done = self.at(gamma, alpha, association=True)
            if done.indefinite < 0:
                return done, alpha
            alpha = 0.5 * (alpha + before) if np.abs(alpha - before).max(initial=0.0) > NEAR else 0.5 * alpha
        raise GlimmError(
            f"the working covariance of cluster {level_name(self.clusters.levels[done.indefinite])} of {self.clusters.name} cannot be "
            "inverted: some level is next to impossible in one of its rows; use corr='independence' (estimates stay consistent)"
        )

    def refuse(self, alpha: Floats) -> NoReturn:
        """Raises GlimmError for an odds ratio with which a cluster has no covariance."""
        raise GlimmError(
            f"the pairs of occasions have a log odds ratio beyond {alpha[0]:.3g}, with which some cluster has no covariance; "
            "use corr='independence' (estimates stay consistent)"
        )

    def start(self) -> Floats:
        """The odds ratio to begin from: 1."""
        return np.zeros(1 if self.pairs else 0)

    def step(self, alpha: Floats, done: AssociationPass | CorrelationPass) -> Floats:
        """A scoring step of the log odds ratio, of at most 2, inside its range."""
        if not len(alpha) or done.alpha_score is None or done.alpha_information is None:
            return alpha
        move = float(done.alpha_score[0] / max(done.alpha_information[0, 0], 1e-300))
        return np.asarray(np.clip(alpha + np.clip(move, -2.0, 2.0), -LARGEST, LARGEST))


def expanded(layout: Layout) -> Matrix:
    """(n m, m + q) columns of the thresholds, -1 in the rows of their own indicator, then of the predictors."""
    m, free = layout.splits, layout.free
    matrix = layout.part.matrix.select(free)
    n = matrix.n
    own = Block(np.arange(m, dtype=np.int64), np.full(n * m, -1.0), np.tile(np.arange(m, dtype=np.int32), n))
    blocks = [
        Block(b.positions + m, None if b.values is None else np.repeat(b.values, m), None if b.codes is None else np.repeat(b.codes, m))
        for b in matrix.blocks
    ]
    return Matrix(n * m, m + len(free), (own, *blocks))
