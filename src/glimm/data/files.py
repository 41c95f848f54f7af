"""Files to frames: the format is read off the first bytes, whatever the name ends in.

bytes -> (gunzip) -> parquet or Arrow by pyarrow, else text by `delimited` -> pandas frame with distinct column names.
"""

from __future__ import annotations

import gzip
import os
import sys
import zlib
from collections import Counter
from collections.abc import Sequence
from difflib import get_close_matches
from importlib.resources.abc import Traversable
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from ..errors import GlimmError

if TYPE_CHECKING:
    import pandas as pd

GZIP: Final = b"\x1f\x8b"
ARROW: Final = MappingProxyType({b"PAR1": "a parquet file", b"ARROW1": "an Arrow file", b"\xff\xff\xff\xff": "an Arrow stream"})
FOREIGN: Final = MappingProxyType(
    {
        b"PK\x03\x04": ("an Excel workbook or a zip archive", "save the sheet as CSV, or read it with pandas.read_excel"),
        b"\xd0\xcf\x11\xe0": ("an old Excel workbook", "save the sheet as CSV, or read it with pandas.read_excel"),
        b"FEA1": ("a Feather file of version 1", "write it again with pyarrow.feather.write_feather"),
        b"<stata_dta>": ("a Stata file", "read it with pandas.read_stata"),
        b"$FL2": ("an SPSS file", "read it with pandas.read_spss"),
        b"RDX": ("R's own format", "write it with write.csv(data, file, row.names = FALSE) in R"),
        b"X\n\x00": ("R's own format", "write it with write.csv(data, file, row.names = FALSE) in R"),
        b"BZh": ("compressed with bzip2", "unpack it first"),
        b"\xfd7zXZ": ("compressed with xz", "unpack it first"),
        b"\x28\xb5\x2f\xfd": ("compressed with zstd", "unpack it first"),
        b"%PDF": ("a PDF", "save the table as CSV"),
        b"<!DOCTYPE": ("a web page", "download the data themselves, for example the 'raw' file"),
        b"<!doctype": ("a web page", "download the data themselves, for example the 'raw' file"),
        b"<html": ("a web page", "download the data themselves, for example the 'raw' file"),
        b"{": ("JSON, it seems", "read it with pandas.read_json"),
    }
)
EXACT: Final = 2**53
"""Whole numbers up to here are exact as float64."""
WIDEST: Final = 2.0**63
"""Beyond it no whole number is an int64."""


def read(path: str | os.PathLike[str]) -> pd.DataFrame:
    """A file as a pandas frame: csv, tsv, parquet, Arrow (file or stream), each plain or gzipped.

    path : of the file, or "-" for standard input

    The format is read off the content, not off the name. Text has a header line; tab, comma or semicolon between fields is decided
    from it; fields may be quoted; a decimal comma, as Excel writes in many countries, is understood. As in pandas, empty fields, NA, NaN,
    null and the like are missing. Text that is not UTF-8 is read as Windows-1252 (a superset of Latin-1), with a GlimmWarning.
    Parquet and Arrow need pyarrow.

    Raises GlimmError for a file that is not there, empty, without rows, of another format, with columns of one name, and with lines
    whose number of fields is not the header's.

    >>> import pathlib, tempfile, glimm
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "doses.csv"
    >>> _ = path.write_text("dose;ill\\n0,5;no\\n1,5;yes\\n")
    >>> glimm.read(path)["dose"].tolist()
    [0.5, 1.5]
    """
    name, raw = _content(path)
    if raw.startswith(GZIP):
        raw = _unzipped(raw, name)
    if not raw.strip():
        raise GlimmError(f"{name} is empty: it must have a header line and a line per row")
    for magic, what in ARROW.items():
        if raw.startswith(magic):
            return _read_arrow(raw, magic, what, name)
    for magic, (what, remedy) in FOREIGN.items():
        if raw.startswith(magic):
            raise GlimmError(f"{name} is {what}, which glimm does not read: {remedy}")
    from .delimited import read_text

    return read_text(raw, name)


