"""GLM of ordinal and nominal responses: clm, polr, multinom and sandwich of R, mpmath, closed forms, identities, what cannot be had."""

from __future__ import annotations

import contextlib
import json
import pickle
import warnings

import mpmath as mp
import numpy as np
import pandas as pd
import pytest
from scipy import stats

import glimm
from glimm.cli import main
from glimm.inference.criteria import criteria, n_parameters
from support import HERE
from test_kernel_levels import interval

REFERENCE = json.loads((HERE / "levels_glm.json").read_text())
LINKS = ("logit", "probit", "cloglog", "loglog", "cauchit")
MIRROR = {"cloglog": "loglog", "loglog": "cloglog"}
ORDERS = {"Sat": ["Low", "Medium", "High"], "Infl": ["Low", "Medium", "High"], "Cont": ["Low", "High"]}
TYPES = ["Tower", "Apartment", "Atrium", "Terrace"]
WINE, WEIGHTED, HOUSING, KOCH = (
    "rating ~ temp + contact",
    "rating ~ temp + contact + offset(o)",
    "Sat ~ Infl + Type + Cont",
    "y ~ trt + C(day)",
)


@pytest.fixture(scope="module")
def data():
    """The tables that R fitted, by name."""
    wine, housing = (pd.DataFrame(REFERENCE["data"][name]) for name in ("wine", "housing"))
    wine["rating"] = wine["rating"].astype(int)
    for name, levels in ORDERS.items():
        housing[name] = pd.Categorical(housing[name], levels, ordered=name == "Sat")
    housing["Type"] = pd.Categorical(housing["Type"], TYPES)
    return {"wine": wine, "housing": housing, "koch": pd.read_csv(HERE / "data" / "geepack_koch.csv")}


def ordinal(formula, data, link="logit", **given):
    return glimm.glm(formula, data, family="ordinal", link=link, **given)


def nominal(formula, data, **given):
    return glimm.glm(formula, data, family="multinomial", **given)


def known(name, data, link, **given):
    """The fits that clm made."""
    made = {
        "wine": (WINE, "wine", {}),
        "wine_weights": (WEIGHTED, "wine", {"weights": "w"}),
        "housing": (HOUSING, "housing", {"weights": "Freq"}),
        "koch": (KOCH, "koch", {}),
        "housing_interaction": ("Sat ~ Infl * Type + Cont", "housing", {"weights": "Freq"}),
    }
    formula, table, more = made[name]
    return ordinal(formula, data[table], link, **more, **given)


# numbers from elsewhere


@pytest.mark.parametrize("link", LINKS[:4])
@pytest.mark.parametrize("name", ["wine", "wine_weights", "housing", "koch"])
def test_clm(data, name, link):
    want, fit = REFERENCE["clm"][name][link], known(name, data, link)
    errors = np.array(want["errors"])
    assert np.abs(fit.params - list(want["coefficients"].values())).to_numpy() == pytest.approx(0.0, abs=1e-9 * errors.min())
    np.testing.assert_allclose(fit.bse, errors, rtol=1e-9)
    cov = np.array(want["vcov"])
    np.testing.assert_allclose(fit.cov_params() / np.outer(errors, errors), cov / np.outer(errors, errors), rtol=0, atol=1e-9)
    assert fit.llf == pytest.approx(want["loglik"], rel=1e-12)
    assert fit.aic == pytest.approx(want["aic"], rel=1e-12)
    assert fit.deviance == pytest.approx(-2.0 * want["loglik"], rel=1e-12)
    if want["nobs"] == fit.nobs:  # clm counts rows by their weights
        assert fit.bic == pytest.approx(want["bic"], rel=1e-12)


def test_clm_interaction(data):
    want, fit = REFERENCE["clm"]["housing_interaction"]["logit"], known("housing_interaction", data, "logit")
    names = [name.replace("[T.", "").replace("]", "") for name in fit.params.index]
    by_name = dict(zip(names, zip(fit.params, fit.bse, strict=True), strict=True))
    assert len(by_name) == 14
    for (term, value), error in zip(want["coefficients"].items(), want["errors"], strict=True):
        assert by_name[term] == (pytest.approx(value, abs=1e-9 * error), pytest.approx(error, rel=1e-8))
    assert fit.llf == pytest.approx(want["loglik"], rel=1e-12)


