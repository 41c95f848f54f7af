"""What glimm.glm fits: Spec and data -> design -> record -> fit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from .design.build import build_design
from .design.parts import build_parts
from .design.records import Spec
from .estimators.control import Control
from .estimators.glm import fit_glm, require_rows
from .estimators.parts import fit_parts
from .estimators.predictors import check_parts
from .fit import GlmFit
from .fit_parts import PartsFit
from .inference.covariance import check_robust
from .inference.parts import check_vcov
from .records import Call


def fit_door(spec: Spec, data: Any, control: Control, call: Call, vcov: Any) -> GlmFit | PartsFit:
    """The fit that a call of glimm.glm asks for; raises GlimmError for what cannot be fitted, before any row is read where it can."""
    if spec.zero is not None or spec.dispersion is not None:
        return _in_parts(spec, data, control, call, vcov)
    check_robust(spec.family, vcov)
    design = build_design(spec, data)
    require_rows(design)
    return GlmFit(replace(fit_glm(design, spec.family, control), call=call), vcov)


def _in_parts(spec: Spec, data: Any, control: Control, call: Call, vcov: Any) -> PartsFit:
    """A GLM with zero inflation, a model of its dispersion, or both."""
    check_parts(spec.family, spec.zero is not None, spec.dispersion is not None)
    check_vcov(vcov)
    design = build_parts(spec, data)
    require_rows(design)
    return PartsFit(replace(fit_parts(design, spec.family, control), call=call), vcov)
