"""Anscombe residuals of GLMs by statsmodels -> anscombe.json. Data: those of glm_tests.json.

Run, in this folder: python anscombe.py (statsmodels >= 0.14).
"""

import json
import warnings
from pathlib import Path

import numpy as np
import statsmodels
import statsmodels.api as sm

HERE = Path(__file__).parent
warnings.simplefilter("ignore")
data = json.loads((HERE / "glm_tests.json").read_text())["data"]
x = sm.add_constant(np.array(data["x"]))
log, families = sm.families.links.Log(), sm.families
asked = [
    ("binomial", "b", families.Binomial()),
    ("poisson", "k", families.Poisson()),
    ("gamma", "z", families.Gamma(log)),
    ("inverse_gaussian", "z", families.InverseGaussian(log)),
    ("gaussian", "y", families.Gaussian()),
    ("negative_binomial(2)", "k", families.NegativeBinomial(log, alpha=0.5)),
    ("tweedie(1.5)", "z", families.Tweedie(log, var_power=1.5)),
]
out = {"note": f"statsmodels {statsmodels.__version__}"}
for name, response, family in asked:
    fit = sm.GLM(np.array(data[response], dtype=float), x, family=family).fit(tol=1e-15, maxiter=300)
    out[name] = {"response": response, "values": fit.resid_anscombe_unscaled.tolist()}
(HERE / "anscombe.json").write_text(json.dumps(out))
