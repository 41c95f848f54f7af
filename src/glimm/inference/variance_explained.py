"""Intraclass correlations and R2 of mixed models: shares of var(X beta) + sum_t mean_i |root_t'z_i|^2 + distribution-specific variance.

With c = Var(Y) / mu^2 at the mean mu of the model without predictors, the distribution-specific variance on a log link is c (delta),
log(1 + c) (lognormal) or trigamma(1 / c) (trigamma); of a binomial response that of the latent variable (theoretical).
Source: Nakagawa, Johnson and Schielzeth (2017), J. R. Soc. Interface 14: 20170213; for random slopes Johnson (2014), Methods Ecol.
Evol. 5, 944-946.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from ..errors import GlimmError
from ..estimators.control import Control
from ..estimators.glmm import fit_glmm
from ..kernels import link as link_of
from ..kernels import mean
from ..kernels.matrix import Block, Floats, Matrix
from ..records import GeeRecord, MixedRecord, Record
from .distributions import response_variance

THEORETICAL: Final = {"logit": math.pi**2 / 3.0, "probit": 1.0, "cloglog": math.pi**2 / 6.0, "loglog": math.pi**2 / 6.0}
GAMMA_LIKE: Final = ("poisson", "negative_binomial", "negative_binomial1", "gamma", "tweedie")
METHODS: Final = ("exact", "theoretical", "lognormal", "trigamma", "delta")
NODES: Final = 61
SMALL, LARGE = 1e-100, 1e100


@dataclass(frozen=True, slots=True)
class Components:
    """Variances on the scale of the linear predictor.

    fixed : of X beta over the rows used (divisor n - 1), offsets left out
    groups, random : per grouping factor, the variance of its effects averaged over rows
    observation : of random effects with a level for every row, which are dispersion and not grouping
    distribution : of the family, by `method`
    """

    fixed: float
    groups: tuple[str, ...]
    random: Floats
    observation: float
    distribution: float
    method: str

    @property
    def residual(self) -> float:
        """What neither predictors nor groups explain."""
        return self.observation + self.distribution

    @property
    def total(self) -> float:
        """The sum of all."""
        return self.fixed + float(self.random.sum()) + self.residual


def components(record: Record, method: str | None, typical_mean: Callable[[], float], asked: str) -> Components:
    """The variances of a mixed model.

    method : "exact" (gaussian, identity), "theoretical" (binomial with logit, probit or cloglog link), "lognormal", "trigamma", "delta";
    None is the first of exact, theoretical, lognormal that the family and link have
    typical_mean : gives the mean of the model without predictors, asked for only where it is needed

    Raises GlimmError for a model without random effects, and for a method that has no meaning for family and link.
    """
    if not isinstance(record, MixedRecord):
        kind = "GEE" if isinstance(record, GeeRecord) else "GLM"
        instead = "corr_params has the correlation within clusters" if kind == "GEE" else "deviance and aic say how well it fits"
        raise GlimmError(f"{asked}: a {kind} has no random effects whose variance could be compared: {instead}; fit glimm.glmm")
    method = checked_method(record, method, asked)
    x = record.design.mean.matrix.times(record.vector[record.blocks["mean"]])
    if not max(np.abs(x).max(), *(np.abs(root).max() for root in record.roots)) < LARGE:
        raise GlimmError(f"{asked}: the estimates have no end, and so no variance can be taken of them: read fit.record.solution")
    groups: dict[str, float] = {}
    observation = 0.0
    for term, variance in zip(record.design.mean.random, term_variances(record), strict=True):
        if len(term.levels) == record.design.n:
            observation += float(variance.mean())
        else:
            groups[term.group] = groups.get(term.group, 0.0) + float(variance.mean())
    return Components(
        fixed=float(np.var(x, ddof=1)) if len(x) > 1 else 0.0,
        groups=tuple(groups),
        random=np.array(list(groups.values())),
        observation=observation,
        distribution=distribution_variance(record, method, typical_mean, asked),
        method=method,
    )


def checked_method(record: MixedRecord, method: str | None, asked: str) -> str:
    """The method to use; raises GlimmError for one that family and link do not have."""
    family, link = record.family.name, record.design.mean.link.name
    response_variance(record, np.zeros(0), asked)
    have = [
        name
        for name, there in (
            ("exact", family == "gaussian" and link == "identity"),
            ("theoretical", family == "binomial" and link in THEORETICAL),
            ("lognormal", link == "log"),
            ("trigamma", link == "log" and family in GAMMA_LIKE),
            ("delta", True),
        )
        if there
    ]
    if method is None and have[0] != "delta":
        return have[0]
    if method in have:
        return str(method)
    if method is not None and method not in METHODS:
        raise GlimmError(f"{asked}: method must be one of {', '.join(have)}, not {method!r}")
    what = "no distribution-specific variance is agreed on" if method is None else f"method {method!r} has no meaning"
    raise GlimmError(f"{asked}: {what} for family {family!r} with link {link!r}: use method={' or '.join(map(repr, have))}")


def term_variances(record: MixedRecord) -> tuple[Floats, ...]:
    """Per random term, (n,) variances |root'z|^2 of z'b."""
    scale = record.scale if record.linear else 1.0
    terms = zip(record.design.mean.random, record.roots, strict=True)
    return tuple(np.asarray(scale * ((term.z @ root) ** 2).sum(axis=1)) for term, root in terms)


def distribution_variance(record: MixedRecord, method: str, typical_mean: Callable[[], float], asked: str) -> float:
    """The variance of the family on the scale of the linear predictor (for one trial and weight 1)."""
    link = record.design.mean.link
    if method == "exact" or record.linear:
        return record.scale
    if method == "theoretical":
        return THEORETICAL[link.name]
    mu = np.array([typical_mean()])
    if not SMALL < abs(float(mu[0])) < LARGE:
        raise GlimmError(
            f"{asked}: the model without predictors has a mean of {float(mu[0]):.3g}, too far out for a variance of the family: read "
            "fit.record.solution"
        )
    variance = response_variance(record, mu, asked)
    if method == "delta":
        return float((variance / mean(link.kernel, link_of(link.kernel, mu))[1] ** 2)[0])
    c = float((variance / mu**2)[0])
    if method == "lognormal":
        return math.log1p(c)
    from scipy.special import polygamma

    return float(polygamma(1, 1.0 / c))


def mean_without_predictors(record: MixedRecord) -> float:
    """E h(b0 + offset + z'b) averaged over the rows used, from the same model with an intercept as its only predictor.

    Raises GlimmError where that model does not converge.
    """
    design, part = record.design, record.design.mean
    one = Matrix(design.n, 1, (Block(np.zeros(1, dtype=np.int64)),))
    alone = replace(part, matrix=one, names=("Intercept",), dropped={}, intercept=0, center=np.zeros(1), scale=np.ones(1))
    null = fit_glmm(replace(design, parts={**design.parts, "mean": alone}), record.family, record.points, Control())
    if null.solution.code not in ("converged", "boundary"):
        raise GlimmError(f"the model without predictors, which gives the mean for this R2, did not converge: {null.solution.message}")
    eta = null.vector[0] + (np.zeros(design.n) if part.offset is None else part.offset)
    variance = np.sum(term_variances(null), axis=0)
    if part.link.name == "log":
        return float(np.sum(mean(part.link.kernel, eta + 0.5 * variance)[0] / len(eta)))
    nodes, weights = np.polynomial.hermite_e.hermegauss(NODES)
    means = [w * np.sum(mean(part.link.kernel, eta + np.sqrt(variance) * z)[0] / len(eta)) for z, w in zip(nodes, weights, strict=True)]
    return float(np.sum(means) / weights.sum())


def icc(c: Components) -> dict[str, object]:
    """Columns: a row per grouping factor and one for all of them.

    adjusted : share of what predictors leave; conditional : share of everything
    """
    random = np.append(c.random, c.random.sum())
    return {
        "group": [*c.groups, "total"],
        "adjusted": random / (c.random.sum() + c.residual),
        "conditional": random / c.total,
        "variance": random,
        **_shared(c, len(random)),
    }


def r2(c: Components) -> dict[str, object]:
    """Columns: one row."""
    random = float(c.random.sum())
    return {
        "marginal": [c.fixed / c.total],
        "conditional": [(c.fixed + random) / c.total],
        "var_random": [random],
        **_shared(c, 1),
    }


def _shared(c: Components, rows: int) -> dict[str, object]:
    observation = {"var_observation": [c.observation] * rows} if c.observation > 0.0 else {}
    return {"var_fixed": [c.fixed] * rows, **observation, "var_distribution": [c.distribution] * rows, "method": [c.method] * rows}
