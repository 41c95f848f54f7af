"""One task, all its peers: rounds in which every peer makes one timed call after the other, then the answers are compared.

A first round warms up (imports inside a call, compiled functions) and is reported as `first`; the figure is the median of
the rounds after it. A peer whose first call took more than LONG CPU seconds is not asked again: its first call is its figure.
No peer is asked again after ENOUGH CPU seconds in one task.
"""

from __future__ import annotations

import math
import time
import warnings
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from .peers import R_PEERS
from .tasks import Task, read_rows, write_rows
from .worker import Allowed, Ended, Worker, resident

LONG = 15.0
ENOUGH = 60.0
LOGLIK_TOLERANCE = 1e-3
SHARE = 4.0  # Monte-Carlo standard errors that a noisy log-likelihood may be off
COEF_TOLERANCE = 1e-2  # in standard errors, where there is no log-likelihood (GEE)
DRAWN = 4.0  # bootstraps of R replicates: Monte Carlo standard errors between two means, or between two standard deviations


@dataclass(slots=True)
class Row:
    """What is known of one peer on one task; `note` says why a figure is missing or wrong.

    sds, noise : as in an Answer
    beyond : CPU seconds of a call that were not enough; ratio : CPU over glimm's; best : the fastest other peer that has the optimum
    """

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
    sds: list[float] = field(default_factory=list)
    noise: float | None = 0.0
    note: str = ""
    verdict: str = ""
    off: float | None = None
    coef_off: float | None = None
    ratio: float | None = None
    beyond: float | None = None
    best: bool = False

    def figure(self, kind: str) -> float | None:
        """Median of the rounds after the first, or the first if it is the only one."""
        times = getattr(self, kind)
        return median(times[1:] or times) if times else None


def run_task(task: Task, labels: list[str], reps: int, allowed: Allowed, short: bool = False) -> list[Row]:
    """Measure the peers on one task."""
    write_rows(task, short, for_r=any(name(label) in R_PEERS for label in labels))
    rows = {label: Row(task.name, label) for label in labels}
    workers: dict[str, Worker] = {}
    for row in rows.values():
        attempt(row, workers, lambda row=row: start(row, workers, task, short, allowed))
    for round_ in range(reps + 1):
        for peer in list(workers):
            attempt(rows[peer], workers, lambda peer=peer: measure(rows[peer], workers[peer], allowed.cpu))
            spent = [task.calls * cpu for cpu in rows[peer].cpu]
            if peer in workers and (round_ == reps or spent[0] > LONG or sum(spent) > ENOUGH):
                attempt(rows[peer], workers, lambda peer=peer: read(rows[peer], workers[peer], allowed.cpu))
                if peer in workers:
                    workers.pop(peer).end()
    judge(task, list(rows.values()), short)
    return list(rows.values())


def name(label: str) -> str:
    """The peer's name, without the BLAS that R is given."""
    return label.split()[0]


def once(task: Task) -> Row:
    """glimm's tiny form of a task, once, in this process."""
    from .peers import NotOffered, adapter

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
        row.sds, row.noise = list(answer.sds), answer.noise
    except NotOffered as reason:
        row.note = f"not offered: {reason}"
    except Exception as error:
        row.note = f"failed: {type(error).__name__}: {error}"
    judge(task, [row], short=True)
    return row


def attempt(row: Row, workers: dict[str, Worker], step: Any) -> None:
    """Run one step; a worker that ended leaves the field and says why in its row."""
    try:
        step()
    except Ended as reason:
        row.note, row.beyond = str(reason), reason.beyond
        if row.peer in workers:
            workers.pop(row.peer).end()


def start(row: Row, workers: dict[str, Worker], task: Task, short: bool, allowed: Allowed) -> None:
    workers[row.peer] = Worker(row.peer, task, short, allowed)
    hello = workers[row.peer].ask("", 300.0)
    row.version = hello["ready"]
    row.blas = hello.get("blas", "")


def measure(row: Row, worker: Worker, limit: float) -> None:
    before = resident("VmRSS", worker.process.pid)
    times = worker.ask("fit", limit)
    peak = resident("VmHWM", worker.process.pid)
    row.cpu.append(times["cpu"])
    row.wall.append(times["wall"])
    if before is not None and peak is not None and row.memory is None:
        row.memory = max(0.0, peak - before)


def read(row: Row, worker: Worker, limit: float) -> None:
    answer = worker.ask("read", limit)
    row.loglik, row.coef, row.se = answer.get("loglik"), answer["coef"], answer["se"]
    row.sds, row.noise = answer.get("sds", []), answer.get("noise", 0.0)
    row.note = " ".join(answer.get("note", "").split())[:80]


def judge(task: Task, rows: list[Row], short: bool) -> None:
    """Compare the answers with the reference's: the log-likelihood decides; without one the coefficients in standard errors."""
    answered = [row for row in rows if row.coef]
    order = [row for peer in (*task.trusted, "glimm") for row in answered if name(row.peer) == peer]
    reference = order[0] if order else None
    known = None if short and task.size else task.loglik
    target = known if known is not None else reference.loglik if reference and not task.by_coefficients else None
    for row in answered:
        row.coef_off = distance(reference, row)
        if row.loglik is not None and target is not None:
            row.off = row.loglik - target
            row.verdict = verdict(row.off, row.noise)
        elif row.coef_off is not None and task.bootstrap:
            row.verdict = "ok" if same_distribution(task.bootstrap, reference, row) else "differs"
        elif row.coef_off is not None and task.by_coefficients:
            row.verdict = "ok" if row.coef_off <= COEF_TOLERANCE else "differs"
    timed = [row for row in rows if row.cpu]
    glimm = next((row for row in timed if row.peer == "glimm"), None)
    for row in timed:
        row.ratio = row.figure("cpu") / glimm.figure("cpu") if glimm else None
    same = [row for row in timed if row.peer != "glimm" and row.verdict in ("ok", "higher")]
    if same:
        min(same, key=lambda row: row.figure("cpu")).best = True


def verdict(off: float, noise: float | None) -> str:
    """Of a log-likelihood that is `off` from the reference; a noisy one may be off by some of its errors, or by what is not said."""
    if abs(off) <= LOGLIK_TOLERANCE:
        return "ok"
    if noise is None or 0.0 < abs(off) <= SHARE * noise:
        return "noisy"
    return "higher" if off > 0 else "WRONG"


def same_distribution(replicates: int, a: Row, b: Row) -> bool:
    """Whether means and standard deviations of two bootstraps agree within their Monte Carlo error."""
    log_sd = max(abs(math.log(t / s)) for s, t in zip(a.se, b.se, strict=True))
    return b.coef_off <= DRAWN * math.sqrt(2.0 / replicates) and log_sd <= DRAWN * math.sqrt(1.0 / replicates)


def distance(reference: Row | None, row: Row) -> float | None:
    """Largest difference of a coefficient, in the reference's standard errors."""
    if reference is None or len(reference.coef) != len(row.coef) or len(reference.se) != len(row.coef):
        return None
    return max((abs(a - b) / s for a, b, s in zip(row.coef, reference.coef, reference.se, strict=True) if s), default=0.0)
