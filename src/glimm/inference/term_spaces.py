"""What a test of each term compares: the columns of a model without the term, and with it.

Type I: terms before it, then these and it. Type II: all terms that do not contain it, then these and it. Type III: the coefficients
that meet the term's hypothesis (type3.py), then all. A space is a basis B of coefficients: the model's columns are X B.
Source: Nelder (1977), J. R. Stat. Soc. A 140, 48-77 (marginality); SAS/STAT User's Guide, "The Four Types of Estimable Functions".
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..data.matrices import FixedSpec
from ..design.coordinates import from_named, to_named
from ..errors import GlimmError
from ..estimators.constrained import orthonormal
from ..estimators.restricted import null_space
from ..kernels.matrix import Floats
from ..records import AnyRecord
from .type3 import TermHypothesis, factors_of, type3

TYPES = {"1": 1, "I": 1, "2": 2, "II": 2, "3": 3, "III": 3}


@dataclass(frozen=True, slots=True)
class Step:
    """A test of one term. small, large : (p, q) orthonormal bases of working coefficients; note : what of the term cannot be tested."""

    term: str
    small: Floats
    large: Floats
    note: str = ""

    @property
    def df(self) -> int:
        """What the term adds."""
        return int(self.large.shape[1] - self.small.shape[1])


def type_of(given: Any, what: str) -> int:
    """1, 2 or 3; raises GlimmError for another type."""
    found = None if isinstance(given, bool) else TYPES.get(str(given).upper())
    if found is None:
        raise GlimmError(f"{what}: type must be 1 (in the order of the formula), 2 (marginality) or 3 (contrasts), not {given!r}")
    return found


def steps(record: AnyRecord, type: int) -> list[Step]:
    """The tests of all terms but the constant, in the order of the formula."""
    if type == 3:
        return [of_hypothesis(record, term) for term in type3(record.design.spec, record.design.mean.dropped) if term.term != "Intercept"]
    spans = columns_of(record)
    out = []
    before: list[Floats] = []
    for label, own in spans.items():
        if label != "Intercept":
            others = before if type == 1 else [spans[other] for other in spans if other != label and not contains(other, label, record)]
            small, large = _space(record, others), _space(record, [*others, own])
            note = "" if large.shape[1] > small.shape[1] else _nothing(record, label)
            out.append(Step(label, small, large, note))
        before = [*before, own]
    return out


def first_space(record: AnyRecord) -> Floats:
    """The model with the constant alone, or without any column where the formula has none."""
    return _space(record, [own for label, own in columns_of(record).items() if label == "Intercept"])


def of_hypothesis(record: AnyRecord, term: TermHypothesis) -> Step:
    """A test of L b = 0 within the whole model."""
    p = record.design.mean.matrix.p
    whole = np.eye(p)
    if not len(term.matrix):
        return Step(term.term, whole, whole, term.note)
    return Step(term.term, null_space(term.matrix @ to_named(record.design.mean)), whole, term.note)


def columns_of(record: AnyRecord) -> dict[str, Floats]:
    """Label of each term -> (p, k) what coefficients of its columns are as coefficients of the columns kept, those left out too."""
    encoding = record.design.spec
    place = {int(j): i for i, j in enumerate(encoding.keep)}
    p = len(place)
    out = {}
    for label, first, stop in encoding.fixed.terms:
        own = np.zeros((p, stop - first))
        for k, j in enumerate(range(first, stop)):
            if j in place:
                own[place[j], k] = 1.0
            elif j in encoding.aliases:
                own[:, k] = encoding.aliases[j]
        out[label] = own
    return out


def contains(outer: str, inner: str, record: AnyRecord) -> bool:
    """Whether a term is a product of all factors of another, and more: type II tests that one without it."""
    spec: FixedSpec = record.design.spec.fixed
    return outer != "Intercept" and factors_of(inner, spec) < factors_of(outer, spec)


def _space(record: AnyRecord, columns: Iterable[Floats]) -> Floats:
    """(p, q) an orthonormal basis of working coefficients of what columns span."""
    p = record.design.mean.matrix.p
    wide = np.column_stack([np.zeros((p, 0)), *columns])
    return orthonormal(from_named(record.design.mean) @ wide)


def _nothing(record: AnyRecord, label: str) -> str:
    """Why a term adds nothing."""
    fixed = record.design.spec.fixed
    first, stop = next((a, b) for name, a, b in fixed.terms if name == label)
    dropped = [name for name in fixed.names[first:stop] if name in record.design.mean.dropped]
    said = f" ({dropped[0]}: {record.design.mean.dropped[dropped[0]]})" if dropped else ""
    return f"nothing to test: its columns are combinations of other terms'{said}"
