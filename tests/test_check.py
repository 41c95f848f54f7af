"""fit.check(): the finding that is due in data built to show one trouble, its numbers by other means, none in healthy data."""

import json
import warnings
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import optimize, stats

import glimm
from glimm.diagnostics.findings import SEVERITIES
from healthy import HEALTHY, alarms
from troubles import TROUBLES

NAMES = ("y", "g", "x", "z", "ar1", "log", "income", "f[T.c]")


@pytest.fixture(scope="module")
def fits():
    made = {}

    def get(name):
        if name not in made:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", glimm.GlimmWarning)
                made[name] = TROUBLES[name].make()
        return made[name]

    return get


def test_there_are_at_least_25_of_them():
    assert len(TROUBLES) >= 25
    assert len({trouble.code for trouble in TROUBLES.values()}) >= 25


@pytest.mark.parametrize("name", TROUBLES)
def test_each_trouble_is_found_and_no_other(fits, name):
    trouble, check = TROUBLES[name], fits(name).check()
    assert trouble.code in check.codes
    assert check[trouble.code].severity == trouble.severity
    assert not [f.code for f in check if f.severity != "note" and f.code not in (trouble.code, *trouble.beside)]


@pytest.mark.parametrize("name", TROUBLES)
def test_every_finding_is_whole_and_can_be_shown(fits, name):
    fit = fits(name)
    check = fit.check()
    assert len(check) == len(check.findings) == len(check.codes) == len(list(check))
    order = [list(SEVERITIES).index(f.severity) for f in check]
    assert order == sorted(order)
    text = str(check)
    assert max(map(len, text.splitlines())) <= 100
    for f in check:
        assert f.evidence, f.code
        for part in (f.sentence, f.consequence, f.remedy):
            assert part[0].isupper() or part[0].isdigit() or part.split()[0].rstrip(",") in NAMES, part
            assert part.endswith((".", ")")), part
            assert "  " not in part
            assert "nan" not in part.split()
        json.dumps(f.evidence, default=str)
    assert list(check.table["code"]) == list(check.codes)
    assert _words(check._repr_html_()) == _words(text)
    shown = str(fit.summary())
    for f in check:
        assert (f"({f.code})" in shown.replace("\n                 ", " ")) == (f.severity != "note")


class _Text(HTMLParser):
    def __init__(self):
        super().__init__()
        self.parts, self.skip = [], False

    def handle_starttag(self, tag, attrs):
        self.skip = tag == "style"

    def handle_endtag(self, tag):
        self.skip = False

    def handle_data(self, data):
        if not self.skip:
            self.parts.append(data)


def _words(text):
    """The words of a text or of a piece of HTML, without rules, labels' colons and signs of minus."""
    if "<div" in text:
        reader = _Text()
        reader.feed(text)
        text = " ".join(reader.parts)
    lines = [line for line in text.splitlines() if set(line.strip()) - set("=-")]
    held = " ".join(lines).replace("\N{MINUS SIGN}", "-").replace("\N{FIGURE SPACE}", " ").replace("\N{PUNCTUATION SPACE}", " ")
    return [word.lstrip("-").rstrip(":") for word in held.split() if word.strip("-:")]


