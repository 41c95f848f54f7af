"""A GEE of parquet files gives the bits of the fit of the same rows in memory, and holds no rows."""

from __future__ import annotations

import pickle
import subprocess
import sys
import warnings
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import glimm
from glimm.design.rank import centers
from glimm.design.totals import Totals, block_sum
from glimm.errors import GlimmError, NotYetError
from glimm.kernels.matrix import Block, Matrix

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several batches of a few blocks each, where a fit takes eight blocks at a time."""
    monkeypatch.setattr("glimm.design.clustered.BATCH_ROWS", 10_000)


def rows(seed: int = 1, clusters: int = 9000, largest: int = 6) -> pd.DataFrame:
    """Clusters in order of their names, times in any order inside them, values missing, a level that comes late."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, largest + 1, clusters)
    ids, n = np.repeat(3 * np.arange(clusters), sizes), int(sizes.sum())
    time = np.concatenate([rng.choice(8, size, replace=False) for size in sizes])
    x = 10.0 + 3.0 * rng.normal(size=n)
    g = rng.choice(list("dab"), n)
    g[-50::7] = "c"
    u = np.repeat(rng.normal(size=clusters), sizes)
    y = 1.0 + 0.3 * x + (g == "a") + u + rng.normal(size=n)
    p = 1.0 / (1.0 + np.exp(-(x - 10.0) / 3.0 - u))
    out = pd.DataFrame(
        {
            "id": ids,
            "t": time,
            "x": x,
            "g": g,
            "y": y,
            "event": np.where(rng.random(n) < p, "yes", "no"),
            "count": rng.poisson(np.exp(0.1 * x - 1.0 + 0.3 * u)),
            "cost": np.exp(0.05 * x) * rng.gamma(2.0, 0.5, n),
            "w": rng.uniform(0.5, 2.0, n),
            "hit": rng.binomial(5, p),
            "of": np.full(n, 5),
            "wing": rng.integers(0, 3, n),
            "k": rng.integers(1, 5, n),
        }
    )
    out.loc[rng.random(n) < 0.02, "x"] = np.nan
    out.loc[rng.random(n) < 0.01, "g"] = None
    out.loc[rng.random(n) < 0.001, "y"] = np.nan
    return out


@pytest.fixture(scope="module")
def data() -> pd.DataFrame:
    """Rows for all tests that change none."""
    return rows()


