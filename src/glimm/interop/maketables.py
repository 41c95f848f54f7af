"""What maketables asks of a model by its `__maketables_*__` names: a coefficient table, statistics by key, and words. It is not imported.

Protocol: PLUGIN_EXTRACTOR_FORMAT.md of maketables.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, final

from ..inference.covariance import Inference
from ..inference.criteria import criteria, criteria_errors, deviance, without_likelihood
from ..inference.wald import interval, p_values
from ..records import GeeRecord, GlmRecord, MixedRecord, Record

if TYPE_CHECKING:
    import pandas as pd

    from ..fit_outside import Outside as Fit

LABELS: Final = {
    "model": "Model",
    "scale": "Dispersion",
    "corr": "Working correlation",
    "points": "Quadrature points",
    "ll_error": "Monte-Carlo error of LL",
    "aic_error": "Monte-Carlo error of AIC",
    "bic_error": "Monte-Carlo error of BIC",
}
CRITERIA: Final = {"ll": "llf", "aic": "aic", "bic": "bic"}
ERRORS: Final = {"ll_error": "llf_error", "aic_error": "aic_error", "bic_error": "bic_error"}


@final
class Published:
    """A fit's `__maketables_*__` names and nothing else: with params and bse beside them maketables would not look for these."""

    def __init__(self, fit: Fit) -> None:
        self._fit = fit

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__maketables_"):
            return getattr(self._fit, name)
        raise AttributeError(f"{name!r}: this is a fit for maketables; ask the fit itself")


def coef_table(inference: Inference) -> pd.DataFrame:
    """b, se, t, p and the 95 % interval by term."""
    import pandas as pd

    t = inference.statistic
    low, high = interval(inference, 0.95)
    columns = {"b": inference.params, "se": inference.bse, "t": t, "p": p_values(t, inference.df), "ci95l": low, "ci95u": high}
    return pd.DataFrame(columns, index=pd.Index(list(inference.names), name="Coefficient"))


def stat(record: Record, inference: Inference, vcov: Any, key: str) -> Any:
    """A statistic by its key, None where the model has none."""
    design = record.design
    if key in CRITERIA:
        return None if without_likelihood(record) else float(criteria(record)[CRITERIA[key]])
    if key in ERRORS:
        return criteria_errors(record).get(ERRORS[key])
    if key == "N":
        return design.nobs
    if key == "n_clusters":
        counts = clusters(record, vcov)
        return next(iter(counts.values())) if len(counts) == 1 else ", ".join(f"{name}: {k}" for name, k in counts.items()) or None
    if key == "df_resid":
        return design.nobs - design.mean.matrix.p
    if key == "deviance":
        return float(deviance(record))
    if key == "scale":
        return float(record.scale)
    if key == "se_type":
        return inference.label
    if key == "model":
        return kind(record)
    if key == "corr":
        return record.corr if isinstance(record, GeeRecord) else None
    return record.points if key == "points" and isinstance(record, MixedRecord) else None


def kind(record: Record) -> str:
    """GLM, LMM, GLMM or GEE."""
    if isinstance(record, MixedRecord):
        return "LMM" if record.linear else "GLMM"
    return "GLM" if isinstance(record, GlmRecord) else "GEE"


def clusters(record: Record, vcov: Any) -> dict[str, int]:
    """Clusters of each grouping that the model or its standard errors know."""
    if isinstance(record, MixedRecord):
        return {term.group: len(term.levels) for term in record.design.mean.random}
    known = record.design.clusters
    asked = list(known) if isinstance(record, GeeRecord) else vcov["cluster"] if isinstance(vcov, Mapping) else []
    return {name: len(known[name].levels) for name in ([asked] if isinstance(asked, str) else asked)}


def stat_keys(record: Record, vcov: Any) -> list[str]:
    """What a table shows unless told otherwise."""
    shown = ["N", "n_clusters"] if clusters(record, vcov) else ["N"]
    criteria = [] if without_likelihood(record) else ["ll", "ll_error", "aic"] if criteria_errors(record) else ["ll", "aic"]
    return ["model", *shown, *criteria]


def vcov_info(record: Record, inference: Inference, vcov: Any) -> dict[str, Any]:
    """The covariance in words, and the columns that it is clustered by."""
    robust = not isinstance(record, MixedRecord) and not inference.label.startswith("model")
    return {"vcov_type": inference.label, "clustervar": list(clusters(record, vcov)) or None if robust else None}
