"""A GLM under linear restrictions on its coefficients: beta = base + F c over the same rows, c by scoring on F'U and F'I F.

No column is formed: every pass is over the rows of the whole model, so that factors stay codes and a fit's value, slope and
information are those of the whole model at the restricted estimates. Families with parameters of their own have them refitted.
Everything is in working columns.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from ..design.coordinates import to_working
from ..errors import GlimmError
from ..kernels import GlmPass, Rows, inverse_or_nan, mean
from ..kernels.families import FamilyKernel, LinkKernel, Psi
from ..kernels.matrix import Floats
from ..records import GlmRecord
from .control import Control
from .irls import mean_rows, row_unit, score_iterations, start
from .joint import Joint, descend, moments, plain
from .source import HeldRows

DEGENERATE = 1e-11
ROUGHLY = 1e-2
LARGEST = 1e290
NO_VALUE = "the likelihood and its slope are beyond the numbers there: read fit.record.solution"


class Point(NamedTuple):
    """Coefficients and what the likelihood is there.

    beta : (p,); psi : (k,) the family's own parameters that are estimated; value : -2 log L, of families without them at dispersion 1
    and up to a constant; slope : (p,) of value in beta; curvature : (p, p) of value, expected (psi eliminated where it is estimated
    together with beta); converged : whether the search ended
    """

    beta: Floats
    psi: Floats
    value: float
    slope: Floats
    curvature: Floats
    converged: bool


def by_likelihood(record: GlmRecord) -> bool:
    """Whether the family has parameters that are estimated with the coefficients, so that values are -2 log L of all of them."""
    return record.family.shaped or not isinstance(record.family.kernel, int)


def in_range(value: float, slope: Floats, curvature: Floats) -> bool:
    """Whether they are numbers, and so far from the largest that sums and products of few of them are too."""
    return bool(abs(value) < LARGEST and np.abs(slope).max(initial=0.0) < LARGEST and np.abs(curvature).max(initial=0.0) < LARGEST)


@dataclass(frozen=True, slots=True)
class Within:
    """Rows of a model with the coefficients base + F c, as scoring asks of rows."""

    rows: Rows
    base: Floats
    free: Floats

    @property
    def n(self) -> int:
        """Rows."""
        return self.rows.n

    @property
    def p(self) -> int:
        """Coefficients c."""
        return int(self.free.shape[1])

    def glm(self, family: FamilyKernel, link: LinkKernel, beta: Floats, psi: Psi = ()) -> GlmPass:
        """One pass of a GLM at c."""
        whole = self.rows.glm(family, link, self.base + self.free @ beta, psi)
        if not in_range(whole.loglik, whole.score, whole.information):
            return GlmPass(float("nan"), np.zeros(self.p), np.zeros((self.p, self.p)))
        return GlmPass(whole.loglik, self.free.T @ whole.score, self.free.T @ whole.information @ self.free)

    def change(self, a: Floats, b: Floats) -> float:
        """The largest |eta(a) - eta(b)| of a row."""
        return self.rows.change(self.base + self.free @ a, self.base + self.free @ b)


@dataclass(frozen=True, slots=True)
class Restricted:
    """A fitted GLM, to be fitted again under restrictions. rows : of the whole model; unit : what one row adds to the log-likelihood."""

    record: GlmRecord
    rows: Rows
    unit: float
    control: Control

    def estimate(self) -> Point:
        """The fit itself."""
        record = self.record
        beta = to_working(record.design.mean, record.vector[record.blocks["mean"]])
        psi = record.vector[record.blocks["family"]] if by_likelihood(record) and "family" in record.blocks else np.zeros(0)
        return self.at(beta, psi, record.solution.code in ("converged", "boundary"))

    def at(self, beta: Floats, psi: Floats, converged: bool = True) -> Point:
        """The likelihood at coefficients; raises GlimmError where they are impossible."""
        record, p = self.record, len(beta)
        if by_likelihood(record):
            ok, value, slope, curvature = self._joint.evaluate(np.concatenate([beta, psi]))
            if not (ok and in_range(value, slope, curvature)):
                raise GlimmError(NO_VALUE)
            own, cross = curvature[p:, p:], curvature[p:, :p]
            inverse = inverse_or_nan(own)
            if len(own) and np.isfinite(inverse).all():
                curvature = curvature[:p, :p] - cross.T @ inverse @ cross
            return Point(beta, psi, value, slope[:p], curvature[:p, :p], converged)
        found = self.rows.glm(record.family.kernel, record.design.mean.link.kernel, beta, record.family.psi())
        if not in_range(found.loglik, found.score, found.information):
            raise GlimmError(NO_VALUE)
        return Point(beta, psi, -2.0 * found.loglik, -2.0 * found.score, 2.0 * found.information, converged)

    def fit(self, base: Floats, free: Floats, near: Point) -> Point:
        """The maximum over base + F c. near : where the search begins, as close to it as the restrictions allow.

        Raises GlimmError where no starting values are inside the family's range.
        """
        tried: GlimmError | None = None
        for begin in self._starts(base, free, near):
            within = Within(self.rows, base, free)
            try:
                return self._joint_fit(within, begin, near.psi) if by_likelihood(self.record) else self._scored(within, begin, near.psi)
            except GlimmError as error:
                tried = error
        assert tried is not None
        raise tried

    def fit_afresh(self, space: Floats, near: Point) -> Point:
        """The maximum over F c; where a family has several parameters, and with them several maxima, from the model's own start too."""
        base, family, design = np.zeros(len(space)), self.record.family, self.record.design
        found = self.fit(base, space, near)
        if not (by_likelihood(self.record) and len(family.free) > 1 and isinstance(family.kernel, int)):
            return found
        first, within = plain(family), Within(self.rows, base, space)
        begin = _nearest(found.beta, space, near.curvature)
        scoring = score_iterations(
            within, family, design.mean.link, begin, self.control, ROUGHLY, family.psi(first), row_unit(design, family)
        )
        mu = mean(design.mean.link.kernel, self.rows.eta(space @ scoring.beta))[0]
        other = self._joint_fit(within, scoring.beta, moments(lambda: ((design, mu),), family, family.psi(first)))
        return min(found, other, key=lambda point: point.value)

    def _starts(self, base: Floats, free: Floats, near: Point) -> Iterator[Floats]:
        """c to begin from: nearest to a point in the metric of its curvature, then to where a search of the model begins."""
        yield _nearest(near.beta - base, free, near.curvature)
        record = self.record
        first = start(record.design, record.family, record.design.mean.link, self.control, self.rows, self._psi(near.psi))
        yield _nearest(first - base, free, near.curvature)

    def _psi(self, psi: Floats) -> Floats:
        return self.record.family.psi(psi)

    def _scored(self, within: Within, begin: Floats, psi: Floats) -> Point:
        family, link = self.record.family, self.record.design.mean.link
        found = score_iterations(within, family, link, begin, self.control, None, self._psi(psi), self.unit)
        if not found.converged and found.passes > self.control.max_iter and within.p:
            # scoring is slow far from the estimates, above all with cauchit: Newton's method, at dispersion 1
            beta, _, converged = self._newton(within, found.beta, np.zeros(len(family.free)), False)
            return self.at(beta, psi, converged)
        return self.at(within.base + within.free @ found.beta, psi, found.converged)

    def _joint_fit(self, within: Within, begin: Floats, psi: Floats) -> Point:
        return self.at(*self._newton(within, begin, psi, True))

    def _newton(self, within: Within, begin: Floats, psi: Floats, moving: bool) -> tuple[Floats, Floats, bool]:
        """(beta, psi, converged) of -2 log L over c, and over psi where it is moving."""
        q, p, k = within.p, len(within.base), len(psi) if moving else 0
        wide = np.zeros((p + len(psi), q + k))
        wide[:p, :q], wide[p : p + k, q:] = within.free, np.eye(k)
        fixed = np.concatenate([within.base, psi * (not moving)])

        def evaluate(v: Floats) -> tuple[bool, float, Floats, Floats]:
            ok, value, slope, curvature = self._joint.evaluate(fixed + wide @ v)
            if not (ok and in_range(value, slope, curvature)):
                return False, np.inf, np.zeros(q + k), np.eye(q + k)
            return True, value, wide.T @ slope, wide.T @ curvature @ wide

        at = np.concatenate([begin, psi[:k]])
        if not evaluate(at)[0]:
            raise GlimmError(f"no starting values inside the range of family {self.record.family.name!r} were found")
        if not len(at):
            return within.base, psi, True
        control = replace(self.control, tol=self.control.tol * self._joint.unit)
        found = descend(evaluate, at, np.ones(len(at), dtype=bool), control)
        v = fixed + wide @ found.x
        return v[:p], v[p:], found.converged

    @property
    def _joint(self) -> Joint:
        return Joint(HeldRows(self.record.design, self.rows.threads), self.record.family)


def restricted(record: GlmRecord) -> Restricted:
    """What fits a GLM again under restrictions."""
    control = Control()
    return Restricted(record, mean_rows(record.design, control.n_threads), row_unit(record.design, record.family), control)


def _nearest(distance: Floats, free: Floats, metric: Floats) -> Floats:
    """c that makes F c nearest to a distance, in a metric where that has one."""
    inner = inverse_or_nan(free.T @ metric @ free)
    if np.isfinite(inner).all():
        return np.asarray(inner @ (free.T @ (metric @ distance)))
    return np.asarray(np.linalg.lstsq(free, distance, rcond=None)[0])


def orthonormal(columns: Floats) -> Floats:
    """(p, r) an orthonormal basis of what columns (p, k) span, each scaled to length 1 first."""
    length = np.linalg.norm(columns, axis=0)
    there = columns[:, length > 0.0] / length[length > 0.0]
    left, values, _ = np.linalg.svd(there, full_matrices=False)
    return np.asarray(left[:, values > DEGENERATE * max(float(values.max(initial=0.0)), 1e-300)])
