"""Analysis of deviance: a test of every term, by change of -2 log L, by Wald or by score tests, of type I, II or III.

Likelihood ratio: (D_small - D_large) / phi is chi-squared; where phi is estimated, by the whole fit, ((D_small - D_large) / df) / phi is F.
A family with parameters of its own has them estimated in every model, and D is -2 log L.
Source: McCullagh and Nelder (1989), Generalized Linear Models, section 2.3; Wald tests of type II: the contrasts of a term that are
uncorrelated with those of the terms that contain it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..design.coordinates import from_named
from ..design.stream import need_rows
from ..errors import GlimmError, NotYetError
from ..estimators.constrained import Point, Restricted, by_likelihood, restricted
from ..estimators.restricted import null_space
from ..kernels import inverse_or_nan
from ..kernels.matrix import Floats
from ..records import AnyRecord, GeeRecord, GlmRecord, LevelsRecord, MixedRecord
from .covariance import Inference
from .glm_covariance import surveyed
from .hypotheses import SINGULAR, Hypothesis, HypothesisTest, denominator, finished, wald, without
from .rao import score_step
from .reference import Reference, model_based, need_likelihood, reference
from .term_spaces import Step, first_space, steps, type_of
from .term_tests import back, score_terms, wald_terms

TESTS = ("lr", "F", "chi2", "wald", "score")
ROUNDING = 1e-9
WORSE = 1e-6


def anova(record: AnyRecord, inference: Inference, type: Any, test: str | None) -> dict[str, list[Any]]:
    """Columns of the table, a row per term.

    Raises GlimmError for another type or test, and NotYetError for what this kind of fit does not have.
    """
    kind = type_of(type, "anova")
    if test is not None and test not in TESTS:
        raise GlimmError(f"anova: test must be one of {', '.join(map(repr, TESTS))}, not {test!r}")
    if isinstance(record, GlmRecord):
        return _of_glm(record, inference, kind, test)
    return _of_others(record, inference, kind, test or "wald")


def _of_glm(record: GlmRecord, inference: Inference, type: int, test: str | None) -> dict[str, list[Any]]:
    by_model = model_based(record, inference.vcov)
    if test is None and type == 1 and surveyed(record.design):
        raise GlimmError("anova: sampling weights have no likelihood, which type 1 compares: use type=2 or type=3, Wald tests")
    if test is None and not by_model and type == 1:
        raise GlimmError(
            f"anova: a test of the likelihood does not use vcov={inference.vcov!r}: write test='lr' for it, or type=3 for Wald tests"
        )
    test = test or ("lr" if by_model else "wald")
    if test == "wald":
        return _wald(record, inference, type)
    need_rows(record.design)
    need_likelihood(record, "anova", "test='wald' with type 2 or 3")
    problem = restricted(record)
    if test == "score":
        own = steps(record, type)
        return table(own, [score_step(problem, step, inference.vcov) for step in own])
    return deviances(problem, type, test)


def _of_others(record: AnyRecord, inference: Inference, type: int, test: str) -> dict[str, list[Any]]:
    """Mixed models and GEE: Wald tests, and score tests of a GEE."""
    what = {GeeRecord: "a GEE", MixedRecord: "a mixed model", LevelsRecord: "a fit to levels"}.get(record.__class__, "this fit")
    if test == "wald":
        return _wald(record, inference, type)
    if test == "score" and isinstance(record, GeeRecord) and type == 3:
        return score_terms(record, inference.vcov, 3)
    instead = {
        GeeRecord: "it has no likelihood: use test='wald', or type=3 with test='score'",
        MixedRecord: "use test='wald', or glimm.lrt(small, large) of two fits by maximum likelihood",
    }.get(record.__class__, "use type=3 with test='wald'")
    raise NotYetError(f"anova: test={test!r} of type {type} is not there for {what}: {instead}")


def _wald(record: AnyRecord, inference: Inference, type: int) -> dict[str, list[Any]]:
    if type == 1:
        raise GlimmError(
            "anova: Wald tests of type 1 would need the covariance of every smaller model: use test='lr' of a GLM, or type=2 or 3"
        )
    if type == 3:
        found = wald_terms(record, inference, 3)
        keep = [k for k, term in enumerate(found["term"]) if term != "Intercept"]
        return {name: [values[k] for k in keep] for name, values in found.items()}
    if isinstance(record, LevelsRecord):
        raise NotYetError("anova: tests of type 2 are not there for a fit to levels: use type=3")
    own = steps(record, 2)
    return table(own, [_wald_step(record, inference, step) for step in own])


def _wald_step(record: AnyRecord, inference: Inference, step: Step) -> HypothesisTest:
    """The contrasts of the term that are uncorrelated with those of the terms that contain it, all zero."""
    if step.df == 0:
        return without("wald", denominator(inference), (), "")
    a = back(record)
    beyond = null_space(step.large.T).T  # of the terms that contain it
    own = null_space(np.column_stack([step.small, beyond.T]).T).T
    if len(beyond):
        cov = inference.work[: len(a), : len(a)]
        if not np.isfinite(cov).all():
            return without("wald", denominator(inference), (), "the coefficients have no standard errors")
        own = own - (_generalised(beyond @ cov @ beyond.T) @ beyond @ cov @ own.T).T @ beyond
    matrix = own @ from_named(record.design.mean)
    return wald(inference, Hypothesis(matrix, np.zeros(len(matrix)), ()), a)


def _generalised(cov: Floats) -> Floats:
    """The inverse of a covariance, a generalised one where it is singular."""
    inverse = inverse_or_nan(cov)
    return inverse if np.isfinite(inverse).all() else np.asarray(np.linalg.pinv(cov, rcond=SINGULAR, hermitian=True))


def deviances(problem: Restricted, type: int, test: str) -> dict[str, list[Any]]:
    """Tests by change of -2 log L; type I has what is left after each term, from the model without any on."""
    record = problem.record
    held = reference(record)
    if test == "F" and held.df is None:
        raise GlimmError(
            f"anova: an F test is for families whose dispersion is estimated beside the coefficients, not {record.family.name!r}: "
            "use test='lr', a chi-squared test"
        )
    if test == "chi2":
        held = Reference(held.phi, None)
    models = _Models(problem)
    own = steps(record, type)
    changes = [models.change(step) for step in own]
    found = [lr_test(change.rise, step.df, held, change.note) for step, change in zip(own, changes, strict=True)]
    columns = table(own, found)
    columns = {"term": columns.pop("term"), "df": columns.pop("df"), "deviance": [c.rise for c in changes], **columns}
    if type != 1:
        return columns
    n = record.design.nobs
    spaces = [first_space(record), *(step.large for step in own)]
    first = {"term": "NULL", "df": 0, "note": ""}
    columns = {name: [first.get(name, np.nan), *values] for name, values in columns.items()}
    left = {"resid_df": [n - space.shape[1] for space in spaces], "resid_deviance": [models.deviance(space) for space in spaces]}
    names = [*columns]
    at = names.index("deviance") + 1
    return {name: columns[name] for name in names[:at]} | left | {name: columns[name] for name in names[at:]}


def lr_test(rise: float, df: int, held: Reference, note: str = "") -> HypothesisTest:
    """The test of a rise of -2 log L on df degrees of freedom."""
    if df == 0:
        return without("lr", held.df, (), note)
    if not held.phi > 0.0:
        return without("lr", held.df, (), note or "the dispersion is zero or unknown, so there is no test")
    return finished("lr", rise / held.phi, df, df, held.df, (), note)


@dataclass(frozen=True, slots=True)
class Change:
    """How far -2 log L rises without a term; note : what was wrong with a fit."""

    rise: float
    note: str


class _Models:
    """Fits of spaces of one model, each made once."""

    def __init__(self, problem: Restricted) -> None:
        self.problem = problem
        self.whole = problem.estimate()
        self.seen: list[tuple[Floats, Point | None, str]] = []

    def of(self, space: Floats) -> tuple[Point | None, str]:
        """The fit of a space, the whole one's where it is all; None and a reason where there is none."""
        p = len(space)
        if space.shape[1] == p:
            return self.whole, ""
        for known, point, note in self.seen:
            if known.shape == space.shape and np.abs(known @ (known.T @ space) - space).max(initial=0.0) < ROUNDING:
                return point, note
        point, note = None, ""
        try:
            point = self.problem.fit_afresh(space, self.whole)
            note = "" if point.converged else "a model without the term did not converge"
        except GlimmError as error:
            note = f"a model without the term has no fit ({error})"
        self.seen.append((space, point, note))
        return point, note

    def change(self, step: Step) -> Change:
        """From the large space to the small one."""
        if step.df == 0:
            return Change(np.nan, "")
        (small, why), (large, other) = self.of(step.small), self.of(step.large)
        note = "; ".join(dict.fromkeys(w for w in (why, other) if w))
        if small is None or large is None:
            return Change(np.nan, note)
        rise = small.value - large.value
        if rise < -WORSE * (1.0 + abs(large.value) * 1e-6):
            note = f"{note}; " * bool(note) + "the model without the term has the higher likelihood: the other's search ended too early"
        return Change(max(rise, 0.0), note)

    def deviance(self, space: Floats) -> float:
        """The deviance of a space, -2 log L for families with parameters of their own."""
        point, _ = self.of(space)
        if point is None:
            return float("nan")
        record = self.problem.record
        return point.value if by_likelihood(record) else record.deviance + point.value - self.whole.value


def table(own: Sequence[Step], found: Sequence[HypothesisTest]) -> dict[str, list[Any]]:
    """Columns of a table of tests."""
    return {
        "term": [step.term for step in own],
        "statistic": [test.statistic for test in found],
        "df": [step.df if test.df == 0 else test.df for step, test in zip(own, found, strict=True)],
        "df_denominator": [np.nan if test.df_denominator is None else test.df_denominator for test in found],
        "p_value": [test.p_value for test in found],
        "note": ["; ".join(said for said in (step.note, test.note) if said) for step, test in zip(own, found, strict=True)],
    }
