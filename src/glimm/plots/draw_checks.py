"""Drawing the page of residuals with matplotlib, and nothing else: six panels, a sentence under each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.ticker import MaxNLocator

from .draw import BLUE, DARK, DPI, INK, SMALL, TITLE, Picture, lines_of, own_style, plain_axes, size_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from .checks import Panel

WIDE, HIGH, COLUMNS, ROWS = 11.0, 8.0, 3, 2
LEFT, GAP, RIGHT, SIDE = 0.72, 0.88, 0.2, 0.15
UNDER, NAMED, SAID = 0.5, 0.24, 0.78
OCHRE, LIGHT = "#b87300", "#c9c9c9"
LONGEST = 0.7


def draw(panels: Sequence[Panel], title: str, detail: str) -> Picture:
    """The page."""
    with own_style():
        figure = Picture(figsize=(WIDE, HIGH), dpi=DPI, facecolor="white")
        FigureCanvasAgg(figure)
        figure.alt = f"{title} {detail} " + " ".join(f"{p.title}: {p.said}" for p in panels)
        figure.text(SIDE / WIDE, 1.0 - 0.12 / HIGH, title, fontsize=TITLE, fontweight="bold", color=INK, va="top", parse_math=False)
        said = "\n".join(lines_of(figure, detail, SMALL, "normal", 0.97 * (WIDE - 2.0 * SIDE)))
        figure.text(SIDE / WIDE, 1.0 - 0.38 / HIGH, said, fontsize=SMALL, color=DARK, va="top", linespacing=1.15, parse_math=False)
        top = 0.38 + size_of(figure, said, SMALL, "normal")[1] + 0.12
        width = (WIDE - LEFT - RIGHT - (COLUMNS - 1) * GAP) / COLUMNS
        block = (HIGH - top - 0.1) / ROWS
        for k, panel in enumerate(panels):
            row, column = divmod(k, COLUMNS)
            left, high = LEFT + column * (width + GAP), HIGH - top - row * block
            _panel(figure, panel, (left, high, width, block))
    return figure


def _panel(figure: Picture, p: Panel, place: tuple[float, float, float, float]) -> None:
    """Title, axes, the sentence. place : left, top, width and height in inches."""
    left, top, width, height = place
    start = left - 0.55
    room = width + 0.55 + 0.15
    figure.text(start / WIDE, top / HIGH, p.title, fontsize=SMALL + 1.5, fontweight="bold", color=INK, va="top", parse_math=False)
    sentence = "\n".join(lines_of(figure, p.said, SMALL - 0.5, "normal", room))
    bottom = top - height + SAID
    figure.text(
        start / WIDE, (bottom - 0.06) / HIGH, sentence, fontsize=SMALL - 0.5, color=INK, va="top", linespacing=1.15, parse_math=False
    )
    if p.kind == "empty":
        return
    names, under, turned = _names(figure, p, width)
    base = bottom + UNDER + under
    axes = figure.add_axes((left / WIDE, base / HIGH, width / WIDE, (top - NAMED - base) / HIGH))
    DRAWN[p.kind](axes, p)
    plain_axes(axes)
    axes.tick_params(labelsize=SMALL - 0.5, color=DARK, labelcolor=INK)
    if names:
        axes.set_xticks(np.arange(len(names)), names, rotation=90.0 if turned else 0.0, parse_math=False)
    else:
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=p.kind == "lags"))
    label = "\n".join(lines_of(figure, p.x_label, SMALL, "normal", room)[:2])
    axes.set_xlabel(label, fontsize=SMALL, color=INK, parse_math=False, labelpad=2.0, linespacing=1.0)
    axes.set_ylabel(p.y_label, fontsize=SMALL, color=INK, parse_math=False, labelpad=2.0)


def _names(figure: Picture, p: Panel, width: float) -> tuple[list[str], float, bool]:
    """Names of levels, the room that they take beyond numbers, and whether they stand upright; long ones are cut."""
    if not p.names:
        return [], 0.0, False
    slot = 0.92 * width / len(p.names)
    broken = ["\n".join(lines_of(figure, name, SMALL - 0.5, "normal", slot)) for name in p.names]
    lines = 1 + max(name.count("\n") for name in broken)
    if lines <= 3 and max(size_of(figure, name, SMALL - 0.5, "normal")[0] for name in broken) <= 1.05 * slot:
        return broken, 0.14 * (lines - 1), False
    cut = [_cut(figure, name, LONGEST) for name in p.names]
    return cut, max(size_of(figure, name, SMALL - 0.5, "normal")[0] for name in cut) - 0.1, True


def _cut(figure: Picture, text: str, most: float) -> str:
    shown = text
    while len(shown) > 2 and size_of(figure, shown, SMALL - 0.5, "normal")[0] > most:
        shown = shown[:-2].rstrip() + "\N{HORIZONTAL ELLIPSIS}"
    return shown


def _qq(axes: Axes, p: Panel) -> None:
    assert p.x is not None
    assert p.y is not None
    ends = [float(min(p.x.min(), p.y.min())), float(max(p.x.max(), p.y.max()))]
    if p.y_label == "quantile residual":
        ends = [0.0, 1.0]
    if p.low is not None and p.high is not None:
        axes.fill_between(p.x, p.low, p.high, color=LIGHT, alpha=0.7, linewidth=0.0, zorder=1)
    axes.plot(ends, ends, color=DARK, linewidth=1.0, linestyle=(0, (4.0, 3.0)), zorder=2)
    axes.plot(p.x, p.y, "o", color=BLUE, markersize=3.0 if len(p.x) > 30 else 5.0, markeredgewidth=0.0, zorder=3)


def _scatter(axes: Axes, p: Panel) -> None:
    assert p.x is not None
    assert p.y is not None
    many = len(p.x)
    axes.plot(
        p.x,
        p.y,
        "o",
        color="#8c8c8c",
        markersize=2.2 if many > 300 else 3.5,
        alpha=0.35 if many > 300 else 0.6,
        markeredgewidth=0.0,
        zorder=2,
    )
    unit = p.y_label == "quantile residual"
    if unit:
        axes.set_ylim(-0.02, 1.02)
        axes.set_yticks([0.0, 0.25, 0.5, 0.75, 1.0])
        for level in (0.25, 0.5, 0.75):
            axes.axhline(level, color=DARK, linewidth=0.9, linestyle=(0, (4.0, 3.0)), zorder=3)
    if p.lines is not None and p.grid is not None:
        for line in p.lines:
            axes.plot(p.grid, line, color="white", linewidth=3.6, zorder=4)
            axes.plot(p.grid, line, color=BLUE, linewidth=2.0, zorder=5)


def _boxes(axes: Axes, p: Panel) -> None:
    assert p.y is not None
    assert p.low is not None
    assert p.high is not None
    for k, (low, middle, high) in enumerate(zip(p.low, p.y, p.high, strict=True)):
        axes.plot([k, k], [low, high], color=BLUE, linewidth=9.0, alpha=0.25, solid_capstyle="butt", zorder=2)
        axes.plot([k], [middle], "o", color=BLUE, markersize=5.5, zorder=3)
    for level in (0.25, 0.5, 0.75):
        axes.axhline(level, color=DARK, linewidth=0.9, linestyle=(0, (4.0, 3.0)), zorder=1)
    axes.set_ylim(-0.02, 1.02)
    axes.set_yticks([0.0, 0.25, 0.5, 0.75, 1.0])
    axes.set_xlim(-0.6, len(p.y) - 0.4)


def _strip(axes: Axes, p: Panel) -> None:
    assert p.x is not None
    assert p.y is not None
    assert p.low is not None
    assert p.high is not None
    axes.vlines(p.x, p.low, p.high, color=BLUE, alpha=0.22, linewidth=max(0.5, min(3.0, 150.0 / len(p.x))), zorder=2)
    axes.plot(p.x, p.y, "o", color=BLUE, markersize=2.2 if len(p.x) > 100 else 3.5, markeredgewidth=0.0, zorder=3)
    if p.lines is not None:
        axes.plot(p.x, p.lines[0], color=DARK, linewidth=1.2, linestyle=(0, (4.0, 3.0)), zorder=4)
    axes.set_ylim(-0.02, 1.02)
    axes.set_yticks([0.0, 0.25, 0.5, 0.75, 1.0])


def _histogram(axes: Axes, p: Panel) -> None:
    assert p.y is not None
    assert p.mark is not None
    axes.hist(p.y, bins=30, color=LIGHT, zorder=2)
    axes.axvline(p.mark, color=OCHRE, linewidth=2.4, zorder=3)
    low, high = axes.get_xlim()
    left = p.mark < 0.5 * (low + high)
    top = axes.get_ylim()[1]
    axes.set_ylim(0.0, 1.22 * top)
    axes.annotate(
        "these data", (p.mark, 1.16 * top), xytext=(4.0 if left else -4.0, 0.0), textcoords="offset points",
        ha="left" if left else "right", va="center", color=OCHRE, fontsize=SMALL, fontweight="bold", parse_math=False,
    )  # fmt: skip


def _lags(axes: Axes, p: Panel) -> None:
    assert p.x is not None
    assert p.y is not None
    if p.low is not None and p.high is not None:
        if len(p.x) > 1:
            axes.fill_between(p.x, p.low, p.high, color=LIGHT, alpha=0.7, linewidth=0.0, zorder=1)
        else:
            axes.plot([p.x[0], p.x[0]], [p.low[0], p.high[0]], color=LIGHT, linewidth=14.0, solid_capstyle="butt", zorder=1)
    axes.axhline(0.0, color=DARK, linewidth=1.0, zorder=2)
    axes.vlines(p.x, 0.0, p.y, color=BLUE, linewidth=2.0, zorder=3)
    axes.plot(p.x, p.y, "o", color=BLUE, markersize=5.0, zorder=4)
    axes.set_xlim(0.4, float(p.x.max()) + 0.6)


DRAWN = {"qq": _qq, "scatter": _scatter, "boxes": _boxes, "strip": _strip, "histogram": _histogram, "lags": _lags}
