"""GEE of ordinal and nominal responses: MASS::polr, statsmodels, dense algebra, identities, the account of levels."""

from __future__ import annotations

import contextlib
import json
import pickle
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import glimm
from glimm.cli import main
from glimm.design.build import build_design
from glimm.design.records import Spec
from glimm.estimators.control import Control
from glimm.estimators.ordinal import fit_levels, pieces
from glimm.family import LEVELS, resolve
from glimm.inference.levels import association, infer_levels, layout
from oracle import levels as oracle
from support import HERE

POLR = json.loads((HERE / "levels_polr.json").read_text())
STATSMODELS = json.loads((HERE / "levels_statsmodels.json").read_text())
LINKS = ("logit", "probit", "cloglog", "loglog", "cauchit")
NAMES = ["1|2", "2|3", "trt", "C(day)[T.7]", "C(day)[T.10]", "C(day)[T.14]"]
GLOBAL = {  # koch by dense algebra (Heagerty and Zeger 1996): thresholds and coefficients, robust errors
    "independence": (
        (-3.197425485, -0.3961618921, -1.188291094, -1.388493162, -1.35915384, -2.394449418),
        (0.3756014621, 0.2922385208, 0.3447572952, 0.2817265268, 0.2330694569, 0.3211331088),
    ),
    "exchangeable": (
        (-3.198378868, -0.3935884214, -1.195864434, -1.380693578, -1.347715685, -2.393322257),
        (0.3749739411, 0.2913308819, 0.345111549, 0.2829035463, 0.2328977183, 0.3218846774),
    ),
}


@pytest.fixture(scope="module")
def koch():
    return pd.read_csv(HERE / "data" / "geepack_koch.csv")


@pytest.fixture(scope="module")
def uneven(koch):
    """Clusters of one to four rows in mixed order, a level that is absent on a day, predictors of two kinds."""
    rng = np.random.default_rng(5)
    d = koch.assign(x=100.0 + 3.0 * rng.normal(size=len(koch)), w=rng.uniform(0.5, 2.0, len(koch)))
    d = d[(rng.uniform(size=len(d)) < 0.7) & ~((d["day"] == 14) & (d["y"] == 3))]
    return d.sample(frac=1.0, random_state=3).reset_index(drop=True)


def ordinal(data, formula="y ~ trt + C(day)", **given):
    return glimm.gee(formula, data, groups="id", family="ordinal", **given)


def nominal(data, formula="y ~ trt + C(day)", **given):
    return glimm.gee(formula, data, groups="id", family="multinomial", corr="independence", **given)


# numbers from elsewhere


@pytest.mark.parametrize("corr", GLOBAL)
def test_koch(koch, corr):
    fit = ordinal(koch, corr=corr)
    assert list(fit.params.index) == NAMES
    np.testing.assert_allclose(fit.params, GLOBAL[corr][0], rtol=0, atol=2e-9)
    np.testing.assert_allclose(fit.bse, GLOBAL[corr][1], rtol=0, atol=2e-9)
    if corr == "exchangeable":
        assert fit.corr_params.to_dict() == {"log_odds_ratio": pytest.approx(1.463977796, abs=2e-9)}


@pytest.mark.parametrize("link", LINKS[:4])
def test_independence_is_maximum_likelihood(koch, link):
    """MASS::polr stops a little short of the optimum."""
    want = POLR["logistic" if link == "logit" else link]
    fit = ordinal(koch, link=link, corr="independence")
    np.testing.assert_allclose(fit.params[:2], list(want["thresholds"].values()), rtol=0, atol=2e-5)
    np.testing.assert_allclose(fit.params[2:], list(want["coefficients"].values()), rtol=0, atol=2e-5)
    p = fit.fittedvalues.to_numpy()
    llf = np.log(p[np.arange(len(p)), koch["y"] - 1]).sum()
    assert want["loglik"] - 1e-9 < llf < want["loglik"] + 1e-6
    np.testing.assert_allclose(p[:6], want["probability"], rtol=0, atol=1e-5)


def test_weights_multiply_the_likelihood(koch):
    want = POLR["weights"]
    fit = ordinal(koch.assign(w=1 + np.arange(1, len(koch) + 1) % 3), weights="w", corr="independence")
    np.testing.assert_allclose(fit.params[:2], list(want["thresholds"].values()), rtol=0, atol=2e-5)
    np.testing.assert_allclose(fit.params[2:], list(want["coefficients"].values()), rtol=0, atol=2e-5)


