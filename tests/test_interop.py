"""Fits in other packages: means at other parameters, what marginaleffects answers of our fits, what maketables shows of them.

The numbers are those of effects.json (dense g-computation, and marginaleffects on statsmodels fits). Tests of the packages themselves
are skipped where these are not installed (`make interop` installs them); the seam that they use is tested everywhere.
"""

from __future__ import annotations

import sys
import warnings
from functools import cache

import numpy as np
import pandas as pd
import pytest
from scipy.linalg import toeplitz

import glimm
from glimm.design.replay import read_rows
from glimm.interop.maketables import stat
from glimm.marginal.vector import coefficients, means_at, variance_at
from support import assert_covariance, assert_in_units, assert_relative, column, data, stored

EFFECTS = stored("effects")
FITS, ASKED = EFFECTS["fits"], EFFECTS["asked"]
MIXED = [name for name in FITS if name.startswith("glmm") and not name.endswith(("robust", "typical"))]
OURS = [name for name in FITS if not name.endswith(("factor", "robust", "typical"))]


@cache
def fit_of(name: str):
    entry = FITS[name]
    frame = data(entry["data"]).copy()
    kwargs: dict = {"family": entry["family"], "link": entry["link"]}
    if "offset" in entry:
        frame["offset_column"] = column(frame, entry["offset"])
        kwargs["offset"] = "offset_column"
    if name.startswith("glmm"):
        return glimm.glmm(entry["formula"], frame, points=entry["points"], **kwargs)
    if name.startswith("gee"):
        return glimm.gee(entry["formula"], frame, groups=entry["groups"], corr=entry["corr"], **kwargs)
    return glimm.glm(entry["formula"], frame, vcov=entry["vcov"], exposure=entry.get("exposure"), **kwargs)


# the seam


@pytest.mark.parametrize("name", MIXED)
def test_parameters_and_their_covariance(name):
    fit, entry = fit_of(name), FITS[name]
    found = coefficients(fit.record, fit.inference, "marginal")
    assert found.names == (*fit.params.index, *fit.theta_names)
    assert_in_units(found.values, entry["vector"], np.sqrt(np.diag(entry["vcov_all"])), 1e-4, "parameters")
    assert_covariance(found.cov, entry["vcov_all"], 1e-4, "covariance")


@pytest.mark.parametrize("name", MIXED)
def test_means_have_the_standard_errors_of_the_delta_method(name):
    """J of the average by central differences of `means_at`, se = sqrt(J V J'); everybody at a value, the random slope with them."""
    fit = fit_of(name)
    record, found = fit.record, coefficients(fit.record, fit.inference, "marginal")
    questions = [q for q in ASKED if q["fit"] == name and q["what"] == "means" and q["by"] is None and q["rows"] is None]
    assert questions
    for question in questions:
        for answer in question["answers"]:
            frame = rows_of(name)
            if question["variable"] is not None:
                frame[question["variable"]] = answer["value"]
            new = read_rows(record.design, frame)

            def mean(values, new=new):
                return means_at(record, new, "marginal", values).mean()

            steps = np.diag(1e-4 * np.sqrt(np.diag(found.cov)))
            j = np.array([(mean(found.values + h) - mean(found.values - h)) / (2.0 * h.sum()) for h in steps])
            assert_in_units([mean(found.values)], [answer["estimate"]], [answer["std_error"]], 1e-3, "average")
            assert_relative([np.sqrt(j @ found.cov @ j)], [answer["std_error"]], 1e-4, "standard error")


def rows_of(name):
    frame = data(FITS[name]["data"]).copy()
    if "offset" in FITS[name]:
        frame["offset_column"] = column(frame, FITS[name]["offset"])
    return frame


def occasions():
    rng = np.random.default_rng(11)
    n, k = 60, 4
    frame = pd.DataFrame({"g": np.repeat(np.arange(n), k), "visit": np.tile(np.arange(k), n), "x": rng.normal(size=n * k)})
    frame["t"] = frame["visit"] * 1.3
    b = rng.normal(size=(n, k)).cumsum(axis=1).ravel() * 0.5
    frame["y"] = rng.poisson(np.exp(0.5 + 0.3 * frame["x"] + b))
    return frame


