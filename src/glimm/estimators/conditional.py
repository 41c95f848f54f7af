"""Conditional variances of the random effects given the response and the estimates: Var(b | y) = s2 Lambda M^-1 Lambda'."""

from __future__ import annotations

import numpy as np

from ..design.coordinates import to_working
from ..errors import GlimmError
from ..kernels.matrix import Floats
from ..records import MixedRecord
from .engines import control_of, linear_engine, mixed_engine
from .krylov_engines import LargeLinear, LargeMixed
from .terms import one_factor, working_effects


def conditional_variances(record: MixedRecord) -> tuple[Floats, ...]:
    """Per term (J, k, k), effects as named; (C, 1, 1) under ou. A factorisation and its inverse: dear where a design is large.

    Raises GlimmError for a fit whose crossed effects were too many to be factorised.
    """
    if unknown := too_many(record):
        raise GlimmError(
            f"standard errors of the random effects need a factorisation of {unknown:,} crossed effects, which this fit did without: fit "
            f"with control=glimm.Control(exact_block={unknown})"
        )
    return estimated_variances(record)[0]


def estimated_variances(record: MixedRecord) -> tuple[tuple[Floats, ...], float]:
    """The same of any fit, and their typical Monte-Carlo error as a share of them: 0 but where crossed effects were too many."""
    design, control = record.design, control_of(record)
    terms = tuple(working_effects(t) for t in design.mean.random)
    if record.linear and one_factor(terms):
        return (_one_factor(record),), 0.0
    if record.linear:
        linear = linear_engine(design, terms, record.reml, control)
        blocks = linear.posterior(record.layouts, record.work_theta)
        return tuple(record.scale * b for b in blocks), linear.state.blocks_error if isinstance(linear, LargeLinear) else 0.0
    beta = to_working(design.mean, record.vector[record.blocks["mean"]])
    x = np.concatenate([beta, record.work_theta, record.vector[record.blocks["family"]]])
    mixed = mixed_engine(design, record.family, terms, control)
    found = mixed.posterior(record.layouts, x, record.points)
    return found, mixed.state.blocks_error if isinstance(mixed, LargeMixed) else 0.0


def too_many(record: MixedRecord) -> int:
    """The crossed effects that a fit left without a factorisation, 0 where it made one."""
    return 0 if record.stochastic is None or record.stochastic.exact else record.stochastic.block


def _one_factor(record: MixedRecord) -> Floats:
    """(J, k, k) s2 L (I + L'Z_j'W_jZ_j L)^-1 L', L = root: levels are independent of each other."""
    (term,), (root,) = record.design.mean.random, record.roots
    a = term.z @ root
    size = record.design.size
    k, count = a.shape[1], len(term.levels)
    m = np.empty((count, k, k))
    for c in range(k):
        weighted = a[:, c] if size is None else a[:, c] * size
        for d in range(c + 1):
            m[:, c, d] = m[:, d, c] = np.bincount(term.refs, weighted * a[:, d], minlength=count)
    m += np.eye(k)
    return np.asarray(record.scale * root @ np.linalg.inv(m) @ root.T)
