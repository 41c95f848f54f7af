"""mixedlm: LMMs by an lme4-like formula, several random terms."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import mixedlm
import numpy as np

from . import Answer, Call, NotOffered


def prepare(task: Any, rows: Any) -> Call:
    if task.kind != "lmm":
        raise NotOffered("LMMs only in this adapter")
    if task.refit or task.bootstrap:
        raise NotOffered("no refit in this adapter")

    def fit() -> Any:
        model = mixedlm.lmer(task.formula, rows, REML=task.reml)
        return model, model.fixef(), np.sqrt(np.diag(model.vcov())), model.logLik().value

    def read(answer: Any) -> Answer:
        model, coef, se, loglik = answer
        note = "" if model.converged else "says it did not converge"
        return Answer(float(loglik), [float(b) for b in coef.values()], se.tolist(), note)

    return Call(version("mixedlm"), fit, read)
