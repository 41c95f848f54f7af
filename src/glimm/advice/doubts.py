"""Facts -> what would change the advice: one statement for each trouble that the data show, none for healthy data.

The thresholds are in flags.py and in the sentences.
"""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Set as AbstractSet

from ..text import counted, figures, listed
from . import flags
from .facts import Facts, Group
from .guess import overdispersed
from .records import Answer, Statement
from .words import dropped_out, exact, percent, quoted, separated, ticked, unchanged

EVENTS_PER_COEFFICIENT = 10
ROWS_PER_COEFFICIENT = 10
SKEWED = 1.0
LEAST_ROWS = 30


def doubts(facts: Facts, answers: tuple[Answer, ...]) -> tuple[Statement, ...]:
    """What leaves no estimate first, then clusters, time, the rest."""
    if facts.exact:
        return (*of_fit(facts), *of_rows(facts))
    models = {answer.model for answer in answers}
    robust = any("population" in answer.questions and answer.model != "glmm" for answer in answers)
    found = [
        *of_fit(facts),
        *unnamed(facts),
        *of_changes(facts),
        *of_clusters(facts, robust, "gee" in models),
        *of_size(facts),
        *of_predictors(facts),
        *of_time(facts, models),
    ]
    return (*found, *of_response(facts, models), *of_rows(facts))


def of_fit(facts: Facts) -> Iterator[Statement]:
    """Outcomes that the predictors give away."""
    if facts.separated:
        text, evidence = separated(facts)
        yield Statement(
            "separated",
            f"{text}, and their coefficients have no finite estimate in any model; leave them out, or put levels together.",
            evidence,
        )
    elif facts.exact:
        text, evidence = exact(facts)
        yield Statement(
            "perfect_fit",
            f"{text}. Its standard errors say nothing, and a mixed model or a GEE has nothing to add. Check that {facts.response.name} "
            "is not computed from the predictors, and that there are more rows than coefficients.",
            evidence,
        )


def of_changes(facts: Facts) -> Iterator[Statement]:
    """Clusters in which the response stays the same."""
    for g in flags.unchanging(facts):
        text, evidence = unchanged(facts, g)
        ends = {
            "binary": "; the likelihood of a mixed model rises with the variance between clusters for ever",
            "numeric": "; a linear mixed model has no residual" if flags.linear(facts) else "",
        }.get(facts.response.kind, "")
        yield Statement(
            "nothing_inside",
            f"{text}: no cluster tells of an effect inside it{ends}. If {facts.response.name} belongs to the whole {g.name}, keep one row "
            "of each, with the means of the predictors, and fit a GLM.",
            evidence,
        )
    for g in flags.hardly_changing(facts):
        text, evidence = unchanged(facts, g)
        yield Statement(
            "little_inside",
            f"{text}: these alone tell of an effect inside a cluster, and a mixed model's variance between clusters is hardly bounded.",
            evidence,
        )


def unnamed(facts: Facts) -> Iterator[Statement]:
    """Columns that look like clusters."""
    for c in facts.candidates:
        yield Statement(
            "looks_clustered",
            f"Column {c.name} is not in the call and has {c.levels} different values, {c.rows:.3g} rows each on average, whose "
            f"residuals correlate by {figures(c.correlation, 2)} (z = {figures(c.z, 3)}): if such rows belong together, say "
            f'groups="{c.name}".',
            {"column": c.name, "levels": c.levels, "rows": c.rows, "correlation": c.correlation, "z": c.z},
        )


def of_clusters(facts: Facts, robust: bool, averaged: bool) -> Iterator[Statement]:
    """How many there are, and whether they matter. robust : an answer has robust standard errors; averaged : it is a GEE."""
    if not facts.groups:
        return
    yield from of_few(facts, robust, averaged)
    for g in facts.groups:
        if 2 * g.single > g.clusters:
            yield Statement(
                "single_row_clusters",
                f"{g.single} of {g.clusters} clusters of {g.name} have 1 row: what rows of one cluster share is seen in the other "
                f"{g.clusters - g.single} only.",
                {"single": g.single, "clusters": g.clusters},
            )
        yield from of_dependence(facts, g)
    if flags.cluster_level_only(facts):
        names = listed([x.name for x in facts.predictors])
        fewest = min(facts.outer, key=lambda g: g.clusters)
        told = "an individual answer rests on the assumed normal random effects; the population's is what the data compare."
        if facts.link in ("identity", "log") or flags.unchanging(facts):
            told = "the data compare clusters, whatever the question."
        yield Statement(
            "cluster_level_only",
            f"{names} {'does' if len(facts.predictors) == 1 else 'do'} not vary inside any of the {fewest.clusters} clusters of "
            f"{fewest.name} (0 % of the variation): no cluster is seen under two values, so {told}",
            {"clusters": fewest.clusters, "within": 0.0},
        )


