"""Average effects by g-computation, from their definition (NumPy; no glimm), beside marginaleffects on statsmodels fits.

Run (in this folder): python effects.py        writes effects.json; needs statsmodels, marginaleffects, polars; a minute

A question sets columns of the data to values and predicts every row again, m_i = h(eta_i) with gradient J_i in the parameters. Means
over the rows asked for (a subgroup; weighted by trials where it says so) are a with gradient A at "high" and c with C at "low":
    difference  a - c;   ratio  a / c;   lnratio  log(a / c);   lnor  logit a - logit c;   oddsratio  exp of that
    slope  mean of dm/dx, 6th order differences in x;   means  a itself
    se = sqrt(g' V g), g by the chain rule; a ratio is of averages, not an average of ratios
"fits" says the model and V (statsmodels' sandwiches have the observed Hessian, so robust ones are asked of canonical links only); "asked" the questions: "high" and "low" are the value given to everybody, or "+1": x + 1 against x (not
centred), "+sd": x + sd against x (n - 1), "centred": x + 1/2 against x - 1/2. "rows": only those rows; "by": one answer per value.
Where marginaleffects can be asked the same, its answer stands beside ours (not with an offset, which it leaves out, nor for means weighted over all rows, which it leaves unweighted) and is asserted to be equal:
estimates to 1e-7 of a standard error (slopes 1e-3), standard errors to 2e-6 (2e-5): its derivatives are coarser differences.

Mixed models: parameters and joint covariance of (beta, theta) from marginal.json; m = E h(eta + sd U) by the trapezoid rule ("marginal")
or h(eta) ("typical"); cluster-robust V = H^-1 (sum s s') H^-1 with the clusters' scores of log integral by the trapezoid rule.
"published": values printed in a formula sheet, computed there by brute force with dense NumPy; every one is asserted equal to this file's.
"""

import json
import warnings
from functools import partial
from importlib.metadata import version
from pathlib import Path

import marginaleffects as me
import numpy as np
import pandas as pd
import patsy
import polars as pl
import statsmodels.api as sm
import statsmodels.formula.api as smf
from aghq_slopes import MODELS, Data, read
from effects_asked import questions
from gee_standard import fit as dense_gee
from marginal import D1, K3, LINK, jacobian, same, trapezoid
from scipy import optimize, special, stats

HERE = Path(__file__).parent
NOTE = f"effects.py, NumPy {np.__version__}, statsmodels {version('statsmodels')}, marginaleffects {version('marginaleffects')}"
LOGIT = "logit"
MEAN = {  # h and h'
    "logit": (special.expit, lambda e: special.expit(e) * special.expit(-e)),
    "probit": (special.ndtr, stats.norm.pdf),
    "log": (np.exp, np.exp),
    "identity": (lambda e: e, np.ones_like),
}
FAMILY = {"binomial": sm.families.Binomial, "poisson": sm.families.Poisson, "gamma": sm.families.Gamma, "gaussian": sm.families.Gaussian}
SMLINK = {"logit": "Logit", "probit": "Probit", "log": "Log", "identity": "Identity"}
FITS = {  # formula as glimm reads it, for statsmodels where it differs; data; vcov of the fit
    "ohio": {"formula": "resp ~ age * smoke", "data": "geepack_ohio", "family": "binomial", "link": "logit", "vcov": "model"},
    "ohio_probit": {"formula": "resp ~ age * smoke", "data": "geepack_ohio", "family": "binomial", "link": "probit", "vcov": "model"},
    "contraception": {"formula": "y ~ age + I(age**2) + urban + age:urban + livch", "data": "mlmRev_Contraception", "family": "binomial", "link": "logit", "vcov": {"cluster": "district"}},
    "epil": {"formula": "y ~ trt * np.log(base) + age", "data": "MASS_epil", "family": "poisson", "link": "log", "vcov": {"cluster": "subject"}},
    "seizure": {"formula": "y ~ post * trt + age", "data": "seizure_long", "family": "poisson", "link": "log", "exposure": "weeks", "vcov": {"cluster": "id"}},
    "cake": {"formula": "angle ~ recipe * temp + I(temp**2)", "data": "lme4_cake", "family": "gaussian", "link": "identity", "vcov": "model"},
    "sleep": {"formula": "Reaction ~ Days", "data": "lme4_sleepstudy", "family": "gamma", "link": "log", "vcov": "model"},
    "cbpp": {"formula": "incidence / size ~ C(period)", "statsmodels": "I(incidence / size) ~ period", "data": "lme4_cbpp", "family": "binomial", "link": "logit", "trials": "size", "vcov": "model"},
}  # fmt: skip
FITS["ohio_cluster"] = FITS["ohio"] | {"vcov": {"cluster": "id"}}
FITS["cake_hc3"] = FITS["cake"] | {"vcov": "HC3"}


