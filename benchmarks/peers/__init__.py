"""The peers: one adapter file each, with one function `prepare(task, rows) -> Call`.

    prepare    not timed: what a user has done before (a frame, or the matrices that the package asks for; for refits the first fit)
    Call.fit   timed: the whole fit with its standard errors and log-likelihood
    Call.read  not timed: log-likelihood, coefficients and standard errors in the order of the formula (of a bootstrap: means and
               standard deviations of the coefficients)

`prepare` raises NotOffered for a model that the package does not have.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

PYTHON_PEERS = ("glimm", "statsmodels", "glum", "glmm", "gpboost", "gpboost_it", "mixedlm_rs", "mixedlm", "marginaleffects")
R_PEERS = ("glm", "lme4", "glmmTMB", "geepack", "gee")

# Which peers are asked for which kind of model.
BY_KIND = {
    "glm": ("glimm", "statsmodels", "glum", "glmm", "glm"),
    "lmm": ("glimm", "statsmodels", "glmm", "gpboost", "mixedlm_rs", "mixedlm", "lme4", "glmmTMB"),
    "glmm": ("glimm", "glmm", "gpboost", "lme4", "glmmTMB"),
    "gee": ("glimm", "statsmodels", "geepack", "gee"),
}


def asked(task: Any, blas: Sequence[str]) -> list[str]:
    """The labels of the peers that are asked: a name, for R followed by the BLAS that it is given."""
    names = task.peers or BY_KIND[task.kind]
    return [label for name in names for label in (([f"{name} {b}".strip() for b in blas]) if name in R_PEERS else [name])]


class NotOffered(Exception):
    """The package does not have this model."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a fit says. coef, se : in the order of the formula's terms; note : the package's own words on convergence.

    sds : standard deviations of the random intercepts, in the order of the terms, then of the residuals of a linear model
    noise : Monte-Carlo standard error of loglik (0: exact; None: noisy by an amount that the package does not say)
    """

    loglik: float | None
    coef: Sequence[float]
    se: Sequence[float]
    note: str = ""
    sds: Sequence[float] = ()
    noise: float | None = 0.0


@dataclass(frozen=True, slots=True)
class Call:
    """A fit ready to be timed."""

    version: str
    fit: Callable[[], Any]
    read: Callable[[Any], Answer]


def adapter(name: str) -> Callable[[Any, Any], Call]:
    """The `prepare` of a Python peer."""
    return import_module(f".{name}", __name__).prepare
