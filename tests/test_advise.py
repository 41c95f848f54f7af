"""glimm.advise: data sets whose right answer is known by construction, the reason and its numbers checked by other means."""

from __future__ import annotations

import json
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from test_html import Reader, flat

import glimm

REFERENCE = Path(__file__).parent / "reference" / "data"


def logistic(eta):
    return 1.0 / (1.0 + np.exp(-eta))


def long(clusters, rows, seed):
    """A frame of equally large clusters with times, a predictor in rows, one of clusters, and normal effects of clusters."""
    rng = np.random.default_rng(seed)
    data = pd.DataFrame({"g": np.repeat(np.arange(clusters), rows), "t": np.tile(np.arange(rows), clusters)})
    data["x"] = rng.normal(size=len(data))
    data["trt"] = (data["g"] % 2).astype(int)
    return rng, data, rng.normal(size=clusters)[data["g"]]


def exchangeable():
    rng, d, b = long(80, 6, 1)
    return d.assign(y=1.0 + 0.5 * d["x"] + b + rng.normal(size=len(d)))


def autoregressive():
    rng, d, _ = long(150, 8, 2)
    e = rng.normal(size=(150, 8))
    for k in range(1, 8):
        e[:, k] = 0.7 * e[:, k - 1] + np.sqrt(1 - 0.49) * e[:, k]
    return d.assign(y=0.3 * d["x"] + e.ravel())


def independent():
    rng, d, _ = long(60, 5, 3)
    return pd.DataFrame({"y": d["x"] + rng.normal(size=300), "x": d["x"], "z": rng.uniform(size=300)})


def own_cluster():
    return independent().assign(row=lambda d: np.arange(len(d)))


def few():
    rng, d, b = long(8, 25, 4)
    return d.assign(y=(rng.uniform(size=200) < logistic(-0.3 + 0.8 * d["x"] + 1.2 * b)).astype(int))


def randomised_clusters():
    rng, d, b = long(50, 12, 5)
    return d.assign(y=(rng.uniform(size=600) < logistic(-0.5 + 0.6 * d["trt"] + b)).astype(int))


def informative_size():
    rng = np.random.default_rng(6)
    b = rng.normal(size=200)
    sizes = 2 + rng.poisson(np.exp(0.8 + 0.6 * b))
    g = np.repeat(np.arange(200), sizes)
    x = rng.normal(size=len(g))
    return pd.DataFrame({"g": g, "x": x, "y": (rng.uniform(size=len(g)) < logistic(0.5 * x + b[g])).astype(int)})


def dropping_out():
    rng, d, b = long(300, 5, 7)
    y = (0.3 * d["t"] + b + rng.normal(size=len(d))).to_numpy().reshape(300, 5)
    stays = np.ones(300, dtype=bool)
    seen = np.ones((300, 5), dtype=bool)
    for k in range(1, 5):
        stays &= rng.uniform(size=300) > logistic(-3.0 + 1.3 * y[:, k - 1])
        seen[:, k] = stays
    return d.assign(y=np.where(seen, y, np.nan).ravel())


def dropping_out_at_random():
    rng, d, b = long(300, 5, 8)
    last = np.where(rng.uniform(size=300) < 0.3, rng.integers(1, 5, 300), 5)
    y = 0.3 * d["t"] + b + rng.normal(size=len(d))
    return d.assign(y=np.where(d["t"] < last[d["g"]], y, np.nan))


def overdispersed_counts():
    rng, d, b = long(100, 6, 9)
    mean = np.exp(1.0 + 0.3 * d["x"] + 0.5 * b)
    return d.assign(y=rng.poisson(mean * rng.gamma(1.0, 1.0, len(d))))


def poisson_counts():
    rng, d, b = long(100, 6, 10)
    return d.assign(y=rng.poisson(np.exp(0.5 + 0.3 * d["x"] + 0.6 * b)))


