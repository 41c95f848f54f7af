"""Delimited text files that are not held: read in parts with the types that `glimm.read` decides over all rows, into temporary files.

Pass 1: characters; pass 2: fields of each line; pass 3: types; pass 4, for text that looks like numbers: its marks; last pass: values.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

from ..errors import GlimmError
from .delimited import (
    HEAD,
    SEP,
    Marks,
    both_marks,
    check_counts,
    check_separated,
    delimiter_of,
    exact_floats,
    header,
    line_counts,
    no_text,
    warn_not_utf8,
)
from .files import ARROW, EXACT, FOREIGN, GZIP, WIDEST, nearest
from .frames import Kind
from .sources import PIECE_ROWS
from .spool import Spooled, Writer

if TYPE_CHECKING:
    import pandas as pd

BYTES: Final = 1 << 20
INT64: Final = 2.0**63
OVERFLOW: Final = (TypeError, OverflowError, ValueError)


def is_text(paths: Sequence[Path]) -> bool:
    """Whether the first file is text, by its first bytes; what cannot be read is left to the reader of parquet files."""
    try:
        with _bytes(paths[0]) as handle:
            head = handle.read(16)
    except (OSError, EOFError, zlib.error):
        return False
    for magic, (what, remedy) in FOREIGN.items():
        if head.startswith(magic):
            raise GlimmError(f"{paths[0]} is {what}, which glimm does not read: {remedy}")
    return not any(head.startswith(magic) for magic in ARROW)


def open_text(paths: Sequence[Path]) -> TextFiles:
    """Text files with the same header; of the rows none is parsed.

    Raises GlimmError as `glimm.read` does, and for headers that differ.
    """
    files = [_open(path) for path in paths]
    for file in files[1:]:
        if other := set(file.names) ^ set(files[0].names):
            differ = next(name for name in (*files[0].names, *file.names) if name in other)
            raise GlimmError(
                f"column {differ!r} is not the same in {files[0].name!r} and {file.name!r}: write the files again with one header"
            )
    return TextFiles(tuple(files), tuple(files[0].names))


@dataclass(frozen=True, slots=True)
class TextFile:
    """One file: how its bytes become lines, and lines fields. skipped : lines before the header."""

    path: Path
    name: str
    encoding: str
    delimiter: str
    skipped: int
    names: list[str]

    def lines(self) -> IO[str]:
        """The text from the header on."""
        return _lines(self.path, self.encoding, self.skipped)

    def parts(self, columns: Sequence[str], types: dict[str, Any], decimal: str) -> Iterator[pd.DataFrame]:
        """These columns, some rows at a time, as pandas reads them."""
        import pandas as pd

        options: dict[str, Any] = {"dtype": types, "chunksize": PIECE_ROWS, "low_memory": False, **exact_floats()}
        with self.lines() as text:
            try:
                yield from pd.read_csv(
                    text,
                    sep=self.delimiter,
                    decimal=decimal,
                    index_col=False,
                    skipinitialspace=True,
                    header=0,
                    names=self.names,
                    usecols=list(columns),
                    **options,
                )
            except pd.errors.ParserError as error:
                why = str(error).rpartition("C error: ")[2]
                raise GlimmError(
                    f"{self.name} cannot be read as text ({why}): a quotation mark that opens a field may never close"
                ) from None


@dataclass(frozen=True, slots=True)
class TextFiles:
    """Text files that are yet to be parsed."""

    files: tuple[TextFile, ...]
    names: tuple[str, ...]
    kind: Kind = "pandas"

    @property
    def where(self) -> str:
        """Their paths."""
        return ", ".join(file.name for file in self.files)

    def needed(self, columns: tuple[str, ...]) -> Spooled:
        """The columns, parsed, in temporary files."""
        found = self._types(columns, ".")
        words = [name for name in columns if found[name].kind == "text"]
        decimal = "."
        if commas := self._commas(words):
            decimal, found = ",", self._types(columns, ",")
            for name in columns:
                if name not in words and found[name].kind == "text":
                    self._refuse_points(commas[0], name)
        if any(one.wide for one in found.values()):
            try:
                return self._spooled(columns, found, decimal)
            except OVERFLOW:  # beyond int64 they are numbers as any, as in `delimited.parsed`
                for one in found.values():
                    one.whole = False
        return self._spooled(columns, found, decimal)

    def frames(self, columns: tuple[str, ...]) -> Iterator[Any]:
        """They have to be parsed first."""
        return self.needed(columns).frames(columns)

    def _parts(self, columns: Sequence[str], types: dict[str, Any], decimal: str) -> Iterator[pd.DataFrame]:
        return (part for file in self.files for part in file.parts(columns, types, decimal))

    def _types(self, columns: Sequence[str], decimal: str) -> dict[str, Column]:
        found = {name: Column() for name in columns}
        for part in self._parts(columns, {}, decimal):
            for name in columns:
                found[name].add(part[name])
        return found

    def _commas(self, words: list[str]) -> list[str]:
        """The columns of text that are numbers with a decimal comma."""
        marks, row = {name: Marks(name) for name in words}, 0
        if words:
            for part in self._parts(words, dict.fromkeys(words, str), "."):
                for name in words:
                    if marks[name].open:
                        values = part[name].dropna().astype(str)
                        marks[name].add(values.set_axis(values.index - part.index[0]), row)
                row += len(part)
                if not any(one.open for one in marks.values()):
                    break
        return [name for name in words if marks[name].decimal_comma(self.files[0].delimiter, self.where)]

    def _refuse_points(self, comma: str, column: str) -> None:
        row = 0
        for part in self._parts([column], {column: str}, ","):
            at = part[column].astype(str).str.contains(".", regex=False).to_numpy()
            if at.any():
                k = int(at.argmax())
                raise both_marks(self.where, comma, column, part[column].iloc[k], row + k)
            row += len(part)

    def _spooled(self, columns: tuple[str, ...], found: dict[str, Column], decimal: str) -> Spooled:
        import pyarrow as pa

        types = {name: one.dtype for name, one in found.items() if one.dtype is not None}
        writer = Writer(columns)
        for part in self._parts(columns, types, decimal):
            arrays = [found[name].array(part[name]) for name in columns]
            writer.add(pa.Table.from_arrays(arrays, names=list(columns)), 1)
        return writer.spooled(self.kind, self.where)


@dataclass(slots=True)
class Column:
    """What the values of a column are, as far as they were seen: "" (nothing), "bool", "int", "number" or "text".

    missing : some part had nothing but missing values; whole, largest : of numbers, whether all are whole, and the largest absolute one
    """

    seen: str = ""
    missing: bool = False
    whole: bool = True
    largest: float = 0.0

    def add(self, values: pd.Series[Any]) -> None:
        """More values, as pandas reads them by themselves."""
        kind, there = values.dtype.kind, values.dropna()
        if not len(there):
            self.missing = True
        elif kind in "iuf":
            self._with("number" if kind == "f" else "int")
            self.largest = max(self.largest, float(there.abs().max()))
            self.whole = self.whole and (kind != "f" or not bool((there % 1).any()))
        else:
            self._with("bool" if kind == "b" or all(isinstance(value, bool) for value in there) else "text")

    def _with(self, kind: str) -> None:
        if self.seen in ("", kind):
            self.seen = kind
        else:
            self.seen = "number" if {self.seen, kind} == {"int", "number"} else "text"

    @property
    def kind(self) -> str:
        """Of all values: whole numbers with missing ones are numbers."""
        return "number" if self.seen in ("", "int") and self.missing else self.seen

    @property
    def wide(self) -> bool:
        """Whether they are whole numbers with missing values that float64 would round."""
        return self.kind == "number" and self.whole and EXACT <= self.largest <= WIDEST

    @property
    def dtype(self) -> Any:
        """What pandas is told; nothing of booleans, which may be missing."""
        if self.kind == "int":
            return "int64" if self.largest < INT64 else "uint64"
        return {"number": "Int64" if self.wide else "float64", "text": str}.get(self.kind)

    def array(self, values: pd.Series[Any]) -> Any:
        """As Arrow."""
        import pyarrow as pa

        to = {"bool": pa.bool_(), "text": pa.large_string()}.get(self.kind)
        return pa.array(values.astype(object) if self.kind == "bool" else values, type=to, from_pandas=True)


def _bytes(path: Path) -> Any:
    """The bytes of a file, unzipped."""
    with path.open("rb") as handle:
        zipped = handle.read(2) == GZIP
    return gzip.open(path, "rb") if zipped else path.open("rb")


def _lines(path: Path, encoding: str, skipped: int) -> IO[str]:
    text = io.TextIOWrapper(_bytes(path), encoding=encoding, errors="replace", newline=None)
    for _ in range(skipped):
        text.readline()
    return text


def _encoding(path: Path, name: str) -> str:
    """UTF-8 (with or without mark), UTF-16 with its mark, else Windows-1252 and a warning; raises GlimmError for what is no text."""
    decoder, lines, blank = codecs.getincrementaldecoder("utf-8-sig")(), 1, True
    wide = bad = None
    with _bytes(path) as handle:
        while part := handle.read(BYTES):
            if wide is None:
                wide = part.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
            if not wide and b"\0" in part:
                raise no_text(name)
            blank = blank and not part.strip()
            if bad is None and not wide:
                try:
                    decoder.decode(part)
                except UnicodeDecodeError as error:  # its object has what was left of the part before, too
                    bad = lines + error.object[: error.start].count(b"\n"), error.object[error.start]
                lines += part.count(b"\n")
        if bad is None and not wide:
            try:
                decoder.decode(b"", final=True)
            except UnicodeDecodeError as error:
                bad = lines, error.object[error.start]
    if blank:
        raise GlimmError(f"{name} is empty: it must have a header line and a line per row")
    if bad is not None:
        warn_not_utf8(name, *bad)
        return "cp1252"
    return "utf-16" if wide else "utf-8-sig"


def _open(path: Path) -> TextFile:
    """A file with its header, after every line was looked at."""
    name = str(path)
    try:
        encoding = _encoding(path, name)
        with _lines(path, encoding, 0) as text:
            head = text.read(HEAD)
        told = SEP.match(head)
        start = told.end() if told else len(head) - len(head.lstrip("\n"))
        skipped, head = head[:start].count("\n"), head[start:]
        first, _, rest = head.partition("\n")
        second = rest.lstrip("\n").partition("\n")[0]
        delimiter = told.group(1) if told else delimiter_of(first, second)
        try:
            names = header(head, delimiter, name)
            check_separated(names, delimiter, second, name)
            with _lines(path, encoding, skipped) as text:
                check_counts(line_counts(iter(text), delimiter), delimiter, names, name)
        except csv.Error as error:
            raise GlimmError(f"{name} cannot be read as text ({error}): a quotation mark that opens a field may never close") from None
    except FileNotFoundError:
        raise GlimmError(f"no file {name!r}{nearest(path)}") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise GlimmError(f"{name} is gzipped but damaged ({error}): fetch or write it again") from None
    except OSError as error:
        raise GlimmError(f"{name!r} cannot be read: {error.strerror or error}") from None
    return TextFile(path, name, encoding, delimiter, skipped, names)
