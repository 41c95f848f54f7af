"""Which log-likelihoods, AIC and BIC of several fits mean the same, and the others' reasons.

They do where the same responses have densities in the same units and both are by ML, or by REML with the same fixed part.
Source: Burnham and Anderson (2002), Model Selection and Multimodel Inference, section 2.11; Pinheiro and Bates (2000), section 2.4.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..estimators.control import Control
from ..estimators.glmm import fit_glmm
from ..estimators.points import affordable
from ..estimators.terms import ENTRIES
from ..family import LEVELS
from ..kernels.matrix import Floats
from ..records import AnyRecord, GlmRecord, MixedRecord, Record
from .criteria import criteria, criteria_errors, without_likelihood


@dataclass(frozen=True, slots=True)
class Criteria:
    """One fit's criteria.

    values : llf, aic, bic, empty where there are none, and llf_error, aic_error, bic_error where they are by Monte Carlo
    exact, near : positions of fits with which they may be compared, exactly or where one is by Laplace; why : the reason if there is none
    """

    values: Mapping[str, float]
    exact: tuple[int, ...]
    near: tuple[int, ...]
    why: str


def compared(records: Sequence[Record]) -> list[Criteria]:
    """The criteria of each fit; quadrature fits are brought to the largest number of points among them first."""
    records = same_points(records)
    out = []
    for k, record in enumerate(records):
        if why := without_likelihood(record):
            out.append(Criteria({}, (), (), why.partition(", so no")[0]))
            continue
        reasons = {j: differs(record, other) for j, other in enumerate(records) if j != k}
        alike = [j for j, reason in reasons.items() if not reason]
        exact = tuple(j for j in alike if laplace(record) == laplace(records[j]))
        said = dict.fromkeys(reason for reason in reasons.values() if reason)
        out.append(Criteria(criteria(record) | criteria_errors(record), exact, tuple(j for j in alike if j not in exact), "; ".join(said)))
    return out


def differs(a: Record, b: Record) -> str:
    """Why the likelihoods of two fits are not of the same thing; nothing where they are."""
    if without_likelihood(a) or without_likelihood(b):
        return "the other has no likelihood"
    if not np.array_equal(a.design.rows, b.design.rows):
        return "other rows"
    if not same(a.design.weights, b.design.weights):
        return "other weights"
    if measure(a) != measure(b) or not same_functions(a, b):
        return "densities in other units"
    if penalty(a) != penalty(b):
        return "another penalty, or none"
    if reml(a) != reml(b):
        return "REML against ML"
    if reml(a) and a.design.mean.names != b.design.mean.names:
        return "REML with other terms"
    return ""


def same(a: Floats | None, b: Floats | None) -> bool:
    """Whether weights agree; none is 1."""
    if a is None or b is None:
        given = b if a is None else a
        return given is None or bool(np.all(given == 1.0))
    return bool(np.array_equal(a, b))


def measure(record: Record) -> str:
    """What a density is over: counts, levels, numbers, or numbers with a point mass at zero; a user's own family says nothing of it."""
    if record.family.name in LEVELS:
        return "levels"
    if not isinstance(record.family.kernel, int):
        return f"family {record.family.name}"
    support = record.family.support
    return "counts" if support in ("binomial", "count") else "zero and numbers" if support == "nonnegative" else "numbers"


def same_functions(a: AnyRecord, b: AnyRecord) -> bool:
    """Whether users' own densities are one and the same; built-in ones are."""
    mine, theirs = (getattr(record.family.kernel, "given", None) for record in (a, b))
    return mine is theirs or mine == theirs


def penalty(record: Record) -> str:
    """The penalty of a GLM; nothing for other fits."""
    return record.penalty if isinstance(record, GlmRecord) else ""


def reml(record: AnyRecord) -> bool:
    """Whether the likelihood is the restricted one."""
    return isinstance(record, MixedRecord) and record.reml


def laplace(record: AnyRecord) -> bool:
    """Whether the likelihood is an approximation that more points do not mend."""
    return isinstance(record, MixedRecord) and record.points == 1


def same_points(records: Sequence[Record]) -> list[Record]:
    """Fits by quadrature over one term, refitted with the largest number of points among them, where that can be afforded."""
    able = [r for r in records if isinstance(r, MixedRecord) and r.points >= 1 and len(r.design.mean.random) == 1]
    able = [r for r in able if r.design.mean.random[0].structure in ENTRIES]
    most = max((r.points for r in able), default=0)
    out = []
    for record in records:
        if isinstance(record, MixedRecord) and any(record is r for r in able) and record.points < most:
            q = len(record.design.mean.random[0].names)
            points = max((p for p in (most, *(r.points for r in able)) if affordable(p, q)), default=record.points)
            if points > record.points:
                record = replace(fit_glmm(record.design, record.family, points, Control(), record), call=record.call)
        out.append(record)
    return out
