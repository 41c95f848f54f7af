"""What the checks of one fit look at, worked out once and only where a check asks for it.

The marginal GLM, y ~ fixed part with rows taken as independent, stands for what the predictors leave unexplained; a GLM is its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from ..design.clusters import gather, row_codes
from ..design.records import Clusters, Design, RandomTerm
from ..errors import GlimmError
from ..estimators import gee as gee_estimator
from ..estimators.conditional import conditional_variances, too_many
from ..estimators.control import Control
from ..estimators.glm import fit_glm, row_terms
from ..estimators.irls import mean_rows
from ..estimators.residuals import pearson_residuals
from ..estimators.scores import outermost
from ..inference.criteria import fitted, own_psi
from ..inference.distributions import DISTRIBUTIONS, Distribution
from ..inference.small_sample import asked_of
from ..kernels import mean, positive_definite, solve
from ..kernels.matrix import Codes, Floats, Ints
from ..records import GeeRecord, GlmRecord, MixedRecord, Record

MOST_EFFECTS = 20_000
MOST_CELLS = 20_000_000


class Marginal(NamedTuple):
    """(n,) each: Pearson residuals, scores in eta and weights of the rows of a GLM of the fixed part."""

    pearson: Floats
    d1: Floats
    w: Floats


@dataclass(frozen=True)
class Sight:
    """A record and what is seen of it. vcov : as asked at the door."""

    record: Record
    vcov: Any = "model"

    @property
    def mixed(self) -> MixedRecord | None:
        """The record where it is a mixed model's."""
        return self.record if isinstance(self.record, MixedRecord) else None

    @property
    def terms(self) -> tuple[RandomTerm, ...]:
        """Random terms, none for GLM and GEE."""
        return self.record.design.mean.random

    @property
    def linear(self) -> bool:
        """Gaussian with identity link."""
        return (self.record.family.name, self.record.design.mean.link.name) == ("gaussian", "identity")

    @property
    def binary(self) -> bool:
        """Responses of 0 and 1."""
        return self.record.family.support == "binomial" and self.record.design.trials is None

    @property
    def usable(self) -> bool:
        """Whether the estimates are where they should be, so that residuals mean something."""
        return self.record.solution.code in ("converged", "boundary") and self.spread

    @cached_property
    def spread(self) -> bool:
        """Whether the model leaves more of the response than rounding."""
        y = self.record.design.y
        return float(np.max(np.abs(y - self.mu), initial=0.0)) > 1e-9 * max(float(np.abs(y).max(initial=0.0)), 1e-300)

    @cached_property
    def mu(self) -> Floats:
        """(n,) fitted means, conditional on the clusters in a mixed model."""
        return fitted(self.record)

    @cached_property
    def pearson(self) -> Floats:
        """(n,) Pearson residuals at `mu`."""
        return pearson_residuals(self.record.design, self.record.family, self.mu, own_psi(self.record))

    @cached_property
    def marginal(self) -> Marginal | None:
        """The GLM of the fixed part; None where it cannot be fitted or has no end."""
        design, link = self.record.design, self.record.design.mean.link
        if self.linear and self.mixed is not None:
            return least_squares(design)
        found = self.record if isinstance(self.record, GlmRecord) else None
        if found is None:
            try:
                found = fit_glm(design, self.record.family, Control())
            except GlimmError:
                return None
        if found.solution.code not in ("converged", "boundary"):
            return None
        psi = found.family.at_unit(found.vector[found.blocks.get("family", slice(0, 0))])
        return Marginal(pearson_residuals(design, found.family, mean(link.kernel, found.eta)[0], psi), *row_terms(found))

    @cached_property
    def clusters(self) -> Clusters | None:
        """The clusters whose rows belong together: a GEE's, those of robust errors, a mixed model's outermost grouping or its largest."""
        design = self.record.design
        if design.clusters:
            return next(iter(design.clusters.values()))
        if not self.terms:
            return None
        name = outermost(design) or max(self.terms, key=lambda t: len(t.levels)).group
        term = next(t for t in self.terms if t.group == name)
        return Clusters(name, term.levels, *gather(term.refs, len(term.levels)))

    @cached_property
    def codes(self) -> Codes:
        """(n,) the cluster of each row."""
        assert self.clusters is not None
        return row_codes(self.clusters).astype(np.int32)

    @cached_property
    def shares(self) -> Floats | None:
        """(K, p) share of each cluster in the information on each coefficient; None where that is not at hand or dear."""
        record, clusters = self.record, self.clusters
        if clusters is None or not self.usable:
            return None
        part = record.design.mean
        if isinstance(record, GlmRecord) and record.design.n * part.matrix.p <= MOST_CELLS // 4:
            x, w = (part.matrix.dense() - part.center) / part.scale, row_terms(record)[1]
            gram = (x * w[:, None]).T @ x
            if not positive_definite(gram):
                return None
            rows = (x @ np.linalg.inv(gram)) * x * w[:, None]
            return np.stack([np.bincount(self.codes, column, minlength=len(clusters.levels)) for column in rows.T], axis=1)
        if isinstance(record, GeeRecord) and len(clusters.levels) * part.matrix.p**2 <= MOST_CELLS // 4:
            curvature = np.concatenate([a for a, _ in gee_estimator.pieces(record, clusters.name, True) if a is not None])
            total = curvature.sum(axis=0)
            return np.einsum("ab,jba->ja", np.linalg.inv(total), curvature) if positive_definite(total) else None
        return None

    @property
    def robust(self) -> bool:
        """Whether standard errors come from sums over clusters."""
        return self.kind != "model" if isinstance(self.record, GeeRecord) else self.kind == "clustered"

    @property
    def trusts_variance(self) -> bool:
        """Whether standard errors rest on the family's variance."""
        return self.kind == "model"

    @property
    def kind(self) -> str:
        """Which covariance was asked for, "clustered" for a GLM's or a mixed model's by clusters."""
        if isinstance(self.record, GeeRecord):
            return asked_of(self.vcov).kind
        return self.vcov if isinstance(self.vcov, str) else str(self.vcov.get("type", "clustered"))

    @cached_property
    def posterior(self) -> tuple[Floats, ...] | None:
        """Conditional variances of the effects, per term; None where there are too many of them to be factorised."""
        if self.mixed is None or too_many(self.mixed) or sum(e.size for e in self.mixed.effects) > MOST_EFFECTS:
            return None
        found = conditional_variances(self.mixed)
        return found if all(np.isfinite(v).all() for v in found) else None

    @property
    def distribution(self) -> Distribution | None:
        """The family as a distribution, where it is one that is known."""
        record = self.record
        return DISTRIBUTIONS.get(record.family.name) if isinstance(record.family.kernel, int) and not record.design.multiplied else None

    @property
    def largest_sd(self) -> float:
        """The largest standard deviation of a random effect, on the linear predictor (of an LMM relative to sigma)."""
        roots = () if self.mixed is None else self.mixed.roots
        return max((float(np.hypot.reduce(root, axis=1).max(initial=0.0)) for root in roots), default=0.0)

    def sizes(self, term: RandomTerm) -> Ints:
        """(J,) rows of each level."""
        return np.bincount(term.refs, minlength=len(term.levels))


def least_squares(design: Design) -> Marginal | None:
    """Of a gaussian model with identity link: one pass and one solution."""
    rows = mean_rows(design, Control().n_threads)
    once = rows.glm(0, 0, np.zeros(rows.p))
    if not positive_definite(once.information):
        return None
    left = design.y - rows.eta(solve(once.information, once.score))
    size = np.ones(design.n) if design.size is None else design.size
    return Marginal(left * np.sqrt(size), left * size, size)
