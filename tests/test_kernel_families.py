"""Families and links row by row against mpmath."""

import mpmath as mp
import numpy as np
import pytest

from glimm.family import FAMILIES, resolve
from glimm.kernels import constant, jets, mean, psi_jets, variance, working
from glimm.kernels import link as link_eta
from glimm.kernels.native import native
from kernel_cases import PAIRS, PROBABILITY, PSI, RANGES, kernels_of, responses
from oracle.families import derivatives, log_density


def points(family, link, rng, n=12):
    probability = FAMILIES[family].support in ("binomial", "unit")
    if link == "log" and probability:
        eta = rng.uniform(-6, -0.01, n)
    elif link in RANGES and not (link == "identity" and family == "gaussian"):
        eta = rng.uniform(*RANGES[link], n)
    elif FAMILIES[family].support == "binomial" or family == "poisson":
        eta = np.concatenate([rng.uniform(-3, 2, n - 4), [-9.0, -6.0, 3.0, 4.5 if link != "cloglog" else 3.0]])
    else:
        eta = rng.uniform(-3, 2, n)
    return responses(family, rng, n), eta, rng.uniform(0.5, 3.0, n)


@pytest.mark.parametrize(("family", "link"), PAIRS)
def test_derivatives_equal_mpmath(family, link):
    y, eta, size = points(family, link, np.random.default_rng(7))
    psi = PSI.get(family, ())
    numbers = kernels_of(family, link)
    ours = np.array(jets(*numbers, y, eta, size, psi))
    ours[0] += [constant(numbers[0], y[i : i + 1], None, size[i : i + 1], psi) for i in range(len(y))]
    exact = np.array(
        [[float(d) for d in derivatives(log_density(family, link, *row, psi), e)] for *row, e in zip(y, size, eta, strict=True)]
    ).T
    np.testing.assert_allclose(ours, exact, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize(("family", "link"), PAIRS)
def test_information_is_the_expected_curvature(family, link):
    _, eta, size = points(family, link, np.random.default_rng(8))
    numbers, psi = kernels_of(family, link), PSI.get(family, ())
    mu, slope, _, _ = mean(numbers[1], eta)
    w = working(*numbers, mu, eta, size, psi)[2]
    if family == "negative_binomial1":  # what its variance alone tells
        np.testing.assert_allclose(w, size * slope**2 / variance(numbers[0], mu, psi), rtol=1e-12)
    elif family == "beta":  # l' has mean 0, and l'' does not depend on y: the curvature at any y less l' mu''
        _, d1, d2, _ = jets(*numbers, mu, eta, size, psi)
        np.testing.assert_allclose(w, -d2 + d1 / slope * mean(numbers[1], eta)[2], rtol=1e-9, atol=1e-13)
    else:  # E d2l is d2l at y = mu: l is linear in y
        y = np.maximum(mu, 1e-300)
        np.testing.assert_allclose(w, -jets(*numbers, y, eta, size, psi)[2], rtol=1e-8, atol=1e-13)


@pytest.mark.parametrize(("family", "link"), [pair for pair in PAIRS if pair[0] in PSI])
def test_psi_derivatives_equal_mpmath(family, link):
    y, eta, size = (a[:3] for a in points(family, link, np.random.default_rng(9)))
    psi, numbers = PSI[family], kernels_of(family, link)
    ours = psi_jets(*numbers, y, eta, size, psi)
    assert ours[0].shape == (len(psi), len(y))
    for c in range(len(psi)):
        for i in range(len(y)):

            def moved(v, order, c=c, i=i):
                at = [v if k == c else mp.mpf(psi[k]) for k in range(len(psi))]
                f = log_density(family, link, y[i], size[i], at)
                return mp.diff(f, mp.mpf(eta[i]), order) if order else f(mp.mpf(eta[i]))

            with mp.workdps(40):
                exact = [float(mp.diff(lambda v, order=order: moved(v, order), mp.mpf(psi[c]))) for order in range(3)]
            np.testing.assert_allclose([ours[0][c, i], ours[1][c, i], -ours[2][c, i]], exact, rtol=1e-10, atol=1e-11)


def test_gamma_functions_equal_mpmath():
    x = np.concatenate([10.0 ** np.linspace(-8, 8, 161), np.linspace(0.3, 12.3, 97)])
    exact = np.array([[float(mp.loggamma(v)), *(float(mp.psi(k, v)) for k in range(3))] for v in map(mp.mpf, x)]).T
    np.testing.assert_allclose(native().gamma_functions(x), exact, rtol=2e-14, atol=3e-14)


@pytest.mark.parametrize("link", sorted({link for _, link in PAIRS}))
def test_links_go_back(link):
    eta = np.linspace(*RANGES.get(link, (-2.0, 1.5)), 13)
    number = resolve("beta" if link in PROBABILITY or link.startswith("odds") else "gamma", link)[1].kernel
    np.testing.assert_allclose(link_eta(number, mean(number, eta)[0]), eta, rtol=1e-11, atol=1e-12)
