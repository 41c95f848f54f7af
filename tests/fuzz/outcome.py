"""What a call may end in: a fit that holds what it says, a fit that says in one warning that it does not, or an error of our own.

`judge` returns the outcome of a recipe; a Failure says what was neither.
"""

from __future__ import annotations

import re

import numpy as np

import glimm
from glimm.inference.criteria import fitted, own_psi
from glimm.kernels import variance
from glimm.records import GeeRecord, GlmRecord, MixedRecord

from . import likelihoods
from .averages import averages_hold
from .cases import GLM_ONLY, make
from .said import Failure, quietly

GRADIENT = 2e-3
"""Of the log-likelihood, per standard error."""
SMALL = 60
"""Rows of a fit that is asked for influence."""
NO_NUMBER = re.compile(r"(?<![\w.])-?(nan|inf)(?!\w)", re.IGNORECASE)


def judge(recipe):
    """(door, family, outcome): "converged", "boundary", "separated", "not_converged" or "refused"; raises Failure."""
    door, formula, data, arguments = make(recipe)
    fit, said = quietly(f"glimm.{door}", lambda: getattr(glimm, door)(formula, data, **arguments))
    family = recipe["family"].partition("(")[0]
    if fit is None:
        return door, family, "refused"
    solution = fit.record.solution
    if solution.code != "converged" and sum(solution.message in s for s in said) != 1:
        raise Failure(f"code {solution.code!r} without exactly one warning that says so: {said}")
    if len(set(said)) < len(said):
        raise Failure(f"a warning twice: {said}")
    if fit.converged:
        finite(fit, said)
        holds(fit, recipe, solution)
    questions(fit, recipe, data)
    if door == "glm":
        averages_hold(fit, recipe, data)
    return door, family, solution.code


def finite(fit, said):
    """Numbers of a fit that says it converged; what is not there must have been said."""
    text = " ".join(said)
    for name in ("params", "fittedvalues", "scale", "bse"):
        value, _ = quietly(name, lambda name=name: np.asarray(getattr(fit, name, 1.0), dtype=float))
        if value is not None and not np.all(np.isfinite(value)) and not (name in ("scale", "bse") and "standard error" in text):
            raise Failure(f"converged with {name} = {value[~np.isfinite(value)][:3]}; said: {text!r}")
    if hasattr(fit, "llf") and not np.isfinite(fit.llf) and "exact" not in text and "likelihood" not in text:
        raise Failure(f"converged with llf = {fit.record.llf}; said: {text!r}")


def holds(fit, recipe, solution):
    """The solution is one: checked by an independent log-likelihood, density or equation."""
    record = fit.record
    if not isinstance(record, GlmRecord | MixedRecord | GeeRecord) or any(recipe.get(name) for name in GLM_ONLY):
        return  # its likelihood is not that of the plain model
    if not record.family.likelihood and recipe["door"] == "glm":
        return
    psi = record.vector[record.blocks.get("family", slice(0, 0))]
    if recipe["door"] == "gee":
        mu = fitted(record)
        v = variance(record.family.kernel, mu, own_psi(record))
        if np.all(v > 0) and np.isfinite(record.scale) and record.scale > 0:
            left = likelihoods.gee_residual(record, "g", v)
            if not left < 1e-5:
                raise Failure(f"the estimating equations are {left:.2e} from zero (squared standard errors)")
        return
    natural = record.family.natural(psi)[0] if len(psi) else np.zeros(0)
    if record.family.fixed:
        natural = np.array([f for f in record.family.fixed if f is not None])
    if recipe["door"] == "glm":
        if record.family.name == "gaussian":
            natural = np.array([np.sqrt(record.deviance / record.design.n)])
        glm_holds(record, natural, solution)
    elif record.linear:
        lmm_holds(record, solution)
    elif (
        len(record.roots) == 1
        and record.roots[0].shape == (1, 1)
        and record.design.mean.random[0].times is None  # ou: an effect for every time, and Laplace
        and recipe["points"] == "auto"
        and recipe["weights"] not in ("wide", "huge")
        and "stopped" not in str(solution.evidence)
    ):
        glmm_holds(record, natural)


