"""Covariance of the parameters of a response with levels: of a GEE from M and the scores U_c of clusters, of a GLM as in level_glm."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..estimators import ordinal
from ..estimators.levels import Jet, Layout, jet, layout_of
from ..kernels.matrix import Bools, Floats
from ..records import LevelsRecord
from .covariance import Inference
from .level_glm import level_covariance
from .parameters import Parameters
from .small_sample import errors_of

ASSOCIATION = {"ordered": "log_odds_ratio", "nominal": "alpha"}


def infer_levels(record: LevelsRecord, vcov: Any) -> Inference:
    """The parameters with the covariance that `vcov` asks for; NaN for those without a finite estimate."""
    a = layout(record).to_named()
    lost = np.isin(record.names, (record.solution.evidence or {}).get("infinite", ()))
    if record.door == "glm":
        own = level_covariance(record, vcov)
        df = own.df if own.degrees is None else own.degrees.of(a)
        cov = _without(a @ own.work @ a.T, lost)
        return Inference(record.names, record.vector, cov, own.work, own.label, df, vcov, own.degrees, own.notes)
    found = errors_of(record, vcov)
    df = found.df if found.degrees is None else found.degrees.of(a)
    cov = _without(a @ found.work @ a.T, lost)
    return Inference(record.names, record.vector, cov, found.work, found.label, df, vcov, found.degrees, found.notes)


def _without(cov: Floats, lost: Bools) -> Floats:
    """The covariance, NaN for what has no finite estimate."""
    cov[lost, :] = cov[:, lost] = np.nan
    return cov


def association_names(record: LevelsRecord) -> tuple[str, ...]:
    """(q,) names of the record's alpha."""
    return (ASSOCIATION[record.family.support],) * len(record.alpha)


def association(record: LevelsRecord) -> Parameters | None:
    """The log odds ratio or correlation with its error from the joint sandwich; None where there is none, NaN where it is held at a limit.

    The bread is [[M^-1, 0], [A_ab, A_aa]], as SAS has it for alternating logistic regressions.
    """
    if not len(record.alpha):
        return None
    if record.solution.code != "converged":
        return Parameters(association_names(record), record.alpha, np.full(1, np.nan))
    done = ordinal.joint_pass(record, next(iter(record.design.clusters.values())))
    assert done.alpha_scores is not None
    assert done.scores is not None
    assert done.given is not None
    assert done.given_beta is not None
    own = done.alpha_scores - done.scores @ record.bread @ done.given_beta.T
    error = np.sqrt(np.sum(own**2, axis=0)) / done.given[0, 0]
    return Parameters(association_names(record), record.alpha, np.asarray(error))


def layout(record: LevelsRecord) -> Layout:
    """Where the record's parameters are."""
    return layout_of(record.design, record.family.support == "ordered")


def probabilities(record: LevelsRecord) -> Jet:
    """Fitted probabilities of the rows used."""
    return jet(layout(record), record.eta)
