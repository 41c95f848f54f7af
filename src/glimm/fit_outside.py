"""What every fit says to other packages: marginaleffects and maketables. Thin faces over the room interop/."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from .inference.covariance import Inference
from .interop import maketables
from .records import Record

if TYPE_CHECKING:
    import pandas as pd


class Outside(ABC):
    """The names by which other packages know a fit."""

    record: Record
    _vcov: Any

    @property
    @abstractmethod
    def inference(self) -> Inference:
        """Coefficients with the covariance asked for at the door."""

    def to_marginaleffects(self, target: str | None = None) -> Any:
        """The fit for Python's marginaleffects, whose predictions, comparisons, slopes, avg_* and hypotheses take it.

        target : what a mixed model predicts: "marginal" (default), averaged over random effects, with the uncertainty of theta in its
        standard errors; "typical", at random effects of zero. GLM and GEE are marginal.
        Its `vcov=` is True (the fit's own), False, or for GLM and GEE one of the door's; its reference is the one of the fit's tables.
        Columns that the model does not have come with `newdata=`. Raises ImportError where marginaleffects is missing, and GlimmError
        where the fit's offset or exposure was an array.
        """
        from .interop.marginaleffects import to_marginaleffects

        return to_marginaleffects(self, target)

    def to_maketables(self) -> Any:
        """The fit for maketables: `maketables.ETable([fit.to_maketables(), ...])` shows coefficients, stars, clusters, criteria.

        maketables takes a fit itself for one of statsmodels, because it has params, bse and pvalues, and then knows no clusters.
        """
        return maketables.Published(self)

    @property
    def endog_names(self) -> str:
        """The response's name, as statsmodels calls it."""
        return self.record.design.response.name

    @property
    def __maketables_coef_table__(self) -> pd.DataFrame:
        return maketables.coef_table(self.inference)

    def __maketables_stat__(self, key: str) -> Any:
        return maketables.stat(self.record, self.inference, self._vcov, key)

    @property
    def __maketables_depvar__(self) -> str:
        return self.record.design.response.name

    @property
    def __maketables_stat_labels__(self) -> dict[str, str]:
        return dict(maketables.LABELS)

    @property
    def __maketables_default_stat_keys__(self) -> list[str]:
        return maketables.stat_keys(self.record, self._vcov)

    @property
    def __maketables_vcov_info__(self) -> dict[str, Any]:
        return maketables.vcov_info(self.record, self.inference, self._vcov)
