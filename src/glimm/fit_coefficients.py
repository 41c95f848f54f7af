"""What the coefficients of every fit answer: thin faces over an Inference."""

from __future__ import annotations

from abc import abstractmethod
from functools import cached_property
from typing import TYPE_CHECKING, Any

from .errors import GlimmError
from .inference import penalised_profile
from .inference.covariance import Inference
from .inference.profile import profile_limits
from .inference.wald import p_values
from .output import tables
from .records import AnyRecord, GlmRecord

if TYPE_CHECKING:
    import pandas as pd

    from .data.records import Missing


class Coefficients:
    """Coefficients, their errors and tests; of ordinal models the thresholds stand among them."""

    record: AnyRecord

    @property
    @abstractmethod
    def inference(self) -> Inference:
        """Coefficients with the covariance asked for at the door."""

    @cached_property
    def params(self) -> pd.Series[float]:
        """Coefficients of the mean model; of ordinal models the thresholds first."""
        return tables.by_term(self.inference.names, self.inference.params, "params")

    @cached_property
    def bse(self) -> pd.Series[float]:
        """Standard errors of the coefficients."""
        return tables.by_term(self.inference.names, self.inference.bse, "bse")

    @property
    def tvalues(self) -> pd.Series[float]:
        """Coefficients divided by their standard errors."""
        return tables.by_term(self.inference.names, self.inference.statistic, "tvalues")

    @property
    def pvalues(self) -> pd.Series[float]:
        """Two-sided p-values of the coefficients."""
        return tables.by_term(self.inference.names, p_values(self.inference.statistic, self.inference.df), "pvalues")

    @property
    def nobs(self) -> int:
        """Rows used; a frequency weight counts its row so many times."""
        return self.record.design.nobs

    @property
    def scale(self) -> float:
        """The dispersion: sigma^2 of a gaussian model, phi of gamma, inverse_gaussian and tweedie, 1 where the family has none."""
        return self.record.scale

    @property
    def converged(self) -> bool:
        """Whether the estimates are where they should be; `record.solution` says what happened."""
        return self.record.solution.code in ("converged", "boundary")

    @property
    def dropped(self) -> dict[str, str]:
        """Columns left out for rank, and what each equals."""
        return dict(self.record.design.mean.dropped)

    @property
    def missing(self) -> Missing:
        """The account of rows left out for missing values."""
        return self.record.design.missing

    def cov_params(self) -> pd.DataFrame:
        """(p, p) covariance of the coefficients."""
        return tables.square(self.inference.names, self.inference.cov)

    def conf_int(self, *, level: float = 0.95, method: str = "wald") -> pd.DataFrame:
        """Confidence limits by term: columns conf_low, conf_high.

        method : "wald", estimate +- q se with the fit's own covariance; "profile" of a GLM, the values that a likelihood-ratio test does
        not reject, each with all other coefficients (and the family's own parameters) estimated again: better in small samples, not
        symmetric, the same in any coding of the model. Where the dispersion is estimated beside the coefficients the ratio is held
        against F, else against chi-squared; with penalty= it is that of the penalised likelihood. A limit that the likelihood does not
        have (separation) is infinite, with a GlimmWarning.
        Raises GlimmError for another method, for method="profile" of a fit with a robust vcov, and where a held coefficient has a higher
        likelihood than the estimate; NotYetError for profiles of fits other than a GLM.
        Source: Venzon and Moolgavkar (1988), Appl. Stat. 37, 87-94.

        >>> import glimm
        >>> data = {"y": [0, 0, 1, 0, 1, 1, 0, 1], "x": [1, 2, 3, 4, 5, 6, 7, 8]}
        >>> fit = glimm.glm("y ~ x", data, family="binomial")
        >>> fit.conf_int(method="profile").loc["x"].round(3).tolist(), fit.conf_int().loc["x"].round(3).tolist()
        ([-0.217, 1.382], [-0.302, 1.168])
        """
        if method == "profile" and isinstance(self.record, GlmRecord) and self.record.penalty:
            return tables.limits_of(self.inference.names, *penalised_profile.limits(self.record, self.inference, level))
        if method == "profile":
            return tables.limits_of(self.inference.names, *profile_limits(self.record, self.inference.vcov, level))
        if method != "wald":
            raise GlimmError(f"conf_int: method must be 'wald' or 'profile', not {method!r}")
        return tables.limits(self.inference, level)

    def tidy(self, *, level: float = 0.95) -> Any:
        """One row per term: term, estimate, std_error, statistic, p_value, conf_low, conf_high; df where each has its own (GEE)."""
        return tables.deliver(self.record, tables.tidy(self.inference, level))
