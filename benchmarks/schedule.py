"""One task, all its peers: rounds in which every peer makes one timed call after the other, then the answers are compared.

A first round warms up (imports inside a call, compiled functions) and is reported as `first`; the figure is the median of
the rounds after it. A peer whose first call took more than LONG CPU seconds is not asked again: its first call is its figure.
"""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from .peers import R_PEERS
from .tasks import Task, read_rows, write_rows
from .worker import Ended, Worker

LONG = 15.0
LOGLIK_TOLERANCE = 1e-3
COEF_TOLERANCE = 1e-2  # in standard errors, where there is no log-likelihood (GEE)


@dataclass(slots=True)
class Row:
    """What is known of one peer on one task; `note` says why a figure is missing or wrong."""

    task: str
    peer: str
    version: str = ""
    blas: str = ""
    cpu: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)
    memory: float | None = None
    loglik: float | None = None
    coef: list[float] = field(default_factory=list)
    se: list[float] = field(default_factory=list)
    note: str = ""
    verdict: str = ""
    off: float | None = None
    coef_off: float | None = None
    ratio: float | None = None

    def figure(self, kind: str) -> float | None:
        """Median of the rounds after the first, or the first if it is the only one."""
        times = getattr(self, kind)
        return median(times[1:] or times) if times else None


def run_task(task: Task, peers: list[str], reps: int, limit: float, threads: int, short: bool = False) -> list[Row]:
    """Measure the peers on one task."""
    write_rows(task, short, for_r=any(p in R_PEERS for p in peers))
    rows = {peer: Row(task.name, peer) for peer in peers}
    workers: dict[str, Worker] = {}
    for peer, row in rows.items():
        attempt(row, workers, lambda peer=peer, row=row: start(peer, row, workers, task, short, threads))
    for round_ in range(reps + 1):
        for peer in list(workers):
            if round_ and rows[peer].cpu[0] > LONG:
                continue
            attempt(rows[peer], workers, lambda peer=peer: measure(rows[peer], workers[peer], limit))
    for peer in list(workers):
        attempt(rows[peer], workers, lambda peer=peer: read(rows[peer], workers[peer], limit))
    for worker in workers.values():
        worker.end()
    judge(task, rows)
    return list(rows.values())


def once(task: Task) -> Row:
    """glimm's tiny form of a task, once, in this process."""
    from .peers import adapter

    write_rows(task, short=True, for_r=False)
    row = Row(task.name, "glimm")
    warnings.simplefilter("ignore")
    try:
        call = adapter("glimm")(task, read_rows(task, short=True))
        wall, cpu = time.perf_counter(), time.process_time()
        fitted = call.fit()
        row.wall, row.cpu = [time.perf_counter() - wall], [time.process_time() - cpu]
        answer = call.read(fitted)
        row.version, row.loglik, row.coef, row.se, row.note = call.version, answer.loglik, list(answer.coef), list(answer.se), answer.note
    except Exception as error:
        row.note = f"failed: {type(error).__name__}: {error}"
    judge(task, {"glimm": row})
    return row


def attempt(row: Row, workers: dict[str, Worker], step: Any) -> None:
    """Run one step; a worker that ended leaves the field and says why in its row."""
    try:
        step()
    except Ended as reason:
        row.note = str(reason)
        if row.peer in workers:
            workers.pop(row.peer).end()


def start(peer: str, row: Row, workers: dict[str, Worker], task: Task, short: bool, threads: int) -> None:
    workers[peer] = Worker(peer, task, short, threads)
    hello = workers[peer].ask("", 300.0)
    row.version = hello["ready"]
    row.blas = hello.get("blas", "")


def measure(row: Row, worker: Worker, limit: float) -> None:
    before = worker.memory("VmRSS")
    times = worker.ask("fit", limit)
    peak = worker.memory("VmHWM")
    row.cpu.append(times["cpu"])
    row.wall.append(times["wall"])
    if before is not None and peak is not None and row.memory is None:
        row.memory = max(0.0, peak - before)


def read(row: Row, worker: Worker, limit: float) -> None:
    answer = worker.ask("read", limit)
    row.loglik, row.coef, row.se = answer.get("loglik"), answer["coef"], answer["se"]
    row.note = " ".join(answer.get("note", "").split())[:80]


def judge(task: Task, rows: dict[str, Row]) -> None:
    """Compare the answers with the reference's: the log-likelihood decides; for GEE the coefficients in standard errors."""
    answered = [row for row in rows.values() if row.coef]
    order = [p for p in (*task.trusted, "glimm") if p in rows and rows[p].coef]
    reference = rows[order[0]] if order else None
    target = task.loglik if task.loglik is not None else reference.loglik if reference else None
    glimm = rows.get("glimm")
    for row in answered:
        if row.loglik is not None and target is not None:
            row.off = row.loglik - target
            row.verdict = "ok" if abs(row.off) <= LOGLIK_TOLERANCE else "higher" if row.off > 0 else "WRONG"
        row.coef_off = distance(reference, row)
        if task.kind == "gee" and row.coef_off is not None:
            row.verdict = "ok" if row.coef_off <= COEF_TOLERANCE else "differs"
        if glimm and glimm.cpu and row.cpu:
            row.ratio = row.figure("cpu") / glimm.figure("cpu")


def distance(reference: Row | None, row: Row) -> float | None:
    """Largest difference of a coefficient, in the reference's standard errors."""
    if reference is None or len(reference.coef) != len(row.coef) or len(reference.se) != len(row.coef):
        return None
    return max((abs(a - b) / s for a, b, s in zip(row.coef, reference.coef, reference.se, strict=True) if s), default=0.0)
