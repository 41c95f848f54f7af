"""What the checks of a fit found, in sections: for each finding what was seen, what it does, what to do, its numbers.

findings -> sections -> text, HTML
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..diagnostics.check import Checked
from ..diagnostics.findings import SEVERITIES, Finding
from ..text import counted, figures, listed
from .sections import Column, Facts, Heading, Items, Paragraph, Section, Table

MOST_NUMBERS = 8


def total(findings: tuple[Finding, ...]) -> str:
    """How many findings of each severity."""
    counts = {severity: sum(f.severity == severity for f in findings) for severity in SEVERITIES}
    return listed([counted(count, severity) for severity, count in counts.items() if count]) or "nothing found"


def body(checked: Checked) -> list[Section]:
    """Each finding, then what was looked at."""
    out: list[Section] = []
    tables: list[tuple[tuple[str, ...], ...]] = []
    for f in checked.findings:
        out.append(Heading(f"{f.severity.capitalize()}: {f.code}"))
        rows = [("seen", f.sentence), ("so", f.consequence), ("do", f.remedy)]
        if f.evidence and (said := numbers(f.evidence)):
            rows.append(("numbers", said))
        out.append(Facts(tuple(rows)))
        if f.shown and f.shown not in tables:
            tables.append(f.shown)
            out.append(shown(f))
    out.append(Paragraph(f"Looked at: {'; '.join(checked.looked)}."))
    if checked.skipped:
        out.append(Items(tuple(f"Not looked at: {text}." for text in checked.skipped)))
    return out


def shown(finding: Finding) -> Table:
    """A finding's table: words in the first column, numbers in the others."""
    heads, *rows = finding.shown
    columns = list(zip(*rows, strict=True))
    first, *others = (
        Column(head, tuple(cells), "words" if k == 0 else "number") for k, (head, cells) in enumerate(zip(heads, columns, strict=True))
    )
    return Table(finding.code, (first, *others))


def numbers(evidence: Mapping[str, Any]) -> str:
    """Evidence in a line: its numbers by name, lists and mappings by their first entries."""
    return ", ".join(f"{name.replace('_', ' ')} {text}" for name, value in evidence.items() if (text := _value(value)))


def _value(value: Any) -> str:
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, int | np.integer):
        return str(value)
    if isinstance(value, float | np.floating):
        return figures(float(value))
    if isinstance(value, Mapping):
        return "; ".join(f"{k} = {_value(v)}" for k, v in list(value.items())[:MOST_NUMBERS]) + (
            " ..." if len(value) > MOST_NUMBERS else ""
        )
    if isinstance(value, list | tuple):
        return ", ".join(_value(v) for v in value[:MOST_NUMBERS]) + (" ..." if len(value) > MOST_NUMBERS else "")
    return str(value)


def short(findings: tuple[Finding, ...]) -> list[tuple[str, str]]:
    """Label and words for a summary: errors and warnings; of what the solution's line says already, what to do."""
    rows = [
        ("to do", f"{f.remedy} ({f.code})") if f.told else (f.severity, f"{f.sentence} ({f.code})")
        for f in findings
        if f.severity != "note"
    ]
    return [*rows, ("more", "fit.check() says what this does to the results and what to do")] if rows else []
