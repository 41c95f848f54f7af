"""GEE by the "standard" moment rules, by brute force: every cluster's matrix R_i is built and inverted densely. No glimm.

Run (in this folder): python gee_standard.py          writes gee_standard.json
     python gee_standard.py --check                    recomputes and compares with the stored file and the published values below

Formulas (Liang and Zeger 1986, Biometrika 73, 13-22; divisors as in the SAS/STAT manual, PROC GENMOD, "Working Correlation
Matrix"). N rows, p coefficients, w prior weight, mu = h(eta), d = h'(eta), v = variance function:
  e = (y - mu) sqrt(w / v(mu)),   X~ = diag(d sqrt(w / v(mu))) X,   H = sum_i X~_i' R_i^-1 X~_i,   U_i = X~_i' R_i^-1 e_i
  step: b <- b + H^-1 sum_i U_i
  phi = sum e^2 / (N - p)
  exchangeable: alpha = sum over all within-cluster pairs of e e' / ((number of pairs - p) phi)
  ar1: alpha = sum over within-cluster pairs exactly one wave apart of e e' / ((number of those pairs - p) phi),
       R_jk = alpha^|wave_j - wave_k|
  se_model^2 = diag(phi H^-1),   se^2 = diag(H^-1 (sum_i U_i U_i') H^-1)   (no small-sample factor)
"""

import csv
import json
import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent


def read(stem):
    with open(HERE / "data" / f"{stem}.csv", newline="") as f:
        rows = list(csv.DictReader(f))
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def expit(eta):
    return 1 / (1 + np.exp(-eta))


FAMILIES = {  # inverse link, its derivative, variance function
    "binomial": (expit, lambda eta: expit(eta) * expit(-eta), lambda mu: mu * (1 - mu)),
    "poisson": (np.exp, np.exp, lambda mu: mu),
    "gaussian": (lambda eta: eta, np.ones_like, np.ones_like),
}


def working(structure, alpha, wave):
    if structure == "independence" or alpha is None:
        return np.eye(len(wave))
    if structure == "exchangeable":
        return np.where(np.eye(len(wave), dtype=bool), 1.0, alpha)
    return alpha ** np.abs(np.subtract.outer(wave, wave)).astype(float)


def fit(y, X, group, wave, family, structure, weights=None, offset=None, tol=1e-13):
    h, hprime, variance = FAMILIES[family]
    n, p = X.shape
    w = np.ones(n) if weights is None else weights
    off = np.zeros(n) if offset is None else offset
    clusters = [np.flatnonzero(group == g) for g in dict.fromkeys(group)]
    b, alpha, phi = np.zeros(p), None, None
    if family == "poisson":
        b[0] = np.log(y.sum() / np.exp(off).sum())
    for iteration in range(1000):
        eta = X @ b + off
        mu = h(eta)
        scale = np.sqrt(w / variance(mu))
        e, Xt = (y - mu) * scale, X * (hprime(eta) * scale)[:, None]
        old = alpha
        if iteration >= 8:  # independence first
            phi = e @ e / (n - p)
            if structure != "independence":
                total, count = 0.0, 0
                for rows in clusters:
                    for j in range(len(rows)):
                        for k in range(j + 1, len(rows)):
                            if structure == "exchangeable" or abs(wave[rows[j]] - wave[rows[k]]) == 1:
                                total += e[rows[j]] * e[rows[k]]
                                count += 1
                alpha = total / ((count - p) * phi)
        H, U = np.zeros((p, p)), []
        for rows in clusters:
            solve = np.linalg.inv(working(structure, alpha, wave[rows]))
            H += Xt[rows].T @ solve @ Xt[rows]
            U.append(Xt[rows].T @ solve @ e[rows])
        U = np.array(U)
        step = np.linalg.solve(H, U.sum(0))
        b = b + step
        moved = 0 if structure == "independence" else (1 if old is None else abs(alpha - old))
        if iteration > 8 and np.abs(step).max() < tol and moved < tol:
            break
    else:
        raise RuntimeError("no convergence")
    M = np.linalg.inv(H)
    robust = M @ U.T @ U @ M
    return {
        "b": b.tolist(),
        "se": np.sqrt(np.diag(robust)).tolist(),
        "se_model": np.sqrt(np.diag(phi * M)).tolist(),
        "vcov": robust.tolist(),
        "vcov_model": (phi * M).tolist(),
        "phi": float(phi),
        "alpha": None if alpha is None else float(alpha),
        "clusters": len(clusters),
        "nobs": n,
    }


