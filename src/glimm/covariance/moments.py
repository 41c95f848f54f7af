"""Moment rules of a GEE: phi and correlations from sums of Pearson residuals e over pairs of rows of a cluster.

standard: phi = sum e^2 / (N - p), alpha = sum e_j e_k / (phi (pairs - p)) (SAS/STAT, PROC GENMOD, "Working Correlation Matrix").
geepack: divisors N and pairs (Yan and Fine 2004, Stat. Med. 23, 859-874).
gee: by position in the cluster, averaged over clusters first (R package gee; Liang and Zeger 1986, section 3.3).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

import numpy as np

from ..errors import GlimmError
from ..kernels import NO_PAIRS, PairSums, lag_sums, pair_sums, wave_sums
from ..kernels.gee import cluster_blocks
from ..kernels.matrix import Floats, Ints
from .occasions import Occasions

RULES: Final = ("standard", "geepack", "gee")
LONG: Final = 2_000
NOTHING_PAIRED: Final = "no cluster has two rows: the correlation is not estimated and taken as 0"


@dataclass(frozen=True, slots=True)
class Residuals:
    """Pearson residuals (n,) of whole clusters, in order, and where their rows are; size : (n,) weights times trials, None for ones."""

    pearson: Floats
    at: Occasions
    threads: int = 1
    size: Floats | None = None

    def blocks(self) -> Iterator[Residuals]:
        """The same in blocks of clusters, for sums whose bits do not depend on batches."""
        starts, at = self.at.starts, self.at
        for a, b in pairwise(cluster_blocks(starts)):
            rows = slice(int(starts[a]), int(starts[b]))
            time, inner, size = (None if v is None else v[rows] for v in (at.time, at.inner, self.size))
            yield Residuals(self.pearson[rows], Occasions(starts[a : b + 1] - starts[a], time, inner, at.scope), self.threads, size)


@dataclass(frozen=True, slots=True)
class Sums:
    """What a moment rule needs of the residuals: added up over batches.

    n : rows, or the sum of their weights; largest : largest |e|; pairs : sums that all need; own : those of the structure
    """

    n: float = 0
    largest: float = 0.0
    pairs: PairSums = NO_PAIRS
    own: Floats | None = None

    def add(self, r: Residuals, own: Floats | None) -> Sums:
        """With one more batch, whose own sums were added already."""
        here = float(np.abs(r.pearson).max(initial=0.0))
        largest = self.largest if here <= self.largest else here
        pairs = pair_sums(r.pearson, r.at.starts, r.at.time, r.threads, self.pairs)
        return replace(self, n=self.n + len(r.pearson), largest=largest, pairs=pairs, own=own)


@dataclass(frozen=True, slots=True)
class Rule:
    """Which rule, and p for its divisors."""

    name: str
    p: int

    def dispersion(self, s: Sums) -> float:
        """phi = sum e^2 / (N - p), or / N by geepack's rule."""
        return s.pairs.squares / (s.n if self.name == "geepack" or s.n <= self.p else s.n - self.p)


def collect(own_sums: Callable[[Residuals, Rule, Floats | None], Floats | None], r: Residuals, rule: Rule, before: Sums) -> Sums:
    """The sums with one more batch; geepack's rule counts a row by its weight w and a pair by w_j w_k, with residuals without weights."""
    if rule.name != "geepack" or r.size is None:
        return before.add(r, own_sums(r, rule, before.own))
    products = replace(r, pearson=np.sqrt(r.size) * r.pearson)
    weights = replace(r, pearson=r.size)
    held, plain = before.pairs, before.add(r, None)
    a = Sums(pairs=PairSums(0.0, held.pairs, 0.0, held.next, 0.0)).add(products, None).pairs
    b = Sums(pairs=PairSums(0.0, held.n_pairs, 0.0, held.n_next, 0.0)).add(weights, None).pairs
    own, counts = own_sums(products, rule, before.own), own_sums(weights, rule, _counts_of(before.own))
    if own is not None and counts is not None:
        own = _counted(own, counts)
    n = before.n
    for block in r.blocks():
        n += 0.0 if block.size is None else float(block.size.sum())
    number = b.pairs if r.at.scope.largest > 1 else 0.0  # a difference of squares: rounding, where clusters have one row
    return Sums(n, plain.largest, PairSums(plain.pairs.squares, a.pairs, number, a.next, b.next), own)


def _counts_of(own: Floats | None) -> Floats | None:
    """Counts in the place of sums, for more of them; distances, products and counts of pairs are of one batch."""
    if own is None or (own.ndim == 2 and len(own) == 3):
        return None
    half = len(own) // 2
    return np.concatenate([own[half:], own[half:]])


def _counted(own: Floats, counts: Floats) -> Floats:
    """Sums above counts, the counts being sums of products of weights; three rows are distances, products and counts of pairs."""
    out = own.copy()
    if own.ndim == 2 and len(own) == 3:
        out[2] = counts[1]
    else:
        half = len(own) // 2
        out[half:] = counts[:half]
    return out


@dataclass(frozen=True, slots=True)
class Moments:
    """Dispersion and correlation parameters of one residual vector.

    note : what could not be done as asked, for a warning; how : which way was taken, where there is a choice
    """

    phi: float
    alpha: Floats
    note: str = ""
    how: str = ""


