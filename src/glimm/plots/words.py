"""The words of a picture, each true of its arrays: title, detail, axes, labels of lines, a description for who cannot see it.

Flatter is said only where every step of the average, on the scale of the link, is smaller than that of every cluster.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..family import Link
from ..inference.covariance import Inference
from ..kernels import link as link_eta
from ..kernels.matrix import Floats
from ..records import GeeRecord, MixedRecord, Record
from .axis import Axis
from .curves import Average, Curves

SCALES = {
    "logit": "log odds",
    "log": "the log of the mean",
    "probit": "probits",
    "cloglog": "the complementary log-log of the mean",
    "identity": "the mean",
}


@dataclass(frozen=True, slots=True)
class Wording:
    """What the user calls things; None is glimm's own word."""

    x: str | None = None
    y: str | None = None
    title: str | None = None
    one: str | None = None
    many: str | None = None


@dataclass(frozen=True, slots=True)
class Labels:
    """Words of a picture: title, sentences under it, axes, names of the average and of one cluster, and of clusters in a count."""

    title: str
    detail: str
    x: str
    y: str
    average: str = "population\naverage"
    one: str = ""
    many: str = ""

    @property
    def alt(self) -> str:
        """The picture in words."""
        return f"{self.title}. {self.detail} Horizontal axis: {self.x}; vertical axis: {self.y}."


def labels(record: Record, inference: Inference, c: Curves, wording: Wording) -> Labels:
    """The words of a picture of these curves."""
    x, y = wording.x or c.axis.variable, wording.y or mean_label(record)
    if c.clusters is None:
        title, detail = summary_of(record, inference, c, x, wording)
        return Labels(wording.title or title, detail, x, y)
    assert isinstance(record, MixedRecord)
    group = record.design.mean.random[0].group
    one, many = wording.one or group, wording.many or (f"clusters ({group})" if wording.one is None else "clusters")
    title, change = finding(c, record.design.mean.link, one)
    if record.solution.code == "not_converged":
        title, change = "The fit did not converge: these curves are not estimates to use", ""
    elif between(record, c.axis.variable):
        title = f"{'Lines' if c.axis.names else 'Curves'} of single clusters, and the population average"
        change = f"{c.axis.variable} does not change within any {one}: a line joins two clusters with the same random effect."
    detail = " ".join([*([change] if change else []), drawn(c, many), *left_out(record, c), *others(record, c)])
    drawn_one = f"one {one}" if c.clusters.kind == "real" else f"one {one},\ndrawn"
    return Labels(wording.title or title, detail, x, y, one=drawn_one, many=wording.many or "clusters")


def between(record: MixedRecord, variable: str) -> bool:
    """Whether a predictor is the same in all rows of every cluster."""
    column, rows = record.design.columns[variable], record.design.rows
    values = column.values if column.values is not None else column.codes
    assert values is not None
    used, refs = values[rows], record.design.mean.random[0].refs
    first = np.unique(refs, return_index=True)[1]
    return bool(np.all(used == used[first][refs]))


def mean_label(record: Record) -> str:
    """What is on the y axis."""
    response = record.design.response
    if response.kind == "binary":
        return f"probability of {response.name} = {response.success}"
    return f"probability of {response.name}" if response.kind == "trials" else f"mean of {response.name}"


def finding(c: Curves, link: Link, one: str) -> tuple[str, str]:
    """What curves of clusters and their average show, in a sentence, and the numbers behind it on the scale of the link."""
    assert c.clusters is not None
    names, scale = categories(c.axis), SCALES.get(link.name, f"the mean on the scale of link {link.name}")
    steps = np.diff(link_eta(link.kernel, c.average.mean))
    of_average, (low, high) = float(steps.sum()), c.clusters.change
    who = one if c.clusters.kind == "real" else f"{one} drawn"
    least, most = signed(low), signed(high)
    own = f"{least} for every {who}" if least == most else f"between {least} and {most} for one {who}"
    where = f"from {names[0]} to {names[-1]}" if names else "from left to right"
    change = "" if len(names) > 2 else f"Change in {scale} {where}: {own}, {signed(of_average)} for the population average."
    on_scale = "The" if link.name == "identity" else f"In {scale}, the"
    if parallel(c.clusters.steps, steps):
        return f"{on_scale} population average is parallel to every {one}'s {'line' if names else 'curve'}", change
    if len(names) > 2 or not flatter(c.clusters.steps, steps):
        return f"{'Lines' if names else 'Curves'} of single clusters, and the population average", change
    if names:
        return f"In {scale}, {names[0]} and {names[1]} differ less in the population average than for any {one}", change
    return f"{on_scale} population average is flatter than any {one}'s curve", change


def categories(axis: Axis) -> tuple[str, ...]:
    """Names of the categories in a sentence: numbers and truth values with the predictor's name."""
    bare = all(name.replace(".", "").replace("-", "").isdigit() or name in ("True", "False") for name in axis.names)
    return tuple(f"{axis.variable} = {name}" for name in axis.names) if bare else axis.names


def signed(value: float) -> str:
    """A change with its sign and two decimals, three figures where it is small or large.

    >>> signed(7.914), signed(-0.00123)
    ('+7.91', '-0.00123')
    """
    return f"{value:+.2f}" if value == 0.0 or 0.1 <= abs(value) < 1000.0 else f"{value:+.3g}"


