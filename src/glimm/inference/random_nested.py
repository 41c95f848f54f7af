"""Which random parts of models contain which: effects in the span of others' columns, covariances that are special cases of others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..design.records import RandomTerm
from ..errors import GlimmError

SPAN = 1e-7
SPECIAL = {
    ("diag", "us"),
    ("diag", "cs"),
    ("diag", "toep"),
    ("homcs", "cs"),
    ("homcs", "toep"),
    ("homcs", "us"),
    ("cs", "toep"),
    ("cs", "us"),
    ("toep", "us"),
    ("ar1", "toep"),
    ("ar1", "us"),
}
"""(a, b): covariances of structure a are some of those of structure b, of the same effects."""


def new_effects(small: Sequence[RandomTerm], large: Sequence[RandomTerm]) -> int:
    """How many random effects of a level the large model has beyond the small one.

    Raises GlimmError for a term of the small model that is no special case of one of the large one.
    """
    for term in small:
        if not any(_inside(term, other) for other in large):
            have = ", ".join(_words(other) for other in large) or "none"
            raise GlimmError(f"lrt: the small model is not nested in the large one: its random term {_words(term)} is in none of {have}")
    return sum(_size(term) for term in large) - sum(_size(term) for term in small)


def _words(term: RandomTerm) -> str:
    inside = " + ".join("1" if name == "Intercept" else name for name in term.names)
    return f"{term.structure}({inside} | {term.group})"


def _size(term: RandomTerm) -> int:
    return len(term.names)


def _inside(term: RandomTerm, other: RandomTerm) -> bool:
    """Whether one term is a special case of another."""
    if len(term.levels) != len(other.levels) or not np.array_equal(term.refs, other.refs):
        return False
    single = _size(term) == 1 and term.structure in ("us", "diag")
    same_columns = term.z.shape == other.z.shape and np.array_equal(term.z, other.z)
    if term.structure == other.structure and same_columns:
        return True
    if other.structure == "us" and (single or term.structure == "us"):
        return _spanned(term, other)
    if other.structure == "diag" and (single or term.structure == "diag"):
        return all(any(np.array_equal(column, another) for another in other.z.T) for column in term.z.T)
    if term.structure == "diag" and other.structure == "us":
        return _spanned(term, other)
    if other.structure == "us" and term.structure in ("cs", "homcs"):
        return same_columns
    return (term.structure, other.structure) in SPECIAL and same_columns


def _spanned(term: RandomTerm, other: RandomTerm) -> bool:
    """Whether the columns of a term are combinations of another's."""
    found = np.linalg.lstsq(other.z, term.z, rcond=None)[0]
    size = np.maximum(np.abs(term.z).max(axis=0), 1e-300)
    return bool(np.all(np.abs(term.z - other.z @ found).max(axis=0) < SPAN * size))
