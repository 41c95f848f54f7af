"""Facts -> what is missing and what each model that is advised assumes about it.

A mixed model: missing given what is observed; a GEE and a GLM: missing given the predictors alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..text import counted, figures, listed
from . import flags
from .facts import Facts
from .records import Answer, Statement


def missing(facts: Facts, answers: tuple[Answer, ...]) -> tuple[Statement, ...]:
    """Rows lost, occasions lost, assumptions."""
    out = [*losses(facts, answers), *untimed(facts, answers), *occasions(facts)]
    count = facts.missing.n_dropped
    t = facts.times
    absent = t.stopped + t.gaps if t is not None and t.common else 0
    told = f"{counted(count, 'row')} left out" + (f", {counted(absent, 'cluster')} without all occasions" if absent else "")
    evidence = {"rows": count, "clusters": absent}
    called = "" if count or absent else ", though nothing here calls on it"
    models = {answer.model for answer in answers}
    if "glmm" in models:
        out.append(
            Statement(
                "assumes_at_random",
                f"The mixed model assumes that outcomes are missing at random given the predictors and the cluster's other outcomes"
                f"{called} ({told}).",
                evidence,
            )
        )
    if models & {"gee", "glm"}:
        name = "GEE" if "gee" in models else "GLM"
        out.append(
            Statement(
                "assumes_completely_at_random",
                f"The {name} assumes that outcomes are missing completely at random given the predictors{called} ({told}).",
                evidence,
            )
        )
    return tuple(out)


def losses(facts: Facts, answers: tuple[Answer, ...]) -> list[Statement]:
    """Rows, by variable and by cluster."""
    m = facts.missing
    if not m.n_dropped:
        return [Statement("nothing_missing", f"No value is missing: {m.n_used} of {m.n_rows} rows are used.", {"rows": m.n_used})]
    by_variable = listed([f"{name} in {count}" for name, count in m.by_variable.items()])
    spared = [name for name in m.by_variable if not all(names(answer, name) for answer in answers)]
    by = "by every model" if not spared else f"here; a model without {listed(spared)} keeps those where nothing else is missing"
    out = [
        Statement(
            "rows_lost",
            f"{m.n_dropped} of {counted(m.n_rows, 'row')} have a missing value ({by_variable}) and are left out {by}.",
            {"lost": m.n_dropped, "rows": m.n_rows, **m.by_variable},
        )
    ]
    for name, loss in m.by_cluster.items():
        if loss.shortened or loss.lost:
            out.append(
                Statement(
                    "clusters_lost",
                    f"Of {loss.clusters} clusters of {name} that shortens {loss.shortened} and leaves out {loss.lost} altogether.",
                    {"clusters": loss.clusters, "shortened": loss.shortened, "lost": loss.lost},
                )
            )
    return out


def names(answer: Answer, column: str) -> bool:
    """Whether a call uses a column."""
    return re.search(rf"(?<!\w){re.escape(column)}(?!\w)", answer.call) is not None


def untimed(facts: Facts, answers: tuple[Answer, ...]) -> Iterator[Statement]:
    """Rows without a time."""
    t = facts.times
    if t is None or not t.missing:
        return
    loses = any("time=" in answer.call for answer in answers)
    yield Statement(
        "time_missing",
        f"{t.name} is missing in {t.missing} of the {facts.n} rows used: what is said of time rests on the other {facts.n - t.missing}"
        + (f", and the call with time= uses these {facts.n - t.missing} alone." if loses else "; the calls do not use it."),
        {"missing": t.missing, "rows": facts.n},
    )


def occasions(facts: Facts) -> list[Statement]:
    """Clusters without all occasions, and whether those that end early were different before."""
    t, d = facts.times, facts.dropout
    if t is None or not t.common or not t.stopped + t.gaps:
        return []
    out = [
        Statement(
            "occasions",
            f"Of {t.occasions} occasions of {t.name}, {counted(t.complete, 'cluster')} of {t.group} have all, {t.stopped} have the first "
            f"few only (dropout), {t.gaps} have gaps or a later start.",
            {"occasions": t.occasions, "complete": t.complete, "stopped": t.stopped, "gaps": t.gaps},
        )
    ]
    if d is not None and not flags.dropout_matters(facts):
        out.append(
            Statement(
                "dropout_unrelated",
                f"The {d.clusters} clusters that end early were not clearly different before (last residual {figures(d.difference, 2)} "
                f"from that of the others, z = {figures(d.z, 2)}).",
                {"clusters": d.clusters, "difference": d.difference, "z": d.z},
            )
        )
    return out
