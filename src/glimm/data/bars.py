"""Random terms taken apart: structure(expression | grouping) -> one bar for each grouping factor.

(x | a/b/c) = (x | a) + (x | a:b) + (x | a:b:c)
"""

from __future__ import annotations

from ..errors import GlimmError
from .records import Bar
from .terms import plain_factor
from .text import blank, plain_name, split_at, unwrap


def make_bars(sign: str, piece: str, structure: str, inside: str) -> tuple[Bar, ...]:
    """The terms of one pair of parentheses.

    piece : the term as written; inside : what is between its parentheses

    Raises GlimmError for a subtracted term, a wrong number of bars, a double bar with a structure, and a grouping that is not made of
    columns with : and /.

    >>> [bar.text for bar in make_bars("+", "(1 | a/b)", "us", "1 | a/b")]
    ['(1 | a)', '(1 | a:b)']
    """
    if sign == "-":
        raise GlimmError(f"the random term {piece} cannot be subtracted: leave it out")
    parts = [part.strip() for _, part in split_at(inside, "|")]
    correlated = True
    if len(parts) == 3 and parts[1] == "" and "||" in blank(inside):
        parts, correlated = [parts[0], parts[2]], False
    if len(parts) != 2:
        raise GlimmError(f"{piece} has more than one bar: write one random term per grouping, for example (1 | a) + (1 | b)")
    expression, grouping = parts
    if not expression or not grouping:
        raise GlimmError(f"{piece} is incomplete: write (1 | group)")
    if not correlated and structure != "us":
        raise GlimmError(
            f"{piece}: || makes independent effects, {structure}(...) says how they depend: write ({expression} || {grouping}) or "
            f"{structure}({expression} | {grouping})"
        )
    mark = "|" if correlated else "||"
    name = "" if structure == "us" else structure
    made = _groupings(piece, name, f"{expression} {mark}", grouping)
    if len(made) == 1:
        return (Bar(piece, structure, expression, *made[0], correlated),)
    return tuple(Bar(f"{name}({expression} {mark} {text})", structure, expression, text, factors, correlated) for text, factors in made)


def _groupings(piece: str, name: str, left: str, grouping: str) -> list[tuple[str, tuple[str, ...]]]:
    """Text and columns of each grouping factor."""

    def term(text: str) -> str:
        return f"{name}({left} {text.strip()})"

    inner = unwrap(grouping)
    while inner is not None and inner[0] == "":
        grouping = inner[1].strip()
        inner = unwrap(grouping)
    for mark in "+*":
        parts = [part.strip() for _, part in split_at(grouping, mark)]
        if len(parts) > 1 and all(parts):
            several = " + ".join(term(part) for part in parts) + (f" + {term(':'.join(parts))}" if mark == "*" else "")
            raise GlimmError(f"the grouping {grouping!r} in {piece}: write {several}")
    steps = [[part.strip() for _, part in split_at(step, ":")] for _, step in split_at(grouping, "/")]
    columns = [[plain_name(part) for part in step] for step in steps]
    flat = [part for step in steps for part in step]
    for part, column in zip(flat, (column for step in columns for column in step), strict=True):
        if not part:
            raise GlimmError(f"the grouping {grouping!r} in {piece} lacks a column beside ':' or '/': write {term('a/b')} or {term('a:b')}")
        if column is None:
            factor = plain_factor(part)
            if factor is not None:
                better = grouping.replace(part, factor)
                raise GlimmError(f"the grouping {grouping!r} in {piece}: write {term(better)}, a grouping is always taken as a factor")
            raise GlimmError(
                f"the grouping {part!r} in {piece} is not a column: make it one, data['g'] = ..., and write "
                f"{term(grouping.replace(part, 'g'))}"
            )
    out = []
    for j in range(len(steps)):
        found = tuple(str(column) for step in columns[: j + 1] for column in step)
        for column in found:
            if found.count(column) > 1:
                raise GlimmError(f"the grouping {grouping!r} in {piece} has column {column!r} twice: name each column once")
        out.append((":".join(part for step in steps[: j + 1] for part in step), found))
    return out
