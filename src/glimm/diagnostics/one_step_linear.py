"""Without a unit in an LMM: beta exact for given theta, one Newton step in theta on the profiled deviance of the rows that stay.

d_(u)(theta) = log|M_(u)| [+ log|A_(u)|] + ne log(r2_(u) / ne), A_(u) = X'V^-1X of what stays; beta moves on along d beta / d theta.
One grouping: d_(u) of all units at once, from the cross-products of each level with and without the unit, derivatives by differences.
Several: an evaluation of the rows that stay for each unit. Source: Christensen, Pearson and Johnson (1992), Technometrics 34, 38-45.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np

from ..covariance.layout import total
from ..design.clusters import gather
from ..design.coordinates import to_working
from ..design.take import take_rows
from ..errors import GlimmError
from ..estimators.boundary import Search, limits
from ..estimators.control import Control
from ..estimators.linear_engines import only
from ..estimators.lmm import CAP, prepare_lmm
from ..estimators.terms import Effects, one_factor, working_effects
from ..kernels.matrix import Floats
from ..progress import Progress
from ..records import MixedRecord
from .one_step import NO_CURVE, Moved, shapes_of, theta_named
from .units import Units, pairs_of, summed, working_matrix

SHARE = 0.05
LEAST = 1e-10


def linear_step(record: MixedRecord, units: Units, bar: Progress) -> Moved:
    """The step of every unit."""
    terms = tuple(working_effects(t) for t in record.design.mean.random)
    if one_factor(terms):
        return _one_grouping(record, terms[0], units)
    return _one_by_one(record, units, bar)


class Products:
    """Cross-products of each level and of each pair of unit and level: Z'WZ, Z'WD, D'WD with D = [X, residual of X beta]."""

    def __init__(self, record: MixedRecord, effects: Effects, units: Units) -> None:
        design, part = record.design, record.design.mean
        self.pairs = pairs_of(units, effects.term.refs)
        self.p = part.matrix.p
        left = design.y - part.matrix.times(record.vector[: self.p]) - (0.0 if part.offset is None else part.offset)
        root = np.ones(design.n) if design.size is None else np.sqrt(design.size)
        z = (np.ones((design.n, 1)) if effects.z is None else effects.z) * root[:, None]
        d = np.column_stack([working_matrix(design), left]) * root[:, None]
        levels = gather(effects.term.refs, len(effects.term.levels))
        cells = gather(self.pairs.code.astype(np.int32), len(self.pairs.unit))
        self.whole = tuple(summed(a, b, *levels) for a, b in ((z, z), (z, d), (d, d)))
        gone = self.pairs.counts == np.diff(levels[1])[self.pairs.block]
        stay = []
        for a, b, whole in ((z, z, self.whole[0]), (z, d, self.whole[1]), (d, d, self.whole[2])):
            after = whole[self.pairs.block] - summed(a, b, *cells)
            after[gone] = 0.0
            stay.append(after)
        self.stay = tuple(stay)
        self.n = design.n - units.sizes

    def at(self, root: Floats) -> tuple[Floats, Floats]:
        """log|M_(u)| (K,) and D'V^-1D over what stays (K, p + 1, p + 1), b = root u for working effects."""
        logs, products = _eliminated(self.whole, root)
        logs_after, after = _eliminated(self.stay, root)
        moved = np.add.reduceat(logs_after - logs[self.pairs.block], self.pairs.first)
        return logs.sum() + moved, products.sum(axis=0) + np.add.reduceat(after - products[self.pairs.block], self.pairs.first)


def _eliminated(products: tuple[Floats, ...], root: Floats) -> tuple[Floats, Floats]:
    """log|I + L'SL| and C - R'L (I + L'SL)^-1 L'R for each."""
    s, r, c = products
    low = np.linalg.cholesky(root.T @ s @ root + np.eye(len(root)))
    half = np.linalg.solve(low, root.T @ r)
    return 2.0 * np.log(np.einsum("kii->ki", low)).sum(axis=1), c - np.swapaxes(half, 1, 2) @ half


def _solution(products: Products, root: Floats, reml: bool) -> tuple[Floats, Floats]:
    """(K,) deviances but for a constant, and (K, p + 1) change of beta and sigma^2."""
    logs, g = products.at(root)
    p = products.p
    scale = np.sqrt(np.maximum(np.einsum("kii->ki", g[:, :p, :p]), LEAST))
    a = g[:, :p, :p] / (scale[:, :, None] * scale[:, None, :])
    good = np.linalg.eigvalsh(a)[:, 0] > LEAST if p else np.ones(len(g), dtype=bool)
    a = np.where(good[:, None, None], a, np.eye(p))
    b = np.linalg.solve(a, (g[:, :p, p] / scale)[:, :, None])[:, :, 0] / scale
    r2 = g[:, p, p] - np.einsum("ki,ki->k", b, g[:, :p, p])
    ne = products.n - (p if reml else 0)
    good &= (r2 > 0.0) & (ne > 0)
    s2 = np.where(good, r2, np.nan) / np.where(ne > 0, ne, 1)
    out = logs + ne * np.log(s2)
    if reml:
        out = out + np.linalg.slogdet(a)[1] + 2.0 * np.log(scale).sum(axis=1)
    return out, np.column_stack([b, s2])


