"""Averages of predicted means over a population, A = sum_i w_i c_i m_i(x) / sum_i w_i, with the predictors moved to x.

m_i = h(eta_i) (GLM, GEE; typical), h(eta_i + z_i'b) (conditional on the clusters), E h(eta_i + sd_i Z) (marginal).
Gradients in (working beta, theta, psi); influence where the rows are a sample of clusters: psi_c = sum_(i in c) w_i (c_i m_i - A) + A'IF_c.
Source: Terza (2020), Stata J. 20, 5-26; Dowd, Greene and Norton (2014), Health Serv. Res. 49, 731-750 (delta method).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from ..data.columns import take
from ..data.records import Variable
from ..design.clusters import gather
from ..design.parts import moved_parts
from ..design.records import NewRows
from ..design.replay import Population, moved
from ..errors import GlimmError
from ..inference.known_clusters import Joint
from ..kernels import Rows, mean
from ..kernels.matrix import Codes, Floats, Ints
from ..records import AnyRecord, MixedRecord, Record
from .average import average
from .predict import dspread, random_part, spread

FARTHEST = 1e100


class Setting(NamedTuple):
    """Predictors replaced by these columns, the row's mean then multiplied by `weight` (n,), None for 1."""

    changes: Mapping[str, Variable]
    weight: Floats | None = None


Quantity = tuple[Setting, ...]
"""What is averaged: the sum over its settings."""


@dataclass(frozen=True, slots=True)
class Cells:
    """Groups of rows that are averaged apart.

    of : (n,) int32 cell of each row, -1 for a row in none; count : G of them; weight : (n,) or None for rows that count alike
    """

    of: Codes
    count: int
    weight: Floats | None = None

    @property
    def rows(self) -> Ints:
        """(G,) rows of each."""
        return np.bincount(self.of[self.of >= 0], minlength=self.count)

    @property
    def shares(self) -> Floats:
        """(n,) the share of a row in the average of its cell."""
        inside = self.of >= 0
        w = np.where(inside, 1.0 if self.weight is None else self.weight, 0.0)
        total = np.bincount(self.of[inside], w[inside], self.count)
        return np.asarray(np.divide(w, total[self.of], out=np.zeros(len(w)), where=inside))


@dataclass(frozen=True, slots=True)
class Averages:
    """values : (S, G); gradient : (S, G, P).

    Where asked for, means : (S, n) of the rows, and loads : (S) of (G, E), derivatives in the effects of the clusters, sparse.
    untold : rows whose mean the fit does not determine, in the setting with most of them
    """

    values: Floats
    gradient: Floats
    means: Floats = field(default_factory=lambda: np.zeros((0, 0)))
    loads: tuple[Any, ...] = ()
    untold: int = 0


class Means(NamedTuple):
    """m (n,) of the rows, its derivatives in the linear predictor and in the spread of the random part (None: it does not matter)."""

    m: Floats
    by_eta: Floats
    by_sd: Floats | None


def averages(
    record: Record,
    population: Population,
    quantities: Sequence[Quantity],
    cells: Cells,
    target: str,
    *,
    means: bool = False,
    known: Joint | None = None,
) -> Averages:
    """The averages of each quantity in each cell; means : keep those of the rows; known : the clusters whose effects they depend on."""
    size, share = len(quantities), cells.shares
    order, starts = by_cell(cells)
    out = Averages(
        np.zeros((size, cells.count)),
        np.zeros((size, cells.count, parameters(record))),
        np.zeros((size, population.n)) if means else np.zeros((0, 0)),
    )
    loads, untold = [], 0
    for s, quantity in enumerate(quantities):
        load: Any = 0
        for changes, weight in quantity:
            new = moved(record.design, population, changes, target != "typical")
            found = row_means(record, new, target)
            w = share if weight is None else share * weight
            if new.told is not None:
                untold = max(untold, int(np.sum(~new.told & (cells.of >= 0))))
            check_finite(found.m, w, record.design.mean.link.name)
            product = np.where(w == 0.0, 0.0, w * found.m)
            out.values[s] += _sums(product, order, starts)
            out.gradient[s] += gradient(record, new, found, w, order, starts)
            if means:
                out.means[s] += found.m if weight is None else weight * found.m
            if known is not None and isinstance(record, MixedRecord):
                load = load + _gathered(cells, np.where(w == 0.0, 0.0, w * found.by_eta)) @ known.columns(record, new)
        loads.append(load)
    return replace(out, loads=tuple(loads) if known is not None else (), untold=untold)


def check_finite(m: Floats, w: Any, link: str) -> None:
    """Raises GlimmError where a mean that counts is infinite or none at all."""
    wrong = ~(np.abs(m) < FARTHEST) & np.broadcast_to(w != 0.0, m.shape)
    if wrong.any():
        raise GlimmError(
            f"a mean is {m[wrong][0]:g} in {int(wrong.sum())} of {len(m)} rows at the values asked for, which are out of reach for link "
            f"{link!r}: give values nearer to the data, effect(..., values=(from, to)), or rescale the predictor"
        )


