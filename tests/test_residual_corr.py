"""Correlations of residuals and leverages of clusters of a GEE: against loops over pairs, dense algebra, refits and printed values."""

import itertools
import warnings

import numpy as np
import pandas as pd
import pytest

import glimm
from glimm.diagnostics import pairs as pairs_module
from glimm.diagnostics.pairs import correlations, pairs_of
from support import data as read

pytest.importorskip("matplotlib").use("Agg")

UNSTRUCTURED = {  # R's glmtoolbox 0.1.9 and geepack 1.3.9 on ohio, resp ~ age * smoke
    "standard": [0.3520392244, 0.3101606951, 0.3052979796, 0.4720091332, 0.3202957317, 0.3801054604],
    "geepack": [0.3500719622, 0.3084259439, 0.3035914239, 0.4693634202, 0.3185007624, 0.3779746869],
}


def ohio(**more):
    return glimm.gee("resp ~ age * smoke", glimm.load_dataset("ohio"), groups="id", family="binomial", **more)


def epil():
    return read("MASS_epil")


def toenail():
    data = read("HSAUR3_toenail").rename(columns={"patientID": "id"})
    return data.assign(trt=(data["treatment"] == "terbinafine").astype(int))


def uneven(seed=4, clusters=30):
    """Clusters of 1 to 5 occasions with gaps, out of order."""
    rng = np.random.default_rng(seed)
    rows = [(g, t) for g in range(clusters) for t in sorted(rng.choice(6, rng.integers(1, 6), replace=False))]
    data = pd.DataFrame(rows, columns=["g", "t"])
    data["x"] = rng.normal(size=len(data))
    data["y"] = 1.0 + 0.5 * data["x"] + rng.normal(size=clusters)[data["g"]] + rng.normal(size=len(data))
    return data.sample(frac=1.0, random_state=seed)


@pytest.mark.parametrize("moments", UNSTRUCTURED)
def test_empirical_correlations_are_those_of_unstructured_programs(moments):
    table = ohio(corr="unstructured", moments=moments).residual_corr()
    np.testing.assert_allclose(table["empirical"], UNSTRUCTURED[moments], atol=2e-10)
    np.testing.assert_allclose(table["working"], UNSTRUCTURED[moments], atol=2e-10)
    assert table[["first", "second", "pairs"]].iloc[0].tolist() == [1, 2, 537]


@pytest.mark.parametrize("corr", ["independence", "exchangeable", "ar1", "stationary(2)", "unstructured"])
@pytest.mark.parametrize("by", ["occasions", "lag"])
def test_they_are_sums_over_pairs(corr, by):
    data = uneven()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", glimm.GlimmWarning)
        fit = glimm.gee("y ~ x", data, groups="g", time="t", corr=corr)
    e, working = pd.Series(np.asarray(fit.resid("pearson")), index=data.index), fit.working_corr()
    groups = {}
    for _, rows in data.groupby("g"):
        for i in rows.index:
            for j in rows.index:
                if rows.t[i] < rows.t[j]:
                    key = (rows.t[i], rows.t[j]) if by == "occasions" else rows.t[j] - rows.t[i]
                    groups.setdefault(key, []).append(e[i] * e[j])
    phi = float((e**2).sum() / (len(e) - 2))
    table = fit.residual_corr(by)
    expected = [sum(groups[k]) / phi / (len(groups[k]) - 2 if len(groups[k]) > 2 else len(groups[k])) for k in sorted(groups)]
    assert table["pairs"].tolist() == [len(groups[k]) for k in sorted(groups)]
    np.testing.assert_allclose(table["empirical"], expected, rtol=1e-9)
    if by == "lag" and corr in ("exchangeable", "ar1"):
        alpha = fit.corr_params.iloc[0]
        np.testing.assert_allclose(table["working"], alpha ** (table["lag"] if corr == "ar1" else 1.0), rtol=1e-12)
    if by == "occasions" and set(working.index) == set(range(6)):
        np.testing.assert_allclose(table["working"], [working.loc[k] for k in sorted(groups)], rtol=1e-12)


def test_standard_errors_are_sums_of_derivatives_by_the_weight_of_each_cluster():
    data = uneven(5)
    fit = glimm.gee("y ~ x", data, groups="g", time="t", corr="ar1", moments="geepack")
    e, g, t = np.asarray(fit.resid("pearson")), data["g"].to_numpy(), data["t"].to_numpy()
    first, second = np.nonzero((g[:, None] == g) & (t[:, None] < t))

    def at(w, lag):
        chosen = t[second] - t[first] == lag
        i, j = first[chosen], second[chosen]
        return (w[g[i]] @ (e[i] * e[j])) / w[g[i]].sum() / ((w[g] @ e**2) / w[g].sum())

    table, h = fit.residual_corr("lag"), 1e-5
    for lag, error in zip(table["lag"], table["std_error"], strict=True):
        one = np.eye(g.max() + 1) * h
        slopes = [(at(1.0 + d, lag) - at(1.0 - d, lag)) / (2.0 * h) for d in one]
        assert error == pytest.approx(np.sqrt(np.sum(np.square(slopes))), rel=1e-6)


