"""What a model is made of, before anything is fitted: Spec -> Design = response + parts + clusters.

Design: y_i, size_i; eta_i = offset_i + x_i'beta + z_i'b_g(i) for each part.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from ..covariance.occasions import Occasions
from ..data.records import Encoding, Missing, Response, Variable
from ..family import Family, Link
from ..kernels.matrix import Codes, Floats, Ints, Matrix
from .totals import Totals, total
from .weights import WeightsKind

NO_ROWS: Final = (
    "this fit was made from files or pieces and holds no rows: predict(newdata) is there, and what looks at the rows of the fit is not; "
    "for that fit in memory, data=glimm.read(path)"
)


@dataclass(frozen=True, slots=True)
class Spec:
    """A call of one of the doors, its arguments packed. Columns are named or given as arrays."""

    door: Literal["glm", "glmm", "gee"]
    formula: str
    family: Family
    link: Link
    weights: Any = None
    offset: Any = None
    exposure: Any = None
    groups: Any = None
    time: Any = None
    clusters: tuple[str, ...] = ()
    missing: Literal["drop", "error"] = "drop"
    zero: Any = None
    dispersion: Any = None
    weights_kind: WeightsKind = "precision"
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Inputs:
    """Columns over the caller's rows.

    variables : columns of the formula, by name
    arguments : "weights", "offset", "exposure", "time" as given, where given
    groupings : random-effect groupings, GEE groups and cluster columns, by name, all factors; combinations of columns as "a:b"
    columns : the columns among the groupings and behind their combinations
    groups : name of the GEE groups among the groupings; inner : name of the clusters inside them, of groups="outer/inner"
    """

    variables: Mapping[str, Variable]
    arguments: Mapping[str, Variable]
    groupings: Mapping[str, Variable]
    columns: Mapping[str, Variable]
    groups: str | None
    inner: str | None = None

    def column(self, name: str) -> Variable:
        """A column of the formula, or one named as an argument."""
        if name in self.variables:
            return self.variables[name]
        return next(variable for variable in self.arguments.values() if variable.name == name)


@dataclass(frozen=True, slots=True)
class RandomTerm:
    """Random effects of one grouping factor: row i adds z_i'b_refs(i), b_j ~ N(0, Lambda Lambda').

    group : name of the grouping factor
    levels : (J,) its levels, in the order of refs
    refs : (n,) int32 level of each row
    z : (n, k) Fortran-ordered, columns as named
    names : k column names of z
    structure : name of the covariance structure
    intercept : position of the constant column, or None
    center, scale, mix : (k,), (k,), (k, k) the kernels work on ((z - center) / scale) mix, under us with orthonormal columns, else only
    scaled: any other change of basis would change what independent effects are
    spec : how new data are read in the same way; None for a random intercept
    cells, cell_refs, times : under ou, where every level has an effect at each of its own times: (n,) int32 cell of each row, (C,) int32
    level and (C,) time of each cell, by level and time; z is then 1. None otherwise
    """

    group: str
    levels: NDArray[Any]
    refs: Codes
    z: Floats
    names: tuple[str, ...]
    structure: str
    intercept: int | None
    center: Floats
    scale: Floats
    mix: Floats
    spec: Any = None
    cells: Codes | None = None
    cell_refs: Codes | None = None
    times: Floats | None = None

    @property
    def places(self) -> Codes:
        """(n,) the row of effects (J or C, k) that each row of data has."""
        return self.refs if self.cells is None else self.cells


@dataclass(frozen=True, slots=True)
class Clusters:
    """Rows gathered by cluster: cluster j is rows order[starts[j]:starts[j + 1]], by time inside a cluster.

    levels : (K,) cluster names
    time : (n,) time of each row in the design's row order, or None (then 1, 2, ... in row order)
    inner : (n,) code of the cluster inside the cluster, by which rows are ordered then, or None
    scope : clusters that stand for all, where the rows are in a file and order has none
    """

    name: str
    levels: NDArray[Any]
    order: Ints
    starts: Ints
    time: Floats | None = None
    inner: Floats | None = None
    scope: Occasions | None = None

    @property
    def sizes(self) -> Ints:
        """(K,) rows per cluster."""
        return np.diff(self.starts)


@dataclass(frozen=True, slots=True)
class Part:
    """One linear predictor: eta = offset + X beta (+ random terms).

    matrix : the columns that are kept; names : their terms
    dropped : name of a column left out for rank -> what it equals, in words
    intercept : position of the constant column, or None
    center, scale : (p,) the kernels work on (x - center) / scale; center is 0 where it may not be moved
    """

    matrix: Matrix
    names: tuple[str, ...]
    dropped: Mapping[str, str]
    intercept: int | None
    center: Floats
    scale: Floats
    offset: Floats | None
    link: Link
    random: tuple[RandomTerm, ...] = ()


@dataclass(frozen=True, slots=True)
class Design:
    """Everything an estimator reads, built once and never written to.

    y : (n,) response on the scale of the mean (proportions for trials)
    trials : (n,) or None; weights : (n,) or None, of weights_kind
    rows : (n,) index of each used row in the caller's data
    parts : "mean", and "zero" and "dispersion" where the call has them, in this order
    clusters : the groups of a GEE, or the columns named in vcov={"cluster": ...}, by name
    spec : how new data are read in the same way; holds no rows
    labels : the pandas index of the used rows, None for other kinds of frame
    columns : what a prediction needs (`spec.variables`), over all of the caller's rows, shared with the caller's data where it can be
    inputs : every column of the call over all of the caller's rows, to ask which were left out; None where none was
    beside : (n,) columns of the rows used that only the working association of a GEE reads
    """

    y: Floats
    trials: Floats | None
    weights: Floats | None
    weights_kind: WeightsKind
    rows: Ints
    parts: Mapping[str, Part]
    clusters: Mapping[str, Clusters]
    missing: Missing
    response: Response
    spec: Encoding
    labels: Any = None
    columns: Mapping[str, Variable] = field(default_factory=dict)
    inputs: Inputs | None = None
    beside: Mapping[str, NDArray[Any]] = field(default_factory=dict)

    @property
    def n(self) -> int:
        """Rows used."""
        return len(self.y)

    @property
    def counted(self) -> bool:
        """Whether weights count equal rows."""
        return self.weights is not None and self.weights_kind == "frequency"

    @property
    def multiplied(self) -> bool:
        """Whether weights multiply the log-density of every family; precision weights divide dispersions."""
        return self.weights is not None and self.weights_kind != "precision"

    @property
    def nobs(self) -> int:
        """Rows used, each as often as a frequency weight counts it."""
        return int(self.totals.weights) if self.counted else self.n

    @property
    def mean(self) -> Part:
        """The mean model."""
        return self.parts["mean"]

    @property
    def size(self) -> Floats | None:
        """(n,) weights times trials: what multiplies a row's log-likelihood; None when all are 1."""
        if self.trials is None or self.weights is None:
            return self.weights if self.trials is None else self.trials
        return self.trials * self.weights

    @property
    def totals(self) -> Totals:
        """Sums over all rows."""
        return total(((self.y, self.mean.offset, self.size, self.weights),))


@dataclass(frozen=True, slots=True)
class NewRows:
    """New data read with a design's spec, one entry per row of the caller's frame.

    complete : (n,) bool; rows with a missing predictor are False and hold zeros in matrix
    refs : per random term, (n,) int32 level, -1 for a level that the fit has not seen (or missing)
    places : per random term, (n,) int32 row of its effects, -1 where there is none; refs, but for cells
    told : (n,) bool, False where a column left out for rank does not equal what it did in the fit: the mean is not determined; None: all
    weights, trials : (n,) of the rows used, or trials read for new responses; None where all are 1
    """

    matrix: Matrix
    offset: Floats | None
    complete: NDArray[np.bool_]
    refs: tuple[Codes, ...] = ()
    z: tuple[Floats, ...] = ()
    places: tuple[Codes, ...] = ()
    weights: Floats | None = None
    trials: Floats | None = None
    told: NDArray[np.bool_] | None = None
