"""Linear predictors to 700 either way, counts to 1e9, weights from 1e-8 to 1e8: derivatives against mpmath, fits without overflow."""

import mpmath as mp
import numpy as np
import pandas as pd
import pytest
from scipy import stats

import glimm
from glimm.kernels import jets, working
from kernel_cases import PSI, kernels_of
from oracle.families import log_density

ETAS = np.array([-700.0, -100.0, -30.0, -5.0, 5.0, 30.0, 100.0, 700.0])
DIGITS = 1000
CASES = [
    *(("binomial", link, y) for link in ("logit", "probit", "cloglog", "loglog", "cauchit") for y in (0.0, 1.0)),
    *(("poisson", "log", y) for y in (0.0, 3.0, 1e9)),
    *(("gamma", "log", y) for y in (1e-8, 1e9)),
    *(("inverse_gaussian", "log", y) for y in (1e-3, 1e9)),
    *(("negative_binomial", "log", y) for y in (0.0, 3.0, 1e9)),
    *(("negative_binomial1", "log", y) for y in (0.0, 1.0, 3.0)),
    ("beta", "logit", 0.2),
    *(("tweedie", "log", y) for y in (0.0, 2.0)),
    ("gaussian", "log", -3.0),
    ("gaussian", "logit", 0.3),
    ("gaussian", "probit", 0.3),
]
CANCELS = {"negative_binomial1": 1e-14, "beta": 1e-14}
"""What is left of terms of size 1 that cancel: absolute."""
LARGEST = mp.mpf("1e300")


def density(family, link, y):
    """eta -> log-density without what is free of eta."""
    psi = PSI.get(family, ())
    if family != "tweedie":
        return log_density(family, link, y, 1.0, psi)
    phi, p = mp.exp(mp.mpf(psi[0])), 1 + 1 / (1 + mp.exp(-mp.mpf(psi[1])))
    return lambda e: (y * mp.exp((1 - p) * e) / (1 - p) - mp.exp((2 - p) * e) / (2 - p)) / phi


def derivatives(f, eta):
    """First to third, by central differences of a step of 1e-150 with 1000 digits."""
    e = mp.mpf(eta)
    h = mp.mpf(10) ** -150 * max(1, abs(e))
    a, b, here, c, d = f(e - 2 * h), f(e - h), f(e), f(e + h), f(e + 2 * h)
    return (c - b) / (2 * h), (c - 2 * here + b) / h**2, (d - 2 * c + 2 * b - a) / (2 * h**3)


@pytest.mark.parametrize(("family", "link", "y"), CASES)
def test_derivatives_far_out_equal_mpmath(family, link, y):
    psi, numbers = PSI.get(family, ()), kernels_of(family, link)
    rows = np.full(len(ETAS), y)
    ours = np.array(jets(*numbers, rows, ETAS, None, psi))
    assert not np.isnan(np.array(working(*numbers, rows, ETAS, None, psi))).any()
    with mp.workdps(DIGITS):
        f = density(family, link, y)
        for i, eta in enumerate(ETAS):
            for order, exact in enumerate(derivatives(f, float(eta)), 1):
                got = ours[order, i]
                if abs(exact) > LARGEST:
                    assert not abs(got) < 1e290
                else:
                    allowed = max(1e-10 * abs(exact), mp.mpf("1e-290"), mp.mpf(CANCELS.get(family, 0.0)))
                    assert np.isfinite(got), (eta, order)
                    assert abs(mp.mpf(float(got)) - exact) <= allowed, (eta, order, got, mp.nstr(exact, 12))


RNG = np.random.default_rng(11)
X = RNG.normal(size=200)
ROWS = pd.DataFrame(
    {
        "x": X,
        "f": np.array(["a", "b", "c", "d"])[np.arange(200) % 4],
        "count": RNG.negative_binomial(2, 2 / (2 + np.exp(0.5 + 0.4 * X))).astype(float),
        "y": RNG.gamma(2.0, np.exp(0.3 + 0.2 * X) / 2.0),
        "b": (RNG.random(200) < 1 / (1 + np.exp(-X))).astype(float),
        "u": RNG.beta(2.0, 3.0, 200),
        "w": 10.0 ** RNG.uniform(-8, 8, 200),
        "t": RNG.integers(1, 9, 200).astype(float),
    }
)
ROWS["s"] = RNG.binomial(ROWS["t"].astype(int), 0.4).astype(float)
FAMILIES = {
    "gaussian": ("y", "identity"),
    "binomial": ("b", "logit"),
    "poisson": ("count", "log"),
    "gamma": ("y", "log"),
    "inverse_gaussian": ("y", "log"),
    "negative_binomial": ("count", "log"),
    "negative_binomial1": ("count", "log"),
    "tweedie(1.6)": ("y", "log"),
    "beta": ("u", "logit"),
    "quasipoisson": ("count", "log"),
    "quasibinomial": ("u", "logit"),
    "quasi(1.5)": ("y", "log"),
}