def test_nominal_is_maximum_likelihood(koch):
    want = STATSMODELS["mnlogit"]
    fit = nominal(koch)
    np.testing.assert_allclose(fit.params.to_numpy().reshape(2, -1), want["params"], rtol=0, atol=1e-7)
    np.testing.assert_allclose(fit.bse.to_numpy().reshape(2, -1), want["clustered"], rtol=1e-6)
    model = nominal(koch, vcov="model")
    np.testing.assert_allclose(model.bse.to_numpy().reshape(2, -1), want["bse"], rtol=1e-6)
    np.testing.assert_allclose(fit.predict()[:6], np.array(want["probability"])[[0, 1, 2, 3, 4, 5]], rtol=0, atol=1e-8)


def test_near_to_statsmodels(koch):
    """Its working covariances and association equation are others: the estimates are near."""
    want = STATSMODELS["ordinal_gee_global_odds"]
    fit = ordinal(koch)
    sign = np.array([-1.0, -1.0, 1.0, 1.0, 1.0, 1.0])
    np.testing.assert_allclose(fit.params, sign * want["params"], rtol=0, atol=0.01)
    np.testing.assert_allclose(fit.bse, want["bse"], rtol=0.01)
    assert abs(fit.corr_params.iloc[0] - np.log(want["odds_ratio"])) < 0.15


# dense algebra


def columns(data):
    return np.column_stack([data["trt"], data["x"], *[(data["day"] == d).astype(float) for d in (7, 10, 14)]])


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("corr", ["independence", "exchangeable"])
def test_ordinal_equations(uneven, link, corr):
    data = uneven
    fit = ordinal(data, "y ~ trt + x + C(day)", link=link, corr=corr)
    x, y, g = columns(data), data["y"].to_numpy() - 1, data["id"].to_numpy()
    gamma = fit.corr_params.iloc[0] if corr == "exchangeable" else 0.0
    score, model, robust = oracle.equations("ordinal", link, fit.params.to_numpy(), x, y, g, 2, gamma)
    assert np.abs(np.sqrt(np.diag(model)) * score).max() < 1e-6
    np.testing.assert_allclose(fit.cov_params(), robust, rtol=0, atol=1e-6 * np.diag(robust).max())
    trusting = ordinal(data, "y ~ trt + x + C(day)", link=link, corr=corr, vcov="model")
    np.testing.assert_allclose(trusting.cov_params(), model, rtol=0, atol=1e-6 * np.diag(model).max())
    if corr == "exchangeable":
        mu = oracle.ordinal_means(link, fit.params.to_numpy(), x, 2)
        slope = oracle.derivative(lambda v: np.array(oracle.pair_log_likelihood(v[0], mu, y, g)), np.array([gamma]))
        assert abs(slope[0]) < 1e-5


def test_nominal_equations(uneven):
    data = uneven[uneven["day"] != 14]
    fit = nominal(data, "y ~ trt + x + C(day)", weights="w")
    x = np.column_stack([np.ones(len(data)), columns(data)[:, :-1]])
    score, model, robust = oracle.equations(
        "nominal", "logit", fit.params.to_numpy(), x, data["y"].to_numpy() - 1, data["id"].to_numpy(), 2, weights=data["w"].to_numpy()
    )
    assert np.abs(np.sqrt(np.diag(model)) * score).max() < 1e-5
    np.testing.assert_allclose(fit.cov_params(), robust, rtol=0, atol=1e-6 * np.diag(robust).max())


def test_error_of_the_odds_ratio(koch):
    """Near the jackknife over clusters, which needs no derivatives."""
    data = koch[koch["day"] != 10]
    fit = ordinal(data, "y ~ trt")
    error = fit.parts["association"].bse["log_odds_ratio"]
    ids = data["id"].unique()
    left = np.array([ordinal(data[data["id"] != i], "y ~ trt").corr_params.iloc[0] for i in ids])
    jackknife = np.sqrt((len(ids) - 1) / len(ids) * np.sum((left - left.mean()) ** 2))
    assert abs(error / jackknife - 1.0) < 0.06
    assert f"(std. error {error:.3g})"[:16] in str(fit.summary())
    assert ordinal(data, corr="independence").parts == {}


