"""A call and its data -> Design: parse, read, drop missing rows, response, matrix, rank, offsets, weights, random terms, clusters.

eta_i = offset_i + x_i'beta + sum over random terms of z_i'b_g(i).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..data.factors import FactorSpec, Pieces, encode_factor, learn_factor
from ..data.formula import split
from ..data.frames import Kind, open_frame
from ..data.matrices import Fixed, build
from ..data.records import ARRAY, Encoding, Formula, Variable
from ..data.text import plain_name
from ..errors import GlimmError
from ..kernels.matrix import Floats, Ints, wide
from . import rank
from .clusters import make_clusters, read_time
from .effects import random_terms
from .inputs import read_inputs, used_rows
from .part_formulas import all_part_variables
from .records import Clusters, Design, Inputs, Part, RandomTerm, Spec
from .response import make_response
from .weights import WeightsKind
from .words import in_words


def build_design(spec: Spec, data: Any) -> Design:
    """Everything an estimator reads.

    spec : the packed call; data : pandas or polars DataFrame, pyarrow Table or dict of arrays

    Raises GlimmError for a call or data that cannot be used, naming column, row or level and the remedy.

    >>> from glimm.family import resolve
    >>> family, link = resolve("gaussian")
    >>> build_design(Spec("glm", "y ~ x", family, link), {"y": [1.0, 2.0, 4.0], "x": [0, 1, 2]}).mean.names
    ('Intercept', 'x')
    """
    formula = split(spec.formula)
    check_door(spec, formula)
    frame = open_frame(data)
    inputs = read_inputs(spec, formula, frame)
    rows, missing = used_rows(inputs, frame.n_rows, spec.missing)
    n = frame.n_rows if rows is None else len(rows)
    y, trials, response = make_response(formula, spec.family, inputs.variables, rows)
    fixed = build(formula.fixed, inputs.variables, rows, n)
    offset, offsets = total_offset(formula, inputs, rows)
    residual = spec.family.support == "real" and spec.link.name == "identity"
    random = random_terms(formula.bars, inputs, rows, residual)
    decided = decide(fixed, spec)
    part = mean_part(fixed, spec, offset, random, decided)
    needed = prediction_columns(fixed, offsets, random, spec)
    return Design(
        y=y,
        trials=trials,
        weights=read_weights(inputs.arguments.get("weights"), rows, spec.weights_kind),
        weights_kind=spec.weights_kind,
        rows=np.arange(n, dtype=np.int64) if rows is None else rows,
        parts={"mean": part},
        clusters=all_clusters(spec, inputs, rows),
        missing=missing,
        response=response,
        spec=encoding(spec, formula, fixed, decided, offsets, needed, frame.kind),
        labels=frame.labels(rows),
        columns={name: inputs.column(name) for name in needed},
        inputs=None if rows is None else inputs,
    )


def check_door(spec: Spec, formula: Formula) -> None:
    """Raise GlimmError when the formula belongs to another door, naming it."""
    if spec.door != "glmm" and formula.bars:
        raise GlimmError(f"random effects {formula.bars[0].text} belong in glimm.glmm(...); glimm.{spec.door} has none")
    if spec.door == "glmm" and not formula.bars:
        raise GlimmError(
            "the formula has no random effects: add a term such as (1 | group), or use glimm.glm(...) for independent rows, "
            "glimm.gee(..., groups=...) for clustered rows without random effects"
        )
    if spec.door == "gee" and spec.groups is None:
        raise GlimmError(
            "glimm.gee needs groups=: the column that says which rows belong together; for independent rows use glimm.glm(...)"
        )


def encoding(
    spec: Spec, formula: Formula, fixed: Fixed, decided: rank.Rank, offsets: tuple[FactorSpec, ...], needed: tuple[str, ...], kind: Kind
) -> Encoding:
    """How new data are read in the same way."""
    return Encoding(
        formula=formula,
        fixed=fixed.spec,
        names=fixed.spec.names,
        keep=tuple(int(j) for j in decided.keep),
        factors=fixed.factors,
        variables=needed,
        offset=_as_given(spec.offset),
        exposure=_as_given(spec.exposure),
        frame=kind,
        offsets=offsets,
        aliases=decided.dropped,
    )


def decide(fixed: Fixed, spec: Spec) -> rank.Rank:
    """Which columns are kept."""
    check_columns(fixed, spec)
    return rank.decide(fixed.matrix, fixed.spec.intercept)


def check_columns(fixed: Fixed, spec: Spec) -> None:
    """Raise GlimmError where there are none."""
    if not fixed.spec.names:
        raise GlimmError(f"the formula {spec.formula!r} has no coefficients: write '~ 1' for a constant, or add a predictor")


def mean_part(fixed: Fixed, spec: Spec, offset: Floats | None, random: tuple[Any, ...], decided: rank.Rank) -> Part:
    """The mean model with the columns that are kept."""
    names = fixed.spec.names
    keep = decided.keep
    dropped = dict(fixed.empty)
    for position, coefficients in decided.dropped.items():
        dropped[names[position]] = in_words(names, position, coefficients, decided)
    intercept = fixed.spec.intercept
    kept_at = np.flatnonzero(keep == intercept) if intercept is not None else np.zeros(0, dtype=np.int64)
    everything = len(keep) == len(names)
    return Part(
        matrix=fixed.matrix if everything else fixed.matrix.select(keep),
        names=tuple(names[j] for j in keep),
        dropped=dropped,
        intercept=int(kept_at[0]) if len(kept_at) else None,
        center=decided.center[keep],
        scale=decided.scale[keep],
        offset=offset,
        link=spec.link,
        random=random,
    )


def total_offset(formula: Formula, inputs: Inputs, rows: Ints | None) -> tuple[Floats | None, tuple[FactorSpec, ...]]:
    """offset= plus log(exposure=) plus every offset(...), and how to read the last again."""
    parts: list[Floats] = []
    if "offset" in inputs.arguments:
        parts.append(_values(inputs.arguments["offset"], rows))
    if "exposure" in inputs.arguments:
        parts.append(log_exposure(inputs.arguments["exposure"], rows))
    specs = []
    for text in formula.offsets:
        values, spec = _formula_offset(text, inputs.variables, rows)
        parts.append(values)
        specs.append(spec)
    if not parts:
        return None, ()
    total = parts[0].copy()
    for part in parts[1:]:
        total += part
    return total, tuple(specs)


def log_exposure(variable: Variable, rows: Ints | None) -> Floats:
    """log of an exposure, which must be positive."""
    values = _values(variable, rows)
    bad = values <= 0
    if bad.any():
        at = int(np.argmax(bad))
        row = at if rows is None else int(rows[at])
        raise GlimmError(f"exposure {variable.name!r} is {values[at]:g} in row {row} (counting from 0): it must be positive")
    return np.log(values)


def read_weights(variable: Variable | None, rows: Ints | None, kind: WeightsKind) -> Floats | None:
    """(n,) weights, all positive, whole numbers where they count rows, or None."""
    if variable is None:
        return None
    values = _values(variable, rows)
    bad = values <= 0
    if bad.any():
        at = int(np.argmax(bad))
        row = at if rows is None else int(rows[at])
        remedy = "drop rows of weight zero" if values[at] == 0 else "weights must be positive"
        raise GlimmError(f"weights {variable.name!r}: {values[at]:g} in row {row} (counting from 0); {remedy}")
    broken = values != np.floor(values)
    if kind == "frequency" and broken.any():
        at = int(np.argmax(broken))
        raise GlimmError(
            f"weights {variable.name!r}: {values[at]:g} in row {at if rows is None else int(rows[at])} (counting from 0); "
            "glimm.frequency(...) counts equal rows, by whole numbers: use glimm.sampling(...), or precision weights"
        )
    return values


def all_clusters(spec: Spec, inputs: Inputs, rows: Ints | None) -> Mapping[str, Clusters]:
    """The GEE's groups, and the columns named for clustered standard errors."""
    out = {}
    if inputs.groups is not None and spec.door == "gee":
        time = inputs.arguments.get("time")
        times = None if time is None else read_time(time, rows)
        remedy = "a GEE needs many clusters; use glimm.glm(...), or groups= with a level per cluster"
        inner = None if inputs.inner is None else inputs.groupings[inputs.inner]
        out[inputs.groups] = make_clusters(inputs.groups, inputs.groupings[inputs.groups], rows, times, remedy, inner)
    for name in spec.clusters:
        if name not in out:
            remedy = "clustered standard errors need many clusters; use vcov='model' or 'HC3'"
            out[name] = make_clusters(name, inputs.groupings[name], rows, None, remedy)
    return out


