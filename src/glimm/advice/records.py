"""What is advised: statements, each with the numbers it rests on, answers to questions with the calls to write."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

Question = Literal["individual", "population"]
Evidence = Mapping[str, float | int | str]

ASKS: Final[dict[Question, str]] = {
    "individual": "what a predictor does for one cluster",
    "population": "what a predictor does for the average over the population",
}


@dataclass(frozen=True, slots=True)
class Statement:
    """A sentence and what it rests on. code : a stable name; evidence : its numbers by name."""

    code: str
    text: str
    evidence: Evidence = field(default_factory=dict)

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Answer:
    """A model for one question, or for both where they have the same answer.

    model : "glm", "glmm" or "gee"; name : the model in words; call : Python source, `data` being the data; then : a question to its fit
    """

    questions: tuple[Question, ...]
    model: Literal["glm", "glmm", "gee"]
    name: str
    call: str
    then: str
    reasons: tuple[Statement, ...]
