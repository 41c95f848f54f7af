"""What `fit.check()` gives: findings as a sequence, as text, HTML, a table and pictures. A thin face over the room diagnostics/."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, final

from .diagnostics.check import Checked
from .diagnostics.findings import Finding
from .errors import GlimmError, suggest
from .output.diagnosis import body, total
from .output.html import fragment
from .output.sections import Heading, Section
from .output.tables import from_columns
from .output.terminal import render
from .records import LevelsRecord, Record

if TYPE_CHECKING:
    from .plots.draw import Picture

WIDTH = 100


@final
@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The findings of `fit.check()`, most severe first. `print(diagnosis)` shows them, a notebook as HTML; it is also a sequence of them.

    findings : each with code, severity ("error", "warning", "note"), sentence, evidence, consequence and remedy
    codes : of the findings; table : one row per finding, in the caller's kind of frame; plot(code) : a picture, where a finding has one
    """

    model: str
    record: Record | LevelsRecord = field(repr=False)
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
        from .plots.findings import draw, drawable

        if isinstance(self.record, LevelsRecord):
            raise GlimmError(f"check: findings about family {self.record.family.name!r} have no pictures")
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
