"""Drawing stems, one panel above the other, with matplotlib, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg

from ..kernels.matrix import Floats, Ints
from .draw import BLUE, DARK, DPI, INK, SMALL, WIDTH, WORDS, Picture, lines_of, own_style, plain_axes, size_of, title_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PANEL, BETWEEN, FOOT, LEFT, RIGHT = 1.75, 0.42, 0.55, 0.72, 0.2
MOST_NAMES, BINS = 25, 1500
PLACES = ((0.0, 1.0), (0.62, 0.4), (-0.62, 0.4), (0.62, -0.9), (-0.62, -0.9), (0.0, 2.1))


@dataclass(frozen=True, slots=True)
class Stems:
    """One panel: its name, places and heights of the stems, and which (position, name) are named."""

    name: str
    x: Floats
    y: Floats
    named: Sequence[tuple[int, str]]


def draw(panels: tuple[Stems, Stems], names: Sequence[str] | None, words: tuple[str, str, str], alt: str) -> Picture:
    """The picture. names : of the units on the axis, None for numbers; words : title, sentences under it, axis."""
    with own_style():
        figure = Picture(figsize=(WIDTH, 5.0), dpi=DPI, facecolor="white")
        FigureCanvasAgg(figure)
        figure.alt = alt
        title, size = title_of(figure, words[0])
        detail = "\n".join(lines_of(figure, words[1], SMALL, "normal", WIDTH - 0.3))
        under = 0.22 + size_of(figure, title, size, "bold")[1]
        head = under + size_of(figure, detail, SMALL, "normal")[1] + 0.38
        shown, upright, foot = _axis_names(figure, names)
        height = head + 2.0 * PANEL + BETWEEN + foot
        figure.set_size_inches(WIDTH, height)
        figure.text(0.15 / WIDTH, 1.0 - 0.12 / height, title, fontsize=size, fontweight="bold", color=INK, va="top", parse_math=False)
        figure.text(0.15 / WIDTH, 1.0 - under / height, detail, fontsize=SMALL, color=DARK, va="top", linespacing=1.15, parse_math=False)
        for k, panel in enumerate(panels):
            bottom = foot + (1 - k) * (PANEL + BETWEEN)
            axes = figure.add_axes((LEFT / WIDTH, bottom / height, 1.0 - (LEFT + RIGHT) / WIDTH, PANEL / height))
            _stems(axes, panel)
            axes.text(0.0, 1.04, panel.name, transform=axes.transAxes, fontsize=WORDS, color=INK, fontweight="bold", parse_math=False)
            if k == 0:
                axes.tick_params(axis="x", labelbottom=False)
            else:
                axes.set_xlabel(words[2], fontsize=WORDS, parse_math=False)
            if names is not None:
                axes.set_xticks(panel.x if shown else [], list(shown) if k == 1 else [""] * len(shown), rotation=90 if upright else 0)
                for tick in axes.get_xticklabels():
                    tick.set_parse_math(False)
            _name(axes, panel)
    return figure


def _axis_names(figure: Picture, names: Sequence[str] | None) -> tuple[Sequence[str], bool, float]:
    """Names of units on the axis, whether they stand upright, and the room under the panels in inches."""
    if names is None:
        return (), False, FOOT
    if len(names) > MOST_NAMES:
        return (), False, FOOT - 0.13
    widest = max(size_of(figure, name, SMALL, "normal")[0] for name in names)
    upright = widest > 0.92 * (WIDTH - LEFT - RIGHT) / (len(names) + 1)
    return names, upright, FOOT + (widest - 0.1 if upright else 0.0)


def _stems(axes: Axes, panel: Stems) -> None:
    kept = visible(panel.x, panel.y)
    x, y = panel.x[kept], panel.y[kept]
    few = len(x) <= 60
    axes.vlines(x, 0.0, y, color=BLUE, linewidth=1.8 if few else 0.8, zorder=2)
    if few:
        axes.plot(x, y, "o", color=BLUE, markersize=4.5, zorder=3)
    low, high = float(panel.x.min()), float(panel.x.max())
    pad = 0.6 if len(panel.x) <= MOST_NAMES else 0.015 * (high - low)
    axes.set_xlim(low - pad, high + pad)
    top, bottom = float(np.nanmax(panel.y, initial=0.0)), float(np.nanmin(panel.y, initial=0.0))
    room = 0.2 * ((top - bottom) or 1.0)
    axes.set_ylim(bottom - (room if bottom < 0.0 else 0.0), top + room)
    axes.axhline(0.0, color=DARK, linewidth=0.8, zorder=1)
    axes.tick_params(labelsize=SMALL, color=DARK, labelcolor=INK)
    axes.locator_params(axis="y", nbins=5)
    plain_axes(axes)


def visible(x: Floats, y: Floats) -> Ints:
    """Positions to draw: those that are numbers; of very many the highest and the lowest in each of 1,500 places of the axis.

    >>> visible(np.arange(3.0), np.array([1.0, np.nan, 2.0])).tolist()
    [0, 2]
    """
    known = np.flatnonzero(np.isfinite(y))
    if len(known) <= 2 * BINS:
        return known
    low, high = float(x[known].min()), float(x[known].max())
    place = np.minimum(((x[known] - low) / (high - low) * BINS).astype(np.int64), BINS - 1)
    order = np.lexsort((y[known], place))
    edge = np.flatnonzero(np.diff(place[order])) + 1
    ends = np.concatenate([[0], edge, edge - 1, [len(order) - 1]])
    return np.sort(known[order[np.unique(ends)]])


def _name(axes: Axes, panel: Stems) -> None:
    """Names at the ends of the largest stems, beside them where they would touch; one with no room is left out."""
    figure = axes.figure
    assert isinstance(figure, Picture)
    figure.set_dpi(DPI)
    taken: list[tuple[float, float, float, float]] = []
    inside = axes.get_window_extent()
    kept = visible(panel.x, panel.y)
    stems = axes.transData.transform(np.column_stack([panel.x[kept], panel.y[kept]]))
    foot = float(axes.transData.transform((0.0, 0.0))[1])
    low, high = np.minimum(stems[:, 1], foot), np.maximum(stems[:, 1], foot)
    for position, name in panel.named:
        x, y = (float(v) for v in axes.transData.transform((panel.x[position], panel.y[position])))
        width, height = (DPI * v for v in size_of(figure, name, SMALL, "normal"))
        figure.set_dpi(DPI)
        away = 1.0 if panel.y[position] >= 0.0 else -1.0
        for dx, dy in PLACES if width < DPI else PLACES[:1]:
            cx, cy = x + dx * (width + 12.0), y + away * dy * (0.5 * height + 11.0)
            box = (cx - 0.5 * width - 3.0, cy - 0.5 * height, cx + 0.5 * width + 3.0, cy + 0.5 * height)
            free = all(box[2] < b[0] or b[2] < box[0] or box[3] < b[1] or b[3] < box[1] for b in taken)
            crossed = (stems[:, 0] > box[0]) & (stems[:, 0] < box[2]) & (low < box[3]) & (high > box[1])
            if free and not crossed.any() and inside.x0 - 20.0 < box[0] and box[2] < inside.x1 + 30.0:
                at = axes.transData.inverted().transform((cx, cy))
                axes.text(float(at[0]), float(at[1]), name, fontsize=SMALL, color=INK, ha="center", va="center", zorder=5, parse_math=False)
                taken.append(box)
                break
