"""Small-sample covariances and degrees of freedom of GEE against dense brute force, their invariances, and what cannot be had."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import glimm
from glimm.inference.covariance import infer
from glimm.inference.degrees_of_freedom import FayGraubard, PanWall
from glimm.inference.small_sample import KINDS, deletions
from small_sample_study import KINDS as STUDIED
from small_sample_study import STUDIES, closer, replicates, study
from support import data, stored

REFERENCE = 1e-10
CASES = {
    "ohio": ("resp ~ age * smoke", "id", "age", "binomial"),
    "epil": ("y ~ lbase * trt + V4", "subject", "period", "poisson"),
    "epil12": ("y ~ lbase + trt + V4", "subject", "period", "poisson"),
}


def frame(name):
    """The data of a case; trt is 1 for progabide."""
    if name == "ohio":
        return data("geepack_ohio")
    whole = data("MASS_epil").assign(trt=lambda d: (d["trt"] == "progabide").astype(int))
    return whole if name == "epil" else whole[whole["subject"].between(23, 34)]


def gee(name, corr="exchangeable", vcov="robust", changed=None):
    formula, groups, time, family = CASES[name]
    return glimm.gee(formula, frame(name) if changed is None else changed, groups=groups, time=time, corr=corr, family=family, vcov=vcov)


def order(fit, entry):
    """The reference's coefficients in the order of the fit's."""
    places = [int(np.argmin(np.abs(np.array(entry["b"]) - value))) for value in fit.params]
    assert sorted(places) == list(range(len(places)))
    return places


@pytest.mark.parametrize("name", stored("gee_small_sample"))
def test_every_covariance_by_brute_force(name):
    case, corr = name.split("_")
    entry = stored("gee_small_sample")[name]
    fit = gee(case, corr)
    at = order(fit, entry)
    np.testing.assert_allclose(fit.params, np.array(entry["b"])[at], rtol=1e-9)
    for kind, want in entry["vcov"].items():
        want = np.array(want)[np.ix_(at, at)]
        size = np.sqrt(np.outer(np.diag(want), np.diag(want)))
        np.testing.assert_allclose(infer(fit.record, kind).cov / size, want / size, atol=REFERENCE, err_msg=kind)
    assert set(KINDS) - set(entry["vcov"]) <= {"full_jackknife"}


@pytest.mark.parametrize("name", stored("gee_small_sample"))
def test_degrees_of_freedom_by_brute_force(name):
    case, corr = name.split("_")
    entry = stored("gee_small_sample")[name]
    fit = gee(case, corr)
    at = order(fit, entry)
    want = dict(zip(entry["df_columns"], np.array(entry["df"])[at].T, strict=True))
    assert infer(fit.record, "mancl_derouen").df == want["k_minus_p"][0]
    for df in ("pan_wall", "fay_graubard"):
        np.testing.assert_allclose(infer(fit.record, {"type": "robust", "df": df}).df, want[df], rtol=REFERENCE)


@pytest.mark.parametrize("name", ["epil_exchangeable", "epil12_ar1", "ohio_independence"])
def test_leverages_by_brute_force(name):
    entry = stored("gee_small_sample")[name]
    leverage = deletions(gee(*name.split("_")).record, 1.0)[2]
    np.testing.assert_allclose(leverage, entry["leverages"], rtol=1e-9)
    assert leverage.sum() == pytest.approx(len(entry["b"]))


def test_one_step_is_a_multiple_of_mancl_derouen():
    fit = gee("epil12")
    md, jackknife = (infer(fit.record, kind).cov for kind in ("mancl_derouen", "jackknife"))
    np.testing.assert_allclose(jackknife, (12 - 4) / 12 * md, rtol=1e-13)


def test_an_independence_gaussian_gee_is_the_jackknife_of_least_squares():
    """Deleting a cluster from a linear model by one step is exact."""
    rng = np.random.default_rng(5)
    g, x = np.repeat(np.arange(9), 5), rng.normal(size=45)
    y = 1.0 + x + rng.normal(size=9)[g] + rng.normal(size=45)
    z = np.column_stack([np.ones(45), x])
    whole = np.linalg.lstsq(z, y, rcond=None)[0]
    left = np.array([np.linalg.lstsq(z[g != j], y[g != j], rcond=None)[0] - whole for j in range(9)])
    for kind in ("jackknife", "full_jackknife"):
        fit = glimm.gee("y ~ x", {"y": y, "x": x, "g": g}, groups="g", corr="independence", vcov=kind)
        np.testing.assert_allclose(fit.cov_params(), (9 - 2) / 9 * left.T @ left, rtol=1e-9)
    md = glimm.gee("y ~ x", {"y": y, "x": x, "g": g}, groups="g", corr="independence", vcov="mancl_derouen")
    np.testing.assert_allclose(md.cov_params(), left.T @ left, rtol=1e-9)


def test_recoding_of_predictors():
    """beta' = T beta: V' = T V T' and equal degrees of freedom of equal contrasts, but for Fay-Graubard (of the columns as they are)."""
    rng = np.random.default_rng(6)
    g, x = np.repeat(np.arange(10), 4), rng.normal(size=40)
    plain = pd.DataFrame({"g": g, "x": x, "w": g % 2, "y": rng.poisson(np.exp(0.3 * x + rng.normal(0, 0.4, 10)[g]))})
    moved = plain.assign(x=100.0 + 3.0 * x + 2.0 * plain["w"], w=1 - plain["w"])
    # eta = a + b x + c w with x = (x' - 100 - 2 (1 - w')) / 3, w = 1 - w'
    t = np.array([[1, -34.0, 1], [0, 1 / 3, 0], [0, 2 / 3, -1]])
    a, b = (glimm.gee("y ~ x + w", d, groups="g", family="poisson") for d in (plain, moved))
    np.testing.assert_allclose(t @ a.params.to_numpy(), b.params, rtol=1e-8)
    for kind in KINDS:
        before, after = infer(a.record, kind), infer(b.record, kind)
        same = np.allclose(t @ before.cov @ t.T, after.cov, rtol=1e-6, atol=1e-9)
        assert same == (kind != "fay_graubard"), kind
    own, other = (infer(fit.record, {"type": "robust", "df": "pan_wall"}) for fit in (a, b))
    np.testing.assert_allclose(own.df[1], other.df[1], rtol=1e-8)


