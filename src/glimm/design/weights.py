"""Three kinds of weights: w_i l(y_i) in every estimate, told apart because standard errors differ.

precision: Var y_i = phi v(mu_i) / w_i. frequency: row i stands for w_i equal rows. sampling: row i was drawn with probability ~ 1 / w_i.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

WeightsKind = Literal["precision", "frequency", "sampling"]


@dataclass(frozen=True, slots=True)
class Weights:
    """Weights of a kind: values are a column name or an array (n,)."""

    kind: WeightsKind
    values: Any

    def __repr__(self) -> str:
        return f"glimm.{self.kind}({self.values!r})"


def frequency(values: Any) -> Weights:
    """Weights that count equal rows, for weights= of glimm.glm: everything is as if row i stood w_i times in the data.

    values : a column name or an array (n,) of whole numbers of at least 1
    The number of rows, degrees of freedom, log-likelihood and standard errors are those of the repeated rows. glimm.glm raises GlimmError
    for other numbers.
    Source: SPSS's WEIGHT command, Stata's fweight.

    >>> import glimm, numpy as np
    >>> counts = {"y": [0, 1, 0, 1], "x": [0, 0, 1, 1], "w": [30, 10, 20, 25]}
    >>> rows = {name: np.repeat(counts[name], counts["w"]) for name in ("y", "x")}
    >>> short = glimm.glm("y ~ x", counts, family="binomial", weights=glimm.frequency("w"))
    >>> long = glimm.glm("y ~ x", rows, family="binomial")
    >>> short.nobs, bool(np.allclose(short.bse, long.bse)), bool(np.isclose(short.aic, long.aic))
    (85, True, True)
    """
    return Weights("frequency", values)


def sampling(values: Any) -> Weights:
    """Weights of a survey, for weights= of glimm.glm: row i was drawn with a probability proportional to 1 / w_i.

    values : a column name or an array (n,) of positive numbers, in any unit
    Estimates are those of the population that was drawn from. Standard errors are robust, vcov="model" meaning linearisation,
    n / (n - 1) M (sum s s') M; with clusters drawn, vcov={"cluster": "psu", "small": "CR1"}. There is no likelihood, so no llf, aic or bic.
    Source: Binder (1983), International Statistical Review 51, 279-292.

    >>> import glimm
    >>> survey = {"y": [1.0, 2.0, 4.0, 3.0, 5.0], "x": [0, 1, 2, 1, 3], "w": [10.0, 20.0, 10.0, 5.0, 5.0]}
    >>> glimm.glm("y ~ x", survey, weights=glimm.sampling("w")).params.round(3).to_dict()
    {'Intercept': 0.895, 'x': 1.421}
    """
    return Weights("sampling", values)
