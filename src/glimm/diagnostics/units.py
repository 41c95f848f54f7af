"""What is left out at a time: rows, clusters, or the rows of each level of a column; u = {i : code_i = u}."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.columns import level_array, used_codes
from ..design.clusters import gather, row_codes
from ..design.records import Clusters, Design
from ..errors import GlimmError, suggest
from ..estimators.scores import outermost
from ..kernels.matrix import Bools, Codes, Floats, Ints
from ..records import GeeRecord, GlmRecord, MixedRecord, Record

ENTRIES = 2**22
TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True)
class Units:
    """What is left out.

    name : "row", or what the levels are of; levels : (K,); codes : (n,) unit of each row used; order, starts : rows by unit
    single : every unit is one row, in the rows' order
    """

    name: str
    levels: NDArray[Any]
    codes: Codes
    order: Ints
    starts: Ints
    single: bool = False

    @property
    def sizes(self) -> Ints:
        """(K,) rows of each."""
        return np.diff(self.starts)

    def rest(self, unit: int) -> Ints:
        """Rows that stay without a unit."""
        return np.flatnonzero(self.codes != unit)


def find_units(record: Record, by: Any) -> Units:
    """The units that `by` names; see `fit.influence`. Raises GlimmError for what the fit does not have."""
    design = record.design
    groups = list(dict.fromkeys([*design.clusters, *(term.group for term in design.mean.random), *design.columns]))
    if by is not None and not isinstance(by, str):
        raise GlimmError(f"influence: by must be 'row', 'cluster', a grouping or a column of the model, not {type(by).__name__}")
    if by == "row" and by in groups:
        raise GlimmError("influence: by='row' would be single rows, but a column of the model has this name: give the column another")
    if by == "row" or (by is None and isinstance(record, GlmRecord)):
        codes = np.arange(design.n, dtype=np.int32)
        return Units("row", design.rows, codes, np.arange(design.n), np.arange(design.n + 1), True)
    if by is None or (by == "cluster" and by not in groups):
        by = _clusters(record)
    if by in design.clusters:
        clusters = design.clusters[by]
        return _units(by, clusters.levels, row_codes(clusters).astype(np.int32))
    for term in design.mean.random:
        if term.group == by:
            return _units(by, term.levels, term.refs)
    if by in design.columns:
        return _column(design, by)
    other = "; of a GLM another column can be named at the door, vcov={'cluster': ...}" if isinstance(record, GlmRecord) else ""
    raise GlimmError(f"influence: by={by!r} is not a grouping or a column of the model: {suggest(by, ['row', 'cluster', *groups])}{other}")


def _clusters(record: Record) -> str:
    """The name of a fit's clusters."""
    design = record.design
    if isinstance(record, GeeRecord):
        return next(iter(design.clusters))
    if isinstance(record, MixedRecord):
        name = outermost(design)
        if name is None:
            groups = list(dict.fromkeys(term.group for term in design.mean.random))
            raise GlimmError(
                f"influence: the groupings {', '.join(groups)} cross, so no clusters are independent: name by={groups[0]!r}, or 'row'"
            )
        return name
    if not design.clusters:
        raise GlimmError("influence: by='cluster' of a GLM needs its clusters: fit with vcov={'cluster': 'column'}, or use by='row'")
    if len(design.clusters) > 1:
        raise GlimmError(f"influence: the fit has clusters in several directions: name one, by={next(iter(design.clusters))!r}")
    return next(iter(design.clusters))


def _units(name: str, levels: NDArray[Any], codes: Codes) -> Units:
    return Units(name, levels, codes, *gather(codes, len(levels)))


def _column(design: Design, name: str) -> Units:
    """The rows of each value of a column."""
    variable = design.columns[name]
    if variable.kind == "factor":
        refs, found = used_codes(variable, design.rows)
        return _units(name, level_array(found), refs)
    assert variable.values is not None
    values, codes = np.unique(variable.values[design.rows], return_inverse=True)
    return _units(name, values.astype(np.int64) if variable.integer else values, codes.ravel().astype(np.int32))


