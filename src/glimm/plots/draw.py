"""Drawing with matplotlib, and nothing else: arrays and labels in, a Picture out.

Thin grey lines (one per cluster) with one of them dark, bold lines on top, words at the ends of the lines, no legend.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, final

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from ..kernels.matrix import Floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from .words import Labels

WIDTH, HEIGHT, DPI, COARSE = 6.6, 4.7, 200, 72
GREY, DARK, INK, PLAIN, BLUE = (0.25, 0.25, 0.25), "#4d4d4d", "#1a1a1a", "#1b1b1b", "#0067a5"
STYLES: Final = (
    (BLUE, 3.4, "solid"),
    ("#b87300", 2.2, (0, (3.5, 3.0))),
    (INK, 1.6, (0, (1.0, 2.6))),
    ("#757575", 1.6, (0, (6.0, 1.6, 1.2, 1.6))),
)
MOST_DISTINCT = 24
TITLE, SMALL, WORDS = 12.0, 9.0, 10.5


@final
class Picture(Figure):
    """A matplotlib Figure that a notebook shows without pyplot; save it with .savefig(path).

    alt : the picture in words
    """

    alt: str = ""

    def _repr_png_(self) -> bytes:
        held = io.BytesIO()
        self.savefig(held, format="png")
        return held.getvalue()


@dataclass(frozen=True, slots=True)
class Line:
    """A bold line: heights (g,), its name, limits of its band or None; style : its place in STYLES."""

    y: Floats
    name: str
    low: Floats | None = None
    high: Floats | None = None
    style: int = 0


@dataclass(frozen=True, slots=True)
class Drawing:
    """What is drawn: bold `lines` over `each` (K, g) thin ones, of which row `middle` is dark.

    names : of categories, () for a numeric axis; probability : the y axis is in per cent; count : how many curves end
    together may be said
    """

    x: Floats
    names: tuple[str, ...]
    each: Floats
    middle: int | None
    lines: Sequence[Line]
    probability: bool
    count: bool = True


@contextmanager
def own_style() -> Iterator[None]:
    """matplotlib's defaults, whatever the user has set: the colours are chosen for white."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        yield


def picture(d: Drawing, labels: Labels) -> Picture:
    """The picture; it is drawn on no screen and knows nothing of pyplot."""
    with own_style():
        figure = Picture(figsize=(WIDTH, HEIGHT), dpi=DPI, facecolor="white")
        FigureCanvasAgg(figure)
        figure.alt = labels.alt
        axes = figure.subplots()
        groups = _groups(d, labels)
        ends = _ends(d, labels, groups)
        names, under, rotation, size = _categories(figure, d)
        _place(figure, axes, labels, max(size_of(figure, text, WORDS + 0.5, "bold")[0] for _, text, _ in ends), under)
        if len(d.each):
            _thin(axes, d, groups is None)
        for line in d.lines:
            _bold(axes, d, line, STYLES[line.style])
        _frame(axes, d)
        _ticks(axes, d, names)
        axes.tick_params(labelsize=SMALL + 1.0, color=DARK, labelcolor=INK)
        axes.tick_params(axis="x", labelsize=size, labelrotation=rotation)
        _name_ends(axes, d, ends)
        axes.set_xlabel(labels.x, fontsize=WORDS + 0.5, parse_math=False)
        axes.set_ylabel("\n".join(lines_of(figure, labels.y, WORDS + 0.5, "normal", 0.7 * HEIGHT)), fontsize=WORDS + 0.5, parse_math=False)
        _align_left(figure, axes)
    return figure


def size_of(figure: Figure, text: str, size: float, weight: str) -> tuple[float, float]:
    """Width and height of words in inches, the larger of those at print and at screen resolution: hinting makes small ones wider."""
    artist = figure.text(0.0, 0.0, text, fontsize=size, fontweight=weight, linespacing=1.15, parse_math=False)
    boxes = []
    for dpi in (COARSE, DPI):
        figure.set_dpi(dpi)
        box = artist.get_window_extent(figure.canvas.get_renderer())  # type: ignore[attr-defined]
        boxes.append((box.width / dpi, box.height / dpi))
    artist.remove()
    return max(width for width, _ in boxes), max(height for _, height in boxes)


def lines_of(figure: Figure, text: str, size: float, weight: str, width: float) -> list[str]:
    """A sentence as lines of at most `width` inches."""
    lines = [""]
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and size_of(figure, longer, size, weight)[0] > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def _categories(figure: Figure, d: Drawing) -> tuple[tuple[str, ...], float, float, float]:
    """Names of categories as they are written, the room for them in inches, rotation and size: over lines, or upright."""
    size, slot = SMALL + 1.0, 0.92 * 4.2 / max(len(d.names), 1)
    broken = tuple("\n".join(lines_of(figure, name, size, "normal", slot)) for name in d.names)
    if all(name.count("\n") < 3 and size_of(figure, name, size, "normal")[0] <= slot for name in broken):
        return broken, 0.02 + 0.18 * max([1, *(1 + name.count("\n") for name in broken)]), 0.0, size
    size = size if len(d.names) <= 20 else 7.0
    return d.names, min(1.4, max(size_of(figure, name, size, "normal")[0] for name in d.names)) + 0.1, 90.0, size


