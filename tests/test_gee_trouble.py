"""GEE in trouble: estimates that are no correlation matrix, pairs that are not there, extreme times, functions that fail."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest

import glimm


def clusters(k: int = 20, m: int = 4) -> pd.DataFrame:
    """k clusters of m rows with a shared effect."""
    rng = np.random.default_rng(1)
    g = np.repeat(np.arange(k), m)
    x, u = rng.normal(size=k * m), rng.normal(size=k)[g]
    return pd.DataFrame({"g": g, "t": np.tile(np.arange(float(m)), k), "x": x, "y": x + u + rng.normal(size=k * m)})


def gls(d: pd.DataFrame, r: np.ndarray) -> np.ndarray:
    """beta of intercept and x under R, by dense algebra; complete clusters."""
    inverse, x = np.kron(np.eye(d["g"].nunique()), np.linalg.inv(r)), np.column_stack([np.ones(len(d)), d["x"]])
    return np.linalg.solve(x.T @ inverse @ x, x.T @ inverse @ d["y"].to_numpy())


def test_correlations_that_become_none_again_are_held_at_the_room_that_is_told():
    d = clusters()
    with pytest.warns(glimm.GlimmWarning, match="smallest eigenvalue is 0.1"):
        fit = glimm.gee("y ~ x", d, groups="g", corr="nonstationary(1)")
    r = fit.working_corr().to_numpy()
    assert fit.converged
    np.testing.assert_allclose(np.linalg.eigvalsh(r)[0], 0.1, atol=1e-8)
    np.testing.assert_allclose(fit.params, gls(d, r), rtol=1e-7)
    assert np.abs(fit.params - [0.0, 1.0]).max() < 1.0  # beta of the simulation; with an eigenvalue of 1e-6 the intercept was 66


@pytest.mark.parametrize("seed", range(40))
def test_the_factor_told_is_the_factor_used(seed):
    rng = np.random.default_rng(seed)
    k, m = int(rng.integers(4, 15)), int(rng.integers(3, 6))
    d = clusters(k, m)
    d["y"] = np.asarray(rng.normal(size=(k, m)) @ np.linalg.cholesky(np.full((m, m), 0.9) + 0.1 * np.eye(m)).T).ravel()
    corr = ["stationary(1)", "stationary(2)", "nonstationary(1)", "unstructured"][seed % 4]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", glimm.GlimmWarning)
        fit = glimm.gee("y ~ x", d, groups="g", corr=corr, moments=["standard", "geepack"][seed // 4 % 2])
    least = np.linalg.eigvalsh(fit.working_corr().to_numpy())[0]
    told = fit.record.solution.evidence.get("factor")
    if told is None:
        assert least >= 1e-6 - 1e-12
    else:
        np.testing.assert_allclose(least, 0.1, atol=1e-8)
        np.testing.assert_allclose(fit.corr_params, told * np.array(fit.record.solution.evidence["estimated"]), rtol=1e-8)
    if fit.converged:
        np.testing.assert_allclose(fit.params, gls(d, fit.working_corr().to_numpy()), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("family", ["gamma", "inverse_gaussian", "tweedie(1.5)"])
@pytest.mark.parametrize("unit", [1e-12, 1e9, 1e15])
def test_the_unit_of_the_response_is_no_exact_fit(family, unit):
    rng = np.random.default_rng(9)
    d = clusters(30).assign(y=lambda one: rng.gamma(3.0, np.exp(0.3 * one["x"])))
    a, b = (glimm.gee("y ~ x", d.assign(y=u * d["y"]), groups="g", family=family, link="log") for u in (1.0, unit))
    np.testing.assert_allclose(b.params - a.params, [np.log(unit), 0.0], atol=1e-7)
    np.testing.assert_allclose(b.bse, a.bse, rtol=1e-7)
    np.testing.assert_allclose(b.corr_params, a.corr_params, rtol=1e-6, atol=1e-9)


def test_whole_steps_that_overshoot_are_shortened():
    rng = np.random.default_rng(1)
    sizes = rng.integers(2, 6, 50)
    g = np.repeat(np.arange(50), sizes)
    n = len(g)
    x, z, f = rng.normal(size=n), rng.normal(size=n), rng.choice(list("abc"), n)
    eta = 0.2 + 0.3 * x + 0.5 * rng.normal(size=50)[g]
    y = (rng.random(n) < 1 / (1 + np.exp(-eta))) * 1.0
    d = pd.DataFrame({"g": g, "x": x, "z": z, "f": f, "y": y, "w": rng.uniform(0.5, 2, n), "o": 0.1 * rng.normal(size=n)})
    with pytest.warns(glimm.GlimmWarning, match="drawn towards independence"):
        fit = glimm.gee("y ~ x + z + f", d, groups="g", family="binomial", corr="unstructured", weights="w", offset="o")
    assert fit.converged
    columns = np.column_stack([np.ones(n), x, z, f == "b", f == "c"]).astype(float)
    mu = 1 / (1 + np.exp(-columns @ fit.params[["Intercept", "x", "z", "f[T.b]", "f[T.c]"]] - d["o"]))
    r, score, bread = fit.working_corr().to_numpy(), np.zeros(5), np.zeros((5, 5))
    for i in range(50):
        own = np.flatnonzero(g == i)
        m, w = mu[own].to_numpy(), d["w"].to_numpy()[own]
        inverse = np.linalg.inv(r[: len(own), : len(own)])
        wide = columns[own] * np.sqrt(m * (1 - m) * w)[:, None]
        score += wide.T @ inverse @ ((y[own] - m) * np.sqrt(w / (m * (1 - m))))
        bread += wide.T @ inverse @ wide
    assert np.abs(np.linalg.solve(bread, score) * np.sqrt(np.diag(bread))).max() < 1e-7


@pytest.mark.parametrize(("corr", "groups"), [("exchangeable", "g"), ("ar1", "g"), ("nested", "g/t")])
def test_weights_of_clusters_of_one_row_pair_nothing(corr, groups):
    d = clusters(80, 1).assign(w=np.random.default_rng(2).uniform(0.3, 3.0, 80))
    with pytest.warns(glimm.GlimmWarning, match="no cluster has two rows"):
        fit = glimm.gee("y ~ x", d, groups=groups, weights="w", moments="geepack", corr=corr)
    assert not fit.corr_params.any()


def test_weights_of_clusters_with_one_inner_cluster_have_nothing_across():
    rng = np.random.default_rng(3)
    d = clusters(9000, 3).assign(w=rng.uniform(0.3, 3.0, 27_000), c=lambda one: one["g"])
    with pytest.warns(glimm.GlimmWarning, match="no pair of rows for alpha_across: taken as 0"):
        fit = glimm.gee("y ~ x", d, groups="g/c", weights="w", moments="geepack", corr="nested")
    one = glimm.gee("y ~ x", d, groups="g", weights="w", moments="geepack")
    np.testing.assert_allclose(fit.corr_params, [one.corr_params.iloc[0], 0.0], rtol=1e-9)
    np.testing.assert_allclose(fit.params, one.params, rtol=1e-9)


@pytest.mark.parametrize("far", [50.0, 5e3, 1e12])
def test_ar2_over_a_long_gap(far):
    d = clusters(30)
    d["when"] = np.where(d["t"] == 3.0, far, d["t"])
    fit = glimm.gee("y ~ x", d, groups="g", time="when", corr="ar(2)")
    a1, a2 = fit.corr_params
    near = np.array([[1.0, a1, a2], [a1, 1.0, a1], [a2, a1, 1.0]])
    r = np.eye(4)
    r[:3, :3] = near
    if far == 50.0:
        f = np.linalg.solve([[1.0, a1], [a1, 1.0]], [a1, a2])
        curve = [1.0, a1, a2]
        while len(curve) <= far:
            curve.append(f[0] * curve[-1] + f[1] * curve[-2])
        r[3, :3] = r[:3, 3] = [curve[int(far) - t] for t in (0, 1, 2)]
    np.testing.assert_allclose(fit.params, gls(d, r), rtol=1e-7)


def test_ar_of_correlations_that_do_not_vanish_over_a_long_gap():
    rng = np.random.default_rng(4)
    d = clusters(30, 40)
    d["y"] = (rng.normal(size=(30, 40)).cumsum(axis=1) + 30.0 * rng.normal(size=(30, 1))).ravel()
    d["when"] = np.where(d["t"] == 39.0, 1e9, d["t"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", glimm.GlimmWarning)
        fit = glimm.gee("y ~ x", d, groups="g", time="when", corr="ar(2)")
    assert fit.converged
    assert np.isfinite(fit.bse).all()


def test_lags_without_a_pair_are_told_as_such():
    d = clusters().assign(t=lambda one: 5.0 * one["t"])
    with pytest.warns(glimm.GlimmWarning, match="no two rows of a cluster are up to 2 apart in time"):
        fit = glimm.gee("y ~ x", d, groups="g", time="t", corr="stationary(2)")
    assert not fit.corr_params.any()


@pytest.mark.parametrize("unit", [1e-12, 1e-4, 1e13, 1e300])
def test_ar1_whose_number_cannot_be_held(unit):
    d = clusters().assign(t=lambda one: unit * one["t"])
    with pytest.raises(glimm.GlimmError, match=r"corr='ar1': .* apart in time .* divide times by about"):
        glimm.gee("y ~ x", d, groups="g", time="t", corr="ar1")


def test_ar1_does_not_depend_on_the_unit_of_time():
    d = clusters()
    a, b, c = (glimm.gee("y ~ x", d.assign(t=unit * d["t"]), groups="g", time="t", corr="ar1") for unit in (1 / 64, 3.0, 2.0**24))
    assert a.converged
    assert c.converged
    r = b.corr_params.iloc[0] ** (3.0 * np.abs(np.subtract.outer(range(4), range(4))))
    for fit in (a, b, c):
        np.testing.assert_allclose(fit.params, gls(d, r), rtol=1e-7)


@pytest.mark.parametrize("gaps", [False, True])
@pytest.mark.parametrize("weights", [None, "w"])
def test_geepacks_rule_in_long_clusters(gaps, weights):
    rng = np.random.default_rng(6)
    sizes = [3, 2500, 2, 2300, 5]
    when = [np.sort(rng.choice(3000, n, replace=False)) if gaps else np.arange(n) for n in sizes]
    g, t = np.repeat(np.arange(5), sizes), np.concatenate(when).astype(float)
    y = np.zeros(len(g))
    for i in range(1, len(y)):
        y[i] = 0.7 * y[i - 1] * (g[i] == g[i - 1]) + rng.normal()
    d = pd.DataFrame({"g": g, "t": t, "y": y, "w": rng.uniform(0.5, 2.0, len(y))})
    fit = glimm.gee("y ~ 1", d, groups="g", time="t", corr="ar1", moments="geepack", weights=weights)
    e, w = y - fit.params.iloc[0], d["w"].to_numpy() if weights else np.ones(len(y))
    phi, left = np.sum(w * e**2) / w.sum(), 0.0
    for i in range(5):
        own = g == i
        j, k = np.triu_indices(own.sum(), 1)
        lag, pairs = t[own][k] - t[own][j], w[own][j] * w[own][k]
        near = lag < 300  # 0.7^300 is nothing
        j, k, lag, pairs = j[near], k[near], lag[near], pairs[near]
        a = fit.corr_params.iloc[0]
        left += np.sum(lag * a ** (lag - 1.0) * pairs * (e[own][j] * e[own][k] / phi - a**lag))
    assert fit.converged
    np.testing.assert_allclose(fit.scale, phi, rtol=1e-9)
    assert abs(left) < 1e-6 * len(y)


@pytest.mark.parametrize("corr", ["ar(2)", "stationary(2)"])
def test_a_long_cluster_with_a_gap_is_refused_before_its_matrix_is_made(corr):
    rng = np.random.default_rng(7)
    d = pd.DataFrame({"g": np.repeat([0, 1, 2], 18_000), "t": np.tile(np.arange(18_000), 3)}).query("t != 77")
    d["y"] = rng.normal(size=len(d)) + 9.0 * (d["t"] % 2)
    with pytest.raises(glimm.GlimmError, match="too large to be held: number the occasions"):
        glimm.gee("y ~ 1", d, groups="g", time="t", corr=corr)


def test_geepacks_rule_at_fractional_times_of_long_clusters_is_refused():
    rng = np.random.default_rng(8)
    d = pd.DataFrame({"g": np.repeat([0, 1], 7_000), "t": np.tile(np.arange(7_000) / 3.0, 2), "y": rng.normal(size=14_000)})
    with pytest.raises(glimm.GlimmError, match="takes every pair of rows"):
        glimm.gee("y ~ 1", d, groups="g", time="t", corr="ar1", moments="geepack")


def fails(alpha, times):
    """No matrix."""
    return 1 / 0


def test_functions_of_a_users_correlation():
    d = clusters()
    for matrix, said in (
        (fails, "raised ZeroDivisionError"),
        (lambda a: np.eye(4), "raised TypeError"),
        (lambda a, t: "x", "must give numbers, not str"),
    ):
        with pytest.raises(glimm.GlimmError, match=said):
            glimm.gee("y ~ x", d, groups="g", corr=glimm.CustomCorr(matrix, [0.2]))
    for start in ("x", [np.nan], [[0.2]]):
        with pytest.raises(glimm.GlimmError, match="start must be"):
            glimm.CustomCorr(fails, start)
    with pytest.raises(glimm.GlimmError, match="estimate must be a function"):
        glimm.CustomCorr(fails, [0.2], estimate=3)
    with pytest.raises(glimm.GlimmError, match="times must be numbers"):
        glimm.FixedCorr(np.eye(2), times=["a", "b"])


def test_a_users_function_that_writes_into_what_it_is_given_changes_nothing():
    def exchangeable(alpha, times):
        a = alpha[0]
        alpha[0] = times[0] = 99.0
        return np.full((len(times), len(times)), a) + (1 - a) * np.eye(len(times))

    d = clusters()
    own = glimm.gee("y ~ x", d, groups="g", corr=glimm.CustomCorr(exchangeable, [0.2]), moments="geepack")
    np.testing.assert_allclose(own.params, glimm.gee("y ~ x", d, groups="g", moments="geepack").params, rtol=1e-7)
