"""A fit in sections: what was fitted to what, how, the coefficients, the other parameters, what a coefficient means.

As text at most 100 columns wide; as HTML in a notebook.
"""

from __future__ import annotations

import math
from typing import final

import numpy as np

from ..covariance.by_wave import Unstructured
from ..covariance.correlated import CORRELATED
from ..covariance.odds_ratios import FITTED, OddsRatio
from ..data.records import Factor
from ..design.clusters import occasions
from ..diagnostics.findings import Finding
from ..family import Family
from ..inference.association import association_parameters
from ..inference.covariance import Inference
from ..inference.criteria import criteria, criteria_errors, without_likelihood
from ..inference.parameters import Parameters, family_parameters
from ..inference.wald import interval, p_values
from ..kernels.matrix import Floats
from ..records import AnyRecord, GeeRecord, GlmRecord, MixedRecord, Record
from ..text import counted, decimals, figures, listed, number, p_value
from . import tables, words
from .diagnosis import short
from .html import fragment
from .sections import Column, Facts, Heading, Lines, Paragraph, Section, Table, interval_cell
from .terminal import render

WIDTH = 100
MOST_LEVELS = 8
WEIGHTS = {
    "precision": "precision (prior) weights were given",
    "frequency": "frequency weights: {n} rows stand for {nobs}",
    "sampling": "sampling weights were given: standard errors are robust",
}
SCALES = {
    "family": "fixed by the family",
    "pearson": "Pearson chi-squared / residual degrees of freedom",
    "deviance": "deviance / residual degrees of freedom",
    "ml": "maximum likelihood",
    "fixed": "given",
}
"""How a dispersion was found."""
MOST_NAMED, MOST_LISTED, MOST_OCCASIONS = 6, 20, 10


@final
class Summary(str):
    """Text that a prompt shows as it is printed, without print(), and a notebook as HTML.

    sections : what both come from
    """

    sections: tuple[Section, ...]

    def __new__(cls, text: str, sections: tuple[Section, ...] = ()) -> Summary:
        """The text with its sections."""
        made = super().__new__(cls, text)
        made.sections = sections
        return made

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return fragment(self.sections)


def summary_text(model: str, record: Record, inference: Inference, level: float = 0.95, findings: tuple[Finding, ...] = ()) -> Summary:
    """The summary.

    model : the model's name in words, for the title; level : of the intervals; findings : of its check
    Returns text of at most 100 columns.
    """
    warning = [Paragraph(said)] if (said := words.unfinished(record)) else []
    last = Paragraph(words.meaning(record, inference))
    found = [Facts(tuple(rows))] if (rows := short(findings)) else []
    sections = (Heading(model), *warning, header(record), *found, *results(record, inference, level), last)
    return Summary(render(sections, WIDTH), sections)


def results(record: Record, inference: Inference, level: float) -> list[Section]:
    """The numbers: coefficients, columns left out, other parameters, likelihood and the like."""
    found: list[Section | None] = [
        coefficients(inference, level),
        dropped(record),
        other_parameters(record),
        own_parameters(record),
        fit_lines(record),
    ]
    return [section for section in found if section is not None]


def header(record: Record) -> Facts:
    """Label and words: what was fitted, to which rows, how, and how that ended."""
    design, missing = record.design, record.design.missing
    lines = [("formula", design.spec.formula.text), ("family", f"{words.family_words(record)}, {design.mean.link.name} link")]
    if design.response.event:
        label, _, event = design.response.event.partition(": ")
        lines.append((label, event))
    lines += [("factor", factor_words(factor)) for factor in design.spec.factors]
    lines += extras(record)
    lines.append(("rows", f"{missing.n_used} used of {missing.n_rows} given; {words.losses(missing)}"))
    lines += cluster_lines(record)
    lines.append(("method", words.method(record)))
    if said := words.engine(record):
        lines.append(("engine", said))
    lines += [("solution", text) for text in words.remarks(record)]
    return Facts(tuple(lines))


def extras(record: AnyRecord) -> list[tuple[str, str]]:
    """Offset, exposure and weights, where there are any."""
    spec, lines = record.design.spec, []
    given = [f"{name} (offset)" for name in (spec.offset,) if name] + [f"log of {name} (exposure)" for name in (spec.exposure,) if name]
    given += [f"{text} (in the formula)" for text in spec.formula.offsets]
    if given:
        lines.append(("offset", ", ".join(given)))
    if record.design.weights is not None:
        lines.append(("weights", WEIGHTS[record.design.weights_kind].format(nobs=record.design.nobs, n=record.design.n)))
    return lines


