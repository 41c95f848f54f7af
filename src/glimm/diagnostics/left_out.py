"""A unit really left out: the model fitted to the rows that stay, from the estimates on.

x_(u) : the estimates from the rows with code_i != u.
"""

from __future__ import annotations

import numpy as np

from ..covariance.layout import total
from ..design.coordinates import to_named, to_working
from ..design.records import Design
from ..design.take import take_rows
from ..errors import GlimmError
from ..estimators.again import fit_near, trouble
from ..estimators.boundary import settle
from ..estimators.control import Control
from ..estimators.engines import mixed_engine
from ..estimators.glm import row_terms
from ..estimators.glmm import Correction, Problem, fit_glmm
from ..estimators.lmm import estimates as linear_estimates
from ..estimators.lmm import prepare_lmm, settled_lmm
from ..estimators.separation import bounded
from ..estimators.terms import reported, working_effects
from ..kernels import Rows, mean
from ..kernels.matrix import Floats
from ..progress import Progress
from ..records import GeeRecord, GlmRecord, MixedRecord, Record
from .one_step import Moved, cluster_leverages
from .one_step import estimates as working_vector
from .units import Units, working_matrix

CLOSE = 1e-6


def refits(record: Record, units: Units, lost: dict[int, str], control: Control, bar: Progress) -> Moved:
    """The model without each unit but those in `lost`."""
    part = record.design.mean
    before = to_working(part, record.vector[record.blocks["mean"]])
    again = _Mixed(record, control) if isinstance(record, MixedRecord) else _Plain(record, control)
    beta = np.full((len(units.levels), len(before)), np.nan)
    others = np.full((len(units.levels), again.others), np.nan)
    said = {}
    for u in range(len(units.levels)):
        bar.step()
        if u in lost:
            continue
        try:
            vector, own, reason = again.fitted(take_rows(record.design, units.rest(u)))
        except GlimmError as error:
            said[u] = str(error)
            continue
        except np.linalg.LinAlgError:
            said[u] = "a matrix became singular"
            continue
        if reason:
            said[u] = reason
        else:
            beta[u], others[u] = to_working(part, vector) - before, own
    return Moved(beta, others, leverages(record, units), said)


def leverages(record: Record, units: Units) -> Floats | None:
    """(K,) h_i = w_i x_i'M x_i summed over the rows of each unit of a GLM; tr(H_i M) of clusters of a GEE; None for others."""
    if isinstance(record, GeeRecord):
        return cluster_leverages(record, units)
    if not isinstance(record, GlmRecord):
        return None
    x = working_matrix(record.design)
    h = row_terms(record)[1] * np.einsum("ij,jk,ik->i", x, record.bread, x, optimize=True)
    return np.asarray(h if units.single else np.bincount(units.codes, h, minlength=len(units.levels)))


class _Plain:
    """GLM and GEE."""

    others = 0

    def __init__(self, record: GlmRecord | GeeRecord, control: Control) -> None:
        self.record, self.threads = record, control.threads

    def fitted(self, design: Design) -> tuple[Floats, Floats, str]:
        """Coefficients as named, nothing, what went wrong."""
        again = fit_near(self.record, design, self.threads)
        return again.vector[self.record.blocks["mean"]], np.zeros(0), trouble(again)


class _Mixed:
    """Mixed models; what only a record needs (standard errors) is left out."""

    def __init__(self, record: MixedRecord, control: Control) -> None:
        self.record, self.control = record, control
        self.p = record.blocks["mean"].stop
        self.others = record.blocks["theta"].stop - self.p + (1 if record.linear else len(record.family.free))
        self.near = all(s.complete for s in record.layouts)
        self.correction: Correction | None = None
        if not record.linear and self.near and np.isfinite(record.curvature).all():
            terms = tuple(working_effects(t) for t in record.design.mean.random)
            model = mixed_engine(record.design, record.family, terms, control).evaluate(
                record.layouts, working_vector(record), record.points, 2
            )
            self.correction = Correction(record.layouts, 2.0 * record.curvature - model.hessian)

    def fitted(self, design: Design) -> tuple[Floats, Floats, str]:
        """Coefficients as named, further parameters, what went wrong."""
        return self._linear(design) if self.record.linear else self._any(design)

    def _linear(self, design: Design) -> tuple[Floats, Floats, str]:
        record = self.record
        problem = prepare_lmm(design, record.family, record.reml, self.control)
        settled, last = settled_lmm(problem, record.work_theta if self.near else None)
        vector, s2, _ = linear_estimates(problem, settled, last)
        reason = "" if settled.optimum.converged else "no convergence"
        return vector[: self.p], np.append(vector[self.p :], np.sqrt(s2)), reason

    def _any(self, design: Design) -> tuple[Floats, Floats, str]:
        """From the estimates; by the door's own search where they are no start, or means are near a bound."""
        record, family, p = self.record, self.record.family, self.p
        terms = tuple(working_effects(t) for t in design.mean.random)
        if self.near:
            with Progress("", 1, False) as silent:
                engine = mixed_engine(design, family, terms, self.control)
                problem = Problem(design, family, terms, self.control, engine, silent, self.correction)
                found = settle(problem.search(record.points), tuple(t.shape() for t in terms), working_vector(record))
            x, m = found.optimum.x, total(found.shapes)
            if found.optimum.converged and np.isfinite(x).all() and not _near_bound(record, design, x[:p]):
                theta = reported(terms, found.shapes, x[p : p + m])
                return to_named(design.mean) @ x[:p], np.append(theta, family.natural(x[p + m :])[0]), ""
        again = fit_glmm(design, family, record.points, self.control)
        own = np.append(again.vector[again.blocks["theta"]], family.natural(again.vector[again.blocks["family"]])[0])
        return again.vector[:p], own, trouble(again)


def _near_bound(record: MixedRecord, design: Design, beta: Floats) -> bool:
    """Whether predictors alone give probabilities or counts close to a bound, as separation does: the door's search is to judge."""
    part = design.mean
    if bounded(record.family, part.link):
        return False
    mu = mean(part.link.kernel, Rows(part.matrix, part.center, part.scale, offset=part.offset).eta(beta))[0]
    if record.family.support == "count":
        return bool(mu.min() < CLOSE * mu.mean())
    return record.family.name == "binomial" and bool(np.minimum(mu, 1.0 - mu).min() < CLOSE)
