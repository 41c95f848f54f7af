"""Run the benchmarks: `python -m benchmarks.run [--task NAME ...] [--peer NAME ...] [--reps 9] [--blas NAME] [--short]`.

Prints a table and writes benchmarks/results/DATE.json. Never fails because of a time. `--short`: tiny sizes, glimm only, by this
interpreter: checks that everything runs.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
from dataclasses import asdict
from pathlib import Path

from .environment import blas_of_r, enter
from .schedule import Row, once, run_task
from .startup import run_startup
from .tasks import TASKS
from .worker import Allowed

RESULTS = Path(__file__).resolve().parent / "results"
HEAD = (
    *("task", "peer", "version", "cpu s", "wall s", "first s", "runs", "peak MB"),
    *("log-likelihood", "off", "coef off/se", "verdict", "cpu/glimm", "note"),
)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description="glimm beside other packages")
    parser.add_argument("--task", nargs="+", default=[], help="names of tasks, or their first letters (default: all)")
    parser.add_argument("--peer", nargs="+", default=[], help="peers to ask beside glimm (default: all)")
    parser.add_argument("--reps", type=int, default=9, help="rounds after the first (default 9)")
    parser.add_argument("--limit", type=float, default=120.0, help="CPU seconds that a call may take (default 120)")
    parser.add_argument("--heavy-limit", type=float, default=300.0, help="the same for heavy tasks (default 300)")
    parser.add_argument("--huge-limit", type=float, default=900.0, help="the same for the largest crossed designs (default 900)")
    parser.add_argument("--memory", type=float, default=12.0, help="GB of address space that a peer may take (default 12)")
    parser.add_argument(
        "--blas", choices=["all", "own", "openblas", "reference"], default="all", help="given to R: all found here (default)"
    )
    parser.add_argument("--threads", type=int, default=2, help="threads that a peer may use (default 2)")
    parser.add_argument("--short", action="store_true", help="tiny sizes, glimm only: does it run?")
    return parser.parse_args()


def chosen(wanted: list[str], short: bool) -> list[str]:
    """Names of tasks that start with one of the words; of the largest ones only what is such a word, save in the short form."""
    names = [*(task.name for task in TASKS), "S1"]
    alone = set() if short else {task.name for task in TASKS if task.by_name}
    picked = [n for n in names if n in wanted or (n not in alone and (not wanted or any(n.startswith(w) for w in wanted)))]
    if not picked:
        raise SystemExit(f"no task starts with {' or '.join(wanted)}; there are {', '.join(names)}")
    return picked


def main() -> None:
    options = arguments()
    if not options.short:
        enter("benchmarks.run")
    from .peers import asked

    blas = given_to_r(options.blas)
    names = chosen(options.task, options.short)
    only = {"glimm", *options.peer} if options.peer else None
    print(line(HEAD), flush=True)
    if options.short:
        return short(names, options)
    rows: list[Row] = []
    for task in TASKS:
        if task.name in names:
            limit = {"usual": options.limit, "heavy": options.heavy_limit, "huge": options.huge_limit}[task.load]
            print(f"-- {task.name}: {task.title}" + (f" (at most {limit:g} CPU s a call)" if task.load != "usual" else ""), flush=True)
            labels = [label for label in asked(task, blas) if only is None or label.split()[0] in only]
            rows += shown(run_task(task, labels, options.reps, Allowed(limit, options.threads, options.memory)))
    if "S1" in names:
        print("-- S1: a whole process from nothing to a fitted model", flush=True)
        rows += shown(run_startup(options.reps, options.limit, options.threads, only))
    print(f"written: {save(rows, options)}")
    stop_if_broken(rows)


def given_to_r(wanted: str) -> list[str]:
    """Names of the BLAS libraries that each R peer is run with; "" is the one that R has."""
    found = blas_of_r()
    if wanted in ("openblas", "reference") and wanted not in found:
        raise SystemExit(f"no {wanted} BLAS was found for R; on Debian: apt-get install libopenblas0-pthread libblas3 liblapack3")
    if wanted == "all":
        return list(found) or [""]
    return [""] if wanted == "own" else [wanted]


def short(names: list[str], options: argparse.Namespace) -> None:
    """glimm only, tiny sizes: the first task as in a full run, the others in this process, and one whole process."""
    tasks = [task for task in TASKS if task.name in names]
    allowed = Allowed(options.limit, options.threads, options.memory)
    rows = [row for task in tasks[:1] for row in shown(run_task(task, ["glimm"], 1, allowed, short=True))]
    rows += [row for task in tasks[1:] for row in shown([once(task)])]
    if "S1" in names:
        rows += shown(run_startup(0, options.limit, options.threads, {"glimm"}, short=True))
    stop_if_broken(rows)


def stop_if_broken(rows: list[Row]) -> None:
    """End with an error if glimm failed or was wrong."""
    broken = [row for row in rows if row.peer.startswith("glimm") and row.note.startswith(("failed", "missing", "over"))]
    wrong = [row for row in rows if row.peer == "glimm" and row.verdict == "WRONG"]
    if broken or wrong:
        raise SystemExit(f"glimm did not answer, or wrongly: {', '.join(row.task for row in broken + wrong)}")


def shown(rows: list[Row]) -> list[Row]:
    """Print the rows, those without such a model in one line."""
    without = [row for row in rows if row.note.startswith("not offered")]
    for row in rows:
        if row not in without:
            print(line(cells(row)), flush=True)
    if without:
        print("     not offered: " + "; ".join(f"{row.peer} ({row.note.removeprefix('not offered: ')})" for row in without))
    for row in rows:
        if row.best:
            glimm = "" if row.ratio is None else f", {row.ratio:.2f} times glimm's"
            print(f"     best other peer at the optimum: {row.peer}, {seconds(row.figure('cpu'))} CPU s{glimm}")
    return rows


def cells(row: Row) -> tuple[str, ...]:
    first = row.cpu[0] if row.cpu else None
    cpu = seconds(row.figure("cpu")) if row.cpu or row.beyond is None else f">= {row.beyond:g}"
    return (
        row.task, row.peer, row.version, cpu, seconds(row.figure("wall")), seconds(first), str(len(row.cpu) or ""),
        "" if row.memory is None else f"{row.memory:.0f}", "" if row.loglik is None else f"{row.loglik:.6f}",
        "" if row.off is None else f"{row.off:+.1e}", "" if row.coef_off is None else f"{row.coef_off:.0e}",
        row.verdict, "" if row.ratio is None else f"{row.ratio:.2f}x", row.note[:120],
    )  # fmt: skip


def seconds(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 1 else f"{value:.4f}"


def line(values: tuple[str, ...]) -> str:
    widths = (4, 17, 8, 8, 8, 8, 4, 8, 17, 8, 11, 8, 9, 0)
    numbers = {3, 4, 5, 6, 7, 8, 9, 10, 12}
    padded = (v.rjust(w) if i in numbers else v.ljust(w) for i, (v, w) in enumerate(zip(values, widths, strict=True)))
    return " ".join(padded).rstrip()


def save(rows: list[Row], options: argparse.Namespace) -> Path:
    """Everything measured, with the machine it was measured on."""
    RESULTS.mkdir(exist_ok=True)
    now = datetime.datetime.now()
    path = RESULTS / f"{now:%Y-%m-%d-%H%M%S}.json"
    machine = {"python": platform.python_version(), "system": platform.platform(), "processor": processor(), "cores": os.cpu_count()}
    machine["blas of R"] = blas_of_r()
    content = {"when": now.isoformat(timespec="seconds"), "machine": machine, "options": vars(options)}
    content["rows"] = [asdict(row) for row in rows]
    path.write_text(json.dumps(content, indent=1))
    return path


def processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor()
    return next((x.split(":", 1)[1].strip() for x in text.splitlines() if x.startswith("model name")), "")


if __name__ == "__main__":
    main()
