"""GEE of levels by dense algebra: indicators 1(Y > c) or 1(Y = c), derivatives of means by complex or central differences, V_i in full."""

from __future__ import annotations

import numpy as np
from scipy.stats import cauchy, norm

CDF = {
    "logit": lambda q: 1.0 / (1.0 + np.exp(-q)),
    "probit": norm.cdf,
    "cloglog": lambda q: -np.expm1(-np.exp(q)),
    "loglog": lambda q: np.exp(-np.exp(-q)),
    "cauchit": cauchy.cdf,
}


def ordinal_means(link, vector, x, m):
    """(n, m) P(Y > c), P(Y <= c) = F(t_c - x'b)."""
    return 1.0 - CDF[link](vector[None, :m] - (x @ vector[m:])[:, None])


def nominal_means(vector, x, m):
    """(n, m) P(Y = c), c = 1, ..., m."""
    e = np.exp(x @ vector.reshape(m, -1).T)
    return e / (1.0 + e.sum(axis=1, keepdims=True))


def probabilities(kind, mu):
    """(n, m + 1) of all levels."""
    one = np.ones((len(mu), 1))
    if kind == "nominal":
        return np.hstack([1.0 - mu.sum(axis=1, keepdims=True), mu])
    return -np.diff(np.hstack([one, mu, 0.0 * one]), axis=1)


def both(a, b, psi):
    """P(1, 1) of two indicators with odds ratio psi (Plackett)."""
    if abs(psi - 1.0) < 1e-9:
        return a * b
    s = 1.0 + (a + b) * (psi - 1.0)
    return (s - np.sqrt(s**2 - 4.0 * psi * (psi - 1.0) * a * b)) / (2.0 * (psi - 1.0))


def derivative(f, v, h=1e-6):
    """(..., P) central differences of fourth order."""
    columns = []
    for j in range(len(v)):
        e = np.zeros(len(v))
        e[j] = h * (1.0 + abs(v[j]))
        columns.append((8.0 * (f(v + e) - f(v - e)) - (f(v + 2 * e) - f(v - 2 * e))) / (12.0 * e[j]))
    return np.stack(columns, axis=-1)


def covariance(kind, mu, psi):
    """(n m, n m) V_i of the rows of one cluster."""
    n, m = mu.shape
    v = np.zeros((n * m, n * m))
    for i in range(n):
        for j in range(n):
            for c in range(m):
                for d in range(m):
                    a, b = mu[i, c], mu[j, d]
                    if i != j:
                        value = both(a, b, psi) - a * b
                    elif kind == "nominal":
                        value = (a if c == d else 0.0) - a * b
                    else:
                        value = mu[i, max(c, d)] * (1.0 - mu[i, min(c, d)])
                    v[i * m + c, j * m + d] = value
    return v


def correlated(mu, alpha):
    """(n m, n m) V_i of nominal rows with Cov(Y_j, Y_k) = alpha B_j B_k', without the first level."""
    n, m = mu.shape
    roots = []
    for pi in probabilities("nominal", mu):
        s = np.sqrt(pi)
        roots.append((np.diag(s) @ (np.eye(m + 1) - np.outer(s, s)))[1:])
    return np.block([[roots[i] @ roots[j].T * (1.0 if i == j else alpha) for j in range(n)] for i in range(n)])


def agreement(alpha, mu, y, clusters):
    """(sum over pairs of e_j'e_k - alpha tr P_j P_k) of each cluster, e = (Y - pi) / sqrt(pi)."""
    p, out = probabilities("nominal", mu), []
    for cluster in np.unique(clusters):
        rows, total = np.flatnonzero(clusters == cluster), 0.0
        for at, i in enumerate(rows):
            for j in rows[at + 1 :]:
                e = [(np.eye(p.shape[1])[y[k]] - p[k]) / np.sqrt(p[k]) for k in (i, j)]
                along = [np.eye(p.shape[1]) - np.outer(np.sqrt(p[k]), np.sqrt(p[k])) for k in (i, j)]
                total += e[0] @ e[1] - alpha * np.trace(along[0] @ along[1])
        out.append(total)
    return np.array(out)


def pieces(kind, link, vector, x, y, clusters, m, log_odds=0.0, weights=None, alpha=None):
    """(D_i, V_i, o_i - mu_i) of each cluster at the parameters as named; alpha : the correlation of nominal levels."""
    means = (lambda v: ordinal_means(link, v, x, m)) if kind == "ordinal" else (lambda v: nominal_means(v, x, m))
    mu, along = means(vector), derivative(means, vector)
    o = (y[:, None] > np.arange(m)) if kind == "ordinal" else (y[:, None] == np.arange(1, m + 1))
    for cluster in np.unique(clusters):
        rows = np.flatnonzero(clusters == cluster)
        v = covariance(kind, mu[rows], np.exp(log_odds)) if alpha is None else correlated(mu[rows], alpha)
        if weights is not None:
            root = np.sqrt(np.repeat(weights[rows], m))
            v = v / np.outer(root, root)
        yield along[rows].reshape(-1, len(vector)), v, (o[rows] - mu[rows]).ravel()


def equations(*given, **more):
    """(score (P,), model-based (P, P), robust (P, P)) at the parameters as named; arguments as of `pieces`."""
    total, bread, meat = 0.0, 0.0, 0.0
    for d, v, r in pieces(*given, **more):
        u = d.T @ np.linalg.solve(v, r)
        total, bread, meat = total + u, bread + d.T @ np.linalg.solve(v, d), meat + np.outer(u, u)
    inverse = np.linalg.inv(bread)
    return total, inverse, inverse @ meat @ inverse


def pair_log_likelihood(gamma, mu, y, clusters):
    """Sum over pairs of indicators of different occasions of the log probability of what was seen."""
    m, total = mu.shape[1], 0.0
    o = y[:, None] > np.arange(m)
    for cluster in np.unique(clusters):
        rows = np.flatnonzero(clusters == cluster)
        for at, i in enumerate(rows):
            for j in rows[at + 1 :]:
                for c in range(m):
                    for d in range(m):
                        a, b = mu[i, c], mu[j, d]
                        p = both(a, b, np.exp(gamma))
                        cells = {(True, True): p, (True, False): a - p, (False, True): b - p, (False, False): 1.0 - a - b + p}
                        total += np.log(cells[bool(o[i, c]), bool(o[j, d])])
    return total
