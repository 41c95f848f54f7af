"""Facts -> answers: individual is a mixed model, population a GEE, both a GLM where no rows belong together; with reasons.

What the data forbid moves the population answer: crossed groupings, and dropout that follows earlier outcomes.
"""

from __future__ import annotations

from dataclasses import replace

from ..family import resolve
from ..output.reproduce import call, source
from ..records import Call
from ..text import counted, figures, listed
from . import flags
from .facts import Facts, Group, Predictor
from .look import Asked
from .random_terms import only_intercepts, random_terms
from .records import Answer, Question, Statement
from .words import dropped_out, percent, unchanged

AVERAGED = "fit.marginal_params()"


def answers(facts: Facts, asked: Asked, questions: tuple[Question, ...]) -> tuple[Answer, ...]:
    """One answer per question; one for all of them where rows are independent."""
    if not facts.groups or facts.exact:
        return (independent(facts, asked, questions),)
    if flags.unchanging(facts) and (found := robustly(facts, asked)) is not None:
        return (replace(found, questions=questions, reasons=(nothing_inside(facts), *found.reasons)),)
    return tuple(individual(facts, asked) if question == "individual" else population(facts, asked) for question in questions)


def independent(facts: Facts, asked: Asked, questions: tuple[Question, ...]) -> Answer:
    """A GLM."""
    if facts.exact:
        why = Statement(
            "nothing_left",
            f"None of the {facts.n} rows has a residual to tell of a random effect or a correlation: this GLM is the least that shows it.",
            {"rows": facts.n, "unexplained": facts.unexplained},
        )
    elif facts.fixed:
        name, term = next(iter(facts.fixed.items()))
        why = Statement(
            "fixed_clusters",
            f"{term} gives each {name} a coefficient of its own, among the {facts.p} here: a random effect of {name} has nothing left to "
            "explain, and the other coefficients compare rows of one cluster, taken as independent given its coefficient.",
            {"coefficients": facts.p},
        )
    elif facts.own:
        why = Statement(
            "row_per_cluster",
            f"Each of the {facts.n} rows has a {listed(list(facts.own))} of its own ({facts.n} clusters of 1 row), so no rows belong "
            "together and the clusters add nothing that could be told from the residual.",
            {"rows": facts.n, "clusters": facts.n},
        )
    else:
        why = Statement(
            "no_groups",
            f"No groups= and no random effects are named, so the {facts.n} rows are taken as independent, and the average over the "
            "population is all that they can tell.",
            {"rows": facts.n},
        )
    name = "a linear model" if flags.linear(facts) else "a generalised linear model (GLM)"
    return Answer(questions, "glm", name, written("glm", facts, asked, facts.formula), "", (why,))


def individual(facts: Facts, asked: Asked) -> Answer:
    """A mixed model: random intercepts, and a slope that the data show to differ between clusters."""
    terms, words, reasons = random_terms(facts)
    kind = "a linear mixed model (LMM)" if flags.linear(facts) else "a generalised linear mixed model (GLMM)"
    whole = sorted(terms) == sorted(facts.bars)
    formula = asked.formula if whole else " + ".join([facts.formula, *terms])
    told = (*(within(x) for x in facts.predictors), *reasons, averages(facts, only_intercepts(terms)))
    return Answer(("individual",), "glmm", f"{kind} with {listed(words)}", written("glmm", facts, asked, formula), "", told)


def population(facts: Facts, asked: Asked) -> Answer:
    """A GEE with a working correlation from the residuals; another model where the clusters or the missing rows forbid it."""
    if flags.dropout_matters(facts):
        return averaged(facts, asked, dropout_reason(facts))
    if (found := robustly(facts, asked)) is not None:
        return found
    outer = facts.outer
    what = "are no column of the data" if len(outer) == 1 else "cross"
    why = Statement(
        "no_single_cluster",
        f"The clusters {listed([f'{g.name} ({g.clusters})' for g in outer])} {what}, and a GEE takes one column whose clusters are "
        "independent: the mixed model, averaged over its random effects, has the population's answer.",
        {g.name: g.clusters for g in outer},
    )
    return averaged(facts, asked, why)


