"""Random designs of mixed models for the tests of kernels, with their dense twins (oracle/dense_mixed.py)."""

from functools import cache

import numpy as np

from glimm.covariance.layout import Layout, shape
from glimm.estimators.boundary import trapezoid
from glimm.estimators.terms import lambdas
from glimm.kernels import Block, Matrix, Rows, SparseTerm
from oracle.dense_mixed import DenseLaplace, DenseLinear, all_lambda, constants, whole_z

STEP = 1e-5
BETA = np.array([0.1, 0.2, -0.15])
PAIRS = [("binomial", "logit"), ("binomial", "cloglog"), ("poisson", "log"), ("gaussian", "log")]


class Drawn:
    """A random design: 1 to 4 terms on nested, crossed and combined factors, with structures, ou, levels of one row and lost ranks."""

    def __init__(self, seed, rows=None, terms=True):
        rng = self.rng = np.random.default_rng([8, seed])
        n = self.n = int(rng.integers(40, 110)) if rows is None else rows
        a = rng.integers(0, 9, n)
        b = rng.integers(0, 3, n)
        factors = {
            "a": a,
            "ab": a * 3 + b,
            "abc": (a * 3 + b) * 2 + rng.integers(0, 2, n),
            "c": rng.integers(0, 7, n),
            "ac": None,
            "row": rng.permutation(n),
            "few": np.where(rng.random(n) < 0.8, rng.integers(0, 5, n), 5 + np.arange(n)),
        }
        factors["ac"] = a * 7 + factors["c"]
        self.factors = {k: np.unique(v, return_inverse=True)[1].astype(np.int32) for k, v in factors.items()}
        self.x = np.column_stack([np.ones(n), 5 + 2 * rng.normal(size=n), rng.normal(size=n)])
        self.weights = rng.uniform(0.4, 2.5, n)
        self.offset = 0.2 * rng.normal(size=n)
        self.center, self.scale = np.array([0, 4.8, 0.1]), np.array([1, 2.1, 0.9])
        self.terms, self.shapes = [], []
        if terms:
            for name in TERMS[seed]:
                self.add(*name)
        m = sum(s.size for s in self.shapes)
        self.theta = np.empty(m)
        at = 0
        for s in self.shapes:
            value = 0.4 * rng.normal(size=s.size)
            value[s.scales] = rng.uniform(0.3, 1.1, s.scales.sum())
            self.theta[at : at + s.size] = value
            at += s.size
        self.z = whole_z(self.terms, n) if terms else None
        self.matrix = Matrix(n, 3, (Block(np.array([0])), *(Block(np.array([k]), self.x[:, k].copy()) for k in (1, 2))))
        self.working = (self.x - self.center) / self.scale

    def add(self, factor, name, q=1):
        refs, rng = self.factors[factor], self.rng
        levels = int(refs.max()) + 1
        if name == "ou":
            times = np.cumsum(rng.uniform(0.2, 2.0, 6))
            patterns = [np.sort(rng.choice(times, k, replace=False)) for k in (4, 1, 3)]
            pattern = rng.integers(0, 3, levels).astype(np.int32)
            place = np.array([rng.integers(0, len(patterns[p])) for p in pattern[refs]], dtype=np.int32)
            self.terms.append(SparseTerm(refs, levels, None, place, pattern, np.array([len(p) for p in patterns])))
            self.shapes.append(shape("ou", 1, tuple(patterns)))
            return
        z = None if q == 1 else np.column_stack([np.ones(self.n), rng.normal(size=(self.n, q - 1))])
        if name in ("cs", "homcs", "ar1", "toep"):
            z = np.eye(q)[rng.integers(0, q, self.n)]
        self.terms.append(SparseTerm(refs, levels, z, None, None, np.array([q])))
        lost = {"lost": trapezoid(np.arange(q)[::-1], q - 1), "gone": Layout(np.arange(q), *(np.zeros(0, dtype=np.intp),) * 2)}
        self.shapes.append(lost[name] if name in lost else shape(name, q))

    def rows(self, y, size=None, threads=1):
        return Rows(self.matrix, self.center, self.scale, y, size, self.offset, threads=threads)

    def dense_lambda(self, theta=None):
        return all_lambda(self.terms, lambdas(tuple(self.shapes), self.theta if theta is None else theta))

    def moved_products(self):
        """d Lambda Lambda' / dtheta_k by central differences."""
        out = []
        for d in np.eye(len(self.theta)) * STEP:
            up, down = (self.dense_lambda(self.theta + s * d) for s in (1, -1))
            out.append((up @ up.T - down @ down.T) / (2 * STEP))
        return out

    def moved(self):
        """dV / dtheta_k."""
        return [self.z @ product @ self.z.T for product in self.moved_products()]

    def response(self, family):
        rng = self.rng
        eta = 0.3 * self.working[:, 1] + 0.3 * self.z @ (self.dense_lambda() @ rng.normal(size=self.z.shape[1]))
        if family == "binomial":
            return rng.integers(0, 4, self.n) / 3.0
        return (
            rng.poisson(np.exp(np.minimum(eta, 3))).astype(float)
            if family == "poisson"
            else 1.5 * np.exp(eta) + 0.3 * rng.normal(size=self.n)
        )


