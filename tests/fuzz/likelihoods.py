"""What a fit claims, worked out again in NumPy and SciPy from the textbook: log-likelihoods, the marginal density of an LMM,
the integral over a random intercept on a grid, and estimating equations with R written out."""

from __future__ import annotations

import numpy as np
from scipy import special, stats

from glimm.design.clusters import occasions
from glimm.estimators.association import cluster_correlation


def mean_of(link, eta):
    """h(eta)."""
    with np.errstate(all="ignore"):
        if link.startswith("power("):
            return eta ** (1.0 / float(link[6:-1]))
        if link.startswith("odds_power("):
            p = float(link[11:-1])
            return 1.0 / (1.0 + (1.0 + p * eta) ** (-1.0 / p))
        return {
            "identity": lambda: eta,
            "log": lambda: np.exp(eta),
            "logit": lambda: special.expit(eta),
            "probit": lambda: special.ndtr(eta),
            "cloglog": lambda: -np.expm1(-np.exp(eta)),
            "loglog": lambda: np.exp(-np.exp(-eta)),
            "cauchit": lambda: 0.5 + np.arctan(eta) / np.pi,
            "logc": lambda: -np.expm1(eta),
            "inverse": lambda: 1.0 / eta,
            "inverse_squared": lambda: eta**-0.5,
            "sqrt": lambda: eta**2,
        }[link]()


def log_density(family, y, mu, weights, trials, psi):
    """(n,) complete log-densities, NaN or -inf where there is none; psi on the natural scale, weights as glimm documents them."""
    with np.errstate(all="ignore"):
        if family == "gaussian":
            return stats.norm.logpdf(y, mu, psi[0] / np.sqrt(weights))
        if family == "binomial":
            k = np.round(y * trials)
            return weights * stats.binom.logpmf(k, trials, mu)
        if family == "poisson":
            return weights * (special.xlogy(y, mu) - mu - special.gammaln(y + 1))
        if family == "gamma":
            shape = weights / psi[0]
            return stats.gamma.logpdf(y, shape, scale=mu / shape)
        if family == "inverse_gaussian":
            lam = weights / psi[0]
            return 0.5 * np.log(lam / (2 * np.pi * y**3)) - lam * (y - mu) ** 2 / (2 * mu**2 * y)
        if family in ("negative_binomial", "negative_binomial1"):
            k = psi[0] if family == "negative_binomial" else mu / psi[0]
            rising = np.where(k > 1e6 * (1 + y * y), y * np.log(k), special.gammaln(y + k) - special.gammaln(k))
            return weights * (rising - special.gammaln(y + 1) - (y + k) * np.log1p(mu / k) + special.xlogy(y, mu / k))
        if family == "beta":
            return weights * stats.beta.logpdf(y, mu * psi[0], (1 - mu) * psi[0])
    return None


def glm_direction(record, natural, names):
    """Directional derivatives of the log-likelihood along one standard error of each coefficient, and the rounding they may have."""
    design, family = record.design, record.family
    part = design.mean
    ones = np.ones(design.n)
    weights = ones if design.weights is None else design.weights
    trials = ones if design.trials is None else design.trials
    offset = 0.0 if part.offset is None else part.offset

    def total(beta):
        eta = part.matrix.times(beta) + offset
        rows = log_density(family.name, design.y, mean_of(part.link.name, eta), weights, trials, natural)
        return None if rows is None else (float(rows.sum()), float(np.abs(rows).sum()))

    def unknown(beta):
        """What rounding of the terms of eta leaves unknown: large terms of opposite sign, as of a column far from zero."""
        eta, terms = part.matrix.times(beta) + offset, np.abs(part.matrix.dense()) @ np.abs(beta)
        pair = [
            log_density(family.name, design.y, mean_of(part.link.name, eta + side * 1e-12 * terms), weights, trials, natural)
            for side in (1.0, -1.0)
        ]
        moved = np.abs(pair[0] - pair[1]) if all(rows is not None for rows in pair) else np.zeros(1)
        return 1e-4 * float(np.sum(moved[np.isfinite(moved)]))

    beta = record.vector[record.blocks["mean"]]
    here = total(beta)
    if here is None:
        return None
    lost = 50.0 * float(np.abs(design.y).sum()) if family.support == "count" else 0.0  # log Gamma of large counts
    out, rounding = [], unknown(beta)
    for v in names:  # (p,) steps of one standard error
        h = 1e-3 / max(1.0, float(np.abs(part.matrix.times(v)).max()))
        up, down = total(beta + h * v), total(beta - h * v)
        out.append(((up[0] - down[0]) / (2 * h), 1e-15 * (10.0 * here[1] + lost) / h + rounding / h))
    return here[0], out


