"""A call with its rows in a file or in pieces against the same call with the rows in memory: the same outcome, the same numbers."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import glimm
from glimm.design.weights import Weights

from .cases import make
from .said import Failure, quietly

MEMORY_ONLY = "glimm.read(path)"
"""What is not there for rows in a file says so, with the remedy."""
SAME = 1e-9
TO_ROUNDING = 1e-6
"""Errors by cluster are added in another order, and of a fit that has not converged the passes differ by rounding."""


def judge_files(recipe, folder):
    """(memory's outcome, the file's), a code or "refused"; raises Failure."""
    door, formula, data, arguments = make(recipe | {"frame": "pandas"})
    for role in ("weights", "offset", "exposure"):
        given = arguments.get(role)
        kind, values = (getattr(glimm, given.kind), given.values) if isinstance(given, Weights) else (lambda name: name, given)
        if values is not None and not isinstance(values, str):
            data[role] = values
            arguments[role] = kind(role)
    held, rows = placed(data, recipe["seed"], folder)
    ours, said = quietly("memory", lambda: getattr(glimm, door)(formula, held, **arguments))
    theirs, other = quietly("file", lambda: refused_or(lambda: getattr(glimm, door)(formula, rows(), **arguments)))
    if isinstance(theirs, str):  # errors of a file are made at the door
        if ours is not None and MEMORY_ONLY not in theirs and str(refused_or(lambda: ours.bse)) != theirs:
            raise Failure(f"memory has {ours.record.solution.code!r}, the file an error: {theirs}")
        return "refused" if ours is None else ours.record.solution.code, "refused"
    if ours is None:
        raise Failure("memory has an error, the file a fit")
    same(ours, theirs, arguments)
    if set(said) != set(other):
        raise Failure(f"memory says {said}, the file {other}")
    asked(theirs, data)
    return ours.record.solution.code, theirs.record.solution.code


def refused_or(call):
    """What a call returns, or the words of our error."""
    try:
        return call()
    except glimm.GlimmError as error:
        return str(error)


def placed(data, seed, folder):
    """(the rows in memory, what gives them as a file or as pieces)."""
    path = folder / f"{seed}.{'csv' if seed % 3 == 0 else 'parquet'}"
    if seed % 3 == 0:
        data.to_csv(path, index=False)
        return glimm.read(path), lambda: path
    table = pa.Table.from_pandas(data, preserve_index=False)
    if seed % 3 == 1:
        pq.write_table(table, path, row_group_size=max(1, len(data) // 3))
        return pq.read_table(path), lambda: path
    cuts = np.linspace(0, len(data), 4).astype(int)
    return table, lambda: [table.slice(a, b - a) for a, b in pairwise(cuts)]


def same(ours, theirs, arguments):
    """The same numbers under the same names."""
    codes = [fit.record.solution.code for fit in (ours, theirs)]
    if codes[0] != codes[1]:
        raise Failure(f"memory is {codes[0]!r}, the file {codes[1]!r}")
    near = SAME if codes[0] == "converged" and not isinstance(arguments.get("vcov"), dict) else TO_ROUNDING
    if list(ours.params.index) != list(theirs.params.index):
        raise Failure(f"memory has {list(ours.params.index)}, the file {list(theirs.params.index)}")
    for name in ("params", "bse", "llf", "deviance", "scale", "nobs", "df_resid"):
        pair = [quietly(name, lambda fit=fit, name=name: np.asarray(getattr(fit, name, 0.0), dtype=float))[0] for fit in (ours, theirs)]
        if (pair[0] is None) != (pair[1] is None):
            raise Failure(f"{name}: memory {pair[0]}, the file {pair[1]}")
        if pair[0] is not None and not np.allclose(*pair, rtol=near, atol=near * 1e-3, equal_nan=True):
            raise Failure(f"{name}: memory {pair[0]}, the file {pair[1]}")


def asked(fit, data):
    """Questions to a fit without rows: an answer or an error of ours."""
    questions = {
        "summary": lambda: str(fit.summary()),
        "conf_int": fit.conf_int,
        "tidy": fit.tidy,
        "glance": fit.glance,
        "augment": fit.augment,
        "cov_params": fit.cov_params,
        "predict": fit.predict,
        "predict new": lambda: fit.predict(data),
        "predict interval": lambda: fit.predict(data, interval="prediction"),
        "resid": fit.resid,
        "effect": lambda: fit.effect("a"),
        "anova": fit.anova,
        "anova 1": lambda: fit.anova(1),
        "score_test_terms": fit.score_test_terms,
        "profile": lambda: fit.conf_int(method="profile"),
        "wald_test_terms": fit.wald_test_terms,
        "check": fit.check,
        "influence": fit.influence,
        "simulate": lambda: fit.simulate(2, seed=1),
        "lrt": lambda: str(glimm.lrt(fit, fit)),
        "compare": lambda: str(glimm.compare(fit, fit)),
    }
    for name, call in questions.items():
        quietly(f"{name} of a file ({fit.record.solution.code})", call)
