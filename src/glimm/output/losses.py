"""Rows left out, in a comparison: what follows for each fit, the regression behind it, and rows that one fit uses and another does not.

Sentences and numbers are those of the findings (diagnostics/losses.py).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from ..design.predictors import as_levels
from ..diagnostics import losses
from ..diagnostics.findings import Finding
from ..diagnostics.occasions import AllRows, all_rows
from ..errors import GlimmError
from ..kernels.matrix import Floats, Ints
from ..records import Record
from ..text import counted, figures, listed
from .sections import Column, Table
from .side_by_side import Model

MOST_MEANS = 4


class Told(NamedTuple):
    """Sentences about rows left out, and the regression that shows why they were, where there is one to show."""

    sentences: tuple[str, ...]
    table: Table | None


NOTHING = Told((), None)


def told(models: Sequence[Model]) -> Told:
    """What follows for each fit from how its rows were lost; nothing where that is related to nothing."""
    if not any(m.record.design.missing.n_dropped or losses.uneven(m.record) for m in models):
        return NOTHING
    seen = _order(models)
    said: dict[tuple[str, str], tuple[Finding, dict[str, list[int]]]] = {}
    shown: Finding | None = None
    for m in models:
        for finding in losses.find(m.record, None if seen is None else of_fit(seen, m.record)):
            if finding.code == "rows_lost":
                continue
            shown = shown or (finding if finding.shown else None)
            _, each = said.setdefault((finding.code, finding.sentence), (finding, {}))
            each.setdefault(finding.consequence, []).append(m.number)
    sentences = []
    for finding, each in said.values():
        follows = [f"In {listed([f'({k})' for k in numbers])} {text[0].lower()}{text[1:]}" for text, numbers in each.items()]
        sentences.append(" ".join([finding.sentence, *follows]))
    return Told(tuple(sentences), None if shown is None else regression(shown))


def of_fit(seen: AllRows, record: Record) -> AllRows:
    """The rows of the data in the order that another fit gives them, with those that this fit uses."""
    used = np.zeros(seen.n, dtype=np.bool_)
    used[record.design.rows] = True
    y = seen.y.copy()
    y[record.design.rows] = record.design.y
    return replace(seen, used=used, y=y)


def regression(finding: Finding) -> Table:
    """The table of a finding."""
    heads, *rows = finding.shown
    columns = [
        Column("which rows were left out", tuple(row[0] for row in rows)),
        Column(heads[1], tuple(row[1] for row in rows)),
        Column(heads[2], tuple(row[2] for row in rows), "number"),
        Column(heads[3], tuple(row[3].replace(" to ", "|") for row in rows), "interval"),
        Column(heads[4], tuple(row[4] for row in rows), "number"),
    ]
    e = finding.evidence
    note = f"Logistic regression of {', '.join(e['columns'])} missing: {e['rows']} rows" + (
        f", errors by cluster, {e['clusters']} of which lost rows." if e["by_cluster"] else "."
    )
    unused = [f"{name} ({why})" for name, why in e["unused"].items()]
    return Table("Which rows were left out", tuple(columns), (note, f"Not in it: {listed(unused)}.") if unused else (note,))


def unlike_rows(models: Sequence[Model]) -> list[str]:
    """Rows that one fit uses and another does not: why, and how their means differ from those of the rows that both use."""
    first = models[0]
    out = []
    for other in models[1:]:
        for more, fewer in ((first, other), (other, first)):
            gone = np.setdiff1d(more.record.design.rows, fewer.record.design.rows, assume_unique=True)
            if len(gone):
                out.append(_unlike(more, fewer, gone))
    return list(dict.fromkeys(out))


def _unlike(more: Model, fewer: Model, gone: Ints) -> str:
    kept = np.intersect1d(more.record.design.rows, fewer.record.design.rows, assume_unique=True)
    columns = _means_of(more.record)
    reasons = [name for name in fewer.record.design.missing.by_variable if name not in more.record.design.missing.by_variable]
    why = f" ({listed(reasons)} missing)" if reasons else ""
    text = f"({fewer.number}) leaves out {counted(len(gone), 'row')} that ({more.number}) uses{why}"
    parts = []
    for name, values in columns:
        a, b = float(np.nanmean(values[gone])), float(np.nanmean(values[kept])) if len(kept) else math.nan
        parts.append(f"{name} {figures(a, 3)} against {figures(b, 3)}")
    return f"{text}; means of these rows against those of the rows kept: {', '.join(parts)}." if parts and len(kept) else f"{text}."


def _means_of(record: Record) -> list[tuple[str, Floats]]:
    """The response and the numeric or two-level predictors of a fit over all rows of the data, the first few."""
    design = record.design
    y = np.full(design.missing.n_rows, np.nan)
    y[design.rows] = design.y
    out = [(design.response.name, y)]
    levels = as_levels(design)
    for name in design.spec.fixed.variables:
        column = design.columns[name]
        if column.values is not None and name not in levels:
            out.append((name, np.asarray(column.values, dtype=np.float64)))
        elif column.codes is not None and len(column.levels) == 2:
            out.append((f"{name} = {column.levels[1]}", column.codes.astype(np.float64)))
    return out[:MOST_MEANS]


def _order(models: Sequence[Model]) -> AllRows | None:
    """The clusters and the time that the fits name, of the first that names them."""
    found = []
    for m in models:
        try:
            found.append(all_rows(m.record))
        except GlimmError:
            continue
    named = [rows for rows in found if rows.group]
    return min(named, key=lambda rows: (not rows.time_name, rows.guessed)) if named else None
