"""GLMMs with several random effects per cluster by brute force (NumPy, SciPy; no glimm): K^q-point adaptive Gauss-Hermite by definition.

Run (in this folder): python aghq_slopes.py        writes aghq_slopes.json; fits start from slopes.json

b = T u, T lower triangular, its entries by column; u ~ N(0, I); eta = X beta + offset + Z T u. Per cluster
    h(u) = sum log f(y | u) - u'u / 2 - (q/2) log 2 pi,  mode m (Newton to rounding),  M = T'Z'W Z T + I = L L' at m,
    W = -d2 log f / d eta2, the observed weights,  nodes u_k = m + sqrt2 L^-T x_k, x_k all combinations of the K Gauss-Hermite nodes,
    log-likelihood = log sum_k exp(sum log w_k + |x_k|^2 + h(u_k)) - log |L| + (q/2) log 2.
One point is Laplace. "integral" is the integral itself: the trapezoid rule on a product grid in s = L'(u - m), once more on a finer
and wider grid ("integral_change" is the difference). vector = (beta | T by column | log sigma).

Every entry says its columns as expressions of the data's columns. Fits maximise the K^q-point sum over (beta, T[, log sigma]) with
BFGS and Newton steps with 6th order differences; se is from the Hessian in these parameters jointly. For q > 1 the sum depends a
little on the basis of the effects: fits under us take the one in which the columns of Z are orthonormal over the rows, Z R^-1 with
R'R = Z'Z / n, and are stored for the effects as named.
"""

import itertools
import json
from pathlib import Path

import numpy as np
import scipy
from aghq import CLOGLOG, LOGIT, PROBIT, gaussian_log, gradient, hessian, poisson
from scipy import optimize, special

HERE = Path(__file__).parent
PARTS = {("binomial", "logit"): LOGIT, ("binomial", "probit"): PROBIT, ("binomial", "cloglog"): CLOGLOG, ("poisson", "log"): poisson}
NOTE = f"aghq_slopes.py, brute force, NumPy {np.__version__}, SciPy {scipy.__version__}"


def read(stem, design=None):
    lines = [line.replace('"', "").split(",") for line in (HERE / "data" / f"{stem}.csv").read_text().splitlines()]
    rows = [row for row in lines[1:] if design is None or row[lines[0].index("design")] == design]
    out = {}
    for name, values in zip(lines[0], zip(*rows, strict=True), strict=True):
        try:
            out[name] = np.array([float(v) for v in values])
        except ValueError:
            out[name] = np.array(values)
    if stem == "mlmRev_Contraception":
        out["y"] = (out["use"] == "Y").astype(float)
    return out


class Data:
    """The arrays of an entry, rows by cluster."""

    def __init__(self, entry):
        names = read(entry["data"], entry.get("design"))
        n = len(next(iter(names.values())))

        def column(text):
            return np.broadcast_to(np.asarray(eval(text, {"log": np.log}, names), dtype=float), n)

        self.levels, self.group = np.unique(names[entry["group"]], return_inverse=True)
        self.y, self.trials = column(entry["response"]), column(entry.get("trials", "1"))
        self.offset = column(entry.get("offset", "0"))
        self.x, self.z = (np.column_stack([column(c) for c in entry[k]]) for k in ("fixed", "random"))
        self.p, self.q, self.clusters = self.x.shape[1], self.z.shape[1], len(self.levels)
        self.gaussian, self.link = entry["family"] == "gaussian", entry["link"]
        self.parts = PARTS.get((entry["family"], entry["link"]))
        self.constant = 0.0
        if entry["family"] == "binomial":
            n, y = self.trials, self.y
            self.constant = float(np.sum(special.gammaln(n + 1) - special.gammaln(y + 1) - special.gammaln(n - y + 1)))

    def unpack(self, vector):
        """beta, T, and log f with two derivatives."""
        t = np.zeros((self.q, self.q))
        k = self.q * (self.q + 1) // 2
        columns, rows = np.triu_indices(self.q)
        t[rows, columns] = vector[self.p : self.p + k]
        parts = self.parts
        if self.gaussian:
            parts = gaussian_log(np.exp(vector[-1])) if self.link == "log" else gaussian(np.exp(vector[-1]))
        return vector[: self.p], t, parts


