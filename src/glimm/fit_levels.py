"""A fitted GEE of a response with levels, ordinal or nominal: a thin face over its record."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn, final

from .design.replay import read_rows
from .diagnosis import Diagnosis
from .diagnostics.check import Checked
from .diagnostics.levels import check_levels as checks_of
from .errors import GlimmError, GlimmWarning, NotYetError
from .fit import LATER, GeeFit
from .fit_coefficients import Coefficients
from .fit_tests import Tests
from .inference.covariance import Inference
from .inference.levels import association, association_names, infer_levels, probabilities
from .inference.quasi_information import Qic, qic_of_levels
from .marginal import levels as averages
from .marginal.effects import asked_of
from .marginal.population import Wish, make_wish
from .output import tables
from .output.estimates import Estimates
from .output.levels import summary_of_levels
from .output.summary import Summary
from .records import LevelsRecord

if TYPE_CHECKING:
    import pandas as pd


@final
class LevelsFit(Coefficients, Tests):
    """A fitted GEE of a response with C levels: family "ordinal" or "multinomial".

    Thresholds are named "1|2" and stand first in `params`; nominal coefficients are named "level: term". Means are probabilities of the
    levels, a column for each. What other fits answer and this one does not is an error that says so.

    record : the frozen record behind it
    """

    record: LevelsRecord

    def __init__(self, record: LevelsRecord, vcov: Any) -> None:
        self.record = record
        self._vcov = vcov

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            if name in LATER:
                raise AttributeError(f"fit.{name} is not in this release: {LATER[name]}")
            if name.startswith("_") or not hasattr(GeeFit, name):
                raise AttributeError(f"a fit to levels has no {name!r}")
            family = self.record.family.name
            if not inspect.isfunction(getattr(GeeFit, name)):
                raise AttributeError(f"fit.{name} is not there for family {family!r}")

            def refused(*_: Any, **__: Any) -> NoReturn:
                raise NotYetError(f"fit.{name} is not there for family {family!r}")

            return refused

    @property
    def model(self) -> str:
        """The model's name in words."""
        what = "cumulative probabilities of ordered levels" if self.record.family.support == "ordered" else "probabilities of levels"
        return f"GEE: average over the population, {what}"

    @cached_property
    def inference(self) -> Inference:
        """Parameters with the covariance asked for at the door."""
        return infer_levels(self.record, self._vcov)

    @property
    def levels(self) -> tuple[Any, ...]:
        """The response's levels in order; of a nominal one the first is the reference."""
        return self.record.design.response.levels

    @property
    def df_resid(self) -> int:
        """Rows used minus parameters."""
        return self.record.design.n - len(self.record.vector)

    @property
    def endog_names(self) -> str:
        """The response's name, as statsmodels calls it."""
        return self.record.design.response.name

    @cached_property
    def fittedvalues(self) -> pd.DataFrame:
        """Fitted probabilities of the rows used, a column for each level, indexed as the caller's frame is."""
        return tables.by_level(self.record, probabilities(self.record).probability)

    @property
    def corr_params(self) -> pd.Series[float]:
        """The log global odds ratio between occasions, of nominal levels their correlation alpha; empty under independence."""
        return tables.by_term(association_names(self.record), self.record.alpha, "corr_params")

    @property
    def parts(self) -> dict[str, Estimates]:
        """parts["association"] : what `corr_params` has, by name, with its standard error; empty under independence."""
        found = association(self.record)
        return {} if found is None else {"association": Estimates(found)}

    def working_corr(self) -> NoReturn:
        """Not of levels, whose indicators have correlations that depend on their probabilities: GlimmError that names corr_params."""
        raise GlimmError(
            "working_corr: levels have no matrix of correlations that is the same for all rows; corr_params has the association between "
            "occasions"
        )

    def qic(self, variant: str = "sas", *, phi0: float | None = None) -> Qic:
        """Criteria to choose between GEE of the same responses, as of other GEE: qic, qicu, cic, rjc, dbar and qicc; dispersion 1.

        variant : "sas", the only one; phi0 : None. gp, agpc and sgpc, which are of numbers, are NaN.
        """
        out = qic_of_levels(self.record, variant, phi0)
        if out.note:
            warnings.warn(f"qic: {out.note}", GlimmWarning, stacklevel=2)
        return out

    def glance(self) -> Any:
        """One row about the whole fit."""
        return tables.deliver(self.record, tables.level_glance(self.record))

    def augment(self) -> Any:
        """One row per row used: row, the response, fitted_<level> for each level."""
        return tables.deliver(self.record, tables.level_rows(self.record, probabilities(self.record).probability))

    def resid(self, kind: str = "response") -> NoReturn:
        """Not of levels: GlimmError that says what there is."""
        raise GlimmError(
            "resid: levels have no residuals; fittedvalues has the probability of each level, augment() the response beside them"
        )

    def predict(
        self,
        newdata: Any = None,
        *,
        scale: str = "response",
        target: str | None = None,
        interval: str | None = None,
        level: float = 0.95,
        offset: Any = None,
        exposure: Any = None,
    ) -> Any:
        """Predicted probabilities, (n, C) with a column for each of `levels`; NaN where a predictor is missing.

        newdata : default the rows used. scale : "response", or "link": of an ordinal model (n,) x'b, the linear predictor without its
        threshold; of a nominal one (n, C - 1), log odds against the reference. offset : as of other fits
        interval : "confidence" gives a frame of row, level, estimate, std_error, conf_low, conf_high; limits of probabilities are made on
        the scale of their logit
        """
        averages.check_levels(self.record, scale, target, interval)
        new = read_rows(self.record.design, newdata, offset, exposure, False)
        found = averages.predict_levels(self.record, self.inference, new, scale, interval, level)
        return tables.level_predictions(self.record, found, interval)

    def effect(
        self,
        variable: str,
        contrast: str = "difference",
        *,
        values: Any = None,
        target: str | None = None,
        by: Any = None,
        population: Any = "all",
        vcov: Any = None,
        errors: str = "delta",
        draws: int = 1000,
        seed: Any = None,
        level: float = 0.95,
    ) -> Any:
        """Average effect of a predictor on the probability of each level, by g-computation; arguments as of other fits, without bootstrap.

        Returns variable, contrast, level, target, subgroups, estimate, std_error, statistic, p_value, conf_low, conf_high, mean_from,
        mean_to, rows: a row for each level, and subgroup. The differences of the levels add up to zero.
        Raises GlimmError for what is no predictor, contrasts and populations that there are not, and errors="bootstrap".
        Source: Long and Freese (2014), Regression Models for Categorical Dependent Variables Using Stata, chapters 7 and 8.
        """
        wish = self._wish("effect", target, by, population, errors, draws, seed, level)
        return tables.from_columns(
            self.record, averages.effect_of_levels(self.record, self._errors(vcov, "effect"), variable, contrast, values, wish)
        )

    def slope(
        self,
        variable: str,
        *,
        target: str | None = None,
        by: Any = None,
        population: Any = "all",
        vcov: Any = None,
        errors: str = "delta",
        draws: int = 1000,
        seed: Any = None,
        level: float = 0.95,
    ) -> Any:
        """Average derivative of the probability of each level in a numeric predictor: a row for each level, which add up to zero.

        Arguments, columns and errors as of `effect`.
        """
        wish = self._wish("slope", target, by, population, errors, draws, seed, level)
        return tables.from_columns(self.record, averages.slope_of_levels(self.record, self._errors(vcov, "slope"), variable, wish))

    def means(
        self,
        variables: Any = None,
        *,
        target: str | None = None,
        by: Any = None,
        population: Any = "all",
        vcov: Any = None,
        errors: str = "delta",
        draws: int = 1000,
        seed: Any = None,
        level: float = 0.95,
    ) -> Any:
        """Average probability of each level: with everybody at each value of a predictor, or at the rows' own values; they add up to 1.

        variables : names of predictors, or a mapping to their values; None for the rows as they are. A row for each level of each setting.
        Other arguments, columns and errors as of `effect`.
        """
        wish = self._wish("means", target, by, population, errors, draws, seed, level)
        return tables.from_columns(
            self.record, averages.means_of_levels(self.record, self._errors(vcov, "means"), asked_of(variables), wish)
        )

    def check(self) -> Diagnosis:
        """What may be wrong with this fit: the search, columns, clusters, rows left out. See `check` of other fits."""
        return Diagnosis(self.model, self.record, self._checked)

    @cached_property
    def _checked(self) -> Checked:
        return checks_of(self.record, self._vcov)

    def summary(self, *, level: float = 0.95) -> Summary:
        """The fit in words and numbers: text, which a prompt shows as it is printed and a notebook as HTML."""
        return summary_of_levels(self.model, self.record, self.inference, level, self._checked.findings)

    def _repr_html_(self) -> str:
        return self.summary()._repr_html_()

    def __repr__(self) -> str:
        d = self.record.design
        return f"<{type(self).__name__}: {d.spec.formula.text}, {self.record.family.name} {d.mean.link.name}, {d.n} rows>"

    def _wish(self, asked: str, target: str | None, by: Any, population: Any, errors: str, draws: int, seed: Any, level: float) -> Wish:
        averages.check_levels(self.record, "response", target, None, asked)
        return make_wish(self.record, asked, target, by, population, errors, draws, seed, level)

    def _errors(self, vcov: Any, asked: str) -> Inference:
        """The errors to use, after a warning where the fit itself did not end well."""
        solution = self.record.solution
        if not self.converged:
            warnings.warn(f"{asked}: of a fit that is not to be used as it is: {solution.message}", GlimmWarning, stacklevel=3)
        if not (vcov is None or isinstance(vcov, str | Mapping)):
            raise GlimmError(
                f"{asked}: vcov must be as at the door, 'robust', 'model' or a correction for few clusters, not {type(vcov).__name__}"
            )
        return self.inference if vcov is None else infer_levels(self.record, vcov)
