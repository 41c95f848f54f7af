"""A GLM of files and of frames that come in pieces gives the bits of the fit of the same rows in memory, and holds no rows."""

from __future__ import annotations

import gc
import gzip
import pickle
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import glimm
from glimm.errors import GlimmError, GlimmWarning
from test_batches import rows, written

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")


@pytest.fixture(scope="module")
def data() -> pd.DataFrame:
    """Rows for all tests that change none, with responses of every family."""
    out = rows()
    rng = np.random.default_rng(3)
    n = len(out)
    out["share"] = rng.beta(2.0, 3.0, n)
    out["claim"] = np.where(rng.random(n) < 0.6, 0.0, rng.gamma(2.0, 1.0, n))
    out["days"] = rng.negative_binomial(2, 0.4, n)
    out["far"] = (np.nan_to_num(out["x"], nan=10.0) > 10.0).astype(int)
    return out


@pytest.fixture(scope="module")
def path(data: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same as a file with row groups of an odd size."""
    return written(data, tmp_path_factory.mktemp("glm") / "rows.parquet", 7777)


def same(a: Any, b: Any, errors: float = 0.0) -> None:
    """Two fits are the same to the bit; errors : how far standard errors may be apart."""
    pd.testing.assert_series_equal(a.params, b.params, check_exact=True)
    if errors:
        pd.testing.assert_series_equal(a.bse, b.bse, rtol=errors)
    else:
        pd.testing.assert_series_equal(a.bse, b.bse, check_exact=True)
    for name in ("deviance", "scale"):
        assert getattr(a, name) == getattr(b, name), name
    for name in ("llf", "aic", "bic"):
        assert getattr(a, name, None) == getattr(b, name, None), name
    assert np.array_equal(a.record.llf, b.record.llf, equal_nan=True)
    assert np.array_equal(a.record.vector, b.record.vector)
    assert np.array_equal(a.record.psi_cov, b.record.psi_cov, equal_nan=True)
    assert (a.nobs, a.missing, a.dropped) == (b.nobs, b.missing, b.dropped)
    solutions = a.record.solution, b.record.solution
    assert solutions[0].message == solutions[1].message
    told, told_too = (dict(solution.evidence or {}) for solution in solutions)
    assert np.array_equal(told.pop("positions", ()), told_too.pop("positions", ()))
    assert told == told_too
    assert list(told) == list(told_too)
    assert a.record.design.spec.factors == b.record.design.spec.factors


def both(formula: str, data: Any, source: Any, errors: float = 0.0, **given: Any) -> tuple[Any, Any]:
    """The fits, in memory and from the source, after they are held against each other."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        a, b = (glimm.glm(formula, d, **given) for d in (data, source))
    same(a, b, errors)
    return a, b


def own() -> Any:
    """A Poisson family by functions."""
    return glimm.CustomFamily(
        name="counts",
        log_density=lambda y, mu: y * np.log(mu) - mu,
        variance=lambda mu: mu,
        links=("log",),
        support="count",
    )


CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "gaussian": ("y ~ x * g", {}),
    "weights": ("y ~ x + g", {"weights": "w"}),
    "no constant": ("y ~ 0 + g + x:g", {}),
    "columns left out": ("y ~ x + I(2 * x) + w + g", {}),
    "no predictor": ("y ~ 1", {}),
    "gaussian log": ("cost ~ x", {"link": "log"}),
    "hc0": ("y ~ x + g", {"vcov": "HC0"}),
    "hc1": ("count ~ x", {"vcov": "HC1", "family": "poisson"}),
    "hc2": ("y ~ x", {"vcov": "HC2"}),
    "hc3": ("event ~ x", {"vcov": "HC3", "family": "binomial"}),
    "binomial": ("event ~ x + C(g, contr.sum)", {"family": "binomial"}),
    "probit": ("event ~ x", {"family": "binomial", "link": "probit"}),
    "cloglog of weights": ("event ~ x", {"family": "binomial", "link": "cloglog", "weights": "w"}),
    "trials": ("hit / of ~ x", {"family": "binomial"}),
    "trials and weights": ("hit / of ~ x", {"family": "binomial", "weights": "w"}),
    "poisson": ("count ~ x + g", {"family": "poisson"}),
    "exposure": ("count ~ x + np.log(w)", {"family": "poisson", "exposure": "w"}),
    "offset": ("count ~ x + offset(np.log(w))", {"family": "poisson"}),
    "two offsets": ("count ~ x + offset(np.log(w))", {"family": "poisson", "offset": "w"}),
    "start by least squares": ("count ~ 0 + w", {"family": "poisson", "link": "sqrt"}),
    "gamma": ("cost ~ x", {"family": "gamma", "link": "log"}),
    "gamma inverse": ("cost ~ x", {"family": "gamma", "weights": "w"}),
    "inverse_gaussian": ("cost ~ x", {"family": "inverse_gaussian", "link": "log"}),
    "tweedie of a power": ("claim ~ x + g", {"family": "tweedie(1.5)"}),
    "tweedie": ("claim ~ w", {"family": "tweedie"}),
    "negative_binomial of a k": ("days ~ x", {"family": "negative_binomial(2)"}),
    "negative_binomial": ("days ~ x + g", {"family": "negative_binomial", "weights": "w"}),
    "negative_binomial1": ("days ~ w", {"family": "negative_binomial1"}),
    "beta": ("share ~ x", {"family": "beta"}),
    "quasipoisson": ("count ~ x + g", {"family": "quasipoisson", "vcov": {"type": "HC1", "df": "normal"}}),
    "quasibinomial": ("share ~ x", {"family": "quasibinomial", "weights": "w"}),
    "quasi": ("cost ~ x", {"family": "quasi(1.5)", "link": "log"}),
    "frequency": ("y ~ x + g", {"weights": glimm.frequency("k"), "vcov": "HC3"}),
    "frequency of gamma": ("cost ~ x", {"weights": glimm.frequency("k"), "family": "gamma", "link": "log"}),
    "sampling": ("event ~ x", {"weights": glimm.sampling("w"), "family": "binomial"}),
    "sampling of gamma": ("cost ~ x", {"weights": glimm.sampling("w"), "family": "gamma", "link": "log"}),
    "scale of deviance": ("count ~ x", {"family": "poisson", "scale": "deviance"}),
    "scale of likelihood": ("cost ~ x", {"family": "gamma", "link": "log", "scale": "ml"}),
    "scale of chi-squared": ("event ~ x", {"family": "binomial", "scale": "pearson"}),
    "scale that is given": ("cost ~ x", {"family": "gamma", "link": "log", "scale": 0.4}),
    "sigma that is given": ("y ~ x", {"scale": 2.0, "weights": "w"}),
    "jackknife": ("event ~ x", {"family": "binomial", "vcov": "jackknife"}),
    "separated": ("far ~ x + w", {"family": "binomial", "control": glimm.Control(max_iter=60)}),
}


