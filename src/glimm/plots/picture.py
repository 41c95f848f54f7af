"""The picture of one predictor, from a fit's record to a figure: curves, then words, then the drawing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import GlimmError
from ..inference.covariance import Inference
from ..kernels.matrix import Floats
from ..records import Record
from .curves import Curves, compute
from .words import Wording, labels

if TYPE_CHECKING:
    from .draw import Picture

NEEDS = "pictures need matplotlib: pip install 'glimm[plot]'"


@dataclass(frozen=True, slots=True)
class Wish:
    """What `fit.plot` was asked for: which clusters, other predictors held, the axis' scale, words, the seed of draws."""

    clusters: str | None = "real"
    at: Mapping[str, Any] | None = None
    to_axis: Callable[[Floats], Any] | None = None
    wording: Wording = field(default_factory=Wording)
    seed: int = 0


def require_matplotlib() -> None:
    """Raise ImportError, saying what to install, where matplotlib is missing."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise ImportError(NEEDS) from error


def picture(record: Record, inference: Inference, variable: str, wish: Wish) -> Picture:
    """The picture of one predictor; see `Fit.plot`."""
    require_matplotlib()
    from .draw import Drawing, Line
    from .draw import picture as draw

    c = compute(record, inference, variable, clusters=wish.clusters, at=wish.at, seed=wish.seed)
    words = labels(record, inference, c, wish.wording)
    x, each, middle, count = on_axis(c, wish.to_axis), np.zeros((0, len(c.axis.x))), None, False
    if c.clusters is not None:
        each, middle = c.clusters.each, c.clusters.middle
        count = len(each) == c.clusters.total and c.clusters.kind == "real"
    lines = [Line(c.average.mean, words.average, c.average.low, c.average.high)]
    return draw(Drawing(x, c.axis.names, each, middle, lines, record.family.support == "binomial", count), words)


def on_axis(c: Curves, to_axis: Callable[[Floats], Any] | None) -> Floats:
    """(g,) places on the axis in the user's units; raises GlimmError for units of a categorical axis, and for what is no number."""
    if to_axis is None:
        return c.axis.x
    if c.axis.names:
        raise GlimmError(f"plot: to_axis changes the units of numbers, but {c.axis.variable!r} is drawn as categories: leave it out")
    if not callable(to_axis):
        raise GlimmError(f"plot: to_axis must be a function, such as lambda x: x + 9, not {type(to_axis).__name__}")
    x = np.asarray(to_axis(c.axis.x), dtype=np.float64)
    if x.shape != c.axis.x.shape or not np.all(np.isfinite(x)):
        raise GlimmError("plot: to_axis must give one finite number for each number of the array that it is given")
    return x
