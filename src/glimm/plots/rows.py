"""The rows behind a picture: the fit's own rows, or one profile per cluster, read again with one predictor moved.

A profile is a cluster's own mean of each number and its most frequent level of each factor.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..design import replay
from ..design.predictors import as_levels
from ..design.records import Design, NewRows
from ..design.replay import Population, used_population, without_arrays
from ..kernels.matrix import Floats, Ints
from .axis import Axis

Columns = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Profiles:
    """Rows to predict for, equal ones once.

    columns : numbers, or codes of levels, of each; offset : (P,) what an offset given as an array adds, or None
    weight : (P,) how many rows or clusters it stands for; of : (m,) the profile of each one kept
    kept : (m,) which rows or clusters these are, None for all
    """

    columns: Columns
    offset: Floats | None
    weight: Floats
    of: Ints
    kept: Ints | None = None


def own_rows(design: Design, axis: Axis, at: Mapping[str, float | int], most: int, rows: Ints | None = None) -> Profiles:
    """The rows used as profiles; where more than `most` differ, that many rows, evenly spaced.

    rows : (m,) positions among the rows used, None for all
    """
    rows = np.arange(design.n) if rows is None else rows
    extra = used_population(design).extra
    return distinct(
        {name: values[rows] for name, values in used(design).items()}, None if extra is None else extra[rows], axis, at, (len(rows), most)
    )


def of_clusters(design: Design, axis: Axis, at: Mapping[str, float | int], most: int) -> Profiles:
    """One profile per level of the first random term; where more than `most` differ, that many levels, evenly spaced."""
    term, levels = design.mean.random[0], as_levels(design)
    refs, count = term.refs.astype(np.int64), len(term.levels)
    columns: dict[str, NDArray[Any]] = {}
    for name, values in used(design).items():
        if design.columns[name].values is not None and name not in levels:
            columns[name] = means(values, refs, count)
        else:
            found, codes = np.unique(values, return_inverse=True)
            columns[name] = found[modes(codes, refs, count)]
    extra = used_population(design).extra
    return distinct(columns, None if extra is None else means(extra, refs, count), axis, at, (count, most))


def used(design: Design) -> dict[str, NDArray[Any]]:
    """Columns on the rows used: numbers, or codes of levels."""
    out = {}
    for name, column in design.columns.items():
        values = column.codes if column.values is None else column.values
        assert values is not None
        out[name] = values[design.rows]
    return out


def means(values: Floats, refs: Ints, count: int) -> Floats:
    """(J,) mean by cluster; to the bit the value itself where a cluster has only one.

    >>> means(np.array([0.1, 0.1, 0.1, 2.0, 4.0]), np.array([0, 0, 0, 1, 1]), 2).tolist()
    [0.1, 3.0]
    """
    low, high = np.full(count, np.inf), np.full(count, -np.inf)
    np.minimum.at(low, refs, values)
    np.maximum.at(high, refs, values)
    return np.where(low == high, low, np.bincount(refs, values, count) / np.bincount(refs, minlength=count))


def modes(codes: NDArray[Any], refs: Ints, count: int) -> Ints:
    """(J,) the most frequent code of each cluster, the lowest of equally frequent ones.

    >>> modes(np.array([2, 1, 1, 0, 3]), np.array([0, 0, 0, 1, 1]), 2).tolist()
    [1, 0]
    """
    width = int(codes.max()) + 1
    pairs, times = np.unique(refs * width + codes, return_counts=True)
    pairs = pairs[np.lexsort((pairs, -times, pairs // width))]
    return np.asarray(pairs[np.unique(pairs // width, return_index=True)[1]] % width, dtype=np.int64)


def distinct(columns: Columns, extra: Floats | None, axis: Axis, at: Mapping[str, float | int], size: tuple[int, int]) -> Profiles:
    """Equal rows once; neither the moved predictor nor those held at a value make a difference.

    size : how many rows there are, and how many different ones there may be before evenly spaced rows stand for all
    """
    n, most = size
    columns = {name: np.full(n, at[name]) if name in at else values for name, values in columns.items() if name != axis.variable}
    keys = [np.unique(values, return_inverse=True)[1].ravel() for values in (*columns.values(), *([] if extra is None else [extra]))]
    first, of, weight = np.zeros(1, dtype=np.int64), np.zeros(n, dtype=np.int64), np.array([float(n)])
    if keys:
        _, first, of, counts = np.unique(np.column_stack(keys), axis=0, return_index=True, return_inverse=True, return_counts=True)
        of, weight = np.asarray(of.ravel(), dtype=np.int64), counts.astype(np.float64)
    kept = None
    if len(first) > most:
        first = kept = np.unique(np.linspace(0, n - 1, most).round().astype(np.int64))
        of, weight = np.arange(len(first)), np.ones(len(first))
    return Profiles({name: values[first] for name, values in columns.items()}, None if extra is None else extra[first], weight, of, kept)


def varying(design: Design, names: Iterable[str]) -> bool:
    """Whether any of these columns differs between rows of one cluster."""
    refs, columns = design.mean.random[0].refs, used(design)
    first = np.unique(refs, return_index=True)[1][refs]
    return any(not np.array_equal(columns[name], columns[name][first]) for name in names)


def reread(design: Design, columns: Columns, n: int, extra: Floats | None = None) -> NewRows:
    """Columns as rows to predict for, of no known cluster; extra : (n,) what an offset or exposure given as an array adds."""
    variables = {}
    for name, values in columns.items():
        column = replace(design.columns[name], missing=None)
        variables[name] = replace(column, codes=values) if column.values is None else replace(column, values=values)
    nobody = tuple(np.full(n, -1, dtype=np.int32) for _ in design.mean.random)
    population = Population(without_arrays(design.spec), n, variables, extra, np.ones(n, dtype=np.bool_), nobody)
    return replay.moved(design, population, {})


def moved(design: Design, profiles: Profiles, which: slice, axis: Axis) -> NewRows:
    """These profiles once per value of the axis: profile by profile, the axis changing fastest."""
    count, g = len(profiles.weight[which]), len(axis.x)
    columns = {name: np.repeat(values[which], g) for name, values in profiles.columns.items()}
    columns[axis.variable] = np.tile(axis.values, count)
    extra = None if profiles.offset is None else np.repeat(profiles.offset[which], g)
    return reread(design, columns, count * g, extra)