def gaussian(sigma):
    def parts(eta, y, n):
        r = (y - eta) / sigma
        return -0.5 * r * r - np.log(sigma) - 0.5 * np.log(2 * np.pi), r / sigma, np.full_like(eta, -1 / sigma**2)

    return parts


class Cluster:
    """All clusters' h(u), its modes and L at a vector."""

    def __init__(self, d, vector):
        beta, t, self.parts = d.unpack(np.asarray(vector, dtype=float))
        self.d, self.xb, self.zt = d, d.x @ beta + d.offset, d.z @ t
        self.modes, self.chol = self.newton()

    def sums(self, v):
        return np.stack([np.bincount(self.d.group, c, minlength=self.d.clusters) for c in v.T], axis=1)

    def h(self, u):
        d = self.d
        ll = self.parts(self.xb + np.sum(self.zt * u[d.group], axis=1), d.y, d.trials)[0]
        return np.bincount(d.group, ll, minlength=d.clusters) - 0.5 * np.sum(u * u, axis=1) - 0.5 * d.q * np.log(2 * np.pi)

    def slopes(self, u, safe):
        d, q = self.d, self.d.q
        _, d1, d2 = self.parts(self.xb + np.sum(self.zt * u[d.group], axis=1), d.y, d.trials)
        w = np.maximum(-d2, 0.0) if safe else -d2
        g = self.sums(d1[:, None] * self.zt) - u
        m = self.sums((w[:, None, None] * self.zt[:, :, None] * self.zt[:, None, :]).reshape(-1, q * q)).reshape(-1, q, q) + np.eye(q)
        return g, m

    def newton(self):
        u = np.zeros((self.d.clusters, self.d.q))
        for _ in range(300):
            g, m = self.slopes(u, True)
            step = np.linalg.solve(m, g[:, :, None])[:, :, 0]
            now, size = self.h(u), np.ones(len(u))
            for _ in range(40):
                bad = ~(self.h(u + size[:, None] * step) >= now - 1e-12 * (1 + np.abs(now)))
                if not bad.any():
                    break
                size[bad] /= 2
            u = u + size[:, None] * step
            if np.abs(step).max() < 1e-10:
                break
        for _ in range(3):
            g, m = self.slopes(u, False)
            u = u + np.linalg.solve(m, g[:, :, None])[:, :, 0]
        return u, np.linalg.cholesky(self.slopes(u, False)[1])

    def nodes(self, s):
        """u = m + L^-T s for every cluster."""
        return (
            self.modes
            + np.linalg.solve(np.swapaxes(self.chol, 1, 2), np.broadcast_to(s[None, :, None], (len(self.modes), len(s), 1)))[:, :, 0]
        )

    def log_det(self):
        return np.log(np.diagonal(self.chol, axis1=1, axis2=2)).sum(axis=1)


def loglik(d, vector, points):
    """The K^q-point log-likelihood."""
    c = Cluster(d, vector)
    x, w = np.polynomial.hermite.hermgauss(points)
    terms = []
    for k in itertools.product(range(points), repeat=d.q):
        node, weights = x[list(k)], np.log(w[list(k)]).sum()
        terms.append(weights + node @ node + c.h(c.nodes(np.sqrt(2) * node)))
    return float(np.sum(special.logsumexp(terms, axis=0) - c.log_det() + 0.5 * d.q * np.log(2)) + d.constant)


def integral(d, vector, step, reach):
    """The integral by the trapezoid rule on a product grid in s."""
    c = Cluster(d, vector)
    axis = step * np.arange(-int(reach / step), int(reach / step) + 1)
    grid = np.array(list(itertools.product(axis, repeat=d.q)))
    total = d.constant
    for j in range(d.clusters):
        at = d.group == j
        u = c.modes[j] + np.linalg.solve(c.chol[j].T, grid.T).T
        value = -0.5 * np.sum(u * u, axis=1) - 0.5 * d.q * np.log(2 * np.pi)
        with np.errstate(all="ignore"):  # derivatives far out, which are not used
            for i in np.flatnonzero(at):
                value = value + c.parts(c.xb[i] + u @ c.zt[i], d.y[i], d.trials[i])[0]
        total += special.logsumexp(value) + d.q * np.log(step) - c.log_det()[j]
    return float(total)


