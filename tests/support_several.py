"""What the tests of several random terms share: the stored entries of several, structures, mixed_families and sim_several, and their data.

No fit is made here. `frame_of` makes an entry's frame, `arguments_of` the arguments of glimm.glmm besides formula and data; an entry's
"terms" are in the order of its formula. Of the hundred random designs only formulas and criteria are stored: `simulated` makes the data.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from functools import cache

import numpy as np
import pandas as pd

from support import HERE, column, stored

FILES = ("several", "structures", "mixed_families")


def entries(file: str, kind: str | None = None, keep: Callable[[str, dict], bool] = lambda name, entry: True) -> Iterator[tuple[str, dict]]:
    """(id, entry) of one file: of a kind ("lmm", "glmm") if given."""
    for name, entry in stored(file).items():
        if kind in (None, entry["kind"]) and keep(name, entry):
            yield name, entry


def is_singular(entry: dict) -> bool:
    """A variance is zero or a correlation 1 at the stored optimum."""
    return "rank" in entry and entry["rank"] < entry["size"]


@cache
def table(stem: str) -> pd.DataFrame:
    """A data file with the columns that the R scripts derive from it."""
    path = HERE / "data" / f"{stem}.csv"
    frame = pd.read_csv(path if path.exists() else path.with_suffix(".csv.gz"))
    frame["obs"] = np.arange(1, len(frame) + 1)
    if stem == "lme4_VerbAgg":
        frame["y"] = (frame["r2"] == "Y").astype(int)
    if stem == "sim_several":
        frame["ytw"] = np.where(frame["yp"] == 0, 0.0, frame["yg"])
    return frame


def frame_of(entry: dict) -> pd.DataFrame:
    """The rows of an entry, with weights_column and offset_column if it has them."""
    frame = table(entry["data"])
    if "design" in entry:
        frame = frame[frame["design"] == entry["design"]].dropna(axis=1, how="all").reset_index(drop=True)
    frame = frame.copy()
    for code in {"a", "b", "c", "visit"} & set(frame.columns):  # empty in other designs, so that they were read as floats
        frame[code] = frame[code].astype(int)
    for role in ("weights", "offset"):
        if role in entry:
            frame[f"{role}_column"] = column(frame, entry[role])
    assert len(frame) == entry["nobs"]
    return frame


def arguments_of(entry: dict) -> dict[str, object]:
    """What glimm.glmm is given besides formula and data."""
    roles: dict[str, object] = {role: f"{role}_column" for role in ("weights", "offset") if role in entry}
    if entry["kind"] == "lmm":
        return roles | {"reml": entry["reml"]}
    return roles | {"family": entry["family"], "link": entry["link"], "points": 1}


def covariance_of(term: dict) -> np.ndarray:
    """(q, q) covariance of the effects of a level; ou stores its times instead: exp(-rate |t - s|)."""
    if "cov" in term:
        return np.atleast_2d(np.array(term["cov"], dtype=float))
    times, natural = np.array(term["times"]), term["natural"]
    return natural["sd"] ** 2 * np.exp(-natural["rate"] * np.abs(np.subtract.outer(times, times)))


@cache
def generator():
    """tests/reference/sim_several.py as a module."""
    spec = importlib.util.spec_from_file_location("sim_several", HERE / "sim_several.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def simulated(entry: dict) -> pd.DataFrame:
    """The data of an entry of sim_several.json, made again from its number; fails if they are not those that R has seen."""
    columns, about = generator().random_design(entry["number"])
    assert about["formula"] == entry["formula"]
    assert generator().checksum(generator().csv(columns)) == entry["checksum"], "sim_several.py makes other data than R has fitted"
    return pd.DataFrame(columns)
