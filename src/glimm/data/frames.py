"""The data door: pandas, polars, pyarrow or a dict of arrays -> Frame, from which only the columns asked for are read.

frame.variable(name) = read_column(column), one value per row of the caller's data.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from ..errors import GlimmError, suggest
from ..kernels.matrix import Ints
from .readers import read_column, read_factor
from .records import Variable

if TYPE_CHECKING:
    import pandas as pd

Kind = Literal["pandas", "polars", "pyarrow", "dict"]


@dataclass(frozen=True, slots=True)
class Frame:
    """The caller's table, not copied.

    kind : what library it is from; names : its columns as strings, in order; native : the table itself
    """

    kind: Kind
    n_rows: int
    names: tuple[str, ...]
    native: Any

    def column(self, name: str) -> Any:
        """The caller's own column.

        Raises GlimmError for an unknown name (with the nearest one) and for a name that two columns share.
        """
        check_names(self, (name,))
        position = self.names.index(name)
        if self.kind == "dict":
            return list(self.native.values())[position]
        if self.kind == "pandas":
            column = self.native[self.native.columns[position]]
            return column if column.ndim == 1 else self.native.iloc[:, position]
        return self.native.to_series(position) if self.kind == "polars" else self.native.column(position)

    def variable(self, name: str) -> Variable:
        """A column as numbers or as a factor; see `columns.read_column` for what is refused."""
        return read_column(name, self.column(name), self.n_rows)

    def factor(self, name: str) -> Variable:
        """A column as a factor whatever its type, for groupings."""
        return read_factor(name, self.column(name), self.n_rows)

    def labels(self, rows: Ints | None) -> Any:
        """The pandas index of the rows at these positions (None for all), or None for frames without one."""
        if self.kind != "pandas":
            return None
        return self.native.index if rows is None else self.native.index[rows]

    def check_labels(self, role: str, given: Any) -> None:
        """Raise GlimmError for a pandas Series whose index is not the frame's: it would be taken by position."""
        if self.kind == "pandas" and hasattr(given, "index") and hasattr(given, "iloc") and not given.index.equals(self.native.index):
            raise GlimmError(
                f"{role} is a Series whose index differs from the data's: make it a column of the data, or give {role}=values.to_numpy() "
                "if its order is that of the rows"
            )


def open_frame(data: Any, empty: bool = False) -> Frame:
    """The caller's data as a Frame; no column is read.

    data : pandas or polars DataFrame, pyarrow Table, or a mapping of names to columns of equal length
    empty : whether it may have no rows

    Raises GlimmError for lazy frames, data without rows or columns, and anything else.

    >>> open_frame({"x": [1, 2], "g": ["a", "b"]}).names
    ('x', 'g')
    """
    if isinstance(data, Frame):
        return data
    if isinstance(data, Mapping):
        return _from_mapping(data, empty)
    import narwhals as nw

    if type(data).__module__.startswith("pyarrow") and type(data).__name__ == "RecordBatch":
        import pyarrow as pa

        data = pa.Table.from_batches([data])
    if type(data).__module__.startswith("pandas") and type(data).__name__ == "DataFrame":
        return _checked(Frame("pandas", len(data), tuple(map(str, data.columns)), data), empty)
    wrapped = nw.from_native(data, pass_through=True)
    if isinstance(wrapped, nw.LazyFrame):
        raise GlimmError("the data are a lazy frame: call .collect() on it first")
    if not isinstance(wrapped, nw.DataFrame):
        hint = ": read the file first, with glimm.read(path)" if isinstance(data, str) or hasattr(data, "__fspath__") else ""
        raise GlimmError(f"data must be a pandas or polars DataFrame, a pyarrow Table or a dict of arrays, not {type(data).__name__}{hint}")
    if wrapped.implementation.is_polars():
        return _checked(Frame("polars", len(wrapped), tuple(wrapped.columns), data), empty)
    if wrapped.implementation.is_pyarrow():
        return _checked(Frame("pyarrow", data.num_rows, tuple(data.column_names), data), empty)
    native = data if wrapped.implementation.is_pandas() else wrapped.to_pandas()
    return _checked(Frame("pandas", len(native), tuple(map(str, native.columns)), native), empty)


def _from_mapping(data: Mapping[Any, Any], empty: bool) -> Frame:
    """A dict of columns; their lengths must agree."""
    n_rows, first = 0, ""
    for name, column in data.items():
        if isinstance(column, (str, bytes)) or not hasattr(column, "__len__") or getattr(column, "ndim", 1) == 0:
            raise GlimmError(f"column {str(name)!r} is a single value ({type(column).__name__}): give one value per row")
        if not first:
            n_rows, first = len(column), str(name)
        elif len(column) != n_rows:
            raise GlimmError(f"column {str(name)!r} has {len(column)} values but column {first!r} has {n_rows}: give one value per row")
    return _checked(Frame("dict", n_rows, tuple(map(str, data)), dict(data)), empty)


def _checked(frame: Frame, empty: bool) -> Frame:
    if not frame.names:
        raise GlimmError("the data have no columns")
    if frame.n_rows == 0 and not empty:
        raise GlimmError(f"the data have no rows (columns: {', '.join(frame.names[:20])})")
    return frame


def check_names(frame: Frame, names: Iterable[str], where: str = "") -> None:
    """Raise GlimmError for the first name that is not a column, or that several columns share."""
    known = set(frame.names)
    for name in names:
        if name not in known:
            dotted = [c for c in frame.names if c.startswith(f"{name}.") or c.startswith(f"{name} ")]
            if dotted:
                raise GlimmError(f"no column {name!r} in the data{where}: if you mean {dotted[0]!r}, put it in backticks, `{dotted[0]}`")
            raise GlimmError(f"no column {name!r} in the data{where}: {suggest(name, frame.names)}")
        if frame.names.count(name) > 1:
            raise GlimmError(f"{frame.names.count(name)} columns are called {name!r}: rename them, so that it is clear which one is meant")


def table(kind: Kind, frame: pd.DataFrame) -> Any:
    """A small pandas table as the caller's kind of frame; a dict's caller gets pandas. The index is left behind elsewhere.

    >>> import pandas as pd
    >>> type(table("pyarrow", pd.DataFrame({"a": [1]}))).__name__
    'Table'
    """
    if kind == "pandas" or kind == "dict":
        return frame
    columns = {str(name): _plain(frame.iloc[:, j]) for j, name in enumerate(frame.columns)}
    if kind == "polars":
        import polars as pl

        return pl.DataFrame(columns)
    import pyarrow as pa

    return pa.table(columns)


def _plain(series: pd.Series[Any]) -> Any:
    """Values that every library reads: NumPy numbers and booleans, or a list with None for missing."""
    import pandas as pd

    if isinstance(series.dtype, type(pd.Series([1.0]).dtype)) and series.dtype.kind in "iufbM":
        return series.to_numpy()
    return [None if missing else value for value, missing in zip(series.tolist(), series.isna(), strict=True)]
