"""Average effects by g-computation: predict everybody with x = x1 and with x = x0, average, contrast.

difference A1 - A0; ratio A1 / A0, on the log scale; odds ratio, on the scale of log A / (1 - A). Var = g' J V J' g, J the averages'
gradients, V the covariance of (beta, theta, psi); or sum_c psi_c^2 where the rows are a sample of clusters; or from resampled clusters.
Source: Robins (1986), Math. Modelling 7, 1393-1512; Norton, Dowd and Maciejewski (2019), JAMA 321, 1304-1305 (odds ratios).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..design.replay import Population
from ..errors import GlimmError, GlimmWarning
from ..inference.covariance import Inference, joint_covariance
from ..inference.influence import row_influence
from ..inference.known_clusters import Joint, joint
from ..inference.wald import p_values, quantile
from ..kernels.matrix import Floats
from ..records import AnyRecord, Averaged, MixedRecord, PartsRecord
from .averages import Averages, Cells, Quantity, averages, influence
from .intervals import around
from .parts import estimated
from .population import Groups, Wish, group_rows, observed, open_population
from .predict import untold_words
from .resample import resampled
from .settings import Contrast, Value, contrasts, derivative, grid, moved_to

CONTRASTS = ("difference", "ratio", "odds_ratio")
STEEPEST = 1e150
"""A slope in an average whose square is a number."""
Columns = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Estimated:
    """Averages of S quantities in G subgroups, with their covariance inside each subgroup.

    values : (S, G); cov : (G, S, S); draws : (B, S, G) of resampled clusters, or None
    gradient : (S, G, p) in the working coefficients where averages are linear in them and contrasts have degrees of freedom of their own
    """

    values: Floats
    cov: Floats
    draws: Floats | None = None
    gradient: Floats | None = None


def effect(record: Averaged, inference: Inference, variable: str, contrast: str, values: Any, wish: Wish) -> Columns:
    """Columns of the table of average effects; raises GlimmError for what cannot be asked."""
    if contrast not in CONTRASTS:
        raise GlimmError(f"effect: contrast must be one of {', '.join(CONTRASTS)}, not {contrast!r}")
    population = open_population(record, wish)
    asked = contrasts(record.design, population, variable, values)
    groups, picked = contrast_cells(record, population, asked, variable, wish)
    places: dict[Any, int] = {}
    quantities: list[Quantity] = []
    for value in (v for c in asked for v in (c.old, c.new)):
        if value.key not in places:
            places[value.key] = len(quantities)
            quantities.append(moved_to(variable, value))
    found = estimate(record, inference, population, quantities, groups.cells, wish)
    rows = []
    for c, cells in zip(asked, picked, strict=True):
        rows += [(c, g, places[c.old.key], places[c.new.key]) for g in cells]
    if not rows:
        raise GlimmError(f"effect: no row has the value of {variable!r} that population={wish.population!r} asks for")
    cell, before, after = (np.array([row[k] for row in rows]) for k in (1, 2, 3))
    df: float | Floats | None = inference.common_df
    if found.gradient is not None and contrast == "difference":
        df = inference.df_of(found.gradient[after, cell] - found.gradient[before, cell])
    made = contrasted(found, (cell, before, after), contrast, df, wish.level)
    about = [named(c, contrast) for c, _, _, _ in rows]
    first = {"variable": [variable] * len(rows), "contrast": about, "target": [wish.target] * len(rows)}
    rest = {
        **made,
        "mean_from": found.values[before, cell],
        "mean_to": found.values[after, cell],
        "rows": groups.cells.rows[cell],
    }
    return {**first, **renamed(groups.columns(cell.tolist()), {*first, *rest}), **rest}


def slope(record: Averaged, inference: Inference, variable: str, wish: Wish) -> Columns:
    """Columns of the table of average derivatives of the mean."""
    population = open_population(record, wish)
    groups = group_rows(record, population, wish)
    quantity = derivative(record.design, population, variable)
    found = estimate(record, inference, population, [quantity], groups.cells, wish)
    count = groups.cells.count
    first = {"variable": [variable] * count, "contrast": [f"d mean / d {variable}"] * count, "target": [wish.target] * count}
    rest = {
        **tested(
            found.values[0], errors_of(found)[0], None if found.draws is None else found.draws[:, 0], df_of(found, inference), wish.level
        ),
        "rows": groups.cells.rows,
    }
    return {**first, **renamed(groups.columns(range(count)), {*first, *rest}), **rest}


def means(record: Averaged, inference: Inference, asked: Mapping[str, Any], wish: Wish) -> Columns:
    """Columns of the table of averages, at every combination of the values asked for; at the rows' own values where none are."""
    population = open_population(record, wish)
    groups = group_rows(record, population, wish)
    combinations = grid(record.design, population, asked)
    found = estimate(record, inference, population, [quantity for _, quantity in combinations], groups.cells, wish)
    count = groups.cells.count
    draws = None if found.draws is None else found.draws.reshape(len(found.draws), -1)
    places = [(values, g) for values, _ in combinations for g in range(count)]
    named_values = {name: [values[j].value for values, _ in places] for j, name in enumerate(asked)}
    rest = {
        **on_link(record, found.values.ravel(), errors_of(found).ravel(), draws, quantile(wish.level, df_of(found, inference)), wish.level),
        "rows": groups.cells.rows[[g for _, g in places]],
    }
    own = renamed(named_values, {"target", *rest})
    by = renamed(groups.columns([g for _, g in places]), {"target", *own, *rest})
    return {**own, "target": [wish.target] * len(places), **by, **rest}


