"""Average effects by g-computation: predict everybody with x = x1 and with x = x0, average, contrast.

difference A1 - A0; ratio A1 / A0, on the log scale; odds ratio, on the scale of log A / (1 - A). Var = g' J V J' g, J the averages'
gradients, V the covariance of (beta, theta, psi); or sum_c psi_c^2 where the rows are a sample of clusters; or from resampled clusters.
Source: Robins (1986), Math. Modelling 7, 1393-1512; Norton, Dowd and Maciejewski (2019), JAMA 321, 1304-1305 (odds ratios).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..design.replay import Population
from ..errors import GlimmError
from ..inference.covariance import Inference, joint_covariance
from ..inference.influence import row_influence
from ..inference.wald import p_values, quantile
from ..kernels import link as link_eta
from ..kernels import mean
from ..kernels.matrix import Floats
from ..records import Record
from .averages import Cells, Quantity, averages, influence
from .population import Groups, Wish, group_rows, observed, open_population
from .resample import resampled
from .settings import Contrast, Value, contrasts, derivative, grid, moved_to

CONTRASTS = ("difference", "ratio", "odds_ratio")
Columns = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Estimated:
    """Averages with their covariance.

    values : (A,) one after the other; cov : (A, A); draws : (B, A) of resampled clusters, or None
    """

    values: Floats
    cov: Floats
    draws: Floats | None


def effect(record: Record, inference: Inference, variable: str, contrast: str, values: Any, wish: Wish) -> Columns:
    """Columns of the table of average effects; raises GlimmError for what cannot be asked."""
    if contrast not in CONTRASTS:
        raise GlimmError(f"effect: contrast must be one of {', '.join(CONTRASTS)}, not {contrast!r}")
    if not isinstance(variable, str):
        raise GlimmError(f"effect: the variable must be the name of a predictor, not {type(variable).__name__}")
    population = open_population(record, wish, "effect")
    asked = contrasts(record.design, population, variable, values)
    groups, picked = _cells(record, population, asked, variable, wish)
    places: dict[str, int] = {}
    quantities: list[Quantity] = []
    for value in (v for c in asked for v in (c.old, c.new)):
        if value.label not in places:
            places[value.label] = len(quantities)
            quantities.append(moved_to(variable, value))
    found = estimate(record, inference, population, quantities, groups.cells, wish)
    rows = []
    for c, cells in zip(asked, picked, strict=True):
        for g in cells:
            old, new = (places[v.label] * groups.cells.count + g for v in (c.old, c.new))
            rows.append((c, g, old, new))
    if not rows:
        raise GlimmError(f"effect: no row has the value of {variable!r} that population={wish.population!r} asks for")
    before, after = (np.array([row[k] for row in rows]) for k in (2, 3))
    made = contrasted(found, before, after, contrast, inference.df, wish.level)
    sizes = groups.cells.rows[[g for _, g, _, _ in rows]]
    return {
        "variable": [variable] * len(rows),
        "contrast": [named(c, contrast) for c, _, _, _ in rows],
        "target": [wish.target] * len(rows),
        **groups.columns([g for _, g, _, _ in rows]),
        **made,
        "mean_from": found.values[before],
        "mean_to": found.values[after],
        "rows": sizes,
    }


def slope(record: Record, inference: Inference, variable: str, wish: Wish) -> Columns:
    """Columns of the table of average derivatives of the mean."""
    population = open_population(record, wish, "slope")
    groups = group_rows(record, population, wish, "slope")
    quantity = derivative(record.design, population, variable)
    found = estimate(record, inference, population, [quantity], groups.cells, wish)
    count = groups.cells.count
    return {
        "variable": [variable] * count,
        "contrast": [f"d mean / d {variable}"] * count,
        "target": [wish.target] * count,
        **groups.columns(range(count)),
        **plain(found, inference.df, wish.level),
        "rows": groups.cells.rows,
    }


def means(record: Record, inference: Inference, asked: Mapping[str, Any], wish: Wish) -> Columns:
    """Columns of the table of averages, at every combination of the values asked for; at the rows' own values where none are."""
    population = open_population(record, wish, "means")
    groups = group_rows(record, population, wish, "means")
    combinations = grid(record.design, population, asked)
    found = estimate(record, inference, population, [quantity for _, quantity in combinations], groups.cells, wish)
    count = groups.cells.count
    places = [(values, g) for values, _ in combinations for g in range(count)]
    named_values = {name: [values[j].value for values, _ in places] for j, name in enumerate(asked)}
    return {
        **named_values,
        "target": [wish.target] * len(places),
        **groups.columns([g for _, g in places], taken=tuple(asked)),
        **on_link(record, found, inference.df, wish.level),
        "rows": groups.cells.rows[[g for _, g in places]],
    }


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
    record: Record, inference: Inference, population: Population, quantities: Sequence[Quantity], cells: Cells, wish: Wish
) -> Estimated:
    """The averages, quantity by quantity and in each cell by cell, with the errors that are asked for."""
    sampled = wish.errors == "sampled"
    found = averages(record, population, quantities, cells, wish.target, means=sampled)
    size = found.values.size
    if sampled:
        clusters, estimates = row_influence(record, inference)
        each = influence(found, cells, clusters, estimates).reshape(size, -1)
        return Estimated(found.values.ravel(), each @ each.T, None)
    if wish.errors == "bootstrap":
        draws = resampled(record, inference, population, quantities, cells, wish)
        return Estimated(found.values.ravel(), np.atleast_2d(np.cov(draws.T)), draws)
    jacobian = found.gradient.reshape(size, -1)
    return Estimated(found.values.ravel(), jacobian @ joint_covariance(record, inference) @ jacobian.T, None)