def test_false_alarms_are_below_two_per_cent():
    found, count = alarms(200 // len(HEALTHY), seed=1)
    assert count >= 200
    assert len(found) < 0.02 * count, found


# numbers by other means


def test_the_limit_of_a_zero_variance_is_where_the_dense_profile_rises_by_its_amount(fits):
    fit = fits("no variance")
    evidence = fit.check()["zero_variance"].evidence
    d = fit.record.design
    x, y = d.mean.matrix.dense(), d.y
    g = d.mean.random[0].refs
    share = (g[:, None] == g[None, :]).astype(float)

    def restricted(log_sigma, theta):
        v = np.exp(2.0 * log_sigma) * (np.eye(len(y)) + theta**2 * share)
        low = np.linalg.cholesky(v)
        xw, yw = np.linalg.solve(low, x), np.linalg.solve(low, y)
        q, r = np.linalg.qr(xw)
        return 2.0 * np.sum(np.log(np.diag(low))) + 2.0 * np.sum(np.log(np.abs(np.diag(r)))) + np.sum((yw - q @ (q.T @ yw)) ** 2)

    def profiled(theta):
        return optimize.minimize_scalar(lambda s: restricted(s, theta), bounds=(-2.0, 2.0), method="bounded", options={"xatol": 1e-9}).fun

    assert profiled(evidence["upper_limit"] / fit.sigma) - profiled(0.0) == pytest.approx(evidence["rise"], abs=2e-3)
    assert evidence["rise"] == pytest.approx(stats.chi2.ppf(0.95, 1), rel=0.2)


def test_the_limit_of_a_binary_models_zero_variance_is_found_by_integration():
    rng = np.random.default_rng(5)
    data = pd.DataFrame({"g": np.tile(np.arange(12), 10), "x": rng.normal(size=120), "b": np.repeat([0, 1, 0, 1, 1, 0, 0, 1, 0, 1], 12)})
    with pytest.warns(glimm.GlimmWarning, match="zero"):
        fit = glimm.glmm("b ~ x + (1 | g)", data, family="binomial")
    evidence = fit.check()["zero_variance"].evidence
    z, w = np.polynomial.hermite_e.hermegauss(40)

    def deviance(beta, sd):
        eta = (beta[0] + beta[1] * data.x.to_numpy())[:, None] + sd * z
        rows = np.where(data.b.to_numpy()[:, None] == 1, -np.log1p(np.exp(-eta)), -np.log1p(np.exp(eta)))
        sums = np.zeros((12, len(z)))
        np.add.at(sums, data.g.to_numpy(), rows)
        return -2.0 * np.sum(np.log(np.exp(sums) @ (w / w.sum())))

    rise = [optimize.minimize(deviance, [0.0, 0.0], (sd,), tol=1e-10).fun for sd in (0.0, evidence["upper_limit"])]
    assert rise[1] - rise[0] == pytest.approx(evidence["rise"], abs=5e-3)


def test_the_cost_of_independent_effects_is_that_of_the_model_named(fits):
    fit = fits("perfectly correlated")
    finding = fit.check()["perfect_correlation"]
    assert "(1 + x || g)" in finding.remedy
    data = {name: fit.record.design.columns[name].values for name in ("x",)}
    term = fit.record.design.mean.random[0]
    other = glimm.glmm("y ~ x + (1 + x || g)", {**data, "y": fit.record.design.y, "g": term.refs})
    assert finding.evidence["cost"] == pytest.approx(2.0 * (fit.llf - other.llf), abs=1e-6)


def test_variance_inflation_is_that_of_the_regression_on_the_others(fits):
    fit = fits("nearly aliased")
    x, z = (fit.record.design.columns[name].values for name in ("x", "z"))
    r2 = np.corrcoef(x, z)[0, 1] ** 2
    assert fit.check()["collinear"].evidence["vif"] == pytest.approx(1.0 / (1.0 - r2), rel=1e-6)


def test_dispersion_is_pearson_over_its_degrees_of_freedom(fits):
    fit = fits("too much spread")
    evidence = fit.check()["overdispersed"].evidence
    mu = fit.fittedvalues.to_numpy()
    assert evidence["dispersion"] == pytest.approx(np.sum((fit.record.design.y - mu) ** 2 / mu) / (fit.nobs - 2), rel=1e-12)
    assert evidence["df"] == fit.nobs - 2


def test_expected_zeros_are_those_of_the_poisson_distribution(fits):
    fit = fits("too many zeros")
    evidence = fit.check()["zero_inflated"].evidence
    assert evidence["zeros"] == np.sum(fit.record.design.y == 0)
    assert evidence["expected"] == pytest.approx(np.exp(-fit.fittedvalues.to_numpy()).sum(), rel=1e-12)


def test_z_of_zeros_is_standard_normal_in_poisson_data():
    """The variance of the number of zeros takes into account that the coefficients were estimated."""
    from glimm.diagnostics.responses import zero_counts
    from glimm.diagnostics.sight import Sight

    rng, found = np.random.default_rng(1), []
    for _ in range(300):
        x = rng.normal(size=150)
        fit = glimm.glm("y ~ x", {"x": x, "y": rng.poisson(np.exp(0.2 + 0.5 * x))}, family="poisson")
        found.append(zero_counts(Sight(fit.record))[2])
    assert abs(np.mean(found)) < 0.2
    assert 0.85 < np.std(found) < 1.15


def test_within_and_between_are_the_coefficients_with_the_mean_beside(fits):
    fit = fits("confounded GEE")
    evidence = fit.check()["within_between"].evidence
    d = fit.record.design
    x, g = d.columns["x"].values, next(iter(d.clusters.values()))
    codes = np.empty(len(x), dtype=int)
    codes[g.order] = np.repeat(np.arange(len(g.levels)), g.sizes)
    means = (np.bincount(codes, x) / np.bincount(codes))[codes]
    wider = glimm.glm("y ~ x + m", {"y": d.y.astype(int), "x": x, "m": means, "g": codes}, family="binomial", vcov={"cluster": "g"})
    assert evidence["within"] == pytest.approx(wider.params["x"], rel=1e-7)
    assert evidence["between"] == pytest.approx(wider.params["x"] + wider.params["m"], rel=1e-7)
    assert evidence["within_error"] == pytest.approx(wider.bse["x"], rel=1e-6)


def test_an_outlying_clusters_z_is_its_effect_over_the_spread_of_predictions(fits):
    fit = fits("a cluster apart")
    evidence = fit.check()["outlying_clusters"].evidence
    ranef, variance = fit.ranef(), fit.varcorr()["variance"].iloc[0]
    row = ranef[ranef["level"].astype(str) == evidence["levels"][0]].iloc[0]
    assert evidence["levels"] == ["17"]
    assert evidence["z"][0] == pytest.approx(row["estimate"] / np.sqrt(variance - row["std_error"] ** 2), rel=1e-9)


@pytest.mark.parametrize("name", ["completely separated", "separated level", "level without counts"])
def test_a_separating_direction_never_lowers_the_likelihood_of_a_row(fits, name):
    fit = fits(name)
    evidence = fit.check()["separated"].evidence
    d = fit.record.design
    x = d.mean.matrix.dense()
    along = np.array([evidence["direction"].get(term, 0.0) for term in d.mean.names])
    moved = x @ along
    up, down = d.y >= 1.0, d.y <= 0.0
    if fit.record.family.name == "poisson":
        assert np.ptp(moved[d.y > 0]) < 1e-9
        assert (moved[down] - moved[d.y > 0][0] < 1e-9).all()
        assert evidence["apart"] == np.sum(moved[down] - moved[d.y > 0][0] < -1e-9)
    else:
        assert moved[up].min() >= moved[down].max() - 1e-9
    assert evidence["complete"] == (name == "completely separated")


def test_laplace_of_crossed_groupings_is_checked_against_sampling():
    rng = np.random.default_rng(1)
    g, h = np.repeat(np.arange(300), 3), rng.integers(0, 30, 900)
    eta = 3.0 * rng.normal(size=300)[g] + rng.normal(size=30)[h]
    data = {"g": g, "h": h, "y": (rng.random(900) < 1.0 / (1.0 + np.exp(-eta))).astype(int)}
    fit = glimm.glmm("y ~ 1 + (1 | g) + (1 | h)", data, family="binomial")
    error = fit.check()["laplace_inaccurate"].evidence["error"]
    sampled = fit.laplace_error(1000, seed=1)
    assert 0.7 * sampled.error < error < 1.1 * sampled.error


# faces


def test_a_healthy_fit_says_what_was_looked_at(three):
    for fit in three:
        check = fit.check()
        assert not check.codes
        assert "nothing found" in str(check)
        assert "Looked at" in str(check)
        assert ("random effects" in str(check)) == (fit.model.partition(":")[0] == "GLMM")
        assert ("Hessian" in str(check)) == (fit.model.partition(":")[0] != "GEE")
        assert len(check.table) == 0
        assert "fit.check()" not in str(fit.summary())
        with pytest.raises(glimm.GlimmError, match="nothing was found"):
            check["separated"]


def test_the_table_comes_in_the_callers_kind_of_frame():
    data = pl.DataFrame({"y": [0, 0, 0, 1, 1, 1], "x": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]})
    with pytest.warns(glimm.GlimmWarning):
        fit = glimm.glm("y ~ x", data, family="binomial")
    table = fit.check().table
    assert isinstance(table, pl.DataFrame)
    assert table.columns == ["code", "severity", "sentence", "consequence", "remedy"]


