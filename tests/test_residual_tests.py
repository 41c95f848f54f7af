"""Quantile residuals and their tests: exact distributions, brute force, real refits, and the short form of residual_level_study.py."""

from __future__ import annotations

import warnings

import numpy as np
import polars as pl
import pytest
from scipy import stats

import glimm
from glimm.diagnostics.neighbours import neighbours
from glimm.diagnostics.residual_tests import Control, residual_tests, simulated, statistics
from glimm.diagnostics.smooth import smooth_quantiles, weighted_quantiles
from residual_level_study import STUDIES, TESTS, replicates, rows


def poisson_data(n=150, seed=1):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    return {"x": x, "y": rng.poisson(np.exp(0.3 + 0.5 * x))}


def below_and_at(fit, values):
    """P(Y < y) and P(Y <= y) of a GLM by scipy."""
    mu, y = fit.fittedvalues.to_numpy(), np.asarray(values, dtype=float)
    name = fit.record.family.name
    if name == "poisson":
        return stats.poisson.cdf(y - 1, mu), stats.poisson.cdf(y, mu)
    if name == "negative_binomial":
        k = fit.parts["family"].params["k"]
        return stats.nbinom.cdf(y - 1, k, k / (k + mu)), stats.nbinom.cdf(y, k, k / (k + mu))
    p = stats.norm.cdf(y, mu, np.sqrt(fit.scale))
    return p, p


@pytest.mark.parametrize("family", ["gaussian", "poisson", "negative_binomial"])
def test_against_exact_randomised_residuals(family):
    data = poisson_data()
    fit = glimm.glm("y ~ x", data, family=family)
    low, high = below_and_at(fit, data["y"])
    n = 4000
    u = np.array([fit.quantile_residuals(n, seed).to_numpy() for seed in range(4)])
    error = 5.0 * np.sqrt(0.25 / n) + 1e-3
    assert (u >= low - error).all()
    assert (u <= high + error).all()
    wide = high - low > 0.2
    if wide.any():  # ties at random: even over the interval
        inside = ((u - low) / np.where(wide, high - low, 1.0))[:, wide].ravel()
        assert stats.kstest(np.clip(inside, 0.0, 1.0), "uniform").pvalue > 1e-3


def test_trials_are_compared_as_whole_numbers():
    rng = np.random.default_rng(2)
    m = rng.integers(2, 9, 80)
    data = {"x": rng.normal(size=80), "m": m, "s": rng.binomial(m, 0.4)}
    fit = glimm.glm("s / m ~ x", data, family="binomial")
    mu = fit.fittedvalues.to_numpy()
    u = fit.quantile_residuals(4000).to_numpy()
    assert (u >= stats.binom.cdf(data["s"] - 1, m, mu) - 0.045).all()
    assert (u <= stats.binom.cdf(data["s"], m, mu) + 0.045).all()


def test_a_mixed_models_residuals_are_marginal_or_about_its_effects():
    rng = np.random.default_rng(3)
    g = np.repeat(np.arange(25), 6)
    data = {"g": g, "x": rng.normal(size=150)}
    data["y"] = data["x"] + rng.normal(size=25)[g] + rng.normal(size=150)
    fit = glimm.glmm("y ~ x + (1 | g)", data)
    fixed = fit.predict(target="typical")
    total = np.sqrt(fit.varcorr()["variance"].sum())
    n = 4000
    np.testing.assert_allclose(fit.quantile_residuals(n), stats.norm.cdf(data["y"], fixed, total), atol=0.045)
    about = stats.norm.cdf(data["y"], fit.predict(), fit.sigma)
    np.testing.assert_allclose(fit.quantile_residuals(n, effects="fitted"), about, atol=0.045)


def test_a_gees_residuals_are_of_its_margins():
    data = poisson_data(120) | {"g": np.repeat(np.arange(40), 3)}
    fit = glimm.gee("y ~ x", data, groups="g", family="poisson")
    low, high = below_and_at(fit, data["y"])
    u = fit.quantile_residuals(4000).to_numpy()
    assert ((u >= low - 0.045) & (u <= high + 0.045)).all()


def test_residuals_come_by_row_and_again_with_the_seed(counts):
    fit = glimm.glm("n ~ x", counts, family="poisson")
    u = fit.quantile_residuals(seed=5)
    assert u.index.equals(fit.fittedvalues.index)
    np.testing.assert_array_equal(u, fit.quantile_residuals(seed=5))
    assert not np.array_equal(u, fit.quantile_residuals(seed=6))
    assert ((u > 0) & (u < 1)).all()


