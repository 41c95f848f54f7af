"""Covariances of a GEE for few clusters: M (sum U*U*') M with scores U* that allow for each cluster's own leverage.

M = C C', A_i = C'H_i C (p x p, its trace the leverage of cluster i). Mancl-DeRouen: M U* = C (I - A_i)^-1 C'U_i; Kauermann-Carroll:
(I - A_i)^-1/2. Fay-Graubard: diag{(1 - min(.75, (H_i M)_jj))^-1/2} U_i. Morel-Bokossa-Neerchal: k M B M + delta max(phi, tr(M B) / p) M.
Jackknife: (K - p) / K sum (b_(-i) - b)(b_(-i) - b)', by one step it is that multiple of Mancl-DeRouen.
Source: Mancl and DeRouen (2001), Biometrics 57, 126-134; Kauermann and Carroll (2001), J. Am. Stat. Assoc. 96, 1387-1396; Fay and Graubard
(2001), Biometrics 57, 1198-1206; Morel, Bokossa and Neerchal (2003), Biom. J. 45, 395-409; Paik (1988), Commun. Stat. Simul. 17, 1157-1171.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np

from ..design.clusters import row_codes
from ..design.records import Clusters, Design
from ..design.take import take_rows
from ..errors import GlimmError, GlimmWarning, suggest
from ..estimators.again import fit_near, trouble
from ..kernels import positive_definite
from ..kernels.matrix import Floats
from ..progress import Progress
from ..records import LevelsRecord
from ..text import counted, figures, listed
from .degrees_of_freedom import (
    ALONE,
    Clustered,
    Degrees,
    FayGraubard,
    PanWall,
    blocks,
    coordinates,
    fay_graubard_block,
    half,
    pieces,
    spectrum,
)

KINDS: Final = {
    "robust": "robust (sandwich)",
    "model": "model-based (trusts the working correlation)",
    "mancl_derouen": "robust (Mancl-DeRouen)",
    "kauermann_carroll": "robust (Kauermann-Carroll)",
    "fay_graubard": "robust (Fay-Graubard)",
    "morel": "robust (Morel-Bokossa-Neerchal)",
    "df": "robust (K / (K - p))",
    "jackknife": "robust (one-step jackknife)",
    "full_jackknife": "robust (jackknife)",
}
MODEL: Final = "model-based (trusts the working association)"
DF: Final = ("normal", "k_minus_p", "pan_wall", "fay_graubard")
FEW = 40
REMEDY = 'vcov="mancl_derouen"'
LEVERAGE = 0.5
MOST_LOST = 0.2


class Asked(NamedTuple):
    """What vcov= asks for: a covariance of KINDS, degrees of freedom of DF."""

    kind: str
    df: str


class Errors(NamedTuple):
    """work : (p, p), of the working coefficients; df : K - p, None for the normal; degrees : of each contrast, where they differ."""

    work: Floats
    label: str
    df: float | None
    degrees: Degrees | None
    notes: tuple[str, ...]


class Found(NamedTuple):
    """A covariance (p, p), the clusters that alone know a direction, and the leverage of each where it was worked out."""

    work: Floats
    alone: tuple[int, ...] = ()
    leverage: Floats | None = None


def asked_of(vcov: Any) -> Asked:
    """vcov= of a GEE, checked; raises GlimmError for another one."""
    if isinstance(vcov, Asked):
        return vcov
    if isinstance(vcov, Mapping):
        if "cluster" in vcov:
            raise GlimmError("vcov: the clusters of a GEE are its groups=: use vcov='robust', or a correction such as vcov='mancl_derouen'")
        if "type" not in vcov or not set(vcov) <= {"type", "df"}:
            raise GlimmError(
                f"vcov: a mapping has a 'type' and may have a 'df', {{'type': 'mancl_derouen', 'df': 'pan_wall'}}, not {dict(vcov)!r}"
            )
        kind, df = vcov["type"], vcov.get("df")
    else:
        kind, df = vcov, None
    if not isinstance(kind, str):
        raise GlimmError(f"vcov must be one of {', '.join(KINDS)} for a GEE, or {{'type': ..., 'df': ...}}, not {type(kind).__name__}")
    if kind not in KINDS:
        raise GlimmError(f"vcov={kind!r} is not a covariance of a GEE: {suggest(kind, KINDS)}")
    if df is None:
        df = "normal" if kind in ("robust", "model") else "k_minus_p"
    if not isinstance(df, str) or df not in DF:
        raise GlimmError(f"vcov: 'df' must be one of {', '.join(DF)}, not {df!r}")
    return Asked(kind, df)


def check_few(design: Design, asked: Asked, parameters: int | None = None) -> None:
    """Raises GlimmError for what needs more clusters than coefficients, or more rows; parameters : how many, where not one a column."""
    clusters, p = _clusters(design), parameters or design.mean.matrix.p
    k = len(clusters.levels)
    said = f"{counted(k, 'cluster')} of {clusters.name} and {counted(p, 'coefficient')}"
    instead = "use vcov='model', which sums over rows, or fewer predictors"
    if k <= p and asked.df != "normal":
        raise GlimmError(
            f"vcov={asked.kind!r}: a t reference has clusters - coefficients degrees of freedom, and there are {said}: {instead}"
        )
    if k <= p and asked.kind in ("df", "jackknife", "full_jackknife"):
        raise GlimmError(f"vcov={asked.kind!r}: its factor has clusters - coefficients in it, and there are {said}: {instead}")
    if asked.kind == "morel" and design.nobs <= p:
        raise GlimmError(
            f"vcov='morel': its factor has rows - coefficients in it, and there are {design.nobs} rows and {p} coefficients: {instead}"
        )


def errors_of(record: Clustered, vcov: Any) -> Errors:
    """Covariance, degrees of freedom and remarks.

    A cluster that alone knows a direction of the coefficients is a GlimmWarning that names it: that direction is left out.
    """
    asked, clusters = asked_of(vcov), _clusters(record.design)
    check_few(record.design, asked, len(record.bread))
    kind = MODEL if asked.kind == "model" and isinstance(record, LevelsRecord) else KINDS[asked.kind]
    label = kind + ("" if asked.kind == "model" else f" by {clusters.name}")
    found = _covariance(record, asked.kind)
    if found.alone:
        message = f"vcov={asked.kind!r}: {_alone(clusters, found.alone)}"
        warnings.warn(message, GlimmWarning, stacklevel=3)
    common = float(len(clusters.levels) - len(record.bread))
    degrees: Degrees | None = None
    if asked.df == "pan_wall":
        degrees = PanWall(_scores(record) @ record.bread, common)
    if asked.df == "fay_graubard":
        degrees = FayGraubard(record, common)
    return Errors(found.work, label, None if asked.df == "normal" else common, degrees, _notes(clusters, asked, found))


def _covariance(record: Clustered, kind: str) -> Found:
    bread = record.bread
    k, (n, p) = len(_clusters(record.design).levels), (record.design.nobs, len(bread))
    if kind == "model":
        return Found(record.scale * bread)
    if not positive_definite(bread):
        return Found(np.full_like(bread, np.nan))
    if kind in ("robust", "df", "morel"):
        scores = _scores(record)
        robust = _squares(scores @ bread)
        if kind == "morel":
            factor, delta = (n - 1.0) / (n - p) * k / (k - 1.0), p / (k - p) if k > 3 * p else 0.5
            trace = float(np.einsum("ki,ij,kj->", scores, bread, scores)) / p
            return Found(factor * robust + delta * max(record.scale, trace) * bread)
        return Found(robust if kind == "robust" else k / (k - p) * robust)
    if kind == "fay_graubard":
        moved = coordinates(record)[0] @ bread
        return Found(_squares(np.concatenate([fay_graubard_block(record, b).score @ moved for b in blocks(record)])))
    steps, alone, leverage = deletions(record, 0.5 if kind == "kauermann_carroll" else 1.0)
    if kind == "full_jackknife":
        steps = refits(record, steps)
    return Found((k - p) / k * _squares(steps) if "jackknife" in kind else _squares(steps), alone, leverage)


def deletions(record: Clustered, power: float) -> tuple[Floats, tuple[int, ...], Floats]:
    """C (I - A_i)^-power C'U_i (K, p): with power 1 what leaving out a cluster does in one Fisher step, b - b_(-i).

    Also the clusters with an eigenvalue of 1, whose direction is left out, and tr A_i (K,).
    """
    root = half(record)
    steps, alone, leverage = [], [], []
    for block in blocks(record):
        values, vectors = spectrum(block.curvature, root)
        left = 1.0 - values
        known = ~(left <= ALONE)
        grown = np.divide(1.0, left, out=np.zeros_like(left), where=known) ** power
        told = np.isfinite(block.score)  # not where a fit has left the numbers: NaN
        along = np.einsum("ka,kab->kb", np.where(told, block.score, 0.0) @ root, vectors) * grown
        along[~told.all(axis=1)] = np.nan
        steps.append(np.einsum("kb,kab->ka", along, vectors) @ root.T)
        alone += (block.first + np.flatnonzero(~known.all(axis=1))).tolist()
        leverage.append(values.sum(axis=1))
    return np.concatenate(steps), tuple(alone), np.concatenate(leverage)


def refits(record: Clustered, steps: Floats) -> Floats:
    """b - b_(-i) (K, p) of fits without each cluster, alpha and phi estimated again; that of one step where there is no fit."""
    there, clusters = coordinates(record)[1], _clusters(record.design)
    codes = row_codes(clusters)
    out, lost = steps.copy(), []
    with Progress("jackknife", len(steps), None) as bar:
        for i in range(len(steps)):
            bar.step()
            try:
                again = fit_near(record, take_rows(record.design, np.flatnonzero(codes != i)), None)
            except (GlimmError, np.linalg.LinAlgError):
                lost.append(i)
                continue
            if trouble(again):
                lost.append(i)
            else:
                out[i] = there @ (record.vector - again.vector)
    if len(lost) > MOST_LOST * len(steps):
        raise GlimmError(
            f"vcov='full_jackknife': without one cluster of {clusters.name} there was no fit in {len(lost)} of {len(steps)} cases: "
            "use vcov='jackknife', which takes one step from the estimates"
        )
    if lost:
        warnings.warn(
            f"vcov='full_jackknife': no fit without {_named(clusters, lost)}: one step from the estimates is taken instead",
            GlimmWarning,
            stacklevel=5,
        )
    return out


def _clusters(design: Design) -> Clusters:
    return next(iter(design.clusters.values()))


def _scores(record: Clustered) -> Floats:
    """(K, p) U_i."""
    return np.concatenate([u for _, u in pieces(record)])


def _squares(steps: Floats) -> Floats:
    """sum s s', which no rounding makes negative."""
    return np.asarray(steps.T @ steps)


