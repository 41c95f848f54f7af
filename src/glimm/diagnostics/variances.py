"""Random effects: variances of zero, correlations at their limits, slopes and levels that say little of them.

A variance of zero or a correlation of one is an estimate at the edge of what it can be; the profile of -2 log L says what else it may be.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from ..covariance.layout import Curve
from ..design.records import RandomTerm
from ..errors import GlimmError
from ..estimators.ending import at_limit, lost_rank
from ..estimators.held import Held, profile, refitted, upper_limit
from ..estimators.lmm import own_effects
from ..kernels.matrix import Floats
from ..records import MixedRecord
from ..text import counted, figures, listed, sized
from . import measure
from .findings import Finding
from .sight import Sight
from .simpler import as_predictor, bar_of, independent, shown, swapped, without_effects

RISE = 3.84
FEW_LEVELS = 5
VARYING_LEVELS = 5
LITTLE = 0.02
SINGLE = 0.5
NOTHING = 1e-3
HUGE = {"logit": 6.0, "probit": 3.5, "cloglog": 5.0, "loglog": 5.0}


def variances(sight: Sight) -> Iterator[Finding]:
    """Findings about the random terms."""
    record = sight.mixed
    if record is None:
        return
    for k, term in enumerate(sight.terms):
        largest = int(sight.sizes(term).max())
        if largest == 1 and sight.binary:
            yield observation_effect(sight, term)
        elif largest <= len(term.names) and sight.binary and term.structure in ("us", "diag"):
            yield more_effects_than_rows(sight, term, largest)
        else:
            yield from boundary(sight, record, k)
            yield from rows_of_levels(sight, term)
            yield from slopes(sight, term)
        yield from levels(sight, term)
    yield from constant_outcomes(sight, record)


def boundary(sight: Sight, record: MixedRecord, k: int) -> Iterator[Finding]:
    """A covariance matrix that has lost rank."""
    term, shape, root = record.design.mean.random[k], record.layouts[k], record.roots[k]
    if shape.rank < shape.k:
        lost = lost_rank(root, term)
        if lost.kind == "variance":
            yield zero_variance(sight, record, k, [name.removeprefix(f"{term.group}.") for name in lost.names])
        elif lost.kind == "correlation":
            yield perfect_correlation(sight, record, term, lost.said)
        else:
            yield reduced_rank(sight, term, lost.said)
    if isinstance(shape, Curve) and shape.at_limit.any():
        said, names = at_limit(shape, term)
        yield Finding(
            "correlation_at_limit",
            "warning",
            f"{said[0].upper()}{said[1:]}.",
            "The correlation has no standard error, and the log-likelihood is that of a model with fewer parameters.",
            f"Fit a simpler structure, such as a random intercept: {swapped(record.design, term, _plain(record, term))!r}.",
            {"parameters": list(names), **_counts(sight, term)},
            1.0,
        )


def _plain(record: MixedRecord, term: RandomTerm) -> str:
    bar = bar_of(record.design, term)
    return f"(1 | {bar.group})"


def _counts(sight: Sight, term: RandomTerm) -> dict[str, float]:
    sizes = sight.sizes(term)
    return {"levels": len(sizes), "smallest": int(sizes.min()), "median": float(np.median(sizes)), "largest": int(sizes.max())}


def zero_variance(sight: Sight, record: MixedRecord, k: int, effects: list[str]) -> Finding:
    """Which variance is zero, what else it may be, and the model without it."""
    term = record.design.mean.random[k]
    sizes = sight.sizes(term)
    simpler = without_effects(record.design, term, [name for name in effects if name in term.names] or list(term.names))
    evidence = _counts(sight, term) | {"effects": effects}
    limit = upper(record, k, effects)
    told = ""
    if limit is not None:
        evidence |= {"upper_limit": limit.sd, "rise": limit.rise}
        told = (
            f" By its profile it may be up to {figures(limit.sd, 3)} as a standard deviation (-2 log L higher by {figures(limit.rise, 2)})."
        )
    which = listed([f"{term.group}.{name}" for name in effects])
    return Finding(
        "zero_variance",
        "warning",
        f"The estimated variance of {which} is zero ({counted(len(sizes), 'level')}, {sized(sizes)}): these levels differ no more "
        f"than chance within them explains.{told}",
        "Estimates and their standard errors are those of the model without it; this is an estimate at its edge and no failure of the "
        "search.",
        f"Report it as it is, or fit the simpler model, which fits these data as well: {shown(simpler)}.",
        evidence,
        1.0,
        told=record.solution.code == "boundary",
    )


def upper(record: MixedRecord, k: int, effects: list[str]) -> Held | None:
    """The largest sd of a single effect that the profile allows at 95 %; None where the search took probes: a profile is exact searches."""
    term = record.design.mean.random[k]
    if len(effects) != 1 or effects[0] not in term.names or record.solution.code != "boundary" or record.stochastic is not None:
        return None
    c = term.names.index(effects[0])
    found = profile(record, k, c)
    if found is None:
        return None
    size = float(np.sqrt(np.mean(term.z[:, c] ** 2)))
    rows = len(term.refs) / len(term.levels)
    guess = np.sqrt(record.scale / rows) if record.linear else 0.5
    return upper_limit(found, float(guess) / max(size, 1e-300), RISE)


def perfect_correlation(sight: Sight, record: MixedRecord, term: RandomTerm, said: str) -> Finding:
    """A correlation of +-1, and what independent effects would cost."""
    evidence = dict(_counts(sight, term))
    other = independent(record.design, term)
    cost = None
    if term.structure == "us":
        cost = cost_of(record, term)
    told = ""
    if cost is not None:
        evidence["cost"] = cost
        told = f" Independent effects raise -2 log L by {figures(cost, 3) if cost >= NOTHING else f'less than {NOTHING:g}'}."
    sizes = sight.sizes(term)
    return Finding(
        "perfect_correlation",
        "warning",
        f"{said[0].upper()}{said[1:]} ({counted(len(sizes), 'level')}, {sized(sizes)}, for {counted(len(term.names), 'effect')} "
        f"each).{told}",
        "The covariance matrix of the effects is singular: one effect is drawn as a multiple of another. The coefficients may be used; the "
        "correlation has no standard error.",
        f"Fit {other}, or fewer of them, {shown(without_effects(record.design, term, list(term.names[-1:])))}.",
        evidence,
        1.0,
        told=record.solution.code == "boundary",
    )


def cost_of(record: MixedRecord, term: RandomTerm) -> float | None:
    """By how much -2 log L rises with independent effects in one term; None where they cannot be fitted, or the search took probes."""
    if record.stochastic is not None:
        return None
    apart = replace(
        term,
        structure="diag",
        intercept=None,
        center=np.zeros(len(term.names)),
        scale=np.sqrt(np.mean(term.z**2, axis=0)),
        mix=np.eye(len(term.names)),
    )
    try:
        other = refitted(record, tuple(apart if t is term else t for t in record.design.mean.random))
    except GlimmError:
        return None
    return max(2.0 * (record.llf - other.llf), 0.0) if other.points == record.points else None


def reduced_rank(sight: Sight, term: RandomTerm, said: str) -> Finding:
    """A covariance matrix of three effects or more that has lost rank without a pair that shows it."""
    return Finding(
        "covariance_without_full_rank",
        "warning",
        f"{said[0].upper()}{said[1:]}.",
        "Some combination of the effects does not vary between levels. The coefficients may be used; correlations have no standard errors.",
        f"Fit {independent(sight.record.design, term)}, or fewer of them.",
        _counts(sight, term),
        1.0,
    )


def observation_effect(sight: Sight, term: RandomTerm) -> Finding:
    """An effect for every row of 0 and 1."""
    n = sight.record.design.n
    return Finding(
        "observation_effect_of_binary",
        "error",
        f"Each of the {len(term.levels)} levels of {term.group} has 1 row, and the response is 0 or 1: {n} rows, {len(term.levels)} "
        "levels, "
        "0 levels in which the response could differ from itself.",
        "A 0 or 1 has no variance beside its mean, so nothing in the data tells the variance of these effects: it only rescales the "
        "coefficients, and every value of it fits about equally well.",
        f"Leave the term out: {swapped(sight.record.design, term, '')!r}. Such effects have a meaning for counts and for successes / "
        "trials.",
        {"rows": n, "levels": len(term.levels), "levels_with_two_rows": 0},
        3.0,
    )


def more_effects_than_rows(sight: Sight, term: RandomTerm, largest: int) -> Finding:
    """As many effects as rows in every level of a binary response."""
    k, count = len(term.names), len(term.levels)
    return Finding(
        "more_effects_than_rows",
        "error",
        f"None of the {count} levels of {term.group} has more rows ({largest} at most) than the {k} effects that each gets, "
        f"{listed(term.names)}, and the response is 0 or 1.",
        f"{counted(largest, 'outcome')} of 0 or 1 cannot show {k} effects: their variances and correlations rest on the assumed normal "
        "shape "
        "alone. Signs of it are a Hessian that is not positive definite, correlations of +-1 and variances of zero or without end.",
        f"Fit fewer effects: {shown(without_effects(sight.record.design, term, [n for n in term.names if n != 'Intercept'][:1]))}.",
        {"levels": count, "largest": largest, "effects": list(term.names)},
        2.9,
    )


def rows_of_levels(sight: Sight, term: RandomTerm) -> Iterator[Finding]:
    """Levels with one row."""
    sizes = sight.sizes(term)
    single = int(np.sum(sizes == 1))
    if single <= SINGLE * len(sizes) or (single == len(sizes) and not sight.linear) or own_effects(term):
        return
    yield Finding(
        "levels_of_one_row",
        "warning",
        f"{single} of the {len(sizes)} levels of {term.group} have 1 row: what the rows of a level share shows in the other "
        f"{len(sizes) - single} only.",
        f"The variances of {term.group} rest on {len(sizes) - single} levels.",
        f"Take this number as the number of clusters behind these variances; if it is small, leave {term.group} out or use a coarser "
        "grouping.",
        {"levels": len(sizes), "single": single},
    )


def levels(sight: Sight, term: RandomTerm) -> Iterator[Finding]:
    """Few levels for a variance."""
    if len(term.levels) >= FEW_LEVELS:
        return
    yield Finding(
        "few_levels",
        "warning",
        f"{term.group} has {len(term.levels)} levels: a variance between levels rests on {counted(len(term.levels) - 1, 'degree')} of "
        "freedom.",
        "The variance is hardly known, and standard errors of predictors that differ between levels are too small.",
        f"Make it a predictor, {as_predictor(sight.record.design, term)!r}, which compares rows inside these levels.",
        {"levels": len(term.levels)},
    )


def slopes(sight: Sight, term: RandomTerm) -> Iterator[Finding]:
    """Random slopes of predictors that hardly vary inside the levels."""
    if term.structure not in ("us", "diag") or "Intercept" not in term.names:
        return
    for c, name in enumerate(term.names):
        if name == "Intercept":
            continue
        share = measure.within_share(term.z[:, c], term.refs)
        varying = varying_levels(term.z[:, c], term.refs, len(term.levels))
        if share >= LITTLE and varying >= min(VARYING_LEVELS, len(term.levels)):
            continue
        yield Finding(
            "slope_without_variation",
            "error" if varying == 0 else "warning",
            f"{name} varies inside {varying} of the {len(term.levels)} levels of {term.group} ({100.0 * share:.1f} % of its variation is "
            f"inside levels): {'the data hardly show a slope in any one level' if varying else 'no level can show a slope of its own'}.",
            f"The variance of the slope of {name} and its correlation with other effects are not told by slopes: they say at most how the "
            "spread between levels changes with it.",
            f"Leave the random slope out: {shown(without_effects(sight.record.design, term, [name]))}.",
            {"within_share": share, "varying_levels": varying, "levels": len(term.levels)},
            0.5,
        )


def varying_levels(x: Floats, refs: np.ndarray, count: int) -> int:
    """Levels in which x has more than one value."""
    low, high = np.full(count, np.inf), np.full(count, -np.inf)
    np.minimum.at(low, refs, x)
    np.maximum.at(high, refs, x)
    return int(np.sum(high - low > 1e-12 * np.maximum(np.abs(low), np.abs(high))))


def constant_outcomes(sight: Sight, record: MixedRecord) -> Iterator[Finding]:
    """A binary response that hardly changes inside clusters: the variance between them has no upper end."""
    link = record.design.mean.link.name
    if not sight.binary or sight.clusters is None or link not in HUGE:
        return
    sizes = sight.clusters.sizes
    several = int(np.sum(sizes > 1))
    constant = measure.constant_clusters(record.design.y, sight.codes)
    largest = sight.largest_sd
    if several == 0 or (constant < several and largest < HUGE[link]):
        return
    changing = several - constant
    yield Finding(
        "outcome_constant_in_clusters",
        "error" if changing == 0 else "warning",
        f"The response changes inside {changing} of the {several} clusters of {sight.clusters.name} with more than one row; the largest "
        f"standard deviation between clusters is {figures(largest, 3)} on the scale of the {link}.",
        "The likelihood rises, or is flat, as the variance between clusters grows: it and the conditional coefficients, which grow with "
        f"it, rest on {'the few clusters that change' if changing else 'the assumed normal shape alone'}.",
        "If the response belongs to the whole cluster, keep one row of each and fit glimm.glm; for averages over the population fit "
        f'glimm.gee(..., groups="{sight.clusters.name}").',
        {"changing": changing, "clusters": several, "largest_sd": largest},
        1.0,
    )
