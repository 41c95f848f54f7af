"""How a mixed model's search ended, in words about its random effects."""

from __future__ import annotations

import numpy as np

from ..covariance.layout import Layout
from ..design.records import RandomTerm
from ..kernels import Optimum
from ..kernels.matrix import Floats
from ..records import Solution, SolutionCode

NOTHING = 1e-7
PERFECT = 1e-6


def mixed_solution(optimum: Optimum, layout: Layout, root: Floats, term: RandomTerm) -> Solution:
    """Code, sentence and evidence; root (k, k) : b = root u, in the named effects."""
    code: SolutionCode = "converged"
    message = f"converged in {optimum.evaluations} evaluations"
    active: tuple[str, ...] = ()
    if layout.rank < layout.k:
        code = "boundary"
        message, active = lost_rank(root, term)
    if not optimum.converged:
        code = "not_converged"
        message = f"no convergence in {optimum.evaluations} evaluations (Newton decrement {optimum.decrement:.1e} in -2 log L)"
        if layout.k > 1:
            fewer = "fewer random effects" if layout.independent else f"fewer random effects, or independent ones, (... || {term.group})"
            message += f"; {layout.size} variances and covariances of {term.group} may be more than the data tell: try {fewer}"
    return Solution(code, message, optimum.evaluations, optimum.decrement, optimum.gradient, active)


def lost_rank(root: Floats, term: RandomTerm) -> tuple[str, tuple[str, ...]]:
    """What a covariance matrix without full rank says of the effects: variances of zero, correlations of one, or a combination."""
    sd = np.linalg.norm(root, axis=1)
    weight = sd * np.sqrt((term.z**2).mean(axis=0))
    zero = np.flatnonzero(weight <= NOTHING * max(float(weight.max(initial=0.0)), 1e-300))
    if not weight.any():
        zero = np.arange(len(sd))
    if len(zero):
        names = tuple(f"{term.group}.{term.names[c]}" for c in zero)
        return f"the estimated variance of {', '.join(names)} is zero: clusters differ no more than chance within them explains", names
    pairs = [
        (a, b, float(root[a] @ root[b]) / (sd[a] * sd[b]))
        for b in range(len(sd))
        for a in range(b)
        if abs(float(root[a] @ root[b])) > (1.0 - PERFECT) * sd[a] * sd[b]
    ]
    if pairs:
        said = ", ".join(f"{term.names[a]} and {term.names[b]} of {term.group} is {r:+.0f}" for a, b, r in pairs)
        names = tuple(f"{term.group}.{term.names[b]}.{term.names[a]}" for a, b, _ in pairs)
        return f"the estimated correlation of {said}: the data do not tell these effects apart", names
    rank = int(np.linalg.matrix_rank(root / sd[:, None], tol=1e-8))
    return (
        f"the estimated covariance matrix of the {len(sd)} effects of {term.group} has rank {rank}: one is a combination of the others",
        (f"{term.group}.{term.names[-1]}",),
    )