def newton_step(fit, x, y, size, offset, link):
    """(step, standard errors) of Newton's method in mpmath at the estimates of a fit, by thresholds and coefficients."""
    m = len(fit.levels) - 1
    theta = [mp.mpf(float(v)) for v in fit.params]
    g, h, llf = mp.matrix(len(theta), 1), mp.matrix(len(theta), len(theta)), mp.mpf(0)
    for xi, k, s, o in zip(x, y, size, offset, strict=True):
        common = mp.mpf(float(o)) + mp.fsum(mp.mpf(float(v)) * b for v, b in zip(xi, theta[m:], strict=True))
        a, b = (common - theta[k - 1] if k else None), (common - theta[k] if k < m else None)
        log_pi, ra, rb, aa, ab, bb = interval(link, a, b)
        llf += s * log_pi
        along = []
        for c in (k - 1, k):
            row = [mp.mpf(0)] * m + [mp.mpf(float(v)) for v in xi]
            if 0 <= c < m:
                row[c] = mp.mpf(-1)
                along.append(row)
            else:
                along.append([mp.mpf(0)] * len(theta))
        for p in range(len(theta)):
            g[p] += s * (ra * along[0][p] + rb * along[1][p])
            for q in range(len(theta)):
                u, v, w, z = along[0][p], along[1][p], along[0][q], along[1][q]
                h[p, q] -= s * (aa * u * w + ab * (u * z + v * w) + bb * v * z)
    inverse = h**-1
    return inverse * g, [mp.sqrt(inverse[p, p]) for p in range(len(theta))], llf


@pytest.mark.parametrize("link", LINKS)
def test_a_next_step_by_mpmath(data, link):
    """Newton's next step is nothing, for cauchit too, whose outer levels clm and polr end at a finite predictor."""
    wine = data["wine"]
    fit = ordinal(WEIGHTED, wine, link, weights="w")
    x = np.column_stack([wine["temp"] == "warm", wine["contact"] == "yes"]).astype(float)
    with mp.workdps(40):
        step, errors, llf = newton_step(fit, x, wine["rating"] - 1, wine["w"], wine["o"], link)
        assert max(abs(s / e) for s, e in zip(step, errors, strict=True)) < 1e-11
        assert max(abs(float(e) / f - 1.0) for e, f in zip(errors, fit.bse, strict=True)) < 1e-10
        assert fit.llf == pytest.approx(float(llf), rel=1e-13)


def test_cauchit_of_clm_is_near(data):
    for name in ("wine", "housing", "koch"):
        want, fit = REFERENCE["clm"][name]["cauchit"], known(name, data, "cauchit")
        assert np.abs((fit.params - list(want["coefficients"].values())) / fit.bse).max() < 2e-4
        assert 0.0 < fit.llf - want["loglik"] < 0.02  # rows of the outer levels lose 3e-6 of their probability there


def test_polr(data):
    want, fit = REFERENCE["polr"], known("housing", data, "logit")
    np.testing.assert_allclose(fit.params[:2], list(want["thresholds"].values()), rtol=0, atol=1e-5)
    np.testing.assert_allclose(fit.params[2:], list(want["coefficients"].values()), rtol=0, atol=1e-5)
    assert fit.deviance == pytest.approx(want["deviance"], abs=1e-6)
    assert fit.deviance < want["deviance"] + 1e-8


def test_multinom(data):
    for name, formula, weights in (("housing", HOUSING, "Freq"), ("koch", KOCH, None)):
        want = REFERENCE["multinom"][name]
        fit = nominal(formula, data[name], weights=weights)
        errors = np.array(want["errors"])
        found = fit.params.to_numpy().reshape(errors.shape)
        assert np.abs((found - want["coefficients"]) / errors).max() < 1e-6
        np.testing.assert_allclose(fit.bse.to_numpy().reshape(errors.shape), errors, rtol=1e-6)
        assert fit.deviance == pytest.approx(want["deviance"], rel=1e-12)
        assert fit.aic == pytest.approx(want["aic"], rel=1e-12)
        np.testing.assert_allclose(fit.predict()[:6], want["probability"], rtol=0, atol=1e-6)
    wine = data["wine"].assign(four=data["wine"]["rating"].clip(upper=4), third=data["wine"]["judge"].astype(int) / 3)
    want, fit = REFERENCE["multinom"]["wine"], nominal("four ~ third", wine, weights="w")
    errors = np.array(want["errors"])
    assert np.abs((fit.params.to_numpy().reshape(errors.shape) - want["coefficients"]) / errors).max() < 1e-6
    np.testing.assert_allclose(fit.bse.to_numpy().reshape(errors.shape), errors, rtol=1e-6)


