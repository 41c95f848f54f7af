"""A comparison in sections: a column of numbers and words per fit, then why the numbers differ.

As text at most 120 columns wide, in blocks of columns under each other where there are too many; as HTML in a notebook.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import final

from ..covariance.correlated import CORRELATED
from ..covariance.odds_ratios import OddsRatios
from ..errors import GlimmError
from ..inference.comparable import Criteria, compared
from ..inference.covariance import Inference
from ..inference.criteria import criteria_errors
from ..inference.parameters import family_parameters
from ..inference.quasi_information import Qic, compared_qic
from ..inference.random import covariances
from ..inference.wald import interval
from ..marginal.attenuation import Attenuated, attenuate, intercept_sd
from ..marginal.coefficients import marginal_coefficients
from ..records import GeeRecord, GlmRecord, MixedRecord, Record
from ..text import decimals, figures, listed, number
from . import tables, words
from .sections import Heading, Row, SideBySide

WIDTH = 120
MOST_TERMS = 8
MOST_CORRELATIONS = 4


@final
@dataclass(frozen=True, slots=True)
class Model:
    """One fit of a comparison: its number, its name, its record."""

    number: int
    name: str
    record: Record


@final
@dataclass(frozen=True, slots=True)
class Column:
    """One column: a fit with one kind of standard errors."""

    model: Model
    inference: Inference


def heading(models: Sequence[Model]) -> Heading:
    """Title, event and the formulas."""
    design = models[0].record.design
    title = f"Comparison of {len(models)} fits of {design.response.name}"
    kinds = {(m.record.family.name, m.record.design.mean.link.name) for m in models}
    if len(kinds) == 1:
        family, link = next(iter(kinds))
        title += f": {family}, {link} link"
    event = (design.response.event,) if design.response.event else ()
    return Heading(title, (*event, *(f"({m.number}) {m.name}: {m.record.design.spec.formula.text}" for m in models)))


def body(columns: Sequence[Column]) -> SideBySide:
    """The table: coefficients, other parameters, meanings, the account of rows."""
    groups = (coefficient_rows(columns), meaning_rows(columns), other_rows(columns), criteria_rows(columns), account_rows(columns))
    return SideBySide("estimate\n(95 % interval)", heads_of(columns), tuple(tuple(group) for group in groups if group))


def heads_of(columns: Sequence[Column]) -> tuple[str, ...]:
    """Number and name of each column's fit."""
    return tuple(f"({c.model.number}) {c.model.name}" for c in columns)


def coefficient_rows(columns: Sequence[Column]) -> list[Row]:
    """Term, then per column the estimate over its interval; blank where a fit does not have the term."""
    terms = list(dict.fromkeys(name for c in columns for name in c.inference.names))
    cells: dict[tuple[int, str], tuple[float, float, float, float]] = {}
    for k, c in enumerate(columns):
        low, high = interval(c.inference, 0.95)
        for name, *values in zip(c.inference.names, c.inference.params, c.inference.bse, low, high, strict=True):
            cells[k, name] = tuple(float(v) for v in values)  # type: ignore[assignment]
    rows = []
    for term in terms:
        held = [cells[k, term] for k in range(len(columns)) if (k, term) in cells]
        places = decimals(min((se for _, se, _, _ in held if math.isfinite(se) and se > 0.0), default=math.nan))
        rows.append((term, tuple(cell(cells.get((k, term)), places) for k in range(len(columns)))))
    return rows


def cell(held: tuple[float, float, float, float] | None, places: int) -> str:
    """An estimate over its interval (estimate, standard error, low, high); blank where there is none."""
    if held is None:
        return "\n"
    estimate, _, low, high = held
    if math.isnan(low):
        return f"{number(estimate, places)}\n(no interval)"
    return f"{number(estimate, places)}\n({number(low, places)}, {number(high, places)})"


def other_rows(columns: Sequence[Column]) -> list[Row]:
    """Standard deviations of random effects and of the residual, working correlation, dispersion."""
    found: dict[str, dict[int, str]] = {}
    for k, c in enumerate(columns):
        one, gone = range_of_many(c.model.record)
        for name, value in one:
            found.setdefault(name, {})[k] = value
        for name, amount in other_parameters(c.model.record):
            if name not in gone:
                found.setdefault(name, {})[k] = figures(amount)
    return [(name, tuple(held.get(k, "") for k in range(len(columns)))) for name, held in found.items()]


