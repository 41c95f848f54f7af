"""Sections as text of a given width: sections apart by an empty line, tables in columns of characters.

A comparison of more fits than fit beside each other becomes several blocks under each other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ..text import broken, labelled, point_aligned, table, wrapped
from .sections import Code, Column, Facts, Heading, Items, Lines, Paragraph, Section, SideBySide, Table

INDENT = 17
SHORTEST_TERM, LONGEST_TERM = 12, 28
GAP = 2
NARROW, WIDE = 21, 34


def render(sections: Sequence[Section], width: int) -> str:
    """The sections as text of at most `width` columns.

    >>> print(render([Heading("A title"), Paragraph("Some words.")], 80))
    A title
    =======
    <BLANKLINE>
    Some words.
    """
    parts = [part for section in sections for part in lines_of(section, width) if part]
    return "\n\n".join("\n".join(part) for part in parts)


def lines_of(section: Section, width: int) -> list[list[str]]:
    """Blocks of lines."""
    match section:
        case Heading(text, under):
            rest = [line for words in under for line in wrapped(words, width)]
            return [[*wrapped(text, width), "=" * min(len(text), width), *rest]]
        case Facts(rows):
            return [[line for label, words in rows for line in labelled(label, words, INDENT, width)]]
        case Lines(lines):
            shown = ["   ".join(f"{label}: {words}" if label else words for label, words in line) for line in lines]
            return [[piece for line in shown for piece in wrapped(line, width)]]
        case Table():
            return [columns_of(section, width)]
        case SideBySide():
            return blocks(section, width)
        case Paragraph(text):
            return [wrapped(text, width)]
        case Items(sentences):
            return [[("- " if k == 0 else "  ") + line for s in sentences for k, line in enumerate(wrapped(s, width - 2))]]
        case Code(text):
            return [["    " + line for line in text.split("\n")]]


def columns_of(section: Table, width: int) -> list[str]:
    """Lines of a table; long names in the first column are broken where they would make it too wide."""
    numbers = [aligned(column) for column in section.columns[1:]]
    heads = [column.head for column in section.columns]
    taken = sum(GAP + max(len(head), *map(len, cells)) for head, cells in zip(heads[1:], numbers, strict=True))
    names = [broken(name, max(width - taken, SHORTEST_TERM)) for name in section.columns[0].cells]
    notes = [line for note in section.notes for line in wrapped(note, width)]
    return [*table(heads, [names, *numbers], [column.kind != "words" for column in section.columns]), *notes]


def aligned(column: Column) -> list[str]:
    """Cells with decimal points under each other."""
    if column.kind == "number":
        return point_aligned(column.cells)
    if column.kind == "interval":
        limits = [cell.split("|") if "|" in cell else ["none", "none"] for cell in column.cells]
        low, high = (point_aligned([limit[k] for limit in limits]) for k in (0, 1))
        return ["none" if a.strip() == "none" else f"{a} to {b}" for a, b in zip(low, high, strict=True)]
    return list(column.cells)


def blocks(section: SideBySide, width: int) -> list[list[str]]:
    """Tables of as many columns as fit into the width, all about equally many; a rule above each group."""
    rows = [row for group in section.groups for row in group]
    rules = [sum(len(group) for group in section.groups[:k]) for k in range(len(section.groups))]
    labels = [broken(label, LONGEST_TERM) for label, _ in rows]
    left = max(len(line) for label in [section.corner, *labels] for line in label.split("\n"))
    numbers = [line for _, cells in rows for cell in cells if "\n" in cell for line in cell.split("\n")]
    most = max(1, (width - left) // (max([NARROW, *map(len, numbers)]) + GAP))
    count = len(section.heads)
    out = []
    for at in np.array_split(np.arange(count), math.ceil(count / most)):
        room = min(WIDE, (width - left) // len(at) - GAP)
        heads = [_fill(section.heads[k], room) for k in at]
        cells = [[_fill(row[1][k], room) for row in rows] for k in at]
        out.append(table([section.corner, *heads], [labels, *cells], [False] * (len(at) + 1), rules))
    return out


def _fill(cell: str, width: int) -> str:
    """A cell of words wrapped to its column; numbers come with their own lines."""
    return cell if "\n" in cell else "\n".join(wrapped(cell, width))
