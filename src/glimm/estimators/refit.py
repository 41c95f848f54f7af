"""The same model of another response: the design, its cross-products and the number of quadrature points stay as they are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..design.records import Design
from ..design.response import RANGES, inside
from ..errors import GlimmError
from ..family import Family
from ..kernels.matrix import Bools, Floats
from ..records import MixedRecord
from .engines import control_of
from .glmm import fit_glmm
from .lmm import LinearProblem, prepare_lmm, refit_lmm, solve_many

Step = Callable[[int], None]


def refit(record: MixedRecord, y: Any, prepared: LinearProblem | None) -> tuple[MixedRecord, LinearProblem | None]:
    """The record for the response y, and for an LMM what makes the next refit quick.

    y : (n,) on the scale of the mean, for the rows used or for all rows of the caller's data; prepared : from the last refit, or None

    Raises GlimmError for a response of another length, or outside the family's range.
    """
    response = new_response(record.design, record.family, y)
    if not record.linear:
        again = fit_glmm(replace(record.design, y=response), record.family, record.points, control_of(record), record)
        return replace(again, call=record.call), None
    if prepared is None:
        prepared = prepare_lmm(record.design, record.family, record.reml, control_of(record))
    return replace(refit_lmm(prepared, response, record), call=record.call), prepared


@dataclass(frozen=True, slots=True)
class Refits:
    """Estimates of B responses: vectors (B, P) as in the record, scale, llf, its Monte-Carlo error, whether the search converged (B,)."""

    vectors: Floats
    scale: Floats
    llf: Floats
    llf_error: Floats
    converged: Bools


def refit_many(record: MixedRecord, responses: Floats, prepared: LinearProblem | None, step: Step) -> Refits:
    """The model of each row of responses (B, n): in native code where that has a loop of its own, one after the other where not.

    step : called with the number of responses that are done
    """
    count = len(responses)
    out = Refits(np.empty((count, len(record.vector))), np.empty(count), np.empty(count), np.zeros(count), np.ones(count, dtype=bool))
    left = np.arange(count)
    if record.linear:
        prepared = prepared or prepare_lmm(record.design, record.family, record.reml, control_of(record))
        left = solve_many(prepared, record, responses, out.vectors, out.scale, out.llf)
    for done, i in enumerate(left):
        step(count - len(left) + done)
        again, prepared = refit(record, responses[i], prepared)
        out.vectors[i], out.scale[i], out.llf[i] = again.vector, again.scale, again.llf
        out.llf_error[i] = 0.0 if again.stochastic is None else again.stochastic.llf_error
        out.converged[i] = again.solution.code in ("converged", "boundary")
    return out


def new_response(design: Design, family: Family, y: Any) -> Floats:
    """(n,) the response on the rows used."""
    try:
        values = np.ascontiguousarray(np.asarray(y, dtype=np.float64))
    except (TypeError, ValueError):
        raise GlimmError("refit: y must be numbers, on the scale of the mean (0 and 1 for a binary response)") from None
    if values.ndim == 1 and len(values) == design.missing.n_rows != design.n:
        values = np.ascontiguousarray(values[design.rows])
    if values.shape != (design.n,):
        raise GlimmError(f"refit: y has shape {values.shape}, but the model uses {design.n} rows: give one value per row used")
    bad = ~np.isfinite(values)
    what = "finite numbers"
    if family.support == "binomial":
        trials = 1.0 if design.trials is None else design.trials
        with np.errstate(invalid="ignore"):
            bad |= (values < 0.0) | (values > 1.0) | (np.abs(values * trials - np.rint(values * trials)) > 1e-6)
        what = "0 or 1" if design.trials is None else "whole numbers of successes divided by the trials"
    elif family.support == "count":
        with np.errstate(invalid="ignore"):
            bad |= (values < 0.0) | (values != np.floor(values))
        what = "whole numbers of at least 0"
    elif family.support in RANGES:
        with np.errstate(invalid="ignore"):
            bad |= ~inside(values, family.support)
        what = RANGES[family.support]
    if bad.any():
        at = int(np.argmax(bad))
        raise GlimmError(f"refit: y is {values[at]:g} at position {at} (counting from 0): the responses of this model are {what}")
    return values
