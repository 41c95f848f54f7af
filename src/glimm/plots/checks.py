"""The page of residuals as arrays and words: six panels, each with a sentence that says what is seen.

u_i : quantile residuals, uniform where the model is right.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ..data.columns import level_name
from ..design.clusters import gather
from ..diagnostics.measure import spread_test
from ..diagnostics.neighbours import neighbours
from ..diagnostics.quantiles import batches, check, quantile_residuals
from ..diagnostics.residual_tests import Test, residual_tests
from ..diagnostics.scores import Scores, scores_of
from ..diagnostics.smooth import QUARTERS, smooth_quantiles
from ..estimators.conditional import conditional_variances, too_many
from ..inference.criteria import fitted, residuals
from ..inference.random import covariances, variance
from ..inference.simulate import generator
from ..kernels import mean
from ..kernels.matrix import Floats
from ..marginal.average import average
from ..records import GeeRecord, MixedRecord, Record
from ..text import figures, number
from .check_groups import Grouped, groups_of
from .picture import require_matplotlib

if TYPE_CHECKING:
    from .draw import Picture

MOST_POINTS, MOST_BOXES, MOST_LAGS, SIMULATED, SETS = 2000, 12, 10, 99, 39
LEAST_PAIRS, LEAST_ROWS, GROUPS = 10, 40, 10


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel: what is drawn, under its title, axes' labels and the sentence below it.

    kind "qq": y against x with the line y = x; "scatter": points and lines (smooth quantiles) with levels where they should be; "boxes":
    quartiles of each of `names`; "strip": sorted (x, y) with quartiles low, high; "histogram": `y` with a line at `mark`; "lags": y
    at x with a band low to high; "bars": shares y at x, expected low; "empty": words alone
    """

    kind: Literal["qq", "scatter", "boxes", "strip", "histogram", "lags", "empty"]
    title: str
    said: str
    x_label: str = ""
    y_label: str = ""
    x: Floats | None = None
    y: Floats | None = None
    low: Floats | None = None
    high: Floats | None = None
    lines: Floats | None = None
    grid: Floats | None = None
    names: tuple[str, ...] = ()
    mark: float | None = None
    expected: float | None = None


def checks(record: Record, seed: Any, by: Any) -> Picture:
    """The page of a fit; raises GlimmError as `quantile_residuals` does, and ImportError where matplotlib is missing."""
    require_matplotlib()
    from .draw_checks import draw

    panels = compute(record, seed, by)
    d = record.design
    shown = f" Panels with points show {MOST_POINTS:,} of them; all {d.n:,} count." if d.n > MOST_POINTS else ""
    detail = (
        f"{d.spec.formula.text}, {record.family.name} with {d.mean.link.name} link, {d.n:,} rows. A quantile residual is the rank of a "
        f"response among responses simulated at its row: even between 0 and 1 where the model is right.{shown}"
    )
    return draw(panels, "Do the residuals look as this model says they should?", detail)


def compute(record: Record, seed: Any, by: Any) -> tuple[Panel, ...]:
    """The six panels."""
    check(record, "plot_check", 250, "new")
    grouped = groups_of(record, by)
    u = quantile_residuals(record, 250, seed, "new")
    tests = {t.test: t for t in residual_tests(record, None, seed, "new", None)}
    own = quantile_residuals(record, 250, seed, "fitted") if isinstance(record, MixedRecord) else u
    typical = " at effects of zero" if isinstance(record, MixedRecord) else ""
    return (
        _qq(u, tests["uniformity"]),
        _against(_location(record), u, "residuals against fitted means", f"fitted mean{typical}"),
        _by_group(record, grouped, own, u, seed),
        _simulated(record, tests, seed),
        _lags(record, tests.get("autocorrelation"), seed),
        _effects(record, seed) if isinstance(record, MixedRecord) else _predictor(record, u, grouped, seed),
    )


def _verdict(p: float) -> str:
    return "no sign against the model" if p > 0.1 else "a weak sign against the model" if p > 0.01 else "a clear sign against the model"


