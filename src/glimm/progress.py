"""A line on standard error that says how far a long computation is, and about how long it still takes.

left = elapsed (total - done) / done; nothing is shown in the first two seconds, or where standard error is not a terminal.
"""

from __future__ import annotations

import sys
import time
from types import TracebackType

QUIET = 2.0
EVERY = 0.2
WIDTH, NARROW = 24, 8


class Progress:
    """A context in which `at` and `step` may be called as often as one likes.

    title : what is being done; total : steps, as far as known; wanted : True, False, or None for what a terminal gets
    """

    def __init__(self, title: str, total: int, wanted: bool | None) -> None:
        self.title, self.total = title, total
        self.shown = sys.stderr is not None and (wanted if wanted is not None else sys.stderr.isatty())
        self.begun = self.last = time.monotonic()
        self.width = self.done = 0

    def __enter__(self) -> Progress:
        return self

    def at(self, done: int, value: float | None = None) -> None:
        """`done` steps of the total are behind us; value : of -2 log L, as far as it is known."""
        elapsed = self._due()
        if elapsed is None or not done:
            return
        width, found = (WIDTH, "") if value is None else (NARROW, f", -2 log L about {value:.1f}")
        full = int(width * done / max(self.total, 1))
        left = elapsed * (self.total - done) / done
        self._write(f"{self.title} [{'#' * full}{'.' * (width - full)}] {done} of {self.total}, about {clock(left)} left{found}")

    def after(self, begin: int, done: int) -> None:
        """`done` steps after the first `begin` are behind us."""
        self.at(begin + done)

    def step(self, value: float | None = None) -> None:
        """One more step is behind us, at this -2 log L; a search may take more of them than was thought."""
        self.done += 1
        self.total = max(self.total, self.done + 2)
        self.at(self.done, value)

    def _due(self) -> float | None:
        now = time.monotonic()
        if not self.shown or now - self.begun < QUIET or now - self.last < EVERY:
            return None
        self.last = now
        return now - self.begun

    def _write(self, line: str) -> None:
        sys.stderr.write("\r" + line.ljust(self.width))
        sys.stderr.flush()
        self.width = len(line)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.width:
            sys.stderr.write("\r" + " " * self.width + "\r")
            sys.stderr.flush()


def clock(seconds: float) -> str:
    """Seconds as a person says them.

    >>> clock(4.2), clock(75), clock(3720)
    ('4 s', '1 min 15 s', '1 h 2 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
