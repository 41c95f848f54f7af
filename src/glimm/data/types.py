"""The types of columns over pieces: one Arrow type for each, or an error that names the column and the pieces.

whole numbers + numbers = numbers; missing values alone go with anything; nothing else is put together.
"""

from __future__ import annotations

from typing import Any

from ..errors import GlimmError
from .frames import Frame


def as_table(frame: Frame, columns: tuple[str, ...], number: int) -> Any:
    """The columns of a caller's frame as an Arrow table of plain types.

    number : of the piece, from 1. Raises GlimmError for a column that is not there or that Arrow cannot take.
    """
    import pyarrow as pa

    missing = [name for name in columns if name not in frame.names]
    if missing:
        raise GlimmError(
            f"piece {number} has no column {missing[0]!r} (it has {', '.join(frame.names[:8])}): give every piece the same columns"
        )
    arrays = []
    for name in columns:
        try:
            arrays.append(_plain(_array(frame.column(name))))
        except (pa.ArrowException, TypeError, ValueError) as error:
            try:
                frame.variable(name)  # says what is wrong in the words of data in memory
            except GlimmError as said:
                raise GlimmError(f"piece {number} of data: {said}") from None
            raise GlimmError(f"column {name!r} of piece {number} cannot be read ({str(error).splitlines()[0]})") from None
    return pa.Table.from_arrays(arrays, names=list(columns))


def _array(column: Any) -> Any:
    """A column of any library as an Arrow array; polars' Categorical is text, as everywhere here."""
    import pyarrow as pa

    root = type(column).__module__.split(".")[0]
    if root == "polars":
        import polars as pl

        return (column.cast(pl.String) if column.dtype == pl.Categorical else column).to_arrow()
    if root == "pyarrow":
        return column
    if not hasattr(column, "dtype"):
        column = list(column)
    return pa.array(column, from_pandas=True)


def _plain(array: Any) -> Any:
    """int64, float64, large_string, int32 codes of a dictionary; other types as they are."""
    import pyarrow as pa

    kind = array.type
    if pa.types.is_dictionary(kind):
        chunks = array.chunks if isinstance(array, pa.ChunkedArray) else [array]
        to = pa.dictionary(pa.int32(), plain(kind.value_type), kind.ordered)
        made = [
            pa.DictionaryArray.from_arrays(c.indices.cast(pa.int32()), c.dictionary.cast(to.value_type), ordered=kind.ordered)
            for c in chunks
        ]
        return pa.chunked_array(made, type=to)
    return array if plain(kind) == kind else array.cast(plain(kind))


def plain(kind: Any) -> Any:
    """The type that a piece's column is kept as."""
    import pyarrow as pa

    t = pa.types
    if t.is_integer(kind) and kind != pa.uint64():
        return pa.int64()
    if t.is_floating(kind) or t.is_decimal(kind):
        return pa.float64()
    if t.is_string(kind) or t.is_large_string(kind) or str(kind) == "string_view":
        return pa.large_string()
    return kind


def common(a: Any, b: Any) -> Any:
    """The type of both, None where there is none."""
    import pyarrow as pa

    if a == b or pa.types.is_null(b):
        return a
    if pa.types.is_null(a):
        return b
    numbers = (pa.int64(), pa.uint64(), pa.float64())
    return pa.float64() if a in numbers and b in numbers else None


def said(kind: Any) -> str:
    """A type in words."""
    import pyarrow as pa

    t = pa.types
    if t.is_dictionary(kind):
        return f"categories{' in order' if kind.ordered else ''} of {said(kind.value_type)}"
    words = ((t.is_boolean, "booleans"), (t.is_integer, "numbers"), (t.is_floating, "numbers"), (t.is_large_string, "text"))
    return next((word for test, word in words if test(kind)), str(kind))


class Types:
    """Types of the columns, and the piece that had them first."""

    def __init__(self, columns: tuple[str, ...]) -> None:
        import pyarrow as pa

        self.columns = columns
        self.found = dict.fromkeys(columns, pa.null())
        self.first = dict.fromkeys(columns, 0)

    def add(self, table: Any, number: int) -> None:
        """Of one more piece; raises GlimmError for types that do not go together."""
        import pyarrow as pa

        for name in self.columns:
            kind = table.schema.field(name).type
            both = common(self.found[name], kind)
            if both is None:
                raise GlimmError(
                    f"column {name!r} holds {said(self.found[name])} in piece {self.first[name]} and {said(kind)} in piece {number}: "
                    "give every piece the same types"
                )
            if pa.types.is_null(self.found[name]) and not pa.types.is_null(both):
                self.first[name] = number
            self.found[name] = both

    def schema(self) -> Any:
        """Of all pieces; a column without values is of numbers."""
        import pyarrow as pa

        return pa.schema([(name, pa.float64() if pa.types.is_null(kind) else kind) for name, kind in self.found.items()])


def cast(table: Any, schema: Any) -> Any:
    """A table with the types of the whole."""
    import pyarrow as pa

    for j, name in enumerate(table.column_names):
        to = schema.field(name).type
        if table.schema.field(j).type != to:
            column = table.column(j)
            made = pa.nulls(table.num_rows, to) if pa.types.is_null(column.type) else column.cast(to, safe=False)
            table = table.set_column(j, name, made)
    return table
