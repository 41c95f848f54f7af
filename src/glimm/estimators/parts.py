"""A GLM with zero inflation, a model of its dispersion, or both: maximum likelihood in all coefficients together, by Newton's method.

f(y_i) = pi_i 1{y_i = 0} + (1 - pi_i) g(y_i; mu_i, psi_i); link(mu), logit(pi) and log psi linear.
"""

from __future__ import annotations

import numpy as np

from ..design.coordinates import to_named
from ..design.records import Clusters, Design
from ..errors import GlimmError
from ..family import Family
from ..kernels import Optimum, Rows, parts_jets
from ..kernels.matrix import Floats
from ..records import PartsRecord
from ..version import VERSION
from .control import Control
from .joint import descend
from .parts_ending import parts_solution, told_directions
from .parts_start import starts
from .predictors import Predictors, predictors


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
    """The best end of several starts: of two with a zero part, whose likelihood may have several tops, else of one that ends inside.

    More are tried where coefficients run off from all of them.
    """
    free = np.ones(problem.size, dtype=bool)
    tried: list[Optimum] = []
    for start in starts(problem, control):
        tried.append(descend(problem.evaluate, start, free, control))
        best = min(tried, key=lambda found: (not found.converged, found.value))
        inside = best.converged and told_directions(problem, best)[0].shape[1] == problem.size
        if inside and len(tried) > ("zero" in problem.names):
            break
    return best


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
