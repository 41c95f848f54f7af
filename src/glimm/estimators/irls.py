"""Fisher scoring with step-halving: beta <- beta + (X'WX)^-1 X'd, W the expected information."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from ..design.coordinates import to_working
from ..design.records import Design
from ..errors import GlimmError
from ..family import Family, Link
from ..family.records import POSITIVE
from ..kernels import GlmPass, Rows, positive_solve, solve
from ..kernels import link as link_eta
from ..kernels.families import Psi
from ..kernels.matrix import Floats
from .control import Control
from .source import GlmRows, mean_rows

CANONICAL = {
    ("gaussian", "identity"),
    ("binomial", "logit"),
    ("poisson", "log"),
    ("quasibinomial", "logit"),
    ("quasipoisson", "log"),
}
QUADRATIC = 1e-8
LINEAR = 1e-20
STEEP = ("log", "logit", "probit", "cloglog", "loglog")
"""Links whose means are at their bounds a few tens away."""
LARGE, LONGEST, ENDLESS = 100.0, 30.0, 1e100
SLOW, ALIKE = 0.8, 0.999
"""Steps that shrink by less than this, all in one direction, are summed to their end, where a mean of zero has no likelihood."""


Parts = Callable[[], Iterable[Design]]
__all__ = ["Parts", "Scoring", "mean_rows", "row_unit", "score_iterations", "start"]


@dataclass(frozen=True, slots=True)
class Scoring:
    """Where scoring ended: working beta, the pass there, the last decrement (log-likelihood units), passes used."""

    beta: Floats
    last: GlmPass
    decrement: float
    passes: int
    converged: bool


def start(design: Design, family: Family, link: Link, control: Control, rows: GlmRows, psi: Psi = (), parts: Parts | None = None) -> Floats:
    """(p,) working coefficients to begin from: the caller's, else the mean response, else least squares on g(shrunken y).

    parts : the design's rows in pieces, where it does not hold them
    """
    part = design.mean
    if control.start is not None:
        unknown = [name for name in control.start if name not in part.names]
        if unknown:
            raise GlimmError(f"control: start names {unknown[0]!r}, which is not a term (terms: {', '.join(part.names)})")
        return to_working(part, np.array([float(control.start.get(name, 0.0)) for name in part.names]))
    beta = np.zeros(part.matrix.p)
    if family.name == "gaussian" and link.name == "identity":
        return beta
    totals = design.totals
    shift, center = totals.offset / totals.n, totals.mean
    if part.intercept is not None:
        mean = (center * design.n + 0.5) / (design.n + 1.0) if family.support == "binomial" else center
        eta = float(link_eta(link.kernel, np.array([mean]))[0])
        beta[part.intercept] = eta - shift if np.isfinite(eta) else 0.0
        if np.isfinite(rows.glm(family.kernel, link.kernel, beta, psi).loglik):
            return beta
    information, score = np.zeros((part.matrix.p, part.matrix.p)), np.zeros(part.matrix.p)
    for piece in parts() if parts is not None else (design,):
        own = piece.mean
        target = link_eta(link.kernel, _shrunk(piece, center, family, link)) - (0.0 if own.offset is None else own.offset)
        threads = rows.threads if isinstance(rows, Rows) else 1
        found = Rows(own.matrix, own.center, own.scale, target, threads=threads).glm(0, 0, np.zeros(part.matrix.p))
        information, score = information + found.information, score + found.score
    return solve(information, score)


def _shrunk(design: Design, center: float, family: Family, link: Link) -> Floats:
    """Responses that the link can take; center : the mean response."""
    y = design.y
    if family.support == "binomial":
        size = design.size if design.size is not None else np.ones(design.n)
        return np.asarray((size * y + 0.5) / (size + 1.0))
    least = 0.1 * max(abs(center), 1e-8)
    if family.support == "real":
        if link.name == "identity":
            return y
        return np.maximum(y, least) if link.name in POSITIVE or link.name.startswith("power") else np.clip(y, 0.05, 0.95)
    if family.support == "count":
        return np.maximum(y, least) if link.name == "log" else y + 0.1
    return np.maximum(y, least) if family.support == "nonnegative" else y


def row_unit(design: Design, family: Family) -> float:
    """What one row adds to the log-likelihood at dispersion 1, where that is 1 at most 1: decrements are measured against it."""
    totals = design.totals
    unit = totals.size / totals.n
    if family.scale_known:
        return min(1.0, max(unit, 1e-300))
    if family.name == "gaussian":
        return min(max(unit * (totals.spread / totals.n or 1.0), 1e-300), 1e300)
    with np.errstate(over="ignore", under="ignore"):
        return float(min(max(unit * np.float64(totals.mean) ** (2.0 - variance_power(family)), 1e-300), 1e300))


def variance_power(family: Family) -> float:
    """p of v(mu) = mu^p, about, for families whose deviance has a unit; 2 for the others."""
    if family.name in ("tweedie", "quasi"):
        given = family.fixed[1] if family.fixed else None
        return 1.5 if given is None else given
    return {"inverse_gaussian": 3.0, "quasipoisson": 1.0}.get(family.name, 2.0)


def score_iterations(
    rows: GlmRows, family: Family, link: Link, beta: Floats, control: Control, near: float | None = None, psi: Psi = (), unit: float = 1.0
) -> Scoring:
    """Fisher scoring from beta until the decrement says that the next step would change nothing that is reported.

    psi : the family's own parameters, held where they are

    near : stop at this decrement (log-likelihood units) where only a start for another search is needed
    unit : of the decrement, `row_unit`

    Raises GlimmError if the starting values are outside the family's range.
    """
    now = rows.glm(family.kernel, link.kernel, beta, psi)
    if not np.isfinite(now.loglik):
        raise GlimmError(
            f"no starting values inside the range of family {family.name!r} with link {link.name!r} were found: "
            "give some with control=glimm.Control(start={'Intercept': ...}), or use the default link"
        )
    if rows.p == 0:
        return Scoring(beta, now, 0.0, 1, True)
    enough = unit * (QUADRATIC if (family.name, link.name) in CANONICAL else LINEAR)
    passes, previous, last_round = 1, np.inf, False
    before: Floats | None = None
    for _ in range(control.max_iter):
        step = positive_solve(now.information, now.score)
        if step is None or not np.abs(step).max() < ENDLESS:
            return Scoring(beta, now, previous, passes, False)
        decrement = float(step @ now.score)
        if near is not None and decrement < near * unit:
            return Scoring(beta, now, decrement, passes, True)
        if last_round or (decrement < 1e-15 * unit and decrement > 0.8 * previous):
            return Scoring(beta, now, decrement, passes, True)
        last_round = decrement < enough
        length = _summed(before, step, decrement, previous) if family.support == "positive" else 1.0
        previous, before = decrement, step if length == 1.0 else None
        if link.name in STEEP and decrement > LARGE * unit:  # to where every mean is at a bound there is no way back
            length /= max(1.0, rows.change(beta + step, beta) / LONGEST)
        least = 1e-8 * length
        while True:
            candidate = beta + length * step
            trial = rows.glm(family.kernel, link.kernel, candidate, psi)
            passes += 1
            if trial.loglik >= now.loglik - 1e-10 * abs(now.loglik) - 1e-12 * unit:
                break
            length *= 0.5
            if length < least:
                return Scoring(beta, now, decrement, passes, decrement < 1e-6 * unit)
        beta, now = candidate, trial
    return Scoring(beta, now, previous, passes, False)


def _summed(before: Floats | None, step: Floats, decrement: float, previous: float) -> float:
    """How many steps lie ahead where each is r times the one before: 1 + r + r^2 + ... = 1 / (1 - r); 1 where they are not.

    The expected information is that much larger than the observed one, near a bound of the linear predictor.
    Source: Aitken (1926), Proc. R. Soc. Edinburgh 46, 289-305.
    """
    if before is None or not 0.0 < decrement < previous:
        return 1.0
    rate = float(np.sqrt(decrement / previous))
    alike = float(before @ step) > ALIKE * float(np.linalg.norm(before)) * float(np.linalg.norm(step))
    return 1.0 / (1.0 - rate) if rate > SLOW and alike else 1.0
