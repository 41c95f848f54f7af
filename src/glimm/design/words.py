"""Linear dependence of columns in words: "= 2 * x - 1 * Intercept"."""

from __future__ import annotations

import numpy as np

from ..kernels.matrix import Floats
from .rank import Rank

MAX_WORDS = 8


def in_words(names: tuple[str, ...], position: int, coefficients: Floats, decided: Rank) -> str:
    """What a column that was left out equals, such as "= 2 * x - 1 * Intercept"."""
    size = np.abs(decided.center) + np.abs(decided.scale)
    kept = [
        (float(value), names[j])
        for value, j in zip(coefficients, decided.keep, strict=True)
        if abs(value) * size[j] > 1e-8 * size[position]
    ]
    if not kept:
        return "is 0 in every row used"
    kept.sort(key=lambda pair: pair[1] == "Intercept")
    if len(kept) > MAX_WORDS:
        return f"is a combination of {', '.join(name for _, name in kept[:MAX_WORDS])} and {len(kept) - MAX_WORDS} others"
    words = [f"{'-' if value < 0 else '+'} {abs(_short(value)):.8g} * {name}" for value, name in kept]
    return "= " + " ".join(words).removeprefix("+ ").replace("- ", "-", words[0].startswith("-"))


def _short(value: float) -> float:
    """The nearest short decimal, when it is within 1e-8."""
    for digits in range(7):
        near = round(value, digits)
        if near and abs(near - value) <= 1e-8 * max(1.0, abs(value)):
            return near
    return value
