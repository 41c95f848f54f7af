"""The doors: pack the arguments into a Spec, build the design, fit, hand back a fit.

glm: rows independent. glmm: conditional on the cluster. gee: average over the population.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from . import gee_door, glm_door
from .arguments import checked_control, checked_points, clusters_of, make_spec, mixed_clusters_of, refuse_later, scale_of
from .data.sources import is_source
from .design.build import build_design
from .design.records import Design
from .errors import GlimmError, GlimmWarning, NotYetError
from .estimators.control import Control
from .estimators.glmm import fit_glmm
from .estimators.lmm import fit_lmm
from .fit import Fit, GeeFit, GlmFit, GlmmFit
from .fit_levels import LevelsFit
from .fit_parts import PartsFit
from .inference.covariance import mixed_clusters
from .inference.small_sample import asked_of
from .output.reproduce import keep

if TYPE_CHECKING:
    from os import PathLike

    from .advice.say import Advice
    from .comparison import Comparison

F = TypeVar("F", bound=Fit | LevelsFit | PartsFit)


def glm(
    formula: str,
    data: Any,
    *,
    family: Any = "gaussian",
    link: Any = None,
    weights: Any = None,
    offset: Any = None,
    exposure: Any = None,
    vcov: Any = "model",
    zero: Any = None,
    dispersion: Any = None,
    penalty: Any = None,
    scale: Any = None,
    missing: str = "drop",
    control: Control | None = None,
) -> GlmFit | Any:
    """Fit a generalised linear model: rows are independent.

    formula : "y ~ x + f", "successes / trials ~ x" or "cbind(s, f) ~ x"; data : pandas, polars, pyarrow table or dict of arrays; or, larger
        than memory and never held, the path of a parquet file, a folder of them or of delimited text (or a list), a list or any iterable
        of frames, a function without arguments that returns one, a pyarrow dataset, a polars lazy frame: the same numbers, no rows kept
    family : "gaussian", "binomial", "poisson", "gamma", "inverse_gaussian", "negative_binomial" (variance mu + mu^2 / k),
        "negative_binomial1" (variance mu (1 + alpha)), "beta", "tweedie", "tweedie(1.5)" and "negative_binomial(2)" with a given
        parameter, or a glimm.CustomFamily; parts["family"] has its parameters. "quasibinomial" (proportions too), "quasipoisson" and
        "quasi(1.5)", variance phi mu^1.5, have an estimated dispersion and no likelihood. For a response of three or more levels "ordinal"
        (P(Y <= c) = h(threshold - x'b), link "logit", "probit", "cloglog", "loglog" or "cauchit") and "multinomial" (log odds of each level
        against the first): their fit is a `glimm.fit_levels.LevelsFit`, whose predictions have a column for each level
    link : default the canonical one (tweedie and negative binomial: log); "power(0.3)" and "odds_power(2)" have a number
    weights : precision weights, a column name or array (n,): dispersion phi / weight (gaussian, gamma, inverse_gaussian, tweedie), or
        times the log-likelihood of the row (other families); `glimm.frequency("w")` counts equal rows, `glimm.sampling("w")` are those of a
        survey; offset, exposure : column names or arrays (n,); the log of an exposure is added (link log, cloglog, ...)
    vcov : "model", "HC0".."HC3", "jackknife" (one step), "full_jackknife" (refits), or {"cluster": "id"}, one column or two in a list, with
        "small": True or "CR1S" for the factor K / (K - 1) (n - 1) / (n - p), "CR1" for K / (K - 1), "CR1p" for K / (K - p), or a correction
        of glimm.gee such as "mancl_derouen". "df" changes the reference, {"type": "HC3", "df": "normal"}: "normal", "n_minus_p" (t, the
        default where a dispersion is estimated), "k_minus_1", "k_minus_p", or a number
    scale : the dispersion in standard errors: "pearson" (chi-squared / (n - p), the default of families that have one), "deviance", "ml",
        or a number; 1 for binomial, poisson and negative binomial responses unless asked for
    zero : "~ x", logit of the probability of an extra zero, of poisson, negative_binomial and negative_binomial1
    dispersion : "~ x", log of the family's own parameter: sigma of gaussian, phi of gamma, k, alpha, precision. Both may have
        offset(...). With one of them all coefficients are estimated together by maximum likelihood, the fit is a
        `glimm.fit_parts.PartsFit`, vcov is "model", "HC0" or {"cluster": "id"}, and scale= has no meaning
    missing : "drop" or "error"
    penalty : "firth" (bias-reduced estimates, finite under separation) or "jeffreys" (the maximum of log L + 1/2 log |information|, which
        is the same where the link is canonical); `conf_int(method="profile")` has intervals by the penalised likelihood

    Raises GlimmError for anything in formula or data that cannot be used, naming the column and the row.
    Source: McCullagh and Nelder (1989), Generalized Linear Models.

    >>> import glimm
    >>> fit = glimm.glm("resp ~ age * smoke", glimm.load_dataset("ohio"), family="binomial")
    >>> fit.params.round(3).to_dict()
    {'Intercept': -1.901, 'age': -0.141, 'smoke': 0.314, 'age:smoke': 0.071}
    """
    given = dict(locals())
    clusters = clusters_of(vcov)
    control = checked_control(control)
    parts: dict[str, Any] = {"zero": zero, "dispersion": dispersion}
    spec = make_spec("glm", formula, family, link, weights, offset, exposure, missing, clusters=clusters, **parts)
    fit = glm_door.fit_door(spec, data, control, scale_of(scale), keep(glm, given), vcov, penalty)
    _warn_few(fit.record.design, clusters, len(fit.record.vector) if isinstance(fit, LevelsFit) else None)
    return _announced(fit)


def glmm(
    formula: str,
    data: Any,
    *,
    family: Any = "gaussian",
    link: Any = None,
    weights: Any = None,
    offset: Any = None,
    exposure: Any = None,
    vcov: Any = "model",
    zero: Any = None,
    dispersion: Any = None,
    residual: Any = None,
    reml: bool | None = None,
    points: int | str = "auto",
    missing: str = "drop",
    control: Control | None = None,
) -> GlmmFit:
    """Fit a (generalised) linear mixed model: coefficients are conditional on the cluster.

    formula : with random effects, "y ~ x + (1 + x | g)", independent ones "(x || g)"; several terms, nested "(1 | school/pupil)",
    combinations "(1 | a:b)"; structures cs, homcs, toep, ar1(0 + C(visit) | id), ou(0 + t | id); other arguments as in glm
    reml : None is REML for a gaussian identity model and maximum likelihood otherwise
    points : quadrature points; 1 is Laplace, "auto" raises them until nothing that is reported changes
    vcov : "model", or {"cluster": "id"}: robust standard errors by clusters that share no random effect (White 1982)

    Raises GlimmError for anything in formula or data that cannot be used. A variance estimated as zero, or a search that did not
    converge, is a GlimmWarning and stands in `fit.record.solution`.
    Source: Bates et al. (2015), J. Stat. Softw. 67(1); Pinheiro and Chao (2006), J. Comput. Graph. Stat. 15, 58-81.

    >>> import glimm
    >>> fit = glimm.glmm("resp ~ age * smoke + (1 | id)", glimm.load_dataset("ohio"), family="binomial")
    >>> fit.varcorr()["std_dev"].round(2).tolist()
    [2.17]
    """
    given = dict(locals())
    refuse_later("glmm", zero=zero, dispersion=dispersion, residual=residual)
    clusters = mixed_clusters_of(vcov)
    control, points = checked_control(control), checked_points(points)
    if not (reml is None or isinstance(reml, bool | np.bool_)):
        raise GlimmError(f"reml must be True, False or None (REML for a gaussian identity model), not {reml!r}")
    spec = make_spec("glmm", formula, family, link, weights, offset, exposure, missing, clusters=clusters)
    linear = (spec.family.name, spec.link.name) == ("gaussian", "identity")
    if reml and not linear:
        raise GlimmError(
            f"reml=True has a meaning for gaussian identity models only, not for {spec.family.name} {spec.link.name}: leave it out"
        )
    if linear and control.start is not None:
        raise GlimmError(
            "control: start has no meaning for a linear mixed model, whose coefficients are solved for and not searched: leave it out"
        )
    design = build_design(spec, data)
    if clusters:
        mixed_clusters(design, vcov)
        _warn_few(design, clusters)
    restricted = reml is None or bool(reml)
    record = fit_lmm(design, spec.family, restricted, control) if linear else fit_glmm(design, spec.family, points, control)
    fit = _announced(GlmmFit(replace(record, call=keep(glmm, given)), vcov))
    if clusters:
        _ = fit.inference  # what stands in the way of robust errors is said here, not when they are asked for
    return fit


def gee(
    formula: str,
    data: Any,
    *,
    groups: Any,
    time: Any = None,
    corr: Any = "exchangeable",
    moments: str = "standard",
    family: Any = "gaussian",
    link: Any = None,
    weights: Any = None,
    offset: Any = None,
    exposure: Any = None,
    vcov: Any = "robust",
    dropout: Any = None,
    missing: str = "drop",
    control: Control | None = None,
) -> GeeFit | Any:
    """Fit by generalised estimating equations: coefficients are averages over the population, with robust standard errors.

    data : as of glm; what is larger than memory is read in batches of whole clusters: the rows of a cluster follow each other there
    groups : column name or array (n,) of clusters, in any order of rows; time : occasions inside a cluster (default: row order)
    groups="school/class" are classes in schools: schools are independent, corr="nested" has a correlation inside classes and one across
    corr : the working correlation: "independence", "exchangeable", "ar1" (any spacing of times), "ar(m)", "stationary(m)" (m-dependent),
        "nonstationary(m)", "unstructured", "nested", glimm.FixedCorr(matrix), glimm.CustomCorr(...); for 0/1 responses
        odds ratios instead, "odds_ratio", "odds_ratio(pairs)", "odds_ratio(nested)", glimm.OddsRatio(...)
    moments : "standard" (as SAS), "geepack" or "gee", how phi and the correlations are estimated; the rest as in glm
    vcov : "robust" (sandwich), "model" (trusts corr), or for few clusters "mancl_derouen", "kauermann_carroll", "fay_graubard", "morel"
        (Morel-Bokossa-Neerchal), "df" (K / (K - p)), "jackknife" (one step), "full_jackknife" (refits), with a t reference of K - p
        degrees of freedom for K clusters and p coefficients; {"type": "fay_graubard", "df": "fay_graubard"} names another: "normal"
        (default of the first two), "k_minus_p", "pan_wall", "fay_graubard"
    family : as in glm, and for a response of three or more levels "ordinal" (P(Y <= c) = h(threshold - x'b); corr "exchangeable" is one
        global odds ratio between occasions) and "multinomial" (one correlation of the levels); their fit is a `glimm.fit_levels.LevelsFit`

    An estimated correlation that is no correlation matrix for some cluster is drawn towards independence until its smallest eigenvalue
    is 0.1, with a warning; the robust errors stay valid.
    Raises GlimmError for anything in formula or data that cannot be used.
    Source: Liang and Zeger (1986), Biometrika 73, 13-22.

    >>> import glimm
    >>> fit = glimm.gee("resp ~ age * smoke", glimm.load_dataset("ohio"), groups="id", family="binomial")
    >>> fit.corr_params.round(3).to_dict()
    {'alpha': 0.354}
    """
    given = dict(locals())
    refuse_later("gee", dropout=dropout)
    asked = asked_of(vcov)
    control = checked_control(control)
    spec = make_spec("gee", formula, family, link, weights, offset, exposure, missing, groups=groups, time=time)
    fit = gee_door.fit_door(spec, data, corr, moments, asked, control, keep(gee, given), vcov)
    if asked.kind != "model":
        _warn_few(fit.record.design, tuple(fit.record.design.clusters), len(fit.record.vector))
    _announced(fit)
    if is_source(data) or asked.kind not in ("robust", "model"):
        _ = fit.inference  # what stands in the way of a correction is said here, not when it is asked for; and while the file is there
    return fit


def compare(*fits: Fit, effect: Any = None, contrast: str = "difference", values: Any = None) -> Comparison:
    """Fits side by side: the same terms, what each number means, what each model assumes, what missing values did.

    fits : two or more of the same data, any of GLM, GLMM, GEE. A GLM is shown with model-based and with cluster-robust standard
    errors when another fit names the clusters.
    effect : a predictor whose average effect is shown of each fit, over the rows that all used, averaged over clusters (and of mixed
    models for a typical cluster too); contrast and values as in `fit.effect`. `comparison.effects` is a table, `comparison.plot()` the
    forest plot. Raises GlimmError for fits of different responses, and as `fit.effect` does.

    >>> import glimm
    >>> ohio = glimm.load_dataset("ohio")
    >>> a = glimm.glm("resp ~ smoke", ohio, family="binomial")
    >>> b = glimm.gee("resp ~ smoke", ohio, groups="id", family="binomial")
    >>> print(str(glimm.compare(a, b)).splitlines()[0])
    Comparison of 2 fits of resp: binomial, logit link
    """
    from .comparison import Comparison
    from .output.compare import build

    if effect is None and (contrast != "difference" or values is not None):
        raise GlimmError("compare: contrast and values are of an effect: name it, effect='variable'")
    if len(fits) < 2:
        raise GlimmError("compare takes two or more fits, for example glimm.compare(glm_fit, glmm_fit, gee_fit)")
    for fit in fits:
        if isinstance(fit, LevelsFit):
            raise NotYetError("compare is not there for fits to levels (family 'ordinal' and 'multinomial'): print their summaries")
        if isinstance(fit, PartsFit):
            raise NotYetError("compare is not there for fits with zero= or dispersion=: print their summaries, and compare aic")
        if not isinstance(fit, Fit):
            raise GlimmError(f"compare takes fits of glimm.glm, glimm.glmm and glimm.gee, not {type(fit).__name__}")
    return Comparison(build([(fit.record, fit.inference) for fit in fits], effect, contrast, values))


def advise(
    formula: str,
    data: Any,
    *,
    groups: str | Sequence[str] | None = None,
    time: str | None = None,
    question: str | None = None,
    family: str | None = None,
    link: str | None = None,
    weights: str | None = None,
    offset: str | None = None,
    exposure: str | None = None,
) -> Advice:
    """Look at the data and say which model fits the question, why, what to write, and what would change the advice.

    formula : as of the doors; random effects in it name groups too; data : as of the doors
    groups : the column that says which rows belong together, or several, nested or crossed; time : occasions inside clusters
    question : "individual" (what a predictor does for one cluster), "population" (for the average), None explains both
    family : default guessed from the response; link, weights, offset, exposure : as in glm, columns by name

    Returns an Advice: `model`, `call` and `calls` (Python source), `reasons`, `doubts`, `missing` with their numbers, `facts`.
    Raises GlimmError for anything in the call or the data that the doors refuse, and for groups with a single cluster.

    >>> import glimm
    >>> advice = glimm.advise("resp ~ age * smoke", glimm.load_dataset("ohio"), groups="id", question="individual")
    >>> print(advice.call)
    glimm.glmm("resp ~ age * smoke + (1 | id)", data, family="binomial")
    """
    from .advice.look import Asked
    from .advice.say import build

    if not isinstance(formula, str):
        raise GlimmError(f"formula must be text such as 'y ~ x', not {type(formula).__name__}")
    names = (groups,) if isinstance(groups, str) else tuple(groups) if isinstance(groups, list | tuple) else () if groups is None else None
    if names is None or not all(isinstance(name, str) for name in names):
        raise GlimmError("groups must name a column, groups='id', or several, groups=['school', 'class']: make arrays columns")
    columns = {"time": time, "weights": weights, "offset": offset, "exposure": exposure}
    for role, given in columns.items():
        if not (given is None or isinstance(given, str)):
            raise GlimmError(f"{role} must name a column of the data, not {type(given).__name__}: make it a column")
    for role, given in {"family": family, "link": link, "question": question}.items():
        if not (given is None or isinstance(given, str)):
            raise GlimmError(f"{role} must be a name, not {type(given).__name__}")
    if time is not None and not names and "|" not in formula:
        raise GlimmError("time= needs groups=: the column that says which rows belong together, such as groups='id'")
    return build(Asked(formula, tuple(dict.fromkeys(names)), family=family, link=link, **columns), data, question)


def report(fit: Fit | Comparison, path: str | PathLike[str]) -> Path:
    """Write a fit or a comparison as one page of HTML that needs nothing else: what was done, tables, pictures, how to do it again.

    fit : of glimm.glm, glimm.glmm or glimm.gee, or what glimm.compare gives; path : of the .html file, overwritten if it is there

    Returns the path. Raises GlimmError for anything else, a path that is no .html file, and a directory that does not exist.
    Without matplotlib the page says what to install for pictures.

    >>> import glimm, tempfile
    >>> fit = glimm.glm("resp ~ age", glimm.load_dataset("ohio"), family="binomial")
    >>> glimm.report(fit, tempfile.mkdtemp() + "/wheeze.html").name
    'wheeze.html'
    """
    from .comparison import Comparison
    from .output import page
    from .plots import gallery

    out = page.check_path(path)
    if isinstance(fit, Fit):
        shown = page.Shown(*gallery.of_fit(fit.record, fit.inference))
        text = page.fit_page(fit.model, fit.record, fit.inference, shown, fit.check().checked)
    elif isinstance(fit, Comparison):
        record = fit.record
        found, notes = gallery.averages([(f"({m.number}) {m.name}", m.record, record.inference_of(m)) for m in fit.models])
        drawn = page.Shown(*(((), ()) if record.effect is None else gallery.of_effect(fit.plot)))
        pictures, more = gallery.of_comparison(fit.models[0].record, found)
        tables = [page.averages(a.axis.variable, (a.axis.names, a.axis.x), a.names, a.values, gallery.detail(a)) for a in found]
        text = page.comparison_page(record, tables, page.Shown(pictures, (*notes, *more)), drawn)
    elif isinstance(fit, LevelsFit):
        raise NotYetError("report is not there for fits to levels (family 'ordinal' and 'multinomial'): fit.summary() has text and HTML")
    elif isinstance(fit, PartsFit):
        raise NotYetError("report is not there for fits with zero= or dispersion=: fit.summary() has text and HTML")
    else:
        raise GlimmError(f"report takes a fit, or what glimm.compare gives, not {type(fit).__name__}")
    out.write_text(text, encoding="utf-8")
    return out


def _warn_few(design: Design, clusters: Sequence[str], parameters: int | None = None) -> None:
    """One warning where robust standard errors have no more clusters than coefficients."""
    for name in clusters:
        levels, p = len(design.clusters[name].levels), parameters or design.mean.matrix.p
        if levels <= p:
            warnings.warn(
                f"{levels} clusters of {name} for {p} coefficients: robust standard errors are far too small here; do not use them, "
                "nor the p-values",
                GlimmWarning,
                stacklevel=3,
            )
            return


def _announced(fit: F) -> F:
    """The fit, after one warning if its solution is not simply converged."""
    solution = fit.record.solution
    note = (solution.evidence or {}).get("note")
    said = ([] if solution.code == "converged" else [solution.message]) + ([str(note)] if note else [])
    if said:
        warnings.warn("; ".join(said), GlimmWarning, stacklevel=3)
    return fit


__all__ = ["Control", "advise", "compare", "gee", "glm", "glmm", "report"]
