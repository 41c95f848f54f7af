"""Separation against enumeration of the recession cone's extreme rays in whole numbers, a dense programme, and published cases."""

import itertools
import json
import time
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import linprog

import glimm
from glimm.estimators import glm_ending, recession

DATA = json.loads((Path(__file__).parent / "reference" / "penalty.json").read_text(encoding="utf-8"))["data"]


def quiet(*args, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", glimm.GlimmWarning)
        return glimm.glm(*args, **kwargs)


def cross(rows):
    """The integer vector that is orthogonal to p - 1 integer rows: their signed minors."""
    p = len(rows) + 1
    minors = []
    for j in range(p):
        m = [[int(v) for k, v in enumerate(row) if k != j] for row in rows]
        minors.append((-1) ** j * determinant(m))
    return minors


def determinant(m):
    if not m:
        return 1
    return sum((-1) ** j * m[0][j] * determinant([row[:j] + row[j + 1 :] for row in m[1:]]) for j in range(len(m)) if m[0][j])


def enumerated(x, s):
    """(rows told, coefficients moved) by some d with s_i x_i'd >= 0, x_i'd = 0 where s_i = 0, in whole numbers."""
    half = [tuple(int(si * v) for v in row) for row, si in zip(x, s, strict=True) if si] + [
        tuple(sign * int(v) for v in row) for row, si in zip(x, s, strict=True) if not si for sign in (1, -1)
    ]
    half = sorted(set(half))
    told, moved = np.zeros(len(x), bool), np.zeros(x.shape[1], bool)
    for tight in itertools.combinations(half, x.shape[1] - 1):
        ray = cross(tight)
        for d in (ray, [-v for v in ray]):
            if any(d) and all(sum(a * b for a, b in zip(row, d, strict=True)) >= 0 for row in half):
                told |= np.array(
                    [si != 0 and sum(int(a) * b for a, b in zip(row, d, strict=True)) != 0 for row, si in zip(x, s, strict=True)]
                )
                moved |= np.array([v != 0 for v in d])
    return told, moved


def small_design(rng, p):
    n = int(rng.integers(p + 2, p + 7))
    columns = {f"x{j}": rng.integers(-2, 3, n) for j in range(1, p)}
    return columns, np.column_stack([np.ones(n, int), *columns.values()])


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(
    ("family", "link"),
    [
        ("binomial", "logit"),
        ("binomial", "cauchit"),
        ("binomial", "loglog"),
        ("trials", "probit"),
        ("poisson", "log"),
        ("tweedie(1.5)", "log"),
    ],
)
def test_separation_equals_enumeration(family, link, seed):
    rng = np.random.default_rng([seed, len(family), len(link)])
    kinds = set()
    for p in (1, 2, 2, 3, 3, 4):
        columns, x = small_design(rng, p)
        if np.linalg.matrix_rank(x) < p:
            continue
        eta = x @ rng.integers(-1, 2, p) + 2.0 * rng.normal(size=len(x))
        formula = f"y ~ {' + '.join(columns) or 1}"
        if family == "trials":
            m = rng.integers(1, 3, len(x))
            y = np.where(eta > 0.5, m, np.where(eta < -0.5, 0, rng.integers(0, 3, len(x)) % (m + 1)))
            s, formula, columns = np.where(y == 0, -1, np.where(y == m, 1, 0)), formula.replace("y ~", "y / m ~"), columns | {"m": m}
        elif family == "binomial":
            y = (eta > 0).astype(int)
            s = 2 * y - 1
        else:
            y = np.where(eta > 0, rng.integers(1, 5, len(x)), 0)
            s = np.where(y == 0, -1, 0)
        if not np.any(y) or (s.min() == s.max()):
            continue
        told, moved = enumerated(x, s)
        fit = quiet(formula, columns | {"y": y}, family="binomial" if family == "trials" else family, link=link)
        solution = fit.record.solution
        kinds.add(solution.code)
        assert (solution.code == "separated") == bool(told.any()), (columns, y, solution)
        if told.any():
            evidence = solution.evidence
            assert evidence["positions"].tolist() == np.flatnonzero(told).tolist()
            assert evidence["rows"] == told.sum()
            assert evidence["kind"] == ("complete" if told.all() else "quasi-complete")
            assert evidence["terms"] == tuple(np.array(fit.params.index)[moved])
            assert fit.bse.isna().to_numpy().tolist() == moved.tolist()
            slack = s * (x @ np.array([evidence["direction"].get(name, 0.0) for name in fit.params.index]))
            np.testing.assert_allclose((x @ [evidence["direction"].get(name, 0.0) for name in fit.params.index])[~told], 0.0, atol=1e-9)
            assert (slack[told] > 1e-9).all()
    assert kinds


def test_the_designs_above_are_of_all_kinds():
    """Of binary responses as they are drawn above: complete, in part, and overlapping ones."""
    rng, kinds = np.random.default_rng(5), []
    for _ in range(60):
        _, x = small_design(rng, 3)
        if np.linalg.matrix_rank(x) == 3:
            y = x @ rng.integers(-1, 2, 3) + 2.0 * rng.normal(size=len(x)) > 0
            told, _ = enumerated(x, 2 * y - 1)
            kinds.append("complete" if told.all() else "part" if told.any() else "none")
    assert {kind: kinds.count(kind) >= 5 for kind in ("complete", "part", "none")} == {"complete": True, "part": True, "none": True}


def dense_programme(x, s):
    """Rows told, by max sum z, z <= s_i x_i'd, 0 <= z <= 1 over all rows at once."""
    ends = s != 0
    a = s[ends, None] * x[ends]
    m, p = a.shape
    found = linprog(
        np.append(np.zeros(p), -np.ones(m)),
        A_ub=np.hstack([-a, np.eye(m)]),
        b_ub=np.zeros(m),
        A_eq=np.hstack([x[~ends], np.zeros(((~ends).sum(), m))]) if (~ends).any() else None,
        b_eq=np.zeros((~ends).sum()) if (~ends).any() else None,
        bounds=[(None, None)] * p + [(0, 1)] * m,
    )
    told = np.zeros(len(x), bool)
    told[ends] = found.x[p:] > 0.5
    return told


@pytest.mark.parametrize("kind", ["level", "slope inside a level", "counts", "overlap by one row", "complete"])
def test_cutting_planes_equal_the_programme_of_all_rows(kind):
    rng = np.random.default_rng(7)
    n = 2500
    g, x, z = rng.integers(0, 12, n), rng.normal(size=n), rng.normal(size=n)
    eta = -1.0 + x + 0.5 * z
    y = (rng.random(n) < 1.0 / (1.0 + np.exp(-eta))).astype(int)
    family, formula = "binomial", "y ~ x + z + C(g)"
    if kind == "level":
        y[np.isin(g, (3, 8))] = 0
        y[g == 5] = 1
    elif kind == "slope inside a level":
        y, formula = np.where(g == 3, x > 0.4, y).astype(int), "y ~ x + z + C(g) + C(g):x"
    elif kind == "counts":
        y, family = np.where(np.isin(g, (0, 8)), 0, rng.poisson(np.exp(eta))), "poisson"
    else:
        y = (x + 0.3 * z > 0.2).astype(int)
        if kind == "overlap by one row":
            y[np.argmax(x)] = 0
    fit = quiet(formula, {"y": y, "x": x, "z": z, "g": g}, family=family)
    d = fit.record.design
    m = (d.mean.matrix.dense() - d.mean.center) / d.mean.scale
    told = dense_programme(m, np.where(y == 0, -1.0, 0.0 if family == "poisson" else 1.0))
    code = fit.record.solution.code
    assert code == ("separated" if told.any() else "converged")
    assert told.any() == (kind != "overlap by one row")
    if told.any():
        assert np.array_equal(fit.record.solution.evidence["positions"], np.flatnonzero(told))
        assert fit.record.solution.evidence["kind"] == ("complete" if kind == "complete" else "quasi-complete")
    if kind == "level":
        assert fit.record.solution.evidence["terms"] == ("C(g)[T.3]", "C(g)[T.5]", "C(g)[T.8]")
    if kind == "counts":  # the reference level has none: everything but the slopes runs off
        assert not {"x", "z"} & set(fit.record.solution.evidence["terms"])
        assert "Intercept" in fit.record.solution.evidence["terms"]


def test_endometrial_cancer_is_separated_by_neovasculation_alone():
    """detectseparation (Kosmidis and Schumacher), its example and tests: NV is infinite, the others are not; Heinze and Schemper (2002)."""
    for link in ("logit", "cloglog"):
        fit = quiet("HG ~ NV + PI + EH", DATA["endometrial"], family="binomial", link=link)
        assert fit.record.solution.evidence["terms"] == ("NV",)
        assert fit.record.solution.evidence["kind"] == "quasi-complete"
        assert fit.record.solution.evidence["direction"] == {"NV": pytest.approx(fit.record.solution.evidence["direction"]["NV"])}
    fit = quiet("HG ~ NV + PI + EH", DATA["endometrial"], family="binomial")
    np.testing.assert_allclose(fit.params[["Intercept", "PI", "EH"]], [4.30452, -0.04218, -2.90261], atol=6e-6)  # R's glm, printed there
    np.testing.assert_allclose(fit.bse[["Intercept", "PI", "EH"]], [1.63730, 0.04433, 0.84555], atol=6e-6)
    lizards = glimm.glm("grahami / n ~ height + diameter + light + time", DATA["lizards"], family="binomial")
    assert lizards.converged


def test_agrestis_examples():
    """Agresti (2013), Categorical Data Analysis, section 6.5.1, also Geyer (2009): x apart; two outcomes at x = 50."""
    x, y = [10, 20, 30, 40, 60, 70, 80, 90], [0, 0, 0, 0, 1, 1, 1, 1]
    whole = quiet("y ~ x", {"x": x, "y": y}, family="binomial").record.solution.evidence
    part = quiet("y ~ x", {"x": [*x, 50, 50], "y": [*y, 0, 1]}, family="binomial").record.solution.evidence
    assert (whole["kind"], whole["rows"], whole["terms"]) == ("complete", 8, ("Intercept", "x"))
    assert (part["kind"], part["positions"].tolist(), part["terms"]) == ("quasi-complete", list(range(8)), ("Intercept", "x"))
    assert part["direction"]["Intercept"] / part["direction"]["x"] == pytest.approx(-50.0)


@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e7])
@pytest.mark.parametrize("shift", [0.0, 1e5])
def test_neither_units_nor_origin_nor_order_matter(unit, shift):
    rng = np.random.default_rng(3)
    x, g = rng.normal(size=80), np.repeat(["a", "b", "c", "d"], 20)
    y = np.where(g == "c", x > 0.1, rng.random(80) < 0.5).astype(int)
    data = pd.DataFrame({"x": unit * (x + shift), "g": g, "y": y})
    plain = quiet("y ~ x * g", data.assign(x=x), family="binomial").record.solution.evidence
    order = rng.permutation(80)
    moved = quiet("y ~ x * g", data.iloc[order], family="binomial").record.solution.evidence
    assert moved["terms"] == plain["terms"] == ("g[T.c]", "x:g[T.c]")
    assert sorted(order[moved["positions"]]) == list(plain["positions"]) == list(range(40, 60))
    renamed = quiet("y ~ x * g", data.assign(g=data.g.map({"a": "z", "b": "y", "c": "x", "d": "w"})), family="binomial")
    assert renamed.record.solution.evidence["positions"].tolist() == list(range(40, 60))