def _named(clusters: Clusters, which: list[int] | tuple[int, ...]) -> str:
    shown = [repr(clusters.levels[i].item() if hasattr(clusters.levels[i], "item") else clusters.levels[i]) for i in which[:3]]
    return f"{clusters.name} {listed(shown)}" + (f" and {len(which) - 3} others" if len(which) > 3 else "")


def _alone(clusters: Clusters, which: tuple[int, ...]) -> str:
    return (
        f"{_named(clusters, which)} alone {'determines' if len(which) == 1 else 'determine'} a combination of coefficients, of whose error "
        "nothing can be known from other clusters: it is left out, and standard errors of coefficients that depend on it are too small"
    )


def _notes(clusters: Clusters, asked: Asked, found: Found) -> tuple[str, ...]:
    """What a summary says below its coefficients."""
    notes = []
    k = len(clusters.levels)
    if asked.kind == "robust" and k < FEW:
        way = f"{REMEDY} corrects them" if k > len(found.work) else f"for {len(found.work)} coefficients they are too few to correct"
        notes.append(f"{k} clusters, fewer than {FEW}: robust standard errors are too small; {way}")
    if found.alone:
        notes.append(_alone(clusters, found.alone))
    if found.leverage is not None and float(found.leverage.max(initial=0.0)) > LEVERAGE:
        heavy, p = np.flatnonzero(found.leverage > LEVERAGE), len(found.work)
        first = int(np.argmax(found.leverage))
        said = f"{_named(clusters, (first,))} has leverage {figures(float(found.leverage[first]), 2)} of {p} in all"
        more = f", and {len(heavy) - 1} more above {LEVERAGE:g}" if len(heavy) > 1 else ""
        notes.append(f"{said}{more}: corrections differ there")
    return tuple(notes)
