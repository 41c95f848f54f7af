"""Drawing a forest plot with matplotlib, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from .draw import BLUE, DARK, DPI, INK, PLAIN, SMALL, WIDTH, WORDS, Picture, lines_of, own_style, size_of, title_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

OCHRE = "#b87300"
ROW, GAP, FOOT, NAMES = 0.42, 0.16, 0.78, 2.2


@dataclass(frozen=True, slots=True)
class Bar:
    """An estimate with its interval: its name, what is said under it, and whether it is an average over the population."""

    name: str
    about: str
    estimate: float
    low: float
    high: float
    average: bool


def draw(bars: Sequence[Bar], title: str, detail: str, axis: str, null: float) -> Picture:
    """The picture; a log axis where no effect is 1."""
    with own_style():
        figure = Picture(figsize=(WIDTH, 4.0), dpi=DPI, facecolor="white")
        FigureCanvasAgg(figure)
        numbers = _numbers(bars, null == 1.0)
        listed = "; ".join(f"{bar.name} ({bar.about}) {text}" for bar, text in zip(bars, numbers, strict=True))
        figure.alt = f"{title}. {detail} {listed}."
        names = ["\n".join(lines_of(figure, bar.name, WORDS, "normal", NAMES)) for bar in bars]
        row = ROW + 0.16 * max(name.count("\n") for name in names)
        left = max(
            max(size_of(figure, name, WORDS, "normal")[0], size_of(figure, bar.about, SMALL, "normal")[0])
            for bar, name in zip(bars, names, strict=True)
        )
        right = max(size_of(figure, text, WORDS - 0.5, "normal")[0] for text in numbers)
        places = [-row * k - GAP * (not bar.average) for k, bar in enumerate(bars)]
        axes = _axes(figure, (title, detail), places, (left + 0.3, right + 0.3), row)
        width = WIDTH - left - right - 0.6
        if null == 1.0:
            axes.set_xscale("log")
            _ticks(axes, bars)
        axes.axvline(null, color=DARK, linewidth=1.0, linestyle=(0, (4.0, 3.0)), zorder=1)
        for bar, name, y, text in zip(bars, names, places, numbers, strict=True):
            _bar(axes, bar, y)
            _words(axes, -0.15 / width, y + 0.01, name, (WORDS, PLAIN, "right", "bottom"))
            _words(axes, -0.15 / width, y - 0.01, bar.about, (SMALL, DARK, "right", "top"))
            _words(axes, 1.0 + 0.12 / width, y, text, (WORDS - 0.5, PLAIN, "left", "center"))
        label = "\n".join(lines_of(figure, axis, WORDS, "normal", max(width, 3.0)))
        axes.set_xlabel(label, fontsize=WORDS, parse_math=False)
    return figure


def _axes(figure: Picture, words: tuple[str, str], places: Sequence[float], margins: tuple[float, float], row: float) -> Axes:
    """Title and sentences at the top, then axes that are as high as the rows need."""
    shown, size = title_of(figure, words[0])
    said = "\n".join(lines_of(figure, words[1], SMALL, "normal", WIDTH - 0.3))
    under = 0.22 + size_of(figure, shown, size, "bold")[1]
    head = under + size_of(figure, said, SMALL, "normal")[1] + 0.2
    height = head - places[-1] + row + FOOT
    figure.set_size_inches(WIDTH, height)
    figure.text(0.15 / WIDTH, 1.0 - 0.12 / height, shown, fontsize=size, fontweight="bold", color=INK, va="top", parse_math=False)
    figure.text(0.15 / WIDTH, 1.0 - under / height, said, fontsize=SMALL, color=DARK, va="top", linespacing=1.15, parse_math=False)
    left, right = margins
    axes = figure.add_axes((left / WIDTH, FOOT / height, 1.0 - (left + right) / WIDTH, 1.0 - (head + FOOT) / height))
    axes.set_ylim(places[-1] - 0.6 * row, 0.6 * row)
    axes.set_yticks([])
    axes.tick_params(labelsize=SMALL, color=DARK, labelcolor=INK)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(DARK)
    axes.grid(axis="x", color="#e4e4e4", linewidth=0.7, zorder=0)
    axes.set_axisbelow(True)
    return axes


def _bar(axes: Axes, bar: Bar, y: float) -> None:
    color = BLUE if bar.average else OCHRE
    if _whole(bar):
        axes.plot([bar.low, bar.high], [y, y], color=color, linewidth=2.2, solid_capstyle="butt", zorder=2)
    axes.plot([bar.estimate], [y], "s" if bar.average else "D", color=color, markersize=6.5, zorder=3)


def _words(axes: Axes, x: float, y: float, text: str, style: tuple[float, str, str, str]) -> None:
    """Words beside a row: x in widths of the axes, style = size, colour, where they end or begin."""
    size, color, ha, va = style
    axes.text(x, y, text, transform=axes.get_yaxis_transform(), ha=ha, va=va, fontsize=size, color=color, parse_math=False)


def _numbers(bars: Sequence[Bar], ratio: bool) -> list[str]:
    """Estimate and interval of each: ratios with three figures, differences with the decimals that the narrowest interval needs."""
    halves = [0.5 * (bar.high - bar.low) for bar in bars]
    known = [half for half in halves if np.isfinite(half) and half > 0.0]
    places = int(np.clip(1 - np.floor(np.log10(min(known))), 0, 6)) if known else 3
    out = []
    for bar in bars:
        shown = [f"{v:.3g}" if ratio or abs(v) >= 1e6 else f"{v:.{places}f}" for v in (bar.estimate, bar.low, bar.high)]
        out.append(f"{shown[0]} ({shown[1]}, {shown[2]})" if _whole(bar) else f"{shown[0]} (no interval)")
    return out


def _whole(bar: Bar) -> bool:
    return bool(np.isfinite(bar.low) and np.isfinite(bar.high))


def _ticks(axes: Axes, bars: Sequence[Bar]) -> None:
    """A log axis over the intervals that have ends, with few ticks: 1, 1.5, 2, 3, 5, then 1, 2, 5, then whole powers of ten."""
    ends = [v for bar in bars for v in ((bar.low, bar.high) if _whole(bar) else (bar.estimate,)) if 0.0 < v < np.inf]
    low, high = (min([1.0, *ends]), max([1.0, *ends]))
    decades = np.log10(high / low)
    axes.set_xlim(low / 1.15, high * 1.15)
    subs = (1.0, 1.5, 2.0, 3.0, 5.0) if decades < 0.9 else (1.0, 2.0, 5.0) if decades < 1.7 else (1.0,)
    axes.xaxis.set_major_locator(LogLocator(subs=subs, numticks=8))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
