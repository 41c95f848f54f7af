"""Drawing pictures of findings with matplotlib, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg

from .draw import BLUE, DARK, DPI, HEIGHT, INK, SMALL, WIDTH, WORDS, Picture, lines_of, own_style, plain_axes, size_of, title_of
from .draw_forest import OCHRE
from .findings import Ordered, Profiled, words_of_order, words_of_profile

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LEFT, FOOT, RIGHT = 0.85, 0.62, 0.35


def profiled(p: Profiled) -> Picture:
    """The profile with its 95 % limit."""
    with own_style():
        figure, axes = _framed(*words_of_profile(p))
        axes.plot(p.sd, p.rise, color=BLUE, linewidth=2.4, zorder=3)
        axes.plot([0.0], [0.0], "o", color=BLUE, markersize=7.0, zorder=4, clip_on=False)
        axes.axhline(3.84, color=DARK, linewidth=1.0, linestyle=(0, (4.0, 3.0)))
        axes.plot([p.at, p.at], [0.0, p.limit], color=OCHRE, linewidth=1.8)
        axes.text(0.0, 3.84, " 95 %", va="bottom", fontsize=SMALL, color=DARK)
        axes.text(p.at, 0.0, f" {p.at:.3g}", va="bottom", ha="left", fontsize=WORDS, color=OCHRE)
        axes.set_xlim(0.0, float(p.sd[-1]))
        axes.set_ylim(0.0, 1.05 * float(max(p.rise.max(), 3.84)))
        axes.set_xlabel(f"standard deviation of {p.name}", fontsize=WORDS, parse_math=False)
        axes.set_ylabel("-2 log L above its minimum", fontsize=WORDS, parse_math=False)
    return figure


def ordered(o: Ordered) -> Picture:
    """All effects in order; outlying ones by name."""
    with own_style():
        figure, axes = _framed(*words_of_order(o))
        x = np.arange(len(o.effects))
        far = np.isin(x, o.named)
        size, reach = 3.5 if len(x) > 40 else 5.0, 2.0 * o.errors
        for mask, color in ((~far, BLUE), (far, OCHRE)):
            axes.vlines(x[mask], (o.effects - reach)[mask], (o.effects + reach)[mask], color=color, linewidth=1.0, alpha=0.6)
            axes.plot(x[mask], o.effects[mask], "o", color=color, markersize=size, zorder=3)
        axes.axhline(0.0, color=DARK, linewidth=1.0, linestyle=(0, (4.0, 3.0)))
        for place in o.named[:5]:
            right = place > len(x) / 2
            axes.annotate(
                o.levels[place],
                (place, o.effects[place]),
                xytext=(-7 if right else 7, 0),
                textcoords="offset points",
                ha="right" if right else "left",
                va="center",
                fontsize=WORDS,
                color=OCHRE,
                parse_math=False,
            )
        axes.set_xticks([])
        axes.set_xlim(-1.0 - 0.01 * len(x), len(x) + 0.01 * len(x))
        axes.set_xlabel("levels in order of their effects", fontsize=WORDS)
        axes.set_ylabel("predicted effect", fontsize=WORDS)
    return figure


def _framed(title: str, said: str) -> tuple[Picture, Axes]:
    """A figure with title, sentence and empty axes; its alternative text."""
    figure = Picture(figsize=(WIDTH, HEIGHT), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    figure.alt = f"{title} {said}"
    shown, size = title_of(figure, title)
    under = 0.24 + size_of(figure, shown, size, "bold")[1]
    detail = "\n".join(lines_of(figure, said, SMALL, "normal", WIDTH - 0.3))
    head = under + size_of(figure, detail, SMALL, "normal")[1] + 0.2
    figure.text(0.15 / WIDTH, 1.0 - 0.12 / HEIGHT, shown, fontsize=size, fontweight="bold", color=INK, va="top", parse_math=False)
    figure.text(0.15 / WIDTH, 1.0 - under / HEIGHT, detail, fontsize=SMALL, color=DARK, va="top", linespacing=1.15, parse_math=False)
    axes = figure.add_axes((LEFT / WIDTH, FOOT / HEIGHT, 1.0 - (LEFT + RIGHT) / WIDTH, 1.0 - (head + FOOT) / HEIGHT))
    axes.tick_params(labelsize=SMALL, color=DARK, labelcolor=INK)
    plain_axes(axes)
    return figure, axes
