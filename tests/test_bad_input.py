"""What a user can get wrong at the doors: each mistake has its own message, naming the column, the row or the level, and the remedy."""

import numpy as np
import pandas as pd
import pytest

import glimm

DOORS = {
    "glm": lambda formula, data, **k: glimm.glm(formula, data, **k),
    "glmm": lambda formula, data, **k: glimm.glmm(formula + " + (1 | g)", data, **k),
    "gee": lambda formula, data, **k: glimm.gee(formula, data, groups="g", **k),
}


@pytest.fixture
def data():
    rng = np.random.default_rng(2)
    return pd.DataFrame(
        {
            "g": np.repeat(np.arange(10), 6),
            "x": rng.normal(size=60),
            "smoke": rng.integers(0, 2, 60),
            "y": rng.normal(size=60),
            "b": np.tile([0, 1, 1], 20),
            "c": rng.poisson(3, 60),
        }
    )


@pytest.fixture(params=list(DOORS))
def door(request):
    return DOORS[request.param]


def refuses(door, formula, data, words, **k):
    with pytest.raises(glimm.GlimmError, match=words) as caught:
        door(formula, data, **k)
    return str(caught.value)


def test_unknown_column(door, data):
    message = refuses(door, "y ~ smoek", data, "smoek")
    assert "did you mean 'smoke'" in message


def test_misspelled_family(door, data):
    assert "did you mean 'binomial'" in refuses(door, "b ~ x", data, "unknown family 'binomal'", family="binomal")


def test_unknown_link_and_impossible_pair(door, data):
    refuses(door, "b ~ x", data, "unknown link 'logitt'.*did you mean 'logit'", family="binomial", link="logitt")
    refuses(
        door, "c ~ x", data, "link 'probit' does not go with family 'poisson': use one of log, identity", family="poisson", link="probit"
    )


def test_response_not_zero_one(door, data):
    refuses(door, "b ~ x", data.assign(b=data.b + 1), r"I\(b == 2\)", family="binomial")
    refuses(door, "c ~ x", data.assign(c=np.arange(60)), "c", family="binomial")


def test_negative_counts(door, data):
    data.loc[17, "c"] = -3
    refuses(door, "c ~ x", data, r"c.*-3.*row 17, counting from 0", family="poisson")


def test_empty_data(door, data):
    refuses(door, "y ~ x", data.iloc[:0], "no rows|0 rows|empty")


def test_all_rows_missing(door, data):
    message = refuses(door, "y ~ x", data.assign(x=np.nan), "x")
    assert "60" in message


def test_missing_can_be_refused(door, data):
    data.loc[[3, 5], "x"] = np.nan
    assert "2" in refuses(door, "y ~ x", data, "x", missing="error")
    assert door("y ~ x", data).nobs == 58


@pytest.mark.parametrize("name", ["glmm", "gee"])
def test_single_cluster(name, data):
    message = refuses(DOORS[name], "y ~ x", data.assign(g=1), "g")
    assert "glimm.glm" in message


def test_constant_and_collinear_predictors_are_left_out_and_named(door, data):
    data = data.assign(k=3.0, twice=2 * data.x + 1)
    fit = door("y ~ x + k + twice", data)
    plain = door("y ~ x", data)
    assert list(fit.params.index) == ["Intercept", "x"]
    assert fit.dropped["k"] == "= 3 * Intercept"
    assert set(fit.dropped["twice"].removeprefix("= ").split(" + ")) == {"2 * x", "1 * Intercept"}
    np.testing.assert_allclose(fit.params, plain.params)
    assert "twice" in fit.summary()


@pytest.mark.parametrize("name", ["glm", "gee"])
def test_bars_in_the_wrong_door(name, data):
    assert "glimm.glmm" in refuses(DOORS[name], "y ~ x + (1 | g)", data, r"1 \| g")


def test_no_bars_in_glmm(data):
    with pytest.raises(glimm.GlimmError, match=r"glimm\.glm") as caught:
        glimm.glmm("y ~ x", data)
    assert "glimm.gee" in str(caught.value)


@pytest.mark.parametrize(
    ("expression", "remedy"), [("I(x^2)", r"x\*\*2"), ("factor(smoke)", r"C\(smoke\)"), ("log(x)", "row"), ("nosuch(x)", "nosuch")]
)
def test_expressions_that_cannot_be_used(door, data, expression, remedy):
    refuses(door, f"y ~ {expression}", data, remedy)


@pytest.mark.parametrize("name", ["glm", "gee"])
def test_a_formula_that_ends_in_a_sign(name, data):
    refuses(DOORS[name], "y ~ x +", data, r"\+")


