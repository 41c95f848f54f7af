"""statsmodels: GLM, GEE and MixedLM by formula. It has no frequentist GLMM."""

from __future__ import annotations

from typing import Any

import statsmodels
import statsmodels.api as sm
import statsmodels.formula.api as smf

from . import Answer, Call, NotOffered

FAMILIES = {"binomial": sm.families.Binomial, "gaussian": sm.families.Gaussian, "poisson": sm.families.Poisson}

WORKING = {
    "exchangeable": sm.cov_struct.Exchangeable,
    "ar1": lambda: sm.cov_struct.Autoregressive(grid=True),
    "unstructured": sm.cov_struct.Unstructured,
}


def prepare(task: Any, rows: Any) -> Call:
    formula = f"{task.response} ~ {task.fixed}"
    if task.kind == "glmm":
        raise NotOffered("no GLMM by maximum likelihood")
    if task.refit or task.bootstrap:
        raise NotOffered("no refit")
    if task.ask:
        return slope(task, smf.logit(formula, rows).fit(disp=False, tol=1e-10))
    if task.kind == "lmm" and task.single is None:
        raise NotOffered("several random terms only as dense blocks")

    def fit() -> Any:
        if task.kind == "glm":
            model = smf.glm(formula, rows, family=FAMILIES[task.family]()).fit()
            return model, model.params, model.bse, model.llf
        if task.kind == "gee":
            working = WORKING[task.corr]()
            model = smf.gee(formula, task.clusters, rows, family=FAMILIES[task.family](), cov_struct=working).fit()
            return model, model.params, model.bse, None
        effects, group = task.single
        model = smf.mixedlm(formula, rows, groups=group, re_formula=f"~{effects}").fit(reml=task.reml)
        return model, model.fe_params, model.bse_fe, model.llf

    def read(answer: Any) -> Answer:
        _, params, bse, loglik = answer
        order = sorted(range(len(params)), key=lambda k: (params.index[k] != "Intercept", "[" in params.index[k]))  # it puts factors first
        params, bse = params.iloc[order], bse.iloc[order]
        return Answer(loglik, params.tolist(), bse.tolist())

    return Call(statsmodels.__version__, fit, read)


def slope(task: Any, model: Any) -> Call:
    """get_margeff gives the slopes of all variables at once; the one asked for is read."""
    what, variable = task.ask.split()
    if what != "slope":
        raise NotOffered("no averages at two values of a number")

    def read(found: Any) -> Answer:
        row = found.summary_frame().loc[variable]
        return Answer(None, [float(row["dy/dx"])], [float(row["Std. Err."])])

    return Call(statsmodels.__version__, lambda: model.get_margeff(at="overall"), read)