@pytest.mark.parametrize("link", ["logit", "probit", "cloglog", "loglog", "cauchit"])
def test_extreme_but_finite_is_not_separated(link):
    """Two groups, one event in 100,000 rows of the second: the estimates are the links of 1/2 and 1e-5."""
    from scipy import stats

    links = {
        "logit": stats.logistic.ppf,
        "probit": stats.norm.ppf,
        "cauchit": stats.cauchy.ppf,
        "cloglog": lambda p: np.log(-np.log1p(-p)),
        "loglog": lambda p: -np.log(-np.log(p)),
    }
    data = {"s": [50, 1], "n": [100, 100_000], "g": ["a", "b"]}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit = glimm.glm("s / n ~ g", data, family="binomial", link=link)
    assert fit.converged
    assert fit.params["g[T.b]"] == pytest.approx(float(links[link](1e-5) - links[link](0.5)), rel=1e-7)
    none = quiet("s / n ~ g", data | {"s": [50, 0]}, family="binomial", link=link)
    assert none.record.solution.evidence["terms"] == ("g[T.b]",)


def test_a_steep_curve_with_one_row_on_the_wrong_side_is_finite():
    x = np.linspace(-30.0, 30.0, 400)
    y = (x > 0).astype(int)
    y[np.searchsorted(x, 1.5)] = 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit = glimm.glm("y ~ x", {"x": x, "y": y}, family="binomial")
    assert fit.converged
    assert fit.fittedvalues.min() < 1e-12
    np.testing.assert_allclose(np.column_stack([np.ones(400), x]).T @ (y - fit.fittedvalues), 0.0, atol=1e-9)


