"""The working correlation of a GEE: one that is none, one that its residuals contradict, one that 0 and 1 cannot have.

Bounds of the correlation of two binary responses, o = mu / (1 - mu): -min(s, 1/s) with s = sqrt(o_j o_k) to min(r, 1/r) with
r = sqrt(o_j / o_k). Source: Prentice (1988), Biometrics 44, 1033-1048.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..kernels.matrix import Bools, Floats
from ..records import GeeRecord
from ..text import counted, figures, listed
from .findings import Finding
from .pairs import Correlations, Pairs, pairs_of
from .sight import Sight

CERTAIN, DIFFERS, CLUSTERS, PAIRS, BEYOND, MOST, SHOWN = 3.9, 0.1, 20, 50, 0.05, 300_000, 3


def correlation(sight: Sight) -> Iterator[Finding]:
    """Findings about the working correlation."""
    record = sight.record
    assert isinstance(record, GeeRecord)
    limit = record.solution.evidence or {}
    infeasible = "least_eigenvalue" in limit
    if not infeasible and (not sight.usable or (record.corr in ("independence", "unstructured") and not sight.binary)):
        return
    found = pairs_of(record, MOST)
    if not len(found.i):
        return
    if infeasible:
        yield not_feasible(found)
    if not sight.usable:
        return
    told = record.corr in ("independence", "unstructured", "odds_ratio(pairs)") or found.at.inner is not None
    if not infeasible and not told and len(record.clusters.levels) >= CLUSTERS:
        yield from contradicted(found, isinstance(sight.vcov, str) and sight.vcov == "model")
    if sight.binary and record.corr != "independence":
        yield from outside(sight, found)


def not_feasible(found: Pairs) -> Finding:
    """What was estimated belongs to no correlation matrix, and was drawn towards independence."""
    record = found.record
    evidence = record.solution.evidence or {}
    estimated, least, factor = np.asarray(evidence["estimated"]), float(evidence["least_eigenvalue"]), float(evidence["factor"])
    names = record.corr_names[:SHOWN]
    said = listed([f"{name} = {figures(float(v), 3)}" for name, v in zip(names, estimated[:SHOWN], strict=True)])
    used = listed([figures(float(v), 3) for v in record.alpha[:SHOWN]])
    more = f" (the first of {len(estimated)})" if len(estimated) > SHOWN else ""
    lags = None if found.at.inner is not None else found.of_lags()
    instead = "exchangeable" if lags is None else closest(lags)
    return Finding(
        "correlation_not_feasible",
        "warning",
        f"The estimated {record.corr} correlation, {said}{more}, {'is nearly none' if least > 0.0 else 'belongs to no correlation matrix'} "
        f"for these clusters (smallest eigenvalue {figures(least, 3)}). It was drawn towards independence by the factor "
        f"{figures(factor, 3)}: {used}{more} {'are' if len(estimated) > 1 else 'is'} used. {why(record, lags)}",
        "Coefficients and robust standard errors stay valid, as for any working correlation, but are less precise than with one that "
        "fits, and may change with the factor. Model-based errors are wrong.",
        f'Use a structure that fits the residuals (fit.residual_corr() shows them): corr="{instead}" comes closest here; '
        'corr="independence" needs none.',
        {"estimated": estimated.tolist(), "used": record.alpha.tolist(), "least_eigenvalue": least, "factor": factor, "instead": instead},
        min(max(-least, 0.0), 1.0),
    )


def why(record: GeeRecord, lags: Correlations | None) -> str:
    """What makes it so, as far as it is seen."""
    limit = getattr(record.working, "m", None)
    if limit is not None and lags is not None and not record.corr.startswith("ar"):
        beyond = lags.first > limit
        if beyond.any():
            mean = float(np.average(lags.empirical[beyond], weights=lags.pairs[beyond]))
            return (
                f"It says that rows more than {limit} apart do not correlate; their residuals correlate by {figures(mean, 2)}, and none "
                "that is so high for neighbours can be 0 beyond."
            )
    if limit is None and lags is not None and len(record.alpha) > 1:
        return (
            "Correlations that are estimated pair by pair, from other clusters each, need not fit together: clusters are few or end early."
        )
    return "The moments of these residuals do not fit the structure."


def closest(lags: Correlations) -> str:
    """Of exchangeable and ar1 the one nearer to the correlations by distance, weights being pairs."""
    w, r, d = lags.pairs.astype(np.float64), lags.empirical, lags.lag
    constant = float(w @ (r - np.average(r, weights=w)) ** 2)
    curves = powers(d)
    return "ar1" if float((((curves - r) ** 2) @ w).min()) < constant else "exchangeable"


def contradicted(found: Pairs, trusted: bool) -> Iterator[Finding]:
    """Distances at which residuals correlate clearly otherwise than the working correlation says; trusted : standard errors rest on it."""
    record, lags = found.record, found.of_lags()
    difference = lags.empirical - lags.working
    z = np.divide(difference, lags.error, out=np.zeros(len(difference)), where=known(lags))
    far = np.flatnonzero((np.abs(z) > CERTAIN) & (np.abs(difference) > DIFFERS))
    if not len(far):
        return
    far = far[np.argsort(-np.abs(difference[far]))][:SHOWN]
    far.sort()
    said = [f"{apart(lags, int(g))}: {figures(float(lags.empirical[g]), 2)}, working {figures(float(lags.working[g]), 2)}" for g in far]
    worst = int(far[np.argmax(np.abs(difference[far]))])
    instead = better(found, lags)
    yield Finding(
        "correlation_contradicted",
        "warning" if trusted else "note",
        f"Residuals of {record.clusters.name} do not correlate as {record.corr} says ({'; '.join(said)}).",
        "Coefficients and robust standard errors stay valid, but are less precise than with a correlation that fits. Model-based errors "
        "are wrong.",
        f'Use corr="{instead}"; fit.plot_corr() shows both.' if instead else "Fit another structure beside it; fit.plot_corr() shows both.",
        {
            "distance": [float(lags.lag[g]) for g in far],
            "empirical": [float(lags.empirical[g]) for g in far],
            "working": [float(lags.working[g]) for g in far],
            "z": float(z[worst]),
            "instead": instead,
        },
        min(abs(float(difference[worst])), 1.0),
    )


def apart(lags: Correlations, g: int) -> str:
    """A distance in words.

    >>> one = np.ones(1)
    >>> apart(Correlations("lag", one, 2.5 * one, one, one, one, one, one, one), 0)
    '1 to 2.5 apart'
    """
    low, high = f"{lags.first[g]:.4g}", f"{lags.second[g]:.4g}"
    return f"{low} apart" if low == high else f"{low} to {high} apart"


def better(found: Pairs, lags: Correlations) -> str:
    """A structure whose best fit to the correlations by distance leaves nothing to name; else by pair of occasions, or one much nearer."""
    times, clusters = len(found.at.times), len(found.at.sizes)
    if found.record.corr.startswith("odds_ratio"):
        return "odds_ratio(pairs)" if times <= 12 else ""
    w, d = lags.pairs.astype(np.float64), lags.lag
    curves = powers(d)
    power = curves[int(np.argmin(((curves - lags.empirical) ** 2) @ w))]
    ways = {"exchangeable": np.full(len(d), np.average(lags.empirical, weights=w)), "ar1": power}
    ways.pop(found.record.corr, None)
    left = {name: float(w @ (lags.empirical - curve) ** 2) for name, curve in ways.items()}
    name = min(left, key=lambda one: left[one])
    if not _named(lags, ways[name]).any():
        return name
    now = float(w @ (lags.empirical - lags.working) ** 2)
    return "unstructured" if times <= 12 and clusters >= 5 * times * (times - 1) // 2 else name if left[name] < 0.5 * now else ""


def powers(d: Floats) -> Floats:
    """(m, g) curves alpha^d over alpha; of negative alpha too where distances are whole numbers."""
    least = -0.999 if np.array_equal(d, np.round(d)) else 0.0
    return np.asarray(np.linspace(least, 0.999, 1000)[:, None] ** d[None, :])


def _named(lags: Correlations, curve: Floats) -> Bools:
    difference = np.abs(lags.empirical - curve)
    return (difference > DIFFERS) & (difference > CERTAIN * lags.error) & known(lags)


def known(lags: Correlations) -> Bools:
    """(g,) whether pairs and clusters are enough for a standard error."""
    return (lags.error > 0.0) & (lags.pairs >= PAIRS) & (lags.effective >= CLUSTERS)


def outside(sight: Sight, found: Pairs) -> Iterator[Finding]:
    """Pairs of binary responses with a working correlation that no two such responses have."""
    mu = sight.mu[found.record.clusters.order]
    with np.errstate(divide="ignore", invalid="ignore"):
        odds = mu / (1.0 - mu)
        r, s = np.sqrt(odds[found.i] / odds[found.j]), np.sqrt(odds[found.i] * odds[found.j])
        high, low = np.minimum(r, 1.0 / r), -np.minimum(s, 1.0 / s)
        beyond = (found.working > high + 1e-9) | (found.working < low - 1e-9)
    share = float(np.mean(beyond))
    if not share > BEYOND:
        return
    excess = np.where(beyond, np.maximum(found.working - high, low - found.working), -1.0)
    worst = int(np.argmax(excess))
    bound = float(high[worst] if found.working[worst] > high[worst] else low[worst])
    yield Finding(
        "correlation_outside_bounds",
        "note",
        f"For {100.0 * share:.0f} % of {counted(len(beyond), 'pair')} of rows the working correlation is one that two responses of 0 and 1 "
        f"with these means cannot have; at worst {figures(float(found.working[worst]), 2)} where the bound is {figures(bound, 2)}.",
        "None for coefficients with robust standard errors, which a working correlation only makes more precise. Model-based errors are "
        "those of no distribution.",
        "Nothing for robust errors. A correlation that varies with the occasions, "
        'corr="unstructured", is often nearer to what is possible; a mixed model, glimm.glmm, keeps to it.'
        if found.record.corr != "unstructured" and found.at.inner is None
        else "Nothing for robust errors; a mixed model, glimm.glmm, keeps to what is possible.",
        {"share": share, "pairs": len(beyond), "working": float(found.working[worst]), "bound": bound},
        share,
    )
