"""Designs with several random terms: nested and crossed groupings, interactions, structures, cells of continuous time, new data."""

import pickle

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from designs import NAN, glmm
from glimm.data.formula import split
from glimm.design.replay import read_new
from glimm.errors import GlimmError

EXACT = np.random.default_rng(3)


def schools(rows=240):
    """Schools, classes numbered within schools, pupils numbered within classes, and columns that cross them."""
    rng = np.random.default_rng(1)
    school, cl, pupil = rng.integers(1, 5, rows), rng.integers(1, 4, rows), rng.integers(1, 6, rows)
    return {
        "y": rng.normal(size=rows),
        "x": rng.normal(size=rows),
        "count": rng.poisson(3, rows),
        "school": school,
        "cl": cl,
        "pupil": pupil,
        "visit": rng.integers(1, 4, rows),
        "t": rng.integers(0, 6, rows) / 2.0,
        "f": rng.choice(["p", "q", "r"], rows),
        "rater": rng.choice(["ann", "bob", "cy"], rows),
        "house": np.char.add("h", school.astype(str)),
    }


def terms(formula, data=None, family="gaussian"):
    return glmm(formula, schools() if data is None else data, family).mean.random


# formulas


@pytest.mark.parametrize(
    ("term", "texts", "names"),
    [
        ("(1 | a/b)", ["(1 | a)", "(1 | a:b)"], ["a", "a:b"]),
        ("(1 + x | a/b/c)", ["(1 + x | a)", "(1 + x | a:b)", "(1 + x | a:b:c)"], ["a", "a:b", "a:b:c"]),
        ("(x || a/b)", ["(x || a)", "(x || a:b)"], ["a", "a:b"]),
        ("(1 | a:b)", ["(1 | a:b)"], ["a:b"]),
        ("(1 | a : b:c)", ["(1 | a : b:c)"], ["a:b:c"]),
        ("(1 | (a / b))", ["(1 | a)", "(1 | a:b)"], ["a", "a:b"]),
        ("(1 | a:b/c)", ["(1 | a:b)", "(1 | a:b:c)"], ["a:b", "a:b:c"]),
        ("ar1(0 + f | a/b)", ["ar1(0 + f | a)", "ar1(0 + f | a:b)"], ["a", "a:b"]),
        ("(1 | `my a`/`b/c`)", ["(1 | `my a`)", "(1 | `my a`:`b/c`)"], ["my a", "my a:b/c"]),
    ],
)
def test_groupings(term, texts, names):
    bars = split(f"y ~ x + {term}").bars
    assert [bar.text for bar in bars] == texts
    assert [bar.name for bar in bars] == names


@pytest.mark.parametrize(
    ("term", "words"),
    [
        ("(1 | a*b)", r"write \(1 \| a\) \+ \(1 \| b\) \+ \(1 \| a:b\)"),
        ("(x | a + b)", r"write \(x \| a\) \+ \(x \| b\)"),
        ("(1 | C(a))", r"write \(1 \| a\), a grouping is always taken as a factor"),
        ("(1 | a/C(b))", r"write \(1 \| a/b\), a grouping"),
        ("(1 | log(a))", r"'log\(a\)' .* is not a column: make it one, data\['g'\] = \.\.\., and write \(1 \| g\)"),
        ("(1 | a:cut(b))", r"'cut\(b\)' .* write \(1 \| a:g\)"),
        ("(1 | a - b)", "not a column"),
        ("(1 | 1)", "not a column"),
        ("(1 | a/)", r"lacks a column beside ':' or '/'"),
        ("(1 | a::b)", r"lacks a column"),
        ("(1 | a:a)", "column 'a' twice"),
        ("(1 | a/b/a)", "column 'a' twice"),
        ("ar1(0 + f || a)", r"write \(0 \+ f \|\| a\) or ar1\(0 \+ f \| a\)"),
        ("cs(x || a)", r"\|\| makes independent effects"),
    ],
)
def test_groupings_that_cannot_be_meant(term, words):
    with pytest.raises(GlimmError, match=words):
        split(f"y ~ x + {term}")


# groupings on data


