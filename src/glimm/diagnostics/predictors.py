"""Predictors: columns that say the same, that separate the outcomes, or that are on very different scales.

Separated: some direction d has s_i x_i'd >= 0 in all rows and > 0 in some, s_i = +1 for an event and -1 for none; a linear programme
finds it. Source: Albert and Anderson (1984), Biometrika 71, 1-10; Konis (2007), thesis, Oxford, section 4.1.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..estimators.separation import takes_penalty
from ..kernels import Rows, positive_definite
from ..kernels.matrix import Codes, Floats
from ..records import GlmRecord, MixedRecord
from ..text import counted, figures, listed
from .findings import Finding
from .measure import constant_clusters
from .sight import MOST_CELLS, Sight

INFLATED, VERY = 30.0, 1000.0
SCALES = 1e4
MOST_ROWS = 20_000
STRONG = 4.0
MOST_NAMES = 5
ZERO = 1e-7


def predictors(sight: Sight) -> Iterator[Finding]:
    """Findings about the columns of the fixed part."""
    yield from left_out(sight)
    separated = sight.record.solution.code == "separated"
    along = direction(sight) if separated else None
    inside = [] if along is not None else list(separation_inside(sight))
    if separated and not inside and not (along is None and by_clusters(sight)):
        yield separation(sight, along)
    yield from inside
    yield from collinear(sight)
    yield from scales(sight)


def left_out(sight: Sight) -> Iterator[Finding]:
    """Columns without a coefficient."""
    dropped = sight.record.design.mean.dropped
    if not dropped:
        return
    shown = listed([f"{name} ({why})" for name, why in list(dropped.items())[:MOST_NAMES]])
    more = "" if len(dropped) <= MOST_NAMES else f", and {len(dropped) - MOST_NAMES} more"
    yield Finding(
        "columns_left_out",
        "note",
        f"{counted(len(dropped), 'column')} of {len(dropped) + sight.record.design.mean.matrix.p} {'is' if len(dropped) == 1 else 'are'} "
        f"left out because other columns determine {'it' if len(dropped) == 1 else 'them'}: {shown}{more}.",
        "The other coefficients carry what it would say; fitted values are the same whichever column is left out.",
        "Nothing, or leave the column out of the formula yourself, so that what the others mean is your choice.",
        {"dropped": {name: why.removeprefix("= ") for name, why in dropped.items()}},
    )


def collinear(sight: Sight) -> Iterator[Finding]:
    """Columns that others nearly determine: VIF = 1 / (1 - R^2)."""
    part = sight.record.design.mean
    others = [j for j in range(part.matrix.p) if j != part.intercept]
    if len(others) < 2:
        return
    gram = Rows(part.matrix, part.center, part.scale).gram()
    if part.intercept is not None:
        gram = gram - np.outer(gram[:, part.intercept], gram[part.intercept]) / gram[part.intercept, part.intercept]
    gram = gram[np.ix_(others, others)]
    root = np.sqrt(np.maximum(np.diag(gram), 1e-300))
    correlation = gram / np.outer(root, root)
    if not positive_definite(correlation):
        return
    inverse = np.linalg.inv(correlation)
    vif = np.diag(inverse)
    worst = int(np.argmax(vif))
    if vif[worst] < INFLATED:
        return
    weights = -inverse[worst] / inverse[worst, worst]
    weights[worst] = 0.0
    order = [j for j in np.argsort(-np.abs(weights)) if abs(weights[j]) > 0.1][:3]
    names = [part.names[others[j]] for j in order]
    name = part.names[others[worst]]
    share = f"{1.0 - 1.0 / vif[worst]:.5f}" if vif[worst] < 1e5 else f"1 - {1.0 / vif[worst]:.0e}"
    yield Finding(
        "collinear",
        "warning" if vif[worst] > VERY else "note",
        f"{name} is nearly a combination of {listed(names)} (R^2 = {share}).",
        f"Its standard error is {figures(float(np.sqrt(vif[worst])), 3)} times what it would be if they were unrelated, and that of "
        f"{listed(names)} suffers with it; predictions and the coefficients of other columns do not.",
        f"If {name} and {listed(names)} measure the same, keep one; if they are powers or products, centre them first or test them "
        "together.",
        {"term": name, "vif": float(vif[worst]), "with": {part.names[others[j]]: float(weights[j]) for j in order}},
        float(np.log(vif[worst])),
    )


def scales(sight: Sight) -> Iterator[Finding]:
    """Columns of very different size, which matters to other packages."""
    part = sight.record.design.mean
    numeric = [
        int(b.positions[0])
        for b in part.matrix.blocks
        if b.values is not None and b.codes is None and int(b.positions[0]) != part.intercept
    ]
    if len(numeric) < 2:
        return
    size = part.scale[numeric]
    if size.max() < SCALES * size.min():
        return
    small, large = part.names[numeric[int(np.argmin(size))]], part.names[numeric[int(np.argmax(size))]]
    yield Finding(
        "different_scales",
        "note",
        f"{large} varies by {figures(float(size.max()), 3)} and {small} by {figures(float(size.min()), 3)} (standard deviations).",
        "None: columns are centred and scaled inside, and estimates, standard errors and the search are the same in any unit.",
        "Nothing; for coefficients that are easier to read, give such columns in other units, such as thousands.",
        {"largest": {large: float(size.max())}, "smallest": {small: float(size.min())}},
    )


@dataclass(frozen=True, slots=True)
class Direction:
    """A direction that separates: named coefficients that run away, rows that it tells apart and rows that it leaves."""

    along: dict[str, float]
    apart: int
    tied: int

    @property
    def complete(self) -> bool:
        """Whether no row is left."""
        return self.tied == 0


def by_clusters(sight: Sight) -> bool:
    """Whether clusters, not predictors, tell the outcomes: none of them has both, and all predictors were looked at."""
    small = sight.record.design.n <= MOST_ROWS and sight.record.design.n * sight.record.design.mean.matrix.p <= MOST_CELLS
    if sight.mixed is None or not sight.binary or sight.clusters is None or not small:
        return False
    return constant_clusters(sight.record.design.y, sight.codes) == int(np.sum(sight.clusters.sizes > 1)) > 0


def separation(sight: Sight, found: Direction | None) -> Finding:
    """Predictors that tell the outcomes of some rows with certainty."""
    record = sight.record
    firth = "Fit with penalty='firth', whose estimates are finite" if isinstance(record, GlmRecord) and takes_penalty(record.family) else ""
    rows = int((record.solution.evidence or {}).get("rows", 0))
    evidence: dict[str, object] = {"rows": rows or (found.apart if found else 0)}
    what = "events" if record.family.support == "binomial" else "counts above 0"
    names: list[str] = []
    said = f"Some combination of the predictors separates rows with {what} from rows without."
    if found is not None:
        names = list(found.along)[:MOST_NAMES]
        kind = "completely" if found.complete else "in part"
        evidence |= {"direction": found.along, "apart": found.apart, "tied": found.tied, "complete": found.complete}
        said = (
            f"{listed(names)} {'separates' if len(names) == 1 else 'together separate'} rows with {what} from rows without, {kind}: "
            f"{found.apart} of {record.design.n} rows are told with certainty{_by_level(sight, names)}."
        )
    return Finding(
        "separated",
        "error",
        said,
        "The likelihood rises for ever as these coefficients grow: they, their standard errors and p-values, are where the search stopped, "
        f"and mean nothing. {'No' if found is not None and found.complete else 'Other'} coefficients may be used.",
        f"{f'{firth}; or leave' if firth else 'Leave'} {listed(names) or 'such predictors'} out, put levels together, or report the rows "
        "concerned beside the model; more rows may end it.",
        evidence,
        2.5,
        told=True,
    )


def _by_level(sight: Sight, names: list[str]) -> str:
    """The outcome of the rows where one separating indicator is 1."""
    design = sight.record.design
    if len(names) != 1:
        return ""
    at = design.mean.names.index(names[0])
    for block in design.mean.matrix.blocks:
        if block.codes is not None and block.values is None and at in block.positions:
            here = block.codes == int(np.flatnonzero(block.positions == at)[0])
            for rows, of in ((here, f"of {names[0]}"), (~here, f"outside {names[0]}")):
                values = np.unique(design.y[rows])
                if len(values) == 1:
                    return f" ({design.response.name} is {values[0]:g} in all {int(rows.sum())} rows {of})"
    return ""


def known(sight: Sight) -> Direction | None:
    """The direction that a GLM was judged by."""
    evidence, part = sight.record.solution.evidence or {}, sight.record.design.mean
    if not evidence.get("direction"):
        return None
    moves = [name for name in evidence["direction"] if part.intercept is None or name != part.names[part.intercept]]
    along = {name: evidence["direction"][name] for name in moves or evidence["direction"]}
    tied = sight.record.design.n - evidence["rows"] if evidence["kind"] != "complete" else 0
    return Direction(along, evidence["rows"], tied)


def direction(sight: Sight) -> Direction | None:
    """The direction along which the likelihood rises for ever; None where there is none, or too much to look through."""
    if (found := known(sight)) is not None:
        return found
    design = sight.record.design
    if design.n > MOST_ROWS or design.n * design.mean.matrix.p > MOST_CELLS:
        return None
    part = design.mean
    x = (part.matrix.dense() - part.center) / part.scale
    return recession(sight, x, signs(sight))


def signs(sight: Sight) -> Floats:
    """(n,) +1 where the response is at its upper end, -1 at its lower end, 0 between."""
    y, binomial = sight.record.design.y, sight.record.family.support == "binomial"
    return np.where(y <= 0.0, -1.0, np.where((y >= 1.0) & binomial, 1.0, 0.0))


def recession(sight: Sight, x: Floats, s: Floats) -> Direction | None:
    """The direction of Konis' programme: max sum s_i x_i'd, s_i x_i'd >= 0 (= 0 where s_i = 0), |d| <= 1."""
    from scipy.optimize import linprog

    ends, between = s != 0.0, s == 0.0
    a = s[ends, None] * x[ends]
    if not len(a):
        return None
    equal = np.unique(x[between].round(12), axis=0) if between.any() else None
    a_unique = np.unique(a.round(12), axis=0)
    solved = linprog(
        -a.sum(axis=0) / len(a),
        A_ub=-a_unique,
        b_ub=np.zeros(len(a_unique)),
        A_eq=equal,
        b_eq=None if equal is None else np.zeros(len(equal)),
        bounds=(-1.0, 1.0),
        method="highs",
    )
    if solved.x is None:
        return None
    told, d = a @ solved.x, solved.x
    if not np.any(told > ZERO):
        return None
    if equal is None and np.all(told > -ZERO):
        d = with_margin(a_unique, d)
        told = a @ d
    apart = int(np.sum(told > ZERO))
    part = sight.record.design.mean
    moved = d * x.std(axis=0)
    if part.intercept is not None:
        moved[part.intercept] = 0.0 if np.any(np.abs(moved) > ZERO) else 1.0
    order = [int(j) for j in np.argsort(-np.abs(moved)) if abs(moved[j]) > ZERO]
    return Direction({part.names[j]: float(d[j] / part.scale[j]) for j in order}, apart, len(s) - apart)