def frame_of(entry):
    frame = pd.read_csv(HERE / "data" / f"{entry['data']}.csv")
    if "use" in frame:
        frame["y"] = (frame["use"] == "Y").astype(int)
    if "herd" in frame:
        frame["period"] = frame["period"].astype(str)
    for name in frame.select_dtypes(include=["object", "str"]):
        frame[name] = frame[name].astype("category")
    return frame


class Linear:
    """A GLM: m and J of any frame."""

    def __init__(self, entry):
        self.frame, self.link = frame_of(entry), entry["link"]
        self.trials, exposure = entry.get("trials"), entry.get("exposure")
        self.offset = np.log(self.frame[exposure].to_numpy()) if exposure else 0.0
        options = {"cov_type": "nonrobust"}
        if isinstance(entry["vcov"], dict):
            groups = self.frame[entry["vcov"]["cluster"]].astype("category").cat.codes.to_numpy()
            options = {"cov_type": "cluster", "cov_kwds": {"groups": groups, "use_correction": False}}
        elif entry["vcov"] != "model":
            options = {"cov_type": entry["vcov"]}
        text = entry.get("statsmodels", entry["formula"])
        if entry["family"] == "gaussian":
            self.fit = smf.ols(text, self.frame).fit(**options)
        else:
            family = FAMILY[entry["family"]](link=getattr(sm.families.links, SMLINK[self.link])())
            more = {"var_weights": self.frame[self.trials].to_numpy()} if self.trials else {}
            more |= {"exposure": self.frame[exposure].to_numpy()} if exposure else {}
            self.fit = smf.glm(text, self.frame, family=family, **more).fit(tol=1e-14, maxiter=200, **options)
        self.vector, self.cov = self.fit.params.to_numpy(), self.fit.cov_params().to_numpy()
        self.info = self.fit.model.data.model_spec if hasattr(self.fit.model.data, "model_spec") else self.fit.model.data.design_info
        self.asks = not exposure

    def columns(self, frame):
        return np.asarray(patsy.build_design_matrices([self.info], frame)[0])

    def predict(self, frame):
        x = self.columns(frame)
        eta = x @ self.vector + self.offset
        h, slope = MEAN[self.link]
        return h(eta), slope(eta)[:, None] * x


class Given(Linear):
    """Given coefficients with a covariance, columns as in another fit."""

    def __init__(self, other, vector, cov):
        self.frame, self.link, self.trials, self.offset, self.info, self.asks = (
            other.frame,
            other.link,
            None,
            other.offset,
            other.info,
            False,
        )
        self.vector, self.cov = np.asarray(vector), np.asarray(cov)


class Mixed:
    """A mixed model at stored parameters: m averaged over the effects, or at zero effects; J in (beta, T by column)."""

    def __init__(self, model, vector, cov, typical=False):
        self.model, self.link, self.trials, self.asks, self.typical = model, model["link"], None, False, typical
        self.vector, self.cov = np.array(vector), np.array(cov)
        self.frame = pd.DataFrame(read(model["data"], model.get("design")))

    def predict(self, frame):
        names = {name: frame[name].to_numpy() for name in frame}

        def column(text):
            return np.broadcast_to(np.asarray(eval(text, {"log": np.log}, names), dtype=float), len(frame))

        x, z = (np.column_stack([column(c) for c in self.model[k]]) for k in ("fixed", "random"))
        offset, p, q = column(self.model.get("offset", "0")), x.shape[1], z.shape[1]
        columns, rows = np.triu_indices(q)
        if self.model.get("structure") == "diag":
            columns = rows = np.arange(q)

        def means(v):
            t = np.zeros((q, q))
            t[rows, columns] = v[p:]
            eta = x @ v[:p] + offset
            return MEAN[self.link][0](eta) if self.typical else trapezoid(self.link, eta, np.linalg.norm(z @ t, axis=1), step=0.05)

        return means(self.vector), jacobian(means, self.vector, 1e-2 * np.sqrt(np.diag(self.cov)))


