"""When a number is large enough to be acted on: one function per question that is asked of the facts.

A z statistic counts from 3 on (1 in 370 by chance), and is shown.
"""

from __future__ import annotations

from collections.abc import Iterator

from .facts import Facts, Group, Predictor

CERTAIN = 3.0
UNSEEN = 2.0
ROBUST_CLUSTERS = 40
CORRECTED = "mancl_derouen"
VARIANCE_CLUSTERS = 10
CLUSTERS_FOR_Z = 10
CLEARLY_BETTER = 4.0
SLOPES_P = 0.01
ROWS_FOR_SLOPES = 5.0
VARIES = 0.05
PLANNED_OCCASIONS = 100
AR1_OCCASIONS = 20


def linear(facts: Facts) -> bool:
    """Gaussian with identity link: an LMM."""
    return facts.link == "identity" and facts.families["glmm"] == "gaussian"


def informative_size(g: Group) -> bool:
    """Whether large clusters have other outcomes than small ones."""
    return not g.balanced and g.clusters >= CLUSTERS_FOR_Z and abs(g.size_z) > CERTAIN


def dropout_matters(facts: Facts) -> bool:
    """Whether clusters that end early differed before they did."""
    return facts.dropout is not None and abs(facts.dropout.z) > CERTAIN


def correctable(facts: Facts, g: Group) -> bool:
    """Whether the robust errors of a GEE need a correction for few clusters, and there are enough for one."""
    return facts.p < g.clusters < ROBUST_CLUSTERS


def falling(facts: Facts) -> bool:
    """Whether correlations fall with distance in time, and not by chance."""
    p = facts.pattern
    return p is not None and facts.lags[0].correlation > 0.0 and p.gain > CLEARLY_BETTER


def varying_slopes(facts: Facts) -> tuple[tuple[Predictor, Group], ...]:
    """Predictors whose slopes differ between the clusters of a grouping, the most certain first."""
    tested = [(x, name, f, p) for x in facts.predictors for name, (f, p) in x.slopes.items()]
    found = [test for test in tested if test[3] < SLOPES_P / len(tested)]
    return tuple((x, facts.group(name)) for x, name, _, _ in sorted(found, key=lambda test: (test[3], -test[2])))


def unchanging(facts: Facts) -> tuple[Group, ...]:
    """Groupings in none of whose clusters the response changes."""
    return tuple(g for g in facts.groups if g.constant == g.clusters - g.single > 0)


def hardly_changing(facts: Facts) -> Iterator[Group]:
    """Groupings in few of whose clusters a binary response changes."""
    for g in facts.groups:
        several = g.clusters - g.single
        if facts.response.kind == "binary" and 0 < several - g.constant < min(CLUSTERS_FOR_Z, VARIES * several):
            yield g


def between_and_within(facts: Facts) -> tuple[Predictor, ...]:
    """Predictors whose cluster means add to the model; not the time, whose means only say who was there until when."""
    many = facts.main is not None and facts.main.clusters >= CLUSTERS_FOR_Z
    time = None if facts.times is None else facts.times.name
    return tuple(x for x in facts.predictors if many and abs(x.context_z) > CERTAIN and x.name != time)


def cluster_level_only(facts: Facts) -> bool:
    """Whether no predictor varies inside any cluster."""
    return bool(facts.groups and facts.predictors) and all(share == 0.0 for x in facts.predictors for share in x.within.values())
