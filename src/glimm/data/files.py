"""Files to frames."""

from __future__ import annotations

from importlib.resources.abc import Traversable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


def read_csv(path: Traversable) -> pd.DataFrame:
    """A csv file of the package as a pandas frame."""
    import pandas as pd

    with path.open("rb") as handle:
        return pd.read_csv(handle)
