"""QIC and its relatives, Wald and generalised score tests of GEE by brute force: every R_i built and inverted densely. No glimm.

Run (in this folder): python gee_tests.py           writes gee_tests.json (about half a minute)
     python gee_tests.py --check                    recomputes and compares with the stored file

Notation as in gee_standard.py; M = (sum_i H_i)^-1 without phi, B = sum_i U_i U_i', V = M B M (robust), O_I(b) = X' diag(d^2 / v) X.
  Q = sum of y log mu + (1 - y) log(1 - mu) (binomial), y log mu - mu (poisson)
  sas      -2 Q + 2 tr(O_I(b) V)                        pan      both terms divided by phi
  common   both divided by the independence fit's phi   geepack  -2 Q + 2 tr(O_I(b_ind) V) / phi_ind
  qicu     the same first term + 2 p                    qicc     qic + 2 k (k + 1) / (K - k - 1), k = p + number of alphas
  C1 = tr G / p, C2 = tr G^2 / p, G = (phi M)^-1 V:     rjc = |(1 - C1, 1 - C2)|, dbar = C2 - 2 C1 + 1
  gp = -1/2 sum_i (r' V_i^-1 r + log|V_i|), V_i = phi A^1/2 R A^1/2; agpc, sgpc = -2 gp + N log 2 pi + {2, log K} (p + alphas + 1)
Tests of b_J = 0: Wald b_J' (V_JJ)^-1 b_J; score: model fitted without the columns J, with phi and alpha of its own (divisors with p - r),
  T = S'M L' (L V L')^-1 L M S at these estimates, all p columns in S, M and V.
Moments: "standard" as in gee_standard.py; "geepack": phi = sum e^2 / N, exchangeable sum / (pairs phi), ar1 solves
  sum_l l a^(l-1) (S_l / phi - N_l a^l) = 0 over all lags l.
"""

import csv
import json
import math
import sys
from pathlib import Path

import numpy as np
from scipy import optimize, special, stats

HERE = Path(__file__).parent
STRUCTURES = ("independence", "exchangeable", "ar1")


def read(stem):
    with open(HERE / "data" / f"{stem}.csv", newline="") as f:
        rows = list(csv.DictReader(f))
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


FAMILIES = {  # inverse link, its derivative, variance, quasi-likelihood
    "binomial": (
        special.expit,
        lambda eta: special.expit(eta) * special.expit(-eta),
        lambda mu: mu * (1 - mu),
        lambda y, mu: special.xlogy(y, mu) + special.xlogy(1 - y, 1 - mu),
    ),
    "poisson": (np.exp, np.exp, lambda mu: mu, lambda y, mu: special.xlogy(y, mu) - mu),
}


class Problem:
    """Rows gathered by cluster; clusters with the same waves together."""

    def __init__(self, y, X, group, wave, family):
        order = np.lexsort((wave, group))
        self.y, self.X, self.wave, self.family = y[order], X[order], wave[order], family
        _, code = np.unique(group[order], return_inverse=True)
        self.K, (self.N, self.p) = code.max() + 1, X.shape
        patterns = {}
        for k in range(self.K):
            rows = np.flatnonzero(code == k)
            patterns.setdefault(tuple(self.wave[rows]), []).append((k, rows))
        self.patterns = [(np.array(w), [k for k, _ in v], np.array([r for _, r in v])) for w, v in patterns.items()]

    def rows(self, b):
        h, slope, variance, _ = FAMILIES[self.family]
        eta = self.X @ b
        mu = h(eta)
        root = np.sqrt(variance(mu))
        return (self.y - mu) / root, self.X * (slope(eta) / root)[:, None], mu

    def pieces(self, b, structure, alpha):
        e, Xt, _ = self.rows(b)
        U, H = np.zeros((self.K, self.p)), np.zeros((self.p, self.p))
        quadratic = log_det = 0.0
        for wave, ks, rows in self.patterns:
            R = working(structure, alpha, wave)
            inverse = np.linalg.inv(R)
            H += np.einsum("kap,ab,kbq->pq", Xt[rows], inverse, Xt[rows])
            U[ks] = np.einsum("kap,ab,kb->kp", Xt[rows], inverse, e[rows])
            quadratic += np.einsum("ka,ab,kb->", e[rows], inverse, e[rows])
            log_det += len(ks) * np.linalg.slogdet(R)[1]
        return U, H, quadratic, log_det

    def moments(self, b, structure, rule, p):
        e = self.rows(b)[0]
        phi = e @ e / (self.N - (p if rule == "standard" else 0))
        if structure == "independence":
            return phi, None
        total, count = {}, {}
        for wave, ks, rows in self.patterns:
            for j in range(len(wave)):
                for k in range(j + 1, len(wave)):
                    lag = wave[k] - wave[j]
                    total[lag] = total.get(lag, 0.0) + float(e[rows[:, j]] @ e[rows[:, k]])
                    count[lag] = count.get(lag, 0) + len(ks)
        less = p if rule == "standard" else 0
        if structure == "exchangeable":
            return phi, sum(total.values()) / ((sum(count.values()) - less) * phi)
        if rule == "standard":
            return phi, total[1] / ((count[1] - less) * phi)
        return phi, optimize.brentq(
            lambda a: sum(lag * a ** (lag - 1) * (total[lag] / phi - count[lag] * a**lag) for lag in total), 1e-8, 1 - 1e-8, xtol=1e-15
        )