def of_few(facts: Facts, robust: bool, averaged: bool) -> Iterator[Statement]:
    """Too few clusters for a variance, or for robust standard errors, and what does not rest on their number."""
    fewest = min(facts.groups, key=lambda g: g.clusters)
    corrected = averaged and flags.correctable(facts, fewest)
    mixed = not flags.unchanging(facts)
    if fewest.clusters < flags.VARIANCE_CLUSTERS:
        inside = [x.name for x in facts.predictors if x.within[fewest.name] > 0.0]
        rest = [x.name for x in facts.predictors if x.within[fewest.name] == 0.0]
        ways = []
        if inside and mixed:
            about = f" (of {listed(inside)}; {listed(rest)} {'does' if len(rest) == 1 else 'do'} not vary there)" if rest else ""
            ways.append(f"a GLM with C({ticked(fewest.name)}) among the predictors compares rows inside these clusters only{about}")
        if corrected:
            ways.append(f'vcov="{flags.CORRECTED}" corrects these')
        if mixed:
            ways.append("a mixed model averaged, fit.marginal_params(), needs no robust errors")
        yield Statement(
            "few_clusters",
            f"{fewest.name} has {fewest.clusters} clusters: fewer than {flags.VARIANCE_CLUSTERS} say little about a variance between "
            f"clusters, and robust standard errors from them are too small{'; ' if ways else ''}{', and '.join(ways)}.",
            {"clusters": fewest.clusters},
        )
    elif robust and fewest.clusters < flags.ROBUST_CLUSTERS:
        way = 'a mixed model averaged over its clusters, fit.marginal_params() or fit.effect(..., target="marginal"), does not rest on them'
        ways = ([f'vcov="{flags.CORRECTED}" corrects them'] if corrected else []) + ([way] if mixed else [])
        yield Statement(
            "few_clusters",
            f"{fewest.name} has {fewest.clusters} clusters: with fewer than {flags.ROBUST_CLUSTERS} robust standard errors are too small"
            f"{'; ' if ways else ''}{', and '.join(ways)}.",
            {"clusters": fewest.clusters},
        )


def of_dependence(facts: Facts, g: Group) -> Iterator[Statement]:
    """Rows of a cluster that are not alike, or less alike than chance."""
    crossing = [c.first if c.second == g.name else c.second for c in facts.crossings if g.name in (c.first, c.second)]
    less = f", less the means of each {' and '.join(crossing)}," if crossing else ""
    if g.apart_z < -flags.CERTAIN:
        yield Statement(
            "negative_correlation",
            f"Residuals of two rows of one {g.name}{less} correlate by {figures(g.apart, 2)} (z = {figures(g.apart_z, 3)}): rows of a "
            "cluster are less alike than others, which a random intercept cannot be; a GEE or a GLM with clustered standard errors can.",
            {"correlation": g.apart, "z": g.apart_z},
        )
    elif abs(g.apart_z) < flags.UNSEEN and all(g is not steep for _, steep in flags.varying_slopes(facts)):
        reused = ""
        if crossing and g.clusters <= flags.VARIANCE_CLUSTERS:
            other = facts.group(crossing[0])
            reused = f" If a label of {g.name} means another thing in each {other.name}, write (1 | {quoted(other)}/{quoted(g)})."
        yield Statement(
            "little_dependence",
            f"Residuals of two rows of one {g.name}{less} correlate by {figures(g.apart, 2)} over {counted(g.pairs, 'pair')} "
            f"(z = {figures(g.apart_z, 2)}, no more than chance): without {g.name} the estimates would be nearly the same.{reused}",
            {"correlation": g.apart, "z": g.apart_z, "pairs": g.pairs},
        )


def of_size(facts: Facts) -> Iterator[Statement]:
    """Sizes that go with the outcome."""
    for g in facts.groups:
        if flags.informative_size(g) and not flags.dropout_matters(facts):
            yield Statement(
                "informative_cluster_size",
                f"Clusters of {g.name} with more rows have {'higher' if g.size_z > 0 else 'lower'} outcomes (sizes {g.smallest} to "
                f"{g.largest}; correlation of size and mean residual {figures(g.size_correlation, 2)}, z = {figures(g.size_z, 3)}): an "
                "average over rows is not one over clusters. Weights of one over the cluster's size give the latter.",
                {"smallest": g.smallest, "largest": g.largest, "correlation": g.size_correlation, "z": g.size_z},
            )


def of_predictors(facts: Facts) -> Iterator[Statement]:
    """Predictors that say one thing inside clusters and another between them."""
    main = facts.main
    for x in flags.between_and_within(facts):
        assert main is not None
        share = x.within[main.name]
        yield Statement(
            "between_within",
            f"{x.name} varies inside {main.name} ({percent(share)}) and between ({percent(1.0 - share)}), and its cluster means tell more "
            f"than its values (z = {figures(x.context_z, 3)}): one coefficient mixes two effects. Add the cluster means of {x.name} as a "
            f"predictor; the coefficient of {x.name} is then the one inside clusters.",
            {"within": share, "z": x.context_z},
        )


