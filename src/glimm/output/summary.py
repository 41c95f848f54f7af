"""A fit as text: what was fitted to what, how, the coefficients, the other parameters, what a coefficient means.

label:   words, at most 100 columns wide; then tables.
"""

from __future__ import annotations

import math
from typing import final

import numpy as np

from ..covariance.working import working
from ..data.records import Factor
from ..inference.covariance import Inference
from ..inference.criteria import criteria
from ..inference.wald import interval, p_values
from ..records import GeeRecord, GlmRecord, MixedRecord, Record
from . import tables, words
from .text import broken, counted, decimals, figures, labelled, listed, number, p_value, point_aligned, table, wrapped

WIDTH = 100
INDENT = 17
SHORTEST_TERM = 12
MOST_LEVELS = 8


@final
class Summary(str):
    """Text that a prompt shows as it is printed, without print()."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def summary_text(model: str, record: Record, inference: Inference, level: float = 0.95) -> Summary:
    """The summary.

    model : the model's name in words, for the title; level : of the intervals. Returns text of at most 100 columns.
    """
    parts = [
        [*wrapped(model, WIDTH), "=" * min(len(model), WIDTH)],
        [line for label, text in header(record) for line in labelled(label, text, INDENT, WIDTH)],
        coefficients(inference, level),
        dropped(record),
        other_parameters(record),
        fit_lines(record),
        wrapped(words.meaning(record, inference), WIDTH),
    ]
    return Summary("\n\n".join("\n".join(part) for part in parts if part))


def header(record: Record) -> list[tuple[str, str]]:
    """Label and words: what was fitted, to which rows, how, and how that ended."""
    design, missing = record.design, record.design.missing
    lines = [("formula", design.spec.formula.text), ("family", f"{record.family.name}, {design.mean.link.name} link")]
    if design.response.event:
        label, _, event = design.response.event.partition(": ")
        lines.append((label, event))
    lines += [("factor", factor_words(factor)) for factor in design.spec.factors]
    lines += extras(record)
    lines.append(("rows", f"{missing.n_used} used of {missing.n_rows} given; {words.losses(missing)}"))
    lines += cluster_lines(record)
    lines.append(("method", words.method(record)))
    lines += [("solution", text) for text in words.remarks(record)]
    return lines


def extras(record: Record) -> list[tuple[str, str]]:
    """Offset, exposure and weights, where there are any."""
    spec, lines = record.design.spec, []
    given = [f"{name} (offset)" for name in (spec.offset,) if name] + [f"log of {name} (exposure)" for name in (spec.exposure,) if name]
    given += [f"{text} (in the formula)" for text in spec.formula.offsets]
    if given:
        lines.append(("offset", ", ".join(given)))
    if record.design.weights is not None:
        lines.append(("weights", "precision (prior) weights were given"))
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
    groups = [words.grouping(record)]
    if isinstance(record, GlmRecord):
        groups = [words.Grouping(c.name, c.sizes) for c in record.design.clusters.values()]
    lines = []
    for group in groups:
        if group is not None:
            losses = words.cluster_losses(record.design.missing, group.name)
            lines.append(("clusters", f"{group.name}: {words.cluster_words(group)}" + (f"; missing rows: {losses}" if losses else "")))
    return lines


def coefficients(inference: Inference, level: float) -> list[str]:
    """The table of coefficients and the line that names its standard errors."""
    if not inference.names:
        return ["no coefficients"]
    bse, statistic = inference.bse, inference.params / inference.bse
    low, high = interval(inference, level)
    places = [decimals(se) for se in bse]

    def shown(values: object) -> list[str]:
        return point_aligned([number(float(v), k) for v, k in zip(np.asarray(values), places, strict=True)])

    limits = ["none" if a.strip() == "none" else f"{a} to {b}" for a, b in zip(shown(low), shown(high), strict=True)]
    heads = ["term", "estimate", "std. error", "z" if inference.df is None else "t", "p", f"{100.0 * level:g} % interval"]
    numbers = [
        shown(inference.params),
        shown(bse),
        point_aligned([number(float(s), 2) for s in statistic]),
        [p_value(float(p)) for p in p_values(statistic, inference.df)],
        limits,
    ]
    taken = sum(2 + max(len(head), *map(len, column)) for head, column in zip(heads[1:], numbers, strict=True))
    columns = [[broken(name, max(WIDTH - taken, SHORTEST_TERM)) for name in inference.names], *numbers]
    lines = table(heads, columns, [False, True, True, True, True, True])
    reference = "normal reference" if inference.df is None else f"t reference with {inference.df:g} degrees of freedom"
    return [*lines, f"standard errors: {inference.label}; {reference}"]


def dropped(record: Record) -> list[str]:
    """Columns left out of the model, and what each equals."""
    out = record.design.mean.dropped
    lines = []
    for name, why in out.items():
        lines += wrapped(f"left out: {name}, which {'equals ' + why[2:] if why.startswith('= ') else why.removeprefix(name + ' ')}", WIDTH)
    return lines


def other_parameters(record: Record) -> list[str]:
    """Random effects of a mixed model, working correlation of a GEE."""
    if isinstance(record, MixedRecord):
        return random_effects(record)
    if isinstance(record, GeeRecord):
        names = working(record.corr).names()
        values = [f"{name} = {figures(float(a))}" for name, a in zip(names, record.alpha, strict=True)]
        text = f"working correlation: {record.corr}, {', '.join(values)}" if values else f"working correlation: {record.corr}, no parameter"
        return [text, f"dispersion: {figures(record.scale)}"]
    return []


def random_effects(record: MixedRecord) -> list[str]:
    """Variances, standard deviations and correlations; the residual last, where there is one."""
    rows = tables.varcorr(record).to_dict("records")
    correlated = any(key.startswith("corr_") for row in rows for key in map(str, row))
    heads = ["random effect", "term", "variance", "std. dev."] + (["correlations"] if correlated else [])
    correlations = [
        " ".join(number(float(v), 2) for key, v in row.items() if str(key).startswith("corr_") and not math.isnan(float(v))) for row in rows
    ]
    columns = [
        [str(row["group"]) for row in rows],
        [str(row["term"]) for row in rows],
        point_aligned([figures(float(row["variance"])) for row in rows]),
        point_aligned([figures(float(row["std_dev"])) for row in rows]),
    ]
    lines = table(heads, columns + ([correlations] if correlated else []), [False, False, True, True, *([False] if correlated else [])])
    terms = record.design.mean.random
    return [*lines, *(f"{term.group}: {counted(len(term.levels), 'level')}, {counted(len(term.refs), 'row')}" for term in terms)]


def fit_lines(record: Record) -> list[str]:
    """Likelihood and criteria, dispersion, deviance: what the model has of them."""
    if isinstance(record, GeeRecord):
        return ["a GEE has no likelihood, so no log-likelihood, AIC or BIC"]
    lines = []
    if isinstance(record, GlmRecord):
        df = record.design.n - record.design.mean.matrix.p
        where = "fixed by the family" if record.family.scale_known else "Pearson chi-squared / residual degrees of freedom"
        lines.append(f"dispersion: {figures(record.scale)} ({where})")
        lines.append(f"deviance: {figures(record.deviance)} on {df} residual degrees of freedom")
    numbers = criteria(record)
    name = "REML log-likelihood" if isinstance(record, MixedRecord) and record.reml else "log-likelihood"
    lines.append(f"{name}: {number(numbers['llf'], 2)}   AIC: {number(numbers['aic'], 2)}   BIC: {number(numbers['bic'], 2)}")
    return lines
