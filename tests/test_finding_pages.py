"""Every finding has a page, whose example shows it and whose severity is the finding's."""

from __future__ import annotations

import ast
import importlib.util
import re
from pathlib import Path

import pytest

from glimm.diagnostics.findings import SEVERITIES
from glimm.fit import Fit

pytest.importorskip("matplotlib").use("Agg")

ROOT = Path(__file__).parents[1]
_spec = importlib.util.spec_from_file_location("docs_make", ROOT / "docs" / "make.py")
make = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(make)

FOLDER = make.DOCS / "findings"
PAGES = {page.stem: page for page in sorted(FOLDER.glob("*.md")) if page.stem != "index"}


def words(node, tree):
    """String constants that an expression may become; a name stands for all that the module gives it."""
    if isinstance(node, ast.IfExp):
        return words(node.body, tree) | words(node.orelse, tree)
    if isinstance(node, ast.Name):
        return set().union(*(words(value, tree) for value in given(node.id, tree)))
    return {node.value} if isinstance(node, ast.Constant) else set()


def given(name, tree):
    """Expressions that are assigned to a name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                pairs = [(target, node.value)]
                if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                    pairs = zip(target.elts, node.value.elts, strict=False)
                yield from (value for to, value in pairs if isinstance(to, ast.Name) and to.id == name)


def source():
    """Code -> severities, from the calls Finding(code, severity, ...)."""
    found = {}
    for path in sorted((ROOT / "src" / "glimm" / "diagnostics").glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Finding":
                for code in words(node.args[0], tree):
                    found[code] = found.get(code, set()) | words(node.args[1], tree)
    return found


CODES = source()


def severities(text):
    """What a page says of its finding's severity."""
    line = re.search(r"^Severity: (.*)$", text, re.M)[1]
    return set(re.findall(r"\*\*(\w+)\*\*", line))


def test_every_finding_has_a_page_and_every_page_a_finding():
    assert set(PAGES) == set(CODES)


def test_the_index_links_every_page_with_its_severities():
    rows = re.findall(r"^\| \[`(\w+)`\]\((\w+)\.md\) \| ([a-z ]+) \|", (FOLDER / "index.md").read_text(encoding="utf-8"), re.M)
    assert sorted(code for code, _, _ in rows) == sorted(PAGES)
    for code, page, said in rows:
        assert page == code
        assert set(said.split(" or ")) == severities(PAGES[code].read_text(encoding="utf-8"))


@pytest.mark.parametrize("code", PAGES)
def test_the_page_names_its_code_and_its_severities(code):
    text = PAGES[code].read_text(encoding="utf-8")
    assert text.splitlines()[0].endswith(f": `{code}`")
    assert severities(text) == CODES[code] <= set(SEVERITIES)


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("code", PAGES)
def test_the_example_shows_the_finding(code, tmp_path):
    page = PAGES[code]
    _, names = make.run(page.read_text(encoding="utf-8"), str(page), tmp_path)
    fit = names["fit"]
    assert isinstance(fit, Fit)
    assert code in fit.check().codes
    assert fit.check()[code].severity in CODES[code]