def crossed():
    rng = np.random.default_rng(11)
    pupil, item = np.repeat(np.arange(60), 40), np.tile(np.arange(40), 60)
    eta = rng.normal(size=60)[pupil] + rng.normal(size=40)[item]
    x = rng.normal(size=2400)
    return pd.DataFrame({"pupil": pupil, "item": item, "x": x, "y": (rng.uniform(size=2400) < logistic(eta + 0.5 * x)).astype(int)})


def nested():
    rng = np.random.default_rng(12)
    school, room = np.repeat(np.arange(45), 20), np.repeat(np.arange(180), 5)
    x = rng.normal(size=900)
    y = 0.4 * x + 0.7 * rng.normal(size=45)[school] + 0.6 * rng.normal(size=180)[room] + rng.normal(size=900)
    return pd.DataFrame({"school": school, "room": room, "x": x, "y": y})


def two_effects():
    rng, d, b = long(100, 6, 13)
    x = d["x"] + 1.5 * b
    return d.assign(x=x, y=0.5 * x + 2.0 * b + rng.normal(size=len(d)))


def slopes():
    return pd.read_csv(REFERENCE / "lme4_sleepstudy.csv")


RANDOM = "(1 | g)"
TRUTH = {
    # name: data, formula, arguments, individual (model, in the call), population (model, in the call), reasons, doubts
    "ohio": (
        lambda: glimm.load_dataset("ohio"), "resp ~ age * smoke", {"groups": "id", "time": "age"},
        ("glmm", "(1 | id)"), ("gee", 'groups="id", family="binomial")'),
        {"family_binomial", "dependence", "within", "cluster_level", "random_intercept", "averages", "exchangeable", "robust_errors"}, set(),
    ),
    "sleepstudy": (
        slopes, "Reaction ~ Days", {"groups": "Subject", "time": "Days"},
        ("glmm", "(1 + Days | Subject)"), ("gee", 'groups="Subject"'), {"random_slope", "family_gaussian"}, {"few_clusters"},
    ),
    "exchangeable": (
        exchangeable, "y ~ x", {"groups": "g", "time": "t"},
        ("glmm", RANDOM), ("gee", 'groups="g")'), {"random_intercept", "exchangeable", "within", "averages"}, set(),
    ),
    "autoregressive": (
        autoregressive, "y ~ x", {"groups": "g", "time": "t"},
        ("glmm", RANDOM), ("gee", 'time="t", corr="ar1"'), {"ar1", "random_intercept"}, {"serial_correlation"},
    ),
    "independent rows": (independent, "y ~ x + z", {}, ("glm", "glimm.glm("), ("glm", "glimm.glm("), {"no_groups", "family_gaussian"}, set()),
    "each row its own cluster": (
        own_cluster, "y ~ x", {"groups": "row"}, ("glm", "glimm.glm("), ("glm", "glimm.glm("), {"row_per_cluster"}, set(),
    ),
    "few clusters": (few, "y ~ x", {"groups": "g"}, ("glmm", RANDOM), ("gee", 'groups="g"'), {"exchangeable", "within"}, {"few_clusters"}),
    "randomised clusters": (
        randomised_clusters, "y ~ trt", {"groups": "g"}, ("glmm", RANDOM), ("gee", 'groups="g"'),
        {"cluster_level", "clusters_are_the_sample"}, {"cluster_level_only"},
    ),
    "informative size": (
        informative_size, "y ~ x", {"groups": "g"}, ("glmm", RANDOM), ("gee", 'corr="independence"'),
        {"independence_for_size"}, {"informative_cluster_size"},
    ),
    "dropout": (
        dropping_out, "y ~ t", {"groups": "g", "time": "t"}, ("glmm", RANDOM), ("glmm", RANDOM),
        {"dropout_depends_on_response"}, {"dropout_depends_on_response", "informative_cluster_size"},
    ),
    "dropout at random": (
        dropping_out_at_random, "y ~ t", {"groups": "g", "time": "t"}, ("glmm", RANDOM), ("gee", 'groups="g")'), {"exchangeable"}, set(),
    ),
    "overdispersed counts": (
        overdispersed_counts, "y ~ x", {"groups": "g"}, ("glmm", 'family="negative_binomial"'), ("gee", 'family="poisson"'),
        {"family_negative_binomial"}, set(),
    ),
    "counts": (poisson_counts, "y ~ x", {"groups": "g"}, ("glmm", 'family="poisson"'), ("gee", 'family="poisson"'), {"family_counts"}, set()),
    "crossed": (
        crossed, "y ~ x", {"groups": ["pupil", "item"]}, ("glmm", "(1 | item) + (1 | pupil)"),
        ("glm", 'vcov={"cluster": ["item", "pupil"]}'), {"crossed", "two_way_clusters"}, set(),
    ),
    "nested": (
        nested, "y ~ x", {"groups": ["room", "school"]}, ("glmm", "(1 | school) + (1 | room)"), ("gee", 'groups="school"'),
        {"nested", "outermost_clusters"}, set(),
    ),
    "two effects": (two_effects, "y ~ x", {"groups": "g"}, ("glmm", RANDOM), ("gee", 'groups="g"'), {"within"}, {"between_within"}),
}  # fmt: skip


