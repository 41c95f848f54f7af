"""Parameters of one part of a model as pandas Series."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from ..inference.parameters import Parameters
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
