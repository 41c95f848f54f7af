"""Families, links and a user's own family through the doors: identities between fits, responses that are refused, words."""

import warnings

import numpy as np
import pytest
from scipy import special, stats

import glimm
from glimm.errors import GlimmError, GlimmWarning, NotYetError
from glimm.family import FAMILIES, resolve


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(12)
    g = np.repeat(np.arange(30), 8)
    x = rng.normal(size=240)
    mu = np.exp(0.4 + 0.5 * x + 0.5 * rng.normal(size=30)[g])
    return {
        "g": g,
        "x": x,
        "positive": rng.gamma(2.0, mu / 2.0),
        "count": rng.poisson(mu * rng.gamma(1.5, 1 / 1.5, 240)).astype(float),
        "unit": rng.beta(5 * special.expit(x), 5 * special.expit(-x)),
        "nonnegative": np.where(rng.random(240) < 0.3, 0.0, rng.gamma(2.0, mu / 2.0)),
        "real": np.log(mu) + rng.standard_t(5, 240),
        "binary": (rng.random(240) < special.expit(x)).astype(float),
        "w": rng.integers(1, 4, 240).astype(float),
    }


def gamma_density(y, mu, phi):
    return -(y / mu + np.log(mu * phi)) / phi + (1 / phi - 1) * np.log(y) - special.gammaln(1 / phi)


OWN_GAMMA = glimm.CustomFamily(
    "mine", gamma_density, link="log", parameters=("phi",), support="positive", variance=lambda mu, phi: phi * mu**2, start={"phi": 0.5}
)


def test_a_users_family_equals_the_built_in(data):
    for call in (
        lambda family: glimm.glm("positive ~ x", data, family=family, link="log"),
        lambda family: glimm.glmm("positive ~ x + (1 | g)", data, family=family, link="log", points=1),
        lambda family: glimm.glmm("positive ~ x + (1 | g)", data, family=family, link="log", points=5),
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", GlimmWarning)
            mine, known = call(OWN_GAMMA), call("gamma")
        assert mine.llf == pytest.approx(known.llf, abs=1e-7)
        np.testing.assert_allclose(mine.params, known.params, atol=1e-6)
        assert mine.parts["family"].params["phi"] == pytest.approx(known.parts["family"].params["phi"], rel=1e-5)
        assert mine.parts["family"].bse["phi"] == pytest.approx(known.parts["family"].bse["phi"], rel=1e-4)


def test_a_users_family_with_derivatives_and_gee(data):
    family = glimm.CustomFamily(
        "geometric",
        lambda y, mu: y * np.log(mu) - (y + 1) * np.log1p(mu),
        link="log",
        support="count",
        d1=lambda y, mu: y / mu - (y + 1) / (1 + mu),
        d2=lambda y, mu: (y + 1) / (1 + mu) ** 2 - y / mu**2,
        variance=lambda mu: mu + mu**2,
    )
    mine, known = (glimm.glmm("count ~ x + (1 | g)", data, family=f, points=7) for f in (family, "negative_binomial(1)"))
    assert mine.llf == pytest.approx(known.llf, abs=1e-7)
    np.testing.assert_allclose(mine.bse, known.bse, rtol=1e-5)
    mine, known = (glimm.gee("count ~ x", data, groups="g", family=f) for f in (family, "negative_binomial(1)"))
    np.testing.assert_allclose(mine.params, known.params, rtol=1e-9)
    np.testing.assert_allclose(mine.bse, known.bse, rtol=1e-9)


def test_a_students_t_is_scipys(data):
    def density(y, mu, scale):
        return stats.t.logpdf(y, 5, mu, scale)

    fit = glimm.glm("real ~ x", data, family=glimm.CustomFamily("t5", density, parameters=("scale",)))
    beta, scale = np.asarray(fit.params), fit.parts["family"].params["scale"]

    def loglik(v):
        return stats.t.logpdf(data["real"], 5, v[0] + v[1] * data["x"], np.exp(v[2])).sum()

    v = np.array([*beta, np.log(scale)])
    assert fit.llf == pytest.approx(loglik(v), abs=1e-9)
    slopes = [(loglik(v + d) - loglik(v - d)) / 2e-5 for d in np.eye(3) * 1e-5]
    np.testing.assert_allclose(slopes, 0.0, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"d1": lambda y, mu, phi: y / mu}, "d1 is not the derivative"),
        ({"loglik": lambda y, mu, phi: np.where(y > 1, np.nan, gamma_density(y, mu, phi))}, "loglik is nan at y = .*row"),
        ({"loglik": lambda y, mu, phi: gamma_density(y, np.round(mu, 3), phi), "variance": None}, "cannot be had by differences"),
        ({"loglik": 3}, "loglik must be a function, not int"),
        ({"support": "counts"}, "support must be one of"),
        ({"start": {"psi": 1.0}}, "start names 'psi'"),
        ({"start": {"phi": -1.0}}, "start of 'phi' must be positive"),
    ],
)
def test_refused_own_families(data, options, words):
    given = {"loglik": gamma_density, "link": "log", "parameters": ("phi",), "support": "positive", **options}
    with pytest.raises(GlimmError, match=words):
        glimm.glm("positive ~ x", data, family=glimm.CustomFamily("mine", **given))


