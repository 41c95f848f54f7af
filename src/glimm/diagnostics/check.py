"""All checks of one fit: what was found, most severe first, and what could not be looked at.

record -> sight -> findings
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from ..estimators.conditional import too_many
from ..records import GeeRecord, GlmRecord, Record
from .clusters import clusters
from .findings import Finding, ranked
from .losses import find
from .predictors import predictors
from .responses import responses
from .search import search
from .sight import MOST_EFFECTS, Sight
from .variances import variances

Check = Callable[[Sight], Iterator[Finding]]

CHECKS: Final[dict[str, Check]] = {
    "the search and its Hessian": search,
    "random effects": variances,
    "predictors": predictors,
    "clusters and time": clusters,
    "the response and its family": responses,
    "rows left out": lambda sight: iter(find(sight.record)),
}

IMPLIED: Final = {"informative_cluster_size": {"dropout_follows_responses", "losses_follow_responses"}}
"""What is only another face of a finding that is there: clusters are short because rows were lost or they ended early."""


@dataclass(frozen=True, slots=True)
class Checked:
    """findings : ranked; skipped : what was too large to be looked at, in words; looked : what was looked at."""

    findings: tuple[Finding, ...]
    skipped: tuple[str, ...] = ()
    looked: tuple[str, ...] = tuple(CHECKS)


def check(record: Record, vcov: Any = "model") -> Checked:
    """Every check of a fit."""
    sight = Sight(record, vcov)
    found = [finding for run in CHECKS.values() for finding in run(sight)]
    codes = {f.code for f in found}
    kept = [f for f in found if not codes & IMPLIED.get(f.code, set())]
    return Checked(ranked(kept), tuple(skipped(sight)), looked(record))


def looked(record: Record) -> tuple[str, ...]:
    """The checks that a model of this kind has something for: a GEE has no Hessian, and only a mixed model random effects."""
    without = {GlmRecord: {"random effects"}, GeeRecord: {"random effects", "the search and its Hessian"}}.get(type(record), set())
    first = ("the search",) if isinstance(record, GeeRecord) else ()
    return (*first, *(name for name in CHECKS if name not in without))


def skipped(sight: Sight) -> Iterator[str]:
    """What needs more than there is room for."""
    if sight.mixed is not None and sight.posterior is None:
        what = "outlying clusters" if sight.linear else "outlying clusters, dispersion and zeros"
        unknown = too_many(sight.mixed)
        if unknown:
            yield f"{what}: conditional variances need a factorisation of {unknown:,} crossed effects, which the fit did without"
        else:
            yield f"{what}: more than {MOST_EFFECTS} random effects, whose conditional variances take longer than the fit"
    if sight.record.design.weights is not None and sight.record.family.scale_known:
        yield "dispersion and zeros: weights multiply the log-likelihood of this family, and change no variance that could be compared"