def test_units_of_the_response_do_not_matter():
    rng = np.random.default_rng(7)
    g = np.repeat(np.arange(8), 4)
    x, y = rng.normal(size=32), rng.normal(size=8)[g] + rng.normal(size=32)
    for kind in KINDS:
        one, other = (glimm.gee("y ~ x", {"g": g, "x": x, "y": c * y}, groups="g", vcov=kind) for c in (1.0, 1e-4))
        np.testing.assert_allclose(one.bse, 1e4 * other.bse, rtol=1e-7, err_msg=kind)


def test_degrees_of_any_contrast_by_the_k_by_k_matrix():
    """A predicted mean is c'b: its limits have the t quantile of c, worked out here from the matrix W itself."""
    rng = np.random.default_rng(8)
    g = np.repeat(np.arange(11), 3)
    x, w = rng.normal(size=33), (g % 3).astype(float)
    y = x + rng.normal(size=11)[g] + rng.normal(size=33)
    X = np.column_stack([np.ones(33), x, w])
    H, U, c = [], [], np.array([1.0, 0.7, 2.0])
    fits = {
        df: glimm.gee("y ~ x + w", {"g": g, "x": x, "w": w, "y": y}, groups="g", vcov={"type": "morel", "df": df})
        for df in ("pan_wall", "fay_graubard")
    }
    fit = fits["pan_wall"]
    alpha, r = float(fit.corr_params.iloc[0]), y - X @ fit.params.to_numpy()
    for j in range(11):
        inverse = np.linalg.inv((1 - alpha) * np.eye(3) + alpha)
        H.append(X[g == j].T @ inverse @ X[g == j])
        U.append(X[g == j].T @ inverse @ r[g == j])
    M = np.linalg.inv(np.sum(H, axis=0))
    h = [(1 - np.minimum(0.75, np.diag(one @ M))) ** -0.5 for one in H]
    u = np.array(h) * np.array(U)
    weights = [c @ (np.linalg.inv(np.linalg.inv(M) - one) - M) @ c for one in H]
    gs = np.array(h) * (M @ c)
    W = np.zeros((11, 11))
    for k in range(11):
        rows = -np.array([M @ H[i] @ gs[i] for i in range(11)])
        rows[k] += gs[k]
        W += weights[k] * rows @ (u.T @ u) @ rows.T
    z = (np.array(U) @ M @ c) ** 2
    want = {"fay_graubard": np.trace(W) ** 2 / (W**2).sum(), "pan_wall": 2 * z.sum() ** 2 / (11 / 10 * ((z - z.mean()) ** 2).sum())}
    for df, fit in fits.items():
        table = fit.predict({"x": [0.7, 0.7], "w": [2.0, np.nan]}, interval="confidence", level=0.9)
        half = (table["conf_high"][0] - table["conf_low"][0]) / 2
        assert half / table["std_error"][0] == pytest.approx(stats.t.ppf(0.95, want[df]), rel=1e-9)
        assert np.isnan(table["conf_high"][1])


