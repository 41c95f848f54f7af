"""Fits of the three doors: what each answers beside the questions of fit_base."""

from __future__ import annotations

import math
import warnings
from functools import cached_property
from typing import TYPE_CHECKING, Any, final

import numpy as np

from .diagnostics.pairs import correlations
from .errors import GlimmError, GlimmWarning
from .estimators.conditional import conditional_variances, estimated_variances, too_many
from .estimators.lmm import LinearProblem
from .estimators.refit import refit
from .fit_base import LATER, Fit
from .fit_tests import GeeTests, GlmTests
from .inference.association import association_parameters
from .inference.bootstrap import bootstrap
from .inference.criteria import llf_error
from .inference.laplace import LaplaceError, laplace_error
from .inference.penalised_profile import ratio_tests
from .inference.residuals import leverages
from .kernels.matrix import Floats
from .output import tables
from .output.estimates import Estimates
from .plots.correlation import correlation_picture
from .records import GeeRecord, GlmRecord, MixedRecord

if TYPE_CHECKING:
    import pandas as pd

    from .plots.draw import Picture

__all__ = ["LATER", "Fit", "GeeFit", "GlmFit", "GlmmFit"]


@final
class GlmFit(GlmTests, Fit):
    """A fitted generalised linear model."""

    record: GlmRecord

    @property
    def model(self) -> str:
        """GLM."""
        return "GLM: rows independent"

    @cached_property
    def leverage(self) -> pd.Series[float]:
        """Leverages of the rows used (hat values): how much of its own fitted value a row decides, between 0 and 1; their sum is p.

        The diagonal of W^1/2 X (X'WX)^-1 X'W^1/2, W the working weights. `influence()` has them beside Cook's distances and dfbetas.
        Raises NotYetError for families whose coefficients and parameters are estimated together (negative_binomial1, beta).
        Source: Pregibon (1981), Ann. Stat. 9, 705-724.

        >>> import glimm
        >>> fit = glimm.glm("y ~ x", {"y": [2, 3, 6, 7, 8], "x": [0, 1, 2, 3, 4]}, family="poisson")
        >>> round(float(fit.leverage.sum()), 9)
        2.0
        """
        return tables.by_row(self.record, leverages(self.record), "leverage")

    @property
    def penalized_llf(self) -> float:
        """llf + 1/2 log |I(beta)| of a fit with penalty=, I the information of the coefficients as named: what logistf reports.

        AttributeError without a penalty, and for penalty="firth" where the link is not canonical and nothing is maximised.
        """
        if not self.record.penalty:
            raise AttributeError("a fit without penalty= has no penalized_llf: use llf")
        if math.isnan(self.record.penalized_llf):
            raise AttributeError(
                "penalty='firth' with a link that is not canonical has no penalised likelihood: fit with penalty='jeffreys'"
            )
        return self.record.penalized_llf

    def penalized_lr_tests(self) -> Any:
        """Tests of single coefficients being 0 by the penalised likelihood: a row each, term, statistic, df, df_denominator, p_value.

        Of a fit with penalty=. The penalty of the smaller model has the information of all coefficients, as in logistf.
        Raises GlimmError for a fit without a penalised likelihood.
        Source: Heinze and Schemper (2002), Statistics in Medicine 21, 2409-2419.

        >>> import glimm
        >>> data = {"y": [0, 0, 0, 1, 1, 1, 1, 1], "x": [0, 0, 0, 0, 1, 1, 1, 1]}  # all of x = 1 have the event
        >>> fit = glimm.glm("y ~ x", data, family="binomial", penalty="firth")
        >>> fit.penalized_lr_tests().round(4)[["term", "statistic", "p_value"]].values.tolist()
        [['Intercept', 0.8228, 0.3644], ['x', 4.1008, 0.0429]]
        """
        if not self.record.penalty:
            raise GlimmError("penalized_lr_tests: the fit has no penalty; fit with penalty='firth' or penalty='jeffreys'")
        names, found = self.record.design.mean.names, ratio_tests(self.record, self.inference)
        columns = {"term": list(names), "statistic": found.statistic, "df": [1] * len(names)}
        return tables.from_columns(self.record, columns | {"df_denominator": [found.df] * len(names), "p_value": found.p_value})


