"""Random terms with a structure: what may stand on their left side, and the cells of continuous time.

ar1, toep, homcs: b_j = (b_j1, ..., b_jk), one effect per level of a factor. ou: one effect per level j and time t, cell (j, t).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..covariance.correlated import CORRELATED
from ..data.columns import number_codes
from ..data.matrices import Fixed
from ..data.records import Bar, Variable
from ..data.terms import parse_terms, plain_factor
from ..errors import GlimmError
from ..kernels.matrix import Codes
from .records import RandomTerm


def check_structure(bar: Bar, variables: Mapping[str, Variable]) -> None:
    """Raise GlimmError for a left side that the structure does not have, with what to write.

    ou takes one numeric column, cs any columns, the others all indicators of one factor.
    """
    name = bar.structure
    if name == "cs":
        return
    terms, plain = parse_terms(bar.expression)
    constant = any(not term.factors for term in terms)
    products = [term for term in terms if term.factors]

    def write(structure: str, left: str) -> str:
        return f"{structure}({left} | {bar.group})"

    if len(products) != 1 or len(products[0].factors) != 1 or products[0].scale != 1.0:
        one = "one numeric column" if name == "ou" else "one factor"
        example = write("ou", "0 + t") if name == "ou" else write(name, "0 + C(visit)")
        raise GlimmError(f"{bar.text}: {name} is about {CORRELATED[name].about}, the values of {one}: write it as {example}")
    (factor,) = products[0].factors
    column = factor if factor in plain else None
    coded = plain_factor(factor)
    base = _quoted(factor if coded is None else coded, coded is not None)
    variable = variables.get(column if column is not None else coded or "")
    number = variable is not None and variable.kind == "numeric"
    levels = f"C({base})" if number or coded is not None else _quoted(factor, column is not None)
    if column is not None and number and name != "ou":
        about = CORRELATED[name].about
        both = f"write {write(name, f'0 + {levels}')} for levels that are {about}, or {write('ou', f'0 + {base}')} for numeric times"
        if constant:
            raise GlimmError(f"{bar.text} can mean two things, because {column!r} holds numbers: {both}")
        raise GlimmError(f"{bar.text}: {name} takes the levels of a factor, and {column!r} holds numbers: {both}")
    if name == "ou":
        if (column is not None and not number) or coded is not None:
            better = f"write {write('ou', f'0 + {base}')}, or " if number else "give a numeric column, or write "
            raise GlimmError(
                f"{bar.text}: ou takes numeric times, and {factor!r} is a factor: {better}{write('ar1', f'0 + {levels}')} for levels "
                "that are equally spaced occasions"
            )
        if constant:
            both = f"write {write('ou', f'0 + {_quoted(factor, column is not None)}')} for numeric times"
            if number:
                both += f", or {write('ar1', f'0 + {levels}')} for levels that are equally spaced occasions"
            raise GlimmError(f"{bar.text} has a constant beside the times: {both}")
    elif variable is None or (variable.boolean and coded is None):
        raise GlimmError(f"{bar.text}: {name} takes the levels of one factor, a column of strings or C(column), and {factor!r} is none")
    elif constant:
        raise GlimmError(f"{bar.text} has a constant beside the levels: write {write(name, f'0 + {levels}')}")


def continuous(bar: Bar, refs: Codes, levels: NDArray[Any], fixed: Fixed) -> RandomTerm:
    """The term of ou: the times of each level are its cells, sorted by level and time.

    Raises GlimmError for more than one column, and where no level has two times.
    """
    spec = fixed.spec
    if len(spec.names) != 1 or any(factor.spans for factor in spec.factors.values()):
        raise GlimmError(f"{bar.text}: ou takes one numeric column of times, not the {len(spec.names)} columns of {bar.expression}")
    codes, times = number_codes(fixed.matrix.dense()[:, 0])
    width = len(times)
    cells, found = number_codes(refs.astype(np.int64) * width + codes)
    if len(found) == len(levels):
        raise GlimmError(
            f"{bar.text}: no level of {bar.name!r} has two different times, so there is no correlation over time to estimate: "
            f"write (1 | {bar.group})"
        )
    of, at = np.divmod(found, width)
    return RandomTerm(
        group=bar.name,
        levels=levels,
        refs=refs,
        z=np.ones((len(refs), 1), order="F"),
        names=spec.names,
        structure="ou",
        intercept=None,
        center=np.zeros(1),
        scale=np.ones(1),
        mix=np.eye(1),
        spec=spec,
        cells=cells,
        cell_refs=of.astype(np.int32),
        times=np.asarray(times[at], dtype=np.float64),
    )


def cell_of(term: RandomTerm, refs: Codes, times: NDArray[Any]) -> Codes:
    """(n,) the cell of each level and time, -1 where the fit has none."""
    assert term.cell_refs is not None
    assert term.times is not None
    distinct = np.unique(term.times)
    at = np.minimum(np.searchsorted(distinct, times), len(distinct) - 1)
    known = (refs >= 0) & (distinct[at] == times)
    keys = term.cell_refs.astype(np.int64) * len(distinct) + np.searchsorted(distinct, term.times)
    wanted = refs.astype(np.int64) * len(distinct) + at
    cell = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(known & (keys[cell] == wanted), cell, -1).astype(np.int32)


def _quoted(text: str, column: bool) -> str:
    """A column's name as formulas write it."""
    return f"`{text}`" if column and not text.isidentifier() else text
