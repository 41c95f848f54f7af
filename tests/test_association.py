"""GEE of binary responses with odds ratios: published results, dense algebra, derivatives, and what must not matter.

respiratory: SAS/STAT User's Guide, The GEE Procedure, "Weighted GEE / Alternating Logistic Regression" example and its GENMOD twin;
further digits, and those of ohio, from dense NumPy code (tests/oracle/association.py has the same equations).
"""

import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import approx_fprime

import glimm
from glimm.design.take import take_rows
from glimm.estimators.control import Control
from glimm.estimators.gee import equations_of, pieces, refit_gee
from glimm.inference.association import association_influence
from glimm.kernels import odds_cells
from oracle.association import Dense

DATA = Path(__file__).parent / "reference" / "data"
FORMULA = "resp ~ age * smoke"
BINARY = {"groups": "id", "family": "binomial"}


@pytest.fixture(scope="module")
def ohio():
    return pd.read_csv(DATA / "geepack_ohio.csv")


@pytest.fixture(scope="module")
def respiratory():
    d = pd.read_csv(DATA / "geepack_respiratory.csv")
    return d.assign(active=(d.treat == "A") * 1, second=(d.center == 2) * 1, female=(d.sex == "F") * 1, patient=d.center * 1000 + d.id)


@pytest.fixture(scope="module")
def small(ohio):
    """Clusters of one to four rows, in no order, times with gaps."""
    some = ohio[ohio.id % 3 == 0].copy()
    rng = np.random.default_rng(8)
    some = some[rng.random(len(some)) < 0.75].sample(frac=1.0, random_state=3)
    return some.assign(half=(some.age > -1).astype(int), x=rng.normal(size=len(some)))


def pairs_of(data):
    return glimm.gee(FORMULA, data, time="age", corr="odds_ratio(pairs)", **BINARY)


def test_ohio(ohio):
    fit = glimm.gee(FORMULA, ohio, corr="odds_ratio", **BINARY)
    np.testing.assert_allclose(fit.params, [-1.900173746, -0.1399888155, 0.314065035, 0.07113861824], rtol=1e-9)
    np.testing.assert_allclose(fit.bse, [0.1190745747, 0.05830505655, 0.187808925, 0.08834924305], rtol=1e-9)
    assert fit.corr_params.to_dict() == {"log_odds_ratio": pytest.approx(2.040399287, rel=1e-9)}
    assert fit.parts["association"].bse["log_odds_ratio"] == pytest.approx(0.1739681349, rel=1e-9)
    assert fit.scale == 1.0
    assert fit.converged
    model = glimm.gee(FORMULA, ohio, corr="odds_ratio", vcov="model", **BINARY)
    np.testing.assert_allclose(model.bse, [0.1171400224, 0.05664801746, 0.1873801557, 0.08866074403], rtol=1e-9)


def test_respiratory_as_sas_publishes_it(respiratory):
    fit = glimm.gee(
        "outcome ~ active + second + female + age + baseline",
        respiratory,
        groups="patient",
        time="visit",
        family="binomial",
        corr="odds_ratio(pairs)",
    )
    published = [-0.9266, 1.2611, 0.6287, 0.1024, -0.0162, 1.8980]
    np.testing.assert_allclose(fit.params, published, atol=5e-5)
    np.testing.assert_allclose(fit.bse, [0.4513, 0.3406, 0.3486, 0.4362, 0.0125, 0.3404], atol=5.1e-5)
    np.testing.assert_allclose(fit.corr_params, [1.6109, 1.0771, 1.5875, 2.1224, 1.8818, 2.1046], atol=5e-5)
    np.testing.assert_allclose(fit.parts["association"].bse, [0.4892, 0.4834, 0.4735, 0.5022, 0.4686, 0.4949], atol=5.1e-5)
    y, mu = fit.record.design.y, fit.fittedvalues.to_numpy()
    quasi = np.sum(y * np.log(mu) + (1 - y) * np.log1p(-mu))
    part = fit.record.design.mean
    x = part.matrix.dense()
    assert -2 * quasi + 2 * np.trace((x * (mu * (1 - mu))[:, None]).T @ x @ fit.cov_params()) == pytest.approx(511.86, abs=0.005)  # QIC
    exact = [-0.926610924, 1.261080517, 0.6287288614, 0.1024342695, -0.01615044491, 1.897987349]
    np.testing.assert_allclose(fit.params, exact, rtol=2e-9)
    np.testing.assert_allclose(fit.bse, [0.4512926701, 0.3406458796, 0.3485677573, 0.4362463435, 0.0125376279, 0.3404051921], rtol=1e-9)
    alphas = [1.61088984, 1.077141278, 1.587465573, 2.122416752, 1.88177066, 2.104622045]
    np.testing.assert_allclose(fit.corr_params, alphas, rtol=1e-8)
    errors = [0.4891536204, 0.4833993365, 0.4735125677, 0.5022294886, 0.4685600921, 0.4948694912]
    np.testing.assert_allclose(fit.parts["association"].bse, errors, rtol=1e-8)
    assert list(fit.corr_params.index) == [f"log_odds_ratio[{pair}]" for pair in ("1,2", "1,3", "1,4", "2,3", "2,4", "3,4")]


