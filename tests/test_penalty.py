"""penalty= against brglm2, the published equations solved in R (tests/reference/penalty.R), logistf's example and closed forms."""

import itertools
import json
import math
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.optimize import minimize, minimize_scalar

import glimm
from glimm.estimators.penalised import Penalised
from glimm.inference.penalised_profile import Profile

REFERENCE = Path(__file__).parent / "reference"
CASES = json.loads((REFERENCE / "penalty.json").read_text(encoding="utf-8"))
DATA = CASES.pop("data")
BRGLM2 = [name for name, case in CASES.items() if case["kind"] == "brglm2"]
EQUATIONS = [name for name, case in CASES.items() if case["kind"] == "equations"]
KNOWN = [name for name in BRGLM2 if CASES[name]["phi"] == 1]
OWN_DISPERSION = [name for name in BRGLM2 if CASES[name]["phi"] != 1]


def fitted(case):
    return glimm.glm(
        case["formula"],
        DATA[case["data"]],
        family=case["family"],
        link=case["link"],
        weights=case["weights"],
        penalty=case["penalty"],
    )


@pytest.fixture(scope="module")
def sex2():
    return pd.read_csv(REFERENCE / "data" / "logistf_sex2.csv")


@pytest.mark.parametrize("name", KNOWN)
def test_estimates_and_errors_are_those_of_brglm2(name):
    fit = fitted(CASES[name])
    assert fit.converged
    np.testing.assert_allclose(fit.params, CASES[name]["coef"], rtol=1e-7, atol=1e-8)
    np.testing.assert_allclose(fit.bse, CASES[name]["se"], rtol=1e-7)


@pytest.mark.parametrize("name", OWN_DISPERSION)
def test_coefficients_are_those_of_brglm2_at_its_dispersion(name):
    """Its dispersion is another estimate than Pearson's; the equations of the coefficients are the same."""
    case = CASES[name]
    record = fitted(case).record
    model = Penalised(record.design, record.family, case["penalty"])
    end = model.search(model.begin(glimm.Control()), case["phi"], 100)
    part = record.design.mean
    beta = end.point.beta / part.scale
    beta[part.intercept] -= beta @ part.center
    np.testing.assert_allclose(beta, case["coef"], rtol=1e-6)


@pytest.mark.parametrize("name", EQUATIONS)
def test_estimates_solve_the_published_equations(name):
    fit = fitted(CASES[name])
    assert fit.converged
    np.testing.assert_allclose(fit.params, CASES[name]["coef"], rtol=1e-7, atol=1e-9)


def test_logistf_example(sex2):
    """logistf(case ~ age + oc + vic + vicl + vis + dia, sex2): estimates, errors and profile limits as printed by firthlogist 0.5 (README),
    chi-squared and p as in the snapshot of logistf in easystats' parameters; profile limits are to its tolerance of 1e-4 in log L."""
    fit = glimm.glm("case ~ age + oc + vic + vicl + vis + dia", sex2, family="binomial", penalty="firth")
    printed = {
        "age": (-1.10598, 0.42366, -1.97379, -0.307427, 7.51),
        "oc": (-0.0688167, 0.443793, -0.941436, 0.789202, 0.02),
        "vic": (2.26887, 0.548416, 1.27304, 3.43543, 22.93),
        "vicl": (-2.11141, 0.543082, -3.26086, -1.11774, 19.10),
        "vis": (-0.788317, 0.417368, -1.60809, 0.0151846, 3.70),
        "dia": (3.09601, 1.67501, 0.774568, 8.03028, 7.90),
        "Intercept": (0.120254, 0.485542, -0.818559, 1.07315, 0.06),
    }
    table = np.array([printed[name] for name in fit.params.index])
    np.testing.assert_allclose(fit.params, table[:, 0], rtol=5e-6)
    np.testing.assert_allclose(fit.bse, table[:, 1], rtol=5e-6)
    limits = fit.conf_int(method="profile")
    np.testing.assert_allclose(limits["conf_low"], table[:, 2], atol=5e-5)
    np.testing.assert_allclose(limits["conf_high"], table[:, 3], atol=5e-5)
    assert fit.penalized_llf == pytest.approx(-132.5394, abs=5e-5)
    tests = fit.penalized_lr_tests()
    np.testing.assert_allclose(tests["statistic"], table[:, 4], atol=5e-3)
    p = dict(zip(tests["term"], tests["p_value"], strict=True))
    assert {name: round(p[name], 3) for name in ("Intercept", "age", "oc", "vis", "dia")} == {
        "Intercept": 0.802,
        "age": 0.006,
        "oc": 0.875,
        "vis": 0.054,
        "dia": 0.005,
    }


