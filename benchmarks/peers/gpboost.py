"""gpboost: grouped random effects by Laplace; it is handed matrices, so the model matrix is made outside the timing.

Matrices are factorised; `gpboost_it` is its other way, its own choice for several groups: Krylov methods, a log-likelihood with noise.
"""

from __future__ import annotations

import os
from importlib.metadata import version
from typing import Any

import formulaic
import gpboost
import numpy as np

from . import Answer, Call, NotOffered

LIKELIHOODS = {"gaussian": "gaussian", "binomial": "bernoulli_logit", "poisson": "poisson", "negative_binomial": "negative_binomial"}


FACTORISED = {"matrix_inversion_method": "cholesky"}


def prepare(task: Any, rows: Any, options: dict[str, Any] = FACTORISED, search: dict[str, Any] | None = None) -> Call:
    """options : of the model; search : of its search, None for a tight one."""
    if task.points != 1:
        raise NotOffered("no quadrature")
    if task.reml:
        raise NotOffered("no REML with fixed effects")
    if any(effects != "1" for effects, _ in task.random):
        raise NotOffered("random slopes are independent of the intercept")
    x = np.asarray(formulaic.model_matrix(task.fixed, rows), float)
    y = rows[task.response].to_numpy(float)
    group = np.column_stack([codes(rows, group) for _, group in task.random])
    threads = int(os.environ.get("OMP_NUM_THREADS", 2))

    def fit() -> Any:
        model = gpboost.GPModel(group_data=group, likelihood=LIKELIHOODS[task.family], num_parallel_threads=threads, **options)
        model.fit(y=y, X=x, params={"trace": False, "delta_rel_conv": 1e-10} if search is None else search)
        return model, np.asarray(model.get_coef(std_err=True, format_pandas=False)), -float(model.get_current_neg_log_likelihood())

    def read(answer: Any) -> Answer:
        model, coef, loglik = answer
        variances = np.asarray(model.get_cov_pars(format_pandas=False)).ravel()
        ordered = [*variances[1:], variances[0]] if task.kind == "lmm" else variances
        noise = 0.0 if options["matrix_inversion_method"] == "cholesky" else None
        return Answer(loglik, coef[0].tolist(), coef[1].tolist(), "given its matrices", np.sqrt(ordered).tolist(), noise)

    return Call(version("gpboost"), fit, read)


def codes(rows: Any, group: str) -> Any:
    """Whole numbers for the levels of a group; of "a:b": of the pairs that occur."""
    return rows.groupby(group.split(":"), observed=True, sort=False).ngroup().to_numpy()
