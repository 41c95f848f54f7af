"""marginaleffects on a statsmodels logit fit, which is made before the clock starts."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import marginaleffects
import statsmodels.formula.api as smf

from . import Answer, Call, NotOffered


def prepare(task: Any, rows: Any) -> Call:
    if not task.ask or task.family != "binomial":
        raise NotOffered("effects of fitted models only")
    what, variable = task.ask.split()
    model = smf.logit(f"{task.response} ~ {task.fixed}", rows).fit(disp=False, tol=1e-10)

    def ask() -> Any:
        if what == "effect":
            return marginaleffects.avg_comparisons(model, variables={variable: [0, 1]})
        return marginaleffects.avg_slopes(model, variables=variable)

    def read(answer: Any) -> Answer:
        frame = getattr(answer, "data", answer)
        return Answer(None, [float(frame["estimate"][0])], [float(frame["std_error"][0])])

    return Call(version("marginaleffects"), ask, read)