@pytest.fixture(scope="module", params=TRUTH)
def case(request):
    make, formula, more, *expected = TRUTH[request.param]
    data = make()
    return data, formula, more, glimm.advise(formula, data, **more), expected


def one_line(call):
    return " ".join(call.replace("(\n", "(").replace(",\n)", ")").split())


def codes(statements):
    return {s.code for s in statements}


def evidence(statements, code, number=0):
    return [s.evidence for s in statements if s.code == code][number]


def test_the_model_and_the_reason(case):
    data, formula, more, advice, (individual, population, reasons, doubts) = case
    for question, (model, written) in (("individual", individual), ("population", population)):
        alone = glimm.advise(formula, data, question=question, **more)
        assert alone.model == model
        assert written in one_line(alone.call)
        assert alone.call == advice.calls[question]
        assert list(alone.calls) == [question]
    assert advice.model == (individual[0] if individual[0] == population[0] else None)
    assert reasons <= codes(advice.reasons)
    assert codes(advice.doubts) - {"few_clusters"} == doubts - {"few_clusters"}
    assert doubts <= codes(advice.doubts)


def test_the_calls_run_and_converge(case):
    data, _, _, advice, _ = case
    with warnings.catch_warnings():
        warnings.simplefilter("error", glimm.GlimmWarning)
        for call in advice.calls.values():
            assert eval(call, {"glimm": glimm, "data": data}).record.solution.code == "converged"
        for answer in advice.answers:
            if answer.then:
                assert len(eval(answer.then, {"fit": eval(answer.call, {"glimm": glimm, "data": data})})) == advice.facts.p
    names = {"glimm": glimm, "data": data}
    exec(advice.call, names)
    assert len(advice.answers) == 1 or {"individual", "population"} <= set(names)


def test_every_statement_has_a_number_in_its_sentence_and_in_its_evidence(case):
    advice = case[3]
    for statement in (*advice.reasons, *advice.missing, *advice.doubts):
        assert any(letter.isdigit() for letter in statement.text), statement.code
        assert statement.evidence, statement.code
        assert all(value == value for value in statement.evidence.values()), statement
        assert str(statement) == statement.text


def test_text_and_html_say_the_same(case):
    advice = case[3]
    assert flat("".join(Reader(advice._repr_html_()).words)) == flat(str(advice).replace("\n- ", "\n"))
    assert max(map(len, str(advice).splitlines())) <= 110
    assert repr(advice) == str(advice)


# the numbers, from loops over clusters and NumPy alone