def of_time(facts: Facts, models: AbstractSet[str]) -> Iterator[Statement]:
    """Dropout, and correlation that a random intercept does not have."""
    d = facts.dropout
    if d is not None and flags.dropout_matters(facts):
        text, evidence = dropped_out(d)
        yield Statement(
            "dropout_depends_on_response",
            f"{text}: a GEE or GLM is biased by that. If dropout follows what was not observed, no model here is right.",
            evidence,
        )
    t = facts.times
    if "glmm" in models and t is not None and flags.falling(facts) and not flags.varying_slopes(facts) and not structured(facts):
        first, last = facts.lags[0], facts.lags[-1]
        planned = t.equal and t.common and t.occasions <= flags.AR1_OCCASIONS
        column, group = ticked(t.name), quoted(facts.group(t.group))
        term = f"ar1(0 + C({column}) | {group})" if planned else f"ou(0 + {column} | {group})"
        yield Statement(
            "serial_correlation",
            f"Residuals of one {t.group} correlate by {figures(first.correlation, 2)} one row apart and {figures(last.correlation, 2)} at "
            f"{last.lag} rows apart: a random intercept has one correlation for all; {term} lets it fall with time.",
            {"first": first.correlation, "last": last.correlation, "last_lag": last.lag},
        )


def structured(facts: Facts) -> bool:
    """Whether the formula has a term whose correlation falls already."""
    return any(text.startswith(("ar1(", "ou(", "toep(")) for text in facts.bars)


def of_response(facts: Facts, models: AbstractSet[str]) -> Iterator[Statement]:
    """Responses that the family does not fit."""
    r, df = facts.response, facts.n - facts.p
    own = facts.families["glmm" if facts.groups else "glm"]
    count = r.within_dispersion if facts.groups else r.dispersion
    if facts.given and own == "poisson" and models & {"glm", "glmm"} and overdispersed(count, df):
        yield Statement(
            "overdispersed",
            f"Counts vary {figures(count, 3)} times as much as poisson ones{' inside clusters' if facts.groups else ''}: "
            'family="negative_binomial" allows it.',
            {"dispersion": count},
        )
    if own != "gaussian" or facts.given or facts.n < LEAST_ROWS:
        return
    if r.low > 0.0 and r.high < 1.0:
        yield Statement(
            "proportion_response",
            f'{r.name} lies between {figures(r.low, 3)} and {figures(r.high, 3)}: if it cannot leave 0 to 1, family="beta" keeps it there; '
            "with known totals write successes / trials.",
            {"low": r.low, "high": r.high},
        )
    elif r.low > 0.0 and r.skewness > SKEWED:
        yield Statement(
            "skewed_response",
            f"{r.name} is positive (from {figures(r.low, 3)}) and its residuals are skewed ({figures(r.skewness, 3)}; 0 is symmetric): "
            'family="gamma", link="log" has means that multiply and spread that grows with them.',
            {"low": r.low, "skewness": r.skewness},
        )


def of_rows(facts: Facts) -> Iterator[Statement]:
    """Too little for the coefficients, columns without a coefficient."""
    slopes = max(facts.p - 1, 1)
    fewer = min(facts.response.events, facts.response.failures)
    if fewer == fewer and fewer < EVENTS_PER_COEFFICIENT * slopes:
        yield Statement(
            "few_events",
            f"{figures(fewer, 3).removesuffix('.0')} {'events' if fewer == facts.response.events else 'non-events'} for "
            f"{counted(slopes, 'coefficient')} beside the intercept: fewer than {EVENTS_PER_COEFFICIENT} each make estimates uncertain and "
            "too large; use fewer predictors.",
            {"events": fewer, "coefficients": slopes},
        )
    elif fewer != fewer and facts.n < ROWS_PER_COEFFICIENT * facts.p:
        yield Statement(
            "few_rows",
            f"{facts.n} rows for {counted(facts.p, 'coefficient')}: fewer than {ROWS_PER_COEFFICIENT} each; use fewer predictors.",
            {"rows": facts.n, "coefficients": facts.p},
        )
    if facts.dropped:
        yield Statement(
            "dropped_columns",
            f"{counted(len(facts.dropped), 'column')} of {facts.p + len(facts.dropped)} {'has' if len(facts.dropped) == 1 else 'have'} no "
            f"coefficient of {'its' if len(facts.dropped) == 1 else 'their'} own: "
            f"{listed([f'{name} {why}' for name, why in facts.dropped.items()])}.",
            {"columns": len(facts.dropped)},
        )
