"""The data door: every dtype of every library gives the same Variable, and every refusal says what to do."""

import datetime as dt
import decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from glimm.data.frames import Frame, check_names, open_frame, table
from glimm.data.readers import read_column
from glimm.errors import GlimmError

NAN = float("nan")


def numeric(variable):
    assert variable.kind == "numeric"
    assert variable.values.dtype == np.float64
    return variable.values.tolist()


def labels(variable):
    assert variable.kind == "factor"
    assert variable.codes.dtype == np.int32
    return [None if c < 0 else variable.levels[c] for c in variable.codes]


NUMBERS = {
    "list": [1, 2, 3],
    "tuple": (1, 2, 3),
    "range": range(1, 4),
    "int64": np.array([1, 2, 3]),
    "int8": np.array([1, 2, 3], dtype=np.int8),
    "uint64": np.array([1, 2, 3], dtype=np.uint64),
    "float32": np.array([1, 2, 3], dtype=np.float32),
    "float16": np.array([1, 2, 3], dtype=np.float16),
    "longdouble": np.array([1, 2, 3], dtype=np.longdouble),
    "big-endian": np.array([1, 2, 3], dtype=">f8"),
    "objects": np.array([1, 2.0, 3], dtype=object),
    "decimals": [decimal.Decimal(1), decimal.Decimal(2), decimal.Decimal(3)],
    "masked": np.ma.masked_array([1.0, 2.0, 3.0], mask=False),
    "pandas": pd.Series([1, 2, 3]),
    "pandas index": pd.Index([1, 2, 3]),
    "pandas Int64": pd.Series([1, 2, 3], dtype="Int64"),
    "pandas Float32": pd.Series([1, 2, 3], dtype="Float32"),
    "pandas float32": pd.Series([1, 2, 3], dtype="float32"),
    "pandas object": pd.Series([1, 2, 3], dtype=object),
    "pandas arrow int": pd.Series([1, 2, 3], dtype="int64[pyarrow]"),
    "pandas arrow float": pd.Series([1, 2, 3], dtype="float[pyarrow]"),
    "pandas arrow decimal": pd.Series([1, 2, 3], dtype=pd.ArrowDtype(pa.decimal128(10, 2))),
    "pandas sparse": pd.Series(pd.arrays.SparseArray([1.0, 2.0, 3.0])),
    "pandas array": pd.array([1, 2, 3], dtype="Int64"),
    "polars": pl.Series([1, 2, 3]),
    "polars u8": pl.Series([1, 2, 3], dtype=pl.UInt8),
    "polars f32": pl.Series([1, 2, 3], dtype=pl.Float32),
    "polars decimal": pl.Series([decimal.Decimal(1), decimal.Decimal(2), decimal.Decimal(3)]),
    "pyarrow": pa.array([1, 2, 3]),
    "pyarrow chunked": pa.chunked_array([[1, 2], [3]]),
    "pyarrow f32": pa.array([1, 2, 3], type=pa.float32()),
    "pyarrow decimal": pa.array([decimal.Decimal(1), decimal.Decimal(2), decimal.Decimal(3)]),
}

