"""A design of some of its rows, any of them several times: one cluster alone, or clusters drawn anew.

Columns keep their working coordinates, so that a vector means the same for the part as for the whole.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..kernels.matrix import Block, Codes, Floats, Ints, Matrix
from .clusters import gather, row_codes
from .records import Clusters, Design, RandomTerm


def take_rows(design: Design, rows: Ints, copy: Ints | None = None) -> Design:
    """The design of these rows.

    rows : (m,) positions among the rows used; copy : (m,) equal levels of different copies become different levels, None for one copy
    `columns`, `inputs`, `rows`, `labels` and the account of missing values stay those of the whole.
    """
    part = design.mean
    terms = tuple(_term(term, rows, copy) for term in part.random)
    parts = {
        name: replace(p, matrix=take_matrix(p.matrix, rows), offset=_some(p.offset, rows), random=terms if name == "mean" else ())
        for name, p in design.parts.items()
    }
    clusters = {name: _clusters(c, rows, copy) for name, c in design.clusters.items()}
    return replace(
        design,
        y=design.y[rows],
        trials=_some(design.trials, rows),
        weights=_some(design.weights, rows),
        parts=parts,
        clusters=clusters,
        beside={name: values[rows] for name, values in design.beside.items()},
    )


def take_matrix(matrix: Matrix, rows: Ints) -> Matrix:
    """Some rows of a matrix."""
    blocks = tuple(Block(b.positions, _some(b.values, rows), None if b.codes is None else b.codes[rows]) for b in matrix.blocks)
    return Matrix(len(rows), matrix.p, blocks)


def _some(values: Floats | None, rows: Ints) -> Floats | None:
    return None if values is None else np.ascontiguousarray(values[rows])


def _relabelled(codes: NDArray[Any], rows: Ints, copy: Ints | None, count: int) -> tuple[Ints, Codes]:
    """(levels as they were (J,), new level of each row), levels in order of copy, then of their own."""
    keys = codes[rows].astype(np.int64)
    if copy is not None:
        keys += count * copy
    found, refs = np.unique(keys, return_inverse=True)
    return np.asarray(found % count), refs.ravel().astype(np.int32)


def _term(term: RandomTerm, rows: Ints, copy: Ints | None) -> RandomTerm:
    levels, refs = _relabelled(term.refs, rows, copy, len(term.levels))
    out = replace(term, levels=term.levels[levels], refs=refs, z=np.asfortranarray(term.z[rows]))
    if term.cells is None:
        return out
    assert term.cell_refs is not None
    assert term.times is not None
    cells, places = _relabelled(term.cells, rows, copy, len(term.times))
    of = np.empty(len(cells), dtype=np.int32)
    of[places] = refs
    return replace(out, cells=places, cell_refs=of, times=term.times[cells])


def _clusters(clusters: Clusters, rows: Ints, copy: Ints | None) -> Clusters:
    levels, refs = _relabelled(row_codes(clusters), rows, copy, len(clusters.levels))
    time, inner = _some(clusters.time, rows), _some(clusters.inner, rows)
    return Clusters(clusters.name, clusters.levels[levels], *gather(refs, len(levels), time if inner is None else inner), time, inner)
