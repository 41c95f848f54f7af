"""Terms that jump: a predictor in I(x > 0) or np.floor(x) has no slope where its mean jumps, and none elsewhere that says anything.

An expression with a comparison or a rounding in it is followed over a grid and halved where it changes most: what does not get smaller
is a jump. np.where(x > 3, x - 3, 0) bends and does not jump.
"""

from __future__ import annotations

import ast
from dataclasses import replace

import numpy as np

from ..data.formula import parse_expression
from ..design.parts import moved_parts
from ..design.records import Design
from ..design.replay import Population, moved
from ..errors import GlimmError
from ..kernels.matrix import Floats
from .averages import some

ROUNDING = (
    *("floor", "ceil", "round", "rint", "trunc", "fix", "int", "bool"),
    *("sign", "where", "heaviside", "digitize", "select", "piecewise"),
)
GRID, DEEPEST, MOST = 2001, 45, 8
JUMP = 1e-6


def refuse_steps(design: Design, population: Population, variable: str) -> None:
    """Raise GlimmError where the predictor is in a term that jumps inside the range of the rows used."""
    specs = [*(own.fixed for own in design.spec.every), *(term.spec for term in design.mean.random if term.spec is not None)]
    texts = [text for spec in specs for text, factor in spec.factors.items() if variable in factor.variables and stepped(text)]
    if texts and (at := _jump(design, population, variable)) is not None:
        instead = f"use effect({variable!r}, values=(from, to))"
        raise GlimmError(f"slope: the mean jumps where {variable!r} passes {at:.6g} ({texts[0]}), so it has no slope: {instead}")


def stepped(text: str) -> bool:
    """Whether an expression has a comparison, a rounding or a remainder in it.

    >>> stepped("I(x > 0)"), stepped("np.floor(x)"), stepped("np.log(x)")
    (True, True, False)
    """
    tree = parse_expression(text)[0]
    if isinstance(tree, str):
        return False
    return any(
        isinstance(node, ast.Compare | ast.FloorDiv | ast.Mod)
        or (isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) in ROUNDING)
        for node in ast.walk(tree)
    )


def _jump(design: Design, population: Population, variable: str) -> float | None:
    """Where the columns of the model jump, None where they do not: the first row, with its predictor moved over the range."""
    column = design.columns[variable]
    assert column.values is not None
    used = column.values[design.rows]

    def columns(x: Floats) -> Floats:
        rows = some(population, np.zeros(len(x), dtype=np.int64))
        changes = {variable: replace(column, values=x, missing=None, integer=False)}
        z = moved(design, rows, changes).z if design.mean.random else ()
        return np.hstack([*(new.matrix.dense() for new in moved_parts(design, rows, changes).values()), *z])

    x = np.linspace(float(used.min()), float(used.max()), GRID)
    y = columns(x)
    size = np.abs(y).max(axis=0)
    whole = np.where(size > 0.0, size, 1.0)
    change = np.abs(np.diff(y, axis=0) / whole).max(axis=1)
    steepest = np.argsort(change)[-MOST:]
    low, high, left, right = x[steepest], x[steepest + 1], y[steepest], y[steepest + 1]
    for _ in range(DEEPEST):
        middle = 0.5 * (low + high)
        between = columns(middle)
        first = np.abs((between - left) / whole).max(axis=1) >= np.abs((right - between) / whole).max(axis=1)
        low, left = np.where(first, low, middle), np.where(first[:, None], left, between)
        high, right = np.where(first, middle, high), np.where(first[:, None], between, right)
    jumps = np.abs((right - left) / whole).max(axis=1) > JUMP
    return float(high[np.argmax(jumps)]) if jumps.any() else None
