"""How the search of a GLM ended: whether the likelihood rises for ever along some direction, or has led to the end of its link.

A linear programme (recession.py) judges where single rows have likelihoods with an end, l(y_i, eta) -> max as eta -> +-infinity;
elsewhere the information left does (separation.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..design.records import Design
from ..design.totals import block_sum
from ..family import Family
from ..kernels import GlmPass, positive_definite, solve, working
from ..kernels.matrix import Bools, Floats
from .at_means import AtMeans
from .recession import Separation, columns, ends, falls, find, has_ends, overlap, row_numbers
from .separation import (
    DRIFT,
    FITTED_EXTREME,
    at_edge,
    bounded,
    counted_at_bound,
    endless,
    limiting_over,
    remaining,
    separated,
    takes_penalty,
)
from .source import Etas, Means, RowSource

MOST_TERMS = 6


@dataclass(frozen=True, slots=True)
class End:
    """Where a search ended.

    psi : at dispersion 1; last : the pass there; slope : gradient and Hessian of the search itself, where they are other ones
    """

    source: RowSource
    family: Family
    etas: Etas
    means: Means
    sums: AtMeans
    psi: Floats
    last: GlmPass
    slope: GlmPass
    converged: bool

    @property
    def design(self) -> Design:
        """Of the rows."""
        return self.source.design

    def sided(self) -> Iterator[tuple[Design, Floats]]:
        """Rows with the ends of their outcomes."""
        return ((part, ends(part, part.mean.link)) for part in self.source.parts())

    def scored(self) -> Iterator[tuple[Design, Floats, Floats, Floats]]:
        """The same with d1 and w."""
        for part, eta in self.etas():
            link = part.mean.link
            _, d1, w = working(self.family.kernel, link.kernel, part.y, eta, part.size, self.psi)
            yield part, ends(part, link), d1, w


def separates(end: End) -> tuple[tuple[str, dict[str, Any]] | None, str]:
    """(sentence and evidence of a separation, or None; the sentence about a fit at the edge of its link, or nothing)."""
    design, family, link = end.design, end.family, end.design.mean.link
    settled, found = judged(end)
    if found is not None:
        return (separation_sentence(found, design, family), evidence_of(found)), ""
    if not end.sums.near_bound(family):
        return None, at_edge(family, link, lost_at_zero(end), design.n)
    if bounded(family, link):
        return None, at_edge(family, link, counted_at_bound(family, end.means), design.n)
    drifting = 0 if settled else endless(end.means, design.totals.mean, family, end.slope.information, end.slope.score)
    if not drifting:
        return None, ""
    names = limiting_over(lambda: ((part, mu, np.ones(len(mu))) for part, mu in end.means()), family, design.mean)[1]
    return (separated(family, drifting, design.n, names), {"rows": drifting, "terms": names}), ""


def judged(end: End) -> tuple[bool, Separation | None]:
    """Whether the linear programme has settled the question, and the separation that it found.

    A search that came to rest with every fitted mean inside its range needs no programme: along a separating direction a next step still
    moves eta.
    """
    part = end.design.mean
    if not has_ends(end.family, part.link):
        return False, None
    if end.converged and (not drifts(end) or overlap(end.scored, part, end.last.score)):
        return True, None
    found = find(end.sided, part)
    return found != "undecided", found if isinstance(found, Separation) else None


def lost_at_zero(end: End) -> int:
    """Rows with means of 0 where the link of a response of any sign ends there; 0 if the others determine every coefficient."""
    if end.family.support != "real" or not bounded(end.family, end.design.mean.link) or not end.sums.near_zero():
        return 0
    total = 0.0
    for _, mu in end.means():
        total = block_sum(np.abs(mu), total)
    least = FITTED_EXTREME * total / end.design.n
    names = remaining(lambda: ((part, np.abs(mu) > least, np.ones(len(mu))) for part, mu in end.means()), end.design.mean)[1]
    return sum(int(np.sum(np.abs(mu) <= least)) for _, mu in end.means()) if names else 0


def drifts(end: End) -> bool:
    """Whether a fit may be on its way to infinity: means near the bound, a singular information, or a step that would still move eta."""
    if end.sums.near_bound(end.family) or not positive_definite(end.last.information):
        return True
    step = solve(end.last.information, end.last.score)
    if np.sqrt(end.design.n) * float(np.abs(step).sum()) < DRIFT:  # working columns have entries up to sqrt(n)
        return False
    return any(np.abs(columns(part).eta(step)).max(initial=0.0) > DRIFT for part in end.source.parts())


def evidence_of(found: Separation) -> dict[str, Any]:
    """kind; rows, how many; positions of these in the caller's data; terms without a finite estimate; direction of the coefficients."""
    return {
        "kind": found.kind,
        "rows": len(found.rows),
        "positions": found.rows,
        "terms": found.terms,
        "direction": found.direction,
    }


def rows_left(parts: Iterable[tuple[Design, Floats]], evidence: Mapping[str, Any]) -> Iterator[tuple[Design, Floats, Bools]]:
    """Rows with their linear predictors (n,), and which are not those of `evidence_of` (n,)."""
    told, first = np.sort(evidence["positions"]), 0
    for design, eta in parts:
        rows = row_numbers(design, first)
        first += design.n
        yield design, eta, told[np.minimum(np.searchsorted(told, rows), len(told) - 1)] != rows


def separation_sentence(found: Separation, design: Design, family: Family) -> str:
    """How many rows, which coefficients, what to do."""
    names, rows = list(found.terms[:MOST_TERMS]), len(found.rows)
    if len(found.terms) > MOST_TERMS:
        names[-1] = f"{len(found.terms) - MOST_TERMS + 1} others"
    what = (
        "probabilities of 0 or 1"
        if family.support == "binomial"
        else "means of 0"
        if design.mean.link.name == "log" or falls(design.mean.link)
        else "means of 0 or 1"
    )
    remedies = [*(["use penalty='firth'"] if takes_penalty(family) else []), "leave the term out or put levels together"]
    return (
        f"fitted {what} in {rows} of {design.n} rows, {found.kind} separation: some combination of predictors separates the outcomes, so "
        f"{', '.join(names)} {'has' if len(found.terms) == 1 else 'have'} no finite estimate and no standard error: "
        + ", or ".join(remedies)
    )