def compute():
    out = {}

    def add(name, formula, data, terms, groups, waves, link, args, **more):
        y, X, group, wave, family = args[:5]
        for structure in ("independence", "exchangeable", "ar1"):
            result = fit(y, X, group, wave, family, structure, *args[5:])
            coef = dict(zip(terms, result.pop("b"), strict=False))
            se = dict(zip(terms, result.pop("se"), strict=False))
            se_model = dict(zip(terms, result.pop("se_model"), strict=False))
            out[f"{name}_{structure}"] = {
                "kind": "gee",
                "rule": "standard",
                "formula": formula,
                "data": data,
                "groups": groups,
                "waves": waves,
                "family": family,
                "link": link,
                "corr": structure,
                **more,
                "coef": coef,
                "se": se,
                "se_model": se_model,
                **result,
                "note": f"gee_standard.py, dense brute force, NumPy {np.__version__}; standard rule: phi = sum e^2/(N - p), "
                "alpha = pair sum/((pairs - p) phi), se = robust without small-sample factor",
            }

    one = np.ones
    d = read("geepack_ohio")
    y, ident, age, smoke = (d[k].astype(float) for k in ("resp", "id", "age", "smoke"))
    X = np.c_[one(len(y)), age, smoke, age * smoke]
    terms = ["1", "age", "smoke", "age:smoke"]
    add("ohio", "resp ~ age * smoke", "geepack_ohio", terms, "id", "age", "logit", (y, X, ident, age, "binomial"))
    add(
        "ohio_weights",
        "resp ~ age * smoke",
        "geepack_ohio",
        terms,
        "id",
        "age",
        "logit",
        (y, X, ident, age, "binomial", 1 + ident % 3),
        weights="1 + id % 3",
    )
    d = read("HSAUR3_toenail")
    y = (d["outcome"] == "moderate or severe").astype(float)
    trt, visit = (d["treatment"] == "terbinafine").astype(float), d["visit"].astype(int)
    for name, time in (("toenail_month", np.array([0.0, 1, 2, 3, 6, 9, 12])[visit - 1]), ("toenail_time", d["time"].astype(float))):
        col = name.split("_")[1]
        more = {"response": "y = outcome == 'moderate or severe'"}
        if col == "month":
            more["derived"] = "month = [0, 1, 2, 3, 6, 9, 12][visit - 1]"
        add(
            name,
            f"y ~ C(treatment) * {col}",
            "HSAUR3_toenail",
            ["1", "terbinafine", col, f"terbinafine:{col}"],
            "patientID",
            "visit",
            "logit",
            (y, np.c_[one(len(y)), trt, time, trt * time], d["patientID"], visit, "binomial"),
            **more,
        )
    d = read("seizure_long")
    y, trt, post, weeks = (d[k].astype(float) for k in ("y", "trt", "post", "weeks"))
    add(
        "seizure",
        "y ~ trt * post",
        "seizure_long",
        ["1", "trt", "post", "trt:post"],
        "id",
        "visit",
        "log",
        (y, np.c_[one(len(y)), trt, post, trt * post], d["id"], d["visit"].astype(int), "poisson", None, np.log(weeks)),
        offset="log(weeks)",
    )
    d = read("lme4_sleepstudy")
    y, days = d["Reaction"].astype(float), d["Days"].astype(float)
    add(
        "sleep",
        "Reaction ~ Days",
        "lme4_sleepstudy",
        ["1", "Days"],
        "Subject",
        "Days",
        "identity",
        (y, np.c_[one(len(y)), days], d["Subject"], days, "gaussian"),
    )
    return out


# an earlier, separate calculation (10 digits; exchangeable rows also equal R's gee): b, robust se, phi, alpha
PUBLISHED = {
    "ohio_independence": (
        "-1.900842568 -0.1412531295 0.3139539917 0.07084410384",
        "0.1190767885 0.05821417988 0.1878385265 0.0882946856",
        1.001481333,
        None,
    ),
    "ohio_exchangeable": (
        "-1.900495513 -0.1412359262 0.3138259116 0.07083185047",
        "0.1190869713 0.05820089801 0.1878418115 0.08827886762",
        1.001272557,
        0.3543845933,
    ),
    "ohio_ar1": (
        "-1.919508407 -0.1468125528 0.2952752473 0.08147199382",
        "0.1200133986 0.0593430938 0.1899723258 0.09065840714",
        1.01847341,
        0.399668252,
    ),
    "toenail_month_independence": (
        "-0.5570580797 0.0240230153 -0.1769295856 -0.07832596285",
        "0.1713379175 0.2506099984 0.03016880212 0.0546067958",
        1.0479048,
        None,
    ),
    "toenail_month_exchangeable": (
        "-0.583952117 0.01203069514 -0.1770239274 -0.08864977879",
        "0.1733797468 0.2612701273 0.03110702475 0.05713537698",
        1.096508987,
        0.4202596007,
    ),
    "toenail_month_ar1": (
        "-0.5904938757 0.05339719837 -0.1518162691 -0.1051386037",
        "0.1669488194 0.2430509411 0.02757360609 0.05264957364",
        1.019656208,
        0.6908906833,
    ),
}


def check(out):
    worst = 0.0
    for name, (b, se, phi, alpha) in PUBLISHED.items():
        got = [*out[name]["coef"].values(), *out[name]["se"].values(), out[name]["phi"]]
        want = [*map(float, b.split()), *map(float, se.split()), phi]
        if alpha is not None:
            got.append(out[name]["alpha"])
            want.append(alpha)
        worst = max(worst, float(np.max(np.abs(np.array(got) / np.array(want) - 1))))
    print("largest relative difference from the published values:", worst)
    assert worst < 1e-8
    return worst


if __name__ == "__main__":
    result = compute()
    check(result)
    path = HERE / "gee_standard.json"
    if "--check" in sys.argv:
        stored = json.loads(path.read_text())
        worst = max(abs(result[k][m][t] / stored[k][m][t] - 1) for k in result for m in ("coef", "se", "se_model") for t in result[k][m])
        print("largest relative difference from gee_standard.json:", worst)
        assert worst < 1e-9
        assert set(stored) == set(result)
    else:
        path.write_text(json.dumps(result, indent=1) + "\n")
