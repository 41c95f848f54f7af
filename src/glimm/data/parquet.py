"""Parquet files in pieces: tables of whole clusters, read again in every pass, so that no more than a piece is held.

rows of the files in order = piece 1, piece 2, ...; a cluster's rows follow each other and are in one piece.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import GlimmError
from .columns import level_array
from .files import check_distinct, nearest
from .frames import Frame, check_names
from .readers import read_factor
from .records import Variable

PIECE_ROWS = 65_536
BUFFER = 1 << 20


def is_files(data: Any) -> bool:
    """Whether data are given as paths: one, or a list of them."""
    return isinstance(data, str | os.PathLike) or (
        isinstance(data, list | tuple) and len(data) > 0 and all(isinstance(item, str | os.PathLike) for item in data)
    )


@dataclass(frozen=True, slots=True)
class Files:
    """Parquet files with the same columns.

    paths : in the order of their rows; names : of the columns; n_rows : of all files
    """

    paths: tuple[Path, ...]
    names: tuple[str, ...]
    n_rows: int

    def frame(self) -> Frame:
        """The columns without their values."""
        return Frame("pyarrow", self.n_rows, self.names, None)

    def pieces(self, columns: Sequence[str], group: str, rows: int = PIECE_ROWS) -> Iterator[Frame]:
        """The columns in tables of whole clusters of column `group`, each of about as many rows, or one larger cluster."""
        held: list[Any] = []
        last: Any = None
        for table in self._tables(columns, rows):
            factor = read_factor(group, table.column(group), table.num_rows)
            assert factor.codes is not None
            known = np.flatnonzero(factor.codes >= 0)
            if not len(known):
                held.append(table)
                continue
            codes = factor.codes[known]
            new = known[1:][np.diff(codes) != 0]
            if last is not None and factor.levels[codes[0]] != last:
                new = np.concatenate([known[:1], new])
            last = factor.levels[codes[-1]]
            cut = int(new[-1]) if len(new) else 0
            if len(new) and (cut or held):
                yield _frame([*held, table.slice(0, cut)])
                held = []
            held.append(table.slice(cut))
        if held:
            yield _frame(held)

    def _tables(self, columns: Sequence[str], rows: int) -> Iterator[Any]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        for path in self.paths:
            try:
                with pq.ParquetFile(path, buffer_size=BUFFER, pre_buffer=False) as file:
                    for batch in file.iter_batches(batch_size=rows, columns=list(columns), use_threads=False):
                        if batch.num_rows:
                            yield pa.Table.from_batches([batch])
            except (pa.ArrowException, OSError) as error:
                raise GlimmError(f"{str(path)!r} cannot be read ({str(error).splitlines()[0]}): it must stay where it is") from None


def open_files(data: Any) -> Files:
    """The files behind a path, a folder of .parquet files, or a list of paths; no row is read.

    Raises GlimmError for what is not there, is no parquet file, has no rows, and for files whose columns differ.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise GlimmError("data given as a path are read from parquet files, which needs pyarrow: pip install pyarrow") from None
    paths = _paths(data)
    first, n_rows = None, 0
    for path in paths:
        try:
            with pq.ParquetFile(path) as file:
                schema, rows = file.schema_arrow, file.metadata.num_rows
        except FileNotFoundError:
            raise GlimmError(f"no file {str(path)!r}{nearest(path)}") from None
        except (pa.ArrowException, OSError) as error:
            raise GlimmError(
                f"{str(path)!r} is not a parquet file ({str(error).splitlines()[0]}): a path given as data is a parquet file, "
                "read other files with glimm.read(path)"
            ) from None
        check_distinct(schema.names, str(path))
        if first is None:
            first = schema
        elif not first.equals(schema, check_metadata=False):
            differ = next(
                (
                    name
                    for name in (*first.names, *schema.names)
                    if name not in first.names or name not in schema.names or first.field(name).type != schema.field(name).type
                ),
                None,
            )
            if differ is not None:
                raise GlimmError(f"column {differ!r} is not the same in {str(paths[0])!r} and {str(path)!r}: write the files again alike")
        n_rows += rows
    assert first is not None
    if not first.names:
        raise GlimmError(f"{str(paths[0])!r} has no columns")
    if not n_rows:
        raise GlimmError(f"{str(paths[0])!r} has no rows (columns: {', '.join(first.names[:20])})")
    return Files(paths, tuple(first.names), n_rows)


def _paths(data: Any) -> tuple[Path, ...]:
    given = [data] if isinstance(data, str | os.PathLike) else list(data)
    out: list[Path] = []
    for item in given:
        if "://" in str(item):
            raise GlimmError(f"{item} is an address on the net: download the file first")
        path = Path(item).expanduser()
        if not path.is_dir():
            out.append(path)
            continue
        inside = sorted(path.glob("*.parquet"))
        if not inside:
            raise GlimmError(f"the folder {str(path)!r} has no .parquet files")
        out += inside
    return tuple(out)


def needed(files: Files, names: Sequence[str]) -> tuple[str, ...]:
    """The columns to read; raises GlimmError for unknown ones."""
    check_names(files.frame(), names)
    return tuple(dict.fromkeys(names))


def _frame(tables: list[Any]) -> Frame:
    import pyarrow as pa

    table = pa.concat_tables(tables)
    return Frame("pyarrow", table.num_rows, tuple(table.column_names), table)


def taken(frame: Frame, rows: Any) -> Frame:
    """Some rows of a piece."""
    return _frame([frame.native.take(rows)])


def joined(frames: Sequence[Frame]) -> Frame:
    """Pieces one after the other."""
    return _frame([frame.native for frame in frames])


class Runs:
    """Clusters in the order of the file, to see that the rows of each follow each other."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.levels: list[Any] = []
        self._count, self._checked = 0, 0

    def add(self, factor: Variable) -> None:
        """The clusters of one piece; raises GlimmError for one that was there before."""
        assert factor.codes is not None
        codes = factor.codes[factor.codes >= 0]
        first = np.flatnonzero(np.diff(codes, prepend=-1) != 0)
        self.levels.append(level_array(factor.levels)[codes[first]] if len(codes) else np.zeros(0))
        self._count += len(first)
        if self._count > 2 * self._checked + 100_000:
            self.check()

    def check(self) -> None:
        """Raise GlimmError for a cluster whose rows do not follow each other."""
        import pandas as pd

        found = pd.Series(np.concatenate([part.astype(object) if part.dtype.kind == "O" else part for part in self.levels]))
        again = found.duplicated()
        if again.any():
            raise GlimmError(
                f"the rows of cluster {found[again].tolist()[0]!r} of {self.name!r} do not follow each other in the file, which is "
                f"read in batches of whole clusters: sort the file by {self.name!r}, or fit in memory, data=glimm.read(path)"
            )
        self._checked = self._count
