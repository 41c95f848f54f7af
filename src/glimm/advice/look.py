"""A call and its data -> Facts: the design of a GLM with the fixed part, its residuals, and what they say of clusters, time and size.

Nothing is decided here but the family, where none is named (guess.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..data.columns import as_factor, take, used_codes
from ..data.formula import split
from ..data.frames import Frame, check_names, open_frame
from ..data.records import Formula, Variable
from ..design.build import build_design
from ..design.clusters import gather, make_clusters, read_time
from ..design.inputs import read_inputs, used_rows
from ..design.predictors import predictors_of
from ..design.records import Design, Spec
from ..diagnostics import measure
from ..diagnostics.measure import Dropout, Lag, Pattern
from ..errors import GlimmError, NotYetError
from ..estimators.control import Control
from ..estimators.glm import fit_glm, require_rows, row_terms
from ..estimators.residuals import pearson_residuals
from ..family import LEVELS, Family, resolve
from ..kernels import mean
from ..kernels.matrix import Codes, Floats
from ..records import GlmRecord
from .candidates import candidates
from .facts import Facts, Group, Predictor, Response, Times
from .flags import PLANNED_OCCASIONS, VARIES
from .groupings import Grouping, check_clusters, crossings, grouping_paths, groupings, read_groupings, without_crossing
from .guess import LEAST_DISPERSION, families, first_guess, guessed

MOST_CELLS = 20_000_000
EXACT = 1e-18
SEPARATED_EXACTLY = 1e-8
ROUNDING = 16.0 * np.finfo(np.float64).eps


@dataclass(frozen=True, slots=True)
class Asked:
    """The arguments of a call; columns by name."""

    formula: str
    groups: tuple[str, ...] = ()
    time: str | None = None
    family: str | None = None
    link: str | None = None
    weights: str | None = None
    offset: str | None = None
    exposure: str | None = None


@dataclass(frozen=True, slots=True)
class Sight:
    """A GLM of the fixed part: its record, residuals r (n,), means mu (n,), and what it leaves; r is 0 where that is rounding."""

    design: Design
    record: GlmRecord
    r: Floats
    mu: Floats
    unexplained: float
    exact: bool

    @property
    def p(self) -> int:
        """Coefficients."""
        return self.design.mean.matrix.p

    @property
    def phi(self) -> float:
        """Dispersion of the residuals."""
        return float(self.r @ self.r) / max(self.design.n - self.p, 1)

    @property
    def weight(self) -> float:
        """Mean weight, by which the dispersion of counts and binary responses is too large."""
        w = self.design.weights
        return 1.0 if w is None or not self.record.family.scale_known else float(w.mean())


def look(asked: Asked, data: Any) -> Facts:
    """All facts.

    Raises GlimmError as the doors do for formula and data, for a single cluster, and for times that occur twice in every grouping.
    """
    formula, frame = split(asked.formula), open_frame(data)
    paths = grouping_paths(formula, asked.groups)
    columns = tuple(dict.fromkeys(name for path in paths for name in path))
    factors = read_groupings(frame, columns)
    check_names(frame, () if asked.time is None else (asked.time,), ", needed by time=")
    sight, family = seen(asked, formula, frame, factors)
    used, own, double, fixed = groupings(paths, factors, sight.design)
    described = tuple(describe(g, used, sight) for g in used)
    main = max(used, key=lambda g: int(g.codes.max()), default=None)
    times, lags, pattern, dropout = over_time(asked.time, frame, used, sight)
    within = measure.within_dispersion(sight.design.y, sight.mu, sight.design.size, main.codes, sight.p - 1) if main else np.nan
    response = describe_response(sight, within if family.support == "count" else np.nan)
    return Facts(
        formula=fixed_formula(formula),
        bars={bar.text: bar.name for bar in formula.bars},
        families=chosen(asked, family, sight, response),
        link=sight.design.mean.link.name,
        given=asked.family is not None,
        n=sight.design.n,
        p=sight.p,
        response=response,
        groups=described,
        crossings=crossings(used),
        own=own,
        double=double,
        fixed=fixed,
        predictors=describe_predictors(sight, used, main),
        times=times,
        lags=lags,
        pattern=pattern,
        dropout=dropout,
        candidates=() if used or own or fixed or sight.exact else candidates(frame, sight.design, sight.r, sight.p, _mentioned(asked)),
        dropped=sight.design.mean.dropped,
        separated=int((sight.record.solution.evidence or {}).get("rows", 1)) if sight.record.solution.code == "separated" else 0,
        unexplained=sight.unexplained,
        exact=sight.exact,
        missing=sight.design.missing,
    )


def chosen(asked: Asked, family: Family, sight: Sight, response: Response) -> dict[str, str]:
    """The family for each model; a GEE estimates no parameter of a family, and takes the GLM's."""
    if asked.family is None:
        return families(family.name, response, sight.design.n - sight.p)
    named = dict.fromkeys(("glm", "glmm", "gee"), asked.family.strip())
    if family.name.startswith("negative_binomial") and family.free:
        return named | {"gee": "poisson"}
    if family.name == "tweedie" and len(family.free) == 2:
        power = float(family.natural(sight.record.vector[sight.record.blocks["family"]])[0][1])
        return named | {"gee": f"tweedie({min(max(power, 1.01), 1.99):.2f})"}
    return named


