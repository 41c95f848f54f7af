"""Random terms: (1 + x | g) on the rows used -> references to levels, the effects' columns z, a covariance structure.

row i adds the sum over terms of z_i'b_g(i)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..covariance.correlated import CORRELATED
from ..data.columns import level_array, used_codes
from ..data.matrices import Fixed, build
from ..data.records import Bar, Variable
from ..errors import GlimmError
from ..kernels.matrix import Codes, Floats, Ints
from . import rank
from .records import Inputs, RandomTerm
from .structured import check_structure, continuous
from .words import in_words

MOST_EFFECTS = 100
PROPORTIONAL = 1e-14


def random_terms(bars: Sequence[Bar], inputs: Inputs, rows: Ints | None, residual: bool) -> tuple[RandomTerm, ...]:
    """The random terms on the rows used, in the formula's order.

    residual : the model has a residual variance of its own (gaussian with identity link)

    Raises GlimmError as `random_term` does, and for two terms whose variances cannot be told apart.
    """
    shared: dict[str, tuple[Codes, NDArray[Any]]] = {}
    terms = []
    for bar in bars:
        if bar.name not in shared:
            refs, levels = used_codes(inputs.groupings[bar.name], rows)
            shared[bar.name] = refs, level_array(levels)
        terms.append(random_term(bar, *shared[bar.name], inputs.variables, rows, residual))
    check_apart(bars, terms)
    return tuple(terms)


def random_term(
    bar: Bar, refs: Codes, levels: NDArray[Any], variables: Mapping[str, Variable], rows: Ints | None, residual: bool
) -> RandomTerm:
    """One random term.

    refs : (n,) level of each row used; variables : columns of the bar's left side, over the caller's rows

    Raises GlimmError for a single level, effects that are not told apart by their columns, effects that the structure does not have,
    and, beside a residual, for as many effects as rows.
    """
    group = bar.name
    if len(levels) < 2:
        raise GlimmError(
            f"{bar.text}: column {group!r} has a single level {levels.tolist()[0]!r} in the rows used, so there is no variance between "
            "levels to estimate; use glimm.glm without the random term"
        )
    name = bar.structure if bar.correlated else "diag"
    if name in CORRELATED:
        check_structure(bar, variables)
    if bar.expression == "1" and name not in CORRELATED:
        _check_residual(bar, refs, 1, residual)
        ones = np.ones((len(refs), 1), order="F")
        return RandomTerm(group, levels, refs, ones, ("Intercept",), name, 0, np.zeros(1), np.ones(1), np.eye(1))
    fixed = build(bar.expression, variables, rows, len(refs))
    names, intercept = fixed.spec.names, fixed.spec.intercept
    if not names:
        raise GlimmError(f"{bar.text} has no effects: write (1 | {bar.group}) for a random intercept, or leave the term out")
    if name == "ou":
        _check_residual(bar, refs, 1, residual)
        return continuous(bar, refs, levels, fixed)
    if len(names) > MOST_EFFECTS:
        raise GlimmError(
            f"{bar.text} gives every level of {group!r} {len(names)} effects: at most {MOST_EFFECTS} are fitted, with a covariance each; "
            f"{_fewer(bar, name)}"
        )
    if name in CORRELATED and len(names) < 2:
        raise GlimmError(f"{bar.text} has one effect, {names[0]}, and {name} is about several: write ({bar.expression} | {bar.group})")
    decided = _checked_rank(bar, fixed)
    _check_residual(bar, refs, 1 if name in CORRELATED and CORRELATED[name].few_rows else len(names), residual)
    z = np.asfortranarray(fixed.matrix.dense())
    if name in CORRELATED:
        k = len(names)
        return RandomTerm(group, levels, refs, z, names, name, None, np.zeros(k), np.ones(k), np.eye(k), fixed.spec)
    moved = name == "us" and intercept is not None
    center = decided.center if moved else np.zeros(len(names))
    scale = decided.scale.copy() if moved or intercept is None else np.sqrt(np.mean(z**2, axis=0))
    if intercept is not None:
        center[intercept], scale[intercept] = 0.0, 1.0
    done = name != "us" or (moved and len(names) == 2 and abs(z[:, 1].mean() - center[1]) <= 1e-12 * abs(center[1]) + 1e-9 * scale[1])
    mix = np.eye(len(names)) if done else orthonormal((z - center) / scale)
    return RandomTerm(group, levels, refs, z, names, name, intercept if moved else None, center, scale, mix, fixed.spec)


def orthonormal(z: Floats) -> Floats:
    """(k, k) R^-1 with z = Q R, Q'Q / n = I: columns in which effects are on one footing, however z is coded."""
    r = np.asarray(np.linalg.qr(z, mode="r"), dtype=np.float64)
    r *= np.where(np.diag(r) < 0.0, -1.0, 1.0)[:, None]
    return np.asarray(np.linalg.inv(r) * np.sqrt(len(z)))


