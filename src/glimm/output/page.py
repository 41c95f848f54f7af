"""A report: one page of HTML that needs nothing else, written from a fit or a comparison.

title, what was done, tables, pictures, the code that does it again, versions and date.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from ..covariance.odds_ratios import OddsRatios
from ..diagnostics.check import Checked
from ..errors import GlimmError
from ..inference.covariance import Inference
from ..kernels.matrix import Floats
from ..records import GeeRecord, MixedRecord, Record
from ..text import figures
from . import diagnosis, effects, words
from .compare import Compared
from .html import STYLE, body
from .reproduce import code, versions
from .sections import Column, Facts, Paragraph, Section, Table
from .summary import coefficients, dropped, fit_lines, header, other_parameters, se_words

PAGE = """
html{color-scheme:light;background:#fff;-webkit-text-size-adjust:100%}
body{margin:0 auto;max-width:56rem;padding:3rem 1.5rem 4rem;color:#1c1c1c;
font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
h1{font-size:1.9rem;line-height:1.2;margin:0 0 .4rem;letter-spacing:-.01em}
h2{font-size:1.2rem;margin:2.6rem 0 .7rem;padding-top:.9rem;border-top:1px solid #ddd}
h3{font-size:1.02rem;margin:1.9rem 0 .5rem}
code,pre{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,"Liberation Mono",monospace;font-size:.87rem}
.formula{margin:.15rem 0;overflow-wrap:anywhere}
.formula code{font-size:.95rem}
.lead{margin:1.1rem 0 0;max-width:44rem;font-size:1.05rem}
.glimm{max-width:none}
.glimm p,.glimm ul{max-width:44rem}
.glimm td,.glimm th{overflow-wrap:break-word}
.glimm thead th.num{white-space:normal;min-width:4.5em}
.glimm table.side th:first-child{position:sticky;left:0;background:#fff}
.glimm table.facts td{overflow-wrap:anywhere}
figure{margin:1.4rem 0 2.2rem}
figure img{display:block;width:100%;max-width:44rem;height:auto;position:relative;left:-.9rem}
figcaption{margin-top:.4rem;color:#5a5a5a}
pre{background:#f5f5f3;border-radius:4px;padding:.9rem 1.1rem;overflow-x:auto;line-height:1.5}
footer{margin-top:3rem;border-top:1px solid #ddd;padding-top:.9rem;color:#5a5a5a;font-size:.87rem}
footer p{margin:.2rem 0}
@media(max-width:36rem){body{padding:1.6rem 1rem 3rem;font-size:15px}h1{font-size:1.5rem}figure img{left:0}
.glimm th,.glimm td{padding:.22em .5em}
.glimm table.facts,.glimm table.facts tbody,.glimm table.facts tr,.glimm table.facts th,.glimm table.facts td{display:block}
.glimm table.facts th,.glimm table.facts td{padding:0 .1em}.glimm table.facts td{margin-bottom:.45em}}
@media print{body{padding:0;max-width:none;font-size:10.5pt}h2,h3{break-after:avoid}figure,tr{break-inside:avoid}pre{white-space:pre-wrap}}
"""


@dataclass(frozen=True, slots=True)
class Shown:
    """Pictures for a page: (SVG, words for who cannot see it, the call that draws it) each, and sentences about what is not drawn."""

    pictures: tuple[tuple[bytes, str, str], ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Chapter:
    """A heading with what stands under it: sections, ready HTML after them."""

    title: str
    sections: tuple[Section | None, ...] = ()
    html: str = ""
    level: int = 2


def check_path(path: Any) -> Path:
    """The path to write to; raises GlimmError unless it is an .html file in a directory that exists."""
    if not isinstance(path, str | os.PathLike):
        raise GlimmError(f"report: the path must be text or a Path, such as 'report.html', not {type(path).__name__}")
    out = Path(os.fsdecode(path))
    if out.is_dir():
        raise GlimmError(f"report: {str(out)!r} is a directory: name a file in it, {str(out / 'report.html')!r}")
    if out.suffix.lower() not in (".html", ".htm"):
        raise GlimmError(f"report: writes HTML, so the path must end in .html, not {out.name!r}: {str(out.with_suffix('.html'))!r}")
    if not out.parent.is_dir():
        raise GlimmError(f"report: there is no directory {str(out.parent)!r}: make it first")
    return out


def fit_page(model: str, record: Record, inference: Inference, shown: Shown, checked: Checked | None = None) -> str:
    """The report of one fit.

    model : the model's name in words; checked : what its check found
    """
    found = [] if checked is None else [Chapter(f"Check: {diagnosis.total(checked.findings)}", tuple(diagnosis.body(checked)))]
    chapters = [
        Chapter("What was done", (done(record, inference),)),
        *numbers(record, inference, 2),
        *found,
        Chapter("Pictures", html=pictures(shown)),
        *ending([record]),
    ]
    title = f"{words.kind(record)} of {record.design.response.name}"
    return page(title, [(model, record)], words.unfinished(record) or words.meaning(record, inference), chapters)


def done(record: Record, inference: Inference) -> Facts:
    """The summary's header, with what is assumed of missing values and which standard errors."""
    rows = header(record).rows
    label, said = se_words(inference).split(": ", 1)
    more = [(label, said)]
    if record.design.missing.n_dropped:
        more.insert(0, ("missing values", f"assumed {words.missing_assumption(record)}"))
    return Facts((*rows, *more))


def numbers(record: Record, inference: Inference, level: int) -> list[Chapter]:
    """Coefficients, other parameters and the fit, each under its heading."""
    other = other_parameters(record)
    chapters = [Chapter("Coefficients", (coefficients(inference), dropped(record)), level=level)]
    if other is not None:
        chapters.append(Chapter(_dependence(record), (other,), level=level))
    return [*chapters, Chapter("Fit", (fit_lines(record),), level=level)]


def _dependence(record: Record) -> str:
    """The heading over what ties the rows of a cluster."""
    if isinstance(record, MixedRecord):
        return "Random effects"
    odds = isinstance(record, GeeRecord) and isinstance(record.working, OddsRatios)
    return "Odds ratios within clusters" if odds else "Working correlation"


def comparison_page(comparison: Compared, averages: Sequence[Table], shown: Shown, forest: Shown) -> str:
    """The report of a comparison.

    averages : tables of population averages, one per predictor; forest : the picture of the effect, where there is one
    """
    heading, side = comparison.sections[:2]
    chapters = [Chapter("Side by side", (side,))]
    if comparison.effect is not None:
        section = effects.section(comparison.columns, comparison.effect)
        chapters.append(Chapter(f"Effect of {comparison.effect.variable}", (section,), pictures(forest)))
    chapters += [
        Chapter("What to know when reading it", (comparison.items, *comparison.known_of_losses)),
        Chapter("Population averages", tuple(averages), pictures(shown)),
    ]
    for m in comparison.models:
        facts = done(m.record, comparison.inference_of(m))
        shown_errors = Facts((*facts.rows[:-1], (facts.rows[-1][0], comparison.errors_of(m))))
        chapters.append(Chapter(f"({m.number}) {m.name}: what was done", (shown_errors,)))
    records = [m.record for m in comparison.models]
    title = getattr(heading, "text", "Comparison").partition(":")[0]
    named = [(f"({m.number}) {m.name}", m.record) for m in comparison.models]
    event = records[0].design.response.event
    asked = None if comparison.effect is None else comparison.effect.asked
    return page(title, named, f"{event[0].upper()}{event[1:]}." if event else "", [*chapters, *ending(records, asked)])


def averages(variable: str, places: tuple[Sequence[str], Floats], fits: Sequence[str], values: Floats, note: str) -> Table:
    """A table of averages: five values of a number, or all categories, by fit.

    places : names of categories, () for numbers, and (g,) places on the axis; fits : (m,) heads; values : (m, g)
    """
    names, x = places
    at = np.arange(len(x)) if names else np.linspace(0, len(x) - 1, 5).round().astype(int)
    column = Column(variable, tuple(names) if names else tuple(f"{v:.5g}" for v in x[at]))
    columns = [Column(fit, tuple(figures(float(v)) for v in row[at]), "number") for fit, row in zip(fits, values, strict=True)]
    return Table(f"population averages over {variable}", (column, *columns), (note,))


def ending(records: Sequence[Record], asked: Mapping[str, Any] | None = None) -> list[Chapter]:
    """How to do it again; asked : further arguments of a comparison."""
    held = all(record.call.door for record in records)
    if not held:
        return [Chapter("How to reproduce it in Python", (Paragraph("The call was not kept with this fit: fit it with a door of glimm."),))]
    return [Chapter("How to reproduce it in Python", html=f'<pre tabindex="0"><code>{escape(code(records, asked))}</code></pre>')]


def pictures(shown: Shown) -> str:
    """Figures with their descriptions, then sentences about what is not drawn."""
    parts = []
    for svg, alt, call in shown.pictures:
        data = base64.b64encode(svg).decode("ascii")
        image = f'<img src="data:image/svg+xml;base64,{data}" alt="{escape(alt, quote=True)}">'
        caption = f"<figcaption><code>{escape(call)}</code></figcaption>" if call else ""
        parts.append(f"<figure>{image}{caption}</figure>")
    parts += [f"<p>{escape(note)}</p>" for note in shown.notes]
    return "\n".join(parts)


def page(title: str, models: Sequence[tuple[str, Record]], lead: str, chapters: Sequence[Chapter]) -> str:
    """The whole page."""
    formulas = "\n".join(
        f'<p class="formula">{escape(name)}<br><code>{escape(record.design.spec.formula.text)}</code></p>' for name, record in models
    )
    parts = [f"<h1>{escape(title)}</h1>", formulas]
    if lead:
        parts.append(f'<p class="lead">{escape(lead)}</p>')
    for chapter in chapters:
        inner = body([section for section in chapter.sections if section is not None])
        if inner or chapter.html:
            content = f'<div class="glimm">\n{inner}\n</div>\n' if inner else ""
            parts.append(f"<section>\n<h{chapter.level}>{escape(chapter.title)}</h{chapter.level}>\n{content}{chapter.html}\n</section>")
    made = ", ".join(f"{name} {number}" for name, number in versions(models[0][1].version))
    content = "\n".join(parts)
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{escape(title)}</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">\n"
        f'<link rel="icon" href="data:,">\n<style>{STYLE}{PAGE}</style>\n</head>\n<body>\n<main>\n{content}\n</main>\n'
        f"<footer>\n<p>Written on {date.today().isoformat()} with {escape(made)}.</p>\n</footer>\n</body>\n</html>\n"
    )
