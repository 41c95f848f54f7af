"""Tables of a fit as data frames: the one room above data/ that knows pandas.

Frames go back in the caller's own kind (`deliver`); params, bse and the like are always pandas Series by term name.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..covariance.correlated import CORRELATED
from ..covariance.layout import theta_names as theta_names_of
from ..covariance.odds_ratios import OddsRatios
from ..data.columns import level_name
from ..data.frames import table
from ..design.clusters import occasions
from ..errors import GlimmWarning
from ..estimators.association import cluster_correlation
from ..inference.covariance import Inference
from ..inference.random import correlation_at, covariances
from ..inference.wald import interval, p_values
from ..kernels.matrix import Floats
from ..marginal.coefficients import Marginal
from ..marginal.levels import LevelPrediction
from ..marginal.predict import Prediction, untold_words
from ..records import AnyRecord, GeeRecord, LevelsRecord, MixedRecord, PartsRecord, Record

if TYPE_CHECKING:
    import pandas as pd

    from ..diagnostics.pairs import Correlations

MOST_SHOWN = 8
ROUNDING = 1e-9


def deliver(record: AnyRecord, frame: pd.DataFrame) -> Any:
    """The frame in the kind that the fit's data came in."""
    return table(record.design.spec.frame, frame)


def from_columns(record: AnyRecord, columns: Mapping[str, Any]) -> Any:
    """The columns as a frame of the caller's kind."""
    import pandas as pd

    return deliver(record, pd.DataFrame(dict(columns)))


def replicates(record: MixedRecord, found: Mapping[str, Any]) -> Any:
    """A bootstrap's estimates: a row per replicate."""
    p, theta = record.blocks["mean"].stop, record.blocks["theta"]
    names = (*record.design.mean.names, *theta_names(record))
    columns = {name: found["vector"][:, j] for j, name in enumerate(names[: max(p, theta.stop)])}
    if not record.family.scale_known:
        columns["sigma"] = np.sqrt(found["scale"])
    errors = {"llf_error": found["llf_error"]} if np.any(found["llf_error"]) else {}
    return from_columns(record, columns | {"llf": found["llf"]} | errors | {"converged": found["converged"]})


def by_row(record: AnyRecord, values: Floats, name: str) -> pd.Series[float]:
    """A Series over the rows used, indexed as the caller's pandas frame is, by position in the data for other kinds."""
    import pandas as pd

    design = record.design
    return pd.Series(values, index=design.rows if design.labels is None else design.labels, name=name)


def by_level(record: LevelsRecord, values: Floats) -> pd.DataFrame:
    """A frame over the rows used with a column for each level, indexed as `by_row` is."""
    import pandas as pd

    design = record.design
    return pd.DataFrame(values, index=design.rows if design.labels is None else design.labels, columns=list(design.response.levels))


def level_predictions(record: LevelsRecord, p: LevelPrediction, interval: str | None) -> Any:
    """What predict returns: an array, or with an interval a frame of row, level, estimate, std_error, conf_low, conf_high."""
    if p.untold:
        warnings.warn(f"predict: {untold_words(record, p.untold)}", GlimmWarning, stacklevel=3)
    common = len(p.columns) == 1
    if interval is None:
        return p.estimate[:, 0] if common else p.estimate
    n = len(p.estimate)
    levels = {} if common else {"level": list(p.columns) * n}
    assert p.std_error is not None
    numbers = {"estimate": p.estimate, "std_error": p.std_error, "conf_low": p.conf_low, "conf_high": p.conf_high}
    return from_columns(
        record,
        {"row": np.repeat(np.arange(n), len(p.columns)), **levels, **{name: np.ravel(np.asarray(v)) for name, v in numbers.items()}},
    )


def level_rows(record: LevelsRecord, fitted: Floats) -> pd.DataFrame:
    """One row per row used: row (index in the caller's data), response, fitted probability of each level."""
    import pandas as pd

    design = record.design
    levels, name = design.response.levels, design.response.name
    columns = {f"fitted_{level_name(level)}": fitted[:, k] for k, level in enumerate(levels)}
    while name == "row" or name in columns:
        name += "_"
    return pd.DataFrame({"row": design.rows, name: [levels[int(k)] for k in design.y], **columns})


