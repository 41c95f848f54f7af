"""Task S1: from nothing to a fitted model, as CPU of a whole process, beside `import pandas` and the bare `import glimm`."""

from __future__ import annotations

import resource
import shutil
import subprocess
import sys
import time

from .environment import ROOT, measured_environ
from .schedule import Row
from .tasks import stem, task_of, write_rows

READ = "import pandas; d = pandas.read_parquet({path!r}); "
GLM = "resp ~ age * smoke"
SCRIPTS = {
    "glimm": READ + f"import glimm; m = glimm.glm({GLM!r}, d, family='binomial'); m.params; m.bse",
    "glimm glmm": READ + f"import glimm; m = glimm.glmm({GLM + ' + (1 | id)'!r}, d, family='binomial', points=1); m.params; m.bse",
    "glimm gee": READ + f"import glimm; m = glimm.gee({GLM!r}, d, groups='id', family='binomial'); m.params; m.bse",
    "bare python": "pass",
    "import numpy": "import numpy",
    "import glimm": "import glimm",
    "import pandas": "import pandas",
    "read rows": READ,
    "statsmodels": READ + f"import statsmodels.api as s; s.GLM.from_formula({GLM!r}, d, family=s.families.Binomial()).fit().bse",
    "glmm": READ + f"import glmm; glmm.fit(d, {GLM!r}, 'binomial').se",
    "glmm glmm": READ + f"import glmm; glmm.fit(d, {GLM + ' + (1 | id)'!r}, 'binomial').se",
}
R_SCRIPTS = {
    "R glm": "d <- read.csv({path!r}); coef(summary(glm(resp ~ age * smoke, binomial, d)))",
    "R lme4": "d <- read.csv({path!r}); suppressMessages(library(lme4)); coef(summary(glmer(resp ~ age * smoke + (1 | id), d, binomial)))",
}


def run_startup(reps: int, limit: float, threads: int, only: set[str] | None, short: bool = False) -> list[Row]:
    """CPU and wall of whole processes, in rounds; the first round writes the bytecode and is left out."""
    rows_of = stem(task_of("F1g"), False)
    write_rows(task_of("F1g"), False, for_r=not short)
    programs = {name: [sys.executable, "-c", text.format(path=str(rows_of.with_suffix(".parquet")))] for name, text in SCRIPTS.items()}
    if shutil.which("Rscript") and not short:
        csv = str(rows_of.with_suffix(".csv"))
        programs |= {name: ["Rscript", "--vanilla", "-e", text.format(path=csv)] for name, text in R_SCRIPTS.items()}
    if short:
        programs = {"glimm": programs["glimm"]}
    elif only:
        programs = {k: v for k, v in programs.items() if k.split()[0] in only or k in ("import glimm", "import pandas")}
    rows = {name: Row("S1", name) for name in programs}
    for _ in range(reps + 1):
        for name, program in programs.items():
            if not rows[name].note:
                whole_process(rows[name], program, limit, threads)
    base = rows["glimm"].figure("cpu") if "glimm" in rows else None
    for row in rows.values():
        if base and row.cpu and not row.note:
            row.ratio = row.figure("cpu") / base
    return list(rows.values())


def whole_process(row: Row, program: list[str], limit: float, threads: int) -> None:
    """Add one run of a program to its row: CPU of the process and its children."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environ = measured_environ(threads)
    start = time.perf_counter()
    try:
        done = subprocess.run(program, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=4 * limit, check=False)
    except subprocess.TimeoutExpired:
        row.note = f"over {4 * limit:g} s"
        return
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        row.note = f"failed: {lines[-1][:160] if lines else done.returncode}"
        return
    row.wall.append(wall)
    row.cpu.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
