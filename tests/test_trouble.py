"""Fits that go wrong or end at an edge: the outcome is a value with a sentence and one warning, never silence and never a bare failure."""

import warnings

import numpy as np
import pandas as pd
import pytest

import glimm


@pytest.fixture
def data():
    rng = np.random.default_rng(1)
    d = pd.DataFrame({"g": np.repeat(np.arange(15), 6), "x": rng.normal(size=90), "t": np.tile([0, 1, 2], 30)})
    return d.assign(b=(rng.random(90) < 0.3).astype(int), c=rng.poisson(2, 90), y=rng.normal(size=90))


def with_warning(words, call):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit = call()
    said = [str(w.message) for w in caught if issubclass(w.category, glimm.GlimmWarning)]
    assert len([s for s in said if words in s]) == 1, said
    return fit


@pytest.mark.parametrize("door", ["glm", "glmm", "gee"])
def test_complete_separation(data, door):
    data = data.assign(b=(data.x > 0).astype(int))
    calls = {
        "glm": lambda: glimm.glm("b ~ x", data, family="binomial"),
        "glmm": lambda: glimm.glmm("b ~ x + (1 | g)", data, family="binomial", points=1),
        "gee": lambda: glimm.gee("b ~ x", data, groups="g", family="binomial"),
    }
    fit = with_warning("separates the outcomes", calls[door])
    assert fit.record.solution.code == "separated"
    assert not fit.converged


@pytest.mark.parametrize("door", ["glm", "glmm", "gee"])
def test_a_level_with_one_outcome_only(data, door):
    data = data.assign(b=np.where(data.t == 2, 1, data.b), c=np.where(data.t == 2, 0, data.c))
    for y, family in (("b", "binomial"), ("c", "poisson")):
        calls = {
            "glm": lambda y=y, family=family: glimm.glm(f"{y} ~ C(t)", data, family=family),
            "glmm": lambda y=y, family=family: glimm.glmm(f"{y} ~ C(t) + (1 | g)", data, family=family, points=1),
            "gee": lambda y=y, family=family: glimm.gee(f"{y} ~ C(t)", data, groups="g", family=family),
        }
        fit = with_warning("separates the outcomes", calls[door])
        assert fit.record.solution.evidence["rows"] == 30 if door != "glmm" else not fit.converged


@pytest.mark.parametrize("points", [1, 7])
def test_no_variance_between_clusters_is_the_glm(points):
    rng = np.random.default_rng(5)
    data = pd.DataFrame({"g": np.tile(np.arange(12), 10), "x": rng.normal(size=120), "b": np.repeat([0, 1, 0, 1, 1, 0, 0, 1, 0, 1], 12)})
    fit = with_warning("variance of g.Intercept is zero", lambda: glimm.glmm("b ~ x + (1 | g)", data, family="binomial", points=points))
    plain = glimm.glm("b ~ x", data, family="binomial")
    assert fit.theta[0] == 0.0
    assert fit.record.solution.active == ("g.Intercept",)
    assert fit.converged
    assert fit.llf == pytest.approx(plain.llf, abs=1e-8)
    assert (np.abs(fit.params - plain.params) < 1e-5 * plain.bse).all()
    np.testing.assert_allclose(fit.bse, plain.bse, rtol=1e-4)
    assert (fit.ranef()["estimate"] == 0).all()
    assert "zero" in fit.summary()
    np.testing.assert_allclose(fit.predict(data, target="marginal"), fit.predict(data, target="typical"), rtol=1e-12)


def test_many_simulated_fits_with_little_variance_all_end_well(data):
    for seed in range(40):
        rng = np.random.default_rng(seed)
        b = (rng.random(90) < 1 / (1 + np.exp(-0.3 * rng.normal(size=15)[data.g]))).astype(int)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fit = glimm.glmm("b ~ x + (1 | g)", data.assign(b=b), family="binomial", points=1)
        assert fit.record.solution.code in ("converged", "boundary")
        assert np.isfinite(fit.bse).all()


@pytest.mark.parametrize("scale", [1e-100, 1e-12, 1e12, 1e100])
def test_the_unit_of_the_response_does_not_matter(data, scale):
    rng = np.random.default_rng(3)
    data = data.assign(y=data.y + rng.normal(size=15)[data.g])
    a, b = glimm.glmm("y ~ x + (1 | g)", data), glimm.glmm("y ~ x + (1 | g)", data.assign(y=scale * data.y))
    np.testing.assert_allclose(b.params / scale, a.params, rtol=1e-8)
    np.testing.assert_allclose(b.bse / scale, a.bse, rtol=1e-6)
    np.testing.assert_allclose(b.theta, a.theta, rtol=1e-6)
    assert b.llf == pytest.approx(a.llf - (90 - 2) * np.log(scale), rel=1e-10)
    np.testing.assert_allclose(b.ranef()["estimate"] / scale, a.ranef()["estimate"], rtol=1e-5)


