"""What must be equal to what, whatever the data: models that coincide, and transformations that change nothing."""

import numpy as np
import pandas as pd
import pytest

import glimm
from glimm.design.build import build_design
from glimm.design.records import Spec
from glimm.estimators.conditional import conditional_variances
from glimm.estimators.control import Control
from glimm.estimators.glmm import fit_glmm
from glimm.family import resolve


@pytest.fixture(scope="module")
def frame():
    rng = np.random.default_rng(21)
    g = rng.integers(0, 40, 400)
    x, f = rng.normal(size=400), rng.choice(["a", "b", "c"], 400)
    eta = 0.4 + 0.7 * x + (f == "b") * 0.5 + rng.normal(size=40)[g]
    return pd.DataFrame(
        {
            "g": g,
            "x": x,
            "f": f,
            "w": rng.integers(1, 4, 400),
            "day": rng.integers(0, 10, 400),
            "y": eta + rng.normal(size=400),
            "b": (rng.random(400) < 1 / (1 + np.exp(-eta))).astype(int),
            "c": rng.poisson(np.exp(0.3 * eta)),
        }
    )


@pytest.mark.parametrize(
    ("y", "family", "link"), [("b", "binomial", None), ("b", "binomial", "probit"), ("c", "poisson", None), ("y", "gaussian", None)]
)
def test_independence_gee_is_the_glm_with_cluster_errors(frame, y, family, link):
    shuffled = frame.sample(frac=1, random_state=1)
    a = glimm.glm(f"{y} ~ x + f", shuffled, family=family, link=link, weights="w", vcov={"cluster": "g"})
    b = glimm.gee(f"{y} ~ x + f", shuffled, groups="g", family=family, link=link, weights="w", corr="independence")
    np.testing.assert_allclose(a.params, b.params, rtol=1e-10)
    np.testing.assert_allclose(a.cov_params(), b.cov_params(), rtol=1e-9)
    assert a.scale == pytest.approx(b.scale) or family != "gaussian"


@pytest.mark.parametrize("family", ["binomial", "poisson"])
def test_one_point_quadrature_is_laplace(frame, family):
    y = "b" if family == "binomial" else "c"
    design = build_design(Spec("glmm", f"{y} ~ x + f + (1 | g)", *resolve(family)), frame)
    laplace = fit_glmm(design, resolve(family)[0], 1, Control())
    from glimm.estimators.points import rule
    from glimm.estimators.terms import by_level
    from glimm.kernels import MixedModel, Rows

    part, (order, starts) = design.mean, by_level(design.mean.random[0])
    rows = Rows(part.matrix, part.center, part.scale, design.y, design.size, part.offset, order)
    x = laplace.vector.copy()
    x[: part.matrix.p] = x[: part.matrix.p] * part.scale
    x[part.intercept] += part.center @ laplace.vector[: part.matrix.p]
    model = MixedModel(rows, starts, None, 1, None, None)
    one = model.quadrature(resolve(family)[0].kernel, part.link.kernel, x, 1, *rule(1, 1))
    assert -0.5 * one.deviance == pytest.approx(laplace.llf, abs=1e-10)


def test_gaussian_laplace_is_the_lmm_by_ml(frame):
    lmm = glimm.glmm("y ~ x + f + (1 | g)", frame, reml=False, weights="w").record
    laplace = fit_glmm(lmm.design, lmm.family, 1, Control())
    assert laplace.llf == pytest.approx(lmm.llf, abs=1e-8)
    p = lmm.blocks["mean"]
    np.testing.assert_allclose(laplace.vector[p], lmm.vector[p], atol=1e-6)
    np.testing.assert_allclose(laplace.scale, lmm.scale, rtol=1e-5)
    np.testing.assert_allclose(laplace.vector[laplace.blocks["theta"]], lmm.vector[lmm.blocks["theta"]] * np.sqrt(lmm.scale), rtol=1e-5)
    np.testing.assert_allclose(laplace.effects, lmm.effects, atol=1e-5)
    np.testing.assert_allclose(conditional_variances(laplace)[0], conditional_variances(lmm)[0], rtol=1e-4)


@pytest.mark.parametrize("reml", [False, True])
@pytest.mark.parametrize("change", ["y + 1e7", "seconds"])
def test_large_offsets_change_nothing(frame, reml, change):
    formula = "y ~ day + f + (1 | g)"
    moved = frame.assign(y=frame.y + 1e7) if change == "y + 1e7" else frame.assign(day=1_700_000_000 + 86_400 * frame.day)
    a, b = glimm.glmm(formula, frame, reml=reml), glimm.glmm(formula, moved, reml=reml)
    scale = 2 * np.log(86_400) if reml and change == "seconds" else 0.0  # |X'V^-1X| is of the columns as named
    assert -2 * b.llf == pytest.approx(-2 * a.llf + scale, abs=1e-6)
    assert b.sigma == pytest.approx(a.sigma, rel=1e-7)