def fixed_formula(formula: Formula) -> str:
    """The formula without random effects."""
    return " + ".join([f"{formula.response} ~ {formula.fixed}", *(f"offset({text})" for text in formula.offsets)])


def seen(asked: Asked, formula: Formula, frame: Frame, factors: dict[str, Variable]) -> tuple[Sight, Family]:
    """The quick GLM, and the family, which is guessed where none is named; of all rows that a call without time= uses."""
    fixed = fixed_formula(formula)

    def designed(name: str) -> Design:
        family, link = resolve(name, asked.link)
        if family.name in LEVELS:
            raise NotYetError(
                f"advise does not know family {family.name!r} yet: glimm.gee(..., family={family.name!r}) and glimm.glm fit it"
            )
        given = asked.weights, asked.offset, asked.exposure
        spec = Spec("glm", fixed, family, link, *given, clusters=tuple(factors))
        check_clusters(factors, *used_rows(read_inputs(spec, split(fixed), frame), frame.n_rows, "drop"))
        return build_design(spec, frame)

    name = asked.family or first_guess(formula, frame)
    design = designed(name)
    require_rows(design)
    _check_varies(design)
    if asked.family is None and name == "gaussian":
        found = guessed(design.y)
        if found != name:
            counted = sight_of(designed(found), resolve(found, asked.link)[0])
            if found != "poisson" or counted.phi / counted.weight >= LEAST_DISPERSION:
                return counted, counted.record.family
    family = resolve(name, asked.link)[0]
    quick = resolve("poisson", design.mean.link)[0] if family.name.startswith("negative_binomial") else family
    return sight_of(design, quick), family


def sight_of(design: Design, family: Family) -> Sight:
    """A GLM of the design."""
    record = fit_glm(design, family, Control())
    mu = mean(design.mean.link.kernel, record.eta)[0]
    unexplained, exact = left_over(design, mu, record.solution.code == "separated")
    r = pearson_residuals(design, record.family, mu, _psi(record))
    return Sight(design, record, np.zeros_like(r) if exact else r, mu, unexplained, exact)


def left_over(design: Design, mu: Floats, separated: bool) -> tuple[float, bool]:
    """sum (y - mu)^2 / sum (y - mean)^2, and whether this is rounding, or what a search without an end has not reached yet."""
    y = design.y
    total, left = float(np.sum((y - y.mean()) ** 2)), float(np.sum((y - mu) ** 2))
    rounding = len(y) * (ROUNDING * float(np.abs(y).max())) ** 2
    return left / total, left <= max((SEPARATED_EXACTLY if separated else EXACT) * total, rounding)


def _psi(record: GlmRecord) -> Floats:
    return record.family.at_unit(record.vector[record.blocks.get("family", slice(0, 0))])


def _check_varies(design: Design) -> None:
    if design.n and float(np.ptp(design.y)) == 0.0:
        raise GlimmError(
            f"the response {design.response.name!r} is {design.y[0]:g} in all {design.n} rows used: there is nothing to estimate; "
            "choose a response that varies"
        )


def describe(g: Grouping, others: tuple[Grouping, ...], sight: Sight) -> Group:
    """The facts of one grouping."""
    sizes = np.bincount(g.codes)
    pairs, correlation, z = measure.pair_correlation(sight.r, g.codes, sight.p)
    apart, lost = without_crossing(sight.r, g, others)
    _, apart_correlation, apart_z = measure.pair_correlation(apart, g.codes, sight.p + lost)
    size_correlation, size_z = measure.size_relation(sight.r, g.codes)
    return Group(
        name=g.name,
        factors=g.factors,
        clusters=len(sizes),
        smallest=int(sizes.min()),
        median=float(np.median(sizes)),
        largest=int(sizes.max()),
        single=int(np.sum(sizes == 1)),
        pairs=pairs,
        correlation=correlation,
        z=z,
        apart=apart_correlation,
        apart_z=apart_z,
        constant=measure.constant_clusters(sight.design.y, g.codes),
        size_correlation=size_correlation,
        size_z=size_z,
        within=tuple(o.name for o in others if o is not g and measure.nested(g.codes, o.codes)),
    )


def describe_response(sight: Sight, within: float) -> Response:
    """The facts of the response."""
    y, trials = sight.design.y, sight.design.trials
    counts = np.ones(len(y)) if trials is None else trials
    binomial = sight.record.family.support == "binomial"
    return Response(
        name=sight.design.response.name,
        kind=sight.design.response.kind,
        event=sight.design.response.event.partition(": ")[2],
        mean=float(counts @ y / counts.sum()),
        low=float(y.min()),
        high=float(y.max()),
        distinct=len(np.unique(y)),
        whole=bool(np.array_equal(y, np.floor(y))),
        events=float(counts @ y) if binomial else np.nan,
        failures=float(counts @ (1.0 - y)) if binomial else np.nan,
        dispersion=sight.phi / sight.weight,
        within_dispersion=within / sight.weight,
        skewness=measure.skewness(sight.r),
    )