CASES = {
    "one": "odds_ratio",
    "pairs": "odds_ratio(pairs)",
    "nested": "odds_ratio(nested)",
    "functions": glimm.OddsRatio({"apart": lambda a, b: abs(a["age"] - b["age"]), "smoke": lambda a, b: a["smoke"]}),
    "no constant": glimm.OddsRatio(
        {"near": lambda a, b: abs(a["age"] - b["age"]) == 1, "far": lambda a, b: abs(a["age"] - b["age"]) > 1}, False
    ),
}


def fit_of(data, case, **more):
    groups, time = ("id/half", None) if case == "nested" else ("id", "age")
    return glimm.gee(FORMULA, data, groups=groups, time=time, family="binomial", corr=CASES[case], **more)


def dense_of(fit, data, case):
    """The dense equations of a fit, in the named columns, rows sorted by cluster and age."""
    d = data.sort_values(["id", "age"], kind="stable").reset_index(drop=True)
    starts = np.flatnonzero(np.concatenate([[True], np.diff(d.id) != 0, [True]]))
    x = np.column_stack([np.ones(len(d)), d.age, d.smoke, d.age * d.smoke])
    ages = np.sort(d.age.unique())
    pairs = [(a, b) for i, a in enumerate(ages) for b in ages[i + 1 :]]

    def z(k, i, j):
        a, b = d.iloc[starts[k] + i], d.iloc[starts[k] + j]
        apart = abs(a.age - b.age)
        return {
            "one": lambda: np.ones(1),
            "pairs": lambda: np.array([(min(a.age, b.age), max(a.age, b.age)) == p for p in pairs], dtype=float),
            "nested": lambda: np.array([a.half == b.half, a.half != b.half], dtype=float),
            "functions": lambda: np.array([1.0, apart, a.smoke]),
            "no constant": lambda: np.array([apart == 1, apart > 1], dtype=float),
        }[case]()

    logistic = (lambda e: 1 / (1 + np.exp(-e)), lambda e: np.exp(-e) / (1 + np.exp(-e)) ** 2)
    return Dense(d.resp.to_numpy(float), x, starts, np.arange(len(d)), z, *logistic)


@pytest.mark.parametrize("case", CASES)
def test_the_equations_are_solved_and_the_errors_are_the_joint_sandwich(small, case):
    fit = fit_of(small, case)
    dense = dense_of(fit, small, case)
    b, a = fit.params.to_numpy(), fit.corr_params.to_numpy()
    u, h, _, _ = dense.mean_equation(b, a)
    alpha_scores = dense.alpha_scores(b, a)
    bread, information = h.sum(0), dense.information(b, a)
    assert u.sum(0) @ np.linalg.solve(bread, u.sum(0)) < 1e-18  # in squared standard errors
    assert alpha_scores.sum(0) @ np.linalg.solve(information, alpha_scores.sum(0)) < 1e-12  # the score is a difference there
    moved = np.linalg.solve(bread, u.T)
    np.testing.assert_allclose(fit.cov_params(), moved @ moved.T, rtol=1e-8)
    a_aa, a_ab = dense.given(b, a)
    influence = np.linalg.solve(a_aa, alpha_scores.T - a_ab @ moved)
    np.testing.assert_allclose(fit.parts["association"].bse, np.sqrt((influence**2).sum(1)), rtol=1e-6)


