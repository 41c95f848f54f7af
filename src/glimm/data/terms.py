"""Terms of the fixed part, and which factors of each keep all their levels: the full-rank rule of patsy and formulaic.

A term a:b of factors spans the products of {1, a-} and {1, b-}; what earlier terms span is left out, and x- + x:f- = x:f.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from ..errors import GlimmError
from .text import pieces, plain_name


@dataclass(frozen=True, slots=True)
class Term:
    """A product of factors (expressions) times a number."""

    factors: tuple[str, ...]
    scale: float = 1.0

    @property
    def label(self) -> str:
        """The term as formulaic writes it."""
        return ":".join(self.factors) if self.factors else "Intercept"


@dataclass(frozen=True, slots=True)
class Scoped:
    """A product of factors, each with `reduced` (one level left out) or in full."""

    factors: tuple[tuple[str, bool], ...]
    scale: float = 1.0

    @property
    def key(self) -> frozenset[tuple[str, bool]]:
        """What makes two of them the same."""
        return frozenset(self.factors)


@lru_cache(maxsize=256)
def parse_terms(fixed: str) -> tuple[tuple[Term, ...], frozenset[str]]:
    """Terms of the fixed part, by degree, as formulaic parses it, and which of their factors are plain column names.

    Raises GlimmError for text that formulaic cannot parse, and for a removed term that is not in the formula: x - mean(x) is no
    arithmetic.

    >>> [term.label for term in parse_terms("a * b")[0]]
    ['Intercept', 'a', 'b', 'a:b']
    """
    from formulaic import Formula

    try:
        parsed = list(Formula(fixed))
    except Exception as error:
        raise GlimmError(f"cannot read {fixed!r} in the formula: {_first_line(error)}") from error
    _check_removed(fixed)
    terms, plain = [], set()
    for term in parsed:
        if not hasattr(term, "factors"):
            raise GlimmError(f"cannot read {fixed!r} in the formula: it has several parts")
        factors, scale = [], 1.0
        for factor in term.factors:
            if factor.eval_method.value == "literal":
                scale *= _number(factor.expr, fixed)
                continue
            factors.append(factor.expr)
            if factor.eval_method.value == "lookup":
                plain.add(factor.expr)
        terms.append(Term(tuple(factors), scale))
    return tuple(terms), frozenset(plain)


def _check_removed(fixed: str) -> None:
    """Raise GlimmError for `- term` where no other part of the formula has that term; constants may always be removed."""
    from formulaic import Formula

    signed = pieces(fixed)
    removed = [piece for sign, piece in signed if sign == "-"]
    if not removed:
        return
    kept = {_factors(term) for sign, piece in signed if sign == "+" for term in Formula(f"0 + {piece}")}
    for piece in removed:
        for term in Formula(f"0 + {piece}"):
            if _factors(term) and _factors(term) not in kept:
                listed = ", ".join(sorted(":".join(sorted(factors)) for factors in kept if factors)) or "a constant only"
                raise GlimmError(
                    f"- {piece} in the formula removes the term {':'.join(f.expr for f in term.factors)!r}, which is not there (have: "
                    f"{listed}): for arithmetic write I(a - b), or center(x) to subtract the mean"
                )


def _factors(term: Any) -> frozenset[str]:
    """The expressions of a parsed term, numbers left out."""
    return frozenset(factor.expr for factor in term.factors if factor.eval_method.value != "literal")


def scope(terms: Sequence[Term], spans: Mapping[str, bool]) -> list[list[Scoped]]:
    """For each term, the products to build so that the whole has full rank by construction.

    spans : factor -> its columns in full add up to the constant
    """
    spanned: set[frozenset[tuple[str, bool]]] = set()
    out = []
    for term in terms:
        options = [(((f, True), None) if spans[f] else ((f, False),)) for f in term.factors]
        products: dict[frozenset[tuple[str, bool]], Scoped] = {}
        for choice in itertools.product(*options):
            scoped = Scoped(tuple(part for part in choice if part is not None), term.scale)
            products.setdefault(scoped.key, scoped)
        new = {key: scoped for key, scoped in products.items() if key not in spanned}
        out.append(_simplify(list(new.values())))
        spanned.update(new)
    return out


def _simplify(terms: list[Scoped]) -> list[Scoped]:
    """Apply x- + x:f- -> x:f until nothing changes."""
    kept: dict[frozenset[tuple[str, bool]], Scoped] = {}
    for scoped in sorted(terms, key=lambda s: len(s.factors)):
        match = None
        for key, existing in kept.items():
            extra = scoped.key - key
            if len(scoped.key) - 1 == len(key) and len(extra) == 1 and next(iter(extra))[1]:
                match = existing, next(iter(extra))
                break
        if match is None:
            kept.setdefault(scoped.key, scoped)
            continue
        existing, new = match
        del kept[existing.key]
        merged = Scoped(tuple((f, False) if (f, r) == new else (f, r) for f, r in scoped.factors), existing.scale * scoped.scale)
        kept = {s.key: s for s in _simplify([*kept.values(), merged])}
    return list(kept.values())


def plain_factor(expression: str) -> str | None:
    """The column of C(column) without further arguments, else None.

    >>> plain_factor("C(age)"), plain_factor("C(age, contr.sum)")
    ('age', None)
    """
    if not (expression.startswith("C(") and expression.endswith(")")):
        return None
    return plain_name(expression[2:-1])


def _number(text: str, fixed: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise GlimmError(f"cannot read {fixed!r} in the formula: {text} is not a column; quote odd names in backticks") from None


def _first_line(error: Exception) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
