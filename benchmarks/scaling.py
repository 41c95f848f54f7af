"""How glimm's time and memory grow: with rows, and with levels of the second of two crossed factors.

    python -m benchmarks.scaling [--rows 1e4 1e5 1e6 1e7] [--levels 100 500 1000 2000 5000] [--level-rows 2e5] [--model WORD ...]

Every fit runs in its own process: median CPU seconds of whole calls with standard errors and log-likelihood, after one of a thousand
rows, and the growth of resident memory during the first. A table and a picture are written to benchmarks/results/.
"""

from __future__ import annotations

import argparse
import datetime
import gc
import json
import resource
import subprocess
import sys
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from .environment import ROOT, enter, measured_environ
from .measure import cpu_seconds
from .rows import crossed, linear_groups, logistic_groups, nested
from .run import RESULTS, seconds
from .worker import forget_peak, resident

ENOUGH = 20.0  # CPU seconds after which a model is not fitted again, at most FITS times
FITS = 5
SMALL = 1.0  # MB: less is drawn as this much
FIRST = 20_000  # levels of the first crossed factor


@dataclass(frozen=True, slots=True)
class Model:
    """A model and the maker of its rows; `by` says what grows. Groups of `rows` have ten rows each, pupils five."""

    name: str
    by: str
    maker: Any
    formula: str
    family: str


MODELS = (
    Model("LMM, (1 | g)", "rows", linear_groups, "y ~ x1 + x2 + (1 | g)", "gaussian"),
    Model("LMM, nested", "rows", nested, "y1 ~ x1 + x2 + (1 | school) + (1 | cl) + (1 | pupil)", "gaussian"),
    Model("logistic, (1 | g)", "rows", logistic_groups, "y ~ x1 + x2 + x3 + x4 + (1 | g)", "binomial"),
    Model("LMM, crossed", "levels", crossed, "z ~ x1 + x2 + x3 + (1 | a) + (1 | b)", "gaussian"),
    Model("logistic, crossed", "levels", crossed, "y ~ x1 + x2 + x3 + (1 | a) + (1 | b)", "binomial"),
)


@dataclass(slots=True)
class Point:
    """One measured size of one model; `note` says why figures are missing."""

    model: str
    by: str
    rows: int
    levels: int
    cpu: float | None = None
    wall: float | None = None
    memory: float | None = None
    note: str = ""


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling", description="time and memory of glimm against size")
    parser.add_argument("--rows", type=whole, nargs="*", default=[10_000, 100_000, 1_000_000, 10_000_000], help="numbers of rows")
    parser.add_argument("--levels", type=whole, nargs="*", default=[100, 500, 1000, 2000, 5000], help="levels of the second crossed factor")
    parser.add_argument("--level-rows", type=whole, default=200_000, help="rows of the crossed models (default 200,000)")
    parser.add_argument("--model", nargs="+", default=[], help="only models whose name has one of these words")
    parser.add_argument("--limit", type=whole, default=600, help="CPU seconds of a process (default 600)")
    parser.add_argument("--threads", type=int, default=2, help="threads (default 2)")
    parser.add_argument("--one", nargs=3, metavar=("MODEL", "ROWS", "LEVELS"), help=argparse.SUPPRESS)
    return parser.parse_args()


def whole(text: str) -> int:
    """A whole number, also as 1e6."""
    return int(float(text))


def main() -> None:
    options = arguments()
    if options.one:
        return fit_one(int(options.one[0]), int(options.one[1]), int(options.one[2]), options.limit)
    enter("benchmarks.scaling")
    points: list[Point] = []
    for k, model in enumerate(MODELS):
        if options.model and not any(word.lower() in model.name.lower() for word in options.model):
            continue
        sizes = [(n, 0) for n in options.rows] if model.by == "rows" else [(options.level_rows, q) for q in options.levels]
        for n, levels in sizes:
            point = Point(model.name, model.by, n, levels)
            measure(k, point, options)
            points.append(point)
            print(line(point), flush=True)
    RESULTS.mkdir(exist_ok=True)
    target = RESULTS / f"scaling-{datetime.datetime.now():%Y-%m-%d-%H%M%S}"
    target.with_suffix(".md").write_text(table(points))
    print(f"written: {target}.md")
    if any(point.cpu for point in points):
        draw(points, target)
        print(f"written: {target}.png, .svg")


def measure(model: int, point: Point, options: argparse.Namespace) -> None:
    """Fill in a point from a process of its own."""
    command = [sys.executable, "-m", "benchmarks.scaling", "--limit", str(options.limit)]
    command += ["--one", str(model), str(point.rows), str(point.levels)]
    environ = measured_environ(options.threads)
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)
    if done.returncode:
        said = done.stderr.strip().splitlines()
        point.note = f"over {options.limit} CPU s" if done.returncode < 0 else said[-1][:120] if said else f"exit code {done.returncode}"
        return
    answer = json.loads(done.stdout.splitlines()[-1])
    point.cpu, point.wall, point.memory, point.note = answer["cpu"], answer["wall"], answer["memory"], answer["note"]


