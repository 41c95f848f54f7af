"""Alternating logistic regressions by dense algebra: V_i from 2 x 2 tables, gamma's score from conditional probabilities.

In a table with margins a, b and odds ratio psi, p11 (1 - a - b + p11) = psi (a - p11)(b - p11); derivatives are differences.
"""

from __future__ import annotations

import itertools

import mpmath as mp
import numpy as np


def exact_cells(a, b, gamma, digits=60):
    """p11, p10, p01, p00, p11 - ab and dp11/dgamma, as floats."""
    with mp.workdps(digits):
        a, b, psi = mp.mpf(float(a)), mp.mpf(float(b)), mp.exp(mp.mpf(float(gamma)))
        if psi == 1:
            p11 = a * b
        else:
            s = 1 + (psi - 1) * (a + b)
            p11 = (s - mp.sqrt(s * s - 4 * psi * (psi - 1) * a * b)) / (2 * (psi - 1))
        cells = (p11, a - p11, b - p11, 1 - a - b + p11)
        return np.array([float(v) for v in (*cells, p11 - a * b, 1 / sum(1 / c for c in cells))])


def joint(a, b, gamma):
    """P(1, 1) in double precision."""
    psi = np.exp(gamma)
    if abs(psi - 1) < 1e-9:
        return a * b
    s = 1 + (psi - 1) * (a + b)
    return (s - np.sqrt(s * s - 4 * psi * (psi - 1) * a * b)) / (2 * (psi - 1))


def covariance(mu, gamma, occasions):
    """(m, m) V; gamma (m, m)."""
    m = len(mu)
    v = np.diag(mu * (1 - mu))
    for i, j in itertools.combinations(range(m), 2):
        if occasions[i] == occasions[j]:
            v[i, j] = v[j, i] = min(mu[i], mu[j]) - mu[i] * mu[j]  # 1(Y > c) 1(Y > c') is the rarer of the two
        else:
            v[i, j] = v[j, i] = joint(mu[i], mu[j], gamma[i, j]) - mu[i] * mu[j]
    return v


def log_conditional(mu, y, gamma, i, j):
    """log P(y_i | y_j)."""
    p11 = joint(mu[i], mu[j], gamma)
    zeta = p11 / mu[j] if y[j] else (mu[i] - p11) / (1 - mu[j])
    return np.log(zeta if y[i] else 1 - zeta)


def log_pair(mu, y, gamma, i, j):
    """log P(y_i, y_j)."""
    p11 = joint(mu[i], mu[j], gamma)
    return np.log({(1, 1): p11, (1, 0): mu[i] - p11, (0, 1): mu[j] - p11, (0, 0): 1 - mu[i] - mu[j] + p11}[int(y[i]), int(y[j])])


class Dense:
    """The equations at (beta, alpha): x (n, p), starts, z(cluster, i, j) -> (q,), mean and slope functions of eta."""

    def __init__(self, y, x, starts, occasions, z, mean, slope):
        self.y, self.x, self.starts, self.occasions, self.z, self.mean, self.slope = y, x, starts, occasions, z, mean, slope

    def clusters(self):
        return [np.arange(a, b) for a, b in zip(self.starts[:-1], self.starts[1:], strict=True)]

    def gammas(self, k, rows, alpha):
        m = len(rows)
        out = np.zeros((m, m))
        for i, j in itertools.combinations(range(m), 2):
            out[i, j] = out[j, i] = self.z(k, i, j) @ alpha
        return out

    def mean_equation(self, beta, alpha):
        """Per cluster (U, H), and the sums of e'R^-1 e and log|R|."""
        u, h, quadratic, log_det = [], [], 0.0, 0.0
        for k, rows in enumerate(self.clusters()):
            eta = self.x[rows] @ beta
            mu = self.mean(eta)
            d = self.slope(eta)[:, None] * self.x[rows]
            v = covariance(mu, self.gammas(k, rows, alpha), self.occasions[rows])
            residual = self.y[rows] - mu
            u.append(d.T @ np.linalg.solve(v, residual))
            h.append(d.T @ np.linalg.solve(v, d))
            quadratic += residual @ np.linalg.solve(v, residual)
            log_det += np.linalg.slogdet(v)[1] - np.log(mu * (1 - mu)).sum()
        return np.array(u), np.array(h), quadratic, log_det

    def pairs(self, k, rows):
        return [(i, j) for i, j in itertools.combinations(range(len(rows)), 2) if self.occasions[rows[i]] != self.occasions[rows[j]]]

    def alpha_scores(self, beta, alpha, step=1e-5):
        """(K, q) gradient of the pairwise log-likelihood in alpha at fixed margins, by differences."""
        out = np.zeros((len(self.starts) - 1, len(alpha)))
        for k, rows in enumerate(self.clusters()):
            mu, y = self.mean(self.x[rows] @ beta), self.y[rows]
            for i, j in self.pairs(k, rows):
                z = self.z(k, i, j)
                g = z @ alpha
                out[k] += z * (log_pair(mu, y, g + step, i, j) - log_pair(mu, y, g - step, i, j)) / (2 * step)
        return out

    def information(self, beta, alpha, step=1e-5):
        """(q, q) sum over pairs of z z' dp11 / dgamma."""
        out = np.zeros((len(alpha), len(alpha)))
        for k, rows in enumerate(self.clusters()):
            mu = self.mean(self.x[rows] @ beta)
            for i, j in self.pairs(k, rows):
                z = self.z(k, i, j)
                g = z @ alpha
                out += np.outer(z, z) * (joint(mu[i], mu[j], g + step) - joint(mu[i], mu[j], g - step)) / (2 * step)
        return out

    def given(self, beta, alpha, step=1e-5):
        """A_aa and A_ab: half the sum over both directions of T'T / S and T' dzeta/dbeta / S, zeta = P(y_i = 1 | y_j)."""
        q, p = len(alpha), len(beta)
        a_aa, a_ab = np.zeros((q, q)), np.zeros((q, p))

        def zeta(b, g, rows, i, j):
            mu = self.mean(self.x[rows] @ b)
            p11 = joint(mu[i], mu[j], g)
            return p11 / mu[j] if self.y[rows[j]] else (mu[i] - p11) / (1 - mu[j])

        for k, rows in enumerate(self.clusters()):
            for first, second in self.pairs(k, rows):
                z = self.z(k, first, second)
                g = z @ alpha
                for i, j in ((first, second), (second, first)):
                    at = zeta(beta, g, rows, i, j)
                    t = z * (zeta(beta, g + step, rows, i, j) - zeta(beta, g - step, rows, i, j)) / (2 * step)
                    tb = np.array(
                        [(zeta(beta + step * e, g, rows, i, j) - zeta(beta - step * e, g, rows, i, j)) / (2 * step) for e in np.eye(p)]
                    )
                    a_aa += 0.5 * np.outer(t, t) / (at * (1 - at))
                    a_ab += 0.5 * np.outer(t, tb) / (at * (1 - at))
        return a_aa, a_ab
