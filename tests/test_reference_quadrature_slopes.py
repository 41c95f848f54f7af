"""Several random effects per cluster against brute force (aghq_slopes.py): the K^q-point sum at fixed vectors, its limit, its maximum."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from glimm.estimators.points import rule
from glimm.family import FAMILIES, LINKS
from glimm.kernels import Block, Matrix, MixedModel, Rows
from support import assert_covariance, data, ids, stored, vector_covariance
from support_slopes import assert_slopes, slopes_fit

FIXED = ids("aghq_slopes", "fixed vector")
EVALUATIONS = [(name, int(points)) for name in FIXED for points in stored("aghq_slopes")[name]["loglik"]]
FITS = ids("aghq_slopes", "glmm")


def expression(frame: pd.DataFrame, text: str) -> np.ndarray:
    """A stored expression of columns as numbers, one per row."""
    names = {name: frame[name].to_numpy() for name in frame.columns}
    return np.broadcast_to(np.asarray(eval(text, {"log": np.log}, names), dtype=float), len(frame)).copy()


def kernel(entry: dict) -> MixedModel:
    """The rows of an entry as the kernels take them, clusters together, working columns = columns."""
    frame = data(entry["data"])
    if "design" in entry:
        frame = frame[frame["design"] == entry["design"]]
    refs = pd.factorize(frame[entry["group"]])[0]
    order = np.argsort(refs, kind="stable")
    starts = np.concatenate([[0], np.cumsum(np.bincount(refs))]).astype(np.int64)
    blocks = tuple(Block(np.array([j]), expression(frame, text)) for j, text in enumerate(entry["fixed"]))
    matrix = Matrix(len(frame), len(blocks), blocks)
    z = np.column_stack([expression(frame, text) for text in entry["random"]])
    trials = expression(frame, entry["trials"]) if "trials" in entry else None
    y = expression(frame, entry["response"]) / (1.0 if trials is None else trials)
    offset = expression(frame, entry["offset"]) if "offset" in entry else None
    rows = Rows(matrix, np.zeros(matrix.p), np.ones(matrix.p), y, trials, offset, order)
    return MixedModel(rows, starts, z, z.shape[1], None if trials is None else trials[order], None)


def loglik(entry: dict, points: int) -> float:
    kernels = FAMILIES[entry["family"]].kernel, LINKS[entry["link"]].kernel
    e = kernel(entry).quadrature(*kernels, np.array(entry["vector"]), 0, *rule(points, len(entry["random"])))
    assert e.ok
    return -0.5 * e.deviance


@pytest.mark.parametrize(("name", "points"), EVALUATIONS)
def test_the_sum_at_a_fixed_vector(name, points):
    entry = stored("aghq_slopes")[name]
    assert loglik(entry, points) == pytest.approx(entry["loglik"][str(points)], abs=1e-8)


@pytest.mark.parametrize("name", FIXED)
def test_laplace_is_the_sum_of_one_point(name):
    entry = stored("aghq_slopes")[name]
    e = kernel(entry).laplace(FAMILIES[entry["family"]].kernel, LINKS[entry["link"]].kernel, np.array(entry["vector"]), 0)
    assert -0.5 * e.deviance == pytest.approx(entry["loglik"]["1"], abs=1e-8)


@pytest.mark.parametrize("name", [name for name in FIXED if "integral" in stored("aghq_slopes")[name]])
def test_many_points_reach_the_integral(name):
    entry = stored("aghq_slopes")[name]
    assert abs(entry["integral_change"]) < 1e-9
    points = 35 if len(entry["random"]) == 2 else 12
    tolerance = 1e-6 if len(entry["random"]) == 2 else 1e-4
    assert loglik(entry, points) == pytest.approx(entry["integral"], abs=tolerance)


@pytest.mark.parametrize("name", FITS)
def test_the_maximum(name):
    entry = stored("aghq_slopes")[name]
    assert entry["newton_step"] < 1e-6
    fit = slopes_fit("aghq_slopes", name)
    assert fit.converged
    assert abs(fit.llf - entry["loglik"]) < 1e-7
    assert fit.points == entry["points"]
    assert_slopes(fit, entry, coef=1e-4, se=1e-4)
    assert_covariance(vector_covariance(fit), entry["vcov_all"], 1e-4, "covariance of coefficients, theta and log sigma")
