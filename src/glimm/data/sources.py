"""Data that are not held: files, pieces that come one after the other, lazy frames. Each is opened once and read in every pass.

rows in order = piece 1, piece 2, ...; every piece is an Arrow table with the same columns and types.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from ..errors import GlimmError
from .frames import Frame, Kind, check_names

PIECE_ROWS = 65_536


class Source(Protocol):
    """Rows in pieces.

    names : of the columns; kind : of frame that predictions come in; where : what it is called in messages
    """

    @property
    def names(self) -> tuple[str, ...]:
        """Of the columns."""

    @property
    def kind(self) -> Kind:
        """Of the caller's frames."""

    @property
    def where(self) -> str:
        """What it is called in messages."""

    def needed(self, columns: tuple[str, ...]) -> Source:
        """What is read in every pass, when the columns are known."""

    def frames(self, columns: tuple[str, ...]) -> Iterator[Frame]:
        """The columns in tables of at most 65,536 rows, none of them empty."""


def is_path(data: Any) -> bool:
    """Whether data are given as paths: one, or a list of them."""
    return isinstance(data, str | os.PathLike) or (
        isinstance(data, list | tuple) and len(data) > 0 and all(isinstance(item, str | os.PathLike) for item in data)
    )


def is_source(data: Any) -> bool:
    """Whether data are files or pieces, which are not held, and not one frame.

    >>> is_source("rows.parquet"), is_source([{"x": [1]}, {"x": [2]}]), is_source({"x": [1]})
    (True, True, False)
    """
    if is_path(data) or isinstance(data, list | tuple) or _arrow(data) or _lazy(data):
        return True
    if isinstance(data, Mapping | Frame | bytes) or any(hasattr(data, name) for name in ("columns", "dtype", "__dataframe__", "shape")):
        return False
    return isinstance(data, Iterable) or (callable(data) and not isinstance(data, type))


def open_source(data: Any) -> Source:
    """What is behind `data`; no row is read.

    Raises GlimmError for what is not there, has no columns, or is nothing of this kind.
    """
    try:
        import pyarrow as _  # noqa: F401
    except ImportError:
        raise GlimmError("data that are not held, files or pieces, are read with pyarrow: pip install pyarrow") from None
    if is_path(data):
        from .delimited_files import is_text, open_text
        from .parquet import open_files, paths_of

        paths = paths_of(data)
        return open_text(paths) if is_text(paths) else open_files(paths)
    from .pieces import open_pieces

    return open_pieces(data)


def _arrow(data: Any) -> bool:
    return (
        type(data).__module__.startswith("pyarrow")
        and (hasattr(data, "to_batches") or hasattr(data, "read_next_batch"))
        and not hasattr(data, "num_rows")
    )


def _lazy(data: Any) -> bool:
    return type(data).__module__.startswith("polars") and hasattr(data, "collect_schema") and hasattr(data, "collect")


def needed(source: Source, names: Sequence[str], where: str = "") -> tuple[str, ...]:
    """The columns to read; raises GlimmError for unknown ones."""
    check_names(Frame("pyarrow", 0, source.names, None), names, where)
    return tuple(dict.fromkeys(names))


def one_frame(tables: list[Any]) -> Frame:
    """Tables one after the other."""
    import pyarrow as pa

    table = pa.concat_tables(tables)
    return Frame("pyarrow", table.num_rows, tuple(table.column_names), table)


def cut_up(table: Any) -> Iterator[Frame]:
    """A table in pieces of at most 65,536 rows."""
    for at in range(0, table.num_rows, PIECE_ROWS):
        yield one_frame([table.slice(at, PIECE_ROWS)])


def taken(frame: Frame, rows: Any) -> Frame:
    """Some rows of a piece."""
    return one_frame([frame.native.take(rows)])


def joined(frames: Sequence[Frame]) -> Frame:
    """Pieces one after the other."""
    return one_frame([frame.native for frame in frames])
