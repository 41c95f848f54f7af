"""A fitted GEE or GLM of a response with levels, ordinal or nominal: a thin face over its record."""

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
from .fit import LATER, GeeFit, GlmFit
from .fit_coefficients import Coefficients
from .fit_tests import Tests
from .inference.covariance import Inference
from .inference.criteria import NO_LIKELIHOOD, criteria
from .inference.level_draws import simulate_levels
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
    from numpy.typing import NDArray

LIKELIHOOD = ("llf", "aic", "bic", "deviance")


@final
class LevelsFit(Coefficients, Tests):
    """A fitted GEE or GLM of a response with C levels: family "ordinal" or "multinomial".

    Thresholds are named "1|2" and stand first in `params`; nominal coefficients are named "level: term". Means are probabilities of the
    levels, a column for each. What other fits answer and this one does not is an error that says so: of a GEE `llf`, `aic`, `bic`,
    `deviance` and `simulate`, of a GLM what is about clusters.

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
            if name.startswith("_"):
                raise AttributeError(f"a fit to levels has no {name!r}")
            if name in LIKELIHOOD:
                raise AttributeError(NO_LIKELIHOOD)
            kind = GeeFit if self.record.door == "gee" else GlmFit
            if not hasattr(kind, name):
                raise AttributeError(f"a {self.record.door.upper()} of levels has no {name!r}")
            family = self.record.family.name
            if not inspect.isfunction(getattr(kind, name)):
                raise AttributeError(f"fit.{name} is not there for family {family!r}")

            def refused(*_: Any, **__: Any) -> NoReturn:
                raise NotYetError(f"fit.{name} is not there for family {family!r}")

            return refused

    @property
    def model(self) -> str:
        """The model's name in words."""
        what = "cumulative probabilities of ordered levels" if self.record.family.support == "ordered" else "probabilities of levels"
        return f"GLM: rows independent, {what}" if self.record.door == "glm" else f"GEE: average over the population, {what}"

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
        """Rows used minus parameters; a frequency weight counts its row so many times."""
        return self.record.design.nobs - len(self.record.vector)

    @property
    def llf(self) -> float:
        """The log-likelihood of a GLM, weights multiplying that of each row; a GEE has none (AttributeError)."""
        return self._criteria["llf"]

    @property
    def aic(self) -> float:
        """-2 llf + 2 parameters."""
        return self._criteria["aic"]

    @property
    def bic(self) -> float:
        """-2 llf + log(nobs) parameters."""
        return self._criteria["bic"]

    @property
    def deviance(self) -> float:
        """-2 llf of a GLM."""
        return self._criteria["deviance"]

    @property
    def _criteria(self) -> dict[str, float]:
        return criteria(self.record) | {"deviance": self.record.deviance}

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
        """The log global odds ratio between occasions, of nominal levels their correlation alpha; none under independence; not of a GLM."""
        self._only_gee("corr_params")
        return tables.by_term(association_names(self.record), self.record.alpha, "corr_params")

    @property
    def parts(self) -> dict[str, Estimates]:
        """parts["association"] : what `corr_params` has, by name, with its standard error; empty under independence and of a GLM."""
        found = association(self.record)
        return {} if found is None else {"association": Estimates(found)}

    def working_corr(self) -> NoReturn:
        """Not of levels, whose indicators have correlations that depend on their probabilities: GlimmError that names corr_params."""
        self._only_gee("working_corr")
        raise GlimmError(
            "working_corr: levels have no matrix of correlations that is the same for all rows; corr_params has the association between "
            "occasions"
        )

    def qic(self, variant: str = "sas", *, phi0: float | None = None) -> Qic:
        """Criteria to choose between GEE of the same responses, as of other GEE: qic, qicu, cic, rjc, dbar and qicc; dispersion 1.

        variant : "sas", the only one; phi0 : None. gp, agpc and sgpc, which are of numbers, are NaN.
        """
        self._only_gee("qic")
        out = qic_of_levels(self.record, variant, phi0)
        if out.note:
            warnings.warn(f"qic: {out.note}", GlimmWarning, stacklevel=2)
        return out

    def glance(self) -> Any:
        """One row about the whole fit."""
        return tables.deliver(self.record, tables.level_glance(self.record, self._criteria if self.record.door == "glm" else {}))

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

    def simulate(self, n: int = 1, seed: Any = None) -> NDArray[Any]:
        """(rows used, n) levels drawn from the fitted probabilities of a GLM, one simulation a column; GlimmError for a GEE.

        n : simulations. seed : a whole number or a numpy Generator gives the same draws again; None does not.

        >>> import glimm
        >>> data = {"y": ["low", "mid", "high", "low", "mid", "high", "mid", "low"], "x": [0, 1, 2, 0, 1, 1, 2, 2]}
        >>> fit = glimm.glm("y ~ x", data, family="multinomial")
        >>> fit.simulate(3, seed=1).shape
        (8, 3)
        """
        return simulate_levels(self.record, n, seed)

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

    def _only_gee(self, name: str) -> None:
        if self.record.door == "glm":
            raise AttributeError(f"a GLM of levels has no {name!r}: its rows are independent")

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
                f"{asked}: vcov must be as at the door, such as 'model', 'robust' (GEE) or 'HC0' (GLM), not {type(vcov).__name__}"
            )
        return self.inference if vcov is None else infer_levels(self.record, vcov)
