"""What the log odds ratio of two binary rows of a cluster depends on: gamma_jk = z_jk'alpha.

Source: Carey, Zeger and Diggle (1993), Biometrika 80, 517-526; SAS/STAT, PROC GEE, LOGOR=.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, final

import numpy as np
from numpy.typing import NDArray

from ..errors import GlimmError
from ..kernels import Pairs
from ..kernels.matrix import Codes, Floats, Ints
from .occasions import Occasions

Columns = Mapping[str, NDArray[Any]]
MOST_OCCASIONS = 50
MOST_PAIRS = 20_000_000
FITTED: Final = "log_odds_ratio"


@final
@dataclass(frozen=True, slots=True)
class OneOddsRatio:
    """One odds ratio for all pairs."""

    name = "odds_ratio"
    about = "the same odds ratio for every pair of rows"

    def names(self, at: Occasions) -> tuple[str, ...]:
        """log_odds_ratio."""
        return (FITTED,)

    def settled(self, at: Occasions) -> OneOddsRatio:
        """Itself."""
        return self

    def pairs(self, at: Occasions, columns: Columns) -> Pairs:
        """1."""
        return Pairs(np.ones((1, 1)))


@final
@dataclass(frozen=True, slots=True)
class PairOddsRatios:
    """One odds ratio for each pair of occasions. times : the occasions, rising, once they are known."""

    times: tuple[float, ...] | None = None

    @property
    def name(self) -> str:
        """odds_ratio(pairs)."""
        return "odds_ratio(pairs)"

    @property
    def about(self) -> str:
        """The structure in words."""
        return "an odds ratio of its own for each pair of occasions"

    def names(self, at: Occasions) -> tuple[str, ...]:
        """log_odds_ratio[first,second] by the times of the pair."""
        times = self._known(at)
        return tuple(f"{FITTED}[{times[j]:g},{times[k]:g}]" for j, k in zip(*np.triu_indices(len(times), 1), strict=True))

    def settled(self, at: Occasions) -> PairOddsRatios:
        """With these times."""
        return self if self.times is not None else replace(self, times=tuple(self._known(at).tolist()))

    def pairs(self, at: Occasions, columns: Columns) -> Pairs:
        """An indicator for each pair of times."""
        times = self._known(at)
        wave = np.searchsorted(times, at.at)
        first, second = pair_rows(at)
        j, k = np.minimum(wave[first], wave[second]), np.maximum(wave[first], wave[second])
        codes = j * len(times) - j * (j + 1) // 2 + k - j - 1
        return Pairs(np.eye(len(times) * (len(times) - 1) // 2), codes.astype(np.int32))

    def _known(self, at: Occasions) -> Floats:
        times = at.times if self.times is None else np.array(self.times)
        if len(times) < 2:
            raise GlimmError(f"corr={self.name!r} needs clusters with two rows: every cluster has one; use corr='independence'")
        if len(times) > MOST_OCCASIONS:
            raise GlimmError(
                f"corr={self.name!r} has an odds ratio for each pair of occasions, and there are {len(times)} occasions, more than "
                f"{MOST_OCCASIONS}: use corr='odds_ratio', or glimm.OddsRatio with functions of the time"
            )
        return times


@final
@dataclass(frozen=True, slots=True)
class NestedOddsRatios:
    """Two odds ratios: inside an inner cluster, and between inner clusters of a cluster."""

    name = "odds_ratio(nested)"
    about = "one odds ratio inside an inner cluster, another between inner clusters"

    def names(self, at: Occasions) -> tuple[str, ...]:
        """log_odds_ratio_within, log_odds_ratio_across."""
        if at.inner is None:
            raise GlimmError(f"corr={self.name!r} needs clusters in clusters: groups='school/class', the outer one first")
        return (f"{FITTED}_within", f"{FITTED}_across")

    def settled(self, at: Occasions) -> NestedOddsRatios:
        """Itself."""
        return self

    def pairs(self, at: Occasions, columns: Columns) -> Pairs:
        """An indicator for each of the two."""
        assert at.inner is not None
        first, second = pair_rows(at)
        return Pairs(np.eye(2), (at.inner[first] != at.inner[second]).astype(np.int32))


@final
@dataclass(frozen=True)
class OddsRatio:
    """Odds ratios that depend on the two rows: log odds ratio = sum over terms of alpha f(first rows, second rows).

    terms : name -> function of two mappings, column name -> values of the first and of the second row of each pair, that returns one
        number for each pair; it must not matter which row comes first
    intercept : whether there is a constant besides them

    Raises GlimmError for no terms, and for names that are no text.

    >>> import glimm
    >>> apart = glimm.OddsRatio({"apart": lambda a, b: abs(a["age"] - b["age"])})
    >>> fit = glimm.gee("resp ~ age * smoke", glimm.load_dataset("ohio"), groups="id", family="binomial", corr=apart)
    >>> fit.corr_params.round(2).to_dict()
    {'log_odds_ratio': 2.31, 'apart': -0.16}
    """

    terms: Mapping[str, Callable[[Columns, Columns], Any]]
    intercept: bool = True

    def __post_init__(self) -> None:
        if not isinstance(self.terms, Mapping) or not self.terms:
            raise GlimmError("OddsRatio: terms must map names to functions, such as {'apart': lambda a, b: abs(a['age'] - b['age'])}")
        for name, function in self.terms.items():
            if not isinstance(name, str) or not name:
                raise GlimmError(f"OddsRatio: a term's name must be text, not {name!r}")
            if not callable(function):
                raise GlimmError(f"OddsRatio: term {name!r} must be a function of two rows' columns, not {type(function).__name__}")
        if self.intercept and FITTED in self.terms:
            raise GlimmError(f"OddsRatio: {FITTED!r} is what the constant is called: use another name for this term, or intercept=False")

    @property
    def name(self) -> str:
        """odds_ratio(custom)."""
        return "odds_ratio(custom)"

    @property
    def about(self) -> str:
        """The structure in words."""
        return f"odds ratios that depend on {', '.join(self.terms)}"

    def names(self, at: Occasions) -> tuple[str, ...]:
        """log_odds_ratio for the constant, then the terms."""
        return ((FITTED,) if self.intercept else ()) + tuple(self.terms)

    def settled(self, at: Occasions) -> OddsRatio:
        """Itself."""
        return self

    def pairs(self, at: Occasions, columns: Columns) -> Pairs:
        """The functions' values, equal ones once."""
        first, second = pair_rows(at)
        a, b = _Taken(columns, first), _Taken(columns, second)
        found = [self._values(name, a, b, first, second) for name in self.terms]
        z = np.column_stack([np.ones(len(first)), *found] if self.intercept else found)
        if not len(z):
            return Pairs(np.zeros((1, z.shape[1])), np.zeros(0, dtype=np.int32))
        distinct, codes = np.unique(z, axis=0, return_inverse=True)
        return Pairs(np.ascontiguousarray(distinct), codes.ravel().astype(np.int32))

    def _values(self, name: str, a: Columns, b: Columns, first: Ints, second: Ints) -> Floats:
        function, count = self.terms[name], len(first)
        try:
            values, turned = (np.asarray(function(*rows), dtype=np.float64) for rows in ((a, b), (b, a)))
        except GlimmError:
            raise
        except Exception as error:
            raise GlimmError(f"OddsRatio: term {name!r} raised {type(error).__name__}: {error}") from error
        values, turned = (np.full(count, float(v)) if v.ndim == 0 else v for v in (values, turned))
        if values.shape != (count,):
            raise GlimmError(f"OddsRatio: term {name!r} must give a number for each of {count} pairs, not an array of shape {values.shape}")
        if not np.isfinite(values).all():
            raise GlimmError(f"OddsRatio: term {name!r} is {values[~np.isfinite(values)][0]} for some pairs: it must be a number for all")
        if not np.array_equal(values, turned):
            pair = int(np.argmax(values != turned))
            raise GlimmError(
                f"OddsRatio: term {name!r} is {values[pair]:g} for two rows and {turned[pair]:g} when they change places: make it the "
                "same, for example by abs(a - b) or a + b"
            )
        return np.asarray(values)


