"""Native rows of ordinal and nominal responses against mpmath: log pi_y, its derivatives, expected information, in the tails too."""

from __future__ import annotations

import itertools

import mpmath as mp
import numpy as np
import pytest

from glimm.family import LINKS
from glimm.kernels import Block, Matrix, Rows
from glimm.kernels.levels import NOMINAL, level_information, level_jets, level_pass, level_probabilities

ORDINAL = ("logit", "probit", "cloglog", "loglog", "cauchit")
ENDS = (-700.0, -699.999, -650.0, -40.0, -9.0, -8.0, -3.5, -1.0, -0.999999, -1e-3, 0.0, 0.3, 2.0, 6.0, 6.0001, 30.0, 45.0, 690.0, 700.0)

TRIANGLE = [(c, d) for c in range(3) for d in range(c + 1)]


def above(link, e):
    """(log P(Y > c), log P(Y <= c)) of a predictor, P(Y <= c) = h(-e)."""
    q = -e
    if link == "logit":
        return -mp.log1p(mp.exp(q)), -mp.log1p(mp.exp(-q))
    if link == "probit":
        return mp.log(mp.erfc(q / mp.sqrt(2)) / 2), mp.log(mp.erfc(-q / mp.sqrt(2)) / 2)
    if link == "cloglog":
        return -mp.exp(q), mp.log(-mp.expm1(-mp.exp(q)))
    if link == "loglog":
        return mp.log(-mp.expm1(-mp.exp(-q))), -mp.exp(-q)
    return mp.log(mp.atan2(1, q) / mp.pi), mp.log(mp.atan2(1, -q) / mp.pi)


def density(link, e):
    """(f, f') of P(Y > c)."""
    if link == "logit":
        p, q = 1 / (1 + mp.exp(-e)), 1 / (1 + mp.exp(e))
        return p * q, p * q * (q - p)
    if link == "probit":
        f = mp.exp(-e * e / 2) / mp.sqrt(2 * mp.pi)
        return f, -e * f
    if link == "cloglog":
        t = mp.exp(-e)
        return t * mp.exp(-t), t * mp.exp(-t) * (t - 1)
    if link == "loglog":
        t = mp.exp(e)
        return t * mp.exp(-t), t * mp.exp(-t) * (1 - t)
    f = 1 / (mp.pi * (1 + e * e))
    return f, -2 * e * f / (1 + e * e)


def interval(link, a, b):
    """(l, l_a, l_b, l_aa, l_ab, l_bb) of log(P(Y > y - 1) - P(Y > y)); None where the level is the first or the last."""
    ua = mp.mpf(1) if a is None else mp.exp(above(link, mp.mpf(a))[0])
    da, db = (None if e is None else mp.exp(above(link, mp.mpf(e))[1]) for e in (a, b))
    if b is None:
        pi = ua
    elif a is None:
        pi = db
    else:
        ub = mp.exp(above(link, mp.mpf(b))[0])
        pi = ua - ub if ua + ub < 1 else db - da
    (fa, ga), (fb, gb) = (((mp.mpf(0), mp.mpf(0)) if e is None else density(link, mp.mpf(e))) for e in (a, b))
    ra, rb = fa / pi, fb / pi
    return mp.log(pi), ra, -rb, ga / pi - ra**2, ra * rb, -(gb / pi) - rb**2


def close(found, want, size, message):
    """Within 1e-10, relative to the number or to `size`, and above the smallest numbers of double precision."""
    far = abs(mp.mpf(float(found)) - want)
    assert far <= mp.mpf("1e-10") * (abs(want) + size) + mp.mpf("1e-290"), (message, float(found), mp.nstr(want, 15))


@pytest.mark.parametrize("link", ORDINAL)
def test_intervals(link):
    """Exponents of mpmath have no end; 700 digits are more than any difference here loses."""
    kernel = LINKS[link].kernel
    pairs = [(a, b) for a, b in itertools.product(ENDS, ENDS) if a > b]
    pairs += [(e + d, e) for e in (-700.0, -20.0, -0.1, 0.0, 3.0, 20.0, 699.0) for d in (1e-3, 1e-6, 0.4)]
    eta = np.array(pairs)
    logs, d1, d2 = level_jets(kernel, np.ones(len(eta)), eta)
    with mp.workdps(400 if link == "probit" else 700):
        for i, (a, b) in enumerate(pairs):
            want = interval(link, a, b)
            crossing = link == "cauchit"  # whose second derivatives have zeros
            close(logs[i], want[0], 0, (link, a, b, "l"))
            close(d1[0, i], want[1], 0, (link, a, b, "l_a"))
            close(d1[1, i], want[2], 0, (link, a, b, "l_b"))
            close(d2[0, i], want[3], want[1] ** 2 if crossing else 0, (link, a, b, "l_aa"))
            close(d2[1, i], want[4], 0, (link, a, b, "l_ab"))
            close(d2[2, i], want[5], want[2] ** 2 if crossing else 0, (link, a, b, "l_bb"))


