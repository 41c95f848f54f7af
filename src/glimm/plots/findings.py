"""Pictures of findings: the profile of -2 log L over a standard deviation; all effects of a grouping in order of size.

finding -> Profiled | Ordered -> picture
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..diagnostics.findings import Finding
from ..estimators.conditional import conditional_variances
from ..estimators.held import profile
from ..kernels.matrix import Floats
from ..records import MixedRecord, Record
from ..text import counted, figures
from .picture import require_matplotlib

if TYPE_CHECKING:
    from .draw import Picture

PLACES = 13
BEYOND = 1.35
MOST_LEVELS = 400


@dataclass(frozen=True, slots=True)
class Profiled:
    """Rises of -2 log L (g,) over standard deviations (g,), with the rise and the sd at the 95 % limit."""

    name: str
    sd: Floats
    rise: Floats
    limit: float
    at: float


@dataclass(frozen=True, slots=True)
class Ordered:
    """Effects (J,) in order of size with standard errors, names of levels, and which of them are named in the picture."""

    name: str
    effects: Floats
    errors: Floats
    levels: tuple[str, ...]
    named: tuple[int, ...]


def drawable(record: Record, finding: Finding) -> bool:
    """Whether a finding has a picture."""
    if not isinstance(record, MixedRecord):
        return False
    return (finding.code == "zero_variance" and "upper_limit" in finding.evidence) or finding.code == "outlying_clusters"


def draw(record: Record, finding: Finding) -> Picture:
    """The picture of a finding; raises ImportError where matplotlib is missing."""
    require_matplotlib()
    from . import draw_findings

    assert isinstance(record, MixedRecord)
    if finding.code == "zero_variance":
        return draw_findings.profiled(profiled(record, finding))
    return draw_findings.ordered(ordered(record, finding))


def profiled(record: MixedRecord, finding: Finding) -> Profiled:
    """-2 log L at standard deviations from zero to beyond its limit."""
    (effect,) = finding.evidence["effects"]
    k, term = next(
        (k, t) for k, t in enumerate(record.design.mean.random) if effect in t.names and f"{t.group}.{effect}" in record.solution.active
    )
    found = profile(record, k, term.names.index(effect))
    assert found is not None
    at = float(finding.evidence["upper_limit"])
    sd = np.linspace(0.0, BEYOND * at, PLACES)
    rise = np.array([0.0, *(found.rise(float(v)) for v in sd[1:])])
    return Profiled(f"{term.group}, {effect}", sd, rise, float(finding.evidence["rise"]), at)


def ordered(record: MixedRecord, finding: Finding) -> Ordered:
    """The effects of the grouping in which the outlying ones are."""
    variances = conditional_variances(record)
    level = finding.evidence["levels"][0]
    k, term = next((k, t) for k, t in enumerate(record.design.mean.random) if t.group == finding.evidence["group"])
    j = next(j for j, name in enumerate(term.levels) if str(name) == level)
    spread = np.abs(record.effects[k]) / np.maximum(np.linalg.norm(record.roots[k], axis=1), 1e-300)
    a = int(np.argmax(spread[j]))
    order = np.argsort(record.effects[k][:, a], kind="stable")
    if len(order) > MOST_LEVELS:
        end = MOST_LEVELS // 4
        middle = order[end:-end]
        order = np.concatenate([order[:end], middle[:: -(-len(middle) // (2 * end))], order[-end:]])
    outlying = set(finding.evidence["levels"])
    named = tuple(int(p) for p, i in enumerate(order) if str(term.levels[i]) in outlying)
    return Ordered(
        f"{term.names[a]} of {term.group}",
        record.effects[k][order, a],
        np.sqrt(variances[k][order, a, a]),
        tuple(str(term.levels[i]) for i in order),
        named,
    )


def words_of_profile(p: Profiled) -> tuple[str, str]:
    """Title and sentence."""
    return (
        f"How large may the standard deviation of {p.name} be?",
        f"-2 log L with it held there and everything else estimated again; the estimate is 0, and up to {figures(p.at, 3)} the likelihood "
        "is within 3.84 of its maximum (95 %).",
    )


def words_of_order(o: Ordered) -> tuple[str, str]:
    """Title and sentence."""
    said = "is" if len(o.named) == 1 else "are"
    return (
        f"Predicted effects: {o.name}",
        f"{counted(len(o.effects), 'level')} in order, with twice their conditional standard errors; "
        f"{', '.join(o.levels[p] for p in o.named)} "
        f"{said} further out than so many normal effects would be.",
    )
