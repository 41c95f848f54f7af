"""The public face: names of later releases are said to be such, arguments of a wrong type are refused, predict takes what it says."""

from __future__ import annotations

import pickle
import re
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import glimm
from glimm.covariance.structures import structure
from glimm.estimators.control import Control
from glimm.fit import LATER


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(4)
    return pd.DataFrame(
        {
            "g": np.repeat(np.arange(12), 5),
            "h": np.tile(np.arange(6), 10),
            "x": np.linspace(0.0, 10.0, 60),
            "visit": np.tile(np.arange(5), 12),
            "w": rng.uniform(1.0, 2.0, 60),
            "t": rng.uniform(1.0, 9.0, 60),
            "y": rng.normal(size=60) + np.repeat(rng.normal(size=12), 5),
            "b": np.tile([0, 1, 1, 0, 1, 1], 10),
            "c": rng.poisson(4, 60),
        }
    )


@pytest.fixture(scope="module")
def fits(data):
    return glimm.glm("y ~ x", data), glimm.glmm("y ~ x + (1 | g)", data), glimm.gee("y ~ x", data, groups="g")


# names of later releases


@pytest.mark.parametrize(
    ("given", "meant"), [("gama", "gamma"), ("Gamma", "gamma"), ("inverse.gaussian", "inverse_gaussian"), ("quasi_poisson", "quasipoisson")]
)
def test_a_misspelled_family(given, meant, data):
    with pytest.raises(glimm.GlimmError, match=f"unknown family '{given}': did you mean '{meant}'"):
        glimm.glm("y ~ x", data, family=given)


@pytest.mark.parametrize("arguments", [{"family": 3}, {"family": np.zeros(3)}, {"link": ["log"]}, {"link": np.zeros(2)}])
def test_names_of_other_types(arguments, data):
    with pytest.raises(glimm.GlimmError, match="must be a name such as"):
        glimm.glm("y ~ x", data, **arguments)


def test_unknown_structures():
    with pytest.raises(glimm.GlimmError, match="unknown covariance structure 'uss': did you mean 'us'"):
        structure("uss")


@pytest.mark.parametrize("name", ["table", "missing_report", "impute", "pool"])
def test_later_names_of_the_package(name):
    assert not hasattr(glimm, name)
    with pytest.raises(AttributeError, match=rf"glimm\.{name} is not in this release: "):
        getattr(glimm, name)


@pytest.mark.parametrize("name", LATER)
def test_later_names_of_fits(name, fits):
    for fit in fits:
        assert not hasattr(fit, name)
        with pytest.raises(AttributeError, match=rf"fit\.{name} is not in this release: "):
            getattr(fit, name)


def test_other_names_of_fits_keep_their_own_message(fits):
    for fit in fits:
        with pytest.raises(AttributeError, match=f"'{type(fit).__name__}' object has no attribute 'parms'"):
            _ = fit.parms
        assert pickle.loads(pickle.dumps(fit)).params.equals(fit.params)
    with pytest.raises(AttributeError, match="no likelihood"):
        _ = fits[2].llf


def test_theta_names(data, fits):
    glmm = glimm.glmm("b ~ x + (1 | g)", data, family="binomial", points=5)
    for fit in (fits[1], glmm):
        assert fit.theta_names == ("g.Intercept",)
        assert len(fit.theta) == len(fit.theta_names)


# arguments of a wrong type


@pytest.mark.parametrize(
    ("vcov", "words"),
    [
        ({"cluster": None}, "not NoneType"),
        ({"cluster": []}, "not an empty list"),
        ({"cluster": np.arange(60)}, "'cluster' must name a column.*not ndarray"),
        ({"cluster": [1, 2]}, "must name a column"),
        ({"cluster": ["g", "h", "visit"]}, "3 directions"),
        ({"cluster": ["g", "g"]}, "'g' twice"),
        ({"cluster": "g", "small": "yes"}, "'small' must be True or False, or a name, not 'yes'"),
        ({"cluster": "g", "small": 1}, "'small' must be True or False, or a name, not 1"),
        ({"clusters": "g"}, "is not a covariance of a GLM"),
        (np.eye(2), "not ndarray"),
        (None, "not NoneType"),
    ],
)
def test_covariances_of_a_glm(vcov, words, data):
    with pytest.raises(glimm.GlimmError, match=words):
        glimm.glm("y ~ x", data, vcov=vcov)


