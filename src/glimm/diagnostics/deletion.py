"""What each row or cluster does to a fit: the estimates with it minus those without it.

Cook's distance (beta - beta_(u))'V^-1 (beta - beta_(u)) / p, dfbetas (beta - beta_(u)) / se, V and se of the whole fit.
Source: Cook (1977), Technometrics 19, 15-18; Belsley, Kuh and Welsch (1980), Regression Diagnostics.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..covariance.layout import theta_names
from ..design.clusters import contains, row_codes
from ..design.coordinates import to_named
from ..design.records import Clusters
from ..errors import GlimmError, GlimmWarning, suggest
from ..estimators.control import Control
from ..inference.covariance import Inference
from ..kernels import inverse_or_nan
from ..kernels.matrix import Floats, Ints
from ..progress import Progress
from ..records import GeeRecord, GlmRecord, MixedRecord, Record
from .left_out import refits
from .one_step import Moved, gee_step, glm_step, mixed_step
from .one_step_linear import linear_step
from .units import Units, find_units, lost_units

METHODS = ("one_step", "refit")
SHOWN = 5
LARGEST = 1e100


@dataclass(frozen=True, slots=True)
class Deletion:
    """Influence of K units on p coefficients and m further parameters.

    by : "row", or what the units are levels of; units : (K,) row numbers or levels; rows : (K,) rows in each; terms : (p,) names
    cooks : (K,); dfbetas : (K, p); others : (m,) names; changes : (K, m) of them; leverage : (K,) of a GLM's units, a GEE's clusters
    single : the units are rows; lost : units without which there is no such model, NaN in all columns, each with the reason
    """

    by: str
    method: str
    units: NDArray[Any]
    rows: Ints
    terms: tuple[str, ...]
    cooks: Floats
    dfbetas: Floats
    others: tuple[str, ...]
    changes: Floats
    leverage: Floats | None
    lost: dict[Any, str]
    single: bool = False

    def columns(self, errors: Floats | None = None) -> dict[str, Any]:
        """As columns of a table; errors : (p,) standard errors that dfbetas are multiplied by, for moves of the coefficients themselves."""
        name = f"{self.by}_" if self.by in ("rows", "cooks_distance", "leverage") else self.by
        out: dict[str, Any] = {name: self.units, "rows": self.rows, "cooks_distance": self.cooks}
        if self.leverage is not None:
            out["leverage"] = self.leverage
        if errors is None:
            out |= {f"dfbetas_{term}": self.dfbetas[:, k] for k, term in enumerate(self.terms)}
        else:
            out |= {f"dfbeta_{term}": errors[k] * self.dfbetas[:, k] for k, term in enumerate(self.terms)}
        return out | {f"change_{other}": self.changes[:, k] for k, other in enumerate(self.others)}


def influence(
    record: Record, inference: Inference, by: Any, method: str, threads: int | None, progress: bool | None, level: int = 3
) -> Deletion:
    """The influence of every unit; see `fit.influence`. level : frames up to the caller, for the warning of units that are lost."""
    if method not in METHODS:
        raise GlimmError(f"influence: method={method!r} is not there: {suggest(method, METHODS)}")
    if record.solution.code in ("not_converged", "separated"):
        warnings.warn(f"influence: of a fit that is not to be used as it is: {record.solution.message}", GlimmWarning, stacklevel=level)
    units = find_units(record, by)
    if len(units.levels) < 2:
        raise GlimmError(f"influence: {units.name!r} has a single level in the rows used: nothing would be left without it")
    control = Control(threads=threads)
    if isinstance(record, GeeRecord):
        record = _timed(record, units, method)
    own: dict[str, Clusters] = dict(record.design.clusters) if isinstance(record, GeeRecord) else {}
    lost = lost_units(record.design, units, own, control.n_threads)
    with Progress("influence", len(units.levels), progress) as bar:
        moved = refits(record, units, lost, control, bar) if method == "refit" else _one_step(record, units, bar)
    lost = {u: (moved.lost | lost)[u] for u in sorted(moved.lost | lost)}
    found = _deletion(record, inference, units, method, moved, lost)
    if not np.isfinite(inverse_or_nan(inference.work)).all():
        words = f"influence: Cook's distance is NaN: the covariance of the coefficients ({inference.label}) is singular"
        warnings.warn(words, GlimmWarning, stacklevel=level)
    if lost:
        warnings.warn(_said(found), GlimmWarning, stacklevel=level)
    return found


def _one_step(record: Record, units: Units, bar: Progress) -> Moved:
    if isinstance(record, GlmRecord):
        return glm_step(record, units)
    if isinstance(record, GeeRecord):
        return gee_step(record, units)
    if not np.isfinite(record.curvature).all():
        raise GlimmError("influence: the log-likelihood of the fit has no curvature at the estimates to step along: use method='refit'")
    return linear_step(record, units, bar) if record.linear else mixed_step(record, units, bar)


def _timed(record: GeeRecord, units: Units, method: str) -> GeeRecord:
    """Rows of a cluster keep their places in time when one of them is left out; those of R's gee, which refits by position, in one step."""
    name, clusters = next(iter(record.design.clusters.items()))
    by_position = record.moments == "gee" and method == "one_step"
    if (
        record.corr in ("independence", "exchangeable", "odds_ratio")
        or (clusters.time is not None and not by_position)
        or clusters.inner is not None
        or contains(units.codes, row_codes(clusters))
    ):
        return record
    if by_position:
        record = replace(record, moments="standard")
    time = np.empty(record.design.n)
    time[clusters.order] = np.arange(record.design.n) - np.repeat(clusters.starts[:-1], clusters.sizes) + 1.0
    return replace(record, design=replace(record.design, clusters={**record.design.clusters, name: replace(clusters, time=time)}))