@pytest.mark.parametrize("make", [dict, pd.DataFrame, pl.DataFrame, pa.table])
def test_nested_groupings(make):
    data = schools()
    found = terms("y ~ x + (1 | school/cl/pupil)", make(data))
    assert [t.group for t in found] == ["school", "school:cl", "school:cl:pupil"]
    frame = pd.DataFrame(data)
    for term, columns in zip(found, (["school"], ["school", "cl"], ["school", "cl", "pupil"]), strict=True):
        np.testing.assert_array_equal(term.refs, frame.groupby(columns).ngroup())
        assert term.refs.dtype == np.int32
        labels = frame[columns].astype(str).agg(":".join, axis=1)
        assert [str(level) for level in term.levels] == sorted(labels.unique())
        assert (term.levels[term.refs].astype(str) == labels).all()


def test_levels_of_combinations():
    data = {"y": EXACT.normal(size=8), "a": [2, 1, 2, 1, 2, 2, 1, 1], "b": [10.0, 1.5, 9.0, 1.5, 9.0, 10.0, 1.5, 9.0]}
    (term,) = terms("y ~ 1 + (1 | a:b)", data)
    assert term.levels.tolist() == ["1:1.5", "1:9", "2:9", "2:10"]
    data["b"] = pd.Categorical(["w", "v", "u", "v", "u", "w", "v", "u"], categories=["w", "v", "unused", "u"])
    data["a"] = [True, False] * 4
    data["a"][6] = False
    (term,) = terms("y ~ 1 + (1 | b:a)", pd.DataFrame(data))
    assert term.levels.tolist() == ["w:False", "w:True", "v:False", "u:False", "u:True"]


def test_odd_names():
    data = schools()
    data["my school"] = data.pop("school")
    found = terms("y ~ x + (1 | `my school`/cl)", data)
    assert [t.group for t in found] == ["my school", "my school:cl"]
    data["my school:cl"] = data["pupil"]
    with pytest.raises(GlimmError, match="column 'my school:cl' and the combinations my school:cl have one name"):
        terms("y ~ x + (1 | `my school:cl`) + (1 | `my school`:cl)", data)


def test_large_products_of_levels():
    rng = np.random.default_rng(7)
    n = 5000
    frame = pd.DataFrame(
        {"y": rng.normal(size=n), "a": rng.integers(0, 3000, n), "b": rng.integers(0, 10**9, n) % 2000, "c": rng.integers(0, 1500, n)}
    )
    found = terms("y ~ 1 + (1 | a:b:c) + (1 | a) + (1 | c:b)", pd.concat([frame, frame]))
    twice = pd.concat([frame, frame])
    for term, columns in zip(found, (["a", "b", "c"], ["a"], ["c", "b"]), strict=True):
        np.testing.assert_array_equal(term.refs, twice.groupby(columns).ngroup())


def test_order_is_as_written():
    found = terms("y ~ x + (1 | rater) + (1 + x | school) + (0 + f || pupil:cl) + (1 | pupil)")
    assert [t.group for t in found] == ["rater", "school", "pupil:cl", "pupil"]
    assert [t.structure for t in found] == ["us", "us", "diag", "us"]


def test_missing_groupings():
    data = schools(20)
    data["school"] = np.where(np.arange(20) == 3, NAN, data["school"])
    data["cl"] = np.where((np.arange(20) == 5) | (np.arange(20) == 3), NAN, data["cl"])
    data["x"][7] = NAN
    design = glmm("count ~ x + (1 | school:cl) + (1 | school)", data, "poisson")
    assert design.missing.by_variable == {"school": 1, "cl": 2, "x": 1}
    assert design.missing.n_dropped == 3
    lost = design.missing.by_cluster
    frame = pd.DataFrame(data)
    assert lost["school"].clusters == frame.school.nunique()
    assert lost["school:cl"].clusters == frame.dropna(subset=["school", "cl"]).groupby(["school", "cl"]).ngroups
    assert sum(lost["school:cl"].rows_by_level.values()) == 1
    assert sum(lost["school"].rows_by_level.values()) == 2
    kept = frame.dropna(subset=["school", "cl", "x"])
    np.testing.assert_array_equal(design.mean.random[0].refs, kept.groupby(["school", "cl"]).ngroup())
    assert design.mean.random[0].levels[0].count(".") == 0


