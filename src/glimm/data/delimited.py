"""Text files to frames: what stands between the fields, how many there are in each line, which mark is the decimal one.

fields(line) = fields(header) for every line, or the file is refused: a line that is read with holes or shifted is worse than none.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
import warnings
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

from ..errors import GlimmError, GlimmWarning
from .files import EXACT, WIDEST, check_distinct

if TYPE_CHECKING:
    import pandas as pd

DELIMITERS: Final = {"\t": "a tab", ",": "a comma", ";": "a semicolon"}
SAMPLE: Final = 200
HEAD: Final = 1 << 22
SEP = re.compile(r"\s*sep=(.)\n", re.IGNORECASE)
_QUOTED = re.compile(r'"[^"]*"')
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_COMMA_NUMBER = r"\s*[+-]?(?:\d+|\d{1,3}(?:\.\d{3})+)(?:,\d+)?(?:[eE][+-]?\d+)?\s*"
_ENGLISH = r"\s*[+-]?(?:\d+|\d{1,3}(?:,\d{3})+)(?:\.\d+)?\s*"
_THREE_DIGITS = r"\s*[+-]?\d{1,3},\d{3}\s*"


def read_text(raw: bytes, name: str) -> pd.DataFrame:
    """A delimited text file as a pandas frame; see `files.read`.

    raw : its content; name : what to call it in messages
    """
    text = decoded(raw, name)
    told = SEP.match(text)
    text = text[told.end() :] if told else text.lstrip("\n")
    first, _, rest = text.partition("\n")
    second = rest.lstrip("\n").partition("\n")[0]
    delimiter = told.group(1) if told else delimiter_of(first, second)
    try:
        names = header(text, delimiter, name)
        check_separated(names, delimiter, second, name)
        check_lines(text, delimiter, names, name)
    except csv.Error as error:
        raise GlimmError(f"{name} cannot be read as text ({error}): a quotation mark that opens a field may never close") from None
    frame = parsed(text, names, delimiter, ".", name)
    return with_decimal_comma(frame, text, delimiter, name)


def decoded(raw: bytes, name: str) -> str:
    """The text, with \\n at the end of lines: UTF-8 (with or without mark), UTF-16 with its mark, else Windows-1252 and a warning."""
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        text = raw.decode("utf-16", errors="replace")
    elif b"\0" in raw:
        raise no_text(name)
    else:
        try:
            text = raw.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            warn_not_utf8(name, raw.count(b"\n", 0, error.start) + 1, raw[error.start], 5)
            text = raw.decode("cp1252", errors="replace")
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def warn_not_utf8(name: str, line: int, byte: int, stacklevel: int = 2) -> None:
    """That a file is read as Windows-1252."""
    warnings.warn(
        f"{name} is not UTF-8 (line {line}, byte 0x{byte:02x}): read as Windows-1252; "
        "if letters with accents look wrong, save the file as UTF-8",
        GlimmWarning,
        stacklevel=stacklevel,
    )


def no_text(name: str) -> GlimmError:
    """Of a file with null bytes."""
    return GlimmError(f"{name} is not text (it holds null bytes), nor parquet or Arrow: save the data as CSV")


def delimiter_of(first: str, second: str = "") -> str:
    """What stands between fields: the most frequent of comma, tab and semicolon in the header, those first that are as many in a row.

    first : the header line; second : the line of the first row

    >>> delimiter_of('dose;"mass, kg";ill', '1,5;60;0')
    ';'
    """
    header, row = _QUOTED.sub("", first), _QUOTED.sub("", second)
    return max(",\t;", key=lambda mark: (0 < header.count(mark) == row.count(mark), header.count(mark)))


def header(text: str, delimiter: str, name: str) -> list[str]:
    """The names of the columns, none empty.

    Raises GlimmError for names that columns share, and for a first line of numbers.
    """
    fields = [field.strip() for field in next(csv.reader(io.StringIO(text[:HEAD]), delimiter=delimiter, skipinitialspace=True))]
    if all(_NUMBER.fullmatch(field) for field in fields):
        raise GlimmError(f"the first line of {name} holds numbers only ({', '.join(fields[:5])}): it must hold the names of the columns")
    check_distinct([field for field in fields if field], name)
    names = [field or f"Unnamed: {j}" for j, field in enumerate(fields)]
    check_distinct(names, name)
    return names


def check_separated(names: list[str], delimiter: str, line: str, name: str) -> None:
    """Raise GlimmError if the one column of a header is several, with blanks or | between them as in the first row."""
    if len(names) == 1 and delimiter not in line:
        for mark, what in (("|", "'|'"), (None, "blanks")):
            pieces = names[0].split(mark)
            if len(pieces) > 1 and len(pieces) == len(line.split(mark)):
                raise GlimmError(f"the columns of {name} have {what} between them: put a comma, a semicolon or a tab between its fields")


def check_lines(text: str, delimiter: str, names: list[str], name: str) -> None:
    """Raise GlimmError for the first line that has more or fewer fields than the header, and for a header without rows."""
    check_counts(field_counts(text, delimiter), delimiter, names, name)


def check_counts(counts: Iterable[tuple[int, int, int]], delimiter: str, names: list[str], name: str) -> None:
    """The same of records as `field_counts` gives them."""
    rows = 0
    for first, last, count in counts:
        if count != len(names):
            where = f"line {first}" if first == last else f"the row in lines {first} to {last}"
            listed = f"{len(names)} column{'s' if len(names) > 1 else ''} ({', '.join(names[:8])}{', ...' if len(names) > 8 else ''})"
            raise GlimmError(
                f"{name}: {where} has {count} field{'s' if count > 1 else ''} but the header names {listed}: "
                f"{_remedy(count - len(names), first != last, rows, delimiter, len(names))}"
            )
        rows += 1
    if rows < 2:
        raise GlimmError(f"{name} has a header line but no rows (columns: {', '.join(names[:20])})")


def field_counts(text: str, delimiter: str) -> Iterator[tuple[int, int, int]]:
    """First line, last line and number of fields of each record that is not blank; lines count from 1, the header's.

    >>> list(field_counts('a,b\\n1,"x\\ny"\\n', ","))
    [(1, 1, 2), (2, 3, 2)]
    """
    blanks = " " if delimiter == "\t" else " \t"
    if '"' not in text:
        for number, line in enumerate(text.split("\n"), 1):
            if line.strip(blanks):
                yield number, number, line.count(delimiter) + 1
        return
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
    before = 0
    for fields in reader:
        if len(fields) > 1 or (fields and fields[0].strip(blanks)):
            yield before + 1, reader.line_num, len(fields)
        before = reader.line_num


def line_counts(lines: Iterator[str], delimiter: str) -> Iterator[tuple[int, int, int]]:
    """`field_counts` of lines that are read one after the other.

    >>> list(line_counts(iter(['a,b\\n', '1,"x\\n', 'y"\\n']), ","))
    [(1, 1, 2), (2, 3, 2)]
    """
    blanks = " \n" if delimiter == "\t" else " \t\n"
    before = 0
    for line in lines:
        if '"' in line:
            break
        before += 1
        if line.strip(blanks):
            yield before, before, line.count(delimiter) + 1
    else:
        return
    reader, first = csv.reader(chain([line], lines), delimiter=delimiter, skipinitialspace=True), before
    for fields in reader:
        if len(fields) > 1 or (fields and fields[0].strip(blanks)):
            yield before + 1, first + reader.line_num, len(fields)
        before = first + reader.line_num


def _remedy(more: int, broken: bool, records: int, delimiter: str, columns: int) -> str:
    """What to do about a record with so many fields more (or less) than the header has.

    broken : it goes over several lines; records : that came before it; columns : of the header
    """
    mark = DELIMITERS.get(delimiter, repr(delimiter))
    if broken:
        return "a quotation mark that opens a field may never close"
    if columns == 1:
        return f"write numbers with a decimal point, and put quotation marks around text that holds {mark}"
    if more == 1 and records == 1:
        return "if the first field is a row name (R writes them), write the file without, row.names = FALSE"
    return (
        f"put quotation marks around text that holds {mark}" if more > 0 else "leave the field of a missing value empty, but keep its mark"
    )


def parsed(text: str, names: list[str], delimiter: str, decimal: str, name: str) -> pd.DataFrame:
    """The text as pandas reads it; whole numbers with missing values are nullable where float64 would round them."""
    frame = _parsed(text, names, delimiter, decimal, name, {})
    numbers = [(j, frame[c]) for j, c in enumerate(names) if frame[c].dtype.kind == "f"]
    wide = [j for j, column in numbers if EXACT <= column.abs().max() <= WIDEST and not (column % 1).any()]
    if not wide:
        return frame
    try:
        return _parsed(text, names, delimiter, decimal, name, dict.fromkeys(wide, "Int64"))
    except (ValueError, TypeError, OverflowError):
        return frame


def _parsed(text: str, names: list[str], delimiter: str, decimal: str, name: str, types: dict[int, str]) -> pd.DataFrame:
    """types : by position of the column."""
    import pandas as pd

    try:
        frame: pd.DataFrame = pd.read_csv(
            io.StringIO(text),
            sep=delimiter,
            decimal=decimal,
            index_col=False,
            skipinitialspace=True,
            low_memory=False,
            dtype=types,
            **exact_floats(),
        )
    except pd.errors.ParserError as error:
        why = str(error).rpartition("C error: ")[2]
        raise GlimmError(f"{name} cannot be read as text ({why}): a quotation mark that opens a field may never close") from None
    frame.columns = pd.Index(names)
    return frame


def exact_floats() -> dict[str, Any]:
    """What makes pandas read numbers to the last bit, where it does not by itself."""
    import pandas as pd

    return {"float_precision": "round_trip"} if tuple(map(int, pd.__version__.split(".")[:2])) < (3, 1) else {}


def with_decimal_comma(frame: pd.DataFrame, text: str, delimiter: str, name: str) -> pd.DataFrame:
    """The frame read again with a decimal comma where its text columns are numbers with one.

    Raises GlimmError for marks between thousands, and for a file with decimal commas in one column and points in another.
    """
    names = list(map(str, frame.columns))
    words = [c for c in names if frame[c].dtype.kind not in "iufbM"]
    commas = [c for c in words if _has_decimal_comma(frame[c], delimiter, c, name)]
    if not commas:
        return frame
    again = parsed(text, names, delimiter, ",", name)
    for column in names:
        if column not in words and again[column].dtype.kind not in "iufb":
            row = next(k for k, value in enumerate(again[column]) if isinstance(value, str) and "." in value)
            raise both_marks(name, commas[0], column, again[column].iloc[row], row)
    return again


def both_marks(name: str, comma: str, point: str, value: Any, row: int) -> GlimmError:
    """Of a file with decimal commas in one column and points in another."""
    return GlimmError(
        f"{name}: column {comma!r} has decimal commas, but column {point!r} has {value!r} in row {row} "
        "(counting from 0): write all numbers with a decimal point, or all with a comma, and without marks between thousands"
    )


def _has_decimal_comma(column: pd.Series[Any], delimiter: str, label: str, name: str) -> bool:
    """Whether a text column is numbers with a decimal comma; marks between thousands are refused."""
    values = column.dropna().astype(str)
    if not any(values.head(SAMPLE).str.fullmatch(pattern).all() for pattern in (_COMMA_NUMBER, _ENGLISH)):
        return False
    marks = Marks(label)
    marks.add(values, 0)
    return marks.decimal_comma(delimiter, name)


class Marks:
    """What stands in the numbers of a text column, of which the values come in parts.

    comma, english : whether all are numbers with a decimal comma, or with commas between thousands; the first with a comma, with a point
    """

    def __init__(self, label: str) -> None:
        self.label = label
        self.comma = self.english = self.three = True
        self.first: dict[str, tuple[str, int]] = {}

    @property
    def open(self) -> bool:
        """Whether more values may matter."""
        return self.comma or self.english

    def add(self, values: pd.Series[Any], row: int) -> None:
        """Values that are there, the index their rows after `row`."""
        self.comma = self.comma and bool(values.str.fullmatch(_COMMA_NUMBER).all())
        self.english = self.english and bool(values.str.fullmatch(_ENGLISH).all())
        if not self.open:
            return
        for mark in ",.":
            found = values[values.str.contains(mark, regex=False)]
            if len(found) and mark not in self.first:
                self.first[mark] = str(found.iloc[0]), row + int(found.index.tolist()[0])
            if mark == "," and len(found):
                self.three = self.three and bool(found.str.fullmatch(_THREE_DIGITS).all())

    def decimal_comma(self, delimiter: str, name: str) -> bool:
        """Whether they are numbers with a decimal comma; raises GlimmError for marks between thousands."""
        if "," not in self.first or not self.open:
            return False
        unclear = not self.comma or (delimiter != ";" and self.three)
        thousands = self.first.get("," if unclear else ".")
        if thousands is None:
            return True
        value, row = thousands
        raise GlimmError(
            f"{name}: column {self.label!r} has {value!r} in row {row} (counting from 0), which may have a mark between thousands: "
            "write numbers without such marks, or read the file with pandas.read_csv and its thousands= and decimal="
        )
