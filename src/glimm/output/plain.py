"""A fit as plain numbers for machines: what `--json` prints. Names of keys are stable; what a model does not have is null (None).

NaN and infinite numbers are null too, because JSON has no word for them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple
from typing import Any

import numpy as np

from ..diagnostics.findings import Finding
from ..inference.association import association_parameters
from ..inference.covariance import Inference
from ..inference.criteria import criteria, without_likelihood
from ..inference.parameters import Parameters, family_parameters
from ..inference.quasi_information import quasi_criteria
from ..records import GeeRecord, GlmRecord, MixedRecord, Record
from . import tables, words
from .compare import Compared

FINDING = ("code", "severity", "sentence", "consequence", "remedy", "evidence")


def fit_numbers(
    record: Record, inference: Inference, level: float, effects: Mapping[str, Any] | None = None, findings: Sequence[Finding] | None = None
) -> dict[str, Any]:
    """One fit: what it is of, its sizes, how it ended, coefficients (the rows of tidy), other parameters, criteria.

    effects : columns of the table of average effects, where they were asked for; findings : of its check
    """
    design = record.design
    likelihood = {} if without_likelihood(record) else criteria(record)
    if isinstance(record, GeeRecord):
        likelihood = quasi_criteria(record)
    numbers: dict[str, Any] = plain(
        {
            "model": words.kind(record),
            "target": words.target(record),
            "formula": design.spec.formula.text,
            "family": record.family.name,
            "link": design.mean.link.name,
            "event": design.response.event.partition(": ")[2] or None,
            "nobs": design.nobs,
            "n_dropped": design.missing.n_dropped,
            "missing": design.missing.by_variable,
            "groups": groups(record),
            "converged": record.solution.code in ("converged", "boundary"),
            "solution": {"code": record.solution.code, "message": record.solution.message},
            "method": words.method(record),
            "se_kind": words.se_kind(inference.label),
            "level": level,
            "coefficients": tables.tidy(inference, level).to_dict("records"),
            "dropped_terms": design.mean.dropped,
            "df_resid": design.nobs - design.mean.matrix.p,
            "scale": record.scale,
            "family_parameters": family_parameters_of(record),
            "deviance": record.deviance if isinstance(record, GlmRecord) else None,
            "llf": likelihood.get("llf"),
            "aic": likelihood.get("aic"),
            "bic": likelihood.get("bic"),
            "qic": likelihood.get("qic"),
            "cic": likelihood.get("cic"),
            "reml": record.reml if isinstance(record, MixedRecord) else None,
            "points": record.points if isinstance(record, MixedRecord) else None,
            "stochastic": stochastic(record),
            "varcorr": tables.varcorr(record).to_dict("records") if isinstance(record, MixedRecord) else None,
            "corr": record.corr if isinstance(record, GeeRecord) else None,
            "corr_params": correlations(record),
            "association": parameters(association_parameters(record)) or None,
            "effects": None if effects is None else [dict(zip(effects, row, strict=True)) for row in zip(*effects.values(), strict=True)],
            "findings": None if findings is None else [{name: getattr(f, name) for name in FINDING} for f in findings],
            "version": record.version,
        }
    )
    return numbers


def comparison_numbers(comparison: Compared, parts: Sequence[tuple[Record, Inference]], version: str) -> dict[str, Any]:
    """Fits side by side: each fit, the rows of the comparison's table, its notes."""
    return {
        "fits": [fit_numbers(record, inference, 0.95) for record, inference in parts],
        "table": plain(comparison.table.to_dict("records")),
        "effects": None if comparison.effect is None else plain(comparison.effects.to_dict("records")),
        "notes": list(comparison.notes),
        "version": version,
    }


def groups(record: Record) -> list[dict[str, Any]] | None:
    """Grouping factors with their numbers of levels: of random effects, of a GEE, of a GLM's cluster-robust errors."""
    design = record.design
    if isinstance(record, MixedRecord):
        found = {term.group: len(term.levels) for term in design.mean.random}
    else:
        found = {clusters.name: len(clusters.levels) for clusters in design.clusters.values()}
    return [{"name": name, "levels": levels} for name, levels in found.items()] or None


def family_parameters_of(record: Record) -> list[dict[str, Any]] | None:
    """The family's own parameters, estimated or given (without a standard error)."""
    found = parameters(family_parameters(record))
    given = zip(record.family.parameters, record.family.fixed, strict=False)
    return found + [{"name": name, "estimate": value, "std_error": None} for name, value in given if value is not None] or None


def stochastic(record: Record) -> dict[str, Any] | None:
    """How random probes were used, with the Monte-Carlo error of llf; none where every factorisation was exact."""
    return asdict(record.stochastic) if isinstance(record, MixedRecord) and record.stochastic is not None else None


def parameters(found: Parameters | None) -> list[dict[str, Any]]:
    """Names, estimates and standard errors, a row each."""
    return (
        []
        if found is None
        else [dict(zip(("name", "estimate", "std_error"), row, strict=True)) for row in zip(*astuple(found), strict=True)]
    )


def correlations(record: Record) -> dict[str, float] | None:
    """Parameters of the working correlation by name; none for other models."""
    if not isinstance(record, GeeRecord):
        return None
    return dict(zip(record.corr_names, record.alpha.tolist(), strict=True))


def plain(value: Any) -> Any:
    """The value as JSON knows it: None, booleans, finite numbers, text, lists, mappings with text as keys.

    >>> plain({"a": np.float64("nan"), "b": (np.int64(1), np.True_)})
    {'a': None, 'b': [1, True]}
    """
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, (bool, int, str)) else str(value)