def test_gee_needs_known_variances(data):
    for family, words in (("negative_binomial", "does not estimate k .*negative_binomial\\(2\\)"), ("tweedie", "does not estimate power")):
        with pytest.raises(GlimmError, match=words):
            glimm.gee("count ~ x", data, groups="g", family=family)
    with pytest.raises(GlimmError, match="gee needs variance="):
        glimm.gee(
            "real ~ x", data, groups="g", family=glimm.CustomFamily("laplace", lambda y, mu: -np.log(np.cosh(y - mu)) - np.log(np.pi))
        )


@pytest.mark.parametrize("family", ["gamma", "inverse_gaussian", "negative_binomial(1.4)", "tweedie(1.3)", "beta", "negative_binomial1"])
def test_an_independence_gee_has_the_glms_equations(data, family):
    name = family.partition("(")[0]
    column = FAMILIES[name].support if name != "tweedie" else "nonnegative"
    link = "logit" if name == "beta" else "log"
    gee = glimm.gee(f"{column} ~ x", data, groups="g", family=family, link=link, corr="independence")
    if name in ("beta", "negative_binomial1"):  # the equations of the same variance function with a free factor
        x, mu = np.column_stack([np.ones(240), data["x"]]), np.asarray(gee.fittedvalues)
        slope = mu * (1 - mu) if name == "beta" else mu
        v = mu * (1 - mu) if name == "beta" else mu
        np.testing.assert_allclose(x.T @ (slope / v * (data[column] - mu)), 0.0, atol=1e-8)
        return
    glm = glimm.glm(f"{column} ~ x", data, family=family, link=link, vcov={"cluster": "g"})
    np.testing.assert_allclose(gee.params, glm.params, rtol=1e-8)
    np.testing.assert_allclose(gee.bse, glm.bse, rtol=1e-7)


def test_precision_weights_stand_in_the_dispersion_and_others_multiply(data):
    whole = np.repeat(np.arange(240), data["w"].astype(int))
    repeated = {name: np.asarray(column)[whole] for name, column in data.items()}
    for column, family in (("count", "negative_binomial"), ("count", "negative_binomial1"), ("unit", "beta")):
        weighted = glimm.glm(f"{column} ~ x", data, family=family, weights="w")
        assert weighted.llf == pytest.approx(glimm.glm(f"{column} ~ x", repeated, family=family).llf, rel=1e-10)
    weighted = glimm.glm("positive ~ x", data, family="gamma", link="log", weights="w")
    phi = weighted.parts["family"].params["phi"]
    density = stats.gamma.logpdf(data["positive"], data["w"] / phi, scale=np.asarray(weighted.fittedvalues) * phi / data["w"])
    assert weighted.llf == pytest.approx(density.sum(), rel=1e-10)


