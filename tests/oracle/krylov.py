"""Twins of the Krylov engine's parts from a dense M: what is left after one term is eliminated, its blocks, its functions of matrices.

S = M_bb - M_ba M_aa^-1 M_ab; S_ = G^-1/2 S G^-1/2 with G the blocks of S by level,
and all of S beside small terms behind the first of b; log|M| = log|M_aa| + log|G| + tr log S_.
"""

from __future__ import annotations

import itertools

import numpy as np

BORDER = 32  # effects


def effects_of(terms):
    """Per term its effects' positions, by level: [[(first, after), ...], ...]."""
    out, at = [], 0
    for term in terms:
        sizes = [int(term.sizes[0 if term.pattern is None else term.pattern[j]]) for j in range(term.levels)]
        ends = at + np.cumsum([0, *sizes])
        out.append(list(itertools.pairwise(ends.tolist())))
        at = int(ends[-1])
    return out


def leading(terms):
    """The term that is eliminated: the first with most levels."""
    return int(np.argmax([t.levels for t in terms]))


class DenseSchur:
    """S, its blocks and S_ of a dense M."""

    def __init__(self, terms, m):
        levels = effects_of(terms)
        first = leading(terms)
        a = np.arange(levels[first][0][0], levels[first][-1][1])
        others = sorted((k for k in range(len(terms)) if k != first), key=lambda k: -terms[k].levels)
        border = 0
        for k in others[:0:-1]:
            effects = levels[k][-1][1] - levels[k][0][0]
            if border + effects > BORDER:
                break
            border += effects
        rest = [span for k in others for span in levels[k]]
        b = np.concatenate([np.arange(*span) for span in rest])
        self.front = m[np.ix_(a, a)]
        self.s = m[np.ix_(b, b)] - m[np.ix_(b, a)] @ np.linalg.solve(self.front, m[np.ix_(a, b)])
        self.g = np.zeros_like(self.s)
        at = 0
        for low, high in rest:
            q = high - low
            self.g[at : at + q, at : at + q] = self.s[at : at + q, at : at + q]
            at += q
        bordered = self.g.copy()
        bordered[at - border :] = self.s[at - border :]
        bordered[:, at - border :] = self.s[:, at - border :]
        if border and np.linalg.eigvalsh(bordered)[0] > 0:
            self.g = bordered
        half = np.linalg.inv(np.linalg.cholesky(self.g))
        self.scaled = half @ self.s @ half.T

    @property
    def blocks_logdet(self):
        """log|M_aa| + log|G|."""
        return np.linalg.slogdet(self.front)[1] + np.linalg.slogdet(self.g)[1]

    @property
    def trace_log(self):
        """tr log S_."""
        return np.linalg.slogdet(self.scaled)[1]

    def forms(self, signs):
        """(3,) e'log(S_)e, e'(I - S_)e less its expectation and e'(I - S_)^2 e."""
        w, v = np.linalg.eigh(self.scaled)
        weights = (v.T @ signs) ** 2
        return np.array([weights @ np.log(w), weights @ (1 - w) - (1 - w).sum(), weights @ (1 - w) ** 2])

    def all_forms(self):
        """(2^(side - 1), 3) of every vector of signs, up to its own sign."""
        side = len(self.s)
        return np.array([self.forms(np.array([1.0, *rest])) for rest in itertools.product((-1.0, 1.0), repeat=side - 1)])


def moment_deviations(terms, z, weights, score, s2):
    """Per entry of the lambdas: sqrt((sum_j (z_j'W r)^2 / s2 - a_j) / sum_j a_j^2) on a diagonal, over levels j; else 0. a: of Z'WZ."""
    a = np.einsum("nk,n,nk->k", z, weights, z)
    out = []
    for term, spans in zip(terms, effects_of(terms), strict=True):
        for pattern, q in enumerate(term.sizes):
            block = np.zeros((q, q))
            chosen = [s for j, s in enumerate(spans) if term.pattern is None or term.pattern[j] == pattern]
            for c in range(q):
                at = np.array([low + c for low, _ in chosen], dtype=int)
                if (a[at] ** 2).sum() > 0:
                    block[c, c] = np.sqrt(max(0.0, (score[at] ** 2).sum() / s2 - a[at].sum()) / (a[at] ** 2).sum())
            out.append(block.ravel())
    return np.concatenate(out)


def model_information(d1, curvature, z, lam, moved):
    """(m, m) s'dS_k Z'V^-1 Z dS_l s, s = Z'd1, dS_k = d(Lambda Lambda') / dtheta_k, with V^-1 = W - W Z Lambda M^-1 Lambda'Z'W."""
    wz = curvature[:, None] * z
    m = np.eye(len(lam)) + lam.T @ z.T @ wz @ lam
    inner = z.T @ wz - wz.T @ z @ lam @ np.linalg.solve(m, lam.T @ z.T @ wz)
    rows = np.array([change @ (z.T @ d1) for change in moved])
    return rows @ inner @ rows.T
