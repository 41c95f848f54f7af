"""GLM of a response with C levels, rows independent: maximum likelihood, l = sum size_i log pi_(y_i).

The bread is the inverse of the observed information, minus the second derivatives, as the weights multiply each row's log-likelihood.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..data.columns import level_name
from ..design.records import Design
from ..family import Family
from ..kernels import inverse_or_nan
from ..records import LevelsRecord, Solution, SolutionCode
from ..version import VERSION
from .control import Control
from .level_likelihood import Ascent, LevelLikelihood, ascend, checked_layout, indefinite, limit, separated


def fit_levels_glm(design: Design, family: Family, control: Control) -> LevelsRecord:
    """Fit an ordinal or a nominal GLM.

    Returns the record; raises GlimmError for an offset of a nominal model, an ordinal one without its constants, a level without weight.
    Source: McCullagh (1980), J. R. Stat. Soc. B 42, 109-142; Agresti (2013), Categorical Data Analysis, chapter 8.
    """
    layout = checked_layout(design, family, control)
    likelihood = LevelLikelihood(design, layout, control.n_threads)
    found = ascend(likelihood, control)
    names = layout.names(tuple(level_name(level) for level in design.response.levels))
    h = found.last.information
    if indefinite(h):
        h = likelihood.at(found.gamma, expected=True).information
    bread, lost = limit(design, layout, h)
    endless = tuple(names[j] for j in lost)
    return LevelsRecord(
        design=design,
        family=family,
        names=names,
        vector=layout.to_named() @ found.gamma,
        blocks={"mean": slice(0, layout.size)},
        bread=bread if endless else inverse_or_nan(found.last.information),
        eta=layout.working(design.mean.offset, found.gamma, control.n_threads),
        corr="independence",
        alpha=np.zeros(0),
        scale=1.0,
        solution=_solution(design, found, endless),
        version=VERSION,
        door="glm",
        llf=found.last.loglik,
    )


def _solution(design: Design, found: Ascent, endless: tuple[str, ...]) -> Solution:
    code: SolutionCode = "converged"
    message = f"converged in {found.passes} passes"
    evidence: dict[str, Any] = {"note": design.response.note} if design.response.note else {}
    if endless:
        code, message = "separated", separated(design, endless)
        evidence["infinite"] = endless
    elif not found.settled:
        code = "not_converged"
        message = f"no convergence in {found.passes} passes (last change {found.change:.1e} in squared standard errors)"
    return Solution(code, message, found.passes, found.change, found.last.score, evidence=evidence)