@final
class GlmmFit(Fit):
    """A fitted (generalised) linear mixed model."""

    record: MixedRecord
    _prepared: LinearProblem | None = None

    @property
    def model(self) -> str:
        """LMM or GLMM."""
        if self.record.linear:
            return f"Linear mixed model ({'REML' if self.record.reml else 'ML'}): conditional on the cluster"
        return "GLMM: conditional on the cluster"

    @property
    def theta(self) -> Floats:
        """Covariance parameters: relative to sigma in an LMM, on the scale of the linear predictor otherwise."""
        return self.record.vector[self.record.blocks["theta"]]

    @property
    def theta_names(self) -> tuple[str, ...]:
        """What each entry of theta is: group.effect, by the covariance structure."""
        return tables.theta_names(self.record)

    @property
    def sigma(self) -> float:
        """Square root of `scale`: the residual standard deviation of a gaussian model, 1 where the family has no dispersion."""
        return float(np.sqrt(self.record.scale))

    @property
    def points(self) -> int:
        """Quadrature points per effect: 1 is Laplace, 0 an LMM."""
        return self.record.points

    @property
    def llf_error(self) -> float:
        """Monte-Carlo standard error of `llf`; that of `aic` and `bic` is twice as large.

        0 where the log-likelihood is exact: always but for designs whose crossed terms are too large to be factorised
        (`glimm.Control(exact_block=)`). The errors of two fits do not cancel, whatever their seeds.

        >>> import glimm
        >>> data = {"y": [1.0, 2.0, 4.0, 3.0, 6.0, 8.0], "x": [0, 1, 2, 0, 1, 2], "g": [1, 1, 1, 2, 2, 2]}
        >>> glimm.glmm("y ~ x + (1 | g)", data).llf_error
        0.0
        """
        return llf_error(self.record)

    def refit(self, y: Any) -> GlmmFit:
        """The same model of another response: for bootstraps and simulations. The number of quadrature points stays as it was found.

        y : (n,) on the scale of the mean (0 and 1, proportions of trials, counts, numbers), for the rows used or all rows of the data.
        A search that did not converge, or separation, is a GlimmWarning; a variance of zero stands in `record.solution` only.
        Raises GlimmError for another length or values that the family cannot have.

        >>> import glimm
        >>> data = {"y": [1.0, 2.0, 4.0, 3.0, 6.0, 8.0], "x": [0, 1, 2, 0, 1, 2], "g": [1, 1, 1, 2, 2, 2]}
        >>> fit = glimm.glmm("y ~ x + (1 | g)", data)
        >>> bool(abs(fit.refit(2.0 * fit.record.design.y).params["x"] / fit.params["x"] - 2.0) < 1e-6)
        True
        """
        record, self._prepared = refit(self.record, y, self._prepared)
        if record.solution.code in ("not_converged", "separated"):
            warnings.warn(f"refit: {record.solution.message}", GlimmWarning, stacklevel=2)
        out = GlmmFit(record, self._vcov)
        out._prepared = self._prepared
        return out

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_prepared"}

    def bootstrap(self, n: int = 1000, seed: Any = None, *, progress: bool | None = None) -> Any:
        """Parametric bootstrap: n responses drawn from this fit with new random effects, the model fitted to each.

        seed : a whole number or a numpy Generator; progress : as in `glimm.Control`
        Returns a frame with a row per replicate: the coefficients by term, theta by name, sigma where the family has it, llf, converged,
        and llf_error where the log-likelihood is by Monte Carlo.
        Percentiles of a column are an interval. Raises GlimmError as `simulate` does.
        Source: Efron and Tibshirani (1993), An Introduction to the Bootstrap, section 6.5.

        >>> import glimm
        >>> data = {"y": [1.0, 2.0, 4.0, 3.0, 6.0, 8.0], "x": [0, 1, 2, 0, 1, 2], "g": [1, 1, 1, 2, 2, 2]}
        >>> glimm.glmm("y ~ x + (1 | g)", data).bootstrap(20, seed=1).shape
        (20, 6)
        """
        return tables.replicates(self.record, bootstrap(self.record, n, seed, progress, self._prepared))

    def laplace_error(self, n: int = 1000, seed: Any = None) -> LaplaceError:
        """How far the Laplace log-likelihood is off at the estimates, by importance sampling from the normal approximation.

        n : draws, half of them mirrored; seed : a whole number or a numpy Generator
        Returns error (log L - Laplace), its Monte-Carlo standard error, and the share of the draws that carry the estimate.
        Raises GlimmError for an LMM, whose log-likelihood is exact, and for a fit by quadrature.
        Source: Shun and McCullagh (1995), J. R. Stat. Soc. B 57, 749-760; Durbin and Koopman (1997), Biometrika 84, 669-684.
        """
        return laplace_error(self.record, n, seed)

    def varcorr(self) -> Any:
        """Variances, standard deviations and correlations of the random effects of every term."""
        return tables.deliver(self.record, tables.varcorr(self.record))

    @cached_property
    def _conditional_variances(self) -> tuple[Floats, ...]:
        return conditional_variances(self.record)

    def ranef(self) -> Any:
        """Conditional modes of the random effects with conditional standard errors: group, level, term, estimate, std_error.

        With several groupings of different kinds the levels are strings. Under ou a term is a time of its level, "t = 2.5".
        Where crossed effects were too many to be factorised (`llf_error` above 0) std_error comes from random probes, and a GlimmWarning
        says how well it is known.
        """
        if unknown := too_many(self.record):
            variances, error = estimated_variances(self.record)
            warnings.warn(
                f"ranef: std_error comes from random probes and is known to about {50.0 * error:.2g} %: {unknown:,} crossed effects "
                f"were not factorised; control=glimm.Control(exact_block={unknown}) gives exact ones",
                GlimmWarning,
                stacklevel=2,
            )
            return tables.deliver(self.record, tables.ranef(self.record, variances))
        return tables.deliver(self.record, tables.ranef(self.record, self._conditional_variances))


