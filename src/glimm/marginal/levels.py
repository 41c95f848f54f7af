"""Probabilities of the levels of a response: predicted for rows, and averaged over a population with predictors moved.

A_k = sum_i w_i pi_k(x_i) / sum_i w_i for each level k, with gradients sum_i w_i D_i,k d eta_i.
Limits of a probability are made on the scale of its logit.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..design.records import NewRows
from ..design.replay import Population, moved
from ..errors import GlimmError, GlimmWarning, NotYetError
from ..estimators.levels import jet, some_rows
from ..family import LINKS
from ..inference.covariance import Inference
from ..inference.level_glm import influence as unit_influence
from ..inference.levels import layout
from ..inference.wald import quantile
from ..kernels.matrix import Floats
from ..records import LevelsRecord
from .averages import Averages, Cells, Quantity, by_cell, influence
from .effects import CONTRASTS, Columns, Estimated, contrast_cells, contrasted, errors_of, named, renamed, tested
from .intervals import around
from .population import Wish, group_rows, open_population
from .predict import untold_words
from .settings import contrasts, derivative, grid, moved_to

LOGIT = LINKS["logit"]
BLOCK = 4096


@dataclass(frozen=True, slots=True)
class LevelPrediction:
    """estimate (n, k) for k columns, NaN where a predictor is missing; std_error and limits, if asked for; untold : rows not determined."""

    columns: tuple[Any, ...]
    estimate: Floats
    std_error: Floats | None = None
    conf_low: Floats | None = None
    conf_high: Floats | None = None
    untold: int = 0


def check_levels(record: LevelsRecord, scale: str, target: str | None, interval: str | None, asked: str = "predict") -> None:
    """Raises GlimmError for what cannot be asked of this record."""
    if scale not in ("response", "link"):
        raise GlimmError(f"predict: scale must be 'response' or 'link', not {scale!r}")
    if target not in (None, "marginal"):
        raise GlimmError(f"{asked}: this model has no random effects, so its only target is 'marginal', not {target!r}")
    if interval not in (None, "confidence"):
        raise GlimmError(f"{asked}: interval must be 'confidence' for probabilities of levels, not {interval!r}")


def predict_levels(
    record: LevelsRecord, inference: Inference, new: NewRows, scale: str, interval: str | None, level: float
) -> LevelPrediction:
    """Probabilities of the levels, or linear predictors without their thresholds, of rows read by design.replay."""
    where, vector = layout(record), record.vector
    levels = record.design.response.levels
    eta = where.predictors(new.matrix, new.offset, vector)
    found = jet(where, eta)
    estimate, columns = found.probability, levels
    if scale == "link":
        estimate, columns = (where.common(new.matrix, new.offset, vector)[:, None], ("link",)) if where.ordered else (eta, levels[1:])
    estimate = np.where(new.complete[:, None], estimate, np.nan)
    untold = 0 if new.told is None else int(np.sum(new.complete & ~new.told))
    if interval is None:
        return LevelPrediction(columns, estimate, untold=untold)
    se = np.full(estimate.shape, np.nan)
    for first in range(0, len(eta), BLOCK):
        rows = np.arange(first, min(first + BLOCK, len(eta)))
        along = where.jacobian(some_rows(new.matrix, rows))
        if scale == "response":
            along = np.einsum("nkc,ncp->nkp", found.slope[rows], along, optimize=True)
        elif where.ordered:
            along = where.common_jacobian(some_rows(new.matrix, rows))[:, None]
        se[rows] = np.sqrt(np.maximum(np.einsum("nkp,pq,nkq->nk", along, inference.work, along, optimize=True), 0.0))
    se = np.where(np.isnan(estimate), np.nan, se)
    q = quantile(level, inference.common_df)
    if scale == "link":
        return LevelPrediction(columns, estimate, se, estimate - q * se, estimate + q * se, untold)
    return LevelPrediction(columns, estimate, se, *_limits(estimate, se, q), untold)


def effect_of_levels(record: LevelsRecord, inference: Inference, variable: str, contrast: str, values: Any, wish: Wish) -> Columns:
    """Columns of the table of average effects on the probability of each level."""
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
    found = _estimate(record, inference, population, quantities, groups.cells, wish)
    levels = record.design.response.levels
    size = len(levels)
    rows = [
        (c, g, places[c.old.key] * size + k, places[c.new.key] * size + k, k)
        for c, cells in zip(asked, picked, strict=True)
        for g in cells
        for k in range(size)
    ]
    if not rows:
        raise GlimmError(f"effect: no row has the value of {variable!r} that population={wish.population!r} asks for")
    cell, before, after = (np.array([row[k] for row in rows]) for k in (1, 2, 3))
    made = contrasted(found, (cell, before, after), contrast, inference.common_df, wish.level)
    first = {
        "variable": [variable] * len(rows),
        "contrast": [named(c, contrast) for c, *_ in rows],
        "level": [levels[row[4]] for row in rows],
        "target": [wish.target] * len(rows),
    }
    rest = {
        **made,
        "mean_from": found.values[before, cell],
        "mean_to": found.values[after, cell],
        "rows": groups.cells.rows[cell],
    }
    return {**first, **renamed(groups.columns(cell.tolist()), {*first, *rest}), **rest}


def slope_of_levels(record: LevelsRecord, inference: Inference, variable: str, wish: Wish) -> Columns:
    """Columns of the table of average derivatives of the probability of each level."""
    population = open_population(record, wish)
    groups = group_rows(record, population, wish)
    quantity = derivative(record.design, population, variable)
    found = _estimate(record, inference, population, [quantity], groups.cells, wish)
    levels, count = record.design.response.levels, groups.cells.count
    cell, level = np.repeat(np.arange(count), len(levels)), np.tile(np.arange(len(levels)), count)
    first = {
        "variable": [variable] * len(cell),
        "contrast": [f"d probability / d {variable}"] * len(cell),
        "level": [levels[k] for k in level],
        "target": [wish.target] * len(cell),
    }
    made = tested(found.values[level, cell], errors_of(found)[level, cell], None, inference.common_df, wish.level)
    rest = {**made, "rows": groups.cells.rows[cell]}
    return {**first, **renamed(groups.columns(cell.tolist()), {*first, *rest}), **rest}


def means_of_levels(record: LevelsRecord, inference: Inference, asked: Mapping[str, Any], wish: Wish) -> Columns:
    """Columns of the table of average probabilities of each level, at every combination of the values asked for."""
    population = open_population(record, wish)
    groups = group_rows(record, population, wish)
    combinations = grid(record.design, population, asked)
    found = _estimate(record, inference, population, [quantity for _, quantity in combinations], groups.cells, wish)
    levels = record.design.response.levels
    places = [
        (s, values, g, k) for s, (values, _) in enumerate(combinations) for g in range(groups.cells.count) for k in range(len(levels))
    ]
    at, cell = np.array([s * len(levels) + k for s, _, _, k in places]), np.array([g for _, _, g, _ in places])
    estimate, se = found.values[at, cell], errors_of(found)[at, cell]
    low, high = _limits(estimate[:, None], se[:, None], quantile(wish.level, inference.common_df))
    rest = {"estimate": estimate, "std_error": se, "conf_low": low[:, 0], "conf_high": high[:, 0], "rows": groups.cells.rows[cell]}
    own = renamed({name: [values[j].value for _, values, _, _ in places] for j, name in enumerate(asked)}, {"target", "level", *rest})
    by = renamed(groups.columns(cell.tolist()), {"target", "level", *own, *rest})
    return {**own, "level": [levels[k] for *_, k in places], "target": [wish.target] * len(places), **by, **rest}


def averages_of_levels(
    record: LevelsRecord, population: Population, quantities: Sequence[Quantity], cells: Cells, *, means: bool = False
) -> Averages:
    """The averages of each quantity and level (row s C + k) in each cell; means : keep those of the rows."""
    where, vector, share = layout(record), record.vector, cells.shares
    order, starts = by_cell(cells)
    size = len(record.design.response.levels)
    values = np.zeros((len(quantities) * size, cells.count))
    gradient = np.zeros((len(values), cells.count, where.size))
    rows = np.zeros((len(values), population.n)) if means else np.zeros((0, 0))
    untold, inside = 0, np.repeat(np.arange(cells.count), np.diff(starts))
    for s, quantity in enumerate(quantities):
        for changes, weight in quantity:
            new = moved(record.design, population, changes, False)
            found = jet(where, where.predictors(new.matrix, new.offset, vector))
            w = share if weight is None else share * weight
            if new.told is not None:
                untold = max(untold, int(np.sum(~new.told & (cells.of >= 0))))
            for k in range(size):
                at = s * size + k
                values[at] += np.bincount(inside, (w * found.probability[:, k])[order], cells.count)
                gradient[at] += where.sums(new.matrix, w[:, None] * found.slope[:, k], order, starts)
                if means:
                    rows[at] += found.probability[:, k] if weight is None else weight * found.probability[:, k]
    return Averages(values, gradient, rows, untold=untold)


def _estimate(
    record: LevelsRecord, inference: Inference, population: Population, quantities: Sequence[Quantity], cells: Cells, wish: Wish
) -> Estimated:
    """The averages with the errors that are asked for."""
    if wish.errors == "bootstrap":
        raise NotYetError(f"{wish.asked}: errors='bootstrap' is not there for family {record.family.name!r}: use 'delta' or 'sampled'")
    found = averages_of_levels(record, population, quantities, cells, means=wish.errors == "sampled")
    if wish.errors == "sampled":
        each = influence(found, cells, *unit_influence(record, inference.vcov))
        cov = np.einsum("sgk,tgk->gst", each, each)
    else:
        cov = np.einsum("sgp,pq,tgq->gst", found.gradient, inference.work, found.gradient, optimize=True)
    if found.untold:
        warnings.warn(f"{wish.asked}: {untold_words(record, found.untold)}", GlimmWarning, stacklevel=4)
    return Estimated(found.values, cov)


def _limits(p: Floats, se: Floats, q: float) -> tuple[Floats, Floats]:
    """Limits of probabilities, on the scale of the logit."""
    inside = np.isfinite(p)
    low, high = around(LOGIT, np.where(inside, p, 0.5).ravel(), (q * np.where(inside, se, 0.0)).ravel())
    return np.where(inside, low.reshape(p.shape), np.nan), np.where(inside, high.reshape(p.shape), np.nan)
