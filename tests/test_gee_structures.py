"""glimm.gee with every working correlation and moment rule: printed values, R's gee and geepack, and the dense GEE of oracle/gee.py.

Coefficients are compared in standard errors, correlations as they are.
"""

from __future__ import annotations

import re
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import glimm
from glimm.fit import GeeFit
from oracle.gee import Fixed, Own, fit
from support import assert_relative
from support_gee import SETUPS, Setup, alpha_of, arguments, bridges, corr_of, frame, near_and_far, programs, rows, setup_of

SAME = 1e-8  # against what is iterated to 1e-12
PRINTED = 1e-8  # ten digits
REQUIRED = 1e-6  # against programs
LAGS = ["ar1", "ar(2)", "stationary(1)", "stationary(2)"]
ALL = ["independence", "exchangeable", *LAGS, "nonstationary(1)", "nonstationary(2)", "unstructured"]
ONE = Fixed(0.3 + 0.7 * np.eye(5) + 0.1 * (np.eye(5, k=1) + np.eye(5, k=-1)), np.arange(1.0, 6.0))
RULES = ["standard", "geepack", "gee"]


def call(setup: Setup, d: pd.DataFrame, corr: object, rule: str, **more: object) -> GeeFit:
    """glimm.gee; warnings are errors, but for those of few clusters and of few pairs."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for allowed in (".*divisor is not reduced", ".*clusters", "no pair of rows"):
            warnings.filterwarnings("ignore", message=allowed, category=glimm.GlimmWarning)
        return glimm.gee(setup.formula, d, corr=taken(corr), moments=rule, **{**arguments(setup), **more})


def taken(corr: object) -> object:
    """The oracle's structure as glimm takes it."""
    if isinstance(corr, Fixed):
        return glimm.FixedCorr(corr.matrix, times=corr.waves)
    if isinstance(corr, Own):
        return glimm.CustomCorr(lambda a, t: np.eye(len(t)) + corr.z(t) @ a, start=[0.0, 0.0])
    return corr


def assert_fit(got: GeeFit, b, se, se_model, phi, alpha, tolerance: float) -> None:
    """Coefficients, robust and model-based errors, dispersion, correlations; None is not compared."""
    assert got.converged
    assert np.max(np.abs(got.params.to_numpy() - b) / got.bse.to_numpy()) < tolerance, "coefficients"
    if se is not None:
        assert_relative(got.bse, se, tolerance, "robust errors")
    if se_model is not None:
        assert_relative(GeeFit(got.record, "model").bse, se_model, tolerance, "model-based errors")
    assert_relative(got.scale, phi, tolerance, "dispersion")
    assert got.corr_params.shape == np.shape(alpha)
    assert np.max(np.abs(got.corr_params.to_numpy() - alpha), initial=0.0) < tolerance, "correlations"


def assert_same(got: GeeFit, want, tolerance: float = SAME) -> None:
    """All that the oracle says."""
    assert_fit(got, want.b, want.se, np.sqrt(np.diag(want.model)), want.phi, want.alpha, tolerance)


@pytest.mark.parametrize("entry", bridges()["fits"], ids=lambda e: f"{e['data']}-{e['rule']}-{e['corr']}")
def test_printed_values(entry):
    setup = SETUPS[entry["data"]]
    got = call(setup, frame(setup.stem), entry["corr"], entry["rule"])
    assert_fit(got, entry["b"], entry.get("se"), entry.get("se_model"), entry["phi"], entry["alpha"], PRINTED)


@pytest.mark.parametrize("name", [name for name, entry in programs().items() if not entry.get("scale_fix")])
def test_programs(name):
    entry = programs()[name]
    setup = setup_of(entry)
    got = call(setup, frame(setup.stem), corr_of(entry), entry["rule"])
    assert_fit(got, entry["coef"], entry["se"], entry["se_model"], entry["phi"], alpha_of(entry), REQUIRED)


WITHOUT_A_FIT = [("nonstationary(1)", "standard", "w"), ("nonstationary(1)", "geepack", "w"), ("stationary(1)", "geepack", "w")]


