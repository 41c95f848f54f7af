"""glimm: its three doors."""

from __future__ import annotations

from typing import Any

import glimm

from . import Answer, Call, NotOffered


def prepare(task: Any, rows: Any) -> Call:
    def whole() -> Any:
        if task.kind == "glm":
            return glimm.glm(task.formula, rows, family=task.family, link="log" if task.offset else None, offset=task.offset or None)
        if task.kind == "gee":
            return glimm.gee(task.formula, rows, groups=task.clusters, corr=task.corr, family=task.family)
        if task.kind == "lmm":
            return glimm.glmm(task.formula, rows, reml=task.reml)
        return glimm.glmm(task.formula, rows, family=task.family, points=task.points)

    first = whole() if task.refit or task.bootstrap or task.ask else None
    if task.ask:
        return question(task, first)
    if task.bootstrap:
        return bootstrap(task, first)
    y = rows[task.response].to_numpy()

    def fit() -> Any:
        model = whole() if first is None else first.refit(y)
        return model, model.params, model.bse, None if task.by_coefficients else model.llf

    def read(answer: Any) -> Answer:
        model, params, bse, llf = answer
        note = "" if model.converged else "says it did not converge"
        if task.points == "auto":
            note = f"{model.points} points"
        search = getattr(model.record, "stochastic", None)
        if search is not None:
            end = "exact" if search.exact else "noisy"
            note = f"{note} {search.probes} probes, at most {search.iterations} CG iterations, {end} end".strip()
        return Answer(llf, params.tolist(), bse.tolist(), note, deviations(model), 0.0 if search is None else search.llf_error)

    return Call(glimm.__version__, fit, read)


def deviations(model: Any) -> list[float]:
    """Of the random intercepts and of the residuals; empty for other models."""
    if not hasattr(model, "varcorr"):
        return []
    return [float(sd) for sd in model.varcorr()["std_dev"]]


def question(task: Any, first: Any) -> Call:
    what, variable = task.ask.split()

    def read(table: Any) -> Answer:
        return Answer(None, table["estimate"].tolist(), table["std_error"].tolist())

    return Call(glimm.__version__, lambda: first.effect(variable, values=(0, 1)) if what == "effect" else first.slope(variable), read)


def bootstrap(task: Any, first: Any) -> Call:
    if not hasattr(first, "bootstrap"):
        raise NotOffered("no bootstrap yet")

    def read(table: Any) -> Answer:
        replicates = table[list(first.params.index)]
        return Answer(None, replicates.mean().tolist(), replicates.std().tolist(), f"{len(table)} replicates")

    return Call(glimm.__version__, lambda: first.bootstrap(task.bootstrap, seed=1), read)
