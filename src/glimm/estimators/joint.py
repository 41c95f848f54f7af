"""A GLM with parameters of its own: -2 log L(beta, psi), minimised together by Newton's method with its Hessian.

H_bb = -2 X'diag(l'')X, H_bk = -2 X'dl'/dpsi_k; H_kl by central differences of the exact slope in psi.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from ..design.records import Design
from ..errors import GlimmError
from ..family import Family, Link
from ..family.own import Functions
from ..family.records import transformed
from ..kernels import Limits, Optimum, Rows, constant, jets, mean, minimise, positive_definite, psi_jets, solve, variance
from ..kernels.matrix import Bools, Floats
from .control import Control
from .irls import Parts, Scoring, mean_rows, row_unit, score_iterations, start
from .source import GlmRows

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
    """-2 log L of a design as a function of (working beta | psi that is estimated)."""

    design: Design
    family: Family
    rows: Rows

    def evaluate(self, v: Floats) -> tuple[bool, float, Floats, Floats]:
        """(finite, value, gradient, Hessian)."""
        design, family, p = self.design, self.family, self.rows.p
        kernels = family.kernel, design.mean.link.kernel
        psi, free = family.psi(v[p:]), list(family.free)
        eta = self.rows.eta(v[:p])
        rows, d1, d2, _ = jets(*kernels, design.y, eta, design.size, psi)
        value = -2.0 * (float(rows.sum()) + constant(family.kernel, design.y, design.trials, design.weights, psi, design.multiplied))
        n = len(v)
        if not (np.isfinite(value) and np.all(np.isfinite(d2))):
            return False, np.inf, np.zeros(n), np.eye(n)
        slope, d1_psi, _ = psi_jets(*kernels, design.y, eta, design.size, psi, True, design.multiplied)
        gradient, hessian = np.empty(n), np.empty((n, n))
        gradient[:p] = self._times(d1)
        gradient[p:] = slope[free].sum(axis=1)
        part = design.mean
        hessian[:p, :p] = Rows(part.matrix, part.center, part.scale, size=d2, threads=self.rows.threads).gram()
        for i, k in enumerate(free):
            hessian[p + i, :p] = hessian[:p, p + i] = self._times(d1_psi[k])
            sides = []
            for side in (STEP, -STEP):
                moved = psi.copy()
                moved[k] += side
                sides.append(psi_jets(*kernels, design.y, eta, design.size, moved, True, design.multiplied)[0][free].sum(axis=1))
            hessian[p + i, p:] = (sides[0] - sides[1]) / (2.0 * STEP)
        hessian[p:, p:] = 0.5 * (hessian[p:, p:] + hessian[p:, p:].T)
        ok = bool(np.all(np.isfinite(gradient)) and np.all(np.isfinite(hessian)))
        return ok, value, -2.0 * gradient, -2.0 * hessian

    @property
    def _unit(self) -> float:
        """Of -2 log L: that of a row where weights multiply it."""
        return self.design.totals.weights / self.design.n if self.design.multiplied else 1.0

    def _times(self, v: Floats) -> Floats:
        """X'v."""
        if self.rows.p == 0:
            return np.zeros(0)
        return np.asarray(self.rows.cluster_scores(v, np.array([0, self.design.n], dtype=np.int64))[0])

    def search(self, v: Floats, control: Control, only_psi: bool = False) -> Optimum:
        """`descend` from v, with beta held where only_psi."""
        free = np.ones(len(v), dtype=bool)
        free[: self.rows.p if only_psi else 0] = False
        return descend(self.evaluate, v, free, control, self._unit)


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


def fit_joint(design: Design, rows: Rows, family: Family, control: Control) -> Optimum:
    """(working beta | psi) together.

    Raises GlimmError if no starting values are inside the family's range, or no row is left to estimate a dispersion from.
    """
    if design.n <= rows.p and family.free and not isinstance(family.kernel, Functions):
        raise GlimmError(
            f"{design.n} rows for {rows.p} coefficients: the fit is exact, and nothing is left to estimate {family.estimated[0]} from"
        )
    scoring, psi = begin(design, family, design.mean.link, control, rows)
    return Joint(design, family, rows).search(np.concatenate([scoring.beta, psi]), control)


def dispersion(design: Design, rows: Rows, family: Family, beta: Floats, scale: float, control: Control) -> Optimum:
    """The psi of maximum likelihood at working beta, from a dispersion to begin with."""
    at = np.concatenate([beta, [np.log(scale) if scale > 0.0 else 0.0]])
    return Joint(design, family, rows).search(at, control, only_psi=True)


def begin(design: Design, family: Family, link: Link, control: Control, rows: Rows, near: float | None = 1e-2) -> tuple[Scoring, Floats]:
    """Coefficients by Fisher scoring at plain values of the family's parameters, and their own by the spread of the residuals."""
    whole = rows.n == design.n
    scoring, first = scored(design, family, link, control, rows, near, lambda: (design,) if whole else ())
    if not family.free or family.start or not whole:
        return scoring, first
    mu = mean(link.kernel, rows.eta(scoring.beta))[0]
    return scoring, moments(design, family, mu, family.psi(first))


def scored(
    design: Design, family: Family, link: Link, control: Control, rows: GlmRows, near: float | None, parts: Parts
) -> tuple[Scoring, Floats]:
    """Coefficients by Fisher scoring at plain values of the family's parameters, and these; parts : the rows in pieces."""
    first = [transformed(family.transforms[k], FIRST.get(family.name, FIRST.get(family.parameters[k], 1.0))) for k in family.free]
    if family.start:
        first = [float(np.log(family.start[k])) for k in family.free]
    psi = family.psi(first)
    beta = start(design, family, link, control, rows, psi, parts if rows.n == design.n else None)
    if isinstance(family.kernel, Functions):
        for part in parts():
            family.kernel.check(part.y, mean(link.kernel, mean_rows(part, 1).eta(beta))[0], psi, part.rows)
    return score_iterations(rows, family, link, beta, control, near, psi, row_unit(design, family)), np.array(first)


def moments(design: Design, family: Family, mu: Floats, psi: Floats) -> Floats:
    """The estimated parameters, transformed, from squared residuals: rough values to begin a search from.

    Raises GlimmError for a continuous response without residuals: its density has no largest value.
    """
    largest = float(np.abs(mu).max())
    if not largest < HUGE:
        raise GlimmError(
            f"a fitted mean is {largest:.3g} at the start: look for extreme values of predictors and offset, or give starting values with "
            "control=glimm.Control(start={'Intercept': ...})"
        )
    squares = (design.y - mu) ** 2
    total = float(squares.sum())
    if total <= EXACT * float((mu**2).sum()) and not family.name.startswith(("gaussian", "negative_binomial")):
        raise GlimmError(f"the predictors fit every row exactly, so there is no variation left to estimate {family.estimated[0]} from")
    if family.name == "negative_binomial":
        value = float((mu**2).sum()) / max(total - float(mu.sum()), 1e-2 * total, 1e-300)
    elif family.name == "negative_binomial1":
        value = max(total / float(mu.sum()) - 1.0, 0.05)
    elif family.name == "beta":
        value = max(float((mu * (1.0 - mu)).sum()) / total - 1.0, 0.5)
    else:
        size = 1.0 if design.size is None else design.size
        rows = design.totals.weights if design.multiplied else design.n
        value = max(float(np.sum(size * squares / variance(family.kernel, mu, psi))) / rows, 1e-300)
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
