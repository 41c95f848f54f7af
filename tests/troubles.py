"""Data sets that each show one trouble, the model that a user would fit to them, and the finding that is due."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

import glimm


@dataclass(frozen=True)
class Trouble:
    """make : () -> fit; code : the finding that is due; severity : of it; beside : codes that may stand beside it"""

    make: Callable[[], Any]
    code: str
    severity: str
    beside: tuple[str, ...] = field(default=())


def logistic(eta):
    return 1.0 / (1.0 + np.exp(-eta))


def clustered(seed, clusters=60, size=8):
    rng = np.random.default_rng(seed)
    g = np.repeat(np.arange(clusters), size)
    data = pd.DataFrame({"g": g, "t": np.tile(np.arange(size), clusters), "x": rng.normal(size=len(g))})
    return rng, data.assign(u=rng.normal(size=clusters)[g], e=rng.normal(size=len(g)))


# the search


def stopped_early():
    rng, d = clustered(1)
    d["y"] = (rng.random(len(d)) < logistic(2.0 * d.x + 3.0 * d.u)).astype(int)
    return glimm.glmm("y ~ x + (1 | g)", d, family="binomial", points=1, control=glimm.Control(max_iter=1))


def stopped_at_the_end():
    """Stopped by an unreachable tolerance: the Newton decrement says that nothing is left to gain."""
    rng, d = clustered(2)
    d["y"] = (rng.random(len(d)) < logistic(d.x + d.u)).astype(int)
    for most in range(2, 20):
        fit = glimm.glmm("y ~ x + (1 | g)", d, family="binomial", points=1, control=glimm.Control(tol=1e-300, max_iter=most))
        if fit.converged:
            return fit
    raise AssertionError("every search ended by itself")


def trials_within_participants():
    """Two trials of each of 45 participants, an intercept and a slope for each: the four cells of outcomes tell three numbers, not five."""
    cells = {(0, 0): 12, (0, 1): 9, (1, 0): 4, (1, 1): 20}
    pairs = [pair for pair, count in cells.items() for _ in range(count)]
    data = {"g": np.repeat(np.arange(45), 2), "cond": np.tile([0, 1], 45), "y": np.array(pairs).ravel()}
    return glimm.glmm("y ~ cond + (1 + cond | g)", data, family="binomial", link="probit", points=9)


def two_effects_of_two_rows():
    cells = {(0, 0): 15, (0, 1): 5, (1, 0): 5, (1, 1): 15}
    pairs = [pair for pair, count in cells.items() for _ in range(count)]
    data = {"g": np.repeat(np.arange(40), 2), "cond": np.tile([0, 1], 40), "y": np.array(pairs).ravel()}
    return glimm.glmm("y ~ cond + (1 + cond | g)", data, family="binomial")


def counts_like_poisson():
    rng, d = clustered(4)
    return glimm.glm("y ~ x", d.assign(y=rng.binomial(8, 0.2, len(d))), family="negative_binomial")


def as_many_coefficients_as_rows():
    return glimm.glm("y ~ x + z", {"y": [1.0, 3.0, 2.0], "x": [0.0, 1.0, 2.0], "z": [1.0, 0.0, 5.0]})


def response_among_the_predictors():
    x = np.array([35.9, 36.4, 36.8, 37.1, 38.0])
    return glimm.glm("celsius ~ age + fahrenheit", {"celsius": x, "fahrenheit": 32 + 1.8 * x, "age": [30.0, 50.0, 20.0, 40.0, 60.0]})


# random effects


def no_variance():
    _, d = clustered(5)
    e = d.e - d.groupby("g").e.transform("mean")
    return glimm.glmm("y ~ x + (1 | g)", d.assign(y=d.x + e))


def no_slope_variance():
    rng, d = clustered(6)
    y = d.u + d.x + rng.normal(size=len(d))
    z = pd.Series(np.tile([-1.5, -0.5, 0.5, 1.5, 1.5, 0.5, -0.5, -1.5], 60))
    e = d.e - d.groupby("g").e.transform("mean")
    e = e - z * ((e * z).groupby(d.g).transform("sum") / (z * z).groupby(d.g).transform("sum"))
    return glimm.glmm("y ~ z + (1 + z || g)", d.assign(y=d.u + z + e, z=z, x=y))


def perfectly_correlated():
    _, d = clustered(7)
    return glimm.glmm("y ~ x + (1 + x | g)", d.assign(y=d.u + 0.8 * d.u * d.x + d.e))


def one_correlation():
    """Effects of a subject that are the same every day, beside a residual that changes its sign from day to day."""
    _, d = clustered(8, 18, 10)
    return glimm.glmm("y ~ t + ar1(0 + C(t) | g)", d.assign(y=3.0 * d.u + d.t + np.abs(d.e) * (-1.0) ** d.t))


def three_effects_of_rank_two():
    rng, d = clustered(9, 80, 12)
    d["w"] = rng.normal(size=len(d))
    v = rng.normal(size=80)[d.g]
    return glimm.glmm("y ~ x + w + (1 + x + w | g)", d.assign(y=d.u + v * d.x + 0.7 * (d.u + v) * d.w + 0.3 * d.e))


def an_effect_for_every_binary_row():
    rng, d = clustered(10)
    d = d.assign(row=np.arange(len(d)), y=(rng.random(len(d)) < logistic(d.x)).astype(int))
    return glimm.glmm("y ~ x + (1 | row)", d, family="binomial", points=1)


def mostly_single_rows():
    rng, d = clustered(11, 120, 1)
    g = np.concatenate([np.arange(100), np.repeat(np.arange(100, 110), 2)])
    return glimm.glmm("y ~ x + (1 | g)", d.assign(g=g, y=rng.normal(size=110)[g] + d.x + 0.5 * d.e))


def three_clusters():
    _, d = clustered(12, 3, 40)
    return glimm.glmm("y ~ x + (1 | g)", d.assign(y=np.array([-1.0, 0.0, 1.0])[d.g] + d.x + d.e))


def slope_of_a_cluster_predictor():
    rng, d = clustered(13)
    z = rng.normal(size=60)[d.g]
    return glimm.glmm("y ~ z + (1 + z || g)", d.assign(z=z, y=d.u * (1.0 + 0.5 * np.abs(z)) + z + d.e))


def outcomes_that_never_change():
    _, d = clustered(14)
    d["y"] = ((d.u > 0.3) * 1).astype(int)
    d.loc[[3, 50, 99], "y"] = 1 - d.loc[[3, 50, 99], "y"]
    return glimm.glmm("y ~ 1 + (1 | g)", d, family="binomial")


# predictors


def aliased():
    _, d = clustered(15)
    return glimm.glm("y ~ x + z", d.assign(z=2.0 * d.x + 1.0, y=d.x + d.e))


def nearly_aliased():
    rng, d = clustered(16)
    return glimm.glm("y ~ x + z", d.assign(z=d.x + 0.01 * rng.normal(size=len(d)), y=d.x + d.e))


def unlike_scales():
    rng, d = clustered(17)
    return glimm.glmm("y ~ dose + income + (1 | g)", d.assign(dose=1e-4 * d.x, income=1e6 * rng.normal(size=len(d)), y=d.u + d.x + d.e))


def completely_separated():
    _, d = clustered(18)
    return glimm.glm("y ~ x + t", d.assign(y=(d.x > 0.2).astype(int)), family="binomial")


def separated_level():
    rng, d = clustered(19)
    f = np.where(d.t == 7, "c", np.where(d.t > 3, "b", "a"))
    return glimm.glm("y ~ x + f", d.assign(f=f, y=np.where(f == "c", 1, (rng.random(len(d)) < 0.4).astype(int))), family="binomial")


def level_without_counts():
    rng, d = clustered(20)
    f = np.where(d.t == 7, "c", "a")
    return glimm.glm("y ~ x + f", d.assign(f=f, y=np.where(f == "c", 0, rng.poisson(2.0, len(d)))), family="poisson")


def separated_inside():
    """Whatever the cluster, the rows above its own threshold have the event."""
    _, d = clustered(21)
    return glimm.glmm("y ~ x + (1 | g)", d.assign(y=(d.x > d.u).astype(int)), family="binomial")


# clusters and time


def few_robust_clusters():
    _, d = clustered(22, 12, 20)
    return glimm.gee("y ~ x", d.assign(y=d.u + d.x + d.e), groups="g")


def sizes_that_tell():
    rng = np.random.default_rng(23)
    u = rng.normal(size=120)
    g = np.repeat(np.arange(120), np.maximum(1, np.round(5.0 + 3.0 * u)).astype(int))
    x = rng.normal(size=len(g))
    return glimm.gee("y ~ x", pd.DataFrame({"g": g, "x": x, "y": u[g] + x + rng.normal(size=len(g))}), groups="g")


def confounded_clusters():
    _, d = clustered(24)
    d["x"] = d.x + 1.5 * d.u
    return glimm.glmm("y ~ x + (1 | g)", d.assign(y=2.0 * d.u - 0.5 * d.x + d.e))


def confounded_gee():
    rng, d = clustered(25, 150, 6)
    d["x"] = d.x + 1.5 * d.u
    return glimm.gee("y ~ x", d.assign(y=(rng.random(len(d)) < logistic(2.0 * d.u - 0.7 * d.x)).astype(int)), groups="g", family="binomial")


def a_cluster_apart():
    _, d = clustered(26)
    u = np.where(d.g == 17, 9.0, d.u)
    return glimm.glmm("y ~ x + (1 | g)", d.assign(y=u + d.x + d.e))


def gaps_without_time():
    rng, d = clustered(27)
    d = d[rng.random(len(d)) < 0.6]
    return glimm.gee("y ~ x", d.assign(y=d.u + d.x + d.e), groups="g", corr="ar1")


def one_cluster_decides():
    """A predictor that is 0 but in a single cluster and hardly elsewhere."""
    rng, d = clustered(33, 80, 4)
    dose = np.where(d.g == 7, 5.0, 0.15 * rng.normal(size=80)[d.g])
    y = 1.0 + 0.3 * d.x + 0.2 * dose + d.u + d.e
    return glimm.gee("y ~ x + dose", d.assign(y=y, dose=dose), groups="g")


def correlated_further_than_said():
    """The same correlation for all distances, taken for one of neighbours only."""
    _, d = clustered(34, 120, 6)
    return glimm.gee("y ~ x", d.assign(y=d.x + 1.5 * d.u + d.e), groups="g", corr="stationary(1)")


def falling_with_distance():
    """AR(1) residuals fitted as exchangeable."""
    _, d = clustered(35, 200, 8)
    e = d.e.to_numpy().reshape(200, 8).copy()
    for k in range(1, 8):
        e[:, k] = 0.75 * e[:, k - 1] + np.sqrt(1.0 - 0.75**2) * e[:, k]
    return glimm.gee("y ~ x", d.assign(y=d.x + e.ravel()), groups="g", time="t")


def rare_and_common_alike():
    """A working correlation of .5 between responses whose means are far apart."""
    rng, d = clustered(36, 300, 4)
    y = (logistic(2.2 - 1.6 * d.t + 3.0 * d.u) > rng.random(len(d))).astype(int)
    return glimm.gee("y ~ t", d.assign(y=y), groups="g", corr=glimm.FixedCorr(0.5 * np.eye(4) + 0.5), family="binomial")


def uneven_times():
    _, d = clustered(28)
    return glimm.gee("y ~ x", d.assign(y=d.u + d.x + d.e, t=np.array([0, 1, 2, 3, 6, 12, 24, 48])[d.t]), groups="g", time="t", corr="ar1")


def uneven_occasions():
    rng, d = clustered(29, 40, 5)
    d["week"] = np.array([0, 1, 2, 8, 26])[d.t]
    e = d.e.to_numpy().reshape(40, 5).copy()
    for k in range(1, 5):
        e[:, k] = 0.6 * e[:, k - 1] + 0.8 * e[:, k]
    return glimm.glmm("y ~ x + ar1(0 + C(week) | g)", d.assign(y=d.x + 1.5 * e.ravel() + 0.5 * rng.normal(size=len(d))))


# responses


def too_much_spread():
    rng, d = clustered(30)
    mu = np.exp(0.8 + 0.3 * d.x)
    return glimm.glm("y ~ x", d.assign(y=rng.poisson(rng.gamma(1.5, mu / 1.5))), family="poisson")


def too_much_spread_of_trials():
    rng, d = clustered(31)
    p = rng.beta(2.0, 3.0, len(d))
    return glimm.glm("s / m ~ x", d.assign(m=12, s=rng.binomial(12, p)), family="binomial")


def too_much_spread_inside():
    rng, d = clustered(32)
    mu = np.exp(1.0 + 0.3 * d.x + 0.5 * d.u)
    return glimm.glmm("y ~ x + (1 | g)", d.assign(y=rng.poisson(rng.gamma(1.2, mu / 1.2))), family="poisson")


def too_little_spread():
    rng, d = clustered(33)
    return glimm.glm("y ~ x", d.assign(y=2 + rng.binomial(4, logistic(0.3 * d.x))), family="poisson")


def too_many_zeros():
    rng, d = clustered(34)
    y = np.where(rng.random(len(d)) < 0.3, 0, rng.poisson(np.exp(1.6 + 0.3 * d.x)))
    return glimm.glm("y ~ x", d.assign(y=y), family="poisson")


def a_mistyped_row():
    _, d = clustered(35)
    y = d.u + d.x + d.e
    y[100] = 60.0
    return glimm.glm("y ~ x", d.assign(y=y))


def zero_and_one_as_normal():
    rng, d = clustered(37)
    return glimm.glm("y ~ x", d.assign(y=(rng.random(len(d)) < logistic(d.x)).astype(int)))


def too_little_for_laplace():
    rng, d = clustered(36, 400, 3)
    y = (rng.random(len(d)) < logistic(-1.0 + d.x + 3.0 * d.u)).astype(int)
    return glimm.glmm("y ~ x + (1 | g)", d.assign(y=y), family="binomial", points=1)


TROUBLES = {
    "stopped early": Trouble(stopped_early, "not_converged", "error"),
    "stopped at the end": Trouble(stopped_at_the_end, "stopped_at_the_optimum", "note", ("laplace_inaccurate",)),
    "trials within participants": Trouble(
        trials_within_participants, "hessian_not_positive_definite", "error", ("more_effects_than_rows",)
    ),
    "two effects of two rows": Trouble(two_effects_of_two_rows, "more_effects_than_rows", "error"),
    "counts like Poisson": Trouble(counts_like_poisson, "parameter_without_end", "warning", ("underdispersed",)),
    "as many coefficients as rows": Trouble(as_many_coefficients_as_rows, "no_residual_rows", "warning"),
    "the response among the predictors": Trouble(response_among_the_predictors, "no_residual_variation", "warning"),
    "no variance": Trouble(no_variance, "zero_variance", "warning"),
    "no slope variance": Trouble(no_slope_variance, "zero_variance", "warning"),
    "perfectly correlated": Trouble(perfectly_correlated, "perfect_correlation", "warning"),
    "one correlation": Trouble(one_correlation, "correlation_at_limit", "warning"),
    "three effects of rank two": Trouble(three_effects_of_rank_two, "covariance_without_full_rank", "warning"),
    "an effect for every binary row": Trouble(an_effect_for_every_binary_row, "observation_effect_of_binary", "error"),
    "mostly single rows": Trouble(mostly_single_rows, "levels_of_one_row", "warning"),
    "three clusters": Trouble(three_clusters, "few_levels", "warning"),
    "slope of a cluster predictor": Trouble(slope_of_a_cluster_predictor, "slope_without_variation", "error", ("zero_variance",)),
    "outcomes that never change": Trouble(
        outcomes_that_never_change, "outcome_constant_in_clusters", "warning", ("quadrature_not_settled",)
    ),
    "aliased": Trouble(aliased, "columns_left_out", "note"),
    "nearly aliased": Trouble(nearly_aliased, "collinear", "warning"),
    "unlike scales": Trouble(unlike_scales, "different_scales", "note"),
    "completely separated": Trouble(completely_separated, "separated", "error"),
    "separated level": Trouble(separated_level, "separated", "error"),
    "level without counts": Trouble(level_without_counts, "separated", "error"),
    "separated inside": Trouble(
        separated_inside, "separated_inside_clusters", "error", ("quadrature_not_settled", "outcome_constant_in_clusters")
    ),
    "few robust clusters": Trouble(few_robust_clusters, "few_clusters", "warning"),
    "sizes that tell": Trouble(sizes_that_tell, "informative_cluster_size", "warning"),
    "confounded clusters": Trouble(confounded_clusters, "within_between", "warning"),
    "confounded GEE": Trouble(confounded_gee, "within_between", "warning"),
    "a cluster apart": Trouble(a_cluster_apart, "outlying_clusters", "warning"),
    "gaps without time": Trouble(gaps_without_time, "rows_taken_as_neighbours", "warning"),
    "one cluster decides": Trouble(one_cluster_decides, "cluster_leverage", "warning", ("few_clusters",)),
    "correlated further than said": Trouble(correlated_further_than_said, "correlation_not_feasible", "warning"),
    "falling with distance": Trouble(falling_with_distance, "correlation_contradicted", "note"),
    "rare and common alike": Trouble(rare_and_common_alike, "correlation_outside_bounds", "note"),
    "uneven times": Trouble(uneven_times, "time_gaps", "note"),
    "uneven occasions": Trouble(uneven_occasions, "occasions_not_equally_spaced", "warning"),
    "too much spread": Trouble(too_much_spread, "overdispersed", "warning"),
    "too much spread of trials": Trouble(too_much_spread_of_trials, "overdispersed", "warning"),
    "too much spread inside": Trouble(too_much_spread_inside, "overdispersed", "warning"),
    "too little spread": Trouble(too_little_spread, "underdispersed", "warning"),
    "too many zeros": Trouble(too_many_zeros, "zero_inflated", "warning"),
    "a mistyped row": Trouble(a_mistyped_row, "outlying_rows", "warning"),
    "zero and one as normal": Trouble(zero_and_one_as_normal, "binary_as_gaussian", "note"),
    "too little for Laplace": Trouble(too_little_for_laplace, "laplace_inaccurate", "warning"),
}
