"""Structures of standard deviations and a correlation matrix: Sigma = D R(w) D, D the standard deviations, w free of bounds.

A class says R of its working parameters, in functions that also take complex numbers: derivatives are complex steps, exact to rounding.
Source: Squire and Trapp (1998), SIAM Rev. 40, 110-112; Barndorff-Nielsen and Schou (1973), J. Multivar. Anal. 3, 408-419 (toep).
"""

from __future__ import annotations

from typing import Any, Final, Protocol, final

import numpy as np

from ..kernels.matrix import Bools, Floats

STEP: Final = 1e-30
REACH: Final = 10.0
RIDGE: Final = 1e-10
Complex = Any


class Correlated(Protocol):
    """What a structure of standard deviations and correlations answers; k is the number of effects per level.

    one_sd : one standard deviation for all effects; about : what the effects are, for messages; note : what the parameters mean, for
    summaries; few_rows : told from a residual even where each effect has a single row
    A working parameter is not followed further than REACH from its start: there the correlations must be at their limit.
    """

    name: str
    one_sd: bool
    about: str
    note: str
    few_rows: bool

    def correlations(self, k: int) -> int:
        """Number of correlation parameters."""

    def start(self, k: int, gap: float) -> Floats:
        """(c,) working parameters to begin with; gap : typical time between neighbouring effects."""

    def natural(self, w: Complex, k: int) -> Complex:
        """(c,) parameters as they are reported."""

    def correlation(self, w: Complex, times: Floats) -> Complex:
        """(k, k) R for effects at times (k,): 0, 1, 2, ... except under ou."""

    def labels(self, k: int) -> tuple[str, ...]:
        """(c,) what the parameters are called."""


@final
class CompoundSymmetry:
    """cs: a standard deviation for each effect, one correlation between any two, above -1 / (k - 1)."""

    name = "cs"
    one_sd = False
    about = "effects with one correlation"
    note = "one correlation between all effects"
    few_rows = True

    def correlations(self, k: int) -> int:
        """One."""
        return min(1, k - 1)

    def start(self, k: int, gap: float) -> Floats:
        """No correlation."""
        return np.full(self.correlations(k), -0.5 * np.log(max(k - 1.0, 1.0)))

    def natural(self, w: Complex, k: int) -> Complex:
        """rho = -a + (1 + a) (1 + tanh(w)) / 2, a = 1 / (k - 1)."""
        a = 1.0 / max(k - 1, 1)
        return 0.5 * (1.0 + a) * (1.0 + np.tanh(w)) - a

    def correlation(self, w: Complex, times: Floats) -> Complex:
        """rho off the diagonal."""
        k = len(times)
        rho = self.natural(w, k)[0] if k > 1 else 0.0
        return np.eye(k) + rho * (1.0 - np.eye(k))

    def labels(self, k: int) -> tuple[str, ...]:
        """rho."""
        return ("rho",) * self.correlations(k)


@final
class HomogeneousCompoundSymmetry:
    """homcs: one standard deviation, one correlation."""

    name = "homcs"
    one_sd = True
    about = "effects with one variance and one correlation"
    note = "one variance, one correlation between all effects"
    few_rows = False
    correlations = CompoundSymmetry.correlations
    start = CompoundSymmetry.start
    natural = CompoundSymmetry.natural
    correlation = CompoundSymmetry.correlation
    labels = CompoundSymmetry.labels


@final
class AutoRegressive:
    """ar1: one standard deviation, rho^|i - j| between occasions i and j."""

    name = "ar1"
    one_sd = True
    about = "equally spaced occasions"
    note = "one variance, correlations r^d at distance d in the order of levels"
    few_rows = True

    def correlations(self, k: int) -> int:
        """One."""
        return min(1, k - 1)

    def start(self, k: int, gap: float) -> Floats:
        """rho = 0.3."""
        return np.full(self.correlations(k), np.arctanh(0.3))

    def natural(self, w: Complex, k: int) -> Complex:
        """rho = tanh(w)."""
        return np.tanh(w)

    def correlation(self, w: Complex, times: Floats) -> Complex:
        """Powers of rho."""
        if len(times) == 1:
            return np.eye(1)
        return np.tanh(w[0]) ** np.abs(times[:, None] - times)

    def labels(self, k: int) -> tuple[str, ...]:
        """rho."""
        return ("rho",) * self.correlations(k)


@final
class OrnsteinUhlenbeck:
    """ou: one standard deviation, exp(-rate |t - t'|) between effects at times t and t'."""

    name = "ou"
    one_sd = True
    about = "numeric times"
    note = "one variance, correlations r^d at distance d in time"
    few_rows = True

    def correlations(self, k: int) -> int:
        """The rate."""
        return 1

    def start(self, k: int, gap: float) -> Floats:
        """A correlation of 1/2 at the typical gap."""
        return np.array([0.5 * np.log(np.log(2.0) / gap)])

    def natural(self, w: Complex, k: int) -> Complex:
        """rate = exp(2 w)."""
        return np.exp(2.0 * w)

    def correlation(self, w: Complex, times: Floats) -> Complex:
        """Exponential decay."""
        return np.exp(-np.exp(2.0 * w[0]) * np.abs(times[:, None] - times))

    def labels(self, k: int) -> tuple[str, ...]:
        """rate."""
        return ("rate",)