@pytest.mark.parametrize("corr", ["independence", "exchangeable"])
def test_pieces_add_up(uneven, corr):
    record = ordinal(uneven, "y ~ trt + x", corr=corr).record
    clusters = next(iter(record.design.clusters.values()))
    ((curvatures, scores),) = pieces(record, clusters, True)
    np.testing.assert_allclose(np.linalg.inv(curvatures.sum(axis=0)), record.bread, rtol=1e-9)
    assert np.abs(scores.sum(axis=0)).max() < 1e-8


# identities


def two_levels(data, corr):
    family, link = resolve("binomial")
    design = build_design(Spec("gee", "resp ~ age * smoke", family, link, groups="id"), data)
    design = replace(design, response=replace(design.response, kind="levels", levels=(0, 1)))
    return fit_levels(design, LEVELS["ordinal"], "id", corr, Control())


def test_two_levels_are_a_binomial_gee():
    ohio = glimm.load_dataset("ohio")
    want = glimm.gee("resp ~ age * smoke", ohio, groups="id", family="binomial", corr="independence")
    got = infer_levels(two_levels(ohio, "independence"), "robust")
    np.testing.assert_allclose(got.params, want.params * [-1.0, 1.0, 1.0, 1.0], rtol=1e-8)
    np.testing.assert_allclose(got.bse, want.bse, rtol=1e-8)


def test_two_levels_are_alternating_logistic_regressions():
    """Carey, Zeger and Diggle (1993) on the ohio data: SAS form of the equations, by dense algebra."""
    record = two_levels(glimm.load_dataset("ohio"), "exchangeable")
    np.testing.assert_allclose(record.alpha, [2.040399287], rtol=0, atol=2e-8)
    np.testing.assert_allclose(record.vector, [1.900173746, -0.1399888155, 0.314065035, 0.07113861824], rtol=0, atol=2e-8)
    want = [0.1190745747, 0.05830505655, 0.187808925, 0.08834924305]
    np.testing.assert_allclose(infer_levels(record, "robust").bse, want, rtol=1e-7)
    np.testing.assert_allclose(association(record).errors, [0.1739681349], rtol=1e-7)  # SAS form
    want = [0.1171400224, 0.05664801746, 0.1873801557, 0.08866074403]
    np.testing.assert_allclose(infer_levels(record, "model").bse, want, rtol=1e-7)


@pytest.mark.parametrize(("link", "other"), [("logit", "logit"), ("probit", "probit"), ("cloglog", "loglog")])
def test_levels_in_reverse(koch, link, other):
    fit = ordinal(koch, link=link)
    back = ordinal(koch.assign(y=-koch["y"]), link=other)
    np.testing.assert_allclose(back.params[2:], -fit.params[2:], rtol=1e-7)
    np.testing.assert_allclose(back.params[:2], -fit.params[:2][::-1], rtol=1e-7)
    np.testing.assert_allclose(back.bse[2:], fit.bse[2:], rtol=1e-7)
    np.testing.assert_allclose(back.corr_params, fit.corr_params, rtol=1e-7)
    assert list(back.params.index[:2]) == ["-3|-2", "-2|-1"]


def test_reference_of_nominal_levels(koch):
    fit = nominal(koch, "y ~ trt")
    other = nominal(koch.assign(y=pd.Categorical(koch["y"].astype(str), ["3", "1", "2"])), "y ~ trt")
    assert list(other.params.index) == ["1: Intercept", "1: trt", "2: Intercept", "2: trt"]
    np.testing.assert_allclose(other.params["1: trt"], -fit.params["3: trt"], rtol=1e-8)
    np.testing.assert_allclose(other.params["2: trt"], fit.params["2: trt"] - fit.params["3: trt"], rtol=1e-7)
    np.testing.assert_allclose(other.fittedvalues[["1", "2", "3"]], fit.fittedvalues[[1, 2, 3]], rtol=1e-8)


def test_clusters_of_one_row(koch):
    data = koch.assign(id=np.arange(len(koch)))
    fit, want = ordinal(data), ordinal(data, corr="independence")
    np.testing.assert_allclose(fit.params, want.params, rtol=1e-12)
    np.testing.assert_allclose(fit.bse, want.bse, rtol=1e-12)
    assert len(fit.corr_params) == 0
    assert "no cluster has two occasions" in str(fit.summary())


