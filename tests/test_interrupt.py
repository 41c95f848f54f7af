"""Ctrl-C inside the kernels, in processes of their own (interrupted.py); fits from another thread; failures in a pool of threads."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import glimm

CHILD = Path(__file__).parent / "interrupted.py"
KINDS = ["crossed", "crossed_laplace", "krylov", "krylov_laplace", "quadrature", "bootstrap", "many_rows", "one_pass", "ordering"]


def start(*arguments):
    path = os.pathsep.join(p for p in [str(Path(glimm.__file__).parents[1]), os.environ.get("PYTHONPATH")] if p)
    env = {**os.environ, "PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, str(CHILD), *arguments], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def end(process):
    try:
        out, errors = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 0, errors
    return out


def child(*arguments):
    return end(start(*arguments))


posix = pytest.mark.skipif(sys.platform == "win32", reason="no timers of processor time, and no SIGINT to one process")


@posix
def test_interrupt_surfaces():
    lines = [line.split() for line in child(*KINDS).splitlines()]
    assert [kind for kind, _ in lines] == KINDS
    assert [kind for kind, seconds in lines if not float(seconds) < 1.0] == []


@posix
def test_signal_from_outside():
    process = start("from_outside")
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    assert end(process) == "interrupted\n"


@posix
def test_interrupted_kernels_can_be_used_again():
    child("same_object")


def test_fit_from_another_thread():
    rng = np.random.default_rng(4)
    n = 30_000
    data = {"y": rng.normal(size=n), "a": rng.integers(0, 400, n), "b": rng.integers(0, 300, n)}
    fits = []

    def fit():
        fits.append(glimm.glmm("y ~ 1 + (1 | a) + (1 | b)", data))

    thread = threading.Thread(target=fit)
    thread.start()
    thread.join()
    fit()
    assert np.array_equal(fits[0].record.vector, fits[1].record.vector)


def own_family(wrong_from):
    calls = []

    def loglik(y, mu):
        calls.append(len(y))
        if len(calls) > wrong_from:
            raise ValueError("not today")
        return y * np.log(mu / (1.0 + mu)) - np.log1p(mu)

    return glimm.CustomFamily(
        "geometric",
        loglik,
        d1=lambda y, mu: y / mu - (y + 1.0) / (1.0 + mu),
        d2=lambda y, mu: (y + 1.0) / (1.0 + mu) ** 2 - y / mu**2,
        d3=lambda y, mu: 2.0 * y / mu**3 - 2.0 * (y + 1.0) / (1.0 + mu) ** 3,
        link="log",
        support="count",
        variance=lambda mu: mu * (1.0 + mu),
    )


@pytest.mark.parametrize("formula", ["y ~ 1 + (1 | a) + (1 | b)", "y ~ 1 + (1 | a)"])
def test_own_family_in_a_pool_of_threads(formula):
    rng = np.random.default_rng(5)
    n = 40_000
    a, b = rng.integers(0, 40, n), rng.integers(0, 30, n)
    mean = np.exp(1.0 + 0.5 * rng.normal(size=40)[a] + 0.5 * rng.normal(size=30)[b])
    data = {"y": rng.negative_binomial(1, 1.0 / (1.0 + mean)), "a": a, "b": b}
    two = glimm.Control(threads=2)
    known = glimm.glmm(formula, data, family="negative_binomial(1)", points=1, control=two)
    mine = glimm.glmm(formula, data, family=own_family(np.inf), points=1, control=two)
    assert np.allclose(mine.params, known.params, atol=1e-5)
    with pytest.raises(ValueError, match="not today"):
        glimm.glmm(formula, data, family=own_family(60), points=1, control=two)
