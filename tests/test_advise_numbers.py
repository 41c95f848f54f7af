"""The numbers in an advice: from loops over clusters, NumPy and R."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import glimm
from support_advise import (
    autoregressive,
    codes,
    columns,
    dropping_out,
    dropping_out_at_random,
    evidence,
    exchangeable,
    few,
    informative_size,
    overdispersed_counts,
    pairs_of,
    poisson_counts,
    residuals,
    slopes,
    two_effects,
)


@pytest.mark.parametrize(
    ("make", "formula", "names", "kind", "p"),
    [
        (exchangeable, "y ~ x", ["x"], {}, 2),
        (few, "y ~ x", ["x"], {"binomial": True}, 2),
        (poisson_counts, "y ~ x", ["x"], {"poisson": True}, 2),
    ],
)
def test_correlation_of_two_rows(make, formula, names, kind, p):
    data = make()
    r, _ = residuals(data["y"].to_numpy(float), columns(data, *names), **kind)
    phi = r @ r / (len(r) - p)
    products = pairs_of(r, data["g"].to_numpy())
    found = evidence(glimm.advise(formula, data, groups="g").reasons, "dependence")
    assert found["pairs"] == len(products)
    assert found["correlation"] == pytest.approx(products.sum() / (len(products) - p) / phi, rel=1e-7)
    assert found["z"] == pytest.approx(products.sum() / np.sqrt(len(products)) / phi, rel=1e-7)


def test_the_first_correlation_is_that_of_a_gee_at_independence():
    data = exchangeable()
    start = glimm.gee("y ~ x", data, groups="g", corr="independence")
    r = start.resid("pearson").to_numpy()
    products = pairs_of(r, data["g"].to_numpy())
    phi = r @ r / (len(r) - 2)
    found = evidence(glimm.advise("y ~ x", data, groups="g").reasons, "dependence")["correlation"]
    assert found == pytest.approx(products.sum() / phi / (len(products) - 2), rel=1e-9)


def test_correlations_by_lag():
    data = autoregressive()
    r, _ = residuals(data["y"].to_numpy(), columns(data, "x"))
    by_time = r.reshape(150, 8)
    phi = r @ r / (len(r) - 2)
    advice = glimm.advise("y ~ x", data.sample(frac=1, random_state=1), groups="g", time="t")
    expected = [np.mean(by_time[:, lag:] * by_time[:, :-lag]) / phi for lag in range(1, 8)]
    np.testing.assert_allclose([lag.correlation for lag in advice.facts.lags], expected, rtol=1e-9)
    numbers = evidence(advice.reasons, "ar1")
    weights = np.array([150.0 * (8 - lag) for lag in range(1, 8)])
    grid = np.linspace(0.01, 0.99, 981)
    rms = np.sqrt((grid[:, None] ** np.arange(1, 8) - expected) ** 2 @ weights / weights.sum())
    assert numbers["rho"] == pytest.approx(grid[rms.argmin()], abs=0.02)
    assert numbers["falling"] == pytest.approx(rms.min(), rel=0.02)
    alpha = np.average(expected, weights=weights)
    assert numbers["alpha"] == pytest.approx(alpha, rel=1e-9)
    assert numbers["constant"] == pytest.approx(np.sqrt(np.average((expected - alpha) ** 2, weights=weights)), rel=1e-9)
    doubt = evidence(advice.doubts, "serial_correlation")
    assert (doubt["first"], doubt["last"]) == pytest.approx((expected[0], expected[-1]), rel=1e-9)
    assert "ar1(0 + C(t) | g)" in next(s.text for s in advice.doubts)


def test_shares_within_clusters():
    data = glimm.load_dataset("ohio").assign(place=lambda d: np.where(d.index % 3 == 0, "a", np.where(d.index % 2 == 0, "b", "c")))
    advice = glimm.advise("resp ~ age + smoke + place", data, groups="id", question="individual")
    shares = {x.name: x.within["id"] for x in advice.facts.predictors}
    assert (shares["age"], shares["smoke"]) == (pytest.approx(1.0), 0.0)
    dummies = pd.get_dummies(data["place"]).astype(float)
    inside = ((dummies - dummies.groupby(data["id"]).transform("mean")) ** 2).to_numpy().sum()
    assert shares["place"] == pytest.approx(inside / ((dummies - dummies.mean()) ** 2).to_numpy().sum(), rel=1e-12)
    reversals = data.groupby("id")["resp"].nunique()
    assert evidence(advice.reasons, "dependence")["constant"] == int((reversals == 1).sum())
    assert evidence(advice.reasons, "family_binomial") | {"events": 326, "failures": 1822} == evidence(advice.reasons, "family_binomial")


def test_equal_slopes_is_the_f_test_of_the_interaction():
    data = slopes()
    x = pd.get_dummies(data["Subject"]).to_numpy(float)
    y, days = data["Reaction"].to_numpy(), data["Days"].to_numpy(float)
    small, large = np.column_stack([x, days]), np.column_stack([x, x * days[:, None]])
    left = [float(np.sum((y - m @ np.linalg.lstsq(m, y, rcond=None)[0]) ** 2)) for m in (small, large)]
    f = ((left[0] - left[1]) / 17) / (left[1] / (180 - 36))
    found = evidence(glimm.advise("Reaction ~ Days", data, groups="Subject").reasons, "random_slope")
    assert found["F"] == pytest.approx(f, rel=1e-8)
    assert found["p"] == pytest.approx(3.2718512e-9, rel=1e-6)  # anova(lm(Reaction ~ Subject + Days), lm(Reaction ~ Subject * Days)) in R


def test_sizes_that_go_with_the_outcome():
    data = informative_size()
    r, _ = residuals(data["y"].to_numpy(float), columns(data, "x"), binomial=True)
    g = data["g"].to_numpy()
    size = np.array([np.sum(g == k) for k in np.unique(g)], dtype=float)
    mean = np.array([r[g == k].mean() for k in np.unique(g)])
    found = evidence(glimm.advise("y ~ x", data, groups="g").doubts, "informative_cluster_size")
    assert found["correlation"] == pytest.approx(np.corrcoef(size, mean)[0, 1], rel=1e-7)
    a = (size - size.mean()) * (mean - mean.mean())
    assert found["z"] == pytest.approx(a.sum() / np.sqrt((a**2).sum()), rel=1e-7)


def test_dropout_against_those_who_stay():
    data = dropping_out()
    advice = glimm.advise("y ~ t", data, groups="g", time="t", question="population")
    used = data.dropna()
    r, _ = residuals(used["y"].to_numpy(), columns(used, "t"))
    used = used.assign(r=r)
    last = used.groupby("g")["t"].transform("max")
    differences, noise = [], 0.0
    for k in range(4):
        here = used[used["t"] == k]
        gone, on = here["r"][last[here.index] == k], here["r"][last[here.index] > k]
        differences += list(gone - on.mean())
        noise += len(gone) ** 2 * on.var() / len(on)
    d = np.array(differences)
    found = evidence(advice.reasons, "dropout_depends_on_response")
    assert (found["clusters"], found["difference"]) == (len(d), pytest.approx(d.mean(), rel=1e-8))
    assert found["z"] == pytest.approx(d.mean() / np.sqrt(d.var(ddof=1) / len(d) + noise / len(d) ** 2), rel=1e-8)
    counts = evidence(advice.missing, "occasions")
    sizes = used.groupby("g").size()
    assert (counts["complete"], counts["stopped"], counts["gaps"]) == ((sizes == 5).sum(), (sizes < 5).sum(), 0)
    assert evidence(advice.missing, "rows_lost")["y"] == int(data["y"].isna().sum())
    assert advice.answers[0].then == "fit.marginal_params()"


def test_dropout_at_random_is_said_to_be_unrelated():
    advice = glimm.advise("y ~ t", dropping_out_at_random(), groups="g", time="t")
    assert abs(evidence(advice.missing, "dropout_unrelated")["z"]) < 3.0
    assert {"assumes_at_random", "assumes_completely_at_random"} <= codes(advice.missing)


def test_dispersion_of_counts():
    for make in (overdispersed_counts, poisson_counts):
        data = make()
        y, g = data["y"].to_numpy(float), data["g"].to_numpy()
        r, mu = residuals(y, columns(data, "x"), poisson=True)
        chi2, df = 0.0, -1
        for k in np.unique(g):
            total = y[g == k].sum()
            if total:
                mean = mu[g == k] * total / mu[g == k].sum()
                chi2, df = chi2 + np.sum((y[g == k] - mean) ** 2 / mean), df + np.sum(g == k) - 1
        advice = glimm.advise("y ~ x", data, groups="g")
        found = next(s.evidence for s in advice.reasons if s.code.startswith("family"))
        assert found["dispersion"] == pytest.approx(r @ r / (len(r) - 2), rel=1e-6)
        assert found["within_dispersion"] == pytest.approx(chi2 / df, rel=1e-6)
        alone = glimm.advise("y ~ x", data)
        assert ('"negative_binomial"' in alone.call) == (found["dispersion"] > 1.5)


def test_cluster_means_as_a_further_predictor():
    data = two_effects()
    x, y = data["x"].to_numpy(), data["y"].to_numpy()
    means = data.groupby("g")["x"].transform("mean").to_numpy()
    base = columns(data, "x")
    r, extra = (v - base @ np.linalg.lstsq(base, v, rcond=None)[0] for v in (y, means))
    scores = np.array([np.sum((r * extra)[data["g"] == k]) for k in range(100)])
    found = evidence(glimm.advise("y ~ x", data, groups="g").doubts, "between_within")
    assert found["z"] == pytest.approx(scores.sum() / np.sqrt((scores**2).sum()), rel=1e-7)
    assert found["within"] == pytest.approx(np.sum((x - means) ** 2) / np.sum((x - x.mean()) ** 2), rel=1e-12)
