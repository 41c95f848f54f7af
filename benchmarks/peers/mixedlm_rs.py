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

    def fit() -> Any:
        model = mixedlm_rs.mixedlm(f"{task.response} ~ {task.fixed}", rows, groups=task.group, re_formula="~1").fit(reml=task.reml)
        return model, model.fe_params, model.bse_fe

    def read(answer: Any) -> Answer:
        model, coef, se = answer
        return Answer(float(model.llf), np.asarray(coef).tolist(), np.asarray(se).tolist())

    return Call(version("mixedlm-rs"), fit, read)
