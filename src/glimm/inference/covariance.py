"""Covariance matrices of the coefficients: model-based M phi, sandwiches M (sum U U') M, and the inverse Hessian of a mixed model.

The only place that makes them: estimators hand over bread, scores and curvature.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..covariance.layout import dnamed_theta, slices
from ..design.clusters import gather, row_codes
from ..design.coordinates import effects_to_named, to_named
from ..design.records import Clusters, Design, Part
from ..design.stream import StreamedDesign
from ..errors import GlimmError, GlimmWarning, NotYetError
from ..estimators import glm as glm_estimator
from ..estimators.scores import check_clusters, mixed_scores
from ..estimators.separation import limiting_over
from ..family import Family
from ..kernels import Rows, inverse_or_nan, mean
from ..kernels.matrix import Floats, Ints
from ..records import GeeRecord, GlmRecord, MixedRecord, Record
from .degrees_of_freedom import Degrees
from .small_sample import errors_of

HC = ("HC0", "HC1", "HC2", "HC3")


@dataclass(frozen=True, slots=True)
class Inference:
    """Coefficients of the mean model with their covariance.

    names : (p,) terms; params : (p,); cov : (p, p), NaN where there is none
    work : (p, p) covariance of the working coefficients, for predictions
    label : which covariance, in words; vcov : what was asked for; notes : what is to be said below a table
    df : of the t reference, None for the normal; of every coefficient (p,) where they differ, and `degrees` has those of any contrast
    """

    names: tuple[str, ...]
    params: Floats
    cov: Floats
    work: Floats
    label: str
    df: float | Floats | None
    vcov: Any = "model"
    degrees: Degrees | None = None
    notes: tuple[str, ...] = ()

    def df_of(self, contrasts: Floats) -> float | Floats | None:
        """Of contrasts (r, p) of the working coefficients: a number for all, or (r,)."""
        return self.df if self.degrees is None else self.degrees.of(contrasts)

    @property
    def common_df(self) -> float | None:
        """Of what is no single contrast of coefficients (curved functions of them, several contrasts together): K - p of a GEE."""
        if self.degrees is not None:
            return self.degrees.common
        return None if self.df is None else float(self.df)

    @property
    def bse(self) -> Floats:
        """(p,) standard errors."""
        diagonal = np.diag(self.cov)
        noise = 1e-14 * np.abs(diagonal[np.isfinite(diagonal)]).max(initial=0.0)
        return np.sqrt(np.where(diagonal >= -noise, np.maximum(diagonal, 0.0), np.nan))

    @property
    def statistic(self) -> Floats:
        """(p,) coefficients divided by their standard errors, NaN where these are zero."""
        bse = self.bse
        return np.asarray(np.divide(self.params, bse, out=np.full(len(bse), np.nan), where=bse > 0.0))


def infer(record: Record, vcov: Any) -> Inference:
    """The coefficients of a record with the covariance that `vcov` asks for.

    Raises GlimmError for a covariance that the record cannot have.
    """
    part = record.design.mean
    params = record.vector[record.blocks["mean"]]
    df: float | Floats | None = None
    if isinstance(record, GeeRecord):
        found = errors_of(record, vcov)
        df = found.df if found.degrees is None else found.degrees.of(to_named(part))
        return Inference(part.names, params, named(part, found.work), found.work, found.label, df, vcov, found.degrees, found.notes)
    if isinstance(record, GlmRecord):
        work, label = glm_covariance(record, vcov)
        df = None if record.family.scale_known else float(record.design.n - part.matrix.p)
    else:
        work, label = mixed_covariance(record, vcov)
    cov = named(part, work)
    if isinstance(record, GlmRecord) and record.solution.code == "separated":
        cov = _separated(record, vcov)
    if isinstance(record, MixedRecord) and record.solution.code == "separated":
        lost = np.isin(part.names, (record.solution.evidence or {}).get("infinite", part.names))
        cov[lost, :] = cov[:, lost] = np.nan
    return Inference(part.names, params, cov, work, label, df, vcov)


def _separated(record: GlmRecord, vcov: Any) -> Floats:
    """(p, p) covariance from the rows that separation leaves, NaN for the coefficients that have no estimate."""
    part = record.design.mean
    etas = glm_estimator.etas_of(record)

    def rows() -> Iterator[tuple[Design, Floats, Floats]]:
        for design, eta in etas():
            yield design, mean(part.link.kernel, eta)[0], glm_estimator.part_terms(record, design, eta)[1]

    bread, infinite = limiting_over(rows, record.family, part)
    cov = named(part, glm_covariance(replace(record, bread=bread), vcov)[0])
    lost = np.isin(part.names, infinite)
    cov[lost, :] = cov[:, lost] = np.nan
    return cov


def named(part: Part, work: Floats) -> Floats:
    """A V A': the covariance of the coefficients as named from that of the working ones; further parameters stay as they are."""
    a = np.eye(len(work))
    p = part.matrix.p
    a[:p, :p] = to_named(part)
    return np.asarray(a @ work @ a.T)


