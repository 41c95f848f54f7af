"""Working correlations that depend on the distance in time: AR(m) and stationary m-dependence.

AR(m): the correlations at lags 1..m, further ones by the Yule-Walker equations r_t = sum_s f_s r_(t-s). m-dependent: 0 beyond m.
Source: Box and Jenkins (1970), Time Series Analysis, section 3.2; SAS/STAT, PROC GENMOD, "Working Correlation Matrix".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np

from ..errors import GlimmError
from ..kernels import Whitening
from ..kernels.gee import BAND, FILTER
from ..kernels.matrix import Floats
from .moments import NOTHING_PAIRED, Moments, Residuals, Rule, Sums, lag_products, ratios
from .occasions import Occasions, by_size, packed_roots
from .working import MOST_LAGS

DENSE = 400
VANISHED = 1e-20


@final
@dataclass(frozen=True, slots=True)
class Stationary:
    """R_jk = alpha_|t_j - t_k| up to distance m, 0 beyond."""

    m: int

    @property
    def name(self) -> str:
        """stationary(m)."""
        return f"stationary({self.m})"

    @property
    def about(self) -> str:
        """The structure in words."""
        return f"one working correlation for each distance in time up to {self.m}, none beyond"

    def names(self, at: Occasions) -> tuple[str, ...]:
        """alpha1, ..."""
        return lag_names(self.m, at, self.name)

    def own_sums(self, r: Residuals, rule: Rule, before: Floats | None) -> Floats | None:
        """By lag."""
        return lag_products(r, self.m, rule, before)

    def estimate(self, s: Sums, rule: Rule, at: Occasions) -> Moments:
        """S_l / (phi (N_l - p))."""
        return lag_moments(s, rule, self.names(at))

    def whitening(self, alpha: Floats, at: Occasions) -> Whitening:
        """By the banded Cholesky factor."""
        if not np.isfinite(alpha).all() or self.least(alpha, at) <= 0.0:
            raise np.linalg.LinAlgError
        return Whitening(BAND, place=at.time, order=self.m, table=np.asarray(alpha, dtype=np.float64))

    def least(self, alpha: Floats, at: Occasions) -> float:
        """Of the longest run of times that there is; of the occasions of each cluster where that is not positive and times have gaps."""
        span = int(at.scope.longest) + 1
        least = least_toeplitz(alpha, span)
        if least > 0.0 or at.gapless.all():
            return least
        return least_of(alpha, at, self)

    def shrunk(self, alpha: Floats, t: float) -> Floats:
        """(1 - t) alpha."""
        return (1.0 - t) * alpha

    def matrix(self, alpha: Floats, times: Floats, at: Occasions) -> Floats:
        """alpha by distance."""
        return by_distance(np.concatenate([[1.0], alpha, [0.0]]), times)


@final
@dataclass(frozen=True, slots=True)
class Autoregressive:
    """Correlations of an AR(m) process whose first m are alpha."""

    m: int

    @property
    def name(self) -> str:
        """ar(m)."""
        return f"ar({self.m})"

    @property
    def about(self) -> str:
        """The structure in words."""
        return f"working correlations of an autoregressive process of order {self.m}"

    def names(self, at: Occasions) -> tuple[str, ...]:
        """alpha1, ..."""
        return lag_names(self.m, at, self.name)

    def own_sums(self, r: Residuals, rule: Rule, before: Floats | None) -> Floats | None:
        """By lag."""
        return lag_products(r, self.m, rule, before)

    def estimate(self, s: Sums, rule: Rule, at: Occasions) -> Moments:
        """The m-dependent estimates of the first m lags."""
        return lag_moments(s, rule, self.names(at))

    def whitening(self, alpha: Floats, at: Occasions) -> Whitening:
        """By prediction from the m rows before (Durbin-Levinson); clusters with gaps by the factor of their own occasions."""
        table = filters(alpha)
        if at.gapless.all():
            return Whitening(FILTER, order=self.m, table=table)
        patterns = at.alike(at.at - np.repeat(at.at[at.starts[:-1]], at.sizes), None, ~at.gapless)
        curve = continued(alpha, int(at.scope.longest) + 1)
        first, roots = packed_roots(len(patterns.values), by_size(patterns.values, lambda t: by_distance(curve, t)))
        return Whitening(FILTER, order=self.m, table=table, pattern=patterns.of, first=first, roots=roots)

    def least(self, alpha: Floats, at: Occasions) -> float:
        """Of the correlations of m + 1 rows in a row: where they are a correlation matrix, so are all."""
        return least_toeplitz(alpha, self.m + 1)

    def shrunk(self, alpha: Floats, t: float) -> Floats:
        """(1 - t) alpha."""
        return (1.0 - t) * alpha

    def matrix(self, alpha: Floats, times: Floats, at: Occasions) -> Floats:
        """The continued correlations by distance."""
        span = int(times.max(initial=0.0) - times.min(initial=0.0)) + 1
        return by_distance(continued(alpha, span), times)


def lag_names(m: int, at: Occasions, name: str) -> tuple[str, ...]:
    """alpha1..alpham; raises GlimmError for times that are no whole numbers, and where no cluster reaches as far as m."""
    if not at.scope.whole:
        raise GlimmError(f"corr={name!r} needs times that are whole numbers (occasions): number them, or use corr='ar1'")
    if at.scope.longest < m:
        reach = int(at.scope.longest)
        raise GlimmError(f"corr={name!r}: no two rows of a cluster are {m} apart in time, at most {reach}: use a smaller number")
    return tuple(f"alpha{lag}" for lag in range(1, m + 1))


def lag_moments(s: Sums, rule: Rule, names: tuple[str, ...]) -> Moments:
    """alpha of each lag."""
    phi, own = rule.dispersion(s), s.own
    assert own is not None
    if rule.name == "gee":
        return Moments(phi, (own[0, 1:] / own[1, 1:]) / (own[0, 0] / own[1, 0]))
    alpha, note = ratios(own[0, 1:], own[1, 1:], phi, rule, lambda: names)
    if note == NOTHING_PAIRED and s.pairs.n_pairs:
        note = f"no two rows of a cluster are up to {len(names)} apart in time: the correlation is not estimated and taken as 0"
    return Moments(phi, alpha, note)


def filters(alpha: Floats) -> Floats:
    """(m + 1, m + 1) row k: the k coefficients that predict a row from those before it, and 1 / sd of what is left in the last place.

    Raises LinAlgError for correlations that no process has.
    """
    m = len(alpha)
    out = np.zeros((m + 1, m + 1))
    f, v = np.zeros(0), 1.0
    out[0, m] = 1.0
    for k in range(m):
        partial = (alpha[k] - float(f @ alpha[:k][::-1])) / v
        f = np.append(f - partial * f[::-1], partial)
        v *= 1.0 - partial**2
        if not v > 0.0:
            raise np.linalg.LinAlgError
        out[k + 1, : k + 1], out[k + 1, m] = f, 1.0 / np.sqrt(v)
    return out


def continued(alpha: Floats, span: int) -> Floats:
    """Correlations at distances 0, 1, ... of the AR(m) process, below span or up to where they vanish: a last 0 is for all beyond."""
    m = len(alpha)
    coefficients = filters(alpha)[m, :m]
    most = max(span, m + 1)
    out = np.concatenate([[1.0], alpha, np.zeros(max(min(most, MOST_LAGS) - m - 1, 0))])
    for t in range(m + 1, len(out)):
        out[t] = float(coefficients @ out[t - 1 : t - m - 1 : -1])
        if t % 64 == 0 and np.abs(out[t - m + 1 : t + 1]).max() < VANISHED:
            return np.append(out[: t + 1], 0.0)
    if most > len(out):
        raise GlimmError(
            f"corr='ar({m})': rows of a cluster are {span - 1} apart in time, and correlations are followed over {MOST_LAGS:,}: number the "
            "occasions in time=, or use corr='ar1'"
        )
    return out


def by_distance(curve: Floats, times: Floats) -> Floats:
    """R (..., m, m) at times (..., m): curve at their distances, its last value beyond."""
    distance = np.abs(times[..., :, None] - times[..., None, :]).astype(np.int64)
    return np.asarray(curve[np.minimum(distance, len(curve) - 1)])


def least_toeplitz(alpha: Floats, n: int) -> float:
    """The smallest eigenvalue of the (n, n) matrix of correlations alpha by distance, 0 beyond; of an endless one where n is large."""
    curve = np.concatenate([[1.0], alpha[: n - 1]])
    if n > DENSE:
        w = np.linspace(0.0, np.pi, 4001)
        return float((1.0 + 2.0 * np.cos(np.outer(w, np.arange(1, len(curve)))) @ curve[1:]).min())
    return float(np.linalg.eigvalsh(by_distance(np.append(curve, 0.0), np.arange(float(n))))[0])


def least_of(alpha: Floats, at: Occasions, structure: Stationary) -> float:
    """The smallest eigenvalue over the occasions of the clusters."""
    patterns = at.alike(at.at - np.repeat(at.at[at.starts[:-1]], at.sizes), None)
    found = [float(np.linalg.eigvalsh(m).min()) for _, m in by_size(patterns.values, lambda t: structure.matrix(alpha, t, at))]
    return min(found, default=1.0)
