"""Twins of the mixed-model kernels: the marginal density by definition, in NumPy and SciPy, dense and slow."""

from __future__ import annotations

import numpy as np
from scipy import integrate, stats


def lmm_minus2loglik(y, x, z, refs, t, sigma2, weights, reml):
    """-2 log L of y ~ N(X beta, sigma2 (W^-1 + Z T T'Z')) with beta profiled by generalised least squares; dense n x n."""
    n, p = x.shape
    same = refs[:, None] == refs[None, :]
    v = sigma2 * (np.diag(1.0 / weights) + same * (z @ t @ t.T @ z.T))
    vi = np.linalg.inv(v)
    info = x.T @ vi @ x
    beta = np.linalg.solve(info, x.T @ vi @ y)
    r = y - x @ beta
    value = np.linalg.slogdet(v)[1] + r @ vi @ r
    if reml:
        return value + np.linalg.slogdet(info)[1] + (n - p) * np.log(2 * np.pi)
    return value + n * np.log(2 * np.pi)


def cluster_loglik(log_density, eta, sd):
    """log of the integral over b ~ N(0, sd^2) of prod_i exp(log_density_i(eta_i + b)), by adaptive quadrature around the mode."""

    def exponent(b):
        return log_density(eta + b) + stats.norm.logpdf(b, scale=sd)

    grid = np.linspace(-12 * sd, 12 * sd, 4001)
    values = np.array([exponent(b) for b in grid])
    top, mode = values.max(), grid[values.argmax()]
    ends = mode - 14 * sd, mode + 14 * sd
    total, _ = integrate.quad(lambda b: np.exp(exponent(b) - top), *ends, points=[mode], limit=500, epsabs=0, epsrel=1e-12)
    return top + np.log(total)
