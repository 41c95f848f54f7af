"""Means averaged over a normal effect: E h(eta + s Z), Z ~ N(0, 1), with derivatives in eta and s.

Closed where they exist (identity, log, probit); otherwise the trapezoid rule, which converges geometrically
because the integrand is analytic in a strip of half-width pi / s (Trefethen and Weideman 2014, SIAM Rev. 56, theorem 5.1).
"""

from __future__ import annotations

import numpy as np

from ..errors import GlimmError
from ..family import LINKS, Link
from ..kernels import link as link_eta
from ..kernels import mean
from ..kernels.matrix import Bools, Floats

REACH = 8.6
CHUNK = 1 << 20
SOME = 256
REGULAR = {"logit": 0.5, "cloglog": 0.28, "loglog": 0.28}
"""Steps times sd for an error below 1e-13: the links' means are analytic within pi, pi / 2, pi / 2 of the real line; other links 0.2."""
NEWTON = 100
WIDE, WIDEST, NEAR, LARGEST, BISECTIONS = 8.0, 1e3, 1e-3, 700.0, 100
DENSITIES = {"logit": (-40.0, 40.0, 0.5), "cloglog": (-40.0, 4.5, 0.2), "loglog": (-4.5, 40.0, 0.2)}
"""Range and step of h' where it is not negligible."""


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
        m = _exp(eta + 0.5 * sd**2)
        return m, m, _times(sd, m)
    if link.name == "probit":
        root = np.sqrt(1.0 + sd**2)
        m, slope, _, _ = mean(link.kernel, eta / root)
        return m, slope / root, -slope * eta * sd / root**3
    if link.name == "logc":
        m = _exp(eta + 0.5 * sd**2)
        return 1.0 - m, -m, -_times(sd, m)
    if link.name == "sqrt":
        return eta**2 + sd**2, 2.0 * eta, 2.0 * sd
    out = _distinct(link, eta, sd)
    if np.any(np.isnan(out[0]) & np.isfinite(eta)):
        raise GlimmError(
            f"link {link.name!r} has no average over clusters here: a normal random effect takes some of them outside the range of its "
            "linear predictor; use target='typical', or fit with link='log' (means above 0) or 'logit' (means between 0 and 1)"
        )
    return out[0], out[1], out[2]


def _exp(x: Floats) -> Floats:
    """exp(x); infinite means are refused by those who ask for them."""
    with np.errstate(over="ignore"):
        return np.exp(x)


def _times(sd: Floats, m: Floats) -> Floats:
    """sd m, 0 where sd is."""
    return np.asarray(np.where(sd == 0.0, 0.0, sd) * np.where(sd == 0.0, 0.0, m))


def average_on_link(link: Link, eta: Floats, sd: Floats) -> tuple[Floats, Floats, Floats]:
    """(g(m), dg(m)/deta, dg(m)/dsd), each (n,): the averages on the scale of the linear predictor.

    Means next to 0 and 1 go by the logarithm of what is left, where nothing is lost.
    """
    if link.name == "identity":
        return average(link, eta, sd)
    if link.name == "log":
        return eta + 0.5 * sd**2, np.ones(len(eta)), sd
    if link.name == "probit":
        root = np.sqrt(1.0 + sd**2)
        return eta / root, 1.0 / root, -eta * sd / root**3
    if link.name == "loglog":
        g, by_eta, by_sd = average_on_link(LINKS["cloglog"], -eta, sd)
        return -g, by_eta, -by_sd
    m, by_eta, by_sd = average(link, eta, sd)
    if link.name in ("logit", "cloglog"):
        far = (m < NEAR) | (m > 1.0 - NEAR)
        m = np.where(far, 0.5, m)
    g = link_eta(link.kernel, m)
    slope = mean(link.kernel, g)[1]
    out = np.stack([g, by_eta / slope, by_sd / slope])
    if link.name in ("logit", "cloglog") and far.any():
        out[:, far] = tails(link, eta[far], sd[far])
    return out[0], out[1], out[2]


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
        return _by_spread(link, eta, sd)
    found, which = np.unique(pairs, return_inverse=True)
    return np.asarray(_by_spread(link, found.real, found.imag)[:, which.ravel()])


def _by_spread(link: Link, eta: Floats, sd: Floats) -> Floats:
    """(3, n): over the normal where it is narrow, over the link's own density where it is wide."""
    wide = sd > WIDE
    if not wide.any() or link.name not in DENSITIES:
        if wide.any() and float(sd.max()) > WIDEST:
            raise GlimmError(f"link {link.name!r} has no average over effects of sd {float(sd.max()):.3g}: too wide to integrate")
        return _trapezoid(link, eta, sd)
    out = np.empty((3, len(eta)))
    out[:, ~wide] = _trapezoid(link, eta[~wide], sd[~wide])
    out[:, wide] = _over_density(link, eta[wide], sd[wide])
    return out


def _trapezoid(link: Link, eta: Floats, sd: Floats) -> Floats:
    z, w = nodes(link, float(sd.max(initial=0.0)))
    out = np.empty((3, len(eta)))
    for at in chunks(len(eta), len(z)):
        grid = eta[at, None] + sd[at, None] * z
        m, slope, _, _ = (a.reshape(grid.shape) for a in mean(link.kernel, grid.ravel()))
        out[:, at] = m @ w, slope @ w, slope @ (w * z)
    return out


