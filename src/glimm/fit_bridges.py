"""What every fit answers about averages: effects, slopes, means, and coefficients from one pupil to the class and back.

Thin faces: each is a question put to the room marginal/.
"""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from .errors import GlimmError, GlimmWarning
from .inference.covariance import Inference, infer
from .marginal import effects
from .marginal.coefficients import conditional_coefficients, marginal_coefficients
from .marginal.population import make_wish
from .output import tables
from .records import Record


class Bridges(ABC):
    """Between what is true of one cluster and what is true of their average."""

    record: Record

    @property
    @abstractmethod
    def inference(self) -> Inference:
        """Coefficients with the covariance asked for at the door."""

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
        """Average effect of a predictor by g-computation: everybody is predicted with each of two values, and the averages are contrasted.

        contrast : "difference" (of risks, of means), "ratio", "odds_ratio" (of the averages)
        values : default each level against the reference, of two numbers the larger against the smaller, of other numbers x + 1 against
        x. A pair (from, to); "+5" or 5 adds; "sd" adds a standard deviation; "pairwise" or "sequential" for levels.
        target : of a mixed model "marginal" (default: averaged over its clusters' distribution), "typical" (effects at zero) or
        "conditional" (each row with its own cluster's predicted effect, uncertain too, given theta); GLM and GEE have "marginal" only
        by : column or columns of subgroups, each averaged over its own rows: predictors, or groupings of the fit
        population : "all" rows used; "treated", those with the value gone to; "untreated", the value come from; or a table of other people
        Rows count by their weights and trials; those of a table count alike.
        vcov : errors of the estimates, by default as at the door. errors : "delta", the rows as they are; "sampled", they are a sample of
        independent clusters (robust, without small-sample factors); "bootstrap", clusters drawn again `draws` times (percentile limits),
        with this seed
        Of a GEE whose degrees of freedom are of each contrast (vcov={"type": ..., "df": "pan_wall"}) a difference of means that are linear
        in the coefficients (identity link) has its own; all else has those of clusters - coefficients.

        Returns variable, contrast, target, subgroups, estimate, std_error, statistic, p_value, conf_low, conf_high, mean_from, mean_to,
        rows. Ratios have statistic and limits on the log scale. Raises GlimmError for what is no predictor, levels without rows,
        and ratios of averages that are not positive (odds ratios: between 0 and 1).
        Source: Robins (1986), Math. Modelling 7, 1393-1512; Terza (2020), Stata J. 20, 5-26 (covariates as a sample).

        >>> import glimm
        >>> fit = glimm.gee("resp ~ age * smoke", glimm.load_dataset("ohio"), groups="id", family="binomial")
        >>> fit.effect("smoke")[["contrast", "estimate", "std_error"]].round(4).values.tolist()
        [['1 - 0', 0.0358, 0.0241]]
        """
        wish = make_wish(self.record, "effect", target, by, population, errors, draws, seed, level)
        return tables.from_columns(self.record, effects.effect(self.record, self._errors(vcov, "effect"), variable, contrast, values, wish))

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
        """Average derivative of the mean in a numeric predictor, through all terms that it is in.

        Arguments as in `effect`. Returns variable, contrast, target, subgroups, estimate, std_error, statistic, p_value, conf_low,
        conf_high, rows; a row per subgroup. Raises GlimmError for a predictor that is taken as levels, and where the mean jumps.
        Derivatives by five points a thousandth apart. Source: Bartus (2005), Stata J. 5, 309-329 (average marginal effects).

        >>> import glimm
        >>> fit = glimm.glm("resp ~ age * smoke", glimm.load_dataset("ohio"), family="binomial")
        >>> fit.slope("age")["estimate"].round(5).tolist()
        [-0.01454]
        """
        wish = make_wish(self.record, "slope", target, by, population, errors, draws, seed, level)
        return tables.from_columns(self.record, effects.slope(self.record, self._errors(vcov, "slope"), variable, wish))

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
        """Average predicted means: with everybody at each level of a predictor, or at the rows' own values where none is named.

        variables : None, the name of one with levels, several in a list, or {"age": [0, 1], "smoke": None} with the values, None for all
        levels; every combination is shown. Other arguments as in `effect`.
        Returns the variables, target, subgroups, estimate, std_error, conf_low, conf_high (on the scale of the link, carried back), rows.
        Raises GlimmError for a number without values, and for levels without rows.
        Source: Lane and Nelder (1982), Biometrics 38, 613-621 (predictive margins).

        >>> import glimm
        >>> fit = glimm.glm("resp ~ age * smoke", glimm.load_dataset("ohio"), family="binomial")
        >>> fit.means("smoke")["estimate"].round(4).tolist()
        [0.1393, 0.1751]
        """
        wish = make_wish(self.record, "means", target, by, population, errors, draws, seed, level)
        return tables.from_columns(self.record, effects.means(self.record, self._errors(vcov, "means"), effects.asked_of(variables), wish))

    def marginal_params(self, *, level: float = 0.95) -> Any:
        """Coefficients on the scale of averages over clusters: term, estimate, std_error, statistic, p_value, conf_low, conf_high, and
        zeger_liang_albert, the closed form beside them (random intercepts with logit, probit or log link; NaN elsewhere).

        GLM and GEE: their own coefficients. Mixed models: the marginal means of the rows used, on the scale of the linear predictor,
        projected on the model's terms; standard errors by the delta method with the uncertainty of theta.
        Source: Hedeker, du Toit, Demirtas and Gibbons (2018), Biometrics 74, 354-361; Zeger, Liang and Albert (1988), Biometrics 44.

        >>> import glimm
        >>> fit = glimm.glmm("resp ~ age * smoke + (1 | id)", glimm.load_dataset("ohio"), family="binomial")
        >>> fit.marginal_params()["estimate"].round(2).tolist()
        [-1.89, -0.14, 0.3, 0.07]
        """
        return tables.deliver(
            self.record, tables.marginal(marginal_coefficients(self.record, self._errors(None, "marginal_params")), level)
        )

    def conditional_params(self, sd: float, *, level: float = 0.95) -> Any:
        """The way back: coefficients for one cluster that the averages imply if clusters had normal intercepts of this standard deviation.

        sd : on the scale of the linear predictor, taken as known; 0 gives the coefficients back
        Row by row eta_c solves E h(eta_c + sd Z) = h(eta), and is projected on the model's terms; standard errors by the delta method.
        zeger_liang_albert is the closed form beside them (logit, probit, log). Returns a table as `marginal_params`.
        Raises GlimmError for a mixed model, whose coefficients are conditional already, and for a negative sd.
        Source: Zeger, Liang and Albert (1988), Biometrics 44, 1049-1060 (the closed form); Hedeker et al. (2018), for the projection.

        >>> import glimm
        >>> fit = glimm.gee("resp ~ age * smoke", glimm.load_dataset("ohio"), groups="id", family="binomial")
        >>> fit.conditional_params(2.0)["estimate"].round(3).tolist()
        [-2.993, -0.206, 0.461, 0.1]
        """
        return tables.deliver(
            self.record, tables.marginal(conditional_coefficients(self.record, self._errors(None, "conditional_params"), sd), level)
        )

    def _errors(self, vcov: Any, asked: str) -> Inference:
        """The errors to use, after a warning where the fit itself did not end well."""
        solution = self.record.solution
        if solution.code in ("not_converged", "separated"):
            warnings.warn(f"{asked}: of a fit that is not to be used as it is: {solution.message}", GlimmWarning, stacklevel=3)
        if not (vcov is None or isinstance(vcov, str | Mapping)):
            raise GlimmError(f"{asked}: vcov must be as at the door, such as 'model' or {{'cluster': 'column'}}, not {type(vcov).__name__}")
        return self.inference if vcov is None else infer(self.record, vcov)
