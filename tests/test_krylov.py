"""The kernels of the Krylov engine against dense algebra (oracle/dense_mixed.py, oracle/krylov.py), on designs drawn at random."""

import numpy as np
import pytest

from glimm.estimators.krylov import log_trace
from glimm.estimators.terms import directions, lambdas
from glimm.family import FAMILIES, LINKS
from glimm.kernels import KrylovLaplace, KrylovLinear, _native
from glimm.kernels.krylov import How
from glimm.kernels.native import native
from mixed_designs import BETA, PAIRS, STEP, TERMS, Drawn, drawn, laplace_twin, linear_twin
from oracle.dense_mixed import DenseLaplace, DenseLinear, blocks_of, whole_z
from oracle.krylov import DenseSchur, model_information, moment_deviations

BUILDS = [_native, native()] if native() is not _native else [_native]
SEEDS = [k for k, terms in enumerate(TERMS) if len(terms) > 1]
EXACT, ROUGH, BARE = How(1e-13, 1e-13, 2), How(1e-13, 1e-13, 0), How(1e-13, 1e-13, -1)
SHARP = 1e-24
DRAWS = 150


@pytest.fixture(params=BUILDS, ids=lambda b: b.__name__.rsplit(".", 1)[-1])
def build(request, monkeypatch):
    for module in ("matrix", "rows", "krylov"):
        monkeypatch.setattr(f"glimm.kernels.{module}.native", lambda: request.param, raising=False)
    return request.param


def linear_model(d, y, groups=1, seed=0, threads=1):
    return KrylovLinear(d.rows(y, d.weights, threads), d.terms, groups, seed)


def kernels_of(pair):
    return FAMILIES[pair[0]].kernel, LINKS[pair[1]].kernel


def laplace_model(seed, pair, threads=1):
    d, (y, trials, size, psi, _, _) = drawn(seed), laplace_twin(seed, *pair)
    model = KrylovLaplace(d.rows(y, size, threads), d.terms, (trials, d.weights), 1, 0)
    shapes = tuple(d.shapes)
    at, moved = (BETA, lambdas(shapes, d.theta), psi), directions(shapes, d.theta)
    return model, lambda how, order, tol=SHARP: model.evaluate(kernels_of(pair), at, how, moved, order, tol)


def close(mine, theirs, tolerance):
    np.testing.assert_allclose(mine, theirs, rtol=tolerance, atol=tolerance * max(1.0, np.abs(theirs).max(initial=0.0)))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("reml", [False, True], ids=["ml", "reml"])
def test_the_lmm_is_dense_normal_algebra(build, seed, reml):
    d, (y, want, gradient, information, entries) = drawn(seed), linear_twin(seed, reml)
    model, shapes = linear_model(d, y), tuple(d.shapes)
    e = model.evaluate(lambdas(shapes, d.theta), reml, EXACT, directions(shapes, d.theta), 2)
    assert e.ok
    assert e.deviance == pytest.approx(want.deviance, abs=1e-9)
    assert e.r2 == pytest.approx(want.r2, rel=1e-11)
    close(e.beta, want.beta, 1e-9)
    close(e.information, want.information, 1e-9)
    close(np.concatenate(e.u), want.u, 1e-9)
    for mine, theirs in zip(model.inverse_blocks(True), blocks_of(d.terms, np.linalg.inv(want.m)), strict=True):
        close(mine, theirs, 1e-9)
    np.testing.assert_allclose(2.0 * e.pulled, entries, rtol=1e-6, atol=2e-6)
    np.testing.assert_allclose(e.gradient, gradient, rtol=1e-6, atol=2e-6)
    np.testing.assert_allclose(e.hessian, information, rtol=1e-6, atol=1e-7 * np.abs(information).max(initial=0.0))