def factor_words(factor: Factor) -> str:
    """Reference level, levels and unused levels of a factor."""
    shown = [str(level) for level in factor.levels[:MOST_LEVELS]]
    more = len(factor.levels) - len(shown)
    levels = ", ".join(shown) + (f", ... ({more} more)" if more else "")
    if factor.reference is None:
        text = f"{factor.name}: no reference level; levels {levels}"
    else:
        text = f"{factor.name}: reference level {factor.reference}; levels {levels}"
    if factor.unused:
        text += f"; without rows, so not in the model: {listed([str(level) for level in factor.unused])}"
    return text


def cluster_lines(record: Record) -> list[tuple[str, str]]:
    """Clusters, their sizes, and what missing rows did to them; also those that standard errors use."""
    groups = words.groupings(record)
    if isinstance(record, GlmRecord):
        groups = [words.Grouping(c.name, c.sizes) for c in record.design.clusters.values()]
    lines = []
    for group in groups:
        losses = words.cluster_losses(record.design.missing, group.name)
        lines.append(("clusters", f"{group.name}: {words.cluster_words(group)}" + (f"; missing rows: {losses}" if losses else "")))
    if isinstance(record, GeeRecord) and (inner := words.inner_words(record)):
        lines.append(("inside them", inner))
    return lines


def coefficients(inference: Inference, level: float = 0.95) -> Table | Paragraph:
    """The table of coefficients and the line that names its standard errors."""
    if not inference.names:
        return Paragraph("no coefficients")
    bse, statistic = inference.bse, inference.statistic
    low, high = interval(inference, level)
    places = [decimals(se) for se in bse]

    def shown(values: Floats) -> tuple[str, ...]:
        return tuple(number(float(v), k) for v, k in zip(values, places, strict=True))

    columns = (
        Column("term", inference.names),
        Column("estimate", shown(inference.params), "number"),
        Column("std. error", shown(bse), "number"),
        Column("z" if inference.df is None else "t", tuple(number(float(s), 2) for s in statistic), "number"),
        *([Column("df", tuple(number(float(v), 1) for v in inference.df), "number")] if isinstance(inference.df, np.ndarray) else []),
        Column("p", tuple(p_value(float(p)) for p in p_values(statistic, inference.df)), "right"),
        Column(f"{100.0 * level:g} % interval", tuple(map(interval_cell, shown(low), shown(high))), "interval"),
    )
    return Table("coefficients", columns, (se_words(inference), *inference.notes))


def se_words(inference: Inference) -> str:
    """Which standard errors, and which distribution they are referred to."""
    return f"standard errors: {inference.label}; {words.reference(inference)}"


def dropped(record: AnyRecord) -> Lines | None:
    """Columns left out of the model, and what each equals."""
    lines = []
    for name, why in record.design.mean.dropped.items():
        equals = "equals " + why[2:] if why.startswith("= ") else why.removeprefix(name + " ")
        lines.append((("left out", f"{name}, which {equals}"),))
    return Lines(tuple(lines)) if lines else None


def other_parameters(record: Record) -> Table | Lines | None:
    """Random effects of a mixed model, working correlation of a GEE."""
    if isinstance(record, MixedRecord):
        return random_effects(record)
    if isinstance(record, GeeRecord):
        if (odds := association_parameters(record)) is not None:
            return association_table(record, odds)
        return working_correlation(record)
    return None


def working_correlation(record: GeeRecord) -> Table | Lines:
    """The parameters of the working correlation by name; those by pair of occasions as a triangle, and where there are many their range."""
    count, dispersion = len(record.alpha), figures(record.scale)
    if isinstance(record.working, Unstructured) and count > MOST_NAMED:
        at = occasions(record.clusters, record.moments)
        labels = tuple(f"{t:g}" for t in at.scope.times)
        if len(labels) <= MOST_OCCASIONS:
            cells = np.full((len(labels), len(labels)), "0", dtype=object)
            cells[np.triu_indices(len(labels))] = ""
            j, k = record.working.pairs(at)
            cells[k, j] = [number(float(a), 3) for a in record.alpha]
            columns = (Column(label, tuple(cells[1:, first]), "number") for first, label in enumerate(labels[:-1]))
            note = f"working correlation: {record.corr}, by pair of occasions; dispersion: {dispersion}"
            return Table("working correlation", (Column("occasion", labels[1:]), *columns), (note,))
    if count > MOST_LISTED:
        low, high = figures(float(record.alpha.min())), figures(float(record.alpha.max()))
        correlation = f"{record.corr}, {count} parameters from {low} to {high}: see fit.corr_params, fit.working_corr()"
    else:
        values = [f"{name} = {figures(float(a))}" for name, a in zip(record.corr_names, record.alpha, strict=True)]
        correlation = f"{record.corr}, {', '.join(values) if values else 'no parameter'}"
    return Lines(((("working correlation", correlation),), (("dispersion", dispersion),)))


