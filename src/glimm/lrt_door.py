"""What glimm.lrt asks of its fits."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

from .errors import GlimmError, GlimmWarning
from .fit import Fit
from .fit_levels import LevelsFit
from .fit_parts import PartsFit
from .inference.criteria import without_likelihood
from .inference.likelihood_ratio import LikelihoodRatioTest, likelihood_ratio
from .output import tables
from .records import DEFAULT, GeeRecord, GlmRecord, LevelsRecord


def lrt(small: Any, large: Any) -> LikelihoodRatioTest:
    """Likelihood-ratio test of a fit within a larger one: 2 (log L_large - log L_small).

    small, large : of glimm.glm or glimm.glmm, on the same rows and responses, with the same family, link, weights and offset; the columns
    and random terms of the small one are among those of the large one, in any coding. GLM in GLM, GLM in a mixed model, mixed model in
    mixed model: by maximum likelihood (LMM: reml=False), or by REML where only random terms differ. Fits by quadrature are brought to the
    larger number of points first. Family parameters and dispersions are estimated in each fit, by maximum likelihood.
    The reference is chi-squared; one random effect more, half chi-squared on q and half on q - 1 degrees of freedom, for its variance is
    at its limit; several, chi-squared on q, whose p-value is then too large, and `note` says so.

    Log-likelihoods by Monte Carlo (`fit.llf_error` above 0) are tested where the error of the statistic is at most 0.05.

    Returns a LikelihoodRatioTest: statistic, df, p_value, distribution, models, note, table (a frame of the caller's kind), error of the
    statistic by Monte Carlo; `print` shows it. A larger model with the lower likelihood has statistic 0, with a note and a GlimmWarning.
    Raises GlimmError for fits that are not nested, naming what is not, for different rows, with their numbers, for REML against ML and
    REML with different fixed parts, for a GEE, quasi families and sampling weights, which have no likelihood, and for
    scale= of a family whose likelihood has no dispersion; also where log-likelihoods by Monte Carlo are too uncertain.
    Source: Self and Liang (1987), J. Am. Stat. Assoc. 82, 605-610; Stram and Lee (1994), Biometrics 50, 1171-1177.

    >>> import glimm
    >>> ohio = glimm.load_dataset("ohio")
    >>> small = glimm.glm("resp ~ age", ohio, family="binomial")
    >>> large = glimm.glm("resp ~ age * smoke", ohio, family="binomial")
    >>> test = glimm.lrt(small, large)
    >>> test.df, round(test.statistic, 3)
    (2, 5.202)
    """
    for fit in (small, large):
        if not isinstance(fit, Fit | LevelsFit | PartsFit):
            raise GlimmError(f"lrt takes two fits, the smaller first: glimm.lrt(small, large), not {type(fit).__name__}")
        if isinstance(fit.record, GeeRecord) or (isinstance(fit.record, LevelsRecord) and fit.record.door == "gee"):
            raise GlimmError("lrt: a GEE has no likelihood: use large.compare_score_test(small), large.compare_wald_test(small), or qic()")
        if isinstance(fit.record, GlmRecord) and fit.record.penalty:
            raise GlimmError("lrt: a fit with penalty= is not at the maximum of the likelihood: use penalized_lr_tests()")
        if isinstance(fit.record, GlmRecord) and fit.record.family.scale_known and fit.record.scale_rule != DEFAULT:
            raise GlimmError(
                f"lrt: the dispersion that scale= asks for is no parameter of the likelihood of family {fit.record.family.name!r}, and "
                "would be left out: use large.anova() or large.compare_wald_test(small), which divide by it, or leave scale= out"
            )
        if why := without_likelihood(fit.record):
            instead = (
                "large.compare_wald_test(small)"
                if fit.record.family.likelihood
                else "large.anova(), F tests, or large.compare_wald_test(small)"
            )
            raise GlimmError(f"lrt: {why.partition(', so no')[0]}: use {instead}")
    found = likelihood_ratio(small.record, large.record)
    if "lower likelihood" in found.note:
        warnings.warn(f"lrt: {found.note}", GlimmWarning, stacklevel=2)
    return replace(found, table=tables.from_columns(large.record, found.columns()))


__all__ = ["lrt"]
