"""Never silent: 300 random calls end in a fit that holds what it says, a fit with a warning, or an error of ours; and what calls like
these have brought to light. `make fuzz` runs 10,000."""

import json
import tempfile
import warnings
from pathlib import Path

import hypothesis
import numpy as np
import pandas as pd
import pytest
from scipy import special, stats

import glimm
from fuzz.cases import make, recipes
from fuzz.files import judge_files
from fuzz.outcome import judge
from fuzz_study import watch
from glimm.estimators.points import control_points
from glimm.estimators.scores import mixed_scores
from glimm.inference.criteria import own_psi
from glimm.inference.distributions import DISTRIBUTIONS
from glimm.kernels import unit_deviance


def test_three_hundred_random_calls():
    outcomes, failures, _ = watch(20_261, 300, ["glm", "glmm", "gee"])
    assert sum(outcomes.values()) == 300
    assert not failures, "\n".join(f"{said}\n  {recipe}" for said, recipe in failures)


FOUND = [json.loads(line) for line in (Path(__file__).parent / "fuzz" / "found.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("recipe", FOUND, ids=lambda r: f"{r['door']}-{r['family']}-{r['seed']}")
def test_calls_that_once_failed(recipe):
    judge(recipe)


def in_a_folder(recipe):
    with tempfile.TemporaryDirectory() as folder:
        return judge_files(recipe, Path(folder))


@hypothesis.seed(20_262)
@hypothesis.settings(
    max_examples=200,
    database=None,
    deadline=None,
    phases=[hypothesis.Phase.generate],
    suppress_health_check=list(hypothesis.HealthCheck),
)
@hypothesis.given(recipes(("glm",)))
def test_two_hundred_random_calls_with_their_rows_in_files(recipe):
    in_a_folder(recipe)


FILES = [json.loads(line) for line in (Path(__file__).parent / "fuzz" / "found_files.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("recipe", FILES, ids=lambda r: f"{r['family']}-{r['seed']}")
def test_files_that_once_differed_from_memory(recipe):
    in_a_folder(recipe)


def warned(call):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit = call()
    return fit, [str(w.message) for w in caught]


@pytest.fixture
def wide_clusters():
    rng = np.random.default_rng(3)
    g, x = np.repeat(np.arange(80), 6), rng.normal(size=480)
    return pd.DataFrame({"g": g, "x": x, "y": rng.binomial(1, 1.0 / (1.0 + np.exp(-x - rng.normal(0, 4, 80)[g])))})


@pytest.fixture
def counts():
    rng = np.random.default_rng(4)
    d = pd.DataFrame({"g": np.repeat(np.arange(30), 4), "x": rng.normal(size=120), "z": np.tile([0.0, 0.0, 0.0, 1.0], 30)})
    return d.assign(
        c=np.where(d.z == 1.0, 0, rng.poisson(np.exp(0.3 * d.x + 0.5))), t=np.round(rng.random(120) * 5, 1) + 10 * np.tile(range(4), 30)
    )


@pytest.mark.parametrize("vcov", ["model", "HC0", {"cluster": "g"}])
@pytest.mark.parametrize("family", ["poisson", "negative_binomial(2)", "tweedie(1.5)"])
def test_separation_leaves_the_other_coefficients_their_errors(counts, family, vcov):
    fit, said = warned(lambda: glimm.glm("c ~ x + z", counts, family=family, vcov=vcov))
    rest = glimm.glm("c ~ x", counts[counts.z == 0.0], family=family, vcov=vcov)  # the rows that the dummy leaves
    assert fit.record.solution.code == "separated"
    assert len(said) == 1
    assert "so z has no finite estimate" in said[0]
    assert np.isnan(fit.bse["z"])
    np.testing.assert_allclose(fit.params[["Intercept", "x"]], rest.params, rtol=1e-6)
    scale = np.sqrt(fit.scale / rest.scale) if vcov == "model" else 1.0
    np.testing.assert_allclose(fit.bse[["Intercept", "x"]] / scale, rest.bse, rtol=1e-5)


@pytest.mark.parametrize("unit", [1e-12, 1e-6, 1e6])
def test_the_unit_of_weights_changes_no_estimate(counts, unit):
    for family in ("poisson", "negative_binomial(2)", "gaussian"):
        data = counts.assign(w=unit * (1.0 + counts.g % 3), c=counts.c + 1)
        plain = data.assign(w=data.w / unit)
        a, b = (glimm.glm("c ~ x", d, family=family, link="log", weights="w") for d in (plain, data))
        np.testing.assert_allclose(b.params, a.params, rtol=1e-7)


def test_robust_errors_of_effects_in_continuous_time_are_of_scores_that_sum_to_zero(counts):
    d = counts[counts.z == 0.0]
    fit, _ = warned(lambda: glimm.glmm("c ~ x + ou(0 + t | g)", d, family="poisson", vcov={"cluster": "g"}))
    scores = mixed_scores(fit.record, fit.record.design.clusters["g"])
    assert np.isfinite(scores).all()
    assert np.abs(scores.sum(axis=0)).max() < 1e-4 * np.abs(scores).max()
    assert np.isfinite(fit.bse).all()


def test_a_fit_at_the_edge_of_a_link_is_no_converged_fit():
    d = pd.DataFrame({"f": list("aabb") * 5, "c": [0, 0, 1, 3] * 5})
    fit, said = warned(lambda: glimm.glm("c ~ f", d, family="poisson", link="identity"))
    assert not fit.converged
    assert "edge of what link 'identity' allows" in said[0]
    assert len(said) == 1


def test_rows_that_leave_no_dispersion_end_in_words():
    d = {"y": [0.25, 1.77, 3.42], "f": ["c", "d", "b"]}
    for family in ("tweedie", "beta", "negative_binomial1"):
        with pytest.raises(glimm.GlimmError, match=r"exact|needs|whole"):
            glimm.glm("y ~ f", d, family=family)
    fit, said = warned(lambda: glimm.glm("y ~ x", {"y": [1.0, 1.0, 1.0, 1.0], "x": [0.0, 1.0, 2.0, 4.0]}))
    assert fit.llf == np.inf
    assert len(said) == 1
    assert "fit every row exactly" in said[0]
    with pytest.raises(glimm.GlimmError, match="no distribution of responses"):
        fit.simulate(1)


def test_a_gee_has_no_deviance_of_a_family_whose_parameter_it_does_not_estimate(counts):
    fit = glimm.gee("c ~ x", counts, groups="g", family="negative_binomial1")
    with pytest.raises(glimm.GlimmError, match="does not estimate alpha"):
        fit.resid("deviance")
    assert np.isfinite(fit.resid()).all()


def test_separation_in_a_gee_says_that_nothing_correlates(counts):
    fit, said = warned(lambda: glimm.gee("c ~ x + z", counts, groups="g", family="poisson"))
    assert fit.record.solution.code == "separated"
    assert "not estimated and taken as 0" in said[0]


def test_factors_that_do_not_exist_are_refused(counts):
    few = counts.iloc[:2]
    for vcov, words in (("HC1", "factor of HC1"), ({"cluster": "x", "small": True}, "factor of 'small'")):
        fit, _ = warned(lambda vcov=vcov: glimm.glm("c ~ x", few.assign(c=[1, 3]), family="poisson", vcov=vcov))
        with pytest.raises(glimm.GlimmError, match=words):
            fit.bse.sum()


def test_few_clusters_are_said_for_every_door(counts):
    d = counts.assign(h=counts.g % 2)
    _, said = warned(lambda: glimm.glm("c ~ x + t", d, family="poisson", vcov={"cluster": "h"}))
    assert len(said) == 1
    assert "2 clusters of h for 3 coefficients" in said[0]


def test_means_out_of_reach_are_refused(counts):
    d = counts.assign(x=1e-9 * counts.x)
    fit = glimm.glm("c ~ x", d[d.z == 0.0], family="poisson")
    with pytest.raises(glimm.GlimmError, match="out of reach for link 'log'"):
        fit.effect("x")
    assert np.isfinite(fit.effect("x", values=(0.0, 1e-9))["estimate"]).all()


def test_deviance_far_from_the_mean(counts):
    fit = glimm.glm("c ~ x", counts[counts.z == 0.0], family="negative_binomial(2)")
    found = unit_deviance(fit.record.family.kernel, np.zeros(1), np.array([1e32]), own_psi(fit.record))
    np.testing.assert_allclose(found, 2.0 * 2.0 * np.log1p(1e32 / 2.0), rtol=1e-12)


def test_the_distribution_function_of_tweedie_is_continuous_where_its_series_is_too_long():
    below, values = DISTRIBUTIONS["tweedie"].below, {"power": 1.4}
    mu = np.full(5, 3.0)
    for rate in (0.999e4, 1.001e4):  # on either side of where the series ends
        phi = mu[0] ** 0.6 / (rate * 0.6)
        y = mu + np.sqrt(phi * mu**1.4) * np.array([-3.0, -1.0, 0.0, 1.0, 3.0])
        series = compound_poisson(y, 3.0, phi, 1.4)
        np.testing.assert_allclose(below(y, mu, {**values, "phi": phi}, 1.0, 1.0), series, atol=1e-5)


def compound_poisson(y, mu, phi, p):
    """P(Y <= y) as a sum over the Poisson number."""
    rate, shape, scale = mu ** (2 - p) / (phi * (2 - p)), (2 - p) / (p - 1), phi * (p - 1) * mu ** (p - 1)
    n = np.arange(max(1, int(rate - 12 * np.sqrt(rate))), int(rate + 12 * np.sqrt(rate)))
    return stats.poisson.pmf(n, rate) @ stats.gamma.cdf(y[None, :], (n * shape)[:, None], scale=scale)


def test_beta_means_outside_the_range_end_in_words():
    rng = np.random.default_rng(2)
    d = {"y": rng.uniform(0.1, 0.9, 40), "x": rng.normal(size=40), "o": 1e3 * rng.normal(size=40), "g": np.arange(40) // 4}
    for call in (
        lambda: glimm.glm("y ~ x", d, family="beta", link="log", offset="o"),
        lambda: glimm.glmm("y ~ x + (1 | g)", d, family="beta", link="log", offset="o", points=1),
    ):
        with pytest.raises(glimm.GlimmError, match="starting values"):
            call()


@pytest.mark.parametrize("power", [1.01, 1.2, 1.5, 1.9])
def test_the_distribution_function_of_tweedie_where_one_of_its_parts_is_narrow(power):
    below = DISTRIBUTIONS["tweedie"].below
    for rate in (200.0, 3000.0):
        phi = 3.0 ** (2.0 - power) / (rate * (2.0 - power))
        y = 3.0 + np.sqrt(phi * 3.0**power) * np.array([-3.0, -1.0, 0.0, 1.0, 3.0])
        found = below(y, np.full(5, 3.0), {"power": power, "phi": phi}, 1.0, 1.0)
        np.testing.assert_allclose(found, compound_poisson(y, 3.0, phi, power), atol=1e-11)


@pytest.mark.parametrize("power", [1.2, 1.5, 1.8])
def test_long_series_of_tweedie_are_summed_to_rounding(power):
    rng = np.random.default_rng(8)
    d = pd.DataFrame({"x": rng.normal(size=40)})
    d["y"] = np.exp(1.0 + 0.3 * d.x) * rng.gamma(4e5, 1.0 / 4e5, 40)  # Poisson numbers near a million
    fit = glimm.glm("y ~ x", d, family=f"tweedie({power})")
    y, mu, log_phi = d.y.to_numpy(), fit.fittedvalues.to_numpy(), fit.record.vector[-1]

    def loglik(log_phi):
        phi = np.exp(log_phi)
        rate, shape, scale = mu ** (2 - power) / (phi * (2 - power)), (2 - power) / (power - 1), phi * (power - 1) * mu ** (power - 1)
        n = np.arange(int(rate.min() - 15 * np.sqrt(rate.max())), int(rate.max() + 15 * np.sqrt(rate.max())))[:, None]
        logs = stats.poisson.logpmf(n, rate) + stats.gamma.logpdf(y, n * shape, scale=scale)
        return special.logsumexp(logs, axis=0).sum()

    assert np.abs(loglik(log_phi) - fit.llf) < 1e-5
    assert abs(loglik(log_phi + 1e-3) - loglik(log_phi - 1e-3)) / 2e-3 < 1e-2


def test_too_few_points_are_said_and_found(wide_clusters):
    fit, said = warned(lambda: glimm.glmm("y ~ x + (1 | g)", wide_clusters, family="binomial", points=3))
    assert len(said) == 1
    assert said[0].startswith("3 points are not enough here: with 9 points -2 log L moves by")
    finding = fit.check()["quadrature_not_settled"]
    more = glimm.glmm("y ~ x + (1 | g)", wide_clusters, family="binomial", points="auto")
    assert more.check().codes.count("quadrature_not_settled") == 0
    assert finding.evidence["points"] == 3
    assert abs(finding.evidence["shift"]) > 0.1
    assert "nan" not in finding.sentence


def test_what_points_are_held_against():
    assert [control_points(k, 1) for k in (1, 3, 9, 101, 150, 151)] == [9, 9, 15, 151, 151, 0]
    assert [control_points(k, 2) for k in (1, 35, 44)] == [9, 44, 0]
    assert [control_points(k, 3) for k in (1, 9, 12)] == [9, 12, 0]
    assert control_points(1, 0) == control_points(1, 4) == 0


@pytest.mark.parametrize("vcov", ["HC0", {"cluster": "g"}])
@pytest.mark.parametrize("family", ["beta", "negative_binomial1"])
def test_a_covariance_that_is_not_there_is_refused_at_the_door(counts, family, vcov):
    with pytest.raises(glimm.NotYetError, match="are estimated together: use vcov='model'"):
        glimm.glm("y ~ x", {"y": counts.c, "x": counts.x, "g": counts.g}, family=family, vcov=vcov)


def test_limits_without_a_quantile_are_no_numbers():
    fit, _ = warned(lambda: glimm.glm("y ~ 1", {"y": [0.3], "w": [2.0]}, link="probit", weights=glimm.sampling("w"), vcov="HC0"))
    limits = fit.predict(interval="confidence")  # t with no degrees of freedom
    assert np.isclose(limits["estimate"][0], 0.3)
    assert limits[["conf_low", "conf_high"]].isna().all(axis=None)


def test_a_penalised_fit_without_residuals_says_so():
    fit, said = warned(lambda: glimm.glm("y ~ x", {"y": [2.0] * 5, "x": [0.0, 1.0, 2.0, 4.0, 7.0]}, penalty="firth"))
    assert fit.scale == 0.0
    assert len(said) == 1
    assert "fit every row exactly" in said[0]
    with pytest.raises(glimm.GlimmError, match="divides by the dispersion"):
        fit.resid("standardized_deviance")


def test_anova_of_coefficients_whose_covariance_is_singular():
    rng = np.random.default_rng(6)
    d = pd.DataFrame({"a": rng.integers(0, 2, 60), "b": rng.normal(size=60), "g": np.arange(60) % 3}).assign(y=rng.normal(size=60))
    fit, _ = warned(lambda: glimm.glm("y ~ a * b", d, vcov={"cluster": "g"}))  # three clusters: the covariance has rank 2
    found = fit.anova(2, test="wald").set_index("term")
    cov, params = fit.cov_params().to_numpy(), fit.params.to_numpy()
    for name, j in (("a", 1), ("b", 2)):  # the contrast of the main effect that is uncorrelated with the interaction's
        contrast = np.eye(4)[j] - cov[j, 3] / cov[3, 3] * np.eye(4)[3]
        np.testing.assert_allclose(found.statistic[name], (contrast @ params) ** 2 / (contrast @ cov @ contrast), rtol=1e-6)


def test_numbers_beyond_int64_in_text_are_numbers(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("y,x\n1,1e120\n2,-3e120\n4,5e119\n3,2e120\n5,-1e119\n", encoding="utf-8")
    found, said = warned(lambda: glimm.read(path))
    assert found.x.tolist() == [1e120, -3e120, 5e119, 2e120, -1e119]
    fit, more = warned(lambda: glimm.glm("y ~ x", path))
    np.testing.assert_allclose(fit.params["x"] * 1e120, np.polyfit(found.x / 1e120, found.y, 1)[0], rtol=1e-9)
    assert said == more == []


def test_a_leverage_that_rounding_has_lost_is_no_number():
    n, x = 8, np.linspace(0.1, 1.0, 8)
    fit = glimm.glm("y ~ x", {"y": np.sin(9 * x), "x": x})
    h = np.diag(np.column_stack([np.ones(n), x]) @ np.linalg.pinv(np.column_stack([np.ones(n), x])))
    np.testing.assert_allclose(fit.leverage, h, rtol=1e-12)
    recipe = next(r for r in FOUND if r["seed"] == 207592485)
    door, formula, data, arguments = make(recipe)
    edge, _ = warned(lambda: getattr(glimm, door)(formula, data, **arguments))
    assert not edge.converged
    there = np.asarray(edge.leverage)
    assert np.isnan(there).sum() == 1
    assert np.nanmin(there) >= 0.0
    assert np.nanmax(there) <= 1.0
