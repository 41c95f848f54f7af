"""Errors of log odds ratios: with A = [[H, 0], [A_ab, A_aa]], V = A^-1 (sum U_i U_i') A^-T, as PROC GEE prints it.

H = sum D'V^-1 D; A_aa and A_ab are half the sums over both directions of conditioning, at the responses seen.
"""

from __future__ import annotations

import numpy as np

from ..covariance.odds_ratios import OddsRatios
from ..design.coordinates import to_working
from ..estimators.association import AssociationEquations
from ..kernels import inverse_or_nan
from ..kernels.matrix import Floats, Index
from ..records import GeeRecord, Record
from .parameters import Parameters


def association_parameters(record: Record) -> Parameters | None:
    """The log odds ratios of a GEE with robust errors, NaN for those held or not estimated; None for other models."""
    if not isinstance(record, GeeRecord) or not isinstance(record.working, OddsRatios):
        return None
    moved, free = association_influence(record)
    errors = np.full(len(record.alpha), np.nan)
    errors[free] = np.sqrt(np.einsum("ki,ki->i", moved, moved))
    return Parameters(record.corr_names, record.alpha, errors)


def association_influence(record: GeeRecord) -> tuple[Floats, Index]:
    """(K, m) influence of each cluster on the m log odds ratios that were estimated, A_aa^-1 (U_a - A_ab H^-1 U_b), and which these are."""
    design = record.design
    assert isinstance(record.working, OddsRatios)
    equations = AssociationEquations(design, record.family, record.clusters, record.working, 1)
    done = equations.at(to_working(design.mean, record.vector), record.alpha, scores=True, alpha_equation=True, joint=True)
    assert done.scores is not None
    assert done.alpha_scores is not None
    assert done.alpha_information is not None
    assert done.given is not None
    assert done.given_beta is not None
    held = np.isin(equations.names, record.solution.active)
    free = np.flatnonzero((done.alpha_information.diagonal() > 0.0) & ~held & (record.solution.code != "separated"))
    if not len(free) or (not equations.indicators and held.any()):
        return np.zeros((len(done.scores), 0)), free[:0]
    own = done.alpha_scores[:, free] - done.scores @ record.bread @ done.given_beta[free].T
    return own @ inverse_or_nan(done.given[np.ix_(free, free)]), free
