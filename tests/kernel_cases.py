"""Pairs of families and links, with parameters and responses, that the tests of kernels run over."""

import numpy as np

from glimm.family import FAMILIES, resolve

NUMBERED = {"power": "power(0.4)", "odds_power": "odds_power(-0.3)"}
PAIRS = [(f, NUMBERED.get(link, link)) for f in FAMILIES for link in FAMILIES[f].links]
PSI = {  # of every family with parameters of its own, on the scale on which they are estimated
    "gaussian": (0.3,),
    "gamma": (-0.4,),
    "inverse_gaussian": (-0.7,),
    "negative_binomial": (0.6,),
    "negative_binomial1": (0.2,),
    "beta": (1.7,),
    "tweedie": (0.1, 0.2),
}
PROBABILITY = ("logit", "probit", "cloglog", "loglog", "cauchit", "logc")
RANGES = {"identity": (0.05, 0.95), "inverse": (1.05, 4.0), "inverse_squared": (1.05, 6.0), "sqrt": (0.2, 0.98), "power(0.4)": (0.3, 0.98)}
RANGES |= {"odds_power(-0.3)": (-3.0, 2.5), "logc": (-6.0, -0.01)}


def kernels_of(family, link):
    found, chosen = resolve(family, link)
    return found.kernel, chosen.kernel


def responses(family, rng, n):
    support = FAMILIES[family].support
    if support == "binomial":
        return rng.choice([0.0, 1.0, 0.4], n)
    if support == "count":
        return np.where(rng.random(n) < 0.2, 40.0 + rng.poisson(5.0, n), rng.poisson(2.0, n)).astype(float)
    if support == "nonnegative":
        return np.where(rng.random(n) < 0.3, 0.0, rng.gamma(2.0, 1.0, n))
    return {"real": rng.normal(size=n), "positive": rng.gamma(2.0, 1.0, n), "unit": rng.beta(2.0, 2.0, n)}[support]
