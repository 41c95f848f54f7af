"""Fits of many rows, which begin on a sample and keep an information matrix, against scoring by dense algebra."""

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, special

import glimm
from glimm.design.build import build_design
from glimm.design.rank import CLEAR_PIVOT, decide
from glimm.design.records import Spec
from glimm.estimators.control import Control
from glimm.estimators.irls import mean_rows, row_unit
from glimm.estimators.many_rows import score_many
from glimm.family import resolve
from glimm.kernels import Rows

N = 170_000


@pytest.fixture(scope="module")
def rows():
    r = np.random.default_rng(5)
    x = r.standard_normal((N, 3))
    f, g = r.integers(0, 12, N), r.integers(0, 4, N)
    exposure = r.uniform(0.5, 2.0, N)
    eta = -0.4 + x @ [0.5, -0.3, 0.2] + 0.05 * f - 0.2 * (g == 2)
    mu = exposure * np.exp(eta)
    frame = pd.DataFrame({"a": x[:, 0], "b": 50.0 + 3.0 * x[:, 1], "c": x[:, 2], "f": pd.Categorical.from_codes(f, list("ABCDEFGHIJKL"))})
    frame["g"] = pd.Categorical.from_codes(g, list("wxyz"))
    frame["log_exposure"] = np.log(exposure)
    frame["w"] = r.uniform(0.5, 2.0, N)
    frame["binomial"] = (r.random(N) < special.expit(eta)).astype(int)
    frame["probit"] = (r.random(N) < special.ndtr(0.5 * eta)).astype(int)
    frame["poisson"] = r.poisson(mu)
    frame["gamma"] = mu * r.gamma(2.0, 0.5, N)
    count = r.poisson(mu)
    frame["tweedie"] = np.where(count > 0, r.gamma(2.0 * np.maximum(count, 1)), 0.0)
    return frame


def dense(rows):
    """(N, 18) the model matrix of a + b + c + f + g."""
    parts = [np.ones(N), *(rows[k] for k in "abc")]
    parts += [rows[k].cat.codes == j for k, levels in (("f", 12), ("g", 4)) for j in range(1, levels)]
    return np.column_stack(parts).astype(float)


def scored(x, y, inverse, slope, variance, offset=0.0, w=1.0):
    """Coefficients and inverse information at dispersion 1, by iteratively reweighted least squares of the whole matrix."""
    beta = np.zeros(x.shape[1])
    beta[0] = optimize.brentq(lambda b: float(np.mean(inverse(b + offset) - y)), -10, 10)
    for _ in range(60):
        eta = x @ beta + offset
        mu = inverse(eta)
        weight = w * slope(eta) ** 2 / variance(mu)
        information = x.T @ (weight[:, None] * x)
        step = np.linalg.solve(information, x.T @ (weight * (y - mu) / slope(eta)))
        beta = beta + step
        if np.abs(step).max() < 1e-13:
            break
    return beta, np.linalg.inv(information), inverse(x @ beta + offset)


def density(t):
    return np.exp(-0.5 * t * t) / np.sqrt(2.0 * np.pi)


PAIRS = {
    "binomial": (special.expit, lambda e: special.expit(e) * special.expit(-e), lambda m: m * (1 - m), "binomial", None, False),
    "probit": (special.ndtr, density, lambda m: m * (1 - m), "binomial", "probit", False),
    "poisson": (np.exp, np.exp, lambda m: m, "poisson", None, True),
    "gamma": (np.exp, np.exp, lambda m: m**2, "gamma", "log", True),
    "tweedie": (np.exp, np.exp, lambda m: m**1.5, "tweedie(1.5)", "log", True),
}


@pytest.mark.parametrize("name", PAIRS)
def test_estimates_and_errors_are_those_of_dense_algebra(rows, name):
    inverse, slope, variance, family, link, offset = PAIRS[name]
    known = rows["log_exposure"].to_numpy() if offset else 0.0
    y, x = rows[name].to_numpy().astype(float), dense(rows)
    beta, bread, mu = scored(x, y, inverse, slope, variance, known)
    fit = glimm.glm(f"{name} ~ a + b + c + f + g", rows, family=family, link=link, offset="log_exposure" if offset else None)
    scale = 1.0 if name in ("binomial", "probit", "poisson") else np.sum((y - mu) ** 2 / variance(mu)) / (N - x.shape[1])
    se = np.sqrt(scale * np.diag(bread))
    assert fit.converged
    np.testing.assert_allclose(fit.params.to_numpy(), beta, atol=1e-9 * se.min())
    np.testing.assert_allclose(fit.bse.to_numpy(), se, rtol=1e-8)
    np.testing.assert_allclose(fit.fittedvalues, mu, rtol=1e-8)
    if name == "poisson":
        assert fit.llf == pytest.approx(np.sum(y * np.log(mu) - mu - special.gammaln(y + 1)), rel=1e-12)


