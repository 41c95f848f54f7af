"""Which rows were left out: a logistic regression on what is known of them.

logit P(row i lost) = a + x_i'b + c y_before(i) + d y_i; each block tested by z'V^-z, z = sum over clusters of efficient scores.
Source: White (1982), Econometrica 50, 1-25, section 3 (score tests that do not trust the model's variance).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..data.columns import as_factor
from ..data.records import Variable
from ..design.build import build_design
from ..design.predictors import as_levels
from ..design.records import Spec
from ..design.response import response_variables
from ..errors import GlimmError
from ..estimators.control import Control
from ..estimators.glm import fit_glm
from ..family import resolve
from ..inference.covariance import Inference, infer
from ..kernels import mean
from ..kernels.matrix import Bools, Floats, Ints
from ..records import GlmRecord, Record
from ..text import figures
from .occasions import AllRows, as_numbers

EVENTS_EACH = 10
ALMOST_ALL = 0.1
ENOUGH_BEFORE = 1.0 / 3.0
MOST_ROWS = 10_000
MOST_LEVELS = 30
NO_END = 8.0

Block = Literal["predictors", "outside", "before", "same"]
BLOCKS: tuple[Block, ...] = ("predictors", "outside", "before", "same")


@dataclass(frozen=True, slots=True)
class Covariate:
    """One column of the data in the regression.

    block : "predictors" of the fixed part; "outside", a time that is not among them; "before", the last response seen; "same", the
    response of the row itself
    values : (N, k), NaN where unknown; labels, units : (k,) what each coefficient is called and compares
    """

    name: str
    block: Block
    values: Floats
    labels: tuple[str, ...]
    units: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Coefficient:
    """log odds ratio `estimate` of `label`, per `unit`; no standard error where there is no finite estimate."""

    label: str
    unit: str
    block: Block
    estimate: float
    std_error: float

    @property
    def z(self) -> float:
        """Estimate over standard error."""
        return self.estimate / self.std_error if self.std_error > 0.0 else math.nan


@dataclass(frozen=True, slots=True)
class Related:
    """The test of one block given the others: chi2 on df; size : standard deviation of its part of the log odds."""

    chi2: float
    df: int
    p: float
    size: float


@dataclass(frozen=True, slots=True)
class Loss:
    """The regression of one kind of loss.

    kind : "response" missing or "predictors" (other columns) missing; missing : these columns with their numbers of rows
    events : rows lost so; rows, events_used : in the regression; clusters : independent ones with such a row
    coefficients : empty where it cannot be told; blocks : the tests; unused : column -> why it is not in the regression
    """

    kind: Literal["response", "predictors"]
    missing: Mapping[str, int]
    events: int
    rows: int
    events_used: int
    clusters: int
    coefficients: tuple[Coefficient, ...]
    blocks: Mapping[Block, Related]
    unused: Mapping[str, str]


def losses_of(record: Record, rows: AllRows, previous: Ints) -> list[Loss]:
    """One regression for rows whose response is missing and one for rows in which something else is, of those that occur."""
    design = record.design
    inputs = design.inputs
    if inputs is None:
        return []
    of_response = set(response_variables(design.spec.formula))
    columns = [*inputs.variables.items(), *((v.name, v) for v in inputs.arguments.values()), *inputs.columns.items()]
    holes = {name: v.missing for name, v in columns if v.missing is not None and v.missing.any()}
    out: list[Loss] = []
    for kind in ("response", "predictors"):
        mine = {name: mask for name, mask in holes.items() if (name in of_response) == (kind == "response")}
        if not mine:
            continue
        event = np.zeros(rows.n, dtype=np.bool_)
        for mask in mine.values():
            event |= mask
        counts = {name: int(mask.sum()) for name, mask in mine.items()}
        given = _candidates(record, rows, previous, kind == "predictors")
        out.append(regress("response" if kind == "response" else "predictors", event, counts, given, rows))
    return out


def regress(
    kind: Literal["response", "predictors"], event: Bools, counts: Mapping[str, int], given: Sequence[Covariate], rows: AllRows
) -> Loss:
    """The regression with as many of the covariates, in their order, as there are ten clusters with a loss for."""
    at = np.flatnonzero(sample(rows))
    gone = event[at]
    use = np.ones(len(at), dtype=np.bool_)
    unused: dict[str, str] = {}
    kept: list[Covariate] = []
    for c in given:
        if c.values.shape[1] < len(c.labels):
            unused[c.name] = f"more than {MOST_LEVELS} levels"
            continue
        here = replace(c, values=c.values[at])
        unknown: Bools = np.asarray(np.isnan(here.values).any(axis=1), dtype=np.bool_)
        lacking = float(unknown[gone].mean()) if gone.any() else 1.0
        if c.block == "before":
            if lacking > 1.0 - ENOUGH_BEFORE:
                unused[c.name] = "few of these rows have an earlier response"
                continue
        elif max(lacking, float(unknown.mean())) > ALMOST_ALL:
            unused[c.name] = "missing itself"
            continue
        use &= ~unknown
        kept.append(here)
    r = gone[use].astype(np.float64)
    clusters = np.unique(rows.independent[at[use]], return_inverse=True)[1]
    touched, spared = (int(np.count_nonzero(np.bincount(clusters, what))) for what in (r, 1.0 - r)) if len(r) else (0, 0)
    budget = min(touched, spared) // EVENTS_EACH
    chosen: list[Covariate] = []
    width = 0
    for c in kept:
        scaled = _scaled(c, use)
        if scaled is None:
            continue
        if width + len(scaled.labels) > budget:
            unused[c.name] = "too few rows were lost"
            continue
        chosen.append(scaled)
        width += len(scaled.labels)
    empty = Loss(kind, dict(counts), int(event.sum()), len(r), int(r.sum()), touched, (), {}, unused)
    if not chosen:
        return empty
    try:
        coefficients = _coefficients(_fitted(r, chosen, clusters if rows.outer else None), chosen)
        tests = {b: _tested(r, chosen, b, clusters, coefficients) for b in BLOCKS}
    except (GlimmError, np.linalg.LinAlgError):
        return empty
    return replace(empty, coefficients=coefficients, blocks={b: t for b, t in tests.items() if t is not None})


def _candidates(record: Record, rows: AllRows, previous: Ints, same: bool) -> list[Covariate]:
    """What may be in the regression, the most telling first."""
    design = record.design
    name = design.response.name
    out = []
    if same:
        out.append(Covariate(f"{name} of the row", "same", rows.y[:, None], (f"{name} of the row",), ("",)))
    if rows.group:
        earlier = np.where(previous >= 0, rows.y[previous], np.nan)
        out.append(Covariate(f"{name} before", "before", earlier[:, None], (f"{name} before",), ("",)))
    fixed = design.spec.fixed.variables
    if rows.time is not None and rows.time_name not in fixed:
        out.append(Covariate(rows.time_name, "outside", rows.time[:, None], (rows.time_name,), ("",)))
    levels = as_levels(design)
    return out + [_predictor(design.columns[name], name in levels) for name in fixed]


def _predictor(variable: Variable, levels: bool) -> Covariate:
    """A column as numbers, or an indicator for each level but the first."""
    name = variable.name
    if variable.kind == "numeric" and not levels:
        return Covariate(name, "predictors", as_numbers(variable)[:, None], (name,), ("",))
    factor = as_factor(variable)
    assert factor.codes is not None
    counts = np.bincount(factor.codes[factor.codes >= 0], minlength=len(factor.levels))
    there = [j for j in range(len(counts)) if counts[j]]
    if len(there) > MOST_LEVELS:
        return Covariate(name, "predictors", np.zeros((len(factor.codes), 0)), (name,), ("",))
    values = np.column_stack([np.zeros(len(factor.codes)), *(factor.codes == j for j in there[1:])])[:, 1:].astype(np.float64)
    values[factor.codes < 0] = np.nan
    against = f"against {factor.levels[there[0]]}" if there else ""
    return Covariate(name, "predictors", values, tuple(f"{name}[{factor.levels[j]}]" for j in there[1:]), (against,) * len(there[1:]))


def _scaled(c: Covariate, use: Bools) -> Covariate | None:
    """The covariate in the rows used: two values as 0 and 1, others in standard deviations; None where nothing varies."""
    columns, labels, units = [], [], []
    for values, label, unit in zip(c.values[use].T, c.labels, c.units, strict=True):
        if not len(values) or not np.isfinite(values).all() or values.min() == values.max():
            continue
        low, high = float(values.min()), float(values.max())
        if unit or ((values == low) | (values == high)).all():
            columns.append((values - low) / (high - low))
            units.append(unit or f"{high:g} against {low:g}")
        else:
            sd = float(values.std())
            columns.append((values - values.mean()) / sd)
            units.append(f"sd ({figures(sd, 3)})")
        labels.append(label)
    return Covariate(c.name, c.block, np.column_stack(columns), tuple(labels), tuple(units)) if columns else None


def sample(rows: AllRows) -> Bools:
    """(N,) rows of whole clusters, drawn so that about `MOST_ROWS` are in; all where there are no more."""
    if rows.n <= MOST_ROWS:
        return np.ones(rows.n, dtype=np.bool_)
    count = int(rows.independent.max()) + 1
    return np.asarray((np.random.default_rng(1).uniform(size=count) < MOST_ROWS / rows.n)[rows.independent], dtype=np.bool_)


def _fitted(r: Floats, chosen: Sequence[Covariate], clusters: Ints | None) -> Inference:
    """The package's own GLM of r on the columns, c0, c1, ...: its inference, by clusters where there are any."""
    columns = [column for c in chosen for column in c.values.T]
    record, vcov = _logistic(r, columns, clusters)
    return infer(record, vcov)


