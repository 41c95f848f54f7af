"""mixedlm-rs: LMMs of one grouping factor, with the spellings of statsmodels."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import mixedlm_rs
import numpy as np

from . import Answer, Call, NotOffered


def prepare(task: Any, rows: Any) -> Call:
    if task.kind != "lmm":
        raise NotOffered("LMMs only")
    if task.refit or task.bootstrap:
        raise NotOffered("no refit")
    if task.single is None:
        raise NotOffered("one random term only")
    formula, (effects, group) = f"{task.response} ~ {task.fixed}", task.single

    def fit() -> Any:
        model = mixedlm_rs.mixedlm(formula, rows, groups=group, re_formula=f"~{effects}").fit(reml=task.reml)
        return model, model.fe_params, model.bse_fe, model.llf

    def read(answer: Any) -> Answer:
        _, coef, se, loglik = answer
        return Answer(float(loglik), np.asarray(coef).tolist(), np.asarray(se).tolist())

    return Call(version("mixedlm-rs"), fit, read)