def test_heinze_and_schemper_2002_as_printed_by_detectseparation():
    """Endometrial cancer: 3.77456, 2.92927, -0.03475, -2.60416 (vignette of detectseparation); without the penalty NV has no estimate."""
    fit = glimm.glm("HG ~ NV + PI + EH", DATA["endometrial"], family="binomial", penalty="firth")
    np.testing.assert_allclose(fit.params, [3.77456, 2.92927, -0.03475, -2.60416], atol=5e-6)


@pytest.mark.parametrize("penalty", ["firth", "jeffreys"])
@pytest.mark.parametrize("cells", [(3, 7, 9, 0), (0, 12, 5, 4), (0, 6, 8, 0), (20, 1, 2, 30)])
def test_a_saturated_table_has_a_half_added_to_each_cell(cells, penalty):
    a, b, c, d = cells
    data = {"s": [a, c], "n": [a + b, c + d], "x": [0, 1]}
    fit = glimm.glm("s / n ~ x", data, family="binomial", penalty=penalty)
    odds = np.log([(a + 0.5) / (b + 0.5), (c + 0.5) / (d + 0.5)])
    np.testing.assert_allclose(fit.params, [odds[0], odds[1] - odds[0]], rtol=1e-11, atol=1e-11)
    v = [1.0 / ((m + 0.0) * q * (1.0 - q)) for m, q in zip(data["n"], 1.0 / (1.0 + np.exp(-odds)), strict=True)]
    np.testing.assert_allclose(fit.bse, np.sqrt([v[0], v[0] + v[1]]), rtol=1e-9)


def test_closed_forms_of_a_mean():
    y = np.array([0.0, 3.0, 2.0, 5.0, 1.0])
    z = y + 1.0
    n, m = len(y), z.mean()
    assert glimm.glm("y ~ 1", {"y": y}, family="poisson", penalty="firth").params["Intercept"] == pytest.approx(
        math.log((y.sum() + 0.5) / n), rel=1e-12
    )
    for link, mu in (("inverse", lambda phi: n * m / (n - phi)), ("log", lambda phi: m / (1.0 - phi / (2.0 * n)))):
        fit = glimm.glm("z ~ 1", {"z": z}, family="gamma", link=link, penalty="firth")
        assert fit.fittedvalues[0] == pytest.approx(mu(fit.scale), rel=1e-10)
        assert fit.scale == pytest.approx(float(np.sum((z / fit.fittedvalues[0] - 1.0) ** 2)) / (n - 1), rel=1e-12)
    plain, firth = (glimm.glm("z ~ x", {"z": z, "x": y**2}, penalty=penalty) for penalty in (None, "firth"))
    np.testing.assert_allclose(firth.params, plain.params, rtol=1e-11)  # a linear model is unbiased
    np.testing.assert_allclose(firth.bse, plain.bse, rtol=1e-11)


def dense(x, y, m, b):
    """The penalised log-likelihood of a logistic model, constants included."""
    eta = x @ b
    mu = 1.0 / (1.0 + np.exp(-eta))
    logdet = np.linalg.slogdet((x * (m * mu * (1.0 - mu))[:, None]).T @ x)[1]
    return float(stats.binom.logpmf(y, m, mu).sum() + 0.5 * logdet)


