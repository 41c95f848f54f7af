"""Separation of rows that are not held: told as in memory, by the rows of the file that were made to be told."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import glimm
from glimm.design.take import take_matrix
from glimm.estimators import glm_ending, recession
from glimm.kernels.matrix import Ints, Matrix
from test_batches_glm import both, cut

N = 30_000


def drawn(seed: int, family: str = "binomial") -> pd.DataFrame:
    """Rows that overlap, some of them with a missing predictor."""
    rng = np.random.default_rng(seed)
    d = pd.DataFrame({"x": rng.normal(size=N), "z": rng.normal(size=N), "g": rng.choice(["a", "b", "c"], N)})
    eta = -0.5 + d["x"] - 0.4 * d["z"]
    d["y"] = rng.poisson(np.exp(eta)) if family == "poisson" else (rng.random(N) < 1.0 / (1.0 + np.exp(-eta))).astype(int)
    d.loc[rng.random(N) < 0.01, "z"] = np.nan
    return d


def told(fit: Any) -> tuple[str, list[int], tuple[str, ...]]:
    solution = fit.record.solution
    evidence = solution.evidence or {}
    return solution.code, list(evidence.get("positions", ())), evidence.get("terms", ())


@pytest.mark.parametrize("family", ["binomial", "poisson"])
@pytest.mark.parametrize("kind", ["list", "iterator", "files"])
def test_a_level_that_only_the_last_piece_has(family: str, kind: str, tmp_path: Path) -> None:
    d = drawn(1, family)
    late = np.arange(N - 40, N - 4, 3)
    d.loc[late, "g"], d.loc[late, "y"] = "late", 0
    d.loc[late[2], "z"] = np.nan
    pieces: Any = cut(d, 7001)
    if kind == "files":
        pieces = [tmp_path / f"{k}.csv" for k in range(len(pieces))]
        for path, piece in zip(pieces, cut(d, 7001), strict=True):
            piece.to_csv(path, index=False)
    _, b = both("y ~ x + z + g", d, iter(pieces) if kind == "iterator" else pieces, family=family)
    assert told(b) == ("separated", [row for row in late if not np.isnan(d["z"][row])], ("g[T.late]",))
    assert b.record.solution.evidence["kind"] == "quasi-complete"
    assert f"in {len(late) - 1} of {d['z'].notna().sum()} rows" in b.record.solution.message
    assert b.bse.isna().to_dict() == {name: name == "g[T.late]" for name in b.params.index}
    rest = glimm.glm("y ~ x + z + g", d[d["g"] != "late"], family=family)
    np.testing.assert_allclose(b.params[rest.params.index], rest.params, rtol=1e-6)
    np.testing.assert_allclose(b.bse[rest.params.index], rest.bse, rtol=1e-6)


def test_one_row_of_the_last_piece_undoes_it() -> None:
    d = drawn(2)
    d["g"] = np.where(np.arange(N) % 500 == 0, "rare", d["g"])
    d.loc[d["g"] == "rare", "y"] = 0
    _, b = both("y ~ x + z + C(g)", d, cut(d, 4000), family="binomial")
    assert told(b)[0::2] == ("separated", ("C(g)[T.rare]",))
    d.loc[N - 1, ["g", "y", "z"]] = ["rare", 1, 0.0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        b = glimm.glm("y ~ x + z + C(g)", cut(d, 4000), family="binomial")
    assert b.converged


@pytest.mark.parametrize(
    ("formula", "terms"),
    [("y ~ x * C(g)", ("C(g)[T.b]", "x:C(g)[T.b]")), ("y ~ C(g) + z", ("C(g)[T.b]",)), ("y / m ~ x * C(g)", ("C(g)[T.b]", "x:C(g)[T.b]"))],
)
def test_other_shapes(formula: str, terms: tuple[str, ...]) -> None:
    d = drawn(3).fillna(0.0)
    level = d["g"] == "b"
    d.loc[level, "y"] = (d.loc[level, "x"] > 0.3).astype(int) if "*" in formula else 1
    d["m"] = 1 + np.arange(N) % 3
    if "/" in formula:
        d["y"] *= d["m"]
        d.loc[~level & (d["m"] > 1), "y"] = 1
    _, b = both(formula, d, cut(d, 9000), family="binomial")
    assert told(b) == ("separated", list(np.flatnonzero(level)), terms)


def test_complete_separation() -> None:
    d = drawn(4).fillna(0.0)
    d["y"] = (d["x"] + 0.2 * d["z"] > 0.1).astype(int)
    _, b = both("y ~ x + z", d, cut(d, 9000), family="binomial", control=glimm.Control(max_iter=30))
    assert told(b) == ("separated", list(range(N)), ("Intercept", "x", "z"))
    assert b.record.solution.evidence["kind"] == "complete"


@pytest.mark.parametrize("vcov", ["HC1", {"cluster": "k"}])
def test_other_errors_of_what_is_left(vcov: Any) -> None:
    d = drawn(5).assign(k=np.arange(N) % 50)
    d.loc[d.index[-9:], "g"], d.loc[d.index[-9:], "y"] = "late", 1
    _, b = both("y ~ x + g", d, cut(d, 9000), errors=1e-11, family="binomial", vcov=vcov)
    assert told(b)[1:] == (list(range(N - 9, N)), ("g[T.late]",))


def test_few_rows_are_held_in_dense_form(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []

    def counted(matrix: Matrix, rows: Ints) -> Matrix:
        taken.append(len(rows))
        return take_matrix(matrix, rows)

    monkeypatch.setattr(recession, "take_matrix", counted)
    d = drawn(6)
    d.loc[d["g"] == "b", "y"] = 0
    both("y ~ x + z + g", d, cut(d, 9000), family="binomial")
    assert 0 < sum(taken) < 0.25 * N  # of both fits


@pytest.mark.parametrize("family", ["binomial", "poisson"])
def test_a_healthy_fit_asks_nothing_of_the_rows(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("overlap", "find", "endless", "counted_at_bound", "columns"):
        monkeypatch.setattr(glm_ending, name, lambda *args: pytest.fail("rows were read"))
    assert glimm.glm("y ~ x + z", cut(drawn(7, family), 9000), family=family).converged


def test_extreme_means_are_settled_in_one_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the scores at the estimates, without a programme."""
    d = drawn(8).fillna(0.0)
    d["y"] = (np.random.default_rng(8).random(N) < 1.0 / (1.0 + np.exp(-5.0 * d["x"]))).astype(int)
    passes: list[int] = []
    scored = glm_ending.End.scored
    monkeypatch.setattr(glm_ending.End, "scored", lambda end: (passes.append(1), scored(end))[1])
    monkeypatch.setattr(glm_ending, "find", lambda *args: pytest.fail("a programme was solved"))
    fit = glimm.glm("y ~ x + z", cut(d, 9000), family="binomial")
    assert fit.converged
    assert len(passes) == 1
