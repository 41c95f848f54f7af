"""Frozen records of what was fitted: a design, a vector with named blocks, its curvature, and how it was reached.

Every question (covariance, test, prediction, table) is a function of a record and of a vector. Breads and curvatures are in
working coordinates (design.coordinates), because a matrix of raw columns far from zero would have no digits left.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import numpy as np

from .covariance.layout import Shape
from .covariance.odds_ratios import OddsRatios
from .covariance.working import Working
from .design.clusters import occasions
from .design.records import Clusters, Design
from .family import Family
from .kernels.matrix import Floats

SolutionCode = Literal["converged", "boundary", "separated", "not_converged"]


@dataclass(frozen=True, slots=True)
class Solution:
    """How a fit ended.

    code : "converged"; "boundary" (a variance is zero); "separated" (fitted probabilities of 0 or 1); "not_converged"
    message : one sentence; evaluations : of the objective; decrement : Newton decrement in -2 log L (scale-free);
    gradient : at the end; active : parameters held at a bound; evidence : numbers behind the message
    """

    code: SolutionCode
    message: str
    evaluations: int
    decrement: float
    gradient: Floats
    active: tuple[str, ...] = ()
    evidence: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """The call that made a fit, in words.

    arguments : (name, Python source) of all but the defaults; columns : of the data, named by arguments
    arrays : arguments that were given as arrays, whose source is their own name
    """

    door: str = ""
    formula: str = ""
    arguments: tuple[tuple[str, str], ...] = ()
    columns: tuple[str, ...] = ()
    arrays: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Linear:
    """What linear predictors are computed from again where rows are not held: working coefficients, or those as named (raw)."""

    beta: Floats = field(default_factory=lambda: np.zeros(0))
    raw: bool = False


@dataclass(frozen=True, slots=True)
class Scale:
    """How the dispersion of a GLM is found.

    kind : "default"; "pearson", "deviance" (chi-squared / residual degrees of freedom); "ml"; "fixed" at a value
    """

    kind: Literal["default", "pearson", "deviance", "ml", "fixed"] = "default"
    value: float = 1.0

    def of(self, family: Family) -> str:
        """The kind for a family: "family" where its dispersion is 1."""
        if self.kind != "default":
            return self.kind
        if family.scale_known:
            return "family"
        return "ml" if family.shaped else "pearson"

    def estimated(self, family: Family) -> bool:
        """Whether errors are to be referred to t: the dispersion was estimated from the rows."""
        return self.of(family) in ("pearson", "deviance", "ml")


DEFAULT: Final = Scale()


@dataclass(frozen=True, slots=True)
class GlmRecord:
    """A fitted GLM.

    vector : mean | family (the family's own parameters that were estimated, transformed; not for gaussian)
    bread : (p, p) inverse expected information of the working coefficients at dispersion 1, or their block of the inverse joint Hessian
    eta : (n,), none of rows that are not held, which `again` gives; psi_cov : (k, k) covariance of the family block
    llf : NaN where there is no likelihood; scale_rule : how `scale` was found
    penalty : "firth" or "jeffreys", nothing for maximum likelihood; penalized_llf : llf + 1/2 log |I(beta)|, NaN where there is none
    """

    design: Design
    family: Family
    vector: Floats
    blocks: Mapping[str, slice]
    bread: Floats
    eta: Floats
    llf: float
    deviance: float
    scale: float
    solution: Solution
    version: str
    call: Call = Call()
    psi_cov: Floats = field(default_factory=lambda: np.zeros((0, 0)))
    again: Linear = Linear()
    scale_rule: Scale = DEFAULT
    penalty: str = ""
    penalized_llf: float = float("nan")


@dataclass(frozen=True, slots=True)
class Stochastic:
    """How a search with random probes was made.

    probes, seed : of the random vectors; block : effects of all terms but the one with most levels
    exact : the log-likelihood and the check of the gradient come from an exact factorisation
    llf_error : Monte-Carlo standard error of llf; estimate_error : estimated largest distance of an estimate from the optimum, in its
    standard errors (both 0 where exact); iterations : most conjugate-gradient iterations of one solution
    """

    probes: int
    seed: int
    block: int
    exact: bool
    llf_error: float = 0.0
    estimate_error: float = 0.0
    iterations: int = 0


@dataclass(frozen=True, slots=True)
class MixedRecord:
    """A fitted mixed model.

    linear : fitted as an LMM (beta and sigma profiled); reml : by the restricted likelihood
    vector : mean | theta | family (psi on its transformed scale); theta are the structure's parameters for the effects as named
    layouts, work_theta : what was searched over, the free parameters of each term's working effects one after the other (fewer than theta
    where rank is lost)
    roots : per random term (k, k), b = root u with u ~ N(0, scale I) in an LMM and N(0, I) otherwise, effects as named; (1, 1) under ou
    curvature : (P, P) of -log L in working coefficients, work_theta and psi
    effects : per random term (J, k) b = Lambda u; J counts cells under ou
    scale : sigma^2 or phi (1 where the family has none); points : quadrature points (1 is Laplace, 0 for an LMM)
    stochastic : how random probes were used, None where every factorisation was exact
    """

    design: Design
    family: Family
    linear: bool
    reml: bool
    vector: Floats
    blocks: Mapping[str, slice]
    curvature: Floats
    layouts: tuple[Shape, ...]
    work_theta: Floats
    roots: tuple[Floats, ...]
    effects: tuple[Floats, ...]
    llf: float
    scale: float
    points: int
    solution: Solution
    version: str
    call: Call = Call()
    stochastic: Stochastic | None = None


@dataclass(frozen=True, slots=True)
class GeeRecord:
    """A fitted GEE.

    bread : (p, p) inverse of sum X~'R^-1X~, working columns, no dispersion
    working : the working correlation, or odds ratios; alpha : (q,) its parameters, as they were used
    moments : the rule that estimated them
    """

    design: Design
    family: Family
    vector: Floats
    blocks: Mapping[str, slice]
    bread: Floats
    eta: Floats
    working: Working | OddsRatios
    alpha: Floats
    moments: str
    scale: float
    solution: Solution
    version: str
    call: Call = Call()

    @property
    def corr(self) -> str:
        """What the working correlation is called."""
        return self.working.name

    @property
    def clusters(self) -> Clusters:
        """The clusters that are independent."""
        return next(iter(self.design.clusters.values()))

    @property
    def corr_names(self) -> tuple[str, ...]:
        """(q,) names of alpha."""
        return self.working.names(occasions(self.clusters, self.moments))


@dataclass(frozen=True, slots=True)
class LevelsRecord:
    """A fitted GEE or GLM of a response with C levels, m = C - 1 linear predictors.

    names, vector : (P,) thresholds, then coefficients (ordinal), or coefficients by level (multinomial); one block, mean
    bread : (P, P) inverse of sum D'V^-1D in working parameters, of a GLM of the observed information; eta : (n, m) linear predictors
    corr : what was asked for; alpha : (q,) log global odds ratio, or correlation, between occasions; scale : 1
    door : "gee" or "glm"; llf : log-likelihood of a GLM, NaN of a GEE
    """

    design: Design
    family: Family
    names: tuple[str, ...]
    vector: Floats
    blocks: Mapping[str, slice]
    bread: Floats
    eta: Floats
    corr: str
    alpha: Floats
    scale: float
    solution: Solution
    version: str
    call: Call = Call()
    door: Literal["glm", "gee"] = "gee"
    llf: float = math.nan

    @property
    def deviance(self) -> float:
        """-2 llf: a saturated model of single rows has log-likelihood 0."""
        return -2.0 * self.llf


@dataclass(frozen=True, slots=True)
class PartsRecord:
    """A fitted GLM with zero inflation, a model of the dispersion, or both.

    vector : mean | zero | dispersion | family, those that are there, coefficients as named; family is the family's own parameter on its
    transformed scale where it has no predictors
    eta : the linear predictors (n,) by block; "family" has none
    curvature : (P, P) of -log L in working parameters; told : (P, r) the directions in which it has an end, all of them (P, P) as a rule
    """

    design: Design
    family: Family
    vector: Floats
    blocks: Mapping[str, slice]
    eta: Mapping[str, Floats]
    curvature: Floats
    told: Floats
    llf: float
    solution: Solution
    version: str
    call: Call = Call()

    @property
    def scale(self) -> float:
        """The dispersion; 1 where the family has none. AttributeError where it differs between rows."""
        if self.family.scale_known:
            return 1.0
        raise AttributeError("the dispersion differs between rows and has no one value: fit.predict(scale='dispersion') has it by row")


Record = GlmRecord | MixedRecord | GeeRecord
Averaged = Record | PartsRecord
"""Of one mean for each row, which can be averaged."""
AnyRecord = Averaged | LevelsRecord
"""For questions about the rows and predictors of a design, whatever was fitted to it."""
