"""Formulas taken apart: response ~ fixed + offset(expression) + structure(expression | group).

The fixed part stays text, for the formula door in matrices.py; nothing is looked up in data here.
"""

from __future__ import annotations

import ast
import re
from functools import lru_cache

from ..covariance.layout import structure_names
from ..errors import GlimmError, suggest
from .bars import make_bars
from .records import Bar, Formula
from .text import blank, calls, depths, pieces, plain_name, split_at, unwrap

_MODULES = {"np", "contr"}
_CONSTANTS = {"Treatment", "Sum", "Poly", "Helmert", "Diff", "float", "int", "bool", "str"}
STRUCTURES_ELSEWHERE = {"un": "us", "vc": "diag", "ar": "ar1", "exch": "homcs", "csh": "cs"}
_R_FACTOR = re.compile(r"(?<![\w.])((?:as\.)?factor|as\.ordered|ordered)\s*\(")
_OFFSET = re.compile(r"(?<![\w.])offset\s*\(")
_DOT = re.compile(r"(?<![\w.)\]])\.(?![\w.])")


@lru_cache(maxsize=256)
def split(text: str) -> Formula:
    """A formula's parts.

    Raises GlimmError, before anything is evaluated, for what cannot be meant: no or two `~`, an empty side, unbalanced
    brackets, `^` inside a call, factor(x), a bar without parentheses or inside an interaction, a subtracted bar or offset.

    >>> split("y ~ x + offset(log(t)) + (1 | g)").fixed
    'x'
    """
    if not isinstance(text, str):
        raise GlimmError(f"the formula must be a string such as 'y ~ x', not {type(text).__name__}")
    text = text.strip()
    left, right = _sides(text)
    _refuse_r_spellings(left, right)
    fixed, bars, offsets = _right(right)
    successes, trials, failures = _left(left)
    return Formula(text, left, successes, trials, failures, fixed, tuple(bars), tuple(offsets))


