"""The picture of influence: Cook's distance of every unit as a stem, under it the dfbetas of one coefficient, the largest named."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..diagnostics.deletion import Deletion
from ..errors import GlimmError, suggest
from ..kernels.matrix import Floats
from .picture import require_matplotlib

ALIKE, CLOSE = 1e-6, 0.02

if TYPE_CHECKING:
    from .draw import Picture


def influence_picture(found: Deletion, term: str | None, top: Any, title: str | None) -> Picture:
    """The picture; see `fit.plot_influence`."""
    if isinstance(top, bool) or not isinstance(top, int) or not 0 <= top <= 20:
        raise GlimmError(f"plot_influence: top, how many units are named, must be a whole number from 0 to 20, not {top!r}")
    if term is not None and term not in found.terms:
        raise GlimmError(f"plot_influence: {term!r} is not a term: {suggest(str(term), found.terms)}")
    if not found.terms:
        raise GlimmError("plot_influence: the model has no coefficients, there is nothing to draw")
    if not np.isfinite(found.cooks).any():
        raise GlimmError("plot_influence: Cook's distance is NaN for every unit, there is nothing to draw")
    require_matplotlib()
    from .draw_influence import Stems, draw

    names = [str(name) for name in found.units.tolist()]
    column = most_moved(found) if term is None else found.terms.index(term)
    shown = found.terms[column]
    dfbetas = found.dfbetas[:, column]
    order, here = largest(found.cooks, top), largest(np.abs(dfbetas), top)
    x = np.asarray(found.units, dtype=np.float64) if found.single else np.arange(1.0, len(names) + 1.0)
    upper = Stems("Cook's distance", x, found.cooks, [(u, names[u]) for u in order])
    lower = Stems(f"dfbetas of {shown}", x, dfbetas, [(u, names[u]) for u in here])
    unit = found.by
    if found.single:
        axis = "row of the data (counting from 0)"
    else:
        axis = found.by if len(names) <= 25 else f"{len(names)} levels of {found.by}, in their order"
    most = float(np.nanmax(found.cooks))
    equal = np.flatnonzero(found.cooks >= most * (1.0 - ALIKE))
    first, alike = int(equal[0]), len(equal) - 1
    like = f", or {'another' if alike == 1 else f'one of {alike} others'} like it," if alike else ""
    said = title or f"Leaving out {unit} {names[first]}{like} moves the estimates most (Cook's distance {most:.2g})"
    listed = ", ".join(f"{names[u]} ({found.cooks[u]:.2g})" for u in order)
    lost = f" {len(found.lost)} that cannot be left out are not drawn." if found.lost else ""
    how = "the model fitted again without it" if found.method == "refit" else "one step from the estimates"
    detail = (
        f"Each stem is one {unit} left out ({how}). Below: by how many standard errors the {shown} coefficient is larger with "
        f"the {unit} than without it.{lost}"
    )
    return draw((upper, lower), None if found.single else names, (said, detail, axis), f"{said}. {detail} Largest: {listed}.")


def largest(values: Floats, top: int) -> list[int]:
    """Positions of the largest few; of equal ones close to each other the first.

    >>> largest(np.array([3.0, 3.0, np.nan, 1.0, 2.0]), 2)
    [0, 4]
    """
    out: list[int] = []
    near = max(1.0, CLOSE * len(values))
    rough = np.nan_to_num(values, nan=-1.0) / max(float(np.nanmax(values, initial=0.0)), 1e-300)
    for u in np.argsort(-np.round(rough, 6), kind="stable").tolist():
        if len(out) == top or not np.isfinite(values[u]):
            break
        if not any(abs(values[u] - values[v]) <= ALIKE * abs(values[v]) and abs(u - v) <= near for v in out):
            out.append(u)
    return out


def most_moved(found: Deletion) -> int:
    """The coefficient that some unit moves by most standard errors."""
    return int(np.argmax(np.nan_to_num(np.abs(found.dfbetas)).max(axis=0)))
