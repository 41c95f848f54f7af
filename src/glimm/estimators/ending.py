"""How a mixed model's search ended, in words about its random effects."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np

from ..covariance.correlated import CORRELATED, n_sds, theta
from ..covariance.layout import Curve, Layout, Shape, Shapes, theta_names
from ..design.records import Part, RandomTerm
from ..family import Family
from ..kernels import Optimum
from ..kernels.matrix import Floats
from ..records import Solution, SolutionCode

NOTHING = 1e-7
PERFECT = 1e-6
SHARE = 0.3
SMALLEST = 1e-100
HUGE = 1e6
HARMLESS = 1e-6
STOPPED = "stopped after"


def mixed_solution(optimum: Optimum, shapes: tuple[Shape, ...], roots: tuple[Floats, ...], terms: tuple[RandomTerm, ...]) -> Solution:
    """Code, sentence and evidence; roots : per term (k, k), b = root u in the named effects.

    A search that was stopped with a Newton decrement below 1e-6 in -2 log L is at its end: no estimate moves by 0.001 standard errors.
    """
    code: SolutionCode = "converged"
    message = f"converged in {optimum.evaluations} evaluations"
    active: tuple[str, ...] = ()
    lost = [lost_rank(root, term) for shape, root, term in zip(shapes, roots, terms, strict=True) if shape.rank < shape.k]
    if lost:
        code = "boundary"
        message = "; ".join(one.said for one in lost)
        active = tuple(name for one in lost for name in one.names)
    limits = [at_limit(shape, term) for shape, term in zip(shapes, terms, strict=True) if isinstance(shape, Curve) and shape.at_limit.any()]
    if limits:
        message = "; ".join([message] * (code == "boundary") + [said for said, _ in limits])
        code, active = "boundary", (*active, *(name for _, names in limits for name in names))
    if not optimum.converged and 0.0 <= optimum.decrement < HARMLESS:
        if code == "converged":
            message = f"{STOPPED} {optimum.evaluations} evaluations; a step more would change -2 log L by {optimum.decrement:.1g} only"
    elif not optimum.converged:
        code = "not_converged"
        message = f"no convergence in {optimum.evaluations} evaluations (Newton decrement {optimum.decrement:.1e} in -2 log L)"
        for shape, term in zip(shapes, terms, strict=True):
            if isinstance(shape, Layout) and shape.size > 1:
                fewer = "fewer random effects" if shape.independent else f"fewer random effects, or independent ones, (... || {term.group})"
                message += f"; {shape.size} variances and covariances of {term.group} may be more than the data tell: try {fewer}"
    return Solution(code, message, optimum.evaluations, optimum.decrement, optimum.gradient, active)


class Lost(NamedTuple):
    """What a covariance matrix without full rank says: kind, in words, and of which parameters."""

    kind: Literal["variance", "correlation", "rank"]
    said: str
    names: tuple[str, ...]


def lost_rank(root: Floats, term: RandomTerm) -> Lost:
    """Variances of zero, correlations of one, or a combination of several effects."""
    sd = np.hypot.reduce(root, axis=1)
    if term.times is not None or (term.structure in CORRELATED and CORRELATED[term.structure].one_sd and not sd.any()):
        return _no_variance((f"{term.group}.sd",))
    weight = sd * np.sqrt((term.z**2).mean(axis=0))
    zero = np.flatnonzero(weight <= NOTHING * max(float(weight.max(initial=0.0)), 1e-300))
    if not weight.any():
        zero = np.arange(len(sd))
    if len(zero):
        return _no_variance(tuple(f"{term.group}.{term.names[c]}" for c in zero))
    pairs = [
        (a, b, float(root[a] @ root[b]) / (sd[a] * sd[b]))
        for b in range(len(sd))
        for a in range(b)
        if abs(float(root[a] @ root[b])) > (1.0 - PERFECT) * sd[a] * sd[b]
    ]
    if pairs:
        said = ", ".join(f"{term.names[a]} and {term.names[b]} of {term.group} is {r:+.0f}" for a, b, r in pairs)
        names = tuple(f"{term.group}.{term.names[b]}.{term.names[a]}" for a, b, _ in pairs)
        return Lost("correlation", f"the estimated correlation of {said}: the data do not tell these effects apart", names)
    rank = int(np.linalg.matrix_rank(root / sd[:, None], tol=1e-8))
    rest = "one is a combination" if len(sd) - rank == 1 else f"{len(sd) - rank} of them are combinations"
    said = f"the estimated covariance matrix of the {len(sd)} effects of {term.group} has rank {rank}: {rest} of the others"
    return Lost("rank", said, (f"{term.group}.{term.names[-1]}",))


def _no_variance(names: tuple[str, ...]) -> Lost:
    said = f"the estimated variance of {', '.join(names)} is zero: clusters differ no more than chance within them explains"
    return Lost("variance", said, names)


def at_limit(curve: Curve, term: RandomTerm) -> tuple[str, tuple[str, ...]]:
    """What is said of correlations that no values of their parameters reach, and the names of these."""
    m = n_sds(curve.structure, curve.k)
    effects = term.names if term.times is None else term.names * curve.k
    names = np.array(theta_names(term.structure, effects, term.group))[curve.at_limit]
    par = curve.par(curve.held[curve.free])
    values = theta(curve.structure, par, curve.k)[curve.at_limit]
    shown = "infinite" if abs(values[0]) > HUGE else f"{round(float(values[0]), 6) + 0.0:g}"
    said = f"the estimate of {names[0]} is {shown}, the limit of what {term.structure} can have"
    if len(curve.free) > m + 1:
        said = f"the estimated correlations of {term.group} are at the limit of what {term.structure} can have, a singular matrix"
    return f"{said}: the data do not tell these effects apart" if shown != "infinite" else said, tuple(names.tolist())


def parameter_names(part: Part, shapes: Shapes, family: Family | None) -> tuple[str, ...]:
    """What the entries of (beta | theta of each term | psi) are; family : None where it has no parameters in the vector (an LMM)."""
    random = [
        name if s.complete and len(names) == s.size else f"{term.group} ({term.structure}, {j + 1} of {s.size})"
        for term, s in zip(part.random, shapes, strict=True)
        for names in (theta_names(term.structure, term.names, term.group),)
        for j, name in enumerate(names[: s.size])
    ]
    return (*part.names, *random, *(family.estimated if family is not None else ()))


def weakest(curvature: Floats, names: tuple[str, ...]) -> tuple[float, dict[str, float]]:
    """Smallest eigenvalue of the curvature with a diagonal of ones, and its eigenvector's large entries by name."""
    diagonal = np.abs(np.diag(curvature))
    root = np.sqrt(np.where(diagonal > SMALLEST * diagonal.max(initial=0.0), diagonal, 1.0))
    values, vectors = np.linalg.eigh(curvature / root[:, None] / root)
    v = vectors[:, 0] * np.sign(vectors[np.argmax(np.abs(vectors[:, 0])), 0])
    order = [j for j in np.argsort(-np.abs(v)) if abs(v[j]) >= SHARE]
    return float(values[0]), {names[j]: float(v[j]) for j in order}
