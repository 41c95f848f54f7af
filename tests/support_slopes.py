"""What the tests of random slopes share: fits of the entries of slopes.json and aghq_slopes.json, and their comparison."""

from __future__ import annotations

import warnings
from functools import cache

import numpy as np
import pandas as pd

import glimm
from support import assert_covariance, assert_in_units, assert_not_worse, assert_relative, column, data, stored, vector


def frame_of(entry: dict) -> pd.DataFrame:
    """The data of an entry, with offset_column and weights_column if it has them."""
    frame = data(entry["data"])
    if "design" in entry:
        frame = frame[frame["design"] == entry["design"]]
    frame = frame.copy()
    for role in ("offset", "weights"):
        if role in entry:
            frame[f"{role}_column"] = column(frame, entry[role])
    return frame


@cache
def slopes_fit(file: str, name: str):
    """One fit of a stored entry; the only warnings allowed are of a singular covariance, where the stored one is singular too."""
    entry = stored(file)[name]
    arguments: dict = {role: f"{role}_column" for role in ("offset", "weights") if role in entry}
    if entry["kind"] == "lmm":
        arguments["reml"] = entry["reml"]
    else:
        arguments |= {"family": entry["family"], "link": entry["link"], "points": entry["points"]}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings(
            "ignore", message="(Laplace is not accurate|[0-9]+ points are not enough) here", category=glimm.GlimmWarning
        )
        if entry["rank"] < len(entry["cov"]):
            warnings.filterwarnings("ignore", category=glimm.GlimmWarning)
        return glimm.glmm(entry["formula"], frame_of(entry), **arguments)


def effects_covariance(fit, entry: dict) -> np.ndarray:
    """(q, q) covariance of the effects of a level, from theta: the lower triangle of T by column, or its diagonal."""
    q = len(entry["cov"])
    t = np.zeros((q, q))
    columns, rows = np.triu_indices(q)
    if entry["structure"] == "diag":
        columns = rows = np.arange(q)
    t[rows, columns] = fit.theta
    return t @ t.T * (fit.sigma**2 if entry["kind"] == "lmm" else 1.0)


def assert_effects_covariance(fit, entry: dict, tolerance: float) -> None:
    """theta, varcorr() and the stored covariance say the same, in units of the standard deviations."""
    want = np.array(entry["cov"])
    deviation = np.sqrt(np.diag(want))
    unit = np.maximum(deviation, 1e-2 * deviation.max(initial=0.0)) if deviation.any() else np.ones(len(want))
    assert_in_units(effects_covariance(fit, entry), want, np.outer(unit, unit), tolerance, "covariance of the effects")
    table = fit.varcorr()
    q = len(want)
    assert_in_units(table["std_dev"][:q], deviation, unit, np.sqrt(tolerance) if not deviation.all() else tolerance, "standard deviations")
    assert_relative(table["variance"][:q], table["std_dev"][:q] ** 2, 1e-12, "variances")
    for a in range(1, q):
        for b in range(a):
            name = f"corr_{table['term'][b]}"
            if entry["structure"] == "us" and deviation.all() and entry["rank"] == q:
                got, correlation = table[name][a], want[a, b] / (deviation[a] * deviation[b])
                assert abs(got - correlation) < 2 * tolerance, f"correlation {got} against {correlation}"


def assert_predicted_effects(fit, entry: dict, tolerance: float) -> None:
    """Conditional modes and their standard deviations, in units of the effects' standard deviations."""
    if "ranef" not in entry:
        return
    table = fit.ranef()
    deviation = np.sqrt(np.diag(entry["cov"]))
    unit = np.maximum(deviation, 1e-2 * deviation.max())
    assert {str(level) for level in table["level"]} == set(entry["ranef"])
    for key, name in (("ranef", "estimate"), ("ranef_condsd", "std_error")):
        mine = table[name].to_numpy().reshape(-1, len(unit))
        levels = table["level"].to_numpy()[:: len(unit)]
        theirs = np.array([entry[key][str(level)] for level in levels]).reshape(mine.shape)
        assert_in_units(mine, theirs, np.broadcast_to(unit, mine.shape), tolerance, key)


def assert_slopes(fit, entry: dict, coef: float, se: float) -> None:
    """Coefficients (in standard errors), standard errors and covariances (relative), effects; the log-likelihood by 1e-6."""
    assert_not_worse(fit.llf, entry["loglik"], 1e-6, "log-likelihood")
    assert_in_units(fit.params, vector(entry["coef"]), vector(entry["se"]), coef, "coefficients")
    assert_relative(fit.bse, entry["se"], se, "standard errors")
    if "vcov" in entry:
        assert_covariance(fit.cov_params(), entry["vcov"], se, "covariance")
    if "sigma" in entry:
        assert_relative(fit.sigma, entry["sigma"], coef, "sigma")
    assert_effects_covariance(fit, entry, 10 * coef)
    assert_predicted_effects(fit, entry, 10 * coef)