def given(frame, variable, value):
    """Everybody's value of a column."""
    fixed = [value] * len(frame)
    return frame.assign(**{variable: pd.Categorical(fixed, frame[variable].cat.categories) if hasattr(frame[variable], "cat") else fixed})


def moved(frame, variable, how):
    """What is compared: the column moved up, and the frame it is compared with."""
    x = frame[variable].astype(float)
    if how == "centred":
        return frame.assign(**{variable: x + 0.5}), frame.assign(**{variable: x - 0.5})
    return frame.assign(**{variable: x + (1.0 if how == "+1" else x.std())}), frame


def averages(m, j, at, weights):
    w = weights * at
    return w @ m / w.sum(), w @ j / w.sum()


def combine(comparison, high, low):
    (a, ga), (c, gc) = high, low
    if comparison == "difference":
        return a - c, ga - gc
    if comparison in ("ratio", "lnratio"):
        g = ga / a - gc / c
        return (np.log(a / c), g) if comparison == "lnratio" else (a / c, a / c * g)
    e, g = special.logit(a) - special.logit(c), ga / (a * (1 - a)) - gc / (c * (1 - c))
    return (e, g) if comparison == "lnor" else (np.exp(e), np.exp(e) * g)


def subsets(model, rows, by):
    """(value of `by`, rows) of each answer."""
    f = model.frame
    at = np.ones(len(f), dtype=bool)
    for name, value in (rows or {}).items():
        at &= (f[name] == value).to_numpy()
    if by is None:
        return [(None, at)]
    return [(plain(v), at & (f[by] == v).to_numpy()) for v in sorted(f[by][at].unique())]


def plain(v):
    return v.item() if isinstance(v, np.generic) else v


def answer(estimate, gradient, cov, **about):
    return about | {"estimate": float(estimate), "std_error": float(np.sqrt(gradient @ cov @ gradient))}


def ask(model, name, what, variable=None, contrasts=None, comparison=None, rows=None, by=None, weights=None):
    """One question: its words, the answers by definition, and those of marginaleffects where it can be asked."""
    f = model.frame
    w = np.ones(len(f)) if weights is None else f[weights].to_numpy(dtype=float)
    words = {"fit": name, "what": what, "variable": variable, "comparison": comparison, "rows": rows, "by": by, "weights": weights}
    out = []
    if what == "comparisons":
        for high, low in contrasts:
            up, down = moved(f, variable, high) if low == "x" else (given(f, variable, high), given(f, variable, low))
            (m1, j1), (m0, j0) = model.predict(up), model.predict(down)
            for group, at in subsets(model, rows, by):
                e, g = combine(comparison, averages(m1, j1, at, w), averages(m0, j0, at, w))
                out.append(answer(e, g, model.cov, high=high, low=low, group=group))
    elif what == "slopes":
        step = 1e-2 * f[variable].std()
        points = [(c / step, model.predict(f.assign(**{variable: f[variable] + k * step}))) for k, c in zip(K3, D1, strict=True) if c]
        m, j = (sum(c * part[i] for c, part in points) for i in (0, 1))
        for group, at in subsets(model, rows, by):
            out.append(answer(*averages(m, j, at, w), model.cov, group=group))
    else:
        for value in contrasts or [None]:
            m, j = model.predict(f if variable is None else given(f, variable, value))
            for group, at in subsets(model, rows, by):
                out.append(answer(*averages(m, j, at, w), model.cov, value=value, group=group))
    if model.asks and not (what == "means" and weights):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for one in out:
                e, se = theirs(model, what, variable, one, comparison, rows, by, weights)
                one["marginaleffects"] = {"estimate": e, "std_error": se}
                assert abs(e - one["estimate"]) < (1e-3 if what == "slopes" else 1e-7) * one["std_error"], (words, one)
                assert abs(se / one["std_error"] - 1) < (2e-5 if what == "slopes" else 2e-6), (words, one)
    return words | {"answers": out}


