"""Reading one column of any library: pandas, polars, pyarrow, NumPy or a list -> Variable.

Numbers become float64, everything else codes into sorted levels (or a categorical's own); None, NaN, NA and NaT are missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import GlimmError
from ..kernels.matrix import Codes, SparseColumn
from .columns import Array, Mask, as_factor, missing_of, number_factor, sorted_factor
from .records import StoredVariable, Variable

_DATES = {"Date", "Datetime", "Duration", "Time"}
_NESTED = {"List": "lists", "Array": "arrays", "Struct": "structs", "Binary": "bytes"}
_PYTHON_DATES = {"datetime64", "datetime", "date", "timedelta64", "timedelta", "time", "period"}


def read_column(name: str, column: Any, n_rows: int | None = None) -> Variable:
    """A column as numbers or as a factor.

    column : pandas, polars or pyarrow column, NumPy array (masked too) or list
    n_rows : rows it must have, when known

    Raises GlimmError, naming the column, for a wrong length, two dimensions, infinite values, mixed types, dates,
    complex numbers and nested values.

    >>> read_column("use", ["Y", "N", None]).levels
    ('N', 'Y')
    """
    return _read(name, column, n_rows, group=False)


def read_factor(name: str, column: Any, n_rows: int | None = None) -> Variable:
    """A column as a factor whatever its type: for groupings. Whole numbers are never rounded.

    >>> read_factor("id", [7, 3, 7]).codes.tolist()
    [1, 0, 1]
    """
    return as_factor(_read(name, column, n_rows, group=True))


def _read(name: str, column: Any, n_rows: int | None, group: bool) -> Variable:
    """Find out what library made the column, then read it as an array or as a series."""
    if isinstance(column, (str, bytes)) or not hasattr(column, "__len__") or getattr(column, "ndim", 1) == 0:
        raise GlimmError(f"column {name!r} is a single value ({type(column).__name__}): give one value per row")
    if n_rows is not None and len(column) != n_rows:
        raise GlimmError(f"column {name!r} has {len(column)} values but the data have {n_rows} rows: give one value per row")
    if isinstance(column, np.ndarray):
        return _read_array(name, column, group)
    if isinstance(column, (list, tuple, range)):
        return _read_array(name, _object_array(name, column), group)
    root = type(column).__module__.split(".")[0]
    if root == "pandas":
        return _read_pandas(name, column, group)
    if root == "pyarrow" and str(column.type) == "double":
        return _real(name, np.asarray(column), None)
    series = _series(column)
    return _read_array(name, np.asarray(column), group) if series is None else _read_series(name, series, group)


def _read_pandas(name: str, column: Any, group: bool) -> Variable:
    """A pandas column: the plain kinds at once, the others (nullable, pyarrow) through narwhals."""
    import pandas as pd

    if getattr(column, "ndim", 1) != 1:
        raise GlimmError(f"column {name!r} has {column.ndim} dimensions, shape {column.shape}: give one value per row")
    if isinstance(column, (pd.Series, pd.Index)):
        dtype = column.dtype
        if isinstance(dtype, np.dtype):
            return _read_array(name, column.to_numpy(), group)
        if isinstance(dtype, pd.StringDtype):
            values: Any = column.array
            return sorted_factor(name, *pd.factorize(values))
        if isinstance(dtype, pd.SparseDtype):
            return _read_sparse(name, column.array, group)
    return _read_series(name, _series(column if isinstance(column, pd.Series) else pd.Series(column)), group)


def _series(column: Any) -> Any:
    """The column as a narwhals series, or None when it is not one."""
    import narwhals as nw

    if type(column).__module__.startswith("pyarrow") and not hasattr(column, "num_chunks"):
        import pyarrow as pa

        column = pa.chunked_array([column])
    series = nw.from_native(column, series_only=True, pass_through=True)
    return series if isinstance(series, nw.Series) else None


def _object_array(name: str, values: Sequence[Any]) -> Array:
    """A list as an array: a plain one for numbers, objects otherwise (NumPy would turn [1, 'a'] into strings)."""
    out = np.empty(len(values), dtype=object)
    try:
        out[:] = values
    except ValueError:
        raise GlimmError(f"column {name!r} has more than one dimension: give one value per row") from None
    return out


def _read_series(name: str, series: Any, group: bool) -> Variable:
    """A column of pandas, polars or pyarrow, by its narwhals type."""
    import narwhals as nw

    kind = type(series.dtype).__name__ if not isinstance(series.dtype, type) else series.dtype.__name__
    if kind in _DATES:
        raise _date_error(name)
    if kind in _NESTED:
        raise GlimmError(f"column {name!r} holds {_NESTED[kind]}: give one number or string per row")
    if kind == "String":
        return _read_strings(name, series)
    if kind in ("Categorical", "Enum"):
        return _read_categorical(name, series)
    if kind == "Decimal":
        series = series.cast(nw.Float64)
        kind = "Float64"
    if kind == "Boolean" or kind.startswith(("Int", "UInt")):
        missing = series.is_null().to_numpy() if series.null_count() else None
        values = (series if missing is None else series.fill_null(False if kind == "Boolean" else 0)).to_numpy()
        return _boolean(name, values, missing) if kind == "Boolean" else _whole(name, values, missing, group)
    native = series.to_native()
    if kind.startswith("Float"):
        pandas = type(native).__module__.startswith("pandas")
        return _real(name, native.to_numpy(dtype=np.float64, na_value=np.nan) if pandas else series.to_numpy(), None)
    if kind != "Object" and len(series) == series.null_count():
        return _real(name, np.full(len(series), np.nan), None)
    if type(native).__module__.startswith("pandas") and type(native.dtype).__name__ in ("PeriodDtype", "IntervalDtype"):
        if type(native.dtype).__name__ == "PeriodDtype":
            raise _date_error(name)
        raise GlimmError(f"column {name!r} holds intervals: make strings of them, for example data[{name!r}].astype(str)")
    return _read_array(name, np.asarray(native), group)


def _read_array(name: str, array: Array, group: bool) -> Variable:
    """A NumPy array, by its dtype; masked entries are missing."""
    if array.ndim != 1:
        raise GlimmError(f"column {name!r} has {array.ndim} dimensions, shape {array.shape}: give one value per row")
    missing: Mask | None = None
    if isinstance(array, np.ma.MaskedArray):
        mask = np.ma.getmaskarray(array)
        missing = mask if mask.any() else None
        array = array.data
    kind = array.dtype.kind
    if kind == "b":
        return _boolean(name, array, missing)
    if kind in "iu":
        return _whole(name, array, missing, group)
    if kind == "f":
        return _real(name, array, missing)
    if kind in "mM":
        raise _date_error(name)
    if kind == "c":
        raise GlimmError(f"column {name!r} holds complex numbers: use their real part or absolute value")
    if kind in "SV":
        raise GlimmError(f"column {name!r} holds {'bytes' if kind == 'S' else 'records'}: give one number or string per row")
    objects = array.astype(object)
    if missing is not None:
        objects[missing] = None
    return _read_objects(name, objects, group)


def _read_objects(name: str, array: Array, group: bool) -> Variable:
    """Python objects: all strings, all numbers or all booleans (with None for missing), or an error with the two types."""
    import pandas as pd

    kind = pd.api.types.infer_dtype(array, skipna=True)
    missing = np.asarray(pd.isna(array), dtype=np.bool_)
    found = missing if missing.any() else None
    if kind in ("string", "empty") and not missing.all():
        codes, uniques = pd.factorize(array)
        return sorted_factor(name, codes, uniques)
    if missing.all():
        return _real(name, np.full(len(array), np.nan), None)
    if kind == "boolean":
        return _boolean(name, np.where(missing, False, array).astype(np.bool_), found)
    if kind == "integer":
        try:
            return _whole(name, np.where(missing, 0, array).astype(np.int64), found, group)
        except OverflowError:
            kind = "floating"
    if kind in ("floating", "mixed-integer-float", "decimal"):
        return _real(name, np.where(missing, np.nan, array).astype(np.float64), found)
    if kind in _PYTHON_DATES:
        raise _date_error(name)
    if kind == "complex":
        raise GlimmError(f"column {name!r} holds complex numbers: use their real part or absolute value")
    if kind == "categorical":
        return _read_series(name, _series(pd.Series(pd.Categorical(array))), group)
    raise _mixed_error(name, array, missing)


def _mixed_error(name: str, array: Array, missing: Mask) -> GlimmError:
    """Name the two types first met, and where; or try numbers of several kinds."""
    first: tuple[str, int] | None = None
    for row in np.flatnonzero(~missing):
        kind = type(array[row]).__name__
        if first is None:
            first = (kind, int(row))
        elif kind != first[0]:
            return GlimmError(
                f"column {name!r} mixes types: {first[0]} in row {first[1]}, {kind} in row {row} (counting from 0): "
                "make all values numbers or all values strings"
            )
    what = first[0] if first else "nothing"
    if what in ("list", "tuple", "ndarray", "dict", "set"):
        return GlimmError(f"column {name!r} holds {what}s, so it has more than one dimension: give one value per row")
    return GlimmError(f"column {name!r} holds values of type {what}: give numbers, strings or booleans")


def _date_error(name: str) -> GlimmError:
    return GlimmError(
        f"column {name!r} holds dates or times: make a number of them first, "
        f"for example days since the start, (data[{name!r}] - data[{name!r}].min()).dt.days in pandas or "
        f"(pl.col({name!r}) - pl.col({name!r}).min()).dt.total_days() in polars; for a factor make strings of them"
    )


def _boolean(name: str, values: Array, missing: Mask | None) -> Variable:
    codes = np.asarray(values).astype(np.int32)
    if missing is not None:
        codes[missing] = -1
    return Variable(name, "factor", codes=codes, levels=(False, True), missing=missing, boolean=True)


def _whole(name: str, values: Array, missing: Mask | None, group: bool) -> Variable:
    if group:
        return number_factor(name, values, missing)
    out = values.astype(np.float64)
    if missing is not None:
        out[missing] = np.nan
    return Variable(name, "numeric", values=out, missing=missing, integer=True)


def _real(name: str, values: Array, missing: Mask | None) -> Variable:
    out: Array = values if values.dtype == np.float32 else values.astype(np.float64, copy=False)
    kept = StoredVariable if values.dtype == np.float32 else Variable
    if missing is not None and missing.any():
        out = np.where(missing, np.nan, out)
    finite = np.isfinite(out)
    if finite.all():
        return kept(name, "numeric", values=out)
    infinite = np.isinf(out)
    if infinite.any():
        row = int(np.argmax(infinite))
        raise GlimmError(
            f"column {name!r} is infinite ({out[row]}) in row {row} (counting from 0): "
            "correct the value, or set it to missing (NaN) to leave the row out"
        )
    return kept(name, "numeric", values=out, missing=~finite)


def _read_sparse(name: str, array: Any, group: bool) -> Variable:
    """A sparse column of pandas: numbers whose other rows are 0 stay as they are, anything else is filled up."""
    dtype = array.dtype.subtype
    if group or dtype.kind not in "iuf" or array.fill_value != 0:
        return _read_array(name, np.asarray(array), group)
    entries = array.sp_values.astype(np.float64)
    if not np.isfinite(entries).all():
        return _real(name, np.asarray(array, dtype=np.float64), None)
    rows = array.sp_index.to_int_index().indices.astype(np.int32, copy=False)
    column: Any = SparseColumn(len(array), rows, entries)
    return StoredVariable(name, "numeric", values=column, integer=dtype.kind in "iu")


def _read_strings(name: str, series: Any) -> Variable:
    native = series.to_native()
    root = type(native).__module__.split(".")[0]
    if root == "polars":
        import polars as pl

        levels = native.drop_nulls().unique().sort()
        physical = native.cast(pl.Enum(levels)).to_physical()
        codes = physical.cast(pl.Int32).fill_null(-1).to_numpy()
        return Variable(name, "factor", codes=codes, levels=tuple(levels.to_list()), missing=missing_of(codes))
    if root == "pyarrow":
        return _from_dictionary(name, native.dictionary_encode(), sort=True)
    import pandas as pd

    codes, uniques = pd.factorize(native.array)
    return sorted_factor(name, codes, uniques)


def _read_categorical(name: str, series: Any) -> Variable:
    native = series.to_native()
    root = type(native).__module__.split(".")[0]
    if root == "polars":
        import polars as pl

        if not isinstance(native.dtype, pl.Enum):
            return _read_strings(name, series.cast(_narwhals_string()))
        codes = native.to_physical().cast(pl.Int32).fill_null(-1).to_numpy()
        return _categorical(name, codes, native.dtype.categories.to_list(), True)
    if root == "pyarrow":
        return _from_dictionary(name, native, sort=False)
    import pandas as pd

    if not isinstance(native.dtype, pd.CategoricalDtype):
        import pyarrow as pa

        return _from_dictionary(name, pa.chunked_array([pa.array(native)]), sort=False)
    return _categorical(name, np.asarray(native.cat.codes).astype(np.int32), native.cat.categories.tolist(), bool(native.cat.ordered))


def _narwhals_string() -> Any:
    import narwhals as nw

    return nw.String


def _from_dictionary(name: str, chunked: Any, sort: bool) -> Variable:
    """A dictionary-encoded pyarrow column."""
    array = chunked.unify_dictionaries().combine_chunks()
    if hasattr(array, "num_chunks"):
        array = array.chunk(0)
    codes = np.asarray(array.indices.fill_null(-1)).astype(np.int64)
    levels = array.dictionary.to_pylist()
    if None in levels:
        gone = levels.index(None)
        codes = np.where(codes == gone, -1, np.where(codes > gone, codes - 1, codes))
        levels.pop(gone)
    if sort:
        return sorted_factor(name, codes, np.array(levels, dtype=object))
    return _categorical(name, codes.astype(np.int32), levels, bool(array.type.ordered))


def _categorical(name: str, codes: Codes, levels: Sequence[Any], ordinal: bool) -> Variable:
    return Variable(name, "factor", codes=codes, levels=tuple(levels), missing=missing_of(codes), ordered_levels=True, ordinal=ordinal)