def test_large_offsets_change_nothing_in_the_other_models(frame):
    moved = frame.assign(day=1_700_000_000 + 86_400 * frame.day)
    a, b = (glimm.glm("b ~ day * f", d, family="binomial") for d in (frame, moved))
    assert -2 * a.llf == pytest.approx(-2 * b.llf, abs=1e-6)
    np.testing.assert_allclose(a.fittedvalues, b.fittedvalues, atol=1e-8)
    for points in (1, 9):
        a, b = (glimm.glmm("b ~ day + f + (1 | g)", d, family="binomial", points=points) for d in (frame, moved))
        assert -2 * a.llf == pytest.approx(-2 * b.llf, abs=1e-6)
        np.testing.assert_allclose(a.tvalues["day"], b.tvalues["day"], rtol=1e-4)
    a, b = (glimm.gee("b ~ day + f", d, groups="g", family="binomial") for d in (frame, moved))
    np.testing.assert_allclose(a.fittedvalues, b.fittedvalues, atol=1e-8)
    np.testing.assert_allclose(a.tvalues["day"], b.tvalues["day"], rtol=1e-6)


@pytest.mark.parametrize("door", ["glm", "glmm", "gee"])
def test_rows_in_any_order_and_any_kind_of_frame_give_the_same_fit(frame, door):
    import polars as pl
    import pyarrow as pa

    def fit(data):
        if door == "glm":
            return glimm.glm("b ~ x + f", data, family="binomial")
        if door == "glmm":
            return glimm.glmm("b ~ x + f + (1 | g)", data, family="binomial", points=5)
        return glimm.gee("b ~ x + f", data, groups="g", family="binomial")

    first = fit(frame)
    others = [
        frame.sample(frac=1, random_state=2),
        pl.from_pandas(frame),
        pa.Table.from_pandas(frame),
        {name: frame[name].to_numpy() for name in frame},
        frame.assign(f=frame.f.astype("category"), b=frame.b.astype(bool), g=frame.g.astype(str)),
    ]
    for other in others:
        fitted = fit(other)
        np.testing.assert_allclose(fitted.params, first.params, rtol=1e-6)
        np.testing.assert_allclose(fitted.bse, first.bse, rtol=1e-5)


def test_tables_come_back_in_the_callers_kind_of_frame(frame):
    import polars as pl
    import pyarrow as pa

    for data, kind in (
        (frame, pd.DataFrame),
        (pl.from_pandas(frame), pl.DataFrame),
        (pa.Table.from_pandas(frame), pa.Table),
        (frame.to_dict("list"), pd.DataFrame),
    ):
        fit = glimm.glmm("b ~ x + (1 | g)", data, family="binomial", points=1)
        for table in (fit.tidy(), fit.glance(), fit.augment(), fit.varcorr(), fit.ranef()):
            assert isinstance(table, kind)


def test_weights_of_two_are_rows_twice_in_the_estimates(frame):
    twice = pd.concat([frame, frame])
    a = glimm.glm("b ~ x + f", frame.assign(w=2.0), family="binomial", weights="w")
    b = glimm.glm("b ~ x + f", twice, family="binomial")
    np.testing.assert_allclose(a.params, b.params, rtol=1e-9)
    np.testing.assert_allclose(a.bse, b.bse, rtol=1e-9)


def test_successes_of_trials_are_the_rows_one_by_one(frame):
    cells = frame.groupby(["f", "g"], as_index=False).agg(s=("b", "sum"), n=("b", "size"))
    cells["fail"] = cells.n - cells.s
    rows = glimm.glmm("b ~ f + (1 | g)", frame, family="binomial", points=7)
    for response in ("s / n", "cbind(s, fail)"):
        fit = glimm.glmm(f"{response} ~ f + (1 | g)", cells, family="binomial", points=7)
        np.testing.assert_allclose(fit.params, rows.params, rtol=1e-6)
        np.testing.assert_allclose(fit.bse, rows.bse, rtol=1e-5)
        np.testing.assert_allclose(fit.theta, rows.theta, rtol=1e-6)