def _logistic(r: Floats, columns: Sequence[Floats], clusters: Ints | None) -> tuple[GlmRecord, object]:
    family, link = resolve("binomial")
    data: dict[str, NDArray[np.generic]] = {"lost": r, **{f"c{j}": column for j, column in enumerate(columns)}}
    by = () if clusters is None else ("cluster",)
    if clusters is not None:
        data["cluster"] = clusters
    formula = " + ".join(["lost ~ 1", *(f"c{j}" for j in range(len(columns)))])
    record = fit_glm(build_design(Spec("glm", formula, family, link, clusters=by), data), family, Control())
    return record, {"cluster": "cluster"} if by else "model"


def _coefficients(found: Inference, chosen: Sequence[Covariate]) -> tuple[Coefficient, ...]:
    """Log odds ratios of the columns that were kept."""
    told = [(label, unit, c.block) for c in chosen for label, unit in zip(c.labels, c.units, strict=True)]
    at = {name: j for j, name in enumerate(found.names)}
    out = []
    for j, (label, unit, block) in enumerate(told):
        if (k := at.get(f"c{j}")) is not None:
            estimate = float(found.params[k])
            endless = abs(estimate) > NO_END or not math.isfinite(float(found.bse[k]))
            out.append(Coefficient(label, unit, block, estimate, math.nan if endless else float(found.bse[k])))
    return tuple(out)


