"""fit.bootstrap, fit.laplace_error and the progress line."""

import io
import itertools

import numpy as np
import pandas as pd
import pytest

import glimm
from glimm import progress
from glimm.progress import Progress, clock


def slopes(n_groups=20, size=8, seed=3, sd=(1.0, 0.5)):
    rng = np.random.default_rng(seed)
    g = np.repeat(np.arange(n_groups), size)
    x = rng.normal(size=len(g))
    b = rng.normal(size=(n_groups, 2)) * sd
    return pd.DataFrame(
        {"y": 1.0 + 0.5 * x + b[g, 0] + b[g, 1] * x + rng.normal(size=len(g)), "x": x, "g": g, "h": rng.integers(0, 5, len(g))}
    )


@pytest.mark.parametrize("formula", ["y ~ x + (x | g)", "y ~ x + (1 | g) + (1 | h)", "y ~ x + (x || g)"])
@pytest.mark.parametrize("reml", [True, False])
def test_every_replicate_is_a_refit(formula, reml):
    fit = glimm.glmm(formula, slopes(sd=(0.5, 0.15)), reml=reml)
    table, responses = fit.bootstrap(12, seed=4), fit.simulate(12, seed=4)
    assert len(table) == 12
    assert table["converged"].all()
    zero = 0
    for j in range(12):
        one = fit.refit(responses[:, j])
        zero += one.record.solution.code == "boundary"
        mine = table.iloc[j]
        np.testing.assert_allclose(mine[list(one.params.index)].astype(float), one.params, rtol=1e-6)
        np.testing.assert_allclose(mine[list(fit.theta_names)].astype(float), one.theta, atol=1e-5)
        assert mine["sigma"] == pytest.approx(one.sigma, rel=1e-7)
        assert mine["llf"] == pytest.approx(one.llf, abs=1e-7)
    if formula == "y ~ x + (x | g)":
        assert zero, "the data are to have replicates at a boundary"


def test_the_spread_of_replicates_is_the_standard_error():
    fit = glimm.glmm("y ~ x + (x | g)", slopes(n_groups=60))
    table = fit.bootstrap(2000, seed=1)
    np.testing.assert_allclose(table[["Intercept", "x"]].std(), fit.bse, rtol=4.0 / np.sqrt(2.0 * 2000) + 0.03)
    np.testing.assert_allclose(table[["Intercept", "x"]].mean(), fit.params, atol=float(4.0 * fit.bse.max() / np.sqrt(2000)))


def test_a_glmm_and_another_frame():
    frame = slopes()
    frame["b"] = (frame["y"] > 1.0).astype(int)
    fit = glimm.glmm("b ~ x + (1 | g)", {name: frame[name].to_numpy() for name in frame}, family="binomial", points=1)
    table = fit.bootstrap(5, seed=2)
    assert list(table.columns) == ["Intercept", "x", "g.Intercept", "llf", "converged"]
    assert table["Intercept"].nunique() == 5


def brute_force(fit, points=25):
    """log L of a logistic model of (1 | a) + (1 | b) by a product grid over all levels of b, each level of a by itself."""
    design, (sa, sb) = fit.record.design, fit.theta
    a, b = (term.refs for term in design.mean.random)
    eta = design.mean.matrix.dense() @ fit.params.to_numpy()
    nodes, weights = np.polynomial.hermite_e.hermegauss(points)
    logw = np.log(weights / weights.sum())
    total = []
    for at in itertools.product(range(points), repeat=b.max() + 1):
        shifted = eta + sb * nodes[list(at)][b]
        each = shifted[:, None] + sa * nodes
        ll = np.where(design.y[:, None] == 1, -np.logaddexp(0.0, -each), -np.logaddexp(0.0, each))
        by_level = np.zeros((a.max() + 1, points))
        np.add.at(by_level, a, ll)
        total.append(logw[list(at)].sum() + np.logaddexp.reduce(by_level + logw, axis=1).sum())
    return np.logaddexp.reduce(total)


def test_laplace_error_of_a_crossed_design_against_integration():
    rng = np.random.default_rng(8)
    a, b = (v.ravel() for v in np.meshgrid(np.arange(12), np.arange(3)))
    a, b = np.tile(a, 2), np.tile(b, 2)
    p = 1.0 / (1.0 + np.exp(-(rng.normal(size=12) * 1.5)[a] - (rng.normal(size=3))[b]))
    frame = pd.DataFrame({"y": (rng.uniform(size=len(a)) < p).astype(int), "a": a, "b": b})
    fit = glimm.glmm("y ~ 1 + (1 | a) + (1 | b)", frame, family="binomial")
    truth = brute_force(fit) - fit.llf
    found = fit.laplace_error(4000, seed=1)
    assert found.std_error < 0.05
    assert found.effective > 0.3
    assert abs(truth) > 5.0 * found.std_error
    assert found.error == pytest.approx(truth, abs=4.0 * found.std_error)


def test_laplace_error_of_one_factor_is_quadrature():
    fit = glimm.glmm("resp ~ age + (1 | id)", glimm.load_dataset("ohio"), family="binomial", points=1)
    found = fit.laplace_error(4)
    assert found.std_error == 0.0
    assert found.error < -1.0  # 15 points are far from 1 here


@pytest.mark.parametrize(
    ("change", "message"),
    [({"points": 9}, "9 quadrature points"), ({"family": "gaussian"}, "exact"), ({"points": 1, "n": 2}, "at least 4")],
)
def test_laplace_error_refuses(change, message):
    n = change.pop("n", 100)
    fit = glimm.glmm("resp ~ age + (1 | id)", glimm.load_dataset("ohio"), **{"family": "binomial", **change})
    with pytest.raises(glimm.GlimmError, match=message):
        fit.laplace_error(n)


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_bar_comes_after_two_seconds_and_goes_away(monkeypatch):
    now = [0.0]
    out = Terminal()
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(progress.sys, "stderr", out)
    with Progress("fit", 10, None) as bar:
        bar.step()
        assert out.getvalue() == ""
        now[0] = 4.0
        bar.step()
        assert "2 of 10, about 16 s left" in out.getvalue()
        shown = len(out.getvalue())
        bar.step()  # too soon
        assert len(out.getvalue()) == shown
    assert out.getvalue().endswith("\r")


def test_a_bar_with_the_value_of_the_search_fits_a_terminal(monkeypatch):
    now = [0.0]
    out = Terminal()
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(progress.sys, "stderr", out)
    with Progress("fit", 10, None) as bar:
        now[0] = 4.0
        bar.step(1157206.234)
        assert "1 of 10, about 36 s left, -2 log L about 1157206.2" in out.getvalue()
        now[0] = 4000.0
        bar.step(-1157206.251)
        last = out.getvalue().rpartition("\r")[2]
        assert last.endswith("about 4 h 26 min left, -2 log L about -1157206.3")
        assert len(last) < 80


@pytest.mark.parametrize(("wanted", "stream", "shown"), [(None, io.StringIO, False), (False, Terminal, False), (True, io.StringIO, True)])
def test_no_bar_where_nobody_looks(monkeypatch, wanted, stream, shown):
    now = [0.0]
    out = stream()
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(progress.sys, "stderr", out)
    with Progress("fit", 3, wanted) as bar:
        now[0] = 5.0
        bar.step()
    assert bool(out.getvalue()) == shown


def test_clock():
    assert [clock(s) for s in (0.4, 59.0, 61.0, 3700.0)] == ["0 s", "59 s", "1 min 1 s", "1 h 1 min"]