@pytest.mark.parametrize("link", ["logit", "probit", "cloglog"])
def test_sandwich(data, link):
    want = REFERENCE["sandwich"][link]
    for kind, vcov in (("rows", "HC0"), ("clusters", {"cluster": "id"}), ("small", {"cluster": "id", "small": True})):
        fit = ordinal(KOCH, data["koch"], link, vcov=vcov)
        np.testing.assert_allclose(fit.cov_params(), want[kind], rtol=1e-8)
    rows = ordinal(KOCH, data["koch"], link, vcov="HC1")
    np.testing.assert_allclose(rows.cov_params(), np.array(want["rows"]) * 288 / (288 - 6), rtol=1e-8)


def test_predictions_of_clm(data):
    """clm predicts all levels of a new row with standard errors."""
    want, fit = REFERENCE["clm"]["predicted"], ordinal(WINE, data["wine"], "probit")
    new = pd.DataFrame({"temp": ["cold", "warm"], "contact": ["no", "yes"]})
    np.testing.assert_allclose(fit.predict(new), want["fit"], rtol=1e-9)
    table = fit.predict(new, interval="confidence")
    np.testing.assert_allclose(table["std_error"].to_numpy().reshape(2, 5), want["se"], rtol=1e-8)
    assert list(table["level"][:5]) == [1, 2, 3, 4, 5]
    np.testing.assert_allclose(fit.predict(new).sum(axis=1), 1.0, rtol=1e-14)
    link = fit.predict(new, scale="link")
    np.testing.assert_allclose(link, [0.0, fit.params[-2:].sum()], rtol=0, atol=1e-14)


def test_nominal_robust_by_dense_algebra(data):
    """Scores (1(y = c) - p_c) x by row, summed over rows or clusters, between inverse Hessians."""
    koch = data["koch"]
    fit = nominal(KOCH, koch)
    x = np.column_stack([np.ones(len(koch)), koch["trt"], *[(koch["day"] == d) for d in (7, 10, 14)]]).astype(float)
    p = fit.predict()
    score = np.concatenate([((koch["y"] == c + 1) - p[:, c]).to_numpy()[:, None] * x for c in (1, 2)], axis=1)
    hessian = np.block([[x.T @ ((p[:, c] * ((c == d) - p[:, d]))[:, None] * x) for d in (1, 2)] for c in (1, 2)])
    bread = np.linalg.inv(hessian)
    np.testing.assert_allclose(fit.cov_params(), bread, rtol=1e-9)
    np.testing.assert_allclose(nominal(KOCH, koch, vcov="HC0").cov_params(), bread @ score.T @ score @ bread, rtol=1e-8)
    sums = pd.DataFrame(score).groupby(koch["id"]).sum().to_numpy()
    cov = bread @ sums.T @ sums @ bread
    np.testing.assert_allclose(nominal(KOCH, koch, vcov={"cluster": "id"}).cov_params(), cov, rtol=1e-8)
    gee = glimm.gee(KOCH, koch, groups="id", family="multinomial", corr="independence")
    np.testing.assert_allclose(gee.cov_params(), cov, rtol=1e-8)


@pytest.mark.parametrize("family", ["ordinal", "multinomial"])
def test_corrections_are_those_of_the_gee(data, family):
    """Under independence, by cluster; the jackknife of rows is that of clusters of one row."""
    koch = data["koch"].assign(each=np.arange(288))
    for kind in ("mancl_derouen", "fay_graubard", "jackknife"):
        fit = glimm.glm(KOCH, koch, family=family, vcov={"cluster": "id", "small": kind})
        gee = glimm.gee(KOCH, koch, groups="id", family=family, corr="independence", vcov=kind)
        np.testing.assert_allclose(fit.cov_params(), gee.cov_params(), rtol=1e-9)
        np.testing.assert_allclose(fit.pvalues, gee.pvalues, rtol=1e-9)
    rows = glimm.glm("y ~ trt", koch, family=family, vcov="jackknife")
    p = len(rows.params)
    left = np.array([glimm.glm("y ~ trt", koch.drop(index=i), family=family).params - rows.params for i in koch.index])
    each = glimm.gee("y ~ trt", koch, groups="each", family=family, corr="independence", vcov="jackknife")
    np.testing.assert_allclose(rows.cov_params(), each.cov_params(), rtol=1e-9)
    full = glimm.glm("y ~ trt", koch, family=family, vcov="full_jackknife")
    np.testing.assert_allclose(full.cov_params(), (288 - p) / 288 * left.T @ left, rtol=1e-7)
    np.testing.assert_allclose(full.conf_int()["conf_high"], full.params + stats.t.ppf(0.975, 288 - p) * full.bse, rtol=1e-10)