def theirs(model, what, variable, one, comparison, rows, by, weights):
    """The same from marginaleffects."""
    f = model.frame
    for column, value in (rows or {}).items():
        f = f[f[column] == value]
    more = {"newdata": pl.from_pandas(f), "by": by or True, "wts": weights, "eps_vcov": None}
    if what == "comparisons":
        high, low = one["high"], one["low"]
        size = model.frame[variable].std() if high == "+sd" else 1.0
        shift = size / 2 if high == "centred" else 0.0
        value = (lambda x: pl.DataFrame({"lo": x - shift, "hi": x + size - shift})) if low == "x" else [low, high]
        log = {"oddsratio": "lnor"}.get(comparison, comparison)
        found = me.avg_comparisons(model.fit, variables={variable: value}, comparison=log, **more)
    elif what == "slopes":
        found = me.avg_slopes(model.fit, variables=variable, eps=1e-2 * float(f[variable].std()), **(more | {"eps_vcov": 1e-7}))
    else:
        if variable is not None:
            more["newdata"] = pl.from_pandas(given(f, variable, one["value"]))
        found = me.avg_predictions(model.fit, **more)
    row = found.data if hasattr(found, "data") else found
    if by is not None:
        row = row.filter(pl.col(by).cast(pl.String) == str(one["group"]))
    assert row.height == 1
    e, se = row["estimate"][0], row["std_error"][0]
    return (float(np.exp(e)), float(np.exp(e) * se)) if comparison == "oddsratio" else (float(e), float(se))


def robust(model, vector, cov):
    """V (sum s s') V of a random-intercept logistic model, s the clusters' scores of log int prod f phi."""
    d, b = Data(model), np.array(vector)
    u = 0.02 * np.arange(-475, 476)
    eta = (d.x @ b[:-1])[:, None] + b[-1] * u
    log = np.zeros((d.clusters, len(u)))
    np.add.at(log, d.group, -np.logaddexp(0, np.where(d.y[:, None] == 1, -1, 1) * eta))
    weight = np.exp(log - log.max(axis=1, keepdims=True)) * np.exp(-0.5 * u * u)
    weight /= weight.sum(axis=1, keepdims=True)
    r = (d.y[:, None] - special.expit(eta)) * weight[d.group]
    scores = np.zeros((d.clusters, d.p + 1))
    np.add.at(scores, d.group, np.c_[r.sum(axis=1)[:, None] * d.x, r @ u])
    assert np.abs(scores.sum(axis=0)).max() < 1e-4
    return cov @ scores.T @ scores @ cov


RD = {  # exposed, unexposed, (RD, RR, OR), their se (RR and OR: of the log); smoke 1 against 0
    "ohio": ([0.1751336898, 0.1392857143], [0.03584797555, 1.257370081, 1.312014296], [0.01668341428, 0.1034015321, 0.1232333328]),
    "ohio_cluster": ([0.1751336898, 0.1392857143], [0.03584797555, 1.257370081, 1.312014296], [0.02407860208, 0.1489696108, 0.1776030051]),
    "ohio_cluster_factor": ([0.1751336898, 0.1392857143], [0.03584797555, 1.257370081, 1.312014296], [0.02410105299, 0.1491085102, 0.1777686024]),
    "gee_ohio": ([0.1751648993, 0.1393259133], [0.03583898601, 1.257231302, 1.311857851], [0.02408302442, 0.1489667522, 0.1776066281]),
    "glmm_ohio": ([0.1742938882, 0.1402206246], [0.03407326359, 1.242997517, 1.294290563], [0.02369040222, 0.1466839487, 0.1748557901]),
    "glmm_ohio_robust": ([0.1742938882, 0.1402206246], [0.03407326359, 1.242997517, 1.294290563], [0.02377004151, 0.1471332125, 0.1754006881]),
    "glmm_ohio_typical": ([0.06887361542, 0.04770662622], [0.0211669892, 1.443690759, 1.476509705], [0.01587715272, 0.25644329, 0.2729487529]),
}  # fmt: skip
AGE = {"+1": (-0.01391586473, 0.006404066839, 0.005178724673), "centred": (-0.0145458275, 0.006938340001, 0.005619746516), "slope": (-0.01454323038, 0.006935332388, 0.005617223728)}  # fmt: skip
PROJECTION = {  # likelihood projection of the marginal means and its se; se of the marginal coefficients with sigma held
    "ohio": ([-1.893180636, -0.1414730632, 0.3003862942, 0.0709272459], [0.1167293925, 0.05656295344, 0.1844882575, 0.08907077338], [0.1472638806, 0.05695533809, 0.185000863, 0.08921133074]),
    "toenail": ([-0.5757095606, -0.04669248414, -0.1578414883, -0.06339997193], [0.1522002639, 0.2168271457, 0.01955559159, 0.02996730119], [0.1596147546, 0.2166701826, 0.02034146542, 0.03299205039]),
    "toenail_months": ([-0.5794480186, -0.02734282335, -0.1627693511, -0.07432556006], [0.1522171422, 0.2169456323, 0.02029424564, 0.03163810784], [0.1598336321, 0.2166817507, 0.02089802653, 0.0349230571]),
}  # fmt: skip
BACK = {"sigma": 2.0, "estimate": [-2.992541874, -0.2061636975, 0.4611900678, 0.1003082521], "by_factor": [-2.934017875, -0.218042468, 0.4844898754, 0.109351437]}  # fmt: skip
SHEET = "computed by brute force, dense NumPy, and printed to 10 digits; reproduced here"