def test_a_finding_is_had_by_place_or_code_and_an_unknown_code_is_an_error(fits):
    check = fits("no variance").check()
    assert check[0] is check["zero_variance"]
    assert str(check[0]).startswith("warning: The estimated variance of g.Intercept is zero")
    with pytest.raises(glimm.GlimmError, match="did you mean 'zero_variance'"):
        check["zero_varience"]
    with pytest.raises(IndexError):
        check[5]


@pytest.mark.parametrize("name", ["no variance", "no slope variance", "a cluster apart"])
def test_findings_with_a_picture(fits, name):
    figure = fits(name).check().plot()
    assert len(figure.alt) > 80
    assert len(figure.axes) == 1
    figure.savefig("/dev/null", format="png")


def test_the_profile_in_the_picture_rises_to_its_limit(fits):
    check = fits("no variance").check()
    evidence = check["zero_variance"].evidence
    line = check.plot("zero_variance").axes[0].lines[0]
    sd, rise = line.get_xdata(), line.get_ydata()
    assert np.all(np.diff(rise) > 0.0)
    assert np.interp(evidence["upper_limit"], sd, rise) == pytest.approx(evidence["rise"], rel=0.02)


def test_findings_without_a_picture_say_where_to_look(fits):
    with pytest.raises(glimm.GlimmError, match="plot_check"):
        fits("too much spread").check().plot("overdispersed")
    with pytest.raises(glimm.GlimmError, match="plot_check"):
        fits("too much spread").check().plot()


