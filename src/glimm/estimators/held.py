"""A mixed model with one standard deviation held: the profile -2 log L(sd), everything else searched again from the estimates.

Of an LMM theta = sd / sigma is held, and sd told at the estimated sigma.
Source: Bates et al. (2015), J. Stat. Softw. 67(1), section 5.1 (profiles of the deviance).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from ..covariance.layout import Layout, Shapes, slices
from ..design.coordinates import effects_to_named, to_working
from ..design.records import RandomTerm
from ..kernels import Limits, Optimum
from ..kernels.matrix import Bools, Floats
from ..progress import Progress
from ..records import MixedRecord
from .boundary import Search
from .control import Control
from .engines import control_of, linear_engine, mixed_engine
from .glmm import EVALUATIONS, Problem, fit_glmm
from .lmm import CAP, fit_lmm
from .terms import working_effects

TOL = 1e-4
FAR = 8
CLOSE = 0.02


class Held(NamedTuple):
    """A standard deviation as named, and by how much -2 log L is above its minimum there."""

    sd: float
    rise: float


@dataclass(frozen=True, slots=True)
class Profile:
    """One effect's standard deviation held at values, in a model whose estimate of it is zero or any other number.

    run : search with these shapes; x : where the model ended; at : place of the effect in x; unit : named sd of theta = 1
    """

    search: Search
    shapes: Shapes
    x: Floats
    at: int
    unit: float
    value: float

    def rise(self, sd: float) -> float:
        """-2 log L with the sd held there, above the model's own."""
        x, free = self.x.copy(), np.ones(len(self.x), dtype=bool)
        x[self.at], free[self.at] = sd / self.unit, False
        return self._run(x, free).value - self.value

    def _run(self, x: Floats, free: Bools) -> Optimum:
        """The search over what is free."""
        scales = np.zeros(len(x), dtype=bool)
        for at, s in zip(slices(self.shapes, self.search.first), self.shapes, strict=True):
            scales[at] = s.scales
        return self.search.run(self.shapes, x, Limits(np.full(len(x), -np.inf), scales, free, CAP, TOL, 50 if free.any() else 1))


def profile(record: MixedRecord, index: int, effect: int) -> Profile | None:
    """The profile of an effect of the random term `index`; None where effects of the term are correlated."""
    term, layout = record.design.mean.random[index], record.layouts[index]
    if not isinstance(layout, Layout) or not (layout.independent or layout.k == 1) or np.count_nonzero(term.mix) != len(term.mix):
        return None
    back = effects_to_named(term)
    unit = float(back[effect, effect]) * (np.sqrt(record.scale) if record.linear else 1.0)
    rows = np.union1d(layout.rows, [int(np.flatnonzero(layout.order == effect)[0])])
    wider = Layout(layout.order, rows, rows)
    place = int(np.searchsorted(rows, np.flatnonzero(layout.order == effect)[0]))
    shapes = (*record.layouts[:index], wider, *record.layouts[index + 1 :])
    at = slices(record.layouts)[index]
    own = np.zeros(len(rows))
    own[np.searchsorted(rows, layout.rows)] = record.work_theta[at]
    theta = np.concatenate([record.work_theta[: at.start], own, record.work_theta[at.stop :]])
    search, x, first = _search(record, theta)
    still = Profile(search, shapes, x, first + at.start + place, unit, 0.0)
    return replace(still, value=still._run(x, np.zeros(len(x), dtype=bool)).value)


def upper_limit(p: Profile, start: float, rise: float) -> Held | None:
    """The sd above the estimate where -2 log L is `rise` above its minimum; None where it does not get there."""
    sd, seen = start, []
    for _ in range(FAR):
        found = p.rise(sd)
        if not np.isfinite(found):
            return None
        seen.append(Held(sd, found))
        if abs(found - rise) < CLOSE * rise:
            break
        step = np.sqrt(rise / found) if found > 0.02 * rise else 4.0
        below = [h for h in seen if h.rise <= rise]
        above = [h for h in seen if h.rise > rise]
        if below and above:
            a, b = max(below), min(above)
            share = (rise - a.rise) / (b.rise - a.rise)
            sd = float(np.sqrt(a.sd**2 + share * (b.sd**2 - a.sd**2)))
        else:
            sd = float(sd * np.clip(step, 0.2, 4.0))
    best = min(seen, key=lambda h: abs(h.rise - rise))
    return best if abs(best.rise - rise) < 0.2 * rise else None


def refitted(record: MixedRecord, terms: tuple[RandomTerm, ...]) -> MixedRecord:
    """The same fixed part and family with other random terms; as many quadrature points where they allow it."""
    part = replace(record.design.mean, random=terms)
    design = replace(record.design, parts={**record.design.parts, "mean": part})
    if record.linear:
        return fit_lmm(design, record.family, record.reml, Control())
    return fit_glmm(design, record.family, record.points, Control())


def _search(record: MixedRecord, theta: Floats) -> tuple[Search, Floats, int]:
    """The search, the vector that it starts from, and how many parameters stand before theta."""
    design, control = record.design, control_of(record)
    terms = tuple(working_effects(t) for t in design.mean.random)
    if record.linear:
        engine = linear_engine(design, terms, record.reml, control)
        return Search(engine.run, engine.slope, 0, engine.typical(), CAP, TOL, 50), theta, 0
    mixed = mixed_engine(design, record.family, terms, control)
    problem = Problem(design, record.family, terms, Control(), mixed, Progress("profile", EVALUATIONS, False))
    beta = to_working(design.mean, record.vector[record.blocks["mean"]])
    x = np.concatenate([beta, theta, record.vector[record.blocks["family"]]])
    return problem.search(record.points), x, len(beta)
