"""Temporary files for rows that come once: Arrow streams in a folder that goes with the last object that holds it, and at exit.

rows read = rows written, in order; a piece of other types than those before begins another file.
"""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import GlimmError
from .frames import Frame, Kind
from .sources import cut_up
from .types import Types, cast


class Folder:
    """A temporary folder (where TMPDIR says) that is removed with this object; a pickled copy does not own it."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="glimm-"))
        self.remove = weakref.finalize(self, shutil.rmtree, str(self.path), ignore_errors=True)

    def __reduce__(self) -> Any:
        return Path, (str(self.path),)


class Writer:
    """Writes tables one after the other."""

    def __init__(self, columns: tuple[str, ...]) -> None:
        self.folder, self.types = Folder(), Types(columns)
        self.paths: list[Path] = []
        self.open: Any = None
        self.schema: Any = None
        self.n_rows = 0

    def add(self, table: Any, number: int) -> None:
        """A piece and its number; raises GlimmError for types that do not go with those before."""
        import pyarrow as pa

        self.types.add(table, number)
        try:
            if self.open is None or not table.schema.equals(self.schema):
                self.close()
                self.paths.append(self.folder.path / f"{len(self.paths)}.arrows")
                self.schema = table.schema
                self.open = pa.ipc.new_stream(str(self.paths[-1]), self.schema)
            self.open.write_table(table)
        except OSError as error:
            raise GlimmError(
                f"the temporary files of data that come once cannot be written ({error}): set TMPDIR to a roomy disk"
            ) from None
        self.n_rows += table.num_rows

    def close(self) -> None:
        """Ends a file."""
        if self.open is not None:
            self.open.close()
        self.open = None

    def spooled(self, kind: Kind, where: str) -> Spooled:
        """What was written."""
        self.close()
        return Spooled(tuple(self.paths), self.types.columns, self.types.schema(), kind, where, self.folder)


@dataclass(frozen=True, slots=True)
class Spooled:
    """Rows in temporary files. schema : of the tables that are read; folder : removed with this object."""

    paths: tuple[Path, ...]
    names: tuple[str, ...]
    schema: Any
    kind: Kind
    where: str
    folder: Any

    def needed(self, columns: tuple[str, ...]) -> Spooled:
        """The same."""
        return self

    def frames(self, columns: tuple[str, ...]) -> Iterator[Frame]:
        """Batch by batch, as they were written."""
        import pyarrow as pa

        for path in self.paths:
            try:
                with pa.OSFile(str(path)) as file, pa.ipc.open_stream(file) as reader:
                    for batch in reader:
                        yield from cut_up(cast(pa.Table.from_batches([batch]).select(list(columns)), self.schema))
            except (pa.ArrowException, OSError) as error:
                raise GlimmError(f"the temporary file {str(path)!r} cannot be read ({str(error).splitlines()[0]}): fit again") from None
