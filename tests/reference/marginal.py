"""Means and coefficients averaged over normal random effects, from their definitions (NumPy, SciPy; no glimm).

Run (in this folder, after aghq_slopes.py): python marginal.py        writes marginal.json; two minutes

A row's effect z'b with b ~ N(0, T T') is N(0, v), v = |T'z|^2, so its marginal mean is one integral,
    m = E h(eta + sqrt(v) U), U ~ N(0, 1),  eta with the offset.
"averages": m by 200 Gauss-Hermite nodes, by the trapezoid rule, and by simulation of b itself (1e6 draws, fixed seed) with its error.
"fits": a GLMM's (beta, entries of T by column) at its maximum with their joint covariance (aghq_slopes.json, or the K-point maximum
found here); J is the derivative of the rows' m by 6th order differences; standard errors are by the delta method.
    marginal coefficients   b_M = (X'X)^-1 X' (g(m) - offset), over the rows of the data, unweighted (Hedeker, du Toit, Demirtas and
                            Gibbons 2018, Biometrics 74, 354-361); jacobian (X'X)^-1 X' diag(g'(m)) J
    Zeger, Liang and Albert (1988)   beta / sqrt(1 + c^2 sd^2), random intercept only, c = 16 sqrt(3) / (15 pi) (logit), 1 (probit)
"published": check values printed in a formula sheet, computed there by other code: every one is asserted to be equal to this file's.
"""

import json
from pathlib import Path

import numpy as np
import scipy
from aghq_slopes import MODELS, Data, fit, read
from scipy import special

HERE = Path(__file__).parent
NOTE = f"marginal.py, NumPy {np.__version__}, SciPy {scipy.__version__}"
MEAN = {"logit": special.expit, "probit": special.ndtr, "cloglog": lambda e: -np.expm1(-np.exp(e)), "log": np.exp, "identity": lambda e: e}
LINK = {"logit": special.logit, "probit": special.ndtri, "cloglog": lambda m: np.log(-np.log1p(-m)), "log": np.log, "identity": lambda m: m}
K3, D1 = np.arange(-3, 4), np.array([-1, 9, -45, 0, 45, -9, 1]) / 60


def hermite(link, eta, sd, nodes=200):
    x, w = np.polynomial.hermite_e.hermegauss(nodes)
    with np.errstate(over="ignore"):
        return MEAN[link](np.asarray(eta)[..., None] + np.asarray(sd)[..., None] * x) @ w / np.sqrt(2 * np.pi)


def trapezoid(link, eta, sd, step=0.02, reach=9.0):
    """Geometric convergence: the error is about exp(-2 pi^2 / (sd step)) for the logit."""
    x = step * np.arange(-int(reach / step), int(reach / step) + 1)
    with np.errstate(over="ignore"):
        return MEAN[link](np.asarray(eta)[..., None] + np.asarray(sd)[..., None] * x) @ (step * np.exp(-0.5 * x * x) / np.sqrt(2 * np.pi))


def simulated(link, eta, t, z, seed, draws=1_000_000):
    """Mean over draws of b itself, and its Monte Carlo error."""
    b = np.random.default_rng(seed).normal(size=(draws, len(t))) @ np.asarray(t).T
    with np.errstate(over="ignore"):
        values = MEAN[link](eta + b @ z)
    return float(values.mean()), float(values.std() / np.sqrt(draws))


def averages():
    factors = {
        "intercept": ([[2.166]], [1.0]),
        "intercept and slope": ([[1.2, 0.0], [-0.4, 0.5]], [1.0, 1.7]),
        "slope": ([[0.8]], [-2.5]),
        "singular": ([[1.1, 0.0], [-0.6, 0.0]], [1.0, 0.9]),
        "three": ([[0.9, 0.0, 0.0], [0.3, 0.6, 0.0], [-0.2, 0.4, 0.7]], [1.0, -1.3, 0.8]),
        "zero": ([[0.0, 0.0], [0.0, 0.0]], [1.0, 2.0]),
    }
    out = []
    for link in ("logit", "probit", "cloglog", "log"):
        for number, (name, (t, z)) in enumerate(factors.items()):
            sd = float(np.linalg.norm(np.array(t).T @ z))
            for eta in (-2.0, 0.3) if link in ("cloglog", "log") else (-3.0, -0.4, 1.5):
                m = float(trapezoid(link, eta, sd))
                assert abs(hermite(link, eta, sd) / m - 1) < 1e-6
                mc, error = simulated(link, eta, t, np.array(z), 100 + number)
                assert abs(mc - m) < 5 * error + 1e-15, (link, name, eta)
                out.append({"link": link, "name": name, "eta": eta, "T": t, "z": z, "sd": sd, "mean": m, "hermite_200": float(hermite(link, eta, sd)), "simulated": mc, "simulation_error": error})  # fmt: skip
    return out