def test_batches_give_all_simulations(monkeypatch):
    from glimm.diagnostics import quantiles

    fit = glimm.glm("y ~ x", poisson_data(50))
    monkeypatch.setattr(quantiles, "CELLS", 50 * 7)
    sizes = [b.shape for b in quantiles.batches(fit.record, 30, np.random.default_rng(1), "new")]
    assert sizes == [(50, 7)] * 4 + [(50, 2)]


# the null distribution


def test_scores_of_simulated_responses_are_the_likelihoods_slopes():
    """By finite differences of scipy's log-likelihood in beta and in log k."""
    from glimm.diagnostics.scores import scores_of

    data = poisson_data(80)
    data["y"] = np.random.default_rng(4).poisson(np.exp(0.5 * data["x"]) * np.random.default_rng(5).gamma(1.0, 1.0, 80))
    fit = glimm.glm("y ~ 0 + x", data, family="negative_binomial")
    y = np.random.default_rng(5).poisson(2.0, 80).astype(float)
    k, b = fit.parts["family"].params["k"], fit.params["x"]

    def loglik(beta, log_k):
        mu, size = np.exp(beta * data["x"]), np.exp(log_k)
        return stats.nbinom.logpmf(y, size, size / (size + mu)).sum()

    h = 1e-5
    slopes = [
        (loglik(b + h, np.log(k)) - loglik(b - h, np.log(k))) / (2 * h) * fit.record.design.mean.scale[0] ** -1,
        (loglik(b, np.log(k) + h) - loglik(b, np.log(k) - h)) / (2 * h),
    ]
    np.testing.assert_allclose(scores_of(fit.record, False)(y).score, slopes, rtol=1e-4)


def test_the_score_of_the_data_is_zero_or_what_was_estimated():
    from glimm.diagnostics.scores import scores_of

    rng = np.random.default_rng(6)
    g = np.repeat(np.arange(30), 5)
    data = {"g": g, "x": rng.normal(size=150)}
    data["y"] = rng.poisson(np.exp(0.4 * data["x"] + 0.6 * rng.normal(size=30)[g]))
    fit = glimm.glmm("y ~ x + (1 | g)", data, family="poisson", points=1)
    np.testing.assert_allclose(scores_of(fit.record, False)(fit.record.design.y).score, 0.0, atol=1e-4)
    lmm = glimm.glmm("y ~ x + (1 | g)", data)
    found = scores_of(lmm.record, True)(lmm.record.design.y)
    np.testing.assert_allclose(found.eta, lmm.predict(), rtol=1e-6)
    np.testing.assert_allclose(found.score[2:3], 0.0, atol=1e-5)


def test_the_null_distribution_is_that_of_real_refits():
    """A parametric bootstrap that fits every simulated response again has the same distribution of the statistics."""
    data = poisson_data(60, seed=8)
    fit = glimm.glm("y ~ x", data, family="poisson")
    rng = np.random.default_rng(9)
    pairs = neighbours(fit.record, None)
    drawn = simulated(fit.record, 799, rng, False)
    found = statistics(fit.record, drawn, pairs, rng)
    control = Control(drawn.scores)
    ours = [control.null(found.dispersion), control.null(found.lagged), control.null(found.zeros)]
    theirs = []
    for y in drawn.y[:, 1:400].T:
        again = glimm.glm("y ~ x", {"x": data["x"], "y": y}, family="poisson")
        mu = again.fittedvalues.to_numpy()
        r = (y - mu) / np.sqrt(mu)
        theirs.append([np.mean(r * r), np.mean(r[1:] * r[:-1]) / np.mean(r * r), np.sum(y == 0) - np.exp(-mu).sum()])
    theirs = np.array(theirs).T
    ours[2] = ours[2] - np.exp(-fit.fittedvalues.to_numpy()).sum()
    for own, other in zip(ours, theirs, strict=True):
        assert stats.ks_2samp(own, other).pvalue > 1e-3
        assert own.std() == pytest.approx(other.std(), rel=0.15)