def scipys(family, fit, data):
    """The log-likelihood by scipy.stats at the fit's means and parameters, for weights that are 1."""
    mu = np.asarray(fit.fittedvalues)
    own = dict(fit.parts["family"].params) if "family" in fit.parts else {}
    y = data[FAMILIES[family][0]]
    if family == "gaussian":
        return stats.norm.logpdf(y, mu, np.sqrt(fit.deviance / fit.nobs)).sum()
    if family == "binomial":
        return stats.bernoulli.logpmf(y, mu).sum()
    if family == "poisson":
        return stats.poisson.logpmf(y, mu).sum()
    if family == "gamma":
        return stats.gamma.logpdf(y, 1 / own["phi"], scale=mu * own["phi"]).sum()
    if family == "inverse_gaussian":
        return stats.invgauss.logpdf(y, mu * own["phi"], scale=1 / own["phi"]).sum()
    if family == "negative_binomial":
        return stats.nbinom.logpmf(y, own["k"], own["k"] / (own["k"] + mu)).sum()
    if family == "negative_binomial1":
        return stats.nbinom.logpmf(y, mu / own["alpha"], 1 / (1 + own["alpha"])).sum()
    return stats.beta.logpdf(y, mu * own["precision"], (1 - mu) * own["precision"]).sum()


@pytest.mark.parametrize(
    "family", ["gaussian", "binomial", "poisson", "gamma", "inverse_gaussian", "negative_binomial", "negative_binomial1", "beta"]
)
def test_log_likelihoods_are_those_of_scipy(family):
    column, link = FAMILIES[family]
    fit = glimm.glm(f"{column} ~ x + f", ROWS, family=family, link=link)
    np.testing.assert_allclose(fit.llf, scipys(family, fit, ROWS), rtol=1e-11)


def test_log_likelihood_of_trials_is_that_of_scipy():
    fit = glimm.glm("s / t ~ x", ROWS, family="binomial")
    np.testing.assert_allclose(fit.llf, stats.binom.logpmf(ROWS["s"], ROWS["t"], fit.fittedvalues).sum(), rtol=1e-11)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_order_of_rows_and_levels_and_the_scale_of_columns_change_nothing(family):
    column, link = FAMILIES[family]
    fit = glimm.glm(f"{column} ~ x + f", ROWS, family=family, link=link)
    mixed = glimm.glm(f"{column} ~ x + f", ROWS.sample(frac=1.0, random_state=1), family=family, link=link)
    other = glimm.glm(f"{column} ~ x + C(f, contr.treatment(base='c'))", ROWS, family=family, link=link)
    large = glimm.glm(f"{column} ~ x + f", ROWS.assign(x=1e9 * ROWS["x"]), family=family, link=link)
    np.testing.assert_allclose(mixed.params, fit.params, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(mixed.bse, fit.bse, rtol=1e-7)
    np.testing.assert_allclose(other.fittedvalues, fit.fittedvalues, rtol=1e-8)
    np.testing.assert_allclose([other.params["x"], other.bse["x"]], [fit.params["x"], fit.bse["x"]], rtol=1e-7)
    np.testing.assert_allclose([1e9 * large.params["x"], 1e9 * large.bse["x"]], [fit.params["x"], fit.bse["x"]], rtol=1e-7)
    np.testing.assert_allclose([other.deviance, large.deviance, mixed.deviance], [fit.deviance] * 3, rtol=1e-9)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("weights", [1e-8, 1e8, "w"])
def test_extreme_weights(family, weights):
    """One weight for all rows changes no estimate; weights over 16 orders of magnitude give numbers."""
    column, link = FAMILIES[family]
    data = ROWS if weights == "w" else ROWS.assign(w=weights)
    fit = glimm.glm(f"{column} ~ x", data, family=family, link=link, weights="w")
    assert np.isfinite([*fit.params, *fit.bse, fit.deviance, fit.scale]).all()
    if weights != "w" and not ("family" in fit.parts and family in ("negative_binomial", "negative_binomial1", "beta")):
        plain = glimm.glm(f"{column} ~ x", data, family=family, link=link)
        np.testing.assert_allclose(fit.params, plain.params, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("family", ["poisson", "negative_binomial", "negative_binomial1", "quasipoisson"])
def test_counts_of_a_thousand_million(family):
    data = ROWS.assign(count=np.floor(ROWS["y"] * 1e9))
    fit = glimm.glm("count ~ x", data, family=family)
    assert np.isfinite([*fit.params, *fit.bse, fit.deviance, fit.scale]).all()
    if family in ("poisson", "quasipoisson"):  # the equations do not know a common factor
        small = glimm.glm("y ~ x", ROWS, family="quasipoisson")
        np.testing.assert_allclose(fit.params, small.params + np.array([np.log(1e9), 0.0]), atol=1e-8)


@pytest.mark.parametrize("family", ["poisson", "gamma", "inverse_gaussian", "negative_binomial", "tweedie(1.6)", "quasi(1.5)"])
@pytest.mark.parametrize("far", [-200.0, 200.0])
def test_a_far_offset_is_taken_back_by_the_intercept(family, far):
    column, link = FAMILIES[family]
    plain = glimm.glm(f"{column} ~ x", ROWS, family=family, link=link)
    moved = glimm.glm(f"{column} ~ x", ROWS, family=family, link=link, offset=np.full(200, far))
    np.testing.assert_allclose(moved.params + np.array([far, 0.0]), plain.params, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(moved.bse, plain.bse, rtol=1e-5)


@pytest.mark.parametrize(("family", "values"), [("negative_binomial", {"k": 1e16}), ("negative_binomial1", {"alpha": 1e-16})])
def test_counts_without_extra_spread_are_poisson_counts(family, values):
    """The incomplete beta function is off in the second digit there."""
    from glimm.inference.distributions import DISTRIBUTIONS

    y = np.arange(8.0)
    below = DISTRIBUTIONS[family].below(y, np.full(8, 2.5), values, 1.0, 1.0)
    np.testing.assert_allclose(below, stats.poisson.cdf(y, 2.5), rtol=1e-12)