def test_order_of_rows_and_frames(koch):
    want = ordinal(koch)
    for data in (koch.sample(frac=1.0, random_state=1), koch.to_dict("list")):
        got = ordinal(data)
        np.testing.assert_allclose(got.params, want.params, rtol=1e-9)
        np.testing.assert_allclose(got.bse, want.bse, rtol=1e-9)


def test_offset_moves_thresholds(koch):
    want, got = ordinal(koch), ordinal(koch, offset=np.full(len(koch), 2.5))
    np.testing.assert_allclose(got.params[:2], want.params[:2] + 2.5, rtol=1e-9)
    np.testing.assert_allclose(got.params[2:], want.params[2:], rtol=1e-8)
    np.testing.assert_allclose(got.fittedvalues, want.fittedvalues, rtol=1e-8)


def test_missing_rows(koch):
    holes = koch.assign(y=koch["y"].astype(float), trt=koch["trt"].astype(float))
    holes.loc[[3, 50], "y"] = np.nan
    holes.loc[7, "trt"] = np.nan
    fit, want = ordinal(holes), ordinal(koch.drop(index=[3, 50, 7]))
    np.testing.assert_allclose(fit.params, want.params, rtol=1e-10)
    assert (fit.nobs, fit.missing.n_dropped) == (len(koch) - 3, 3)
    assert fit.check().codes == ("rows_lost",)
    assert fit.fittedvalues.shape == (len(koch) - 3, 3)
    assert 7 not in fit.fittedvalues.index


# probabilities and averages


@pytest.fixture(scope="module")
def fits(koch):
    return ordinal(koch), nominal(koch), ordinal(koch, link="cloglog", corr="independence")


def means(fit, vector, data):
    x = np.column_stack([data["trt"], *[(data["day"] == d).astype(float) for d in (7, 10, 14)]])
    if fit.record.family.name == "ordinal":
        return oracle.probabilities("ordinal", oracle.ordinal_means(fit.record.design.mean.link.name, vector, x, 2))
    return oracle.probabilities("nominal", oracle.nominal_means(vector, np.column_stack([np.ones(len(x)), x]), 2))


@pytest.mark.parametrize("which", [0, 1, 2])
def test_predict(fits, koch, which):
    fit = fits[which]
    data = koch.head(7).assign(trt=[0, 1, np.nan, 0, 1, 0, 1])
    want = means(fit, fit.params.to_numpy(), data)
    got = fit.predict(data)
    assert got.shape == (7, 3)
    assert np.isnan(got[2]).all()
    np.testing.assert_allclose(np.delete(got, 2, 0), np.delete(want, 2, 0), rtol=1e-9)
    np.testing.assert_allclose(got.sum(axis=1)[[0, 1]], 1.0, rtol=1e-12)
    frame = fit.predict(data, interval="confidence")
    gradient = oracle.derivative(lambda v: means(fit, v, data), fit.params.to_numpy())
    se = np.sqrt(np.einsum("nkp,pq,nkq->nk", gradient, fit.cov_params().to_numpy(), gradient))
    np.testing.assert_allclose(frame["std_error"].to_numpy().reshape(7, 3)[[0, 1, 3]], se[[0, 1, 3]], rtol=1e-6)
    first = frame.iloc[0]
    logit, half = np.log(first["estimate"] / (1 - first["estimate"])), 1.959963985 * first["std_error"]
    half /= first["estimate"] * (1 - first["estimate"])
    np.testing.assert_allclose([first["conf_low"], first["conf_high"]], 1 / (1 + np.exp(-logit + np.array([half, -half]))), rtol=1e-7)
    assert frame["level"].tolist()[:3] == [1, 2, 3]


def test_predict_on_the_link(fits, koch):
    fit = fits[0]
    found = fit.predict(koch.head(2), scale="link", interval="confidence")
    np.testing.assert_allclose(found["estimate"], [fit.params["trt"], fit.params["trt"] + fit.params["C(day)[T.7]"]], rtol=1e-9)
    np.testing.assert_allclose(found["std_error"].iloc[0], fit.bse["trt"], rtol=1e-9)
    assert fit.predict(koch.head(2), scale="link").shape == (2,)
    p = fits[1].predict(koch.head(2))
    np.testing.assert_allclose(fits[1].predict(koch.head(2), scale="link"), np.log(p[:, 1:] / p[:, :1]), rtol=1e-9)