def mixed_covariance(record: MixedRecord, vcov: Any) -> tuple[Floats, str]:
    """(X'V^-1X)^-1 of an LMM given theta, the inverse Hessian's block of a GLMM; or the sandwich by clusters, sum IF IF'."""
    mean = record.blocks["mean"]
    if vcov != "model":
        clusters = mixed_clusters(record.design, vcov)
        if_mean = mixed_influence(record, clusters)[:, mean]
        lost = np.flatnonzero(~np.isfinite(if_mean).all(axis=1))
        if len(lost) and np.isfinite(record.curvature).all():
            others = f" and of {len(lost) - 1} others" if len(lost) > 1 else ""
            warnings.warn(
                f"vcov: the likelihood of {clusters.name} {clusters.levels[lost[0]]!r} alone{others} has no slope at the estimates "
                f"(impossible means), so there are no robust standard errors: use vcov='model', or link={record.family.default_link!r}",
                GlimmWarning,
                stacklevel=2,
            )
        return if_mean.T @ if_mean, f"cluster-robust by {clusters.name}"
    if record.linear:
        return inverse_or_nan(record.curvature[mean, mean]), "model-based, given the variance parameters"
    return working_covariance(record)[mean, mean], "model-based, from the full Hessian"


def mixed_clusters(design: Design, vcov: Any) -> Clusters:
    """The independent clusters that a mixed model's robust covariance is by; raises GlimmError where they are not independent."""
    if not (isinstance(vcov, Mapping) and "cluster" in vcov):
        raise GlimmError(f"vcov={vcov!r} is not a covariance of a mixed model: use 'model' or {{'cluster': 'column'}}")
    name = vcov["cluster"] if isinstance(vcov["cluster"], str) else list(vcov["cluster"])
    if not isinstance(name, str):
        if len(name) != 1:
            raise NotYetError("vcov: a mixed model's robust errors are by clusters in one direction: name one column")
        name = name[0]
    if vcov.get("small", False):
        raise NotYetError("vcov: 'small' is not there for mixed models yet: leave it out")
    clusters = known_clusters(design, name)
    check_clusters(design, clusters)
    return clusters


def mixed_influence(record: MixedRecord, clusters: Clusters) -> Floats:
    """(K, P) what each cluster adds to the error of (working beta, theta, psi): H^-1 s_c; beta alone matters in an LMM, the rest is 0."""
    scores = mixed_scores(record, clusters)
    if record.linear:
        p = record.blocks["mean"].stop
        out = np.zeros((len(scores), len(record.vector)))
        out[:, :p] = scores @ inverse_or_nan(record.curvature[:p, :p])
        return out
    return np.asarray(scores @ working_covariance(record) @ theta_jacobian(record).T)


def joint_covariance(record: Record, inference: Inference) -> Floats:
    """(P, P) covariance of (working beta, theta, psi) under the errors of `inference`; beta alone for GLM and GEE, and in an LMM."""
    if not isinstance(record, MixedRecord):
        return inference.work
    if record.linear:
        p, size = record.blocks["mean"].stop, len(record.vector)
        out = np.zeros((size, size))
        out[:p, :p] = inference.work
        return out
    if inference.vcov == "model":
        return theta_covariance(record)
    influence = mixed_influence(record, mixed_clusters(record.design, inference.vcov))
    return np.asarray(influence.T @ influence)