def jacobian(f, v, h):
    out = []
    for j in range(len(v)):
        e = h[j] * np.eye(len(v))[j]
        out.append(sum(c * f(v + k * e) for k, c in zip(K3, D1, strict=True) if c) / h[j])
    return np.stack(out, axis=1)


def spreads(d, theta, structure):
    t = np.zeros((d.q, d.q))
    columns, rows = np.triu_indices(d.q)
    if structure == "diag":
        columns = rows = np.arange(d.q)
    t[rows, columns] = theta
    return np.linalg.norm(d.z @ t, axis=1), t


def answers(model, vector, cov, structure="us", rows=(), simulate=()):
    """Everything about one fitted model; rows are positions in the csv whose marginal means are stored."""
    d = Data(model)
    link, p = model["link"], d.p
    size = len(vector) - p - d.gaussian
    vector, cov = np.array(vector), np.array(cov)

    def means(v):
        return trapezoid(link, d.x @ v[:p] + d.offset, spreads(d, v[p : p + size], structure)[0])

    def coefficients(v):
        return np.linalg.lstsq(d.x, LINK[link](means(v)) - d.offset, rcond=None)[0]

    h = 1e-2 * np.sqrt(np.diag(cov))
    j, jc = jacobian(means, vector, h), jacobian(coefficients, vector, h)
    m = means(vector)
    sd, t = spreads(d, vector[p : p + size], structure)
    out = {"beta": vector[:p].tolist(), "theta": vector[p : p + size].tolist(), "vcov_all": cov.tolist(), "structure": structure}
    marginal = jc @ cov @ jc.T
    out["marginal"] = {
        "estimate": coefficients(vector).tolist(),
        "std_error": np.sqrt(np.diag(marginal)).tolist(),
        "vcov": marginal.tolist(),
    }
    if d.q == 1 and np.all(d.z == 1.0) and link in ("logit", "probit"):
        c2 = 1.0 if link == "probit" else (16 * np.sqrt(3) / (15 * np.pi)) ** 2
        factor = np.sqrt(1 + c2 * sd[0] ** 2)
        slope = np.c_[np.eye(p) / factor, -vector[:p] * c2 * vector[p] / factor**3]
        out["zeger_liang_albert"] = {"factor": float(factor), "estimate": (vector[:p] / factor).tolist(), "std_error": np.sqrt(np.diag(slope @ cov @ slope.T)).tolist()}  # fmt: skip
    rows = list(rows)
    out["means"] = {
        "rows": rows,
        "estimate": m[rows].tolist(),
        "std_error": np.sqrt(np.einsum("ij,jk,ik->i", j[rows], cov, j[rows])).tolist(),
    }
    if simulate:
        eta = d.x @ vector[:p] + d.offset
        draws = [simulated(link, eta[i], t, d.z[i], 7) for i in simulate]
        out["simulation"] = {"rows": list(simulate), "estimate": [a for a, _ in draws], "error": [b for _, b in draws]}
        assert all(abs(a - m[i]) < 5 * b for i, (a, b) in zip(simulate, draws, strict=True))
    average = j.mean(axis=0)
    out["average"] = {"estimate": float(m.mean()), "std_error": float(np.sqrt(average @ cov @ average))}
    return out


def first_of_each(model, names):
    """Positions of the first row of each combination of the named columns."""
    columns = read(model["data"], model.get("design"))
    seen = {}
    for i, key in enumerate(zip(*(columns[name] for name in names), strict=True)):
        seen.setdefault(key, i)
    return list(seen.values())


