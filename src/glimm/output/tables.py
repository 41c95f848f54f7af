"""Tables of a fit as data frames: the one room above data/ that knows pandas.

Frames go back in the caller's own kind (`deliver`); params, bse and the like are always pandas Series by term name.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from ..covariance.structures import structure
from ..covariance.working import working
from ..data.frames import table
from ..errors import GlimmWarning
from ..inference.covariance import Inference
from ..inference.wald import interval, p_values
from ..kernels.matrix import Floats
from ..marginal.coefficients import Marginal
from ..marginal.predict import Prediction
from ..records import GeeRecord, MixedRecord, Record

if TYPE_CHECKING:
    import pandas as pd


def deliver(record: Record, frame: pd.DataFrame) -> Any:
    """The frame in the kind that the fit's data came in."""
    return table(record.design.spec.frame, frame)


def by_row(record: Record, values: Floats, name: str) -> pd.Series[float]:
    """A Series over the rows used, indexed as the caller's pandas frame is, by position in the data for other kinds."""
    import pandas as pd

    design = record.design
    return pd.Series(values, index=design.rows if design.labels is None else design.labels, name=name)


def by_term(names: Sequence[str], values: Floats, name: str) -> pd.Series[float]:
    """A Series indexed by term."""
    import pandas as pd

    return pd.Series(values, index=_terms(tuple(names)), name=name)


@lru_cache(maxsize=16)
def _terms(names: tuple[str, ...]) -> pd.Index[str]:
    import pandas as pd

    return pd.Index(list(names), name="term")


def square(names: Sequence[str], values: Floats) -> pd.DataFrame:
    """A frame with terms on both sides."""
    import pandas as pd

    return pd.DataFrame(values, index=list(names), columns=list(names))


def limits(inference: Inference, level: float) -> pd.DataFrame:
    """conf_low and conf_high by term."""
    import pandas as pd

    low, high = interval(inference, level)
    return pd.DataFrame({"conf_low": low, "conf_high": high}, index=_terms(inference.names))


def tidy(inference: Inference, level: float) -> pd.DataFrame:
    """One row per term: term, estimate, std_error, statistic, p_value, conf_low, conf_high."""
    import pandas as pd

    statistic = inference.params / inference.bse
    low, high = interval(inference, level)
    return pd.DataFrame(
        {
            "term": list(inference.names),
            "estimate": inference.params,
            "std_error": inference.bse,
            "statistic": statistic,
            "p_value": p_values(statistic, inference.df),
            "conf_low": low,
            "conf_high": high,
        }
    )


def marginal(m: Marginal, level: float) -> pd.DataFrame:
    """`tidy` of the marginal coefficients, and zeger_liang_albert: the closed form, NaN where there is none."""
    return tidy(m.inference, level).assign(zeger_liang_albert=m.closed)


def glance(record: Record, criteria: dict[str, float]) -> pd.DataFrame:
    """One row: sizes, dispersion, criteria, convergence."""
    import pandas as pd

    design = record.design
    row: dict[str, Any] = {"nobs": design.n, "n_dropped": design.missing.n_dropped, "df_resid": design.n - design.mean.matrix.p}
    if isinstance(record, MixedRecord):
        row["clusters"] = len(design.mean.random[0].levels)
        row["points"] = record.points
    if isinstance(record, GeeRecord):
        row["clusters"] = len(next(iter(design.clusters.values())).levels)
        row["corr"] = record.corr
    row |= {"scale": record.scale, **criteria, "converged": record.solution.code in ("converged", "boundary")}
    return pd.DataFrame([row])


def varcorr(record: MixedRecord) -> pd.DataFrame:
    """group, term, variance, std_dev, a correlation with each earlier term of its group; last the residual, where there is one."""
    import pandas as pd

    rows: list[dict[str, Any]] = []
    start = record.blocks["theta"].start
    for term in record.design.mean.random:
        k = len(term.names)
        cov = structure(term.structure)
        t = cov.factor(record.vector[start : start + cov.size(k)], k)
        start += cov.size(k)
        sigma = (record.scale if record.linear else 1.0) * (t @ t.T)
        sd = np.sqrt(np.diag(sigma))
        for a, name in enumerate(term.names):
            row = {"group": term.group, "term": name, "variance": sigma[a, a], "std_dev": sd[a]}
            if term.structure != "diag":
                row |= {f"corr_{term.names[b]}": sigma[a, b] / (sd[a] * sd[b]) if sd[a] * sd[b] > 0.0 else np.nan for b in range(a)}
            rows.append(row)
    if record.family.name == "gaussian":
        rows.append({"group": "Residual", "term": "", "variance": record.scale, "std_dev": np.sqrt(record.scale)})
    return pd.DataFrame(rows)


