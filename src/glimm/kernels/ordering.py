"""The order in which a sparse symmetric matrix is factorised: few entries of L that are not in A (native/ordering.cpp)."""

from __future__ import annotations

import numpy as np

from .matrix import Codes, Ints
from .native import native


def minimum_degree(starts: Ints, adjacent: Codes, weight: Codes | None = None) -> Ints:
    """The nodes in the order of elimination; node i has the neighbours adjacent[starts[i]:starts[i + 1]] and weight[i] scalars."""
    starts = np.ascontiguousarray(starts, dtype=np.int64)
    adjacent = np.ascontiguousarray(adjacent, dtype=np.int32)
    nodes = len(starts) - 1
    if nodes < 0 or starts[0] != 0 or starts[-1] != len(adjacent) or (np.diff(starts) < 0).any():
        raise ValueError("starts must rise from 0 to the number of neighbours")
    if len(adjacent) and not (adjacent.min() >= 0 and adjacent.max() < nodes):
        raise ValueError(f"neighbours must lie between 0 and {nodes - 1}")
    if weight is not None:
        weight = np.ascontiguousarray(weight, dtype=np.int32)
        if weight.shape != (nodes,):
            raise ValueError(f"{nodes} nodes need {nodes} weights, not {weight.size}")
    order: Ints = native().minimum_degree(starts, adjacent, weight).astype(np.int64)
    return order
