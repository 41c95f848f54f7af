"""What the checks of a fit found, as text, HTML and a table: for each finding what was seen, what it does, what to do, its numbers.

findings -> sections -> text, HTML
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, final

import numpy as np

from ..diagnostics.check import CHECKS, Checked
from ..diagnostics.findings import SEVERITIES, Finding
from ..errors import GlimmError, suggest
from ..records import Record
from ..text import counted, figures, listed
from .html import fragment
from .plain import plain
from .sections import Column, Facts, Heading, Items, Paragraph, Section, Table
from .tables import from_columns
from .terminal import render

if TYPE_CHECKING:
    from ..plots.draw import Picture

WIDTH = 100
MOST_NUMBERS = 8


@final
@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The findings of `fit.check()`, most severe first. `print(diagnosis)` shows them, a notebook as HTML; it is also a sequence of them.

    findings : each with code, severity ("error", "warning", "note"), sentence, evidence, consequence and remedy
    codes : of the findings; table : one row per finding, in the caller's kind of frame; plot(code) : a picture, where a finding has one
    """

    model: str
    record: Record = field(repr=False)
    checked: Checked

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All of them."""
        return self.checked.findings

    @property
    def codes(self) -> tuple[str, ...]:
        """Code of each finding."""
        return tuple(f.code for f in self.findings)

    def __len__(self) -> int:
        return len(self.findings)

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.findings)

    def __getitem__(self, which: int | str) -> Finding:
        """A finding by its place or by its code; raises GlimmError for a code that was not found, IndexError for a place."""
        if not isinstance(which, str):
            return self.findings[which]
        for f in self.findings:
            if f.code == which:
                return f
        raise GlimmError(f"check: no finding {which!r}: {suggest(which, self.codes) if self.codes else 'nothing was found'}")

    @property
    def table(self) -> Any:
        """One row per finding: code, severity, sentence, consequence, remedy."""
        names = ("code", "severity", "sentence", "consequence", "remedy")
        return from_columns(self.record, {name: [getattr(f, name) for f in self.findings] for name in names})

    def plot(self, code: str | None = None) -> Picture:
        """A picture of what a finding saw; of the first that has one where no code is given.

        zero_variance : the profile of -2 log L over the standard deviation; outlying_clusters : all effects in order
        Raises GlimmError for a code that was not found and for findings without a picture: `fit.plot_check()` shows the residuals.
        """
        from ..plots.findings import draw, drawable  # type: ignore

        has = [f for f in self.findings if drawable(self.record, f)]
        found = self[code] if code is not None else (has[0] if has else None)
        if found is None or found not in has:
            what = f"{code!r} has no picture of its own" if found is not None else "no finding has a picture of its own"
            raise GlimmError(f"check: {what}: fit.plot_check() shows the residuals")
        return draw(self.record, found)

    @property
    def sections(self) -> tuple[Section, ...]:
        """What the text and the HTML come from."""
        return (Heading(f"Check of the fit: {total(self.findings)}", (self.model,)), *body(self.checked))

    def __str__(self) -> str:
        return render(self.sections, WIDTH)

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return fragment(self.sections)


def total(findings: tuple[Finding, ...]) -> str:
    """How many findings of each severity."""
    counts = {severity: sum(f.severity == severity for f in findings) for severity in SEVERITIES}
    return listed([counted(count, severity) for severity, count in counts.items() if count]) or "nothing found"


def body(checked: Checked) -> list[Section]:
    """Each finding, then what was looked at."""
    out: list[Section] = []
    for f in checked.findings:
        out.append(Heading(f"{f.severity.capitalize()}: {f.code}"))
        rows = [("seen", f.sentence), ("so", f.consequence), ("do", f.remedy)]
        if f.evidence and (said := numbers(f.evidence)):
            rows.append(("numbers", said))
        out.append(Facts(tuple(rows)))
        if f.shown:
            out.append(shown(f))
    out.append(Paragraph(f"Looked at: {'; '.join(CHECKS)}."))
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


def plain_findings(findings: tuple[Finding, ...]) -> Any:
    """The findings as dicts and lists, for machines."""
    names = ("code", "severity", "sentence", "consequence", "remedy", "evidence")
    return plain([{name: getattr(f, name) for name in names} for f in findings])
