"""The caller's rows, used or left out, in their clusters and in order of time, with the responses that are known.

before(i) = the last row of i's cluster ahead of i whose response is known.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..covariance.correlated import CORRELATED
from ..data.records import Variable
from ..design.clusters import gather, read_time, row_codes
from ..design.records import Design
from ..design.response import make_response, response_variables
from ..errors import GlimmError
from ..estimators.scores import outermost
from ..kernels.matrix import Bools, Floats, Ints
from ..records import MixedRecord, Record

MOST_OCCASIONS = 100
FIRST_ROWS = 4096
ROWS_EACH = 1.5
INDEPENDENT_CLUSTERS = 20


@dataclass(frozen=True, slots=True)
class AllRows:
    """Rows of the caller's data; N of them.

    used : (N,) in the fit; y : (N,) response as modelled, NaN where it is not known
    group : the grouping inside which rows follow one another, "" for none; codes : (N,) its clusters, -1 where missing
    independent : (N,) clusters whose rows are independent of other clusters' rows: every row its own where there are none
    outer : the name of these clusters, "" for rows
    time_name : the column of time, "" for the order of rows; time : (N,), NaN where missing
    guessed : whether that is a predictor which increases from row to row in every cluster, rather than named as time
    """

    used: Bools
    y: Floats
    group: str
    codes: Ints
    independent: Ints
    outer: str
    time_name: str = ""
    time: Floats | None = None
    guessed: bool = False

    @property
    def n(self) -> int:
        """All rows."""
        return len(self.used)


def all_rows(record: Record) -> AllRows:
    """The rows of a fit's data and what is known of their order."""
    design = record.design
    n = design.missing.n_rows
    used = np.zeros(n, dtype=np.bool_)
    used[design.rows] = True
    group, outer = _groups(record)
    codes = cluster_codes(design, group)
    independent = codes if outer == group else cluster_codes(design, outer)
    alone = independent < 0
    independent = np.where(alone, independent.max(initial=-1) + np.cumsum(alone), independent)
    rows = AllRows(used, _responses(record), group, codes, independent, outer)
    times = _times(record, group)
    if not design.missing.n_dropped:  # then times matter as occasions only
        times = [t for t in times if not t[2] or len(np.unique(as_numbers(t[1])[:FIRST_ROWS])) <= MOST_OCCASIONS]
    for name, variable, guessed in times:
        time = as_numbers(variable) if guessed or record.design.mean.random else in_time(variable)
        if not guessed or (_never_falls(time[:FIRST_ROWS], codes[:FIRST_ROWS]) and _increases(time, codes)):
            return replace(rows, time_name=name, time=time, guessed=guessed)
    return rows


def cluster_codes(design: Design, group: str) -> Ints:
    """(N,) the cluster of every row of the data, -1 where it is missing, or for no grouping."""
    n = design.missing.n_rows
    if not group:
        return np.full(n, -1, dtype=np.int64)
    if design.inputs is not None:
        codes = design.inputs.groupings[group].codes
        assert codes is not None
        return codes.astype(np.int64)
    term = next((term for term in design.mean.random if term.group == group), None)
    return row_codes(design.clusters[group]) if term is None else term.refs.astype(np.int64)


def as_numbers(variable: Variable) -> Floats:
    """(N,) numbers, or positions of levels; NaN where missing."""
    if variable.values is not None:
        values = np.asarray(variable.values, dtype=np.float64)
        return values if variable.missing is None else np.where(variable.missing, np.nan, values)
    assert variable.codes is not None
    return np.where(variable.codes < 0, np.nan, variable.codes.astype(np.float64))


def in_time(variable: Variable) -> Floats:
    """(N,) times as a GEE reads them, NaN where missing."""
    out = np.full(len(as_numbers(variable)), np.nan)
    known = np.flatnonzero(~np.isnan(as_numbers(variable)))
    out[known] = read_time(variable, known)
    return out


def before(rows: AllRows, among: Bools) -> Ints:
    """(N,) position of the row before with a known response, -1 where there is none, and in rows that are not among those asked for."""
    out = np.full(rows.n, -1, dtype=np.int64)
    known = among & (rows.codes >= 0)
    if rows.time is not None:
        known &= ~np.isnan(rows.time)
    at = np.flatnonzero(known)
    codes = rows.codes[at]
    if len(at) < 2:
        return out
    order = _by_code(codes, None if rows.time is None else rows.time[at])
    at, codes = at[order], codes[order]
    places = np.arange(len(at))
    last = np.maximum.accumulate(np.where(np.isnan(rows.y[at]), -1, places))[:-1]
    first = np.maximum.accumulate(np.where(np.diff(codes, prepend=codes[0] - 1) != 0, places, 0))[1:]
    there = last >= first
    out[at[1:][there]] = at[last[there]]
    return out


