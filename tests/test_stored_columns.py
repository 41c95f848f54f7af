"""Columns in single precision and sparse columns stay as they are, and give what the same numbers give as float64."""

import numpy as np
import pandas as pd
import pytest

import glimm
from glimm.data.readers import read_column
from glimm.kernels import Matrix, Rows, SparseColumn, StoredBlock, block_of
from glimm.kernels.matrix import Block


@pytest.fixture(scope="module")
def rows():
    r = np.random.default_rng(11)
    n = 6_000
    frame = pd.DataFrame({"a": r.standard_normal(n).astype(np.float32), "b": (100.0 + r.standard_normal(n)).astype(np.float32)})
    frame["z"] = np.where(r.random(n) < 0.05, r.standard_normal(n), 0.0)
    frame["k"] = np.where(r.random(n) < 0.1, r.integers(1, 4, n), 0)
    frame["f"] = pd.Categorical.from_codes(r.integers(0, 11, n), list("ABCDEFGHIJK"))
    frame["g"] = r.integers(0, 300, n)
    frame["t"] = frame.groupby("g").cumcount()
    eta = -0.5 + 0.4 * frame["a"] + 0.5 * frame["z"] - 0.2 * frame["k"] + 0.05 * frame["f"].cat.codes
    frame["y"] = (r.random(n) < 1.0 / (1.0 + np.exp(-eta))).astype(int)
    frame["e"] = (eta + r.standard_normal(n)).astype(np.float32)
    return frame


def widened(rows):
    return rows.astype({name: np.float64 for name in rows if rows[name].dtype == np.float32})


def sparse(rows, *names):
    types = {"z": pd.SparseDtype(np.float64, 0.0), "k": pd.SparseDtype(np.int64, 0)}
    return rows.astype({name: types[name] for name in names or types})


def block(fit, name):
    part = fit.record.design.mean
    return next(b for b in part.matrix.blocks if list(b.positions) == [part.names.index(name)])


CALLS = {
    "glm": lambda d: glimm.glm("y ~ a + b + z + f", d, family="binomial"),
    "few levels": lambda d: glimm.glm("y ~ a * b + I(a**2) + a:f", d, family="binomial"),
    "gaussian": lambda d: glimm.glm("e ~ a + b", d, weights="b", offset="a"),
    "robust": lambda d: glimm.glm("y ~ a + b", d, family="poisson", vcov={"cluster": "g"}),
    "gee": lambda d: glimm.gee("y ~ a + b + f", d, groups="g", corr="exchangeable", family="binomial"),
    "glmm": lambda d: glimm.glmm("y ~ a + b + (1 + a | g)", d, family="binomial", points=1),
    "lmm": lambda d: glimm.glmm("e ~ a + b + (1 | g)", d),
}


@pytest.mark.parametrize("call", CALLS)
def test_single_precision_gives_what_its_numbers_give(rows, call):
    narrow, wide = CALLS[call](rows), CALLS[call](widened(rows))
    assert np.array_equal(narrow.params.to_numpy(), wide.params.to_numpy())
    assert np.array_equal(narrow.bse.to_numpy(), wide.bse.to_numpy())
    assert np.array_equal(narrow.fittedvalues, wide.fittedvalues)


def test_single_precision_is_kept(rows):
    fit = glimm.glm("y ~ a + b + f", rows, family="binomial")
    stored = block(fit, "a").stored
    assert stored.dtype == np.float32
    assert np.shares_memory(stored, rows["a"].to_numpy())
    some = rows.copy()
    some.loc[[4, 900], "a"] = np.nan
    fewer = glimm.glm("y ~ a + b", some, family="binomial")
    assert block(fewer, "a").stored.dtype == np.float32
    assert fewer.nobs == len(rows) - 2
    new = fit.predict(rows.iloc[:5])
    np.testing.assert_array_equal(new, fit.predict(widened(rows).iloc[:5]))


@pytest.mark.parametrize("library", ["polars", "pyarrow", "dict"])
def test_single_precision_of_other_libraries(rows, library):
    pl, pa = pytest.importorskip("polars"), pytest.importorskip("pyarrow")
    columns = {name: rows[name].to_numpy() for name in ("y", "a", "b")}
    data = {"polars": pl.DataFrame, "pyarrow": pa.table, "dict": dict}[library](columns)
    fit = glimm.glm("y ~ a + b", data, family="binomial")
    assert block(fit, "b").stored.dtype == np.float32
    np.testing.assert_allclose(
        np.asarray(fit.params), glimm.glm("y ~ a + b", widened(rows), family="binomial").params.to_numpy(), rtol=1e-12
    )


FORMULAS = ["y ~ z + k", "y ~ a + z + f", "y ~ a + b + z + k + f", "y ~ a * z + k", "y ~ 0 + z + k + a", "y ~ z:f + k"]


@pytest.mark.parametrize("formula", FORMULAS)
@pytest.mark.parametrize("family", ["binomial", "poisson", "gaussian"])
def test_sparse_columns_give_what_dense_ones_give(rows, formula, family):
    one, two = (glimm.glm(formula, data, family=family, vcov="HC1") for data in (sparse(rows), rows))
    np.testing.assert_allclose(one.params.to_numpy(), two.params.to_numpy(), rtol=1e-8, atol=1e-11)
    np.testing.assert_allclose(one.bse.to_numpy(), two.bse.to_numpy(), rtol=1e-8)
    assert one.llf == pytest.approx(two.llf, rel=1e-12)
    np.testing.assert_allclose(one.predict(sparse(rows).iloc[:9]), two.fittedvalues[:9], rtol=1e-9)


