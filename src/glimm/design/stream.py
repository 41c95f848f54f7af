"""A design whose rows are not held: learnt in passes over pieces of the data, then read again in blocks of rows.

Pass 1: levels, the account of missing rows, a few rows that have every level. Then sums, centres, scales and rank, as of rows in memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Final

import numpy as np

from ..covariance.occasions import Occasions
from ..data.columns import recode, take
from ..data.expressions import learn
from ..data.factors import FactorSpec
from ..data.formula import split, variables_in
from ..data.frames import Frame
from ..data.matrices import Fixed, FixedSpec, build, predictors, replay
from ..data.records import Formula, Missing, Response, Variable
from ..data.sources import Source, joined, needed, open_source, taken
from ..data.text import plain_name
from ..errors import GlimmError
from ..kernels.gee import BLOCK_ROWS
from ..kernels.matrix import Ints, Matrix
from .build import check_columns, check_door, encoding, mean_part, prediction_columns, read_weights, total_offset
from .inputs import account, check_missing, read_inputs, together
from .lots import Lot, even
from .rank import decide_over
from .records import NO_ROWS, Clusters, Design, Inputs, Part, Spec
from .response import check_varies, parts_of_response, read_response, response_variables
from .seen import Levels, Seen, coded, placed, refuse_state
from .totals import Totals

HELD: Final = ("y", "rows", "labels", "columns", "inputs")
NOTHING: Final = np.zeros(0)


@dataclass(frozen=True, slots=True)
class StreamedDesign(Design):
    """A design without rows; `stream` reads them. weights, trials and the offset are empty arrays where there are any.

    sums : over all rows
    """

    stream: Stream = field(kw_only=True)
    sums: Totals = field(kw_only=True)

    def __getattribute__(self, name: str) -> Any:
        if name in HELD:
            raise GlimmError(NO_ROWS)
        return object.__getattribute__(self, name)

    def __repr__(self) -> str:
        return f"StreamedDesign({self.n} rows of {self.stream.source.where})"

    def __reduce__(self) -> Any:  # slots of Python 3.11.2 replace __getstate__ by one that asks for the rows
        return _restored, ([object.__getattribute__(self, f.name) for f in fields(self)],)

    @property
    def n(self) -> int:
        """Rows used."""
        return self.sums.n

    @property
    def totals(self) -> Totals:
        """Sums over all rows."""
        return self.sums


def need_rows(design: Design) -> None:
    """Raise GlimmError for a design whose rows are in a file."""
    if isinstance(design, StreamedDesign):
        raise GlimmError(NO_ROWS)


def stream_design(spec: Spec, data: Any) -> StreamedDesign:
    """The design of a GLM whose data are files or pieces (`data.sources`).

    Raises GlimmError as `build_design` does, and for terms that look at all rows.
    """
    formula = open_formula(spec)
    return Stream(spec, formula, open_source(data)).design()


def open_formula(spec: Spec) -> Formula:
    """The formula of a call whose data are in pieces; raises GlimmError for arguments that are no columns of them."""
    formula = split(spec.formula)
    check_door(spec, formula)
    for role in ("groups", "time", "weights", "offset", "exposure"):
        given = getattr(spec, role)
        if given is not None and not isinstance(given, str):
            raise GlimmError(f"{role}= must name a column of the file, not {type(given).__name__}: make it a column")
    return formula


class Stream:
    """Rows in pieces as a design needs them; what was learnt of them, and no row."""

    def __init__(self, spec: Spec, formula: Formula, source: Source, groups: tuple[str, ...] = ()) -> None:
        self.spec, self.formula = spec, formula
        names = [*response_variables(formula), *predictors(formula.fixed), *(v for text in formula.offsets for v in variables_in(text))]
        names += [given for given in (spec.weights, spec.offset, spec.exposure, spec.time) if given is not None]
        self.columns = needed(source, [*names, *groups])
        self.columns = tuple(dict.fromkeys([*self.columns, *needed(source, spec.clusters, ", needed by vcov")]))
        self.source = source.needed(self.columns)
        self.levels = {name: Levels(name) for name in spec.clusters}
        self.orders: dict[str, tuple[Any, ...]] = {}
        self.offsets: tuple[FactorSpec, ...] = ()
        self.has_offset = False
        self.keep: Ints | None = None
        self.fixed: FixedSpec
        self.response: Response

    def design(self) -> StreamedDesign:
        """Everything that an estimator asks for before it asks for rows."""
        spec = self.spec
        fixed, missing = self.learn()
        check_columns(fixed, spec)
        fixed = replace(fixed, matrix=Matrix(0, len(fixed.spec.names), ()))
        intercept, p = fixed.spec.intercept, len(fixed.spec.names)
        totals: list[Totals] = []

        def matrices() -> Iterator[Matrix]:
            if totals:
                yield from (lot.matrix for lot in self.blocks())
                return
            found = Totals()
            for lot in even(self.noted(), self.block_rows(p)):
                found = found.add(lot.y, lot.offset, lot.size, lot.weights)
                yield lot.matrix
            totals.append(found)
            check_varies(self.response, spec.family, found.least, found.most)

        decided = decide_over(matrices, p, intercept)
        self.keep = None if len(decided.keep) == p else decided.keep
        part = mean_part(fixed, spec, NOTHING if self.has_offset else None, (), decided)
        names = prediction_columns(fixed, self.offsets, (), spec)
        return StreamedDesign(
            y=NOTHING,
            trials=NOTHING if self.response.kind == "trials" else None,
            weights=None if spec.weights is None else NOTHING,
            weights_kind=spec.weights_kind,
            rows=np.zeros(0, dtype=np.int64),
            parts={"mean": part},
            clusters=self.clusters(),
            missing=missing,
            response=self.response,
            spec=encoding(spec, self.formula, fixed, decided, self.offsets, names, self.source.kind),
            stream=self,
            sums=totals[0],
        )

    def pieces(self) -> Iterator[Frame]:
        """The columns, piece by piece."""
        return self.source.frames(self.columns)

    def note(self, inputs: Inputs, rows: Ints) -> None:
        """What is kept of the clusters of a piece in pass 1; rows : the complete ones."""
        for name, levels in self.levels.items():
            levels.add(inputs.groupings[name], rows)

    def accounted(self, missing: Missing) -> Missing:
        """The account of missing rows after pass 1."""
        for name, levels in self.levels.items():
            levels.close(self.orders.get(name, ()))
        return replace(missing, by_cluster={name: levels.loss() for name, levels in self.levels.items()})

    def clusters(self) -> Mapping[str, Clusters]:
        """Clusters without their rows."""
        out = {}
        for name, levels in self.levels.items():
            starts = np.concatenate([[0], np.cumsum(levels.sizes)]).astype(np.int64)
            largest = Occasions(np.array([0, int(levels.sizes.max())]), None, None)
            out[name] = Clusters(name, levels.used, np.zeros(0, dtype=np.int64), starts, scope=largest)
        return out

    def learn(self) -> tuple[Fixed, Missing]:
        """Pass 1: how columns become a model, and the account of missing rows."""
        seen = Seen(self.formula)
        missing: Missing | None = None
        some: list[Frame] = []
        first = 0
        for frame in self.pieces():
            with placed(first):
                inputs = read_inputs(self.spec, self.formula, frame)
            marked = (inputs.groupings[name] for name in self.levels)
            for variable in (*inputs.variables.values(), *inputs.arguments.values(), *marked):
                if variable.ordered_levels:
                    self.orders[variable.name] = tuple(dict.fromkeys((*self.orders.get(variable.name, ()), *variable.levels)))
            complete, one = account(inputs, frame.n_rows)
            missing = one if missing is None else together(missing, one)
            rows = np.arange(frame.n_rows) if complete is None else complete
            self.note(inputs, rows)
            picked = seen.new(inputs, rows)
            if len(picked):
                some.append(taken(frame, picked))
            first += frame.n_rows
        assert missing is not None
        columns = [*(c for c in self.columns if c in missing.by_variable), *(c for c in missing.by_variable if c not in self.columns)]
        missing = self.accounted(replace(missing, by_variable={name: missing.by_variable[name] for name in columns}))
        check_missing(missing, self.spec.missing)
        self.check_clusters(missing)
        frame = joined(some)
        inputs = self._inputs(frame)
        complete, one = account(inputs, frame.n_rows)
        fixed = build(self.formula.fixed, inputs.variables, complete, one.n_used)
        offset, self.offsets = total_offset(self.formula, inputs, complete)
        self.has_offset = offset is not None
        assert isinstance(fixed.spec, FixedSpec)
        self.fixed = fixed.spec
        for factor in (*self.fixed.factors.values(), *self.offsets):
            if factor.expression is not None:
                refuse_state(factor.expression)
        for text in parts_of_response(self.formula):
            if plain_name(text) is None and coded(text.replace(" ", "")) is None:
                refuse_state(learn(text, inputs.variables, complete)[0])
        self.response = read_response(self.formula, self.spec.family, inputs.variables, complete)[2]
        return fixed, missing

    def check_clusters(self, missing: Missing) -> None:
        """Raise GlimmError for a single cluster."""
        for name, levels in self.levels.items():
            if len(levels.kept) < 2:
                raise GlimmError(
                    f"{name!r} has a single cluster {levels.levels[levels.kept[0]]!r} in the rows used: clustered standard errors need "
                    "many clusters; use vcov='model' or 'HC3'"
                )

    def noted(self) -> Iterator[Lot]:
        """The rows used, in the pass that follows the first."""
        return self.lots()

    def blocks(self) -> Iterator[Lot]:
        """Rows in the order of the data, in the blocks of a sum of cross-products."""
        return even(self.lots(), self.block_rows(len(self.fixed.names)))

    def parts(self, design: StreamedDesign) -> Iterator[Design]:
        """The same as designs."""
        return (self.part(design, lot, {}) for lot in even(self.lots(), self.block_rows(design.mean.matrix.p)))

    @staticmethod
    def block_rows(p: int) -> int:
        """Rows of a block of a sum of cross-products of p columns."""
        return BLOCK_ROWS * max(1, p // 256)

    def part(self, whole: StreamedDesign, lot: Lot, clusters: dict[str, Clusters]) -> Design:
        """A lot as a design; `beside` has the levels of its rows in the columns named by vcov."""
        mean = whole.mean
        matrix = lot.matrix if self.keep is None else lot.matrix.select(self.keep)
        part = Part(matrix, mean.names, mean.dropped, mean.intercept, mean.center, mean.scale, lot.offset, mean.link)
        return Design(
            y=lot.y,
            trials=lot.trials,
            weights=lot.weights,
            weights_kind=whole.weights_kind,
            rows=lot.rows,
            parts={"mean": part},
            clusters=clusters,
            missing=whole.missing,
            response=whole.response,
            spec=whole.spec,
            beside=dict(zip(self.levels, lot.marks, strict=True)),
        )

    def lots(self) -> Iterator[Lot]:
        """The rows used, piece by piece."""
        first = 0
        for frame in self.pieces():
            with placed(first):
                inputs = self._inputs(frame)
                rows, one = account(inputs, frame.n_rows)
                if one.n_used:
                    yield self.lot(inputs, rows, frame.n_rows if rows is None else len(rows), first)
            first += frame.n_rows

    def lot(self, inputs: Inputs, rows: Ints | None, n: int, first: int) -> Lot:
        """The n complete rows of a piece that begins with row `first`; None for all of its rows."""
        spec = self.spec
        y, trials, _ = read_response(self.formula, spec.family, inputs.variables, rows, self.response)
        variables = {name: inputs.column(name) for name in self.fixed.variables}
        if rows is not None:
            variables = {name: take(variable, rows) for name, variable in variables.items()}
        places = np.arange(n) if rows is None else rows
        return Lot(
            y=y,
            trials=trials,
            weights=read_weights(inputs.arguments.get("weights"), rows, spec.weights_kind),
            offset=total_offset(self.formula, inputs, rows)[0],
            matrix=replay(self.fixed, variables, n)[0],
            rows=places + first,
            marks=tuple(levels.codes(inputs.groupings[name], places) for name, levels in self.levels.items()),
        )

    def _inputs(self, frame: Frame) -> Inputs:
        """The columns of a piece, categoricals with the levels of the whole data."""
        found = read_inputs(self.spec, self.formula, frame)
        if not self.orders:
            return found
        parts = found.variables, found.arguments
        variables, arguments = ({name: self._relevelled(v) for name, v in columns.items()} for columns in parts)
        return replace(found, variables=variables, arguments=arguments)

    def _relevelled(self, variable: Variable) -> Variable:
        levels = self.orders.get(variable.name)
        if levels is None or not variable.ordered_levels or levels == variable.levels:
            return variable
        return replace(variable, codes=recode(variable, levels)[0], levels=levels)


def _restored(values: list[Any]) -> StreamedDesign:
    """A design from the values of its fields, for pickle."""
    out = object.__new__(StreamedDesign)
    for f, value in zip(fields(StreamedDesign), values, strict=True):
        object.__setattr__(out, f.name, value)
    return out