def test_errors_are_near_those_with_all_derivatives_observed(ohio):
    """SAS averages over the directions of conditioning; the derivatives of the pairwise score are the same in expectation."""
    fit = glimm.gee(FORMULA, ohio, corr="odds_ratio", **BINARY)
    x = np.column_stack([np.ones(len(ohio)), ohio.age, ohio.smoke, ohio.age * ohio.smoke])
    y = ohio.resp.to_numpy()
    first, second = (np.concatenate([np.arange(k, len(y), 4) for k in side]) for side in ((0, 0, 0, 1, 1, 2), (1, 2, 3, 2, 3, 3)))

    def score(v):
        mu = 1 / (1 + np.exp(-x @ v[:4]))
        cells = odds_cells(mu[first], mu[second], np.full(len(first), v[4]))
        seen = np.where(y[first] == 1, np.where(y[second] == 1, 0, 1), np.where(y[second] == 1, 2, 3))
        p = cells[np.arange(len(seen)), seen]
        return np.array([np.sum(cells[:, 5] * np.where(y[first] == y[second], 1.0, -1.0) / p)])

    at = np.append(fit.params, fit.corr_params)
    assert abs(score(at)[0]) < 1e-7
    slope = -approx_fprime(at, lambda v: score(v)[0], 1e-6)
    u = np.concatenate([s for _, s in pieces(fit.record, "id")])
    equations = equations_of(fit.record, fit.record.design, "id")
    own = equations.at(fit.record.vector * 0.0 + _working(fit), fit.record.alpha, scores=True, alpha_equation=True).alpha_scores[:, 0]
    a = _to_named(fit)
    influence = (own - (u @ fit.record.bread @ a.T) @ slope[:4]) / slope[4]
    assert np.sqrt(influence @ influence) == pytest.approx(0.1739884282, rel=1e-5)


def _working(fit):
    from glimm.design.coordinates import to_working

    return to_working(fit.record.design.mean, fit.record.vector)


def _to_named(fit):
    from glimm.design.coordinates import to_named

    return to_named(fit.record.design.mean)


def test_order_of_rows_and_clusters_does_not_matter(small):
    for case in CASES:
        a, b = fit_of(small, case), fit_of(small.sample(frac=1.0, random_state=9), case)
        np.testing.assert_allclose(a.params, b.params, rtol=1e-9)
        np.testing.assert_allclose(a.corr_params, b.corr_params, rtol=1e-7)
        np.testing.assert_allclose(a.parts["association"].bse, b.parts["association"].bse, rtol=1e-7)


def test_reversed_responses_change_signs_only(small):
    a, b = pairs_of(small), pairs_of(small.assign(resp=1 - small.resp))
    np.testing.assert_allclose(a.params, -b.params, rtol=1e-9)
    np.testing.assert_allclose(a.corr_params, b.corr_params, rtol=1e-7)


def test_moments_are_not_used(small):
    a, b = (glimm.gee(FORMULA, small, corr="odds_ratio", moments=rule, **BINARY) for rule in ("standard", "geepack"))
    assert np.array_equal(a.params, b.params)


