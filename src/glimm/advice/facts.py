"""What was seen in the data, as numbers: frozen records that every statement of an advice rests on.

r_i = (y_i - mu_i) / sqrt(v(mu_i)), the Pearson residuals of a GLM with the fixed part, stands for what the predictors leave unexplained.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..data.records import Missing
from ..diagnostics.measure import Dropout, Lag, Pattern


@dataclass(frozen=True, slots=True)
class Response:
    """The response on the rows used.

    kind : "binary", "trials" or "numeric"; event : what a binomial model counts; events, failures : rows (trials) with and without it
    whole : whole numbers only; dispersion : sum r^2 / (n - p); within_dispersion : the same within clusters, for counts
    skewness : of the residuals
    """

    name: str
    kind: str
    event: str
    mean: float
    low: float
    high: float
    distinct: int
    whole: bool
    events: float
    failures: float
    dispersion: float
    within_dispersion: float
    skewness: float


@dataclass(frozen=True, slots=True)
class Group:
    """One grouping of the rows.

    smallest, median, largest : rows per cluster; single : clusters of one row
    pairs, correlation, z : of residuals of two rows of a cluster, sum r_j r_k / (pairs - p) / dispersion; z tests for independence
    apart, apart_z : correlation and z once the means of the groupings that cross it are taken away
    constant : clusters of two rows or more in which the response never changes
    size_correlation, size_z : between the rows of a cluster and its mean residual
    within : other groupings whose clusters contain those of this one
    """

    name: str
    factors: tuple[str, ...]
    clusters: int
    smallest: int
    median: float
    largest: int
    single: int
    pairs: int
    correlation: float
    z: float
    apart: float
    apart_z: float
    constant: int
    size_correlation: float
    size_z: float
    within: tuple[str, ...]

    @property
    def balanced(self) -> bool:
        """Whether all clusters have as many rows."""
        return self.smallest == self.largest


@dataclass(frozen=True, slots=True)
class Crossing:
    """Two groupings of which neither is inside the other, and how many of their combinations occur."""

    first: str
    second: str
    cells: int


@dataclass(frozen=True, slots=True)
class Predictor:
    """A column of the fixed part that varies and has a coefficient.

    within : grouping -> share of its sum of squares that is inside clusters, 0 for a column that only differs between them
    term : it is a numeric term of its own
    slopes : grouping -> F and p of the test that its slope is the same in all clusters, where it was made; of a grouping inside another
    one: the same in all clusters of one outer cluster
    context_z : z of the cluster means as a further predictor, NaN where the column does not vary both within and between
    """

    name: str
    within: Mapping[str, float]
    term: bool
    slopes: Mapping[str, tuple[float, float]]
    context_z: float


@dataclass(frozen=True, slots=True)
class Times:
    """Occasions in clusters of the grouping `group`.

    occasions : different times; common : few enough to be planned ones; smallest_gap, largest_gap : between neighbours in a cluster
    complete, stopped, gaps : clusters with all occasions, with the first few only, with others; 0 where they are not common
    missing : rows used whose time is missing, on which nothing here rests
    """

    name: str
    group: str
    occasions: int
    first: float
    last: float
    smallest_gap: float
    largest_gap: float
    common: bool
    complete: int
    stopped: int
    gaps: int
    missing: int

    @property
    def equal(self) -> bool:
        """Whether all neighbours are equally far apart."""
        return self.largest_gap - self.smallest_gap <= 1e-9 * self.largest_gap


@dataclass(frozen=True, slots=True)
class Candidate:
    """A column outside the formula whose codes repeat: levels, rows per level, correlation of residuals inside levels with its z."""

    name: str
    levels: int
    rows: float
    correlation: float
    z: float


@dataclass(frozen=True, slots=True)
class Facts:
    """All numbers. `families` : model -> family; `given` : it was named by the caller; `separated` : rows with fitted means at their bound.

    unexplained : share of the response's variation that the GLM leaves; exact : that is rounding, and no residual is left to look at
    bars : random terms of the formula, text -> grouping
    own : groupings with a cluster for every row; double : groupings that make the same clusters as another, and which
    fixed : groupings whose clusters have coefficients of their own, and the term that gives them
    """

    formula: str
    bars: Mapping[str, str]
    families: Mapping[str, str]
    link: str
    given: bool
    n: int
    p: int
    response: Response
    groups: tuple[Group, ...]
    crossings: tuple[Crossing, ...]
    own: tuple[str, ...]
    double: Mapping[str, str]
    fixed: Mapping[str, str]
    predictors: tuple[Predictor, ...]
    times: Times | None
    lags: tuple[Lag, ...]
    pattern: Pattern | None
    dropout: Dropout | None
    candidates: tuple[Candidate, ...]
    dropped: Mapping[str, str]
    separated: int
    unexplained: float
    exact: bool
    missing: Missing

    @property
    def outer(self) -> tuple[Group, ...]:
        """Groupings that are not inside another one."""
        return tuple(g for g in self.groups if not g.within)

    @property
    def main(self) -> Group | None:
        """The grouping with most clusters: what a predictor varies within."""
        return max(self.groups, key=lambda g: g.clusters, default=None)

    def group(self, name: str) -> Group:
        """A grouping by name."""
        return next(g for g in self.groups if g.name == name)