def residuals(y, x, binomial=False, poisson=False):
    """Pearson residuals of a GLM by Newton's method."""
    beta = np.zeros(x.shape[1])
    if poisson:
        beta[0] = np.log(y.mean())
    for _ in range(50):
        eta = x @ beta
        mu = logistic(eta) if binomial else np.exp(eta) if poisson else eta
        v = mu * (1 - mu) if binomial else mu if poisson else np.ones(len(y))
        beta = beta + np.linalg.solve(x.T @ (v[:, None] * x), x.T @ (y - mu))
    return (y - mu) / np.sqrt(v), mu


def columns(data, *names):
    return np.column_stack([np.ones(len(data)), *(data[name] for name in names)])


def pairs_of(r, g):
    """Products of residuals over all pairs of a cluster, one by one."""
    out = []
    for level in np.unique(g):
        e = r[g == level]
        out += [e[j] * e[k] for j in range(len(e)) for k in range(j)]
    return np.array(out)


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
    assert found["p"] == pytest.approx(3.3e-9, rel=0.3)  # anova(lm(Reaction ~ Subject + Days), lm(Reaction ~ Subject * Days)) in R


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


# other data and calls


@pytest.mark.parametrize(
    ("y", "family", "code"),
    [
        (lambda rng: rng.choice(["no", "yes"], 200), "binomial", "family_binomial"),
        (lambda rng: rng.uniform(size=200) < 0.4, "binomial", "family_binomial"),
        (lambda rng: rng.poisson(3.0, 200), "poisson", "family_counts"),
        (lambda rng: rng.negative_binomial(1, 0.2, 200), "negative_binomial", "family_negative_binomial"),
        (lambda rng: rng.integers(2, 5, 200), "gaussian", "family_gaussian"),
        (lambda rng: rng.integers(1400, 1600, 200), "gaussian", "family_gaussian"),
        (lambda rng: rng.normal(size=200), "gaussian", "family_gaussian"),
    ],
)
def test_the_family_is_guessed(y, family, code):
    rng = np.random.default_rng(21)
    data = {"y": y(rng), "x": rng.normal(size=200)}
    advice = glimm.advise("y ~ x", data)
    assert code in codes(advice.reasons)
    assert eval(advice.call, {"glimm": glimm, "data": data}).record.family.name == family
    assert not advice.doubts


def test_responses_of_another_shape_are_doubted():
    rng = np.random.default_rng(22)
    x = rng.normal(size=300)
    skewed = glimm.advise("y ~ x", {"y": np.exp(1.0 + rng.normal(size=300)), "x": x})
    assert codes(skewed.doubts) == {"skewed_response"}
    assert codes(glimm.advise("y ~ x", {"y": rng.beta(2.0, 3.0, 300), "x": x}).doubts) == {"proportion_response"}
    counts = {"y": rng.negative_binomial(1, 0.2, 300), "x": x}
    assert codes(glimm.advise("y ~ x", counts, family="poisson").doubts) == {"overdispersed"}
    rare = {"y": np.r_[np.ones(7), np.zeros(293)], "x": x}
    assert evidence(glimm.advise("y ~ x", rare).doubts, "few_events")["events"] == 7
    apart = {"y": (x > 0).astype(int), "x": x}
    assert "separated" in codes(glimm.advise("y ~ x", apart).doubts)
    assert codes(glimm.advise("y ~ x + z", {"y": x[:20] + rng.normal(size=20), "x": x[:20], "z": 2 * x[:20]}).doubts) == {"dropped_columns"}
    assert codes(glimm.advise("y ~ x", {"y": rng.normal(size=15), "x": x[:15]}).doubts) == {"few_rows"}


def test_columns_that_look_like_clusters_are_named():
    ohio = glimm.load_dataset("ohio")
    doubt = evidence(glimm.advise("resp ~ age * smoke", ohio).doubts, "looks_clustered")
    with_id = evidence(glimm.advise("resp ~ age * smoke", ohio, groups="id").reasons, "dependence")
    assert (doubt["column"], doubt["levels"], doubt["rows"]) == ("id", 537, 4.0)
    assert (doubt["correlation"], doubt["z"]) == pytest.approx((with_id["correlation"], with_id["z"]))
    assert codes(glimm.advise("pass ~ hours", glimm.load_dataset("classroom")).doubts) == {"looks_clustered"}