def renamed(columns: Columns, taken: set[str]) -> Columns:
    """Columns called as before, with underscores at the end of a name that is taken.

    >>> list(renamed({"rows": [1], "age": [2], "rows_": [3]}, {"rows"}))
    ['rows_', 'age', 'rows__']
    """
    out: Columns = {}
    for name, values in columns.items():
        while name in taken or name in out:
            name += "_"
        out[name] = values
    return out


def df_of(found: Estimated, inference: Inference) -> float | Floats | None:
    """Degrees of freedom of the averages, (S G,) where they differ."""
    if found.gradient is None:
        return inference.common_df
    return inference.df_of(found.gradient.reshape(-1, found.gradient.shape[2]))


def errors_of(found: Estimated) -> Floats:
    """(S, G) standard errors."""
    return np.asarray(np.sqrt(np.maximum(np.einsum("gss->sg", found.cov), 0.0)))


def asked_of(variables: Any) -> dict[str, Any]:
    """Predictors with the values that they are set to, None for all levels."""
    if variables is None:
        return {}
    if isinstance(variables, str):
        return {variables: None}
    if isinstance(variables, Mapping):
        return dict(variables)
    if isinstance(variables, tuple | list) and all(isinstance(name, str) for name in variables):
        return dict.fromkeys(variables)
    raise GlimmError(f"means: variables must be a name, a list of names, or a dict of values by name, not {variables!r}")


def estimate(
    record: Averaged, inference: Inference, population: Population, quantities: Sequence[Quantity], cells: Cells, wish: Wish
) -> Estimated:
    """The averages with the errors that are asked for."""
    if isinstance(record, PartsRecord):
        found, cov = estimated(record, inference, population, quantities, cells, wish)
        if found.untold:
            warnings.warn(f"{wish.asked}: {untold_words(record, found.untold)}", GlimmWarning, stacklevel=4)
        return Estimated(found.values, cov)
    known = joint(record) if wish.target == "conditional" and isinstance(record, MixedRecord) else None
    found = averages(record, population, quantities, cells, wish.target, means=wish.errors == "sampled", known=known)
    draws = None
    if wish.errors == "bootstrap":
        draws = resampled(record, inference, population, quantities, cells, wish)
        left = draws - draws.mean(axis=0)
        cov = np.einsum("bsg,btg->gst", left, left) / (len(draws) - 1.0)
    elif wish.errors == "sampled":
        each = influence(found, cells, *row_influence(record, inference))
        cov = np.einsum("sgk,tgk->gst", each, each)
    elif known is not None and isinstance(record, MixedRecord):
        cov = of_known(record, inference, found, known)
    else:
        cov = _by_delta(found.gradient, joint_covariance(record, inference))
    if found.untold:
        warnings.warn(f"{wish.asked}: {untold_words(record, found.untold)}", GlimmWarning, stacklevel=4)
    straight = inference.degrees is not None and record.design.mean.link.name == "identity" and wish.errors == "delta"
    return Estimated(found.values, cov, draws, found.gradient if straight else None)


