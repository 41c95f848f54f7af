"""The tasks: what is fitted to which rows, as small frozen records; the rows are made once, seeded, and kept in benchmarks/data/.

A task says the model in words that every adapter understands (response, fixed part, random terms, family, points, working
correlation); it knows no peer but the ones that are asked and the ones whose log-likelihood is taken as the reference.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from .rows import FACTORS, MAKERS, RATED, SIXTY, TEN

DATA = Path(__file__).resolve().parent / "data"


@dataclass(frozen=True, slots=True)
class Task:
    """One model on one set of rows.

    offset : a column that is added to the linear predictor with coefficient 1
    random : pairs (effects, group), each what varies over the levels of a group, correlated ("1": an intercept; "a:b": pairs of levels)
    clusters : the column of a GEE
    ask : "effect x" (everybody at x = 1 against x = 0) or "slope x": the call asks this of the model fitted before the clock started
    refit, bootstrap : the call refits the model fitted before the clock started: to the same response, or to that many simulated ones
    rows : name of a maker in MAKERS; size : rows of a simulated set (0 for public data); short : rows in the short form
    calls : fits in one timed call (more than 1 for fits of milliseconds)
    load : which of the limits in CPU seconds a call has: "usual", "heavy" or "huge"
    by_name : run only where it is asked for by its whole name (and in the short form)
    peers : who is asked (empty: all that have the kind)
    loglik : known value, or None: then the first of `trusted` that answers is the reference
    """

    name: str
    title: str
    kind: str
    rows: str
    response: str
    fixed: str
    family: str = "binomial"
    random: tuple[tuple[str, str], ...] = ()
    clusters: str = ""
    offset: str = ""
    refit: bool = False
    bootstrap: int = 0
    ask: str = ""
    reml: bool = False
    points: int | str = 1
    corr: str = ""
    numeric: tuple[str, ...] = ()
    factors: tuple[str, ...] = ()
    size: int = 0
    short: int = 0
    calls: int = 1
    load: str = "usual"
    by_name: bool = False
    peers: tuple[str, ...] = ()
    loglik: float | None = None
    trusted: tuple[str, ...] = ("glmmTMB", "lme4", "glm", "geepack", "statsmodels")

    @property
    def formula(self) -> str:
        """The formula with its random part, as glimm, glmm, mixedlm and the R packages read it."""
        bars = "".join(f" + ({effects} | {group})" for effects, group in self.random)
        return f"{self.response} ~ {self.fixed}{bars}"

    @property
    def by_coefficients(self) -> bool:
        """Whether answers are compared by coefficients: packages mean different log-likelihoods where a dispersion is estimated."""
        return self.kind == "gee" or bool(self.ask) or self.family in ("gamma", "tweedie(1.5)")

    @property
    def single(self) -> tuple[str, str] | None:
        """Effects and group of the only random term, None if there are several."""
        return self.random[0] if len(self.random) == 1 else None


def intercepts(*groups: str) -> tuple[tuple[str, str], ...]:
    """A random intercept for each group."""
    return tuple(("1", group) for group in groups)


VERBAGG = ("Anger", "Gender", "btype", "situ")
TWO_WAY = " + ".join((*VERBAGG, *(":".join(pair) for pair in combinations(VERBAGG, 2))))
TWO_FACTORS = ("glimm", "glmm", "gpboost", "glmmTMB")
CROSSED = ("glimm", "glmm", "gpboost_it", "gpboost", "mixedlm", "lme4", "glmmTMB")
NESTED = ("glimm", "glmm", "mixedlm", "lme4")
RATING = ("glimm", "glum")

# Simulated rows have a size. Log-likelihoods are values that lme4 and glmmTMB agree on, or that glmmTMB gives where lme4 stops short.
# fmt: off
TASKS = (
    Task("G1", "logistic GLM, 1e6 rows, 10 numeric + 50 levels", "glm", "logistic", "y", " + ".join((*TEN, "f")),
         numeric=TEN, factors=("f",), size=1_000_000, short=2_000),
    Task("G2", "logistic GLM, 1e6 rows, 60 numeric", "glm", "logistic_wide", "y", " + ".join(SIXTY), numeric=SIXTY, size=1_000_000,
         short=4_000),
    Task("I1", "claims, Poisson GLM, 6e5 rows, 24 numeric and 6 factors", "glm", "insurance", "claims", " + ".join((*RATED, *FACTORS)),
         "poisson", offset="log_exposure", numeric=RATED, factors=FACTORS, size=600_000, short=40_000, peers=RATING),
    Task("I2", "severity, gamma GLM, the same rows", "glm", "insurance", "severity", " + ".join((*RATED, *FACTORS)),
         "gamma", offset="log_exposure", numeric=RATED, factors=FACTORS, size=600_000, short=40_000, peers=RATING),
    Task("I3", "cost, Tweedie GLM of power 1.5, the same rows", "glm", "insurance", "cost", " + ".join((*RATED, *FACTORS)),
         "tweedie(1.5)", offset="log_exposure", numeric=RATED, factors=FACTORS, size=600_000, short=40_000, peers=RATING),
    Task("L1", "LMM, 1e6 rows, 1e5 groups, ML", "lmm", "linear_groups", "y", "x1 + x2", "gaussian", intercepts("g"),
         size=1_000_000, short=2_000, trusted=("lme4", "glmmTMB")),
    Task("L2", "LMM, Dyestuff (30 rows), REML", "lmm", "dyestuff", "Yield", "1", "gaussian", intercepts("Batch"),
         reml=True, calls=20, loglik=-159.82714),
    Task("L3", "LMM, sleepstudy (180 rows), intercept and slope, REML", "lmm", "sleepstudy", "Reaction", "Days", "gaussian",
         (("Days", "Subject"),), reml=True, calls=20, loglik=-871.814136),
    Task("L3r", "LMM, sleepstudy, refit", "lmm", "sleepstudy", "Reaction", "Days", "gaussian",
         (("Days", "Subject"),), refit=True, reml=True, calls=100, loglik=-871.814136),
    Task("L4", "LMM, 1e6 rows, 1e5 groups, intercept and slope, REML", "lmm", "linear_slopes", "y", "x1 + x2", "gaussian",
         (("1 + x1", "g"),), reml=True, size=1_000_000, short=2_000, trusted=("lme4", "glmmTMB")),
    Task("M1", "GLMM, Contraception (1,934 rows), Laplace", "glmm", "contraception", "y", "age + I(age**2) + urban + livch",
         random=intercepts("district"), calls=5, loglik=-1186.364291),
    Task("M2", "GLMM, toenail (1,908 rows), Laplace", "glmm", "toenail", "y", "treatment * time", random=intercepts("patientID"),
         calls=5, loglik=-627.808934),
    Task("M2q", "GLMM, toenail, 25 points", "glmm", "toenail", "y", "treatment * time", random=intercepts("patientID"),
         points=25, calls=5, loglik=-625.415894),
    Task("M3", "GLMM, 2e5 rows, 2e4 groups, Laplace", "glmm", "logistic_groups", "y", "x1 + x2 + x3 + x4", random=intercepts("g"),
         size=200_000, short=1_000),
    Task("M4", "GLMM, 2e5 rows, 2e4 groups, intercept and slope, Laplace", "glmm", "logistic_slopes", "y", "x1 + x2 + x3 + x4",
         random=(("1 + x1", "g"),), size=200_000, short=1_000),
    Task("C1", "InstEval (73,421 rows), LMM, three terms, ML", "lmm", "insteval", "y", "service", "gaussian",
         intercepts("s", "d", "dept:service"), peers=("glimm", "glmm", "gpboost", "mixedlm_rs", "mixedlm", "lme4"), loglik=-118825.891359),
    Task("C2", "VerbAgg (7,584 rows), crossed logistic, all two-way interactions, Laplace", "glmm", "verbagg", "y", TWO_WAY,
         random=intercepts("id", "item"), peers=TWO_FACTORS, loglik=-4062.090872),
    Task("C3", "crossed logistic, 1e5 rows, 2,000 x 500 levels, Laplace", "glmm", "crossed", "y", "x1 + x2 + x3",
         random=intercepts("a", "b"), size=100_000, short=2_000, load="heavy", peers=TWO_FACTORS, loglik=-56254.504072),
    Task("K1", "crossed logistic, 1e6 rows, 50,000 x 5,000 levels, Laplace", "glmm", "crossed_many", "y", "x1 + x2 + x3",
         random=intercepts("a", "b"), size=1_000_000, short=2_000, load="huge", peers=CROSSED, loglik=-578603.085333),
    Task("K2", "crossed LMM, the same rows, ML", "lmm", "crossed_many", "z", "x1 + x2 + x3", "gaussian",
         intercepts("a", "b"), size=1_000_000, short=2_000, load="huge", peers=CROSSED),
    Task("K3", "crossed logistic, 3e5 rows, 30,000 persons x 3,000 firms, few moves, Laplace", "glmm", "low_mobility", "y", "x1 + x2 + x3",
         random=intercepts("person", "firm"), size=300_000, short=2_000, load="huge", peers=CROSSED),
    Task("K4", "crossed LMM, 1e7 rows, 500,000 x 50,000 levels, ML", "lmm", "crossed_more", "z", "x", "gaussian",
         intercepts("a", "b"), size=10_000_000, short=2_000, load="huge", by_name=True, peers=("glimm", "gpboost_it")),
    Task("K5", "crossed Poisson, the rows of K1, Laplace", "glmm", "crossed_many", "count", "x1 + x2 + x3", "poisson",
         intercepts("a", "b"), size=1_000_000, short=2_000, load="huge", peers=CROSSED),
    Task("K6", "crossed logistic, 4e5 ratings, two by each of 200,000 users, 5,000 items, Laplace", "glmm", "two_ratings", "y", "x",
         random=intercepts("user", "item"), size=400_000, short=2_000, load="huge", peers=CROSSED),
    Task("C4", "grouseticks (403 rows), Poisson, three terms, Laplace", "glmm", "grouseticks", "TICKS", "YEAR + cHEIGHT", "poisson",
         intercepts("BROOD", "INDEX", "LOCATION"), calls=5, peers=TWO_FACTORS, loglik=-890.271330),
    Task("C5", "grouseticks, negative binomial (NB2), two terms, Laplace", "glmm", "grouseticks", "TICKS", "YEAR + cHEIGHT",
         "negative_binomial", intercepts("BROOD", "LOCATION"), calls=5, peers=TWO_FACTORS, loglik=-888.908426),
    Task("V1", "VerbAgg, crossed logistic, 3 and 2 effects, Laplace", "glmm", "verbagg", "y", " + ".join(VERBAGG),
         random=(("1 + btype", "id"), ("1 + Gender", "item")), peers=TWO_FACTORS, loglik=-3934.541848),
    Task("V2", "crossed logistic, 1e5 rows, slopes on 2,000 x 500 levels, Laplace", "glmm", "crossed_slopes", "y", "x + z",
         random=(("1 + x", "a"), ("1 + x", "b")), size=100_000, short=2_000, load="heavy", peers=TWO_FACTORS, loglik=-57357.990146),
    Task("N1", "LMM, 1e6 rows, pupils in classes in schools, ML", "lmm", "nested", "y1", "x1 + x2", "gaussian",
         intercepts("school", "cl", "pupil"), size=1_000_000, short=2_000, load="heavy", peers=NESTED, loglik=-1571740.616916),
    Task("N2", "LMM, 1e6 rows, pupils in classes in schools, slope by class, ML", "lmm", "nested", "y2", "x1 + x2", "gaussian",
         (("1", "school"), ("1 + x1", "cl"), ("1", "pupil")), size=1_000_000, short=2_000, load="heavy", peers=NESTED,
         loglik=-1580956.975597),
    Task("B1", "sleepstudy, 1,000 fits of a parametric bootstrap, REML", "lmm", "sleepstudy", "Reaction", "Days", "gaussian",
         (("Days", "Subject"),), bootstrap=1000, reml=True, load="heavy", peers=("glimm", "lme4"), trusted=("lme4",)),
    Task("E1", "GEE, 2e5 rows, 2e4 clusters, exchangeable", "gee", "logistic_serial", "y", "x1 + x2 + x3 + x4", clusters="g",
         corr="exchangeable", size=200_000, short=1_000),
    Task("E2", "GEE, 2e5 rows, 2e4 clusters, AR(1)", "gee", "logistic_serial", "y", "x1 + x2 + x3 + x4", clusters="g",
         corr="ar1", size=200_000, short=1_000, trusted=("statsmodels", "geepack")),  # geepack's moment is another: see README
    Task("E3", "GEE, 2e5 rows, 2e4 clusters, 10 waves, unstructured", "gee", "logistic_serial", "y", "x1 + x2 + x3 + x4", clusters="g",
         corr="unstructured", size=200_000, short=1_000),
    Task("E4", "GEE, 2e6 rows, 2e5 clusters, exchangeable", "gee", "logistic_serial_more", "y", "x1 + x2 + x3 + x4", clusters="g",
         corr="exchangeable", size=2_000_000, short=2_000, load="heavy", peers=("glimm", "geepack", "gee")),
    Task("A1", "average effect in a fitted logistic GLM, 1e5 rows, 10 numeric + 50 levels", "glm", "logistic_fewer", "y",
         " + ".join((*TEN, "f")), ask="effect x1", size=100_000, short=2_000, peers=("glimm", "marginaleffects"),
         trusted=("marginaleffects",)),
    Task("A2", "average slope in the same fit", "glm", "logistic_fewer", "y", " + ".join((*TEN, "f")), ask="slope x1", size=100_000,
         short=2_000, peers=("glimm", "marginaleffects", "statsmodels"), trusted=("statsmodels", "marginaleffects")),
    Task("A3", "risk difference in a fitted GLM, ohio (2,148 rows)", "glm", "ohio", "resp", "age * smoke", ask="effect smoke", calls=10,
         peers=("glimm", "marginaleffects"), trusted=("marginaleffects",)),
    Task("F1g", "ohio (2,148 rows), GLM", "glm", "ohio", "resp", "age * smoke",
         numeric=("age", "smoke", "age_smoke"), calls=10, loglik=-909.740013),
    Task("F1e", "ohio, GEE exchangeable", "gee", "ohio", "resp", "age * smoke", clusters="id", corr="exchangeable", calls=10),
    Task("F1m", "ohio, GLMM, 25 points", "glmm", "ohio", "resp", "age * smoke", random=intercepts("id"), points=25, calls=5,
         trusted=("lme4",)),
    Task("F1a", "ohio, GLMM, points found by glimm", "glmm", "ohio", "resp", "age * smoke", random=intercepts("id"), points="auto",
         calls=5),
)
# fmt: on


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
    if not parquet.exists():
        frame.to_parquet(parquet, index=False)
    if for_r:
        frame.to_csv(csv, index=False)


def read_rows(task: Task, short: bool) -> Any:
    """The task's rows as a pandas frame: numbers, integer groups, factors as categories."""
    import pandas as pd

    return pd.read_parquet(stem(task, short).with_suffix(".parquet"))
