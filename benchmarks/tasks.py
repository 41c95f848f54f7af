"""The tasks: what is fitted to which rows, as small frozen records; the rows are made once, seeded, and kept in benchmarks/data/.

A task says the model in words that every adapter understands (response, fixed part, effects and their group, family, points,
working correlation); it knows no peer but the ones whose log-likelihood is taken as the reference.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
DATA = HERE / "data"
PUBLIC = HERE.parent / "tests" / "reference" / "data"


@dataclass(frozen=True, slots=True)
class Task:
    """One model on one set of rows.

    effects : what varies over the levels of group, correlated ("1": an intercept only); refit : the call fits another time what was
    fitted before the clock started
    rows : name of a maker in MAKERS; size : rows of a simulated set (0 for public data); short : rows in the short form
    calls : fits in one timed call (more than 1 for fits of milliseconds)
    loglik : known value, or None: then the first of `trusted` that answers is the reference
    """

    name: str
    title: str
    kind: str
    rows: str
    response: str
    fixed: str
    family: str = "binomial"
    group: str | None = None
    effects: str = "1"
    refit: bool = False
    reml: bool = False
    points: int | str = 1
    corr: str = ""
    numeric: tuple[str, ...] = ()
    factor: str = ""
    size: int = 0
    short: int = 0
    calls: int = 1
    loglik: float | None = None
    trusted: tuple[str, ...] = ("glmmTMB", "lme4", "glm", "geepack", "statsmodels")

    @property
    def formula(self) -> str:
        """The formula with its random part, as glimm, glmm and lme4 read it."""
        bar = f" + ({self.effects} | {self.group})" if self.kind in ("lmm", "glmm") else ""
        return f"{self.response} ~ {self.fixed}{bar}"


TEN = tuple(f"x{j}" for j in range(1, 11))

# Simulated rows have a size; public data have the log-likelihood that lme4 and glmmTMB agree on.
# fmt: off
TASKS = (
    Task("G1", "logistic GLM, 1e6 rows, 10 numeric + 50 levels", "glm", "logistic", "y", " + ".join((*TEN, "f")),
         numeric=TEN, factor="f", size=1_000_000, short=2_000),
    Task("L1", "LMM, 1e6 rows, 1e5 groups, ML", "lmm", "linear_groups", "y", "x1 + x2", "gaussian", "g",
         size=1_000_000, short=2_000, trusted=("lme4", "glmmTMB")),
    Task("L2", "LMM, Dyestuff (30 rows), REML", "lmm", "dyestuff", "Yield", "1", "gaussian", "Batch",
         reml=True, calls=20, loglik=-159.82714),
    Task("L3", "LMM, sleepstudy (180 rows), intercept and slope, REML", "lmm", "sleepstudy", "Reaction", "Days", "gaussian", "Subject",
         effects="Days", reml=True, calls=20, loglik=-871.814136),
    Task("L3r", "LMM, sleepstudy, refit", "lmm", "sleepstudy", "Reaction", "Days", "gaussian", "Subject",
         effects="Days", refit=True, reml=True, calls=100, loglik=-871.814136),
    Task("L4", "LMM, 1e6 rows, 1e5 groups, intercept and slope, REML", "lmm", "linear_slopes", "y", "x1 + x2", "gaussian", "g",
         effects="1 + x1", reml=True, size=1_000_000, short=2_000, trusted=("lme4", "glmmTMB")),
    Task("M1", "GLMM, Contraception (1,934 rows), Laplace", "glmm", "contraception", "y", "age + I(age**2) + urban + livch",
         group="district", calls=5, loglik=-1186.364291),
    Task("M2", "GLMM, toenail (1,908 rows), Laplace", "glmm", "toenail", "y", "treatment * time", group="patientID",
         calls=5, loglik=-627.808934),
    Task("M2q", "GLMM, toenail, 25 points", "glmm", "toenail", "y", "treatment * time", group="patientID",
         points=25, calls=5, loglik=-625.415894),
    Task("M3", "GLMM, 2e5 rows, 2e4 groups, Laplace", "glmm", "logistic_groups", "y", "x1 + x2 + x3 + x4", group="g",
         size=200_000, short=1_000),
    Task("M4", "GLMM, 2e5 rows, 2e4 groups, intercept and slope, Laplace", "glmm", "logistic_slopes", "y", "x1 + x2 + x3 + x4", group="g",
         effects="1 + x1", size=200_000, short=1_000),
    Task("E1", "GEE, 2e5 rows, 2e4 clusters, exchangeable", "gee", "logistic_serial", "y", "x1 + x2 + x3 + x4", group="g",
         corr="exchangeable", size=200_000, short=1_000),
    Task("E2", "GEE, 2e5 rows, 2e4 clusters, AR(1)", "gee", "logistic_serial", "y", "x1 + x2 + x3 + x4", group="g",
         corr="ar1", size=200_000, short=1_000, trusted=("statsmodels", "geepack")),  # geepack's moment is another: see README
    Task("F1g", "ohio (2,148 rows), GLM", "glm", "ohio", "resp", "age * smoke",
         numeric=("age", "smoke", "age_smoke"), calls=10, loglik=-909.740013),
    Task("F1e", "ohio, GEE exchangeable", "gee", "ohio", "resp", "age * smoke", group="id", corr="exchangeable", calls=10),
    Task("F1m", "ohio, GLMM, 25 points", "glmm", "ohio", "resp", "age * smoke", group="id", points=25, calls=5, trusted=("lme4",)),
    Task("F1a", "ohio, GLMM, points found by glimm", "glmm", "ohio", "resp", "age * smoke", group="id", points="auto", calls=5),
)
# fmt: on


def expit(eta: Any) -> Any:
    """Inverse logit."""
    import numpy as np

    return 1.0 / (1.0 + np.exp(-eta))


def logistic(n: int) -> Any:
    """Independent rows: ten standard normal columns and a factor of 50 levels."""
    import numpy as np
    import pandas as pd

    r = np.random.default_rng(101)
    x = r.standard_normal((n, 10))
    f = r.integers(0, 50, n)
    level = 0.5 * r.standard_normal(50)
    level[0] = 0.0
    y = r.random(n) < expit(-0.5 + x @ np.linspace(-0.5, 0.5, 10) + level[f])
    frame = pd.DataFrame({"y": y.astype(np.int64), **{name: x[:, j] for j, name in enumerate(TEN)}})
    frame["f"] = pd.Categorical.from_codes(f, [f"L{k:02d}" for k in range(50)])
    return frame


def linear_groups(n: int) -> Any:
    """Gaussian response, random intercept of n / 10 groups of unequal size, in random order."""
    import numpy as np
    import pandas as pd

    r = np.random.default_rng(104)
    groups = n // 10
    g = np.concatenate([np.arange(groups), r.integers(0, groups, n - groups)])
    r.shuffle(g)
    x = r.standard_normal((n, 2))
    u = r.standard_normal(groups)
    y = 1.0 + x @ np.array([0.5, -0.3]) + u[g] + r.standard_normal(n)
    return pd.DataFrame({"y": y, "x1": x[:, 0], "x2": x[:, 1], "g": g})


def linear_slopes(n: int) -> Any:
    """Gaussian response, random intercept and slope of x1, correlated, of n / 10 groups of unequal size, in random order."""
    import numpy as np
    import pandas as pd

    r = np.random.default_rng(104)
    groups = n // 10
    g = np.concatenate([np.arange(groups), r.integers(0, groups, n - groups)])
    r.shuffle(g)
    x1, x2 = r.standard_normal(n), r.standard_normal(n)
    u = r.standard_normal((groups, 2)) @ np.linalg.cholesky(np.array([[1.0, 0.15], [0.15, 0.25]])).T
    y = 1.0 + 0.5 * x1 - 0.3 * x2 + u[g, 0] + u[g, 1] * x1 + r.standard_normal(n)
    return pd.DataFrame({"y": y, "x1": x1, "x2": x2, "g": g})


def logistic_groups(n: int) -> Any:
    """Binary response, random intercept of n / 10 groups of ten rows, contiguous."""
    return logistic_responses(n).drop(columns="second")


def logistic_slopes(n: int) -> Any:
    """The predictors of logistic_groups and a second response: random intercept and slope of x1, correlated."""
    frame = logistic_responses(n)
    return frame.drop(columns="second").assign(y=frame["second"])


def logistic_responses(n: int) -> Any:
    """Four predictors, n / 10 groups of ten rows, the response y of logistic_groups and the one of logistic_slopes, `second`."""
    import numpy as np
    import pandas as pd

    r = np.random.default_rng(105)
    g = np.repeat(np.arange(n // 10), 10)
    x = r.standard_normal((n, 4))
    x[:, 3] = r.integers(0, 2, n)
    slopes = np.array([0.5, -0.5, 0.25, 0.8])
    eta = -0.5 + x @ slopes + r.standard_normal(n // 10)[g]
    y = r.random(n) < expit(eta)
    v = r.standard_normal((n // 10, 2)) @ np.linalg.cholesky(np.array([[1.0, 0.2], [0.2, 0.49]])).T
    second = r.random(n) < expit(-0.5 + x @ slopes + v[g, 0] + v[g, 1] * x[:, 0])
    columns = {f"x{j + 1}": x[:, j] for j in range(4)}
    return pd.DataFrame({"y": y.astype(np.int64), "second": second.astype(np.int64), **columns, "g": g})


def logistic_serial(n: int) -> Any:
    """Binary response, n / 10 clusters of ten occasions with a shared and a serially correlated part."""
    import numpy as np
    import pandas as pd

    r = np.random.default_rng(108)
    clusters = n // 10
    g = np.repeat(np.arange(clusters), 10)
    x = r.standard_normal((n, 4))
    x[:, 3] = np.repeat(r.integers(0, 2, clusters), 10)
    noise = r.standard_normal((clusters, 10))
    serial = np.empty((clusters, 10))
    serial[:, 0] = noise[:, 0]
    for k in range(1, 10):
        serial[:, k] = 0.6 * serial[:, k - 1] + 0.8 * noise[:, k]
    latent = 0.9 * serial.ravel() + 0.6 * r.standard_normal(clusters)[g]
    y = r.random(n) < expit(-0.4 + x @ np.array([0.5, -0.4, 0.3, 0.6]) + latent)
    columns = {f"x{j + 1}": x[:, j] for j in range(4)}
    return pd.DataFrame({"y": y.astype(np.int64), **columns, "g": g, "t": np.tile(np.arange(1, 11), clusters)})


def dyestuff(_: int) -> Any:
    import pandas as pd

    return pd.read_csv(PUBLIC / "lme4_Dyestuff.csv", dtype={"Batch": "category", "Yield": float})


def sleepstudy(_: int) -> Any:
    import pandas as pd

    return pd.read_csv(PUBLIC / "lme4_sleepstudy.csv", dtype={"Subject": int, "Reaction": float})


def contraception(_: int) -> Any:
    import pandas as pd

    raw = pd.read_csv(PUBLIC / "mlmRev_Contraception.csv", dtype={"livch": "category", "urban": "category", "district": int})
    return raw.assign(y=(raw["use"] == "Y").astype(int))[["y", "age", "urban", "livch", "district"]]


def toenail(_: int) -> Any:
    import pandas as pd

    raw = pd.read_csv(PUBLIC / "HSAUR3_toenail.csv", dtype={"treatment": "category", "patientID": int})
    return raw.assign(y=(raw["outcome"] == "moderate or severe").astype(int))[["y", "treatment", "time", "patientID"]]


def ohio(_: int) -> Any:
    import pandas as pd

    raw = pd.read_csv(PUBLIC / "geepack_ohio.csv")
    return raw.assign(age_smoke=raw["age"] * raw["smoke"])


MAKERS: dict[str, Callable[[int], Any]] = {
    f.__name__: f
    for f in (
        *(logistic, linear_groups, linear_slopes, logistic_groups, logistic_slopes, logistic_serial),
        *(dyestuff, sleepstudy, contraception, toenail, ohio),
    )
}


def task_of(name: str) -> Task:
    """The task of this name."""
    for task in TASKS:
        if task.name == name:
            return task
    raise SystemExit(f"no task {name!r}; there are {', '.join(t.name for t in TASKS)}, S1")


def stem(task: Task, short: bool) -> Path:
    """The rows' file without its ending."""
    return DATA / (f"{task.rows}_short" if short and task.size else task.rows)


def write_rows(task: Task, short: bool, for_r: bool) -> None:
    """Make the task's rows unless they are there: parquet for Python and, if asked, csv (exact decimals) for R."""
    target = stem(task, short)
    parquet, csv = target.with_suffix(".parquet"), target.with_suffix(".csv")
    if parquet.exists() and (csv.exists() or not for_r):
        return
    DATA.mkdir(exist_ok=True)
    frame = MAKERS[task.rows](task.short if short and task.size else task.size)
    frame.to_parquet(parquet, index=False)
    if for_r:
        frame.to_csv(csv, index=False)


def read_rows(task: Task, short: bool) -> Any:
    """The task's rows as a pandas frame: numbers, integer groups, factors as categories."""
    import pandas as pd

    return pd.read_parquet(stem(task, short).with_suffix(".parquet"))
