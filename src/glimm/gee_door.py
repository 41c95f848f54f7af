"""What glimm.gee fits: a working correlation, odds ratios of 0/1 responses, or levels; rows that are held, or that stay in a file.

Spec and data -> design -> record -> fit.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from .covariance.choose import working
from .covariance.moments import RULES
from .covariance.odds_ratios import OddsRatios, odds_ratios
from .covariance.working import EXTREMES, Working
from .data.sources import is_source
from .design.beside import BesideColumns
from .design.build import build_design
from .design.clustered import stream_clusters
from .design.records import Design, Spec
from .errors import GlimmError, NotYetError
from .estimators.association import fit_association
from .estimators.control import Control
from .estimators.gee import fit_gee
from .estimators.glm import require_rows
from .estimators.levels import layout_of
from .estimators.ordinal import check_levels, fit_levels
from .family import LEVELS
from .fit import GeeFit
from .fit_levels import LevelsFit
from .inference.small_sample import Asked, check_few
from .records import Call


def fit_door(spec: Spec, data: Any, corr: Any, moments: Any, asked: Asked, control: Control, call: Call, vcov: Any) -> GeeFit | LevelsFit:
    """The fit that a call of glimm.gee asks for; raises GlimmError for what cannot be fitted, before any row is read where it can."""
    if spec.family.name in LEVELS:
        return _of_levels(spec, data, corr, moments, asked, control, call, vcov)
    structure = odds_ratios(corr) or working(corr)
    if not (isinstance(moments, str) and moments in RULES):
        what = repr(moments) if isinstance(moments, str) else type(moments).__name__
        raise GlimmError(f"moments must be 'standard' (as SAS and SPSS), 'geepack' or 'gee', not {what}")
    design = _design(spec, data, structure, moments)
    require_rows(design)
    name = next(iter(design.clusters))
    if design.clusters[name].inner is not None and "nested" not in structure.name:
        raise GlimmError(f"groups={spec.groups!r} are clusters in clusters, for corr='nested': name the outer one only, groups={name!r}")
    check_few(design, asked)
    if isinstance(structure, OddsRatios):
        record = fit_association(design, spec.family, name, structure, control, BesideColumns(data, design.rows))
    else:
        record = fit_gee(design, spec.family, name, structure, moments, control)
    return GeeFit(replace(record, call=call), vcov)


def _design(spec: Spec, data: Any, structure: Working | OddsRatios, moments: str) -> Design:
    """Of rows that are held, or of files."""
    if not is_source(data):
        return build_design(spec, data)
    if isinstance(structure, OddsRatios):
        raise NotYetError("odds ratios are not fitted from a file yet: use a working correlation, or fit in memory, data=glimm.read(path)")
    return stream_clusters(spec, data, structure.name not in EXTREMES, moments == "gee")


def _of_levels(spec: Spec, data: Any, corr: Any, moments: Any, asked: Asked, control: Control, call: Call, vcov: Any) -> LevelsFit:
    """A GEE of a response with levels."""
    if is_source(data):
        raise NotYetError(f"family {spec.family.name!r} is not fitted from a file yet: fit in memory, data=glimm.read(path)")
    check_levels(spec.family, corr, moments, spec.weights is not None)
    design = build_design(spec, data)
    require_rows(design)
    name, clusters = next(iter(design.clusters.items()))
    if clusters.inner is not None:
        raise GlimmError(f"groups={spec.groups!r} are clusters in clusters: family {spec.family.name!r} takes one column, groups={name!r}")
    check_few(design, asked, layout_of(design, spec.family.support == "ordered").size)
    return LevelsFit(replace(fit_levels(design, spec.family, name, corr, control), call=call), vcov)
