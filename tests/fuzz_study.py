"""make fuzz: random calls of the three doors in processes of their own, with a table of outcomes and a line that repeats each failure.

    python tests/fuzz_study.py [--fits 10000] [--seed 1] [--doors glm glmm gee] [--again '<recipe>']

A worker writes each recipe before it runs it, so that a crash or a hang (more than 90 seconds) is found by the recipe left behind;
more than 20 seconds of the processor are a failure too.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

SLOW, DEADLINE = 20.0, 90.0
CHUNK = 500
HERE = Path(__file__).parent


def work(seed, fits, doors, out):
    """Run that many recipes, a line of JSON each: {"recipe": ...} before it, {"outcome": ...} or {"failure": ...} after it."""
    import hypothesis

    sys.path.insert(0, str(HERE))
    from fuzz.cases import recipes
    from fuzz.outcome import judge

    with open(out, "a", encoding="utf-8") as stream:

        def say(**line):
            stream.write(json.dumps(line) + "\n")
            stream.flush()

        @hypothesis.seed(seed)
        @hypothesis.settings(
            max_examples=fits,
            database=None,
            deadline=None,
            phases=[hypothesis.Phase.generate],
            suppress_health_check=list(hypothesis.HealthCheck),
        )
        @hypothesis.given(recipes(tuple(doors)))
        def each(recipe):
            say(recipe=recipe)
            start = time.process_time()
            try:
                outcome = judge(recipe)
                seconds = round(time.process_time() - start, 2)
                say(**({"outcome": outcome, "seconds": seconds} if seconds < SLOW else {"failure": f"{seconds} seconds"}))
            except Exception as error:
                say(failure=f"{type(error).__name__}: {error}")

        each()


def watch(seed, fits, doors):
    """(outcomes, failures) of one worker; a worker that dies or hangs leaves its recipe as a failure, and another goes on."""
    outcomes, failures, slow = Counter(), [], []
    done, turn = 0, 0
    while done < fits:
        path = Path(tempfile.mkdtemp()) / "fuzz.jsonl"
        path.touch()
        command = [
            sys.executable,
            __file__,
            "--work",
            str(path),
            "--seed",
            str(seed + 1000 * turn),
            "--fits",
            str(fits - done),
            "--doors",
            *doors,
        ]
        with open(path.with_suffix(".log"), "w", encoding="utf-8") as log:
            worker = subprocess.Popen(command, stdout=log, stderr=log, env=os.environ | {"OPENBLAS_NUM_THREADS": "1"})
            ended = ""
            while worker.poll() is None:
                time.sleep(0.2)
                if time.time() - path.stat().st_mtime > DEADLINE + (20.0 if not path.stat().st_size else 0.0):
                    worker.kill()
                    ended = "a hang"
            worker.wait()
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        recipe = None
        for line in lines:
            if "recipe" in line:
                recipe = line["recipe"]
                continue
            done += 1
            if "failure" in line:
                failures.append((line["failure"], recipe))
                outcomes[recipe["door"], recipe["family"].partition("(")[0], "FAILURE"] += 1
            else:
                outcomes[tuple(line["outcome"])] += 1
                slow.append((line["seconds"], recipe))
            recipe = None
        if recipe is not None:
            failures.append((ended or f"a crash (exit {worker.returncode})", recipe))
            outcomes[recipe["door"], recipe["family"].partition("(")[0], "FAILURE"] += 1
            done += 1
        elif worker.returncode == 0:
            break
        elif not lines:
            raise SystemExit(path.with_suffix(".log").read_text(encoding="utf-8"))
        turn += 1
    return outcomes, failures, slow


def table(outcomes):
    """Outcomes by door and family, as text."""
    codes = ["converged", "boundary", "separated", "not_converged", "refused", "FAILURE"]
    rows = sorted({key[:2] for key in outcomes})
    lines = [f"{'door':5s} {'family':19s}" + "".join(f"{c:>14s}" for c in codes)]
    lines += [f"{d:5s} {f:19s}" + "".join(f"{outcomes[d, f, c]:14d}" for c in codes) for d, f in rows]
    lines.append(f"{'all':25s}" + "".join(f"{sum(v for k, v in outcomes.items() if k[2] == c):14d}" for c in codes))
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--fits", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--doors", nargs="+", default=["glm", "glmm", "gee"])
    parser.add_argument("--again")
    parser.add_argument("--work")
    given = parser.parse_args()
    if given.work:
        return work(given.seed, given.fits, given.doors, given.work)
    if given.again:
        sys.path.insert(0, str(HERE))
        from fuzz.outcome import judge

        return print(judge(json.loads(given.again)))
    outcomes, failures, slow = Counter(), [], []
    for k, first in enumerate(range(0, given.fits, CHUNK)):
        got = watch(given.seed + k, min(CHUNK, given.fits - first), given.doors)
        outcomes += got[0]
        failures += got[1]
        slow += got[2]
        print(f"{sum(outcomes.values())} fits, {len(failures)} failures", file=sys.stderr, flush=True)
    print(table(outcomes))
    print("slowest:", ", ".join(f"{s:.1f} s" for s, _ in sorted(slow, key=lambda f: -f[0])[:3]))
    for said, recipe in failures:
        print(f"\n{said}\n  python tests/fuzz_study.py --again '{json.dumps(recipe)}'")
    raise SystemExit(1 if failures else 0)


if __name__ == "__main__":
    main()
