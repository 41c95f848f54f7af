"""Data sets that come with the package."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING

from ..errors import GlimmError, suggest

if TYPE_CHECKING:
    import pandas as pd

SOURCES = {
    "ohio": "537 children asked at ages 7 to 10 whether they wheezed, with their mother's smoking. Ware, Dockery, Spiro, Speizer "
    "and Ferris (1984), American Review of Respiratory Disease 129, 366-374; rebuilt from the counts by make_ohio.py. "
    "Columns: resp (1 wheezed), id (child), age (years minus 9), smoke (1 mother smoked).",
    "classroom": "60 pupils who differ much in ability, 12 tests each; simulated with known truth by make_classroom.py (fixed seed): "
    "log odds of passing = -4 + 0.8 hours + ability, ability normal with sd 3. "
    "Columns: pupil, test, hours (of instruction before the test), pass (1 passed).",
}


def load_dataset(name: str) -> pd.DataFrame:
    """A data set by name, as a pandas frame; `datasets.SOURCES` has where it comes from.

    Raises GlimmError for an unknown name.

    >>> load_dataset("ohio").shape
    (2148, 4)
    """
    if name not in SOURCES:
        raise GlimmError(f"unknown data set {name!r}: {suggest(str(name), SOURCES)}")
    from ..data.files import read_csv

    return read_csv(files(__package__).joinpath(f"{name}.csv"))
