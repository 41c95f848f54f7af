"""Tests of hypotheses about a fit's coefficients, and what a GEE answers beside. Thin faces over the room inference/."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from .errors import GlimmError, GlimmWarning
from .inference import quasi_information, rao, term_tests
from .inference.anova import anova
from .inference.covariance import Inference
from .inference.hypotheses import HypothesisTest, read, wald
from .inference.quasi_information import Qic
from .inference.score_tests import compare_score
from .output import tables
from .records import AnyRecord, GeeRecord, GlmRecord

if TYPE_CHECKING:
    from .fit import GeeFit, GlmFit


class Tests(ABC):
    """Wald tests, of every fit."""

    record: AnyRecord

    @property
    @abstractmethod
    def inference(self) -> Inference:
        """Coefficients with the covariance asked for at the door."""

    def wald_test(self, hypothesis: Any, value: Any = None) -> HypothesisTest:
        """Test of linear hypotheses about the coefficients, with the fit's own covariance.

        hypothesis : text, "age = 0, smoke = age:smoke" (numbers, +, -, *, / and names of coefficients; a name with a space in backticks);
        names of coefficients or terms, "race" or ["age", "smoke"], all of whose coefficients are `value`; or a matrix L with a column
        per coefficient for L b = value. A term of a nominal response is its coefficients for all levels.
        value : one number or one per row, default 0.
        Chi-squared, or F where coefficients have a t reference. Where the covariance of the contrasts is singular its generalised
        inverse is taken, the degrees of freedom are its rank, and `note` says so.

        Returns a HypothesisTest: statistic, df, df_denominator (None for chi-squared), p_value, distribution, hypothesis, note.
        Raises GlimmError for an unknown name, rows that contradict each other, and a matrix of another shape.

        >>> import glimm
        >>> fit = glimm.gee("resp ~ age * smoke", glimm.load_dataset("ohio"), groups="id", family="binomial")
        >>> test = fit.wald_test("smoke = 0, age:smoke = 0")
        >>> test.df, round(test.statistic, 4), round(test.p_value, 4)
        (2, 2.8688, 0.2383)
        """
        names = self.inference.names
        terms = term_tests.columns_of_terms(self.record, names)
        read_as = read(hypothesis, value, names, terms, self.record.design.mean.dropped)
        return wald(self.inference, read_as, term_tests.back(self.record))

    def wald_test_terms(self, type: int = 3) -> Any:
        """Wald tests of every term, a row each: term, statistic, df, df_denominator, p_value, note.

        type : 3, the hypotheses of SAS and SPSS: contrasts between the levels of a term's factors, averaged with equal weights over the
        levels of the factors that it interacts with, numeric predictors of interactions at 0. The coding of factors makes no difference.
        Thresholds of an ordinal response are no term; a term of a nominal one is tested over all levels together.
        What empty cells or columns left out for rank do not let estimate is left out of a test, and `note` says so.
        Raises GlimmError for another type.
        Source: Searle, Speed and Milliken (1980), Am. Stat. 34, 216-221.

        >>> import glimm
        >>> ohio = glimm.load_dataset("ohio")
        >>> fit = glimm.gee("resp ~ C(age) * smoke", ohio, groups="id", family="binomial")
        >>> fit.wald_test_terms()["df"].tolist()
        [1, 3, 1, 3]
        """
        return tables.from_columns(self.record, term_tests.wald_terms(self.record, self.inference, type))

    def anova(self, type: int | str = 3, test: str | None = None) -> Any:
        """Analysis of deviance: a test of every term but the constant, a row each.

        type : 3, contrasts averaged over the other factors, whatever their coding (SAS, SPSS; car's with contr.sum); 2, each term after
        all terms that do not contain it (car's default); 1, in the order of the formula (R's anova), with what is left after each term.
        test : "lr", the change of the deviance without the term: F where the dispersion is estimated beside the coefficients (gaussian,
        gamma, inverse_gaussian, tweedie with given power; that of the whole fit, Pearson / (n - p)), else chi-squared. A family with
        parameters of its own (k of negative_binomial) has them estimated in every model, and `deviance` is of -2 log L. "F" and "chi2" ask
        for one of these. "wald": with the fit's own covariance. "score": Rao's test, at the model without the term.
        Default: "lr" of a GLM with vcov="model", else "wald". Mixed models and GEE have Wald tests of type 2 and 3, a GEE score tests too.

        Returns a frame: term, df, deviance (its change; "lr"), resid_df, resid_deviance (type 1), statistic, df_denominator (of F),
        p_value, note. What columns left out for rank do not let test is NaN, and `note` says why; models are those of the columns that
        the fit has, on the rows that it used.
        Raises GlimmError for another type or test, for Wald tests of type 1, and for F where there is no dispersion; NotYetError for
        what a fit does not have.
        Source: McCullagh and Nelder (1989), Generalized Linear Models, section 2.3; Nelder (1977), J. R. Stat. Soc. A 140, 48-77.

        >>> import glimm
        >>> ohio = glimm.load_dataset("ohio")
        >>> fit = glimm.glm("resp ~ C(age) * smoke", ohio, family="binomial")
        >>> fit.anova()[["term", "df", "deviance"]].round(3).values.tolist()
        [['C(age)', 3, 5.033], ['smoke', 1, 4.716], ['C(age):smoke', 3, 1.314]]
        """
        return tables.from_columns(self.record, anova(self.record, self.inference, type, test))


class GlmTests(Tests):
    """Score tests of a GLM."""

    record: GlmRecord

    def score_test(self, hypothesis: Any, value: Any = None) -> HypothesisTest:
        """Rao's score test of linear hypotheses about the coefficients: the model is fitted under them, and its score is looked at.

        hypothesis, value : as in `wald_test`.
        The dispersion is that of this fit (as in R), and with it the reference is F, as in `wald_test`; with vcov="HC0" or clusters the
        variance of the score is the robust one. It needs no finite estimate of what it tests: use it under separation.
        Raises GlimmError as `wald_test` does, NotYetError for other robust covariances.
        Source: Rao (1948), Proc. Camb. Phil. Soc. 44, 50-57; Boos (1992), Am. Stat. 46, 327-333.

        >>> import glimm
        >>> fit = glimm.glm("resp ~ age * smoke", glimm.load_dataset("ohio"), family="binomial")
        >>> test = fit.score_test("smoke = 0, age:smoke = 0")
        >>> test.df, round(test.statistic, 3)
        (2, 5.309)
        """
        names = self.inference.names
        terms = term_tests.columns_of_terms(self.record, names)
        read_as = read(hypothesis, value, names, terms, self.record.design.mean.dropped)
        return rao.score_of_hypothesis(self.record, read_as, self.inference.vcov)

    def score_test_terms(self, type: int | str = 3) -> Any:
        """Score tests of every term but the constant: `anova(type, test="score")`.

        >>> import glimm
        >>> fit = glimm.glm("resp ~ age * smoke", glimm.load_dataset("ohio"), family="binomial")
        >>> fit.score_test_terms()["statistic"].round(3).tolist()
        [4.148, 5.107, 0.41]
        """
        return self.anova(type, "score")

    def compare_score_test(self, small: GlmFit) -> HypothesisTest:
        """Score test of a smaller fit within this one, at the smaller one's estimates; its dispersion is this fit's.

        small : a GLM of the same rows, family and link whose columns are combinations of this one's.
        Returns a HypothesisTest. Raises GlimmError for another fit, saying what differs.

        >>> import glimm
        >>> ohio = glimm.load_dataset("ohio")
        >>> large = glimm.glm("resp ~ age * smoke", ohio, family="binomial")
        >>> small = glimm.glm("resp ~ age", ohio, family="binomial")
        >>> round(large.compare_score_test(small).statistic, 3)
        5.309
        """
        return rao.compare_score_of_glm(self.record, _glm(small, "compare_score_test"), self.inference.vcov)

    def compare_wald_test(self, small: GlmFit) -> HypothesisTest:
        """Wald test of a smaller fit within this one: of the restrictions that lead from this one's columns to the smaller one's.

        small : a GLM of the same rows, family and link. The covariance is this fit's, of the vcov asked for at the door.
        Returns a HypothesisTest. Raises GlimmError for a fit that is not nested in this one.
        """
        return term_tests.compare_wald(self.record, _glm(small, "compare_wald_test"), self.inference)


class GeeTests(Tests):
    """Score tests and criteria, of a GEE."""

    record: GeeRecord

    def score_test_terms(self, type: int = 3) -> Any:
        """Generalised score tests of every term but the constant, a row each: term, statistic, df, p_value, note.

        type : 3, as in `wald_test_terms`. The model is fitted again without each term's contrasts, with correlations and dispersion of
        its own. With vcov="model" the working correlation is trusted in these tests too.
        Source: Rotnitzky and Jewell (1990), Biometrika 77, 485-497; Boos (1992), Am. Stat. 46, 327-333.

        >>> import glimm
        >>> ohio = glimm.load_dataset("ohio")
        >>> fit = glimm.gee("resp ~ age * smoke", ohio, groups="id", family="binomial", corr="independence")
        >>> fit.score_test_terms().query("term == 'age:smoke'")["statistic"].round(4).tolist()
        [0.6419]
        """
        return tables.from_columns(self.record, term_tests.score_terms(self.record, self.inference.vcov, type))

    def compare_score_test(self, small: GeeFit) -> HypothesisTest:
        """Generalised score test of a smaller fit within this one, at the smaller one's estimates.

        small : a GEE of the same rows, clusters, family and working correlation whose columns are combinations of this one's.
        Returns a HypothesisTest. Raises GlimmError for another fit, saying what differs.

        >>> import glimm
        >>> ohio = glimm.load_dataset("ohio")
        >>> large = glimm.gee("resp ~ age * smoke", ohio, groups="id", family="binomial")
        >>> small = glimm.gee("resp ~ age + smoke", ohio, groups="id", family="binomial")
        >>> round(large.compare_score_test(small).statistic, 6)
        0.642268
        """
        return compare_score(self.record, _gee(small, "compare_score_test"), self.inference.vcov)

    def compare_wald_test(self, small: GeeFit) -> HypothesisTest:
        """Wald test of a smaller fit within this one: of the restrictions that lead from this one's columns to the smaller one's.

        small : a GEE of the same rows, family and link; its working correlation makes no difference.
        Returns a HypothesisTest. Raises GlimmError for a fit that is not nested in this one.
        """
        return term_tests.compare_wald(self.record, _gee(small, "compare_wald_test"), self.inference)

    def qic(self, variant: str = "sas", *, phi0: float | None = None) -> Qic:
        """Criteria to choose between GEE of the same responses: the smaller qic, the better; float() of the answer is the qic.

        variant : where the dispersion stands. "sas": 1 everywhere, for binomial and Poisson responses. "common": both terms divided by one
        dispersion, phi0, or that of the independence fit of this model; for families that estimate a dispersion (gaussian, gamma,
        inverse_gaussian, tweedie) and counts that vary more than their family says: the same phi0 for all fits, that of the largest model.
        "pan": this fit's own dispersion, which differs between working correlations, so that these cannot be compared by it.
        "geepack": as `geepack::QIC`. phi0 : of "common" only.

        Returns a named tuple: qic; qicu = -2 Q + 2 p (to choose predictors); cic, the trace in qic (to choose a working correlation);
        rjc, dbar; gp, agpc, sgpc; qicc; variant; note. What is not defined is NaN, with a GlimmWarning that says why.
        None of them says that a model is right: estimates stay consistent under any working correlation, and a smaller criterion is a
        hope for smaller standard errors.
        Source: Pan (2001), Biometrics 57, 120-125; Hin and Wang (2009), Stat. Med. 28, 642-658.

        >>> import glimm
        >>> fit = glimm.gee("resp ~ age * smoke", glimm.load_dataset("ohio"), groups="id", family="binomial")
        >>> round(float(fit.qic()), 4), round(fit.qic().cic, 4)
        (1830.3483, 5.4341)
        """
        out = quasi_information.qic(self.record, variant, phi0)
        if out.note:
            warnings.warn(f"qic: {out.note}", GlimmWarning, stacklevel=2)
        return out


def _glm(small: Any, what: str) -> GlmRecord:
    record = getattr(small, "record", None)
    if not isinstance(record, GlmRecord):
        raise GlimmError(f"{what} takes a fit of glimm.glm, not {type(small).__name__}")
    return record


def _gee(small: Any, what: str) -> GeeRecord:
    record = getattr(small, "record", None)
    if not isinstance(record, GeeRecord):
        raise GlimmError(f"{what} takes a fit of glimm.gee, not {type(small).__name__}")
    return record