MISSING_NUMBERS = {
    "list": [1, None, 3],
    "nan": np.array([1, NAN, 3]),
    "objects": np.array([1, None, 3.0], dtype=object),
    "object NA": pd.Series([1, pd.NA, 3], dtype=object),
    "decimals": [decimal.Decimal(1), None, decimal.Decimal(3)],
    "masked": np.ma.masked_array([1, 2, 3], mask=[0, 1, 0]),
    "masked float": np.ma.masked_array([1.0, np.inf, 3.0], mask=[0, 1, 0]),
    "pandas": pd.Series([1, NAN, 3]),
    "pandas Int64": pd.Series([1, None, 3], dtype="Int64"),
    "pandas Float64": pd.Series([1, None, 3], dtype="Float64"),
    "pandas Float32": pd.Series([1, None, 3], dtype="Float32"),
    "pandas arrow int": pd.Series([1, None, 3], dtype="int64[pyarrow]"),
    "pandas arrow float": pd.Series([1, None, 3], dtype="double[pyarrow]"),
    "pandas arrow decimal": pd.Series([1, None, 3], dtype=pd.ArrowDtype(pa.decimal128(10, 2))),
    "polars int": pl.Series([1, None, 3]),
    "polars float": pl.Series([1.0, None, 3.0]),
    "polars nan": pl.Series([1.0, NAN, 3.0]),
    "polars decimal": pl.Series([decimal.Decimal(1), None, decimal.Decimal(3)]),
    "pyarrow int": pa.chunked_array([[1, None], [3]]),
    "pyarrow float": pa.array([1.0, None, 3.0]),
    "pyarrow decimal": pa.array([decimal.Decimal(1), None, decimal.Decimal(3)]),
}

STRINGS = {
    "list": ["b", None, "a", "b"],
    "objects": np.array(["b", None, "a", "b"], dtype=object),
    "objects nan": np.array(["b", NAN, "a", "b"], dtype=object),
    "masked": np.ma.masked_array(["b", "x", "a", "b"], mask=[0, 1, 0, 0]),
    "pandas str": pd.Series(["b", None, "a", "b"]),
    "pandas object": pd.Series(["b", None, "a", "b"], dtype=object),
    "pandas string": pd.Series(["b", None, "a", "b"], dtype="string"),
    "pandas arrow": pd.Series(["b", None, "a", "b"], dtype="string[pyarrow]"),
    "pandas arrow dtype": pd.Series(["b", None, "a", "b"], dtype=pd.ArrowDtype(pa.string())),
    "polars": pl.Series(["b", None, "a", "b"]),
    "polars categorical": pl.Series(["b", None, "a", "b"], dtype=pl.Categorical),
    "pyarrow": pa.array(["b", None, "a", "b"]),
    "pyarrow large": pa.array(["b", None, "a", "b"], type=pa.large_string()),
    "pyarrow chunked": pa.chunked_array([["b", None], ["a", "b"]]),
}

CATEGORICALS = {
    "pandas": pd.Categorical(["hi", None, "lo", "hi"], categories=["lo", "mid", "hi"]),
    "pandas series": pd.Series(pd.Categorical(["hi", None, "lo", "hi"], categories=["lo", "mid", "hi"], ordered=True)),
    "polars enum": pl.Series(["hi", None, "lo", "hi"], dtype=pl.Enum(["lo", "mid", "hi"])),
    "pyarrow": pa.DictionaryArray.from_arrays(pa.array([2, None, 0, 2]), ["lo", "mid", "hi"]),
    "pyarrow chunked": pa.chunked_array([pa.DictionaryArray.from_arrays(pa.array([2, None, 0, 2]), ["lo", "mid", "hi"])]),
    "pandas arrow": pd.Series(
        pa.DictionaryArray.from_arrays(pa.array([2, None, 0, 2]), ["lo", "mid", "hi"]),
        dtype=pd.ArrowDtype(pa.dictionary(pa.int64(), pa.string())),
    ),
}

BOOLEANS = {
    "list": [True, None, False],
    "objects": np.array([True, None, False], dtype=object),
    "masked": np.ma.masked_array([True, True, False], mask=[0, 1, 0]),
    "pandas object": pd.Series([True, None, False], dtype=object),
    "pandas boolean": pd.Series([True, None, False], dtype="boolean"),
    "pandas arrow": pd.Series([True, None, False], dtype="bool[pyarrow]"),
    "polars": pl.Series([True, None, False]),
    "pyarrow": pa.array([True, None, False]),
}


@pytest.mark.parametrize("column", NUMBERS.values(), ids=NUMBERS.keys())
def test_numbers(column):
    variable = read_column("x", column, 3)
    assert numeric(variable) == [1, 2, 3]
    assert variable.missing is None