def test_a_constant_response(data):
    with pytest.raises(glimm.GlimmError, match=r"fit every row exactly.*glimm\.glm"):
        glimm.glmm("y ~ x + (1 | g)", data.assign(y=3.0))
    with pytest.raises(glimm.GlimmError, match=r"fits every row exactly.*glimm\.glm"):
        glimm.gee("y ~ x", data.assign(y=3.0), groups="g")
    assert glimm.glm("y ~ x", data.assign(y=3.0)).params["Intercept"] == pytest.approx(3.0)


def test_as_many_coefficients_as_rows(data):
    fit = with_warning("no standard errors", lambda: glimm.glm("y ~ x", data.iloc[:2]))
    assert fit.bse.isna().all()


def test_links_that_bound_the_mean(data):
    fit = glimm.glmm("b ~ t + (1 | g)", data, family="binomial", link="log", points=1)
    assert np.isfinite(fit.bse).all()
    with_warning("impossible for this link", lambda: glimm.glmm("b ~ t + (1 | g)", data, family="binomial", link="log"))
    with pytest.raises(glimm.GlimmError, match="use link='logit' or points=1"):
        glimm.glmm("b ~ t + (1 | g)", data, family="binomial", link="log", points=51)


def test_a_large_mean_costs_no_passes(data):
    a, b = glimm.gee("y ~ x", data, groups="g"), glimm.gee("y ~ x", data.assign(y=data.y + 1e7), groups="g")
    assert b.converged
    assert b.record.solution.evaluations < 2 * a.record.solution.evaluations
    np.testing.assert_allclose(b.bse, a.bse, rtol=1e-6)


def test_rows_keep_the_labels_of_the_callers_frame(data):
    shuffled = data.sample(frac=1, random_state=1)
    shuffled.loc[shuffled.index[3], "x"] = np.nan
    fit = glimm.glm("y ~ x", shuffled)
    assert list(fit.fittedvalues.index) == [i for k, i in enumerate(shuffled.index) if k != 3]
    joined = shuffled.assign(fitted=fit.fittedvalues)
    expected = fit.params["Intercept"] + fit.params["x"] * shuffled.x
    np.testing.assert_allclose(joined.fitted.dropna(), expected.dropna(), rtol=1e-12)


def test_a_series_with_other_labels_is_refused(data):
    shuffled = data.sample(frac=1, random_state=1)
    weights = pd.Series(np.arange(1.0, 91.0))
    for call in (
        lambda: glimm.glm("y ~ x", shuffled, weights=weights),
        lambda: glimm.gee("y ~ x", shuffled, groups=pd.Series(np.repeat(np.arange(45), 2))),
    ):
        with pytest.raises(glimm.GlimmError, match=r"index differs.*to_numpy"):
            call()
    a = glimm.glm("y ~ x", data, weights=weights)
    b = glimm.glm("y ~ x", data, weights=weights.to_numpy())
    np.testing.assert_array_equal(a.params, b.params)


def test_a_correlation_that_cannot_be_estimated_is_said(data):
    fit = with_warning("no cluster has two rows", lambda: glimm.gee("y ~ x", data.assign(g=np.arange(90)), groups="g"))
    independent = glimm.gee("y ~ x", data.assign(g=np.arange(90)), groups="g", corr="independence")
    np.testing.assert_allclose(fit.params, independent.params, rtol=1e-12)
    few = data.assign(g=np.r_[np.zeros(2), np.arange(1, 89)])
    with_warning(
        "only 1 pair of rows for 2 coefficients", lambda: glimm.gee("y ~ x", few.assign(y=np.where(few.g == 0, 0.8, few.y)), groups="g")
    )


def test_irregular_times_say_where_the_correlation_is_from(data):
    rng = np.random.default_rng(8)
    times = data.assign(when=np.cumsum(rng.uniform(0.3, 3.0, 90)), y=data.y + rng.normal(size=15)[data.g])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit = glimm.gee("y ~ x", times, groups="g", time="when", corr="ar1")
    assert "neighbouring rows by least squares" in " ".join(fit.summary().split())
    assert 0 < fit.corr_params["alpha"] < 1