@pytest.mark.parametrize("seed", SEEDS)
def test_what_needs_no_probes_is_exact_without_a_factor(seed):
    d, (y, want, _, information, _) = drawn(seed), linear_twin(seed, True)
    model, shapes = linear_model(d, y), tuple(d.shapes)
    schur = DenseSchur(d.terms, want.m)
    bare = model.evaluate(lambdas(shapes, d.theta), True, BARE)
    assert bare.deviance == pytest.approx(want.deviance - schur.trace_log, abs=1e-9)
    e = model.evaluate(lambdas(shapes, d.theta), True, ROUGH, directions(shapes, d.theta), 2)
    assert e.deviance == pytest.approx(bare.deviance, abs=1e-9)
    assert e.r2 == pytest.approx(want.r2, rel=1e-10)
    close(e.beta, want.beta, 1e-9)
    close(np.concatenate(e.u), want.u, 1e-9)
    np.testing.assert_allclose(e.hessian, information, rtol=1e-6, atol=1e-7 * np.abs(information).max(initial=0.0))
    assert model.shape() == (sum(t.levels for t in d.terms), len(want.m), len(schur.s))


@pytest.mark.parametrize("seed", SEEDS)
def test_without_weights_and_with_another_response(seed):
    d = drawn(seed)
    shapes = tuple(d.shapes)
    first, second = (3.0 + d.rng.normal(size=d.n) for _ in range(2))
    model = KrylovLinear(d.rows(first), d.terms, 1, 0)
    lam, moved = lambdas(shapes, d.theta), directions(shapes, d.theta)
    model.evaluate(0.5 * lam, False, EXACT, moved, 2)
    model.respond(second)
    e = model.evaluate(lam, False, EXACT, moved, 2)
    want = DenseLinear(second, d.working, d.z, np.ones(d.n), d.offset, d.dense_lambda(), False)
    assert e.deviance == pytest.approx(want.deviance, abs=1e-9)
    close(e.beta, want.beta, 1e-9)
    close(np.concatenate(e.u), want.u, 1e-9)


@pytest.mark.parametrize("seed", SEEDS)
def test_starting_deviations_are_moments(seed):
    d, y = drawn(seed), linear_twin(seed, True)[0]
    response, root = y - d.offset, np.sqrt(d.weights)
    beta = np.linalg.lstsq(root[:, None] * d.working, root * response, rcond=None)[0]
    left = response - d.working @ beta
    s2 = float(d.weights @ left**2) / d.n
    want = moment_deviations(d.terms, d.z, d.weights, d.z.T @ (d.weights * left), s2)
    close(linear_model(d, y).moments(), want, 1e-9)


@pytest.mark.parametrize(("seed", "pair"), [(seed, PAIRS[(seed + k) % 4]) for seed in SEEDS for k in (0, 1)], ids=str)
def test_laplace_is_a_dense_newton_iteration(build, seed, pair):
    d = drawn(seed)
    want, gradient = laplace_twin(seed, *pair)[4:]
    model, evaluate = laplace_model(seed, pair)
    e = evaluate(EXACT, 2)
    assert e.ok
    assert e.deviance == pytest.approx(want.deviance, abs=1e-9)
    close(np.concatenate(e.u), want.u, 1e-8)
    for mine, theirs in zip(model.inverse_blocks(True), blocks_of(d.terms, np.linalg.inv(want.m)), strict=True):
        close(mine, theirs, 1e-8)
    np.testing.assert_allclose(e.gradient, gradient, rtol=1e-6, atol=2e-6)
    p, m = len(BETA), len(d.theta)
    np.testing.assert_allclose(e.hessian[:p, :p], 2.0 * want.information(d.working), rtol=1e-6, atol=1e-7)
    ties = model_information(want.first, want.curvature, d.z, d.dense_lambda(), d.moved_products())
    np.testing.assert_allclose(e.hessian[p : p + m, p : p + m], ties, rtol=1e-6, atol=1e-6 * np.abs(ties).max(initial=0.0))
    assert not e.hessian[:p, p:].any()


@pytest.mark.parametrize("seed", SEEDS)
def test_without_a_factor_modes_are_exact(seed):
    pair = PAIRS[seed % 4]
    d, want = drawn(seed), laplace_twin(seed, *pair)[4]
    _, evaluate = laplace_model(seed, pair)
    trace = DenseSchur(d.terms, want.m).trace_log
    assert evaluate(BARE, 0).deviance == pytest.approx(want.deviance - trace, abs=1e-9)
    e = evaluate(ROUGH, 0)
    assert e.deviance == pytest.approx(want.deviance - trace, abs=1e-9)
    close(np.concatenate(e.u), want.u, 1e-8)


