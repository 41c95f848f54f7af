"""Reading formula text: where the quotes and brackets are, where the signs are, what a call's name is.

pieces(text) = the terms between top-level + and -, each with its sign.
"""

from __future__ import annotations

import re

from ..errors import GlimmError

_OPEN = {"(": ")", "[": "]", "{": "}"}
_NAME = re.compile(r"[^\W\d][\w.]*")
_CALL = re.compile(r"([^\W\d][\w.]*)\s*$")


def blank(text: str) -> str:
    """The text with everything inside quotes and backticks replaced by the letter q, same length.

    >>> blank('I(use == "a|b")')
    'I(use == "qqq")'
    """
    out: list[str] = []
    quote = ""
    escaped = False
    for char in text:
        if quote:
            closes = char == quote and not escaped
            out.append(char if closes else "q")
            escaped = char == "\\" and not escaped and quote != "`"
            quote = "" if closes else quote
        else:
            out.append(char)
            quote = char if char in "\"'`" else ""
    if quote:
        raise GlimmError(f"unbalanced {quote} in {text!r}: add the closing one")
    return "".join(out)


def depths(text: str) -> list[int]:
    """Bracket depth of each character of blanked text; brackets have the depth outside them.

    Raises GlimmError for unbalanced brackets.
    """
    out, stack = [], ""
    for char in text:
        if char in _OPEN:
            out.append(len(stack))
            stack += _OPEN[char]
            continue
        if char in ")]}":
            if not stack or stack[-1] != char:
                raise GlimmError(f"unbalanced {char!r} in {text!r}: remove it, or open the bracket it closes")
            stack = stack[:-1]
        out.append(len(stack))
    if stack:
        raise GlimmError(f"unbalanced parentheses in {text!r}: {stack[::-1]!r} is missing")
    return out


def split_at(text: str, marks: str) -> list[tuple[str, str]]:
    """Parts of the text between top-level marks, each with the mark before it ("" for the first).

    >>> split_at("a, f(b, c)", ",")
    [('', 'a'), (',', ' f(b, c)')]
    """
    bare = blank(text)
    level = depths(bare)
    out, start, mark = [], 0, ""
    for j, char in enumerate(bare):
        if level[j] == 0 and char in marks:
            out.append((mark, text[start:j]))
            start, mark = j + 1, char
    out.append((mark, text[start:]))
    return out


def pieces(text: str) -> list[tuple[str, str]]:
    """(sign, term) for each top-level term; runs of signs are merged. Raises GlimmError for text that ends with a sign.

    >>> pieces("a - 1 + b:c")
    [('+', 'a'), ('-', '1'), ('+', 'b:c')]
    """
    out: list[tuple[str, str]] = []
    sign = "+"
    parts = split_at(text, "+-")
    if len(parts) > 1 and not parts[-1][1].strip():
        raise GlimmError(f"{text.strip()!r} ends with {parts[-1][0]!r}: add a term after it, or remove it")
    for mark, part in parts:
        if mark == "-":
            sign = "-" if sign == "+" else "+"
        if part.strip():
            out.append((sign, part.strip()))
            sign = "+"
    return out


def unwrap(text: str) -> tuple[str, str] | None:
    """("name", "inside") when the whole text is one call name(inside); name is "" for plain parentheses; else None.

    >>> unwrap("offset(log(t))"), unwrap("(1 | g)"), unwrap("(a) * (b)")
    (('offset', 'log(t)'), ('', '1 | g'), None)
    """
    text = text.strip()
    bare = blank(text)
    start = bare.find("(")
    if start < 0 or not bare.endswith(")"):
        return None
    name = bare[:start].strip()
    if name and not _NAME.fullmatch(name):
        return None
    level = depths(bare)
    if any(level[j] == 0 for j in range(start + 1, len(bare) - 1)):
        return None
    return name, text[start + 1 : -1]


def calls(text: str) -> list[tuple[str, int, int]]:
    """(name, start, end) of each bracketed run text[start:end] in blanked text, brackets included; name "" for plain parentheses."""
    bare = blank(text)
    out, stack = [], []
    for j, char in enumerate(bare):
        if char in _OPEN:
            match = _CALL.search(bare[:j])
            stack.append((match.group(1) if match else "", j))
        elif char in ")]}" and stack:
            name, start = stack.pop()
            out.append((name, start, j + 1))
    return sorted(out, key=lambda run: run[1])


def plain_name(expression: str) -> str | None:
    """The column that a bare (or backticked) name stands for, else None.

    >>> plain_name("age"), plain_name("`my age`"), plain_name("log(age)")
    ('age', 'my age', None)
    """
    text = expression.strip()
    if len(text) > 2 and text[0] == text[-1] == "`" and "`" not in text[1:-1]:
        return text[1:-1]
    return text if _NAME.fullmatch(text) and text not in ("True", "False", "None") else None


def string(text: str) -> str:
    """Text as Python source, in double quotes where that needs no escape.

    >>> print(string("hours"), string("it's"), string('a "b"'))
    "hours" "it's" 'a "b"'
    """
    return f'"{text}"' if repr(text) == f"'{text}'" and '"' not in text else repr(text)
