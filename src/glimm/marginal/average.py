"""Means averaged over a normal effect: E h(eta + s Z), Z ~ N(0, 1), with derivatives in eta and s.

Closed where they exist (identity, log, probit); otherwise the trapezoid rule, which converges geometrically
because the integrand is analytic in a strip of half-width pi / s (Trefethen and Weideman 2014, SIAM Rev. 56, theorem 5.1).
"""

from __future__ import annotations

import numpy as np

from ..errors import GlimmError
from ..family import Link
from ..kernels import link as link_eta
from ..kernels import mean
from ..kernels.matrix import Floats

REACH = 8.6
CHUNK = 1 << 20
SOME = 256
REGULAR = {"logit": 0.5, "cloglog": 0.28, "loglog": 0.28}
"""Steps times sd for an error below 1e-13: the links' means are analytic within pi, pi / 2, pi / 2 of the real line; other links 0.2."""
NEWTON = 100


def average(link: Link, eta: Floats, sd: Floats) -> tuple[Floats, Floats, Floats]:
    """(m, dm/deta, dm/dsd), each (n,), for eta (n,) and sd (n,).

    >>> from glimm.family import LINKS
    >>> m, _, _ = average(LINKS["log"], np.array([0.0]), np.array([1.0]))
    >>> float(m[0].round(6))
    1.648721
    """
    eta, sd = np.broadcast_arrays(np.asarray(eta, dtype=float), np.asarray(sd, dtype=float))
    if link.name == "identity":
        return eta.copy(), np.ones(len(eta)), np.zeros(len(eta))
    if link.name == "log":
        m = np.exp(eta + 0.5 * sd**2)
        return m, m, sd * m
    if link.name == "probit":
        root = np.sqrt(1.0 + sd**2)
        m, slope, _, _ = mean(link.kernel, eta / root)
        return m, slope / root, -slope * eta * sd / root**3
    if link.name == "logc":
        m = np.exp(eta + 0.5 * sd**2)
        return 1.0 - m, -m, -sd * m
    if link.name == "sqrt":
        return eta**2 + sd**2, 2.0 * eta, 2.0 * sd
    out = _distinct(link, eta, sd)
    if np.any(np.isnan(out[0]) & np.isfinite(eta)):
        raise GlimmError(
            f"link {link.name!r} has no average over clusters here: a normal random effect takes some of them outside the range of its "
            "linear predictor; use target='typical', or fit with link='log' (means above 0) or 'logit' (means between 0 and 1)"
        )
    return out[0], out[1], out[2]


def average_on_link(link: Link, eta: Floats, sd: Floats) -> tuple[Floats, Floats, Floats]:
    """(g(m), dg(m)/deta, dg(m)/dsd), each (n,): the averages on the scale of the linear predictor.

    A logit's mean near 1 is taken from the other end, where nothing is lost.
    """
    if link.name == "identity":
        return average(link, eta, sd)
    if link.name == "log":
        return eta + 0.5 * sd**2, np.ones(len(eta)), sd
    if link.name == "probit":
        root = np.sqrt(1.0 + sd**2)
        return eta / root, 1.0 / root, -eta * sd / root**3
    side = np.where(eta > 0.0, -1.0, 1.0) if link.name == "logit" else np.ones(len(eta))
    m, by_eta, by_sd = average(link, side * eta, sd)
    g = link_eta(link.kernel, m)
    slope = mean(link.kernel, g)[1]
    return side * g, by_eta / slope, side * by_sd / slope


def average_inverse(link: Link, eta: Floats, sd: Floats) -> tuple[Floats, Floats]:
    """(inner, slope), each (n,): g(E h(inner + sd Z)) = eta, and the derivative of the left side in inner; Newton on the link's scale.

    >>> from glimm.family import LINKS
    >>> inner, _ = average_inverse(LINKS["probit"], np.array([0.5]), np.array([2.0]))
    >>> float(inner[0].round(6))
    1.118034
    """
    inner = eta.copy()
    for _ in range(NEWTON):
        reached, slope, _ = average_on_link(link, inner, sd)
        step = (reached - eta) / slope
        inner = inner - step
        if np.all(np.abs(step) <= 1e-13 * (1.0 + np.abs(inner))):
            return inner, average_on_link(link, inner, sd)[1]
    row = int(np.argmax(np.abs(step)))
    raise GlimmError(
        f"no conditional mean gives the average of row {row} of the rows used (counting from 0) at sd {sd[row]:g}: try a smaller sd"
    )


def _distinct(link: Link, eta: Floats, sd: Floats) -> Floats:
    """(3, n), equal rows once where there are many of them."""
    pairs = eta + 1j * sd
    if len(eta) <= SOME or 2 * len(np.unique(pairs[:: len(eta) // SOME])) > SOME:
        return _trapezoid(link, eta, sd)
    found, which = np.unique(pairs, return_inverse=True)
    return np.asarray(_trapezoid(link, found.real, found.imag)[:, which.ravel()])


def _trapezoid(link: Link, eta: Floats, sd: Floats) -> Floats:
    largest = float(sd.max(initial=0.0))
    step = min(0.5, REGULAR.get(link.name, 0.2) / largest) if largest > 0.0 else 0.5
    count = int(np.ceil(REACH / step))
    z = step * np.arange(-count, count + 1)
    w = np.exp(-0.5 * z * z)
    w /= w.sum()
    out = np.empty((3, len(eta)))
    rows = max(1, CHUNK // len(z))
    for r in range(0, len(eta), rows):
        at = slice(r, r + rows)
        grid = eta[at, None] + sd[at, None] * z
        m, slope, _, _ = (a.reshape(grid.shape) for a in mean(link.kernel, grid.ravel()))
        out[:, at] = m @ w, slope @ w, slope @ (w * z)
    return out