def check(asked):
    """The published numbers against the answers."""
    found = {
        (a["fit"], a["what"], a["variable"], a["comparison"]): a["answers"]
        for a in reversed(asked)
        if a["rows"] is None and a["by"] is None
    }
    for name, (means, effects, errors) in RD.items():
        same([a["estimate"] for a in reversed(found[name, "means", "smoke", None])], means, 1e-6, f"{name}: means")
        for c, log, e, se in zip(("difference", "ratio", "oddsratio"), ("difference", "lnratio", "lnor"), effects, errors, strict=True):
            same([found[name, "comparisons", "smoke", c][0]["estimate"]], [e], 1e-6, f"{name}: {c}")
            same([found[name, "comparisons", "smoke", log][0]["std_error"]], [se], 1e-6, f"{name}: se, {log}")
    for a in asked:
        if a["variable"] == "age" and a["by"] is None and a["rows"] is None and a["fit"] in ("ohio", "ohio_cluster"):
            key = "slope" if a["what"] == "slopes" else a["answers"][0].get("high")
            if key in AGE and a["what"] != "means":
                e, se = AGE[key][0], AGE[key][1 if a["fit"] == "ohio" else 2]
                same([a["answers"][0]["estimate"], a["answers"][0]["std_error"]], [e, se], 1e-7, f"{a['fit']}: age, {key}")


def projections(stored):
    """Coefficients b with X'(m - h(X b)) = 0 at the marginal means m, and standard errors with sigma held."""
    out = {}
    for name, (want, want_se, held) in PROJECTION.items():
        e, d = stored[name], Data(MODELS[name])
        v, cov = np.array(e["beta"] + e["theta"]), np.array(e["vcov_all"])
        h = 1e-2 * np.sqrt(np.diag(cov))
        m = trapezoid(LOGIT, d.x @ v[: d.p], v[d.p] * np.ones(len(d.x)))
        j = jacobian(lambda v, d=d: trapezoid(LOGIT, d.x @ v[: d.p], v[d.p] * np.ones(len(d.x))), v, h)
        p = np.linalg.solve(d.x.T @ d.x, d.x.T)
        b, jm = p @ LINK[LOGIT](m), p @ (j / (m * (1 - m))[:, None])
        for _ in range(30):
            mu = special.expit(d.x @ b)
            w = (d.x * (mu * (1 - mu))[:, None]).T @ d.x
            b = b + np.linalg.solve(w, d.x.T @ (m - mu))
        a = np.linalg.solve(w, d.x.T @ j)
        found = {"estimate": b, "std_error": np.sqrt(np.diag(a @ cov @ a.T)), "std_error_sigma_held": np.sqrt(np.diag(jm[:, :-1] @ cov[:-1, :-1] @ jm[:, :-1].T))}  # fmt: skip
        for got, printed, what in zip(found.values(), (want, want_se, held), found, strict=True):
            same(got, printed, 1e-5, f"{name}: likelihood projection, {what}")
        out[name] = {key: value.tolist() for key, value in found.items()}
    return out


