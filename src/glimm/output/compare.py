"""Fits side by side: one column per fit and kind of standard errors, with what each number means and assumes.

A GLM gets a second column with cluster-robust standard errors when another fit names the clusters:
cluster of a GLM's row = cluster of the same row of the caller's data in the other fit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np

from ..design.clusters import contains, gather, row_codes
from ..design.records import Clusters, RandomTerm
from ..errors import GlimmError
from ..inference.comparable import compared
from ..inference.covariance import Inference, infer
from ..inference.covariance import named as as_named
from ..inference.glm_covariance import cluster_work
from ..kernels.matrix import Floats, Ints
from ..records import GeeRecord, GlmRecord, MixedRecord, Record
from ..text import listed
from . import compared_tables, effects, losses, tables, words
from .effects import Effect, Effects
from .losses import NOTHING, Told
from .sections import Items, Section
from .side_by_side import Column, Model, body, explanations, heading, quasi_of


@final
@dataclass(frozen=True, slots=True)
class Compared:
    """Fits side by side.

    models : one per fit; columns : one per fit and kind of standard errors; notes : what the reader must know, in sentences
    effect : the average effects of one variable, where they were asked for; lost : what follows from rows left out
    """

    models: tuple[Model, ...]
    columns: tuple[Column, ...]
    notes: tuple[str, ...]
    effect: Effects | None = None
    lost: Told = NOTHING

    @property
    def sections(self) -> tuple[Section, ...]:
        """What the text and the HTML come from."""
        between = () if self.effect is None else (effects.section(self.columns, self.effect),)
        return (heading(self.models), body(self.columns), *between, *self.known_of_losses, self.items)

    @property
    def known_of_losses(self) -> tuple[Section, ...]:
        """The regression of which rows were left out, where that is related to anything."""
        return () if self.lost.table is None else (self.lost.table,)

    @property
    def items(self) -> Items:
        """What must be known when reading it."""
        said = [] if self.effect is None else effects.sentences(self.columns, self.effect)
        return Items((*self.notes, *said, *explanations(self.models, self.columns), *self.lost.sentences))

    def inference_of(self, model: Model) -> Inference:
        """The standard errors that a fit's last column shows: of a GLM beside clustered fits, the cluster-robust ones."""
        return next(c.inference for c in reversed(self.columns) if c.model is model)

    def errors_of(self, model: Model) -> str:
        """All kinds of standard errors that a fit's columns show."""
        return listed([c.inference.label for c in self.columns if c.model is model])

    @property
    def table(self) -> Any:
        """One row per column and term."""
        described = [
            (c.model.number, c.model.name, words.target(c.model.record), c.inference, words.se_kind(c.inference.label))
            for c in self.columns
        ]
        return tables.deliver(self.models[0].record, compared_tables.comparison(described))

    @property
    def effects(self) -> Any:
        """One row per column and target of the effect; None where none was asked for."""
        if self.effect is None:
            return None
        named = [(c.model.number, c.model.name, words.se_kind(c.inference.label)) for c in self.columns]
        return tables.deliver(self.models[0].record, compared_tables.compared_effects(named, self.effect))

    @property
    def criteria(self) -> Any:
        """One row per fit: fit, model, llf, aic, bic, compare_with; with several GEE qic and cic before the last.

        Where a log-likelihood is by Monte Carlo llf_error, aic_error and bic_error follow, 0 for exact ones.
        """
        found = compared([m.record for m in self.models])
        names = [m.number for m in self.models]
        columns: dict[str, Any] = {"fit": names, "model": [m.name for m in self.models]}
        columns |= {name: [c.values.get(name, np.nan) for c in found] for name in ("llf", "aic", "bic")}
        if any("llf_error" in c.values for c in found):
            errors = ("llf_error", "aic_error", "bic_error")
            columns |= {name: [c.values.get(name, 0.0 if c.values else np.nan) for c in found] for name in errors}
        quasi = quasi_of(self.models)[0]
        columns |= {name: [getattr(quasi[k], name) if k in quasi else np.nan for k in names] for name in ("qic", "cic") if quasi}
        columns["compare_with"] = [", ".join(str(names[k]) for k in sorted((*c.exact, *c.near))) for c in found]
        return tables.from_columns(self.models[0].record, columns)

    def drawn(self) -> tuple[str, str, list[tuple[str, str, Effect]], float]:
        """For a forest plot: what is contrasted, sentences under the title, (fit, its errors, effect) each, and the value of no effect."""
        assert self.effect is not None
        return effects.drawn(self.columns, self.effect)


