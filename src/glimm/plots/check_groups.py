"""The rows of a fit by levels, for the panel of residuals by group: of what was asked for, the first grouping, or the first factor.

by, record -> names of levels and the level of each row
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..data.columns import level_name
from ..design.clusters import row_codes
from ..errors import GlimmError
from ..kernels.matrix import Codes
from ..records import GeeRecord, MixedRecord, Record


@dataclass(frozen=True, slots=True)
class Grouped:
    """Rows by levels; cluster : they are clusters of the fit, whose residuals belong together."""

    name: str
    names: tuple[str, ...]
    codes: Codes
    cluster: bool


def groups_of(record: Record, by: Any) -> Grouped | None:
    """The groups of the third panel: `by`, the first grouping, the first factor; None where there is none."""
    d = record.design
    if by is not None:
        return given_groups(record, by)
    if isinstance(record, MixedRecord):
        term = d.mean.random[0]
        return Grouped(term.group, tuple(level_name(v) for v in term.levels.tolist()), term.refs, True)
    if isinstance(record, GeeRecord):
        clusters = next(iter(d.clusters.values()))
        return Grouped(clusters.name, tuple(level_name(v) for v in clusters.levels.tolist()), row_codes(clusters).astype(np.int32), True)
    for name, variable in d.columns.items():
        if variable.kind == "factor":
            return given_groups(record, name)
    return None


def given_groups(record: Record, by: Any) -> Grouped:
    """The groups of a column of the model, or of values, one per row; raises GlimmError for another name or number of values."""
    d = record.design
    if isinstance(by, str):
        for term in d.mean.random:
            if term.group == by:
                return Grouped(by, tuple(level_name(v) for v in term.levels.tolist()), term.refs, True)
        if by not in d.columns:
            kept = ", ".join(map(repr, d.columns))
            raise GlimmError(f"plot_check: by={by!r} is no column of the model ({kept}): give the values themselves, by=data[{by!r}]")
        variable = d.columns[by]
        if variable.kind == "factor":
            assert variable.codes is not None
            used, which = np.unique(variable.codes[d.rows], return_inverse=True)
            return Grouped(by, tuple(level_name(variable.levels[k]) for k in used), which.astype(np.int32), by in d.clusters)
        assert variable.values is not None
        values: Any = variable.values[d.rows]
    else:
        values = np.asarray(by)
        if values.ndim == 1 and len(values) == d.missing.n_rows != d.n:
            values = values[d.rows]
        if values.shape != (d.n,):
            raise GlimmError(f"plot_check: by has shape {values.shape}, but the model uses {d.n} rows: one value per row used, or per row")
        if values.dtype.kind == "O":
            values = values.astype(str)
    levels, codes = np.unique(values, return_inverse=True)
    return Grouped(by if isinstance(by, str) else "group", tuple(level_name(v) for v in levels.tolist()), codes.astype(np.int32), False)