STRUCTURES = {  # the covariance of the effects from theta as it is reported, k effects
    "(1 + x | g)": lambda p, k: (lambda t: t @ t.T)(np.array([[p[0], 0.0], [p[1], p[2]]])),
    "(x || g)": lambda p, k: np.diag(p**2),
    "cs(0 + C(visit) | g)": lambda p, k: np.outer(p[:k], p[:k]) * np.where(np.eye(k), 1.0, p[k]),
    "homcs(0 + C(visit) | g)": lambda p, k: p[0] ** 2 * np.where(np.eye(k), 1.0, p[1]),
    "ar1(0 + C(visit) | g)": lambda p, k: p[0] ** 2 * p[1] ** np.abs(np.subtract.outer(np.arange(k), np.arange(k))),
    "toep(0 + C(visit) | g)": lambda p, k: np.outer(p[:k], p[:k]) * toeplitz([1.0, *p[k:]]),
    "ou(0 + t | g)": lambda p, k: np.array([[p[0] ** 2]]),
}


@pytest.mark.parametrize("bar", STRUCTURES)
def test_covariances_follow_theta(bar):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", glimm.GlimmWarning)
        fit = glimm.glmm(f"y ~ x + {bar}", occasions(), family="poisson", points=1)
    record, k = fit.record, fit.record.roots[0].shape[0]
    assert record.solution.code == "converged", "the test needs a fit inside its limits"
    z = np.random.default_rng(3).normal(size=(50, k))
    exact = bar in ("(1 + x | g)", "(x || g)")
    block = record.blocks["theta"]
    for j in range(block.start, block.stop):
        for step, tolerance in ((1e-7, 1e-10), (-1e-3, 1e-4)):
            vector = record.vector.copy()
            vector[j] += step
            want = np.einsum("ni,ij,nj->n", z, STRUCTURES[bar](vector[block], k), z)
            got = variance_at(record, (z,), vector[block])
            assert_relative(got, want, 1e-12 if exact else tolerance, f"{bar}: theta {j - block.start}")


def test_a_family_s_parameter_is_beside_theta_and_moves_no_mean():
    fit = glimm.glmm("y ~ x + (1 | g)", occasions(), family="negative_binomial")
    found = coefficients(fit.record, fit.inference, "marginal")
    assert found.names == ("Intercept", "x", "g.Intercept", "log(k)")
    k = fit.parts["family"]
    assert_relative(found.values[-1:], np.log(k.params), 1e-12, "log k")
    assert_relative(np.sqrt(found.cov[-1, -1:]), k.bse / k.params, 1e-9, "its standard error")
    new = read_rows(fit.record.design, None)
    same, other = (means_at(fit.record, new, "marginal", found.values + step) for step in (0.0, np.eye(4)[3]))
    np.testing.assert_array_equal(same, other)
    np.testing.assert_array_equal(same, fit.predict(target="marginal"))


def test_theta_is_left_out_where_means_do_not_depend_on_it():
    linear = glimm.glmm("Reaction ~ Days + (Days | Subject)", data("lme4_sleepstudy"))
    for fit, target in ((linear, "marginal"), (fit_of("glmm_ohio"), "typical"), (fit_of("gee_ohio"), "marginal")):
        found = coefficients(fit.record, fit.inference, target)
        assert found.names == tuple(fit.params.index)
        np.testing.assert_array_equal(found.cov, fit.cov_params().to_numpy())


