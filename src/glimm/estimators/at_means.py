"""What a GLM asks of all rows at its fitted means, in one pass, by blocks: deviance, Pearson's chi-squared, constants, how far means go.

D = sum size_i d(y_i, mu_i), X2 = sum size_i (y_i - mu_i)^2 / v(mu_i)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..design.totals import block_sum
from ..family import Family
from ..kernels import inverse_link
from ..kernels.matrix import Floats
from .joint import block_constant
from .residuals import pearson_residuals, row_deviances
from .separation import FITTED_EXTREME
from .source import Etas


@dataclass(frozen=True, slots=True)
class AtMeans:
    """constant : terms of the log-likelihood that are free of eta; least, most, total : of the means; n : rows."""

    deviance: float = 0.0
    chi2: float = 0.0
    constant: float = 0.0
    least: float = np.inf
    most: float = -np.inf
    total: float = 0.0
    n: int = 0

    def near_bound(self, family: Family, extreme: float = FITTED_EXTREME) -> bool:
        """Whether some mean may be at the bound (`separation.at_bound`)."""
        if family.support == "binomial":
            return not (self.least >= extreme and self.most <= 1.0 - extreme)
        if family.support not in ("count", "nonnegative"):
            return False
        return self.near_zero(extreme)

    def near_zero(self, extreme: float = FITTED_EXTREME) -> bool:
        """Whether some mean may be 0 beside the others, or below."""
        return not self.least > 2.0 * extreme * self.total / max(self.n, 1)


def at_means(etas: Etas, family: Family, psi: Floats, pearson: bool, constants: Floats | None) -> AtMeans:
    """The sums over rows with their linear predictors.

    psi : the family's parameters; pearson : whether chi2 is needed; constants : the parameters at which the terms free of eta are, or None
    """
    out = AtMeans()
    for design, eta in etas():
        mu = inverse_link(design.mean.link.kernel, eta)
        with np.errstate(over="ignore"):
            total = block_sum(mu, out.total)
        out = AtMeans(
            deviance=block_sum(row_deviances(design, family, mu, psi, eta), out.deviance),
            chi2=block_sum(pearson_residuals(design, family, mu, psi) ** 2, out.chi2) if pearson else 0.0,
            constant=0.0 if constants is None else block_constant(design, family, constants, out.constant),
            least=min(out.least, float(mu.min(initial=np.inf))),
            most=max(out.most, float(mu.max(initial=-np.inf))),
            total=total,
            n=out.n + len(mu),
        )
    return out