@final
class GeeFit(GeeTests, Fit):
    """A fitted GEE."""

    record: GeeRecord

    @property
    def model(self) -> str:
        """GEE."""
        return "GEE: average over the population"

    @property
    def corr_params(self) -> pd.Series[float]:
        """Correlation parameters by name."""
        return tables.by_term(self.record.corr_names, self.record.alpha, "corr_params")

    def working_corr(self) -> pd.DataFrame:
        """The working correlation of the largest cluster, with its times (1, 2, ... if no time was given) on both sides."""
        return tables.working_corr(self.record)

    def residual_corr(self, by: str | None = None) -> Any:
        """Correlations of the residuals of two rows of a cluster, beside the working correlation of the same pairs.

        by : "occasions", each pair of times (1, 2, ... if no time was given); "lag", by distance, neighbouring distances together where
        there are more than 20. Default: occasions where there are at most 12. Rows of corr="nested" are of the same inner cluster or not.

        Returns a frame: first and second (times), or lag (mean distance) with the shortest and longest, or pair; pairs, their number;
        empirical = sum e_j e_k / (phi (pairs - p)), the divisor of the fit's moments; std_error, between clusters; working, the mean over
        the same pairs. Of more than 4 million pairs a sample is taken. Raises GlimmError where no cluster has two rows.

        >>> import glimm
        >>> fit = glimm.gee("resp ~ age", glimm.load_dataset("ohio"), groups="id", corr="ar1", family="binomial")
        >>> fit.residual_corr("lag")[["lag", "pairs", "empirical", "working"]].round(2).values.tolist()
        [[1.0, 1611.0, 0.4, 0.4], [2.0, 1074.0, 0.32, 0.16], [3.0, 537.0, 0.3, 0.06]]
        """
        return tables.residual_corr(self.record, correlations(self.record, by))

    def plot_corr(self, *, title: str | None = None) -> Picture:
        """The picture of `residual_corr`: residual correlation by distance with 95 % limits, the working correlation as a line.

        Beside it, where there are at most 12 occasions, each pair of them: residuals below the diagonal, the working correlation above.
        Returns a matplotlib Figure that a notebook shows; save it with .savefig(path). Raises GlimmError where no cluster has two rows, and
        ImportError where matplotlib is missing.

        >>> import glimm
        >>> fit = glimm.gee("resp ~ age", glimm.load_dataset("ohio"), groups="id", corr="ar1", family="binomial")
        >>> len(fit.plot_corr().axes)
        2
        """
        return correlation_picture(self.record, title)

    @property
    def parts(self) -> dict[str, Estimates]:
        """parts["association"] : log odds ratios of pairs of rows, with robust errors; nothing for working correlations."""
        found = association_parameters(self.record)
        return {} if found is None else {"association": Estimates(found)}

    def resid(self, kind: str = "pearson", *, seed: Any = 0) -> pd.Series[float]:
        """Residuals of the rows used: "response", "pearson", "deviance", "working" or "anscombe"."""
        return super().resid(kind, seed=seed)
