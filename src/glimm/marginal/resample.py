"""Averages of refitted models: independent clusters drawn with replacement, the model fitted to each draw, averaged over its rows.

Source: Davison and Hinkley (1997), Bootstrap Methods and Their Application, section 3.8; Field and Welsh (2007), J. R. Stat. Soc. B 69.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np

from ..design.records import Clusters
from ..design.replay import Population
from ..design.take import take_rows
from ..errors import GlimmError, GlimmWarning
from ..estimators.again import fit_again
from ..inference.covariance import Inference
from ..inference.influence import independent_clusters
from ..inference.simulate import generator
from ..kernels.matrix import Floats, Ints
from ..progress import Progress
from ..records import Record
from .averages import Cells, Quantity, averages, some, some_of
from .population import Wish

MOST_LOST = 0.2


def resampled(
    record: Record, inference: Inference, population: Population, quantities: Sequence[Quantity], cells: Cells, wish: Wish
) -> Floats:
    """(B, S, G) averages of the fits to resampled clusters.

    Draws that cannot be fitted, or leave a subgroup empty, are left out with a warning that counts them; more than a fifth is an error.
    """
    clusters, rng = independent_clusters(record, inference.vcov), generator(wish.seed)
    out, lost = [], 0
    with Progress("bootstrap", wish.draws, None) as bar:
        for _ in range(wish.draws):
            rows, copy = draw(clusters, rng)
            found = _one(record, population, quantities, cells, wish.target, rows, copy)
            if found is None:
                lost += 1
            else:
                out.append(found)
            bar.step()
    if lost > MOST_LOST * wish.draws:
        raise GlimmError(f"bootstrap: {lost} of {wish.draws} resampled data sets could not be fitted: use errors='delta' or 'sampled'")
    if lost:
        message = f"bootstrap: {lost} of {wish.draws} resampled data sets could not be fitted and are left out"
        warnings.warn(message, GlimmWarning, stacklevel=5)
    return np.array(out)


def draw(clusters: Clusters, rng: np.random.Generator) -> tuple[Ints, Ints]:
    """(rows, copy of each): as many clusters as there are, drawn with replacement; each time a cluster is drawn is a copy."""
    chosen = np.sort(rng.integers(0, len(clusters.levels), len(clusters.levels)))
    first = np.unique(chosen, return_index=True, return_inverse=True)
    copies = np.arange(len(chosen)) - first[1][first[2].ravel()]
    sizes = clusters.sizes[chosen]
    within = np.arange(int(sizes.sum())) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    rows = clusters.order[np.repeat(clusters.starts[chosen], sizes) + within]
    return np.asarray(rows, dtype=np.int64), np.repeat(copies, sizes).astype(np.int64)


def _one(
    record: Record, population: Population, quantities: Sequence[Quantity], cells: Cells, target: str, rows: Ints, copy: Ints
) -> Floats | None:
    """The averages of one draw, None where it cannot be fitted."""
    weight = None if cells.weight is None else cells.weight[rows]
    own = Cells(cells.of[rows], cells.count, weight)
    if not own.rows.all():
        return None
    try:
        again = fit_again(record, take_rows(record.design, rows, copy))
    except (GlimmError, np.linalg.LinAlgError):
        return None
    if again.solution.code == "not_converged" or not np.isfinite(again.vector).all():
        return None
    drawn = [tuple(some_of(setting, rows) for setting in quantity) for quantity in quantities]
    return averages(again, some(population, rows), drawn, own, target).values
