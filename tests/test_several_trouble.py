"""Several random terms where something is wrong or at its limit: what is fitted and what is said; nothing crashes."""

import warnings
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

import glimm

FAMILIES = {"gaussian": "y", "binomial": "b", "poisson": "c"}


@pytest.fixture(scope="module")
def frame():
    """a: 20 levels that differ; r: 8 that do not."""
    rng = np.random.default_rng(11)
    n = 400
    a, r, x, u = rng.integers(0, 20, n), rng.integers(0, 8, n), rng.normal(size=n), rng.normal(size=20)
    eta = 0.3 + 0.5 * x + 0.8 * u[a]
    visit = rng.integers(0, 4, n)
    return pd.DataFrame(
        {
            "a": a,
            "r": r,
            "x": x,
            "big": 1000.0 * x,
            "two": r % 2,
            "row": np.arange(n),
            "zero": 0.0,
            "three": 3.0,
            "nearly": np.where(np.arange(n) == 0, (a + 1) % 20, a),
            "label": [f"level {k}" for k in a],
            "visit": visit,
            "t": 0.5 * visit,
            "y": eta + rng.normal(size=n),
            "b": (rng.random(n) < 1 / (1 + np.exp(-eta))).astype(int),
            "c": rng.poisson(np.exp(0.5 * eta)),
        }
    )


def fitted(bars, data, family="gaussian", mean="x", **more):
    """The fit and its warnings, of which those of the accuracy of Laplace are left out."""
    arguments = more if family == "gaussian" else {"family": family, "points": 1} | more
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        fit = glimm.glmm(f"{FAMILIES[family]} ~ {mean} + {bars}", data, **arguments)
    assert all(issubclass(w.category, glimm.GlimmWarning) for w in said), [str(w.message) for w in said]
    return fit, [str(w.message) for w in said if "Laplace is not accurate" not in str(w.message)]


BY_FAMILY = pytest.mark.parametrize("family", FAMILIES)

# variances of zero


@pytest.mark.parametrize(("family", "bars"), [("gaussian", "(1 | r)"), ("binomial", "(1 | r)"), ("poisson", "(1 | two)")])
def test_a_variance_of_zero_is_the_fit_without_its_term_and_is_said(frame, family, bars):
    fit, said = fitted(f"{bars} + (1 | a)", frame, family)
    without, nothing = fitted("(1 | a)", frame, family)
    assert not nothing
    group = bars.removeprefix("(1 | ").removesuffix(")")
    assert said == [f"the estimated variance of {group}.Intercept is zero: clusters differ no more than chance within them explains"]
    assert fit.record.solution.code == "boundary"
    assert fit.record.solution.active == (f"{group}.Intercept",)
    assert fit.converged
    assert fit.theta[0] == 0.0
    assert fit.llf == pytest.approx(without.llf, abs=1e-8)
    np.testing.assert_allclose(fit.params, without.params, atol=1e-6)
    np.testing.assert_allclose(fit.bse, without.bse, rtol=1e-5)
    np.testing.assert_allclose(fit.theta[1:], without.theta, rtol=1e-5)
    table = fit.ranef()
    assert not table.loc[table["group"] == group, ["estimate", "std_error"]].to_numpy().any()


def test_all_variances_zero_is_least_squares(frame):
    data = frame.assign(y=frame["x"] + np.tile([1.0, -1.0], 200)[np.argsort(np.argsort(20 * frame["a"] + frame["r"], kind="stable"))])
    fit, said = fitted("(1 | a) + (1 | r)", data, reml=False)
    assert said == [
        "the estimated variance of a.Intercept is zero: clusters differ no more than chance within them explains; "
        "the estimated variance of r.Intercept is zero: clusters differ no more than chance within them explains"
    ]
    assert fit.llf == pytest.approx(glimm.glm("y ~ x", data).llf, abs=1e-8)
    np.testing.assert_array_equal(fit.theta, [0.0, 0.0])