def fit_one(number: int, n: int, levels: int, limit: int) -> None:
    """In a process of its own: make the rows, fit, say what it took."""
    import glimm

    model = MODELS[number]
    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.getrlimit(resource.RLIMIT_CPU)[1]))
    options = {"reml": False} if model.family == "gaussian" else {"points": 1}

    def fit(rows: Any) -> Any:
        fitted = glimm.glmm(model.formula, rows, family=model.family, **options)
        return fitted, fitted.params, fitted.bse, fitted.llf

    fit(model.maker(1000))
    rows = model.maker(n, min(FIRST, n // 10), levels) if model.by == "levels" else model.maker(n)
    gc.collect()
    cpu, wall, memory = [], [], None
    while len(cpu) < FITS and sum(cpu) < ENOUGH:
        forget_peak()
        before, start = resident("VmRSS"), (time.perf_counter(), cpu_seconds())
        answer = fit(rows)
        wall.append(time.perf_counter() - start[0])
        cpu.append(cpu_seconds() - start[1])
        peak = resident("VmHWM")
        if memory is None and before is not None and peak is not None:
            memory = max(0.0, peak - before)
    note = "" if answer[0].converged else "says it did not converge"
    print(json.dumps({"cpu": median(cpu), "wall": median(wall), "memory": memory, "note": note}))


def line(point: Point) -> str:
    """One line of the table."""
    size = (
        f"{point.rows:,} rows" if point.by == "rows" else f"{point.rows:,} rows, {min(FIRST, point.rows // 10):,} x {point.levels:,} levels"
    )
    memory = "" if point.memory is None else f"{point.memory:.0f}"
    per_row = "" if point.cpu is None else f"{1e6 * point.cpu / point.rows:.2f}"
    return f"| {point.model} | {size} | {seconds(point.cpu)} | {seconds(point.wall)} | {memory} | {per_row} | {point.note} |"


def table(points: list[Point]) -> str:
    head = ["| model | size | CPU s | wall s | peak MB | CPU microseconds per row | note |", "|---|---|---:|---:|---:|---:|---|"]
    return "\n".join([*head, *(line(point).replace(" | g)", " \\| g)") for point in points)]) + "\n"


def draw(points: list[Point], target: Path) -> None:
    """Time and memory, against rows and against levels."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    columns = [by for by in ("rows", "levels") if any(point.by == by and point.cpu for point in points)]
    figure, axes = plt.subplots(2, len(columns), figsize=(5.2 * len(columns), 7), sharex="col", sharey="row", squeeze=False)
    for j, by in enumerate(columns):
        measured = [point for point in points if point.by == by and point.cpu]
        for k, model in enumerate(MODELS):
            curve = [point for point in measured if point.model == model.name]
            sizes = [getattr(point, by) for point in curve]
            for i, figures in enumerate(([p.cpu for p in curve], [max(p.memory or 0.0, SMALL) for p in curve])):
                if curve:
                    axes[i, j].loglog(sizes, figures, marker="o", color=f"C{k}", label=model.name)
        for i in (0, 1):
            proportional(axes[i, j])
            axes[i, j].grid(True, which="major", color="0.9")
            axes[i, j].spines[["top", "right"]].set_visible(False)
        ticks = sorted({getattr(point, by) for point in measured})
        axes[1, j].set_xticks(ticks, [f"{t:,}" for t in ticks])
        axes[1, j].minorticks_off()
        axes[1, j].set_xlabel("rows" if by == "rows" else f"levels of the second crossed factor ({measured[0].rows:,} rows)")
        axes[0, j].legend(frameon=False)
    axes[0, 0].set_ylabel("CPU seconds of a fit")
    axes[1, 0].set_ylabel(f"peak memory of a fit, MB (at least {SMALL:g})")
    figure.tight_layout()
    figure.savefig(target.with_suffix(".png"), dpi=150)
    figure.savefig(target.with_suffix(".svg"))
    plt.close(figure)


def proportional(axis: Any) -> None:
    """A dashed line of growth in proportion, through the last point of the first curve."""
    lines = axis.get_lines()
    if lines and len(lines[0].get_xdata()) > 1:
        x, y = lines[0].get_xdata(), lines[0].get_ydata()
        axis.loglog([x[0], x[-1]], [y[-1] * x[0] / x[-1], y[-1]], color="0.6", linestyle="--", linewidth=1, zorder=0, label="in proportion")


if __name__ == "__main__":
    main()