def _by_code(codes: Ints, time: Floats | None = None) -> Ints:
    """A stable order by code, then by time."""
    return gather(codes.astype(np.int32), int(codes.max()) + 1, time)[0]


def planned(rows: AllRows) -> tuple[Ints, int]:
    """(N,) which occasion each row is, and how many there are; 0 of them where the clusters have no times in common."""
    none = np.full(rows.n, -1, dtype=np.int64), 0
    if rows.time is None or not rows.group:
        return none
    here = (rows.codes >= 0) & ~np.isnan(rows.time)
    if not here.any():
        return none
    points, places = np.unique(rows.time[here], return_inverse=True)
    sizes = np.bincount(rows.codes[here])
    cells = np.sort(rows.codes[here] * len(points) + places)
    if not 2 <= len(points) <= min(MOST_OCCASIONS, 2 * int(sizes.max())) or (np.diff(cells) == 0).any():
        return none
    none[0][here] = places
    return none[0], len(points)


def _groups(record: Record) -> tuple[str, str]:
    """(grouping inside which rows follow one another, grouping whose clusters are independent)."""
    design = record.design
    if not isinstance(record, MixedRecord):
        name = next(iter(design.clusters), "")
        return name, name
    levels = {term.group: len(term.levels) for term in design.mean.random}
    repeated = {name: count for name, count in levels.items() if count * ROWS_EACH <= design.n}
    if not repeated:
        return "", ""
    inner = max(repeated, key=lambda name: repeated[name])
    outer = outermost(design)
    return inner, outer if outer is not None and levels[outer] >= INDEPENDENT_CLUSTERS else inner


def _responses(record: Record) -> Floats:
    """(N,) responses as modelled: of the rows used, and of others where they can be read in the same way."""
    design = record.design
    y = np.full(design.missing.n_rows, np.nan)
    if design.inputs is not None:
        variables = design.inputs.variables
        known = np.ones(len(y), dtype=np.bool_)
        for name in response_variables(design.spec.formula):
            missing = variables[name].missing
            if missing is not None:
                known &= ~missing
        rows = np.flatnonzero(known)
        try:
            found, _, _ = make_response(design.spec.formula, record.family, variables, rows)
            y[rows] = found
        except GlimmError:
            pass
        if not np.array_equal(y[design.rows], design.y):
            y[:] = np.nan
    y[design.rows] = design.y
    return y


def _times(record: Record, group: str) -> list[tuple[str, Variable, bool]]:
    """Columns that may say the time: (name, column, whether that is a guess)."""
    design = record.design
    inputs = design.inputs
    if inputs is not None and "time" in inputs.arguments and group in design.clusters:
        return [(inputs.arguments["time"].name, inputs.arguments["time"], False)]
    if group in design.clusters and design.clusters[group].time is not None:
        given = dict(record.call.arguments).get("time", "time").strip("\"'")
        return [(given, Variable(given, "numeric", values=design.clusters[group].time), False)]
    for term in design.mean.random:
        if term.structure in CORRELATED and term.group == group and term.spec is not None and len(term.spec.variables) == 1:
            name = term.spec.variables[0]
            return [(name, design.columns[name], False)]
    columns = [(name, design.columns[name]) for name in design.spec.fixed.variables] if group else []
    return [(name, column, True) for name, column in columns if column.kind == "numeric" or column.ordinal]


def _steps(time: Floats, codes: Ints) -> Floats:
    """Differences of neighbouring rows of a cluster, of the rows with a cluster and a time, in their order."""
    known = np.flatnonzero((codes >= 0) & ~np.isnan(time))
    if len(known) < 2:
        return np.zeros(0)
    order = known[_by_code(codes[known])]
    return np.asarray(np.diff(time[order])[np.diff(codes[order]) == 0])


def _never_falls(time: Floats, codes: Ints) -> bool:
    """Whether a column increases inside every cluster of some rows."""
    return bool((_steps(time, codes) > 0.0).all())


def _increases(time: Floats, codes: Ints) -> bool:
    """Whether a column increases from row to row inside every cluster, many of which have several rows."""
    steps = _steps(time, codes)
    known = int(np.count_nonzero((codes >= 0) & ~np.isnan(time)))
    return bool(4 * len(steps) >= known > 0 and (steps > 0.0).all())
