"""One correlation of a nominal response between occasions: dense algebra, closed forms, identities, what cannot be had."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import glimm
from glimm.estimators.ordinal import pieces
from glimm.inference.levels import layout
from oracle import levels as oracle


def drawn(seed, clusters=60, most=5):
    """Four levels without an order, likely to be the same again in a cluster of 1 to `most` rows."""
    rng = np.random.default_rng(seed)
    g = np.repeat(np.arange(clusters), rng.integers(1, most + 1, clusters))
    x, t = rng.normal(30.0, 2.0, len(g)), g % 2
    eta = np.column_stack([np.zeros(len(g)), 0.3 + 0.2 * (x - 30.0), 0.3 * t - 0.2 * (x - 30.0), -0.3 * t])
    share = np.exp(eta) / np.exp(eta).sum(axis=1, keepdims=True)
    u = np.where(rng.uniform(size=len(g)) < 0.7, rng.uniform(size=clusters)[g], rng.uniform(size=len(g)))
    y = (u[:, None] > share.cumsum(axis=1)).sum(axis=1)
    return pd.DataFrame({"y": y, "x": x, "t": t, "g": g}).sample(frac=1.0, random_state=seed).reset_index(drop=True)


@pytest.fixture(scope="module")
def d():
    return drawn(3)


def fitted(data, formula="y ~ x + t", **given):
    return glimm.gee(formula, data, groups="g", family="multinomial", **given)


def given(data):
    return np.column_stack([np.ones(len(data)), data["x"], data["t"]]), data["y"].to_numpy(), data["g"].to_numpy()


def test_equations_by_dense_algebra(d):
    fit, (x, y, g) = fitted(d), given(d)
    alpha = fit.corr_params["alpha"]
    score, model, robust = oracle.equations("nominal", "logit", fit.params.to_numpy(), x, y, g, 3, alpha=alpha)
    assert np.abs(np.sqrt(np.diag(model)) * score).max() < 1e-6
    np.testing.assert_allclose(fit.cov_params(), robust, rtol=0, atol=1e-6 * np.diag(robust).max())
    np.testing.assert_allclose(fitted(d, vcov="model").cov_params(), model, rtol=0, atol=1e-6 * np.diag(model).max())
    mu = oracle.nominal_means(fit.params.to_numpy(), x, 3)
    assert abs(oracle.agreement(alpha, mu, y, g).sum()) < 1e-8
    assert alpha > 0.3
    record = fit.record
    ((curvatures, scores),) = pieces(record, next(iter(record.design.clusters.values())), True)
    np.testing.assert_allclose(np.linalg.inv(curvatures.sum(axis=0)), record.bread, rtol=1e-9)
    assert np.abs(scores.sum(axis=0)).max() < 1e-8


def test_error_of_the_correlation(d):
    """The joint sandwich with derivatives by differences."""
    fit, (x, y, g) = fitted(d), given(d)
    alpha, vector = fit.corr_params["alpha"], fit.params.to_numpy()
    means = lambda v: oracle.nominal_means(v, x, 3)  # noqa: E731
    own = oracle.agreement(alpha, means(vector), y, g)
    slope = oracle.derivative(lambda v: oracle.agreement(alpha, means(v), y, g).sum(), vector)
    pairs = oracle.agreement(alpha, means(vector), y, g).sum() - oracle.agreement(alpha + 1.0, means(vector), y, g).sum()
    _, model, _ = oracle.equations("nominal", "logit", vector, x, y, g, 3, alpha=alpha)
    each = [c.T @ np.linalg.solve(v, r) for c, v, r in oracle.pieces("nominal", "logit", vector, x, y, g, 3, alpha=alpha)]
    want = np.sqrt(np.sum(((own + np.array(each) @ model @ slope) / pairs) ** 2))
    found = fit.parts["association"]
    assert found.bse["alpha"] == pytest.approx(want, rel=1e-5)
    assert f"one correlation, alpha = {alpha:.4g} (std. error {want:.3g}"[:50] in str(fit.summary())


def test_agreement_beyond_chance():
    """Without predictors and with clusters of one size: shares, and the agreement of pairs over levels, each by its share."""
    data = drawn(4, most=1)
    data = pd.concat([data, data.assign(y=np.where(np.arange(len(data)) % 3 > 0, data["y"], (data["y"] + 1) % 4))], ignore_index=True)
    fit = fitted(data, "y ~ 1")
    share = data["y"].value_counts(normalize=True).sort_index().to_numpy()
    np.testing.assert_allclose(fit.predict()[0], share, rtol=1e-9)
    y = np.array([group["y"].to_numpy() for _, group in data.groupby("g")])
    same = [np.mean((y[:, 0] == c) & (y[:, 1] == c)) for c in range(4)]
    assert fit.corr_params["alpha"] == pytest.approx((np.sum(same / share) - 1.0) / 3.0, rel=1e-9)


def test_any_reference(d):
    """The correlation sets no level apart."""
    fit = fitted(d)
    turned = fitted(d.assign(y=pd.Categorical(d["y"].astype(str), ["2", "0", "3", "1"])))
    np.testing.assert_allclose(turned.fittedvalues[["0", "1", "2", "3"]], fit.fittedvalues[[0, 1, 2, 3]], rtol=1e-7)
    np.testing.assert_allclose(turned.corr_params, fit.corr_params, rtol=1e-7)
    np.testing.assert_allclose(turned.params["0: x"], -fit.params["2: x"], rtol=1e-7)
    np.testing.assert_allclose(turned.bse["0: x"], fit.bse["2: x"], rtol=1e-7)
    np.testing.assert_allclose(turned.parts["association"].bse, fit.parts["association"].bse, rtol=1e-7)


def test_order_of_rows_and_shifted_columns(d):
    fit = fitted(d)
    other = fitted(d.assign(x=1000.0 * d["x"] + 5e4).sample(frac=1.0, random_state=1))
    np.testing.assert_allclose(other.params[["1: t", "2: t"]], fit.params[["1: t", "2: t"]], rtol=1e-7)
    np.testing.assert_allclose(1000.0 * other.bse["1: x"], fit.bse["1: x"], rtol=1e-7)
    np.testing.assert_allclose(other.corr_params, fit.corr_params, rtol=1e-8)


def test_clusters_of_one_row(d):
    data = d.assign(g=np.arange(len(d)))
    fit, alone = fitted(data), fitted(data, corr="independence")
    np.testing.assert_allclose(fit.params, alone.params, rtol=1e-12)
    np.testing.assert_allclose(fit.bse, alone.bse, rtol=1e-10)
    assert len(fit.corr_params) == 0
    assert fit.parts == {}
    assert "no cluster has two occasions" in str(fit.summary())


def test_a_large_cluster(d):
    """No matrix over the rows of a cluster is made."""
    data = drawn(5, clusters=400, most=4)
    data["g"] = np.where(data["g"] < 200, -1, data["g"])
    fit = fitted(data)
    assert fit.converged
    assert data["g"].value_counts().iloc[0] > 400


def test_what_rests_on_the_scores(d):
    """Averages of a sample: influence of the rows and of the estimates."""
    fit, (_, _, g) = fitted(d), given(d)
    table = fit.means(errors="sampled")
    p, influence = fit.fittedvalues.to_numpy(), np.zeros((60, 4))
    np.add.at(influence, g, (p - p.mean(axis=0)) / len(p))
    x = given(d)[0]
    average = lambda v: oracle.probabilities("nominal", oracle.nominal_means(v, x, 3)).mean(axis=0)  # noqa: E731
    ((_, scores),) = pieces(fit.record, next(iter(fit.record.design.clusters.values())))
    influence += scores @ fit.record.bread @ layout(fit.record).to_named().T @ oracle.derivative(average, fit.params.to_numpy()).T
    np.testing.assert_allclose(table["std_error"], np.sqrt((influence**2).sum(axis=0)), rtol=1e-6)


def test_correlations_that_are_not_possible():
    """Pairs that never agree ask for a negative correlation that nine rows of one cluster cannot have."""
    y = [0, 1, 1, 2, 2, 0] * 8 + [0, 1, 2] * 3
    data = pd.DataFrame({"y": y, "g": [*np.repeat(np.arange(24), 2), *[24] * 9]})
    with pytest.raises(glimm.GlimmError, match=r"correlation beyond -0\..*the largest is 24 of g with 9 rows.*use corr='independence'"):
        fitted(data, "y ~ 1")
    assert fitted(data, "y ~ 1", corr="independence").converged


def test_a_response_that_does_not_change():
    """Its correlation is 1, with which no covariance can be inverted."""
    data = pd.DataFrame({"y": np.repeat(np.arange(60) % 4, 3), "g": np.repeat(np.arange(60), 3)})
    with pytest.raises(glimm.GlimmError, match=r"correlation beyond .*use corr='independence'"):
        fitted(data, "y ~ 1")