def working(structure, alpha, wave):
    if structure == "independence" or alpha is None:
        return np.eye(len(wave))
    if structure == "exchangeable":
        return np.where(np.eye(len(wave), dtype=bool), 1.0, alpha)
    return alpha ** np.abs(np.subtract.outer(wave, wave)).astype(float)


def fit(problem, structure, rule, held=()):
    """held : columns whose coefficients stay 0."""
    free = [j for j in range(problem.p) if j not in held]
    b, alpha = np.zeros(problem.p), None
    if problem.family == "poisson":
        b[0] = math.log(problem.y.mean())
    for iteration in range(1000):
        U, H, _, _ = problem.pieces(b, structure, alpha)
        step = np.zeros(problem.p)
        step[free] = np.linalg.solve(H[np.ix_(free, free)], U.sum(axis=0)[free])
        b = b + step
        before = alpha
        if iteration >= 6:
            phi, alpha = problem.moments(b, structure, rule, len(free))
            if np.abs(step).max() < 1e-13 and (alpha is None or (before is not None and abs(alpha - before) < 1e-13)):
                break
    else:
        raise RuntimeError("no convergence")
    return b, phi, alpha


def criteria(problem, structure, rule):
    b, phi, alpha = fit(problem, structure, rule)
    b0, phi0, _ = fit(problem, "independence", rule)
    U, H, quadratic, log_det = problem.pieces(b, structure, alpha)
    M = np.linalg.inv(H)
    V = M @ U.T @ U @ M
    _, Xt, mu = problem.rows(b)
    trace = np.trace(Xt.T @ Xt @ V)
    X0 = problem.rows(b0)[1]
    q = -2.0 * FAMILIES[problem.family][3](problem.y, mu).sum()
    p, alphas = problem.p, 0 if alpha is None else 1
    G = np.linalg.solve(phi * M, V)
    c1, c2 = np.trace(G) / p, np.trace(G @ G) / p
    gp = -0.5 * (quadratic / phi + problem.N * math.log(phi) + np.log(FAMILIES[problem.family][2](mu)).sum() + log_det)
    whole, k = -2.0 * gp + problem.N * math.log(2.0 * math.pi), p + alphas
    shared = {
        "rjc": math.hypot(1 - c1, 1 - c2),
        "dbar": c2 - 2 * c1 + 1,
        "gp": gp,
        "agpc": whole + 2.0 * (k + 1),
        "sgpc": whole + math.log(problem.K) * (k + 1),
    }
    out = {}
    terms = {
        "sas": (q, trace),
        "pan": (q / phi, trace / phi),
        "common": (q / phi0, trace / phi0),
        "geepack": (q, np.trace(X0.T @ X0 @ V) / phi0),
    }
    for variant, (first, cic) in terms.items():
        qic = first + 2.0 * cic
        out[variant] = {"qic": qic, "qicu": first + 2.0 * p, "cic": cic, **shared, "qicc": qic + 2.0 * k * (k + 1) / (problem.K - k - 1)}
    return {variant: {name: float(v) for name, v in values.items()} for variant, values in out.items()}


def tests(problem, structure, held):
    b, phi, alpha = fit(problem, structure, "standard")
    U, H, _, _ = problem.pieces(b, structure, alpha)
    M, J = np.linalg.inv(H), list(held)
    V = M @ U.T @ U @ M
    out = {}
    for name, cov in (("wald", V), ("wald_model", phi * M)):
        out[name] = float(b[J] @ np.linalg.solve(cov[np.ix_(J, J)], b[J]))
    b, phi, alpha = fit(problem, structure, "standard", held)
    U, H, _, _ = problem.pieces(b, structure, alpha)
    M = np.linalg.inv(H)
    step = (M @ U.sum(axis=0))[J]
    for name, cov in (("score", M @ U.T @ U @ M), ("score_model", phi * M)):
        out[name] = float(step @ np.linalg.solve(cov[np.ix_(J, J)], step))
    return {"df": len(J), **out, **{f"{name}_p": float(stats.chi2.sf(value, len(J))) for name, value in out.items()}}


