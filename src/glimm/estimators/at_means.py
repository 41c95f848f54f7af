"""What a GLM asks of all rows at its fitted means, in one pass, by blocks: deviance, Pearson's chi-squared, constants, how far means go.

D = sum size_i d(y_i, mu_i), X2 = sum size_i (y_i - mu_i)^2 / v(mu_i)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..design.totals import block_sum
from ..family import Family
from ..kernels.matrix import Floats
from .joint import block_constant
from .residuals import pearson_residuals, row_deviances
from .separation import FITTED_EXTREME
from .source import Means


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
        if family.name == "binomial":
            return not (self.least >= extreme and self.most <= 1.0 - extreme)
        if family.support not in ("count", "nonnegative"):
            return False
        return not self.least > 2.0 * extreme * self.total / max(self.n, 1)


def at_means(means: Means, family: Family, psi: Floats) -> AtMeans:
    """The sums over rows with their fitted means; psi : the family's parameters."""
    out = AtMeans()
    constants = family.name == "gaussian" or (family.scale_known and not family.shaped)
    for design, mu in means():
        pearson = out.chi2
        if not family.scale_known and not family.shaped:
            pearson = block_sum(pearson_residuals(design, family, mu, psi) ** 2, out.chi2)
        out = AtMeans(
            deviance=block_sum(row_deviances(design, family, mu, psi), out.deviance),
            chi2=pearson,
            constant=block_constant(design, family, psi, out.constant) if constants else 0.0,
            least=min(out.least, float(mu.min(initial=np.inf))),
            most=max(out.most, float(mu.max(initial=-np.inf))),
            total=block_sum(mu, out.total),
            n=out.n + len(mu),
        )
    return out
