"""Separation: likelihoods that rise for ever as some coefficients go to infinity, so that fitted means reach 0 or 1.

Told from an extreme row by the information left, lambda_min(G^-1/2 I G^-1/2) with G = X'X, and by whether a next step still moves eta.
Source: Albert and Anderson (1984), Biometrika 71, 1-10.
"""

from __future__ import annotations

import numpy as np

from ..design.records import Design
from ..family import Family, Link
from ..kernels import Rows, inverse, positive_definite, solve, variance
from ..kernels.matrix import Floats

FITTED_EXTREME = 1e-9
DRIFT = 1e-3
VANISHED = 1e-8


def rows_at_bound(family: Family, mu: Floats) -> int:
    """Rows whose fitted probability is 0 or 1, or whose fitted count is 0, to within 1e-9."""
    if family.name == "binomial":
        return int(np.sum((mu < FITTED_EXTREME) | (mu > 1.0 - FITTED_EXTREME)))
    return int(np.sum(mu < FITTED_EXTREME * mu.mean())) if family.support == "count" else 0


def separated_rows(design: Design, family: Family, mu: Floats, information: Floats, score: Floats) -> int:
    """Rows at the bound where the search has no end, 0 if it has one.

    It has none if the information has vanished in some direction, or a next step would still move some linear predictor.
    Fitted means at the bound alone are not separation: an extreme predictor has them too. Working columns throughout.
    """
    at_bound = rows_at_bound(family, mu)
    if not at_bound:
        return 0
    part = design.mean
    rows = Rows(part.matrix, part.center, part.scale, size=design.size)
    if not positive_definite(information):
        return at_bound
    root = inverse(np.asarray(np.linalg.cholesky(rows.gram()), dtype=np.float64))
    weakest = float(np.linalg.eigvalsh(root @ information @ root.T)[0])
    typical = float(variance(family.kernel, np.array([design.y.mean()]), family.psi())[0])
    moved = float(np.abs(rows.eta(solve(information, score))).max(initial=0.0))
    return at_bound if weakest < VANISHED * typical or moved > DRIFT else 0


def bounded(family: Family, link: Link) -> bool:
    """Whether a finite linear predictor can lead out of the family's means."""
    if link.name == "identity":
        return family.support != "real"
    if link.name == "log":
        return family.support in ("binomial", "unit")
    return link.name not in ("logit", "probit", "cloglog", "loglog", "cauchit")


def separated(family: Family, rows: int, n: int) -> str:
    """The sentence about them."""
    what = "probabilities of 0 or 1" if family.name == "binomial" else "means of 0"
    return (
        f"fitted {what} in {rows} of {n} rows: some combination of predictors separates the outcomes, "
        "so the largest coefficients and standard errors have no finite estimate"
    )
