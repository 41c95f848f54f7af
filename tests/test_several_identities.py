"""Models with several random terms or structures that are one and the same, and transformations that change nothing."""

import warnings

import numpy as np
import pandas as pd
import pytest

import glimm

FAMILIES = {"gaussian": "y", "binomial": "b", "poisson": "c"}


@pytest.fixture(scope="module")
def frame():
    """Schools (a) with classes (k, numbered within), raters (r) across them, visits at equal distances."""
    rng = np.random.default_rng(4)
    n = 600
    a, k, r, visit = rng.integers(0, 15, n), rng.integers(0, 4, n), rng.integers(0, 11, n), rng.integers(1, 4, n)
    x = rng.normal(size=n)
    slopes = rng.multivariate_normal([0, 0], [[1, 0.4], [0.4, 0.6]], 15)[a]
    eta = 0.3 + 0.5 * x + slopes[:, 0] + slopes[:, 1] * x + 0.7 * rng.normal(size=(15, 4))[a, k] + 0.5 * rng.normal(size=11)[r]
    eta += 0.6 * rng.normal(size=(15, 4))[a, visit]
    return pd.DataFrame(
        {
            "a": a,
            "k": k,
            "ak": [f"class {i}-{j}" for i, j in zip(a, k, strict=True)],
            "r": r,
            "visit": visit,
            "t": 0.5 * visit,
            "two": np.where(k % 2, "u", "w"),
            "x": x,
            "y": eta + rng.normal(size=n),
            "b": (rng.random(n) < 1 / (1 + np.exp(-eta))).astype(int),
            "c": rng.poisson(np.exp(0.4 * eta)),
        }
    )


def fitted(bars, data, family="gaussian", mean="x", **more):
    arguments = more if family == "gaussian" else {"family": family, "points": 1} | more
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message="Laplace is not accurate here|the estimated", category=glimm.GlimmWarning)
        return glimm.glmm(f"{FAMILIES[family]} ~ {mean} + {bars}", data, **arguments)


def assert_same(one, other, coefficients=1e-6):
    assert one.llf == pytest.approx(other.llf, abs=1e-8)
    np.testing.assert_allclose(one.params, other.params, atol=coefficients)
    np.testing.assert_allclose(one.bse, other.bse, rtol=1e-5)


SAME = {
    "cs of two effects is us": ("cs(1 + x | a) + (1 | r)", "(1 + x | a) + (1 | r)"),
    "cs of two effects alone": ("cs(1 + x | a)", "(1 + x | a)"),
    "toep of two effects is us": ("toep(0 + two | a) + (1 | r)", "(0 + two | a) + (1 | r)"),
    "ar1 of two effects is homcs": ("ar1(0 + two | a)", "homcs(0 + two | a)"),
    "levels and contrasts": ("(0 + two | a) + (1 | r)", "(1 + two | a) + (1 | r)"),
    "diag and two bars": ("diag(0 + two | a) + (1 | r)", "(0 + two || a) + (1 | r)"),
    "independent terms on one factor": ("(1 | a) + (0 + x | a)", "(1 + x || a)"),
    "independent terms beside another": ("(1 | a) + (0 + x | a) + (1 | r)", "(1 + x || a) + (1 | r)"),
    "nested is its two terms": ("(1 | a/k)", "(1 | a) + (1 | a:k)"),
    "nested is crossed with labels of its own": ("(1 + x | a/k) + (1 | r)", "(1 + x | a) + (1 + x | ak) + (1 | r)"),
    "homcs is effects of the level and of its occasions": ("homcs(0 + C(visit) | a) + (1 | r)", "(1 | a) + (1 | a:visit) + (1 | r)"),
    "the order of terms": ("(1 + x | a) + (1 | r) + (1 | ak)", "(1 | ak) + (1 | r) + (1 + x | a)"),
    "ou at equal distances is ar1": ("ou(0 + t | a) + (1 | ak)", "ar1(0 + C(visit) | a) + (1 | ak)"),
}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", SAME)
def test_one_model_in_two_ways(frame, name, family):
    one, other = (fitted(bars, frame, family) for bars in SAME[name])
    assert_same(one, other)


