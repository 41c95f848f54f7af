"""Clusters: sizes that carry information, predictors that mean one thing inside them and another between, outlying ones, time.

Within and between: y ~ x + mean of x in the cluster; the first coefficient is the one inside clusters, their sum the one between.
Source: Mundlak (1978), Econometrica 46, 69-85; Neuhaus and Kalbfleisch (1998), Biometrics 54, 638-645.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from statistics import NormalDist

import numpy as np

from ..covariance.correlated import CORRELATED
from ..design.coordinates import to_named
from ..design.predictors import as_levels
from ..design.records import Design, RandomTerm
from ..errors import GlimmError
from ..estimators.control import Control
from ..estimators.glm import fit_glm
from ..inference.glm_covariance import cluster_work
from ..kernels import positive_definite
from ..kernels.matrix import Block, Floats, Matrix
from ..records import GeeRecord, GlmRecord
from ..text import counted, figures, listed
from . import measure
from .correlation import correlation
from .few import few, leverage
from .findings import Finding
from .sight import MOST_CELLS, Sight

CERTAIN = 3.9
CLUSTERS = 10
VARIES = 0.05
OUTLYING = 2e-4
MOST_SHOWN = 5
MOVED = 2.5
LEVELS = 8


def clusters(sight: Sight) -> Iterator[Finding]:
    """Findings about clusters; nothing where there are none."""
    if sight.clusters is None:
        return
    yield from few(sight)
    yield from gaps(sight)
    if sight.usable:
        yield from sizes(sight)
        yield from within_between(sight)
        yield from outlying(sight)
        yield from leverage(sight)
    if isinstance(sight.record, GeeRecord):
        yield from correlation(sight)


def sizes(sight: Sight) -> Iterator[Finding]:
    """Clusters whose size goes with their outcome."""
    assert sight.clusters is not None
    count = sight.clusters.sizes
    if len(count) < CLUSTERS or count.min() == count.max() or sight.marginal is None:
        return
    correlation, z = measure.size_relation(sight.marginal.pearson, sight.codes)
    if not abs(z) > CERTAIN:
        return
    which = "higher" if z > 0 else "lower"
    yield Finding(
        "informative_cluster_size",
        "warning",
        f"Clusters of {sight.clusters.name} with more rows have {which} outcomes than the predictors say (sizes {int(count.min())} to "
        f"{int(count.max())}; correlation of size and mean residual {figures(correlation, 2)}, z = {figures(z, 3)}).",
        "An average over rows is not an average over clusters: GLM and GEE with an independence correlation estimate the first, a mixed "
        "model neither quite, and its random effects are not independent of the sizes.",
        "Say which average is meant. For clusters, weight each row by one over the size of its cluster (glimm.glm or glimm.gee, "
        'corr="independence"); or add the size as a predictor.',
        {"correlation": correlation, "z": z, "smallest": int(count.min()), "largest": int(count.max())},
        min(abs(z), 100.0) / 100.0,
    )


def within_between(sight: Sight) -> Iterator[Finding]:
    """Predictors whose cluster means tell more than their values."""
    assert sight.clusters is not None
    design, part = sight.record.design, sight.record.design.mean
    if sight.marginal is None or len(sight.clusters.levels) < CLUSTERS or design.n * part.matrix.p > MOST_CELLS:
        return
    columns = context(sight)
    if not columns:
        return
    names, means = list(columns), np.stack(list(columns.values()), axis=1)
    _, d1, w = sight.marginal
    extra = residual_columns(sight, means, w)
    fine = [
        j
        for j, name in enumerate(names)
        if float(extra[:, j] @ extra[:, j]) > 1e-8 * float(np.sum((means[:, j] - means[:, j].mean()) ** 2)) and name
    ]
    size = len(sight.clusters.levels)
    for j in fine:
        scores = np.bincount(sight.codes, extra[:, j] * d1, minlength=size)
        z = float(scores.sum()) / float(np.sqrt(max(float(scores @ scores), 1e-300)))
        if abs(z) > CERTAIN:
            found = decomposed(sight, names[j], means[:, j])
            if found is not None:
                yield found


def context(sight: Sight) -> dict[str, Floats]:
    """Numeric columns that vary inside clusters and between them -> their cluster means by row; not the time."""
    design, part = sight.record.design, sight.record.design.mean
    taken, count = as_levels(design), np.maximum(np.bincount(sight.codes), 1)
    out = {}
    for block in part.matrix.blocks:
        j = int(block.positions[0])
        if block.values is None or block.codes is not None or j == part.intercept or part.names[j] in taken or ":" in part.names[j]:
            continue
        share = measure.within_share(block.values, sight.codes)
        if VARIES <= share <= 1.0 - VARIES and not is_time(sight, block.values):
            out[part.names[j]] = (np.bincount(sight.codes, block.values) / count)[sight.codes]
    return out


def is_time(sight: Sight, x: Floats) -> bool:
    """Whether a column is the order of rows in their clusters, whose mean only says who was there until when."""
    assert sight.clusters is not None
    if sight.clusters.time is not None and np.array_equal(sight.clusters.time, x):
        return True
    step, codes = np.diff(x[sight.clusters.order]), np.diff(sight.codes[sight.clusters.order])
    inside = step[codes == 0]
    return bool(len(inside)) and bool((inside > 0.0).all()) and len(np.unique(x)) <= 2 * int(sight.clusters.sizes.max())


def residual_columns(sight: Sight, means: Floats, w: Floats) -> Floats:
    """(n, m) cluster means less their weighted projection on the model matrix."""
    part = sight.record.design.mean
    x = (part.matrix.dense() - part.center) / part.scale
    gram = (x * w[:, None]).T @ x
    if not positive_definite(gram):
        return np.zeros_like(means)
    centred = means - means.mean(axis=0)
    return np.asarray(centred - x @ np.linalg.solve(gram, (x * w[:, None]).T @ centred))


def decomposed(sight: Sight, name: str, means: Floats) -> Finding | None:
    """The coefficient inside clusters and the one between them, from the GLM with the cluster mean beside the predictor."""
    assert sight.clusters is not None
    design = with_column(sight.record.design, f"mean of {name}", means)
    try:
        wider = fit_glm(design, sight.record.family, Control())
    except GlimmError:
        return None
    a = to_named(design.mean)
    cov = a @ cluster_work(wider, sight.clusters) @ a.T
    j, k = design.mean.names.index(name), len(design.mean.names) - 1
    beta = wider.vector[: k + 1]
    inside, between = float(beta[j]), float(beta[j] + beta[k])
    errors = float(np.sqrt(cov[j, j])), float(np.sqrt(max(cov[j, j] + cov[k, k] + 2.0 * cov[j, k], 0.0)))
    z = float(beta[k] / np.sqrt(cov[k, k])) if cov[k, k] > 0.0 else np.nan
    if not abs(z) > CERTAIN:
        return None
    column, clusters = f"{name}_mean", sight.clusters.name
    add = f"data[{column!r}] = data.groupby({clusters!r})[{name!r}].transform('mean'): "
    if name not in sight.record.design.spec.variables or ":" in clusters:
        column, add = f"the mean of {name}", f"the mean of {name} in each level of {clusters}: "
    return Finding(
        "within_between",
        "warning",
        f"{name} has the coefficient {figures(inside, 3)} (standard error {figures(errors[0], 2)}) inside clusters of "
        f"{sight.clusters.name} and {figures(between, 3)} ({figures(errors[1], 2)}) between their means (z of the difference "
        f"{figures(z, 3)}; population averages with robust errors).",
        f"One coefficient of {name} mixes the two, by weights that depend on the model: it is neither the effect of changing {name} in one "
        "cluster nor the difference of clusters. In a mixed model the random effects are not independent of it.",
        f"Add the cluster mean as a predictor, {add}the coefficient of {name} is then the one inside clusters, "
        f"that of {column} the difference of the two.",
        {"term": name, "within": inside, "between": between, "within_error": errors[0], "between_error": errors[1], "z": z},
        min(abs(z), 100.0) / 100.0,
    )


def with_column(design: Design, name: str, values: Floats) -> Design:
    """The design with one more column, without random terms."""
    part = design.mean
    p = part.matrix.p
    matrix = Matrix(part.matrix.n, p + 1, (*part.matrix.blocks, Block(np.array([p]), np.ascontiguousarray(values))))
    center = 0.0 if part.intercept is None else float(values.mean())
    scale = float(np.sqrt(np.mean((values - center) ** 2)))
    wider = replace(
        part,
        matrix=matrix,
        names=(*part.names, name),
        center=np.append(part.center, center),
        scale=np.append(part.scale, scale if scale > 0.0 else 1.0),
        random=(),
    )
    return replace(design, parts={**design.parts, "mean": wider})


def outlying(sight: Sight) -> Iterator[Finding]:
    """Levels whose predicted effects are further out than so many normal ones would be; clusters that move a coefficient."""
    for k, term in enumerate(sight.terms):
        yield from outlying_levels(sight, k, term)
    if not sight.terms:
        yield from moving(sight)


def outlying_levels(sight: Sight, k: int, term: RandomTerm) -> Iterator[Finding]:
    """z = b / sqrt(Var b - Var(b | y)), the spread that predictions have. Beckman and Trussell (1974), JASA 69, 199-201 (a z among few)."""
    record = sight.mixed
    if record is None or sight.posterior is None or term.times is not None or term.structure in CORRELATED:
        return
    root = record.roots[k]
    variance = np.einsum("ab,ab->a", root, root) * (record.scale if record.linear else 1.0)
    spread = variance - np.einsum("jaa->ja", sight.posterior[k])
    z = np.where(spread > 1e-6 * variance, record.effects[k] / np.sqrt(np.where(spread > 0.0, spread, 1.0)), 0.0)
    limit = largest_effect(z.size, len(term.levels))
    far = np.argwhere(np.abs(z) > limit)
    if not len(far):
        return
    far = far[np.argsort(-np.abs(z[far[:, 0], far[:, 1]]))]
    names = [
        f"{term.levels[j]} ({term.names[a]} {figures(float(record.effects[k][j, a]), 3)}, z = {figures(float(z[j, a]), 2)})" for j, a in far
    ]
    yield Finding(
        "outlying_clusters",
        "warning",
        f"{counted(len(far), 'effect')} of {term.group} {'is' if len(far) == 1 else 'are'} further out than {z.size} normal ones would "
        f"be: {listed(names[:MOST_SHOWN])}{' and more' if len(names) > MOST_SHOWN else ''}.",
        f"The variance of {term.group} is larger because of {'it' if len(far) == 1 else 'them'}, and other levels are shrunk less; "
        "coefficients of predictors that differ between clusters may follow them.",
        f"Look at these levels; fit.influence(by={term.group!r}) says how far the estimates move without each.",
        {"group": term.group, "levels": [str(term.levels[j]) for j, _ in far], "z": [float(z[j, a]) for j, a in far], "limit": limit},
        0.4,
    )


def largest_effect(effects: int, count: int) -> float:
    """The |z| that one of so many effects reaches by a chance of `OUTLYING`, its own level being in the variance that it is measured by.

    t^2 = z^2 (m - 1) / (m - z^2) on m - 1 degrees of freedom, m = levels - 1; the normal limit for few levels.
    """
    from scipy.special import stdtrit

    tail, m = 0.5 * OUTLYING / max(effects, 1), count - 1.0
    if count < LEVELS:
        return -NormalDist().inv_cdf(tail)
    t = float(stdtrit(m - 1.0, tail))
    return float(np.sqrt(t * t * m / (m - 1.0 + t * t)))


def moving(sight: Sight) -> Iterator[Finding]:
    """Clusters of a GEE or a GLM with robust errors of which one moves a coefficient by more than a standard error."""
    record = sight.record
    assert sight.clusters is not None
    if not isinstance(record, GeeRecord | GlmRecord) or not np.isfinite(record.bread).all() or len(sight.clusters.levels) < CLUSTERS:
        return
    if not record.family.orthogonal:
        return
    scores = influence_scores(sight)
    moved = scores @ record.bread
    errors = np.sqrt(np.einsum("ij,ij->j", moved, moved))
    share = np.abs(moved) / np.where(errors > 0.0, errors, 1.0)
    j, a = np.unravel_index(int(np.argmax(share)), share.shape)
    others = np.sqrt(np.maximum(errors[a] ** 2 - moved[j, a] ** 2, 0.0))
    if not abs(moved[j, a]) > MOVED * others:
        return
    yield Finding(
        "outlying_clusters",
        "warning",
        f"Without cluster {sight.clusters.levels[j]} of {sight.clusters.name} the coefficient of {record.design.mean.names[a]} would move "
        "by "
        f"{figures(float(abs(moved[j, a]) / max(others, 1e-300)), 3)} of the standard errors that the other clusters give it.",
        "The estimate and its robust standard error rest on one cluster.",
        f"Look at this cluster; report the fit with and without it. fit.influence(by={sight.clusters.name!r}) lists all.",
        {"levels": [str(sight.clusters.levels[j])], "term": record.design.mean.names[a]},
        0.4,
    )


def influence_scores(sight: Sight) -> Floats:
    """(K, p) scores of the clusters."""
    from ..estimators import gee as gee_estimator
    from ..estimators import glm as glm_estimator

    assert sight.clusters is not None
    if isinstance(sight.record, GeeRecord):
        return np.concatenate([u for _, u in gee_estimator.pieces(sight.record, sight.clusters.name)])
    assert isinstance(sight.record, GlmRecord)
    return np.concatenate([u for _, u in glm_estimator.pieces(sight.record, sight.clusters)])


def gaps(sight: Sight) -> Iterator[Finding]:
    """Times that the working correlation or the structure takes for equally spaced."""
    record = sight.record
    if isinstance(record, GeeRecord) and record.corr == "ar1" and record.moments != "gee":
        yield from gee_gaps(sight, record)
    for term in sight.terms:
        if term.structure in ("ar1", "toep"):
            yield from uneven_levels(term)


def gee_gaps(sight: Sight, record: GeeRecord) -> Iterator[Finding]:
    """ar1 in row order where clusters lost rows, or where they have different sizes and no time says which are missing."""
    assert sight.clusters is not None
    count, time = sight.clusters.sizes, sight.clusters.time
    if time is None and count.min() < count.max():
        loss = record.design.missing.by_cluster.get(sight.clusters.name)
        lost = 0 if loss is None else loss.shortened
        yield Finding(
            "rows_taken_as_neighbours",
            "warning",
            f"ar1 takes the rows of a cluster as 1, 2, 3, ... in the order of the data; clusters have {int(count.min())} to "
            f"{int(count.max())} rows"
            + (f", and {counted(lost, 'cluster')} lost rows with missing values" if lost else "")
            + ": a row after a gap counts as the neighbour of the one before it.",
            "The working correlation is too low where rows are missing inside a cluster. Coefficients stay valid with robust errors, but "
            "are less precise; model-based errors are wrong.",
            "Give the occasions: time='column'.",
            {"smallest": int(count.min()), "largest": int(count.max()), "shortened": lost},
        )
    elif time is not None:
        ordered, codes = time[sight.clusters.order], sight.codes[sight.clusters.order]
        step = np.diff(ordered)[np.diff(codes) == 0]
        if len(step) and step.max() > 1.0 + 1e-9 + 0.0 and not np.all(step == step[0]):
            wide = int(np.sum(step > step.min() * (1.0 + 1e-9)))
            yield Finding(
                "time_gaps",
                "note",
                f"{wide} of {len(step)} neighbouring rows of a cluster are further apart than the closest ones "
                f"({figures(float(step.min()), 3)} "
                f"to {figures(float(step.max()), 3)}).",
                "None for the correlation, which falls with the distance in time, alpha^|t - t'|.",
                "Check that a gap is a missed occasion and no mistake in the times.",
                {"wide": wide, "neighbours": len(step), "smallest": float(step.min()), "largest": float(step.max())},
            )


def uneven_levels(term: RandomTerm) -> Iterator[Finding]:
    """Numbers as occasions that are not equally spaced."""
    times = level_numbers(term)
    if times is None or len(times) < 3:
        return
    step = np.diff(times)
    if np.allclose(step, step[0], rtol=1e-6):
        return
    column = next(iter(term.spec.factors.values())).variables[0]
    yield Finding(
        "occasions_not_equally_spaced",
        "warning",
        f"{term.structure} takes the levels {listed([f'{t:g}' for t in times])} of {column} as equally spaced occasions; they are "
        f"{figures(float(step.min()), 3)} to {figures(float(step.max()), 3)} apart.",
        "The correlation falls with the number of occasions between two rows and not with the time between them.",
        f"Where time matters write ou(0 + {column} | {term.group}), whose correlation falls with the distance. Where only the order "
        "matters, nothing.",
        {"times": times.tolist()},
    )


def level_numbers(term: RandomTerm) -> Floats | None:
    """The levels of the factor on the left side as numbers, in their order; None where they are none."""
    if term.spec is None or len(term.spec.factors) != 1:
        return None
    factor = next(iter(term.spec.factors.values()))
    try:
        found = np.array([float(level) for level in factor.levels])
    except (TypeError, ValueError):
        return None
    return found if len(found) == len(term.names) else None
