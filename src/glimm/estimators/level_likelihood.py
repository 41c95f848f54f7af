"""Maximum likelihood of responses with levels, rows independent: l = sum size_i log pi_(y_i), by Newton's method with steps halved.

The curvature is minus the second derivatives; the expected information where that is not positive definite (cauchit is not concave).
Source: McCullagh (1980), J. R. Stat. Soc. B 42, 109-142; Pratt (1981), J. Am. Stat. Assoc. 76, 103-106.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..data.columns import level_name
from ..design.records import Design
from ..errors import GlimmError, NotYetError
from ..family import Family
from ..kernels import Rows, inverse_or_nan, link, positive_definite, solve
from ..kernels.levels import LevelPass, level_pass
from ..kernels.matrix import Floats
from .control import Control
from .levels import Layout, layout_of

TOLERANCE = 1e-11
CONVERGED = 1e-12
ENDLESS = 1e3
MOVED = 1e-6
SINGULAR = 1e-9
FLAT = 1e-12
MOST_HALVINGS = 30


@dataclass(frozen=True, slots=True)
class Ascent:
    """Where the search is: working parameters, the pass there, squared standard errors of the last step, passes, whether it has settled."""

    gamma: Floats
    last: LevelPass
    change: float
    passes: int
    settled: bool


class LevelLikelihood:
    """The log-likelihood of a design's rows as a function of the working parameters (P,)."""

    def __init__(self, design: Design, layout: Layout, threads: int = 1) -> None:
        part = design.mean
        self.design, self.layout = design, layout
        self.rows = Rows(part.matrix, part.center, part.scale, design.y, design.size, part.offset, threads=threads)
        m = layout.splits
        self.places = np.concatenate([np.arange(m), m + layout.free]) if layout.ordered else np.arange(layout.size)

    def at(self, gamma: Floats, expected: bool = False) -> LevelPass:
        """Log-likelihood, score and information."""
        m, p = self.layout.splits, self.rows.p
        full = np.zeros(m + p if self.layout.ordered else m * p)
        full[self.places] = gamma
        found = level_pass(self.rows, self.layout.kernel, m, full, expected)
        return LevelPass(found.loglik, found.score[self.places], found.information[np.ix_(self.places, self.places)])


def checked_layout(design: Design, family: Family, control: Control) -> Layout:
    """Where the parameters are; raises GlimmError for an offset of a nominal model, and for an ordinal one without its constants."""
    if family.support == "nominal" and design.mean.offset is not None:
        raise GlimmError("an offset or exposure has no meaning for family 'multinomial', which has a linear predictor for each level")
    if control.start is not None:
        raise NotYetError(f"control: start is not there for family {family.name!r}: leave it out")
    if family.support == "ordered" and design.mean.intercept is None:
        raise GlimmError(
            "the thresholds of an ordinal model are its constants, and the formula leaves the constant out: write it without '0 +' or '- 1'"
        )
    return layout_of(design, family.support == "ordered")


def starting(design: Design, layout: Layout) -> Floats:
    """The levels' shares, and coefficients of zero; raises GlimmError for a level all of whose rows have weight 0."""
    total = np.bincount(design.y.astype(np.int64), design.size, layout.levels)
    if not total.all():
        absent = level_name(design.response.levels[int(np.argmin(total))])
        raise GlimmError(f"weights: all rows with {design.response.name} = {absent} have weight 0: leave that level out")
    share = total / total.sum()
    gamma = np.zeros(layout.size)
    if layout.ordered:
        gamma[: layout.splits] = link(design.mean.link.kernel, np.cumsum(share)[:-1])
    elif design.mean.intercept is not None:
        gamma[design.mean.intercept :: design.mean.matrix.p] = np.log(share[1:] / share[0])
    return gamma


def in_order(layout: Layout, gamma: Floats) -> bool:
    """Whether the parameters are numbers, and thresholds in order."""
    return bool(np.all(np.isfinite(gamma))) and not (layout.ordered and np.any(np.diff(gamma[: layout.splits]) <= 0.0))