@pytest.mark.parametrize("column", MISSING_NUMBERS.values(), ids=MISSING_NUMBERS.keys())
def test_missing_numbers(column):
    variable = read_column("x", column, 3)
    np.testing.assert_array_equal(numeric(variable), [1, NAN, 3])
    assert variable.missing.tolist() == [False, True, False]


@pytest.mark.parametrize("column", STRINGS.values(), ids=STRINGS.keys())
def test_strings_have_sorted_levels(column):
    variable = read_column("s", column, 4)
    assert labels(variable) == ["b", None, "a", "b"]
    assert variable.levels == ("a", "b")
    assert all(type(level) is str for level in variable.levels)
    assert variable.missing.tolist() == [False, True, False, False]
    assert not variable.ordered_levels


@pytest.mark.parametrize("column", CATEGORICALS.values(), ids=CATEGORICALS.keys())
def test_categoricals_keep_their_order_and_unused_levels(column):
    variable = read_column("c", column, 4)
    assert labels(variable) == ["hi", None, "lo", "hi"]
    assert variable.levels == ("lo", "mid", "hi")
    assert variable.ordered_levels


@pytest.mark.parametrize("column", BOOLEANS.values(), ids=BOOLEANS.keys())
def test_booleans(column):
    variable = read_column("b", column, 3)
    assert labels(variable) == [True, None, False]
    assert variable.levels == (False, True)
    assert variable.boolean


@pytest.mark.parametrize("column", [np.array([True, False]), pd.Series([True, False]), pl.Series([True, False]), pa.array([True, False])])
def test_booleans_without_missing(column):
    variable = read_column("b", column)
    assert variable.codes.tolist() == [1, 0]
    assert variable.missing is None


def test_integer_flag():
    assert read_column("x", [1, None]).integer
    assert read_column("x", pd.Series([1, 2])).integer
    assert read_column("x", pl.Series([1, None])).integer
    assert not read_column("x", [1.0, 2]).integer


@pytest.mark.parametrize(
    "column", [[None, None], pl.Series([None, None]), pa.nulls(2), pd.Series([None, None]), pd.Series([pd.NaT, None], dtype=object)]
)
def test_all_missing(column):
    assert read_column("x", column).missing.tolist() == [True, True]


def test_all_missing_strings():
    assert read_column("x", pd.Series([None, None], dtype="str")).missing.tolist() == [True, True]
    assert read_column("x", pl.Series([None, None], dtype=pl.String)).missing.tolist() == [True, True]
    assert read_column("x", pa.array([None, None], type=pa.string())).missing.tolist() == [True, True]


def test_float_columns_are_not_copied():
    x = np.arange(5.0)
    assert np.shares_memory(read_column("x", x).values, x)
    x.flags.writeable = False
    assert np.shares_memory(read_column("x", x).values, x)
    frame = pd.DataFrame({"x": np.arange(5.0)})
    assert np.shares_memory(open_frame(frame).variable("x").values, frame["x"].to_numpy())
    series = pl.Series("x", np.arange(5.0))
    assert np.shares_memory(read_column("x", series).values, series.to_numpy())


def test_input_is_left_alone():
    masked = np.ma.masked_array([1.0, 2.0], mask=[0, 1])
    read_column("x", masked)
    assert masked.data.tolist() == [1.0, 2.0]
    objects = np.array(["a", None], dtype=object)
    read_column("x", objects)
    assert objects.tolist() == ["a", None]


