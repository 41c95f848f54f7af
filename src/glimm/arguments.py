"""Arguments of the doors: checked, and packed into a Spec before any data are read.

arguments -> Spec; a wrong one is a GlimmError that says what it may be.
"""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral
from typing import Any

import numpy as np

from .design.records import Spec
from .errors import GlimmError, NotYetError
from .estimators.control import Control
from .family import LEVELS, resolve
from .inference.covariance import HC


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
    return Spec(door, formula, *resolved, weights, offset, exposure, missing=missing, **more)  # type: ignore[arg-type]


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
    if isinstance(vcov, str) and (vcov == "model" or vcov in HC):
        return ()
    if isinstance(vcov, Mapping) and "cluster" in vcov and set(vcov) <= {"cluster", "small"}:
        if not isinstance(vcov.get("small", False), bool | np.bool_):
            raise GlimmError(f"vcov: 'small' must be True or False, not {vcov['small']!r}")
        given = vcov["cluster"]
        names = (given,) if isinstance(given, str) else tuple(given) if isinstance(given, list | tuple) else ()
        if not names or not all(isinstance(name, str) for name in names):
            what = "an empty list" if isinstance(given, list | tuple) and not names else type(given).__name__
            raise GlimmError(f"vcov: 'cluster' must name a column, {{'cluster': 'id'}}, or two, {{'cluster': ['a', 'b']}}, not {what}")
        if len(names) > 2:
            raise NotYetError(f"vcov: clusters in {len(names)} directions are not in this release: name one column or two")
        if len(set(names)) < len(names):
            raise GlimmError(f"vcov: 'cluster' names {names[0]!r} twice: name it once")
        return names
    if not isinstance(vcov, str | Mapping):
        raise GlimmError(f"vcov must be 'model', 'HC0', 'HC1', 'HC2', 'HC3' or {{'cluster': 'column'}}, not {type(vcov).__name__}")
    raise GlimmError(f"vcov={vcov!r} is not a covariance of a GLM: use 'model', 'HC0', 'HC1', 'HC2', 'HC3' or {{'cluster': 'column'}}")


def mixed_clusters_of(vcov: Any) -> tuple[str, ...]:
    """The columns that a mixed model's covariance clusters by."""
    if isinstance(vcov, str) and vcov == "model":
        return ()
    if isinstance(vcov, Mapping):
        return clusters_of(vcov)
    given = repr(vcov) if isinstance(vcov, str) else type(vcov).__name__
    raise GlimmError(f"vcov must be 'model' or {{'cluster': 'column'}} for a mixed model, not {given}")
