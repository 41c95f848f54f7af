"""Variables: taking rows, making factors of numbers, recoding to other levels, handing a few to pandas.

codes_i = position of value_i in levels (sorted, or in the order of a categorical), -1 where it is missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import GlimmError
from ..kernels.matrix import Codes, Ints, SparseColumn
from .records import Variable

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[Any]
Mask = NDArray[np.bool_]


def as_factor(variable: Variable) -> Variable:
    """A numeric variable as a factor of its sorted distinct values; factors are returned as they are."""
    if variable.kind == "factor":
        return variable
    assert variable.values is not None
    values: Array = variable.values
    if variable.integer:
        values = np.where(variable.missing, 0, values).astype(np.int64) if variable.missing is not None else values.astype(np.int64)
    return number_factor(variable.name, values, variable.missing)


def take(variable: Variable, rows: Ints) -> Variable:
    """The variable in the given rows, keeping all levels."""
    stored: Any = variable.stored
    return replace(
        variable,
        values=None if stored is None else (stored.wide() if isinstance(stored, SparseColumn) else stored)[rows],
        codes=None if variable.codes is None else variable.codes[rows],
        missing=None if variable.missing is None else variable.missing[rows],
    )


def used_codes(variable: Variable, rows: Ints | None) -> tuple[Codes, tuple[Any, ...]]:
    """Codes into the levels that occur in the rows used."""
    factor = as_factor(variable)
    assert factor.codes is not None
    codes = factor.codes if rows is None else factor.codes[rows]
    counts = np.bincount(codes, minlength=len(factor.levels))
    if counts.all():
        return codes, factor.levels
    kept = np.flatnonzero(counts)
    lookup = np.full(len(counts), -1, dtype=np.int32)
    lookup[kept] = np.arange(len(kept), dtype=np.int32)
    return lookup[codes], tuple(factor.levels[j] for j in kept)


def level_array(levels: Sequence[Any]) -> Array:
    """Levels as an array: numbers and booleans in their own type, anything else as objects."""
    array = np.asarray(levels) if len(levels) else np.zeros(0, dtype=object)
    if array.dtype.kind in "biuf" and array.ndim == 1:
        return array
    out = np.empty(len(levels), dtype=object)
    out[:] = list(levels)
    return out


def recode(variable: Variable, levels: Sequence[Any]) -> tuple[Codes, tuple[Any, ...]]:
    """Codes of a variable's values in other levels (-1 for unknown ones), and the values that occur but are unknown."""
    factor = as_factor(variable)
    assert factor.codes is not None
    if factor.levels == tuple(levels):
        return factor.codes, ()
    known = {level: position for position, level in enumerate(levels)}
    lookup = np.array([known.get(level, -1) for level in factor.levels] + [-1], dtype=np.int32)
    unknown = [j for j in range(len(factor.levels)) if lookup[j] < 0]
    if unknown:
        counts = np.bincount(factor.codes[factor.codes >= 0], minlength=len(factor.levels))
        unknown = [j for j in unknown if counts[j]]
    return lookup[factor.codes], tuple(factor.levels[j] for j in unknown)


def pandas_columns(variables: Mapping[str, Variable], names: Iterable[str], rows: Ints | None) -> pd.DataFrame:
    """A pandas table of a few variables in some rows, for formulaic; categoricals keep only the levels that occur."""
    import pandas as pd

    out: dict[str, Any] = {}
    for name in names:
        variable = variables[name] if rows is None else take(variables[name], rows)
        if variable.kind == "numeric":
            assert variable.values is not None
            whole = variable.integer and (variable.missing is None or not variable.missing.any())
            out[name] = variable.values.astype(np.int64) if whole else variable.values
            continue
        assert variable.codes is not None
        if variable.boolean:
            out[name] = variable.codes == 1
        elif variable.ordered_levels:
            series = pd.Categorical.from_codes(variable.codes, categories=pd.Index(list(variable.levels)))
            out[name] = series.remove_unused_categories()
        else:
            lookup = np.empty(len(variable.levels) + 1, dtype=object)
            lookup[:-1] = list(variable.levels)
            out[name] = pd.Series(lookup[variable.codes])
    n = 0 if not out else len(next(iter(out.values())))
    return pd.DataFrame(out, index=range(n), copy=False)


