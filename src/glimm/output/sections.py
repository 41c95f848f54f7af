"""What is said of a fit or a comparison, as data: sections of numbers and words, which text (terminal) and HTML (html) both come from.

A number is made into words once, here or above; the two renderers only place it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Row = tuple[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Heading:
    """A title, and lines that belong under it."""

    text: str
    under: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Facts:
    """Labels with the words beside them, one under another; a label may occur several times."""

    rows: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Lines:
    """Short facts, several to a line: each line holds (label, words); a label may be empty."""

    lines: tuple[tuple[tuple[str, str], ...], ...]


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table.

    kind : "words"; "number", aligned at the point; "right", at the right as it is; "interval", each cell being "low|high" or "none"
    """

    head: str
    cells: tuple[str, ...]
    kind: Literal["words", "number", "right", "interval"] = "words"


@dataclass(frozen=True, slots=True)
class Table:
    """A table, its first column naming the rows; notes are lines under it."""

    name: str
    columns: tuple[Column, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SideBySide:
    """A column of cells per fit; rows (label, cells) in groups with a rule above each; a cell of numbers has lines of its own."""

    corner: str
    heads: tuple[str, ...]
    groups: tuple[tuple[Row, ...], ...]


@dataclass(frozen=True, slots=True)
class Paragraph:
    """A paragraph of words."""

    text: str


@dataclass(frozen=True, slots=True)
class Items:
    """Sentences, each an item of a list."""

    sentences: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Code:
    """Lines of code, kept as they are."""

    text: str


Section = Heading | Facts | Lines | Table | SideBySide | Paragraph | Items | Code


def interval_cell(low: str, high: str) -> str:
    """A cell of an interval column: "none" where there is none.

    >>> interval_cell("-0.1", "0.2"), interval_cell("none", "none")
    ('-0.1|0.2', 'none')
    """
    return "none" if low == "none" else f"{low}|{high}"
