"""Formulas of the other linear predictors: zero="~ x", dispersion="~ x + offset(z)" -> Formula, without a response.

logit pi_i = offset_i + w_i'gamma; log of the family's own parameter = offset_i + v_i'delta.
"""

from __future__ import annotations

from typing import Any

from ..data.formula import split, variables_in
from ..data.matrices import predictors
from ..data.records import Formula
from ..errors import GlimmError, NotYetError
from ..family import LINKS
from .records import Spec

PART_LINKS = {"zero": LINKS["logit"], "dispersion": LINKS["log"]}
"""Parts other than the mean, in the order of their coefficients, with their links."""


def part_formulas(spec: Spec) -> dict[str, Formula]:
    """The formulas of the parts that a call has; raises GlimmError for what is no right-hand side."""
    return {name: read_part(name, given) for name in PART_LINKS if (given := getattr(spec, name)) is not None}


def read_part(name: str, given: Any) -> Formula:
    """One of them.

    >>> read_part("zero", "~ x + offset(z)").fixed
    'x'
    """
    if not isinstance(given, str):
        raise GlimmError(f"{name} must be the right side of a formula as text, such as {name}='~ x', not {type(given).__name__}")
    left, tilde, right = given.strip().partition("~")
    if not tilde:
        raise GlimmError(f"{name}={given!r} has no '~': write {name}='~ {given.strip() or 1}'")
    if left.strip():
        raise GlimmError(
            f"{name}={given!r} has a left side, and this part of the model has no response of its own: write '~ {right.strip()}'"
        )
    formula = split(f"{name} {given.strip()}")
    if formula.bars:
        raise NotYetError(f"{name}={given!r} has random effects {formula.bars[0].text}, which are not in this release: leave them out")
    return formula


def part_variables(formula: Formula) -> tuple[str, ...]:
    """Columns that a part needs."""
    names = [*predictors(formula.fixed), *(name for text in formula.offsets for name in variables_in(text))]
    return tuple(dict.fromkeys(names))


def all_part_variables(spec: Spec) -> tuple[str, ...]:
    """Columns that the parts of a call need."""
    return tuple(dict.fromkeys(name for formula in part_formulas(spec).values() for name in part_variables(formula)))
