"""Twins of mixed models of any design, with Z written out: eta = offset + X beta + Z Lambda u, u ~ N(0, I); dense and slow.

LMM: V = W^-1 + Z Lambda Lambda'Z' with sigma = 1. Laplace: Newton's method for u on the full s x s matrix.
"""

from __future__ import annotations

import numpy as np
from scipy import special, stats


def random_matrix(term, n):
    """(n, effects) Z of one term: the levels' columns one after the other."""
    sizes = np.array(
        [term.sizes[0 if term.pattern is None else p] for p in (np.zeros(term.levels, int) if term.pattern is None else term.pattern)]
    )
    starts = np.concatenate([[0], np.cumsum(sizes)])
    z = np.zeros((n, starts[-1]))
    for i, j in enumerate(term.refs):
        if term.place is not None:
            z[i, starts[j] + term.place[i]] = 1.0 if term.z is None else term.z[i, 0]
        else:
            z[i, starts[j] : starts[j + 1]] = 1.0 if term.z is None else term.z[i]
    return z


def lambda_matrix(term, values):
    """(effects, effects) Lambda of one term from its patterns' factors, row by row, and how many values were used."""
    factors, at = [], 0
    for q in term.sizes:
        factors.append(values[at : at + q * q].reshape(q, q))
        at += q * q
    patterns = np.zeros(term.levels, int) if term.pattern is None else term.pattern
    side = sum(len(factors[p]) for p in patterns)
    out, first = np.zeros((side, side)), 0
    for p in patterns:
        q = len(factors[p])
        out[first : first + q, first : first + q] = factors[p]
        first += q
    return out, at


def all_lambda(terms, values):
    """Lambda of all terms, block-diagonal."""
    blocks, at = [], 0
    for term in terms:
        block, used = lambda_matrix(term, values[at:])
        blocks.append(block)
        at += used
    assert at == len(values)
    side = sum(len(b) for b in blocks)
    out, first = np.zeros((side, side)), 0
    for b in blocks:
        out[first : first + len(b), first : first + len(b)] = b
        first += len(b)
    return out


def whole_z(terms, n):
    """Z of all terms."""
    return np.hstack([random_matrix(t, n) for t in terms])


def blocks_of(terms, matrix):
    """Per term the diagonal (q, q) blocks of a matrix over all effects, level by level, raveled."""
    out, at = [], 0
    for term in terms:
        parts = []
        for j in range(term.levels):
            q = int(term.sizes[0 if term.pattern is None else term.pattern[j]])
            parts.append(matrix[at : at + q, at : at + q].ravel())
            at += q
        out.append(np.concatenate(parts))
    return out


class DenseLinear:
    """An LMM at a given Lambda: deviance with beta and sigma profiled out, and all that goes with it."""

    def __init__(self, y, x, z, weights, offset, lam, reml):
        n, p = x.shape
        self.m = lam.T @ z.T @ (weights[:, None] * z) @ lam + np.eye(z.shape[1])
        zl = z @ lam
        self.v = np.diag(1.0 / weights) + zl @ zl.T
        self.vi = np.linalg.inv(self.v)
        self.information = x.T @ self.vi @ x
        response = y - offset
        self.beta = np.linalg.solve(self.information, x.T @ self.vi @ response)
        residual = response - x @ self.beta
        self.projected = self.vi @ residual  # P y
        self.p_matrix = self.vi - self.vi @ x @ np.linalg.solve(self.information, x.T @ self.vi)
        self.r2 = float(residual @ self.projected)
        self.ne = n - p if reml else n
        self.s2 = self.r2 / self.ne
        self.u = zl.T @ self.projected
        # -2 log N(y; X beta, s2 V), or the density of n - p contrasts (Harville 1974, without his constant of X'X)
        value = np.linalg.slogdet(self.v)[1] + self.ne * np.log(2 * np.pi * self.s2) + self.ne
        self.deviance = value + np.linalg.slogdet(self.information)[1] if reml else value
        if not reml:
            law = stats.multivariate_normal(x @ self.beta + offset, self.s2 * self.v, allow_singular=False)
            assert abs(self.deviance + 2 * law.logpdf(y)) < 1e-8 * max(1.0, abs(self.deviance))

    def average_information(self, moved):
        """(m, m) y'P V_k P V_l P y / s2 - (y'P V_k P y)(y'P V_l P y) / (ne s2^2); moved: dV / dtheta_k."""
        rows = [v @ self.projected for v in moved]
        first = np.array([self.projected @ r for r in rows])
        return np.array([[a @ self.p_matrix @ b for b in rows] for a in rows]) / self.s2 - np.outer(first, first) / (self.ne * self.s2**2)


