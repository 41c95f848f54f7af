"""glum: GLMs without a penalty, from a frame of predictors with categories."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import numpy as np
from glum import GeneralizedLinearRegressor

from . import Answer, Call, NotOffered


def prepare(task: Any, rows: Any) -> Call:
    if task.kind != "glm" or task.family != "binomial":
        raise NotOffered("binomial GLMs only in this adapter")
    x = rows[[*task.numeric, task.factor] if task.factor else list(task.numeric)]
    y = rows[task.response].to_numpy()

    def fit() -> Any:
        model = GeneralizedLinearRegressor(family="binomial", alpha=0, drop_first=True, gradient_tol=1e-7).fit(x, y)
        return model, model.std_errors(x, y, robust=False)

    def read(answer: Any) -> Answer:
        model, se = answer
        p = np.clip(model.predict(x), 1e-300, 1 - 1e-16)
        loglik = float(np.where(y == 1, np.log(p), np.log1p(-p)).sum())
        return Answer(loglik, [float(model.intercept_), *model.coef_.tolist()], np.asarray(se).ravel().tolist())

    return Call(version("glum"), fit, read)
