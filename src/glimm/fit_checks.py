"""What every fit answers about itself: findings, residuals, influence. Thin faces over the room diagnostics/."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property
from typing import Any

from .diagnosis import Diagnosis
from .diagnostics.check import Checked, check
from .inference.covariance import Inference
from .records import Record


class Checks(ABC):
    """Questions about what may be wrong with a fit."""

    record: Record
    _vcov: Any

    @property
    @abstractmethod
    def model(self) -> str:
        """The model's name in words."""

    @property
    @abstractmethod
    def inference(self) -> Inference:
        """Coefficients with the covariance asked for at the door."""

    @cached_property
    def _checked(self) -> Checked:
        return check(self.record, self._vcov)

    def check(self) -> Diagnosis:
        """What may be wrong with this fit: what was seen in these data, what it does to the results, what to do.

        Returns a Diagnosis, a sequence of findings, most severe first; `print` shows it, a notebook as HTML. A finding has a code with a
        page in the documentation, a severity ("error": numbers not to be used, "warning": some may mislead, "note": good to know), a
        sentence, the evidence (numbers by name), the consequence and the remedy. No finding is no proof: `plot_check()` shows residuals.
        Never raises for a fit that is there, converged or not; takes less time than the fit, and is remembered.

        >>> import glimm
        >>> data = {"y": [0, 0, 0, 1, 1, 1], "x": [1, 2, 3, 4, 5, 6]}
        >>> import warnings
        >>> with warnings.catch_warnings():
        ...     warnings.simplefilter("ignore")
        ...     fit = glimm.glm("y ~ x", data, family="binomial")
        >>> fit.check().codes
        ('separated',)
        >>> fit.check()["separated"].evidence["complete"]
        True
        """
        return Diagnosis(self.model, self.record, self._checked)