def glm_holds(record, natural, solution):
    bse = np.diag(record.bread)
    if record.design.n <= record.design.mean.matrix.p and not record.family.scale_known:
        return
    if not (np.isfinite(bse).all() and np.isfinite(natural).all() and np.all(natural > 0)) or not record.design.mean.matrix.p:
        return
    scale = record.scale if np.isfinite(record.scale) else 1.0
    from glimm.design.coordinates import to_named

    w, q = np.linalg.eigh(scale * record.bread)
    root = q * np.sqrt(np.maximum(w, 0.0))
    found = likelihoods.glm_direction(record, natural, (to_named(record.design.mean) @ root).T)
    if found is None:
        return
    here, slopes = found
    if "fit every row exactly" in str(solution.evidence):
        return
    if "known to about" not in str(solution.evidence) and not abs(here - record.llf) <= 1e-6 * (1.0 + abs(here)):
        raise Failure(f"llf is {record.llf!r}, the density gives {here!r}")
    slopes = [(g, noise) for g, noise in slopes if np.isfinite(g)]  # a step may end outside the link
    if not all(abs(g) <= GRADIENT + 10 * noise for g, noise in slopes) and np.isfinite(here):
        raise Failure(f"the log-likelihood still rises by {max(abs(g) for g, _ in slopes):.2e} per standard error ({solution.code})")


def lmm_holds(record, solution):
    covariances = likelihoods.random_covariance(record, record.design)
    if covariances is None:
        return
    beta, s2 = record.vector[record.blocks["mean"]], record.scale
    ones = [1.0] * len(covariances)
    here = likelihoods.lmm_deviance(record, covariances, beta, s2, ones)
    tolerance = 1e-6 * (1.0 + abs(here))
    if not abs(here + 2.0 * record.llf) <= max(tolerance, 1e-5):
        raise Failure(f"-2 llf is {-2 * record.llf!r}, the dense density gives {here!r} ({solution.code})")
    if "runs to zero" in solution.message:
        return
    for moved in (1.02, 0.98):
        for t in range(len(ones)):
            factors = [moved if j == t else 1.0 for j in range(len(ones))]
            if likelihoods.lmm_deviance(record, covariances, beta, s2, factors) < here - 1e-5:
                raise Failure(f"the likelihood is higher with the variances of term {t} times {moved} ({solution.code})")
        if likelihoods.lmm_deviance(record, covariances, beta, s2 * moved, ones) < here - 1e-5:
            raise Failure(f"the likelihood is higher with sigma2 times {moved}")
    inference = glimm.inference.covariance.infer(record, "model")
    for step in inference.bse:
        if np.isfinite(step):
            for j in range(len(beta)):
                e = np.zeros(len(beta))
                e[j] = 0.05 * inference.bse[j]
                if min(likelihoods.lmm_deviance(record, covariances, beta + s * e, s2, ones) for s in (1, -1)) < here - 1e-5:
                    raise Failure(f"the likelihood is higher with coefficient {j} moved")
            break


def glmm_holds(record, natural):
    beta, sd = record.vector[record.blocks["mean"]], abs(float(record.roots[0][0, 0]))
    here = likelihoods.intercept_loglik(record, natural, beta, sd)
    if here is None or not np.isfinite(here):
        return
    if not abs(here - record.llf) < 0.02 + 1e-6 * abs(here):
        raise Failure(f"llf is {record.llf!r}, integration over a grid gives {here!r}")
    work = glimm.inference.covariance.infer(record, "model").bse
    for j, step in enumerate(work):
        e = np.zeros(len(beta))
        e[j] = 0.3 * step if np.isfinite(step) else 0.0
        for s in (1, -1):
            if likelihoods.intercept_loglik(record, natural, beta + s * e, sd) > here + 0.02 + 1e-6 * abs(here):
                raise Failure(f"the likelihood is higher with coefficient {j} moved")
    for moved in (1.1, 0.9):
        if likelihoods.intercept_loglik(record, natural, beta, moved * sd) > here + 0.02 + 1e-6 * abs(here):
            raise Failure(f"the likelihood is higher with sd times {moved}")