def test_weights_count(rows):
    y, x, w = rows["gamma"].to_numpy(), dense(rows), rows["w"].to_numpy()
    beta, _, mu = scored(x, y, np.exp, np.exp, lambda m: m**2, 0.0, w)
    fit = glimm.glm("gamma ~ a + b + c + f + g", rows, family="gamma", link="log", weights="w")
    np.testing.assert_allclose(fit.params.to_numpy(), beta, rtol=1e-9)

    def loglik(phi):
        a = w / phi
        return float(np.sum(a * np.log(a) - special.gammaln(a) + (a - 1.0) * np.log(y) - a * (np.log(mu) + y / mu)))

    best = optimize.minimize_scalar(lambda t: -loglik(np.exp(t)), bounds=(-3, 1), method="bounded", options={"xatol": 1e-12})
    assert fit.llf == pytest.approx(-best.fun, rel=1e-12)


def spec_of(formula, family, link=None, **given):
    return Spec("glm", formula, *resolve(family, link), **given)


def found(spec, data, threads=1):
    design = build_design(spec, data)
    rows = mean_rows(design, threads)
    psi = spec.family.psi()
    return score_many(design, spec.family, Control(threads=threads), rows, psi, row_unit(design, spec.family))


def test_the_search_is_the_one_for_many_rows_and_the_same_for_any_number_of_threads(rows):
    for name in PAIRS:
        family, link, offset = PAIRS[name][3:]
        spec = spec_of(f"{name} ~ a + b + c + f + g", family, link, offset="log_exposure" if offset else None)
        one, two = found(spec, rows), found(spec, rows, 2)
        assert one is not None
        assert one.passes <= 12
        assert np.array_equal(one.beta, two.beta)
        assert np.array_equal(one.last.information, two.last.information)
        assert np.array_equal(one.last.eta, two.last.eta)


def test_few_rows_and_unusual_fits_take_the_usual_way(rows):
    assert found(spec_of("binomial ~ a", "binomial"), rows.iloc[:100_000]) is None
    assert found(spec_of("binomial ~ a", "binomial", "cauchit"), rows) is None
    assert found(spec_of("binomial ~ 0 + a", "binomial"), rows) is None
    separated = rows.assign(z=rows["binomial"] * (1.0 + rows["w"]))
    assert found(spec_of("binomial ~ z", "binomial"), separated) is None
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        fit = glimm.glm("binomial ~ z", separated, family="binomial")
    assert fit.record.solution.code == "separated"
    assert len(said) == 1


def test_rows_in_the_order_of_a_factor_and_levels_that_a_sample_lacks(rows):
    ordered = rows.sort_values("f", kind="stable").reset_index(drop=True)
    rare = np.full(N, "common", dtype=object)
    rare[[7, 100_003, 160_001]] = "rare"
    ordered["rare"] = rare
    ordered.loc[[7, 100_003], "poisson"] = 3
    fit = glimm.glm("poisson ~ a + b + c + f + g + rare", ordered, family="poisson", offset="log_exposure")
    x = np.column_stack([dense(ordered), rare == "rare"])
    y = ordered["poisson"].to_numpy().astype(float)
    beta, bread, _ = scored(x, y, np.exp, np.exp, lambda m: m, ordered["log_exposure"].to_numpy())
    np.testing.assert_allclose(fit.params.to_numpy(), beta, atol=1e-9 * np.sqrt(np.diag(bread)).min())
    np.testing.assert_allclose(fit.bse.to_numpy(), np.sqrt(np.diag(bread)), rtol=1e-8)


def test_rank_of_many_rows(rows):
    twice = rows.assign(d=2.0 * rows["a"] - rows["c"])
    assert list(glimm.glm("poisson ~ a + c + d", twice, family="poisson").params.index) == ["Intercept", "a", "c"]
    nearly = rows.assign(d=rows["a"].where(np.arange(N) != 12_345, 9.0))  # different in one row, which a sample may not have
    design = build_design(spec_of("poisson ~ a + d", "poisson"), nearly)
    everything = Rows(design.mean.matrix, design.mean.center, design.mean.scale).gram()
    pivot = np.linalg.cholesky(everything)[2, 2] ** 2 / everything[2, 2]
    assert pivot > CLEAR_PIVOT
    assert len(decide(design.mean.matrix, 0).keep) == 3