def other_parameters(record: Record) -> list[tuple[str, float]]:
    """Names and values of what a fit estimates besides coefficients."""
    out = []
    if isinstance(record, MixedRecord):
        alike = _alike(record)
        for row in tables.varcorr(record).to_dict("records"):
            if row["group"] == "Residual":
                out.append(("residual sd", float(row["std_dev"])))
            elif math.isnan(row["variance"]):
                out.append((f"{row['term']} of {row['group']}", float(row["correlation"])))
            else:
                effect = alike.get((row["group"], row["term"]), row["term"])
                out.append((f"sd of {row['group']} {effect}", float(row["std_dev"])))
        out = list(dict(out).items())
        at = len(out) - int("residual sd" in dict(out))
        out[at:at] = [found for found in _correlations(record) if found[0] not in dict(out)]
    elif not record.family.scale_known and record.family.support == "real":
        out.append(("residual sd", math.sqrt(record.scale)))
    if (own := family_parameters(record)) is not None:
        out += [(f"{record.family.name} {name}", float(value)) for name, value in zip(own.names, own.values, strict=True)]
    given = zip(record.family.parameters, record.family.fixed, strict=False)
    out += [(f"{record.family.name} {name} (given)", value) for name, value in given if value is not None]
    if isinstance(record, GeeRecord):
        out += [(name, float(a)) for name, a in zip(association_names(record), record.alpha, strict=True)]
        if isinstance(record.working, OddsRatios):
            return out
    pearson = isinstance(record, GeeRecord) or (isinstance(record, GlmRecord) and record.scale_rule.of(record.family) != "family")
    if pearson and record.family.name != "gaussian":
        out.append(("dispersion", record.scale))
    return out


def range_of_many(record: Record) -> tuple[list[tuple[str, str]], tuple[str, ...]]:
    """A row for the parameters between rows of a cluster where there are many, and the names that it stands for."""
    if not isinstance(record, GeeRecord) or len(record.alpha) <= MOST_CORRELATIONS:
        return [], ()
    label = "log odds ratios" if isinstance(record.working, OddsRatios) else "working correlations"
    low, high = figures(float(record.alpha.min())), figures(float(record.alpha.max()))
    return [(label, f"{len(record.alpha)}, {low} to {high}")], association_names(record)


def association_names(record: GeeRecord) -> tuple[str, ...]:
    """What the parameters between rows of a cluster are called in a comparison."""
    if isinstance(record.working, OddsRatios):
        return record.corr_names
    return tuple(f"working correlation {name}" for name in record.corr_names)


def _correlations(record: MixedRecord) -> list[tuple[str, float]]:
    """Those of the structured terms that have one parameter of correlation."""
    terms = enumerate(zip(record.design.mean.random, covariances(record), strict=True))
    return [
        (f"{name} of {term.group}", value)
        for index, (term, sigma) in terms
        if term.structure in CORRELATED and CORRELATED[term.structure].correlations(len(term.names)) == 1
        for name, value in tables.correlations(record, index, sigma)
    ]


def _alike(record: MixedRecord) -> dict[tuple[str, str], str]:
    """(group, effect) -> the left side of its term, for effects that have one standard deviation between them."""
    terms = [
        term
        for term in record.design.mean.random
        if term.structure in CORRELATED and CORRELATED[term.structure].one_sd and term.times is None
    ]
    return {(term.group, name): words.occasion(term) for term in terms for name in term.names}


def criteria_rows(columns: Sequence[Column]) -> list[Row]:
    """Log-likelihood, AIC and BIC, and with which fits they may be compared."""
    models = list({c.model.number: c.model for c in columns}.values())
    found = dict(zip([m.number for m in models], compared([m.record for m in models]), strict=True))
    quasi = quasi_of(models)[0]
    smaller: list[Row] = [
        (label, tuple(number(getattr(quasi[k], name), places) if (k := c.model.number) in quasi else "" for c in columns))
        for label, name, places in (("QIC", "qic", 2), ("CIC", "cic", 3))
        if quasi
    ]
    if not any(c.values for c in found.values()):
        return smaller
    each = [found[c.model.number] for c in columns]
    rows: list[Row] = [
        (label, tuple(number(c.values[name], 2) if c.values else "" for c in each))
        for label, name in (("log-likelihood", "llf"), ("AIC", "aic"), ("BIC", "bic"))
    ]
    if any("llf_error" in c.values for c in each):
        rows += [
            (label, tuple(figures(c.values[name], 2) if name in c.values else "exact" if c.values else "" for c in each))
            for label, name in (("error of log-likelihood", "llf_error"), ("error of AIC and BIC", "aic_error"))
        ]
    if len(models) > 1:
        rows.append(("criteria compare with", tuple(_partners(c, models) for c in each)))
    return rows + smaller


