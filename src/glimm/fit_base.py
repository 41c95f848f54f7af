"""What every fit answers: thin faces over records. A method is a question put to a room below; what is dear is remembered here."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from .design.replay import read_rows
from .design.stream import StreamedDesign
from .fit_bridges import Bridges
from .fit_checks import Checks
from .fit_coefficients import Coefficients
from .fit_outside import Outside
from .fit_tests import Tests
from .inference import criteria
from .inference.covariance import Inference, infer
from .inference.parameters import family_parameters
from .inference.quasi_information import quasi_criteria
from .inference.residuals import residuals_of
from .inference.simulate import simulate
from .inference.variance_explained import components, icc, mean_without_predictors, r2
from .kernels.matrix import Floats
from .marginal.predict import check, needs_effects, predict
from .output import tables
from .output.estimates import Estimates
from .output.summary import Summary, summary_text
from .plots.picture import Wish, picture
from .plots.words import Wording
from .records import GeeRecord, MixedRecord, Record

if TYPE_CHECKING:
    import pandas as pd

    from .plots.draw import Picture

LATER: Final = MappingProxyType(
    {
        "to_dict": "pickle the fit",
    }
)
"""Names of later releases, and what to do until then; asking for one is an AttributeError, so that hasattr is False."""


class Fit(Coefficients, Bridges, Checks, Outside, Tests):
    """What every fit answers. Frames come in the caller's kind; Series are pandas, indexed by term.

    record : the frozen record behind it
    """

    record: Record

    def __init__(self, record: Record, vcov: Any) -> None:
        self.record = record
        self._vcov = vcov

    if not TYPE_CHECKING:  # a type checker is to know the names that there are

        def __getattr__(self, name: str) -> Any:
            if name in LATER:
                raise AttributeError(f"fit.{name} is not in this release: {LATER[name]}")
            return object.__getattribute__(self, name)  # an unknown name, or a property that raised: its own message

    @property
    @abstractmethod
    def model(self) -> str:
        """The model's name in words."""

    @cached_property
    def inference(self) -> Inference:
        """Coefficients with the covariance asked for at the door."""
        return infer(self.record, self._vcov)

    @property
    def df_resid(self) -> int:
        """Rows used minus coefficients; a frequency weight counts its row so many times."""
        return self.record.design.nobs - self.record.design.mean.matrix.p

    @property
    def llf(self) -> float:
        """The full log-likelihood, constants included; a GEE has none (AttributeError)."""
        return criteria.criteria(self.record)["llf"]

    @property
    def aic(self) -> float:
        """-2 llf + 2 parameters."""
        return criteria.criteria(self.record)["aic"]

    @property
    def bic(self) -> float:
        """-2 llf + log(nobs) parameters."""
        return criteria.criteria(self.record)["bic"]

    @property
    def deviance(self) -> float:
        """Deviance at the fitted means (conditional on the clusters in a mixed model)."""
        return criteria.deviance(self.record)

    @cached_property
    def fittedvalues(self) -> pd.Series[float]:
        """Fitted means of the rows used, indexed as the caller's frame is."""
        return tables.by_row(self.record, criteria.fitted(self.record), "fittedvalues")

    @property
    def parts(self) -> dict[str, Estimates]:
        """Parameters other than the mean's coefficients, by the part of the model that they are of: each with its own params and bse.

        parts["family"] : k, alpha, phi, power, precision, or those of your own family, by maximum likelihood, on their natural scale.

        >>> import glimm
        >>> data = {"y": [0, 3, 1, 9, 2, 0, 5, 14], "x": [0, 0, 0, 0, 1, 1, 1, 1]}
        >>> fit = glimm.glm("y ~ x", data, family="negative_binomial")
        >>> fit.parts["family"].params.round(2).to_dict()
        {'k': 0.83}
        """
        found = family_parameters(self.record)
        return {} if found is None else {"family": Estimates(found)}

    def resid(self, kind: str = "deviance", *, seed: Any = 0) -> pd.Series[float]:
        """Residuals of the rows used, a Series.

        kind : "response" y - mu; "pearson" (y - mu) sqrt(w / v(mu)); "deviance" sign(y - mu) sqrt(w d); "working" (y - mu) g'(mu);
        "anscombe", which transforms y and mu so that skewness vanishes. Of a GLM also "quantile", standard normal where the model is
        right, at random inside the steps of a discrete distribution (`seed`); "standardized_pearson" and "standardized_deviance", over
        sqrt(phi (1 - leverage)); "likelihood", about by how much the deviance falls without the row.
        Raises GlimmError for another kind, NotYetError for what a fit does not have.
        Source: McCullagh and Nelder (1989), Generalized Linear Models, sections 2.4 and 12.4; Dunn and Smyth (1996), J. Comput. Graph.
        Stat. 5, 236-244; Williams (1987), Appl. Stat. 36, 181-191.

        >>> import glimm
        >>> fit = glimm.glm("y ~ x", {"y": [2, 3, 6, 7, 8], "x": [0, 1, 2, 3, 4]}, family="poisson")
        >>> fit.resid("anscombe").round(3).tolist()
        [-0.311, -0.226, 0.575, 0.201, -0.319]
        """
        return tables.by_row(self.record, residuals_of(self.record, kind, seed), f"resid_{kind}")

    def glance(self) -> Any:
        """One row about the whole fit; llf_error, aic_error and bic_error where the log-likelihood is by Monte Carlo."""
        numbers = {} if criteria.without_likelihood(self.record) else criteria.criteria(self.record) | criteria.criteria_errors(self.record)
        if isinstance(self.record, GeeRecord):
            numbers = quasi_criteria(self.record)
        return tables.deliver(self.record, tables.glance(self.record, numbers))

    def augment(self) -> Any:
        """One row per row used: its position in the caller's data, response, fitted value, residual.

        Columns row, the response, fitted, resid_deviance (resid_pearson for a GEE); a response that is itself called like one of
        these gets an underscore at its end, for example `fitted_`.
        """
        kind = "pearson" if isinstance(self.record, GeeRecord) else "deviance"
        return tables.deliver(
            self.record, tables.augment(self.record, criteria.fitted(self.record), criteria.residuals(self.record, kind), kind)
        )

    def predict(
        self,
        newdata: Any = None,
        *,
        scale: str = "response",
        target: str | None = None,
        interval: str | None = None,
        level: float = 0.95,
        offset: Any = None,
        exposure: Any = None,
    ) -> Any:
        """Predicted means, one per row of newdata (default: the rows used; no rows give none); NaN where a predictor is missing.

        scale : "response" or "link". target : "conditional" (with the cluster's effect; a GLMM's default), "typical" (effects at zero),
        "marginal" (averaged over the effects; the only one of GLM and GEE). offset, exposure : for the rows of newdata in place of the
        fit's own, the name of a column of newdata or one number per row; needed where the fit was given arrays, refused without newdata.
        interval : a frame estimate, std_error, conf_low, conf_high at `level`, about
        "confidence" - the mean itself. Of a known cluster (target "conditional") with the uncertainty of its effect, given the variances of
        the effects; of an unknown one with the variance of a new cluster's; "marginal" with the uncertainty of those variances. Of a
        GEE with each row's own degrees of freedom, where vcov= asks for such.
        "cluster" - the mean of another cluster, h(eta -+ q sqrt(v + se^2)), v the variance of its effects: mixed models, target "marginal"
        (then the default) or "typical", which differ in the estimate. std_error is the standard deviation of clusters' means.
        "prediction" - the response of one more row: of a new cluster ("marginal"), of one with effects zero ("typical"), of this one
        ("conditional"). Gaussian with identity link: estimate -+ q sqrt(v + se^2 + sigma^2 / weight). Else the quantiles and the standard
        deviation of the family's distribution with its linear predictor N(eta, v + se^2), its own parameters as estimated. The weights of
        the rows used divide the dispersion of families that have one; rows of newdata have weight 1, and need the trials of a proportion.

        Raises GlimmError for an unseen level of a factor, and for what the model has not: the clusters of a GLM or GEE, the responses of
        a GEE or of a family of your own. The effect of an unseen cluster is zero, with a warning that counts rows.

        >>> import glimm
        >>> data = {"y": [1.0, 2.0, 4.0, 3.0, 6.0, 8.0], "x": [0, 1, 2, 0, 1, 2], "g": [1, 1, 1, 2, 2, 2]}
        >>> fit = glimm.glmm("y ~ x + (1 | g)", data)
        >>> for interval in ("confidence", "cluster", "prediction"):
        ...     print(fit.predict({"x": [1.0]}, target="typical", interval=interval).round(1).to_numpy())
        [[4.  1.7 0.7 7.3]]
        [[ 4.   2.9 -1.6  9.6]]
        [[4.  1.8 0.5 7.5]]
        """
        target = check(self.record, scale, target, interval)
        new = read_rows(self.record.design, newdata, offset, exposure, needs_effects(target, interval), interval == "prediction")
        return tables.prediction(self.record, predict(self.record, self.inference, new, scale, target, interval, level), interval)

    def simulate(self, n: int = 1, seed: Any = None, *, effects: str = "new") -> Floats:
        """(rows used, n) responses drawn from the fitted model, one simulation a column, on the scale of the mean: `refit` takes a column.

        n : simulations. seed : a whole number or a numpy Generator gives the same draws again; None does not.
        effects : "new" draws the random effects of a mixed model from their estimated distribution, as for other clusters of the same
        sizes; "fitted" holds them at `ranef()`, for the same clusters again. The estimates have no uncertainty of their own here.
        Weights divide the dispersion where the family has one; elsewhere they are left out, with a GlimmWarning.
        Raises GlimmError for a GEE, which has no distribution, and where drawn effects lead to means that the family cannot have.

        >>> import glimm
        >>> fit = glimm.glmm("resp ~ age * smoke + (1 | id)", glimm.load_dataset("ohio"), family="binomial", points=9)
        >>> draws = fit.simulate(200, seed=1)
        >>> draws.shape, bool(abs(draws.mean() - fit.record.design.y.mean()) < 0.01)
        ((2148, 200), True)
        """
        return simulate(self.record, n, seed, effects)

    def icc(self, *, method: str | None = None) -> Any:
        """Intraclass correlations of a mixed model: one row per grouping factor and one for the total.

        Columns group; adjusted, its share of the variance that predictors leave; conditional, its share of all variance; variance of its
        effects, averaged over rows where slopes are random; var_fixed, var_observation (effects with a level for every row),
        var_distribution, and the method of the latter. `r2` says what method may be.

        >>> import glimm
        >>> fit = glimm.glmm("resp ~ age * smoke + (1 | id)", glimm.load_dataset("ohio"), family="binomial", points=9)
        >>> v = fit.varcorr()["variance"][0]
        >>> bool(abs(fit.icc()["adjusted"][0] - v / (v + 3.289868)) < 1e-6)
        True
        """
        return tables.from_columns(self.record, icc(components(self.record, method, lambda: self._typical_mean, "icc")))

    def r2(self, *, method: str | None = None) -> Any:
        """Marginal (predictors) and conditional (predictors and random effects) R2 of a mixed model, with the variances they come from.

        Columns marginal, conditional, var_random, var_fixed (of X beta over the rows used), var_observation, var_distribution, method.
        method : how the family's variance comes to the scale of the linear predictor. "exact": gaussian with identity link, sigma^2.
        "theoretical": binomial, pi^2/3 for logit, 1 for probit, pi^2/6 for cloglog. "lognormal" (default for log links), "trigamma" and
        "delta": log(1 + c), trigamma(1/c), c, with c = Var(Y) / mu^2 at the mean mu of the model without predictors, which is fitted
        for this. "delta" is Var(Y) / h'^2 for other links, and has to be asked for. Raises GlimmError for GLM and GEE.
        Source: Nakagawa, Johnson and Schielzeth (2017), J. R. Soc. Interface 14: 20170213; Johnson (2014), Methods Ecol. Evol. 5, 944-946.

        >>> import glimm
        >>> fit = glimm.glmm("resp ~ age * smoke + (1 | id)", glimm.load_dataset("ohio"), family="binomial", points=9)
        >>> table = fit.r2()
        >>> bool(table["marginal"][0] < table["conditional"][0]), table["method"][0]
        (True, 'theoretical')
        """
        return tables.from_columns(self.record, r2(components(self.record, method, lambda: self._typical_mean, "r2")))

    @cached_property
    def _typical_mean(self) -> float:
        assert isinstance(self.record, MixedRecord)
        return mean_without_predictors(self.record)

    def plot(
        self,
        variable: str,
        *,
        clusters: str | None = "real",
        at: Mapping[str, Any] | None = None,
        to_axis: Callable[[Floats], Any] | None = None,
        x_label: str | None = None,
        y_label: str | None = None,
        title: str | None = None,
        one: str | None = None,
        many: str | None = None,
        seed: int = 0,
    ) -> Picture:
        """The picture of one predictor: the population average in bold and, in a mixed model, curves of single clusters in grey.

        variable : any predictor; numbers give curves over their range, factors (and numbers with two values) categories.
        clusters : "real", those of the first grouping at their predicted effects, of more than 600 a sample of 200; "draws", 100 from
        the estimated distribution of the random effects with this seed; None. GLM and GEE have no curve of one cluster: the average
        with its 95 % band.
        at : other predictors held at a value, {"smoke": 1}; else their own values in each row, or in each cluster (mixed models:
        its mean, or most frequent level). to_axis : from the predictor's units to the axis', such as lambda age: age + 9.
        one, many : what a cluster is called, "child" and "children"; labels and title : in your own words.

        Returns a matplotlib Figure that a notebook shows; save it with .savefig(path). Raises GlimmError for what is no
        predictor, naming those there are, and ImportError where matplotlib is missing.

        >>> import glimm
        >>> fit = glimm.glmm("pass ~ hours + (1 | pupil)", glimm.load_dataset("classroom"), family="binomial")
        >>> fit.plot("hours", many="pupils").axes[0].get_ylabel()
        'probability of pass = 1'
        """
        wish = Wish(clusters, at, to_axis, Wording(x_label, y_label, title, one, many), seed)
        return picture(self.record, self.inference, variable, wish)

    def summary(self, *, level: float = 0.95) -> Summary:
        """The fit in words and numbers: text, which a prompt shows as it is printed and a notebook as HTML.

        level : of the confidence intervals. Errors and warnings of `check()` stand in it, in short (not of a fit from a file).
        """
        findings = () if isinstance(self.record.design, StreamedDesign) else self._checked.findings
        return summary_text(self.model, self.record, self.inference, level, findings)

    def _repr_html_(self) -> str:
        return self.summary()._repr_html_()

    def __repr__(self) -> str:
        d = self.record.design
        return f"<{type(self).__name__}: {d.spec.formula.text}, {self.record.family.name} {d.mean.link.name}, {d.n} rows>"