PUBLISHED = {  # exact ML, beta in the order 1, treatment, time, interaction
    "ohio": {
        "beta": [-3.128305944, -0.2163680699, 0.462026821, 0.1053251386], "order": [0, 1, 2, 3], "sigma": 2.16646697, "loglik": -797.3595631,
        "se": [0.2228212285, 0.08655597008, 0.2855647685, 0.1384934043, 0.1850423405],
        "cov_sigma": [-0.0256239657, -0.00135462251, 0.00321342321, 0.000643932825, 0.0342406678],
        "marginal": [-1.893235915, -0.141565525, 0.300436182, 0.07100991466], "marginal_se": [0.1167566781, 0.05667431385, 0.1845094814, 0.08916367858],
        "factor": 1.619642357, "zla": [-1.93147946, -0.1335900293, 0.2852647185, 0.06502987415], "zla_se": [0.1090497667, 0.05331050269, 0.1760410267, 0.08549134447],
        "average": [0.1520859883, 0.01108104174],
    },
    "toenail": {
        "beta": [-1.61828522, -0.1607718643, -0.3910016482, -0.1367904233], "sigma": 4.006585304, "loglik": -625.3975157,
        "se": [0.4342693693, 0.5839384127, 0.04437961739, 0.06801349942, 0.3798696696],
        "cov_sigma": [-0.0536834436, -0.0100368392, -0.00518586767, -0.00182885642, 0.144300966],
        "marginal": [-0.5685221691, -0.03090310036, -0.1599934338, -0.06889510543], "marginal_se": [0.1519480341, 0.2167050381, 0.02051125383, 0.03291795032],
        "factor": 2.559633259, "zla": [-0.6322332365, -0.06281050761, -0.1527569025, -0.05344141501], "zla_se": [0.1604867804, 0.2279610405, 0.01789749302, 0.02661449981],
        "average": [0.2137831454, 0.01730440227],
    },
    "toenail_months": {
        "beta": [-1.630729435, -0.1146072682, -0.4043135352, -0.1613538647], "sigma": 4.016375888, "loglik": -623.9074364,
        "se": [0.4356142996, 0.5854384808, 0.04598347147, 0.07187180531, 0.3814624661],
        "cov_sigma": [-0.0545549506, -0.00884861418, -0.0053069891, -0.00243036245, 0.145513613],
        "marginal": [-0.5734206004, -0.01063641162, -0.1646612665, -0.08047497014], "marginal_se": [0.1519413702, 0.2167757623, 0.0211544581, 0.03474895503],
        "factor": 2.564934348, "zla": [-0.6357782362, -0.04468233983, -0.1576311439, -0.0629076003], "zla_se": [0.1604853106, 0.2281327162, 0.01857042391, 0.02802983492],
        "average": [0.2133866831, 0.01726999332],
    },
}  # fmt: skip
MEANS = {  # published marginal means with their standard errors, columns as in "fixed"
    "ohio": {
        "new": {"age": [-2, -1, 0, 1] * 2, "smoke": [0, 0, 0, 0, 1, 1, 1, 1]},
        "estimate": [0.1664179248, 0.1479769217, 0.1310067005, 0.1154809515, 0.1897010756, 0.1791700204, 0.1690281191, 0.1592763378],
        "std_error": [0.01805304162, 0.01390253078, 0.01325383715, 0.01505938877, 0.02582228922, 0.02073234773, 0.02026761516, 0.02376479383],
    },
    "toenail": {
        "new": {"treatment": ["itraconazole"] * 4 + ["terbinafine"] * 4, "time": [0, 3, 6, 12] * 2},
        "typical": [0.1654414951, 0.05779665773, 0.01862782923, 0.001814181591, 0.1444196041, 0.03349037094, 0.007062914544, 0.0002996601237],
        "estimate": [0.3559463787, 0.2621235669, 0.1830012437, 0.07539144105, 0.3423741328, 0.2215555641, 0.1298307456, 0.03259414471],
        "std_error": [0.03492542027, 0.02924517518, 0.02553578691, 0.01873363306, 0.03479083128, 0.02694000317, 0.02172577193, 0.01132991219],
    },
}  # fmt: skip
ONE_TERM = {"logit": 0.4360578101, "probit": 0.4232104856, "log": 3.42979331, "cloglog": 0.5198522248}  # eta -0.4, v 3.265
EXACT = {"ohio": 101, "toenail": 101, "toenail_months": 101}
FORMULAS = {
    "ohio": "resp ~ age * smoke + (1 | id)",
    "toenail": "y ~ C(treatment) * time + (1 | patientID)",
    "toenail_months": "y ~ C(treatment) * month + (1 | patientID)",
}


def same(got, want, tolerance, what):
    worst = np.max(np.abs(np.asarray(got) / np.asarray(want) - 1))
    print(f"   {what}: relative difference from the published {worst:.1e}")
    assert worst < tolerance, what


