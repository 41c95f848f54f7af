"""Too few clusters for standard errors that are sums over clusters, or too few that inform a coefficient, or one that decides.

Effective number for coefficient a: 1 / sum_j h_j^2, h_j = (M A_j)_aa, A_j the curvature of cluster j, M = (sum_j A_j)^-1.
Leverage of cluster j: tr(M A_j), p over all clusters.
Source: Carter, Schnepel and Steigerwald (2017), Rev. Econ. Stat. 99, 698-709 (an effective number of clusters); Preisser and Qaqish
(1996), Biometrika 83, 551-562 (leverage).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..inference.small_sample import FEW, REMEDY
from ..records import GeeRecord
from ..text import counted, figures, listed
from .findings import Finding
from .sight import Sight
from .simpler import ticked

EFFECTIVE = 8.0
LEVERAGE, NEARLY_ALL, SHOWN = 0.5, 0.8, 3


def few(sight: Sight) -> Iterator[Finding]:
    """Few clusters, or few that count."""
    if not sight.robust or not (isinstance(sight.record, GeeRecord) or "cluster" in sight.vcov):
        return
    assert sight.clusters is not None
    fewest = min(sight.record.design.clusters.values(), key=lambda c: len(c.levels), default=sight.clusters)
    count, p = len(fewest.levels), sight.record.design.mean.matrix.p
    if sight.kind not in ("robust", "clustered") and count > p:
        return
    evidence: dict[str, object] = {"clusters": count, "coefficients": p}
    said, effective = f"{fewest.name} has {count} clusters for {counted(p, 'coefficient')}", float(count)
    if count >= FEW:
        found = weighty(sight)
        if found is None:
            return
        said, more = found
        effective = float(more["effective"])
        evidence |= more
    if count <= p:
        consequence = "With as many coefficients as clusters these errors are zero in some direction."
    elif count < FEW:
        consequence = f"With fewer than {FEW} clusters robust standard errors are too small, and p-values with them."
    else:
        consequence = "Where so few clusters count, robust standard errors are too small, and p-values with them."
    if sight.terms:
        instead = "Use the errors of the model, vcov='model'."
    elif isinstance(sight.record, GeeRecord) and count > p:
        corrected = REMEDY if count < FEW else 'vcov={"type": "fay_graubard", "df": "fay_graubard"}'
        instead = f"Use standard errors that allow for few clusters: glimm.gee(..., {corrected})."
    else:
        term = f"(1 | {ticked(fewest.name)})"
        instead = (
            f"Use a model whose standard errors do not come from sums over clusters: glimm.glmm(... + {term}), with fit.marginal_params() "
            "for averages over the population."
        )
    yield Finding(
        "few_clusters",
        "error" if count <= p else "warning",
        f"{said}, and the standard errors are sums over clusters.",
        consequence,
        f"{instead} Where a predictor differs between clusters only, no model makes up for few of them: say how many there are.",
        evidence,
        1.0 / effective,
    )


def weighty(sight: Sight) -> tuple[str, dict[str, float | str]] | None:
    """What is to be said where so few of many clusters inform a coefficient that they count as few."""
    record, clusters = sight.record, sight.clusters
    if clusters is None or len(record.design.clusters) != 1 or not sight.usable:
        return None
    shares = sight.shares
    if shares is None:
        return None
    effective = 1.0 / np.maximum(np.sum(shares**2, axis=0), 1e-300)
    a = int(np.argmin(effective))
    if not effective[a] < EFFECTIVE:
        return None
    j = int(np.argmax(shares[:, a]))
    name = record.design.mean.names[a]
    said = (
        f"{len(clusters.levels)} clusters of {clusters.name} count as {figures(float(effective[a]), 2)} for {name}: cluster "
        f"{clusters.levels[j]}, with {int(clusters.sizes[j])} of {record.design.n} rows, gives {100.0 * shares[j, a]:.0f} % of what is "
        "known of it"
    )
    return said, {"effective": float(effective[a]), "term": name, "largest_share": float(shares[j, a])}


def leverage(sight: Sight) -> Iterator[Finding]:
    """Clusters of a GEE, or of a GLM with clustered errors, that decide by themselves."""
    record, clusters = sight.record, sight.clusters
    assert clusters is not None
    p = record.design.mean.matrix.p
    if len(record.design.clusters) != 1 or len(clusters.levels) <= 2 * p or sight.shares is None:
        return
    found = sight.shares.sum(axis=1)
    high = np.flatnonzero(found > LEVERAGE)
    if not len(high):
        return
    high = high[np.argsort(-found[high])]
    j, names = int(high[0]), record.design.mean.names
    a = int(np.argmax(sight.shares[j]))
    shown = [f"{clusters.levels[i]} ({figures(float(found[i]), 2)})" for i in high[:SHOWN]]
    many = f" and {len(high) - SHOWN} more" if len(high) > SHOWN else ""
    trusting = sight.kind not in ("robust", "clustered")
    rests = "is nearly what" if sight.shares[j, a] > NEARLY_ALL else "rests in large part on what"
    consequence, remedy = f"The coefficient of {names[a]} {rests} cluster {clusters.levels[j]} alone says.", ""
    if not trusting:
        consequence += " Its residuals are small because the fit follows it, so robust standard errors are too small."
        door = "" if isinstance(record, GeeRecord) else 'glimm.gee with corr="independence" and '
        remedy = f'take errors that allow for it, {door}vcov="mancl_derouen" or "kauermann_carroll"; '
    yield Finding(
        "cluster_leverage",
        "note" if trusting else "warning",
        f"{counted(len(high), 'cluster')} of {clusters.name} {'has' if len(high) == 1 else 'have'} a leverage above {LEVERAGE}: "
        f"{listed(shown)}{many}; the mean of {len(clusters.levels)} clusters is {figures(p / len(clusters.levels), 2)}. Cluster "
        f"{clusters.levels[j]} gives {100.0 * sight.shares[j, a]:.0f} % of what is known of {names[a]}.",
        consequence,
        f"Look at its predictors, which are far from those of others; {remedy}report the fit with and without it. "
        f"fit.influence(by={clusters.name!r}) gives leverages and what each cluster does to the estimates.",
        {
            "levels": [str(clusters.levels[i]) for i in high],
            "leverage": [float(found[i]) for i in high],
            "term": names[a],
            "largest_share": float(sight.shares[j, a]),
        },
        float(min(found[j], 1.0)),
    )
