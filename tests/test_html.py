"""HTML of summaries and comparisons: the same words and numbers as the text, in tables with headers, everything escaped."""

from __future__ import annotations

import pickle
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

import glimm
from glimm.output.html import numeral

VOID = {"br", "img", "meta", "link"}


class Reader(HTMLParser):
    """Tables as rows of cells, words outside the style, and a check that every element is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tables: list[list[list[str]]] = []
        self.words: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        if tag not in VOID:
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
            if tag == "th":
                self.headers.append(dict(attrs))
        elif tag == "br" and self.open[-1] in ("td", "th"):
            self.tables[-1][-1][-1] += "\n"

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" in self.open:
            return
        self.words.append(data)
        if {"td", "th"} & set(self.open):
            self.tables[-1][-1][-1] += data


def value(text: str) -> float:
    return float(text.strip().replace("\N{MINUS SIGN}", "-"))


def flat(text: str) -> str:
    """Words alone: no rules, no blanks, one kind of minus, labels without colons."""
    text = re.sub(r"^[-=]{4,}$", " ", text, flags=re.MULTILINE).replace("\N{MINUS SIGN}", "-")
    return re.sub(r"[\s:\N{FIGURE SPACE}\N{PUNCTUATION SPACE}]+", "", text)


@pytest.fixture(scope="module")
def three(ohio):
    return (
        glimm.glm("resp ~ age * smoke", ohio, family="binomial"),
        glimm.glmm("resp ~ age * smoke + (1 | id)", ohio, family="binomial", points=9),
        glimm.gee("resp ~ age * smoke", ohio, groups="id", family="binomial"),
    )


@pytest.fixture(scope="module")
def visits():
    rng = np.random.default_rng(1)
    data = pd.DataFrame({"y": rng.normal(size=60), "x": rng.normal(size=60), "g": np.repeat(np.arange(15), 4)})
    data["f"] = pd.Categorical(rng.choice(["a", "b"], 60), categories=["a", "b", "never"])
    data["y"] += rng.normal(size=15)[data["g"]]
    data["double"] = 2.0 * data["x"]
    data.loc[[3, 9], "x"] = np.nan
    return data


def test_the_coefficient_table_has_the_numbers_of_the_fit(three):
    for fit in three:
        page = Reader(fit.summary()._repr_html_())
        table = next(t for t in page.tables if t[0][0] == "term")
        assert table[0] == ["term", "estimate", "std. error", "z", "p", "95 % interval"]
        limits = fit.conf_int()
        for name, estimate, se, z, p, interval in table[1:]:
            assert value(estimate) == pytest.approx(fit.params[name], abs=5.1e-4)
            assert value(se) == pytest.approx(fit.bse[name], abs=5.1e-4)
            assert value(z) == pytest.approx(fit.tvalues[name], abs=5.1e-3)
            assert p.strip() == "<0.001" if fit.pvalues[name] < 0.001 else value(p) == pytest.approx(fit.pvalues[name], abs=5.1e-4)
            assert [value(part) for part in interval.split(" to ")] == pytest.approx(limits.loc[name].tolist(), abs=5.1e-4)


def test_random_effects_and_criteria(three):
    page = Reader(three[1].summary()._repr_html_())
    table = next(t for t in page.tables if t[0][0] == "random effect")
    assert table[1][:2] == ["id", "Intercept"]
    assert value(table[1][3]) == pytest.approx(three[1].varcorr()["std_dev"][0], abs=5.1e-4)
    facts = {row[0]: row[1] for t in page.tables for row in t if len(row) == 2}
    assert value(facts["log-likelihood"]) == pytest.approx(three[1].llf, abs=5.1e-3)
    assert value(facts["AIC"]) == pytest.approx(three[1].aic, abs=5.1e-3)


def test_text_and_html_say_the_same(three, visits):
    fits = [*three, glimm.glm("y ~ x + double + f", visits, vcov="HC3"), glimm.glmm("y ~ x + f + (1 | g)", visits)]
    for fit in fits:
        assert flat("".join(Reader(fit.summary()._repr_html_()).words)) == flat(fit.summary())


def test_headers_have_their_scope(three):
    for shown in (*(fit.summary() for fit in three), glimm.compare(*three)):
        page = Reader(shown._repr_html_())
        assert page.headers
        assert {header.get("scope") for header in page.headers} == {"row", "col"}
        assert all(len({len(row) for row in table}) == 1 for table in page.tables)


def test_a_comparison_has_the_numbers_of_its_fits(three):
    comparison = glimm.compare(*three)
    page = Reader(comparison._repr_html_())
    (table,) = page.tables
    assert table[0] == ["estimate\n(95 % interval)", "(1) GLM", "(1) GLM", "(2) GLMM", "(3) GEE, exchangeable"]
    row = next(row for row in table if row[0] == "age:smoke")
    for cell, fit in zip(row[2:], (None, *three[1:]), strict=True):
        if fit is not None:
            estimate, limits = cell.split("\n")
            assert value(estimate) == pytest.approx(fit.params["age:smoke"], abs=5.1e-4)
            assert [value(part) for part in limits.strip("()").split(",")] == pytest.approx(
                fit.conf_int().loc["age:smoke"].tolist(), abs=5.1e-4
            )
    words = "".join(page.words)
    for section in (*comparison.notes, "GEE estimates stay consistent if the working correlation is wrong", "(2) GLMM describes one id"):
        assert section in words
    assert [row[0] for row in table[5:9]] == ["a coefficient is", "rows of one id", "standard errors", "estimated by"]


def test_a_fit_at_a_prompt_shows_its_summary(three):
    for fit in three:
        assert fit._repr_html_() == fit.summary()._repr_html_()


def test_names_of_the_user_are_escaped(ohio):
    nasty = '<img src=x onerror=alert(1)> & "q"'
    data = ohio.rename(columns={"age": nasty, "id": "<id>"})
    data["f"] = np.where(data["smoke"], "z<b>yes</b>", "no")
    fit = glimm.gee(f"resp ~ `{nasty}` + f", data, groups="<id>", family="binomial")
    other = glimm.glmm(f"resp ~ `{nasty}` + f + (1 | `<id>`)", data, family="binomial", points=5)
    for shown in (fit.summary(), other.summary(), glimm.compare(fit, other)):
        page = shown._repr_html_()
        assert "<img" not in page
        assert "<b>" not in page
        assert "<id>" not in page
        assert nasty in "".join(Reader(page).words)
        assert "f[T.z<b>yes</b>]" in "".join(Reader(page).words)


def test_nothing_from_outside_and_no_colour_of_its_own(three):
    page = glimm.compare(*three)._repr_html_() + three[0]._repr_html_()
    assert not re.search(r"https?://|url\(|@import|<script|<link", page)
    assert not re.search(r"(?<!-)color:(?!inherit)|background(-color)?:(?!none)|#[0-9a-f]{3}", page)


def test_a_missing_interval_and_no_coefficient():
    text = numeral("  -1.5e-09 ")
    assert text.strip() == "\N{MINUS SIGN}1.5e-09"
    assert numeral("none") == "none"


def test_a_summary_is_text_that_can_be_pickled(three):
    summary = three[1].summary()
    again = pickle.loads(pickle.dumps(summary))
    assert again == summary
    assert again._repr_html_() == summary._repr_html_()
    assert isinstance(summary, str)
