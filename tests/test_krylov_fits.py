"""Fits by the Krylov engine against those by elimination (which tests/test_reference_several.py holds against R), and what they answer.

-2 log L to 1e-5, estimates to 1e-4 of their standard errors, standard errors to 1e-3 (an LMM's at the same theta to 1e-8).
"""

import warnings
from functools import cache

import numpy as np
import pandas as pd
import pytest

import glimm
from glimm.errors import GlimmError
from glimm.estimators.engines import linear_engine
from glimm.estimators.terms import working_effects

ROWS, USERS, ITEMS = 4000, 700, 150
TWO = " + (1 | a) + (1 | b)"


@cache
def rows(seed=1, users=0.7, items=0.5):
    """Responses of several kinds by users (a), items (b), 25 places (c); effects of users on z too."""
    rng = np.random.default_rng(seed)
    a, b, c = (rng.integers(0, k, ROWS) for k in (USERS, ITEMS, 25))
    x, z = rng.normal(size=(2, ROWS))
    eta = 0.3 + 0.5 * x + users * rng.normal(size=USERS)[a] + items * rng.normal(size=ITEMS)[b]
    eta = eta + 0.5 * users * rng.normal(size=USERS)[a] * z
    p = 1.0 / (1.0 + np.exp(-eta))
    trials = rng.integers(1, 8, ROWS)
    return pd.DataFrame(
        {
            "a": a,
            "b": b,
            "c": c,
            "x": x,
            "z": z,
            "w": rng.uniform(0.5, 2.0, ROWS),
            "off": 0.1 * rng.normal(size=ROWS),
            "trials": trials,
            "y": eta + rng.normal(size=ROWS),
            "k": (rng.random(ROWS) < p).astype(int),
            "wins": rng.binomial(trials, p),
            "count": rng.poisson(np.exp(eta)),
            "over": rng.negative_binomial(2, 2.0 / (2.0 + np.exp(eta))),
            "cost": np.exp(eta) * rng.gamma(3.0, 1.0 / 3.0, ROWS),
            "share": np.clip(rng.beta(5.0 * p, 5.0 * (1.0 - p)), 1e-4, 1.0 - 1e-4),
            "bent": np.exp(0.3 * eta) + 0.2 * rng.normal(size=ROWS),
        }
    )