class _Taken(Mapping[str, NDArray[Any]]):
    """Columns at some rows, taken as they are asked for."""

    def __init__(self, columns: Columns, rows: Ints) -> None:
        self._columns, self._rows = columns, rows

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self._columns[name][self._rows]

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)


OddsRatios = OneOddsRatio | PairOddsRatios | NestedOddsRatios | OddsRatio
"""name : how `corr=` calls it; about : what it says of a cluster, in words; names(at) : of the parameters, raises GlimmError for occasions
that it cannot have; settled(at) : with what it takes from the occasions of the whole data, for some of their rows;
pairs(at, columns) : z of every pair of rows, columns (n,) by name in the order of rows."""

ODDS_RATIOS: Final[dict[str, OddsRatios]] = {s.name: s for s in (OneOddsRatio(), PairOddsRatios(), NestedOddsRatios())}


def odds_ratios(corr: Any) -> OddsRatios | None:
    """The structure of odds ratios that `corr=` names, None where it is another working correlation."""
    if isinstance(corr, OddsRatio):
        return corr
    if not isinstance(corr, str) or not corr.strip().startswith("odds_ratio"):
        return None
    plain = corr.replace(" ", "")
    if plain in ODDS_RATIOS:
        return ODDS_RATIOS[plain]
    raise GlimmError(f"unknown working correlation corr={corr!r}: have {', '.join(map(repr, ODDS_RATIOS))} and glimm.OddsRatio(...)")


def pair_rows(at: Occasions) -> tuple[Ints, Ints]:
    """(first, second), each (P,): positions of the rows of every pair, cluster by cluster and row by row."""
    counts = at.sizes * (at.sizes - 1) // 2
    ends = np.cumsum(counts)
    total = int(ends[-1]) if len(ends) else 0
    if total > MOST_PAIRS:
        raise GlimmError(f"clusters have {total} pairs of rows, more than {MOST_PAIRS}: use corr='odds_ratio', or corr='exchangeable'")
    first, second = np.empty(total, dtype=np.int64), np.empty(total, dtype=np.int64)
    for size in np.unique(at.sizes):
        members = np.flatnonzero(at.sizes == size)
        j, k = np.triu_indices(int(size), 1)
        place = (ends - counts)[members][:, None] + np.arange(len(j))
        first[place], second[place] = at.starts[members][:, None] + j, at.starts[members][:, None] + k
    return first, second


def gammas(pairs: Pairs, alpha: Floats, count: int, begin: int = 0) -> Floats:
    """(count,) log odds ratios of the pairs from number `begin` on."""
    by_pattern = pairs.z @ alpha
    codes: Codes = np.zeros(count, dtype=np.int32) if pairs.codes is None else pairs.codes[begin : begin + count]
    return np.asarray(by_pattern[codes])