def test_own_degrees_of_freedom_in_every_table():
    kind = {"type": "kauermann_carroll", "df": "pan_wall"}
    rng = np.random.default_rng(9)
    g = np.repeat(np.arange(12), 4)
    columns = {"g": g, "x": rng.normal(size=48), "w": g % 2, "y": rng.normal(size=12)[g] + rng.normal(size=48)}
    fit = glimm.gee("y ~ x + w", columns, groups="g", vcov=kind)
    df, tidy = fit.inference.df, fit.tidy()
    assert len(set(np.round(df, 6))) == 3
    np.testing.assert_allclose(tidy["df"], df)
    np.testing.assert_allclose(tidy["p_value"], 2 * stats.t.sf(np.abs(fit.tvalues), df), rtol=1e-10)
    np.testing.assert_allclose(fit.pvalues, tidy["p_value"])
    np.testing.assert_allclose(fit.conf_int()["conf_high"] - fit.params, stats.t.ppf(0.975, df) * fit.bse, rtol=1e-10)
    text = fit.summary()
    assert " df " in text
    assert "Pan-Wall degrees of freedom" in text
    effect, slope, means = fit.effect("w"), fit.slope("x"), fit.means("w")
    assert effect["p_value"][0] == pytest.approx(fit.pvalues["w"])  # the contrast is the coefficient
    assert slope["p_value"][0] == pytest.approx(fit.pvalues["x"])
    x = np.array([1.0, columns["x"].mean(), 0.0])
    part = fit.record.design.mean
    own = stats.t.ppf(0.975, fit.inference.df_of(((x - part.center) / part.scale)[None])[0])
    assert (means["conf_high"][0] - means["estimate"][0]) / means["std_error"][0] == pytest.approx(own, rel=1e-8)
    ratio = glimm.gee("y ~ x + w", columns | {"y": columns["y"] + 9.0}, groups="g", vcov=kind).effect("w", "ratio")
    assert ratio["p_value"][0] == pytest.approx(2 * stats.t.sf(abs(ratio["statistic"][0]), 12 - 3), rel=1e-9)
    assert "9 degrees of freedom" in glimm.gee("y ~ x + w", columns, groups="g", vcov="df").summary()
    assert isinstance(pickle.loads(pickle.dumps(fit)).inference.degrees, PanWall)
    assert isinstance(infer(fit.record, {"type": "robust", "df": "fay_graubard"}).degrees, FayGraubard)


def test_curved_effects_have_k_minus_p():
    fit = gee("epil12", vcov={"type": "fay_graubard", "df": "fay_graubard"})
    table = fit.effect("trt")
    assert table["p_value"][0] == pytest.approx(2 * stats.t.sf(abs(table["statistic"][0]), 12 - 4), rel=1e-9)


def test_a_cluster_that_alone_determines_a_coefficient_is_named():
    """A dummy of cluster 3: the others tell nothing of its mean. The rest is as without that cluster."""
    rng = np.random.default_rng(10)
    g = np.repeat(np.arange(9), 4)
    d = pd.DataFrame({"g": g, "x": rng.normal(size=36), "y": rng.normal(size=9)[g] + rng.normal(size=36)}).assign(
        only=lambda d: d["g"] == 3
    )
    for kind in ("mancl_derouen", "kauermann_carroll", "jackknife"):
        with pytest.warns(glimm.GlimmWarning, match="g 3 alone determines a combination of coefficients"):
            fit = glimm.gee("y ~ x + only", d, groups="g", corr="independence", vcov=kind)
        assert np.isfinite(fit.bse).all()
        assert "g 3 alone determines" in " ".join(fit.summary().split())
    z = np.column_stack([np.ones(36), d["x"], d["only"].astype(float)])
    md = infer_quietly(fit.record, "mancl_derouen").cov
    M = np.linalg.inv(z.T @ z)
    r = d["y"] - z @ fit.params.to_numpy()
    steps = []
    for j in range(9):
        zi, ri = z[g == j], r[g == j].to_numpy()
        steps.append(M @ zi.T @ np.linalg.pinv(np.eye(4) - zi @ M @ zi.T, rcond=1e-9) @ ri)
    np.testing.assert_allclose(md, np.array(steps).T @ np.array(steps), atol=1e-10)
    for df in ("pan_wall", "fay_graubard"):
        assert np.isfinite(infer(fit.record, {"type": "robust", "df": df}).df).all()
    with pytest.warns(glimm.GlimmWarning) as said:
        full = infer(fit.record, "full_jackknife")
    assert any("no fit without g 3: one step from the estimates" in str(w.message) for w in said)
    np.testing.assert_allclose(full.cov, infer_quietly(fit.record, "jackknife").cov, rtol=1e-6, atol=1e-10)


def infer_quietly(record, kind):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", glimm.GlimmWarning)
        return infer(record, kind)


