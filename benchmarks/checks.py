"""How long fit.check() takes beside the fit: python -m benchmarks.checks prints CPU seconds of both and their ratio.

Each fit is made twice; the second is timed. Two threads at most.
"""

from __future__ import annotations

import time
import warnings

import numpy as np
import pandas as pd

import glimm


def rows(n, clusters, seed=1):
    rng = np.random.default_rng(seed)
    g = rng.integers(0, clusters, n)
    data = pd.DataFrame(
        {"g": g, "h": rng.integers(0, max(clusters // 20, 5), n), "x": rng.normal(size=n), "f": rng.choice(list("abcd"), n)}
    )
    data["z"] = rng.normal(size=clusters)[g]
    data["eta"] = 0.2 + 0.5 * data.x - 0.3 * data.z + 0.8 * rng.normal(size=clusters)[g]
    data["y"] = data.eta + rng.normal(size=n)
    data["b"] = (rng.random(n) < 1.0 / (1.0 + np.exp(-data.eta))).astype(int)
    data["c"] = rng.poisson(np.exp(data.eta))
    return data


def lossy(data):
    return data.assign(x=data.x.where(np.arange(len(data)) % 10 > 0))


CASES = {
    "GLM gaussian, 1e5 rows": (1e5, 5000, lambda d: glimm.glm("y ~ x + z + f", d)),
    "GLM logistic, 1e5 rows": (1e5, 5000, lambda d: glimm.glm("b ~ x + z + f", d, family="binomial")),
    "GLM Poisson, 1e5 rows": (1e5, 5000, lambda d: glimm.glm("c ~ x + z + f", d, family="poisson")),
    "GLM negative binomial, 1e5 rows": (1e5, 5000, lambda d: glimm.glm("c ~ x + z + f", d, family="negative_binomial")),
    "GLM logistic, clustered errors": (1e5, 5000, lambda d: glimm.glm("b ~ x + z", d, family="binomial", vcov={"cluster": "g"})),
    "LMM, 180 rows, 18 clusters": (180, 18, lambda d: glimm.glmm("y ~ x + (1 + x | g)", d)),
    "LMM, 1e5 rows, 5000 clusters": (1e5, 5000, lambda d: glimm.glmm("y ~ x + z + (1 | g)", d)),
    "LMM, slopes, 1e5 rows": (1e5, 5000, lambda d: glimm.glmm("y ~ x + z + (1 + x | g)", d)),
    "LMM, crossed, 1e5 rows": (1e5, 5000, lambda d: glimm.glmm("y ~ x + z + (1 | g) + (1 | h)", d)),
    "GLMM logistic, 2000 rows, quadrature": (2000, 400, lambda d: glimm.glmm("b ~ x + z + (1 | g)", d, family="binomial")),
    "GLMM logistic, 1e5 rows, Laplace": (1e5, 5000, lambda d: glimm.glmm("b ~ x + z + (1 | g)", d, family="binomial", points=1)),
    "GLMM Poisson, 2e4 rows, Laplace": (2e4, 2000, lambda d: glimm.glmm("c ~ x + z + (1 | g)", d, family="poisson", points=1)),
    "GLMM Poisson, crossed, 2e4 rows": (2e4, 2000, lambda d: glimm.glmm("c ~ x + z + (1 | g) + (1 | h)", d, family="poisson")),
    "GEE logistic, 1e5 rows": (1e5, 5000, lambda d: glimm.gee("b ~ x + z", d, groups="g", family="binomial")),
    "GEE gaussian, ar1, 1e5 rows": (1e5, 5000, lambda d: glimm.gee("y ~ x + z", d, groups="g", corr="ar1")),
    "GLM logistic, 1e5 rows, a tenth missing": (1e5, 5000, lambda d: glimm.glm("b ~ x + z", lossy(d), family="binomial")),
    "GEE logistic, 1e5 rows, a tenth missing": (1e5, 5000, lambda d: glimm.gee("b ~ x + z", lossy(d), groups="g", family="binomial")),
    "LMM, 1e5 rows, a tenth missing": (1e5, 5000, lambda d: glimm.glmm("y ~ x + z + (1 | g)", lossy(d))),
    "GLM logistic, 1e6 rows": (1e6, 50000, lambda d: glimm.glm("b ~ x + z + f", d, family="binomial")),
    "variance of zero, 2000 rows": (
        2000,
        50,
        lambda d: glimm.glmm("b ~ x + (1 | h2)", d.assign(h2=np.arange(2000) % 37), family="binomial"),
    ),
}


def timed(call):
    begun = time.process_time()
    out = call()
    return out, time.process_time() - begun


def main() -> None:
    print(f"{'fit':40s} {'fit, s':>9s} {'check, s':>9s} {'ratio':>6s}  findings")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", glimm.GlimmWarning)
        for name, (n, clusters, make) in CASES.items():
            data = rows(int(n), clusters)
            make(data).check()
            fit, seconds = timed(lambda make=make, data=data: make(data))
            found, checking = timed(fit.check)
            print(f"{name:40s} {seconds:9.4f} {checking:9.4f} {checking / seconds:6.2f}  {', '.join(found.codes)}", flush=True)


if __name__ == "__main__":
    main()
