"""A user's own family: a log-density l(y, mu, parameters), with its derivatives in mu where the user has them.

Missing derivatives: seven-point central differences at h and h / 2, (2^k D(h / 2) - D(h)) / (2^k - 1), checked once at the start.
Source: Fornberg (1988), Mathematics of Computation 51, 699-706.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from ..errors import GlimmError
from ..kernels.matrix import Floats
from .records import POSITIVE, REAL, UNIT, Family, Support

Function = Callable[..., Any]
LINKS_OF: Mapping[str, tuple[str, ...]] = {
    "real": REAL,
    "positive": POSITIVE,
    "nonnegative": POSITIVE,
    "count": POSITIVE,
    "unit": UNIT,
}
MOST_PARAMETERS = 4
STEP = 0.03
AGREE = 1e-4
OFFSETS = np.arange(-3, 4)
STENCILS = (
    (np.array([-1, 9, -45, 0, 45, -9, 1]) / 60.0, 6),
    (np.array([2, -27, 270, -490, 270, -27, 2]) / 180.0, 6),
    (np.array([1, -8, 13, 0, -13, 8, -1]) / 8.0, 4),
)


@dataclass(frozen=True, slots=True)
class CustomFamily:
    """A response distribution of your own, for family= of glm, glmm and gee.

    loglik : (y, mu, *parameters) -> log-density of each row, constants included; y and mu are arrays, parameters positive numbers
    link : the default link, by name
    d1, d2, d3 : first to third derivative of loglik in mu, same arguments; by differences where they are not given
    variance : (mu, *parameters) -> variance of a response; needed for gee, and for Pearson residuals
    parameters : names of its own positive parameters, at most 4, estimated on the log scale
    support : "real", "positive", "nonnegative", "unit" (between 0 and 1) or "count"
    start : values of the parameters to begin from, a mapping by name (default 1)

    Weights multiply the log-density. Raises GlimmError for anything that cannot be used.

    >>> import glimm, numpy as np
    >>> def geometric(y, mu):
    ...     return y * np.log(mu / (1.0 + mu)) - np.log1p(mu)
    >>> family = glimm.CustomFamily("geometric", geometric, link="log", support="count", variance=lambda mu: mu * (1.0 + mu))
    >>> data = {"y": [0, 1, 3, 2, 0, 7, 1, 4], "x": [0, 0, 0, 0, 1, 1, 1, 1]}
    >>> mine, known = (glimm.glm("y ~ x", data, family=f) for f in (family, "negative_binomial(1)"))
    >>> bool(np.allclose(mine.params, known.params, atol=1e-6))
    True
    """

    name: str
    loglik: Function
    link: str = "identity"
    d1: Function | None = None
    d2: Function | None = None
    d3: Function | None = None
    variance: Function | None = None
    parameters: tuple[str, ...] = ()
    support: Support = "real"
    start: Mapping[str, float] | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise GlimmError(f"CustomFamily: name must be text, not {self.name!r}")
        for what in ("loglik", "d1", "d2", "d3", "variance"):
            given = getattr(self, what)
            if not callable(given) and (given is not None or what == "loglik"):
                raise GlimmError(f"CustomFamily {self.name!r}: {what} must be a function, not {type(given).__name__}")
        if isinstance(self.parameters, str):
            object.__setattr__(self, "parameters", (self.parameters,))
        object.__setattr__(self, "parameters", tuple(self.parameters))
        if len(self.parameters) > MOST_PARAMETERS:
            raise GlimmError(f"CustomFamily {self.name!r} has {len(self.parameters)} parameters: at most {MOST_PARAMETERS} are possible")
        if self.support not in LINKS_OF:
            raise GlimmError(f"CustomFamily {self.name!r}: support must be one of {', '.join(LINKS_OF)}, not {self.support!r}")
        for name, value in (self.start or {}).items():
            if name not in self.parameters:
                raise GlimmError(f"CustomFamily {self.name!r}: start names {name!r}, which is not among its parameters {self.parameters}")
            if not value > 0.0:
                raise GlimmError(f"CustomFamily {self.name!r}: start of {name!r} must be positive, not {value!r}")

    def record(self) -> Family:
        """The family as the estimators know families."""
        start = tuple(float((self.start or {}).get(name, 1.0)) for name in self.parameters)
        return Family(
            self.name,
            Functions(self),
            self.link,
            LINKS_OF[self.support],
            self.support,
            True,
            parameters=self.parameters,
            transforms=("log",) * len(self.parameters),
            orthogonal=False,
            start=start,
        )


@final
class Functions:
    """What the kernels call: l and three derivatives in mu, their derivatives in psi = log parameters, the variance."""

    def __init__(self, given: CustomFamily) -> None:
        self.given = given
        self.n_psi = len(given.parameters)

    def jets(self, y: Floats, mu: Floats, psi: Floats) -> tuple[Floats, Floats, Floats, Floats]:
        """(l, l', l'', l'''), each (n,)."""
        given = (self.given.loglik, self.given.d1, self.given.d2, self.given.d3)
        values: list[Floats] = []
        with np.errstate(all="ignore"):
            moved: list[Floats] | None = None
            known = 0
            for order, function in enumerate(given):
                if function is not None:
                    values.append(self._call(function, y, mu, psi))
                    known, moved = order, None
                    continue
                if moved is None:
                    moved = self._stencil(given[known], y, mu, psi)
                values.append(_extrapolated(moved, order - known, self._step(mu, psi))[0])
        return values[0], values[1], values[2], values[3]

    def psi_jets(self, which: int, y: Floats, mu: Floats, psi: Floats) -> tuple[Floats, Floats, Floats]:
        """Derivatives in psi[which] of l, l' and l'', each (n,)."""
        out = []
        for step in (STEP, 0.5 * STEP):
            total = [np.zeros(len(y)) for _ in range(3)]
            for offset, weight in zip(OFFSETS, STENCILS[0][0], strict=True):
                if weight:
                    at = psi.copy()
                    at[which] += offset * step
                    for t, part in zip(total, self.jets(y, mu, at), strict=False):
                        t += weight * part / step
            out.append(total)
        pairs = [np.ascontiguousarray((64.0 * b - a) / 63.0) for a, b in zip(*out, strict=True)]
        return pairs[0], pairs[1], pairs[2]

    def variance(self, mu: Floats, psi: Floats) -> Floats:
        """(n,) the variance; without one from the user, 1 / curvature of l at y = mu."""
        with np.errstate(all="ignore"):
            if self.given.variance is not None:
                return _array(self.given.variance(mu, *np.exp(psi)), len(mu))
            curvature = -self.jets(mu, mu, psi)[2]
            return np.ascontiguousarray(np.where(curvature > 0.0, 1.0 / curvature, np.where(np.isnan(mu), np.nan, 1.0)))

    def check(self, y: Floats, mu: Floats, psi: Floats, rows: Any) -> None:
        """Raises GlimmError for a log-density that is not finite, or derivatives that do not agree with differences."""
        name = self.given.name
        found = self.jets(y, mu, psi)
        if not np.all(np.isfinite(found[0])):
            at = int(np.argmin(np.isfinite(found[0])))
            raise GlimmError(
                f"family {name!r}: loglik is {found[0][at]} at y = {y[at]:g}, mu = {mu[at]:g} (row {rows[at]}, counting from 0): it "
                "must be finite for every response; set support= to what a response may be, or start= to better values"
            )
        given = (self.given.loglik, self.given.d1, self.given.d2, self.given.d3)
        for order in (1, 2, 3):
            below = max(k for k in range(order) if given[k] is not None)
            with np.errstate(all="ignore"):
                moved = self._stencil(given[below], y, mu, psi)
                value, spread = _extrapolated(moved, order - below, self._step(mu, psi))
            size = float(np.abs(value).max(initial=0.0)) + 1e-8
            if given[order] is not None and not np.all(np.abs(found[order] - value) < AGREE * (np.abs(value) + size)):
                raise GlimmError(f"family {name!r}: d{order} is not the derivative in mu of what comes before it (checked by differences)")
            if given[order] is None and not np.all(spread < AGREE * (np.abs(value) + size)):
                raise GlimmError(
                    f"family {name!r}: derivative {order} of loglik in mu cannot be had by differences here: give it as d{order}=, "
                    "or variance= so that steps have the right size"
                )

    def _call(self, function: Function | None, y: Floats, mu: Floats, psi: Floats) -> Floats:
        assert function is not None
        return _array(function(y, mu, *np.exp(psi)), len(y))

    def _step(self, mu: Floats, psi: Floats) -> Floats:
        """(n,) the step: a small part of what mu may move by."""
        support = self.given.support
        if support == "unit":
            return np.asarray(STEP * np.minimum(mu, 1.0 - mu))
        if support != "real":
            return np.asarray(STEP * mu)
        if self.given.variance is not None:
            return np.asarray(STEP * np.sqrt(self.variance(mu, psi)))
        return np.asarray(STEP * np.maximum(np.abs(mu), 1.0))

    def _stencil(self, function: Function | None, y: Floats, mu: Floats, psi: Floats) -> list[Floats]:
        """The function at mu + k h and mu + k h / 2, k = -3..3."""
        h = self._step(mu, psi)
        return [self._call(function, y, np.asarray(mu + k * step), psi) for step in (h, 0.5 * h) for k in OFFSETS]


def _extrapolated(moved: list[Floats], order: int, h: Floats) -> tuple[Floats, Floats]:
    """The derivative of that order, and how far the two steps are apart."""
    weights, accuracy = STENCILS[order - 1]
    coarse, fine = (
        sum((w * f for w, f in zip(weights, moved[7 * k : 7 * k + 7], strict=True) if w), np.zeros(len(h))) / (h * 0.5**k) ** order
        for k in (0, 1)
    )
    return np.ascontiguousarray((2.0**accuracy * fine - coarse) / (2.0**accuracy - 1.0)), np.abs(fine - coarse)


def _array(values: Any, n: int) -> Floats:
    out = np.asarray(values, dtype=np.float64)
    return np.ascontiguousarray(np.broadcast_to(out, (n,)))
