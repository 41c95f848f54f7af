"""One thin curve per cluster and, on top, their average over the population: conditional and marginal in one picture.

cluster j: h(x'beta + b_j) over a grid of one predictor; bold: the mean over clusters of E_b h(x_j'beta + b), which is flatter.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data.frames import open_frame
from ..data.records import ARRAY, Variable
from ..design.records import NewRows
from ..design.replay import read_new
from ..errors import GlimmError, suggest
from ..family import LINKS
from ..inference.covariance import infer
from ..kernels import link as link_eta
from ..kernels.matrix import Floats, Ints
from ..marginal.predict import predict
from ..records import MixedRecord, Record

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STEPS = 41


@dataclass(frozen=True, slots=True)
class Curves:
    """Fitted means over a grid of one predictor.

    x : (g,) the grid; each : (J, g) one curve per cluster, at its own effect and its own other predictors
    average : (g,) marginal means averaged over the clusters; clusters : (J,) their levels
    rows : (J,) the row of the data that each one's other predictors are from
    """

    x: Floats
    each: Floats
    average: Floats
    clusters: Any
    rows: Ints


def compute(record: Record, data: Any, variable: str, grid: Any = None) -> Curves:
    """The curves of a mixed model.

    data : the frame that was fitted; variable : a numeric predictor; grid : its values, by default 41 from smallest to largest.
    A cluster's other predictors are those of its first row used; they stay as they are while the variable moves.

    Raises GlimmError for a fit without random effects, other data, an unknown predictor and a predictor that is not a number.
    """
    if not isinstance(record, MixedRecord):
        raise GlimmError("curves: one curve per cluster needs a mixed model, a fit of glimm.glmm(...)")
    frame, design = open_frame(data), record.design
    if frame.n_rows != design.missing.n_rows:
        raise GlimmError(
            f"curves: the data have {frame.n_rows} rows, but the model was fitted to {design.missing.n_rows}: give the same data"
        )
    columns = {name: frame.variable(name) for name in design.spec.variables}
    values = numeric(record, columns, variable)
    if grid is None:
        used = values[design.rows]
        x = np.linspace(used.min(), used.max(), STEPS)
    else:
        x = np.asarray(grid, dtype=np.float64)
    term = design.mean.random[0]
    first = np.unique(term.refs, return_index=True)[1]
    new = moved(record, columns, variable, x, first)
    inference = infer(record, "model")
    shape = len(first), len(x)
    each = predict(record, inference, new, "response", "conditional", None, 0.95).estimate.reshape(shape)
    marginal = predict(record, inference, new, "response", "marginal", None, 0.95).estimate.reshape(shape)
    return Curves(x, each, marginal.mean(axis=0), term.levels, design.rows[first])


def numeric(record: MixedRecord, columns: dict[str, Variable], variable: str) -> Floats:
    """The values of a predictor that the model uses as a number; raises GlimmError, with the known names, for any other."""
    factors = {name for spec in record.design.spec.fixed.factors.values() if spec.levels for name in spec.variables}
    known = [name for name, column in columns.items() if column.values is not None and name not in factors]
    if variable in known:
        values = columns[variable].values
        assert values is not None
        return values
    if variable in columns:
        raise GlimmError(
            f"curves: {variable!r} is a factor, and a curve runs over a numeric predictor: "
            + (suggest(variable, known) if known else "there is none")
        )
    raise GlimmError(
        f"curves: no predictor {variable!r} in the model: " + (suggest(variable, known) if known else "no predictor is numeric")
    )


def moved(record: MixedRecord, columns: dict[str, Variable], variable: str, x: Floats, first: Ints) -> NewRows:
    """Each cluster's row once per value of x: cluster by cluster, x changing fastest."""
    design, at = record.design, np.repeat(first, len(x))
    new = _reread(record, columns, at, {variable: np.tile(x, len(first))})
    offset, term = new.offset, design.mean.random[0]
    if ARRAY in (design.spec.offset, design.spec.exposure):
        assert design.mean.offset is not None
        known = _reread(record, columns, first, {}).offset
        assert known is not None
        assert offset is not None
        offset = offset + np.repeat(design.mean.offset[first] - known, len(x))
    return replace(new, refs=(term.refs[at],), z=(term.z[at],), offset=offset)