def test_infinite_values(door, data):
    data.loc[4, "x"] = np.inf
    refuses(door, "y ~ x", data, r"x.*row 4 \(counting from 0\)")


def test_more_coefficients_than_rows(data):
    few = data.iloc[[0, 7]]
    with pytest.raises(glimm.GlimmError, match="as many levels as there are rows"):
        glimm.glmm("y ~ x + (1 | g)", few)
    with pytest.raises(glimm.GlimmError, match="3 rows for 3 coefficients"):
        glimm.glmm("y ~ x + c + (1 | g)", data.iloc[[0, 1, 7]])
    fit = glimm.glm("y ~ x", few)
    assert fit.df_resid == 0
    assert fit.bse.isna().all()


def test_separated_outcomes_are_said(data):
    separated = data.assign(b=(data.x > 0).astype(int))
    with pytest.warns(glimm.GlimmWarning, match="fitted probabilities of 0 or 1"):
        fit = glimm.glm("b ~ x", separated, family="binomial")
    assert not fit.converged
    assert fit.record.solution.code == "separated"
    assert "0 or 1" in fit.summary()


def test_arguments_of_later_releases(data):
    for call, words in [
        (lambda: glimm.glmm("y ~ x + (1 | g)", data, dispersion="~ x"), "dispersion"),
        (lambda: glimm.gee("y ~ x", data, groups="g", dropout="x"), "dropout"),
    ]:
        with pytest.raises(glimm.NotYetError, match=words):
            call()


def test_wrong_arguments(data):
    for call, words in [
        (lambda: glimm.glm("y ~ x", data, vcov="HC9"), "HC9"),
        (lambda: glimm.glmm("y ~ x + (1 | g)", data, vcov="HC0"), "'model' or {'cluster': 'column'} for a mixed model"),
        (lambda: glimm.glm("y ~ x", data, vcov={"cluster": "nosuch"}), "nosuch"),
        (lambda: glimm.glm("y ~ x", data, missing="ignore"), "missing must be"),
        (lambda: glimm.glm(3, data), "formula must be text"),
        (lambda: glimm.glm("y ~ x", data, control={"tol": 1}), "glimm.Control"),
        (lambda: glimm.Control(tol=0), "tol"),
        (lambda: glimm.Control(threads=0), "threads"),
        (lambda: glimm.glmm("b ~ x + (1 | g)", data, family="binomial", reml=True), "reml"),
        (lambda: glimm.glmm("b ~ x + (1 | g)", data, family="binomial", points=0), "points"),
        (lambda: glimm.glmm("b ~ x + (1 | g)", data, family="binomial", points="many"), "points"),
        (lambda: glimm.gee("y ~ x", data, groups="g", corr="ar2"), "corr='ar2'"),
        (lambda: glimm.gee("y ~ x", data, groups="g", moments="sas"), "moments must be"),
        (lambda: glimm.compare(glimm.glm("y ~ x", data)), "two or more"),
        (lambda: glimm.compare(glimm.glm("y ~ x", data), "y"), "not str"),
        (lambda: glimm.glm("y ~ x", data).resid("raw"), "resid"),
        (lambda: glimm.glm("y ~ x", data).conf_int(level=95), "between 0 and 1"),
        (lambda: glimm.glm("y ~ x", data).predict(target="conditional"), "no random effects"),
        (lambda: glimm.glm("y ~ x", data).predict(scale="odds"), "scale must be"),
        (lambda: glimm.glm("y ~ x", data, control=glimm.Control(start={"z": 1})), "start names 'z'"),
    ]:
        with pytest.raises(glimm.GlimmError, match=words):
            call()


def test_a_gee_names_what_it_does_not_have(data):
    fit = glimm.gee("y ~ x", data, groups="g")
    for name in ("llf", "aic", "bic"):
        with pytest.raises(AttributeError, match="qic"):
            getattr(fit, name)


def test_misspelled_names_of_the_package():
    with pytest.raises(AttributeError, match="did you mean 'glmm'"):
        _ = glimm.gllmm


def test_correlation_outside_its_range_is_said():
    rng = np.random.default_rng(1)
    pairs = rng.normal(size=40)
    data = pd.DataFrame({"g": np.repeat(np.arange(40), 2), "y": np.column_stack([pairs, -pairs]).ravel()})
    with pytest.warns(glimm.GlimmWarning, match=r"correlation alpha.*belongs to no correlation matrix.*independence"):
        fit = glimm.gee("y ~ 1", data, groups="g")
    np.testing.assert_allclose(fit.corr_params["alpha"], -0.9)  # pairs: eigenvalues 1 +- alpha, the smallest one 0.1
    assert fit.record.solution.evidence["least_eigenvalue"] < 0