def fit(d, start, points, structure):
    """Maximise; the free parameters are beta, the entries of T (its diagonal for "diag"), log sigma."""
    columns, rows = np.triu_indices(d.q)
    free = np.r_[np.arange(d.p), d.p + np.flatnonzero((rows == columns) | (structure == "us")), np.arange(d.p + len(rows), len(start))]

    def whole(v):
        out = np.zeros(len(start))
        out[free] = v
        return out

    def minus(v):
        with np.errstate(all="ignore"):
            try:
                value = loglik(d, whole(v), points)
            except np.linalg.LinAlgError:
                return 1e10
        return -value if np.isfinite(value) else 1e10

    v = np.asarray(start, dtype=float)[free]
    scale = np.maximum(0.1 * np.abs(v), 0.02)
    v = optimize.minimize(lambda s: minus(s * scale), v / scale, method="BFGS", options={"gtol": 1e-4}).x * scale
    h = 0.1 * scale
    for _ in range(3):
        curvature = hessian(minus, v, h)
        for _ in range(3):
            step = -np.linalg.solve(curvature, gradient(minus, v, h))
            v = v + step
            if np.abs(step / scale).max() < 1e-10:
                break
        h = 0.05 * np.sqrt(np.diag(np.linalg.inv(curvature)))
    cov = np.linalg.inv(hessian(minus, v, h))
    return v, cov, -minus(v), float(np.abs(step / np.sqrt(np.diag(cov))).max()), whole(v)


MODELS = {
    "seizure_post": {"data": "seizure_long", "family": "poisson", "link": "log", "response": "y", "offset": "log(weeks)", "group": "id", "fixed": ["1", "trt", "post", "trt * post"], "random": ["1", "post"]},
    "seizure_visit": {"data": "seizure_long", "family": "poisson", "link": "log", "response": "y", "offset": "log(weeks)", "group": "id", "fixed": ["1", "trt", "post", "trt * post"], "random": ["1", "post", "visit"]},
    "seizure_slope": {"data": "seizure_long", "family": "poisson", "link": "log", "response": "y", "offset": "log(weeks)", "group": "id", "fixed": ["1", "trt", "post", "trt * post"], "random": ["visit"]},
    "sleep_log": {"data": "lme4_sleepstudy", "family": "gaussian", "link": "log", "response": "Reaction", "group": "Subject", "fixed": ["1", "Days"], "random": ["1", "Days"]},
    "sleep_identity": {"data": "lme4_sleepstudy", "family": "gaussian", "link": "identity", "response": "Reaction", "group": "Subject", "fixed": ["1", "Days"], "random": ["1", "Days"]},
    "binary_slope": {"data": "sim_slopes", "design": "binomial_us2_4", "family": "binomial", "link": "logit", "response": "y", "group": "g", "fixed": ["1", "x"], "random": ["1", "x"]},
    "binary_three": {"data": "sim_slopes", "design": "binomial_us3_2", "family": "binomial", "link": "logit", "response": "y", "group": "g", "fixed": ["1", "x / 20", "z"], "random": ["1", "x / 20", "z"]},
    "counts_three": {"data": "sim_slopes", "design": "poisson_us3_2", "family": "poisson", "link": "log", "response": "y", "group": "g", "fixed": ["1", "x / 20", "z"], "random": ["1", "x / 20", "z"]},
    "contra_urban": {"data": "mlmRev_Contraception", "family": "binomial", "link": "logit", "response": "y", "group": "district", "fixed": ["1", "age", "age ** 2", "urban == 'Y'", "livch == '1'", "livch == '2'", "livch == '3+'"], "random": ["1", "urban == 'Y'"]},
    "ohio_age": {"data": "geepack_ohio", "family": "binomial", "link": "logit", "response": "resp", "group": "id", "fixed": ["1", "age", "smoke", "age * smoke"], "random": ["1", "age"]},
}  # fmt: skip
for link in ("logit", "probit", "cloglog"):
    MODELS[f"cbpp_{link}"] = {"data": "lme4_cbpp", "family": "binomial", "link": link, "response": "incidence", "trials": "size", "group": "herd", "fixed": ["1", "period == 2", "period == 3", "period == 4"], "random": ["1", "period"]}  # fmt: skip
