"""The design room: doors, names, missing rows, clusters, random terms, rank in words, new data."""

import pickle

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from designs import NAN, changed, gee, glm, glmm, small, spec
from glimm.design import rank
from glimm.design.build import build_design
from glimm.design.clusters import gather
from glimm.design.replay import read_new
from glimm.design.words import in_words
from glimm.errors import GlimmError

# the whole


@pytest.mark.parametrize("make", [dict, pd.DataFrame, pl.DataFrame, pa.table])
def test_same_design_from_every_kind_of_frame(make):
    design = glmm("y ~ x * use + (1 | id)", make(small()))
    assert design.mean.names == ("Intercept", "x", "use[T.Y]", "x:use[T.Y]")
    np.testing.assert_array_equal(design.y, small()["y"])
    np.testing.assert_array_equal(design.mean.matrix.dense()[:, 2], [0, 1, 1, 0, 1, 0])
    (term,) = design.mean.random
    assert (term.group, term.names, term.structure) == ("id", ("Intercept",), "us")
    assert term.levels.tolist() == ["a", "b", "c"]
    assert term.refs.tolist() == [1, 0, 1, 2, 0, 2]
    assert term.refs.dtype == np.int32
    assert term.z.shape == (6, 1)
    assert design.rows.tolist() == list(range(6))
    assert design.mean.intercept == 0
    assert design.spec.frame == {dict: "dict", pd.DataFrame: "pandas", pl.DataFrame: "polars", pa.table: "pyarrow"}[make]
    assert design.n == 6
    assert design.size is None


def test_design_can_be_pickled_and_its_spec_holds_no_rows():
    rows = 20_000
    rng = np.random.default_rng(0)
    data = {"y": rng.normal(size=rows), "x": rng.normal(size=rows), "f": rng.choice(list("abc"), rows), "g": rng.integers(0, 50, rows)}
    design = glmm("y ~ poly(x, 2) * f + offset(scale(x)) + (1 | g)", data)
    assert len(pickle.dumps(design.spec)) < 20_000
    again = pickle.loads(pickle.dumps(design))
    new = {"x": [0.1], "f": ["b"]}
    np.testing.assert_array_equal(read_new(again, new).matrix.dense(), read_new(design, new).matrix.dense())


def test_y_is_the_callers_array_when_nothing_is_missing():
    y = np.array([1.0, 2.0, 4.0])
    assert np.shares_memory(glm("y ~ x", {"y": y, "x": [1, 2, 3]}).y, y)


# doors


@pytest.mark.parametrize(
    ("door", "formula", "words"),
    [
        ("glm", "y ~ x + (1 | id)", r"random effects \(1 \| id\) belong in glimm\.glmm"),
        ("gee", "y ~ x + (1 | id)", r"belong in glimm\.glmm.*glimm\.gee has none"),
        ("glmm", "y ~ x", r"no random effects: add .*glimm\.glm.*glimm\.gee"),
        ("gee", "y ~ x", "needs groups="),
    ],
)
def test_wrong_door(door, formula, words):
    with pytest.raises(GlimmError, match=words):
        build_design(spec(door, formula), small())


# names


@pytest.mark.parametrize(
    ("door", "formula", "options", "words"),
    [
        ("glm", "y ~ xx", {}, r"no column 'xx' in the data: did you mean 'x'"),
        ("glm", "yy ~ x", {}, "no column 'yy'"),
        ("glm", "y ~ log(xx)", {}, "no column 'xx'"),
        ("glm", "y ~ x + y", {}, "'y' is both the response and a predictor"),
        ("glm", "y ~ x + offset(tt)", {}, "no column 'tt'"),
        ("glmm", "y ~ x + (1 | idd)", {}, r"no column 'idd' in the data, needed by \(1 \| idd\): did you mean 'id'"),
        ("glm", "y ~ x", {"weights": "ww"}, "no column 'ww' in the data, needed by weights="),
        ("glm", "y ~ x", {"exposure": "ww", "link": "log"}, "needed by exposure="),
        ("glm", "y ~ x", {"offset": "ww"}, "needed by offset="),
        ("gee", "y ~ x", {"groups": "idd"}, "needed by groups="),
        ("gee", "y ~ x", {"groups": "id", "time": "tt"}, "needed by time="),
        ("glm", "y ~ x", {"clusters": ("idd",)}, "needed by vcov"),
    ],
)
def test_unknown_columns(door, formula, options, words):
    with pytest.raises(GlimmError, match=words):
        build_design(spec(door, formula, **options), small())