def _by_delta(gradient: Floats, cov: Floats) -> Floats:
    """(G, S, S) g V g' of gradients (S, G, P); NaN where the square of a standard error is beyond the numbers."""
    largest = np.abs(gradient).max(initial=0.0) * np.sqrt(np.abs(cov[np.isfinite(cov)]).max(initial=0.0))
    if not largest < STEEPEST:
        return np.full((gradient.shape[1], len(gradient), len(gradient)), np.nan)
    return np.asarray(np.einsum("sgp,pq,tgq->gst", gradient, cov, gradient, optimize=True))


def of_known(record: MixedRecord, inference: Inference, found: Averages, known: Joint) -> Floats:
    """(G, S, S) l V l' + (g + l D) C (g + l D)', given theta: g in beta, l in the clusters' effects, whose errors go together."""
    size, count = found.values.shape
    out = np.empty((count, size, size))
    along = np.stack([found.gradient[s, :, : record.blocks["mean"].stop] + load @ known.d for s, load in enumerate(found.loads)])
    for s, load in enumerate(found.loads):
        spread = load @ known.v
        for t, other in enumerate(found.loads):
            out[:, s, t] = np.asarray(other.multiply(spread).sum(axis=1)).ravel()
    return np.asarray(out + np.einsum("sgp,pq,tgq->gst", along, inference.work, along, optimize=True))


def named(c: Contrast, contrast: str) -> str:
    """1 - 0; 1 / 0; odds(1) / odds(0)."""
    if contrast == "difference":
        return f"{_bracketed(c.new)} - {_bracketed(c.old)}"
    if contrast == "ratio":
        return f"{_bracketed(c.new)} / {_bracketed(c.old)}"
    return f"odds({c.new.label}) / odds({c.old.label})"


def _bracketed(value: Value) -> str:
    return f"({value.label})" if value.value is None and " " in value.label else value.label


def contrasted(found: Estimated, which: tuple[Any, Any, Any], contrast: str, df: float | Floats | None, level: float) -> Columns:
    """estimate, std_error, statistic, p_value, conf_low, conf_high of contrasts of averages.

    which : (r,) subgroup, quantity from, quantity to. Ratios: statistic and limits on the log scale, std_error = estimate times its log's
    """
    cell, old, new = which
    a, c = found.values[new, cell], found.values[old, cell]
    to_scale, slopes = _scale(contrast, a, c)
    g, h = (np.where(np.abs(slope) < STEEPEST, slope, np.nan) for slope in slopes)
    own, other, both = found.cov[cell, new, new], found.cov[cell, old, old], found.cov[cell, new, old]
    variance = g**2 * own + h**2 * other + 2.0 * g * h * both
    se = np.sqrt(np.where(variance > -1e-12 * (g**2 * own + h**2 * other), np.maximum(variance, 0.0), np.nan))
    middle = to_scale(a, c)
    draws = None
    if found.draws is not None:
        with np.errstate(divide="ignore", invalid="ignore"):  # a drawn average of 0 has no log: its ratio is without end
            draws = to_scale(found.draws[:, new, cell], found.draws[:, old, cell])
            se = draws.std(axis=0, ddof=1)
    made = tested(middle, se, draws, df, level)
    if contrast == "difference":
        return made
    with np.errstate(over="ignore", invalid="ignore"):  # an interval without end
        estimate = np.exp(middle)
        low, high = np.exp(made["conf_low"]), np.exp(made["conf_high"])
        return {**made, "estimate": estimate, "std_error": estimate * se, "conf_low": low, "conf_high": high}


