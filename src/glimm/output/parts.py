"""The summary of a fit with zero inflation or a model of the dispersion, in sections: a table for each part, and what its numbers mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..inference.criteria import criteria
from ..inference.parts import PartsInference, family_of_parts
from ..records import PartsRecord
from ..text import counted, number
from . import tables, words
from .plain import parameters, plain
from .sections import Facts, Heading, Lines, Paragraph, Section, Table
from .summary import WIDTH, Summary, coefficients, extras, factor_words, family_table
from .terminal import render

SCALES = {
    "gaussian": ("log of sigma", "variance sigma^2"),
    "gamma": ("log of phi", "variance phi mu^2"),
    "negative_binomial": ("log of k", "variance mu + mu^2 / k, so a smaller k is more variation"),
    "negative_binomial1": ("log of alpha", "variance mu (1 + alpha)"),
    "beta": ("log of the precision", "variance mu (1 - mu) / (1 + precision), so a smaller precision is more variation"),
}

METHOD = "maximum likelihood, all parts together"


def model_words(record: PartsRecord) -> str:
    """The model's name in words."""
    said = [text for part, text in (("zero", "zero inflation"), ("dispersion", "a model of the dispersion")) if part in record.eta]
    return f"GLM with {' and '.join(said)}: rows independent"


def summary_of_parts(record: PartsRecord, inference: PartsInference, level: float) -> Summary:
    """The summary: text of at most 100 columns, and its sections."""
    warning = [Paragraph(said)] if (said := words.unfinished(record)) else []
    own = family_of_parts(record, inference.joint)
    sections: tuple[Section, ...] = (
        Heading(model_words(record)),
        *warning,
        header(record),
        *(part_table(record, inference, name, level) for name in record.design.parts),
        *left_out(record),
        *([] if own is None else [family_table(record.family, own)]),
        fit_lines(record),
        *(Paragraph(text) for text in meanings(record, inference)),
    )
    return Summary(render(sections, WIDTH), sections)


def header(record: PartsRecord) -> Facts:
    """Label and words: what was fitted, to which rows, how, and how that ended."""
    design, missing = record.design, record.design.missing
    lines = [("formula", design.spec.formula.text)]
    lines += [(name, own.formula.text.removeprefix(name).strip()) for name, own in design.spec.parts.items()]
    lines.append(("family", f"{words.family_words(record)}, {design.mean.link.name} link"))
    factors = {factor.name: factor for own in design.spec.every for factor in own.factors}
    lines += [("factor", factor_words(factor)) for factor in factors.values()]
    lines += extras(record)
    lines.append(("rows", f"{missing.n_used} used of {missing.n_rows} given; {words.losses(missing)}"))
    for clusters in design.clusters.values():
        losses = words.cluster_losses(missing, clusters.name)
        group = words.cluster_words(words.Grouping(clusters.name, clusters.sizes))
        lines.append(("clusters", f"{clusters.name}: {group}" + (f"; missing rows: {losses}" if losses else "")))
    lines.append(("method", METHOD))
    lines += [("solution", text) for text in words.remarks(record)]
    return Facts(tuple(lines))


def part_numbers(
    record: PartsRecord, inference: PartsInference, level: float, effects: Sequence[Mapping[str, Any]] | None = None
) -> dict[str, Any]:
    """The fit as plain numbers, under the keys of `plain.fit_numbers`; coefficients say their part; what it does not have is None."""
    design = record.design
    unknown = ("event", "scale", "deviance", "qic", "cic", "reml", "points", "varcorr", "corr", "corr_params", "association", "findings")
    numbers: dict[str, Any] = plain(
        {
            **dict.fromkeys(unknown),
            **criteria(record),
            "model": "GLM",
            "target": "marginal",
            "formula": design.spec.formula.text,
            "parts": {name: own.formula.text.removeprefix(f"{name}=") for name, own in design.spec.parts.items()},
            "family": record.family.name,
            "link": design.mean.link.name,
            "nobs": design.nobs,
            "n_dropped": design.missing.n_dropped,
            "missing": design.missing.by_variable,
            "groups": [{"name": c.name, "levels": len(c.levels)} for c in design.clusters.values()] or None,
            "converged": record.solution.code in ("converged", "boundary"),
            "solution": {"code": record.solution.code, "message": record.solution.message},
            "method": METHOD,
            "se_kind": words.se_kind(inference.parts["mean"].label),
            "level": level,
            "coefficients": tables.tidy_parts(inference.parts, level).to_dict("records"),
            "dropped_terms": {name: dict(part.dropped) for name, part in design.parts.items() if part.dropped},
            "df_resid": design.nobs - len(record.vector),
            "family_parameters": parameters(family_of_parts(record, inference.joint)) or None,
            "effects": effects,
            "version": record.version,
        }
    )
    return numbers


def part_table(record: PartsRecord, inference: PartsInference, name: str, level: float) -> Table | Paragraph:
    """The coefficients of one part, its first column named after it; standard errors are described under the mean's."""
    found = coefficients(inference.parts[name], level)
    if isinstance(found, Paragraph):
        return found
    first, *rest = found.columns
    notes = found.notes if name == "mean" else (scale_note(record, name),)
    return Table(f"coefficients: {name}", (replace(first, head=name), *rest), notes)


def scale_note(record: PartsRecord, name: str) -> str:
    """What a part's coefficients are of."""
    if name == "zero":
        return "zero: logit of the probability of an extra zero"
    scale, variance = SCALES[record.family.name]
    return f"dispersion: {scale}; {variance}"


def left_out(record: PartsRecord) -> list[Lines]:
    """Columns left out of each part, and what each equals."""
    lines = []
    for name, part in record.design.parts.items():
        for column, why in part.dropped.items():
            equals = "equals " + why[2:] if why.startswith("= ") else why.removeprefix(column + " ")
            of = "" if name == "mean" else f" of {name}"
            lines.append((("left out", f"{column}{of}, which {equals}"),))
    return [Lines(tuple(lines))] if lines else []


def fit_lines(record: PartsRecord) -> Lines:
    """Likelihood and criteria, and the zeros seen."""
    found = criteria(record)
    lines = [tuple((label, number(found[key], 2)) for label, key in (("log-likelihood", "llf"), ("AIC", "aic"), ("BIC", "bic")))]
    if "zero" in record.eta:
        zeros = int((record.design.y == 0.0).sum())
        lines.append((("zeros", f"{zeros} of {counted(record.design.n, 'response')}"),))
    return Lines(tuple(lines))


def meanings(record: PartsRecord, inference: PartsInference) -> list[str]:
    """What coefficients mean: the last lines."""
    name = record.design.response.name
    scale = words.scale_sentence(record)
    said = [f"Coefficients of the mean are marginal: they compare averages over the population, on the scale of {scale}."]
    if "zero" in record.eta:
        said = [
            f"{name} is zero with probability pi, and otherwise a {record.family.name} count, which may be zero too. Coefficients of the "
            f"mean are of that count alone, on the scale of {scale}; predict, effect and means are of {name} itself, (1 - pi) mu."
        ]
    return [*said, words.independence(inference.parts["mean"])]