def variables_in(expression: str) -> tuple[str, ...]:
    """Columns that an expression needs, in the order of appearance.

    Called functions, np, contr and the arguments of a lambda are not columns; Q("name") and backticks are.

    >>> variables_in("np.where(`my x` > 0, log(y), C(z, contr.sum))")
    ('my x', 'y', 'z')
    """
    tree, aliases = parse_expression(expression)
    if isinstance(tree, str):
        return (tree,)
    skip = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    skip |= {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in _MODULES
    }
    bound = {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    bound |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    found: list[tuple[int, int, str]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and id(node) not in skip and node.id not in bound | _CONSTANTS:
            found.append((node.lineno, node.col_offset, aliases.get(node.id, node.id)))
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Q" and node.args:
            quoted = node.args[0]
            if isinstance(quoted, ast.Constant) and isinstance(quoted.value, str):
                found.append((quoted.lineno, quoted.col_offset, quoted.value))
    return tuple(dict.fromkeys(name for _, _, name in sorted(found)))


def functions_in(expression: str) -> tuple[str, ...]:
    """Names of the plain functions that an expression calls.

    >>> functions_in("log(x) + np.exp(y)")
    ('log',)
    """
    tree, aliases = parse_expression(expression)
    if isinstance(tree, str):
        return ()
    called = [
        aliases.get(node.func.id, node.func.id) for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    ]
    return tuple(dict.fromkeys(called))


def parse_expression(expression: str) -> tuple[ast.Expression | str, dict[str, str]]:
    """An expression's syntax tree with backticked names replaced by aliases; a bare column name comes back as a string."""
    bare = plain_name(expression)
    if bare is not None:
        return bare, {}
    aliases: dict[str, str] = {}

    def alias(match: re.Match[str]) -> str:
        if match.group(0)[0] != "`":
            return match.group(0)
        name = f"_quoted_{len(aliases)}"
        aliases[name] = match.group(0)[1:-1]
        return name

    code = re.sub(r"\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'|`[^`]*`", alias, expression.strip())
    try:
        return ast.parse(code, mode="eval"), aliases
    except SyntaxError as error:
        raise GlimmError(f"cannot read {expression.strip()!r} in the formula: {error.msg}") from None


def _sides(text: str) -> tuple[str, str]:
    """The text left and right of the one `~`."""
    parts = [part.strip() for _, part in split_at(text, "~")]
    if len(parts) == 1:
        hint = " (not '=')" if "=" in blank(text) and "==" not in text else ""
        raise GlimmError(f"the formula {text!r} has no '~'{hint}: write response ~ predictors, for example 'y ~ x'")
    if len(parts) > 2:
        raise GlimmError(f"the formula {text!r} has {len(parts) - 1} '~': write one, between response and predictors")
    if not parts[0]:
        raise GlimmError(f"the formula {text!r} has no response: write its column before '~', for example 'y {text}'")
    if not parts[1]:
        raise GlimmError(f"the formula {text!r} has nothing after '~': write '~ 1' for a constant only")
    return parts[0], parts[1]


def _refuse_r_spellings(left: str, right: str) -> None:
    """Spellings of R that mean something else, or nothing, in Python."""
    for side in (left, right):
        bare = blank(side)
        match = _R_FACTOR.search(bare)
        if match:
            inside = next(side[start + 1 : end - 1] for _, start, end in calls(side) if start == match.end() - 1)
            raise GlimmError(f"{match.group(1)}({inside}) is R's spelling: write C({inside.split(',')[0].strip()})")
        if _DOT.search(bare):
            raise GlimmError("'.' in a formula is not read as 'all other columns': name the columns")
        for name, start, end in calls(side):
            if "^" in bare[start:end] and (name or side is left or bare[start] != "("):
                call = f"{name}{side[start:end]}"
                raise GlimmError(f"^ in {call} is Python's XOR, not a power: write {call.replace('^', '**')}")
    if "^" in blank(left):
        raise GlimmError(f"^ in {left} is Python's XOR, not a power: write {left.replace('^', '**')}")


def _left(text: str) -> tuple[str | None, str | None, str | None]:
    """Successes, trials and failures of a two-column response."""
    call = unwrap(text)
    if call is not None and call[0] == "cbind":
        parts = [part.strip() for _, part in split_at(call[1], ",")]
        if len(parts) != 2 or not all(parts):
            raise GlimmError(f"{text}: write cbind(successes, failures), two columns")
        return parts[0], None, parts[1]
    parts = [part.strip() for _, part in split_at(text, "/")]
    if len(parts) == 2 and all(parts):
        return parts[0], parts[1], None
    if len(parts) > 1:
        raise GlimmError(f"the response {text!r} is not clear: write successes / trials, or I(...) around a computed ratio")
    return None, None, None


def _right(text: str) -> tuple[str, list[Bar], list[str]]:
    """The right side without bars and offsets, the bars, the offsets."""
    bars: list[Bar] = []
    offsets: list[str] = []
    fixed: list[tuple[str, str]] = []
    todo = pieces(text)
    while todo:
        sign, piece = todo.pop(0)
        call = unwrap(piece)
        name, inside = call if call is not None else ("?", "")
        if name == "offset":
            offsets.append(_offset(sign, piece, inside))
        elif name in ("", *structure_names()) and _has_bar(inside):
            bars.extend(make_bars(sign, piece, name or "us", inside))
        elif name == "" and _bar_within(inside):
            if sign == "-":
                raise GlimmError(f"a random term cannot be subtracted: remove it from {piece}")
            todo[:0] = pieces(inside)
        else:
            _refuse_hidden(piece)
            _refuse_structure(name, inside)
            fixed.append((sign, piece))
    if not fixed:
        return "1", bars, offsets
    joined = " ".join(f"{sign} {piece}" for sign, piece in fixed)
    return joined.removeprefix("+ "), bars, offsets


def _offset(sign: str, piece: str, inside: str) -> str:
    if sign == "-":
        raise GlimmError(f"{piece} is subtracted: write + offset(-({inside.strip()}))")
    if not inside.strip():
        raise GlimmError("offset() is empty: write offset(column)")
    return inside.strip()


def _has_bar(inside: str) -> bool:
    """A | at the top level of the inside of a pair of parentheses."""
    bare = blank(inside)
    return any(char == "|" and level == 0 for char, level in zip(bare, depths(bare), strict=True))


def _bar_within(text: str) -> bool:
    """A random term somewhere inside: a | in plain parentheses or in a structure call."""
    bare = blank(text)
    return any(
        name in ("", *structure_names()) and bare[start] == "(" and _has_bar(text[start + 1 : end - 1]) for name, start, end in calls(text)
    )


def _refuse_structure(name: str, inside: str) -> None:
    """A bar in a call that is no covariance structure; I(a | b) and np.where(a | b, ...) are computations."""
    if name in ("", "?", "I", "C") or "." in name or not _has_bar(inside):
        return
    near = suggest(STRUCTURES_ELSEWHERE.get(name.lower(), name), structure_names())
    raise GlimmError(f"unknown covariance structure {name!r} in {name}({inside}): {near}; write I(...) around a computation with |")


def _refuse_hidden(piece: str) -> None:
    """Bars and offsets that are not terms of their own, and comparisons outside I(...)."""
    bare = blank(piece)
    top = {char for char, level in zip(bare, depths(bare), strict=True) if level == 0}
    if top & set("=<>!,&;@"):
        raise GlimmError(f"{piece!r} is not a term: write I({piece}) around a comparison or a computation")
    if "|" in top:
        raise GlimmError(f"the random term {piece!r} needs parentheses: write ({piece})")
    if _bar_within(piece):
        raise GlimmError(f"a random term cannot be part of an interaction or of another term: {piece!r}; add it with +, as + (1 | group)")
    if _OFFSET.search(bare):
        raise GlimmError(f"offset(...) cannot be part of another term: {piece!r}; add it with +, as + offset(column)")
