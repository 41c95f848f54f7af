"""Several random terms, structures and further families against the best of lme4 and glmmTMB; a hundred random designs.

The stored fits are the best of several optimisers, starts and ranks of the covariances, polished (reference/fitting.R).
"""

from __future__ import annotations

import warnings
from functools import cache
from itertools import pairwise

import numpy as np
import pytest

import glimm
from glimm.covariance.layout import theta_names
from support import assert_covariance, assert_in_units, assert_not_worse, assert_relative, stored, vector, vector_covariance
from support_several import FILES, arguments_of, covariance_of, entries, frame_of, is_singular, simulated

REFUSED = ("lmm_homcs_slope_ml", "lmm_homcs_slope_reml")
"""homcs(1 + x | a): one standard deviation for an intercept and a slope, which depends on the unit of x; glimm takes a factor only."""

LINEAR, GENERAL = ([(file, name) for file in FILES for name, _ in entries(file, kind) if name not in REFUSED] for kind in ("lmm", "glmm"))
DEAR = ("lmm_insteval_three_ml", "lmm_insteval_three_reml", "lmm_insteval_two_reml", "glmm_verbagg_slopes")


def both_engines(names):
    """(file, name, engine): krylov where there are several terms and it takes a second."""
    crossed = [(file, name) for file, name in names if len(stored(file)[name]["terms"]) > 1 and name not in DEAR]
    return [(*at, "exact") for at in names] + [(*at, "krylov") for at in crossed]


@cache
def fitted(file: str, name: str, engine: str = "exact"):
    """One fit; the only warnings allowed are of a singular covariance, where the stored one is singular too."""
    entry = stored(file)[name]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings(
            "ignore", message="(Laplace is not accurate|[0-9]+ points are not enough) here", category=glimm.GlimmWarning
        )
        if is_singular(entry):
            warnings.filterwarnings("ignore", message="the estimated", category=glimm.GlimmWarning)
        return glimm.glmm(entry["formula"], frame_of(entry), control=glimm.Control(engine=engine), **arguments_of(entry))


def covariances(fit) -> list[np.ndarray]:
    """(q, q) per term, in the order of the formula; (1, 1) under ou."""
    return [root @ root.T * (fit.sigma**2 if fit.record.linear else 1.0) for root in fit.record.roots]


def assert_terms(fit, entry: dict, tolerance: float) -> None:
    """Covariances of every term in units of its standard deviations, and what a structure has for them."""
    terms = fit.record.design.mean.random
    theta = [fit.theta[at] for at in slices_of([len(part) for part in theta_parts(fit)], 0)]
    unit = fit.sigma if fit.record.linear else 1.0
    largest = max(max(term["sd"]) for term in entry["terms"])
    for mine, term, want, values in zip(covariances(fit), terms, entry["terms"], theta, strict=True):
        assert (term.group, term.structure) == (want["group"], want["structure"])
        deviation = np.array(want["sd"])
        floor = np.maximum(deviation, 3e-2 * largest)
        if want["structure"] != "ou":
            assert_in_units(mine, covariance_of(want), np.outer(floor, floor), tolerance, f"covariance of {term.group}")
        natural = want.get("natural", {})
        if "sd" in natural:
            assert_in_units([values[0] * unit], [natural["sd"]], floor[:1], tolerance, "standard deviation")
        for name in ("rho", "rate"):
            if name in natural and deviation.all():
                rho = np.atleast_1d(natural[name])
                assert_in_units(values[len(values) - len(rho) :], rho, np.maximum(np.abs(rho), 1.0), tolerance, name)


def theta_parts(fit) -> list[list[str]]:
    """Names of the reported parameters, by term."""
    return [list(theta_names(term.structure, term.names, term.group)) for term in fit.record.design.mean.random]


def assert_effects(fit, entry: dict, tolerance: float) -> None:
    """Conditional modes and their standard deviations, in units of the effects' standard deviations."""
    table = fit.ranef()
    largest = max(max(term["sd"]) for term in entry["terms"])
    at = 0
    for term, want in zip(fit.record.design.mean.random, entry["terms"], strict=True):
        part = table[at : at + len(term.levels) * len(term.names)] if term.times is None else table[at : at + len(term.times)]
        at += len(part)
        for key, name in (("ranef", "estimate"), ("ranef_condsd", "std_error")):
            if key in want:
                assert {str(level) for level in part["level"]} == set(want[key])
                theirs = np.array([want[key][str(level)] for level in part["level"][:: len(term.names)]], dtype=float)
                unit = np.broadcast_to(np.maximum(want["sd"], 1e-2 * largest), theirs.shape)
                assert_in_units(part[name].to_numpy().reshape(theirs.shape), theirs, unit, tolerance, f"{key} of {term.group}")