def build(parts: Sequence[tuple[Record, Inference]], effect: Any = None, contrast: str = "difference", values: Any = None) -> Compared:
    """The comparison of two or more fits of the same data, in the order given.

    effect : a variable whose average effects are wanted; contrast, values : as in `fit.effect`
    Raises GlimmError for different responses, and for data with different numbers of rows or other values of the response.
    """
    check_same([record for record, _ in parts])
    models = named([record for record, _ in parts])
    columns: list[Column] = []
    notes = [f"({m.number}) {m.name}: {remark}." for m in models for remark in words.remarks(m.record)]
    for model, (record, inference) in zip(models, parts, strict=True):
        if isinstance(record, GlmRecord):
            if inference.label != "model-based":
                columns.append(Column(model, infer(record, "model")))
            columns.append(Column(model, inference))
            more, said = clustered(model, record, inference, models)
            columns += more
            notes += said
        else:
            columns.append(Column(model, inference))
    found = None if effect is None else effects.find(columns, effect, contrast, values)
    return Compared(models, tuple(columns), (*notes, *differences(models)), found, losses.told(models))


def named(records: Sequence[Record]) -> tuple[Model, ...]:
    """Numbered models; the name says the working correlation of a GEE, and the link where links differ."""
    links = {r.design.mean.link.name for r in records}
    models = []
    for i, r in enumerate(records, 1):
        words_of = [words.kind(r)] + ([r.corr] if isinstance(r, GeeRecord) else []) + ([r.design.mean.link.name] if len(links) > 1 else [])
        models.append(Model(i, ", ".join(words_of), r))
    return tuple(models)


def check_same(records: Sequence[Record]) -> None:
    """Raise GlimmError unless all fits have the same response on the same rows of the caller's data."""
    first = records[0].design
    y = np.full(first.missing.n_rows, np.nan)
    y[first.rows] = first.y
    for number, record in enumerate(records[1:], 2):
        design = record.design
        if design.response.name != first.response.name:
            raise GlimmError(
                f"compare: the fits have different responses, {first.response.name!r} in fit 1 and {design.response.name!r} "
                f"in fit {number}: compare fits of the same response"
            )
        if design.missing.n_rows != first.missing.n_rows:
            raise GlimmError(
                f"compare: the fits are of different data, {first.missing.n_rows} rows in fit 1 and {design.missing.n_rows} "
                f"in fit {number}: fit all models to the same data"
            )
        theirs = y[design.rows]
        other = np.flatnonzero(~np.isnan(theirs) & (theirs != design.y))
        if len(other):
            k = int(other[0])
            raise GlimmError(
                f"compare: row {int(design.rows[k])} (counting from 0) has the response {theirs[k]:g} in fit 1 and {design.y[k]:g} in fit "
                f"{number}: fit all models to the same data, in the same order of rows and with the same event"
            )


def clustered(model: Model, record: GlmRecord, shown: Inference, models: Sequence[Model]) -> tuple[list[Column], list[str]]:
    """Columns of a GLM with standard errors robust to the clusters that other fits name, or a note that says why not."""
    columns: list[Column] = []
    notes: list[str] = []
    seen: list[Ints] = []
    others = [(m, name) for m in models if len(names := outermost(m.record)) == 1 for name in names]
    for m in models:
        if not others and len(names := outermost(m.record)) > 1:
            if all(f" {one}" in shown.label for one in names):
                continue
            crossed = f"the groupings {listed(names)} of fit ({m.number}) cross"
            remedy = (
                f"; glm(..., vcov={{'cluster': {names}}}) has them" if len(names) == 2 and all(":" not in name for name in names) else ""
            )
            notes.append(f"({model.number}) {model.name} has no cluster-robust standard errors here, because {crossed}{remedy}.")
    for name in dict.fromkeys(name for _, name in others):
        if shown.label.startswith(f"cluster-robust by {name}") and " and " not in shown.label:
            continue
        why = "its coefficients and the family's parameters are estimated together" if not record.family.orthogonal else ""
        for other in (m for m, n in others if n == name and record.family.orthogonal):
            codes = borrowed(record, other.record, name)
            lost = int(np.sum(codes < 0))
            distinct, refs = np.unique(codes, return_inverse=True)
            if not lost and len(distinct) > 1:
                why = ""
                partition = first_rows(refs)
                if any(np.array_equal(partition, before) for before in seen):
                    break
                seen.append(partition)
                order, starts = gather(refs.astype(np.int32), len(distinct))
                work = cluster_work(record, Clusters(name, distinct, order, starts))
                cov = as_named(record.design.mean, work)
                columns.append(Column(model, replace(shown, cov=cov, work=work, label=f"cluster-robust by {name}")))
                break
            said = f"{lost} of its rows have no {name} in fit ({other.number}), which left them out"
            why = said if lost else f"its rows belong to one {name}"
        if why:
            notes.append(f"({model.number}) {model.name} has no cluster-robust standard errors by {name} here: {why}.")
    return columns, notes