def assert_unbiased(draws, want, what):
    """Means over draws within 4.7 standard errors in every entry, which are few; and entries that vary do so about the right value."""
    draws = np.asarray(draws)
    error = draws.std(axis=0, ddof=1) / np.sqrt(len(draws))
    away = np.abs(draws.mean(axis=0) - want)
    assert np.all(away <= 4.7 * error + 1e-6 * np.maximum(1.0, np.abs(want))), (what, away / np.maximum(error, 1e-300))
    return (draws.mean(axis=0) - want)[error > 1e-6] / error[error > 1e-6]


@pytest.mark.parametrize("seed", SEEDS)
def test_the_gradient_by_probes_is_unbiased(seed):
    d, (y, want, gradient, _, entries) = drawn(seed), linear_twin(seed, True)
    model, shapes = linear_model(d, y), tuple(d.shapes)
    lam, moved = lambdas(shapes, d.theta), directions(shapes, d.theta)
    schur, blocks = DenseSchur(d.terms, want.m), np.concatenate(blocks_of(d.terms, np.linalg.inv(want.m)))
    pulled, gradients, inverses, forms = [], [], [], []
    for k in range(DRAWS):
        model.redraw(1, k)
        e = model.evaluate(lam, True, ROUGH, moved, 1)
        pulled.append(2.0 * e.pulled)
        gradients.append(e.gradient)
        inverses.append(np.concatenate(model.inverse_blocks(False)))
        forms.append(model.log_quadratures().mean(axis=0))
    assert_unbiased(pulled, entries, "in Lambda")
    assert_unbiased(gradients, gradient, "in theta")
    assert_unbiased(inverses, blocks, "blocks of M^-1")
    known = [schur.trace_log, 0.0, np.sum((np.eye(len(schur.s)) - schur.scaled) ** 2)]
    assert_unbiased(forms, known, "log S_, I - S_ and its square")


@pytest.mark.parametrize("seed", SEEDS)
def test_the_gradient_of_laplace_by_probes_is_unbiased(seed):
    pair = PAIRS[(seed + 2) % 4]
    model, evaluate = laplace_model(seed, pair)
    gradients = []
    for k in range(DRAWS):
        model.redraw(1, k)
        gradients.append(evaluate(ROUGH, 1).gradient)
    assert_unbiased(gradients, laplace_twin(seed, *pair)[5], "(beta | theta | psi)")


def small_design(kind):
    """Designs with few effects beside those of the leading term."""
    d = Drawn(2, 60, terms=False)
    codes = {"lead": np.repeat(np.arange(15), 4), "c": d.rng.integers(0, 4, 60), "e": d.rng.integers(0, 3, 60)}
    d.factors = {k: v.astype(np.int32) for k, v in codes.items()}
    made = {
        "pair": [("lead", "us", 1), ("c", "us", 1)],
        "three": [("c", "us", 1), ("lead", "us", 1), ("e", "us", 1)],
        "slopes": [("lead", "us", 2), ("c", "us", 2)],
    }
    for name in made[kind]:
        d.add(*name)
    d.theta = np.concatenate([np.where(s.scales, 0.8, -0.3) for s in d.shapes])
    d.z = whole_z(d.terms, d.n)
    return d