def test_rows_that_are_no_more_or_less_alike_than_chance():
    rng, d, _ = long(80, 4, 23)
    advice = glimm.advise("y ~ x", d.assign(y=rng.normal(size=320)), groups="g")
    assert codes(advice.doubts) == {"little_dependence"}
    e = rng.normal(size=(80, 4))
    unlike = d.assign(y=(e - 0.9 * e.mean(axis=1, keepdims=True)).ravel())
    advice = glimm.advise("y ~ x", unlike, groups="g")
    assert codes(advice.doubts) == {"negative_correlation"}
    assert 'corr="independence"' in advice.calls["population"]
    assert glimm.gee("y ~ x", unlike, groups="g", corr="independence").converged


def test_crossed_groupings_are_judged_apart():
    penicillin = pd.read_csv(REFERENCE / "lme4_Penicillin.csv")
    assert codes(glimm.advise("diameter ~ 1", penicillin, groups=["plate", "sample"]).doubts) == {"few_clusters"}
    pastes = pd.read_csv(REFERENCE / "lme4_Pastes.csv")
    doubts = glimm.advise("strength ~ 1", pastes, groups=["batch", "cask"]).doubts
    assert "(1 | batch/cask)" in next(s.text for s in doubts if s.code == "little_dependence")


def test_random_effects_of_the_formula_are_kept():
    pastes = pd.read_csv(REFERENCE / "lme4_Pastes.csv")
    advice = glimm.advise("strength ~ 1 + (1 | batch/cask)", pastes)
    assert advice.calls["individual"] == 'glimm.glmm("strength ~ 1 + (1 | batch/cask)", data)'
    assert advice.calls["population"] == 'glimm.gee("strength ~ 1", data, groups="batch")'
    assert [(g.name, g.clusters, g.within) for g in advice.facts.groups] == [("batch", 10, ()), ("batch:cask", 30, ("batch",))]
    only = glimm.advise("strength ~ 1 + (1 | batch:cask)", pastes, question="population")
    assert (only.model, only.answers[0].then, codes(only.answers[0].reasons)) == (
        "glmm", "fit.marginal_params()", {"no_single_cluster", "random_effects_given"},
    )  # fmt: skip


def test_groupings_that_add_nothing_are_left_out():
    data = nested().assign(row=lambda d: np.arange(len(d)), code=lambda d: "s" + d["school"].astype(str))
    advice = glimm.advise("y ~ x", data, groups=["school", "code", "row"], question="individual")
    assert advice.call == 'glimm.glmm("y ~ x + (1 | school)", data)'
    assert {"row_per_cluster", "same_clusters"} <= codes(advice.reasons)


def test_odd_names_offsets_weights_and_kinds_of_frames():
    rng, d, b = long(60, 5, 24)
    d = d.assign(days=rng.uniform(1, 9, 300), w=rng.uniform(1, 2, 300)).rename(columns={"g": "my group", "x": "dose given"})
    d["n"] = rng.poisson(d["days"] * np.exp(0.2 * d["dose given"] + 0.5 * b))
    pl = pytest.importorskip("polars")
    for data in (d, pl.from_pandas(d), dict(d)):
        advice = glimm.advise("n ~ `dose given`", data, groups="my group", exposure="days", weights="w", link="log")
        for call in advice.calls.values():
            fit = eval(call, {"glimm": glimm, "data": data})
            assert fit.converged
            assert fit.record.design.mean.offset is not None
    within = glimm.advise("n ~ `dose given` + offset(log(days))", d, groups="my group", question="population")
    assert within.call.startswith('glimm.gee(\n    "n ~ `dose given` + offset(log(days))"')


