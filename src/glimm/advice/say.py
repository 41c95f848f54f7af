"""An advice, as text and as HTML: what was seen, an answer to each question with the call to write, missing values, doubts.

look -> judge, doubts, missing -> sections -> text, HTML
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

from ..errors import GlimmError, suggest
from ..output.html import fragment
from ..output.sections import Code, Facts, Heading, Items, Paragraph, Section
from ..output.terminal import render
from ..text import counted, figures, listed
from . import facts as seen
from .doubts import doubts
from .judge import answers
from .look import Asked, look
from .missing import missing
from .records import ASKS, Answer, Statement
from .why import common
from .words import percent

WIDTH = 100


@final
@dataclass(frozen=True, slots=True)
class Advice:
    """Which model fits a question and its data. `print(advice)` shows it, a notebook as HTML.

    facts : the numbers; answers : one for each question; missing : what is missing and what the models assume about it
    doubts : what in the data would change the advice. A statement has code, text and evidence, the numbers that it rests on.
    """

    facts: seen.Facts
    about: tuple[Statement, ...]
    answers: tuple[Answer, ...]
    missing: tuple[Statement, ...]
    doubts: tuple[Statement, ...]

    @property
    def model(self) -> str | None:
        """glm, glmm or gee; None where it depends on the question, which was not given."""
        models = {answer.model for answer in self.answers}
        return models.pop() if len(models) == 1 else None

    @property
    def calls(self) -> dict[str, str]:
        """Question -> Python source of the call, in which `data` stands for the data."""
        return {question: answer.call for answer in self.answers for question in answer.questions}

    @property
    def call(self) -> str:
        """Python source: the call, or a line for each question where they have different ones."""
        if len(self.answers) == 1:
            return self.answers[0].call
        return "\n".join(f"{answer.questions[0]} = {answer.call}" for answer in self.answers)

    @property
    def reasons(self) -> tuple[Statement, ...]:
        """All reasons: of the data, then of each answer."""
        return (*self.about, *(reason for answer in self.answers for reason in answer.reasons))

    @property
    def sections(self) -> tuple[Section, ...]:
        """What the text and the HTML come from."""
        return sections(self)

    def __str__(self) -> str:
        return render(self.sections, WIDTH)

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return fragment(self.sections)


def build(asked: Asked, data: Any, question: str | None) -> Advice:
    """Look at the data and judge.

    Raises GlimmError for another question than the two, and as `look` does.
    """
    if question is not None and question not in ASKS:
        raise GlimmError(
            f"unknown question {question!r}: {suggest(str(question), ASKS)}; 'individual' asks {ASKS['individual']}, 'population' "
            f"{ASKS['population']}, and None explains both"
        )
    facts = look(asked, data)
    found = answers(facts, asked, tuple(q for q in ASKS if question in (None, q)))
    return Advice(facts, common(facts), found, missing(facts, found), doubts(facts, found))


def plain_advice(advice: Advice) -> dict[str, Any]:
    """An advice as dicts and lists, for machines."""

    def told(statements: tuple[Statement, ...]) -> list[dict[str, Any]]:
        return [{"code": s.code, "text": s.text, "evidence": dict(s.evidence)} for s in statements]

    found = [
        {
            "questions": list(a.questions),
            "model": a.model,
            "name": a.name,
            "call": a.call,
            "then": a.then or None,
            "reasons": told(a.reasons),
        }
        for a in advice.answers
    ]
    return {
        "model": advice.model,
        "calls": advice.calls,
        "about": told(advice.about),
        "answers": found,
        "missing": told(advice.missing),
        "doubts": told(advice.doubts),
    }


def sections(advice: Advice) -> tuple[Section, ...]:
    """Headings, facts, an answer for each question, missing values, doubts."""
    facts = advice.facts
    out: list[Section] = [Heading(f"Advice: {facts.formula}"), Facts(tuple(summary(facts))), Items(tuple(map(str, advice.about)))]
    for answer in advice.answers:
        asked = " or ".join(answer.questions).capitalize()
        out.append(Heading(f"{asked}: {answer.name}", tuple(f"The question: {ASKS[question]}." for question in answer.questions)))
        out.append(Code(f"fit = {answer.call}\n{answer.then}" if answer.then else answer.call))
        out.append(Items(tuple(map(str, answer.reasons))))
    out += [Heading("Missing values"), Items(tuple(map(str, advice.missing))), Heading("What would change this advice")]
    out.append(Items(tuple(map(str, advice.doubts))) if advice.doubts else Paragraph(untroubled(facts)))
    return tuple(out)


def summary(facts: seen.Facts) -> list[tuple[str, str]]:
    """What was looked at, in a line each."""
    m = facts.missing
    names = list(dict.fromkeys(facts.families.values()))
    out = [
        ("rows", f"{m.n_used} used of {m.n_rows} given"),
        ("response", facts.response.event.removeprefix("event modelled: ") or facts.response.name),
    ]
    out.append(("family", f"{' or '.join(names)}, {facts.link} link"))
    for g in facts.groups:
        sizes = f"of {counted(g.smallest, 'row')} each" if g.balanced else f"of {g.smallest} to {g.largest} rows, median {g.median:g}"
        out.append(("clusters", f"{g.name}: {g.clusters} {sizes}"))
    t = facts.times
    if t is not None:
        apart = f"{t.smallest_gap:g} apart" if t.equal else f"{t.smallest_gap:g} to {t.largest_gap:g} apart"
        out.append(("time", f"{t.name}: {t.occasions} different times from {t.first:g} to {t.last:g}, {apart}"))
    for x in facts.predictors:
        shares = [f"{percent(share)} of its variation inside {name}" for name, share in x.within.items()]
        out.append(("predictor", f"{x.name}: {listed(shares)}" if shares else x.name))
    return out


def untroubled(facts: seen.Facts) -> str:
    """What was looked for and not found."""
    t = facts.times
    uneven = any(not g.balanced for g in facts.groups)
    looked = {
        "few rows for the coefficients": True,
        "columns that look like clusters": not facts.groups and not facts.own and not facts.fixed,
        "few clusters": bool(facts.groups),
        "clusters whose rows are no more alike than chance": bool(facts.groups),
        "sizes that go with the outcome": uneven,
        "dropout that follows earlier outcomes": facts.dropout is not None,
        "correlation that falls with time": t is not None,
        "predictors with another effect between clusters than inside": any(x.context_z == x.context_z for x in facts.predictors),
    }
    numbers = [f"{facts.n} rows for {counted(facts.p, 'coefficient')}"]
    numbers += [f"{g.clusters} clusters of {g.name} (rows correlate by {figures(g.correlation, 2)})" for g in facts.groups]
    return f"None of these was found: {listed([what for what, asked in looked.items() if asked])}. There are {listed(numbers)}."