def describe_predictors(sight: Sight, used: tuple[Grouping, ...], main: Grouping | None) -> tuple[Predictor, ...]:
    """The facts of the columns of the fixed part, in its order."""
    spec = sight.design.spec.fixed
    labels = {label for label, _, _ in spec.terms}
    linear = (sight.record.family.name, sight.design.mean.link.name) == ("gaussian", "identity")
    dense = (
        sight.design.mean.matrix.dense() if main is not None and not sight.exact and 0 < sight.p * sight.design.n <= MOST_CELLS else None
    )
    d1, w = row_terms(sight.record) if dense is not None else (np.zeros(0), np.zeros(0))
    out = []
    for name in predictors_of(sight.design):
        variable = take(sight.design.columns[name], sight.design.rows)
        numeric, values = variable.kind == "numeric", variable.values
        term = numeric and name in labels
        shares = {}
        for g in used:
            shares[g.name] = (
                measure.within_share(values, g.codes)
                if numeric and values is not None
                else measure.factor_within_share(used_codes(as_factor(variable), None)[0], g.codes)
            )
        z, slopes = np.nan, {}
        if main is not None and values is not None and numeric and shares[main.name] >= VARIES:
            if linear and term:
                slopes = equal_slopes(values, shares, sight.r, used, main)
            if dense is not None and shares[main.name] <= 1.0 - VARIES:
                z = measure.context_score(values, main.codes, dense, d1, w)
        out.append(Predictor(name, shares, term, slopes, z))
    return tuple(out)


def equal_slopes(
    x: Floats, shares: Mapping[str, float], r: Floats, used: tuple[Grouping, ...], main: Grouping
) -> dict[str, tuple[float, float]]:
    """Grouping -> F and p of equal slopes. A grouping around `main` is tested against the slopes of main's clusters inside it."""
    around = [g for g in used if g is not main and measure.nested(main.codes, g.codes)]
    out = {}
    for g in used:
        left, lost = without_crossing(r, main if g in around else g, used)
        if g in around:
            out[g.name] = measure.slopes_tests(left, x, main.codes, g.codes)[1]
        elif g is main:
            out[g.name] = measure.slopes_tests(left, x, g.codes, around[-1].codes if around else None, lost)[0]
        elif shares[g.name] >= VARIES:
            out[g.name] = measure.slopes_tests(left, x, g.codes, lost=lost)[0]
    return {name: test for name, test in out.items() if test[1] == test[1]}


def over_time(
    name: str | None, frame: Frame, used: tuple[Grouping, ...], sight: Sight
) -> tuple[Times | None, tuple[Lag, ...], Pattern | None, Dropout | None]:
    """What happens over time, in the grouping with most clusters in which no time occurs twice."""
    if name is None or not used:
        return None, (), None, None
    variable, rows = frame.variable(name), sight.design.rows
    here = np.ones(len(rows), dtype=np.bool_) if variable.missing is None else ~variable.missing[rows]
    if not here.any():
        raise GlimmError(f"time {name!r} is missing in all {len(rows)} rows used: leave out time=")
    rows, r = rows[here], sight.r[here]
    time = read_time(variable, rows)
    g = next((g for g in reversed(used) if not _twice(g.codes[here], time)), None)
    if g is None:
        g = used[-1]
        make_clusters(g.name, g.variable, rows, time, "")
    codes = np.unique(g.codes[here], return_inverse=True)[1].astype(np.int32)
    order, starts = gather(codes, int(codes.max()) + 1, time)
    inside = np.diff(codes[order]) == 0
    if not inside.any():
        return None, (), None, None
    gaps = np.diff(time[order])[inside]
    points, positions = np.unique(time, return_inverse=True)
    common = 2 <= len(points) <= min(PLANNED_OCCASIONS, 2 * int(np.diff(starts).max()))
    complete, stopped, holes = measure.attendance(positions, codes, len(points)) if common else (0, 0, 0)
    times = Times(
        name=name,
        group=g.name,
        occasions=len(points),
        first=float(points[0]),
        last=float(points[-1]),
        smallest_gap=float(gaps.min()),
        largest_gap=float(gaps.max()),
        common=common,
        complete=complete,
        stopped=stopped,
        gaps=holes,
        missing=int(np.sum(~here)),
    )
    lags = measure.lag_correlations(r, order, starts, time, sight.phi) if sight.phi > 0.0 else ()
    lost = measure.dropout(r, positions, codes, len(points)) if common and stopped and not sight.exact else None
    return times, lags, measure.pattern(lags), lost


def _twice(codes: Codes, time: Floats) -> bool:
    order = np.lexsort((time, codes))
    return bool(np.any((np.diff(codes[order]) == 0) & (np.diff(time[order]) == 0)))


def _mentioned(asked: Asked) -> tuple[str, ...]:
    return tuple(name for name in (asked.time, asked.weights, asked.offset, asked.exposure) if name is not None)
