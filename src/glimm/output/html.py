"""Sections as HTML: tables with headed rows and columns, every word of the user's escaped, one style for light and dark pages.

The style is inside: no colour but shades of the page's own, nothing from outside.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape

from .sections import Code, Column, Facts, Heading, Items, Lines, Paragraph, Section, SideBySide, Table
from .terminal import aligned

STYLE = """
.glimm{max-width:64em;line-height:1.45;color:inherit}
.glimm .title{font-weight:600;font-size:1.15em;margin:.2em 0 .5em}
.glimm p,.glimm ul{margin:.6em 0;max-width:46em}
.glimm ul{padding-left:1.2em}
.glimm li{margin:.25em 0}
.glimm .wide{overflow-x:auto;margin:.7em 0}
.glimm table{border-collapse:collapse;border:0;margin:0;font-size:.95em;color:inherit;width:auto;table-layout:auto}
.glimm tr,.glimm tbody tr:nth-child(odd),.glimm tbody tr:hover{background:none!important;border:0}
.glimm th,.glimm td{padding:.22em .75em;border:0;text-align:left;vertical-align:top;font-weight:400;white-space:normal;max-width:none}
.glimm th:first-child{padding-left:.1em}
.glimm thead th{font-weight:600;vertical-align:bottom}
.glimm thead tr:last-child th,.glimm thead tr:last-child td{border-bottom:1px solid rgba(127,127,127,.75)}
.glimm tbody+tbody tr:first-child>*{border-top:1px solid rgba(127,127,127,.45)}
.glimm tbody:last-child tr:last-child>*{border-bottom:1px solid rgba(127,127,127,.75)}
.glimm .num{text-align:right;font-variant-numeric:tabular-nums lining-nums;white-space:nowrap}
.glimm .note{font-size:.9em;opacity:.8;margin:.35em 0 .6em}
.glimm table.facts th{opacity:.72;white-space:nowrap;padding-right:1.2em}
.glimm table.facts tbody:last-child tr:last-child>*{border-bottom:0}
.glimm table.side th,.glimm table.side td{min-width:8.5em}
.glimm table.side thead th,.glimm table.side td.num{text-align:left}
.glimm pre{overflow-x:auto;margin:.6em 0 .6em 1.2em}
.glimm .limits{opacity:.72;font-size:.92em}
"""

MINUS = re.compile(r"(?<![\w.)])-(?=\d|inf)")
NUMBER = re.compile(r"-?(\d[\d.]*(e[+-]?\d+)?|inf)")


def fragment(sections: Sequence[Section]) -> str:
    """A piece of HTML with its style, for a notebook.

    >>> "<b>" in fragment([Paragraph("a column called <b>")])
    False
    """
    return f'<div class="glimm"><style>{STYLE}</style>\n{body(sections)}\n</div>'


def body(sections: Sequence[Section]) -> str:
    """The sections, without style."""
    return "\n".join(part for part in map(of, sections) if part)


def of(section: Section) -> str:
    """One section."""
    match section:
        case Heading(text, under):
            lines = "<br>\n".join(map(words, under))
            return f'<div class="title" role="heading" aria-level="3">{words(text)}</div>' + (f"\n<p>{lines}</p>" if lines else "")
        case Facts(rows):
            return facts(rows)
        case Lines(lines):
            return facts([pair for line in lines for pair in line])
        case Table():
            return columns(section)
        case SideBySide():
            return side_by_side(section)
        case Paragraph(text):
            return f"<p>{words(text)}</p>"
        case Items(sentences):
            return "<ul>\n" + "\n".join(f"<li>{words(s)}</li>" for s in sentences) + "\n</ul>" if sentences else ""
        case Code(text):
            return f"<pre><code>{words(text)}</code></pre>"


def words(text: str) -> str:
    """Words as they are, escaped."""
    return escape(text, quote=True)


def numeral(text: str) -> str:
    """A number as it is printed: with a minus sign, which is read out, and spaces of a digit's width where it was padded."""
    held = text.lstrip(" ")
    bare = held.rstrip(" ")
    pad = len(held) - len(bare)
    return escape(MINUS.sub("\N{MINUS SIGN}", bare)) + ("\N{PUNCTUATION SPACE}" + "\N{FIGURE SPACE}" * (pad - 1) if pad else "")