def working_covariance(record: MixedRecord) -> Floats:
    """(P, P) inverse curvature of (working beta, work_theta, psi), NaN if there is no curvature."""
    return inverse_or_nan(record.curvature)


def theta_covariance(record: MixedRecord) -> Floats:
    """(P, P) covariance of (working beta, theta, psi), theta as named; singular where the random effects have lost rank."""
    wide = theta_jacobian(record)
    return np.asarray(wide @ working_covariance(record) @ wide.T)


def theta_jacobian(record: MixedRecord) -> Floats:
    """(P, Q) derivatives of (working beta, theta, psi) in (working beta, work_theta, psi)."""
    size, p, m = len(record.curvature), record.blocks["mean"].stop, len(record.work_theta)
    parts = [
        dnamed_theta(s, term.structure, record.work_theta[at], effects_to_named(term))
        for s, term, at in zip(record.layouts, record.design.mean.random, slices(record.layouts), strict=True)
    ]
    k = sum(len(j) for j in parts)
    wide = np.zeros((size - m + k, size))
    wide[:p, :p] = np.eye(p)
    row, column = p, p
    for j in parts:
        wide[row : row + len(j), column : column + j.shape[1]] = j
        row, column = row + len(j), column + j.shape[1]
    wide[p + k :, p + m :] = np.eye(size - p - m)
    return wide


def check_robust(family: Family, vcov: Any) -> None:
    """Raises NotYetError for a robust covariance of a GLM whose family has none."""
    if not family.orthogonal and _known(vcov):
        own = f" and {', '.join(family.estimated)}" if family.free else ""
        raise NotYetError(
            f"vcov={vcov!r} is not there for family {family.name!r}, whose coefficients{own} are estimated together: "
            "use vcov='model', or family 'negative_binomial' or 'poisson' with it"
        )


def glm_covariance(record: GlmRecord, vcov: Any) -> tuple[Floats, str]:
    """Model-based, heteroscedasticity-consistent (MacKinnon and White 1985) or cluster-robust covariance of a GLM."""
    if vcov == "model":
        return record.scale * record.bread, "model-based"
    check_robust(record.family, vcov)
    if isinstance(vcov, str) and vcov in HC:
        return _heteroscedastic(record, vcov), f"heteroscedasticity-robust ({vcov})"
    if isinstance(vcov, Mapping) and "cluster" in vcov:
        names = [vcov["cluster"]] if isinstance(vcov["cluster"], str) else list(vcov["cluster"])
        clusters = [known_clusters(record.design, name) for name in names]
        small = bool(vcov.get("small", False))
        cov, repaired = _by_clusters(record, clusters, small)
        label = f"cluster-robust by {' and '.join(names)}" + (" (small-sample factor)" if small else "")
        return cov, label + ("; negative eigenvalues set to zero" if repaired else "")
    raise GlimmError(f"vcov={vcov!r} is not a covariance of a GLM: use 'model', 'HC0', 'HC1', 'HC2', 'HC3' or {{'cluster': 'column'}}")


def known_clusters(design: Design, name: Any) -> Clusters:
    """The clusters of a column that was named at the door; raises GlimmError for another."""
    if name not in design.clusters:
        given = repr(name) if isinstance(name, str) else type(name).__name__
        raise GlimmError(f"vcov: the fit has not kept clusters of {given}: name the column at the door, vcov={{'cluster': 'column'}}")
    return design.clusters[name]


def _known(vcov: Any) -> bool:
    """Whether it is a covariance that a GLM has."""
    return (isinstance(vcov, str) and vcov in HC) or (isinstance(vcov, Mapping) and "cluster" in vcov)


def cluster_work(record: GlmRecord, clusters: Clusters) -> Floats:
    """(p, p) cluster-robust covariance of the working coefficients."""
    return _one_way(record, clusters, False)


