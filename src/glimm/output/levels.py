"""The summary of a fit to levels, in sections: what was fitted, how, thresholds and coefficients, what a coefficient means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..diagnostics.findings import Finding
from ..inference.covariance import Inference
from ..inference.criteria import criteria
from ..inference.levels import association as estimated
from ..inference.levels import association_names
from ..records import LevelsRecord
from ..text import counted, figures, number
from . import tables, words
from .diagnosis import short
from .plain import FINDING, parameters, plain
from .sections import Facts, Heading, Lines, Paragraph, Section
from .summary import WIDTH, Summary, coefficients, dropped, extras, factor_words
from .terminal import render

METHOD = {
    "gee": "generalised estimating equations (GEE), multinomial variance inside an occasion",
    "glm": "maximum likelihood (ML) by Newton's method",
}
NO_LIKELIHOOD = "a GEE has no likelihood, so no log-likelihood, AIC or BIC"


def summary_of_levels(model: str, record: LevelsRecord, inference: Inference, level: float, findings: tuple[Finding, ...]) -> Summary:
    """The summary: text of at most 100 columns, and its sections."""
    warning = [Paragraph(said)] if (said := words.unfinished(record)) else []
    found = [Facts(tuple(rows))] if (rows := short(findings)) else []
    without = dropped(record)
    sections: tuple[Section, ...] = (
        Heading(model),
        *warning,
        header(record),
        *found,
        coefficients(inference, level),
        *([] if without is None else [without]),
        fit_lines(record),
        Paragraph(meaning(record)),
    )
    return Summary(render(sections, WIDTH), sections)


def level_numbers(
    record: LevelsRecord,
    inference: Inference,
    level: float,
    effects: Sequence[Mapping[str, Any]] | None = None,
    findings: Sequence[Finding] | None = None,
) -> dict[str, Any]:
    """The fit as plain numbers, under the keys of `plain.fit_numbers` and `levels`; what it does not have is None."""
    design = record.design
    likelihood = criteria(record) | {"deviance": record.deviance} if record.door == "glm" else {}
    numbers: dict[str, Any] = plain(
        {
            **dict.fromkeys(("family_parameters", "deviance", "llf", "aic", "bic", "qic", "cic", "reml", "points", "varcorr")),
            **likelihood,
            "model": record.door.upper(),
            "target": "marginal",
            "formula": design.spec.formula.text,
            "family": record.family.name,
            "link": design.mean.link.name,
            "event": design.response.event.partition(": ")[2],
            "levels": design.response.levels,
            "nobs": design.nobs,
            "n_dropped": design.missing.n_dropped,
            "missing": design.missing.by_variable,
            "groups": [{"name": c.name, "levels": len(c.levels)} for c in design.clusters.values()] or None,
            "converged": record.solution.code in ("converged", "boundary"),
            "solution": {"code": record.solution.code, "message": record.solution.message},
            "method": METHOD[record.door],
            "se_kind": words.se_kind(inference.label),
            "level": level,
            "coefficients": tables.tidy(inference, level).to_dict("records"),
            "dropped_terms": design.mean.dropped,
            "df_resid": design.nobs - len(record.vector),
            "scale": record.scale,
            "corr": record.corr if record.door == "gee" else None,
            "association": parameters(estimated(record)) or None,
            "corr_params": dict(zip(association_names(record), record.alpha.tolist(), strict=True)),
            "effects": effects,
            "findings": None if findings is None else [{name: getattr(f, name) for name in FINDING} for f in findings],
            "version": record.version,
        }
    )
    return numbers


def header(record: LevelsRecord) -> Facts:
    """Label and words: what was fitted, to which rows, how, and how that ended."""
    design, missing = record.design, record.design.missing
    label, _, event = design.response.event.partition(": ")
    lines = [("formula", design.spec.formula.text), ("family", f"{record.family.name}, {design.mean.link.name} link"), (label, event)]
    lines += [("factor", factor_words(factor)) for factor in design.spec.factors]
    lines += extras(record)
    lines.append(("rows", f"{missing.n_used} used of {missing.n_rows} given; {words.losses(missing)}"))
    for clusters in design.clusters.values():
        losses = words.cluster_losses(missing, clusters.name)
        group = words.cluster_words(words.Grouping(clusters.name, clusters.sizes))
        lines.append(("clusters", f"{clusters.name}: {group}" + (f"; missing rows: {losses}" if losses else "")))
    lines.append(("method", METHOD[record.door]))
    lines += [("solution", text) for text in words.remarks(record)]
    return Facts(tuple(lines))


def fit_lines(record: LevelsRecord) -> Lines:
    """The association of a GEE; the deviance, likelihood and criteria of a GLM."""
    if record.door == "gee":
        return Lines(((("association between occasions", association(record)),), (("", NO_LIKELIHOOD),)))
    numbers, df = criteria(record), record.design.nobs - len(record.vector)
    shown = tuple((label, number(numbers[key], 2)) for label, key in (("log-likelihood", "llf"), ("AIC", "aic"), ("BIC", "bic")))
    return Lines(((("deviance", f"{figures(record.deviance)} on {df} residual degrees of freedom"),), shown))


def association(record: LevelsRecord) -> str:
    """What is assumed of two occasions of a cluster."""
    if not len(record.alpha):
        if record.corr == "independence":
            return "independence, no parameter"
        clusters = next(iter(record.design.clusters.values()))
        return f"{record.corr}, not estimated" if clusters.sizes.max() > 1 else "none, no cluster has two occasions"
    found = estimated(record)
    error = "" if found is None or not np.isfinite(found.errors[0]) else f" (std. error {figures(float(found.errors[0]))})"
    name, what = association_names(record)[0], "global odds ratio" if record.family.support == "ordered" else "correlation"
    return f"one {what}, {name} = {figures(float(record.alpha[0]))}{error}"


def meaning(record: LevelsRecord) -> str:
    """What a coefficient means: the last line."""
    design = record.design
    name, link, levels = design.response.name, design.mean.link.name, design.response.levels
    last = ""
    if record.door == "gee":
        last = f" Rows of one {next(iter(design.clusters))} may depend on each other."
    elif design.clusters:
        last = f" Standard errors allow for rows of one {next(iter(design.clusters))} that depend on each other."
    first = "Coefficients are marginal: they compare averages over the population"
    if record.family.support == "nominal":
        return f"{first}, on the scale of the log odds of a level against {levels[0]} (exp of a difference is a ratio of odds).{last}"
    scale = f"{first}; a positive one goes with higher levels of {name}. P({name} <= c) = h(threshold - x'b), h the {link} link's mean"
    same = "the same at every threshold"
    if link == "logit":
        same = f"exp of a coefficient is the ratio of the odds of more than c, {same} (proportional odds)"
    return f"{scale}; {same}: {counted(len(levels) - 1, 'threshold')}.{last}"
