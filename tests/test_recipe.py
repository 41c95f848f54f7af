"""The structures that CONTRIBUTING.md adds, run from there: fits against a dense multivariate normal, and dense estimating equations."""

import re
from pathlib import Path

import numpy as np
import pytest
from scipy import optimize, stats

import glimm
from glimm.covariance.choose import PLAIN
from glimm.covariance.correlated import CORRELATED

PAGE = Path(__file__).parents[1] / "CONTRIBUTING.md"
K, LEVELS = 5, 60
LAG = np.abs(np.subtract.outer(np.arange(K), np.arange(K)))


def blocks(title):
    section = PAGE.read_text(encoding="utf-8").partition(f"## {title}\n")[2].partition("\n## ")[0]
    return re.findall(r"```python\n(.*?)```", section, re.S)


@pytest.fixture(scope="module", autouse=True)
def recipe():
    (code,) = blocks("Add a covariance structure")
    assert code.count("\n") < 60
    before = dict(CORRELATED)
    exec(compile(code, str(PAGE), "exec"), {})
    yield
    CORRELATED.clear()
    CORRELATED.update(before)


def data(rho):
    rng = np.random.default_rng(7)
    g, visit = np.repeat(np.arange(LEVELS), 2 * K), np.tile(np.arange(K), 2 * LEVELS)
    effects = rng.normal(size=(LEVELS, K)) @ np.linalg.cholesky(np.where(LAG == 0, 1.0, np.where(LAG == 1, rho, 0.0))).T
    x = rng.normal(size=len(g))
    return {"g": g, "visit": visit, "x": x, "y": 1.0 + 0.5 * x + effects[g, visit] + 0.7 * rng.normal(size=len(g))}


def loglik(frame, sd, rho, sigma):
    """Level by level; beta by generalised least squares."""
    occasion = frame["visit"].reshape(LEVELS, 2 * K)[0]
    r = np.where(LAG == 0, 1.0, np.where(LAG == 1, rho, 0.0))
    v = sd**2 * r[np.ix_(occasion, occasion)] + sigma**2 * np.eye(2 * K)
    x = np.stack([np.ones(len(frame["x"])), frame["x"]], axis=1).reshape(LEVELS, 2 * K, 2)
    y = frame["y"].reshape(LEVELS, 2 * K)
    w = np.linalg.solve(v, x)
    beta = np.linalg.solve(np.einsum("jia,jib->ab", x, w), np.einsum("jia,ji->a", w, y))
    return stats.multivariate_normal.logpdf(y - x @ beta, np.zeros(2 * K), v).sum(), beta


@pytest.mark.parametrize("rho", [0.4, -0.3])
def test_the_structure_of_the_recipe(rho):
    frame = data(rho)
    fit = glimm.glmm("y ~ x + ma1(0 + C(visit) | g)", frame, reml=False)
    assert fit.record.solution.code == "converged"
    assert fit.theta_names == ("g.sd", "g.rho")
    edge = 0.5 / np.cos(np.pi / (K + 1))
    best = optimize.minimize(
        lambda v: -loglik(frame, np.exp(v[0]), edge * np.tanh(v[1]), np.exp(v[2]))[0],
        [0.1, rho, -0.2],
        method="Nelder-Mead",
        options={"xatol": 1e-7, "fatol": 1e-10, "maxiter": 2000},
    )
    found = fit.theta[0] * fit.sigma, fit.theta[1], fit.sigma
    value, beta = loglik(frame, *found)
    assert fit.llf == pytest.approx(value, abs=1e-7)
    assert fit.llf == pytest.approx(-best.fun, abs=1e-6)
    np.testing.assert_allclose(fit.params, beta, rtol=1e-7)
    np.testing.assert_allclose(found, [np.exp(best.x[0]), edge * np.tanh(best.x[1]), np.exp(best.x[2])], rtol=1e-4)


