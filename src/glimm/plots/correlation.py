"""The picture of a GEE's correlations: of residuals by distance in time with the working one as a line; by pair of occasions beside it.

Empirical r with r +- 1.96 s, s its standard error between clusters; the mean working correlation of the same pairs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..diagnostics.pairs import FEW_OCCASIONS, Correlations, Pairs, pairs_of
from ..errors import GlimmError
from ..kernels.matrix import Floats
from ..records import GeeRecord
from ..text import figures
from .picture import require_matplotlib

if TYPE_CHECKING:
    from .draw import Picture

LIMIT, DIFFERS = 1.96, 0.1


@dataclass(frozen=True, slots=True)
class Curve:
    """Correlations by distance: x (g,), or `names` of kinds of pairs; empirical with limits and the working one, (g,) each."""

    x: Floats
    names: tuple[str, ...]
    label: str
    empirical: Floats
    low: Floats
    high: Floats
    working: Floats


@dataclass(frozen=True, slots=True)
class Square:
    """(T, T) correlations of pairs of occasions: empirical below the diagonal, working above, NaN where no cluster has both."""

    names: tuple[str, ...]
    values: Floats


def correlation_picture(record: GeeRecord, title: str | None) -> Picture:
    """The picture; see `GeeFit.plot_corr`."""
    require_matplotlib()
    from .draw_correlation import draw

    found = pairs_of(record)
    if not len(found.i):
        raise GlimmError("plot_corr: no cluster has two rows, so there are no pairs to correlate")
    c = found.of_lags() if found.at.inner is None else found.of_inner()
    square = occasions_of(found) if found.at.inner is None and 2 < len(found.at.times) <= FEW_OCCASIONS else None
    head, detail = title or said(record, c), explained(found, c, square is not None)
    alt = f"{head}. {detail} " + " ".join(
        f"{name}: {figures(float(r), 2)}, working {figures(float(w), 2)}."
        for name, r, w in zip(words(c), c.empirical, c.working, strict=True)
    )
    return draw(curve_of(found, c), square, head, detail, alt)


def curve_of(found: Pairs, c: Correlations) -> Curve:
    """What the left panel draws."""
    names = tuple(words(c)) if c.kind == "inner" else ()
    x = np.arange(float(len(c.lag))) if names else c.lag
    label = "" if names else "rows apart, in the order of the data" if found.at.time is None else "distance in time"
    return Curve(x, names, label, c.empirical, c.empirical - LIMIT * c.error, c.empirical + LIMIT * c.error, c.working)


def occasions_of(found: Pairs) -> Square:
    """What the right panel draws."""
    c, times = found.of_occasions(), found.at.times
    values = np.full((len(times), len(times)), np.nan)
    j, k = np.searchsorted(times, c.first), np.searchsorted(times, c.second)
    values[k, j], values[j, k] = c.empirical, c.working
    return Square(tuple(f"{t:g}" for t in times), values)


def words(c: Correlations) -> list[str]:
    """What each group of pairs is called."""
    if c.kind == "inner":
        return ["same inner cluster" if one == 0.0 else "two inner clusters" for one in c.lag]
    return [f"{low:g} apart" if low == high else f"{low:.3g} to {high:.3g} apart" for low, high in zip(c.first, c.second, strict=True)]


def said(record: GeeRecord, c: Correlations) -> str:
    """The title: where the two differ most beyond chance, or that they agree."""
    difference = c.empirical - c.working
    far = (np.abs(difference) > DIFFERS) & (np.abs(difference) > LIMIT * c.error)
    if not far.any():
        return f"The {record.corr} correlation is close to that of the residuals"
    g = int(np.argmax(np.where(far, np.abs(difference), -1.0)))
    where = "" if len(c.lag) == 1 else f" {_place(c, g)}"
    more = "more" if difference[g] > 0.0 else "less"
    return (
        f"Residuals{where} correlate {more} than the {record.corr} correlation says: {figures(float(c.empirical[g]), 2)} against "
        f"{figures(float(c.working[g]), 2)}"
    )


def _place(c: Correlations, g: int) -> str:
    if c.kind == "inner":
        return "inside inner clusters" if c.lag[g] == 0.0 else "between inner clusters"
    low, high = f"{c.first[g]:.3g}", f"{c.second[g]:.3g}"
    return f"{low} apart" if low == high else f"{low} to {high} apart"


def explained(found: Pairs, c: Correlations, square: bool) -> str:
    """The sentences under the title."""
    which = f"{int(c.pairs.sum()):,} pairs of rows of one cluster" + ("" if found.whole else ", a sample")
    right = " Right: each pair of occasions, residuals below the diagonal, working above; hollow: negative." if square else ""
    line = "points" if c.kind == "inner" else "line"
    return f"Pearson residuals of {which}, with 95 % limits between clusters; ochre {line}: the working correlation.{right}"
