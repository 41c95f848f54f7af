"""Designs of a small made-up table, for the tests of the design room."""

from glimm.design.build import build_design
from glimm.design.records import Spec
from glimm.family import resolve

NAN = float("nan")


def spec(door, formula, family="gaussian", link=None, **options):
    return Spec(door, formula, *resolve(family, link), **options)


def glm(formula, data, family="gaussian", **options):
    return build_design(spec("glm", formula, family, **options), data)


def glmm(formula, data, family="gaussian", **options):
    return build_design(spec("glmm", formula, family, **options), data)


def gee(formula, data, family="gaussian", **options):
    return build_design(spec("gee", formula, family, **options), data)


def small():
    return {
        "y": [1.0, 3.0, 2.0, 5.0, 4.0, 6.0],
        "x": [0.5, 1.0, 2.0, 3.0, 4.5, 5.0],
        "use": ["N", "Y", "Y", "N", "Y", "N"],
        "id": ["b", "a", "b", "c", "a", "c"],
        "t": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
        "s": [0, 1, 2, 3, 4, 5],
        "n": [5, 5, 5, 5, 5, 5],
        "w": [1.0, 2.0, 1.0, 2.0, 1.0, 2.0],
    }


def changed(**columns):
    return {**small(), **columns}