@pytest.mark.parametrize(
    ("bars", "words"),
    [
        ("(1 | school) + (1 | school)", r"\(1 \| school\) and \(1 \| school\) are the same random term: write it once"),
        ("(1 | school/cl) + (1 | school)", "are the same random term"),
        ("(1 + x | school) + (1 | school)", r"both give every level of 'school' the effect Intercept.*leave it out of one of them"),
        ("(1 | school) + (x || school)", "the effect Intercept"),
        ("(1 | school) + (1 | house)", r"\(1 \| school\) and \(1 \| house\): 'school' and 'house' put the same rows together"),
        ("(1 | school/house)", "'school' and 'school:house' put the same rows together"),
        ("(1 | cl:school) + (1 | school:cl)", "'cl:school' and 'school:cl' put the same rows together"),
        ("ar1(0 + f | school) + ar1(0 + f | school)", "are the same random term"),
        ("(1 | school) + (1 | nosuch:cl)", r"no column 'nosuch' in the data, needed by \(1 \| nosuch:cl\)"),
        ("(1 | school/pupli)", r"no column 'pupli' in the data, needed by \(1 \| school:pupli\): did you mean 'pupil'"),
    ],
)
def test_terms_that_cannot_be_told_apart(bars, words):
    with pytest.raises(GlimmError, match=words):
        terms(f"y ~ x + {bars}")


@pytest.mark.parametrize(
    "bars",
    [
        "(1 | school) + (0 + x | school)",
        "(1 | school) + (0 + x | house)",
        "(1 | school) + ar1(0 + f | school)",
        "diag(0 + f | school) + ar1(0 + f | school)",
        "(0 + t | school) + ou(0 + t | school)",
        "(1 | school/cl) + (1 | rater)",
    ],
)
def test_terms_that_can_be_told_apart(bars):
    assert len(terms(f"y ~ x + {bars}")) == len(split(f"y ~ {bars}").bars)


def test_a_grouping_with_a_level_per_row_beside_a_residual():
    data = schools(30)
    data["row"] = np.arange(30)
    with pytest.raises(GlimmError, match="column 'row' has as many levels as there are rows"):
        terms("y ~ x + (1 | school) + (1 | row)", data)
    with pytest.raises(GlimmError, match="column 'school:row' has as many levels as there are rows"):
        terms("y ~ x + (1 | school/row)", data)
    assert len(terms("count ~ x + (1 | school) + (1 | row)", data, "poisson")) == 2


def test_two_combinations_with_one_name():
    data = {"y": EXACT.normal(size=4), "a": ["u:v", "u", "u", "u:v"], "b": ["w", "v:w", "v:w", "w"]}
    with pytest.raises(GlimmError, match="two combinations of a:b are both called 'u:v:w'"):
        terms("y ~ 1 + (1 | a:b)", data)


# structures


@pytest.mark.parametrize("name", ["ar1", "toep", "homcs"])
@pytest.mark.parametrize("left", ["0 + C(visit)", "C(visit) - 1"])
def test_structures_of_a_factor(name, left):
    data = schools()
    (term,) = terms(f"y ~ x + {name}({left} | pupil)", data)
    assert term.structure == name
    assert term.names == ("C(visit)[1]", "C(visit)[2]", "C(visit)[3]")
    np.testing.assert_array_equal(term.z, (data["visit"][:, None] == [1, 2, 3]).astype(float))
    assert term.intercept is None
    assert not term.center.any()
    np.testing.assert_array_equal(term.scale, np.ones(3))
    np.testing.assert_array_equal(term.mix, np.eye(3))
    assert term.cells is None


def test_cs_takes_any_columns():
    data = schools()
    (term,) = terms("y ~ x + cs(1 + x | pupil)", data)
    np.testing.assert_array_equal(term.z, np.column_stack([np.ones(240), data["x"]]))
    np.testing.assert_array_equal(term.scale, [1, 1])
    assert term.intercept is None
    assert terms("y ~ x + cs(0 + f | pupil)")[0].names == ("f[p]", "f[q]", "f[r]")