def told(found):
    """The findings, each of which is words and numbers."""
    for finding in found:
        text = " ".join((finding.sentence, finding.consequence, finding.remedy, *(c for row in finding.shown for c in row)))
        if word := NO_NUMBER.search(text):
            raise Failure(f"finding {finding.code!r} says {word.group()!r}: {text}")
    return found


def questions(fit, recipe, data):
    """Every question has an answer, a number or an error of our own."""
    door = recipe["door"]
    asked = {
        "summary": lambda: str(fit.summary()),
        "html": lambda: fit._repr_html_(),
        "conf_int": fit.conf_int,
        "tidy": fit.tidy,
        "glance": fit.glance,
        "augment": fit.augment,
        "pvalues": lambda: fit.pvalues,
        "cov_params": fit.cov_params,
        "deviance": lambda: getattr(fit, "deviance", None),
        "parts": lambda: [(p.params, p.bse) for p in fit.parts.values()],
        "predict": fit.predict,
        "predict new": lambda: fit.predict(data),
        "predict link": lambda: fit.predict(scale="link", interval="confidence"),
        "predict prediction": lambda: fit.predict(interval="prediction"),
        "simulate": lambda: fit.simulate(2, seed=1),
        "compare": lambda: str(glimm.compare(fit, fit)),
        **{f"resid {kind}": lambda kind=kind: fit.resid(kind) for kind in ("response", "pearson", "deviance", "working")},
        **{f"effect {v}": lambda v=v: fit.effect(v) for v in ("a", "b") if v in recipe["terms"].format(a="a", b="b", c="c")},
        "means": lambda: fit.means("a"),
        "slope": lambda: fit.slope("a"),
        "marginal_params": fit.marginal_params,
        "check": lambda: told(fit.check()),
        "check text": lambda: str(fit.check()),
        "check table": lambda: fit.check().table,
        "quantile_residuals": lambda: fit.quantile_residuals(n=20),
        "wald_test": lambda: str(fit.wald_test([fit.params.index[-1]])),
        "wald_test_terms": fit.wald_test_terms,
    }
    if door == "glm":
        asked |= {f"anova {k}": lambda k=k: fit.anova(k) for k in (1, 2, 3)}
        asked |= {f"resid {kind}": lambda kind=kind: fit.resid(kind) for kind in ("anscombe", "standardized_deviance", "likelihood")}
        asked |= {"leverage": lambda: getattr(fit, "leverage", None), "score_test_terms": fit.score_test_terms}
        asked |= {"profile": lambda: fit.conf_int(method="profile"), "lrt": lambda: str(glimm.lrt(fit, fit))}
    if door == "gee":
        asked |= {f"qic {v}": lambda v=v: float(fit.qic(v)) for v in ("sas", "pan", "common", "geepack")}
        asked["score_test_terms"] = fit.score_test_terms
    if len(fit.record.design.y) <= SMALL:
        asked["influence"] = fit.influence
    if door == "glmm":
        asked |= {"ranef": fit.ranef, "varcorr": fit.varcorr, "theta": lambda: fit.theta, "icc": fit.icc, "r2": fit.r2}
        asked |= {"predict marginal": lambda: fit.predict(target="marginal", interval="confidence")}
    if door == "gee":
        asked |= {"corr_params": lambda: fit.corr_params, "working_corr": fit.working_corr}
        asked |= {"residual_corr": fit.residual_corr, "residual_tests": lambda: fit.residual_tests(n=40)}
        asked["influence of rows"] = lambda: fit.influence("row")
    for name, call in asked.items():
        answer, said = quietly(f"{name} ({fit.record.solution.code})", call)
        if name in ("predict", "resid response", "resid pearson", "resid deviance", "ranef") and answer is not None and fit.converged:
            values = answer["estimate"] if name == "ranef" else answer
            values = np.asarray(values, dtype=float)
            if not np.all(np.isfinite(values)) and not said:
                raise Failure(f"{name} of a converged fit has {values[~np.isfinite(values)][:2]}")