def test_an_extreme_row_is_not_separation(data):
    rng = np.random.default_rng(4)
    n = 600
    d = pd.DataFrame({"g": np.arange(n) // 6, "x": rng.normal(size=n)})
    d.loc[7, "x"] = 16.0
    d["b"] = (rng.random(n) < 1 / (1 + np.exp(-1.9 * d.x - 0.8 * rng.normal(size=100)[d.g]))).astype(int)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fits = [
            glimm.glm("b ~ x", d, family="binomial"),
            glimm.gee("b ~ x", d, groups="g", family="binomial"),
            glimm.glmm("b ~ x + (1 | g)", d, family="binomial"),
        ]
    for fit in fits:
        assert fit.converged
        assert fit.fittedvalues.max() > 1 - 1e-9
    assert fits[1].corr_params["alpha"] > 0.01


def test_a_gee_never_leaves_out_rows_with_impossible_means():
    seen = set()
    for seed in range(60):
        r = np.random.default_rng(seed)
        g, x, z = np.repeat(np.arange(15), 4), r.normal(size=60), 2 * r.normal(size=15).repeat(4)
        c = r.poisson(np.maximum(0.1, 1.0 + 0.5 * x + 0.8 * r.normal(size=15).repeat(4)))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fit = glimm.gee("c ~ x + z", pd.DataFrame({"g": g, "x": x, "z": z, "c": c}), groups="g", family="poisson", link="identity")
        seen.add(fit.record.solution.code)
        assert (fit.fittedvalues > 0).all()
    assert "converged" in seen


def test_an_unfinished_gee_says_so(data):
    with pytest.warns(glimm.GlimmWarning, match="no convergence"):
        fit = glimm.gee("y ~ x", data, groups="g", control=glimm.Control(max_iter=1))
    assert not fit.converged


@pytest.mark.parametrize("gap", [0.15, 1, 2, 15, 90, 86_400])
@pytest.mark.parametrize("moments", ["standard", "geepack"])
def test_the_unit_of_time_does_not_matter(data, gap, moments):
    rng = np.random.default_rng(6)
    visits = data.assign(v=np.tile(np.arange(6), 15), y=data.y + 2 * rng.normal(size=15)[data.g])
    one = glimm.gee("y ~ x", visits, groups="g", time="v", corr="ar1", moments="geepack")
    other = glimm.gee("y ~ x", visits.assign(v=gap * visits.v), groups="g", time="v", corr="ar1", moments=moments)
    if moments == "geepack":
        assert other.corr_params["alpha"] ** gap == pytest.approx(one.corr_params["alpha"], rel=1e-6)
        np.testing.assert_allclose(other.bse, one.bse, rtol=1e-6)
    elif gap != 1:  # neighbouring rows by least squares: the mean of their products, whatever the unit
        e = other.resid("pearson").to_numpy().reshape(15, 6)
        expected = np.mean(e[:, 1:] * e[:, :-1]) / other.scale
        assert other.corr_params["alpha"] ** gap == pytest.approx(expected, rel=1e-6)


def test_a_negative_correlation_in_time():
    rng = np.random.default_rng(2)
    e = rng.normal(size=(200, 5))
    for j in range(1, 5):
        e[:, j] = -0.6 * e[:, j - 1] + 0.8 * e[:, j]
    d = pd.DataFrame({"g": np.repeat(np.arange(200), 5), "t": np.tile([1, 2, 3, 5, 6], 200), "y": e.ravel()})
    for moments in ("standard", "geepack"):
        assert -0.75 < glimm.gee("y ~ 1", d, groups="g", corr="ar1", moments=moments).corr_params["alpha"] < -0.45


def test_a_gee_with_no_more_clusters_than_coefficients_says_so():
    rng = np.random.default_rng(1)
    data = pd.DataFrame({"y": rng.normal(size=80), "x": rng.normal(size=80), "z": rng.normal(size=80), "g": np.repeat([0, 1], 40)})
    with pytest.warns(glimm.GlimmWarning, match="2 clusters of g for 3 coefficients: robust standard errors are far too small"):
        glimm.gee("y ~ x + z", data, groups="g")
    with pytest.raises(glimm.GlimmError, match=r"data\['a'\].astype\(str\) \+ ':' \+ data\['g'\].astype\(str\)"):
        glimm.gee("y ~ x + z", data.assign(a=1), groups=["a", "g"])


def inverse_gaussian_rows(seed):
    """Responses, predictors, and the top of their likelihood with link 1 / mu, least squares of 1 / y with weights y."""
    rng = np.random.default_rng(seed)
    x = np.round(np.sort(rng.normal(size=25)), 1)
    y = np.round(rng.wald(np.exp(0.4 + 0.5 * x), 4.0), 2)
    design = np.column_stack([np.ones(25), x])
    top = np.linalg.solve(design.T @ (y[:, None] * design), design.sum(axis=0))
    return {"x": x, "y": y}, top, design @ top


@pytest.mark.parametrize("seed", [14, 15, 102])
def test_slow_scoring_arrives(seed):
    """A mean near the end of the link: the expected information is many times the observed one."""
    rows, top, eta = inverse_gaussian_rows(seed)
    assert 0.0 < eta.min() < 0.05
    fit = glimm.glm("y ~ x", rows, family="inverse_gaussian", link="inverse")
    assert fit.record.solution.code == "converged"
    assert fit.record.solution.evaluations < 50
    np.testing.assert_allclose(fit.params, top, rtol=1e-6)


@pytest.mark.parametrize("seed", [19, 29, 98])
def test_a_mean_without_end_is_said(seed):
    rows, _, eta = inverse_gaussian_rows(seed)
    assert eta.min() < 0.0
    with pytest.warns(glimm.GlimmWarning, match="edge of what link 'inverse' allows, fitted means without end in 1 of 25 rows"):
        fit = glimm.glm("y ~ x", rows, family="inverse_gaussian", link="inverse")
    assert fit.record.solution.code == "not_converged"
