"""fit.effect, slope and means as a user meets them: defaults, labels, subgroups, populations, and what is refused."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest

import glimm


@pytest.fixture(scope="module")
def trial():
    rng = np.random.default_rng(11)
    n, centre = 600, np.repeat(np.arange(30), 20)
    data = pd.DataFrame(
        {
            "arm": rng.choice(["placebo", "low", "high"], n),
            "age": rng.uniform(20.0, 60.0, n),
            "male": rng.random(n) < 0.5,
            "stage": rng.integers(1, 4, n),
            "centre": [f"c{k:02d}" for k in centre],
            "site": rng.choice(["x", "y"], n),
        }
    )
    eta = 0.6 * (data["arm"] == "high") + 0.3 * (data["arm"] == "low") + 0.02 * (data["age"] - 40.0) + 0.4 * data["male"]
    eta = eta - 0.3 * data["stage"] + 0.8 * rng.normal(size=30)[centre]
    data["well"] = (rng.random(n) < 1.0 / (1.0 + np.exp(-eta))).astype(int)
    data["score"] = 10.0 + 2.0 * eta + rng.normal(size=n)
    data.loc[5, "age"] = np.nan
    return data


FORMULA = "well ~ arm + age + male + C(stage)"


@pytest.fixture(scope="module")
def fit(trial):
    return glimm.glm(FORMULA, trial, family="binomial")


@pytest.fixture(scope="module")
def mixed(trial):
    return glimm.glmm(f"{FORMULA} + (1 | centre)", trial, family="binomial", points=9)


def by_hand(fit, data, **changes):
    """The average of predict with columns set."""
    kept = data.dropna().assign(**changes)
    more = {"target": "marginal"} if hasattr(fit, "theta") else {}
    return float(np.mean(fit.predict(kept, **more)))


@pytest.mark.parametrize("which", ["fit", "mixed"])
def test_defaults_by_kind_of_predictor(which, trial, request):
    model = request.getfixturevalue(which)
    arm = model.effect("arm")
    assert arm["contrast"].tolist() == ["low - high", "placebo - high"]
    assert arm["rows"].tolist() == [599, 599]
    for level, value in zip(("low", "placebo"), arm["estimate"], strict=True):
        assert value == pytest.approx(by_hand(model, trial, arm=level) - by_hand(model, trial, arm="high"), abs=1e-12)
    male = model.effect("male")
    assert male["contrast"].tolist() == ["True - False"]
    assert male["estimate"][0] == pytest.approx(by_hand(model, trial, male=True) - by_hand(model, trial, male=False), abs=1e-12)
    stage = model.effect("stage")
    assert stage["contrast"].tolist() == ["2 - 1", "3 - 1"]
    assert stage["estimate"][1] == pytest.approx(by_hand(model, trial, stage=3) - by_hand(model, trial, stage=1), abs=1e-12)
    age = model.effect("age")
    assert age["contrast"].tolist() == ["(age + 1) - age"]
    kept = trial.dropna()
    assert age["estimate"][0] == pytest.approx(by_hand(model, kept, age=kept["age"] + 1.0) - by_hand(model, kept), abs=1e-12)


def test_the_reference_is_the_models(trial):
    fit = glimm.glm("well ~ C(arm, Treatment('placebo')) + age", trial, family="binomial")
    assert fit.effect("arm")["contrast"].tolist() == ["high - placebo", "low - placebo"]


def test_values(fit, trial):
    kept = trial.dropna()
    assert fit.effect("arm", values="pairwise")["contrast"].tolist() == ["low - high", "placebo - high", "placebo - low"]
    assert fit.effect("arm", values="sequential")["contrast"].tolist() == ["low - high", "placebo - low"]
    pair = fit.effect("arm", values=("placebo", "high"))
    assert pair["contrast"].tolist() == ["high - placebo"]
    assert pair["estimate"][0] == pytest.approx(-fit.effect("arm")["estimate"][1], abs=1e-14)
    sd = kept["age"].std()
    assert fit.effect("age", values="sd")["contrast"][0] == f"(age + sd ({sd:.4g})) - age"
    assert fit.effect("age", values="sd")["estimate"][0] == pytest.approx(
        by_hand(fit, kept, age=kept["age"] + sd) - by_hand(fit, kept), abs=1e-12
    )
    for step in ("+5", 5, 5.0):
        assert fit.effect("age", values=step)["estimate"][0] == pytest.approx(
            by_hand(fit, kept, age=kept["age"] + 5.0) - by_hand(fit, kept), abs=1e-12
        )
    table = fit.effect("age", "ratio", values=(30, 50))
    assert table["contrast"][0] == "50 / 30"
    assert table["estimate"][0] == pytest.approx(by_hand(fit, kept, age=50.0) / by_hand(fit, kept, age=30.0), rel=1e-12)


def test_columns_and_consistency(fit):
    table = fit.effect("male", "ratio")
    assert list(table) == [
        *("variable", "contrast", "target", "estimate", "std_error", "statistic", "p_value", "conf_low", "conf_high"),
        *("mean_from", "mean_to", "rows"),
    ]
    row = table.iloc[0]
    assert row["estimate"] == pytest.approx(row["mean_to"] / row["mean_from"])
    log_se = row["std_error"] / row["estimate"]
    assert row["statistic"] == pytest.approx(np.log(row["estimate"]) / log_se)
    np.testing.assert_allclose(
        np.log([row["conf_low"], row["conf_high"]]), np.log(row["estimate"]) + 1.959963984540054 * log_se * np.array([-1, 1])
    )
    wide = fit.effect("male", level=0.99)
    assert wide["conf_low"][0] < fit.effect("male")["conf_low"][0]


def test_subgroups(fit, mixed, trial):
    kept = trial.dropna()
    table = fit.effect("male", by="arm")
    assert table["arm"].tolist() == ["high", "low", "placebo"]
    for arm, value, rows in zip(table["arm"], table["estimate"], table["rows"], strict=True):
        some = kept[kept["arm"] == arm]
        assert rows == len(some)
        assert value == pytest.approx(by_hand(fit, some, male=True) - by_hand(fit, some, male=False), abs=1e-12)
    both = fit.effect("male", by=["arm", "stage"])
    assert len(both) == 9
    assert both["rows"].sum() == 599
    each = mixed.effect("male", by="centre", target="conditional")
    assert each["centre"].tolist() == sorted(set(trial["centre"]))
    one = kept[kept["centre"] == "c07"]
    expected = mixed.predict(one.assign(male=True)).mean() - mixed.predict(one.assign(male=False)).mean()
    assert each.loc[each["centre"] == "c07", "estimate"].iloc[0] == pytest.approx(expected, abs=1e-12)
    assert (each["std_error"] > 0.0).all()


def test_populations(fit, trial):
    kept = trial.dropna()
    treated = fit.effect("male", population="treated")
    men = kept[kept["male"]]
    assert treated["rows"][0] == len(men)
    assert treated["estimate"][0] == pytest.approx(by_hand(fit, men, male=True) - by_hand(fit, men, male=False), abs=1e-12)
    assert fit.effect("male", population="untreated")["rows"][0] == len(kept) - len(men)
    levels = fit.effect("arm", population="treated")
    assert levels["rows"].tolist() == [int(np.sum(kept["arm"] == a)) for a in ("low", "placebo")]
    other = trial[trial["site"] == "x"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table = fit.effect("male", population=other.dropna(), by="site")
    assert table["site"].tolist() == ["x"]
    with pytest.warns(glimm.GlimmWarning, match="1 of 600 rows of population have a missing predictor"):
        fit.effect("male", population=trial)


def test_means_and_slopes(fit, mixed, trial):
    kept = trial.dropna()
    assert fit.means()["estimate"][0] == pytest.approx(kept["well"].mean(), abs=1e-10)
    table = mixed.means({"arm": None, "age": [30, 50]})
    assert list(table)[:2] == ["arm", "age"]
    assert len(table) == 6
    at = table[(table["arm"] == "low") & (table["age"] == 50)]
    assert at["estimate"].iloc[0] == pytest.approx(by_hand(mixed, kept, arm="low", age=50.0), abs=1e-12)
    assert ((table["conf_low"] > 0.0) & (table["conf_high"] < 1.0)).all()
    h = 1e-4
    for model in (fit, mixed):
        expected = (by_hand(model, kept, age=kept["age"] + h) - by_hand(model, kept, age=kept["age"] - h)) / (2.0 * h)
        assert model.slope("age")["estimate"][0] == pytest.approx(expected, rel=1e-6)


def test_slope_through_functions_that_end_at_the_data(trial):
    fit = glimm.glm("score ~ np.log(age) + I(age ** 2) + arm:age", trial)
    kept = trial.dropna()
    b = fit.params
    own = {"high": "arm[high]:age", "low": "arm[low]:age", "placebo": "arm[placebo]:age"}
    each = b["np.log(age)"] / kept["age"] + 2.0 * b["I(age ** 2)"] * kept["age"]
    each = each + [b.get(own[arm], b.get(f"arm[T.{arm}]:age", 0.0)) for arm in kept["arm"]]
    assert fit.slope("age")["estimate"][0] == pytest.approx(each.mean(), rel=1e-9)
    spline = glimm.glm("score ~ bs(age, df=4)", trial)
    assert np.isfinite(spline.slope("age")["estimate"][0])


def test_frames_come_back_in_the_callers_kind(trial):
    fit = glimm.glm("well ~ arm + male", pl.from_pandas(trial[["well", "arm", "male"]]), family="binomial")
    table = fit.effect("arm", by="male")
    assert isinstance(table, pl.DataFrame)
    assert table["male"].to_list() == [False, False, True, True] or sorted(table["male"].to_list()) == [False, False, True, True]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda f: f.effect("nosuch"), "no predictor 'nosuch' in the model"),
        (lambda f: f.effect("mael"), "did you mean 'male'"),
        (lambda f: f.effect("well"), "is the response"),
        (lambda f: f.effect(3), "name of a predictor, not int"),
        (lambda f: f.effect("arm", "log"), "contrast must be one of"),
        (lambda f: f.effect("arm", values=("low", "lwo")), "no level 'lwo' in the fit: did you mean 'low'"),
        (lambda f: f.effect("arm", values=("low", "low")), "twice"),
        (lambda f: f.effect("arm", values=("low",)), "give two"),
        (lambda f: f.effect("arm", values="+1"), "is taken as levels"),
        (lambda f: f.effect("arm", values="pairs"), "pairwise"),
        (lambda f: f.effect("age", values="pairwise"), "more than 40|is a number"),
        (lambda f: f.effect("age", values=(20, "old")), "holds numbers"),
        (lambda f: f.effect("stage", values=(1, 9)), "no level 9"),
        (lambda f: f.effect("age", values=0), "moves 'age' by 0"),
        (lambda f: f.effect("arm", by="site"), "no predictor and no grouping.*population=data"),
        (lambda f: f.effect("arm", by="age"), "different numbers: cut it"),
        (lambda f: f.effect("arm", population="men"), "population must be one of"),
        (lambda f: f.effect("age", population="treated"), "needs levels"),
        (lambda f: f.slope("age", population="treated"), "is for effects"),
        (lambda f: f.effect("arm", target="typical"), "only target is 'marginal'"),
        (lambda f: f.effect("arm", errors="jackknife"), "errors must be one of"),
        (lambda f: f.effect("arm", vcov={"cluster": "centre"}), "has not kept clusters of 'centre'"),
        (lambda f: f.effect("arm", errors="bootstrap", draws=1), "draws must be"),
        (lambda f: f.effect("arm", errors="bootstrap", draws=5, seed="x"), "seed must be"),
        (lambda f: f.effect("arm", level=95), "level must be between"),
        (lambda f: f.effect("arm", level="a"), "level must be between"),
        (lambda f: f.effect("arm", by=5), "by must name a column"),
        (lambda f: f.effect("arm", draws=None), "draws must be"),
        (lambda f: f.effect("arm", vcov=np.eye(2)), "as at the door"),
        (lambda f: f.effect("arm", target="typical"), "^effect: "),
        (lambda f: f.conditional_params(1e200), "at most 1000"),
        (lambda f: f.slope("arm"), r"no slope: use effect\('arm'\)"),
        (lambda f: f.slope("stage"), "takes as levels"),
        (lambda f: f.means("age"), "say at which"),
        (lambda f: f.means(3), "must be a name"),
        (lambda f: f.means({"arm": []}), "no values are given"),
        (lambda f: f.conditional_params(-1.0), "at least 0"),
    ],
)
def test_what_is_refused(fit, call, words):
    with pytest.raises(glimm.GlimmError, match=words):
        call(fit)


def test_ratios_need_positive_averages(trial):
    fit = glimm.glm("score ~ arm + age", trial.assign(score=trial["score"] - 20.0))
    with pytest.raises(glimm.GlimmError, match="averages above zero"):
        fit.effect("arm", "ratio")
    with pytest.raises(glimm.GlimmError, match="between 0 and 1"):
        glimm.glm("score ~ arm + age", trial).effect("arm", "odds_ratio")


def test_a_mixed_model_has_its_conditional_coefficients(mixed):
    with pytest.raises(glimm.GlimmError, match="conditional on its clusters already"):
        mixed.conditional_params(1.0)


def test_a_linear_mixed_model_has_one_effect_for_all_targets(trial):
    fit = glimm.glmm("score ~ arm + age + (1 | centre)", trial)
    for target in ("marginal", "typical", "conditional"):
        table = fit.effect("arm", target=target)
        np.testing.assert_allclose(table["estimate"], fit.params[["arm[T.low]", "arm[T.placebo]"]], rtol=1e-10)
        np.testing.assert_allclose(table["std_error"], fit.bse[["arm[T.low]", "arm[T.placebo]"]], rtol=1e-8)


def test_trials_are_people():
    """Rows of successes of trials count as their trials: the same as one row for each."""
    data = pd.DataFrame({"s": [3, 10, 8, 2], "n": [10, 20, 9, 30], "x": [0, 1, 1, 0], "z": [1.0, 2.0, 0.5, 3.0]})
    grouped = glimm.glm("s / n ~ x + z", data, family="binomial").effect("x")
    rows = [(k, int(j < s)) for k, (s, n) in enumerate(zip(data["s"], data["n"], strict=True)) for j in range(n)]
    long = data.iloc[[k for k, _ in rows]].assign(y=[y for _, y in rows])
    single = glimm.glm("y ~ x + z", long, family="binomial").effect("x")
    np.testing.assert_allclose(grouped[["estimate", "std_error"]], single[["estimate", "std_error"]], rtol=1e-8)


def test_rows_that_a_fit_does_not_determine():
    rng = np.random.default_rng(0)
    f, g = rng.choice(["a", "b"], 200), rng.choice(["c", "d", "e"], 200)
    kept = ~((f == "b") & (g == "e"))
    data = pd.DataFrame({"y": rng.normal(size=200), "f": f, "g": g})[kept]
    fit = glimm.glm("y ~ f * g", data)
    with pytest.warns(glimm.GlimmWarning, match=r"f\[T.b\]:g\[T.e\] left out for rank"):
        fit.effect("f")
    with pytest.warns(glimm.GlimmWarning, match="1 row has a combination of predictors that no row of the fit has"):
        fit.predict({"f": ["b", "a"], "g": ["e", "e"]})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit.effect("g", population=data[data["f"] == "a"])
        fit.predict()
        collinear = glimm.glm("y ~ f + f2", data.assign(f2=data["f"].map({"a": "u", "b": "v"})))
        collinear.predict(data.assign(f2=data["f"].map({"a": "u", "b": "v"})))


def test_values_that_print_alike_are_told_apart():
    rng = np.random.default_rng(1)
    day = rng.choice([20190101, 20190102], 200)
    fit = glimm.glm("y ~ C(day)", {"day": day, "y": 2.0 * (day == 20190102) + rng.normal(size=200)})
    table = fit.effect("day")
    assert table["contrast"][0] == "20190102 - 20190101"
    assert table["estimate"][0] == pytest.approx(fit.params.iloc[1], abs=1e-12)


def test_columns_called_like_those_of_the_table():
    rng = np.random.default_rng(2)
    data = pd.DataFrame({"x": rng.normal(size=90), "rows": rng.integers(0, 2, 90), "p_value": rng.choice(["a", "b"], 90)})
    data["y"] = data["x"] + data["rows"] + rng.normal(size=90)
    fit = glimm.glm("y ~ x * p_value + rows", data)
    assert fit.means("rows")["rows_"].tolist() == [0, 1]
    assert fit.means("rows")["rows"].tolist() == [90, 90]
    table = fit.effect("x", by="p_value")
    assert table["p_value_"].tolist() == ["a", "b"]
    assert ((table["p_value"] >= 0.0) & (table["p_value"] <= 1.0)).all()


def test_slopes_of_skewed_predictors():
    """Exact derivatives: of b log(v) the mean of b / v, of b / v that of -b / v^2, of b sqrt(v) that of b / (2 sqrt(v))."""
    rng = np.random.default_rng(3)
    v = np.exp(2.0 * rng.normal(size=600))
    data = {"v": v, "y": np.log(v) + rng.normal(size=600)}
    for term, slope in (("np.log(v)", 1.0 / v), ("I(1 / v)", -1.0 / v**2), ("np.sqrt(v)", 0.5 / np.sqrt(v))):
        fit = glimm.glm(f"y ~ {term}", data)
        table = fit.slope("v")
        assert table["estimate"][0] == pytest.approx(fit.params.iloc[1] * slope.mean(), rel=1e-7), term
        assert table["std_error"][0] == pytest.approx(fit.bse.iloc[1] * abs(slope.mean()), rel=1e-7), term


@pytest.mark.parametrize("term", ["I(x > 0)", "np.floor(x)", "np.where(x > 0.3, 1.0, x)", "x + np.sign(x - 0.2)"])
def test_a_mean_that_jumps_has_no_slope(term):
    rng = np.random.default_rng(4)
    x = rng.normal(size=300)
    fit = glimm.glm(f"y ~ {term}", {"x": x, "y": x + rng.normal(size=300)})
    with pytest.raises(glimm.GlimmError, match=r"the mean jumps where 'x' passes .* use effect\('x', values="):
        fit.slope("x")


def test_a_mean_that_bends_has_one():
    rng = np.random.default_rng(5)
    x = rng.normal(size=300)
    fit = glimm.glm("y ~ x + np.where(x > 0.5, x - 0.5, 0)", {"x": x, "y": np.abs(x) + rng.normal(size=300)})
    b = fit.params.to_numpy()
    assert fit.slope("x")["estimate"][0] == pytest.approx(float(np.mean(b[1] + b[2] * (x > 0.5))), rel=1e-8)


def test_bootstrap_keeps_draws_in_which_an_outcome_is_separated():
    """Of 15 rows 13 are events: some draws have no other, whose average is 1. The plain bootstrap of two proportions by NumPy."""
    rng = np.random.default_rng(6)
    y = np.concatenate([rng.integers(0, 2, 185), np.repeat([1, 0], [13, 2])])
    c = np.repeat(["a", "c"], [185, 15])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table = glimm.glm("y ~ c", {"y": y, "c": c}, family="binomial").effect("c", errors="bootstrap", draws=1500, seed=1)
    picks = rng.integers(0, 200, (20_000, 200))
    late = picks >= 185
    drawn = (y[picks] * late).sum(axis=1) / late.sum(axis=1) - (y[picks] * ~late).sum(axis=1) / (~late).sum(axis=1)
    assert table["std_error"][0] == pytest.approx(drawn.std(), rel=0.08)  # four Monte Carlo errors
    assert table["conf_high"][0] == pytest.approx(np.quantile(drawn, 0.975), abs=0.02)


def test_rows_without_a_subgroup_are_counted(fit, trial):
    table = trial.dropna().assign(ward=None)
    table.loc[table.index[:100], "ward"] = "w"
    with pytest.warns(glimm.GlimmWarning, match="rows without a value of ward are left out: 499"):
        found = fit.effect("male", by="ward", population=table)
    assert found["rows"].tolist() == [100]


def test_a_fit_that_is_not_to_be_used_says_so_again():
    x = np.random.default_rng(7).normal(size=100)
    with pytest.warns(glimm.GlimmWarning, match="separates"):
        fit = glimm.glm("y ~ x", {"x": x, "y": (x > 0.0).astype(int)}, family="binomial")
    for ask in (lambda: fit.effect("x"), lambda: fit.slope("x"), lambda: fit.means(), fit.marginal_params):
        with pytest.warns(glimm.GlimmWarning, match="not to be used as it is: .*separates"):
            ask()


def test_random_effects_without_a_coefficient():
    rng = np.random.default_rng(8)
    g = np.repeat(np.arange(30), 8)
    data = {"y": rng.normal(size=240) + rng.normal(size=30)[g], "x": rng.normal(size=240), "k": np.tile([1, 2], 120), "g": g}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", glimm.GlimmWarning)
        fit = glimm.glmm("y ~ x + (0 + C(k) | g)", data)
    with pytest.raises(glimm.GlimmError, match="'k' has random effects but no coefficient"):
        fit.effect("k")


def test_intervals_of_an_average_are_the_same_by_predict_and_by_means(mixed):
    row = {"arm": ["low"], "age": [25.0], "male": [True], "stage": [3]}
    by_predict = mixed.predict(row, target="marginal", interval="confidence")
    by_means = mixed.means(population=pd.DataFrame(row))
    for name in ("estimate", "std_error", "conf_low", "conf_high"):
        assert by_predict[name][0] == pytest.approx(by_means[name][0], rel=1e-10)
