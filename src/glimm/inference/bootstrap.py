"""Parametric bootstrap: responses drawn from the fit, the same model fitted to each.

y* ~ model(estimates), estimates* = fit(y*).
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from ..estimators.lmm import LinearProblem
from ..estimators.refit import refit_many
from ..kernels.matrix import Floats
from ..progress import Progress
from ..records import MixedRecord
from .simulate import simulate

BATCH = 2**24
"""Numbers drawn at a time: responses are made and used up in batches."""


def bootstrap(record: MixedRecord, n: int, seed: Any, progress: bool | None, prepared: LinearProblem | None) -> dict[str, Floats]:
    """Columns of (n,) estimates: vector entries one by one under "vector", (n, P), and scale, llf, llf_error, converged."""
    rng = np.random.default_rng(seed)
    batch = max(1, BATCH // record.design.n)
    parts = []
    with Progress("bootstrap", n, progress) as bar:
        for begin in range(0, n, batch):
            responses = simulate(record, min(batch, n - begin), rng, "new")
            parts.append(refit_many(record, responses.T, prepared, partial(bar.after, begin)))
    return {
        "vector": np.concatenate([p.vectors for p in parts]),
        "scale": np.concatenate([p.scale for p in parts]),
        "llf": np.concatenate([p.llf for p in parts]),
        "llf_error": np.concatenate([p.llf_error for p in parts]),
        "converged": np.concatenate([p.converged for p in parts]),
    }