def test_a_search_that_was_stopped_early_is_still_judged():
    data = {"y": [0, 0, 0, 1, 1, 1], "x": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]}
    fit = quiet("y ~ x", data, family="binomial", control=glimm.Control(max_iter=2))
    assert fit.record.solution.code == "separated"
    data["y"][1] = 1
    assert quiet("y ~ x", data, family="binomial", control=glimm.Control(max_iter=2)).record.solution.code == "not_converged"


@pytest.mark.parametrize("link", ["log", "logit", "cloglog"])
def test_a_level_of_zeros_of_a_gaussian_response(link):
    g = np.repeat(["a", "b", "c"], 6)
    y = np.where(g == "b", 0.0, np.linspace(0.2, 0.6, 18))
    fit = quiet("y ~ g", {"y": y, "g": g}, family="gaussian", link=link)
    assert fit.record.solution.code == "separated"
    assert fit.record.solution.evidence["terms"] == ("g[T.b]",)
    assert fit.fittedvalues[g == "a"].mean() == pytest.approx(y[g == "a"].mean(), rel=1e-8)


@pytest.mark.parametrize("link", ["sqrt", "inverse", "inverse_squared", "power(0.3)"])
@pytest.mark.parametrize("low", [0.0, -0.3])
def test_a_level_of_a_gaussian_response_at_the_end_of_its_link(link, low):
    """No mean of zero or below has a linear predictor: the slope of the mean is gone there, and with it the errors."""
    g = np.repeat(["a", "b", "c"], 6)
    y = np.where(g == "b", low * np.linspace(0.5, 1.5, 18), np.linspace(0.2, 0.6, 18))
    with pytest.warns(glimm.GlimmWarning, match="edge of what link .*means of 0 in 6 of 18 rows.*link='identity'"):
        fit = glimm.glm("y ~ g", {"y": y, "g": g}, family="gaussian", link=link)
    assert fit.record.solution.code == "not_converged"


