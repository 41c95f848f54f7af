"""Arguments of the doors: checked, and packed into a Spec before any data are read.

arguments -> Spec; a wrong one is a GlimmError that says what it may be.
"""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any

from .design.records import Spec
from .design.weights import Weights, WeightsKind
from .errors import GlimmError, NotYetError
from .estimators.control import Control
from .family import LEVELS, resolve
from .inference.glm_covariance import asked_of
from .records import DEFAULT, Scale

SCALES = {"pearson": Scale("pearson"), "deviance": Scale("deviance"), "ml": Scale("ml")}
NO_RATES = ("identity", "inverse", "inverse_squared", "sqrt", "power")
REMEDIES = {
    "frequency": "repeat the rows, data.loc[data.index.repeat(data['w'])] in pandas",
    "sampling": "glimm.glm takes them, with vcov={'cluster': 'id'} for errors by cluster",
}


def make_spec(
    door: Any,
    formula: str,
    family: Any,
    link: Any,
    weights: Any,
    offset: Any,
    exposure: Any,
    missing: str,
    **more: Any,
) -> Spec:
    """The arguments that all doors have, packed."""
    if not isinstance(formula, str):
        raise GlimmError(f"formula must be text such as 'y ~ x', not {type(formula).__name__}")
    if not isinstance(missing, str) or missing not in ("drop", "error"):
        raise GlimmError(f"missing must be 'drop' or 'error', not {missing!r}")
    resolved = resolve(family, link)
    if resolved[0].name in LEVELS and door == "glmm":
        raise NotYetError(
            f"glimm.glmm(family={resolved[0].name!r}) is not in this release: for averages over the population use glimm.gee, with "
            "groups= the clusters, and where rows are independent glimm.glm"
        )
    if door == "glmm" and not resolved[0].likelihood:
        raise GlimmError(
            f"family {resolved[0].name!r} is a mean and a variance, and has no likelihood to average over random effects: use the family "
            "without quasi, with a random effect for every row where it varies more, or 'negative_binomial', or glimm.gee"
        )
    if exposure is not None and resolved[1].name.partition("(")[0] in NO_RATES:
        raise GlimmError(
            f"exposure= is what a mean is proportional to, its log an offset, which means nothing with link {resolved[1].name!r}: "
            "use link='log', or offset= for a known part of the linear predictor"
        )
    kind: WeightsKind = "precision"
    if isinstance(weights, Weights):
        weights, kind = weights.values, weights.kind
        if door != "glm":
            raise NotYetError(f"glimm.{door} takes precision weights only, not glimm.{kind}(...): {REMEDIES[kind]}")
    return Spec(door, formula, *resolved, weights, offset, exposure, missing=missing, weights_kind=kind, **more)  # type: ignore[arg-type]


def checked_control(control: Control | None) -> Control:
    """The settings, or the usual ones."""
    if control is not None and not isinstance(control, Control):
        raise GlimmError(f"control must be a glimm.Control(...), not {type(control).__name__}")
    return control or Control()


def refuse_later(door: str, **given: Any) -> None:
    """Raise NotYetError for an argument of a later release that was given."""
    for name, value in given.items():
        if value is not None:
            raise NotYetError(f"glimm.{door}({name}=...) is not in this release: leave it out")


def checked_points(points: Any) -> int | str:
    """Quadrature points as an int or "auto"; an LMM needs none, but what is no number of points is refused there too."""
    if isinstance(points, str) and points == "auto":
        return points
    if isinstance(points, bool) or not isinstance(points, Integral) or points < 1:
        raise GlimmError(f"points must be 'auto' or a whole number of at least 1 (1 is Laplace), not {points!r}")
    return int(points)


def clusters_of(vcov: Any) -> tuple[str, ...]:
    """The columns that a GLM's covariance clusters by."""
    return asked_of(vcov).clusters


def scale_of(given: Any) -> Scale:
    """scale= of a GLM, checked."""
    if given is None:
        return DEFAULT
    if isinstance(given, str):
        if given not in SCALES:
            raise GlimmError(f"scale={given!r}: it must be 'pearson', 'deviance', 'ml' or a positive number")
        return SCALES[given]
    if isinstance(given, bool) or not isinstance(given, Real) or not 0.0 < float(given) < float("inf"):
        raise GlimmError(f"scale must be 'pearson', 'deviance', 'ml' or a positive number, the dispersion, not {given!r}")
    return Scale("fixed", float(given))


def mixed_clusters_of(vcov: Any) -> tuple[str, ...]:
    """The columns that a mixed model's covariance clusters by."""
    if isinstance(vcov, str) and vcov == "model":
        return ()
    if isinstance(vcov, Mapping):
        asked = asked_of(vcov)
        if asked.kind != "cluster" or asked.df != "" or asked.small not in ("", "CR1S"):
            raise NotYetError("vcov of a mixed model is 'model' or {'cluster': 'column'}, with a normal reference and no correction")
        return asked.clusters
    given = repr(vcov) if isinstance(vcov, str) else type(vcov).__name__
    raise GlimmError(f"vcov must be 'model' or {{'cluster': 'column'}} for a mixed model, not {given}")
