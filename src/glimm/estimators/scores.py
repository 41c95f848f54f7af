"""Scores of a mixed model by independent cluster: s_c = d log L_c / d(working beta, work_theta, psi), at the estimates.

LMM, beta alone: X_c'V_c^-1 (y - X beta)_c = X_c'W_c (y - X beta - Z b)_c / sigma^2. GLMM with one term: from its kernel. Several terms:
the gradient of each cluster's own -2 log L.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np

from ..covariance.layout import Curve, Shapes
from ..design.clusters import contains, row_codes
from ..design.coordinates import to_working
from ..design.records import Clusters, Design
from ..design.take import take_rows
from ..errors import GlimmError
from ..kernels import Rows
from ..kernels.matrix import Floats, Ints
from ..records import MixedRecord
from .engines import control_of, mixed_engine
from .linear_engines import only
from .mixed_engines import OneFactor, any_design
from .points import rule
from .terms import Effects, working_effects


def outermost(design: Design) -> str | None:
    """The grouping that all random terms are within, so that rows of its different levels are independent; None where they cross."""
    terms = design.mean.random
    for term in sorted(terms, key=lambda t: len(t.levels)):
        if all(term.group == other.group or contains(term.refs, other.refs) for other in terms):
            return term.group
    return None


def check_clusters(design: Design, clusters: Clusters) -> None:
    """Raise GlimmError unless rows of different clusters share no random effect."""
    codes = row_codes(clusters)
    for term in design.mean.random:
        if not contains(codes, term.refs):
            found = outermost(design)
            remedy = f"use {{'cluster': {found!r}}}" if found else "the groupings of this model cross, so no clusters are independent"
            raise GlimmError(f"vcov: rows of different {clusters.name} share random effects of {term.group}: {remedy}, or use vcov='model'")


def mixed_scores(record: MixedRecord, clusters: Clusters) -> Floats:
    """(K, P) scores of the clusters; P counts beta alone for an LMM, else working beta, work_theta and psi."""
    if record.linear:
        return _linear(record, clusters)
    design = record.design
    beta = to_working(design.mean, record.vector[record.blocks["mean"]])
    x = np.concatenate([beta, record.work_theta, record.vector[record.blocks["family"]]])
    terms = tuple(working_effects(t) for t in design.mean.random)
    engine = mixed_engine(design, record.family, terms, control_of(record))
    if isinstance(engine, OneFactor):
        return _by_level(record, engine, x, clusters)
    return np.array([_gradient(record, rows, x) for rows in _rows_of(clusters)])


def _linear(record: MixedRecord, clusters: Clusters) -> Floats:
    part, design = record.design.mean, record.design
    left = design.y - part.matrix.times(record.vector[record.blocks["mean"]]) - (0.0 if part.offset is None else part.offset)
    for term, effects in zip(part.random, record.effects, strict=True):
        left = left - np.einsum("ij,ij->i", term.z, effects[term.places])
    weighted = left / record.scale if design.size is None else left * design.size / record.scale
    return Rows(part.matrix, part.center, part.scale, order=clusters.order).cluster_scores(weighted, clusters.starts)


def _by_level(record: MixedRecord, engine: OneFactor, x: Floats, clusters: Clusters) -> Floats:
    """The kernel's gradients of -2 log L by level, added up where several levels are in a cluster."""
    layout, term = only(record.layouts), record.design.mean.random[0]
    vector, places = engine.spread_out(layout, x)
    found = engine.model(layout).quadrature(*engine.kernels, vector, 1, *rule(record.points, engine.effects.q), scores=True).scores
    assert found is not None
    of = np.zeros(len(term.levels), dtype=np.int64)
    of[term.refs] = row_codes(clusters)
    out = np.zeros((len(clusters.levels), len(x)))
    np.add.at(out, of, np.where(np.isfinite(found), -0.5 * found, np.nan)[:, places])
    return out


def _gradient(record: MixedRecord, rows: Ints, x: Floats) -> Floats:
    """-1/2 of the gradient of one cluster's -2 log L."""
    part = take_rows(record.design, rows)
    terms = tuple(working_effects(t) for t in part.mean.random)
    found = any_design(part, record.family, terms, 1).evaluate(_of_part(record.layouts, terms), x, 1, 1)
    return np.asarray(-0.5 * found.gradient) if found.ok else np.full(len(x), np.nan)


def _of_part(shapes: Shapes, terms: tuple[Effects, ...]) -> Shapes:
    """The shapes with the times of these levels: the factors of a continuous-time term are those of its patterns of times."""
    own = [t.shape() for t in terms]
    return tuple(
        replace(s, patterns=o.patterns) if isinstance(s, Curve) and isinstance(o, Curve) else s for s, o in zip(shapes, own, strict=True)
    )


def _rows_of(clusters: Clusters) -> list[Ints]:
    return [clusters.order[a:b] for a, b in pairwise(clusters.starts)]
