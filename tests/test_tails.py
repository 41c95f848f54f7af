"""Averages over a normal effect, far out and over wide effects, against mpmath."""

from __future__ import annotations

import mpmath as mp
import numpy as np
import pytest

import glimm
from glimm.family import LINKS
from glimm.marginal.average import average, average_inverse, average_on_link

LOW = {"logit": lambda x: 1 / (1 + mp.exp(-x)), "cloglog": lambda x: -mp.expm1(-mp.exp(x)), "loglog": lambda x: mp.exp(-mp.exp(-x))}
HIGH = {"logit": lambda x: 1 / (1 + mp.exp(x)), "cloglog": lambda x: mp.exp(-mp.exp(x)), "loglog": lambda x: -mp.expm1(-mp.exp(-x))}
LINK = {
    "logit": lambda m, rest: mp.log(m) - mp.log(rest),
    "cloglog": lambda m, rest: mp.log(-mp.log(rest)) if m > 0.01 else mp.log(-mp.log1p(-m)),
    "loglog": lambda m, rest: -mp.log(-mp.log(m)) if rest > 0.01 else -mp.log(-mp.log1p(-rest)),
}
PLACES = [(eta, sd) for sd in (0.5, 4.0, 9.0, 60.0) for eta in (-20.0, -5.0, 0.3, 6.0, 12.0)] + [(12.0, 2.0), (-60.0, 4.0), (30.0, 4.0)]


@pytest.mark.parametrize("link", sorted(LINK))
@pytest.mark.parametrize(("eta", "sd"), PLACES)
def test_the_average_and_its_link(link, eta, sd):
    with mp.workdps(30):  # the trapezoid rule, exponentially accurate where the step is small beside pi / (2 sd)
        step, reach = (mp.mpf(1) / 64, 45) if sd < 5.0 else (mp.mpf("0.2") / sd, 12)
        z = [step * k for k in range(-int(reach / step), int(reach / step) + 1)]
        m, rest = (step * mp.fsum(f(eta + sd * v) * mp.npdf(v) for v in z) for f in (LOW[link], HIGH[link]))
        g = float(LINK[link](m, rest))
    at = LINKS[link], np.array([eta]), np.array([sd])
    assert average(*at)[0][0] == pytest.approx(float(m), abs=1e-12)
    found, by_eta, by_sd = average_on_link(*at)
    assert found[0] == pytest.approx(g, rel=1e-9, abs=1e-9)
    h = 1e-4
    for k, slope in ((1, by_eta), (2, by_sd)):
        ends = [average_on_link(LINKS[link], *(at[j] + (side * h if j == k else 0.0) for j in (1, 2)))[0][0] for side in (1.0, -1.0)]
        assert slope[0] == pytest.approx((ends[0] - ends[1]) / (2.0 * h), rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("link", [*sorted(LINK), "probit", "cauchit"])
def test_no_spread_changes_nothing(link):
    eta = np.array([-8.0, -3.0, 0.0, 2.0, 5.5])
    found, by_eta, _ = average_on_link(LINKS[link], eta, np.zeros(5))
    np.testing.assert_allclose(found, eta, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(by_eta, 1.0, rtol=1e-8)
    np.testing.assert_allclose(average_inverse(LINKS[link], eta, np.zeros(5))[0], eta, rtol=1e-9, atol=1e-12)


def test_coefficients_of_a_fit_with_means_next_to_one():
    """A mean that rounds to 1 is no obstacle: an sd of 0 gives the coefficients back."""
    rng = np.random.default_rng(1)
    x = np.concatenate([rng.normal(size=590), np.linspace(3.0, 5.0, 10)])
    y = (rng.random(600) < -np.expm1(-np.exp(x - 0.5))).astype(int)
    fit = glimm.glm("y ~ x", {"y": y, "x": x}, family="binomial", link="cloglog")
    assert fit.fittedvalues.max() == 1.0
    np.testing.assert_allclose(fit.conditional_params(0.0)["estimate"], fit.params, rtol=1e-8)