def _deletion(record: Record, inference: Inference, units: Units, method: str, moved: Moved, lost: dict[int, str]) -> Deletion:
    gone = np.array(list(lost), dtype=np.int64)
    step = moved.beta.copy()
    step[gone] = np.nan
    p = step.shape[1]
    precision = inverse_or_nan(inference.work)
    if np.nanmax(np.abs(step), initial=0.0) * np.sqrt(np.abs(precision).max(initial=0.0)) > LARGEST:
        precision = np.full_like(precision, np.nan)  # a covariance that separation has left no numbers
    with np.errstate(divide="ignore", invalid="ignore"):
        cooks = np.einsum("ki,ij,kj->k", step, precision, step, optimize=True) / max(p, 1)
        dfbetas = -(step @ to_named(record.design.mean).T) / inference.bse
    names, values = _others(record)
    changes = values - moved.others
    changes[gone] = np.nan
    return Deletion(
        by=units.name,
        method=method,
        units=units.levels,
        rows=units.sizes,
        terms=inference.names,
        cooks=cooks,
        dfbetas=dfbetas,
        others=names,
        changes=changes,
        leverage=moved.leverage,
        lost={units.levels[u]: reason for u, reason in lost.items()},
        single=units.single,
    )


def _others(record: Record) -> tuple[tuple[str, ...], Floats]:
    """Names and values of the parameters of a mixed model beside its coefficients."""
    if not isinstance(record, MixedRecord):
        return (), np.zeros(0)
    theta = tuple(name for term in record.design.mean.random for name in theta_names(term.structure, term.names, term.group))
    values = record.vector[record.blocks["theta"]]
    if record.linear:
        return (*theta, "sigma"), np.append(values, np.sqrt(record.scale))
    return (*theta, *record.family.estimated), np.append(values, record.family.natural(record.vector[record.blocks["family"]])[0])


def _said(found: Deletion) -> str:
    """The sentence about units that are lost."""
    names = [str(name) for name in found.lost]
    listed = ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
    reasons = list(dict.fromkeys(found.lost.values()))
    more = f" (of others: {reasons[1]})" if len(reasons) > 1 else ""
    counted = f"{len(names)} of {len(found.units)} units are NaN ({found.by} {listed})"
    return f"influence: {counted}. Without {found.by} {names[0]}: {reasons[0]}{more}"
