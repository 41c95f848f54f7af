"""fit.effect, slope and means against tests/reference/effects.json: marginaleffects on statsmodels fits, dense g-computation.

255 questions of 17 fits: differences, ratios and odds ratios of averages, by subgroup, of the treated, weighted by trials; slopes; means.
"""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import glimm
from glimm.design.coordinates import to_named

HERE = Path(__file__).parent / "reference"
STORED = json.loads((HERE / "effects.json").read_text())
CONTRAST = {"difference": "difference", "ratio": "ratio", "lnratio": "ratio", "lnor": "odds_ratio", "oddsratio": "odds_ratio"}


def frame_of(entry: dict) -> pd.DataFrame:
    frame = pd.read_csv(HERE / "data" / f"{entry['data']}.csv")
    if "use" in frame:
        frame["y"] = (frame["use"] == "Y").astype(int)
    if "herd" in frame:
        frame["period"] = frame["period"].astype(str)
    if "offset" in entry:
        frame["log_weeks"] = np.log(frame["weeks"])
    return frame


@cache
def fitted(name: str):
    entry = STORED["fits"][name]
    more = {key: entry[key] for key in ("family", "link", "exposure") if key in entry}
    if "offset" in entry:
        assert entry["offset"] == "log(weeks)"
        more["offset"] = "log_weeks"
    data = frame_of(entry)
    if "groups" in entry:
        return glimm.gee(entry["formula"], data, groups=entry["groups"], corr=entry["corr"], moments=entry["moments"], **more), data
    if "points" in entry:
        vcov = "model" if entry["vcov"] == "model" else {"cluster": "id"}
        return glimm.glmm(entry["formula"], data, points=entry["points"], vcov=vcov, **more), data
    fit = glimm.glm(entry["formula"], data, vcov=entry["vcov"], **more)
    if name == "ohio_probit":  # statsmodels' sandwich has the observed information as its bread: the effects are compared under its V
        back = np.linalg.inv(to_named(fit.record.design.mean))
        fit.inference = replace(fit.inference, work=back @ np.array(entry["vcov_matrix"]) @ back.T)
    return fit, data


def values_of(answer: dict):
    high, low = answer["high"], answer["low"]
    return {"+1": "+1", "+sd": "sd"}.get(high) if isinstance(high, str) and high in ("+1", "+sd") else (low, high)


def asked(question: dict) -> pd.DataFrame:
    """Estimates and standard errors in the order of the stored answers."""
    fit, data = fitted(question["fit"])
    target = STORED["fits"][question["fit"]].get("target")
    more = {"target": target, "by": question["by"]}
    rows = question["rows"]
    alike = question["fit"] == "cbpp" and question["weights"] is None
    if alike or (question["by"] is not None and question["by"] not in fit.record.design.columns):
        more["population"] = data
    out = []
    for answer in question["answers"]:
        if question["what"] == "comparisons":
            if rows:
                ((name, value),) = rows.items()
                assert (name, value) == (question["variable"], answer["high"])
                more["population"] = "treated"
            table = fit.effect(question["variable"], CONTRAST[question["comparison"]], values=values_of(answer), **more)
        else:
            if rows:
                ((name, value),) = rows.items()
                more["population"] = data[data[name] == value]
            if question["what"] == "slopes":
                table = fit.slope(question["variable"], **more)
            else:
                wanted = None if question["variable"] is None else {question["variable"]: [answer["value"]]}
                table = fit.means(wanted, **more)
        if question["by"] is not None:
            table = table[table[question["by"]] == answer["group"]]
        assert len(table) == 1
        estimate, se = float(table["estimate"].iloc[0]), float(table["std_error"].iloc[0])
        if question["comparison"] in ("lnratio", "lnor"):
            estimate, se = np.log(estimate), se / estimate
        out.append((estimate, se))
    return np.array(out)


def name_of(question: dict) -> str:
    parts = (question["fit"], question["what"], question["variable"], question["comparison"], question["by"], question["rows"])
    return "-".join(str(part) for part in parts if part)


OTHER = [q for q in STORED["asked"] if q["fit"] == "ohio_cluster_factor" or any(a.get("high") == "centred" for a in q["answers"])]
ANSWERABLE = [q for q in STORED["asked"] if q not in OTHER]


def test_what_is_not_asked():
    """x - 1/2 against x + 1/2, which "+1" is not here, and the factor K / (K - 1), which is no covariance of glimm."""
    assert len(ANSWERABLE) >= 230
    assert all(q["fit"] == "ohio_cluster_factor" or q["variable"] == "age" for q in OTHER)


@pytest.mark.filterwarnings("ignore::glimm.GlimmWarning")
@pytest.mark.parametrize("question", ANSWERABLE, ids=name_of)
def test_the_stored_answers(question):
    got = asked(question)
    estimate, se = (np.array([a[key] for a in question["answers"]]) for key in ("estimate", "std_error"))
    mixed = question["fit"].startswith("glmm")
    np.testing.assert_allclose(got[:, 0], estimate, atol=(1e-4 if mixed else 1e-7) * se.max(), rtol=0.0)
    np.testing.assert_allclose(got[:, 1], se, rtol=1e-4 if mixed else 1e-6)


@pytest.mark.parametrize("name", sorted(STORED["published"]["smoke"]))
def test_published_effects_of_smoking(name):
    """Averages, then difference, ratio and odds ratio with standard errors (of the logs for ratios)."""
    (exposed, unexposed), estimates, errors = STORED["published"]["smoke"][name]
    base = name.removesuffix("_factor")
    fit, _ = fitted(base)
    factor = np.sqrt(537.0 / 536.0) if name.endswith("_factor") else 1.0
    rtol = 2e-5 if name.startswith("glmm") else 1e-8
    for contrast, estimate, error in zip(("difference", "ratio", "odds_ratio"), estimates, errors, strict=True):
        table = fit.effect("smoke", contrast, target=STORED["fits"][base].get("target"))
        np.testing.assert_allclose(
            [table["mean_to"][0], table["mean_from"][0], table["estimate"][0]], [exposed, unexposed, estimate], rtol=rtol
        )
        se = table["std_error"][0] / (1.0 if contrast == "difference" else table["estimate"][0])
        np.testing.assert_allclose(factor * se, error, rtol=10.0 * rtol)


def test_the_way_back():
    known = STORED["published"]["way_back"]
    fit, _ = fitted("gee_ohio")
    table = fit.conditional_params(known["sigma"])
    np.testing.assert_allclose(table["estimate"], known["estimate"], rtol=1e-8)
    np.testing.assert_allclose(table["zeger_liang_albert"], known["by_factor"], rtol=1e-8)


def test_averages_over_ages_that_every_child_has_add_nothing():
    """Sampled covariates: the average is over ages that do not differ between children, so the robust error stays as it is."""
    fit, _ = fitted("gee_ohio")
    plain, sampled = fit.effect("smoke"), fit.effect("smoke", errors="sampled")
    np.testing.assert_allclose(sampled["std_error"], plain["std_error"], rtol=1e-10)
