"""Which engine computes the likelihood of a mixed model: that of one grouping factor, exact elimination, or conjugate gradients.

evaluations x (products + side^3) of factorisations against evaluations x rows of conjugate gradients and one factorisation
"""

from __future__ import annotations

from collections.abc import Callable

from ..design.records import Design
from ..errors import GlimmError
from ..family import Family
from ..kernels import KrylovLaplace, KrylovLinear, Rows, SparseLinear, elimination_cost
from ..records import MixedRecord
from .control import Control
from .krylov import DENSE, PASS, planned
from .krylov_engines import LargeLinear, LargeMixed, State
from .linear_engines import AnyDesign, LinearEngine, OneFactor
from .mixed_engines import MixedEngine, any_design
from .mixed_engines import OneFactor as OneFactorMixed
from .terms import Effects, by_level, one_factor

Step = Callable[[float | None], None]
SMALL = 1000  # effects beside those of the largest term, below which an elimination is always cheap
SPARSE = 2e-9  # seconds of a factorisation and its inverse, by product of the sparse part
GAIN = 0.7


def silent(value: float | None) -> None:
    """Nobody watches."""


def linear_engine(design: Design, terms: tuple[Effects, ...], reml: bool, control: Control, step: Step = silent) -> LinearEngine:
    """The engine for an LMM's random terms; step is called after every evaluation of a long one."""
    part = design.mean
    rows = Rows(part.matrix, part.center, part.scale, design.y, design.size, part.offset, threads=control.n_threads)
    if one_factor(terms):
        _several(control, terms)
        return OneFactor(rows, terms[0], reml, {}, [])
    columns = [t.sparse() for t in terms]
    if not krylov_chosen(design, terms, control, True):
        return AnyDesign(SparseLinear(rows, columns), terms, design.size, reml, step)
    plan = planned(control, 0)
    model = KrylovLinear(rows, columns, plan.groups, plan.seed)
    return LargeLinear(model, terms, design.size, reml, step, State(planned(control, model.shape()[2])))


def mixed_engine(design: Design, family: Family, terms: tuple[Effects, ...], control: Control, step: Step = silent) -> MixedEngine:
    """The engine for a GLMM's random terms; step is called after every evaluation for the Hessian."""
    if one_factor(terms):
        _several(control, terms)
        return OneFactorMixed(design, family, terms[0], *by_level(terms[0].term), control.n_threads, {})
    if not krylov_chosen(design, terms, control, False):
        return any_design(design, family, terms, control.n_threads, step)
    part = design.mean
    rows = Rows(part.matrix, part.center, part.scale, design.y, design.size, part.offset, threads=control.n_threads)
    plan = planned(control, 0)
    model = KrylovLaplace(rows, [t.sparse() for t in terms], (design.trials, design.weights), plan.groups, plan.seed)
    return LargeMixed(model, family, part.link, terms, part.matrix.p, step, State(planned(control, model.shape()[2])))


def krylov_chosen(design: Design, terms: tuple[Effects, ...], control: Control, linear: bool) -> bool:
    """Whether conjugate gradients are asked for, or are less work."""
    if len(terms) < 2:
        _several(control, terms)
        return False
    if control.engine != "auto":
        return control.engine == "krylov"
    effects = sorted(len(t.term.levels) * t.q if t.term.times is None else len(t.term.times) for t in terms)
    block = float(sum(effects[:-1]))
    if block < SMALL:
        return False
    products, tail = elimination_cost(design.n, [t.sparse() for t in terms])
    parameters = design.mean.matrix.p + sum(t.shape().size for t in terms)
    once = (SPARSE * products + DENSE * float(tail) ** 3) * (5 if linear else 5 + 2 * parameters)
    passed = PASS * design.n * sum(t.q for t in terms) * (6 if linear else 10 + 2 * parameters)
    ended = DENSE * block**3 if block <= control.exact_block else 0.0
    return tail > control.exact_block or passed + ended < GAIN * once


def control_of(record: MixedRecord) -> Control:
    """The engine that a record was fitted with."""
    s = record.stochastic
    if s is None:
        return Control(engine="exact")
    return Control(engine="krylov", probes=s.probes, seed=s.seed, exact_block=s.block if s.exact else 0)


def _several(control: Control, terms: tuple[Effects, ...]) -> None:
    if control.engine == "krylov":
        raise GlimmError(
            f"control: engine='krylov' is for random effects of several groupings; those of {terms[0].term.group!r} alone are fitted "
            "exactly in time proportional to the rows: use engine='auto'"
        )
