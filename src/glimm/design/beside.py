"""Columns of the rows used that no formula names, read when they are asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.columns import level_array
from ..data.frames import open_frame
from ..errors import GlimmError
from ..kernels.matrix import Ints


class BesideColumns(Mapping[str, NDArray[Any]]):
    """The caller's columns on the rows used: numbers, or levels. read : those that were asked for.

    Raises GlimmError for a column that is not there, and for one with missing values in these rows.
    """

    def __init__(self, data: Any, rows: Ints) -> None:
        self._frame, self._rows = open_frame(data), rows
        self.read: dict[str, NDArray[Any]] = {}

    def __getitem__(self, name: str) -> NDArray[Any]:
        if name not in self.read:
            variable = self._frame.variable(name)
            if variable.missing is not None and variable.missing[self._rows].any():
                row = int(self._rows[int(np.argmax(variable.missing[self._rows]))])
                raise GlimmError(
                    f"corr: column {name!r} has a missing value in row {row} (counting from 0), which the model uses: leave out such rows "
                    f"first, or do not use {name!r}"
                )
            if variable.values is not None:
                self.read[name] = variable.values[self._rows]
            else:
                assert variable.codes is not None
                self.read[name] = level_array(variable.levels)[variable.codes[self._rows]]
        return self.read[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._frame.names)

    def __len__(self) -> int:
        return len(self._frame.names)
