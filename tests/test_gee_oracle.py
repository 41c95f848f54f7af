"""The dense GEE of tests/oracle/gee.py against printed values, R's gee and geepack, so that it can be trusted where they have nothing."""

from __future__ import annotations

import numpy as np
import pytest

from oracle.gee import by_lag, fit
from support import assert_relative
from support_gee import SETUPS, alpha_of, bridges, corr_of, frame, programs, rows, setup_of

PRINTED = 1e-8  # ten digits are stored
ROUNDED = 1e-9  # iterated to 1e-12 by both


def label(entry):
    return f"{entry['data']}-{entry['rule']}-{entry['corr']}"


@pytest.mark.parametrize("entry", bridges()["fits"], ids=label)
def test_printed_values(entry):
    setup = SETUPS[entry["data"]]
    got = fit(rows(setup), setup.family, setup.link, entry["corr"], entry["rule"])
    assert_relative(got.b, entry["b"], PRINTED, "coefficients")
    assert_relative(got.phi, entry["phi"], PRINTED, "dispersion")
    assert_relative(got.alpha, entry["alpha"], PRINTED, "correlation")
    if "se" in entry:
        assert_relative(got.se, entry["se"], PRINTED, "robust errors")
    if "se_model" in entry:
        assert_relative(np.sqrt(np.diag(got.model)), entry["se_model"], PRINTED, "model-based errors")


def test_an_infeasible_structure_has_a_negative_eigenvalue():
    entry = bridges()["infeasible"]
    setup = SETUPS[entry["data"]]
    got = fit(rows(setup), setup.family, setup.link, entry["corr"], entry["rule"])
    assert_relative(got.b, entry["b"], PRINTED, "coefficients")
    assert_relative(got.alpha, entry["alpha"], PRINTED, "correlation")
    assert_relative(np.linalg.eigvalsh(got.matrix(np.arange(7.0), None))[0], entry["smallest_eigenvalue"], PRINTED, "eigenvalue")


@pytest.mark.parametrize("name", programs())
def test_programs(name):
    entry = programs()[name]
    setup = setup_of(entry)
    got = fit(rows(setup), setup.family, setup.link, corr_of(entry), entry["rule"], scale=entry["phi"] if entry.get("scale_fix") else None)
    scale = np.sqrt(np.diag(got.robust))
    assert np.max(np.abs(got.b - entry["coef"]) / scale) < ROUNDED * 10, "coefficients"
    assert_relative(got.se, entry["se"], 1e-7, "robust errors")
    assert_relative(np.sqrt(np.diag(got.model)), entry["se_model"], 1e-7, "model-based errors")
    assert_relative(got.phi, entry["phi"], 1e-8, "dispersion")
    assert np.max(np.abs(got.alpha - alpha_of(entry)), initial=0.0) < 1e-8, "correlation"


@pytest.mark.parametrize("name", [name for name, entry in programs().items() if entry.get("se_fij")])
def test_jackknives_of_geepack(name):
    """(K - p - alphas - 1) / K sum s s': s = (H - H_i)^-1 U_i (j1s, ajs), or of refits without each cluster (fij)."""
    entry = programs()[name]
    setup = setup_of(entry)
    d = frame(setup.stem)
    got = fit(rows(setup), setup.family, setup.link, corr_of(entry), entry["rule"])
    k, p = got.u.shape
    factor = (k - p - len(got.alpha) - 1) / k
    one = np.linalg.solve(got.h.sum(axis=0) - got.h, got.u[:, :, None])[:, :, 0]
    for kind in ("se_j1s", "se_ajs"):
        assert_relative(np.sqrt(np.diag(factor * one.T @ one)), entry[kind], 1e-7, kind)
    if entry["corr"] == "unstructured":
        return
    others = [d[d[setup.groups] != g] for g in d[setup.groups].unique()]
    moved = np.array([fit(rows(setup, o), setup.family, setup.link, corr_of(entry), entry["rule"]).b for o in others]) - got.b
    assert_relative(np.sqrt(np.diag(factor * moved.T @ moved)), entry["se_fij"], 1e-6, "full jackknife")


def test_yule_walker():
    known = bridges()["closed_forms"]["yule_walker"]
    alpha = np.array(known["alpha"])
    r = by_lag(alpha, "ar", 6)(np.arange(7.0), None)[0]
    f = np.array(known["coefficients"])
    assert_relative(r[4:], [f @ r[t - 1 : t - 4 : -1] for t in (4, 5, 6)], 1e-9, "continuation")
    assert_relative(1.0 - f @ alpha, known["innovation"], 1e-9, "innovation")