@pytest.mark.parametrize(
    ("family", "value", "words"),
    [
        ("gamma", 0.0, r"'r' is 0: family 'gamma' needs positive numbers; family='tweedie' takes zeros.*\(row 2"),
        ("inverse_gaussian", -1.0, r"'r' is -1: .*positive numbers"),
        ("tweedie", -1.0, r"'r' is -1: .*at least 0"),
        ("beta", 1.0, r"'r' is 1: .*between 0 and 1; .*successes / trials.*\(row 2"),
        ("beta", 0.0, r"'r' is 0: .*between 0 and 1"),
        ("negative_binomial", 0.5, r"'r' is 0.5: counts must be whole"),
    ],
)
def test_refused_responses(family, value, words):
    values = [1.0, 2.0, value, 1.0, 3.0] if family != "beta" else [0.2, 0.3, value, 0.7, 0.5]
    with pytest.raises(GlimmError, match=words):
        glimm.glm("r ~ x", {"r": values, "x": [1, 2, 3, 4, 6]}, family=family)


def test_refit_checks_the_response(data):
    fit = glimm.glmm("positive ~ x + (1 | g)", data, family="gamma", link="log", points=5)
    assert fit.refit(fit.record.design.y).llf == pytest.approx(fit.llf, abs=1e-7)
    with pytest.raises(GlimmError, match="the responses of this model are positive numbers"):
        fit.refit(np.zeros(240))


@pytest.mark.parametrize(
    ("family", "link", "words"),
    [
        ("tweedie(2.5)", None, "between 1 and 2"),
        ("negative_binomial(-1)", None, "k must be positive"),
        ("gamma(2)", None, "takes no number"),
        ("gamma", "power", r"needs its number: write link='power\(0.5\)'"),
        ("gamma", "power(x)", "'x' is not a number"),
        ("gamma", "log(2)", "log takes no number"),
        ("gamma", "logit", "link 'logit' does not go with family 'gamma': use one of inverse, log, .*power"),
        ("gama", None, "did you mean 'gamma'"),
    ],
)
def test_refused_names(family, link, words):
    with pytest.raises(GlimmError, match=words):
        resolve(family, link)


def test_links_by_number_have_their_names():
    for number, name in ((0, "log"), (1, "identity"), (-1, "inverse"), (-2, "inverse_squared"), (0.5, "sqrt")):
        assert resolve("gamma", f"power({number})")[1].name == name
    assert resolve("beta", "odds_power(0)")[1].name == "logit"
    assert resolve("poisson", "power(lambda=0.3)")[1].kernel == (8, 0.3)


def test_counts_without_extra_variance_say_so():
    y = np.tile([1.0, 2.0, 3.0, 2.0, 1.0, 3.0], 20)
    x = np.tile([0.0, 0.5, 1.0], 40)
    for family in ("negative_binomial", "negative_binomial1"):
        with pytest.warns(GlimmWarning, match="no more than Poisson"):
            fit = glimm.glm("y ~ x", {"y": y, "x": x}, family=family)
        assert fit.record.solution.code == "boundary"
        assert fit.llf == pytest.approx(glimm.glm("y ~ x", {"y": y, "x": x}, family="poisson").llf, abs=1e-4)


def test_joint_estimates_have_no_sandwich_yet(data):
    with pytest.raises(NotYetError, match="estimated together"):
        glimm.glm("unit ~ x", data, family="beta", vcov="HC0").bse  # noqa: B018
    pair = glimm.glm("unit ~ x", data, family="beta"), glimm.gee("unit ~ x", data, groups="g", family="beta")
    assert "estimated together" in " ".join(str(glimm.compare(*pair)).split())