def test_factors_and_degrees_of_freedom(data):
    koch = data["koch"]
    plain = ordinal(KOCH, koch, vcov={"cluster": "id"})
    k, n, p = koch["id"].nunique(), 288, 6
    for small, factor in (
        ("CR1", k / (k - 1)),
        ("CR1S", k / (k - 1) * (n - 1) / (n - p)),
        (True, k / (k - 1) * (n - 1) / (n - p)),
        ("CR1p", k / (k - p)),
    ):
        fit = ordinal(KOCH, koch, vcov={"cluster": "id", "small": small})
        np.testing.assert_allclose(fit.cov_params(), factor * plain.cov_params(), rtol=1e-12)
    for df, left in (("k_minus_1", k - 1), ("k_minus_p", k - p), ("n_minus_p", n - p), (12.5, 12.5)):
        fit = ordinal(KOCH, koch, vcov={"cluster": "id", "df": df})
        np.testing.assert_allclose(fit.pvalues, 2 * stats.t.sf(np.abs(fit.tvalues), left), rtol=1e-10)
    normal = ordinal(KOCH, koch, vcov={"type": "jackknife", "df": "normal"})
    np.testing.assert_allclose(normal.pvalues, 2 * stats.norm.sf(np.abs(normal.tvalues)), rtol=1e-10)


# closed forms


@pytest.mark.parametrize("link", LINKS)
def test_constant_alone(link):
    """Thresholds are the links of cumulated shares; errors by the delta method from Var(share) = c (1 - c) / n."""
    counts = np.array([3, 10, 4, 1])
    fit = ordinal("y ~ 1", {"y": np.repeat([0, 1, 2, 3], counts)}, link)
    share, n = np.cumsum(counts)[:-1] / counts.sum(), counts.sum()
    quantile = {
        "logit": lambda p: np.log(p / (1 - p)),
        "probit": stats.norm.ppf,
        "cloglog": lambda p: np.log(-np.log1p(-p)),
        "loglog": lambda p: -np.log(-np.log(p)),
        "cauchit": stats.cauchy.ppf,
    }[link]
    np.testing.assert_allclose(fit.params, quantile(share), rtol=1e-10)
    slope = np.array([(quantile(s + 1e-6) - quantile(s - 1e-6)) / 2e-6 for s in share])
    np.testing.assert_allclose(fit.bse, slope * np.sqrt(share * (1 - share) / n), rtol=1e-6)
    assert fit.llf == pytest.approx(float(np.sum(counts * np.log(counts / n))), rel=1e-13)
    assert list(fit.params.index) == ["0|1", "1|2", "2|3"]


def test_constant_alone_of_nominal():
    counts = np.array([3, 10, 4, 1])
    fit = nominal("y ~ 1", {"y": np.repeat(list("abcd"), counts)})
    np.testing.assert_allclose(fit.params, np.log(counts[1:] / counts[0]), rtol=1e-10)
    np.testing.assert_allclose(fit.bse, np.sqrt(1 / counts[1:] + 1 / counts[0]), rtol=1e-9)
    assert list(fit.params.index) == ["b: Intercept", "c: Intercept", "d: Intercept"]


def test_saturated_table(data):
    """A nominal model of a table's cells gives its shares back."""
    koch = data["koch"]
    fit = nominal("y ~ C(day) * trt", koch)
    share = koch.groupby(["day", "trt"])["y"].value_counts(normalize=True).unstack(fill_value=0.0)
    seen = share.loc[list(zip(koch["day"], koch["trt"], strict=True))].to_numpy()
    if (share == 0.0).any().any():
        assert not fit.converged
    np.testing.assert_allclose(fit.predict(), seen, rtol=0, atol=1e-6)


# identities


