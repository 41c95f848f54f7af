"""Type III hypotheses of the terms of a model: q averaged over the levels of other factors, q orthogonal to what other terms span.

For a term T of factors F times numbers C, g(levels) is the coefficient of C in eta. The hypothesis is sum q(l_F) g(l_F, uniform
average over the other factors) = 0 for all q on the cells of F that vanish on functions of F and S together, for every term of S times
C that does not contain T. Treatment, sum and any other coding of the same model lead to the same hypothesis.
Source: Searle, Speed and Milliken (1980), Am. Stat. 34, 216-221; SAS/STAT User's Guide, "The Four Types of Estimable Functions".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..data.factors import FactorSpec
from ..data.matrices import FixedSpec
from ..data.records import Encoding
from ..data.terms import Scoped
from ..kernels.matrix import Floats

ESTIMABLE = 1e-7
MOST_CELLS = 3_000


@dataclass(frozen=True, slots=True)
class TermHypothesis:
    """L b = 0 of one term. matrix : (r, p) over the columns kept, no rows where nothing can be tested; note : what was lost, and why."""

    term: str
    matrix: Floats
    note: str = ""


def type3(encoding: Encoding, dropped: Mapping[str, str]) -> list[TermHypothesis]:
    """The hypothesis of each term of the fixed part, in the order of the formula.

    dropped : columns left out for rank and what they equal, for the notes
    """
    spec = encoding.fixed
    assert isinstance(spec, FixedSpec)
    return [_of_term(label, _parts(label, spec), encoding, dropped) for label, _, _ in spec.terms]


@dataclass(frozen=True, slots=True)
class _Term:
    """The factors of a term: of levels, and numbers."""

    levels: tuple[str, ...]
    numbers: frozenset[str]


def factors_of(label: str, spec: FixedSpec) -> frozenset[str]:
    """The factors, of levels or numbers, that a term is a product of; none of the constant."""
    names = _split(label, spec)
    assert names is not None
    return frozenset(names)


def _parts(label: str, spec: FixedSpec) -> _Term:
    names = _split(label, spec)
    assert names is not None
    return _Term(tuple(f for f in names if _has_levels(spec.factors[f])), frozenset(f for f in names if not _has_levels(spec.factors[f])))


def _split(label: str, spec: FixedSpec) -> tuple[str, ...] | None:
    """The factors that a label joins by colons, some of which may have colons of their own; None where they are not known."""
    if label == "Intercept":
        return ()
    for name in spec.factors:
        if label == name:
            return (name,)
        if label.startswith(name + ":") and (rest := _split(label[len(name) + 1 :], spec)) is not None:
            return (name, *rest)
    return None


def _has_levels(factor: FactorSpec) -> bool:
    return factor.kind in ("indicator", "coding") or (factor.kind == "expression" and factor.spans)


def _table(factor: FactorSpec, reduced: bool) -> Floats | None:
    """(levels, columns) the columns of each level; None where the levels are not known."""
    k = len(factor.levels)
    if factor.kind == "indicator":
        return np.eye(k)[:, int(reduced) :]
    coding = factor.reduced if reduced else factor.full
    return None if factor.kind != "coding" or coding is None else coding.table


def _columns(factor: FactorSpec, reduced: bool) -> int:
    """How many columns a factor has in a product."""
    table = _table(factor, reduced)
    if table is not None:
        return int(table.shape[1])
    if factor.expression is None:
        return 1
    state = factor.expression.reduced if reduced or factor.expression.full is None else factor.expression.full
    constant = int(state is factor.expression.reduced)  # learnt with a constant before it
    return len(tuple(state.column_names)) - constant


def _width(product: Scoped, spec: FixedSpec) -> int:
    return int(np.prod([_columns(spec.factors[f], reduced) for f, reduced in product.factors], dtype=np.int64))


def _of_term(label: str, term: _Term, encoding: Encoding, dropped: Mapping[str, str]) -> TermHypothesis:
    spec: FixedSpec = encoding.fixed
    nothing = np.zeros((0, len(encoding.keep)))
    involved = [p for p in spec.products if _numbers(p, spec) == term.numbers]
    unknown = [f for p in involved for f, r in p.factors if _has_levels(spec.factors[f]) and _table(spec.factors[f], r) is None]
    if unknown:
        return TermHypothesis(label, nothing, f"the levels of {unknown[0]} are not known: test its coefficients by name")
    sizes = [len(spec.factors[f].levels) for f in term.levels]
    if np.prod(sizes, dtype=np.float64) > MOST_CELLS:
        return TermHypothesis(label, nothing, f"its factors have more than {MOST_CELLS} combinations of levels")
    spans = [_parts(other, spec) for other, _, _ in spec.terms if other != label]
    spans = [s for s in spans if s.numbers == term.numbers and not set(term.levels) <= set(s.levels)]
    q = _contrasts(sizes, [tuple(f in s.levels for f in term.levels) for s in spans])
    if not len(q):
        why = next((f for f in term.levels if len(spec.factors[f].levels) == 1), None)
        return TermHypothesis(label, nothing, f"{why} has a single level" if why else "other terms span all of it")
    rows = _matrix(q.reshape(-1, *sizes), term, involved, spec)
    return _estimable(label, rows, encoding, dropped)


def _numbers(product: Scoped, spec: FixedSpec) -> frozenset[str]:
    return frozenset(f for f, _ in product.factors if not _has_levels(spec.factors[f]))


def _contrasts(sizes: Sequence[int], spans: Sequence[tuple[bool, ...]]) -> Floats:
    """(r, cells) an orthonormal basis of the functions of the cells that are orthogonal to functions of some of the factors.

    spans : for each, which factors it is a function of; a sum over levels of each factor of either its mean or the rest of it
    """
    cells = int(np.prod(sizes, dtype=np.int64))
    basis = np.zeros((0, cells))
    for choice in np.ndindex(*(2,) * len(sizes)):
        if any(all(held or not used for held, used in zip(span, choice, strict=True)) for span in spans):
            continue
        block = np.ones((1, 1))
        for size, used in zip(sizes, choice, strict=True):
            block = np.asarray(np.kron(block, _rest(size) if used else np.full((1, size), size**-0.5)))
        basis = np.asarray(np.vstack([basis, block]))
    return basis


def _rest(size: int) -> Floats:
    """(size - 1, size) orthonormal contrasts of levels."""
    out = np.zeros((size - 1, size))
    for i in range(1, size):
        out[i - 1, :i], out[i - 1, i] = 1.0, -float(i)
        out[i - 1] /= np.sqrt(i * (i + 1.0))
    return out


def _matrix(q: Floats, term: _Term, involved: Sequence[Scoped], spec: FixedSpec) -> Floats:
    """(rows, all columns) what q makes of every product with the term's numbers; a row for each q and each column of the numbers."""
    numbers = sorted(term.numbers)
    widths = [_columns(spec.factors[f], False) for f in numbers]
    out = np.zeros((len(q), *widths, len(spec.names)))
    at = 0
    for product in spec.products:
        width = _width(product, spec)
        if product in involved and width:
            out[..., at : at + width] = _block(q, term, product, numbers, widths, spec)
        at += width
    return out.reshape(-1, len(spec.names))


