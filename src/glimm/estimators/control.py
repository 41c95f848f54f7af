"""How a fit is run: tolerances, iterations, threads, start."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from ..errors import GlimmError, NotYetError


@dataclass(frozen=True, slots=True)
class Control:
    """Settings of a fit.

    tol : Newton decrement in -2 log L at which a mixed model stops (default 1e-10)
    max_iter : iterations at most; threads : at most this many (default 2, or 1 on a single core)
    start : starting values, a mapping of term name -> value for the coefficients; progress : reserved for a progress bar

    >>> Control(max_iter=50).max_iter
    50
    """

    tol: float = 1e-10
    max_iter: int = 100
    threads: int | None = None
    start: Any = None
    progress: bool | None = None

    def __post_init__(self) -> None:
        if not self.tol > 0:
            raise GlimmError(f"control: tol must be positive, not {self.tol!r}")
        if self.max_iter < 1:
            raise GlimmError(f"control: max_iter must be at least 1, not {self.max_iter!r}")
        if self.threads is not None and self.threads < 1:
            raise GlimmError(f"control: threads must be at least 1, not {self.threads!r}")
        if self.progress:
            raise NotYetError("control: progress=True is not in this release: leave it out")

    @property
    def n_threads(self) -> int:
        """Threads a kernel may use."""
        return self.threads if self.threads is not None else min(2, os.cpu_count() or 1)
