"""Twin of native/parts.cpp in mpmath: log f of a row in (eta, zeta, psi), derivatives by mpmath's own differentiation."""

from __future__ import annotations

import mpmath as mp

from .families import log_density

HERE = {"zero": 1, "psi": 2}


def log_f(family: str, link: str, y: float, size: float, names: tuple[str, ...]):
    """(eta, ...) -> log f, the predictors named in `names` after the mean."""
    inside = family in ("gaussian", "gamma")

    def f(*at):
        given = dict(zip(names, at[1:], strict=True))
        psi = [given["psi"]] if "psi" in given else []
        own = log_density(family, link, y, size if inside else 1, psi)(mp.mpf(at[0]))
        if "zero" in given:
            z = given["zero"]
            log_pi, log_rest = -mp.log1p(mp.exp(-z)), -mp.log1p(mp.exp(z))
            own = own + log_rest if y > 0 else mp.log(mp.exp(log_pi) + mp.exp(log_rest + own))
        return own if inside else mp.mpf(size) * own

    return f


def row(family: str, link: str, y: float, size: float, names: tuple[str, ...], at: tuple[float, ...]) -> tuple[float, list, list]:
    """(log f, first derivatives, lower triangle of second derivatives) by mpmath."""
    f, m = log_f(family, link, y, size, names), 1 + len(names)
    here = [mp.mpf(v) for v in at]

    def derivative(a: int, b: int | None = None):
        orders = [0] * m
        orders[a] += 1
        if b is not None:
            orders[b] += 1
        return float(mp.diff(f, tuple(here), tuple(orders)))

    first = [derivative(a) for a in range(m)]
    return float(f(*here)), first, [derivative(a, b) for a in range(m) for b in range(a + 1)]