def title_of(figure: Figure, text: str) -> tuple[str, float]:
    """The title on one line, a little smaller where that helps, or over lines of about the same length; and its size."""
    room = WIDTH - 0.3
    width = size_of(figure, text, TITLE, "bold")[0]
    if width <= 1.14 * room:
        size = min(TITLE, 0.995 * TITLE * room / width)
        if size_of(figure, text, size, "bold")[0] <= room:
            return text, size
    count = len(lines_of(figure, text, TITLE, "bold", room))
    shares = np.linspace(width / count, room, 12)
    even = next((lines for share in shares if len(lines := lines_of(figure, text, TITLE, "bold", share)) == count), [text])
    return "\n".join(even), TITLE


def _place(figure: Figure, axes: Axes, labels: Labels, right: float, under: float) -> None:
    """Title and detail at the top, room for words at the right and under the axis, the axes in what is left."""
    at = HEIGHT - 0.12
    title, size = title_of(figure, labels.title)
    detail = "\n".join(lines_of(figure, labels.detail, SMALL, "normal", WIDTH - 0.3))
    for text, points, weight, color in ((title, size, "bold", INK), (detail, SMALL, "normal", DARK)):
        figure.text(
            0.15 / WIDTH, at / HEIGHT, text, fontsize=points, fontweight=weight, color=color, va="top", linespacing=1.15, parse_math=False
        )
        at -= size_of(figure, text, points, weight)[1] + 0.1
    left, bottom = 0.9, 0.38 + under
    axes.set_position((left / WIDTH, bottom / HEIGHT, 1.0 - (left + right + 0.3) / WIDTH, (at - 0.1 - bottom) / HEIGHT))


def _align_left(figure: Figure, axes: Axes) -> None:
    """Move the left end of the axes so that the words at their left begin under the title."""
    box = axes.yaxis.get_tightbbox(figure.canvas.get_renderer())  # type: ignore[attr-defined]
    if box is not None:
        place = axes.get_position()
        short = 0.15 / WIDTH - box.x0 / figure.bbox.width
        axes.set_position((place.x0 + short, place.y0, place.width - short, place.height))


def _thin(axes: Axes, d: Drawing, dark: bool) -> None:
    """One thin grey line per cluster, with dots on categories; the middle one dark if so wanted."""
    colors = np.column_stack([np.tile(GREY, (len(d.each), 1)), opacity(d.each)])
    curves = [np.column_stack([d.x, y]) for y in d.each]
    axes.add_collection(LineCollection(curves, colors=colors, linewidths=0.9, zorder=2, label="each"))
    if d.names:
        axes.scatter(np.tile(d.x, len(d.each)), d.each.ravel(), s=7.0, c=np.repeat(colors, len(d.x), axis=0), linewidths=0.0, zorder=2)
    if dark and d.middle is not None:
        style: dict[str, Any] = {"marker": "o", "markersize": 3.5} if d.names else {}
        axes.plot(d.x, d.each[d.middle], color=INK, linewidth=1.7, zorder=3, label="one", **style)


def _bold(axes: Axes, d: Drawing, line: Line, style: tuple[str, float, Any]) -> None:
    """A bold line, its band (bars at categories)."""
    color, width, dashes = style
    known = line.low is not None and line.high is not None and bool(np.all(np.isfinite(line.low)))
    if d.names:
        axes.plot(d.x, line.y, color=color, linewidth=0.55 * width, linestyle=dashes, marker="o", markersize=3.0 + 1.6 * width, zorder=5)
        if known:
            assert line.low is not None
            assert line.high is not None
            bars = np.array([line.y - line.low, line.high - line.y])
            axes.errorbar(d.x, line.y, yerr=bars, fmt="none", ecolor=color, elinewidth=1.8, capsize=4.0, zorder=4)
        return
    axes.plot(d.x, line.y, color="white", linewidth=width + 2.0, solid_capstyle="round", zorder=4, alpha=0.75, label="halo")
    axes.plot(d.x, line.y, color=color, linewidth=width, linestyle=dashes, zorder=5, label="average")
    if known:
        axes.fill_between(d.x, line.low, line.high, color=color, alpha=0.16, linewidth=0.0, zorder=1)  # type: ignore[arg-type]


def opacity(each: Floats) -> Floats:
    """(J,) of each line: k lines on each other come out at 0.3 for one up to 0.85 for the most, so that it is darker where many are.

    1 - (1 - a)^k = 0.3 + 0.55 sqrt((k - 1) / (largest k - 1))
    """
    _, which, counts = np.unique(each.round(9), axis=0, return_inverse=True, return_counts=True)
    k = counts[which.ravel()].astype(np.float64)
    return np.asarray(1.0 - (0.7 - 0.55 * np.sqrt((k - 1.0) / max(k.max() - 1.0, 1.0))) ** (1.0 / k))