def read_csv(path: Traversable) -> pd.DataFrame:
    """A csv file of the package as a pandas frame."""
    import pandas as pd

    with path.open("rb") as handle:
        return pd.read_csv(handle)


def check_distinct(names: Sequence[str], where: str) -> None:
    """Raise GlimmError for columns that share a name: it would not be clear which one a formula means."""
    shared = [f"{name!r} ({count} times)" for name, count in Counter(names).items() if count > 1]
    if shared:
        raise GlimmError(f"{where} has columns of the same name: {', '.join(shared)}; give every column a name of its own")


def _content(path: Any) -> tuple[str, bytes]:
    """What to call the file in messages, and its bytes."""
    if not isinstance(path, (str, os.PathLike)):
        raise GlimmError(f"read takes the path of a file, or '-' for standard input, not {type(path).__name__}")
    given = os.fspath(path)
    if given == "-":
        return "standard input", sys.stdin.buffer.read()
    if not given:
        raise GlimmError("the path is empty: name a file, or '-' for standard input")
    if "://" in given:
        raise GlimmError(f"{given} is an address on the net: download the file first")
    file = Path(given).expanduser()
    try:
        return str(given), file.read_bytes()
    except FileNotFoundError:
        raise GlimmError(f"no file {given!r}{nearest(file)}") from None
    except IsADirectoryError:
        raise GlimmError(f"{given!r} is a directory: name a file in it") from None
    except (OSError, ValueError) as error:
        raise GlimmError(f"{given!r} cannot be read: {getattr(error, 'strerror', None) or error}") from None


def nearest(file: Path) -> str:
    """The end of a message about a file that is not there."""
    try:
        near = get_close_matches(file.name, [entry.name for entry in file.parent.iterdir()], n=1, cutoff=0.7)
    except OSError:
        return f": there is no directory {str(file.parent)!r}"
    return f": did you mean {str(file.with_name(near[0]))!r}?" if near else ": check the path"


def _unzipped(raw: bytes, name: str) -> bytes:
    try:
        return gzip.decompress(raw)
    except (EOFError, OSError, zlib.error) as error:
        raise GlimmError(f"{name} is gzipped but damaged ({error}): fetch or write it again") from None


def _read_arrow(raw: bytes, magic: bytes, what: str, name: str) -> pd.DataFrame:
    """A parquet or Arrow file as pandas; an index that pandas wrote comes back as a column."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise GlimmError(f"{name} is {what}, which needs pyarrow: pip install pyarrow, or save the data as CSV") from None
    try:
        if magic == b"PAR1":
            file = pq.ParquetFile(pa.BufferReader(raw))
            check_distinct(file.schema_arrow.names, name)
            table = file.read()
        else:
            table = (pa.ipc.open_file(raw) if magic == b"ARROW1" else pa.ipc.open_stream(raw)).read_all()
    except (pa.ArrowException, OSError) as error:
        raise GlimmError(f"{name} looks like {what} but cannot be read ({str(error).splitlines()[0]}): write it again") from None
    check_distinct(table.column_names, name)
    if not table.num_columns:
        raise GlimmError(f"{name} has no columns")
    if not table.num_rows:
        raise GlimmError(f"{name} has no rows (columns: {', '.join(table.column_names[:20])})")
    return _to_pandas(table)


def _to_pandas(table: Any) -> pd.DataFrame:
    """Whole numbers with missing values become float64 as in pandas, but nullable where float64 would round them."""
    import pandas as pd
    import pyarrow as pa
    import pyarrow.compute as pc

    frame: pd.DataFrame = table.to_pandas(ignore_metadata=True)
    for name, column in zip(table.column_names, table.columns, strict=True):
        if pa.types.is_integer(column.type) and column.null_count and column.null_count < len(column):
            low, high = pc.min_max(column).as_py().values()
            if max(-low, high) > EXACT:
                frame[name] = column.to_pandas(types_mapper={pa.int64(): pd.Int64Dtype(), pa.uint64(): pd.UInt64Dtype()}.get)
    return frame
