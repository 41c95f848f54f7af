"""What glimm.glm fits: Spec and data -> design -> record -> fit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from .design.build import build_design
from .design.records import Spec
from .estimators.control import Control
from .estimators.glm import fit_glm, require_rows
from .estimators.penalised import check_penalty, fit_penalised
from .estimators.scale import check_scale
from .fit import GlmFit
from .inference.glm_covariance import asked_of, check_robust
from .records import Call, Scale


def fit_door(spec: Spec, data: Any, control: Control, scale: Scale, call: Call, vcov: Any, penalty: Any = None) -> GlmFit:
    """The fit that a call of glimm.glm asks for; raises GlimmError for what cannot be fitted, before any row is read where it can."""
    check_robust(spec.family, asked_of(vcov))
    check_scale(spec.family, scale, spec.weights_kind)
    if penalty is not None:
        check_penalty(penalty, spec.family, scale, spec.weights_kind)
    design = build_design(spec, data)
    require_rows(design)
    if penalty is not None:
        return GlmFit(replace(fit_penalised(design, spec.family, penalty, control, scale), call=call), vcov)
    return GlmFit(replace(fit_glm(design, spec.family, control, scale), call=call), vcov)
