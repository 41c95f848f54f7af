"""glimm: regression on independent and on clustered data.

    glimm.glm (formula, data, family=...)              rows independent
    glimm.glmm(formula with (1 | id), data, ...)       conditional on the cluster
    glimm.gee (formula, data, groups="id", ...)        average over the population
    glimm.advise(formula, data, groups="id", ...)      which of them fits the question and the data, and why
    glimm.compare(glm_fit, glmm_fit, gee_fit)          what each number means, side by side
    glimm.lrt(small, large)                            likelihood-ratio test of one fit within another
    glimm.read(path)                                   csv, tsv, parquet, Arrow -> pandas
    glimm.report(fit, "report.html")                   one page: what was done, tables, pictures, how to do it again

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
    "advise": "api",
    "report": "api",
    "lrt": "lrt_door",
    "Control": "estimators.control",
    "CustomCorr": "covariance.by_wave",
    "CustomFamily": "family",
    "OddsRatio": "covariance.odds_ratios",
    "FixedCorr": "covariance.by_wave",
    "frequency": "design.weights",
    "sampling": "design.weights",
    "GlimmError": "errors",
    "GlimmWarning": "errors",
    "NotYetError": "errors",
    "load_dataset": "datasets",
    "read": "data.files",
}

_LATER = {
    "table": "glimm.compare(...) has the fits side by side, and their numbers in .table",
    "missing_report": "fit.missing has the rows left out, by variable and by cluster",
    "impute": "rows with a missing value are left out (missing='drop') or refused (missing='error')",
    "pool": "fit each data set, and combine params and cov_params() by Rubin's rules",
}

if TYPE_CHECKING:
    from .api import advise, compare, gee, glm, glmm, report
    from .covariance.by_wave import CustomCorr, FixedCorr
    from .covariance.odds_ratios import OddsRatio
    from .data.files import read
    from .datasets import load_dataset
    from .design.weights import frequency, sampling
    from .errors import GlimmError, GlimmWarning, NotYetError
    from .estimators.control import Control
    from .family import CustomFamily
    from .lrt_door import lrt

__all__ = [
    "Control",
    "CustomCorr",
    "CustomFamily",
    "FixedCorr",
    "GlimmError",
    "GlimmWarning",
    "NotYetError",
    "OddsRatio",
    "__version__",
    "advise",
    "compare",
    "frequency",
    "gee",
    "glm",
    "glmm",
    "load_dataset",
    "lrt",
    "read",
    "report",
    "sampling",
]


def __getattr__(name: str) -> Any:
    if name in _LATER:
        raise AttributeError(f"glimm.{name} is not in this release: {_LATER[name]}")
    if name not in _ROOMS:
        from .errors import suggest

        raise AttributeError(f"glimm has no {name!r}: {suggest(name, __all__)}")
    value = getattr(import_module(f".{_ROOMS[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