def test_uniformity_given_estimates_is_sharper_than_the_textbook_table():
    """Lilliefors (1967): with mean and variance estimated, the 5 % point of sqrt(n) D of a normal sample is 0.886, not 1.358."""
    n = 200
    y = np.random.default_rng(10).normal(size=n)
    fit = glimm.glm("y ~ 1", {"y": y})
    rng = np.random.default_rng(11)
    drawn = simulated(fit.record, 1999, rng, False)
    null = np.abs(Control(drawn.scores).null(statistics(fit.record, drawn, None, rng).process)).max(axis=1)
    assert np.quantile(null, 0.95) * np.sqrt(n) == pytest.approx(0.886, abs=0.06)


def test_dispersion_of_one_poisson_sample_has_its_exact_distribution():
    """Given the total, counts are multinomial: sum (y - mean)^2 / mean has mean n - 1 and variance 2 (n - 1) (1 - 1 / total)."""
    y = np.random.default_rng(12).poisson(2.0, 40)
    fit = glimm.glm("y ~ 1", {"y": y}, family="poisson")
    rng = np.random.default_rng(13)
    drawn = simulated(fit.record, 3999, rng, False)
    null = 40 * Control(drawn.scores).null(statistics(fit.record, drawn, None, rng).dispersion)
    assert null.mean() == pytest.approx(39.0, abs=0.5)
    assert null.std() == pytest.approx(np.sqrt(78.0 * (1.0 - 1.0 / y.sum())), rel=0.06)


# levels and power, in the short form


RIGHT = [name for name in STUDIES if not STUDIES[name]().power]


@pytest.mark.parametrize("name", RIGHT)
def test_levels(name):
    """Of 20 data sets right tests reject 5 or fewer at 5 % (but for 3 in 10,000), and their p-values are not all large."""
    p = replicates(name, 20, 7)
    p = p[:, ~np.isnan(p).all(axis=0)]
    assert ((p <= 0.05).sum(axis=0) <= 5).all(), (p <= 0.05).sum(axis=0)
    assert ((p <= 0.5).sum(axis=0) >= 4).all(), (p <= 0.5).sum(axis=0)


@pytest.mark.parametrize("name", [name for name in STUDIES if name not in RIGHT])
def test_power(name):
    p = replicates(name, 12, 8)
    for test, share in STUDIES[name]().power.items():
        found = int((p[:, TESTS.index(test)] <= 0.05).sum())
        assert found >= stats.binom.ppf(1e-3, 12, share), (test, found)


# what is answered, and what is refused


def test_which_tests_a_family_has():
    c, eta = rows(80)
    rng = np.random.default_rng(14)
    y = np.exp(eta) * rng.gamma(3.0, 1.0 / 3.0, 80)
    for family, expected in (("gamma", {"uniformity", "outliers", "autocorrelation"}), ("tweedie(1.5)", {"zeros"})):
        table = glimm.glm("y ~ x", c | {"y": y}, family=family, link="log").residual_tests(199)
        assert expected <= set(table["test"])
        assert "dispersion" not in set(table["test"])
    binary = glimm.glm("y ~ x", c | {"y": (rng.random(80) < 0.4).astype(int)}, family="binomial").residual_tests(199)
    assert list(binary["test"]) == ["uniformity", "outliers", "autocorrelation"]


def test_the_frame_is_the_callers_kind():
    data = pl.DataFrame(poisson_data(60))
    table = glimm.glm("y ~ x", data, family="poisson").residual_tests(199)
    assert isinstance(table, pl.DataFrame)
    assert table.columns == ["test", "statistic", "expected", "p_value", "note"]
    assert table["test"].to_list() == list(TESTS)


def test_order_of_time():
    """Rows of an autoregression that have been shuffled are put in order again."""
    rng = np.random.default_rng(15)
    e = np.zeros(200)
    for t in range(1, 200):
        e[t] = 0.7 * e[t - 1] + rng.normal()
    x, mixed = rng.normal(size=200), rng.permutation(200)
    data = {"x": x[mixed], "y": (x + e)[mixed], "when": np.arange(200.0)[mixed]}
    fit = glimm.glm("y ~ x", data)
    p = {t.test: t.p_value for t in residual_tests(fit.record, 399, 1, "new", data["when"])}["autocorrelation"]
    assert p < 0.01
    statistic = {t.test: t.statistic for t in residual_tests(fit.record, 199, 1, "new", data["when"])}["autocorrelation"]
    r = fit.resid("response").to_numpy()[np.argsort(mixed)]
    assert statistic == pytest.approx((r[1:] @ r[:-1]) / (r @ r) * 200 / 199, rel=1e-9)
    named = glimm.glm("y ~ x + when", data).residual_tests(199, time="when")
    assert "in order of when" in named["note"].iloc[-1]