@pytest.mark.parametrize("which", [0, 1, 2])
def test_effects(fits, koch, which):
    fit = fits[which]
    vector, cov = fit.params.to_numpy(), fit.cov_params().to_numpy()

    def average(v, data):
        return means(fit, v, data).mean(axis=0)

    def moved(v):
        return average(v, koch.assign(trt=1)) - average(v, koch.assign(trt=0))

    table = fit.effect("trt")
    assert table["level"].tolist() == [1, 2, 3]
    np.testing.assert_allclose(table["estimate"], moved(vector), rtol=1e-9)
    assert abs(table["estimate"].sum()) < 1e-12
    g = oracle.derivative(moved, vector)
    np.testing.assert_allclose(table["std_error"], np.sqrt(np.einsum("kp,pq,kq->k", g, cov, g)), rtol=1e-6)
    at = fit.means("trt")
    np.testing.assert_allclose(at["estimate"][:3], average(vector, koch.assign(trt=0)), rtol=1e-9)
    np.testing.assert_allclose(fit.means()["estimate"], fit.fittedvalues.mean(), rtol=1e-9)
    odds = fit.effect("trt", "odds_ratio", by="day")
    some = koch[koch["day"] == 7]
    a, b = average(vector, some.assign(trt=1)), average(vector, some.assign(trt=0))
    np.testing.assert_allclose(odds[odds["day"] == 7]["estimate"], a / (1 - a) / (b / (1 - b)), rtol=1e-9)


def test_sampled_errors(fits, koch):
    """The average over a sample of clusters: influence of the rows and of the estimates."""
    fit = fits[0]
    table = fit.means(errors="sampled")
    p, influence = fit.fittedvalues.to_numpy(), np.zeros((koch["id"].nunique(), 3))
    ids = koch["id"].rank(method="dense").astype(int).to_numpy() - 1
    gradient = oracle.derivative(lambda v: means(fit, v, koch).mean(axis=0), fit.params.to_numpy())
    np.add.at(influence, ids, (p - p.mean(axis=0)) / len(p))
    record = fit.record
    ((_, scores),) = pieces(record, next(iter(record.design.clusters.values())))
    influence += scores @ record.bread @ layout(record).to_named().T @ gradient.T
    np.testing.assert_allclose(table["std_error"], np.sqrt((influence**2).sum(axis=0)), rtol=1e-6)


def test_slope(koch):
    for fit in (ordinal(koch, "y ~ trt + day"), nominal(koch, "y ~ trt + day")):
        h = 1e-4
        up, down = fit.predict(koch.assign(day=koch["day"] + h)), fit.predict(koch.assign(day=koch["day"] - h))
        np.testing.assert_allclose(fit.slope("day")["estimate"], ((up - down) / (2 * h)).mean(axis=0), rtol=1e-5)


# the account of levels, and what is refused


def test_levels_in_the_callers_order(koch):
    words = {1: "poor", 2: "fair", 3: "good"}
    named = koch["y"].map(words)
    given = koch.assign(y=pd.Categorical(named, ["poor", "fair", "good", "superb"], ordered=True))
    fit = ordinal(given)
    assert list(fit.params.index[:2]) == ["poor|fair", "fair|good"]
    np.testing.assert_allclose(fit.params, ordinal(koch).params.to_numpy(), rtol=1e-12)
    text = str(fit.summary())
    assert "y = poor < fair < good; without rows, so not in the model: superb" in " ".join(text.split())
    assert fit.levels == ("poor", "fair", "good")
    assert fit.augment()["y"].tolist() == named.tolist()
    with pytest.warns(glimm.GlimmWarning, match="alphabetical order, fair < good < poor"):
        ordinal(koch.assign(y=named))
    fit = nominal(koch.assign(y=named))
    assert "fair (reference), good, poor" in str(fit.summary())


def test_a_level_that_never_occurs_beside_a_value(koch):
    data = koch[~((koch["day"] == 14) & (koch["y"] == 3))]
    with pytest.warns(glimm.GlimmWarning, match=r"no finite estimates of 3: C\(day\)\[T.14\]"):
        fit = nominal(data)
    assert not fit.converged
    assert np.isnan(fit.bse["3: C(day)[T.14]"])
    assert np.isfinite(fit.bse.drop("3: C(day)[T.14]")).all()
    assert fit.check().codes == ("separated",)
    fitted = fit.fittedvalues[data["day"] == 14]
    assert fitted[3].max() < 1e-8
    assert ordinal(data).converged