def _formula_offset(text: str, variables: Mapping[str, Variable], rows: Ints | None) -> tuple[Floats, FactorSpec]:
    column = plain_name(text)
    pieces: Pieces = {}
    spec = learn_factor(column or text, column is not None, variables, rows, pieces)
    if spec.kind not in ("numeric", "arithmetic", "expression") or spec.spans:
        raise GlimmError(f"offset({text}) must be one number per row")
    encode_factor(spec, False, variables, rows, pieces)
    values = pieces[spec.text, False].values
    if len(values) != 1:
        raise GlimmError(f"offset({text}) gives {len(values)} columns: it must give one number per row")
    return wide(values[0]), spec


def _values(variable: Variable, rows: Ints | None) -> Floats:
    assert variable.values is not None
    return np.ascontiguousarray(variable.values if rows is None else variable.values[rows])


def _as_given(argument: Any) -> str | None:
    return argument if argument is None or isinstance(argument, str) else ARRAY


def prediction_columns(fixed: Fixed, offsets: tuple[FactorSpec, ...], random: tuple[RandomTerm, ...], spec: Spec) -> tuple[str, ...]:
    """Columns that a prediction needs."""
    names = [*fixed.spec.variables, *(name for offset in offsets for name in offset.variables)]
    names += [name for term in random if term.spec is not None for name in term.spec.variables]
    names += [given for given in (spec.offset, spec.exposure) if isinstance(given, str)]
    names += all_part_variables(spec)
    return tuple(dict.fromkeys(names))