@pytest.mark.parametrize("link", ["logit", "probit", "cloglog"])
def test_jeffreys_is_the_maximum_of_the_dense_penalised_likelihood(link):
    rng = np.random.default_rng(8)
    x = np.column_stack([np.ones(25), rng.normal(size=25), rng.integers(0, 2, 25)])
    m = rng.integers(1, 5, 25)
    w, o = 1.0 + np.arange(25) % 3, rng.normal(size=25) / 2
    y = rng.binomial(m, 0.4)
    inverse = {"logit": lambda e: 1.0 / (1.0 + np.exp(-e)), "probit": stats.norm.cdf, "cloglog": lambda e: -np.expm1(-np.exp(e))}[link]
    slope = {"logit": lambda e: inverse(e) * (1.0 - inverse(e)), "probit": stats.norm.pdf, "cloglog": lambda e: np.exp(e - np.exp(e))}[link]

    def objective(b):
        eta = o + x @ b
        mu = inverse(eta)
        information = (x * (w * m * slope(eta) ** 2 / (mu * (1.0 - mu)))[:, None]).T @ x
        return -float(np.sum(w * (y * np.log(mu) + (m - y) * np.log1p(-mu)))) - 0.5 * np.linalg.slogdet(information)[1]

    options = {"xatol": 1e-9, "fatol": 1e-13, "maxiter": 5000}
    best = minimize(objective, np.full(3, -0.2), method="Nelder-Mead", options=options)
    data = {"y": y, "m": m, "a": x[:, 1], "b": x[:, 2], "w": w, "o": o}
    fit = glimm.glm("y / m ~ a + b", data, family="binomial", link=link, weights="w", offset="o", penalty="jeffreys")
    np.testing.assert_allclose(fit.params, best.x, atol=1e-6)
    penalty = fit.penalized_llf - fit.llf
    assert penalty == pytest.approx(
        -objective(fit.params.to_numpy()) - float(np.sum(w * (y * np.log(fit.fittedvalues) + (m - y) * np.log1p(-fit.fittedvalues)))),
        abs=1e-9,
    )


@pytest.mark.parametrize(
    ("family", "link"),
    [
        ("gamma", "log"),
        ("inverse_gaussian", "log"),
        ("negative_binomial(2)", "log"),
        ("tweedie(1.5)", "log"),
        ("poisson", "sqrt"),
        ("gaussian", "inverse"),
    ],
)
def test_the_jeffreys_score_is_the_slope_of_its_likelihood(family, link):
    rng = np.random.default_rng(9)
    x = rng.normal(size=20)
    y = rng.poisson(np.exp(1.5 + 0.3 * x)) + 1.0
    record = glimm.glm("y ~ x", {"y": y, "x": x}, family=family, link=link).record
    model, phi = Penalised(record.design, record.family, "jeffreys"), 0.7
    at, step = model.begin(glimm.Control()) + 0.02, 1e-4
    slopes = [
        sum(k * model.at(at + j * step * e, phi).value(phi) for j, k in ((-2, 1), (-1, -8), (1, 8), (2, -1))) / (12 * step)
        for e in np.eye(2)
    ]
    np.testing.assert_allclose(model.at(at, phi).score, slopes, rtol=1e-8, atol=1e-8)


def test_profile_limits_are_where_the_dense_profile_is():
    """Each limit against a maximisation of its own, by Nelder and Mead, of the whole penalised likelihood with the coefficient held."""
    d = pd.DataFrame(DATA["endometrial"])
    fit = glimm.glm("HG ~ NV + EH", d, family="binomial", penalty="firth")
    x, y, m = np.column_stack([np.ones(len(d)), d.NV, d.EH]), d.HG.to_numpy(), np.ones(len(d))
    top = dense(x, y, m, fit.params.to_numpy())
    assert fit.penalized_llf == pytest.approx(top, abs=1e-9)
    for level in (0.9, 0.95):
        limits = fit.conf_int(level=level, method="profile")
        for j, name in enumerate(fit.params.index):
            for limit in limits.loc[name]:
                rest = [k for k in range(3) if k != j]

                def held(b, j=j, rest=rest, limit=limit):
                    full = np.empty(3)
                    full[j], full[rest] = limit, b
                    return -dense(x, y, m, full)

                found = minimize(
                    held, fit.params.to_numpy()[rest], method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-12, "maxiter": 4000}
                )
                assert 2.0 * (top + found.fun) == pytest.approx(stats.chi2.ppf(level, 1), abs=1e-7)
        assert (limits["conf_low"] < fit.params).all()
        assert (limits["conf_high"] > fit.params).all()


