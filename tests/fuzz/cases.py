"""Random calls of the three doors: a recipe of plain values (hypothesis draws it, JSON keeps it), and the call that it stands for.

A recipe is small on purpose: everything random in the data comes from its seed, so that one line repeats a failure.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from hypothesis import strategies as st

import glimm

FAMILIES = (
    "gaussian", "gaussian", "binomial", "binomial", "poisson", "poisson", "gamma", "inverse_gaussian", "negative_binomial",
    "negative_binomial1", "beta", "tweedie", "tweedie(1.5)", "negative_binomial(2)",
)  # fmt: skip
OTHERS = ("quasibinomial", "quasipoisson", "quasi(1.5)", "ordinal", "multinomial")
LINKS = (
    "identity", "log", "logit", "probit", "cloglog", "loglog", "cauchit", "logc", "inverse", "inverse_squared", "sqrt", "power(0.3)",
    "odds_power(2)",
)  # fmt: skip
OWN_LINKS = {"positive": LINKS[:2] + LINKS[8:12], "real": LINKS[:7] + LINKS[8:12], "unit": LINKS[:8] + LINKS[11:]}
SUPPORT = {"gaussian": "real", "binomial": "unit", "beta": "unit"}
BARS = (
    "(1 | g)", "(1 | g)", "(1 | g)", "(1 + {a} | g)", "({a} || g)", "(0 + {a} | g)", "(1 | g) + (1 | h)", "(1 | h/g)", "(1 | g:h)",
    "(1 + {a} | g) + (1 | h)", "cs(0 + C(v) | g)", "homcs(0 + C(v) | g)", "toep(0 + C(v) | g)", "ar1(0 + C(v) | g)", "diag(0 + C(v) | g)",
    "ou(0 + t | g)", "(1 + {a} + {b} | g)", "(1 | row)",
)  # fmt: skip
PLAIN = ("normal", "normal", "integer", "boolean", "string", "level4")
COLUMNS = (
    "constant", "duplicate", "nearly", "huge", "vast", "tiny", "shifted", "unused", "zero_dummy", "zero_dummy", "one_row", "separating",
    "infinite", "dates", "nullable",
)  # fmt: skip
TERMS = ("1", "{a}", "{a}", "{a} + {b}", "{a} + {b}", "{a} * {b}", "{a} + {b} + {c}")
VCOV = {
    "glm": ("model",) * 4 + ("HC0", "HC1", "HC2", "HC3", "jackknife", "g", "gh", "small", "CR1", "mancl_derouen"),
    "glmm": ("model",) * 5 + ("g", "h"),
    "gee": ("robust", "robust", "model", "mancl_derouen", "fay_graubard", "jackknife"),
}
CORR = (
    "exchangeable", "exchangeable", "ar1", "independence", "unstructured", "ar(2)", "stationary(1)", "stationary(2)", "nonstationary(1)",
    "nested", "fixed", "custom", "odds_ratio", "odds_ratio(pairs)",
)  # fmt: skip
TWISTS = {
    "columns": COLUMNS,
    "terms": ("{a}:{b}", "C({a})", "I({a} ** 2)", "log({a})", "0 + {a}", "{a} * {b} * {c}"),
    "response": ("constant", "zeros", "wrong", "exact", "separated", "separated", "huge", "tiny", "missing", "text", "one_two"),
    "weights": ("ones", "random", "random", "wide", "tiny", "huge", "zeros", "negative", "missing", "array", "text"),
    "offset": ("random", "large", "infinite", "missing", "array", "zero"),
    "exposure": ("random", "zero", "negative", "infinite", "missing", "wide"),
    "gaps": ("few", "few", "many", "column", "all"),
    "missing": ("error",),
    "frame": ("dict", "polars"),
    "groups": ("uneven", "single", "one", "two", "strings", "unused", "numbers"),
    "time": ("gaps", "halves", "twice", "text", "missing", "dates", "ordered"),
    "max_iter": (1, 3),
    "link": LINKS,
    "trials": ("zero",),
    "n": (1, 2, 3, 4, 5, 6),
    "reml": (True, False),
    "kind": ("frequency", "sampling"),
    "scale": ("pearson", "deviance", "ml", 2.0),
    "penalty": ("firth", "jeffreys"),
    "zero": ("~ 1", "~ a"),
    "dispersion": ("~ a", "~ b"),
    "family": (*OTHERS, "gaussian", "gaussian", "gaussian", "binomial", "binomial", "poisson"),
}
"""What may be odd in a call: a few of these at a time, so that most calls come to a fit."""
GLM_ONLY = ("kind", "scale", "penalty", "zero", "dispersion")


@st.composite
def recipes(draw, doors=("glm", "glmm", "gee")):
    """One call as plain values."""
    random = draw(st.randoms(use_true_random=True))
    one_of = random.choice
    door = draw(st.sampled_from(doors))
    family = one_of(FAMILIES)
    name = family.partition("(")[0]
    out = {
        "door": door,
        "seed": random.randrange(2**31),
        "n": random.randint(8, 120),
        "columns": [one_of(PLAIN) for _ in range(3)],
        "terms": one_of(TERMS),
        "family": family,
        "link": one_of((None, None, one_of(OWN_LINKS[SUPPORT.get(name, "positive")]))),
        "response": "right",
        "strength": one_of((0.0, 0.5, 0.5, 2.0)),
        "trials": one_of((None, None, "ratio", "pair")),
        "groups": "even",
        "weights": None,
        "offset": None,
        "exposure": None,
        "gaps": None,
        "missing": "drop",
        "frame": "pandas",
        "vcov": one_of(VCOV[door]),
        "max_iter": None,
        **dict.fromkeys(GLM_ONLY),
        "bars": one_of(BARS),
        "points": one_of(("auto", "auto", 1, 1, 3, 7)),
        "reml": None,
        "corr": one_of(CORR),
        "moments": one_of(("standard",) * 4 + ("geepack", "gee")),
        "time": one_of((None, "order")),
    }
    for aspect in random.sample(sorted(TWISTS), one_of((0, 0, 1, 1, 2, 2, 3, 4))):
        odd = one_of(TWISTS[aspect])
        if aspect == "columns":
            out["columns"][random.randrange(2)] = odd
        else:
            out[aspect] = odd
    return out


def predictor(kind, rng, n, others, y01):
    """One column."""
    z = rng.normal(size=n)
    return {
        "normal": lambda: z,
        "constant": lambda: np.full(n, 2.5),
        "duplicate": lambda: 3.0 * others[0] + 1.0 if others and others[0].dtype.kind == "f" else z,
        "nearly": lambda: others[0] + 1e-7 * z if others and others[0].dtype.kind == "f" else z,
        "huge": lambda: 1e8 * z,
        "vast": lambda: 1e120 * z,
        "tiny": lambda: 1e-9 * z,
        "shifted": lambda: 1e6 + z,
        "integer": lambda: rng.integers(0, 5, n),
        "boolean": lambda: z > 0,
        "string": lambda: np.where(z > 0, "yes", "no").astype(object),
        "level4": lambda: np.array(["a", "b", "c", "d"], dtype=object)[rng.integers(0, 4, n)],
        "unused": lambda: pd.Categorical.from_codes(rng.integers(0, 2, n), ["low", "high", "never"]),
        "zero_dummy": lambda: (rng.random(n) < 0.2).astype(float),
        "one_row": lambda: (np.arange(n) == rng.integers(n)).astype(float),
        "separating": lambda: y01 + 0.1 * z,
        "infinite": lambda: np.where(np.arange(n) == 0, np.inf, z),
        "dates": lambda: pd.date_range("2020-01-01", periods=n).to_numpy(),
        "nullable": lambda: pd.array(np.where(z > 1, None, rng.integers(0, 9, n)).tolist(), dtype="Int64"),
    }[kind]()


def grouping(kind, rng, n):
    """Clusters of the rows."""
    k = max(2, n // 5)
    code = {
        "even": lambda: np.arange(n) * k // max(n, 1),
        "uneven": lambda: np.minimum(rng.geometric(0.25, n), 12),
        "single": lambda: np.arange(n),
        "one": lambda: np.zeros(n, dtype=int),
        "two": lambda: rng.integers(0, 2, n),
        "strings": lambda: np.array([f"s{j}" for j in rng.integers(0, k, n)], dtype=object),
        "unused": lambda: pd.Categorical.from_codes(rng.integers(0, k, n), [f"u{j}" for j in range(k + 2)]),
        "numbers": lambda: rng.integers(0, k, n) * 1.5,
    }
    return code[kind]()


def centred(column):
    """A column as numbers of about one unit, for simulated responses."""
    values = pd.Series(column)
    number = pd.to_numeric(values, errors="coerce") if values.dtype.kind in "ifbu" else pd.Series(pd.factorize(values)[0], dtype=float)
    number = np.asarray(number, dtype=float)
    spread = np.std(number[np.isfinite(number)]) if np.isfinite(number).any() else 0.0
    return np.nan_to_num((number - np.mean(number[np.isfinite(number)])) / spread if spread > 0 else np.zeros(len(number)), posinf=0.0)


def right_response(family, rng, eta, r):
    """(y, trials) such as the family can have, with zero_dummy rows of counts and events at 0."""
    n, mu, trials = len(eta), np.exp(np.clip(eta, -3, 3)), None
    p = 1.0 / (1.0 + np.exp(-eta))
    name = family.partition("(")[0]
    if name in ("binomial", "quasibinomial"):
        trials = rng.integers(1, 9, n) if r["trials"] else None
        y = rng.binomial(trials if trials is not None else 1, p)
    elif name in ("poisson", "quasipoisson", "negative_binomial", "negative_binomial1"):
        y = rng.poisson(mu if name == "poisson" else mu * rng.gamma(1.5, 1 / 1.5, n))
    elif name in ("gamma", "inverse_gaussian"):
        y = mu * rng.gamma(3.0, 1 / 3.0, n)
    elif name == "beta":
        y = np.clip(rng.beta(4 * p + 0.1, 4 * (1 - p) + 0.1), 1e-6, 1 - 1e-6)
    elif name in ("ordinal", "multinomial"):
        y = np.array(["low", "middle", "high"], dtype=object)[np.digitize(eta + rng.logistic(size=n), (-1.0, 1.0))]
    elif name in ("tweedie", "quasi"):
        y = mu * rng.poisson(1.2, n) * rng.gamma(2.0, 0.5, n)
    else:
        y = eta + rng.normal(size=n)
    return y, trials


def make(r):
    """(door, formula, data, arguments) of a recipe."""
    rng = np.random.default_rng(r["seed"])
    n = r["n"]
    g, h, v = grouping(r["groups"], rng, n), rng.integers(0, 4, n), np.arange(n) % 4
    base = rng.normal(size=n)
    y01 = (base > 0).astype(float)
    columns: dict[str, object] = {}
    for name, kind in zip("abc", r["columns"], strict=True):
        columns[name] = predictor(kind, rng, n, [np.asarray(c) for c in columns.values()], y01)
    codes = pd.factorize(pd.Series(g))[0]
    eta = r["strength"] * (centred(columns["a"]) + centred(columns["b"]) + rng.normal(size=n)[codes])
    y, trials = right_response(r["family"], rng, eta, r)
    if "zero_dummy" in r["columns"]:
        marked = np.asarray(columns["abc"[r["columns"].index("zero_dummy")]], dtype=float) == 1.0
        y = np.where(marked, 0 if y.dtype.kind in "if" else "low", y)
    y = other_response(r["response"], rng, y, trials, centred(columns["a"]), y01)
    if r["trials"] == "zero" and trials is not None:
        trials = np.where(np.arange(n) == n // 2, 0, trials)
    data = {"y": y, **columns, "g": g, "h": h, "v": v, "t": np.round(rng.random(n) * 10, 2), "row": np.arange(n)}
    left = "y"
    if trials is not None:
        data["m"], data["f"] = trials, trials - y if np.asarray(y).dtype.kind in "if" else trials
        left = "y / m" if r["trials"] != "pair" else "cbind(y, f)"
    formula = f"{left} ~ {r['terms'].format(a='a', b='b', c='c')}"
    arguments = {"family": r["family"], "link": r["link"], "missing": r["missing"]}
    for role, make_one in (("weights", weights), ("offset", offset), ("exposure", exposure)):
        if r[role] is not None:
            values = make_one(r[role], rng, n)
            data[role[0].upper()] = values
            arguments[role] = values if r[role] == "array" else role[0].upper()
    if r["door"] == "glm":
        arguments |= {name: r[name] for name in ("scale", "penalty", "zero", "dispersion") if r.get(name) is not None}
        if r.get("kind"):
            given = arguments.get("weights", rng.integers(1, 5, n))
            arguments["weights"] = getattr(glimm, r["kind"])(given)
    if r["max_iter"]:
        arguments["control"] = glimm.Control(max_iter=r["max_iter"])
    cluster = {"g": {"cluster": "g"}, "h": {"cluster": "h"}, "gh": {"cluster": ["g", "h"]}, "small": {"cluster": "g", "small": True}}
    cluster |= {small: {"cluster": "g", "small": small} for small in ("CR1", "mancl_derouen") if r["door"] == "glm"}
    arguments["vcov"] = cluster.get(r["vcov"], r["vcov"])
    if r["door"] == "glmm":
        formula += " + " + r["bars"].format(a="a", b="b")
        arguments |= {"points": r["points"], "reml": r["reml"]}
    if r["door"] == "gee":
        arguments |= {"groups": "g/v" if r["corr"] == "nested" else "g", "corr": correlation(r["corr"]), "moments": r["moments"]}
        if r["time"] is not None:
            data["when"] = times(r["time"], rng, codes)
            arguments["time"] = "when"
    return r["door"], formula, framed(r["frame"], with_gaps(r["gaps"], rng, pd.DataFrame(data))), arguments


def correlation(name):
    """What corr= is given."""
    if name == "fixed":
        return glimm.FixedCorr(0.3 * np.ones((60, 60)) + 0.7 * np.eye(60), times=range(60))
    if name == "custom":
        return glimm.CustomCorr(lambda a, t: np.abs(np.tanh(a[0])) ** np.abs(np.subtract.outer(t, t)), start=[0.4], names=["rho"])
    return name


def other_response(kind, rng, y, trials, x, y01):
    """The response as it should not be, or at an edge."""
    n = len(y)
    top = 1 if trials is None else trials
    numbers = np.asarray(y).dtype.kind in "ifb"
    return {
        "right": lambda: y,
        "constant": lambda: np.full(n, y[0]),
        "zeros": lambda: np.zeros(n),
        "wrong": lambda: -np.abs(rng.normal(size=n)) - 0.5,
        "exact": lambda: 1.0 + 0.25 * x,
        "separated": lambda: (x > 0).astype(int) * top,
        "huge": lambda: y * (1e9 if numbers else 1),
        "tiny": lambda: y * (1e-9 if numbers else 1),
        "missing": lambda: np.full(n, np.nan),
        "text": lambda: np.where(y01 > 0, "up", "down").astype(object),
        "one_two": lambda: y01 + 1,
    }[kind]()


def weights(kind, rng, n):
    w = rng.uniform(0.5, 2.0, n)
    first = np.arange(n) == 0
    return {
        "ones": np.ones(n), "random": w, "array": w, "wide": np.exp(rng.normal(0, 8, n)), "tiny": 1e-12 * w, "huge": 1e12 * w,
        "zeros": np.where(first, 0.0, w), "negative": np.where(first, -1.0, w), "missing": np.where(first, np.nan, w),
        "text": np.array(["w"] * n, dtype=object),
    }[kind]  # fmt: skip


def offset(kind, rng, n):
    z, first = rng.normal(size=n), np.arange(n) == 0
    return {
        "random": z, "array": z, "large": 1e3 * z, "zero": np.zeros(n), "infinite": np.where(first, np.inf, z),
        "missing": np.where(first, np.nan, z),
    }[kind]  # fmt: skip


def exposure(kind, rng, n):
    e, first = rng.uniform(0.5, 3.0, n), np.arange(n) == 0
    return {
        "random": e, "zero": np.where(first, 0.0, e), "negative": -e, "infinite": np.where(first, np.inf, e),
        "missing": np.where(first, np.nan, e), "wide": np.exp(rng.normal(0, 6, n)),
    }[kind]  # fmt: skip


def times(kind, rng, codes):
    """Occasions in clusters."""
    n = len(codes)
    order = pd.Series(codes).groupby(codes).cumcount().to_numpy()
    return {
        "order": lambda: order,
        "gaps": lambda: order * 3 + (order > 2),
        "halves": lambda: order * 0.7 + 0.1 * rng.random(n),
        "twice": lambda: order // 2,
        "text": lambda: np.array([f"t{k}" for k in order], dtype=object),
        "missing": lambda: np.where(np.arange(n) == 0, np.nan, order),
        "dates": lambda: (pd.Timestamp("2020-01-01") + pd.to_timedelta(order, unit="D")).to_numpy(),
        "ordered": lambda: pd.Categorical(order, categories=range(int(order.max()) + 1), ordered=True),
    }[kind]()


def with_gaps(kind, rng, frame):
    """Missing values in the predictors, the response or the clusters."""
    if kind is None:
        return frame
    n = len(frame)
    for name in ["a"] if kind == "column" else list(frame.columns) if kind == "all" else list(rng.choice(["a", "b", "y", "g", "c"], 2)):
        rows = np.ones(n, dtype=bool) if kind in ("column", "all") else rng.random(n) < (0.1 if kind == "few" else 0.5)
        column = frame[name]
        if column.dtype.kind in "iub" and not isinstance(column.dtype, pd.CategoricalDtype):
            column = column.astype(object if column.dtype.kind == "b" else float)
        frame[name] = column.mask(rows)
    return frame


def framed(kind, frame):
    """The data in the caller's kind of table."""
    if kind == "polars":
        import polars as pl

        values = {name: [None if value is pd.NaT else value for value in frame[name].tolist()] for name in frame.columns}
        return pl.DataFrame({name: pl.Series(name, column, strict=False) for name, column in values.items()})
    return {name: frame[name].to_numpy() for name in frame.columns} if kind == "dict" else frame
