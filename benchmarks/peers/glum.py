"""glum: GLMs without a penalty, from a frame of predictors with categories."""

from __future__ import annotations

from importlib.metadata import version
from math import lgamma
from typing import Any

import numpy as np
from glum import GeneralizedLinearRegressor, TweedieDistribution

from . import Answer, Call, NotOffered

FAMILIES = {"binomial": "binomial", "poisson": "poisson", "gamma": "gamma", "tweedie(1.5)": TweedieDistribution(1.5)}


def prepare(task: Any, rows: Any) -> Call:
    if task.kind != "glm" or task.ask:
        raise NotOffered("GLMs only")
    if not task.numeric:
        raise NotOffered("a frame of predictors, not a formula, in this adapter")
    x = rows[[*task.numeric, *task.factors]]
    y = rows[task.response].to_numpy()
    offset = rows[task.offset].to_numpy() if task.offset else None
    link = "auto" if task.family == "binomial" else "log"

    def fit() -> Any:
        model = GeneralizedLinearRegressor(family=FAMILIES[task.family], link=link, alpha=0, drop_first=True, gradient_tol=1e-7)
        model.fit(x, y, offset=offset)
        return model, model.std_errors(x, y, offset=offset, robust=False, expected_information=True)

    def read(answer: Any) -> Answer:
        model, se = answer
        return Answer(
            loglik(model.predict(x, offset=offset)), [float(model.intercept_), *model.coef_.tolist()], np.asarray(se).ravel().tolist()
        )

    def loglik(mu: Any) -> float | None:
        if task.family == "binomial":
            p = np.clip(mu, 1e-300, 1 - 1e-16)
            return float(np.where(y == 1, np.log(p), np.log1p(-p)).sum())
        if task.family == "poisson":
            factorial = np.array([lgamma(k + 1.0) for k in range(int(y.max()) + 1)])
            return float((y * np.log(mu) - mu - factorial[y]).sum())
        return None

    return Call(version("glum"), fit, read)
