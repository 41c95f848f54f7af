"""A peer in its own process, seen from the runner: ask it for one timed call at a time, watch its memory, end it at the CPU limit."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .environment import ROOT, blas_of_r, measured_environ
from .peers import R_PEERS
from .tasks import DATA, Task, stem

SCRIPT = Path(__file__).resolve().parent / "peers" / "peers.R"


def resident(field: str, process: int | str = "self") -> float | None:
    """VmRSS (now) or VmHWM (peak) of a process in MB, None where the system does not say."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{process}/status").read_text().splitlines():
            if line.startswith(field):
                return int(line.split()[1]) / 1024
    return None


def forget_peak(process: int | str = "self") -> None:
    """Start the peak memory of a process anew, where the system can."""
    with contextlib.suppress(OSError):
        Path(f"/proc/{process}/clear_refs").write_text("5")


@dataclass(frozen=True, slots=True)
class Allowed:
    """What a peer may take: CPU seconds of a call, threads, GB of address space."""

    cpu: float
    threads: int
    memory: float


class Ended(Exception):
    """The worker answered no more; the text says why, `beyond` how many CPU seconds it was given if they were not enough."""

    def __init__(self, text: str, beyond: float | None = None) -> None:
        super().__init__(text)
        self.beyond = beyond


def command(peer: str, task: Task, short: bool) -> list[str]:
    """How the peer's process is started."""
    peer = peer.split()[0]
    if peer not in R_PEERS:
        return [sys.executable, "-m", "benchmarks.measure", peer, task.name, *(["short"] if short else [])]
    said = DATA / f"{task.name}.json"
    said.write_text(json.dumps(asdict(task) | {"formula": task.formula}))
    return ["Rscript", "--vanilla", str(SCRIPT), peer, str(stem(task, short).with_suffix(".csv")), str(said)]


class Worker:
    """One process; `ask` sends a word and waits for the answer. The peer's label may name the BLAS that R is given."""

    def __init__(self, peer: str, task: Task, short: bool, allowed: Allowed) -> None:
        name, _, blas = peer.partition(" ")
        if name in R_PEERS and not shutil.which("Rscript"):
            raise Ended("missing: R")
        environ = measured_environ(allowed.threads)
        if blas:
            environ["LD_PRELOAD"] = blas_of_r()[blas]
        self.errors = tempfile.TemporaryFile("w+")  # noqa: SIM115
        self.process = subprocess.Popen(
            command(peer, task, short),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            cwd=ROOT,
            env=environ,
        )
        self.buffer = b""
        with contextlib.suppress(OSError, AttributeError, ValueError):
            resource.prlimit(self.process.pid, resource.RLIMIT_AS, (int(allowed.memory * 1e9),) * 2)

    def ask(self, word: str, limit: float) -> dict[str, Any]:
        """The answer to one word; raises Ended when the process has gone, has failed, or was ended at the limit of CPU seconds."""
        if word:
            self.cap(limit)
            with contextlib.suppress(BrokenPipeError):
                self.process.stdin.write(f"{word}\n".encode())
                self.process.stdin.flush()
        message = self.line(time.monotonic() + 4 * limit + 10)
        if message is None:
            raise self.why(limit)
        for key, text in (("failed", "failed: {}"), ("missing", "missing: {}"), ("not_offered", "not offered: {}")):
            if key in message:
                raise Ended(text.format(message[key]))
        return message

    def line(self, deadline: float) -> dict[str, Any] | None:
        """The next line for the runner, or None at the end of the output or at the deadline."""
        out = self.process.stdout.fileno()
        while True:
            head, newline, rest = self.buffer.partition(b"\n")
            if newline:
                self.buffer = rest
                if head.startswith(b"@@ "):
                    return json.loads(head[3:])
                continue
            if not select.select([out], [], [], max(0.0, deadline - time.monotonic()))[0]:
                self.process.kill()
                return None
            chunk = os.read(out, 1 << 16)
            if not chunk:
                return None
            self.buffer += chunk

    def why(self, limit: float) -> Ended:
        """Why the process has gone."""
        code = self.process.wait()
        if code in (-signal.SIGXCPU, -signal.SIGKILL):
            return Ended(f"over {limit:g} CPU s", limit)
        self.errors.seek(0)
        tail = self.errors.read().strip().splitlines()
        return Ended(f"failed: {tail[-1][:200] if tail else f'exit code {code}'}")

    def cap(self, limit: float) -> None:
        """Let the process use `limit` more CPU seconds, and start its peak memory anew."""
        pid = self.process.pid
        with contextlib.suppress(OSError, AttributeError, ValueError):
            fields = Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
            used = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
            hard = resource.prlimit(pid, resource.RLIMIT_CPU)[1]
            resource.prlimit(pid, resource.RLIMIT_CPU, (int(used + limit) + 1, hard))
        forget_peak(pid)

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.errors):
            with contextlib.suppress(OSError):
                stream.close()
