"""Run by test_interrupt.py in a process of its own: Ctrl-C during a long task, and what the package does afterwards.

Prints each kind with the seconds from the signal to KeyboardInterrupt.
"""

import signal
import sys
import time
import warnings

import numpy as np

import glimm
from glimm.kernels import Block, KrylovLinear, Matrix, MixedModel, Rows, SparseLinear, SparseTerm, minimum_degree
from glimm.kernels.krylov import How
from glimm.kernels.sparse import Directions

RNG = np.random.default_rng(20)
TWO = glimm.Control(threads=2)
WAIT = 0.35  # seconds of processor time before the signal


def crossed(size):
    n, a, b = 30_000, 3_000 + 1_000 * size, 2_000 + 1_000 * size
    data = {"y": RNG.normal(size=n), "a": RNG.integers(0, a, n), "b": RNG.integers(0, b, n)}
    return lambda: glimm.glmm("y ~ 1 + (1 | a) + (1 | b)", data, control=TWO)


def crossed_laplace(size):
    n, a, b = 30_000, 3_000 + 1_000 * size, 2_000 + 1_000 * size
    data = {"y": RNG.integers(0, 2, n), "a": RNG.integers(0, a, n), "b": RNG.integers(0, b, n)}
    return lambda: glimm.glmm("y ~ 1 + (1 | a) + (1 | b)", data, family="binomial", control=TWO)


def krylov(size):
    n, a, b = 300_000, 20_000, 2_500
    data = {"y": RNG.normal(size=n), "a": RNG.integers(0, a, n), "b": RNG.integers(0, b, n)}
    control = glimm.Control(threads=2, engine="krylov", probes=8 * size)
    return lambda: glimm.glmm("y ~ 1 + (1 | a) + (1 | b)", data, control=control)


def krylov_laplace(size):
    n, a, b = 200_000, 20_000, 2_500
    data = {"y": RNG.integers(0, 2, n), "a": RNG.integers(0, a, n), "b": RNG.integers(0, b, n), "x": RNG.normal(size=n)}
    control = glimm.Control(threads=2, engine="krylov", probes=8 * size)
    return lambda: glimm.glmm("y ~ 1 + (1 + x | a) + (1 | b)", data, family="binomial", control=control)