def fit(formula, data, engine, control=None, **arguments):
    """(fit, warnings)."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        found = glimm.glmm(formula, data, control=glimm.Control(engine=engine, **(control or {})), **arguments)
    return found, [str(w.message) for w in said]


def assert_same(mine, theirs, se=1e-3):
    """Log-likelihood, every estimate in its standard errors, standard errors, and how the search ended."""
    assert mine.record.stochastic.exact
    assert mine.record.stochastic.llf_error == 0.0
    assert -2.0 * mine.llf == pytest.approx(-2.0 * theirs.llf, abs=1e-5)
    assert mine.record.solution.code == theirs.record.solution.code
    if not theirs.record.solution.message.startswith("converged in"):
        assert mine.record.solution.message == theirs.record.solution.message
    unit = np.sqrt(np.diag(np.linalg.inv(theirs.record.curvature)))
    p = len(theirs.params)
    if len(unit) == len(theirs.record.vector):
        assert np.max(np.abs(mine.record.vector - theirs.record.vector) / unit) < 1e-4
    assert np.max(np.abs(mine.params - theirs.params) / theirs.bse) < 1e-4
    np.testing.assert_allclose(mine.bse, theirs.bse, rtol=se)
    if not theirs.record.linear:  # of an LMM the curvature in theta is the search's
        np.testing.assert_allclose(np.sqrt(np.diag(np.linalg.inv(mine.record.curvature)))[p:], unit[p:], rtol=1e-3)


@pytest.mark.parametrize(
    ("formula", "arguments"),
    [
        ("y ~ x" + TWO, {}),
        ("y ~ x" + TWO, {"reml": False, "weights": "w", "offset": "off"}),
        ("y ~ x + (1 + z | a) + (1 + x | b)", {}),
        ("y ~ x + (1 + z || a) + (1 | b) + (1 | c)", {}),
        ("y ~ x + (1 | b/a) + (1 | c)", {"reml": False}),
    ],
    ids=str,
)
def test_linear(formula, arguments):
    (mine, said), (theirs, also) = (fit(formula, rows(), engine, **arguments) for engine in ("krylov", "exact"))
    assert_same(mine, theirs, 1e-5)
    assert said == also
    record = mine.record
    effects = tuple(working_effects(t) for t in record.design.mean.random)
    there = linear_engine(record.design, effects, record.reml, glimm.Control(engine="exact")).end(record.layouts, record.work_theta)
    p = len(mine.params)
    np.testing.assert_allclose(record.curvature[:p, :p], there.information / record.scale, rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(record.scale, there.r2 / (ROWS - p if record.reml else ROWS), rtol=1e-9)


@pytest.mark.parametrize(
    ("formula", "arguments"),
    [
        ("count ~ x" + TWO, {"family": "poisson"}),
        ("count ~ x + (1 + z | a) + (1 | b)", {"family": "poisson", "weights": "w", "offset": "off"}),
        ("over ~ x" + TWO, {"family": "negative_binomial"}),
        ("cost ~ x" + TWO, {"family": "gamma", "link": "log"}),
        ("share ~ x" + TWO, {"family": "beta"}),
        ("wins / trials ~ x" + TWO, {"family": "binomial"}),
        ("k ~ x" + TWO, {"family": "binomial", "link": "probit"}),
        ("k ~ x + (1 | a) + (1 | b) + (1 | c)", {"family": "binomial", "link": "cloglog"}),
        ("bent ~ x" + TWO, {"family": "gaussian", "link": "log"}),
        ("count ~ x + (1 | b/a)", {"family": "poisson"}),
    ],
    ids=str,
)
def test_laplace(formula, arguments):
    (mine, said), (theirs, also) = (fit(formula, rows(), engine, points=1, **arguments) for engine in ("krylov", "exact"))
    assert_same(mine, theirs)
    assert said == also


@pytest.mark.parametrize(
    ("formula", "arguments"),
    [("y ~ x" + TWO, {}), ("count ~ x" + TWO, {"family": "poisson"}), ("k ~ x + (1 | a) + (0 + z | b)", {"family": "binomial"})],
    ids=str,
)
@pytest.mark.parametrize("seed", [3, 4])
def test_a_variance_of_zero(formula, arguments, seed):
    """No effects of items in the data: its estimate is zero or next to it, and the warning is that of the exact engine."""
    (mine, said), (theirs, also) = (fit(formula, rows(seed, items=0.0), engine, **arguments) for engine in ("krylov", "exact"))
    assert -2.0 * mine.llf == pytest.approx(-2.0 * theirs.llf, abs=1e-5)
    assert said == also
    assert mine.record.solution.code == theirs.record.solution.code


def test_some_of_these_variances_are_zero():
    codes = [fit("y ~ x" + TWO, rows(seed, items=0.0), "exact")[0].record.solution.code for seed in (3, 4)]
    codes += [fit("count ~ x" + TWO, rows(seed, items=0.0), "exact", family="poisson")[0].record.solution.code for seed in (3, 4)]
    assert "boundary" in codes


@pytest.mark.parametrize("data", ["separated", "one level", "constant", "spanned", "all zero", "exact"])
def test_bad_data_is_told_alike(data):
    frame = rows()
    if data == "separated":
        frame = frame.assign(x=np.where(frame["k"] == 1, 1.0, frame["c"] % 2))
        found = [fit("k ~ x" + TWO, frame, engine, family="binomial") for engine in ("krylov", "exact")]
        assert [f.record.solution.code for f, _ in found] == ["separated"] * 2
        assert found[0][0].record.solution.evidence["infinite"] == found[1][0].record.solution.evidence["infinite"]
        return
    if data == "constant":
        frame = frame.assign(one=3.0)
        mine, theirs = (fit("y ~ x + one" + TWO, frame, engine)[0] for engine in ("krylov", "exact"))
        assert mine.dropped == theirs.dropped
        np.testing.assert_allclose(mine.params, theirs.params, rtol=1e-6)
        return
    formula, frame, arguments = {
        "one level": ("y ~ x + (1 | a) + (1 | level)", frame.assign(level="only"), {}),
        "spanned": ("y ~ C(c) + (1 | a) + (1 | c)", frame, {}),
        "all zero": ("count ~ x" + TWO, frame.assign(count=0), {"family": "poisson"}),
        "exact": ("y ~ x" + TWO, frame.assign(y=2.0 * frame["x"]), {}),
    }[data]
    told = []
    for engine in ("krylov", "exact"):
        with pytest.raises(GlimmError) as error:
            fit(formula, frame, engine, **arguments)
        told.append(str(error.value))
    assert told[0] == told[1]


@pytest.mark.parametrize("formula", ["y ~ x + (1 | a)", "y ~ x + ar1(0 + C(visit) | c)"])
@pytest.mark.parametrize("family", ["gaussian", "poisson"])
def test_one_term_is_refused(formula, family):
    frame = rows().assign(visit=rows()["b"] % 4)
    with pytest.raises(GlimmError, match=r"random effects of several groupings.*use engine='auto'"):
        fit(formula.replace("y", "count") if family == "poisson" else formula, frame, "krylov", family=family)


@pytest.mark.parametrize(("formula", "arguments"), [("y ~ x" + TWO, {}), ("count ~ x" + TWO, {"family": "poisson"})], ids=str)
def test_seeds_and_probes_agree(formula, arguments):
    found = [
        fit(formula, rows(), "krylov", how, **arguments)[0] for how in ({"seed": 1}, {"seed": 2}, {"seed": 3}, {"seed": 4, "probes": 24})
    ]
    assert [f.record.stochastic.probes for f in found] == [8, 8, 8, 24]
    assert np.ptp([-2.0 * f.llf for f in found]) < 1e-5
    for f in found[1:]:
        assert np.max(np.abs(f.params - found[0].params) / f.bse) < 1e-4


@pytest.mark.parametrize(
    ("formula", "arguments"), [("y ~ x" + TWO, {}), ("count ~ x + (1 + z | a) + (1 | b)", {"family": "poisson"})], ids=str
)
@pytest.mark.parametrize("block", [20_000, 0])
def test_threads_change_no_bit(formula, arguments, block):
    one, two = (fit(formula, rows(), "krylov", {"threads": k, "exact_block": block}, **arguments)[0] for k in (1, 2))
    assert one.llf == two.llf
    for name in ("vector", "curvature", "work_theta"):
        assert np.array_equal(getattr(one.record, name), getattr(two.record, name))
    assert all(np.array_equal(u, v) for u, v in zip(one.record.effects, two.record.effects, strict=True))


@pytest.mark.parametrize("family", ["gaussian", "binomial"])
def test_a_chain_of_items(family):
    """Each user has two items that follow each other: nothing else ties the items together."""
    rng = np.random.default_rng(6)
    items, users = 150, 298
    low = np.repeat(np.arange(items - 1), 2)
    user, item = np.repeat(np.arange(users), 2), np.stack([low, low + 1], axis=1).ravel()
    eta = 1.5 * rng.normal(size=users)[user] + 2.0 * rng.normal(size=items)[item]
    y = eta + 0.1 * rng.normal(size=2 * users) if family == "gaussian" else rng.binomial(30, 1.0 / (1.0 + np.exp(-eta)))
    frame = pd.DataFrame({"y": y, "n": 30, "a": user, "b": item})
    formula = "y ~ 1" + TWO if family == "gaussian" else "y / n ~ 1" + TWO
    mine, theirs = (fit(formula, frame, engine, family=family)[0] for engine in ("krylov", "exact"))
    assert_same(mine, theirs, 1e-6 if family == "gaussian" else 1e-3)
    assert mine.record.stochastic.iterations > 15


SIMULATED = [
    ("y ~ x" + TWO, {}),
    ("y ~ x + (1 + z | a) + (1 | b)", {"reml": False}),
    ("count ~ x" + TWO, {"family": "poisson"}),
]


@pytest.mark.parametrize(("formula", "arguments"), SIMULATED, ids=str)
def test_without_a_factorisation(formula, arguments):
    """Over 20 seeds: log-likelihoods within 4 of their errors and these right on average; estimates within what is claimed."""
    frame = rows(7, 1.2, 1.2).iloc[:1500]
    theirs = fit(formula, frame, "exact", **arguments)[0]
    unit = np.sqrt(np.diag(np.linalg.inv(theirs.record.curvature)))
    scores, away, claimed = [], [], []
    for seed in range(20):
        mine = fit(formula, frame, "krylov", {"seed": seed, "exact_block": 0}, **arguments)[0]
        how = mine.record.stochastic
        assert not how.exact
        assert how.seed == seed
        assert how.block >= ITEMS - 1
        assert 0.0 < how.llf_error < 1.0
        scores.append((mine.llf - theirs.llf) / how.llf_error)
        away.append(np.max(np.abs(mine.record.vector - theirs.record.vector) / unit))
        claimed.append(how.estimate_error)
        np.testing.assert_allclose(mine.bse, theirs.bse, rtol=2e-3)  # three digits, as the page says
    assert np.max(np.abs(scores)) < 4.0
    assert 0.5 < np.std(scores) < 1.6
    assert abs(np.mean(scores)) < 1.0
    assert np.max(claimed) < 0.05
    assert 0.4 < np.sqrt(np.mean(np.square(away)) / np.mean(np.square(claimed))) < 2.0


@pytest.fixture(scope="module")
def pairs():
    """The same fits by both engines."""
    cases = [("y ~ x + (1 + z | a) + (1 | b)", {}), ("wins / trials ~ x" + TWO, {"family": "binomial"})]
    return [tuple(fit(formula, rows(), engine, **arguments)[0] for engine in ("krylov", "exact")) for formula, arguments in cases]


@pytest.mark.parametrize("which", [0, 1])
def test_answers_are_those_of_the_exact_engine(pairs, which):
    mine, theirs = pairs[which]
    ours, others = mine.ranef(), theirs.ranef()
    assert ours[["group", "level", "term"]].equals(others[["group", "level", "term"]])
    np.testing.assert_allclose(ours["estimate"], others["estimate"], atol=1e-5)
    np.testing.assert_allclose(ours["std_error"], others["std_error"], rtol=1e-5)
    new = rows(9).iloc[:50]
    for target in ("conditional", "typical", "marginal"):
        np.testing.assert_allclose(mine.predict(new, target=target), theirs.predict(new, target=target), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(mine.fittedvalues, theirs.fittedvalues, rtol=1e-5, atol=1e-6)
    assert mine.varcorr()[["group", "term"]].equals(theirs.varcorr()[["group", "term"]])
    np.testing.assert_allclose(mine.varcorr()["variance"], theirs.varcorr()["variance"], rtol=1e-5)
    mine_drawn, theirs_drawn = (np.asarray(f.simulate(2, seed=3), dtype=float) for f in (mine, theirs))
    np.testing.assert_allclose(mine_drawn, theirs_drawn, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("which", [0, 1])
def test_refit(pairs, which):
    mine, theirs = pairs[which]
    y = np.asarray(theirs.simulate(1, seed=5)).reshape(ROWS, -1)[:, 0]
    ours, others = mine.refit(y), theirs.refit(y)
    assert ours.record.stochastic.exact
    assert others.record.stochastic is None
    assert_same(ours, others, 1e-3)
    assert abs(others.llf - theirs.llf) > 1.0


@pytest.mark.parametrize("family", ["gaussian", "poisson"])
@pytest.mark.parametrize("block", [20_000, 0])
def test_a_search_that_is_stopped_is_at_the_optimum_or_says_so(family, block):
    """What ends a fit may reach the optimum where the search was stopped before it."""
    found, said = fit("count ~ x" + TWO, rows(), "krylov", {"max_iter": 1, "exact_block": block}, family=family)
    theirs = fit("count ~ x" + TWO, rows(), "exact", family=family)[0]
    if any("no convergence" in message for message in said):
        assert not found.converged
    else:
        assert found.llf == pytest.approx(theirs.llf, abs=1e-5 + 4.0 * found.record.stochastic.llf_error)
