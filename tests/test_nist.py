"""NIST StRD linear regression to 9 significant digits: Norris, Longley, Wampler1 to Wampler5 (certified values)."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

import glimm
from support import stored

DIGITS = 1e-9


def nine_digits(got, want, scale, what: str) -> None:
    """Relative to the certified value; a certified zero is small against `scale`."""
    for name, g, w in zip(want, got, want.values(), strict=True):
        bound = DIGITS * (abs(w) if w != 0.0 else scale)
        assert abs(g - w) <= bound, f"{what} {name}: {g!r}, certified {w!r}"


def fit(name: str, how: str):
    """The regression with the formula's own powers, or with the powers as columns."""
    entry = stored("nist")[name]
    frame = pd.DataFrame({"y": entry["y"], **entry["x"]}).astype(float)
    for x in entry["x"]:  # powers of whole numbers are exact, those of floats depend on NumPy's pow
        if (frame[x] == frame[x].round()).all():
            frame[x] = frame[x].astype(int)
    formula = entry["formula"]
    if how == "columns":
        for power in re.findall(r"I\(x\*\*(\d)\)", formula):
            frame[f"x{power}"] = frame["x"] ** int(power)
            formula = formula.replace(f"I(x**{power})", f"x{power}")
    return glimm.glm(formula, frame), entry["certified"], float(np.max(np.abs(entry["y"])))


@pytest.mark.parametrize("how", ["formula", "columns"])
@pytest.mark.parametrize("name", list(stored("nist")))
def test_certified_values(name, how):
    model, certified, scale = fit(name, how)
    assert not model.dropped
    nine_digits(model.params, certified["coef"], scale, "coefficient")
    nine_digits(model.bse, certified["sd"], scale, "standard deviation of")
    nine_digits([np.sqrt(model.scale)], {"sd": certified["residual_sd"]}, scale, "residual")
    y = model.fittedvalues + model.resid("response")
    r_squared = 1.0 - float(np.sum(model.resid("response") ** 2)) / float(np.sum((y - y.mean()) ** 2))
    nine_digits([r_squared], {"R^2": certified["r_squared"]}, scale, "")
