"""How a search in several predictors ended: which directions the data tell, and words for those that they do not.

A direction is told if the curvature along it, in a move of one standard deviation of its linear predictor, is above 1e-4:
on a log or logit scale its standard error is then below 100. Means on other scales are held against their own largest curvature.
"""

from __future__ import annotations

import numpy as np

from ..design.coordinates import to_named
from ..family import Family
from ..kernels import Optimum, inverse, mean, positive_definite
from ..kernels.matrix import Floats
from ..records import Solution, SolutionCode
from ..text import counted, listed
from .predictors import Predictors
from .separation import bounded, edge

TOLD, LARGEST, HUGE = 1e-4, 1e6, 1e100
MOVED = 1e-3
NONE = 1e-3
SCALES = ("log", "logit", "probit", "cloglog", "loglog", "cauchit")
Lost = dict[str, tuple[str, ...]]


def told_directions(problem: Predictors, found: Optimum) -> tuple[Floats, Lost]:
    """(P, r) T, directions that the data tell, and by part the coefficients that have no finite estimate."""
    curvature = 0.5 * found.hessian
    if not np.abs(curvature).max() < HUGE**2:
        return np.eye(problem.size), {}
    scale = np.zeros_like(curvature)
    for k, part in enumerate(problem.parts):
        at = problem.at(k)
        root = _root(problem, k)
        if k == 0 and part.link.name not in SCALES:
            largest = float(np.linalg.eigvalsh(root.T @ curvature[at, at] @ root)[-1])
            root = root * np.sqrt(LARGEST / largest) if largest > 0.0 else root
        scale[at, at] = root
    unit = scale.T @ curvature @ scale
    if not np.isfinite(unit).all() or np.abs(unit).max() > HUGE:
        return np.eye(problem.size), {}  # a density without a largest value: the search has not ended
    values, vectors = np.linalg.eigh(unit)
    kept = values > TOLD
    if kept.all():
        return np.eye(problem.size), {}
    return scale @ vectors[:, kept], _lost(problem, scale, vectors[:, ~kept])


def _root(problem: Predictors, k: int) -> Floats:
    """(p, p) R with R'(X'X / n)R = I, working columns; where they are collinear but for rounding, of their lengths alone."""
    gram = problem.cross(k, k, np.full(problem.design.n, 1.0 / problem.design.n))
    if not positive_definite(gram):
        return np.diag(1.0 / np.sqrt(np.diag(gram)))
    return inverse(np.asarray(np.linalg.cholesky(gram))).T


def _lost(problem: Predictors, scale: Floats, vectors: Floats) -> Lost:
    """Coefficients as named that the directions left out move."""
    out: Lost = {}
    for k, (name, part) in enumerate(zip(problem.names, problem.parts, strict=True)):
        at = problem.at(k)
        a = to_named(part) @ scale[at, at]
        moved = np.abs(a @ vectors[at]).max(axis=1) > MOVED * np.abs(a).sum(axis=1)
        if moved.any():
            out[name] = tuple(np.array(part.names)[moved].tolist())
    return out


def parts_solution(problem: Predictors, found: Optimum, lost: Lost) -> Solution:
    """Code, sentence and evidence."""
    family, link = problem.family, problem.design.mean.link
    code: SolutionCode = "converged" if found.converged else "not_converged"
    message = f"{'converged' if found.converged else 'no convergence'} in {found.evaluations} evaluations"
    evidence: dict[str, object] = {}
    if lost:
        evidence["infinite"] = lost
    if (lost or not found.converged) and (said := _exact(problem, found)):
        code, message = "not_converged", f"no convergence in {found.evaluations} evaluations; {said}"
    elif found.converged and lost:
        edges = [said for name in lost if (said := _edge(problem, found, name, lost))]
        code = "boundary" if len(edges) == len(lost) else "separated"
        message = "; ".join(edges) if code == "boundary" else without_estimate(lost, "zero" in problem.names)
    if bounded(family, link) and (said := edge(family, link, _means(problem, found))):
        code, message = "not_converged", said
    return Solution(code, message, found.evaluations, found.decrement, -0.5 * found.gradient, evidence=evidence)


def without_estimate(lost: Lost, zero: bool) -> str:
    """The sentence about coefficients of some parts that run off; zero : whether there is a zero part."""
    named = [f"{', '.join(names)} of the {_part_words(part)}" for part, names in lost.items()]
    one = sum(len(names) for names in lost.values()) == 1
    have, run = ("has", "it runs") if one else ("have", "they run")
    where = "a group of rows has only zeros, or varies no more than Poisson counts: leave terms out"
    if zero:
        where = "some rows have no extra zeros at all, or nothing else, and where two parts explain the same zeros: leave terms out of one"
    said = f"{listed(named)} {have} no finite estimate and no standard error: the likelihood hardly changes as {run} off"
    return f"{said}. This happens where {where}"


def _part_words(name: str) -> str:
    return {"mean": "mean", "zero": "zero part", "dispersion": "dispersion part", "family": "family"}[name]


def _edge(problem: Predictors, found: Optimum, name: str, lost: Lost) -> str:
    """What is to be said of a part that has gone as a whole to where the model is a simpler one; nothing elsewhere."""
    k = problem.names.index(name)
    if len(lost[name]) < len(problem.parts[k].names):
        return ""
    eta = problem.rows[k].eta(found.x[problem.at(k)])
    family, plain = problem.family, problem.family.name
    if name == "zero" and float(eta.max()) < np.log(NONE):
        return f"the estimated probability of an extra zero is zero: the counts have no more zeros than {plain} counts, leave out zero="
    return _no_overdispersion(family, eta) if name in ("dispersion", "family") else ""


def _no_overdispersion(family: Family, psi: Floats) -> str:
    simpler = "the counts vary no more than Poisson counts, use family='poisson'"
    if family.name == "negative_binomial" and float(psi.min()) > -np.log(NONE):
        return f"the estimated k has no end: {simpler}"
    if family.name == "negative_binomial1" and float(psi.max()) < np.log(NONE):
        return f"the estimated alpha is zero: {simpler}"
    return ""


def _exact(problem: Predictors, found: Optimum) -> str:
    """What is to be said of a group of rows that the mean fits exactly: its density has no largest value."""
    sign = {"gaussian": 1.0, "gamma": 1.0, "beta": -1.0}.get(problem.family.name, 0.0)
    if "dispersion" not in problem.names or sign == 0.0:
        return ""
    psi = sign * problem.rows[-1].eta(found.x[problem.at(len(problem.names) - 1)])
    rows = int(np.sum(psi < psi.max() + 2.0 * np.log(NONE)))
    return (
        f"the dispersion goes to zero in {counted(rows, 'row')}, which the mean fits exactly: leave a term out of dispersion="
        if rows
        else ""
    )


def _means(problem: Predictors, found: Optimum) -> Floats:
    return mean(problem.design.mean.link.kernel, problem.rows[0].eta(found.x[problem.at(0)]))[0]
