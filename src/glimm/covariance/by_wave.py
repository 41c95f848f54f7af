"""Working correlations that depend on the pair of occasions: unstructured, non-stationary m-dependence, a given matrix, a user's own.

R_jk = alpha of the waves (distinct times) of rows j and k; clusters with the same waves share a factor.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from ..errors import GlimmError
from ..kernels import Whitening
from ..kernels.gee import INDEPENDENCE
from ..kernels.matrix import Floats
from .moments import Moments, Residuals, Rule, Sums, ratios, wave_products
from .occasions import Occasions, by_size, packed_roots

MOST_WAVES = 300


@final
@dataclass(frozen=True, slots=True)
class Unstructured:
    """One correlation for each pair of waves; with m, only for waves up to m apart in time."""

    m: int | None = None

    @property
    def name(self) -> str:
        """unstructured, or nonstationary(m)."""
        return "unstructured" if self.m is None else f"nonstationary({self.m})"

    @property
    def about(self) -> str:
        """The structure in words."""
        near = "" if self.m is None else f" up to {self.m} apart in time, none beyond"
        return f"a working correlation of its own for each pair of occasions{near}"

    def names(self, at: Occasions) -> tuple[str, ...]:
        """alpha[first,second] by the times of the pair."""
        times = known_waves(at, self.name)
        j, k = self.pairs(at)
        return tuple(f"alpha[{times[a]:g},{times[b]:g}]" for a, b in zip(j, k, strict=True))

    def pairs(self, at: Occasions) -> tuple[Any, Any]:
        """(j, k), each (q,): the pairs of waves that have a parameter."""
        times = at.scope.times
        j, k = np.triu_indices(len(times), 1)
        near = np.ones(len(j), dtype=bool) if self.m is None else times[k] - times[j] <= self.m
        return j[near], k[near]

    def own_sums(self, r: Residuals, rule: Rule, before: Floats | None) -> Floats | None:
        """By pair of waves."""
        return wave_products(r, rule, before)

    def estimate(self, s: Sums, rule: Rule, at: Occasions) -> Moments:
        """S_jk / (phi (K_jk - p))."""
        phi, own = rule.dispersion(s), s.own
        assert own is not None
        t = own.shape[1]
        j, k = self.pairs(at)
        if rule.name == "gee":
            return Moments(phi, (own[j, k] / own[t + j, k]) / (own[0, 0] / own[t, 0]))
        alpha, note = ratios(own[j, k], own[t + j, k], phi, rule, lambda: self.names(at))
        return Moments(phi, alpha, note)

    def whole(self, alpha: Floats, at: Occasions) -> Floats:
        """(T, T) R of all waves."""
        t = len(at.scope.times)
        j, k = self.pairs(at)
        out = np.eye(t)
        out[j, k] = out[k, j] = alpha
        return out

    def whitening(self, alpha: Floats, at: Occasions) -> Whitening:
        """By the factor of each set of waves."""
        return by_factor(self.whole(alpha, at), at)

    def least(self, alpha: Floats, at: Occasions) -> float:
        """Of all waves together; over the waves of each cluster where that is not positive."""
        return least_over(self.whole(alpha, at), at)

    def shrunk(self, alpha: Floats, t: float) -> Floats:
        """(1 - t) alpha."""
        return (1.0 - t) * alpha

    def matrix(self, alpha: Floats, times: Floats, at: Occasions) -> Floats:
        """alpha by pair of waves."""
        waves = np.searchsorted(at.scope.times, times)
        return self.whole(alpha, at)[np.ix_(waves, waves)]


@final
class FixedCorr:
    """A working correlation that is given: `corr=glimm.FixedCorr(matrix)`.

    matrix : (T, T) symmetric, ones on the diagonal, positive definite for the occasions of every cluster
    times : (T,) the time of each row of the matrix, rising; without it the distinct times of the data in order (1, 2, ... without time=)

    Raises GlimmError for a matrix that is none, or that has no row for a time in the data.

    >>> import glimm
    >>> r = [[1.0, 0.4, 0.3, 0.3], [0.4, 1.0, 0.4, 0.3], [0.3, 0.4, 1.0, 0.4], [0.3, 0.3, 0.4, 1.0]]
    >>> ohio = glimm.load_dataset("ohio")
    >>> glimm.gee("resp ~ age", ohio, groups="id", time="age", corr=glimm.FixedCorr(r), family="binomial").params.round(2).to_dict()
    {'Intercept': -1.79, 'age': -0.11}
    """

    __slots__ = ("given", "times")
    name = "fixed"
    about = "a working correlation that was given"

    def __init__(self, matrix: Any, times: Any = None) -> None:
        self.given = _square(matrix)
        self.times = None if times is None else _floats(times, "FixedCorr: times must be numbers")
        if self.times is not None and (self.times.shape != (len(self.given),) or not np.all(np.diff(self.times) > 0)):
            raise GlimmError(f"FixedCorr: times must be {len(self.given)} rising numbers, one for each row of the matrix")

    def __repr__(self) -> str:
        size = len(self.given)
        return f"FixedCorr({size} x {size} matrix)"

    def names(self, at: Occasions) -> tuple[str, ...]:
        """None; raises GlimmError for a matrix that does not fit the occasions."""
        least = least_over(self._place(at), at)
        if not least > 0.0:
            raise GlimmError(
                f"FixedCorr: the matrix is not positive definite for the occasions of some cluster (smallest eigenvalue {least:.3g}), so "
                "it is no correlation matrix: correct it, or estimate one, corr='unstructured'"
            )
        return ()

    def own_sums(self, r: Residuals, rule: Rule, before: Floats | None) -> Floats | None:
        """None."""
        return None

    def estimate(self, s: Sums, rule: Rule, at: Occasions) -> Moments:
        """Dispersion only."""
        return Moments(rule.dispersion(s), np.zeros(0))

    def whitening(self, alpha: Floats, at: Occasions) -> Whitening:
        """By the factor of each set of waves."""
        return by_factor(self._place(at), at)

    def least(self, alpha: Floats, at: Occasions) -> float:
        """Over the waves of the clusters."""
        return least_over(self._place(at), at)

    def shrunk(self, alpha: Floats, t: float) -> Floats:
        """Itself."""
        return alpha

    def matrix(self, alpha: Floats, times: Floats, at: Occasions) -> Floats:
        """Its rows at these times."""
        waves = np.searchsorted(at.scope.times, times)
        return self._place(at)[np.ix_(waves, waves)]

    def _place(self, at: Occasions) -> Floats:
        """(T, T) the given matrix at the waves of the data."""
        waves = at.scope.times
        if self.times is None:
            if len(waves) != len(self.given):
                raise GlimmError(
                    f"FixedCorr: the matrix has {len(self.given)} rows and the data have {len(waves)} occasions "
                    f"({waves[0]:g} to {waves[-1]:g}): give one row for each, or say with times= which time each row is of"
                )
            return self.given
        unknown = waves[~np.isin(waves, self.times)]
        if len(unknown):
            raise GlimmError(
                f"FixedCorr: no row of the matrix is for time {unknown[0]:g} of the data: its times are {_numbers(self.times)}"
            )
        places = np.searchsorted(self.times, waves)
        return self.given[np.ix_(places, places)]


@final
class CustomCorr:
    """A working correlation of your own: `corr=glimm.CustomCorr(matrix, start)`.

    matrix : function (alpha (q,), times (m,)) -> (m, m) correlation matrix; times are positions 1, 2, ... without time=
    start : (q,) where the search for alpha begins; names : of the parameters, default alpha1, ...
    estimate : function (products, alpha) -> (q,), products a dict of arrays over pairs of occasions: first, second (times), mean (of
    e_j e_k / phi), pairs (their number). Default: least squares, min sum pairs (mean - R(alpha))^2.

    Raises GlimmError where the matrix is no correlation matrix at the estimate, naming alpha.

    >>> import glimm, numpy as np
    >>> damped = glimm.CustomCorr(lambda a, t: a[0] * np.ones((len(t), len(t))) + (1 - a[0]) * np.eye(len(t)), start=[0.2])
    >>> fit = glimm.gee("resp ~ age", glimm.load_dataset("ohio"), groups="id", corr=damped, moments="geepack", family="binomial")
    >>> fit.corr_params.round(3).to_dict()
    {'alpha1': 0.357}
    """

    __slots__ = ("estimated", "given", "labels", "name", "start")
    about = "a working correlation of your own"

    def __init__(
        self,
        matrix: Callable[[Floats, Floats], Any],
        start: Sequence[float] | Floats,
        *,
        names: Sequence[str] | None = None,
        estimate: Callable[[dict[str, Floats], Floats], Any] | None = None,
        name: str = "custom",
    ) -> None:
        self.given, self.estimated, self.name = matrix, estimate, name
        self.start = np.atleast_1d(_floats(start, "CustomCorr: start must be numbers, one for each parameter"))
        self.labels = tuple(names) if names is not None else tuple(f"alpha{i + 1}" for i in range(len(self.start)))
        if not callable(matrix):
            raise GlimmError(f"CustomCorr: matrix must be a function of (alpha, times), not {type(matrix).__name__}")
        if not (estimate is None or callable(estimate)):
            raise GlimmError(f"CustomCorr: estimate must be a function of (products, alpha), not {type(estimate).__name__}")
        if self.start.ndim != 1 or not np.isfinite(self.start).all():
            raise GlimmError("CustomCorr: start must be finite numbers, one for each parameter")
        if len(self.labels) != len(self.start):
            raise GlimmError(f"CustomCorr: {len(self.labels)} names for {len(self.start)} parameters in start")

    def names(self, at: Occasions) -> tuple[str, ...]:
        """As given."""
        known_waves(at, self.name)
        return self.labels

    def own_sums(self, r: Residuals, rule: Rule, before: Floats | None) -> Floats | None:
        """By pair of waves."""
        if rule.name == "gee":
            raise GlimmError("moments='gee' has no rule for a correlation of your own: use 'standard' or 'geepack'")
        return wave_products(r, rule, before)

    def estimate(self, s: Sums, rule: Rule, at: Occasions) -> Moments:
        """The user's function, or least squares, of the mean products of each pair of waves (divisor pairs)."""
        phi, own = rule.dispersion(s), s.own
        assert own is not None
        t = own.shape[1]
        j, k = np.triu_indices(t, 1)
        seen = own[t + j, k] > 0
        j, k = j[seen], k[seen]
        times, pairs = at.scope.times, own[t + j, k]
        mean = own[j, k] / (phi * pairs)
        if self.estimated is not None:
            products = {"first": times[j], "second": times[k], "mean": mean, "pairs": pairs}
            found = _called("estimate(products, alpha)", self.estimated, products, self.start.copy())
            return Moments(phi, self._checked(found))
        from scipy.optimize import least_squares

        root = np.sqrt(pairs)
        best = least_squares(
            lambda a: root * (self.matrix(a, times, at)[j, k] - mean), self.start, jac="3-point", xtol=1e-15, ftol=1e-15, gtol=1e-15
        )
        return Moments(phi, self._checked(best.x))

    def whitening(self, alpha: Floats, at: Occasions) -> Whitening:
        """By the factor of each set of waves."""
        return by_factor(self.matrix(alpha, at.scope.times, at), at)

    def least(self, alpha: Floats, at: Occasions) -> float:
        """Over the waves of the clusters."""
        return least_over(self.matrix(alpha, at.scope.times, at), at)

    def shrunk(self, alpha: Floats, t: float) -> Floats:
        """It is not known how: raises GlimmError."""
        given = ", ".join(f"{name} = {value:.4g}" for name, value in zip(self.labels, alpha, strict=True))
        raise GlimmError(
            f"CustomCorr: at the estimated {given} the matrix is not positive definite for some cluster: "
            "keep alpha inside its range in `estimate`, or use another structure"
        )

    def matrix(self, alpha: Floats, times: Floats, at: Occasions) -> Floats:
        """As given."""
        given = _called("matrix(alpha, times)", self.given, np.array(alpha, dtype=np.float64), np.array(times))
        out = _floats(given, "CustomCorr: matrix(alpha, times) must give numbers")
        if out.shape != (len(times), len(times)):
            raise GlimmError(f"CustomCorr: matrix(alpha, times) gave shape {out.shape} for {len(times)} times")
        if not np.isfinite(out).all() or not np.allclose(out, out.T) or not np.allclose(np.diag(out), 1.0):
            raise GlimmError("CustomCorr: matrix(alpha, times) is not symmetric with ones on the diagonal")
        return out

    def _checked(self, alpha: Any) -> Floats:
        out = np.atleast_1d(_floats(alpha, "CustomCorr: estimate must give numbers"))
        if out.shape != self.start.shape or not np.isfinite(out).all():
            raise GlimmError(f"CustomCorr: estimate gave {out!r}, not {len(self.start)} finite numbers")
        return out