def _frame(axes: Axes, d: Drawing) -> None:
    """Limits, grid and spines."""
    heights = [d.each.ravel(), *(a for line in d.lines for a in (line.y, line.low, line.high) if a is not None)]
    values = np.concatenate(heights)
    values = values[np.isfinite(values)]
    low, high = float(values.min()), float(values.max())
    if d.probability and high <= 1.0 and low >= 0.0:
        axes.set_ylim(0.0, 1.0 if high > 0.6 else 1.15 * high)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100.0 * value:.6g} %"))
    else:
        pad = 0.06 * (high - low) or 1.0
        axes.set_ylim(low - pad, high + pad)
    span = float(d.x.max() - d.x.min())
    margin = 0.3 if d.names else 0.01 * span
    axes.set_xlim(float(d.x.min()) - margin, float(d.x.max()) + margin)
    plain_axes(axes)


def plain_axes(axes: Axes) -> None:
    """Axes at the left and below, faint lines across."""
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(DARK)
    axes.grid(axis="y", color="#e4e4e4", linewidth=0.7, zorder=0)
    axes.set_axisbelow(True)


def _ticks(axes: Axes, d: Drawing, names: tuple[str, ...]) -> None:
    """Ticks at whole numbers where there are few, at categories under their names."""
    span = float(d.x.max() - d.x.min())
    whole = np.arange(np.ceil(d.x.min() - 1e-9), np.floor(d.x.max() + 1e-9) + 1.0) if span < 1e6 else np.zeros(0)
    if d.names:
        axes.set_xticks(d.x, names)
    elif 2 <= len(whole) <= 12 and whole[-1] - whole[0] > span - 0.5:
        axes.set_xticks(whole)
    for tick in axes.get_xticklabels():
        tick.set_parse_math(False)


def _ends(d: Drawing, labels: Labels, groups: list[tuple[float, str]] | None) -> list[tuple[float, str, str]]:
    """Words at the right ends of lines: height, words, colour."""
    words = [(float(line.y[-1]), line.name, STYLES[line.style][0]) for line in d.lines]
    if not len(d.each):
        return words
    if groups is None:
        assert d.middle is not None
        groups = [(float(d.each[d.middle, -1]), labels.one)]
    return [*words, *((y, text, PLAIN) for y, text in groups)]


def _name_ends(axes: Axes, d: Drawing, ends: list[tuple[float, str, str]]) -> None:
    """Words at the right ends of the lines, moved apart where they would touch."""
    low, high = axes.get_ylim()
    figure = axes.figure
    assert isinstance(figure, Figure)
    per_inch = (high - low) / (axes.get_position().height * HEIGHT)
    ends = sorted(ends)
    sizes = [(size_of(figure, text, WORDS, "bold")[1] + 0.05) * per_inch for _, text, _ in ends]
    places = apart([y for y, _, _ in ends], sizes, low, high)
    right = axes.get_xlim()[1]
    at = right + 0.012 * (right - axes.get_xlim()[0])
    for (_, text, color), y in zip(ends, places, strict=True):
        weight = "normal" if color == PLAIN else "bold"
        axes.text(
            at, y, text, color=color, fontsize=WORDS, fontweight=weight, va="center", clip_on=False, linespacing=1.15, parse_math=False
        )


def _groups(d: Drawing, labels: Labels) -> list[tuple[float, str]] | None:
    """Where the curves end, with how many clusters end there; None where nearly all are different."""
    each = d.each
    if not d.count or d.names or not len(each):
        return None
    distinct, counts = np.unique(each.round(9), axis=0, return_counts=True)
    if len(distinct) > MOST_DISTINCT or 3 * len(distinct) > len(each):
        return None
    near = 0.08 * float(each.max() - each.min())
    held: list[list[int]] = []
    for k in np.argsort(distinct[:, -1]):
        if held and distinct[k, -1] - distinct[held[-1][0], -1] < near:
            held[-1].append(int(k))
        else:
            held.append([int(k)])
    out = []
    for group in held:
        count = int(counts[group].sum())
        middle = float(np.average(distinct[group, -1], weights=counts[group]))
        out.append((middle, labels.one if count == 1 else f"{count} {labels.many}"))
    return out


def apart(places: list[float], sizes: list[float], low: float, high: float) -> list[float]:
    """Heights of labels (sorted) so that none touches the next and all lie between low and high, moved as little as possible.

    >>> apart([0.0, 0.1], [0.2, 0.2], -1.0, 1.0)
    [-0.05, 0.15]
    """
    y = np.array(places)
    need = np.array([(a + b) / 2.0 for a, b in pairwise(sizes)])
    for _ in range(500):
        gap = need - np.diff(y)
        if not np.any(gap > 1e-9):
            break
        push = np.where(gap > 0.0, gap / 2.0, 0.0)
        y[:-1] -= push
        y[1:] += push
        y = np.clip(y, low + 0.3 * sizes[0], high - 0.2 * sizes[-1])
    return [round(float(v), 9) for v in y]
