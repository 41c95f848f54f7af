"""What the reference tests share: stored results, the data prepared as the R scripts prepare them, fits, and one assertion per kind.

A stored entry says formula, data, weights, offset and the numbers; `prepared` makes its frame, `fitted` fits it once, `assert_*` compares.
Coefficients are compared by position: R and glimm name them differently but put them in the same order.
"""

from __future__ import annotations

import json
import warnings
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

import glimm
from glimm.inference.covariance import named, theta_covariance

HERE = Path(__file__).parent / "reference"

FAMILIES = {  # reference.json does not store them; more.json does
    "glm_ohio_logit": ("binomial", "logit"),
    "glm_ohio_probit": ("binomial", "probit"),
    "glm_cbpp_trials": ("binomial", "logit"),
    "glm_ticks_poisson": ("poisson", "log"),
    "glmm_ticks_poisson": ("poisson", "log"),
    "glmm_ticks_poisson_tmb": ("poisson", "log"),
    "glmm_ticks_nb2": ("negative_binomial", "log"),
}

# Stored entries that compute something else than glimm does, each with its reason.
OTHER_MODEL = {
    **{f"glmm_ohio_{link}_{k}": "glmer: expected information as curvature" for link in ("probit", "cloglog") for k in (5, 15)},
    **{
        f"glmm_{name}_1": "glmer at one point is off by 5e-6 in log L: see _tmb" for name in ("ticks_brood", "cbpp_logit", "seizure_offset")
    },
    "glmm_ticks_poisson": "glmer stopped 1.3e-3 below the optimum of log L: see _tmb",
}

# R's vcov is at the last but one iterate, and Fisher scoring is slow with an identity link. Against 40 digits of mpmath these are off
# by 4e-8 and 1e-7 (coefficients), 2e-8 and 4e-8 (covariance): `polished` does R's last step.
UNFINISHED = ("glm_ohio_identity", "glm_epil_identity", "glm_ohio_weights", "glm_seizure_offset")


@cache
def stored(file: str) -> dict[str, dict]:
    """The entries of one json file by id."""
    return json.loads((HERE / f"{file}.json").read_text(encoding="utf-8"))


def ids(file: str, kind: str, keep=lambda name, entry: True) -> list[str]:
    """Ids of a file's entries of a kind that glimm can fit."""
    left_out = {} if file == "aghq" else OTHER_MODEL
    return [name for name, entry in stored(file).items() if entry["kind"] == kind and name not in left_out and keep(name, entry)]


@cache
def data(stem: str) -> pd.DataFrame:
    """A csv file with the columns that the R scripts derive from it."""
    frame = pd.read_csv(HERE / "data" / f"{stem}.csv")
    if stem == "HSAUR3_toenail":
        frame["y"] = (frame["outcome"] == "moderate or severe").astype(int)
        frame["month"] = np.array([0, 1, 2, 3, 6, 9, 12])[frame["visit"] - 1]
    if stem == "mlmRev_Contraception":
        frame["y"] = (frame["use"] == "Y").astype(int)
    return frame


def column(frame: pd.DataFrame, text: str) -> np.ndarray:
    """A stored expression such as "1 + id % 3" or "log(weeks)" as numbers, one per row."""
    names = {name: frame[name].to_numpy() for name in frame.columns}
    return np.broadcast_to(np.asarray(eval(text.split(" (")[0], {"log": np.log}, names), dtype=float), len(frame)).copy()


def prepared(entry: dict) -> tuple[pd.DataFrame, dict[str, object]]:
    """The frame of an entry, and the arguments weights and offset."""
    frame = data(entry["data"]).copy()
    arguments: dict[str, object] = {}
    for role in ("weights", "offset"):
        if role in entry:
            frame[f"{role}_column"] = column(frame, entry[role])
            arguments[role] = f"{role}_column"
    return frame, arguments


def vector(numbers: dict | list | float) -> np.ndarray:
    """Stored numbers as an array."""
    values = list(numbers.values()) if isinstance(numbers, dict) else numbers
    return np.atleast_1d(np.asarray(values, dtype=float))