def test_unused_columns_are_not_read():
    assert glm("y ~ x", changed(junk=[[1], "a", None, 2, 3, 4])).n == 6


# missing


def with_holes():
    data = small()
    return data | {"y": [1.0, NAN, 2.0, 5.0, 4.0, 6.0], "x": [0.5, NAN, 2.0, NAN, 4.5, 5.0], "id": ["b", "a", "b", "c", "a", None]}


def test_missing_rows_are_dropped_and_counted():
    design = glmm("y ~ x + (1 | id)", with_holes() | {"id": ["b", "a", "b", "c", "d", None]})
    assert design.rows.tolist() == [0, 2, 4]
    missing = design.missing
    assert (missing.n_rows, missing.n_used, missing.n_dropped) == (6, 3, 3)
    assert dict(missing.by_variable) == {"y": 1, "x": 2, "id": 1}
    loss = missing.by_cluster["id"]
    assert (loss.clusters, loss.shortened, loss.lost) == (4, 0, 2)
    assert dict(loss.rows_by_level) == {"a": 1, "c": 1}
    assert design.mean.random[0].levels.tolist() == ["b", "d"]
    assert design.y.tolist() == [1, 2, 4]


def test_shortened_clusters():
    design = gee("y ~ x", with_holes(), groups="id", clusters=("use",))
    loss = design.missing.by_cluster["id"]
    assert (loss.clusters, loss.shortened, loss.lost) == (3, 1, 1)
    assert design.missing.by_cluster["use"].clusters == 2
    assert design.clusters["id"].levels.tolist() == ["a", "b"]


def test_missing_in_arrays_is_counted_by_role():
    design = glm("y ~ x", small(), weights=[1, NAN, 1, 1, 1, 1], offset=np.array([0, 0, NAN, 0, 0, 0]))
    assert dict(design.missing.by_variable) == {"weights": 1, "offset": 1}
    assert design.rows.tolist() == [0, 3, 4, 5]
    design = gee("y ~ x", small(), groups=[1, None, 1, 2, 2, 2], time=[1, 2, 3, NAN, 5, 6])
    assert dict(design.missing.by_variable) == {"groups": 1, "time": 1}


def test_an_array_may_share_its_role_with_a_column():
    data = changed(weights=[1.0, NAN, 2.0, 3.0, 4.0, 5.0])
    design = glm("y ~ weights", data, weights=[1, 1, NAN, 1, 1, 1])
    assert design.rows.tolist() == [0, 3, 4, 5]


def test_missing_error_policy():
    with pytest.raises(GlimmError, match=r"3 of 6 rows have missing values \(y: 1, x: 2, id: 1\): use missing='drop'"):
        glmm("y ~ x + (1 | id)", with_holes(), missing="error")
    assert glm("y ~ x", small(), missing="error").n == 6


def test_every_row_missing():
    with pytest.raises(GlimmError, match=r"every one of the 6 rows has a missing value \(x: 6\)"):
        glm("y ~ x", changed(x=[None] * 6))


def test_nothing_missing():
    design = glmm("y ~ x + (1 | id)", small())
    assert dict(design.missing.by_variable) == {}
    assert design.missing.by_cluster["id"].clusters == 3


# clusters