def check(name, loglik, out, model):
    """Everything published about a fit, and the published means at this fit."""
    d, p, cov = Data(model), PUBLISHED[name], np.array(out["vcov_all"])
    same(loglik, p["loglik"], 1e-9, "log-likelihood")
    same([*out["beta"], *out["theta"]], [*p["beta"], p["sigma"]], 1e-6, "estimates")
    same(np.sqrt(np.diag(cov)), p["se"], 1e-6, "standard errors")
    same(cov[-1], p["cov_sigma"], 1e-5, "covariance with sigma")
    same(out["marginal"]["estimate"], p["marginal"], 1e-5, "marginal coefficients")
    same(out["marginal"]["std_error"], p["marginal_se"], 1e-6, "their standard errors")
    same([out["zeger_liang_albert"]["factor"]], [p["factor"]], 1e-7, "ZLA factor")
    same(out["zeger_liang_albert"]["estimate"], p["zla"], 1e-6, "ZLA coefficients")
    same(out["zeger_liang_albert"]["std_error"], p["zla_se"], 1e-6, "their standard errors")
    same(list(out["average"].values()), p["average"], 1e-7, "average marginal mean")
    if name in MEANS:
        published = MEANS[name]
        new = {key: np.array(value) for key, value in published["new"].items()}
        x = np.column_stack(
            [np.broadcast_to(np.asarray(eval(c, {}, new), dtype=float), len(published["estimate"])) for c in model["fixed"]]
        )
        v = np.array(out["beta"] + out["theta"])
        j = jacobian(lambda v: trapezoid("logit", x @ v[: d.p], v[d.p] * np.ones(len(x))), v, 1e-2 * np.sqrt(np.diag(cov)))
        same(trapezoid("logit", x @ v[: d.p], v[d.p] * np.ones(len(x))), published["estimate"], 1e-6, "means")
        same(np.sqrt(np.einsum("ij,jk,ik->i", j, cov, j)), published["std_error"], 1e-6, "their standard errors")
        if "typical" in published:
            same(special.expit(x @ v[: d.p]), published["typical"], 1e-6, "typical values")


def main():
    stored = json.loads((HERE / "aghq_slopes.json").read_text())
    result = {"averages": averages(), "fits": {}, "note": NOTE}
    for link, want in ONE_TERM.items():
        same(float(trapezoid(link, -0.4, np.sqrt(3.265))), want, 1e-9, f"mean of one row, {link}")
    for name, points in EXACT.items():
        print(name, flush=True)
        p, model = PUBLISHED[name], MODELS[name]
        v, cov, best, step, _ = fit(Data(model), [*p["beta"], p["sigma"]], points, "us")
        rows = first_of_each(model, ("age", "smoke")) if name == "ohio" else [0, 5, 700, 1500]
        out = answers(model, v, cov, rows=rows, simulate=rows[:2])
        check(name, best, out, model)
        entry = {"formula": FORMULAS[name], "data": model["data"], "family": "binomial", "link": "logit", "points": points, "loglik": best, "newton_step": step}  # fmt: skip
        result["fits"][name] = entry | out | {"published": PUBLISHED[name]} | ({"published_means": MEANS[name]} if name in MEANS else {})
    slopes = {
        "glmm_contra_urban_5": ("contra_urban", [0, 40, 500, 1000, 1900]),
        "glmm_contra_probit_3": ("contra_probit", [0, 40, 500, 1000, 1900]),
        "glmm_cbpp_logit_7": ("cbpp_logit", [0, 1, 2, 3]),
        "glmm_cbpp_cloglog_slope_7": ("cbpp_cloglog_slope", [0, 1, 2, 3]),
        "glmm_seizure_post_5": ("seizure_post", [0, 1, 293, 294]),
        "glmm_seizure_post_diag_5": ("seizure_post", [0, 1, 293, 294]),
        "glmm_seizure_visit_3": ("seizure_visit", [0, 1, 2, 293]),
    }
    for name, (model, rows) in slopes.items():
        e = stored[name]
        print(name, flush=True)
        out = answers(MODELS[model], e["coef"] + e["theta"], e["vcov_all"], e["structure"], rows, rows[:2])
        print("   ", out["marginal"]["estimate"], out["marginal"]["std_error"])
        keep = ("formula", "data", "family", "link", "points", "offset", "loglik")
        result["fits"][name] = {key: e[key] for key in keep if key in e} | out
    (HERE / "marginal.json").write_text(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