@pytest.fixture(scope="module")
def path(data: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same as a file with row groups of an odd size."""
    return written(data, tmp_path_factory.mktemp("batches") / "rows.parquet", 7777)


def written(data: pd.DataFrame, path: Path, size: int) -> Path:
    pq.write_table(pa.Table.from_pandas(data, preserve_index=False), path, row_group_size=size)
    return path


def both(formula: str, data: Any, path: Any, **given: Any) -> tuple[Any, Any]:
    """The fits, in memory and from the file, after they are held against each other to the bit."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        a, b = (glimm.gee(formula, d, **({"groups": "id"} | given)) for d in (data, path))
    pd.testing.assert_series_equal(a.params, b.params, check_exact=True)
    pd.testing.assert_series_equal(a.bse, b.bse, check_exact=True)
    pd.testing.assert_series_equal(a.corr_params, b.corr_params, check_exact=True)
    assert a.scale == b.scale
    assert a.nobs == b.nobs
    assert a.missing == b.missing
    assert a.record.solution.message == b.record.solution.message
    assert a.dropped == b.dropped
    assert a.record.design.spec.factors == b.record.design.spec.factors
    assert np.array_equal(a.record.clusters.levels, b.record.clusters.levels)
    assert np.array_equal(a.record.clusters.sizes, b.record.clusters.sizes)
    return a, b


CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "exchangeable": ("y ~ x * g", {}),
    "model": ("y ~ x * g", {"vcov": "model"}),
    "independence": ("y ~ x + C(k)", {"corr": "independence"}),
    "no constant": ("y ~ 0 + g + x:g", {}),
    "ar1": ("y ~ x + g", {"corr": "ar1", "time": "t"}),
    "ar1 geepack": ("y ~ x + g", {"corr": "ar1", "time": "t", "moments": "geepack"}),
    "ar2": ("count ~ x + np.log(w)", {"corr": "ar(2)", "time": "t", "family": "poisson", "weights": "w"}),
    "stationary": ("count ~ x", {"corr": "stationary(2)", "time": "t", "family": "poisson", "exposure": "w"}),
    "nonstationary": ("y ~ x", {"corr": "nonstationary(2)", "time": "t"}),
    "unstructured": ("event ~ x + g", {"corr": "unstructured", "time": "t", "family": "binomial"}),
    "geepack": ("event ~ x + C(g, contr.sum)", {"moments": "geepack", "family": "binomial"}),
    "geepack of weights": ("y ~ x", {"moments": "geepack", "weights": "w"}),
    "geepack of trials": (
        "hit / of ~ x",
        {"moments": "geepack", "family": "binomial", "weights": "w", "corr": "unstructured", "time": "t"},
    ),
    "geepack of lags": ("y ~ x", {"moments": "geepack", "weights": "w", "corr": "ar1", "time": "t"}),
    "fixed": ("y ~ x", {"corr": glimm.FixedCorr(0.6 * np.eye(8) + 0.4), "time": "t"}),
    "custom": ("y ~ x", {"corr": glimm.CustomCorr(lambda a, t: a[0] * np.ones((len(t),) * 2) + (1 - a[0]) * np.eye(len(t)), [0.2])}),
    "positions": ("y ~ x", {"corr": "stationary(3)"}),
    "nested": ("y ~ x", {"corr": "nested", "groups": "id/wing"}),
    "trials": ("hit / of ~ x", {"family": "binomial"}),
    "gamma": ("cost ~ x + offset(np.log(w))", {"family": "gamma", "link": "log"}),
    "start by least squares": ("count ~ 0 + w", {"family": "poisson", "link": "sqrt"}),
    "columns left out": ("y ~ x + I(2 * x) + w + g", {}),
    "mancl_derouen": ("y ~ x", {"vcov": {"type": "mancl_derouen", "df": "pan_wall"}}),
    "kauermann_carroll": ("event ~ x", {"vcov": "kauermann_carroll", "family": "binomial"}),
    "fay_graubard": ("y ~ x", {"vcov": {"type": "fay_graubard", "df": "fay_graubard"}}),
    "morel": ("y ~ x", {"vcov": "morel"}),
    "jackknife": ("y ~ x", {"vcov": "jackknife"}),
    "equal": ("y ~ I(x > 10) + w", {}),
}


@pytest.mark.parametrize("case", CASES)
def test_a_file_gives_the_bits_of_memory(case: str, data: pd.DataFrame, path: Path) -> None:
    formula, given = CASES[case]
    both(formula, data, path, **given)


@pytest.mark.parametrize("corr", ["exchangeable", "ar1", "stationary(1)", "unstructured"])
def test_the_moments_of_gee(corr: str, tmp_path: Path) -> None:
    d = rows(2, 4000).dropna().reset_index(drop=True)
    d = d[d.groupby("id")["id"].transform("size") > 2]
    both("y ~ x", d, written(d, tmp_path / "a.parquet", 1000), corr=corr, moments="gee")


def test_several_files_and_clusters_over_their_ends(data: pd.DataFrame, tmp_path: Path) -> None:
    edges = [0, 5001, 5002, 20_000, len(data)]
    paths = [written(data.iloc[a:b], tmp_path / f"{i}.parquet", 3001) for i, (a, b) in enumerate(pairwise(edges))]
    _, b = both("y ~ x + g", data, paths, corr="ar1", time="t")
    _, c = both("y ~ x + g", data, tmp_path, corr="ar1", time="t")
    assert np.array_equal(b.params, c.params)


