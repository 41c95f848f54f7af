"""New data read as the fit's were: the same columns, levels and transform state.

eta_i = offset_i + x_i'beta + z_i'b_ref(i), with ref = -1 for a cluster that the fit has not seen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..data.columns import cross, recode, take
from ..data.factors import Pieces, encode_factor
from ..data.frames import Frame, check_names, open_frame
from ..data.matrices import FixedSpec, complete_rows, replay
from ..data.readers import read_column
from ..data.records import ARRAY, Bar, Encoding, Variable
from ..errors import GlimmError
from ..kernels.matrix import Bools, Codes, Floats, Matrix, wide
from .build import log_exposure
from .records import Design, NewRows, RandomTerm
from .response import count_trials, trials_variables
from .structured import cell_of

ALIKE = 1e-6


@dataclass(frozen=True, slots=True)
class Population:
    """Rows to predict for, as columns.

    spec : the design's, with the offset and exposure that these rows have; columns : (n,) each; extra : (n,) what arrays add to eta
    complete : (n,) bool; refs : per random term, (n,) int32 level, -1 for a level that the fit has not seen
    """

    spec: Encoding
    n: int
    columns: Mapping[str, Variable]
    extra: Floats | None
    complete: Bools
    refs: tuple[Codes, ...]


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
    part, everything = design.mean, np.ones(len(design.rows), dtype=np.bool_)
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
    if frame.n_rows == 0:
        return _no_rows(design, frame, offset, exposure, effects)
    return moved(design, read_population(design, frame, offset, exposure, effects), {}, effects)


def read_population(design: Design, data: Any, offset: Any = None, exposure: Any = None, effects: bool = True) -> Population:
    """The columns of new data that the model needs; raises as `read_new` does."""
    frame = open_frame(data)
    spec = _own_spec(design, offset, exposure)
    needed = _needed(spec)
    check_names(frame, needed, ", needed for predictions")
    variables = {name: frame.variable(name) for name in needed}
    extra: Floats | None = None
    complete = np.ones(frame.n_rows, dtype=np.bool_)
    for role, given in (("offset", offset), ("exposure", exposure)):
        if given is not None and not isinstance(given, str):
            extra, complete = _add_array(role, given, frame, extra, complete)
    for term in design.mean.random if effects else ():
        if term.spec is not None:
            check_names(frame, term.spec.variables, f", needed for the random effects of {term.group}")
            variables |= {name: frame.variable(name) for name in term.spec.variables if name not in variables}
    refs = tuple(_refs(term, bar, frame) for term, bar in zip(design.mean.random, spec.formula.bars, strict=True))
    return Population(spec, frame.n_rows, variables, extra, complete, refs)


def used_population(design: Design) -> Population:
    """The rows used; what an offset or exposure given as an array adds is kept."""
    spec, rows, n = design.spec, design.rows, design.n
    everything = n == design.missing.n_rows
    variables = {name: column if everything else take(column, rows) for name, column in design.columns.items()}
    extra = None
    if ARRAY in (spec.offset, spec.exposure):
        spec = without_arrays(spec)
        known, _ = _offset(spec, variables, n)
        assert design.mean.offset is not None
        extra = design.mean.offset - (0.0 if known is None else known)
    return Population(spec, n, variables, extra, np.ones(n, dtype=np.bool_), tuple(t.refs for t in design.mean.random))


def without_arrays(spec: Encoding) -> Encoding:
    """The same without an offset or exposure that was given as an array."""
    offset, exposure = (None if given == ARRAY else given for given in (spec.offset, spec.exposure))
    return replace(spec, offset=offset, exposure=exposure)


def moved(design: Design, population: Population, changes: Mapping[str, Variable], effects: bool = True) -> NewRows:
    """The rows of a population with some of its columns replaced: what everybody's rows would be if x were otherwise."""
    spec, n = population.spec, population.n
    fixed = spec.fixed
    assert isinstance(fixed, FixedSpec)
    variables = {**population.columns, **changes}
    matrix, complete = replay(fixed, variables, n)
    total, known = _offset(spec, variables, n)
    if population.extra is not None:
        total = population.extra if total is None else total + population.extra
    kept = matrix.select(np.array(spec.keep, dtype=np.int64))
    complete = complete & known & population.complete
    z, places = [], []
    for term, refs in zip(design.mean.random, population.refs, strict=True):
        columns, at = _random(term, refs, variables, n, effects)
        z.append(columns)
        places.append(at)
    told = determined(spec, matrix, kept)
    return NewRows(kept, total, complete, population.refs, tuple(z) if effects else (), tuple(places), told=told)


def determined(spec: Encoding, matrix: Matrix, kept: Matrix) -> Bools | None:
    """(n,) rows in which every column left out for rank equals what it equalled in the fit; None where all do."""
    told = np.ones(matrix.n, dtype=np.bool_)
    for position, coefficients in spec.aliases.items():
        column = matrix.select(np.array([position], dtype=np.int64)).times(np.ones(1))
        equals = kept.times(coefficients)
        told &= np.abs(column - equals) <= ALIKE * (1.0 + np.abs(column) + np.abs(equals))
    return None if told.all() else told


def _needed(spec: Encoding) -> tuple[str, ...]:
    """Columns of the fixed part and the offsets, and of the other parts."""
    assert isinstance(spec.fixed, FixedSpec)
    named = [name for name in (spec.offset, spec.exposure) if name is not None]
    named += [name for part in spec.parts.values() for name in part.variables]
    return tuple(dict.fromkeys([*spec.fixed.variables, *(name for part in spec.offsets for name in part.variables), *named]))


def _no_rows(design: Design, frame: Frame, offset: Any, exposure: Any, effects: bool) -> NewRows:
    """A frame that has the columns and no rows."""
    part = design.mean
    check_names(frame, _needed(_own_spec(design, offset, exposure)), ", needed for predictions")
    for term in part.random if effects else ():
        if term.spec is not None:
            check_names(frame, term.spec.variables, f", needed for the random effects of {term.group}")
    refs = tuple(np.zeros(0, dtype=np.int32) for _ in part.random)
    z = tuple(np.zeros((0, len(term.names))) for term in part.random) if effects else ()
    return NewRows(Matrix(0, part.matrix.p, ()), None, np.zeros(0, dtype=np.bool_), refs, z, refs)


def _own_spec(design: Design, offset: Any, exposure: Any) -> Encoding:
    """The design's, with the offset and exposure given for new rows."""
    spec = design.spec
    return replace(spec, offset=_own("offset", spec.offset, offset), exposure=_own("exposure", spec.exposure, exposure))


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
        total[rows] += wide(pieces[part.text, False].values[0])
    return total, known


def _number(variable: Variable) -> Floats:
    if variable.values is None:
        raise GlimmError(f"column {variable.name!r} must hold numbers, not {variable.levels[0]!r}")
    return variable.values


def _random(term: RandomTerm, refs: Codes, variables: Mapping[str, Variable], n: int, effects: bool) -> tuple[Floats, Codes]:
    """Columns of the effects and rows of effects of one random term."""
    if term.times is None:
        return _effects(term, variables, n) if effects else np.zeros((n, 0)), refs
    ones = np.ones((n, 1), order="F")
    return ones, cell_of(term, refs, _effects(term, variables, n)[:, 0]) if effects else refs


def _effects(term: RandomTerm, variables: Mapping[str, Variable], n: int) -> Floats:
    """(n, k) columns of the random effects, NaN where one is missing."""
    if term.spec is None:
        return np.ones((n, 1), order="F")
    spec: FixedSpec = term.spec
    matrix, known = replay(spec, variables, n)
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
