"""How the search ended: an optimum or not, told by the Newton decrement g'H^-1 g in units of -2 log L, which no scale of a predictor moves.

One Newton step lowers -2 log L by about the decrement d, and moves no estimate by more than sqrt(d) of its standard errors.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..covariance.layout import theta_names
from ..estimators.ending import SHARE, STOPPED, parameter_names, weakest
from ..estimators.glmm import EDGE, NOWHERE
from ..estimators.separation import END_OF_LINK, bounded
from ..inference.covariance import theta_jacobian
from ..inference.criteria import llf_error
from ..kernels import positive_definite
from ..records import GeeRecord, GlmRecord, MixedRecord
from ..text import counted, figures, listed
from .findings import Finding
from .sight import Sight
from .simpler import shown, without_effects

HARMLESS = 1e-4
WEAK = 1e-4
MANY_NAMES = 4
FAR = 0.05


def search(sight: Sight) -> Iterator[Finding]:
    """Findings about where the search ended."""
    record = sight.record
    solution, evidence = record.solution, dict(record.solution.evidence or {})
    flat = list(flatness(sight, sight.mixed)) if sight.mixed is not None and solution.code != "separated" else []
    yield from flat
    if solution.code == "not_converged" and not (flat and 0.0 <= solution.decrement < HARMLESS):
        yield stopped(sight)
    if solution.message.startswith(STOPPED):
        yield harmless(sight)
    if solution.code == "boundary" and not solution.active:
        yield at_end(sight)
    if sight.mixed is not None and llf_error(sight.mixed) != 0.0:
        yield simulated(sight.mixed)
    note = str(evidence.get("note", ""))
    if note.startswith("as many coefficients"):
        yield Finding(
            "no_residual_rows",
            "warning",
            f"{record.design.n} rows for {counted(record.design.mean.matrix.p, 'coefficient')}: the model fits every row exactly.",
            "There are no standard errors, and the estimates say nothing of other rows.",
            "Use fewer predictors, or more rows.",
            {"rows": record.design.n, "coefficients": record.design.mean.matrix.p},
        )
    elif note.startswith("the predictors fit every row exactly"):
        yield Finding(
            "no_residual_variation",
            "warning",
            f"The predictors give {record.design.response.name} in all {record.design.n} rows, but for rounding.",
            "The dispersion is zero: standard errors are zero or rounding, and log L, AIC and BIC have no end.",
            "Look whether a predictor is the response in another form, such as a copy, a sum or another unit; leave it out.",
            {"rows": record.design.n, "coefficients": record.design.mean.matrix.p},
        )


def stopped(sight: Sight) -> Finding:
    """The search did not reach an optimum, or stopped so near to it that it makes no difference."""
    record = sight.record
    solution = record.solution
    d = float(solution.decrement)
    evidence = {"decrement": d, "evaluations": solution.evaluations, "log_likelihood": float(getattr(record, "llf", math.nan))}
    steps = "passes" if isinstance(record, GlmRecord | GeeRecord) else "evaluations"
    if solution.message.startswith((EDGE, NOWHERE, END_OF_LINK)):
        ended = solution.message.startswith(END_OF_LINK)
        said = solution.message.partition(", where neither")[0]
        return Finding(
            "no_curvature",
            "error",
            f"{said[0].upper()}{said[1:]}.",
            "Neither estimates nor standard errors, tests or intervals hold."
            if ended
            else "There are no standard errors, tests or intervals.",
            "Fit fewer random effects."
            if record.design.mean.link.name == record.family.default_link
            else f"Use link={record.family.default_link!r}, which allows every value of the linear predictor"
            f"{', or fit fewer random effects' if sight.terms else ''}.",
            {name: value for name, value in evidence.items() if name != "decrement"},
            2.0,
        )
    told = f", where a step would still change -2 log L by about {figures(d, 2)}" if d > HARMLESS and math.isfinite(d) else ""
    moved = f" An estimate may move by {figures(math.sqrt(d), 2)} standard errors in one step." if told else ""
    ways = ["raise max_iter (control=glimm.Control(max_iter=500))"]
    if sight.terms:
        ways.append("fit fewer random effects")
    if sight.record.design.mean.link.name != record.family.default_link:
        ways.append(f"use link={record.family.default_link!r}")
    return Finding(
        "not_converged",
        "error",
        f"The search ended after {solution.evaluations} {steps} without an optimum{told}.",
        f"These numbers are not the estimates.{moved}",
        f"{listed(ways, 'or')[0].upper()}{listed(ways, 'or')[1:]}.",
        evidence,
        2.0,
        told=True,
    )


def harmless(sight: Sight) -> Finding:
    """A search that was stopped so near to its end that it makes no difference."""
    solution = sight.record.solution
    d = float(solution.decrement)
    return Finding(
        "stopped_at_the_optimum",
        "note",
        f"The search was stopped after {solution.evaluations} evaluations, where one step more would change -2 log L by {d:.1g}.",
        f"A further step would move no estimate by more than {figures(math.sqrt(d), 2)} of its standard errors: nothing that is reported "
        "changes.",
        "Nothing; or raise max_iter (control=glimm.Control(max_iter=500)).",
        {"decrement": d, "evaluations": solution.evaluations},
    )


def simulated(record: MixedRecord) -> Finding:
    """A log-likelihood by random vectors, and estimates that are as near to the optimum as these tell."""
    how = record.stochastic
    assert how is not None
    group = max(record.design.mean.random, key=lambda term: len(term.levels)).group
    far = not how.estimate_error <= FAR
    criteria = f"AIC and BIC have a standard error of {figures(2.0 * how.llf_error, 2)}, and so has twice a difference of log-likelihoods"
    moved = "How far estimates are from the optimum is not known. "
    if math.isfinite(how.estimate_error):
        distance = f"{figures(max(how.estimate_error, 0.001), 2)} of its standard errors from the optimum. "
        moved = f"An estimate may be {distance}" if far else f"No estimate is more than about {distance}"
    gigabytes = 8.0 * how.block**2 / 2**30
    memory = "less than 0.1 GB" if gigabytes < 0.1 else f"about {figures(gigabytes, 2)} GB"
    return Finding(
        "log_likelihood_by_simulation",
        "warning" if far else "note",
        f"The log-likelihood is a Monte-Carlo estimate from batches of {how.probes} random vectors, with a standard error of "
        f"{figures(how.llf_error, 2)}: the {how.block:,} effects beside those of {group} were not factorised.",
        f"{moved}{criteria}.",
        f"Nothing for estimates and their intervals. For criteria and lrt take more probes (control=glimm.Control(probes={4 * how.probes}) "
        f"halves the errors), or control=glimm.Control(exact_block={how.block}), which takes {memory} and makes the "
        "log-likelihood exact."
        if not far
        else f"Take more probes: control=glimm.Control(probes={4 * how.probes}) halves the errors; or "
        f"control=glimm.Control(exact_block={how.block}), which takes {memory} and ends the search exactly.",
        {
            "llf_error": how.llf_error,
            "estimate_error": how.estimate_error,
            "probes": how.probes,
            "effects": how.block,
            "iterations": how.iterations,
        },
    )


def hessian(sight: Sight, record: MixedRecord, eigenvalue: float, direction: dict[str, float]) -> Finding:
    """A Hessian that is not positive definite, along which parameters, and what informs them."""
    moved = ", ".join(f"{share:+.2f} {name}" for name, share in list(direction.items())[:MANY_NAMES])
    evidence: dict[str, Any] = {"eigenvalue": eigenvalue, "eigenvector": dict(direction)}
    ways, informs = [], []
    for term in sight.terms:
        names = [name for name in direction if name.startswith(f"{term.group}.")]
        if not names:
            continue
        sizes = sight.sizes(term)
        several = int(np.sum(sizes > len(term.names)))
        mean = float(sizes.mean())
        evidence |= {f"levels of {term.group}": len(sizes), f"rows per level of {term.group}": mean}
        informs.append(
            f"{listed(names)} rest{'s' if len(names) == 1 else ''} on {len(sizes)} levels of {term.group} with {figures(mean, 3)} rows on "
            f"average, {several} of them with more rows than the {counted(len(term.names), 'effect')} of a level"
        )
        told = [name.removeprefix(f"{term.group}.") for name in names]
        effects = [e for e in term.names if any(t == e or t.startswith(f"{e}.") or t.endswith(f".{e}") for t in told)]
        drop = [e for e in effects if e != "Intercept"] or list(term.names)
        ways.append(without_effects(sight.record.design, term, drop))
    if bounded(record.family, record.design.mean.link):
        ways.append(f"the model with link={sight.record.family.default_link!r}")
    fixed = [name for name in direction if name in sight.record.design.mean.names]
    if len(fixed) > 1 and not ways:
        ways.append(f"leave one of {listed(fixed)} out")
    said = f" {'; '.join(informs)}." if informs else ""
    remedy = f"Fit {listed([shown(way) for way in ways], 'or')}." if ways else "Use fewer parameters."
    return Finding(
        "hessian_not_positive_definite",
        "error",
        f"The Hessian of -log L is not positive definite: moving {moved}{' together' if len(direction) > 1 else ''} "
        f"does not lower the likelihood "
        f"(eigenvalue {eigenvalue:.2g} with a diagonal of ones).{said}",
        "The data do not tell these parameters apart, so none of them has a standard error; predictions and log L may still stand.",
        remedy,
        evidence,
        3.0,
        told="not curved" in record.solution.message,
    )


def flatness(sight: Sight, record: MixedRecord) -> Iterator[Finding]:
    """A Hessian that is not positive definite, or hardly so along covariance parameters."""
    if record.linear or record.solution.message.startswith(EDGE) or not np.isfinite(record.curvature).all() or not len(record.curvature):
        return
    names = parameter_names(record.design.mean, record.layouts, record.family)
    value, direction = weakest(record.curvature, names)
    if value <= 0.0 or not positive_definite(record.curvature):
        yield hessian(sight, record, value, named_direction(record))
    elif value < WEAK and any(name not in record.design.mean.names for name in direction):
        direction = named_direction(record)
        flat = f"where {', '.join(f'{v:+.2f} {k}' for k, v in direction.items())} move together"
        if len(direction) == 1:
            flat = f"in {next(iter(direction))}"
        yield Finding(
            "nearly_undetermined",
            "warning",
            f"The likelihood is almost flat {flat} (eigenvalue {value:.1g} of its Hessian with a diagonal of ones).",
            "The data hardly say what these values are: standard errors are large and rest on a curvature that is nearly lost.",
            "Use fewer covariance parameters, or more clusters.",
            {"eigenvalue": value, "eigenvector": direction},
        )


def named_direction(record: MixedRecord) -> dict[str, float]:
    """The eigenvector of the smallest eigenvalue in the parameters as reported: d = J (v / sqrt(diag)), each over its own size."""
    root = np.sqrt(np.maximum(np.abs(np.diag(record.curvature)), 1e-300))
    vectors = np.linalg.eigh(record.curvature / np.outer(root, root))[1]
    jacobian = theta_jacobian(record) / root
    size = np.abs(jacobian).max(axis=1, initial=0.0)
    unit = jacobian / np.where((size > 0.0) & np.isfinite(size), size, np.inf)[:, None]
    moved = unit @ vectors[:, 0] / np.maximum(np.linalg.norm(unit, axis=1), 1e-300)
    moved *= np.sign(moved[np.argmax(np.abs(moved))]) / max(float(np.linalg.norm(moved)), 1e-300)
    random = [name for term in record.design.mean.random for name in theta_names(term.structure, term.names, term.group)]
    names = (*record.design.mean.names, *random, *record.family.estimated)
    order = [j for j in np.argsort(-np.abs(moved)) if abs(moved[j]) >= SHARE]
    return {names[j]: float(moved[j]) for j in order}


def at_end(sight: Sight) -> Finding:
    """A parameter of the family, or the residual variance, that ran to where the model is a simpler one."""
    message = sight.record.solution.message
    seen, _, why = message.partition(": ")
    cause, marked, instead = why.rpartition("use ")
    cause = cause.rstrip(" ,:") if marked else why
    return Finding(
        "parameter_without_end",
        "warning",
        f"{seen[0].upper()}{seen[1:]}{': ' if cause else ''}{cause}.",
        "The estimate is where the search ends, not where the likelihood has a maximum; its standard error means nothing.",
        f"Use {instead}." if marked else "Leave out what the data do not tell apart.",
        {"rows": sight.record.design.n, "log_likelihood": float(getattr(sight.record, "llf", math.nan))},
        1.0,
    )
