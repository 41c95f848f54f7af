"""The documentation's pages: their code runs, prints what they say it prints, and draws the pictures that they show."""

from __future__ import annotations

import contextlib
import importlib.util
import re
from pathlib import Path

import pytest

import glimm
from glimm.fit import Fit

pytest.importorskip("matplotlib").use("Agg")

ROOT = Path(__file__).parents[1]
_spec = importlib.util.spec_from_file_location("docs_make", ROOT / "docs" / "make.py")
make = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(make)

PAGES = make.pages()
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("page", PAGES, ids=[str(p.relative_to(make.DOCS)) for p in PAGES])
def test_page(page, tmp_path):
    text = page.read_text(encoding="utf-8")
    now, names = make.run(text, str(page), tmp_path)
    assert now == text, "run `python docs/make.py`"
    for picture in make.pictures(text):
        assert (page.parent / picture).stat().st_size > 1000
        assert (tmp_path / picture).stat().st_size > 1000, f"{picture} is not drawn by the page's code"
    names.setdefault("glimm", glimm)
    if not any(isinstance(value, Fit) for value in names.values()):
        names["fit"] = glimm.glmm("resp ~ age + (1 | id)", glimm.load_dataset("ohio"), family="binomial", points=9)
    with contextlib.chdir(tmp_path):
        failures = [failure for call in make.calls(text) if (failure := trouble(call, names))]
    assert not failures, "\n".join(failures)


def trouble(call, names):
    """What goes wrong with a call on the page's names, if anything; a question to `fit` has to work for one of the page's fits."""
    fits = [value for value in names.values() if isinstance(value, Fit)] if call.startswith("fit.") else [None]
    failures = []
    for fit in fits:
        try:
            eval(call, {**names, "fit": fit} if fit else dict(names))
        except Exception as failure:
            failures.append(failure)
        else:
            return ""
    return f"{call}: {failures}"


@pytest.mark.parametrize("page", [*PAGES, ROOT / "README.md"], ids=lambda p: p.name)
def test_links_lead_somewhere(page):
    for target in LINK.findall(make.FENCED.sub("", page.read_text(encoding="utf-8"))):
        path = target.partition("#")[0]
        if path and "://" not in path:
            assert (page.parent / path).exists(), target


def test_calls_are_found_in_tables():
    assert make.calls('| `mixed` | `glimm.glmm("y ~ x + (1 \\| g)", d)` |\n```python\nx = `fit.params`\n```\n') == [
        'glimm.glmm("y ~ x + (1 | g)", d)'
    ]


def test_a_page_is_filled_with_what_it_prints(tmp_path):
    page = "A\n\n```python\nprint(1 + 1)\n```\n\n```text\n3\n```\n\n```python\nx = 5\n```\n"
    now, names = make.run(page, "page", tmp_path)
    assert now == page.replace("3", "2")
    assert names["x"] == 5