def columns_of(name: str, frame: pd.DataFrame) -> np.ndarray:
    """The design matrix of an entry of UNFINISHED, written out."""
    one = np.ones(len(frame))
    if "ohio" in name:
        return np.column_stack([one, frame["age"], frame["smoke"], frame["age"] * frame["smoke"]])
    if "seizure" in name:
        return np.column_stack([one, frame["trt"], frame["post"], frame["trt"] * frame["post"]])
    return np.column_stack([one, frame["base"], frame["trt"] == "progabide", frame["V4"]]).astype(float)


def mean_of(link: str, eta: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """mu, its slope and its second derivative in eta."""
    if link == "identity":
        return eta, np.ones_like(eta), np.zeros_like(eta)
    if link == "log":
        return (np.exp(eta),) * 3
    mu = 1.0 / (1.0 + np.exp(-eta))
    return mu, mu * (1.0 - mu), mu * (1.0 - mu) * (1.0 - 2.0 * mu)


@cache
def polished(name: str) -> dict:
    """An entry of UNFINISHED after Newton steps on the log-likelihood from R's coefficients."""
    entry = dict(stored("more")[name])
    frame, _ = prepared(entry)
    size = frame["weights_column"].to_numpy() if "weights" in entry else 1.0
    offset = frame["offset_column"].to_numpy() if "offset" in entry else 0.0
    y = frame["resp" if entry["family"] == "binomial" else "y"].to_numpy(dtype=float)
    x, beta = columns_of(name, frame), vector(entry["coef"])
    for _ in range(20):
        mu, slope, bend = mean_of(entry["link"], x @ beta + offset)
        variance, rise = (mu * (1.0 - mu), 1.0 - 2.0 * mu) if entry["family"] == "binomial" else (mu, 1.0)
        information = size * slope**2 / variance
        observed = information - size * (y - mu) * (bend / variance - slope**2 * rise / variance**2)
        beta = beta + np.linalg.solve((x.T * observed) @ x, x.T @ (size * (y - mu) * slope / variance))
    covariance = np.linalg.inv((x.T * information) @ x)
    assert_relative(beta, entry["coef"], 1e-6, f"{name}: R's coefficients are nearly there")
    assert_covariance(entry["vcov"], covariance, 1e-6, f"{name}: R's covariance is nearly there")
    entry |= {"coef": beta.tolist(), "se": np.sqrt(np.diag(covariance)).tolist(), "vcov": covariance.tolist()}
    entry["pearson_chi2"] = float(np.sum(size * (y - mu) ** 2 / variance))
    if "predict" in entry:
        new = columns_of(name, pd.DataFrame(entry["predict"]["newdata"]))
        link_se = np.sqrt(np.einsum("ij,jk,ik->i", new, covariance, new))
        slope = mean_of(entry["link"], np.array(entry["predict"]["link"]))[1]
        entry["predict"] = entry["predict"] | {"link_se": link_se.tolist(), "response_se": (slope * link_se).tolist()}
    return entry


def finished(name: str) -> dict:
    """A GLM entry of more.json, polished where R stopped early."""
    return polished(name) if name in UNFINISHED else stored("more")[name]


@cache
def fitted(file: str, name: str, vcov: str = ""):
    """One fit of a stored entry; warnings other than those of a variance at zero are errors. `vcov` is json."""
    entry = stored(file)[name]
    frame, arguments = prepared(entry)
    if vcov:
        arguments["vcov"] = json.loads(vcov)
    kind, formula = entry["kind"], entry["formula"].split(", groups")[0]
    family, link = entry.get("family"), entry.get("link")
    if family is None and kind != "lmm":
        family, link = FAMILIES.get(name, ("binomial", "logit"))
    if kind == "lmm":
        arguments["reml"] = entry["reml"] if "reml" in entry else entry["extra"]["reml"]
        call = glimm.glmm
    else:
        arguments |= {"family": family, "link": link}
        call = {"glm": glimm.glm, "glmm": glimm.glmm, "gee": glimm.gee}[kind]
    if kind == "glmm":
        arguments["points"] = entry["points"] if "points" in entry else entry["extra"].get("points", 1)
    if kind == "gee":
        groups = entry["formula"].split("groups = ")[-1] if "groups" not in entry else entry["groups"]
        arguments |= {"groups": groups, "corr": entry.get("corr") or entry["extra"]["corr"], "moments": entry.get("rule", "geepack")}
        if "waves" in entry:
            arguments["time"] = entry["waves"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings(
            "ignore", message="(Laplace is not accurate|[0-9]+ points are not enough) here", category=glimm.GlimmWarning
        )
        if entry.get("theta") == 0:
            warnings.filterwarnings("ignore", category=glimm.GlimmWarning)
        return call(formula, frame, **arguments)


def assert_relative(got, want, tolerance: float, what: str) -> None:
    """|got - want| <= tolerance |want|."""
    got, want = np.atleast_1d(np.asarray(got, dtype=float)), vector(want)
    assert got.shape == want.shape, f"{what}: {got.shape} against {want.shape}"
    worst = np.max(np.abs(got - want) / np.maximum(np.abs(want), 1e-300), initial=0.0)
    assert worst <= tolerance, f"{what}: relative difference {worst:.2e} > {tolerance:.0e}\n got {got}\nwant {want}"


def assert_in_units(got, want, unit, tolerance: float, what: str) -> None:
    """|got - want| <= tolerance unit, elementwise."""
    got, want, unit = (np.asarray(a, dtype=float) for a in (got, want, unit))
    assert got.shape == want.shape, f"{what}: {got.shape} against {want.shape}"
    worst = np.max(np.abs(got - want) / unit, initial=0.0)
    assert worst <= tolerance, f"{what}: difference {worst:.2e} > {tolerance:.0e} units\n got {got}\nwant {want}"


def assert_covariance(got, want, tolerance: float, what: str) -> None:
    """Entries against the product of the standard errors."""
    want = np.asarray(want, dtype=float)
    root = np.sqrt(np.diag(want))
    assert_in_units(got, want, np.outer(root, root), tolerance, what)


def assert_not_worse(got: float, want: float, tolerance: float, what: str) -> None:
    """A log-likelihood at least as high as the stored one, and higher only by what an inaccurate optimiser explains."""
    assert got >= want - tolerance, f"{what}: {got!r} is lower than the stored {want!r} by {want - got:.2e}"
    assert got <= want + 1e-2, f"{what}: {got!r} is higher than the stored {want!r} by {got - want:.2e}: not the same model"


def assert_glm(fit, entry: dict, tolerance: float = 1e-8) -> None:
    """Coefficients, standard errors, covariance and every criterion stored."""
    assert_relative(fit.params, entry["coef"], tolerance, "coefficients")
    assert_relative(fit.bse, entry["se"], tolerance, "standard errors")
    assert_relative(fit.llf, entry["loglik"], tolerance, "log-likelihood")
    assert fit.converged
    for mine, theirs in (("deviance", "deviance"), ("aic", "aic"), ("bic", "bic"), ("scale", "dispersion")):
        if theirs in entry:
            assert_relative(getattr(fit, mine), entry[theirs], tolerance, mine)
    if "vcov" in entry:
        assert_covariance(fit.cov_params(), entry["vcov"], tolerance, "covariance")
        assert_relative(np.sum(fit.resid("pearson") ** 2), entry["pearson_chi2"], tolerance, "Pearson chi-squared")
        assert (fit.nobs, fit.df_resid) == (entry["nobs"], entry["df_resid"])


def by_level(fit, entry: dict, key: str) -> tuple[np.ndarray, np.ndarray]:
    """What glimm says of each level (estimate or std_error) and what is stored, in glimm's order."""
    table = fit.ranef()
    assert {str(level) for level in table["level"]} == set(entry[key])
    mine = table["estimate" if key == "ranef" else "std_error"].to_numpy()
    return mine, np.array([entry[key][str(level)] for level in table["level"]])


def vector_covariance(fit) -> np.ndarray:
    """Covariance of (coefficients, theta, psi) of a GLMM."""
    return named(fit.record.design.mean, theta_covariance(fit.record))


def assert_effects(fit, entry: dict, spread: float, tolerance: float) -> None:
    """Predicted effects and their conditional standard deviations, in units of the random effect's standard deviation."""
    for key in ("ranef", "ranef_condsd"):
        if key in entry:
            assert_in_units(*by_level(fit, entry, key), spread, tolerance, key)


def assert_lmm(fit, entry: dict, tolerance: float) -> None:
    """-2 log L to 1e-6 + 1e-9 relative or lower; the estimates to `tolerance`."""
    want = entry["m2loglik"]
    assert -2.0 * fit.llf <= want + 1e-6 + 1e-9 * abs(want), f"-2 log L {-2.0 * fit.llf!r} above {want!r}"
    assert -2.0 * fit.llf >= want - 1e-3, f"-2 log L {-2.0 * fit.llf!r} far below {want!r}: not the same criterion"
    assert fit.converged
    assert_in_units(fit.params, vector(entry["coef"]), vector(entry["se"]), tolerance, "coefficients")
    assert_relative(fit.bse, entry["se"], tolerance, "standard errors")
    assert_covariance(fit.cov_params(), entry["vcov"], tolerance, "covariance")
    assert_in_units(fit.theta, vector(entry["theta"]), 1.0 + abs(entry["theta"]), tolerance, "theta")
    assert_relative(fit.sigma, entry["sigma"], tolerance, "sigma")
    assert_relative([fit.aic, fit.bic], [entry["aic"], entry["bic"]], 1e-8, "aic, bic")
    assert_relative(fit.fittedvalues.iloc[:5], entry["fitted_first5"], tolerance, "fitted values")
    assert_effects(fit, entry, entry["sd"] or entry["sigma"], tolerance)


def assert_glmm(fit, entry: dict, llf: float, coef: float, se: float) -> None:
    """Log-likelihood, coefficients (in standard errors), standard errors (relative), and whatever else is stored."""
    assert fit.converged
    assert_not_worse(fit.llf, entry["loglik"], llf, "log-likelihood")
    assert_in_units(fit.params, vector(entry["coef"]), vector(entry["se"]), coef, "coefficients")
    assert_relative(fit.bse, entry["se"], se, "standard errors")
    if "vcov" in entry:
        assert_covariance(fit.cov_params(), entry["vcov"], se, "covariance")
    if "sd" in entry:
        deviation, theta = entry["sd"], fit.record.blocks["theta"].start
        errors = np.sqrt(np.diag(vector_covariance(fit)))
        assert_in_units(fit.theta, vector(deviation), deviation * entry["log_sd_se"], coef, "standard deviation of the effects")
        assert_relative(errors[theta] / fit.theta[0], entry["log_sd_se"], se, "standard error of log sd")
        assert_effects(fit, entry, deviation, 10 * coef)
    if "sigma" in entry:
        assert_in_units([np.log(fit.sigma)], np.log(vector(entry["sigma"])), entry["log_sigma_se"], coef, "residual sd")
        assert_relative(
            np.sqrt(vector_covariance(fit)[-1, -1]),
            entry["log_sigma_se"],
            se,
            "standard error of log sigma",
        )


def assert_gee(fit, entry: dict, tolerance: float = 1e-6) -> None:
    """Coefficients, robust and model-based errors, dispersion and correlation."""
    extra = entry.get("extra", entry)
    assert_relative(fit.params, entry["coef"], tolerance, "coefficients")
    assert_relative(fit.bse, entry["se"], tolerance, "robust standard errors")
    assert_relative(fit.scale, extra["phi"], tolerance, "dispersion")
    alpha = extra["alpha"] if extra["alpha"] is not None else []
    assert_relative(fit.corr_params.to_numpy(), vector(alpha) if np.size(alpha) else [], tolerance, "correlation")
    assert fit.converged
    if "vcov" in entry:
        assert_covariance(fit.cov_params(), entry["vcov"], tolerance, "robust covariance")
