"""What every fit answers about itself: findings, residuals, influence. Thin faces over the room diagnostics/."""

from __future__ import annotations

from abc import ABC, abstractmethod

from .inference.covariance import Inference
from .records import Record


class Checks(ABC):
    """Questions about what may be wrong with a fit."""

    record: Record

    @property
    @abstractmethod
    def inference(self) -> Inference:
        """Coefficients with the covariance asked for at the door."""