def level_glance(record: LevelsRecord, criteria: dict[str, float]) -> pd.DataFrame:
    """One row: sizes, levels, association or criteria, convergence."""
    import pandas as pd

    design = record.design
    row: dict[str, Any] = {
        "nobs": design.nobs,
        "n_dropped": design.missing.n_dropped,
        "df_resid": design.nobs - len(record.vector),
        "levels": len(design.response.levels),
    }
    if record.door == "gee":
        row |= {"clusters": len(next(iter(design.clusters.values())).levels), "corr": record.corr}
    row |= {"scale": record.scale, **criteria, "converged": record.solution.code in ("converged", "boundary")}
    return pd.DataFrame([row])


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
    return limits_of(inference.names, *interval(inference, level))


def limits_of(names: Sequence[str], low: Floats, high: Floats) -> pd.DataFrame:
    """The same of limits that are known."""
    import pandas as pd

    return pd.DataFrame({"conf_low": low, "conf_high": high}, index=_terms(tuple(names)))


def tidy(inference: Inference, level: float) -> pd.DataFrame:
    """One row per term: term, estimate, std_error, statistic, p_value, conf_low, conf_high; df where that differs between terms."""
    import pandas as pd

    statistic = inference.statistic
    low, high = interval(inference, level)
    own = {} if inference.degrees is None else {"df": inference.df}
    return pd.DataFrame(
        {
            "term": list(inference.names),
            "estimate": inference.params,
            "std_error": inference.bse,
            "statistic": statistic,
            "p_value": p_values(statistic, inference.df),
            "conf_low": low,
            "conf_high": high,
            **own,
        }
    )


def tidy_parts(parts: Mapping[str, Inference], level: float) -> pd.DataFrame:
    """`tidy` of every part, one under another, with the part's name in a first column."""
    import pandas as pd

    frames = [tidy(found, level) for found in parts.values()]
    for name, frame in zip(parts, frames, strict=True):
        frame.insert(0, "part", name)
    return pd.concat(frames, ignore_index=True)


def parts_glance(record: PartsRecord, criteria: dict[str, float]) -> pd.DataFrame:
    """One row: sizes, criteria, convergence."""
    import pandas as pd

    design = record.design
    row = {
        "nobs": design.n,
        "n_dropped": design.missing.n_dropped,
        "df_resid": design.n - len(record.vector),
        **criteria,
        "converged": record.solution.code in ("converged", "boundary"),
    }
    return pd.DataFrame([row])


def marginal(m: Marginal, level: float) -> pd.DataFrame:
    """`tidy` of the marginal coefficients, and zeger_liang_albert: the closed form, NaN where there is none."""
    return tidy(m.inference, level).assign(zeger_liang_albert=m.closed)


def glance(record: Record, criteria: dict[str, float]) -> pd.DataFrame:
    """One row: sizes, dispersion, criteria, convergence."""
    import pandas as pd

    design = record.design
    row: dict[str, Any] = {"nobs": design.nobs, "n_dropped": design.missing.n_dropped, "df_resid": design.nobs - design.mean.matrix.p}
    if isinstance(record, MixedRecord):
        groups = {term.group: len(term.levels) for term in design.mean.random}
        row |= {"clusters" if len(groups) == 1 else f"clusters_{name}": count for name, count in groups.items()}
        row["points"] = record.points
    if isinstance(record, GeeRecord):
        row["clusters"] = len(next(iter(design.clusters.values())).levels)
        row["corr"] = record.corr
    row |= {"scale": record.scale, **criteria, "converged": record.solution.code in ("converged", "boundary")}
    return pd.DataFrame([row])


