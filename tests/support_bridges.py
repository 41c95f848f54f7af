"""Mixed models by definition, for the tests of bridges: data from known parameters, covariances from theta, integrals over random effects.

E h(eta + sum z'b) three ways: over the sum, which is normal; over a grid of the separate effects; by drawing a million clusters.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd
from scipy import special, stats

import glimm
from support import vector_covariance

MEANS = {
    "logit": special.expit,
    "probit": special.ndtr,
    "cloglog": lambda e: -np.expm1(-np.exp(e)),
    "loglog": lambda e: np.exp(-np.exp(-e)),
    "cauchit": lambda e: 0.5 + np.arctan(e) / np.pi,
    "log": np.exp,
}
LINKS = {
    "logit": special.logit,
    "probit": special.ndtri,
    "cloglog": lambda m: np.log(-np.log1p(-m)),
    "loglog": lambda m: -np.log(-np.log(m)),
    "cauchit": lambda m: np.tan(np.pi * (m - 0.5)),
    "log": np.log,
}
BETA = np.array([-0.3, 0.6, 0.5, -0.4])
GAP = 0.7


@dataclass(frozen=True)
class Term:
    """A random term. kind : of its columns in a row, "1", "1x" or "visit"; truth : theta of the simulated data."""

    group: str
    structure: str
    kind: str
    truth: tuple[float, ...]

    @property
    def k(self) -> int:
        """Effects of a level."""
        return {"1": 1, "1x": 2, "visit": 4}[self.kind]

    def columns(self, frame: pd.DataFrame) -> np.ndarray:
        """(n, k) z."""
        if self.kind == "visit":
            return np.eye(4)[frame["visit"]]
        return np.column_stack([np.ones(len(frame)), frame["x"]])[:, : self.k]

    def levels(self, frame: pd.DataFrame) -> np.ndarray:
        """(n,) codes of the grouping."""
        return np.unique(frame[self.group.split(":")].to_numpy(), axis=0, return_inverse=True)[1].ravel()

    def covariance(self, theta: np.ndarray) -> np.ndarray:
        """(k, k) of its effects."""
        if self.structure == "us":
            t = np.zeros((self.k, self.k))
            columns, rows = np.triu_indices(self.k)
            t[rows, columns] = theta
            return t @ t.T
        if self.structure == "diag":
            return np.diag(theta**2)
        if self.structure == "cs":
            sds, rho = theta[: self.k], theta[self.k]
            return np.outer(sds, sds) * (np.eye(self.k) * (1.0 - rho) + rho)
        lag = np.abs(np.subtract.outer(np.arange(self.k), np.arange(self.k)))
        return theta[0] ** 2 * (theta[1] ** lag if self.structure == "ar1" else np.exp(-theta[1] * GAP * lag))


@dataclass(frozen=True)
class Model:
    """A GLMM y ~ w * x + bars; offset : with column `exposure`."""

    link: str
    bars: str
    terms: tuple[Term, ...]
    offset: bool = False

    @property
    def theta(self) -> np.ndarray:
        """The truth."""
        return np.concatenate([term.truth for term in self.terms])

    def parts(self, theta: np.ndarray) -> list[np.ndarray]:
        """Covariance of each term."""
        ends = np.cumsum([len(term.truth) for term in self.terms])
        return [term.covariance(one) for term, one in zip(self.terms, np.split(theta, ends[:-1]), strict=True)]

    def joined(self, theta: np.ndarray, frame: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        """(z of all terms (n, q), their covariance (q, q))."""
        parts = self.parts(theta)
        side = sum(len(v) for v in parts)
        whole, at = np.zeros((side, side)), 0
        for v in parts:
            whole[at : at + len(v), at : at + len(v)] = v
            at += len(v)
        return np.hstack([term.columns(frame) for term in self.terms]), whole

    def linear(self, beta: np.ndarray, frame: pd.DataFrame) -> np.ndarray:
        """(n,) offset + X beta."""
        return fixed(frame) @ beta + (np.log(frame["exposure"].to_numpy()) if self.offset else 0.0)

    def marginal(self, beta: np.ndarray, theta: np.ndarray, frame: pd.DataFrame) -> np.ndarray:
        """(n,) E h over the sum's normal."""
        z, v = self.joined(theta, frame)
        return over_sum(MEANS[self.link], self.linear(beta, frame), np.sqrt(np.einsum("ij,jk,ik->i", z, v, z)))


