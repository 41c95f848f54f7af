"""New data read as the fit's were: the same columns, levels and transform state.

eta_i = offset_i + x_i'beta + z_i'b_ref(i), with ref = -1 for a cluster that the fit has not seen.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ..data.columns import cross, recode
from ..data.factors import Pieces, encode_factor
from ..data.frames import Frame, check_names, open_frame
from ..data.matrices import FixedSpec, complete_rows, replay
from ..data.readers import read_column
from ..data.records import ARRAY, Bar, Encoding, Variable
from ..errors import GlimmError
from ..kernels.matrix import Bools, Codes, Floats, Matrix
from .build import log_exposure
from .records import Design, NewRows, RandomTerm
from .response import count_trials, trials_variables
from .structured import cell_of


def read_rows(
    design: Design, data: Any, offset: Any = None, exposure: Any = None, effects: bool = True, responses: bool = False
) -> NewRows:
    """New data as `read_new` reads them, or the rows used where data is None.

    responses : whether they are to have responses, for which a binomial model of trials needs the number of trials
    Raises GlimmError as `read_new` does, and for an offset or exposure without data: the rows used have their own.
    """
    if data is not None:
        new = read_new(design, data, offset, exposure, effects)
        return with_trials(design, data, new) if responses and design.response.kind == "trials" else new
    for role, given in (("offset", offset), ("exposure", exposure)):
        if given is not None:
            raise GlimmError(f"predict: {role}= goes with newdata=, and without newdata the rows used keep theirs: give the rows too")
    part = design.mean
    everything = np.ones(design.n, dtype=np.bool_)
    refs, z, places = tuple(t.refs for t in part.random), tuple(t.z for t in part.random), tuple(t.places for t in part.random)
    return NewRows(part.matrix, part.offset, everything, refs, z, places, design.weights, design.trials)


def with_trials(design: Design, data: Any, new: NewRows) -> NewRows:
    """The rows with the trials that the left side of the formula gives them; rows where these are missing become incomplete."""
    frame, formula = open_frame(data, empty=True), design.spec.formula
    if not len(new.complete):
        return replace(new, trials=np.zeros(0))
    names = trials_variables(formula)
    check_names(frame, names, ", needed for the trials of a new response")
    variables = {name: frame.variable(name) for name in names}
    known = complete_rows(variables, names, frame.n_rows)
    trials = np.ones(frame.n_rows)
    trials[known] = count_trials(formula, variables, np.flatnonzero(known))
    return replace(new, complete=new.complete & known, trials=trials)


def read_new(design: Design, data: Any, offset: Any = None, exposure: Any = None, effects: bool = True) -> NewRows:
    """New data as the design's mean model needs them, one entry per row.

    data : any kind of frame; only the predictors (and offset or exposure columns) are needed. A missing grouping column,
    a missing or an unknown cluster give ref -1; a row where a random slope's predictor is missing has NaN in z.
    offset, exposure : column names or arrays (n,), used in place of the fit's own.
    effects : whether the columns of random effects are needed

    Raises GlimmError for a column that is not there, for a factor's level that the fit has not seen, where the fit had an
    array for its offset or exposure and none is given, and for one that is not a positive (exposure) number per row.
    """
    frame = open_frame(data, empty=True)
    spec = replace(
        design.spec, offset=_own("offset", design.spec.offset, offset), exposure=_own("exposure", design.spec.exposure, exposure)
    )
    fixed, part = spec.fixed, design.mean
    assert isinstance(fixed, FixedSpec)
    named = [name for name in (spec.offset, spec.exposure) if name is not None]
    needed = tuple(dict.fromkeys([*fixed.variables, *(name for part in spec.offsets for name in part.variables), *named]))
    check_names(frame, needed, ", needed for predictions")
    if frame.n_rows == 0:
        return _no_rows(design, frame, effects)
    variables = {name: frame.variable(name) for name in needed}
    matrix, complete = replay(fixed, variables, frame.n_rows)
    total, known = _offset(spec, variables, frame.n_rows)
    for role, given in (("offset", offset), ("exposure", exposure)):
        if given is not None and not isinstance(given, str):
            total, known = _add_array(role, given, frame, total, known)
    complete = complete & known
    random = [_random(term, bar, frame, effects) for term, bar in zip(part.random, spec.formula.bars, strict=True)]
    kept = matrix.select(np.array(spec.keep, dtype=np.int64))
    refs, places = tuple(refs for refs, _, _ in random), tuple(places for _, _, places in random)
    return NewRows(kept, total, complete, refs, tuple(z for _, z, _ in random) if effects else (), places)


def _no_rows(design: Design, frame: Frame, effects: bool) -> NewRows:
    """A frame that has the columns and no rows."""
    part = design.mean
    for term in part.random if effects else ():
        if term.spec is not None:
            check_names(frame, term.spec.variables, f", needed for the random effects of {term.group}")
    refs = tuple(np.zeros(0, dtype=np.int32) for _ in part.random)
    z = tuple(np.zeros((0, len(term.names))) for term in part.random) if effects else ()
    return NewRows(Matrix(0, part.matrix.p, ()), None, np.zeros(0, dtype=np.bool_), refs, z, refs)


def _own(role: str, name: str | None, given: Any) -> str | None:
    """The column of an offset or exposure: the one named now, else the fit's own; None where an array replaces it."""
    if given is None and name == ARRAY:
        raise GlimmError(f"the fit's {role} was an array: give predict one for the new rows, {role}=array, or refit with {role}='column'")
    if given is None:
        return name
    return given if isinstance(given, str) else None


