"""What statsmodels gives for responses with levels: MNLogit (maximum likelihood, clustered errors), NominalGEE and OrdinalGEE.

How to run: `python levels.py data .` with statsmodels 0.14 or newer. First argument: the folder with the csv files; second: the folder where
levels_statsmodels.json is written. The working covariances of NominalGEE and OrdinalGEE are not those of the multinomial distribution inside an
occasion, so their numbers are near to, and not equal to, those of other programs.
"""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import statsmodels
import statsmodels.api as sm
from statsmodels.genmod.cov_struct import GlobalOddsRatio, Independence
from statsmodels.genmod.generalized_estimating_equations import NominalGEE, OrdinalGEE

folder, out = map(Path, sys.argv[1:3])
koch = pd.read_csv(folder / "geepack_koch.csv").sort_values(["id", "day"], kind="stable").reset_index(drop=True)
x = np.column_stack([koch["trt"], *[(koch["day"] == d).astype(float) for d in (7, 10, 14)]])
note = f"statsmodels {statsmodels.__version__}"

ml = sm.MNLogit(koch["y"], sm.add_constant(x)).fit(method="newton", tol=1e-14, disp=0)
clustered = sm.MNLogit(koch["y"], sm.add_constant(x)).fit(
    method="newton", tol=1e-14, disp=0, cov_type="cluster", cov_kwds={"groups": koch["id"].to_numpy(), "use_correction": False}
)
found = {
    "mnlogit": {
        "note": note,
        "params": np.asarray(ml.params).T.tolist(),  # a row per level: constant, trt, day 7, 10, 14
        "bse": np.asarray(ml.bse).T.tolist(),
        "clustered": np.sqrt(np.diag(clustered.cov_params())).reshape(2, -1).tolist(),
        "llf": float(ml.llf),
        "probability": np.asarray(ml.predict())[:6].tolist(),
    }
}
for name, structure in (("ordinal_gee_independence", Independence()), ("ordinal_gee_global_odds", GlobalOddsRatio("ordinal"))):
    r = OrdinalGEE(koch["y"].to_numpy(), x, groups=koch["id"].to_numpy(), cov_struct=structure).fit(maxiter=200, ctol=1e-10)
    found[name] = {"note": note, "params": np.asarray(r.params).tolist(), "bse": np.asarray(r.bse).tolist()}
    if name.endswith("odds"):
        found[name]["odds_ratio"] = float(structure.dep_params)
r = NominalGEE(koch["y"].to_numpy(), sm.add_constant(x), groups=koch["id"].to_numpy(), cov_struct=Independence()).fit(
    maxiter=200, ctol=1e-10
)
found["nominal_gee_independence"] = {"note": note, "params": np.asarray(r.params).tolist(), "bse": np.asarray(r.bse).tolist()}
(out / "levels_statsmodels.json").write_text(json.dumps(found))