def way_back(x, beta):
    """Conditional coefficients that lead to marginal ones at sigma: E h(e + sigma U) = h(x'beta) solved by row, then least squares."""
    eta = x @ np.array(beta)
    values, at = np.unique(eta, return_inverse=True)
    marginal = special.expit(values)
    solved = [optimize.brentq(lambda c, m=m: float(trapezoid(LOGIT, c, BACK["sigma"])) - m, -60, 60, xtol=1e-13) for m in marginal]
    estimate = np.linalg.lstsq(x, np.array(solved)[at], rcond=None)[0]
    factor = np.sqrt(1 + (16 * np.sqrt(3) / (15 * np.pi)) ** 2 * BACK["sigma"] ** 2)
    same(estimate, BACK["estimate"], 1e-6, "way back")
    same(factor * np.array(beta), BACK["by_factor"], 1e-6, "way back by the factor")
    return {"marginal": list(beta), "sigma": BACK["sigma"], "estimate": estimate.tolist(), "by_factor": (factor * np.array(beta)).tolist()}


def main():
    stored = json.loads((HERE / "marginal.json").read_text())["fits"]
    models = {name: Linear(entry) for name, entry in FITS.items()}
    fits = {name: entry | {"coef": models[name].vector.tolist(), "vcov_matrix": models[name].cov.tolist()} for name, entry in FITS.items()}
    ohio = models["ohio_cluster"]
    f = ohio.frame
    k = f["id"].nunique()
    models["ohio_cluster_factor"] = Given(ohio, ohio.vector, ohio.cov * k / (k - 1))
    x = np.c_[np.ones(len(f)), f["age"], f["smoke"], f["age"] * f["smoke"]]
    gee = dense_gee(f["resp"].to_numpy(float), x, f["id"].to_numpy(), f["age"].to_numpy(), "binomial", "exchangeable")
    models["gee_ohio"] = Given(ohio, gee["b"], gee["vcov"])
    about = {key: FITS["ohio"][key] for key in ("formula", "data", "family", "link")}
    fits["ohio_cluster_factor"] = about | {"vcov": "cluster-robust by id times K / (K - 1)"}
    fits["gee_ohio"] = about | {
        "groups": "id",
        "corr": "exchangeable",
        "moments": "standard",
        "vcov": "robust",
        "coef": gee["b"],
        "vcov_matrix": gee["vcov"],
    }
    for name, key, label, typical in (
        ("glmm_ohio", "ohio", "ohio", False),
        ("glmm_ohio_robust", "ohio", "ohio", False),
        ("glmm_ohio_typical", "ohio", "ohio", True),
        ("glmm_contra_urban_5", "glmm_contra_urban_5", "contra_urban", False),
        ("glmm_contra_probit_3", "glmm_contra_probit_3", "contra_probit", False),
        ("glmm_seizure_post_5", "glmm_seizure_post_5", "seizure_post", False),
    ):
        e = stored[key]
        v, cov = np.array(e["beta"] + e["theta"]), np.array(e["vcov_all"])
        cov = robust(MODELS[label], v, cov) if name.endswith("robust") else cov
        models[name] = Mixed(MODELS[label], v, cov, typical)
        fits[name] = {key: e[key] for key in ("formula", "data", "family", "link", "points")} | {
            "target": "typical" if typical else "marginal"
        }
        fits[name] |= {"vcov": "cluster-robust" if name.endswith("robust") else "model", "vector": v.tolist(), "vcov_all": cov.tolist()}
        fits[name] |= {"offset": e["offset"]} if "offset" in e else {}
    asked = []
    for name, model in models.items():
        asked += questions(name, partial(ask, model, name))
        print(name, len(asked), flush=True)
    check(asked)
    published = {"source": SHEET, "smoke": RD, "age": AGE, "likelihood_projection": projections(stored), "way_back": way_back(x, gee["b"])}
    (HERE / "effects.json").write_text(json.dumps({"note": NOTE, "fits": fits, "asked": asked, "published": published}) + "\n")


if __name__ == "__main__":
    main()