# log-densities with constants and their first derivatives, as functions that also take complex eta
def _poisson(y, size, eta, psi):
    return size * (y * eta - np.exp(eta)), size * (y - np.exp(eta))


def _logit(y, size, eta, psi):
    return size * (y * eta - np.log(1 + np.exp(eta))), size * (y - 1 / (1 + np.exp(-eta)))


def _cloglog(y, size, eta, psi):
    e = np.exp(eta)
    p = -np.expm1(-e) if not np.iscomplexobj(e) else 1 - np.exp(-e)
    return size * (y * np.log(p) - (1 - y) * e), size * (y * e * np.exp(-e) / p - (1 - y) * e)


def _gaussian_log(y, size, eta, psi):
    mu, precision = np.exp(eta), np.exp(-2 * psi)
    return -0.5 * size * precision * (y - mu) ** 2, size * precision * (y - mu) * mu


DENSITIES = {
    ("poisson", "log"): _poisson,
    ("binomial", "logit"): _logit,
    ("binomial", "cloglog"): _cloglog,
    ("gaussian", "log"): _gaussian_log,
}


def constants(family, y, trials, weights, psi):
    """Sum of the log-density's terms that are free of eta; trials: of a binomial, whose y are proportions."""
    if family == "poisson":
        return -np.sum(weights * special.gammaln(y + 1))
    if family == "gaussian":
        return np.sum(0.5 * np.log(weights / (2 * np.pi)) - psi)
    k = y * trials
    return np.sum(weights * (special.gammaln(trials + 1) - special.gammaln(k + 1) - special.gammaln(trials - k + 1)))


class DenseLaplace:
    """-2 [log p(y, u) at the mode] + log |M| without the constant of y; u, M at the mode."""

    def __init__(self, pair, y, size, x, offset, beta, zl, psi):
        self.law = DENSITIES[pair]
        base = offset + x @ beta
        u = np.zeros(zl.shape[1])
        step = 1e-30
        for _ in range(500):
            eta = base + zl @ u
            first = self.law(y, size, eta, psi)[1]
            second = np.imag(self.law(y, size, eta + 1j * step, psi)[1]) / step
            m = zl.T @ (-second[:, None] * zl) + np.eye(len(u))
            expected = m if np.all(np.linalg.eigvalsh(m) > 1e-8) else zl.T @ (np.maximum(-second, 0)[:, None] * zl) + np.eye(len(u))
            right = zl.T @ first - u
            move = np.linalg.solve(expected, right)
            length = 1.0
            while length > 1e-6 and not self._value(y, size, base + zl @ (u + length * move), u + length * move, psi) >= self._value(
                y, size, eta, u, psi
            ) - 1e-12 * abs(self._value(y, size, eta, u, psi)):
                length *= 0.5
            u = u + length * move
            if right @ move < 1e-24:
                break
        assert right @ move < 1e-18
        self.u, self.m, self.zl, self.first, self.curvature = u, m, zl, first, -second
        self.deviance = -2 * self._value(y, size, base + zl @ u, u, psi) + np.linalg.slogdet(m)[1]

    def information(self, x):
        """X'V^-1 X, V = W^-1 + Z Lambda Lambda'Z', W the curvatures at the mode, written so that W may have zeros."""
        wzl = self.curvature[:, None] * self.zl
        return x.T @ (self.curvature[:, None] * x) - x.T @ wzl @ np.linalg.solve(self.m, wzl.T @ x)

    def _value(self, y, size, eta, u, psi):
        return float(np.sum(self.law(y, size, eta, psi)[0]) - 0.5 * u @ u)
