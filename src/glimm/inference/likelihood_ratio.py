"""The likelihood-ratio test of one fit within another: 2 (log L_large - log L_small) against chi-squared.

A variance that the small model does not have lies on the edge of what it may be: one such is half chi-squared on q and half on q - 1
degrees of freedom; of several no mixture is known in general, and chi-squared on q gives p-values that are too large.
Log-likelihoods by Monte Carlo with errors e give a statistic with error 2 sqrt(e_small^2 + e_large^2), which must be small.
Extra zeros that the small model does not have are at the edge as well, a share of 0.
Source: Self and Liang (1987), J. Am. Stat. Assoc. 82, 605-610; Stram and Lee (1994), Biometrics 50, 1171-1177.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import GlimmError
from ..records import GlmRecord, LevelsRecord, MixedRecord, PartsRecord
from ..text import figures
from ..text import p_value as p_text
from .comparable import laplace, reml, same, same_functions, same_points
from .criteria import criteria, llf_error, n_parameters
from .random_nested import new_effects
from .score_tests import in_columns, inside

WITH = {"zero": "extra zeros", "dispersion": "a model of the dispersion"}
WORSE = 1e-6
ROUNDING, EPSILON = 1e-9, 1e-13
MOST_ERROR, WITHIN = 0.05, 3.0
Likelihood = GlmRecord | MixedRecord | LevelsRecord | PartsRecord


@dataclass(frozen=True, slots=True)
class Model:
    """One of the two fits."""

    name: str
    formula: str
    parameters: int
    llf: float


@dataclass(frozen=True, slots=True)
class LikelihoodRatioTest:
    """A likelihood-ratio test.

    statistic : 2 (log L_large - log L_small); df : parameters that the large model has beyond the small one; p_value
    distribution : "chi2", or "mixture", 0.5 chi2(df - 1) + 0.5 chi2(df); models : the two fits; note : what must be known
    table : the same as a frame with a row per model: model, formula, parameters, llf, df, statistic, p_value
    error : Monte-Carlo standard error of the statistic, 0 where the log-likelihoods are exact
    """

    statistic: float
    df: int
    p_value: float
    distribution: str
    models: tuple[Model, Model]
    note: str = ""
    table: Any = None
    error: float = 0.0

    def columns(self) -> dict[str, Any]:
        """As columns of a table."""
        small, large = self.models
        return {
            "model": [small.name, large.name],
            "formula": [small.formula, large.formula],
            "parameters": [small.parameters, large.parameters],
            "llf": [small.llf, large.llf],
            "df": [np.nan, float(self.df)],
            "statistic": [np.nan, self.statistic],
            "p_value": [np.nan, self.p_value],
        }

    def __str__(self) -> str:
        reference = f"0.5 chi2({self.df - 1}) + 0.5 chi2({self.df})" if self.distribution == "mixture" else f"chi2({self.df})"
        p = p_text(self.p_value)
        lines = ["likelihood-ratio test"]
        for role, model in zip(("small", "large"), self.models, strict=True):
            lines.append(f"  {role}: {model.name}, {model.formula}: {model.parameters} parameters, log-likelihood {model.llf:.6g}")
        lines.append(f"{reference} = {self.statistic:.4g}, p {p if p[0] in '<>' else f'= {p}'}")
        return "\n".join([*lines, *([f"note: {self.note}"] if self.note else [])])

    def __repr__(self) -> str:
        return str(self)


def likelihood_ratio(small: Likelihood, large: Likelihood) -> LikelihoodRatioTest:
    """The test; fits by quadrature are brought to the larger number of points first.

    Raises GlimmError where the fits are not of the same response, rows, family, link, weights and offset, where the small one is not
    nested in the large one, saying by what, and where their likelihoods are not of the same kind.
    """
    _same_data(small, large)
    _same_kind(small, large)
    in_columns(large, small, "lrt")
    zeros = _parts_nested(small, large)
    added = new_effects(small.design.mean.random, large.design.mean.random)
    df = n_parameters(large) - n_parameters(small)
    if df <= 0:
        raise GlimmError(
            f"lrt: the second model must have more parameters than the first, which is nested in it (they have {n_parameters(small)} and "
            f"{n_parameters(large)}): give the smaller model first, models of the same size are the same"
        )
    found: list[Likelihood] = [small, large]
    if isinstance(small, MixedRecord) and isinstance(large, MixedRecord):
        found = [r for r in same_points([small, large]) if isinstance(r, MixedRecord)]
    values = [criteria(record)["llf"] for record in found]
    statistic, error = 2.0 * (values[1] - values[0]), _error(found)
    notes = _notes(found)
    if error > 0.0:
        notes.append(f"the log-likelihoods are by Monte Carlo: the statistic has a standard error of {figures(error, 2)}")
    if statistic < -WORSE * (1.0 + abs(values[0]) * 1e-6) - WITHIN * error:
        notes.append(f"the larger model has the lower likelihood, by {-0.5 * statistic:.3g}: its search ended before the maximum")
    if statistic < ROUNDING + EPSILON * abs(values[0]):
        statistic = 0.0
    distribution, said = _zeros(df) if zeros else _distribution(added, df)
    notes = ([said] if said else []) + notes
    models = [Model(name(r), r.design.spec.formula.text, n_parameters(r), llf) for r, llf in zip(found, values, strict=True)]
    p, said = _p_value(statistic, df, distribution), "; ".join(notes)
    return LikelihoodRatioTest(statistic, df, p, distribution, (models[0], models[1]), said, error=error)


def name(record: Likelihood) -> str:
    """What a fit is called."""
    if isinstance(record, PartsRecord):
        return "GLM with " + " and ".join(WITH[part] for part in record.design.parts if part != "mean")
    if not isinstance(record, MixedRecord):
        return "GLM"
    if record.linear:
        return f"LMM ({'REML' if record.reml else 'ML'})"
    return f"GLMM ({'Laplace' if record.points == 1 else f'{record.points} points'})"


def _error(found: Sequence[Likelihood]) -> float:
    """Monte-Carlo standard error of the statistic; raises GlimmError where it is too large for a test."""
    small, large = (llf_error(record) for record in found)
    error = 2.0 * math.hypot(small, large)
    if error <= MOST_ERROR:
        return error
    blocks = [r.stochastic.block for r in found if isinstance(r, MixedRecord) and r.stochastic is not None and llf_error(r) != 0.0]
    raise GlimmError(
        f"lrt: the log-likelihoods are by Monte Carlo with standard errors {figures(small, 2)} and {figures(large, 2)}, so the statistic "
        f"has one of {figures(error, 2)}, above {MOST_ERROR:g}, and seeds do not make the errors cancel: fit both with "
        f"control=glimm.Control(exact_block={max(blocks)}), which makes them exact where {max(blocks):,} effects can be factorised, "
        "or with more probes, or test coefficients by large.wald_test(...)"
    )


def _p_value(statistic: float, df: int, distribution: str) -> float:
    from scipy.special import chdtrc

    if not np.isfinite(statistic):
        return float("nan")
    whole = float(chdtrc(df, statistic))
    if distribution != "mixture":
        return whole
    less = float(chdtrc(df - 1, statistic)) if df > 1 else float(statistic <= 0.0)
    return 0.5 * whole + 0.5 * less


def _distribution(added: int, df: int) -> tuple[str, str]:
    """The reference and what is to be said of it; added : random effects that the small model does not have."""
    if added == 0:
        return "chi2", ""
    if added == 1:
        return "mixture", "a variance that is zero in the small model is at its limit: half chi-squared on each of two degrees of freedom"
    return "chi2", (f"{added} variances are zero in the small model, at their limits: the p-value of chi-squared on {df} is too large")


def _zeros(df: int) -> tuple[str, str]:
    """The same of extra zeros that the small model does not have."""
    said = "the share of extra zeros is 0 in the small model, at its limit"
    if df == 1:
        return "mixture", f"{said}: half chi-squared on 1 degree of freedom, half at 0"
    return "chi2", f"{said}: the p-value of chi-squared on {df} is too large"


def _parts_nested(small: Likelihood, large: Likelihood) -> bool:
    """Whether the large model has extra zeros and the small one has none; raises GlimmError where a part is not nested."""
    mine, theirs = small.design.parts, large.design.parts
    for part in mine:
        if part not in theirs:
            raise GlimmError(f"lrt: the first model has {WITH[part]} and the second has not: give the smaller model first")
        if part != "mean":
            try:
                inside(theirs[part], mine[part], "lrt")
            except GlimmError as error:
                raise GlimmError(f"{error}, in {part}=") from None
    return "zero" in theirs and "zero" not in mine


def _notes(records: Any) -> list[str]:
    small, large = records
    out = []
    if laplace(small) != laplace(large):
        out.append("one likelihood is the Laplace approximation and the other is not: fit both with the same points=, more than 1")
    for role, record in (("small", small), ("large", large)):
        if record.solution.code == "not_converged":
            out.append(f"the {role} model has not converged: {record.solution.message}")
        if record.solution.code == "separated":
            out.append(f"the {role} model is separated, its likelihood is the limit that it rises to")
    if small.solution.code == "boundary" and isinstance(small, MixedRecord):
        out.append("a variance of the small model is zero itself, which the reference does not take into account")
    return out


def _same_data(small: Likelihood, large: Likelihood) -> None:
    a, b = small.design, large.design
    if not np.array_equal(a.rows, b.rows):
        lost = len(np.setdiff1d(a.rows, b.rows)), len(np.setdiff1d(b.rows, a.rows))
        raise GlimmError(
            f"lrt: the fits are of different rows, {a.n} in the first and {b.n} in the second ({lost[0]} only in the "
            f"first, {lost[1]} only in the second): fit both to the rows that are complete for both"
        )
    if not np.array_equal(a.y, b.y):
        raise GlimmError(f"lrt: the fits are of different responses ({a.response.name} and {b.response.name}): they must be the same")
    weighted = a.weights is not None and b.weights is not None
    kinds = a.weights_kind == b.weights_kind or not weighted
    for what, mine, theirs in (("weights", a.weights, b.weights), ("trials", a.trials, b.trials)):
        if not same(mine, theirs) or not kinds:
            raise GlimmError(f"lrt: the fits have different {what}: they must be the same")
    offsets = [np.zeros(len(a.y)) if d.mean.offset is None else d.mean.offset for d in (a, b)]
    if not np.allclose(offsets[0], offsets[1], rtol=1e-9, atol=1e-12):
        raise GlimmError("lrt: the fits have different offsets: they must be the same")


def _same_kind(small: Likelihood, large: Likelihood) -> None:
    kinds = [(r.family.name, r.family.fixed, r.design.mean.link.name) for r in (small, large)]
    if kinds[0] != kinds[1] or not same_functions(small, large):
        shown = " and ".join(f"{family} {link}" for family, _, link in kinds)
        raise GlimmError(f"lrt: the fits have different families or links ({shown}): they must be the same")
    rules = [r.scale_rule for r in (small, large) if isinstance(r, GlmRecord) and r.scale_rule.kind == "fixed"]
    if len(rules) == 1 or len(set(rules)) > 1:
        raise GlimmError("lrt: the dispersion is given in one fit (scale=) and is another in the other: it must be the same")
    if isinstance(small, MixedRecord) and not isinstance(large, MixedRecord):
        raise GlimmError("lrt: a mixed model is not nested in a GLM: give the smaller model first")
    if reml(small) != reml(large):
        raise GlimmError("lrt: one fit is by REML and the other by maximum likelihood: fit the mixed models with reml=False")
    if reml(small) and not _same_columns(small, large):
        raise GlimmError(
            "lrt: REML likelihoods of models with different fixed parts are of different contrasts of the data: fit both with reml=False"
        )


def _same_columns(small: Likelihood, large: Likelihood) -> bool:
    """REML likelihoods are of the columns as they are coded."""
    a, b = small.design.mean, large.design.mean
    return a.names == b.names and np.allclose(a.matrix.dense(), b.matrix.dense(), rtol=1e-9, atol=1e-12)
