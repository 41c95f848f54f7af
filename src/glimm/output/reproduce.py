"""The call that made a fit, as Python: kept by the doors in words, written out again for a report.

An argument that was an array is named, and the reader is told what it was.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from inspect import signature
from typing import Any

import numpy as np

from ..data.records import ARRAY
from ..data.text import string
from ..design.response import response_variables
from ..design.weights import Weights
from ..estimators.control import Control
from ..family import Family, Link
from ..records import Call, Record
from ..text import counted, listed

PACKAGES = ("numpy", "scipy", "pandas", "formulaic", "narwhals", "matplotlib")
FRAMES = {"pandas": "a pandas data frame", "polars": "a polars data frame", "pyarrow": "a pyarrow table", "dict": "a dict of arrays"}


@cache
def _parameters(door: Callable[..., Any]) -> tuple[tuple[str, Any], ...]:
    return tuple(signature(door).parameters.items())


def keep(door: Callable[..., Any], given: Mapping[str, Any]) -> Call:
    """The call of a door in words: every argument that is not the default, as Python source.

    given : the door's arguments by name
    """
    named: dict[str, str] = {}
    columns, arrays = [], []
    for name, parameter in _parameters(door):
        value = None if given[name].__class__ is Control and given[name] == Control() else given[name]
        if name in ("formula", "data") or (isinstance(value, str | int | float | None) and value == parameter.default):
            continue
        text = source(value)
        held = value.values if isinstance(value, Weights) else value
        if text is None or (held is not value and not isinstance(held, str)):
            arrays.append(name)
        elif name in ("weights", "offset", "exposure", "groups", "time"):
            columns.append(str(held))
        named[name] = text or name
    if isinstance(vcov := given.get("vcov"), Mapping) and "cluster" in vcov:
        columns += [vcov["cluster"]] if isinstance(vcov["cluster"], str) else list(vcov["cluster"])
    return Call(door.__name__, str(given["formula"]), tuple(named.items()), tuple(columns), tuple(arrays))


def source(value: Any) -> str | None:
    """A value as Python source; None for an array.

    >>> source("binomial"), source({"cluster": ["a", "b"]}), source(np.int64(5)), source(np.ones(2))
    ('"binomial"', '{"cluster": ["a", "b"]}', '5', None)
    """
    if isinstance(value, Family | Link):
        return string(value.name)
    if isinstance(value, Weights):
        return f"glimm.{value.kind}({source(value.values) or 'weights'})"
    if isinstance(value, np.bool_ | np.integer | np.floating):
        return repr(value.item())
    if isinstance(value, str):
        return string(value)
    if isinstance(value, int | float | None):
        return repr(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{source(k)}: {source(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple) and all(isinstance(item, str) for item in value):
        return "[" + ", ".join(map(string, value)) + "]"
    if isinstance(value, tuple):
        return "(" + ", ".join(str(source(item)) for item in value) + ")"
    if callable(value):
        name = getattr(value, "__name__", "")
        return name if name.isidentifier() else "..."
    if is_dataclass(value):
        set_here = [(f.name, getattr(value, f.name)) for f in fields(value) if getattr(value, f.name) != f.default]
        return f"glimm.{type(value).__name__}({', '.join(f'{name}={source(v)}' for name, v in set_here)})"
    return None


def code(records: Sequence[Record], asked: Mapping[str, Any] | None = None) -> str:
    """A script that fits these again, from the data on; asked : further arguments of the comparison."""
    lines = ["import glimm", "", f"data = ...  # {data_words(records)}"]
    arrays = dict.fromkeys(name for record in records for name in record.call.arrays)
    lines += [f"{name} = ...  # an array was given: one value for each row of data" for name in arrays]
    lines.append("")
    names = ["fit"] if len(records) == 1 else [f"fit{k}" for k in range(1, len(records) + 1)]
    lines += [f"{name} = {call(record.call)}" for name, record in zip(names, records, strict=True)]
    more = [f"{name}={source(value)}" for name, value in (asked or {}).items()]
    lines.append("print(fit.summary())" if len(records) == 1 else f"print(glimm.compare({', '.join([*names, *more])}))")
    return "\n".join(lines)


def call(held: Call) -> str:
    """The call as one expression, an argument to a line where it is long."""
    parts = [string(held.formula), "data", *(f"{name}={text}" for name, text in held.arguments)]
    line = f"glimm.{held.door}({', '.join(parts)})"
    return line if len(line) <= 88 else f"glimm.{held.door}(\n" + "".join(f"    {part},\n" for part in parts) + ")"


def data_words(records: Sequence[Record]) -> str:
    """What the data were: kind of frame, rows, the columns that were used."""
    design = records[0].design
    names: dict[str, None] = {}
    for record in records:
        names.update(dict.fromkeys(response_variables(record.design.spec.formula)))
        names.update(dict.fromkeys(record.design.spec.variables))
        names.update(dict.fromkeys(name for bar in record.design.spec.formula.bars for name in bar.factors))
        names.update(dict.fromkeys(record.call.columns))
        for name in record.call.arrays:
            names.pop(name, None)
    shown = [name for name in names if name != ARRAY]
    what = f"{'column' if len(shown) == 1 else 'columns'} {listed(shown)}"
    return f"{FRAMES[design.spec.frame]} of {counted(design.missing.n_rows, 'row')} with the {what}"


def versions(fitted: str) -> tuple[tuple[str, str], ...]:
    """Versions of glimm, Python and the packages behind it that are installed.

    fitted : glimm's version when the fit was made
    """
    out = [("glimm", fitted), ("Python", platform.python_version())]
    for name in PACKAGES:
        try:
            out.append((name, version(name)))
        except PackageNotFoundError:
            continue
    return tuple(out)