def test_targets_are_checked_before_anything_is_imported():
    with pytest.raises(glimm.GlimmError, match="target must be 'marginal' or 'typical', not 'conditional'"):
        fit_of("glmm_ohio").to_marginaleffects("conditional")
    with pytest.raises(glimm.GlimmError, match="target must be 'marginal', not 'typical': this model has no random effects"):
        fit_of("ohio").to_marginaleffects("typical")
    frame = data("seizure_long")
    array = glimm.glm("y ~ post * trt", frame, family="poisson", exposure=frame["weeks"].to_numpy())
    with pytest.raises(glimm.GlimmError, match=r"the fit's exposure was an array.*refit with exposure='column'"):
        array.to_marginaleffects()


def test_without_marginaleffects_the_error_says_what_to_install(monkeypatch):
    from glimm.interop.marginaleffects import adapter

    adapter.cache_clear()
    monkeypatch.setitem(sys.modules, "marginaleffects.classes", None)
    with pytest.raises(ImportError, match="pip install marginaleffects"):
        fit_of("ohio").to_marginaleffects()


# marginaleffects


@pytest.fixture
def me():
    return pytest.importorskip("marginaleffects")


def theirs(me, name, question, answer):
    """One row of marginaleffects' answer and its standard error, on the scale of the question; rows come as newdata, with all columns."""
    import polars as pl

    model, frame = model_of(name), pl.from_pandas(rows_of(name))
    for column_, value in (question["rows"] or {}).items():
        frame = frame.filter(pl.col(column_) == value)
    variable, comparison = question["variable"], {"oddsratio": "lnor"}.get(question["comparison"], question["comparison"])
    more = {"newdata": frame, "by": question["by"] or True}
    if question["what"] == "comparisons":
        value = [answer["low"], answer["high"]]
        if answer["low"] == "x":
            size = float(rows_of(name)[variable].std()) if answer["high"] == "+sd" else 1.0
            shift = 0.5 if answer["high"] == "centred" else 0.0
            value = lambda x: pl.DataFrame({"lo": x - shift, "hi": x + size - shift})  # noqa: E731
        found = me.avg_comparisons(model, variables={variable: value}, comparison=comparison, **more)
    elif question["what"] == "slopes":
        found = me.avg_slopes(model, variables=variable, eps=1e-2 * float(rows_of(name)[variable].std()), eps_vcov=1e-7, **more)
    else:
        if variable is not None:
            more["newdata"] = frame.with_columns(pl.lit(answer["value"]).alias(variable))
        found = me.avg_predictions(model, **more)
    row = found.data if hasattr(found, "data") else found
    if question["by"] is not None:
        row = row.filter(pl.col(question["by"]) == answer["group"])
    assert row.height == 1
    e, se = float(row["estimate"][0]), float(row["std_error"][0])
    return (np.exp(e), np.exp(e) * se) if question["comparison"] == "oddsratio" else (e, se)


@cache
def model_of(name: str):
    return fit_of(name).to_marginaleffects()


@pytest.mark.parametrize("name", OURS)
@pytest.mark.filterwarnings("ignore")
def test_marginaleffects_answers_as_by_definition(me, name):
    """Every question of effects.json, by definition; where marginaleffects answered it of a statsmodels fit, the same as there."""
    whole = name == "cbpp"  # C(period) of whole numbers, asked as text there
    mixed = name.startswith("glmm")  # derivatives by differences of averages over random effects
    for question in (q for q in ASKED if q["fit"] == name and q["weights"] is None):
        slope = question["what"] == "slopes"
        for stored_answer in question["answers"]:
            answer = {k: int(v) if whole and isinstance(v, str) else v for k, v in stored_answer.items()}
            e, se = theirs(me, name, question, answer)
            unit, text = [answer["std_error"]], f"{question['what']} {question['variable']} {question['by']} {answer}"
            assert_in_units([e], [answer["estimate"]], unit, 1e-3 if mixed or slope else 1e-7, text)
            assert_relative([se], unit, 1e-4 if mixed else 2e-5 if slope else 3e-6, text)
            if "marginaleffects" in answer:
                other = answer["marginaleffects"]
                assert_in_units([e], [other["estimate"]], unit, 1e-6, f"a statsmodels fit: {text}")
                assert_relative([se], [other["std_error"]], 2e-5 if slope else 1e-6, f"a statsmodels fit: {text}")