def varcorr(record: MixedRecord) -> pd.DataFrame:
    """group, term, variance, std_dev, a correlation with each earlier term of its group; last the residual, where there is one.

    The correlations of a structure with more than 8 effects, and of ou, are rows of their own: "correlation" by the term's name.
    """
    import pandas as pd

    rows: list[dict[str, Any]] = []
    for index, (term, sigma) in enumerate(zip(record.design.mean.random, covariances(record), strict=True)):
        sd = np.sqrt(np.diag(sigma))
        by_name = term.structure in CORRELATED and (len(term.names) > MOST_SHOWN or term.times is not None)
        for a, name in enumerate(term.names):
            row = {"group": term.group, "term": name, "variance": sigma[a, a], "std_dev": sd[a]}
            if term.structure != "diag" and not by_name:
                row |= {f"corr_{term.names[b]}": sigma[a, b] / (sd[a] * sd[b]) if sd[a] * sd[b] > 0.0 else np.nan for b in range(a)}
            rows.append(row)
        if by_name:
            rows += [{"group": term.group, "term": name, "correlation": value} for name, value in correlations(record, index, sigma)]
    if record.family.name == "gaussian":
        rows.append({"group": "Residual", "term": "", "variance": record.scale, "std_dev": np.sqrt(record.scale)})
    return pd.DataFrame(rows)


def correlations(record: MixedRecord, index: int, sigma: Floats) -> list[tuple[str, float]]:
    """The different correlations of a structured term by name.

    One (cs, homcs), at lag 1 (ar1), at distance 1 (ou), else at every lag; none where a lag has several.
    """
    name = record.design.mean.random[index].structure
    if name == "ou":
        return [("correlation at distance 1", correlation_at(record, index, 1.0))]
    size = np.sqrt(np.outer(np.diag(sigma), np.diag(sigma)))
    r = np.divide(sigma, size, out=np.full(sigma.shape, np.nan), where=size > 0.0)
    lags = [known if len(known := d[~np.isnan(d)]) else np.array([np.nan]) for d in (np.diag(r, lag) for lag in range(1, len(r)))]
    if any(float(np.ptp(lag)) > ROUNDING for lag in lags):
        return []
    if name in ("cs", "homcs"):
        return [("correlation", float(lags[0][0]))]
    return [(f"correlation at lag {lag}", float(d[0])) for lag, d in enumerate(lags[: 1 if name == "ar1" else None], 1)]


def ranef(record: MixedRecord, variances: tuple[Floats, ...]) -> pd.DataFrame:
    """group, level, term, estimate, std_error: conditional modes of b with conditional standard deviations; variances : per term (J, k, k).

    Levels of several groupings are strings, unless all of them are numbers. Under ou a term is a time of the level, "t = 2.5".
    """
    import pandas as pd

    frames = []
    terms = record.design.mean.random
    for term, effects, variance in zip(terms, record.effects, variances, strict=True):
        places, k = effects.shape
        names = list(term.names) * places
        levels = term.levels
        if term.times is not None:
            levels = levels[term.cell_refs]
            names = [f"{term.names[0]} = {level_name(time)}" for time in term.times.tolist()]
        frames.append(
            {
                "group": [term.group] * (places * k),
                "level": np.repeat(levels, k),
                "term": names,
                "estimate": effects.ravel(),
                "std_error": np.sqrt(np.einsum("jaa->ja", variance)).ravel(),
            }
        )
    if len({frame["level"].dtype.kind for frame in frames}) > 1:
        for frame in frames:
            frame["level"] = np.array([level_name(level) for level in frame["level"].tolist()], dtype=object)
    return pd.concat([pd.DataFrame(frame) for frame in frames], ignore_index=True) if len(frames) > 1 else pd.DataFrame(frames[0])


def augment(record: AnyRecord, fitted: Floats, residual: Floats, kind: str) -> pd.DataFrame:
    """One row per row used: row (index in the caller's data), response, fitted, resid.

    A response that is called like another column gets an underscore at its end: `fitted_` beside `fitted`.
    """
    import pandas as pd

    design, name = record.design, record.design.response.name
    if name in ("row", "fitted", f"resid_{kind}"):
        name += "_"
    return pd.DataFrame({"row": design.rows, name: design.y, "fitted": fitted, f"resid_{kind}": residual})