def test_other_doors_take_them(rows):
    for call in (
        lambda d: glimm.gee("y ~ a + z + k", d, groups="g", corr="ar1", time="t", family="binomial"),
        lambda d: glimm.glmm("y ~ a + z + k + (1 | g)", d, family="binomial", points=1),
        lambda d: glimm.glmm("e ~ z + k + (1 + z | g)", d),
        lambda d: glimm.glm("y ~ z + k", d, family="negative_binomial"),
        lambda d: glimm.glm("y ~ z + k", d, family="binomial", vcov={"cluster": "g"}),
    ):
        one, two = call(sparse(rows)), call(rows)
        np.testing.assert_allclose(one.params.to_numpy(), two.params.to_numpy(), rtol=1e-5, atol=1e-7)
        np.testing.assert_allclose(one.bse.to_numpy(), two.bse.to_numpy(), rtol=1e-5)


def test_sparse_columns_are_kept_as_they_are(rows):
    fit = glimm.glm("y ~ a + z + k", sparse(rows), family="binomial")
    stored = block(fit, "z").stored
    assert isinstance(stored, SparseColumn)
    assert len(stored.entries) == int((rows["z"] != 0).sum())
    missing = sparse(rows).assign(a=rows["a"].where(np.arange(len(rows)) % 7 > 0))
    fewer = glimm.glm("y ~ a + z + k", missing, family="binomial")
    used = rows[np.arange(len(rows)) % 7 > 0]
    assert isinstance(block(fewer, "k").stored, SparseColumn)
    np.testing.assert_allclose(fewer.params.to_numpy(), glimm.glm("y ~ a + z + k", used, family="binomial").params.to_numpy(), rtol=1e-8)


def test_sparse_columns_that_are_not_numbers_and_zeros():
    values = pd.array([0.0, np.nan, 2.0, 0.0], dtype=pd.SparseDtype(np.float64, 0.0))
    read = read_column("x", pd.Series(values))
    assert read.missing.tolist() == [False, True, False, False]
    filled = read_column("x", pd.Series(pd.array([1.0, 1.0, 3.0], dtype=pd.SparseDtype(np.float64, 1.0))))
    assert filled.stored.tolist() == [1.0, 1.0, 3.0]
    assert read_column("x", pd.Series(pd.array([True, False], dtype=pd.SparseDtype(bool, False)))).boolean
    whole = read_column("x", pd.Series(pd.array([0, 5, 0], dtype=pd.SparseDtype(np.int64, 0))))
    assert whole.integer
    assert whole.values.tolist() == [0.0, 5.0, 0.0]
    with pytest.raises(glimm.GlimmError, match=r"infinite .* in row 2"):
        read_column("x", pd.Series(pd.array([0.0, 1.0, np.inf], dtype=pd.SparseDtype(np.float64, 0.0))))


def test_empty_and_collinear_sparse_columns(rows):
    nothing = sparse(rows).assign(n=pd.arrays.SparseArray(np.zeros(len(rows)), fill_value=0.0))
    nothing["twice"] = pd.arrays.SparseArray(2.0 * rows["z"].to_numpy(), fill_value=0.0)
    fit = glimm.glm("y ~ a + z + n + twice", nothing, family="binomial")
    assert list(fit.params.index) == ["Intercept", "a", "z"]
    np.testing.assert_allclose(fit.params.to_numpy(), glimm.glm("y ~ a + z", rows, family="binomial").params.to_numpy(), rtol=1e-8)


@pytest.mark.parametrize("order", [None, "backwards"])
@pytest.mark.parametrize("n", [1, 7, 255, 700])
def test_rows_of_mixed_blocks_against_dense_algebra(n, order):
    r = np.random.default_rng(n)
    z = np.where(r.random(n) < 0.3, r.standard_normal(n), 0.0)
    at = np.flatnonzero(z).astype(np.int32)
    x, narrow, codes = r.standard_normal(n), r.standard_normal(n).astype(np.float32), r.integers(-1, 5, n).astype(np.int32)
    blocks = (
        Block(np.array([0])),
        block_of(np.array([3]), SparseColumn(n, at, z[at])),
        block_of(np.array([1]), narrow),
        Block(np.array([2]), x),
        Block(np.arange(4, 9), x, codes),
    )
    assert isinstance(blocks[1], StoredBlock)
    matrix = Matrix(n, 9, blocks)
    center, scale = np.array([0, 0.5, -1.0, *[0] * 6]), r.uniform(0.5, 2.0, 9)
    scale[0] = 1.0
    there = np.arange(n) if order is None else np.arange(n)[::-1].copy()
    dense = ((matrix.dense() - center) / scale)[there]
    w, offset, y = r.standard_normal(n), r.standard_normal(n), r.standard_normal(n)
    rows = Rows(matrix, center, scale, y, w, offset, None if order is None else there.astype(np.int64))
    beta = r.standard_normal(9)
    np.testing.assert_allclose(rows.eta(beta), offset[there] + dense @ beta, rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(rows.gram(), dense.T @ (w[there, None] * dense), rtol=1e-11, atol=1e-11)
    one = rows.glm(0, 0, beta, np.zeros(1), eta=True)
    residual = y[there] - offset[there] - dense @ beta
    np.testing.assert_allclose(one.score, dense.T @ (w[there] * residual), rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(one.information, dense.T @ (w[there, None] * dense), rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(one.eta, offset[there] + dense @ beta, rtol=1e-11, atol=1e-11)
    scores = rows.cluster_scores(w, np.array([0, n]))[0]
    np.testing.assert_allclose(scores, dense.T @ w[there], rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(rows.leverages(w, np.eye(9)), w * (dense**2).sum(axis=1), rtol=1e-11, atol=1e-11)