def test_occasions_are_in_the_order_of_levels():
    data = schools()
    data["f"] = pd.Categorical(data["f"], categories=["r", "p", "q"])
    assert terms("y ~ x + ar1(0 + f | pupil)", pd.DataFrame(data))[0].names == ("f[r]", "f[p]", "f[q]")


def test_cells_of_continuous_time():
    data = schools()
    (term,) = terms("y ~ x + ou(0 + t | pupil)", data)
    assert (term.names, term.structure, term.group) == (("t",), "ou", "pupil")
    np.testing.assert_array_equal(term.z, np.ones((240, 1)))
    frame = pd.DataFrame(data)
    np.testing.assert_array_equal(term.cells, frame.groupby(["pupil", "t"]).ngroup())
    cells = frame[["pupil", "t"]].drop_duplicates().sort_values(["pupil", "t"])
    np.testing.assert_array_equal(term.times, cells.t)
    np.testing.assert_array_equal(term.levels[term.cell_refs], cells.pupil)
    np.testing.assert_array_equal(term.refs, frame.groupby("pupil").ngroup())
    assert (term.cells.dtype, term.cell_refs.dtype) == (np.int32, np.int32)
    np.testing.assert_array_equal(term.places, term.cells)
    half = terms("y ~ x + ou(0 + I(t / 2) | pupil)", data)[0]
    np.testing.assert_array_equal(half.times, cells.t / 2)


@pytest.mark.parametrize(
    ("bar", "words"),
    [
        ("ar1(t | school)", r"two things.*write ar1\(0 \+ C\(t\) \| school\) for levels.*or ou\(0 \+ t \| school\) for numeric times"),
        ("ou(t | school)", r"write ou\(0 \+ t \| school\) for numeric times, or ar1\(0 \+ C\(t\) \| school\)"),
        ("ar1(0 + t | school)", r"'t' holds numbers: write ar1\(0 \+ C\(t\) \| school\).*ou\(0 \+ t \| school\)"),
        ("toep(t | school)", r"write toep\(0 \+ C\(t\) \| school\)"),
        ("homcs(0 + x | school)", r"homcs takes the levels of a factor"),
        ("ar1(f | school)", r"constant beside the levels: write ar1\(0 \+ f \| school\)"),
        ("homcs(C(visit) | school)", r"write homcs\(0 \+ C\(visit\) \| school\)"),
        ("ar1(1 | school)", r"write it as ar1\(0 \+ C\(visit\) \| school\)"),
        ("ar1(0 + f + rater | school)", "the values of one factor"),
        ("toep(0 + f:rater | school)", "the values of one factor"),
        ("ar1(0 + C(f, contr.sum) | school)", "takes the levels of one factor"),
        ("ar1(0 + log(t + 1) | school)", "takes the levels of one factor"),
        ("ou(0 + C(t) | school)", r"ou takes numeric times.*write ou\(0 \+ t \| school\), or ar1\(0 \+ C\(t\) \| school\)"),
        ("ou(0 + f | school)", r"ou takes numeric times, and 'f' is a factor.*ar1\(0 \+ f \| school\)"),
        ("ou(0 + t + x | school)", "the values of one numeric column"),
        ("ou(0 + bs(t, df=4) | school)", "takes one numeric column of times, not the 4 columns"),
        ("ou(1 | school)", r"write it as ou\(0 \+ t \| school\)"),
        ("cs(1 | school)", r"one effect, Intercept.*write \(1 \| school\)"),
        ("cs(0 + x | school)", r"one effect, x"),
        ("cs(0 + x + I(2 * x) | school)", "cannot be told apart"),
        ("ar1(0 + C(many) | school)", r"120 effects.*put occasions together, or write ou\(0 \+ t \| school\)"),
        ("ou(0 + fixed | pupil)", r"no level of 'pupil' has two different times.*write \(1 \| pupil\)"),
        ("homcs(0 + nosuch | school)", "no column 'nosuch'"),
    ],
)
def test_structures_that_cannot_be_meant(bar, words):
    data = schools()
    data["many"] = np.arange(240) % 120
    data["fixed"] = data["pupil"] * 1.5
    with pytest.raises(GlimmError, match=words):
        terms(f"y ~ x + {bar}", data)