def with_margin(a: Floats, d: Floats) -> Floats:
    """A direction that leaves no row on the edge, max t with a d >= t; the given one where there is none."""
    from scipy.optimize import linprog

    rows, p = a.shape
    solved = linprog(
        np.append(np.zeros(p), -1.0),
        A_ub=np.column_stack([-a, np.ones(rows)]),
        b_ub=np.zeros(rows),
        bounds=[(-1.0, 1.0)] * p + [(0.0, None)],
        method="highs",
    )
    return np.asarray(solved.x[:p]) if solved.x is not None and solved.x[p] > ZERO else d


def separation_inside(sight: Sight) -> Iterator[Finding]:
    """Predictors that order the outcomes inside every cluster: looked for where a binary mixed model has a very large variance."""
    record = sight.record
    if not isinstance(record, MixedRecord) or not sight.binary or sight.clusters is None or record.design.n > MOST_ROWS:
        return
    largest = sight.largest_sd
    if largest < STRONG and record.solution.code in ("converged", "boundary"):
        return
    part = record.design.mean
    inside = pairs(part.matrix.dense(), record.design.y, sight.codes)
    if inside is None:
        return
    spread = inside.std(axis=0) + np.abs(inside).mean(axis=0)
    varying = spread > 0.0
    if not varying.any():
        return
    scaled = inside / np.where(varying, spread, 1.0)
    found = recession(sight, np.where(varying, scaled, 0.0), np.ones(len(scaled)))
    if found is None or not found.complete:
        return
    names = list(found.along)[:MOST_NAMES]
    yield Finding(
        "separated_inside_clusters",
        "error",
        f"Inside every cluster of {sight.clusters.name} in which the response changes, {listed(names)} "
        f"{'tells' if len(names) == 1 else 'together tell'} rows with the event from rows without ({len(inside)} pairs of rows, none the "
        f"other way); the standard deviation between clusters is {figures(largest, 3)}.",
        "The likelihood rises for ever as these coefficients and the variance between clusters grow together: none of them has an "
        "estimate.",
        f'Leave {listed(names)} out, or compare averages over the population, glimm.gee(..., groups="{sight.clusters.name}"), which do not '
        "grow with the variance.",
        {"pairs": len(inside), "direction": found.along, "largest_sd": largest},
        2.5,
    )


def pairs(x: Floats, y: Floats, codes: Codes) -> Floats | None:
    """(pairs, p) x of a row with the event minus x of one without, for all pairs of rows in a cluster; None where there are too many."""
    order = np.argsort(codes, kind="stable")
    x, y, codes = x[order], y[order], codes[order]
    starts = np.flatnonzero(np.diff(codes, prepend=-1))
    ends = np.append(starts[1:], len(codes))
    events = np.add.reduceat(y, starts)
    if float(np.sum(events * (ends - starts - events))) > MOST_ROWS:
        return None
    found = []
    for a, b in zip(starts, ends, strict=True):
        with_, without = x[a:b][y[a:b] == 1.0], x[a:b][y[a:b] == 0.0]
        if len(with_) and len(without):
            found.append((with_[:, None] - without[None]).reshape(-1, x.shape[1]))
    return np.concatenate(found) if found else None
