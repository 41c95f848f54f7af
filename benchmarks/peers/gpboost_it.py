"""gpboost by its iterative methods (conjugate gradients, stochastic Lanczos quadrature), with its own settings: gpboost.py is the rest."""

from __future__ import annotations

from typing import Any

from . import Call
from .gpboost import prepare as prepared


def prepare(task: Any, rows: Any) -> Call:
    return prepared(task, rows, {"matrix_inversion_method": "iterative"}, {"trace": False})