@final
class Toeplitz:
    """toep: a standard deviation for each occasion, one correlation for each lag."""

    name = "toep"
    one_sd = False
    about = "equally spaced occasions"
    note = "correlations by distance in the order of levels"
    few_rows = True

    def correlations(self, k: int) -> int:
        """Lags 1 to k - 1."""
        return k - 1

    def start(self, k: int, gap: float) -> Floats:
        """No correlation."""
        return np.zeros(k - 1)

    def natural(self, w: Complex, k: int) -> Complex:
        """Autocorrelations of partial autocorrelations tanh(w), by the Durbin-Levinson recursion: any w gives a correlation matrix."""
        partial = np.tanh(w)
        rho = np.zeros_like(partial)
        phi = np.zeros_like(partial)
        left: Any = 1.0
        for lag in range(k - 1):
            rho[lag] = partial[lag] * left + (phi[:lag] @ rho[:lag][::-1] if lag else 0.0)
            phi[:lag] = phi[:lag] - partial[lag] * phi[:lag][::-1]
            phi[lag] = partial[lag]
            left = left * (1.0 - partial[lag] ** 2)
        return rho

    def correlation(self, w: Complex, times: Floats) -> Complex:
        """rho_|i - j|."""
        k = len(times)
        lags = np.abs(np.arange(k)[:, None] - np.arange(k))
        return np.concatenate([[1.0], self.natural(w, k)])[lags]

    def labels(self, k: int) -> tuple[str, ...]:
        """rho1, rho2, ..."""
        return tuple(f"rho{lag}" for lag in range(1, k))


CORRELATED: Final[dict[str, Correlated]] = {
    s.name: s for s in (CompoundSymmetry(), HomogeneousCompoundSymmetry(), AutoRegressive(), OrnsteinUhlenbeck(), Toeplitz())
}


def n_sds(structure: Correlated, k: int) -> int:
    """Standard deviations among the parameters."""
    return 1 if structure.one_sd else k


def names(structure: Correlated, effects: tuple[str, ...], group: str) -> tuple[str, ...]:
    """Names of theta: group.effect (group.sd for a common one), then group.rho and the like."""
    sds = (f"{group}.sd",) if structure.one_sd else tuple(f"{group}.{effect}" for effect in effects)
    return (*sds, *(f"{group}.{label}" for label in structure.labels(len(effects))))


@np.errstate(over="ignore", invalid="ignore")
def root(structure: Correlated, par: Floats, times: Floats) -> Floats:
    """(k, k) T = D chol(R) of par = (standard deviations, w); NaN where R has no factor."""
    m = n_sds(structure, len(times))
    low = factor(np.asarray(structure.correlation(par[m:], times), dtype=np.float64))
    return np.asarray(par[:m] * low if structure.one_sd else par[:m, None] * low)


@np.errstate(over="ignore", invalid="ignore")
def droot(structure: Correlated, par: Floats, times: Floats) -> Floats:
    """(len(par), k, k) derivatives of T: dL = L low(L^-1 dR L^-T), the diagonal halved."""
    k, m = len(times), n_sds(structure, len(times))
    low = factor(np.asarray(structure.correlation(par[m:], times), dtype=np.float64))
    sd = par[:m] if structure.one_sd else par[:m, None]
    out = np.zeros((len(par), k, k))
    if structure.one_sd:
        out[0] = low
    else:
        out[np.arange(k), np.arange(k)] = low
    inverse = np.linalg.inv(low) if np.isfinite(low).all() else low
    for c in range(len(par) - m):
        moved = par[m:].astype(np.complex128)
        moved[c] += 1j * STEP
        inner = inverse @ (np.imag(structure.correlation(moved, times)) / STEP) @ inverse.T
        half = np.tril(inner, -1) + 0.5 * np.diag(np.diag(inner))
        out[m + c] = sd * (low @ half)
    return out


def factor(r: Floats) -> Floats:
    """Lower Cholesky factor, of r + 1e-10 I where r is singular; NaN where there is none."""
    for ridge in (0.0, RIDGE):
        try:
            return np.asarray(np.linalg.cholesky(r + ridge * np.eye(len(r))))
        except np.linalg.LinAlgError:
            continue
    return np.full(r.shape, np.nan)


def theta(structure: Correlated, par: Floats, k: int) -> Floats:
    """Reported parameters: standard deviations, then correlations."""
    m = n_sds(structure, k)
    return np.concatenate([par[:m], np.asarray(structure.natural(par[m:], k), dtype=np.float64)])


def dtheta(structure: Correlated, par: Floats, k: int) -> Floats:
    """(len(par), len(par)) derivatives of theta."""
    m = n_sds(structure, k)
    out = np.eye(len(par))
    for c in range(len(par) - m):
        moved = par[m:].astype(np.complex128)
        moved[c] += 1j * STEP
        out[m:, m + c] = np.imag(structure.natural(moved, k)) / STEP
    return out


def scales(structure: Correlated, k: int) -> Bools:
    """(size,) parameters that are standard deviations."""
    m = n_sds(structure, k)
    return np.arange(m + structure.correlations(k)) < m
