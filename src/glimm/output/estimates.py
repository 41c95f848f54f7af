"""Parameters of one part of a model as pandas Series."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from ..inference.covariance import Inference
from ..inference.parameters import Parameters
from ..inference.wald import p_values
from . import tables

if TYPE_CHECKING:
    import pandas as pd


@final
class Estimates:
    """Parameters of one part of a model."""

    def __init__(self, found: Parameters) -> None:
        self._found = found

    @property
    def params(self) -> pd.Series[float]:
        """Estimates by name."""
        return tables.by_term(self._found.names, self._found.values, "params")

    @property
    def bse(self) -> pd.Series[float]:
        """Standard errors by name."""
        return tables.by_term(self._found.names, self._found.errors, "bse")

    def __repr__(self) -> str:
        shown = [
            f"{name} = {value:.4g} ({se:.2g})"
            for name, value, se in zip(self._found.names, self._found.values, self._found.errors, strict=True)
        ]
        return f"<{', '.join(shown)}>"


@final
class TermEstimates:
    """Coefficients of one part of a model, by term."""

    def __init__(self, found: Inference) -> None:
        self._found = found

    @property
    def params(self) -> pd.Series[float]:
        """Coefficients by term."""
        return tables.by_term(self._found.names, self._found.params, "params")

    @property
    def bse(self) -> pd.Series[float]:
        """Standard errors by term."""
        return tables.by_term(self._found.names, self._found.bse, "bse")

    @property
    def tvalues(self) -> pd.Series[float]:
        """Coefficients divided by their standard errors."""
        return tables.by_term(self._found.names, self._found.statistic, "tvalues")

    @property
    def pvalues(self) -> pd.Series[float]:
        """Two-sided p-values."""
        return tables.by_term(self._found.names, p_values(self._found.statistic, self._found.df), "pvalues")

    def cov_params(self) -> pd.DataFrame:
        """(p, p) covariance of the coefficients."""
        return tables.square(self._found.names, self._found.cov)

    def conf_int(self, *, level: float = 0.95) -> pd.DataFrame:
        """Confidence limits by term: columns conf_low, conf_high."""
        return tables.limits(self._found, level)

    def __repr__(self) -> str:
        shown = [f"{name} = {v:.4g} ({se:.2g})" for name, v, se in zip(self._found.names, self._found.params, self._found.bse, strict=True)]
        return f"<{', '.join(shown)}>"