def ascend(likelihood: LevelLikelihood, control: Control) -> Ascent:
    """Newton's method from the levels' shares; steps are halved until the likelihood rises with thresholds in order."""
    layout = likelihood.layout
    gamma = starting(likelihood.design, layout)
    now, change = likelihood.at(gamma), np.inf
    for passes in range(1, control.max_iter + 1):
        h = now.information
        if indefinite(h):
            h = likelihood.at(gamma, expected=True).information
        if indefinite(h):
            return Ascent(gamma, now, change, passes, False)
        step = solve(h, now.score) if positive_definite(h) else inside(h, now.score)
        before, change = change, float(step @ h @ step)
        for halvings in range(MOST_HALVINGS):
            candidate = gamma + 0.5**halvings * step
            if in_order(layout, candidate):
                trial = likelihood.at(candidate)
                if trial.loglik >= now.loglik - 1e-10 * abs(now.loglik):
                    break
        else:
            return Ascent(gamma, now, change, passes, False)
        gamma, now = candidate, trial
        if change < TOLERANCE**2 * layout.size or (change < CONVERGED and change > 0.25 * before):
            return Ascent(gamma, now, change, passes, True)
    return Ascent(gamma, now, change, control.max_iter, False)


def indefinite(h: Floats) -> bool:
    """Whether the curvature falls in some direction; a direction without any is none."""
    root = np.sqrt(np.maximum(np.abs(np.diag(h)), 1e-300))
    return not np.isfinite(h).all() or float(np.linalg.eigvalsh(h / np.outer(root, root))[0]) < -SINGULAR


def inside(h: Floats, score: Floats) -> Floats:
    """(P,) the step within the directions that have curvature: others have come to their end, where separation leads to infinity."""
    scale = 1.0 / np.sqrt(np.maximum(np.diag(h), 1e-300))
    values, vectors = np.linalg.eigh(h * np.outer(scale, scale))
    kept = vectors[:, values > FLAT] * scale[:, None]
    return np.asarray(kept @ ((kept.T @ score) / values[values > FLAT]))


def limit(design: Design, layout: Layout, h: Floats) -> tuple[Floats, list[int]]:
    """The inverse of the information h (P, P) where the search ended, and the parameters as named that have no end.

    There is none along a direction in which a standard error is beyond 1,000 standard deviations of a column. The inverse is that of
    the other parameters in the limit; such directions have variance 1 in it, which no combination that has an estimate sees.
    Source: Geyer (2009), Electronic Journal of Statistics 3, 259-289.
    """
    scale = 1.0 / np.sqrt(np.maximum(np.diag(h), 1e-300))
    values, vectors = np.linalg.eigh(h * np.outer(scale, scale))
    typical = 1.0 if design.size is None else min(float(design.size.mean()), 1.0)
    along = vectors * scale[:, None]
    errors = np.abs(along) * np.sqrt(typical / np.maximum(values, 1e-18))
    if not (np.sqrt(np.sum(errors**2, axis=1)) > ENDLESS).any():
        return inverse_or_nan(h), []
    gone = (errors > ENDLESS / np.sqrt(len(h))).any(axis=0)
    a, away, kept = layout.to_named(), along[:, gone], along[:, ~gone]
    moved = np.abs(a @ away) > MOVED * np.abs(a).sum(axis=1)[:, None] * np.abs(away).max(axis=0)
    away = away / np.abs(away).max(axis=0)
    return np.asarray((kept / values[~gone]) @ kept.T + away @ away.T), [int(k) for k in np.flatnonzero(moved.any(axis=1))]


def separated(design: Design, names: tuple[str, ...]) -> str:
    """The sentence about parameters without an end."""
    shown = ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")
    return (
        f"no finite estimates of {shown}: predictors tell levels of {design.response.name} apart without error, or a level does not "
        "occur beside some value of a predictor; join levels, or leave the predictor out"
    )
