"""A design whose rows stay in a file: learnt in passes, then read again in batches of whole clusters or blocks of rows.

Pass 1: levels, the account of missing rows, a few rows that have every level. Then sums, centres, scales and rank, as of rows in memory.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from typing import Any, Final

import numpy as np

from ..data.columns import as_factor, level_array, recode, take
from ..data.expressions import Expression, learn
from ..data.factors import FactorSpec
from ..data.formula import split, variables_in
from ..data.frames import Frame
from ..data.matrices import Fixed, FixedSpec, build, predictors, replay
from ..data.parquet import Files, Runs, joined, needed, open_files, taken
from ..data.records import Formula, Missing, Response, Variable
from ..data.terms import parse_terms, plain_factor
from ..data.text import plain_name
from ..errors import GlimmError
from ..kernels.gee import BLOCK_ROWS, cluster_blocks
from ..kernels.matrix import Ints, Matrix
from .build import check_columns, check_door, encoding, mean_part, prediction_columns, read_weights, total_offset
from .clusters import check_times, gather, read_time
from .inputs import account, check_missing, read_inputs, together
from .lots import Lot, cut, join
from .rank import decide_over
from .records import NO_ROWS, Clusters, Design, Inputs, Part, Spec
from .response import check_varies, parts_of_response, read_response, response_variables
from .scope import Scope
from .totals import Totals

BATCH_ROWS = 8 * BLOCK_ROWS
FIRST_ROWS = 100
HELD: Final = ("y", "rows", "labels", "columns", "inputs")
ROW: Final = re.compile(r"\b(rows?) (\d+)(?: and (\d+))?(?=,? \(?counting from 0)")


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
        return f"StreamedDesign({self.n} rows of {', '.join(str(path) for path in self.stream.files.paths)})"

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


def stream_design(spec: Spec, data: Any, patterns: bool, positions: bool) -> StreamedDesign:
    """The design of a GEE whose data are parquet files.

    patterns : whether the working correlation needs the occasions of every cluster; positions : whether it takes these by row order
    Raises GlimmError as `build_design` does, for clusters whose rows do not follow each other, and for terms that look at all rows.
    """
    formula = split(spec.formula)
    check_door(spec, formula)
    for role in ("groups", "time", "weights", "offset", "exposure"):
        given = getattr(spec, role)
        if given is not None and not isinstance(given, str):
            raise GlimmError(f"{role}= must name a column of the file, not {type(given).__name__}: make it a column")
    stream = Stream(spec, formula, open_files(data))
    fixed, missing = stream.learn()
    check_columns(fixed, spec)
    fixed = replace(fixed, matrix=Matrix(0, len(fixed.spec.names), ()))
    scope, levels, sizes, totals = stream.look(Scope(patterns, positions))
    intercept, p = fixed.spec.intercept, len(fixed.spec.names)
    decided = decide_over(lambda: (lot.matrix for lot in stream.blocks()), p, intercept)
    stream.keep = None if len(decided.keep) == p else decided.keep
    nothing = np.zeros(0)
    part = mean_part(fixed, spec, nothing if stream.has_offset else None, (), decided)
    names = prediction_columns(fixed, stream.offsets, (), spec)
    starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    name = stream.outer
    return StreamedDesign(
        y=nothing,
        trials=nothing if stream.response.kind == "trials" else None,
        weights=None if spec.weights is None else nothing,
        weights_kind=spec.weights_kind,
        rows=np.zeros(0, dtype=np.int64),
        parts={"mean": part},
        clusters={name: Clusters(name, levels, np.zeros(0, dtype=np.int64), starts, None, nothing if stream.inner else None, scope)},
        missing=missing,
        response=stream.response,
        spec=encoding(spec, formula, fixed, decided, stream.offsets, names, "pandas"),
        stream=stream,
        sums=totals,
    )


class Stream:
    """The rows of parquet files as a design needs them; what was learnt of them, and no row."""

    def __init__(self, spec: Spec, formula: Formula, files: Files) -> None:
        self.spec, self.formula, self.files = spec, formula, files
        names = [*response_variables(formula), *predictors(formula.fixed), *(v for text in formula.offsets for v in variables_in(text))]
        names += [given for given in (spec.weights, spec.offset, spec.exposure, spec.time) if given is not None]
        groups = [spec.groups]
        if "/" in spec.groups and spec.groups not in files.names:
            groups = [part.strip() for part in spec.groups.split("/")]
        self.columns = needed(files, [*names, *groups])
        self.outer, self.inner = groups[0], ":".join(groups) if len(groups) > 1 else None
        self.orders: dict[str, tuple[Any, ...]] = {}
        self.offsets: tuple[FactorSpec, ...] = ()
        self.has_offset = False
        self.keep: Ints | None = None
        self.fixed: FixedSpec
        self.response: Response

    def learn(self) -> tuple[Fixed, Missing]:
        """Pass 1: how columns become a model, and the account of missing rows."""
        seen, runs = _Seen(self.formula), Runs(self.outer)
        missing: Missing | None = None
        some: list[Frame] = []
        first = 0
        for frame in self.files.pieces(self.columns, self.outer):
            with placed(first):
                inputs = read_inputs(self.spec, self.formula, frame)
            runs.add(inputs.columns[self.outer])
            for variable in (*inputs.variables.values(), *inputs.arguments.values()):
                if variable.ordered_levels:
                    self.orders[variable.name] = tuple(dict.fromkeys((*self.orders.get(variable.name, ()), *variable.levels)))
            rows, one = account(inputs, frame.n_rows)
            missing = one if missing is None else together(missing, one)
            picked = seen.new(inputs, np.arange(frame.n_rows) if rows is None else rows)
            if len(picked):
                some.append(taken(frame, picked))
            first += frame.n_rows
        assert missing is not None
        runs.check()
        columns = [*(c for c in self.columns if c in missing.by_variable), *(c for c in missing.by_variable if c not in self.columns)]
        missing = replace(missing, by_variable={name: missing.by_variable[name] for name in columns})
        check_missing(missing, self.spec.missing)
        if missing.by_cluster[self.outer].clusters - missing.by_cluster[self.outer].lost < 2:
            raise GlimmError(f"{self.outer!r} has a single cluster in the rows used: a GEE needs many clusters; use glimm.glm(...)")
        frame = joined(some)
        inputs = self._inputs(frame)
        rows, one = account(inputs, frame.n_rows)
        fixed = build(self.formula.fixed, inputs.variables, rows, one.n_used)
        offset, self.offsets = total_offset(self.formula, inputs, rows)
        self.has_offset = offset is not None
        assert isinstance(fixed.spec, FixedSpec)
        self.fixed = fixed.spec
        for factor in (*self.fixed.factors.values(), *self.offsets):
            if factor.expression is not None:
                _refuse_state(factor.expression)
        for text in parts_of_response(self.formula):
            if plain_name(text) is None and _coded(text.replace(" ", "")) is None:
                _refuse_state(learn(text, inputs.variables, rows)[0])
        self.response = read_response(self.formula, self.spec.family, inputs.variables, rows)[2]
        return fixed, missing

    def look(self, scope: Scope) -> tuple[Any, Any, Ints, Totals]:
        """Pass 2: (occasions that stand for all, levels of the clusters, their sizes, sums over rows)."""
        levels: list[Any] = []
        sizes: list[Ints] = []

        def noted(lots: Iterable[Lot]) -> Iterator[Lot]:
            for lot in lots:
                refs = lot.refs
                order, starts = gather(refs, len(lot.sizes), lot.time if lot.inner is None else lot.inner)
                if lot.time is not None:
                    check_times(self.outer, lot.levels.tolist(), refs, order, lot.time, lot.rows)
                scope.add(starts, *(None if v is None else v[order] for v in (lot.time, lot.inner)))
                levels.append(lot.levels)
                sizes.append(lot.sizes)
                yield lot

        totals = Totals()
        for lot in _even(noted(self._lots()), BLOCK_ROWS):
            totals = totals.add(lot.y, lot.offset, lot.size, lot.weights)
        check_varies(self.response, self.spec.family, totals.least, totals.most)
        named = np.concatenate([part.astype(object) if any(p.dtype.kind == "O" for p in levels) else part for part in levels])
        return scope.occasions(), level_array(named.tolist()), np.concatenate(sizes), totals

    def blocks(self) -> Iterator[Lot]:
        """Rows in the order of the file, in the blocks of a sum of cross-products."""
        return _even(self._lots(), BLOCK_ROWS * max(1, len(self.fixed.names) // 256))

    def parts(self, design: StreamedDesign) -> Iterator[Design]:
        """The same as designs."""
        rows = BLOCK_ROWS * max(1, design.mean.matrix.p // 256)
        return (_design(design, lot, self.keep, {}) for lot in _even(self._lots(), rows))

    def batches(self, design: StreamedDesign) -> Iterator[Design]:
        """Whole clusters, in batches that end where a block of clusters of all rows ends."""
        held: Lot | None = None
        for lot in self._lots():
            held = lot if held is None else join(held, lot)
            edges = cluster_blocks(held.starts)
            last = edges[-1] if held.starts[edges[-1]] - held.starts[edges[-2]] >= BLOCK_ROWS else edges[-2]
            if held.starts[last] >= BATCH_ROWS:
                ready, held = cut(held, last)
                yield self._clustered(design, ready)
        if held is not None and held.n:
            yield self._clustered(design, held)

    def _clustered(self, design: StreamedDesign, lot: Lot) -> Design:
        order, starts = gather(lot.refs, len(lot.sizes), lot.time if lot.inner is None else lot.inner)
        clusters = Clusters(self.outer, lot.levels, order, starts, lot.time, lot.inner)
        return _design(design, lot, self.keep, {self.outer: clusters})

    def _inputs(self, frame: Frame) -> Inputs:
        """The columns of a piece, categoricals with the levels of the whole file."""
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

    def _lots(self) -> Iterator[Lot]:
        """The rows used, of whole clusters at a time."""
        first = 0
        for frame in self.files.pieces(self.columns, self.outer):
            with placed(first):
                inputs = self._inputs(frame)
                rows, one = account(inputs, frame.n_rows)
                if one.n_used:
                    yield self._lot(inputs, np.arange(frame.n_rows) if rows is None else rows, first)
            first += frame.n_rows

    def _lot(self, inputs: Inputs, rows: Ints, first: int) -> Lot:
        spec, n = self.spec, len(rows)
        y, trials, _ = read_response(self.formula, spec.family, inputs.variables, rows, self.response)
        variables = {name: take(inputs.column(name), rows) for name in self.fixed.variables}
        time = inputs.arguments.get("time")
        codes = inputs.groupings[self.outer].codes
        assert codes is not None
        edges = np.flatnonzero(np.diff(codes[rows], prepend=-1) != 0)
        inner = None if self.inner is None else inputs.groupings[self.inner].codes
        return Lot(
            y=y,
            trials=trials,
            weights=read_weights(inputs.arguments.get("weights"), rows, spec.weights_kind),
            offset=total_offset(self.formula, inputs, rows)[0],
            matrix=replay(self.fixed, variables, n)[0],
            rows=rows + first,
            sizes=np.diff(np.append(edges, n)),
            levels=level_array(inputs.groupings[self.outer].levels)[codes[rows][edges]],
            time=None if time is None else read_time(time, rows),
            inner=None if inner is None else inner[rows].astype(np.float64),
        )


def _design(whole: StreamedDesign, lot: Lot, keep: Ints | None, clusters: dict[str, Clusters]) -> Design:
    part = whole.mean
    mean = Part(
        lot.matrix if keep is None else lot.matrix.select(keep),
        part.names,
        part.dropped,
        part.intercept,
        part.center,
        part.scale,
        lot.offset,
        part.link,
    )
    return Design(
        lot.y, lot.trials, lot.weights, whole.weights_kind, lot.rows, {"mean": mean}, clusters, whole.missing, whole.response, whole.spec
    )


def _even(lots: Iterable[Lot], rows: int) -> Iterator[Lot]:
    """The same rows so many at a time, clusters left aside."""
    held: Lot | None = None
    for lot in lots:
        held = lot if held is None else join(held, lot)
        at = 0
        while held.n - at >= rows:
            yield held.between(at, at + rows)
            at += rows
        held = held.between(at, held.n)
    if held is not None and held.n:
        yield held


@contextmanager
def placed(first: int) -> Iterator[None]:
    """Errors of a piece name rows of the file, of which it begins with row `first`."""
    try:
        yield
    except GlimmError as error:

        def moved(found: re.Match[str]) -> str:
            word, *numbers = found.groups()
            return f"{word} {' and '.join(str(int(number) + first) for number in numbers if number)}"

        said = ROW.sub(moved, str(error))
        if said == str(error):
            raise
        raise type(error)(said) from error


def _refuse_state(expression: Expression) -> None:
    """Raise GlimmError for an expression whose columns depend on rows that a batch does not have."""
    if expression.spans:
        raise GlimmError(f"{expression.text} makes a factor, whose levels in all of the file are not known: make it a column of the file")
    for learnt in (expression.reduced, expression.full):
        if learnt is not None and any(learnt.transform_state.values()):
            raise GlimmError(
                f"{expression.text} looks at all rows of the data, which a fit from a file does not hold: make the column in the file, "
                "or fit in memory, data=glimm.read(path)"
            )


class _Seen:
    """Levels that were there so far, among all rows and among complete ones."""

    def __init__(self, formula: Formula) -> None:
        self.coded = {name for name in map(_coded, (f for term in parse_terms(formula.fixed)[0] for f in term.factors)) if name is not None}
        coded = _coded(formula.response.replace(" ", ""))
        self.coded |= {coded} if coded else set()
        self.seen: dict[tuple[str, bool], set[Any]] = {}
        self.plain = FIRST_ROWS

    def new(self, inputs: Inputs, rows: Ints) -> Ints:
        """Rows with levels that were not there, and the first complete ones."""
        picked = [rows[: self.plain]]
        self.plain -= len(picked[0])
        for name, variable in inputs.variables.items():
            if variable.kind == "numeric" and name not in self.coded:
                continue
            factor = as_factor(variable)
            assert factor.codes is not None
            for complete in (True, False):
                codes = factor.codes[rows] if complete else factor.codes
                seen = self.seen.setdefault((name, complete), set())
                there = np.flatnonzero(np.bincount(codes[codes >= 0], minlength=len(factor.levels)))
                fresh = np.array([j for j in there if factor.levels[j] not in seen], dtype=np.int64)
                if not len(fresh):
                    continue
                seen.update(factor.levels[j] for j in fresh)
                found, at = np.unique(codes, return_index=True)
                at = at[np.isin(found, fresh)]
                picked.append(rows[at] if complete else at)
        return np.unique(np.concatenate(picked)).astype(np.int64)


def _coded(text: str) -> str | None:
    """The column that C(column, ...) makes a factor of."""
    if not text.startswith("C("):
        return None
    plain = plain_factor(text)
    if plain is not None:
        return plain
    names = variables_in(text)
    return names[0] if len(names) == 1 else None


def _restored(values: list[Any]) -> StreamedDesign:
    """A design from the values of its fields, for pickle."""
    out = object.__new__(StreamedDesign)
    for f, value in zip(fields(StreamedDesign), values, strict=True):
        object.__setattr__(out, f.name, value)
    return out