@BY_FAMILY
def test_variances_of_a_structure_that_are_zero(frame, family):
    """Effects that are one and the same on all levels: every standard deviation of cs runs to zero or its correlation to a limit."""
    for bars in (
        "cs(0 + C(visit) | r) + (1 | a)",
        "homcs(0 + C(visit) | r) + (1 | a)",
        "ou(0 + t | r) + (1 | a)",
        "ar1(0 + C(visit) | r) + (1 | a)",
    ):
        fit, said = fitted(bars, frame, family)
        without, _ = fitted("(1 | a)", frame, family)
        assert fit.converged, fit.record.solution
        assert np.isfinite(fit.bse).all()
        assert fit.llf >= without.llf - 1e-8
        assert bool(said) == (fit.record.solution.code == "boundary")


# correlations at their limits


def limited(kind, seed=1, n=400):
    """Effects of 15 levels on 4 visits: one and the same, of alternating sign, or with the sum zero."""
    rng = np.random.default_rng(seed)
    a, visit, x = rng.integers(0, 15, n), rng.integers(1, 5, n), rng.normal(size=n)
    u = rng.normal(size=(15, 5))
    if kind == "one":
        u = np.repeat(u[:, :1], 5, axis=1)
    elif kind == "alternating":
        u = u[:, :1] * (-1.0) ** np.arange(5)
    else:
        u[:, 1:] -= u[:, 1:].mean(axis=1, keepdims=True)
    eta = 0.3 + 0.4 * x + 0.7 * u[a, visit]
    responses = {"y": eta + rng.normal(size=n), "b": (rng.random(n) < 1 / (1 + np.exp(-eta))).astype(int), "c": rng.poisson(np.exp(eta))}
    return pd.DataFrame({"a": a, "visit": visit, "t": 0.5 * visit, "x": x, "r": rng.integers(0, 8, n), **responses})


STRUCTURES = {name: f"{name}(0 + C(visit) | a)" for name in ("homcs", "cs", "ar1", "toep")} | {"ou": "ou(0 + t | a)"}


@BY_FAMILY
@pytest.mark.parametrize("kind", ["one", "alternating", "sum"])
def test_structures_with_correlations_at_their_limits(kind, family):
    """All end, with standard errors; a model is not below one that it contains."""
    for seed in (1, 2):
        data = limited(kind, seed)
        llf = {"intercepts": fitted("(1 | a)", data, family)[0].llf}
        for name, bars in STRUCTURES.items():
            fit, said = fitted(bars, data, family)
            llf[name] = fit.llf
            assert fit.converged, (name, fit.record.solution)
            assert np.isfinite(fit.bse).all()
            assert np.isfinite(fit.theta).all()
            assert fit.record.solution.evaluations < 150
            assert bool(said) == (fit.record.solution.code == "boundary")
        for large, small in (
            ("homcs", "intercepts"),
            ("ar1", "intercepts"),
            ("ou", "intercepts"),
            ("ar1", "ou"),
            ("cs", "homcs"),
            ("toep", "ar1"),
        ):
            assert llf[large] >= llf[small] - 1e-6, (seed, large, small)


@pytest.mark.parametrize(("family", "seed"), [("gaussian", 9), ("binomial", 1), ("poisson", 4)])
def test_a_correlation_of_one_is_the_random_intercept_and_is_said(family, seed):
    data = limited("one", seed)
    intercepts, _ = fitted("(1 | a) + (1 | r)", data, family)
    words = {
        "homcs": "the estimate of a.rho is 1, the limit of what homcs can have: the data do not tell these effects apart",
        "ar1": "the estimate of a.rho is 1, the limit of what ar1 can have: the data do not tell these effects apart",
        "ou": "the estimate of a.rate is 0, the limit of what ou can have: the data do not tell these effects apart",
    }
    for name, sentence in words.items():
        fit, said = fitted(f"{STRUCTURES[name]} + (1 | r)", data, family)
        assert sentence in said[0]
        assert fit.llf == pytest.approx(intercepts.llf, abs=1e-6)
        np.testing.assert_allclose(fit.params, intercepts.params, atol=1e-4)
        np.testing.assert_allclose(fit.bse, intercepts.bse, rtol=1e-3)
        assert fit.theta[0] == pytest.approx(intercepts.theta[0], rel=1e-3)