@pytest.mark.parametrize("link", ORDINAL)
def test_ends(link):
    """The first and the last level; of probit and cauchit second derivatives are as good as the first are."""
    e = np.array([v for v in ENDS if -600.0 < v < 600.0])
    logs, d1, d2 = level_jets(LINKS[link].kernel, np.repeat([0.0, 2.0], len(e)), np.tile(np.column_stack([e, e - 0.5]), (2, 1)))
    with mp.workdps(700):
        for i, value in enumerate(e):
            low, high = interval(link, None, value), interval(link, value - 0.5, None)
            j = len(e) + i
            for found, want, size in (
                (logs[i], low[0], 0),
                (d1[0, i], low[2], 0),
                (d2[0, i], low[5], low[2] ** 2 if link in ("probit", "cauchit") else 0),
                (logs[j], high[0], 0),
                (d1[1, j], high[1], 0),
                (d2[2, j], high[3], high[1] ** 2 if link in ("probit", "cauchit") else 0),
            ):
                close(found, want, size, (link, value, i))
    assert not d1[1, : len(e)].any()
    assert not d2[1:, : len(e)].any()
    assert not d1[0, len(e) :].any()
    assert not d2[:2, len(e) :].any()


def nominal(eta, y):
    """(l, d1 (m,), w (m, m)) of one row."""
    e = [mp.mpf(1), *(mp.exp(mp.mpf(float(v))) for v in eta)]
    pi = [v / mp.fsum(e) for v in e]
    m = len(eta)
    d1 = [(1 if y == c + 1 else 0) - pi[c + 1] for c in range(m)]
    return mp.log(pi[y]), d1, [[(pi[c + 1] if c == k else 0) - pi[c + 1] * pi[k + 1] for k in range(m)] for c in range(m)]


def test_nominal():
    rng = np.random.default_rng(1)
    eta = np.vstack([rng.normal(0, 2, (10, 3)), [[700, -700, 0], [-700, -690, -650], [690, 700, 699.999], [1e-9, 0, 0], [-40, 45, 45]]])
    y = np.arange(len(eta)) % 4.0
    size = rng.uniform(0.5, 2.0, len(eta))
    logs, d1, d2 = level_jets(NOMINAL, y, eta, size)
    w = level_information(NOMINAL, eta, size)
    pi, relative = level_probabilities(NOMINAL, eta)
    with mp.workdps(700):
        for i in range(len(eta)):
            want = nominal(eta[i], int(y[i]))
            s = mp.mpf(float(size[i]))
            close(logs[i], s * want[0], 0, i)
            for c in range(3):
                close(d1[c, i], s * want[1][c], 0, i)
            for at, (c, k) in enumerate(TRIANGLE):
                close(w[at, i], s * want[2][c][k], 0, i)
                close(d2[at, i], -s * want[2][c][k], 0, i)
            for k in range(4):
                each = nominal(eta[i], k)
                close(pi[i, k], mp.exp(each[0]), 0, i)
                for c in range(3):
                    close(relative[i, k, c], each[1][c], 0, i)


