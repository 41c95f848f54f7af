"""What the data room hands on: columns as arrays, a parsed formula, the account of missing rows, how to read new data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..kernels.matrix import Codes, Floats, Stored, wide

ARRAY = "(array)"
"""In `Encoding.offset` and `Encoding.exposure`: it was given as an array, so new data must bring their own."""


@dataclass(frozen=True, slots=True)
class Variable:
    """One column of the caller's data.

    kind "numeric": values (n,) float64 (NaN where missing). kind "factor": codes (n,) int32 (-1 where missing) into levels.
    missing : (n,) bool, or None when nothing is missing
    boolean : the column was boolean (levels False, True)
    ordered_levels : the order of levels is the caller's (a categorical), not sorted
    ordinal : the categorical says that this order means something (ordered=True in pandas, an Enum in polars)
    integer : a numeric column of whole-number type (its levels are shown as 1, 2 rather than 1.0, 2.0)
    """

    name: str
    kind: Literal["numeric", "factor"]
    values: Floats | None = None
    codes: Codes | None = None
    levels: tuple[Any, ...] = ()
    missing: NDArray[np.bool_] | None = None
    boolean: bool = False
    ordered_levels: bool = False
    ordinal: bool = False
    integer: bool = False

    @property
    def stored(self) -> Stored | None:
        """What is kept of `values`."""
        return self.values


@dataclass(frozen=True, slots=True)
class StoredVariable(Variable):
    """A numeric column that is not kept as float64, which `values` gives anew each time it is asked for."""

    def __getattribute__(self, name: str) -> Any:
        out = object.__getattribute__(self, name)
        return wide(out) if name == "values" else out

    @property
    def stored(self) -> Stored:
        """What is kept."""
        out: Stored = object.__getattribute__(self, "values")
        return out


@dataclass(frozen=True, slots=True)
class Bar:
    """One random term of one grouping factor: structure(expression | group), `correlated` is False for ||.

    text : the term as it would be written alone; group : the grouping's text; factors : its columns, whose combinations are its levels
    """

    text: str
    structure: str
    expression: str
    group: str
    factors: tuple[str, ...]
    correlated: bool

    @property
    def name(self) -> str:
        """The grouping's name, a:b for combinations of two columns."""
        return ":".join(self.factors)


@dataclass(frozen=True, slots=True)
class Formula:
    """A formula taken apart.

    response : text of the left side; successes, trials, failures : its parts for `s / n` and cbind(s, f), else None
    fixed : the right side without bars and offsets, for formulaic
    offsets : expressions inside offset(...)
    """

    text: str
    response: str
    successes: str | None
    trials: str | None
    failures: str | None
    fixed: str
    bars: tuple[Bar, ...]
    offsets: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Response:
    """The response as modelled.

    kind : "numeric", "binary" (0/1, boolean, two levels), "trials", or "levels" (y is a level's position)
    success : the level counted as the event (binary); levels : both or all of them, in order, reference first
    event : the sentence for summaries; note : what a reader should be warned of
    """

    name: str
    kind: Literal["numeric", "binary", "trials", "levels"]
    success: Any = None
    levels: tuple[Any, ...] = ()
    event: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class ClusterLoss:
    """What missing rows did to the clusters of one grouping.

    clusters : all of them; shortened : lost some rows but not all; lost : lost all rows
    rows_by_level : level -> rows lost, for the levels that lost any
    """

    clusters: int
    shortened: int
    lost: int
    rows_by_level: Mapping[Any, int]


@dataclass(frozen=True, slots=True)
class Missing:
    """The account of dropped rows.

    by_variable : name -> rows in which it is missing (a row may count for several)
    by_cluster : grouping name -> ClusterLoss
    """

    n_rows: int
    n_used: int
    by_variable: Mapping[str, int]
    by_cluster: Mapping[str, ClusterLoss]

    @property
    def n_dropped(self) -> int:
        """Rows left out."""
        return self.n_rows - self.n_used


@dataclass(frozen=True, slots=True)
class Factor:
    """A factor in the model: levels with rows (reference first where treatment-coded) and levels of the data without rows."""

    name: str
    levels: tuple[Any, ...]
    reference: Any
    unused: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Encoding:
    """How columns become a model: enough to read new data the same way, and no rows.

    fixed : replayable specification of the fixed part (see data.matrices)
    names : terms of all columns before any was left out for rank; keep : positions kept
    factors : the factors of the fixed part, for the summary's reference levels
    variables : columns of the data that a prediction needs
    offset, exposure : the column's name; ARRAY when it was given as an array; None when there was none
    offsets : replayable specifications of offset(...) in the formula
    frame : the caller's kind of frame: "pandas", "polars", "pyarrow" or "dict"
    aliases : position left out for rank -> what it equals, one coefficient per kept column
    parts : the same of the other linear predictors, "zero" and "dispersion", without offset and exposure arguments
    """

    formula: Formula
    fixed: Any
    names: tuple[str, ...]
    keep: tuple[int, ...]
    factors: tuple[Factor, ...]
    variables: tuple[str, ...]
    offset: Any
    exposure: Any
    frame: Literal["pandas", "polars", "pyarrow", "dict"]
    offsets: tuple[Any, ...] = ()
    aliases: Mapping[int, Floats] = field(default_factory=dict)
    parts: Mapping[str, Encoding] = field(default_factory=dict)

    @property
    def every(self) -> tuple[Encoding, ...]:
        """Of the mean, then of the other parts."""
        return (self, *self.parts.values())