def _p(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def _thin(n: int, most: int = MOST_POINTS) -> Any:
    """An even sample of positions."""
    return np.arange(n) if n <= most else np.unique(np.linspace(0, n - 1, most).astype(np.int64))


def _qq(u: Floats, tested: Test) -> Panel:
    n = len(u)
    at = _thin(n, 500)
    far = f"Largest distance from the line {tested.statistic:.3f}, {tested.expected:.3f} expected"
    said = f"{far} ({_p(tested.p_value)}): {_verdict(tested.p_value)}."
    return Panel("qq", "Distribution", said, "expected quantile", "quantile residual", (at + 0.5) / n, np.sort(u)[at])


def _location(record: Record) -> Floats:
    """(n,) fitted means, random effects at zero."""
    if not isinstance(record, MixedRecord):
        return fitted(record)
    return mean(record.design.mean.link.kernel, _fixed(record))[0]


def _fixed(record: MixedRecord) -> Floats:
    """(n,) linear predictors, random effects at zero."""
    part = record.design.mean
    return np.ascontiguousarray(part.matrix.times(record.vector[record.blocks["mean"]]) + (0.0 if part.offset is None else part.offset))


def _few(x: Floats) -> bool:
    """Whether there is too little along x for a smooth curve."""
    return len(x) < LEAST_ROWS or len(np.unique(x[: 10 * MOST_POINTS])) < 5


def _against(x: Floats, u: Floats, what: str, label: str) -> Panel:
    """u along x, with smooth quartiles where x has enough values."""
    at = _thin(len(u))
    at = np.argsort(x, kind="stable")[at]
    title = what[0].upper() + what[1:]
    if _few(x):
        return Panel(
            "scatter",
            title,
            f"Too few {'rows' if len(x) < LEAST_ROWS else 'different values'} for a smooth curve.",
            label,
            "quantile residual",
            x[at],
            u[at],
        )
    grid, lines = smooth_quantiles(x, u)
    middle = lines[1]
    said = (
        f"The smooth median runs between {middle.min():.2f} and {middle.max():.2f} (0.50 if the model is right), "
        f"the quartiles between {lines[0].min():.2f} and {lines[0].max():.2f} (0.25) and "
        f"{lines[2].min():.2f} and {lines[2].max():.2f} (0.75)."
    )
    return Panel("scatter", title, said, label, "quantile residual", x[at], u[at], lines=lines, grid=grid)


def _by_group(record: Record, g: Grouped | None, own: Floats, u: Floats, seed: Any) -> Panel:
    """Quartiles of residuals in each level; of a mixed model about its clusters' predicted effects."""
    if g is None:
        order = np.arange(len(u), dtype=np.float64)
        return _against(order, u, "residuals in the order of rows", "row")
    values = own if isinstance(record, MixedRecord) else u
    rows, starts = gather(g.codes, len(g.names))
    quartiles = np.array([np.quantile(values[rows[a:b]], QUARTERS) if b > a else np.full(3, np.nan) for a, b in pairwise(starts)])
    sizes = np.diff(starts)
    middle = quartiles[:, 1]
    lowest, highest = int(np.nanargmin(middle)), int(np.nanargmax(middle))
    about = ", about the predicted effects" if isinstance(record, MixedRecord) else ""
    ends = f"from {middle[lowest]:.2f} ({g.names[lowest]}) to {middle[highest]:.2f} ({g.names[highest]})"
    said = f"Medians of {len(g.names):,} levels of {g.name}{about}: {ends}; {np.median(sizes):g} rows in a typical level."
    if isinstance(record, GeeRecord) and g.cluster:
        said += " Correlated rows spread wider."
    title = f"Residuals by {g.name}"
    if len(g.names) <= MOST_BOXES:
        return Panel("boxes", title, said, g.name, "quantile residual", y=middle, low=quartiles[:, 0], high=quartiles[:, 2], names=g.names)
    line_up = np.argsort(middle, kind="stable")
    at = line_up[_thin(len(line_up), 400)]
    place = _thin(len(line_up), 400).astype(np.float64)
    label = f"{g.name}, levels in order of their median"
    even = _even_medians(sizes, generator(seed))[np.round(place).astype(np.int64)]
    return Panel(
        "strip",
        title,
        f"{said} Dashed: of independent rows.",
        label,
        "quantile residual",
        place,
        middle[at],
        quartiles[at, 0],
        quartiles[at, 2],
        lines=even[None, :],
    )


def _even_medians(sizes: Any, rng: np.random.Generator) -> Floats:
    """(J,) sorted medians of levels whose rows are independent and uniform, Beta variates: the mean of 50 draws."""
    half = 0.5 * (np.maximum(sizes, 1) + 1.0)
    return np.asarray(np.mean([np.sort(rng.beta(half, half)) for _ in range(50)], axis=0))


def _simulated(record: Record, tests: dict[str, Test], seed: Any) -> Panel:
    """Zeros or dispersion of the simulated responses with the data's own; for other families the distribution of the response."""
    for name, title, label in (("zeros", "Zeros", "responses that are 0"), ("dispersion", "Dispersion", "mean squared Pearson residual")):
        if name in tests:
            t = tests[name]
            assert t.null is not None
            low, high = np.quantile(t.null, [0.025, 0.975])
            more = "as many as" if low <= t.statistic <= high else "more than" if t.statistic > high else "fewer than"
            shown = f"{t.statistic:,.0f} zeros, {t.expected:,.1f} expected"
            counted = shown if name == "zeros" else f"{figures(t.statistic, 3)}, {figures(t.expected, 3)} expected"
            end = f"{more} the model gives" if name == "zeros" else _verdict(t.p_value)
            return Panel(
                "histogram",
                title,
                f"{counted} ({_p(t.p_value)}): {end}.",
                label,
                "share" if isinstance(record, GeeRecord) else "simulations",
                y=t.null,
                mark=t.statistic,
                expected=t.expected,
            )
    if record.family.support == "binomial":
        return _calibration(record)
    return _spread(record)


def _spread(record: Record) -> Panel:
    """|Pearson residual| along the fitted mean: the smooth median of it."""
    r = np.abs(residuals(record, "pearson"))
    r = r / max(float(np.sqrt(np.mean(r * r))), 1e-300)
    x = fitted(record)
    at = np.argsort(x, kind="stable")[_thin(len(x))]
    if _few(x):
        return Panel(
            "scatter",
            "Spread",
            "Too few rows or different fitted means for a smooth curve.",
            "fitted mean",
            "|residual| / s.d.",
            x[at],
            r[at],
        )
    grid, lines = smooth_quantiles(x, r, (0.5,))
    line = lines[0]
    ratio = float(line.max() / max(line.min(), 1e-300))
    even = "about even" if ratio < 1.5 else _uneven(spread_test(r, x))
    said = f"The typical size of a residual is {line.min():.2f} to {line.max():.2f} standard deviations along the fitted means: {even}."
    return Panel("scatter", "Spread", said, "fitted mean", "|residual| / s.d.", x[at], r[at], lines=lines, grid=grid)


def _uneven(p: float) -> str:
    if not p >= 0.0:
        return "too few means to tell whether more than chance"
    return f"uneven, the spread changes with the mean ({_p(p)})" if p < 0.01 else f"no more uneven than by chance ({_p(p)})"


def _calibration(record: Record) -> Panel:
    """Observed shares of events in groups of rows by their mean over random effects; equal means stay together."""
    d = record.design
    p = marginal_means(record)
    values, which = np.unique(p.round(9), return_inverse=True)
    if len(values) > GROUPS:
        counts = np.cumsum(np.bincount(which))
        which = np.minimum(GROUPS * (counts - 1) // d.n, GROUPS - 1)[which]
    used, which = np.unique(which, return_inverse=True)
    size = np.bincount(which).astype(np.float64)
    x, y = np.bincount(which, p) / size, np.bincount(which, d.y) / size
    z = (y - x) / np.sqrt(np.maximum(np.bincount(which, p * (1.0 - p)), 1e-300)) * size
    most = int(np.argmax(np.abs(z)))
    said = (
        f"{len(used)} groups of rows by their probability. Farthest from the line, for its size: {100 * y[most]:.3g} % observed where "
        f"{100 * x[most]:.3g} % are expected, in {size[most]:,.0f} rows."
    )
    return Panel("qq", "Observed and expected probability", said, "expected", "observed", x, y)


def marginal_means(record: Record) -> Floats:
    """(n,) means averaged over random effects."""
    if not isinstance(record, MixedRecord):
        return fitted(record)
    sd = np.sqrt(variance(record, tuple(term.z for term in record.design.mean.random)))
    return average(record.design.mean.link, _fixed(record), sd)[0]


def _lags(record: Record, tested: Test | None, seed: Any) -> Panel:
    """Correlations of rows 1, 2, ... apart, with the middle 95 % of those of simulated responses."""
    title, pairs = "Rows that follow each other", neighbours(record, None)
    if pairs is None:
        return Panel("empty", title, "No cluster has two rows, so there are no neighbours.")
    d = record.design
    if isinstance(record, MixedRecord):
        columns = [d.y[:, None], *batches(record, SIMULATED, generator(seed), "new")]
        y = np.concatenate(columns, axis=1)
        spread = y.std(axis=1, keepdims=True)
        r = (y - y.mean(axis=1, keepdims=True)) / np.where(spread > 0.0, spread, np.inf)
    else:
        r = residuals(record, "pearson")[:, None]
    r = r[pairs.order]
    cluster = np.concatenate(([0.0], np.cumsum(1.0 - pairs.joined)))
    scale = np.mean(r * r, axis=0)
    found = []
    for lag in range(1, min(MOST_LAGS, d.n - 1) + 1):
        same = cluster[lag:] == cluster[:-lag]
        if same.sum() < LEAST_PAIRS:
            break
        found.append(np.mean(r[lag:][same] * r[:-lag][same], axis=0) / np.where(scale > 0.0, scale, 1.0))
    if not found:
        return Panel("empty", title, "Too few pairs of rows to see a correlation.")
    c = np.array(found)
    low, high, band = _band(record, c, pairs.joined.sum())
    if tested is None:
        said = "Correlation of residuals by distance; this working correlation depends on it itself, so it is not tested."
    else:
        seen = f"{number(tested.statistic, 2)}, {number(tested.expected, 2)} expected"
        said = f"Neighbours: {seen} ({_p(tested.p_value)}): {_verdict(tested.p_value)}. {band}"
    where = pairs.note.removeprefix("correlation of neighbouring ")
    return Panel("lags", title, said, f"rows apart ({where})", "correlation", np.arange(1.0, len(c) + 1.0), c[:, 0], low, high)


def _band(record: Record, c: Floats, pairs: float) -> tuple[Floats | None, Floats | None, str]:
    """Where the correlations should lie, and what to call it."""
    if isinstance(record, MixedRecord):
        low, high = np.quantile(c[:, 1:], [0.025, 0.975], axis=1)
        return low, high, "Grey: simulated."
    if isinstance(record, GeeRecord):
        return None, None, "Rows of a cluster may be correlated."
    half = np.full(len(c), 1.96 / np.sqrt(max(pairs, 1.0)))
    return -half, half, "Grey: 95 % of independent rows."


def _effects(record: MixedRecord, seed: Any) -> Panel:
    """Normal quantiles of the first term's effects over the standard deviation that predictions of them have."""
    from scipy.special import ndtri

    term, title = record.design.mean.random[0], "Random effects"
    v = float(covariances(record)[0][0, 0])
    if unknown := too_many(record):
        return Panel("empty", title, f"Their standard deviations need a factorisation of {unknown:,} crossed effects, which was not made.")
    known = conditional_variances(record)[0][:, 0, 0]
    if not record.linear:  # it depends on the response, and simulated ones are held against the same
        known = np.full(len(known), float(known.mean()))
    scores = scores_of(record, True)
    own = scores(record.design.y).effects or record.effects
    b = own[0][:, 0]
    sd = np.sqrt(np.maximum(v - known, 0.0))
    seen = sd > 1e-6 * np.sqrt(v) if v > 0.0 else np.zeros(len(b), dtype=bool)
    name = f"{term.names[0]} of {term.group}"
    if seen.sum() < 3:
        return Panel("empty", title, f"The variance of {name} is estimated as zero, so there is nothing to draw.")
    z = np.sort(b[seen] / sd[seen])
    n = len(z)
    q = ndtri((np.arange(n) + 0.5) / n)
    at = _thin(n, 500)
    low, high = _simulated_effects(record, scores, seed, sd, seen)
    inside = float(np.mean((z >= low - 1e-9) & (z <= high + 1e-9)))
    said = (
        f"{name}: {n:,} predicted effects over their standard deviation, {100 * inside:.0f} % inside the grey range of {SETS} simulated "
        f"data sets; largest {np.abs(z).max():.1f}."
    )
    return Panel("qq", title, said, "normal quantile", "standardised effect", q[at], z[at], low[at], high[at])


def _simulated_effects(record: MixedRecord, scores: Scores, seed: Any, sd: Floats, seen: Any) -> tuple[Floats, Floats]:
    """Smallest and largest of the sorted standardised effects that simulated responses predict."""
    found = []
    for drawn in batches(record, SETS, generator(seed), "new"):
        for y in drawn.T:
            effects = scores(np.ascontiguousarray(y)).effects
            if effects:
                found.append(np.sort(effects[0][seen, 0] / sd[seen]))
    if not found:
        return np.full(int(seen.sum()), -np.inf), np.full(int(seen.sum()), np.inf)
    return np.min(found, axis=0), np.max(found, axis=0)


def _predictor(record: Record, u: Floats, grouped: Grouped | None, seed: Any) -> Panel:
    """u along the first numeric predictor; else in the order of rows, else nothing that is not drawn already."""
    d = record.design
    for name, variable in d.columns.items():
        if variable.kind == "numeric" and name not in d.clusters and variable.values is not None:
            x = variable.values[d.rows]
            values, codes = np.unique(x, return_inverse=True)
            if np.all(np.isfinite(x)) and len(values) > MOST_BOXES:
                return _against(x, u, f"residuals against {name}", name)
            if np.all(np.isfinite(x)) and len(values) > 1:
                names = tuple(level_name(v) for v in values.tolist())
                return _by_group(record, Grouped(name, names, codes.astype(np.int32), False), u, u, seed)
    if grouped is None:
        return Panel("empty", "Predictors", "No predictor that is a number.")
    return _against(np.arange(len(u), dtype=np.float64), u, "residuals in the order of rows", "row")