def assert_errors_of_deviations(fit, entry: dict, tolerance: float) -> None:
    """Standard errors of log sd of single and independent effects, and of the family's own parameters on their log or logit scale."""
    cov, p = vector_covariance(fit), len(fit.params)
    names = theta_parts(fit)
    for at, want in zip(slices_of([len(part) for part in names], p), entry["terms"], strict=True):
        if "log_sd_se" in want and (want["structure"] == "diag" or len(want["effects"]) == 1):
            mine = np.sqrt(np.diag(cov)[at]) / fit.record.vector[at]
            assert_relative(mine, want["log_sd_se"], tolerance, f"standard error of log sd of {want['group']}")
    natural = entry.get("parameters", {"sigma": entry["sigma"]} if "sigma" in entry else {})
    errors = entry.get("log_se", {"sigma": entry.get("log_sigma_se")})
    family, psi = fit.record.family, fit.record.vector[fit.record.blocks["family"]]
    assert set(natural) == set(family.parameters)
    for k, name in enumerate(family.parameters):
        value, error = natural[name], entry["logit_power_se"] if name == "power" else errors[name]
        mine, se = psi[k], np.sqrt(cov[len(cov) - len(psi) + k, len(cov) - len(psi) + k])
        assert_in_units([mine], [np.log(value - 1) - np.log(2 - value) if name == "power" else np.log(value)], error, 1e-3, name)
        assert_relative(se, error, tolerance, f"standard error of {name}")


def slices_of(lengths: list[int], first: int) -> list[slice]:
    """Where parts of those lengths stand, one after the other."""
    return [slice(a, b) for a, b in pairwise(np.cumsum([first, *lengths]).tolist())]


@pytest.mark.parametrize(("file", "name", "engine"), both_engines(LINEAR))
def test_linear(file, name, engine):
    entry = stored(file)[name]
    fit, want = fitted(file, name, engine), entry["m2loglik"]
    assert (fit.record.stochastic is not None) == (engine == "krylov")
    assert -2.0 * fit.llf <= want + 1e-6 + 1e-9 * abs(want), f"-2 log L {-2.0 * fit.llf!r} above {want!r}"
    assert -2.0 * fit.llf >= want - 1e-5, f"-2 log L {-2.0 * fit.llf!r} below the optimum {want!r}"
    assert_in_units(fit.params, vector(entry["coef"]), vector(entry["se"]), 1e-4, "coefficients")
    assert_relative(fit.bse, entry["se"], 1e-4, "standard errors")
    assert_covariance(fit.cov_params(), entry["vcov"], 1e-4, "covariance")
    assert_relative(fit.sigma, entry["sigma"], 1e-4, "sigma")
    assert_terms(fit, entry, 1e-3)
    assert_effects(fit, entry, 1e-3)


@pytest.mark.parametrize(("file", "name", "engine"), both_engines(GENERAL))
def test_laplace(file, name, engine):
    entry = stored(file)[name]
    fit = fitted(file, name, engine)
    assert (fit.record.stochastic is not None) == (engine == "krylov")
    assert fit.points == 1
    assert_not_worse(fit.llf, entry["loglik"], 1e-6, "log-likelihood")
    assert fit.llf <= entry["loglik"] + 1e-5, f"log-likelihood {fit.llf!r} above the optimum {entry['loglik']!r}"
    assert_in_units(fit.params, vector(entry["coef"]), vector(entry["se"]), 1e-4, "coefficients")
    assert_relative(fit.bse, entry["se"], 1e-4, "standard errors")
    assert_covariance(fit.cov_params(), entry["vcov"], 1e-4, "covariance")
    assert_terms(fit, entry, 1e-3)
    assert_effects(fit, entry, 1e-3)
    assert_errors_of_deviations(fit, entry, 1e-3)


@pytest.mark.parametrize(("file", "name", "engine"), both_engines(LINEAR + GENERAL))
def test_a_singular_covariance_is_said_and_no_other(file, name, engine):
    entry = stored(file)[name]
    fit = fitted(file, name, engine)
    assert fit.record.solution.code == ("boundary" if is_singular(entry) else "converged"), fit.record.solution
    assert fit.converged


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name):
    with pytest.raises(glimm.GlimmError, match="homcs"):
        fitted("structures", name)


@pytest.mark.parametrize("name", stored("sim_several"))
def test_random_designs_end_no_lower_than_the_best(name):
    entry = stored("sim_several")[name]
    arguments = {"reml": entry["reml"]} if entry["kind"] == "lmm" else {"family": entry["family"], "points": 1}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message="the estimated", category=glimm.GlimmWarning)
        fit = glimm.glmm(entry["formula"], simulated(entry), **arguments)
    best = min(entry["m2loglik"].values())
    assert fit.converged
    assert_not_worse(fit.llf, -0.5 * best, 1e-6, "log-likelihood")
