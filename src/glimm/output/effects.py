"""One exposure's average effect: of one fit, and in all fits of a comparison, brought to the same target over the same rows.

A1 - A0, A1 / A0 or the odds ratio of averages over the population; of mixed models also for a typical cluster, which is another question.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from ..design.predictors import predictors_of
from ..errors import GlimmError
from ..inference.covariance import Inference
from ..kernels.matrix import Ints
from ..marginal import effects
from ..marginal.population import Some, make_wish
from ..records import AnyRecord, LevelsRecord, MixedRecord, Record
from ..text import decimals, figures, listed, number, p_value
from . import words
from .sections import Column as TableColumn
from .sections import Heading, Paragraph, Row, Section, SideBySide, Table, interval_cell
from .side_by_side import Column, cell, heads_of
from .terminal import render

NARROW = 100
ABOUT = {
    "marginal": "Means are averaged over the distribution of the clusters too.",
    "typical": "The random effects are at zero: this is a typical cluster, and no average over clusters.",
    "conditional": "Each row has the predicted effect of its own cluster.",
}


@final
@dataclass(frozen=True, slots=True)
class Effect:
    """One effect of one column of a comparison.

    column : its number; target : "marginal" or "typical"; label : which values are contrasted
    """

    column: int
    target: str
    label: str
    estimate: float
    std_error: float
    p_value: float
    low: float
    high: float


@final
@dataclass(frozen=True, slots=True)
class Effects:
    """The effects of one variable in a comparison.

    contrast : "difference", "ratio" or "odds_ratio"; rows : how many were averaged over; whole : all rows that every fit used
    notes : fits without the variable; asked : the arguments of the comparison
    """

    variable: str
    contrast: str
    found: tuple[Effect, ...]
    rows: int
    whole: bool
    notes: tuple[str, ...]
    asked: Mapping[str, Any]


def find(columns: Sequence[Column], variable: Any, contrast: str, values: Any) -> Effects:
    """The effects; raises GlimmError for what no fit has as a predictor, and as `fit.effect` does."""
    records = [c.model.record for c in columns]
    known = [isinstance(variable, str) and variable in predictors_of(r.design) for r in records]
    common = shared_rows([r for r, has in zip(records, known, strict=True) if has] or records)
    if not len(common):
        raise GlimmError("compare: the fits have no row in common, so there is no population to average over")
    found: list[Effect] = []
    with once_each():
        for k, (column, has) in enumerate(zip(columns, known, strict=True)):
            if has or not any(known):  # the first fit's error names the predictors there are
                for target in targets(column.model.record):
                    found += _of(k, column.model.record, column.inference, variable, contrast, values, target, common)
    without = list(dict.fromkeys(f"({c.model.number})" for c, has in zip(columns, known, strict=True) if not has))
    notes = (f"{listed(without)} {'has' if len(without) == 1 else 'have'} no {variable}, so no effect of it.",) if without else ()
    whole = all(len(common) == r.design.n for r, has in zip(records, known, strict=True) if has)
    asked: dict[str, Any] = {"effect": variable}
    if contrast != "difference":
        asked["contrast"] = contrast
    if values is not None:
        asked["values"] = tuple(values.tolist()) if isinstance(values, np.ndarray) else values
    return Effects(variable, contrast, tuple(found), len(common), whole, notes, asked)


@contextmanager
def once_each() -> Iterator[None]:
    """Warnings that several columns have in common, once, as if the caller of `compare` had been told."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for message, category in dict.fromkeys((str(w.message), w.category) for w in caught):
        warnings.warn(message, category, stacklevel=6)


def shared_rows(records: Sequence[Record]) -> Ints:
    """Rows of the caller's data that all fits used."""
    common = records[0].design.rows
    for record in records[1:]:
        if not np.array_equal(common, record.design.rows):
            common = np.intersect1d(common, record.design.rows)
    return common


def targets(record: Record) -> tuple[str, ...]:
    """The population's average; of a mixed model with a curved link also the typical cluster."""
    if isinstance(record, MixedRecord) and record.design.mean.link.name != "identity":
        return ("marginal", "typical")
    return ("marginal",)


def _of(k: int, record: Record, inference: Inference, variable: str, contrast: str, values: Any, target: str, common: Ints) -> list[Effect]:
    at = np.arange(record.design.n) if len(common) == record.design.n else np.flatnonzero(np.isin(record.design.rows, common))
    wish = make_wish(record, "effect", target, None, Some(at), "delta", 2, None, 0.95)
    table = effects.effect(record, inference, variable, contrast, values, wish)
    names = ("estimate", "std_error", "p_value", "conf_low", "conf_high")
    numbers = zip(*(table[name] for name in names), strict=True)
    return [Effect(k, target, label, *(float(v) for v in row)) for label, row in zip(table["contrast"], numbers, strict=True)]


def alone(record: Record, inference: Inference, variable: str, contrast: str, target: str | None, level: float) -> effects.Columns:
    """Columns of the table of one fit's average effects over its rows; raises GlimmError as `fit.effect` does."""
    wish = make_wish(record, "effect", target, None, "all", "delta", 2, None, level)
    return effects.effect(record, inference, variable, contrast, None, wish)


def told(record: AnyRecord, inference: Inference, table: Mapping[str, Any], contrast: str, level: float) -> str:
    """The effects of one fit as text, to be read below its summary."""
    return render(single(record, inference, table, contrast, level), NARROW)


