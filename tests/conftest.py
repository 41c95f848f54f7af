"""Fits that tests share."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import glimm


@pytest.fixture(scope="module")
def ohio():
    return glimm.load_dataset("ohio")


@pytest.fixture(scope="module")
def three(ohio):
    return (
        glimm.glm("resp ~ age * smoke", ohio, family="binomial"),
        glimm.glmm("resp ~ age * smoke + (1 | id)", ohio, family="binomial"),
        glimm.gee("resp ~ age * smoke", ohio, groups="id", family="binomial"),
    )


@pytest.fixture(scope="module")
def crossed(ohio):
    return glimm.glmm("resp ~ age * smoke + (1 | id)", ohio, family="binomial", points=9)


@pytest.fixture(scope="module")
def parallel(ohio):
    return glimm.glmm("resp ~ age + smoke + (1 | id)", ohio, family="binomial", points=9)


@pytest.fixture(scope="module")
def counts():
    rng = np.random.default_rng(3)
    g = np.repeat(np.arange(30), 6)
    data = pd.DataFrame({"x": np.tile(np.arange(6.0), 30), "g": [f"c{k:02d}" for k in g], "arm": np.where(g % 2, "new", "old")})
    data["days"] = rng.uniform(1.0, 3.0, 30)[g]
    data["n"] = rng.poisson(data["days"] * np.exp(0.2 * data["x"] + 0.5 * rng.normal(size=30)[g]))
    data.loc[[0, 7], "x"] = np.nan
    return data


@pytest.fixture(scope="module")
def pupils():
    return glimm.glmm("pass ~ hours + (1 | pupil)", glimm.load_dataset("classroom"), family="binomial", points=9)


@pytest.fixture(scope="module")
def sloped():
    rng = np.random.default_rng(5)
    g = np.repeat(np.arange(40), 15)
    data = pd.DataFrame({"x": rng.uniform(-2.0, 2.0, 600), "f": rng.choice(["a", "b"], 600), "g": g})
    eta = 0.4 * data["x"] + rng.normal(size=40)[g] + rng.normal(size=40)[g] * data["x"]
    data["y"] = (rng.random(600) < 1.0 / (1.0 + np.exp(-eta))).astype(int)
    return data
