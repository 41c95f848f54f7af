"""Generalised score tests of a GEE: T = S'M L'(L V L')^-1 L M S at the restricted estimates, S = sum U_i, V = M (sum U_i U_i') M.

Source: Rotnitzky and Jewell (1990), Biometrika 77, 485-497; Boos (1992), Am. Stat. 46, 327-333.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ..design.coordinates import to_named
from ..design.records import Part
from ..design.stream import need_rows
from ..errors import GlimmError
from ..estimators.gee import pieces
from ..estimators.restricted import fit_restricted, null_space
from ..kernels import inverse_or_nan
from ..kernels.matrix import Floats
from ..records import AnyRecord, GeeRecord, Record
from .comparable import same
from .hypotheses import HypothesisTest, finished, quadratic_form, without
from .small_sample import asked_of

NESTED = 1e-7
RULE = "no score test"


def score_test(record: GeeRecord, contrasts: Floats, vcov: object, text: tuple[str, ...] = ()) -> HypothesisTest:
    """The test of L b = 0, the restricted model fitted for it.

    contrasts : (r, p) L on the coefficients as named; vcov : "model" has M in place of V and divides by the restricted dispersion
    """
    need_rows(record.design)
    try:
        under = fit_restricted(record, contrasts)
        return score_at(under, contrasts @ to_named(record.design.mean), vcov, text)
    except GlimmError as error:
        return without("score", None, text, f"{RULE}: the restricted model has no fit ({error})")
    except np.linalg.LinAlgError:
        return without("score", None, text, f"{RULE}: the equations of the restricted model are singular")


def score_at(under: GeeRecord, contrasts: Floats, vcov: object, text: tuple[str, ...]) -> HypothesisTest:
    """The test at restricted estimates that stand in a record of the large design; contrasts : (r, p) on the working coefficients."""
    p = under.design.mean.matrix.p
    bread, total, squares = np.zeros((p, p)), np.zeros(p), np.zeros((p, p))
    for curvatures, scores in pieces(under, next(iter(under.design.clusters)), curvatures=True):
        assert curvatures is not None
        bread += curvatures.sum(axis=0)
        total += scores.sum(axis=0)
        squares += scores.T @ scores
    inverse = inverse_or_nan(bread)
    if not np.isfinite(inverse).all():
        return without("score", None, text, f"{RULE}: the curvature at the restricted estimates is singular")
    moved = contrasts @ inverse
    meat = under.scale * bread if asked_of(vcov).kind == "model" else squares
    statistic, rank = quadratic_form(moved @ total, moved @ meat @ moved.T)
    note = "" if under.solution.code in ("converged", "boundary") else f"the restricted fit: {under.solution.message}"
    return finished("score", statistic, rank, len(contrasts), None, text, note)


def nested(large: Record, small: Record, what: str) -> tuple[Floats, Floats]:
    """((p, q) B with X_small = X_large B on working columns, (r, p) the restrictions that make the large model the small one).

    what : the caller, for errors. Raises GlimmError unless both are of the same rows, response, family, link, weights and offset, and
    the columns of the small one are combinations of those of the large one.
    """
    a, b = large.design, small.design
    if a.response.name != b.response.name or len(a.y) != len(b.y) or not np.array_equal(a.rows, b.rows) or not np.array_equal(a.y, b.y):
        raise GlimmError(
            f"{what}: the fits do not have the same responses on the same rows: fit both to the rows that are complete for both"
        )
    kinds = [(r.family.name, r.family.fixed, r.design.mean.link.name) for r in (large, small)]
    if kinds[0] != kinds[1]:
        shown = " and ".join(f"{family} {link}" for family, _, link in kinds)
        raise GlimmError(f"{what}: the fits have different families or links ({shown}): they must be the same")
    for name, mine, theirs in (("weights", a.weights, b.weights), ("trials", a.trials, b.trials)):
        if not same(mine, theirs) or (mine is not None and theirs is not None and a.weights_kind != b.weights_kind):
            raise GlimmError(f"{what}: the fits have different {name}: they must be the same")
    zero = np.zeros(len(a.y))
    offsets = [zero if d.mean.offset is None else d.mean.offset for d in (a, b)]
    if not np.allclose(offsets[0], offsets[1], rtol=1e-9, atol=1e-12):
        raise GlimmError(f"{what}: the fits have different offsets: they must be the same")
    basis = in_columns(large, small, what)
    restrictions = null_space(np.asarray(basis.T)).T
    if not len(restrictions):
        raise GlimmError(f"{what}: both models have the same columns, so there is nothing to test: give the smaller model as the argument")
    return basis, restrictions


def in_columns(large: AnyRecord, small: AnyRecord, what: str) -> Floats:
    """`inside` of the mean models of two fits."""
    return inside(large.design.mean, small.design.mean, what)


def inside(large: Part, small: Part, what: str) -> Floats:
    """(p, q) B with X_small = X_large B on working columns; raises GlimmError naming a column of the small model that is none of these."""
    wide, narrow = ((part.matrix.dense() - part.center) / part.scale for part in (large, small))
    basis = np.linalg.lstsq(wide, narrow, rcond=None)[0]
    off = np.sqrt(np.mean((narrow - wide @ basis) ** 2, axis=0))
    if (bad := np.flatnonzero(off > NESTED)).size:
        raise GlimmError(
            f"{what}: the small model is not nested in this one: {small.names[int(bad[0])]!r} is no combination of its columns "
            f"({', '.join(large.names)})"
        )
    return np.asarray(basis)


def compare_score(large: GeeRecord, small: GeeRecord, vcov: object) -> HypothesisTest:
    """The score test of the small model in the large one, at the small fit's own estimates, correlations and dispersion.

    Raises GlimmError as `nested` does, and for other clusters, another working correlation or moment rule.
    """
    what = "compare_score_test"
    basis, restrictions = nested(large, small, what)
    mine, theirs = large.clusters, small.clusters
    if not (np.array_equal(mine.order, theirs.order) and np.array_equal(mine.starts, theirs.starts)):
        raise GlimmError(f"{what}: the fits have different clusters or times: groups= and time= must be the same")
    for name, one, other in (("corr", large.corr, small.corr), ("moments", large.moments, small.moments)):
        if one != other:
            raise GlimmError(f"{what}: {name} is {one!r} here and {other!r} in the small fit: fit both with the same {name}")
    if large.corr_names != small.corr_names:
        raise GlimmError(f"{what}: the fits have different correlation parameters: fit both with the same corr")
    given: list[Any] = [getattr(r.working, "given", None) for r in (large, small)]
    if not (given[0] is given[1] or (isinstance(given[0], np.ndarray) and np.array_equal(given[0], given[1]))):
        raise GlimmError(f"{what}: corr is {large.corr!r} in both fits, but not the same matrix: fit both with the same corr")
    part = small.design.mean
    work = basis @ np.linalg.solve(to_named(part), small.vector)
    vector = to_named(large.design.mean) @ work
    under = replace(large, vector=vector, eta=small.eta, alpha=small.alpha, scale=small.scale, solution=small.solution)
    return score_at(under, restrictions, vcov, in_terms(large, small))


def in_terms(large: Record, small: Record) -> tuple[str, ...]:
    """The hypothesis in words."""
    extra = [name for name in large.design.mean.names if name not in small.design.mean.names]
    without_words = f" (without {', '.join(extra)})" if extra else ""
    return (f"{small.design.spec.formula.text} within {large.design.spec.formula.text}{without_words}",)