MODELS["cbpp_cloglog_slope"] = MODELS["cbpp_cloglog"] | {"random": ["period"]}
MODELS["contra_probit"] = MODELS["contra_urban"] | {"link": "probit"}
MODELS["ohio"] = MODELS["ohio_age"] | {"random": ["1"]}
TREATED = "treatment == 'terbinafine'"
MODELS["toenail"] = {"data": "HSAUR3_toenail", "family": "binomial", "link": "logit", "response": "outcome == 'moderate or severe'", "group": "patientID", "fixed": ["1", TREATED, "time", f"({TREATED}) * time"], "random": ["1"]}  # fmt: skip
MONTH = "(visit - (visit <= 4)) + (visit == 5) * 1 + (visit == 6) * 3 + (visit == 7) * 5"  # 0 1 2 3 6 9 12
MODELS["toenail_months"] = MODELS["toenail"] | {"fixed": ["1", TREATED, MONTH, f"({TREATED}) * ({MONTH})"]}

FIXED = {  # name: vector, numbers of points, whether the integral too (step and reach of its grid)
    "seizure_post": ([1.0, 0.05, 0.1, -0.3, 0.7, 0.1, 0.45], (1, 2, 3, 5, 9, 15), (0.4, 14)),
    "seizure_visit": ([1.0, 0.05, 0.1, -0.3, 0.7, 0.1, 0.02, 0.6, -0.1, 0.12], (1, 2, 3, 5), (0.6, 10)),
    "sleep_log": ([5.53, 0.034, 0.1, -0.005, 0.017, 3.2], (1, 3, 5, 9), (0.4, 14)),
    "sleep_identity": ([251.0, 10.0, 25.0, 0.5, 6.0, 3.24], (1, 3), None),
    "binary_slope": ([0.3, 0.4, 1.3, -0.6, 0.8], (1, 2, 3, 5, 9, 15, 25), (0.25, 16)),
    "binary_three": ([0.2, 0.5, -0.3, 1.0, 0.4, -0.3, 0.7, 0.2, 0.5], (1, 2, 3, 5, 7), (0.6, 13)),
    "counts_three": ([0.2, 0.5, -0.3, 0.5, 0.2, -0.3, 0.2, 0.1, 0.3], (1, 2, 3, 5, 7), (0.6, 13)),
    "cbpp_logit": ([-1.3, -1.0, -1.2, -1.6, 1.0, -0.25, 0.3], (1, 2, 3, 5, 9, 15), (0.4, 14)),
    "cbpp_probit": ([-0.8, -0.5, -0.6, -0.8, 0.55, -0.12, 0.15], (1, 2, 3, 5, 9), (0.4, 14)),
    "cbpp_cloglog": ([-1.5, -0.9, -1.1, -1.5, 0.8, -0.2, 0.25], (1, 2, 3, 5, 9), (0.4, 14)),
}
FITS = {  # name: (model, formula, its Laplace fit in slopes.json or a vector, structure, numbers of points)
    "seizure_post": ("seizure_post", "y ~ trt * post + (post | id)", "glmm_seizure_post", "us", (5,)),
    "seizure_post_diag": ("seizure_post", "y ~ trt * post + (post || id)", "glmm_seizure_post_diag", "diag", (5,)),
    "seizure_visit": ("seizure_visit", "y ~ trt * post + (post + visit | id)", "glmm_seizure_visit", "us", (3,)),
    "seizure_slope": ("seizure_slope", "y ~ trt * post + (0 + visit | id)", [1.9, 0.1, -0.1, 0.1, 0.3], "us", (7,)),
    "cbpp_logit": ("cbpp_logit", "incidence / size ~ C(period) + (period | herd)", "glmm_cbpp_period", "us", (3, 7)),
    "cbpp_probit": ("cbpp_probit", "incidence / size ~ C(period) + (period | herd)", "glmm_cbpp_period_probit", "us", (5,)),
    "cbpp_cloglog_slope": ("cbpp_cloglog_slope", "incidence / size ~ C(period) + (0 + period | herd)", [-1.5, -0.9, -1.1, -1.5, 0.25], "us", (7,)),
    "sleep_log": ("sleep_log", "Reaction ~ Days + (Days | Subject)", "glmm_sleep_log_us", "us", (1, 3)),
    "contra_urban": ("contra_urban", "y ~ age + I(age**2) + urban + livch + (urban | district)", "glmm_contra_urban_logit", "us", (5,)),
    "contra_probit": ("contra_probit", "y ~ age + I(age**2) + urban + livch + (urban | district)", "glmm_contra_urban_probit", "us", (3,)),
}  # fmt: skip


