"""What the tests of GEE structures share: data, formulas as glimm takes them, and the same rows for tests/oracle/gee.py."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import formulaic
import numpy as np
import pandas as pd

from oracle.gee import Fixed, Own, Rows
from support import data

HERE = Path(__file__).parent / "reference"


@dataclass(frozen=True)
class Setup:
    """A call of glimm.gee without its structure; columns by name."""

    stem: str
    formula: str
    groups: str
    time: str | None
    family: str
    link: str | None = None
    weights: str | None = None
    offset: str | None = None


SETUPS = {
    "ohio": Setup("geepack_ohio", "resp ~ age * smoke", "id", "age", "binomial"),
    "toenail_month": Setup("HSAUR3_toenail", "y ~ trt * month", "patientID", "visit", "binomial"),
    "toenail_time": Setup("HSAUR3_toenail", "y ~ trt * time", "patientID", "time", "binomial"),
    "epil": Setup("MASS_epil", "y ~ lbase * treated + V4", "subject", "period", "poisson"),
    "epil12": Setup("MASS_epil_12", "y ~ lbase + treated + V4", "subject", "period", "poisson"),
    "respiratory": Setup("geepack_respiratory", "outcome ~ active + second + female + age + baseline", "person", "visit", "binomial"),
    "sim": Setup("sim_gee", "yn ~ x + z", "id", "wave", "gaussian"),
}
FORMULAS = {  # of gee_structures.R
    "resp ~ age * smoke": "resp ~ age * smoke",
    "y ~ lbase * trt + V4": "y ~ lbase * treated + V4",
    "y ~ lbase + trt + V4": "y ~ lbase + treated + V4",
    "yn ~ x + z": "yn ~ x + z",
    "yp ~ x + z": "yp ~ x + z",
    "yg ~ x + z": "yg ~ x + z",
    "yb ~ x + z": "yb ~ x + z",
    "yh ~ I(abs(x))": "yh ~ size",
    "outcome ~ treat + center + sex + age + baseline": "outcome ~ active + second + female + age + baseline",
}


@cache
def frame(stem: str) -> pd.DataFrame:
    """A data set with the columns that gee_structures.R derives, sorted by cluster and wave."""
    if stem == "sim_gee_complete":
        return frame("sim_gee").query("complete == 1").reset_index(drop=True)
    if stem == "MASS_epil_12":
        return frame("MASS_epil").query("23 <= subject <= 34").reset_index(drop=True)
    d = data(stem).copy()
    if stem == "geepack_ohio":
        d["w"] = 1 + (d["id"] + 2 * d["age"] + 4) % 3
    if stem == "HSAUR3_toenail":
        d["trt"] = (d["treatment"] == "terbinafine").astype(int)
    if stem == "MASS_epil":
        d["treated"] = (d["trt"] == "progabide").astype(int)
        d["w"], d["o"] = 1 + (d["subject"] + d["period"]) % 3, 0.1 * d["period"]
    if stem == "geepack_respiratory":
        d["person"] = 1000 * d["center"] + d["id"]
        d["active"], d["second"], d["female"] = ((d[k] == v).astype(int) for k, v in (("treat", "A"), ("center", 2), ("sex", "F")))
    if stem == "sim_gee":
        d["size"] = np.abs(d["x"])
    keys = next([s.groups, s.time] for s in SETUPS.values() if s.stem == stem)
    return d.sort_values(keys, kind="stable").reset_index(drop=True)


def rows(setup: Setup, d: pd.DataFrame | None = None, sub: str | None = None) -> Rows:
    """The rows of a setup for the oracle."""
    d = frame(setup.stem) if d is None else d
    response, right = setup.formula.split(" ~ ")
    column = {k: None if k is None else d[k].to_numpy() for k in (setup.time, setup.weights, setup.offset, sub)}
    x = np.asarray(formulaic.model_matrix(right, d), dtype=float)
    return Rows(d[response], x, d[setup.groups], column[setup.time], column[sub], column[setup.weights], column[setup.offset])


def arguments(setup: Setup) -> dict[str, object]:
    """Keyword arguments of glimm.gee."""
    names = ("groups", "time", "family", "link", "weights", "offset")
    return {name: value for name in names if (value := getattr(setup, name)) is not None}


@cache
def bridges() -> dict:
    """tests/reference/gee_bridges.json."""
    return json.loads((HERE / "gee_bridges.json").read_text(encoding="utf-8"))


@cache
def programs() -> dict[str, dict]:
    """The fits of tests/reference/gee_structures.json."""
    return json.loads((HERE / "gee_structures.json").read_text(encoding="utf-8"))["fits"]


def setup_of(entry: dict) -> Setup:
    """The setup of a stored fit; without waves the programs go by position."""
    known = next(s for s in SETUPS.values() if s.stem == entry["data"].replace("_complete", ""))
    formula, _, offset = entry["formula"].partition(" + offset")
    return replace(
        known,
        stem=entry["data"],
        formula=FORMULAS[formula],
        time=entry.get("waves"),
        family=entry["family"].lower(),
        link=entry["link"],
        weights=entry.get("weights"),
        offset="o" if offset else None,
    )


def near_and_far(wave: np.ndarray) -> np.ndarray:
    """(n, n, 2): pairs of neighbouring waves, and all others."""
    apart = np.abs(np.subtract.outer(wave, wave))
    return np.stack([apart == 1, apart > 1], axis=2).astype(float)


def corr_of(entry: dict) -> object:
    """The oracle's structure of a stored fit."""
    if entry["corr"] == "fixed":
        matrix = np.array(entry["matrix"])
        return Fixed(matrix, np.arange(1.0, len(matrix) + 1.0))
    return Own(near_and_far) if entry["corr"] == "userdefined" else entry["corr"]


def alpha_of(entry: dict) -> list[float] | None:
    """The correlation parameters of a stored fit of R's gee, read from its working correlation; geepack's as they are."""
    if entry["program"] == "geepack":
        return entry["alpha"]
    if entry["corr"] in ("independence", "fixed"):
        return []
    r, m = np.array(entry["working"]), entry["m"]
    if entry["corr"] == "exchangeable":
        return [r[0, 1]]
    if entry["corr"].startswith(("ar", "stationary")):
        return list(r[0, 1 : m + 1])
    m = len(r) if entry["corr"] == "unstructured" else m
    return [r[j, k] for j in range(len(r)) for k in range(j + 1, min(len(r), j + m + 1))]
