"""Clusters whose rows follow each other: pieces of whole ones, and the check that none comes back.

rows in order = piece 1, piece 2, ...; a cluster's rows are in one piece.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from ..errors import GlimmError
from .columns import level_array
from .frames import Frame
from .readers import read_factor
from .records import Variable
from .sources import one_frame


def whole_clusters(frames: Iterable[Frame], group: str) -> Iterator[Frame]:
    """The same rows in tables of whole clusters of column `group`, each of about as many rows, or one larger cluster."""
    held: list[Any] = []
    last: Any = None
    for frame in frames:
        table = frame.native
        factor = read_factor(group, table.column(group), table.num_rows)
        assert factor.codes is not None
        known = np.flatnonzero(factor.codes >= 0)
        if not len(known):
            held.append(table)
            continue
        codes = factor.codes[known]
        new = known[1:][np.diff(codes) != 0]
        if last is not None and factor.levels[codes[0]] != last:
            new = np.concatenate([known[:1], new])
        last = factor.levels[codes[-1]]
        cut = int(new[-1]) if len(new) else 0
        if len(new) and (cut or held):
            yield one_frame([*held, table.slice(0, cut)])
            held = []
        held.append(table.slice(cut))
    if held:
        yield one_frame(held)


class Runs:
    """Clusters in the order of the file, to see that the rows of each follow each other."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.levels: list[Any] = []
        self._count, self._checked = 0, 0

    def add(self, factor: Variable) -> None:
        """The clusters of one piece; raises GlimmError for one that was there before."""
        assert factor.codes is not None
        codes = factor.codes[factor.codes >= 0]
        first = np.flatnonzero(np.diff(codes, prepend=-1) != 0)
        self.levels.append(level_array(factor.levels)[codes[first]] if len(codes) else np.zeros(0))
        self._count += len(first)
        if self._count > 2 * self._checked + 100_000:
            self.check()

    def check(self) -> None:
        """Raise GlimmError for a cluster whose rows do not follow each other."""
        import pandas as pd

        found = pd.Series(np.concatenate([part.astype(object) if part.dtype.kind == "O" else part for part in self.levels]))
        again = found.duplicated()
        if again.any():
            raise GlimmError(
                f"the rows of cluster {found[again].tolist()[0]!r} of {self.name!r} do not follow each other in the file, which is "
                f"read in batches of whole clusters: sort the file by {self.name!r}, or fit in memory, data=glimm.read(path)"
            )
        self._checked = self._count