def _reread(record: MixedRecord, columns: dict[str, Variable], at: Ints, changed: dict[str, Floats]) -> NewRows:
    """Rows `at` of those used, some columns changed; an offset or exposure that was an array counts as 0."""
    rows, spec = record.design.rows[at], record.design.spec
    data: dict[str, Any] = dict(changed)
    for name, column in columns.items():
        if name in changed:
            continue
        if column.values is not None:
            data[name] = column.values[rows]
        else:
            assert column.codes is not None
            data[name] = [column.levels[code] for code in column.codes[rows]]
    offset = np.zeros(len(at)) if spec.offset == ARRAY else None
    exposure = np.ones(len(at)) if spec.exposure == ARRAY else None
    return read_new(record.design, data, offset, exposure)


def curves(
    record: Record,
    data: Any,
    variable: str,
    *,
    to_axis: Callable[[Floats], Floats] | None = None,
    x_label: str | None = None,
    y_label: str | None = None,
    title: str | None = None,
    one: str | None = None,
    many: str | None = None,
) -> Figure:
    """The picture: one thin grey curve per cluster, the average over the population in bold on top.

    to_axis : from the predictor's scale to that of the axis, such as lambda age: age + 9; labels and title : in your own words
    one, many : what a cluster is called, such as "child" and "children". Returns a matplotlib Figure; save it with .savefig(path).

    Raises GlimmError as `compute` does, and ImportError where matplotlib is missing.
    """
    from .draw import Labels, picture

    c = compute(record, data, variable)
    group = record.design.mean.random[0].group
    one, many = one or f"level of {group}", many or f"levels of {group}"
    x = c.x if to_axis is None else np.asarray(to_axis(c.x), dtype=np.float64)
    headline, detail = finding(c, record.design.mean.link.name, one, many)
    labels = Labels(title or headline, detail, x_label or variable, y_label or mean_label(record), one, many)
    return picture(x, c.each, c.average, labels, record.family.support == "binomial")


def mean_label(record: Record) -> str:
    """What is on the y axis."""
    response = record.design.response
    if response.kind == "binary":
        return f"probability of {response.name} = {response.success}"
    return f"probability of {response.name}" if response.kind == "trials" else f"mean of {response.name}"


def finding(c: Curves, link: str, one: str, many: str) -> tuple[str, str]:
    """What the picture shows, in a sentence, and the numbers behind it: changes from the first to the last x on the link's scale."""
    scale = {"logit": "log odds", "log": "the log", "probit": "probits", "cloglog": "the complementary log-log", "identity": "the mean"}[
        link
    ]
    with np.errstate(divide="ignore"):
        change = link_eta(LINKS[link].kernel, c.each[:, -1]) - link_eta(LINKS[link].kernel, c.each[:, 0])
        of_average = float(np.subtract(*link_eta(LINKS[link].kernel, c.average[[-1, 0]])))
    low, high = float(change.min()), float(change.max())
    own = f"{low:+.2f} for every {one}" if f"{low:.2f}" == f"{high:.2f}" else f"between {low:+.2f} and {high:+.2f} for one {one}"
    detail = f"Change in {scale} from left to right: {own}, {of_average:+.2f} for the average over all {many}."
    same_way = low * high > 0.0 and low * of_average > 0.0
    visibly = abs(of_average) < 0.95 * min(abs(low), abs(high)) and f"{of_average:.2f}" not in (f"{low:.2f}", f"{high:.2f}")
    if same_way and visibly:
        return f"In {scale}, the average over {many} is flatter than the curve of any {one}", detail
    return f"One curve per {one}, and the average over {many}", detail
