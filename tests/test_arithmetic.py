"""Arithmetic in formulas: what is read without formulaic equals what formulaic makes of it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import glimm
from glimm.data.arithmetic import evaluate, is_arithmetic
from glimm.data.expressions import learn
from glimm.data.formula import variables_in
from glimm.data.readers import read_column

FRAME = {"x": [0.5, 1.5, 2.0, 4.0, 3.0], "n": [1, 2, 3, 4, 6], "odd name": [1.0, 2.0, 1.5, 0.5, 3.0]}
COLUMNS = {name: read_column(name, values) for name, values in FRAME.items()} | {
    "s": read_column("s", list("abcab")),
    "t": read_column("t", [True, False, True, True, False]),
}


PLAIN = ["I(x**2)", "I(x ** 2 + 3 * n)", "log(x)", "exp(-x / 2)", "log(I(x * n) + 1)", "I(-x)", "I(1e-3 * n)", "I(n / x - 0.5)"]
OTHER = ["center(x)", "I(x > 1)", "I(t * 2)", "C(n)", "poly(x, 2)", "np.log(x)", "I(x // 2)", "log(s)", "I(abs(x))"]


@pytest.mark.parametrize("text", [*PLAIN, "I(`odd name` * 2)"])
def test_values_are_formulaics(text):
    needed = variables_in(text)
    assert is_arithmetic(text, needed, COLUMNS)
    _, columns = learn(text, COLUMNS, None)
    np.testing.assert_array_equal(evaluate(text, needed, COLUMNS, None), columns.values[0])
    rows = np.array([3, 1])
    np.testing.assert_array_equal(evaluate(text, needed, COLUMNS, rows), columns.values[0][rows])


@pytest.mark.parametrize("text", OTHER)
def test_anything_else_is_formulaics(text):
    assert not is_arithmetic(text, variables_in(text), COLUMNS)


def test_whole_numbers_have_negative_powers_too():
    np.testing.assert_array_equal(evaluate("I(n ** -1)", ("n",), COLUMNS, None), 1.0 / np.array(FRAME["n"]))


def test_values_that_are_not_finite_name_the_row():
    frame = pd.DataFrame({"y": [1.0, 2.0, 3.0, 5.0], "x": [1.0, 0.0, 2.0, 3.0]})
    with pytest.raises(glimm.GlimmError, match=r"log\(x\) is infinite in row 1 \(counting from 0\), where x = 0.0"):
        glimm.glm("y ~ log(x)", frame)
    with pytest.raises(glimm.GlimmError, match="row 1"):
        glimm.glm("y ~ I(1 / x)", frame)


@pytest.mark.parametrize("text", ["I(1 / 0 * x)", "I(2**2000 * x)", "I((-8)**(1 / 3) * x)", "I(1j * x)"])
def test_constants_that_are_no_number(text):
    with pytest.raises(glimm.GlimmError, match=r"row 0|not numbers"):
        glimm.glm(f"y ~ {text}", {"y": [1.0, 2.0, 4.0], "x": [1.0, 2.0, 3.0]})


def test_new_data_are_read_alike():
    frame = pd.DataFrame({"y": [1.0, 2.0, 3.5, 5.0, 4.0], "x": [1.0, 0.5, 2.0, 3.0, 2.5]})
    fit = glimm.glm("y ~ I(x**2)", frame)
    assert fit.predict({"x": [4.0]})[0] == pytest.approx(fit.params["Intercept"] + 16.0 * fit.params.iloc[1])
