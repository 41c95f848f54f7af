"""Arrays of a picture: the population average over one predictor, and the curves of single clusters around it.

average: mean over rows or clusters of E_b h(x'beta + z'b), with a delta-method band; cluster j: h(x_j'beta + z_j'b_j).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..design.records import Design, NewRows
from ..errors import GlimmError
from ..inference.covariance import Inference
from ..inference.wald import quantile
from ..kernels import mean
from ..kernels.matrix import Floats, Ints
from ..marginal.average import average as average_over
from ..marginal.intervals import around
from ..marginal.predict import spread
from ..records import MixedRecord, Record
from .axis import Axis, check_at, make_axis
from .rows import Profiles, moved, of_clusters, own_rows, varying

MOST_CURVES, SAMPLE, DRAWS = 600, 200, 100
MOST_PROFILES, MOST_CLUSTERS = 50_000, 200_000
ENTRIES = 4_000_000

Kind = Literal["real", "draws", "none"]


@dataclass(frozen=True, slots=True)
class Average:
    """The population average over the axis.

    mean : (g,); low, high : (g,) its 95 % band, None for a mixed model
    counted : rows or clusters averaged over; whole : whether that is all of them
    """

    mean: Floats
    low: Floats | None
    high: Floats | None
    counted: int
    whole: bool


@dataclass(frozen=True, slots=True)
class Clusters:
    """Curves of single clusters.

    each : (K, g) on the scale of the mean, with levels (K,) of the clusters (None for draws); total : clusters of the fit
    steps : (2, g - 1) smallest and largest change of the linear predictor between neighbouring values of the axis, and
    change : smallest and largest from the first value to the last, over all clusters averaged over, or all draws
    middle : the one of `each` whose effects are the most ordinary
    """

    kind: Kind
    each: Floats
    levels: NDArray[Any] | None
    total: int
    steps: Floats
    change: tuple[float, float]
    middle: int


@dataclass(frozen=True, slots=True)
class Curves:
    """What a picture shows.

    clusters : None where there are none; held : other predictors at one value; varying : the rest differ inside clusters
    """

    axis: Axis
    average: Average
    clusters: Clusters | None
    held: Mapping[str, Any]
    varying: bool = False


def compute(
    record: Record,
    inference: Inference,
    variable: str,
    *,
    clusters: str | None = "real",
    at: Mapping[str, Any] | None = None,
    grid: Any = None,
    seed: int = 0,
) -> Curves:
    """The arrays of a picture of one predictor.

    clusters : curves of "real" ones, of "draws" from the estimated distribution of the random effects, or None
    at : other predictors that stay at one value; without it they are each row's own (GLM, GEE), or each cluster's own mean
    and most frequent level (mixed models). grid : values of a numeric axis

    Raises GlimmError for what is no predictor, and for draws of a fit without random effects.
    """
    if clusters not in ("real", "draws", None):
        raise GlimmError(f"plot: clusters must be 'real', 'draws' or None, not {clusters!r}")
    if clusters == "draws" and not isinstance(record, MixedRecord):
        raise GlimmError("plot: clusters='draws' draws random effects, and this model has none: fit glimm.glmm(...), or leave clusters out")
    design = record.design
    axis = make_axis(design, variable, grid)
    held = check_at(design, variable, at)
    if not isinstance(record, MixedRecord):
        return Curves(axis, averaged(record, inference, own_rows(design, axis, held, MOST_PROFILES), axis), None, at or {})
    profiles = of_clusters(design, axis, held, MOST_CLUSTERS)
    shown = None
    if clusters is not None:
        shown = real(record, profiles, axis) if clusters == "real" else draws(record, profiles, axis, seed)
    rest = varying(design, (name for name in design.columns if name != variable and name not in held))
    return Curves(axis, averaged(record, inference, profiles, axis), shown, at or {}, rest)


def blocks(record: Record, profiles: Profiles, axis: Axis) -> Iterator[tuple[slice, NewRows]]:
    """The profiles' rows, some thousand profiles at a time."""
    size = max(1, ENTRIES // (len(axis.x) * max(8, record.design.mean.matrix.p)))
    for start in range(0, len(profiles.weight), size):
        which = slice(start, start + size)
        yield which, moved(record.design, profiles, which, axis)


def fixed(record: Record, new: NewRows) -> Floats:
    """(n,) x'beta + offset."""
    eta = new.matrix.times(record.vector[record.blocks["mean"]])
    return eta if new.offset is None else eta + new.offset


def averaged(record: Record, inference: Inference, profiles: Profiles, axis: Axis) -> Average:
    """The weighted mean of the profiles' marginal means at each value of the axis.

    The band is that of g(average), carried to the mean: with one profile it is predict's confidence interval.
    """
    part, g = record.design.mean, len(axis.x)
    total, slope = np.zeros(g), np.zeros((g, part.matrix.p))
    for which, new in blocks(record, profiles, axis):
        eta, weight = fixed(record, new), profiles.weight[which]
        if isinstance(record, MixedRecord):
            m = average_over(part.link, eta, spread(record, new))[0]
        else:
            m, by_eta = mean(part.link.kernel, eta)[:2]
            x = ((new.matrix.dense() - part.center) / part.scale).reshape(-1, g, part.matrix.p)
            slope += np.einsum("i,ig,igp->gp", weight, by_eta.reshape(-1, g), x)
        total += weight @ m.reshape(-1, g)
    whole = float(profiles.weight.sum())
    estimate = total / whole
    if isinstance(record, MixedRecord):
        return Average(estimate, None, None, int(whole), profiles.kept is None)
    se = np.sqrt(np.maximum(np.einsum("gp,pq,gq->g", slope, inference.work, slope), 0.0)) / whole
    low, high = around(part.link, estimate, quantile(0.95, inference.common_df) * se)
    return Average(estimate, low, high, int(whole), profiles.kept is None)


def real(record: MixedRecord, profiles: Profiles, axis: Axis) -> Clusters:
    """Curves of the clusters of the first grouping at their predicted effects, those of other groupings at zero.

    Of more than 600 clusters, 200 evenly spaced by their first effect.
    """
    levels = record.design.mean.random[0].levels
    which = first_grouping(record.design)
    effects = np.hstack([by_cluster(record, t) for t in which])
    total = len(levels)
    if profiles.kept is not None:
        levels, effects = levels[profiles.kept], effects[profiles.kept]
    shown = np.arange(len(effects))
    if len(shown) > MOST_CURVES:
        ranked = np.argsort(effects[:, 0], kind="stable")
        shown = np.sort(ranked[np.linspace(0, len(shown) - 1, SAMPLE).round().astype(np.int64)])
    each, steps, change = _follow(record, profiles, axis, profiles.of, effects, shown, which)
    return Clusters("real", each, levels[shown], total, steps, change, most_ordinary(effects[shown]))


def draws(record: MixedRecord, profiles: Profiles, axis: Axis, seed: int) -> Clusters:
    """Curves of clusters drawn from b ~ N(0, sigma^2 T T') of every term; their other predictors are those of evenly spaced clusters."""
    terms, made = record.design.mean.random, record.roots
    root = np.sqrt(record.scale) if record.linear else 1.0
    normal = np.random.default_rng(seed).normal(size=(DRAWS, sum(len(t) for t in made)))
    ends = np.cumsum([len(t) for t in made])
    effects = np.hstack([root * u @ t.T for u, t in zip(np.split(normal, ends[:-1], axis=1), made, strict=True)])
    of = profiles.of[np.linspace(0, len(profiles.of) - 1, DRAWS).round().astype(np.int64)]
    each, steps, change = _follow(record, profiles, axis, of, effects, np.arange(DRAWS), range(len(terms)))
    return Clusters("draws", each, None, len(terms[0].levels), steps, change, most_ordinary(effects))


def first_grouping(design: Design) -> list[int]:
    """Positions of the terms of the first term's grouping."""
    terms = design.mean.random
    return [t for t, term in enumerate(terms) if term.group == terms[0].group]


def by_cluster(record: MixedRecord, index: int) -> Floats:
    """(J, k) predicted effects of each level; under ou the mean of those at its times."""
    term, effects = record.design.mean.random[index], record.effects[index]
    if term.cell_refs is None:
        return effects
    return np.asarray((np.bincount(term.cell_refs, effects[:, 0]) / np.bincount(term.cell_refs))[:, None])


def most_ordinary(effects: Floats) -> int:
    """The row of effects (J, k) that is nearest to the medians; the first of two that are equally near but for rounding."""
    spread_of = effects.std(axis=0)
    distance = (effects - np.median(effects, axis=0)) / np.where(spread_of == 0.0, 1.0, spread_of)
    return int(np.argmin(np.sum(distance**2, axis=1).round(6)))


def _follow(
    record: MixedRecord, profiles: Profiles, axis: Axis, of: Ints, effects: Floats, shown: Ints, terms: Iterable[int]
) -> tuple[Floats, Floats, tuple[float, float]]:
    """Curves of the clusters shown, and the extremes of the changes of all: cluster j has profile of[j] and effects[j] of the terms."""
    g = len(axis.x)
    each, keep = np.empty((len(shown), g)), np.full(len(of), -1)
    keep[shown] = np.arange(len(shown))
    steps, ends = np.array([np.full(g - 1, np.inf), np.full(g - 1, -np.inf)]), [np.inf, -np.inf]
    by_profile = np.argsort(of, kind="stable")
    for which, new in blocks(record, profiles, axis):
        columns = np.hstack([new.z[t] for t in terms])
        base, z = fixed(record, new).reshape(-1, g), columns.reshape(-1, g, effects.shape[1])
        first, last = np.searchsorted(of[by_profile], [which.start, which.start + len(base)])
        members = by_profile[first:last]
        for some in np.array_split(members, 1 + len(members) * g // ENTRIES):
            if not len(some):
                continue
            at = of[some] - which.start
            eta = base[at] + np.einsum("jgk,jk->jg", z[at], effects[some])
            step, change = np.diff(eta, axis=1), eta[:, -1] - eta[:, 0]
            steps = np.array([np.minimum(steps[0], step.min(axis=0)), np.maximum(steps[1], step.max(axis=0))])
            ends = [min(ends[0], float(change.min())), max(ends[1], float(change.max()))]
            drawn = keep[some] >= 0
            each[keep[some][drawn]] = mean(record.design.mean.link.kernel, eta[drawn].ravel())[0].reshape(-1, g)
    return each, steps, (ends[0], ends[1])
