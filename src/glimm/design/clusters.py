"""Rows gathered by cluster and time.

Cluster j is rows order[starts[j]:starts[j + 1]]; order sorts rows by (cluster, time), stably.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..covariance.occasions import Occasions
from ..data.columns import level_array, used_codes
from ..data.records import Variable
from ..errors import GlimmError
from ..kernels.matrix import Codes, Floats, Ints
from .records import NO_ROWS, Clusters


def gather(refs: Codes, n_levels: int, time: Floats | None = None) -> tuple[Ints, Ints]:
    """(order, starts) of rows by cluster, by time inside a cluster; equal times keep their order.

    refs : (n,) cluster of each row, 0..n_levels - 1. Linear in n but for times that are not small whole numbers;
    nothing is sorted when the rows are in order already.

    >>> gather(np.array([1, 0, 1, 0], dtype=np.int32), 2)[0].tolist()
    [1, 3, 0, 2]
    """
    counts = np.bincount(refs, minlength=n_levels)
    starts = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
    step = np.diff(refs)
    grouped = bool((step >= 0).all())
    if time is None:
        return (np.arange(len(refs), dtype=np.int64) if grouped else _stable_order(refs)), starts
    if grouped and bool(((np.diff(time) >= 0) | (step > 0)).all()):
        return np.arange(len(refs), dtype=np.int64), starts
    by_time = _stable_order(_small_whole(time))
    return by_time[_stable_order(refs[by_time])], starts


def row_codes(clusters: Clusters) -> Ints:
    """(n,) the cluster of each row; raises GlimmError where the rows are in a file."""
    if clusters.scope is not None:
        raise GlimmError(NO_ROWS)
    codes = np.empty(len(clusters.order), dtype=np.int64)
    codes[clusters.order] = np.repeat(np.arange(len(clusters.levels)), clusters.sizes)
    return codes


def contains(outer: NDArray[Any], inner: NDArray[Any]) -> bool:
    """Whether the rows of each level of `inner` are in one level of `outer`; both (n,) codes.

    >>> contains(np.array([0, 0, 1]), np.array([0, 1, 2])), contains(np.array([0, 1, 1]), np.array([0, 0, 1]))
    (True, False)
    """
    of = np.zeros(int(inner.max(initial=-1)) + 1, dtype=np.int64)
    of[inner] = outer
    return bool((of[inner] == outer).all())


def _small_whole(time: Floats) -> NDArray[Any]:
    """Times as small non-negative integers when they are whole numbers, else as they are."""
    low = time.min()
    if np.array_equal(time, np.floor(time)) and time.max() - low < 2**31:
        small: NDArray[Any] = (time - low).astype(np.int32)
        return small
    return time


def _stable_order(values: NDArray[Any]) -> Ints:
    """A stable argsort; non-negative int32 values in one or two counting passes of 16 bits."""
    if values.dtype != np.int32:
        return np.argsort(values, kind="stable")
    order = np.argsort(values.astype(np.uint16), kind="stable")
    if len(values) and values.max() > 0xFFFF:
        high = (values >> 16).astype(np.uint16)
        order = order[np.argsort(high[order], kind="stable")]
    return order


def occasions(clusters: Clusters, moments: str = "standard", scope: Occasions | None = None) -> Occasions:
    """Where the rows of the clusters are, for a working correlation; by position in the cluster under moments="gee". scope : of all."""
    if clusters.scope is not None:
        return clusters.scope
    order = clusters.order
    time = None if clusters.time is None or moments == "gee" else clusters.time[order]
    return Occasions(clusters.starts, time, None if clusters.inner is None else clusters.inner[order], scope)


def make_clusters(
    name: str, variable: Variable, rows: Ints | None, time: Floats | None, use_instead: str, inner: Variable | None = None
) -> Clusters:
    """The clusters of one grouping on the rows used.

    variable : the grouping as a factor, over the caller's rows; time : (n,) on the rows used; inner : a grouping inside this one

    Raises GlimmError for a single cluster and for a time that occurs twice in a cluster, naming both.
    """
    refs, levels = used_codes(variable, rows)
    if len(levels) < 2:
        raise GlimmError(f"{name!r} has a single cluster {levels[0]!r} in the rows used: {use_instead}")
    inside = None if inner is None else used_codes(inner, rows)[0].astype(np.float64)
    order, starts = gather(refs, len(levels), time if inside is None else inside)
    if time is not None:
        check_times(name, levels, refs, order, time, rows)
    return Clusters(name, level_array(levels), order, starts, time, inside)


def check_times(name: str, levels: Sequence[Any], refs: Codes, order: Ints, time: Floats, rows: Ints | None) -> None:
    """Raise GlimmError for a time that occurs twice in a cluster."""
    again = np.flatnonzero((np.diff(refs[order]) == 0) & (np.diff(time[order]) == 0))
    if len(again):
        first, second = (int(order[again[0] + k]) if rows is None else int(rows[order[again[0] + k]]) for k in (0, 1))
        raise GlimmError(
            f"cluster {levels[refs[order[again[0]]]]!r} of {name!r} has time {time[order[again[0]]]:g} twice, "
            f"in rows {first} and {second} (counting from 0): each time may occur once in a cluster; correct it or leave out time="
        )


def read_time(variable: Variable, rows: Ints | None) -> Floats:
    """(n,) times on the rows used: a numeric column, an ordered categorical as 1, 2, ..., or the numbers of an unordered one.

    Raises GlimmError for strings, booleans and categoricals of strings that have no order.
    """
    if variable.kind == "numeric":
        assert variable.values is not None
        return np.ascontiguousarray(variable.values if rows is None else variable.values[rows])
    assert variable.codes is not None
    codes = variable.codes if rows is None else variable.codes[rows]
    if variable.ordinal:
        return codes.astype(np.float64) + 1.0
    levels = level_array(variable.levels)
    if variable.ordered_levels and levels.dtype.kind in "iuf":
        return np.asarray(levels[codes], dtype=np.float64)
    what = "booleans" if variable.boolean else "a categorical without an order" if variable.ordered_levels else "strings"
    raise GlimmError(
        f"time {variable.name!r} holds {what}: give numbers, or categories in order of time, in pandas "
        "pd.Categorical(values, categories=[first, ..., last], ordered=True), in polars pl.Enum([first, ..., last])"
    )