def association_table(record: GeeRecord, odds: Parameters) -> Table:
    """Log odds ratios of pairs of rows, with their errors and the odds ratios."""
    own = isinstance(record.working, OddsRatio)
    columns = (
        Column("association", odds.names),
        Column("estimate", tuple(figures(float(v)) for v in odds.values), "number"),
        Column("std. error", tuple(figures(float(v)) if math.isfinite(v) else "" for v in odds.errors), "number"),
        Column("exp" if own else "odds ratio", tuple(figures(math.exp(v)) for v in odds.values), "number"),
    )
    notes = [f"{record.corr}: {record.working.about}; robust standard errors"]
    if own:
        notes.append(f"exp of {FITTED} is an odds ratio, exp of another term its factor for one unit")
    return Table("association of rows of a cluster", columns, tuple(notes))


def own_parameters(record: Record) -> Table | None:
    """The family's own parameters, where it has any besides sigma."""
    found = family_parameters(record)
    return None if found is None else family_table(record.family, found)


def family_table(family: Family, found: Parameters) -> Table:
    """A family's own parameters."""
    columns = (
        Column("family", found.names),
        Column("estimate", tuple(figures(float(v)) for v in found.values), "number"),
        Column("std. error", tuple(figures(float(v)) for v in found.errors), "number"),
    )
    note = f"{family.name}: {words.VARIANCES[family.name]}" if family.name in words.VARIANCES else family.name
    return Table("parameters of the family", columns, (f"{note}; by maximum likelihood",))


def random_effects(record: MixedRecord) -> Table:
    """Variances, standard deviations and correlations; the residual last, where there is one."""
    rows = tables.varcorr(record).to_dict("records")
    columns = [
        Column("random effect", tuple(str(row["group"]) for row in rows)),
        Column("term", tuple(str(row["term"]) for row in rows)),
        Column("variance", tuple(_amount(float(row["variance"])) for row in rows), "number"),
        Column("std. dev.", tuple(_amount(float(row["std_dev"])) for row in rows), "number"),
    ]
    if any(str(key).startswith("corr") for row in rows for key in row):
        correlations = [
            " ".join(number(float(v), 2) for key, v in row.items() if str(key).startswith("corr") and not math.isnan(float(v)))
            for row in rows
        ]
        columns.append(Column("correlations", tuple(correlations)))
    terms = {term.group: term for term in record.design.mean.random}
    notes = [f"{name}: {counted(len(term.levels), 'level')}, {counted(len(term.refs), 'row')}" for name, term in terms.items()]
    notes += [
        f"{term.structure} of {term.group}: {CORRELATED[term.structure].note}"
        for term in record.design.mean.random
        if term.structure in CORRELATED
    ]
    return Table("random effects", tuple(columns), tuple(notes))


def _amount(value: float) -> str:
    return "" if math.isnan(value) else figures(value)


def fit_lines(record: Record) -> Lines:
    """Likelihood and criteria, dispersion, deviance: what the model has of them."""
    if isinstance(record, GeeRecord):
        return Lines(((("", "a GEE has no likelihood, so no log-likelihood, AIC or BIC"),),))
    lines: list[tuple[tuple[str, str], ...]] = []
    if isinstance(record, GlmRecord):
        df = record.design.nobs - record.design.mean.matrix.p
        lines.append((("dispersion", f"{figures(record.scale)} ({SCALES[record.scale_rule.of(record.family)]})"),))
        lines.append((("deviance", f"{figures(record.deviance)} on {df} residual degrees of freedom"),))
        if why := without_likelihood(record):
            return Lines((*lines, (("", why.partition("; ")[0].replace("llf, aic or bic", "log-likelihood, AIC or BIC")),)))
        if record.scale_rule.kind != "default" and record.family.scale_known:
            lines.append((("", f"log-likelihood, AIC and BIC are those of family {record.family.name!r}, at dispersion 1"),))
    numbers = criteria(record)
    name = "REML log-likelihood" if isinstance(record, MixedRecord) and record.reml else "log-likelihood"
    lines.append(tuple((label, number(numbers[key], 2)) for label, key in ((name, "llf"), ("AIC", "aic"), ("BIC", "bic"))))
    if errors := criteria_errors(record):
        llf, aic = (figures(errors[key], 2) for key in ("llf_error", "aic_error"))
        lines.append((("Monte-Carlo standard errors", f"{llf} of the log-likelihood, {aic} of AIC and BIC"),))
    if isinstance(record, GlmRecord) and record.penalty:
        found = [("penalised log-likelihood", number(record.penalized_llf, 2))] if math.isfinite(record.penalized_llf) else []
        lines.append((*found, ("", "the log-likelihood, AIC and BIC are those at the penalised estimates, without the penalty")))
    return Lines(tuple(lines))