def test_the_profile_of_an_estimated_dispersion_holds_it():
    y = np.array([1.0, 2.0, 0.5, 4.0, 3.0, 2.5])
    fit = glimm.glm("y ~ 1", {"y": y}, family="gamma", link="log", penalty="jeffreys")  # w = 1: the penalty is constant
    top = minimize_scalar(lambda b: float(np.sum(y * np.exp(-b) + b)), bracket=(0.0, 1.0)).x
    assert fit.params["Intercept"] == pytest.approx(top, abs=1e-6)
    q = stats.t.ppf(0.975, 5) ** 2
    for limit in fit.conf_int(method="profile").iloc[0]:
        rise = 2.0 * (np.sum(y * np.exp(-limit) + limit) - np.sum(y * np.exp(-top) + top)) / fit.scale
        assert rise == pytest.approx(q, rel=1e-9)


def test_neither_order_nor_coding_nor_units_matter(sex2):
    formula = "case ~ age + oc + vic + vicl + vis + dia"
    fit = glimm.glm(formula, sex2, family="binomial", penalty="firth")
    shuffled = glimm.glm(formula, sex2.sample(frac=1.0, random_state=1), family="binomial", penalty="firth")
    np.testing.assert_allclose(shuffled.params, fit.params, rtol=1e-10, atol=1e-12)
    turned = glimm.glm(formula, sex2.assign(dia=1 - sex2.dia, age=1000.0 * sex2.age + 1e5), family="binomial", penalty="firth")
    assert turned.params["dia"] == pytest.approx(-fit.params["dia"], rel=1e-10)
    assert turned.params["age"] == pytest.approx(fit.params["age"] / 1000.0, rel=1e-9)
    assert turned.penalized_llf == pytest.approx(fit.penalized_llf + math.log(1000.0), abs=1e-8)
    a, b = (f.conf_int(method="profile").loc["dia"].to_numpy() for f in (fit, turned))
    np.testing.assert_allclose(b, -a[::-1], rtol=1e-8)
    grouped = sex2.groupby([c for c in sex2 if c != "case"], as_index=False).agg(s=("case", "sum"), n=("case", "size"))
    trials = glimm.glm(formula.replace("case", "s / n"), grouped, family="binomial", penalty="firth")
    np.testing.assert_allclose(trials.params, fit.params, rtol=1e-10)
    np.testing.assert_allclose(trials.conf_int(method="profile"), fit.conf_int(method="profile"), rtol=1e-8)


def test_levels_in_any_order():
    rng = np.random.default_rng(2)
    g = np.repeat(["a", "b", "c"], 12)
    y = np.where(g == "c", 1, rng.integers(0, 2, 36))
    means = set()
    for names in itertools.permutations("abc"):
        coded = pd.Series(g).map(dict(zip("abc", names, strict=True)))
        fit = glimm.glm("y ~ g", {"y": y, "g": coded}, family="binomial", penalty="firth")
        means.add(tuple(np.round(fit.fittedvalues, 10)))
    assert len(means) == 1
    assert next(iter(means))[-1] == pytest.approx(12.5 / 13.0, abs=1e-9)


def test_complete_separation_has_finite_estimates_and_intervals():
    x = np.arange(1.0, 11.0)
    y = (x > 5).astype(int)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit = glimm.glm("y ~ x", {"x": x, "y": y}, family="binomial", penalty="firth")
        limits = fit.conf_int(method="profile")
    best = minimize(
        lambda b: -dense(np.column_stack([np.ones(10), x]), y, np.ones(10), b),
        [-5.0, 1.0],
        method="Nelder-Mead",
        options={"xatol": 1e-10, "fatol": 1e-13},
    )
    np.testing.assert_allclose(fit.params, best.x, rtol=1e-5)
    assert np.isfinite(limits).all(axis=None)
    assert limits.loc["x", "conf_low"] > 0.0
    assert "separated" not in fit.check().codes