def known_waves(at: Occasions, name: str) -> Floats:
    """(T,) the distinct times; raises GlimmError for too many."""
    times = at.scope.times
    if len(times) > MOST_WAVES:
        raise GlimmError(
            f"corr={name!r}: {len(times)} different times make {len(times) * (len(times) - 1) // 2} pairs, and {MOST_WAVES} times are "
            "the most that are taken: number the occasions in time=, or use corr='ar1', 'ar(m)', 'stationary(m)' or 'exchangeable'"
        )
    return times


def by_factor(whole: Floats, at: Occasions) -> Whitening:
    """The factors of the waves of each cluster, from R of all waves."""
    patterns = at.by_wave
    first, roots = packed_roots(len(patterns.values), by_size(patterns.values, lambda w: _parts(whole, w)))
    return Whitening(INDEPENDENCE, pattern=patterns.of, first=first, roots=roots)


def least_over(whole: Floats, at: Occasions) -> float:
    """The smallest eigenvalue of R of all waves, or over the waves of the clusters where that is not positive."""
    least = float(np.linalg.eigvalsh(whole)[0])
    if least > 0.0:
        return least
    found = [float(np.linalg.eigvalsh(m).min()) for _, m in by_size(at.by_wave.values, lambda w: _parts(whole, w))]
    return min(found, default=1.0)


