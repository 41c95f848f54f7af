"""What glimm.glm fits: Spec and data -> design -> record -> fit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from .data.sources import is_source
from .design.build import build_design
from .design.records import Spec
from .design.stream import stream_design
from .estimators.control import Control
from .estimators.glm import fit_glm, require_rows
from .estimators.scale import check_scale
from .fit import GlmFit
from .inference.glm_covariance import asked_of, check_robust
from .records import Call, Scale


def fit_door(spec: Spec, data: Any, control: Control, scale: Scale, call: Call, vcov: Any) -> GlmFit:
    """The fit that a call of glimm.glm asks for; raises GlimmError for what cannot be fitted, before any row is read where it can."""
    check_robust(spec.family, asked_of(vcov))
    check_scale(spec.family, scale, spec.weights_kind)
    held = not is_source(data)
    design = build_design(spec, data) if held else stream_design(spec, data)
    require_rows(design)
    fit = GlmFit(replace(fit_glm(design, spec.family, control, scale), call=call), vcov)
    if not held:
        _ = fit.inference  # robust errors pass over the rows, which may not be there later
    return fit