def test_neighbours_are_of_one_cluster(ohio):
    fit = glimm.gee("resp ~ age", ohio, groups="id", family="binomial")
    pairs = neighbours(fit.record, None)
    assert pairs.joined.sum() == 537 * 3
    assert "rows of one id" in pairs.note
    assert "autocorrelation" not in set(
        glimm.gee("resp ~ age", ohio, groups="id", corr="ar1", family="binomial").residual_tests(99)["test"]
    )


def test_blocks_of_rows_change_nothing(monkeypatch):
    from glimm.diagnostics import residual_tests as room

    fit = glimm.glm("y ~ x", poisson_data(90) | {"g": np.repeat(np.arange(30), 3)}, family="poisson", vcov={"cluster": "g"})
    pairs = neighbours(fit.record, None)
    drawn = simulated(fit.record, 99, np.random.default_rng(1), False)
    whole = statistics(fit.record, drawn, pairs, np.random.default_rng(2))
    monkeypatch.setattr(room, "BLOCK", 700)
    parts = statistics(fit.record, drawn, pairs, np.random.default_rng(2))
    for name in ("dispersion", "zeros", "lagged"):
        np.testing.assert_allclose(getattr(parts, name), getattr(whole, name), rtol=1e-12)


def test_what_is_refused(ohio):
    fit = glimm.glm("resp ~ age", ohio, family="binomial")
    for call, said in (
        (lambda: fit.quantile_residuals(5), "at least 20"),
        (lambda: fit.quantile_residuals(effects="old"), "'new' .* or 'fitted'"),
        (lambda: fit.quantile_residuals(seed="a"), "seed must be"),
        (lambda: fit.residual_tests(time="id"), r"time='id' is no column of the model .*time=data\['id'\]"),
        (lambda: fit.residual_tests(time=[1.0, 2.0]), "shape"),
        (lambda: fit.residual_tests(time=np.full(len(ohio), np.nan)), "missing in row 0"),
        (lambda: fit.residual_tests(time=["a"] * len(ohio)), "numbers"),
        (lambda: fit.plot_check(by="id"), "by='id' is no column"),
        (lambda: fit.plot_check(by=[1]), "shape"),
    ):
        with pytest.raises(glimm.GlimmError, match=said):
            call()


def test_families_without_draws_are_refused():
    data = poisson_data(60) | {"g": np.repeat(np.arange(20), 3)}
    own = glimm.CustomFamily("mine", lambda y, mu: y * np.log(mu) - mu, support="count", link="log")
    with pytest.raises(glimm.GlimmError, match="residual_tests: family 'mine' is your own"):
        glimm.glm("y ~ x", data, family=own).residual_tests()
    with pytest.raises(glimm.GlimmError, match="estimates a variance and no distribution"):
        glimm.gee("y ~ x", data, groups="g", family="negative_binomial1").quantile_residuals()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        saturated = glimm.glm("y ~ x", {"x": [1.0, 2.0], "y": [1.0, 3.0]})
    with pytest.raises(glimm.GlimmError, match="no finite estimates"):
        saturated.quantile_residuals()


# smooth quantiles


def test_smooth_quantiles_of_a_known_curve():
    rng = np.random.default_rng(16)
    x = rng.uniform(-1.0, 1.0, 30_000)
    grid, lines = smooth_quantiles(x, x**2 + rng.normal(size=30_000), span=0.1)
    inside = np.abs(grid) < 0.9
    for share, line in zip((0.25, 0.5, 0.75), lines, strict=True):
        np.testing.assert_allclose(line[inside], grid[inside] ** 2 + stats.norm.ppf(share), atol=0.16)


def test_weighted_quantiles_of_repeated_values():
    values, times = np.array([3.0, 1.0, 4.0, 1.5]), np.array([2, 5, 1, 3])
    assert weighted_quantiles(values, times.astype(float), (0.0,))[0] == 1.0
    assert weighted_quantiles(values, times.astype(float), (1.0,))[0] == 4.0
    repeated = np.repeat(values, times)
    assert weighted_quantiles(repeated, np.ones(11), (0.5,))[0] == np.median(repeated)
