"""Tests of residuals whose level holds although the parameters were estimated: T(y) against T(y*_b) given S(y*_b) = S(y).

T_b is regressed on the scores S_b and their products over responses y*_b drawn from the fit; its value at S(y) plus residuals, scaled to
their spread there, are draws of T under the model. Nothing is refitted. u_i is the rank of a response among all that were drawn at its
row, itself among them.
Source: Pierce (1982), Ann. Stat. 10, 475-478; Barnard (1963), J. R. Stat. Soc. B 25, 294 (Monte Carlo tests).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..inference.criteria import fitted
from ..inference.distributions import DISTRIBUTIONS, parameter_values, response_variance
from ..inference.simulate import generator
from ..kernels import mean
from ..kernels.matrix import Floats, Ints
from ..records import GeeRecord, MixedRecord, Record
from .neighbours import Neighbours, neighbours
from .quantiles import batches, check, open_uniform
from .scores import scores_of

GRID, FAR = 100, 250
MOST, NONLINEAR, LEAST, CELLS = 999, 399, 119, 40_000_000
FOR_EACH, MOST_NARROWED = 8, 3.0
BLOCK = 2_000_000
ROUGH = 20_000_000
DISPERSED = ("binomial", "poisson", "negative_binomial", "negative_binomial1")


@dataclass(frozen=True, slots=True)
class Test:
    """One test: statistic, its mean under the model, two-sided p (one-sided for uniformity and outliers), and what it is in words.

    null : draws of the statistic under the model
    """

    test: str
    statistic: float
    expected: float
    p_value: float
    note: str
    null: Floats | None = None


class Statistics(NamedTuple):
    """Of every response, the observed one first, (B + 1, ...): F_n(t) - t on the grid (GRID - 1), mean r^2, zeros, rows at an end,
    correlation of neighbours; per row u and r of the observed one.
    """

    process: Floats
    dispersion: Floats
    zeros: Floats
    ends: Floats
    lagged: Floats
    u: Floats
    r: Floats


class Simulated(NamedTuple):
    """(n, B + 1) responses, the observed one first, (B + 1, k) scores, (n, B + 1) linear predictors with effects of their own or None."""

    y: Floats
    scores: Floats
    eta: Floats | None


def residual_tests(record: Record, n: int | None, seed: Any, effects: str, time: Any) -> tuple[Test, ...]:
    """The tests that have a meaning for the fit's family.

    n : simulated responses, None for as many as are quickly drawn; raises GlimmError as `quantile_residuals` does, and for a time that is
    no column of numbers
    """
    check(record, "residual_tests", MOST if n is None else n, effects)
    pairs = neighbours(record, time)
    count = enough(record) if n is None else int(n)
    rng = generator(seed)
    if isinstance(record, GeeRecord):
        from .cluster_tests import cluster_tests

        return cluster_tests(record, count, rng, pairs)
    own = effects == "fitted" and isinstance(record, MixedRecord)
    drawn = simulated(record, count, rng, own)
    return tested(record, statistics(record, drawn, pairs, rng), drawn, pairs, rng)


def tested(record: Record, found: Statistics, drawn: Simulated, pairs: Neighbours | None, rng: np.random.Generator) -> tuple[Test, ...]:
    """The tests of a GLM or a mixed model."""
    control, count = Control(drawn.scores), drawn.y.shape[1] - 1
    how = "about the effects that each response predicts, against" if drawn.eta is not None else "ranks among"
    out = [_uniformity(found, control, f"{how} {count} simulated responses")]
    if dispersed(record):
        t = two_sided("dispersion", np.log(np.maximum(found.dispersion, 1e-300)), control, "mean squared Pearson residual", rng)
        assert t.null is not None
        null = np.exp(t.null)
        out.append(Test("dispersion", float(found.dispersion[0]), float(null.mean()), t.p_value, t.note, null))
    if counted(record):
        out.append(two_sided("zeros", found.zeros, control, "responses that are 0", rng, whole_number=True))
    out.append(_outliers(found, control, len(found.u), rng))
    if pairs is not None:
        out.append(two_sided("autocorrelation", found.lagged, control, pairs.note, rng))
    return tuple(out)


def enough(record: Record) -> int:
    """Simulated responses: 999, 399 where scores are dear, fewer of many rows, more for many parameters; 0.05 (B + 1) is a whole number."""
    dear = isinstance(record, MixedRecord) and not record.linear
    most = min(NONLINEAR if dear else MOST, max(LEAST, CELLS // record.design.n))
    wanted = max(most, FOR_EACH * len(record.vector))
    return 40 * -(-(wanted + 1) // 40) - 1


def dispersed(record: Record) -> bool:
    """Whether the spread of a response is told by its mean, or by a parameter that means more than the spread; not so of single 0/1."""
    return record.family.name in DISPERSED and (record.family.name != "binomial" or record.design.trials is not None)


def counted(record: Record) -> bool:
    """Whether the family says how many responses are zero, and does so beyond their mean."""
    name = record.family.name
    return record.family.support == "count" or name == "tweedie" or (name == "binomial" and record.design.trials is not None)


def simulated(record: Record, count: int, rng: np.random.Generator, own_effects: bool) -> Simulated:
    """Responses drawn with new random effects, with their scores; those without a score are left out."""
    n, scores = record.design.n, scores_of(record, own_effects)
    precision = np.float32 if n * count > ROUGH else np.float64
    y = np.empty((n, count + 1), dtype=precision)
    eta = np.empty((n, count + 1), dtype=precision) if own_effects else None
    found = []

    def put(column: int, response: Floats) -> None:
        y[:, column] = response
        one = scores(np.ascontiguousarray(response))
        found.append(one.score)
        if eta is not None:
            eta[:, column] = one.eta

    put(0, record.design.y)
    at = 1
    for batch in batches(record, count, rng, "new"):
        for response in batch.T:
            put(at, response)
            at += 1
    s = np.array(found)
    ok = np.concatenate(([True], np.isfinite(s[1:]).all(axis=1)))
    if ok.all():
        return Simulated(y, s, eta)
    return Simulated(y[:, ok], s[ok], None if eta is None else eta[:, ok])


def statistics(record: Record, drawn: Simulated, pairs: Neighbours | None, rng: np.random.Generator) -> Statistics:
    """All statistics of all responses, in blocks of rows in the order of `pairs`."""
    n, many = drawn.y.shape
    order = np.arange(n, dtype=np.int64) if pairs is None else pairs.order
    counts, squares = np.zeros((many, GRID)), np.zeros(many)
    zeros, ends, products = np.zeros(many), np.zeros(many), np.zeros(many)
    own_u, own_r = np.empty(n), np.empty(n)
    last = np.zeros((0, many))
    size = max(1, BLOCK // many)
    for start in range(0, n, size):
        rows = order[start : start + size]
        u, r = _residuals(record, drawn, rows, rng)
        cells = np.minimum((u * GRID).astype(np.int64), GRID - 1) + GRID * np.arange(many)
        counts += np.bincount(cells.ravel(), minlength=many * GRID).reshape(many, GRID)
        ends += np.sum((u * FAR < 1.0) | (u * FAR > FAR - 1.0), axis=0)
        zeros += np.sum(drawn.y[rows] == 0.0, axis=0)
        squares += np.sum(r * r, axis=0)
        own_u[rows], own_r[rows] = u[:, 0], r[:, 0]
        if pairs is not None:
            chain = np.concatenate([last, r])
            first = start - len(last)
            products += pairs.joined[first : first + len(chain) - 1] @ (chain[:-1] * chain[1:])
            last = r[-1:]
    process = np.cumsum(counts, axis=1)[:, :-1] / n - np.arange(1, GRID) / GRID
    lagged = np.zeros(many)
    if pairs is not None:
        lagged = products / np.where(squares > 0.0, squares, 1.0) * n / float(pairs.joined.sum())
    return Statistics(process, squares / n, zeros, ends, lagged, own_u, own_r)


def _residuals(record: Record, drawn: Simulated, rows: Ints, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """(u, r) of the rows, each (rows, B + 1): ranks among all responses, or about the effects that each response predicts."""
    y = np.asarray(drawn.y[rows], dtype=np.float64)
    if drawn.eta is not None:
        return _about_own_effects(record, y, np.asarray(drawn.eta[rows], dtype=np.float64), rows, rng)
    whole_rows = y if record.design.trials is None or record.family.support != "binomial" else np.rint(y * record.design.trials[rows, None])
    u = ranks(record, whole_rows, rng)
    if isinstance(record, MixedRecord):
        middle = y.mean(axis=1, keepdims=True)
        spread = np.sqrt(np.mean((y - middle) ** 2, axis=1, keepdims=True))
    else:
        mu = fitted(record)
        middle, spread = mu[rows, None], np.sqrt(response_variance(record, mu, "residual_tests")[rows, None] / size_of(record, rows))
    return u, (y - middle) / np.where(spread > 0.0, spread, np.inf)


def size_of(record: Record, rows: Ints) -> Any:
    """(rows, 1) what divides the variance of a response: trials, and the weights of families with a dispersion."""
    design, size = record.design, np.ones(len(rows))
    if design.trials is not None:
        size = size * design.trials[rows]
    if design.weights is not None and DISTRIBUTIONS[record.family.name].weighted:
        size = size * design.weights[rows]
    return size[:, None]


def ranks(record: Record, y: Floats, rng: np.random.Generator) -> Floats:
    """(n, B + 1) ranks of the columns row by row, ties at random, in (0, 1)."""
    key = y
    if record.family.support in ("count", "binomial"):
        key = y + rng.random(y.shape)
    elif record.family.support == "nonnegative":
        key = np.where(y == 0.0, -rng.random(y.shape), y)
    order = np.argsort(key, axis=1)
    rank = np.empty(y.shape)
    np.put_along_axis(rank, order, np.broadcast_to(np.arange(y.shape[1], dtype=np.float64), y.shape), axis=1)
    return np.asarray((rank + open_uniform(rng, y.shape)) / y.shape[1])


def _about_own_effects(record: Record, y: Floats, eta: Floats, rows: Ints, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """F(y-) + V (F(y) - F(y-)) and Pearson residuals at the means of eta."""
    design, family, values = record.design, DISTRIBUTIONS[record.family.name], parameter_values(record)
    mu = mean(design.mean.link.kernel, np.nan_to_num(eta).ravel())[0].reshape(eta.shape)
    mu = np.clip(mu, *_inside(family.low, family.high))
    weights: Any = 1.0 if design.weights is None or not family.weighted else design.weights[rows, None]
    trials: Any = 1.0 if design.trials is None else design.trials[rows, None]
    full = np.broadcast_to
    args = (mu, values, full(weights, mu.shape), full(trials, mu.shape))
    upper = family.below(y, *args)
    support, v = record.family.support, open_uniform(rng, mu.shape)
    lower = upper
    if support in ("count", "binomial"):
        step = 1.0 if support == "count" else 1.0 / trials
        before = np.maximum(y - step, 0.0)
        lower = np.where(y > 0.5 * step, family.below(before, *args), 0.0)
    elif support == "nonnegative":
        lower = np.where(y == 0.0, 0.0, upper)
    variance = response_variance(record, mu.ravel(), "residual_tests").reshape(mu.shape) / size_of(record, rows)
    u = np.clip(lower + v * (upper - lower), 1e-12, 1.0 - 1e-12)
    return u, np.asarray((y - mu) / np.sqrt(np.maximum(variance, 1e-300)))


def _inside(low: float, high: float) -> tuple[float, float]:
    return (low if low == -np.inf else low + 1e-12), (high if high == np.inf else high * (1.0 - 1e-12))


class Control:
    """The regression of statistics on the scores of the responses that were drawn, and what it says at the scores of the data."""

    def __init__(self, scores: Floats) -> None:
        drawn = scores[1:] - scores[1:].mean(axis=0)
        scale = np.sqrt(np.mean(drawn**2, axis=0))
        scale[~(scale > 0.0)] = np.inf
        _, d, v = np.linalg.svd(drawn / scale / np.sqrt(len(drawn)), full_matrices=False)
        kept = d > 1e-7 * d.max(initial=0.0)
        turn = (v[kept].T / d[kept]) / scale[:, None]
        w = (scores - scores[1:].mean(axis=0)) @ turn
        distance = np.sum(w * w, axis=1)
        first, second = np.triu_indices(w.shape[1])
        products = w[:, first] * w[:, second] if len(first) * FOR_EACH <= len(drawn) else distance[:, None]
        z = np.column_stack([np.ones(len(w)), w, products])
        if 2 * z.shape[1] > len(drawn):
            z = z[:, :1]
        self.q, self.r = np.linalg.qr(z[1:])
        self.data = z[0]
        self.left = 1.0 / np.sqrt(np.maximum(1.0 - np.sum(self.q**2, axis=1), 0.05))
        self.near = np.column_stack([np.ones(len(w)), w, distance])[:, : 1 if z.shape[1] == 1 else None]

    def null(self, values: Floats) -> Floats:
        """(B,) or (B, m) draws of statistics (B + 1,) or (B + 1, m), whose first is of the data, under the model."""
        drawn = values[1:]
        turned = self.q.T @ drawn
        at_data = self.data @ np.linalg.solve(self.r, turned)
        left = self.left if values.ndim == 1 else self.left[:, None]
        return np.asarray(at_data + self._narrowed(left * (drawn - self.q @ turned)))

    def _narrowed(self, left: Floats) -> Floats:
        """Residuals with the spread that they have at the scores of the data: their variance is a + b'S + c S'I^-1 S."""
        squares = left * left
        middle = squares.mean(axis=0)
        variance = self.near @ np.linalg.lstsq(self.near[1:], squares, rcond=None)[0]
        variance = np.clip(variance, middle / MOST_NARROWED, middle * MOST_NARROWED)
        return np.asarray(left * np.sqrt(variance[0] / np.where(variance[1:] > 0.0, variance[1:], 1.0)))


def _uniformity(found: Statistics, control: Control, note: str) -> Test:
    null = np.abs(control.null(found.process)).max(axis=1)
    own = float(np.abs(found.process[0]).max())
    p = (1.0 + float(np.sum(null >= own))) / (1.0 + len(null))
    return Test("uniformity", own, float(null.mean()), p, f"largest |F(u) - u|; {note}")


def two_sided(name: str, values: Floats, control: Control, note: str, rng: np.random.Generator, whole_number: bool = False) -> Test:
    """Twice the smaller tail; a statistic in whole numbers is spread over its unit at random."""
    null, own = control.null(values), float(values[0])
    expected = float(null.mean())
    above, below = _tails(own, null, rng, whole_number)
    return Test(name, own, expected, min(1.0, 2.0 * min(above, below)), note, null)


def _tails(own: float, null: Floats, rng: np.random.Generator, whole_number: bool) -> tuple[float, float]:
    """Shares of draws, the data's own among them, that are as large, and as small."""
    if whole_number:
        own, null = own + float(rng.uniform(-0.5, 0.5)), null + rng.uniform(-0.5, 0.5, len(null))
    level = 1e-12 * (1.0 + abs(own))
    larger: NDArray[Any] = null > own + level
    equal = int(np.sum(np.abs(null - own) <= level))
    split = int(rng.integers(0, equal + 1))
    rank = int(larger.sum()) + split
    return (1.0 + rank) / (1.0 + len(null)), (1.0 + len(null) - rank) / (1.0 + len(null))


def _outliers(found: Statistics, control: Control, n: int, rng: np.random.Generator) -> Test:
    null = control.null(found.ends)
    above, _ = _tails(float(found.ends[0]), null, rng, True)
    return Test(
        "outliers",
        float(found.ends[0]),
        float(max(null.mean(), 0.0)),
        above,
        f"of {n} rows, with less than 1 in {FAR} simulated responses beyond them",
    )
