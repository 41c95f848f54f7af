"""Tables of a comparison as pandas frames: coefficients of all fits, and one exposure's effect in them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..inference.covariance import Inference
from ..inference.wald import interval

if TYPE_CHECKING:
    import pandas as pd

    from .effects import Effects


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


def compared_effects(columns: Sequence[tuple[int, str, str]], e: Effects) -> pd.DataFrame:
    """One row per effect: fit, model, target, variable, contrast, estimate, std_error, p_value, conf_low, conf_high, se_kind.

    columns : number of the fit, its name, kind of standard errors
    """
    import pandas as pd

    return pd.DataFrame(
        [
            {
                "fit": columns[f.column][0],
                "model": columns[f.column][1],
                "target": f.target,
                "variable": e.variable,
                "contrast": f.label,
                "estimate": f.estimate,
                "std_error": f.std_error,
                "p_value": f.p_value,
                "conf_low": f.low,
                "conf_high": f.high,
                "se_kind": columns[f.column][2],
            }
            for f in e.found
        ]
    )