def test_no_more_clusters_than_coefficients():
    rng = np.random.default_rng(11)
    d = {
        "g": np.repeat(np.arange(4), 5),
        "a": rng.normal(size=20),
        "b": rng.normal(size=20),
        "c": rng.normal(size=20),
        "y": rng.normal(size=20),
    }
    for kind in set(KINDS) - {"robust", "model"}:
        with pytest.raises(glimm.GlimmError, match="4 clusters of g and 4 coefficients: use vcov='model'"):
            glimm.gee("y ~ a + b + c", d, groups="g", vcov=kind)
    for kind in ("df", "jackknife", "full_jackknife"):
        with pytest.raises(glimm.GlimmError, match="its factor has clusters - coefficients"):
            glimm.gee("y ~ a + b + c", d, groups="g", vcov={"type": kind, "df": "normal"})
    with pytest.warns(glimm.GlimmWarning, match="far too small"):
        fit = glimm.gee("y ~ a + b + c", d, groups="g", corr="independence", vcov={"type": "morel", "df": "normal"})
    assert (fit.bse > 0.0).all()
    assert fit.check()["few_clusters"].severity == "error"


@pytest.mark.parametrize(
    ("vcov", "words"),
    [
        ("mancl-derouen", "'mancl_derouen'"),
        ("HC3", "not a covariance of a GEE"),
        (3, "must be one of robust, model"),
        ({"cluster": "g"}, "are its groups="),
        ({"type": "robust", "small": True}, "may have a 'df'"),
        ({"df": "pan_wall"}, "has a 'type'"),
        ({"type": "robust", "df": "satterthwaite"}, "normal, k_minus_p, pan_wall, fay_graubard"),
        ({"type": "robust", "df": 7}, "not 7"),
        ({"type": ["robust"]}, "not list"),
    ],
)
def test_what_vcov_may_be(vcov, words):
    with pytest.raises(glimm.GlimmError, match=words.replace("(", r"\(")):
        glimm.gee("y ~ x", {"g": [1, 1, 2, 2], "x": [0, 1, 0, 1], "y": [1.0, 2.0, 3.0, 5.0]}, groups="g", vcov=vcov)


def test_few_clusters_are_said_with_the_correction():
    fit = gee("epil12")
    remedy = fit.check()["few_clusters"].remedy
    assert 'glimm.gee(..., vcov="mancl_derouen")' in remedy
    text = " ".join(fit.summary().split())
    assert '12 clusters, fewer than 40: robust standard errors are too small; vcov="mancl_derouen" corrects them' in text
    two = {"g": [1, 1, 2, 2], "x": [0, 1, 0, 1], "y": [1.0, 2.0, 3.0, 5.0]}
    with pytest.warns(glimm.GlimmWarning, match="far too small"):
        assert "for 2 coefficients they are too few to correct" in " ".join(glimm.gee("y ~ x", two, groups="g").summary().split())
    corrected = gee("epil12", vcov="mancl_derouen")
    assert "few_clusters" not in corrected.check().codes
    assert "fewer than 40" not in corrected.summary()
    assert "subject 29 has leverage 0.81 of 4 in all, and 2 more above 0.5" in " ".join(corrected.summary().split())
    assert "fewer than 40" not in gee("epil").summary()
    model = gee("epil12", vcov={"type": "model"})
    assert "few_clusters" not in model.check().codes
    np.testing.assert_array_equal(model.cov_params(), gee("epil12", vcov="model").cov_params())


def test_corrections_beside_other_fits():
    ohio = glimm.load_dataset("ohio")
    a = glimm.gee("resp ~ age * smoke", ohio, groups="id", family="binomial", vcov={"type": "fay_graubard", "df": "fay_graubard"})
    b = glimm.gee("resp ~ age * smoke", ohio, groups="id", family="binomial")
    text = " ".join(str(glimm.compare(a, b, effect="smoke")).split())
    assert "Fay-Graubard" in text
    effect = a.effect("smoke", vcov="mancl_derouen")
    assert effect["std_error"][0] != a.effect("smoke")["std_error"][0]


@pytest.mark.parametrize("name", STUDIES)
def test_intervals_of_few_clusters_hold_the_truth(name):
    """The short form of small_sample_study.py: 200 replicates, in which a right 95 % interval holds the truth 90 to 99 times in 100."""
    coverage = dict(zip(STUDIED, replicates(name, 200, 7).mean(axis=0), strict=True))
    for kind in study(*STUDIES[name]).required:
        assert (coverage[kind] > 0.9).all(), (kind, coverage[kind])
        assert (coverage[kind] < 0.995).all(), (kind, coverage[kind])
    assert coverage["robust"].min() < coverage["mancl_derouen, pan_wall"].min()
    assert len(closer(np.array(list(coverage.values())))) == len(STUDIED) - 1
