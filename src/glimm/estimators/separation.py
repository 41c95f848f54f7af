"""Separation: likelihoods that rise for ever as some coefficients go to infinity, so that fitted means reach 0 or 1.

A GLM whose family has ends is judged exactly (glm_ending.py). Of other models it is told from an extreme row by the information left,
lambda_min(G^-1/2 I G^-1/2) with G = X'X, and by whether a next step still moves eta. What is left to estimate is here for all.
Source: Albert and Anderson (1984), Biometrika 71, 1-10.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from ..design.coordinates import to_named
from ..design.records import Design, Part
from ..design.totals import block_sum
from ..family import Family, Link
from ..kernels import Rows, inverse, inverse_or_nan, positive_definite, solve, variance
from ..kernels.matrix import Bools, Floats
from .source import Means

FITTED_EXTREME = 1e-6
DRIFT = 1e-3
VANISHED = 1e-8
RANK = 1e-9
MOVED = 1e-6
PENALISED = ("gaussian", "binomial", "poisson", "gamma", "inverse_gaussian", "negative_binomial", "tweedie")
Weighted = Callable[[], Iterable[tuple[Design, Floats, Floats]]]
"""Rows with their fitted means and weights, each (n,)."""
Kept = Callable[[], Iterable[tuple[Design, Bools, Floats]]]
"""Rows, which of them are kept, and their weights, each (n,)."""
END_OF_LINK = "the fit ends at the edge of what link"


def takes_penalty(family: Family) -> bool:
    """Whether coefficients of the family can be fitted with a penalty: no parameter of its own but a dispersion is estimated with them."""
    return isinstance(family.kernel, int) and family.name in PENALISED and not family.shaped


def rows_at_bound(family: Family, mu: Floats) -> int:
    """Rows whose fitted probability is 0 or 1, or whose fitted mean of a response that can be 0 is 0, to within 1e-6."""
    return int(np.sum(at_bound(family, mu)))


def at_bound(family: Family, mu: Floats, extreme: float = FITTED_EXTREME) -> Bools:
    """(n,) whether a row is one of them."""
    if family.support == "binomial":
        return np.asarray((mu < extreme) | (mu > 1.0 - extreme))
    if family.support not in ("count", "nonnegative"):
        return np.zeros(len(mu), dtype=np.bool_)
    part = mu / max(float(mu.max()), np.finfo(np.float64).tiny)
    return np.asarray(part < extreme * part.mean())


def separated_rows(design: Design, family: Family, mu: Floats, information: Floats, score: Floats, extreme: float = FITTED_EXTREME) -> int:
    """`endless` of a design and its fitted means (n,)."""
    return endless(lambda: ((design, mu),), design.totals.mean, family, information, score, extreme)


def endless(means: Means, center: float, family: Family, information: Floats, score: Floats, extreme: float = FITTED_EXTREME) -> int:
    """Rows at the bound where the search has no end, 0 if it has one.

    means : rows with their fitted means; center : the mean response
    It has none if the information has vanished in some direction, or a next step would still move some linear predictor.
    Fitted means at the bound alone are not separation: an extreme predictor has them too. Working columns throughout.
    """
    rows_there = counted_at_bound(family, means, extreme)
    if not rows_there:
        return 0
    if not positive_definite(information):
        return rows_there
    step, gram, moved = solve(information, score), np.zeros_like(information), 0.0
    for design, _ in means():
        part = design.mean
        rows = Rows(part.matrix, part.center, part.scale, size=design.size)
        gram += rows.gram()
        moved = max(moved, float(np.abs(rows.eta(step)).max(initial=0.0)))
    root = inverse(np.asarray(np.linalg.cholesky(gram), dtype=np.float64))
    weakest = float(np.linalg.eigvalsh(root @ information @ root.T)[0])
    typical = float(variance(family.kernel, np.array([center]), family.psi())[0])
    return rows_there if weakest < VANISHED * typical or moved > DRIFT else 0


def counted_at_bound(family: Family, means: Means, extreme: float = FITTED_EXTREME) -> int:
    """Rows at the bound, of rows in pieces."""
    if family.support != "binomial" and family.support not in ("count", "nonnegative"):
        return 0
    there = bound(family, means, extreme)
    return sum(int(np.sum(there(mu))) for _, mu in means())


def bound(family: Family, means: Means, extreme: float = FITTED_EXTREME) -> Callable[[Floats], Bools]:
    """What tells whether fitted means (n,) are at the bound, the means of all rows being these."""
    if family.support not in ("count", "nonnegative"):
        return lambda mu: at_bound(family, mu, extreme)
    top = max(max((float(mu.max(initial=0.0)) for _, mu in means()), default=0.0), float(np.finfo(np.float64).tiny))
    total, n = 0.0, 0
    for _, mu in means():
        total, n = block_sum(mu / top, total), n + len(mu)
    return lambda mu: np.asarray(mu / top < extreme * total / max(n, 1))


def limiting(design: Design, family: Family, mu: Floats, w: Floats) -> tuple[Floats, tuple[str, ...]]:
    """`limiting_over` of a design, its fitted means and w (n,)."""
    return limiting_over(lambda: ((design, mu, w),), family, design.mean)


def limiting_over(rows: Weighted, family: Family, part: Part) -> tuple[Floats, tuple[str, ...]]:
    """`remaining` of the rows that are not at the bound; rows : with their fitted means and expected information in eta."""
    there = bound(family, lambda: ((design, mu) for design, mu, _ in rows()))
    return remaining(lambda: ((design, ~there(mu), w) for design, mu, w in rows()), part)


def remaining(rows: Kept, part: Part) -> tuple[Floats, tuple[str, ...]]:
    """The inverse information (p, p) of the rows that are kept, and the coefficients that these do not determine.

    As some coefficients run off, the rows at the bound lose all weight, and the other coefficients are estimated from the rest.
    rows : with their fitted means and expected information in eta; part : the mean model
    Source: Geyer (2009), Electronic Journal of Statistics 3, 259-289.
    """
    gram, inner = np.zeros((part.matrix.p, part.matrix.p)), np.zeros((part.matrix.p, part.matrix.p))
    for design, kept, w in rows():
        columns = design.mean.matrix, part.center, part.scale
        gram += Rows(*columns, size=kept.astype(np.float64)).gram()
        inner += Rows(*columns, size=np.where(kept, w, 0.0)).gram()
    root = np.sqrt(np.where(gram.diagonal() > 0.0, gram.diagonal(), 1.0))
    values, vectors = np.linalg.eigh(gram / root[:, None] / root)
    told, lost = vectors[:, values > RANK] / root[:, None], vectors[:, values <= RANK] / root[:, None]
    inside = inverse_or_nan(told.T @ inner @ told)
    a = to_named(part)
    largest = np.abs(lost).max(axis=0, initial=0.0)
    moved = np.any(np.abs(a @ lost) > MOVED * np.abs(a).sum(axis=1)[:, None] * largest, axis=1)
    names = tuple(part.names[j] for j in np.flatnonzero(moved))
    return told @ inside @ told.T, names


def bounded(family: Family, link: Link) -> bool:
    """Whether a finite linear predictor can lead out of the family's means."""
    if link.name == "identity":
        return family.support != "real"
    if link.name == "log":
        return family.support in ("binomial", "unit")
    return link.name not in ("logit", "probit", "cloglog", "loglog", "cauchit")


