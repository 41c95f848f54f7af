"""Predictions and average effects of a fit: probabilities that add up, limits around estimates, effects that are means of predictions."""

from __future__ import annotations

import numpy as np

from glimm.fit_levels import LevelsFit
from glimm.fit_parts import PartsFit

from .said import Failure, quietly

ADDS_UP = 1e-9
BY_HAND = 1e-7


def averages_hold(fit, recipe, data):
    """Raises Failure for an answer that contradicts another one."""
    frame, words = recipe["frame"], f"({fit.record.solution.code})"
    if frame == "pandas" and fit.converged and isinstance(fit, LevelsFit):
        found, _ = quietly(f"levels {words}", lambda: np.asarray(fit.predict(data), dtype=float))
        there = np.zeros((0, 1)) if found is None else found[np.isfinite(found).all(axis=1)]
        if len(there) and not (np.abs(there.sum(axis=1) - 1.0).max() < ADDS_UP and there.min() >= 0.0):
            raise Failure(f"probabilities of levels add up to {there.sum(axis=1)[:3]}")
    for scale in ("response", "link", *(("conditional", "zero", "dispersion") if isinstance(fit, PartsFit) else ())):
        found, said = quietly(f"predict {scale} {words}", lambda scale=scale: fit.predict(scale=scale, interval="confidence"))
        if found is not None and fit.converged:
            inside(found, f"predict {scale}", said)
    if isinstance(fit, PartsFit) and fit.converged and recipe.get("zero"):
        mean, mu, zero = (np.asarray(fit.predict(scale=scale), dtype=float) for scale in ("response", "conditional", "zero"))
        if not np.allclose(mean, mu * (1.0 - zero), rtol=1e-10):
            raise Failure("E y is not (1 - pi) mu")
    for contrast in ("difference", "ratio", "odds_ratio"):
        found, said = quietly(f"effect {contrast} {words}", lambda contrast=contrast: fit.effect("a", contrast))
        if found is not None and fit.converged:
            inside(found, f"effect {contrast}", said)
    quietly(f"effect by {words}", lambda: fit.effect("a", by="b"))
    quietly(f"effect draws {words}", lambda: fit.effect("a", errors="sampled", draws=50, seed=1))
    quietly(f"means by {words}", lambda: fit.means("a", by="b"))
    if frame == "pandas" and fit.converged and fit.record.design.n == len(data) and data["a"].dtype.kind in "if":
        by_hand(fit, recipe, data)


def inside(found, what, said):
    """Each estimate that is a number is between its limits, which are numbers too unless a warning says otherwise."""
    low, at, high = (np.asarray(found[name], dtype=float) for name in ("conf_low", "estimate", "conf_high"))
    room = 1e-9 * (1.0 + np.abs(at))
    if np.any(low > at + room) or np.any(high < at - room):
        raise Failure(f"{what}: an estimate outside its limits: {low[:3]}, {at[:3]}, {high[:3]}")
    if not np.isfinite(at).all() and not said:
        raise Failure(f"{what} of a converged fit has {at[~np.isfinite(at)][:2]}")


def by_hand(fit, recipe, data):
    """The effect of two values of a, which is the mean difference of predictions with a set to them."""
    if any(recipe.get(name) is not None for name in ("weights", "kind")) or "array" in (recipe["offset"], recipe["exposure"]):
        return
    column = data["a"].astype(float)
    ends = [float(column.min()), float(column.max())]
    found, _ = quietly("effect of values", lambda: np.asarray(fit.effect("a", values=ends)["estimate"], dtype=float))
    if found is None:
        return
    means = [quietly("predict at values", lambda end=end: np.asarray(fit.predict(data.assign(a=end)), dtype=float))[0] for end in ends]
    if any(mean is None for mean in means):
        return
    expected = np.average(means[1] - means[0], axis=0, weights=fit.record.design.trials)  # a trial is one of the population
    size = np.abs(means).max() if np.isfinite(means).all() else np.inf
    if np.isfinite(size) and not np.allclose(found, expected, rtol=BY_HAND, atol=BY_HAND * max(size, 1e-300)):
        raise Failure(f"the effect of a from {ends[0]} to {ends[1]} is {found}, the mean of predictions {expected}")