def at_fixed_vectors(name):
    vector, counts, grid = FIXED[name]
    d = Data(MODELS[name])
    out = MODELS[name] | {"kind": "fixed vector", "vector": vector, "loglik": {str(k): loglik(d, vector, k) for k in counts}}
    out["clusters"], out["smallest_cluster"] = d.clusters, int(np.bincount(d.group).min())
    if grid:
        out["integral"] = integral(d, vector, 0.8 * grid[0], 1.15 * grid[1])
        out["integral_change"] = out["integral"] - integral(d, vector, *grid)
    return out | {"note": NOTE}


def rotated(d, vector, back):
    """The vector with T for the effects back b: the lower triangle of back T T' back'."""
    _, t, _ = d.unpack(vector)
    columns, rows = np.triu_indices(d.q)
    out = vector.copy()
    out[d.p : d.p + len(rows)] = np.linalg.cholesky(back @ t @ t.T @ back.T)[rows, columns]
    return out


def fitted(name, points):
    model, formula, start, structure, _ = FITS[name]
    d = Data(MODELS[model])
    if isinstance(start, str):
        laplace = json.loads((HERE / "slopes.json").read_text())[start]
        theta = np.array(laplace["theta"])
        if structure == "diag":
            theta = np.diag(theta)[np.triu_indices(d.q)]
        start = [*laplace["coef"].values(), *theta] + ([np.log(laplace["sigma"])] if d.gaussian else [])
    back = np.eye(d.q)
    if structure == "us":
        back = np.linalg.inv(np.linalg.cholesky(d.z.T @ d.z / len(d.z)).T)
        d.z = d.z @ back
        start = rotated(d, np.asarray(start, dtype=float), np.linalg.inv(back))
    v, cov, best, step, vector = fit(d, start, points, structure)
    c = Cluster(d, vector)
    _, t, _ = d.unpack(vector)
    t = back @ t
    if structure == "us":
        v, h = rotated(d, v, back), 1e-6 * np.abs(v).max()
        jacobian = np.column_stack(
            [(rotated(d, vector + h * e, back) - rotated(d, vector - h * e, back)) / (2 * h) for e in np.eye(len(v))]
        )
        cov = jacobian @ cov @ jacobian.T
    inverse = np.linalg.inv(c.chol @ np.swapaxes(c.chol, 1, 2))
    effects, spread = c.modes @ t.T, np.sqrt(np.einsum("ab,jbc,ac->ja", t, inverse, t))
    levels = [str(int(level)) for level in d.levels]
    size = len(v) - d.p - d.gaussian
    out = {"kind": "glmm", "formula": formula, **MODELS[model], "points": points, "structure": structure, "loglik": best}
    out |= {"coef": v[: d.p].tolist(), "se": np.sqrt(np.diag(cov))[: d.p].tolist(), "vcov": cov[: d.p, : d.p].tolist()}
    out |= {"theta": v[d.p : d.p + size].tolist(), "cov": (t @ t.T).tolist(), "rank": d.q, "vcov_all": cov.tolist(), "newton_step": step}
    if d.gaussian:
        out["sigma"] = float(np.exp(v[-1]))
    out["ranef"] = dict(zip(levels, effects.tolist(), strict=True))
    out["ranef_condsd"] = dict(zip(levels, spread.tolist(), strict=True))
    return out | {"note": NOTE}


if __name__ == "__main__":
    result = {}
    for name in FIXED:
        result[f"at_{name}"] = r = at_fixed_vectors(name)
        print(name, r["loglik"], r.get("integral"), r.get("integral_change"), r["smallest_cluster"], flush=True)
    for name, (*_, counts) in FITS.items():
        for points in counts:
            result[f"glmm_{name}_{points}"] = r = fitted(name, points)
            print(name, points, r["loglik"], r["coef"], r["theta"], r["newton_step"], flush=True)
    (HERE / "aghq_slopes.json").write_text(json.dumps(result) + "\n")