def _add_array(role: str, given: Any, frame: Frame, total: Floats | None, known: Bools) -> tuple[Floats, Bools]:
    """The offset so far plus an array, or the log of one; rows where the array is missing become unknown."""
    frame.check_labels(role, given)
    shape = getattr(given, "shape", None) or ((len(given),) if hasattr(given, "__len__") else ())
    if tuple(shape) != known.shape:
        raise GlimmError(f"predict: {role} has shape {tuple(shape)}, but newdata has {len(known)} rows: give one value per row")
    variable = read_column(role, given, frame.n_rows)
    values = _number(variable)
    if role == "exposure" and np.any(values <= 0.0):
        raise GlimmError(f"predict: exposure must be positive; row {int(np.argmax(values <= 0.0))} (counting from 0) is not")
    there = np.isfinite(values)
    values = np.where(there, values, 1.0)
    return (0.0 if total is None else total) + np.where(there, np.log(values) if role == "exposure" else values, 0.0), known & there


def _offset(spec: Encoding, variables: dict[str, Variable], n: int) -> tuple[Floats | None, Any]:
    """The offset of each row (0 where it is missing), and where it is known."""
    named = [name for name in (spec.offset, spec.exposure) if name is not None]
    needed = tuple(dict.fromkeys([*named, *(name for part in spec.offsets for name in part.variables)]))
    if not named and not spec.offsets:
        return None, np.ones(n, dtype=np.bool_)
    known = complete_rows(variables, needed, n)
    rows = np.flatnonzero(known)
    total = np.zeros(n)
    if not len(rows):
        return total, known
    if spec.offset in named:
        total[rows] += _number(variables[spec.offset])[rows]
    if spec.exposure in named:
        _number(variables[spec.exposure])
        total[rows] += log_exposure(variables[spec.exposure], rows)
    for part in spec.offsets:
        pieces: Pieces = {}
        encode_factor(part, False, variables, rows, pieces)
        total[rows] += pieces[part.text, False].values[0]
    return total, known


def _number(variable: Variable) -> Floats:
    if variable.values is None:
        raise GlimmError(f"column {variable.name!r} must hold numbers, not {variable.levels[0]!r}")
    return variable.values


def _random(term: RandomTerm, bar: Bar, frame: Frame, effects: bool) -> tuple[Codes, Floats, Codes]:
    """Levels, columns of the effects and rows of effects of one random term."""
    refs = _refs(term, bar, frame)
    if term.times is None:
        return refs, _effects(term, frame) if effects else np.zeros((frame.n_rows, 0)), refs
    ones = np.ones((frame.n_rows, 1), order="F")
    return refs, ones, cell_of(term, refs, _effects(term, frame)[:, 0]) if effects else refs


def _effects(term: RandomTerm, frame: Frame) -> Floats:
    """(n, k) columns of the random effects, NaN where one is missing."""
    if term.spec is None:
        return np.ones((frame.n_rows, 1), order="F")
    spec: FixedSpec = term.spec
    check_names(frame, spec.variables, f", needed for the random effects of {term.group}")
    matrix, known = replay(spec, {name: frame.variable(name) for name in spec.variables}, frame.n_rows)
    z = np.asfortranarray(matrix.dense())
    z[~known] = np.nan
    return z


def _refs(term: RandomTerm, bar: Bar, frame: Frame) -> Codes:
    """Each row's level of a grouping, -1 where it is missing or unknown."""
    if any(name not in frame.names for name in bar.factors):
        return np.full(frame.n_rows, -1, dtype=np.int32)
    found = frame.factor(bar.factors[0])
    for j, name in enumerate(bar.factors[1:], start=2):
        found = cross(":".join(bar.factors[:j]), found, frame.factor(name))
    return recode(found, tuple(term.levels.tolist()))[0]
