"""Findings about rows that were left out: how many, whether that is related to predictors or to responses, and what follows for this model.

GLM, GEE: missing completely at random given the predictors; mixed models: missing at random given what is observed.
Source: Little and Rubin (2019), Statistical Analysis with Missing Data, chapters 1 and 15.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from ..errors import GlimmError
from ..estimators.control import Control
from ..estimators.glm import fit_glm
from ..estimators.residuals import pearson_residuals
from ..kernels import mean
from ..kernels.matrix import Floats, Ints
from ..records import GeeRecord, GlmRecord, MixedRecord, Record
from ..text import counted, figures, listed, number
from .findings import Finding, Severity
from .lost_rows import Coefficient, Loss, losses_of, sample
from .measure import Dropout, dropout
from .occasions import AllRows, all_rows, before, planned

CERTAIN = 5e-4
VISIBLE = math.log(1.25)
VISIBLE_DROPOUT = 0.2
SHARE = 0.01
KNOWN = 0.9
HEADS = ("row left out", "per", "odds ratio", "95 % interval", "z")


def find(record: Record, rows: AllRows | None = None) -> list[Finding]:
    """What is to be said of rows that were left out and of clusters that end early; nothing where there are none.

    rows : the caller's rows in clusters and in order, where another fit knows these better
    """
    design = record.design
    if len(design.rows) != design.n or not (design.missing.n_dropped or rows is not None or uneven(record)):
        return []
    if rows is None:
        rows = all_rows(record)
    previous = before(rows, sample(rows)) if rows.group and design.missing.n_dropped else np.full(rows.n, -1, dtype=np.int64)
    losses = losses_of(record, rows, previous)
    out = [finding for loss in losses for finding in related(record, loss, rows, previous)]
    if not any(f.code == "losses_follow_responses" for f in out):
        out += ended(record, rows)
    if design.missing.n_dropped:
        out.append(lost(record, losses, out))
    return out


def uneven(record: Record) -> bool:
    """Whether clusters have different numbers of rows."""
    for clusters in record.design.clusters.values():
        if not isinstance(record, MixedRecord) and np.ptp(clusters.sizes) > 0:
            return True
    return any(np.ptp(np.bincount(term.refs)) > 0 for term in record.design.mean.random)


def model(record: Record) -> str:
    """GLM, GEE, LMM or GLMM."""
    if isinstance(record, MixedRecord):
        return "LMM" if record.linear else "GLMM"
    return "GLM" if isinstance(record, GlmRecord) else "GEE"


def lost(record: Record, losses: Sequence[Loss], found: Sequence[Finding]) -> Finding:
    """How many rows, by which column, from which clusters; and what is assumed of them."""
    m = record.design.missing
    text = f"{m.n_dropped} of {counted(m.n_rows, 'row')} were left out: {_holes(m.by_variable)}"
    for name, loss in m.by_cluster.items():
        if loss.shortened or loss.lost:
            text += f"; of {counted(loss.clusters, 'cluster')} of {name} {loss.shortened} shortened, {loss.lost} lost"
    told = [
        f"{listed(list(loss.missing), 'or')} missing ({counted(loss.events, 'row')}) and {_by(loss)}: "
        f"p = {_p(min(b.p for b in loss.blocks.values()))}"
        for loss in losses
        if loss.blocks
    ]
    if not found and told:
        text += f". No clear relation between {'; '.join(told)}"
    silent = [_what(loss) for loss in losses if not loss.blocks]
    if silent:
        text += f". Whether that is related to what is known cannot be told for {listed(silent)}: too few, or nothing else is known of them"
    unused = {name: why for loss in losses for name, why in unused_in(loss).items()}
    if unused:
        text += f". Not looked at: {_unused(unused)}"
    evidence = {"rows": m.n_rows, "lost": m.n_dropped, "by_variable": dict(m.by_variable), "unused": unused}
    assumed = "completely at random given the predictors"
    if isinstance(record, MixedRecord):
        assumed = "at random given what is observed, the cluster's other responses included"
    consequence = f"The {model(record)} stands for all rows if values are missing {assumed}; the data cannot show all of that."
    remedy = "Report the numbers lost. What explains the losses and is known for all rows belongs in the formula."
    return Finding("rows_lost", "note", f"{text}.", consequence, remedy, evidence, m.n_dropped / m.n_rows, _shown(losses))


def unused_in(loss: Loss) -> dict[str, str]:
    """Columns that are not in the regression, with the reason; not those that are missing in all of its rows by definition."""
    return {name: why for name, why in loss.unused.items() if name not in loss.missing}


def related(record: Record, loss: Loss, rows: AllRows, previous: Ints) -> list[Finding]:
    """What the regression of one kind of loss found."""
    out: list[Finding] = []
    share = loss.events / rows.n
    for block, test in loss.blocks.items():
        if test.p >= CERTAIN:
            continue
        theirs = [c for c in loss.coefficients if c.block == block]
        visible = test.size >= VISIBLE and share >= SHARE
        evidence = {
            "columns": dict(loss.missing),
            "lost": loss.events,
            "rows": loss.rows,
            "clusters": loss.clusters,
            "by_cluster": bool(rows.outer),
            "chi2": test.chi2,
            "df": test.df,
            "p": test.p,
            "size": test.size,
            "odds_ratios": {c.label: math.exp(c.estimate) for c in theirs},
            "z": {c.label: c.z for c in theirs},
            "unused": unused_in(loss),
        }
        said = (
            f"Whether {listed(list(loss.missing), 'or')} is missing ({loss.events} of {rows.n} rows) is related to {_odds(theirs)}: "
            f"chi2 = {figures(test.chi2, 3)} on {test.df} df, p = {_p(test.p)}."
        )
        severity: Severity = "warning" if visible else "note"
        code = "losses_follow_predictors" if block in ("predictors", "outside") else "losses_follow_responses"
        if block == "predictors":
            severity, consequence, remedy = "note", *_of_predictors(record)
        elif block == "outside":
            consequence, remedy = _of_outside(record, rows.time_name)
        elif block == "before":
            known = _in_the_model(loss, record, rows, previous)
            evidence["earlier_response_in_the_fit"] = known
            if isinstance(record, MixedRecord) and known >= KNOWN:
                severity = "note"
            consequence, remedy = _of_before(record, known)
        else:
            consequence, remedy = _of_same(record, loss)
        weight = math.sqrt(test.chi2 / test.df)
        out.append(Finding(code, severity, said, consequence, remedy, evidence, weight, _shown([loss])))
    return out


def ended(record: Record, rows: AllRows) -> list[Finding]:
    """Clusters that end before the last occasion, against those that go on."""
    places, occasions = planned(rows)
    here = places[record.design.rows] >= 0
    if not occasions or not here.any():
        return []
    codes = np.unique(rows.codes[record.design.rows][here], return_inverse=True)[1].astype(np.int32)
    at = places[record.design.rows][here]
    d = dropout(residuals(record)[here], at, codes, occasions)
    if d is None or not math.isfinite(d.z) or math.erfc(abs(d.z) / math.sqrt(2.0)) >= CERTAIN:
        return []
    severity: Severity = "warning" if abs(d.difference) >= VISIBLE_DROPOUT else "note"
    if isinstance(record, MixedRecord):
        severity = "note"
    return [_dropout(record, rows, d, severity)]


def residuals(record: Record) -> Floats:
    """(n,) Pearson residuals from the mean over clusters: of a mixed model, those of a GLM with its fixed part."""
    family, eta = record.family, None
    psi = family.at_unit(record.vector[record.blocks.get("family", slice(0, 0))])
    link = record.design.mean.link
    if isinstance(record, MixedRecord):
        part = record.design.mean
        eta = part.matrix.times(record.vector[record.blocks["mean"]]) + (0.0 if part.offset is None else part.offset)
        if not record.linear:
            plain = replace(record.design, parts={**record.design.parts, "mean": replace(part, random=())})
            try:
                alone = fit_glm(plain, family, Control())
                eta, psi = alone.eta, family.at_unit(alone.vector[alone.blocks.get("family", slice(0, 0))])
            except GlimmError:
                pass
    else:
        eta = record.eta
    r = pearson_residuals(record.design, family, mean(link.kernel, eta)[0], psi)
    spread = float(r.std())
    return r / spread if spread > 0.0 else r


def _dropout(record: Record, rows: AllRows, d: Dropout, severity: Severity) -> Finding:
    named = f"{rows.time_name} (a predictor that increases from row to row, taken as time)" if rows.guessed else rows.time_name
    said = (
        f"{d.clusters} clusters of {rows.group} end before the last occasion of {named}, with a last residual "
        f"{figures(abs(d.difference), 2)} sd {'above' if d.difference > 0 else 'below'} that of the others at the same occasion "
        f"(z = {figures(d.z, 3)})."
    )
    consequence, remedy = _of_before(record, 1.0)
    evidence = {"clusters": d.clusters, "difference": d.difference, "z": d.z, "time": rows.time_name, "guessed": rows.guessed}
    return Finding("dropout_follows_responses", severity, said, consequence, remedy, evidence, abs(d.z))


def _of_predictors(record: Record) -> tuple[str, str]:
    return (
        f"The {model(record)} allows losses that follow its predictors, where its model of the mean is right in them: coefficients stand. "
        "Averages over the rows used (fit.effect, fit.means, plain means) are of other rows than the data's.",
        "Check the shape of these predictors (fit.plot); average over the people that are meant with population=, a table of them.",
    )


def _of_outside(record: Record, name: str) -> tuple[str, str]:
    return (
        f"{name} is not among the predictors, and the {model(record)} assumes that losses do not follow what else changes the response.",
        f"Add {name} to the formula.",
    )


def _of_before(record: Record, known: float) -> tuple[str, str]:
    """known : share of the rows lost whose earlier response is in the fit."""
    name = model(record)
    if not isinstance(record, MixedRecord):
        beside = ", the less the nearer its working correlation is to the truth" if isinstance(record, GeeRecord) else ""
        return (
            f"The {name} assumes missing completely at random given the predictors, which this contradicts: its estimates lean towards "
            f"the clusters that stay{beside}.",
            "Fit glimm.glmm, which allows losses that follow responses it has seen, and bring it to averages with fit.marginal_params() "
            "or fit.effect(...); or impute.",
        )
    if known >= KNOWN:
        return (
            f"The {name} allows that, since the earlier responses are in it and if its random effects are right; a GLM or GEE of these "
            "rows may be biased.",
            "None for the losses seen; check the random effects, and report that this was so.",
        )
    return (
        f"The {name} allows losses that follow responses in it, but the earlier response of {100 * (1 - known):.0f} % of these rows was "
        "left out as well: its estimates may be biased.",
        "Leave the column that is missing out of the formula, or impute it.",
    )


def _of_same(record: Record, loss: Loss) -> tuple[str, str]:
    names = listed(list(loss.missing))
    return (
        f"Given their predictors, the rows kept have other responses than the rows lost: the {model(record)} of the complete rows is "
        "biased, as any model of them is (but for coefficients of a logistic model where nothing else decides).",
        f"Impute {names}, several times and with the response among the predictors of {names}; or leave "
        f"{'it' if len(loss.missing) == 1 else 'them'} out of the formula.",
    )


def _in_the_model(loss: Loss, record: Record, rows: AllRows, previous: Ints) -> float:
    """Share of the rows lost after a known response for which the fit has that response."""
    inputs = record.design.inputs
    assert inputs is not None
    gone = ~rows.used & (previous >= 0)
    event = np.zeros(rows.n, dtype=np.bool_)
    columns = {**inputs.variables, **{v.name: v for v in inputs.arguments.values()}, **inputs.columns}
    for name in loss.missing:
        missing = columns[name].missing
        if missing is not None:
            event |= missing
    gone &= event
    return float(rows.used[previous[gone]].mean()) if gone.any() else 0.0


def _shown(losses: Sequence[Loss]) -> tuple[tuple[str, ...], ...]:
    """The regressions as rows of a table."""
    out: list[tuple[str, ...]] = []
    for loss in losses:
        prefix = "" if len(losses) == 1 else f"{listed(list(loss.missing))} missing: "
        out += [(f"{prefix}{c.label}", c.unit, *_cells(c)) for c in loss.coefficients]
    return (HEADS, *out) if out else ()


def _cells(c: Coefficient) -> tuple[str, str, str]:
    if math.isnan(c.std_error):
        return ("> 1000" if c.estimate > 0 else "< 0.001"), "none", "none"
    half = 1.959963984540054 * c.std_error
    return (
        figures(math.exp(c.estimate), 3),
        f"{figures(math.exp(c.estimate - half), 3)} to {figures(math.exp(c.estimate + half), 3)}",
        number(c.z, 2),
    )


def _odds(coefficients: Sequence[Coefficient]) -> str:
    """The largest coefficients in words."""
    ordered = sorted(coefficients, key=lambda c: -abs(c.estimate))[:4]
    return listed([f"{c.label} (odds ratio {_cells(c)[0]}{' per ' if c.unit.startswith('sd') else ', '}{c.unit})" for c in ordered])


def _unused(unused: Mapping[str, str]) -> str:
    return listed([f"{name} ({why})" for name, why in unused.items()])


def _what(loss: Loss) -> str:
    return f"{counted(loss.events, 'row')} without {listed(list(loss.missing), 'or')}"


def _by(loss: Loss) -> str:
    return listed(list(dict.fromkeys(c.label for c in loss.coefficients))) or "anything"


def _holes(by_variable: Mapping[str, int]) -> str:
    return listed([f"{name} missing in {count}" for name, count in by_variable.items()])


def _p(p: float) -> str:
    return f"{p:.3f}" if p >= 0.001 else f"{p:.0e}"
