"""Nested exchangeable working correlation: pupils in classes in schools.

R_jk = within for two rows of one inner cluster, across for two rows of different inner clusters of the same cluster.
"""

from __future__ import annotations

from itertools import pairwise
from typing import final

import numpy as np

from ..errors import GlimmError
from ..kernels import Whitening, inner_sums
from ..kernels.gee import NESTED
from ..kernels.matrix import Floats
from .moments import Moments, Residuals, Rule, Sums, ratios
from .occasions import Occasions


@final
class Nested:
    """Two correlations: inside an inner cluster, and between inner clusters of a cluster."""

    name = "nested"
    about = "one working correlation inside an inner cluster, another between inner clusters"

    def names(self, at: Occasions) -> tuple[str, ...]:
        """alpha_within, alpha_across."""
        if at.inner is None:
            raise GlimmError("corr='nested' needs clusters in clusters: groups='school/class', the outer one first")
        return ("alpha_within", "alpha_across")

    def own_sums(self, r: Residuals, rule: Rule, before: Floats | None) -> Floats | None:
        """Pairs inside inner clusters."""
        if rule.name == "gee":
            raise GlimmError("moments='gee' has no rule for corr='nested': use 'standard' or 'geepack'")
        assert r.at.inner is not None
        return inner_sums(r.pearson, r.at.starts, r.at.inner, before)

    def estimate(self, s: Sums, rule: Rule, at: Occasions) -> Moments:
        """within = S_within / (phi (N_within - p)), across = S_across / (phi (N_across - p))."""
        phi, own = rule.dispersion(s), s.own
        assert own is not None
        sums = np.array([own[0], s.pairs.pairs - own[0]])
        pairs = np.where(self._present(at.scope), [own[1], s.pairs.n_pairs - own[1]], 0.0)
        alpha, note = ratios(sums, pairs, phi, rule, lambda: self.names(at))
        return Moments(phi, alpha, note)

    def whitening(self, alpha: Floats, at: Occasions) -> Whitening:
        """By the closed inverse."""
        return Whitening(NESTED, alpha=float(alpha[0]), across=float(alpha[1]), place=at.inner)

    def least(self, alpha: Floats, at: Occasions) -> float:
        """Over 1 - within, and the matrix of the means of the inner clusters of each cluster, inner clusters of one size taken together."""
        within, across = float(alpha[0]), float(alpha[1])
        least = 1.0 - within
        if within >= across >= 0.0 or least <= 0.0:
            return least
        for sizes, counts in self._sizes(at):
            own = 1.0 - within + sizes * (within - across)
            root = np.sqrt(sizes * counts)
            means = np.diag(own) + across * np.outer(root, root)
            least = min(least, float(np.linalg.eigvalsh(means)[0]), float(own[counts > 1].min(initial=np.inf)))
        return least

    def shrunk(self, alpha: Floats, t: float) -> Floats:
        """(1 - t) alpha."""
        return (1.0 - t) * alpha

    def matrix(self, alpha: Floats, times: Floats, at: Occasions) -> Floats:
        """By inner cluster of each row, given in place of times."""
        same = np.equal.outer(times, times)
        out = np.where(same, alpha[0], alpha[1])
        np.fill_diagonal(out, 1.0)
        return np.asarray(out)

    def _present(self, at: Occasions) -> tuple[bool, bool]:
        """Whether there are pairs inside inner clusters, and across: sums of weights differ by rounding where there are none."""
        assert at.inner is not None
        same = np.diff(at.inner)[at.inside] == 0.0
        return bool(same.any()), not same.all()

    def _sizes(self, at: Occasions) -> list[tuple[Floats, Floats]]:
        """(sizes, how many inner clusters have it) of each kind of cluster."""
        assert at.inner is not None
        new = np.concatenate([[True], np.diff(at.inner) != 0.0])
        new[at.starts[:-1][at.sizes > 0]] = True
        runs = np.flatnonzero(new)
        lengths = np.diff(np.append(runs, at.starts[-1]))
        cluster = np.searchsorted(at.starts, runs, side="right") - 1
        edges = np.searchsorted(cluster, np.arange(len(at.sizes) + 1))
        kinds = {tuple(sorted(lengths[a:b].tolist())) for a, b in pairwise(edges.tolist()) if b > a}
        found = [np.unique(kind, return_counts=True) for kind in sorted(kinds)]
        return [(sizes.astype(np.float64), counts.astype(np.float64)) for sizes, counts in found]