def _over_density(link: Link, eta: Floats, sd: Floats) -> Floats:
    """m = P(T < eta + sd Z) = E Phi((eta - T) / sd), T with density h': as many nodes for any sd."""
    low, high, step = DENSITIES[link.name]
    t = np.arange(low, high, step)
    density = mean(link.kernel, t)[1]
    w = density / density.sum()
    out = np.empty((3, len(eta)))
    for at in chunks(len(eta), len(t)):
        u = (eta[at, None] - t) / sd[at, None]
        below, normal, _, _ = (a.reshape(u.shape) for a in mean(LINKS["probit"].kernel, u.ravel()))
        out[:, at] = below @ w, (normal @ w) / sd[at], -((normal * u) @ w) / sd[at]
    return out


def tails(link: Link, eta: Floats, sd: Floats) -> Floats:
    """(3, n) g(m), dg/deta, dg/dsd where m is next to 0 or 1, from log E f(eta + sd Z), f being h or 1 - h, whichever is small.

    log f is concave, so that f(eta + sd z) phi(z) has one mode and falls from it at least as fast as a normal: nodes are laid around it.
    """
    top = eta > 0.0
    with np.errstate(all="ignore"):  # in the tails both sides of a mean are worked out, and one is taken
        mode = _mode(link, eta, sd, top)
        bend = 0.35 if link.name == "logit" else np.where(top, np.exp(np.minimum(eta + sd * mode, LARGEST)), 0.35)
        step = np.minimum(1.0 / (3.0 * np.sqrt(1.0 + sd**2 * bend)), REGULAR[link.name] / np.maximum(sd, 1e-3))
        count = int(np.ceil(REACH / step.min()))
        u = np.arange(-count, count + 1)
        out = np.empty((3, len(eta)))
        for at in chunks(len(eta), len(u)):
            z = mode[at, None] + step[at, None] * u
            log_f, slope = _log_tail(link, eta[at, None] + sd[at, None] * z, top[at, None])
            sums = log_f - 0.5 * z * z
            largest = sums.max(axis=1)
            p = np.exp(sums - largest[:, None])
            total = p.sum(axis=1)
            log_m = largest + np.log(total * step[at] / np.sqrt(2.0 * np.pi))
            by_eta, by_sd = (p * slope).sum(axis=1) / total, (p * slope * z).sum(axis=1) / total
            g, by_log = _link_of_log(link, log_m, top[at])
            out[:, at] = g, by_log * by_eta, by_log * by_sd
    return out


def _mode(link: Link, eta: Floats, sd: Floats, top: Bools) -> Floats:
    """(n,) where d log f(eta + sd z) / dz = z, by bisection: the left side falls with z."""
    reach = (np.abs(eta) + 50.0) / np.maximum(sd, 1e-6) + sd
    low, high = -reach, reach.copy()
    for _ in range(BISECTIONS):
        middle = 0.5 * (low + high)
        rising = sd * _log_tail(link, eta + sd * middle, top)[1] > middle
        low, high = np.where(rising, middle, low), np.where(rising, high, middle)
    return np.asarray(0.5 * (low + high))


def _log_tail(link: Link, x: Floats, top: Bools) -> tuple[Floats, Floats]:
    """log h(x), or log(1 - h(x)) at the top, and its derivative."""
    if link.name == "logit":
        s = np.where(top, -x, x)
        return np.asarray(-np.logaddexp(0.0, -s)), np.where(top, -1.0, 1.0) * np.exp(-np.logaddexp(0.0, s))
    rate = np.exp(np.minimum(x, LARGEST))
    lower, slope = np.where(x < -30.0, x, np.log(-np.expm1(-rate))), np.where(x < -30.0, 1.0, rate / np.expm1(rate))
    return np.where(top, -rate, lower), np.where(top, -rate, slope)


def _link_of_log(link: Link, log_f: Floats, top: Bools) -> tuple[Floats, Floats]:
    """g of the mean from the log of h, or of 1 - h at the top, and its derivative in that log."""
    left = np.where(log_f < -0.7, np.log1p(-np.exp(log_f)), np.log(-np.expm1(log_f)))  # log(1 - f)
    if link.name == "logit":
        g, by = log_f - left, np.exp(-left)
        return np.where(top, -g, g), np.where(top, -by, by)
    lower = np.where(log_f < -30.0, log_f, np.log(-left))
    by_lower = np.where(log_f < -30.0, 1.0, np.exp(log_f - left) / -left)
    return np.asarray(np.where(top, np.log(-log_f), lower)), np.where(top, 1.0 / log_f, by_lower)


def nodes(link: Link, largest: float) -> tuple[Floats, Floats]:
    """Nodes and weights of the trapezoid rule over a normal, fine enough for this sd."""
    step = min(0.5, REGULAR.get(link.name, 0.2) / largest) if largest > 0.0 else 0.5
    count = int(np.ceil(REACH / step))
    z = np.asarray(step * np.arange(-count, count + 1), dtype=np.float64)
    w = np.exp(-0.5 * z * z)
    return z, w / w.sum()


def chunks(n: int, width: int) -> list[slice]:
    """Slices of rows that are worked on together."""
    rows = max(1, CHUNK // width)
    return [slice(r, r + rows) for r in range(0, n, rows)]
