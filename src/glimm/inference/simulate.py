"""Responses drawn from a fitted model: b* = root u*, u* ~ N(0, I); mu* = h(offset + X beta + Z b*); y* ~ family(mu*).

The estimates are taken as they are: what varies is what would vary if the same clusters, or new ones, were observed again.
"""

from __future__ import annotations

import warnings
from itertools import pairwise
from numbers import Integral
from typing import Any

import numpy as np

from ..design.records import RandomTerm
from ..errors import GlimmError, GlimmWarning
from ..kernels import mean
from ..kernels.matrix import Floats
from ..records import GeeRecord, MixedRecord, Record
from .criteria import linear_predictor
from .distributions import Values, check_units, distribution, known_values
from .random import parts

EFFECTS = ("new", "fitted")


def simulate(record: Record, n: int, seed: Any, effects: str) -> Floats:
    """(rows used, n) responses on the scale of the mean, one simulation a column; columns are contiguous.

    effects : "new" draws the random effects from their estimated distribution, "fitted" holds them at their predictions
    Raises GlimmError for a GEE, for what is no number of simulations or seed, and where drawn effects make impossible means.
    """
    if isinstance(record, GeeRecord):
        raise GlimmError(
            "simulate: a GEE states means and a working correlation, which are no distribution to draw from; "
            "draw from a mixed model of the same formula, glimm.glmm('... + (1 | cluster)'), or from glimm.glm"
        )
    check_number(n)
    if effects not in EFFECTS:
        raise GlimmError(f"simulate: effects must be 'new' (drawn) or 'fitted' (as predicted), not {effects!r}")
    rng, design = generator(seed), record.design
    check_units(design, "simulate")
    family = distribution(record.family, "simulate")
    if design.weights is not None and not family.weighted:
        warnings.warn(
            f"simulate: weights multiply the log-likelihood of family {record.family.name!r} but change no response, so they are left out",
            GlimmWarning,
            stacklevel=3,
        )
    eta = linear_predictors(record, int(n), rng, effects == "new")
    plain = design.mean.link.name == "identity"
    mu = eta if plain else mean(design.mean.link.kernel, eta.ravel())[0].reshape(eta.shape)
    wrong = ~family.possible(mu)
    if wrong.any():
        one, row = (int(a) for a in np.argwhere(wrong)[0])
        raise GlimmError(
            f"simulate: a mean of {mu[one, row]:g}, impossible for family {record.family.name!r}, at row {int(design.rows[row])} (counting "
            f"from 0): with link {design.mean.link.name!r} some random effects lead there; refit with link={record.family.default_link!r}"
            + ("" if effects == "fitted" else " or use effects='fitted'")
        )
    mu = np.broadcast_to(mu, (int(n), design.n))
    return drawn(record, "simulate", rng, mu, known_values(record, "simulate"))


def check_number(n: Any) -> None:
    """Raises GlimmError for what is no number of simulations."""
    if isinstance(n, bool) or not isinstance(n, Integral) or n < 1:
        raise GlimmError(f"simulate: n, the number of simulations, must be a whole number of at least 1, not {n!r}")


def drawn(record: Record, asked: str, rng: np.random.Generator, mu: Floats, values: Values) -> Floats:
    """(rows, n) responses at the means mu (n, rows); raises GlimmError for what NumPy's generator refuses."""
    family, design = distribution(record.family, asked), record.design
    weights: Any = 1.0 if design.weights is None or not family.weighted else design.weights
    try:
        return family.draw(rng, mu, values, weights, 1.0 if design.trials is None else design.trials).T
    except ValueError as error:  # such as Poisson counts of 1e19
        raise GlimmError(
            f"{asked}: responses of family {record.family.name!r} with means from {mu.min():.3g} to {mu.max():.3g} cannot be drawn: "
            f"numpy says {error}"
        ) from error


def generator(seed: Any) -> np.random.Generator:
    """NumPy's generator of a seed; raises GlimmError for what is none."""
    try:
        return np.random.default_rng(seed)
    except (TypeError, ValueError):
        raise GlimmError(f"simulate: seed must be a whole number of at least 0, a numpy Generator or None, not {seed!r}") from None


def linear_predictors(record: Record, n: int, rng: np.random.Generator, new: bool) -> Floats:
    """(n, rows) with effects drawn anew; (1, rows) where nothing is drawn."""
    if not isinstance(record, MixedRecord) or not new:
        return linear_predictor(record)[None, :]
    part = record.design.mean
    fixed = part.matrix.times(record.vector[record.blocks["mean"]]) + (0.0 if part.offset is None else part.offset)
    eta = np.tile(fixed, (n, 1))
    sd = np.sqrt(record.scale) if record.linear else 1.0
    theta = record.vector[record.blocks["theta"]]
    for term, root, at in zip(part.random, record.roots, parts(record), strict=True):
        drawn = draw_effects(term, sd * root, theta[at], n, rng)
        for a in range(len(term.names)):
            rows = drawn[a][:, term.places]
            eta += rows if term.spec is None else term.z[:, a] * rows
    return eta


def draw_effects(term: RandomTerm, root: Floats, theta: Floats, n: int, rng: np.random.Generator) -> Floats:
    """(k, n, levels) effects of n new sets of levels, or (1, n, cells) under ou.

    root : (k, k) with Var b = root root'; theta : the term's parameters (ou: the second is the rate)
    """
    if term.cells is not None:
        return np.asarray(root[0, 0] * _autocorrelated(term, float(theta[1]), n, rng)[None])
    u = rng.standard_normal((len(root), n, len(term.levels)))
    return np.asarray(np.tensordot(root, u, axes=1))


def _autocorrelated(term: RandomTerm, rate: float, n: int, rng: np.random.Generator) -> Floats:
    """(n, cells) of variance 1 with correlation exp(-rate |t - t'|) within a level: each cell from the one before."""
    assert term.cell_refs is not None
    assert term.times is not None
    u = rng.standard_normal((n, len(term.times)))
    follows = np.concatenate(([False], term.cell_refs[1:] == term.cell_refs[:-1]))
    rho = np.where(follows, np.exp(-rate * np.abs(np.diff(term.times, prepend=0.0))), 0.0) if rate < np.inf else np.zeros(len(follows))
    u *= np.sqrt(1.0 - rho**2)
    first = np.flatnonzero(~follows)
    position = np.arange(len(follows)) - np.repeat(first, np.diff(np.append(first, len(follows))))
    order = np.argsort(position, kind="stable")
    ends = np.cumsum(np.bincount(position))
    for start, end in pairwise(ends):
        at = order[start:end]
        u[:, at] += rho[at] * u[:, at - 1]
    return u
