"""What glimm.glm fits: Spec and data -> design -> record -> fit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from .design.build import build_design
from .design.records import Spec
from .estimators.control import Control
from .estimators.glm import fit_glm, require_rows
from .estimators.penalised import check_penalty, fit_penalised
from .fit import GlmFit
from .inference.covariance import check_robust
from .records import Call


def fit_door(spec: Spec, data: Any, control: Control, call: Call, vcov: Any, penalty: Any = None) -> GlmFit:
    """The fit that a call of glimm.glm asks for; raises GlimmError for what cannot be fitted, before any row is read where it can."""
    check_robust(spec.family, vcov)
    if penalty is not None:
        check_penalty(penalty, spec.family)
    design = build_design(spec, data)
    require_rows(design)
    if penalty is not None:
        return GlmFit(replace(fit_penalised(design, spec.family, penalty, control), call=call), vcov)
    return GlmFit(replace(fit_glm(design, spec.family, control), call=call), vcov)
