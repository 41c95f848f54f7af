"""A fitted GLM with zero inflation, a model of its dispersion, or both: a thin face over its record."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn, final

from .design.parts import read_parts
from .errors import GlimmError, GlimmWarning, NotYetError
from .fit import LATER, GlmFit
from .fit_coefficients import Coefficients
from .fit_tests import Tests
from .inference import parts as questions
from .inference.covariance import Inference
from .inference.criteria import criteria
from .inference.parts import PartsInference, infer_parts
from .kernels.matrix import Floats
from .marginal import effects
from .marginal.parts import check_moves, check_parts, predict_parts
from .marginal.population import Wish, make_wish
from .output import tables
from .output.estimates import Estimates, TermEstimates
from .output.parts import model_words, summary_of_parts
from .output.summary import Summary
from .records import PartsRecord

if TYPE_CHECKING:
    import pandas as pd


@final
class PartsFit(Coefficients, Tests):
    """A fitted GLM with zero= (extra zeros), dispersion= (a model of the family's own parameter), or both.

    `params`, `bse` and tests are of the mean model; `parts["zero"]`, `parts["dispersion"]` and `parts["family"]` have the rest. What other
    fits answer and this one does not is an error that says so.

    record : the frozen record behind it
    """

    record: PartsRecord

    def __init__(self, record: PartsRecord, vcov: Any) -> None:
        self.record = record
        self._vcov = vcov

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            if name in LATER:
                raise AttributeError(f"fit.{name} is not in this release: {LATER[name]}")
            if name.startswith("_") or not hasattr(GlmFit, name):
                raise AttributeError(f"a fit with zero= or dispersion= has no {name!r}")
            if not inspect.isfunction(getattr(GlmFit, name)):
                raise AttributeError(f"fit.{name} is not there with zero= or dispersion=")

            def refused(*_: Any, **__: Any) -> NoReturn:
                raise NotYetError(f"fit.{name} is not there with zero= or dispersion=")

            return refused

    @property
    def model(self) -> str:
        """The model's name in words."""
        return model_words(self.record)

    @cached_property
    def parts_inference(self) -> PartsInference:
        """Coefficients of every part, with the covariance asked for at the door."""
        return infer_parts(self.record, self._vcov)

    @property
    def inference(self) -> Inference:
        """Coefficients of the mean model with the covariance asked for at the door."""
        return self.parts_inference.parts["mean"]

    @property
    def parts(self) -> dict[str, Any]:
        """Parameters other than the mean's coefficients: "zero" (logit), "dispersion" (log) and "family", those that are there.

        "zero" and "dispersion" have params, bse, tvalues, pvalues, conf_int() and cov_params() by term; "family" has params and bse of the
        family's own parameter, on its natural scale.
        """
        out: dict[str, Any] = {name: TermEstimates(found) for name, found in self.parts_inference.parts.items() if name != "mean"}
        own = questions.family_of_parts(self.record, self.parts_inference.joint)
        return out if own is None else {**out, "family": Estimates(own)}

    @property
    def df_resid(self) -> int:
        """Rows used minus parameters of all parts."""
        return self.record.design.n - len(self.record.vector)

    @property
    def llf(self) -> float:
        """The full log-likelihood, constants included."""
        return self.record.llf

    @property
    def aic(self) -> float:
        """-2 llf + 2 parameters."""
        return criteria(self.record)["aic"]

    @property
    def bic(self) -> float:
        """-2 llf + log(nobs) parameters."""
        return criteria(self.record)["bic"]

    @property
    def endog_names(self) -> str:
        """The response's name, as statsmodels calls it."""
        return self.record.design.response.name

    @property
    def dropped(self) -> dict[str, str]:
        """Columns left out for rank, and what each equals; those of other parts as "zero: x"."""
        others = ((name, part) for name, part in self.record.design.parts.items() if name != "mean")
        return dict(self.record.design.mean.dropped) | {f"{name}: {x}": why for name, part in others for x, why in part.dropped.items()}

    @cached_property
    def fittedvalues(self) -> pd.Series[float]:
        """Fitted E y of the rows used, (1 - pi) mu with extra zeros, indexed as the caller's frame is."""
        return tables.by_row(self.record, questions.fitted_parts(self.record), "fittedvalues")

    def resid(self, kind: str = "pearson") -> pd.Series[float]:
        """Residuals of the rows used: "response", y - E y, or "pearson", divided by the standard deviation of y, extra zeros included."""
        return tables.by_row(self.record, questions.residuals_of_parts(self.record, kind), f"resid_{kind}")

    def tidy(self, *, level: float = 0.95) -> Any:
        """One row per term of every part: part, term, estimate, std_error, statistic, p_value, conf_low, conf_high."""
        return tables.deliver(self.record, tables.tidy_parts(self.parts_inference.parts, level))

    def glance(self) -> Any:
        """One row about the whole fit."""
        return tables.deliver(self.record, tables.parts_glance(self.record, criteria(self.record)))

    def augment(self) -> Any:
        """One row per row used: row, the response, fitted (E y), resid_pearson."""
        fitted, left = questions.fitted_parts(self.record), questions.residuals_of_parts(self.record, "pearson")
        return tables.deliver(self.record, tables.augment(self.record, fitted, left, "pearson"))

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
        """Predictions, one per row of newdata (default: the rows used); NaN where a predictor of any part is missing.

        scale : "response", E y = (1 - pi) mu with extra zeros; "link", the mean's linear predictor; "conditional", mu; "zero", pi;
        "dispersion", the family's own parameter (sigma, phi, k, alpha, precision)
        interval : "confidence" gives a frame estimate, std_error, conf_low, conf_high, by the delta method over all parts
        offset, exposure : of the mean, as of other fits

        >>> import glimm
        >>> data = {"y": [0, 3, 1, 9, 0, 2, 0, 5, 0, 7, 0, 4], "x": [0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1]}
        >>> fit = glimm.glm("y ~ x", data, family="poisson", zero="~ 1")
        >>> parts = [fit.predict({"x": [0]}, scale=scale)[0] for scale in ("response", "conditional", "zero")]
        >>> bool(abs(parts[0] - parts[1] * (1 - parts[2])) < 1e-12)
        True
        """
        check_parts(self.record, scale, target, interval)
        new = read_parts(self.record.design, newdata, offset, exposure)
        return tables.prediction(self.record, predict_parts(self.record, self.parts_inference.joint, new, scale, interval, level), interval)

    def simulate(self, n: int = 1, seed: Any = None) -> Floats:
        """(rows used, n) responses drawn from the fitted model, one simulation a column; extra zeros are drawn too.

        n : simulations; seed : a whole number or a numpy Generator gives the same draws again. Weights as of other fits.
        """
        return questions.simulate_parts(self.record, n, seed)

    def effect(
        self,
        variable: str,
        contrast: str = "difference",
        *,
        values: Any = None,
        target: str | None = None,
        by: Any = None,
        population: Any = "all",
        vcov: Any = None,
        errors: str = "delta",
        draws: int = 1000,
        seed: Any = None,
        level: float = 0.95,
    ) -> Any:
        """Average effect of a predictor on E y, through every part that it is in, by g-computation.

        Arguments, columns and errors as of other fits, without bootstrap; variable : a predictor of any part.

        >>> import glimm
        >>> data = {"y": [0, 3, 1, 9, 0, 2, 0, 5, 0, 7, 0, 4], "x": [0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1]}
        >>> fit = glimm.glm("y ~ x", data, family="poisson", zero="~ x")
        >>> fit.effect("x")["estimate"].round(4).tolist()
        [0.1667]
        """
        check_moves(self.record, [variable], "effect")
        wish = self._wish("effect", target, by, population, errors, draws, seed, level)
        found = effects.effect(self.record, self._errors(vcov, "effect"), variable, contrast, values, wish)
        return tables.from_columns(self.record, found)

    def slope(
        self,
        variable: str,
        *,
        target: str | None = None,
        by: Any = None,
        population: Any = "all",
        vcov: Any = None,
        errors: str = "delta",
        draws: int = 1000,
        seed: Any = None,
        level: float = 0.95,
    ) -> Any:
        """Average derivative of E y in a numeric predictor, through every part that it is in. Arguments and columns as of other fits."""
        check_moves(self.record, [variable], "slope")
        wish = self._wish("slope", target, by, population, errors, draws, seed, level)
        return tables.from_columns(self.record, effects.slope(self.record, self._errors(vcov, "slope"), variable, wish))

    def means(
        self,
        variables: Any = None,
        *,
        target: str | None = None,
        by: Any = None,
        population: Any = "all",
        vcov: Any = None,
        errors: str = "delta",
        draws: int = 1000,
        seed: Any = None,
        level: float = 0.95,
    ) -> Any:
        """Average E y with everybody at each value of a predictor, or at the rows' own values. Arguments and columns as of other fits."""
        asked = effects.asked_of(variables)
        check_moves(self.record, asked, "means")
        wish = self._wish("means", target, by, population, errors, draws, seed, level)
        return tables.from_columns(self.record, effects.means(self.record, self._errors(vcov, "means"), asked, wish))

    def summary(self, *, level: float = 0.95) -> Summary:
        """The fit in words and numbers: text, which a prompt shows as it is printed and a notebook as HTML."""
        return summary_of_parts(self.record, self.parts_inference, level)

    def _repr_html_(self) -> str:
        return self.summary()._repr_html_()

    def __repr__(self) -> str:
        d, spec = self.record.design, self.record.design.spec
        others = "".join(f", {name} {own.formula.text.removeprefix(name).strip()}" for name, own in spec.parts.items())
        return f"<{type(self).__name__}: {spec.formula.text}{others}, {self.record.family.name} {d.mean.link.name}, {d.n} rows>"

    def _wish(self, asked: str, target: str | None, by: Any, population: Any, errors: str, draws: int, seed: Any, level: float) -> Wish:
        return make_wish(self.record, asked, target, by, population, errors, draws, seed, level)

    def _errors(self, vcov: Any, asked: str) -> Inference:
        """The errors to use, after a warning where the fit itself did not end well."""
        solution = self.record.solution
        if solution.code in ("not_converged", "separated"):
            warnings.warn(f"{asked}: of a fit that is not to be used as it is: {solution.message}", GlimmWarning, stacklevel=3)
        if vcov is None:
            return self.inference
        if not isinstance(vcov, str | Mapping):
            raise GlimmError(f"{asked}: vcov must be as at the door, such as 'model' or {{'cluster': 'column'}}, not {type(vcov).__name__}")
        return infer_parts(self.record, vcov).parts["mean"]
