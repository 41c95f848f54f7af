"""zero= and dispersion=: closed forms, identities with plain fits, finite differences, recovered parameters, trouble, faces."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, stats

import glimm
from glimm.design.coordinates import to_named
from glimm.design.parts import build_parts
from glimm.design.records import Spec
from glimm.errors import GlimmError, GlimmWarning, NotYetError
from glimm.estimators.predictors import predictors
from glimm.family import resolve

RNG = np.random.default_rng(12)
N = 400


def made(n=N, rng=RNG):
    x, g = rng.normal(size=n), rng.choice(["a", "b", "c"], n)
    mu = np.exp(0.8 + 0.4 * x + 0.5 * (g == "b"))
    k = np.exp(0.4 - 0.5 * x)
    pi = 1.0 / (1.0 + np.exp(1.0 - 0.8 * x))
    counts = rng.poisson(rng.gamma(k, mu / k))
    p, precision = 1.0 / (1.0 + np.exp(-0.5 * x)), np.exp(1.5 + 0.5 * x)
    phi = np.exp(-0.5 + 0.4 * x)
    return pd.DataFrame(
        {
            "x": x,
            "g": g,
            "o": rng.uniform(-0.3, 0.3, n),
            "id": np.arange(n) // 4,
            "w": rng.integers(1, 4, n).astype(float),
            "nb": counts,
            "zinb": np.where(rng.random(n) < pi, 0, counts),
            "zip": np.where(rng.random(n) < pi, 0, rng.poisson(mu)),
            "poisson": rng.poisson(mu),
            "beta": np.clip(rng.beta(p * precision, (1.0 - p) * precision), 1e-7, 1 - 1e-7),
            "gamma": rng.gamma(1.0 / phi, mu * phi),
            "gaussian": 1.0 + 0.5 * x + np.sqrt(phi) * rng.normal(size=n),
        }
    )


DATA = made()
CASES = [
    ("zip ~ x + g", "poisson", {"zero": "~ x"}),
    ("zinb ~ x", "negative_binomial", {"zero": "~ x + offset(o)", "dispersion": "~ x"}),
    ("zinb ~ x", "negative_binomial", {"zero": "~ 1", "weights": "w"}),
    ("zinb ~ x", "negative_binomial1", {"zero": "~ x", "dispersion": "~ g"}),
    ("nb ~ x + g", "negative_binomial", {"dispersion": "~ x"}),
    ("beta ~ x", "beta", {"dispersion": "~ x", "weights": "w"}),
    ("gamma ~ x", "gamma", {"dispersion": "~ x + offset(o)", "weights": "w", "link": "log"}),
    ("gaussian ~ x", "gaussian", {"dispersion": "~ x + g", "weights": "w"}),
]


def problem_of(formula, family, more):
    own, link = resolve(family, more.get("link"))
    parts = {name: more.get(name) for name in ("weights", "zero", "dispersion")}
    return predictors(build_parts(Spec("glm", formula, own, link, **parts), DATA), own, 1)


@pytest.mark.parametrize(("formula", "family", "more"), CASES)
def test_gradient_and_hessian_equal_finite_differences(formula, family, more):
    problem = problem_of(formula, family, more)
    v = np.random.default_rng(4).normal(scale=0.3, size=problem.size)
    _, _, gradient, hessian = problem.evaluate(v)
    h = 1e-5
    for j in range(problem.size):
        step = np.eye(problem.size)[j] * h
        (_, up, g_up, _), (_, down, g_down, _) = problem.evaluate(v + step), problem.evaluate(v - step)
        assert gradient[j] == pytest.approx((up - down) / (2 * h), rel=1e-6, abs=1e-4)
        np.testing.assert_allclose(hessian[j], (g_up - g_down) / (2 * h), rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize(("formula", "family", "more"), CASES)
def test_the_gradient_is_zero_at_the_end_and_threads_change_no_bit(formula, family, more):
    one, two = (glimm.glm(formula, DATA, family=family, control=glimm.Control(threads=t), **more) for t in (1, 2))
    np.testing.assert_array_equal(one.record.vector, two.record.vector)
    np.testing.assert_array_equal(one.bse, two.bse)
    assert one.record.solution.code == "converged"
    h = one.record.curvature
    assert one.record.solution.gradient @ np.linalg.solve(h, one.record.solution.gradient) < 1e-14


def test_zero_inflated_poisson_without_predictors_has_a_closed_form():
    """The positive counts are a truncated Poisson sample, and the zeros are fitted exactly."""
    y = DATA["zip"]
    fit = glimm.glm("zip ~ 1", DATA, family="poisson", zero="~ 1")
    mu = optimize.brentq(lambda m: m / -np.expm1(-m) - y[y > 0].mean(), 0.1, 50.0, xtol=1e-14)
    rest = np.mean(y > 0) / -np.expm1(-mu)
    assert fit.params.iloc[0] == pytest.approx(np.log(mu), abs=1e-9)
    assert fit.parts["zero"].params.iloc[0] == pytest.approx(np.log((1 - rest) / rest), abs=1e-9)
    own = np.where(y == 0, np.log(1 - rest + rest * np.exp(-mu)), np.log(rest) + stats.poisson.logpmf(y, mu))
    assert fit.llf == pytest.approx(own.sum(), abs=1e-9)
    assert fit.fittedvalues.iloc[0] == pytest.approx(y.mean(), rel=1e-9)


def test_gaussian_by_groups_has_a_closed_form():
    fit = glimm.glm("gaussian ~ 0 + g", DATA, dispersion="~ 0 + g")
    by = DATA.groupby("g")["gaussian"]
    np.testing.assert_allclose(fit.params, by.mean(), rtol=1e-9)
    np.testing.assert_allclose(np.exp(fit.parts["dispersion"].params), by.std(ddof=0), rtol=1e-9)
    np.testing.assert_allclose(fit.bse, by.std(ddof=0) / np.sqrt(by.size()), rtol=1e-8)
    np.testing.assert_allclose(fit.parts["dispersion"].bse, np.sqrt(0.5 / by.size()), rtol=1e-8)


@pytest.mark.parametrize("family", ["negative_binomial", "negative_binomial1", "beta", "gamma", "gaussian"])
def test_one_dispersion_is_the_plain_family(family):
    y = {"negative_binomial": "nb", "negative_binomial1": "nb"}.get(family, family)
    link = "log" if family == "gamma" else None
    plain = glimm.glm(f"{y} ~ x + g", DATA, family=family, link=link)
    fit = glimm.glm(f"{y} ~ x + g", DATA, family=family, link=link, dispersion="~ 1")
    assert fit.llf == pytest.approx(plain.llf, abs=1e-8)
    assert fit.aic == pytest.approx(plain.aic, abs=1e-7)
    if family == "gaussian":
        sigma = np.sqrt(np.mean((DATA[y] - plain.fittedvalues) ** 2))
        np.testing.assert_allclose(fit.bse, plain.bse * np.sqrt(plain.df_resid / N), rtol=1e-7)  # at the ML sigma
    else:
        sigma = plain.parts["family"].params.iloc[0]
    np.testing.assert_allclose(fit.params, plain.params, rtol=1e-7, atol=1e-9)
    assert np.exp(fit.parts["dispersion"].params.iloc[0]) == pytest.approx(sigma, rel=1e-7)
    if family in ("negative_binomial1", "beta"):  # both by the joint observed information
        np.testing.assert_allclose(fit.bse, plain.bse, rtol=1e-6)


@pytest.mark.parametrize("zero", ["~ 1", "~ x"])
def test_no_extra_zeros_is_the_plain_fit(zero):
    few = DATA[DATA["poisson"] > 0]
    plain = glimm.glm("poisson ~ x", few, family="poisson")
    with pytest.warns(GlimmWarning, match="probability of an extra zero is zero"):
        fit = glimm.glm("poisson ~ x", few, family="poisson", zero=zero)
    assert fit.record.solution.code == "boundary"
    assert fit.converged
    assert fit.llf == pytest.approx(plain.llf, abs=1e-8)
    np.testing.assert_allclose(fit.params, plain.params, atol=1e-8)
    np.testing.assert_allclose(fit.bse, plain.bse, rtol=1e-6)
    assert fit.parts["zero"].bse.isna().all()
    np.testing.assert_allclose(fit.predict(few, interval="confidence"), plain.predict(few, interval="confidence"), rtol=1e-6)


def test_counts_that_vary_no_more_than_poisson_counts_say_so():
    even = pd.DataFrame({"y": np.tile([2, 3, 4, 3], 30), "x": np.tile([0.0, 1.0, 2.0], 40)})
    for family in ("negative_binomial", "negative_binomial1"):
        with pytest.warns(GlimmWarning, match="vary no more than Poisson counts"):
            fit = glimm.glm("y ~ x", even, family=family, dispersion="~ x")
        plain = glimm.glm("y ~ x", even, family="poisson")
        np.testing.assert_allclose(fit.params, plain.params, atol=1e-6)
        np.testing.assert_allclose(fit.bse, plain.bse, rtol=1e-4)
        assert fit.parts["dispersion"].bse.isna().all()


def test_parameters_are_recovered():
    fit = glimm.glm("zinb ~ x + g", made(30_000, np.random.default_rng(2)), family="negative_binomial", zero="~ x", dispersion="~ x")
    truth = {"Intercept": 0.8, "x": 0.4, "g[T.b]": 0.5, "g[T.c]": 0.0}
    z = [
        (fit.params - pd.Series(truth)) / fit.bse,
        (fit.parts["zero"].params - [-1.0, 0.8]) / fit.parts["zero"].bse,
        (fit.parts["dispersion"].params - [0.4, -0.5]) / fit.parts["dispersion"].bse,
    ]
    z = np.concatenate(z)
    assert np.abs(z).max() < 3.5
    assert 0.3 < np.mean(z**2) < 2.5
    assert fit.bse.max() < 0.06


@pytest.mark.parametrize(("formula", "family", "more"), CASES)
def test_effects_equal_brute_force(formula, family, more):
    """Averages of predictions at two values, their errors by differences over the joint vector."""
    fit = glimm.glm(formula, DATA, family=family, **more)
    record = fit.record
    weights = np.ones(N) if "weights" not in more else DATA["w"].to_numpy()

    def eta(name, vector, x):
        part = record.design.parts[name]
        dense = part.matrix.dense().copy()
        if "x" in part.names:
            dense[:, part.names.index("x")] = x
        return dense @ vector[record.blocks[name]] + (0.0 if part.offset is None else part.offset)

    def average(vector, x):
        inverse = {"log": np.exp, "identity": lambda e: e, "logit": lambda e: 1 / (1 + np.exp(-e))}
        m = inverse[record.design.mean.link.name](eta("mean", vector, x))
        if "zero" in record.eta:
            m = m / (1 + np.exp(eta("zero", vector, x)))
        return np.average(m, weights=weights)

    a = np.zeros((len(record.vector),) * 2)
    for name, at in record.blocks.items():
        a[at, at] = to_named(record.design.parts[name]) if name in record.design.parts else 1.0
    cov = a @ np.linalg.inv(record.curvature) @ a.T
    h = 1e-5
    gradients = np.array(
        [
            [(average(record.vector + e, x) - average(record.vector - e, x)) / (2 * h) for e in np.eye(len(record.vector)) * h]
            for x in (0.0, 1.0)
        ]
    )
    low, high = (average(record.vector, x) for x in (0.0, 1.0))
    difference = gradients[1] - gradients[0]
    table = fit.effect("x", values=(0, 1))
    assert table["estimate"].iloc[0] == pytest.approx(high - low, rel=1e-9)
    assert table["std_error"].iloc[0] == pytest.approx(np.sqrt(difference @ cov @ difference), rel=1e-6)
    if family != "gaussian":
        logs = gradients[1] / high - gradients[0] / low
        table = fit.effect("x", "ratio", values=(0, 1))
        assert table["estimate"].iloc[0] == pytest.approx(high / low, rel=1e-9)
        assert table["std_error"].iloc[0] == pytest.approx(high / low * np.sqrt(logs @ cov @ logs), rel=1e-6)
    table = fit.means({"x": [0, 1]})
    np.testing.assert_allclose(table["estimate"], [low, high], rtol=1e-9)
    np.testing.assert_allclose(table["std_error"], np.sqrt(np.einsum("ip,pq,iq->i", gradients, cov, gradients)), rtol=1e-6)


def test_slope_and_subgroups_go_through_every_part():
    fit = glimm.glm("zip ~ x + g", DATA, family="poisson", zero="~ x")
    h = 1e-5
    moved = [fit.predict(DATA.assign(x=DATA["x"] + s)) for s in (h, -h)]
    each = (moved[0] - moved[1]) / (2 * h)
    assert fit.slope("x")["estimate"].iloc[0] == pytest.approx(each.mean(), rel=1e-6)
    by = fit.slope("x", by="g")
    np.testing.assert_allclose(by["estimate"], pd.Series(each).groupby(DATA["g"]).mean()[by["g"]], rtol=1e-6)
    other = DATA.head(50)
    assert fit.means(population=other)["estimate"].iloc[0] == pytest.approx(fit.predict(other).mean(), rel=1e-9)


def test_a_predictor_of_zeros_alone_moves_the_mean():
    fit = glimm.glm("zip ~ 1", DATA, family="poisson", zero="~ x")
    assert fit.effect("x", values=(0, 1))["estimate"].iloc[0] < 0.0
    fit = glimm.glm("nb ~ g", DATA, family="negative_binomial", dispersion="~ x")
    with pytest.raises(GlimmError, match=r"'x' is in dispersion= only"):
        fit.effect("x")


def test_sampled_errors_are_those_of_a_sample():
    """With the rows a sample, the variance of an average is that of its influence, own rows included."""
    fit = glimm.glm("zip ~ 1", DATA, family="poisson", zero="~ 1")
    table = fit.means(errors="sampled")  # the mean of y is fitted exactly
    assert table["std_error"].iloc[0] == pytest.approx(DATA["zip"].std(ddof=0) / np.sqrt(N), rel=1e-6)


def test_rows_are_dropped_together_and_new_data_are_replayed():
    data = DATA.assign(x=DATA["x"].where(DATA.index != 3), o=DATA["o"].where(DATA.index != 5), g=DATA["g"].where(DATA.index != 7))
    fit = glimm.glm("zinb ~ x", data, family="negative_binomial", zero="~ g", dispersion="~ x + offset(o)")
    assert fit.nobs == N - 3
    assert dict(fit.missing.by_variable) == {"x": 1, "g": 1, "o": 1}
    same = glimm.glm("zinb ~ x", data.drop(index=[3, 5, 7]), family="negative_binomial", zero="~ g", dispersion="~ x + offset(o)")
    np.testing.assert_array_equal(fit.params, same.params)
    np.testing.assert_allclose(fit.predict(data)[[0, 1, 2, 4]], fit.fittedvalues.iloc[:4], rtol=1e-12)
    assert np.isnan(fit.predict(data)[[3, 5, 7]]).all()
    with pytest.raises(GlimmError, match="no column 'g'"):
        fit.predict(data[["x", "o"]])
    with pytest.raises(GlimmError, match="missing values"):
        glimm.glm("zinb ~ x", data, family="poisson", zero="~ g", missing="error")


def test_rank_is_decided_in_each_part():
    data = DATA.assign(twice=2.0 * DATA["x"])
    fit = glimm.glm("zip ~ x", data, family="poisson", zero="~ x + twice")
    assert list(fit.parts["zero"].params.index) == ["Intercept", "x"]
    assert list(fit.dropped) == ["zero: twice"]
    np.testing.assert_array_equal(fit.params, glimm.glm("zip ~ x", data, family="poisson", zero="~ x").params)
    assert "twice of zero" in str(fit.summary())


def test_a_given_parameter_stays():
    fit = glimm.glm("zinb ~ x", DATA, family="negative_binomial(1.5)", zero="~ x")
    assert list(fit.parts) == ["zero"]
    free = glimm.glm("zinb ~ x", DATA, family="negative_binomial", zero="~ x")
    k = free.parts["family"].params["k"]
    again = glimm.glm("zinb ~ x", DATA, family=f"negative_binomial({float(k)!r})", zero="~ x")
    np.testing.assert_allclose(again.params, free.params, atol=1e-7)
    assert fit.llf < free.llf == pytest.approx(again.llf, abs=1e-9)
    assert fit.predict(DATA.head(1), scale="dispersion")[0] == pytest.approx(1.5)


@pytest.mark.parametrize(
    ("family", "more", "error", "words"),
    [
        ("poisson", {"dispersion": "~ x"}, GlimmError, "negative_binomial"),
        ("gaussian", {"zero": "~ x"}, GlimmError, "extra zero of a count"),
        ("tweedie", {"dispersion": "~ x"}, NotYetError, "dispersion= is there for"),
        ("tweedie", {"zero": "~ x"}, GlimmError, "zero="),
        ("binomial", {"dispersion": "~ x"}, GlimmError, "dispersion= is there for"),
        ("negative_binomial(2)", {"dispersion": "~ x"}, GlimmError, "given k"),
        ("poisson", {"zero": "x"}, GlimmError, "zero='~ x'"),
        ("poisson", {"zero": "y ~ x"}, GlimmError, "left side"),
        ("poisson", {"zero": "~ x + (1 | g)"}, NotYetError, "random effects"),
        ("poisson", {"zero": "~ q"}, GlimmError, r"no column 'q' in the data, needed by zero="),
        ("poisson", {"zero": "~ zip"}, GlimmError, "both the response and a predictor in zero="),
        ("poisson", {"zero": "~ 0"}, GlimmError, "no coefficients"),
        ("poisson", {"zero": 1}, GlimmError, "as text"),
        ("poisson", {"zero": "~ x", "vcov": "HC3"}, NotYetError, "HC3"),
        ("poisson", {"zero": "~ x", "vcov": {"cluster": ["id", "g"]}}, NotYetError, "one direction"),
        ("poisson", {"zero": "~ x", "vcov": {"cluster": "id", "small": True}}, NotYetError, "'small'"),
        ("poisson", {"zero": "~ x", "vcov": {"cluster": "id", "df": "k_minus_1"}}, NotYetError, "'df'"),
        ("poisson", {"zero": "~ x", "vcov": "jackknife"}, NotYetError, "jackknife"),
        ("poisson", {"zero": "~ x", "weights": glimm.frequency("w")}, NotYetError, "frequency"),
        ("poisson", {"zero": "~ x", "weights": glimm.sampling("w")}, NotYetError, "sampling"),
        ("poisson", {"zero": "~ x", "scale": 2.0}, GlimmError, "scale="),
        ("quasipoisson", {"zero": "~ x"}, GlimmError, "extra zero of a count"),
        ("quasipoisson", {"dispersion": "~ x"}, GlimmError, "dispersion= is there for"),
    ],
)
def test_what_cannot_be_fitted_says_why(family, more, error, words):
    with pytest.raises(error, match=words):
        glimm.glm("zip ~ x", DATA, family=family, **more)


def test_coefficients_without_an_end_have_no_standard_error():
    data = pd.DataFrame(
        {"g": np.repeat(["a", "b"], 60), "y": np.concatenate([np.tile([0, 0, 3, 4, 2, 3], 10), np.tile([2, 3, 4, 1, 3, 2], 10)])}
    )
    with pytest.warns(GlimmWarning, match=r"g\[T.b\] of the zero part has no finite estimate"):
        fit = glimm.glm("y ~ g", data, family="poisson", zero="~ g")
    assert fit.record.solution.code == "separated"
    assert not fit.converged
    assert fit.parts["zero"].bse.isna().tolist() == [False, True]
    b = data[data["g"] == "b"]
    alone = glimm.glm("y ~ 1", b, family="poisson")
    assert fit.params.sum() == pytest.approx(alone.params.iloc[0], abs=1e-7)
    own = data[data["g"] == "a"]
    first = glimm.glm("y ~ 1", own, family="poisson", zero="~ 1")
    assert fit.bse.iloc[0] == pytest.approx(first.bse.iloc[0], rel=1e-6)
    assert fit.parts["zero"].bse.iloc[0] == pytest.approx(first.parts["zero"].bse.iloc[0], rel=1e-6)
    with pytest.warns(GlimmWarning, match="effect"):
        fit.effect("g")


def test_a_group_of_zeros_alone_is_separated():
    data = pd.DataFrame({"g": np.repeat(["a", "b"], 60), "y": np.concatenate([np.tile([0, 0, 3, 4, 2, 3], 10), np.zeros(60)])})
    with pytest.warns(GlimmWarning, match="no finite estimate"):
        fit = glimm.glm("y ~ g", data, family="poisson", zero="~ g")
    assert not fit.converged
    assert fit.bse.isna().tolist()[1]
    assert fit.parts["zero"].bse.isna().tolist()[1]


@pytest.mark.parametrize("seed", range(6))  # some of these have derivatives beyond the largest double on the way
def test_rows_without_variation_have_no_largest_density(seed):
    rng = np.random.default_rng(seed)
    data = pd.DataFrame({"g": np.repeat(["a", "b"], 20), "y": np.concatenate([rng.normal(size=20), np.full(20, 2.0)])})
    with pytest.warns(GlimmWarning, match="dispersion goes to zero in 20 rows, which the mean fits exactly"):
        fit = glimm.glm("y ~ g", data, dispersion="~ g")
    assert not fit.converged


def test_what_is_not_there_says_so():
    fit = glimm.glm("zip ~ x", DATA, family="poisson", zero="~ 1")
    for name in (
        "check",
        "plot",
        "influence",
        "quantile_residuals",
        "residual_tests",
        "plot_check",
        "icc",
        "marginal_params",
        "to_marginaleffects",
    ):
        with pytest.raises(NotYetError, match=f"fit.{name} is not there with zero="):
            getattr(fit, name)()
    assert not hasattr(fit, "deviance")
    assert not hasattr(fit, "refit")
    for kind in ("deviance", "working"):
        with pytest.raises(NotYetError):
            fit.resid(kind)
    with pytest.raises(NotYetError):
        fit.effect("x", errors="bootstrap")
    for interval in ("prediction", "cluster"):
        with pytest.raises(NotYetError):
            fit.predict(interval=interval)
    with pytest.raises(NotYetError):
        glimm.compare(fit, fit)
    with pytest.raises(NotYetError):
        glimm.report(fit, "page.html")
    with pytest.raises(GlimmError, match="scale must be"):
        fit.predict(scale="mean")
    with pytest.raises(GlimmError, match="no parameter"):
        fit.predict(scale="dispersion")
    varied = glimm.glm("gaussian ~ x", DATA, dispersion="~ x")
    assert not hasattr(varied, "scale")


def test_faces():
    fit = glimm.glm("zinb ~ x + g", DATA, family="negative_binomial", zero="~ x", dispersion="~ g", vcov={"cluster": "id"})
    back = pickle.loads(pickle.dumps(fit))
    np.testing.assert_array_equal(back.bse, fit.bse)
    tidy = fit.tidy()
    assert tidy["part"].tolist() == ["mean"] * 4 + ["zero"] * 2 + ["dispersion"] * 3
    np.testing.assert_array_equal(tidy["std_error"][4:6], fit.parts["zero"].bse)
    np.testing.assert_array_equal(tidy[["conf_low", "conf_high"]][6:], fit.parts["dispersion"].conf_int())
    np.testing.assert_array_equal(tidy["p_value"][4:6], fit.parts["zero"].pvalues)
    assert fit.glance()["df_resid"][0] == N - 9
    np.testing.assert_array_equal(fit.augment()["fitted"], fit.fittedvalues)
    assert fit.wald_test("g").df == 2
    assert fit.wald_test_terms()["term"].tolist() == ["Intercept", "x", "g"]
    mu, pi = fit.predict(scale="conditional"), fit.predict(scale="zero")
    np.testing.assert_allclose(fit.predict(), (1 - pi) * mu, rtol=1e-12)
    np.testing.assert_allclose(np.log(mu), fit.predict(scale="link"), rtol=1e-12)
    text, html = str(fit.summary()), fit._repr_html_()
    for word in ("zero inflation", "model of the dispersion", "log of k", "cluster-robust by id"):
        assert word in text
        assert word in html
    assert max(map(len, text.splitlines())) <= 100


def test_simulated_responses_have_the_fitted_means_and_variances():
    for formula, family, more in CASES:
        fit = glimm.glm(formula, DATA, family=family, **more)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", GlimmWarning)  # weights of counts and proportions
            y = fit.simulate(4000, seed=3)
        np.testing.assert_array_equal(y[:, :1], _simulated(fit, 4000)[:, :1])
        z = (y.mean(axis=1) - fit.fittedvalues) / (y.std(axis=1) / np.sqrt(4000))
        assert np.abs(z).max() < 5.0
        if "weights" not in more:
            variance = ((DATA[formula.split(" ~")[0]] - fit.fittedvalues) / fit.resid("pearson")) ** 2
            np.testing.assert_allclose(np.median(y.var(axis=1) / variance), 1.0, atol=0.02)


def _simulated(fit, n):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GlimmWarning)
        return fit.simulate(n, seed=3)


def test_other_frames_give_their_own_kind():
    polars = pytest.importorskip("polars")
    fit = glimm.glm("zip ~ x", polars.DataFrame(DATA.to_dict("list")), family="poisson", zero="~ g")
    assert isinstance(fit.tidy(), polars.DataFrame)
    np.testing.assert_allclose(fit.params, glimm.glm("zip ~ x", DATA.to_dict("list"), family="poisson", zero="~ g").params, rtol=1e-12)