def lost_units(design: Design, units: Units, clusters: Mapping[str, Clusters], threads: int) -> dict[int, str]:
    """Units without which the model is another one, each with the reason."""
    out = {int(u): "a coefficient is not determined by the rows that stay" for u in np.flatnonzero(~_determined(design, units, threads))}
    groupings = {term.group: term.refs for term in design.mean.random}
    groupings |= {name: row_codes(c).astype(np.int32) for name, c in clusters.items()}
    for name, refs in groupings.items():
        rows_of = np.bincount(refs)
        pairs, counts = np.unique(units.codes.astype(np.int64) * len(rows_of) + refs, return_counts=True)
        gone = np.bincount(pairs // len(rows_of), counts == rows_of[pairs % len(rows_of)], len(units.levels))
        out |= {int(u): f"a single level of {name} stays" for u in np.flatnonzero(np.sum(rows_of > 0) - gone < 2)}
    return out


def _determined(design: Design, units: Units, threads: int) -> Bools:
    """(K,) whether the model matrix keeps its rank: smallest eigenvalue of X_r'X_r in units of X'X, X_r the rows that stay."""
    x = working_matrix(design)
    if not x.shape[1]:
        return np.ones(len(units.levels), dtype=bool)
    gram = x.T @ x
    back = np.linalg.inv(np.linalg.cholesky(gram)).T
    out = np.empty(len(units.levels), dtype=bool)
    for begin, end, rows in batches(units.order, units.starts, x.shape[1] ** 2):
        q = x[rows] @ back
        if units.single:
            out[begin:end] = 1.0 - np.einsum("ij,ij->i", q, q) > TOLERANCE
            continue
        own = np.add.reduceat(q[:, :, None] * q[:, None, :], units.starts[begin:end] - units.starts[begin])
        out[begin:end] = 1.0 - np.linalg.eigvalsh(own)[:, -1] > TOLERANCE
    return out


def working_matrix(design: Design) -> Floats:
    """(n, p) the working columns (x - center) / scale."""
    part = design.mean
    return np.asarray((part.matrix.dense() - part.center) / part.scale)


def batches(order: Ints, starts: Ints, width: int) -> Iterator[tuple[int, int, Ints]]:
    """(first group, end, their rows) with about ENTRIES numbers at a time, `width` for each row and group."""
    cost = (starts + np.arange(len(starts))) * width
    begin, groups = 0, len(starts) - 1
    while begin < groups:
        end = max(int(np.searchsorted(cost, cost[begin] + ENTRIES, side="right")) - 1, begin + 1)
        yield begin, end, order[starts[begin] : starts[end]]
        begin = end


def summed(a: Floats, b: Floats, order: Ints, starts: Ints) -> Floats:
    """(K, i, j) sums of a_r b_r' over the rows of each group; no group is empty."""
    out = np.empty((len(starts) - 1, a.shape[1], b.shape[1]))
    for begin, end, rows in batches(order, starts, a.shape[1] * b.shape[1]):
        out[begin:end] = np.add.reduceat(a[rows][:, :, None] * b[rows][:, None, :], starts[begin:end] - starts[begin])
    return out


@dataclass(frozen=True, slots=True)
class Pairs:
    """Units and the independent blocks that they have rows in: unit, block, (m,) each, by unit; first : (K,) where a unit begins
    counts : rows of the unit in the block; code : (n,) pair of each row."""

    unit: Ints
    block: Ints
    first: Ints
    counts: Ints
    code: Ints


def pairs_of(units: Units, blocks: Codes) -> Pairs:
    """Which blocks each unit touches."""
    count = int(blocks.max()) + 1
    found, code, counts = np.unique(units.codes.astype(np.int64) * count + blocks, return_inverse=True, return_counts=True)
    unit = found // count
    return Pairs(unit, found % count, np.searchsorted(unit, np.arange(len(units.levels))), counts, code.ravel())


def remains(units: Units, blocks: Codes, pairs: Pairs) -> Iterator[tuple[int, int, Ints, Ints]]:
    """(first unit, end, rows, unit of each): what stays of the blocks that units touch, in batches of about ENTRIES / 4 rows."""
    order, starts = gather(blocks, int(blocks.max()) + 1)
    cost = np.concatenate([[0], np.cumsum(np.diff(starts)[pairs.block])])
    ends = np.append(pairs.first, len(pairs.unit))
    begin, count = 0, len(units.levels)
    while begin < count:
        end = max(int(np.searchsorted(cost[ends], cost[ends[begin]] + ENTRIES // 4, side="right")) - 1, begin + 1)
        of = slice(ends[begin], ends[end])
        sizes = np.diff(starts)[pairs.block[of]]
        within = np.arange(int(sizes.sum())) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        rows = order[np.repeat(starts[pairs.block[of]], sizes) + within]
        owner = np.repeat(pairs.unit[of], sizes)
        stays = units.codes[rows] != owner
        yield begin, end, rows[stays], owner[stays]
        begin = end
