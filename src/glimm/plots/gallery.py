"""The pictures of a report: one per predictor of a fit, and the correlations of a GEE; for a comparison the population averages of
all fits over the same rows.

Each is SVG with its words; what cannot be drawn is named in a sentence.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data.text import string
from ..design.predictors import predictors_of
from ..errors import GlimmError
from ..inference.covariance import Inference
from ..kernels import mean
from ..kernels.matrix import Floats, Ints
from ..records import GeeRecord, MixedRecord, Record
from .axis import Axis, make_axis
from .correlation import correlation_picture
from .curves import MOST_PROFILES, averaged, blocks, fixed
from .picture import NEEDS, Wish, picture, require_matplotlib
from .rows import Profiles, own_rows
from .words import Labels, mean_label

if TYPE_CHECKING:
    from .draw import Picture

MOST, FEW, LINES = 4, 2, 3

Pictures = tuple[tuple[tuple[bytes, str, str], ...], tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Averages:
    """Population averages of several fits over one predictor, all over the same rows.

    names : of the curves; values : (curves, g); fits : how many of the curves are averages, the rest being typical clusters
    rows : rows averaged over; whole : whether these are all rows that every fit used
    """

    axis: Axis
    names: tuple[str, ...]
    values: Floats
    fits: int
    rows: int
    whole: bool


def of_fit(record: Record, inference: Inference) -> Pictures:
    """((SVG, description, call), ...) of the first predictors, and sentences about the others."""
    names = predictors_of(record.design)
    if not names and not isinstance(record, GeeRecord):
        return (), ("The model has no predictor to draw.",)
    try:
        require_matplotlib()
    except ImportError:
        return (), (f"No pictures: {NEEDS}.",)
    made, notes = [], [] if names else ["The model has no predictor to draw."]
    for name in names[:MOST]:
        try:
            figure = picture(record, inference, name, Wish())
        except GlimmError as error:
            notes.append(f"Not drawn: {str(error).removeprefix('plot: ')}.")
            continue
        made.append((svg(figure), figure.alt, f"fit.plot({string(name)})"))
    if len(names) > MOST:
        notes.append(f"Not drawn for want of room: {', '.join(names[MOST:])}; fit.plot(...) draws them.")
    if isinstance(record, GeeRecord):
        try:
            figure = correlation_picture(record, None)
            made.append((svg(figure), figure.alt, "fit.plot_corr()"))
        except GlimmError as error:
            notes.append(f"Not drawn: {str(error).removeprefix('plot_corr: ')}.")
    return tuple(made), tuple(notes)


def svg(figure: Any) -> bytes:
    """The figure as SVG, its letters as shapes, so that it looks the same everywhere."""
    import matplotlib

    held = io.BytesIO()
    with matplotlib.rc_context({"svg.fonttype": "path", "svg.hashsalt": "glimm"}):
        figure.savefig(held, format="svg", metadata={"Date": None, "Creator": None})
    return held.getvalue()


def of_effect(draw: Callable[[], Picture]) -> Pictures:
    """((SVG, description, call),) of a forest plot."""
    try:
        figure = draw()
    except ImportError:
        return (), (f"No picture: {NEEDS}.",)
    return ((svg(figure), figure.alt, ""),), ()


def averages(parts: Sequence[tuple[str, Record, Inference]]) -> tuple[list[Averages], list[str]]:
    """Population averages over the first predictors that all fits have, and sentences about what could not be averaged.

    parts : (name, record, inference) of each fit
    """
    shared = [name for name in predictors_of(parts[0][1].design) if all(name in predictors_of(record.design) for _, record, _ in parts)]
    if not shared:
        return [], ["The fits have no predictor in common, so there are no averages to compare."]
    common = parts[0][1].design.rows
    for _, record, _ in parts[1:]:
        common = np.intersect1d(common, record.design.rows)
    if not len(common):
        return [], ["The fits have no row in common, so there are no averages to compare."]
    found, notes = [], []
    for name in shared[:FEW]:
        try:
            found.append(over(parts, name, common))
        except GlimmError as error:
            notes.append(f"Not averaged: {str(error).removeprefix('plot: ')}.")
    return found, notes


def over(parts: Sequence[tuple[str, Record, Inference]], variable: str, common: Ints) -> Averages:
    """Averages of each fit, then the curve of each mixed model's typical cluster, over rows (of the caller's data) that all used."""
    axis = make_axis(parts[0][1].design, variable)
    names, values, typical, whole = [], [], [], True
    for name, record, inference in parts:
        own = make_axis(record.design, variable, None if axis.names else axis.values)
        if own.names != axis.names:
            raise GlimmError(f"plot: {variable!r} does not have the same levels in all fits")
        profiles = own_rows(record.design, own, {}, MOST_PROFILES, np.flatnonzero(np.isin(record.design.rows, common)))
        whole &= profiles.kept is None
        names.append(name)
        values.append(averaged(record, inference, profiles, own).mean)
        if isinstance(record, MixedRecord) and record.design.mean.link.name != "identity":
            typical.append((f"{name}, typical {_one(record)}", at_zero(record, profiles, own)))
    names += [name for name, _ in typical]
    return Averages(axis, tuple(names), np.array([*values, *(y for _, y in typical)]), len(parts), int(profiles.weight.sum()), whole)


def _one(record: MixedRecord) -> str:
    """What one cluster is called."""
    names = {term.group for term in record.design.mean.random}
    return names.pop() if len(names) == 1 else "cluster"


def at_zero(record: Record, profiles: Profiles, axis: Axis) -> Floats:
    """(g,) means with the random effects at zero, averaged over the profiles."""
    total = np.zeros(len(axis.x))
    for which, new in blocks(record, profiles, axis):
        means = mean(record.design.mean.link.kernel, fixed(record, new))[0]
        total += profiles.weight[which] @ means.reshape(-1, len(axis.x))
    return np.asarray(total / profiles.weight.sum())


def of_comparison(record: Record, found: Sequence[Averages]) -> Pictures:
    """((SVG, description, call), ...) of averages; `record` is the first fit's, for the words."""
    if not found:
        return (), ()
    try:
        require_matplotlib()
    except ImportError:
        return (), (f"No pictures: {NEEDS}.",)
    from .draw import Drawing, Line
    from .draw import picture as draw

    made, notes = [], []
    for a in found:
        chosen = [*range(min(a.fits, LINES)), *range(a.fits, min(len(a.names), a.fits + 1))]
        lines = [Line(a.values[k], a.names[k].replace(", ", ",\n"), style=k if k < a.fits else LINES) for k in chosen]
        empty = np.zeros((0, len(a.axis.x)))
        d = Drawing(a.axis.x, a.axis.names, empty, None, lines, record.family.support == "binomial")
        words = Labels(title(record, a), detail(a), a.axis.variable, mean_label(record))
        figure = draw(d, words)
        made.append((svg(figure), figure.alt, ""))
        if len(chosen) < len(a.names):
            fewer = f"{len(chosen)} of the {len(a.names)} curves"
            notes.append(f"The picture of {a.axis.variable} has room for {fewer}; the table has them all.")
    return tuple(made), tuple(notes)


def title(record: Record, a: Averages) -> str:
    """How far the averages of the fits are apart."""
    apart = float(np.ptp(a.values[: a.fits], axis=0).max())
    much = f"{100.0 * apart:.2g} percentage points" if record.family.support == "binomial" else f"{apart:.3g}"
    return f"Over {a.axis.variable}, the population averages of the {a.fits} fits are at most {much} apart"


def detail(a: Averages) -> str:
    """What was averaged over, and what a typical cluster is."""
    what = f"the {a.rows} rows that all fits used" if a.whole else f"{a.rows} evenly spaced rows of those that all fits used"
    said = f"Averaged over {what}, other predictors as in each row; a mixed model also over its random effects."
    return said if len(a.names) == a.fits else f"{said} Typical: random effects at zero, which is no average."