def test_small_may_be_of_numpy(data):
    plain = glimm.glm("y ~ x", data, vcov={"cluster": ("g", "h"), "small": True})
    assert glimm.glm("y ~ x", data, vcov={"cluster": ["g", "h"], "small": np.bool_(True)}).bse.equals(plain.bse)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"vcov": np.eye(2)}, "vcov must be one of robust, model, .*not ndarray"),
        ({"corr": None}, "corr must be the name"),
        ({"corr": np.eye(5)}, "corr must be the name.*not ndarray"),
        ({"corr": ["ar1"]}, "corr must be the name"),
        ({"moments": np.zeros(2)}, "moments must be"),
        ({"moments": None}, "moments must be"),
        ({"missing": ["drop"]}, "missing must be"),
    ],
)
def test_arguments_of_a_gee(arguments, words, data):
    with pytest.raises(glimm.GlimmError, match=words):
        glimm.gee("y ~ x", data, groups="g", **arguments)


@pytest.mark.parametrize("family", ["gaussian", "binomial"])
@pytest.mark.parametrize("points", [0, -1, True, 1.5, "many", None, np.array([1, 2])])
def test_points_are_looked_at_in_every_mixed_model(points, family, data):
    with pytest.raises(glimm.GlimmError, match="points must be 'auto' or a whole number"):
        glimm.glmm(f"{'y' if family == 'gaussian' else 'b'} ~ x + (1 | g)", data, family=family, points=points)


def test_points_may_be_any_integer(data):
    assert glimm.glmm("b ~ x + (1 | g)", data, family="binomial", points=np.int64(5)).points == 5
    assert glimm.glmm("y ~ x + (1 | g)", data, points=np.int64(5)).points == 0


@pytest.mark.parametrize("reml", ["REML", 1, 0, np.array([True, False])])
def test_reml_is_yes_no_or_none(reml, data):
    with pytest.raises(glimm.GlimmError, match="reml must be True, False or None"):
        glimm.glmm("y ~ x + (1 | g)", data, reml=reml)


def test_vcov_of_a_mixed_model_and_its_start(data):
    with pytest.raises(glimm.GlimmError, match="vcov must be 'model'"):
        glimm.glmm("y ~ x + (1 | g)", data, vcov=np.eye(2))
    with pytest.raises(glimm.GlimmError, match="start has no meaning for a linear mixed model"):
        glimm.glmm("y ~ x + (1 | g)", data, control=Control(start={"x": 1.0}))


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"max_iter": 5.5}, "max_iter must be a whole number"),
        ({"max_iter": True}, "max_iter must be a whole number"),
        ({"max_iter": 0}, "max_iter must be a whole number of at least 1"),
        ({"threads": "2"}, "threads must be a whole number"),
        ({"tol": "small"}, "tol must be positive"),
        ({"tol": np.nan}, "tol must be positive"),
        ({"start": [0.0, 1.0]}, "start must map terms to numbers.*not list"),
        ({"start": {"x": "one"}}, "start of 'x' must be a number"),
        ({"start": {"x": np.inf}}, "start of 'x' must be a number"),
        ({"progress": "yes"}, "progress"),
        ({"engine": "lanczos"}, "engine must be 'auto', 'exact' or 'krylov', not 'lanczos'"),
        ({"engine": None}, "engine must be"),
        ({"probes": 1}, "probes must be a whole number of at least 2, not 1"),
        ({"probes": 8.0}, "probes must be a whole number"),
        ({"seed": -1}, "seed must be a whole number of at least 0"),
        ({"seed": None}, "seed must be"),
        ({"exact_block": -1}, "exact_block must be a whole number of at least 0"),
        ({"exact_block": 1e4}, "exact_block must be a whole number"),
    ],
)
def test_settings(setting, words):
    with pytest.raises(glimm.GlimmError, match=words):
        Control(**setting)


def test_settings_of_numpy_and_of_a_fit(data):
    control = Control(max_iter=np.int64(30), threads=np.int32(1), tol=np.float64(1e-9))
    assert (type(control.max_iter), type(control.threads)) == (int, int)
    first = glimm.glm("b ~ x", data, family="binomial")
    again = glimm.glm("b ~ x", data, family="binomial", control=Control(start=first.params))
    np.testing.assert_allclose(again.params, first.params, rtol=1e-8)


def test_a_fit_gives_at_most_one_warning():
    short = pd.DataFrame({"y": [1.0, 9.0], "x": [0.0, 1.0]})
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        glimm.glm("y ~ x", short, link="log", control=Control(max_iter=1))
    said = [w for w in caught if issubclass(w.category, glimm.GlimmWarning)]
    assert len(said) == 1
    assert "no convergence" in str(said[0].message)
    assert "as many coefficients as rows" in str(said[0].message)
    assert said[0].filename == __file__


# predict and augment


@pytest.fixture(scope="module")
def rates(data):
    return glimm.glm("c ~ x", data, family="poisson", exposure="t")


def test_offset_and_exposure_without_newdata_are_refused(rates):
    for role in ("offset", "exposure"):
        with pytest.raises(glimm.GlimmError, match=f"{role}= goes with newdata="):
            rates.predict(**{role: np.ones(60)})
    np.testing.assert_allclose(rates.predict(), rates.fittedvalues)