def quasi_of(models: Sequence[Model]) -> tuple[dict[int, Qic], float | None]:
    """Criteria of the GEE by number, where there are several that may be compared, and the dispersion given to all of them."""
    gee = [(m.number, m.record) for m in models if isinstance(m.record, GeeRecord)]
    if len(gee) < 2:
        return {}, None
    found, scale = compared_qic([record for _, record in gee])
    return dict(zip([number for number, _ in gee], found, strict=False)), scale


def quasi_words(models: Sequence[Model]) -> list[str]:
    """What QIC and CIC say of several GEE, and what they do not."""
    found, scale = quasi_of(models)
    alike = len({m.record.design.mean.names for m in models if m.number in found}) == 1
    name = "cic" if alike else "qic"
    values = {k: float(getattr(q, name)) for k, q in found.items() if math.isfinite(getattr(q, name))}
    best = min(values, key=values.__getitem__, default=None)
    if best is None:
        return []
    shared = "" if scale is None else f" Both are for one dispersion, {figures(scale)}, in all fits."
    return [
        "Of QIC and CIC the smaller is the better: CIC for working correlations of the same predictors, QIC for predictors too. "
        f"({best}) has the smallest {name.upper()}.{shared} They are about small standard errors, not about which fit is right: estimates "
        "stay consistent under each working correlation."
    ]


def simulated_words(models: Sequence[Model]) -> list[str]:
    """What errors of log-likelihoods do to differences."""
    found = [f"({m.number})" for m in models if criteria_errors(m.record)]
    if not found:
        return []
    return [
        f"The log-likelihood of {listed(found)} is a Monte-Carlo estimate; its standard error, and that of AIC and BIC, stand below them. "
        "The error of a difference is the root of the sum of squares: errors of two fits do not cancel, whatever their seeds."
    ]


def _partners(c: Criteria, models: Sequence[Model]) -> str:
    """The fits whose criteria mean the same, or why there are none."""
    exact, near = ([f"({models[k].number})" for k in which] for which in (c.exact, c.near))
    parts = ([listed(exact)] if exact else []) + ([f"{listed(near)} roughly (Laplace)"] if near else [])
    return "; ".join(parts) if parts else f"none here: {c.why}"


def meaning_rows(columns: Sequence[Column]) -> list[Row]:
    """What each number means, what is assumed of the rows of a cluster, which standard errors, how estimated."""
    names = list(dict.fromkeys(name for c in columns for name in words.group_names(c.model.record)))
    cluster = f"rows of one {names[0]}" if len(names) == 1 else "rows of one cluster"
    say: list[tuple[str, Callable[[Column], str]]] = [
        ("a coefficient is", lambda c: words.short_meaning(c.model.record)),
        (cluster if names else "rows", lambda c: words.within_cluster(c.model.record, c.inference.label)),
        ("standard errors", lambda c: c.inference.label),
        ("estimated by", lambda c: words.short_method(c.model.record)),
    ]
    return [(label, tuple(f(c) for c in columns)) for label, f in say]


def account_rows(columns: Sequence[Column]) -> list[Row]:
    """Rows and clusters used, what was lost by which variable, what is assumed about missing values."""
    say: list[tuple[str, Callable[[Column], str]]] = [
        ("rows used", lambda c: f"{c.model.record.design.n} of {c.model.record.design.missing.n_rows}"),
        ("rows lost", lambda c: words.losses(c.model.record.design.missing)),
        ("clusters used", _clusters),
        ("clusters lost", _clusters_lost),
        ("missing values", lambda c: f"assumed {words.missing_assumption(c.model.record)}"),
    ]
    if not any("cluster" in c.inference.label or words.group_names(c.model.record) for c in columns):
        say = [row for row in say if "clusters" not in row[0]]
    rows = [(label, tuple(f(c) for c in columns)) for label, f in say]
    return [row for row in rows if any(row[1])]


def _clusters(column: Column) -> str:
    groups = words.groupings(column.model.record)
    if groups:
        return "; ".join(f"{group.name}: {words.cluster_words(group)}" for group in groups)
    return "in the standard errors only" if "cluster" in column.inference.label else "none"


def _clusters_lost(column: Column) -> str:
    missing, names = column.model.record.design.missing, words.group_names(column.model.record)
    lost = {name: words.cluster_losses(missing, name) for name in names}
    return "; ".join(f"{name}: {text}" if len(names) > 1 else text for name, text in lost.items() if text)