def test_small_means_that_other_rows_determine_are_no_end():
    x = np.append(np.linspace(0.1, 1.0, 30), 1e-5)
    y = x**2 + 1e-9 * np.cos(40.0 * x)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit = glimm.glm("y ~ x", {"y": y, "x": x}, family="gaussian", link="sqrt")
    assert fit.converged
    assert fit.fittedvalues.min() < 1e-7 * fit.fittedvalues.mean()
    np.testing.assert_allclose(fit.params, [0.0, 1.0], atol=1e-7)


@pytest.mark.parametrize("link", ["log", "logc"])
def test_log_links_of_probabilities(link):
    """Only one end of the range is infinitely far away."""
    g = np.repeat(["a", "b"], 20)
    y = np.where(g == "a", np.arange(40) % 2, 0 if link == "log" else 1)
    fit = quiet("y ~ g", {"y": y, "g": g}, family="binomial", link=link)
    assert (fit.record.solution.code, fit.record.solution.evidence["terms"]) == ("separated", ("g[T.b]",))


@pytest.mark.parametrize("family", ["quasibinomial", "quasipoisson", "quasi(1.5)"])
def test_quasi_families_are_judged_too(family):
    g = np.repeat(["a", "b"], 10)
    y = np.where(g == "a", 0.1 + np.arange(20) / 30.0, 0.0)
    fit = quiet("y ~ g", {"y": y, "g": g}, family=family)
    assert (fit.record.solution.code, fit.record.solution.evidence["terms"]) == ("separated", ("g[T.b]",))
    assert np.isnan(fit.bse["g[T.b]"])
    assert np.isfinite(fit.bse["Intercept"])


def test_rows_of_no_weight_do_not_count():
    """The door refuses them; a design that has them is judged by the others."""
    g = np.repeat(["a", "b"], 20)
    y = np.where(g == "a", np.arange(40) % 2, 0)
    y[30] = 1
    fit = glimm.glm("y ~ g", {"y": y, "g": g}, family="binomial")
    assert fit.converged
    design = replace(fit.record.design, weights=np.where(np.arange(40) == 30, 0.0, 1.0))
    found = recession.find(lambda: ((design, recession.ends(design, design.mean.link)),), design.mean)
    assert found.terms == ("g[T.b]",)
    assert found.rows.tolist() == [row for row in range(20, 40) if row != 30]


