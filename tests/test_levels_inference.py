"""Tests and small-sample covariances of GEE of ordinal and nominal responses: dense algebra, identities, what cannot be had."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import glimm
from glimm.inference.levels import infer_levels
from glimm.inference.small_sample import deletions
from oracle import levels as oracle
from support import HERE

BOUND = 0.75


@pytest.fixture(scope="module")
def koch():
    return pd.read_csv(HERE / "data" / "geepack_koch.csv")


@pytest.fixture(scope="module")
def few(koch):
    """24 clusters of one to four rows."""
    rng = np.random.default_rng(8)
    d = koch[koch["id"].isin(koch["id"].unique()[::3])].assign(x=lambda d: 50.0 + 2.0 * rng.normal(size=len(d)))
    return d[rng.uniform(size=len(d)) < 0.85].reset_index(drop=True)


def fitted(data, family, formula="y ~ trt + x", **given):
    return glimm.gee(formula, data, groups="id", family=family, **given)


def dense(fit, data):
    """(D_i, V_i, r_i) of each cluster at the estimates as named."""
    x = np.column_stack([data["trt"], data["x"]])
    given = fit.params.to_numpy(), data["y"].to_numpy() - 1, data["id"].to_numpy(), 2
    value = float(fit.corr_params.iloc[0]) if len(fit.corr_params) else 0.0
    if fit.record.family.name == "ordinal":
        return list(oracle.pieces("ordinal", "logit", given[0], x, *given[1:], value))
    return list(oracle.pieces("nominal", "logit", given[0], np.column_stack([np.ones(len(x)), x]), *given[1:], alpha=value))


def brute(fit, data):
    """Covariances by name, the degrees of freedom and the leverages: every n_i m x n_i m matrix is built and inverted."""
    clusters = dense(fit, data)
    count, p, n = len(clusters), len(fit.params), len(data)
    inverses = [np.linalg.inv(v) for _, v, _ in clusters]
    h = np.array([d.T @ w @ d for (d, _, _), w in zip(clusters, inverses, strict=True)])
    u = np.array([d.T @ w @ r for (d, _, r), w in zip(clusters, inverses, strict=True)])
    bread = np.linalg.inv(h.sum(axis=0))
    md, kc, fg, leverage = np.zeros((count, p)), np.zeros((count, p)), np.zeros((count, p)), np.zeros(count)
    for k, ((d, _, r), w) in enumerate(zip(clusters, inverses, strict=True)):
        hat = d @ bread @ d.T @ w
        leverage[k] = np.trace(hat)
        md[k] = d.T @ w @ np.linalg.solve(np.eye(len(r)) - hat, r)
        values, vectors = np.linalg.eig(np.eye(len(r)) - hat)
        root = vectors @ np.diag(values.astype(complex) ** -0.5) @ np.linalg.inv(vectors)
        kc[k] = d.T @ w @ np.real(root @ r)
        fg[k] = (1 - np.minimum(BOUND, np.diag(h[k] @ bread))) ** -0.5 * u[k]
    meat = u.T @ u
    robust = bread @ meat @ bread
    factor, delta = (n - 1) / (n - p) * count / (count - 1), p / (count - p) if 3 * p < count else 0.5
    steps = np.array([np.linalg.solve(np.linalg.inv(bread) - h[k], u[k]) for k in range(count)])
    out = {
        "model": bread,
        "robust": robust,
        "mancl_derouen": bread @ md.T @ md @ bread,
        "kauermann_carroll": bread @ kc.T @ kc @ bread,
        "fay_graubard": bread @ fg.T @ fg @ bread,
        "morel": factor * robust + delta * max(1, np.trace(bread @ meat) / p) * bread,
        "df": count / (count - p) * robust,
        "jackknife": (count - p) / count * steps.T @ steps,
    }
    z = (u @ bread) ** 2
    pan_wall = 2 * z.sum(axis=0) ** 2 / (count / (count - 1) * ((z - z.mean(axis=0)) ** 2).sum(axis=0))
    weights = np.array([np.diag(np.linalg.inv(np.linalg.inv(bread) - h[k]) - bread) for k in range(count)])
    factors = np.array([(1 - np.minimum(BOUND, np.diag(h[k] @ bread))) ** -0.5 for k in range(count)])
    corrected, found = (factors * u).T @ (factors * u), []
    for j in range(p):
        g = factors * bread[:, j]
        shift = np.array([bread @ h[k] @ g[k] for k in range(count)])
        w = np.zeros((count, count))
        for k in range(count):
            a = -shift.copy()
            a[k] += g[k]
            w += weights[k, j] * a @ corrected @ a.T
        found.append(max(1.0, np.trace(w) ** 2 / (w**2).sum()))
    return out, {"pan_wall": pan_wall, "fay_graubard": np.array(found)}, leverage


# covariances for few clusters


@pytest.mark.parametrize("corr", ["exchangeable", "independence"])
@pytest.mark.parametrize("family", ["ordinal", "multinomial"])
def test_small_samples_by_brute_force(few, family, corr):
    fit = fitted(few, family, corr=corr)
    want, degrees, leverage = brute(fit, few)
    for kind, cov in want.items():
        size = np.sqrt(np.outer(np.diag(cov), np.diag(cov)))
        found = infer_levels(fit.record, kind)
        np.testing.assert_allclose(found.cov / size, cov / size, rtol=0, atol=2e-6, err_msg=kind)
        assert found.df == (None if kind in ("robust", "model") else 24 - len(fit.params))
    for df, values in degrees.items():
        np.testing.assert_allclose(infer_levels(fit.record, {"type": "robust", "df": df}).df, values, rtol=1e-5)
    np.testing.assert_allclose(deletions(fit.record, 1.0)[2], leverage, rtol=1e-5)


@pytest.mark.parametrize("family", ["ordinal", "multinomial"])
def test_full_jackknife(few, family):
    fit = fitted(few, family, vcov="full_jackknife")
    ids, p = few["id"].unique(), len(fit.params)
    left = np.array([fitted(few[few["id"] != i], family).params - fit.params for i in ids])
    np.testing.assert_allclose(fit.cov_params(), (len(ids) - p) / len(ids) * left.T @ left, rtol=0, atol=1e-6 * fit.bse.max() ** 2)


def test_references_to_t(few):
    fit = fitted(few, "ordinal", vcov="mancl_derouen")
    p = 2 * stats.t.sf(np.abs(fit.params / fit.bse), 20)
    np.testing.assert_allclose(fit.pvalues, p, rtol=1e-10)
    q = stats.t.ppf(0.975, 20)
    np.testing.assert_allclose(fit.conf_int()["conf_high"], fit.params + q * fit.bse, rtol=1e-10)
    table = fit.effect("trt")
    np.testing.assert_allclose(table["conf_low"], table["estimate"] - q * table["std_error"], rtol=1e-10)
    np.testing.assert_allclose(table["p_value"], 2 * stats.t.sf(np.abs(table["estimate"] / table["std_error"]), 20), rtol=1e-8)
    link = fit.predict(few.head(3), scale="link", interval="confidence")
    np.testing.assert_allclose(link["conf_high"], link["estimate"] + q * link["std_error"], rtol=1e-10)
    again = fitted(few, "ordinal").effect("trt", vcov="mancl_derouen")
    np.testing.assert_allclose(again["conf_low"], table["conf_low"], rtol=1e-12)
    text = " ".join(str(fit.summary()).split())
    assert "robust (Mancl-DeRouen) by id; t reference with 20 degrees of freedom" in text
    assert fit.check().codes == ()
    plain = fitted(few, "ordinal")
    assert plain.check().codes == ("few_clusters",)
    assert 'vcov="mancl_derouen"' in str(plain.check())
    assert 'vcov="mancl_derouen" corrects them' in " ".join(str(plain.summary()).split())


@pytest.mark.parametrize(
    ("vcov", "said"),
    [
        ("mancl_derouen", "5 clusters of id and 6 coefficients"),
        ("jackknife", "5 clusters of id and 6 coefficients"),
        ({"type": "df", "df": "normal"}, "its factor has clusters - coefficients"),
    ],
)
def test_fewer_clusters_than_coefficients(few, vcov, said):
    data = few[few["id"].isin(few["id"].unique()[::5])]
    with pytest.raises(glimm.GlimmError, match=said):
        fitted(data, "multinomial", vcov=vcov)


def test_a_level_of_one_cluster_alone(koch):
    """Without that cluster there is no fit of the same parameters: one step is taken instead, and said."""
    data = koch[koch["id"].isin(koch["id"].unique()[::2])].copy()
    data.loc[data["id"] == data["id"].iloc[0], "y"] = [4, 4, 2, 3]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        steps = glimm.gee("y ~ trt", data, groups="id", family="ordinal", vcov="jackknife")
    with pytest.warns(glimm.GlimmWarning, match=f"no fit without id {data['id'].iloc[0]}: one step from the estimates"):
        fit = glimm.gee("y ~ trt", data, groups="id", family="ordinal", vcov="full_jackknife")
    assert np.isfinite(fit.bse).all()
    assert not np.allclose(fit.bse, steps.bse, rtol=1e-6)  # the other clusters are refits
    np.testing.assert_allclose(fit.bse["trt"], steps.bse["trt"], rtol=0.1)


# tests of hypotheses


def quadratic(fit, rows):
    left = rows @ fit.params.to_numpy()
    return float(left @ np.linalg.solve(rows @ fit.cov_params().to_numpy() @ rows.T, left))


def test_terms_of_an_ordinal_model(koch):
    """With sum-coded factors the coefficients themselves are the hypotheses; thresholds are no term."""
    fit = glimm.gee("y ~ trt * C(day)", koch, groups="id", family="ordinal")
    other = glimm.gee("y ~ trt * C(day, Sum)", koch, groups="id", family="ordinal")
    table, coded = fit.wald_test_terms(), other.wald_test_terms()
    assert table["term"].tolist() == ["trt", "C(day)", "trt:C(day)"]
    assert table["df"].tolist() == [1, 3, 3]
    np.testing.assert_allclose(table["statistic"], coded["statistic"], rtol=1e-6)
    np.testing.assert_allclose(table["p_value"], stats.chi2.sf(table["statistic"], table["df"]), rtol=1e-9)
    names = list(other.params.index)
    for term, found in zip(other.record.design.spec.fixed.terms[1:], coded["statistic"], strict=True):
        own = [names.index(n) for n in other.record.design.spec.fixed.names[term[1] : term[2]]]
        assert quadratic(other, np.eye(len(names))[own]) == pytest.approx(found, rel=1e-8)


def test_terms_of_a_nominal_model(koch):
    """Over all levels together: the same for any reference."""
    fit = glimm.gee("y ~ trt + C(day)", koch, groups="id", family="multinomial", corr="independence")
    table = fit.wald_test_terms()
    assert table["term"].tolist() == ["Intercept", "trt", "C(day)"]
    assert table["df"].tolist() == [2, 2, 6]
    rows = np.eye(10)[[2, 3, 4, 7, 8, 9]]
    assert table["statistic"].iloc[2] == pytest.approx(quadratic(fit, rows), rel=1e-9)
    turned = koch.assign(y=pd.Categorical(koch["y"].astype(str), ["3", "1", "2"]))
    other = glimm.gee("y ~ trt + C(day, Sum)", turned, groups="id", family="multinomial", corr="independence").wald_test_terms()
    np.testing.assert_allclose(other["statistic"][1:], table["statistic"][1:], rtol=1e-6)
    assert fit.wald_test("C(day)").statistic == pytest.approx(table["statistic"].iloc[2], rel=1e-10)
    levels = fit.wald_test("2: trt = 3: trt")
    row = np.zeros((1, 10))
    row[0, 1], row[0, 6] = 1.0, -1.0
    assert levels.statistic == pytest.approx(quadratic(fit, row), rel=1e-9)


def test_thresholds_in_text(koch):
    fit = glimm.gee("y ~ trt", koch, groups="id", family="ordinal")
    test = fit.wald_test("`2|3` - `1|2` = 2.5, trt = -1")
    left = np.array([fit.params["2|3"] - fit.params["1|2"] - 2.5, fit.params["trt"] + 1.0])
    rows = np.array([[-1.0, 1, 0], [0, 0, 1]])
    assert test.statistic == pytest.approx(left @ np.linalg.solve(rows @ fit.cov_params().to_numpy() @ rows.T, left), rel=1e-9)
    assert test.df == 2
    with pytest.raises(glimm.GlimmError, match="no coefficient or term 'dose'"):
        fit.wald_test("dose")
    with pytest.raises(glimm.GlimmError, match="type must be 3"):
        fit.wald_test_terms(2)


def test_tests_with_a_t_reference(few):
    """F with K - p, a single contrast with degrees of freedom of its own."""
    fit = fitted(few, "multinomial", vcov="mancl_derouen")
    test = fit.wald_test("trt")
    assert (test.distribution, test.df, test.df_denominator) == ("F", 2, 18.0)
    assert test.statistic == pytest.approx(quadratic(fit, np.eye(6)[[1, 4]]) / 2, rel=1e-9)
    assert fit.wald_test_terms()["df_denominator"].tolist() == [18.0, 18.0, 18.0]
    own = fitted(few, "ordinal", vcov={"type": "mancl_derouen", "df": "pan_wall"})
    assert own.wald_test("x").df_denominator == pytest.approx(own.tidy()["df"].iloc[3], rel=1e-10)
    assert own.wald_test("x").p_value == pytest.approx(own.pvalues["x"], rel=1e-9)


def test_a_coefficient_without_an_end(koch):
    data = koch[~((koch["day"] == 14) & (koch["y"] == 3))]
    with pytest.warns(glimm.GlimmWarning, match="no finite estimates"):
        fit = glimm.gee("y ~ trt + C(day)", data, groups="id", family="multinomial", corr="independence", vcov="mancl_derouen")
    table = fit.wald_test_terms()
    assert np.isnan(table["statistic"].iloc[2])
    assert table["note"].iloc[2] == "no standard error of 3: C(day)[T.14]"
    assert np.isfinite(table["statistic"].iloc[1])


# criteria


def test_qic_under_independence(koch):
    """The quasi-likelihood is the log-likelihood that MASS::polr gives, the trace that of dense algebra."""
    fit = glimm.gee("y ~ trt + C(day)", koch, groups="id", family="ordinal", corr="independence")
    loglik = json.loads((HERE / "levels_polr.json").read_text())["logistic"]["loglik"]
    found = fit.qic()
    x = np.column_stack([koch["trt"], *[(koch["day"] == day).astype(float) for day in (7, 10, 14)]])
    _, model, robust = oracle.equations("ordinal", "logit", fit.params.to_numpy(), x, koch["y"].to_numpy() - 1, koch["id"].to_numpy(), 2)
    trace = np.trace(np.linalg.solve(model, robust))
    assert found.cic == pytest.approx(trace, rel=1e-6)
    assert float(found) == pytest.approx(-2 * loglik + 2 * trace, rel=1e-7)
    assert found.qicu == pytest.approx(-2 * loglik + 2 * 6, rel=1e-8)
    assert found.qicc == pytest.approx(found.qic + 2 * 6 * 7 / (72 - 7), rel=1e-12)
    ratio = np.linalg.solve(model, robust)
    c1, c2 = np.trace(ratio) / 6, np.trace(ratio @ ratio) / 6
    assert found.rjc == pytest.approx(np.hypot(1 - c1, 1 - c2), rel=1e-5)
    assert np.isnan(found.gp)


@pytest.mark.parametrize("family", ["ordinal", "multinomial"])
def test_qic_of_an_association(few, family):
    fit = fitted(few, family)
    clusters = dense(fit, few)
    p = fit.fittedvalues.to_numpy()[np.arange(len(few)), few["y"] - 1]
    bread = np.linalg.inv(sum(d.T @ np.linalg.solve(v, d) for d, v, _ in clusters))
    u = np.array([d.T @ np.linalg.solve(v, r) for d, v, r in clusters])
    inside = [np.kron(np.eye(len(v) // 2), np.ones((2, 2))) * v for _, v, _ in clusters]
    information = sum(d.T @ np.linalg.solve(v, d) for (d, _, _), v in zip(clusters, inside, strict=True))
    trace = np.trace(information @ bread @ u.T @ u @ bread)
    found = fit.qic()
    assert found.cic == pytest.approx(trace, rel=1e-5)
    assert float(found) == pytest.approx(-2 * np.log(p).sum() + 2 * trace, rel=1e-6)


def test_qic_refuses(few):
    fit = fitted(few, "ordinal")
    with pytest.raises(glimm.GlimmError, match="levels have dispersion 1"):
        fit.qic("pan")
    with pytest.raises(glimm.GlimmError, match="phi0 is the dispersion of variant 'common'"):
        fit.qic(phi0=1.5)
