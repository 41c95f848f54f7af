"""A GLM with parameters of its own: -2 log L(beta, psi), minimised together by Newton's method with its Hessian.

H_bb = -2 X'diag(l'')X, H_bk = -2 X'dl'/dpsi_k; H_kl by central differences of the exact slope in psi.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..design.records import Design
from ..design.totals import block_sum, blocks, in_order
from ..errors import GlimmError
from ..family import Family, Link
from ..family.own import Functions
from ..family.records import transformed
from ..kernels import Limits, Optimum, Rows, constant, jets, mean, minimise, positive_definite, psi_jets, solve, variance
from ..kernels.gee import BLOCK_ROWS
from ..kernels.matrix import Bools, Floats
from .control import Control
from .irls import Parts, Scoring, mean_rows, row_unit, score_iterations, start
from .source import GlmRows, Means, RowSource

STEP = 1e-4
CLEAR = 1e6
FARTHEST = 4.0
DIGITS = 1e-4
EXACT = 1e-24
HUGE = 1e140
VANISHED = 1e-6
SPREAD: dict[str, Callable[[list[float], Floats], float]] = {
    "gaussian": lambda v, y: v[0] ** 2 / max(float(y.var()), 1e-300),
    "gamma": lambda v, y: v[0],
    "inverse_gaussian": lambda v, y: v[0] * float(y.mean()),
    "tweedie": lambda v, y: v[0] * float(y.mean()) ** ((v[1] if len(v) > 1 else 1.5) - 2.0),
    "beta": lambda v, y: 1.0 / v[0],
}
"""The squared coefficient of variation of a row, about, from the family's parameters."""
FIRST = {"beta": 5.0, "power": 1.5}
"""Natural values that a first pass takes for the parameters; 1 for the others."""


@dataclass(frozen=True, slots=True)
class Joint:
    """-2 log L of a source's rows as a function of (working beta | psi that is estimated)."""

    source: RowSource
    family: Family

    def evaluate(self, v: Floats) -> tuple[bool, float, Floats, Floats]:
        """(finite, value, gradient, Hessian)."""
        p, free = self.source.natural.p, list(self.family.free)
        n, k = len(v), len(free)
        psi, logliks = self.family.psi(v[p:]), (0.0, 0.0)
        gradient, hessian, sides = np.zeros(n), np.zeros((n, n)), np.zeros((k, 2, k))
        for part in self.source.parts():
            found = self._part(part, v[:p], psi, logliks)
            if found is None:
                return False, np.inf, np.zeros(n), np.eye(n)
            logliks, d1, d2, slope, d1_psi, moved = found
            rows = self.source.rows(part)
            gradient[:p] = _times(rows, d1, gradient[:p])
            columns = part.mean.matrix, part.mean.center, part.mean.scale
            hessian[:p, :p] += Rows(*columns, size=d2, threads=rows.threads).gram()
            for i, which in enumerate(free):
                gradient[p + i] = block_sum(slope[which], float(gradient[p + i]))
                hessian[p + i, :p] = _times(rows, d1_psi[which], hessian[p + i, :p])
                for side in (0, 1):
                    sides[i, side] = [
                        block_sum(values, float(before)) for values, before in zip(moved[i][side], sides[i, side], strict=True)
                    ]
        if not np.isfinite(sides).all():
            return False, np.inf, np.zeros(n), np.eye(n)
        value = -2.0 * sum(logliks)
        hessian[:p, p:] = hessian[p:, :p].T
        hessian[p:, p:] = (sides[:, 0] - sides[:, 1]) / (2.0 * STEP)
        hessian[p:, p:] = 0.5 * (hessian[p:, p:] + hessian[p:, p:].T)
        ok = bool(np.isfinite(value) and np.all(np.isfinite(gradient)) and np.all(np.isfinite(hessian)))
        return ok, value, -2.0 * gradient, -2.0 * hessian

    def _part(
        self, design: Design, beta: Floats, psi: Floats, before: tuple[float, float]
    ) -> tuple[tuple[float, float], Floats, Floats, Floats, Floats, Any] | None:
        """Of a part: both sums of the log-likelihood up to there; by row l', l'', slopes in psi, their l', slopes beside each free psi."""
        family, free = self.family, list(self.family.free)
        kernels = family.kernel, design.mean.link.kernel
        eta = self.source.rows(design).eta(beta)
        rows, d1, d2, _ = jets(*kernels, design.y, eta, design.size, psi)
        logliks = block_sum(rows, before[0]), block_constant(design, family, psi, before[1])
        if not (np.isfinite(sum(logliks)) and np.all(np.isfinite(d2))):
            return None
        slope, d1_psi, _ = psi_jets(*kernels, design.y, eta, design.size, psi, True, design.multiplied)
        moved = []
        for k in free:
            at = [psi.copy(), psi.copy()]
            at[0][k] += STEP
            at[1][k] -= STEP
            moved.append([psi_jets(*kernels, design.y, eta, design.size, one, True, design.multiplied)[0][free] for one in at])
        return logliks, d1, d2, slope, d1_psi, moved

    @property
    def unit(self) -> float:
        """Of -2 log L: that of a row where weights multiply it."""
        design = self.source.design
        return design.totals.weights / design.n if design.multiplied else 1.0

    def search(self, v: Floats, control: Control, only_psi: bool = False) -> Optimum:
        """`descend` from v, with beta held where only_psi."""
        free = np.ones(len(v), dtype=bool)
        free[: self.source.natural.p if only_psi else 0] = False
        return descend(self.evaluate, v, free, control, self.unit)