def _tested(r: Floats, chosen: Sequence[Covariate], block: Block, clusters: Ints, coefficients: Sequence[Coefficient]) -> Related | None:
    """The score test of a block given the other columns, from the fit without it; None where there is no such block."""
    extra = [column for c in chosen if c.block == block for column in c.values.T]
    if not extra:
        return None
    rest = [column for c in chosen if c.block != block for column in c.values.T]
    null, _ = _logistic(r, rest, None)
    mu = np.asarray(mean(null.design.mean.link.kernel, null.eta)[0])
    root = np.sqrt(mu * (1.0 - mu))[:, None]
    base, wanted = np.column_stack([np.ones(len(r)), *rest]), np.column_stack(extra)
    wanted = wanted - base @ np.linalg.lstsq(base * root, wanted * root, rcond=1e-10)[0]
    scores = np.column_stack([np.bincount(clusters, column * (r - mu)) for column in wanted.T])
    values, vectors = np.linalg.eigh(scores.T @ scores)
    kept = values > 1e-10 * max(float(values[-1]), 0.0)
    df = int(kept.sum())
    if not df or not values[-1] > 0.0:
        return None
    chi2 = float(np.sum((vectors[:, kept].T @ scores.sum(axis=0)) ** 2 / values[kept]))
    from scipy.special import chdtrc

    shown = {c.label: min(max(c.estimate, -NO_END), NO_END) for c in coefficients if c.block == block}
    parts = [shown.get(label, 0.0) * column for c in chosen if c.block == block for label, column in zip(c.labels, c.values.T, strict=True)]
    return Related(chi2, df, float(chdtrc(df, chi2)), float(np.sum(parts, axis=0).std()))