@pytest.mark.parametrize("corr", [*ALL, "ar(3)", "own"])
@pytest.mark.parametrize(("rule", "weights"), [("standard", "w"), ("geepack", None), ("geepack", "w"), ("gee", None)])
def test_epil_with_offset_and_weights(corr, rule, weights):
    if rule == "gee" and corr == "own":
        return
    setup = replace(SETUPS["epil"], weights=weights, offset="o")
    chosen = Own(near_and_far) if corr == "own" else corr
    d = frame("MASS_epil")
    if (corr, rule, weights) in WITHOUT_A_FIT:
        with pytest.raises(RuntimeError):
            fit(rows(setup), "poisson", None, corr, rule)
        with pytest.warns(glimm.GlimmWarning, match="drawn towards independence"):
            glimm.gee(setup.formula, d, corr=corr, moments=rule, **arguments(setup))
        return
    assert_same(call(setup, d, chosen, rule), fit(rows(setup), "poisson", None, chosen, rule))


FAMILIES = [
    ("gaussian", None, "yn"),
    ("binomial", "logit", "yb"),
    ("poisson", "log", "yp"),
    ("gamma", "log", "yg"),
    ("binomial", "probit", "yb"),
]


def design(seed: int, rule: str) -> tuple[Setup, pd.DataFrame]:
    """Clusters of 1 to 5 rows with missing waves (3 to 5 for R's gee, whose clusters have to be long), rows in any order."""
    rng = np.random.default_rng(700 + seed)
    family, link, response = FAMILIES[seed % 5]
    k = int(rng.integers(40, 80))
    kept = [np.sort(rng.choice(5, rng.integers(3 if rule == "gee" else 1, 6), replace=False)) + 1 for _ in range(k)]
    d = pd.DataFrame({"g": np.repeat(np.arange(k), [len(w) for w in kept]), "t": np.concatenate(kept)})
    n = len(d)
    d["x"], d["z"], d["o"] = rng.normal(size=n), d["g"] % 2, rng.uniform(0.0, 0.5, n)
    d["w"] = rng.uniform(0.5, 2.0, n)
    d["u"] = d["t"] + rng.uniform(-0.3, 0.3, n)
    u, eta = 0.35 * rng.normal(size=k)[d["g"]], 0.2 + 0.3 * d["x"] - 0.3 * d["z"]
    d["yn"] = eta + u + rng.normal(size=n)
    d["yb"] = (rng.uniform(size=n) < 1.0 / (1.0 + np.exp(-eta - u))).astype(int)
    d["yp"], d["yg"] = rng.poisson(np.exp(eta + u)), rng.gamma(2.0, np.exp(eta + u) / 2.0) + 0.01
    weights = "w" if seed % 2 and family != "binomial" else None
    setup = Setup("", f"{response} ~ x + z", "g", "t" if seed % 4 else None, family, link, weights, "o" if seed % 3 == 0 else None)
    return setup, d.sample(frac=1.0, random_state=seed) if setup.time else d


