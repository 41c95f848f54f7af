"""Working correlations of a GEE: R_jk(alpha) at the occasions of a cluster, the sums that estimate alpha, and what whitens a cluster.

A structure is a final class without state; `Occasions` says where the rows are, `Rule` which divisors are taken.
"""

from __future__ import annotations

from typing import Protocol, final

import numpy as np

from ..errors import GlimmError, NotYetError
from ..kernels import Whitening
from ..kernels.gee import AR1, EXCHANGEABLE, INDEPENDENCE
from ..kernels.matrix import Floats
from .moments import NOTHING_PAIRED, Moments, Residuals, Rule, Sums, lag_products, ratios
from .occasions import Occasions
from .power import pooled, power_fit

MOST_LAGS = 100_000
MOST_PAIRS = 20_000_000
EXTREMES = ("independence", "exchangeable", "ar1")
"""Names of those that ask for extremes of the occasions of all clusters, and not for each cluster's own."""


class Working(Protocol):
    """What every working correlation answers."""

    @property
    def name(self) -> str:
        """How `corr=` calls it."""

    @property
    def about(self) -> str:
        """What it says of two rows of a cluster."""

    def names(self, at: Occasions) -> tuple[str, ...]:
        """(q,) names of the parameters. Raises GlimmError for occasions that it cannot have."""

    def own_sums(self, r: Residuals, rule: Rule, before: Floats | None) -> Floats | None:
        """Sums of a batch that the rule needs beside those of `Sums.pairs`, added to those before."""

    def estimate(self, s: Sums, rule: Rule, at: Occasions) -> Moments:
        """phi and alpha from the sums over all clusters."""

    def whitening(self, alpha: Floats, at: Occasions) -> Whitening:
        """What whitens the clusters. Raises LinAlgError where a matrix is not positive definite."""

    def least(self, alpha: Floats, at: Occasions) -> float:
        """A number with the sign of the smallest eigenvalue of all R_i, the eigenvalue itself where it is negative."""

    def shrunk(self, alpha: Floats, t: float) -> Floats:
        """alpha of (1 - t) R + t I, or of what comes next to it in the structure."""

    def matrix(self, alpha: Floats, times: Floats, at: Occasions) -> Floats:
        """(m, m) R at times (m,); inner clusters instead of times where the structure has those."""


@final
class Independence:
    """R = I."""

    name = "independence"
    about = "working independence"

    def names(self, at: Occasions) -> tuple[str, ...]:
        """None."""
        return ()

    def own_sums(self, r: Residuals, rule: Rule, before: Floats | None) -> Floats | None:
        """None."""
        return None

    def estimate(self, s: Sums, rule: Rule, at: Occasions) -> Moments:
        """Dispersion only."""
        return Moments(rule.dispersion(s), np.zeros(0))

    def whitening(self, alpha: Floats, at: Occasions) -> Whitening:
        """Nothing."""
        return Whitening(INDEPENDENCE)

    def least(self, alpha: Floats, at: Occasions) -> float:
        """1."""
        return 1.0

    def shrunk(self, alpha: Floats, t: float) -> Floats:
        """Itself."""
        return alpha

    def matrix(self, alpha: Floats, times: Floats, at: Occasions) -> Floats:
        """The identity."""
        return np.eye(len(times))


@final
class Exchangeable:
    """R_jk = alpha for every pair of a cluster; -1 / (largest - 1) < alpha < 1."""

    name = "exchangeable"
    about = "the same working correlation for every pair of rows"

    def names(self, at: Occasions) -> tuple[str, ...]:
        """alpha."""
        return ("alpha",)

    def own_sums(self, r: Residuals, rule: Rule, before: Floats | None) -> Floats | None:
        """None."""
        return None

    def estimate(self, s: Sums, rule: Rule, at: Occasions) -> Moments:
        """alpha = S / (phi (pairs - p)), or / (phi pairs) by geepack's rule."""
        phi = rule.dispersion(s)
        alpha, note = ratios(np.array([s.pairs.pairs]), np.array([s.pairs.n_pairs]), phi, rule, lambda: ("alpha",))
        return Moments(phi, alpha, note)

    def whitening(self, alpha: Floats, at: Occasions) -> Whitening:
        """By the closed inverse."""
        return Whitening(EXCHANGEABLE, alpha=float(alpha[0]))

    def least(self, alpha: Floats, at: Occasions) -> float:
        """1 - alpha, or 1 + (largest - 1) alpha below zero."""
        a = float(alpha[0])
        return 1.0 - a if a > 0.0 else 1.0 + (at.scope.largest - 1) * a

    def shrunk(self, alpha: Floats, t: float) -> Floats:
        """(1 - t) alpha."""
        return (1.0 - t) * alpha

    def matrix(self, alpha: Floats, times: Floats, at: Occasions) -> Floats:
        """1 on the diagonal, alpha elsewhere."""
        m = len(times)
        return np.asarray(np.full((m, m), alpha[0]) + (1.0 - alpha[0]) * np.eye(m))