@pytest.mark.parametrize("link", LINKS)
def test_frequencies_are_repeated_rows(data, link):
    """Weights of whole numbers multiply the likelihood as so many rows do."""
    housing = data["housing"]
    long = housing.loc[housing.index.repeat(housing["Freq"])]
    a, b = known("housing", data, link), ordinal(HOUSING, long, link)
    np.testing.assert_allclose(a.params, b.params, rtol=0, atol=1e-10)
    np.testing.assert_allclose(a.bse, b.bse, rtol=1e-10)
    assert a.llf == pytest.approx(b.llf, rel=1e-12)
    assert b.nobs == housing["Freq"].sum()
    c = ordinal(HOUSING, housing, link, weights=glimm.frequency("Freq"))
    assert (c.nobs, c.df_resid) == (b.nobs, b.df_resid) == (REFERENCE["polr"]["nobs"], REFERENCE["polr"]["df_residual"])
    assert c.bic == pytest.approx(b.bic, rel=1e-12)
    if link != "cauchit":
        assert c.bic == pytest.approx(REFERENCE["clm"]["housing"][link]["bic"], rel=1e-12)
    np.testing.assert_allclose(c.bse, b.bse, rtol=1e-10)
    assert c.glance().loc[0, "nobs"] == b.nobs
    for vcov in ("HC0", "HC1"):
        robust = ordinal(HOUSING, housing, link, weights=glimm.frequency("Freq"), vcov=vcov)
        np.testing.assert_allclose(robust.cov_params(), ordinal(HOUSING, long, link, vcov=vcov).cov_params(), rtol=1e-8)


@pytest.mark.parametrize("link", LINKS)
def test_levels_reversed(data, link):
    """The mirror image: coefficients and thresholds change sign, and cloglog is loglog."""
    wine = data["wine"]
    a = ordinal(WEIGHTED, wine, link, weights="w")
    b = ordinal(WEIGHTED, wine.assign(rating=-wine["rating"], o=-wine["o"]), MIRROR.get(link, link), weights="w")
    np.testing.assert_allclose(b.params[4:], -a.params[4:], rtol=0, atol=1e-11)
    np.testing.assert_allclose(b.params[:4], -a.params[:4][::-1], rtol=0, atol=1e-11)
    np.testing.assert_allclose(b.bse[4:], a.bse[4:], rtol=1e-11)
    assert b.llf == pytest.approx(a.llf, rel=1e-13)


@pytest.mark.parametrize("family", ["ordinal", "multinomial"])
def test_order_of_rows_and_threads(data, family):
    koch = pd.concat([data["koch"]] * 80, ignore_index=True)  # more than two blocks
    koch["x"] = np.random.default_rng(1).normal(size=len(koch))
    fit = glimm.glm("y ~ trt + x", koch, family=family, control=glimm.Control(threads=1))
    two = glimm.glm("y ~ trt + x", koch, family=family, control=glimm.Control(threads=2))
    assert np.array_equal(fit.params, two.params)
    assert np.array_equal(fit.cov_params(), two.cov_params())
    other = glimm.glm("y ~ trt + x", koch.sample(frac=1.0, random_state=2), family=family)
    np.testing.assert_allclose(other.params, fit.params, rtol=1e-10, atol=1e-10)


def test_reference_level_makes_no_difference(data):
    koch = data["koch"]
    a, b = nominal(KOCH, koch), nominal(KOCH, koch.assign(y=pd.Categorical(koch["y"], [3, 1, 2])))
    assert a.llf == pytest.approx(b.llf, rel=1e-13)
    np.testing.assert_allclose(a.predict(), b.predict()[:, [1, 2, 0]], rtol=0, atol=1e-11)


@pytest.mark.parametrize("family", ["ordinal", "multinomial"])
def test_gee_under_independence(data, family):
    koch = data["koch"]
    fit, gee = glimm.glm(KOCH, koch, family=family), glimm.gee(KOCH, koch, groups="id", family=family, corr="independence")
    np.testing.assert_allclose(fit.params, gee.params, rtol=0, atol=1e-12)
    np.testing.assert_allclose(fit.fittedvalues, gee.fittedvalues, rtol=0, atol=1e-12)


def test_far_from_zero_and_other_units(data):
    rng = np.random.default_rng(7)
    x = rng.normal(size=400)
    y = np.digitize(x + rng.logistic(size=400), [-1.0, 0.0, 1.5])
    a = ordinal("y ~ x", {"y": y, "x": x})
    b = ordinal("y ~ x", {"y": y, "x": 1e6 + x})
    assert b.params["x"] == pytest.approx(a.params["x"], rel=1e-8)
    assert b.llf == pytest.approx(a.llf, rel=1e-11)
    np.testing.assert_allclose(b.params[:3], a.params[:3] + 1e6 * b.params["x"], rtol=1e-11)
    np.testing.assert_allclose(b.fittedvalues, a.fittedvalues, rtol=0, atol=1e-8)
    c = ordinal("y ~ x", {"y": y, "x": 1e-12 * x})
    assert c.params["x"] == pytest.approx(1e12 * a.params["x"], rel=1e-9)