def test_nested_has_two_and_its_alphas_are_they():
    rng = np.random.default_rng(1)
    school = np.repeat(np.arange(25), 16)
    room = np.repeat(np.arange(100), 4)
    data = {"x": rng.normal(size=400), "school": school, "room": room}
    data["y"] = rng.normal(size=25)[school] + rng.normal(size=100)[room] + rng.normal(size=400)
    fit = glimm.gee("y ~ x", data, groups="school/room", corr="nested")
    table = fit.residual_corr()
    np.testing.assert_allclose(table["empirical"], fit.corr_params, rtol=1e-8)
    assert table["pairs"].tolist() == [100 * 6, 25 * 120 - 100 * 6]
    with pytest.raises(glimm.GlimmError, match="have no times"):
        fit.residual_corr("lag")


def test_of_large_clusters_a_sample_says_the_same(monkeypatch):
    rng = np.random.default_rng(2)
    sizes = np.concatenate([np.full(40, 150), rng.integers(1, 9, 400), [900]])
    g = np.repeat(np.arange(len(sizes)), sizes)
    data = {"g": g, "x": rng.normal(size=len(g)), "y": 0.7 * rng.normal(size=len(sizes))[g] + rng.normal(size=len(g))}
    fit = glimm.gee("y ~ x", data, groups="g")
    monkeypatch.setattr(pairs_module, "MOST_PAIRS", 60_000)
    found = pairs_of(fit.record, 60_000)
    assert not found.whole
    assert 50_000 < len(found.i) < 70_000
    every = np.sum(sizes * (sizes - 1) // 2)
    assert found.weight.sum() * len(g) / len(np.unique(found.i)) / every > 0.2
    c = found.of_lags()
    weights = np.bincount(np.searchsorted(c.second, np.abs(found.at.at[found.j] - found.at.at[found.i])), found.weight)
    assert np.average(c.empirical, weights=weights) == pytest.approx(fit.corr_params.iloc[0], abs=0.03)
    whole = correlations(fit.record, "lag")
    assert whole.pairs.sum() == every


def test_without_pairs_and_with_other_words():
    data = {"y": [1.0, 2.0, 4.0, 3.0, 5.0], "x": [0, 1, 2, 3, 5], "g": [1, 2, 3, 4, 5]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", glimm.GlimmWarning)
        fit = glimm.gee("y ~ x", data, groups="g")
    for call in (fit.residual_corr, fit.plot_corr):
        with pytest.raises(glimm.GlimmError, match="no cluster has two rows"):
            call()
    with pytest.raises(glimm.GlimmError, match="by must be 'occasions' or 'lag'"):
        ohio().residual_corr("wave")


# the picture


def test_the_picture_has_both_and_says_where_they_differ():
    fit = ohio(corr="ar1")
    figure = fit.plot_corr()
    left, right = figure.axes
    table = fit.residual_corr("lag")
    np.testing.assert_allclose(left.lines[-1].get_ydata(), table["empirical"])
    np.testing.assert_allclose(left.lines[-2].get_ydata(), table["working"])
    assert len(right.collections) == 12
    assert figure.alt.startswith("Residuals 3 apart correlate more than the ar1 correlation says: 0.31 against 0.064.")
    assert len(glimm.gee("y ~ trt * month", toenail(), groups="id", time="time", family="binomial").plot_corr().axes) == 1
    assert fit.plot_corr(title="Own").alt.startswith("Own. ")


def test_a_report_shows_it(tmp_path):
    path = tmp_path / "page.html"
    glimm.report(ohio(corr="ar1"), path)
    assert "fit.plot_corr()" in path.read_text(encoding="utf-8")


# leverages and one step


def test_leverages_and_steps_of_epil_are_the_printed_ones():
    few = epil()[epil()["subject"].between(23, 34)]
    fit = glimm.gee("y ~ lbase + trt + V4", few, groups="subject", family="poisson")
    table = fit.influence()
    printed = [
        0.2481636733, 0.2917899494, 0.7542047161, 0.2180971827, 0.2243020887, 0.5507173939,
        0.8088639571, 0.2675986487, 0.1637356332, 0.1241892629, 0.1637356332, 0.1846018608,
    ]  # fmt: skip
    np.testing.assert_allclose(table["leverage"], printed, atol=2e-9)
    steps = table.filter(like="dfbetas_").to_numpy() * fit.bse.to_numpy()
    np.testing.assert_allclose(steps[0], [-0.0791692636, 0.0678947744, 0.0298216237, 0.0423605057], atol=1e-8)
    np.testing.assert_allclose(steps[6], [0.111028539, -0.234472592, -0.373458178, -0.00791525474], atol=1e-8)


@pytest.mark.parametrize("corr", ["exchangeable", "ar1", "unstructured"])
def test_one_step_of_a_gaussian_gee_is_the_refit_with_alpha_held(corr):
    data = uneven(6, 80).sort_values(["g", "t"])
    fit = glimm.gee("y ~ x", data, groups="g", time="t", corr=corr, vcov="model")
    r = fit.record.working.matrix(fit.record.alpha, np.arange(6.0), pairs_of(fit.record).at)
    table = fit.influence()
    rest = data[data["g"] != 3]
    without = glimm.gee("y ~ x", rest, groups="g", time="t", corr=glimm.FixedCorr(r, times=range(6)))
    moved = fit.params - without.params
    np.testing.assert_allclose(table.loc[3].filter(like="dfbetas_").astype(float), moved / fit.bse, rtol=1e-7)
    cooks = moved @ np.linalg.solve(fit.cov_params(), moved) / 2
    assert table["cooks_distance"][3] == pytest.approx(cooks, rel=1e-7)
    x = np.column_stack([np.ones(len(data)), data["x"]])
    parts = []
    for g in range(data["g"].max() + 1):
        of = (data["g"] == g).to_numpy()
        times = data["t"][of].to_numpy()
        parts.append(x[of].T @ np.linalg.solve(r[np.ix_(times, times)], x[of]))
    leverage = [np.trace(np.linalg.solve(sum(parts), h)) for h in parts]
    np.testing.assert_allclose(table["leverage"], leverage, rtol=1e-9)
    np.testing.assert_allclose(fit.influence(method="refit")["leverage"], leverage, rtol=1e-9)
    assert "leverage" not in fit.influence("row")


def test_clusters_of_a_glm_have_the_leverages_of_independence():
    data = uneven(7)
    glm = glimm.glm("y ~ x", data, vcov={"cluster": "g"}).influence("cluster")
    gee = glimm.gee("y ~ x", data, groups="g", corr="independence").influence()
    np.testing.assert_allclose(glm["leverage"], gee["leverage"], rtol=1e-10)
    again = glimm.glm("y ~ x", data, vcov={"cluster": "g"}).influence("cluster", "refit")
    np.testing.assert_allclose(glm["leverage"], again["leverage"], rtol=1e-10)


def test_the_subject_of_epil_is_named():
    fit = glimm.gee("y ~ lbase * trt + V4", epil(), groups="subject", family="poisson", corr="independence")
    found = fit.check()["cluster_leverage"]
    assert found.severity == "warning"
    assert found.evidence["levels"] == ["49"]
    assert found.evidence["leverage"] == pytest.approx([0.8312396947], abs=1e-9)
    trusting = glimm.gee("y ~ lbase * trt + V4", epil(), groups="subject", family="poisson", vcov="model")
    assert trusting.check()["cluster_leverage"].severity == "note"


# findings about the correlation


def test_the_eigenvalue_of_what_is_not_feasible_is_the_dense_one():
    with pytest.warns(glimm.GlimmWarning, match="belongs to no correlation matrix"):
        fit = glimm.gee("y ~ trt * month", toenail(), groups="id", time="visit", corr="stationary(1)", family="binomial")
    found = fit.check()["correlation_not_feasible"]
    (alpha,) = found.evidence["estimated"]
    neighbours = np.eye(7) + alpha * (np.eye(7, k=1) + np.eye(7, k=-1))
    assert found.evidence["least_eigenvalue"] == pytest.approx(np.linalg.eigvalsh(neighbours)[0], abs=1e-9)
    used = np.eye(7) + found.evidence["used"][0] * (np.eye(7, k=1) + np.eye(7, k=-1))
    assert np.linalg.eigvalsh(used)[0] == pytest.approx(0.1, abs=1e-9)
    assert found.evidence["factor"] == pytest.approx(found.evidence["used"][0] / alpha, rel=1e-6)
    assert found.evidence["instead"] == "ar1"


def test_bounds_are_those_of_the_joint_distributions_of_two_bits():
    fit = glimm.gee("y ~ trt * month", toenail(), groups="id", time="visit", family="binomial")
    found = fit.check()["correlation_outside_bounds"]
    frame = toenail().assign(mu=np.asarray(fit.fittedvalues))
    alpha, outside, count = fit.corr_params.iloc[0], 0, 0
    for _, rows in frame.groupby("id"):
        mu = rows["mu"].to_numpy()
        for i in range(len(mu)):
            for j in range(i):
                spread = np.sqrt(mu[i] * (1 - mu[i]) * mu[j] * (1 - mu[j]))
                high = (min(mu[i], mu[j]) - mu[i] * mu[j]) / spread
                low = (max(0.0, mu[i] + mu[j] - 1) - mu[i] * mu[j]) / spread
                outside += not low <= alpha <= high
                count += 1
    assert found.evidence["share"] == pytest.approx(outside / count, abs=1e-12)
    assert found.evidence["pairs"] == count


def test_what_is_advised_instead_is_no_longer_contradicted():
    fit = ohio(corr="ar1")
    found = fit.check()["correlation_contradicted"]
    assert found.evidence["instead"] == "exchangeable"
    assert f'corr="{found.evidence["instead"]}"' in found.remedy
    assert "correlation_contradicted" not in ohio(corr=found.evidence["instead"]).check().codes


def test_correlations_that_are_right_are_not_contradicted():
    rng = np.random.default_rng(8)
    g, t, x = np.repeat(np.arange(60), 6), np.tile(np.arange(6), 60), rng.normal(size=360)
    lag = np.abs(np.subtract.outer(np.arange(6), np.arange(6)))
    for _ in range(60):
        for corr, r in {"ar1": 0.6**lag, "exchangeable": 0.4 + 0.6 * (lag == 0), "stationary(1)": (lag == 0) + 0.4 * (lag == 1)}.items():
            e = rng.normal(size=(60, 6)) @ np.linalg.cholesky(r).T
            fit = glimm.gee("y ~ x", {"g": g, "t": t, "x": x, "y": x + e.ravel()}, groups="g", time="t", corr=corr)
            assert not [code for code in fit.check().codes if code.startswith("correlation")]


def test_it_is_a_warning_where_standard_errors_rest_on_it():
    assert ohio(corr="ar1").check()["correlation_contradicted"].severity == "note"
    assert ohio(corr="ar1", vcov="model").check()["correlation_contradicted"].severity == "warning"


@pytest.mark.parametrize("moments", ["standard", "gee"])
@pytest.mark.parametrize("corr", ["unstructured", "nonstationary(1)", "ar(2)", "fixed"])
def test_rows_of_a_column_can_be_left_out_whatever_occasions_stay(corr, moments):
    data = glimm.load_dataset("ohio").query("id % 7 == 0")
    chosen = glimm.FixedCorr(np.full((4, 4), 0.3) + 0.7 * np.eye(4)) if corr == "fixed" else corr
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", glimm.GlimmWarning)
        fit = glimm.gee("resp ~ age", data, groups="id", corr=chosen, moments=moments)
        held, rows = fit.influence("age"), fit.influence("row")
    assert np.isfinite(held["cooks_distance"]).all()
    whole = pairs_of(fit.record).at
    r = fit.record.working.matrix(fit.record.alpha, np.arange(1.0, 5.0), whole)
    rest = data[data["age"] != 0].assign(visit=lambda d: d["age"] + 3)
    known = glimm.FixedCorr(r[np.ix_([0, 1, 3], [0, 1, 3])])
    again = glimm.gee("resp ~ age", rest, groups="id", time="visit", corr=known)
    moved = (fit.params - again.params) / fit.bse
    np.testing.assert_allclose(held.set_index("age").loc[0].filter(like="dfbetas_"), moved, rtol=1e-7)
    rest = data.drop(data.index[5]).assign(visit=lambda d: d["age"] + 3)
    again = glimm.gee("resp ~ age", rest, groups="id", time="visit", corr=glimm.FixedCorr(r))
    np.testing.assert_allclose(rows.iloc[5].filter(like="dfbetas_").astype(float), (fit.params - again.params) / fit.bse, rtol=1e-7)


def test_odds_ratios_imply_the_correlations_beside():
    fit = ohio(corr="odds_ratio")
    table = fit.residual_corr()
    data = glimm.load_dataset("ohio")
    mu, psi = np.asarray(fit.fittedvalues), np.exp(fit.corr_params.iloc[0])
    working = {}
    for _, rows in data.reset_index(drop=True).groupby("id"):
        for i, j in itertools.combinations(range(4), 2):
            a, b = mu[rows.index[i]], mu[rows.index[j]]
            s = 1.0 + (a + b) * (psi - 1.0)
            both = (s - np.sqrt(s * s - 4.0 * psi * (psi - 1.0) * a * b)) / (2.0 * (psi - 1.0))
            working.setdefault((i + 1, j + 1), []).append((both - a * b) / np.sqrt(a * (1 - a) * b * (1 - b)))
    np.testing.assert_allclose(table["working"], [np.mean(working[k]) for k in sorted(working)], rtol=1e-8)
    assert fit.plot_corr().alt