@pytest.mark.parametrize("kind", ["pair", "three", "slopes"])
def test_quadratures_are_forms_in_signs(kind):
    """With as many steps as S has eigenvalues each is e'f(S_)e of some vector of signs, and many vectors are drawn."""
    d = small_design(kind)
    y = d.rng.normal(size=d.n)
    model = linear_model(d, y, groups=3)
    assert model.evaluate(lambdas(tuple(d.shapes), d.theta), True, ROUGH).ok
    twin = DenseSchur(d.terms, DenseLinear(y, d.working, d.z, d.weights, d.offset, d.dense_lambda(), True).m)
    forms, drawn_forms = twin.all_forms(), model.log_quadratures()
    assert drawn_forms.shape == (24, 3)
    nearest = [int(np.argmin(np.abs(forms - form).sum(axis=1))) for form in drawn_forms]
    np.testing.assert_allclose(drawn_forms, forms[nearest], rtol=1e-8, atol=1e-9)
    assert len(set(nearest)) >= 5
    np.testing.assert_allclose(forms.mean(axis=0)[0], twin.trace_log, rtol=1e-10)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_square_norm(seed):
    """tr (I - S_)^2 of two intercepts; not known of others."""
    d, (y, want, *_) = drawn(seed), linear_twin(seed, True)
    model = linear_model(d, y)
    model.evaluate(lambdas(tuple(d.shapes), d.theta), True, BARE)
    schur = DenseSchur(d.terms, want.m)
    plain = len(d.terms) == 2 and all(t.z is None and t.place is None for t in d.terms)
    if plain:
        assert model.square_norm() == pytest.approx(np.sum((np.eye(len(schur.s)) - schur.scaled) ** 2), rel=1e-10)
    else:
        assert np.isnan(model.square_norm())
    assert sum(name[1:] == ("us", 1) for name in TERMS[seed]) == 2 or not plain


def test_some_designs_have_a_square_norm():
    assert sum(all(name[1:] == ("us", 1) for name in terms) for terms in TERMS if len(terms) == 2) >= 2


def test_the_error_of_a_log_determinant_is_right_on_average():
    """z-scores of 400 estimates of tr log S_, each from 32 probes, against the dense one."""
    d = Drawn(16, 300, terms=False)
    d.factors = {"a": d.rng.integers(0, 60, 300).astype(np.int32), "c": d.rng.integers(0, 40, 300).astype(np.int32)}
    d.add("a", "us", 1)
    d.add("c", "us", 1)
    d.theta, d.z = np.array([1.1, 0.9]), whole_z(d.terms, d.n)
    y = d.rng.normal(size=d.n)
    model = linear_model(d, y)
    model.evaluate(lambdas(tuple(d.shapes), d.theta), True, BARE)
    want = DenseSchur(d.terms, DenseLinear(y, d.working, d.z, d.weights, d.offset, d.dense_lambda(), True).m).trace_log
    norm = model.square_norm()
    for square in (norm, np.nan):
        scores = []
        for k in range(400):
            model.redraw(4, k)
            assert model.probe(1e-10)
            found, error = log_trace(model.log_quadratures(), square)
            scores.append((found - want) / error)
        assert abs(np.mean(scores)) < 4.0 / np.sqrt(len(scores))
        assert 0.85 < np.std(scores) < 1.2


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("zero", [0, 1, -1])
def test_a_variance_of_zero(seed, zero):
    """Lambda with zeros on its diagonal, where A Lambda M^-1 cannot be had from the trace of M^-1."""
    d, y = drawn(seed), linear_twin(seed, True)[0]
    shapes, theta = tuple(d.shapes), d.theta.copy()
    scales = np.flatnonzero(np.concatenate([s.scales for s in shapes]))
    theta[scales[[zero % len(scales)]] if zero >= 0 else scales] = 0.0
    want = DenseLinear(y, d.working, d.z, d.weights, d.offset, d.dense_lambda(theta), True)
    model, lam, moved = linear_model(d, y), lambdas(shapes, theta), directions(shapes, theta)
    e = model.evaluate(lam, True, EXACT, moved, 2)
    assert e.deviance == pytest.approx(want.deviance, abs=1e-9)
    close(e.beta, want.beta, 1e-9)

    def at(t):
        return DenseLinear(y, d.working, d.z, d.weights, d.offset, d.dense_lambda(t), True).deviance

    gradient = np.array([(at(theta + s) - at(theta - s)) / (2 * STEP) for s in np.eye(len(theta)) * STEP])
    np.testing.assert_allclose(e.gradient, gradient, rtol=1e-6, atol=5e-6)
    draws = []
    for k in range(DRAWS):
        model.redraw(1, k)
        draws.append(model.evaluate(lam, True, ROUGH, moved, 1).gradient)
    assert_unbiased(draws, e.gradient, "at zero")


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("share", [0.01, 0.1, 0.3])
def test_small_variances(seed, share):
    """Where the gradient goes over from what the trace of M^-1 tells to what rows tell."""
    d, y = drawn(seed), linear_twin(seed, True)[0]
    shapes = tuple(d.shapes)
    theta = np.where(np.concatenate([s.scales for s in shapes]), share * d.theta, d.theta)

    def at(t):
        return DenseLinear(y, d.working, d.z, d.weights, d.offset, d.dense_lambda(t), True).deviance

    gradient = np.array([(at(theta + s) - at(theta - s)) / (2 * STEP) for s in np.eye(len(theta)) * STEP])
    model, lam, moved = linear_model(d, y), lambdas(shapes, theta), directions(shapes, theta)
    np.testing.assert_allclose(model.evaluate(lam, True, EXACT, moved, 1).gradient, gradient, rtol=1e-5, atol=1e-5)
    draws = []
    for k in range(DRAWS):
        model.redraw(1, k)
        draws.append(model.evaluate(lam, True, ROUGH, moved, 1).gradient)
    assert_unbiased(draws, model.evaluate(lam, True, EXACT, moved, 1).gradient, share)