def test_offset_and_exposure_of_newdata(rates, data):
    new = data.iloc[[3, 9]].assign(double=lambda d: 2.0 * d.t, name="a")
    plain = rates.predict(new)
    np.testing.assert_allclose(rates.predict(new, exposure="double"), 2.0 * plain)
    np.testing.assert_allclose(rates.predict(new.drop(columns="t"), exposure="double"), 2.0 * plain)
    np.testing.assert_allclose(rates.predict(new, exposure=new.double), 2.0 * plain)
    np.testing.assert_allclose(rates.predict(new, exposure=list(new.double)), 2.0 * plain)
    np.testing.assert_allclose(rates.predict(new, offset=[1.0, np.nan]), [plain[0] * np.e, np.nan])


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (pd.Series([1.0, 2.0]), "exposure is a Series whose index differs"),
        ("nosuch", "no column 'nosuch'"),
        ("name", "column 'name' must hold numbers"),
        (["a", "b"], "'exposure' must hold numbers"),
        ([1.0, object()], "exposure"),
        ([1.0, -1.0], "exposure must be positive; row 1"),
        (2.0, r"exposure has shape \(\), but newdata has 2 rows"),
        ([1.0, np.inf], "'exposure' is infinite"),
        ([[1.0], [2.0]], "more than one dimension"),
    ],
)
def test_wrong_exposures_of_newdata(given, words, rates, data):
    with pytest.raises(glimm.GlimmError, match=words):
        rates.predict(data.iloc[[3, 9]].assign(name="a"), exposure=given)


@pytest.mark.parametrize("name", ["row", "fitted", "resid_deviance"])
def test_augment_loses_no_column(name, data):
    table = glimm.glm(f"{name} ~ x", data.rename(columns={"y": name})).augment()
    assert table.shape == (60, 4)
    np.testing.assert_array_equal(table[f"{name}_"], data.y)
    plain = glimm.glm("y ~ x", data).augment()
    for column in ("row", "fitted", "resid_deviance"):
        np.testing.assert_array_equal(table[column], plain[column])


def test_augment_of_a_gee_keeps_a_response_called_like_its_residuals(data):
    table = glimm.gee("resid_pearson ~ x", data.rename(columns={"y": "resid_pearson"}), groups="g").augment()
    assert list(table.columns) == ["row", "resid_pearson_", "fitted", "resid_pearson"]


# times


def text_times(data):
    return np.array(["first", "second", "third", "fourth", "fifth"], dtype=object)[data.visit]


def test_only_ordered_categories_are_times(data):
    order = ["first", "second", "third", "fourth", "fifth"]
    plain = glimm.gee("y ~ x", data, groups="g", time="visit", corr="ar1")
    ordered = pd.Categorical(text_times(data), categories=order, ordered=True)
    arrow = pa.DictionaryArray.from_arrays(pa.array(data.visit.to_numpy(np.int32)), pa.array(order), ordered=True)
    for when in (ordered, pl.Series(text_times(data).tolist(), dtype=pl.Enum(order)), arrow):
        fit = glimm.gee("y ~ x", data, groups="g", time=when, corr="ar1")
        np.testing.assert_allclose(fit.params, plain.params, rtol=1e-12)
    unordered = pa.DictionaryArray.from_arrays(pa.array(data.visit.to_numpy(np.int32)), pa.array(order))
    for when in (pd.Categorical(text_times(data), categories=order), unordered):
        with pytest.raises(glimm.GlimmError, match=r"a categorical without an order: .*ordered=True.*pl\.Enum"):
            glimm.gee("y ~ x", data, groups="g", time=when, corr="ar1")
    with pytest.raises(glimm.GlimmError, match=r"holds strings: .*ordered=True.*pl\.Enum"):
        glimm.gee("y ~ x", data, groups="g", time=text_times(data))


def test_categories_that_are_numbers_count_as_those_numbers(data):
    uneven = np.array([0, 1, 3, 7, 8])[data.visit]
    plain = glimm.gee("y ~ x", data, groups="g", time=uneven, corr="ar1")
    assert glimm.gee("y ~ x", data, groups="g", time=pd.Categorical(uneven), corr="ar1").params.equals(plain.params)


# compare