def prediction(record: AnyRecord, p: Prediction, interval: str | None) -> Any:
    """What predict returns: an array, or with an interval a frame of estimate, std_error, conf_low, conf_high.

    Warns of rows whose cluster the fit does not know, and of intervals of 0/1 responses; called by a method that the user called.
    """
    import pandas as pd

    said = []
    if p.unknown or p.unmet:
        words = unknown_words(p, len({term.group for term in record.design.mean.random}) > 1)
        said.append(words if interval is None else f"{words}; the interval has the variance of a new cluster's effect")
    if interval == "prediction" and record.design.response.kind == "binary":
        better = "interval='cluster' (the means of clusters)" if isinstance(record, MixedRecord) else "interval='confidence' (the mean)"
        said.append(f"the interval of one 0/1 response is nearly always 0 to 1 and says little: use {better}")
    for words in said:
        warnings.warn(f"predict: {words}", GlimmWarning, stacklevel=3)
    if p.untold:
        warnings.warn(f"predict: {untold_words(record, p.untold)}", GlimmWarning, stacklevel=3)
    if interval is None:
        return p.estimate
    columns = {"estimate": p.estimate, "std_error": p.std_error, "conf_low": p.conf_low, "conf_high": p.conf_high}
    return deliver(record, pd.DataFrame(columns))


def unknown_words(p: Prediction, several: bool) -> str:
    """Rows without a predicted effect, by grouping."""
    said = []
    if p.unknown:
        if several:
            text = f"rows without a cluster that the fit knows (missing or new): {by_group(p.unknown)}"
        else:
            count = sum(p.unknown.values())
            text = f"{count} {'row has' if count == 1 else 'rows have'} no cluster that the fit knows (missing or new)"
        said.append(text)
    if p.unmet:
        said.append(f"rows at times that the fit does not have of their cluster: {by_group(p.unmet)}")
    return f"{'; '.join(said)}; the effect is taken as zero, as with target='typical'"


def by_group(counts: Mapping[str, int]) -> str:
    """Counts of rows for the groupings.

    >>> by_group({"school": 2, "rater": 3})
    '2 for school, 3 for rater'
    """
    return ", ".join(f"{count} for {name}" for name, count in counts.items())


def theta_names(record: MixedRecord) -> tuple[str, ...]:
    """Names of the covariance parameters, as the structures of the random terms give them."""
    return tuple(name for term in record.design.mean.random for name in theta_names_of(term.structure, term.names, term.group))


def working_corr(record: GeeRecord) -> pd.DataFrame:
    """The working correlation of the largest cluster, with its times (1, 2, ... if no time was given) on both sides."""
    import pandas as pd

    clusters = next(iter(record.design.clusters.values()))
    at = occasions(clusters, record.moments)
    largest = int(np.argmax(at.sizes))
    rows = slice(at.starts[largest], at.starts[largest + 1])
    times = at.at[rows]
    if isinstance(record.working, OddsRatios):
        matrix = cluster_correlation(record, largest)
    else:
        matrix = record.working.matrix(record.alpha, times if at.inner is None else at.inner[rows], at)
    labels = [int(t) if float(t).is_integer() else float(t) for t in times]
    return pd.DataFrame(matrix, index=labels, columns=labels)


def residual_corr(record: GeeRecord, c: Correlations) -> Any:
    """Correlations of residuals: what the pairs are, pairs, empirical, std_error, working."""
    if c.kind == "inner":
        what = {"pair": np.where(c.lag == 0.0, "same inner cluster", "two inner clusters").astype(object)}
    elif c.kind == "occasions":
        what = {"first": _whole(c.first), "second": _whole(c.second)}
    else:
        what = {"lag": _whole(c.lag), "shortest": _whole(c.first), "longest": _whole(c.second)}
    return from_columns(record, what | {"pairs": c.pairs, "empirical": c.empirical, "std_error": c.error, "working": c.working})


def _whole(values: Floats) -> NDArray[Any]:
    return values.astype(np.int64) if np.array_equal(values, np.floor(values)) else values
