"""Tests of the terms of a model as columns of a table, and of one model within another: type III hypotheses by Wald or score tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..design.coordinates import to_named
from ..errors import GlimmError
from ..kernels.matrix import Floats, Ints
from ..records import AnyRecord, GeeRecord, LevelsRecord, Record
from .covariance import Inference
from .hypotheses import Hypothesis, HypothesisTest, denominator, wald, without
from .levels import layout
from .score_tests import in_terms, nested, score_test
from .type3 import TermHypothesis, type3


def columns_of_terms(record: AnyRecord, names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Label of each term -> its coefficients in the model, of a nominal one those of all levels."""
    fixed, place = record.design.spec.fixed, dict(zip(record.design.mean.names, places(record).T, strict=True))
    kept = {label: [name for name in fixed.names[a:b] if name in place] for label, a, b in fixed.terms}
    return {
        label: tuple(names[k] for at in zip(*(place[c] for c in own), strict=True) for k in at if k >= 0) for label, own in kept.items()
    }


def places(record: AnyRecord) -> Ints:
    """(m, p) which parameter each column's coefficient is, m of them for each; -1 for the constant of an ordinal model."""
    p = record.design.mean.matrix.p
    if not isinstance(record, LevelsRecord):
        return np.arange(p, dtype=np.int64)[None]
    where = layout(record)
    if not where.ordered:
        return np.arange(where.size, dtype=np.int64).reshape(where.splits, p)
    at = np.full(p, -1, dtype=np.int64)
    at[where.free] = where.splits + np.arange(len(where.free))
    return at[None]


def hypotheses(record: AnyRecord, type: Any, what: str) -> list[TermHypothesis]:
    """The hypotheses of all terms; raises GlimmError for another type than 3."""
    if isinstance(type, bool) or type not in (3, "3", "III"):
        raise GlimmError(f"{what}: type must be 3, not {type!r}; for tests of some coefficients name them in wald_test")
    return type3(record.design.spec, record.design.mean.dropped)


def wald_terms(record: AnyRecord, inference: Inference, type: Any) -> dict[str, list[Any]]:
    """A Wald test per term, over all levels of a nominal response; the thresholds of an ordinal one are no term."""
    found, at = hypotheses(record, type, "wald_test_terms"), places(record)
    out = []
    for term in found:
        if term.term == "Intercept" and (at < 0).any():
            continue
        blocks = []
        for own in at:
            block = np.zeros((len(term.matrix), len(inference.names)))
            block[:, own[own >= 0]] = term.matrix[:, own >= 0]
            blocks.append(block)
        matrix = np.vstack(blocks)
        test = without("wald", denominator(inference), (), "")
        if len(matrix):
            test = wald(inference, Hypothesis(matrix, np.zeros(len(matrix)), ()), back(record))
        out.append((term, test))
    return _columns(out, True)


def back(record: AnyRecord) -> Floats:
    """(p, p) A, parameters of the mean as named = A times working ones."""
    return layout(record).to_named() if isinstance(record, LevelsRecord) else to_named(record.design.mean)


def score_terms(record: GeeRecord, vcov: Any, type: Any) -> dict[str, list[Any]]:
    """A generalised score test per term, but for the constant."""
    out = []
    for term in hypotheses(record, type, "score_test_terms"):
        if term.term == "Intercept":
            continue
        test = without("score", None, (), "")
        if len(term.matrix):
            test = score_test(record, term.matrix, vcov)
        out.append((term, test))
    return _columns(out, False)


def _columns(found: Sequence[tuple[TermHypothesis, HypothesisTest]], denominators: bool) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = {
        "term": [term.term for term, _ in found],
        "statistic": [test.statistic for _, test in found],
        "df": [test.df for _, test in found],
    }
    if denominators:
        columns["df_denominator"] = [np.nan if test.df_denominator is None else test.df_denominator for _, test in found]
    columns["p_value"] = [test.p_value for _, test in found]
    columns["note"] = ["; ".join(said for said in (term.note, test.note) if said) for term, test in found]
    return columns


def compare_wald(large: Record, small: Record, inference: Inference) -> HypothesisTest:
    """The Wald test, with the large fit's covariance, of the restrictions that make it the small model."""
    _, restrictions = nested(large, small, "compare_wald_test")
    matrix: Floats = np.asarray(np.linalg.solve(to_named(large.design.mean).T, restrictions.T).T)
    return wald(inference, Hypothesis(matrix, np.zeros(len(matrix)), in_terms(large, small)), to_named(large.design.mean))