def named(c: Contrast, contrast: str) -> str:
    """1 - 0; 1 / 0; odds(1) / odds(0)."""
    if contrast == "difference":
        return f"{_bracketed(c.new)} - {_bracketed(c.old)}"
    if contrast == "ratio":
        return f"{_bracketed(c.new)} / {_bracketed(c.old)}"
    return f"odds({c.new.label}) / odds({c.old.label})"


def _bracketed(value: Value) -> str:
    return f"({value.label})" if value.value is None and " " in value.label else value.label


def contrasted(found: Estimated, old: Any, new: Any, contrast: str, df: float | None, level: float) -> Columns:
    """estimate, std_error, statistic, p_value, conf_low, conf_high of contrasts of averages.

    Ratios: statistic and limits on the log scale, std_error = estimate times the error of its log.
    """
    a, c = found.values[new], found.values[old]
    to_scale, slopes = _scale(contrast, a, c)
    g, h = slopes
    variance = g**2 * found.cov[new, new] + h**2 * found.cov[old, old] + 2.0 * g * h * found.cov[new, old]
    se = np.sqrt(np.where(variance > -1e-12 * np.abs(found.cov[new, new]), np.maximum(variance, 0.0), np.nan))
    middle = to_scale(a, c)
    half = quantile(level, df) * se
    low, high = middle - half, middle + half
    if found.draws is not None:
        drawn = to_scale(found.draws[:, new], found.draws[:, old])
        se = drawn.std(axis=0, ddof=1)
        low, high = np.quantile(drawn, [0.5 - 0.5 * level, 0.5 + 0.5 * level], axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        statistic = middle / se
    p = p_values(statistic, df)
    if contrast == "difference":
        return _columns(middle, se, statistic, p, low, high)
    estimate = np.exp(middle)
    return _columns(estimate, estimate * se, statistic, p, np.exp(low), np.exp(high))


def _scale(contrast: str, a: Floats, c: Floats) -> tuple[Callable[[Floats, Floats], Floats], tuple[Floats, Floats]]:
    """The scale on which a contrast is normal, and its derivatives in the two averages."""
    if contrast == "difference":
        return lambda x, y: x - y, (np.ones_like(a), -np.ones_like(c))
    if contrast == "ratio":
        _positive(a, c, np.inf, "a ratio of averages", "averages above zero")
        return lambda x, y: np.log(x / y), (1.0 / a, -1.0 / c)
    _positive(a, c, 1.0, "an odds ratio", "averages between 0 and 1")
    return lambda x, y: np.log(x / (1.0 - x)) - np.log(y / (1.0 - y)), (1.0 / (a * (1.0 - a)), -1.0 / (c * (1.0 - c)))


def _positive(a: Floats, c: Floats, top: float, what: str, needs: str) -> None:
    wrong = [float(v) for v in (*a, *c) if not 0.0 < v < top]
    if wrong:
        raise GlimmError(f"effect: {what} needs {needs}, and one is {wrong[0]:.4g}: use contrast='difference'")


def _columns(estimate: Floats, se: Floats, statistic: Floats, p: Floats, low: Floats, high: Floats) -> Columns:
    return {"estimate": estimate, "std_error": se, "statistic": statistic, "p_value": p, "conf_low": low, "conf_high": high}


def plain(found: Estimated, df: float | None, level: float) -> Columns:
    """Averages that may be of any sign, tested against zero."""
    se = np.sqrt(np.maximum(np.diag(found.cov), 0.0))
    half = quantile(level, df) * se
    low, high = found.values - half, found.values + half
    if found.draws is not None:
        low, high = np.quantile(found.draws, [0.5 - 0.5 * level, 0.5 + 0.5 * level], axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        statistic = found.values / se
    return _columns(found.values, se, statistic, p_values(statistic, df), low, high)


def on_link(record: Record, found: Estimated, df: float | None, level: float) -> Columns:
    """Averages of means, with the interval of g(average), which stays where means are."""
    kernel = record.design.mean.link.kernel
    se = np.sqrt(np.maximum(np.diag(found.cov), 0.0))
    if found.draws is not None:
        low, high = np.quantile(found.draws, [0.5 - 0.5 * level, 0.5 + 0.5 * level], axis=0)
    else:
        eta = link_eta(kernel, found.values)
        by_eta = np.abs(mean(kernel, eta)[1])
        half = quantile(level, df) * np.divide(se, by_eta, out=np.full(len(se), np.nan), where=by_eta > 0.0)
        ends = mean(kernel, eta - half)[0], mean(kernel, eta + half)[0]
        low, high = np.minimum(*ends), np.maximum(*ends)
    return {"estimate": found.values, "std_error": se, "conf_low": low, "conf_high": high}


def _cells(
    record: Record, population: Population, asked: tuple[Contrast, ...], variable: str, wish: Wish
) -> tuple[Groups, list[Sequence[int]]]:
    """Groups of rows, and those that each contrast is averaged over: all of them, or those whose own value it starts from or goes to."""
    if not isinstance(wish.population, str) or wish.population == "all":
        groups = group_rows(record, population, wish, "effect")
        return groups, [range(groups.cells.count)] * len(asked)
    if any(c.new.value is None for c in asked):
        raise GlimmError(
            f"effect: population={wish.population!r} needs levels of {variable!r} to be treated with: give a pair, values=(from, to)"
        )
    codes, levels = observed(population, variable)
    groups = group_rows(record, population, wish, "effect", (codes, len(levels)))
    side = [c.new.value if wish.population == "treated" else c.old.value for c in asked]
    of = codes[groups.first]
    return groups, [[g for g in range(groups.cells.count) if levels[of[g]] == value] for value in side]