def robustly(facts: Facts, asked: Asked) -> Answer | None:
    """Models with robust errors: a GEE, a GLM where two groupings cross, None where neither allows for the clusters."""
    outer = facts.outer
    if len(outer) == 1 and len(outer[0].factors) == 1:
        return gee(facts, asked, outer[0])
    names = [g.name for g in outer]
    family = resolve(facts.families["gee"])[0]
    if len(outer) == 2 and all(len(g.factors) == 1 for g in outer) and family.orthogonal:
        crossing = next(c for c in facts.crossings if {c.first, c.second} == set(names))
        why = Statement(
            "two_way_clusters",
            f"{names[0]} ({outer[0].clusters} clusters) and {names[1]} ({outer[1].clusters}) cross in {crossing.cells} combinations, and a "
            "GEE has one grouping whose clusters are independent: a GLM with standard errors clustered both ways allows for both.",
            {names[0]: outer[0].clusters, names[1]: outer[1].clusters, "cells": crossing.cells},
        )
        formula = facts.formula
        text = written("glm", facts, asked, formula, family=facts.families["gee"], vcov={"cluster": names})
        return Answer(
            ("population",), "glm", f"a GLM with standard errors clustered by {names[0]} and {names[1]}", text, "", (why, *effective(facts))
        )
    return None


def nothing_inside(facts: Facts) -> Statement:
    """Why the individual question has no answer."""
    text, evidence = unchanged(facts, flags.unchanging(facts)[0])
    return Statement(
        "nothing_inside",
        f"{text}: the data do not tell what a predictor does for one cluster, and a mixed model would take it from its assumptions; this "
        "answers for the average over the population.",
        evidence,
    )


def averaged(facts: Facts, asked: Asked, why: Statement) -> Answer:
    """The mixed model, averaged over its random effects."""
    own = individual(facts, asked)
    keep = tuple(r for r in own.reasons if r.code not in ("averages", "within", "cluster_level"))
    return replace(own, questions=("population",), name=f"{own.name}, averaged over the clusters", then=AVERAGED, reasons=(why, *keep))


def gee(facts: Facts, asked: Asked, g: Group) -> Answer:
    """Which working correlation, and why robust errors hold."""
    corr, why = working_correlation(facts, g)
    more = {"time": facts.times.name} if corr == "ar1" and facts.times is not None else {}
    arguments = {"groups": g.name, **more, **({} if corr == "exchangeable" else {"corr": corr})}
    if flags.correctable(facts, g):
        arguments["vcov"] = flags.CORRECTED
    reasons = [why, robust(g, flags.correctable(facts, g)), *effective(facts)]
    inner = [other for other in facts.groups if g.name in other.within]
    if inner:
        own = inner[0].name
        nested = f'; groups="{g.name}/{own}", corr="nested" gives rows of one {own} a correlation of their own'
        reasons.append(
            Statement(
                "outermost_clusters",
                f"{listed([f'{o.name} ({o.clusters})' for o in inner])} {'lie' if len(inner) > 1 else 'lies'} inside {g.name} "
                f"({g.clusters}): the outermost clusters are the independent ones, and the robust errors allow any dependence in them"
                f"{nested if len(inner) == 1 and inner[0].factors == (own,) else ''}.",
                {o.name: o.clusters for o in (g, *inner)},
            )
        )
    text = written("gee", facts, asked, facts.formula, **arguments)
    return Answer(("population",), "gee", f"a GEE with {corr} working correlation", text, "", tuple(reasons))


def working_correlation(facts: Facts, g: Group) -> tuple[str, Statement]:
    """The name and the reason."""
    if g in flags.unchanging(facts):
        text, evidence = unchanged(facts, g)
        return "independence", Statement(
            "independence_for_unchanged",
            f"{text}: rows are as alike as can be, and the more correlation a GEE assumes, the more it looks at changes inside clusters, "
            "of which there are none: working independence.",
            evidence,
        )
    if flags.informative_size(g):
        return "independence", Statement(
            "independence_for_size",
            f"Sizes of {g.name} run from {g.smallest} to {g.largest} and go with the outcome (z = {figures(g.size_z, 3)}): only working "
            "independence then estimates a plain average, the one over rows.",
            {"smallest": g.smallest, "largest": g.largest, "z": g.size_z},
        )
    if not g.correlation > 0.0:
        return "independence", Statement(
            "independence",
            f"Residuals of two rows of one {g.name} correlate by {figures(g.correlation, 3)} ({counted(g.pairs, 'pair')}), not positively: "
            "start from working independence, with robust errors.",
            {"correlation": g.correlation, "pairs": g.pairs},
        )
    if facts.pattern is not None and facts.times is not None and facts.times.group == g.name:
        first, last = facts.lags[0], facts.lags[-1]
        numbers = {
            "first": first.correlation,
            "last": last.correlation,
            "last_lag": last.lag,
            "alpha": facts.pattern.alpha,
            "rho": facts.pattern.rho,
            "constant": facts.pattern.constant,
            "falling": facts.pattern.falling,
        }
        told = (
            f"correlate by {figures(first.correlation, 2)} one row apart and by {figures(last.correlation, 2)} at {last.lag} rows apart; "
            f"{facts.pattern.rho:.2f}^distance misses these correlations by {figures(facts.pattern.falling, 2)}, a constant "
            f"{facts.pattern.alpha:.2f} by {figures(facts.pattern.constant, 2)} (root mean square over pairs)"
        )
        if flags.falling(facts):
            return "ar1", Statement("ar1", f"Residuals of one {g.name} {told}: they fall with time, so start from AR(1).", numbers)
        return "exchangeable", Statement(
            "exchangeable", f"Residuals of one {g.name} {told}: no clear fall, so start from one correlation for all pairs.", numbers
        )
    return "exchangeable", Statement(
        "exchangeable",
        f"Residuals of two rows of one {g.name} correlate by {figures(g.correlation, 2)} over {counted(g.pairs, 'pair')}, and no time "
        "orders the rows: start from one correlation for all pairs.",
        {"correlation": g.correlation, "pairs": g.pairs},
    )