@pytest.mark.parametrize("seed", range(30))
def test_random_designs(seed):
    rule = RULES[seed // 10]
    setup, d = design(seed, rule)
    tried = []
    for corr in [*ALL, ONE, Own(near_and_far)]:
        if rule == "gee" and (isinstance(corr, Own | Fixed) or setup.weights):
            continue
        try:
            want = fit(rows(setup, d), setup.family, setup.link, corr, rule)
        except RuntimeError:
            continue
        if want.smallest < 1e-3:
            continue
        tried.append(corr)
        assert_same(call(setup, d, corr, rule), want)
    assert len(tried) > 3 or rule == "gee"


@pytest.mark.parametrize("rule", ["standard", "geepack"])
@pytest.mark.parametrize("seed", [1, 3])
def test_times_that_are_not_whole(seed, rule):
    setup, d = design(seed, rule)
    setup = replace(setup, time="u", weights=setup.weights if rule == "standard" else None)
    d["yn"] += d["g"].map(lambda g: np.sin(g))
    want = fit(rows(setup, d), setup.family, setup.link, "ar1", rule)
    assert_same(call(setup, d, "ar1", rule), want, 1e-7)


@pytest.mark.parametrize("rule", ["standard", "geepack"])
@pytest.mark.parametrize("seed", range(6))
def test_nested(seed, rule):
    rng = np.random.default_rng(seed)
    family, link, response = FAMILIES[seed % 5]
    school = np.repeat(np.arange(30), rng.integers(1, 9, 30))
    n = len(school)
    d = pd.DataFrame({"school": school, "class": rng.integers(0, 3, n), "x": rng.normal(size=n), "z": rng.normal(size=n)})
    eta = 0.2 + 0.3 * d["x"] + 0.3 * rng.normal(size=30)[school] + 0.3 * rng.normal(size=(30, 3))[school, d["class"]]
    d["yn"], d["yb"] = eta + rng.normal(size=n), (rng.uniform(size=n) < 1.0 / (1.0 + np.exp(-eta))).astype(int)
    d["yp"], d["yg"] = rng.poisson(np.exp(eta)), rng.gamma(2.0, np.exp(eta) / 2.0) + 0.01
    setup = Setup("", f"{response} ~ x + z", "school", None, family, link)
    want = fit(rows(setup, d, sub="class"), family, link, "nested", rule)
    mixed = d.sample(frac=1.0, random_state=seed)
    assert_same(call(setup, mixed, "nested", rule, groups="school/class"), want)


def test_one_inner_cluster_each_is_not_enough_for_two_correlations():
    """Without pairs across, that correlation is 0 and the other is the exchangeable one."""
    setup = SETUPS["ohio"]
    d = frame(setup.stem).assign(child=0)
    with pytest.warns(glimm.GlimmWarning, match="no pair of rows for alpha_across"):
        got = glimm.gee(setup.formula, d, groups="id/child", family="binomial", corr="nested")
    want = fit(rows(setup), "binomial", None, "exchangeable")
    assert_relative(got.params, want.b, SAME, "coefficients")
    assert np.max(np.abs(got.corr_params.to_numpy() - [want.alpha[0], 0.0])) < SAME


def test_working_corr_is_the_oracles_matrix():
    setup = SETUPS["toenail_month"]
    for corr in ("ar(2)", "unstructured", "ar1"):
        want = fit(rows(setup), "binomial", None, corr)
        got = call(setup, frame(setup.stem), corr, "standard").working_corr()
        assert np.max(np.abs(got.to_numpy() - want.matrix(np.arange(1.0, 8.0), None))) < SAME


def test_toenail_is_not_m_dependent():
    """The estimates belong to no correlation matrix (smallest eigenvalue -0.28): said, and mended."""
    entry, setup = bridges()["infeasible"], SETUPS["toenail_month"]
    with pytest.warns(glimm.GlimmWarning, match="no correlation matrix"):
        got = glimm.gee(setup.formula, frame(setup.stem), corr=entry["corr"], moments=entry["rule"], **arguments(setup))
    assert np.linalg.eigvalsh(got.working_corr())[0] > 0.09
    assert np.linalg.eigvalsh(got.working_corr())[0] - entry["smallest_eigenvalue"] > 0.3


@pytest.mark.parametrize("corr", ["ar1", "unstructured"])
@pytest.mark.parametrize("rule", RULES)
def test_table_of_parity(corr, rule):
    text = (Path(__file__).parents[1] / "PARITY.md").read_text(encoding="utf-8")
    line = next(line for line in text.splitlines() if line.startswith(f'| `{corr}` | "{rule}"'))
    fit = call(SETUPS["ohio"], frame("geepack_ohio"), corr, rule)
    values = [fit.scale, *fit.corr_params, *(v for i in (2, 3) for v in (fit.params.iloc[i], fit.bse.iloc[i]))]
    assert [float(v) for v in re.findall(r"-?[0-9]\.[0-9]{5}", line)] == [round(float(v), 5) for v in values]


@pytest.mark.parametrize(
    ("corr", "here"),
    [("MDEP(2)", "stationary(2)"), ("m-dependent(3)", "stationary(3)"), ("AR(2)", "ar(2)"), ("UN", "unstructured"),
     ("AR(1)", "ar1"), ("fullclust", "odds_ratio(pairs)"), ("toeplitz", "stationary(m)")],
)  # fmt: skip
def test_names_of_other_programs_are_told(corr, here):
    with pytest.raises(glimm.GlimmError, match=f"here it is called '{re.escape(here)}'"):
        glimm.gee("resp ~ age", frame("geepack_ohio"), groups="id", corr=corr, family="binomial")