def check_apart(bars: Sequence[Bar], terms: Sequence[RandomTerm]) -> None:
    """Raise GlimmError for two terms that give the same effects to the same sets of rows."""
    for j, (bar, term) in enumerate(zip(bars, terms, strict=True)):
        for other_bar, other in zip(bars[:j], terms[:j], strict=True):
            common = [name for name in other.names if name in term.names]
            if not common and other.group == term.group and _same_effects(term, other):
                _check_columns(bar, term, other_bar, other)
            if not common or not _same_effects(term, other):
                continue
            if other.group == term.group:
                if other.names == term.names and other.structure == term.structure:
                    raise GlimmError(f"{other_bar.text} and {bar.text} are the same random term: write it once")
                raise GlimmError(
                    f"{other_bar.text} and {bar.text} both give every level of {term.group!r} the effect {common[0]}, so their "
                    "variances cannot be told apart: leave it out of one of them"
                )
            if same_partition(term, other):
                raise GlimmError(
                    f"{other_bar.text} and {bar.text}: {other.group!r} and {term.group!r} put the same rows together, so the variances of "
                    "their effects cannot be told apart: leave one of the terms out"
                )


def _check_columns(bar: Bar, term: RandomTerm, other_bar: Bar, other: RandomTerm) -> None:
    """Raise GlimmError for a column that is a multiple of one of another term of the same levels."""
    if "ou" in (term.structure, other.structure):
        return
    a, b = (t.z / np.linalg.norm(t.z, axis=0) for t in (other, term))
    for i, j in zip(*np.nonzero(np.abs(a.T @ b) > 1.0 - PROPORTIONAL), strict=True):
        raise GlimmError(
            f"{other_bar.text} and {bar.text}: the columns {other.names[i]} and {term.names[j]} are multiples of each other, so the "
            f"variances of their effects on the levels of {term.group!r} cannot be told apart: leave one of them out"
        )


def _same_effects(a: RandomTerm, b: RandomTerm) -> bool:
    """Whether effects of one name mean the same in both terms: structured effects can stand beside others of the same levels."""
    if "ou" in (a.structure, b.structure):
        return a.structure == b.structure
    return (
        a.structure == b.structure or (a.structure not in CORRELATED and b.structure not in CORRELATED) or 1 in (len(a.names), len(b.names))
    )


def same_partition(a: RandomTerm, b: RandomTerm) -> bool:
    """Whether two terms' levels are the same sets of rows."""
    if len(a.levels) != len(b.levels):
        return False
    of = np.empty(len(a.levels), dtype=np.int32)
    of[a.refs] = b.refs
    return bool((of[a.refs] == b.refs).all())


def _checked_rank(bar: Bar, fixed: Fixed) -> rank.Rank:
    """The columns' centers and scales; raises GlimmError for effects without columns and for columns that depend on others."""
    names = fixed.spec.names
    for term, why in fixed.empty.items():
        raise GlimmError(f"{bar.text}: {term} {why.removeprefix(term + ' ')}, so it has no effect that could vary: leave it out")
    decided = rank.decide(fixed.matrix, fixed.spec.intercept)
    for position, coefficients in decided.dropped.items():
        why = in_words(names, position, coefficients, decided)
        if not coefficients.any():
            raise GlimmError(f"{bar.text}: the column {names[position]} {why}, so it has no effect that could vary: leave it out")
        raise GlimmError(
            f"{bar.text}: the column {names[position]} {'equals ' + why[2:] if why.startswith('= ') else why}, so the effects of "
            f"{bar.name!r} cannot be told apart: leave one out"
        )
    return decided


def _fewer(bar: Bar, name: str) -> str:
    """What to write instead of too many effects per level."""
    if name in CORRELATED and name not in ("cs", "homcs"):
        return f"put occasions together, or write ou(0 + t | {bar.group}) with the times as numbers"
    return f"make the factor on the left the grouping, for example (1 | {bar.expression})"


def _check_residual(bar: Bar, refs: Codes, effects: int, residual: bool) -> None:
    """Raise GlimmError where effects and residual share every row: no level has more rows than effects."""
    if not residual or int(np.bincount(refs).max()) > effects:
        return
    if effects == 1:
        raise GlimmError(
            f"{bar.text}: column {bar.name!r} has as many levels as there are rows ({len(refs)}), so its random effect cannot be told from "
            "the residual; use glimm.glm without it, or a grouping with several rows per level"
        )
    raise GlimmError(
        f"{bar.text}: no level of {bar.name!r} has more rows than the {effects} effects that each gets, so the effects cannot be told from "
        f"the residual: use fewer effects, such as (1 | {bar.group}), or a grouping with more rows per level"
    )