def test_clusters_in_any_order_agree_to_rounding(data: pd.DataFrame, tmp_path: Path) -> None:
    d = data.assign(id=(data["id"] * 7919) % 27_011).reset_index(drop=True)
    path = written(d, tmp_path / "a.parquet", 5000)
    for given in ({}, {"corr": "unstructured", "time": "t"}, {"corr": "nested", "groups": "id/wing"}):
        a, b = (glimm.gee("y ~ x + g", x, **({"groups": "id"} | given)) for x in (d, path))
        np.testing.assert_allclose(b.params, a.params, rtol=1e-11)
        np.testing.assert_allclose(b.bse, a.bse, rtol=1e-11)
        np.testing.assert_allclose(b.corr_params, a.corr_params, rtol=1e-10)
        assert a.missing == b.missing


def test_kinds_of_columns(data: pd.DataFrame, tmp_path: Path) -> None:
    d = data.assign(
        id=[f"c{i:06d}" for i in data["id"]],
        k=data["k"].astype("Int64").mask(np.arange(len(data)) % 97 == 5),
        warm=data["x"] > 10,
        small=data["w"].astype("float32"),
        hit=data["hit"].astype("int8"),
    )
    path = written(d, tmp_path / "a.parquet", 5000)
    both("y ~ x + warm + small + hit + C(warm)", d, path)
    both("y ~ k + C(k):warm", pq.read_table(path), path)
    both("warm ~ w", d, path, family="binomial")


def test_one_cluster_larger_than_a_batch(tmp_path: Path) -> None:
    d = rows(3, 30_000, 4)
    d.loc[(d["id"] >= 3000) & (d["id"] < 75_000), "id"] = 3000
    assert (d["id"] == 3000).sum() > 55_000
    both("y ~ x + g", d, written(d, tmp_path / "a.parquet", 10_000))


def test_categories_keep_their_order(data: pd.DataFrame, tmp_path: Path) -> None:
    d = data.assign(g=pd.Categorical(data["g"], ["d", "z", "c", "b", "a"]), event=pd.Categorical(data["event"], ["yes", "no"]))
    path = written(d, tmp_path / "a.parquet", 999)
    table = pq.read_table(path)
    both("y ~ g + x", table, path)
    a, _ = both("event ~ g", d, path, family="binomial")
    assert a.record.design.response.success == "no"


def test_what_a_fit_of_a_file_answers(data: pd.DataFrame, path: Path) -> None:
    a, b = both("y ~ x + g", data, str(path))
    new = pd.DataFrame({"x": [1.0, np.nan, 3.0], "g": ["a", "b", "c"]})
    pd.testing.assert_frame_equal(a.predict(new, interval="confidence"), b.predict(new, interval="confidence"), check_exact=True)
    pd.testing.assert_frame_equal(a.tidy(), b.tidy(), check_exact=True)
    pd.testing.assert_frame_equal(a.glance(), b.glance(), rtol=1e-12)
    np.testing.assert_allclose(b.qic("pan")[:9], a.qic("pan")[:9], rtol=1e-10)
    pd.testing.assert_frame_equal(a.wald_test_terms(), b.wald_test_terms(), check_exact=True)
    pd.testing.assert_frame_equal(a.cov_params(), b.cov_params(), check_exact=True)
    pd.testing.assert_frame_equal(a.working_corr(), b.working_corr(), check_exact=True)
    for line in ("formula", "rows:", "clusters:", "x ", "working correlation"):
        said = [[row for row in str(fit.summary()).splitlines() if row.startswith(line)] for fit in (a, b)]
        assert said[0] == said[1] != []
    assert np.array_equal(pickle.loads(pickle.dumps(b)).params, b.params)
    assert len(b.record.eta) == 0
    for asked in (
        "resid",
        "predict",
        "check",
        "influence",
        "augment",
        "residual_tests",
        "plot_check",
        "score_test_terms",
        "residual_corr",
        "plot_corr",
    ):
        with pytest.raises(GlimmError, match=r"holds no rows.*in memory"):
            getattr(b, asked)()
    with pytest.raises(GlimmError, match="holds no rows"):
        _ = b.fittedvalues


