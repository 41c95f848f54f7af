"""Drawing correlations by distance, and by pair of occasions, with matplotlib, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.ticker import FuncFormatter, MaxNLocator

from .draw import BLUE, DARK, DPI, INK, SMALL, WIDTH, WORDS, Picture, lines_of, own_style, plain_axes, size_of, title_of
from .draw_checks import OCHRE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from .correlation import Curve, Square

PANEL, FOOT, LEFT, RIGHT, BETWEEN = 2.75, 0.62, 0.72, 0.2, 0.55
NUMBERS, WIDE = 7, 100.0


def draw(curve: Curve, square: Square | None, title: str, detail: str, alt: str) -> Picture:
    """The picture; without a square one panel."""
    with own_style():
        figure = Picture(figsize=(WIDTH, 5.0), dpi=DPI, facecolor="white")
        FigureCanvasAgg(figure)
        figure.alt = alt
        shown, size = title_of(figure, title)
        lines = "\n".join(lines_of(figure, detail, SMALL, "normal", WIDTH - 0.3))
        under = 0.22 + size_of(figure, shown, size, "bold")[1]
        head = under + size_of(figure, lines, SMALL, "normal")[1] + 0.2
        height = head + PANEL + FOOT
        figure.set_size_inches(WIDTH, height)
        figure.text(0.15 / WIDTH, 1.0 - 0.12 / height, shown, fontsize=size, fontweight="bold", color=INK, va="top", parse_math=False)
        figure.text(0.15 / WIDTH, 1.0 - under / height, lines, fontsize=SMALL, color=DARK, va="top", linespacing=1.15, parse_math=False)
        side = PANEL if square is not None else 0.0
        wide = WIDTH - LEFT - RIGHT - (side + BETWEEN if square is not None else 0.0)
        axes = figure.add_axes((LEFT / WIDTH, FOOT / height, wide / WIDTH, PANEL / height))
        _curve(axes, curve)
        if square is not None:
            beside = figure.add_axes(((WIDTH - RIGHT - side) / WIDTH, FOOT / height, side / WIDTH, PANEL / height))
            _square(beside, square)
    return figure


def _curve(axes: Axes, c: Curve) -> None:
    axes.axhline(0.0, color=DARK, linewidth=0.8, zorder=1)
    known = np.isfinite(c.low) & np.isfinite(c.high)
    axes.vlines(c.x[known], c.low[known], c.high[known], color=BLUE, alpha=0.35, linewidth=4.0, zorder=2)
    if c.names or len(c.x) == 1:
        axes.plot(c.x, c.working, "D", color=OCHRE, markersize=9.0, markerfacecolor="none", markeredgewidth=2.0, zorder=4)
    else:
        axes.plot(c.x, c.working, color=OCHRE, linewidth=2.2, zorder=4)
    axes.plot(c.x, c.empirical, "o", color=BLUE, markersize=6.0, zorder=3)
    values = np.concatenate([c.empirical, c.working, c.low[known], c.high[known], [0.0]])
    low, high = max(float(values.min()), -1.1), min(float(values.max()), 1.1)
    room = 0.08 * ((high - low) or 1.0)
    axes.set_ylim(low - room, high + room)
    axes.set_ylabel("correlation of residuals", fontsize=WORDS, parse_math=False)
    axes.set_xlabel(c.label, fontsize=WORDS, parse_math=False)
    least, most = float(c.x.min()), float(c.x.max())
    pad = 0.5 if c.names or len(c.x) == 1 else 0.06 * (most - least)
    wide = not c.names and least > 0.0 and most > WIDE * least
    axes.set_xlim((least / 1.5, most * 1.5) if wide else (least - pad, most + pad))
    if wide:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.6g}"))
    elif c.names:
        axes.set_xticks(c.x, c.names, parse_math=False)
    elif np.array_equal(c.x, np.round(c.x)):
        if len(c.x) <= 8:
            axes.set_xticks(c.x)
        else:
            axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    axes.tick_params(labelsize=SMALL, color=DARK, labelcolor=INK)
    plain_axes(axes)


def _square(axes: Axes, s: Square) -> None:
    n = len(s.names)
    most = max(float(np.nanmax(np.abs(s.values))), 0.05)
    for j in range(n):
        for k in range(n):
            value = s.values[j, k]
            if j == k or not np.isfinite(value):
                continue
            colour = BLUE if j > k else OCHRE
            share = float(np.sqrt(min(abs(value) / most, 1.0)))
            points = (0.86 * PANEL * 72.0 / n * share) ** 2
            filled = colour if value >= 0.0 else "white"
            axes.scatter([k], [j], s=points, color=filled, edgecolors=colour, linewidths=1.2, alpha=0.28 if n <= NUMBERS else 0.8, zorder=2)
            if n <= NUMBERS:
                axes.text(k, j, _short(value), fontsize=SMALL - (0.0 if n <= 5 else 1.5), color=INK, ha="center", va="center", zorder=3)
    axes.plot([-0.5, n - 0.5], [-0.5, n - 0.5], color=DARK, linewidth=0.8, zorder=1)
    axes.set_xlim(-0.5, n - 0.5)
    axes.set_ylim(n - 0.5, -0.5)
    axes.set_xticks(np.arange(n), s.names, parse_math=False)
    axes.set_yticks(np.arange(n), s.names, parse_math=False)
    axes.set_xlabel("occasion", fontsize=WORDS, parse_math=False)
    axes.tick_params(labelsize=SMALL, color=DARK, labelcolor=INK, length=0.0)
    axes.set_aspect("equal")
    for spine in axes.spines.values():
        spine.set_color("#c9c9c9")


def _short(value: float) -> str:
    """Two decimals, without the 0 before the point.

    >>> _short(0.254), _short(1.0)
    ('.25', '1.00')
    """
    return f"{value:.2f}".replace("0.", ".", 1).replace("-", "\N{MINUS SIGN}")
