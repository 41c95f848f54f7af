"""The kernels of mixed models of any design against dense algebra (oracle/dense_mixed.py), on designs drawn at random."""

import numpy as np
import pytest

from glimm.estimators.mixed_engines import SHARP
from glimm.estimators.terms import directions, lambdas
from glimm.family import FAMILIES, LINKS
from glimm.kernels import SparseLaplace, SparseLinear, _native
from glimm.kernels.native import native
from mixed_designs import BETA, PAIRS, Drawn, drawn, laplace_twin, linear_twin
from oracle.dense_mixed import blocks_of

BUILDS = [_native, native()] if native() is not _native else [_native]
SEEDS = range(16)  # positions in TERMS


@pytest.fixture(params=BUILDS, ids=lambda b: b.__name__.rsplit(".", 1)[-1])
def build(request, monkeypatch):
    for module in ("matrix", "rows", "sparse"):
        monkeypatch.setattr(f"glimm.kernels.{module}.native", lambda: request.param, raising=False)
    return request.param


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("reml", [False, True], ids=["ml", "reml"])
def test_the_lmm_is_dense_normal_algebra(build, seed, reml):
    d, (y, want, gradient, information, entries) = drawn(seed), linear_twin(seed, reml)
    model, shapes = SparseLinear(d.rows(y, d.weights), d.terms), tuple(d.shapes)
    e = model.evaluate(lambdas(shapes, d.theta), reml, directions(shapes, d.theta), 2)
    assert e.ok
    assert e.deviance == pytest.approx(want.deviance, abs=1e-9)
    assert e.r2 == pytest.approx(want.r2, rel=1e-11)
    np.testing.assert_allclose(e.beta, want.beta, rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(e.information, want.information, rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(np.concatenate(e.u), want.u, rtol=1e-9, atol=1e-10)
    for mine, theirs in zip(model.inverse_blocks(), blocks_of(d.terms, np.linalg.inv(want.m)), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(2.0 * e.pulled, entries, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(e.gradient, gradient, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(e.hessian, information, rtol=1e-6, atol=1e-7 * np.abs(information).max(initial=0.0))


@pytest.mark.parametrize("seed", SEEDS)
def test_the_lmm_takes_another_response(build, seed):
    d = drawn(seed)
    first, second = (1e3 + d.rng.normal(size=d.n) for _ in range(2))
    lam, moved = lambdas(tuple(d.shapes), d.theta), directions(tuple(d.shapes), d.theta)
    model, fresh = (SparseLinear(d.rows(y, d.weights), d.terms) for y in (first, second))
    model.evaluate(lam, True, moved, 2)
    model.respond(second)
    a, b = (m.evaluate(lam, True, moved, 2) for m in (model, fresh))
    assert a.deviance == b.deviance
    for name in ("beta", "gradient", "hessian"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))


@pytest.mark.parametrize(("seed", "pair"), [(seed, PAIRS[(seed + k) % 4]) for seed in SEEDS for k in (0, 1)], ids=str)
def test_laplace_is_a_dense_newton_iteration(build, seed, pair):
    d, (y, trials, size, psi, want, gradient) = drawn(seed), laplace_twin(seed, *pair)
    kernels, shapes = (FAMILIES[pair[0]].kernel, LINKS[pair[1]].kernel), tuple(d.shapes)
    model = SparseLaplace(d.rows(y, size), d.terms, trials, d.weights)
    e = model.evaluate(kernels, BETA, lambdas(shapes, d.theta), psi, directions(shapes, d.theta), 2, SHARP)
    assert e.ok
    assert e.deviance == pytest.approx(want.deviance, abs=1e-9)
    np.testing.assert_allclose(np.concatenate(e.u), want.u, rtol=1e-7, atol=1e-8)
    for mine, theirs in zip(model.inverse_blocks(), blocks_of(d.terms, np.linalg.inv(want.m)), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-7, atol=1e-8)
    np.testing.assert_allclose(e.gradient, gradient, rtol=1e-6, atol=2e-6)
    p = len(BETA)
    np.testing.assert_allclose(e.hessian[:p, :p], 2.0 * want.information(d.working), rtol=1e-6, atol=1e-7)


def answers(d, y, counts, threads):
    """Everything both kernels say, as one list of numbers."""
    lam, moved = lambdas(tuple(d.shapes), d.theta), directions(tuple(d.shapes), d.theta)
    linear = SparseLinear(d.rows(y, d.weights, threads), d.terms)
    e = linear.evaluate(lam, True, moved, 2)
    laplace = SparseLaplace(d.rows(counts, d.weights, threads), d.terms, None, d.weights)
    f = laplace.evaluate((FAMILIES["poisson"].kernel, LINKS["log"].kernel), BETA, lam, np.zeros(0), moved, 2)
    assert e.ok
    assert f.ok
    parts = [[e.deviance, f.deviance], e.beta, e.information, e.gradient, e.hessian, f.gradient, f.hessian, *e.u, *f.u]
    parts += [*linear.inverse_blocks(), *laplace.inverse_blocks()]
    return np.concatenate([np.ravel(part) for part in parts]), linear.shape()


@pytest.mark.parametrize("seed", SEEDS)
def test_threads_change_no_bit(seed):
    d = drawn(seed)
    y, counts = d.response("gaussian"), d.response("poisson")
    one = answers(d, y, counts, 1)[0]
    for threads in (2, 3):
        assert np.array_equal(answers(d, y, counts, threads)[0], one)


def test_threads_change_no_bit_of_a_large_design():
    d = Drawn(0, 24_000, terms=False)
    d.factors = {"a": d.rng.integers(0, 1300, d.n).astype(np.int32), "b": d.rng.integers(0, 950, d.n).astype(np.int32)}
    d.add("a", "us", 1)
    d.add("b", "us", 1)
    d.theta = np.array([0.5, 0.7])
    y, counts = d.rng.normal(size=d.n), d.rng.poisson(1.0, d.n).astype(float)
    one, (_, _, tail) = answers(d, y, counts, 1)
    assert tail >= 900
    for threads in (2, 3):
        assert np.array_equal(answers(d, y, counts, threads)[0], one)
