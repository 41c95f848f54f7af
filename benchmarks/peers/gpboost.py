"""gpboost: grouped random effects by Laplace; it is handed matrices, so the model matrix is made outside the timing."""

from __future__ import annotations

import os
from importlib.metadata import version
from typing import Any

import formulaic
import gpboost
import numpy as np

from . import Answer, Call, NotOffered

LIKELIHOODS = {"gaussian": "gaussian", "binomial": "bernoulli_logit", "poisson": "poisson"}


def prepare(task: Any, rows: Any) -> Call:
    if task.points != 1:
        raise NotOffered("no quadrature")
    if task.reml:
        raise NotOffered("no REML with fixed effects")
    x = np.asarray(formulaic.model_matrix(task.fixed, rows), float)
    y = rows[task.response].to_numpy(float)
    group = rows[task.group].to_numpy()
    threads = int(os.environ.get("OMP_NUM_THREADS", 2))

    def fit() -> Any:
        model = gpboost.GPModel(group_data=group, likelihood=LIKELIHOODS[task.family], num_parallel_threads=threads)
        model.fit(y=y, X=x, params={"trace": False, "delta_rel_conv": 1e-10})
        return model, np.asarray(model.get_coef(std_err=True, format_pandas=False))

    def read(answer: Any) -> Answer:
        model, coef = answer
        return Answer(-float(model.get_current_neg_log_likelihood()), coef[0].tolist(), coef[1].tolist(), "given its matrices")

    return Call(version("gpboost"), fit, read)