def test_parameters_of_equal_models_say_the_same(frame):
    homcs, two = (fitted(bars, frame) for bars in SAME["homcs is effects of the level and of its occasions"])
    sd, rho = homcs.theta[:2]
    np.testing.assert_allclose([sd**2 * rho, sd**2 * (1 - rho)], two.theta[:2] ** 2, rtol=1e-5)
    ou, ar1 = (fitted(bars, frame) for bars in SAME["ou at equal distances is ar1"])
    np.testing.assert_allclose([ou.theta[0], np.exp(-0.5 * ou.theta[1])], ar1.theta[:2], rtol=1e-5)
    cs, us = (fitted(bars, frame) for bars in SAME["cs of two effects is us"])
    t = np.array([[us.theta[0], 0.0], [us.theta[1], us.theta[2]]])
    s = t @ t.T
    np.testing.assert_allclose(cs.theta[:3], [*np.sqrt(np.diag(s)), s[0, 1] / np.sqrt(s[0, 0] * s[1, 1])], rtol=1e-5)


WHOLE = "(1 + x | a) + (1 | ak) + (1 | r)"


@pytest.mark.parametrize("family", FAMILIES)
def test_order_of_rows_and_labels_of_levels(frame, family):
    fit = fitted(WHOLE, frame, family)
    shuffled = frame.sample(frac=1.0, random_state=3)
    assert_same(fitted(WHOLE, shuffled, family), fit)
    other = frame.assign(a=[f"school {9 * v % 17}" for v in frame["a"]], r=-frame["r"], ak=frame["ak"].str[::-1])
    again = fitted(WHOLE, other, family)
    assert_same(again, fit)
    mine, theirs = (f.ranef() for f in (again, fit))
    a = mine[mine["group"] == "a"].set_index(["level", "term"])["estimate"]
    for level, term, estimate in theirs.loc[theirs["group"] == "a", ["level", "term", "estimate"]].itertuples(index=False):
        assert a[f"school {9 * int(level) % 17}", term] == pytest.approx(estimate, abs=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("shift", "scale"), [(0.0, 1000.0), (1e6, 1.0), (-30.0, 1e-3)])
def test_where_and_in_which_units_x_is_measured(frame, family, shift, scale):
    reml = {"reml": False} if family == "gaussian" else {}
    fit = fitted(WHOLE, frame, family, **reml)
    moved = fitted(WHOLE, frame.assign(x=scale * frame["x"] + shift), family, **reml)
    assert moved.llf == pytest.approx(fit.llf, abs=1e-8)
    slope = moved.params["x"] * scale
    assert slope == pytest.approx(fit.params["x"], abs=1e-6)
    assert moved.params["Intercept"] + shift / scale * slope == pytest.approx(fit.params["Intercept"], abs=1e-4 if shift > 1e3 else 1e-6)
    assert moved.bse["x"] * scale == pytest.approx(fit.bse["x"], rel=1e-5)
    np.testing.assert_allclose(moved.fittedvalues, fit.fittedvalues, atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_threads_change_no_bit(frame, family):
    one, two = (fitted(WHOLE, frame, family, control=glimm.Control(threads=k)) for k in (1, 3))
    assert one.llf == two.llf
    assert (one.params == two.params).all()
    np.testing.assert_array_equal(one.theta, two.theta)
    np.testing.assert_array_equal(one.cov_params(), two.cov_params())


def test_a_constant_added_to_the_response_moves_the_intercept_only(frame):
    fit = fitted(WHOLE, frame)
    moved = fitted(WHOLE, frame.assign(y=frame["y"] + 1e6))
    assert moved.llf == pytest.approx(fit.llf, abs=1e-6)
    assert moved.params["Intercept"] - 1e6 == pytest.approx(fit.params["Intercept"], abs=1e-6)
    np.testing.assert_allclose(moved.theta, fit.theta, rtol=1e-5)


@pytest.mark.parametrize("bars", ["(1 | a) + (1 | ak)", "ar1(0 + C(visit) | a) + (1 | r)", "(1 + x | a) + (1 | r)"])
def test_gaussian_laplace_is_the_lmm_by_ml(frame, bars):
    from glimm.estimators.conditional import conditional_variances
    from glimm.estimators.control import Control
    from glimm.estimators.glmm import fit_glmm

    lmm = fitted(bars, frame, reml=False).record
    laplace = fit_glmm(lmm.design, lmm.family, 1, Control())
    assert laplace.llf == pytest.approx(lmm.llf, abs=1e-8)
    p = lmm.blocks["mean"]
    np.testing.assert_allclose(laplace.vector[p], lmm.vector[p], atol=1e-5)
    for mine, theirs in zip(laplace.effects, lmm.effects, strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-4)
    for mine, theirs in zip(conditional_variances(laplace), conditional_variances(lmm), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-3, atol=1e-6)
