"""Every column that a call needs, read once, and which rows are complete in all of them.

used = rows where no column of the model is missing; the losses are counted by variable and by cluster.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.columns import cross
from ..data.formula import variables_in
from ..data.frames import Frame, check_names
from ..data.matrices import predictors
from ..data.readers import read_column, read_factor
from ..data.records import ClusterLoss, Formula, Missing, Variable
from ..data.terms import parse_terms
from ..data.text import plain_name
from ..errors import GlimmError
from ..kernels.matrix import Ints
from .part_formulas import part_formulas, part_variables
from .records import Inputs, Spec
from .response import response_variables


def read_inputs(spec: Spec, formula: Formula, frame: Frame) -> Inputs:
    """Read what the call needs and nothing else.

    Raises GlimmError for unknown columns and for columns that cannot be read.
    """
    names = list(response_variables(formula)) + list(predictors(formula.fixed))
    response = plain_name(formula.response)
    if response in parse_terms(formula.fixed)[1]:
        raise GlimmError(f"{response!r} is both the response and a predictor in {formula.text!r}: remove it on the right")
    for bar in formula.bars:
        slopes = predictors(bar.expression)
        if response in slopes:
            raise GlimmError(f"{response!r} is both the response and a random effect in {bar.text}: remove it there")
        names += slopes
    names += [name for text in formula.offsets for name in variables_in(text)]
    check_names(frame, names)
    for part, needed in ((part, part_variables(own)) for part, own in part_formulas(spec).items()):
        if response in needed:
            raise GlimmError(f"{response!r} is both the response and a predictor in {part}={getattr(spec, part)!r}: remove it there")
        check_names(frame, needed, f", needed by {part}=")
        names += needed
    variables = {name: frame.variable(name) for name in dict.fromkeys(names)}
    arguments: dict[str, Variable] = {}
    for role in ("weights", "offset", "exposure", "time"):
        given = getattr(spec, role)
        if given is not None:
            arguments[role] = _argument(role, given, frame, variables)
    groupings, columns = _random_groupings(formula, frame)
    groups, inner = None, None
    if isinstance(spec.groups, str) and "/" in spec.groups and spec.groups not in frame.names:
        groups, inner = _nested_groups(spec, frame, groupings, columns)
    elif spec.groups is not None:
        groups = spec.groups if isinstance(spec.groups, str) else "groups"
        groupings[groups] = columns[groups] = _groups(spec.groups, frame)
    for name in spec.clusters:
        check_names(frame, (name,), ", needed by vcov")
        if name not in groupings:
            groupings[name] = columns[name] = frame.factor(name)
    return Inputs(variables, arguments, groupings, columns, groups, inner)


def _random_groupings(formula: Formula, frame: Frame) -> tuple[dict[str, Variable], dict[str, Variable]]:
    """The groupings of the random terms, and the columns that they are made of; each is coded once."""
    columns: dict[str, Variable] = {}
    groupings: dict[str, Variable] = {}
    made: dict[tuple[str, ...], Variable] = {}
    for bar in formula.bars:
        check_names(frame, bar.factors, f", needed by {bar.text}")
        for j, name in enumerate(bar.factors):
            if name not in columns:
                columns[name] = frame.factor(name)
            path = bar.factors[: j + 1]
            if path not in made:
                made[path] = cross(":".join(path), made[path[:-1]], columns[name]) if j else columns[name]
        if groupings.setdefault(bar.name, made[bar.factors]) is not made[bar.factors]:
            raise GlimmError(f"{bar.text}: column {bar.name!r} and the combinations {bar.name} have one name: rename the column")
    return groupings, columns


def used_rows(inputs: Inputs, n: int, policy: str) -> tuple[Ints | None, Missing]:
    """Positions of the complete rows (None for all of them), and the account of the others.

    Raises GlimmError when no row is complete, and for any missing value when the policy is "error".
    """
    rows, missing = account(inputs, n)
    check_missing(missing, policy)
    return rows, missing


def account(inputs: Inputs, n: int) -> tuple[Ints | None, Missing]:
    """The same, whatever is missing."""
    counts: dict[str, int] = {}
    complete = np.ones(n, dtype=np.bool_)
    columns = [*inputs.variables.items(), *((v.name, v) for v in inputs.arguments.values()), *inputs.columns.items()]
    for name, variable in columns:
        if variable.missing is not None and variable.missing.any():
            counts[name] = max(int(variable.missing.sum()), counts.get(name, 0))
            complete &= ~variable.missing
    if complete.all():
        return None, Missing(n, n, {}, {name: ClusterLoss(_n_clusters(v), 0, 0, {}) for name, v in inputs.groupings.items()})
    rows = np.flatnonzero(complete)
    losses = {name: _loss(variable, complete) for name, variable in inputs.groupings.items()}
    return rows, Missing(n, len(rows), counts, losses)


def check_missing(missing: Missing, policy: str) -> None:
    """Raise GlimmError when no row is complete, and for any missing value when the policy is "error"."""
    listed = ", ".join(f"{name}: {count}" for name, count in missing.by_variable.items())
    if not missing.n_used:
        raise GlimmError(f"every one of the {missing.n_rows} rows has a missing value ({listed}): leave out a column, or impute")
    if policy == "error" and missing.n_dropped:
        raise GlimmError(f"{missing.n_dropped} of {missing.n_rows} rows have missing values ({listed}): use missing='drop', or impute them")


def together(a: Missing, b: Missing) -> Missing:
    """The account of rows of a and of b, which share no cluster."""
    counts = {name: a.by_variable.get(name, 0) + b.by_variable.get(name, 0) for name in (*a.by_variable, *b.by_variable)}
    losses = {
        name: ClusterLoss(
            x.clusters + b.by_cluster[name].clusters,
            x.shortened + b.by_cluster[name].shortened,
            x.lost + b.by_cluster[name].lost,
            {**x.rows_by_level, **b.by_cluster[name].rows_by_level},
        )
        for name, x in a.by_cluster.items()
    }
    return Missing(a.n_rows + b.n_rows, a.n_used + b.n_used, counts, losses)


def _n_clusters(variable: Variable) -> int:
    assert variable.codes is not None
    codes = variable.codes if variable.missing is None else variable.codes[variable.codes >= 0]
    return int(np.count_nonzero(np.bincount(codes, minlength=len(variable.levels))))


def _loss(variable: Variable, complete: NDArray[np.bool_]) -> ClusterLoss:
    """Clusters, those that lost some of their rows, those that lost all."""
    assert variable.codes is not None
    k = len(variable.levels)
    known = variable.codes >= 0
    before = np.bincount(variable.codes[known], minlength=k)
    after = np.bincount(variable.codes[known & complete], minlength=k)
    touched = np.flatnonzero(after < before)
    lost = int(np.count_nonzero(after[touched] == 0))
    by_level = {variable.levels[j]: int(before[j] - after[j]) for j in touched}
    return ClusterLoss(int(np.count_nonzero(before)), len(touched) - lost, lost, by_level)


def _argument(role: str, given: Any, frame: Frame, variables: Mapping[str, Variable]) -> Variable:
    """weights, offset, exposure or time: a column's name, or one value per row of the caller's data."""
    if isinstance(given, str):
        check_names(frame, (given,), f", needed by {role}=")
        variable = variables[given] if given in variables else frame.variable(given)
    else:
        frame.check_labels(role, given)
        variable = read_column(role, given, frame.n_rows)
    if role != "time" and variable.kind != "numeric":
        what = "booleans" if variable.boolean else "strings"
        raise GlimmError(f"{role} {variable.name!r} holds {what}: give numbers")
    return variable


def _nested_groups(spec: Spec, frame: Frame, groupings: dict[str, Variable], columns: dict[str, Variable]) -> tuple[str, str]:
    """Names of the outer and the inner clusters of groups="outer/inner"; the inner ones are levels inside an outer one."""
    text = str(spec.groups)
    names = [name.strip() for name in text.split("/")]
    if spec.time is not None:
        raise GlimmError("time= has no meaning for corr='nested', whose correlations are those of classes and schools: leave it out")
    if len(names) != 2:
        raise GlimmError(f"groups={text!r}: two kinds of clusters are the most, 'outer/inner', such as 'school/class'")
    check_names(frame, names, ", needed by groups=")
    outer, inner = names[0], ":".join(names)
    for name in names:
        columns[name] = frame.factor(name)
    groupings[outer] = columns[outer]
    groupings[inner] = cross(inner, columns[outer], columns[names[1]])
    return outer, inner


def _groups(given: Any, frame: Frame) -> Variable:
    if isinstance(given, str):
        check_names(frame, (given,), ", needed by groups=")
        return frame.factor(given)
    if isinstance(given, (list, tuple)) and given and len(given) != frame.n_rows and all(name in frame.names for name in given):
        joined = " + ':' + ".join(f"data[{name!r}].astype(str)" for name in given)
        raise GlimmError(f"groups= is one column: make one of several first, for example data['cluster'] = {joined}")
    frame.check_labels("groups", given)
    return read_factor("groups", given, frame.n_rows)