def _one_grouping(record: MixedRecord, effects: Effects, units: Units) -> Moved:
    """All units at once."""
    layout, x = only(record.layouts), record.work_theta
    products = Products(record, effects, units)
    p, m = products.p, len(x)
    curved = np.diag(record.curvature)[p:]
    moves = np.where(curved > 0.0, SHARE / np.sqrt(np.where(curved > 0.0, curved, 1.0)), SHARE * np.maximum(np.abs(x), SHARE))
    moves = np.minimum(moves, np.where(layout.scales, 0.5 * np.abs(x), np.inf)) if m else moves

    def at(*ahead: tuple[int, float]) -> tuple[Floats, Floats]:
        there = x.copy()
        for k, sign in ahead:
            there[k] += sign * moves[k]
        return _solution(products, layout.root(there), record.reml)

    base, found = at()
    gradient, hessian = np.zeros((len(base), m)), np.zeros((len(base), m, m))
    slopes = np.zeros((len(base), p + 1, m))
    for k in range(m):
        (up, above), (down, below) = at((k, 1.0)), at((k, -1.0))
        gradient[:, k] = (up - down) / (2.0 * moves[k])
        hessian[:, k, k] = (up - 2.0 * base + down) / moves[k] ** 2
        slopes[:, :, k] = (above - below) / (2.0 * moves[k])
    for k, j in combinations(range(m), 2):
        corners = [at((k, a), (j, b))[0] * a * b for a in (1.0, -1.0) for b in (1.0, -1.0)]
        hessian[:, k, j] = hessian[:, j, k] = sum(corners) / (4.0 * moves[k] * moves[j])
    step = _downhill(gradient, hessian)
    step = np.where(layout.scales, np.maximum(step, -x), step) if m else step
    found = found + np.einsum("kim,km->ki", slopes, step)
    others = np.column_stack([theta_named(record.layouts, (effects,), x + step), np.sqrt(np.maximum(found[:, p], 0.0))])
    return Moved(found[:, :p], others, None, {int(u): NO_CURVE for u in np.flatnonzero(~np.isfinite(found).all(axis=1))})


def _downhill(gradient: Floats, hessian: Floats) -> Floats:
    """-H^-1 g, H with its eigenvalues made positive."""
    good = np.isfinite(gradient).all(axis=1) & np.isfinite(hessian).all(axis=(1, 2))
    out = np.full(gradient.shape, np.nan)
    root = np.sqrt(np.abs(np.einsum("kii->ki", hessian[good])))
    root[root == 0.0] = 1.0
    values, vectors = np.linalg.eigh(hessian[good] / (root[:, :, None] * root[:, None, :]))
    along = np.einsum("kij,ki->kj", vectors, gradient[good] / root) / np.maximum(np.abs(values), 0.01)
    out[good] = -np.einsum("kij,kj->ki", vectors, along) / root
    return out


def _one_by_one(record: MixedRecord, units: Units, bar: Progress) -> Moved:
    """Each unit by its own rows that stay."""
    p, m = record.blocks["mean"].stop, total(record.layouts)
    before = to_working(record.design.mean, record.vector[:p])
    k = record.blocks["theta"].stop - p + 1
    beta, others = np.full((len(units.levels), p), np.nan), np.full((len(units.levels), k), np.nan)
    lost = {}
    for u in range(len(units.levels)):
        bar.step()
        try:
            problem = prepare_lmm(take_rows(record.design, units.rest(u)), record.family, record.reml, Control(threads=1))
        except GlimmError as error:
            lost[u] = str(error)
            continue
        engine, shapes = problem.engine, shapes_of(record.layouts, problem.terms)
        search = Search(engine.run, engine.slope, 0, engine.typical(), CAP, problem.control.tol, 1)
        theta = engine.run(shapes, record.work_theta, limits(search, shapes, m, 0.0, 1)).x
        last = engine.end(shapes, theta)
        if not last.ok:
            lost[u] = NO_CURVE
            continue
        beta[u] = last.beta - before
        rows = problem.design.n - (p if record.reml else 0)
        others[u] = np.append(theta_named(shapes, problem.terms, theta[None])[0], np.sqrt(last.r2 / rows))
    return Moved(beta, others, None, lost)
