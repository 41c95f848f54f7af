"""A short test of an installed wheel, with nothing but its own dependencies: `python tests/wheel.py`.

Three models of the shipped data against R (glm, geepack) and exact integration; the numbers are those of tests/reference.
"""

from __future__ import annotations

import sys
from importlib.metadata import files
from importlib.util import find_spec

import glimm
from glimm.kernels.native import native


def near(got: float, expected: float, relative: float) -> None:
    if not abs(got - expected) <= relative * abs(expected):
        raise SystemExit(f"got {got!r}, expected {expected!r}")


def main() -> None:
    ohio = glimm.load_dataset("ohio")
    glm = glimm.glm("resp ~ age * smoke", ohio, family="binomial")
    near(glm.params["age"], -0.1412531295, 1e-8)
    gee = glimm.gee("resp ~ age * smoke", ohio, groups="id", family="binomial", moments="geepack")
    near(gee.params["smoke"], 0.3138257882, 1e-7)
    near(gee.bse["smoke"], 0.1878418151, 1e-6)
    glmm = glimm.glmm("resp ~ age * smoke + (1 | id)", ohio, family="binomial")
    near(glmm.params["smoke"], 0.462026821, 1e-4)
    near(glmm.llf, -797.3595631, 1e-7)
    print(glimm.compare(glm, glmm, gee))

    names = {str(path) for path in files("glimm") or ()}
    for needed in ("glimm/py.typed", "glimm/datasets/ohio.csv", "glimm/datasets/classroom.csv"):
        assert needed in names, f"{needed} is not in the wheel"
    assert any(name.endswith("LICENSE") for name in names), "no LICENSE in the wheel"
    strays = sorted(name for name in names if name.split("/")[0] in ("tests", "benchmarks", "docs"))
    assert not strays, f"not to be in the wheel: {strays}"
    has_avx2 = find_spec("glimm.kernels._native_avx2") is not None
    print(f"kernels used: {native().__name__}; AVX2 kernels in the wheel: {has_avx2}")
    if getattr(sys, "_is_gil_enabled", lambda: True)() and "t" in getattr(sys, "abiflags", ""):
        print("the GIL was turned on by one of the imported modules")


if __name__ == "__main__":
    main()