@pytest.mark.filterwarnings("ignore")
def test_ohio_as_published(me):
    """The risk difference of smoking averaged over children: 0.03407326359, standard error 0.02369040222 (exact maximum likelihood)."""
    for target, name in ((None, "glmm_ohio"), ("marginal", "glmm_ohio"), ("typical", "glmm_ohio_typical")):
        _, (rd, _, _), (se, _, _) = EFFECTS["published"]["smoke"][name]
        found = me.avg_comparisons(fit_of("glmm_ohio").to_marginaleffects(target), variables="smoke")
        assert_in_units(found["estimate"], [rd], [se], 1e-5, "risk difference")
        assert_relative(found["std_error"], [se], 1e-6, "its standard error")


@pytest.mark.filterwarnings("ignore")
def test_hypotheses_and_reference_distributions(me):
    fit = fit_of("glmm_ohio")
    found = me.hypotheses(fit.to_marginaleffects())
    assert found["term"].to_list() == [*fit.params.index, "id.Intercept"]
    assert_relative(found["std_error"][:4], fit.bse, 1e-6, "standard errors")
    cake = fit_of("cake")
    table, found = cake.tidy(), me.hypotheses(cake.to_marginaleffects())
    assert_relative(found["p_value"], table["p_value"], 1e-5, "t distribution, as in the fit's own table")
    assert_relative(found["conf_high"], table["conf_high"], 1e-5, "limits")
    assert me.avg_predictions(cake.to_marginaleffects(), vcov=False).columns == ["estimate"]
    hc3 = me.avg_predictions(cake.to_marginaleffects(), vcov="HC3", by="recipe")
    assert_relative(hc3["std_error"], me.avg_predictions(fit_of("cake_hc3").to_marginaleffects(), by="recipe")["std_error"], 1e-9, "HC3")
    with pytest.raises(glimm.GlimmError, match="not a covariance of a mixed model"):
        me.avg_predictions(fit.to_marginaleffects(), vcov="HC0")


@pytest.mark.filterwarnings("ignore")
def test_columns_of_every_kind(me):
    rng = np.random.default_rng(5)
    n = 200
    frame = pd.DataFrame({"my x": rng.normal(size=n), "kind": rng.choice(["b", "a", "c"], n), "yes": rng.random(n) < 0.5})
    frame["dose"] = pd.Categorical(rng.choice([10, 20, 30], n))
    frame["y"] = rng.normal(size=n) + frame["my x"] + 2.0 * frame["yes"] + frame["dose"].astype(float)
    frame.loc[3, "kind"] = None
    fit = glimm.glm("np.exp(y / 100) ~ `my x` + kind + yes + dose", frame)
    model = fit.to_marginaleffects()
    assert len(model.get_modeldata()) == n - 1
    assert model.find_predictors() == ["my x", "kind", "yes", "dose"]
    found = me.avg_comparisons(model).data
    got = {(row["term"], row["contrast"]): row["estimate"] for row in found.iter_rows(named=True)}
    want = {  # a linear model: differences are coefficients
        ("my x", "+1"): "my x", ("kind", "b - a"): "kind[T.b]", ("kind", "c - a"): "kind[T.c]", ("yes", "True - False"): "yes",
        ("dose", "20 - 10"): "dose[T.20]", ("dose", "30 - 10"): "dose[T.30]",
    }  # fmt: skip
    assert got.keys() == want.keys()
    assert_relative(list(got.values()), [fit.params[want[key]] for key in got], 1e-9, "coefficients")
    other = pd.DataFrame({"my x": [0.0, 1.0], "kind": ["c", "a"], "yes": [True, False], "dose": [30, 10], "who": [1, 2]})
    assert_relative(me.predictions(model, newdata=other)["estimate"], fit.predict(other), 1e-12, "new rows")
    with pytest.raises(glimm.GlimmError, match="no column 'my x'"):
        model.get_predict(model.get_coef(), model.get_modeldata().drop("my x"))


