"""Plain arithmetic of numeric columns, row by row: I(x**2), log(a / b), exp(-x). It has no state, so it needs no formula library.

Anything else in an expression (other functions, comparisons, factors) makes it one for formulaic (data.expressions).
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final

import numpy as np

from ..kernels.matrix import Floats, Ints
from .expressions import not_finite
from .formula import parse_expression
from .records import Variable

_BINARY: Final[dict[type[ast.operator], Callable[[Any, Any], Any]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}
_UNARY: Final[dict[type[ast.unaryop], Callable[[Any], Any]]] = {ast.USub: operator.neg, ast.UAdd: operator.pos}
_FUNCTIONS: Final[dict[str, Callable[[Any], Any]]] = {"I": lambda x: x, "log": np.log, "exp": np.exp}


def is_arithmetic(text: str, needed: tuple[str, ...], variables: Mapping[str, Variable]) -> bool:
    """Whether the expression is a call of I, log or exp around arithmetic of numbers and numeric columns.

    >>> from glimm.data.readers import read_column
    >>> x = {"x": read_column("x", [1.0, 2.0])}
    >>> is_arithmetic("I(x**2)", ("x",), x), is_arithmetic("center(x)", ("x",), x)
    (True, False)
    """
    numeric = all(variables[name].kind == "numeric" and not variables[name].boolean for name in needed)
    return bool(needed) and numeric and _tree(text) is not None


def evaluate(text: str, needed: tuple[str, ...], variables: Mapping[str, Variable], rows: Ints | None) -> Floats:
    """(n,) its values on the rows.

    Raises GlimmError for a value that is not finite, naming the row.
    """
    found = _tree(text)
    assert found is not None
    tree, aliases = found
    columns = {}
    for name in needed:
        values = variables[name].values
        assert values is not None
        columns[name] = values if rows is None else values[rows]
    with np.errstate(all="ignore"):
        out = np.ascontiguousarray(
            np.broadcast_to(_value(tree.body, aliases, columns), len(next(iter(columns.values())))), dtype=np.float64
        )
    finite = np.isfinite(out)
    if not finite.all():
        raise not_finite(text, out, int(np.argmin(finite)), needed, variables, rows)
    return out


@lru_cache(maxsize=256)
def _tree(text: str) -> tuple[ast.Expression, dict[str, str]] | None:
    tree, aliases = parse_expression(text)
    if isinstance(tree, str) or not isinstance(tree.body, ast.Call) or not _allowed(tree.body):
        return None
    return tree, aliases


def _allowed(node: ast.AST) -> bool:
    if isinstance(node, ast.BinOp):
        return type(node.op) in _BINARY and _allowed(node.left) and _allowed(node.right)
    if isinstance(node, ast.UnaryOp):
        return type(node.op) in _UNARY and _allowed(node.operand)
    if isinstance(node, ast.Call):
        named = isinstance(node.func, ast.Name) and node.func.id in _FUNCTIONS
        return named and len(node.args) == 1 and not node.keywords and _allowed(node.args[0])
    return isinstance(node, ast.Name) or (isinstance(node, ast.Constant) and type(node.value) in (int, float))


def _value(node: ast.AST, aliases: Mapping[str, str], columns: Mapping[str, Floats]) -> Any:
    if isinstance(node, ast.BinOp):
        return _BINARY[type(node.op)](_value(node.left, aliases, columns), _value(node.right, aliases, columns))
    if isinstance(node, ast.UnaryOp):
        return _UNARY[type(node.op)](_value(node.operand, aliases, columns))
    if isinstance(node, ast.Call):
        assert isinstance(node.func, ast.Name)
        return _FUNCTIONS[node.func.id](_value(node.args[0], aliases, columns))
    if isinstance(node, ast.Name):
        return columns[aliases.get(node.id, node.id)]
    assert isinstance(node, ast.Constant)
    return np.float64(node.value)  # type: ignore[arg-type]