def _block(q: Floats, term: _Term, product: Scoped, numbers: Sequence[str], widths: Sequence[int], spec: FixedSpec) -> Floats:
    """(len(q), *widths, columns of the product), the first factor's columns changing fastest."""
    held = dict(product.factors)
    value, axes = q, []  # axes : the factors behind the axes of value after the first
    for f in term.levels:
        table = _table(spec.factors[f], held[f]) if f in held else np.ones((len(spec.factors[f].levels), 1))
        assert table is not None
        value = np.tensordot(value, table, axes=(1, 0))
        axes.append(f)
    for f in held:
        if f not in term.levels and f not in numbers:
            table = _table(spec.factors[f], held[f])
            assert table is not None
            value = np.multiply.outer(value, table.mean(axis=0))
            axes.append(f)
    value = value * product.scale
    for width in widths:
        value = np.multiply.outer(value, np.eye(width))
    # now: q, axes, then (row, column) of each of the numbers
    places = {f: 1 + i for i, f in enumerate(axes)}
    start = 1 + len(axes)
    rows = [start + 2 * i for i in range(len(numbers))]
    places |= {f: start + 2 * i + 1 for i, f in enumerate(numbers)}
    order = [places[f] for f, _ in reversed(product.factors)]
    absent = [places[f] for f in axes if f not in held]
    moved = value.transpose([0, *rows, *absent, *order])
    return moved.reshape(len(q), *widths, -1)


def _estimable(label: str, rows: Floats, encoding: Encoding, dropped: Mapping[str, str]) -> TermHypothesis:
    """The part of the hypothesis that the columns kept can tell: l is estimable where l_dropped = l_kept Gamma."""
    keep = list(encoding.keep)
    kept = rows[:, keep]
    aliases = [(j, np.asarray(c)) for j, c in encoding.aliases.items()]
    if not aliases:
        return TermHypothesis(label, kept)
    gap = np.column_stack([rows[:, j] - kept @ c for j, c in aliases])
    size = np.column_stack([np.abs(rows[:, j]) + np.abs(kept) @ np.abs(c) for j, c in aliases]).max(axis=0)
    wrong = np.abs(gap).max(axis=0) > ESTIMABLE * np.maximum(size, 1.0)
    if not wrong.any():
        return TermHypothesis(label, kept)
    left, values, _ = np.linalg.svd(gap[:, wrong] / size[wrong])
    rank = int(np.sum(values > ESTIMABLE))
    known = left[:, rank:].T @ kept
    names = [encoding.names[j] for (j, _), w in zip(aliases, wrong, strict=True) if w]
    shown = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
    why = dropped.get(names[0], "")
    said = f"{shown} left out of the model" + (f" ({names[0]}: {why})" if why else "")
    if not len(known):
        return TermHypothesis(label, known, f"not estimable: {said}")
    return TermHypothesis(label, known, f"{len(known)} of {len(rows)} contrasts are estimable: {said}")
