"""What every fit answers about itself: findings, residuals, influence. Thin faces over the room diagnostics/."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property
from typing import TYPE_CHECKING, Any

from .design.stream import need_rows
from .diagnosis import Diagnosis
from .diagnostics import deletion
from .diagnostics.check import Checked, check
from .diagnostics.quantiles import quantile_residuals
from .diagnostics.residual_tests import residual_tests
from .inference.covariance import Inference
from .output import tables
from .plots.checks import checks
from .plots.influence import influence_picture
from .records import Record

if TYPE_CHECKING:
    import pandas as pd

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
        need_rows(self.record.design)
        return check(self.record, self._vcov)

    def check(self) -> Diagnosis:
        """What may be wrong with this fit: what was seen in these data, what it does to the results, what to do.

        Returns a Diagnosis, a sequence of findings, most severe first; `print` shows it, a notebook as HTML. A finding has a code with a
        page in the documentation, a severity ("error": numbers not to be used, "warning": some may mislead, "note": good to know), a
        sentence, the evidence (numbers by name), the consequence and the remedy. No finding is no proof: `plot_check()` shows residuals.
        Never raises for a fit that is there, converged or not, unless its rows are in a file; takes about as long as the fit, and is
        remembered.

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
        self,
        by: str | None = None,
        method: str = "one_step",
        *,
        standardized: bool = True,
        threads: int | None = None,
        progress: bool | None = None,
    ) -> Any:
        """What each row or cluster does to the estimates: a row for each unit that is left out, in the order of rows or levels.

        by : "row"; "cluster", the clusters of a GEE, the outermost grouping of a mixed model, or those of vcov={"cluster": ...}; or the
        name of a grouping or a column of the model, whose values are left out one at a time. Default: rows of a GLM, else clusters.
        method : "refit" fits the model again without the unit. "one_step" is quick: a Newton step from the estimates, exact for rows
        of a gaussian GLM with identity link, and for the coefficients of an LMM given theta; parameters of a working correlation stay.
        standardized : False gives dfbeta_<term> = b - b_u instead of dfbetas
        threads, progress : as in `glimm.Control`

        Returns the unit, rows in it, cooks_distance = (b - b_u)' V^-1 (b - b_u) / p, leverage (units of a GLM, clusters of a GEE), for
        each term dfbetas_<term> = (b - b_u) / se, and of a mixed model change_<name> = parameter with the unit minus without it (theta;
        sigma, or the family's own). b_u is without the unit; V and se are the fit's own, of the vcov asked for at the door. The most
        influential units: `table.nlargest(5, "cooks_distance")`. Units without which there is no such model are NaN, with a warning that
        names them. The leverage of cluster i is tr(H_i M), H_i = X_i'R_i^-1 X_i with rows of X scaled by the variance, M = (sum H_i)^-1:
        p over all; above 0.5 one cluster decides. One step without it is b - b_u = (M^-1 - H_i)^-1 U_i, U_i its score: SAS's DFBETAC;
        dfbetas and Cook's distance are SAS's with vcov="model".
        Raises GlimmError for another `by` or `method`.
        Source: Pregibon (1981), Ann. Stat. 9, 705-724; Preisser and Qaqish (1996), Biometrika 83, 551-562.

        >>> import glimm
        >>> fit = glimm.gee("resp ~ age * smoke", glimm.load_dataset("ohio"), groups="id", family="binomial")
        >>> table = fit.influence()
        >>> list(table.columns)[:5]
        ['id', 'rows', 'cooks_distance', 'leverage', 'dfbetas_Intercept']
        >>> round(float(table["leverage"].sum()), 6)
        4.0
        """
        found = deletion.influence(self.record, self.inference, by, method, threads, progress)
        return tables.from_columns(self.record, found.columns(None if standardized else self.inference.bse))

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

    def quantile_residuals(self, n: int = 250, seed: Any = 0, *, effects: str = "new") -> pd.Series[float]:
        """The rank of each response among n simulated at its row, ties broken at random: uniform in (0, 1) where the model is right.

        n : simulated responses. seed : a whole number or a numpy Generator gives the same residuals again.
        effects : of a mixed model, "new" draws the random effects (rows of one cluster share them, so their residuals belong together),
        "fitted" holds them at `ranef()`. A GLM has none. A GEE draws each row from its margin: the family's distribution at the fitted
        mean, with the estimated dispersion for gaussian, gamma, inverse_gaussian and tweedie, and with dispersion 1 for the others.
        Returns a pandas Series of (0, 1), one value per row used, indexed as `resid` is.
        Raises GlimmError for a family of your own, which has no rule for drawing, for a fit without finite estimates, for n below 20.
        Source: Dunn and Smyth (1996), J. Comput. Graph. Stat. 5, 236-244; Gelman and Hill (2007), Data Analysis Using Regression and
        Multilevel/Hierarchical Models, section 8.3.

        >>> import glimm
        >>> fit = glimm.glm("resp ~ age + smoke", glimm.load_dataset("ohio"), family="binomial")
        >>> u = fit.quantile_residuals()
        >>> len(u), bool(u.between(0, 1).all()), bool(abs(u.mean() - 0.5) < 0.02)
        (2148, True, True)
        """
        return tables.by_row(self.record, quantile_residuals(self.record, n, seed, effects), "quantile_residuals")

    def residual_tests(self, n: int | None = None, seed: Any = 0, *, effects: str = "new", time: Any = None) -> Any:
        """Tests of what the model says of its residuals; their level holds although the parameters were estimated.

        A frame, a row per test that has a meaning for the family, with columns test, statistic, expected (its mean under the model),
        p_value and note:
        uniformity: the largest |F(u) - u| of the quantile residuals, F their distribution (Kolmogorov-Smirnov);
        dispersion: the mean squared Pearson residual (counts and trials; other families estimate it, and a 0/1 response has none);
        zeros: how many responses are 0 (counts, trials, tweedie);
        outliers: rows with less than 1 in 250 simulated responses beyond them, p for more than expected;
        autocorrelation: of neighbouring rows, inside clusters where there are any.

        n : simulated responses, by default 999, or 399 for a GLMM, fewer for many rows, more for many parameters.
        seed : a whole number or a numpy Generator gives the same p-values again.
        effects : of a mixed model, "new" ranks among responses with new random effects, "fitted" looks at each response about the effects
        that it predicts itself (more power inside clusters). time : orders the rows: a column of the model, or one number per row;
        without it they are as the fit has them, or as they stand.

        GLM and mixed model: responses y* are drawn from the fit, and a statistic's distribution is taken given that y* has the score of
        the data (which is zero), by regression on the score: no model is fitted again. GEE: margins are tested by sums over clusters, whose
        variance is estimated between clusters, the influence of the estimates included; so that needs many clusters. Its autocorrelation is
        held against that of all pairs of rows, under corr="independence" and "exchangeable".

        Raises GlimmError as `quantile_residuals` does, and for a time that is no column of numbers.
        Source: Pierce (1982), Ann. Stat. 10, 475-478; Barnard (1963), J. R. Stat. Soc. B 25, 294.

        >>> import glimm
        >>> import numpy as np
        >>> rng = np.random.default_rng(1)
        >>> x = rng.normal(size=300)
        >>> data = {"x": x, "n": rng.poisson(np.exp(0.5 * x) * rng.gamma(1.0, 1.0, 300))}  # counts that vary more than Poisson counts
        >>> table = glimm.glm("n ~ x", data, family="poisson").residual_tests()
        >>> bool(table["p_value"][1] < 0.01), table["test"][1]
        (True, 'dispersion')
        """
        found = residual_tests(self.record, n, seed, effects, time)
        names = ("test", "statistic", "expected", "p_value", "note")
        return tables.from_columns(self.record, {name: [getattr(t, name) for t in found] for name in names})

    def plot_check(self, seed: Any = 0, *, by: Any = None) -> Picture:
        """One page of residuals, each panel with a sentence that says what is seen.

        Quantile residuals against their uniform distribution, against fitted means with smooth quartiles, and by group; zeros or dispersion
        against simulated responses, the spread, or observed against expected probabilities; correlation of rows that follow each other;
        random effects of a mixed model, or residuals along a predictor. Of many rows a sample is drawn as points; all count.

        by : a column of the model, or one value per row, for the panel by group; else the first grouping, cluster or factor
        Returns a matplotlib Figure (`alt` is the page in words). Raises GlimmError as `quantile_residuals` does and for a `by` that is no
        column, and ImportError where matplotlib is missing.

        >>> import glimm
        >>> page = glimm.glm("resp ~ age + smoke", glimm.load_dataset("ohio"), family="binomial").plot_check()
        >>> len(page.axes)
        6
        """
        return checks(self.record, seed, by)