def _by_clusters(record: GlmRecord, clusters: Sequence[Clusters], small: bool) -> tuple[Floats, bool]:
    """One-way, or two-way as V_a + V_b - V_ab, its negative eigenvalues set to zero (Cameron, Gelbach and Miller 2011)."""
    if len(clusters) == 1:
        return _one_way(record, clusters[0], small), False
    if len(clusters) != 2:
        raise NotYetError("clusters in more than two directions are not there yet: name one or two columns in vcov={'cluster': ...}")
    crossed, codes = _crossed(record.design, clusters[0], clusters[1])
    cov = _one_way(record, clusters[0], small) + _one_way(record, clusters[1], small) - _one_way(record, crossed, small, codes)
    if not np.all(np.isfinite(cov)):
        return cov, False
    w, q = np.linalg.eigh(cov)
    if w[0] >= -1e-12 * w[-1]:
        return cov, False
    return np.asarray((q * np.maximum(w, 0.0)) @ q.T), True


def _crossed(design: Design, a: Clusters, b: Clusters) -> tuple[Clusters, Callable[[Design], Ints] | None]:
    """The combinations of two clusterings; of rows that are not held, what tells them in a part."""
    if not isinstance(design, StreamedDesign):
        pairs, refs = np.unique(row_codes(a) * len(b.levels) + row_codes(b), return_inverse=True)
        order, starts = gather(refs.astype(np.int32), len(pairs), None)
        return Clusters("pair", pairs, order, starts), None

    def both(part: Design) -> Ints:
        return np.asarray(part.beside[a.name] * len(b.levels) + part.beside[b.name], dtype=np.int64)

    pairs = np.zeros(0, dtype=np.int64)
    for part in design.stream.parts(design):
        pairs = np.union1d(pairs, both(part))
    nowhere = np.zeros(0, dtype=np.int64)
    return Clusters("pair", pairs, nowhere, nowhere), lambda part: np.searchsorted(pairs, both(part))


def _one_way(record: GlmRecord, clusters: Clusters, small: bool, codes: Callable[[Design], Ints] | None = None) -> Floats:
    n, p, k = record.design.n, len(record.bread), len(clusters.levels)
    if small:
        _rows_left(n, p, "'small'", "leave it out")
    factor = 1.0 if not small else k / (k - 1.0) * (n - 1.0) / (n - p)
    return factor * _sandwich(record.bread, (u for _, u in glm_estimator.pieces(record, clusters, codes=codes)))


def _sandwich(bread: Floats, scores: Iterable[Floats]) -> Floats:
    """M (sum U U') M as sum (M U)(M U)', which no rounding makes negative."""
    return sum((moved.T @ moved for moved in (u @ bread for u in scores)), np.zeros_like(bread))


def _heteroscedastic(record: GlmRecord, kind: str) -> Floats:
    part, n = record.design.mean, record.design.n
    p = part.matrix.p
    meat = np.zeros((p, p))
    for design, eta in glm_estimator.etas_of(record)():
        columns = design.mean.matrix, part.center, part.scale
        d1, w = glm_estimator.part_terms(record, design, eta)
        weights = d1**2
        if kind in ("HC2", "HC3"):
            h = Rows(*columns).leverages(w, record.bread)
            if np.any(h > 1.0 - 1e-10):
                row = int(design.rows[int(np.argmax(h))])
                raise GlimmError(
                    f"{kind} does not exist: row {row} (counting from 0) has leverage 1, it alone determines a coefficient; use HC0 or HC1"
                )
            weights = weights / (1.0 - h) ** (1 if kind == "HC2" else 2)
        meat += Rows(*columns, size=weights).gram()
    if kind == "HC1":
        _rows_left(n, p, "HC1", "use HC0")
    factor = 1.0 if kind != "HC1" else n / (n - p)
    return np.asarray(factor * record.bread @ meat @ record.bread)


def _rows_left(n: int, p: int, factor: str, remedy: str) -> None:
    if n <= p:
        raise GlimmError(f"vcov: the factor of {factor} does not exist for {n} rows and {p} coefficients, none are left: {remedy}")
