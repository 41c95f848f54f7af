"""The README's tour prints what the README says."""

import contextlib
import io
import re
from pathlib import Path

import pytest

import glimm

README = Path(__file__).parents[1] / "README.md"


def test_the_tour_prints_what_is_printed_below_it():
    text = README.read_text(encoding="utf-8")
    code = re.search(r"```python\n(.*?)```", text, re.S).group(1)
    said = re.search(r"```text\n(.*?)\n```", text, re.S).group(1)
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(code, str(README), "exec"), {})
    assert [line.rstrip() for line in out.getvalue().rstrip().splitlines()] == said.splitlines()


def test_the_example_of_a_check_prints_what_is_printed_below_it():
    text = README.read_text(encoding="utf-8").partition("## When a fit goes wrong")[2]
    code = re.search(r"```python\n(.*?)```", text, re.S).group(1)
    said = re.search(r"```text\n(.*?)\n```", text, re.S).group(1)
    out = io.StringIO()
    with contextlib.redirect_stdout(out), pytest.warns(glimm.GlimmWarning):
        exec(compile(code, str(README), "exec"), {})
    assert [line.rstrip() for line in out.getvalue().rstrip().splitlines()] == said.splitlines()


def test_the_two_commands_are_named():
    text = README.read_text(encoding="utf-8")
    assert "make demo" in text
    assert "make test" in text