def ranef(record: MixedRecord) -> pd.DataFrame:
    """group, level, term, estimate, std_error: conditional modes of b with their conditional standard deviations."""
    import pandas as pd

    term = record.design.mean.random[0]
    levels, k = record.effects.shape
    return pd.DataFrame(
        {
            "group": [term.group] * (levels * k),
            "level": np.repeat(term.levels, k),
            "term": list(term.names) * levels,
            "estimate": record.effects.ravel(),
            "std_error": np.sqrt(np.einsum("jaa->ja", record.posterior)).ravel(),
        }
    )


def augment(record: Record, fitted: Floats, residual: Floats, kind: str) -> pd.DataFrame:
    """One row per row used: row (index in the caller's data), response, fitted, resid.

    A response that is called like another column gets an underscore at its end: `fitted_` beside `fitted`.
    """
    import pandas as pd

    design, name = record.design, record.design.response.name
    if name in ("row", "fitted", f"resid_{kind}"):
        name += "_"
    return pd.DataFrame({"row": design.rows, name: design.y, "fitted": fitted, f"resid_{kind}": residual})


def prediction(record: Record, p: Prediction, interval: str | None) -> Any:
    """What predict returns: an array, or with an interval a frame of estimate, std_error, conf_low, conf_high.

    Warns of rows whose cluster the fit does not know; called by a method that the user called.
    """
    import pandas as pd

    if p.unknown:
        warnings.warn(
            f"predict: {p.unknown} {'row has' if p.unknown == 1 else 'rows have'} no cluster that the fit knows (missing or new); "
            "the effect is taken as zero, as with target='typical'",
            GlimmWarning,
            stacklevel=3,
        )
    if interval is None:
        return p.estimate
    columns = {"estimate": p.estimate, "std_error": p.std_error, "conf_low": p.conf_low, "conf_high": p.conf_high}
    return deliver(record, pd.DataFrame(columns))


def theta_names(record: MixedRecord) -> tuple[str, ...]:
    """Names of the covariance parameters, as the structures of the random terms give them."""
    return tuple(name for term in record.design.mean.random for name in structure(term.structure).names(term.names, term.group))


def working_corr(record: GeeRecord) -> pd.DataFrame:
    """The working correlation of the largest cluster, with its times (1, 2, ... if no time was given) on both sides."""
    import pandas as pd

    clusters = next(iter(record.design.clusters.values()))
    largest = int(np.argmax(clusters.sizes))
    rows = clusters.order[clusters.starts[largest] : clusters.starts[largest + 1]]
    times = np.arange(1.0, len(rows) + 1.0) if clusters.time is None else clusters.time[rows]
    matrix = working(record.corr).matrix(record.alpha, times)
    labels = [int(t) if float(t).is_integer() else float(t) for t in times]
    return pd.DataFrame(matrix, index=labels, columns=labels)


def comparison(columns: Sequence[tuple[int, str, str, Inference, str]]) -> pd.DataFrame:
    """One row per column and term: fit, model, target, term, estimate, std_error, conf_low, conf_high, se_kind.

    columns : number of the fit, its name, conditional or marginal, coefficients, kind of standard errors
    """
    import pandas as pd

    frames = []
    for fit, model, target, inference, se_kind in columns:
        low, high = interval(inference, 0.95)
        frames.append(
            pd.DataFrame(
                {
                    "fit": fit,
                    "model": model,
                    "target": target,
                    "term": list(inference.names),
                    "estimate": inference.params,
                    "std_error": inference.bse,
                    "conf_low": low,
                    "conf_high": high,
                    "se_kind": se_kind,
                }
            )
        )
    return pd.concat(frames, ignore_index=True)
