"""Random terms: (1 + x | g) on the rows used -> references to levels, the effects' columns z, a covariance structure.

row i adds z_i'b_g(i)
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..data.columns import level_array, used_codes
from ..data.matrices import build
from ..data.records import Bar, Variable
from ..data.text import plain_name
from ..errors import GlimmError
from ..kernels.matrix import Codes, Floats, Ints
from . import rank
from .records import RandomTerm
from .words import in_words

MOST_EFFECTS = 100


def random_term(bar: Bar, grouping: Variable, variables: Mapping[str, Variable], rows: Ints | None, residual: bool) -> RandomTerm:
    """The random term on the rows used.

    grouping : the factor, variables : columns of the bar's left side, over the caller's rows
    residual : the model has a residual variance of its own (gaussian with identity link)

    Raises GlimmError for a single level, effects that are not told apart by their columns, and, beside a residual, for as many
    effects as rows.
    """
    refs, levels = used_codes(grouping, rows)
    group = plain_name(bar.group) or bar.group
    if len(levels) < 2:
        raise GlimmError(
            f"{bar.text}: column {group!r} has a single level {levels[0]!r} in the rows used, so there is no variance between levels to "
            "estimate; use glimm.glm without the random term"
        )
    name = bar.structure if bar.correlated else "diag"
    if bar.expression == "1":
        _check_residual(bar, group, refs, 1, residual)
        ones = np.ones((len(refs), 1), order="F")
        return RandomTerm(group, level_array(levels), refs, ones, ("Intercept",), name, 0, np.zeros(1), np.ones(1), np.eye(1))
    fixed = build(bar.expression, variables, rows, len(refs))
    names, intercept = fixed.spec.names, fixed.spec.intercept
    if not names:
        raise GlimmError(f"{bar.text} has no effects: write (1 | {bar.group}) for a random intercept, or leave the term out")
    if len(names) > MOST_EFFECTS:
        raise GlimmError(
            f"{bar.text} gives every level of {group!r} {len(names)} effects: at most {MOST_EFFECTS} are fitted, with a covariance each; "
            f"make the factor on the left the grouping, for example (1 | {bar.expression})"
        )
    decided = rank.decide(fixed.matrix, intercept)
    for term, why in fixed.empty.items():
        raise GlimmError(f"{bar.text}: {term} {why.removeprefix(term + ' ')}, so it has no effect that could vary: leave it out")
    for position, coefficients in decided.dropped.items():
        why = in_words(names, position, coefficients, decided)
        raise GlimmError(
            f"{bar.text}: the column {names[position]} {'equals ' + why[2:] if why.startswith('= ') else why}, so the effects of {group!r} "
            "cannot be told apart: leave one out"
        )
    _check_residual(bar, group, refs, len(names), residual)
    z = np.asfortranarray(fixed.matrix.dense())
    moved = name == "us" and intercept is not None
    center = decided.center if moved else np.zeros(len(names))
    scale = decided.scale.copy() if moved or intercept is None else np.sqrt(np.mean(z**2, axis=0))
    if intercept is not None:
        center[intercept], scale[intercept] = 0.0, 1.0
    done = name != "us" or (moved and len(names) == 2 and abs(z[:, 1].mean() - center[1]) <= 1e-12 * abs(center[1]) + 1e-9 * scale[1])
    mix = np.eye(len(names)) if done else orthonormal((z - center) / scale)
    return RandomTerm(group, level_array(levels), refs, z, names, name, intercept if moved else None, center, scale, mix, fixed.spec)


def orthonormal(z: Floats) -> Floats:
    """(k, k) R^-1 with z = Q R, Q'Q / n = I: columns in which effects are on one footing, however z is coded."""
    r = np.asarray(np.linalg.qr(z, mode="r"), dtype=np.float64)
    r *= np.where(np.diag(r) < 0.0, -1.0, 1.0)[:, None]
    return np.asarray(np.linalg.inv(r) * np.sqrt(len(z)))


def _check_residual(bar: Bar, group: str, refs: Codes, effects: int, residual: bool) -> None:
    """Raise GlimmError where effects and residual share every row: no level has more rows than effects."""
    if not residual or int(np.bincount(refs).max()) > effects:
        return
    if effects == 1:
        raise GlimmError(
            f"{bar.text}: column {group!r} has as many levels as there are rows ({len(refs)}), so its random effect cannot be told from "
            "the residual; use glimm.glm without it, or a grouping with several rows per level"
        )
    raise GlimmError(
        f"{bar.text}: no level of {group!r} has more rows than the {effects} effects that each gets, so the effects cannot be told from "
        f"the residual: use fewer effects, such as (1 | {bar.group}), or a grouping with more rows per level"
    )
