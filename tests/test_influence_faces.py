"""Influence as it is asked for: names, frames, units that cannot be left out, bad input, the picture."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import special

import glimm
from glimm.plots.draw_influence import visible
from support import HERE
from test_take import frame

SMALL = {"y": [1.0, 2.0, 3.0, 5.0, 4.0, 9.0], "g": [1, 1, 1, 2, 2, 2], "x": [1.0, 2.0, 3.0, 1.0, 2.0, 3.0]}
STEPS = {"y": [0, 0, 0, 1, 0, 1, 1, 1], "x": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0], "f": list("aaaaaaab"), "one": list("aabbccdd")}


def test_columns_and_order():
    table = glimm.glmm("c ~ x + (1 | g)", frame(), family="negative_binomial").influence()
    assert list(table.columns) == [
        "g",
        "rows",
        "cooks_distance",
        "dfbetas_Intercept",
        "dfbetas_x",
        "change_g.Intercept",
        "change_k",
    ]
    assert table["g"].tolist() == sorted(frame()["g"].unique())
    assert table["rows"].tolist() == frame()["g"].value_counts().sort_index().tolist()


def test_rows_are_those_of_the_data_and_frames_the_callers():
    data = {"y": [1.0, 2.0, 3.0, 5.0, 7.0], "x": [1.0, None, 2.0, 4.0, 6.0]}
    table = glimm.glm("y ~ x", pl.DataFrame(data)).influence()
    assert isinstance(table, pl.DataFrame)
    assert table["row"].to_list() == [0, 2, 3, 4]
    assert isinstance(glimm.glm("y ~ x", data).influence(), pd.DataFrame)


def test_a_grouping_called_like_a_column_of_the_table():
    data = {**SMALL, "rows": [1, 1, 2, 2, 3, 3]}
    table = glimm.glm("y ~ x", data, vcov={"cluster": "rows"}).influence("cluster")
    assert list(table.columns)[:2] == ["rows_", "rows"]


def test_a_column_of_a_predictor_leaves_out_its_values():
    data = frame()
    table = glimm.gee("y ~ x + visit", data, groups="g").influence("visit")
    assert table["visit"].tolist() == [0, 1, 2, 3]
    assert table["visit"].dtype.kind == "i"
    assert table["rows"].tolist() == data["visit"].value_counts().sort_index().tolist()


def test_threads_change_nothing():
    fit = glimm.glmm("b ~ x + (1 | g)", frame(), family="binomial", points=5)
    for method in ("one_step", "refit"):
        pd.testing.assert_frame_equal(fit.influence(method=method, threads=1), fit.influence(method=method, threads=2))


def test_the_order_of_rows_changes_nothing():
    data = frame()
    backwards = data.iloc[::-1].reset_index(drop=True)
    a = glimm.glmm("y ~ x + (1 | g)", data).influence("row")["cooks_distance"].to_numpy()
    b = glimm.glmm("y ~ x + (1 | g)", backwards).influence("row")["cooks_distance"].to_numpy()
    np.testing.assert_allclose(a, b[::-1], rtol=1e-6)


# ---------------------------------------------------------------- units that cannot be left out


@pytest.mark.parametrize("method", ["one_step", "refit"])
def test_a_level_with_one_row_is_said(method):
    fit = glimm.glm("x ~ f", STEPS)
    with pytest.warns(glimm.GlimmWarning, match=r"1 of 8 units are NaN \(row 7\)\. Without row 7: a coefficient is not determined"):
        table = fit.influence(method=method)
    assert table["cooks_distance"].isna().tolist() == [False] * 7 + [True]
    assert table["leverage"][7] == pytest.approx(1.0)


def test_separation_without_a_row_is_said_by_refits():
    fit = glimm.glm("y ~ x", STEPS, family="binomial")
    with pytest.warns(glimm.GlimmWarning, match=r"2 of 8 units are NaN \(row 3, 4\)\. Without row 3: fitted probabilities of 0 or 1"):
        table = fit.influence(method="refit")
    assert np.flatnonzero(table["dfbetas_x"].isna()).tolist() == [3, 4]
    assert fit.influence()["dfbetas_x"].notna().all()


def test_separation_of_a_mixed_model_without_a_cluster_is_said_by_refits():
    rng = np.random.default_rng(2)
    g = np.repeat(np.arange(30), 6)
    x = np.tile([0, 0, 0, 1, 1, 1], 30)
    y = np.where(x == 0, 0, rng.random(180) < special.expit(2.0 * rng.normal(size=30))[g]).astype(int)
    y[:2] = 1  # the only successes with x = 0
    fit = glimm.glmm("y ~ x + (1 | g)", {"y": y, "x": x, "g": g}, family="binomial", points=5)
    with pytest.warns(glimm.GlimmWarning, match=r"1 of 30 units are NaN \(g 0\)\. Without g 0: fitted probabilities"):
        table = fit.influence(method="refit")
    assert np.flatnonzero(table["dfbetas_x"].isna()).tolist() == [0]


@pytest.mark.parametrize("method", ["one_step", "refit"])
def test_one_cluster_that_stays_is_said(method):
    fit = glimm.glmm("y ~ x + (1 | g)", SMALL)
    with pytest.warns(glimm.GlimmWarning, match="2 of 2 units are NaN.*a single level of g stays"):
        table = fit.influence(method=method)
    assert table["cooks_distance"].isna().all()


def test_a_fit_that_is_not_to_be_used_says_so():
    with pytest.warns(glimm.GlimmWarning):
        fit = glimm.glm("y ~ x", {"y": [0, 0, 0, 1, 1, 1], "x": [1, 2, 3, 4, 5, 6]}, family="binomial")
    with pytest.warns(glimm.GlimmWarning, match="influence: of a fit that is not to be used as it is"):
        fit.influence()


def test_a_variance_of_zero_stays_there():
    data = pd.read_csv(HERE / "data" / "lme4_Dyestuff2.csv")
    with pytest.warns(glimm.GlimmWarning, match="is zero"):
        fit = glimm.glmm("Yield ~ 1 + (1 | Batch)", data)
    plain = glimm.glm("Yield ~ 1", data)
    table, rows = fit.influence("row"), plain.influence()
    np.testing.assert_allclose(table["cooks_distance"], rows["cooks_distance"], rtol=1e-8)
    assert (table["change_Batch.Intercept"] == 0.0).all()


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"by": "clusters"}, "did you mean 'cluster'"),
        ({"by": "cluster"}, r"needs its clusters: fit with vcov=\{'cluster': 'column'\}"),
        ({"by": "rwo"}, "did you mean 'row'"),
        ({"by": "X"}, "did you mean 'x'"),
        ({"by": 3}, "not int"),
        ({"method": "refitt"}, "did you mean 'refit'"),
        ({"threads": 0}, "threads must be a whole number"),
    ],
)
def test_bad_input(more, said):
    fit = glimm.glm("y ~ x", SMALL)
    with pytest.raises(glimm.GlimmError, match=said):
        fit.influence(**more)


def test_crossed_groupings_have_to_be_named():
    fit = glimm.glmm("y ~ x + (1 | g) + (1 | item)", frame())
    with pytest.raises(glimm.GlimmError, match=r"the groupings (item, g|g, item) cross"):
        fit.influence()
    assert len(fit.influence("item")) == 8


def test_clusters_in_two_directions_have_to_be_named():
    fit = glimm.glm("y ~ x", frame(), vcov={"cluster": ["g", "item"]})
    with pytest.raises(glimm.GlimmError, match="several directions: name one, by='g'"):
        fit.influence("cluster")
    assert len(fit.influence("item")) == 8


def test_parameters_estimated_together_need_refits():
    fit = glimm.glm("c ~ x", frame(), family="negative_binomial1")
    with pytest.raises(glimm.NotYetError, match="use method='refit'"):
        fit.influence()


def test_a_grouping_called_row_is_not_mistaken_for_rows():
    data = frame().rename(columns={"g": "row"})
    fit = glimm.glmm("y ~ x + (1 | row)", data)
    other = glimm.glmm("y ~ x + (1 | g)", frame())
    np.testing.assert_allclose(fit.influence()["cooks_distance"], other.influence()["cooks_distance"])
    assert len(fit.plot_influence().axes) == 2
    with pytest.raises(glimm.GlimmError, match="a column of the model has this name"):
        fit.influence("row")


def test_a_singular_covariance_is_said():
    with pytest.warns(glimm.GlimmWarning, match="far too small"):
        fit = glimm.gee("y ~ x + t", frame()[frame()["g"] < 2], groups="g")
    with pytest.warns(glimm.GlimmWarning, match=r"Cook's distance is NaN: the covariance of the coefficients \(robust"):
        fit.influence("row")


# ---------------------------------------------------------------- the picture


def test_picture_has_a_stem_for_every_unit_and_names_the_largest():
    fit = glimm.glmm("y ~ x + (1 | g)", frame())
    table = fit.influence()
    picture = fit.plot_influence(top=3)
    upper, lower = picture.axes
    heights = [path[1, 1] for path in upper.collections[0].get_segments()]
    np.testing.assert_allclose(heights, table["cooks_distance"])
    largest = table.nlargest(3, "cooks_distance")["g"].astype(str).tolist()
    named = {text.get_text() for text in upper.texts[1:]}
    assert largest[0] in named <= set(largest)
    assert f"g {largest[0]} moves the estimates most" in picture.alt.replace("Leaving out ", "")
    term = lower.texts[0].get_text().removeprefix("dfbetas of ")
    moved = table.filter(like="dfbetas_").abs().max()
    assert moved.idxmax() == f"dfbetas_{term}"


def test_picture_of_a_term_and_in_own_words():
    picture = glimm.glm("y ~ x", frame()).plot_influence(term="x", title="Rows", top=0)
    assert picture.axes[1].texts[0].get_text() == "dfbetas of x"
    assert picture.texts[0].get_text() == "Rows"
    assert len(picture.axes[0].texts) == 1


@pytest.mark.parametrize(
    ("more", "said"), [({"term": "X"}, "did you mean 'x'"), ({"top": 2.5}, "whole number"), ({"top": -1}, "whole number")]
)
def test_picture_bad_input(more, said):
    with pytest.raises(glimm.GlimmError, match=said):
        glimm.glm("y ~ x", SMALL).plot_influence(**more)


def test_many_stems_keep_the_highest_and_the_lowest():
    rng = np.random.default_rng(3)
    x, y = np.arange(100_000.0), rng.normal(size=100_000)
    kept = visible(x, y)
    assert len(kept) <= 3000
    assert {int(y.argmax()), int(y.argmin())} <= set(kept.tolist())