def test_what_is_said_names_rows_terms_and_the_remedy():
    data = {"y": [0, 1, 0, 1, 1, 1, 1, 1], "g": list("aaaabbbb")}
    with pytest.warns(glimm.GlimmWarning) as caught:
        fit = glimm.glm("y ~ g", data, family="binomial")
    said = str(caught[0].message)
    for words in ("quasi-complete separation", "4 of 8 rows", "g[T.b] has no finite estimate", "penalty='firth'"):
        assert words in said
    finding = fit.check()["separated"]
    assert "penalty='firth'" in finding.remedy
    assert "g[T.b]" in finding.remedy
    negative = {"y": [0, 2, 0, 1, 0, 0, 0, 0, 5, 1], "g": list("aaaabbbbaa")}
    with pytest.warns(glimm.GlimmWarning) as caught:
        glimm.glm("y ~ g", negative, family="negative_binomial")
    assert "penalty" not in str(caught[0].message)
    assert "means of 0 in 4 of 10 rows" in str(caught[0].message)


def test_rows_dropped_for_missing_values_keep_their_positions():
    data = pd.DataFrame({"y": [0, 1, 0, 1, 1, 1, 1, 1], "g": list("aaaabbbb"), "x": [1.0, 2.0, np.nan, 0.5, 1.0, 3.0, 2.0, 1.5]})
    fit = quiet("y ~ g", data.assign(y=data.y.where(data.x.notna())), family="binomial")
    assert fit.record.solution.evidence["positions"].tolist() == [4, 5, 6, 7]


def test_a_large_separated_fit_takes_seconds():
    rng = np.random.default_rng(11)
    n = 300_000
    g, x = rng.integers(0, 40, n), rng.normal(size=n)
    y = (rng.random(n) < 1.0 / (1.0 + np.exp(3.0 - x))).astype(int)
    y[g == 7] = 0
    begin = time.perf_counter()
    fit = quiet("y ~ x + C(g)", {"y": y, "x": x, "g": g}, family="binomial")
    assert time.perf_counter() - begin < 20.0
    assert fit.record.solution.evidence["terms"] == ("C(g)[T.7]",)


@pytest.mark.parametrize(("family", "rate"), [("binomial", 1e-4), ("poisson", 1e-3)])
def test_a_healthy_fit_is_not_looked_through(monkeypatch, family, rate):
    """Nor is one of rare events, whose fitted means are small but not at the bound."""

    def never(*args):
        raise AssertionError("looked through")

    monkeypatch.setattr(glm_ending, "overlap", never)
    monkeypatch.setattr(glm_ending, "find", never)
    rng = np.random.default_rng(12)
    x = rng.normal(size=100_000)
    y = (rng.random(len(x)) < rate * np.exp(x)).astype(int)
    assert glimm.glm("y ~ x", {"y": y, "x": x}, family=family).converged


def test_scores_at_the_estimates_prove_overlap_without_a_programme(monkeypatch):
    monkeypatch.setattr(glm_ending, "find", lambda *args: pytest.fail("a programme was solved"))
    x = np.append(np.random.default_rng(4).normal(size=600), 16.0)
    y = (np.random.default_rng(5).random(601) < 1.0 / (1.0 + np.exp(-1.9 * x))).astype(int)
    fit = glimm.glm("y ~ x", {"y": y, "x": x}, family="binomial")
    assert fit.fittedvalues.max() > 1.0 - 1e-9
    assert fit.converged


@pytest.mark.parametrize("family", ["poisson", "negative_binomial(2)", "quasipoisson"])
@pytest.mark.parametrize("link", ["inverse", "inverse_squared", "power(-0.5)"])
def test_links_whose_means_fall_to_zero(family, link):
    """A level of zeros takes eta to infinity; the others have the estimates and errors of their own rows."""
    rng = np.random.default_rng(2)
    x = rng.uniform(0.0, 1.0, 120)
    data = pd.DataFrame({"x": x, "f": np.array(list("abc"))[np.arange(120) % 3], "y": rng.poisson(1.0 / (0.3 + 0.5 * x))})
    data.loc[data["f"] == "c", "y"] = 0
    with pytest.warns(glimm.GlimmWarning, match=r"means of 0 in 40 of 120 rows, quasi-complete.*f\[T\.c\] has no finite estimate"):
        fit = glimm.glm("y ~ x + f", data, family=family, link=link)
    rest = glimm.glm("y ~ x + f", data[data["f"] != "c"], family=family, link=link)
    scale = 1.0 if family != "quasipoisson" else np.sqrt(fit.scale / rest.scale)
    np.testing.assert_allclose(fit.bse.drop("f[T.c]"), scale * rest.bse, rtol=1e-4)
    np.testing.assert_allclose(fit.params.drop("f[T.c]"), rest.params, atol=1e-3 * float(rest.bse.min()))
    assert np.isnan(fit.bse["f[T.c]"])
