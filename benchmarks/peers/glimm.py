"""glimm: its three doors."""

from __future__ import annotations

from typing import Any

import glimm

from . import Answer, Call


def prepare(task: Any, rows: Any) -> Call:
    def fit() -> Any:
        if task.kind == "glm":
            model = glimm.glm(task.formula, rows, family=task.family)
        elif task.kind == "gee":
            model = glimm.gee(task.formula, rows, groups=task.group, corr=task.corr, family=task.family)
        elif task.kind == "lmm":
            model = glimm.glmm(task.formula, rows, reml=task.reml)
        else:
            model = glimm.glmm(task.formula, rows, family=task.family, points=task.points)
        return model, model.params, model.bse

    def read(answer: Any) -> Answer:
        model, params, bse = answer
        note = "" if model.converged else "says it did not converge"
        if task.points == "auto":
            note = f"{model.points} points"
        return Answer(None if task.kind == "gee" else float(model.llf), params.tolist(), bse.tolist(), note)

    return Call(glimm.__version__, fit, read)