def explanations(models: Sequence[Model], columns: Sequence[Column]) -> list[str]:
    """Why the numbers differ, what a wrong working correlation does, what happens to missing values."""
    out = []
    for m in models:
        if isinstance(m.record, MixedRecord) and (why := _why_different(m, m.record, models)):
            inference = next(c.inference for c in reversed(columns) if c.model is m)
            out += [*why, *_integrated(m, m.record, inference)]
    gee = [c for c in columns if isinstance(c.model.record, GeeRecord)]
    if gee:
        out.append("GEE estimates stay consistent if the working correlation is wrong, as long as the model of the mean is right.")
        trusting = [f"({c.model.number})" for c in gee if "robust" not in c.inference.label]
        if len(trusting) < len(gee):
            out[-1] += " So do their robust standard errors, given many clusters."
        if trusting:
            out[-1] += f" The model-based standard errors of {listed(trusting)} do not."
    out += quasi_words(models) + simulated_words(models)
    if any(words.group_names(m.record) for m in models):
        everything = {2: "both", 3: "all three"}.get(len(models), "every fit")
        same = len({m.record.design.spec.names for m in models}) == 1
        out.append(
            f"A cluster with some visits (rows) missing stays in {everything} with the rows that it has. "
            f"A row with a missing predictor is lost to {everything if same else 'every fit that has this predictor'}."
        )
    return out


def _why_different(mixed: Model, record: MixedRecord, models: Sequence[Model]) -> list[str]:
    link = record.design.mean.link.name
    marginal = [m for m in models if not isinstance(m.record, MixedRecord) and m.record.design.mean.link.name == link]
    if not marginal:
        return []
    me, groups = f"({mixed.number}) {mixed.name}", words.group_names(record)
    others = listed([f"({m.number})" for m in marginal])
    if link == "identity":
        return [f"With an identity link the coefficients of {me} and {others} mean the same: conditional and marginal effects coincide."]
    one = f"one {groups[0]}" if len(groups) == 1 else f"single clusters ({listed(list(groups))})"
    what = f"{me} describes {one}, {others} the average over the population."
    sd = intercept_sd(record)
    if link == "log" and sd is not None:
        return [
            f"{what} With a log link and {_intercepts(record)} both have the same coefficients but for the intercept, which is "
            f"sd^2 / 2 = {figures(0.5 * sd * sd)} higher for the average."
        ]
    if not words.only_intercepts(record):
        return [
            f"{what} The {link} link is curved, so the average over many clusters' curves is not the curve of one typical cluster, and "
            f"with {'random slopes' if words.random_slopes(record) else 'random effects that differ inside clusters'} it need not have "
            "the shape of one. Neither is wrong; they answer different questions."
        ]
    why = (
        f"{what} The {link} link is curved, so the average over many clusters' curves is not the curve of one typical cluster: "
        "it is flatter, and marginal coefficients are closer to zero, the more the clusters differ. "
        "Neither is wrong; they answer different questions."
    )
    found = attenuate(record)
    return [why] if found is None else [why, *_attenuated(mixed, record, found)]


def _attenuated(mixed: Model, record: MixedRecord, found: Attenuated) -> list[str]:
    """The rule and its line of numbers."""
    inside, result, how = (
        "c^2 sd^2",
        "approximately the marginal ones (c = 16 sqrt(3) / (15 pi); Zeger, Liang and Albert 1988)",
        "approximate",
    )
    if found.exact:
        inside, result, how = "sd^2", "exactly the marginal ones", "exact"
    together = "" if len(record.design.mean.random) == 1 else " together"
    values = ", ".join(f"{name} {number(float(value), 3)}" for name, value in zip(record.design.mean.names, found.params, strict=True))
    return [
        f"With {_intercepts(record)} of sd {figures(found.sd)}{together}, conditional coefficients divided by sqrt(1 + {inside}) = "
        f"{figures(found.factor)} are {result}.",
        f"{mixed.name} coefficients on the marginal scale ({how}): {values}",
    ]


def _integrated(mixed: Model, record: MixedRecord, inference: Inference) -> list[str]:
    """The coefficients on the marginal scale with their intervals, where no closed form is exact."""
    found = attenuate(record)
    if record.design.mean.link.name == "identity" or (found is not None and found.exact):
        return []
    try:
        marginal = marginal_coefficients(record, inference).inference
    except GlimmError as error:
        return [f"{mixed.name} coefficients have no marginal scale here: {error}."]
    low, high = interval(marginal, 0.95)
    each = zip(marginal.names, marginal.params, marginal.bse, low, high, strict=True)
    shown = [f"{name} {cell((b, se, a, c), decimals(se))}".replace("\n", " ") for name, b, se, a, c in list(each)[:MOST_TERMS]]
    more = f" and {len(marginal.names) - MOST_TERMS} more" if len(marginal.names) > MOST_TERMS else ""
    return [f"{mixed.name} coefficients on the marginal scale by integration, with 95 % intervals: {', '.join(shown)}{more}"]


def _intercepts(record: MixedRecord) -> str:
    return "a normal random intercept" if len(record.design.mean.random) == 1 else "normal random intercepts"