def tested(estimate: Floats, se: Floats, draws: Floats | None, df: float | Floats | None, level: float) -> Columns:
    """Estimates tested against zero, with limits: normal or t, or percentiles of the draws."""
    half = quantile(level, df) * se
    low, high = (estimate - half, estimate + half) if draws is None else percentiles(draws, level)
    with np.errstate(divide="ignore", invalid="ignore"):
        statistic = estimate / se
    names = ("estimate", "std_error", "statistic", "p_value", "conf_low", "conf_high")
    return dict(zip(names, (estimate, se, statistic, p_values(statistic, df), low, high), strict=True))


def percentiles(draws: Floats, level: float) -> tuple[Floats, Floats]:
    """(r,) limits of (B, r) draws."""
    low, high = np.quantile(draws, [0.5 - 0.5 * level, 0.5 + 0.5 * level], axis=0)
    return low, high


def _scale(contrast: str, a: Floats, c: Floats) -> tuple[Callable[[Floats, Floats], Floats], tuple[Floats, Floats]]:
    """The scale on which a contrast is normal, and its derivatives in the two averages."""
    if contrast == "difference":
        return lambda x, y: x - y, (np.ones_like(a), -np.ones_like(c))
    if contrast == "ratio":
        _positive(a, c, np.inf, "a ratio of averages", "averages above zero")
        return lambda x, y: np.log(x) - np.log(y), (1.0 / a, -1.0 / c)
    _positive(a, c, 1.0, "an odds ratio", "averages between 0 and 1")
    return lambda x, y: np.log(x / (1.0 - x)) - np.log(y / (1.0 - y)), (1.0 / (a * (1.0 - a)), -1.0 / (c * (1.0 - c)))


def _positive(a: Floats, c: Floats, top: float, what: str, needs: str) -> None:
    wrong = [float(v) for v in (*a, *c) if not 0.0 < v < top]
    if wrong:
        other = " or 'ratio'" if top == 1.0 and min(wrong) > 0.0 else ""
        raise GlimmError(f"effect: {what} needs {needs}, and one is {wrong[0]:.4g}: use contrast='difference'{other}")


def on_link(record: Averaged, estimate: Floats, se: Floats, draws: Floats | None, q: float | Floats, level: float) -> Columns:
    """Averages of means, with the interval of g(average), which stays where means are."""
    low, high = around(record.design.mean.link, estimate, q * se) if draws is None else percentiles(draws, level)
    return {"estimate": estimate, "std_error": se, "conf_low": low, "conf_high": high}


def contrast_cells(
    record: AnyRecord, population: Population, asked: tuple[Contrast, ...], variable: str, wish: Wish
) -> tuple[Groups, list[Sequence[int]]]:
    """Groups of rows, and those that each contrast is averaged over: all of them, or those whose own value it starts from or goes to."""
    if not isinstance(wish.population, str) or wish.population == "all":
        groups = group_rows(record, population, wish)
        return groups, [range(groups.cells.count)] * len(asked)
    if any(c.new.value is None for c in asked):
        raise GlimmError(
            f"effect: population={wish.population!r} needs levels of {variable!r} to be treated with: give a pair, values=(from, to)"
        )
    codes, levels = observed(population, variable)
    groups = group_rows(record, population, wish, (codes, len(levels)))
    side = [c.new.value if wish.population == "treated" else c.old.value for c in asked]
    of = codes[groups.first]
    return groups, [[g for g in range(groups.cells.count) if levels[of[g]] == value] for value in side]
