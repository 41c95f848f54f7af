"""The covariance structure that CONTRIBUTING.md adds, run from there: its fits against a dense multivariate normal."""

import re
from pathlib import Path

import numpy as np
import pytest
from scipy import optimize, stats

import glimm
from glimm.covariance.correlated import CORRELATED

PAGE = Path(__file__).parents[1] / "CONTRIBUTING.md"
K, LEVELS = 5, 60
LAG = np.abs(np.subtract.outer(np.arange(K), np.arange(K)))


@pytest.fixture(scope="module", autouse=True)
def recipe():
    section = PAGE.read_text(encoding="utf-8").partition("## Add a covariance structure")[2].partition("\n## ")[0]
    (code,) = re.findall(r"```python\n(.*?)```", section, re.S)
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