def test_a_power_that_runs_away_is_said():
    rng = np.random.default_rng(4)
    x = rng.normal(size=200)
    with pytest.warns(GlimmWarning, match=r"power runs to 2.*family='gamma'"):
        fit = glimm.glm("y ~ x", {"y": rng.wald(np.exp(x), 3.0), "x": x}, family="tweedie")
    assert fit.record.solution.code == "boundary"


def test_a_picture_of_a_link_with_a_number(data):
    pytest.importorskip("matplotlib")
    fit = glimm.glm("binary ~ x", data, family="binomial", link="odds_power(0.4)")
    assert "transformed by odds_power(0.4)" in " ".join(str(fit.summary()).split())
    assert fit.plot("x").axes


@pytest.mark.parametrize(
    ("family", "column"), [("negative_binomial", "count"), ("tweedie", "nonnegative"), ("beta", "unit"), ("gamma", "positive")]
)
def test_summaries_name_the_parameters(data, family, column):
    link = "log" if family == "gamma" else None
    for fit in (
        glimm.glm(f"{column} ~ x", data, family=family, link=link),
        glimm.glmm(f"{column} ~ x + (1 | g)", data, family=family, link=link, points=5),
    ):
        text = str(fit.summary())
        own = fit.parts["family"]
        for name, value in own.params.items():
            assert name in text
            assert f"{value:.4g}"[:4] in text
        assert np.all(own.bse > 0)
        k = fit.record.blocks["mean"].stop + len(own.params) + ("theta" in fit.record.blocks)
        assert fit.aic == pytest.approx(-2 * fit.llf + 2 * k)


@pytest.mark.parametrize("family", [f for f in FAMILIES if f not in ("gaussian", "binomial", "poisson")])
def test_every_question_has_an_answer(data, family):
    column = FAMILIES[family].support
    fit = glimm.glm(f"{column} ~ x", data, family=family, link="logit" if family == "beta" else "log")
    assert fit.record.solution.code == "converged"
    for kind in ("response", "pearson", "deviance", "working"):
        assert np.all(np.isfinite(fit.resid(kind)))
    assert fit.deviance == pytest.approx(float((fit.resid("deviance") ** 2).sum()), rel=1e-9)
    assert np.all(np.isfinite(fit.predict({"x": [0.0, 1.0]}, interval="confidence")))
    assert glimm.compare(fit, glimm.glm(f"{column} ~ 1", data, family=family, link="logit" if family == "beta" else "log"))
    mixed = glimm.glmm(f"{column} ~ x + (1 | g)", data, family=family, link="logit" if family == "beta" else "log", points=3)
    assert np.isfinite(mixed.aic)
    assert np.all(np.isfinite(mixed.marginal_params()["std_error"]))


@pytest.mark.parametrize(
    ("name", "here"), [("nbinom2", "negative_binomial"), ("nb1", "negative_binomial1"), ("Normal", "gaussian"), ("beta_family", "beta")]
)
def test_names_of_families_elsewhere(name, here):
    with pytest.raises(GlimmError, match=f"did you mean '{here}'"):
        resolve(name)


@pytest.mark.parametrize("family", ["beta", "tweedie"])
def test_a_constant_response_has_no_dispersion(family):
    with pytest.raises(GlimmError, match="fit every row exactly"):
        glimm.glm("y ~ x", {"y": [0.5] * 6, "x": [1, 2, 4, 3, 7, 6]}, family=family)


def test_constant_counts_are_poisson():
    with pytest.warns(GlimmWarning, match="no more than Poisson"):
        glimm.glm("y ~ x", {"y": [1] * 6, "x": [1, 2, 4, 3, 7, 6]}, family="negative_binomial")


def test_a_given_parameter_stands_in_comparisons(data):
    pair = glimm.glm("count ~ x", data, family="poisson"), glimm.gee("count ~ x", data, groups="g", family="negative_binomial(2)")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert "negative_binomial k (given)" in str(glimm.compare(*pair))
