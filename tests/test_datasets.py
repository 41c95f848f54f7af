"""The data that come with the package are the published ones."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pandas as pd
import pytest

import glimm
from glimm import datasets
from support import HERE

SHIPPED = Path(datasets.__file__).parent


def test_ohio_equals_geepacks_copy_row_by_row():
    mine = glimm.load_dataset("ohio")
    theirs = pd.read_csv(HERE / "data" / "geepack_ohio.csv")
    assert list(mine.columns) == list(theirs.columns)
    pd.testing.assert_frame_equal(mine.reset_index(drop=True), theirs, check_dtype=False)


def test_make_ohio_writes_the_shipped_file():
    made = runpy.run_path(str(SHIPPED / "make_ohio.py"))
    lines = ["resp,id,age,smoke"] + [",".join(map(str, row)) for row in made["rows"]()]
    assert ("\n".join(lines) + "\n").encode() == (SHIPPED / "ohio.csv").read_bytes()


def test_make_ohio_as_a_script(tmp_path):
    script = tmp_path / "make_ohio.py"
    script.write_text((SHIPPED / "make_ohio.py").read_text(encoding="utf-8"), encoding="utf-8")
    runpy.run_path(str(script), run_name="__main__")
    assert (tmp_path / "ohio.csv").read_bytes() == (SHIPPED / "ohio.csv").read_bytes()


def test_make_classroom_writes_the_shipped_file(tmp_path):
    script = tmp_path / "make_classroom.py"
    script.write_text((SHIPPED / "make_classroom.py").read_text(encoding="utf-8"), encoding="utf-8")
    runpy.run_path(str(script), run_name="__main__")
    assert (tmp_path / "classroom.csv").read_bytes() == (SHIPPED / "classroom.csv").read_bytes()


def test_classroom_shows_the_truth_that_it_was_made_with():
    frame = glimm.load_dataset("classroom")
    conditional = glimm.glmm("pass ~ hours + (1 | pupil)", frame, family="binomial")
    average = glimm.gee("pass ~ hours", frame, groups="pupil", family="binomial")
    limits = conditional.conf_int().loc["hours"]
    assert limits["conf_low"] < 0.8 < limits["conf_high"]
    assert abs(conditional.theta[0] - 3.0) < 1.0
    assert average.params["hours"] < 0.6 * conditional.params["hours"]


def test_ohio_has_the_published_counts():
    frame = glimm.load_dataset("ohio")
    assert frame["id"].nunique() == 537
    assert frame.groupby("id")["smoke"].first().value_counts().to_dict() == {0: 350, 1: 187}
    assert sorted(frame["age"].unique()) == [-2, -1, 0, 1]


def test_each_call_gives_a_fresh_frame():
    first = glimm.load_dataset("ohio")
    first["resp"] = 9
    assert set(glimm.load_dataset("ohio")["resp"]) == {0, 1}


def test_every_shipped_file_has_a_source():
    assert {path.stem for path in SHIPPED.glob("*.csv")} == set(datasets.SOURCES)


@pytest.mark.parametrize(("name", "said"), [("oho", "ohio"), ("iris", "ohio"), (3, "3"), (None, "None")])
def test_an_unknown_name_is_an_error_that_lists_what_there_is(name, said):
    with pytest.raises(glimm.GlimmError, match=rf"unknown data set {re.escape(repr(name))}.*") as raised:
        glimm.load_dataset(name)
    assert said in str(raised.value)
