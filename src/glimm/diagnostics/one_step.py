"""One Newton step from the estimates to those without a unit: x_(u) = x + H_(u)^-1 s_(u).

s_(u), H_(u) : score and curvature of the rows that stay, as the whole's (score 0) minus the touched blocks' plus what stays of these.
GLM by row: beta - beta_(i) = M x_i d_i / (1 - h_i) (Pregibon 1981, Ann. Stat. 9, 705-724; Williams 1987, Appl. Stat. 36, 181-191),
exact for gaussian with identity link. Clusters of GLM and GEE: Preisser and Qaqish (1996), Biometrika 83, 551-562.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from ..covariance.layout import Curve, Shapes, total
from ..design.clusters import contains, occasions, row_codes
from ..design.coordinates import to_working
from ..design.records import Design
from ..design.take import take_rows
from ..errors import GlimmError, NotYetError
from ..estimators import gee as gee_estimator
from ..estimators import glm as glm_estimator
from ..estimators.control import Control
from ..estimators.engines import mixed_engine
from ..estimators.gee import equations_of
from ..estimators.linear_engines import only
from ..estimators.mixed_engines import OneFactor, any_design, most_moves
from ..estimators.points import rule
from ..estimators.scores import outermost
from ..estimators.terms import Effects, one_factor, reported, reported_many, working_effects
from ..kernels import inverse, inverse_or_nan, positive_definite
from ..kernels.matrix import Codes, Floats, Ints
from ..progress import Progress
from ..records import GeeRecord, GlmRecord, MixedRecord
from .units import Units, pairs_of, remains, summed, working_matrix

FLAT = 1e-8
DIFFERENCE = 1e-2
NO_CURVE = "the rows that stay have no curvature at the estimates, use method='refit'"

Pieces = Callable[[Design], tuple[Floats, Floats, Codes]]


@dataclass(frozen=True, slots=True)
class Moved:
    """beta : (K, p) working coefficients without the unit minus with it; others : (K, m) further parameters without it, as named
    leverage : (K,) of rows of a GLM, and of clusters; lost : units that have none, and why."""

    beta: Floats
    others: Floats
    leverage: Floats | None = None
    lost: dict[int, str] = field(default_factory=dict)


def glm_step(record: GlmRecord, units: Units) -> Moved:
    """Rows by their leverages, other units by their information."""
    if not record.family.orthogonal:
        own = f" and {', '.join(record.family.estimated)}" if record.family.free else ""
        raise NotYetError(
            f"influence: one step is not there for family {record.family.name!r}, whose coefficients{own} are estimated together: "
            "use method='refit'"
        )
    if record.penalty:
        raise NotYetError(f"influence: one step is not there for a fit with penalty={record.penalty!r}: use method='refit'")
    nothing = np.zeros((len(units.levels), 0))
    d1, w = glm_estimator.row_terms(record)
    x = working_matrix(record.design)
    if units.single:
        h = w * np.einsum("ij,jk,ik->i", x, record.bread, x, optimize=True)
        left = np.where(1.0 - h > 1e-10, 1.0 - h, np.nan)
        return Moved(-(x * (d1 / left)[:, None]) @ record.bread, nothing, h)
    score = summed(x, d1[:, None], units.order, units.starts)[:, :, 0]
    curvature = summed(x * w[:, None], x, units.order, units.starts)
    step, lost = solved(inverse_or_nan(record.bread)[None] - curvature, -score)
    return Moved(step, nothing, traces(record.bread, curvature), lost)


def gee_step(record: GeeRecord, units: Units) -> Moved:
    """The estimating equations of the clusters that a unit touches, with and without it; alpha as estimated."""
    name = next(iter(record.design.clusters))
    beta = to_working(record.design.mean, record.vector)
    scope = occasions(record.clusters, record.moments)

    def pieces(design: Design) -> tuple[Floats, Floats, Codes]:
        clusters = design.clusters[name]
        found = equations_of(record, design, name, scope=scope).at(beta, record.alpha, scores=True, curvatures=True)
        assert found.scores is not None
        assert found.curvatures is not None
        return found.scores, found.curvatures, row_codes(clusters).astype(np.int32)

    step, lost = rest_step(record.design, units, inverse_or_nan(record.bread), pieces)
    return Moved(step, np.zeros((len(step), 0)), cluster_leverages(record, units), lost)


def traces(bread: Floats, curvature: Floats) -> Floats:
    """(K,) tr(H_i M) of H_i (K, p, p)."""
    return np.asarray(np.einsum("ij,kji->k", bread, curvature))


def cluster_leverages(record: GeeRecord, units: Units) -> Floats | None:
    """(K,) tr(H_i M) of units that are made of whole clusters, None for others; they add up to p."""
    name = record.clusters.name
    codes = row_codes(record.clusters)
    if not contains(units.codes, codes):
        return None
    of = np.zeros(len(record.clusters.levels), dtype=np.int64)
    of[codes] = units.codes
    out, done = np.zeros(len(units.levels)), 0
    for curvatures, scores in gee_estimator.pieces(record, name, curvatures=True):
        assert curvatures is not None
        out += np.bincount(of[done : done + len(scores)], traces(record.bread, curvatures), minlength=len(out))
        done += len(scores)
    return out


def mixed_step(record: MixedRecord, units: Units, bar: Progress) -> Moved:
    """A GLMM: all parameters together."""
    if not positive_definite(record.curvature):
        raise GlimmError(
            "influence: the log-likelihood has no curvature downwards at the end of this fit to take a step by: read fit.record.solution, "
            "or use method='refit'"
        )
    terms = tuple(working_effects(t) for t in record.design.mean.random)
    x = estimates(record)
    if one_factor(terms):
        errors = np.sqrt(np.abs(np.diag(inverse(record.curvature))))
        moves = np.minimum(DIFFERENCE * errors, most_moves(record.layouts, record.blocks["mean"].stop, x))
        step, lost = rest_step(record.design, units, record.curvature, lambda design: _by_level(record, design, x, moves, bar))
    else:
        step, lost = _part_by_part(record, units, x, bar)
    return named(record, terms, x, step, lost)


def estimates(record: MixedRecord) -> Floats:
    """(working beta | work_theta | psi)."""
    beta = to_working(record.design.mean, record.vector[record.blocks["mean"]])
    return np.concatenate([beta, record.work_theta, record.vector[record.blocks["family"]]])


def rest_step(design: Design, units: Units, curvature: Floats, pieces: Pieces) -> tuple[Floats, dict[int, str]]:
    """(K, P) steps; pieces : score (J, P) and curvature (J, P, P) of each independent block of a design, and the block of each row."""
    score, curved, blocks = pieces(design)
    pairs = pairs_of(units, blocks)
    s = -np.add.reduceat(score[pairs.block], pairs.first)
    h = curvature[None] - np.add.reduceat(curved[pairs.block], pairs.first)
    for _, _, rows, owner in remains(units, blocks, pairs):
        if len(rows):
            score, curved, of_row = pieces(take_rows(design, rows, owner))
            of = np.empty(len(score), dtype=np.int64)
            of[of_row] = owner
            np.add.at(s, of, score)
            np.add.at(h, of, curved)
    return solved(h, s)


def solved(h: Floats, s: Floats) -> tuple[Floats, dict[int, str]]:
    """H^-1 s for each, and which have no positive definite H."""
    whole = np.asarray(np.isfinite(h).all(axis=(1, 2)))
    h = np.where(whole[:, None, None], h, np.nan)
    s = np.where(np.isfinite(s), s, np.nan)
    root = np.sqrt(np.abs(np.einsum("kii->ki", h)))
    root[~(root > 0.0)] = 1.0
    scaled = 0.5 * (h + np.swapaxes(h, 1, 2)) / (root[:, :, None] * root[:, None, :])
    finite = np.isfinite(scaled).all(axis=(1, 2)) & np.isfinite(s).all(axis=1)
    values = np.linalg.eigvalsh(np.where(finite[:, None, None], scaled, 0.0))
    good = finite & (values[:, 0] > FLAT) if h.shape[1] else finite
    out = np.full(s.shape, np.nan)
    out[good] = np.linalg.solve(scaled[good], (s / root)[good][:, :, None])[:, :, 0] / root[good]
    return out, {int(u): NO_CURVE for u in np.flatnonzero(~good)}


def named(record: MixedRecord, terms: tuple[Effects, ...], x: Floats, step: Floats, lost: dict[int, str]) -> Moved:
    """Steps of (working beta | work_theta | psi) as they are reported; standard deviations stay at zero or above."""
    p, m = record.blocks["mean"].stop, total(record.layouts)
    there = x + step
    theta = there[:, p : p + m]
    scales = np.concatenate([np.zeros(0, dtype=bool), *(s.scales for s in record.layouts)])
    theta[:, scales] = np.maximum(theta[:, scales], 0.0)
    family = np.array([record.family.natural(psi)[0] for psi in there[:, p + m :]]).reshape(len(there), -1)
    return Moved(step[:, :p], np.column_stack([theta_named(record.layouts, terms, theta), family]), None, lost)


def theta_named(shapes: Shapes, terms: tuple[Effects, ...], thetas: Floats) -> Floats:
    """(K, parameters) as reported; NaN where theta is."""
    whole = reported(terms, shapes, thetas[0] if np.isfinite(thetas[0]).all() else np.ones(thetas.shape[1]))
    out = np.full((len(thetas), len(whole)), np.nan)
    good = np.isfinite(thetas).all(axis=1)
    inside = good & (thetas[:, np.concatenate([s.scales for s in shapes])] > 0.0).all(axis=1)
    if all(s.complete for s in shapes) and inside.any():
        out[inside] = reported_many(terms, shapes, thetas[inside])
        good &= ~inside
    for k in np.flatnonzero(good):
        out[k] = reported(terms, shapes, thetas[k])
    return out


def _by_level(record: MixedRecord, design: Design, x: Floats, moves: Floats, bar: Progress) -> tuple[Floats, Floats, Codes]:
    """Scores of the levels of a single grouping and, by central differences of them, their curvatures."""
    engine = mixed_engine(design, record.family, (working_effects(design.mean.random[0]),), Control(threads=1))
    assert isinstance(engine, OneFactor)
    layout = only(record.layouts)
    points = rule(max(record.points, 1), engine.effects.q)

    def scores(at: Floats) -> Floats:
        vector, places = engine.spread_out(layout, at)
        found = engine.model(layout).quadrature(*engine.kernels, vector, 1, *points, scores=True)
        bar.step()
        if not found.ok or found.scores is None:
            return np.full((len(engine.starts) - 1, len(at)), np.nan)
        return np.asarray(-0.5 * found.scores[:, places])

    curved = np.empty((len(engine.starts) - 1, len(x), len(x)))
    for k, move in enumerate(moves):
        ahead = np.zeros(len(x))
        ahead[k] = move
        curved[:, :, k] = (scores(x - ahead) - scores(x + ahead)) / (2.0 * move) if move > 0.0 else np.nan
    return scores(x), 0.5 * (curved + np.swapaxes(curved, 1, 2)), design.mean.random[0].refs


def _part_by_part(record: MixedRecord, units: Units, x: Floats, bar: Progress) -> tuple[Floats, dict[int, str]]:
    """Several terms or a structure, by Laplace: the blocks that a unit touches are evaluated with it and without it, all rows where
    groupings cross. Curvatures are the search's own: exact for the whole, its model for the difference."""
    design, size = record.design, len(x)
    name = outermost(design)
    blocks = next((t.refs for t in design.mean.random if t.group == name), np.zeros(design.n, dtype=np.int32))
    pairs = pairs_of(units, blocks)
    order, starts = np.argsort(blocks, kind="stable"), np.concatenate([[0], np.cumsum(np.bincount(blocks))])
    known: dict[int, tuple[Floats, Floats]] = {}

    def pieces(rows: Ints) -> tuple[Floats, Floats]:
        part = design if len(rows) == design.n else take_rows(design, rows)
        terms = tuple(working_effects(t) for t in part.mean.random)
        e = any_design(part, record.family, terms, 1).evaluate(shapes_of(record.layouts, terms), x, 1, 2)
        bar.step()
        return (-0.5 * e.gradient, 0.5 * e.hessian) if e.ok else (np.full(size, np.nan), np.full((size, size), np.nan))

    s, h = np.zeros((len(units.levels), size)), np.repeat(record.curvature[None], len(units.levels), axis=0)
    for unit, block in zip(pairs.unit.tolist(), pairs.block.tolist(), strict=True):
        rows = np.sort(order[starts[block] : starts[block + 1]])
        if block not in known:
            known[block] = pieces(rows)
        stays = rows[units.codes[rows] != unit]
        after = pieces(stays) if len(stays) else (np.zeros(size), np.zeros((size, size)))
        s[unit] += after[0] - known[block][0]
        h[unit] += after[1] - known[block][1]
    return solved(h, s)


def shapes_of(shapes: Shapes, terms: tuple[Effects, ...]) -> Shapes:
    """The same shapes for a part of the rows, whose levels may have other times."""
    return tuple(
        replace(s, patterns=own.patterns) if isinstance(s, Curve) and isinstance(own := t.shape(), Curve) else s
        for s, t in zip(shapes, terms, strict=True)
    )