def test_the_least_correlation_is_said():
    fit, said = fitted(STRUCTURES["homcs"], limited("sum", 2))
    assert said == ["the estimate of a.rho is -0.333333, the limit of what homcs can have: the data do not tell these effects apart"]
    assert fit.record.solution.active == ("a.rho",)
    fit, said = fitted(STRUCTURES["ou"], limited("alternating"))
    assert said == ["the estimate of a.rate is infinite, the limit of what ou can have"]


@BY_FAMILY
def test_the_tables_of_fits_at_their_limits(family):
    for name, bars in STRUCTURES.items():
        fit, _ = fitted(f"{bars} + (1 | r)", limited("one"), family)
        assert f"{name}(" in str(fit.summary())
        assert len(fit.varcorr()) >= 2
        assert np.isfinite(fit.ranef()["estimate"]).all()
        assert np.isfinite(fit.predict(limited("one").head(3))).all()


# few levels, many levels


@BY_FAMILY
def test_a_factor_of_two_levels(frame, family):
    fit, _ = fitted("(1 | two) + (1 | a)", frame, family)
    assert fit.converged
    assert len(fit.ranef().query("group == 'two'")) == 2


@pytest.mark.parametrize("family", ["binomial", "poisson"])
def test_a_level_for_each_row_beside_others(frame, family):
    fit, _ = fitted("(1 | row) + (1 | a)", frame, family)
    without, _ = fitted("(1 | a)", frame, family)
    assert fit.converged
    assert fit.llf >= without.llf - 1e-8


def test_overdispersed_counts_have_a_variance_between_rows(frame):
    counts = np.random.default_rng(1).poisson(np.exp(0.3 * frame["x"] + np.random.default_rng(2).normal(size=400)))
    fit, _ = fitted("(1 | row) + (1 | a)", frame.assign(c=counts), "poisson")
    assert fit.theta[0] > 0.5
    assert len(fit.ranef().query("group == 'row'")) == 400


# scales


@BY_FAMILY
@pytest.mark.parametrize("bars", ["(1 + {} | a) + (1 | r)", "(0 + {} | a) + (1 | a)", "cs(1 + {} | a) + (1 | r)"])
def test_slopes_on_a_thousandfold_scale(frame, family, bars):
    small, large = (fitted(bars.format(name), frame, family)[0] for name in ("x", "big"))
    assert small.llf == pytest.approx(large.llf, abs=1e-8)
    np.testing.assert_allclose(small.params, large.params, atol=1e-6)
    np.testing.assert_allclose(small.bse, large.bse, rtol=1e-5)


@pytest.mark.parametrize("unit", [1e-12, 1e12])
def test_units_of_the_response(frame, unit):
    fit, moved = (fitted("(1 | a) + (1 + x | r)", data)[0] for data in (frame, frame.assign(y=unit * frame["y"])))
    np.testing.assert_allclose(moved.theta, fit.theta, rtol=1e-5, atol=1e-7)
    assert moved.sigma == pytest.approx(unit * fit.sigma, rel=1e-8)


# what cannot be fitted


@BY_FAMILY
@pytest.mark.parametrize(
    ("bars", "words"),
    [
        ("(0 + zero | a) + (1 | r)", r"the column zero is 0 in every row used, so it has no effect that could vary: leave it out"),
        ("(1 + zero | a) + (1 | r)", r"the column zero is 0 in every row used"),
        ("(1 + three | a) + (1 | r)", r"the column three equals 3 \* Intercept, so the effects of 'a' cannot be told apart"),
        ("(1 | a) + (0 + three | a)", r"the columns Intercept and three are multiples of each other.*levels of 'a'.*leave one of them out"),
        ("(0 + x | a) + (1 + big | a)", r"the columns x and big are multiples of each other"),
        ("(1 | a) + (1 | label)", r"'a' and 'label' put the same rows together.*leave one of the terms out"),
        ("(1 | three) + (1 | a)", r"column 'three' has a single level"),
    ],
)
def test_what_cannot_be_told_apart(frame, family, bars, words):
    with pytest.raises(glimm.GlimmError, match=words):
        fitted(bars, frame, family)


@BY_FAMILY
def test_groupings_that_are_nearly_the_same_are_fitted(frame, family):
    fit, _ = fitted("(1 | a) + (1 | nearly)", frame, family)
    one, _ = fitted("(1 | a)", frame, family)
    assert fit.converged
    assert np.isfinite(fit.bse).all()
    assert fit.llf >= one.llf - 1e-8


