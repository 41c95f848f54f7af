"""mixedlm: LMMs and Laplace GLMMs by an lme4-like formula, several random terms."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import mixedlm
import numpy as np

from . import Answer, Call, NotOffered

FAMILIES = {"gaussian": mixedlm.families.Gaussian, "binomial": mixedlm.families.Binomial, "poisson": mixedlm.families.Poisson}


def prepare(task: Any, rows: Any) -> Call:
    if task.kind not in ("lmm", "glmm") or task.family not in FAMILIES:
        raise NotOffered("LMMs, logistic and Poisson GLMMs only in this adapter")
    if task.refit or task.bootstrap:
        raise NotOffered("no refit in this adapter")

    def fit() -> Any:
        if task.kind == "lmm":
            model = mixedlm.lmer(task.formula, rows, REML=task.reml)
        else:
            model = mixedlm.glmer(task.formula, rows, family=FAMILIES[task.family](), nAGQ=task.points)
        return model, model.fixef(), np.sqrt(np.diag(model.vcov())), model.logLik().value

    def read(answer: Any) -> Answer:
        model, coef, se, loglik = answer
        note = "" if model.converged else "says it did not converge"
        return Answer(float(loglik), [float(b) for b in coef.values()], se.tolist(), note)

    return Call(version("mixedlm"), fit, read)