def test_the_search_s_tolerance_tells_the_slope_at_a_small_variance():
    """Probes solved to 1e-4 leave no error of 1e-4 / variance."""
    d = Drawn(17, 400, terms=False)
    d.factors = {"a": d.rng.integers(0, 80, 400), "c": d.rng.integers(0, 30, 400), "e": d.rng.integers(0, 20, 400)}
    d.factors = {k: v.astype(np.int32) for k, v in d.factors.items()}
    for name in "ace":
        d.add(name, "us", 1)
    y, shapes = d.rng.normal(size=d.n), tuple(d.shapes)
    model = KrylovLinear(d.rows(y), d.terms, 1, 0)
    for small in (1e-2, 1e-3, 1e-4):
        theta = np.array([0.8, 0.8, small])
        lam, moved = lambdas(shapes, theta), directions(shapes, theta)
        rough, sharp = (model.evaluate(lam, True, How(1e-10, tol), moved, 1).gradient[2] / small for tol in (1e-4, 1e-12))
        assert rough == pytest.approx(sharp, rel=1e-2)


def answers(seed, y, pair, threads):
    """Everything both kernels say, with probes and without, as one list of numbers."""
    d = drawn(seed)
    shapes = tuple(d.shapes)
    lam, moved = lambdas(shapes, d.theta), directions(shapes, d.theta)
    parts = []
    for how in (EXACT, ROUGH):
        linear = linear_model(d, y, threads=threads)
        e = linear.evaluate(lam, True, how, moved, 2)
        laplace, evaluate = laplace_model(seed, pair, threads)
        f = evaluate(how, 2)
        assert e.ok
        assert f.ok
        parts += [[e.deviance, f.deviance], e.beta, e.information, e.gradient, e.hessian, f.gradient, f.hessian, *e.u, *f.u]
        parts += [*linear.inverse_blocks(how is EXACT), *laplace.inverse_blocks(how is EXACT)]
        if how is ROUGH:
            parts += [linear.log_quadratures(), laplace.log_quadratures(), [linear.square_norm()]]
    return np.concatenate([np.ravel(part) for part in parts])


@pytest.mark.parametrize("seed", SEEDS)
def test_threads_change_no_bit(seed):
    y = linear_twin(seed, True)[0]
    one = answers(seed, y, PAIRS[seed % 4], 1)
    for threads in (2, 3):
        assert np.array_equal(answers(seed, y, PAIRS[seed % 4], threads), one, equal_nan=True)