TERMS = [
    [("a", "us", 1)],
    [("a", "us", 2), ("ab", "us", 1)],
    [("ab", "us", 1), ("a", "us", 1), ("abc", "us", 1)],
    [("a", "us", 3), ("c", "us", 2)],
    [("a", "us", 1), ("a", "diag", 2), ("c", "us", 1)],
    [("a", "us", 2), ("ab", "us", 1), ("c", "diag", 3), ("ac", "us", 1)],
    [("few", "us", 2), ("c", "us", 1)],
    [("c", "us", 1), ("row", "us", 1)],
    [("a", "ou"), ("c", "us", 2)],
    [("ab", "ou"), ("a", "ou")],
    [("a", "cs", 3), ("ab", "us", 1)],
    [("c", "ar1", 4), ("a", "toep", 3), ("few", "homcs", 2)],
    [("a", "lost", 3), ("c", "us", 2), ("ab", "us", 1)],
    [("a", "gone", 1), ("c", "us", 1), ("few", "gone", 2)],
    [("few", "ou"), ("few", "us", 1)],
    [("row", "us", 1)],
    [("a", "us", 1), ("c", "us", 1)],
    [("few", "us", 1), ("a", "us", 1), ("ac", "us", 1)],
    [("ac", "us", 2), ("c", "diag", 2), ("a", "us", 2)],
    [("ac", "ou"), ("c", "ou"), ("a", "ar1", 3)],
]


def differences(f, x):
    return np.array([(f(x + d) - f(x - d)) / (2 * STEP) for d in np.eye(len(x)) * STEP])


@cache
def drawn(seed):
    return Drawn(seed)


@cache
def linear_twin(seed, reml):
    """(y, twin at theta, gradient in theta, average information, gradient in the entries of Lambda)."""
    d = drawn(seed)
    y = 2 + d.response("gaussian")

    def at(lam):
        return DenseLinear(y, d.working, d.z, d.weights, d.offset, lam, reml)

    gradient = differences(lambda t: at(d.dense_lambda(t)).deviance, d.theta)
    entries = differences(lambda v: at(all_lambda(d.terms, v)).deviance, lambdas(tuple(d.shapes), d.theta))
    twin = at(d.dense_lambda())
    return y, twin, gradient, twin.average_information(d.moved()), entries


@cache
def laplace_twin(seed, family, link):
    """(y, trials, size, psi, twin, gradient in (beta | theta | psi))."""
    d = drawn(seed)
    y = d.response(family)
    trials = np.full(d.n, 3.0) if family == "binomial" else None
    size = d.weights * (1.0 if trials is None else trials)
    psi = np.array([-0.3]) if family == "gaussian" else np.zeros(0)
    p, m = len(BETA), len(d.theta)

    def at(v):
        end = v[p + m] if len(psi) else 0.0
        twin = DenseLaplace((family, link), y, size, d.working, d.offset, v[:p], d.z @ d.dense_lambda(v[p : p + m]), end)
        twin.deviance -= 2 * constants(family, y, trials, d.weights, end)
        return twin

    x = np.concatenate([BETA, d.theta, psi])
    return y, trials, size, psi, at(x), differences(lambda v: at(v).deviance, x)
