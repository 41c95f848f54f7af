"""Twins of the native families in mpmath: log-densities from their textbook definitions, derivatives by mpmath's own differentiation."""

from __future__ import annotations

import mpmath as mp

MEANS = {
    "identity": lambda e: e,
    "log": mp.exp,
    "logit": lambda e: 1 / (1 + mp.exp(-e)),
    "probit": mp.ncdf,
    "cloglog": lambda e: -mp.expm1(-mp.exp(e)),
    "loglog": lambda e: mp.exp(-mp.exp(-e)),
    "cauchit": lambda e: mp.mpf(1) / 2 + mp.atan(e) / mp.pi,
    "logc": lambda e: 1 - mp.exp(e),
    "inverse": lambda e: 1 / e,
    "inverse_squared": lambda e: 1 / mp.sqrt(e),
    "sqrt": lambda e: e**2,
}

OTHERS = {  # 1 - h without cancellation
    "logit": lambda e: 1 / (1 + mp.exp(e)),
    "probit": lambda e: mp.ncdf(-e),
    "cloglog": lambda e: mp.exp(-mp.exp(e)),
    "loglog": lambda e: -mp.expm1(-mp.exp(-e)),
}


def mean_of(link: str):
    """eta -> h(eta); "power(p)" and "odds_power(p)" have their number in the name."""
    if link.startswith("power("):
        p = mp.mpf(link[6:-1])
        return lambda e: e ** (1 / p)
    if link.startswith("odds_power("):
        p = mp.mpf(link[11:-1])
        return lambda e: 1 / (1 + (1 + p * e) ** (-1 / p))
    return MEANS[link]


def log_density(family: str, link: str, y: float, size: float, psi=()):
    """eta -> log-density of a row, complete but for the binomial coefficient; psi on the transformed scale, size as the family has it."""
    mean = mean_of(link)
    other = OTHERS.get(link, lambda e: 1 - mean(e))
    y, size = mp.mpf(y), mp.mpf(size)
    psi = [mp.mpf(v) for v in psi]
    if family == "gaussian":
        variance = mp.exp(2 * psi[0]) / size
        return lambda e: -((y - mean(e)) ** 2) / (2 * variance) - mp.log(2 * mp.pi * variance) / 2
    if family == "poisson":
        return lambda e: size * (y * mp.log(mean(e)) - mean(e) - mp.loggamma(y + 1))
    if family == "gamma":
        shape = size / mp.exp(psi[0])
        return lambda e: shape * mp.log(shape * y / mean(e)) - shape * y / mean(e) - mp.log(y) - mp.loggamma(shape)
    if family == "inverse_gaussian":
        lam = size / mp.exp(psi[0])
        return lambda e: mp.log(lam / (2 * mp.pi * y**3)) / 2 - lam * (y - mean(e)) ** 2 / (2 * mean(e) ** 2 * y)
    if family in ("negative_binomial", "negative_binomial1"):
        return lambda e: size * negative_binomial(y, mean(e), mp.exp(psi[0]) if family == "negative_binomial" else mean(e) / mp.exp(psi[0]))
    if family == "beta":
        return lambda e: size * beta(y, mean(e), other(e), mp.exp(psi[0]))
    if family == "tweedie":
        return lambda e: tweedie(y, mean(e), mp.exp(psi[0]) / size, 1 + 1 / (1 + mp.exp(-psi[1])))

    def bernoulli(e):
        total = mp.mpf(0)
        if y > 0:
            total += y * mp.log(mean(e))
        if y < 1:
            total += (1 - y) * mp.log(other(e))
        return size * total

    return bernoulli


def negative_binomial(y, mu, k):
    """log C(y + k - 1, y) + k log(k / (k + mu)) + y log(mu / (k + mu))."""
    return mp.loggamma(y + k) - mp.loggamma(k) - mp.loggamma(y + 1) + k * mp.log(k / (k + mu)) + y * mp.log(mu / (k + mu))


def beta(y, mu, nu, precision):
    """Beta with shapes mu precision and nu precision, nu = 1 - mu."""
    a, b = mu * precision, nu * precision
    return mp.loggamma(a + b) - mp.loggamma(a) - mp.loggamma(b) + (a - 1) * mp.log(y) + (b - 1) * mp.log(1 - y)


def tweedie(y, mu, phi, p):
    """A Poisson number of gamma variables: sum over the number."""
    rate = mu ** (2 - p) / (phi * (2 - p))
    if y == 0:
        return -rate
    shape, scale = (2 - p) / (p - 1), phi * (p - 1) * mu ** (p - 1)

    def term(j):
        j = mp.mpf(j)
        log_weight = j * mp.log(rate) - mp.loggamma(j + 1) - rate
        return mp.exp(log_weight + (j * shape - 1) * mp.log(y) - y / scale - j * shape * mp.log(scale) - mp.loggamma(j * shape))

    return mp.log(sum(term(j) for j in range(1, 200)))


def derivatives(f, at: float, order: int = 3) -> list:
    """f and its derivatives, to 30 digits."""
    with mp.workdps(60):
        return [mp.diff(f, mp.mpf(at), k) if k else f(mp.mpf(at)) for k in range(order + 1)]
