"""The same model of another design: clusters left out or drawn again."""

from __future__ import annotations

import numpy as np

from ..design.records import Design
from ..errors import GlimmError
from ..records import GeeRecord, GlmRecord, LevelsRecord, MixedRecord, Record
from .control import Control
from .gee import refit_gee
from .glmm import fit_glmm
from .lmm import fit_lmm
from .ordinal import refit_levels
from .penalised import refit_glm


def fit_again(record: Record, design: Design) -> Record:
    """The same model of another design, by the door's own search."""
    control = Control()
    if not isinstance(record, MixedRecord):
        return fit_plain(record, design, control)
    if record.linear:
        return fit_lmm(design, record.family, record.reml, control)
    return fit_glmm(design, record.family, record.points, control, record)


def fit_plain(record: GlmRecord | GeeRecord, design: Design, control: Control) -> GlmRecord | GeeRecord:
    """GLM and GEE."""
    if isinstance(record, GlmRecord):
        return refit_glm(record, design, control)
    return refit_gee(record, design, control)


def fit_near(record: GlmRecord | GeeRecord | LevelsRecord, design: Design, threads: int | None) -> GlmRecord | GeeRecord | LevelsRecord:
    """From the estimates on; from the beginning where they are no start. Raises GlimmError where neither gives a fit."""
    if isinstance(record, LevelsRecord):
        return refit_levels(record, design, Control(threads=threads))
    start = dict(zip(record.design.mean.names, record.vector[record.blocks["mean"]].tolist(), strict=True))
    try:
        return fit_plain(record, design, Control(threads=threads, start=start))
    except GlimmError:
        return fit_plain(record, design, Control(threads=threads))


def trouble(record: Record | LevelsRecord) -> str:
    """What went wrong with a fit, nothing where its estimates can be used."""
    if record.solution.code in ("separated", "not_converged"):
        return record.solution.message
    return "" if np.isfinite(record.vector).all() else "an estimate has no value"
