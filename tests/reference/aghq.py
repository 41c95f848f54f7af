"""GLMM with one random intercept by brute force (NumPy, SciPy; no glimm): Laplace (1 point) and adaptive Gauss-Hermite.

Run (in this folder): python aghq.py            writes aghq.json (and compares it with more.json when that is there)

Per group, with u ~ N(0, 1) and eta = X b + offset + s u:  g(u) = log f(y | u) + log phi(u), mode m (Newton to rounding),
curvature c = -g''(m) with the OBSERVED information ("observed"; glmmTMB does the same for Laplace) or with the expected one
("expected"; lme4's working weights; the two are equal for logit-binomial and log-poisson). With the K-point Gauss-Hermite
rule (z, w for exp(-z^2)):  log-likelihood of the group = log sum_k w_k exp(z_k^2 + g(m + sqrt(2/c) z_k)) + log(2/c)/2.
One point gives the Laplace approximation. The maximum over (b, log s[, log sigma]) is found with BFGS and then Newton steps
with 6th order differences; se is from the Hessian in these parameters jointly.
"""

import csv
import json
from pathlib import Path

import numpy as np
import scipy
from scipy import optimize, special

HERE = Path(__file__).parent
EXPECTED = False  # set by run(): which curvature


def read(stem):
    with open(HERE / "data" / f"{stem}.csv", newline="") as f:
        rows = list(csv.DictReader(f))
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def binomial(p, p1, p2, logp, logq):
    def parts(eta, y, n):
        a, a1, a2, q = p(eta), p1(eta), p2(eta), 1 - p(eta)
        ll = special.xlogy(y > 0, 1.0) + np.where(y > 0, y * logp(eta), 0) + np.where(n - y > 0, (n - y) * logq(eta), 0)
        d = y * a1 / a - (n - y) * a1 / q
        d2 = -n * a1**2 / (a * q) if EXPECTED else y * (a2 / a - (a1 / a) ** 2) - (n - y) * (a2 / q + (a1 / q) ** 2)
        return ll, d, d2

    return parts


def expit(e):
    return special.expit(e)


def npdf(e):
    return np.exp(-e * e / 2) / np.sqrt(2 * np.pi)


def poisson(eta, y, n):
    mu = np.exp(eta)
    return y * eta - mu - special.gammaln(y + 1), y - mu, -mu


def gaussian_log(sigma):
    def parts(eta, y, n):
        mu = np.exp(eta)
        d2 = -mu * mu if EXPECTED else (y - 2 * mu) * mu
        return -0.5 * ((y - mu) / sigma) ** 2 - np.log(sigma) - 0.5 * np.log(2 * np.pi), (y - mu) * mu / sigma**2, d2 / sigma**2

    return parts


LOGIT = binomial(
    expit,
    lambda e: expit(e) * expit(-e),
    lambda e: expit(e) * expit(-e) * (1 - 2 * expit(e)),
    lambda e: -np.logaddexp(0, -e),
    lambda e: -np.logaddexp(0, e),
)
PROBIT = binomial(special.ndtr, npdf, lambda e: -e * npdf(e), special.log_ndtr, lambda e: special.log_ndtr(-e))


def CLOGLOG(eta, y, n):
    t, m = np.exp(eta), n - y
    with np.errstate(over="ignore"):
        a = t / np.expm1(t)
    ll = np.where(y > 0, y * np.log(-np.expm1(-t)), 0) - m * t
    return ll, y * a - m * t, -n * t * a if EXPECTED else y * a * (1 + t / np.expm1(-t)) - m * t


def loglik(parts, y, n, X, off, gi, mult, b, s, points, modes=False):
    K = len(mult)
    z, w = np.polynomial.hermite.hermgauss(points)
    fixed, m = X @ b + off, np.zeros(K)

    def total(v):
        return np.bincount(gi, v, minlength=K)

    def value(u):
        return total(parts(fixed + s * u[gi], y, n)[0]) - 0.5 * u * u - 0.5 * np.log(2 * np.pi)

    global EXPECTED
    keep = EXPECTED
    for _ in range(200):
        EXPECTED = True  # scoring steps are safe from anywhere
        _, d, d2 = parts(fixed + s * m[gi], y, n)
        step = (s * total(d) - m) / (1 - s * s * total(d2))
        now, t = value(m), np.ones(K)
        for _ in range(30):
            bad = value(m + t * step) < now - 1e-12 * abs(now)
            if not bad.any():
                break
            t[bad] /= 2
        m = m + t * step
        if np.abs(step).max() < 1e-14:
            break
    for _ in range(3):  # and Newton at the end
        EXPECTED = False
        _, d, d2 = parts(fixed + s * m[gi], y, n)
        m = m + (s * total(d) - m) / (1 - s * s * total(d2))
    EXPECTED = keep
    c = 1 - s * s * total(parts(fixed + s * m[gi], y, n)[2])
    g = np.array([value(m + np.sqrt(2 / c) * zk) + zk * zk + np.log(wk) for zk, wk in zip(z, w, strict=False)])
    ll = mult @ (special.logsumexp(g, axis=0) + 0.5 * np.log(2 / c))
    return (ll, m * s, s / np.sqrt(c)) if modes else ll