def test_gather_against_lexsort():
    rng = np.random.default_rng(2)
    for levels, n in ((1, 5), (7, 100), (70_000, 100_000)):
        refs = rng.integers(0, levels, n).astype(np.int32)
        for time in (None, rng.normal(size=n), rng.integers(-5, 90_000, n).astype(float)):
            order, starts = gather(refs, levels, time)
            expected = np.argsort(refs, kind="stable") if time is None else np.lexsort((time, refs))
            np.testing.assert_array_equal(order, expected)
            np.testing.assert_array_equal(np.diff(starts), np.bincount(refs, minlength=levels))
            assert order.dtype == starts.dtype == np.int64
            again = gather(refs[order], levels, None if time is None else time[order])[0]
            np.testing.assert_array_equal(again, np.arange(n))


def test_gee_groups():
    design = gee("y ~ x", small(), groups="id")
    clusters = design.clusters["id"]
    assert clusters.levels.tolist() == ["a", "b", "c"]
    assert clusters.order.tolist() == [1, 4, 0, 2, 3, 5]
    assert clusters.starts.tolist() == [0, 2, 4, 6]
    assert clusters.sizes.tolist() == [2, 2, 2]
    assert clusters.time is None
    assert list(gee("y ~ x", small(), groups=[1, 1, 2, 2, 3, 3]).clusters) == ["groups"]
    assert gee("y ~ x", small(), groups=pd.Series([1.0, 1, 2, 2, 3, 3])).clusters["groups"].levels.tolist() == [1, 2, 3]


def test_gee_time_orders_rows_inside_a_cluster():
    clusters = gee("y ~ x", small(), groups="id", time=[6, 5, 4, 3, 2, 1]).clusters["id"]
    assert clusters.order.tolist() == [4, 1, 2, 0, 5, 3]
    assert clusters.time.tolist() == [6, 5, 4, 3, 2, 1]
    visits = pd.Categorical(["late", "late", "early", "early", "early", "late"], categories=["early", "mid", "late"], ordered=True)
    clusters = gee("y ~ x", changed(visit=visits), groups="id", time="visit").clusters["id"]
    assert clusters.time.tolist() == [3, 3, 1, 1, 1, 3]
    assert clusters.order.tolist() == [4, 1, 2, 0, 3, 5]
    dropped = gee("y ~ x", changed(x=[NAN, 1, 2, 3, 4, 5]), groups="id", time="t").clusters["id"]
    assert dropped.time.tolist() == [2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"groups": "id", "time": [1, 1, 2, 1, 1, 2]}, r"cluster 'a' of 'id' has time 1 twice, in rows 1 and 4"),
        ({"groups": "id", "time": "use"}, "time 'use' holds strings"),
        ({"groups": "n"}, r"'n' has a single cluster 5 .*glimm\.glm"),
        ({"groups": [1, 2]}, "'groups' has 2 values but the data have 6 rows"),
        ({"groups": ["id", "use"]}, "groups= is one column"),
        ({"groups": "id", "clusters": ("n",)}, "'n' has a single cluster 5 .*clustered standard errors"),
    ],
)
def test_refused_clusters(options, words):
    with pytest.raises(GlimmError, match=words):
        gee("y ~ x", small(), **options)


def test_duplicate_times_name_the_callers_rows():
    data = changed(x=[NAN, 1, 2, 3, 4, 5])
    with pytest.raises(GlimmError, match="cluster 'c' of 'id' has time 7 twice, in rows 3 and 5"):
        gee("y ~ x", data, groups="id", time=[1, 2, 3, 7, 5, 7])


def test_vcov_clusters():
    design = glm("y ~ x", small(), clusters=("id", "use"))
    assert list(design.clusters) == ["id", "use"]
    assert design.clusters["use"].sizes.tolist() == [3, 3]
    same = gee("y ~ x", small(), groups="id", time="t", clusters=("id",))
    assert same.clusters["id"].time is not None


# random terms