def test_random_effects_that_fit_every_row(frame):
    exact = frame.assign(y=2.0 * frame["a"] + frame["r"])
    with pytest.raises(glimm.GlimmError, match="the random effects fit every row exactly, or to rounding"):
        fitted("(1 | a) + (1 | r)", exact)
    with pytest.raises(glimm.GlimmError, match="the predictors fit every row exactly"):
        fitted("(1 | a) + (1 | r)", frame.assign(y=2.0 * frame["x"]))


@pytest.mark.parametrize("family", ["binomial", "poisson"])
def test_separation_by_a_predictor_of_clusters(frame, family):
    half = (frame["a"] > 9).astype(int)
    data = frame.assign(half=half, b=np.where(half == 1, 1, frame["b"]), c=np.where(half == 1, 0, frame["c"]))
    fit, said = fitted("(1 | a) + (1 | r)", data, family, mean="half")
    assert fit.record.solution.code == "separated"
    assert f"in {half.sum()} of 400 rows" in said[0]


def test_clusters_with_one_outcome_only_are_no_separation(frame):
    data = frame.assign(b=np.where(frame["a"] == 3, 1, np.where(frame["a"] == 4, 0, frame["b"])))
    fit, _ = fitted("(1 | a) + (1 | r)", data, "binomial")
    assert fit.converged
    assert fit.record.solution.code != "separated"
    assert np.isfinite(fit.bse).all()


@BY_FAMILY
def test_very_few_rows_end_in_words(frame, family):
    for rows in (3, 6, 10):
        try:
            fit, said = fitted("(1 | a) + (1 | r)", frame.head(rows), family)
        except glimm.GlimmError:
            continue
        assert fit.converged or said


# a larger model does not end below a smaller one


def drawn(seed):
    """Few rows, levels and combinations of two factors, some of whose effects do not vary."""
    rng = np.random.default_rng(seed)
    n, sizes = int(rng.integers(50, 250)), (int(rng.integers(3, 15)), int(rng.integers(2, 9)))
    a, r = (rng.integers(0, size, n) for size in sizes)
    x, v = rng.normal(size=n), rng.normal(size=n)
    sd = rng.choice([0, 0.2, 0.6, 1.2], 5)
    eta = 0.2 + 0.4 * x + sd[0] * rng.normal(size=sizes[0])[a] + sd[1] * rng.normal(size=sizes[0])[a] * x
    eta += sd[2] * rng.normal(size=sizes[1])[r] + sd[3] * rng.normal(size=sizes[1])[r] * x + sd[4] * rng.normal(size=sizes)[a, r]
    responses = {"y": eta + rng.normal(size=n), "b": (rng.random(n) < 1 / (1 + np.exp(-eta))).astype(int)}
    responses["c"] = rng.poisson(np.exp(np.minimum(0.5 * eta, 4)))
    return pd.DataFrame({"a": a, "r": r, "x": x, "v": v, **responses})


BOTH = (
    "(1 + x | a) + (1 + x | r)",
    "(1 + x || a) + (1 + x | r)",
    "(1 + x || a) + (1 + x || r)",
    "(1 | a) + (1 + x || r)",
    "(1 | a) + (1 | r)",
)
CHAINS = (
    (*(f"{bars} + (1 | a:r)" for bars in ("(1 + x + v | a) + (1 + x | r)", *BOTH)), "(1 | a) + (1 | r)", "(1 | a)"),
    ("(1 + x | a) + (1 + x | r)", "(1 + x | a) + (1 | r)", "(1 + x | a)"),
)


@pytest.mark.parametrize("seed", [3, 17, 30, 138])
@BY_FAMILY
def test_a_larger_model_is_not_below_a_smaller_one(family, seed):
    arguments = {"reml": False} if family == "gaussian" else {}
    for chain in CHAINS:
        fits = [fitted(bars, drawn(seed), family, **arguments)[0] for bars in chain]
        for large, small in pairwise(fits):
            assert large.converged
            assert large.llf >= small.llf - 1e-6