def test_time_belongs_to_the_grouping_in_which_it_does_not_repeat():
    data = nested().assign(t=lambda d: np.tile(np.arange(5), 180))
    advice = glimm.advise("y ~ x", data, groups=["school", "room"], time="t")
    assert (advice.facts.times.group, advice.facts.times.occasions) == ("room", 5)
    assert "time=" not in advice.calls["population"]
    with pytest.raises(glimm.GlimmError, match="cluster 0 of 'school' has time 0 twice, in rows 0 and 5"):
        glimm.advise("y ~ x", data, groups="school", time="t")


@pytest.mark.parametrize(
    ("formula", "more", "message"),
    [
        ("y ~ x", {"groups": "gg"}, r"no column 'gg' in the data, needed by groups=: did you mean 'g'"),
        ("y ~ xx", {}, r"no column 'xx' in the data: did you mean 'x'"),
        ("yy ~ x", {"groups": "g"}, r"no column 'yy' in the data: did you mean 'y'"),
        ("y ~ x", {"groups": "g", "time": "tt"}, r"no column 'tt' in the data, needed by time="),
        ("y ~ x", {"groups": "g", "question": "populations"}, r"unknown question 'populations': did you mean 'population'"),
        ("y ~ x", {"groups": "g", "question": 1}, r"question must be a name, not int"),
        ("y ~ x", {"groups": "one"}, r"groups: 'one' is 1 in all rows, one cluster"),
        ("one ~ x", {"groups": "g"}, r"the response 'one' is 1 in all 480 rows used: there is nothing to estimate"),
        ("y ~ x", {"groups": np.arange(480)}, r"groups must name a column"),
        ("y ~ x", {"groups": "g", "weights": np.ones(480)}, r"weights must name a column of the data, not ndarray"),
        ("y ~ x", {"time": "t"}, r"time= needs groups="),
        ("y ~ x", {"family": "binomal"}, r"unknown family 'binomal': did you mean 'binomial'"),
        ("half ~ x", {}, r"coded 1/2, not 0/1: write I\(half == 2\)"),
        ("three ~ x", {}, r"has 3 levels \('a', 'b', 'c'\)"),
        (1, {}, r"formula must be text"),
    ],
)
def test_what_cannot_be_advised(formula, more, message):
    data = exchangeable().assign(one=1, half=lambda d: 1 + d["t"] % 2, three=lambda d: d["t"].map(dict(enumerate("abcabc"))))
    with pytest.raises(glimm.GlimmError, match=message):
        glimm.advise(formula, data, **more)


def test_no_rows():
    with pytest.raises(glimm.GlimmError, match="the data have no rows"):
        glimm.advise("y ~ x", pd.DataFrame({"y": [], "x": []}), groups="g")


def test_healthy_data_raise_few_doubts_by_chance():
    doubts = 0
    for seed in range(40):
        rng, d, b = long(60, 5, 100 + seed)
        gone = rng.uniform(size=300) < 0.1
        y = (rng.uniform(size=300) < logistic(0.5 * d["x"] + 1.5 * b)).astype(float)
        advice = glimm.advise("y ~ x + trt + t", d.assign(y=np.where(gone, np.nan, y)), groups="g", time="t")
        assert advice.calls["individual"] == 'glimm.glmm("y ~ x + trt + t + (1 | g)", data, family="binomial")'
        doubts += len(advice.doubts)
    assert doubts <= 2


def test_json_numbers_are_plain(case):
    from glimm.advice.say import plain_advice

    said = json.loads(json.dumps(plain_advice(case[3]), allow_nan=False, default=float))
    assert said["calls"] == case[3].calls


def test_a_large_data_set_takes_little_time():
    rng, d, b = long(20_000, 5, 25)
    data = d.assign(y=(rng.uniform(size=100_000) < logistic(0.5 * d["x"] + b)).astype(int))
    glimm.advise("y ~ x + trt", data.iloc[:500], groups="g", time="t")
    start = time.process_time()
    glimm.advise("y ~ x + trt", data, groups="g", time="t")
    assert time.process_time() - start < 5.0