def test_a_response_that_does_not_change(koch):
    with pytest.warns(glimm.GlimmWarning, match="log global odds ratio has no end and is held at 15"):
        fit = ordinal(koch.assign(y=koch.groupby("id")["y"].transform("first")), "y ~ trt")
    assert fit.record.solution.code == "boundary"
    assert np.isfinite(fit.bse).all()


def test_too_few_iterations(koch):
    with pytest.warns(glimm.GlimmWarning, match="no convergence in 2 passes"):
        fit = ordinal(koch, control=glimm.Control(max_iter=2))
    assert fit.check().codes == ("not_converged",)
    assert "NOT CONVERGED" in str(fit.summary())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"formula": "y ~ 0 + trt"}, "the thresholds of an ordinal model are its constants"),
        ({"data": {"y": [1, 2, 1, 2], "trt": [0, 1, 1, 0], "id": [1, 1, 2, 2]}}, r"two levels \(1, 2\).*family='binomial'"),
        ({"data": {"y": np.arange(40.0), "trt": np.arange(40) % 2, "id": np.arange(40) // 2}}, "'y' has 40 different values"),
        ({"data": {"y": [1, 1, 1, 1], "trt": [0, 1, 1, 0], "id": [1, 1, 2, 2]}}, "'y' is 1 in all rows"),
        ({"formula": "y / day ~ trt"}, "'y / day' has trials, and family 'ordinal' needs one row per response"),
        ({"corr": "ar1"}, "corr='ar1' is a correlation of numbers, which levels have not"),
        ({"corr": glimm.FixedCorr(np.eye(4))}, "corr=FixedCorr is a correlation of numbers"),
        ({"corr": "odds_ratio(pairs)"}, "family 'ordinal' has one odds ratio for all pairs of occasions"),
        ({"corr": 3}, "corr=int is a correlation of numbers"),
        ({"groups": "trt/id"}, "groups='trt/id' are clusters in clusters"),
        ({"moments": "geepack"}, "moments='geepack' has no meaning for family 'ordinal'"),
        ({"link": "log"}, "link 'log' does not go with family 'ordinal'"),
        ({"family": "multinomial", "corr": "odds_ratio"}, "an odds ratio has no meaning for family 'multinomial'"),
        (
            {"family": "multinomial", "corr": glimm.OddsRatio({"one": lambda a, b: 1.0})},
            "an odds ratio has no meaning for family 'multinomial'",
        ),
        ({"family": "multinomial", "weights": "day"}, "weights with corr='exchangeable' are not there"),
        ({"family": "multinomial", "link": "probit"}, "link 'probit' does not go with family 'multinomial'"),
        ({"family": "multinomial", "corr": "independence", "offset": "day"}, "offset or exposure has no meaning"),
        ({"weights": "day"}, "weights with corr='exchangeable' are not there"),
        ({"vcov": "HC3"}, "vcov='HC3' is not a covariance of a GEE"),
        ({"control": glimm.Control(start={"trt": 0.0})}, "control: start is not there for family 'ordinal'"),
    ],
)
def test_refused(koch, change, said):
    given = {"formula": "y ~ trt", "data": koch, "groups": "id", "family": "ordinal", **change}
    with pytest.raises(glimm.GlimmError, match=said):
        glimm.gee(given.pop("formula"), given.pop("data"), **given)


def test_an_association_that_is_not_possible():
    """Pairs of opposite levels ask for a negative association that eight rows of one cluster cannot have."""
    y = [1, 3, 3, 1, 2, 3, 3, 2, 1, 2, 2, 2] * 8 + [1, 2, 3, 1, 2, 3, 1, 3]
    data = pd.DataFrame({"y": y, "id": [*np.repeat(np.arange(48), 2), *[48] * 8]})
    with pytest.raises(glimm.GlimmError, match=r"have a log odds ratio beyond -\d.*; use corr='independence'"):
        ordinal(data, "y ~ 1")
    assert ordinal(data, "y ~ 1", corr="independence").converged


def test_names_of_the_association(koch):
    a, b = ordinal(koch, corr="odds_ratio"), ordinal(koch)
    np.testing.assert_array_equal(a.params, b.params)
    assert (a.record.corr, b.record.corr) == ("odds_ratio", "exchangeable")


def test_a_cluster_too_large_for_an_association(koch):
    data = koch.assign(id=np.where(np.arange(len(koch)) < 260, 7, koch["id"]))
    with pytest.raises(glimm.GlimmError, match=r"cluster 7 of id has 26[0-9] rows, and with 3 levels .* use corr='independence'"):
        ordinal(data)
    assert ordinal(data, "y ~ 1", corr="independence").converged


def test_doors_that_do_not_have_levels(koch, fits):
    for call in (
        lambda: glimm.glmm("y ~ trt + (1 | id)", koch, family="multinomial"),
        lambda: glimm.advise("y ~ trt", koch, groups="id", family="ordinal"),
        lambda: glimm.compare(fits[0], fits[1]),
        lambda: glimm.report(fits[0], "page.html"),
    ):
        with pytest.raises(glimm.NotYetError, match=r"ordinal|multinomial"):
            call()


def test_every_public_name(fits, koch):
    """A fit to levels has what another GEE has, or says that it has not."""
    arguments = {
        "effect": ("trt",), "slope": ("trt",), "means": ("trt",), "plot": ("trt",), "conditional_params": (1.0,), "refit": ([0],),
        "wald_test": ("trt",),
    }  # fmt: skip
    for fit in fits:
        for name in (n for n in dir(glimm.gee("y ~ trt", koch, groups="id")) if not n.startswith("_")):
            with contextlib.suppress(glimm.GlimmError, AttributeError):
                found = getattr(fit, name)
                if callable(found):
                    found(*arguments.get(name, ()))
        with pytest.raises(AttributeError, match="a GEE has no likelihood"):
            _ = fit.llf
        with pytest.raises(glimm.NotYetError, match=r"fit\.influence is not there for family"):
            fit.influence()
        assert not hasattr(fit, "aic")


def test_faces(fits, koch):
    for fit in fits:
        again = pickle.loads(pickle.dumps(fit))
        np.testing.assert_array_equal(again.params, fit.params)
        table = fit.tidy()
        np.testing.assert_allclose(table["statistic"], fit.params / fit.bse)
        np.testing.assert_allclose(fit.conf_int()["conf_low"], fit.params - 1.959963985 * fit.bse, rtol=1e-8)
        assert fit.glance()["clusters"].iloc[0] == 72
        assert fit.df_resid == len(koch) - len(fit.params)
        assert max(map(len, str(fit.summary()).splitlines())) <= 100
        assert "<table" in fit._repr_html_()
        with pytest.raises(glimm.GlimmError, match="fittedvalues has the probability of each level"):
            fit.resid()
        with pytest.raises(glimm.GlimmError, match="corr_params has the association between occasions"):
            fit.working_corr()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"scale": "odds"}, "scale must be 'response' or 'link'"),
        ({"target": "typical"}, "only target is 'marginal'"),
        ({"interval": "prediction"}, "interval must be 'confidence'"),
    ],
)
def test_predict_refuses(fits, given, said):
    with pytest.raises(glimm.GlimmError, match=said):
        fits[0].predict(**given)


@pytest.mark.parametrize("more", [[], ["--check", "--effect", "trt"], ["--json", "--effect", "trt"]])
def test_command_line(more, fits, capsys):
    path = str(HERE / "data" / "geepack_koch.csv")
    status = main(["fit", "y ~ trt + C(day)", path, "--gee", "--groups", "id", "--family", "ordinal", *more])
    said = capsys.readouterr().out
    assert status == 0
    if "--json" in more:
        numbers = json.loads(said)
        assert [row["term"] for row in numbers["coefficients"]] == NAMES
        assert numbers["levels"] == [1, 2, 3]
        assert numbers["corr_params"]["log_odds_ratio"] == pytest.approx(1.463977796, abs=1e-8)
        assert len(numbers["effects"]) == 3
        assert numbers["qic"] is numbers["cic"] is None
        assert [(row["name"], round(row["estimate"], 8)) for row in numbers["association"]] == [("log_odds_ratio", 1.4639778)]
    else:
        assert "order of levels: y = 1 < 2 < 3" in said
        assert ("Average effect of trt: difference of probabilities" in said) == bool(more)