def ratios(totals: Floats, pairs: Floats, phi: float, rule: Rule, names: Callable[[], tuple[str, ...]]) -> tuple[Floats, str]:
    """(alpha, note): totals / (phi (pairs - p)), without p where there are no more than p pairs, 0 where there is none.

    totals, pairs : (q,); names : of the parameters, asked for only where something is said of one
    """
    divisor = pairs.astype(np.float64)
    few = np.zeros(len(pairs), dtype=bool)
    if rule.name != "geepack":
        few = (pairs > 0) & (pairs <= rule.p)
        divisor = np.where(few, pairs, pairs - rule.p)
    alpha = np.divide(totals, phi * divisor, out=np.zeros(len(pairs)), where=pairs > 0)
    notes = []
    if len(pairs) and not pairs.any():
        return alpha, NOTHING_PAIRED
    if few.any():
        what = f"{_some(names(), few)}: " if len(pairs) > 1 else ""
        number = int(pairs[few].min())
        notes.append(
            f"{what}only {number} pair{'s' if number > 1 else ''} of rows for {rule.p} coefficients: the correlation's divisor "
            f"is not reduced by {rule.p}"
        )
    if not pairs.all():
        notes.append(f"no pair of rows for {_some(names(), pairs == 0)}: taken as 0")
    return alpha, "; ".join(notes)


def _some(names: tuple[str, ...], which: Floats | np.ndarray) -> str:
    at = np.flatnonzero(which)
    shown = ", ".join(names[i] for i in at[:3])
    return f"{shown} and {len(at) - 3} more" if len(at) > 3 else shown


def lag_products(r: Residuals, lags: int, rule: Rule, before: Floats | None) -> Floats:
    """(2, lags + 1) sums above counts by distance; by gee's rule [0] holds sum_i n_i^-1 sum e^2 above the number of clusters."""
    if rule.name != "gee":
        return _by_lag(r, lags, before)
    out = np.zeros((2, lags + 1)) if before is None else before.copy()
    _long_enough(r, lags)
    for b in r.blocks():
        sizes = b.at.sizes
        cluster = np.repeat(np.arange(len(sizes)), sizes)
        out[0, 0] += _squares(b.pearson, sizes)
        out[1, :] += len(sizes)
        for lag in range(1, lags + 1):
            same = cluster[lag:] == cluster[:-lag]
            with np.errstate(over="ignore", invalid="ignore"):
                out[0, lag] += float(np.sum((b.pearson[lag:] * b.pearson[:-lag] / (sizes[cluster[lag:]] - lag))[same]))
    return out


def _by_lag(r: Residuals, lags: int, before: Floats | None) -> Floats:
    """`lag_sums`, but of clusters with thousands of rows and lags by the Fourier transform, whose products at all lags cost n log n."""
    starts, time = r.at.starts, r.at.time
    out, done = np.zeros((2, lags + 1)) if before is None else before, 0
    for j in np.flatnonzero(r.at.sizes > LONG) if lags > LONG else ():
        a, b = int(starts[j]), int(starts[j + 1])
        first = int(starts[done])
        out = lag_sums(r.pearson[first:a], starts[done : j + 1] - first, None if time is None else time[first:a], lags, out)
        at = np.arange(b - a) if time is None else (time[a:b] - time[a]).astype(np.int64)
        if at[-1] > lags:
            out = lag_sums(r.pearson[a:b], starts[j : j + 2] - a, None if time is None else time[a:b], lags, out)
        else:
            out = out + _transformed(r.pearson[a:b], at, lags)
        done = int(j) + 1
    first = int(starts[done])
    return lag_sums(r.pearson[first:], starts[done:] - first, None if time is None else time[first:], lags, out)


def _transformed(e: Floats, at: Ints, lags: int) -> Floats:
    """(2, lags + 1) of one cluster at whole times from 0: sum_t x_t x_(t + l) is the inverse transform of |x^|^2, padded with zeros."""
    span = int(at[-1]) + 1
    length = 1 << (2 * span - 1).bit_length()
    out = np.zeros((2, lags + 1))
    for row, values in enumerate((e, np.ones(len(e)))):
        x = np.zeros(length)
        x[at] = values
        out[row, 1:span] = np.fft.irfft(np.abs(np.fft.rfft(x)) ** 2, length)[1:span]
    out[1] = np.rint(out[1])
    out[0, out[1] == 0.0] = 0.0
    return out


def wave_products(r: Residuals, rule: Rule, before: Floats | None) -> Floats:
    """(2 T, T) sums above counts by pair of waves; by gee's rule, [0, 0] as in `lag_products`, other counts are clusters of two rows."""
    if rule.name != "gee":
        return wave_sums(r.pearson, r.at.starts, r.at.wave, len(r.at.scope.times), before)
    sizes, t = r.at.sizes[r.at.sizes > 0], r.at.scope.largest
    out = wave_sums(r.pearson, r.at.starts, r.at.wave, t, before)
    for b in r.blocks():
        out[0, 0] += _squares(b.pearson, b.at.sizes)
    paired, all_of_them = (0.0, 0.0) if before is None else (before[t, -1], before[t, 0])
    out[t:] = paired + np.count_nonzero(sizes > 1)
    out[t, 0] = all_of_them + len(sizes)
    return out


def _squares(pearson: Floats, sizes: Ints) -> float:
    """sum_i n_i^-1 sum e^2; infinite where that overflows, which the largest residual tells."""
    with np.errstate(over="ignore"):
        return float(np.sum(pearson**2 / np.repeat(sizes, sizes)))


def _long_enough(r: Residuals, lags: int) -> Ints:
    sizes = r.at.sizes
    if len(sizes) and sizes.min() <= lags:
        raise GlimmError(
            f"moments='gee' needs more than {lags} rows in every cluster, and the smallest has {int(sizes.min())}: "
            "use moments='standard', which takes all pairs there are"
        )
    return sizes
