"""What is said of a fit, in words: method, scale of the coefficients, what they compare, what is assumed.

Each function is a sentence or phrase that is true of the record given; link and family decide the words.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from ..covariance.odds_ratios import OddsRatios
from ..data.records import Missing
from ..design.records import RandomTerm
from ..inference.covariance import Inference
from ..kernels.matrix import Ints
from ..records import AnyRecord, GeeRecord, GlmRecord, MixedRecord, Record, Stochastic
from ..text import counted, extremes, figures, listed

RULES = {
    "standard": "standard (sums divided by rows - p and pairs - p)",
    "geepack": "geepack (sums divided by rows and pairs)",
    "gee": "gee (by position in the cluster, averaged over clusters)",
}

PENALTIES = {
    "firth": "penalised: the score is adjusted so that estimates have no bias of order 1/n (Firth 1993)",
    "jeffreys": "penalised maximum likelihood: log L + 1/2 log |information| (Jeffreys' prior)",
}

MOST_SLOPES = 6
SAME_EFFECT = "clusters with the same random effect"


class Grouping(NamedTuple):
    """The clusters of a fit: name, number of levels, rows of each."""

    name: str
    sizes: Ints


def groupings(record: Record) -> list[Grouping]:
    """The clusters that a model is about: a mixed model's grouping factors, a GEE's groups; a GLM has none."""
    if isinstance(record, MixedRecord):
        terms = {term.group: term for term in record.design.mean.random}
        return [Grouping(name, np.bincount(term.refs, minlength=len(term.levels))) for name, term in terms.items()]
    if isinstance(record, GeeRecord):
        clusters = next(iter(record.design.clusters.values()))
        return [Grouping(clusters.name, clusters.sizes)]
    return []


def inner_words(record: GeeRecord) -> str:
    """The clusters inside the clusters of groups="school/class", where rows are held."""
    inner = record.clusters.inner
    if inner is None or not len(inner):
        return ""
    return cluster_words(Grouping("", np.unique(inner, return_counts=True)[1]))


def group_names(record: Record) -> tuple[str, ...]:
    """Names of `groupings`."""
    if isinstance(record, MixedRecord):
        return tuple(dict.fromkeys(term.group for term in record.design.mean.random))
    return () if isinstance(record, GlmRecord) else tuple(record.design.clusters)[:1]


def kind(record: Record) -> str:
    """GLM, GEE, LMM or GLMM.

    An LMM is gaussian with identity link.
    """
    if isinstance(record, GlmRecord):
        return "GLM"
    if isinstance(record, GeeRecord):
        return "GEE"
    return "LMM" if record.linear else "GLMM"


VARIANCES = {
    "gamma": "variance phi mu^2",
    "inverse_gaussian": "variance phi mu^3",
    "negative_binomial": "variance mu + mu^2 / k",
    "negative_binomial1": "variance mu (1 + alpha)",
    "beta": "variance mu (1 - mu) / (1 + precision)",
    "tweedie": "variance phi mu^power",
    "quasi": "variance phi mu^power",
    "quasipoisson": "variance phi mu",
    "quasibinomial": "variance phi mu (1 - mu)",
}


def family_words(record: AnyRecord) -> str:
    """The family, with what was given of its parameters."""
    family = record.family
    given = [f"{name} = {value:g}" for name, value in zip(family.parameters, family.fixed, strict=False) if value is not None]
    return f"{family.name} ({', '.join(given)})" if given else family.name


def is_identity(record: AnyRecord) -> bool:
    """Whether the coefficients are on the scale of the mean itself."""
    return record.design.mean.link.name == "identity"


def is_rate(record: AnyRecord) -> bool:
    """Whether counts are modelled with a known offset or exposure."""
    return record.family.counts and record.design.mean.offset is not None


def mean_words(record: AnyRecord) -> str:
    """What the mean is: a probability, a mean count, a rate, a mean."""
    if record.family.support == "binomial":
        return "probability"
    if record.family.counts:
        return "rate" if is_rate(record) and record.design.mean.link.name == "log" else "mean count"
    return f"mean of {record.design.response.name}"


def scale_words(record: AnyRecord) -> str:
    """The scale of the linear predictor."""
    mean = mean_words(record)
    link = record.design.mean.link.name
    if "(" in link:
        return f"the {mean}, transformed by {link}"
    return {
        "identity": f"the {mean}",
        "log": f"the log of the {mean}",
        "logit": "the log odds" if mean == "probability" else f"the logit of the {mean}",
        "probit": f"the probit of the {mean}",
        "cloglog": f"the complementary log-log of the {mean}",
        "loglog": f"the log-log of the {mean}, -log(-log)",
        "cauchit": f"the cauchit of the {mean}",
        "logc": f"the log of one minus the {mean}",
        "inverse": f"one over the {mean}",
        "inverse_squared": f"one over the squared {mean}",
        "sqrt": f"the square root of the {mean}",
    }[link]


def ratio_words(record: AnyRecord) -> str:
    """What exp makes of a difference on the scale of the linear predictor, or nothing."""
    link = record.design.mean.link.name
    if link == "logit" and mean_words(record) == "probability":
        return "exp of a difference is an odds ratio"
    if link == "log":
        ratio = {"probability": "a risk ratio", "rate": "a rate ratio", "mean count": "a ratio of mean counts"}
        return f"exp of a difference is {ratio.get(mean_words(record), 'a ratio of means')}"
    return ""


def scale_sentence(record: AnyRecord) -> str:
    """The scale and what exp makes of it."""
    ratio = ratio_words(record)
    return f"{scale_words(record)}" + (f" ({ratio})" if ratio else "")


def independence(inference: Inference) -> str:
    """What a GLM and its standard errors take rows for."""
    if "cluster" in inference.label:
        return "The estimates take rows as independent; the standard errors allow for any dependence inside a cluster."
    return "Rows are taken as independent."


def meaning(record: Record, inference: Inference) -> str:
    """What a coefficient means in this model: the last line of a summary."""
    names = group_names(record)
    group, several = listed(list(names)), len(names) > 1
    scale = scale_sentence(record)
    if isinstance(record, GlmRecord):
        return f"Coefficients compare averages over the population, on the scale of {scale}. {independence(inference)}"
    if isinstance(record, GeeRecord):
        return (
            f"Coefficients are marginal: they compare averages over the population, on the scale of {scale}. "
            f"Rows of one cluster ({group}) may depend on each other."
        )
    same = "the same clusters, or of clusters with the same random effects" if several else f"the same cluster, or of {SAME_EFFECT}"
    text = f"Coefficients are conditional on {group}: they compare rows of {same}, on the scale of {scale}."
    if not only_intercepts(record):
        one = "clusters" if several else "a cluster"
        text = f"Coefficients are conditional on {group}: they describe {one} whose random effects are zero, on the scale of {scale}."
    if slopes := random_slopes(record):
        differ = f"effect of {slopes[0]} differs" if len(slopes) == 1 else f"effects of {listed(slopes)} differ"
        text += f" The {differ} between clusters."
    if moving := [term for term in record.design.mean.random if over_occasions(term)]:
        over = list(dict.fromkeys(occasion(term) for term in moving))
        text += f" The random effects of one cluster differ over {listed(over)}."
    if is_identity(record):
        text += " With an identity link the same numbers are differences between averages over the population."
    return text


def only_intercepts(record: Record) -> bool:
    """Whether every random effect is an intercept."""
    return all(term.names == ("Intercept",) for term in record.design.mean.random)


def over_occasions(term: RandomTerm) -> bool:
    """Whether the effects of a level are those at its times, or one for each level of a factor."""
    if term.times is not None:
        return True
    return term.spec is not None and len(term.spec.factors) == 1 and len(term.names) > 1 and bool((term.z.sum(axis=1) == 1.0).all())


def occasion(term: RandomTerm) -> str:
    """What the effects of a structured term stand for: the factor or the time on its left side."""
    return ", ".join(term.spec.factors)


def random_slopes(record: Record) -> list[str]:
    """Names of the random effects other than intercepts and effects of occasions, the first few where there are many."""
    found = (name for term in record.design.mean.random if not over_occasions(term) for name in term.names)
    names = list(dict.fromkeys(name for name in found if name != "Intercept"))
    return names if len(names) <= MOST_SLOPES else [*names[: MOST_SLOPES - 1], f"{len(names) - MOST_SLOPES + 1} others"]


def method(record: Record) -> str:
    """How the parameters were estimated."""
    if isinstance(record, GlmRecord):
        if record.penalty:
            return PENALTIES[record.penalty]
        if record.family.shaped:
            return f"maximum likelihood (ML) of coefficients and {listed(list(record.family.estimated))} together, by Newton's method"
        if not record.family.likelihood:
            return "quasi-likelihood by Fisher scoring: " + VARIANCES[record.family.name]
        if record.design.weights is not None and record.design.weights_kind == "sampling":
            return "pseudo-likelihood with sampling weights, by Fisher scoring"
        return "maximum likelihood (ML) by Fisher scoring"
    if isinstance(record, GeeRecord):
        if isinstance(record.working, OddsRatios):
            return f"alternating logistic regressions (GEE with odds ratios): {record.working.about}"
        rule = RULES.get(record.moments, record.moments)
        return f"generalised estimating equations (GEE), {record.corr} working correlation, moment rule: {rule}"
    if record.linear:
        return "restricted maximum likelihood (REML)" if record.reml else "maximum likelihood (ML)"
    if record.points == 1:
        return "maximum likelihood (ML), Laplace approximation"
    return f"maximum likelihood (ML), adaptive Gauss-Hermite quadrature with {record.points} points"


def engine(record: Record) -> str:
    """How a search with random probes was made, and what of it is exact; nothing of other fits."""
    how = record.stochastic if isinstance(record, MixedRecord) else None
    if how is None:
        return ""
    begin = f"Krylov, {how.probes} probes (seed {how.seed}); log-likelihood"
    if how.exact:
        return f"{begin} exact by one factorisation of {how.block:,} effects"
    return f"{begin} by Monte Carlo, standard error {figures(how.llf_error, 2)}; {distance(how)}"


def distance(how: Stochastic) -> str:
    """How far estimates are from the optimum."""
    if not math.isfinite(how.estimate_error):
        return "how far estimates are from the optimum is not known"
    return f"estimates within {figures(max(how.estimate_error, 0.001), 2)} standard errors of the optimum"


def short_method(record: Record) -> str:
    """The method as a cell of a comparison."""
    how = record.stochastic if isinstance(record, MixedRecord) else None
    return _short_method(record) + ("" if how is None else f", Krylov engine, {how.probes} probes")


def _short_method(record: Record) -> str:
    if isinstance(record, GlmRecord):
        plain = "ML" if record.family.likelihood else "quasi-likelihood"
        return {"firth": "bias-reduced (Firth)", "jeffreys": "penalised ML (Jeffreys)"}.get(record.penalty, plain)
    if isinstance(record, GeeRecord):
        return f"GEE, {record.corr}" + ("" if isinstance(record.working, OddsRatios) else f", {record.moments} moments")
    if record.linear:
        return "REML" if record.reml else "ML"
    return "ML, Laplace" if record.points == 1 else f"ML, adaptive Gauss-Hermite, {record.points} points"


def remarks(record: AnyRecord) -> list[str]:
    """How the fit ended, where it is not plainly converged, and what was done out of the ordinary."""
    solution = record.solution
    said = solution.message if solution.code != "converged" else solution.message.partition("; ")[2]
    note = (solution.evidence or {}).get("note")
    return [text for text in (said, str(note) if note else "") if text]


def unfinished(record: AnyRecord) -> str:
    """What a reader must know first of a search that did not end, or nothing."""
    if record.solution.code != "not_converged":
        return ""
    return "NOT CONVERGED: the search did not reach an optimum, so these numbers are not estimates to use; see solution."


def target(record: Record) -> str:
    """conditional or marginal: what a coefficient of the model is."""
    return "conditional" if isinstance(record, MixedRecord) else "marginal"


def short_meaning(record: Record) -> str:
    """The meaning of a number as a cell of a comparison."""
    if not isinstance(record, MixedRecord):
        return "marginal: compares averages over the population"
    names = group_names(record)
    group, several = listed(list(names)), len(names) > 1
    if is_identity(record):
        return f"conditional on {group}, and marginal too (identity link)"
    if not only_intercepts(record):
        return f"conditional: describes a {'cluster' if several else group} whose random effects are zero"
    if several:
        return f"conditional: compares rows with the same {group}, or clusters with the same random effects"
    return f"conditional: compares rows of one {group}, or {SAME_EFFECT}"


def within_cluster(record: Record, label: str) -> str:
    """What is assumed about rows of one cluster, given which standard errors stand beside the estimates."""
    if isinstance(record, GlmRecord):
        if "cluster" in label:
            return "independent for the estimate; the standard errors allow any dependence"
        return "independent"
    if isinstance(record, GeeRecord):
        allowed = "allow any dependence" if "robust" in label else "trust it"
        return f"{record.working.about}; the standard errors {allowed}"
    several = sum(len(term.names) for term in record.design.mean.random) > 1
    return "share normal random effects; independent given them" if several else "share a normal random effect; independent given it"


def missing_assumption(record: Record) -> str:
    """What a model assumes about missing values of the response."""
    if isinstance(record, MixedRecord):
        return "missing at random given what is observed"
    return "missing completely at random given the predictors"


def losses(missing: Missing) -> str:
    """Rows dropped by variable, in words."""
    if not missing.n_dropped:
        return "nothing missing"
    by_variable = [f"{name} missing in {count}" for name, count in missing.by_variable.items()]
    return f"{counted(missing.n_dropped, 'row')} left out: {listed(by_variable)}"


def cluster_losses(missing: Missing, name: str) -> str:
    """What missing rows did to the clusters, in words; nothing where they did nothing."""
    loss = missing.by_cluster.get(name)
    if loss is None or not missing.n_dropped:
        return ""
    return f"of {counted(loss.clusters, 'cluster')} {loss.shortened} shortened, {loss.lost} lost"


def cluster_words(group: Grouping) -> str:
    """Number and sizes of clusters."""
    clusters = counted(len(group.sizes), "cluster")
    if group.sizes.min() == group.sizes.max():
        return f"{clusters} of {counted(int(group.sizes[0]), 'row')} each"
    return f"{clusters}, {extremes(group.sizes)}"


def reference(inference: Inference, own: bool = True) -> str:
    """The distribution that statistics are referred to; own : each with its own degrees of freedom, where they differ."""
    if inference.degrees is not None and own:
        return f"t reference with {inference.degrees.about} degrees of freedom"
    df = inference.common_df
    return "normal reference" if df is None else f"t reference with {df:g} degrees of freedom"


def se_kind(label: str) -> str:
    """The kind of standard errors in a word or two, for tables: the label without its explanation.

    >>> se_kind("model-based (trusts the working correlation)"), se_kind("cluster-robust by id")
    ('model-based', 'cluster-robust by id')
    """
    return label.partition(",")[0].replace(" (sandwich)", "").partition(" (trusts the working ")[0]
