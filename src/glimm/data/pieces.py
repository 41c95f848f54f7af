"""Frames that come one after the other: lists, iterables, functions that begin anew, Arrow datasets and readers, polars lazy frames.

What can be read again is read in every pass and must be the same each time; what comes once goes into temporary files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any

from ..errors import GlimmError
from .frames import Frame, Kind, open_frame
from .sources import PIECE_ROWS, Source, cut_up, one_frame
from .spool import Spooled, Writer
from .types import Types, as_table, cast

SHOULD = "data that come in pieces are an iterable of frames (pandas, polars, pyarrow, or dicts of arrays)"


def open_pieces(data: Any) -> Source:
    """What gives the pieces; the first one is looked at.

    Raises GlimmError where there is none with rows before something that is no frame.
    """
    root = type(data).__module__.split(".")[0]
    if root == "polars":
        if not hasattr(data, "collect_batches"):
            raise GlimmError(
                "this version of polars gives no pieces of a lazy frame: update it, or use data.sink_parquet(path) and the path"
            )
        return Once(lambda columns: data.select(columns).collect_batches(chunk_size=PIECE_ROWS, maintain_order=True), *_named(data))
    if root == "pyarrow" and hasattr(data, "get_fragments"):
        return Dataset(data)
    if root == "pyarrow" and hasattr(data, "projected_schema"):
        return Once(lambda columns: data.to_batches(), tuple(data.projected_schema.names), "pyarrow", "a pyarrow scanner")
    where = f"an iterable ({type(data).__name__})"
    if callable(data):
        return Again(lambda: _iterator(data(), "data() gave"), *_first(_iterator(data(), "data() gave"))[:2], where)
    begun = _iterator(data, "data are")
    names, kind, read = _first(begun)
    if begun is data:
        whole = chain(read, begun)
        return Once(lambda columns: whole, names, kind, where)
    return Again(lambda: iter(data), names, kind, where)


def _named(lazy: Any) -> tuple[tuple[str, ...], Kind, str]:
    return tuple(lazy.collect_schema().names()), "polars", "a polars lazy frame"


def _iterator(data: Any, what: str) -> Iterator[Any]:
    if hasattr(data, "columns") or not hasattr(data, "__iter__"):
        raise GlimmError(f"{what} {type(data).__name__}: {SHOULD}, or a function without arguments that returns an iterator of them")
    return iter(data)


def _first(begun: Iterator[Any]) -> tuple[tuple[str, ...], Kind, list[Any]]:
    """Names and kind of the first frame with rows, and what was read up to it."""
    read: list[Any] = []
    for piece in begun:
        read.append(piece)
        frame = _opened(piece, len(read))
        if frame is not None:
            return frame.names, frame.kind, read
    if read:
        raise GlimmError(f"none of the {len(read)} pieces of data has rows")
    raise GlimmError(f"data give no pieces: {SHOULD}")


def _opened(piece: Any, number: int) -> Frame | None:
    """A piece as a frame, None where it has no rows."""
    if hasattr(piece, "columns") and not len(piece.columns) and not len(piece):
        return None
    try:
        frame = open_frame(piece, empty=True)
    except GlimmError as error:
        raise GlimmError(f"piece {number} of data: {error}; {SHOULD}") from None
    return frame if frame.n_rows else None


def _tables(pieces: Iterator[Any], columns: tuple[str, ...]) -> Iterator[tuple[int, Any]]:
    """(number from 1, Arrow table) of the pieces that have rows."""
    for number, piece in enumerate(pieces, 1):
        frame = _opened(piece, number)
        if frame is not None:
            yield number, as_table(frame, columns, number)


class Again:
    """Pieces that can be asked for again. make : begins anew; after `needed` types and marks of the pieces are known."""

    def __init__(self, make: Callable[[], Iterator[Any]], names: tuple[str, ...], kind: Kind, where: str) -> None:
        self.make, self.names, self.kind, self.where = make, names, kind, where
        self.schema: Any = None
        self.marks: list[str] = []

    def needed(self, columns: tuple[str, ...]) -> Again:
        """With the types of these columns over all pieces: one pass."""
        types, marks = Types(columns), []
        for number, table in _tables(self.make(), columns):
            types.add(table, number)
            marks.append(_mark(table))
        out = Again(self.make, self.names, self.kind, self.where)
        out.schema, out.marks = types.schema(), marks
        return out

    def frames(self, columns: tuple[str, ...]) -> Iterator[Frame]:
        """Piece by piece; raises GlimmError for pieces that are not those of the first pass."""
        count = 0
        for number, table in _tables(self.make(), columns):
            if count == len(self.marks) or _mark(table) != self.marks[count]:
                raise _changed(f"piece {number} of data was another one when they were first read")
            count += 1
            yield from cut_up(cast(table, self.schema))
        if count < len(self.marks):
            raise _changed(f"data gave {len(self.marks)} pieces with rows when they were first read, and {count} when they were read again")

    def __reduce__(self) -> Any:  # frames, or a function, do not go with a fit
        return Gone, (self.names, self.kind, self.where)


def _changed(what: str) -> GlimmError:
    return GlimmError(
        f"{what}: a fit reads them several times, and they must be the same each time; give a generator, which is read once, or a function "
        "that returns a new iterator over the same rows"
    )


def _mark(table: Any) -> str:
    """What tells a piece from another: its length, its first and its last row."""
    ends = [table.slice(at, 1).to_pylist()[0] for at in (0, table.num_rows - 1)]
    return repr((table.num_rows, *(tuple(end.values()) for end in ends)))


class Once:
    """Pieces that come once. make : gives them, told the columns that are needed."""

    def __init__(self, make: Callable[[tuple[str, ...]], Iterator[Any]], names: tuple[str, ...], kind: Kind, where: str) -> None:
        self.make, self.names, self.kind, self.where = make, names, kind, where

    def needed(self, columns: tuple[str, ...]) -> Spooled:
        """The columns in temporary files."""
        writer = Writer(columns)
        for number, table in _tables(iter(self.make(columns)), columns):
            writer.add(table, number)
        if not writer.n_rows:
            raise GlimmError(f"{self.where} has no rows (columns: {', '.join(self.names[:20])})")
        return writer.spooled(self.kind, self.where)

    def frames(self, columns: tuple[str, ...]) -> Iterator[Frame]:
        """They have to be written first."""
        return self.needed(columns).frames(columns)


class Dataset:
    """A pyarrow dataset: its batches are read again in every pass."""

    kind: Kind = "pyarrow"
    where = "a pyarrow dataset"

    def __init__(self, data: Any) -> None:
        self.data = data
        self.names = tuple(data.schema.names)

    def needed(self, columns: tuple[str, ...]) -> Dataset:
        """The same; raises GlimmError where there are no rows."""
        if not self.data.count_rows():
            raise GlimmError(f"{self.where} has no rows (columns: {', '.join(self.names[:20])})")
        return self

    def frames(self, columns: tuple[str, ...]) -> Iterator[Frame]:
        """Batch by batch."""
        import pyarrow as pa

        try:
            for batch in self.data.to_batches(columns=list(columns), batch_size=PIECE_ROWS, batch_readahead=1, fragment_readahead=1):
                if batch.num_rows:
                    yield one_frame([pa.Table.from_batches([batch])])
        except (pa.ArrowException, OSError) as error:
            raise GlimmError(f"{self.where} cannot be read ({str(error).splitlines()[0]}): its files must stay where they are") from None


class Gone:
    """What is left of pieces in a pickled fit."""

    def __init__(self, names: tuple[str, ...], kind: Kind, where: str) -> None:
        self.names, self.kind, self.where = names, kind, where

    def needed(self, columns: tuple[str, ...]) -> Gone:
        """The same."""
        return self

    def frames(self, columns: tuple[str, ...]) -> Iterator[Frame]:
        """Raises GlimmError."""
        raise GlimmError(f"the data of this fit, {self.where}, are not pickled with it: fit again")
