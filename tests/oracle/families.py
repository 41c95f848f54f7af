"""Twins of the native families in mpmath: log-densities from their textbook definitions, derivatives by mpmath's own differentiation."""

from __future__ import annotations

import mpmath as mp

MEANS = {
    "identity": lambda e: e,
    "log": mp.exp,
    "logit": lambda e: 1 / (1 + mp.exp(-e)),
    "probit": mp.ncdf,
    "cloglog": lambda e: -mp.expm1(-mp.exp(e)),
}


def log_density(family: str, link: str, y: float, size: float, psi: float):
    """eta -> size * l(y, eta; psi), without the terms that are free of eta and psi."""
    mean = MEANS[link]
    y, size, psi = mp.mpf(y), mp.mpf(size), mp.mpf(psi)
    if family == "gaussian":
        return lambda e: -size * (y - mean(e)) ** 2 / (2 * mp.exp(2 * psi))
    if family == "poisson":
        return lambda e: size * (y * mp.log(mean(e)) - mean(e))
    if link == "logit":  # 1 - h without cancellation
        return lambda e: size * (y * e - mp.log1p(mp.exp(e)))
    other = {"probit": lambda e: mp.ncdf(-e), "cloglog": lambda e: mp.exp(-mp.exp(e))}.get(link, lambda e: 1 - mean(e))

    def bernoulli(e):
        total = mp.mpf(0)
        if y > 0:
            total += y * mp.log(mean(e))
        if y < 1:
            total += (1 - y) * mp.log(other(e))
        return size * total

    return bernoulli


def derivatives(f, eta: float, order: int = 3) -> list:
    """f and its derivatives at eta, to 30 digits."""
    with mp.workdps(60):
        return [mp.diff(f, mp.mpf(eta), k) if k else f(mp.mpf(eta)) for k in range(order + 1)]
