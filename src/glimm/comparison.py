"""What glimm.compare gives: a thin face over the record of fits side by side, as text, HTML, tables and a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final

from .errors import GlimmError
from .output.compare import Compared
from .output.html import fragment
from .output.side_by_side import WIDTH, Column, Model
from .output.terminal import render
from .plots.forest import forest

if TYPE_CHECKING:
    from .plots.draw import Picture


@final
class Comparison:
    """Fits side by side. `print(comparison)` shows it, a notebook as HTML.

    record : the frozen record behind it
    """

    def __init__(self, record: Compared) -> None:
        self.record = record

    def __str__(self) -> str:
        return render(self.record.sections, WIDTH)

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return fragment(self.record.sections)

    @property
    def models(self) -> tuple[Model, ...]:
        """One per fit: number, name, record."""
        return self.record.models

    @property
    def columns(self) -> tuple[Column, ...]:
        """One per fit and kind of standard errors."""
        return self.record.columns

    @property
    def notes(self) -> tuple[str, ...]:
        """What the reader must know, in sentences."""
        return self.record.notes

    @property
    def table(self) -> Any:
        """One row per column and term: fit, model, target, term, estimate, std_error, conf_low, conf_high, se_kind."""
        return self.record.table

    @property
    def effects(self) -> Any:
        """One row per column and target of the effect asked for: fit, model, target, variable, contrast, estimate, std_error, p_value,
        conf_low, conf_high, se_kind. Raises GlimmError where none was asked for."""
        if self.record.effect is None:
            raise GlimmError("this comparison has no effects: glimm.compare(*fits, effect='variable') has")
        return self.record.effects

    @property
    def criteria(self) -> Any:
        """One row per fit: fit, model, llf, aic, bic, and compare_with: the numbers of the fits with which these may be compared.

        Of several GEE with the same family, rows and weights also qic and cic, as in `fit.qic`. Where a log-likelihood is by Monte Carlo
        also llf_error, aic_error and bic_error, 0 for exact ones.
        """
        return self.record.criteria

    def plot(self) -> Picture:
        """The forest plot of the effect asked for: every fit's estimate with its interval, brought to the same target.

        Returns a matplotlib Figure that a notebook shows. Raises GlimmError where no effect was asked for, ImportError without matplotlib.

        >>> import glimm
        >>> ohio = glimm.load_dataset("ohio")
        >>> a = glimm.glm("resp ~ smoke", ohio, family="binomial")
        >>> b = glimm.gee("resp ~ smoke", ohio, groups="id", family="binomial")
        >>> glimm.compare(a, b, effect="smoke").plot().axes[0].get_xlabel()
        'risk difference by smoke'
        """
        if self.record.effect is None:
            raise GlimmError("plot: this comparison has no effects: glimm.compare(*fits, effect='variable') has")
        return forest(*self.record.drawn())
