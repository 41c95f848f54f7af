"""glimm: regression on independent and on clustered data.

    glimm.glm (formula, data, family=...)              rows independent
    glimm.glmm(formula with (1 | id), data, ...)       conditional on the cluster
    glimm.gee (formula, data, groups="id", ...)        average over the population
    glimm.compare(glm_fit, glmm_fit, gee_fit)          what each number means, side by side

Importing loads numpy only; everything else is loaded on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np  # noqa: F401

from .version import VERSION as __version__

_ROOMS = {
    "glm": "api",
    "glmm": "api",
    "gee": "api",
    "compare": "api",
    "Control": "estimators.control",
    "GlimmError": "errors",
    "GlimmWarning": "errors",
    "NotYetError": "errors",
    "load_dataset": "datasets",
}

if TYPE_CHECKING:
    from .api import compare, gee, glm, glmm
    from .datasets import load_dataset
    from .errors import GlimmError, GlimmWarning, NotYetError
    from .estimators.control import Control

__all__ = ["Control", "GlimmError", "GlimmWarning", "NotYetError", "__version__", "compare", "gee", "glm", "glmm", "load_dataset"]


def __getattr__(name: str) -> Any:
    if name not in _ROOMS:
        from .errors import suggest

        raise AttributeError(f"glimm has no {name!r}: {suggest(name, __all__)}")
    value = getattr(import_module(f".{_ROOMS[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