def robust(g: Group, corrected: bool) -> Statement:
    """What the standard errors rest on."""
    limit = flags.ROBUST_CLUSTERS
    many = g.clusters >= limit
    way = f': vcov="{flags.CORRECTED}" corrects them, with a t reference' if corrected else ""
    return Statement(
        "robust_errors",
        f"With the right model of the mean the estimates hold even if the working correlation is wrong; so do the robust standard errors, "
        f"given many clusters: {g.clusters} are "
        + (f"enough ({limit} or more)." if many else f"few (fewer than {limit}), and the errors come out too small{way}."),
        {"clusters": g.clusters},
    )


def effective(facts: Facts) -> tuple[Statement, ...]:
    """What counts as the size of the sample where all predictors belong to clusters."""
    if not flags.cluster_level_only(facts):
        return ()
    fewest = min(facts.outer, key=lambda g: g.clusters)
    return (
        Statement(
            "clusters_are_the_sample",
            f"No predictor varies inside {fewest.name}: the {fewest.clusters} clusters, and not the {facts.n} rows, decide how precise "
            "the answer is.",
            {"clusters": fewest.clusters, "rows": facts.n},
        ),
    )


def within(x: Predictor) -> Statement:
    """What a predictor's coefficient compares in a mixed model."""
    inside = {name: share for name, share in x.within.items() if share > 0.0}
    if not inside:
        names = listed(list(x.within))
        return Statement(
            "cluster_level",
            f"{x.name} does not vary inside {names} (0 % of its variation): its coefficient compares different clusters that have the same "
            "random effect.",
            dict(x.within),
        )
    shares = listed([f"{percent(share)} of its variation is inside {name}" for name, share in inside.items()])
    share = next(iter(inside.values()))
    between = f" and, for the other {percent(1.0 - share)}, different clusters" if len(x.within) == 1 and share < 1.0 - flags.VARIES else ""
    text = f"{x.name} varies inside clusters ({shares}): its coefficient compares rows of one cluster{between}."
    return Statement("within", text, dict(x.within))


def averages(facts: Facts, intercepts: bool) -> Statement:
    """How a mixed model speaks about the population."""
    g = max(facts.groups, key=lambda g: g.clusters)
    if facts.link == "identity":
        return Statement(
            "averages",
            f"With the identity link its coefficients are also those of the average over the {g.clusters} {g.name} clusters, so the "
            "question does not change them.",
            {"clusters": g.clusters},
        )
    if facts.link == "log" and intercepts:
        return Statement(
            "averages",
            f"With the log link and random intercepts its coefficients are also those of the average over the {g.clusters} {g.name} "
            f"clusters, but for the intercept: {AVERAGED} has the average's, from the same fit.",
            {"clusters": g.clusters},
        )
    return Statement(
        "averages",
        f"Averages over the population of the {g.clusters} {g.name} clusters come from the same fit: {AVERAGED} and "
        'fit.effect(..., target="marginal"); with the '
        f"{facts.link} link they are not its coefficients.",
        {"clusters": g.clusters},
    )


def dropout_reason(facts: Facts) -> Statement:
    """Why a GEE will not do."""
    assert facts.dropout is not None
    text, evidence = dropped_out(facts.dropout)
    return Statement(
        "dropout_depends_on_response",
        f"{text}: a GEE assumes that dropout does not follow earlier outcomes, a mixed model allows it.",
        evidence,
    )


def written(door: str, facts: Facts, asked: Asked, formula: str, **arguments: object) -> str:
    """The call as Python source."""
    family = str(arguments.pop("family", facts.families[door]))
    shared = {"family": None if family == "gaussian" else family, "link": asked.link}
    shared |= {"weights": asked.weights, "offset": asked.offset, "exposure": asked.exposure}
    given = {**{k: v for k, v in arguments.items() if k in ("groups", "time")}, **shared, **arguments}
    return call(Call(door, formula, tuple((k, str(source(v))) for k, v in given.items() if v is not None)))
