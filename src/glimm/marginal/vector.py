"""Predicted means at other parameters v = mean | theta | family, for derivatives taken elsewhere: E h(x'beta + offset + sd(theta) Z).

sd^2 is exact under us and diag, whose parameters are entries of T. Under other structures it is moved along its derivative at the
estimate, exact to first order, which is all that a derivative at the estimate sees.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..covariance.layout import Curve, theta_names
from ..covariance.structures import structure
from ..design.records import NewRows
from ..errors import GlimmError
from ..inference.covariance import Inference, joint_covariance, named
from ..inference.random import dvariance, parts, variance
from ..kernels import mean
from ..kernels.matrix import Floats
from ..records import MixedRecord, Record
from .average import average


@dataclass(frozen=True, slots=True)
class Coefficients:
    """The parameters that means are functions of: names (k,), values (k,), cov (k, k)."""

    names: tuple[str, ...]
    values: Floats
    cov: Floats


def check_target(record: Record, target: str | None) -> str:
    """The target to use: "marginal" unless "typical" is asked of a mixed model; raises GlimmError for others."""
    mixed = isinstance(record, MixedRecord)
    known = ("marginal", "typical") if mixed else ("marginal",)
    if target is not None and target not in known:
        what = "" if mixed else ": this model has no random effects"
        raise GlimmError(f"to_marginaleffects: target must be {' or '.join(map(repr, known))}, not {target!r}{what}")
    return target or "marginal"


def coefficients(record: Record, inference: Inference, target: str) -> Coefficients:
    """The mean's coefficients; with theta and the family's parameters where means are averages over random effects.

    A mean with the identity link is the same for every theta.
    """
    if not isinstance(record, MixedRecord) or target == "typical" or record.design.mean.link.name == "identity":
        return Coefficients(inference.names, inference.params, inference.cov)
    terms, family = record.design.mean.random, record.family
    thetas = tuple(name for term in terms for name in theta_names(term.structure, term.names, term.group))
    words = {"log": "log({})", "power": "logit({} - 1)"}
    own = tuple(words.get(family.transforms[k], "{}").format(family.parameters[k]) for k in family.free)
    names = (*inference.names, *thetas, *own)
    return Coefficients(names, record.vector[: len(names)], named(record.design.mean, joint_covariance(record, inference)))


def means_at(record: Record, new: NewRows, target: str, values: Floats) -> Floats:
    """(n,) means of rows at `values`, as many of the leading entries of the vector as are given; NaN where a predictor is missing."""
    vector = np.concatenate([values, record.vector[len(values) :]])
    link, complete = record.design.mean.link, new.complete
    eta = new.matrix.times(vector[record.blocks["mean"]]) + (0.0 if new.offset is None else new.offset)
    if isinstance(record, MixedRecord) and target == "marginal":
        complete = np.logical_and.reduce([complete, *(~np.isnan(z).any(axis=1) for z in new.z)])
        v = variance_at(record, tuple(np.nan_to_num(z) for z in new.z), vector[record.blocks["theta"]])
        found = average(link, eta, np.sqrt(np.maximum(v, 0.0)))[0]
    else:
        found = mean(link.kernel, eta)[0]
    return np.where(complete, found, np.nan)


def variance_at(record: MixedRecord, z: tuple[Floats, ...], theta: Floats) -> Floats:
    """(n,) variance of the random part of rows with the columns z, (n, k) per term, at another theta."""
    moved = theta - record.vector[record.blocks["theta"]]
    change = np.array(moved)
    roots = list(record.roots)
    for t, (term, shape, part) in enumerate(zip(record.design.mean.random, record.layouts, parts(record), strict=True)):
        if not isinstance(shape, Curve) and moved[part].any():
            roots[t] = structure(term.structure).factor(theta[part], shape.k)
            change[part] = 0.0
    v = variance(replace(record, roots=tuple(roots)), z)
    return v + dvariance(record, z) @ change if change.any() else v