def fixed(frame: pd.DataFrame) -> np.ndarray:
    """X of 1 + w * x."""
    w, x = frame["w"].to_numpy(dtype=float), frame["x"].to_numpy()
    return np.column_stack([np.ones(len(frame)), w, x, w * x])


def random_covariance(model: Model, theta: np.ndarray, frame: pd.DataFrame) -> np.ndarray:
    """(n, n) covariance of the random parts of rows."""
    out = np.zeros((len(frame), len(frame)))
    for term, v in zip(model.terms, model.parts(theta), strict=True):
        levels, z = term.levels(frame), term.columns(frame)
        out += (levels[:, None] == levels) * (z @ v @ z.T)
    return out


def random_columns(model: Model, theta: np.ndarray, frame: pd.DataFrame) -> np.ndarray:
    """(n, effects) Z times a root of the effects' covariance, by term and level."""
    parts = []
    for term, v in zip(model.terms, model.parts(theta), strict=True):
        levels, columns = term.levels(frame), term.columns(frame) @ np.linalg.cholesky(v)
        parts += [(levels == level)[:, None] * columns for level in range(levels.max() + 1)]
    return np.hstack(parts)


ITEM = Term("item", "us", "1", (0.7,))
SITE, ROOM = Term("site", "us", "1", (0.7,)), Term("site:room", "us", "1", (0.6,))
SLOPES = Term("g", "us", "1x", (0.9, -0.3, 0.7))
MODELS = {
    "slopes and items": Model("logit", "(1 + x | g) + (1 | item)", (SLOPES, ITEM)),
    "everything": Model("logit", "(1 + x | g) + (1 | item) + (1 | site/room)", (SLOPES, ITEM, SITE, ROOM)),
    "independent": Model("logit", "(1 + x || g) + (1 | item)", (Term("g", "diag", "1x", (0.9, 0.7)), ITEM)),
    "nested": Model("probit", "(1 | site/room)", (SITE, ROOM)),
    "cs": Model("cloglog", "cs(1 + x | g) + (1 | item)", (Term("g", "cs", "1x", (0.9, 0.7, 0.4)), ITEM)),
    "ar1": Model("loglog", "ar1(0 + C(visit) | g) + (1 | item)", (Term("g", "ar1", "visit", (1.1, 0.6)), ITEM)),
    "ou": Model("cauchit", "ou(0 + t | g) + (1 | item)", (Term("g", "ou", "visit", (1.2, 0.5)), ITEM)),
    "counts": Model("log", "(1 + x | g) + (1 | item)", (Term("g", "us", "1x", (0.5, -0.1, 0.3)), Term("item", "us", "1", (0.4,))), True),
}


def people(n: int, rng: np.random.Generator) -> pd.DataFrame:
    """Predictors and groups of n rows."""
    counts = {"g": 70, "item": 15, "site": 12, "room": 4, "visit": 4, "w": 2}
    frame = pd.DataFrame({name: rng.integers(0, k, n) for name, k in counts.items()})
    return frame.assign(t=GAP * frame["visit"], x=rng.normal(size=n), exposure=rng.uniform(0.5, 2.0, n))


@cache
def simulated(name: str) -> pd.DataFrame:
    """1,500 rows from the true parameters."""
    model, rng = MODELS[name], np.random.default_rng(21)
    frame = people(1500, rng)
    eta = model.linear(BETA, frame)
    for term, v in zip(model.terms, model.parts(model.theta), strict=True):
        levels = term.levels(frame)
        b = rng.multivariate_normal(np.zeros(term.k), v, levels.max() + 1)
        eta = eta + np.einsum("ij,ij->i", term.columns(frame), b[levels])
    mean = MEANS[model.link](eta)
    return frame.assign(y=rng.poisson(mean) if model.link == "log" else (rng.random(len(frame)) < mean).astype(int))


@cache
def fit_of(name: str) -> glimm.fit.GlmmFit:
    """Laplace; no variance at its limit."""
    model = MODELS[name]
    more = {"family": "poisson", "exposure": "exposure"} if model.offset else {"family": "binomial", "link": model.link}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings(
            "ignore", message="(Laplace is not accurate|[0-9]+ points are not enough) here", category=glimm.GlimmWarning
        )
        fit = glimm.glmm(f"y ~ w * x + {model.bars}", simulated(name), points=1, **more)
    assert fit.record.solution.code == "converged"
    return fit


def over_sum(h: Callable[[np.ndarray], np.ndarray], eta: np.ndarray, sd: np.ndarray, nodes: int = 161) -> np.ndarray:
    """(n,) E h(eta + sd Z) by the trapezoid rule."""
    z = np.linspace(-10.0, 10.0, nodes)
    w = np.exp(-0.5 * z * z)
    return h(eta[:, None] + sd[:, None] * z) @ (w / w.sum())


