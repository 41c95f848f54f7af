"""glimm.read: every format and dialect comes back as the same frame, and what cannot be read says what to do."""

from __future__ import annotations

import builtins
import gzip
import io
import re
import sys
import warnings

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import glimm

FRAME = pd.DataFrame({"dose": [0.5, 1.25, np.nan, -3e-7], "ill": [0, 1, 1, 0], "ward": ["north", "sea, side", "Öst", None]})
COMMA = 'dose,ill,ward\n0.5,0,north\n1.25,1,"sea, side"\n,1,Öst\n-3e-7,0,NA\n'
TAB = COMMA.replace(",", "\t").replace("sea\t side", "sea, side")
SEMICOLON = 'dose;ill;ward\n0,5;0;north\n1,25;1;"sea, side"\n;1;Öst\n-3e-7;0;\n'


@pytest.fixture
def put(tmp_path):
    def write(content, name="data.csv"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def arrow(stream):
    sink, table = io.BytesIO(), pa.Table.from_pandas(FRAME)
    with (pa.ipc.new_stream if stream else pa.ipc.new_file)(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def parquet(table):
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()


def same(frame, expected=FRAME):
    pd.testing.assert_frame_equal(frame, expected, check_dtype=False, check_exact=True)
    return True


DIALECTS = {
    "comma": COMMA,
    "tab": TAB,
    "semicolon": SEMICOLON,
    "semicolon with points": COMMA.replace(",", ";").replace("sea; side", "sea, side"),
    "tab with decimal commas": SEMICOLON.replace(";", "\t"),
    "windows line ends": COMMA.replace("\n", "\r\n"),
    "old line ends": COMMA.replace("\n", "\r"),
    "no last line end": COMMA.rstrip("\n"),
    "blank lines": "\n" + COMMA.replace("\n", "\n\n"),
    "blanks after commas": COMMA.replace(",", ", ").replace("sea,  side", "sea, side"),
    "mark of UTF-8": "\ufeff" + COMMA,
    "UTF-16 of Excel": TAB.encode("utf-16"),
    "Excel says sep": "sep=;\r\n" + SEMICOLON,
    "quoted header": COMMA.replace("dose,ill,ward", '"dose","ill","ward"'),
}


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("zipped", [False, True])
def test_dialects(dialect, zipped, put):
    content = DIALECTS[dialect]
    content = content if isinstance(content, bytes) else content.encode()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert same(glimm.read(put(gzip.compress(content) if zipped else content, "no_suffix")))


@pytest.mark.parametrize("content", [arrow(False), arrow(True), parquet(pa.Table.from_pandas(FRAME))], ids=["file", "stream", "parquet"])
def test_arrow_and_parquet(content, put):
    assert same(glimm.read(put(content, "data.csv")))  # the name does not matter
    assert same(glimm.read(str(put(gzip.compress(content), "data.gz"))))


def test_standard_input(monkeypatch):
    for content in (COMMA.encode(), arrow(True)):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
        assert same(glimm.read("-"))


def test_numbers_are_read_to_the_last_bit(put):
    values = np.random.default_rng(3).normal(size=2000) * 10.0 ** np.random.default_rng(4).integers(-30, 30, 2000)
    text = "x\n" + "\n".join(map(repr, values.tolist())) + "\n"
    np.testing.assert_array_equal(glimm.read(put(text))["x"], values)
    np.testing.assert_array_equal(glimm.read(put("z;" + text.replace("\n", "\n1;").replace(".", ",")[:-2]))["x"], values)


def test_whole_numbers_are_not_rounded(put):
    wide = 2**53 + 1
    table = pa.table({"id": pa.array([wide, None, 7]), "y": pa.array([1, None, 3])})
    for content in (f"id,y\n{wide},1\n,\n7,3\n", parquet(table)):
        frame = glimm.read(put(content))
        assert frame["id"].iloc[0] == wide
        assert frame["id"].isna().tolist() == [False, True, False]
        assert frame["y"].dtype == np.float64


def test_what_pandas_wrote_as_an_index_is_a_column(put, tmp_path):
    indexed = pd.DataFrame({"id": ["a", "b"], "y": [1.0, 2.0]}).set_index("id")
    indexed.to_parquet(tmp_path / "a.parquet")
    assert set(glimm.read(tmp_path / "a.parquet").columns) == {"id", "y"}
    indexed.reset_index().to_csv(tmp_path / "a.csv")
    assert list(glimm.read(tmp_path / "a.csv").columns) == ["Unnamed: 0", "id", "y"]


def test_categories_and_booleans(put):
    frame = glimm.read(put(parquet(pa.table({"f": pa.array(["b", "a"]).dictionary_encode()}))))
    assert frame["f"].cat.categories.tolist() == ["b", "a"]
    assert glimm.read(put("b,x\nTrue,1\nfalse,2\n"))["b"].tolist() == [True, False]


def test_a_file_of_windows_is_read_with_a_warning(put):
    path = put("name,y\nanna,1\nJosé,2\n".encode("latin-1"))
    with pytest.warns(glimm.GlimmWarning, match=r"is not UTF-8 \(line 3, byte 0xe9\): read as Windows-1252") as caught:
        assert glimm.read(path)["name"].tolist() == ["anna", "José"]
    assert caught[0].filename == __file__


def test_a_fit_of_a_file(put):
    ohio = glimm.load_dataset("ohio")
    fit = glimm.glm("resp ~ age", glimm.read(put(ohio.to_csv(index=False))), family="binomial")
    assert fit.params.equals(glimm.glm("resp ~ age", ohio, family="binomial").params)


WRONG = {
    "nothing": ("", "is empty: it must have a header line"),
    "blank": (" \n\r\n", "is empty"),
    "gzipped nothing": (gzip.compress(b""), "is empty"),
    "header only": ("y,x\n", r"has a header line but no rows \(columns: y, x\)"),
    "no header": ("1.5,2\n3,4\n", r"first line of .* holds numbers only \(1.5, 2\)"),
    "one name twice": ("y,x,x,x.1,x\n1,2,3,4,5\n", r"columns of the same name: 'x' \(3 times\); give"),
    "one name twice but for blanks": ("y,x, x\n1,2,3\n", r"'x' \(2 times\)"),
    "short line": (
        "y,x\n1,2\n\n3\n",
        r"line 4 has 1 field but the header names 2 columns \(y, x\): leave the field of a missing value empty",
    ),
    "long line": ("y,x\n1,2\n3,4,5\n", "line 3 has 3 fields .* put quotation marks around text that holds a comma"),
    "long line after quotes": ('y,x\n1,"a\nb"\n3,4,5\n', "line 4 has 3 fields"),
    "row names of R": ('"y","x"\n"1",2,3\n"2",3,4\n', r"line 2 has 3 fields .* row\.names = FALSE"),
    "open quote": ('y,x\n1,"a\n2,b\n3,c\n', "a quotation mark that opens a field may never close"),
    "open quote and ragged": ('y,x,z\n1,"a,3\n2,b,4\n3,c,5\n', "the row in lines 2 to 4 has 2 fields .* may never close"),
    "blanks between": ("y x\n1 2\n", "have blanks between them"),
    "bars between": ("y|x\n1|2\n", r"have '\|' between them"),
    "one column of commas": ("y\n1,5\n", "line 2 has 2 fields .* write numbers with a decimal point"),
    "both marks": ("y;x\n1,5;2.5\n", "column 'y' has decimal commas, but column 'x' has '2.5' in row 0"),
    "thousands of Germany": ("y;x\n12;1\n1.234,5;2\n", r"column 'y' has '1\.234,5' in row 1 .* mark between thousands"),
    "thousands of England": ('y,x\n1,1\n"1,234",2\n', "column 'y' has '1,234' in row 1 .* mark between thousands"),
    "null bytes": (b"y,x\n1,\x00\n", "is not text"),
    "workbook": (b"PK\x03\x04....", "an Excel workbook or a zip archive, .* pandas.read_excel"),
    "web page": ("<!DOCTYPE html><html>", "a web page"),
    "JSON": ('{"y": 1}', "pandas.read_json"),
    "broken parquet": (b"PAR1" + b"x" * 40, "looks like a parquet file but cannot be read"),
    "broken arrow": (b"ARROW1" + b"x" * 40, "looks like an Arrow file but cannot be read"),
    "broken stream": (b"\xff\xff\xff\xff12", "looks like an Arrow stream but cannot be read"),
    "broken gzip": (gzip.compress(COMMA.encode())[:-9], "is gzipped but damaged"),
    "parquet without rows": (parquet(pa.table({"y": pa.array([], pa.int64())})), r"has no rows \(columns: y\)"),
    "parquet without columns": (parquet(pa.table({})), "has no columns"),
    "parquet with a name twice": (parquet(pa.table([[1], [2]], names=["y", "y"])), r"'y' \(2 times\)"),
}


@pytest.mark.parametrize("case", WRONG)
def test_files_that_are_refused(case, put):
    content, words = WRONG[case]
    with pytest.raises(glimm.GlimmError, match=words) as caught:
        glimm.read(put(content))
    assert "\n" not in str(caught.value)


def test_paths_that_are_refused(tmp_path, put):
    put(COMMA, "trial.csv")
    for path, words in (
        (tmp_path / "trail.csv", r"no file '.*trail\.csv': did you mean '.*trial\.csv'\?"),
        (tmp_path / "nosuch" / "a.csv", "there is no directory"),
        (tmp_path / "zzz", "no file .*: check the path"),
        (tmp_path, "is a directory"),
        ("a\0b", "cannot be read"),
        ("", "the path is empty"),
        ("https://example.org/a.csv", "download the file first"),
        (FRAME, "read takes the path of a file, or '-' for standard input, not DataFrame"),
    ):
        with pytest.raises(glimm.GlimmError, match=words):
            glimm.read(path)


def test_without_pyarrow(put, monkeypatch):
    real = builtins.__import__

    def refuse(name, *rest, **more):
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return real(name, *rest, **more)

    path = put(arrow(False), "a.arrow")
    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(glimm.GlimmError, match=re.escape("is an Arrow file, which needs pyarrow: pip install pyarrow")):
        glimm.read(path)


def test_text_with_commas_in_numbers_stays_text_where_it_is_text(put):
    frame = glimm.read(put("dose;visit\n1,5;12.03.2024\n2,5;13.03.2024\n"))
    assert frame["visit"].tolist() == ["12.03.2024", "13.03.2024"]
    assert frame["dose"].tolist() == [1.5, 2.5]
    assert glimm.read(put("dose;y\n1,5;1\n<0,1;2\n"))["dose"].tolist() == ["1,5", "<0,1"]