def flatter(steps: Floats, average: Floats) -> bool:
    """Whether the average goes the way of all clusters, less steeply in every step and visibly less over all."""
    low, high = steps
    smallest = np.minimum(np.abs(low), np.abs(high))
    same_way = (np.all(low > 0.0) and np.all(average > 0.0)) or (np.all(high < 0.0) and np.all(average < 0.0))
    return bool(same_way and np.all(np.abs(average) < smallest) and abs(average.sum()) < 0.95 * smallest.sum())


def parallel(steps: Floats, average: Floats) -> bool:
    """Whether all clusters and the average change alike in every step."""
    size = np.abs(average).max() * 1e-6
    return bool(size > 0.0 and np.all(np.abs(steps - average) <= size))


def drawn(c: Curves, many: str) -> str:
    """Which clusters are drawn, and which are averaged over where these are not all."""
    assert c.clusters is not None
    shown, total = len(c.clusters.each), c.clusters.total
    over = "the average is over all" if c.average.whole else f"average and changes are over {c.average.counted} evenly spaced ones"
    if c.clusters.kind == "draws":
        text = f"Grey: {shown} clusters drawn from the estimated normal distribution of the random effects"
        return f"{text}." if c.average.whole else f"{text}; other predictors are those of {c.average.counted} evenly spaced clusters."
    if shown == total:
        return f"Grey: all {shown} {many}, at their predicted random effects."
    return f"Grey: {shown} of {total} {many}, evenly spaced by their predicted random effects; {over}."


def left_out(record: MixedRecord, c: Curves) -> list[str]:
    """What the curves of predicted clusters do not have: effects of other groupings, and the course of effects over time."""
    assert c.clusters is not None
    if c.clusters.kind == "draws":
        return []
    terms = record.design.mean.random
    names = list(dict.fromkeys(term.group for term in terms if term.group != terms[0].group))
    out = [f"Effects of {' and '.join(names)} are at zero."] if names else []
    if any(term.times is not None for term in terms if term.group == terms[0].group):
        out.append("Effects that change over time are at each cluster's mean.")
    return out


def others(record: Record, c: Curves) -> list[str]:
    """What the other predictors are."""
    rest = [name for name in record.design.spec.variables if name != c.axis.variable and name not in c.held]
    said = [f"{name} = {value}" for name, value in c.held.items()]
    out = [f"Held at {', '.join(said)}."] if said else []
    if rest:
        how = "as in each row"
        if isinstance(record, MixedRecord):
            how = "each cluster's own mean or most frequent level" if c.varying else "each cluster's own"
        out.append(f"{'Others' if said else 'Other predictors'}: {how}.")
    return out


def summary_of(record: Record, inference: Inference, c: Curves, x: str, wording: Wording) -> tuple[str, str]:
    """Title and detail of a picture of the average alone."""
    average, names = c.average, categories(c.axis)
    y = wording.y or mean_label(record)
    noun = y if y.startswith("mean of") else f"average {y}"
    shown = [shown_mean(record, float(v)) for v in average.mean]
    steps = np.diff(average.mean)
    title = f"The {noun} {'by' if names else 'over'} {x}"
    if len(names) == 2:
        title = f"The {noun}: {shown[0]} for {names[0]}, {shown[1]} for {names[1]}"
    elif not names and shown[0] != shown[-1] and (np.all(steps > 0.0) or np.all(steps < 0.0)):
        title = f"The {noun} {'rises' if steps[0] > 0.0 else 'falls'} from {shown[0]} to {shown[-1]} over {x}"
    return title, " ".join([*over(record, average), *band(inference, average, bool(names)), *others(record, c), *why_alone(record)])


def shown_mean(record: Record, value: float) -> str:
    """A mean as words show it.

    Per cent for a probability.
    """
    return f"{100.0 * value:.3g}\N{NO-BREAK SPACE}%" if record.family.support == "binomial" else f"{value:.4g}"


def over(record: Record, average: Average) -> list[str]:
    """What the average is over."""
    if isinstance(record, MixedRecord):
        what = "clusters" if average.whole else "evenly spaced clusters"
        return [f"Averaged over the random effects of the population and over {average.counted} {what}."]
    if average.whole:
        return [f"Averaged over the {record.design.n} rows used."]
    return [f"Averaged over {average.counted} of the {record.design.n} rows used, evenly spaced."]


def band(inference: Inference, average: Average, bars: bool) -> list[str]:
    """What the band is."""
    if average.low is None:
        return []
    if not np.all(np.isfinite(average.low)):
        return ["There are no standard errors, so no interval."]
    return [f"{'Bars' if bars else 'Band'}: 95 % confidence interval, standard errors {inference.label}."]


def why_alone(record: Record) -> list[str]:
    """Why there is no curve of a single cluster."""
    if isinstance(record, MixedRecord):
        return []
    model = "GEE" if isinstance(record, GeeRecord) else "GLM"
    group = next(iter(record.design.clusters), None)
    return [f"A {model} has no curve of one {'cluster' if group is None else group}."]