def descend(
    evaluate: Callable[[Floats], tuple[bool, float, Floats, Floats]], v: Floats, free: Bools, control: Control, unit: float = 1.0
) -> Optimum:
    """The minimum from v; the last steps are plain Newton steps as long as they lower the gradient.

    evaluate : as `minimise` takes it; free : (P,) parameters that may move; unit : of the decrement
    """
    n = len(v)
    limits = Limits(np.full(n, -np.inf), np.zeros(n, dtype=bool), free, 4.0, control.tol * unit, control.max_iter)
    found = minimise(evaluate, v, limits)
    ok, value, gradient, hessian = evaluate(found.x)  # the search ends with a step, and its Hessian has gathered secants
    if ok:
        found = replace(found, value=value, gradient=gradient, hessian=hessian)
    for _ in range(4):
        g, h = found.gradient[free], found.hessian[np.ix_(free, free)]
        if not (found.converged and positive_definite(h)):
            break
        x = found.x.copy()
        x[free] -= solve(h, g)
        ok, value, gradient, hessian = evaluate(x)
        if not (ok and float(gradient[free] @ solve(h, gradient[free])) < 0.5 * float(g @ solve(h, g))):
            break
        found = replace(found, x=x, value=value, gradient=gradient, hessian=hessian, evaluations=found.evaluations + 1)
    return found


def _times(rows: Rows, v: Floats, before: Floats) -> Floats:
    """before + X'v, block by block."""
    if rows.p == 0:
        return before
    starts = np.append(np.arange(0, rows.n, BLOCK_ROWS, dtype=np.int64), rows.n)
    return in_order(rows.cluster_scores(v, starts), before)


def block_constant(design: Design, family: Family, psi: Floats, before: float = 0.0) -> float:
    """The terms of the log-likelihood that are free of eta, added to what came before, block by block."""
    total = before
    for at in blocks(design.n):
        trials, weights = (None if v is None else v[at] for v in (design.trials, design.weights))
        total += constant(family.kernel, design.y[at], trials, weights, psi, design.multiplied)
    return total


def fit_joint(source: RowSource, family: Family, control: Control) -> Optimum:
    """(working beta | psi) together.

    Raises GlimmError if no starting values are inside the family's range, or no row is left to estimate a dispersion from.
    """
    design, p = source.design, source.natural.p
    if design.n <= p and family.free and not isinstance(family.kernel, Functions):
        raise GlimmError(
            f"{design.n} rows for {p} coefficients: the fit is exact, and nothing is left to estimate {family.estimated[0]} from"
        )
    scoring, psi = scored(design, family, design.mean.link, control, source.natural, 1e-2, source.parts)
    if family.free and not family.start:
        psi = moments(source.means(scoring.beta), family, family.psi(psi))
    return Joint(source, family).search(np.concatenate([scoring.beta, psi]), control)


def dispersion(source: RowSource, family: Family, beta: Floats, scale: float, control: Control) -> Optimum:
    """The psi of maximum likelihood at working beta, from a dispersion to begin with."""
    at = np.concatenate([beta, [np.log(scale) if scale > 0.0 else 0.0]])
    return Joint(source, family).search(at, control, only_psi=True)


def begin(design: Design, family: Family, link: Link, control: Control, rows: Rows, near: float | None = 1e-2) -> tuple[Scoring, Floats]:
    """Coefficients by Fisher scoring at plain values of the family's parameters, and their own by the spread of the residuals."""
    whole = rows.n == design.n
    scoring, first = scored(design, family, link, control, rows, near, lambda: (design,) if whole else ())
    if not family.free or family.start or not whole:
        return scoring, first
    mu = mean(link.kernel, rows.eta(scoring.beta))[0]
    return scoring, moments(lambda: ((design, mu),), family, family.psi(first))