@pytest.mark.parametrize("vcov", ["HC0", "HC3", {"cluster": "g"}])
def test_robust_errors_are_the_sandwich_at_the_estimates(vcov):
    rng = np.random.default_rng(4)
    d = pd.DataFrame({"x": rng.normal(size=60), "g": np.arange(60) // 4})
    d["y"] = (rng.random(60) < 1.0 / (1.0 + np.exp(-d.x))).astype(int)
    fit = glimm.glm("y ~ x", d, family="binomial", penalty="firth", vcov=vcov)
    x = np.column_stack([np.ones(60), d.x])
    mu = fit.fittedvalues.to_numpy()
    bread = np.linalg.inv((x * (mu * (1.0 - mu))[:, None]).T @ x)
    u = x * (d.y.to_numpy() - mu)[:, None]
    if vcov == "HC3":
        u /= (1.0 - mu * (1.0 - mu) * np.einsum("ij,jk,ik->i", x, bread, x))[:, None]
    if vcov not in ("HC0", "HC3"):
        u = np.array([u[d.g == g].sum(axis=0) for g in range(15)])
    np.testing.assert_allclose(fit.cov_params(), bread @ u.T @ u @ bread, rtol=1e-9)
    with pytest.raises(glimm.GlimmError, match="method='wald'"):
        fit.conf_int(method="profile")


def test_what_has_no_penalised_likelihood_says_so(sex2):
    probit = glimm.glm("case ~ dia", sex2, family="binomial", link="probit", penalty="firth")
    for asked in (lambda: probit.conf_int(method="profile"), probit.penalized_lr_tests):
        with pytest.raises(glimm.GlimmError, match="penalty='jeffreys'"):
            asked()
    with pytest.raises(AttributeError, match="jeffreys"):
        _ = probit.penalized_llf
    plain = glimm.glm("case ~ age", sex2, family="binomial")
    with pytest.raises(AttributeError, match="no penalized_llf"):
        _ = plain.penalized_llf
    with pytest.raises(glimm.GlimmError, match="penalty='firth'"):
        plain.penalized_lr_tests()


@pytest.mark.parametrize("penalty", ["ridge", "Firth", 1, True, ["firth"]])
def test_other_penalties_are_refused(sex2, penalty):
    with pytest.raises(glimm.GlimmError, match="penalty must be 'firth', 'jeffreys' or None"):
        glimm.glm("case ~ age", sex2, family="binomial", penalty=penalty)


@pytest.mark.parametrize(
    ("family", "remedy"),
    [
        ("negative_binomial", r"negative_binomial\(2\)"),
        ("tweedie", r"tweedie\(1\.5\)"),
        ("beta", "leave it out"),
        ("negative_binomial1", "leave it out"),
    ],
)
def test_families_with_parameters_of_their_own_are_not_there_yet(family, remedy):
    data = {"y": [0.2, 0.5, 0.3, 0.8] if family == "beta" else [0, 3, 1, 4], "x": [1.0, 2.0, 3.0, 5.0]}
    with pytest.raises(glimm.NotYetError, match=remedy):
        glimm.glm("y ~ x", data, family=family, penalty="firth")


def test_a_frequency_weight_is_so_many_rows():
    rng = np.random.default_rng(6)
    d = pd.DataFrame({"x": rng.integers(0, 3, 15), "w": rng.integers(1, 5, 15), "z": rng.gamma(3.0, 1.0, 15)})
    d["y"] = (rng.random(15) < 0.4).astype(int)
    rows = d.loc[d.index.repeat(d.w)]
    for formula, family, link in (("y ~ x", "binomial", "logit"), ("z ~ x", "gamma", "log")):
        counted = glimm.glm(formula, d, family=family, link=link, weights=glimm.frequency("w"), penalty="jeffreys")
        plain = glimm.glm(formula, rows, family=family, link=link, penalty="jeffreys")
        np.testing.assert_allclose(counted.params, plain.params, rtol=1e-9)
        np.testing.assert_allclose(counted.bse, plain.bse, rtol=1e-9)
        np.testing.assert_allclose(counted.conf_int(method="profile"), plain.conf_int(method="profile"), rtol=1e-8)
        assert counted.penalized_llf == pytest.approx(plain.penalized_llf, rel=1e-10)


def test_other_dispersions():
    z = np.array([1.0, 4.0, 3.0, 6.0, 2.0])
    n, m = len(z), z.mean()
    given = glimm.glm("z ~ 1", {"z": z}, family="gamma", link="inverse", scale=0.3, penalty="firth")
    assert given.fittedvalues[0] == pytest.approx(n * m / (n - 0.3), rel=1e-10)
    deviance = glimm.glm("z ~ 1", {"z": z}, family="gamma", link="inverse", scale="deviance", penalty="firth")
    assert deviance.scale == pytest.approx(deviance.deviance / (n - 1), rel=1e-12)
    assert deviance.fittedvalues[0] == pytest.approx(n * m / (n - deviance.scale), rel=1e-10)
    with pytest.raises(glimm.NotYetError, match="scale='pearson'"):
        glimm.glm("z ~ 1", {"z": z}, family="gamma", scale="ml", penalty="firth")
    with pytest.raises(glimm.NotYetError, match="sampling weights"):
        glimm.glm("z ~ 1", {"z": z, "w": z}, family="gamma", weights=glimm.sampling("w"), penalty="firth")
    with pytest.raises(glimm.NotYetError, match="'quasipoisson'"):
        glimm.glm("z ~ 1", {"z": z}, family="quasipoisson", penalty="firth")


@pytest.mark.parametrize("part", ["zero", "dispersion"])
def test_models_in_parts_have_no_penalty_yet(part):
    with pytest.raises(glimm.NotYetError, match="zero= or dispersion="):
        glimm.glm("y ~ x", {"y": [0, 1, 0, 4], "x": [1.0, 2.0, 3.0, 5.0]}, family="negative_binomial", penalty="firth", **{part: "~ 1"})


def test_no_rows_left_for_a_dispersion():
    with pytest.raises(glimm.GlimmError, match="2 rows for 2 coefficients"):
        glimm.glm("y ~ x", {"y": [1.0, 2.0], "x": [0.0, 1.0]}, family="gamma", penalty="firth")


def test_a_maximum_that_brglm2_misses():
    """Cauchit and endometrial cancer: brglm2's scoring runs off to 1e295, by Nelder and Mead there is a maximum at -24.7804."""
    d = pd.DataFrame(DATA["endometrial"])
    x, y = np.column_stack([np.ones(len(d)), d.NV, d.PI, d.EH]), d.HG.to_numpy()

    def objective(b):
        eta = x @ b
        mu = 0.5 + np.arctan(eta) / np.pi
        w = (1.0 / np.pi / (1.0 + eta**2)) ** 2 / (mu * (1.0 - mu))
        return -float(np.log(np.where(y == 1, mu, 1.0 - mu)).sum()) - 0.5 * np.linalg.slogdet((x * w[:, None]).T @ x)[1]

    best = minimize(objective, [6.0, 3.0, -0.1, -4.0], method="Nelder-Mead", options={"xatol": 1e-10, "fatol": 1e-13, "maxiter": 9000})
    fit = glimm.glm("HG ~ NV + PI + EH", d, family="binomial", link="cauchit", penalty="jeffreys")
    np.testing.assert_allclose(fit.params, best.x, rtol=1e-6)
    assert fit.penalized_llf == pytest.approx(-best.fun, abs=1e-10)


def test_an_adjusted_score_that_is_zero_far_from_where_the_search_begins():
    """Complementary log-log, 25 rows nearly separated: the equations written out, with log(1 - mu) = -e kept."""
    rng = np.random.default_rng(56)
    n, p = int(rng.integers(6, 60)), int(rng.integers(1, 5))
    x = {f"x{j}": (rng.normal(size=n) if rng.random() < 0.5 else rng.integers(0, 2, n) * 1.0) for j in range(p)}
    eta = sum(rng.normal() * 3 * v for v in x.values()) + rng.normal() * 2
    y = (rng.random(n) < 1 / (1 + np.exp(-eta))).astype(int)
    wide = np.column_stack([np.ones(n), *x.values()])

    def adjusted(b):
        e = np.exp(wide @ b)
        mu = -np.expm1(-e)
        w = e**2 * np.exp(-e) / mu
        h = w * np.einsum("ij,jk,ik->i", wide, np.linalg.inv((wide * w[:, None]).T @ wide), wide)
        return wide.T @ (e * (y - mu) / mu + h * (1.0 - e) / 2.0)

    fit = glimm.glm("y ~ " + " + ".join(x), x | {"y": y}, family="binomial", link="cloglog", penalty="firth")
    assert fit.converged
    np.testing.assert_allclose(adjusted(fit.params.to_numpy()), 0.0, atol=1e-9)


def test_a_search_that_was_stopped_is_not_an_estimate(sex2):
    with pytest.warns(glimm.GlimmWarning, match="no convergence"):
        fit = glimm.glm("case ~ dia", sex2, family="binomial", penalty="firth", control=glimm.Control(max_iter=2))
    assert fit.record.solution.code == "not_converged"


def test_the_summary_says_that_estimates_are_penalised(sex2):
    fit = glimm.glm("case ~ dia", sex2, family="binomial", penalty="firth")
    text = " ".join(str(fit.summary()).split())
    assert "Firth 1993" in text
    assert "without the penalty" in text
    assert f"penalised log-likelihood: {fit.penalized_llf:.2f}" in text
    assert "prior" in str(glimm.glm("case ~ dia", sex2, family="binomial", penalty="jeffreys").summary())
    mu = fit.fittedvalues
    assert fit.llf == pytest.approx(float(np.log(np.where(sex2.case == 1, mu, 1.0 - mu)).sum()), rel=1e-12)


def test_what_fits_again_keeps_the_penalty(sex2):
    few = sex2.iloc[::4]
    fit = glimm.glm("case ~ dia + oc", few, family="binomial", penalty="firth")
    table = fit.influence(method="refit")
    without = glimm.glm("case ~ dia + oc", few.iloc[1:], family="binomial", penalty="firth")
    assert table["dfbetas_dia"].iloc[0] == pytest.approx((fit.params["dia"] - without.params["dia"]) / fit.bse["dia"], abs=1e-8)
    with pytest.raises(glimm.NotYetError, match="method='refit'"):
        fit.influence()
    plain = glimm.glm("case ~ vic", few, family="binomial")
    both = str(glimm.compare(plain, glimm.glm("case ~ vic", few, family="binomial", penalty="firth")))
    assert "another penalty, or none" in " ".join(both.split())


def test_the_held_coefficient_stays_where_it_is(sex2):
    record = glimm.glm("case ~ age + vic", sex2, family="binomial", penalty="firth").record
    profile = Profile(record)
    end = profile.constrained(1, 0.25)
    assert (profile.back @ end.point.beta)[1] == pytest.approx(0.25, abs=1e-12)
    assert end.converged


@pytest.mark.parametrize("level", [False, True])
def test_many_rows_take_few_passes(level):
    """Firth's adjusted score at the estimates by dense algebra, X'(y - p + h (1/2 - p)); with a level that has no event too."""
    rng = np.random.default_rng(31)
    n = 20_000
    d = pd.DataFrame(rng.normal(size=(n, 8)), columns=[f"x{j}" for j in range(8)])
    d["g"] = rng.integers(0, 12, n)
    d["y"] = (rng.random(n) < 1.0 / (1.0 + np.exp(1.0 - d["x0"]))).astype(int)
    if level:
        d.loc[d["g"] == 4, "y"] = 0
    fit = glimm.glm(f"y ~ {' + '.join(d.columns[:8])} + C(g)", d, family="binomial", penalty="firth")
    assert fit.converged
    assert fit.record.solution.evaluations < 15
    x = np.column_stack([np.ones(n), d.iloc[:, :8], *(d["g"] == k for k in range(1, 12))])
    p = 1.0 / (1.0 + np.exp(-(x @ fit.params.to_numpy())))
    inverse = np.linalg.inv((x.T * (p * (1.0 - p))) @ x)
    h = p * (1.0 - p) * ((x @ inverse) * x).sum(axis=1)
    np.testing.assert_allclose(x.T @ (d["y"] - p + h * (0.5 - p)), 0.0, atol=1e-9)