def test_structures_beside_a_residual():
    rng = np.random.default_rng(5)
    data = {"y": rng.normal(size=30), "id": np.repeat(np.arange(10), 3), "visit": np.tile([1, 2, 3], 10)}
    for name in ("ar1", "toep", "cs"):
        assert len(terms(f"y ~ 1 + {name}(0 + C(visit) | id)", data)) == 1
    for name in ("us", "diag", "homcs"):
        with pytest.raises(GlimmError, match="cannot be told from the residual"):
            terms(f"y ~ 1 + {name}(0 + C(visit) | id)", data)


# new data


def test_new_data_with_combinations():
    data = schools()
    data["school"] = data["school"].astype(float)
    design = glmm("y ~ x + (1 | school/cl) + (0 + x | rater)", data)
    new = {"x": [1.0, 2.0, NAN, 4.0, 5.0], "school": [1, 2, 99, 4, 1], "cl": [2, 3, 1, 77, 1], "rater": ["bob", None, "zoe", "cy", "ann"]}
    rows = read_new(design, new)
    levels = [t.levels.tolist() for t in design.mean.random]
    assert rows.refs[0].tolist() == [levels[0].index(1.0), levels[0].index(2.0), -1, levels[0].index(4.0), levels[0].index(1.0)]
    assert rows.refs[1].tolist() == [levels[1].index("1:2"), levels[1].index("2:3"), -1, -1, levels[1].index("1:1")]
    assert rows.refs[2].tolist() == [1, -1, -1, 2, 0]
    np.testing.assert_array_equal(rows.z[2][:, 0], new["x"])
    assert [p.tolist() for p in rows.places] == [r.tolist() for r in rows.refs]
    again = read_new(pickle.loads(pickle.dumps(design)), pl.DataFrame(new, strict=False))
    assert [r.tolist() for r in again.refs] == [r.tolist() for r in rows.refs]
    del new["cl"]
    rows = read_new(design, new)
    assert rows.refs[1].tolist() == [-1] * 5
    assert rows.refs[0].tolist()[0] == levels[0].index(1.0)
    gone = {"x": [1.0], "school": [None], "cl": [1], "rater": ["ann"]}
    assert [r.tolist() for r in read_new(design, gone).refs] == [[-1], [-1], [0]]


def test_the_fits_own_rows_are_read_again():
    data = schools()
    design = glmm("y ~ x + (1 | school/cl/pupil) + ou(0 + t | pupil) + ar1(0 + C(visit) | rater)", data)
    rows = read_new(design, data)
    for term, refs, z, places in zip(design.mean.random, rows.refs, rows.z, rows.places, strict=True):
        np.testing.assert_array_equal(refs, term.refs)
        np.testing.assert_array_equal(z, term.z)
        np.testing.assert_array_equal(places, term.places)
    plain = read_new(design, data, effects=False)
    assert plain.z == ()
    assert len(plain.refs) == 5


def test_new_data_with_cells():
    data = {"y": EXACT.normal(size=7), "id": ["a", "a", "a", "b", "b", "b", "b"], "t": [0.0, 1.5, 1.5, 4.0, 0.0, 1.5, 3.0]}
    design = glmm("y ~ 1 + ou(0 + t | id)", data)
    (term,) = design.mean.random
    assert term.times.tolist() == [0.0, 1.5, 0.0, 1.5, 3.0, 4.0]
    assert term.cell_refs.tolist() == [0, 0, 1, 1, 1, 1]
    new = {"id": ["a", "a", "b", "c", None, "b", "b", "a"], "t": [1.5, 3.0, 3.0, 0.0, 0.0, NAN, 9.0, -1.0]}
    rows = read_new(design, new)
    assert rows.refs[0].tolist() == [0, 0, 1, -1, -1, 1, 1, 0]
    assert rows.places[0].tolist() == [1, -1, 4, -1, -1, -1, -1, -1]
    np.testing.assert_array_equal(rows.z[0], np.ones((8, 1)))