def test_odds_ratios_of_one_are_independence(small):
    a, b = (glimm.gee(FORMULA, small, corr=corr, **BINARY) for corr in ("odds_ratio", "independence"))
    equations = equations_of(a.record, a.record.design, "id")
    done = equations.at(_working(b), np.zeros(1), scores=True, curvatures=True)
    ((curvatures, scores),) = pieces(b.record, "id", curvatures=True)
    np.testing.assert_allclose(done.scores, scores, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(done.curvatures, curvatures, rtol=1e-12, atol=1e-13)
    assert done.log_det == 0.0


def test_two_rows_without_predictors_have_the_odds_ratio_of_their_table():
    table = np.array([[40, 15], [15, 30]])  # symmetric, so that both margins are the same
    rows = [(i, j) for i in (0, 1) for j in (0, 1) for _ in range(table[i, j])]
    d = {"y": np.array(rows).ravel(), "g": np.repeat(np.arange(100), 2)}
    fit = glimm.gee("y ~ 1", d, groups="g", family="binomial", corr="odds_ratio")
    odds = 40 * 30 / 15**2
    assert fit.corr_params.iloc[0] == pytest.approx(np.log(odds), rel=1e-9)
    assert fit.params.iloc[0] == pytest.approx(np.log(45 / 55), rel=1e-9)
    r = (0.30 - 0.45**2) / (0.45 * 0.55)
    np.testing.assert_allclose(fit.working_corr(), [[1, r], [r, 1]], rtol=1e-9)


def test_rows_with_missing_values_are_left_out(small):
    holes = small.copy()
    holes.loc[holes.index[::9], "x"] = np.nan
    whole = holes.dropna()
    call = {"corr": "odds_ratio(pairs)", "time": "age", **BINARY}
    a, b = glimm.gee("resp ~ smoke + x", holes, **call), glimm.gee("resp ~ smoke + x", whole, **call)
    np.testing.assert_allclose(a.params, b.params, rtol=1e-12)
    assert a.missing.n_dropped == len(holes) - len(whole)
    with pytest.raises(glimm.GlimmError, match=r"column 'x' has a missing value in row \d+"):
        glimm.gee(FORMULA, holes, corr=glimm.OddsRatio({"x": lambda a, b: a["x"] + b["x"]}), **BINARY)


def test_links_and_offsets(small):
    probit = glimm.gee(FORMULA, small, corr="odds_ratio", link="probit", **BINARY)
    logit = glimm.gee(FORMULA, small, corr="odds_ratio", **BINARY)
    assert probit.corr_params.iloc[0] == pytest.approx(logit.corr_params.iloc[0], rel=0.02)
    moved = glimm.gee(FORMULA, small.assign(o=0.5), corr="odds_ratio", offset="o", **BINARY)
    assert moved.params["Intercept"] + 0.5 == pytest.approx(logit.params["Intercept"], rel=1e-8)


@pytest.mark.parametrize("case", ["pairs", "functions"])
def test_a_refit_is_a_fit_of_the_rows_that_are_left(small, case):
    fit = fit_of(small, case)
    keep = np.flatnonzero(small.id.to_numpy() % 4 != 0)
    again = refit_gee(fit.record, take_rows(fit.record.design, keep), Control())
    afresh = fit_of(small.iloc[keep], case)
    np.testing.assert_allclose(again.vector, afresh.params, rtol=1e-9)
    np.testing.assert_allclose(again.alpha, afresh.corr_params, rtol=1e-7)


def test_influence_of_clusters(small):
    fit = glimm.gee(FORMULA, small, corr="odds_ratio", **BINARY)
    step, refit = fit.influence(by="id"), fit.influence(by="id", method="refit")
    a, b = (m.to_frame() if hasattr(m, "to_frame") else m for m in (step, refit))
    columns = [c for c in a.columns if str(c).startswith("dfbetas")]
    np.testing.assert_allclose(a[columns], b[columns], atol=0.1)
    assert all(np.corrcoef(a[c], b[c])[0, 1] > 0.99 for c in columns)
    moved, free = association_influence(fit.record)
    assert moved.shape == (small.id.nunique(), 1)
    assert free.tolist() == [0]
    assert abs(moved.sum()) < 1e-6


def test_what_never_occurs_is_held_and_said():
    rng = np.random.default_rng(2)
    y = rng.integers(0, 2, (60, 3))
    y[:, 2] = y[:, 1]
    d = {"y": y.ravel(), "g": np.repeat(np.arange(60), 3)}
    with pytest.warns(glimm.GlimmWarning, match=r"log_odds_ratio\[2,3\] = 15 has no finite estimate"):
        fit = glimm.gee("y ~ 1", d, groups="g", family="binomial", corr="odds_ratio(pairs)")
    errors = fit.parts["association"].bse
    assert np.isnan(errors["log_odds_ratio[2,3]"])
    assert np.isfinite(errors["log_odds_ratio[1,2]"])
    assert "15" in str(fit.summary())
    assert np.isfinite(fit.bse).all()


def test_clusters_of_one_row_have_no_odds_ratio(ohio):
    with pytest.warns(glimm.GlimmWarning, match="no cluster has two rows"):
        fit = glimm.gee(FORMULA, ohio.assign(row=np.arange(len(ohio))), groups="row", family="binomial", corr="odds_ratio")
    alone = glimm.glm(FORMULA, ohio, family="binomial")
    np.testing.assert_allclose(fit.params, alone.params, rtol=1e-8)
    assert np.isnan(fit.parts["association"].bse.iloc[0])


def test_odds_ratios_that_contradict_each_other_are_refused():
    """b agrees with a and with c, and c with a's opposite: no three indicators do."""
    rng = np.random.default_rng(0)
    rows, n = [], 300
    for k in range(n):
        a = rng.integers(0, 2)
        first, second = [(0, 1), (1, 2), (0, 2)][k % 3]
        same = (k % 3 != 2) ^ (rng.random() < 0.02)
        rows += [(k, first, a), (k, second, a if same else 1 - a)]
    rows += [(n, t, t % 2) for t in range(3)]
    g, t, y = np.array(rows).T
    with pytest.raises(glimm.GlimmError, match="contradict each other: the 3 rows of cluster 300 of 'g'"):
        glimm.gee("y ~ 1", {"y": y, "g": g, "t": t}, groups="g", time="t", family="binomial", corr="odds_ratio(pairs)")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"family": "poisson"}, "is for 0/1 responses, family='binomial', not for 'poisson'"),
        ({"weights": "w"}, "odds ratios of weighted rows are not defined"),
        ({"formula": "resp / two ~ age"}, "row 0 .* has several trials: give one row for each trial"),
        ({"corr": "odds_ratio(classes)"}, "have 'odds_ratio', 'odds_ratio\\(pairs\\)'"),
        ({"corr": "odds_ratio(nested)"}, "needs clusters in clusters: groups='school/class'"),
        ({"groups": "block", "vcov": "model"}, "cluster 0 of 'block' has 537 rows: .* 500 is the most"),
        ({"corr": glimm.OddsRatio({"t": lambda a, b: a["age"] - b["age"]})}, "when they change places"),
        ({"corr": glimm.OddsRatio({"t": lambda a, b: 2.0})}, "term 't' is a combination of log_odds_ratio"),
        ({"corr": glimm.OddsRatio({"t": lambda a, b: a["aeg"]})}, "no column 'aeg' .* did you mean 'age'"),
        ({"corr": glimm.OddsRatio({"t": lambda a, b: a["age"][:3]})}, "must give a number for each of 3222 pairs"),
        ({"corr": glimm.OddsRatio({"t": lambda a, b: a["age"] * np.nan})}, "is nan for some pairs"),
    ],
)
def test_what_cannot_be_is_refused(ohio, change, message):
    data = ohio.assign(w=2.0, two=2, block=np.arange(len(ohio)) // 537)
    given = {"formula": FORMULA, "corr": "odds_ratio", **BINARY} | change
    with pytest.raises(glimm.GlimmError, match=message):
        glimm.gee(given.pop("formula"), data, **given)


def test_an_odds_ratio_needs_functions():
    for terms, message in (
        ({}, "must map names"),
        ({"a": 1}, "must be a function"),
        ({1: abs}, "must be text"),
        ({"log_odds_ratio": abs}, "another name"),
    ):
        with pytest.raises(glimm.GlimmError, match=message):
            glimm.OddsRatio(terms)


def test_faces(small, tmp_path):
    fit = pairs_of(small)
    text = str(fit.summary())
    assert "alternating logistic regressions" in text
    assert "odds ratio" in text
    assert fit.working_corr().shape == (4, 4)
    assert list(fit.glance()["corr"]) == ["odds_ratio(pairs)"]
    other = glimm.gee(FORMULA, small, corr="exchangeable", **BINARY)
    assert "log odds ratios" in str(glimm.compare(fit, other))
    assert "log_odds_ratio[-2,-1]" in str(fit.summary())
    assert fit.check() is not None
    assert glimm.report(fit, tmp_path / "odds.html").exists()
    again = pickle.loads(pickle.dumps(fit))
    assert np.array_equal(again.parts["association"].bse, fit.parts["association"].bse)
    assert len(fit.effect("smoke")) == 1
    assert other.parts == {}
