"""A formula written out again with less in its random terms: what a finding tells the user to fit."""

from __future__ import annotations

from collections.abc import Sequence

from ..data.records import Bar
from ..design.records import Design, RandomTerm


def bar_of(design: Design, term: RandomTerm) -> Bar:
    """The random term as it stands in the formula."""
    at = next(k for k, t in enumerate(design.mean.random) if t is term)
    return design.spec.formula.bars[at]


def ticked(name: str) -> str:
    """A column in a formula."""
    return name if name.isidentifier() else f"`{name}`"


def as_predictor(design: Design, term: RandomTerm) -> str:
    """The formula with the levels of a term as a predictor, which takes up the groupings that its levels lie in."""
    own = bar_of(design, term)
    kept = [bar.text for bar in design.spec.formula.bars if not set(bar.factors) <= set(own.factors)]
    return written(design, [":".join(f"C({ticked(name)})" for name in own.factors), *kept])


def written(design: Design, bars: Sequence[str]) -> str:
    """The formula with these random terms."""
    formula = design.spec.formula
    return " + ".join([f"{formula.response} ~ {formula.fixed}", *(f"offset({text})" for text in formula.offsets), *bars])


def swapped(design: Design, term: RandomTerm, text: str) -> str:
    """The formula with another text for one random term, or without it where the text is empty."""
    own = bar_of(design, term)
    return written(design, [text if bar is own else bar.text for bar in design.spec.formula.bars if bar is not own or text])


def without_effects(design: Design, term: RandomTerm, effects: Sequence[str]) -> str:
    """The formula without some effects of a term: a call of the simpler model; in words where it cannot be written."""
    bar = bar_of(design, term)
    kept = [name for name in term.names if name not in effects]
    if not kept:
        return swapped(design, term, "")
    if kept == ["Intercept"]:
        return swapped(design, term, f"(1 | {bar.group})")
    columns = set(design.spec.variables)
    if all(name == "Intercept" or name in columns for name in kept):
        left = " + ".join("1" if name == "Intercept" else name for name in kept)
        mark = "|" if bar.correlated else "||"
        return swapped(design, term, f"({left if 'Intercept' in kept else '0 + ' + left} {mark} {bar.group})")
    return f"the model without the effects {', '.join(effects)} of {term.group}"


def independent(design: Design, term: RandomTerm) -> str:
    """The formula with independent effects in one term."""
    bar = bar_of(design, term)
    return swapped(design, term, f"({bar.expression} || {bar.group})")