def by_hermite(h: Callable[[np.ndarray], np.ndarray], eta: np.ndarray, sd: np.ndarray, nodes: int = 240) -> np.ndarray:
    """(n,) the same by Gauss and Hermite's rule."""
    z, w = np.polynomial.hermite_e.hermegauss(nodes)
    return h(eta[:, None] + sd[:, None] * z) @ (w / w.sum())


def over_effects(h: Callable[[np.ndarray], np.ndarray], eta: np.ndarray, z: np.ndarray, v: np.ndarray) -> np.ndarray:
    """(n,) E h(eta + z'b), b ~ N(0, v), by the trapezoid rule over the grid of the effects that a row has, three at most."""
    out = np.empty(len(eta))
    u = np.arange(-9.0, 9.01, 0.3)
    for i, row in enumerate(z):
        has = np.flatnonzero(row)
        assert 1 <= len(has) <= 3
        grid = np.stack(np.meshgrid(*[u] * len(has), indexing="ij"), axis=-1).reshape(-1, len(has))
        w = np.exp(-0.5 * (grid**2).sum(axis=1))
        out[i] = w @ h(eta[i] + grid @ np.linalg.cholesky(v[np.ix_(has, has)]).T @ row[has]) / w.sum()
    return out


def by_simulation(
    h: Callable[[np.ndarray], np.ndarray], eta: np.ndarray, z: np.ndarray, v: np.ndarray, clusters: int = 1_000_000
) -> tuple[np.ndarray, np.ndarray]:
    """(mean (n,), its Monte-Carlo error) over clusters that draw their effects."""
    b = np.random.default_rng(77).normal(size=(clusters, len(v))) @ np.linalg.cholesky(v).T
    each = [h(one + b @ row) for one, row in zip(eta, z, strict=True)]
    return np.array([m.mean() for m in each]), np.array([m.std() for m in each]) / np.sqrt(clusters)


def jacobian(f: Callable[[np.ndarray], np.ndarray], at: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """(outputs, parameters) by central differences, extrapolated."""

    def once(scale: float) -> np.ndarray:
        return np.array([(f(at + scale * d) - f(at - scale * d)) / (2.0 * scale * d.sum()) for d in np.diag(steps)]).T

    return (4.0 * once(0.5) - once(1.0)) / 3.0


def logistic(y, eta, psi):
    """log f of 0 and 1."""
    return -np.logaddexp(0.0, np.where(y == 1, -eta, eta))


def poisson(y, eta, psi):
    """log f of a count."""
    return y * eta - np.exp(eta) - special.gammaln(y + 1.0)


def negative_binomial(y, eta, psi):
    """log f of a count with variance mu + mu^2 / k, psi = log k."""
    k = np.exp(psi[0])
    return stats.nbinom.logpmf(y, k, k / (k + np.exp(eta)))


def integrated(law, y, weights, base, z, v, psi) -> float:
    """log E exp(sum_i weight_i log f(y_i | base_i + z_i'b)), b ~ N(0, v), by the trapezoid rule."""
    steps = np.arange(-8.0, 8.01, 0.1 if len(v) == 1 else 0.2)
    u = np.stack(np.meshgrid(*[steps] * len(v), indexing="ij"), axis=-1).reshape(-1, len(v))
    logw = -0.5 * (u**2).sum(axis=1)
    eta = base[:, None] + z @ np.linalg.cholesky(v) @ u.T
    return float(special.logsumexp(weights @ law(y[:, None], eta, psi) + logw) - special.logsumexp(logw))


def influences(fit: glimm.fit.GlmmFit, by: str, loglik: Callable[[np.ndarray, np.ndarray], float], data: pd.DataFrame) -> np.ndarray:
    """(K, P) H^-1 s_c on (beta, theta, psi): scores by central differences of loglik(rows of a cluster, vector), at a maximum."""
    cov = vector_covariance(fit)
    at = np.concatenate([fit.params, fit.record.vector[len(fit.params) :]])
    clusters = [np.flatnonzero(data[by] == c) for c in np.unique(data[by])]
    scores = jacobian(lambda vector: np.array([loglik(rows, vector) for rows in clusters]), at, 0.03 * np.sqrt(np.diag(cov)))
    assert np.abs(scores.sum(axis=0) * np.sqrt(np.diag(cov))).max() < 1e-3
    return scores @ cov