def number_factor(name: str, values: Array, missing: Mask | None) -> Variable:
    """The distinct numbers of a column, in order, as a factor."""
    codes, levels = number_codes(values, missing)
    return Variable(name, "factor", codes=codes, levels=tuple(levels.tolist()), missing=missing, integer=values.dtype.kind in "iu")


def number_codes(values: Array, missing: Mask | None = None) -> tuple[Codes, Array]:
    """(codes, levels) of distinct numbers in order, -1 where missing: through a table when their range is small, else by hashing.

    >>> number_codes(np.array([7, 3, 7]))
    (array([1, 0, 1], dtype=int32), array([3, 7]))
    """
    used = values if missing is None else values[~missing]
    low, high = (used.min(), used.max()) if len(used) else (0, 0)
    if values.dtype.kind in "iu" and int(high) < 2**62 and int(high) - int(low) <= 4 * len(values) + 1000:
        shifted = used.astype(np.int64) - int(low)
        present = np.zeros(int(high) - int(low) + 1, dtype=np.bool_)
        present[shifted] = True
        levels: Array = np.flatnonzero(present) + int(low)
        within: Codes = (np.cumsum(present, dtype=np.int32) - np.int32(1))[shifted]
    else:
        import pandas as pd

        raw, uniques = pd.factorize(used)
        order = np.argsort(uniques, kind="stable")
        rank = np.empty(len(order), dtype=np.int32)
        rank[order] = np.arange(len(order), dtype=np.int32)
        levels, within = np.asarray(uniques)[order], rank[raw]
    if missing is None:
        return within, levels
    codes = np.full(len(values), -1, dtype=np.int32)
    codes[~missing] = within
    return codes, levels


def cross(name: str, left: Variable, right: Variable) -> Variable:
    """The combinations of two factors' levels that occur, named "left:right", by left, then right; missing where either is.

    Raises GlimmError where two combinations have one name.

    >>> a, b = number_factor("a", np.array([1, 1, 2]), None), number_factor("b", np.array([5, 6, 5]), None)
    >>> cross("a:b", a, b).levels
    ('1:5', '1:6', '2:5')
    """
    assert left.codes is not None
    assert right.codes is not None
    missing = left.missing if right.missing is None else right.missing
    if left.missing is not None and right.missing is not None:
        missing = np.logical_or(left.missing, right.missing)
    width = len(right.levels)
    dtype = np.int32 if len(left.levels) * width < 2**31 else np.int64
    both: Array = left.codes.astype(dtype) * np.asarray(width, dtype=dtype) + right.codes
    codes, cells = number_codes(both, missing)
    first, second = np.divmod(cells, max(width, 1))
    ours, theirs = [level_name(level) for level in left.levels], [level_name(level) for level in right.levels]
    levels = tuple(f"{ours[i]}:{theirs[j]}" for i, j in zip(first.tolist(), second.tolist(), strict=True))
    if any(":" in level for level in theirs) and len(set(levels)) < len(levels):
        again = next(level for level in levels if levels.count(level) > 1)
        raise GlimmError(f"two combinations of {name} are both called {again!r}, because levels contain ':': rename the levels")
    return Variable(name, "factor", codes=codes, levels=levels, missing=missing)


def level_name(level: Any) -> str:
    """A level in the name of a combination: whole numbers without a decimal point."""
    return str(int(level)) if isinstance(level, float) and level.is_integer() else str(level)


def sorted_factor(name: str, codes: Array, uniques: Any) -> Variable:
    """Codes in order of appearance -> codes in sorted order."""
    found = np.asarray(uniques, dtype=object).tolist()
    order = sorted(range(len(found)), key=found.__getitem__)
    rank = np.full(len(found) + 1, -1, dtype=np.int32)
    rank[order] = np.arange(len(found), dtype=np.int32)
    out = rank[codes]
    return Variable(name, "factor", codes=out, levels=tuple(str(found[j]) for j in order), missing=missing_of(out))


def missing_of(codes: Codes) -> Mask | None:
    """Rows whose code is -1, or None when there are none."""
    missing = codes < 0
    return missing if missing.any() else None
