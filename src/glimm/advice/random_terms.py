"""Which random effects a mixed model starts with: intercepts, and a slope that the data show to differ between clusters.

F = (slopes' sum of squares / df) / (residual, or slopes of inner clusters); written where p < 0.01 / tests.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..text import figures, listed
from . import flags
from .facts import Facts, Group, Predictor
from .records import Statement
from .words import levels_of, percent, quoted, small, ticked


def random_terms(facts: Facts) -> tuple[list[str], list[str], list[Statement]]:
    """Terms of the formula, each in words, and reasons: the formula's own, with an intercept for each other grouping."""
    kept = [text for text, name in facts.bars.items() if name in {g.name for g in facts.groups}]
    if kept:
        terms = [*kept, *(f"(1 | {quoted(g)})" for g in facts.groups if g.name not in facts.bars.values())]
        return terms, terms, [given(facts, kept), *candidates_for_slopes(facts, None)]
    slopes = flags.varying_slopes(facts)
    x, steep = slopes[0] if slopes else (None, None)
    terms, words = [], []
    for g in facts.groups:
        sloped = x is not None and g is steep
        terms.append(f"(1 + {ticked(x.name)} | {quoted(g)})" if x is not None and sloped else f"(1 | {quoted(g)})")
        words.append(f"{'random slopes' if sloped else 'a random intercept'} of {g.name}")
    reasons = [random_slope(x, steep, facts)] if x is not None and steep is not None else []
    others = tuple(g for g in facts.groups if g is not steep)
    if others:
        reasons.append(random_intercepts(others))
    return terms, words, [*reasons, *candidates_for_slopes(facts, slopes[0] if slopes else None)]


def only_intercepts(terms: list[str]) -> bool:
    """Whether no term has a slope or a structure."""
    return all(term.partition("|")[0].strip("( ") == "1" for term in terms)


def given(facts: Facts, kept: list[str]) -> Statement:
    """The formula's own."""
    return Statement(
        "random_effects_given",
        f"The formula has random effects of its own, {listed(kept)}, with {levels_of(facts.groups)}: they are kept.",
        {g.name: g.clusters for g in facts.groups},
    )


def random_slope(x: Predictor, g: Group, facts: Facts) -> Statement:
    """Slopes that differ."""
    f, p = x.slopes[g.name]
    return Statement(
        "random_slope",
        f"The slope of {x.name} is not the same in every {g.name}{apart(facts, g)} (F = {figures(f, 3)}, p = {small(p)}, with "
        f"{g.median:g} rows per {g.name} in the median): start from random slopes.",
        {"F": f, "p": p, "clusters": g.clusters, "median_size": g.median},
    )


def apart(facts: Facts, g: Group) -> str:
    """What the test of slopes is made inside of, or against."""
    main = facts.main
    if main is g and g.within:
        return f" of one {min(map(facts.group, g.within), key=lambda o: -o.clusters).name}"
    return f", by more than in the {main.name} inside it" if main is not None and g.name in main.within else ""


def random_intercepts(groups: tuple[Group, ...]) -> Statement:
    """Where a mixed model starts."""
    shown = listed([f"{g.name}: {g.clusters} clusters, residuals correlate by {figures(g.correlation, 2)}" for g in groups])
    evidence: dict[str, float | int] = {}
    for g in groups:
        prefix = "" if len(groups) == 1 else f"{g.name} "
        evidence |= {f"{prefix}clusters": g.clusters, f"{prefix}correlation": g.correlation}
    many = "a random intercept for each grouping" if len(groups) > 1 else "a random intercept"
    return Statement("random_intercept", f"Start from {many} ({shown}).", evidence)


def candidates_for_slopes(facts: Facts, chosen: tuple[Predictor, Group] | None) -> Iterator[Statement]:
    """Other slopes that differ clearly; where no test is made, predictors with enough rows per cluster to ask."""
    for x, g in flags.varying_slopes(facts):
        if (chosen is None or x is not chosen[0] or g is not chosen[1]) and not has_slope(facts, x, g):
            f, p = x.slopes[g.name]
            yield Statement(
                "slope_candidate",
                f"The slope of {x.name} is not the same in every {g.name}{apart(facts, g)} (F = {figures(f, 3)}, p = {small(p)}): try "
                f"(1 + {ticked(x.name)} | {quoted(g)}) and compare aic.",
                {"F": f, "p": p, "clusters": g.clusters},
            )
    main = facts.main
    if main is None or flags.linear(facts) or main.median < flags.ROWS_FOR_SLOPES:
        return
    for x in facts.predictors:
        if x.term and x.within[main.name] >= flags.VARIES and not has_slope(facts, x, main):
            yield Statement(
                "slope_candidate",
                f"{x.name} varies inside {main.name} ({percent(x.within[main.name])}) with {main.median:g} rows per cluster in the median: "
                f"enough to try whether its effect differs between clusters, (1 + {ticked(x.name)} | {quoted(main)}), and compare aic.",
                {"within": x.within[main.name], "median_size": main.median},
            )


def has_slope(facts: Facts, x: Predictor, g: Group) -> bool:
    """Whether the formula has it."""
    return any(name == g.name and ticked(x.name) in text.partition("|")[0] for text, name in facts.bars.items())