@pytest.mark.parametrize("link", LINKS)
def test_extreme_predictors(link):
    """A row far out has a probability of 1, and changes nothing but its own."""
    rng = np.random.default_rng(8)
    x = rng.normal(size=300)
    y = np.digitize(x + rng.normal(size=300), [-1.0, 0.5])
    plain = ordinal("y ~ x", {"y": y, "x": x}, link)
    far = ordinal("y ~ x", {"y": np.append(y, [0, 2]), "x": np.append(x, [-900.0, 900.0])}, link)
    assert far.converged
    if link != "cauchit":  # whose tails are heavy
        np.testing.assert_allclose(far.params, plain.params, rtol=0, atol=1e-8)
    assert np.isfinite(far.bse).all()


# the account


def test_faces(data):
    housing = data["housing"]
    fit = ordinal(HOUSING, housing, weights="Freq")
    text = str(fit.summary())
    assert text.startswith("GLM: rows independent, cumulative probabilities of ordered levels")
    assert "order of levels: Sat = Low < Medium < High" in text
    assert "log-likelihood: -1739.57   AIC: 3495.15" in text
    assert "observed information; normal reference" in text
    assert "GEE" not in text
    assert "HTML" not in fit._repr_html_()
    assert fit.glance().loc[0, ["llf", "deviance", "levels"]].tolist() == [fit.llf, fit.deviance, 3]
    assert list(fit.tidy()["term"])[:2] == ["Low|Medium", "Medium|High"]
    assert {"row", "Sat", "fitted_Low", "fitted_Medium", "fitted_High"} <= set(fit.augment().columns)
    assert fit.df_resid == 72 - 8
    assert n_parameters(fit.record) == 8
    assert criteria(fit.record)["aic"] == fit.aic
    assert fit.parts == {}
    assert fit.levels == ("Low", "Medium", "High")
    again = pickle.loads(pickle.dumps(fit))
    assert str(again.summary()) == text
    np.testing.assert_array_equal(again.predict(), fit.predict())
    low = fit.conf_int()
    np.testing.assert_allclose(low["conf_low"], fit.params - 1.959963984540054 * fit.bse, rtol=1e-12)
    assert fit.check().codes == ()
    effect = fit.effect("Cont")
    assert effect["estimate"].sum() == pytest.approx(0.0, abs=1e-14)
    test = fit.wald_test("Type")
    assert test.df == 3
    cov = fit.cov_params().loc[(at := [n for n in fit.params.index if n.startswith("Type")]), at]
    assert test.statistic == pytest.approx(fit.params[at] @ np.linalg.solve(cov, fit.params[at]), rel=1e-9)
    assert fit.wald_test_terms()["term"].tolist() == ["Infl", "Type", "Cont"]
    spread = nominal(HOUSING, housing, weights="Freq")
    assert str(spread.summary()).startswith("GLM: rows independent, probabilities of levels")
    assert "log odds of a level against Low" in str(spread.summary()).replace("\n", " ")


def test_effects_with_other_errors(data):
    """By finite differences of the average probability, and as a sample of rows."""
    koch = data["koch"]
    fit = ordinal("y ~ trt + day", koch, "probit", vcov="HC0")
    table = fit.effect("trt")

    def average(v, trt):
        eta = (v[2] * trt + v[3] * koch["day"]).to_numpy()
        p = stats.norm.cdf(v[:2] - eta[:, None])
        return np.diff(np.column_stack([np.zeros(len(p)), p, np.ones(len(p))]), axis=1).mean(axis=0)

    v, cov = fit.params.to_numpy(), fit.cov_params().to_numpy()
    np.testing.assert_allclose(table["estimate"], average(v, 1) - average(v, 0), rtol=0, atol=1e-10)
    steps = [(average(v + e, 1) - average(v + e, 0) - average(v - e, 1) + average(v - e, 0)) / 2e-5 for e in 1e-5 * np.eye(4)]
    gradient = np.array(steps).T
    np.testing.assert_allclose(table["std_error"], np.sqrt(np.diag(gradient @ cov @ gradient.T)), rtol=1e-6)
    sampled = fit.effect("trt", errors="sampled")
    left = np.array([ordinal("y ~ trt + day", koch.drop(index=i), "probit").effect("trt")["estimate"] for i in koch.index])
    np.testing.assert_allclose(sampled["std_error"], np.sqrt(((left - left.mean(axis=0)) ** 2).sum(axis=0)), rtol=0.02)
    clustered = ordinal("y ~ trt + day", koch, "probit", vcov={"cluster": "id"})
    assert np.isfinite(clustered.effect("trt", errors="sampled")["std_error"]).all()
    assert "clusters: id" in " ".join(str(clustered.summary()).split())
    by_other = fit.effect("trt", vcov="model")["std_error"]
    np.testing.assert_allclose(by_other, ordinal("y ~ trt + day", koch, "probit").effect("trt")["std_error"], rtol=1e-12)


