"""How the search of a GLM ended: whether the likelihood rises for ever along some direction, or has led to the end of its link.

Rows that are held are judged by the linear programme (recession.py); others by the information left (separation.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..design.records import Design
from ..design.stream import StreamedDesign
from ..family import Family
from ..kernels import GlmPass
from ..kernels.matrix import Floats
from .at_means import AtMeans
from .separation import at_edge, bounded, counted_at_bound, endless, evidence_of, judged, limiting_over, separated, separation_sentence
from .source import Etas, Means


@dataclass(frozen=True, slots=True)
class End:
    """Where a search ended.

    psi : at dispersion 1; last : the pass there; slope : gradient and Hessian of the search itself, where they are other ones
    """

    design: Design
    family: Family
    etas: Etas
    means: Means
    sums: AtMeans
    psi: Floats
    last: GlmPass
    slope: GlmPass
    converged: bool


def separates(end: End) -> tuple[tuple[str, dict[str, Any]] | None, str]:
    """(sentence and evidence of a separation, or None; the sentence about a fit at the edge of its link, or nothing)."""
    design, family, link = end.design, end.family, end.design.mean.link
    settled = False
    if not isinstance(design, StreamedDesign):
        eta = next(iter(end.etas()))[1]
        settled, found = judged(design, family, eta, end.psi, end.last, end.converged)
        if found is not None:
            return (separation_sentence(found, design, family), evidence_of(found, design)), ""
    if not end.sums.near_bound(family):
        return None, ""
    if bounded(family, link):
        return None, at_edge(family, link, counted_at_bound(family, end.means), design.n)
    drifting = 0 if settled else endless(end.means, design.totals.mean, family, end.slope.information, end.slope.score)
    if not drifting:
        return None, ""
    names = limiting_over(lambda: ((part, mu, np.ones(len(mu))) for part, mu in end.means()), family, design.mean)[1]
    return (separated(family, drifting, design.n, names), {"rows": drifting, "terms": names}), ""