def single(record: AnyRecord, inference: Inference, table: Mapping[str, Any], contrast: str, level: float) -> tuple[Section, ...]:
    """The effects of one fit, a row for each contrast, and each level of a response with levels, with what they are averages of."""
    places = [decimals(float(se)) for se in table["std_error"]]

    def shown(name: str) -> tuple[str, ...]:
        return tuple(number(float(v), k) for v, k in zip(table[name], places, strict=True))

    def averages(name: str) -> tuple[str, ...]:
        return shown(name) if contrast == "difference" else tuple(figures(float(v)) for v in table[name])

    size = record.design.size
    counted = "" if size is None or np.ptp(size) == 0.0 else " by weights and trials"
    rows = f"the {table['rows'][0]} rows used"
    said = f"Everybody in {rows} is predicted with each value, the predictions are averaged{counted}, and the averages contrasted "
    said += "(g-computation)."
    if isinstance(record, MixedRecord) and record.design.mean.link.name != "identity":
        said += f" {ABOUT[table['target'][0]]}"
    reference = words.reference(inference, record.design.mean.link.name == "identity" and contrast == "difference")
    notes = [f"standard errors: delta method, {inference.label}; {reference}"]
    if contrast != "difference":
        notes.append("statistic, p and interval are made on the log scale")
    columns = (
        TableColumn("contrast", tuple(table["contrast"])),
        *([TableColumn("level", tuple(map(str, table["level"])))] if "level" in table else []),
        TableColumn("estimate", shown("estimate"), "number"),
        TableColumn("std. error", shown("std_error"), "number"),
        TableColumn("z" if inference.df is None else "t", tuple(number(float(v), 2) for v in table["statistic"]), "number"),
        TableColumn("p", tuple(p_value(float(v)) for v in table["p_value"]), "right"),
        TableColumn(f"{100.0 * level:g} % interval", tuple(map(interval_cell, shown("conf_low"), shown("conf_high"))), "interval"),
        TableColumn("mean from", averages("mean_from"), "number"),
        TableColumn("mean to", averages("mean_to"), "number"),
    )
    heading = Heading(f"Average effect of {table['variable'][0]}: {what(record, contrast)}")
    return heading, Table("effects", columns, tuple(notes)), Paragraph(said)


def what(record: AnyRecord, contrast: str) -> str:
    """What is contrasted, in words."""
    risk = record.family.support == "binomial"
    if isinstance(record, LevelsRecord):
        several = "probabilities"
    else:
        one = words.mean_words(record)
        several = one.replace("mean of", "means of", 1) if one.startswith("mean of") else f"{one}s"
    return {
        "difference": "risk difference" if risk else f"difference of {several}",
        "ratio": "risk ratio" if risk else f"ratio of {several}",
        "odds_ratio": "odds ratio of averages",
    }[contrast]


def section(columns: Sequence[Column], e: Effects) -> SideBySide:
    """A row per contrast and target."""
    record = columns[0].model.record
    held = {(f.target, f.label, f.column): f for f in e.found}
    groups = []
    for target, said in (("marginal", "population"), ("typical", "typical cluster")):
        rows: list[Row] = []
        for label in dict.fromkeys(f.label for f in e.found if f.target == target):
            row = [held.get((target, label, k)) for k in range(len(columns))]
            places = decimals(min((f.std_error for f in row if f is not None and f.std_error > 0.0), default=np.nan))
            shown = tuple(cell(None if f is None else (f.estimate, f.std_error, f.low, f.high), places) for f in row)
            rows.append((f"{label}, {said}", shown))
        if rows:
            groups.append(tuple(rows))
    groups.append((("standard errors", tuple(words.se_kind(c.inference.label) for c in columns)),))
    return SideBySide(f"{what(record, e.contrast)}\nby {e.variable} (95 %)", heads_of(columns), tuple(groups))


def sentences(columns: Sequence[Column], e: Effects) -> list[str]:
    """What was averaged over, and which rows may be compared."""
    rows = f"the {e.rows} rows that {'all fits' if e.whole else 'every fit'} used"
    out = [
        f"Effects of {e.variable}: everybody in {rows} is predicted with each value, the predictions are averaged, and the averages "
        "contrasted (g-computation)."
    ]
    if any(f.target == "typical" for f in e.found):
        out.append(
            "The population rows answer one question in every column and may be compared. A typical cluster, with random effects at "
            "zero, is another question: it is no average over clusters."
        )
    return [*out, *e.notes]


def drawn(columns: Sequence[Column], e: Effects) -> tuple[str, str, list[tuple[str, str, Effect]], float]:
    """For a forest plot: what is contrasted, sentences under the title, (fit, its errors, effect) each, and the value of no effect."""
    rows = []
    for f in sorted(e.found, key=lambda f: (f.target != "marginal", f.label)):
        c = columns[f.column]
        fit = f"({c.model.number}) {c.model.name}"
        rows.append((fit, words.se_kind(c.inference.label), f))
    said = f"Averages over the {e.rows} rows that {'all fits' if e.whole else 'every fit'} used, with 95 % intervals."
    if any(f.target == "typical" for f in e.found):
        said += " A typical cluster has random effects at zero: another question, and no average."
    return f"{what(columns[0].model.record, e.contrast)} by {e.variable}", said, rows, 0.0 if e.contrast == "difference" else 1.0
