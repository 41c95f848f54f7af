"""Rows in several linear predictors against mpmath, in the middle and where numbers are extreme."""

import mpmath as mp
import numpy as np
import pytest

from glimm.family import FAMILIES, LINKS
from glimm.kernels import jets, pair, parts_jets
from glimm.kernels.families import constant
from oracle.parts import row

CASES = [
    ("poisson", "log", ("zero",)),
    ("poisson", "identity", ("zero",)),
    ("negative_binomial", "log", ("zero", "psi")),
    ("negative_binomial", "log", ("psi",)),
    ("negative_binomial", "sqrt", ("zero", "psi")),
    ("negative_binomial1", "log", ("zero", "psi")),
    ("negative_binomial1", "log", ("psi",)),
    ("beta", "logit", ("psi",)),
    ("beta", "cloglog", ("psi",)),
    ("gamma", "log", ("psi",)),
    ("gamma", "inverse", ("psi",)),
    ("gaussian", "identity", ("psi",)),
    ("gaussian", "log", ("psi",)),
]


def ours(family, link, names, y, size, at, threads=1):
    columns = dict(zip(("eta", *names), np.atleast_2d(np.asarray(at, dtype=float).T), strict=True))
    y, size = np.atleast_1d(np.asarray(y, dtype=float)), np.atleast_1d(np.asarray(size, dtype=float))
    kernels = FAMILIES[family].kernel, LINKS[link].kernel
    return parts_jets(*kernels, y, np.ravel(columns.pop("eta")), **{k: np.ravel(v) for k, v in columns.items()}, size=size, threads=threads)


def check(family, link, names, y, size, at, tolerance=1e-10, digits=60):
    found = ours(family, link, names, y, size, [at])
    with mp.workdps(digits):
        exact = row(family, link, y, size, names, at)
    return np.concatenate([np.ravel(a) for a in found]), np.concatenate([np.ravel(a) for a in exact]), tolerance


@pytest.mark.parametrize(("family", "link", "names"), CASES)
def test_rows_equal_mpmath(family, link, names):
    rng = np.random.default_rng(3)
    support = FAMILIES[family].support
    values = {"count": [0.0, 0.0, 1.0, 3.0, 47.0], "unit": [0.03, 0.4, 0.9], "positive": [0.2, 1.0, 6.0], "real": [-2.0, 0.3, 4.0]}[support]
    for y in values:
        positive = link in ("identity", "sqrt", "inverse") and family != "gaussian"
        at = (rng.uniform(0.3, 2.0) if positive else rng.uniform(-2.0, 2.0), *rng.uniform(-2.5, 2.5, len(names)))
        found, exact, tolerance = check(family, link, names, y, rng.uniform(0.5, 3.0), at)
        np.testing.assert_allclose(found, exact, rtol=tolerance, atol=1e-12)


ZI = ("zero",)
BOTH = ("zero", "psi")


@pytest.mark.parametrize(
    ("family", "names", "y", "at"),
    [
        ("poisson", ZI, 0.0, (-700.0, 0.3)),
        ("poisson", ZI, 0.0, (700.0, 0.3)),
        ("poisson", ZI, 0.0, (3.0, -40.0)),
        ("poisson", ZI, 0.0, (3.0, 40.0)),
        ("poisson", ZI, 0.0, (0.5, -700.0)),
        ("poisson", ZI, 0.0, (0.5, 700.0)),
        ("poisson", ZI, 0.0, (6.4, -690.0)),
        ("poisson", ZI, 0.0, (-30.0, -30.0)),
        ("poisson", ZI, 5.0, (1.0, -700.0)),
        ("poisson", ZI, 5.0, (1.0, 700.0)),
        ("poisson", ZI, 1e9, (20.7, 0.1)),
        ("poisson", ZI, 7.0, (-700.0, 1.0)),
        ("negative_binomial", BOTH, 0.0, (-700.0, 0.3, 1.0)),
        ("negative_binomial", BOTH, 0.0, (700.0, 0.3, 1.0)),
        ("negative_binomial", BOTH, 0.0, (3.0, -300.0, -2.0)),
        ("negative_binomial", BOTH, 0.0, (3.0, 2.0, 20.0)),
        ("negative_binomial", BOTH, 1e9, (20.0, 0.3, 1.0)),
        ("negative_binomial", BOTH, 1e9, (20.0, 0.3, 15.0)),
        ("negative_binomial", BOTH, 12.0, (2.0, 0.3, 25.0)),
        ("negative_binomial", BOTH, 12.0, (2.0, 0.3, -12.0)),
        ("negative_binomial1", BOTH, 0.0, (-300.0, 0.3, 1.0)),
        ("negative_binomial1", BOTH, 0.0, (5.0, -3.0, -15.0)),
        ("negative_binomial1", BOTH, 1e9, (20.0, 0.3, 4.0)),
        ("negative_binomial1", BOTH, 9.0, (2.0, 0.3, 8.0)),
        ("beta", ("psi",), 1e-12, (-20.0, 1.0)),
        ("beta", ("psi",), 0.5, (0.3, 12.0)),
        ("gamma", ("psi",), 3.0, (1.0, -16.0)),
        ("gamma", ("psi",), 1e-9, (-300.0, 3.0)),
        ("gaussian", ("psi",), 1e9, (1e9 - 3.0, -8.0)),
    ],
)
def test_extreme_rows_equal_mpmath(family, names, y, at):
    """To 1e-10 of each number, or of what a double leaves of the terms that it is the difference of."""
    link = FAMILIES[family].default_link if family != "gamma" else "log"
    found, exact, tolerance = check(family, link, names, y, 1.0, at, digits=400 if np.abs(at).max() > 100.0 else 80)
    psi = at[-1] if "psi" in names else 0.0
    terms = {"poisson": y * (1 + abs(at[0])), "negative_binomial": y * (1 + abs(at[0]) + abs(psi)), "beta": np.exp(psi) * 12.0}
    terms["negative_binomial1"] = terms["negative_binomial"]
    terms |= {"gamma": np.exp(-psi) * (1 + abs(psi) + abs(at[0])), "gaussian": 1.0}
    assert np.isfinite(found).all()
    lost = terms[family] if y > 0 else abs(exact[1]) * (1.0 + np.exp(min(at[0], 20.0)))  # k or 1 / alpha drop out of these differences
    np.testing.assert_allclose(found, exact, rtol=tolerance, atol=1e-300 + 4e-15 * lost)


def test_without_zero_inflation_a_row_is_the_family_itself():
    rng = np.random.default_rng(5)
    y, eta, size = rng.poisson(3.0, 500).astype(float), rng.normal(size=500), rng.uniform(0.5, 2.0, 500)
    family, link = FAMILIES["negative_binomial"].kernel, LINKS["log"].kernel
    density, d1, d2 = parts_jets(family, link, y, eta, psi=np.full(500, 0.7), size=size)
    plain = jets(family, link, y, eta, size, [0.7])
    np.testing.assert_allclose(density.sum(), plain[0].sum() + constant(family, y, None, size, [0.7]), rtol=1e-13)
    np.testing.assert_array_equal(d1[0], plain[1])
    np.testing.assert_array_equal(d2[pair(0, 0)], plain[2])


def test_threads_change_no_bit():
    rng = np.random.default_rng(6)
    n = 40_000
    y, at = rng.poisson(1.0, n).astype(float), rng.normal(size=(n, 3))
    one, two = (ours("negative_binomial", "log", BOTH, y, np.ones(n), at, threads) for threads in (1, 2))
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a, b)