def edge(family: Family, link: Link, mu: Floats) -> str:
    """`at_edge` of fitted means (n,)."""
    return at_edge(family, link, rows_at_bound(family, mu), len(mu)) if bounded(family, link) else ""


def at_edge(family: Family, link: Link, rows: int, n: int) -> str:
    """The sentence about fitted means that a link which does not keep to the family's range has led to its end; nothing where rows is 0."""
    if not rows:
        return ""
    what = "probabilities of 0 or 1" if family.support == "binomial" else "means of 0"
    return (
        f"{END_OF_LINK} {link.name!r} allows, fitted {what} in {rows} of {n} rows, where neither estimates "
        f"nor standard errors hold: use link={family.default_link!r}"
    )


def separated(family: Family, rows: int, n: int, names: tuple[str, ...] = ()) -> str:
    """The sentence about them; names : the coefficients that have no finite estimate, where they are known."""
    what = "probabilities of 0 or 1" if family.support == "binomial" else "means of 0"
    return f"fitted {what} in {rows} of {n} rows: some combination of predictors separates the outcomes, " + (
        f"so {', '.join(names)} {'has' if len(names) == 1 else 'have'} no finite estimate and no standard error"
        if names
        else "so the largest coefficients and standard errors have no finite estimate"
    )


def unchanging(design: Design) -> str:
    """The sentence about a response that is the same in all rows of each level of a grouping; nothing where it changes in some."""
    for term in design.mean.random:
        first = np.zeros(len(term.levels))
        first[term.refs] = design.y
        if np.bincount(term.refs).max() > 1 and np.array_equal(first[term.refs], design.y):
            return (
                f"{design.response.name} does not change inside any {term.group}: the likelihood rises for ever with the variance between "
                "them, and neither it nor the coefficients have a finite estimate"
            )
    return ""