# maketables


@pytest.mark.parametrize("name", ["ohio_cluster", "glmm_ohio", "gee_ohio", "cake"])
def test_what_maketables_asks(name):
    fit = fit_of(name)
    table, tidy = fit.__maketables_coef_table__, fit.tidy()
    assert table.index.name == "Coefficient"
    for mine, theirs_ in {"b": "estimate", "se": "std_error", "t": "statistic", "p": "p_value", "ci95l": "conf_low"}.items():
        np.testing.assert_array_equal(table[mine], tidy[theirs_])
    assert list(table.index) == list(tidy["term"])
    assert fit.__maketables_depvar__ == fit.endog_names == FITS[name]["formula"].split(" ~ ")[0]
    assert fit.__maketables_stat__("N") == fit.nobs
    assert fit.__maketables_stat__("df_resid") == fit.df_resid
    assert fit.__maketables_stat__("scale") == fit.scale
    assert fit.__maketables_stat__("deviance") == pytest.approx(fit.deviance)
    assert fit.__maketables_stat__("r2") is None
    assert fit.__maketables_stat__("model") == {"ohio_cluster": "GLM", "glmm_ohio": "GLMM", "gee_ohio": "GEE", "cake": "GLM"}[name]
    likelihood = [fit.__maketables_stat__(key) for key in ("ll", "aic", "bic")]
    assert likelihood == ([None] * 3 if name == "gee_ohio" else [fit.llf, fit.aic, fit.bic])
    assert fit.__maketables_stat__("n_clusters") == (None if name == "cake" else 537)
    assert fit.__maketables_vcov_info__["clustervar"] == (["id"] if name in ("ohio_cluster", "gee_ohio") else None)
    assert fit.__maketables_vcov_info__["vcov_type"] == fit.__maketables_stat__("se_type")
    keys = fit.__maketables_default_stat_keys__
    assert all(fit.__maketables_stat__(key) is not None for key in keys)
    assert ("n_clusters" in keys, "ll" in keys) == (name != "cake", name != "gee_ohio")
    shown = fit.to_maketables()
    assert not any(hasattr(shown, other) for other in ("params", "bse", "pvalues"))
    assert shown.__maketables_stat__("N") == fit.nobs


def test_several_groupings_are_named():
    fit = glimm.glmm("strength ~ 1 + (1 | batch/cask)", data("lme4_Pastes"))
    assert stat(fit.record, fit.inference, "model", "n_clusters") == "batch: 10, batch:cask: 30"
    assert stat(fit.record, fit.inference, "model", "model") == "LMM"


def test_maketables_shows_three_models():
    maketables = pytest.importorskip("maketables")
    fits = [fit_of(name) for name in ("ohio_cluster", "glmm_ohio", "gee_ohio")]
    table = maketables.ETable([fit.to_maketables() for fit in fits]).df
    assert {column[0] for column in table.columns} == {"resp"}
    rows = {label: list(values) for (_, label), values in zip(table.index, table.to_numpy(), strict=True)}
    assert rows["Observations"] == ["2,148"] * 3
    assert rows["Clusters"] == ["537"] * 3
    assert rows["Model"] == ["GLM", "GLMM", "GEE"]
    assert rows["Log-likelihood"][2] == "-"
    assert [float(v) for v in rows["Log-likelihood"][:2]] == pytest.approx([fit.llf for fit in fits[:2]], abs=1e-3)
    for fit, cell in zip(fits, rows["Intercept"], strict=True):
        number, error = cell.replace("\n", "").split("(")
        assert number.strip().endswith("***")
        assert float(number.strip().rstrip("*")) == pytest.approx(fit.params["Intercept"], abs=1e-3)
        assert float(error.rstrip(")")) == pytest.approx(fit.bse["Intercept"], abs=1e-3)
    plain = maketables.ETable(fits, model_stats=["N", "ll"]).df  # as fits of statsmodels, which have no clusters
    assert {column[0] for column in plain.columns} == {"resp"}