def scored(
    design: Design, family: Family, link: Link, control: Control, rows: GlmRows, near: float | None, parts: Parts
) -> tuple[Scoring, Floats]:
    """Coefficients by Fisher scoring at plain values of the family's parameters, and these; parts : the rows in pieces."""
    first = plain(family)
    psi = family.psi(first)
    beta = start(design, family, link, control, rows, psi, parts if rows.n == design.n else None)
    if isinstance(family.kernel, Functions):
        for part in parts():
            family.kernel.check(part.y, mean(link.kernel, mean_rows(part, 1).eta(beta))[0], psi, part.rows)
    return score_iterations(rows, family, link, beta, control, near, psi, row_unit(design, family)), first


def plain(family: Family) -> Floats:
    """Values of the estimated parameters, transformed, for a first pass."""
    if family.start:
        return np.array([float(np.log(family.start[k])) for k in family.free])
    return np.array([transformed(family.transforms[k], FIRST.get(family.name, FIRST.get(family.parameters[k], 1.0))) for k in family.free])


def moments(means: Means, family: Family, psi: Floats) -> Floats:
    """The estimated parameters, transformed, from squared residuals: rough values to begin a search from.

    Raises GlimmError for a continuous response without residuals: its density has no largest value.
    """
    n, largest, total, mu_sum, mu_squares, inner, ratios = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    ratio = family.name not in ("negative_binomial", "negative_binomial1", "beta")
    for design, mu in means():
        here = float(np.abs(mu).max(initial=0.0))
        largest = here if not here <= largest else largest
        if not largest < HUGE:
            break
        squares = (design.y - mu) ** 2
        n = block_sum(design.weights, n) if design.multiplied and design.weights is not None else n + design.n
        total, mu_sum, mu_squares = block_sum(squares, total), block_sum(mu, mu_sum), block_sum(mu**2, mu_squares)
        inner = block_sum(mu * (1.0 - mu), inner)
        if ratio:
            ratios = block_sum((1.0 if design.size is None else design.size) * squares / variance(family.kernel, mu, psi), ratios)
    if not largest < HUGE:
        raise GlimmError(
            f"a fitted mean is {largest:.3g} at the start: look for extreme values of predictors and offset, or give starting values with "
            "control=glimm.Control(start={'Intercept': ...})"
        )
    if total <= EXACT * mu_squares and not family.name.startswith(("gaussian", "negative_binomial")):
        raise GlimmError(f"the predictors fit every row exactly, so there is no variation left to estimate {family.estimated[0]} from")
    if family.name == "negative_binomial":
        value = mu_squares / max(total - mu_sum, 1e-2 * total, 1e-300)
    elif family.name == "negative_binomial1":
        value = max(total / mu_sum - 1.0, 0.05)
    elif family.name == "beta":
        value = max(inner / total - 1.0, 0.5)
    else:
        value = max(ratios / n, 1e-300)
    rest = [transformed(family.transforms[k], FIRST["power"]) for k in family.free[1:]]
    return np.array([np.log(min(max(value, 1e-3), 1e3)) if family.scale_known else np.log(value), *rest])


def blurred(family: Family, psi: Floats, n: int) -> str:
    """What is to be said where a parameter is so large that log Gamma leaves few digits of the log-likelihood; nothing elsewhere."""
    if family.name != "beta" or not len(psi):
        return ""
    value = float(np.exp(psi[0]))
    lost = np.finfo(np.float64).eps * n * value * max(float(psi[0]), 1.0)
    if lost < DIGITS:
        return ""
    return f"the estimated precision is {value:.2g}, so large that the log-likelihood is known to about {lost:.1g} only"


def vanished(family: Family, psi: Floats, y: Floats) -> bool:
    """Whether the dispersion leaves next to nothing of what differs between rows."""
    if not len(psi) or isinstance(family.kernel, Functions) or family.name not in SPREAD:
        return False
    values = family.natural(psi)[0].tolist()
    return SPREAD[family.name](values, y) < VANISHED


def without_end(family: Family, psi: Floats) -> str:
    """What is to be said where a parameter has run off to where the family is a simpler one; nothing elsewhere."""
    if not len(psi) or isinstance(family.kernel, Functions):
        return ""
    value = float(family.natural(psi)[0][0])
    if family.name == "negative_binomial" and value > CLEAR:
        return "the estimated k has no end: the counts vary no more than Poisson counts, use family='poisson'"
    if family.name == "negative_binomial1" and value < 1.0 / CLEAR:
        return "the estimated alpha is zero: the counts vary no more than Poisson counts, use family='poisson'"
    if family.name == "tweedie" and len(psi) == 2 and abs(psi[1]) > FARTHEST:
        limit, other = ("2", "gamma") if psi[1] > 0.0 else ("1", "poisson")
        return f"the estimated power runs to {limit}, where the search ends: use family='{other}' or a given power, family='tweedie(1.5)'"
    return ""
