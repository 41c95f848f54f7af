"""Names, shares and ranges as they are written in statements, and clauses that several statements share, with their numbers."""

from __future__ import annotations

import math

from ..diagnostics.measure import Dropout
from ..text import counted, figures, listed
from .facts import Facts, Group
from .records import Evidence


def ticked(name: str) -> str:
    """A column in a formula."""
    return name if name.isidentifier() else f"`{name}`"


def quoted(g: Group) -> str:
    """A grouping in a formula."""
    return ":".join(map(ticked, g.factors))


def levels_of(groups: tuple[Group, ...]) -> str:
    """Groupings with their clusters."""
    return listed([f"{g.clusters} clusters of {g.name}" for g in groups])


def percent(share: float) -> str:
    """A share in percent: whole, with a decimal below 10 %."""
    return f"{100.0 * share:.0f} %" if share >= 0.1 or share == 0.0 else f"{100.0 * share:.1f} %"


def small(p: float) -> str:
    """A p-value, to one figure where it is tiny."""
    return f"{p:.3f}" if p >= 0.001 else f"{p:.0e}"


def span(low: float, high: float) -> str:
    """From the lowest to the highest, with as many figures as tell them apart.

    >>> span(0.0, 12.0), span(-1.25, 3.5), span(999999995.21, 1000000004.4)
    ('0 to 12', '-1.25 to 3.50', '999999995.21 to 1000000004.4')
    """
    size = max(abs(low), abs(high))
    if low == math.floor(low) and high == math.floor(high) and size < 1e15:
        return f"{low:.0f} to {high:.0f}"
    if size < 100.0 * (high - low) and size < 1e9:
        return f"{figures(low, 3)} to {figures(high, 3)}"
    count = min(3 + max(math.floor(math.log10(size / (high - low))), 0), 17) if high > low else 17
    return f"{low:.{count}g} to {high:.{count}g}"


def dropped_out(d: Dropout) -> tuple[str, Evidence]:
    """Who ended early, and how they differed."""
    text = (
        f"{d.clusters} clusters end early, with a last residual {figures(abs(d.difference), 3)} "
        f"{'above' if d.difference > 0 else 'below'} that of the others at the same occasion (z = {figures(d.z, 3)})"
    )
    return text, {"clusters": d.clusters, "difference": d.difference, "z": d.z}


def unchanged(facts: Facts, g: Group) -> tuple[str, Evidence]:
    """In how many clusters of two rows or more the response changes."""
    several = g.clusters - g.single
    changing = several - g.constant
    text = f"{facts.response.name} changes in {changing} of the {counted(several, 'cluster')} of {g.name} that have two rows or more"
    return text, {"changing": changing, "clusters": several}


def exact(facts: Facts) -> tuple[str, Evidence]:
    """How little a GLM leaves."""
    left = f"{facts.unexplained:.0e}" if facts.unexplained else "0"
    text = f"The predictors give {facts.response.name} to within rounding: a GLM leaves {left} of its variation"
    return text, {"unexplained": facts.unexplained, "rows": facts.n}


def separated(facts: Facts) -> tuple[str, Evidence]:
    """In how many rows a mean runs away."""
    text = f"In {facts.separated} of {facts.n} rows a fitted mean runs to its limit: some predictors separate the outcomes"
    return text, {"separated": facts.separated, "rows": facts.n}