def test_the_file_is_not_needed_after_the_fit(data: pd.DataFrame, tmp_path: Path) -> None:
    path = written(data.head(500), tmp_path / "a.parquet", 100)
    fit = glimm.gee("y ~ x", path, groups="id")
    path.unlink()
    assert fit.bse.notna().all()
    assert "x " in str(fit.summary())


def fails(message: str, formula: str, path: Any, **given: Any) -> None:
    with pytest.raises(GlimmError, match=message):
        glimm.gee(formula, path, **({"groups": "id"} | given))


def test_what_cannot_be_read(data: pd.DataFrame, path: Path, tmp_path: Path) -> None:
    d = data.head(3000)
    fails(
        r"cluster 0 of 'id' do not follow each other.*sort the file by 'id'",
        "y ~ x",
        written(pd.concat([d, d.head(1)]), tmp_path / "a", 100),
    )
    fails("looks at all rows", "y ~ center(x)", path)
    fails("holds no rows", "y ~ x", written(d, tmp_path / "g", 100), vcov="full_jackknife")
    fails("not fitted from a file yet", "event ~ x", path, family="binomial", corr="odds_ratio")
    fails("not fitted from a file yet", "k ~ x", path, family="ordinal")
    fails("looks at all rows", "y ~ bs(x, df=4)", path)
    fails("depends on the other rows", "y ~ I(x - np.mean(x))", path)
    fails("depends on the other rows", "I(w - np.mean(w)) ~ x", path)
    fails("looks at all rows", "scale(w) ~ x", path)
    fails("looks at all rows", "y ~ x + offset(center(w))", path)
    fails("makes a factor", "y ~ C(np.where(w > 1, 'a', 'b'))", path)
    fails("no column 'z' in the data", "y ~ z", path)
    fails("weights= must name a column", "y ~ x", path, weights=np.ones(3))
    fails("did you mean", "y ~ x", path.with_name("row.parquet"))
    fails("has no .parquet files", "y ~ x", tmp_path)
    fails("single cluster", "y ~ x", written(d[d["id"] == d["id"].max()], tmp_path / "b", 100))
    fails("have missing values", "y ~ x", path, missing="error")
    fails("every one of the", "y ~ x", written(d.assign(x=np.nan), tmp_path / "c", 100))
    (tmp_path / "d.png").write_bytes(b"\x89PNG\x00\x01")
    fails("is not text", "a ~ b", tmp_path / "d.png", groups="b")
    fails("is not a parquet file.*glimm.read", "a ~ b", [path, tmp_path / "d.png"], groups="b")
    other = written(d.assign(x=d["x"].astype(str)), tmp_path / "e", 100)
    fails("column 'x' is not the same", "y ~ x", [path, other])
    with pytest.raises(NotYetError, match="one unit of time apart"):
        glimm.gee("y ~ x", written(d.assign(t=d["t"] * 1.37), tmp_path / "f", 100), groups="id", time="t", corr="ar1")


def test_errors_name_the_row_of_the_file(data: pd.DataFrame, tmp_path: Path) -> None:
    d = rows(5, 40_000, 4)
    bad = d.assign(count=d["count"].where(d.index != 90_001, -2))
    fails(r"'count' is -2: .*\(row 90001, counting from 0\)", "count ~ w", written(bad, tmp_path / "a", 9999), family="poisson")
    bad = d.assign(w=d["w"].where(d.index != 80_002, np.inf))
    fails(r"'w' is infinite \(inf\) in row 80002 \(counting from 0\)", "count ~ w", written(bad, tmp_path / "b", 9999), family="poisson")
    last = d.index[d["id"] == d["id"].max()]
    if len(last) > 1:
        bad = d.assign(t=d["t"].where(d.index != last[1], d["t"][last[0]]))
        fails(rf"twice, in rows {last[0]} and {last[1]} \(", "count ~ w", written(bad, tmp_path / "c", 9999), time="t")
    fails("is 0 in all rows used", "z ~ w", written(d.assign(z=0), tmp_path / "d", 9999), family="poisson")
    fails("is 'no' in all rows used", "event ~ w", written(d.assign(event="no"), tmp_path / "e", 9999), family="binomial")