def test_it_is_known_everywhere():
    fit = glimm.glmm("y ~ x + ma1(0 + C(visit) | g) + (1 | g)", data(0.4))
    assert "ma1 of g: one variance, one correlation between neighbours in the order of levels" in " ".join(fit.summary().split())
    table = fit.varcorr()
    np.testing.assert_allclose(table["corr_C(visit)[0]"][1:K], [fit.theta[1], 0.0, 0.0, 0.0], atol=1e-9)
    with pytest.raises(glimm.GlimmError, match=r"write ma1\(0 \+ C\(visit\) \| g\) for levels that are equally spaced occasions"):
        glimm.glmm("y ~ x + ma1(0 + visit | g)", data(0.4))
    drawn = np.asarray(fit.simulate(4000, 1)) - np.asarray(fit.predict(target="typical"))[:, None]
    first, second, third = (drawn[np.arange(j, len(drawn), 2 * K)].ravel() for j in range(3))
    sd, rho, one = fit.theta * fit.sigma * [1.0, 1.0 / fit.sigma, 1.0]
    assert np.mean(first * second) == pytest.approx(sd**2 * rho + one**2, abs=0.02)
    assert np.mean(first * third) == pytest.approx(one**2, abs=0.02)


def test_its_limit_is_said():
    with pytest.warns(glimm.GlimmWarning, match=r"the estimate of g\.rho is 0\.57735, the limit of what ma1 can have"):
        fit = glimm.glmm("y ~ x + ma1(0 + C(visit) | g)", constant())
    assert np.isfinite(fit.bse).all()


def constant():
    """Effects that do not change: more correlation than neighbours can have."""
    frame, effects = data(0.4), np.random.default_rng(2).normal(size=LEVELS)
    return {**frame, "y": frame["x"] + effects[frame["g"]] + 0.3 * np.sin(np.arange(len(frame["g"])) * 7.0)}


@pytest.fixture(scope="module")
def working():
    yours, ours = blocks("Add a working correlation")
    before, names = dict(PLAIN), {}
    exec(compile(yours, str(PAGE), "exec"), names)
    exec(compile(ours, str(PAGE), "exec"), {})
    yield names["own"]
    PLAIN.clear()
    PLAIN.update(before)


def incomplete():
    rng = np.random.default_rng(9)
    g, t = np.repeat(np.arange(150), 5), np.tile(np.arange(1.0, 6.0), 150)
    lag, x = np.abs(np.subtract.outer(np.arange(5), np.arange(5))), rng.normal(size=750)
    e = rng.normal(size=(150, 5)) @ np.linalg.cholesky(np.where(lag == 0, 1.0, np.where(lag == 1, 0.5, 0.3))).T
    kept = rng.random(750) < 0.8
    return {"g": g[kept], "t": t[kept], "x": x[kept], "y": (1.0 + 0.5 * x + e.ravel())[kept]}


@pytest.mark.parametrize("moments", ["standard", "geepack"])
def test_the_working_correlation_of_the_recipe(working, moments):
    frame = incomplete()
    fit = glimm.gee("y ~ x", frame, groups="g", time="t", corr="neighbours", moments=moments)
    assert fit.corr_params.index.tolist() == ["alpha_next", "alpha_far"]
    x, e = np.stack([np.ones(len(frame["x"])), frame["x"]], axis=1), np.asarray(fit.resid("pearson"))
    p = 2 if moments == "standard" else 0
    phi = e @ e / (len(e) - p)
    score, sums, pairs = np.zeros(2), np.zeros(2), np.zeros(2)
    for level in np.unique(frame["g"]):
        rows = np.flatnonzero(frame["g"] == level)
        apart = np.abs(np.subtract.outer(frame["t"][rows], frame["t"][rows]))
        r = np.where(apart == 0, 1.0, np.where(apart == 1, fit.corr_params.iloc[0], fit.corr_params.iloc[1]))
        score += x[rows].T @ np.linalg.solve(r, e[rows])
        for k, which in enumerate((apart == 1, apart > 1)):
            sums[k] += np.outer(e[rows], e[rows])[which].sum() / 2
            pairs[k] += which.sum() / 2
    np.testing.assert_allclose(score, 0.0, atol=1e-7)
    np.testing.assert_allclose(fit.corr_params, sums / phi / (pairs - p), rtol=1e-8)
    assert np.isfinite(fit.influence("row")["cooks_distance"]).all()
    if moments == "geepack":
        same = glimm.gee("y ~ x", frame, groups="g", time="t", corr=working, moments=moments)
        np.testing.assert_allclose(same.params, fit.params, rtol=1e-7)
        np.testing.assert_allclose(same.corr_params, fit.corr_params, rtol=1e-6)
        assert same.corr_params.index.tolist() == ["next", "far"]