@pytest.mark.parametrize(
    ("column", "words"),
    [
        ([1, "a"], r"'x' mixes types: int in row 0, str in row 1 \(counting from 0\)"),
        ([None, "a", 2.5], r"str in row 1, float in row 2"),
        ([True, 1], r"mixes types: bool in row 0, int in row 1"),
        (pd.Series(["a", 1], dtype=object), r"mixes types"),
        ([1 + 2j], "complex"),
        (np.array([1 + 2j]), "complex"),
        (pd.Series([1 + 2j]), "complex"),
        ([[1, 2], [3, 4]], "lists"),
        (np.zeros((2, 2)), r"2 dimensions, shape \(2, 2\)"),
        (pl.Series([[1], [2]]), "lists"),
        (pl.Series([{"a": 1}]), "structs"),
        (pa.array([[1], [2]]), "lists"),
        (np.array([b"a"]), "bytes"),
        (pl.Series([b"a"]), "bytes"),
        ("abc", "single value"),
        (3, "single value"),
        (np.array(3.0), "single value"),
        ([object()], "type object"),
        (pd.Series(pd.interval_range(0, 2)), "intervals"),
    ],
)
def test_refused_columns(column, words):
    with pytest.raises(GlimmError, match=words):
        read_column("x", column)
    with pytest.raises(GlimmError, match="'x'"):
        read_column("x", column)


@pytest.mark.parametrize(
    "column",
    [
        pd.Series(pd.to_datetime(["2020-01-01"])),
        pd.Series(pd.to_datetime(["2020-01-01"], utc=True)),
        pd.Series(pd.to_timedelta(["1D"])),
        pd.Series(pd.period_range("2020", periods=1, freq="D")),
        pd.Series([1], dtype="int64").astype("datetime64[ns]").astype("timestamp[ns][pyarrow]"),
        np.array(["2020-01-01"], dtype="datetime64[D]"),
        [dt.date(2020, 1, 1)],
        [dt.datetime(2020, 1, 1)],
        pl.Series([dt.date(2020, 1, 1)]),
        pl.Series([dt.datetime(2020, 1, 1)]),
        pl.Series([dt.time(1)]),
        pl.Series([dt.timedelta(1)]),
        pa.array([dt.date(2020, 1, 1)]),
    ],
)
def test_dates_say_how_to_make_numbers(column):
    with pytest.raises(GlimmError, match=r"'x' holds dates or times: make a number .*\.dt\.days"):
        read_column("x", column)


@pytest.mark.parametrize(
    "column", [[1.0, np.inf], np.array([1, -np.inf]), pd.Series([1, np.inf]), pl.Series([1.0, np.inf]), pa.array([1.0, np.inf])]
)
def test_infinite_values(column):
    with pytest.raises(GlimmError, match=r"'x' is infinite \(-?inf\) in row 1 \(counting from 0\)"):
        read_column("x", column)


DATA = {"y": [1.0, 2.0, 3.0], "g": ["a", "b", "a"]}
FRAMES = {"pandas": pd.DataFrame(DATA), "polars": pl.DataFrame(DATA), "pyarrow": pa.table(DATA), "dict": DATA}


@pytest.mark.parametrize("kind", FRAMES)
def test_frames(kind):
    frame = open_frame(FRAMES[kind])
    assert (frame.kind, frame.n_rows, frame.names) == (kind, 3, ("y", "g"))
    assert numeric(frame.variable("y")) == [1, 2, 3]
    assert labels(frame.variable("g")) == ["a", "b", "a"]
    assert frame.factor("y").levels == (1.0, 2.0, 3.0)
    assert open_frame(frame) is frame
    with pytest.raises(GlimmError, match=r"no column 'yy' in the data: did you mean 'y'"):
        frame.variable("yy")


def test_record_batch_and_dict_of_mixed_columns():
    assert open_frame(pa.RecordBatch.from_pydict(DATA)).kind == "pyarrow"
    frame = open_frame({"a": pd.Series([1, 2], index=[7, 8]), "b": pl.Series(["u", "v"]), "c": np.array([1.0, 2.0]), 4: pa.array([1, 2])})
    assert frame.names == ("a", "b", "c", "4")
    assert numeric(frame.variable("a")) == [1, 2]
    assert numeric(frame.variable("4")) == [1, 2]


