"""Whom effects are averaged over: the rows used, those treated, other people; in subgroups, counted by their weights."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.columns import as_factor, used_codes
from ..data.frames import open_frame
from ..data.records import ARRAY, Variable
from ..design.clusters import row_codes
from ..design.replay import Population, moved, read_population, used_population
from ..errors import GlimmError, GlimmWarning, NotYetError, suggest
from ..inference.wald import quantile
from ..kernels.matrix import Codes, Ints
from ..records import AnyRecord, MixedRecord
from .averages import Cells, complete, cross_codes, some
from .predict import check, strangers

POPULATIONS = ("all", "treated", "untreated")
ERRORS = ("delta", "sampled", "bootstrap")
MOST_GROUPS = 50


@dataclass(frozen=True, slots=True)
class Some:
    """A population: these of the rows used."""

    rows: Ints


@dataclass(frozen=True, slots=True)
class Wish:
    """How averages are wanted.

    asked : the question's name, for messages
    target : "marginal", "typical" or "conditional"; by : columns of subgroups
    population : "all", "treated", "untreated", Some rows, or a frame
    errors : "delta", "sampled" or "bootstrap" with draws and seed; level : of the intervals
    """

    asked: str
    target: str
    by: tuple[str, ...]
    population: Any
    errors: str
    draws: int
    seed: Any
    level: float


@dataclass(frozen=True, slots=True)
class Groups:
    """Subgroups of a population: the cells, the names of what they are by with each one's values, and a row of each."""

    cells: Cells
    names: tuple[str, ...]
    values: tuple[tuple[Any, ...], ...]
    first: Ints

    def columns(self, which: Sequence[int]) -> dict[str, list[Any]]:
        """The subgroups' values as columns."""
        return {name: [values[g] for g in which] for name, values in zip(self.names, self.values, strict=True)}


def make_wish(
    record: AnyRecord, asked: str, target: str | None, by: Any, population: Any, errors: str, draws: int, seed: Any, level: float
) -> Wish:
    """The wish, checked."""
    chosen = check(record, "response", target or "marginal", None, asked)
    quantile(level, None)
    if errors not in ERRORS:
        raise GlimmError(f"{asked}: errors must be one of {', '.join(ERRORS)}, not {errors!r}")
    if isinstance(population, str) and population not in POPULATIONS:
        raise GlimmError(f"{asked}: population must be one of {', '.join(POPULATIONS)} or a table of rows, not {population!r}")
    if isinstance(population, str) and population != "all" and asked != "effect":
        raise GlimmError(f"{asked}: population={population!r} is for effects, which have a treatment: use 'all' or a table of rows")
    if errors != "delta" and not isinstance(population, str):
        raise GlimmError(f"{asked}: errors={errors!r} needs the rows of the fit, and population is another table: use errors='delta'")
    if errors != "delta" and chosen == "conditional":
        raise NotYetError(f"{asked}: errors={errors!r} with target='conditional' is not there: use errors='delta', or another target")
    if isinstance(draws, bool) or not isinstance(draws, int | np.integer) or draws < 2:
        raise GlimmError(f"{asked}: draws must be a whole number of at least 2, not {draws!r}")
    names = () if by is None else tuple(by) if isinstance(by, tuple | list) else (by,)
    if not all(isinstance(name, str) for name in names) or len(set(names)) < len(names):
        raise GlimmError(f"{asked}: by must name a column, or several different ones in a list, not {by!r}")
    return Wish(asked, chosen, names, population, errors, int(draws), seed, level)


def open_population(record: AnyRecord, wish: Wish) -> Population:
    """The rows to average over; those of another table with a missing predictor are left out, with a warning that counts them."""
    design = record.design
    if isinstance(wish.population, str):
        return used_population(design)
    if isinstance(wish.population, Some):
        return some(used_population(design), wish.population.rows)
    for role, given in (("offset", design.spec.offset), ("exposure", design.spec.exposure)):
        if given == ARRAY:
            raise GlimmError(
                f"{wish.asked}: the fit's {role} was an array, which another population does not have: refit with {role}='column'"
            )
    found = read_population(design, wish.population)
    frame = open_frame(wish.population)
    more = {name: frame.variable(name) for name in wish.by if name not in found.columns}
    whole, lost = complete(record, replace(found, columns={**found.columns, **more}), wish.target)
    if whole.n == 0:
        raise GlimmError(f"{wish.asked}: every row of population has a missing predictor")
    if lost:
        warnings.warn(
            f"{wish.asked}: {lost} of {lost + whole.n} rows of population have a missing predictor and are left out",
            GlimmWarning,
            stacklevel=4,
        )
    if wish.target == "conditional" and isinstance(record, MixedRecord):
        unknown, _ = strangers(record, moved(design, whole, {}))
        for name, count in unknown.items():
            message = f"{wish.asked}: {count} rows of population have no {name} that the fit knows; its effect is taken as zero"
            warnings.warn(message, GlimmWarning, stacklevel=4)
    return whole


def group_rows(record: AnyRecord, population: Population, wish: Wish, more: tuple[Codes, int] | None = None) -> Groups:
    """The subgroups, and `more` codes beside them."""
    found = [_codes(record, population, name, isinstance(wish.population, str), wish.asked) for name in wish.by]
    columns = [(codes, len(levels)) for codes, levels in found]
    of, first = cross_codes([*columns, *([more] if more is not None else [])], population.n)
    if (lost := int(np.sum(of < 0))) > 0:
        warnings.warn(f"{wish.asked}: rows without a value of {', '.join(wish.by)} are left out: {lost}", GlimmWarning, stacklevel=4)
    values = tuple(tuple(levels[codes[row]] for row in first) for codes, levels in found)
    weight = record.design.size if isinstance(wish.population, str | Some) else None
    if weight is not None and isinstance(wish.population, Some):
        weight = weight[wish.population.rows]
    return Groups(Cells(of, len(first), weight), wish.by, values, first)


def observed(population: Population, variable: str) -> tuple[Codes, tuple[Any, ...]]:
    """The rows' own values as codes, -1 where one is missing."""
    column: Variable = as_factor(population.columns[variable])
    if column.missing is None:
        return used_codes(column, None)
    rows = np.flatnonzero(~column.missing)
    codes = np.full(population.n, -1, dtype=np.int32)
    codes[rows], levels = used_codes(column, rows)
    return codes, levels


def _codes(record: AnyRecord, population: Population, name: str, own: bool, asked: str) -> tuple[Codes, tuple[Any, ...]]:
    """Codes of a subgroup variable: a predictor, a column of another table, or a grouping of the fit."""
    if name in population.columns:
        codes, levels = observed(population, name)
        if population.columns[name].kind == "numeric" and len(levels) > MOST_GROUPS:
            raise GlimmError(f"{asked}: by={name!r} holds {len(levels)} different numbers: cut it into at most {MOST_GROUPS} groups")
        return codes, levels
    groupings = _groupings(record) if own else {}
    if name in groupings:
        codes, names = groupings[name]
        return codes, tuple(names.tolist())
    known = (*population.columns, *groupings)
    hint = "; for subgroups by another column give the table, population=data" if own else ""
    raise GlimmError(f"{asked}: by names {name!r}, which is no predictor and no grouping of the fit: {suggest(name, known)}{hint}")


def _groupings(record: AnyRecord) -> dict[str, tuple[Codes, NDArray[Any]]]:
    out = {name: (row_codes(c).astype(np.int32), c.levels) for name, c in record.design.clusters.items()}
    if isinstance(record, MixedRecord):
        out |= {term.group: (term.refs, term.levels) for term in record.design.mean.random}
    return out
