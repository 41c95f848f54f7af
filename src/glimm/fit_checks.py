"""What every fit answers about itself: findings, residuals, influence. Thin faces over the room diagnostics/."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property
from typing import TYPE_CHECKING, Any

from .diagnosis import Diagnosis
from .diagnostics import deletion
from .diagnostics.check import Checked, check
from .inference.covariance import Inference
from .output import tables
from .plots.influence import influence_picture
from .records import Record

if TYPE_CHECKING:
    from .plots.draw import Picture


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

    def influence(
        self, by: str | None = None, method: str = "one_step", *, threads: int | None = None, progress: bool | None = None
    ) -> Any:
        """What each row or cluster does to the estimates: a row for each unit that is left out, in the order of rows or levels.

        by : "row"; "cluster", the clusters of a GEE, the outermost grouping of a mixed model, or those of vcov={"cluster": ...}; or the
        name of a grouping or a column of the model, whose values are left out one at a time. Default: rows of a GLM, else clusters.
        method : "refit" fits the model again without the unit. "one_step" is quick: a Newton step from the estimates, exact for rows
        of a gaussian GLM with identity link, and for the coefficients of an LMM given theta; parameters of a working correlation stay.
        threads, progress : as in `glimm.Control`

        Returns the unit, rows in it, cooks_distance = (b - b_u)' V^-1 (b - b_u) / p, leverage (rows of a GLM), for each term
        dfbetas_<term> = (b - b_u) / se, and of a mixed model change_<name> = parameter with the unit minus without it (theta; sigma, or
        the family's own). b_u is without the unit; V and se are the fit's own, of the vcov asked for at the door. The most influential
        units: `table.nlargest(5, "cooks_distance")`. Units without which there is no such model are NaN, with a warning that names them.
        Raises GlimmError for another `by` or `method`.
        Source: Pregibon (1981), Ann. Stat. 9, 705-724; Preisser and Qaqish (1996), Biometrika 83, 551-562.

        >>> import glimm
        >>> fit = glimm.gee("resp ~ age * smoke", glimm.load_dataset("ohio"), groups="id", family="binomial")
        >>> table = fit.influence()
        >>> list(table.columns)[:4]
        ['id', 'rows', 'cooks_distance', 'dfbetas_Intercept']
        """
        found = deletion.influence(self.record, self.inference, by, method, threads, progress)
        return tables.from_columns(self.record, found.columns())

    def plot_influence(
        self,
        by: str | None = None,
        method: str = "one_step",
        *,
        term: str | None = None,
        top: int = 5,
        title: str | None = None,
        threads: int | None = None,
        progress: bool | None = None,
    ) -> Picture:
        """The picture of `influence`: Cook's distance of every unit, and the dfbetas of one coefficient, the largest units named.

        term : the coefficient, by default the one that some unit moves by most standard errors; top : how many units are named
        Other arguments as in `influence`. Returns a matplotlib Figure that a notebook shows; save it with .savefig(path).

        >>> import glimm
        >>> fit = glimm.gee("resp ~ age * smoke", glimm.load_dataset("ohio"), groups="id", family="binomial")
        >>> len(fit.plot_influence(top=3).axes)
        2
        """
        found = deletion.influence(self.record, self.inference, by, method, threads, progress)
        return influence_picture(found, term, top, title)
