"""Numbers and words as text: digits that follow the standard error, aligned columns, wrapped lines.

The standard error decides how many decimals an estimate has: 3 where it is between 0.01 and 10, fewer above, more below.
"""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Sequence
from itertools import zip_longest

import numpy as np
from numpy.typing import NDArray

MOST_DECIMALS = 6
HARD = "\N{NO-BREAK SPACE}"
FORMULA = re.compile(r"'[^']*~[^']*'")


def decimals(scale: float) -> int:
    """Decimals for an estimate whose standard error is `scale`.

    >>> decimals(0.2228), decimals(6.82), decimals(35.0), decimals(0.00123)
    (3, 3, 2, 4)
    """
    if not math.isfinite(scale) or scale <= 0.0:
        return 3
    power = math.floor(math.log10(scale))
    return max(3 - power, 0) if power > 0 else 3 if power >= -2 else min(1 - power, MOST_DECIMALS)


def number(value: float, places: int) -> str:
    """A number with that many decimals; figures with an exponent where decimals would hide it or fill the line.

    >>> number(-1.90084, 3), number(0.0, 2), number(1.5e-9, 3), number(float("nan"), 2)
    ('-1.901', '0.00', '1.5e-09', 'none')
    """
    if math.isnan(value):
        return "none"
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    if value != 0.0 and (abs(value) >= 1e9 or abs(value) < 0.5 * 10.0**-MOST_DECIMALS):
        return f"{value:.3g}"
    text = f"{value:.{places}f}"
    return text[1:] if float(text) == 0.0 and text.startswith("-") else text


def figures(value: float, count: int = 4) -> str:
    """A number with about `count` figures and no exponent unless it needs one.

    >>> figures(2.1742311), figures(0.0345678), figures(2177.4)
    ('2.174', '0.03457', '2177.4')
    """
    if not math.isfinite(value) or value == 0.0:
        return number(value, 1)
    places = count - 1 - math.floor(math.log10(abs(value)))
    return number(value, min(max(places, 1), 8)) if places <= 8 else f"{value:.{count - 1}g}"


def p_value(value: float) -> str:
    """A p-value with three decimals.

    >>> p_value(0.0000231), p_value(0.04567), p_value(0.9999)
    ('<0.001', '0.046', '>0.999')
    """
    if math.isnan(value):
        return "none"
    if value < 0.001:
        return "<0.001"
    return ">0.999" if value > 0.999 else f"{value:.3f}"


def point_aligned(texts: Sequence[str]) -> list[str]:
    """Numbers padded so that their decimal points stand under each other.

    >>> point_aligned(["1.25", "-10.5"])
    ['  1.25', '-10.5 ']
    """
    ends = [text.find(".") if "." in text and "e" not in text else len(text) for text in texts]
    left = max(ends, default=0)
    padded = [" " * (left - end) + text for text, end in zip(texts, ends, strict=True)]
    width = max((len(text) for text in padded), default=0)
    return [text.ljust(width) for text in padded]


def table(heads: Sequence[str], columns: Sequence[Sequence[str]], right: Sequence[bool], rules: Sequence[int] = (0,)) -> list[str]:
    """Lines of a table: heads, then rows. A cell may have several lines; it starts at the top of its row.

    right : per column, whether it stands at the right (numbers) or left (words); rules : rows with a rule above them
    """
    split = [[head, *column] for head, column in zip(heads, columns, strict=True)]
    widths = [max(len(line) for text in column for line in text.split("\n")) for column in split]
    rows = [_row(cells, widths, right) for cells in zip(*split, strict=True)]
    rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
    return [line for k, row in enumerate(rows, -1) for line in ([rule] if k in rules else []) + row]


def _row(cells: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> list[str]:
    """The lines of one row."""
    lines = zip_longest(*(cell.split("\n") for cell in cells), fillvalue="")
    pad = [str.rjust if r else str.ljust for r in right]
    return ["  ".join(f(text, w) for f, text, w in zip(pad, line, widths, strict=True)).rstrip() for line in lines]


def labelled(label: str, text: str, indent: int, width: int) -> list[str]:
    """`label:` and the text beside it, wrapped under itself."""
    first, rest = f"{label}:".ljust(indent), " " * indent
    lines = textwrap.wrap(_kept(text, width - indent), width, initial_indent=first, subsequent_indent=rest, break_on_hyphens=False)
    return [line.replace(HARD, " ") for line in lines]


def _kept(text: str, width: int) -> str:
    """Formulas in quotes with blanks at which no line is broken, where a line has room for them."""
    return FORMULA.sub(lambda found: found[0].replace(" ", HARD) if len(found[0]) <= width - 2 else found[0], text)


def wrapped(text: str, width: int) -> list[str]:
    """A paragraph as lines."""
    return textwrap.wrap(text, width, break_on_hyphens=False)


def broken(name: str, width: int) -> str:
    """A long name over several lines, broken after a colon or a blank where there is one.

    >>> broken("treatment[T.new]:visit", 18)
    'treatment[T.new]:\\nvisit'
    """
    lines = []
    while len(name) > width:
        cut = name.rfind(":", 0, width) + 1 or name.rfind(" ", 0, width) + 1 or width
        lines.append(name[:cut].rstrip())
        name = name[cut:]
    return "\n".join([*lines, name])


def counted(count: int, noun: str, plural: str = "") -> str:
    """A count with its noun.

    >>> counted(1, "row"), counted(2148, "row")
    ('1 row', '2148 rows')
    """
    return f"{count} {noun if count == 1 else plural or noun + 's'}"


def listed(items: Sequence[str], last: str = "and") -> str:
    """Items as a list in a sentence.

    >>> listed(["a", "b", "c"])
    'a, b and c'
    """
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} {last} {items[-1]}" if items else ""


def sized(sizes: NDArray[np.int64]) -> str:
    """Rows of clusters in words.

    >>> sized(np.array([4, 4, 4])), sized(np.array([1, 4, 4]))
    ('4 rows each', '1 to 4 rows, median 4')
    """
    low, middle, high = int(sizes.min()), float(np.median(sizes)), int(sizes.max())
    return f"{counted(low, 'row')} each" if low == high else f"{low} to {high} rows, median {middle:g}"


def extremes(sizes: NDArray[np.int64]) -> str:
    """Sizes of clusters in words.

    >>> extremes(np.array([1, 4, 4]))
    'sizes 1 to 4, median 4'
    """
    low, middle, high = int(sizes.min()), float(np.median(sizes)), int(sizes.max())
    return f"sizes {low} to {high}, median {middle:g}"