def test_non_string_and_duplicate_names():
    frame = open_frame(pd.DataFrame([[1, 2.0], [3, 4.0]]))
    assert frame.names == ("0", "1")
    assert numeric(frame.variable("1")) == [2, 4]
    twice = open_frame(pd.DataFrame([[1, 2, 3], [4, 5, 6]], columns=["a", "a", "b"]))
    assert numeric(twice.variable("b")) == [3, 6]
    with pytest.raises(GlimmError, match="2 columns are called 'a': rename"):
        twice.variable("a")
    mixed = open_frame(pd.DataFrame([[1, 2]], columns=[1, "1"]))
    with pytest.raises(GlimmError, match="2 columns are called '1'"):
        mixed.variable("1")


def test_only_the_columns_asked_for_are_read():
    bad = pd.DataFrame({"y": [1.0, 2.0], "when": pd.to_datetime(["2020-01-01", "2020-01-02"]), "mess": [[1], "a"]})
    assert numeric(open_frame(bad).variable("y")) == [1, 2]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (pl.LazyFrame(DATA), r"lazy frame: call \.collect\(\)"),
        ("ohio.csv", r"not str: read the file first, with glimm\.read"),
        ([1, 2], "must be a pandas or polars DataFrame, a pyarrow Table or a dict of arrays, not list"),
        (None, "not NoneType"),
        (np.zeros((2, 2)), "not ndarray"),
        (pd.Series([1, 2]), "not Series"),
        (pd.DataFrame(), "no columns"),
        ({}, "no columns"),
        (pd.DataFrame({"a": []}), r"no rows \(columns: a\)"),
        (pl.DataFrame({"a": []}), "no rows"),
        (pa.table({"a": pa.array([], type=pa.int64())}), "no rows"),
        ({"a": []}, "no rows"),
        ({"a": [1, 2], "b": [1]}, "'b' has 1 values but column 'a' has 2"),
        ({"a": 1}, "'a' is a single value"),
        ({"a": "abc"}, "'a' is a single value"),
    ],
)
def test_refused_data(data, words):
    with pytest.raises(GlimmError, match=words):
        open_frame(data)


def test_two_dimensional_dict_entry():
    with pytest.raises(GlimmError, match="'m' has 2 dimensions"):
        open_frame({"a": [1, 2], "m": np.zeros((2, 2))}).variable("m")
    with pytest.raises(GlimmError, match="'m' has 2 dimensions"):
        open_frame({"a": [1, 2], "m": pd.DataFrame({"u": [1, 2], "v": [1, 2]})}).variable("m")


def test_names_with_dots_or_spaces_suggest_backticks():
    frame = open_frame({"Sepal.Length": [1.0], "my age": [2.0]})
    with pytest.raises(GlimmError, match=r"put it in backticks, `Sepal\.Length`"):
        check_names(frame, ("Sepal",))
    with pytest.raises(GlimmError, match="`my age`"):
        check_names(frame, ("my",))


@pytest.mark.parametrize("kind", ["pandas", "polars", "pyarrow", "dict"])
def test_table_in_the_callers_kind(kind):
    small = pd.DataFrame({"term": ["a", "b"], "estimate": [1.0, NAN], "n": [1, 2], "ok": [True, False], "note": [None, "x"]})
    out = table(kind, small)
    if kind in ("pandas", "dict"):
        assert out is small
        return
    assert type(out).__module__.startswith(kind)
    again = open_frame(out)
    assert again.names == ("term", "estimate", "n", "ok", "note")
    assert again.variable("term").levels == ("a", "b")
    np.testing.assert_array_equal(again.variable("estimate").values, [1.0, NAN])
    assert again.variable("ok").boolean
    assert again.variable("note").missing.tolist() == [True, False]


def test_frame_is_frozen():
    frame = open_frame(DATA)
    assert isinstance(frame, Frame)
    with pytest.raises(AttributeError):
        frame.kind = "polars"