def random_covariance(record, design):
    """(n, n) covariance of the random effects in the rows, at scale 1, one matrix per term."""
    out = []
    for term, root in zip(design.mean.random, record.roots, strict=True):
        if term.times is None:
            zr = term.z @ root
            out.append((term.refs[:, None] == term.refs[None, :]) * (zr @ zr.T))
            continue
        return None
    return out


def lmm_deviance(record, covariances, beta, sigma2, factors):
    """-2 log N(y; X beta + offset, sigma2 (W^-1 + sum factor_t C_t)), plus log|X'V^-1X| terms under REML."""
    design = record.design
    part, n = design.mean, design.n
    x = np.column_stack([part.matrix.times(e) for e in np.eye(part.matrix.p)]) if part.matrix.p else np.zeros((n, 0))
    v = np.diag(1.0 / (np.ones(n) if design.weights is None else design.weights))
    for c, f in zip(covariances, factors, strict=True):
        v = v + f * c
    v = sigma2 * v
    r = design.y - x @ beta - (0.0 if part.offset is None else part.offset)
    value = np.linalg.slogdet(v)[1] + float(r @ np.linalg.solve(v, r))
    if not record.reml:
        return value + n * np.log(2 * np.pi)
    whitened = np.linalg.solve(np.linalg.cholesky(v), x)
    pivots = np.abs(np.diag(np.linalg.qr(whitened, mode="r")))  # a cross-product of columns far from 0 has no digits left
    return value + 2.0 * np.log(pivots).sum() + (n - x.shape[1]) * np.log(2 * np.pi)


def intercept_loglik(record, natural, beta, sd):
    """log L of a model with one random intercept, by a fine grid for each cluster."""
    design = record.design
    part, term = design.mean, design.mean.random[0]
    ones = np.ones(design.n)
    weights = ones if design.weights is None else design.weights
    trials = ones if design.trials is None else design.trials
    eta = part.matrix.times(beta) + (0.0 if part.offset is None else part.offset)
    u = np.linspace(-9, 9, 1801)
    mu = mean_of(part.link.name, eta[:, None] + sd * term.z[:, :1] * u[None, :])
    rows = log_density(record.family.name, design.y[:, None], mu, weights[:, None], trials[:, None], natural)
    if rows is None:
        return None
    sums = np.zeros((int(term.refs.max()) + 1, len(u)))
    np.add.at(sums, term.refs, np.nan_to_num(rows, nan=-np.inf))
    return float(np.sum(special.logsumexp(sums + stats.norm.logpdf(u), axis=1) + np.log(u[1] - u[0])))


def gee_residual(record, groups, variance):
    """sum D'V^-1 (y - mu) with R written out, as a decrement U'B^-1U / phi; variance: v(mu) of the rows."""
    design = record.design
    part, clusters = design.mean, design.clusters[groups]
    beta = record.vector[record.blocks["mean"]]
    x = np.column_stack([part.matrix.times(e) for e in np.eye(part.matrix.p)])
    eta = x @ beta + (0.0 if part.offset is None else part.offset)
    far = np.abs(eta).max(initial=0.0)
    unit = 1e-2 * far if far > 1e-8 or part.link.name.startswith(("inverse", "power", "odds_power")) else 1.0
    h = 1e-6 * np.maximum(np.abs(eta), unit)
    mu, slope = mean_of(part.link.name, eta), (mean_of(part.link.name, eta + h) - mean_of(part.link.name, eta - h)) / (2 * h)
    size = np.ones(design.n) if design.size is None else design.size
    root = np.sqrt(size / variance)
    scaled = (x - part.center) / part.scale
    if part.intercept is not None:
        scaled[:, part.intercept] = 1.0
    d, e = scaled * (slope * root)[:, None], (design.y - mu) * root
    p = x.shape[1]
    score, bread = np.zeros(p), np.zeros((p, p))
    at = occasions(clusters, record.moments)
    places = at.at if at.inner is None else at.inner
    for j in range(len(clusters.levels)):
        within = slice(clusters.starts[j], clusters.starts[j + 1])
        rows = clusters.order[within]
        odds = record.corr.startswith("odds_ratio")
        r = cluster_correlation(record, j) if odds else correlation(record, places[within], at)
        inside = np.linalg.solve(r, d[rows])
        score += inside.T @ e[rows]
        bread += d[rows].T @ inside
    return float(score @ np.linalg.solve(bread, score)) / record.scale


def correlation(record, places, at):
    """R of one cluster; other structures than the three closed forms by their matrix, which no kernel uses."""
    m = len(places)
    if record.corr == "independence" or m == 1:
        return np.eye(m)
    a = record.alpha[0] if len(record.alpha) else 0.0
    if record.corr == "exchangeable":
        return np.full((m, m), a) + (1 - a) * np.eye(m)
    if record.corr == "ar1":
        return a ** np.abs(np.subtract.outer(places, places))
    return record.working.matrix(record.alpha, places, at)
