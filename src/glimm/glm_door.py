"""What glimm.glm fits: Spec and data -> design -> record -> fit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from .data.sources import is_source
from .design.build import build_design
from .design.parts import build_parts
from .design.records import Spec
from .design.stream import stream_design
from .errors import GlimmError, NotYetError
from .estimators.control import Control
from .estimators.glm import fit_glm, require_rows
from .estimators.levels_glm import fit_levels_glm
from .estimators.parts import fit_parts
from .estimators.penalised import check_penalty, fit_penalised
from .estimators.predictors import check_parts
from .estimators.scale import check_scale
from .family import LEVELS
from .fit import GlmFit
from .fit_levels import LevelsFit
from .fit_parts import PartsFit
from .inference.glm_covariance import asked_of, check_robust
from .inference.level_glm import check_level_call
from .inference.parts import check_vcov
from .records import DEFAULT, Call, Scale


def fit_door(
    spec: Spec, data: Any, control: Control, scale: Scale, call: Call, vcov: Any, penalty: Any = None
) -> GlmFit | LevelsFit | PartsFit:
    """The fit that a call of glimm.glm asks for; raises GlimmError for what cannot be fitted, before any row is read where it can."""
    if spec.family.name in LEVELS:
        if penalty is not None:
            raise NotYetError(f"penalty={penalty!r} is not there for family {spec.family.name!r}: leave it out")
        return _of_levels(spec, data, control, scale, call, vcov)
    if spec.zero is not None or spec.dispersion is not None:
        if penalty is not None:
            raise NotYetError(f"penalty={penalty!r} is not there with zero= or dispersion=: leave one of them out")
        return _in_parts(spec, data, control, scale, call, vcov)
    check_robust(spec.family, asked_of(vcov))
    check_scale(spec.family, scale, spec.weights_kind)
    if penalty is not None:
        check_penalty(penalty, spec.family, scale, spec.weights_kind)
        if is_source(data):
            raise NotYetError(f"penalty={penalty!r} is not there for data that are not held: fit in memory, data=glimm.read(path)")
    held = not is_source(data)
    design = build_design(spec, data) if held else stream_design(spec, data)
    require_rows(design)
    if penalty is not None:
        return GlmFit(replace(fit_penalised(design, spec.family, penalty, control, scale), call=call), vcov)
    fit = GlmFit(replace(fit_glm(design, spec.family, control, scale), call=call), vcov)
    if not held:
        _ = fit.inference  # robust errors pass over the rows, which may not be there later
    return fit


def _of_levels(spec: Spec, data: Any, control: Control, scale: Scale, call: Call, vcov: Any) -> LevelsFit:
    """A GLM of a response with levels, ordinal or nominal."""
    if is_source(data):
        raise NotYetError(f"family {spec.family.name!r} is not fitted from a file yet: fit in memory, data=glimm.read(path)")
    check_level_call(spec, scale, vcov)
    design = build_design(spec, data)
    require_rows(design)
    fit = LevelsFit(replace(fit_levels_glm(design, spec.family, control), call=call), vcov)
    _ = fit.inference  # a covariance that there is not is said here, not when it is asked for
    return fit


def _in_parts(spec: Spec, data: Any, control: Control, scale: Scale, call: Call, vcov: Any) -> PartsFit:
    """A GLM with zero inflation, a model of its dispersion, or both."""
    if is_source(data):
        raise NotYetError("zero= and dispersion= are not fitted from files or pieces yet: fit in memory, data=glimm.read(path)")
    check_parts(spec.family, spec.zero is not None, spec.dispersion is not None)
    if spec.weights_kind != "precision":
        raise NotYetError(f"weights=glimm.{spec.weights_kind}(...) are not there with zero= or dispersion=: give a column of prior weights")
    if scale != DEFAULT:
        raise GlimmError("scale= is one dispersion for all rows, estimated after the mean, which has no meaning with zero= or dispersion=")
    check_vcov(vcov)
    design = build_parts(spec, data)
    require_rows(design)
    return PartsFit(replace(fit_parts(design, spec.family, control), call=call), vcov)
