"""The process that a Python peer runs in: `python -m benchmarks.measure PEER TASK [short]`, then one word a line on standard input.

"fit" times one call (task.calls fits of the same model), "read" prints the answer and ends. Lines for the runner begin with "@@ ".
"""

from __future__ import annotations

import gc
import json
import resource
import sys
import time
import warnings
from dataclasses import asdict
from typing import Any

from .peers import NotOffered, adapter
from .tasks import read_rows, task_of


def say(**message: Any) -> None:
    print("@@ " + json.dumps(message, default=float), flush=True)


def cpu_seconds() -> float:
    """CPU of this process and its children. Not time.process_time: under a CPU limit Linux counts it in ticks of milliseconds."""
    both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(used.ru_utime + used.ru_stime for used in both)


def main() -> None:
    peer, name = sys.argv[1:3]
    warnings.simplefilter("ignore")
    task = task_of(name)
    rows = read_rows(task, "short" in sys.argv[3:])
    try:
        call = adapter(peer)(task, rows)
    except NotOffered as reason:
        return say(not_offered=str(reason))
    except ImportError as error:
        return say(missing=str(error))
    say(ready=call.version)
    answer = None
    for line in sys.stdin:
        if line.strip() == "read":
            return say(**asdict(call.read(answer)))
        answer = None
        gc.collect()
        wall, cpu = time.perf_counter(), cpu_seconds()
        for _ in range(task.calls):
            answer = call.fit()
        wall, cpu = time.perf_counter() - wall, cpu_seconds() - cpu
        say(wall=wall / task.calls, cpu=cpu / task.calls)


if __name__ == "__main__":
    try:
        main()
    except Exception as error:
        say(failed=f"{type(error).__name__}: {error}"[:300])