K3, D1 = np.arange(-3, 4), np.array([-1, 9, -45, 0, 45, -9, 1]) / 60
D2 = np.array([2, -27, 270, -490, 270, -27, 2]) / 180


def gradient(f, p, h):
    return np.array([sum(c * f(p + k * h[i] * np.eye(len(p))[i]) for k, c in zip(K3, D1, strict=False) if c) / h[i] for i in range(len(p))])


def hessian(f, p, h):
    e, n = np.diag(h), len(p)

    def along(v):
        return sum(c * f(p + k * v) for k, c in zip(K3, D2, strict=False))

    H = np.diag([along(e[i]) / h[i] ** 2 for i in range(n)])
    for i in range(n):
        for j in range(i):
            H[i, j] = H[j, i] = (along(e[i] + e[j]) - along(e[i] - e[j])) / (4 * h[i] * h[j])
    return H


def fit(family, y, n, X, off, group, points, const=0.0, start=None):
    n, off = np.broadcast_to(n, y.shape), np.broadcast_to(off, y.shape)
    levels, gi = np.unique(group, return_inverse=True)
    keys = [np.c_[y, n, off, X][gi == k].tobytes() for k in range(len(levels))]  # groups with the same data are computed once
    first = {key: k for k, key in reversed(list(enumerate(keys)))}
    reps = sorted(first.values())
    which = np.array([reps.index(first[key]) for key in keys])
    mult = np.bincount(which).astype(float)
    rows = np.isin(gi, reps)
    y, n, off, X, gi = y[rows], n[rows], off[rows], X[rows], np.searchsorted(reps, gi[rows])
    p, gauss = X.shape[1], family == "gaussian_log"

    def minus(q):
        parts = gaussian_log(np.exp(q[p + 1])) if gauss else family
        with np.errstate(all="ignore"):
            v = loglik(parts, y, n, X, off, gi, mult, q[:p], np.exp(q[p]), points)
        return -(v + const) if np.isfinite(v) else 1e10

    mu, sd = X.mean(0), np.where(X.std(0) > 0, X.std(0), 1)
    q = np.zeros(p + 1 + gauss) if start is None else np.array(start, float)
    scale = np.r_[1 / np.maximum(sd, np.abs(mu) * (X.std(0) == 0)), 1, [1] * gauss]
    r = optimize.minimize(lambda v: minus(v * scale), q / scale, method="BFGS", options={"gtol": 1e-4})
    q = r.x * scale
    h = 1e-2 * scale
    for _ in range(3):
        H = hessian(minus, q, h)
        for _ in range(4):
            step = -np.linalg.solve(H, gradient(minus, q, h))
            q = q + step
            if np.abs(step / np.maximum(np.abs(q), 1e-2)).max() < 1e-11:
                break
        h = 0.05 * np.sqrt(np.diag(np.linalg.inv(H)))
    V = np.linalg.inv(hessian(minus, q, h))
    parts = gaussian_log(np.exp(q[p + 1])) if gauss else family
    ll, b, csd = loglik(parts, y, n, X, off, gi, mult, q[:p], np.exp(q[p]), points, modes=True)
    out = {
        "loglik": float(ll + const),
        "b": q[:p].tolist(),
        "se": np.sqrt(np.diag(V))[:p].tolist(),
        "vcov": V[:p, :p].tolist(),
        "sd": float(np.exp(q[p])),
        "log_sd": float(q[p]),
        "log_sd_se": float(np.sqrt(V[p, p])),
    }
    if gauss:
        out.update(sigma=float(np.exp(q[p + 1])), log_sigma_se=float(np.sqrt(V[p + 1, p + 1])))
    out["ranef"] = dict(zip(map(str, levels), b[which].tolist(), strict=False))
    out["ranef_condsd"] = dict(zip(map(str, levels), csd[which].tolist(), strict=False))
    out["newton_step"] = float(np.abs(step).max())
    return out


