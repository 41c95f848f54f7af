"""New data read as the fit's were: columns, levels, state, offsets, clusters."""

import numpy as np
import pandas as pd
import polars as pl
import pytest

from designs import NAN, changed, glm, glmm, small
from glimm.design.replay import read_new
from glimm.errors import GlimmError

# new data


def test_read_new():
    design = glmm("s ~ x * use + offset(log(t)) + (1 | id)", small(), "poisson", exposure="n")
    new = {
        "x": [1.0, NAN, 2.0, 3.0],
        "use": ["Y", "N", "N", "Y"],
        "t": [1.0, 2.0, np.e, NAN],
        "n": [1, 1, 5, 1],
        "id": ["c", "a", "zz", None],
    }
    for make in (dict, pd.DataFrame, pl.DataFrame):
        rows = read_new(design, make(new))
        assert rows.complete.tolist() == [True, False, True, False]
        assert rows.refs[0].tolist() == [2, 0, -1, -1]
        assert rows.z[0].shape == (4, 1)
        assert rows.matrix.dense()[0].tolist() == [1, 1, 1, 1]
        assert rows.matrix.dense()[2].tolist() == [1, 2, 0, 0]
        np.testing.assert_allclose(rows.offset[[0, 2]], [0, 1 + np.log(5)])
    del new["id"]
    assert read_new(design, new).refs[0].tolist() == [-1] * 4


def test_read_new_needs_only_the_predictors():
    design = glmm("y ~ x + (1 | id)", small(), weights="w")
    assert design.spec.variables == ("x",)
    rows = read_new(design, {"x": [1.0]})
    assert rows.offset is None
    assert rows.matrix.dense().tolist() == [[1, 1]]
    with pytest.raises(GlimmError, match="no column 'x' in the data, needed for predictions"):
        read_new(design, {"z": [1.0]})


def test_read_new_without_dropped_columns():
    design = glm("y ~ x + x2 + t", changed(x2=2 * np.array(small()["x"])))
    rows = read_new(design, {"x": [1.0], "x2": [7.0], "t": [3.0]})
    assert rows.matrix.dense().tolist() == [[1, 1, 3]]


def test_read_new_offsets():
    design = glm("s ~ x", small(), "poisson", offset="t")
    assert design.spec.variables == ("x", "t")
    assert read_new(design, {"x": [1.0], "t": [4.0]}).offset.tolist() == [4.0]
    with pytest.raises(GlimmError, match="no column 't'"):
        read_new(design, {"x": [1.0]})
    with pytest.raises(GlimmError, match="'t' must hold numbers"):
        read_new(design, {"x": [1.0], "t": ["a"]})
    array = glm("s ~ x", small(), "poisson", offset=np.ones(6))
    with pytest.raises(GlimmError, match="offset was an array"):
        read_new(array, {"x": [1.0]})
    with pytest.raises(GlimmError, match=r"offset has shape \(2,\), but newdata has 1 rows"):
        read_new(array, {"x": [1.0]}, offset=[1.0, 2.0])
    assert read_new(array, {"x": [1.0]}, offset=[0.5]).offset.tolist() == [0.5]
    with pytest.raises(GlimmError, match="exposure must be positive"):
        read_new(array, {"x": [1.0]}, offset=[0.5], exposure=[0.0])
    exposed = glm("s ~ x", small(), "poisson", exposure="t")
    with pytest.raises(GlimmError, match="exposure 't' is 0 in row 1"):
        read_new(exposed, {"x": [1.0, 1.0], "t": [1.0, 0.0]})
    state = glm("s ~ x + offset(center(t))", small(), "poisson")
    np.testing.assert_allclose(read_new(state, {"x": [1.0], "t": [5.0]}).offset, [1.5])


def test_read_new_on_the_fits_rows_gives_the_fits_matrix():
    design = glmm("y ~ poly(x, 2) + use * C(n) + (1 | id)", changed(n=[1, 2, 3, 1, 2, 3]))
    rows = read_new(design, changed(n=[1, 2, 3, 1, 2, 3]))
    np.testing.assert_allclose(rows.matrix.dense(), design.mean.matrix.dense(), atol=1e-12)
    assert rows.refs[0].tolist() == design.mean.random[0].refs.tolist()


def test_unseen_level_of_a_fixed_factor():
    design = glm("y ~ use", small())
    with pytest.raises(GlimmError, match="level 'maybe' of column 'use' in row 1"):
        read_new(design, {"use": ["Y", "maybe"]})
