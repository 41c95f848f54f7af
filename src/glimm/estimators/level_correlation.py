"""One correlation alpha between occasions of a nominal response: Cov(Y_j, Y_k) = alpha B_j B_k', Y the 0/1 indicators of all C levels.

B = diag(s) P, s = sqrt(pi), P = I - s s', so that B B' = diag(pi) - pi pi'; no level is set apart, and alpha of a pair with equal
probabilities is its agreement beyond chance. With e = diag(1 / s)(Y - pi), F = diag(1 / s) d pi / d theta, kappa = alpha / (1 - alpha),
T = sum P_j and K = kappa (I + kappa T)^-1 of a cluster:
U = [sum F'e - (sum F)'K (sum e)] / (1 - alpha), H = [sum F'F - (sum F)'K (sum F)] / (1 - alpha): sums over rows and C x C matrices.
alpha = sum e_j'e_k / sum tr P_j P_k over the pairs of occasions.
Source: Lipsitz, Kim and Zhao (1994), Stat. Med. 13, 1149-1163 (correlations of the indicators, there without a structure).
"""

from __future__ import annotations

from typing import NamedTuple, NoReturn

import numpy as np

from ..data.columns import level_name
from ..design.records import Clusters, Design
from ..errors import GlimmError
from ..kernels.association import AssociationPass
from ..kernels.matrix import Floats
from .levels import LEAST, Layout, cluster_information, jet, row_information, row_score

LEFT = 1e-6


class CorrelationPass(NamedTuple):
    """Sums of a pass; fields as of `kernels.association.AssociationPass`, the equation of alpha that of its residuals."""

    score: Floats
    bread: Floats
    scores: Floats
    curvatures: Floats | None
    indefinite: int
    alpha_score: Floats
    alpha_information: Floats
    alpha_scores: Floats | None = None
    given: Floats | None = None
    given_beta: Floats | None = None


class LevelCorrelation:
    """The estimating equations of a nominal design under one correlation between occasions."""

    def __init__(self, design: Design, layout: Layout, clusters: Clusters) -> None:
        self.design, self.layout, self.clusters = design, layout, clusters
        self.pairs = bool((clusters.sizes > 1).any())

    def at(
        self, gamma: Floats, alpha: Floats, scores: bool = False, curvatures: bool = False, association: bool = False, joint: bool = False
    ) -> CorrelationPass:
        """One pass at working parameters and alpha (1,), or (0,) where no cluster has a pair."""
        design, layout, clusters, matrix = self.design, self.layout, self.clusters, self.design.mean.matrix
        found, y = jet(layout, layout.working(design.mean.offset, gamma)), design.y.astype(np.int64)
        pi, levels = found.probability, np.arange(layout.levels)
        s = np.sqrt(pi)
        inverse = np.divide(1.0, s, out=np.zeros_like(s), where=pi > LEAST)
        e, f = ((y[:, None] == levels) - pi) * inverse, s[:, :, None] * found.relative
        starts, order = clusters.starts[:-1], clusters.order
        whole = np.add.reduceat(e[order], starts, axis=0)
        t = np.eye(layout.levels) * clusters.sizes[:, None, None] - self._outer(s)
        reach = np.stack([layout.sums(matrix, f[:, c], order, clusters.starts) for c in levels], axis=1)
        value = float(alpha[0]) if len(alpha) else 0.0
        kappa = value / max(1.0 - value, LEFT)
        inner = np.eye(layout.levels) + kappa * t
        low = np.linalg.eigvalsh(inner)[:, 0]
        indefinite = -1 if low.min() > LEFT and value < 1.0 - LEFT else int(np.argmin(low))
        k = kappa * np.linalg.inv(inner) if indefinite < 0 else np.full_like(inner, np.nan)
        w = row_information(found, None)
        own = layout.sums(matrix, row_score(found, y, None), order, clusters.starts)
        across = np.einsum("gcd,gdp->gcp", k, reach)
        each = (own - np.einsum("gcp,gc->gp", across, whole)) / (1.0 - value)
        bread = (layout.information(w) - np.einsum("gcp,gcq->pq", across, reach, optimize=True)) / (1.0 - value)
        both = None
        if curvatures:
            both = (cluster_information(layout, w, order, clusters.sizes) - np.einsum("gcp,gcq->gpq", across, reach, optimize=True)) / (
                1.0 - value
            )
        square = np.add.reduceat((e * e).sum(axis=1)[order], starts)
        product = 0.5 * (np.einsum("gc,gc->g", whole, whole) - square)
        possible = 0.5 * (np.einsum("gcd,gcd->g", t, t) - layout.splits * clusters.sizes)
        equation = np.array([(product - value * possible).sum()]), np.array([[possible.sum()]])
        out = CorrelationPass(each.sum(axis=0), bread, each, both, indefinite, *equation)
        if not (joint and self.pairs):
            return out
        inside = np.empty(design.n, dtype=np.int64)
        inside[order] = np.repeat(np.arange(len(clusters.levels)), clusters.sizes)
        de = -0.5 * found.relative * (((y[:, None] == levels) + pi) * inverse)[:, :, None]
        moved = np.einsum("ncd,nc->nd", de, whole[inside] - e) + value * np.einsum("nck,nk,ncd->nd", t[inside], s, f, optimize=True)
        slope = layout.sums(matrix, moved, order, np.array([0, design.n], dtype=np.int64))
        return out._replace(alpha_scores=(product - value * possible)[:, None], given=equation[1], given_beta=-slope)

    def _outer(self, s: Floats) -> Floats:
        """(K, C, C) sums of s s' over clusters."""
        starts, order, c = self.clusters.starts[:-1], self.clusters.order, s.shape[1]
        out = np.empty((len(starts), c, c))
        for j in range(c):
            out[:, j] = np.add.reduceat(s[order] * s[order, j][:, None], starts, axis=0)
        return out

    def feasible(self, gamma: Floats, alpha: Floats, before: Floats) -> tuple[CorrelationPass, Floats]:
        """The pass at alpha, or nearer to the one before it, and to 0, where a working covariance is not positive definite."""
        while True:
            done = self.at(gamma, alpha)
            if done.indefinite < 0:
                return done, alpha
            alpha = 0.5 * (alpha + before) if np.abs(alpha - before).max() > LEFT else 0.5 * alpha

    def refuse(self, alpha: Floats) -> NoReturn:
        """Raises GlimmError for a correlation with which a cluster has no covariance."""
        largest = int(np.argmax(self.clusters.sizes))
        raise GlimmError(
            f"the pairs of occasions have a correlation beyond {alpha[0]:.3g}, with which some cluster has no covariance (the largest is "
            f"{level_name(self.clusters.levels[largest])} of {self.clusters.name} with {self.clusters.sizes[largest]} rows); "
            "use corr='independence' (estimates stay consistent)"
        )

    def start(self) -> Floats:
        """The correlation to begin from: 0."""
        return np.zeros(1 if self.pairs else 0)

    def step(self, alpha: Floats, done: CorrelationPass | AssociationPass) -> Floats:
        """alpha from the residuals of the pass."""
        if not len(alpha) or done.alpha_score is None or done.alpha_information is None:
            return alpha
        return np.asarray(alpha + done.alpha_score / done.alpha_information[0])
