"""Tests of the terms of a model as columns of a table, and of one model within another: type III hypotheses by Wald or score tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..design.coordinates import to_named
from ..errors import GlimmError
from ..kernels.matrix import Floats
from ..records import GeeRecord, Record
from .covariance import Inference
from .hypotheses import Hypothesis, HypothesisTest, denominator, wald, without
from .score_tests import in_terms, nested, score_test
from .type3 import TermHypothesis, type3


def columns_of_terms(record: Record, names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Label of each term -> its coefficients in the model."""
    fixed, known = record.design.spec.fixed, set(names)
    return {label: tuple(name for name in fixed.names[a:b] if name in known) for label, a, b in fixed.terms}


def hypotheses(record: Record, type: Any, what: str) -> list[TermHypothesis]:
    """The hypotheses of all terms; raises GlimmError for another type than 3."""
    if isinstance(type, bool) or type not in (3, "3", "III"):
        raise GlimmError(f"{what}: type must be 3, not {type!r}; for tests of some coefficients name them in wald_test")
    return type3(record.design.spec, record.design.mean.dropped)


def wald_terms(record: Record, inference: Inference, type: Any) -> dict[str, list[Any]]:
    """A Wald test per term."""
    found = hypotheses(record, type, "wald_test_terms")
    at = [inference.names.index(name) if name in inference.names else -1 for name in record.design.mean.names]
    out = []
    for term in found:
        matrix = np.zeros((len(term.matrix), len(inference.names)))
        for j, k in enumerate(at):
            if k >= 0:
                matrix[:, k] = term.matrix[:, j]
        test = without("wald", denominator(inference), (), "")
        if len(matrix):
            test = wald(inference, Hypothesis(matrix, np.zeros(len(matrix)), ()), to_named(record.design.mean))
        out.append((term, test))
    return _columns(out, True)


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