def row_means(record: Record, new: NewRows, target: str) -> Means:
    """The mean of each row under a target."""
    link = record.design.mean.link
    eta = new.matrix.times(record.vector[record.blocks["mean"]]) + (0.0 if new.offset is None else new.offset)
    if isinstance(record, MixedRecord) and target == "conditional":
        eta = eta + random_part(record, new)
    if isinstance(record, MixedRecord) and target == "marginal" and link.name != "identity":
        return Means(*average(link, eta, spread(record, new)))
    m, by_eta = mean(link.kernel, eta)[:2]
    return Means(m, by_eta, None)


def gradient(record: Record, new: NewRows, found: Means, w: Floats, order: Ints, starts: Ints) -> Floats:
    """(G, P) sum_i w_i dm_i / d(working beta, theta, psi) by cell."""
    part = record.design.mean
    out = np.zeros((len(starts) - 1, parameters(record)))
    rows = Rows(new.matrix, part.center, part.scale, order=order)
    out[:, : part.matrix.p] = rows.cluster_scores(np.where(w == 0.0, 0.0, w * found.by_eta), starts)
    if found.by_sd is not None and isinstance(record, MixedRecord):
        along = np.where(w == 0.0, 0.0, w * found.by_sd)[:, None] * dspread(record, new)
        out[:, record.blocks["theta"]] = np.column_stack([_sums(column, order, starts) for column in along.T])
    return out


def parameters(record: Record) -> int:
    """P, length of (working beta, theta, psi); beta alone for GLM and GEE."""
    return len(record.vector) if isinstance(record, MixedRecord) else record.design.mean.matrix.p


def by_cell(cells: Cells) -> tuple[Ints, Ints]:
    """(order, starts): rows of each cell, those of no cell left out."""
    inside = np.flatnonzero(cells.of >= 0)
    order, starts = gather(cells.of[inside], cells.count)
    return inside[order], starts


def influence(found: Averages, cells: Cells, clusters: Codes, estimates: Floats) -> Floats:
    """(S, G, K) what each cluster adds to the error of each average, both of its rows and of the estimates.

    clusters : (n,) of each row; estimates : (K, P) influence of each cluster on (working beta, theta, psi)
    """
    out = np.einsum("sgp,kp->sgk", found.gradient, estimates)
    inside, share = np.flatnonzero(cells.of >= 0), cells.shares
    at = cells.of[inside].astype(np.int64) * len(estimates) + clusters[inside]
    for s in range(len(found.values)):
        left = share[inside] * (found.means[s, inside] - found.values[s, cells.of[inside]])
        out[s] += np.bincount(at, left, cells.count * len(estimates)).reshape(cells.count, -1)
    return np.asarray(out)


def complete(record: AnyRecord, population: Population, target: str) -> tuple[Population, int]:
    """The population without rows in which a predictor is missing, and how many these are."""
    known = moved(record.design, population, {}, target != "typical")
    whole = known.complete
    for z in known.z:
        whole = whole & ~np.isnan(z).any(axis=1)
    if record.design.spec.parts:
        whole = np.logical_and.reduce([new.complete for new in moved_parts(record.design, population, {}).values()])
    if whole.all():
        return population, 0
    return some(population, np.flatnonzero(whole)), int(np.sum(~whole))


def some(population: Population, rows: Ints) -> Population:
    """Some rows of a population."""
    return replace(
        population,
        n=len(rows),
        columns={name: take(column, rows) for name, column in population.columns.items()},
        extra=None if population.extra is None else population.extra[rows],
        complete=population.complete[rows],
        refs=tuple(refs[rows] for refs in population.refs),
    )


def some_of(setting: Setting, rows: Ints) -> Setting:
    """A setting of some rows of a population."""
    changes = {name: take(column, rows) for name, column in setting.changes.items()}
    return Setting(changes, None if setting.weight is None else setting.weight[rows])


def cross_codes(columns: Iterable[tuple[Codes, int]], n: int) -> tuple[Codes, Ints]:
    """(cell of each row, one row of each cell) for the combinations that occur, the first column changing slowest; -1 stays out."""
    key, inside = np.zeros(n, dtype=np.int64), np.ones(n, dtype=np.bool_)
    for codes, levels in columns:
        key = key * levels + codes
        inside &= codes >= 0
    of = np.full(n, -1, dtype=np.int32)
    _, first, within = np.unique(key[inside], return_index=True, return_inverse=True)
    of[inside] = within.ravel()
    return of, np.flatnonzero(inside)[first]


def _gathered(cells: Cells, w: Floats) -> Any:
    """(G, n) sparse: rows of each cell with their weights."""
    from scipy import sparse

    inside = np.flatnonzero(cells.of >= 0)
    return sparse.csr_matrix((w[inside], (cells.of[inside], inside)), shape=(cells.count, len(w)))


def _sums(values: Floats, order: Ints, starts: Ints) -> Floats:
    """(G,) sums by cell; cells have rows."""
    return np.add.reduceat(values[order], starts[:-1]) if len(order) else np.zeros(len(starts) - 1)
