"""The forest plot: estimates with their intervals under each other, a line where there is no effect, numbers at the right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .picture import require_matplotlib

if TYPE_CHECKING:
    from .draw import Picture


def forest(what: str, detail: str, rows: Sequence[tuple[str, str, Any]], null: float) -> Picture:
    """The picture.

    what : is contrasted; detail : sentences under the title; rows : (fit, its standard errors, effect) with target, label, estimate, low,
    high; null : the value of no effect, 1 for ratios, which are drawn on a log axis
    """
    require_matplotlib()
    from .draw_forest import Bar, draw

    labels = {effect.label for _, _, effect in rows}
    names = []
    for fit, errors, effect in rows:
        asked = effect.label if len(labels) > 1 else ""
        about = "typical cluster" if effect.target == "typical" else errors
        names.append((f"{asked}: {fit}" if asked else fit, about))
    bars = [
        Bar(name, about, effect.estimate, effect.low, effect.high, effect.target == "marginal")
        for (name, about), (_, _, effect) in zip(names, rows, strict=True)
    ]
    return draw(bars, title(what, rows, labels), detail, what, null)


def title(what: str, rows: Sequence[tuple[str, str, Any]], labels: set[str]) -> str:
    """How far the fits agree on the population's effect.

    >>> from types import SimpleNamespace as Effect
    >>> rows = [("a", "", Effect(target="marginal", estimate=v, label="1 - 0")) for v in (0.034, 0.036)]
    >>> title("risk difference by smoke", rows, {"1 - 0"})
    'In the population, the risk difference by smoke (1 - 0) is 0.0340 to 0.0360'
    """
    if len(labels) > 1:
        return f"In the population: {what}"
    estimates = [effect.estimate for _, _, effect in rows if effect.target == "marginal"]
    low, high = min(estimates), max(estimates)
    places = int(np.clip(2 - np.floor(np.log10(max(abs(low), abs(high), 1e-12))), 0, 6))
    ends = list(dict.fromkeys(f"{v:.{places}f}" if abs(v) < 1e6 else f"{v:.3g}" for v in (low, high)))
    return f"In the population, the {what} ({next(iter(labels))}) is {' to '.join(ends)}"
