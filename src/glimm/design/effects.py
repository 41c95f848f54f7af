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
from ..kernels.matrix import Ints
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
        _check_residual(bar, group, len(levels), 1, len(refs), residual)
        ones = np.ones((len(refs), 1), order="F")
        return RandomTerm(group, level_array(levels), refs, ones, ("Intercept",), name, 0, np.zeros(1), np.ones(1))
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
    _check_residual(bar, group, len(levels), len(names), len(refs), residual)
    z = np.asfortranarray(fixed.matrix.dense())
    moved = name == "us" and intercept is not None
    center = decided.center if moved else np.zeros(len(names))
    scale = np.sqrt(np.mean((z - center) ** 2, axis=0))
    if intercept is not None:
        center[intercept], scale[intercept] = 0.0, 1.0
    return RandomTerm(group, level_array(levels), refs, z, names, name, intercept if moved else None, center, scale, fixed.spec)


def _check_residual(bar: Bar, group: str, levels: int, effects: int, rows: int, residual: bool) -> None:
    """Raise GlimmError where effects and residual share the rows: at least as many effects as rows."""
    if not residual or levels * effects < rows:
        return
    if effects == 1 and levels == rows:
        raise GlimmError(
            f"{bar.text}: column {group!r} has as many levels as there are rows ({rows}), so its random effect cannot be told from "
            "the residual; use glimm.glm without it, or a grouping with several rows per level"
        )
    raise GlimmError(
        f"{bar.text}: {levels} levels of {group!r} times {effects} effects are {levels * effects}, but there are {rows} rows, so the "
        f"effects cannot be told from the residual: use fewer effects, such as (1 | {bar.group}), or a grouping with more rows per level"
    )
