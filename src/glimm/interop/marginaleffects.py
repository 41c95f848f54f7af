"""A fit as Python's marginaleffects takes models: coefficients, their covariance, and means of new rows at other coefficients.

g-computation and the delta method are theirs, se = sqrt(J V J'). J is by differences of `get_predict` in the coefficients; where
means are h(x'beta) for a link that marginaleffects knows, by its automatic differentiation of the model matrix.
"""

from __future__ import annotations

from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ..data.columns import level_array, level_name, used_codes
from ..data.records import ARRAY, Variable
from ..design.records import Design, NewRows
from ..design.replay import read_new
from ..errors import GlimmError
from ..inference.covariance import Inference, infer
from ..kernels.matrix import Floats
from ..marginal.vector import check_target, coefficients, means_at
from ..records import Record

if TYPE_CHECKING:
    import polars as pl

    from ..fit_outside import Outside as Fit

FAMILIES: Final = {  # for each link a family that marginaleffects allows it with; only the link is used
    "identity": "gaussian",
    "log": "poisson",
    "logit": "binomial",
    "probit": "binomial",
    "cloglog": "binomial",
    "inverse": "gamma",
    "sqrt": "poisson",
}
NEEDS: Final = "fit.to_marginaleffects needs the package marginaleffects, 0.6 or newer: pip install marginaleffects"


def to_marginaleffects(fit: Fit, target: str | None) -> Any:
    """The fit for marginaleffects; see `Fit.to_marginaleffects`."""
    record = fit.record
    target = check_target(record, target)
    for role in ("offset", "exposure"):
        if getattr(record.design.spec, role) == ARRAY:
            raise GlimmError(
                f"to_marginaleffects: the fit's {role} was an array, and rows that are changed need theirs: "
                f"make it a column of the data and refit with {role}='column'"
            )
    return adapter()(fit, target)


class Rows:
    """A frame of marginaleffects, read as new data when means are asked of it: what it passes around as a design matrix."""

    def __init__(self, design: Design, frame: pl.DataFrame, effects: bool) -> None:
        self.design, self.frame, self.effects = design, frame, effects

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.frame.shape

    def __getitem__(self, rows: slice) -> Rows:
        return Rows(self.design, self.frame[rows], self.effects)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Floats:
        return self.new.matrix.dense()

    @cached_property
    def new(self) -> NewRows:
        """The rows as the fit reads them."""
        columns: dict[str, Any] = {name: self.frame[name] for name in self.design.spec.variables if name in self.frame.columns}
        for name, column in columns.items():
            levels = {level_name(level): level for level in self.design.columns[name].levels}
            if any(key != level for key, level in levels.items()) and column.dtype.__class__.__name__ in ("Enum", "Categorical", "String"):
                columns[name] = level_array([levels.get(value, value) for value in column.to_list()])
        others = {name: self.frame[name] for name in self.frame.columns if name not in columns}
        return read_new(self.design, others | columns, effects=self.effects)


def predictors(design: Design) -> list[str]:
    """Columns with a coefficient or a random effect of their own, in the formula's order."""
    moving = [term.spec for term in design.mean.random if term.spec is not None and term.times is None]
    found = {name for part in (design.spec.fixed, *moving) for name in part.variables}
    return [name for name in design.spec.variables if name in found]


def categories(design: Design) -> set[str]:
    """Columns of numbers that the model takes as levels: C(x), and categoricals of numbers."""
    parts = [design.spec.fixed, *(term.spec for term in design.mean.random if term.spec is not None)]
    taken = {name for part in parts for spec in part.factors.values() if spec.levels for name in spec.variables}
    return taken & {name for name, column in design.columns.items() if not column.boolean and not _texts(column)}


def _texts(column: Variable) -> bool:
    return column.values is None and level_array(column.levels).dtype.kind not in "biuf"


def model_data(design: Design, response: str) -> pl.DataFrame:
    """The rows used: the response on the scale of the mean and what a prediction needs; texts as an Enum in the model's order."""
    import polars as pl

    out: dict[str, Any] = {response: design.y}
    for name in design.spec.variables:
        column = design.columns[name]
        if column.values is not None:
            values = column.values[design.rows]
            out[name] = values.astype(np.int64) if column.integer else values
            continue
        codes, levels = used_codes(column, design.rows)
        array = level_array(levels)
        if column.boolean:
            out[name] = array.astype(np.bool_)[codes]
        elif _texts(column):
            names = [level_name(level) for level in levels]
            out[name] = pl.Series([names[code] for code in codes.tolist()], dtype=pl.Enum(names))
        else:
            out[name] = array[codes]
    return pl.DataFrame(out)


def formula_of(design: Design) -> tuple[str, str]:
    """The response's name, and a formula of names only: marginaleffects finds columns in it and never builds from it."""
    names = predictors(design)
    response = design.response.name
    if not response.isidentifier() or response in design.spec.variables:
        response = "response_"
    return response, f"{response} ~ " + (" + ".join(name if name.isidentifier() else f"`{name}`" for name in names) or "1")


@cache
def adapter() -> Any:
    """The class of models, made when marginaleffects is there; ImportError, saying what to install, where it is not."""
    try:
        import polars as pl
        from marginaleffects.classes import ModelAbstract, ModelVault
    except ImportError as error:
        raise ImportError(NEEDS) from error

    class Model(ModelAbstract):  # type: ignore[misc]
        """A fit for marginaleffects; attributes that are not here are the fit's."""

        def __init__(self, fit: Fit, target: str) -> None:
            self.record: Record = fit.record
            self.inference: Inference = fit.inference
            self.target = target
            self.found = coefficients(self.record, self.inference, target)
            design = self.record.design
            response, formula = formula_of(design)
            vault = ModelVault(
                coef=self.found.values.copy(),
                coefnames=np.array(self.found.names),
                formula=formula,
                modeldata=model_data(design, response),
                package="glimm",
                vcov=self.found.cov,
                variable_names=[response, *predictors(design)],
            )
            super().__init__(fit, vault)
            for name in categories(design):
                self.set_variable_type(name, "character")

        @property
        def df_resid(self) -> float:
            """Degrees of freedom of the fit's own tables; where they differ by coefficient, those of curved functions of them."""
            return float("inf") if self.inference.common_df is None else self.inference.common_df

        def get_vcov(self, vcov: Any = True) -> Floats | None:
            """The fit's covariance (True), none (False), or one of a GLM or GEE by its name."""
            if vcov is None or vcov is False:
                return None
            return self.found.cov if vcov is True else infer(self.record, vcov).cov

        def get_autodiff_args(self) -> dict[str, str] | None:
            """How means come from the model matrix, None where they do not come from it alone."""
            part = self.record.design.mean
            if len(self.found.names) > part.matrix.p or part.offset is not None or part.link.name not in FAMILIES:
                return None
            return {"model_type": "glm", "family": FAMILIES[part.link.name], "link": part.link.name}

        def get_exog(self, newdata: pl.DataFrame) -> Rows:
            """The rows, read when they are needed."""
            return Rows(self.record.design, newdata, self.target == "marginal")

        def get_predict(self, params: Floats, newdata: Any) -> pl.DataFrame:
            """Means of rows at the parameters."""
            rows = newdata if isinstance(newdata, Rows) else self.get_exog(newdata)
            means = means_at(self.record, rows.new, self.target, np.asarray(params, dtype=np.float64))
            return pl.DataFrame({"rowid": pl.Series(range(len(means)), dtype=pl.Int32), "estimate": means})

    return Model