def test_a_check_is_remembered_and_survives_a_pickle(fits):
    import pickle

    fit = fits("no variance")
    assert fit.check().checked is fit.check().checked
    again = pickle.loads(pickle.dumps(fit))
    assert again.check().codes == fit.check().codes


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_very_small_data_are_checked_without_an_exception(rows):
    data = {"y": [1.0, 2.0, 4.0][:rows], "b": [0, 1, 1][:rows]}
    for formula, family in (("y ~ 1", "gaussian"), ("b ~ 1", "binomial"))[: 1 + (rows > 1)]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", glimm.GlimmWarning)
            fit = glimm.glm(formula, data, family=family)
        str(fit.check())
        str(fit.summary())


def test_the_simpler_model_can_be_fitted_as_it_is_written(fits):
    """What stands in quotes in a remedy is a formula of this package, and keeps offsets and other terms."""
    rng = np.random.default_rng(3)
    g, h = np.repeat(np.arange(40), 6), np.tile(np.arange(6), 40)
    e = rng.normal(size=240)
    e -= (np.bincount(g, e) / 6)[g]
    data = {"g": g, "h": h, "x": rng.normal(size=240), "o": rng.normal(size=240), "y": e + 2.0 * rng.normal(size=6)[h]}
    with pytest.warns(glimm.GlimmWarning, match="zero"):
        fit = glimm.glmm("y ~ x + offset(o) + (1 | g) + (1 | h)", data)
    formula = fit.check()["zero_variance"].remedy.split("'")[1]
    assert formula == "y ~ x + offset(o) + (1 | h)"
    data["y"] = data["y"] + data["o"]
    with pytest.warns(glimm.GlimmWarning, match="zero"):
        fit = glimm.glmm("y ~ x + offset(o) + (1 | g) + (1 | h)", data)
    assert glimm.glmm(formula, data).llf == pytest.approx(fit.llf, abs=1e-7)