def facts(rows: Sequence[tuple[str, str]]) -> str:
    """Labels as headers of rows, the words beside them; words without a label stand alone."""
    labelled = [(label, text) for label, text in rows if label]
    alone = "".join(f"<p>{words(text)}</p>" for label, text in rows if not label)
    if not labelled:
        return alone
    shown = "\n".join(f'<tr><th scope="row">{words(label)}</th><td>{of_fact(text)}</td></tr>' for label, text in labelled)
    return f'<table class="facts"><tbody>\n{shown}\n</tbody></table>{alone}'


def of_fact(text: str) -> str:
    """A fact, with a minus sign where it is a number."""
    return numeral(text) if NUMBER.fullmatch(text) else words(text)


def columns(section: Table) -> str:
    """A table with a header for each column and for each row, and its notes."""
    heads = "".join(f'<th scope="col"{numeric(column)}>{words(column.head)}</th>' for column in section.columns)
    shown = [aligned(column) for column in section.columns[1:]]
    rows = []
    for k, name in enumerate(section.columns[0].cells):
        cells = "".join(cell(column, texts[k]) for column, texts in zip(section.columns[1:], shown, strict=True))
        rows.append(f'<tr><th scope="row">{of_fact(name)}</th>{cells}</tr>')
    table = (
        f'<table aria-label="{words(section.name)}">\n<thead><tr>{heads}</tr></thead>\n<tbody>\n' + "\n".join(rows) + "\n</tbody></table>"
    )
    notes = "".join(f'\n<p class="note">{words(note)}</p>' for note in section.notes)
    return f'<div class="wide">{table}</div>{notes}'


def numeric(column: Column) -> str:
    """The class of a column of numbers."""
    return "" if column.kind == "words" else ' class="num"'


def cell(column: Column, text: str) -> str:
    """A cell of a table: words, a number, or the two numbers of an interval."""
    if column.kind == "words":
        return f"<td>{words(text)}</td>"
    if column.kind == "interval" and " to " in text:
        return f'<td class="num">{" to ".join(numeral(limit) for limit in text.split(" to "))}</td>'
    return f'<td class="num">{numeral(text)}</td>'


def side_by_side(section: SideBySide) -> str:
    """One column per fit, a body of rows per group; estimates over their intervals."""
    corner = "<br>".join(map(words, section.corner.split("\n")))
    heads = "".join(f'<th scope="col">{words(head)}</th>' for head in section.heads)
    groups = []
    for group in section.groups:
        rows = [f'<tr><th scope="row">{words(label)}</th>{"".join(map(side_cell, cells))}</tr>' for label, cells in group]
        groups.append("<tbody>\n" + "\n".join(rows) + "\n</tbody>")
    table = f'<table class="side" aria-label="fits side by side">\n<thead><tr><th scope="col">{corner}</th>{heads}</tr></thead>\n'
    return f'<div class="wide" tabindex="0" role="region" aria-label="fits side by side">{table}' + "\n".join(groups) + "</table></div>"


def side_cell(text: str) -> str:
    """A cell of a comparison: an estimate over its limits, a number, or words."""
    if "\n" in text:
        estimate, limits = (MINUS.sub("\N{MINUS SIGN}", escape(part)) for part in text.split("\n"))
        return f'<td class="num">{estimate}<br><span class="limits">{limits}</span></td>' if estimate else "<td></td>"
    return f'<td class="num">{numeral(text)}</td>' if NUMBER.fullmatch(text) else f"<td>{words(text)}</td>"
