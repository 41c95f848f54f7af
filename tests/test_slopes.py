"""Random slopes as a user meets them: designs that cannot be, boundaries, predictions of new rows, another response."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest

import glimm
from support import data


@pytest.fixture(scope="module")
def visits():
    rng = np.random.default_rng(7)
    g = np.repeat(np.arange(60), 8)
    x = rng.normal(size=480)
    b = rng.normal(size=(60, 2)) @ np.array([[1.0, 0.3], [0.0, 0.6]])
    eta = 0.3 + 0.8 * x + b[g, 0] + b[g, 1] * x
    return pd.DataFrame(
        {
            "id": g,
            "x": x,
            "f": np.array(["a", "b", "c"])[rng.integers(0, 3, 480)],
            "y": eta + rng.normal(size=480),
            "b": (rng.random(480) < 1.0 / (1.0 + np.exp(-eta))).astype(int),
            "constant": 1.0,
            "group_level": rng.normal(size=60)[g],
        }
    )


def logistic(formula, frame, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", glimm.GlimmWarning)
        return glimm.glmm(formula, frame, family="binomial", **options)


@pytest.mark.parametrize(
    ("bar", "words"),
    [
        ("(1 + constant | id)", "constant equals 1 \\* Intercept.*cannot be told apart"),
        ("(x + I(2 * x) | id)", "equals 2 \\* x"),
        ("(0 + x + nothing | id)", "no column 'nothing'"),
        ("(0 | id)", "no effects"),
        ("(1 + x | constant)", "single level"),
        ("(y | id)", "'y' is both the response and a random effect"),
    ],
)
def test_designs_that_cannot_be(visits, bar, words):
    with pytest.raises(glimm.GlimmError, match=words):
        glimm.glmm(f"y ~ x + {bar}", visits)


def test_more_effects_than_rows_in_every_level_beside_a_residual(visits):
    two = visits.groupby("id").head(2)
    with pytest.raises(glimm.GlimmError, match="no level of 'id' has more rows than the 2 effects"):
        glimm.glmm("y ~ x + (x | id)", two)


@pytest.mark.parametrize("points", [1, 5])
def test_slopes_do_not_depend_on_where_zero_is_nor_on_the_unit(visits, points):
    moved = visits.assign(x=1.7e9 + 86400.0 * visits["x"])
    a, b = (logistic("b ~ x + (x | id)", frame, points=points) for frame in (visits, moved))
    assert a.llf == pytest.approx(b.llf, abs=1e-6)
    assert a.bse["x"] == pytest.approx(86400.0 * b.bse["x"], rel=1e-4)
    at = [fit.predict(frame.iloc[:9], target="marginal", interval="confidence") for fit, frame in ((a, visits), (b, moved))]
    np.testing.assert_allclose(at[0]["std_error"], at[1]["std_error"], rtol=1e-4)
    lmm = [glimm.glmm("y ~ x + (x | id)", frame) for frame in (visits, moved)]
    assert lmm[0].sigma == pytest.approx(lmm[1].sigma, rel=1e-8)
    np.testing.assert_allclose(lmm[0].fittedvalues, lmm[1].fittedvalues, atol=1e-6)


def test_us_does_not_depend_on_the_coding_of_its_effects(visits):
    one, other = (glimm.glmm(f"y ~ x + {bar}", visits, reml=False) for bar in ("(1 + f | id)", "(0 + f | id)"))
    assert one.llf == pytest.approx(other.llf, abs=1e-8)
    np.testing.assert_allclose(one.fittedvalues, other.fittedvalues, atol=1e-4)


def test_independent_effects_are_the_fit_without_correlation(visits):
    fit = glimm.glmm("y ~ x + (x || id)", visits)
    assert fit.theta_names == ("id.Intercept", "id.x")
    assert [name for name in fit.varcorr().columns if name.startswith("corr_")] == []
    same = glimm.glmm("y ~ x + diag(1 + x | id)", visits)
    assert same.llf == fit.llf


def test_a_lost_correlation_is_a_value_and_a_warning():
    rng = np.random.default_rng(0)
    g = np.repeat(np.arange(40), 6)
    x = rng.normal(size=240)
    frame = pd.DataFrame({"g": g, "x": x, "y": 0.5 * x + 0.5 * rng.normal(size=40)[g] * (1.0 + x) + rng.normal(size=240)})
    with pytest.warns(glimm.GlimmWarning, match=r"correlation of Intercept and x of g is \+1"):
        fit = glimm.glmm("y ~ x + (x | g)", frame)
    assert fit.record.solution.code == "boundary"
    assert fit.record.solution.active == ("g.x.Intercept",)
    assert fit.converged
    assert fit.varcorr()["corr_Intercept"].dropna().iloc[0] == pytest.approx(1.0, abs=1e-9)
    assert np.all(np.isfinite(fit.bse))
    assert np.all(np.isfinite(fit.predict(frame.head(5), target="marginal", interval="confidence")["std_error"]))


def test_a_slope_variance_of_zero_is_said():
    frame = data("lme4_sleepstudy").assign(noise=np.tile([1.0, -1.0], 90))
    with pytest.warns(glimm.GlimmWarning, match=r"variance of Subject\.noise is zero"):
        fit = glimm.glmm("Reaction ~ Days + (noise || Subject)", frame)
    assert fit.theta[1] == 0.0
    assert np.isnan(fit.varcorr().filter(like="corr_").to_numpy(dtype=float)).all()
    assert fit.record.solution.evaluations < 20


@pytest.mark.parametrize("family", ["gaussian", "poisson"])
@pytest.mark.parametrize("seed", range(4))
def test_independent_effects_far_from_zero_are_no_worse_than_one_alone(family, seed):
    """year = 2010..2019: intercept and slope are nearly the same effect, and one of them runs to zero."""
    rng = np.random.default_rng(seed)
    g = rng.integers(0, 30, 300)
    year = rng.integers(2010, 2020, 300).astype(float)
    eta = 0.1 * (year - 2015) + (rng.normal(size=(30, 2)) * [1.0, 0.15])[g, 0]
    y = eta + rng.normal(size=300) if family == "gaussian" else rng.poisson(np.exp(np.clip(0.5 * eta, -4, 4)))
    frame = pd.DataFrame({"g": g, "year": year, "y": y})
    options = {"reml": False} if family == "gaussian" else {"family": family, "points": 1}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", glimm.GlimmWarning)
        both, *single = (glimm.glmm(f"y ~ year + {bar}", frame, **options) for bar in ("(year || g)", "(0 + year | g)", "(1 | g)"))
    assert both.converged
    assert both.llf > max(fit.llf for fit in single) - 1e-6
    assert np.all(np.isfinite(both.bse))


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("seed", [3, 22, 26, 53, 84, 118, 147, 157])
def test_a_larger_model_is_never_worse(seed, reml):
    """Scores with rich slopes on a scale far from one: a first step that goes wrong must be mended."""
    frame = glimm.load_dataset("classroom")
    rng = np.random.default_rng(seed)
    own, slope = rng.normal(0, 15, 61)[frame["pupil"]], rng.normal(0, 2.5, 61)[frame["pupil"]]
    frame["score"] = 20 + 4 * frame["hours"] + own + slope * frame["hours"] + rng.normal(0, 8, 720)
    fits = [glimm.glmm(f"score ~ hours + ({bar} pupil)", frame, reml=reml) for bar in ("1 |", "hours ||", "hours |")]
    assert all(fit.converged for fit in fits)
    assert fits[0].llf < fits[1].llf + 1e-8 < fits[2].llf + 2e-8


def test_the_classroom_with_independent_slopes():
    with pytest.warns(glimm.GlimmWarning, match=r"variance of pupil\.hours is zero"):
        fit = glimm.glmm("pass ~ hours + (hours || pupil)", glimm.load_dataset("classroom"), family="binomial")
    assert fit.params["hours"] == pytest.approx(0.791, abs=2e-3)


def test_a_fit_without_an_end_says_so_first(visits):
    with pytest.warns(glimm.GlimmWarning):
        fit = glimm.glmm("b ~ x + (x | id)", visits, family="binomial", points=1, control=glimm.Control(max_iter=1))
    assert fit.summary().splitlines()[3].startswith("NOT CONVERGED")
    assert "did not converge" in fit.plot("x").alt


def test_new_rows_follow_their_cluster_slope(visits):
    fit = logistic("b ~ x + (x | id)", visits, points=1)
    effects = fit.ranef().pivot(index="level", columns="term", values="estimate")
    new = pd.DataFrame({"id": [3, 3, 999, 4], "x": [0.5, -1.0, 0.5, np.nan]})
    with pytest.warns(glimm.GlimmWarning, match="1 row has no cluster"):
        got = fit.predict(new, scale="link")
    beta = fit.params
    want = [beta["Intercept"] + beta["x"] * x + effects.loc[3, "Intercept"] + effects.loc[3, "x"] * x for x in (0.5, -1.0)]
    np.testing.assert_allclose(got[:2], want, rtol=1e-10)
    assert got[2] == pytest.approx(beta["Intercept"] + 0.5 * beta["x"])
    assert np.isnan(got[3])


def test_a_slope_outside_the_fixed_part_is_needed_only_where_it_matters(visits):
    fit = logistic("b ~ 1 + (x | id)", visits, points=1)
    new = pd.DataFrame({"id": [3]})
    assert fit.predict(new, target="typical").shape == (1,)
    with pytest.raises(glimm.GlimmError, match=r"no column 'x' in the data, needed for the random effects of id"):
        fit.predict(new, target="marginal")


def test_rows_without_the_slope_are_lost_and_counted(visits):
    frame = visits.assign(x2=np.where(np.arange(480) < 5, np.nan, visits["x"]))
    fit = glimm.glmm("y ~ 1 + (x2 | id)", frame)
    assert fit.nobs == 475
    assert fit.missing.by_variable == {"x2": 5}


def test_the_marginal_mean_is_the_average_over_drawn_effects(visits):
    fit = logistic("b ~ x + (x | id)", visits, points=9)
    new = pd.DataFrame({"id": [0, 0, 0], "x": [-1.0, 0.0, 1.5]})
    t = np.array([[fit.theta[0], 0.0], [fit.theta[1], fit.theta[2]]])
    draws = np.random.default_rng(1).normal(size=(400_000, 2)) @ t.T
    for x, mean in zip(new["x"], fit.predict(new, target="marginal"), strict=True):
        p = 1.0 / (1.0 + np.exp(-(fit.params["Intercept"] + fit.params["x"] * x + draws[:, 0] + draws[:, 1] * x)))
        assert abs(p.mean() - mean) < 5.0 * p.std() / np.sqrt(len(p))


def test_points_for_several_effects(visits):
    with pytest.raises(glimm.GlimmError, match=r"points=9: quadrature is for up to 3 random effects per cluster, here are 4"):
        logistic("b ~ x + (f + x | id)", visits, points=9)
    with pytest.raises(glimm.GlimmError, match=r"too many for 2 random effects per cluster: use at most 44"):
        logistic("b ~ x + (x | id)", visits, points=45)
    assert logistic("b ~ x + (f + x | id)", visits).points == 1
    assert logistic("b ~ x + (x | id)", visits).points > 1


def test_toenail_comes_out_right_by_default():
    """Lesaffre and Spiessens (2001), Appl. Stat. 50, 325-335: quadrature matters in these data."""
    frame = data("HSAUR3_toenail")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit = glimm.glmm("y ~ treatment * time + (1 | patientID)", frame, family="binomial")
    assert fit.theta[0] == pytest.approx(4.0066, abs=2e-3)
    assert fit.params["Intercept"] == pytest.approx(-1.6183, abs=2e-3)
    with pytest.warns(glimm.GlimmWarning, match="Laplace is not accurate here"):
        laplace = glimm.glmm("y ~ treatment * time + (1 | patientID)", frame, family="binomial", points=1)
    assert laplace.theta[0] == pytest.approx(4.56, abs=0.02)
    assert laplace.params["Intercept"] == pytest.approx(-2.51, abs=0.02)


@pytest.mark.parametrize("formula", ["y ~ x + (x | id)", "y ~ x + (x || id)", "y ~ x + (1 | id)"])
@pytest.mark.parametrize("reml", [True, False])
def test_refit_is_a_fresh_fit_of_an_lmm(visits, formula, reml):
    y = np.random.default_rng(5).permutation(visits["y"].to_numpy()) + 100.0
    fit = glimm.glmm(formula, visits, reml=reml)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", glimm.GlimmWarning)
        fresh = glimm.glmm(formula, visits.assign(y=y), reml=reml)
    again = fit.refit(y).refit(y)
    assert again.llf == pytest.approx(fresh.llf, abs=1e-8)
    np.testing.assert_allclose(again.params, fresh.params, rtol=1e-6)
    np.testing.assert_allclose(again.bse, fresh.bse, rtol=1e-4)
    np.testing.assert_allclose(fit.refit(visits["y"]).params, fit.params, rtol=1e-6)
    assert "_prepared" not in pickle.loads(pickle.dumps(again)).__dict__


@pytest.mark.parametrize("bar", ["(1 | id)", "(x || id)", "(x | id)"])
def test_refits_of_noise_converge(visits, bar):
    fit, rng = glimm.glmm(f"y ~ x + {bar}", visits), np.random.default_rng(5)
    assert all(fit.refit(rng.normal(size=480)).converged for _ in range(60))


def test_refit_keeps_the_points_of_a_glmm(visits):
    y = np.random.default_rng(6).permutation(visits["b"].to_numpy())
    fit = logistic("b ~ x + (1 | id)", visits)
    again, fresh = fit.refit(y), logistic("b ~ x + (1 | id)", visits.assign(b=y), points=fit.points)
    assert again.points == fit.points
    assert again.llf == pytest.approx(fresh.llf, abs=1e-7)
    np.testing.assert_allclose(again.bse, fresh.bse, rtol=1e-3)


@pytest.mark.parametrize(
    ("y", "words"),
    [
        ([1.0, 2.0], "shape"),
        (["a"] * 480, "must be numbers"),
        ([2.0] * 480, "position 0"),
        ([np.nan] * 480, "position 0"),
        ([0.5] * 480, "0 or 1"),
    ],
)
def test_refit_refuses_what_is_no_response(visits, y, words):
    with pytest.raises(glimm.GlimmError, match=words):
        logistic("b ~ x + (1 | id)", visits, points=1).refit(y)


def test_threads_change_no_bit_of_a_slope_fit(visits):
    big = pd.concat([visits.assign(id=visits["id"] + 60 * k) for k in range(80)], ignore_index=True)
    one, two = (logistic("b ~ x + (x | id)", big, points=1, control=glimm.Control(threads=k)) for k in (1, 2))
    assert one.llf == two.llf
    np.testing.assert_array_equal(one.params, two.params)
    np.testing.assert_array_equal(one.bse, two.bse)
