"""Linear hypotheses L b = c: read from text, terms or a matrix, and tested by W = (Lb - c)'(L V L')^-1 (Lb - c).

W is chi-squared on the rank of L V L'; where the coefficients have a t reference, W / rank is F.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from ..errors import GlimmError, suggest
from ..kernels.matrix import Floats
from ..text import p_value as p_text
from .covariance import Inference

SINGULAR = 1e-10
CONTRADICTS = 1e-8
NUMBER = re.compile(r"(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """L b = c. matrix : (r, p); values : (r,); text : each row in words."""

    matrix: Floats
    values: Floats
    text: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class HypothesisTest:
    """A test of coefficients.

    kind : "wald" or "score"; distribution : "chi2" or "F"; statistic, df, p_value; df_denominator : of F, None for chi2
    hypothesis : its rows in words; note : what must be known, empty if nothing
    """

    kind: str
    distribution: str
    statistic: float
    df: int
    df_denominator: float | None
    p_value: float
    hypothesis: tuple[str, ...] = ()
    note: str = ""

    def __str__(self) -> str:
        df = f"{self.df}" if self.df_denominator is None else f"{self.df}, {self.df_denominator:.6g}"
        p = p_text(self.p_value)
        words = f"{self.kind} test: {self.distribution}({df}) = {self.statistic:.4g}, p {p if p[0] in '<>' else f'= {p}'}"
        return "\n".join([words, *(f"  {row}" for row in self.hypothesis), *([f"note: {self.note}"] if self.note else [])])


def wald(inference: Inference, hypothesis: Hypothesis, to_named: Floats) -> HypothesisTest:
    """The Wald test of a hypothesis with the covariance of `inference`; to_named : (p, p) A, coefficients = A times working ones.

    A single contrast has the degrees of freedom of its own, where there are such.
    """
    used = np.flatnonzero(hypothesis.matrix.any(axis=0))
    left, params = hypothesis.matrix[:, used], inference.params[used]
    cov = inference.cov[np.ix_(used, used)]
    df = denominator(inference)
    if len(left) == 1 and inference.degrees is not None:
        df = float(inference.degrees.of(hypothesis.matrix @ to_named)[0])
    if not (np.isfinite(cov).all() and np.isfinite(params).all()):
        lost = [inference.names[j] for j in used if not math.isfinite(inference.cov[j, j])]
        return without("wald", df, hypothesis.text, f"no standard error of {', '.join(lost) or 'these coefficients'}")
    distance = left @ params - hypothesis.values
    statistic, rank = quadratic_form(distance, left @ cov @ left.T)
    return finished("wald", statistic, rank, len(distance), df, hypothesis.text)


def denominator(inference: Inference) -> float | None:
    """The F denominator of several contrasts together; None for chi-squared."""
    return inference.common_df


def quadratic_form(distance: Floats, cov: Floats) -> tuple[float, int]:
    """(d'C^- d, rank of C), C scaled to a unit diagonal first; the generalised inverse where C is singular."""
    root = np.sqrt(np.maximum(np.diag(cov), 0.0))
    there = root > 0.0
    if not there.any():
        return math.nan, 0
    d, r = distance[there] / root[there], root[there]
    w, q = np.linalg.eigh(cov[np.ix_(there, there)] / np.outer(r, r))
    keep = w > SINGULAR * w[-1]
    return float(np.sum((q[:, keep].T @ d) ** 2 / w[keep])), int(keep.sum())


def finished(kind: str, statistic: float, rank: int, rows: int, df: float | None, text: tuple[str, ...], note: str = "") -> HypothesisTest:
    """The test of a quadratic form on `rank` degrees of freedom, `rows` if nothing is singular."""
    from scipy.special import chdtrc, fdtrc

    if rank < rows:
        said = f"the covariance of the {rows} contrasts has rank {rank}, which is the degrees of freedom (generalised inverse)"
        note = f"{note}; {said}" if note else said
    if rank == 0 or not math.isfinite(statistic):
        return without(kind, df, text, note or "the contrasts have no variance")
    if df is None:
        return HypothesisTest(kind, "chi2", statistic, rank, None, float(chdtrc(rank, statistic)), text, note)
    if not df > 0.0:
        return without(kind, df, text, "no degrees of freedom are left for the denominator of F")
    value = statistic / rank
    return HypothesisTest(kind, "F", value, rank, df, float(fdtrc(rank, df, value)), text, note)


def without(kind: str, df: float | None, text: tuple[str, ...], note: str) -> HypothesisTest:
    """A test that has no value, and why."""
    return HypothesisTest(kind, "chi2" if df is None else "F", math.nan, 0, df, math.nan, text, note)


def read(hypothesis: Any, value: Any, names: Sequence[str], terms: Mapping[str, tuple[str, ...]], dropped: Mapping[str, str]) -> Hypothesis:
    """A hypothesis from what the caller gave.

    hypothesis : "age = 0, smoke = age:smoke"; names of coefficients or terms; an (r, p) matrix; value : right side of names or a matrix
    names : (p,) coefficients; terms : label -> its coefficients; dropped : columns left out for rank and what they equal
    Raises GlimmError for an unknown name, a matrix of another shape, no hypothesis, and one that contradicts itself.
    """
    if isinstance(hypothesis, str) and "=" in hypothesis:
        if value is not None:
            raise GlimmError("wald_test: text with '=' says its right side itself: leave value= out")
        out = Reader(hypothesis, names, terms, dropped).equations()
    elif isinstance(hypothesis, str) or (
        isinstance(hypothesis, list | tuple) and len(hypothesis) and all(isinstance(h, str) for h in hypothesis)
    ):
        given = [hypothesis] if isinstance(hypothesis, str) else list(hypothesis)
        out = _of_names(given, names, terms, dropped, value)
    else:
        out = _of_matrix(hypothesis, names, value)
    return independent(out)


def independent(h: Hypothesis) -> Hypothesis:
    """The same without rows that follow from those before; raises GlimmError for rows that contradict each other, or that are zero."""
    scale = np.abs(h.matrix).max(axis=1)
    if not len(scale) or (scale == 0.0).any():
        at = int(np.argmin(scale)) if len(scale) else 0
        raise GlimmError(f"wald_test: {h.text[at] if h.text else 'the hypothesis'!r} has no coefficient in it: a row of L is zero")
    left, right = h.matrix / scale[:, None], h.values / scale
    keep: list[int] = []
    for i in range(len(left)):
        if keep:
            found = np.linalg.lstsq(left[keep].T, left[i], rcond=None)[0]
            if np.abs(left[i] - found @ left[keep]).max() < SINGULAR * 100.0:
                if abs(right[i] - found @ right[keep]) > CONTRADICTS * (1.0 + np.abs(right).max()):
                    raise GlimmError(f"wald_test: {h.text[i]!r} contradicts the rows before it: no coefficients meet all of them")
                continue
        keep.append(i)
    return Hypothesis(h.matrix[keep], h.values[keep], tuple(h.text[i] for i in keep))


def _of_names(
    given: list[str], names: Sequence[str], terms: Mapping[str, tuple[str, ...]], dropped: Mapping[str, str], value: Any
) -> Hypothesis:
    found: dict[str, None] = {}
    for name in given:
        if name in names:
            found[name] = None
        elif terms.get(name):
            found.update(dict.fromkeys(terms[name]))
        else:
            raise GlimmError(_unknown(name, names, terms, dropped))
    rows = np.zeros((len(found), len(names)))
    for i, name in enumerate(found):
        rows[i, list(names).index(name)] = 1.0
    right = _right(value, len(rows))
    return Hypothesis(rows, right, tuple(f"{name} = {v:g}" for name, v in zip(found, right, strict=True)))


def _of_matrix(given: Any, names: Sequence[str], value: Any) -> Hypothesis:
    try:
        matrix = np.atleast_2d(np.asarray(given, dtype=np.float64))
    except (TypeError, ValueError):
        matrix = np.zeros((0, 0))
    if matrix.ndim != 2 or matrix.shape[1] != len(names) or not len(matrix) or not np.isfinite(matrix).all():
        shape = f"an array of shape {np.shape(given)}" if matrix.size else type(given).__name__
        raise GlimmError(
            f"wald_test takes text such as 'age = 0, smoke = 2 * age', names of coefficients or terms, or a matrix of finite numbers with "
            f"{len(names)} columns (one per coefficient, in the order of params), not {shape}"
        )
    right = _right(value, len(matrix))
    return Hypothesis(matrix, right, tuple(in_words(row, v, names) for row, v in zip(matrix, right, strict=True)))


def _right(value: Any, rows: int) -> Floats:
    try:
        out = np.zeros(rows) if value is None else np.broadcast_to(np.asarray(value, dtype=np.float64).ravel(), (rows,)).copy()
    except (TypeError, ValueError):
        out = np.full(rows, np.nan)
    if not np.isfinite(out).all():
        raise GlimmError(f"wald_test: value must be one number, or one for each of the {rows} rows of the hypothesis, not {value!r}")
    return out


def in_words(row: Floats, value: float, names: Sequence[str]) -> str:
    """A row of L b = c.

    >>> in_words(np.array([1.0, -0.5]), 2.0, ("age", "smoke"))
    'age - 0.5 * smoke = 2'
    """
    out = ""
    for weight, name in zip(row, names, strict=True):
        if weight != 0.0:
            sign = ("-" if weight < 0 else "") if not out else (" - " if weight < 0 else " + ")
            out += sign + ("" if abs(weight) == 1.0 else f"{abs(weight):.4g} * ") + name
    return f"{out or '0'} = {value:g}"


def _unknown(name: str, names: Sequence[str], terms: Mapping[str, tuple[str, ...]], dropped: Mapping[str, str]) -> str:
    if name in dropped:
        return f"wald_test: {name!r} was left out of the model for rank ({dropped[name]}): test what it equals"
    known = dict.fromkeys([*names, *(label for label, columns in terms.items() if columns)])
    return f"wald_test: no coefficient or term {name!r}: {suggest(name, known)}"


class Reader:
    """Text of equations with the names of coefficients in it: the longest name that fits is taken."""

    def __init__(self, text: str, names: Sequence[str], terms: Mapping[str, tuple[str, ...]], dropped: Mapping[str, str]) -> None:
        self.text, self.names, self.terms, self.dropped, self.at = text, list(names), terms, dropped, 0
        known = {*names, *dropped, *(label for label, columns in terms.items() if columns)}
        self.known = sorted(known, key=len, reverse=True)

    def equations(self) -> Hypothesis:
        """All of them, separated by commas; a = b = 0 are two."""
        rows: list[Floats] = []
        values: list[float] = []
        words: list[str] = []
        while True:
            start = self.at
            sides = [self._sum()]
            while self._take("==") or self._take("="):
                sides.append(self._sum())
            if len(sides) == 1:
                raise GlimmError(f"wald_test: {self.text[start : self.at].strip()!r} has no '=': write for example 'age = 0'")
            for left, right in pairwise(sides):
                for row in self._rows(left, right):
                    rows.append(row[:-1])
                    values.append(0.0 - float(row[-1]))
                    words.append(in_words(row[:-1], values[-1], self.names))
            if not self._take(","):
                break
        if self._rest():
            raise GlimmError(f"wald_test: cannot read {self._rest()!r} in {self.text!r}: use +, -, *, /, numbers and names of coefficients")
        return Hypothesis(np.array(rows), np.array(values), tuple(words))

    def _rows(self, left: Side, right: Side) -> list[Floats]:
        """left - right, one row per coefficient of a term that stands alone on one side."""
        if left.term and right.term and left.term != right.term:
            raise GlimmError(f"wald_test: {left.term!r} and {right.term!r} are terms of several coefficients: name the coefficients")
        for one, other in ((left, right), (right, left)):
            if one.term:
                if other.row[:-1].any():
                    raise GlimmError(f"wald_test: {one.term!r} is a term of several coefficients: it can be set to a number only")
                return [self._unit(name) - other.row for name in self.terms[one.term]]
        return [left.row - right.row]

    def _unit(self, name: str) -> Floats:
        out = np.zeros(len(self.names) + 1)
        out[self.names.index(name)] = 1.0
        return out

    def _rest(self) -> str:
        return self.text[self.at :].strip()

    def _skip(self) -> None:
        while self.at < len(self.text) and self.text[self.at].isspace():
            self.at += 1

    def _take(self, sign: str) -> bool:
        self._skip()
        if self.text.startswith(sign, self.at):
            self.at += len(sign)
            return True
        return False

    def _sum(self) -> Side:
        total: Side | None = None
        while True:
            sign = 1.0
            plus = self._take("+")
            minus = not plus and self._take("-")
            if total is not None and not (plus or minus):
                return total
            while minus or self._take("-"):
                sign, minus = -sign, False
            part = self._product()
            if total is None and sign > 0.0:
                total = part
            else:
                self._several(part)
                if total is not None:
                    self._several(total)
                total = Side((np.zeros_like(part.row) if total is None else total.row) + sign * part.row)

    def _several(self, side: Side) -> None:
        if side.term:
            raise GlimmError(f"wald_test: {side.term!r} is a term of several coefficients: name the coefficients {self.terms[side.term]}")

    def _product(self) -> Side:
        out = self._atom()
        while True:
            if self._take("*"):
                other = self._atom()
                self._several(out)
                self._several(other)
                if out.row[:-1].any() and other.row[:-1].any():
                    raise GlimmError(f"wald_test: {self.text!r} multiplies two coefficients: hypotheses are linear")
                constant, row = (out.row[-1], other.row) if not out.row[:-1].any() else (other.row[-1], out.row)
                out = Side(constant * row)
            elif self._take("/"):
                other = self._atom()
                self._several(out)
                if other.row[:-1].any() or other.term or other.row[-1] == 0.0:
                    raise GlimmError(f"wald_test: {self.text!r} divides by what is no number: hypotheses are linear")
                out = Side(out.row / other.row[-1])
            else:
                return out

    def _atom(self) -> Side:
        self._skip()
        name = self._name()
        if name is not None:
            if name in self.names:
                return Side(self._unit(name))
            if name in self.dropped:
                raise GlimmError(_unknown(name, self.names, self.terms, self.dropped))
            columns = self.terms[name]
            return Side(self._unit(columns[0])) if len(columns) == 1 else Side(np.zeros(len(self.names) + 1), name)
        if self._take("("):
            out = self._sum()
            if not self._take(")"):
                raise GlimmError(f"wald_test: a bracket is not closed in {self.text!r}")
            return out
        found = NUMBER.match(self.text, self.at)
        if found is None:
            if not self._rest() or self._rest()[0] in ",=*/+)":
                where = f"before {self._rest()!r}" if self._rest() else "at the end"
                raise GlimmError(f"wald_test: a number or a coefficient is missing {where} of {self.text!r}")
            word = re.split(r"[,=*/+\s]", self._rest(), maxsplit=1)[0]
            raise GlimmError(_unknown(word, self.names, self.terms, self.dropped) + f" (read in {self.text!r})")
        self.at = found.end()
        out = Side(np.zeros(len(self.names) + 1))
        out.row[-1] = float(found[0])
        return out

    def _name(self) -> str | None:
        for name in self.known:
            for written in (name, f"`{name}`"):
                end = self.at + len(written)
                if self.text.startswith(written, self.at) and not _goes_on(self.text, end):
                    self.at = end
                    return name
        return None


def _goes_on(text: str, end: int) -> bool:
    """Whether a name goes on at `end`, so that what was read is only the beginning of a longer one."""
    return end < len(text) and (text[end].isalnum() or text[end] in "_:[.") and text[end - 1] != "`"


@dataclass(frozen=True, slots=True)
class Side:
    """One side of an equation. row : (p + 1,) coefficients and the constant; term : a term of several coefficients that stands alone."""

    row: Floats
    term: str = ""