def _parts(whole: Floats, waves: Floats) -> Floats:
    w = waves.astype(np.int64)
    return np.asarray(whole[w[:, :, None], w[:, None, :]])


def _called(what: str, function: Callable[..., Any], *given: Any) -> Any:
    """What a user's function gives; raises GlimmError for what it raises."""
    try:
        return function(*given)
    except Exception as error:
        raise GlimmError(f"CustomCorr: {what} raised {type(error).__name__}: {error}") from error


def _floats(values: Any, must: str) -> Floats:
    try:
        return np.array(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise GlimmError(f"{must}, not {type(values).__name__}") from None


def _square(matrix: Any) -> Floats:
    try:
        out = np.array(matrix, dtype=np.float64)
    except (TypeError, ValueError):
        raise GlimmError(f"FixedCorr: the matrix must be numbers, (T, T), not {type(matrix).__name__}") from None
    if out.ndim != 2 or out.shape[0] != out.shape[1] or not len(out):
        raise GlimmError(f"FixedCorr: the matrix must be square, and its shape is {out.shape}")
    if not np.isfinite(out).all() or not np.allclose(out, out.T, atol=1e-10) or not np.allclose(np.diag(out), 1.0, atol=1e-10):
        raise GlimmError("FixedCorr: the matrix must be symmetric with ones on the diagonal: it is a correlation matrix, not a covariance")
    return np.asarray(0.5 * (out + out.T))


def _numbers(values: Floats) -> str:
    shown = ", ".join(f"{v:g}" for v in values[:8])
    return shown + (", ..." if len(values) > 8 else "")
