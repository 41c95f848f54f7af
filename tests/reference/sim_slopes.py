"""Fifty small random designs with random slopes, most of them near or at the boundary (NumPy; no glimm).

Run (in this folder): python sim_slopes.py            writes data/sim_slopes.csv

The csv is the truth: slopes.R and the tests read it. A design's name says its model: family (lmm, binomial, poisson), structure and
number of effects, a number. us2: y ~ x + (x | g); us3: y ~ x + z + (x + z | g); diag2: y ~ x + (x || g); slope: y ~ x + (0 + x | g);
random: y ~ 1 + (x | g). Groups are unequal, some have one row. x is as drawn, times 20, plus 50, or divided by 100.
"""

from pathlib import Path

import numpy as np

COUNTS = {
    "lmm": {"us2": 12, "us3": 5, "diag2": 4, "slope": 2, "random": 2},
    "binomial": {"us2": 7, "us3": 2, "diag2": 2, "slope": 1, "random": 1},
    "poisson": {"us2": 6, "us3": 2, "diag2": 2, "slope": 1, "random": 1},
}
SPREADS = ("none", "one direction", "intercept", "slope", "tiny", "both")  # true effects
SCALES = {
    "as drawn": (0.0, 1.0, 3),
    "times 20": (0.0, 20.0, 2),
    "plus 50": (50.0, 1.0, 3),
    "by 100": (0.0, 0.01, 5),
}  # shift, factor, digits


def effects(rng, spread, groups, size):
    """(groups, 3) deviations of intercept and slopes; `size` is the residual's scale."""
    u = rng.normal(size=(groups, 3))
    sd = {"none": (0, 0, 0), "intercept": (0.8, 0, 0), "slope": (0, 0.7, 0.3), "tiny": (0.15, 0.1, 0.1)}.get(spread, (0.8, 0.6, 0.5))
    if spread == "one direction":
        u[:, 1], u[:, 2] = -u[:, 0], u[:, 0]
    if spread == "both":
        u[:, 1] += 0.5 * u[:, 0]
    return size * u * np.array(sd)


def design(number, family, model, count):
    rng = np.random.default_rng([20, number])
    spread, scale = SPREADS[(count + number // 7) % len(SPREADS)], list(SCALES)[number % len(SCALES)]
    groups = int(rng.integers(6, 16) if family == "lmm" else rng.integers(14, 26))
    most = 9 if family == "lmm" else 12
    g = np.repeat(np.arange(1, groups + 1), rng.integers(1, most, groups))
    n = len(g)
    x, z = rng.normal(size=n), rng.normal(size=n)
    b = effects(rng, spread, groups, 1.0 if family != "poisson" else 0.7)[g - 1]
    slope = 0.0 if model == "random" else 0.5
    eta = 0.2 + b[:, 0] * (model != "slope") + (slope + b[:, 1]) * x + (b[:, 2] - 0.3) * z * (model == "us3")
    if family == "lmm":
        y = np.round(10.0 + 2.0 * (eta + rng.normal(size=n)), 3)
    elif family == "binomial":
        y = (rng.random(n) < 1.0 / (1.0 + np.exp(-eta))).astype(int)
    else:
        y = rng.poisson(np.exp(eta))
    shift, factor, digits = SCALES[scale]
    x = np.round(shift + factor * x, digits)
    keep = [f"{v:.3f}" for v in z] if model == "us3" else [""] * n
    return [f"{family}_{model}_{count + 1},{g[i]},{x[i]:g},{keep[i]},{y[i]:g}" for i in range(n)]


if __name__ == "__main__":
    lines, number = ["design,g,x,z,y"], 0
    for family, models in COUNTS.items():
        for model, many in models.items():
            for count in range(many):
                lines += design(number, family, model, count)
                number += 1
    (Path(__file__).parent / "data" / "sim_slopes.csv").write_text("\n".join(lines) + "\n")
    print(number, "designs,", len(lines) - 1, "rows")
