"""glmm (PyPI): mixed models and GLMs by an lme4-like formula."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import glmm
import numpy as np

from . import Answer, Call, NotOffered


def prepare(task: Any, rows: Any) -> Call:
    if task.points == "auto":
        raise NotOffered("the number of points must be given")
    if task.refit or task.bootstrap:
        raise NotOffered("no refit")
    family = task.family.replace("_", "")
    formula = task.formula.replace("**", "^")  # its own word for a power
    options: dict[str, Any] = {}
    if task.kind == "lmm":
        options = {"reml": task.reml, "satterthwaite": False}
    elif task.kind == "glmm":
        options = {"nagq": task.points}

    def fit() -> Any:
        model = glmm.fit(rows, formula, family, **options)
        return model, model.beta, model.se, model.loglik

    def read(answer: Any) -> Answer:
        model, beta, se, loglik = answer
        note = "" if model.converged else "says it did not converge"
        return Answer(float(loglik), np.asarray(beta).tolist(), np.asarray(se).tolist(), note, deviations(task, model))

    return Call(version("glmm"), fit, read)


def deviations(task: Any, model: Any) -> list[float]:
    """Of random intercepts, and of the residuals of a linear model."""
    if not task.random or any(effects != "1" for effects, _ in task.random):
        return []
    residual = [float(model.dispersion) ** 0.5] if task.kind == "lmm" else []
    return [*(float(np.ravel(v)[0]) ** 0.5 for v in model.varcorr), *residual]
