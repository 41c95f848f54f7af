"""Rows that the model makes next to impossible: n p_i < 1e-4, p_i = 2 min(F(y_i), 1 - F(y_i-)) or that of a studentised residual."""

from __future__ import annotations

import numpy as np

from ..inference.distributions import parameter_values
from ..kernels.matrix import Floats, Index
from ..records import GeeRecord
from ..text import counted, figures, listed
from .findings import Finding
from .sight import Sight

OUTLYING = 1e-4
ROUNDED = 1e-15
LOOKED = 20


def outlying(sight: Sight) -> list[tuple[float, int]]:
    """(chance, row) of the rows that the model makes next to impossible, the least likely first."""
    record, d = sight.record, sight.distribution
    if d is None or not np.isfinite(sight.pearson).all() or (isinstance(record, GeeRecord) and not (sight.linear or sight.binary)):
        return []
    tails, rows = smallest_tails(sight)
    return sorted((float(t), int(r)) for t, r in zip(tails, rows, strict=True) if t * record.design.n < OUTLYING)


def outlying_rows(sight: Sight, far: list[tuple[float, int]]) -> Finding:
    """Which rows, and how far out the first of them is."""
    record = sight.record
    p, worst = far[0]
    place = int(record.design.rows[worst])
    shown = listed([str(int(record.design.rows[r])) for _, r in far[:5]]) + (" and more" if len(far) > 5 else "")
    which = f"in row {place} (counting from 0)" if len(far) == 1 else f"{shown} (counting from 0): in row {place}"
    return Finding(
        "outlying_rows",
        "warning",
        f"{counted(len(far), 'row')} {'does' if len(far) == 1 else 'do'} not fit the model{':' if len(far) == 1 else ','} {which} "
        f"{record.design.response.name} is {figures(float(record.design.y[worst]))} where {figures(float(sight.mu[worst]))} is expected "
        f"(chance {f'{p:.1g}' if p >= ROUNDED else f'below {ROUNDED:g}'}).",
        "Such rows draw coefficients towards themselves and inflate the variance, or the family has too thin tails for these data.",
        f"Look at {'it' if len(far) == 1 else 'them'}; correct errors of recording; report the fit with and without "
        f"{'it' if len(far) == 1 else 'them'}.",
        {"rows": [int(record.design.rows[r]) for _, r in far], "chance": max(p, ROUNDED), "response": float(record.design.y[worst])},
        0.6,
    )


def smallest_tails(sight: Sight) -> tuple[Floats, Index]:
    """(chance of a response at least as far out, row) for the rows with the largest Pearson residuals."""
    record, d, design = sight.record, sight.distribution, sight.record.design
    assert d is not None
    count = min(LOOKED, design.n)
    at = np.argpartition(-np.abs(sight.pearson), count - 1)[:count]
    one = np.ones(count)
    weights = one if design.weights is None or not d.weighted else design.weights[at]
    trials = one if design.trials is None else design.trials[at]
    y, mu, values = design.y[at], sight.mu[at], parameter_values(record)
    if sight.linear and sight.mixed is None:
        return studentised(sight, at), at
    grain = 1.0 / trials if record.family.support == "binomial" else (one if record.family.support == "count" else 0.0 * one)
    inside = d.possible(mu)
    safe = np.where(inside, mu, float(design.y.mean()) or 0.5)
    upto = d.below(y, safe, values, weights, trials)
    before = np.where(y - grain >= 0.0, d.below(np.maximum(y - grain, 0.0), safe, values, weights, trials), 0.0)
    before = np.where(grain > 0.0, before, upto)
    return np.asarray(np.where(inside, 2.0 * np.minimum(upto, 1.0 - before), 1.0)), at


def studentised(sight: Sight, at: Index) -> Floats:
    """Two-sided chances of externally studentised residuals, without leverage: t^2 = r^2 (m - 1) / (m - r^2), m = n - p."""
    from scipy.special import stdtr

    m = float(sight.record.design.n - sight.record.design.mean.matrix.p)
    r2 = sight.pearson[at] ** 2 / sight.record.scale
    t = np.sqrt(r2 * (m - 1.0) / np.maximum(m - r2, 1e-12)) if m > 2.0 else np.zeros(len(r2))
    return np.asarray(2.0 * stdtr(max(m - 1.0, 1.0), -t))