@pytest.mark.parametrize("kind", ["pair", "slopes"])
def test_threads_change_no_bit_of_many_rows(kind):
    """Enough rows for sums that are kept apart."""
    d = Drawn(0, 20_000, terms=False)
    d.factors = {"a": d.rng.integers(0, 900, d.n).astype(np.int32), "b": d.rng.integers(0, 500, d.n).astype(np.int32)}
    for name, q in (("a", 1), ("b", 1 if kind == "pair" else 2)):
        d.add(name, "us", q)
    d.theta = np.concatenate([np.where(s.scales, 0.6, 0.2) for s in d.shapes])
    y, lam, moved = d.rng.normal(size=d.n), lambdas(tuple(d.shapes), d.theta), directions(tuple(d.shapes), d.theta)
    found = []
    for threads in (1, 2, 3):
        e = linear_model(d, y, threads=threads).evaluate(lam, True, How(1e-8, 1e-4), moved, 2)
        found.append(np.concatenate([[e.deviance], e.beta, e.gradient, e.hessian.ravel(), *e.u]))
    assert np.array_equal(found[1], found[0])
    assert np.array_equal(found[2], found[0])


@pytest.mark.parametrize("seed", SEEDS)
def test_a_seed_gives_its_probes_again(seed):
    d, (y, want, *_) = drawn(seed), linear_twin(seed, True)
    lam, moved = lambdas(tuple(d.shapes), d.theta), directions(tuple(d.shapes), d.theta)
    model, fresh = linear_model(d, y), linear_model(d, y, 2, 7)
    model.evaluate(lam, True, EXACT, moved, 2)
    model.release()
    model.redraw(2, 7)
    mine, theirs = (m.evaluate(lam, True, ROUGH, moved, 1).gradient for m in (model, fresh))
    np.testing.assert_allclose(mine, theirs, rtol=1e-10, atol=1e-10)
    model.redraw(2, 8)
    moves = np.abs(model.evaluate(lam, True, ROUGH, moved, 1).gradient - theirs).max()
    schur = DenseSchur(d.terms, want.m)
    assert (moves > 1e-6) != np.allclose(schur.scaled, np.eye(len(schur.s)), atol=1e-12)


def test_a_chain_takes_many_steps_and_ends():
    """Each level of the leading term ties two neighbours of 400 levels: S is next to singular with large variances."""
    d = Drawn(0, 1596, terms=False)
    low = np.arange(399)
    d.factors = {
        "user": np.repeat(np.arange(798), 2).astype(np.int32),
        "item": np.stack([np.repeat(low, 2), np.repeat(low + 1, 2)], axis=1).ravel().astype(np.int32),
    }
    d.add("user", "us", 1)
    d.add("item", "us", 1)
    d.theta, d.z = np.array([30.0, 30.0]), whole_z(d.terms, d.n)
    y = d.rng.normal(size=d.n)
    model = linear_model(d, y)
    e = model.evaluate(lambdas(tuple(d.shapes), d.theta), True, EXACT, directions(tuple(d.shapes), d.theta), 1)
    want = DenseLinear(y, d.working, d.z, d.weights, d.offset, d.dense_lambda(), True)
    assert e.deviance == pytest.approx(want.deviance, abs=1e-7)
    close(np.concatenate(e.u), want.u, 1e-8)
    assert 100 < model.most_steps() < 2000


def test_another_psi_has_other_modes():
    """What is kept of one evaluation belongs to its parameters, to its accuracy and to its probes."""
    seed, pair = 3, ("gaussian", "log")
    d, (y, _, size, _, _, _) = drawn(seed), laplace_twin(seed, *pair)
    shapes = tuple(d.shapes)
    lam, moved = lambdas(shapes, d.theta), directions(shapes, d.theta)
    model, _ = laplace_model(seed, pair)
    for psi in (-0.3, 0.1):
        coarse = model.evaluate(kernels_of(pair), (BETA, lam, np.array([psi])), EXACT, moved, 0, 1e-3)
        e = model.evaluate(kernels_of(pair), (BETA, lam, np.array([psi])), EXACT, moved, 1, SHARP)
        want = DenseLaplace(pair, y, size, d.working, d.offset, BETA, d.z @ d.dense_lambda(), psi)
        close(np.concatenate(e.u), want.u, 1e-8)
        assert coarse.ok


def test_one_term_has_no_crossed_system():
    d = drawn(0)
    with pytest.raises(ValueError, match="two random terms"):
        linear_model(d, np.zeros(d.n))
    with pytest.raises(ValueError, match="two random terms"):
        KrylovLaplace(d.rows(np.zeros(d.n)), d.terms, (None, None), 1, 0)
