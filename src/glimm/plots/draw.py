"""Drawing with matplotlib, and nothing else: arrays and labels in, a Figure out.

thin grey lines (one per cluster), a bold blue line on top, words at the ends of the lines.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from ..kernels.matrix import Floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GREY, DARK, BLUE = (0.25, 0.25, 0.25), "#4d4d4d", "#0072b2"
MOST_DISTINCT = 24
APART = 0.055


@dataclass(frozen=True, slots=True)
class Labels:
    """Words of a picture: title, a sentence of detail under it, axes, what a cluster and clusters are called."""

    title: str
    detail: str
    x: str
    y: str
    one: str
    many: str


def picture(x: Floats, each: Floats, average: Floats, labels: Labels, probability: bool) -> Figure:
    """One grey line per row of `each` (J, g), `average` (g,) in bold over them.

    probability : the y axis runs from 0 and is in per cent
    """
    from matplotlib.collections import LineCollection
    from matplotlib.figure import Figure as MakeFigure

    figure = MakeFigure(figsize=(9.0, 6.2), dpi=150)
    axes = figure.subplots()
    figure.subplots_adjust(left=0.105, right=0.78, top=0.83, bottom=0.12)
    colors = np.column_stack([np.tile(GREY, (len(each), 1)), opacity(each)])
    lines = LineCollection([np.column_stack([x, y]) for y in each], colors=colors, linewidths=1.3, zorder=2, label="each")
    axes.add_collection(lines)
    axes.plot(x, average, color=BLUE, linewidth=4.0, solid_capstyle="round", zorder=4, label="average")
    _frame(axes, x, each, average, probability)
    _ends(axes, x, each, average, labels)
    axes.set_xlabel(labels.x, fontsize=13)
    axes.set_ylabel(labels.y, fontsize=13)
    figure.text(0.02, 0.945, labels.title, fontsize=min(14.5, 14.5 * 66 / len(labels.title)), fontweight="bold", ha="left", va="center")
    figure.text(0.02, 0.893, labels.detail, fontsize=min(11.5, 11.5 * 92 / len(labels.detail)), color=DARK, ha="left", va="center")
    return figure


def opacity(each: Floats) -> Floats:
    """(J,) of each line: k lines on each other come out at 0.35 for one up to 0.9 for the most, so that it is darker where many are.

    1 - (1 - a)^k = 0.35 + 0.55 sqrt((k - 1) / (largest k - 1))
    """
    _, which, counts = np.unique(each.round(9), axis=0, return_inverse=True, return_counts=True)
    k = counts[which.ravel()].astype(np.float64)
    return np.asarray(1.0 - (0.65 - 0.55 * np.sqrt((k - 1.0) / max(k.max() - 1.0, 1.0))) ** (1.0 / k))


def _frame(axes: Axes, x: Floats, each: Floats, average: Floats, probability: bool) -> None:
    """Limits, ticks and spines."""
    low, high = float(min(each.min(), average.min())), float(max(each.max(), average.max()))
    if probability:
        from matplotlib.ticker import PercentFormatter

        axes.set_ylim(0.0, 1.0 if high > 0.6 else 1.15 * high)
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=None if high < 0.1 else 0, symbol=" %"))
    else:
        pad = 0.06 * (high - low) or 1.0
        axes.set_ylim(low - pad, high + pad)
    span = float(x.max() - x.min())
    axes.set_xlim(float(x.min()) - 0.01 * span, float(x.max()) + 0.01 * span)
    whole = np.arange(np.ceil(x.min() - 1e-9), np.floor(x.max() + 1e-9) + 1.0) if span < 1e6 else np.zeros(0)
    if 2 <= len(whole) <= 12:
        axes.set_xticks(whole)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.tick_params(labelsize=12)
    axes.grid(axis="y", color="#e6e6e6", linewidth=0.8, zorder=0)
    axes.set_axisbelow(True)


def _ends(axes: Axes, x: Floats, each: Floats, average: Floats, labels: Labels) -> None:
    """Words at the right ends of the lines, moved apart where they would touch."""
    low, high = axes.get_ylim()
    words = [(float(average[-1]), f"average over\nall {len(each)} {labels.many}", True), *_groups(each, labels, APART * (high - low))]
    words.sort()
    sizes = [APART * (high - low) * text.count("\n") + APART * (high - low) for _, text, _ in words]
    places = apart([y for y, _, _ in words], sizes, low, high)
    for (_, text, bold), y in zip(words, places, strict=True):
        style: dict[str, Any] = {"color": BLUE, "fontweight": "bold", "fontsize": 13} if bold else {"color": DARK, "fontsize": 11.5}
        at = float(x[-1]) + 0.03 * float(x[-1] - x[0])
        axes.text(at, y, text, ha="left", va="center", clip_on=False, linespacing=1.1, **style)


def _groups(each: Floats, labels: Labels, near: float) -> list[tuple[float, str, bool]]:
    """Where the curves end, with how many clusters end there; one curve is named where all are different."""
    distinct, counts = np.unique(each.round(9), axis=0, return_counts=True)
    if len(distinct) > MOST_DISTINCT or 3 * len(distinct) > len(each):
        upper = int(np.argsort(each[:, -1])[(9 * len(each)) // 10])
        return [(float(each[upper, -1]), f"one {labels.one}", False)]
    order = np.argsort(distinct[:, -1])
    held: list[list[int]] = []
    for k in order:
        if held and distinct[k, -1] - distinct[held[-1][0], -1] < 1.5 * near:
            held[-1].append(int(k))
        else:
            held.append([int(k)])
    out = []
    for group in held:
        count = int(counts[group].sum())
        out.append(
            (float(np.average(distinct[group, -1], weights=counts[group])), f"{count} {labels.one if count == 1 else labels.many}", False)
        )
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
        y = np.clip(y, low + 0.3 * sizes[0], high)
    return [round(float(v), 9) for v in y]