def problems():
    d = read("geepack_ohio")
    y, ident, age, smoke = (d[k].astype(float) for k in ("resp", "id", "age", "smoke"))
    out = {"ohio": Problem(y, np.c_[np.ones(len(y)), age, smoke, age * smoke], ident, age, "binomial")}
    d = read("HSAUR3_toenail")
    y, trt, visit = (
        (d["outcome"] == "moderate or severe").astype(float),
        (d["treatment"] == "terbinafine").astype(float),
        d["visit"].astype(int),
    )
    for name, t in (("toenail_month", np.array([0.0, 1, 2, 3, 6, 9, 12])[visit - 1]), ("toenail_time", d["time"].astype(float))):
        out[name] = Problem(y, np.c_[np.ones(len(y)), trt, t, trt * t], d["patientID"].astype(int), visit, "binomial")
    d = read("MASS_epil")
    y, base, trt, v4 = d["y"].astype(float), d["lbase"].astype(float), (d["trt"] == "progabide").astype(float), d["V4"].astype(float)
    X = np.c_[np.ones(len(y)), base, trt, base * trt, v4]
    out["epil"] = Problem(y, X, d["subject"].astype(int), d["period"].astype(int), "poisson")
    return out


TESTED = {
    "ohio": ((3,), (2, 3), (1, 3)),
    "toenail_month": ((3,), (1, 3)),
    "epil": ((3,), (2, 3), (4,)),
}

# an earlier, separate calculation: (data, moments, structure, variant, criterion) -> value; tests: (data, structure, columns) -> Wald, score
PUBLISHED = {
    ("ohio", "standard", "exchangeable", "sas", "qic"): 1830.348309,
    ("ohio", "standard", "ar1", "pan", "qic"): 1797.463701,
    ("ohio", "standard", "ar1", "geepack", "qic"): 1830.861349,
    ("ohio", "geepack", "ar1", "sas", "rjc"): 0.271571465,
    ("ohio", "geepack", "ar1", "sas", "agpc"): 1445.257076,
    ("toenail_month", "standard", "ar1", "sas", "qic"): 1834.183124,
    ("toenail_month", "geepack", "exchangeable", "pan", "cic"): 9.944178993,
    ("toenail_month", "standard", "ar1", "sas", "gp"): 1518.465462,
    ("toenail_time", "geepack", "ar1", "geepack", "qic"): 1836.787829,
    ("toenail_time", "standard", "exchangeable", "sas", "dbar"): 2.22241197,
}
PUBLISHED_TESTS = {
    ("ohio", "independence", (1, 3)): (7.012487695, 6.987798829),
    ("ohio", "exchangeable", (3,)): (0.6437891725, 0.642268374),
    ("ohio", "ar1", (2, 3)): (2.592694165, 2.460684856),
    ("toenail_month", "exchangeable", (1, 3)): (3.236758019, 3.009461663),
    ("toenail_month", "ar1", (3,)): (3.987812154, 3.262477612),
    ("epil", "independence", (3,)): (4.845301798, 2.30819308),
    ("epil", "ar1", (4,)): (2.849376205, 2.21546545),
}


def compute():
    found = problems()
    out = {"criteria": {}, "tests": {}}
    for name in ("ohio", "toenail_month", "toenail_time"):
        for rule in ("standard", "geepack"):
            for structure in STRUCTURES:
                out["criteria"][f"{name} {rule} {structure}"] = criteria(found[name], structure, rule)
    for structure in STRUCTURES:
        out["criteria"][f"epil standard {structure}"] = criteria(found["epil"], structure, "standard")
    for name, which in TESTED.items():
        for structure in STRUCTURES:
            for held in which:
                out["tests"][f"{name} {structure} {' '.join(map(str, held))}"] = tests(found[name], structure, held)
    worst = 0.0
    for (name, rule, structure, variant, what), value in PUBLISHED.items():
        worst = max(worst, abs(out["criteria"][f"{name} {rule} {structure}"][variant][what] / value - 1))
    for (name, structure, held), (wald, score) in PUBLISHED_TESTS.items():
        entry = out["tests"][f"{name} {structure} {' '.join(map(str, held))}"]
        worst = max(worst, abs(entry["wald"] / wald - 1), abs(entry["score"] / score - 1))
    print("largest relative difference from the published values:", worst)
    assert worst < 1e-8
    return out


def flat(entry, at=""):
    if isinstance(entry, dict):
        return {k: v for name, value in entry.items() for k, v in flat(value, f"{at}/{name}").items()}
    return {at: entry}


if __name__ == "__main__":
    result = compute()
    path = HERE / "gee_tests.json"
    if "--check" in sys.argv:
        now, stored = flat(result), flat(json.loads(path.read_text()))
        assert set(now) == set(stored)
        worst = max(abs(now[k] - v) / max(1.0, abs(v)) for k, v in stored.items())
        print("largest difference from gee_tests.json:", worst)
        assert worst < 1e-8
    else:
        path.write_text(json.dumps(result, indent=1) + "\n")
