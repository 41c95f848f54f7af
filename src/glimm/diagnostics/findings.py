"""A finding: what was seen in these data, what it does to the results, what to do.

Every check gives findings or nothing; `CODES` names all that there are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

Severity = Literal["error", "warning", "note"]

SEVERITIES: Final[dict[Severity, str]] = {
    "error": "these numbers are not to be used",
    "warning": "some numbers may mislead",
    "note": "good to know; the numbers stand",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding.

    code : a stable name, with a page of its own in the documentation; severity : a key of `SEVERITIES`
    sentence : what was seen; evidence : the numbers behind it, by name; consequence : what it does to the results; remedy : what to do
    weight : rank among findings of one severity, the largest first
    shown : a table to show with it, rows of words, the first of them heads; told : the solution's sentence says what was seen already
    """

    code: str
    severity: Severity
    sentence: str
    consequence: str
    remedy: str
    evidence: Mapping[str, Any] = field(default_factory=dict)
    weight: float = 0.0
    shown: tuple[tuple[str, ...], ...] = ()
    told: bool = False

    def __str__(self) -> str:
        return f"{self.severity}: {self.sentence} ({self.code})"


def ranked(findings: list[Finding]) -> tuple[Finding, ...]:
    """Errors, then warnings, then notes; inside each the weightiest first."""
    order = list(SEVERITIES)
    return tuple(sorted(findings, key=lambda f: (order.index(f.severity), -f.weight)))