def test_compare_says_when_weights_or_offsets_differ(data):
    plain = glimm.glm("c ~ x", data, family="poisson")
    weighted = glimm.glm("c ~ x", data, family="poisson", weights="w")
    rate = glimm.glm("c ~ x", data, family="poisson", exposure="t")
    as_offset = glimm.glm("c ~ x", data.assign(log_t=np.log(data.t)), family="poisson", offset="log_t")
    other = glimm.glm("c ~ x", data, family="poisson", weights=data.w * 2)

    def notes(*fits):
        return " ".join(glimm.compare(*fits).notes)

    assert "do not have the same weights (none in (1))" in notes(plain, weighted)
    assert "do not have the same weights, so" in notes(weighted, other)
    assert "do not have the same offset or exposure (none in (2))" in notes(rate, plain)
    for same in ((plain, plain), (weighted, weighted), (rate, as_offset), (plain, glimm.glm("c ~ x", data, weights=np.ones(60)))):
        assert "do not have the same weights" not in notes(*same)
        assert "do not have the same offset" not in notes(*same)
    fewer = data.assign(w=data.w.where(data.index > 5))
    assert "the same weights" not in notes(weighted, glimm.glm("c ~ x", fewer, family="poisson", weights="w"))


# words about formulas and data


def test_data_that_are_a_path():
    for path in ("data.csv", Path("data.csv")):
        with pytest.raises(glimm.GlimmError, match=r"glimm\.read\(path\)"):
            glimm.glmm("y ~ x + (1 | g)", path)
        with pytest.raises(glimm.GlimmError, match=r"no file 'data\.csv'"):
            glimm.glm("y ~ x", path)


def test_numpy_is_advised_where_it_has_the_function(data):
    with pytest.raises(glimm.GlimmError, match=r"NumPy's is written np\.log1p\(\.\.\.\)"):
        glimm.glm("y ~ log1p(x)", data)
    for name in ("cut", "relevel"):
        with pytest.raises(glimm.GlimmError, match="make the column in the data first") as caught:
            glimm.glm(f"y ~ {name}(x)", data)
        assert f"np.{name}" not in str(caught.value)


@pytest.mark.parametrize(
    ("bar", "words"),
    [
        ("(1 | C(g))", r"write \(1 \| g\), a grouping is always taken as a factor"),
        ("(1 | I(g > 2))", "is not a column: make it one"),
        ("(1 | g*h)", r"write \(1 \| g\) \+ \(1 \| h\) \+ \(1 \| g:h\)"),
        ("(1 | C(g):h)", r"write \(1 \| g:h\), a grouping is always taken as a factor"),
    ],
)
def test_groupings_that_are_no_column(bar, words, data):
    with pytest.raises(glimm.GlimmError, match=words):
        glimm.glmm(f"y ~ x + {bar}", data)


@pytest.mark.parametrize(
    ("formula", "term"),
    [("y ~ x - mean(x)", "mean(x)"), ("y ~ x - nosuch", "nosuch"), ("y ~ x*t - x:w", "x:w"), ("y ~ x - (x + w)", "w")],
)
def test_only_terms_that_are_there_can_be_removed(formula, term, data):
    with pytest.raises(glimm.GlimmError, match=f"removes the term '{re.escape(term)}', which is not there"):
        glimm.glm(formula, data)


@pytest.mark.parametrize("formula", ["y ~ x - 1", "y ~ 0 + x - 1", "y ~ x*t - t:x", "y ~ (x + t + w)**2 - x:t - 1", "y ~ x + t - (t + 1)"])
def test_terms_that_are_there_can_be_removed(formula, data):
    assert glimm.glm(formula, data).nobs == 60


def test_a_new_value_outside_the_range_of_a_spline(data):
    fit = glimm.glm("y ~ bs(x, df=4)", data)
    words = r"new value 12 of x in row 2 \(counting from 0\) is outside the range 0 to 10 that bs\(x, df=4\) was fitted on"
    with pytest.raises(glimm.GlimmError, match=words) as caught:
        fit.predict({"x": [1.0, np.nan, 12.0]})
    assert "bs(x, df=4, extrapolation='extend')" in str(caught.value)
    extended = glimm.glm("y ~ bs(x, df=4, extrapolation='extend')", data)
    assert np.isfinite(extended.predict({"x": [12.0]})).all()
    inside = glimm.glm("y ~ bs(np.sqrt(x), df=4)", data)
    with pytest.raises(glimm.GlimmError, match=r"a new value of np\.sqrt\(x\) is outside the range 0 to 3\.16228 that bs\("):
        inside.predict({"x": [12.0]})


@pytest.mark.parametrize(("family", "link"), [("poisson", "sqrt"), ("gaussian", None), ("gamma", "inverse"), ("gamma", "power(0.3)")])
def test_an_exposure_needs_a_link_in_which_it_is_a_factor(family, link):
    rows = {"y": [1, 2, 3, 2], "x": [0, 1, 2, 3], "t": [1.0, 2.0, 3.0, 4.0]}
    with pytest.raises(glimm.GlimmError, match=r"exposure= is what a mean is proportional to.*use link='log'"):
        glimm.glm("y ~ x", rows, family=family, link=link, exposure="t")
