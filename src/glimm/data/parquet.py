"""Parquet files in pieces, read again in every pass, so that no more than a piece is held.

rows of the files in order = piece 1, piece 2, ...
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import GlimmError
from .files import check_distinct, nearest
from .frames import Frame, Kind
from .sources import PIECE_ROWS, one_frame

BUFFER = 1 << 20


@dataclass(frozen=True, slots=True)
class Files:
    """Parquet files with the same columns.

    paths : in the order of their rows; names : of the columns
    held : what must live as long as the files are needed
    """

    paths: tuple[Path, ...]
    names: tuple[str, ...]
    kind: Kind = "pandas"
    held: Any = None

    @property
    def where(self) -> str:
        """Their paths."""
        return ", ".join(str(path) for path in self.paths)

    def needed(self, columns: tuple[str, ...]) -> Files:
        """The same."""
        return self

    def frames(self, columns: tuple[str, ...]) -> Iterator[Frame]:
        """Row group by row group."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        for path in self.paths:
            try:
                with pq.ParquetFile(path, buffer_size=BUFFER, pre_buffer=False) as file:
                    for batch in file.iter_batches(batch_size=PIECE_ROWS, columns=list(columns), use_threads=False):
                        if batch.num_rows:
                            yield one_frame([pa.Table.from_batches([batch])])
            except (pa.ArrowException, OSError) as error:
                raise GlimmError(f"{str(path)!r} cannot be read ({str(error).splitlines()[0]}): it must stay where it is") from None


def open_files(paths: Sequence[Path]) -> Files:
    """Parquet files; no row is read.

    Raises GlimmError for what is not there, is no parquet file, has no rows, and for files whose columns differ.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    first, n_rows = None, 0
    for path in paths:
        try:
            with pq.ParquetFile(path) as file:
                schema, rows = file.schema_arrow, file.metadata.num_rows
        except FileNotFoundError:
            raise GlimmError(f"no file {str(path)!r}{nearest(path)}") from None
        except (pa.ArrowException, OSError) as error:
            raise GlimmError(
                f"{str(path)!r} is not a parquet file ({str(error).splitlines()[0]}): a path given as data is a parquet file or delimited "
                "text (csv, tsv), all of one kind; read other files with glimm.read(path)"
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
    return Files(tuple(paths), tuple(first.names))


def paths_of(data: Any) -> tuple[Path, ...]:
    """The files behind a path, a folder of .parquet files, or a list of paths."""
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