def test_simulate(data):
    fit = nominal(HOUSING, data["housing"], weights="Freq")
    draws = fit.simulate(4000, seed=3)
    assert draws.shape == (72, 4000)
    p = fit.predict()
    for k, level in enumerate(fit.levels):
        z = ((draws == level).mean(axis=1) - p[:, k]) / np.sqrt(p[:, k] * (1 - p[:, k]) / 4000)
        assert np.abs(z).max() < 4.5
    assert np.array_equal(draws, fit.simulate(4000, seed=3))
    with pytest.raises(glimm.GlimmError, match="whole number"):
        fit.simulate(0)


def test_levels_without_rows_and_missing(data):
    koch = data["koch"].assign(y=pd.Categorical(data["koch"]["y"], [1, 9, 2, 3], ordered=True))
    koch.loc[3, "trt"] = np.nan
    fit = ordinal(KOCH, koch)
    assert fit.nobs == 287
    assert "without rows, so not in the model: 9" in str(fit.summary())
    assert fit.predict().shape == (287, 3)
    np.testing.assert_allclose(fit.params, ordinal(KOCH, data["koch"].drop(index=3)).params, rtol=0, atol=1e-12)


def test_separation(data):
    koch = data["koch"].assign(apart=lambda d: (d["y"] == 3).astype(float), x=np.arange(288.0) % 7)
    with pytest.warns(glimm.GlimmWarning, match="no finite estimates of"):
        fit = nominal("y ~ x + apart", koch)
    assert fit.record.solution.code == "separated"
    assert np.isnan(fit.bse[fit.record.solution.evidence["infinite"][0]])
    assert fit.check().codes == ("separated",)
    with pytest.warns(glimm.GlimmWarning, match="no finite estimates of"):
        fit = ordinal("y ~ x + apart", koch)
    assert "apart" in fit.record.solution.evidence["infinite"]
    assert np.isnan(fit.bse["apart"])
    inside = koch[koch["y"] != 3]
    limit = float(np.log(inside["y"].value_counts() / len(inside)) @ inside["y"].value_counts())
    assert fit.llf > limit - 1e-6  # the third level costs nothing


@pytest.mark.parametrize("link", LINKS[:4])
def test_what_is_left_in_the_limit(link):
    """A predictor that tells the first level apart: thresholds and slopes of the others are those of the others alone."""
    rng = np.random.default_rng(6)
    x = rng.normal(50.0, 5.0, 500)
    d = pd.DataFrame({"x": x, "y": np.digitize(0.2 * (x - 50.0) + rng.logistic(size=500), [-1.0, 0.0, 1.5])})
    d["first"] = (d["y"] == 0).astype(int)
    few = ordinal("y ~ x", d[d["y"] > 0], link)
    with pytest.warns(glimm.GlimmWarning, match=r"no finite estimates of 0\|1, first:"):
        fit = ordinal("y ~ x + first", d, link)
    there = ["1|2", "2|3", "x"]
    np.testing.assert_allclose(fit.params[there], few.params, rtol=0, atol=1e-7 * few.bse.max())
    np.testing.assert_allclose(fit.bse[there], few.bse, rtol=1e-6)
    assert fit.bse.isna().sum() == 2
    assert fit.llf == pytest.approx(few.llf, abs=1e-8)
    with pytest.warns(glimm.GlimmWarning, match="no finite estimates"):
        robust = ordinal("y ~ x + first", d, link, vcov="HC0")
    np.testing.assert_allclose(robust.bse[there], ordinal("y ~ x", d[d["y"] > 0], link, vcov="HC0").bse, rtol=1e-6)


def test_not_converged(data):
    with pytest.warns(glimm.GlimmWarning, match="no convergence in 2 passes"):
        fit = ordinal(WINE, data["wine"], control=glimm.Control(max_iter=2))
    assert not fit.converged
    assert fit.check().codes == ("not_converged",)
    assert "corr=" not in str(fit.check())