def test_offset_and_exposure_are_the_same(frame):
    data = frame.assign(t=frame.w * 2.0, logt=np.log(frame.w * 2.0))
    fits = [
        glimm.glm("c ~ x", data, family="poisson", exposure="t"),
        glimm.glm("c ~ x", data, family="poisson", offset="logt"),
        glimm.glm("c ~ x + offset(logt)", data, family="poisson"),
        glimm.glm("c ~ x + offset(log(t))", data, family="poisson"),
        glimm.glm("c ~ x", data, family="poisson", exposure=data.t.to_numpy()),
    ]
    for fit in fits[1:]:
        np.testing.assert_allclose(fit.params, fits[0].params, rtol=1e-10)
        assert fit.llf == pytest.approx(fits[0].llf, abs=1e-9)
    for fit in fits[:4]:
        np.testing.assert_allclose(fit.predict(data.head(5)), fit.fittedvalues.to_numpy()[:5], rtol=1e-10)
    np.testing.assert_allclose(fits[4].predict(data.head(5), exposure=data.t.to_numpy()[:5]), fits[0].predict(data.head(5)), rtol=1e-10)


def test_fits_are_the_same_to_the_bit_for_any_number_of_threads():
    rng = np.random.default_rng(31)
    n = 60_000
    g = rng.integers(0, 5_000, n)
    x = rng.normal(size=n)
    data = pd.DataFrame({"g": g, "x": x, "b": (rng.random(n) < 1 / (1 + np.exp(-x - rng.normal(size=5_000)[g]))).astype(int)})
    data["y"] = x + rng.normal(size=5_000)[g] + rng.normal(size=n)

    def numbers(threads):
        c = glimm.Control(threads=threads)
        fits = [
            glimm.glm("b ~ x", data, family="binomial", control=c),
            glimm.gee("b ~ x", data, groups="g", family="binomial", control=c),
            glimm.glmm("b ~ x + (1 | g)", data, family="binomial", points=3, control=c),
            glimm.glmm("y ~ x + (1 | g)", data, control=c),
        ]
        return [v for fit in fits for v in (*fit.params, *fit.bse)]

    assert numbers(1) == numbers(2) == numbers(3)


def test_a_fit_survives_pickling(frame):
    import pickle

    for fit in (
        glimm.glm("b ~ x + f", frame, family="binomial"),
        glimm.gee("b ~ x", frame, groups="g", family="binomial"),
        glimm.glmm("y ~ x + (1 | g)", frame),
    ):
        again = pickle.loads(pickle.dumps(fit))
        np.testing.assert_array_equal(again.params, fit.params)
        np.testing.assert_array_equal(again.predict(frame.head(4)), fit.predict(frame.head(4)))


@pytest.mark.parametrize("sd", [3600.0, 60.0, 1.0])
def test_standard_errors_do_not_depend_on_where_zero_is(sd):
    rng = np.random.default_rng(17)
    g = np.repeat(np.arange(30), 8)
    s = np.round(sd * rng.normal(size=240), 6)
    eta = 0.4 * s / sd + rng.normal(size=30)[g]
    here = pd.DataFrame({"g": g, "h": np.tile(np.arange(8), 30), "s": s, "y": eta + rng.normal(size=240)})
    here["b"] = (rng.random(240) < 1 / (1 + np.exp(-eta))).astype(int)
    here["s"] = (1.7e9 + here.s) - 1.7e9  # what is left of s at that distance from zero
    there = here.assign(s=here.s + 1.7e9)

    def errors(d):
        fits = [glimm.glm("y ~ s", d, vcov=v) for v in ("model", "HC0", "HC2", "HC3", {"cluster": "g"}, {"cluster": ["g", "h"]})]
        fits += [glimm.glm("b ~ s", d, family="binomial", vcov={"cluster": "g"}), glimm.gee("b ~ s", d, groups="g", family="binomial")]
        fits += [glimm.glmm("y ~ s + (1 | g)", d), glimm.glmm("b ~ s + (1 | g)", d, family="binomial", points=5)]
        new = d.head(3)
        intervals = [f.predict(new, target="marginal", interval="confidence")["std_error"] for f in (fits[0], fits[-3], fits[-1])]
        return [f.bse["s"] for f in fits], np.concatenate(intervals)

    for a, b in zip(errors(here), errors(there), strict=True):
        np.testing.assert_allclose(b, a, rtol=2e-5)


def test_curvatures_of_clusters_add_up_to_the_bread(frame):
    from glimm.estimators.gee import pieces

    record = glimm.gee("b ~ x + f", frame, groups="g", family="binomial").record
    ((curvatures, scores),) = pieces(record, "g", curvatures=True)
    np.testing.assert_allclose(np.linalg.inv(curvatures.sum(axis=0)), record.bread, rtol=1e-9)
    assert np.abs(scores.sum(axis=0)).max() < 1e-6
