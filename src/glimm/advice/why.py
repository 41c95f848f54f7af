"""Facts -> what they say before any question is asked: the family, whether rows belong together, how groupings lie to each other."""

from __future__ import annotations

from collections.abc import Iterator

from ..text import counted, figures
from .facts import Facts, Group
from .guess import LEAST_COUNT, LEAST_DISPERSION
from .records import Statement
from .words import exact, percent, separated, span

GRADES = 7


def common(facts: Facts) -> tuple[Statement, ...]:
    """Reasons that hold for every question."""
    return (*fit(facts), family(facts), *clusters(facts), *relations(facts))


def fit(facts: Facts) -> Iterator[Statement]:
    """Why the residuals cannot be looked at, or not in all rows."""
    if facts.exact or facts.separated:
        text, evidence = separated(facts) if facts.separated else exact(facts)
        what = "no residual is" if facts.exact else "their residuals are not"
        yield Statement("no_residual", f"{text}; {what} left to tell of clusters or time.", evidence)


def family(facts: Facts) -> Statement:
    """Why this family."""
    r, name = facts.response, facts.families["glm"]
    numbers = {"mean": r.mean, "low": r.low, "high": r.high, "distinct": r.distinct, "dispersion": r.dispersion}
    if name == "binomial":
        of = "trials" if r.kind == "trials" else "rows"
        numbers = {"events": r.events, "failures": r.failures, "share": r.mean}
        text = f"{r.event or r.name} in {r.events:.0f} of {r.events + r.failures:.0f} {of} ({percent(r.mean)})"
        how = "as named" if facts.given else "two outcomes"
        return Statement("family_given" if facts.given else "family_binomial", f"Family binomial, {how}: {text}.", numbers)
    if facts.given:
        text = f"Family {name}, as named: {r.name} runs from {span(r.low, r.high)}, mean {figures(r.mean, 3)}."
        other = facts.families["gee"]
        if facts.groups and other != name:
            text += (
                f" A GEE estimates no parameter of a family: it takes {other}, and estimates the factor by which rows vary more (here "
                f"{figures(r.dispersion, 3)} at first)."
            )
        return Statement("family_given", text, numbers)
    runs = f"{r.name} holds whole numbers from {span(r.low, r.high)}, mean {figures(r.mean, 3)}"
    if facts.families["gee"] == "poisson":
        varies = f"they vary {figures(r.dispersion, 3)} times as much as poisson counts of the same means"
        if facts.groups:
            numbers["within_dispersion"] = r.within_dispersion
            varies += f", and {figures(r.within_dispersion, 3)} times inside clusters"
        chosen = facts.families["glmm" if facts.groups else "glm"]
        text = f"{runs}; {varies}: counts, family {chosen}" + (
            " (a GEE estimates the factor and stays with poisson)." if facts.groups and chosen != "poisson" else "."
        )
        return Statement("family_counts" if chosen == "poisson" else "family_negative_binomial", text, numbers)
    if r.whole and r.low >= 0.0:
        why = (
            f"none is below {LEAST_COUNT:g}"
            if r.low >= LEAST_COUNT
            else f"they vary less than {LEAST_DISPERSION:g} times as much as counts"
        )
        grades = ""
        if facts.groups and r.distinct <= GRADES:
            grades = f' If its {r.distinct} values are ordered levels and no amounts, a GEE takes family="ordinal".'
        return Statement("family_gaussian", f"{runs}; {why}, so they are taken as measurements, family gaussian.{grades}", numbers)
    text = f"{r.name} holds {r.distinct} different numbers from {span(r.low, r.high)}: family gaussian."
    return Statement("family_gaussian", text, numbers)


def clusters(facts: Facts) -> Iterator[Statement]:
    """Which rows belong together, and how alike they are."""
    for g in facts.groups:
        if facts.exact:
            yield Statement("clusters", f"{counted(g.clusters, 'cluster')} of {g.name}, {sizes(g)}.", {"clusters": g.clusters})
            continue
        numbers = {"clusters": g.clusters, "correlation": g.correlation, "z": g.z, "pairs": g.pairs, "constant": g.constant}
        yield Statement(
            "dependence",
            f"{counted(g.clusters, 'cluster')} of {g.name}, {sizes(g)}: residuals of two rows of one cluster correlate by "
            f"{figures(g.correlation, 2)} ({counted(g.pairs, 'pair')}, z = {figures(g.z, 3)} against independence){stays(facts, g)}.",
            numbers,
        )
    for name, term in facts.fixed.items():
        yield Statement(
            "clusters_in_formula",
            f"{term} is among the predictors, which have {counted(facts.p, 'coefficient')}: {name} is left out of the random effects.",
            {"coefficients": facts.p},
        )
    if facts.groups:
        for name in facts.own:
            yield Statement("row_per_cluster", f"{name} has a level for each of the {facts.n} rows: it is left out.", {"rows": facts.n})
        for name, other in facts.double.items():
            count = facts.group(other).clusters
            yield Statement(
                "same_clusters", f"{name} makes the same {count} clusters as {other}: one of them is enough.", {"clusters": count}
            )


def sizes(g: Group) -> str:
    """Rows per cluster in words."""
    return f"{counted(g.smallest, 'row')} each" if g.balanced else f"{g.smallest} to {g.largest} rows each, median {g.median:g}"


def stays(facts: Facts, g: Group) -> str:
    """Clusters in which a binary response is the same in all rows."""
    if facts.response.kind != "binary":
        return ""
    return f"; in {g.constant} of the {g.clusters - g.single} clusters of two rows or more {facts.response.name} never changes"


def relations(facts: Facts) -> Iterator[Statement]:
    """Nested and crossed groupings."""
    for g in facts.groups:
        for name in g.within:
            outer = facts.group(name)
            yield Statement(
                "nested",
                f"{g.name} lies inside {name}: each of its {g.clusters} clusters belongs to one of {outer.clusters}.",
                {g.name: g.clusters, name: outer.clusters},
            )
    for c in facts.crossings:
        a, b = facts.group(c.first), facts.group(c.second)
        yield Statement(
            "crossed",
            f"{a.name} and {b.name} cross: {c.cells} of {a.clusters} x {b.clusters} combinations occur.",
            {a.name: a.clusters, b.name: b.clusters, "cells": c.cells},
        )