@pytest.mark.parametrize("case", CASES)
def test_a_file_gives_the_bits_of_memory(case: str, data: pd.DataFrame, path: Path) -> None:
    formula, given = CASES[case]
    both(formula, data, path, **given)


def test_separation_is_seen(data: pd.DataFrame, path: Path) -> None:
    with pytest.warns(GlimmWarning, match="separates"):
        fit = glimm.glm("far ~ x + w", path, family="binomial")
    assert fit.record.solution.code == "separated"
    assert fit.bse.isna().any()


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_threads_change_no_bit(threads: int, data: pd.DataFrame, path: Path) -> None:
    both("event ~ x * g", data, path, family="binomial", control=glimm.Control(threads=threads))


@pytest.mark.parametrize("size", [1000, 8192, 20_000, 65_536])
def test_sizes_of_pieces_change_no_bit(size: int, data: pd.DataFrame, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("glimm.data.sources.PIECE_ROWS", size)
    monkeypatch.setattr("glimm.data.parquet.PIECE_ROWS", size)
    both("days ~ x + g", data, path, family="negative_binomial")
    both("days ~ x + g", data, cut(data, 3 * size), family="poisson", vcov="HC0")


def test_more_than_256_columns(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    d = pd.DataFrame({"k": rng.integers(0, 600, 40_000), "x": rng.normal(size=40_000)})
    d["y"] = d["x"] + (d["k"] % 7) + rng.normal(size=40_000)
    both("y ~ x + C(k)", d, written(d, tmp_path / "a.parquet", 9999))


def test_longley_from_a_file(tmp_path: Path) -> None:
    d = longley()
    names = [c for c in d.columns if c != "TOTEMP"]
    a, b = both(f"TOTEMP ~ {' + '.join(names)}", d, written(d, tmp_path / "a.parquet", 5))
    c = glimm.glm(f"TOTEMP ~ {' + '.join(names)}", cut(d, 3))
    same(a, c)
    assert b.params["GNP"] == pytest.approx(-0.0358191792925910, rel=1e-12)  # NIST StRD Longley


def longley() -> pd.DataFrame:
    """NIST Statistical Reference Datasets, Longley (1967)."""
    text = """60323 83.0 234289 2356 1590 107608 1947
61122 88.5 259426 2325 1456 108632 1948
60171 88.2 258054 3682 1616 109773 1949
61187 89.5 284599 3351 1650 110929 1950
63221 96.2 328975 2099 3099 112075 1951
63639 98.1 346999 1932 3594 113270 1952
64989 99.0 365385 1870 3547 115094 1953
63761 100.0 363112 3578 3350 116219 1954
66019 101.2 397469 2904 3048 117388 1955
67857 104.6 419180 2822 2857 118734 1956
68169 108.4 442769 2936 2798 120445 1957
66513 110.8 444546 4681 2637 121950 1958
68655 112.6 482704 3813 2552 123366 1959
69564 114.2 502601 3931 2514 125368 1960
69331 115.7 518173 4806 2572 127852 1961
70551 116.9 554894 4007 2827 130081 1962"""
    values = [[float(v) for v in line.split()] for line in text.splitlines()]
    return pd.DataFrame(values, columns=["TOTEMP", "GNPDEFL", "GNP", "UNEMP", "ARMED", "POP", "YEAR"])


def test_many_ill_conditioned_rows(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    d = pd.DataFrame({"x": 1e3 + rng.uniform(0, 1, 30_000)})
    d["z"] = d["x"] + 1e-4 * rng.normal(size=30_000)
    d["y"] = d["x"] - d["z"] + rng.normal(size=30_000)
    a, _ = both("y ~ x + z", d, written(d, tmp_path / "a.parquet", 1111))
    both("y ~ x + z", d, cut(d, 12_345), vcov="HC1")
    assert a.record.again.raw


def cut(d: pd.DataFrame, size: int) -> list[pd.DataFrame]:
    return [d.iloc[at : at + size] for at in range(0, len(d), size)]


class Twice:
    """An object that begins anew each time."""

    def __init__(self, frames: list[Any]) -> None:
        self.frames = frames

    def __iter__(self) -> Iterator[Any]:
        return iter(self.frames)


def sources(data: pd.DataFrame, path: Path) -> dict[str, Callable[[], Any]]:
    import polars as pl
    import pyarrow.dataset as ds

    frames = cut(data, 6001)
    tables = [pa.Table.from_pandas(frame, preserve_index=False) for frame in frames]
    return {
        "list": lambda: frames,
        "tuple": lambda: tuple(frames),
        "one frame": lambda: [data],
        "object": lambda: Twice(frames),
        "function": lambda: lambda: iter(frames),
        "function of a list": lambda: lambda: frames,
        "generator": lambda: (frame for frame in frames),
        "iterator": lambda: iter(frames),
        "polars": lambda: [pl.from_pandas(frame) for frame in frames],
        "tables": lambda: tables,
        "batches": lambda: (batch for table in tables for batch in table.to_batches(max_chunksize=999)),
        "reader": lambda: pa.RecordBatchReader.from_batches(tables[0].schema, (b for t in tables for b in t.to_batches())),
        "dicts": lambda: [{name: frame[name].to_numpy() for name in frame} for frame in frames],
        "dicts of lists": lambda: ({name: table.column(name).to_pylist() for name in table.column_names} for table in tables),
        "dataset": lambda: ds.dataset(path),
        "scanner": lambda: ds.dataset(path).scanner(columns=["event", "x", "g", "id"]),
        "lazy frame": lambda: pl.scan_parquet(path),
        "empty ones between": lambda: [frames[0].head(0), *(part for frame in frames for part in (frame, frame.head(0))), pd.DataFrame()],
        "file": lambda: str(path),
    }


KINDS = (
    "list",
    "tuple",
    "one frame",
    "object",
    "function",
    "function of a list",
    "generator",
    "iterator",
    "polars",
    "tables",
    "batches",
    "reader",
    "dicts",
    "dicts of lists",
    "dataset",
    "scanner",
    "lazy frame",
    "empty ones between",
    "file",
)


@pytest.mark.parametrize("kind", KINDS)
def test_pieces_of_every_kind(kind: str, data: pd.DataFrame, path: Path) -> None:
    pl = pytest.importorskip("polars")
    if kind == "lazy frame" and not hasattr(pl.LazyFrame, "collect_batches"):
        pytest.skip("this version of polars gives no batches")
    for given in ({}, {"vcov": "HC1"}):
        both("event ~ x + g", data, sources(data, path)[kind](), family="binomial", **given)


def test_clustered_errors(data: pd.DataFrame, path: Path) -> None:
    for given in ({"cluster": "id"}, {"cluster": "id", "small": True}, {"cluster": "g"}):
        a, b = both("event ~ x + k", data, path, errors=1e-11, family="binomial", vcov=given)
        assert a.inference.label == b.inference.label
        name = given["cluster"]
        assert np.array_equal(a.record.design.clusters[name].levels, b.record.design.clusters[name].levels)
        assert np.array_equal(a.record.design.clusters[name].sizes, b.record.design.clusters[name].sizes)
        lines = [[row for row in str(fit.summary()).splitlines() if row.startswith("clusters")] for fit in (a, b)]
        assert lines[0] == lines[1] != []


def test_clusters_anywhere(data: pd.DataFrame) -> None:
    d = data.assign(id=(data["id"] * 7919) % 97, name=[f"c{i % 13}" for i in range(len(data))])
    d["name"] = d["name"].where(d.index % 11 != 0)
    both("y ~ x + w", d, cut(d, 4000), errors=1e-11, vcov={"cluster": "id"})
    a, b = both("y ~ x + w", d, cut(d, 4000), errors=1e-11, vcov={"cluster": "name"})
    assert a.missing.by_cluster == b.missing.by_cluster
    assert list(a.missing.by_cluster["name"].rows_by_level) == list(b.missing.by_cluster["name"].rows_by_level)


def test_two_ways_are_those_of_memory(data: pd.DataFrame, path: Path) -> None:
    both("y ~ x + w", data, path, errors=1e-10, vcov={"cluster": ["id", "g"]})


def test_what_a_fit_answers(data: pd.DataFrame, path: Path) -> None:
    a, b = both("event ~ x + g", data, path, family="binomial", vcov="HC1")
    new = pd.DataFrame({"x": [1.0, np.nan, 3.0], "g": ["a", "b", "c"]})
    pd.testing.assert_frame_equal(a.predict(new, interval="confidence"), b.predict(new, interval="confidence"), check_exact=True)
    pd.testing.assert_frame_equal(a.tidy(), b.tidy(), check_exact=True)
    pd.testing.assert_frame_equal(a.glance(), b.glance(), check_exact=True)
    pd.testing.assert_frame_equal(a.wald_test_terms(), b.wald_test_terms(), check_exact=True)
    pd.testing.assert_frame_equal(a.conf_int(), b.conf_int(), check_exact=True)

    def said(fit: Any) -> list[str]:
        return [line for line in str(fit.summary()).splitlines() if not line.startswith(("check", "       "))]

    assert said(b) == [line for line in said(a) if line in set(said(b))]
    assert "log-likelihood" in str(b.summary())
    assert len(b.record.eta) == 0
    asked = ("resid", "predict", "check", "influence", "augment", "residual_tests", "plot_check", "simulate")
    for name in asked:
        with pytest.raises(GlimmError, match=r"holds no rows.*in memory"):
            getattr(b, name)()
    for ask in (lambda: b.fittedvalues, lambda: b.effect("x"), lambda: b.plot("x"), lambda: b.record.design.y):
        with pytest.raises(GlimmError, match="holds no rows"):
            ask()
    back = pickle.loads(pickle.dumps(b))
    assert np.array_equal(back.params, b.params)
    assert np.array_equal(back.bse, b.bse)
    assert back.llf == b.llf


def test_the_rows_are_not_needed_after_the_fit(data: pd.DataFrame, tmp_path: Path) -> None:
    path = written(data.head(500), tmp_path / "a.parquet", 100)
    fit = glimm.glm("y ~ x", path, vcov={"cluster": "id"})
    path.unlink()
    assert fit.bse.notna().all()
    assert "x " in str(fit.summary())
    frames = cut(data.head(500), 100)
    for source in (iter(frames), frames, lambda: frames):
        back = pickle.loads(pickle.dumps(glimm.glm("y ~ x", source)))
        assert np.array_equal(back.params, fit.params)
        assert "x " in str(back.summary())


def test_temporary_files_go_with_the_fit(data: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    fit = glimm.glm("y ~ x", iter(cut(data, 5000)))
    assert len(list(tmp_path.iterdir())) == 1
    copy = pickle.loads(pickle.dumps(fit))
    del copy
    gc.collect()
    assert len(list(tmp_path.iterdir())) == 1
    del fit
    gc.collect()
    assert not list(tmp_path.iterdir())
    with pytest.raises(GlimmError, match="no column 'z'"):
        glimm.glm("y ~ z", iter(cut(data, 5000)))
    with pytest.raises(GlimmError, match="piece 2 of data"):
        glimm.glm("y ~ x", iter([data, 3]))
    gc.collect()
    assert not list(tmp_path.iterdir())


def test_kinds_of_columns(data: pd.DataFrame) -> None:
    d = data.assign(
        k=data["k"].astype("Int64").mask(np.arange(len(data)) % 97 == 5),
        warm=data["x"] > 10,
        small=data["w"].astype("float32"),
        hit=data["hit"].astype("int8"),
        g=pd.Categorical(data["g"], ["d", "z", "c", "b", "a"]),
        words=data["g"].astype(object),
    )
    for source in (cut(d, 7000), iter(cut(d, 7000))):
        both("y ~ x + warm + small + hit + C(warm) + g + words:x", d, source)
        both("y ~ k + C(k):warm", d, cut(d, 7000))
    both("warm ~ w", d, iter(cut(d, 7000)), family="binomial")


def test_whole_numbers_in_one_piece_and_fractions_in_another(data: pd.DataFrame) -> None:
    d = data.assign(k=data["k"].astype(float)).reset_index(drop=True)
    d.loc[d.index[-5:], "k"] = np.nan
    pieces = cut(d, 6000)
    pieces[0] = pieces[0].astype({"k": int})
    both("y ~ k + x", d, pieces)
    both("y ~ C(k)", d, iter(pieces))


def test_a_level_that_comes_last_and_one_without_rows(data: pd.DataFrame) -> None:
    d = data.assign(g="a").reset_index(drop=True)
    d.loc[d.index[100:200], "g"] = "b"
    d.loc[d.index[-1:], ["g", "x"]] = ["late", 3.0]
    d.loc[d.index[300:302], ["g", "y"]] = ["never", np.nan]
    a, b = both("y ~ g + x", d, cut(d, 5000))
    assert "g[T.late]" in b.params
    assert a.record.design.spec.factors[0].unused == b.record.design.spec.factors[0].unused == ("never",)


def test_a_column_that_is_missing_in_whole_pieces(data: pd.DataFrame) -> None:
    pieces = cut(data, 6000)
    pieces[0] = pieces[0].assign(g=None)
    pieces[2] = pieces[2].assign(x=None)
    both("y ~ x + g", pd.concat(pieces), pieces)
    both("y ~ x + g", pd.concat(pieces), iter(pieces))


def text(d: pd.DataFrame, path: Path, **how: Any) -> Path:
    d.to_csv(path, index=False, **how)
    return path


def test_text_files(data: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("glimm.data.delimited_files.PIECE_ROWS", 5000)
    late = data["k"].astype(object).copy()
    late.iloc[-3] = "many"
    d = data.assign(
        k=data["k"].astype("Int64").mask(np.arange(len(data)) > 30_000),
        late=late,
        flag=(data["w"] > 1).astype(object).mask(np.arange(len(data)) % 1000 == 7),
        said=[f'a "{g}", so' for g in data["g"]],
        none=np.nan,
    )
    path = text(d, tmp_path / "a.csv")
    held = glimm.read(path)
    for formula, given in (
        ("y ~ x + g + k", {}),
        ("event ~ x + late", {"family": "binomial"}),
        ("count ~ flag + said + C(k)", {"family": "poisson", "exposure": "w"}),
        ("cost ~ x", {"family": "gamma", "link": "log", "vcov": "HC1"}),
    ):
        both(formula, held, path, **given)
    half = [text(d.iloc[:12_000], tmp_path / "b.csv"), text(d.iloc[12_000:], tmp_path / "c.csv")]
    both("event ~ x + late", held, half, family="binomial")
    both("y ~ x + g", glimm.read(text(d, tmp_path / "d.tsv", sep="\t")), tmp_path / "d.tsv")
    both("y ~ x + g + k", held, text(d, tmp_path / "e.csv.gz"))
    both("y ~ x + g", held, text(d, tmp_path / "f.csv", lineterminator="\r\n"))
    comma = text(d.drop(columns=["late", "said"]), tmp_path / "g.csv", sep=";", decimal=",")
    both("y ~ x + g + k", glimm.read(comma), comma)


def test_letters_and_marks_of_text(tmp_path: Path) -> None:
    rng = np.random.default_rng(6)
    d = pd.DataFrame({"y": rng.normal(size=300), "ort": rng.choice(["Köln", "Bonn", "NA", ""], 300), "x": rng.integers(0, 9, 300)})
    for encoding in ("cp1252", "utf-8-sig", "utf-16"):
        path = text(d, tmp_path / f"{encoding}.csv", encoding=encoding)
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            a, b = glimm.glm("y ~ ort + x", glimm.read(path)), glimm.glm("y ~ ort + x", path)
        same(a, b)
        assert "ort[T.Köln]" in b.params
        assert sum("Windows-1252" in str(w.message) for w in found) == (2 if encoding == "cp1252" else 0)
    (tmp_path / "sep.csv").write_text("sep=|\ny|x\n1|2\n\n2|3\n4|4\n")
    assert glimm.glm("y ~ x", tmp_path / "sep.csv").params["x"] == pytest.approx(1.5)
    (tmp_path / "wide.csv").write_text(
        "y,id\n1.5,9007199254740993\n2.5,\n1.0,9007199254740994\n3.0,9007199254740993\n4.5,9007199254740994\n"
    )
    fit = glimm.glm("y ~ 1", tmp_path / "wide.csv", vcov={"cluster": "id"})
    assert fit.record.design.clusters["id"].levels.tolist() == [9007199254740993, 9007199254740994]


def fails(message: str, formula: str, data: Any, **given: Any) -> None:
    with pytest.raises(GlimmError, match=message):
        glimm.glm(formula, data, **given)


def test_what_cannot_be_read(data: pd.DataFrame, path: Path, tmp_path: Path) -> None:
    d = data.head(3000)
    pieces = cut(d, 1000)
    fails("did you mean", "y ~ x", path.with_name("row.parquet"))
    fails("no file .*check the path", "y ~ x", tmp_path / "a.csv")
    (tmp_path / "empty.csv").write_text("\n \n")
    fails("is empty", "y ~ x", tmp_path / "empty.csv")
    (tmp_path / "none.csv").write_text("y,x\n")
    fails("header line but no rows", "y ~ x", tmp_path / "none.csv")
    (tmp_path / "short.csv").write_text("y,x\n1,2\n3\n")
    fails("line 3 has 1 field but the header names 2 columns", "y ~ x", tmp_path / "short.csv")
    (tmp_path / "other.csv").write_text("y,z\n1,2\n3,4\n")
    fails("column 'x' is not the same in", "y ~ x", [text(d[["y", "x"]], tmp_path / "z.csv"), tmp_path / "other.csv"])
    (tmp_path / "marks.csv").write_text('y,x\n1,"1,234"\n2,"2,500"\n3,"7,125"\n')
    fails("may have a mark between thousands", "y ~ x", tmp_path / "marks.csv")
    (tmp_path / "two.csv").write_text("y;x\n1,5;1.5\n2,5;2.5\n3;7\n")
    fails("decimal commas, but column 'x' has '1.5' in row 0", "y ~ x", tmp_path / "two.csv")
    (tmp_path / "bad.csv.gz").write_bytes(gzip.compress(b"y,x\n" + b"1,2\n" * 5000)[:-20])
    fails("gzipped but damaged", "y ~ x", tmp_path / "bad.csv.gz")
    (tmp_path / "a.xlsx").write_bytes(b"PK\x03\x04 and so on")
    fails("Excel workbook", "y ~ x", tmp_path / "a.xlsx")
    fails("no rows", "y ~ x", written(d.head(0), tmp_path / "n.parquet", 100))
    fails("no column 'z' in the data", "y ~ z", path)
    fails("no column 'q' in the data, needed by vcov", "y ~ x", path, vcov={"cluster": "q"})
    fails("weights= must name a column", "y ~ x", path, weights=np.ones(3))
    fails("looks at all rows", "y ~ center(x)", path)
    fails("makes a factor", "y ~ C(np.where(w > 1, 'a', 'b'))", iter(pieces))
    fails("single cluster", "y ~ x", pieces, vcov={"cluster": "of"})
    fails("every one of the", "y ~ x", [d.assign(x=np.nan)])
    fails("holds no rows", "y ~ x", path, vcov="full_jackknife")
    fails("not fitted from files or pieces yet", "count ~ w", path, family="poisson", zero="~ 1")
    fails("holds no rows", "y ~ x", path, vcov={"cluster": "id", "small": "mancl_derouen"})
    fails("counts equal rows, by whole numbers", "y ~ x", pieces, weights=glimm.frequency("w"))
    fails("have missing values", "y ~ x", pieces, missing="error")


def test_pieces_that_do_not_go_together(data: pd.DataFrame) -> None:
    a, b, c = cut(data.head(3000), 1000)
    for make in (lambda x: x, iter):
        fails("data give no pieces", "y ~ x", make([]))
        fails("none of the 2 pieces of data has rows", "y ~ x", make([a.head(0), pd.DataFrame()]))
        fails("piece 1 of data: .*not int", "y ~ x", make([1, 2]))
        fails("piece 3 of data: .*not str", "y ~ x", make([a, b, "c"]))
        fails("piece 2 has no column 'x'", "y ~ x", make([a, b.drop(columns="x")]))
        fails("column 'x' holds numbers in piece 1 and text in piece 3", "y ~ x", make([a, b, c.assign(x=c["g"])]))
        fails("column 'g' holds text in piece 1 and booleans in piece 2", "y ~ g", make([a, b.assign(g=b["w"] > 1)]))
        fails("column 'g' holds text in piece 2", "y ~ g", make([a.assign(g=None), b, c.assign(g=c["g"].astype("category"))]))
        fails("piece 2 of data: column 'x' mixes types", "y ~ x", make([a, b.assign(x=[1, "a"] * 500)]))
        fails("dates", "y ~ x", make([a.assign(x=pd.Timestamp("2020-01-01"))]))
    fails("data are DataFrameGroupBy|piece 1 of data", "y ~ x", (pair for pair in a.groupby("id")))
    fails(r"data\(\) gave DataFrame", "y ~ x", lambda: a)
    fails(r"data\(\) gave int", "y ~ x", lambda: 3)
    fails("data must be a pandas", "y ~ x", 3)
    fails("data must be a pandas", "y ~ x", np.ones((3, 3)))
    once = iter([a, b])
    fails("data gave 1 pieces|data gave 2 pieces|no pieces|another one", "y ~ x", lambda: once)
    rng = np.random.default_rng(1)
    fails("piece 1 of data was another one when they were first read", "y ~ x", lambda: [a.assign(x=rng.normal(size=1000))])
    counts = iter([3, 3, 2, 2, 2, 2])
    fails("gave 3 pieces with rows when they were first read, and 2", "y ~ x", lambda: [a, b, c][: next(counts)])


def test_errors_name_the_row_of_all_pieces(data: pd.DataFrame, tmp_path: Path) -> None:
    bad = data.reset_index(drop=True)
    bad["count"] = bad["count"].where(bad.index != 30_001, -2)
    for source in (cut(bad, 4000), iter(cut(bad, 4000)), written(bad, tmp_path / "a", 9999), text(bad, tmp_path / "a.csv")):
        fails(r"'count' is -2: .*\(row 30001, counting from 0\)", "count ~ w", source, family="poisson")
    bad = data.reset_index(drop=True)
    bad["w"] = bad["w"].where(bad.index != 20_002, np.inf)
    fails(r"'w' is infinite \(inf\) in row 20002 \(counting from 0\)", "count ~ w", cut(bad, 4000), family="poisson")


def test_a_type_that_changes_in_a_text_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in memory, a column of numbers with one word is text: a factor, and no response."""
    monkeypatch.setattr("glimm.data.delimited_files.PIECE_ROWS", 100)
    rng = np.random.default_rng(8)
    d = pd.DataFrame({"y": rng.normal(size=1000), "x": (np.arange(1000) % 4).astype(object)})
    d.loc[700, "x"] = "none of them"
    path = text(d, tmp_path / "a.csv")
    _, b = both("y ~ x", glimm.read(path), path)
    assert list(b.params.index) == ["Intercept", "x[T.1]", "x[T.2]", "x[T.3]", "x[T.none of them]"]
    fails("the response 'x' is not a number", "x ~ y", path)


def test_gee_takes_the_same_sources(data: pd.DataFrame, path: Path, tmp_path: Path) -> None:
    a = glimm.gee("y ~ x + g", data, groups="id")
    for source in (cut(data, 5000), iter(cut(data, 5000)), text(data, tmp_path / "a.csv")):
        b = glimm.gee("y ~ x + g", source, groups="id")
        pd.testing.assert_series_equal(a.params, b.params, check_exact=True)
        pd.testing.assert_series_equal(a.bse, b.bse, check_exact=True)


MEMORY = """
import resource, sys
import numpy as np, pandas as pd
import glimm, glimm.api, formulaic, scipy.linalg, narwhals, pyarrow as pa, pyarrow.parquet as pq
kind, path, n, parts = sys.argv[1], sys.argv[2], 250_000, int(sys.argv[3])

def frames():
    rng = np.random.default_rng(1)
    for _ in range(parts):
        frame = pd.DataFrame({f"x{j}": rng.normal(size=n) for j in range(8)})
        yield frame.assign(y=(rng.random(n) < 1 / (1 + np.exp(-frame["x0"]))).astype(float))

data = frames()
if kind == "parquet":
    writer = pq.ParquetWriter(path, pa.Table.from_pandas(next(frames())).schema, compression="none", use_dictionary=False)
    for frame in frames():
        writer.write_table(pa.Table.from_pandas(frame), row_group_size=50_000)
    writer.close()
    data = path
if kind == "text":
    for k, frame in enumerate(frames()):
        frame.round(3).to_csv(path, mode="a", index=False, header=not k)
    data = path
if kind == "function":
    data = frames
first = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
fit = glimm.glm("y ~ x0 + x1 + x2 + x3 + x4 + x5 + x6 + x7", data, family="binomial")
print(fit.nobs, float(fit.params["x0"]), (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - first) / 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read as Linux says it")
@pytest.mark.parametrize(("kind", "parts"), [("parquet", 12), ("generator", 12), ("text", 4)])
def test_rows_are_not_held(kind: str, parts: int, tmp_path: Path) -> None:
    """3 million rows of 9 columns, 216 MB as numbers in memory, in less than 150 MB; 1 million as text."""
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, kind, str(tmp_path / "a"), str(parts)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    rows_used, slope, grown = map(float, done.stdout.split())
    assert rows_used == 250_000 * parts
    assert abs(slope - 1.0) < 0.02
    assert grown < 150.0