@final
class Ar1:
    """R_jk = alpha^|t_j - t_k|; |alpha| < 1, never negative where times are not whole numbers."""

    name = "ar1"
    about = "a working correlation that falls with their distance in time"

    def names(self, at: Occasions) -> tuple[str, ...]:
        """alpha."""
        return ("alpha",)

    def own_sums(self, r: Residuals, rule: Rule, before: Floats | None) -> Floats | None:
        """standard: nothing where pairs are one unit of time apart, else (distances, products, counts) of neighbours; geepack: all lags."""
        scope = r.at.scope
        if rule.name == "gee":
            return lag_products(r, 1, rule, before)
        if rule.name == "geepack":
            if scope.whole and scope.longest <= MOST_LAGS:
                return lag_products(r, int(scope.longest), rule, before)
            return _and(before, all_pairs(r))
        return None if scope.whole and scope.unit else _and(before, neighbours(r))

    def estimate(self, s: Sums, rule: Rule, at: Occasions) -> Moments:
        """standard: from pairs one unit of time apart, else from neighbouring pairs by least squares. geepack: from all lags."""
        phi, own, scope = rule.dispersion(s), s.own, at.scope
        if s.pairs.n_pairs == 0:
            return Moments(phi, np.zeros(1), NOTHING_PAIRED)
        if own is None:
            alpha, note = ratios(np.array([s.pairs.next]), np.array([s.pairs.n_next]), phi, rule, lambda: ("alpha",))
            return Moments(phi, alpha, note)
        if rule.name == "gee":
            return Moments(phi, (own[0, 1:] / own[1, 1:]) / (own[0, 0] / own[1, 0]))
        if rule.name == "geepack" and scope.whole and scope.longest <= MOST_LAGS:
            lags = np.flatnonzero(own[1])
            one, note = power_fit(lags.astype(np.float64), own[0, lags] / phi, own[1, lags], scope.whole)
            return Moments(phi, np.array([one]), note)
        one, note = pooled(own[0], own[1] / phi, own[2], scope.whole)
        neighbouring = "no rows of a cluster are one unit of time apart, so alpha is from neighbouring rows by least squares"
        return Moments(phi, np.array([one]), note, neighbouring if rule.name == "standard" else "")

    def whitening(self, alpha: Floats, at: Occasions) -> Whitening:
        """Row by row."""
        return Whitening(AR1, alpha=float(alpha[0]), place=at.time)

    def least(self, alpha: Floats, at: Occasions) -> float:
        """1 where |alpha| < 1, whatever the unit of time; else 1 - |alpha|."""
        a = abs(float(alpha[0]))
        return 1.0 if a < 1.0 else 1.0 - a

    def shrunk(self, alpha: Floats, t: float) -> Floats:
        """(1 - t) alpha."""
        return (1.0 - t) * alpha

    def matrix(self, alpha: Floats, times: Floats, at: Occasions) -> Floats:
        """alpha to the power of the distances."""
        return np.asarray(alpha[0] ** np.abs(np.subtract.outer(times, times)))


def check_sums(structure: Working, rule: Rule, at: Occasions) -> None:
    """Raise NotYetError for an estimate of alpha that keeps the products of pairs, and not sums of them over clusters."""
    if not isinstance(structure, Ar1) or rule.name == "gee":
        return
    if rule.name == "geepack" and not (at.whole and at.longest <= MOST_LAGS):
        raise NotYetError(
            "moments='geepack' of corr='ar1' at times that are no whole numbers takes every pair of rows, which a fit from a file does not "
            "hold: use whole numbers of time, corr='exchangeable', or fit in memory, data=glimm.read(path)"
        )
    if rule.name == "standard" and not (at.whole and at.unit):
        raise NotYetError(
            "corr='ar1' where no rows are one unit of time apart is estimated from all neighbouring rows, which a fit from a file does not "
            "hold: divide times by their usual distance, or fit in memory, data=glimm.read(path)"
        )


def neighbours(r: Residuals) -> Floats:
    """(3, m) of neighbouring rows of a cluster: distances in time, products of residuals, ones."""
    inside = r.at.inside
    return np.stack([np.diff(r.at.at)[inside], (r.pearson[1:] * r.pearson[:-1])[inside], np.ones(int(inside.sum()))])


def all_pairs(r: Residuals) -> Floats:
    """(3, m) the same of all pairs of a cluster."""
    number = int((r.at.sizes * (r.at.sizes - 1) // 2).sum())
    if number > MOST_PAIRS:
        raise GlimmError(
            f"moments='geepack' of corr='ar1' at times that are no whole numbers takes every pair of rows of a cluster, and there are "
            f"{number:,}: use moments='standard', or whole numbers of time"
        )
    distances, products = [np.zeros(0)], [np.zeros(0)]
    time = r.at.at
    for a, b in zip(r.at.starts[:-1], r.at.starts[1:], strict=True):
        i, j = np.triu_indices(b - a, 1)
        distances.append(time[a + j] - time[a + i])
        products.append(r.pearson[a + i] * r.pearson[a + j])
    d, e = np.concatenate(distances), np.concatenate(products)
    return np.stack([d, e, np.ones(len(d))])


def _and(before: Floats | None, more: Floats) -> Floats:
    return more if before is None else np.concatenate([before, more], axis=1)