def test_random_term_refusals():
    with pytest.raises(GlimmError, match=r"\(1 \| n\): column 'n' has a single level 5.*glimm\.glm"):
        glmm("y ~ x + (1 | n)", small())
    with pytest.raises(GlimmError, match=r"'t' has as many levels as there are rows \(6\).*residual"):
        glmm("y ~ x + (1 | t)", small())
    assert glmm("s ~ x + (1 | t)", small(), "poisson").mean.random[0].levels.tolist() == [1, 2, 3, 4, 5, 6]
    assert glmm("y ~ x + (1 | t)", small(), link="log").mean.random[0].refs.tolist() == [0, 1, 2, 3, 4, 5]


def test_random_group_with_unused_levels():
    data = changed(id=pd.Categorical(small()["id"], categories=["z", "c", "b", "a"]))
    term = glmm("y ~ x + (1 | id)", data).mean.random[0]
    assert term.levels.tolist() == ["c", "b", "a"]
    assert term.refs.tolist() == [1, 2, 1, 0, 2, 0]


def test_numeric_and_quoted_groups():
    data = changed(**{"my id": [3, 1, 3, 2, 1, 2]})
    term = glmm("y ~ x + (1 | `my id`)", data).mean.random[0]
    assert term.group == "my id"
    assert term.levels.tolist() == [1, 2, 3]
    assert term.refs.tolist() == [2, 0, 2, 1, 0, 1]


# rank


def test_columns_left_out_are_said_in_words():
    x = np.array(small()["x"])
    data = changed(x2=2 * x - 1, k=[3.0] * 6, o=[0.0] * 6, both=x + np.array(small()["t"]))
    design = glm("y ~ x + x2 + k + o + t + both", data)
    assert design.mean.names == ("Intercept", "x", "t")
    assert dict(design.mean.dropped) == {
        "x2": "= 2 * x - 1 * Intercept",
        "k": "= 3 * Intercept",
        "o": "is 0 in every row used",
        "both": "= 1 * x + 1 * t",
    }
    assert design.spec.names == ("Intercept", "x", "x2", "k", "o", "t", "both")
    assert design.spec.keep == (0, 1, 5)
    assert len(design.mean.center) == len(design.mean.scale) == 3
    np.testing.assert_allclose(design.mean.matrix.dense()[:, 2], small()["t"])


def test_empty_cells_and_single_levels_are_named():
    data = {"y": [1.0, 2, 4, 3, 6], "f": list("aabbb"), "g": ["u", "v", "u", "u", "u"], "one": ["k"] * 5}
    design = glm("y ~ f * g + one", data)
    assert design.mean.names == ("Intercept", "f[T.b]", "g[T.v]")
    assert design.mean.dropped["f[T.b]:g[T.v]"] == "is 0 in every row used"
    assert design.mean.dropped["one"] == "one has a single level 'k' in the rows used"


def test_in_words():
    decided = rank.Rank(np.array([0, 1, 2]), {}, np.zeros(4), np.ones(4))
    names = ("Intercept", "a", "b", "c")
    assert in_words(names, 3, np.array([-1.0, 2 + 1e-12, 1e-14]), decided) == "= 2 * a - 1 * Intercept"
    assert in_words(names, 3, np.array([0.1 + 2e-10, 0, -1 / 3]), decided) == "= -0.33333333 * b + 0.1 * Intercept"
    assert in_words(names, 3, np.zeros(3), decided) == "is 0 in every row used"
    assert in_words(names, 3, np.array([0, -1.0, -2]), decided) == "= -1 * a - 2 * b"
    many = rank.Rank(np.arange(10), {}, np.zeros(11), np.ones(11))
    words = in_words(tuple("abcdefghijk"), 10, np.ones(10), many)
    assert words == "is a combination of a, b, c, d, e, f, g, h and 2 others"


def test_no_coefficients():
    with pytest.raises(GlimmError, match="has no coefficients: write '~ 1'"):
        glm("y ~ 0", small())


def test_more_columns_than_rows_are_allowed():
    design = glm("y ~ x + t", {"y": [1.0, 2.0], "x": [1.0, 2.0], "t": [1.0, 5.0]})
    assert design.mean.names == ("Intercept", "x")


def test_no_intercept():
    assert glm("y ~ 0 + use", small()).mean.intercept is None
