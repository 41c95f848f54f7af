"""Which rows follow each other: rows of one cluster in order of time, or all rows in the order of a column."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..design.clusters import gather, read_time, row_codes
from ..errors import GlimmError
from ..kernels.matrix import Codes, Floats, Ints
from ..records import GeeRecord, MixedRecord, Record


@dataclass(frozen=True, slots=True)
class Neighbours:
    """order : (n,) rows so that neighbours follow each other; joined : (n - 1,) 1 where two in a row are neighbours, else 0."""

    order: Ints
    joined: Floats
    note: str


def neighbours(record: Record, time: Any) -> Neighbours | None:
    """Neighbours of a fit; None where no row has one.

    time : a column of the model, an array, or None: as the fit has them, or as they stand

    Raises GlimmError for a column that the fit does not keep and for times that are missing.
    """
    n = record.design.n
    given = None if time is None else times(record, time)
    name, codes = grouping(record)
    if given is None and isinstance(record, GeeRecord):
        given = next(iter(record.design.clusters.values())).time
    order, _ = gather(codes, int(codes.max(initial=0)) + 1, given)
    joined = (np.diff(codes[order]) == 0).astype(np.float64)
    if joined.sum() < 2 or n < 3:
        return None
    how = "in the order given" if given is None else f"in order of {time if isinstance(time, str) else 'time'}"
    return Neighbours(order, joined, f"correlation of neighbouring rows{f' of one {name}' if name else ''}, {how}")


def grouping(record: Record) -> tuple[str, Codes]:
    """(name, (n,) codes) of the clusters inside which rows are neighbours: the finest grouping with repeated rows, or all rows."""
    if isinstance(record, MixedRecord):
        terms = [t for t in record.design.mean.random if 2 * len(t.levels) <= record.design.n]
        if terms:
            term = max(terms, key=lambda t: len(t.levels))
            return term.group, term.refs
    elif record.design.clusters:
        clusters = next(iter(record.design.clusters.values()))
        return clusters.name, row_codes(clusters).astype(np.int32)
    return "", np.zeros(record.design.n, dtype=np.int32)


def times(record: Record, time: Any) -> Floats:
    """(n,) numbers to order the rows used by."""
    design = record.design
    if isinstance(time, str):
        if time not in design.columns:
            kept = ", ".join(map(repr, design.columns))
            raise GlimmError(
                f"residual_tests: time={time!r} is no column of the model ({kept}): give the values themselves, time=data[{time!r}]"
            )
        variable = design.columns[time]
        values = read_time(variable, design.rows)
    else:
        try:
            values = np.asarray(time, dtype=np.float64)
        except (TypeError, ValueError):
            raise GlimmError("residual_tests: time must be numbers that order the rows, or the name of such a column") from None
        if values.ndim == 1 and len(values) == design.missing.n_rows != design.n:
            values = values[design.rows]
    if values.shape != (design.n,):
        raise GlimmError(
            f"residual_tests: time has shape {values.shape}, but the model uses {design.n} rows: one value per row used, or per row"
        )
    if np.isnan(values).any():
        row = int(design.rows[int(np.argmax(np.isnan(values)))])
        raise GlimmError(f"residual_tests: time is missing in row {row} (counting from 0): fill it in, or fit without that row")
    return np.ascontiguousarray(values)
