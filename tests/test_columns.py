"""Variables: factors of numbers, taking rows, recoding, handing columns to pandas."""

import numpy as np
import pandas as pd
import polars as pl
import pytest

from glimm.data.columns import as_factor, level_array, pandas_columns, recode, take, used_codes
from glimm.data.readers import read_column, read_factor
from glimm.errors import GlimmError

NAN = float("nan")


def labels(variable):
    return [None if c < 0 else variable.levels[c] for c in variable.codes]


def test_factors_of_numbers():
    variable = read_factor("id", np.array([30, 10, 30, 20]))
    assert variable.levels == (10, 20, 30)
    assert variable.codes.tolist() == [2, 0, 2, 1]
    assert all(type(level) is int for level in variable.levels)
    far = read_factor("id", np.array([10**15, -5, 10**15]))
    assert far.levels == (-5, 10**15)
    huge = 2**60
    assert read_factor("id", [huge, huge + 1]).levels == (huge, huge + 1)
    assert read_factor("id", pl.Series([huge + 1, None, huge])).codes.tolist() == [1, -1, 0]
    assert read_factor("id", [1.5, NAN, 0.5]).levels == (0.5, 1.5)
    assert read_factor("id", np.array([200, 1], dtype=np.uint8)).levels == (1, 200)
    assert read_factor("id", np.array([-100, 100, 0], dtype=np.int8)).levels == (-100, 0, 100)
    assert read_factor("id", np.array([2**63 + 5, 2**63], dtype=np.uint64)).levels == (2**63, 2**63 + 5)
    assert read_factor("id", [10**30, 1]).levels == (1.0, 1e30)


def test_factors_agree_with_pandas():
    rng = np.random.default_rng(1)
    for values in (
        rng.integers(0, 50, 500),
        rng.integers(-(10**12), 10**12, 500),
        rng.choice(list("qwerty"), 500),
        rng.normal(size=500).round(1),
    ):
        codes, uniques = pd.factorize(values, sort=True)
        variable = read_factor("g", values)
        assert variable.codes.tolist() == codes.tolist()
        assert list(variable.levels) == uniques.tolist()


def test_take_used_and_recode():
    variable = read_column("c", pd.Categorical(["hi", None, "lo", "hi"], categories=["lo", "mid", "hi"]))
    few = take(variable, np.array([0, 2]))
    assert labels(few) == ["hi", "lo"]
    codes, levels = used_codes(variable, np.array([0, 3]))
    assert levels == ("hi",)
    assert codes.tolist() == [0, 0]
    codes, unknown = recode(variable, ("hi", "other"))
    assert codes.tolist() == [0, -1, -1, 0]
    assert unknown == ("lo",)
    assert recode(read_column("x", [1.0, 2.0, NAN]), (1, 2))[0].tolist() == [0, 1, -1]
    assert as_factor(variable) is variable
    assert level_array(("a", "b")).dtype == object
    assert level_array((1, 2)).dtype.kind == "i"


def test_pandas_columns():
    variables = {
        "x": read_column("x", [1.5, 2, 3]),
        "i": read_column("i", [1, 2, 3]),
        "b": read_column("b", [True, False, True]),
        "s": read_column("s", ["u", "v", "u"]),
        "c": read_column("c", pd.Categorical(["lo", "hi", "lo"], categories=["lo", "mid", "hi"])),
    }
    out = pandas_columns(variables, variables, np.array([0, 1]))
    assert out["i"].dtype == np.int64
    assert out["b"].tolist() == [True, False]
    assert out["s"].tolist() == ["u", "v"]
    assert out["c"].cat.categories.tolist() == ["lo", "hi"]
    assert out["x"].tolist() == [1.5, 2.0]


def test_wrong_length():
    with pytest.raises(GlimmError, match="'w' has 2 values but the data have 3 rows"):
        read_column("w", [1, 2], 3)