def test_command_line(data, tmp_path, capsys):
    path = tmp_path / "wine.csv"
    data["wine"].to_csv(path, index=False)
    assert main(["fit", WINE, str(path), "--family", "ordinal", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["model"] == "GLM"
    assert found["llf"] == pytest.approx(REFERENCE["clm"]["wine"]["logit"]["loglik"], rel=1e-12)
    assert found["corr"] is None
    assert found["groups"] is None


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        ({"vcov": "HC3"}, glimm.NotYetError, "'HC3' is not there for family 'ordinal'"),
        ({"vcov": {"cluster": ["id", "day"]}}, glimm.NotYetError, "two directions"),
        ({"vcov": "robust"}, glimm.GlimmError, "not a covariance of a GLM"),
        ({"link": "log"}, glimm.GlimmError, "link"),
        ({"weights": glimm.sampling("day")}, glimm.NotYetError, "sampling"),
        ({"weights": glimm.frequency("day"), "vcov": "jackknife"}, glimm.NotYetError, "use 'HC1'"),
        ({"data": "rows.parquet"}, glimm.NotYetError, "data=glimm.read"),
        ({"zero": "~ 1"}, glimm.NotYetError, "zero= and dispersion="),
        ({"scale": "pearson"}, glimm.NotYetError, "dispersion is 1"),
        ({"control": glimm.Control(start={"trt": 1.0})}, glimm.NotYetError, "start"),
        ({"formula": "y ~ 0 + trt"}, glimm.GlimmError, "thresholds"),
        ({"formula": "trt ~ day"}, glimm.GlimmError, "family='binomial'"),
        ({"formula": "y ~ trt + (1 | id)"}, glimm.GlimmError, "glmm"),
        ({"family": "multinomial", "offset": "day"}, glimm.GlimmError, "offset"),
        ({"weights": "none"}, glimm.GlimmError, "weights 'none': 0 in row 0"),
    ],
)
def test_refused(data, given, error, said):
    koch = data["koch"].assign(none=(data["koch"]["y"] != 3).astype(float))
    call = {"formula": KOCH, "data": koch, "family": "ordinal", **given}
    with pytest.raises(error, match=said):
        glimm.glm(**call)


def test_what_is_not_there(data):
    fit = ordinal(KOCH, data["koch"])
    gee = glimm.gee(KOCH, data["koch"], groups="id", family="ordinal")
    for name in ("llf", "aic", "bic", "deviance"):
        assert not hasattr(gee, name)
        with pytest.raises(AttributeError, match="a GEE has no likelihood"):
            getattr(gee, name)
    assert not hasattr(fit, "corr_params")
    for call in (fit.qic, fit.working_corr, lambda: fit.nonsense, lambda: fit.corr_params):
        with pytest.raises(AttributeError, match="GLM of levels has no"):
            call()
    with pytest.raises(glimm.GlimmError, match="levels have no residuals"):
        fit.resid()
    with pytest.raises(glimm.GlimmError, match=r"draw from glimm\.glm"):
        gee.simulate()
    with pytest.raises(glimm.NotYetError, match="influence"):
        fit.influence()
    with pytest.raises(glimm.GlimmError, match="profile"):
        fit.conf_int(method="profile")
    with pytest.raises(glimm.NotYetError, match=r"glimm\.glm"):
        glimm.glmm("y ~ trt + (1 | id)", data["koch"], family="ordinal")


@pytest.mark.parametrize("family", ["ordinal", "multinomial"])
def test_every_public_name(data, family):
    """A fit has what another GLM has, or says that it has not."""
    arguments = {"effect": ("trt",), "slope": ("trt",), "means": ("trt",), "plot": ("trt",), "conditional_params": (1.0,), "refit": ([0],)}
    fit = glimm.glm(KOCH, data["koch"], family=family)
    for name in (n for n in dir(glimm.glm("y ~ trt", data["koch"])) if not n.startswith("_")):
        with contextlib.suppress(glimm.GlimmError, AttributeError):
            found = getattr(fit, name)
            if callable(found):
                found(*arguments.get(name, ("trt",) if name == "wald_test" else ()))
    for call in (lambda: glimm.compare(fit, fit), lambda: glimm.report(fit, "page.html")):
        with pytest.raises(glimm.NotYetError, match="ordinal"):
            call()


def test_small_samples_of_clusters(data):
    koch = data["koch"][data["koch"]["id"] % 6 == 0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", glimm.GlimmWarning)
        fit = ordinal("y ~ trt", koch, vcov={"cluster": "id"})
    assert fit.check().codes == ("few_clusters",)
    assert 'glimm.gee(..., groups="id", vcov="mancl_derouen")' in " ".join(str(fit.check()).split())