@pytest.mark.parametrize("link", ORDINAL)
def test_expected_information(link):
    """Sum over levels of pi_k times the squared score, from mpmath."""
    rng = np.random.default_rng(2)
    eta = -np.sort(-np.vstack([rng.normal(0, 1.5, (8, 3)), [[-30, -31, -33], [33, 31, 30], [9, 0, -9]]]), axis=1)
    size = rng.uniform(0.5, 2.0, len(eta))
    w = level_information(LINKS[link].kernel, eta, size)
    pi, relative = level_probabilities(LINKS[link].kernel, eta)
    with mp.workdps(300):
        for i in range(len(eta)):
            total = mp.matrix(3, 3)
            for k in range(4):
                a, b = eta[i, k - 1] if k else None, eta[i, k] if k < 3 else None
                log_pi, ra, rb, *_ = interval(link, a, b)
                score = [mp.mpf(0)] * 3
                if k:
                    score[k - 1] = ra
                if k < 3:
                    score[k] = rb
                close(pi[i, k], mp.exp(log_pi), 0, (link, i, k))
                for c in range(3):
                    close(relative[i, k, c], score[c], 0, (link, i, k, c))
                    for d in range(3):
                        total[c, d] += mp.exp(log_pi) * score[c] * score[d]
            for at, (c, d) in enumerate(TRIANGLE):
                close(w[at, i], float(size[i]) * total[c, d], 0, (link, i, c, d))


def test_thresholds_out_of_order():
    """No level without room: log pi is -inf, and nothing is NaN."""
    for link in ORDINAL:
        logs, d1, d2 = level_jets(LINKS[link].kernel, np.ones(2), np.array([[0.0, 0.0], [0.0, 1.0]]))
        assert np.all(logs == -np.inf)
        assert not d1.any()
        assert not d2.any()


def test_positions_that_are_none():
    with pytest.raises(ValueError, match="0 to 2"):
        level_jets(NOMINAL, np.array([3.0]), np.zeros((1, 2)))


def rows_of(n=20_000, seed=3):
    rng = np.random.default_rng(seed)
    x, codes = rng.normal(50.0, 4.0, n), rng.integers(0, 3, n).astype(np.int32)
    blocks = (
        Block(np.array([0]), None, None),
        Block(np.array([1]), x, None),
        Block(np.array([2, 3]), None, (codes - 1).astype(np.int32)),
    )
    dense = np.column_stack([np.ones(n), (x - 50.0) / 4.0, codes == 1, codes == 2])
    center, scale = np.array([0.0, 50.0, 0.0, 0.0]), np.array([1.0, 4.0, 1.0, 1.0])
    y, size, offset = rng.integers(0, 4, n).astype(float), rng.uniform(0.0, 2.0, n), rng.normal(0, 0.3, n)
    return Matrix(n, 4, blocks), dense, center, scale, y, size, offset


@pytest.mark.parametrize("expected", [False, True])
@pytest.mark.parametrize("link", [*ORDINAL, None])
def test_pass_by_dense_algebra(link, expected):
    matrix, x, center, scale, y, size, offset = rows_of()
    rng, m, n = np.random.default_rng(4), 3, len(x)
    if link is None:
        parameters = rng.normal(0, 0.4, m * 4)
        eta, jacobian = x @ parameters.reshape(m, 4).T, np.einsum("cd,np->ncdp", np.eye(m), x).reshape(n, m, m * 4)
        offset = None
    else:
        parameters = np.concatenate([[-1.0, 0.2, 0.9], rng.normal(0, 0.3, 4)])
        eta = (offset + x @ parameters[m:])[:, None] - parameters[:m]
        jacobian = np.concatenate([np.broadcast_to(-np.eye(m), (n, m, m)), np.broadcast_to(x[:, None], (n, m, 4))], axis=2)
    kernel = NOMINAL if link is None else LINKS[link].kernel
    logs, d1, d2 = level_jets(kernel, y, eta, size)
    w = level_information(kernel, eta, size) if expected else -d2
    full = np.zeros((n, m, m))
    for at, (c, d) in enumerate(TRIANGLE):
        full[:, c, d] = full[:, d, c] = w[at]
    information = np.einsum("ncp,ncd,ndq->pq", jacobian, full, jacobian, optimize=True)
    score = np.einsum("ncp,cn->p", jacobian, d1)
    found = []
    for threads in (1, 2):
        rows = Rows(matrix, center, scale, y, size, offset, threads=threads)
        found.append(level_pass(rows, kernel, m, parameters, expected))
    one, two = found
    assert one.loglik == pytest.approx(logs.sum(), rel=1e-11)
    np.testing.assert_allclose(one.score, score, rtol=0, atol=1e-9 * np.abs(score).max())
    np.testing.assert_allclose(one.information, information, rtol=0, atol=1e-11 * np.abs(information).max())
    assert one.loglik == two.loglik
    assert np.array_equal(one.score, two.score)
    assert np.array_equal(one.information, two.information)
