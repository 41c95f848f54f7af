"""Checks of a fit to levels: the search, the columns, the clusters, rows left out. Residuals of levels are not looked at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

from ..data.text import string
from ..inference.small_sample import FEW, REMEDY, asked_of
from ..records import LevelsRecord, Record
from ..text import counted
from .check import Checked
from .findings import Finding, ranked
from .losses import lost
from .predictors import collinear, left_out, scales
from .sight import Sight

LOOKED = ("the search", "predictors", "clusters", "rows left out")
LOOKED_GLM = ("the search", "predictors", "rows left out")


def check_levels(record: LevelsRecord, vcov: Any) -> Checked:
    """Every check of such a fit."""
    same = cast(Record, record)  # these checks see the design alone
    sight = Sight(same, vcov)
    found = [*_search(record), *left_out(sight), *collinear(sight), *scales(sight), *_few(record, vcov)]
    if record.design.missing.n_dropped:
        found.append(lost(same, (), ()))
    return Checked(
        ranked(found), ("residuals, which a response with levels does not have",), LOOKED if record.design.clusters else LOOKED_GLM
    )


def _search(record: LevelsRecord) -> Iterator[Finding]:
    solution = record.solution
    if solution.code == "separated":
        names = list((solution.evidence or {}).get("infinite", ()))
        yield Finding(
            "separated",
            "error",
            f"{solution.message[0].upper()}{solution.message[1:].partition(';')[0]}.",
            "These coefficients have no finite estimate and no standard error; the probabilities beside them are 0 or 1.",
            "Join levels of the response or of the predictor, or leave the predictor out.",
            {"terms": names},
            2.0,
        )
    elif solution.code == "not_converged":
        yield Finding(
            "not_converged",
            "error",
            f"The search ended after {solution.evaluations} passes without a solution.",
            "These numbers are not the estimates.",
            "Raise max_iter (control=glimm.Control(max_iter=500))" + (", or use corr='independence'." if record.door == "gee" else "."),
            {"decrement": float(solution.decrement), "evaluations": solution.evaluations},
            2.0,
            told=True,
        )


def _few(record: LevelsRecord, vcov: Any) -> Iterator[Finding]:
    if record.door == "glm" and not isinstance(vcov, Mapping):
        return
    clusters = next(iter(record.design.clusters.values()))
    count, p = len(clusters.levels), len(record.vector)
    kind = asked_of(vcov).kind if record.door == "gee" else "robust"
    if kind == "model" or (kind != "robust" and count > p) or count >= FEW:
        return
    instead = f"Use standard errors that allow for few clusters: glimm.gee(..., groups={string(clusters.name)}, {REMEDY})."
    if record.door == "gee":
        instead = f"Use standard errors that allow for few clusters: glimm.gee(..., {REMEDY})."
    if count <= p:
        instead = "Use the errors of the model, vcov='model', or fewer predictors."
    yield Finding(
        "few_clusters",
        "error" if count <= p else "warning",
        f"{clusters.name} has {count} clusters for {counted(p, 'parameter')}, and the standard errors are sums over clusters.",
        "With as many parameters as clusters these errors are zero in some direction."
        if count <= p
        else f"With fewer than {FEW} clusters robust standard errors are too small, and p-values with them.",
        f"{instead} Where a predictor differs between clusters only, no model makes up for few of them: say how many there are.",
        {"clusters": count, "coefficients": p},
        1.0 / count,
    )