def first_rows(refs: Ints) -> Ints:
    """(n,) the first row of each row's cluster: the same for two groupings that differ in the names of clusters only."""
    return np.asarray(np.unique(refs, return_index=True)[1][refs], dtype=np.int64)


def outermost(record: Record) -> list[str]:
    """Groupings of a fit that no other of its groupings contains: rows of different clusters of the only one are independent."""
    if not isinstance(record, MixedRecord):
        return list(words.group_names(record))
    terms = list({term.group: term for term in record.design.mean.random}.values())
    return [term.group for term in terms if not any(within(term, other) for other in terms if other is not term)]


def within(inner: RandomTerm, outer: RandomTerm) -> bool:
    """Whether the rows of each level of one grouping are in one level of the other, which has fewer."""
    return len(outer.levels) < len(inner.levels) and contains(outer.refs, inner.refs)


def borrowed(record: GlmRecord, other: Record, name: str) -> Ints:
    """(n,) the other fit's cluster of each row of the GLM, -1 where the other fit left the row out."""
    if isinstance(other, MixedRecord):
        theirs = next(term for term in other.design.mean.random if term.group == name).refs.astype(np.int64)
    else:
        theirs = row_codes(next(iter(other.design.clusters.values())))
    full = np.full(record.design.missing.n_rows, -1, dtype=np.int64)
    full[other.design.rows] = theirs
    return np.asarray(full[record.design.rows])


def differences(models: Sequence[Model]) -> list[str]:
    """Notes on fits that differ in more than how they treat clusters."""
    records = [m.record for m in models]
    notes = []
    if len({(r.family.name, r.design.mean.link.name) for r in records}) > 1:
        shown = ", ".join(f"({m.number}) {m.record.family.name} {m.record.design.mean.link.name}" for m in models)
        notes.append(f"Families or links differ, so the coefficients are on different scales: {shown}.")
    if len({r.design.mean.names for r in records}) > 1:
        notes.append("The fits do not have the same terms: a coefficient is given the other terms of its own fit.")
    if any(not np.array_equal(r.design.rows, records[0].design.rows) for r in records[1:]):
        why = "The fits did not use the same rows, which is one more reason for different numbers."
        notes.append(" ".join([why, *losses.unlike_rows(models)]))
    notes += unequal(records)
    if len({r.reml for r in records if isinstance(r, MixedRecord)}) > 1:
        notes.append("REML and ML fits are shown together: their log-likelihoods are not comparable, their coefficients are.")
    return notes


def unequal(records: Sequence[Record]) -> list[str]:
    """Notes on fits whose weights or offsets are not the same on the rows that they share; none is the same as 1 and 0."""
    notes = []
    given: list[tuple[str, list[Floats | None], float, str]] = [
        ("weights", [r.design.weights for r in records], 1.0, "their rows do not count alike"),
        ("offset or exposure", [r.design.mean.offset for r in records], 0.0, "their coefficients are not of the same quantity"),
    ]
    for what, values, none, why in given:
        first = np.full(records[0].design.missing.n_rows, np.nan)
        first[records[0].design.rows] = none if values[0] is None else values[0]
        same = True
        for record, theirs in zip(records[1:], values[1:], strict=True):
            before, now = first[record.design.rows], np.broadcast_to(none if theirs is None else theirs, record.design.n)
            shared = ~np.isnan(before)
            same &= bool(np.allclose(before[shared], now[shared], rtol=1e-9, atol=1e-12))
        if not same:
            without = [f"({k})" for k, v in enumerate(values, 1) if v is None]
            notes.append(f"The fits do not have the same {what}" + (f" (none in {listed(without)})" if without else "") + f", so {why}.")
    return notes