def quadrature(size):
    n = 20_000 * size
    data = {"y": RNG.integers(0, 2, n), "x": RNG.normal(size=n), "g": np.arange(n) % (n // 10)}
    return lambda: glimm.glmm("y ~ x + (1 + x | g)", data, family="binomial", points=41, control=TWO)


def bootstrap(size):
    n = 2_000
    data = {"y": RNG.normal(size=n), "x": RNG.normal(size=n), "g": np.arange(n) % 200}
    fit = glimm.glmm("y ~ x + (1 | g)", data, control=TWO)
    before = fit.bootstrap(5, seed=2)

    def run():
        try:
            fit.bootstrap(1_000 * size, seed=1)
        finally:
            assert fit.bootstrap(5, seed=2).equals(before)

    return run


def many_rows(size):
    n = 200_000 * size
    matrix = Matrix(n, 61, (Block(np.array([0])), *(Block(np.array([1 + i]), RNG.normal(size=n)) for i in range(60))))
    rows = Rows(matrix, np.zeros(61), np.ones(61), RNG.integers(0, 2, n).astype(float), threads=2)
    return lambda: [rows.glm(1, 2, np.zeros(61)) for _ in range(10)]


def one_pass(size):
    """A single call of a kernel, without any Python in between."""
    n = 60_000 * size
    matrix = Matrix(n, 150, tuple(Block(np.array([i]), RNG.normal(size=n)) for i in range(150)))
    rows = Rows(matrix, np.zeros(150), np.ones(150))
    return rows.qr


def ordering(size):
    nodes = 100_000 * size
    a = RNG.integers(0, nodes, 4 * nodes)
    b = (a + RNG.integers(1, 2_000, 4 * nodes)) % nodes
    low, high = np.concatenate([a, b]), np.concatenate([b, a])
    starts = np.concatenate([[0], np.cumsum(np.bincount(low, minlength=nodes))])
    adjacent = high[np.argsort(low, kind="stable")].astype(np.int32)
    return lambda: minimum_degree(starts, adjacent)


def small_fits():
    rng = np.random.default_rng(3)
    n = 600
    data = {
        "y": rng.normal(size=n),
        "k": rng.integers(0, 2, n),
        "x": rng.normal(size=n),
        "a": np.arange(n) % 60,
        "b": rng.integers(0, 9, n),
    }
    fits = [
        glimm.glm("k ~ x", data, family="binomial"),
        glimm.gee("k ~ x", data, groups="a", family="binomial"),
        glimm.glmm("y ~ x + (1 + x | a)", data),
        glimm.glmm("y ~ x + (1 | a) + (1 | b)", data),
        glimm.glmm("k ~ x + (1 | a) + (1 | b)", data, family="binomial"),
        glimm.glmm("k ~ x + (1 | a)", data, family="binomial", points=9),
    ]
    return np.concatenate([f.record.vector for f in fits])


def late(run):
    """Seconds of processor time from a signal to KeyboardInterrupt; None if `run` was done before."""
    signal.signal(signal.SIGPROF, signal.default_int_handler)  # a timer of processor time, in the place of Ctrl-C
    begin = time.process_time()
    try:
        signal.setitimer(signal.ITIMER_PROF, WAIT)
        run()
        signal.setitimer(signal.ITIMER_PROF, 0.0)
        return None
    except KeyboardInterrupt:
        return time.process_time() - begin - WAIT


def moved_by_both():
    """Two intercepts, each moved by its own parameter."""
    one = np.array([0, 1], dtype=np.int64)
    return Directions(one, np.ones(2, dtype=np.int64), np.ones(2))


def same_object():
    """What is left in a kernel that was interrupted is not used by its next call."""
    n, a, b = 20_000, 1_500, 1_200
    x = RNG.normal(size=n)
    terms = [SparseTerm(RNG.integers(0, k, n).astype(np.int32), k, None, None, None, np.ones(1, dtype=np.int64)) for k in (a, b)]
    rows = Rows(Matrix(n, 1, (Block(np.array([0])),)), np.zeros(1), np.ones(1), x, threads=2)
    model, fresh = SparseLinear(rows, terms), SparseLinear(rows, terms)
    thetas = np.linspace(0.5, 0.6, 400)[:, None] * np.ones(2)
    assert late(lambda: [model.evaluate(t, True, order=1) for t in thetas]) is not None
    for again in (thetas[0], thetas[3]):
        assert model.evaluate(again, True, order=0).deviance == fresh.evaluate(again, True, order=0).deviance

    model, fresh = (KrylovLinear(rows, terms, 1, 0) for _ in range(2))
    exact = How(1e-10, 1e-6, 2)
    assert late(lambda: [model.evaluate(t, True, exact, moved_by_both(), order=1) for t in thetas]) is not None
    for again in (thetas[0], thetas[3]):
        mine, theirs = (m.evaluate(again, True, exact, moved_by_both(), order=1) for m in (model, fresh))
        assert np.allclose(mine.gradient, theirs.gradient, rtol=1e-8)
        assert abs(mine.deviance - theirs.deviance) < 1e-6

    m, q = 20_000, 2
    starts = np.arange(0, m + 1, 10)
    rows = Rows(Matrix(m, 1, (Block(np.array([0])),)), np.zeros(1), np.ones(1), RNG.integers(0, 2, m).astype(float), threads=2)
    z = np.column_stack([np.ones(m), x[:m]])
    model, fresh = (MixedModel(rows, starts, z, q, None, None) for _ in range(2))
    one, weights = np.polynomial.hermite.hermgauss(41)
    nodes = np.array([[u, v] for u in one for v in one])
    logs = np.array([np.log(u * v) for u in weights for v in weights]) + (nodes**2).sum(axis=1)
    vector = np.array([0.1, 0.7, 0.2, 0.5])
    assert late(lambda: [model.quadrature(1, 2, vector, 1, nodes, logs) for _ in range(99)]) is not None
    assert abs(model.laplace(1, 2, vector, 0).deviance - fresh.laplace(1, 2, vector, 0).deviance) < 1e-7


def from_outside():
    """All imports before the signal: CPython dies of an interrupt inside exec of a string (a dataclass is made so), caught or not."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    run = crossed(2)
    small_fits()
    try:
        print("ready", flush=True)
        while True:
            run()
    except KeyboardInterrupt:
        print("interrupted")


def main(kinds):
    warnings.simplefilter("ignore")
    before = small_fits()
    for kind in kinds:
        for size in (1, 2, 4, 8):
            seconds = late(globals()[kind](size))
            if seconds is not None:
                break
        print(kind, seconds)
        assert np.array_equal(small_fits(), before), kind


if __name__ == "__main__":
    if sys.argv[1] in ("same_object", "from_outside"):
        globals()[sys.argv[1]]()
    else:
        main(sys.argv[1:])
