"""A GLM with zero inflation, a model of its dispersion, or both: maximum likelihood in all coefficients together, by Newton's method.

f(y_i) = pi_i 1{y_i = 0} + (1 - pi_i) g(y_i; mu_i, psi_i); link(mu), logit(pi) and log psi linear.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..design.coordinates import to_named
from ..design.records import Clusters, Design
from ..errors import GlimmError
from ..family import Family
from ..kernels import Optimum, Rows, mean, parts_jets, solve
from ..kernels.matrix import Floats
from ..records import PartsRecord
from ..version import VERSION
from .control import Control
from .irls import mean_rows
from .joint import begin, descend
from .parts_ending import parts_solution, told_directions
from .predictors import Predictors, predictors

LEAST, MOST = 0.02, 0.95
HALF = 0.5


def fit_parts(design: Design, family: Family, control: Control) -> PartsRecord:
    """Fit it.

    Returns the record; raises GlimmError if no starting values are inside the family's range, or no row is left for a parameter.
    Source: Lambert (1992), Technometrics 34, 1-14; Smyth (1989), J. R. Stat. Soc. B 51, 47-60.
    """
    problem = predictors(design, family, control.n_threads)
    if design.n <= problem.size:
        raise GlimmError(f"{design.n} rows for {problem.size} parameters of {', '.join(problem.names)}: leave out terms")
    found = _search(problem, control)
    return _record(problem, found)


def _search(problem: Predictors, control: Control) -> Optimum:
    """The best end; a second start, with more extra zeros, where the first one ran to none of them or did not end."""
    free = np.ones(problem.size, dtype=bool)
    starts = list(_starts(problem, control))
    found = descend(problem.evaluate, starts[0], free, control)
    for start in starts[1:]:
        if found.converged and told_directions(problem, found)[0].shape[1] == problem.size:
            break
        other = descend(problem.evaluate, start, free, control)
        if (other.converged, -other.value) > (found.converged, -found.value):
            found = other
    return found


def _starts(problem: Predictors, control: Control) -> Iterator[Floats]:
    """Working parameters to begin from: the plain model's, and zeros beyond those of a Poisson model as extra ones, half or all of them."""
    design, family = problem.design, problem.family
    rows = mean_rows(design, control.n_threads)
    scoring, psi = begin(design, family, design.mean.link, control, rows)
    if family.name == "gaussian":
        psi = HALF * psi  # of the variance
    eta = rows.eta(scoring.beta)
    excess = _excess(design, eta) if "zero" in problem.names else 0.0
    for share in (HALF, 1.0) if "zero" in problem.names else (0.0,):
        pi = min(max(share * excess, LEAST), MOST)
        v = np.zeros(problem.size)
        v[problem.at(0)] = scoring.beta
        intercept = design.mean.intercept
        if "zero" in problem.names:
            v[problem.at(1)] = _level(problem, 1, float(np.log(pi / (1.0 - pi))))
            if intercept is not None and design.mean.link.name == "log" and control.start is None:
                v[intercept] -= np.log1p(-pi)
        if problem.names[-1] in ("dispersion", "family"):
            more = share if family.name == "negative_binomial" else -share  # what is an extra zero is no variation of counts
            last = len(problem.names) - 1
            v[problem.at(last)] = _level(problem, last, float(psi[0]) + (more if "zero" in problem.names else 0.0))
        yield v


def _level(problem: Predictors, k: int, value: float) -> Floats:
    """The coefficients with which predictor k is nearest to one value."""
    part = problem.parts[k]
    target = np.full(problem.design.n, value) - (0.0 if part.offset is None else part.offset)
    found = Rows(part.matrix, part.center, part.scale, target).glm(0, 0, np.zeros(part.matrix.p))
    return solve(found.information, found.score)


def _excess(design: Design, eta: Floats) -> float:
    """The share of zeros that Poisson counts with these means do not have."""
    size = np.ones(design.n) if design.size is None else design.size
    mu = mean(design.mean.link.kernel, eta)[0]
    none = np.exp(-mu)
    chance = float(none @ size / size.sum())
    seen = float((design.y == 0.0) @ size / size.sum())
    return max(0.0, (seen - chance) / max(1.0 - chance, 1e-8))


def _record(problem: Predictors, found: Optimum) -> PartsRecord:
    design, family = problem.design, problem.family
    told, lost = told_directions(problem, found)
    vector = np.concatenate([to_named(part) @ found.x[problem.at(k)] for k, part in enumerate(problem.parts)])
    return PartsRecord(
        design=design,
        family=family,
        vector=vector,
        blocks={name: problem.at(k) for k, name in enumerate(problem.names)},
        eta={name: eta for name, eta in problem.etas(found.x).items() if name != "family"},
        curvature=0.5 * found.hessian,
        told=told,
        llf=-0.5 * found.value,
        solution=parts_solution(problem, found, lost),
        version=VERSION,
    )


def psi_of(record: PartsRecord) -> Floats | None:
    """(n,) the family's own parameter of each row on its transformed scale; None where it has none."""
    if "dispersion" in record.eta:
        return record.eta["dispersion"]
    free = record.vector[record.blocks["family"]] if "family" in record.blocks else ()
    psi = record.family.psi(free)
    return np.full(record.design.n, psi[0]) if len(psi) else None


def pieces(record: PartsRecord, clusters: Clusters) -> Floats:
    """(K, P) the score of each cluster in the working parameters."""
    design = record.design
    problem = predictors(design, record.family, 1)
    kernels = record.family.kernel, design.mean.link.kernel
    d1 = parts_jets(*kernels, design.y, record.eta["mean"], record.eta.get("zero"), psi_of(record), design.size)[1]
    columns = [
        Rows(part.matrix, part.center, part.scale, order=clusters.order).cluster_scores(d1[k], clusters.starts)
        for k, part in enumerate(problem.parts)
    ]
    return np.hstack(columns)
