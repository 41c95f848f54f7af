"""How a fit is run: tolerances, iterations, threads, start."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, Final, Literal

from ..errors import GlimmError

ENGINES: Final = ("auto", "exact", "krylov")


@dataclass(frozen=True, slots=True)
class Control:
    """Settings of a fit.

    tol : Newton decrement in -2 log L at which a mixed model stops (default 1e-9; one more step is taken)
    max_iter : iterations at most; threads : at most this many (default 2, or 1 on a single core)
    start : starting values, a mapping (or a fit's params) of term name -> value for the coefficients
    progress : a line on standard error about fits that take more than two seconds; by default where that is a terminal
    engine : how a mixed model of several random terms is fitted: "exact" by sparse factorisations, "krylov" by conjugate gradients, for
    large crossed designs; "auto" takes the one that needs less work
    probes : random vectors of the Krylov engine, made up to a multiple of 8 (default 8, more where the design needs it); seed : of these
    exact_block : with at most this many effects beside those of the term with most levels, one exact factorisation ends a Krylov fit

    Raises GlimmError for a setting of the wrong type or out of range.

    >>> Control(max_iter=50).max_iter
    50
    >>> Control(engine="krylov", probes=16, seed=1).exact_block
    20000
    """

    tol: float = 1e-9
    max_iter: int = 100
    threads: int | None = None
    start: Mapping[str, float] | Any = None
    progress: bool | None = None
    engine: Literal["auto", "exact", "krylov"] = "auto"
    probes: int | None = None
    seed: int = 0
    exact_block: int = 20_000

    def __post_init__(self) -> None:
        if isinstance(self.tol, bool) or not isinstance(self.tol, Real) or not 0.0 < self.tol < math.inf:
            raise GlimmError(f"control: tol must be positive, a number such as 1e-10, not {self.tol!r}")
        object.__setattr__(self, "max_iter", _count("max_iter", self.max_iter))
        if self.threads is not None:
            object.__setattr__(self, "threads", _count("threads", self.threads))
        if self.start is not None:
            object.__setattr__(self, "start", _values(self.start))
        if self.progress is not None and not isinstance(self.progress, bool):
            raise GlimmError(f"control: progress must be True, False or None, not {self.progress!r}")
        if not isinstance(self.engine, str) or self.engine not in ENGINES:
            raise GlimmError(f"control: engine must be 'auto', 'exact' or 'krylov', not {self.engine!r}")
        if self.probes is not None:
            object.__setattr__(self, "probes", _count("probes", self.probes, 2))
        object.__setattr__(self, "seed", _count("seed", self.seed, 0))
        object.__setattr__(self, "exact_block", _count("exact_block", self.exact_block, 0))

    @property
    def n_threads(self) -> int:
        """Threads a kernel may use."""
        return self.threads if self.threads is not None else min(2, os.cpu_count() or 1)


def _count(name: str, given: Any, least: int = 1) -> int:
    """A whole number of at least `least`, of any integer type."""
    if isinstance(given, bool) or not isinstance(given, Integral) or given < least:
        raise GlimmError(f"control: {name} must be a whole number of at least {least}, not {given!r}")
    return int(given)


def _values(given: Any) -> dict[str, float]:
    """Starting values as a plain dict of numbers."""
    if not isinstance(given, Mapping) and not (hasattr(given, "items") and hasattr(given, "index")):
        raise GlimmError(f"control: start must map terms to numbers, such as {{'Intercept': 0.0}}, not {type(given).__name__}")
    out = {}
    for name, value in given.items():
        if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
            raise GlimmError(f"control: start of {name!r} must be a number, not {value!r}")
        out[name] = float(value)
    return out