def test_sums_by_blocks() -> None:
    rng = np.random.default_rng(1)
    y, offset, size = 1e6 + rng.normal(size=50_000), rng.normal(size=50_000), rng.uniform(1, 2, 50_000)
    whole = Totals().add(y, offset, size)
    parts = Totals()
    for a, b in ((0, 8192), (8192, 40_960), (40_960, 50_000)):
        parts = parts.add(y[a:b], offset[a:b], size[a:b])
    assert parts == whole
    np.testing.assert_allclose(whole.spread / whole.n, y.var(), rtol=1e-9)
    np.testing.assert_allclose([whole.mean, whole.offset, whole.size], [y.mean(), offset.sum(), size.sum()], rtol=1e-12)
    assert block_sum(y[8192:], block_sum(y[:8192])) == block_sum(y)


def test_centres_of_pieces() -> None:
    rng = np.random.default_rng(2)
    x, codes = rng.normal(5.0, 2.0, 20_000), rng.integers(-1, 3, 20_000).astype(np.int32)

    def matrix(a: int, b: int) -> Matrix:
        blocks = (Block(np.array([0])), Block(np.array([1]), x[a:b]), Block(np.array([2, 3, 4]), x[a:b], codes[a:b]))
        return Matrix(b - a, 5, blocks)

    whole = centers(lambda: (matrix(0, 20_000),), 5, 0)
    pieces = centers(lambda: (matrix(a, min(a + 8192, 20_000)) for a in range(0, 20_000, 8192)), 5, 0)
    for a, b in zip(whole, pieces, strict=True):
        assert np.array_equal(a, b)
    np.testing.assert_allclose(whole[0], [0.0, x.mean(), 0.0, 0.0, 0.0], rtol=1e-12)
    np.testing.assert_allclose(whole[1][1:3], [x.std(), np.sqrt(np.mean(x[codes >= 0] ** 2))], rtol=1e-12)


MEMORY = """
import resource, sys
import numpy as np, pyarrow as pa, pyarrow.parquet as pq
import glimm, glimm.api, pandas, formulaic, scipy.linalg, narwhals
path, n = sys.argv[1], 250_000
rng = np.random.default_rng(1)
writer = None
for part in range(16):
    ids = np.repeat(np.arange(part * n // 10, (part + 1) * n // 10), 10)
    columns = {"id": ids} | {f"x{j}": rng.normal(size=n).astype(np.float32) for j in range(8)}
    table = pa.table(columns | {"y": columns["x0"] + rng.normal(size=n)})
    writer = writer or pq.ParquetWriter(path, table.schema, compression="none", use_dictionary=False)
    writer.write_table(table, row_group_size=50_000)
writer.close()
del table, columns, ids
first = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
fit = glimm.gee("y ~ x0 + x1 + x2 + x3 + x4 + x5 + x6 + x7", path, groups="id", corr="independence")
print(fit.nobs, float(fit.params["x0"]), (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - first) / 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read as Linux says it")
def test_rows_are_not_held(tmp_path: Path) -> None:
    """4 million rows of 10 columns, 320 MB as numbers in memory, in less than 150 MB."""
    done = subprocess.run([sys.executable, "-c", MEMORY, str(tmp_path / "a.parquet")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows_used, slope, grown = map(float, done.stdout.split())
    assert rows_used == 4_000_000
    assert abs(slope - 1.0) < 0.01
    assert grown < 150.0