def run():
    out = {}

    def add(name, formula, data, terms, family, link, parts, y, n, X, off, group, points, const=0.0, start=None, expected=(), **more):
        global EXPECTED
        for k in points:
            for EXPECTED in (False, True) if k in expected else (False,):
                r = fit(parts, y, n, X, off, group, k, const, start)
                coef, se = dict(zip(terms, r.pop("b"), strict=False)), dict(zip(terms, r.pop("se"), strict=False))
                key = f"{name}_{k}" + ("_expected" if EXPECTED else "")
                out[key] = {
                    "kind": "glmm",
                    "formula": formula,
                    "data": data,
                    "family": family,
                    "link": link,
                    "points": k,
                    "curvature": "expected" if EXPECTED else "observed",
                    **more,
                    "coef": coef,
                    "se": se,
                    **r,
                    "note": f"aghq.py, brute force, NumPy {np.__version__}, SciPy {scipy.__version__}",
                }
                print(key, out[key]["loglik"], out[key]["sd"], out[key]["newton_step"], flush=True)

    one = np.ones
    d = read("lme4_grouseticks")
    y = d["TICKS"].astype(float)
    X = np.c_[one(len(y)), d["YEAR"] == "96", d["YEAR"] == "97", d["cHEIGHT"].astype(float)].astype(float)
    add(
        "glmm_ticks_brood",
        "TICKS ~ C(YEAR) + cHEIGHT + (1 | BROOD)",
        "lme4_grouseticks",
        ["1", "YEAR[96]", "YEAR[97]", "cHEIGHT"],
        "poisson",
        "log",
        poisson,
        y,
        1,
        X,
        np.zeros(len(y)),
        d["BROOD"],
        (1, 5, 15),
    )
    d = read("lme4_cbpp")
    y, n = d["incidence"].astype(float), d["size"].astype(float)
    X = np.c_[one(len(y)), d["period"] == "2", d["period"] == "3", d["period"] == "4"].astype(float)
    const = float(np.sum(special.gammaln(n + 1) - special.gammaln(y + 1) - special.gammaln(n - y + 1)))
    for link, parts in (("logit", LOGIT), ("probit", PROBIT), ("cloglog", CLOGLOG)):
        add(
            f"glmm_cbpp_{link}",
            "incidence / size ~ C(period) + (1 | herd)",
            "lme4_cbpp",
            ["1", "period[2]", "period[3]", "period[4]"],
            "binomial",
            link,
            parts,
            y,
            n,
            X,
            np.zeros(len(y)),
            d["herd"],
            (1, 5, 15),
            const,
        )
    d = read("seizure_long")
    y, trt, post, weeks = (d[k].astype(float) for k in ("y", "trt", "post", "weeks"))
    add(
        "glmm_seizure_offset",
        "y ~ trt * post + (1 | id)",
        "seizure_long",
        ["1", "trt", "post", "trt:post"],
        "poisson",
        "log",
        poisson,
        y,
        1,
        np.c_[one(len(y)), trt, post, trt * post],
        np.log(weeks),
        d["id"],
        (1, 5, 15),
        start=[1, 0, 0, 0, -0.3],
        offset="log(weeks)",
    )
    d = read("geepack_ohio")
    y, age, smoke = (d[k].astype(float) for k in ("resp", "age", "smoke"))
    X = np.c_[one(len(y)), age, smoke, age * smoke]
    for link, parts in (("logit", LOGIT), ("probit", PROBIT), ("cloglog", CLOGLOG)):
        add(
            f"glmm_ohio_{link}",
            "resp ~ age * smoke + (1 | id)",
            "geepack_ohio",
            ["1", "age", "smoke", "age:smoke"],
            "binomial",
            link,
            parts,
            y,
            1.0,
            X,
            np.zeros(len(y)),
            d["id"],
            (1, 5, 15, 25),
            start=[-2, 0, 0, 0, 0.2],
            expected=() if link == "logit" else (5, 15),
        )
    d = read("lme4_sleepstudy")
    y, days = d["Reaction"].astype(float), d["Days"].astype(float)
    add(
        "glmm_sleep_log",
        "Reaction ~ Days + (1 | Subject)",
        "lme4_sleepstudy",
        ["1", "Days"],
        "gaussian",
        "log",
        "gaussian_log",
        y,
        1,
        np.c_[one(len(y)), days],
        np.zeros(len(y)),
        d["Subject"],
        (1, 5),
        start=[5.5, 0.035, np.log(0.13), np.log(30)],
    )
    return out


def compare(out):
    other = json.loads((HERE / "more.json").read_text())
    for key, a in out.items():
        name = key.replace("_expected", "")
        for o in (name, name[:-2] + "_tmb"):
            if o in other and other[o]["points"] == a["points"]:
                b = other[o]
                worst = max(
                    abs(x / z - 1)
                    for x, z in zip(
                        list(a["coef"].values()) + list(a["se"].values()), list(b["coef"].values()) + list(b["se"].values()), strict=False
                    )
                )
                print(
                    f"{key:32s} - {o:28s} loglik {a['loglik'] - b['loglik']: .1e}  sd {a['sd'] / b['sd'] - 1: .1e}  coef and se {worst:.1e}"
                )


if __name__ == "__main__":
    result = run()
    (HERE / "aghq.json").write_text(json.dumps(result, indent=1) + "\n")
    if (HERE / "more.json").exists():
        compare(result)
