"""What a first pass over rows in pieces collects: rows that have every level, levels of clusters with their losses.

rows kept = the first complete ones, and one for each level when it is first seen, among all rows and among complete ones.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import numpy as np

from ..data.columns import as_factor, level_array
from ..data.expressions import Expression
from ..data.formula import variables_in
from ..data.records import ClusterLoss, Formula, Variable
from ..data.terms import parse_terms, plain_factor
from ..errors import GlimmError
from ..kernels.matrix import Ints
from .records import Inputs

FIRST_ROWS = 100
ROW: Final = re.compile(r"\b(rows?) (\d+)(?: and (\d+))?(?=,? \(?counting from 0)")


@contextmanager
def placed(first: int) -> Iterator[None]:
    """Errors of a piece name rows of the data, of which it begins with row `first`."""
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


def refuse_state(expression: Expression) -> None:
    """Raise GlimmError for an expression whose columns depend on rows that a piece does not have."""
    if expression.spans:
        raise GlimmError(f"{expression.text} makes a factor, whose levels in all of the data are not known: make it a column of the data")
    for learnt in (expression.reduced, expression.full):
        if learnt is not None and any(learnt.transform_state.values()):
            raise GlimmError(
                f"{expression.text} looks at all rows of the data, which a fit from a file does not hold: make the column in the file, "
                "or fit in memory, data=glimm.read(path)"
            )


def coded(text: str) -> str | None:
    """The column that C(column, ...) makes a factor of."""
    if not text.startswith("C("):
        return None
    plain = plain_factor(text)
    if plain is not None:
        return plain
    names = variables_in(text)
    return names[0] if len(names) == 1 else None


class Seen:
    """Levels that were there so far, among all rows and among complete ones."""

    def __init__(self, formula: Formula) -> None:
        self.coded = {name for name in map(coded, (f for term in parse_terms(formula.fixed)[0] for f in term.factors)) if name is not None}
        response = coded(formula.response.replace(" ", ""))
        self.coded |= {response} if response else set()
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


class Levels:
    """The levels of a column whose rows may be anywhere, with their rows: all of them, and the complete ones."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.place: dict[Any, int] = {}
        self.before, self.after = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
        self.kept = self.before

    def add(self, factor: Variable, rows: Ints) -> None:
        """The rows of one piece; rows : the complete ones."""
        assert factor.codes is not None
        new = [level for level in factor.levels if level not in self.place]
        self.place.update(zip(new, range(len(self.place), len(self.place) + len(new)), strict=True))
        at = self._places(factor)
        more = np.zeros(len(new), dtype=np.int64)
        self.before, self.after = np.append(self.before, more), np.append(self.after, more)
        self.before[at] += np.bincount(factor.codes[factor.codes >= 0], minlength=len(at))
        self.after[at] += np.bincount(factor.codes[rows], minlength=len(at))

    def close(self, order: tuple[Any, ...] = ()) -> None:
        """No more rows; order : of the levels of a categorical, else they are sorted."""
        levels = list(order) if order else sorted(self.place)
        at = np.array([self.place[level] for level in levels], dtype=np.int64)
        self.before, self.after = self.before[at], self.after[at]
        self.kept = np.flatnonzero(self.after)
        self.levels = levels
        code = np.full(len(levels), -1, dtype=np.int64)
        code[self.kept] = np.arange(len(self.kept))
        self.place = dict(zip(levels, code.tolist(), strict=True))

    @property
    def used(self) -> Any:
        """(K,) levels with rows that are used, in order."""
        return level_array([self.levels[j] for j in self.kept])

    @property
    def sizes(self) -> Ints:
        """(K,) their rows."""
        return self.after[self.kept]

    def codes(self, factor: Variable, rows: Ints) -> Ints:
        """(n,) places of the complete rows of a piece among the K levels."""
        assert factor.codes is not None
        return self._places(factor)[factor.codes[rows]]

    def loss(self) -> ClusterLoss:
        """What missing rows did to them."""
        touched = np.flatnonzero(self.after < self.before)
        lost = int(np.count_nonzero(self.after[touched] == 0))
        by_level = {self.levels[j]: int(self.before[j] - self.after[j]) for j in touched}
        return ClusterLoss(int(np.count_nonzero(self.before)), len(touched) - lost, lost, by_level)

    def _places(self, factor: Variable) -> Ints:
        return np.array([self.place[level] for level in factor.levels], dtype=np.int64)
